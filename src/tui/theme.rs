//! What things look like: roles, and one table of styles per theme. Healthy is quiet; yellow means
//! look, red means act, magenta means somebody did that on purpose. No role is told apart by
//! colour alone: a glyph, a word or a place always says the same.

use ratatui::style::{Color, Modifier, Style};

/// A set of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThemeName {
    /// True colours on a dark ground.
    #[default]
    Dark,
    /// True colours on a light ground.
    Light,
    /// The terminal's own 16 colours and ground.
    Ansi,
    /// No colours: bold, underline and reverse.
    Mono,
}

impl ThemeName {
    pub(super) const ALL: [ThemeName; 4] =
        [ThemeName::Dark, ThemeName::Light, ThemeName::Ansi, ThemeName::Mono];

    /// Reads the name people use.
    ///
    /// # Errors
    /// If it is none, in words.
    pub fn parse(text: &str) -> Result<ThemeName, String> {
        let found = ThemeName::ALL.into_iter().find(|theme| theme.name() == text);
        found.ok_or_else(|| "one of dark, light, ansi, mono".to_owned())
    }

    /// Returns the name people use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ThemeName::Dark => "dark",
            ThemeName::Light => "light",
            ThemeName::Ansi => "ansi",
            ThemeName::Mono => "mono",
        }
    }

    pub(super) const fn next(self) -> ThemeName {
        match self {
            ThemeName::Dark => ThemeName::Light,
            ThemeName::Light => ThemeName::Ansi,
            ThemeName::Ansi => ThemeName::Mono,
            ThemeName::Mono => ThemeName::Dark,
        }
    }
}

/// What a piece of the screen is; the theme says how that looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Ground,
    Text,
    Strong,
    Dim,
    Border,
    Focus,
    Title,
    Key,
    Strip,
    StripDim,
    StripStrong,
    StripName,
    Badge,
    Running,
    Paused,
    Done,
    Failed,
    Up,
    Warn,
    Down,
    Note,
    You,
    BarFull,
    BarShare,
    BarHot,
    BarRest,
    Grid,
    P50,
    P95,
    P99,
    /// The 99th percentile that is foreseen.
    Ghost,
    Cost,
    Tokens,
    Load,
    Errors,
    Selected,
}

/// How roles look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    name: ThemeName,
}

impl Theme {
    pub(super) const fn new(name: ThemeName) -> Theme {
        Theme { name }
    }

    pub(super) fn style(self, role: Role) -> Style {
        match self.name {
            ThemeName::Dark => full(&DARK, role),
            ThemeName::Light => full(&LIGHT, role),
            ThemeName::Ansi => ansi(role),
            ThemeName::Mono => mono(role),
        }
    }

    /// Returns the colours of maps from few to many, in which lightness goes one way only; none where the
    /// terminal's own colours are used, or none at all.
    pub(super) const fn ramp(self) -> &'static [Color] {
        match self.name {
            ThemeName::Dark => &DARK_RAMP,
            ThemeName::Light => &LIGHT_RAMP,
            ThemeName::Ansi | ThemeName::Mono => &[],
        }
    }

    /// The style of something on the selected row: secondary text becomes normal, and without a
    /// ground of its own the whole row is one reversed bar.
    pub(super) fn on_selected(self, role: Role) -> Style {
        let selected = self.style(Role::Selected);
        match (self.name, role) {
            (ThemeName::Ansi | ThemeName::Mono, _) | (_, Role::Dim | Role::Text) => selected,
            _ => self.style(role).bg(selected.bg.unwrap_or(Color::Reset)),
        }
    }
}

/// The colours of a true-colour theme.
struct Palette {
    ground: Color,
    strip: Color,
    selected: Color,
    text: Color,
    strong: Color,
    dim: Color,
    border: Color,
    grid: Color,
    on_badge: Color,
    badge: Color,
    key: Color,
    up: Color,
    warn: Color,
    down: Color,
    note: Color,
    you: Color,
    blue: Color,
    p95: Color,
    p99: Color,
    ghost: Color,
}

const fn rgb(hex: u32) -> Color {
    Color::Rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

const DARK: Palette = Palette {
    ground: rgb(0x12_14_19),
    strip: rgb(0x1E_23_2E),
    selected: rgb(0x26_34_48),
    text: rgb(0xD0_D5_DE),
    strong: rgb(0xFF_FF_FF),
    dim: rgb(0x8C_94_A2),
    border: rgb(0x5F_67_75),
    grid: rgb(0x4A_51_5E),
    on_badge: rgb(0x10_14_18),
    badge: rgb(0xC8_CD_D6),
    key: rgb(0x6E_BE_F0),
    up: rgb(0x2F_BF_8F),
    warn: rgb(0xF0_C4_50),
    down: rgb(0xF5_7A_48),
    note: rgb(0x6E_BE_F0),
    you: rgb(0xE2_96_C6),
    blue: rgb(0x56_A0_D7),
    p95: rgb(0xE8_EC_F4),
    p99: rgb(0xF0_96_28),
    ghost: rgb(0xB0_78_38),
};

const LIGHT: Palette = Palette {
    ground: rgb(0xFB_FB_F8),
    strip: rgb(0xE6_E9_EE),
    selected: rgb(0xD3_E4_F5),
    text: rgb(0x2A_2F_38),
    strong: rgb(0x00_00_00),
    dim: rgb(0x5E_66_73),
    border: rgb(0x8A_92_9E),
    grid: rgb(0xB4_BA_C4),
    on_badge: rgb(0xFF_FF_FF),
    badge: rgb(0x45_4D_5A),
    key: rgb(0x0A_5F_9E),
    up: rgb(0x0B_6E_4F),
    warn: rgb(0x84_58_00),
    down: rgb(0xB5_34_0A),
    note: rgb(0x0A_5F_9E),
    you: rgb(0x9A_2F_74),
    blue: rgb(0x2A_78_B8),
    p95: rgb(0x3A_3F_48),
    p99: rgb(0xB4_58_00),
    ghost: rgb(0x96_60_28),
};

const DARK_RAMP: [Color; 8] = [
    rgb(0x6A_8F_B0),
    rgb(0x26_3F_5C),
    rgb(0x2C_5F_7C),
    rgb(0x2F_80_88),
    rgb(0x45_A0_7E),
    rgb(0x86_BC_5E),
    rgb(0xCB_D2_4F),
    rgb(0xFB_EB_7A),
];

const LIGHT_RAMP: [Color; 8] = [
    rgb(0x5C_7F_9C),
    rgb(0xCF_E3_EE),
    rgb(0xA5_CB_DD),
    rgb(0x74_AE_CB),
    rgb(0x4A_8D_B5),
    rgb(0x2F_6B_98),
    rgb(0x1E_4A_77),
    rgb(0x0F_2A_50),
];

fn full(palette: &Palette, role: Role) -> Style {
    let on = |fg: Color| Style::new().fg(fg).bg(palette.ground);
    let strip = |fg: Color| Style::new().fg(fg).bg(palette.strip);
    let badge = |bg: Color| Style::new().fg(palette.on_badge).bg(bg).add_modifier(Modifier::BOLD);
    match role {
        Role::Ground | Role::Text => on(palette.text),
        Role::Strong | Role::Title => on(palette.strong).add_modifier(Modifier::BOLD),
        Role::Dim => on(palette.dim),
        Role::Border => on(palette.border),
        Role::Focus => on(palette.key),
        Role::Key => on(palette.key).add_modifier(Modifier::BOLD),
        Role::Strip => strip(palette.text),
        Role::StripDim => strip(palette.dim),
        Role::StripStrong => strip(palette.strong).add_modifier(Modifier::BOLD),
        Role::StripName => strip(palette.key).add_modifier(Modifier::BOLD),
        Role::Badge | Role::Done => badge(palette.badge),
        Role::Running => badge(palette.up),
        Role::Paused => badge(palette.warn),
        Role::Failed => badge(palette.down),
        Role::Up | Role::Tokens => on(palette.up),
        Role::Warn | Role::BarHot | Role::Cost => on(palette.warn),
        Role::Down => on(palette.down).add_modifier(Modifier::BOLD),
        Role::Errors => on(palette.down),
        Role::Note | Role::BarShare => on(palette.note),
        Role::You => on(palette.you).add_modifier(Modifier::BOLD),
        Role::BarFull | Role::P50 | Role::Load => on(palette.blue),
        Role::BarRest | Role::Grid => on(palette.grid),
        Role::P95 => on(palette.p95),
        Role::P99 => on(palette.p99),
        Role::Ghost => on(palette.ghost),
        Role::Selected => Style::new().fg(palette.strong).bg(palette.selected),
    }
}

fn ansi(role: Role) -> Style {
    let of = |fg: Color| Style::new().fg(fg);
    let bold = |fg: Color| Style::new().fg(fg).add_modifier(Modifier::BOLD);
    let reversed = |fg: Color| bold(fg).add_modifier(Modifier::REVERSED);
    match role {
        Role::Ground | Role::Text | Role::Strip | Role::P95 => of(Color::Reset),
        Role::Strong | Role::Title | Role::StripStrong => bold(Color::Reset),
        Role::Dim | Role::Border | Role::StripDim | Role::BarRest | Role::Grid | Role::Ghost => {
            of(Color::DarkGray)
        }
        Role::Focus | Role::BarFull | Role::Load => of(Color::LightBlue),
        Role::Key | Role::StripName => bold(Color::LightBlue),
        Role::Badge | Role::Done => reversed(Color::Reset),
        Role::Running => reversed(Color::Green),
        Role::Paused => reversed(Color::Yellow),
        Role::Failed => reversed(Color::Red),
        Role::Up | Role::Tokens => of(Color::Green),
        Role::Warn | Role::BarHot | Role::Cost | Role::P99 => of(Color::Yellow),
        Role::Down => bold(Color::Red),
        Role::Errors => of(Color::Red),
        Role::Note | Role::BarShare | Role::P50 => of(Color::Cyan),
        Role::You => bold(Color::Magenta),
        Role::Selected => Style::new().add_modifier(Modifier::REVERSED),
    }
}

fn mono(role: Role) -> Style {
    let with = |modifier: Modifier| Style::new().add_modifier(modifier);
    match role {
        Role::Dim
        | Role::Border
        | Role::BarRest
        | Role::Grid
        | Role::P50
        | Role::Ghost
        | Role::StripDim => with(Modifier::DIM),
        Role::Strong | Role::Title | Role::Focus | Role::Key | Role::You | Role::P99 => {
            with(Modifier::BOLD)
        }
        Role::StripStrong | Role::StripName | Role::BarHot => with(Modifier::BOLD),
        Role::Warn => with(Modifier::UNDERLINED),
        Role::Note => with(Modifier::ITALIC),
        Role::Badge | Role::Running | Role::Paused | Role::Done | Role::Selected => {
            with(Modifier::REVERSED)
        }
        Role::Down | Role::Failed => with(Modifier::BOLD | Modifier::REVERSED),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::view::why::TERMS;

    /// Every role.
    const ALL: [Role; 36] = [
        Role::Ground,
        Role::Text,
        Role::Strong,
        Role::Dim,
        Role::Border,
        Role::Focus,
        Role::Title,
        Role::Key,
        Role::Strip,
        Role::StripDim,
        Role::StripStrong,
        Role::StripName,
        Role::Badge,
        Role::Running,
        Role::Paused,
        Role::Done,
        Role::Failed,
        Role::Up,
        Role::Warn,
        Role::Down,
        Role::Note,
        Role::You,
        Role::BarFull,
        Role::BarShare,
        Role::BarHot,
        Role::BarRest,
        Role::Grid,
        Role::P50,
        Role::P95,
        Role::P99,
        Role::Ghost,
        Role::Cost,
        Role::Tokens,
        Role::Load,
        Role::Errors,
        Role::Selected,
    ];

    /// Ornaments: what they carry is said by something else.
    const ORNAMENTS: [Role; 2] = [Role::BarRest, Role::Grid];
    /// Lines and bars without letters.
    const SHAPES: [Role; 5] =
        [Role::Border, Role::Focus, Role::BarFull, Role::BarShare, Role::BarHot];

    /// The parts of a colour in linear light.
    fn linear(color: Color) -> [f64; 3] {
        let Color::Rgb(red, green, blue) = color else { panic!("{color:?} is the terminal's own") };
        [red, green, blue].map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn luminance(color: Color) -> f64 {
        let [red, green, blue] = linear(color);
        0.212_6 * red + 0.715_2 * green + 0.072_2 * blue
    }

    /// The contrast of two colours, as WCAG 2 defines it.
    fn contrast(one: Color, other: Color) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// How the three dichromacies see linear light (Machado, Oliveira and Fernandes 2009), and who sees all.
    const EYES: [(&str, [[f64; 3]; 3]); 4] = [
        ("all colours", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
        ),
        (
            "tritanopia",
            [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        ),
    ];

    /// A colour as such an eye sees it, in CIE L*a*b*.
    fn seen(color: Color, eye: &[[f64; 3]; 3]) -> [f64; 3] {
        let light = linear(color);
        let row = |row: &[f64; 3]| -> f64 { row.iter().zip(light).map(|(a, b)| a * b).sum() };
        let [red, green, blue] = [&eye[0], &eye[1], &eye[2]].map(|it| row(it).clamp(0.0, 1.0));
        let x = 0.412_456 * red + 0.357_576 * green + 0.180_438 * blue;
        let y = 0.212_673 * red + 0.715_152 * green + 0.072_175 * blue;
        let z = 0.019_334 * red + 0.119_192 * green + 0.950_304 * blue;
        let root = |share: f64| {
            if share > 216.0 / 24_389.0 {
                share.cbrt()
            } else {
                (24_389.0 / 27.0 * share + 16.0) / 116.0
            }
        };
        let (x, y, z) = (root(x / 0.950_47), root(y), root(z / 1.088_83));
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn apart(one: Color, other: Color, eye: &[[f64; 3]; 3]) -> f64 {
        let parts = seen(one, eye).into_iter().zip(seen(other, eye));
        parts.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    const FULL: [ThemeName; 2] = [ThemeName::Dark, ThemeName::Light];

    fn colors(style: Style) -> (Color, Color) {
        (style.fg.expect("a colour"), style.bg.expect("a ground"))
    }

    #[test]
    fn everything_that_is_written_can_be_read() {
        for name in FULL {
            let theme = Theme::new(name);
            for role in ALL {
                let least = match role {
                    role if ORNAMENTS.contains(&role) => 1.4,
                    role if SHAPES.contains(&role) => 3.0,
                    _ => 4.5,
                };
                let styles = [("", theme.style(role)), (", selected", theme.on_selected(role))];
                // No row that can be selected has these.
                let alone = matches!(
                    role,
                    Role::Border
                        | Role::Focus
                        | Role::Strip
                        | Role::StripDim
                        | Role::StripStrong
                        | Role::StripName
                        | Role::Badge
                        | Role::Running
                        | Role::Paused
                        | Role::Done
                        | Role::Failed
                        | Role::P50
                        | Role::P95
                        | Role::P99
                        | Role::Ghost
                        | Role::Load
                );
                for (place, style) in styles.into_iter().take(if alone { 1 } else { 2 }) {
                    let (text, ground) = colors(style);
                    let found = contrast(text, ground);
                    assert!(found >= least, "{}: {role:?}{place}: {found:.2}", name.name());
                }
            }
        }
    }

    /// Lines of one chart, and terms beside each other in one bar.
    #[test]
    fn what_is_to_be_told_apart_is_by_every_eye() {
        let lines = [(Role::P50, Role::P95), (Role::P50, Role::P99), (Role::P95, Role::P99)];
        let terms = TERMS.windows(2).map(|pair| (pair[0], pair[1]));
        let pairs: Vec<(Role, Role)> = lines.into_iter().chain(terms).collect();
        for name in FULL {
            let theme = Theme::new(name);
            for (eye, matrix) in &EYES {
                for (one, other) in &pairs {
                    let color = |role| colors(theme.style(role)).0;
                    let found = apart(color(*one), color(*other), matrix);
                    let what = format!("{}: {one:?} and {other:?}, {eye}", name.name());
                    assert!(found >= 20.0, "{what}: {found:.1}");
                }
            }
        }
        // With the terminal's own colours, or none, they differ in something.
        for name in [ThemeName::Ansi, ThemeName::Mono] {
            for (one, other) in lines {
                let theme = Theme::new(name);
                assert_ne!(theme.style(one), theme.style(other), "{}", name.name());
            }
        }
    }

    #[test]
    fn maps_grow_lighter_or_darker_and_never_turn_back() {
        for name in FULL {
            // The first colour is of dots, which are small.
            let light: Vec<f64> =
                Theme::new(name).ramp()[1..].iter().map(|c| luminance(*c)).collect();
            let on = light.windows(2).map(|pair| pair[1] > pair[0]);
            let on: Vec<bool> = on.collect();
            assert!(on.iter().all(|one| *one == on[0]), "{}: {light:?}", name.name());
        }
    }

    #[test]
    fn themes_without_colours_of_their_own_set_none() {
        for role in ALL {
            let mono = Theme::new(ThemeName::Mono).style(role);
            assert_eq!((mono.fg, mono.bg), (None, None), "{role:?}");
            let ansi = Theme::new(ThemeName::Ansi).style(role);
            let own =
                |color: Option<Color>| !matches!(color, Some(Color::Rgb(..) | Color::Indexed(_)));
            assert!(own(ansi.fg) && ansi.bg.is_none(), "{role:?}: {ansi:?}");
        }
    }
}

//! The characters the screen is made of: one set for terminals with good fonts, one of plain
//! ASCII. Every glyph is one column wide.

/// Which characters to draw with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Lines, braille and symbols.
    #[default]
    Unicode,
    /// Only what a 1970s terminal has.
    Ascii,
}

impl Glyphs {
    /// Reads the name people use.
    ///
    /// # Errors
    /// If it is none, in words.
    pub fn parse(text: &str) -> Result<Glyphs, String> {
        let found =
            [Glyphs::Unicode, Glyphs::Ascii].into_iter().find(|glyphs| glyphs.name() == text);
        found.ok_or_else(|| "one of unicode, ascii".to_owned())
    }

    /// Returns the name people use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Glyphs::Unicode => "unicode",
            Glyphs::Ascii => "ascii",
        }
    }
}

/// A set of characters.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) up: &'static str,
    pub(super) slow: &'static str,
    pub(super) limited: &'static str,
    pub(super) down: &'static str,
    pub(super) probing: &'static str,
    pub(super) draining: &'static str,
    pub(super) gone: &'static str,
    pub(super) fault: &'static str,
    pub(super) cursor: &'static str,
    pub(super) rising: &'static str,
    pub(super) falling: &'static str,
    pub(super) run: &'static str,
    pub(super) back: &'static str,
    pub(super) pause: &'static str,
    pub(super) done: &'static str,
    pub(super) failed: &'static str,
    pub(super) held: &'static str,
    pub(super) never: &'static str,
    pub(super) none: &'static str,
    pub(super) times: &'static str,
    pub(super) dot: &'static str,
    pub(super) arrow: &'static str,
    pub(super) more: &'static str,
    pub(super) bar: [&'static str; 3],
    /// Shades from few to many.
    pub(super) shades: &'static [&'static str],
    /// The row of a promise.
    pub(super) promise: &'static str,
    pub(super) mark: &'static str,
    /// The same where the person at the screen did it.
    pub(super) mark_you: &'static str,
    pub(super) grid: &'static str,
    /// A line that the scenario promises not to cross.
    pub(super) promise_line: &'static str,
    /// From little to much.
    pub(super) levels: [&'static str; 4],
    /// Corners top left, top right, bottom left, bottom right; horizontal; vertical.
    pub(super) border: [&'static str; 6],
    pub(super) braille: bool,
}

static UNICODE: Set = Set {
    up: "●",
    slow: "◐",
    limited: "▲",
    down: "✖",
    probing: "◌",
    draining: "▽",
    gone: "·",
    fault: "↯",
    cursor: "›",
    rising: "▲",
    falling: "▼",
    run: "▶",
    back: "◀",
    pause: "‖",
    done: "■",
    failed: "✖",
    held: "✔",
    never: "∞",
    none: "—",
    times: "×",
    dot: "·",
    arrow: "→",
    more: "…",
    bar: ["━", "╾", "─"],
    shades: &["·", "░", "▒", "▓", "█"],
    promise: "▸",
    mark: "┊",
    mark_you: "┃",
    grid: "┈",
    promise_line: "╌",
    levels: ["▁", "▃", "▅", "█"],
    border: ["╭", "╮", "╰", "╯", "─", "│"],
    braille: true,
};

static ASCII: Set = Set {
    up: "+",
    slow: "~",
    limited: "!",
    down: "x",
    probing: "o",
    draining: "v",
    gone: ".",
    fault: "#",
    cursor: ">",
    rising: "^",
    falling: "v",
    run: ">",
    back: "<",
    pause: "=",
    done: "#",
    failed: "x",
    held: "+",
    never: "never",
    none: "-",
    times: "x",
    dot: "-",
    arrow: ">",
    more: "~",
    bar: ["=", "-", "."],
    shades: &[".", ":", "-", "=", "+", "*", "#", "%", "@"],
    promise: ">",
    mark: ":",
    mark_you: "|",
    grid: "-",
    promise_line: "=",
    levels: [".", ":", "|", "#"],
    border: ["+", "+", "+", "+", "-", "|"],
    braille: false,
};

impl Glyphs {
    pub(super) fn set(self) -> &'static Set {
        match self {
            Glyphs::Unicode => &UNICODE,
            Glyphs::Ascii => &ASCII,
        }
    }

    pub(super) const fn other(self) -> Glyphs {
        match self {
            Glyphs::Unicode => Glyphs::Ascii,
            Glyphs::Ascii => Glyphs::Unicode,
        }
    }
}

//! The key map: a table from context and key to action. The hint bar and the help are made from
//! this table, so they cannot be out of date.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Where a key is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Context {
    /// Wherever no overlay is open.
    Live,
    /// In the help.
    Help,
    /// In a list to choose from.
    Picker,
    /// In the inspector of decisions: much works as in the live screen.
    Inspector,
    /// Everywhere.
    Always,
}

/// A key with or without Ctrl. Shift is part of the character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chord {
    code: KeyCode,
    ctrl: bool,
}

const fn key(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), ctrl: false }
}

const fn ctrl(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), ctrl: true }
}

const fn code(code: KeyCode) -> Chord {
    Chord { code, ctrl: false }
}

impl Chord {
    fn of(event: KeyEvent) -> Chord {
        Chord { code: event.code, ctrl: event.modifiers.contains(KeyModifiers::CONTROL) }
    }

    /// Returns whether it needs Ctrl.
    pub(super) const fn is_ctrl(self) -> bool {
        self.ctrl
    }

    /// Returns how the key is written on screen.
    pub(super) fn label(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(c) if self.ctrl => return format!("Ctrl-{c}"),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::BackTab => "S-Tab".to_owned(),
            KeyCode::F(n) => format!("F{n}"),
            other => format!("{other:?}"),
        };
        if self.ctrl { format!("Ctrl-{name}") } else { name }
    }
}

/// Something a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyAction {
    Pause,
    Slower,
    Faster,
    Normal,
    Fastest,
    StepInput,
    StepTick,
    Restart,
    KillOrHeal,
    Choose,
    Up,
    Down,
    First,
    Last,
    PageUp,
    PageDown,
    NextPanel,
    PreviousPanel,
    Expand,
    ZoomIn,
    ZoomOut,
    ZoomReset,
    Sort,
    Reverse,
    Lines,
    Why,
    Pin,
    Help,
    Accept,
    Close,
    Theme,
    Glyphs,
    Redraw,
    Suspend,
    Quit,
}

/// The heading an action is listed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyGroup {
    Time,
    Act,
    Look,
    App,
}

impl KeyGroup {
    pub(super) const ALL: [KeyGroup; 4] =
        [KeyGroup::Time, KeyGroup::Act, KeyGroup::Look, KeyGroup::App];

    pub(super) const fn name(self) -> &'static str {
        match self {
            KeyGroup::Time => "Time",
            KeyGroup::Act => "Act",
            KeyGroup::Look => "Look",
            KeyGroup::App => "App",
        }
    }
}

impl KeyAction {
    /// Returns its line in the help. Neighbours with the same line share it.
    pub(super) const fn help(self) -> &'static str {
        match self {
            KeyAction::Pause => "pause or resume",
            KeyAction::Slower | KeyAction::Faster => "half / double speed",
            KeyAction::Normal | KeyAction::Fastest => "1× / as fast as possible",
            KeyAction::StepInput | KeyAction::StepTick => "step one input / one tick",
            KeyAction::Restart => "restart, same seed",
            KeyAction::KillOrHeal => "kill or heal the node",
            KeyAction::Choose => "choose a strategy",
            KeyAction::Up | KeyAction::Down => "row down / up",
            KeyAction::First | KeyAction::Last => "first / last row",
            KeyAction::PageUp | KeyAction::PageDown => "page up / down",
            KeyAction::NextPanel | KeyAction::PreviousPanel => "next / previous panel",
            KeyAction::Expand => "expand panel, and back",
            KeyAction::ZoomIn | KeyAction::ZoomOut | KeyAction::ZoomReset => "time range, reset",
            KeyAction::Sort | KeyAction::Reverse => "next sort column, reverse",
            KeyAction::Lines => "which percentile lines",
            KeyAction::Why => "why this node? decisions",
            KeyAction::Pin => "in why: pin or follow",
            KeyAction::Help => "this help",
            KeyAction::Accept => "take the selected line",
            KeyAction::Close => "close; never quits",
            KeyAction::Theme | KeyAction::Glyphs => "colours / characters",
            KeyAction::Redraw => "draw everything again",
            KeyAction::Suspend => "suspend",
            KeyAction::Quit => "quit",
        }
    }

    pub(super) const fn group(self) -> KeyGroup {
        match self {
            KeyAction::Pause
            | KeyAction::Slower
            | KeyAction::Faster
            | KeyAction::Normal
            | KeyAction::Fastest
            | KeyAction::StepInput
            | KeyAction::StepTick => KeyGroup::Time,
            KeyAction::Restart | KeyAction::KillOrHeal | KeyAction::Choose => KeyGroup::Act,
            KeyAction::Help
            | KeyAction::Accept
            | KeyAction::Close
            | KeyAction::Theme
            | KeyAction::Glyphs
            | KeyAction::Redraw
            | KeyAction::Suspend
            | KeyAction::Quit => KeyGroup::App,
            _ => KeyGroup::Look,
        }
    }
}

/// A word in the hint bar: hints of lower rank go first when room is short; rank 255 stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hint {
    pub(super) word: &'static str,
    pub(super) rank: u8,
}

/// One line of the key map.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) context: Context,
    pub(super) action: KeyAction,
    pub(super) chords: &'static [Chord],
    /// Its words in the hint bar; an empty word joins the key to the hint that follows.
    pub(super) hint: Option<Hint>,
}

const fn bind(context: Context, action: KeyAction, chords: &'static [Chord]) -> Binding {
    Binding { context, action, chords, hint: None }
}

const fn hinted(
    context: Context,
    action: KeyAction,
    chords: &'static [Chord],
    word: &'static str,
    rank: u8,
) -> Binding {
    Binding { context, action, chords, hint: Some(Hint { word, rank }) }
}

impl KeyAction {
    /// Returns whether the key of the live screen does the same in the inspector.
    const fn is_common(self) -> bool {
        matches!(self.group(), KeyGroup::Time)
            || matches!(
                self,
                KeyAction::Choose
                    | KeyAction::Restart
                    | KeyAction::First
                    | KeyAction::Last
                    | KeyAction::PageUp
                    | KeyAction::PageDown
                    | KeyAction::Help
            )
    }
}

impl Binding {
    fn works_in(&self, context: Context) -> bool {
        self.context == context
            || self.context == Always
            || (context == Inspector && self.context == Live && self.action.is_common())
    }
}

use Context::{Always, Help, Inspector, Live, Picker};

/// The key map, in the order of the help.
#[rustfmt::skip]
pub(super) static BINDINGS: &[Binding] = &[
    hinted(Live, KeyAction::Pause, &[key(' ')], "pause", 200),
    hinted(Live, KeyAction::Slower, &[key('[')], "", 180),
    hinted(Live, KeyAction::Faster, &[key(']')], "speed", 180),
    bind(Live, KeyAction::Normal, &[key('\\')]),
    bind(Live, KeyAction::Fastest, &[key('|')]),
    hinted(Live, KeyAction::StepInput, &[key('.')], "", 90),
    hinted(Live, KeyAction::StepTick, &[key('>')], "step", 90),
    hinted(Live, KeyAction::KillOrHeal, &[key('x')], "kill/heal", 190),
    hinted(Live, KeyAction::Choose, &[key('a')], "strategy", 195),
    bind(Live, KeyAction::Restart, &[key('R')]),
    hinted(Live, KeyAction::Down, &[key('j'), code(KeyCode::Down)], "", 60),
    hinted(Live, KeyAction::Up, &[key('k'), code(KeyCode::Up)], "select", 60),
    bind(Live, KeyAction::First, &[key('g'), code(KeyCode::Home)]),
    bind(Live, KeyAction::Last, &[key('G'), code(KeyCode::End)]),
    bind(Live, KeyAction::PageUp, &[code(KeyCode::PageUp), ctrl('u')]),
    bind(Live, KeyAction::PageDown, &[code(KeyCode::PageDown), ctrl('d')]),
    hinted(Live, KeyAction::NextPanel, &[code(KeyCode::Tab)], "panel", 70),
    bind(Live, KeyAction::PreviousPanel, &[code(KeyCode::BackTab)]),
    hinted(Live, KeyAction::Expand, &[key('e'), key('z')], "expand", 55),
    hinted(Live, KeyAction::ZoomIn, &[key('+')], "", 50),
    hinted(Live, KeyAction::ZoomOut, &[key('-')], "range", 50),
    bind(Live, KeyAction::ZoomReset, &[key('=')]),
    hinted(Live, KeyAction::Sort, &[key('s')], "sort", 80),
    bind(Live, KeyAction::Reverse, &[key('S')]),
    hinted(Live, KeyAction::Lines, &[key('p')], "lines", 45),
    hinted(Live, KeyAction::Why, &[key('w')], "why", 85),
    hinted(Inspector, KeyAction::Down, &[key('j'), code(KeyCode::Down)], "", 185),
    hinted(Inspector, KeyAction::Up, &[key('k'), code(KeyCode::Up)], "older, newer", 185),
    hinted(Inspector, KeyAction::Pin, &[key('w')], "pin/follow", 188),
    hinted(Inspector, KeyAction::Close, &[code(KeyCode::Esc)], "back", 192),
    hinted(Help, KeyAction::Down, &[key('j'), code(KeyCode::Down)], "", 50),
    hinted(Help, KeyAction::Up, &[key('k'), code(KeyCode::Up)], "scroll", 50),
    hinted(Picker, KeyAction::Down, &[key('j'), code(KeyCode::Down)], "", 150),
    hinted(Picker, KeyAction::Up, &[key('k'), code(KeyCode::Up)], "select", 150),
    bind(Picker, KeyAction::First, &[key('g'), code(KeyCode::Home)]),
    bind(Picker, KeyAction::Last, &[key('G'), code(KeyCode::End)]),
    hinted(Picker, KeyAction::Accept, &[code(KeyCode::Enter)], "take", 200),
    hinted(Help, KeyAction::Close, &[code(KeyCode::Esc), key('?'), code(KeyCode::F(1))], "close", 200),
    hinted(Picker, KeyAction::Close, &[code(KeyCode::Esc), key('a')], "close", 180),
    hinted(Live, KeyAction::Help, &[key('?'), code(KeyCode::F(1))], "help", 255),
    hinted(Picker, KeyAction::Help, &[key('?'), code(KeyCode::F(1))], "help", 255),
    bind(Live, KeyAction::Close, &[code(KeyCode::Esc)]),
    bind(Always, KeyAction::Theme, &[key('t')]),
    bind(Always, KeyAction::Glyphs, &[key('T')]),
    bind(Always, KeyAction::Redraw, &[ctrl('l')]),
    bind(Always, KeyAction::Suspend, &[ctrl('z')]),
    hinted(Always, KeyAction::Quit, &[key('q'), ctrl('c')], "quit", 255),
];

/// Returns what a key does here.
pub(super) fn action(context: Context, event: KeyEvent) -> Option<KeyAction> {
    let chord = Chord::of(event);
    let here = |binding: &&Binding| binding.works_in(context);
    BINDINGS.iter().filter(here).find(|b| b.chords.contains(&chord)).map(|b| b.action)
}

/// Returns the bindings that work here.
pub(super) fn bindings(context: Context) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| binding.works_in(context))
}

/// A line of the reference of keys.
#[derive(Clone, Debug)]
pub struct KeyLine {
    /// The keys, as they are written on screen.
    pub keys: Vec<String>,
    /// What they do.
    pub about: &'static str,
    /// The heading it is listed under.
    pub group: &'static str,
}

/// Returns every key by where it works, for the reference.
#[must_use]
pub fn key_lines() -> Vec<(&'static str, Vec<KeyLine>)> {
    let places = [
        (Live, "On the live screen"),
        (Inspector, "In the inspector of decisions"),
        (Picker, "In a list to choose from"),
        (Help, "In the help"),
        (Always, "Everywhere"),
    ];
    let lines = |context| {
        let mut lines: Vec<KeyLine> = Vec::new();
        for binding in BINDINGS.iter().filter(|binding| binding.context == context) {
            let keys = binding.chords.iter().map(|chord| chord.label());
            let (about, group) = (binding.action.help(), binding.action.group().name());
            match lines.last_mut().filter(|last| last.about == about) {
                Some(last) => last.keys.extend(keys),
                None => lines.push(KeyLine { keys: keys.collect(), about, group }),
            }
        }
        lines
    };
    places.into_iter().map(|(context, name)| (name, lines(context))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things_in_one_context() {
        for context in [Live, Help, Picker, Inspector] {
            let chords: Vec<Chord> =
                bindings(context).flat_map(|b| b.chords.iter().copied()).collect();
            for (place, chord) in chords.iter().enumerate() {
                assert!(!chords[..place].contains(chord), "{context:?} {chord:?}");
            }
        }
    }

    #[test]
    fn every_action_has_a_help_line_and_a_key() {
        for binding in BINDINGS {
            assert!(!binding.action.help().is_empty());
            assert!(binding.action.help().chars().count() <= 25, "{:?}", binding.action);
            assert!(!binding.chords.is_empty());
        }
    }

    #[test]
    fn quitting_works_everywhere_and_escape_never_quits() {
        for context in [Live, Help, Picker, Inspector] {
            let press = |code| action(context, KeyEvent::new(code, KeyModifiers::NONE));
            assert_eq!(press(KeyCode::Char('q')), Some(KeyAction::Quit));
            assert_eq!(press(KeyCode::Esc), Some(KeyAction::Close));
            let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(action(context, ctrl_c), Some(KeyAction::Quit));
        }
    }
}

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
pub(super) enum Action {
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
pub(super) enum Group {
    Time,
    Act,
    Look,
    App,
}

impl Group {
    pub(super) const ALL: [Group; 4] = [Group::Time, Group::Act, Group::Look, Group::App];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Group::Time => "Time",
            Group::Act => "Act",
            Group::Look => "Look",
            Group::App => "App",
        }
    }
}

impl Action {
    /// Returns its line in the help. Neighbours with the same line share it.
    pub(super) const fn help(self) -> &'static str {
        match self {
            Action::Pause => "pause or resume",
            Action::Slower | Action::Faster => "half / double speed",
            Action::Normal | Action::Fastest => "1× / as fast as possible",
            Action::StepInput | Action::StepTick => "step one input / one tick",
            Action::Restart => "restart, same seed",
            Action::KillOrHeal => "kill or heal the node",
            Action::Choose => "choose a strategy",
            Action::Up | Action::Down => "row down / up",
            Action::First | Action::Last => "first / last row",
            Action::PageUp | Action::PageDown => "page up / down",
            Action::NextPanel | Action::PreviousPanel => "next / previous panel",
            Action::Expand => "expand panel, and back",
            Action::ZoomIn | Action::ZoomOut | Action::ZoomReset => "time range, reset",
            Action::Sort | Action::Reverse => "next sort column, reverse",
            Action::Lines => "which percentile lines",
            Action::Why => "why this node? decisions",
            Action::Pin => "in why: pin or follow",
            Action::Help => "this help",
            Action::Accept => "take the selected line",
            Action::Close => "close; never quits",
            Action::Theme | Action::Glyphs => "colours / characters",
            Action::Redraw => "draw everything again",
            Action::Suspend => "suspend",
            Action::Quit => "quit",
        }
    }

    pub(super) const fn group(self) -> Group {
        match self {
            Action::Pause
            | Action::Slower
            | Action::Faster
            | Action::Normal
            | Action::Fastest
            | Action::StepInput
            | Action::StepTick => Group::Time,
            Action::Restart | Action::KillOrHeal | Action::Choose => Group::Act,
            Action::Help
            | Action::Accept
            | Action::Close
            | Action::Theme
            | Action::Glyphs
            | Action::Redraw
            | Action::Suspend
            | Action::Quit => Group::App,
            _ => Group::Look,
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
    pub(super) action: Action,
    pub(super) chords: &'static [Chord],
    /// Its words in the hint bar; an empty word joins the key to the hint that follows.
    pub(super) hint: Option<Hint>,
}

const fn bind(context: Context, action: Action, chords: &'static [Chord]) -> Binding {
    Binding { context, action, chords, hint: None }
}

const fn hinted(
    context: Context,
    action: Action,
    chords: &'static [Chord],
    word: &'static str,
    rank: u8,
) -> Binding {
    Binding { context, action, chords, hint: Some(Hint { word, rank }) }
}

impl Action {
    /// Returns whether the key of the live screen does the same in the inspector.
    const fn is_common(self) -> bool {
        matches!(self.group(), Group::Time)
            || matches!(
                self,
                Action::Choose
                    | Action::Restart
                    | Action::First
                    | Action::Last
                    | Action::PageUp
                    | Action::PageDown
                    | Action::Help
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
    hinted(Live, Action::Pause, &[key(' ')], "pause", 200),
    hinted(Live, Action::Slower, &[key('[')], "", 180),
    hinted(Live, Action::Faster, &[key(']')], "speed", 180),
    bind(Live, Action::Normal, &[key('\\')]),
    bind(Live, Action::Fastest, &[key('|')]),
    hinted(Live, Action::StepInput, &[key('.')], "", 90),
    hinted(Live, Action::StepTick, &[key('>')], "step", 90),
    hinted(Live, Action::KillOrHeal, &[key('x')], "kill/heal", 190),
    hinted(Live, Action::Choose, &[key('a')], "strategy", 195),
    bind(Live, Action::Restart, &[key('R')]),
    hinted(Live, Action::Down, &[key('j'), code(KeyCode::Down)], "", 60),
    hinted(Live, Action::Up, &[key('k'), code(KeyCode::Up)], "select", 60),
    bind(Live, Action::First, &[key('g'), code(KeyCode::Home)]),
    bind(Live, Action::Last, &[key('G'), code(KeyCode::End)]),
    bind(Live, Action::PageUp, &[code(KeyCode::PageUp), ctrl('u')]),
    bind(Live, Action::PageDown, &[code(KeyCode::PageDown), ctrl('d')]),
    hinted(Live, Action::NextPanel, &[code(KeyCode::Tab)], "panel", 70),
    bind(Live, Action::PreviousPanel, &[code(KeyCode::BackTab)]),
    hinted(Live, Action::Expand, &[key('e'), key('z')], "expand", 55),
    hinted(Live, Action::ZoomIn, &[key('+')], "", 50),
    hinted(Live, Action::ZoomOut, &[key('-')], "range", 50),
    bind(Live, Action::ZoomReset, &[key('=')]),
    hinted(Live, Action::Sort, &[key('s')], "sort", 80),
    bind(Live, Action::Reverse, &[key('S')]),
    hinted(Live, Action::Lines, &[key('p')], "lines", 45),
    hinted(Live, Action::Why, &[key('w')], "why", 85),
    hinted(Inspector, Action::Down, &[key('j'), code(KeyCode::Down)], "", 185),
    hinted(Inspector, Action::Up, &[key('k'), code(KeyCode::Up)], "older, newer", 185),
    hinted(Inspector, Action::Pin, &[key('w')], "pin/follow", 188),
    hinted(Inspector, Action::Close, &[code(KeyCode::Esc)], "back", 192),
    hinted(Help, Action::Down, &[key('j'), code(KeyCode::Down)], "", 50),
    hinted(Help, Action::Up, &[key('k'), code(KeyCode::Up)], "scroll", 50),
    hinted(Picker, Action::Down, &[key('j'), code(KeyCode::Down)], "", 150),
    hinted(Picker, Action::Up, &[key('k'), code(KeyCode::Up)], "select", 150),
    bind(Picker, Action::First, &[key('g'), code(KeyCode::Home)]),
    bind(Picker, Action::Last, &[key('G'), code(KeyCode::End)]),
    hinted(Picker, Action::Accept, &[code(KeyCode::Enter)], "take", 200),
    hinted(Help, Action::Close, &[code(KeyCode::Esc), key('?'), code(KeyCode::F(1))], "close", 200),
    hinted(Picker, Action::Close, &[code(KeyCode::Esc), key('a')], "close", 180),
    hinted(Live, Action::Help, &[key('?'), code(KeyCode::F(1))], "help", 255),
    hinted(Picker, Action::Help, &[key('?'), code(KeyCode::F(1))], "help", 255),
    bind(Live, Action::Close, &[code(KeyCode::Esc)]),
    bind(Always, Action::Theme, &[key('t')]),
    bind(Always, Action::Glyphs, &[key('T')]),
    bind(Always, Action::Redraw, &[ctrl('l')]),
    bind(Always, Action::Suspend, &[ctrl('z')]),
    hinted(Always, Action::Quit, &[key('q'), ctrl('c')], "quit", 255),
];

/// Returns what a key does here.
pub(super) fn action(context: Context, event: KeyEvent) -> Option<Action> {
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
            assert_eq!(press(KeyCode::Char('q')), Some(Action::Quit));
            assert_eq!(press(KeyCode::Esc), Some(Action::Close));
            let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(action(context, ctrl_c), Some(Action::Quit));
        }
    }
}

//! The key map: a table from context and key to action, and what a person has changed of it. The hint bar
//! and the help are made from this table, so they cannot be out of date.

use super::tab::View;

mod action;
mod chord;
mod map;
mod table;

pub(super) use action::KeyAction;
pub(super) use chord::Chord;
pub use map::KeyMap;
pub(super) use table::BINDINGS;

/// Where a key is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Context {
    /// In every view, while no overlay is open.
    Views,
    /// In this view.
    View(View),
    /// In a list to choose from, which letters search.
    List,
    /// Where a line is typed.
    Line,
    /// Where one thing is told in full.
    Card,
    /// In the list of faults, where letters narrow it.
    Faults,
    /// Where a letter names the column to sort by.
    Columns,
    /// Everywhere.
    Always,
}

impl Context {
    /// Returns whether keys of `other` work here, too.
    fn includes(self, other: Context) -> bool {
        let everywhere = other == Context::Always;
        everywhere || other == self || (other == Context::Views && matches!(self, Context::View(_)))
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

impl Binding {
    pub(super) fn works_in(&self, context: Context) -> bool {
        context.includes(self.context)
    }
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
        (Context::Views, "In every view"),
        (Context::View(View::Live), "In the live view"),
        (Context::View(View::Latency), "In the view of latencies"),
        (Context::View(View::Compare), "In the view of comparisons"),
        (Context::View(View::Why), "In the view of decisions"),
        (Context::View(View::Events), "In the view of events"),
        (Context::List, "In the help and other lists, where letters search"),
        (Context::Line, "Where a filter or a search is typed"),
        (Context::Card, "In the details of one thing"),
        (Context::Faults, "In the list of faults"),
        (Context::Columns, "Where a letter names the column to sort by"),
        (Context::Always, "Everywhere"),
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
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;

    fn contexts() -> impl Iterator<Item = Context> {
        View::ALL.into_iter().map(Context::View).chain([
            Context::List,
            Context::Line,
            Context::Card,
        ])
    }

    #[test]
    fn no_key_does_two_things_in_one_context() {
        for context in contexts().chain([Context::Faults]) {
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
    fn every_place_of_a_binding_is_in_the_reference() {
        let lines: usize =
            key_lines().iter().flat_map(|(_, lines)| lines).map(|l| l.keys.len()).sum();
        assert_eq!(lines, BINDINGS.iter().map(|binding| binding.chords.len()).sum::<usize>());
    }

    #[test]
    fn control_c_quits_everywhere_and_escape_and_q_close_what_is_open() {
        let map = KeyMap::default();
        for context in contexts() {
            let press = |code| map.action(context, KeyEvent::new(code, KeyModifiers::NONE));
            // Where letters are typed, q is one of them.
            let q = match context {
                Context::View(_) => Some(KeyAction::Quit),
                Context::Card => Some(KeyAction::Close),
                _ => None,
            };
            assert_eq!(press(KeyCode::Char('q')), q);
            assert_eq!(press(KeyCode::Esc), Some(KeyAction::Close));
            let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(map.action(context, ctrl_c), Some(KeyAction::Quit));
        }
    }
}

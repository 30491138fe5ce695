//! What a person has changed of the key map.

use crossterm::event::KeyEvent;

use super::{BINDINGS, Binding, Chord, Context, KeyAction};

/// Other keys for what can be done in views. Where letters search, keys are as they are; `Esc` goes on closing
/// and `Ctrl-c` quitting whatever else does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyMap {
    changed: Vec<(KeyAction, Vec<Chord>)>,
}

impl KeyMap {
    /// The key map with these keys for these actions, which are called as in the list of commands.
    ///
    /// # Errors
    /// If there is no such action or key, or if a key would do two things.
    pub fn with<'a>(
        wanted: impl IntoIterator<Item = (&'a str, &'a [String])>,
    ) -> Result<KeyMap, String> {
        let mut map = KeyMap::default();
        for (word, keys) in wanted {
            let known = BINDINGS.iter().filter(|binding| is_in_views(binding.context));
            let action = known.map(|binding| binding.action).find(|action| action.word() == word);
            let action = action.ok_or_else(|| format!("there is nothing to do called `{word}`"))?;
            let chord = |key: &String| {
                Chord::parse(key).ok_or_else(|| format!("`{word}`: there is no key `{key}`"))
            };
            let chords: Vec<Chord> = keys.iter().map(chord).collect::<Result<_, _>>()?;
            if chords.is_empty() {
                return Err(format!("`{word}` needs a key"));
            }
            map.changed.push((action, chords));
        }
        map.check()?;
        Ok(map)
    }

    /// No key does two things in one view.
    fn check(&self) -> Result<(), String> {
        for view in super::View::ALL {
            let mut taken: Vec<(Chord, KeyAction)> = Vec::new();
            for binding in super::bindings(Context::View(view)) {
                for chord in self.chords(binding) {
                    match taken.iter().find(|(other, _)| other == chord) {
                        Some((_, other)) if *other != binding.action => {
                            let (key, one, two) =
                                (chord.label(), other.word(), binding.action.word());
                            return Err(format!("`{key}` would be both `{one}` and `{two}`"));
                        }
                        _ => taken.push((*chord, binding.action)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the keys of a binding, the first of which is shown.
    pub(in crate::tui) fn chords<'a>(&'a self, binding: &'a Binding) -> &'a [Chord] {
        let changed = self.changed.iter().find(|(action, _)| *action == binding.action);
        match changed {
            Some((_, chords)) if is_in_views(binding.context) => chords,
            _ => binding.chords,
        }
    }

    /// Returns what a key does here.
    pub(in crate::tui) fn action(&self, context: Context, event: KeyEvent) -> Option<KeyAction> {
        let chord = Chord::of(event);
        let here = || BINDINGS.iter().filter(|binding| binding.works_in(context));
        let found = here().find(|binding| self.chords(binding).contains(&chord));
        // Who has given all keys of leaving to something else can leave all the same.
        let kept = || {
            let built_in = here().find(|binding| binding.chords.contains(&chord));
            let kept = |action: &KeyAction| matches!(action, KeyAction::Quit | KeyAction::Close);
            built_in.filter(|binding| !chord.is_letter() && kept(&binding.action))
        };
        found.or_else(kept).map(|binding| binding.action)
    }
}

const fn is_in_views(context: Context) -> bool {
    matches!(context, Context::Views | Context::View(_) | Context::Always)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::tab::View;

    fn with(wanted: &[(&str, &[&str])]) -> Result<KeyMap, String> {
        let owned: Vec<(&str, Vec<String>)> = wanted
            .iter()
            .map(|(word, keys)| (*word, keys.iter().map(|key| (*key).to_owned()).collect()))
            .collect();
        KeyMap::with(owned.iter().map(|(word, keys)| (*word, keys.as_slice())))
    }

    fn does(map: &KeyMap, context: Context, key: &str) -> Option<KeyAction> {
        map.action(context, Chord::parse(key).expect("a key").event())
    }

    #[test]
    fn an_action_has_the_keys_it_was_given_and_no_others() {
        let map = with(&[("kill-or-heal", &["K", "F5"]), ("quit", &["Q"])]).expect("sound");
        let live = Context::View(View::Live);
        assert_eq!(does(&map, live, "K"), Some(KeyAction::KillOrHeal));
        assert_eq!(does(&map, live, "F5"), Some(KeyAction::KillOrHeal));
        assert_eq!(does(&map, live, "x"), None);
        assert_eq!(does(&map, live, "Q"), Some(KeyAction::Quit));
        assert_eq!(does(&map, live, "q"), None);
        assert_eq!(does(&map, live, "Ctrl-c"), Some(KeyAction::Quit), "there is always a way out");
        assert_eq!(does(&map, live, "Space"), Some(KeyAction::Pause), "the rest is as it was");
        assert_eq!(does(&map, Context::List, "Ctrl-c"), Some(KeyAction::Quit));
        assert_eq!(does(&map, Context::Card, "q"), Some(KeyAction::Close));
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        for (wanted, said) in [
            ([("fly", &["K"][..])], "nothing to do called `fly`"),
            ([("pause", &["Spcae"][..])], "there is no key `Spcae`"),
            ([("pause", &["x"][..])], "`x` would be both `pause` and `kill-or-heal`"),
            ([("pause", &[][..])], "needs a key"),
        ] {
            let why = with(&wanted).expect_err("refused");
            assert!(why.contains(said), "{why}");
        }
        // A key that is given up can be taken.
        with(&[("kill-or-heal", &["K"]), ("pause", &["x"])]).expect("sound");
    }

    #[test]
    fn every_key_is_read_as_it_is_written() {
        for binding in BINDINGS {
            for chord in binding.chords {
                let label = chord.label().replace('↑', "Up").replace('↓', "Down");
                assert_eq!(Chord::parse(&label), Some(*chord), "{label}");
            }
        }
    }
}

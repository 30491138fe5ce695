//! A table of a scenario that is being read: what was asked for, and what it is if nothing is said.

use super::document::Entry;
use super::keys::{KeyDef, KeyKind, SectionDef, Usual};
use super::problem::{Place, quote};
use super::value::{Field, Walk, suggest};
use crate::unit::Span;

#[cfg(test)]
thread_local! {
    /// Every key that was asked for, by section.
    pub(super) static ASKED: std::cell::RefCell<std::collections::BTreeSet<(&'static str, &'static str)>> =
        const { std::cell::RefCell::new(std::collections::BTreeSet::new()) };
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// As messages call it: `[balancer]`, `retry`.
    what: String,
    pub(super) place: &'a Place,
    entries: &'a [Entry],
    section: &'static SectionDef,
    asked: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The table of this key, or with the title of its section.
    pub(super) fn new(
        key: &str,
        place: &'a Place,
        entries: &'a [Entry],
        section: &'static SectionDef,
    ) -> Table<'a> {
        let what =
            if section.title.is_empty() { format!("`{key}`") } else { section.title.to_owned() };
        Table { what, place, entries, section, asked: Vec::new() }
    }

    /// Returns what the section says of a key.
    ///
    /// # Panics
    /// If it does not have the key: the reader is wrong, whatever is read.
    fn key(&self, key: &str) -> &'static KeyDef {
        let found = self.section.find(key);
        found.unwrap_or_else(|| panic!("section `{}` has no key `{key}`", self.section.name))
    }

    /// Takes the value of a key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'a>> {
        let kind = self.key(key).kind;
        self.take_as(key, kind)
    }

    /// Takes the value of a key that is not in the section itself: a fault, or a parameter of one.
    pub(super) fn take_as(&mut self, key: &'static str, kind: KeyKind) -> Option<Field<'a>> {
        #[cfg(test)]
        ASKED.with_borrow_mut(|asked| asked.insert((self.section.name, key)));
        self.asked.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Field { name: &entry.key, value: &entry.value, kind })
    }

    /// Takes the value of a key, or returns what it is if nothing is said; notes a problem if it
    /// must be said.
    fn said(&mut self, walk: &mut Walk, key: &'static str) -> Result<Field<'a>, Usual> {
        let usual = self.key(key).usual;
        let field = match usual {
            Usual::Needed => self.need(walk, key),
            Usual::NeededUnless(other) if !self.has(other) => self.need(walk, key),
            _ => self.take(key),
        };
        field.ok_or(usual)
    }

    /// Takes the value of a key; notes a problem if it is not there and must be.
    pub(super) fn take_or_need(&mut self, walk: &mut Walk, key: &'static str) -> Option<Field<'a>> {
        self.said(walk, key).ok()
    }

    /// A key with what it is if nothing is said: `None` after a problem, and where nothing is.
    fn or_usual<T>(
        &mut self,
        walk: &mut Walk,
        key: &'static str,
        read: impl FnOnce(&mut Walk, Field<'a>) -> Option<T>,
        usual: impl FnOnce(Usual) -> Option<T>,
    ) -> Option<T> {
        match self.said(walk, key) {
            Ok(field) => read(walk, field),
            Err(unsaid) => usual(unsaid),
        }
    }

    /// A whole number, its default if nothing is said.
    pub(super) fn count(&mut self, walk: &mut Walk, key: &'static str) -> Option<u64> {
        self.or_usual(walk, key, Walk::count, |usual| match usual {
            Usual::Whole(whole) => Some(whole),
            _ => None,
        })
    }

    /// A number, its default if nothing is said.
    pub(super) fn number(&mut self, walk: &mut Walk, key: &'static str) -> Option<f64> {
        self.or_usual(walk, key, Walk::number, |usual| match usual {
            Usual::Number(number) => Some(number),
            _ => None,
        })
    }

    /// A duration, its default if nothing is said.
    pub(super) fn span(&mut self, walk: &mut Walk, key: &'static str) -> Option<Span> {
        self.or_usual(walk, key, Walk::span, |usual| match usual {
            Usual::Span(span) => Some(span),
            _ => None,
        })
    }

    /// A duration or the word "none", its default if nothing is said.
    pub(super) fn span_or_none(
        &mut self,
        walk: &mut Walk,
        key: &'static str,
    ) -> Option<Option<Span>> {
        self.or_usual(walk, key, Walk::span_or_none, |usual| match usual {
            Usual::Span(span) => Some(Some(span)),
            Usual::Word("none") => Some(None),
            _ => None,
        })
    }

    /// Truth or falsehood, its default if nothing is said.
    pub(super) fn truth(&mut self, walk: &mut Walk, key: &'static str) -> Option<bool> {
        self.or_usual(walk, key, Walk::truth, |usual| match usual {
            Usual::Truth(truth) => Some(truth),
            _ => None,
        })
    }

    /// What one of a few words means, its default if nothing is said.
    pub(super) fn word<T: Copy>(
        &mut self,
        walk: &mut Walk,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let read = |walk: &mut Walk, field: Field<'a>| walk.word(field, words);
        self.or_usual(walk, key, read, |usual| match usual {
            Usual::Word(word) => words.iter().find(|(name, _)| *name == word).map(|(_, it)| *it),
            _ => None,
        })
    }

    /// Takes the value of a key that must be there.
    pub(super) fn need(&mut self, walk: &mut Walk, key: &'static str) -> Option<Field<'a>> {
        let found = self.take(key);
        if found.is_none() {
            self.missing(walk, key);
        }
        found
    }

    /// Notes that a key must be said.
    pub(super) fn missing(&self, walk: &mut Walk, key: &str) {
        let message = format!("{} has no `{key}`", self.what);
        walk.problem(self.place, message).label(format!("`{key}` is missing"));
    }

    /// Notes every key that was not asked for.
    pub(super) fn finish(self, walk: &mut Walk) {
        let asked = self.asked.clone();
        self.finish_as(walk, "key", &asked);
    }

    /// As `finish`, where the keys of this table are better called something else.
    pub(super) fn finish_as(self, walk: &mut Walk, what: &str, known: &[&'static str]) {
        let later = self.section.later;
        for entry in self.entries {
            let key = entry.key.as_str();
            if self.asked.contains(&key) {
                continue;
            }
            if later.contains(&key) {
                walk.not_yet(&entry.place, key);
                continue;
            }
            let message = format!("unknown {what} {} in {}", quote(key), self.what);
            let help = suggest(what, key, known.iter().copied());
            walk.problem(&entry.place, message).label(format!("not a {what} here")).help(help);
        }
    }

    /// Returns where a key stands, or the table if it is not there.
    pub(super) fn key_place(&self, key: &str) -> &'a Place {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map_or(self.place, |entry| &entry.place)
    }

    /// Returns where the value of the first of these keys stands that is there, or the table.
    pub(super) fn value_place(&self, keys: &[&str]) -> &'a Place {
        let find = |key: &&str| self.entries.iter().find(|entry| entry.key == **key);
        keys.iter().find_map(find).map_or(self.place, |entry| &entry.value.place)
    }

    /// Returns whether there is a key that was not asked for.
    pub(super) fn any_unknown(&self) -> bool {
        self.entries.iter().any(|entry| !self.asked.contains(&entry.key.as_str()))
    }

    /// Returns whether the key is there, without asking for it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }
}

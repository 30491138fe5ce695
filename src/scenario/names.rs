//! Names: what a scenario calls its things, each once, and finding them again.

use std::collections::BTreeMap;

use super::problem::{Place, quote};
use super::value::{Field, Walk, suggest};

/// The names of one kind of thing, numbered in the order they were first mentioned.
#[derive(Debug, Default)]
pub(super) struct Names {
    what: &'static str,
    list: Vec<String>,
    index: BTreeMap<String, usize>,
}

impl Names {
    pub(super) fn new(what: &'static str) -> Names {
        Names { what, ..Names::default() }
    }

    /// Adds a name, or notes that it is taken.
    pub(super) fn add(&mut self, walk: &mut Walk, name: &str, place: &Place) {
        if self.index.contains_key(name) {
            let message = format!("two {} are called {}", plural(self.what), quote(name));
            walk.problem(place, message).label("the second one");
        }
        self.push(name);
    }

    /// Returns the number of a name, adding it if it is new.
    pub(super) fn intern(&mut self, name: &str) -> usize {
        match self.index.get(name) {
            Some(&index) => index,
            None => self.push(name),
        }
    }

    /// Takes a number without a name.
    pub(super) fn skip(&mut self) {
        self.list.push(String::new());
    }

    fn push(&mut self, name: &str) -> usize {
        let number = self.list.len();
        self.list.push(name.to_owned());
        self.index.entry(name.to_owned()).or_insert(number);
        number
    }

    /// Returns the number of a name.
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Returns the number of the name a field refers to, or notes that there is none.
    pub(super) fn find(&self, walk: &mut Walk, field: Field<'_>) -> Option<usize> {
        let name = walk.text(field)?;
        self.find_name(walk, name, field.place())
    }

    /// As `find`, for a name that is not the whole of a value.
    pub(super) fn find_name(&self, walk: &mut Walk, name: &str, place: &Place) -> Option<usize> {
        // The empty name stands for "not said" and cannot be referred to.
        let found = self.get(name).filter(|_| !name.is_empty());
        if found.is_none() {
            let names = self.list.iter().map(String::as_str).filter(|name| !name.is_empty());
            let help = suggest(self.what, name, names);
            walk.problem(place, format!("unknown {} {}", self.what, quote(name)))
                .label(format!("names no {}", self.what))
                .help(help);
        }
        found
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn list(&self) -> &[String] {
        &self.list
    }
}

fn plural(what: &str) -> String {
    if what.ends_with('s') { format!("{what}es") } else { format!("{what}s") }
}

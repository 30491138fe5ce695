//! Defaults in force: every key that a scenario does not say and that counts all the same, with what it
//! is then.

use std::collections::{BTreeMap, BTreeSet};

use super::Scenario;
use super::document::{self, Entry, Kind, Value};
use super::keys::{KeyKind, SCENARIO, SectionDef, Usual};
use crate::balance::StrategySpec;

/// Of a table that is not said and whose keys all count.
const EVERY_DEFAULT: Usual = Usual::Unsaid("every default");

/// A key that is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRow {
    /// The table it would stand in, as a file has it: `[balancer.retry]`, `[[pool.node]]`; empty for the
    /// beginning of the file.
    pub table: String,
    /// Which of these tables, by name, if there are several.
    pub of: String,
    /// The key in its table.
    pub key: String,
    /// What it is.
    pub value: String,
    /// Whether that is a value, and not words for what happens without one.
    pub is_value: bool,
    /// What it means.
    pub about: &'static str,
}

/// Defaults of one kind of table: rows that are the same in several tables stand once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultGroup {
    /// As in [`DefaultRow::table`].
    pub table: String,
    /// Rows, each with the names of the tables it is in; of all of them if there are none.
    pub rows: Vec<(DefaultRow, Vec<String>)>,
}

impl Scenario {
    /// Returns every default in force, in the order of the reference.
    #[must_use]
    pub fn defaults(&self) -> Vec<DefaultRow> {
        let document = document::read(self.source.trim_start_matches('\u{feff}'));
        let mut walk = DefaultWalk { rows: Vec::new(), at: Spot::default() };
        walk.section(&SCENARIO, &document.unwrap_or_default());
        walk.rows
    }

    /// Returns the same by table.
    #[must_use]
    pub fn default_groups(&self) -> Vec<DefaultGroup> {
        let mut groups: Vec<DefaultGroup> = Vec::new();
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in self.defaults() {
            names.entry(row.table.clone()).or_default().insert(row.of.clone());
            let at = groups.iter().position(|group| group.table == row.table);
            let at = at.unwrap_or_else(|| {
                groups.push(DefaultGroup { table: row.table.clone(), rows: Vec::new() });
                groups.len() - 1
            });
            let rows = &mut groups[at].rows;
            let same = |(other, _): &&mut (DefaultRow, Vec<String>)| {
                (&other.key, &other.value) == (&row.key, &row.value)
            };
            match rows.iter_mut().find(same) {
                Some((_, of)) => of.push(row.of.clone()),
                None => {
                    let of = vec![row.of.clone()];
                    rows.push((row, of));
                }
            }
        }
        for DefaultGroup { table, rows } in &mut groups {
            let all = names.get(table).map_or(0, BTreeSet::len);
            rows.iter_mut().filter(|(_, of)| of.len() >= all).for_each(|(_, of)| of.clear());
        }
        groups
    }
}

/// Where the walk is: a table, which of them, and the keys inside of it.
#[derive(Clone, Debug, Default)]
struct Spot {
    table: String,
    of: String,
    key: String,
}

impl Spot {
    fn key(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    /// The table that this key has as its value.
    fn inside(&self, name: &str) -> Spot {
        let key = self.key(name);
        // What is inside of one of several tables is written on one line in it.
        if self.table.starts_with("[[") {
            return Spot { key, ..self.clone() };
        }
        let parent = self.table.trim_matches(['[', ']']);
        let dot = if parent.is_empty() { "" } else { "." };
        Spot { table: format!("[{parent}{dot}{key}]"), ..Spot::default() }
    }

    /// One of the tables that this key is a list of.
    fn item(&self, name: &str, of: &str) -> Spot {
        let key = self.key(name);
        let parent = self.table.trim_matches(['[', ']']);
        let dot = if parent.is_empty() { "" } else { "." };
        let table = format!("[[{parent}{dot}{key}]]");
        // Names of nodes are all different; what else is in one of several tables is known by both.
        let alone = self.of.is_empty() || self.table == "[[pool]]";
        let of = if alone { of.to_owned() } else { format!("{}.{of}", self.of) };
        Spot { table, of, key: String::new() }
    }
}

struct DefaultWalk {
    rows: Vec<DefaultRow>,
    at: Spot,
}

impl DefaultWalk {
    /// Looks at something inside, and comes back.
    fn inside(&mut self, spot: Spot, look: impl FnOnce(&mut DefaultWalk)) {
        let before = std::mem::replace(&mut self.at, spot);
        look(self);
        self.at = before;
    }

    fn row(&mut self, name: &str, value: String, is_value: bool, about: &'static str) {
        let Spot { table, of, .. } = self.at.clone();
        self.rows.push(DefaultRow { table, of, key: self.at.key(name), value, is_value, about });
    }

    fn section(&mut self, section: &SectionDef, entries: &[Entry]) {
        for key in section.keys {
            match entries.iter().find(|entry| entry.key == key.name) {
                Some(entry) => self.said(key.name, &key.kind, &entry.value),
                // Every one of a table of which all count.
                None if key.usual == EVERY_DEFAULT => {
                    for inner in key.kind.sections() {
                        self.inside(self.at.inside(key.name), |walk| walk.section(inner, &[]));
                    }
                }
                None if matches!(key.usual, Usual::Needed | Usual::NeededUnless(_))
                    || key.is_one() => {}
                None => {
                    let is_value = !matches!(key.usual, Usual::Unsaid(_));
                    self.row(key.name, key.usual.to_string(), is_value, key.about);
                }
            }
        }
    }

    /// What stands inside of a value that is said.
    fn said(&mut self, name: &str, kind: &KeyKind, value: &Value) {
        for kind in kind.alternatives() {
            match (kind, &value.kind) {
                // Of a pool, what is not said is as in all pools.
                (KeyKind::Table(_), Kind::Table(_))
                    if name == "health" && self.at.table != "[balancer]" => {}
                (KeyKind::Table(inner), Kind::Table(entries)) => {
                    self.inside(self.at.inside(name), |walk| walk.section(inner, entries));
                }
                // Of a law its parameters are said, one way or another.
                (KeyKind::Variant(inner, _), Kind::Table(entries)) if !inner.is_law() => {
                    self.inside(self.at.inside(name), |walk| {
                        for entry in entries {
                            if let Some(key) = inner.find(&entry.key) {
                                walk.said(&entry.key, &key.kind, &entry.value);
                            }
                        }
                    });
                }
                (KeyKind::Tables(inner, _), Kind::List(items)) => {
                    for (index, item) in items.iter().enumerate() {
                        let Kind::Table(entries) = &item.kind else { continue };
                        let named = entries.iter().find(|entry| entry.key == "name");
                        let of = match named.map(|name| &name.value.kind) {
                            Some(Kind::Text(name)) => name.clone(),
                            _ => (index + 1).to_string(),
                        };
                        let spot = self.at.item(name, &of);
                        self.inside(spot, |walk| walk.section(inner, entries));
                    }
                }
                (KeyKind::Strategy, _) => self.strategy(name, value),
                _ => {}
            }
        }
    }

    fn strategy(&mut self, key: &str, value: &Value) {
        let (name, given) = match &value.kind {
            Kind::Text(name) => (name.as_str(), &[][..]),
            Kind::Table(entries) => match entries.as_slice() {
                [Entry { key, value: Value { kind: Kind::Table(given), .. }, .. }] => {
                    (key.as_str(), given.as_slice())
                }
                _ => return,
            },
            _ => return,
        };
        let Some(spec) = StrategySpec::named(name) else { return };
        for setting in spec.entry().settings {
            if given.iter().any(|entry| entry.key == setting.name) {
                continue;
            }
            let place = format!("{key}.{name}.{}", setting.name);
            self.row(&place, setting.kind.show(setting.default), true, setting.about);
        }
    }
}

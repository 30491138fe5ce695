//! Defaults in force: every key that a scenario does not say and that counts all the same, with what it
//! is then.

use super::Scenario;
use super::document::{self, Entry, Kind, Value};
use super::keys::{KeyKind, SCENARIO, SectionDef, Usual};
use crate::balance::StrategySpec;

/// Of a table that is not said and whose keys all count.
const EVERY_DEFAULT: Usual = Usual::Unsaid("every default");

/// A key that is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRow {
    /// Where it would stand, with the names of pools and the like: `pool.main.node.a.weight`.
    pub path: String,
    /// What it is.
    pub value: String,
    /// What it means.
    pub about: &'static str,
}

impl Scenario {
    /// Returns every default in force, in the order of the reference.
    #[must_use]
    pub fn defaults(&self) -> Vec<DefaultRow> {
        let document = document::read(self.source.trim_start_matches('\u{feff}'));
        let mut rows = Vec::new();
        section(&mut rows, "", &SCENARIO, &document.unwrap_or_default());
        rows
    }
}

fn section(rows: &mut Vec<DefaultRow>, path: &str, section: &SectionDef, entries: &[Entry]) {
    for key in section.keys {
        let path = format!("{path}{}", key.name);
        match entries.iter().find(|entry| entry.key == key.name) {
            Some(entry) => said(rows, &path, &key.kind, &entry.value),
            // Every one of a table of which all count.
            None if key.usual == EVERY_DEFAULT => {
                for inner in key.kind.sections() {
                    self::section(rows, &format!("{path}."), inner, &[]);
                }
            }
            None if matches!(key.usual, Usual::Needed | Usual::NeededUnless(_)) || key.is_one() => {
            }
            None => {
                rows.push(DefaultRow { path, value: key.usual.to_string(), about: key.about });
            }
        }
    }
}

/// What stands inside of a value that is said.
fn said(rows: &mut Vec<DefaultRow>, path: &str, kind: &KeyKind, value: &Value) {
    for kind in kind.alternatives() {
        match (kind, &value.kind) {
            (KeyKind::Table(inner), Kind::Table(entries)) if !path.ends_with(".health") => {
                section(rows, &format!("{path}."), inner, entries);
            }
            // Of a pool, what is not said is as in all pools.
            (KeyKind::Table(inner), Kind::Table(entries)) if path == "balancer.health" => {
                section(rows, "balancer.health.", inner, entries);
            }
            (KeyKind::Variant(inner, _), Kind::Table(entries)) => {
                for entry in entries {
                    if let Some(key) = inner.find(&entry.key) {
                        said(rows, &format!("{path}.{}", entry.key), &key.kind, &entry.value);
                    }
                }
            }
            (KeyKind::Tables(inner, _), Kind::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let Kind::Table(entries) = &item.kind else { continue };
                    let name = entries.iter().find(|entry| entry.key == "name");
                    let name = match name.map(|name| &name.value.kind) {
                        Some(Kind::Text(name)) => name.clone(),
                        _ => index.to_string(),
                    };
                    section(rows, &format!("{path}.{name}."), inner, entries);
                }
            }
            (KeyKind::Strategy, _) => strategy(rows, path, value),
            _ => {}
        }
    }
}

fn strategy(rows: &mut Vec<DefaultRow>, path: &str, value: &Value) {
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
        rows.push(DefaultRow {
            path: format!("{path}.{name}.{}", setting.name),
            value: setting.kind.show(setting.default),
            about: setting.about,
        });
    }
}

//! Every key of a scenario as a row: for lists and pages.

use std::fmt;

use super::{KeyDef, KeyKind, SCENARIO, SectionDef, Usual};
use crate::balance::REGISTRY;
use crate::node::fault::FAULTS;
use crate::scenario::fault::TARGET;

/// A key: where it stands, and what it may say.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Names joined by dots: `balancer.retry.attempts`.
    pub path: String,
    /// What its value may be, in words.
    pub kind: String,
    /// What it is if nothing is said.
    pub usual: String,
    /// What it means.
    pub about: String,
}

/// Returns every key of a scenario in the order of the sections, those of laws last.
///
/// A section that stands in several places is listed where it stands first.
#[must_use]
pub fn rows() -> Vec<KeyRow> {
    let mut list = Lister::default();
    list.section("", &SCENARIO);
    for law in std::mem::take(&mut list.laws) {
        list.section(&format!("<{}>.", law.name), law);
    }
    list.rows
}

#[derive(Default)]
struct Lister {
    rows: Vec<KeyRow>,
    /// Sections that are listed, and where.
    seen: Vec<(&'static str, String)>,
    laws: Vec<&'static SectionDef>,
    /// Where the faults are listed.
    faults: Option<String>,
}

impl Lister {
    fn section(&mut self, path: &str, section: &'static SectionDef) {
        self.seen.push((section.name, path.trim_end_matches('.').to_owned()));
        let row = |list: &mut Lister, key: &KeyDef| {
            list.row(&format!("{path}{}", key.name), &key.kind, &key.usual, key.about);
        };
        // Where faults are listed too, what they have in common comes first.
        let (first, last): (Vec<&KeyDef>, Vec<&KeyDef>) =
            section.keys.iter().partition(|key| !section.fault || key.kind.sections().is_empty());
        first.into_iter().for_each(|key| row(self, key));
        if section.fault {
            self.faults(path);
        }
        last.into_iter().for_each(|key| row(self, key));
    }

    fn row(&mut self, path: &str, kind: &KeyKind, usual: &dyn fmt::Display, about: &str) {
        let mut inside = Vec::new();
        let mut words = kind.to_string();
        for section in kind.sections() {
            if section.is_law() {
                if !self.laws.iter().any(|law| law.name == section.name) {
                    self.laws.push(section);
                }
            } else if let Some((_, there)) = self.seen.iter().find(|seen| seen.0 == section.name) {
                words = format!("{words} as `{there}`");
            } else {
                inside.push(section);
            }
        }
        let (usual, about) = (usual.to_string(), about.to_owned());
        self.rows.push(KeyRow { path: path.to_owned(), kind: words, usual, about });
        if matches!(kind, KeyKind::Strategy) {
            self.strategies(path);
        }
        for section in inside {
            self.section(&format!("{path}."), section);
        }
    }

    fn strategies(&mut self, path: &str) {
        for entry in REGISTRY {
            for setting in entry.settings {
                let path = format!("{path}.{}.{}", entry.name, setting.name);
                let usual = setting.kind.show(setting.default);
                self.row(&path, &KeyKind::of_setting(setting.kind), &usual, setting.about);
            }
        }
    }

    fn faults(&mut self, path: &str) {
        if let Some(there) = &self.faults {
            let there = there.trim_end_matches('.');
            self.rows.push(KeyRow {
                path: format!("{path}<fault>"),
                kind: format!("a fault as in `{there}`"),
                usual: Usual::Needed.to_string(),
                about: "one of the faults, without `for`".to_owned(),
            });
            return;
        }
        self.faults = Some(path.to_owned());
        for word in FAULTS {
            let path = format!("{path}{}", word.name);
            let kind = KeyKind::Table(&TARGET);
            self.row(&path, &kind, &Usual::Unsaid("one fault is needed"), word.about);
            for param in word.params {
                let usual: &dyn fmt::Display = match &param.default {
                    Some(default) => default,
                    None => &Usual::Needed,
                };
                let path = format!("{path}.{}", param.name);
                self.row(&path, &KeyKind::of_param(param.kind), usual, param.about);
            }
        }
    }
}

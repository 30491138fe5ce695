//! Makes a case that fails smaller, while it fails in the same way.
//!
//! Delta debugging (Zeller and Hildebrandt 2002) on the tree of the scenario: pools, classes,
//! routes, faults and settings are left out, numbers and durations are halved, as long as the same
//! invariant is still violated. What is left out of a scenario has its default, so every step is a
//! file that can be run. The result is small, not the smallest.

use super::trial::{Bench, TrialOutcome, Violation};
use crate::scenario::tree::{TreeTable, TreeValue};

/// A case is tried in so many smaller forms at most.
pub const TRIES_MAX: usize = 1_500;

/// A case that violates an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The scenario.
    pub document: TreeTable,
    /// How it fails.
    pub violation: Violation,
    /// Smaller forms that were tried.
    pub tries: usize,
}

impl Bench<'_> {
    /// Returns the smallest form found of a case that fails. `halt` ends the search early.
    #[must_use]
    pub fn shrink(
        &self,
        document: &TreeTable,
        violation: &Violation,
        thorough: bool,
        halt: &dyn Fn() -> bool,
    ) -> Case {
        let (document, violation) = (document.clone(), violation.clone());
        let mut case = Case { document, violation, tries: 0 };
        let mut from = 0;
        loop {
            let smaller = smaller(&case.document);
            let count = smaller.len();
            // After a step that worked the search goes on where it was: what failed before it most
            // likely fails again. Only a whole round without success ends it.
            let order = (from..count).chain(0..from.min(count));
            let mut found = None;
            for at in order {
                if case.tries >= TRIES_MAX || halt() {
                    return case;
                }
                case.tries += 1;
                let TrialOutcome::Broken(violation) =
                    self.trial(&smaller[at].to_string(), thorough)
                else {
                    continue;
                };
                if violation.broken.is_like(&case.violation.broken) {
                    found = Some((at, violation));
                    break;
                }
            }
            let Some((at, violation)) = found else { return case };
            case.document = smaller[at].clone();
            case.violation = violation;
            from = at;
        }
    }
}

/// Every scenario that is one step smaller, large steps first.
fn smaller(document: &TreeTable) -> Vec<TreeTable> {
    let mut list = Vec::new();
    // What is named elsewhere goes together with what names it.
    for section in ["pool", "class", "workflow"] {
        let Some(TreeValue::List(items)) = document.get(section) else { continue };
        for (place, item) in items.iter().enumerate() {
            let TreeValue::Table(table) = item else { continue };
            let mut names: Vec<String> = name(table).into_iter().collect();
            if let Some(TreeValue::List(nodes)) = table.get("node") {
                names.extend(nodes.iter().filter_map(|node| match node {
                    TreeValue::Table(node) => name(node),
                    _ => None,
                }));
            }
            let mut without = document.clone();
            if let Some((_, TreeValue::List(items))) =
                without.0.iter_mut().find(|(key, _)| key == section)
            {
                items.remove(place);
            }
            list.push(forget(&without, &names));
        }
    }
    list.extend(steps(&TreeValue::Table(document.clone())).into_iter().filter_map(|value| {
        match value {
            TreeValue::Table(table) => Some(table),
            _ => None,
        }
    }));
    list
}

fn name(table: &TreeTable) -> Option<String> {
    match table.get("name") {
        Some(TreeValue::Scalar(name)) => Some(name.clone()),
        _ => None,
    }
}

/// Leaves out whatever names one of these.
fn forget(table: &TreeTable, names: &[String]) -> TreeTable {
    let names_it =
        |value: &TreeValue| matches!(value, TreeValue::Scalar(text) if names.contains(text));
    let tells = |key: &str| names.iter().any(|name| name.trim_matches('"') == key);
    let mut left = Vec::new();
    for (key, value) in &table.0 {
        if tells(key) || names_it(value) {
            continue;
        }
        let value = match value {
            TreeValue::List(items) => {
                let refers = |item: &TreeValue| names_it(item) || item.refers(names);
                let kept = items.iter().filter(|item| !refers(item)).map(|item| match item {
                    TreeValue::Table(table) => TreeValue::Table(forget(table, names)),
                    other => other.clone(),
                });
                TreeValue::List(kept.collect())
            }
            TreeValue::Table(inner) => TreeValue::Table(forget(inner, names)),
            scalar @ TreeValue::Scalar(_) => scalar.clone(),
        };
        left.push((key.clone(), value));
    }
    TreeTable(left)
}

impl TreeValue {
    /// Whether a table says one of these names of something other than a list, as faults do.
    fn refers(&self, names: &[String]) -> bool {
        let TreeValue::Table(table) = self else { return false };
        table.0.iter().any(|(_, value)| match value {
            TreeValue::Scalar(text) => names.contains(text),
            TreeValue::Table(_) => value.refers(names),
            TreeValue::List(_) => false,
        })
    }
}

/// Every value that is one step smaller.
fn steps(value: &TreeValue) -> Vec<TreeValue> {
    match value {
        TreeValue::Scalar(text) => halves(text).into_iter().map(TreeValue::Scalar).collect(),
        TreeValue::List(items) => {
            let mut list = Vec::new();
            if items.len() > 3 {
                let (front, back) = items.split_at(items.len() / 2);
                list.push(TreeValue::List(back.to_vec()));
                list.push(TreeValue::List(front.to_vec()));
            }
            for place in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(place);
                list.push(TreeValue::List(fewer));
            }
            for (place, item) in items.iter().enumerate() {
                list.extend(steps(item).into_iter().map(|item| {
                    let mut other = items.clone();
                    other[place] = item;
                    TreeValue::List(other)
                }));
            }
            list
        }
        TreeValue::Table(TreeTable(keys)) => {
            let mut list = Vec::new();
            for place in 0..keys.len() {
                let mut fewer = keys.clone();
                fewer.remove(place);
                list.push(TreeValue::Table(TreeTable(fewer)));
            }
            for (place, (key, value)) in
                keys.iter().enumerate().filter(|(_, (key, _))| key != "seed")
            {
                list.extend(steps(value).into_iter().map(|value| {
                    let mut other = keys.clone();
                    other[place] = (key.clone(), value);
                    TreeValue::Table(TreeTable(other))
                }));
            }
            list
        }
    }
}

/// A whole number or a duration halved, rounded to few digits so that the end is soon reached.
fn halves(text: &str) -> Vec<String> {
    let bare = text.trim_matches('"');
    let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = bare.split_at(digits);
    let Ok(number) = number.parse::<u64>() else { return Vec::new() };
    if number < 2 || !matches!(unit, "" | "ms" | "s") {
        return Vec::new();
    }
    let quoted = |number: u64| {
        if unit.is_empty() { number.to_string() } else { format!("\"{number}{unit}\"") }
    };
    let mut list = vec![quoted(number / 2)];
    // A round number is easier to read.
    let round = 10_u64.pow(number.ilog10());
    if round < number && round > number / 2 {
        list.push(quoted(round));
    }
    list
}

//! Overrides of the command line: written into the document before it is walked, so that they are
//! checked as the file is, and problems with them name the option instead of a line.

use std::sync::Arc;

use super::document::{DEPTH_MAX, Entry, Kind, Value, read_value};
use super::problem::{Place, Problem, quote};
use super::value::suggest;

/// One scalar of a scenario, given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Where it goes: keys, and names or indices of list items, joined by dots.
    pub path: String,
    /// Its new value, as TOML; what is not TOML is a string.
    pub value: String,
    /// How it was given.
    pub given: Given,
}

/// How an override was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// As `--set PATH=VALUE`.
    #[default]
    Set,
    /// As `--seed`, `--requests`, `--duration`, `--strategy` or `--trace`: the path is its name.
    Flag,
}

impl Override {
    /// Parses `PATH=VALUE`.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn set(text: &str) -> Result<Override, String> {
        match text.split_once('=') {
            Some((path, value)) if !path.trim().is_empty() => Ok(Override {
                path: path.trim().to_owned(),
                value: value.trim().to_owned(),
                given: Given::Set,
            }),
            _ => Err(format!("{} is not PATH=VALUE; write for instance seed=9", quote(text))),
        }
    }

    fn flag(name: &str, value: impl Into<String>) -> Override {
        Override { path: name.to_owned(), value: value.into(), given: Given::Flag }
    }

    /// `--seed N`.
    #[must_use]
    pub fn seed(seed: u64) -> Override {
        Override::flag("seed", seed.to_string())
    }

    /// `--requests N`.
    #[must_use]
    pub fn requests(requests: u64) -> Override {
        Override::flag("requests", requests.to_string())
    }

    /// `--duration 10m`.
    #[must_use]
    pub fn duration(duration: &str) -> Override {
        Override::flag("duration", duration)
    }

    /// `--strategy NAME` or `--strategy 'NAME(SETTING=VALUE, …)'`: of every pool.
    #[must_use]
    pub fn strategy(name: &str) -> Override {
        Override::flag("strategy", name)
    }

    /// `--trace FILE`: of the workload, which must be a trace.
    #[must_use]
    pub fn trace(path: &str) -> Override {
        Override::flag("trace", path)
    }

    fn place(&self) -> Place {
        let given = match self.given {
            Given::Set => format!("--set {}={}", self.path, self.value),
            Given::Flag => format!("--{} {}", self.path, self.value),
        };
        Place::Override(Arc::from(given))
    }

    /// Writes the value into the document.
    pub(super) fn apply(&self, document: &mut Vec<Entry>) -> Result<(), Problem> {
        let place = self.place();
        let text = || Value { place: place.clone(), kind: Kind::Text(self.value.clone()) };
        match (self.given, self.path.as_str()) {
            (Given::Flag, "strategy") => {
                let value = with_settings(&self.value, &place).unwrap_or_else(text);
                every_pool(document, &value, &place)
            }
            (Given::Flag, "trace") => trace(document, text(), &place),
            _ => {
                if self.path.split('.').count() > DEPTH_MAX as usize {
                    let message = format!("a path has at most {DEPTH_MAX} parts");
                    return Err(Problem::new(place, message));
                }
                let value = read_value(&self.value, &place).unwrap_or_else(text);
                set(document, &self.path, value, &place)
            }
        }
    }
}

fn find<'a>(entries: &'a mut [Entry], key: &str) -> Option<&'a mut Entry> {
    entries.iter_mut().find(|entry| entry.key == key)
}

/// Sets `key` of a table, whether it was there or not.
fn put(entries: &mut Vec<Entry>, key: &str, value: Value, place: &Place) {
    match find(entries, key) {
        Some(entry) => entry.value = value,
        None => entries.push(Entry { key: key.to_owned(), place: place.clone(), value }),
    }
}

/// `power_of_two(choices=4)` as the table `{ power_of_two = { choices = 4 } }`; `None` of anything
/// else, which then is a name.
fn with_settings(text: &str, place: &Place) -> Option<Value> {
    let (name, settings) = text.trim().strip_suffix(')')?.split_once('(')?;
    let table = |entries| Value { place: place.clone(), kind: Kind::Table(entries) };
    let entry =
        |key: &str, value| Entry { key: key.trim().to_owned(), place: place.clone(), value };
    let mut inner = Vec::new();
    for setting in settings.split(',').filter(|setting| !setting.trim().is_empty()) {
        let (key, value) = setting.split_once('=')?;
        let value = value.trim();
        let plain = || Value { place: place.clone(), kind: Kind::Text(value.to_owned()) };
        inner.push(entry(key, read_value(value, place).unwrap_or_else(plain)));
    }
    Some(table(vec![entry(name, table(inner))]))
}

fn every_pool(document: &mut [Entry], value: &Value, place: &Place) -> Result<(), Problem> {
    let pools = find(document, "pool").map(|entry| &mut entry.value.kind);
    // What is not a list of tables is noted by the walk.
    if let Some(Kind::List(pools)) = pools {
        for pool in pools {
            if let Kind::Table(entries) = &mut pool.kind {
                put(entries, "strategy", value.clone(), place);
            }
        }
    }
    Ok(())
}

fn trace(document: &mut [Entry], value: Value, place: &Place) -> Result<(), Problem> {
    let mut entries: Option<&mut Vec<Entry>> = None;
    let mut level = document;
    for key in ["workload", "arrivals", "trace"] {
        match find(level, key).map(|entry| &mut entry.value.kind) {
            Some(Kind::Table(inner)) => {
                level = inner.as_mut_slice();
            }
            _ => {
                let mut problem =
                    Problem::new(place.clone(), "the workload of this scenario is not a trace");
                problem.help(
                    "write `arrivals = { trace = { azure = {} } }` or `{ mooncake = {} }` in \
                     its `[workload]`, or leave `--trace` out",
                );
                return Err(problem);
            }
        }
    }
    if let Some(Entry { value: Value { kind: Kind::Table(format), .. }, .. }) = level.first_mut() {
        entries = Some(format);
    }
    if let Some(entries) = entries {
        put(entries, "path", value, place);
    }
    Ok(())
}

fn set(entries: &mut Vec<Entry>, path: &str, value: Value, place: &Place) -> Result<(), Problem> {
    let keys = entries.iter().map(|entry| entry.key.as_str());
    let Some((key, rest)) = first_of(path, keys) else {
        put(entries, path, value, place);
        return Ok(());
    };
    if find(entries, key).is_none() {
        let kind = Kind::Table(Vec::new());
        put(entries, key, Value { place: place.clone(), kind }, place);
    }
    let Some(entry) = find(entries, key) else {
        return Ok(());
    };
    // `strategy = "peak_ewma"` is short for `{ peak_ewma = {} }`, which has room for settings.
    if let Kind::Text(word) = &entry.value.kind
        && rest.strip_prefix(word.as_str()).is_some_and(|rest| rest.starts_with('.'))
    {
        let kind = Kind::Table(Vec::new());
        let value = Value { place: entry.value.place.clone(), kind };
        let inner = Entry { key: word.clone(), place: entry.value.place.clone(), value };
        entry.value.kind = Kind::Table(vec![inner]);
    }
    match &mut entry.value.kind {
        Kind::Table(inner) => set(inner, rest, value, place),
        Kind::List(items) => set_item(items, key, rest, value, place),
        other => {
            let message = format!("{} is {} here, not a table", quote(key), other.name());
            Err(Problem::new(place.clone(), message))
        }
    }
}

fn set_item(
    items: &mut [Value],
    list: &str,
    path: &str,
    value: Value,
    place: &Place,
) -> Result<(), Problem> {
    let Some((word, rest)) = first_of(path, items.iter().filter_map(name_of)) else {
        let message = format!("{} is a list; name a value of one of its items", quote(list));
        return Err(Problem::new(place.clone(), message));
    };
    let by_name = items.iter().position(|item| name_of(item) == Some(word));
    let by_index = || word.parse().ok().filter(|index| *index < items.len());
    let Some(index) = by_name.or_else(by_index) else {
        let message = format!("there is no {list} {} in this scenario", quote(word));
        let mut problem = Problem::new(place.clone(), message);
        let names: Vec<&str> = items.iter().filter_map(name_of).collect();
        problem.help(suggest(list, word, names.iter().copied()));
        return Err(problem);
    };
    match &mut items[index].kind {
        Kind::Table(inner) => set(inner, rest, value, place),
        other => {
            let message = format!("{} is {} here, not a table", quote(word), other.name());
            Err(Problem::new(place.clone(), message))
        }
    }
}

/// Splits the first name off a path, at a dot. Names may have dots themselves: of those that are known
/// the longest is meant.
fn first_of<'a, 'b>(
    path: &'a str,
    known: impl Iterator<Item = &'b str>,
) -> Option<(&'a str, &'a str)> {
    let fits = known.filter_map(|name| {
        let rest = path.strip_prefix(name)?.strip_prefix('.')?;
        Some((&path[..name.len()], rest))
    });
    fits.max_by_key(|(name, _)| name.len()).or_else(|| path.split_once('.'))
}

fn name_of(item: &Value) -> Option<&str> {
    let Kind::Table(entries) = &item.kind else {
        return None;
    };
    let name = entries.iter().find(|entry| entry.key == "name")?;
    match &name.value.kind {
        Kind::Text(name) => Some(name),
        _ => None,
    }
}

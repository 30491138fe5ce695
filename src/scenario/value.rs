//! The cursor that walks a scenario: takes values out of tables, checks their types and bounds, and
//! collects what is wrong instead of stopping at it.
//!
//! A table remembers which keys it was asked for; whatever is left when it is finished is unknown,
//! and the keys it was asked for are the ones to suggest. What a key may be, within which bounds, and
//! what it is if nothing is said, comes from the section of the table (`keys`); a reader can only
//! narrow it. Every reader returns `None` after it has noted a problem, so the sections of a scenario
//! read on and find the next one.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::document::{Entry, Kind, Value};
use super::keys::{KeyKind, Range, SHARE};
use super::problem::{KEPT_MAX, Place, Problem, quote};
use super::table::Table;
use crate::unit::Span;

/// A name is suggested if it is at least this similar (Jaro-Winkler).
const SIMILAR: f64 = 0.8;

/// Strings may have so many characters.
pub const TEXT_MAX: usize = 4_096;

/// Names may have so many characters.
pub const NAME_MAX: usize = 64;

/// What a name is, in words.
const NAME: &str = "1 to 64 letters, digits, `-`, `_`, and `.` inside";

/// So many names are listed where one is unknown: more than the program has of anything, fewer than
/// the nodes of a large fleet.
const LISTED_MAX: usize = 1_000;

/// Collects problems.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) problems: Vec<Problem>,
    spare: Problem,
}

/// A value, what it is called where it stands, and what it may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a Value,
    pub(super) kind: KeyKind,
}

impl<'a> Field<'a> {
    pub(super) fn place(&self) -> &'a Place {
        &self.value.place
    }

    /// Returns whether it is this word, one of those it may be.
    pub(super) fn is_word(&self, word: &str) -> bool {
        let known = all_words(*self).contains(&word);
        assert!(known, "`{}` is read as what it is not: \"{word}\"", self.name);
        self.is_text(word)
    }

    /// Returns whether it is this text, whatever it may be.
    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(&self.value.kind, Kind::Text(found) if found == text)
    }

    /// Returns whether it is the word "none".
    pub(super) fn is_none(&self) -> bool {
        self.is_word("none")
    }

    /// Returns the durations it may be.
    fn spans(&self) -> RangeInclusive<Span> {
        self.kind_of(|kind| match kind {
            KeyKind::Span(least, most) => Some(*least..=*most),
            _ => None,
        })
    }

    /// Returns the numbers it may be.
    pub(super) fn range(&self) -> Range {
        self.kind_of(|kind| match kind {
            KeyKind::Number(range) => Some(*range),
            _ => None,
        })
    }

    /// Returns whether it is a list of fewer than `count` items.
    pub(super) fn is_list_below(&self, count: usize) -> bool {
        matches!(&self.value.kind, Kind::List(items) if items.len() < count)
    }

    /// Returns the value of a key, if this is a table that has it.
    pub(super) fn inside(&self, key: &str) -> Option<Field<'a>> {
        let Kind::Table(entries) = &self.value.kind else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        let section = self.kind_of(|kind| match kind {
            KeyKind::Table(section) => Some(*section),
            _ => None,
        });
        let kind = section.find(key).map(|key| key.kind)?;
        Some(Field { name: &entry.key, value: &entry.value, kind })
    }

    /// Returns what is wanted of the kinds that the value may be of.
    ///
    /// # Panics
    /// If it may not be of such a kind: the reader is wrong, whatever is read.
    fn kind_of<T>(&self, wanted: impl Fn(&KeyKind) -> Option<T>) -> T {
        let found = self.kind.alternatives().iter().find_map(wanted);
        found.unwrap_or_else(|| panic!("`{}` is read as what it is not: {}", self.name, self.kind))
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value.kind, Kind::Table(_))
    }
}

impl Walk {
    /// Notes a problem; label and help may be added to what is returned.
    pub(super) fn problem(&mut self, place: &Place, message: impl Into<String>) -> &mut Problem {
        let problem = Problem::new(place.clone(), message);
        if self.problems.len() >= KEPT_MAX {
            self.spare = problem;
            return &mut self.spare;
        }
        self.problems.push(problem);
        self.problems.last_mut().unwrap_or(&mut self.spare)
    }

    /// Notes that a word of the format is not in this version.
    pub(super) fn not_yet(&mut self, place: &Place, word: &str) {
        let message = format!("{} is not in this version yet", quote(word));
        self.problem(place, message).label("not supported");
    }

    fn wrong_type(&mut self, field: Field<'_>, wanted: &str) {
        let found = field.value.kind.name();
        let message = format!("{} must be {wanted}, not {found}", quote(field.name));
        self.problem(field.place(), message).label(format!("expected {wanted}"));
    }

    /// Notes that a value is not what it has to be.
    pub(super) fn must_be(&mut self, field: Field<'_>, wanted: &str) -> &mut Problem {
        let message = format!("{} must be {wanted}", quote(field.name));
        self.problem(field.place(), message)
    }

    /// A table of the section that the field says.
    pub(super) fn table<'a>(&mut self, field: Field<'a>) -> Option<Table<'a>> {
        let section = field.kind_of(|kind| match kind {
            KeyKind::Table(section) => Some(*section),
            _ => None,
        });
        match &field.value.kind {
            Kind::Table(entries) => {
                Some(Table::new(field.name, &field.value.place, entries, section))
            }
            _ => {
                self.wrong_type(field, "a table");
                None
            }
        }
    }

    /// The items of a list.
    pub(super) fn list<'a>(&mut self, field: Field<'a>) -> Vec<Field<'a>> {
        self.list_upto(field, usize::MAX)
    }

    /// The items of a list that is shorter than the section knows.
    fn list_upto<'a>(&mut self, field: Field<'a>, max: usize) -> Vec<Field<'a>> {
        let (first, kind, most) = field.kind_of(|kind| match kind {
            KeyKind::List(kind, _, most) | KeyKind::OneOrMore(kind, most) => {
                Some((**kind, **kind, *most))
            }
            KeyKind::Point(kind) => Some((SHARE, **kind, 2)),
            KeyKind::Tables(section, most) => {
                let kind = KeyKind::Table(section);
                Some((kind, kind, *most))
            }
            _ => None,
        });
        let max = max.min(most);
        let Kind::List(items) = &field.value.kind else {
            self.wrong_type(field, "a list");
            return Vec::new();
        };
        if items.len() > max {
            let message = format!(
                "{} has {} items; at most {} are allowed",
                quote(field.name),
                digits(items.len() as u64),
                digits(max as u64)
            );
            self.problem(field.place(), message).label("too many");
            return Vec::new();
        }
        let kinds = std::iter::once(first).chain(std::iter::repeat(kind));
        let field = |(value, kind)| Field { name: field.name, value, kind };
        items.iter().zip(kinds).map(field).collect()
    }

    /// The items of a list, or the one value that stands alone.
    pub(super) fn one_or_more<'a>(&mut self, field: Field<'a>) -> Vec<Field<'a>> {
        self.one_or_more_upto(field, usize::MAX)
    }

    /// As `one_or_more`, of fewer than the section knows.
    pub(super) fn one_or_more_upto<'a>(&mut self, field: Field<'a>, max: usize) -> Vec<Field<'a>> {
        if let Kind::List(_) = field.value.kind {
            return self.list_upto(field, max);
        }
        let kind = field.kind_of(|kind| match kind {
            KeyKind::OneOrMore(kind, _) => Some(**kind),
            _ => None,
        });
        vec![Field { kind, ..field }]
    }

    /// The tables under a header like `[[pool]]`.
    pub(super) fn tables<'a>(&mut self, field: Option<Field<'a>>) -> Vec<Table<'a>> {
        let Some(field) = field else {
            return Vec::new();
        };
        if field.is_table() {
            let section = field.kind_of(|kind| match kind {
                KeyKind::Tables(section, _) => Some(*section),
                _ => None,
            });
            let message = format!("`{}` must be a list of tables", field.name);
            self.problem(field.place(), message)
                .label("one table")
                .help(format!("write {} with two brackets", section.title));
            return Vec::new();
        }
        let items = self.list(field);
        items.into_iter().filter_map(|item| self.table(item)).collect()
    }

    /// A table whose keys are names the file is free to choose, each with its place.
    pub(super) fn map<'a>(&mut self, field: Field<'a>) -> Vec<(&'a str, &'a Place, Field<'a>)> {
        self.map_upto(field, usize::MAX)
    }

    /// As `map`, with fewer keys than the section knows.
    pub(super) fn map_upto<'a>(
        &mut self,
        field: Field<'a>,
        max: usize,
    ) -> Vec<(&'a str, &'a Place, Field<'a>)> {
        let (kind, most) = field.kind_of(|kind| match kind {
            KeyKind::Map(_, kind, most) => Some((**kind, *most)),
            _ => None,
        });
        let max = max.min(most);
        let Kind::Table(entries) = &field.value.kind else {
            self.wrong_type(field, "a table");
            return Vec::new();
        };
        if entries.len() > max {
            let (name, max) = (quote(field.name), digits(max as u64));
            self.problem(field.place(), format!("{name} has more than {max} keys"))
                .label("too many");
            return Vec::new();
        }
        let of = |entry: &'a Entry| {
            let field = Field { name: &entry.key, value: &entry.value, kind };
            (entry.key.as_str(), &entry.place, field)
        };
        entries.iter().map(of).collect()
    }

    /// Truth or falsehood.
    pub(super) fn truth(&mut self, field: Field<'_>) -> Option<bool> {
        field.kind_of(|kind| matches!(kind, KeyKind::Truth).then_some(()));
        if let Kind::Truth(truth) = field.value.kind {
            return Some(truth);
        }
        self.wrong_type(field, "true or false");
        None
    }

    /// The one key of a table like `{ poisson = { ... } }`, which says what the value is.
    pub(super) fn variant<'a>(&mut self, field: Field<'a>) -> Option<(&'static str, Field<'a>)> {
        let (section, what) = field.kind_of(|kind| match kind {
            KeyKind::Variant(section, what) => Some((*section, *what)),
            _ => None,
        });
        let (name, inner) = self.named(field, what, &section.names(), section.later)?;
        let kind = section.find(name)?.kind;
        Some((name, Field { kind, ..inner }))
    }

    /// The one key of such a table, out of those that are known.
    pub(super) fn named<'a>(
        &mut self,
        field: Field<'a>,
        what: &str,
        known: &[&'static str],
        later: &[&str],
    ) -> Option<(&'static str, Field<'a>)> {
        let Kind::Table(entries) = &field.value.kind else {
            self.wrong_type(field, &format!("a table with one key, the {what}"));
            return None;
        };
        let [entry] = entries.as_slice() else {
            let message = match entries.len() {
                0 => format!("{} names no {what}", quote(field.name)),
                _ => format!("{} names more than one {what}", quote(field.name)),
            };
            // The second key is the one too many; one of the command line always comes last.
            let place = entries.get(1).map_or(field.place(), |entry| &entry.place);
            self.problem(place, message).help(format!("write one of {}", join(known)));
            return None;
        };
        let name = self.known(&entry.place, what, &entry.key, known, later)?;
        Some((name, Field { name: &entry.key, value: &entry.value, ..field }))
    }

    /// One of the words that the field may be, called this.
    pub(super) fn one_of(&mut self, field: Field<'_>, what: &str) -> Option<&'static str> {
        let text = self.text(field)?;
        self.known(field.place(), what, text, &all_words(field), &[])
    }

    /// Finds a word among those that are known, or notes a problem.
    pub(super) fn known(
        &mut self,
        place: &Place,
        what: &str,
        word: &str,
        known: &[&'static str],
        later: &[&str],
    ) -> Option<&'static str> {
        let found = known.iter().copied().find(|name| *name == word);
        if found.is_none() {
            if later.contains(&word) {
                self.not_yet(place, word);
            } else {
                let help = suggest(what, word, known.iter().copied());
                let message = format!("unknown {what} {}", quote(word));
                self.problem(place, message).label(format!("not a {what}")).help(help);
            }
        }
        found
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        field: Field<'_>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let name = self.one_of(field, field.name)?;
        words.iter().find(|(word, _)| *word == name).map(|(_, value)| *value)
    }

    pub(super) fn text<'a>(&mut self, field: Field<'a>) -> Option<&'a str> {
        let text = self.any_text(field)?;
        // Names and titles end up on terminals, which obey control characters.
        if text.chars().any(char::is_control) {
            self.must_be(field, "free of control characters");
            return None;
        }
        Some(text)
    }

    /// A text that is never shown as it is, and may have control characters: a tab, say.
    pub(super) fn any_text<'a>(&mut self, field: Field<'a>) -> Option<&'a str> {
        let Kind::Text(text) = &field.value.kind else {
            self.wrong_type(field, "a string");
            return None;
        };
        if text.len() > TEXT_MAX {
            self.must_be(field, &format!("at most {TEXT_MAX} bytes long"));
            return None;
        }
        Some(text)
    }

    /// A name that expectations and overrides can refer to.
    pub(super) fn name<'a>(&mut self, field: Field<'a>) -> Option<&'a str> {
        let text = self.text(field)?;
        if !is_name(text) {
            let message = format!("{} must be a name: {NAME}", quote(field.name));
            self.problem(field.place(), message).label("not a name");
            return None;
        }
        Some(text)
    }

    /// A key that is a name.
    pub(super) fn name_at<'a>(&mut self, key: &'a str, place: &Place) -> Option<&'a str> {
        if !is_name(key) {
            let message = format!("a key here must be a name: {NAME}");
            self.problem(place, message).label("not a name");
            return None;
        }
        Some(key)
    }

    /// A duration.
    pub(super) fn span(&mut self, field: Field<'_>) -> Option<Span> {
        let range = field.spans();
        let span = self.duration(field)?;
        if range.contains(&span) {
            return Some(span);
        }
        self.must_be(field, &span_range(&range));
        None
    }

    /// A duration of any length, for readers that say themselves why it is out of its bounds.
    pub(super) fn duration(&mut self, field: Field<'_>) -> Option<Span> {
        let _ = field.spans();
        let text = match &field.value.kind {
            Kind::Text(text) => text,
            Kind::Whole(_) | Kind::Number(_) => {
                let message = format!("{} must be a duration with a unit", quote(field.name));
                self.problem(field.place(), message)
                    .label("a number without a unit")
                    .help("write for instance \"450ms\", \"10s\" or \"5m\"");
                return None;
            }
            _ => {
                self.wrong_type(field, "a duration such as \"10s\"");
                return None;
            }
        };
        match Span::parse(text) {
            Ok(span) => Some(span),
            Err(reason) => {
                let message = format!("{} is not a duration: {}", quote(field.name), reason);
                self.problem(field.place(), message).label("not a duration");
                None
            }
        }
    }

    /// A duration, or the word "none".
    pub(super) fn span_or_none(&mut self, field: Field<'_>) -> Option<Option<Span>> {
        if field.is_none() { Some(None) } else { self.span(field).map(Some) }
    }

    /// A number, written as whole number or float.
    pub(super) fn number(&mut self, field: Field<'_>) -> Option<f64> {
        let range = field.range();
        let number = self.finite(field)?;
        if range.contains(number) {
            return Some(number);
        }
        self.must_be(field, &range.to_string());
        None
    }

    /// A number of any size, for readers that say themselves why it is out of its bounds.
    pub(super) fn finite(&mut self, field: Field<'_>) -> Option<f64> {
        let _ = field.range();
        let number = match field.value.kind {
            Kind::Whole(Some(whole)) => whole as f64,
            Kind::Whole(None) => f64::INFINITY,
            Kind::Number(number) => number,
            _ => {
                self.wrong_type(field, "a number");
                return None;
            }
        };
        if number.is_finite() {
            Some(number)
        } else {
            self.must_be(field, "a finite number");
            None
        }
    }

    /// A whole number.
    pub(super) fn count(&mut self, field: Field<'_>) -> Option<u64> {
        self.count_upto(field, u64::MAX)
    }

    /// A whole number that is smaller than the section knows.
    pub(super) fn count_upto(&mut self, field: Field<'_>, max: u64) -> Option<u64> {
        let (min, most) = field.kind_of(|kind| match kind {
            KeyKind::Whole(min, most) => Some((*min, *most)),
            KeyKind::Status => Some((0, u64::MAX)),
            _ => None,
        });
        let range = min..=most.min(max);
        let whole = match field.value.kind {
            Kind::Whole(whole) => whole,
            Kind::Number(number) => {
                // 100.0 is a whole number too, as long as a float can tell.
                let exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
                exact.then_some(number as i128)
            }
            _ => {
                self.wrong_type(field, "a whole number");
                return None;
            }
        };
        let count = whole.and_then(|whole| u64::try_from(whole).ok());
        if let Some(count) = count.filter(|count| range.contains(count)) {
            return Some(count);
        }
        let wanted = match (*range.start(), *range.end()) {
            (0, u64::MAX) => "a whole number, zero or above".to_owned(),
            (min, u64::MAX) => format!("a whole number, {} or above", digits(min)),
            (min, max) => format!("a whole number from {} to {}", digits(min), digits(max)),
        };
        self.must_be(field, &wanted);
        None
    }
}

/// Every word a field may be.
fn all_words(field: Field<'_>) -> Vec<&'static str> {
    let kinds = field.kind.alternatives().iter();
    let words = kinds.filter_map(|kind| match kind {
        KeyKind::Word(words) => Some(*words),
        _ => None,
    });
    words.flatten().copied().collect()
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    // A dot at an end, or two in a row, would be no part of any path that names it.
    let parts = text.split('.').all(|part| !part.is_empty());
    parts && text.chars().count() <= NAME_MAX && text.chars().all(fits)
}

/// A count as TOML allows it to be written: 1_000_000.
pub(super) fn digits(count: u64) -> String {
    let plain = count.to_string();
    let mut text = String::new();
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// A bound as people write it: 1_000_000 or 0.5.
pub(super) fn amount(bound: f64) -> String {
    if bound.fract() == 0.0 { digits(bound as u64) } else { bound.to_string() }
}

pub(super) fn span_range(range: &RangeInclusive<Span>) -> String {
    match (*range.start(), *range.end()) {
        (Span(0 | 1), Span::MAX) => "a duration above zero".to_owned(),
        (min, Span::MAX) => format!("a duration of at least {min}"),
        (min, max) => format!("a duration from {min} to {max}"),
    }
}

/// Words that others have for ours, which no likeness finds.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("completion_tokens", "output_tokens"),
    ("fallback", "degrade"),
    ("input_tokens", "prompt_tokens"),
    ("latency_based", "peak_ewma"),
    ("least_busy", "least_connections"),
    ("qps", "rate"),
    ("rps", "rate"),
    ("simple_shuffle", "random"),
];

/// A part of a name is known by so many letters.
const PART_MIN: usize = 3;

/// "a key with a similar name exists: `retry`", or the list of what there is.
#[must_use]
pub fn suggest<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let ours = OTHER_WORDS.iter().find(|(other, _)| *other == word);
    if let Some((_, ours)) = ours.filter(|(_, ours)| known.clone().any(|name| name == *ours)) {
        return format!("the {what} is called `{ours}` here");
    }
    let similar = known
        .clone()
        .map(|name| (strsim::jaro_winkler(&name.to_lowercase(), &word.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, name)) = similar {
        return format!("a {what} with a similar name exists: `{name}`");
    }
    // Profiles have names in parts: `openai/gpt-4o`.
    let begins = |name: &&str| {
        word.len() >= PART_MIN
            && name.contains('/')
            && name.split('/').any(|part| part.starts_with(word))
    };
    let whole: Vec<&str> = known.clone().filter(begins).collect();
    if !whole.is_empty() {
        return format!("write the whole name: {}", join(&whole));
    }
    let mut names: Vec<&str> = Vec::new();
    // A name that stands twice, which is a mistake of its own, is said once.
    known.for_each(|name| {
        if names.last() != Some(&name) {
            names.push(name);
        }
    });
    if names.is_empty() {
        return format!("there is no {what} here");
    }
    format!("there is {}", join(&names))
}

/// `a`, `b`, `c`.
pub(super) fn join(names: &[&str]) -> String {
    let mut text = String::new();
    for (place, name) in names.iter().take(LISTED_MAX).enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        // Writing to a string never fails.
        let _ = write!(text, "{comma}`{name}`");
    }
    if names.len() > LISTED_MAX {
        let _ = write!(text, " and {} more", names.len() - LISTED_MAX);
    }
    text
}

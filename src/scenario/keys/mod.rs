//! What a scenario may say, as data: every key with its kind, its bounds, what it is if nothing is
//! said, and what it means.
//!
//! A [`SectionDef`] is what one table may say. It stands beside its reader, and the reader takes kind,
//! bounds and default from there: a reader that asks for a key that its section does not have, or for
//! another kind than it says, panics the first time it is used, and a key that nobody asks for is
//! unknown to the reader; tests go through all of them. [`SCENARIO`] is the section of the whole file.
//! Lists, the schema for editors, the reference page and chaos are made from it.
//!
//! Strategies and faults have lists of their own (`REGISTRY`, `FAULTS`); their settings become keys
//! here.

mod rows;
mod schema;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::OnceLock;

use super::fault::TARGET;
use super::value::{amount, digits, join, span_range};
use crate::balance::SettingKind;
use crate::node::fault::{ParamKind, STATUSES};
use crate::unit::Span;

pub use super::read::SCENARIO;
pub use rows::{KeyRow, rows};
pub use schema::schema;

/// What a table may say.
#[derive(Debug)]
pub struct SectionDef {
    /// Its own name among sections.
    pub name: &'static str,
    /// What messages call it: "`[balancer]`"; empty where that is its key.
    pub title: &'static str,
    /// Its keys, in the order they are shown.
    pub keys: &'static [KeyDef],
    /// Whether it also names one fault of the language of faults, by a key.
    pub fault: bool,
    /// Words that belong to the format, but not to this version.
    pub later: &'static [&'static str],
}

/// What one key may say.
#[derive(Clone, Copy, Debug)]
pub struct KeyDef {
    /// Its name.
    pub name: &'static str,
    /// What its value may be.
    pub kind: KeyKind,
    /// What it is if nothing is said.
    pub usual: Usual,
    /// What it means, in one line.
    pub about: &'static str,
}

/// What a key is if nothing is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Usual {
    /// It must be said.
    Needed,
    /// It must be said unless this other key is.
    NeededUnless(&'static str),
    /// Truth or falsehood.
    Truth(bool),
    /// A whole number.
    Whole(u64),
    /// A number.
    Number(f64),
    /// A duration.
    Span(Span),
    /// A word.
    Word(&'static str),
    /// No value has this effect, in words.
    Unsaid(&'static str),
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum KeyKind {
    /// A text.
    Text(Form),
    /// True or false.
    Truth,
    /// A whole number of this range; `u64::MAX` is no bound.
    Whole(u64, u64),
    /// A number.
    Number(Range),
    /// A duration of this range; `Span::MAX` is no bound.
    Span(Span, Span),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A table.
    Table(&'static SectionDef),
    /// At most so many tables.
    Tables(&'static SectionDef, usize),
    /// A table with one key of this section, which says what the value is; called this.
    Variant(&'static SectionDef, &'static str),
    /// A list of at least and at most so many.
    List(&'static KeyKind, usize, usize),
    /// One value, or a list of at most so many.
    OneOrMore(&'static KeyKind, usize),
    /// A list of two: a probability, and a value of this kind.
    Point(&'static KeyKind),
    /// A table whose keys are names: what they name, what each value is, and at most how many.
    Map(&'static str, &'static KeyKind, usize),
    /// One of these.
    Any(&'static [KeyKind]),
    /// The name of a strategy, or a table with its name and its settings.
    Strategy,
    /// A status that an error may have.
    Status,
}

/// What a text has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// In words.
    pub what: &'static str,
    /// As a regular expression that JSON Schema has too; empty for any.
    pub pattern: &'static str,
}

/// The numbers from `least` to `most`; infinite is no bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
    /// Whether `least` itself is too small.
    pub above: bool,
}

impl Range {
    /// Returns whether a number lies in it.
    #[must_use]
    pub fn contains(self, number: f64) -> bool {
        let enough = if self.above { number > self.least } else { number >= self.least };
        enough && number <= self.most
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { least, most, above } = *self;
        match (least.is_finite(), most.is_finite(), above) {
            (false, ..) => f.write_str("a number"),
            (true, true, true) => write!(f, "a number above {least}, at most {}", amount(most)),
            (true, true, false) => write!(f, "a number from {} to {}", amount(least), amount(most)),
            (true, false, true) => write!(f, "a number above {least}"),
            (true, false, false) => write!(f, "a number, {} or above", amount(least)),
        }
    }
}

// How sections spell their keys.

/// A key that must be said.
pub(super) const fn need(name: &'static str, kind: KeyKind, about: &'static str) -> KeyDef {
    KeyDef { name, kind, usual: Usual::Needed, about }
}

/// A key that may be said.
pub(super) const fn key(
    name: &'static str,
    kind: KeyKind,
    usual: Usual,
    about: &'static str,
) -> KeyDef {
    KeyDef { name, kind, usual, about }
}

/// Numbers above this one.
pub(super) const fn above(least: f64) -> KeyKind {
    KeyKind::Number(Range { least, most: f64::INFINITY, above: true })
}

/// One of the keys that a variant may have.
pub(super) const fn one(name: &'static str, kind: KeyKind, about: &'static str) -> KeyDef {
    KeyDef { name, kind, usual: ANOTHER, about }
}

/// Of a key that stands alone in its table.
const ANOTHER: Usual = Usual::Unsaid("another one is said");

/// A section; the rest is said by what is left out of `SectionDef { .. }`.
pub(super) const fn section(name: &'static str, title: &'static str) -> SectionDef {
    SectionDef { name, title, keys: &[], fault: false, later: &[] }
}

pub(super) const fn upto(most: f64) -> KeyKind {
    KeyKind::Number(Range { least: 0.0, most, above: false })
}

pub(super) const fn above_zero(most: f64) -> KeyKind {
    KeyKind::Number(Range { least: 0.0, most, above: true })
}

pub(super) const fn between(least: f64, most: f64) -> KeyKind {
    KeyKind::Number(Range { least, most, above: false })
}

pub(super) const fn text(what: &'static str, pattern: &'static str) -> KeyKind {
    KeyKind::Text(Form { what, pattern })
}

/// The names of words with their meanings.
pub(super) const fn names<const N: usize, T: Copy>(
    words: &[(&'static str, T); N],
) -> [&'static str; N] {
    let mut names = [""; N];
    let mut place = 0;
    while place < N {
        names[place] = words[place].0;
        place += 1;
    }
    names
}

pub(super) const SHARE: KeyKind = upto(1.0);
pub(super) const COUNT: KeyKind = KeyKind::Whole(0, u64::MAX);
pub(super) const SPAN: KeyKind = KeyKind::Span(Span::ZERO, Span::MAX);
pub(super) const POSITIVE_SPAN: KeyKind = KeyKind::Span(Span(1), Span::MAX);
pub(super) const NONE: KeyKind = KeyKind::Word(&["none"]);
pub(super) const SPAN_OR_NONE: KeyKind = KeyKind::Any(&[POSITIVE_SPAN, NONE]);
pub(super) const TEXT: KeyKind = text("a text", "");
pub(super) const LABEL: KeyKind = text("a text, not empty", "\\S");
/// Letters and digits of any script, `-` and `_`: no space and no other mark of ASCII.
pub(super) const NAME: KeyKind =
    text("a name: 1 to 64 letters, digits, `-`, `_`, and `.` inside", NAME_PATTERN);
/// What it begins and ends with, and what may stand between.
const NAME_PATTERN: &str =
    "^[^\\s!-,./:-@\\[-\\^`{-~]([^\\s!-,/:-@\\[-\\^`{-~]{0,62}[^\\s!-,./:-@\\[-\\^`{-~])?$";

/// Laws stand in many places: they are shown once, by themselves.
const LAWS: [&str; 2] = ["durations", "numbers"];

/// Returns every section of a scenario.
#[must_use]
pub fn sections() -> &'static [&'static SectionDef] {
    static ALL: OnceLock<Vec<&'static SectionDef>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found: Vec<&'static SectionDef> = vec![&SCENARIO, &TARGET];
        let mut at = 0;
        while let Some(section) = found.get(at) {
            let inside: Vec<_> = section.keys.iter().flat_map(|key| key.kind.sections()).collect();
            for section in inside {
                if !found.iter().any(|other| std::ptr::eq(*other, section)) {
                    found.push(section);
                }
            }
            at += 1;
        }
        found
    })
}

/// Returns a key by the name of its section and its own.
///
/// # Panics
/// If there is none: whoever asks knows the table.
#[must_use]
pub fn find(section: &str, key: &str) -> &'static KeyDef {
    let found = sections().iter().filter(|one| one.name == section).find_map(|one| one.find(key));
    found.unwrap_or_else(|| panic!("section `{section}` has no key `{key}`"))
}

impl SectionDef {
    /// Returns whether it is one of the laws, which are shown by themselves.
    pub(super) fn is_law(&self) -> bool {
        LAWS.contains(&self.name)
    }

    /// Returns the key of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static KeyDef> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Returns the names of its keys.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

impl KeyDef {
    /// Returns whether it stands alone in its table, and says what the value is.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.usual == ANOTHER
    }
}

impl KeyKind {
    /// Returns the kinds a value may be of: itself, or the alternatives.
    #[must_use]
    pub fn alternatives(&self) -> &[KeyKind] {
        match self {
            KeyKind::Any(kinds) => kinds,
            other => std::slice::from_ref(other),
        }
    }

    /// Returns the words it may be, if it may be one.
    #[must_use]
    pub fn words(&self) -> &'static [&'static str] {
        let mut words = self.alternatives().iter().filter_map(|kind| match kind {
            KeyKind::Word(words) if !matches!(words, ["none"]) => Some(*words),
            _ => None,
        });
        words.next().unwrap_or_default()
    }

    /// Returns the sections that stand directly in a value of this kind.
    #[must_use]
    pub fn sections(&self) -> Vec<&'static SectionDef> {
        match self {
            KeyKind::Table(section)
            | KeyKind::Tables(section, _)
            | KeyKind::Variant(section, _) => vec![section],
            KeyKind::List(kind, ..) | KeyKind::OneOrMore(kind, _) | KeyKind::Map(_, kind, _) => {
                kind.sections()
            }
            KeyKind::Any(kinds) => kinds.iter().flat_map(KeyKind::sections).collect(),
            _ => Vec::new(),
        }
    }

    /// The kind of a strategy's setting.
    #[must_use]
    pub const fn of_setting(kind: SettingKind) -> KeyKind {
        match kind {
            SettingKind::Count { min, max } => KeyKind::Whole(min, max),
            SettingKind::Span { min, max } => KeyKind::Span(min, max),
            SettingKind::Ratio { max } => upto(max as f64 / 1e6),
            SettingKind::Choice(words) => KeyKind::Word(words),
            SettingKind::Formula => text("a formula", "\\S"),
        }
    }

    /// The kind of a fault's parameter.
    #[must_use]
    pub const fn of_param(kind: ParamKind) -> KeyKind {
        match kind {
            ParamKind::Number(bounds) if bounds.zero => upto(bounds.max),
            ParamKind::Number(bounds) => above_zero(bounds.max),
            ParamKind::Span => POSITIVE_SPAN,
            ParamKind::Status => KeyKind::Status,
            ParamKind::Whole(least, most) => KeyKind::Whole(least, most),
            ParamKind::Word(words) => KeyKind::Word(words),
        }
    }
}

/// What it may be, with its bounds, in words.
impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyKind::Text(form) => f.write_str(form.what),
            KeyKind::Truth => f.write_str("true or false"),
            KeyKind::Whole(0, u64::MAX) => f.write_str("a whole number"),
            KeyKind::Whole(least, u64::MAX) => {
                write!(f, "a whole number, {} or above", digits(*least))
            }
            KeyKind::Whole(least, most) => {
                write!(f, "a whole number from {} to {}", digits(*least), digits(*most))
            }
            KeyKind::Number(range) => range.fmt(f),
            KeyKind::Span(Span::ZERO, Span::MAX) => f.write_str("a duration"),
            KeyKind::Span(least, most) => f.write_str(&span_range(&(*least..=*most))),
            KeyKind::Word([word]) => write!(f, "\"{word}\""),
            KeyKind::Word(words) => write!(f, "one of {}", join(words)),
            KeyKind::Table(_) => f.write_str("a table"),
            KeyKind::Tables(..) => f.write_str("tables"),
            KeyKind::Variant(section, _) if section.is_law() => {
                write!(f, "a law of {}", section.name)
            }
            KeyKind::Variant(_, what) => write!(f, "a table with one key, the {what}"),
            KeyKind::List(kind, ..) => write!(f, "a list, each {kind}"),
            KeyKind::OneOrMore(kind, _) => write!(f, "{kind}, or a list of these"),
            KeyKind::Point(kind) => write!(f, "[a number from 0 to 1, {kind}]"),
            KeyKind::Map(what, kind, _) => write!(f, "a table by {what}, each {kind}"),
            KeyKind::Any(kinds) => {
                for (place, kind) in kinds.iter().enumerate() {
                    let or = if place == 0 { "" } else { ", or " };
                    write!(f, "{or}{kind}")?;
                }
                Ok(())
            }
            KeyKind::Strategy => f.write_str("a strategy, or a table of it with its settings"),
            KeyKind::Status => {
                let statuses: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
                write!(f, "one of {}", statuses.join(", "))
            }
        }
    }
}

/// As a scenario would write it, or in words.
impl fmt::Display for Usual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Usual::Needed => f.write_str("needed"),
            Usual::NeededUnless(other) => write!(f, "needed unless `{other}` is said"),
            Usual::Truth(truth) => truth.fmt(f),
            Usual::Whole(whole) => f.write_str(&digits(*whole)),
            Usual::Number(number) => number.fmt(f),
            Usual::Span(span) => write!(f, "\"{span}\""),
            Usual::Word(word) => write!(f, "\"{word}\""),
            Usual::Unsaid(words) => f.write_str(words),
        }
    }
}

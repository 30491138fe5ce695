//! What may be said of a fault: parameters, what they may be, and what they are if nothing is said.

use std::fmt;

use crate::unit::{Ratio, Span};

/// A slow node takes at most so many times as long.
pub const FACTOR_MAX: f64 = 1e6;

/// Prices go so far, in dollars per million tokens or an hour.
pub const PRICE_MAX: f64 = 1e6;

/// Statuses an error may have.
pub const STATUSES: &[u16] =
    &[400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529];

/// A parameter of a fault.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: ParamKind,
    /// What it is if nothing is said; `None` where it must be said.
    pub default: Option<ParamDefault>,
    /// What it means.
    pub about: &'static str,
}

/// What a parameter is if nothing is said; shown as a scenario would write it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamDefault {
    /// As if this were said; not for words, which must be.
    Is(ParamValue),
    /// No value has this effect.
    Unsaid(&'static str),
}

impl fmt::Display for ParamDefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamDefault::Is(ParamValue::Number(number)) => number.fmt(f),
            ParamDefault::Is(ParamValue::Span(span)) => span.fmt(f),
            ParamDefault::Is(ParamValue::Whole(whole)) => whole.fmt(f),
            ParamDefault::Is(ParamValue::Word(place)) => place.fmt(f),
            ParamDefault::Unsaid(words) => words.fmt(f),
        }
    }
}

/// What a number may be: up to and including `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamBounds {
    /// Whether it may be zero; it is never below.
    pub zero: bool,
    /// The most it may be.
    pub max: f64,
}

impl ParamBounds {
    /// A share of requests.
    pub const SHARE: ParamBounds = ParamBounds { zero: false, max: 1.0 };
    /// So many times as long.
    pub const FACTOR: ParamBounds = ParamBounds { zero: false, max: FACTOR_MAX };
    /// Dollars per million tokens.
    pub const DOLLARS: ParamBounds = ParamBounds { zero: true, max: PRICE_MAX };

    /// Returns whether a number may be said.
    #[must_use]
    pub fn allow(self, number: f64) -> bool {
        (number > 0.0 || self.zero && number >= 0.0) && number <= self.max
    }
}

impl fmt::Display for ParamBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zero {
            true => write!(f, "a number from 0 to {}", self.max),
            false => write!(f, "a number above 0, at most {}", self.max),
        }
    }
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamKind {
    /// A number.
    Number(ParamBounds),
    /// A duration above zero.
    Span,
    /// One of [`STATUSES`].
    Status,
    /// A whole number of this range.
    Whole(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// The value of a parameter; its reader has checked it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamValue {
    /// Of a number.
    Number(f64),
    /// Of a duration.
    Span(Span),
    /// Of a status or a whole number.
    Whole(u64),
    /// Of a word: its place among those that may be said.
    Word(usize),
}

impl ParamValue {
    /// Returns a status, if an error may have it: one of [`STATUSES`].
    #[must_use]
    pub fn status(status: u64) -> Option<ParamValue> {
        STATUSES.iter().any(|one| u64::from(*one) == status).then_some(ParamValue::Whole(status))
    }

    /// Returns what a status must be, in words.
    #[must_use]
    pub fn statuses() -> String {
        let list: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
        format!("one of {}", list.join(", "))
    }
}

/// The parameters that are given.
#[derive(Clone, Debug, Default)]
pub struct ParamValues(Vec<(&'static str, ParamValue)>);

impl ParamValues {
    /// Adds one.
    pub fn set(&mut self, name: &'static str, value: ParamValue) {
        self.0.push((name, value));
    }

    fn get(&self, name: &str) -> Option<ParamValue> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }
}

/// What is said of a fault: what is given, and what is usual where nothing is.
pub(super) struct FaultArgs<'a> {
    pub(super) given: &'a ParamValues,
    pub(super) params: &'static [Param],
}

/// A parameter that must be said is not.
pub(super) const MISSING: ParamError = ParamError {
    param: "",
    message: "a parameter of the fault is missing",
    label: "says too little",
    help: "see `plimsoll list faults`",
};

impl FaultArgs<'_> {
    pub(super) fn gives(&self, name: &str) -> bool {
        self.given.get(name).is_some()
    }

    fn get(&self, name: &str) -> Option<ParamValue> {
        let param = || self.params.iter().find(|param| param.name == name);
        self.given.get(name).or_else(|| match param()?.default? {
            ParamDefault::Is(value) => Some(value),
            ParamDefault::Unsaid(_) => None,
        })
    }

    pub(super) fn number(&self, name: &str) -> Result<f64, ParamError> {
        match self.get(name) {
            Some(ParamValue::Number(number)) => Ok(number),
            _ => Err(MISSING),
        }
    }

    pub(super) fn share(&self) -> Result<Ratio, ParamError> {
        self.number("share").map(Ratio::from_f64)
    }

    /// Returns a duration, if there is one.
    pub(super) fn span(&self, name: &str) -> Option<Span> {
        match self.get(name)? {
            ParamValue::Span(span) => Some(span),
            _ => None,
        }
    }

    /// Returns a whole number or a status, if there is one.
    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            ParamValue::Whole(whole) => Some(whole),
            _ => None,
        }
    }

    /// Returns what stands at the place of the word.
    pub(super) fn word<T: Copy>(&self, name: &str, meanings: &[T]) -> Result<T, ParamError> {
        match self.get(name) {
            Some(ParamValue::Word(place)) => meanings.get(place).copied().ok_or(MISSING),
            _ => Err(MISSING),
        }
    }
}

/// Parameters that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamError {
    /// The one to point at; empty for the fault as a whole.
    pub param: &'static str,
    /// What is wrong.
    pub message: &'static str,
    /// In two words.
    pub label: &'static str,
    /// What to write.
    pub help: &'static str,
}

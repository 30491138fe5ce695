//! A strategy with its settings: the definition that people see, and the spec that a scenario, a
//! journal or a person makes of it. Settings are read by name, once, when a strategy is built.

use std::fmt;
use std::sync::Arc;

use super::Strategy;
use crate::unit::Span;

/// A strategy as people see it: name, purpose, settings, source; and how to build it.
#[derive(Debug)]
pub struct StrategyDef {
    /// The name scenarios and the command line use.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// When to use it, in one line.
    pub when: &'static str,
    /// Cost of one decision for n open nodes.
    pub cost: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What it goes by: without that it is of little use.
    pub goes_by: &'static [GoesBy],
    /// What can be set.
    pub settings: &'static [Setting],
    /// Builds it for a tier of a pool.
    pub(super) build: fn(&StrategySpec) -> Box<dyn Strategy>,
}

/// What a strategy goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesBy {
    /// The weights that somebody gave the nodes.
    Weights,
    /// What is under way on each node: requests or tokens.
    Load,
    /// How long answers take, as seen or learnt.
    Latency,
    /// What a request costs on each node.
    Prices,
    /// How full the KV caches of engines are.
    KvCache,
    /// What the caches of nodes hold of prompts.
    Prefixes,
    /// Which requests belong to one conversation.
    Sessions,
    /// What requests have in common: a tenant, a session, the beginning of a prompt.
    Keys,
}

impl GoesBy {
    /// Its name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            GoesBy::Weights => "weights",
            GoesBy::Load => "load",
            GoesBy::Latency => "latency",
            GoesBy::Prices => "prices",
            GoesBy::KvCache => "KV caches",
            GoesBy::Prefixes => "prefix caches",
            GoesBy::Sessions => "sessions",
            GoesBy::Keys => "keys of requests",
        }
    }
}

/// Something that can be set about a strategy.
#[derive(Debug)]
pub struct Setting {
    /// Its name in scenarios.
    pub name: &'static str,
    /// What values it takes.
    pub kind: SettingKind,
    /// The value if none is given, in the integer form of its kind.
    pub default: u64,
    /// What it does, in one line.
    pub about: &'static str,
}

/// What values a setting takes. Every kind has an integer form, in which it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// A whole number.
    Count {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// A duration; stored in nanoseconds.
    Span {
        /// The least.
        min: Span,
        /// The greatest.
        max: Span,
    },
    /// A number from zero to `max`; stored in millionths.
    Ratio {
        /// The greatest, in millionths.
        max: u64,
    },
    /// One of these words; stored as its index.
    Choice(&'static [&'static str]),
    /// A formula; stored beside the other values.
    Formula,
}

impl SettingKind {
    /// Returns what a value has to be, if `value` (in integer form) is not that.
    #[must_use]
    pub fn refuses(self, value: u64) -> Option<String> {
        match self {
            SettingKind::Count { min, max } if !(min..=max).contains(&value) => {
                Some(format!("a whole number from {min} to {max}"))
            }
            SettingKind::Span { min, max } if !(min.0..=max.0).contains(&value) => {
                Some(format!("a duration from {min} to {max}"))
            }
            SettingKind::Ratio { max } if value > max => {
                Some(format!("a number from 0 to {}", max as f64 / 1e6))
            }
            SettingKind::Choice(words) if value >= words.len() as u64 => {
                Some(format!("one of {}", words.join(", ")))
            }
            _ => None,
        }
    }

    /// Returns the value as people write it.
    #[must_use]
    pub fn show(self, value: u64) -> String {
        match self {
            SettingKind::Count { .. } => value.to_string(),
            SettingKind::Span { .. } => Span(value).to_string(),
            SettingKind::Ratio { .. } => (value as f64 / 1e6).to_string(),
            SettingKind::Choice(words) => {
                words.get(value as usize).map_or_else(|| value.to_string(), ToString::to_string)
            }
            SettingKind::Formula => "a formula".to_owned(),
        }
    }
}

/// At most so many settings a strategy.
pub(super) const SETTINGS_MAX: usize = 8;

/// A strategy by name, with its settings.
#[derive(Clone)]
pub struct StrategySpec {
    def: &'static StrategyDef,
    /// Its place in the registry.
    index: u8,
    /// In integer form, in the order of the settings of `def`.
    values: [u64; SETTINGS_MAX],
    /// The setting of kind [`SettingKind::Formula`], where there is one.
    formula: Option<Arc<str>>,
}

impl StrategySpec {
    /// The strategy at this place of the registry, with default settings.
    pub(super) fn new(index: u8, def: &'static StrategyDef) -> StrategySpec {
        let mut values = [0; SETTINGS_MAX];
        for (value, setting) in values.iter_mut().zip(def.settings) {
            *value = setting.default;
        }
        StrategySpec { def, index, values, formula: None }
    }

    /// Returns its entry in the registry.
    #[must_use]
    pub const fn entry(&self) -> &'static StrategyDef {
        self.def
    }

    /// Returns the index of its entry in the registry.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.def.name
    }

    /// Sets the setting of this name, in integer form.
    ///
    /// # Errors
    /// What the value has to be, if it is not that.
    ///
    /// # Panics
    /// If the strategy has no such setting.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
        let place = self.place(name);
        if let Some(wanted) = self.def.settings[place].kind.refuses(value) {
            return Err(wanted);
        }
        self.values[place] = value;
        Ok(())
    }

    /// Sets the formula.
    pub fn set_formula(&mut self, formula: &str) {
        self.formula = Some(formula.into());
    }

    /// Returns the formula, if there is one.
    #[must_use]
    pub fn formula(&self) -> Option<&str> {
        self.formula.as_deref()
    }

    // What strategies are built from. A name or a kind that the definition does not have is a
    // mistake in the strategy itself: every strategy is built once in a test.

    /// Returns a whole number.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.value(name, |kind| matches!(kind, SettingKind::Count { .. }))
    }

    /// Returns a duration.
    pub(super) fn span(&self, name: &str) -> Span {
        Span(self.value(name, |kind| matches!(kind, SettingKind::Span { .. })))
    }

    /// Returns a number.
    pub(super) fn ratio(&self, name: &str) -> f64 {
        self.value(name, |kind| matches!(kind, SettingKind::Ratio { .. })) as f64 / 1e6
    }

    /// Returns the place of a word among its choices.
    pub(super) fn choice(&self, name: &str) -> u64 {
        self.value(name, |kind| matches!(kind, SettingKind::Choice(_)))
    }

    /// Returns whether a setting is this one of its words.
    pub(super) fn is(&self, name: &str, word: &str) -> bool {
        let chosen = self.choice(name) as usize;
        let SettingKind::Choice(words) = self.def.settings[self.place(name)].kind else {
            return false;
        };
        assert!(words.contains(&word), "`{name}` of `{}` is never `{word}`", self.name());
        words[chosen] == word
    }

    fn value(&self, name: &str, fits: fn(SettingKind) -> bool) -> u64 {
        let place = self.place(name);
        let kind = self.def.settings[place].kind;
        assert!(fits(kind), "`{name}` of `{}` is read as what it is not: {kind:?}", self.name());
        self.values[place]
    }

    fn place(&self, name: &str) -> usize {
        let place = self.def.settings.iter().position(|setting| setting.name == name);
        place.unwrap_or_else(|| panic!("`{}` has no setting `{name}`", self.name()))
    }

    /// Builds the strategy, without memory of anything.
    #[must_use]
    pub fn build(&self) -> Box<dyn Strategy> {
        (self.def.build)(self)
    }

    /// Returns what can be set about it and the values, in integer form.
    pub fn settings(&self) -> impl Iterator<Item = (&'static Setting, u64)> {
        self.def.settings.iter().zip(self.values)
    }
}

impl PartialEq for StrategySpec {
    fn eq(&self, other: &StrategySpec) -> bool {
        (self.index, &self.values, &self.formula) == (other.index, &other.values, &other.formula)
    }
}

impl Eq for StrategySpec {}

/// `least_tokens` or `peak_ewma(decay 60s, signal ttft)`: settings only where they differ.
impl fmt::Display for StrategySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some(formula) = &self.formula {
            return write!(f, "({formula})");
        }
        let changed: Vec<String> = self
            .settings()
            .filter(|(setting, value)| *value != setting.default)
            .map(|(setting, value)| format!("{} {}", setting.name, setting.kind.show(value)))
            .collect();
        if changed.is_empty() { Ok(()) } else { write!(f, "({})", changed.join(", ")) }
    }
}

impl fmt::Debug for StrategySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

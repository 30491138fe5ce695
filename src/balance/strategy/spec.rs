//! Strategies by name: the entry that people see, its settings, and the spec that a scenario, a
//! journal or a person names one by.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{REGISTRY, Strategy};
use crate::unit::Span;

/// A strategy as people see it: name, purpose, settings, source; and how to build it.
#[derive(Debug)]
pub struct Entry {
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
    /// What can be set.
    pub settings: &'static [Setting],
    /// Builds it for a tier of a pool.
    pub(super) build: fn(&StrategySpec) -> Box<dyn Strategy>,
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
#[derive(Clone, PartialEq, Eq)]
pub struct StrategySpec {
    entry: u8,
    values: [u64; SETTINGS_MAX],
    /// The setting of kind [`SettingKind::Formula`], where there is one.
    formula: Option<Arc<str>>,
}

impl StrategySpec {
    /// The strategy of this name with default settings, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<StrategySpec> {
        let entry = REGISTRY.iter().position(|entry| entry.name == name)?;
        let mut values = [0; SETTINGS_MAX];
        for (value, setting) in values.iter_mut().zip(REGISTRY[entry].settings) {
            *value = setting.default;
        }
        Some(StrategySpec { entry: entry as u8, values, formula: None })
    }

    /// Returns its entry in the registry.
    #[must_use]
    pub fn entry(&self) -> &'static Entry {
        &REGISTRY[usize::from(self.entry)]
    }

    /// Returns the index of its entry in the registry.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.entry
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.entry().name
    }

    /// Sets the setting of this place in the entry's list, in integer form.
    ///
    /// # Errors
    /// What the value has to be, if it is not that.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn set(&mut self, place: usize, value: u64) -> Result<(), String> {
        if let Some(wanted) = self.entry().settings[place].kind.refuses(value) {
            return Err(wanted);
        }
        self.values[place] = value;
        Ok(())
    }

    /// Returns the setting of this place in integer form.
    #[must_use]
    pub const fn get(&self, place: usize) -> u64 {
        self.values[place]
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

    /// Returns a number of kind [`SettingKind::Ratio`].
    #[must_use]
    pub fn ratio(&self, place: usize) -> f64 {
        self.values[place] as f64 / 1e6
    }

    /// Builds the strategy, without memory of anything.
    #[must_use]
    pub fn build(&self) -> Box<dyn Strategy> {
        (self.entry().build)(self)
    }

    fn settings(&self) -> impl Iterator<Item = (&'static Setting, u64)> {
        self.entry().settings.iter().zip(self.values)
    }
}

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

/// A setting as a journal writes it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    Formula(String),
}

/// `{"peak_ewma": {"decay": 60000000000, "signal": 0}}`, settings in integer form.
impl Serialize for StrategySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings: BTreeMap<&str, Value> = self
            .settings()
            .map(|(setting, value)| match (setting.kind, &self.formula) {
                (SettingKind::Formula, Some(formula)) => {
                    (setting.name, Value::Formula(formula.to_string()))
                }
                _ => (setting.name, Value::Number(value)),
            })
            .collect();
        BTreeMap::from([(self.name(), settings)]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StrategySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StrategySpec, D::Error> {
        use serde::de::Error;
        let map = BTreeMap::<String, BTreeMap<String, Value>>::deserialize(deserializer)?;
        let mut entries = map.into_iter();
        let (Some((name, settings)), None) = (entries.next(), entries.next()) else {
            return Err(D::Error::custom("a strategy is a table with one key, its name"));
        };
        let mut spec = StrategySpec::named(&name)
            .ok_or_else(|| D::Error::custom(format!("unknown strategy `{name}`")))?;
        for (key, value) in settings {
            let place = spec.entry().settings.iter().position(|setting| setting.name == key);
            let place = place
                .ok_or_else(|| D::Error::custom(format!("`{name}` has no setting `{key}`")))?;
            match (value, spec.entry().settings[place].kind) {
                (Value::Formula(formula), SettingKind::Formula) => spec.set_formula(&formula),
                (Value::Formula(_), _) => {
                    return Err(D::Error::custom(format!("`{key}` is a number")));
                }
                (Value::Number(value), _) => spec
                    .set(place, value)
                    .map_err(|wanted| D::Error::custom(format!("`{key}` must be {wanted}")))?,
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_complete_and_builds() {
        for (index, entry) in REGISTRY.iter().enumerate() {
            assert!(entry.settings.len() <= SETTINGS_MAX, "{}", entry.name);
            for setting in entry.settings {
                assert_eq!(setting.kind.refuses(setting.default), None, "{}", setting.name);
            }
            let spec = StrategySpec::named(entry.name).unwrap();
            assert_eq!(usize::from(spec.index()), index, "names are unique");
            let _ = spec.build();
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<StrategySpec>(&json).unwrap(), spec);
        }
        assert_eq!(StrategySpec::named("p2x"), None);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let parse = serde_json::from_str::<StrategySpec>;
        assert!(parse(r#"{"power_of_two":{"choices":0}}"#).is_err());
        assert!(parse(r#"{"power_of_two":{"chioces":2}}"#).is_err());
        assert!(parse(r#"{"power_of_two":{},"random":{}}"#).is_err());
        assert!(parse("{}").is_err());
        let spec = parse(r#"{"power_of_two":{"choices":4}}"#).unwrap();
        assert_eq!(spec.to_string(), "power_of_two(choices 4)");
    }
}

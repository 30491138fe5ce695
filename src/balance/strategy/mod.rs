//! Strategies: which of the nodes that may serve a request should.
//!
//! The machine filters (what is allowed), a strategy prefers (what is better): it never checks
//! health, limits or tags, it only sees open nodes. It owns derived numbers, never the in-flight
//! count, so it can be swapped in mid-run and rebuilt from ledger and fleet. Scores are physical
//! (requests, tokens, seconds, dollars), lower is better, ties are broken by a random draw, and
//! load-type costs are divided by the node's success probability.
//!
//! Adding a strategy costs one file and one line in [`REGISTRY`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::event::{End, Scored, Terms, Why};
use super::fleet::{Fleet, Node, Tier};
use super::hearsay::Signal;
use super::request::Request;
use crate::rng::Rng;
use crate::unit::{NodeId, PoolId, Span, Time, Tokens};

mod cheapest;
mod least_connections;
mod least_tokens;
mod peak_ewma;
mod power_of_two;
mod random;
mod round_robin;
mod weighted_round_robin;

/// All strategies, in the order they are listed to people.
pub static REGISTRY: &[Entry] = &[
    round_robin::ENTRY,
    weighted_round_robin::ENTRY,
    random::ENTRY,
    least_connections::ENTRY,
    power_of_two::ENTRY,
    least_tokens::ENTRY,
    peak_ewma::ENTRY,
    cheapest::ENTRY,
];

/// Chooses among nodes that may all serve the request.
pub trait Strategy: Send + fmt::Debug {
    /// Picks one candidate and notes in `why` whom it looked at. `None` means: let it wait.
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId>;

    /// Returns the additive terms of this node's score for this request; none if it does not score.
    fn terms(&self, _ask: &Ask<'_>, _node: NodeId) -> Terms {
        Terms::NONE
    }

    /// Hears the facts about its nodes. Most strategies need none.
    fn learn(&mut self, _now: Time, _fact: &Fact, _fleet: &Fleet) {}
}

/// What a strategy hears about an attempt on one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fact {
    /// The first token came so long after the dispatch.
    FirstToken(NodeId, Span),
    /// It ended so long after the dispatch; `started` if its first token had come.
    Ended {
        /// The node.
        node: NodeId,
        /// How.
        end: End,
        /// How long after the dispatch.
        took: Span,
        /// Whether a first token had been reported.
        started: bool,
    },
}

/// A question to a strategy: the request and the nodes that may serve it.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Now.
    pub now: Time,
    /// The request.
    pub request: &'a Request,
    /// Tokens its answer is expected to have.
    pub expected_output: Tokens,
    /// All nodes, with ledger.
    pub fleet: &'a Fleet,
    /// The pool to choose from.
    pub pool: PoolId,
    /// The tier to choose from.
    pub tier: Tier,
    /// Tags a node must have.
    pub(super) require: u64,
    /// Nodes that were tried before and are not to be tried again now.
    pub(super) avoid: &'a [NodeId],
}

impl Ask<'_> {
    /// Returns whether this node of the tier is a candidate.
    #[must_use]
    pub fn allows(&self, node: NodeId) -> bool {
        self.fleet.is_open(node) && self.permits(node)
    }

    fn permits(&self, node: NodeId) -> bool {
        (self.require == 0 || self.fleet.node(node).spec.tags & self.require == self.require)
            && !self.avoid.contains(&node)
    }

    /// Returns the candidates, in no particular order. Cost: all open nodes of the tier.
    pub fn candidates(&self) -> impl Iterator<Item = NodeId> + '_ {
        let open = self.fleet.open(self.pool, self.tier);
        open.iter().copied().filter(|&node| self.permits(node))
    }

    /// Returns all nodes of the tier in file order, candidates or not.
    #[must_use]
    pub fn members(&self) -> &[NodeId] {
        self.fleet.members(self.pool, self.tier)
    }

    /// Returns how many nodes of the tier are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.fleet.open(self.pool, self.tier).len()
    }

    /// Draws a candidate uniformly. Expected cost is constant while most open nodes are
    /// candidates, all open nodes at worst.
    pub fn draw(&self, rng: &mut Rng) -> Option<NodeId> {
        let open = self.fleet.open(self.pool, self.tier);
        if open.is_empty() {
            return None;
        }
        for _ in 0..8 {
            let node = open[rng.below(open.len())];
            if self.permits(node) {
                return Some(node);
            }
        }
        let count = self.candidates().count();
        (count > 0).then(|| self.candidates().nth(rng.below(count)))?
    }

    /// Returns the node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        self.fleet.node(id)
    }

    /// Returns the requests on a node as a signal has them.
    #[must_use]
    pub fn requests(&self, signal: Signal, node: NodeId) -> f64 {
        self.fleet.requests(signal, node, self.now) as f64
    }

    /// Divides a load-type cost by the probability that the node succeeds.
    #[must_use]
    pub fn against_failure(&self, node: &Node, cost: f64) -> f64 {
        cost / node.success(self.now)
    }
}

/// Picks the least of `nodes` by (`cost`, then tie-breaker), equals by a random draw, and notes
/// winner, runner-up and how many were looked at.
pub(super) fn least(
    nodes: impl Iterator<Item = NodeId>,
    rng: &mut Rng,
    why: &mut Why,
    mut cost: impl FnMut(NodeId) -> (f64, f64),
) -> Option<NodeId> {
    let mut best: Option<(NodeId, (f64, f64))> = None;
    let mut second: Option<(NodeId, f64)> = None;
    let mut ties = 0;
    for node in nodes {
        why.considered += 1;
        let this = cost(node);
        let Some((champion, least)) = best else {
            best = Some((node, this));
            ties = 1;
            continue;
        };
        match this.0.total_cmp(&least.0).then(this.1.total_cmp(&least.1)) {
            std::cmp::Ordering::Less => {
                second = Some((champion, least.0));
                best = Some((node, this));
                ties = 1;
            }
            std::cmp::Ordering::Equal => {
                // The k-th equal replaces the champion with probability 1/k: a uniform draw.
                ties += 1;
                if rng.below(ties) == 0 {
                    best = Some((node, this));
                    second = Some((champion, least.0));
                } else {
                    second = Some((node, this.0));
                }
            }
            std::cmp::Ordering::Greater => {
                if second.is_none_or(|(_, cost)| this.0 < cost) {
                    second = Some((node, this.0));
                }
            }
        }
    }
    let (node, (score, _)) = best?;
    why.chosen = Scored { node, score, terms: Terms::NONE };
    why.runner_up = second.map(|(node, score)| Scored { node, score, terms: Terms::NONE });
    Some(node)
}

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
    /// Builds it for a tier of so many nodes.
    build: fn(&StrategySpec) -> Box<dyn Strategy>,
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
        }
    }
}

/// The setting of strategies that go by requests in flight.
const SIGNAL: Setting = Setting {
    name: "signal",
    kind: SettingKind::Choice(Signal::WORDS),
    default: 0,
    about: "whose count: own and peers', the node's report, or that and own since",
};

/// At most so many settings a strategy.
const SETTINGS_MAX: usize = 4;

/// A strategy by name, with its settings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StrategySpec {
    entry: u8,
    values: [u64; SETTINGS_MAX],
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
        Some(StrategySpec { entry: entry as u8, values })
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

/// `{"peak_ewma": {"decay": 60000000000, "signal": 0}}`, settings in integer form.
impl Serialize for StrategySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings: BTreeMap<&str, u64> =
            self.settings().map(|(setting, value)| (setting.name, value)).collect();
        BTreeMap::from([(self.name(), settings)]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StrategySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StrategySpec, D::Error> {
        use serde::de::Error;
        let map = BTreeMap::<String, BTreeMap<String, u64>>::deserialize(deserializer)?;
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
            spec.set(place, value)
                .map_err(|wanted| D::Error::custom(format!("`{key}` must be {wanted}")))?;
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

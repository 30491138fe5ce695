//! A pool as configured.

use super::health::HealthSettings;
use super::limiter::LimiterSpec;
use super::node::Limits;
use crate::balance::strategy::StrategySpec;
use crate::unit::{Ratio, RegionId, Span};

/// A pool as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its name, for people.
    pub name: String,
    /// How it chooses among its nodes.
    pub strategy: StrategySpec,
    /// Whether its requests are sent in batches.
    pub batch: Option<BatchSpec>,
    /// Which of its nodes come first because of where they are.
    pub locality: Locality,
    /// How much more than its load a tier is built for: it keeps `min(1, factor * healthy share)` of
    /// the load, by capacity, and the next tier takes the rest. `None`: all it has room for.
    pub overprovision: Option<Ratio>,
    /// What all its nodes together may be asked to take. What is beyond it goes to the next pool, or
    /// waits.
    pub limits: Limits,
    /// How the health of its nodes is watched, where that is not as in all pools.
    pub health: Option<Box<HealthSettings>>,
    /// How it is found out how many attempts each of its nodes takes at a time, beside what is
    /// configured. Not together with `batch`.
    pub limiter: Option<LimiterSpec>,
}

impl PoolSpec {
    /// Returns a pool that sends no batches, does not mind where its nodes are and has no limits.
    #[must_use]
    pub fn new(name: &str, strategy: StrategySpec) -> PoolSpec {
        PoolSpec {
            name: name.to_owned(),
            strategy,
            batch: None,
            locality: Locality::Anywhere,
            overprovision: None,
            limits: Limits::default(),
            health: None,
            limiter: None,
        }
    }
}

/// Which nodes of a tier come first because of where they are. Others serve only what finds none of
/// them open; a place that must never be left is a matter of tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locality {
    /// It does not matter.
    #[default]
    Anywhere,
    /// Those in the region the request comes from, if that is known.
    Origin,
    /// Those in this region: the balancer's, since every answer passes it.
    Region(RegionId),
}

impl Locality {
    /// Returns the region that comes first for requests from `origin`.
    #[must_use]
    pub const fn first(self, origin: Option<RegionId>) -> Option<RegionId> {
        match self {
            Locality::Anywhere => None,
            Locality::Origin => origin,
            Locality::Region(region) => Some(region),
        }
    }
}

/// How a pool wants its requests in batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpec {
    /// At most so many requests are a batch. One is no batching at all.
    pub size: u32,
    /// Nobody is held longer while a node has room. Above zero.
    pub window: Span,
}

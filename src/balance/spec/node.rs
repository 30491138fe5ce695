//! A node as configured: its place, its prices and its limits.

use crate::balance::vocabulary::outcome::Usage;
use crate::unit::{Cost, CredentialId, ModelId, PoolId, Price, RegionId};

/// The order of failover inside a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Used whenever it has room.
    #[default]
    Primary,
    /// Used when no primary has room.
    Backup,
    /// Used when neither has room.
    Secondary,
}

impl Tier {
    /// All tiers in failover order.
    pub const ALL: [Tier; 3] = [Tier::Primary, Tier::Backup, Tier::Secondary];

    /// Returns the name scenarios use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Primary => "primary",
            Tier::Backup => "backup",
            Tier::Secondary => "secondary",
        }
    }
}

/// What a node charges for tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// For a token of the prompt.
    pub input: Price,
    /// For a token of the prompt that the node had cached.
    pub cached_input: Price,
    /// For a token of the answer.
    pub output: Price,
}

impl Prices {
    /// Returns whether tokens cost nothing.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Prices::default()
    }

    /// Returns what `usage` costs, exactly.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> Cost {
        self.input * usage.input.less(usage.cached)
            + self.cached_input * usage.cached
            + self.output * usage.output
    }
}

/// What a node can take. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Attempts at a time. The balancer never exceeds it.
    pub concurrency: Option<u32>,
    /// Requests a minute. The node answers 429 beyond it.
    pub requests_per_minute: Option<u64>,
    /// Tokens a minute. The node answers 429 beyond it.
    pub tokens_per_minute: Option<u64>,
}

/// A node as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its name, for people.
    pub name: String,
    /// Its pool.
    pub pool: PoolId,
    /// Its place in the failover order of the pool.
    pub tier: Tier,
    /// Its share of traffic under weighted strategies, and its capacity under token-based ones,
    /// relative to its peers. At least one.
    pub weight: u32,
    /// The model it serves.
    pub model: ModelId,
    /// Where it is.
    pub region: RegionId,
    /// Its tags as a set of bits.
    pub tags: u64,
    /// What it charges for tokens.
    pub prices: Prices,
    /// What it costs just by being there, in micro-dollars an hour.
    pub hourly: u64,
    /// What it can take.
    pub limits: Limits,
    /// The credential it is asked with, where others may be asked with it too. `None` is one of its
    /// own.
    pub credential: Option<CredentialId>,
}

impl NodeSpec {
    /// Returns a primary node of a pool of which nothing more is known: of the first model, of weight one,
    /// free and without limits.
    #[must_use]
    pub fn new(name: &str, pool: PoolId) -> NodeSpec {
        NodeSpec {
            name: name.to_owned(),
            pool,
            tier: Tier::Primary,
            weight: 1,
            model: ModelId(0),
            region: RegionId(0),
            tags: 0,
            prices: Prices::default(),
            hourly: 0,
            limits: Limits::default(),
            credential: None,
        }
    }
}

impl Limits {
    /// Returns whether nothing is limited.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Limits::default()
    }

    /// Returns whether anything is limited by the minute.
    #[must_use]
    pub fn by_the_minute(&self) -> bool {
        self.requests_per_minute.is_some() || self.tokens_per_minute.is_some()
    }
}

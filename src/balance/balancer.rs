//! The load balancer engine.

use super::admission::Queue;
use super::failover::{Retry, Timeouts};
use super::fleet::{NodeSpec, PoolSpec};
use super::health::HealthSettings;
use super::route::RouteSpec;
use crate::unit::Tokens;

/// Everything the machine is built from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// Seeds its random draws: ties, jitter, sampling.
    pub seed: u64,
    /// Pools, by id.
    pub pools: Vec<PoolSpec>,
    /// Nodes, by id.
    pub nodes: Vec<NodeSpec>,
    /// Routes, by id; the last matches everything.
    pub routes: Vec<RouteSpec>,
    /// By class: tokens an answer is expected to have before any was seen.
    pub expected_output: Vec<Tokens>,
    /// How failed requests are tried again.
    pub retry: Retry,
    /// The balancer's own timers.
    pub timeouts: Timeouts,
    /// How the health of nodes is watched.
    pub health: HealthSettings,
    /// The waiting room.
    pub queue: Queue,
}

/// x
#[derive(Debug)]
pub struct Balancer;

//! Small configurations for the unit tests of the parts.

use super::spec::{Config, NodeSpec, PoolSpec, RouteSpec};
use super::strategy::StrategySpec;
use crate::unit::{PoolId, Span, Time};

/// A node of a pool, without limits.
pub(super) fn node(pool: u16) -> NodeSpec {
    NodeSpec::new("n", PoolId(pool))
}

/// So many pools of so many nodes each, and one route through all of them.
pub(super) fn config(pools: u16, nodes: u16) -> Config {
    let strategy = StrategySpec::named("round_robin").expect("a strategy of the registry");
    let nodes = (0..pools).flat_map(|pool| (0..nodes).map(move |_| node(pool))).collect();
    let route = RouteSpec { to: (0..pools).map(PoolId).collect(), ..RouteSpec::default() };
    let pools = (0..pools).map(|pool| PoolSpec::new(&format!("p{pool}"), strategy.clone()));
    Config::new(pools.collect(), nodes, vec![route])
}

/// So many seconds after the start.
pub(super) fn at(seconds: u64) -> Time {
    Time::ZERO + Span::from_secs(seconds)
}

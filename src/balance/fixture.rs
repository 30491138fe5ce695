//! Small configurations for the unit tests of the parts.

use super::spec::{Config, Limits, NodeSpec, PoolSpec, Prices, RouteSpec, Tier};
use super::strategy::StrategySpec;
use crate::unit::{ModelId, PoolId, RegionId, Span, Time};

/// A node of a pool, without limits.
pub(super) fn node(pool: u16) -> NodeSpec {
    NodeSpec {
        name: "n".to_owned(),
        pool: PoolId(pool),
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

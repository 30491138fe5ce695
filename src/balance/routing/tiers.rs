//! Tiers by health: how much of its load each tier of a pool keeps while part of it is ill.
//!
//! By default a tier keeps everything it has room for. With an overprovisioning factor `f` a tier can
//! take `min(1, f * healthy / all)` of the load, by capacity and not by the number of nodes, and what
//! it cannot take goes to the next one before anybody waits or is late (the form of Envoy's priority
//! levels, whose usual factor is 1.4: a tier keeps all until less than 71 % of it is healthy). Which
//! requests go is drawn from a hash of the session, or of the request where there is none, so a
//! conversation moves once. A tier that was drawn and has no room is passed over as ever.

use crate::balance::fleet::Fleet;
use crate::balance::spec::node::Tier;
use crate::balance::spec::pool::PoolSpec;
use crate::balance::vocabulary::request::Request;
use crate::balance::vocabulary::state::NodeState;
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, PoolId, Ratio};

const ONE: u64 = Ratio::ONE.0 as u64;

/// How a pool shares its load among its tiers.
#[derive(Debug)]
struct Shares {
    factor: Ratio,
    /// As of this generation of health.
    at: u64,
    /// Millionths, cumulated.
    upto: [u64; 3],
}

/// How pools share their load among their tiers; empty if none does by health.
#[derive(Debug, Default)]
pub(in crate::balance) struct TierShares {
    pools: Vec<Option<Shares>>,
    key: u64,
}

impl TierShares {
    pub(in crate::balance) fn new(pools: &[PoolSpec], seed: u64) -> TierShares {
        let shares = |pool: &PoolSpec| {
            let factor = pool.overprovision?;
            Some(Shares { factor, at: u64::MAX, upto: [ONE; 3] })
        };
        let pools: Vec<Option<Shares>> = pools.iter().map(shares).collect();
        let any = pools.iter().any(Option::is_some);
        TierShares {
            pools: if any { pools } else { Vec::new() },
            key: if any { Rng::stream(seed, "spill").bits() } else { 0 },
        }
    }
}

/// Returns the share of the load of each tier, cumulated, in millionths; of each tier it takes what
/// is healthy and what there is.
fn shares(factor: Ratio, tiers: [(u64, u64); 3]) -> [u64; 3] {
    let health = tiers.map(|(healthy, all)| {
        let most = u128::from(ONE);
        let part = u128::from(factor.0) * u128::from(healthy) / u128::from(all.max(1));
        part.min(most) as u64
    });
    let total = health.iter().sum::<u64>().min(ONE);
    if total == 0 {
        return [ONE; 3];
    }
    let mut before = 0;
    let mut upto = health.map(|health| {
        before = (before + health * ONE / total).min(ONE);
        before
    });
    // What rounding left over belongs to the last tier that takes anything.
    let last = health.iter().rposition(|health| *health > 0).unwrap_or(0);
    upto[last..].fill(ONE);
    upto
}

/// Returns what of a tier is healthy, and all of it: by the attempts its nodes may take at a time if
/// every node of the pool has such a limit, else by their weights.
fn tiers(fleet: &Fleet, pool: PoolId) -> [(u64, u64); 3] {
    let there = |node: &NodeId| {
        let state = fleet.node(*node).state();
        let out = matches!(
            state,
            NodeState::Off | NodeState::Starting | NodeState::Draining | NodeState::Gone
        );
        !out
    };
    let nodes = |tier| fleet.members(pool, tier).iter().filter(|node| there(node));
    let limit = |node: &NodeId| fleet.node(*node).spec.limits.concurrency.map(u64::from);
    let limited = Tier::ALL.iter().all(|&tier| nodes(tier).all(|node| limit(node).is_some()));
    Tier::ALL.map(|tier| {
        nodes(tier).fold((0, 0), |(healthy, all), node| {
            let weight = u64::from(fleet.node(*node).spec.weight);
            let capacity = limit(node).filter(|_| limited).unwrap_or(weight);
            let up = fleet.node(*node).state() == NodeState::Up;
            (healthy + if up { capacity } else { 0 }, all + capacity)
        })
    })
}

impl TierShares {
    /// Returns the tiers of a pool in the order in which a request tries them.
    #[inline]
    pub(in crate::balance) fn order(
        &mut self,
        fleet: &Fleet,
        pool: PoolId,
        request: &Request,
    ) -> [Tier; 3] {
        let Some(Some(this)) = self.pools.get_mut(pool.index()) else {
            return Tier::ALL;
        };
        let at = fleet.health_generation();
        if this.at != at {
            (this.at, this.upto) = (at, shares(this.factor, tiers(fleet, pool)));
        }
        // Sessions and requests are numbered alike, so each kind has a key of its own.
        let (kind, number) = request.session.map_or((0, request.id.0), |session| (1, session));
        let hash = mix(mix(self.key, u64::from(pool.0) * 2 + kind), number);
        let point = ((u128::from(hash) * u128::from(ONE)) >> 64) as u64;
        let first = this.upto.iter().position(|upto| point < *upto).unwrap_or(0);
        let mut order = Tier::ALL;
        order[..=first].rotate_right(1);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(factor: f64, tiers: [(u64, u64); 3]) -> [u64; 3] {
        shares(Ratio::from_f64(factor), tiers).map(|upto| (upto + 5_000) / 10_000)
    }

    /// The table of Envoy's documentation of priority levels, factor 1.4.
    #[test]
    fn shares_are_those_of_envoys_table() {
        let of = |healthy: [u64; 3]| percent(1.4, healthy.map(|healthy| (healthy, 100)));
        assert_eq!(of([100, 100, 100]), [100, 100, 100]);
        assert_eq!(of([72, 72, 100]), [100, 100, 100]);
        assert_eq!(of([71, 71, 100]), [99, 100, 100]);
        assert_eq!(of([50, 60, 100]), [70, 100, 100]);
        assert_eq!(of([25, 100, 100]), [35, 100, 100]);
        assert_eq!(of([0, 100, 100]), [0, 100, 100]);
        assert_eq!(of([25, 25, 100]), [35, 70, 100]);
        // Nobody is well enough for all of it: each takes its part of what there is.
        assert_eq!(of([25, 25, 20]), [36, 71, 100]);
        assert_eq!(of([0, 0, 0]), [100, 100, 100]);
    }

    #[test]
    fn a_tier_without_nodes_takes_nothing() {
        assert_eq!(percent(1.4, [(5, 10), (0, 0), (3, 3)]), [70, 70, 100]);
        assert_eq!(percent(1.4, [(0, 0), (4, 4), (0, 0)]), [0, 100, 100]);
        assert_eq!(percent(1.0, [(9, 10), (0, 0), (0, 0)]), [100, 100, 100]);
    }
}

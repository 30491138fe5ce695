//! A node of the running fleet.

use super::health::NodeHealth;
use super::ledger::Ledger;
use crate::balance::spec::node::{NodeSpec, Prices, Tier};
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{PoolId, Time};

/// How a node has yet to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum Trial {
    /// It comes back from an ejection: one attempt at a time, and a failure ejects it again.
    HalfOpen,
    /// It is new: so many attempts at a time.
    Probation(u32),
}

impl Trial {
    const fn most(self) -> u32 {
        match self {
            Trial::HalfOpen => 1,
            Trial::Probation(most) => most,
        }
    }
}

pub(super) const CLOSED: u32 = u32::MAX;

/// A node of the running fleet. What every request asks of it lies together: among ten thousand
/// nodes the next one is in no cache.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its configuration now.
    pub spec: Box<NodeSpec>,
    /// What this balancer has in flight on it.
    pub ledger: Ledger,
    /// Its health.
    pub(in crate::balance) health: NodeHealth,
    /// Its index among the members of its tier.
    pub seat: u32,
    /// Its index in the open set, or `CLOSED`.
    pub(super) open_at: u32,
    /// What it adds to the capacity of its group.
    pub(super) capacity: u64,
    /// Its pool and tier, as configured for good.
    pub(super) home: (PoolId, Tier),
    /// Attempts at a time, as configured now.
    pub(super) limit: Option<u32>,
    /// What it charges, as configured now.
    pub(super) prices: Prices,
    /// While it is on trial.
    pub(super) trial: Option<Trial>,
    /// Attempts at a time as its limiter has found out, where it has one.
    pub(super) adaptive: Option<u32>,
}

impl Node {
    /// Returns how it has yet to prove itself, if it has.
    pub(in crate::balance) const fn trial(&self) -> Option<Trial> {
        self.trial
    }

    /// Returns how many attempts it takes at a time now.
    pub(in crate::balance) const fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// Returns how many its limiter lets it take, if it has one.
    pub(in crate::balance) const fn adaptive(&self) -> Option<u32> {
        self.adaptive
    }

    /// Sets it from what is configured, what its trial allows and what its limiter says.
    pub(super) fn find_limit(&mut self) {
        let trial = self.trial.map(Trial::most);
        let all = [self.spec.limits.concurrency, trial, self.adaptive];
        self.limit = all.into_iter().flatten().min();
    }

    /// Returns its state.
    #[must_use]
    pub const fn state(&self) -> NodeState {
        self.health.state()
    }

    /// Returns the probability that an attempt succeeds, as far as is known; one while nothing
    /// failed. At least 0.01, so that a cost divided by it stays finite.
    #[must_use]
    pub fn success(&self, now: Time) -> f64 {
        self.health.success(now)
    }

    /// Returns when the rest that it last took, after an ejection or a 429, is or was over.
    #[must_use]
    pub const fn rests_until(&self) -> Time {
        self.health.until
    }

    pub(in crate::balance) fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| self.ledger.requests < limit)
    }

    /// Returns its pool and tier.
    pub(in crate::balance) const fn home(&self) -> (PoolId, Tier) {
        self.home
    }

    /// Returns what it charges.
    pub(in crate::balance) const fn prices(&self) -> Prices {
        self.prices
    }

    /// Returns whether a batch of so many finds room, or as much room as there ever is.
    pub(in crate::balance) fn fits(&self, members: u32) -> bool {
        self.free() >= members.min(self.limit().unwrap_or(u32::MAX))
    }

    /// Returns how many more attempts it takes now.
    pub(in crate::balance) fn free(&self) -> u32 {
        self.limit().map_or(u32::MAX, |limit| limit.saturating_sub(self.ledger.requests))
    }
}

#[cfg(test)]
mod tests {
    use crate::balance::fixture::config;
    use crate::balance::fleet::{Fleet, Trial};
    use crate::unit::NodeId;

    #[test]
    fn of_all_limits_the_lowest_is_in_force() {
        let mut specs = config(1, 1).nodes;
        specs[0].limits.concurrency = Some(9);
        let mut fleet = Fleet::new(1, specs);
        let id = NodeId(0);
        let limit = |fleet: &Fleet| fleet.node(id).limit();
        assert_eq!(limit(&fleet), Some(9));
        fleet.adapt(id, Some(4));
        assert_eq!(limit(&fleet), Some(4));
        fleet.try_out(id, Some(Trial::HalfOpen));
        assert_eq!((limit(&fleet), fleet.node(id).free()), (Some(1), 1));
        assert!(fleet.node(id).fits(8), "as much room as there ever is");
        fleet.try_out(id, Some(Trial::Probation(20)));
        fleet.adapt(id, None);
        assert_eq!(limit(&fleet), Some(9));
    }
}

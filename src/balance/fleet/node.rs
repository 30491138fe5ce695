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

/// A bit beside an index: it is one among nodes of last resort.
pub(super) const LAST_RESORT: u32 = 1 << 31;

/// A node of the running fleet: three cache lines, of which choosing it, sending to it and hearing that an
/// attempt is over ask the first two. Among ten thousand nodes the next one is in no cache.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub struct Node {
    /// What this balancer has in flight on it.
    pub ledger: Ledger,
    /// Its index among the members of its tier.
    pub seat: u32,
    /// Its index in the open set, or with `LAST_RESORT` among those of last resort, or `CLOSED`.
    pub(super) open_at: u32,
    /// Its pool and tier, as configured for good.
    pub(super) home: (PoolId, Tier),
    /// Attempts at a time, as everything together allows now; `NO_LIMIT` if nothing says.
    limit: u32,
    /// While it is on trial.
    pub(super) trial: Option<Trial>,
    /// What it charges, as configured now.
    pub(super) prices: Prices,
    /// What it adds to the capacity of its group.
    pub(super) capacity: u64,
    /// Its health. What nobody asks while it is well comes last, and begins the third line.
    pub(in crate::balance) health: NodeHealth,
    /// Attempts at a time as its limiter has found out, where it has one.
    pub(super) adaptive: Option<u32>,
    /// Its configuration now.
    pub spec: Box<NodeSpec>,
}

const NO_LIMIT: u32 = u32::MAX;

impl Node {
    /// A node of this configuration that is up, has this seat, and is not open yet.
    pub(super) fn new(spec: NodeSpec, seat: u32) -> Node {
        let mut node = Node {
            ledger: Ledger::default(),
            seat,
            open_at: CLOSED,
            home: (spec.pool, spec.tier),
            limit: NO_LIMIT,
            trial: None,
            prices: spec.prices,
            capacity: 0,
            health: NodeHealth::default(),
            adaptive: None,
            spec: Box::new(spec),
        };
        node.find_limit();
        node
    }

    /// Returns how it has yet to prove itself, if it has.
    pub(in crate::balance) const fn trial(&self) -> Option<Trial> {
        self.trial
    }

    /// Returns whether it is back from an ejection and has served nothing since.
    #[inline]
    pub(in crate::balance) const fn is_half_open(&self) -> bool {
        matches!(self.trial, Some(Trial::HalfOpen))
    }

    /// Returns how many attempts it takes at a time now.
    #[inline]
    pub(in crate::balance) const fn limit(&self) -> Option<u32> {
        if self.limit == NO_LIMIT { None } else { Some(self.limit) }
    }

    /// Returns how many its limiter lets it take, if it has one.
    pub(in crate::balance) const fn adaptive(&self) -> Option<u32> {
        self.adaptive
    }

    /// Sets it from what is configured, what its trial allows and what its limiter says.
    pub(super) fn find_limit(&mut self) {
        let trial = self.trial.map(Trial::most);
        let all = [self.spec.limits.concurrency, trial, self.adaptive];
        self.limit = all.into_iter().flatten().min().unwrap_or(NO_LIMIT);
    }

    /// Returns whether it is open, and then whether as a last resort.
    #[inline]
    pub(super) const fn opened(&self) -> Option<bool> {
        if self.open_at == CLOSED { None } else { Some(self.open_at & LAST_RESORT != 0) }
    }

    /// Returns its state.
    #[must_use]
    pub const fn state(&self) -> NodeState {
        self.health.state()
    }

    /// Returns the probability that an attempt succeeds, as far as is known; one while nothing
    /// failed. At least 0.01, so that a cost divided by it stays finite.
    #[must_use]
    #[inline]
    pub fn success(&self, now: Time) -> f64 {
        self.health.success(now)
    }

    /// Returns when the rest that it last took, after an ejection or a 429, is or was over.
    #[must_use]
    pub const fn rests_until(&self) -> Time {
        self.health.until
    }

    pub(in crate::balance) fn has_room(&self) -> bool {
        self.ledger.requests < self.limit
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
    use super::Node;
    use crate::balance::fixture::config;
    use crate::balance::fleet::{Fleet, NodeHealth, Trial};
    use crate::unit::NodeId;

    #[test]
    fn what_every_request_asks_is_on_two_cache_lines() {
        assert_eq!((size_of::<Node>(), align_of::<Node>()), (192, 64));
        assert_eq!(std::mem::offset_of!(Node, prices), 64);
        let cold = std::mem::offset_of!(Node, health) + NodeHealth::HOT;
        assert_eq!(cold, 128);
    }

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

//! Batching: a pool that asks for it gets its requests in batches, all of one batch on one node at
//! one moment.
//!
//! A request for such a pool is held until as many are held as make a batch, or until the oldest has
//! been held for the window; then the pool's strategy chooses one node for the oldest, and all others
//! that may go there go with it. Each stays a request of its own, with its deadline, its attempts
//! and its end. A batch that is due and finds no node with room for it stays held; what comes
//! then waits in line. If its pool has no open node at all, its requests look for another pool.
//! What a node makes of a batch is not decided here.

use std::collections::VecDeque;

use super::requests::RequestKey;
use super::spec::pool::{BatchSpec, PoolSpec};
use crate::unit::{PoolId, Time};

/// A request that is held.
#[derive(Clone, Copy, Debug)]
struct HeldRequest {
    key: RequestKey,
    since: Time,
}

/// The batch that a pool gathers.
#[derive(Debug)]
struct Batcher {
    spec: BatchSpec,
    held: VecDeque<HeldRequest>,
    /// Whether a timer is set for when the oldest has been held for the window.
    timed: bool,
}

impl Batcher {
    #[inline]
    fn is_full(&self) -> bool {
        self.held.len() >= self.spec.size as usize
    }

    fn is_due(&self, now: Time) -> bool {
        self.is_full() || self.held.front().is_some_and(|head| head.since + self.spec.window <= now)
    }
}

/// The batches that pools gather; none where no pool takes batches.
#[derive(Debug)]
pub(super) struct Batches {
    /// By pool; empty if no pool takes batches.
    pools: Vec<Option<Batcher>>,
    /// Whether a batch may have found a node since this was asked last.
    ready: bool,
    /// Batches sent.
    sent: u64,
}

/// A batch that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DueBatch {
    /// The request that has been held longest.
    pub(super) head: RequestKey,
    /// How many are held.
    pub(super) members: u32,
}

impl Batches {
    /// Empty ones, where pools ask for batches.
    pub(super) fn new(pools: &[PoolSpec]) -> Batches {
        let batcher = |pool: &PoolSpec| {
            let spec = pool.batch.filter(|batch| batch.size > 1)?;
            Some(Batcher { spec, held: VecDeque::new(), timed: false })
        };
        let mut pools: Vec<Option<Batcher>> = pools.iter().map(batcher).collect();
        if pools.iter().all(Option::is_none) {
            pools.clear();
        }
        Batches { pools, ready: false, sent: 0 }
    }

    /// Returns whether some pool takes batches.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        !self.pools.is_empty()
    }

    /// Returns how many pools may take batches: all of them, or none.
    #[inline]
    pub(super) const fn pools(&self) -> usize {
        self.pools.len()
    }

    #[inline]
    fn of(&self, pool: PoolId) -> Option<&Batcher> {
        self.pools.get(pool.index())?.as_ref()
    }

    fn of_mut(&mut self, pool: PoolId) -> Option<&mut Batcher> {
        self.pools.get_mut(pool.index())?.as_mut()
    }

    /// Returns whether a pool takes batches, and so nothing else.
    #[inline]
    pub(super) fn takes(&self, pool: PoolId) -> bool {
        self.of(pool).is_some()
    }

    /// Returns whether no more fit into the batch of a pool.
    #[inline]
    pub(super) fn is_full(&self, pool: PoolId) -> bool {
        self.of(pool).is_some_and(Batcher::is_full)
    }

    /// A node may have room for a batch now.
    #[inline]
    pub(super) const fn mark_ready(&mut self) {
        self.ready |= self.is_on();
    }

    /// Returns whether a batch may have found a node since this was asked last.
    #[inline]
    pub(super) const fn take_ready(&mut self) -> bool {
        std::mem::replace(&mut self.ready, false)
    }

    /// Holds a request for the batch of a pool that takes batches. Returns when it has been held for
    /// the window, and whether a timer is to be set for that.
    pub(super) fn hold(&mut self, now: Time, pool: PoolId, key: RequestKey) -> (BatchSpec, bool) {
        let batcher = self.of_mut(pool).expect("the pool takes batches");
        batcher.held.push_back(HeldRequest { key, since: now });
        let (spec, full) = (batcher.spec, batcher.is_full());
        let timer = !std::mem::replace(&mut batcher.timed, true);
        self.ready |= full;
        (spec, timer)
    }

    /// Takes a request out of the batch of a pool.
    pub(super) fn release(&mut self, pool: PoolId, key: RequestKey) {
        if let Some(batcher) = self.of_mut(pool) {
            batcher.held.retain(|held| held.key != key);
        }
    }

    /// The timer of a pool has gone off. Returns when it is to be set again, if it is.
    pub(super) fn on_timer(&mut self, now: Time, pool: PoolId) -> Option<Time> {
        let batcher = self.of_mut(pool)?;
        batcher.timed = false;
        if batcher.is_due(now) {
            self.ready = true;
            return None;
        }
        self.next_timer(pool)
    }

    /// Returns when a timer is to be set for those that are held, if there are any and none is set.
    pub(super) fn next_timer(&mut self, pool: PoolId) -> Option<Time> {
        let batcher = self.of_mut(pool)?;
        let head = batcher.held.front()?;
        let at = head.since + batcher.spec.window;
        (!std::mem::replace(&mut batcher.timed, true)).then_some(at)
    }

    /// Returns the batch of a pool if it is due.
    pub(super) fn due(&self, now: Time, pool: PoolId) -> Option<DueBatch> {
        let batcher = self.of(pool).filter(|batcher| batcher.is_due(now))?;
        let head = batcher.held.front()?.key;
        Some(DueBatch { head, members: batcher.held.len() as u32 })
    }

    /// A batch is sent. Returns its number, from one.
    pub(super) const fn number(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Returns everyone who is held for a pool, the oldest first.
    pub(super) fn held(&self, pool: PoolId) -> impl Iterator<Item = RequestKey> + '_ {
        self.of(pool).into_iter().flat_map(|batcher| batcher.held.iter().map(|held| held.key))
    }

    /// Returns how many are held for all pools.
    pub(super) fn count(&self) -> usize {
        self.pools.iter().flatten().map(|batcher| batcher.held.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::balance::strategy::StrategySpec;
    use crate::unit::Span;

    const POOL: PoolId = PoolId(1);

    fn batches() -> Batches {
        let strategy = StrategySpec::named("random").unwrap();
        let batch = Some(BatchSpec { size: 3, window: Span::from_secs(1) });
        let plain = PoolSpec::new("plain", strategy.clone());
        Batches::new(&[plain, PoolSpec { batch, ..PoolSpec::new("batched", strategy) }])
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::from_secs(seconds)
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_its_oldest_was_held_for_the_window() {
        let mut keys: SlotMap<RequestKey, ()> = SlotMap::with_key();
        let mut batches = batches();
        assert!(!batches.takes(PoolId(0)) && batches.takes(POOL));
        let first = keys.insert(());
        let (spec, timer) = batches.hold(at(0), POOL, first);
        assert!(timer, "the first sets the timer");
        assert_eq!(batches.due(at(0), POOL), None);
        assert_eq!(batches.due(at(0) + spec.window, POOL).map(|due| due.members), Some(1));
        let (_, timer) = batches.hold(at(0), POOL, keys.insert(()));
        assert!(!timer && !batches.take_ready());
        batches.hold(at(0), POOL, keys.insert(()));
        assert!(batches.take_ready() && batches.is_full(POOL));
        let due = batches.due(at(0), POOL).expect("it is full");
        assert_eq!((due.head, due.members), (first, 3));
    }

    #[test]
    fn the_timer_follows_the_oldest_that_is_held() {
        let mut keys: SlotMap<RequestKey, ()> = SlotMap::with_key();
        let mut batches = batches();
        let (one, other) = (keys.insert(()), keys.insert(()));
        batches.hold(at(0), POOL, one);
        batches.hold(at(5), POOL, other);
        batches.release(POOL, one);
        assert_eq!(batches.count(), 1);
        assert_eq!(batches.on_timer(at(1), POOL), Some(at(6)), "it looks again for the other");
        assert_eq!(batches.next_timer(POOL), None, "one is set");
        batches.release(POOL, other);
        assert_eq!(batches.on_timer(at(6), POOL), None);
        assert!(!batches.take_ready());
    }
}

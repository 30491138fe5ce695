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

use super::balancer::Balancer;
use super::requests::{Phase, Reach, RequestKey};
use super::spec::node::Tier;
use super::spec::pool::{BatchSpec, PoolSpec};
use super::timer::Alarm;
use super::vocabulary::action::Together;
use super::vocabulary::event::Event;
use crate::unit::{NodeId, PoolId, Time};

/// A request that is held.
#[derive(Clone, Copy, Debug)]
struct Held {
    key: RequestKey,
    since: Time,
}

/// The batch that a pool gathers.
#[derive(Debug)]
pub(super) struct Batcher {
    spec: BatchSpec,
    line: VecDeque<Held>,
    /// Whether an alarm is set.
    armed: bool,
}

impl Batcher {
    /// One a pool, where it asks for it; empty if none does.
    pub(super) fn all(pools: &[PoolSpec]) -> Vec<Option<Batcher>> {
        let batcher = |pool: &PoolSpec| {
            let spec = pool.batch.filter(|batch| batch.size > 1)?;
            Some(Batcher { spec, line: VecDeque::new(), armed: false })
        };
        let all: Vec<Option<Batcher>> = pools.iter().map(batcher).collect();
        if all.iter().any(Option::is_some) { all } else { Vec::new() }
    }

    fn is_due(&self, now: Time) -> bool {
        self.is_full() || self.line.front().is_some_and(|head| head.since + self.spec.window <= now)
    }

    /// Returns whether no more fit into the batch.
    pub(super) fn is_full(&self) -> bool {
        self.line.len() >= self.spec.size as usize
    }

    /// Returns how many are held.
    pub(super) fn len(&self) -> usize {
        self.line.len()
    }
}

impl Balancer {
    pub(super) fn batcher(&self, pool: PoolId) -> Option<&Batcher> {
        self.batchers.get(pool.index())?.as_ref()
    }

    /// Returns whether some node of the pool is open to the request.
    fn is_open_to(&self, key: RequestKey, pool: PoolId) -> bool {
        let require = self.routes.get(self.requests[key].route).require;
        let mut open = Tier::ALL.iter().flat_map(|&tier| self.fleet.open(pool, tier));
        open.any(|&node| self.fleet.node(node).spec.tags & require == require)
    }

    /// Holds the request if the first pool along its lane with room for it takes batches.
    pub(super) fn hold(&mut self, key: RequestKey) -> bool {
        if self.batchers.is_empty() {
            return false;
        }
        let degrading = self.degrading(key);
        let mut place = 0;
        let pool = loop {
            let Some(pool) = self.pool_at(key, degrading, place) else {
                return false;
            };
            place += 1;
            // A pool that has as much as it may take is passed over, as it is without batches.
            let full = self.batcher(pool).is_some_and(Batcher::is_full);
            if !full
                && self.is_open_to(key, pool)
                && (self.gate.is_none() || self.pool_takes(key, pool))
            {
                break pool;
            }
        };
        let Some(batcher) = &mut self.batchers[pool.index()] else {
            return false;
        };
        batcher.line.push_back(Held { key, since: self.now });
        let window = batcher.spec.window;
        self.due |= batcher.is_full();
        if !std::mem::replace(&mut batcher.armed, true) {
            self.timers.after(self.now, window, Alarm::Window(pool));
        }
        let number = self.lines.number();
        let phase = &mut self.requests[key].phase;
        let queued = matches!(phase, Phase::Waiting(_) | Phase::Held { queued: true, .. });
        *phase = Phase::Held { pool, number, queued };
        // A batch that is due and finds no room waits as others do.
        if let Some(wait) = self.queue.max_wait {
            self.timers.after(self.now, window + wait, Alarm::GiveUp(key, number));
        }
        self.give_up_in_time(key, number);
        true
    }

    /// Takes a request out of the batch of a pool.
    pub(super) fn release(&mut self, key: RequestKey, pool: PoolId) {
        if let Some(Some(batcher)) = self.batchers.get_mut(pool.index()) {
            batcher.line.retain(|held| held.key != key);
            // Whoever found it full may come in now.
            self.opened = true;
        }
    }

    /// The oldest of some batch may have been held for the window.
    pub(super) fn window_over(&mut self, pool: PoolId) {
        let now = self.now;
        let Some(Some(batcher)) = self.batchers.get_mut(pool.index()) else {
            return;
        };
        batcher.armed = false;
        if batcher.is_due(now) {
            self.due = true;
        } else if let Some(head) = batcher.line.front() {
            batcher.armed = true;
            self.timers.at(head.since + batcher.spec.window, Alarm::Window(pool));
        }
    }

    /// Serves those who wait and dispatches batches, until neither changes anything.
    pub(super) fn serve_all(&mut self) {
        self.serve_waiting();
        while std::mem::take(&mut self.due) {
            for pool in 0..self.batchers.len() {
                while self.send_batch(PoolId(pool as u16)) {}
            }
            self.serve_waiting();
        }
    }

    /// Dispatches the pool's batch if it is due and a node has room for it. Returns whether anything
    /// changed.
    fn send_batch(&mut self, pool: PoolId) -> bool {
        let now = self.now;
        let Some(batcher) = self.batcher(pool).filter(|batcher| batcher.is_due(now)) else {
            return false;
        };
        let Some(head) = batcher.line.front().map(|head| head.key) else {
            return false;
        };
        if self.expire(head) {
            return true;
        }
        let members = self.batcher(pool).map_or(0, Batcher::len) as u32;
        let mut choice = self.choose_in(head, pool, Reach::Untried, members);
        if choice.is_none() && self.requests[head].attempts > 0 {
            choice = self.choose_in(head, pool, Reach::Anywhere, members);
        }
        let Some(choice) = choice else {
            if self.is_open_to(head, pool) {
                return false;
            }
            self.send_away(head, pool);
            return true;
        };
        let node = choice.node;
        let keys = self.companions(head, pool, node);
        self.batches += 1;
        let together = Together { number: self.batches, members: keys.len() as u32 };
        for &key in &keys {
            self.release(key, pool);
            self.dispatch(key, &choice, Some(together));
        }
        self.effects.events.push(Event::Batch { node, members: together.members });
        self.arm(pool);
        true
    }

    /// Returns the oldest of the batch and those that may go with it to its node.
    fn companions(&self, head: RequestKey, pool: PoolId, node: NodeId) -> Vec<RequestKey> {
        let spec = &self.fleet.node(node).spec;
        let free = self.fleet.node(node).free();
        let tried = |key: RequestKey| {
            let live = &self.requests[key];
            live.tried[..usize::from(live.attempts)].contains(&node)
        };
        let again = tried(head);
        let goes = |&key: &RequestKey| {
            let live = &self.requests[key];
            let require = self.routes.get(live.route).require;
            spec.tags & require == require
                && (again || !tried(key))
                && !self.too_late(&live.request)
        };
        let line = self.batcher(pool).into_iter().flat_map(|batcher| &batcher.line);
        line.map(|held| held.key).filter(goes).take(free as usize).collect()
    }

    /// Sets the alarm for those that stayed behind.
    fn arm(&mut self, pool: PoolId) {
        if let Some(Some(batcher)) = self.batchers.get_mut(pool.index())
            && let Some(head) = batcher.line.front()
            && !std::mem::replace(&mut batcher.armed, true)
        {
            self.timers.at(head.since + batcher.spec.window, Alarm::Window(pool));
        }
    }

    /// The pool has no node for it any more: it looks for another one, or waits.
    fn send_away(&mut self, key: RequestKey, pool: PoolId) {
        self.release(key, pool);
        // It stays held until it has a place elsewhere, or it would wait twice in the books.
        let queued = matches!(self.requests[key].phase, Phase::Held { queued: true, .. });
        self.place_or_wait_again(key, queued);
    }

    /// Returns everyone who is held for a pool.
    pub(super) fn held(&self, pool: PoolId) -> impl Iterator<Item = RequestKey> + '_ {
        self.batcher(pool).into_iter().flat_map(|batcher| batcher.line.iter().map(|held| held.key))
    }
}

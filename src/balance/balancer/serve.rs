//! Those who wait are served, and batches are sent, until neither changes anything.

use super::Balancer;
use super::place::Placed;
use crate::balance::requests::{RequestKey, RequestState};
use crate::balance::retry::TimeLeft;
use crate::balance::timer::Timer;
use crate::balance::vocabulary::action::Together;
use crate::balance::vocabulary::event::Event;
use crate::balance::vocabulary::outcome::Reject;
use crate::unit::{NodeId, PoolId, RouteId};

impl Balancer {
    /// Serves those who wait and dispatches batches, until neither changes anything.
    pub(super) fn serve_all(&mut self) {
        self.drain_queues();
        while self.batches.take_ready() {
            for pool in 0..self.batches.pools() {
                while self.send_batch(PoolId(pool as u16)) {}
            }
            self.drain_queues();
        }
    }

    /// Serves those who wait, in their order, as long as a node is open for them.
    #[inline]
    pub(super) fn drain_queues(&mut self) {
        if !self.fleet.take_freed() {
            return;
        }
        // A batch may have waited for it too.
        self.batches.mark_ready();
        if self.queue.waiting() == 0 {
            return;
        }
        self.queue.unblock();
        while let Some((route, key)) = self.queue.next(self.now, &self.requests) {
            if self.expire(key) {
                continue;
            }
            match self.place(key) {
                Placed::Yes => {
                    let priority = self.requests[key].request.priority;
                    self.queue.serve(self.now, route, (key, priority));
                }
                Placed::No => self.queue.block(route),
                Placed::Refused(reason) => self.reject(key, reason),
                Placed::Throttled => self.queue.throttle(self.requests[key].request.tenant),
            }
        }
    }

    /// Turns away those who wait on a route that has lost its last node.
    pub(super) fn reject_homeless(&mut self) {
        for index in 0..self.router.count() {
            let route = RouteId(index as u16);
            while self.router.is_homeless(route)
                && let Some(key) = self.queue.head(route, &self.requests)
            {
                self.reject(key, Reject::NoNode);
            }
        }
    }

    /// Returns the requests that wait on a route, those held for a batch included.
    pub(super) fn waiting_on(&self, route: RouteId) -> impl Iterator<Item = &RequestState> {
        let tickets = self.queue.tickets(route);
        let waits = tickets.filter(|it| self.requests.is_queued_with(it.key, it.number));
        let pools = 0..self.batches.pools();
        let held = pools.flat_map(|pool| self.batches.held(PoolId(pool as u16)));
        let held = held.map(|key| &self.requests[key]).filter(move |state| state.route == route);
        waits.map(|it| &self.requests[it.key]).chain(held)
    }

    /// Dispatches the pool's batch if it is due and a node has room for it. Returns whether anything
    /// changed.
    fn send_batch(&mut self, pool: PoolId) -> bool {
        let Some(due) = self.batches.due(self.now, pool) else {
            return false;
        };
        let head = due.head;
        if self.expire(head) {
            return true;
        }
        // Ejected nodes take it only where no other pool would.
        let last_resort = self.is_last_resort(head);
        let mut reaches = self.reaches(head).filter(|reach| reach.is_last_resort() == last_resort);
        let choice = reaches.find_map(|reach| self.pick_in_pool(head, pool, reach, due.members));
        let Some(choice) = choice else {
            if self.is_open_to(head, pool, last_resort) {
                return false;
            }
            self.send_elsewhere(head, pool);
            return true;
        };
        let node = choice.node;
        let keys = self.companions(head, pool, node);
        let together = Together { number: self.batches.number(), members: keys.len() as u32 };
        for &key in &keys {
            self.release(key, pool);
            self.dispatch(key, &choice, Some(together));
        }
        self.effects.events.push(Event::Batch { node, members: together.members });
        self.time_batch(pool);
        true
    }

    /// Returns the oldest of the batch and those that may go with it to its node.
    fn companions(&self, head: RequestKey, pool: PoolId, node: NodeId) -> Vec<RequestKey> {
        let spec = &self.fleet.node(node).spec;
        let free = self.fleet.node(node).free();
        let tried = |key: RequestKey| self.requests[key].nodes_tried().contains(&node);
        let again = tried(head);
        let goes = |&key: &RequestKey| {
            let state = &self.requests[key];
            self.router.spec(state.route).demands().are_met_by(spec)
                && (again || !tried(key))
                && self.retries.time_left(self.now, &state.request) == TimeLeft::Enough
        };
        self.batches.held(pool).filter(goes).take(free as usize).collect()
    }

    /// The pool has no node for it any more: it looks for another one, or waits.
    fn send_elsewhere(&mut self, key: RequestKey, pool: PoolId) {
        self.release(key, pool);
        // It stays held until it has a place elsewhere, or it would be counted as waiting twice.
        let queued = self.requests[key].phase.is_queued();
        self.dispatch_or_queue_again(key, queued);
    }

    /// Takes a request out of the batch of a pool.
    pub(super) fn release(&mut self, key: RequestKey, pool: PoolId) {
        self.batches.release(pool, key);
        // Whoever found it full may come in now.
        self.fleet.mark_freed();
    }

    /// The oldest of some batch may have been held for the window.
    pub(super) fn window_over(&mut self, pool: PoolId) {
        if let Some(at) = self.batches.on_timer(self.now, pool) {
            self.timers.at(at, Timer::Window(pool));
        }
    }

    /// Sets the timer for those that stayed behind.
    fn time_batch(&mut self, pool: PoolId) {
        if let Some(at) = self.batches.next_timer(pool) {
            self.timers.at(at, Timer::Window(pool));
        }
    }
}

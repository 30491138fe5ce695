//! Admission: bounded waiting with a give-up time.
//!
//! A request that no node may take now stands in the line of its route, first come first served,
//! until a node opens, its time is up, or its client leaves. The room is bounded over all lines.
//! Entries of requests that have left are dropped when they come to the head, so leaving is O(1).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::balancer::{Balancer, Phase, RequestKey};
use super::event::{Event, Fate, Reject};
use super::request::Request;
use super::timer::Alarm;
use crate::unit::{PoolId, RouteId, Span};

/// The waiting room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// At most so many requests wait, over all routes.
    pub max: u32,
    /// A request waits at most this long at a stretch. `None` is for ever.
    pub max_wait: Option<Span>,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { max: 1_000, max_wait: Some(Span::from_secs(10)) }
    }
}

/// A place in line: which request, and its number in the order of joining over all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<K> {
    pub(super) key: K,
    pub(super) number: u64,
}

/// One line a route.
#[derive(Clone, Debug)]
pub(super) struct Lines<K> {
    lines: Vec<VecDeque<Place<K>>>,
    joined: u64,
    /// Requests that wait; entries of those that left are not counted.
    pub(super) waiting: u32,
}

impl<K: Copy> Lines<K> {
    pub(super) fn new(routes: usize) -> Lines<K> {
        Lines { lines: (0..routes).map(|_| VecDeque::new()).collect(), joined: 0, waiting: 0 }
    }

    /// Joins the line and returns the number of the place.
    pub(super) fn join(&mut self, route: RouteId, key: K) -> u64 {
        self.joined += 1;
        self.waiting += 1;
        self.lines[route.index()].push_back(Place { key, number: self.joined });
        self.joined
    }

    /// Returns a number for a place elsewhere.
    pub(super) fn number(&mut self) -> u64 {
        self.joined += 1;
        self.joined
    }

    /// Leaves without being at the head; the entry is dropped later.
    pub(super) fn leave(&mut self) {
        self.waiting -= 1;
    }

    /// Returns the first of the line that still waits, dropping those that do not.
    pub(super) fn head(
        &mut self,
        route: RouteId,
        waits: impl Fn(&Place<K>) -> bool,
    ) -> Option<Place<K>> {
        let line = &mut self.lines[route.index()];
        while let Some(place) = line.front() {
            if waits(place) {
                return Some(*place);
            }
            line.pop_front();
        }
        None
    }

    /// Takes the head off the line: it is being served.
    pub(super) fn serve(&mut self, route: RouteId) {
        self.lines[route.index()].pop_front().expect("the line has a head");
        self.waiting -= 1;
    }

    /// Returns every entry of a line, those of requests that have left included.
    pub(super) fn entries(&self, route: RouteId) -> impl Iterator<Item = &Place<K>> {
        self.lines[route.index()].iter()
    }
}

/// The balancer's waiting room.
impl Balancer {
    /// Dispatches the request, or lets it wait, or turns it away.
    pub(super) fn place_or_wait(&mut self, key: RequestKey) {
        self.place_or_wait_again(key, false);
    }

    /// The same for a request that may have been declared to wait before.
    pub(super) fn place_or_wait_again(&mut self, key: RequestKey, queued: bool) {
        if self.homes[self.requests[key].lane as usize].is_none() {
            return self.turn_away(key, Reject::NoNode);
        }
        // This call may have opened a node already, and those who wait go first.
        self.serve_waiting();
        if self.place(key) {
            return;
        }
        if self.lines.waiting >= self.queue.max {
            return self.turn_away(key, Reject::QueueFull);
        }
        let route = self.requests[key].route;
        let number = self.lines.join(route, key);
        self.requests[key].phase = Phase::Waiting(number);
        let request = self.requests[key].request.id;
        if !queued {
            self.effects.events.push(Event::Queued { request, route });
        }
        if let Some(wait) = self.queue.max_wait {
            self.timers.after(self.now, wait, Alarm::GiveUp(key, number));
        }
        self.give_up_in_time(key, number);
    }

    /// A request without an attempt is rejected; one with attempts failed as its last one did.
    pub(super) fn turn_away(&mut self, key: RequestKey, reason: Reject) {
        let fate =
            self.requests[key].last.map_or(Fate::Rejected(reason), |(_, end)| Fate::Failed(end));
        self.settle(key, fate);
    }

    /// Turns away those who wait on a route that has lost its last node.
    pub(super) fn turn_away_homeless(&mut self) {
        for index in 0..self.routes.count() {
            let route = RouteId(index as u16);
            // The first lane of a route has all of its pools.
            let lane = self.routes.first_lane(route) as usize;
            while self.homes[lane].is_none()
                && let Some(place) = self.head_of_line(route)
            {
                self.turn_away(place.key, Reject::NoNode);
            }
        }
    }

    /// Serves those who wait, in the order they came, as long as a node is open for them.
    pub(super) fn serve_waiting(&mut self) {
        let opened = std::mem::take(&mut self.opened);
        // A batch may have waited for it too.
        self.due |= opened && !self.batchers.is_empty();
        if !opened || self.lines.waiting == 0 {
            return;
        }
        self.blocked.fill(false);
        while let Some((route, key)) = self.next_in_line() {
            if self.place(key) {
                self.lines.serve(route);
            } else {
                self.blocked[route.index()] = true;
            }
        }
    }

    /// Returns the one that came first among the heads of all lines that are not blocked.
    fn next_in_line(&mut self) -> Option<(RouteId, RequestKey)> {
        let mut first: Option<(u64, RouteId, RequestKey)> = None;
        for index in 0..self.blocked.len() {
            if self.blocked[index] {
                continue;
            }
            let route = RouteId(index as u16);
            if let Some(place) = self.head_of_line(route)
                && first.is_none_or(|(number, ..)| place.number < number)
            {
                first = Some((place.number, route, place.key));
            }
        }
        first.map(|(_, route, key)| (route, key))
    }

    /// Returns the requests that wait on a route, those held for a batch included.
    pub(super) fn waiting_on(&self, route: RouteId) -> impl Iterator<Item = &Request> {
        let waits = move |place: &Place<RequestKey>| {
            let live = self.requests.get(place.key)?;
            (live.phase == Phase::Waiting(place.number)).then_some(&live.request)
        };
        let pools = 0..self.batchers.len();
        let held = pools.flat_map(|pool| self.held(PoolId(pool as u16)));
        let held = held.map(|key| &self.requests[key]);
        let held = held.filter(move |live| live.route == route).map(|live| &live.request);
        self.lines.entries(route).filter_map(waits).chain(held)
    }

    fn head_of_line(&mut self, route: RouteId) -> Option<Place<RequestKey>> {
        let requests = &self.requests;
        self.lines.head(route, |place| {
            let live = requests.get(place.key);
            live.is_some_and(|live| live.phase == Phase::Waiting(place.number))
        })
    }
}

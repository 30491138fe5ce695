//! Admission: who may come in, and bounded waiting with a give-up time.
//!
//! A request that no node may take now stands in the line of its route, first come first served,
//! until a node opens, its time is up, or its client leaves. The room is bounded over all lines.
//! Entries of requests that have left are dropped when they come to the head, so leaving is O(1).
//! Other orders than that of coming are in `waiting`, and what would come too late in `forecast`.

pub(super) mod fair;
pub(super) mod forecast;

use std::collections::VecDeque;

use super::balancer::Balancer;
use super::requests::{Live, Phase, RequestKey};
use super::spec::overload::Rung;
use super::timer::Alarm;
use super::vocabulary::event::Event;
use super::vocabulary::outcome::{Fate, Reject};
use crate::unit::{PoolId, RouteId, Span, Time};
use fair::{Guest, Room};
use forecast::Due;

/// What became of a request that looked for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum Placed {
    /// It has one, or is held for a batch.
    Yes,
    /// None is open for it now.
    No,
    /// Its tenant has as much under way as it may.
    HeldBack,
    /// It may not be served at all.
    Refused(Reject),
}

/// A place in line: which request, and its number in the order of joining over all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) struct Place {
    pub(in crate::balance) key: RequestKey,
    pub(in crate::balance) number: u64,
}

/// One line a route; or a room, where more than the order of coming matters.
#[derive(Debug)]
pub(in crate::balance) struct Lines {
    lines: Vec<VecDeque<Place>>,
    pub(in crate::balance) room: Option<Box<Room>>,
    joined: u64,
    /// Requests that wait; entries of those that left are not counted.
    pub(in crate::balance) waiting: u32,
    /// By route.
    by_route: Vec<u32>,
}

impl Lines {
    pub(in crate::balance) fn new(routes: usize, room: Option<Box<Room>>) -> Lines {
        let lines = (0..routes).map(|_| VecDeque::new()).collect();
        Lines { lines, room, joined: 0, waiting: 0, by_route: vec![0; routes] }
    }

    /// Joins the line and returns the number of the place.
    pub(in crate::balance) fn join(&mut self, now: Time, guest: &Guest) -> u64 {
        let number = self.number();
        self.waiting += 1;
        self.by_route[guest.route.index()] += 1;
        match &mut self.room {
            Some(room) => room.join(now, &Guest { number, ..*guest }),
            None => self.lines[guest.route.index()].push_back(Place { key: guest.key, number }),
        }
        number
    }

    /// Returns a number for a place elsewhere.
    pub(in crate::balance) fn number(&mut self) -> u64 {
        self.joined += 1;
        self.joined
    }

    /// Leaves without being at the head; the entry of a plain line is dropped later.
    pub(in crate::balance) fn leave(&mut self, route: RouteId, key: RequestKey) {
        self.waiting -= 1;
        self.by_route[route.index()] -= 1;
        if let Some(room) = &mut self.room {
            room.leave(key);
        }
    }

    /// Returns the first of the line that still waits, dropping those that do not.
    fn head(&mut self, route: RouteId, waits: impl Fn(&Place) -> bool) -> Option<Place> {
        if let Some(room) = &self.room {
            return room.entries(route).next().map(|(key, number)| Place { key, number });
        }
        let line = &mut self.lines[route.index()];
        while let Some(place) = line.front() {
            if waits(place) {
                return Some(*place);
            }
            line.pop_front();
        }
        None
    }

    /// Takes the next one out: it is being served.
    fn serve(&mut self, route: RouteId, key: RequestKey) {
        match &mut self.room {
            Some(room) => room.serve(key),
            None => {
                self.lines[route.index()].pop_front().expect("the line has a head");
            }
        }
        self.waiting -= 1;
        self.by_route[route.index()] -= 1;
    }

    /// Returns how many wait on a route.
    pub(in crate::balance) fn waiting_on(&self, route: RouteId) -> u32 {
        self.by_route[route.index()]
    }

    /// Returns every entry of a line, those of requests that have left included.
    pub(in crate::balance) fn entries(&self, route: RouteId) -> impl Iterator<Item = Place> {
        let room = self.room.iter().flat_map(move |room| room.entries(route));
        let room = room.map(|(key, number)| Place { key, number });
        self.lines[route.index()].iter().copied().chain(room)
    }

    /// Returns about how many would be served before the guest, itself included.
    fn ahead(&self, now: Time, guest: &Guest) -> u64 {
        match &self.room {
            Some(room) => room.ahead(now, guest),
            None => u64::from(self.by_route[guest.route.index()]) + 1,
        }
    }
}

/// The balancer's waiting room.
impl Balancer {
    /// Dispatches the request, or lets it wait, or turns it away.
    pub(in crate::balance) fn place_or_wait(&mut self, key: RequestKey) {
        self.place_or_wait_again(key, false);
    }

    /// The same for a request that may have been declared to wait before.
    pub(in crate::balance) fn place_or_wait_again(&mut self, key: RequestKey, queued: bool) {
        if self.homes[self.requests[key].lane as usize].is_none() {
            return self.turn_away(key, Reject::NoNode);
        }
        // This call may have opened a node already, and those who wait go first.
        self.serve_waiting();
        if self.requests[key].refused != 0 {
            return self.place_or_fail(key);
        }
        let route = self.requests[key].route;
        if self.lines.by_route[route.index()] > 0 && self.has_quotas() {
            // A node may be open for this one and not for those before it.
            self.opened = true;
            return self.wait(key, queued);
        }
        match self.place(key) {
            Placed::Yes => {}
            Placed::No => self.wait(key, queued),
            Placed::Refused(reason) => self.turn_away(key, reason),
            Placed::HeldBack => {
                self.hold_back(key);
                self.wait(key, queued);
            }
        }
    }

    /// Lets a tenant's requests wait until one of its attempts ends.
    fn hold_back(&mut self, key: RequestKey) {
        if let Some(room) = &mut self.lines.room {
            room.park(self.requests[key].request.tenant, true);
        }
    }

    /// Lets a request wait, unless there is no room for it or no use in it.
    fn wait(&mut self, key: RequestKey, queued: bool) {
        let guest = self.guest(key);
        self.expect(&guest);
        if let Some(forecast) = &self.forecast {
            let due = self.due_of(key);
            if forecast.too_late(self.now, self.lines.ahead(self.now, &guest), &due) {
                return self.turn_away(key, Reject::TooLate);
            }
        }
        let route = guest.route;
        let mut max_wait = self.queue.max_wait;
        if self.overload.is_some()
            && let Some(left) = self.shortened(route)
        {
            self.touch(key, Rung::Queue);
            let most = left.of(u64::from(self.queue.max));
            if u64::from(self.lines.waiting_on(route)) >= most
                && !self.make_room(&guest, Some(route))
            {
                return self.turn_away(key, Reject::QueueFull);
            }
            max_wait = max_wait.map(|wait| Span(left.of(wait.0)));
        }
        if self.lines.waiting >= self.queue.max && !self.make_room(&guest, None) {
            return self.turn_away(key, Reject::QueueFull);
        }
        let number = self.lines.join(self.now, &guest);
        self.requests[key].phase = Phase::Waiting(number);
        let request = self.requests[key].request.id;
        if !queued {
            self.effects.events.push(Event::Queued { request, route });
        }
        if let Some(wait) = max_wait {
            self.timers.after(self.now, wait, Alarm::GiveUp(key, number));
        }
        self.give_up_in_time(key, number);
        if self.overload.is_some() {
            self.watch_saturation();
        }
    }

    /// What a room has to know of a request.
    fn guest(&self, key: RequestKey) -> Guest {
        let live = &self.requests[key];
        let request = &live.request;
        Guest {
            key,
            number: 0,
            route: live.route,
            tenant: request.tenant,
            priority: request.priority,
            deadline: request.deadline,
            prompt: request.prompt,
            expected: self.expected(live),
        }
    }

    /// In a full room somebody may have to give way to the guest, somebody of a route if only that is
    /// full. Returns whether there is a place.
    fn make_room(&mut self, guest: &Guest, of: Option<RouteId>) -> bool {
        let room = self.lines.room.as_ref();
        let victim = room.and_then(|room| room.victim(guest.priority, guest.tenant, of));
        let Some(victim) = victim.filter(|_| self.queue.max > 0) else {
            return false;
        };
        self.turn_away(victim, Reject::Displaced);
        true
    }

    /// The band of a request for the forecast.
    fn band(&self, key: RequestKey) -> usize {
        match &self.lines.room {
            Some(room) => usize::from(room.band(self.requests[key].request.priority)),
            None => 0,
        }
    }

    fn due_of(&self, key: RequestKey) -> Due {
        let live = &self.requests[key];
        let request = &live.request;
        Due {
            route: live.route,
            band: self.band(key),
            class: request.class,
            deadline: request.deadline,
            patience: request.deadline.since(request.arrived),
        }
    }

    /// Tells the forecast, before it is asked, that somebody comes to wait where perhaps nobody did:
    /// that nobody was served while nobody waited foretells nothing.
    fn expect(&mut self, guest: &Guest) {
        if self.forecast.is_none() {
            return;
        }
        let band = self.band(guest.key);
        let alone = match &self.lines.room {
            Some(room) => room.waiting_in(guest.route, band) == 0,
            None => self.lines.waiting_on(guest.route) == 0,
        };
        if let Some(forecast) = self.forecast.as_mut().filter(|_| alone) {
            forecast.begins(self.now, guest.route, band);
        }
    }

    /// A request without an attempt is rejected; one with attempts failed as its last one did.
    pub(in crate::balance) fn turn_away(&mut self, key: RequestKey, reason: Reject) {
        let fate =
            self.requests[key].last.map_or(Fate::Rejected(reason), |(_, end)| Fate::Failed(end));
        self.settle(key, fate);
    }

    /// Turns away those who wait on a route that has lost its last node.
    pub(in crate::balance) fn turn_away_homeless(&mut self) {
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

    /// Serves those who wait, in their order, as long as a node is open for them.
    pub(in crate::balance) fn serve_waiting(&mut self) {
        let opened = std::mem::take(&mut self.opened);
        // A batch may have waited for it too.
        self.due |= opened && !self.batchers.is_empty();
        if !opened || self.lines.waiting == 0 {
            return;
        }
        self.blocked.fill(false);
        while let Some((route, key)) = self.next_in_line() {
            if self.expire(key) {
                continue;
            }
            match self.place(key) {
                Placed::Yes => {
                    self.lines.serve(route, key);
                    let band = self.forecast.is_some().then(|| self.band(key));
                    if let Some((forecast, band)) = self.forecast.as_mut().zip(band) {
                        forecast.served(self.now, route, band);
                    }
                }
                Placed::No => self.blocked[route.index()] = true,
                Placed::Refused(reason) => self.turn_away(key, reason),
                Placed::HeldBack => self.hold_back(key),
            }
        }
    }

    /// Returns the next of the room, or the one that came first among the heads of all lines; never
    /// one of a route that is blocked.
    fn next_in_line(&mut self) -> Option<(RouteId, RequestKey)> {
        if let Some(room) = &mut self.lines.room {
            return room.next(self.now, &self.blocked);
        }
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
    pub(in crate::balance) fn waiting_on(&self, route: RouteId) -> impl Iterator<Item = &Live> {
        let waits = move |place: Place| {
            let live = self.requests.get(place.key)?;
            (live.phase == Phase::Waiting(place.number)).then_some(live)
        };
        let pools = 0..self.batchers.len();
        let held = pools.flat_map(|pool| self.held(PoolId(pool as u16)));
        let held = held.map(|key| &self.requests[key]);
        let held = held.filter(move |live| live.route == route);
        self.lines.entries(route).filter_map(waits).chain(held)
    }

    fn head_of_line(&mut self, route: RouteId) -> Option<Place> {
        let requests = &self.requests;
        self.lines.head(route, |place| {
            let live = requests.get(place.key);
            live.is_some_and(|live| live.phase == Phase::Waiting(place.number))
        })
    }
}

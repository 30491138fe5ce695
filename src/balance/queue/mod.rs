//! The waiting room: bounded waiting with a give-up time.
//!
//! A request that no node may take now waits in the queue of its route, first come first served, until
//! a node opens, its time is up, or its client leaves. The room is bounded over all queues. Other
//! orders than that of coming are in `fair`, and what would come too late in `forecast`.
//!
//! It knows no node: whether a request may be served now is not decided here.

pub(super) mod fair;
pub(super) mod fifo;
pub(super) mod forecast;

use super::requests::{RequestKey, RequestState, Requests};
use super::spec::admission::{Order, Queue, Waiting};
use super::spec::config::Config;
use super::vocabulary::request::Priority;
use crate::unit::{ClassId, Ratio, RouteId, Span, TenantId, Time, Tokens};
use fair::{FairQueue, QueuedRequest, service};
use fifo::FifoQueues;
use forecast::{Forecast, Wait};

/// A place in a queue: which request, and its number in the order of joining over all queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) key: RequestKey,
    pub(super) number: u64,
}

/// In which order those who wait are served.
#[derive(Debug)]
enum Discipline {
    Fifo(FifoQueues),
    /// Where more than the order of coming matters.
    Fair(Box<FairQueue>),
}

/// Whether there is a place for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    /// If this one gives way.
    Of(RequestKey),
    None,
}

/// Those who wait.
#[derive(Debug)]
pub(super) struct WaitingRoom {
    settings: Queue,
    discipline: Discipline,
    /// Tickets given out.
    tickets: u64,
    /// Requests that wait; tickets of those that left are not counted.
    waiting: u32,
    /// The same by route.
    by_route: Vec<u32>,
    /// Foretells waits, where somebody wants that.
    forecast: Option<Box<Forecast>>,
    /// Routes whose head could not be served since the queues began to be drained.
    blocked: Vec<bool>,
}

impl WaitingRoom {
    /// An empty room, as configured.
    pub(super) fn new(config: &Config) -> WaitingRoom {
        let routes = config.routes.len();
        let rules = config.admission.waiting;
        let forecast = || Box::new(Forecast::new(routes, config.expected_output.len()));
        WaitingRoom {
            settings: config.queue,
            discipline: discipline(config),
            tickets: 0,
            waiting: 0,
            by_route: vec![0; routes],
            forecast: rules.early_rejection.then(forecast),
            blocked: vec![false; routes],
        }
    }

    /// Returns the settings.
    #[inline]
    pub(super) const fn settings(&self) -> Queue {
        self.settings
    }

    /// Returns how many wait.
    #[inline]
    pub(super) const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Returns by route how many wait.
    #[inline]
    pub(super) fn by_route(&self) -> &[u32] {
        &self.by_route
    }

    /// Returns how many wait on a route.
    #[inline]
    pub(super) fn waiting_on(&self, route: RouteId) -> u32 {
        self.by_route[route.index()]
    }

    /// Returns how long a request may wait, where only this share of the queue is left.
    pub(super) fn max_wait(&self, left: Option<Ratio>) -> Option<Span> {
        let share = |wait: Span| left.map_or(wait, |left| Span(left.of(wait.0)));
        self.settings.max_wait.map(share)
    }

    /// Returns a number for a ticket elsewhere.
    pub(super) const fn number(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// What the room has to know of a request, and how long its answer is expected to be.
    pub(super) fn describe(
        key: RequestKey,
        state: &RequestState,
        expected: Tokens,
    ) -> QueuedRequest {
        let request = &state.request;
        QueuedRequest {
            key,
            number: 0,
            route: state.route,
            tenant: request.tenant,
            priority: request.priority,
            deadline: request.deadline,
            prompt: request.prompt,
            expected,
        }
    }

    /// Returns whether a request that comes to wait would be served too late, as far as can be
    /// foretold. Before it is asked, the forecast hears that somebody comes to wait where perhaps
    /// nobody did: that nobody was served while nobody waited foretells nothing.
    pub(super) fn foresees_late(
        &mut self,
        now: Time,
        waits: &QueuedRequest,
        (class, arrived): (ClassId, Time),
    ) -> bool {
        let band = self.band(waits.priority);
        let Some(forecast) = &mut self.forecast else { return false };
        let (alone, ahead) = match &self.discipline {
            Discipline::Fair(fair) => {
                (fair.waiting_in(waits.route, band) == 0, fair.ahead(now, waits))
            }
            Discipline::Fifo(_) => {
                let there = self.by_route[waits.route.index()];
                (there == 0, u64::from(there) + 1)
            }
        };
        if alone {
            forecast.begins(now, waits.route, band);
        }
        let deadline = waits.deadline;
        let patience = deadline.since(arrived);
        let wait = Wait { route: waits.route, band, class, deadline, patience };
        forecast.too_late(now, ahead, &wait)
    }

    /// Returns whether there is a place for a request; or on its route, where only this share of the
    /// places is left there. In a full room somebody may have to give way, somebody of the route if
    /// only that is full.
    pub(super) fn place_for(&self, waits: &QueuedRequest, left: Option<Ratio>) -> Place {
        let max = self.settings.max;
        let (full, of) = match left {
            Some(left) => {
                let there = u64::from(self.waiting_on(waits.route));
                (there >= left.of(u64::from(max)), Some(waits.route))
            }
            None => (self.waiting >= max, None),
        };
        if !full {
            return Place::Free;
        }
        let victim = match &self.discipline {
            Discipline::Fair(fair) if max > 0 => fair.victim(waits.priority, waits.tenant, of),
            _ => None,
        };
        victim.map_or(Place::None, Place::Of)
    }

    /// Joins the queue. Returns the number of the ticket.
    pub(super) fn join(&mut self, now: Time, waits: &QueuedRequest) -> u64 {
        let number = self.number();
        self.waiting += 1;
        self.by_route[waits.route.index()] += 1;
        match &mut self.discipline {
            Discipline::Fair(fair) => fair.join(now, &QueuedRequest { number, ..*waits }),
            Discipline::Fifo(fifo) => fifo.join(waits.route, Ticket { key: waits.key, number }),
        }
        number
    }

    /// Leaves without being served.
    #[inline]
    pub(super) fn leave(&mut self, route: RouteId, key: RequestKey) {
        self.waiting -= 1;
        self.by_route[route.index()] -= 1;
        if let Discipline::Fair(fair) = &mut self.discipline {
            fair.leave(key);
        }
    }

    /// The queues begin to be drained: every route may have an open node.
    #[inline]
    pub(super) fn unblock(&mut self) {
        self.blocked.fill(false);
    }

    /// Nobody on this route can be served before the queues are drained again.
    #[inline]
    pub(super) fn block(&mut self, route: RouteId) {
        self.blocked[route.index()] = true;
    }

    /// Returns the next to be served; never one of a route that is blocked.
    #[inline]
    pub(super) fn next(&mut self, now: Time, requests: &Requests) -> Option<(RouteId, RequestKey)> {
        match &mut self.discipline {
            Discipline::Fair(fair) => fair.next(now, &self.blocked),
            Discipline::Fifo(fifo) => {
                let next =
                    fifo.first(&self.blocked, |it| requests.is_queued_with(it.key, it.number));
                next.map(|(route, ticket)| (route, ticket.key))
            }
        }
    }

    /// Returns the first of a route that still waits.
    pub(super) fn head(&mut self, route: RouteId, requests: &Requests) -> Option<RequestKey> {
        match &mut self.discipline {
            Discipline::Fair(fair) => fair.entries(route).next().map(|(key, _)| key),
            Discipline::Fifo(fifo) => {
                let head = fifo.head(route, |it| requests.is_queued_with(it.key, it.number));
                head.map(|ticket| ticket.key)
            }
        }
    }

    /// Takes the next one out: it is being served.
    #[inline]
    pub(super) fn serve(
        &mut self,
        now: Time,
        route: RouteId,
        (key, priority): (RequestKey, Priority),
    ) {
        match &mut self.discipline {
            Discipline::Fair(fair) => fair.serve(key),
            Discipline::Fifo(fifo) => fifo.take_head(route),
        }
        self.waiting -= 1;
        self.by_route[route.index()] -= 1;
        let band = self.band(priority);
        if let Some(forecast) = &mut self.forecast {
            forecast.served(now, route, band);
        }
    }

    /// A whole answer took so long on its node.
    #[inline]
    pub(super) fn on_answer(&mut self, class: ClassId, took: Span) {
        if let Some(forecast) = &mut self.forecast {
            forecast.took(class, took);
        }
    }

    /// Lets a tenant's requests wait until one of its attempts ends.
    #[inline]
    pub(super) fn throttle(&mut self, tenant: TenantId) {
        if let Discipline::Fair(fair) = &mut self.discipline {
            fair.throttle(tenant, true);
        }
    }

    /// One of the tenant's attempts has ended. Returns whether its requests waited for that.
    pub(super) fn unthrottle(&mut self, tenant: TenantId) -> bool {
        match &mut self.discipline {
            Discipline::Fair(fair) if fair.is_throttled(tenant) => {
                fair.throttle(tenant, false);
                true
            }
            _ => false,
        }
    }

    /// Returns whether a tenant's requests wait for one of its own attempts to end.
    #[inline]
    pub(super) fn is_throttled(&self, tenant: TenantId) -> bool {
        match &self.discipline {
            Discipline::Fair(fair) => fair.is_throttled(tenant),
            Discipline::Fifo(_) => false,
        }
    }

    /// Returns whether tenants are charged for what they are served.
    #[inline]
    pub(super) fn charges(&self) -> bool {
        matches!(&self.discipline, Discipline::Fair(fair) if fair.is_fair())
    }

    /// An attempt of a tenant goes out: it is charged what its prompt and the expected answer are.
    #[inline]
    pub(super) fn charge(&mut self, tenant: TenantId, (prompt, expected): (Tokens, Tokens)) {
        if let Discipline::Fair(fair) = &mut self.discipline {
            fair.charge(tenant, service(prompt, expected), 0);
        }
    }

    /// An attempt has ended that was charged so much and used so much.
    #[inline]
    pub(super) fn correct_charge(
        &mut self,
        tenant: TenantId,
        (prompt, expected): (Tokens, Tokens),
        (uncached, output): (Tokens, Tokens),
    ) {
        if let Discipline::Fair(fair) = &mut self.discipline {
            fair.charge(tenant, service(uncached, output), service(prompt, expected));
        }
    }

    /// Returns every ticket of a route, those of requests that have left included.
    pub(super) fn tickets(&self, route: RouteId) -> impl Iterator<Item = Ticket> {
        let (fifo, fair) = match &self.discipline {
            Discipline::Fifo(fifo) => (Some(fifo), None),
            Discipline::Fair(fair) => (None, Some(fair)),
        };
        let fair = fair.into_iter().flat_map(move |fair| fair.entries(route));
        let fair = fair.map(|(key, number)| Ticket { key, number });
        fifo.into_iter().flat_map(move |fifo| fifo.tickets(route)).chain(fair)
    }

    /// Recounts everything.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.discipline {
            Discipline::Fair(fair) if !fair.adds_up() => {
                Err("I01: the waiting room does not add up".to_owned())
            }
            _ if self.waiting > self.settings.max => {
                Err(format!("I06: {} wait, {} may", self.waiting, self.settings.max))
            }
            _ => Ok(()),
        }
    }

    /// The band of a priority for the forecast.
    fn band(&self, priority: Priority) -> usize {
        match &self.discipline {
            Discipline::Fair(fair) => usize::from(fair.band(priority)),
            Discipline::Fifo(_) => 0,
        }
    }
}

/// The order of service as configured: plain queues, unless more matters than who came first.
fn discipline(config: &Config) -> Discipline {
    let (rules, tenants) = (config.admission.waiting, &config.admission.tenants);
    let Waiting { order, bands, fair, .. } = rules;
    let routes = config.routes.len();
    let holds = tenants.all().any(|tenant| tenant.limits.concurrency.is_some());
    if order == Order::Fifo && bands.is_none() && !fair && !holds {
        return Discipline::Fifo(FifoQueues::new(routes));
    }
    let mut queue = FairQueue::new(rules, routes, holds);
    for (tenant, limits) in &tenants.named {
        queue.weigh(*tenant, limits.weight);
    }
    Discipline::Fair(Box::new(queue))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::{at, config};
    use crate::balance::vocabulary::request::Request;
    use crate::unit::RequestId;

    const ROUTE: RouteId = RouteId(0);

    fn arrive(requests: &mut Requests, id: u64, priority: Priority) -> (RequestKey, QueuedRequest) {
        let request = Request { priority, ..Request::new(RequestId(id), at(0)) };
        let key = requests.arrive(at(0), request, ROUTE, 0);
        (key, WaitingRoom::describe(key, &requests[key], Tokens(1)))
    }

    #[test]
    fn who_comes_first_is_next_and_a_blocked_route_serves_nobody() {
        let (mut room, mut requests) = (WaitingRoom::new(&config(1, 1)), Requests::default());
        let mut keys = Vec::new();
        for id in 0..3 {
            let (key, waits) = arrive(&mut requests, id, Priority::Normal);
            let ticket = room.join(at(id), &waits);
            requests.queue(key, ticket);
            keys.push(key);
        }
        room.leave(ROUTE, keys[0]);
        requests.settle(keys[0]);
        room.unblock();
        assert_eq!(room.next(at(3), &requests), Some((ROUTE, keys[1])));
        room.serve(at(3), ROUTE, (keys[1], Priority::Normal));
        assert_eq!((room.waiting(), room.by_route()), (1, &[1][..]));
        room.block(ROUTE);
        assert_eq!(room.next(at(3), &requests), None);
        room.unblock();
        assert_eq!(room.head(ROUTE, &requests), Some(keys[2]));
    }

    #[test]
    fn a_full_room_has_no_place_unless_somebody_gives_way() {
        for bands in [None, Some(Ratio::ZERO)] {
            let mut config = config(1, 1);
            config.queue.max = 2;
            config.admission.waiting.bands = bands;
            let (mut room, mut requests) = (WaitingRoom::new(&config), Requests::default());
            let mut last = None;
            for id in 0..2 {
                let (key, waits) = arrive(&mut requests, id, Priority::Sheddable);
                assert_eq!(room.place_for(&waits, None), Place::Free);
                let ticket = room.join(at(0), &waits);
                requests.queue(key, ticket);
                last = Some(key);
            }
            let (_, waits) = arrive(&mut requests, 9, Priority::Critical);
            let gives_way = last.filter(|_| bands.is_some()).map_or(Place::None, Place::Of);
            assert_eq!(room.place_for(&waits, None), gives_way, "the last of the lowest band");
            assert_eq!(room.place_for(&waits, Some(Ratio::from_f64(0.5))), gives_way);
            assert!(room.check().is_ok());
        }
    }

    #[test]
    fn a_tenant_that_is_throttled_waits_for_itself_only() {
        let mut config = config(1, 1);
        config.admission.tenants.each.limits.concurrency = Some(1);
        let (mut room, mut requests) = (WaitingRoom::new(&config), Requests::default());
        let (key, waits) = arrive(&mut requests, 0, Priority::Normal);
        let ticket = room.join(at(0), &waits);
        requests.queue(key, ticket);
        room.throttle(TenantId(0));
        assert!(room.is_throttled(TenantId(0)) && !room.is_throttled(TenantId(1)));
        assert_eq!(room.next(at(0), &requests), None);
        assert!(room.unthrottle(TenantId(0)) && !room.unthrottle(TenantId(0)));
        assert_eq!(room.next(at(0), &requests), Some((ROUTE, key)));
    }

    #[test]
    fn a_shortened_queue_is_waited_in_for_a_shorter_time() {
        let room = WaitingRoom::new(&config(1, 1));
        let whole = room.max_wait(None).expect("there is a limit");
        assert_eq!(room.max_wait(Some(Ratio::from_f64(0.25))), Some(Span(whole.0 / 4)));
    }
}

//! The waiting room of those who ask for more than first come, first served: bands by priority,
//! fair shares between tenants, and an order among the requests of one tenant.
//!
//! A *flow* is the requests of one tenant, band and route that wait. Among flows the band decides
//! first. Bands are served in the order of priority, but each that has someone waiting is owed a
//! minimum share of what the room serves, so that none starves: it gains that share of a turn with
//! every request served, and goes first once it has gained a whole one. Inside a band the tenant with the
//! smallest virtual counter is next (VTC: Sheng et al., Fairness in Serving Large Language Models,
//! OSDI 2024): a counter grows by `prompt + 2 * output` tokens over the tenant's weight, and a tenant that
//! comes back is lifted to those who wait, so that idling earns nothing. The answer is charged as
//! expected at dispatch and corrected by what came. Two tenants that both wait all the time are never
//! further apart than twice the larger of what one prompt and what all answers in flight are worth.
//! Inside a flow the order decides.
//!
//! A room that is full makes place for the more important: the worst of the lowest band gives way;
//! between tenants of one band it is the longest flow that loses its last (McKenney, Stochastic
//! Fairness Queueing, 1990).
//!
//! It never looks at a node: whether a place may be served now is the balancer's business.

use std::collections::{BTreeMap, BTreeSet};

use slotmap::SecondaryMap;

use crate::balance::by_tenant::ByTenant;
use crate::balance::requests::RequestKey;
use crate::balance::spec::admission::{Order, Waiting};
use crate::balance::vocabulary::outcome::TOKENS_MAX;
use crate::balance::vocabulary::request::Priority;
use crate::unit::{Ratio, RouteId, TenantId, Time, Tokens};

/// There is one for each priority, the most important first.
pub(in crate::balance) const BANDS: usize = Priority::ALL.len();

/// A turn, in the unit of credits.
const TURN: u32 = Ratio::ONE.0;

/// A band is owed two turns at most.
const CREDITS_MAX: u32 = 2 * TURN;

/// What a token of a prompt and one of an answer count: the decode of a token takes a whole step.
const PROMPT_WEIGHT: u64 = 1;
const OUTPUT_WEIGHT: u64 = 2;

/// A counter counts this many to a token at weight one.
const COUNTS: u64 = 1_000;

/// Returns the service that tokens stand for.
pub(in crate::balance) fn service(prompt: Tokens, output: Tokens) -> u64 {
    let most = TOKENS_MAX;
    PROMPT_WEIGHT * prompt.min(most).0 + OUTPUT_WEIGHT * output.min(most).0
}

/// The place of a flow among those of its band: counter, key and number of its first.
type QueueRank = (u64, u128, u64);

/// A request that comes to wait.
#[derive(Clone, Copy, Debug)]
pub(in crate::balance) struct QueuedRequest {
    pub(in crate::balance) key: RequestKey,
    /// Its number in the order of joining.
    pub(in crate::balance) number: u64,
    pub(in crate::balance) route: RouteId,
    pub(in crate::balance) tenant: TenantId,
    pub(in crate::balance) priority: Priority,
    pub(in crate::balance) deadline: Time,
    pub(in crate::balance) prompt: Tokens,
    pub(in crate::balance) expected: Tokens,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug)]
struct Position {
    flow: u32,
    place: (u128, u64),
}

#[derive(Debug, Default)]
struct Flow {
    band: u8,
    route: RouteId,
    tenant: TenantId,
    places: BTreeMap<(u128, u64), RequestKey>,
    /// As it is listed in its band; `None` while it is not.
    rank: Option<QueueRank>,
}

/// Those who wait in one band of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct BandCount {
    waiting: u32,
    flows: u32,
}

#[derive(Debug)]
struct Account {
    /// What it was served.
    counter: u64,
    weight: u32,
    waiting: u32,
    flows: Vec<u32>,
    /// Whether something of its own, not a node, holds it back.
    throttled: bool,
}

impl Default for Account {
    fn default() -> Account {
        Account { counter: 0, weight: 1, waiting: 0, flows: Vec::new(), throttled: false }
    }
}

/// Everyone who waits.
#[derive(Debug)]
pub(in crate::balance) struct FairQueue {
    rules: Waiting,
    /// Whether tenants have flows of their own.
    by_tenant: bool,
    flows: Vec<Flow>,
    free: Vec<u32>,
    names: BTreeMap<(u8, RouteId, TenantId), u32>,
    positions: SecondaryMap<RequestKey, Position>,
    /// By band: flows that may be served, the next one first.
    listed: [BTreeSet<(QueueRank, u32)>; BANDS],
    /// By band: flows by their length; kept only if tenants have flows of their own.
    lengths: [BTreeSet<(usize, u32)>; BANDS],
    /// By band: how many wait.
    counts: [u32; BANDS],
    /// By route, then band: how many wait, and flows they are in.
    places: Vec<[BandCount; BANDS]>,
    credits: [u32; BANDS],
    /// By route: flows that are listed.
    ready: Vec<u32>,
    accounts: ByTenant<Account>,
    /// The counter of the tenant served last.
    last: u64,
    /// Since when somebody has waited without a break.
    since: Option<Time>,
    /// Whether who came last is first now.
    reversed: bool,
}

impl FairQueue {
    /// An empty room for so many routes. Tenants have flows of their own if they share fairly or
    /// `by_tenant` says that something may hold one of them back.
    pub(in crate::balance) fn new(rules: Waiting, routes: usize, by_tenant: bool) -> FairQueue {
        FairQueue {
            rules,
            by_tenant: by_tenant || rules.fair,
            flows: Vec::new(),
            free: Vec::new(),
            names: BTreeMap::new(),
            positions: SecondaryMap::new(),
            listed: Default::default(),
            lengths: Default::default(),
            counts: [0; BANDS],
            places: vec![[BandCount::default(); BANDS]; routes],
            credits: [0; BANDS],
            ready: vec![0; routes],
            accounts: ByTenant::default(),
            last: 0,
            since: None,
            reversed: false,
        }
    }

    /// Says how much a tenant's tokens weigh. At least one.
    pub(in crate::balance) fn weigh(&mut self, tenant: TenantId, weight: u32) {
        self.accounts.at(tenant).weight = weight.max(1);
    }

    /// Returns whether tenants share fairly.
    pub(super) const fn is_fair(&self) -> bool {
        self.rules.fair
    }

    /// Returns the band of a priority.
    pub(in crate::balance) fn band(&self, priority: Priority) -> u8 {
        if self.rules.bands.is_some() { priority as u8 } else { 0 }
    }

    /// What the order goes by; the number of joining decides where this does not.
    fn order_key(&self, now: Time, request: &QueuedRequest) -> u128 {
        match self.rules.order {
            Order::Fifo | Order::AdaptiveLifo { .. } => 0,
            Order::Edf => u128::from(request.deadline.0),
            // work - ageing * wait, where now drops out: in billionths of a token.
            Order::Shortest { ageing } => {
                u128::from(service(request.prompt, request.expected)) * 1_000_000_000
                    + u128::from(ageing) * u128::from(now.0)
            }
        }
    }

    /// Lets a request wait.
    pub(in crate::balance) fn join(&mut self, now: Time, request: &QueuedRequest) {
        let band = self.band(request.priority);
        let tenant = if self.by_tenant { request.tenant } else { TenantId(0) };
        self.since.get_or_insert(now);
        self.counts[usize::from(band)] += 1;
        if self.accounts.at(tenant).waiting == 0 {
            self.lift(tenant);
        }
        self.accounts.at(tenant).waiting += 1;
        let flow = self.flow(band, request.route, tenant);
        let place = (self.order_key(now, request), request.number);
        self.positions.insert(request.key, Position { flow, place });
        self.resize(flow, |places| {
            places.insert(place, request.key);
        });
    }

    /// Time without anyone waiting is no merit: the counter begins where the others are.
    fn lift(&mut self, tenant: TenantId) {
        if !self.rules.fair {
            return;
        }
        let waiting = self.listed.iter().filter_map(|band| band.first());
        let least = waiting.map(|((counter, ..), _)| *counter).min().unwrap_or(self.last);
        let account = self.accounts.at(tenant);
        account.counter = account.counter.max(least);
    }

    fn flow(&mut self, band: u8, route: RouteId, tenant: TenantId) -> u32 {
        if let Some(&flow) = self.names.get(&(band, route, tenant)) {
            return flow;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.flows.push(Flow::default());
            (self.flows.len() - 1) as u32
        });
        let flow = &mut self.flows[id as usize];
        (flow.band, flow.route, flow.tenant) = (band, route, tenant);
        self.names.insert((band, route, tenant), id);
        self.accounts.at(tenant).flows.push(id);
        id
    }

    /// Changes the places of a flow and brings everything about it up to date.
    fn resize(&mut self, id: u32, change: impl FnOnce(&mut BTreeMap<(u128, u64), RequestKey>)) {
        let flow = &mut self.flows[id as usize];
        let (band, before) = (usize::from(flow.band), flow.places.len());
        change(&mut flow.places);
        let after = flow.places.len();
        let count = &mut self.places[flow.route.index()][band];
        count.waiting = count.waiting - before as u32 + after as u32;
        count.flows = count.flows - u32::from(before > 0) + u32::from(after > 0);
        if self.by_tenant {
            self.lengths[band].remove(&(before, id));
            if after > 0 {
                self.lengths[band].insert((after, id));
            }
        }
        self.list(id);
        let flow = &self.flows[id as usize];
        if after == 0 {
            self.names.remove(&(flow.band, flow.route, flow.tenant));
            self.accounts.at(flow.tenant).flows.retain(|other| *other != id);
            self.free.push(id);
        }
    }

    /// Lists a flow in its band as it now ranks, or not at all.
    fn list(&mut self, id: u32) {
        let flow = &mut self.flows[id as usize];
        let account = self.accounts.at(flow.tenant);
        let first = if self.reversed {
            flow.places.last_key_value()
        } else {
            flow.places.first_key_value()
        };
        let counter = if self.rules.fair { account.counter } else { 0 };
        let rank = first.filter(|_| !account.throttled).map(|(&(key, number), _)| {
            (counter, key, if self.reversed { !number } else { number })
        });
        if rank == flow.rank {
            return;
        }
        let band = &mut self.listed[usize::from(flow.band)];
        if let Some(before) = std::mem::replace(&mut flow.rank, rank) {
            band.remove(&(before, id));
            self.ready[flow.route.index()] -= 1;
        }
        if let Some(rank) = rank {
            band.insert((rank, id));
            self.ready[flow.route.index()] += 1;
        }
    }

    fn list_tenant(&mut self, tenant: TenantId) {
        for at in 0..self.accounts.at(tenant).flows.len() {
            let id = self.accounts.at(tenant).flows[at];
            self.list(id);
        }
    }

    /// Takes a request out, whether it is served or leaves.
    pub(in crate::balance) fn leave(&mut self, key: RequestKey) {
        let position = self.positions.remove(key).expect("who leaves has waited");
        let flow = &self.flows[position.flow as usize];
        let (band, tenant) = (usize::from(flow.band), flow.tenant);
        self.counts[band] -= 1;
        self.accounts.at(tenant).waiting -= 1;
        self.resize(position.flow, |places| {
            places.remove(&position.place);
        });
        if self.counts[band] == 0 {
            self.credits[band] = 0;
        }
        if self.positions.is_empty() {
            self.since = None;
        }
    }

    /// Takes a request out that is being served: its band has had a turn.
    pub(in crate::balance) fn serve(&mut self, key: RequestKey) {
        let position = self.positions[key];
        let flow = &self.flows[position.flow as usize];
        let (band, tenant) = (usize::from(flow.band), flow.tenant);
        if let Some(share) = self.rules.bands {
            for other in 0..BANDS {
                if self.counts[other] > 0 {
                    // A band that nobody can serve now is not owed more and more.
                    self.credits[other] = (self.credits[other] + share.0).min(CREDITS_MAX);
                }
            }
            self.credits[band] = self.credits[band].saturating_sub(TURN);
        }
        self.last = self.accounts.at(tenant).counter;
        self.leave(key);
    }

    /// Returns who is next on a route that is not blocked.
    pub(in crate::balance) fn next(
        &mut self,
        now: Time,
        blocked: &[bool],
    ) -> Option<(RouteId, RequestKey)> {
        if let Order::AdaptiveLifo { after } = self.rules.order {
            self.set_reversed(self.since.is_some_and(|since| now.since(since) > after));
        }
        // Without this a hundred flows would be walked to learn that no node is open.
        if !self.ready.iter().zip(blocked).any(|(ready, blocked)| *ready > 0 && !blocked) {
            return None;
        }
        let owed = (0..BANDS).filter(|&band| self.credits[band] >= TURN);
        let owed = owed.max_by_key(|&band| self.credits[band]);
        owed.into_iter().chain(0..BANDS).find_map(|band| {
            let flows = self.listed[band].iter().map(|(_, id)| &self.flows[*id as usize]);
            let flow = flows.into_iter().find(|flow| !blocked[flow.route.index()])?;
            Some((flow.route, self.head(flow)?))
        })
    }

    fn head(&self, flow: &Flow) -> Option<RequestKey> {
        let places = &flow.places;
        let head = if self.reversed { places.last_key_value() } else { places.first_key_value() };
        head.map(|(_, key)| *key)
    }

    fn set_reversed(&mut self, reversed: bool) {
        if std::mem::replace(&mut self.reversed, reversed) != reversed {
            (0..self.flows.len()).for_each(|id| self.list(id as u32));
        }
    }

    /// Returns who gives way to a request of this tenant and priority in a room that is full, or
    /// where a route has no place left, somebody of that route; if somebody does.
    pub(in crate::balance) fn victim(
        &self,
        priority: Priority,
        tenant: TenantId,
        of: Option<RouteId>,
    ) -> Option<RequestKey> {
        let band = usize::from(self.band(priority));
        let waiting = |band| of.map_or(self.counts[band], |route| self.waiting_in(route, band));
        let lowest = (band + 1..BANDS).rev().find(|&lower| waiting(lower) > 0);
        let (lowest, own) = match lowest {
            Some(lowest) => (lowest, 0),
            // Among equals, who takes the most places loses one.
            None if self.by_tenant => (band, self.own(tenant, band, of)),
            None => return None,
        };
        let there = |flow: &&Flow| of.is_none_or(|route| flow.route == route);
        let longest = if self.by_tenant {
            let flows = self.lengths[lowest].iter().rev();
            flows.map(|(_, id)| &self.flows[*id as usize]).find(there)?
        } else {
            let flows = self.flows.iter().filter(|flow| usize::from(flow.band) == lowest);
            flows.filter(there).max_by_key(|flow| flow.places.len())?
        };
        if longest.places.len() <= own + usize::from(lowest == band) {
            return None;
        }
        let places = &longest.places;
        let worst = if self.reversed { places.first_key_value() } else { places.last_key_value() };
        worst.map(|(_, key)| *key)
    }

    /// Returns how many places a tenant takes: all, or those of a band where only a route counts.
    fn own(&self, tenant: TenantId, band: usize, of: Option<RouteId>) -> usize {
        let Some(route) = of else {
            return self.accounts.get(tenant).map_or(0, |account| account.waiting as usize);
        };
        let flow = self.names.get(&(band as u8, route, tenant));
        flow.map_or(0, |id| self.flows[*id as usize].places.len())
    }

    /// Returns how many wait in a band of a route.
    pub(in crate::balance) fn waiting_in(&self, route: RouteId, band: usize) -> u32 {
        self.places[route.index()][band].waiting
    }

    /// Returns about how many of its band and route would be served before this request if it came to
    /// wait now, itself included.
    pub(in crate::balance) fn ahead(&self, now: Time, request: &QueuedRequest) -> u64 {
        if self.reversed {
            return 1;
        }
        let band = self.band(request.priority);
        let count = self.places[request.route.index()][usize::from(band)];
        let all = u64::from(count.waiting) + 1;
        let tenant = if self.by_tenant { request.tenant } else { TenantId(0) };
        let flow = self.names.get(&(band, request.route, tenant));
        let flow = flow.map(|id| &self.flows[*id as usize].places);
        if self.rules.fair {
            // Each of the others is served about as often as this tenant.
            let own = flow.map_or(0, |places| places.len() as u64);
            let tenants = u64::from(count.flows) + u64::from(own == 0);
            return all.min((own + 1) * tenants);
        }
        match self.rules.order {
            Order::Fifo | Order::AdaptiveLifo { .. } => all,
            Order::Edf | Order::Shortest { .. } => {
                // It has no number yet, and among equals it would be the last.
                let place = (self.order_key(now, request), u64::MAX);
                // Counting takes as long as there are places: a few hundred say enough.
                let before = flow.map_or(0, |places| places.range(..place).take(LOOK).count());
                if before == LOOK { all } else { before as u64 + 1 }
            }
        }
    }

    /// Holds back a tenant, or no longer.
    pub(in crate::balance) fn throttle(&mut self, tenant: TenantId, throttled: bool) {
        if std::mem::replace(&mut self.accounts.at(tenant).throttled, throttled) == throttled {
            return;
        }
        if !throttled && self.accounts.at(tenant).waiting > 0 {
            self.lift(tenant);
        }
        self.list_tenant(tenant);
    }

    /// Returns whether the tenant is held back.
    pub(in crate::balance) fn is_throttled(&self, tenant: TenantId) -> bool {
        self.accounts.get(tenant).is_some_and(|account| account.throttled)
    }

    /// Books service of a tenant, and service that was booked before and did not happen.
    pub(in crate::balance) fn charge(&mut self, tenant: TenantId, more: u64, less: u64) {
        if !self.rules.fair || more == less {
            return;
        }
        let account = self.accounts.at(tenant);
        let counts = |service: u64| match service.saturating_mul(COUNTS) {
            counts if account.weight == 1 => counts,
            counts => counts / u64::from(account.weight),
        };
        let counter = account.counter.saturating_add(counts(more));
        account.counter = counter.saturating_sub(counts(less));
        if account.waiting > 0 {
            self.list_tenant(tenant);
        }
    }

    /// Returns those who wait on a route, with the number of their place.
    pub(in crate::balance) fn entries(
        &self,
        route: RouteId,
    ) -> impl Iterator<Item = (RequestKey, u64)> + '_ {
        let flows = self.flows.iter().filter(move |flow| flow.route == route);
        flows.flat_map(|flow| flow.places.iter().map(|((_, number), key)| (*key, *number)))
    }

    /// Recounts everything.
    pub(in crate::balance) fn adds_up(&self) -> bool {
        let mut counts = [0; BANDS];
        let mut places = vec![[BandCount::default(); BANDS]; self.places.len()];
        let mut ready = vec![0; self.ready.len()];
        for (id, flow) in self.flows.iter().enumerate() {
            counts[usize::from(flow.band)] += flow.places.len() as u32;
            let count = &mut places[flow.route.index()][usize::from(flow.band)];
            count.waiting += flow.places.len() as u32;
            count.flows += u32::from(!flow.places.is_empty());
            let throttled = self.is_throttled(flow.tenant);
            if flow.rank.is_some() != (!flow.places.is_empty() && !throttled) {
                return false;
            }
            if let Some(rank) = flow.rank {
                ready[flow.route.index()] += 1;
                if !self.listed[usize::from(flow.band)].contains(&(rank, id as u32)) {
                    return false;
                }
            }
        }
        let listed: usize = self.listed.iter().map(BTreeSet::len).sum();
        let waiting: u32 = self.accounts.values().map(|account| account.waiting).sum();
        counts == self.counts
            && places == self.places
            && ready == self.ready
            && listed == ready.iter().sum::<u32>() as usize
            && waiting == counts.iter().sum::<u32>()
            && waiting as usize == self.positions.len()
    }
}

/// At most so many places are counted to guess a wait.
const LOOK: usize = 256;

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    /// A request of tenant zero, of the highest priority and without a deadline.
    fn request(keys: &mut SlotMap<RequestKey, ()>, number: u64, route: u16) -> QueuedRequest {
        QueuedRequest {
            key: keys.insert(()),
            number,
            route: RouteId(route),
            tenant: TenantId(0),
            priority: Priority::Critical,
            deadline: Time::MAX,
            prompt: Tokens(1),
            expected: Tokens(1),
        }
    }

    #[test]
    fn those_ahead_are_of_the_same_route_and_band() {
        let rules = Waiting { bands: Some(Ratio::ZERO), ..Waiting::default() };
        for rules in [rules, Waiting { fair: true, ..rules }] {
            let mut queue = FairQueue::new(rules, 2, false);
            let mut keys: SlotMap<RequestKey, ()> = SlotMap::with_key();
            let mut own = Vec::new();
            for number in 0..9 {
                let elsewhere = request(&mut keys, 3 * number, 1);
                let lower = QueuedRequest {
                    priority: Priority::High,
                    ..request(&mut keys, 3 * number + 1, 0)
                };
                let same = request(&mut keys, 3 * number + 2, 0);
                assert_eq!(queue.ahead(Time::ZERO, &same), number + 1, "{rules:?}");
                assert_eq!(queue.waiting_in(RouteId(0), 0), number as u32);
                own.push(same.key);
                [elsewhere, lower, same].iter().for_each(|request| queue.join(Time::ZERO, request));
                assert!(queue.adds_up());
            }
            // Of two tenants the one without a line is served every other time.
            let other = QueuedRequest { tenant: TenantId(1), ..request(&mut keys, 99, 0) };
            assert_eq!(queue.ahead(Time::ZERO, &other), if rules.fair { 2 } else { 10 });
            own.iter().for_each(|key| queue.leave(*key));
            assert!(queue.adds_up());
            assert_eq!(queue.ahead(Time::ZERO, &other), 1, "{rules:?}");
        }
    }

    #[test]
    fn who_comes_last_is_behind_its_equals() {
        for order in [Order::Edf, Order::Shortest { ageing: 0 }] {
            let mut queue = FairQueue::new(Waiting { order, ..Waiting::default() }, 1, false);
            let mut keys: SlotMap<RequestKey, ()> = SlotMap::with_key();
            for number in 0..9 {
                // As one that asks it has no number yet.
                let asks = request(&mut keys, 0, 0);
                assert_eq!(queue.ahead(Time::ZERO, &asks), number + 1, "{order:?}");
                queue.join(Time::ZERO, &QueuedRequest { number: number + 1, ..asks });
            }
        }
    }

    #[test]
    fn a_band_that_cannot_be_served_is_owed_two_turns_at_most() {
        let rules = Waiting { bands: Some(Ratio::from_f64(0.25)), ..Waiting::default() };
        let mut queue = FairQueue::new(rules, 2, false);
        let mut keys: SlotMap<RequestKey, ()> = SlotMap::with_key();
        let mut number = 0;
        let mut request = |route: u16, priority| {
            number += 1;
            QueuedRequest { priority, ..request(&mut keys, number, route) }
        };
        let waits =
            |queue: &mut FairQueue, request: &QueuedRequest| queue.join(Time::ZERO, request);
        (0..9).for_each(|_| waits(&mut queue, &request(1, Priority::Sheddable)));
        let mut served = |queue: &mut FairQueue, blocked: bool| {
            waits(queue, &request(0, Priority::Critical));
            let (route, key) = queue.next(Time::ZERO, &[false, blocked]).expect("somebody waits");
            queue.serve(key);
            assert!(queue.adds_up());
            route
        };
        // So many quarters of a turn would be more than the books can hold.
        for _ in 0..20_000 {
            assert_eq!(served(&mut queue, true), RouteId(0));
        }
        let late: Vec<u16> = (0..6).map(|_| served(&mut queue, false).0).collect();
        assert_eq!(late, [1, 1, 0, 0, 0, 1]);
    }
}

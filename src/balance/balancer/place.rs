//! A request finds a node: pool after pool of its lane, tier after tier, by the pool's strategy; or it
//! is held for a batch, or waits.

use super::Balancer;
use crate::balance::queue::{Place, WaitingRoom};
use crate::balance::quota::PoolVerdict;
use crate::balance::requests::{AttemptState, NodeChoice, Phase, Reach, RequestKey};
use crate::balance::spec::overload::DegradeLevel;
use crate::balance::spec::route::Degrading;
use crate::balance::strategy::{DispatchFacts, Fact, PickContext};
use crate::balance::timer::Timer;
use crate::balance::vocabulary::action::{Action, Together};
use crate::balance::vocabulary::event::{AttemptKind, Event};
use crate::balance::vocabulary::failure::Failure;
use crate::balance::vocabulary::outcome::{Attempt, End, Fate, Reject};
use crate::unit::{NodeId, PoolId, Span, Tokens};

/// What became of a request that looked for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It has one, or is held for a batch.
    Yes,
    /// None is open for it now.
    No,
    /// Its tenant has as much under way as it may.
    Throttled,
    /// It may not be served at all.
    Refused(Reject),
}

impl Balancer {
    /// Dispatches the request, or lets it wait, or turns it away.
    pub(super) fn dispatch_or_queue(&mut self, key: RequestKey) {
        self.dispatch_or_queue_again(key, false);
    }

    /// The same for a request that may have been declared to wait before.
    pub(super) fn dispatch_or_queue_again(&mut self, key: RequestKey, queued: bool) {
        if self.router.first_eligible(self.requests[key].lane).is_none() {
            return self.reject(key, Reject::NoNode);
        }
        // This call may have freed a node already, and those who wait go first.
        self.drain_queues();
        if self.requests[key].in_hand.is_some() {
            return self.place_or_answer(key);
        }
        if self.requests[key].request.is_bound() {
            return self.place_at_home(key);
        }
        if !self.requests[key].refusals.is_empty() {
            return self.place_or_fail(key);
        }
        let route = self.requests[key].route;
        if self.queue.waiting_on(route) > 0 && self.awaits_quotas() {
            // A node may be open for this one and not for those before it.
            self.fleet.mark_freed();
            return self.enqueue(key, queued);
        }
        match self.place(key) {
            Placed::Yes => {}
            Placed::No => self.enqueue(key, queued),
            Placed::Refused(reason) => self.reject(key, reason),
            Placed::Throttled => {
                self.queue.throttle(self.requests[key].request.tenant);
                self.enqueue(key, queued);
            }
        }
    }

    /// Sends a request to the next model of its cascade, or answers it: better than a place in a queue,
    /// where it would stand in the way of those without an answer, is what is in hand.
    pub(super) fn place_or_answer(&mut self, key: RequestKey) {
        if self.place(key) != Placed::Yes {
            self.settle(key, Fate::Completed);
        }
    }

    /// Sends a request that was refused somewhere else, or lets it fail. It does not wait: the nodes
    /// that are open have refused it, and it would stand in the way of those that they serve.
    fn place_or_fail(&mut self, key: RequestKey) {
        if self.place(key) != Placed::Yes {
            let (_, end) = self.requests[key].last.expect("an attempt was refused");
            // It is not too long for those that are full: its client may come again.
            let full = self.requests[key].refusals.only_length();
            self.give_up(key, if full { End::Failed(Failure::Overloaded) } else { end });
        }
    }

    /// Sends a request to the one node that may serve it, or says that this cannot be. It does not wait: it
    /// would stand in the way of those whom other nodes serve.
    fn place_at_home(&mut self, key: RequestKey) {
        match self.place(key) {
            Placed::Yes => {}
            Placed::Refused(reason) => self.reject(key, reason),
            Placed::No | Placed::Throttled => match self.requests[key].last {
                Some((_, end)) => self.give_up(key, end),
                None => self.reject(key, Reject::NotAtHome),
            },
        }
    }

    /// Lets a request wait, unless there is no room for it or no use in it.
    fn enqueue(&mut self, key: RequestKey, queued: bool) {
        let state = &self.requests[key];
        let waits = WaitingRoom::describe(key, state, self.expected(key));
        if let Some(rest) = self.rests_beyond_patience(key) {
            return self.reject(key, Reject::Resting(rest));
        }
        let about = (state.request.class, state.request.arrived);
        if self.queue.foresees_late(self.now, &waits, about) {
            return self.reject(key, Reject::TooLate);
        }
        let left = self.overload.queue_share(waits.route);
        if left.is_some() {
            self.requests.mark_degraded(key, DegradeLevel::Queue);
        }
        // What is left of its route's places first, then those of the whole room.
        for left in left.map(Some).into_iter().chain([None]) {
            match self.queue.place_for(&waits, left) {
                Place::Free => {}
                Place::Of(victim) => self.reject(victim, Reject::Displaced),
                Place::None => return self.reject(key, Reject::QueueFull),
            }
        }
        let ticket = self.queue.join(self.now, &waits);
        self.requests.queue(key, ticket);
        if !queued {
            let request = self.requests[key].request.id;
            self.effects.events.push(Event::Queued { request, route: waits.route });
        }
        self.time_wait(key, ticket, self.queue.max_wait(left));
        self.watch_saturation();
    }

    /// Returns how long all nodes rest that may serve a request, if that is longer than it may wait.
    fn rests_beyond_patience(&self, key: RequestKey) -> Option<Span> {
        let patience = self.queue.max_wait(None)?;
        let state = &self.requests[key];
        let (own, cheaper) = self.router.pools(state.lane);
        let demands = self.router.spec(state.route).demands();
        let back = self.fleet.all_rest_until([own, cheaper], demands)?;
        Some(back.since(self.now)).filter(|rest| *rest > patience)
    }

    /// Sets the timers for when a request with this ticket has waited long enough.
    fn time_wait(&mut self, key: RequestKey, ticket: u64, wait: Option<Span>) {
        if let Some(wait) = wait {
            self.timers.after(self.now, wait, Timer::GiveUp(key, ticket));
        }
        let deadline = self.requests[key].request.deadline;
        if let Some(at) = self.retries.useful_until(self.now, deadline) {
            self.timers.at(at, Timer::GiveUp(key, ticket));
        }
    }

    /// Dispatches the request to the first pool and tier along its lane with an open node. Nodes
    /// tried before come last.
    #[inline]
    pub(super) fn place(&mut self, key: RequestKey) -> Placed {
        if self.quotas.is_full(self.requests[key].request.tenant) {
            return Placed::Throttled;
        }
        let home = self.requests[key].request.home;
        let stays = self.requests.take_stay(key).map(Reach::Same);
        let mut first = stays.into_iter().chain(home.map(|_| Reach::Home));
        let at_home = first.find_map(|reach| self.choose(key, self.degrading(key), reach));
        if at_home.is_none() {
            if home.is_some_and(|home| home.only) {
                return self.unplaced(key);
            }
            if self.requests[key].refusals.is_empty() && self.hold(key) {
                return Placed::Yes;
            }
        }
        let degrading = self.degrading(key);
        let first = at_home.or_else(|| self.choose(key, degrading, Reach::Untried));
        let Some(choice) = first.or_else(|| self.reach_further(key, degrading)) else {
            return self.unplaced(key);
        };
        if let Some(reason) = self.overspends(key, &choice) {
            return if self.go_cheaper(key) { self.place(key) } else { Placed::Refused(reason) };
        }
        self.dispatch(key, &choice, None);
        Placed::Yes
    }

    /// Chooses among the nodes that come after those that the request was not on.
    fn reach_further(&mut self, key: RequestKey, degrading: Degrading) -> Option<NodeChoice> {
        let mut reaches = self.reaches(key).skip(1);
        reaches.find_map(|reach| self.choose(key, degrading, reach))
    }

    /// None is open for a request. One over its tenant's budget is turned away then: it would stand in
    /// the way of those whom the dearer pools serve. Where others of its route wait already, or its own
    /// tenant's quota holds it back, it joins them first, and finds this out when its turn comes.
    fn unplaced(&mut self, key: RequestKey) -> Placed {
        let state = &self.requests[key];
        if !state.over_budget {
            return Placed::No;
        }
        let until = self.quotas.spent(self.now, state.request.tenant);
        Placed::Refused(Reject::Budget(until.unwrap_or_default()))
    }

    /// The tenant of a request has spent its budget. Returns whether cheaper pools serve it from now on.
    pub(super) fn go_cheaper(&mut self, key: RequestKey) -> bool {
        let state = &self.requests[key];
        // Who has an answer in hand pays for no other one.
        let goes = !state.over_budget
            && state.in_hand.is_none()
            && !self.router.pools(state.lane).1.is_empty()
            && self.quotas.degrades(state.request.tenant);
        if goes {
            self.requests.mark_over_budget(key);
        }
        goes
    }

    /// Returns in which order nodes are asked: those that the request was not on first, and ejected ones
    /// only where none is well that may serve it, of whatever tier and pool.
    #[inline]
    pub(super) fn reaches(&self, key: RequestKey) -> impl Iterator<Item = Reach> + use<> {
        let state = &self.requests[key];
        let (again, panics) = (state.attempts > 0, self.fleet.panics(state.route));
        [
            Some(Reach::Untried),
            again.then_some(Reach::Anywhere),
            panics.then_some(Reach::LastResort),
            (again && panics).then_some(Reach::LastResortAgain),
        ]
        .into_iter()
        .flatten()
    }

    /// Chooses among the pools that the request may use, pool by pool.
    pub(super) fn choose(
        &mut self,
        key: RequestKey,
        degrading: Degrading,
        reach: Reach,
    ) -> Option<NodeChoice> {
        let lane = self.requests[key].lane;
        let mut place = 0;
        while let Some(pool) = self.router.pool_at(lane, degrading, place) {
            place += 1;
            // A pool that takes batches takes nothing else.
            if !self.batches.takes(pool)
                && self.pool_takes(key, pool)
                && let Some(choice) = self.pick_in_pool(key, pool, reach, 1)
            {
                return Some(choice);
            }
        }
        None
    }

    /// Returns whether the request may use cheaper pools now, and in which order. What its level of
    /// degradation asks for comes before what its route says.
    #[inline]
    pub(super) fn degrading(&self, key: RequestKey) -> Degrading {
        let state = &self.requests[key];
        if state.over_budget {
            return Degrading::Only;
        }
        let cheaper = self.overload.cheaper(state.route, self.router.spec(state.route));
        cheaper.unwrap_or_else(|| {
            let waiting = self.queue.waiting();
            self.router.degrading((state.route, state.lane), waiting, &self.fleet)
        })
    }

    /// Returns whether the pool takes one more request now; if only its quota is used up, those who
    /// wait are asked again when it may.
    #[inline]
    pub(super) fn pool_takes(&mut self, key: RequestKey, pool: PoolId) -> bool {
        if !self.quotas.limits_pools() {
            return true;
        }
        let (in_flight, _) = self.fleet.pool_load(pool);
        let tokens = self.expected_tokens(key);
        match self.quotas.pool_verdict(self.now, pool, in_flight, tokens) {
            PoolVerdict::Takes => true,
            PoolVerdict::Full => false,
            PoolVerdict::After(wait) => {
                self.await_refill(wait);
                false
            }
        }
    }

    /// Asks those who wait again after so long: a quota may suffice then.
    fn await_refill(&mut self, wait: Span) {
        let at = self.now + wait;
        if self.quotas.await_refill(at) {
            self.timers.at(at, Timer::QuotaRefill);
        }
    }

    /// Returns why the attempt may not be paid for, if it may not.
    #[inline]
    pub(super) fn overspends(&mut self, key: RequestKey, choice: &NodeChoice) -> Option<Reject> {
        if !self.quotas.counts_tenants() || self.requests[key].over_budget {
            return None;
        }
        let tokens = (self.requests[key].request.prompt, self.expected(key));
        let prices = self.fleet.node(choice.node).prices();
        self.quotas.overspends(self.now, self.requests[key].request.tenant, &prices, tokens)
    }

    /// Chooses a node of a pool with room for so many.
    pub(super) fn pick_in_pool(
        &mut self,
        key: RequestKey,
        pool: PoolId,
        reach: Reach,
        members: u32,
    ) -> Option<NodeChoice> {
        let asked = self.asked(key, pool, members);
        let instead = self.instead(key, pool, members);
        let expected_output = self.expected(key);
        let state = &self.requests[key];
        let order = self.router.tier_order(&self.fleet, pool, &state.request);
        let demands = self.router.spec(state.route).demands();
        let home = state.request.home.filter(|home| home.only || reach == Reach::Home);
        let home = match reach {
            Reach::Same(node) => Some(node),
            _ => home.map(|home| home.node),
        };
        let (avoid, beyond) = match reach {
            Reach::Home if state.request.is_bound() => (&[][..], None),
            Reach::Same(_) | Reach::Anywhere | Reach::LastResortAgain => (&[][..], None),
            Reach::Home | Reach::Untried | Reach::LastResort => (state.nodes_tried(), None),
            Reach::Beyond(region) => (state.nodes_tried(), Some(region)),
        };
        let last_resort = reach.is_last_resort();
        let near = self.strategies.near(pool, state.request.region);
        // Those nearby are asked alone, before all of the tier are.
        let passes = || near.map(Some).into_iter().chain([None]);
        let places = order.into_iter().flat_map(|tier| passes().map(move |within| (tier, within)));
        // Where nobody is held back by a slow start, nobody is asked twice.
        let held = [self.health.held_back(), &[]];
        let held = if held[0].is_empty() { &held[1..] } else { &held[..] };
        for ((tier, within), held_back) in
            places.flat_map(|place| held.iter().map(move |held| (place, *held)))
        {
            if self.fleet.choices(pool, tier, last_resort).is_empty() {
                continue;
            }
            let context = PickContext {
                now: self.now,
                request: &state.request,
                expected_output,
                fleet: &self.fleet,
                pool,
                tier,
                demands,
                last_resort,
                avoid,
                held_back,
                members,
                within,
                home,
                listener: asked.map(|_| self.explainer.listen()),
                beyond,
                refused: (state.refusals, &state.tried),
            };
            let explained = asked.map(|attempt| (&self.explainer, attempt));
            let events = &mut self.effects.events;
            let hear = |explanation| events.push(Event::Explained(explanation));
            let picked = self.strategies.pick(state.route, &context, instead, explained, hear);
            if picked.is_some() {
                return picked;
            }
        }
        self.await_node_quota(key, pool);
        None
    }

    /// Some nodes of a pool may be no candidates for want of quota only: those who wait are asked again
    /// when the first of them has enough.
    fn await_node_quota(&mut self, key: RequestKey, pool: PoolId) {
        if !self.fleet.has_quotas() {
            return;
        }
        let tokens = self.expected_tokens(key);
        let demands = self.router.spec(self.requests[key].route).demands();
        if let Some(wait) = self.fleet.pool_quota_wait(pool, demands, self.now, tokens) {
            self.await_refill(wait);
        }
    }

    /// Returns the attempt whose decision somebody wants explained: the request's own, or that of one
    /// which may go along in its batch.
    fn asked(&self, key: RequestKey, pool: PoolId, members: u32) -> Option<Attempt> {
        if !self.explainer.is_on() {
            return None;
        }
        let mut attempts = self.attempts_of(key, pool, members);
        attempts.find(|attempt| self.explainer.wants(attempt.request))
    }

    /// Returns the node that is settled beforehand for the request, or for one which may go along in its
    /// batch.
    #[inline]
    fn instead(&self, key: RequestKey, pool: PoolId, members: u32) -> Option<NodeId> {
        let (meant, node) = self.strategies.overruled()?;
        self.attempts_of(key, pool, members).any(|attempt| attempt == meant).then_some(node)
    }

    /// Returns the next try of a request, and of those which may go along in its batch.
    fn attempts_of(
        &self,
        key: RequestKey,
        pool: PoolId,
        members: u32,
    ) -> impl Iterator<Item = Attempt> {
        let along = (members > 1).then(|| self.batches.held(pool)).into_iter().flatten();
        let states = std::iter::once(key).chain(along).map(|key| &self.requests[key]);
        states.map(|state| Attempt { request: state.request.id, ordinal: state.attempts })
    }

    /// Holds the request if the first pool along its lane with room for it takes batches.
    #[inline]
    fn hold(&mut self, key: RequestKey) -> bool {
        if !self.batches.is_on() {
            return false;
        }
        let Some(pool) = self.first_with_room(key).filter(|pool| self.batches.takes(*pool)) else {
            return false;
        };
        let (batch, timer) = self.batches.hold(self.now, pool, key);
        if timer {
            self.timers.after(self.now, batch.window, Timer::Window(pool));
        }
        let ticket = self.queue.number();
        self.requests.hold(key, pool, ticket);
        // A batch that is due and finds no room waits as others do.
        let wait = self.queue.max_wait(None).map(|wait| batch.window + wait);
        self.time_wait(key, ticket, wait);
        true
    }

    /// Returns the first pool along the lane of a request with room for it.
    fn first_with_room(&mut self, key: RequestKey) -> Option<PoolId> {
        let (degrading, lane) = (self.degrading(key), self.requests[key].lane);
        let last_resort = self.is_last_resort(key);
        let mut place = 0;
        while let Some(pool) = self.router.pool_at(lane, degrading, place) {
            place += 1;
            // A pool that has as much as it may take is passed over, as it is without batches.
            if !self.batches.is_full(pool)
                && self.is_open_to(key, pool, last_resort)
                && self.pool_takes(key, pool)
            {
                return Some(pool);
            }
        }
        None
    }

    /// Returns whether ejected nodes are all that is left for a request: its route is in panic, and no
    /// node that is up is open to it.
    pub(super) fn is_last_resort(&self, key: RequestKey) -> bool {
        let state = &self.requests[key];
        let (own, cheap) = self.router.pools(state.lane);
        let own = if state.over_budget { &[] } else { own };
        self.fleet.panics(state.route)
            && !own.iter().chain(cheap).any(|&pool| self.is_open_to(key, pool, false))
    }

    /// Returns whether some node of the pool is open to the request; one that is up, or as a
    /// `last_resort` one that is ejected.
    pub(super) fn is_open_to(&self, key: RequestKey, pool: PoolId, last_resort: bool) -> bool {
        let demands = self.router.spec(self.requests[key].route).demands();
        self.fleet.is_open_to(pool, demands, last_resort)
    }

    /// Sends a request to the node that was chosen. Beside another attempt it is a hedge.
    pub(super) fn dispatch(
        &mut self,
        key: RequestKey,
        choice: &NodeChoice,
        batch: Option<Together>,
    ) {
        let NodeChoice { node, why, memo } = *choice;
        // What degradation changes of the request is to be known before anything is reserved.
        let moved = self.degrade(key, why.pool);
        let expected = self.expected(key);
        let state = &self.requests[key];
        let (class, prompt, ordinal) = (state.request.class, state.request.prompt, state.attempts);
        let kind = match (state.phase, ordinal) {
            (Phase::InFlight(_), _) => AttemptKind::Hedge,
            (_, 0) => AttemptKind::First,
            _ => AttemptKind::Retry,
        };
        let degraded = moved || self.router.pools(state.lane).1.contains(&why.pool);
        let first = self.router.first_eligible(state.lane);
        let held = self.fleet.start(node, self.now, prompt, expected);
        let there = self.fleet.node(node);
        let (this, before) = self.requests.dispatch(AttemptState {
            request: key,
            ordinal,
            node,
            dispatched: self.now,
            first_token: None,
            tokens: Tokens::ZERO,
            sealed: false,
            anew: false,
            held,
            prices: there.prices(),
            facts: DispatchFacts { class, prompt, expected, memo },
            strategy_generation: self.strategies.generation(why.pool),
            closing: None,
            spilled: !degraded && first != Some((why.pool, why.tier)),
            degraded,
            hedge: kind == AttemptKind::Hedge,
            in_flight_at_dispatch: there.ledger.requests,
        });
        let state = &self.requests[key];
        let attempt = Attempt { request: state.request.id, ordinal };
        let (resumed, clamp) = (state.resumed, state.clamp);
        self.effects.actions.push(Action::Dispatch { attempt, node, batch, resumed, clamp });
        self.effects.events.push(Event::Dispatched {
            attempt,
            node,
            class,
            kind: if ordinal > 0 && ordinal == state.step { AttemptKind::Escalation } else { kind },
            after: state.last.filter(|_| kind == AttemptKind::Retry),
            arrived: state.request.arrived,
            queued: before.is_queued(),
            why,
            resumed,
        });
        if kind == AttemptKind::First {
            self.retries.hedging_mut().on_first_attempt(prompt);
        }
        // Those of a batch are one job of their node, and what hedges have is no hedge again. Where a
        // hedge is due before the first token is, few ever need the second timer.
        let hedges = kind != AttemptKind::Hedge && batch.is_none();
        if !(hedges && self.time_hedge(this)) {
            self.time_first_token(this);
        }
        self.health.on_dispatch(&self.fleet, node, self.now);
        let request = &self.requests[key].request;
        let fact = Fact::Dispatched { node, request };
        self.strategies.learn(self.now, (why.pool, why.tier), &fact, &self.fleet);
        self.reserve(this);
    }

    /// Does to a request that is being dispatched what its level of degradation asks for. Returns
    /// whether it goes to another pool because of it.
    #[inline]
    fn degrade(&mut self, key: RequestKey, pool: PoolId) -> bool {
        let (route, lane) = (self.requests[key].route, self.requests[key].lane);
        if let Some(most) = self.overload.clamp(route)
            && self.requests.clamp(key, most)
        {
            self.requests.mark_degraded(key, DegradeLevel::Clamp);
        }
        let (own, cheap) = self.router.pools(lane);
        let moved = match self.overload.cheaper(route, self.router.spec(route)) {
            Some(Degrading::Before) => cheap.contains(&pool),
            Some(Degrading::Next) => own.first() != Some(&pool),
            _ => false,
        };
        if moved {
            self.requests.mark_degraded(key, DegradeLevel::Cheaper);
        }
        moved
    }
}

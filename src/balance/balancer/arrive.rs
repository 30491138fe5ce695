//! A request comes in: its route, its deadline, and whether it may come in at all.

use super::Balancer;
use crate::balance::requests::RequestKey;
use crate::balance::retry::TimeLeft;
use crate::balance::timer::Timer;
use crate::balance::vocabulary::event::Event;
use crate::balance::vocabulary::outcome::{End, Fate, Reject, TimeoutStage};
use crate::balance::vocabulary::request::Request;
use crate::unit::{RequestId, Time, Tokens};

impl Balancer {
    /// A request came in.
    pub(super) fn arrive(&mut self, mut request: Request) {
        self.effects.events.push(Event::Arrived {
            request: request.id,
            class: request.class,
            tenant: request.tenant,
            arrived: request.arrived,
            prompt: request.prompt,
            job: request.job,
        });
        let explained = self.explainer.wants(request.id);
        let expected = || self.outputs.of(&request, Tokens::ZERO);
        let (route, lane, choice) = self.router.route(&request, &self.fleet, expected, explained);
        if let Some(choice) = choice {
            self.effects.events.push(Event::Model(Box::new(choice)));
        }
        if request.home.is_none() {
            request.home = self.sticky.home(self.now, route, &request);
        }
        let key = self.requests.arrive(self.now, request, route, lane);
        if !self.set_deadline(key) {
            return self.settle(key, Fate::Failed(End::TimedOut(TimeoutStage::Total)));
        }
        // What is answered at once is no load: it needs neither room nor money.
        if self.cache.is_on() && self.answer_from_cache(key) {
            return;
        }
        match self.refusal(key) {
            Some(reason) => self.reject(key, reason),
            None => self.dispatch_or_queue(key),
        }
    }

    /// Looks for a request among the answers that its route keeps. Returns whether it is settled with
    /// one.
    fn answer_from_cache(&mut self, key: RequestKey) -> bool {
        let state = &self.requests[key];
        let Some(lookup) = self.cache.look_up(self.now, state.route, &state.request) else {
            return false;
        };
        self.effects.events.push(Event::Cache(lookup));
        if lookup.found.is_some() {
            self.complete_from_cache(key);
        }
        lookup.found.is_some()
    }

    /// Sets the deadline of a request. Returns whether an attempt may still start.
    fn set_deadline(&mut self, key: RequestKey) -> bool {
        let request = self.requests.limit_deadline(key, self.retries.total());
        let (arrived, deadline) = (request.arrived, request.deadline);
        if deadline > self.now && deadline < Time::MAX {
            self.timers.after(arrived, deadline.since(arrived), Timer::Deadline(key));
        }
        self.retries.time_left(self.now, request) == TimeLeft::Enough
    }

    /// Returns why a request that arrives may not come in. What costs its tenant nothing is asked
    /// first: a quota is reserved only for who gets past the rest.
    fn refusal(&mut self, key: RequestKey) -> Option<Reject> {
        let state = &self.requests[key];
        if state.request.again > 0 && !self.admit_again(key) {
            return Some(Reject::RetryBudget);
        }
        let state = &self.requests[key];
        if !self.router.spec(state.route).serves_what_is_named(&state.request) {
            return Some(Reject::NoNode);
        }
        let admission = self.overload.admit(self.now, state.route, state.request.priority);
        if let Some(level) = admission.level {
            self.requests.mark_degraded(key, level);
        }
        if admission.sheds {
            return Some(Reject::Shed);
        }
        if !self.quotas.counts_tenants() {
            return None;
        }
        let tenant = self.requests[key].request.tenant;
        if let Some(until) = self.quotas.spent(self.now, tenant)
            && !self.go_cheaper(key)
        {
            return Some(Reject::Budget(until));
        }
        let tokens = self.expected_tokens(key);
        self.quotas.admit(self.now, key, tenant, tokens)
    }

    /// Whoever asks tries again. Returns whether there is room for that, or a node that is idle.
    fn admit_again(&self, key: RequestKey) -> bool {
        if self.retries.admit_again(self.requests.again_amounts(key)) {
            return true;
        }
        let (state, degrading) = (&self.requests[key], self.degrading(key));
        let demands = self.router.spec(state.route).demands();
        let mut pools = (0..).map_while(|place| self.router.pool_at(state.lane, degrading, place));
        pools.any(|pool| self.fleet.has_idle(pool, demands))
    }

    /// The client went away.
    pub(super) fn cancel(&mut self, request: RequestId) {
        match self.requests.find_open(request) {
            Some(key) => self.settle(key, Fate::Cancelled),
            None => self.late(None),
        }
    }

    /// Turns a request away. One that had attempts has failed as its last one did.
    pub(super) fn reject(&mut self, key: RequestKey, reason: Reject) {
        let last = self.requests[key].last;
        self.settle(key, last.map_or(Fate::Rejected(reason), |(_, end)| Fate::Failed(end)));
    }
}

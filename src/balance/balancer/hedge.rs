//! A second attempt beside one whose first token is late.

use super::Balancer;
use crate::balance::requests::{AttemptKey, NodeChoice, Reach, RequestKey};
use crate::balance::retry::TimeLeft;
use crate::balance::spec::overload::DegradeLevel;
use crate::balance::spec::retry::ATTEMPTS_MAX;
use crate::balance::spec::route::Degrading;
use crate::balance::timer::Timer;
use crate::balance::vocabulary::event::{Event, NoHedge};
use crate::balance::vocabulary::outcome::End;
use crate::unit::{NodeId, RegionId, Tokens};

/// A region that nodes do not name.
const NOWHERE: RegionId = RegionId(0);

impl Balancer {
    /// Sets the timer for a second attempt beside the one just dispatched, if it is due before that one
    /// is given up. Returns whether it did: the time for the first token is then set when it goes off.
    pub(super) fn time_hedge(&mut self, this: AttemptKey) -> bool {
        let key = self.requests[this].request;
        let state = &self.requests[key];
        // Of an answer that goes on, part has reached the client: its own pace is what counts. A cascade
        // withholds answers until they are whole: an early first token is worth nothing.
        if state.hedged
            || state.request.once
            || state.resumed > Tokens::ZERO
            || self.router.is_cascade(state.route)
        {
            return false;
        }
        let request = &state.request;
        let (alike, prices) = (self.alike(this), &self.requests[this].prices);
        let delay = self.retries.hedging().delay(alike, request.prompt, prices);
        let Some(delay) = delay else { return false };
        let given_up = self.retries.first_token(request);
        if self.now + delay >= request.deadline || given_up.is_some_and(|limit| delay >= limit) {
            return false;
        }
        self.requests.time_hedge(key, true);
        // A quantile is the end of a bucket: the same span for long.
        self.timers.after(self.now, delay, Timer::Hedge(this));
        true
    }

    /// The first token is late.
    pub(super) fn hedge(&mut self, this: AttemptKey) {
        let (key, node) = (self.requests[this].request, self.requests[this].node);
        self.requests.time_hedge(key, false);
        self.time_first_token(this);
        match self.choose_hedge(key, node) {
            Ok(choice) => {
                self.requests.mark_hedged(key);
                self.retries.hedging_mut().spend(self.requests[key].request.prompt);
                self.dispatch(key, &choice, None);
            }
            Err(reason) => {
                let request = self.requests[key].request.id;
                self.effects.events.push(Event::HedgeDenied { request, node, reason });
            }
        }
    }

    fn choose_hedge(&mut self, key: RequestKey, late: NodeId) -> Result<NodeChoice, NoHedge> {
        if self.overload.drops_hedges(self.requests[key].route) {
            self.requests.mark_degraded(key, DegradeLevel::Hedges);
            return Err(NoHedge::Degraded);
        }
        let state = &self.requests[key];
        if state.attempts >= ATTEMPTS_MAX {
            return Err(NoHedge::Attempts);
        }
        if self.retries.time_left(self.now, &state.request) != TimeLeft::Enough {
            return Err(NoHedge::Deadline);
        }
        let (own, _) = self.router.pools(state.lane);
        let load = own.iter().fold((0, 0), |(in_flight, capacity), pool| {
            let (more, room) = self.fleet.pool_load(*pool);
            (in_flight + more, capacity + room)
        });
        if self.queue.waiting() > 0 || self.retries.hedging().is_saturated(load) {
            return Err(NoHedge::Saturated);
        }
        self.retries.hedging().afford(state.request.prompt)?;
        // What takes down one node of a region may be what makes another one late.
        let region = self.fleet.node(late).spec.region;
        let beyond = (region != NOWHERE).then_some(Reach::Beyond(region));
        let mut reaches = beyond.into_iter().chain([Reach::Untried]);
        let degrading = if state.over_budget { Degrading::Only } else { Degrading::No };
        let choice = reaches.find_map(|reach| self.choose(key, degrading, reach));
        let free = |choice: &NodeChoice| {
            self.retries.hedging().may_cost(&self.fleet.node(choice.node).prices())
        };
        let choice = choice.filter(free).ok_or(NoHedge::NoNode)?;
        // What its tenant may have under way or spend holds for the second attempt too.
        let tenant = self.requests[key].request.tenant;
        if self.quotas.is_full(tenant) || self.overspends(key, &choice).is_some() {
            return Err(NoHedge::Budget);
        }
        Ok(choice)
    }

    /// An attempt was the first to give its first token, or a whole answer: the other one is given
    /// up.
    pub(super) fn outrun(&mut self, key: RequestKey, winner: AttemptKey) {
        if let Some(loser) = self.requests.keep_only(winner, key) {
            self.abort(loser, End::Outrun);
        }
    }
}

//! An attempt goes on and ends: its tokens, its end, and who hears of them.

use super::Balancer;
use super::outcome::Came;
use crate::balance::concurrency::limiter::LimitChange;
use crate::balance::requests::{AttemptKey, AttemptState, RequestKey};
use crate::balance::retry::patience::{Alike, Overdue};
use crate::balance::spec::node::Tier;
use crate::balance::strategy::{DispatchFacts, Fact};
use crate::balance::timer::Timer;
use crate::balance::vocabulary::action::Action;
use crate::balance::vocabulary::event::Event;
use crate::balance::vocabulary::outcome::{
    Attempt, End, Failure, Outcome, Progress, TimeoutStage, Usage,
};
use crate::balance::vocabulary::request::SessionKey;
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{NodeId, PoolId, Ratio, Span, Time, Tokens};

/// An outcome as the balancer reads it.
struct Word {
    end: End,
    usage: Usage,
    /// The pause the node asked for.
    retry_after: Option<Span>,
    /// What a scorer made of the answer.
    score: Option<Ratio>,
}

/// Reads an outcome as an end.
fn read(outcome: Outcome) -> Word {
    let none = Usage::default();
    let (end, usage, retry_after, score) = match outcome {
        Outcome::Done(usage) => (End::Done, usage, None, None),
        Outcome::Scored(usage, score) => (End::Done, usage, None, Some(score)),
        Outcome::Failed(failure, usage) => (End::Failed(failure), usage, None, None),
        Outcome::RateLimited { retry_after } => (End::RateLimited, none, retry_after, None),
        Outcome::Busy { retry_after } => {
            (End::Failed(Failure::Overloaded), none, Some(retry_after), None)
        }
        // Nobody asked for the abort, so to the request it is a broken connection.
        Outcome::Aborted(usage) => (End::Failed(Failure::Reset), usage, None, None),
    };
    Word { end, usage: usage.sane(), retry_after, score }
}

impl Balancer {
    /// An attempt is getting somewhere.
    pub(super) fn progress(&mut self, attempt: Attempt, progress: Progress) {
        let found = self.requests.find(attempt);
        let Some(this) = found.filter(|&this| self.requests[this].closing.is_none()) else {
            return self.late(Some(attempt));
        };
        let node = self.requests[this].node;
        self.fleet.hear(node, self.now);
        if progress == Progress::Anew {
            return self.requests.begin_anew(this);
        }
        if let Some(took) = self.requests.first_token(this, self.now) {
            self.fleet.first_token(node, self.requests.held(this));
            self.on_first_token(this, attempt, took);
        }
        if progress == Progress::Sealed {
            self.requests.seal(this);
        }
        if let Progress::Tokens(so_far) = progress {
            let before = self.requests[this].tokens;
            self.fleet.tokens(node, self.requests.held(this), before, so_far);
            self.requests.tokens(this, so_far);
            let state = &self.requests[this];
            let took = self.now.since(state.first_token.unwrap_or(self.now));
            let (home, facts) = self.facts(state);
            let fact = Fact::Tokens { node, so_far, took, sent: &facts };
            self.strategies.learn(self.now, home, &fact, &self.fleet);
        }
    }

    /// The first token of an attempt came: everybody who learns from that hears of it, and of two
    /// attempts of its request the other one is given up.
    fn on_first_token(&mut self, this: AttemptKey, attempt: Attempt, took: Span) {
        let state = &self.requests[this];
        let (node, key, class) = (state.node, state.request, state.facts.class);
        self.health.accepted(node, state.dispatched);
        if self.scaling.is_on() {
            self.scaling.on_first_token(self.now, node, &self.requests[key].request);
        }
        self.effects.events.push(Event::FirstToken { attempt, node, took });
        let (home, facts) = self.facts(state);
        let fact = Fact::FirstToken { node, took, sent: &facts };
        self.strategies.learn(self.now, home, &fact, &self.fleet);
        self.end_trial(node);
        self.find_slow_outlier(node, class, took);
        self.learn_first_token(this, None);
        if !self.withholds(key, node) {
            self.requests.mark_begun(this);
            self.stay(key, node);
        }
        self.contradict(key, node);
        self.outrun(key, this);
    }

    /// A node answers a request: what it names stays there.
    pub(super) fn stay(&mut self, key: RequestKey, node: NodeId) {
        let state = &self.requests[key];
        self.sticky.answered(self.now, state.route, &state.request, node);
    }

    /// The node of an attempt keeps something that later requests will name so.
    pub(super) fn keep_named(&mut self, attempt: Attempt, name: SessionKey) {
        match self.requests.find(attempt) {
            Some(this) => self.sticky.keep(self.now, name, self.requests[this].node),
            None => self.late(Some(attempt)),
        }
    }

    /// Returns the home of the node of an attempt, and what its strategy is reminded of.
    fn facts(&self, attempt: &AttemptState) -> ((PoolId, Tier), DispatchFacts) {
        let home = self.fleet.node(attempt.node).home();
        (home, self.strategies.facts(attempt, home.0))
    }

    /// Sets the timer for when an attempt without a first token, or without its whole answer, is looked at.
    #[inline]
    pub(super) fn time_first_token(&mut self, this: AttemptKey) {
        let state = &self.requests[this];
        let most = self.retries.first_token(&self.requests[state.request].request);
        if let Some(limit) = self.retries.patience().first_look(self.alike(this), most) {
            self.timers.after(state.dispatched, limit, Timer::FirstToken(this));
        }
    }

    /// Returns what the answer of an attempt is like.
    #[inline]
    pub(super) fn alike(&self, this: AttemptKey) -> Alike {
        let state = &self.requests[this];
        let node = self.fleet.node(state.node);
        Alike::of(&self.requests[state.request].request, node.home().0, node.spec.model)
    }

    /// The first token is late, or the node silent, or it was to be looked whether that is so: the attempt
    /// is given up, or looked at again.
    pub(super) fn first_token_overdue(&mut self, this: AttemptKey) {
        let state = &self.requests[this];
        let (key, node) = (state.request, state.node);
        let most = self.retries.first_token(&self.requests[key].request);
        let heard = self.fleet.node(node).health.heard.max(state.dispatched);
        let waits = (self.now.since(state.dispatched), self.now.since(heard));
        match self.retries.patience().look(self.alike(this), most, waits) {
            Overdue::Late => {}
            Overdue::Silent(span) if self.may_leave(key, node, heard) => {
                return self.leave_silent(this, span);
            }
            Overdue::Silent(span) => {
                let again = Span(span.0 / 4).max(Span(1));
                return self.timers.at(self.now + again, Timer::FirstToken(this));
            }
            Overdue::Not(left) => {
                return self.timers.after(self.now, left, Timer::FirstToken(this));
            }
        }
        let end = End::TimedOut(TimeoutStage::FirstToken);
        self.abort(this, end);
        self.fail(key, this, (node, end), None, None);
    }

    /// Returns whether a request may leave a node that has said nothing since then: another node of the
    /// pool has, and it may be tried again. Cost: the nodes of the pool, once for an attempt that hangs.
    fn may_leave(&self, key: RequestKey, node: NodeId, heard: Time) -> bool {
        let pool = self.fleet.node(node).home().0;
        let mut others = Tier::ALL.into_iter().flat_map(|tier| self.fleet.members(pool, tier));
        let talks = |id: NodeId| {
            let other = self.fleet.node(id);
            id != node && other.state() == NodeState::Up && other.health.heard > heard
        };
        let amounts = self.requests.retry_amounts(key);
        !self.requests[key].request.once
            && others.any(|id| talks(*id))
            && self.retries.may_give_up(self.now, &self.requests[key], amounts)
    }

    /// Gives up an attempt on a node that hangs, and with it the node, if as many wait there as failures in
    /// a row would eject it.
    fn leave_silent(&mut self, this: AttemptKey, silent: Span) {
        let (key, node) = (self.requests[this].request, self.requests[this].node);
        let end = End::TimedOut(TimeoutStage::FirstToken);
        let hangs = self.health.hangs(&self.fleet, node);
        self.abort(this, end);
        if hangs {
            self.eject_silent(node, silent);
        }
        self.fail(key, this, (node, end), None, None);
    }

    /// Stops an attempt whose fate is decided. It stays on the ledger until confirmed.
    pub(super) fn abort(&mut self, this: AttemptKey, end: End) {
        let attempt = self.requests.close(this, end);
        let state = &self.requests[this];
        self.effects.actions.push(Action::Abort { attempt, node: state.node });
        if state.first_token.is_none() {
            self.learn_first_token(this, Some(end));
        }
        self.judge(this, end, Usage::NONE, None);
    }

    /// Lets strategy, limiter and health hear how an attempt ended.
    #[inline]
    fn judge(&mut self, this: AttemptKey, end: End, usage: Usage, retry_after: Option<Span>) {
        let state = &self.requests[this];
        let node = state.node;
        let (home, facts) = self.facts(state);
        let fact = Fact::Ended {
            node,
            end,
            took: self.now.since(state.dispatched),
            first_token: state.first_token.map(|at| at.since(state.dispatched)),
            usage,
            sent: &facts,
        };
        self.strategies.learn(self.now, home, &fact, &self.fleet);
        let change = self.limiters.on_end(self.now, &self.requests[this], end);
        self.apply_limit(change);
        self.judge_node(this, end, retry_after);
    }

    /// An attempt is over.
    pub(super) fn finish(&mut self, attempt: Attempt, outcome: Outcome) {
        let Some(this) = self.requests.find(attempt) else {
            return self.late(Some(attempt));
        };
        let Word { end: said, usage, retry_after, score } = read(outcome);
        let closing = self.requests[this].closing;
        if closing.is_none() {
            self.judge(this, said, usage, retry_after);
            if said == End::Done && self.requests[this].first_token.is_none() {
                self.learn_first_token(this, None);
            }
        }
        let state = self.requests.end(this);
        let (key, node) = (state.request, state.node);
        if !matches!(outcome, Outcome::Aborted(_)) {
            self.fleet.hear(node, self.now);
        }
        self.fleet.end(node, self.now, &state.held);
        self.batches.mark_ready();
        self.leave_if_empty(node);
        self.settle_reservations(&state, &usage);
        let end = closing.unwrap_or(said);
        self.declare_end(attempt, &state, end, usage);
        if closing.is_some() {
            return self.requests.forget(key);
        }
        if end != End::Done {
            // What is withheld has reached nobody.
            let reached = !self.withholds(key, node);
            let came = state.first_token.filter(|_| reached).map(|at| Came {
                first_token: at,
                tokens: usage.output.max(state.tokens).max(Tokens(1)).less(self.again(&state)),
                sealed: state.sealed,
            });
            return self.fail(key, this, (node, end), came, retry_after);
        }
        self.contradict(key, node);
        self.outrun(key, this);
        if score.is_none_or(|score| !self.escalate(&state, usage, score)) {
            self.complete(&state, usage);
        }
    }

    /// Returns how many tokens of an attempt its client has from those before it.
    pub(super) fn again(&self, state: &AttemptState) -> Tokens {
        if state.anew { self.requests[state.request].resumed } else { Tokens::ZERO }
    }

    /// Declares how an attempt ended and what it cost.
    fn declare_end(&mut self, attempt: Attempt, state: &AttemptState, end: End, usage: Usage) {
        let cost = state.prices.of(&usage);
        self.requests.spend(state.request, cost);
        let request = &self.requests[state.request].request;
        self.effects.events.push(Event::Ended {
            attempt,
            node: state.node,
            class: request.class,
            end,
            arrived: request.arrived,
            dispatched: state.dispatched,
            usage,
            cost,
            job: request.job,
        });
    }

    // ----- what is reserved for an attempt -----

    /// Reserves what an attempt that is being dispatched is expected to use.
    #[inline]
    pub(super) fn reserve(&mut self, this: AttemptKey) {
        if !(self.quotas.is_on() || self.queue.charges()) {
            return;
        }
        let state = &self.requests[this];
        let tenant = self.requests[state.request].request.tenant;
        let pool = self.fleet.node(state.node).home().0;
        self.fleet.take_quota(state.node, self.now, state.reserved());
        self.queue.charge(tenant, (state.facts.prompt, state.facts.expected));
        self.quotas.reserve(self.now, tenant, pool, state);
    }

    /// Corrects what was reserved for an attempt by what it used.
    #[inline]
    fn settle_reservations(&mut self, state: &AttemptState, usage: &Usage) {
        if !(self.quotas.is_on() || self.queue.charges()) {
            return;
        }
        let tenant = self.requests[state.request].request.tenant;
        let pool = self.fleet.node(state.node).home().0;
        let (reserved, used) = (state.reserved(), (usage.input + usage.output).0);
        self.fleet.settle_quota(state.node, self.now, state.dispatched, reserved, used);
        let expected = (state.facts.prompt, state.facts.expected);
        let served = (usage.input.less(usage.cached), usage.output);
        self.queue.correct_charge(tenant, expected, served);
        // The nodes of a pool that was full may have been open all the time.
        if self.quotas.settle_attempt(self.now, tenant, pool, state, usage) {
            self.fleet.mark_freed();
        }
        if self.quotas.counts_tenants() && self.queue.unthrottle(tenant) {
            self.fleet.mark_freed();
        }
    }

    // ----- who learns from first tokens -----

    /// Lets limiters, saturation and hedges hear how long a first token took, or how long it had not
    /// come when its attempt was given up.
    #[inline]
    fn learn_first_token(&mut self, this: AttemptKey, gave_up: Option<End>) {
        self.compare_with_idle(this, gave_up);
        let state = &self.requests[this];
        let took = self.now.since(state.dispatched);
        let alike = self.alike(this);
        // On a silent node nothing says how long it would have taken; of one that talks it is known that it
        // would have been longer.
        let late = gave_up == Some(End::TimedOut(TimeoutStage::FirstToken));
        let talks = self.fleet.node(state.node).health.heard > state.dispatched;
        let learns = (gave_up.is_none() || (late && talks)).then_some(alike);
        self.retries.hedging_mut().learn(alike, took, gave_up, state.hedge);
        if let Some(alike) = learns {
            self.retries.patience_mut().learn(alike, took);
        }
    }

    /// Lets limiters and saturation hear how many times longer than on an idle node a first token
    /// took.
    #[inline]
    fn compare_with_idle(&mut self, this: AttemptKey, gave_up: Option<End>) {
        let state = &self.requests[this];
        let late = gave_up == Some(End::TimedOut(TimeoutStage::FirstToken));
        let limited = self.limiters.has(state.node);
        if (gave_up.is_some() && !late) || !(limited || self.overload.is_on()) {
            return;
        }
        let ratio = self.idle.observe(state, self.now.since(state.dispatched), late);
        let (pool, _) = self.fleet.node(state.node).home();
        let alone = state.in_flight_at_dispatch <= 1;
        if limited && !late {
            let change = self.limiters.on_first_token(self.now, state, ratio);
            self.apply_limit(change);
        }
        self.overload.note_first_token(self.now, pool, ratio, alone);
    }

    /// Puts the limit that a limiter has found in force.
    fn apply_limit(&mut self, change: Option<LimitChange>) {
        let Some(LimitChange { node, limit, before, cause, notable }) = change else { return };
        self.fleet.adapt(node, Some(limit));
        self.effects.events.push(Event::Limit { node, limit, before, cause, notable });
    }

    /// Returns whether an answer of this node is kept from the client until it is accepted.
    #[inline]
    pub(super) fn withholds(&self, key: RequestKey, node: NodeId) -> bool {
        let pool = self.fleet.node(node).home().0;
        self.router.next_model(self.requests[key].route, pool).is_some()
    }
}

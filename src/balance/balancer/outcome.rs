//! How a request ends: tried again, handed to the next model, completed, or settled otherwise.

use super::Balancer;
use crate::balance::requests::{AnswerInHand, AttemptKey, AttemptState, Phase, RequestKey};
use crate::balance::retry::{Failed, TimeLeft};
use crate::balance::spec::retry::ATTEMPTS_MAX;
use crate::balance::timer::Timer;
use crate::balance::vocabulary::action::Action;
use crate::balance::vocabulary::event::{Event, Settled};
use crate::balance::vocabulary::outcome::{Attempt, End, Fate, Reject, TimeoutStage, Usage};
use crate::unit::{NodeId, Ratio, RequestId, Span, Time, Tokens};

/// What is known of an answer at the end of its request.
#[derive(Clone, Copy, Default)]
struct AnsweredBy<'a> {
    /// Whether the request stood in a queue just before.
    queued: bool,
    first_token: Option<Time>,
    usage: Usage,
    /// The attempt that answered, if one did.
    by: Option<&'a AttemptState>,
    /// Whether the answer was kept from before.
    cached: bool,
}

/// What has come of an answer that was cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) first_token: Time,
    /// So many, without those that the client had before.
    pub(super) tokens: Tokens,
    /// Whether it is more than text.
    pub(super) sealed: bool,
}

impl Balancer {
    /// An attempt has failed and is closed or gone; `came` is what has come of its answer. If another
    /// attempt of its request goes on, that one decides. The node `asked` for a pause or not.
    pub(super) fn fail(
        &mut self,
        key: RequestKey,
        this: AttemptKey,
        (node, end): (NodeId, End),
        came: Option<Came>,
        asked: Option<Span>,
    ) {
        if !self.requests.fail(key, this, (node, end)) {
            self.try_again(key, (node, end), came, asked);
        }
    }

    /// Tries a failed request again, or lets it fail.
    fn try_again(
        &mut self,
        key: RequestKey,
        (node, end): (NodeId, End),
        came: Option<Came>,
        asked: Option<Span>,
    ) {
        let state = &self.requests[key];
        let request = state.request.id;
        let amounts = self.requests.retry_amounts(key);
        let blames = matches!(end, End::Failed(failure) if failure.blames_request());
        let doubted = blames && self.health.doubts(&self.fleet, node);
        let spec = self.router.spec(state.route);
        let past_policy = spec.past_policy;
        let resumes = self.retries.resumes(spec.resume);
        let started = came.is_some_and(|came| came.sealed || !resumes);
        let failed = Failed { state, end, started, doubted, past_policy, amounts };
        let other_node = || {
            let (own, cheap) = self.router.pools(state.lane);
            let demands = self.router.spec(state.route).demands();
            let refused = (state.refusals, &state.tried[..]);
            self.fleet.has_other(own.iter().chain(cheap), demands, refused)
        };
        let decided = self.retries.decide(self.now, failed, other_node, &mut self.pauses);
        let pause = match decided {
            Ok(pause) => pause,
            Err(reason) => {
                self.effects.events.push(Event::RetryDenied { request, node, end, reason });
                return self.give_up(key, end);
            }
        };
        if self.retries.spend(self.now, end) {
            self.requests.count_retry(key);
        }
        let pause = if came.is_none() {
            self.stay_or_leave(key, (node, end), (pause, asked))
        } else {
            pause
        };
        if let Some(came) = came {
            self.requests.resume_from(key, came.first_token, came.tokens);
        }
        self.effects.events.push(Event::RetryPlanned { request, node, end, pause });
        if pause == Span::ZERO {
            self.dispatch_or_queue(key);
        } else {
            self.timers.at(self.now + pause, Timer::Backoff(key));
        }
    }

    /// Lets a request that is tried again stay with the node that failed it, if that is wanted: the pause is
    /// then as long as the node asked for. Returns the pause.
    fn stay_or_leave(
        &mut self,
        key: RequestKey,
        (node, end): (NodeId, End),
        (pause, asked): (Span, Option<Span>),
    ) -> Span {
        let state = &self.requests[key];
        let Some(least) = self.retries.stays(state, end, asked) else { return pause };
        let longer = pause.max(least);
        let (pool, _) = self.fleet.node(node).home();
        let demands = self.router.spec(state.route).demands();
        let other = self.fleet.has_open(pool, demands, state.nodes_tried());
        if other || !self.retries.leaves_time(self.now + longer, &state.request) {
            return pause;
        }
        self.requests.stay(key, node);
        longer
    }

    /// Lets a request fail whose last attempt ended so. That it is at fault itself, as a node said and
    /// none contradicted, is what is told: the next node's trouble does not make it sound.
    pub(super) fn give_up(&mut self, key: RequestKey, end: End) {
        let end = self.requests[key].at_fault.unwrap_or(end);
        self.believe(key);
        self.settle(key, Fate::Failed(end));
    }

    /// Asks the next pool of a cascade, if an answer is not good enough. Returns whether the request
    /// was seen to.
    pub(super) fn escalate(&mut self, answer: &AttemptState, usage: Usage, score: Ratio) -> bool {
        let (key, node) = (answer.request, answer.node);
        let state = &self.requests[key];
        let pool = self.fleet.node(node).home().0;
        let Some((to, lane)) = self.router.next_model(state.route, pool) else {
            return false;
        };
        if self.router.accepts(state.route, score) || state.attempts >= ATTEMPTS_MAX {
            return false;
        }
        // Of what the next model could still do the client would have nothing.
        if self.retries.time_left(self.now, &state.request) != TimeLeft::Enough {
            return false;
        }
        let request = state.request.id;
        let answer = AnswerInHand { node, ordinal: answer.ordinal, usage, score };
        self.requests.escalate(key, answer, lane);
        self.effects.events.push(Event::Escalated { request, node, score, to });
        // Those who wait go first.
        self.drain_queues();
        self.place_or_answer(key);
        true
    }

    /// An attempt gave a whole answer that is accepted.
    pub(super) fn complete(&mut self, by: &AttemptState, mut usage: Usage) {
        let key = by.request;
        if by.first_token.is_none() && self.scaling.is_on() {
            self.scaling.on_first_token(self.now, by.node, &self.requests[key].request);
        }
        self.stay(key, by.node);
        self.requests.settle(key);
        self.requests.drop_answer_in_hand(key);
        let state = &self.requests[key];
        let first_token = state.begun.or(by.first_token);
        // Of an answer that was cut and went on, the client has both parts.
        if !by.anew {
            usage.output += state.resumed;
            usage.input = usage.input.less(state.resumed);
        }
        self.queue.on_answer(state.request.class, self.now.since(by.dispatched));
        // How long a clamped answer would have been nobody knows.
        if state.clamp.is_none_or(|most| usage.output < most) {
            self.outputs.learn(state.request.class, usage.output);
        }
        if self.cache.is_on() {
            self.keep(by, usage);
        }
        // What was withheld reaches the client whole.
        let first_token = first_token.filter(|_| !self.withholds(key, by.node));
        let by = Some(by);
        let answered = AnsweredBy { first_token, usage, by, ..AnsweredBy::default() };
        self.declare(key, Fate::Completed, answered);
    }

    /// Lets the route of a request keep its answer; one of pressure is for its moment only.
    fn keep(&mut self, by: &AttemptState, usage: Usage) {
        let state = &self.requests[by.request];
        if state.is_usual(by) {
            let cost = by.prices.of(&usage);
            self.cache.keep(self.now, state.route, &state.request, (usage, cost));
        }
    }

    /// Settles a request that has just come in with an answer that was kept.
    pub(super) fn complete_from_cache(&mut self, key: RequestKey) {
        self.requests.settle(key);
        self.declare(key, Fate::Completed, AnsweredBy { cached: true, ..AnsweredBy::default() });
    }

    /// Brings a request to its final end. An open attempt is aborted.
    pub(super) fn settle(&mut self, key: RequestKey, fate: Fate) {
        let phase = self.requests.settle(key);
        let state = &self.requests[key];
        let mut answered = AnsweredBy { queued: phase.is_queued(), ..AnsweredBy::default() };
        answered.first_token = state.begun;
        answered.usage.output = state.resumed;
        match phase {
            Phase::Queued(_) => self.queue.leave(state.route, key),
            Phase::Held { pool, .. } => self.release(key, pool),
            Phase::InFlight(running) => {
                let end = if let Fate::Failed(end) = fate { end } else { End::Cancelled };
                running.keys().for_each(|this| self.abort(this, end));
                // Where there are two, neither has begun.
                let this = &self.requests[running.one];
                answered.first_token = answered.first_token.or(this.first_token);
                answered.usage.output += this.tokens.less(self.again(this));
            }
            Phase::Backoff | Phase::Settled => {}
        }
        if let Some(in_hand) = &self.requests[key].in_hand
            && fate != Fate::Cancelled
        {
            // Better than nothing.
            let node = in_hand.node;
            let answered = AnsweredBy {
                queued: answered.queued,
                usage: in_hand.usage,
                ..AnsweredBy::default()
            };
            self.stay(key, node);
            return self.declare(key, Fate::Completed, answered);
        }
        self.declare(key, fate, answered);
    }

    /// Declares the final end, by the attempt that answered if one did, and forgets the request,
    /// unless an aborted attempt is unconfirmed.
    fn declare(&mut self, key: RequestKey, fate: Fate, answered: AnsweredBy<'_>) {
        self.requests.leave(key, self.now);
        let AnsweredBy { queued, first_token, usage, by, cached } = answered;
        let state = &self.requests[key];
        let request = &state.request;
        let first = usize::from(state.step);
        let elsewhere =
            |by: &AttemptState| usize::from(by.ordinal) >= first && by.node != state.tried[first];
        let in_hand = state.in_hand.as_ref().filter(|_| fate == Fate::Completed);
        let last = state.nodes_tried().last().copied();
        let node = by.map(|by| by.node).or(in_hand.map(|in_hand| in_hand.node)).or(last);
        let whole = by.map(|by| by.ordinal).or(in_hand.map(|in_hand| in_hand.ordinal));
        let ordinal = whole.or(state.begun_by);
        self.effects.actions.push(Action::Answer {
            request: request.id,
            fate,
            by: ordinal.map(|ordinal| Attempt { request: request.id, ordinal }),
            begun: state.begun_by.is_some(),
        });
        self.effects.events.push(Event::Settled(Settled {
            request: request.id,
            class: request.class,
            tenant: request.tenant,
            route: state.route,
            node,
            fate,
            arrived: request.arrived,
            dispatched: state.dispatched,
            first_token,
            attempts: state.attempts,
            // A hedge that was only faster is none: nothing had failed.
            failover: by.is_some_and(|by| {
                (by.spilled || elsewhere(by)) && !(by.hedge && state.last.is_none())
            }),
            degraded: by.is_some_and(|by| by.degraded),
            queued,
            usage,
            job: request.job,
            hedge: by.is_some_and(|by| by.hedge),
            spent: state.spent,
            degraded_by: state.degraded_by,
            cached,
            over_budget: state.over_budget,
        }));
        if let Some(node) = node.filter(|_| fate == Fate::Completed) {
            let pool = self.fleet.node(node).home().0;
            self.router.await_feedback(state.route, request, pool);
        }
        self.quotas.settle_request(self.now, key, state, fate, usage);
        self.requests.forget(key);
    }

    /// Gives up a request for which it is too late when its turn comes: a node may open at the very
    /// moment of its deadline, before the timer goes off. Returns whether it did.
    pub(super) fn expire(&mut self, key: RequestKey) -> bool {
        match self.retries.time_left(self.now, &self.requests[key].request) {
            TimeLeft::Enough => return false,
            TimeLeft::TooLittle => self.reject(key, Reject::WaitedTooLong),
            TimeLeft::None => self.settle(key, Fate::Failed(End::TimedOut(TimeoutStage::Total))),
        }
        true
    }

    /// Somebody said how good an answer was.
    pub(super) fn hear_feedback(&mut self, request: RequestId, quality: Ratio) {
        match self.router.on_feedback(request, quality) {
            Some((class, pool)) => {
                self.effects.events.push(Event::Feedback { request, class, pool, quality });
            }
            None => self.late(None),
        }
    }
}

//! The requests and attempts that are not forgotten yet, and the only place where a phase changes.
//!
//! A request is queued, held for a batch, on one node or two, in back-off, or settled; an attempt is
//! open or closing (given up, but on its node's ledger until the executor confirms). Others read what
//! is here and decide; every change is a method of [`Requests`], so a count cannot be forgotten on
//! one path: the sums that retry budgets are shares of and those that prove conservation and Little's
//! law are kept beside the phases. It knows no node, no timer and no policy.

mod choice;
mod sums;

pub(in crate::balance) use choice::{NodeChoice, Reach};
pub use sums::Totals;
pub(in crate::balance) use sums::{Amount, RetryShare, RetrySums};

use slotmap::{SlotMap, new_key_type};

use crate::balance::fleet::ledger::Held;
use crate::balance::spec::node::Prices;
use crate::balance::spec::overload::DegradeLevel;
use crate::balance::spec::retry::ATTEMPTS_MAX;
use crate::balance::spec::route::LaneId;
use crate::balance::strategy::DispatchFacts;
use crate::balance::vocabulary::failure::Refusals;
use crate::balance::vocabulary::outcome::{Attempt, End, TOKENS_MAX, Usage};
use crate::balance::vocabulary::request::Request;
use crate::id_map::IdMap;
use crate::unit::{Cost, NodeId, PoolId, Ratio, RequestId, RouteId, Span, Time, Tokens};

new_key_type! {
    /// Names a request that is not forgotten yet.
    pub(in crate::balance) struct RequestKey;
    /// Names an attempt that has not ended yet.
    pub(in crate::balance) struct AttemptKey;
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum Phase {
    /// In a queue, with the ticket of this number.
    Queued(u64),
    /// Held for a batch of a pool; whether it was declared to wait before.
    Held { pool: PoolId, ticket: u64, queued: bool },
    /// On a node, or on two.
    InFlight(Running),
    /// Between two attempts.
    Backoff,
    /// At its end; kept only until aborted attempts are confirmed.
    Settled,
}

impl Phase {
    /// Returns whether a request in this phase has been declared to wait.
    #[inline]
    pub(in crate::balance) const fn is_queued(self) -> bool {
        matches!(self, Phase::Queued(_) | Phase::Held { queued: true, .. })
    }
}

/// The attempts of a request that may still answer it: one, or two while it is hedged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) struct Running {
    pub(in crate::balance) one: AttemptKey,
    pub(in crate::balance) other: Option<AttemptKey>,
}

impl Running {
    #[inline]
    const fn one(this: AttemptKey) -> Running {
        Running { one: this, other: None }
    }

    #[inline]
    pub(in crate::balance) fn keys(self) -> impl Iterator<Item = AttemptKey> {
        [self.one].into_iter().chain(self.other)
    }

    /// Returns what goes on without this one, if anything.
    #[inline]
    fn without(self, this: AttemptKey) -> Option<Running> {
        self.keys().find(|&key| key != this).map(Running::one)
    }
}

/// An answer that was not good enough, kept in case nothing better comes.
#[derive(Clone, Copy, Debug)]
pub(in crate::balance) struct AnswerInHand {
    pub(in crate::balance) node: NodeId,
    /// Which try of its request gave it.
    pub(in crate::balance) ordinal: u8,
    pub(in crate::balance) usage: Usage,
    pub(in crate::balance) score: Ratio,
}

/// A request that is not forgotten yet. Whoever holds one by reference may read all of it; nobody but
/// [`Requests`] holds one to change it.
#[derive(Debug)]
pub(in crate::balance) struct RequestState {
    pub(in crate::balance) request: Request,
    pub(in crate::balance) route: RouteId,
    /// Its pools on that route.
    pub(in crate::balance) lane: LaneId,
    pub(in crate::balance) phase: Phase,
    /// When the balancer first heard of it; never before `request.arrived`.
    pub(in crate::balance) heard: Time,
    /// Attempts made.
    pub(in crate::balance) attempts: u8,
    /// Attempts that have not ended, by ordinal; null where there is none.
    pub(in crate::balance) open: [AttemptKey; ATTEMPTS_MAX as usize],
    /// Attempts that have not ended.
    pub(in crate::balance) unfinished: u8,
    /// Nodes tried, by ordinal.
    pub(in crate::balance) tried: [NodeId; ATTEMPTS_MAX as usize],
    /// When its first attempt was dispatched.
    pub(in crate::balance) dispatched: Option<Time>,
    /// The node of the attempt that ended last, and how it ended.
    pub(in crate::balance) last: Option<(NodeId, End)>,
    /// Whether it counts as a retry under way.
    pub(in crate::balance) retrying: bool,
    /// Whether a timer for a hedge is set.
    pub(in crate::balance) hedge_timed: bool,
    /// Whether it had its hedge.
    pub(in crate::balance) hedged: bool,
    /// The node that its next attempt goes to if it can.
    pub(in crate::balance) stays: Option<NodeId>,
    /// How often it stayed.
    pub(in crate::balance) stayed: u8,
    /// Tokens that reached the client before its answer was cut and goes on elsewhere.
    pub(in crate::balance) resumed: Tokens,
    /// When the first of them came.
    pub(in crate::balance) begun: Option<Time>,
    /// The attempt whose first token may have reached the client.
    pub(in crate::balance) begun_by: Option<u8>,
    /// The ordinal at which the model it asks now was asked first; above zero in cascades only.
    pub(in crate::balance) step: u8,
    /// The best answer that was not good enough.
    pub(in crate::balance) in_hand: Option<Box<AnswerInHand>>,
    /// What ended attempts cost.
    pub(in crate::balance) spent: Cost,
    /// Which nodes have refused it, and over what.
    pub(in crate::balance) refusals: Refusals,
    /// How the last attempt ended whose node said that the request is at fault, while no other node has
    /// served it.
    pub(in crate::balance) at_fault: Option<End>,
    /// The highest level of degradation that changed what becomes of it.
    pub(in crate::balance) degraded_by: DegradeLevel,
    /// Its tenant's budget was spent, and only cheaper pools serve it.
    pub(in crate::balance) over_budget: bool,
    /// What its answer is clamped to.
    pub(in crate::balance) clamp: Option<Tokens>,
}

impl RequestState {
    /// Returns whether an answer to it is what it always would be: neither clamped nor of a cheaper pool.
    pub(in crate::balance) fn is_usual(&self, by: &AttemptState) -> bool {
        self.clamp.is_none() && self.degraded_by < DegradeLevel::Clamp && !by.degraded
    }

    /// Returns the nodes it has been on, in order.
    #[inline]
    pub(in crate::balance) fn nodes_tried(&self) -> &[NodeId] {
        &self.tried[..usize::from(self.attempts)]
    }

    /// Returns how often it was tried in vain, as its retry policy counts: a hedge is none of the
    /// tries that may fail, and each model of a cascade has its own.
    #[inline]
    pub(in crate::balance) const fn tries(&self) -> u8 {
        if self.attempts >= ATTEMPTS_MAX {
            return ATTEMPTS_MAX;
        }
        self.attempts - self.step - self.hedged as u8
    }
}

/// An attempt that has not ended yet; readable as [`RequestState`] is.
#[derive(Debug)]
pub(in crate::balance) struct AttemptState {
    pub(in crate::balance) request: RequestKey,
    pub(in crate::balance) ordinal: u8,
    pub(in crate::balance) node: NodeId,
    pub(in crate::balance) dispatched: Time,
    pub(in crate::balance) first_token: Option<Time>,
    /// Tokens of the answer that have come.
    pub(in crate::balance) tokens: Tokens,
    /// Whether what has come is more than text.
    pub(in crate::balance) sealed: bool,
    /// Whether it does not go on from what came before, but gives the whole answer again.
    pub(in crate::balance) anew: bool,
    /// What it holds on the ledger of its node; the ledger's own note.
    pub(in crate::balance) held: Held,
    /// Prices in force at dispatch: a change never reprices the past.
    pub(in crate::balance) prices: Prices,
    /// What its strategy is reminded of.
    pub(in crate::balance) facts: DispatchFacts,
    /// Which strategy of its pool chose the node.
    pub(in crate::balance) strategy_generation: u32,
    /// How it ended for the request, if the executor has yet to confirm.
    pub(in crate::balance) closing: Option<End>,
    /// Whether it went lower than the first eligible tier.
    pub(in crate::balance) spilled: bool,
    /// Whether it went to a pool that the route degrades to.
    pub(in crate::balance) degraded: bool,
    /// Whether it was sent beside another one.
    pub(in crate::balance) hedge: bool,
    /// Attempts on its node when it was sent, itself included.
    pub(in crate::balance) in_flight_at_dispatch: u32,
}

impl AttemptState {
    /// Returns the tokens that were reserved for it: of its prompt and of the expected answer.
    #[inline]
    pub(in crate::balance) const fn reserved(&self) -> u64 {
        self.facts.prompt.0.saturating_add(self.facts.expected.0)
    }
}

/// All requests and attempts that are not forgotten yet.
#[derive(Debug, Default)]
pub(in crate::balance) struct Requests {
    states: SlotMap<RequestKey, RequestState>,
    attempts: SlotMap<AttemptKey, AttemptState>,
    index: IdMap<RequestKey>,
    under_way: RetrySums,
    totals: Totals,
}

impl std::ops::Index<RequestKey> for Requests {
    type Output = RequestState;

    #[inline]
    fn index(&self, key: RequestKey) -> &RequestState {
        &self.states[key]
    }
}

impl std::ops::Index<AttemptKey> for Requests {
    type Output = AttemptState;

    #[inline]
    fn index(&self, key: AttemptKey) -> &AttemptState {
        &self.attempts[key]
    }
}

/// Questions.
impl Requests {
    #[inline]
    pub(in crate::balance) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Returns the number of requests not at their end.
    #[inline]
    pub(in crate::balance) const fn in_system(&self) -> u64 {
        self.totals.arrived - self.totals.settled
    }

    #[inline]
    pub(in crate::balance) fn knows(&self, request: RequestId) -> bool {
        self.index.get(request).is_some()
    }

    /// Finds a request that is not at its end.
    #[inline]
    pub(in crate::balance) fn find_open(&self, request: RequestId) -> Option<RequestKey> {
        let key = *self.index.get(request)?;
        (self.states[key].phase != Phase::Settled).then_some(key)
    }

    /// Finds an attempt that has not ended.
    #[inline]
    pub(in crate::balance) fn find(&self, attempt: Attempt) -> Option<AttemptKey> {
        let key = *self.index.get(attempt.request)?;
        let this = *self.states[key].open.get(usize::from(attempt.ordinal))?;
        self.attempts.contains_key(this).then_some(this)
    }

    #[inline]
    pub(in crate::balance) fn get(&self, key: RequestKey) -> Option<&RequestState> {
        self.states.get(key)
    }

    #[inline]
    pub(in crate::balance) fn get_attempt(&self, key: AttemptKey) -> Option<&AttemptState> {
        self.attempts.get(key)
    }

    #[inline]
    pub(in crate::balance) fn iter(&self) -> impl Iterator<Item = (RequestKey, &RequestState)> {
        self.states.iter()
    }

    #[inline]
    pub(in crate::balance) fn attempts(&self) -> impl ExactSizeIterator<Item = &AttemptState> {
        self.attempts.values()
    }

    /// Returns whether the request still waits with this ticket, in a queue.
    #[inline]
    pub(in crate::balance) fn is_queued_with(&self, key: RequestKey, ticket: u64) -> bool {
        self.states.get(key).is_some_and(|state| state.phase == Phase::Queued(ticket))
    }

    /// Returns whether the request still waits with this ticket, in a queue or for a batch.
    #[inline]
    pub(in crate::balance) fn waits_with(&self, key: RequestKey, number: u64) -> bool {
        match self.states.get(key).map(|state| state.phase) {
            Some(Phase::Queued(ticket) | Phase::Held { ticket, .. }) => ticket == number,
            _ => false,
        }
    }

    /// Returns the request as an amount, the other retries under way, and all that is under way.
    #[inline]
    pub(in crate::balance) fn retry_amounts(&self, key: RequestKey) -> (Amount, Amount, Amount) {
        let state = &self.states[key];
        let (this, RetryShare { all, again }) =
            (Amount::of(&state.request), self.under_way.whole());
        (this, if state.retrying { again - this } else { again }, all)
    }

    /// Returns the same of its tenant, for a request that whoever asks tries again.
    pub(in crate::balance) fn again_amounts(&self, key: RequestKey) -> (Amount, Amount, Amount) {
        let request = &self.states[key].request;
        let (this, share) = (Amount::of(request), self.under_way.of_tenant(request.tenant));
        (this, share.again - this, share.all)
    }

    /// Returns what retry budgets are shares of.
    #[inline]
    pub(in crate::balance) const fn retry_sums(&self) -> &RetrySums {
        &self.under_way
    }
}

/// Changes, in the order of a request's life.
impl Requests {
    /// So much time has passed since the last change.
    #[inline]
    pub(in crate::balance) fn pass(&mut self, time: Span) {
        self.totals.area += u128::from(self.in_system()) * u128::from(time.0);
    }

    /// A request came in. It is between two attempts until it is dispatched or waits.
    ///
    /// # Panics
    /// If a request of its id is under way.
    #[inline]
    pub(in crate::balance) fn arrive(
        &mut self,
        now: Time,
        request: Request,
        route: RouteId,
        lane: LaneId,
    ) -> RequestKey {
        self.totals.arrived += 1;
        self.under_way.arrive(&request);
        let id = request.id;
        let key = self.states.insert(RequestState {
            route,
            lane,
            phase: Phase::Backoff,
            heard: now,
            attempts: 0,
            open: [AttemptKey::default(); ATTEMPTS_MAX as usize],
            unfinished: 0,
            tried: [NodeId(u32::MAX); ATTEMPTS_MAX as usize],
            dispatched: None,
            last: None,
            retrying: false,
            hedge_timed: false,
            hedged: false,
            stays: None,
            stayed: 0,
            resumed: Tokens::ZERO,
            begun: None,
            begun_by: None,
            step: 0,
            in_hand: None,
            spent: Cost::ZERO,
            refusals: Refusals::default(),
            at_fault: None,
            degraded_by: DegradeLevel::Calm,
            over_budget: false,
            clamp: None,
            request,
        });
        let other = self.index.insert(id, key);
        assert!(other.is_none(), "request {} arrives while under way", id.0);
        key
    }

    /// Brings the deadline forward to so long after the arrival, if it is later than that.
    #[inline]
    pub(in crate::balance) fn limit_deadline(
        &mut self,
        key: RequestKey,
        total: Option<Span>,
    ) -> &Request {
        let request = &mut self.states[key].request;
        let total = total.map_or(Time::MAX, |total| request.arrived + total);
        request.deadline = request.deadline.min(total);
        request
    }

    /// Notes that a level of degradation changed what becomes of a request.
    #[inline]
    pub(in crate::balance) fn mark_degraded(&mut self, key: RequestKey, level: DegradeLevel) {
        let degraded = &mut self.states[key].degraded_by;
        *degraded = level.max(*degraded);
    }

    /// Its tenant's budget is spent: from now on only cheaper pools serve it.
    pub(in crate::balance) fn mark_over_budget(&mut self, key: RequestKey) {
        self.states[key].over_budget = true;
    }

    /// Clamps the answer to so many tokens. Returns whether that is fewer than before.
    #[inline]
    pub(in crate::balance) fn clamp(&mut self, key: RequestKey, most: Tokens) -> bool {
        let state = &mut self.states[key];
        let clamps = state.request.output_max.is_none_or(|max| max > most);
        if clamps {
            state.request.output_max = Some(most);
            state.clamp = Some(most);
        }
        clamps
    }

    /// It waits in a queue.
    #[inline]
    pub(in crate::balance) fn queue(&mut self, key: RequestKey, ticket: u64) {
        self.states[key].phase = Phase::Queued(ticket);
    }

    /// It is held for a batch of a pool.
    #[inline]
    pub(in crate::balance) fn hold(&mut self, key: RequestKey, pool: PoolId, ticket: u64) {
        let phase = &mut self.states[key].phase;
        *phase = Phase::Held { pool, ticket, queued: phase.is_queued() };
    }

    /// An attempt goes out. Returns its key and the phase that its request was in. An attempt beside
    /// another one is a hedge.
    #[inline]
    pub(in crate::balance) fn dispatch(&mut self, attempt: AttemptState) -> (AttemptKey, Phase) {
        let (key, ordinal, node) = (attempt.request, usize::from(attempt.ordinal), attempt.node);
        let now = attempt.dispatched;
        let this = self.attempts.insert(attempt);
        let state = &mut self.states[key];
        state.open[ordinal] = this;
        state.tried[ordinal] = node;
        state.attempts += 1;
        state.unfinished += 1;
        let running = match state.phase {
            Phase::InFlight(Running { one, .. }) => Running { one, other: Some(this) },
            _ => Running::one(this),
        };
        let before = std::mem::replace(&mut state.phase, Phase::InFlight(running));
        state.hedge_timed = false;
        state.dispatched.get_or_insert(now);
        self.totals.dispatched += 1;
        (this, before)
    }

    /// Says whether a timer for a hedge of the request is set.
    #[inline]
    pub(in crate::balance) fn time_hedge(&mut self, key: RequestKey, timed: bool) {
        self.states[key].hedge_timed = timed;
    }

    /// Its hedge goes out now.
    #[inline]
    pub(in crate::balance) fn mark_hedged(&mut self, key: RequestKey) {
        self.states[key].hedged = true;
    }

    /// The first token of an attempt came, unless it had come already. Returns what it took.
    #[inline]
    pub(in crate::balance) fn first_token(&mut self, this: AttemptKey, now: Time) -> Option<Span> {
        let attempt = &mut self.attempts[this];
        if attempt.first_token.is_some() {
            return None;
        }
        attempt.first_token = Some(now);
        Some(now.since(attempt.dispatched))
    }

    /// Some of the attempt's answer may have reached the client.
    #[inline]
    pub(in crate::balance) fn mark_begun(&mut self, this: AttemptKey) {
        let AttemptState { request, ordinal, .. } = self.attempts[this];
        self.states[request].begun_by = Some(ordinal);
    }

    /// What has come of an answer is more than text.
    pub(in crate::balance) fn seal(&mut self, this: AttemptKey) {
        self.attempts[this].sealed = true;
    }

    /// An attempt gives the whole answer again.
    pub(in crate::balance) fn begin_anew(&mut self, this: AttemptKey) {
        self.attempts[this].anew = true;
    }

    /// So many tokens of an answer have come.
    #[inline]
    pub(in crate::balance) fn tokens(&mut self, this: AttemptKey, so_far: Tokens) {
        let attempt = &mut self.attempts[this];
        attempt.tokens = attempt.tokens.max(so_far);
    }

    /// Gives the ledger access to its note about an attempt.
    #[inline]
    pub(in crate::balance) fn held(&mut self, this: AttemptKey) -> &mut Held {
        &mut self.attempts[this].held
    }

    /// Decides how an attempt ended; it stays until the executor confirms.
    #[inline]
    pub(in crate::balance) fn close(&mut self, this: AttemptKey, end: End) -> Attempt {
        let attempt = &mut self.attempts[this];
        attempt.closing = Some(end);
        Attempt { request: self.states[attempt.request].request.id, ordinal: attempt.ordinal }
    }

    /// Of two attempts that run this one goes on alone. Returns the other one, if there was one.
    #[inline]
    pub(in crate::balance) fn keep_only(
        &mut self,
        winner: AttemptKey,
        of: RequestKey,
    ) -> Option<AttemptKey> {
        let state = &mut self.states[of];
        let Phase::InFlight(running) = state.phase else { return None };
        let other = running.without(winner)?;
        state.phase = Phase::InFlight(Running::one(winner));
        Some(other.one)
    }

    /// Takes out an attempt that has ended and cost so much.
    #[inline]
    pub(in crate::balance) fn end(&mut self, this: AttemptKey) -> AttemptState {
        let attempt = self.attempts.remove(this).expect("an attempt ends once");
        self.states[attempt.request].unfinished -= 1;
        self.totals.ended += 1;
        attempt
    }

    /// An attempt cost so much.
    #[inline]
    pub(in crate::balance) fn spend(&mut self, key: RequestKey, cost: Cost) {
        self.states[key].spent += cost;
    }

    /// An attempt has failed and is closed or gone. Returns whether another one of its request goes
    /// on; if none does, the request is in back-off.
    #[inline]
    pub(in crate::balance) fn fail(
        &mut self,
        key: RequestKey,
        this: AttemptKey,
        (node, end): (NodeId, End),
    ) -> bool {
        let state = &mut self.states[key];
        state.last = Some((node, end));
        // It was the latest attempt that was sent there.
        if let End::Failed(failure) = end
            && let Some(at) = state.nodes_tried().iter().rposition(|tried| *tried == node)
        {
            state.refusals.note(at, failure);
            if failure.blames_request() {
                state.at_fault = Some(end);
            }
        }
        let rest = match state.phase {
            Phase::InFlight(running) => running.without(this),
            _ => None,
        };
        state.phase = rest.map_or(Phase::Backoff, Phase::InFlight);
        rest.is_some()
    }

    /// A node serves a request that others said is at fault, or they are believed: that is settled.
    /// Returns who said so, by the bits of their ordinals.
    #[inline]
    pub(in crate::balance) fn settle_fault(&mut self, key: RequestKey) -> Refusals {
        let state = &mut self.states[key];
        state.at_fault = None;
        state.refusals.settle()
    }

    /// Counts a request as a retry under way.
    #[inline]
    pub(in crate::balance) fn count_retry(&mut self, key: RequestKey) {
        let state = &mut self.states[key];
        if !std::mem::replace(&mut state.retrying, true) {
            self.under_way.retry(&state.request);
        }
    }

    /// Its next attempt goes to the node of the last one if it can.
    pub(in crate::balance) fn stay(&mut self, key: RequestKey, node: NodeId) {
        let state = &mut self.states[key];
        state.stays = Some(node);
        state.stayed = state.stayed.saturating_add(1);
    }

    /// Returns the node that its next attempt goes to if it can, once.
    #[inline]
    pub(in crate::balance) fn take_stay(&mut self, key: RequestKey) -> Option<NodeId> {
        self.states[key].stays.take()
    }

    /// So many tokens of the answer have reached the client: the next attempt of this retry goes on
    /// from there.
    #[inline]
    pub(in crate::balance) fn resume_from(
        &mut self,
        key: RequestKey,
        first_token: Time,
        tokens: Tokens,
    ) {
        let state = &mut self.states[key];
        self.under_way.leave(&state.request, state.retrying);
        state.begun.get_or_insert(first_token);
        state.resumed += tokens;
        state.request.prompt = (state.request.prompt + tokens).min(TOKENS_MAX);
        if let Some(most) = &mut state.request.output_max {
            *most = most.less(tokens).max(Tokens(1));
        }
        self.under_way.arrive(&state.request);
        if state.retrying {
            self.under_way.retry(&state.request);
        }
    }

    /// The answer was not good enough: it is kept if it is the best so far, and the next model is
    /// asked along another lane.
    #[inline]
    pub(in crate::balance) fn escalate(
        &mut self,
        key: RequestKey,
        answer: AnswerInHand,
        lane: LaneId,
    ) {
        let state = &mut self.states[key];
        if state.in_hand.as_ref().is_none_or(|other| other.score <= answer.score) {
            state.in_hand = Some(Box::new(answer));
        }
        state.lane = lane;
        state.step = state.attempts;
        state.last = None;
        state.phase = Phase::Backoff;
    }

    /// Brings a request to its end. Returns the phase it was in.
    #[inline]
    pub(in crate::balance) fn settle(&mut self, key: RequestKey) -> Phase {
        let phase = std::mem::replace(&mut self.states[key].phase, Phase::Settled);
        assert!(phase != Phase::Settled, "a request has one fate");
        phase
    }

    /// A whole answer was accepted: no other one is kept in hand.
    #[inline]
    pub(in crate::balance) fn drop_answer_in_hand(&mut self, key: RequestKey) {
        self.states[key].in_hand = None;
    }

    /// A settled request is under way no longer.
    #[inline]
    pub(in crate::balance) fn leave(&mut self, key: RequestKey, now: Time) {
        let state = &mut self.states[key];
        self.under_way.leave(&state.request, std::mem::take(&mut state.retrying));
        self.totals.settled += 1;
        self.totals.sojourn += u128::from(now.since(state.heard).0);
    }

    /// Forgets a request if it is settled and no attempt of it is unconfirmed.
    #[inline]
    pub(in crate::balance) fn forget(&mut self, key: RequestKey) {
        let state = &self.states[key];
        if state.phase == Phase::Settled && state.unfinished == 0 {
            self.index.remove(state.request.id);
            self.states.remove(key);
        }
    }

    /// Word came too late to change anything.
    #[inline]
    pub(in crate::balance) fn count_late_word(&mut self) {
        self.totals.late_words += 1;
    }
}

#[cfg(test)]
mod tests;

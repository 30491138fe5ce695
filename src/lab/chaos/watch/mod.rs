//! Invariants that need history: a fold over events, held against the machine after every input.
//!
//! The fold keeps its own books (who is where, on which node, at which price, in which state) from
//! nothing but the scenario and the events, and says what contradicts an invariant of
//! [`INVARIANTS`](super::INVARIANTS). With several balancers, what one of them knows of a node is
//! not in the events, so what depends on it is checked with one balancer only.

mod cache;
mod node;
mod request;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::pressed::Pressed;
use crate::balance::{
    AttemptKind, Balancer, CacheLookup, Config, End, Event, Input, NodeState, Outcome, OverBudget,
    Prices, Priority, Totals, check,
};
use crate::unit::{Cost, ModelId, NodeId, PoolId, RequestId, RouteId, TenantId, Time, Tokens};
use cache::WholeAnswers;
use sticky::SessionAnswers;

/// An invariant that does not hold: its number, and the figures that contradict it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number, as in `I07`.
    pub invariant: String,
    /// What contradicts it.
    pub said: String,
}

impl Broken {
    pub(super) fn new(invariant: &str, said: impl Into<String>) -> Broken {
        Broken { invariant: invariant.to_owned(), said: said.into() }
    }

    /// Whether both are the same finding: the same invariant, and of panics the same words.
    pub(super) fn is_like(&self, other: &Broken) -> bool {
        let words = |said: &str| said.chars().filter(|c| c.is_alphabetic()).collect::<String>();
        let panics = self.invariant == "I52";
        self.invariant == other.invariant && (!panics || words(&self.said) == words(&other.said))
    }

    /// From what [`check`] says: `I04: node 3 has ...`.
    pub(super) fn of(said: &str) -> Broken {
        let (invariant, said) = said.split_once(": ").unwrap_or(("I52", said));
        Broken::new(invariant, said)
    }
}

/// Fails with an invariant unless a condition holds.
macro_rules! ensure {
    ($holds:expr, $invariant:literal, $($said:tt)+) => {
        let holds: bool = $holds;
        if !holds {
            return Err(Broken::new($invariant, format!($($said)+)));
        }
    };
}
pub(super) use ensure;

/// What the events said of a node.
#[derive(Clone, Debug)]
struct NodeHistory {
    state: NodeState,
    in_flight: u32,
    limit: Option<u32>,
    /// What its limiter found.
    adaptive: Option<u32>,
    prices: Prices,
    /// No dispatch before this: it asked for it with a 429.
    parked: Time,
    /// When the machine last said that its rest is over.
    rests: Time,
    /// It came back or is new, and has had no success since: it may take less than it could.
    on_trial: bool,
    /// When it last came back.
    back: Time,
    /// Connections that it has refused since, one after the other.
    refusals: u32,
}

impl NodeHistory {
    /// Whether it takes one more.
    fn has_room(&self) -> bool {
        [self.limit, self.adaptive].into_iter().flatten().all(|limit| self.in_flight < limit)
    }
}

/// What the events said of an attempt.
#[derive(Clone, Copy, Debug)]
struct AttemptHistory {
    node: NodeId,
    prices: Prices,
    first_token: bool,
    /// Whether nobody hears its answer before it is whole and good enough: another model of a cascade
    /// comes after it.
    withheld: bool,
    end: Option<End>,
}

/// What the events said of a request.
#[derive(Clone, Debug)]
struct RequestHistory {
    /// From the input itself, timers included.
    deadline: Time,
    heard: Time,
    arrived: Time,
    queued: Option<Time>,
    attempts: Vec<AttemptHistory>,
    /// A retry is planned and not dispatched yet.
    planned: bool,
    hedged: bool,
    /// An answer was not good enough, and another model is to be asked.
    escalated: bool,
    /// How often that was so.
    steps: usize,
    priority: Priority,
    tenant: TenantId,
    /// What it asks.
    content: Option<u64>,
    /// The conversation it belongs to.
    session: Option<u64>,
    /// The route that it took, once it went anywhere.
    route: Option<RouteId>,
    /// The model that it names.
    model: Option<ModelId>,
    /// Whether cheaper pools alone may serve it, if its tenant's budget is spent.
    may_go_cheaper: bool,
    retrying: bool,
    settled: bool,
}

/// What the fold counted, to be held against what everyone else counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came.
    pub arrived: u64,
    /// Whole answers.
    pub completed: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests turned away.
    pub rejected: u64,
    /// Clients that went away.
    pub cancelled: u64,
    /// Attempts dispatched.
    pub dispatched: u64,
    /// Attempts ended.
    pub ended: u64,
    /// Dispatches after a failure.
    pub retries: u64,
    /// Dispatches beside another one.
    pub hedges: u64,
    /// Ejections.
    pub ejections: u64,
    /// Nodes that rested after a 429.
    pub limited: u64,
    /// Tokens of all attempts.
    pub input: u64,
    /// Tokens of all answers.
    pub output: u64,
    /// What all attempts cost, in pico-dollars.
    pub cost: u128,
    /// Events.
    pub events: u64,
}

impl Counts {
    /// Requests at their end.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.completed + self.failed + self.rejected + self.cancelled
    }
}

/// The fold.
#[derive(Debug)]
pub(super) struct EventChecker<'a> {
    config: &'a Config,
    /// Whether there is one balancer.
    alone: bool,
    now: Time,
    nodes: Vec<NodeHistory>,
    requests: HashMap<RequestId, RequestHistory>,
    retrying: u64,
    /// When the last retries were planned.
    recent: VecDeque<Time>,
    /// Routes that ejected nodes serve too.
    panics: BTreeSet<RouteId>,
    /// The node that refuses a connection by this input.
    refusing: Option<NodeId>,
    pressed: Pressed<'a>,
    answers: WholeAnswers<'a>,
    sessions: SessionAnswers<'a>,
    pub(super) counts: Counts,
}

impl<'a> EventChecker<'a> {
    /// Opens the books on machines that have heard nothing yet.
    pub(super) fn new(config: &'a Config, balancers: &[Balancer]) -> EventChecker<'a> {
        let seen = |node: &crate::balance::Node| NodeHistory {
            state: node.state(),
            in_flight: 0,
            limit: node.spec.limits.concurrency,
            adaptive: found(config, node.spec.pool),
            prices: node.spec.prices,
            parked: Time::ZERO,
            rests: Time::ZERO,
            on_trial: false,
            back: Time::ZERO,
            refusals: 0,
        };
        EventChecker {
            config,
            alone: balancers.len() == 1,
            now: Time::ZERO,
            nodes: balancers[0].fleet().nodes().iter().map(seen).collect(),
            requests: HashMap::new(),
            retrying: 0,
            recent: VecDeque::new(),
            panics: BTreeSet::new(),
            refusing: None,
            pressed: Pressed::new(config),
            answers: WholeAnswers::new(config),
            sessions: SessionAnswers::new(config),
            counts: Counts::default(),
        }
    }

    /// Hears an input before the machine does.
    pub(super) fn input(&mut self, now: Time, input: &Input) -> Result<(), Broken> {
        ensure!(now >= self.now, "I31", "time goes back from {} to {now}", self.now);
        self.now = now;
        self.refusing = match input {
            Input::Finish(attempt, Outcome::Failed(failure, _)) if failure.is_unreached() => {
                let history = self.requests.get(&attempt.request);
                let this = history.and_then(|it| it.attempts.get(usize::from(attempt.ordinal)));
                this.map(|this| this.node)
            }
            _ => None,
        };
        if let Input::Arrive(request) = input {
            let total = self.config.timeouts.total;
            let deadline = total.map_or(Time::MAX, |total| request.arrived + total);
            let history = RequestHistory {
                deadline: request.deadline.min(deadline),
                heard: now,
                arrived: request.arrived,
                queued: None,
                attempts: Vec::new(),
                planned: false,
                hedged: false,
                escalated: false,
                steps: 0,
                priority: request.priority,
                tenant: request.tenant,
                content: request.content,
                session: request.session,
                route: None,
                model: request.model,
                may_go_cheaper: {
                    let limits = self.config.admission.tenants.of(request.tenant);
                    limits.budget.is_some() && limits.over_budget == OverBudget::Degrade
                },
                retrying: false,
                settled: false,
            };
            let before = self.requests.insert(request.id, history);
            ensure!(before.is_none(), "I02", "request {} arrives twice", request.id.0);
        }
        Ok(())
    }

    /// Hears an event.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub(super) fn event(&mut self, now: Time, event: &Event) -> Result<(), Broken> {
        self.counts.events += 1;
        ensure!(now == self.now, "I31", "an event of {now} comes of an input at {}", self.now);
        match event {
            Event::Arrived { request, arrived, .. } => {
                self.counts.arrived += 1;
                let history = self.history(*request, "arrives")?;
                ensure!(
                    history.arrived == *arrived,
                    "I31",
                    "request {} has two arrivals",
                    request.0
                );
            }
            Event::Cache(lookup) => self.looked_up(now, lookup)?,
            Event::Queued { request, .. } => {
                let history = self.history(*request, "waits")?;
                history.queued = Some(now);
            }
            Event::Dispatched { attempt, node, kind, queued, why, resumed, .. } => {
                let place = usize::from(attempt.ordinal);
                self.dispatched(attempt.request, place, *node, *kind, *queued, why)?;
                let own = self.config.routes.get(why.route.index()).and_then(|spec| spec.resume);
                let resumes =
                    own.unwrap_or(self.config.retry.resume) && *kind == AttemptKind::Retry;
                let fresh = *resumed == Tokens::ZERO || resumes;
                ensure!(fresh, "I21", "request {} goes on unasked", attempt.request.0);
            }
            Event::FirstToken { attempt, node, .. } => self.first_token(*attempt, *node)?,
            Event::Ended { attempt, node, end, usage, cost, dispatched, .. } => {
                let place = usize::from(attempt.ordinal);
                self.refusal(*node, *end, *dispatched);
                self.ended(attempt.request, place, *node, *end)?;
                self.paid(*attempt, usage, *cost)?;
            }
            Event::Escalated { request, .. } => {
                let history = self.history(*request, "asks another model")?;
                history.escalated = true;
                history.steps += 1;
            }
            Event::Panic { route, on } if self.alone => self.panic(*route, *on)?,
            Event::KeptIn { node, cause } if self.alone => self.kept_in(*node, *cause)?,
            Event::Limit { node, limit, .. } => self.limit(*node, *limit)?,
            Event::Shedding { .. } | Event::DegradeLevel { .. } if self.alone => {
                self.pressed.hear(now, event)?;
            }
            Event::RetryPlanned { request, end, .. } => self.retry_planned(*request, *end)?,
            Event::RetryDenied { request, .. } => {
                self.history(*request, "is denied a retry")?;
            }
            Event::Settled(settled) => self.settled(settled)?,
            Event::NodeState { node, from, to, cause } => self.state(*node, *from, *to, *cause)?,
            Event::NodeChanged { node, spec } => self.changed(*node, spec),
            Event::Panic { .. }
            | Event::KeptIn { .. }
            | Event::Shedding { .. }
            | Event::DegradeLevel { .. }
            | Event::Explained(_)
            | Event::Strategy { .. }
            | Event::Scaled { .. }
            | Event::Batch { .. }
            | Event::LateWord { .. }
            | Event::Mark(_)
            | Event::Job(_)
            | Event::HedgeDenied { .. }
            | Event::Model(_)
            | Event::Feedback { .. }
            | Event::Graded(_) => {}
        }
        Ok(())
    }

    fn looked_up(&mut self, now: Time, lookup: &CacheLookup) -> Result<(), Broken> {
        let history = self.history(lookup.request, "is looked for")?;
        let asks = (history.tenant, history.content);
        self.answers.looked_up(now, lookup, asks)
    }

    fn pool_of(&self, node: NodeId) -> PoolId {
        self.config.nodes.get(node.index()).map_or(PoolId(0), |spec| spec.pool)
    }

    /// A request that was heard of and has no end yet.
    fn history(&mut self, id: RequestId, what: &str) -> Result<&mut RequestHistory, Broken> {
        match self.requests.get_mut(&id) {
            None => broken("I02", format!("request {} {what} and never came", id.0)),
            Some(history) if history.settled => {
                broken("I02", format!("request {} {what} after its end", id.0))
            }
            Some(history) => Ok(history),
        }
    }

    /// Holds the books against the machines, and the machines against themselves.
    pub(super) fn compare(&mut self, balancers: &[Balancer], totals: Totals) -> Result<(), Broken> {
        for balancer in balancers {
            check(balancer).map_err(|said| Broken::of(&said))?;
        }
        let counts = &self.counts;
        let pairs = [
            ("requests came", counts.arrived, totals.arrived),
            ("requests are settled", counts.settled(), totals.settled),
            ("attempts were dispatched", counts.dispatched, totals.dispatched),
            ("attempts are over", counts.ended, totals.ended),
        ];
        for (what, told, counted) in pairs {
            ensure!(told == counted, "I01", "{told} {what} by the events, {counted} by the sums");
        }
        for (at, seen) in self.nodes.iter_mut().enumerate() {
            let id = NodeId(at as u32);
            let ledgers = balancers.iter().map(|one| one.fleet().node(id).ledger.requests);
            let booked: u32 = ledgers.sum();
            ensure!(
                booked == seen.in_flight,
                "I04",
                "node {at} has {} in flight by the events, {booked} by the ledger",
                seen.in_flight
            );
            if self.alone {
                let node = balancers[0].fleet().node(id);
                let until = node.rests_until();
                if matches!(seen.state, NodeState::Ejected | NodeState::CoolingDown) {
                    let forward = until < seen.rests;
                    ensure!(
                        !forward,
                        "I10",
                        "the rest of node {at} ended at {} and now at {until}",
                        seen.rests
                    );
                    seen.rests = until;
                } else {
                    seen.rests = Time::ZERO;
                }
                ensure!(
                    node.state() == seen.state,
                    "I14",
                    "node {at} is {} and {} by the events",
                    node.state().name(),
                    seen.state.name()
                );
            }
        }
        Ok(())
    }

    /// What must hold when nothing is left to happen.
    ///
    /// A stream that `stalls` for good ends only by a timer, and there may be none.
    pub(super) fn end(&self, balancers: &[Balancer], stalls: bool) -> Result<(), Broken> {
        if stalls && balancers.iter().all(Balancer::only_nodes_can_tell) {
            return Ok(());
        }
        let counts = &self.counts;
        let open = counts.arrived - counts.settled();
        ensure!(open == 0, "I49", "{open} requests never get an end");
        let unfinished = counts.dispatched - counts.ended;
        ensure!(unfinished == 0, "I04", "{unfinished} attempts never get an end");
        ensure!(self.retrying == 0, "I16", "{} retries are left over", self.retrying);
        let zero = |node: &crate::balance::Node| {
            let ledger = node.ledger;
            ledger.requests == 0
                && (ledger.prompt, ledger.kv, ledger.output)
                    == (Tokens::ZERO, Tokens::ZERO, Tokens::ZERO)
        };
        let nodes = balancers.iter().flat_map(|balancer| balancer.fleet().nodes());
        ensure!(nodes.into_iter().all(zero), "I04", "a ledger does not end at zero");
        let lengths = balancers.iter().map(Balancer::waiting).sum::<u32>();
        ensure!(lengths == 0, "I01", "{lengths} requests wait at the end");
        Ok(())
    }

    /// What all attempts cost.
    pub(super) const fn cost(&self) -> Cost {
        Cost(self.counts.cost)
    }
}

/// What a limiter of a pool begins with, if it has any.
fn found(config: &Config, pool: PoolId) -> Option<u32> {
    config.pools[pool.index()].limiter.map(|limiter| limiter.initial)
}

fn broken<T>(invariant: &str, said: String) -> Result<T, Broken> {
    Err(Broken::new(invariant, said))
}

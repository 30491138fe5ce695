//! What a simulated back end does with an attempt: queues it, works on it, fails it.
//!
//! A node is told of starts, aborts, probes and faults, and answers by scheduling what will happen
//! in its driver's agenda. It knows the `Truth` of a request; the balancer does not. A node draws
//! its noise from a stream keyed by (request, node), so two strategies that send a request to the
//! same node see the same service time (common random numbers).

mod agenda;
mod api;
mod blocks;
mod cache;
mod capacity;
pub mod engine;
pub mod fault;
mod fault_state;
mod jobs;
mod outlook;
mod reachability;
mod slots;

use std::sync::Arc;

use crate::balance::{
    Attempt, Control, Failure, FleetChange, Input, Limits, NodeReport, Outcome, ProbeResult,
    Progress, Request, Together, Usage,
};
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, Ratio, RequestId, Span, Time, Tokens};
use crate::workload::Truth;

pub use agenda::{Agenda, Upcoming};
pub use api::{ApiSpec, RemainingLimit, RemainingQuota};
pub use blocks::Blocks;
pub use cache::ENTRIES_MAX;
pub use capacity::MeanWork;
pub use engine::{EngineSpec, KvUse};
pub use fault::{
    Cut, ErrorAnswer, FaultKind, FaultRule, FaultSchedule, FaultSpec, ProbeLie, ReportLie,
};
pub use jobs::JobKey;
pub use outlook::Outlook;
pub use slots::SlotsSpec;

use fault_state::{FaultFilter, FaultState};
use reachability::Reachability;

/// A refused connect or an error answer takes this long.
const REFUSED_AFTER: Span = Span::from_millis(1);
/// An error answered without work takes this long.
const ERROR_AFTER: Span = Span::from_millis(5);
/// The answer to a probe of a healthy node takes this long.
const PROBE_AFTER: Span = Span::from_millis(2);

/// A simulated back end as configured.
#[expect(
    clippy::large_enum_variant,
    reason = "one a node, and boxes would cost a step to the law of every draw"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum BackendSpec {
    /// A fixed number of servers with a bounded queue in front: M/G/k.
    Slots(SlotsSpec),
    /// A hosted model: time to first token and speed drawn for each request, limits answered 429.
    Api(ApiSpec, Limits),
    /// A self-hosted engine with continuous batching.
    Engine(EngineSpec),
}

impl BackendSpec {
    /// Returns how many attempts can be worked on at a time, where that is fixed.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        match self {
            BackendSpec::Slots(spec) => Some(spec.servers),
            BackendSpec::Api(_, limits) => limits.concurrency,
            BackendSpec::Engine(spec) => Some(spec.max_seqs),
        }
    }

    /// Returns whether it wants to know the hashes of prompts.
    #[must_use]
    pub const fn keeps_prefixes(&self) -> bool {
        matches!(self, BackendSpec::Engine(spec) if spec.prefix_cache)
    }
}

/// The order of things that happen at the same time; see the agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// An attempt ends.
    Finish,
    /// An attempt gets somewhere.
    Progress,
    /// A node or peer says something of itself.
    Report,
    /// The fleet changes, or a fault begins or ends.
    Fleet,
    /// A request comes.
    Arrive,
    /// A client goes.
    Cancel,
    /// A person changes something.
    Control,
    /// A timer of the balancer.
    Wake,
    /// Somebody does something to the run: it has seen everything else of that time.
    Act,
}

/// Something that will happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheduled {
    /// A job of a node reaches its next milestone, unless it was rescheduled since (`turn`).
    Job(NodeId, JobKey, u32),
    /// The steps of a node are over, unless they were put together anew since (by their number).
    Step(NodeId, u32),
    /// A request reaches the balancer.
    Arrive(Box<Request>),
    /// Word that nobody waits for a request any more reaches the balancer.
    Cancel(RequestId),
    /// A dispatched attempt reaches its node.
    Start(NodeId, Work),
    /// An abort reaches the node of its attempt.
    Abort(NodeId, Attempt),
    /// A probe of this balancer reaches its node.
    Probe(u32, NodeId, u32),
    /// An attempt gets so far.
    Progress(Attempt, Progress),
    /// An attempt ends so.
    Finish(Attempt, Outcome),
    /// A probe of this balancer is answered.
    Probed(u32, NodeId, u32, ProbeResult),
    /// The fault of this number begins.
    FaultBegins(u32),
    /// The fault of this number ends.
    FaultEnds(u32),
    /// The node of this start has started.
    Ready(NodeId, u32),
    /// A person changes something.
    Control(Box<Control>),
    /// What a person does is due, by its number.
    Act(u32),
    /// Balancers are told something, or it is read for them.
    Tell(Tell),
    /// This balancer hears how good an answer was.
    Feedback(u32, RequestId, Ratio),
    /// Whoever waits for a node that does nothing about an attempt has no more patience.
    GiveUp(NodeId, Attempt),
    /// A probe of this balancer that asks for a token reaches its node.
    Generate(u32, NodeId, u32),
    /// The fleet changes by a fault.
    Change(Box<FleetChange>),
    /// A stream that somebody reads is looked at for new tokens.
    Look(NodeId, Attempt),
}

/// A step of what balancers are told at intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// What each balancer has in flight is read.
    Share,
    /// What was read arrives at the others.
    Shared,
    /// Nodes say what they have.
    Report,
    /// What they said arrives.
    Reported,
}

/// Where a node schedules what will happen.
pub trait Scheduler {
    /// Schedules something for a time.
    fn schedule(&mut self, at: Time, rank: Rank, due: Scheduled);
}

/// An attempt as its node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The attempt.
    pub attempt: Attempt,
    /// Tokens of the prompt.
    pub prompt: Tokens,
    /// What is true of it.
    pub truth: Truth,
    /// The batch it is part of.
    pub batch: Option<Together>,
}

/// A simulated back end: two cache lines side by side, with all that an attempt asks of it.
#[repr(align(128))]
#[derive(Debug)]
pub struct SimNode {
    /// Keys its noise.
    key: u64,
    backend: Backend,
    /// Faults that are on and what they have in their hands. Apart, since few nodes ever have any.
    faults: Box<FaultState>,
    id: NodeId,
    /// Whether there was a fault. Without one nobody looks at `faults`.
    was_faulty: bool,
}

/// What faults make of a node.
#[derive(Clone, Copy, Debug)]
struct FaultEffects {
    /// What it had is reset.
    reset: bool,
    /// It stands still.
    hangs: bool,
    /// So many times as long take first tokens, and further ones.
    slowdown: Slowdown,
    /// It takes so much instead of what its spec says.
    limits: Limits,
}

/// How many times as long first tokens take, and further ones.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slowdown {
    first: f64,
    further: f64,
}

impl Slowdown {
    const NORMAL: Slowdown = Slowdown { first: 1.0, further: 1.0 };

    /// Returns what takes so long at normal pace and `factor` times as long at this one. Exactly as
    /// it was at normal pace: scaling by one must not round.
    fn scale(span: Span, factor: f64) -> Span {
        if factor.total_cmp(&1.0).is_eq() { span } else { span.scale(factor) }
    }
}

#[derive(Debug)]
enum Backend {
    Slots(slots::Slots),
    // In boxes, so that ten thousand of the small kind are small.
    Api(Box<api::Api>),
    Engine(Box<engine::Engine>),
}

impl SimNode {
    /// A node without work and without faults. `inter_token` is the gap after which the executor
    /// takes a stream for stalled.
    #[must_use]
    pub fn new(id: NodeId, spec: &BackendSpec, seed: u64, inter_token: Option<Span>) -> SimNode {
        SimNode::like(None, id, spec, seed, inter_token)
    }

    /// Nodes as [`SimNode::new`] makes them, by id; neighbours with equal specs share one.
    #[must_use]
    pub fn all(specs: &[BackendSpec], seed: u64, inter_token: Option<Span>) -> Vec<SimNode> {
        let mut nodes: Vec<SimNode> = Vec::with_capacity(specs.len());
        for (id, spec) in specs.iter().enumerate() {
            nodes.push(SimNode::like(nodes.last(), NodeId(id as u32), spec, seed, inter_token));
        }
        nodes
    }

    fn like(
        other: Option<&SimNode>,
        id: NodeId,
        spec: &BackendSpec,
        seed: u64,
        inter_token: Option<Span>,
    ) -> SimNode {
        let backend = match spec {
            BackendSpec::Slots(spec) => {
                let shared = match other.map(|other| &other.backend) {
                    Some(Backend::Slots(other)) if **other.spec() == *spec => other.spec().clone(),
                    _ => Arc::new(spec.clone()),
                };
                Backend::Slots(slots::Slots::new(id, shared))
            }
            BackendSpec::Api(spec, limits) => {
                Backend::Api(Box::new(api::Api::new(id, spec.clone(), *limits, inter_token)))
            }
            BackendSpec::Engine(spec) => {
                let other = match other.map(|other| &other.backend) {
                    Some(Backend::Engine(other)) => Some(&**other),
                    _ => None,
                };
                Backend::Engine(Box::new(engine::Engine::new(id, *spec, inter_token, other)))
            }
        };
        let key = mix(Rng::stream(seed, "nodes").bits(), u64::from(id.0));
        let faults = Box::new(FaultState::new(id, inter_token.unwrap_or(Span::MAX)));
        SimNode { key, backend, faults, id, was_faulty: false }
    }

    /// Says how long the executor waits for a connection; `Span::MAX`, as long as nothing is said, is
    /// for ever.
    pub fn set_connect(&mut self, connect: Span) {
        self.faults.connect = connect;
    }

    /// Takes an attempt, or refuses it. `blocks` is the beginning of its prompt, where that is known.
    /// Returns the error that a fault answers it with, if one does: what is scheduled tells no status.
    pub fn start(
        &mut self,
        now: Time,
        mut work: Work,
        blocks: Blocks<'_>,
        scheduler: &mut impl Scheduler,
    ) -> Option<ErrorAnswer> {
        let key = self.draws(&work);
        let mut stretch = 1.0;
        if self.has_faults() {
            match self.meet(now, &mut work, key, scheduler) {
                Ok(factor) => stretch = factor,
                Err(answer) => return answer,
            }
        }
        let mut rng = Rng::from_key(key);
        let fault_state = self.was_faulty.then_some(&mut *self.faults);
        let scheduler = &mut FaultFilter { fault_state, scheduler };
        match &mut self.backend {
            Backend::Slots(slots) => slots.start(now, &work, stretch, &mut rng, scheduler),
            Backend::Api(api) => api.start(now, &work, stretch, &mut rng, scheduler),
            Backend::Engine(engine) => engine.start(now, work, stretch, blocks, scheduler),
        }
        None
    }

    /// An attempt meets the faults that are on. Returns how many times as long it takes.
    ///
    /// # Errors
    /// If it does not get as far as the back end: what it is answered, if it is answered an error.
    fn meet(
        &mut self,
        now: Time,
        work: &mut Work,
        key: u64,
        scheduler: &mut impl Scheduler,
    ) -> Result<f64, Option<ErrorAnswer>> {
        let attempt = work.attempt;
        let mut refuse = |after: Span, outcome: Outcome| {
            scheduler.schedule(now + after, Rank::Finish, Scheduled::Finish(attempt, outcome));
        };
        let failed = |failure| Outcome::Failed(failure, Usage::default());
        match self.reachability(Some(key)) {
            Reachability::Gone => {
                refuse(REFUSED_AFTER, failed(Failure::Refused));
                return Err(None);
            }
            Reachability::Lost => {
                let patience = self.faults.connect;
                self.faults.hold(now, attempt, patience, failed(Failure::Refused), scheduler);
                return Err(None);
            }
            Reachability::Loading => {
                refuse(ERROR_AFTER, failed(Failure::Overloaded));
                return Err(None);
            }
            Reachability::Error(answer) => {
                refuse(ERROR_AFTER, answer.outcome());
                return Err(Some(answer));
            }
            Reachability::Open if self.is_too_long(work) => {
                refuse(ERROR_AFTER, failed(Failure::TooLong));
                return Err(None);
            }
            // Where it hangs it is accepted, and stands still with all the others.
            Reachability::Hung | Reachability::Open => {}
        }
        let mut stretch = 1.0;
        // After so many tokens, and how: of several cuts the earliest, of equal ones the first to
        // begin.
        let mut cut: Option<(u32, Cut)> = None;
        for (number, kind) in &self.faults.on {
            match *kind {
                FaultKind::Gray(share, factor) if hits(key, *number, share) => stretch *= factor,
                FaultKind::Cut(share, how, tokens) if hits(key, *number, share) => {
                    let after = if how == Cut::ErrorEvent { 0 } else { tokens.max(1) };
                    cut = cut.filter(|(before, _)| *before <= after).or(Some((after, how)));
                }
                _ => {}
            }
        }
        if let Some((after, how)) = cut {
            work.truth.output = work.truth.output.min(Tokens(u64::from(after.max(1))));
            self.faults.cut(attempt, how);
        }
        Ok(stretch)
    }

    /// Returns whether a fault makes the context too short for an attempt.
    fn is_too_long(&self, work: &Work) -> bool {
        let tokens = work.prompt.0.saturating_add(work.truth.output.0);
        self.has(|kind| matches!(kind, FaultKind::Context(most) if tokens > most.0))
    }

    /// Returns whether a fault is on.
    fn has_faults(&self) -> bool {
        self.was_faulty && !self.faults.on.is_empty()
    }

    /// Stops an attempt, and confirms it; silent if it has already ended.
    pub fn abort(&mut self, now: Time, attempt: Attempt, scheduler: &mut impl Scheduler) {
        let held = if self.was_faulty { self.faults.abort(attempt) } else { None };
        let usage = held.or_else(|| match &mut self.backend {
            Backend::Slots(slots) => slots.abort(now, attempt, scheduler),
            Backend::Api(api) => api.abort(now, attempt),
            Backend::Engine(engine) => engine.abort(now, attempt, scheduler),
        });
        if let Some(usage) = usage
            && (!self.was_faulty || self.faults.aborted(attempt))
        {
            scheduler.schedule(
                now,
                Rank::Finish,
                Scheduled::Finish(attempt, Outcome::Aborted(usage)),
            );
        }
    }

    /// Whoever waits for a node that does nothing about an attempt has no more patience. Returns what
    /// the balancer hears of it, unless the attempt is over.
    pub fn give_up(&mut self, attempt: Attempt) -> Option<Input> {
        self.faults.give_up(attempt)
    }

    /// A job reaches its milestone. Returns what the balancer hears of it, if anything.
    pub fn fire(
        &mut self,
        now: Time,
        job: JobKey,
        turn: u32,
        scheduler: &mut impl Scheduler,
    ) -> Option<Input> {
        let fault_state = self.was_faulty.then_some(&mut *self.faults);
        let mut scheduler = FaultFilter { fault_state, scheduler };
        let said = match &mut self.backend {
            Backend::Slots(slots) => slots.fire(now, job, turn, &mut scheduler),
            Backend::Api(api) => api.fire(now, job, turn, &mut scheduler),
            Backend::Engine(engine) => engine.fire(now, job, turn, &mut scheduler),
        };
        scheduler.heard(now, said)
    }

    /// Steps are over at `now`. Returns what the balancer hears of them first; more is scheduled.
    pub fn step(
        &mut self,
        now: Time,
        number: u32,
        scheduler: &mut impl Scheduler,
    ) -> Option<Input> {
        let fault_state = self.was_faulty.then_some(&mut *self.faults);
        let mut scheduler = FaultFilter { fault_state, scheduler };
        let said = match &mut self.backend {
            Backend::Slots(_) | Backend::Api(_) => None,
            Backend::Engine(engine) => engine.step(number, &mut scheduler),
        };
        scheduler.heard(now, said)
    }

    /// Returns what it says of itself; a node that is down or hangs says nothing.
    #[must_use]
    pub fn report(&self, now: Time) -> Option<NodeReport> {
        if !self.has_faults() {
            return Some(self.true_report(now));
        }
        let missing = FaultKind::Reports(ReportLie::Missing);
        if self.reachability(None).is_silent() || self.has(|kind| *kind == missing) {
            return None;
        }
        if self.has(|kind| *kind == FaultKind::Reports(ReportLie::Absurd)) {
            return Some(NodeReport {
                running: u32::MAX,
                waiting: u32::MAX,
                kv_used: Ratio(u32::MAX),
                requests_left: Some(u64::MAX),
                tokens_left: Some(Tokens(u64::MAX)),
                ..NodeReport::default()
            });
        }
        Some(self.faults.report.unwrap_or_else(|| self.true_report(now)))
    }

    /// Use of an engine's KV cache counts from then on.
    pub fn measure_from(&mut self, from: Time) {
        if let Backend::Engine(engine) = &mut self.backend {
            engine.measure_from(from);
        }
    }

    /// Returns how much of its KV cache an engine used by `now`.
    #[must_use]
    pub fn kv_use(&self, now: Time) -> Option<KvUse> {
        match &self.backend {
            Backend::Engine(engine) => Some(engine.kv_use(now)),
            Backend::Slots(_) | Backend::Api(_) => None,
        }
    }

    fn true_report(&self, now: Time) -> NodeReport {
        match &self.backend {
            Backend::Slots(slots) => slots.report(),
            Backend::Api(api) => api.report(now),
            Backend::Engine(engine) => engine.report(now),
        }
    }

    /// Answers a probe of a balancer, unless it hangs.
    pub fn probe(&self, now: Time, by: u32, number: u32, scheduler: &mut impl Scheduler) {
        let lie = self.faults.on.iter().rev().find_map(|(_, kind)| match kind {
            FaultKind::Probes(lie) => Some(*lie),
            _ => None,
        });
        let result = match (lie, self.reachability(None)) {
            (Some(ProbeLie::Green), _) | (None, Reachability::Error(_) | Reachability::Open) => {
                Some(ProbeResult::Healthy)
            }
            (_, Reachability::Gone) => Some(ProbeResult::Failed(Failure::Refused)),
            (_, Reachability::Lost | Reachability::Hung) => None,
            (Some(ProbeLie::Red), _) | (_, Reachability::Loading) => {
                Some(ProbeResult::Failed(Failure::ServerError))
            }
        };
        self.answer_probe(now, by, number, result, scheduler);
    }

    /// Answers a probe that asks for one token, unless it hangs.
    pub fn generate(&self, now: Time, by: u32, number: u32, scheduler: &mut impl Scheduler) {
        let key = mix(mix(self.key, u64::from(by)), u64::from(number));
        let result = match self.reachability(Some(key)) {
            Reachability::Gone => Some(ProbeResult::Failed(Failure::Refused)),
            Reachability::Lost | Reachability::Hung => None,
            Reachability::Loading => Some(ProbeResult::Failed(Failure::Overloaded)),
            Reachability::Error(answer) => Some(match answer.outcome() {
                Outcome::Failed(failure, _) => ProbeResult::Failed(failure),
                // A node that asks for a pause is alive.
                _ => ProbeResult::Healthy,
            }),
            Reachability::Open => Some(ProbeResult::Healthy),
        };
        self.answer_probe(now, by, number, result, scheduler);
    }

    fn answer_probe(
        &self,
        now: Time,
        by: u32,
        number: u32,
        result: Option<ProbeResult>,
        scheduler: &mut impl Scheduler,
    ) {
        let Some(result) = result else { return };
        let refused = result == ProbeResult::Failed(Failure::Refused);
        let after = if refused { REFUSED_AFTER } else { PROBE_AFTER };
        scheduler.schedule(
            now + after,
            Rank::Report,
            Scheduled::Probed(by, self.id, number, result),
        );
    }

    /// A fault begins.
    pub fn fault(
        &mut self,
        now: Time,
        number: u32,
        kind: FaultKind,
        scheduler: &mut impl Scheduler,
    ) {
        let stale = kind == FaultKind::Reports(ReportLie::Stale);
        let report = stale.then(|| self.true_report(now));
        self.was_faulty = true;
        self.faults.report = report.or(self.faults.report);
        self.faults.on.push((number, kind));
        if kind == FaultKind::CacheLoss {
            if let Backend::Engine(engine) = &mut self.backend {
                engine.lose_cache();
            }
            return;
        }
        self.apply_faults(now, kind == FaultKind::ColdStart, scheduler);
    }

    /// A fault ends. Returns whether it was on.
    pub fn heal(&mut self, now: Time, number: u32, scheduler: &mut impl Scheduler) -> bool {
        let before = self.faults.on.len();
        self.faults.on.retain(|(other, _)| *other != number);
        self.healed(now, scheduler);
        self.faults.on.len() < before
    }

    /// Every fault ends. Returns whether one was on.
    pub fn heal_all(&mut self, now: Time, scheduler: &mut impl Scheduler) -> bool {
        let any = self.has_faults();
        self.faults.on.clear();
        self.healed(now, scheduler);
        any
    }

    fn healed(&mut self, now: Time, scheduler: &mut impl Scheduler) {
        let stale = FaultKind::Reports(ReportLie::Stale);
        if !self.has(|kind| *kind == stale) {
            self.faults.report = None;
        }
        self.apply_faults(now, false, scheduler);
    }

    /// Returns the faults that are on with their numbers, in the order they began.
    pub fn numbered_faults(&self) -> impl Iterator<Item = (u32, FaultKind)> + '_ {
        self.faults.on.iter().copied()
    }

    /// Returns the faults that are on, in the order they began.
    pub fn faults(&self) -> impl Iterator<Item = FaultKind> + '_ {
        self.faults.on.iter().map(|(_, kind)| *kind)
    }

    /// Returns how many tokens of an answer have come by now; `None` if it has no tokens on the way
    /// or is over.
    #[must_use]
    pub fn came(&self, now: Time, attempt: Attempt) -> Option<Tokens> {
        match &self.backend {
            Backend::Slots(_) => None,
            Backend::Api(api) => api.came(now, attempt),
            Backend::Engine(engine) => engine.came(now, attempt),
        }
    }

    /// Returns what is left of the limits a minute.
    #[must_use]
    pub fn quota(&self, now: Time) -> RemainingQuota {
        match &self.backend {
            Backend::Slots(_) | Backend::Engine(_) => RemainingQuota::default(),
            Backend::Api(api) => api.quota(now),
        }
    }

    /// Brings the work in progress in line with the faults that are on; `reset` loses all of it.
    fn apply_faults(&mut self, now: Time, reset: bool, scheduler: &mut impl Scheduler) {
        let mut effects = FaultEffects {
            reset: reset || self.crashed(),
            hangs: self.has(FaultKind::is_silent),
            slowdown: Slowdown::NORMAL,
            limits: Limits::default(),
        };
        for (_, kind) in &self.faults.on {
            match kind {
                FaultKind::Slow(factor) => {
                    effects.slowdown.first *= factor;
                    effects.slowdown.further *= factor;
                }
                FaultKind::Pace(first, further) => {
                    effects.slowdown.first *= first;
                    effects.slowdown.further *= further;
                }
                FaultKind::Capacity(limits) => {
                    let all = &mut effects.limits;
                    all.concurrency = limits.concurrency.or(all.concurrency);
                    let requests = limits.requests_per_minute;
                    all.requests_per_minute = requests.or(all.requests_per_minute);
                    all.tokens_per_minute = limits.tokens_per_minute.or(all.tokens_per_minute);
                }
                _ => {}
            }
        }
        let fault_state = self.was_faulty.then_some(&mut *self.faults);
        let scheduler = &mut FaultFilter { fault_state, scheduler };
        match &mut self.backend {
            Backend::Slots(slots) => slots.apply_faults(now, &effects, scheduler),
            Backend::Api(api) => api.apply_faults(now, &effects, scheduler),
            Backend::Engine(engine) => engine.apply_faults(now, &effects, scheduler),
        }
    }

    fn has(&self, which: impl Fn(&FaultKind) -> bool) -> bool {
        self.faults.on.iter().any(|(_, kind)| which(kind))
    }

    /// Returns whether it is gone: a crash is on.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.has(|kind| matches!(kind, FaultKind::Crash))
    }
}

/// Draws whether the fault of this number hits the attempt of this key.
fn hits(key: u64, number: u32, share: Ratio) -> bool {
    Rng::from_key(mix(key, u64::from(number) + 1)).unit() < share.value()
}

impl FaultKind {
    /// Returns whether nothing is heard of the node and what it has stands still.
    const fn is_silent(&self) -> bool {
        matches!(self, FaultKind::Hang | FaultKind::BlackHole)
    }
}

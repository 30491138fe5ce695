//! What a simulated back end does with an attempt: queues it, works on it, fails it.
//!
//! A node is told of starts, aborts, probes and faults, and answers by entering what will happen
//! into its driver's agenda. It knows the `Truth` of a request; the balancer does not. A node draws
//! its noise from a stream keyed by (request, node), so two strategies that send a request to the
//! same node see the same service time (common random numbers).

pub mod api;
mod cache;
pub mod engine;
pub mod fault;
mod outlook;
pub mod slots;
mod work;

use std::sync::Arc;

use crate::balance::{
    Attempt, Control, Failure, Input, Limits, NodeReport, Outcome, ProbeResult, Progress, Request,
    Together, Usage,
};
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, Ratio, RequestId, Span, Time, Tokens};
use crate::workload::Truth;

pub use api::{Allowance, Quota};
pub use cache::ENTRIES_MAX;
pub use fault::{Answer, FaultKind, FaultSpec};
pub use outlook::Outlook;
pub use work::JobKey;

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
    Slots(slots::Spec),
    /// A hosted model: time to first token and speed drawn for each request, limits answered 429.
    Api(api::Spec, Limits),
    /// A self-hosted engine with continuous batching.
    Engine(engine::Spec),
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
}

/// Something that will happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
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
    /// Balancers are told something, or it is read for them.
    Tell(Tell),
    /// This balancer hears how good an answer was.
    Feedback(u32, RequestId, Ratio),
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

/// Where a node enters what will happen.
pub trait Diary {
    /// Enters something at a time.
    fn enter(&mut self, at: Time, rank: Rank, due: Due);
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

/// What is known of the beginning of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks<'a> {
    /// Chained hashes of its blocks; see [`Request::prefix`](crate::balance::Request).
    pub hashes: &'a [u64],
    /// Tokens that a hash stands for; zero where there is none.
    pub tokens: u32,
}

impl Work {
    /// What it uses if it is served whole.
    const fn usage(&self) -> Usage {
        Usage { input: self.prompt, cached: Tokens::ZERO, output: self.truth.output }
    }
}

/// A simulated back end.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    /// Keys its noise.
    key: u64,
    backend: Backend,
    /// Faults that are on, by number.
    faults: Vec<(u32, FaultKind)>,
}

#[derive(Debug)]
enum Backend {
    Slots(slots::Slots),
    // In boxes, so that ten thousand of the small kind are small.
    Api(Box<api::Api>),
    Engine(Box<engine::Engine>),
}

impl Node {
    /// A node without work and without faults. `inter_token` is the gap after which the executor
    /// takes a stream for stalled.
    #[must_use]
    pub fn new(id: NodeId, spec: &BackendSpec, seed: u64, inter_token: Option<Span>) -> Node {
        Node::like(None, id, spec, seed, inter_token)
    }

    /// Nodes as [`Node::new`] makes them, by id; neighbours with equal specs share one.
    #[must_use]
    pub fn all(specs: &[BackendSpec], seed: u64, inter_token: Option<Span>) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::with_capacity(specs.len());
        for (id, spec) in specs.iter().enumerate() {
            nodes.push(Node::like(nodes.last(), NodeId(id as u32), spec, seed, inter_token));
        }
        nodes
    }

    fn like(
        other: Option<&Node>,
        id: NodeId,
        spec: &BackendSpec,
        seed: u64,
        inter_token: Option<Span>,
    ) -> Node {
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
                Backend::Engine(Box::new(engine::Engine::new(id, *spec, inter_token)))
            }
        };
        let key = mix(Rng::stream(seed, "nodes").bits(), u64::from(id.0));
        Node { id, key, backend, faults: Vec::new() }
    }

    /// Takes an attempt, or refuses it. `blocks` is the beginning of its prompt, where that is known.
    pub fn start(&mut self, now: Time, work: Work, blocks: Blocks<'_>, diary: &mut impl Diary) {
        let key = self.draws(&work);
        if self.crashed() {
            let refused = Outcome::Failed(Failure::Refused, Usage::default());
            diary.enter(now + REFUSED_AFTER, Rank::Finish, Due::Finish(work.attempt, refused));
        } else if let Some(answer) = self.error(key) {
            let answer = answer.outcome();
            diary.enter(now + ERROR_AFTER, Rank::Finish, Due::Finish(work.attempt, answer));
        } else {
            let mut rng = Rng::from_key(key);
            match &mut self.backend {
                Backend::Slots(slots) => slots.start(now, work, &mut rng, diary),
                Backend::Api(api) => api.start(now, work, &mut rng, diary),
                Backend::Engine(engine) => engine.start(now, work, blocks, diary),
            }
        }
    }

    /// Stops an attempt, and confirms it; silent if it has already ended.
    pub fn abort(&mut self, now: Time, attempt: Attempt, diary: &mut impl Diary) {
        let usage = match &mut self.backend {
            Backend::Slots(slots) => slots.abort(now, attempt, diary),
            Backend::Api(api) => api.abort(now, attempt),
            Backend::Engine(engine) => engine.abort(now, attempt, diary),
        };
        if let Some(usage) = usage {
            diary.enter(now, Rank::Finish, Due::Finish(attempt, Outcome::Aborted(usage)));
        }
    }

    /// A job reaches its milestone. Returns what the balancer hears of it, if anything.
    pub fn fire(
        &mut self,
        now: Time,
        job: JobKey,
        turn: u32,
        diary: &mut impl Diary,
    ) -> Option<Input> {
        match &mut self.backend {
            Backend::Slots(slots) => slots.fire(now, job, turn, diary),
            Backend::Api(api) => api.fire(now, job, turn, diary),
            Backend::Engine(engine) => engine.fire(now, job, turn, diary),
        }
    }

    /// Steps are over. Returns what the balancer hears of them first; more is entered for now.
    pub fn step(&mut self, number: u32, diary: &mut impl Diary) -> Option<Input> {
        match &mut self.backend {
            Backend::Slots(_) | Backend::Api(_) => None,
            Backend::Engine(engine) => engine.step(number, diary),
        }
    }

    /// Returns what it says of itself; a node that is down or hangs says nothing.
    #[must_use]
    pub fn report(&self, now: Time) -> Option<NodeReport> {
        let silent = self.has(|kind| matches!(kind, FaultKind::Crash | FaultKind::Hang));
        let report = || match &self.backend {
            Backend::Slots(slots) => slots.report(),
            Backend::Api(api) => api.report(now),
            Backend::Engine(engine) => engine.report(now),
        };
        (!silent).then(report)
    }

    /// Answers a probe of a balancer, unless it hangs.
    pub fn probe(&self, now: Time, by: u32, number: u32, diary: &mut impl Diary) {
        let (after, result) = if self.crashed() {
            (REFUSED_AFTER, ProbeResult::Failed(Failure::Refused))
        } else if self.hangs() {
            return;
        } else {
            (PROBE_AFTER, ProbeResult::Healthy)
        };
        diary.enter(now + after, Rank::Report, Due::Probed(by, self.id, number, result));
    }

    /// A fault begins.
    pub fn fault(&mut self, now: Time, number: u32, kind: FaultKind, diary: &mut impl Diary) {
        self.faults.push((number, kind));
        self.suffer(now, diary);
    }

    /// A fault ends. Returns whether it was on.
    pub fn heal(&mut self, now: Time, number: u32, diary: &mut impl Diary) -> bool {
        let before = self.faults.len();
        self.faults.retain(|(other, _)| *other != number);
        self.suffer(now, diary);
        self.faults.len() < before
    }

    /// Every fault ends. Returns whether one was on.
    pub fn heal_all(&mut self, now: Time, diary: &mut impl Diary) -> bool {
        let any = !self.faults.is_empty();
        self.faults.clear();
        self.suffer(now, diary);
        any
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
    pub fn quota(&self, now: Time) -> Quota {
        match &self.backend {
            Backend::Slots(_) | Backend::Engine(_) => Quota::default(),
            Backend::Api(api) => api.quota(now),
        }
    }

    /// Brings the work in progress in line with the faults that are on.
    fn suffer(&mut self, now: Time, diary: &mut impl Diary) {
        let crashed = self.crashed();
        let hangs = self.hangs();
        let slow = self.faults.iter().fold(1.0, |slow, (_, kind)| match kind {
            FaultKind::Slow(factor) => slow * factor,
            _ => slow,
        });
        match &mut self.backend {
            Backend::Slots(slots) => slots.suffer(now, crashed, hangs, slow, diary),
            Backend::Api(api) => api.suffer(now, crashed, hangs, slow, diary),
            Backend::Engine(engine) => engine.suffer(now, crashed, hangs, slow, diary),
        }
    }

    fn has(&self, which: impl Fn(&FaultKind) -> bool) -> bool {
        self.faults.iter().any(|(_, kind)| which(kind))
    }

    /// Returns whether it is gone: a crash is on.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.has(|kind| matches!(kind, FaultKind::Crash))
    }

    /// Returns the error that this attempt is answered with, if a fault says so.
    fn error(&self, key: u64) -> Option<Answer> {
        self.faults.iter().find_map(|(number, kind)| match kind {
            FaultKind::Errors(share, answer) => {
                let draw = Rng::from_key(mix(key, u64::from(*number) + 1)).unit();
                (draw < share.value()).then_some(*answer)
            }
            _ => None,
        })
    }
}

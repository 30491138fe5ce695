//! The one owner of all mock nodes: the same `node::SimNode` as in the simulation, on the wall clock.
//!
//! HTTP handlers send messages and hear through a watch of their own what became of their attempt: the
//! newest state only, so a slow reader costs nothing. Nodes enter what will happen into an agenda, and
//! a timer fires for its first entry. A node is told the time at which a thing was due, not the
//! somewhat later one at which the timer fired, so lateness does not add up.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::MockParts;
use crate::balance::{Attempt, Failure, Input, Outcome, ProbeResult, Progress};
use crate::node::{
    Agenda, Blocks, ErrorAnswer, FaultKind, FaultSchedule, FaultSpec, Rank, RemainingQuota,
    Scheduled, Scheduler, SimNode, Work,
};
use crate::unit::{NodeId, Span, Time, Tokens};

/// A stream is looked at so often for new tokens: at most forty events a second.
const TICK: Span = Span::from_millis(25);

/// At most so many faults are asked for by hand.
const FAULTS_MAX: usize = 20_000;

/// What the owner is told.
#[derive(Debug)]
pub(super) enum OwnerMessage {
    /// A node gets an attempt.
    Start(NodeId, Work, watch::Sender<AttemptProgress>),
    /// The client of an attempt went away.
    Abort(NodeId, Attempt),
    /// A health check. Never answered while the node hangs.
    Probe(NodeId, oneshot::Sender<ProbeResult>),
    /// Something goes wrong from now on; answered when it does, with `false` if there are too many.
    Fault(FaultSpec, oneshot::Sender<bool>),
    /// Every fault of these nodes ends.
    Heal(Vec<NodeId>, oneshot::Sender<()>),
    /// Begin anew: time zero is now.
    Restart(oneshot::Sender<()>),
    /// How many of what, by node.
    Stats(oneshot::Sender<Vec<NodeCounts>>),
}

/// What a handler knows of its attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttemptProgress {
    /// Tokens of the answer so far.
    pub(super) came: Tokens,
    /// How it ended.
    pub(super) end: Option<Outcome>,
    /// What was left of the node's limits when it was last looked at.
    pub(super) quota: RemainingQuota,
    /// The error that a fault answers it with.
    pub(super) answer: Option<ErrorAnswer>,
}

/// What became of the attempts of a node: `started` is the sum of all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Attempts the node was given.
    pub started: u64,
    /// Answered whole.
    pub finished: u64,
    /// Answered with an error: 429, 500 or 503.
    pub refused: u64,
    /// Cut off by a crash, or given to a crashed node.
    pub reset: u64,
    /// Left by their client.
    pub aborted: u64,
    /// Under way.
    pub in_flight: u64,
}

/// Whether a node can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Power {
    /// It is crashed now.
    pub(super) down: bool,
    /// How often it has crashed: short crashes are not to be overlooked.
    pub(super) crashes: u64,
}

#[derive(Debug)]
struct OpenAttempt {
    node: NodeId,
    progress: watch::Sender<AttemptProgress>,
}

/// All nodes and what will happen to them.
#[derive(Debug)]
pub(super) struct Owner {
    parts: MockParts,
    began: Instant,
    nodes: Vec<SimNode>,
    agenda: Agenda,
    flights: BTreeMap<Attempt, OpenAttempt>,
    probes: BTreeMap<u32, oneshot::Sender<ProbeResult>>,
    probed: u32,
    faults: FaultSchedule,
    /// So many were asked for by hand.
    by_hand: usize,
    counts: Vec<NodeCounts>,
    power: Vec<watch::Sender<Power>>,
}

impl Owner {
    /// The nodes at time zero; one power switch a node.
    pub(super) fn new(parts: MockParts, power: Vec<watch::Sender<Power>>) -> Owner {
        let mut owner = Owner {
            parts,
            began: Instant::now(),
            nodes: Vec::new(),
            agenda: Agenda::default(),
            flights: BTreeMap::new(),
            probes: BTreeMap::new(),
            probed: 0,
            faults: FaultSchedule::default(),
            by_hand: 0,
            counts: Vec::new(),
            power,
        };
        owner.restart();
        owner
    }

    /// Runs until nobody can say anything any more.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<OwnerMessage>) {
        loop {
            self.settle();
            let next = self.agenda.first().map(|at| self.instant(at));
            tokio::select! {
                // What is due goes first: a flood of messages must not hold up the clock.
                biased;
                () = sleep_until(next.unwrap_or(self.began)), if next.is_some() => {}
                message = inbox.recv() => match message {
                    Some(message) => self.hear(message),
                    None => return,
                },
            }
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Time) -> Instant {
        // Further than a year ahead is not representable on every system, and soon enough.
        const FAR: u64 = 365 * 86_400 * 1_000_000_000;
        self.began + Duration::from_nanos(at.0.min(FAR))
    }

    /// Everything as at time zero. Attempts under way are forgotten: their handlers hear it from
    /// their closed watch.
    fn restart(&mut self) {
        let seed = self.parts.seed;
        let backends = self.parts.backends.iter().enumerate();
        // Clients watch for stalls themselves.
        let node = |(id, spec)| SimNode::new(NodeId(id as u32), spec, seed, None);
        self.nodes = backends.map(node).collect();
        self.counts = vec![NodeCounts::default(); self.nodes.len()];
        self.flights.clear();
        self.probes.clear();
        self.agenda = Agenda::default();
        let (faults, rules) = (self.parts.faults.clone(), self.parts.fault_rules.clone());
        self.faults = FaultSchedule::new(faults, rules, seed, &mut self.agenda);
        self.by_hand = 0;
        self.began = Instant::now();
        let all: Vec<NodeId> = (0..self.nodes.len() as u32).map(NodeId).collect();
        self.switch(&all);
    }

    /// Lets everything happen that is due.
    fn settle(&mut self) {
        let now = self.now();
        while let Some((at, due)) = self.agenda.take(now) {
            self.come_due(at, &due);
        }
    }

    fn come_due(&mut self, at: Time, due: &Scheduled) {
        match *due {
            Scheduled::Job(node, job, turn) => {
                let input = self.nodes[node.index()].fire(at, job, turn, &mut self.agenda);
                self.say(at, input.as_ref());
            }
            Scheduled::Step(node, number) => {
                let input = self.nodes[node.index()].step(at, number, &mut self.agenda);
                self.say(at, input.as_ref());
            }
            Scheduled::Progress(attempt, progress) => {
                self.say(at, Some(&Input::Progress(attempt, progress)));
            }
            Scheduled::Finish(attempt, outcome) => self.end(at, attempt, outcome),
            Scheduled::Probed(_, _, number, result) => {
                if let Some(reply) = self.probes.remove(&number) {
                    let _ = reply.send(result);
                }
            }
            Scheduled::GiveUp(node, attempt) => {
                let input = self.nodes[node.index()].give_up(attempt);
                self.say(at, input.as_ref());
            }
            Scheduled::Look(node, attempt) => self.look(at, node, attempt),
            Scheduled::FaultBegins(number) => self.begin_fault(at, number),
            Scheduled::FaultEnds(number) => self.end_fault(at, number),
            // Clients and balancer are at the other end of a real network, and mocks are started and
            // stopped by hand.
            Scheduled::Arrive(_)
            | Scheduled::Cancel(_)
            | Scheduled::Start(..)
            | Scheduled::Abort(..)
            | Scheduled::Probe(..)
            | Scheduled::Control(_)
            | Scheduled::Act(_)
            | Scheduled::Tell(_)
            | Scheduled::Feedback(..)
            | Scheduled::Generate(..)
            | Scheduled::Change(_)
            | Scheduled::Ready(..) => {}
        }
    }

    /// Tells a handler what its node has said.
    fn say(&mut self, at: Time, input: Option<&Input>) {
        match input {
            Some(&Input::Progress(attempt, Progress::FirstToken)) => {
                let Some(node) = self.flights.get(&attempt).map(|flight| flight.node) else {
                    return;
                };
                self.tell(at, node, attempt, Tokens(1));
                self.agenda.schedule(at + TICK, Rank::Progress, Scheduled::Look(node, attempt));
            }
            Some(&Input::Finish(attempt, outcome)) => self.end(at, attempt, outcome),
            _ => {}
        }
    }

    fn look(&mut self, at: Time, node: NodeId, attempt: Attempt) {
        if let Some(came) = self.nodes[node.index()].came(at, attempt) {
            self.tell(at, node, attempt, came);
            self.agenda.schedule(at + TICK, Rank::Progress, Scheduled::Look(node, attempt));
        }
    }

    fn tell(&self, at: Time, node: NodeId, attempt: Attempt, came: Tokens) {
        if let Some(flight) = self.flights.get(&attempt) {
            let quota = self.nodes[node.index()].quota(at);
            flight.progress.send_if_modified(|progress| {
                progress.quota = quota;
                let more = came > progress.came;
                progress.came = progress.came.max(came);
                more
            });
        }
    }

    fn end(&mut self, at: Time, attempt: Attempt, outcome: Outcome) {
        let Some(flight) = self.flights.remove(&attempt) else {
            return;
        };
        let counts = &mut self.counts[flight.node.index()];
        counts.in_flight -= 1;
        match outcome {
            Outcome::Done(_) | Outcome::Scored(..) => counts.finished += 1,
            Outcome::Aborted(_) => counts.aborted += 1,
            Outcome::Failed(Failure::Reset | Failure::Refused, _) => counts.reset += 1,
            Outcome::Failed(..) | Outcome::RateLimited { .. } | Outcome::Busy { .. } => {
                counts.refused += 1;
            }
        }
        let quota = self.nodes[flight.node.index()].quota(at);
        flight
            .progress
            .send_modify(|progress| (progress.end, progress.quota) = (Some(outcome), quota));
    }

    fn hear(&mut self, message: OwnerMessage) {
        self.settle();
        let now = self.now();
        match message {
            OwnerMessage::Start(node, work, progress) => {
                let counts = &mut self.counts[node.index()];
                counts.started += 1;
                counts.in_flight += 1;
                // Nobody counts the blocks of a text: a mock finds no prompt again.
                let blocks = Blocks::default();
                let there = &mut self.nodes[node.index()];
                let answer = there.start(now, work, blocks, &mut self.agenda);
                progress.send_if_modified(|progress| {
                    progress.answer = answer;
                    false
                });
                self.flights.insert(work.attempt, OpenAttempt { node, progress });
            }
            OwnerMessage::Abort(node, attempt) => {
                self.nodes[node.index()].abort(now, attempt, &mut self.agenda);
            }
            OwnerMessage::Probe(node, reply) => self.probe(now, node, reply),
            OwnerMessage::Fault(fault, reply) => {
                let _ = reply.send(self.fault(now, fault));
            }
            OwnerMessage::Heal(nodes, reply) => {
                for node in &nodes {
                    self.nodes[node.index()].heal_all(now, &mut self.agenda);
                }
                self.switch(&nodes);
                let _ = reply.send(());
            }
            OwnerMessage::Restart(reply) => {
                self.restart();
                self.settle();
                let _ = reply.send(());
            }
            OwnerMessage::Stats(reply) => {
                let _ = reply.send(self.counts.clone());
            }
        }
    }

    fn probe(&mut self, now: Time, node: NodeId, reply: oneshot::Sender<ProbeResult>) {
        // Those who asked a hanging node and went away leave their question behind.
        self.probes.retain(|_, reply| !reply.is_closed());
        self.probed = self.probed.wrapping_add(1);
        self.probes.insert(self.probed, reply);
        self.nodes[node.index()].probe(now, 0, self.probed, &mut self.agenda);
    }

    /// A fault asked for by hand. Returns whether it is on.
    fn fault(&mut self, now: Time, fault: FaultSpec) -> bool {
        if self.by_hand >= FAULTS_MAX {
            return false;
        }
        self.by_hand += 1;
        self.faults.by_hand(FaultSpec { at: now, ..fault }, &mut self.agenda);
        // What a crash cuts off is over when the answer to this is read.
        self.settle();
        true
    }

    fn begin_fault(&mut self, at: Time, number: u32) {
        let FaultSpec { kind, nodes, .. } = self.faults.fault(number).clone();
        for node in &nodes {
            self.nodes[node.index()].fault(at, number, kind, &mut self.agenda);
            if matches!(kind, FaultKind::Crash | FaultKind::ColdStart) {
                self.power[node.index()].send_modify(|power| {
                    let down = kind == FaultKind::Crash;
                    *power = Power { down, crashes: power.crashes + 1 };
                });
            }
        }
        self.switch(&nodes);
    }

    fn end_fault(&mut self, at: Time, number: u32) {
        let nodes = self.faults.fault(number).nodes.clone();
        for node in &nodes {
            self.nodes[node.index()].heal(at, number, &mut self.agenda);
        }
        self.switch(&nodes);
        self.faults.over(at, number, &mut self.agenda);
    }

    /// Brings the listeners of these nodes in line with their faults.
    fn switch(&self, nodes: &[NodeId]) {
        for node in nodes {
            let down = self.nodes[node.index()].crashed();
            self.power[node.index()].send_if_modified(|power| {
                let changed = power.down != down;
                power.down = down;
                changed
            });
        }
    }
}

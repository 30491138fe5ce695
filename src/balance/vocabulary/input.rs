//! What the balancer hears: every fact from outside, the only way in.

use super::job::JobNews;
use super::outcome::{Attempt, Outcome, ProbeResult, Progress};
use super::report::{NodeReport, PeerLoad};
use super::request::{Request, SessionKey};
use crate::balance::spec::node::{Limits, NodeSpec, Prices};
use crate::balance::strategy::StrategySpec;
use crate::unit::{ClassId, NodeId, PeerId, PoolId, Ratio, RequestId, RouteId, Time};

/// A fact from outside. The only way in.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A request came in.
    Arrive(Request),
    /// An attempt is getting somewhere.
    Progress(Attempt, Progress),
    /// The node of an attempt keeps something that later requests will name so.
    Keeps(Attempt, SessionKey),
    /// An attempt is over. Exactly once per dispatched attempt, aborted ones included.
    Finish(Attempt, Outcome),
    /// The answer to a probe, by its number.
    Probed(NodeId, u32, ProbeResult),
    /// What a node says of itself.
    Report(NodeId, NodeReport),
    /// What another balancer instance has in flight.
    Peer(PeerId, PeerLoad),
    /// The fleet is now different.
    Fleet(FleetChange),
    /// A person changed something.
    Control(Control),
    /// The client went away.
    Cancel(RequestId),
    /// Something happened to a job. The balancer repeats it as an event and otherwise takes no
    /// notice.
    Job(JobNews),
    /// The time asked for by `wake_at` has come.
    Wake,
    /// How good the answer to a request was, from zero to one, in the word of whoever asked. Comes
    /// after its end, if it comes.
    Feedback(RequestId, Ratio),
    /// How good an answer is in truth. The balancer repeats it as an event and otherwise takes no
    /// notice: it is for reports of simulations.
    Graded(Grade),
}

/// How good a delivered answer is in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    /// Whose answer.
    pub request: RequestId,
    /// The class of the request.
    pub class: ClassId,
    /// The route it took.
    pub route: RouteId,
    /// The node that gave it.
    pub node: NodeId,
    /// When the request was meant to arrive.
    pub arrived: Time,
    /// From zero, useless, to one, as good as can be.
    pub quality: Ratio,
}

/// A change of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub enum FleetChange {
    /// A new node, ready for traffic. It gets the next free id.
    Add(Box<NodeSpec>),
    /// No new work for this node; what it has, it finishes.
    Drain(NodeId),
    /// Take a drained node back into service.
    Resume(NodeId),
    /// A node that was told to start has started: it serves.
    Ready(NodeId),
    /// The node is gone. Its attempts stay open until the executor ends them.
    Remove(NodeId),
    /// New prices, from the next dispatch on.
    Reprice(NodeId, Prices),
    /// New limits. Work beyond them is not killed; it drains.
    Relimit(NodeId, Limits),
}

/// What a person may change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// This pool chooses by another strategy from now on.
    Strategy(PoolId, StrategySpec),
    /// A new weight for a node, at least one.
    Weight(NodeId, u32),
    /// Something happened outside that observers should see at its place in time. The balancer
    /// repeats it as an event and otherwise takes no notice.
    Mark(Mark),
}

/// A note in the stream of events about the world outside the balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Who did it.
    pub by: MarkBy,
    /// The nodes it happened to.
    pub nodes: Vec<NodeId>,
    /// Whether it begins or ends.
    pub phase: MarkPhase,
    /// What happened, in a few words: `crash`, `slow x4`.
    pub what: String,
}

/// Who caused a [`Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkBy {
    /// The scenario's schedule.
    Scenario,
    /// The person at the screen.
    Person,
}

impl MarkBy {
    /// Returns its word in journals and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            MarkBy::Scenario => "scenario",
            MarkBy::Person => "person",
        }
    }
}

/// Which end of a lasting thing a [`Mark`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkPhase {
    /// It begins.
    Begin,
    /// It is over.
    End,
}

impl MarkPhase {
    /// Returns its word in journals and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            MarkPhase::Begin => "begin",
            MarkPhase::End => "end",
        }
    }
}

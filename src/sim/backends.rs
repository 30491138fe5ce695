//! The simulated nodes, what will happen to them, and the ways to and from them.

use super::network::Network;
use crate::balance::Attempt;
use crate::node::{Agenda, Rank, Scheduled, Scheduler, SimNode};
use crate::unit::{NodeId, Span, Time};

/// The agenda as a node sees it: what a node says reaches the balancer after its way back.
pub(super) struct Outbox<'a> {
    agenda: &'a mut Agenda,
    network: Option<&'a Network>,
    node: NodeId,
}

impl Scheduler for Outbox<'_> {
    fn schedule(&mut self, at: Time, mut rank: Rank, due: Scheduled) {
        let back = self.network.map_or(Span::ZERO, |network| match &due {
            Scheduled::Progress(attempt, _) => {
                // Of one rank, so that the words of a node arrive in the order they were said.
                rank = Rank::Finish;
                network.attempt(self.node, *attempt).back
            }
            Scheduled::Finish(attempt, _) => network.attempt(self.node, *attempt).back,
            Scheduled::Probed(_, node, number, _) => network.probe(*node, *number).back,
            // What happens at the node itself.
            _ => Span::ZERO,
        });
        self.agenda.schedule(at + back, rank, due);
    }
}

/// Simulated nodes, the agenda, and the network between them and the balancer.
#[derive(Debug)]
pub(super) struct Backends {
    pub(super) now: Time,
    pub(super) nodes: Vec<SimNode>,
    pub(super) agenda: Agenda,
    network: Option<Network>,
}

impl Backends {
    /// These nodes at time zero, reached by this network.
    pub(super) fn new(nodes: Vec<SimNode>, network: Option<Network>) -> Backends {
        Backends { now: Time::ZERO, nodes, agenda: Agenda::default(), network }
    }

    pub(super) const fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    pub(super) fn node(&self, node: NodeId) -> &SimNode {
        &self.nodes[node.index()]
    }

    /// Returns a node, and the outbox for what it has to say.
    pub(super) fn at(&mut self, node: NodeId) -> (&mut SimNode, Outbox<'_>) {
        let network = self.network.as_ref();
        (&mut self.nodes[node.index()], Outbox { agenda: &mut self.agenda, network, node })
    }

    /// Schedules something for now.
    pub(super) fn schedule(&mut self, rank: Rank, due: Scheduled) {
        self.agenda.schedule(self.now, rank, due);
    }

    /// Returns how long an attempt is under way to its node.
    pub(super) fn out(&self, node: NodeId, attempt: Attempt) -> Span {
        self.network().map_or(Span::ZERO, |network| network.attempt(node, attempt).out)
    }

    /// Returns how long a probe is under way to its node.
    pub(super) fn probe_out(&self, node: NodeId, number: u32) -> Span {
        self.network().map_or(Span::ZERO, |network| network.probe(node, number).out)
    }
}

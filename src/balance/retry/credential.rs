//! Credentials that nodes share: one that is refused, or whose money is spent, is so everywhere.
//!
//! A request whose credential was refused is tried again only on a node with another one, and never
//! waits for one: if none is open it fails. Where refused credentials rest, every node that is asked with
//! the same one rests, for the same time. A node that names no credential has one of its own. Keys
//! themselves are not known here, only which nodes have the same.

use crate::balance::balancer::Balancer;
use crate::balance::fleet::Fleet;
use crate::balance::queue::Placed;
use crate::balance::requests::{Live, RequestKey};
use crate::balance::spec::node::Tier;
use crate::balance::vocabulary::outcome::Fate;
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{NodeId, Span};

impl Live {
    /// The node of the latest attempt that was sent there refused its credential.
    pub(in crate::balance) fn note_refusal(&mut self, node: NodeId) {
        let tried = &self.tried[..usize::from(self.attempts)];
        if let Some(ordinal) = tried.iter().rposition(|tried| *tried == node) {
            self.refused |= 1 << ordinal;
        }
    }
}

impl Fleet {
    /// Returns whether two nodes are asked with the same credential.
    fn same_credential(&self, one: NodeId, other: NodeId) -> bool {
        let credential = self.node(one).spec.credential;
        one == other || (credential.is_some() && credential == self.node(other).spec.credential)
    }

    /// Returns whether a node is asked with a credential that was refused to one of these, by bit.
    pub(in crate::balance) fn is_refused(
        &self,
        node: NodeId,
        refused: u8,
        tried: &[NodeId],
    ) -> bool {
        let mut refusers =
            tried.iter().enumerate().filter(|(ordinal, _)| refused >> ordinal & 1 == 1);
        refusers.any(|(_, refuser)| self.same_credential(node, *refuser))
    }
}

impl Balancer {
    /// Returns whether some node of its pools might serve a request with a credential that was not
    /// refused. Cost: all nodes of those pools.
    pub(in crate::balance) fn has_other_credential(&self, key: RequestKey) -> bool {
        let live = &self.requests[key];
        let require = self.routes.get(live.route).require;
        let (own, cheap) = self.routes.pools(live.lane);
        let pools = own.iter().chain(cheap);
        let mut members = pools
            .flat_map(|&pool| Tier::ALL.map(|tier| (pool, tier)))
            .flat_map(|(pool, tier)| self.fleet.members(pool, tier));
        members.any(|&node| {
            let there = self.fleet.node(node);
            !matches!(there.state(), NodeState::Gone | NodeState::Off)
                && there.spec.tags & require == require
                && !self.fleet.is_refused(node, live.refused, &live.tried)
        })
    }

    /// Sends a request whose credential was refused somewhere else, or lets it fail. It does not wait:
    /// the nodes that are open have refused it, and it would stand in the way of those that they serve.
    pub(in crate::balance) fn place_or_fail(&mut self, key: RequestKey) {
        if self.place(key) != Placed::Yes {
            let (_, end) = self.requests[key].last.expect("an attempt was refused");
            self.settle(key, Fate::Failed(end));
        }
    }

    /// A node has refused its credential: it rests, and so do all that are asked with the same one.
    pub(in crate::balance) fn rest_credential(&mut self, node: NodeId, base: Span) {
        let now = self.now;
        let change = self.fleet.with_health(node, |health| health.refused(now, base));
        self.rest(node, change);
        if self.fleet.node(node).spec.credential.is_none() {
            return;
        }
        let (refusals, until) = self.fleet.node(node).health.refusal();
        for other in 0..self.fleet.nodes().len() {
            let other = NodeId(other as u32);
            if other != node && self.fleet.same_credential(node, other) {
                let change = self
                    .fleet
                    .with_health(other, |health| health.refused_elsewhere(now, refusals, until));
                self.rest(other, change);
            }
        }
    }
}

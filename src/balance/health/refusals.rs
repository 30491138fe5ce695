//! Whose fault a refusal is: a node that says that requests are at fault, beside its peers.
//!
//! A wrong path, a deployment that is gone or an account that may not use a model is answered as a
//! client's mistake is: 404 or 400, at once. So a node's word is no more than a word, and a node is
//! doubted that has served nothing since it refused before, while a peer serves; or that refuses more
//! than the best of its peers, so much that the Wilson intervals are apart by a margin. Where all refuse
//! alike nobody is doubted: then clients are at fault.
//!
//! What a doubted node refuses, and what any node has not (404), is asked of a second one: serves that
//! the request, the first one was wrong, and fails as with a 500. If it says the same it is believed,
//! unless it is doubted too: then a third one is asked. Where nobody is to be asked any more, the
//! comparison with peers decides.
//!
//! What a node refused is remembered while it is out, until it serves again: if it comes back as it
//! went, one more is enough.

use super::outlier::wilson;
use crate::balance::vocabulary::state::Cause;
use crate::unit::{NodeId, Ratio, Time};

/// So many of a node's last answers are looked at.
const WINDOW: u32 = u64::BITS;

/// A node refuses so much more than its best peer, beside what chance explains.
const MARGIN: f64 = 0.1;

/// A node whose refusals were served by nodes of other pools only: another model may take what this one
/// does not, unless it is so many in a row.
const ELSEWHERE_MAX: u32 = 32;

/// What is known of a node's answers.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    /// Refusals that nobody contradicts among the last answers, the newest in the lowest bit.
    refused: u64,
    len: u32,
    /// Refusals since it last served, and when the first of them came.
    in_a_row: u32,
    since: Time,
    /// When the latest request was sent to it that it accepted.
    accepted: Time,
    /// Of them, those that nodes of other pools served.
    elsewhere: u32,
    /// Whether it has left service since it last served.
    left: bool,
}

impl Answers {
    const fn push(&mut self, refused: bool) {
        self.refused = self.refused << 1 | refused as u64;
        if self.len < WINDOW {
            self.len += 1;
        }
    }

    /// The ends of the interval in which its share of refusals lies.
    fn share(&self) -> (f64, f64) {
        wilson(self.refused.count_ones(), self.len)
    }

    fn ratio(&self) -> Ratio {
        Ratio::from_f64(f64::from(self.refused.count_ones()) / f64::from(self.len.max(1)))
    }
}

/// What all nodes answered.
#[derive(Debug, Default)]
pub(super) struct RefusalWatch {
    nodes: Vec<Answers>,
}

impl RefusalWatch {
    fn of(&mut self, node: NodeId) -> &mut Answers {
        if self.nodes.len() <= node.index() {
            self.nodes.resize(node.index() + 1, Answers::default());
        }
        &mut self.nodes[node.index()]
    }

    /// A node gave a whole answer to a request that was sent to it then.
    #[inline]
    pub(super) fn served(&mut self, node: NodeId, dispatched: Time) {
        let this = self.of(node);
        this.accepted = this.accepted.max(dispatched);
        if this.left {
            *this = Answers { accepted: this.accepted, ..Answers::default() };
        }
        (this.in_a_row, this.elsewhere) = (0, 0);
        this.push(false);
    }

    /// A node began to answer a request that was sent to it then.
    #[inline]
    pub(super) fn accepted(&mut self, node: NodeId, dispatched: Time) {
        let this = self.of(node);
        this.accepted = this.accepted.max(dispatched);
    }

    /// A node said that a request is at fault.
    pub(super) fn refused(&mut self, now: Time, node: NodeId) {
        let this = self.of(node);
        if this.in_a_row == 0 {
            this.since = now;
        }
        this.in_a_row = this.in_a_row.saturating_add(1);
    }

    /// What is known of the others among `peers`.
    fn others(
        &self,
        node: NodeId,
        peers: impl Iterator<Item = NodeId>,
    ) -> impl Iterator<Item = &Answers> {
        let others = peers.filter(move |&peer| peer != node);
        others.filter_map(|peer| self.nodes.get(peer.index()).filter(|it| it.len > 0))
    }

    /// Returns whether a node that has just refused is doubted.
    pub(super) fn doubts(&self, node: NodeId, peers: impl Iterator<Item = NodeId> + Clone) -> bool {
        let Some(this) = self.nodes.get(node.index()) else { return false };
        let serves = |other: &Answers| other.in_a_row == 0;
        (this.in_a_row > 1 && self.others(node, peers.clone()).any(serves))
            || self.refuses_more(node, peers).is_some()
    }

    /// Says why a node is an outlier among its peers, if it is one: it refuses more than they do, and one
    /// of them has accepted something since this one began to refuse all. Until then clients may have
    /// changed and not the node.
    pub(super) fn outlier(
        &self,
        node: NodeId,
        peers: impl Iterator<Item = NodeId> + Clone,
    ) -> Option<Cause> {
        let since = self.nodes.get(node.index())?.since;
        let accepts = self.others(node, peers.clone()).any(|other| other.accepted > since);
        accepts.then(|| self.refuses_more(node, peers)).flatten()
    }

    fn refuses_more(&self, node: NodeId, peers: impl Iterator<Item = NodeId>) -> Option<Cause> {
        let this = self.nodes.get(node.index())?;
        let best = self
            .others(node, peers)
            .min_by(|one, other| one.share().1.total_cmp(&other.share().1))?;
        let apart = this.share().0 > best.share().1 + MARGIN;
        apart.then(|| Cause::RefusalShare(this.ratio(), best.ratio()))
    }

    /// Nobody was asked who contradicts a refusal.
    pub(super) fn stands(&mut self, node: NodeId) {
        self.of(node).push(true);
    }

    /// A node of another pool served what a node refused. Says whether that is so of all it gets.
    pub(super) fn served_elsewhere(&mut self, node: NodeId) -> Option<Cause> {
        let this = self.of(node);
        this.elsewhere = this.elsewhere.saturating_add(1);
        (this.elsewhere >= ELSEWHERE_MAX).then_some(Cause::Refusals(this.elsewhere))
    }

    /// A node has left service.
    pub(super) fn left(&mut self, node: NodeId) {
        if let Some(this) = self.nodes.get_mut(node.index()) {
            (this.left, this.elsewhere) = (true, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Answers until node 0 or another one is found out, of nodes that refuse these shares.
    fn found(shares: &[f64], seed: u64, most: u32) -> Option<(u32, NodeId)> {
        let mut rng = Rng::stream(seed, "test");
        let mut watch = RefusalWatch::default();
        let nodes = || (0..shares.len() as u32).map(NodeId);
        for count in 1..=most {
            for node in nodes() {
                if rng.unit() >= shares[node.index()] {
                    watch.served(node, Time(u64::from(count)));
                } else {
                    watch.refused(Time(u64::from(count)), node);
                    watch.stands(node);
                    if watch.outlier(node, nodes()).is_some() {
                        return Some((count, node));
                    }
                }
            }
        }
        None
    }

    #[test]
    fn who_refuses_much_more_than_its_peers_is_found_and_no_other() {
        for (share, within) in [(1.0, 20), (0.8, 40), (0.6, 80)] {
            for seed in 0..20 {
                let (count, node) = found(&[share, 0.02, 0.02], seed, 1_000).expect("it is found");
                assert_eq!(node, NodeId(0));
                assert!(count <= within, "{share}: {count}");
            }
        }
        for seed in 0..20 {
            let (_, node) = found(&[1.0, 1.0, 0.0, 1.0], seed, 1_000).expect("one of them is");
            assert_ne!(node, NodeId(2), "most may be wrong");
        }
    }

    #[test]
    fn where_all_refuse_alike_or_nobody_is_there_to_compare_nobody_is_found() {
        for share in [0.02, 0.2, 0.5, 0.9, 1.0] {
            let all = [share; 8];
            let alarms = (0..20).filter(|&seed| found(&all, seed, 500).is_some()).count();
            assert!(alarms <= 1, "{alarms} false alarms at {share}");
            assert_eq!(found(&[share], 1, 500), None);
        }
    }

    #[test]
    fn what_a_node_refused_is_remembered_until_it_serves_again() {
        let mut watch = RefusalWatch::default();
        let nodes = || (0..2).map(NodeId);
        let node = NodeId(0);
        (0..40).for_each(|_| nodes().for_each(|node| watch.served(node, Time::ZERO)));
        watch.accepted(NodeId(1), Time(9));
        let found = |watch: &RefusalWatch| watch.outlier(node, nodes()).is_some();
        while !found(&watch) {
            watch.refused(Time(3), node);
            watch.stands(node);
        }
        watch.left(node);
        assert!(found(&watch), "one more is enough when it is back");
        watch.served(node, Time::ZERO);
        watch.refused(Time(5), node);
        assert!(!found(&watch), "it is well");
    }

    #[test]
    fn a_nodes_word_counts_as_long_as_it_serves_or_nobody_does() {
        let mut watch = RefusalWatch::default();
        let (node, peer) = (NodeId(3), NodeId(1));
        let doubts = |watch: &RefusalWatch, node| watch.doubts(node, [peer, NodeId(3)].into_iter());
        (0..3).for_each(|_| watch.refused(Time(1), node));
        assert!(!doubts(&watch, node), "nobody serves");
        watch.served(peer, Time::ZERO);
        assert!(doubts(&watch, node));
        watch.served(node, Time::ZERO);
        watch.refused(Time(2), node);
        assert!(!doubts(&watch, node));
        watch.refused(Time(3), node);
        assert!(doubts(&watch, node));
        watch.refused(Time(4), peer);
        assert!(!doubts(&watch, peer) && !doubts(&watch, node), "now nobody serves");
    }

    #[test]
    fn who_refuses_many_of_its_requests_is_doubted_though_it_serves() {
        let mut watch = RefusalWatch::default();
        let nodes = || (0..2).map(NodeId);
        let serve =
            |watch: &mut RefusalWatch| nodes().for_each(|node| watch.served(node, Time::ZERO));
        let found = (0..40).find(|_| {
            serve(&mut watch);
            watch.refused(Time(1), NodeId(0));
            watch.stands(NodeId(0));
            watch.doubts(NodeId(0), nodes())
        });
        assert!(found.is_some_and(|round| round > 4), "{found:?}");
        assert!(!watch.doubts(NodeId(1), nodes()));
    }

    #[test]
    fn what_other_pools_serve_counts_only_where_it_is_all() {
        let mut watch = RefusalWatch::default();
        let node = NodeId(0);
        for round in 0..10 {
            assert!((1..ELSEWHERE_MAX).all(|_| watch.served_elsewhere(node).is_none()), "{round}");
            watch.served(node, Time::ZERO);
        }
        let found = (0..ELSEWHERE_MAX).find_map(|_| watch.served_elsewhere(node));
        assert_eq!(found, Some(Cause::Refusals(ELSEWHERE_MAX)));
    }
}

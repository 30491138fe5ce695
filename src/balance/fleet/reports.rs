//! LoadReports: what other balancers and the nodes themselves say of load, and how far it is believed.
//!
//! A balancer that is one of several sees only its own requests. Peers send what they have in
//! flight on each node (state, not changes: a lost word heals with the next one); it is added to
//! the own ledger. Nodes report what they work on, whoever sent it; a report is old when it comes,
//! so it may be fused with the own ledger: `reported + own dispatched since - own finished since`.
//! What is older than the [`ReportFreshness`] allows counts as absent: unknown is not zero. Nothing here is
//! ever written to the ledger, and where nobody tells anything nothing is stored or computed.

use std::collections::{BTreeMap, VecDeque};

use super::ledger::Ledger;
use crate::balance::spec::view::Signal;
use crate::balance::vocabulary::report::{NodeReport, PeerLoad, PeerNode};
use crate::unit::{NodeId, PeerId, Span, Time, Tokens};

/// At most so many changes of the own ledger are remembered for a node since its last report; of
/// more, the oldest count as made before it.
const CHANGES_MAX: usize = 4_096;

/// No peer is believed to owe a node more tokens of a kind than this, so that no sum overflows.
const TOKENS_MAX: Tokens = Tokens(1 << 40);

/// What is in flight on a node, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests.
    pub requests: u64,
    /// Prompt tokens of those without a first token.
    pub prompt: Tokens,
    /// Tokens still expected of answers.
    pub output: Tokens,
}

/// A report as it is kept.
#[derive(Clone, Debug)]
struct Reported {
    /// When it was true.
    at: Time,
    report: NodeReport,
    /// Own requests in flight when it was true.
    own_then: u32,
    /// Own requests in flight after each change since, oldest first.
    since: VecDeque<(Time, u32)>,
}

/// A peer's last word.
#[derive(Clone, Debug, Default)]
struct Peer {
    epoch: u64,
    /// When it was true.
    at: Time,
    /// Rises with every word, so that the alarm of an older one finds nothing to do.
    number: u32,
    nodes: Vec<PeerNode>,
}

/// Everything a balancer was told of load by others.
#[derive(Clone, Debug, Default)]
pub(in crate::balance) struct LoadReports {
    /// By node; empty until a node reports.
    reports: Vec<Option<Box<Reported>>>,
    /// Sums over fresh peers, by node; empty until a peer speaks.
    others: Vec<Load>,
    peers: BTreeMap<PeerId, Peer>,
}

impl LoadReports {
    /// Adds what peers have in flight on a node to the own ledger.
    #[inline]
    pub(in crate::balance) fn load(&self, node: NodeId, ledger: &Ledger) -> Load {
        let own = Load {
            requests: u64::from(ledger.requests),
            prompt: ledger.prompt,
            output: ledger.output,
        };
        self.others.get(node.index()).map_or(own, |others| Load {
            requests: own.requests + others.requests,
            prompt: own.prompt + others.prompt,
            output: own.output + others.output,
        })
    }

    /// Returns a node's last report, unless it is older than `fresh`.
    pub(in crate::balance) fn report(
        &self,
        node: NodeId,
        now: Time,
        fresh: Span,
    ) -> Option<&NodeReport> {
        self.reported(node, now, fresh).map(|kept| &kept.report)
    }

    fn reported(&self, node: NodeId, now: Time, fresh: Span) -> Option<&Reported> {
        let kept = self.reports.get(node.index())?.as_deref()?;
        (now.since(kept.at) <= fresh).then_some(kept)
    }

    /// Returns the requests on a node as the signal has them.
    #[inline]
    pub(in crate::balance) fn requests(
        &self,
        signal: Signal,
        node: NodeId,
        ledger: &Ledger,
        now: Time,
        fresh: Span,
    ) -> u64 {
        let kept = match signal {
            Signal::Own => None,
            Signal::Reported | Signal::Fused => self.reported(node, now, fresh),
        };
        let Some(kept) = kept else {
            return self.load(node, ledger).requests;
        };
        let there = u64::from(kept.report.running) + u64::from(kept.report.waiting);
        if signal == Signal::Reported {
            return there;
        }
        (there + u64::from(ledger.requests)).saturating_sub(u64::from(kept.own_then))
    }

    /// Hears a report, dated by its age. An older one than the last changes nothing.
    pub(in crate::balance) fn hear_report(
        &mut self,
        node: NodeId,
        now: Time,
        report: NodeReport,
        own: u32,
    ) {
        let at = Time(now.0.saturating_sub(report.age.0));
        if self.reports.len() <= node.index() {
            self.reports.resize_with(node.index() + 1, || None);
        }
        let Some(kept) = &mut self.reports[node.index()] else {
            // Nothing was remembered before the first report: what is in flight now was then.
            let since = VecDeque::new();
            self.reports[node.index()] =
                Some(Box::new(Reported { at, report, own_then: own, since }));
            return;
        };
        if at < kept.at {
            return;
        }
        while let Some(&(_, own)) = kept.since.front().filter(|(changed, _)| *changed <= at) {
            kept.own_then = own;
            kept.since.pop_front();
        }
        kept.at = at;
        kept.report = report;
    }

    /// Remembers that the own requests in flight on a node changed.
    pub(in crate::balance) fn changed(&mut self, node: NodeId, now: Time, own: u32) {
        let Some(Some(kept)) = self.reports.get_mut(node.index()) else {
            return;
        };
        kept.since.push_back((now, own));
        if kept.since.len() > CHANGES_MAX
            && let Some((_, own)) = kept.since.pop_front()
        {
            kept.own_then = own;
        }
    }

    /// Hears a peer, dated by the age of its word. Returns the number to set an alarm for, and when
    /// the word was true; `None` if the word is older than the last.
    pub(in crate::balance) fn hear_peer(
        &mut self,
        from: PeerId,
        now: Time,
        load: PeerLoad,
        nodes: usize,
    ) -> Option<(u32, Time)> {
        let at = Time(now.0.saturating_sub(load.age.0));
        let peer = self.peers.entry(from).or_default();
        if (load.epoch, at) < (peer.epoch, peer.at) {
            return None;
        }
        self.others.resize(nodes, Load::default());
        let old = std::mem::take(&mut peer.nodes);
        (peer.epoch, peer.at) = (load.epoch, at);
        peer.number = peer.number.wrapping_add(1);
        peer.nodes = sane(load.nodes, nodes);
        for one in &peer.nodes {
            add(&mut self.others[one.node.index()], one);
        }
        let number = peer.number;
        self.forget(&old);
        Some((number, at))
    }

    /// Returns whether the peer has said nothing since the word of this number.
    pub(in crate::balance) fn is_last_word(&self, peer: PeerId, number: u32) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.number == number && !peer.nodes.is_empty())
    }

    /// The peer has been silent for too long: what it last said counts no more.
    pub(in crate::balance) fn silence(&mut self, peer: PeerId) {
        let old = self.peers.get_mut(&peer).map(|peer| std::mem::take(&mut peer.nodes));
        self.forget(&old.unwrap_or_default());
    }

    fn forget(&mut self, old: &[PeerNode]) {
        for one in old {
            let sum = &mut self.others[one.node.index()];
            sum.requests -= u64::from(one.requests);
            sum.prompt -= one.prompt;
            sum.output -= one.output;
        }
    }

    /// Recounts the sums over peers from scratch: for the check of invariants.
    pub(in crate::balance) fn adds_up(&self) -> bool {
        let mut sums = vec![Load::default(); self.others.len()];
        for one in self.peers.values().flat_map(|peer| &peer.nodes) {
            add(&mut sums[one.node.index()], one);
        }
        sums == self.others
    }
}

fn add(sum: &mut Load, one: &PeerNode) {
    sum.requests += u64::from(one.requests);
    sum.prompt += one.prompt;
    sum.output += one.output;
}

/// What may be believed of a peer's word: each node that exists once, in order.
fn sane(mut said: Vec<PeerNode>, nodes: usize) -> Vec<PeerNode> {
    let mut next = 0;
    said.retain_mut(|one| {
        let fits = (next..nodes).contains(&one.node.index());
        if fits {
            next = one.node.index() + 1;
            one.prompt = one.prompt.min(TOKENS_MAX);
            one.output = one.output.min(TOKENS_MAX);
        }
        fits
    });
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::spec::view::REPORT_FRESH;

    const FRESH: Span = REPORT_FRESH;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::from_secs(seconds)
    }

    fn ledger(requests: u32) -> Ledger {
        Ledger { requests, ..Ledger::default() }
    }

    fn word(epoch: u64, nodes: &[(u32, u32)]) -> PeerLoad {
        let one = |&(node, requests): &(u32, u32)| PeerNode {
            node: NodeId(node),
            requests,
            prompt: Tokens(10),
            output: Tokens(u64::MAX),
        };
        PeerLoad { age: Span::ZERO, epoch, nodes: nodes.iter().map(one).collect() }
    }

    #[test]
    fn a_peer_counts_once_and_until_it_is_silent() {
        let mut load_reports = LoadReports::default();
        let of =
            |load_reports: &LoadReports, node| load_reports.load(NodeId(node), &ledger(1)).requests;
        assert_eq!(of(&load_reports, 0), 1, "nobody spoke");
        let first = load_reports.hear_peer(PeerId(1), at(1), word(0, &[(0, 5), (2, 7)]), 3);
        load_reports.hear_peer(PeerId(2), at(1), word(0, &[(2, 1)]), 3);
        assert_eq!((of(&load_reports, 0), of(&load_reports, 1), of(&load_reports, 2)), (6, 1, 9));
        load_reports.hear_peer(PeerId(1), at(2), word(0, &[(1, 2)]), 3);
        assert_eq!((of(&load_reports, 0), of(&load_reports, 1), of(&load_reports, 2)), (1, 3, 2));
        let (number, _) = first.expect("it is news");
        assert!(!load_reports.is_last_word(PeerId(1), number), "it spoke again");
        let old = PeerLoad { age: Span::from_secs(2), ..word(0, &[(0, 9)]) };
        assert_eq!(load_reports.hear_peer(PeerId(1), at(3), old, 3), None, "a word overtaken");
        load_reports.silence(PeerId(1));
        assert_eq!((of(&load_reports, 1), of(&load_reports, 2)), (1, 2));
        assert!(load_reports.adds_up());
    }

    #[test]
    fn a_peer_that_talks_nonsense_is_believed_where_it_makes_sense() {
        let mut load_reports = LoadReports::default();
        let nonsense = word(0, &[(1, u32::MAX), (1, 4), (0, 4), (2, 1), (99, 1)]);
        for peer in 0..100 {
            load_reports.hear_peer(PeerId(peer), at(1), nonsense.clone(), 3);
        }
        let load = |node| load_reports.load(NodeId(node), &ledger(0));
        assert_eq!(load(0).requests, 0);
        assert_eq!(load(1).requests, 100 * u64::from(u32::MAX));
        assert_eq!((load(2).requests, load(2).output), (100, Tokens(100 << 40)));
    }

    #[test]
    fn fused_is_the_report_and_what_was_done_since_it_was_true() {
        let mut load_reports = LoadReports::default();
        let node = NodeId(1);
        let say = |age, running| NodeReport {
            age: Span::from_secs(age),
            running,
            waiting: 1,
            ..NodeReport::default()
        };
        let requests = |load_reports: &LoadReports, signal, own, now| {
            load_reports.requests(signal, node, &ledger(own), at(now), FRESH)
        };
        assert_eq!(requests(&load_reports, Signal::Fused, 4, 1), 4, "unknown is not zero");
        load_reports.hear_report(node, at(10), say(0, 20), 4);
        assert_eq!(requests(&load_reports, Signal::Reported, 4, 10), 21);
        assert_eq!(requests(&load_reports, Signal::Fused, 4, 10), 21);
        for (now, own) in [(11, 5), (12, 6), (13, 5), (14, 6)] {
            load_reports.changed(node, at(now), own);
        }
        assert_eq!(requests(&load_reports, Signal::Fused, 6, 14), 23, "two more since");
        load_reports.hear_report(node, at(15), say(3, 30), 6);
        assert_eq!(
            requests(&load_reports, Signal::Fused, 6, 15),
            31,
            "one gone, one more since 12"
        );
        assert_eq!(requests(&load_reports, Signal::Fused, 0, 15), 25);
        assert_eq!(requests(&load_reports, Signal::Fused, 7, 22), 32);
        assert_eq!(requests(&load_reports, Signal::Fused, 7, 23), 7, "too old");
        load_reports.hear_report(node, at(23), say(20, 0), 6);
        assert_eq!(requests(&load_reports, Signal::Reported, 6, 20), 31, "an older one is no news");
    }

    #[test]
    fn memory_of_changes_is_bounded() {
        let mut load_reports = LoadReports::default();
        load_reports.hear_report(NodeId(0), at(0), NodeReport::default(), 0);
        for own in 1..=2 * CHANGES_MAX as u32 {
            load_reports.changed(NodeId(0), at(1), own);
        }
        let kept = load_reports.reports[0].as_ref().expect("it reported");
        assert_eq!((kept.since.len(), kept.own_then), (CHANGES_MAX, CHANGES_MAX as u32));
    }
}

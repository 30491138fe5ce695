//! Cold starts: how long a node takes from the word to start until it serves.
//!
//! Times are drawn from a stream keyed by (node, number of the start), so that they are the same
//! whatever else happens. A node that is crashed when its start should be over starts once more.
//! Whether a node should start is not decided here.

use crate::balance::{FleetChange, Input};
use crate::dist::Dist;
use crate::node::{Agenda, Rank, Scheduled, Scheduler};
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, Span, Time};

/// ColdStarts under way.
#[derive(Debug)]
pub(super) struct ColdStarts {
    times: Vec<Dist>,
    key: u64,
    /// By node: the number of its newest start; an older one is called off.
    newest: Vec<u32>,
}

impl ColdStarts {
    /// `times` are seconds by node; nodes beyond start at once.
    pub(super) fn new(times: Vec<Dist>, seed: u64) -> ColdStarts {
        ColdStarts { times, key: Rng::stream(seed, "cold starts").bits(), newest: Vec::new() }
    }

    fn next(&mut self, node: NodeId) -> u32 {
        if self.newest.len() <= node.index() {
            self.newest.resize(node.index() + 1, 0);
        }
        self.newest[node.index()] += 1;
        self.newest[node.index()]
    }

    /// A node is told to start.
    pub(super) fn begin(&mut self, now: Time, node: NodeId, agenda: &mut Agenda) {
        let start = self.next(node);
        let key = mix(mix(self.key, u64::from(node.0)), u64::from(start));
        let law = self.times.get(node.index());
        let seconds = law.map_or(0.0, |law| law.sample(&mut Rng::from_key(key)));
        let at = now + Span::from_seconds(seconds);
        agenda.schedule(at, Rank::Fleet, Scheduled::Ready(node, start));
    }

    /// A node is told to stop.
    pub(super) fn call_off(&mut self, node: NodeId) {
        self.next(node);
    }

    /// A start is over. Returns what the balancer hears of it, if anything.
    pub(super) fn over(
        &mut self,
        now: Time,
        node: NodeId,
        start: u32,
        crashed: bool,
        agenda: &mut Agenda,
    ) -> Option<Input> {
        if self.newest.get(node.index()) != Some(&start) {
            return None;
        }
        if crashed {
            self.begin(now, node, agenda);
            return None;
        }
        Some(Input::Fleet(FleetChange::Ready(node)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Upcoming;

    fn next(agenda: &mut Agenda) -> (Time, NodeId, u32) {
        match agenda.next(None, None, Time::MAX) {
            Some(Upcoming::Scheduled(at, Scheduled::Ready(node, start))) => (at, node, start),
            other => panic!("a start: {other:?}"),
        }
    }

    #[test]
    fn a_start_that_is_called_off_says_nothing_and_a_crashed_node_starts_again() {
        let law = Dist::constant(30.0).expect("finite");
        let mut starts = ColdStarts::new(vec![law], 1);
        let mut agenda = Agenda::default();
        let node = NodeId(0);
        starts.begin(Time::ZERO, node, &mut agenda);
        starts.call_off(node);
        let (at, _, start) = next(&mut agenda);
        assert_eq!(at, Time::ZERO + Span::from_secs(30));
        assert_eq!(starts.over(at, node, start, false, &mut agenda), None);
        starts.begin(at, node, &mut agenda);
        let (at, _, start) = next(&mut agenda);
        assert_eq!(starts.over(at, node, start, true, &mut agenda), None, "it is down");
        let (at, _, start) = next(&mut agenda);
        assert_eq!(at, Time::ZERO + Span::from_secs(90));
        let ready = Some(Input::Fleet(FleetChange::Ready(node)));
        assert_eq!(starts.over(at, node, start, false, &mut agenda), ready);
        assert!(agenda.next(None, None, Time::MAX).is_none());
        starts.begin(at, NodeId(7), &mut agenda);
        assert_eq!(next(&mut agenda).0, at, "without a law it starts at once");
    }
}

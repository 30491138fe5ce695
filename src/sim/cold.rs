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

/// Starts under way.
#[derive(Debug)]
pub(super) struct Starts {
    times: Vec<Dist>,
    key: u64,
    /// By node: the number of its newest start; an older one is called off.
    newest: Vec<u32>,
}

impl Starts {
    /// `times` are seconds by node; nodes beyond start at once.
    pub(super) fn new(times: Vec<Dist>, seed: u64) -> Starts {
        Starts { times, key: Rng::stream(seed, "cold starts").bits(), newest: Vec::new() }
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

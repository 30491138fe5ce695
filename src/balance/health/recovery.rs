//! Slow start: for so long a new or returning node is held back as soon as it has had more than its
//! share.
//!
//! The share grows linearly from a tenth of the fair one: each dispatch in its tier gives the node a
//! part of one, as Envoy scales weights. Where only such nodes are open they are used nevertheless: a
//! preference, so no request waits for it.

use crate::balance::fleet::Fleet;
use crate::balance::spec::node::Tier;
use crate::balance::vocabulary::state::NodeState;
use crate::unit::{NodeId, PoolId, Span, Time};

/// A node in slow start begins with this share of its fair share.
const RAMP_MIN: f64 = 0.1;

/// It saves up at most so many dispatches.
const CREDIT_MAX: f64 = 2.0;

/// A node in slow start.
#[derive(Clone, Copy, Debug)]
struct Ramp {
    node: NodeId,
    home: (PoolId, Tier),
    since: Time,
    over: Span,
    /// Dispatches it may have.
    credit: f64,
}

/// Returns the part of its fair share that a node gets so long after it came.
fn ramp(since: Span, over: Span) -> f64 {
    (since.seconds() / over.seconds()).clamp(RAMP_MIN, 1.0)
}

/// Nodes in slow start, and those of them that have had their share for now.
#[derive(Debug, Default)]
pub(in crate::balance) struct SlowStart {
    ramps: Vec<Ramp>,
    held_back: Vec<NodeId>,
}

impl SlowStart {
    /// Returns whether no node is in slow start.
    #[inline]
    pub(in crate::balance) const fn is_empty(&self) -> bool {
        self.ramps.is_empty()
    }

    /// Returns the nodes that have had their share for now.
    #[inline]
    pub(in crate::balance) fn held_back(&self) -> &[NodeId] {
        &self.held_back
    }

    /// A node of this home begins slow start.
    pub(in crate::balance) fn begin(
        &mut self,
        node: NodeId,
        home: (PoolId, Tier),
        now: Time,
        over: Span,
    ) {
        self.ramps.retain(|ramp| ramp.node != node);
        self.ramps.push(Ramp { node, home, since: now, over, credit: 1.0 });
    }

    /// A request goes to a node: those of its home in slow start earn their part of it.
    pub(in crate::balance) fn on_dispatch(&mut self, node: NodeId, now: Time, fleet: &Fleet) {
        if self.ramps.is_empty() {
            return;
        }
        let home = fleet.node(node).home();
        self.ramps.retain(|ramp| {
            let there = fleet.node(ramp.node);
            there.state() == NodeState::Up && now.since(ramp.since) < ramp.over
        });
        let all = fleet.up_weight(home).max(1) as f64;
        for this in self.ramps.iter_mut().filter(|this| this.home == home) {
            let part = f64::from(fleet.node(this.node).spec.weight) / all;
            this.credit += ramp(now.since(this.since), this.over) * part;
            this.credit = this.credit.min(CREDIT_MAX);
            if this.node == node {
                this.credit -= 1.0;
            }
        }
        self.held_back.clear();
        let held = self.ramps.iter().filter(|this| this.credit < 1.0).map(|this| this.node);
        self.held_back.extend(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_never_falls() {
        let over = Span::from_secs(30);
        let parts: Vec<f64> = (0..40).map(|s| ramp(Span::from_secs(s), over)).collect();
        assert!(parts.is_sorted(), "{parts:?}");
        assert!(parts[0] < 0.11 && parts[39] > 0.99, "{parts:?}");
    }
}

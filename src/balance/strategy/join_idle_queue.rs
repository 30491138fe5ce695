//! Join idle queue: a node that said it is idle, else the better of two drawn at random.
//!
//! A node that falls below `target` requests in flight enters a queue of idle nodes; a request takes
//! the first of them that is still idle. Continuous-batching engines are never empty under load, so
//! idle means below a target batch. Nothing is looked up or scanned on the way of a request.

use std::collections::VecDeque;

use super::{
    Fact, GoesBy, PickContext, Setting, SettingKind, Strategy, StrategyDef, least_connections,
    pick_least,
};
use crate::balance::fleet::Fleet;
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{Scored, Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "join_idle_queue",
    summary: "a node known to be idle, else the better of two drawn at random",
    when: "very many nodes with room to spare; decisions must not scan",
    cost: "O(1)",
    source: "Lu et al. 2011, Join-Idle-Queue",
    goes_by: &[GoesBy::Load],
    settings: &[Setting {
        name: "target",
        kind: SettingKind::Count { min: 1, max: 100_000 },
        default: 1,
        about: "a node with fewer requests in flight is idle",
    }],
    build: |spec| {
        Box::new(JoinIdleQueue {
            target: spec.count("target") as u32,
            idle: VecDeque::new(),
            queued: Vec::new(),
            known: 0,
        })
    },
};

/// Entries of nodes that are not idle any more, looked at for one decision.
const STALE_MAX: usize = 8;

#[derive(Debug)]
struct JoinIdleQueue {
    target: u32,
    idle: VecDeque<NodeId>,
    /// By seat: whether the node is in the queue.
    queued: Vec<bool>,
    /// Members of the tier that have been seen.
    known: usize,
}

impl JoinIdleQueue {
    fn enter(&mut self, node: NodeId, seat: usize) {
        if self.queued.len() <= seat {
            self.queued.resize(seat + 1, false);
        }
        if !std::mem::replace(&mut self.queued[seat], true) {
            self.idle.push_back(node);
        }
    }

    /// New nodes are idle: all of them at the start, or after a change of strategy. They enter in a
    /// random order, so that balancers that start together do not march in step.
    fn meet(&mut self, context: &PickContext<'_>, rng: &mut Rng) {
        let members = context.members();
        let new = &members[self.known.min(members.len())..];
        let (before, from) = new.split_at(rng.below(new.len().max(1)).min(new.len()));
        for &node in from.iter().chain(before) {
            if context.node(node).ledger.requests < self.target {
                self.enter(node, context.node(node).seat as usize);
            }
        }
        self.known = members.len();
    }
}

impl Strategy for JoinIdleQueue {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        if self.known < context.members().len() {
            self.meet(context, rng);
        }
        for _ in 0..STALE_MAX {
            let Some(node) = self.idle.pop_front() else { break };
            let seat = context.node(node).seat as usize;
            self.queued[seat] = false;
            why.considered += 1;
            if context.node(node).ledger.requests >= self.target {
                continue;
            }
            if !context.allows(node) || context.node(node).success(context.now) < 0.5 {
                // Idle, but not for this request: it stays for others.
                self.enter(node, seat);
                continue;
            }
            if context.node(node).ledger.requests + 1 < self.target {
                self.enter(node, seat);
            }
            context.looked_at(node, f64::NAN);
            why.chosen = Scored::unscored(node);
            return Some(node);
        }
        let drawn = [context.draw(rng)?, context.draw(rng)?];
        let drawn = if drawn[0] == drawn[1] { &drawn[..1] } else { &drawn[..] };
        pick_least(context, drawn.iter().copied(), rng, why, |node| {
            (least_connections::cost(context, Signal::Own, node), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Load, least_connections::load(context, Signal::Own, node))
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, fleet: &Fleet) {
        if let Fact::Ended { node, .. } = *fact {
            // The ended attempt is still on the ledger.
            let member = fleet.node(node);
            if member.ledger.requests <= self.target {
                self.enter(node, member.seat as usize);
            }
        }
    }
}

//! Session affinity: a conversation stays with its node, so that its prefix stays in the cache.
//!
//! The node is found by rendezvous hashing of the session over the nodes that may serve it: nothing is
//! stored, every balancer finds the same node, and when a node goes only its own sessions move. With
//! `spill` above zero a node with more than so many times the mean load passes the session on to the
//! next in its order. Requests without a session go to the better of two drawn at random.

use super::hashing::{Key, distance};
use super::{
    GoesBy, PickContext, Setting, SettingKind, Shortlist, Strategy, StrategyDef, least_connections,
    pick_least,
};
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "session_affinity",
    summary: "a conversation stays with its node",
    when: "long multi-turn sessions on engines with prefix caches",
    cost: "O(n)",
    source: "rendezvous hashing, Thaler and Ravishankar 1998, with bounded loads",
    goes_by: &[GoesBy::Sessions, GoesBy::Load],
    settings: &[Setting {
        name: "spill",
        kind: SettingKind::Ratio { max: 100_000_000 },
        default: 2_000_000,
        about: "a node with more than so many times the mean load is passed over; 0 for never",
    }],
    build: |spec| {
        Box::new(SessionAffinity { spill: spec.ratio("spill"), list: Shortlist::default() })
    },
};

#[derive(Debug)]
struct SessionAffinity {
    spill: f64,
    list: Shortlist,
}

impl Strategy for SessionAffinity {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        if context.request.session.is_none() {
            let mut list = std::mem::take(&mut self.list);
            context.shortlist(2, &mut list, rng);
            let nodes = list.nodes().iter().copied();
            let picked = pick_least(context, nodes, rng, why, |node| {
                (least_connections::cost(context, Signal::Own, node), 0.0)
            });
            self.list = list;
            return picked;
        }
        let key = Key::Session.hash(context.request);
        let cap = cap(context, self.spill);
        pick_least(context, context.candidates(), rng, why, |id| {
            let node = context.node(id);
            let over = f64::from(u8::from(f64::from(node.ledger.requests) >= cap));
            // Nodes over the bound come after all others; a node that fails is farther away.
            (over * 1e9 + context.against_failure(node, distance(context, key, id)), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Load, least_connections::load(context, Signal::Own, node))
    }
}

/// The load from which a node is passed over: `c (total + 1) / n`, at least one.
fn cap(context: &PickContext<'_>, c: f64) -> f64 {
    if c <= 0.0 {
        return f64::INFINITY;
    }
    let total = context.fleet.tier_load(context.pool, context.tier) as f64;
    (c * (total + 1.0) / context.open_count().max(1) as f64).max(1.0).ceil()
}

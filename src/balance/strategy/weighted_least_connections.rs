//! Weighted least connections: the node with the fewest requests in flight for its weight.
//!
//! `cost = (requests in flight + 1) / weight^bias / success probability`. With a bias of one the
//! loads become proportional to the weights; with zero weights do not matter. Large tiers are sampled.

use super::{
    GoesBy, PickContext, Setting, SettingKind, Shortlist, Strategy, StrategyDef, least_connections,
    pick_least,
};
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "weighted_least_connections",
    summary: "the node with the fewest requests in flight for its weight",
    when: "nodes of known unlike capacity, requests of unlike length",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "HAProxy leastconn; Envoy weighted least request",
    goes_by: &[GoesBy::Weights, GoesBy::Load],
    settings: &[Setting {
        name: "bias",
        kind: SettingKind::Ratio { max: 4_000_000 },
        default: 1_000_000,
        about: "exponent of the weight",
    }],
    build: |spec| {
        Box::new(WeightedLeastConnections { bias: spec.ratio("bias"), list: Shortlist::default() })
    },
};

/// Nodes drawn in large tiers.
const CHOICES: usize = 8;

#[derive(Debug)]
struct WeightedLeastConnections {
    bias: f64,
    list: Shortlist,
}

impl WeightedLeastConnections {
    fn load(&self, context: &PickContext<'_>, node: NodeId) -> f64 {
        let weight = f64::from(context.node(node).spec.weight);
        let share = if self.bias.total_cmp(&1.0).is_eq() { weight } else { weight.powf(self.bias) };
        least_connections::load(context, Signal::Own, node) / share
    }
}

impl Strategy for WeightedLeastConnections {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        context.shortlist(CHOICES, &mut list, rng);
        let picked = pick_least(context, list.nodes().iter().copied(), rng, why, |node| {
            (context.against_failure(context.node(node), self.load(context, node)), 0.0)
        });
        self.list = list;
        picked
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Load, self.load(context, node))
    }
}

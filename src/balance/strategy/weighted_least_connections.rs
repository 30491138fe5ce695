//! Weighted least connections: the node with the fewest requests in flight for its weight.
//!
//! `cost = (requests in flight + 1) / weight^bias / success probability`. With a bias of one the
//! loads become proportional to the weights; with zero weights do not matter. Large tiers are sampled.

use super::{Ask, Entry, Setting, SettingKind, Shortlist, Strategy, least, least_connections};
use crate::balance::event::{Term, Terms, Why};
use crate::balance::hearsay::Signal;
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const ENTRY: Entry = Entry {
    name: "weighted_least_connections",
    summary: "the node with the fewest requests in flight for its weight",
    when: "nodes of known unlike capacity, requests of unlike length",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "HAProxy leastconn; Envoy weighted least request",
    settings: &[Setting {
        name: "bias",
        kind: SettingKind::Ratio { max: 4_000_000 },
        default: 1_000_000,
        about: "exponent of the weight",
    }],
    build: |spec| {
        Box::new(WeightedLeastConnections { bias: spec.ratio(0), list: Shortlist::default() })
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
    fn load(&self, ask: &Ask<'_>, node: NodeId) -> f64 {
        let weight = f64::from(ask.node(node).spec.weight);
        let share = if self.bias.total_cmp(&1.0).is_eq() { weight } else { weight.powf(self.bias) };
        least_connections::load(ask, Signal::Own, node) / share
    }
}

impl Strategy for WeightedLeastConnections {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        ask.shortlist(CHOICES, &mut list, rng);
        let picked = least(ask, list.nodes().iter().copied(), rng, why, |node| {
            (ask.against_failure(ask.node(node), self.load(ask, node)), 0.0)
        });
        self.list = list;
        picked
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Load, self.load(ask, node))
    }
}

//! Prefix-cache-aware: least outstanding tokens, where cached tokens of the prompt do not count.
//!
//! `cost = (a * (prompt tokens not answered + uncached tokens of this prompt) + tokens still to come +
//! tokens expected of this answer) / weight / success probability`. There are no thresholds: a match only
//! makes the prompt shorter, so a node that holds the prefix wins until its load outweighs it. Candidates
//! are nodes drawn by load and the two that hold most of the prefix.

use super::prefix_index::PrefixIndex;
use super::{Ask, Entry, Fact, Setting, SettingKind, Shortlist, Strategy, least};
use crate::balance::event::{Term, Terms, Why};
use crate::balance::fleet::Fleet;
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const ENTRY: Entry = Entry {
    name: "prefix_cache_aware",
    summary: "the fewest outstanding tokens, cached ones of the prompt not counted",
    when: "engines with prefix caches and prompts that share beginnings",
    cost: "O(n + log blocks) up to 128 nodes, O(log blocks) beyond",
    source: "prefix-aware routing without thresholds; compare sglang #32195",
    settings: &[Setting {
        name: "prefill_weight",
        kind: SettingKind::Ratio { max: 10_000_000 },
        default: 250_000,
        about: "cost of a prompt token relative to an output token",
    }],
    build: |spec| {
        Box::new(PrefixCacheAware {
            prefill_weight: spec.ratio(0),
            index: PrefixIndex::default(),
            list: Shortlist::default(),
        })
    },
};

/// Nodes drawn in large tiers.
const CHOICES: usize = 8;

#[derive(Debug)]
struct PrefixCacheAware {
    prefill_weight: f64,
    index: PrefixIndex,
    list: Shortlist,
}

impl PrefixCacheAware {
    fn parts(&self, ask: &Ask<'_>, id: NodeId) -> (f64, f64) {
        let node = ask.node(id);
        let weight = f64::from(node.spec.weight);
        let new = self.index.uncached(ask.request, id);
        let prefill = (node.ledger.prompt + new).0 as f64 * self.prefill_weight;
        let decode = (node.ledger.output + ask.expected_output).0 as f64;
        (prefill / weight, decode / weight)
    }
}

impl Strategy for PrefixCacheAware {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        ask.shortlist(CHOICES, &mut list, rng);
        self.index.look_up(ask, &mut list);
        let picked = least(ask, list.nodes().iter().copied(), rng, why, |id| {
            let (prefill, decode) = self.parts(ask, id);
            (ask.against_failure(ask.node(id), prefill + decode), 0.0)
        });
        self.list = list;
        picked
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        let (prefill, decode) = self.parts(ask, node);
        Terms::NONE.with(Term::Prefill, prefill).with(Term::Decode, decode)
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, _: &Fleet) {
        if let Fact::Dispatched { node, request } = *fact {
            self.index.insert(request, node);
        }
    }
}

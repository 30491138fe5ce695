//! Least outstanding tokens: the node with the least work still to do, in tokens.
//!
//! `cost = (a * (prompt tokens not answered + this prompt) + tokens still to come + tokens expected
//! of this answer) / weight / success probability`, where `a` is the price of a prefill token in
//! decode tokens. Expected lengths are class means; what peers have in
//! flight counts as well. On nodes of unlike speed set `weight` to the
//! relative capacity; without it tokens are no better than requests.

use super::{Ask, Entry, Setting, SettingKind, Strategy, least};
use crate::balance::event::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const ENTRY: Entry = Entry {
    name: "least_tokens",
    summary: "the node with the fewest outstanding tokens, relative to its weight",
    when: "prompts and answers of very unlike length; weight = relative capacity of the node",
    cost: "O(n)",
    source: "as in token-aware LLM routers; normalised by capacity",
    settings: &[Setting {
        name: "prefill_weight",
        kind: SettingKind::Ratio { max: 10_000_000 },
        default: 250_000,
        about: "cost of a prompt token relative to an output token",
    }],
    build: |spec| Box::new(LeastTokens { prefill_weight: spec.get(0) as f64 / 1e6 }),
};

#[derive(Debug)]
struct LeastTokens {
    prefill_weight: f64,
}

impl LeastTokens {
    /// (prefill, decode) in decode-token equivalents, for a node of weight one.
    fn parts(&self, ask: &Ask<'_>, node: NodeId) -> (f64, f64) {
        let load = ask.fleet.load(node);
        let weight = f64::from(ask.node(node).spec.weight);
        let prefill = (load.prompt + ask.request.prompt).0 as f64 * self.prefill_weight;
        let decode = (load.output + ask.expected_output).0 as f64;
        (prefill / weight, decode / weight)
    }
}

impl Strategy for LeastTokens {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        least(ask, ask.candidates(), rng, why, |id| {
            let (prefill, decode) = self.parts(ask, id);
            (ask.against_failure(ask.node(id), prefill + decode), 0.0)
        })
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        let (prefill, decode) = self.parts(ask, node);
        Terms::NONE.with(Term::Prefill, prefill).with(Term::Decode, decode)
    }
}

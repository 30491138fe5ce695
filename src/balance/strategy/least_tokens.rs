//! Least outstanding tokens: the node with the least work still to do, in tokens.
//!
//! `cost = (a * (prompt tokens not answered + this prompt) + tokens still to come + tokens expected
//! of this answer) / weight / success probability`, where `a` is the price of a prefill token in
//! decode tokens. Expected lengths are class means; what peers have in
//! flight counts as well. On nodes of unlike speed set `weight` to the
//! relative capacity; without it tokens are no better than requests.

use super::{GoesBy, PickContext, Setting, SettingKind, Strategy, StrategyDef, pick_least};
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "least_tokens",
    summary: "the node with the fewest outstanding tokens, relative to its weight",
    when: "prompts and answers of very unlike length; weight = relative capacity of the node",
    cost: "O(n)",
    source: "as in token-aware LLM routers; normalised by capacity",
    goes_by: &[GoesBy::Load],
    settings: &[Setting {
        name: "prefill_weight",
        kind: SettingKind::Ratio { max: 10_000_000 },
        default: 250_000,
        about: "cost of a prompt token relative to an output token",
    }],
    build: |spec| Box::new(LeastTokens { prefill_weight: spec.ratio("prefill_weight") }),
};

#[derive(Debug)]
struct LeastTokens {
    prefill_weight: f64,
}

impl LeastTokens {
    /// (prefill, decode) in decode-token equivalents, for a node of weight one.
    fn parts(&self, context: &PickContext<'_>, node: NodeId) -> (f64, f64) {
        let load = context.fleet.load(node);
        let weight = f64::from(context.node(node).spec.weight);
        let prefill = (load.prompt + context.request.prompt).0 as f64 * self.prefill_weight;
        let decode = (load.output + context.expected_output).0 as f64;
        (prefill / weight, decode / weight)
    }
}

impl Strategy for LeastTokens {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        pick_least(context, context.candidates(), rng, why, |id| {
            let (prefill, decode) = self.parts(context, id);
            (context.against_failure(context.node(id), prefill + decode), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let (prefill, decode) = self.parts(context, node);
        Terms::NONE.with(Term::Prefill, prefill).with(Term::Decode, decode)
    }
}

//! Score: your own formula, written in the scenario; the node with the least value gets the request.
//!
//! `strategy = { score = { formula = "ttft + 0.02 * output_tokens * tpot + 300 * dollars" } }`. The terms
//! are in [`TERMS`]; there are numbers, `+ - * / ^`, brackets and the functions of the crate `exmex` (`exp`,
//! `ln`, `sqrt`, ...). It is compiled once. The value is divided by the success probability of the node, as
//! every load-type cost is; a value that is no number loses against every other.

use super::formula::{Formula, LANES, compile};
use super::predict::Prediction;
use super::shortest_expected::{EXPLORE, Eye};
use super::{
    Fact, Memo, PickContext, Setting, SettingKind, Strategy, StrategyDef, StrategySpec, cheapest,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub use super::formula::{FormulaError, LENGTH_MAX, check};

/// The formula that is used where none is given.
pub const DEFAULT: &str = "ttft + output_tokens * tpot";

/// What a formula may name, with unit and meaning.
pub const TERMS: &[(&str, &str)] = &[
    ("ttft", "seconds to the first token, predicted"),
    ("tpot", "seconds for each token after it, predicted"),
    ("others", "seconds that the other requests on the node lose, predicted"),
    ("dollars", "what the request is expected to cost"),
    ("prompt_tokens", "tokens of the prompt"),
    ("new_tokens", "tokens of the prompt that the node has not cached"),
    ("output_tokens", "tokens that the answer is expected to have"),
    ("in_flight", "requests in flight on the node, without this one"),
    ("prefilling", "those of them without a first token"),
    ("decoding", "those of them with one"),
    ("prompt_in_flight", "prompt tokens of those without a first token"),
    ("output_in_flight", "tokens still expected of the requests in flight"),
    ("kv_tokens", "tokens that the requests in flight hold"),
    ("weight", "the node's weight"),
    ("success", "the probability that the node succeeds, from 0 to 1"),
    ("random", "a uniform draw from 0 to 1 for each node"),
];

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "score",
    summary: "your own formula over documented terms, the least value wins",
    when: "none of the others says what you want",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "yours",
    goes_by: &[],
    settings: &[Setting {
        name: "formula",
        kind: SettingKind::Formula,
        default: 0,
        about: "what is to be least; `plimsoll list strategies` and the reference have its terms",
    }],
    build,
};

fn build(spec: &StrategySpec) -> Box<dyn Strategy> {
    // A formula is checked where it is read; one out of an edited journal may still be wrong.
    let compiled = spec.formula().and_then(|text| compile(text).ok());
    let compiled = compiled.or_else(|| compile(DEFAULT).ok());
    let formula = compiled.expect("the default formula compiles");
    Box::new(Score {
        draws: formula.names(|place| place == TERMS.len() - 1),
        predicts: formula.names(|place| place < 3),
        formula,
        eye: Eye::doubting(),
        values: Vec::new(),
    })
}

#[derive(Debug)]
struct Score {
    formula: Formula,
    /// Whether the formula names `random`, and whether it names what is predicted.
    draws: bool,
    predicts: bool,
    eye: Eye,
    /// By place on the shortlist of the last decision.
    values: Vec<f64>,
}

impl Score {
    /// Returns a term for a node.
    fn term(
        eye: &Eye,
        context: &PickContext<'_>,
        id: NodeId,
        prediction: &Prediction,
        draw: f64,
        place: usize,
    ) -> f64 {
        let node = context.node(id);
        let ledger = &node.ledger;
        match place {
            0 => prediction.ttft,
            1 => prediction.tpot,
            2 => prediction.others,
            3 => cheapest::dollars(context, id),
            4 => context.request.prompt.0 as f64,
            5 => eye.index.uncached(context.request, id).0 as f64,
            6 => context.expected_output.0 as f64,
            7 => f64::from(ledger.requests),
            8 => f64::from(ledger.prefilling),
            9 => f64::from(ledger.decoding),
            10 => ledger.prompt.0 as f64,
            11 => ledger.output.0 as f64,
            12 => ledger.kv.0 as f64,
            13 => f64::from(node.spec.weight),
            14 => node.success(context.now),
            _ => draw,
        }
    }

    /// Works the formula out for each of the nodes.
    fn work_out(&mut self, context: &PickContext<'_>, nodes: &[NodeId], mut side: Option<Rng>) {
        self.values.clear();
        for eight in nodes.chunks(LANES) {
            for (lane, &id) in eight.iter().enumerate() {
                let prediction = self.predicts.then(|| self.eye.predict(context, id));
                let prediction = prediction.unwrap_or_default();
                let draw = side.as_mut().map_or(0.0, Rng::unit);
                let eye = &self.eye;
                self.formula.set(lane, |at| Self::term(eye, context, id, &prediction, draw, at));
            }
            self.values.extend_from_slice(&self.formula.work_out()[..eight.len()]);
        }
    }
}

impl Strategy for Score {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        if self.predicts
            && let Some(node) = self.eye.try_forgotten(context, EXPLORE, rng, why)
        {
            self.values.clear();
            return Some(node);
        }
        let side = self.draws.then(|| Rng::from_key(rng.bits()));
        let mut list = std::mem::take(&mut self.eye.list);
        self.eye.look(context, &mut list, rng);
        self.work_out(context, list.nodes(), side);
        let mut values = self.values.iter().copied();
        let nodes = list.nodes().iter().copied();
        let picked = super::pick_least(context, nodes, rng, why, |id| {
            let value = values.next().unwrap_or(f64::INFINITY);
            // Below zero a division would turn the penalty into a bonus.
            let cost =
                if value > 0.0 { context.against_failure(context.node(id), value) } else { value };
            (cost, 0.0)
        });
        self.eye.list = list;
        picked
    }

    fn terms(&self, _: &PickContext<'_>, node: NodeId) -> Terms {
        // Whom the decision did not look at has no value.
        let place = self.eye.list.nodes().iter().position(|&id| id == node);
        let value = place.and_then(|place| self.values.get(place));
        value.map_or(Terms::NONE, |&value| Terms::NONE.with(Term::Formula, value))
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(context, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        self.eye.learn(now, fact, fleet);
    }
}

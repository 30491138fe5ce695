//! Score: your own formula, written in the scenario; the node with the least value gets the request.
//!
//! `strategy = { score = { formula = "ttft + 0.02 * output_tokens * tpot + 300 * dollars" } }`. The terms
//! are in [`TERMS`]; there are numbers, `+ - * / ^`, brackets and the functions of the crate `exmex` (`exp`,
//! `ln`, `sqrt`, ...). It is compiled once. The value is divided by the success probability of the node, as
//! every load-type cost is; a value that is no number loses against every other.

use exmex::{Express, FlatEx};

use super::predict::Prediction;
use super::shortest_expected::Eye;
use super::{Ask, Entry, Fact, Memo, Setting, SettingKind, Strategy, StrategySpec, cheapest};
use crate::balance::event::{Term, Terms, Why};
use crate::balance::fleet::Fleet;
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

/// The formula that is used where none is given.
pub const DEFAULT: &str = "ttft + output_tokens * tpot";

/// A formula is at most so many bytes long.
pub const LENGTH_MAX: usize = 1_000;

/// Brackets go so deep.
const DEPTH_MAX: usize = 32;

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

pub(super) const ENTRY: Entry = Entry {
    name: "score",
    summary: "your own formula over documented terms, the least value wins",
    when: "none of the others says what you want",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "yours",
    settings: &[Setting {
        name: "formula",
        kind: SettingKind::Formula,
        default: 0,
        about: "what is to be least; see the README for its terms",
    }],
    build,
};

/// A formula that cannot be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormulaError {
    /// Where in the text, in bytes.
    pub at: usize,
    /// How long the place is.
    pub len: usize,
    /// What is wrong.
    pub reason: String,
    /// A name that is close, if one is unknown.
    pub unknown: Option<String>,
}

type Compiled = (FlatEx<f64>, Vec<usize>);

/// Compiles a formula: the expression, and for each of its variables the index in [`TERMS`].
fn compile(text: &str) -> Result<Compiled, FormulaError> {
    let whole = |reason: String| FormulaError { at: 0, len: text.len(), reason, unknown: None };
    if text.trim().is_empty() {
        return Err(whole("the formula is empty".to_owned()));
    }
    if text.len() > LENGTH_MAX {
        return Err(whole(format!("a formula has at most {LENGTH_MAX} bytes")));
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !c.is_ascii() || c.is_control()) {
        let reason = "not a character of a formula".to_owned();
        return Err(FormulaError { at, len: c.len_utf8(), reason, unknown: None });
    }
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => {
                let reason = "nothing to close".to_owned();
                return Err(FormulaError { at, len: 1, reason, unknown: None });
            }
            ')' => depth -= 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            let reason = format!("brackets go {DEPTH_MAX} deep at most");
            return Err(FormulaError { at, len: 1, reason, unknown: None });
        }
    }
    let compiled = FlatEx::<f64>::parse(text).map_err(|error| whole(error.to_string()))?;
    let mut places = Vec::new();
    for name in compiled.var_names() {
        let Some(place) = TERMS.iter().position(|(term, _)| term == name) else {
            let at = text.find(name.as_str()).unwrap_or(0);
            let reason = format!("unknown term `{name}`");
            return Err(FormulaError { at, len: name.len(), reason, unknown: Some(name.clone()) });
        };
        places.push(place);
    }
    Ok((compiled, places))
}

/// Says what is wrong with a formula, if anything is.
///
/// # Errors
/// The first mistake, with its place.
pub fn check(text: &str) -> Result<(), FormulaError> {
    compile(text).map(|_| ())
}

fn build(spec: &StrategySpec) -> Box<dyn Strategy> {
    // A formula is checked where it is read; one out of an edited journal may still be wrong.
    let compiled = spec.formula().and_then(|text| compile(text).ok());
    let compiled = compiled.or_else(|| compile(DEFAULT).ok());
    let (formula, places) = compiled.expect("the default formula compiles");
    Box::new(Score { formula, places, eye: Eye::default() })
}

#[derive(Debug)]
struct Score {
    formula: FlatEx<f64>,
    /// By variable of the formula: its term.
    places: Vec<usize>,
    eye: Eye,
}

impl Score {
    fn value(&self, ask: &Ask<'_>, id: NodeId, prediction: &Prediction, draw: f64) -> f64 {
        let node = ask.node(id);
        let ledger = &node.ledger;
        let term = |place: usize| match place {
            0 => prediction.ttft,
            1 => prediction.tpot,
            2 => prediction.others,
            3 => cheapest::dollars(ask, id),
            4 => ask.request.prompt.0 as f64,
            5 => self.eye.index.uncached(ask.request, id).0 as f64,
            6 => ask.expected_output.0 as f64,
            7 => f64::from(ledger.requests),
            8 => f64::from(ledger.prefilling),
            9 => f64::from(ledger.decoding),
            10 => ledger.prompt.0 as f64,
            11 => ledger.output.0 as f64,
            12 => ledger.kv.0 as f64,
            13 => f64::from(node.spec.weight),
            14 => node.success(ask.now),
            _ => draw,
        };
        let mut values = [0.0; TERMS.len()];
        for (value, &place) in values.iter_mut().zip(&self.places) {
            *value = term(place);
        }
        let value = self.formula.eval(&values[..self.places.len()]).unwrap_or(f64::NAN);
        if value.is_nan() { f64::INFINITY } else { value }
    }
}

impl Strategy for Score {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let draws = self.places.contains(&(TERMS.len() - 1));
        let mut side = if draws { Rng::from_key(rng.bits()) } else { Rng::from_key(0) };
        let mut list = std::mem::take(&mut self.eye.list);
        self.eye.look(ask, &mut list, rng);
        let picked = super::least(ask, list.nodes().iter().copied(), rng, why, |id| {
            let prediction = self.eye.predict(ask, id);
            let value = self.value(ask, id, &prediction, side.unit());
            // Below zero a division would turn the penalty into a bonus.
            let cost = if value > 0.0 { ask.against_failure(ask.node(id), value) } else { value };
            (cost, 0.0)
        });
        self.eye.list = list;
        picked
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        let prediction = self.eye.predict(ask, node);
        Terms::NONE.with(Term::Formula, self.value(ask, node, &prediction, 0.5))
    }

    fn memo(&self, ask: &Ask<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(ask, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        self.eye.learn(now, fact, fleet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_checked_with_their_place() {
        assert_eq!(check(DEFAULT), Ok(()));
        assert_eq!(check("ttft + 0.02 * output_tokens * tpot + 300 * dollars"), Ok(()));
        let error = check("ttft + latenzy").unwrap_err();
        assert_eq!((error.at, error.len), (7, 7));
        for wrong in ["", "  ", "ttft +", "ttft)", "((ttft", "ttft tpot +", &"(".repeat(100), "é"]
        {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}

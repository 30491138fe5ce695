//! Formulas: compiled once, worked out for eight nodes at a time.
//!
//! The crate `exmex` reads a formula and keeps it flat. Working it out costs a few hundred instructions
//! around the few that count, so its numbers here are [`Lanes`]: eight numbers of eight nodes, side by
//! side. The operators are those of the crate for one number, and give the same bits in each lane.

use std::str::FromStr;

use exmex::{BinOp, Express, FlatEx, MakeOperators, NumberMatcher, Operator};

use super::score::TERMS;

/// A formula is at most so many bytes long.
pub const LENGTH_MAX: usize = 1_000;

/// Brackets go so deep.
const DEPTH_MAX: usize = 32;

/// So many nodes are worked out together.
pub(super) const LANES: usize = 8;

/// A number of each of so many nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Lanes(pub(super) [f64; LANES]);

impl Lanes {
    fn map(self, f: impl Fn(f64) -> f64) -> Lanes {
        Lanes(self.0.map(f))
    }

    fn zip(self, other: Lanes, f: impl Fn(f64, f64) -> f64) -> Lanes {
        Lanes(std::array::from_fn(|at| f(self.0[at], other.0[at])))
    }
}

/// A number that is written in a formula is the same for all.
impl FromStr for Lanes {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Lanes, Self::Err> {
        text.parse().map(|number| Lanes([number; LANES]))
    }
}

/// What a formula may do.
#[derive(Clone, Copy, Debug)]
struct Operators;

impl MakeOperators<Lanes> for Operators {
    fn make<'a>() -> Vec<Operator<'a, Lanes>> {
        macro_rules! both {
            ($f:expr, $prio:expr, $commutative:expr) => {
                BinOp {
                    apply: |a: Lanes, b: Lanes| a.zip(b, $f),
                    prio: $prio,
                    is_commutative: $commutative,
                }
            };
        }
        macro_rules! functions {
            ($($name:literal: $f:expr),*) => {
                [$(Operator::make_unary($name, |a: Lanes| a.map($f))),*]
            };
        }
        let constant = |name, number| Operator::make_constant(name, Lanes([number; LANES]));
        let mut all = vec![
            Operator::make_bin("^", both!(f64::powf, 4, false)),
            Operator::make_bin("*", both!(|a, b| a * b, 2, true)),
            Operator::make_bin("/", both!(|a, b| a / b, 3, false)),
            Operator::make_bin_unary("+", both!(|a, b| a + b, 0, true), |a| a),
            Operator::make_bin_unary("-", both!(|a, b| a - b, 1, false), |a| a.map(|a| -a)),
            Operator::make_bin("atan2", both!(f64::atan2, 0, false)),
            Operator::make_bin("min", both!(f64::min, 0, false)),
            Operator::make_bin("max", both!(f64::max, 0, false)),
            constant("PI", std::f64::consts::PI),
            constant("E", std::f64::consts::E),
            constant("e", std::f64::consts::E),
            constant("TAU", std::f64::consts::TAU),
        ];
        all.extend(functions![
            "abs": f64::abs, "signum": f64::signum, "floor": f64::floor, "round": f64::round,
            "ceil": f64::ceil, "trunc": f64::trunc, "fract": f64::fract, "exp": f64::exp,
            "sqrt": f64::sqrt, "cbrt": f64::cbrt, "ln": f64::ln, "log": f64::ln,
            "log2": f64::log2, "log10": f64::log10, "sin": f64::sin, "cos": f64::cos,
            "tan": f64::tan, "asin": f64::asin, "acos": f64::acos, "atan": f64::atan,
            "sinh": f64::sinh, "cosh": f64::cosh, "tanh": f64::tanh, "asinh": f64::asinh,
            "acosh": f64::acosh, "atanh": f64::atanh
        ]);
        all
    }
}

/// A formula that can be worked out.
#[derive(Debug)]
pub(super) struct Formula {
    flat: FlatEx<Lanes, Operators, NumberMatcher>,
    /// By variable of the formula: its index in [`TERMS`].
    places: Vec<usize>,
    values: Vec<Lanes>,
}

impl Formula {
    /// Returns whether a term of these places is in it.
    pub(super) fn names(&self, mut wanted: impl FnMut(usize) -> bool) -> bool {
        self.places.iter().any(|&place| wanted(place))
    }

    /// Sets the terms of one lane.
    pub(super) fn set(&mut self, lane: usize, term: impl Fn(usize) -> f64) {
        for (value, &place) in self.values.iter_mut().zip(&self.places) {
            value.0[lane] = term(place);
        }
    }

    /// Works it out with the terms that were set; what is no number is infinite.
    pub(super) fn work_out(&self) -> [f64; LANES] {
        let value = self.flat.eval(&self.values).unwrap_or(Lanes([f64::NAN; LANES]));
        value.0.map(|value| if value.is_nan() { f64::INFINITY } else { value })
    }
}

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

/// Compiles a formula.
///
/// # Errors
/// The first mistake, with its place.
pub(super) fn compile(text: &str) -> Result<Formula, FormulaError> {
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
    let flat = FlatEx::parse(text).map_err(|error| whole(error.to_string()))?;
    let mut places = Vec::new();
    for name in flat.var_names() {
        let Some(place) = TERMS.iter().position(|(term, _)| term == name) else {
            let at = text.find(name.as_str()).unwrap_or(0);
            let reason = format!("unknown term `{name}`");
            return Err(FormulaError { at, len: name.len(), reason, unknown: Some(name.clone()) });
        };
        places.push(place);
    }
    let values = vec![Lanes::default(); places.len()];
    Ok(Formula { flat, places, values })
}

/// Says what is wrong with a formula, if anything is.
///
/// # Errors
/// The first mistake, with its place.
pub fn check(text: &str) -> Result<(), FormulaError> {
    compile(text).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::score::DEFAULT;

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

    #[test]
    fn every_lane_is_worked_out_as_one_number_is() {
        let text =
            "-ttft ^ 2 + sqrt(tpot) * 3 / (in_flight + 0.1) - exp(-ttft) * PI + 2 * 3 min tpot";
        let one = exmex::parse::<f64>(text).expect("a formula");
        let mut formula = compile(text).expect("a formula");
        let term = |lane: usize, place: usize| 0.37 + lane as f64 * 1.1 + place as f64 * 0.21;
        (0..LANES).for_each(|lane| formula.set(lane, |place| term(lane, place)));
        let values = formula.work_out();
        for (lane, value) in values.into_iter().enumerate() {
            let place = |name: &String| TERMS.iter().position(|(term, _)| term == name);
            let names = one.var_names().iter().filter_map(place);
            let terms: Vec<f64> = names.map(|place| term(lane, place)).collect();
            assert_eq!(value.to_bits(), one.eval(&terms).expect("a number").to_bits());
        }
    }

    #[test]
    fn what_is_no_number_loses() {
        let mut formula = compile("ln(ttft)").expect("a formula");
        (0..LANES).for_each(|lane| formula.set(lane, |_| if lane == 3 { -1.0 } else { 1.0 }));
        let values = formula.work_out();
        assert_eq!((values[3], values[4]), (f64::INFINITY, 0.0));
    }
}

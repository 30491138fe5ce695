//! Distributions: `{ lognormal = { p50 = "450ms", p95 = "1.4s" } }` or a constant.

use super::document::Kind;
use super::keys::{
    KeyDef, KeyKind, POSITIVE_SPAN, SPAN, SectionDef, Usual, above, above_zero, between, key, need,
    one, section,
};
use super::table::Table;
use super::value::{Field, Walk};
use crate::dist::{COMPONENTS_MAX, Dist, DistError, POINTS_MAX};
use crate::unit::Span;

/// A duration, or a law of durations.
pub(super) const DURATION: KeyKind = KeyKind::Any(DURATION_FORMS);
const DURATION_FORMS: &[KeyKind] = &[SPAN, KeyKind::Variant(&DURATIONS, "distribution")];

/// A number, or a law of numbers.
pub(super) const NUMBER: KeyKind = KeyKind::Any(NUMBER_FORMS);
const NUMBER_FORMS: &[KeyKind] = &[NOT_NEGATIVE, KeyKind::Variant(&NUMBERS, "distribution")];

const NOT_NEGATIVE: KeyKind = between(0.0, f64::INFINITY);

pub(super) use durations::LAWS as DURATIONS;
pub(super) use numbers::LAWS as NUMBERS;

/// The laws whose values are of this kind. Bounds of parameters are those of the laws themselves, which
/// say why a value cannot be.
macro_rules! laws {
    ($module:ident, $name:literal, $value:expr, $positive:expr) => {
        mod $module {
            use super::*;

            /// Every law by its name.
            pub(in super::super) static LAWS: SectionDef = SectionDef {
                keys: &[
                    one("constant", $value, "always the same"),
                    one("uniform", KeyKind::Table(&UNIFORM), "all between two values alike"),
                    one("exponential", KeyKind::Table(&EXPONENTIAL), "without memory"),
                    one("gamma", KeyKind::Table(&GAMMA), "more or less even than exponential"),
                    one(
                        "lognormal",
                        KeyKind::Table(&LOGNORMAL),
                        "by two quantiles, or by `mean` and `sigma`",
                    ),
                    one(
                        "weibull",
                        KeyKind::Table(&WEIBULL),
                        "with an end that is lighter or heavier than exponential",
                    ),
                    one("pareto", KeyKind::Table(&PARETO), "with a heavy end"),
                    one(
                        "mixture",
                        KeyKind::List(&MIXED, 1, COMPONENTS_MAX),
                        "several log-normal laws by weight",
                    ),
                    one(
                        "quantiles",
                        KeyKind::List(&POINT, 2, POINTS_MAX),
                        "a line through points [probability, value], the first at 0, the last at 1",
                    ),
                ],
                ..section($name, "")
            };

            static UNIFORM: SectionDef = SectionDef {
                keys: &[need("min", $value, "the least"), need("max", $value, "the greatest")],
                ..section(concat!($name, ".uniform"), "")
            };

            static EXPONENTIAL: SectionDef =
                SectionDef { keys: &[MEAN], ..section(concat!($name, ".exponential"), "") };

            static GAMMA: SectionDef = SectionDef {
                keys: &[MEAN, need("cv", above(0.0), "the coefficient of variation")],
                ..section(concat!($name, ".gamma"), "")
            };

            static LOGNORMAL: SectionDef = SectionDef {
                keys: &[
                    quantile("p1"),
                    quantile("p5"),
                    quantile("p10"),
                    quantile("p25"),
                    quantile("p50"),
                    quantile("p75"),
                    quantile("p90"),
                    quantile("p95"),
                    quantile("p98"),
                    quantile("p99"),
                    quantile("p999"),
                    key(
                        "mean",
                        $positive,
                        Usual::NeededUnless("two quantiles"),
                        "in place of quantiles",
                    ),
                    key(
                        "sigma",
                        above(0.0),
                        Usual::NeededUnless("two quantiles"),
                        "the deviation of the logarithm, beside `mean`",
                    ),
                    key("shift", $value, Usual::Unsaid("nothing"), "what is added to every value"),
                ],
                ..section(concat!($name, ".lognormal"), "")
            };

            static WEIBULL: SectionDef = SectionDef {
                keys: &[
                    MEAN,
                    need("shape", between(0.05, f64::INFINITY), "below one the end is heavier"),
                ],
                ..section(concat!($name, ".weibull"), "")
            };

            static PARETO: SectionDef = SectionDef {
                keys: &[
                    need("min", $positive, "the least"),
                    need("shape", above(1.0), "the smaller, the heavier the end"),
                ],
                ..section(concat!($name, ".pareto"), "")
            };

            static PART: SectionDef = SectionDef {
                keys: &[
                    need(
                        "weight",
                        above_zero(1e9),
                        "its part of the values, relative to the others",
                    ),
                    need("lognormal", KeyKind::Table(&LOGNORMAL), "its law"),
                ],
                ..section(concat!($name, ".mixture"), "a part of the mixture")
            };

            const MEAN: KeyDef = need("mean", $positive, "the mean");
            const MIXED: KeyKind = KeyKind::Table(&PART);
            const POINT: KeyKind = KeyKind::Point(&$value);

            const fn quantile(name: &'static str) -> KeyDef {
                key(
                    name,
                    $positive,
                    Usual::Unsaid("two quantiles are said, or `mean` and `sigma`"),
                    "a quantile",
                )
            }
        }
    };
}

laws!(durations, "durations", SPAN, POSITIVE_SPAN);
laws!(numbers, "numbers", NOT_NEGATIVE, above(0.0));

/// What the values of a distribution are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberUnit {
    /// Durations: strings with a unit, kept in seconds.
    Time,
    /// Plain numbers.
    Plain,
}

/// Quantiles as a log-normal law may name two of them.
const QUANTILES: [(&str, f64); 11] = [
    ("p1", 0.01),
    ("p5", 0.05),
    ("p10", 0.10),
    ("p25", 0.25),
    ("p50", 0.50),
    ("p75", 0.75),
    ("p90", 0.90),
    ("p95", 0.95),
    ("p98", 0.98),
    ("p99", 0.99),
    ("p999", 0.999),
];

/// The parameters of a law with the fields they came from, so that an error can point at one.
struct Parameters<'a, 'w> {
    table: Table<'a>,
    walk: &'w mut Walk,
    unit: NumberUnit,
    fields: Vec<Field<'a>>,
}

impl Parameters<'_, '_> {
    /// A parameter in the unit of the distribution.
    fn quantity(&mut self, key: &'static str) -> Option<f64> {
        let field = self.table.need(self.walk, key)?;
        self.fields.push(field);
        quantity(self.walk, field, self.unit)
    }

    /// A parameter without a unit.
    fn shape(&mut self, key: &'static str) -> Option<f64> {
        let field = self.table.need(self.walk, key)?;
        self.fields.push(field);
        self.walk.finite(field)
    }

    /// Both parameters, each looked at whatever is wrong with the other.
    fn both(a: Option<f64>, b: Option<f64>) -> Option<(f64, f64)> {
        a.zip(b)
    }

    fn lognormal(&mut self) -> Option<Result<Dist, DistError>> {
        let law = if self.table.has("mean") || self.table.has("sigma") {
            let both = Self::both(self.quantity("mean"), self.shape("sigma"));
            both.map(|(mean, sigma)| Dist::lognormal_mean(mean, sigma))
        } else {
            self.between()
        };
        if !self.table.has("shift") {
            return law;
        }
        let shift = self.quantity("shift");
        law.zip(shift).map(|(law, shift)| law?.shifted(shift))
    }

    /// A log-normal law by two of its quantiles; `p50` and `p95` are asked for if they are missing.
    fn between(&mut self) -> Option<Result<Dist, DistError>> {
        let named = |(name, _): &(&'static str, f64)| self.table.has(name);
        let mut named: Vec<_> = QUANTILES.into_iter().filter(named).collect();
        for usual in [("p50", 0.50), ("p95", 0.95), ("p99", 0.99)] {
            if named.len() < 2 && !named.contains(&usual) {
                named.push(usual);
            }
        }
        named.sort_by(|a, b| a.1.total_cmp(&b.1));
        let values: Vec<_> = named.iter().map(|(name, _)| self.quantity(name)).collect();
        if let Some((name, _)) = named.get(2) {
            let message = "a log-normal law has two quantiles, not more";
            let place = self.table.key_place(name);
            self.walk.problem(place, message).label("one too many");
            return None;
        }
        let (low, high) =
            ((named[0].0, named[0].1, values[0]?), (named[1].0, named[1].1, values[1]?));
        Some(Dist::lognormal_between(low, high))
    }

    fn law(&mut self, name: &str) -> Option<Result<Dist, DistError>> {
        match name {
            "uniform" => {
                let both = Self::both(self.quantity("min"), self.quantity("max"));
                both.map(|(min, max)| Dist::uniform(min, max))
            }
            "exponential" => self.quantity("mean").map(Dist::exponential),
            "gamma" => {
                let both = Self::both(self.quantity("mean"), self.shape("cv"));
                both.map(|(mean, cv)| Dist::gamma(mean, cv))
            }
            "lognormal" => self.lognormal(),
            "pareto" => {
                let both = Self::both(self.quantity("min"), self.shape("shape"));
                both.map(|(min, shape)| Dist::pareto(min, shape))
            }
            _ => {
                let both = Self::both(self.quantity("mean"), self.shape("shape"));
                both.map(|(mean, shape)| Dist::weibull(mean, shape))
            }
        }
    }
}

impl NumberUnit {
    /// What a field may be says what its values are.
    fn of(field: Field<'_>) -> NumberUnit {
        let time = field.kind.alternatives().iter().any(|kind| matches!(kind, KeyKind::Span(..)));
        if time { NumberUnit::Time } else { NumberUnit::Plain }
    }
}

fn quantity(walk: &mut Walk, field: Field<'_>, unit: NumberUnit) -> Option<f64> {
    match unit {
        NumberUnit::Time => walk.duration(field).map(Span::seconds),
        NumberUnit::Plain => walk.finite(field),
    }
}

/// Reads a distribution with a mean above zero.
pub(super) fn read(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let law = read_or_zero(walk, field)?;
    if law.mean() > 0.0 {
        return Some(law);
    }
    walk.must_be(field, "above zero");
    None
}

/// Reads a distribution that may be the constant zero.
pub(super) fn read_or_zero(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let unit = NumberUnit::of(field);
    if !field.is_table() {
        if matches!(field.value.kind, Kind::Truth(_) | Kind::Date | Kind::List(_)) {
            walk.must_be(field, "a distribution or a constant")
                .help("write for instance { lognormal = { p50 = ..., p95 = ... } }");
            return None;
        }
        return constant(walk, field, unit);
    }
    let (name, inner) = walk.variant(field)?;
    match name {
        "constant" => constant(walk, inner, unit),
        "mixture" => mixture(walk, inner, unit),
        "quantiles" => quantiles(walk, inner, unit),
        _ => parametric(walk, name, inner, unit),
    }
}

/// A law with a table of parameters.
fn parametric(walk: &mut Walk, name: &str, inner: Field<'_>, unit: NumberUnit) -> Option<Dist> {
    let table = walk.table(inner)?;
    let mut parameters = Parameters { table, walk, unit, fields: Vec::new() };
    let law = parameters.law(name);
    let Parameters { table, fields, .. } = parameters;
    table.finish(walk);
    checked(walk, inner, &fields, law?, unit)
}

fn checked(
    walk: &mut Walk,
    inner: Field<'_>,
    fields: &[Field<'_>],
    law: Result<Dist, DistError>,
    unit: NumberUnit,
) -> Option<Dist> {
    law.map_err(|error| refuse(walk, inner, fields, &error, unit)).ok()
}

/// `[{ weight = 0.7, lognormal = { ... } }, ...]`.
fn mixture(walk: &mut Walk, field: Field<'_>, unit: NumberUnit) -> Option<Dist> {
    let items = walk.list(field);
    if field.is_list_below(1) {
        walk.must_be(field, "a list such as [{ weight = 0.9, lognormal = { ... } }, ...]");
    }
    let part = |item| {
        let mut table = walk.table(item)?;
        let weight = table.number(walk, "weight");
        let law = table.need(walk, "lognormal");
        let law = law.and_then(|law| parametric(walk, "lognormal", law, unit));
        table.finish(walk);
        weight.zip(law)
    };
    // Every part is looked at before one that is wrong ends it.
    let parts: Vec<Option<(f64, Dist)>> = items.into_iter().map(part).collect();
    let parts: Vec<(f64, Dist)> = parts.into_iter().collect::<Option<_>>()?;
    if parts.is_empty() {
        return None;
    }
    checked(walk, field, &[], Dist::mixture(&parts), unit)
}

/// `[[0.0, 1], [0.5, 10], [1.0, 99]]`.
fn quantiles(walk: &mut Walk, field: Field<'_>, unit: NumberUnit) -> Option<Dist> {
    let items = walk.list(field);
    if field.is_list_below(2) {
        walk.must_be(field, "a list of points such as [[0.0, 1], [0.5, 10], [1.0, 99]]");
        return None;
    }
    let point = |item: Field<'_>| {
        let [p, value] = walk.list(item)[..] else {
            if item.is_list_below(2) {
                walk.must_be(item, "points [probability, value]");
            }
            return None;
        };
        let p = walk.number(p);
        p.zip(quantity(walk, value, unit))
    };
    let points: Vec<Option<(f64, f64)>> = items.into_iter().map(point).collect();
    let points: Vec<(f64, f64)> = points.into_iter().collect::<Option<_>>()?;
    if points.is_empty() {
        return None;
    }
    checked(walk, field, &[], Dist::quantiles(&points), unit)
}

fn constant(walk: &mut Walk, field: Field<'_>, unit: NumberUnit) -> Option<Dist> {
    let value = quantity(walk, field, unit)?;
    let law = Dist::constant(value);
    if law.is_err() {
        walk.must_be(field, "a finite number, zero or above");
    }
    law.ok()
}

fn refuse(
    walk: &mut Walk,
    law: Field<'_>,
    fields: &[Field<'_>],
    error: &DistError,
    unit: NumberUnit,
) {
    let named = fields.iter().find(|field| field.name == error.parameter);
    let field = named.copied().unwrap_or(law);
    let time = unit == NumberUnit::Time && !matches!(error.parameter, "cv" | "sigma" | "shape");
    let wanted = if time {
        error.wanted.replace("finite number", "duration")
    } else {
        error.wanted.to_owned()
    };
    walk.must_be(field, &wanted);
}

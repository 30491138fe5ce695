//! Distributions: `{ lognormal = { p50 = "450ms", p95 = "1.4s" } }` or a constant.

use super::document::Kind;
use super::value::{Field, Table, Walk};
use crate::dist::{Dist, DistError};
use crate::unit::Span;

/// What the values of a distribution are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Durations: strings with a unit, kept in seconds.
    Time,
    /// Plain numbers.
    Plain,
}

const LAWS: &[&str] = &["constant", "uniform", "exponential", "gamma", "lognormal", "weibull"];

/// The parameters of a law with the fields they came from, so that an error can point at one.
struct Parameters<'a, 'w> {
    table: Table<'a>,
    walk: &'w mut Walk,
    unit: Unit,
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
        self.walk.number(field)
    }

    /// Both parameters, each looked at whatever is wrong with the other.
    fn both(a: Option<f64>, b: Option<f64>) -> Option<(f64, f64)> {
        a.zip(b)
    }

    fn lognormal(&mut self) -> Option<Result<Dist, DistError>> {
        if self.table.has("mean") || self.table.has("sigma") {
            let both = Self::both(self.quantity("mean"), self.shape("sigma"));
            return both.map(|(mean, sigma)| Dist::lognormal_mean(mean, sigma));
        }
        let both = Self::both(self.quantity("p50"), self.quantity("p95"));
        both.map(|(p50, p95)| Dist::lognormal_quantiles(p50, p95))
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
            _ => {
                let both = Self::both(self.quantity("mean"), self.shape("shape"));
                both.map(|(mean, shape)| Dist::weibull(mean, shape))
            }
        }
    }
}

fn quantity(walk: &mut Walk, field: Field<'_>, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Time => walk.span(field, Span::ZERO..=Span::MAX).map(Span::seconds),
        Unit::Plain => walk.number(field),
    }
}

/// Reads a distribution with a mean above zero.
pub(super) fn read(walk: &mut Walk, field: Field<'_>, unit: Unit) -> Option<Dist> {
    let law = read_or_zero(walk, field, unit)?;
    if law.mean() > 0.0 {
        return Some(law);
    }
    walk.must_be(field, "above zero");
    None
}

/// Reads a distribution that may be the constant zero.
pub(super) fn read_or_zero(walk: &mut Walk, field: Field<'_>, unit: Unit) -> Option<Dist> {
    if !field.is_table() {
        if matches!(field.value.kind, Kind::Truth | Kind::Date | Kind::List(_)) {
            walk.must_be(field, "a distribution or a constant")
                .help("write for instance { lognormal = { p50 = ..., p95 = ... } }");
            return None;
        }
        return constant(walk, field, unit);
    }
    let (name, inner) = walk.variant(field, "distribution", LAWS, &["empirical", "pareto"])?;
    if name == "constant" {
        return constant(walk, inner, unit);
    }
    let table = walk.table(inner, &format!("`{name}`"))?;
    let mut parameters = Parameters { table, walk, unit, fields: Vec::new() };
    let law = parameters.law(name);
    let Parameters { table, fields, .. } = parameters;
    table.finish(walk, &[]);
    match law? {
        Ok(law) => Some(law),
        Err(error) => {
            refuse(walk, inner, &fields, &error, unit);
            None
        }
    }
}

fn constant(walk: &mut Walk, field: Field<'_>, unit: Unit) -> Option<Dist> {
    let value = quantity(walk, field, unit)?;
    let law = Dist::constant(value);
    if law.is_err() {
        walk.must_be(field, "a finite number, zero or above");
    }
    law.ok()
}

fn refuse(walk: &mut Walk, law: Field<'_>, fields: &[Field<'_>], error: &DistError, unit: Unit) {
    let named = fields.iter().find(|field| field.name == error.parameter);
    let field = named.copied().unwrap_or(law);
    let time = unit == Unit::Time && !matches!(error.parameter, "cv" | "sigma" | "shape");
    let wanted = if time {
        error.wanted.replace("finite number", "duration")
    } else {
        error.wanted.to_owned()
    };
    walk.must_be(field, &wanted);
}

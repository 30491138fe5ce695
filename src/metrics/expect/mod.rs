//! Expectations: sentences such as `high-risk.ttft.p99 < 2s`, judged against a [`Summary`].
//!
//! ```text
//! expectation = [scope "."] metric ["." stat] op value
//! scope       = NAME | "class:" NAME | "pool:" NAME | "node:" NAME | "route:" NAME
//!             | "jobs" | NAME ".jobs" | "step:" [NAME "."] NAME | "tenant:" NAME | "model:" NAME
//! stat        = mean | p50 | p90 | p95 | p99 | p999 | max
//! op          = "<" | "<=" | ">" | ">=" | "=="
//! value       = 2s | 450ms | 0.1% | $4.00 | 17 | 0.95
//! ```
//!
//! Spaces are free. `latency`, `ttft`, `tpot` and `queue` have a stat and a duration; a stat alone
//! means latency. A count compared with `%` is a share of the requests that arrived (for a node or a
//! model: of its attempts). What has no sample keeps no promise. Where a name is also that of a metric,
//! the metric is meant; `class:latency.p99` says otherwise. `jobs` is about the jobs of all
//! workflows, `report.jobs` about those of the workflow `report`, `step:write` about the step `write`,
//! and `step:report.write` about that of the workflow `report` where several have one. `tenant:acme` is
//! about a tenant, by its number where it has no name, and `model:gpt-4.1` about the nodes of a model.
//! `quality` is the mean quality of answers, and may be written `quality.mean`.
//!
//! What metrics there are, and of what each is measured, is the [catalogue](super::catalogue)'s.

mod nearest;
mod parse;
mod scope;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::catalogue::{Reading, Scope, Unit};
use super::summary::Summary;
use crate::unit::TenantId;

/// The names a scope may be.
#[derive(Clone, Debug, Default)]
pub struct ExpectNames {
    /// Of classes.
    pub classes: Vec<String>,
    /// Of pools.
    pub pools: Vec<String>,
    /// Of nodes, groups expanded.
    pub nodes: Vec<String>,
    /// Of workflows.
    pub workflows: Vec<String>,
    /// Of routes; empty if none has a name.
    pub routes: Vec<String>,
    /// Of workflows and their steps.
    pub steps: Vec<(String, String)>,
    /// Of tenants that have one.
    pub tenants: BTreeMap<TenantId, String>,
    /// Of models, each once.
    pub models: Vec<String>,
}

/// Why a text is no expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectError {
    /// Where in the text, in bytes from zero.
    pub at: usize,
    /// How many bytes; zero where something is missing.
    pub len: usize,
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for ExpectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for ExpectError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Equal,
}

impl Op {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Op::Less => order.is_lt(),
            Op::LessOrEqual => order.is_le(),
            Op::More => order.is_gt(),
            Op::MoreOrEqual => order.is_ge(),
            Op::Equal => order.is_eq(),
        }
    }
}

/// A checked expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    text: String,
    reading: Reading,
    op: Op,
    limit: f64,
    /// The unit of the limit: that of the metric, or a share where it is a count.
    unit: Unit,
}

impl Expectation {
    /// Reads an expectation about what has these names.
    ///
    /// # Errors
    /// If the text follows no rule of the grammar above, or names something that is not there.
    pub fn parse(text: &str, names: &ExpectNames) -> Result<Expectation, ExpectError> {
        parse::expectation(text, names)
    }

    /// The text it was read from, without spaces around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is about: a metric of a scope.
    #[must_use]
    pub const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Returns whether this number would keep the promise.
    #[must_use]
    pub fn holds_at(&self, value: f64) -> bool {
        value.partial_cmp(&self.limit).is_some_and(|order| self.op.holds(order))
    }

    /// Says why it holds whatever happens, if it does. No request takes longer than `longest`, in
    /// seconds; `None` is no bound.
    #[must_use]
    pub fn cannot_fail(&self, longest: Option<f64>) -> Option<String> {
        // Nothing that is measured is below zero.
        if self.limit == 0.0 && self.op == Op::MoreOrEqual {
            return Some("it is never below zero".to_owned());
        }
        let whole = ["completed", "failed", "rejected", "cancelled", "not_served"];
        let of_times = ["latency", "ttft"];
        let name = self.reading.metric.name;
        let job = matches!(self.reading.scope, Scope::Jobs(_) | Scope::Step(..));
        let (most, why) = match self.unit {
            Unit::Share if self.reading.metric.unit == Unit::Share || whole.contains(&name) => {
                (1.0, "it is never above 100 %".to_owned())
            }
            Unit::Seconds if of_times.contains(&name) && !job => {
                let longest = longest?;
                (longest, format!("`timeouts.total` ends every request after {longest} s"))
            }
            _ => return None,
        };
        let beyond = match self.op {
            Op::Less => self.limit > most,
            Op::LessOrEqual => self.limit >= most,
            Op::More | Op::MoreOrEqual | Op::Equal => false,
        };
        beyond.then_some(why)
    }

    /// Compares a result with the limit.
    #[must_use]
    pub fn judge(&self, summary: &Summary) -> ExpectVerdict {
        let value = self.reading.value(summary, self.unit);
        let order = value.and_then(|value| value.partial_cmp(&self.limit));
        let held = order.is_some_and(|order| self.op.holds(order));
        ExpectVerdict { text: self.text.clone(), value, limit: self.limit, held, unit: self.unit }
    }
}

/// Whether an expectation held.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectVerdict {
    /// The expectation as written.
    pub text: String,
    /// What was measured: seconds, dollars, a count or a share (0.01 is one per cent). `None`
    /// without a sample.
    pub value: Option<f64>,
    /// What was promised, in the same unit.
    pub limit: f64,
    /// Whether the promise was kept.
    pub held: bool,
    /// The unit of both.
    pub unit: Unit,
}

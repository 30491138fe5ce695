//! Expectations: sentences such as `high-risk.ttft.p99 < 2s`, judged against a [`Summary`].
//!
//! ```text
//! expectation = [scope "."] metric ["." stat] op value
//! scope       = NAME | "class:" NAME | "pool:" NAME | "node:" NAME | "route:" NAME
//!             | "jobs" | NAME ".jobs"
//! stat        = mean | p50 | p90 | p95 | p99 | p999 | max
//! op          = "<" | "<=" | ">" | ">=" | "=="
//! value       = 2s | 450ms | 0.1% | $4.00 | 17 | 0.95
//! ```
//!
//! Spaces are free. `latency`, `ttft`, `tpot` and `queue` have a stat and a duration; a stat alone
//! means latency. A count compared with `%` is a share of the requests that arrived (for a node:
//! of its attempts). What has no sample keeps no promise. Where a name is also that of a metric,
//! the metric is meant; `class:latency.p99` says otherwise. `jobs` is about the jobs of all
//! workflows, `report.jobs` about those of the workflow `report`. `quality` is the mean quality of
//! answers, and may be written `quality.mean`.

mod measure;
mod nearest;
mod parse;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

use super::summary::Summary;
use measure::{Metric, Stat, View};

/// The names a scope may be.
#[derive(Clone, Debug, Default)]
pub struct Names {
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

/// What an expectation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    Run,
    Class(String),
    Pool(String),
    Node(String),
    /// Of all workflows, or of one.
    Jobs(Option<String>),
    Route(String),
}

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

/// The unit of a verdict's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A whole number.
    Count,
    /// A part of a whole: 0.01 is one per cent.
    Share,
    /// US dollars.
    Dollars,
    /// So many a second.
    PerSecond,
    /// A number that need not be whole.
    Number,
}

/// A checked expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    text: String,
    scope: Scope,
    metric: Metric,
    stat: Option<Stat>,
    op: Op,
    limit: f64,
    unit: Unit,
}

impl Expectation {
    /// Reads an expectation about these classes, pools and nodes.
    ///
    /// # Errors
    /// If the text follows no rule of the grammar above, or names something that is not there.
    pub fn parse(text: &str, names: &Names) -> Result<Expectation, ExpectError> {
        parse::expectation(text, names)
    }

    /// The text it was read from, without spaces around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Compares a result with the limit.
    #[must_use]
    pub fn judge(&self, summary: &Summary) -> Verdict {
        let view = View::of(summary, &self.scope);
        let value = view.and_then(|view| {
            if self.unit == Unit::Share {
                view.share_of(self.metric)
            } else {
                view.value(self.metric, self.stat)
            }
        });
        let order = value.and_then(|value| value.partial_cmp(&self.limit));
        let held = order.is_some_and(|order| self.op.holds(order));
        Verdict { text: self.text.clone(), value, limit: self.limit, held, unit: self.unit }
    }
}

/// Whether an expectation held.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
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
    #[serde(skip)]
    pub unit: Unit,
}

//! The catalogue of metrics: what a run measures, each thing once.
//!
//! A metric is a row of [`METRICS`]: its name, its unit, of what it is measured, which way is
//! better, how it is read from a [`Summary`], where JSON has it and where reports show it. All who
//! speak of metrics read it here: `[[expect]]` and `--fail-if`, `plimsoll compare`, the text report,
//! `plimsoll list metrics` and the page of reference.
//!
//! A name means one thing everywhere. `failed` is a count; the part of the requests that failed is
//! `failed_share`, and `failed < 1%` says the same in an expectation.
//!
//! To add a metric: keep the value in the fold (a field of what a summary is made of), and write a
//! row in `rows.rs`.

mod rows;
mod subject;
#[cfg(test)]
mod tests;

pub use rows::METRICS;
pub use subject::{Reading, Scope, Subject};

use super::summary::Latency;

/// What the numbers of a metric are.
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

impl Unit {
    /// Returns the word that JSON has for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Count => "count",
            Unit::Share => "share",
            Unit::Dollars => "usd",
            Unit::PerSecond => "per_s",
            Unit::Number => "number",
        }
    }

    /// Returns what people call it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Count => "a count",
            Unit::Share => "a share",
            Unit::Dollars => "dollars",
            Unit::PerSecond => "per second",
            Unit::Number => "a number",
        }
    }
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better: seconds, failures, dollars.
    Lower,
    /// More is better: service levels met.
    Higher,
    /// Neither: evenness, for instance, is a means and no end.
    Neither,
}

impl Better {
    /// Returns the word that JSON has for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Better::Lower => "lower",
            Better::Higher => "higher",
            Better::Neither => "neither",
        }
    }
}

/// One number of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// Arithmetic mean.
    Mean,
    /// Median.
    P50,
    /// 90 % quantile.
    P90,
    /// 95 % quantile.
    P95,
    /// 99 % quantile.
    P99,
    /// 99.9 % quantile.
    P999,
    /// Largest.
    Max,
}

impl Stat {
    /// All of them, in the order of reports.
    pub const ALL: [Stat; 7] =
        [Stat::Mean, Stat::P50, Stat::P90, Stat::P95, Stat::P99, Stat::P999, Stat::Max];

    /// Returns its name: a key of JSON and a word of expectations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Stat::Mean => "mean",
            Stat::P50 => "p50",
            Stat::P90 => "p90",
            Stat::P95 => "p95",
            Stat::P99 => "p99",
            Stat::P999 => "p999",
            Stat::Max => "max",
        }
    }

    /// Returns this number of a distribution; `None` without a sample.
    #[must_use]
    pub const fn of(self, times: &Latency) -> Option<f64> {
        match self {
            Stat::Mean => times.mean,
            Stat::P50 => times.p50,
            Stat::P90 => times.p90,
            Stat::P95 => times.p95,
            Stat::P99 => times.p99,
            Stat::P999 => times.p999,
            Stat::Max => times.max,
        }
    }
}

/// Of what a metric is measured: any of the whole run, a class, a pool, a node, jobs, a step, a route, a
/// tenant and a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Of the whole run.
    pub const RUN: Scopes = Scopes(1);
    /// Of each class.
    pub const CLASS: Scopes = Scopes(2);
    /// Of each pool.
    pub const POOL: Scopes = Scopes(4);
    /// Of each node.
    pub const NODE: Scopes = Scopes(8);
    /// Of the jobs of all workflows, and of each workflow.
    pub const JOBS: Scopes = Scopes(16);
    /// Of each route that has a name.
    pub const ROUTE: Scopes = Scopes(32);
    /// Of each step of each workflow.
    pub const STEP: Scopes = Scopes(64);
    /// Of each tenant.
    pub const TENANT: Scopes = Scopes(128);
    /// Of the nodes of each model.
    pub const MODEL: Scopes = Scopes(256);

    /// Each by itself, in the order of the catalogue's tables.
    pub const EACH: [Scopes; 9] = [
        Scopes::RUN,
        Scopes::CLASS,
        Scopes::ROUTE,
        Scopes::POOL,
        Scopes::NODE,
        Scopes::JOBS,
        Scopes::STEP,
        Scopes::TENANT,
        Scopes::MODEL,
    ];

    /// Returns these and those.
    #[must_use]
    pub const fn and(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// Returns whether any of those is among these.
    #[must_use]
    pub const fn any_of(self, other: Scopes) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the words for these: `run`, `class`, `route`, `pool`, `node`, `jobs`, `step`, `tenant`,
    /// `model`.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Scopes::worded().filter(move |(scope, _)| self.any_of(*scope)).map(|(_, word)| word)
    }

    /// Returns each by itself with its word.
    pub fn worded() -> impl Iterator<Item = (Scopes, &'static str)> {
        let words = ["run", "class", "route", "pool", "node", "jobs", "step", "tenant", "model"];
        Scopes::EACH.into_iter().zip(words)
    }
}

/// The scopes by their names alone, for tables of them.
pub(super) mod scopes {
    use super::Scopes;

    pub(in crate::metrics) const RUN: Scopes = Scopes::RUN;
    pub(in crate::metrics) const CLASS: Scopes = Scopes::CLASS;
    pub(in crate::metrics) const POOL: Scopes = Scopes::POOL;
    pub(in crate::metrics) const NODE: Scopes = Scopes::NODE;
    pub(in crate::metrics) const JOBS: Scopes = Scopes::JOBS;
    pub(in crate::metrics) const ROUTE: Scopes = Scopes::ROUTE;
    pub(in crate::metrics) const STEP: Scopes = Scopes::STEP;
    pub(in crate::metrics) const TENANT: Scopes = Scopes::TENANT;
    pub(in crate::metrics) const MODEL: Scopes = Scopes::MODEL;
}

/// How a metric is read of what it is about; `None` where that has no such number.
#[derive(Clone, Copy, Debug)]
enum Read {
    Times(fn(&Subject<'_>) -> Option<Latency>),
    Count(fn(&Subject<'_>) -> Option<u64>),
    Number(fn(&Subject<'_>) -> Option<f64>),
}

/// A table of the text report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Requests by what became of them.
    Requests,
    /// Attempts and why there was more than one.
    Attempts,
    /// Distributions of times.
    Times,
    /// Tokens and money.
    Money,
    /// Service levels: what was promised, and how much of it was met.
    ServiceLevels,
}

/// A line of the text report.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// The table it stands in.
    pub section: Section,
    /// What it is called there.
    pub label: &'static str,
    /// The metric that it is also shown as a share of.
    pub of: Option<&'static str>,
    /// Whether it is left out where it is zero, which it mostly is.
    pub unless_zero: bool,
}

/// A line of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Which number of a distribution; `None` of what is one number.
    pub stat: Option<Stat>,
    /// For people.
    pub label: &'static str,
    /// Whether it is one of the few that decide: these are a family of tests of their own, so that
    /// the many others do not blunt them.
    pub headline: bool,
    /// Of what it is compared: of the whole run, and of each class, say, by itself.
    pub of: Scopes,
}

/// Something a run measures.
#[derive(Clone, Copy, Debug)]
pub struct MetricDef {
    /// Its name in expectations and comparisons.
    pub name: &'static str,
    /// Other names that expectations know it by.
    pub also: &'static [&'static str],
    /// What its numbers are.
    pub unit: Unit,
    /// Of what it is measured.
    pub scopes: Scopes,
    /// Which way is better.
    pub better: Better,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// Where the JSON result has it, from the object of its scope: the first that is there. None if
    /// it is worked out from others.
    pub json: &'static [&'static str],
    /// Where the text report has it among the figures of the whole run.
    pub shown: Option<Shown>,
    /// How comparisons have it.
    pub compared: &'static [Compared],
    read: Read,
    /// What a count is a part of.
    whole: fn(&Subject<'_>) -> u64,
}

impl PartialEq for MetricDef {
    fn eq(&self, other: &MetricDef) -> bool {
        self.name == other.name
    }
}

impl MetricDef {
    /// Returns whether it is a distribution, so that one of its numbers must be named.
    #[must_use]
    pub const fn is_times(&self) -> bool {
        matches!(self.read, Read::Times(_))
    }

    /// Returns the distribution, if it is one and there is one.
    #[must_use]
    pub fn times(&self, subject: &Subject<'_>) -> Option<Latency> {
        match self.read {
            Read::Times(read) => read(subject),
            Read::Count(_) | Read::Number(_) => None,
        }
    }

    /// Returns its number in its own unit; of a distribution the one that `stat` names. `None` without
    /// a sample, or where it is not measured.
    #[must_use]
    pub fn value(&self, subject: &Subject<'_>, stat: Option<Stat>) -> Option<f64> {
        match self.read {
            Read::Times(read) => stat?.of(&read(subject)?),
            Read::Count(read) => Some(read(subject)? as f64),
            Read::Number(read) => read(subject),
        }
    }

    /// Returns a count as a part of what can be counted: requests that arrived, attempts of a node or a
    /// model, jobs that started, instances of a step. `None` if that is nothing, or it is no count.
    #[must_use]
    pub fn share(&self, subject: &Subject<'_>) -> Option<f64> {
        let Read::Count(read) = self.read else { return None };
        let whole = (self.whole)(subject);
        let count = read(subject)?;
        (whole > 0).then(|| count as f64 / whole as f64)
    }
}

/// Returns the first row: a stat without a metric is of latency.
#[must_use]
pub fn latency() -> &'static MetricDef {
    &METRICS[0]
}

/// Returns the metric of this name, whichever of its names it is.
#[must_use]
pub fn find(name: &str) -> Option<&'static MetricDef> {
    METRICS.iter().find(|metric| metric.name == name || metric.also.contains(&name))
}

//! A comparison of strategies, from the runs it is made of: plain data, printed key for key by
//! `--format json`.
//!
//! One observation is the difference to the baseline within one seed. The headline metrics of all
//! strategies are one family of hypotheses and the other metrics another; in each, Holm's procedure
//! keeps the probability of any false "better" or "worse" at 5 %. What is the same in every run is no
//! hypothesis, and a metric whose values are those of another one (first token and latency where answers come whole)
//! is no other hypothesis: neither makes the family larger. Every difference has the interval
//! at the level of its step, so the verdict and the interval always agree. (Holm's procedure has no
//! simultaneous intervals that say more than the verdict for what it rejects: Guilbaud, Biom. J. 50,
//! 2008. These intervals are exact where nothing is rejected, and never wider than Bonferroni's.)

use std::collections::BTreeMap;

use super::metric::Metric;
use super::statistics::{SeriesStep, holm, moments, student_p, student_t};
use crate::metrics::catalogue::{Better, Unit};

/// What intervals cover.
pub const CONFIDENCE: f64 = 0.95;
const ALPHA: f64 = 1.0 - CONFIDENCE;
/// Differences below this part of what is compared are rounding.
const ROUNDING: f64 = 1e-9;
/// A difference that is the same in every seed has no spread to test against. With so many seeds it
/// counts as certain; with fewer it may well be chance where numbers are counts.
const CONSTANT_SEEDS: usize = 5;
/// A difference "could have been seen" if a test would have found it with probability 0.8; this is
/// twice the other tail.
const MISSED_TWICE: f64 = 0.4;

/// What is compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// Names of strategies.
    pub strategies: Vec<String>,
    /// Which of them the others are held against.
    pub baseline: usize,
    /// One run a strategy with each.
    pub seeds: Vec<u64>,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// Which of the strategies only bound what is possible: they win nothing.
    pub bounds: Vec<usize>,
}

impl Plan {
    /// Returns how many runs there are.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.strategies.len() * self.seeds.len()
    }

    /// Returns strategy and seed of a run, by index. Seeds come one after the other, so that a
    /// comparison which is interrupted has whole seeds.
    #[must_use]
    pub fn cell(&self, run: usize) -> (usize, usize) {
        (run % self.strategies.len(), run / self.strategies.len())
    }
}

/// What is kept of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ComparedRun {
    /// By metric.
    pub values: Vec<Option<f64>>,
    /// Requests that arrived, warm-up included.
    pub arrived: u64,
    /// Whether every expectation of the scenario held; `None` if there is none.
    pub held: Option<bool>,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// 1.
    pub schema_version: u32,
    /// `compare`.
    pub kind: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// Whether all runs came to their end.
    pub complete: bool,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// How many runs.
    pub runs: Runs,
    /// The strategy that the others are held against.
    pub baseline: String,
    /// What intervals cover: 0.95.
    pub confidence: f64,
    /// What was measured.
    pub metrics: Vec<Measured>,
    /// By strategy, as they were named.
    pub strategies: Vec<StrategyResult>,
    /// By strategy but the baseline, and metric.
    pub differences: Vec<Difference>,
}

/// How many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// That were to be made.
    pub planned: usize,
    /// That came to their end.
    pub done: usize,
}

/// A metric, as a result names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// As in expectations.
    pub name: String,
    /// For people.
    pub label: String,
    /// `s`, `usd`, `share`, `per_s` or `count`.
    pub unit: Unit,
    /// `lower`, `higher` or `neither`.
    pub better: Better,
    /// Whether it is one of the few that decide.
    pub headline: bool,
}

/// A strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct StrategyResult {
    /// Its name.
    pub name: String,
    /// Runs that came to their end.
    pub runs: usize,
    /// Runs in which every expectation of the scenario held; null if there is none.
    pub expectations_held: Option<usize>,
    /// Seeds in which no other strategy had a lower p99 latency and some had a higher one.
    pub seeds_won: usize,
    /// Whether no other strategy was both cheaper and quicker at p99; null without both.
    pub pareto: Option<bool>,
    /// By name of metric.
    pub metrics: BTreeMap<String, MetricValues>,
    /// Whether it only bounds what is possible; such a one is left out of `seeds_won` and `pareto`.
    pub bound: bool,
}

/// A metric of a strategy over the seeds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricValues {
    /// Mean over the seeds; null if it was never measured.
    pub mean: Option<f64>,
    /// Half the width of the 95 % interval of the mean, not adjusted; null of fewer than two.
    pub half_width: Option<f64>,
    /// By seed.
    pub values: Vec<Option<f64>>,
}

/// Both ends of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConfidenceInterval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl ConfidenceInterval {
    /// Returns whether zero lies outside.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// A strategy against the baseline in one metric: strategy minus baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The strategy.
    pub strategy: String,
    /// The metric.
    pub metric: String,
    /// Seeds in which both were measured.
    pub seeds: usize,
    /// Mean of the baseline over these seeds.
    pub baseline: f64,
    /// Mean difference.
    pub mean: f64,
    /// The interval that the verdict rests on, adjusted; null of fewer than two seeds.
    pub interval: Option<ConfidenceInterval>,
    /// The 95 % interval of this difference by itself, not adjusted.
    pub interval_alone: Option<ConfidenceInterval>,
    /// Two-sided p-value of the paired t-test, not adjusted.
    pub p: Option<f64>,
    /// The same after Holm.
    pub p_adjusted: Option<f64>,
    /// The smallest difference that a test at the adjusted level would have found four times out of
    /// five.
    pub detectable: Option<f64>,
    /// Seeds in which the strategy was better; where neither way is, had more.
    pub won: usize,
    /// Seeds in which it was worse; where neither way is, had less.
    pub lost: usize,
    /// In words.
    pub verdict: CompareVerdict,
}

/// What a difference comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareVerdict {
    /// More than luck, in the right direction.
    Better,
    /// More than luck, in the wrong direction.
    Worse,
    /// More than luck, upwards, of a metric that has no right direction.
    More,
    /// More than luck, downwards, of a metric that has no right direction.
    Less,
    /// What difference there is may be luck: a longer run or more seeds would tell.
    NoDifference,
    /// Equal in every seed.
    Same,
    /// Too few seeds to say.
    Unknown,
}

impl CompareVerdict {
    /// Returns the verdict in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            CompareVerdict::Better => "better",
            CompareVerdict::Worse => "worse",
            CompareVerdict::More => "more",
            CompareVerdict::Less => "less",
            CompareVerdict::NoDifference => "no difference at this length",
            CompareVerdict::Same => "the same in every seed",
            CompareVerdict::Unknown => "too few seeds to say",
        }
    }
}

/// Compares runs: `runs[seed * strategies + strategy]`, `None` where one did not come to its end.
///
/// # Panics
/// If there are not exactly as many runs as planned, or a run has not one value a metric.
#[must_use]
pub fn compare(plan: &Plan, runs: &[Option<ComparedRun>]) -> Comparison {
    assert!(runs.len() == plan.runs(), "one run a strategy and seed");
    let done = runs.iter().flatten().count();
    Comparison {
        schema_version: 1,
        kind: "compare",
        scenario: plan.scenario.clone(),
        complete: done == runs.len(),
        seeds: plan.seeds.clone(),
        runs: Runs { planned: runs.len(), done },
        baseline: plan.strategies[plan.baseline].clone(),
        confidence: CONFIDENCE,
        metrics: plan.metrics.iter().map(measured).collect(),
        strategies: strategies(plan, runs),
        differences: differences(plan, runs),
    }
}

fn measured(metric: &Metric) -> Measured {
    let Metric { name, label, unit, better, headline, .. } = metric.clone();
    Measured { name, label, unit, better, headline }
}

/// The values of one metric of one strategy, by seed.
fn column(
    plan: &Plan,
    runs: &[Option<ComparedRun>],
    strategy: usize,
    metric: usize,
) -> Vec<Option<f64>> {
    let own = runs.iter().skip(strategy).step_by(plan.strategies.len());
    own.map(|run| run.as_ref().and_then(|run| run.values[metric])).collect()
}

fn strategies(plan: &Plan, runs: &[Option<ComparedRun>]) -> Vec<StrategyResult> {
    let won = seeds_won(plan, runs);
    let mut list: Vec<StrategyResult> = (0..plan.strategies.len())
        .map(|at| {
            let own = runs.iter().skip(at).step_by(plan.strategies.len()).flatten();
            let (mut count, mut held, mut hoped) = (0, 0, false);
            for run in own {
                count += 1;
                hoped |= run.held.is_some();
                held += usize::from(run.held == Some(true));
            }
            let values = plan.metrics.iter().enumerate();
            StrategyResult {
                name: plan.strategies[at].clone(),
                runs: count,
                expectations_held: hoped.then_some(held),
                seeds_won: won[at],
                pareto: None,
                metrics: values
                    .map(|(m, metric)| (metric.name.clone(), value(column(plan, runs, at, m))))
                    .collect(),
                bound: plan.bounds.contains(&at),
            }
        })
        .collect();
    mark_front(&mut list);
    list
}

fn value(values: Vec<Option<f64>>) -> MetricValues {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let moments = moments(&known);
    MetricValues {
        mean: (moments.n > 0).then_some(moments.mean),
        half_width: moments.half_width(ALPHA),
        values,
    }
}

/// In how many seeds each strategy had the lowest p99 latency. A seed in which all were the same was
/// won by nobody.
fn seeds_won(plan: &Plan, runs: &[Option<ComparedRun>]) -> Vec<usize> {
    let mut won = vec![0; plan.strategies.len()];
    let Some(metric) = plan.metrics.iter().position(|metric| metric.name == "p99") else {
        return won;
    };
    for seed in runs.chunks(plan.strategies.len()) {
        let values: Vec<Option<f64>> =
            of_seed(plan, seed).map(|run| run.and_then(|run| run.values[metric])).collect();
        let known = || values.iter().flatten().copied();
        let Some(least) = known().min_by(f64::total_cmp) else { continue };
        if known().all(|value| gap(least, value) == 0.0) {
            continue;
        }
        for (strategy, value) in values.iter().enumerate() {
            won[strategy] += usize::from(value.is_some_and(|value| gap(least, value) == 0.0));
        }
    }
    won
}

/// The runs of a seed, without those of bounds.
fn of_seed<'a>(
    plan: &'a Plan,
    runs: &'a [Option<ComparedRun>],
) -> impl Iterator<Item = Option<&'a ComparedRun>> {
    let real = |at| !plan.bounds.contains(&at);
    runs.iter().enumerate().map(move |(at, run)| run.as_ref().filter(|_| real(at)))
}

/// Marks strategies that no other beats in both cost and p99 latency.
fn mark_front(list: &mut [StrategyResult]) {
    let mean = |result: &StrategyResult, metric: &str| {
        result.metrics.get(metric).and_then(|value| value.mean)
    };
    let points: Vec<Option<(f64, f64)>> = list
        .iter()
        .map(|one| mean(one, "cost_per_1k").zip(mean(one, "p99")).filter(|_| !one.bound))
        .collect();
    for (result, own) in list.iter_mut().zip(&points) {
        result.pareto = own.map(|(cost, p99)| {
            !points.iter().flatten().any(|&(other_cost, other_p99)| {
                other_cost <= cost && other_p99 <= p99 && (other_cost < cost || other_p99 < p99)
            })
        });
    }
}

/// `to - from`, where what is rounding counts as nothing.
fn gap(from: f64, to: f64) -> f64 {
    let gap = to - from;
    if gap.abs() <= ROUNDING * from.abs().max(to.abs()) { 0.0 } else { gap }
}

/// A difference before its family is judged.
struct OpenRun {
    difference: Difference,
    metric: usize,
    /// Standard error and degrees of freedom, where there is a test.
    test: Option<(f64, usize)>,
    /// Values of the baseline and of the other.
    pairs: Vec<(f64, f64)>,
}

impl OpenRun {
    /// Whether all differences are nothing.
    const fn is_empty(&self) -> bool {
        self.difference.won + self.difference.lost == 0
    }
}

fn differences(plan: &Plan, runs: &[Option<ComparedRun>]) -> Vec<Difference> {
    let mut list: Vec<OpenRun> = Vec::new();
    for strategy in (0..plan.strategies.len()).filter(|at| *at != plan.baseline) {
        for metric in 0..plan.metrics.len() {
            let base = column(plan, runs, plan.baseline, metric);
            let own = column(plan, runs, strategy, metric);
            let pairs: Vec<(f64, f64)> =
                base.into_iter().zip(own).filter_map(|(base, own)| base.zip(own)).collect();
            if !pairs.is_empty() {
                list.push(open(plan, strategy, metric, pairs));
            }
        }
    }
    for headline in [true, false] {
        judge_family(plan, &mut list, headline);
    }
    list.into_iter().map(|one| one.difference).collect()
}

/// Judges all headline metrics, or all others.
fn judge_family(plan: &Plan, list: &mut [OpenRun], headline: bool) {
    let in_family =
        |one: &OpenRun| one.difference.p.is_some() && plan.metrics[one.metric].headline == headline;
    // Each with the first one that has the same values, which stands for both.
    let stands_for = |at: usize| {
        let one: &OpenRun = &list[at];
        let same = |other: &OpenRun| {
            in_family(other)
                && other.difference.strategy == one.difference.strategy
                && other.pairs == one.pairs
        };
        list.iter().position(same).unwrap_or(at)
    };
    let members: Vec<(usize, usize)> =
        (0..list.len()).filter(|at| in_family(&list[*at])).map(|at| (at, stands_for(at))).collect();
    let tested: Vec<usize> = members
        .iter()
        .filter(|(at, first)| at == first && !list[*at].is_empty())
        .map(|(at, _)| *at)
        .collect();
    let family: Vec<f64> = tested.iter().filter_map(|at| list[*at].difference.p).collect();
    let steps: BTreeMap<usize, SeriesStep> = tested.into_iter().zip(holm(&family, ALPHA)).collect();
    for (at, first) in members {
        let nothing = SeriesStep { adjusted: 1.0, level: ALPHA, rejected: false };
        let step = steps.get(&first).copied().unwrap_or(nothing);
        let better = plan.metrics[list[at].metric].better;
        judge(&mut list[at], step, better);
    }
}

fn open(plan: &Plan, strategy: usize, metric: usize, pairs: Vec<(f64, f64)>) -> OpenRun {
    let gaps: Vec<f64> = pairs.iter().map(|&(base, own)| gap(base, own)).collect();
    let base: Vec<f64> = pairs.iter().map(|&(base, _)| base).collect();
    let found = moments(&gaps);
    let (up, down) = (
        gaps.iter().filter(|gap| **gap > 0.0).count(),
        gaps.iter().filter(|gap| **gap < 0.0).count(),
    );
    let lower = plan.metrics[metric].better == Better::Lower;
    let (won, lost) = if lower { (down, up) } else { (up, down) };
    let same = up + down == 0;
    // Equal differences may differ in their last bits.
    let constant = found.sd <= ROUNDING * found.mean.abs();
    let testable = found.n >= 2 && (same || !constant || found.n >= CONSTANT_SEEDS);
    let error = if constant { 0.0 } else { found.standard_error() };
    let test = testable.then(|| (error, found.n - 1));
    let p = test.map(|(error, df)| match error {
        _ if same => 1.0,
        0.0 => 0.0,
        error => student_p(found.mean / error, df),
    });
    let difference = Difference {
        strategy: plan.strategies[strategy].clone(),
        metric: plan.metrics[metric].name.clone(),
        seeds: found.n,
        baseline: moments(&base).mean,
        mean: found.mean,
        interval: None,
        interval_alone: test.map(|test| around(found.mean, test, ALPHA)),
        p,
        p_adjusted: None,
        detectable: None,
        won,
        lost,
        verdict: CompareVerdict::Unknown,
    };
    OpenRun { difference, metric, test, pairs }
}

fn around(mean: f64, (error, df): (f64, usize), alpha: f64) -> ConfidenceInterval {
    let half = student_t(alpha, df) * error;
    ConfidenceInterval { low: mean - half, high: mean + half }
}

fn judge(one: &mut OpenRun, step: SeriesStep, better: Better) {
    let Some(test) = one.test else { return };
    let difference = &mut one.difference;
    difference.p_adjusted = Some(step.adjusted);
    difference.interval = Some(around(difference.mean, test, step.level));
    let (error, df) = test;
    difference.detectable = Some((student_t(step.level, df) + student_t(MISSED_TWICE, df)) * error);
    let up = difference.mean > 0.0;
    difference.verdict = match better {
        _ if difference.won + difference.lost == 0 => CompareVerdict::Same,
        _ if !step.rejected => CompareVerdict::NoDifference,
        Better::Neither if up => CompareVerdict::More,
        Better::Neither => CompareVerdict::Less,
        better if up == (better == Better::Higher) => CompareVerdict::Better,
        _ => CompareVerdict::Worse,
    };
}

//! A comparison of a strategy with itself (an A/A test): how often it finds a difference that is
//! not there. At 95 % it should in about one try out of twenty, in any one metric.
//!
//! With common random numbers a strategy and itself are the same run, bit for bit. So both sides
//! see the same arrivals and lengths, and each its own luck in everything else: the draws of the
//! balancer and of the nodes. The differences then are real ones with a true mean of zero.

use super::compare::{CompareVerdict, ComparedRun, ConfidenceInterval, Plan, compare};
use crate::rng::mix;

/// Returns the seed of everything but the workload, for one side of a comparison with itself.
#[must_use]
pub const fn luck(seed: u64, side: usize) -> u64 {
    mix(seed, side as u64 + 1)
}

/// How often a comparison of a strategy with itself raised an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarms {
    /// 1.
    pub schema_version: u32,
    /// `aa`.
    pub kind: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// The strategy.
    pub strategy: String,
    /// Whether all tries were made.
    pub complete: bool,
    /// Comparisons made.
    pub tries: usize,
    /// Seeds in each.
    pub seeds: usize,
    /// Tries in which any headline metric was "better" or "worse" after Holm.
    pub any: usize,
    /// By metric: where it differed at all in some try.
    pub metrics: Vec<Alarm>,
}

/// False alarms of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The metric's name.
    pub metric: String,
    /// Whether it is one of the few that decide.
    pub headline: bool,
    /// Tries whose sides differed in it.
    pub tries: usize,
    /// Those in which the 95 % interval by itself left zero out.
    pub alarms: usize,
}

/// Judges comparisons of a strategy with itself. `plan` names two strategies and the seeds of one
/// try; `tries` are the runs of each, in the plan's order.
#[must_use]
pub fn alarms(plan: &Plan, tries: &[Vec<Option<ComparedRun>>]) -> Alarms {
    let mut any = 0;
    let mut list: Vec<Alarm> = plan
        .metrics
        .iter()
        .map(|metric| Alarm {
            metric: metric.name.clone(),
            headline: metric.headline,
            tries: 0,
            alarms: 0,
        })
        .collect();
    let mut whole = 0;
    for runs in tries.iter().filter(|runs| runs.iter().all(Option::is_some)) {
        whole += 1;
        let mut alarm = false;
        for difference in compare(plan, runs).differences {
            let Some(entry) = list.iter_mut().find(|entry| entry.metric == difference.metric)
            else {
                continue;
            };
            let differs = difference.won + difference.lost > 0;
            entry.tries += usize::from(differs);
            let outside =
                difference.interval_alone.as_ref().is_some_and(ConfidenceInterval::excludes_zero);
            entry.alarms += usize::from(differs && outside);
            alarm |= entry.headline
                && matches!(difference.verdict, CompareVerdict::Better | CompareVerdict::Worse);
        }
        any += usize::from(alarm);
    }
    list.retain(|entry| entry.tries > 0);
    Alarms {
        schema_version: 1,
        kind: "aa",
        scenario: plan.scenario.clone(),
        strategy: plan.strategies[plan.baseline].clone(),
        complete: whole == tries.len(),
        tries: whole,
        seeds: plan.seeds.len(),
        any,
        metrics: list,
    }
}

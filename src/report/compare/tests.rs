//! Reports of a hand-made comparison, as snapshots.

use super::{alarms, json, markdown, text};
use crate::lab::{self, ComparedRun, Comparison, Plan};
use crate::metrics::Labels;

/// Mean latency, p99, not served, SLO attainment, cost per 1k, failovers of three strategies over
/// six seeds: one better, one that only costs less, and a third with nothing to show.
fn comparison(seeds: usize) -> (Plan, Vec<Option<ComparedRun>>) {
    let names = [
        "latency.mean",
        "p99",
        "not_served",
        "slo_attainment",
        "cost_per_1k",
        "failovers_per_request",
    ];
    let all = lab::metrics(&Labels::default());
    let metric = |name: &&str| all.iter().find(|metric| metric.name == **name).cloned();
    let plan = Plan {
        scenario: "banking".to_owned(),
        strategies: ["round_robin", "power_of_two(choices=4)", "cheapest"].map(String::from).into(),
        baseline: 0,
        seeds: (7..7 + seeds as u64).collect(),
        metrics: names.iter().filter_map(metric).collect(),
        bounds: Vec::new(),
    };
    // A wobble that is all strategies' (the seed's luck) and one that is their own.
    let wobble = |at: usize| ((at * 7 + 3) % 5) as f64 / 100.0;
    let runs = (0..plan.runs()).map(|at| {
        let (strategy, seed) = plan.cell(at);
        let (common, own) = (wobble(seed), wobble(seed * 3 + strategy * 2) / 4.0);
        let [base, p99, lost, kept, cost, moved] = [
            [4.0, 12.0, 0.0, 0.97, 2.75, 0.0],
            [3.5, 9.0, 0.0, 0.99, 2.75, 0.01],
            [4.05, 12.1, 0.004, 0.968, 1.91, 0.0],
        ][strategy];
        let values = [
            Some(base * (1.0 + common + own)),
            Some(p99 * (1.0 + common * 2.0 + own)),
            Some(lost + own * lost),
            Some(kept - own / 10.0),
            Some(cost),
            Some(moved + own * moved),
        ];
        Some(ComparedRun {
            values: values.into(),
            arrived: 1_000,
            held: Some(strategy == 1 || seed > 2),
        })
    });
    let runs = runs.collect();
    (plan, runs)
}

fn compared(seeds: usize) -> Comparison {
    let (plan, runs) = comparison(seeds);
    lab::compare(&plan, &runs)
}

#[test]
fn a_comparison_as_text() {
    insta::assert_snapshot!(text(&compared(6)));
}

#[test]
fn a_comparison_as_markdown() {
    insta::assert_snapshot!(markdown(&compared(6)));
}

#[test]
fn a_comparison_as_json() {
    let (mut plan, runs) = comparison(2);
    // Two metrics show every key.
    plan.metrics.truncate(2);
    let short = |run: ComparedRun| ComparedRun { values: run.values[..2].to_vec(), ..run };
    let runs: Vec<Option<ComparedRun>> = runs.into_iter().map(|run| run.map(short)).collect();
    insta::assert_snapshot!(json(&lab::compare(&plan, &runs)));
}

#[test]
fn one_seed_gives_means_and_says_that_it_proves_nothing() {
    let told = text(&compared(1));
    assert!(told.contains("too few seeds to say"), "{told}");
    assert!(told.contains("one seed says nothing of luck"), "{told}");
    assert!(!told.contains("could have been seen"), "{told}");
}

#[test]
fn an_interrupted_comparison_says_so_everywhere() {
    let (plan, mut runs) = comparison(3);
    runs[8] = None;
    let result = lab::compare(&plan, &runs);
    assert!(text(&result).contains("INCOMPLETE"));
    assert!(markdown(&result).contains("INCOMPLETE: interrupted after 8 of 9 runs"));
    assert!(json(&result).contains("\"complete\": false"));
}

#[test]
fn names_from_outside_cannot_break_a_table() {
    let (mut plan, runs) = comparison(2);
    plan.scenario = "a|b\n`c`".to_owned();
    let result = lab::compare(&plan, &runs);
    let told = markdown(&result);
    assert!(told.starts_with("### a\\|b\u{fffd}'c': 3 strategies, 2 seeds (7 to 8)\n"), "{told}");
    assert!(!text(&result).contains('\u{1b}'));
}

#[test]
fn false_alarms_as_text() {
    let (mut plan, runs) = comparison(6);
    plan.strategies.truncate(2);
    let tries: Vec<Vec<Option<ComparedRun>>> = runs.chunks(6).map(<[_]>::to_vec).collect();
    plan.seeds.truncate(3);
    insta::assert_snapshot!(alarms(&lab::alarms(&plan, &tries)));
}

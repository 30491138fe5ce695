//! Laws of the statistics, of the queue of jobs and of verdicts.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::metrics::Labels;
use crate::rng::Rng;

fn close(a: f64, b: f64, within: f64) -> bool {
    (a - b).abs() <= within * b.abs().max(1e-300)
}

#[test]
fn quantiles_are_those_of_printed_tables() {
    // Two-sided 5 % and 1 %: Abramowitz and Stegun, table 26.10.
    for (df, five, one) in [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (5, 2.571, 4.032),
        (9, 2.262, 3.250),
        (10, 2.228, 3.169),
        (30, 2.042, 2.750),
        (60, 2.000, 2.660),
        (120, 1.980, 2.617),
    ] {
        assert!((student_t(0.05, df) - five).abs() < 6e-4, "{df}: {}", student_t(0.05, df));
        assert!((student_t(0.01, df) - one).abs() < 6e-4, "{df}: {}", student_t(0.01, df));
    }
    // Towards the normal distribution.
    assert!(close(student_t(0.05, 9_999), 1.960_201, 1e-5), "{}", student_t(0.05, 9_999));
}

#[test]
fn probabilities_have_closed_forms_for_one_two_and_four_degrees() {
    for t in [0.0_f64, 1e-6, 0.1, 0.7, 1.0, 2.5, 10.0, 1e3] {
        let one = 1.0 - t.atan() * 2.0 / std::f64::consts::PI;
        let s = t / (2.0 + t * t).sqrt();
        let w = t / (4.0 + t * t).sqrt();
        let four = 1.0 - w * (3.0 - w * w) / 2.0;
        for (df, p) in [(1, one), (2, 1.0 - s), (4, four)] {
            assert!((student_p(t, df) - p).abs() < 1e-13, "t {t} df {df}: {}", student_p(t, df));
            assert!(student_p(t, df).total_cmp(&student_p(-t, df)).is_eq(), "it is two-sided");
        }
    }
    // A far tail keeps its digits: 1 - s has none left there.
    assert!(close(student_p(1e8, 2), 1e-16, 1e-9), "{:e}", student_p(1e8, 2));
    assert!(student_p(f64::INFINITY, 3) <= 0.0);
}

#[test]
fn quantile_and_probability_are_inverse() {
    for df in [1, 2, 3, 7, 19, 100, 999] {
        for alpha in [0.9, 0.4, 0.05, 0.001, 1e-9] {
            let back = student_p(student_t(alpha, df), df);
            assert!(close(back, alpha, 1e-9), "df {df} alpha {alpha}: {back}");
        }
    }
}

#[test]
fn moments_are_those_of_the_sample() {
    let found = moments(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
    assert_eq!((found.n, found.mean), (8, 5.0));
    assert!(close(found.sd, (32.0_f64 / 7.0).sqrt(), 1e-15));
    assert_eq!(moments(&[3.0]).half_width(0.05), None);
    assert_eq!(moments(&[]), Moments::default());
}

#[test]
fn holm_gives_the_textbook_answer() {
    // The classic example: 0.01, 0.04, 0.03, 0.005 at 0.05.
    let steps = holm(&[0.01, 0.04, 0.03, 0.005], 0.05);
    let adjusted: Vec<f64> = steps.iter().map(|step| step.adjusted).collect();
    for (found, wanted) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
        assert!(close(*found, wanted, 1e-12), "{adjusted:?}");
    }
    let rejected: Vec<bool> = steps.iter().map(|step| step.rejected).collect();
    assert_eq!(rejected, [true, false, false, true]);
    // After the first that stands, all are held against its level.
    assert!(close(steps[1].level, 0.025, 1e-12) && close(steps[2].level, 0.025, 1e-12));
    assert!(holm(&[], 0.05).is_empty());
}

#[test]
fn results_stand_in_the_order_of_jobs_on_any_number_of_threads() {
    let squares: Vec<Option<usize>> = (0..50).map(|at| Some(at * at)).collect();
    for threads in [1, 2, 7] {
        let heard = Cell::new(0);
        let found = run_all(50, threads, &|| false, &|at, _| Ok::<_, ()>(Some(at * at)), |done| {
            heard.set(done);
        });
        assert_eq!(found, Ok(squares.clone()), "{threads} threads");
        assert_eq!(heard.get(), 50);
    }
    assert_eq!(run_all(0, 4, &|| false, &|_, _| Ok::<Option<()>, ()>(None), |_| {}), Ok(vec![]));
}

#[test]
fn the_first_error_ends_the_work() {
    let begun = AtomicUsize::new(0);
    let job = |at: usize, _: &Halt<'_>| {
        begun.fetch_add(1, Ordering::Relaxed);
        if at >= 3 { Err(at) } else { Ok(Some(at)) }
    };
    assert_eq!(run_all(1_000_000, 1, &|| false, &job, |_| {}), Err(3));
    assert_eq!(begun.load(Ordering::Relaxed), 4, "nothing is begun after it");
}

#[test]
fn work_that_is_asked_to_stop_keeps_what_it_has() {
    let done = AtomicUsize::new(0);
    let job = |at: usize, halt: &Halt<'_>| {
        done.fetch_add(1, Ordering::Relaxed);
        Ok::<_, ()>((!halt.asked()).then_some(at))
    };
    let found = run_all(10, 1, &|| done.load(Ordering::Relaxed) >= 4, &job, |_| {}).unwrap();
    assert_eq!(found[..4], [Some(0), Some(1), Some(2), None]);
    assert!(found[4..].iter().all(Option::is_none));
}

/// A plan of these strategies and one lower-is-better headline metric.
fn plan(strategies: &[&str], seeds: usize, metrics: &[&str]) -> Plan {
    let all = super::metrics(&Labels::default());
    let metrics = metrics
        .iter()
        .map(|name| all.iter().find(|metric| metric.name == *name).expect("a metric").clone())
        .collect();
    Plan {
        scenario: "test".to_owned(),
        strategies: strategies.iter().map(ToString::to_string).collect(),
        baseline: 0,
        seeds: (0..seeds as u64).collect(),
        metrics,
        bounds: Vec::new(),
    }
}

fn run(values: &[f64]) -> Option<ComparedRun> {
    Some(ComparedRun {
        values: values.iter().copied().map(Some).collect(),
        ..ComparedRun::default()
    })
}

#[test]
fn the_paired_test_is_the_textbook_one() {
    // Student's own data (Biometrika 6, 1908): hours of sleep gained by two drugs, ten patients.
    let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
    let plan = plan(&["first", "second"], 10, &["p99"]);
    let runs: Vec<_> =
        first.iter().zip(&second).flat_map(|(a, b)| [run(&[*a]), run(&[*b])]).collect();
    let found = &compare(&plan, &runs).differences[0];
    assert!(close(found.mean, 1.58, 1e-12));
    assert!(close(found.p.unwrap(), 0.002_832_890_197, 1e-9), "{:?}", found.p);
    let interval = found.interval.unwrap();
    assert!(close(interval.low, 0.700_114_2, 1e-6) && close(interval.high, 2.459_885_8, 1e-6));
    assert_eq!((found.won, found.lost, found.verdict), (0, 9, CompareVerdict::Worse), "one tie");
    assert_eq!(found.interval, found.interval_alone, "a family of one needs no correction");
}

#[test]
fn verdict_and_interval_always_agree() {
    let mut rng = Rng::stream(1, "verdicts");
    let plan = plan(&["a", "b", "c", "d"], 6, &["p99", "latency.mean", "slo_attainment", "p50"]);
    let mut seen = [0; 2];
    for _ in 0..300 {
        // Effects of all sizes, so that families are rejected in part.
        let shift: Vec<f64> =
            (0..4).map(|_| if rng.below(2) == 0 { 0.0 } else { rng.unit() }).collect();
        let runs: Vec<_> = (0..plan.runs())
            .map(|at| {
                let values: Vec<f64> =
                    (0..4).map(|_| 1.0 + rng.unit() + shift[plan.cell(at).0]).collect();
                run(&values)
            })
            .collect();
        for difference in compare(&plan, &runs).differences {
            let differs = difference.interval.unwrap().excludes_zero();
            let said = matches!(difference.verdict, CompareVerdict::Better | CompareVerdict::Worse);
            assert_eq!(differs, said, "{difference:?}");
            assert_eq!(difference.p_adjusted.unwrap() <= 0.05, said, "{difference:?}");
            seen[usize::from(said)] += 1;
        }
    }
    assert!(seen.iter().all(|&count| count > 300), "both happen: {seen:?}");
}

#[test]
fn few_seeds_and_equal_numbers_are_said_so() {
    let one = plan(&["a", "b"], 1, &["p99"]);
    let found = compare(&one, &[run(&[1.0]), run(&[2.0])]);
    assert_eq!(found.differences[0].verdict, CompareVerdict::Unknown);
    assert_eq!(found.differences[0].interval, None);

    let seeds = |count: usize, gap: f64| {
        let plan = plan(&["a", "b"], count, &["p99"]);
        let runs: Vec<_> =
            (0..count).flat_map(|at| [run(&[at as f64]), run(&[at as f64 + gap])]).collect();
        compare(&plan, &runs).differences[0].verdict
    };
    assert_eq!(seeds(4, 0.0), CompareVerdict::Same);
    assert_eq!(seeds(4, 1.0), CompareVerdict::Unknown, "no spread and few seeds");
    assert_eq!(seeds(5, 1.0), CompareVerdict::Worse, "a constant difference is certain");
    let rounding = plan(&["a", "b"], 5, &["p99"]);
    let runs: Vec<_> = (0..5).flat_map(|_| [run(&[1.0]), run(&[1.0 + 1e-12])]).collect();
    assert_eq!(compare(&rounding, &runs).differences[0].verdict, CompareVerdict::Same);
}

#[test]
fn a_run_that_is_missing_takes_its_pair_with_it() {
    let plan = plan(&["a", "b"], 3, &["p99"]);
    let runs = [run(&[1.0]), run(&[2.0]), run(&[1.0]), run(&[2.5]), run(&[9.0]), None];
    let found = compare(&plan, &runs);
    assert!(!found.complete);
    assert_eq!((found.runs.done, found.runs.planned), (5, 6));
    let difference = &found.differences[0];
    assert_eq!((difference.seeds, difference.baseline), (2, 1.0), "the lone run is left out");
    assert_eq!(found.strategies[0].seeds_won, 2, "a seed without a rival is not won");
}

#[test]
fn the_front_has_those_that_nobody_beats_in_both() {
    let plan = plan(&["cheap", "quick", "beaten", "twin"], 2, &["cost_per_1k", "p99"]);
    let points = [[1.0, 9.0], [5.0, 2.0], [5.0, 3.0], [1.0, 9.0]];
    let runs: Vec<_> = (0..2).flat_map(|_| points.iter().map(|point| run(point))).collect();
    let front: Vec<_> = compare(&plan, &runs).strategies.iter().map(|one| one.pareto).collect();
    assert_eq!(front, [Some(true), Some(true), Some(false), Some(true)]);
}

/// A normal draw (Box and Muller 1958).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

#[test]
fn false_alarms_are_one_in_twenty_alone_and_in_a_family() {
    const TRIES: usize = 4_000;
    let mut rng = Rng::stream(3, "alarms");
    let (mut alone, mut whole) = (0, 0);
    let plan = plan(&["a", "b", "c", "d"], 6, &["p99", "latency.mean", "ttft.p99"]);
    for _ in 0..TRIES {
        let runs: Vec<_> = (0..plan.runs())
            .map(|_| run(&[normal(&mut rng), normal(&mut rng), normal(&mut rng)]))
            .collect();
        let found = compare(&plan, &runs).differences;
        alone += usize::from(found[0].interval_alone.unwrap().excludes_zero());
        whole += usize::from(found.iter().any(|one| one.verdict != CompareVerdict::NoDifference));
    }
    // Four standard deviations of a share of 5 %.
    let within = 4.0 * (0.05 * 0.95 / TRIES as f64).sqrt();
    let [alone, whole] = [alone, whole].map(|count| f64::from(count as u32) / TRIES as f64);
    assert!((alone - 0.05).abs() < within, "alone {alone}");
    // The strategies share their baseline, so Holm is on the safe side.
    assert!(whole < 0.05 + within && whole > 0.015, "family {whole}");
}

#[test]
fn what_is_the_same_everywhere_and_copies_make_no_difference_less_certain() {
    let gaps = [0.9, 1.1, 1.3, 0.7, 1.2, 0.8];
    let of = |metrics: &[&str], columns: fn(f64) -> Vec<f64>| {
        let plan = plan(&["base", "other"], gaps.len(), metrics);
        let runs: Vec<_> =
            gaps.iter().flat_map(|gap| [run(&columns(0.0)), run(&columns(*gap))]).collect();
        compare(&plan, &runs).differences
    };
    let adjusted = |list: &[Difference], metric: &str| {
        let found = list.iter().find(|one| one.metric == metric).expect("it is compared");
        (found.p_adjusted.expect("a test"), found.verdict)
    };
    let alone = of(&["latency.mean"], |gap| vec![10.0 + gap]);
    let among =
        of(&["latency.mean", "not_served", "ttft.p99"], |gap| vec![10.0 + gap, 0.0, 10.0 + gap]);
    assert_eq!(adjusted(&among, "latency.mean"), adjusted(&alone, "latency.mean"));
    assert_eq!(
        adjusted(&among, "ttft.p99"),
        adjusted(&alone, "latency.mean"),
        "a copy says the same"
    );
    assert_eq!(adjusted(&among, "not_served"), (1.0, CompareVerdict::Same));
}

//! Laws of the arrival processes: mean rates, dispersion of counts, and first values.

use super::*;
use crate::balance::Priority;
use crate::workload::process::PIECES_MAX;
use crate::workload::{ClassSpec, Origin, TenantLaw};

fn mix() -> Mix {
    let law = Dist::constant(1.0).unwrap();
    let (name, priority) = ("all".to_owned(), Priority::Normal);
    let class = ClassSpec {
        name,
        share: 1.0,
        priority,
        prompt: law,
        output: law,
        deadline: None,
        origin: Origin::default(),
        tenants: TenantLaw::default(),
        model: None,
        complexity: None,
        repeat: None,
    };
    Mix::new(vec![class], 1)
}

fn seconds(process: Process, length: u64, seed: u64) -> Vec<f64> {
    let end = Time::ZERO + Span::from_secs(length);
    let mut source = Generated::new(process, end, u64::MAX, seed, mix());
    let next = || source.next().unwrap().map(|arrival| arrival.at.since(Time::ZERO).seconds());
    let times: Vec<f64> = std::iter::from_fn(next).collect();
    assert!(times.is_sorted());
    times
}

/// Arrivals a second, and variance over mean of the counts in windows.
fn dispersion(times: &[f64], length: u64, window: u64) -> (f64, f64) {
    let mut counts = vec![0.0_f64; (length / window) as usize];
    for time in times {
        if let Some(count) = counts.get_mut((time / window as f64) as usize) {
            *count += 1.0;
        }
    }
    let n = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / n;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean / window as f64, variance / mean)
}

fn assert_near(what: &str, found: f64, wanted: f64, tolerance: f64) {
    assert!((found / wanted - 1.0).abs() < tolerance, "{what}: {found}, wanted {wanted}");
}

#[test]
fn renewal_processes_have_their_rate_and_the_dispersion_of_their_gaps() {
    // Windows of 100 gaps and more: the limit is the squared coefficient of variation of a gap.
    // Weibull, shape 0.5: cv^2 = gamma(5) / gamma(3)^2 - 1 = 5.
    for (process, wanted) in [
        (Process::poisson(20.0), 1.0),
        (Process::gamma(20.0, 0.5), 0.25),
        (Process::gamma(20.0, 3.0), 9.0),
        (Process::weibull(20.0, 0.5), 5.0),
    ] {
        let process = process.unwrap();
        let times = seconds(process, 100_000, 3);
        let (rate, idc) = dispersion(&times, 100_000, 50);
        assert_near(&format!("{process} rate"), rate, 20.0, 0.01);
        assert_near(&format!("{process} dispersion"), idc, wanted, 0.12);
    }
}

#[test]
fn two_states_have_the_dispersion_of_the_closed_form() {
    // Heffes and Lucantoni 1986, with a = 1/hold_1, b = 1/hold_2 and s = a + b:
    // IDC(t) = 1 + 2 (r1 - r2)^2 a b / (s^2 (r1 b + r2 a)) * (1 - (1 - e^(-s t)) / (s t)).
    for (r1, r2) in [(40.0, 0.0), (30.0, 10.0)] {
        let (hold1, hold2) = (2.0, 6.0);
        let times = seconds(Process::mmpp(&[(r1, hold1), (r2, hold2)]).unwrap(), 200_000, 5);
        let (a, b): (f64, f64) = (1.0 / hold1, 1.0 / hold2);
        let s = a + b;
        let limit = 2.0 * (r1 - r2).powi(2) * a * b / (s * s * (r1 * b + r2 * a));
        for window in [1, 20] {
            let t = s * window as f64;
            let (rate, idc) = dispersion(&times, 200_000, window);
            assert_near("rate", rate, (r1 * hold1 + r2 * hold2) / (hold1 + hold2), 0.02);
            assert_near("dispersion", idc, 1.0 + limit * (1.0 - (1.0 - (-t).exp()) / t), 0.05);
        }
    }
}

#[test]
fn states_are_visited_for_their_share_of_the_time_from_the_start() {
    // One of three states has arrivals, half of the time: so do half of the seeds at the start.
    let process = Process::mmpp(&[(0.0, 10.0), (1e4, 20.0), (0.0, 10.0)]).unwrap();
    let end = Time::ZERO + Span::from_millis(10);
    let count = |seed| Generated::new(process, end, 1, seed, mix()).next().unwrap().is_some();
    let on = (0..2_000).filter(|seed| count(*seed)).count();
    assert!((900..1_100).contains(&on), "{on}");
}

#[test]
fn a_ramp_has_the_area_below_its_line() {
    for (from, to) in [(0.0, 100.0), (100.0, 0.0), (20.0, 60.0), (60.0, 20.0), (50.0, 50.0)] {
        let times = seconds(Process::ramp(from, to, 1_000.0).unwrap(), 1_500, 7);
        let between = |a: f64, b: f64| times.iter().filter(|at| (a..b).contains(at)).count() as f64;
        let middle = f64::midpoint(from, to);
        // Four standard deviations of a Poisson count, and one for counts near zero.
        let near = |found: f64, wanted: f64| {
            assert!((found - wanted).abs() < 4.0 * wanted.sqrt() + 1.0, "{found}, {wanted}");
        };
        near(between(0.0, 500.0), 500.0 * f64::midpoint(from, middle));
        near(between(500.0, 1_000.0), 500.0 * f64::midpoint(middle, to));
        near(between(1_000.0, 1_500.0), 500.0 * to);
    }
}

#[test]
fn a_day_peaks_when_it_should() {
    let process = Process::diurnal(50.0, 0.8, 1_000.0, 250.0).unwrap();
    let times = seconds(process, 10_000, 9);
    assert_near("mean", times.len() as f64 / 10_000.0, 50.0, 0.01);
    let mut tenths = [0.0_f64; 10];
    for time in times {
        tenths[(time % 1_000.0 / 100.0) as usize] += 1e-3;
    }
    for (tenth, found) in tenths.into_iter().enumerate() {
        // The mean of the cosine over the tenth.
        let phase = |at: f64| (std::f64::consts::TAU * (at / 10.0 - 0.25)).sin();
        let over =
            (phase(tenth as f64 + 1.0) - phase(tenth as f64)) / (std::f64::consts::TAU / 10.0);
        let wanted = 50.0 * (1.0 + 0.8 * over);
        assert!((found - wanted).abs() < 1.0, "tenth {tenth}: {found}, wanted {wanted}");
    }
}

#[test]
fn steps_hold_their_rates_and_may_end_in_silence() {
    let steps = [(100.0, 0.0), (0.0, 10.0), (1_000.0, 20.0), (0.0, 30.0)];
    let times = seconds(Process::steps(&steps).unwrap(), 1_000_000, 11);
    let between = |a: f64, b: f64| times.iter().filter(|at| (a..b).contains(at)).count();
    assert!((870..1_130).contains(&between(0.0, 10.0)));
    assert_eq!(between(10.0, 20.0), 0);
    assert!((9_600..10_400).contains(&between(20.0, 30.0)));
    assert_eq!(between(30.0, f64::INFINITY), 0);
}

#[test]
fn first_values_are_pinned() {
    // A change here changes every result of every user: never by accident.
    let first = |process: Process| {
        let mut source = Generated::new(process, Time::MAX, 3, 7, mix());
        let next = || source.next().unwrap().map(|arrival| arrival.at.0 / 1_000_000);
        (process.to_string(), std::iter::from_fn(next).collect::<Vec<u64>>())
    };
    let processes = [
        Process::poisson(2.0),
        Process::gamma(2.0, 3.0),
        Process::weibull(2.0, 0.5),
        Process::mmpp(&[(10.0, 1.0), (0.0, 5.0)]),
        Process::ramp(0.0, 10.0, 60.0),
        Process::diurnal(2.0, 0.5, 86_400.0, 43_200.0),
        Process::steps(&[(0.0, 0.0), (2.0, 5.0)]),
    ];
    let pinned: Vec<_> = processes.into_iter().map(|process| first(process.unwrap())).collect();
    insta::assert_snapshot!(
        pinned.iter().map(|(name, times)| format!("{name}: {times:?}\n")).collect::<String>()
    );
}

#[test]
fn parameters_without_meaning_are_refused() {
    for bad in [f64::NAN, f64::INFINITY, -1.0, 1e8] {
        assert!(Process::poisson(bad).is_err());
        assert!(Process::gamma(bad, 1.0).is_err());
        assert!(Process::gamma(1.0, bad).is_err());
        assert!(Process::weibull(bad, 1.0).is_err());
        assert!(Process::weibull(1.0, bad).is_err());
        assert!(Process::mmpp(&[(bad, 1.0), (1.0, 1.0)]).is_err());
        assert!(Process::ramp(bad, 1.0, 1.0).is_err());
        assert!(Process::ramp(1.0, bad, 1.0).is_err());
        assert!(Process::diurnal(bad, 0.5, 10.0, 0.0).is_err());
        assert!(Process::diurnal(1.0, bad, 10.0, 0.0).is_err());
        assert!(Process::steps(&[(bad, 0.0)]).is_err());
    }
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(Process::mmpp(&[(1.0, bad), (1.0, 1.0)]).is_err());
        assert!(Process::ramp(1.0, 2.0, bad).is_err());
        assert!(Process::diurnal(1.0, 0.5, bad, 0.0).is_err());
        assert!(Process::diurnal(1.0, 0.5, 10.0, bad).is_err());
        assert!(Process::steps(&[(1.0, 0.0), (1.0, bad)]).is_err());
    }
    assert!(Process::mmpp(&[(1.0, 1.0)]).is_err(), "one state changes nothing");
    assert!(Process::mmpp(&[(0.0, 1.0), (0.0, 1.0)]).is_err(), "no arrivals at all");
    assert!(Process::mmpp(&[(1e-9, 1e-3), (0.0, 1e-3)]).is_err(), "would draw for ever");
    assert!(Process::mmpp(&[(1.0, 1.0); PIECES_MAX + 1]).is_err());
    assert!(Process::ramp(0.0, 0.0, 1.0).is_err());
    assert!(Process::steps(&[]).is_err());
    assert!(Process::steps(&[(1.0, 1.0)]).is_err(), "the first is not at zero");
    assert!(Process::steps(&[(1.0, 0.0), (2.0, 0.0)]).is_err(), "no order");
}

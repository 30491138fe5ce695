//! Tests of what a screen shows against what reports and exports say of the same run.

use std::sync::Arc;

use super::{Changes, Color, load};
use crate::balance::{AttemptKind, Event};
use crate::command::{Frame, Mode, NodeGroup};
use crate::metrics::{
    Collector, Interval, IntervalScope, LogEntry, NodeRow, Snapshot, Summary, Watch,
};
use crate::report::frames::{FrameReader, FrameWriter};
use crate::scenario::Scenario;
use crate::sim::{Sim, Step};
use crate::unit::{NodeId, Span, Time};

fn scenario(name: &str) -> Scenario {
    let read = load::scenario(name, &Changes::default(), Color::Never);
    read.unwrap_or_else(|failure| panic!("{name}: {}", failure.message))
}

/// A run and whoever watches it.
struct WatchedRun {
    sim: Sim,
    screen: Collector,
    export: Collector,
    /// Dispatches and ends by node, in their order: the node, whether it is a dispatch, and when.
    attempts: Vec<(NodeId, bool, Time)>,
    failovers: u64,
    retries: u64,
}

impl WatchedRun {
    fn new(name: &str) -> WatchedRun {
        let scenario = scenario(name);
        let ready = load::simulation(&scenario, Color::Never);
        let sim = ready.unwrap_or_else(|failure| panic!("{name}: {}", failure.message)).sim;
        WatchedRun {
            sim,
            screen: load::collector(&scenario, Watch::Screen),
            export: load::collector(&scenario, Watch::Export),
            attempts: Vec::new(),
            failovers: 0,
            retries: 0,
        }
    }

    /// Handles one input; returns whether there was one.
    fn step(&mut self) -> bool {
        let WatchedRun { sim, screen, export, attempts, failovers, retries } = self;
        let mut sink = |now: Time, event: &Event| {
            screen.fold(now, event);
            export.fold(now, event);
            match event {
                Event::Dispatched { node, kind, .. } => {
                    attempts.push((*node, true, now));
                    *retries += u64::from(*kind == AttemptKind::Retry);
                }
                Event::Ended { node, .. } => attempts.push((*node, false, now)),
                Event::Settled(settled) => *failovers += u64::from(settled.failover),
                _ => {}
            }
        };
        sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled
    }

    /// Handles all up to a time; `look` is called after every input.
    fn to(&mut self, at: Time, mut look: impl FnMut(&mut Collector, Time)) {
        while self.sim.next_at().is_some_and(|next| next <= at) && self.step() {
            let now = self.sim.now();
            look(&mut self.screen, now);
        }
    }

    /// Runs to the end.
    fn end(&mut self) -> (Snapshot, Summary) {
        while self.step() {}
        let now = self.sim.now();
        (self.screen.snapshot(now), self.screen.summary(now, true))
    }
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::from_secs(seconds)
}

fn near(what: &str, ours: f64, theirs: f64, off: f64) {
    let most = off * theirs.abs().max(1e-9);
    assert!((ours - theirs).abs() <= most, "{what}: {ours} on the screen, {theirs} elsewhere");
}

#[test]
fn figures_are_the_same_however_one_watched() {
    for name in ["quickstart", "scale-out", "agents"] {
        let seen = |every: u32| {
            let mut run = WatchedRun::new(name);
            let mut steps = 0_u32;
            run.to(at(97), |screen, now| {
                steps += 1;
                if every > 0 && steps.is_multiple_of(every) {
                    let _ = screen.snapshot(now);
                }
            });
            let shown = run.screen.snapshot(at(97));
            (shown.nodes, shown.window, shown.classes, shown.jobs, shown.history)
        };
        let never = seen(0);
        assert_eq!(never, seen(1), "{name}: at every input");
        assert_eq!(never, seen(911), "{name}: now and then");
    }
}

/// A picture in words, without what is not sent, fractions to twelve digits.
fn sent(frame: &Frame, with_heat: bool) -> String {
    let mut shown = (*frame.snapshot).clone();
    (shown.last, shown.decisions) = (None, Vec::new());
    if !with_heat {
        shown.heat = Arc::default();
    }
    let words = format!("{:?}", Frame { snapshot: Arc::new(shown), ..frame.clone() });
    let mut near = String::with_capacity(words.len());
    for part in words.split_inclusive([' ', ',', '(', ')', '[', ']', '}']) {
        let number = part.trim_end_matches([' ', ',', '(', ')', '[', ']', '}']);
        match number.parse::<f64>() {
            Ok(value) if number.contains('.') => {
                near.push_str(&format!("{value:.12e}{}", &part[number.len()..]));
            }
            _ => near.push_str(part),
        }
    }
    near
}

#[test]
fn what_another_process_reads_is_what_was_shown() {
    for name in ["quickstart", "overload", "agents", "failover"] {
        let mut run = WatchedRun::new(name);
        let (mut writer, mut reader) = (FrameWriter::default(), FrameReader::default());
        for step in 0..40_u64 {
            let now = at(step * 7);
            run.to(now, |_, _| {});
            let snapshot = Arc::new(run.screen.snapshot(now));
            let region = NodeGroup { word: "region", name: "eu".into(), nodes: vec![NodeId(1)] };
            let frame = Frame {
                snapshot,
                end: Some(at(300)),
                groups: Arc::new([region]),
                ..Frame::new(Mode::Live, name, 7)
            };
            let line = writer.line(&frame);
            assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
            let read = reader.read(&line).expect("it was written so");
            // Fractions may differ in their last bits, and the map is not in every line.
            let heat = step % 10 == 0;
            assert_eq!(sent(&read, heat), sent(&frame, heat), "{name} at {now}");
        }
        for wrong in ["{}", "{\"v\":2}", "", "[]", "{\"v\":1}"] {
            assert!(reader.read(wrong).is_err(), "{wrong}");
        }
    }
}

/// What an interval and a row have in common.
fn compare(what: &str, interval: &Interval, row: &NodeRow) {
    let seconds = 10.0;
    near(what, row.requests_per_s * seconds, interval.ended as f64, 1e-9);
    near(what, row.error_share * interval.ended as f64, interval.bad as f64, 1e-9);
    near(what, row.tokens_per_s * seconds, interval.output.0 as f64, 1e-9);
    near(what, row.dollars_per_hour / 360.0, interval.cost.dollars(), 1e-6);
    assert_eq!(row.samples, interval.latency.len(), "{what}");
    for (shown, quantile) in [(row.p50, 0.5), (row.p99, 0.99)] {
        if let Some(shown) = shown {
            let exact = interval.latency.value_at_quantile(quantile) as f64 / 1e6;
            near(what, shown.seconds(), exact, 0.002);
        }
    }
}

#[test]
fn figures_of_the_window_are_those_an_export_has_of_the_same_ten_seconds() {
    for name in ["quickstart", "failover", "overload"] {
        let mut run = WatchedRun::new(name);
        run.to(at(60), |_, _| {});
        let shown = run.screen.snapshot(at(60));
        // The next event closes the interval.
        let mut intervals = run.export.take_intervals(false);
        while intervals.iter().all(|one| one.start < at(50)) && run.step() {
            intervals.extend(run.export.take_intervals(false));
        }
        let of = |scope| intervals.iter().find(|one| one.scope == scope && one.start == at(50));
        let all = of(IntervalScope::All).expect("something happened");
        assert_eq!(shown.window_length, Span::from_secs(10));
        near(name, shown.window.requests_per_s * 10.0, all.ended as f64, 1e-9);
        near(name, shown.window.error_share * all.ended as f64, all.bad as f64, 1e-9);
        let p99 = all.latency.value_at_quantile(0.99) as f64 / 1e6;
        near(name, shown.window.p99.expect("samples").seconds(), p99, 0.002);
        for row in &shown.nodes {
            if let Some(interval) = of(IntervalScope::Node(row.id.index())) {
                compare(&format!("{name} {}", row.name), interval, row);
            }
        }
        for (place, row) in shown.classes.iter().enumerate() {
            let Some(interval) = of(IntervalScope::Class(place)) else { continue };
            near(&row.name, row.window.requests_per_s * 10.0, interval.ended as f64, 1e-9);
            assert_eq!(row.window.samples, interval.latency.len(), "{name} {}", row.name);
            if let Some(p99) = row.window.p99 {
                let exact = interval.latency.value_at_quantile(0.99) as f64 / 1e6;
                near(&row.name, p99.seconds(), exact, 0.002);
            }
        }
    }
}

/// Against all attempts from the beginning, one after the other.
#[test]
fn share_and_utilisation_are_of_the_same_ten_seconds() {
    let mut run = WatchedRun::new("quickstart");
    let now = at(43);
    run.to(now, |_, _| {});
    let shown = run.screen.snapshot(now);
    let begin = at(33);
    let sent = |node: Option<NodeId>| {
        let begun = run.attempts.iter().filter(|(_, begins, at)| *begins && *at > begin);
        begun.filter(|(at, ..)| node.is_none_or(|node| node == *at)).count() as f64
    };
    for row in &shown.nodes {
        near(&row.name, row.share, sent(Some(row.id)) / sent(None), 1e-9);
        let Some(utilisation) = row.utilisation else { continue };
        let most = f64::from(row.capacity.expect("it has one"));
        let (mut busy, mut in_flight, mut last) = (0.0, 0_i64, begin);
        let changes = run.attempts.iter().filter(|(node, ..)| *node == row.id);
        for (_, begins, at) in changes {
            busy += (in_flight as f64).min(most) * at.since(last).seconds();
            last = last.max(*at);
            in_flight += if *begins { 1 } else { -1 };
        }
        busy += (in_flight as f64).min(most) * now.since(last).seconds();
        near(&row.name, utilisation, busy / most / 10.0, 1e-6);
    }
}

#[test]
fn figures_at_the_end_are_those_of_the_report() {
    for name in ["quickstart", "scale-out", "failover"] {
        let mut run = WatchedRun::new(name);
        let (shown, told) = run.end();
        let span = told.simulated_s - told.warmup_s;
        let figures = shown.run;
        near("$/h", figures.dollars_per_hour, told.cost_usd.total / span * 3_600.0, 1e-9);
        near("$", shown.totals.dollars, told.cost_usd.total, 1e-9);
        let per_1k = told.cost_usd.per_1k_requests.expect("requests");
        near("$/1k", shown.totals.dollars_per_1k.expect("requests"), per_1k, 1e-9);
        assert_eq!(shown.totals.failovers, told.attempts.failovers);
        assert_eq!(shown.totals.retries, told.attempts.retries);
        assert_eq!(shown.totals.requests, told.requests);
        let p99 = told.latency_s.p99.expect("samples");
        near("p99", figures.p99.expect("samples").seconds(), p99, 1e-9);
        let errors = told.requests.errors() as f64 / told.requests.ended() as f64;
        near("errors", figures.error_share, errors, 1e-9);
    }
}

#[test]
fn nodes_cost_what_the_fleet_costs_and_nothing_while_they_are_off() {
    let mut run = WatchedRun::new("scale-out");
    let mut off = 0;
    for second in (40..3_000).step_by(40) {
        run.to(at(second), |_, _| {});
        let shown = run.screen.snapshot(at(second));
        let sum: f64 = shown.nodes.iter().map(|row| row.dollars_per_hour).sum();
        near("all nodes", sum, shown.window.dollars_per_hour, 1e-6);
        let idle = shown
            .nodes
            .iter()
            .filter(|row| row.state == crate::balance::NodeState::Off && row.requests_per_s == 0.0);
        for row in idle {
            off += usize::from(row.dollars_per_hour == 0.0);
        }
    }
    assert!(off > 100, "most are off most of the time: {off}");
}

fn count(log: &[LogEntry], of: impl Fn(&LogEntry) -> bool) -> u64 {
    log.iter().filter(|entry| of(entry)).map(|entry| entry.count).sum()
}

#[test]
fn every_failover_and_every_retry_is_in_the_log_and_they_are_two_things() {
    for name in ["quickstart", "failover"] {
        let mut run = WatchedRun::new(name);
        let (shown, told) = run.end();
        assert_eq!(shown.log_dropped, 0, "{name}");
        assert_eq!(count(&shown.log, |entry| entry.failover), run.failovers, "{name}");
        let retried = count(&shown.log, |entry| entry.text.starts_with("retries after"));
        assert_eq!(retried, run.retries, "{name}");
        assert_eq!((run.failovers, run.retries), (told.attempts.failovers, told.attempts.retries));
        assert_ne!(run.failovers, run.retries);
    }
}

#[test]
fn the_failover_of_a_region_is_one_line() {
    let mut run = WatchedRun::new("failover");
    run.to(at(170), |_, _| {});
    let shown = run.screen.snapshot(at(170));
    let mut lines = shown.log.iter().filter(|entry| entry.text == "failover eu → us backup");
    let line = lines.next().expect("the region is gone since 2:00");
    assert!(lines.next().is_none(), "and only one of it");
    assert!(line.at >= at(120) && line.at < at(121), "{:?}", line.at);
    assert!(line.count > 300, "{} of fifty seconds", line.count);
    let rate = line.per_s().expect("several");
    assert!((8.0..12.0).contains(&rate), "about as many as arrive: {rate}");
}

#[test]
fn what_a_person_did_is_not_pushed_out_by_what_happens_to_requests() {
    let mut run = WatchedRun::new("overload");
    run.to(at(5), |_, _| {});
    run.sim.kill(NodeId(0));
    let (shown, _) = run.end();
    assert!(shown.log.iter().any(|entry| entry.by_person), "{} entries", shown.log.len());
    assert!(shown.log.len() < 200, "{} entries", shown.log.len());
}

/// What hearing the events of a run costs with a screen and without; for callgrind or a watch.
#[test]
#[ignore = "a measurement"]
fn what_a_screen_costs() {
    let name = std::env::var("PLIMSOLL_SCENARIO").unwrap_or_else(|_| "bench-queue".to_owned());
    let scenario = scenario(&name);
    let ready = load::simulation(&scenario, Color::Never);
    let mut sim = ready.unwrap_or_else(|failure| panic!("{name}: {}", failure.message)).sim;
    let mut events: Vec<(Time, Event)> = Vec::new();
    let mut requests = 0_u32;
    while requests < 50_000 {
        let mut sink = |now: Time, event: &Event| {
            requests += u32::from(matches!(event, Event::Settled(_)));
            events.push((now, event.clone()));
        };
        if sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Done {
            break;
        }
    }
    let mut best = [f64::INFINITY; 2];
    for _ in 0..15 {
        for (best, watch) in best.iter_mut().zip([Watch::Report, Watch::Screen]) {
            let mut collector = load::collector(&scenario, watch);
            let start = std::time::Instant::now();
            events.iter().for_each(|(now, event)| collector.fold(*now, event));
            *best = best.min(start.elapsed().as_secs_f64() / f64::from(requests) * 1e9);
        }
    }
    println!("{name}: {:.0} ns a request for a report, {:.0} for a screen", best[0], best[1]);
}

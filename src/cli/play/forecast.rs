//! What would come of it: the run is made again from its beginning to this moment, something is done,
//! and it goes on to the end, on other threads. The run that is watched is not touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::super::Color;
use super::run::{Got, PlayedRun};
use super::session::PlaySession;
use crate::balance::{Event, Fate};
use crate::command::{AheadPoint, Command, Foreseen, Prospects};
use crate::metrics::Watch;
use crate::scenario::Scenario;
use crate::unit::{Span, Time};

/// All of it is to take so long: if going on to the end would take longer, the next minute is foreseen.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is not known after so long stays unknown.
const LIMIT: Duration = Duration::from_secs(10);
const NEXT: Span = Span::from_secs(60);

/// A point of a line is of so long before it, as on the screen.
const WINDOW: Span = Span::from_secs(10);
/// How far apart points of a line are, and how many of them: close together at first.
const STEPS: [(Span, u32); 4] = [
    (Span::from_millis(500), 120),
    (Span::from_secs(2), 120),
    (Span::from_secs(10), 120),
    (Span::from_secs(60), 240),
];

/// Which it is, until when it was foreseen, and what it comes to.
type ToldOf = (usize, Time, Option<Foreseen>);

/// What is being foreseen.
pub(super) struct Foresight {
    forecast: Prospects,
    results: Receiver<ToldOf>,
    stop: Arc<AtomicBool>,
    /// How many have not said anything yet.
    missing: usize,
}

impl Drop for Foresight {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Foresight {
    /// Begins to foresee what would come of each of these at `from`, and of nothing: to the end, however long
    /// that takes, if whoever asks is `patient`.
    pub(super) fn begin(
        session: &PlaySession,
        from: Time,
        deeds: &[Command],
        patient: bool,
    ) -> Foresight {
        let as_is = session.scenario().clone();
        let others = deeds.iter().map(|deed| session.with(from, &session.deed(deed)?).ok());
        let others: Vec<Option<Scenario>> = others.collect();
        let (stop, color) = (Arc::new(AtomicBool::new(false)), session.color());
        let (say, results) = mpsc::channel();
        let (halt, missing) = (Arc::clone(&stop), 1 + others.len());
        let ask = move || {
            foresee_all((&as_is, &others), Question { from, color, stop: &halt }, patient, &say);
        };
        let spawned = thread::Builder::new().name("foresight".to_owned()).spawn(ask);
        let forecast =
            Prospects { from, until: Time::MAX, as_is: None, rows: vec![None; deeds.len()] };
        Foresight { forecast, results, stop, missing: if spawned.is_ok() { missing } else { 0 } }
    }

    /// Returns whether something is still to come.
    pub(super) const fn goes_on(&self) -> bool {
        self.missing > 0
    }

    /// Takes what has come. Returns whether there was something.
    pub(super) fn take(&mut self) -> bool {
        let before = self.missing;
        while let Ok(said) = self.results.try_recv() {
            self.note(said);
        }
        self.missing < before
    }

    fn note(&mut self, (at, until, seen): ToldOf) {
        self.missing = self.missing.saturating_sub(1);
        self.forecast.until = until;
        match at.checked_sub(1) {
            None => self.forecast.as_is = seen,
            Some(row) => self.forecast.rows[row] = seen,
        }
    }

    /// Waits until all of it is known.
    pub(super) fn wait(&mut self) {
        while self.goes_on()
            && self.results.recv().is_ok_and(|said| {
                self.note(said);
                true
            })
        {}
    }

    pub(super) fn forecast(&self) -> Prospects {
        self.forecast.clone()
    }
}

/// Foresees what comes of nothing, and then of the others on as many threads as there are processors. The
/// first tells how far the others can go.
fn foresee_all(
    (as_is, others): (&Scenario, &[Option<Scenario>]),
    question: Question<'_>,
    patient: bool,
    say: &Sender<ToldOf>,
) {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let begun = Instant::now();
    let within = |limit: Duration| (!patient).then(|| begun + limit);
    let share = PATIENCE * threads as u32 / (1 + others.len() as u32);
    let (until, first) = match question.foresee(as_is, Time::MAX, within(share)) {
        Some(first) => (Time::MAX, Some(first)),
        None => {
            let until = question.from + NEXT;
            (until, question.foresee(as_is, until, within(LIMIT)))
        }
    };
    // Whoever has asked may be gone.
    let _ = say.send((0, until, first));
    let next = AtomicUsize::new(0);
    let work = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(scenario) = others.get(at) else { return };
        let seen = scenario.as_ref().and_then(|one| question.foresee(one, until, within(LIMIT)));
        if say.send((at + 1, until, seen)).is_err() {
            return;
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
}

/// What all of them are asked alike.
#[derive(Clone, Copy)]
struct Question<'a> {
    from: Time,
    color: Color,
    stop: &'a AtomicBool,
}

impl Question<'_> {
    /// Runs a scenario to `until`. Returns what it came to from the moment on, unless nobody waits for it
    /// any more or there was no more time.
    fn foresee(self, scenario: &Scenario, until: Time, by: Option<Instant>) -> Option<Foreseen> {
        let mut run = PlayedRun::new(scenario, Watch::Report, self.color).ok()?;
        let late = || by.is_some_and(|by| Instant::now() >= by);
        let stop = || self.stop.load(Ordering::Relaxed) || late();
        let mut meter = EndMeter::from(self.from);
        let got = run.advance(self.from, stop, &mut |now, event| {
            if now + WINDOW > self.from {
                meter.hear(now, event);
            }
        });
        if got == Got::OnTheWay {
            return None;
        }
        let before = run.collector.spent(self.from);
        if run.advance(until, stop, &mut |now, event| meter.hear(now, event)) == Got::OnTheWay {
            return None;
        }
        let end = run.sim.now().max(self.from);
        let hours = (end.since(self.from).seconds() / 3_600.0).max(1e-9);
        Some(meter.foreseen(end, (run.collector.spent(end) - before) / hours))
    }
}

/// Notes the ends of requests, and counts those that come after a moment.
#[derive(Default)]
struct EndMeter {
    from: Time,
    /// When requests were completed, in order, and how long they took.
    completed: Vec<(Time, Span)>,
    failed: u64,
}

impl EndMeter {
    fn from(from: Time) -> EndMeter {
        EndMeter { from, ..EndMeter::default() }
    }

    fn hear(&mut self, now: Time, event: &Event) {
        if let Event::Settled(settled) = event {
            match settled.fate {
                Fate::Completed => self.completed.push((now, now.since(settled.arrived))),
                Fate::Cancelled => {}
                _ => self.failed += u64::from(now > self.from),
            }
        }
    }

    /// What it came to by `end`. The failed ones are later than any other.
    fn foreseen(&self, end: Time, dollars_per_hour: f64) -> Foreseen {
        let first = self.completed.partition_point(|(at, _)| *at <= self.from);
        let latencies = &self.completed[first..];
        let all = latencies.len() as u64 + self.failed;
        let rank = (all as f64 * 0.99).ceil() as usize;
        let failed = if all == 0 { 0.0 } else { self.failed as f64 / all as f64 };
        Foreseen { p99: ranked(latencies, rank), failed, dollars_per_hour, line: self.line(end) }
    }

    /// The 99th percentile of what is completed from now on, as the screen will show it.
    fn line(&self, end: Time) -> Arc<[AheadPoint]> {
        let place = |time: Time| self.completed.partition_point(|(at, _)| *at <= time);
        let steps = STEPS.iter().flat_map(|(step, many)| (0..*many).map(|_| *step));
        let times = steps.scan(self.from, |at, step| {
            *at = *at + step;
            Some(*at)
        });
        let point = |at: Time| {
            let window = &self.completed[place(Time(at.0.saturating_sub(WINDOW.0)))..place(at)];
            let rank = (window.len() as f64 * 0.99).ceil() as usize;
            AheadPoint { at, p99: ranked(window, rank), samples: window.len() as u32 }
        };
        times.take_while(|at| *at <= end).map(point).collect()
    }
}

/// The latency of this rank, from one on; none beyond the last.
fn ranked(completed: &[(Time, Span)], rank: usize) -> Option<Span> {
    let at = rank.checked_sub(1).filter(|at| *at < completed.len())?;
    let mut latencies: Vec<Span> = completed.iter().map(|(_, took)| *took).collect();
    Some(*latencies.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Time = Time(20_000_000_000);

    /// One that has seen requests of so many milliseconds end in the second after the moment.
    fn meter(milliseconds: impl Iterator<Item = u64>, failed: u64) -> EndMeter {
        let completed =
            milliseconds.map(|took| (FROM + Span::from_millis(took), Span::from_millis(took)));
        EndMeter { from: FROM, completed: completed.collect(), failed }
    }

    fn seen(milliseconds: impl Iterator<Item = u64>, failed: u64) -> Foreseen {
        meter(milliseconds, failed).foreseen(FROM, 0.0)
    }

    #[test]
    fn those_that_fail_are_later_than_any_other() {
        assert_eq!(seen(1..=100, 0).p99, Some(Span::from_millis(99)));
        assert_eq!(seen(1..=99, 1).p99, Some(Span::from_millis(99)));
        assert_eq!(seen(1..=98, 2).p99, None, "more than one in a hundred");
        let (nothing, line) = (seen(0..0, 0), Arc::default());
        let none = Foreseen { p99: None, failed: 0.0, dollars_per_hour: 0.0, line };
        assert_eq!(nothing, none);
        assert!((seen(1..=75, 25).failed - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_line_goes_on_from_the_last_ten_seconds_and_ends_where_the_run_does() {
        let mut meter = meter(1..=100, 0);
        // Before the moment everything took nine seconds; that is no part of what is foreseen.
        let before = (1..=100).map(|at| (Time(FROM.0 - at * 1_000_000), Span::from_secs(9)));
        meter.completed.splice(0..0, before.collect::<Vec<_>>().into_iter().rev());
        assert_eq!(meter.foreseen(FROM, 0.0).p99, Some(Span::from_millis(99)));
        let line = meter.line(FROM + Span::from_secs(12));
        assert_eq!(line.len(), 24, "a point each half second");
        let at = |seconds: f64| {
            let at = FROM + Span::from_seconds(seconds);
            line.iter().find(|point| point.at == at).map(|point| (point.p99, point.samples))
        };
        assert_eq!(at(1.0), Some((Some(Span::from_secs(9)), 200)));
        assert_eq!(at(9.5), Some((Some(Span::from_secs(9)), 200)));
        assert_eq!(at(10.0), Some((Some(Span::from_millis(99)), 100)), "the ten seconds are over");
        assert_eq!(at(11.0), Some((None, 0)), "nothing has ended for ten seconds");
        let far = meter.line(Time::MAX);
        assert_eq!(far.len(), 600, "however long the run is");
    }
}

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
use crate::command::{Command, Foreseen, Prospects};
use crate::metrics::Watch;
use crate::scenario::Scenario;
use crate::unit::{Span, Time};

/// All of it is to take so long: if going on to the end would take longer, the next minute is foreseen.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is not known after so long stays unknown.
const LIMIT: Duration = Duration::from_secs(10);
const NEXT: Span = Span::from_secs(60);

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
        if run.advance(self.from, stop, &mut |_, _| {}) == Got::OnTheWay {
            return None;
        }
        let before = run.collector.spent(self.from);
        let mut meter = EndMeter::default();
        if run.advance(until, stop, &mut |now, event| meter.hear(now, event)) == Got::OnTheWay {
            return None;
        }
        let end = run.sim.now().max(self.from);
        let hours = (end.since(self.from).seconds() / 3_600.0).max(1e-9);
        Some(meter.foreseen((run.collector.spent(end) - before) / hours))
    }
}

/// Counts the ends of requests.
#[derive(Default)]
struct EndMeter {
    latencies: Vec<Span>,
    failed: u64,
}

impl EndMeter {
    fn hear(&mut self, now: Time, event: &Event) {
        if let Event::Settled(settled) = event {
            match settled.fate {
                Fate::Completed => self.latencies.push(now.since(settled.arrived)),
                Fate::Cancelled => {}
                _ => self.failed += 1,
            }
        }
    }

    /// The failed ones are later than any other.
    fn foreseen(mut self, dollars_per_hour: f64) -> Foreseen {
        let all = self.latencies.len() as u64 + self.failed;
        let rank = (all as f64 * 0.99).ceil() as usize;
        let p99 = (rank > 0 && rank <= self.latencies.len())
            .then(|| *self.latencies.select_nth_unstable(rank - 1).1);
        let failed = if all == 0 { 0.0 } else { self.failed as f64 / all as f64 };
        Foreseen { p99, failed, dollars_per_hour }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(milliseconds: impl Iterator<Item = u64>, failed: u64) -> Foreseen {
        let latencies = milliseconds.map(Span::from_millis).collect();
        EndMeter { latencies, failed }.foreseen(0.0)
    }

    #[test]
    fn those_that_fail_are_later_than_any_other() {
        assert_eq!(meter(1..=100, 0).p99, Some(Span::from_millis(99)));
        assert_eq!(meter(1..=99, 1).p99, Some(Span::from_millis(99)));
        assert_eq!(meter(1..=98, 2).p99, None, "more than one in a hundred");
        assert_eq!(meter(0..0, 0), Foreseen { p99: None, failed: 0.0, dollars_per_hour: 0.0 });
        assert!((meter(1..=75, 25).failed - 0.25).abs() < 1e-12);
    }
}

//! How far simulated time is to be: wall time passes, and the pace says how much of it that is.
//!
//! Nobody is owed what could not be kept. A machine that is too slow for a pace falls behind by a
//! second at most; a pace that changes, a pause and a stop of the whole process (SIGSTOP, a laptop
//! that sleeps) all begin anew from where the run is. Otherwise a run that was asked for too much
//! would go on at full speed long after somebody asked for less.

use std::time::Duration;

use crate::command::Pace;
use crate::unit::{Span, Time};

/// A longer stop than this was no slice of work: what passed in it is forgotten.
const STOP: Duration = Duration::from_millis(500);

/// A run may be behind by so much wall time.
const DEBT_MAX: f64 = 1.0;

/// The speed reached is measured over so long.
const MEASURED: Duration = Duration::from_millis(500);

/// The pace of a run, and what follows from it.
#[derive(Debug)]
pub(super) struct PaceClock {
    pace: Pace,
    /// Simulated time that is asked for.
    target: Time,
    /// Since when speed is measured: wall time passed, and where the run was.
    since: (Duration, Time),
    /// Simulated seconds a second that were reached of late.
    reached: Option<f64>,
}

impl PaceClock {
    pub(super) const fn new(pace: Pace) -> PaceClock {
        PaceClock { pace, target: Time::ZERO, since: (Duration::ZERO, Time::ZERO), reached: None }
    }

    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    /// Returns the simulated time that is asked for.
    pub(super) const fn target(&self) -> Time {
        self.target
    }

    /// Returns simulated seconds a second that were reached of late, once that is known.
    pub(super) const fn reached(&self) -> Option<f64> {
        self.reached
    }

    /// From now on this pace counts, from where the run is.
    pub(super) const fn set(&mut self, pace: Pace, at: Time) {
        self.pace = pace;
        self.begin(at);
    }

    /// The run goes on from where it is: after a pause, a step, or a restart.
    pub(super) const fn begin(&mut self, at: Time) {
        self.target = at;
        self.since = (Duration::ZERO, at);
        self.reached = None;
    }

    /// So much wall time has passed; the run is at `at`, and its next event is at `next`. Returns how far
    /// it is to go.
    pub(super) fn pass(&mut self, wall: Duration, at: Time, next: Option<Time>) -> Time {
        if wall > STOP {
            self.begin(at.max(self.target.min(next.unwrap_or(at))));
            return self.target;
        }
        self.measure(wall, at);
        let Pace::Times(times) = self.pace else { return Time::MAX };
        let wanted = self.target + Span::from_seconds(wall.as_secs_f64() * times);
        // Where nothing is to happen for long, nothing is owed.
        let most = next.map_or(wanted, |next| next.max(at) + Span::from_seconds(DEBT_MAX * times));
        self.target = wanted.min(most).max(self.target);
        self.target
    }

    fn measure(&mut self, wall: Duration, at: Time) {
        let (passed, from) = (self.since.0 + wall, self.since.1);
        self.since.0 = passed;
        if passed >= MEASURED {
            self.reached = Some(at.since(from).seconds() / passed.as_secs_f64());
            self.since = (Duration::ZERO, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_millis(20);

    fn at(seconds: f64) -> Time {
        Time::ZERO + Span::from_seconds(seconds)
    }

    /// A run that gets no further than `most` seconds a slice, for so many slices.
    fn slow(clock: &mut PaceClock, from: Time, most: f64, slices: usize) -> Time {
        (0..slices).fold(from, |now, _| {
            clock.pass(SLICE, now, Some(now)).min(now + Span::from_seconds(most))
        })
    }

    #[test]
    fn a_run_that_can_keeps_its_pace() {
        let mut clock = PaceClock::new(Pace::Times(4.0));
        let end = slow(&mut clock, at(0.0), 10.0, 100);
        assert!((end.since(at(0.0)).seconds() - 8.0).abs() < 1e-6, "two seconds at four: {end}");
        let reached = clock.reached().expect("two seconds were measured");
        assert!((reached - 4.0).abs() < 0.2, "{reached}");
    }

    #[test]
    fn what_could_not_be_kept_is_not_owed() {
        let mut clock = PaceClock::new(Pace::Times(1024.0));
        let now = slow(&mut clock, at(0.0), 1.0, 500);
        let behind = clock.target().since(now).seconds();
        assert!(behind <= 1024.0 + 21.0, "{behind} s behind: at most a second at this pace");
        let reached = clock.reached().expect("measured");
        assert!((reached - 50.0).abs() < 1.0, "{reached}");
        clock.set(Pace::Times(1.0), now);
        assert_eq!(clock.target(), now, "another pace begins where the run is");
        let after = slow(&mut clock, now, 1.0, 50);
        assert!((after.since(now).seconds() - 1.0).abs() < 1e-6, "a second is a second");
    }

    #[test]
    fn a_stop_of_the_process_is_no_time() {
        let mut clock = PaceClock::new(Pace::Times(1.0));
        let now = slow(&mut clock, at(0.0), 1.0, 50);
        let target = clock.pass(Duration::from_secs(20), now, Some(now));
        assert_eq!(target, now);
    }

    #[test]
    fn time_passes_where_nothing_happens() {
        let mut clock = PaceClock::new(Pace::Times(10.0));
        let next = Some(at(3_600.0));
        let target = (0..50).map(|_| clock.pass(SLICE, at(0.0), next)).last();
        let target = target.expect("fifty slices").since(at(0.0)).seconds();
        assert!((target - 10.0).abs() < 1e-6, "{target}");
        let mut fastest = PaceClock::new(Pace::Fastest);
        assert_eq!(fastest.pass(SLICE, at(1.0), next), Time::MAX);
    }
}

//! A run of steps in closed form.
//!
//! While the same requests decode, each step reads one token more of each of them, so its time is an
//! arithmetic progression: k steps take `k·first + more·k(k−1)/2`, and a square root tells how many
//! steps fit into a time. Points in time are whole nanoseconds; a run remembers what was rounded off,
//! so that any number of runs end where the same steps one by one would.

use crate::unit::{Span, Time};

/// A point in time to a fraction of a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FineTime {
    /// In whole nanoseconds, rounded.
    pub(super) at: Time,
    /// What the rounding left out, in nanoseconds.
    pub(super) rest: f64,
}

impl FineTime {
    pub(super) const fn whole(at: Time) -> FineTime {
        FineTime { at, rest: 0.0 }
    }

    /// The point so many nanoseconds later.
    pub(super) fn after(self, nanos: f64) -> FineTime {
        let exact = self.rest + nanos;
        let whole = exact.round().max(0.0);
        FineTime { at: self.at + Span(whole as u64), rest: exact - whole }
    }
}

/// Steps of the same requests, one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepRun {
    pub(super) start: FineTime,
    /// At least one.
    pub(super) steps: u64,
    /// Nanoseconds of the first step.
    pub(super) first: f64,
    /// By so many more the next step takes longer.
    pub(super) more: f64,
}

impl StepRun {
    /// Returns when so many steps are over.
    pub(super) fn edge(&self, steps: u64) -> FineTime {
        let k = steps as f64;
        self.start.after(k * self.first + self.more * (k * (k - 1.0) / 2.0))
    }

    /// Returns the number of the first edge at or after `now`; edge zero is the start.
    pub(super) fn next_edge(&self, now: Time) -> u64 {
        let elapsed = now.since(self.start.at).0 as f64 - self.start.rest;
        if elapsed <= 0.0 && now <= self.start.at {
            return 0;
        }
        // Where more·k²/2 + (first − more/2)·k = elapsed; never divides by a difference.
        let linear = self.first - self.more / 2.0;
        let root = (linear * linear + 2.0 * self.more * elapsed).max(0.0).sqrt();
        let near = 2.0 * elapsed / (linear + root);
        let mut edge = (near.max(0.0) as u64).min(self.steps);
        while edge > 0 && self.edge(edge - 1).at >= now {
            edge -= 1;
        }
        while edge < self.steps && self.edge(edge).at < now {
            edge += 1;
        }
        edge
    }

    /// Returns how many steps are over at `now`.
    pub(super) fn over(&self, now: Time) -> u64 {
        let edge = self.next_edge(now);
        if self.edge(edge).at <= now { edge } else { edge.saturating_sub(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_root_finds_the_edge(
            first in 1_000.0..1e9_f64,
            slope in 0.0..1.0_f64,
            steps in 1_u64..100_000,
            share in 0.0..1.0_f64,
            rest in -0.5..0.5_f64,
        ) {
            let start = FineTime { at: Time(12_345), rest };
            let run = StepRun { start, steps, first, more: slope * first };
            let at = (steps as f64 * share) as u64;
            let edge = run.edge(at).at;
            prop_assert_eq!(run.next_edge(edge), at);
            prop_assert_eq!(run.over(edge), at);
            prop_assert_eq!(run.next_edge(Time(edge.0 + 1)), (at + 1).min(steps));
            prop_assert_eq!(run.over(Time(edge.0 + 1)), at);
            // The same step by step.
            let mut one = start;
            for step in 0..at.min(2_000) {
                one = one.after(first + run.more * step as f64);
            }
            let jumped = run.edge(at.min(2_000));
            let apart = (one.at.0 as f64 - jumped.at.0 as f64) + (one.rest - jumped.rest);
            prop_assert!(apart.abs() <= 1e-12 * jumped.at.0 as f64 + 1e-3, "{apart}");
        }
    }
}

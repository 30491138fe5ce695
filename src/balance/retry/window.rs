//! How many retries began in the last seconds: what a floor in retries a second is held against.

use crate::unit::{Span, Time};

/// The window slides over so many seconds, by whole ones.
pub(in crate::balance) const WINDOW_SECONDS: usize = 10;

/// Retries by second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RetryWindow {
    /// Which second, and how many.
    seconds: [(u64, u32); WINDOW_SECONDS],
}

const fn second(now: Time) -> u64 {
    now.0 / Span::from_secs(1).0
}

impl RetryWindow {
    /// A retry begins.
    pub(super) fn note(&mut self, now: Time) {
        let second = second(now);
        let slot = &mut self.seconds[second as usize % WINDOW_SECONDS];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 = slot.1.saturating_add(1);
    }

    /// Returns whether fewer than so many a second began in the window.
    pub(super) fn has_room(&self, now: Time, per_second: u32) -> bool {
        let second = second(now);
        let recent = |(at, _): &&(u64, u32)| *at + WINDOW_SECONDS as u64 > second;
        let count: u64 =
            self.seconds.iter().filter(recent).map(|(_, count)| u64::from(*count)).sum();
        count < u64::from(per_second) * WINDOW_SECONDS as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::at;

    #[test]
    fn a_burst_uses_the_window_up_until_it_has_slid_on() {
        let mut window = RetryWindow::default();
        let all = 3 * WINDOW_SECONDS;
        for _ in 0..all {
            assert!(window.has_room(at(100), 3));
            window.note(at(100));
        }
        for later in 100..100 + WINDOW_SECONDS as u64 {
            assert!(!window.has_room(at(later), 3), "at {later}");
        }
        assert!(window.has_room(at(100 + WINDOW_SECONDS as u64), 3));
        assert!(!window.has_room(at(500), 0), "no floor, no room");
    }

    #[test]
    fn the_rate_holds_in_every_window() {
        let (mut window, mut times) = (RetryWindow::default(), Vec::new());
        for tick in 0..4_000 {
            let now = Time::ZERO + Span::from_millis(tick * 13);
            if window.has_room(now, 2) {
                window.note(now);
                times.push(now);
            }
        }
        let within = Span::from_secs(WINDOW_SECONDS as u64 - 1);
        for (at, from) in times.iter().enumerate() {
            let count = times[at..].iter().take_while(|time| time.since(*from) < within).count();
            assert!(count <= 2 * WINDOW_SECONDS, "{count} from {from}");
        }
        assert!(times.len() > 90, "and is used: {}", times.len());
    }
}

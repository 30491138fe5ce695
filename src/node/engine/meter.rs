//! How much of its KV cache an engine uses, over time.
//!
//! In use is what requests hold, blocks of the prefix cache that they share among it; what is cached and
//! nobody uses is not. While the same requests decode, blocks come at a steady pace, so a run of steps
//! counts with the mean of its beginning and its end.

use crate::unit::Time;

/// The share of its KV cache that an engine used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvUse {
    /// In the mean over time.
    pub mean: f64,
    /// At most.
    pub most: f64,
}

/// Blocks in use, added up over time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KvMeter {
    /// What was before does not count.
    pub(super) from: Time,
    /// Twice the blocks times nanoseconds.
    area: u128,
    most: u64,
}

impl KvMeter {
    /// From `start` to `end` so many blocks were in use at first and in the end.
    pub(super) fn pass(&mut self, (start, end): (Time, Time), (first, last): (u64, u64)) {
        if end <= self.from {
            return;
        }
        let span = end.since(start.max(self.from)).0;
        self.area += u128::from(first + last) * u128::from(span);
        self.most = self.most.max(first).max(last);
    }

    /// Returns what was used by `now`, of so many blocks.
    pub(super) fn total(&self, now: Time, blocks: u64) -> KvUse {
        let (span, blocks) = (now.since(self.from).0 as f64, blocks.max(1) as f64);
        let mean = if span > 0.0 { self.area as f64 / 2.0 / span / blocks } else { 0.0 };
        KvUse { mean: mean.min(1.0), most: (self.most as f64 / blocks).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_does_not_count_and_a_run_counts_with_its_middle() {
        let mut meter = KvMeter { from: Time(100), ..KvMeter::default() };
        meter.pass((Time(0), Time(100)), (9, 9));
        meter.pass((Time(50), Time(150)), (4, 4));
        meter.pass((Time(150), Time(250)), (2, 6));
        // 4 for 50, 4 in the mean for 100, nothing for 50: 3 of 12.
        let used = meter.total(Time(300), 12);
        assert!((used.mean - 0.25).abs() < 1e-12 && (used.most - 0.5).abs() < 1e-12, "{used:?}");
        assert_eq!(KvMeter::default().total(Time::ZERO, 5), KvUse { mean: 0.0, most: 0.0 });
    }
}

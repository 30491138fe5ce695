//! A quantile of how long something takes, learnt in little space.

use crate::balance::spec::retry::HEDGE_SAMPLES_MIN;
use crate::unit::{Ratio, Span};

/// Buckets an octave.
const STEPS: u32 = 8;
const STEP_BITS: u32 = 3;
/// Beyond so many microseconds (twelve days) all times are alike.
const MICROS_MAX: u64 = (1 << 40) - 1;
const BUCKETS: usize = ((40 - STEP_BITS + 1) * STEPS) as usize;
/// So many samples weigh in at most; the older half of them counts half, and so on.
const SAMPLES_MAX: u32 = 4_096;

/// A quantile of recent times, to within an eighth: log-linear buckets, halved when they are full, so
/// that it follows a drift.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    /// Empty before the first.
    counts: Vec<u16>,
    total: u32,
    /// The bucket of the quantile, and how many are in it and those before it.
    place: usize,
    up_to: u32,
}

impl Delays {
    #[inline]
    pub(super) fn learn(&mut self, took: Span, which: Ratio) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let bucket = bucket(took.micros().min(MICROS_MAX));
        self.counts[bucket] += 1;
        self.total += 1;
        self.up_to += u32::from(bucket <= self.place);
        if self.total >= SAMPLES_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            let sum = |counts: &[u16]| counts.iter().map(|&count| u32::from(count)).sum();
            self.total = sum(&self.counts);
            self.up_to = sum(&self.counts[..=self.place]);
        }
        // The first bucket with as many up to it as the quantile wants: never far from the one before.
        let wanted = u64::from(self.total) * u64::from(which.0);
        let enough = |count: u32| u64::from(count) * u64::from(Ratio::ONE.0) >= wanted;
        while self.place + 1 < BUCKETS && !enough(self.up_to) {
            self.place += 1;
            self.up_to += u32::from(self.counts[self.place]);
        }
        while self.place > 0 && enough(self.up_to - u32::from(self.counts[self.place])) {
            self.up_to -= u32::from(self.counts[self.place]);
            self.place -= 1;
        }
    }

    /// Returns the upper end of the bucket of the quantile: rather late than early; `None` while there
    /// are few samples.
    pub(super) fn quantile(&self) -> Option<Span> {
        let known = self.total >= HEDGE_SAMPLES_MIN;
        known.then(|| Span(upper(self.place).saturating_mul(1_000)))
    }
}

/// Returns the bucket of a time in microseconds.
const fn bucket(micros: u64) -> usize {
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let octave = 63 - micros.leading_zeros() - STEP_BITS;
    // The leading one of the shifted value counts a whole octave.
    ((octave * STEPS) as u64 + (micros >> octave)) as usize
}

/// Returns the first time, in microseconds, that is beyond a bucket.
const fn upper(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64 + 1, STEPS as u64);
    if bucket <= 2 * steps {
        return bucket;
    }
    let octave = bucket / steps - 1;
    (steps + bucket % steps) << octave
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn buckets_are_an_eighth_wide_and_without_gaps() {
        for micros in (0..5_000).chain((0..39).map(|bits| (1_u64 << bits) + 1)) {
            let place = bucket(micros);
            let (below, above) = (place.checked_sub(1).map_or(0, upper), upper(place));
            assert!((below..above).contains(&micros), "{micros} in {below}..{above}");
            assert!((above - below) * 8 <= micros.max(8), "{micros} in {below}..{above}");
        }
        assert!(bucket(MICROS_MAX) < BUCKETS);
    }

    #[test]
    fn a_quantile_is_found_and_follows_a_drift() {
        let mut delays = Delays::default();
        let mut rng = Rng::stream(1, "delays");
        let p95 = Ratio::from_f64(0.95);
        for sample in 0..HEDGE_SAMPLES_MIN {
            assert_eq!(delays.quantile(), None, "not before {sample} samples");
            delays.learn(Span::from_seconds(rng.unit()), p95);
        }
        for scale in [1.0, 7.0, 0.2] {
            for _ in 0..20_000 {
                delays.learn(Span::from_seconds(scale * rng.unit()), p95);
            }
            let ratio = delays.quantile().expect("enough samples").seconds() / (0.95 * scale);
            assert!((0.98..1.15).contains(&ratio), "{ratio} at {scale}");
        }
    }
}

//! A small histogram from which samples can be taken away again: quantiles for a chart, at a few
//! instructions a sample.

use crate::unit::Span;

const STEPS: u64 = 16;
const STEP_BITS: u32 = 4;
/// Values from 0 to 2^40 microseconds, twelve days; larger ones count as that.
const OCTAVES: usize = 40 - STEP_BITS as usize + 1;
const BUCKETS: usize = OCTAVES * STEPS as usize;

/// Returns the bucket of a value in microseconds.
pub(super) fn bucket(micros: u64) -> u16 {
    if micros < STEPS {
        return micros as u16;
    }
    let octave = 63 - micros.leading_zeros() - STEP_BITS;
    let step = (micros >> octave) - STEPS;
    let index = u64::from(octave + 1) * STEPS + step;
    index.min(BUCKETS as u64 - 1) as u16
}

/// Returns the value in the middle of a bucket, in microseconds.
fn middle(bucket: usize) -> f64 {
    let (octave, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    if octave == 0 {
        return step as f64;
    }
    let width = (1_u64 << (octave - 1)) as f64;
    (STEPS + step) as f64 * width + width / 2.0
}

/// Counts by bucket, and by octave so that a quantile is found in a few steps.
#[derive(Clone, Debug)]
pub(super) struct Coarse {
    counts: Vec<u32>,
    octaves: [u32; OCTAVES],
    total: u64,
}

impl Default for Coarse {
    fn default() -> Coarse {
        Coarse { counts: vec![0; BUCKETS], octaves: [0; OCTAVES], total: 0 }
    }
}

impl Coarse {
    pub(super) fn add(&mut self, bucket: u16) {
        let bucket = usize::from(bucket);
        self.counts[bucket] += 1;
        self.octaves[bucket / STEPS as usize] += 1;
        self.total += 1;
    }

    pub(super) fn take(&mut self, bucket: u16) {
        let bucket = usize::from(bucket);
        self.counts[bucket] -= 1;
        self.octaves[bucket / STEPS as usize] -= 1;
        self.total -= 1;
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Returns quantiles, given in ascending order; `None` without a sample.
    pub(super) fn quantiles<const N: usize>(&self, wanted: [f64; N]) -> [Option<Span>; N] {
        let mut found = [None; N];
        if self.total == 0 {
            return found;
        }
        let ranks = wanted.map(|quantile| ((quantile * self.total as f64).ceil() as u64).max(1));
        let (mut seen, mut next) = (0, 0);
        for (octave, count) in self.octaves.iter().enumerate() {
            let upto = seen + u64::from(*count);
            if next == N || upto < ranks[next] {
                seen = upto;
                continue;
            }
            let first = octave * STEPS as usize;
            for (step, count) in self.counts[first..][..STEPS as usize].iter().enumerate() {
                seen += u64::from(*count);
                while next < N && seen >= ranks[next] {
                    found[next] = Some(Span((middle(first + step) * 1_000.0) as u64));
                    next += 1;
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_near() {
        let mut last = 0;
        for exponent in 0..400 {
            let micros = 1.08_f64.powi(exponent) as u64;
            let bucket = bucket(micros);
            assert!(bucket >= last);
            last = bucket;
            if micros > 16 && usize::from(bucket) < BUCKETS - 1 {
                let error = middle(usize::from(bucket)) / micros as f64 - 1.0;
                assert!(error.abs() < 0.04, "{micros}: {error}");
            }
        }
        assert!(usize::from(bucket(u64::MAX)) < BUCKETS);
    }

    #[test]
    fn what_is_taken_away_is_as_if_it_had_never_come() {
        let mut coarse = Coarse::default();
        assert_eq!(coarse.quantiles([0.5]), [None]);
        for micros in 1..=1_000_u64 {
            coarse.add(bucket(micros * 1_000));
        }
        for micros in 501..=1_000_u64 {
            coarse.take(bucket(micros * 1_000));
        }
        assert_eq!(coarse.total(), 500);
        let found = coarse.quantiles([0.5, 0.95, 0.99, 1.0]);
        for (found, millis) in found.into_iter().zip([250.0, 475.0, 495.0, 500.0]) {
            let found = found.expect("a sample").seconds() * 1e3;
            assert!((found / millis - 1.0).abs() < 0.05, "{found} for {millis}");
        }
    }
}

//! Distributions of times: exact sums, and quantiles from an HdrHistogram or from a sketch of it.
//!
//! In large fleets every node has few samples, and a full histogram a node costs more memory than all
//! else together. There a node has a [`Sketch`] instead: log-linear buckets, 16 an octave as in the
//! window of the last ten seconds, kept only for the octaves seen. Its quantiles are within 3.2 %;
//! counts, sums, means and the largest value are exact. Buckets of an octave share a cache line, and what
//! else a sample touches is small, so that a node's figures have room beside it on one.

use std::borrow::Cow;

use hdrhistogram::Histogram;

use super::summary::Latency;
use crate::unit::Span;

/// Times longer than this, in microseconds, count as this: four years.
const MICROS_MAX: u64 = 1 << 47;
/// Significant digits of times of the run, of classes and of pools; and of nodes.
const DIGITS: u8 = 3;
const NODE_DIGITS: u8 = 2;
/// Up to so many nodes each have an HdrHistogram; of more, each has a sketch.
pub(super) const EXACT_NODES_MAX: usize = 256;

/// A distribution of times in microseconds, and an exact sum of nanoseconds.
#[derive(Clone, Debug)]
pub struct Times {
    sum: u128,
    samples: Samples,
}

#[derive(Clone, Debug)]
enum Samples {
    Histogram(Box<RecordedTimes>),
    Sketch(Sketch),
}

/// An HdrHistogram, which knows its largest value only by its bucket, and that value.
#[derive(Clone, Debug)]
struct RecordedTimes {
    histogram: Histogram<u64>,
    /// In nanoseconds.
    longest: u64,
}

impl Times {
    fn new(digits: u8) -> Times {
        let histogram = Histogram::new(digits).expect("one to five digits");
        let recorded = RecordedTimes { histogram, longest: 0 };
        Times { samples: Samples::Histogram(Box::new(recorded)), sum: 0 }
    }

    /// For times of the run, of classes, pools and jobs.
    pub(super) fn of_run() -> Times {
        Times::new(DIGITS)
    }

    /// For times of one of so many nodes.
    pub(super) fn of_node(nodes: usize) -> Times {
        if nodes <= EXACT_NODES_MAX {
            Times::new(NODE_DIGITS)
        } else {
            Times { samples: Samples::Sketch(Sketch::default()), sum: 0 }
        }
    }

    pub(super) fn record(&mut self, span: Span) {
        self.sum += u128::from(span.0);
        let micros = span.micros().min(MICROS_MAX);
        match &mut self.samples {
            Samples::Histogram(recorded) => {
                recorded.longest = recorded.longest.max(span.0);
                recorded.histogram.record(micros).expect("the histogram grows as needed");
            }
            Samples::Sketch(sketch) => sketch.record(micros),
        }
    }

    /// Returns the histogram, in microseconds. That of a node of a large fleet is made from its
    /// sketch: every value is the middle of its bucket.
    #[must_use]
    pub fn histogram(&self) -> Cow<'_, Histogram<u64>> {
        match &self.samples {
            Samples::Histogram(recorded) => Cow::Borrowed(&recorded.histogram),
            Samples::Sketch(sketch) => Cow::Owned(sketch.histogram()),
        }
    }

    /// Returns the exact sum in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.sum as f64 / 1e9
    }

    fn count(&self) -> u64 {
        match &self.samples {
            Samples::Histogram(recorded) => recorded.histogram.len(),
            Samples::Sketch(sketch) => sketch.total(),
        }
    }

    fn micros(&self, quantile: f64) -> u64 {
        match &self.samples {
            Samples::Histogram(recorded) => recorded.histogram.value_at_quantile(quantile),
            Samples::Sketch(sketch) => sketch.quantile(quantile),
        }
    }

    /// The longest in seconds, exactly where there is a histogram, and to a microsecond where there is none.
    fn longest(&self) -> f64 {
        match &self.samples {
            Samples::Histogram(recorded) => recorded.longest as f64 / 1e9,
            Samples::Sketch(sketch) => sketch.max as f64 / 1e6,
        }
    }

    pub(super) fn latency(&self) -> Latency {
        let count = self.count();
        if count == 0 {
            return Latency::default();
        }
        let at = |quantile| Some(self.micros(quantile) as f64 / 1e6);
        Latency {
            mean: Some(self.sum as f64 / count as f64 / 1e9),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: Some(self.longest()),
        }
    }

    pub(super) fn quantile(&self, quantile: f64) -> Option<Span> {
        (self.count() > 0).then(|| Span(self.micros(quantile).saturating_mul(1_000)))
    }
}

/// Buckets of an octave; one cache line.
const STEPS: usize = 16;
const STEP_BITS: u32 = 4;

/// Counts of the buckets of an octave.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Octave([u32; STEPS]);

/// Counts by log-linear buckets.
#[derive(Clone, Debug, Default)]
struct Sketch {
    /// By octave, without gaps; empty until the first sample.
    octaves: Box<[Octave]>,
    max: u64,
    /// Which octave the first of `octaves` is; below 16 microseconds there is but one octave.
    first: u8,
}

impl Sketch {
    fn record(&mut self, micros: u64) {
        self.max = self.max.max(micros);
        let (octave, step) = bucket(micros);
        let place = (octave as usize).wrapping_sub(usize::from(self.first));
        let place = if place < self.octaves.len() { place } else { self.grow(octave) };
        let count = &mut self.octaves[place].0[step];
        *count = count.saturating_add(1);
    }

    /// Makes room for an octave and returns its place. Not for more: memory is what this is for.
    #[cold]
    fn grow(&mut self, octave: u32) -> usize {
        let (octave, first, len) = (octave as usize, usize::from(self.first), self.octaves.len());
        let (from, to) = match len {
            0 => (octave, octave + 1),
            _ => (first.min(octave), (first + len).max(octave + 1)),
        };
        let mut octaves = vec![Octave::default(); to - from];
        if len > 0 {
            octaves[first - from..][..len].copy_from_slice(&self.octaves);
        }
        self.octaves = octaves.into_boxed_slice();
        self.first = from as u8;
        octave - from
    }

    fn total(&self) -> u64 {
        self.octaves.iter().flat_map(|octave| octave.0).map(u64::from).sum()
    }

    fn buckets(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let octaves = (u32::from(self.first)..).zip(&self.octaves);
        octaves.flat_map(|(octave, counts)| {
            (0..).zip(counts.0).map(move |(step, count)| (middle(octave, step), count))
        })
    }

    /// Returns the middle of the bucket in which so large a share of the values has come, but no
    /// more than the largest value.
    fn quantile(&self, quantile: f64) -> u64 {
        let total = self.total();
        let wanted = ((quantile * total as f64).ceil() as u64).clamp(1, total.max(1));
        if wanted == total {
            return self.max;
        }
        let mut seen = 0;
        let found = self.buckets().find(|(_, count)| {
            seen += u64::from(*count);
            seen >= wanted
        });
        found.map_or(self.max, |(micros, _)| micros.min(self.max))
    }

    fn histogram(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new(NODE_DIGITS).expect("one to five digits");
        for (micros, count) in self.buckets().filter(|(_, count)| *count > 0) {
            let micros = micros.min(self.max);
            histogram.record_n(micros, count.into()).expect("the histogram grows as needed");
        }
        histogram
    }
}

/// Returns octave and step of a value.
const fn bucket(micros: u64) -> (u32, usize) {
    if micros < STEPS as u64 {
        return (0, micros as usize);
    }
    let octave = 63 - micros.leading_zeros() - STEP_BITS;
    (octave + 1, (micros >> octave) as usize - STEPS)
}

/// Returns the value in the middle of a bucket.
const fn middle(octave: u32, step: usize) -> u64 {
    if octave == 0 {
        return step as u64;
    }
    let width = 1 << (octave - 1);
    (STEPS + step) as u64 * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Dist;
    use crate::rng::Rng;

    /// Against the exact histogram, whose own error is below a per cent.
    #[test]
    fn a_sketch_is_within_its_precision() {
        let law = Dist::lognormal_mean(0.3, 2.0).expect("a law");
        let mut rng = Rng::stream(1, "times");
        let (mut sketch, mut exact) = (Times::of_node(EXACT_NODES_MAX + 1), Times::of_run());
        for _ in 0..50_000 {
            let span = Span::from_seconds(law.sample(&mut rng));
            sketch.record(span);
            exact.record(span);
        }
        let (ours, theirs) = (sketch.latency(), exact.latency());
        assert_eq!(ours.mean, theirs.mean, "the mean is exact");
        let pairs = [
            (ours.p50, theirs.p50),
            (ours.p90, theirs.p90),
            (ours.p99, theirs.p99),
            (ours.p999, theirs.p999),
            (ours.max, theirs.max),
        ];
        for (ours, theirs) in pairs {
            let ratio = ours.expect("a value") / theirs.expect("a value");
            assert!((ratio - 1.0).abs() < 0.034, "{ours:?} for {theirs:?}");
        }
        let made = sketch.histogram();
        assert_eq!(made.len(), 50_000);
        let ratio = made.value_at_quantile(0.9) as f64 / 1e6 / theirs.p90.expect("a value");
        assert!((ratio - 1.0).abs() < 0.045, "{ratio}");
    }

    #[test]
    fn a_sketch_takes_every_time() {
        let mut times = Times::of_node(10_000);
        assert_eq!(times.latency(), Latency::default());
        for span in [1_000_000, 0, 20_000, u64::MAX, 15_000, 16_000] {
            times.record(Span(span));
        }
        assert_eq!(times.count(), 6);
        assert_eq!(times.micros(0.0), 0);
        assert_eq!(times.micros(0.5), 16, "the third of six");
        assert_eq!(times.micros(1.0), MICROS_MAX);
        for micros in (0..200).chain((0..47).map(|bits| 3 << bits)) {
            let (octave, step) = bucket(micros);
            let off = middle(octave, step).abs_diff(micros);
            assert!(off * 32 <= micros, "{micros} is {off} from the middle of its bucket");
        }
    }
}

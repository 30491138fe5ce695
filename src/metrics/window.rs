//! The last ten seconds: quantiles and rates over a sliding window.
//!
//! Every sample stays in a ring until it is ten seconds old and is then taken off the sums again, so
//! a sample costs O(1) however many nodes there are. Quantiles come from a small log-linear
//! histogram (16 steps an octave, so within about 3 %), because a full one a node would cost too
//! much memory at ten thousand nodes. Whole-run figures use HdrHistogram.

use std::collections::VecDeque;

use crate::unit::{Span, Time};

/// The length of the window.
pub(super) const WINDOW: Span = Span::from_secs(10);

/// More samples than this are not kept; the oldest leave early.
const SAMPLES_MAX: usize = 4 << 20;

const STEPS: u64 = 16;
const STEP_BITS: u32 = 4;
/// Values from 0 to 2^40 microseconds, twelve days; larger ones count as that.
const BUCKETS: usize = ((40 - STEP_BITS as usize) + 1) * STEPS as usize;

/// Returns the bucket of a value in microseconds.
fn bucket(micros: u64) -> u16 {
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

/// A small histogram from which samples can be taken away again.
#[derive(Clone, Debug, Default)]
pub(super) struct Coarse {
    /// Empty until the first sample: most of ten thousand nodes may be idle.
    counts: Vec<u32>,
    total: u64,
}

impl Coarse {
    fn add(&mut self, bucket: u16) {
        if self.counts.is_empty() {
            self.counts.resize(BUCKETS, 0);
        }
        self.counts[usize::from(bucket)] += 1;
        self.total += 1;
    }

    fn take(&mut self, bucket: u16) {
        self.counts[usize::from(bucket)] -= 1;
        self.total -= 1;
    }

    /// Returns these quantiles, given in ascending order; `None` without a sample.
    pub(super) fn quantiles<const N: usize>(&self, wanted: [f64; N]) -> [Option<Span>; N] {
        let mut found = [None; N];
        let (mut seen, mut next) = (0_u64, 0);
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            while next < N && seen > 0 && seen as f64 >= wanted[next] * self.total as f64 {
                found[next] = Some(Span((middle(bucket) * 1_000.0) as u64));
                next += 1;
            }
            if next == N {
                break;
            }
        }
        found
    }
}

/// One thing that ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Time,
    /// The node, or `u32::MAX` for a request as a whole.
    pub(super) node: u32,
    /// Latency, where it ended well.
    pub(super) latency: Option<Span>,
    /// Time to the first token, of a request that ended well.
    pub(super) ttft: Option<Span>,
    /// Whether it failed.
    pub(super) bad: bool,
    /// Whether it was served elsewhere than first intended.
    pub(super) failover: bool,
    /// Output tokens.
    pub(super) tokens: u32,
    /// Pico-dollars.
    pub(super) cost: u64,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    at: Time,
    cost: u64,
    node: u32,
    tokens: u32,
    bucket: u16,
    ttft: u16,
    bad: bool,
    failover: bool,
}

const NO_BUCKET: u16 = u16::MAX;
const WHOLE: u32 = u32::MAX;

/// Sums over the window for one node, or for all requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) latency: Coarse,
    pub(super) ttft: Coarse,
    pub(super) count: u64,
    pub(super) bad: u64,
    pub(super) failovers: u64,
    pub(super) tokens: u64,
    pub(super) cost: u128,
}

impl Sums {
    fn add(&mut self, kept: &Kept) {
        if kept.bucket != NO_BUCKET {
            self.latency.add(kept.bucket);
        }
        if kept.ttft != NO_BUCKET {
            self.ttft.add(kept.ttft);
        }
        self.count += 1;
        self.bad += u64::from(kept.bad);
        self.failovers += u64::from(kept.failover);
        self.tokens += u64::from(kept.tokens);
        self.cost += u128::from(kept.cost);
    }

    fn take(&mut self, kept: &Kept) {
        if kept.bucket != NO_BUCKET {
            self.latency.take(kept.bucket);
        }
        if kept.ttft != NO_BUCKET {
            self.ttft.take(kept.ttft);
        }
        self.count -= 1;
        self.bad -= u64::from(kept.bad);
        self.failovers -= u64::from(kept.failover);
        self.tokens -= u64::from(kept.tokens);
        self.cost -= u128::from(kept.cost);
    }
}

/// The window.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    ring: VecDeque<Kept>,
    /// Requests as a whole.
    pub(super) whole: Sums,
    /// Attempts, by node.
    pub(super) nodes: Vec<Sums>,
    /// Attempts on all nodes.
    pub(super) attempts: Sums,
}

impl Window {
    pub(super) fn add(&mut self, sample: &Sample) {
        self.expire(sample.at);
        if self.ring.len() >= SAMPLES_MAX {
            self.drop_oldest();
        }
        let kept = Kept {
            at: sample.at,
            cost: sample.cost,
            node: sample.node,
            tokens: sample.tokens,
            bucket: sample.latency.map_or(NO_BUCKET, |latency| bucket(latency.micros())),
            ttft: sample.ttft.map_or(NO_BUCKET, |ttft| bucket(ttft.micros())),
            bad: sample.bad,
            failover: sample.failover,
        };
        self.sums(kept.node, |sums| sums.add(&kept));
        self.ring.push_back(kept);
    }

    /// Forgets what is older than the window.
    pub(super) fn expire(&mut self, now: Time) {
        while self.ring.front().is_some_and(|kept| now.since(kept.at) > WINDOW) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(kept) = self.ring.pop_front() {
            self.sums(kept.node, |sums| sums.take(&kept));
        }
    }

    fn sums(&mut self, node: u32, mut change: impl FnMut(&mut Sums)) {
        if node == WHOLE {
            return change(&mut self.whole);
        }
        let node = node as usize;
        if self.nodes.len() <= node {
            self.nodes.resize_with(node + 1, Sums::default);
        }
        change(&mut self.nodes[node]);
        change(&mut self.attempts);
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
    fn samples_leave_after_ten_seconds() {
        let mut window = Window::default();
        for second in 0..30 {
            let at = Time::ZERO + Span::from_secs(second);
            let latency = Some(Span::from_millis(100));
            let (node, bad, failover) = (WHOLE, false, false);
            window.add(&Sample {
                at,
                node,
                latency,
                ttft: None,
                bad,
                failover,
                tokens: 7,
                cost: 5,
            });
        }
        assert_eq!(window.whole.count, 11, "seconds 19 to 29");
        assert_eq!(window.whole.tokens, 77);
        let [p50] = window.whole.latency.quantiles([0.5]);
        assert!((p50.unwrap().seconds() / 0.1 - 1.0).abs() < 0.04);
        window.expire(Time::ZERO + Span::from_secs(100));
        assert_eq!(window.whole.count, 0);
        assert_eq!(window.whole.latency.quantiles([0.5]), [None]);
    }
}

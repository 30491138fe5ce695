//! How long a first token takes where nothing else is in the way: what makes times of requests of all
//! lengths comparable.
//!
//! A long prompt takes long on an idle node too, so a time to the first token says nothing of load by
//! itself; divided by what that prompt takes on an idle node it does. Samples are kept apart by how many
//! attempts their node had when they were sent, in octaves: one, two or three, four to seven, and so
//! on. In each octave a line `a + b * prompt` is fitted by least squares that forget (a sample counts
//! half after forty others of its octave), with neither coefficient below zero; of all lines the lowest
//! at the prompt in question is taken, where a line counts with twice its standard error on top: times
//! to a first token vary by chance too, and the lowest of many guesses is a bad one. So nothing fades by time: an estimate that is too low makes its
//! user send less, which brings samples of the lowest octaves and puts it right; one that is too high
//! is undercut by any octave in which less was seen. A cached prefix counts as prompt here, so a hit
//! looks like an unloaded node, never like a loaded one.
//!
//! A first token that never came says nothing of an idle node and is not learnt from.
//!
//! It only estimates. What becomes of a ratio is for `limiter` and `overload` to say.

use crate::balance::requests::AttemptState;
use crate::unit::{Span, Tokens};

/// Octaves of attempts in flight; whatever is above shares the last.
const OCTAVES: usize = 12;

/// A sample counts so much less with every later one of its octave.
const KEEP: f64 = 1.0 - 1.0 / 64.0;

/// An octave counts from so many samples on.
const SEEN_MIN: f64 = 2.9;

/// With so many samples a line is worked out anew every so many.
const SURE: f64 = 16.0;
const STALE_MAX: u8 = 4;

/// No first token is expected sooner than this.
const LEAST: f64 = 1e-6;

/// Sums of a line through (thousands of prompt tokens, seconds), older samples counting less.
#[derive(Clone, Copy, Debug, Default)]
struct OctaveCounts {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
    /// What these come to: start and slope of the line, and twice its standard error.
    start: f64,
    slope: f64,
    error: f64,
    /// Samples since these were worked out.
    stale: u8,
}

impl OctaveCounts {
    fn learn(&mut self, x: f64, y: f64) {
        self.n = self.n * KEEP + 1.0;
        self.x = self.x * KEEP + x;
        self.y = self.y * KEEP + y;
        self.xx = self.xx * KEEP + x * x;
        self.xy = self.xy * KEEP + x * y;
        self.yy = self.yy * KEEP + y * y;
        // A sample among many moves the line by little: it is worked out for every fourth then.
        self.stale = (self.stale + 1) % STALE_MAX;
        if self.stale != 0 && self.n >= SURE {
            return;
        }
        (self.start, self.slope) = self.line();
        let (start, slope) = (self.start, self.slope);
        // The sum of squares that the line leaves.
        let left = self.yy
            + self.n * start * start
            + slope * slope * self.xx
            + 2.0 * (start * slope * self.x - start * self.y - slope * self.xy);
        let freedom = (self.n - 2.0).max(0.5);
        self.error = 2.0 * (left.max(0.0) / (freedom * self.n)).sqrt();
    }

    /// What the line says, not better than is sure.
    fn surely(&self, x: f64) -> f64 {
        self.start + self.slope * x + self.error
    }

    /// Where it starts, and its slope.
    fn line(&self) -> (f64, f64) {
        let spread = self.n * self.xx - self.x * self.x;
        let flat = (self.y / self.n, 0.0);
        // Prompts of one length tell no slope.
        if spread <= 1e-9 * self.n * self.xx {
            return flat;
        }
        let slope = (self.n * self.xy - self.x * self.y) / spread;
        if slope <= 0.0 {
            return flat;
        }
        let start = (self.y - slope * self.x) / self.n;
        if start >= 0.0 { (start, slope) } else { (0.0, self.xy / self.xx) }
    }
}

/// What is learnt; see the file's head.
#[derive(Clone, Debug, Default)]
pub(in crate::balance) struct IdleLatency {
    octaves: [OctaveCounts; OCTAVES],
    /// Octaves with enough samples, one bit each.
    known: u16,
}

impl IdleLatency {
    /// A first token came after so long; its node had so many attempts when it was asked, this one
    /// included.
    pub(in crate::balance) fn learn(&mut self, in_flight: u32, prompt: Tokens, took: Span) {
        let octave = (in_flight.max(1).ilog2() as usize).min(OCTAVES - 1);
        let line = &mut self.octaves[octave];
        line.learn(prompt.0 as f64 / 1e3, took.seconds());
        self.known |= u16::from(line.n >= SEEN_MIN) << octave;
    }

    /// Returns how many times longer than on an idle node that is for such a prompt; `None` while too
    /// little is known.
    pub(in crate::balance) fn ratio(&self, prompt: Tokens, took: Span) -> Option<f64> {
        let x = prompt.0 as f64 / 1e3;
        let (mut known, mut least) = (self.known, f64::INFINITY);
        while known != 0 {
            least = least.min(self.octaves[known.trailing_zeros() as usize].surely(x));
            known &= known - 1;
        }
        (self.known != 0).then(|| took.seconds() / least.max(LEAST))
    }
}

/// What is known of every node; nothing where nobody asks.
#[derive(Debug, Default)]
pub(in crate::balance) struct IdleLatencies {
    /// By node, as far as they were heard of.
    nodes: Vec<IdleLatency>,
}

impl IdleLatencies {
    /// The first token of an attempt came after so long, or had not come then and the attempt was
    /// given up, which nothing is learnt from. Returns how many times longer than on an idle node that
    /// is; `None` while too little is known.
    pub(in crate::balance) fn observe(
        &mut self,
        attempt: &AttemptState,
        took: Span,
        late: bool,
    ) -> Option<f64> {
        let node = attempt.node.index();
        if self.nodes.len() <= node {
            self.nodes.resize_with(node + 1, IdleLatency::default);
        }
        let idle = &mut self.nodes[node];
        if !late {
            idle.learn(attempt.in_flight_at_dispatch, attempt.facts.prompt, took);
        }
        idle.ratio(attempt.facts.prompt, took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that takes 20 ms and 90 ms for every thousand tokens.
    fn idle(prompt: u64) -> Span {
        Span::from_seconds(0.02 + 0.09 * prompt as f64 / 1e3)
    }

    #[test]
    fn long_prompts_do_not_look_like_load() {
        let mut idle_latency = IdleLatency::default();
        assert_eq!(idle_latency.ratio(Tokens(100), idle(100)), None, "nothing is known yet");
        for prompt in (0..200).map(|i| 50 + i * 37 % 4_000) {
            idle_latency.learn(1, Tokens(prompt), idle(prompt));
            // A crowded node takes three times as long.
            idle_latency.learn(9, Tokens(prompt), Span(idle(prompt).0 * 3));
        }
        for prompt in [10, 500, 30_000] {
            let ratio = idle_latency.ratio(Tokens(prompt), idle(prompt)).expect("enough is known");
            assert!((ratio - 1.0).abs() < 1e-6, "{ratio} at {prompt}");
        }
        let slow = idle_latency.ratio(Tokens(500), Span(idle(500).0 * 3)).expect("enough is known");
        assert!((slow - 3.0).abs() < 1e-6, "{slow}");
    }

    #[test]
    fn what_is_too_low_is_put_right_where_little_is_sent() {
        let mut idle_latency = IdleLatency::default();
        for _ in 0..4 {
            idle_latency.learn(2, Tokens(100), Span::from_millis(10));
            idle_latency.learn(20, Tokens(100), Span::from_millis(100));
        }
        let ratio = |idle_latency: &IdleLatency| {
            idle_latency.ratio(Tokens(100), Span::from_millis(100)).expect("enough is known")
        };
        assert!((ratio(&idle_latency) - 10.0).abs() < 1e-3);
        for _ in 0..400 {
            idle_latency.learn(2, Tokens(100), Span::from_millis(50));
        }
        assert!((ratio(&idle_latency) - 2.0).abs() < 0.05);
    }

    #[test]
    fn what_varies_by_chance_is_no_load() {
        let mut idle_latency = IdleLatency::default();
        let mut rng = crate::rng::Rng::stream(7, "times");
        let mut sum = 0.0;
        let count = 4_000;
        for sample in 0..count {
            // More and more in flight, and nothing takes longer for it.
            let in_flight = 1 + sample / 4;
            let took = Span::from_seconds(0.04 * (-rng.unit().ln()).sqrt());
            let prompt = Tokens(100 + (rng.unit() * 900.0) as u64);
            idle_latency.learn(in_flight, prompt, took);
            sum += idle_latency.ratio(prompt, took).unwrap_or(1.0);
        }
        let mean = sum / f64::from(count);
        assert!((0.8..1.25).contains(&mean), "{mean}");
    }

    #[test]
    fn no_slope_and_no_start_is_below_zero() {
        let mut line = OctaveCounts::default();
        [(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)].into_iter().for_each(|(x, y)| line.learn(x, y));
        assert!(line.line().1.abs() < 1e-12, "no longer prompt is quicker");
        let mut line = OctaveCounts::default();
        [(2.0, 0.1), (3.0, 2.0), (4.0, 5.0)].into_iter().for_each(|(x, y)| line.learn(x, y));
        assert!(line.line().0 >= 0.0, "no prompt takes less than nothing");
    }
}

//! Arrival processes that make up their own points in time.

use rand_distr::{Distribution, Exp1};

use super::length::Mix;
use super::{Arrival, Source, TraceError};
use crate::rng::Rng;
use crate::unit::{Span, Time};

/// Poisson arrivals: independent gaps with an exponential law, the standard model of many
/// independent users.
#[derive(Clone, Debug)]
pub struct Poisson {
    /// Seconds between arrivals in the mean.
    gap: f64,
    /// Seconds since the start; kept as a float so that rounding does not add up.
    clock: f64,
    end: Time,
    left: u64,
    rng: Rng,
    mix: Mix,
}

impl Poisson {
    /// `rate` arrivals a second until `end`, at most `count` of them.
    ///
    /// # Panics
    /// If the rate is not a finite number above zero.
    #[must_use]
    pub fn new(rate: f64, end: Time, count: u64, seed: u64, mix: Mix) -> Poisson {
        assert!(rate.is_finite() && rate > 0.0, "a rate is a finite number above zero");
        let rng = Rng::stream(seed, "arrivals");
        Poisson { gap: 1.0 / rate, clock: 0.0, end, left: count, rng, mix }
    }
}

impl Source for Poisson {
    fn next(&mut self) -> Result<Option<Arrival>, Vec<TraceError>> {
        if self.left == 0 {
            return Ok(None);
        }
        let draw: f64 = Exp1.sample(&mut self.rng);
        self.clock += draw * self.gap;
        let at = Time::ZERO + Span::from_seconds(self.clock);
        if at > self.end {
            self.left = 0;
            return Ok(None);
        }
        self.left -= 1;
        Ok(Some(self.mix.draw(at)))
    }
}

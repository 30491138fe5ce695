//! Arrivals that make up their own points in time, by the law of a [`Process`].
//!
//! Where the rate changes, the unit exponential draw of an arrival is spent against the integral
//! of the rate (exact inversion: Çinlar, "Introduction to Stochastic Processes", 1975); only the
//! day, whose integral has no inverse in closed form, is thinned (Lewis and Shedler 1979). What is
//! drawn beside the arrivals (states, thinning) comes from streams of its own.

use rand_distr::{Distribution, Exp1};

use super::length::Mix;
use super::process::{ArrivalLaw, Process, of_day};
use super::{Arrival, ArrivalSource, TraceError};
use crate::dist::Dist;
use crate::rng::Rng;
use crate::unit::{Span, Time};

/// Requests at the times of a process.
#[derive(Clone, Debug)]
pub struct Generated {
    law: ArrivalLaw,
    /// So many times as many arrive as the law says.
    load: f64,
    /// The law of the gaps of a renewal process.
    gaps: Option<Dist>,
    /// Seconds since the start; kept as a float so that rounding does not add up.
    clock: f64,
    end: Time,
    left: u64,
    rng: Rng,
    /// Draws states and thinning.
    side: Rng,
    /// The state or step that holds.
    piece: usize,
    /// When it ends, in seconds.
    until: f64,
    mix: Mix,
}

impl Generated {
    /// Arrivals of a process until `end`, at most `count` of them. A bare rate is a Poisson
    /// process: independent gaps with an exponential law, the model of many independent users.
    ///
    /// # Panics
    /// If a bare rate is not a finite number above zero.
    #[must_use]
    pub fn new(
        process: impl Into<Process>,
        end: Time,
        count: u64,
        seed: u64,
        mix: Mix,
    ) -> Generated {
        let process = process.into();
        if let ArrivalLaw::Poisson { rate } = process.0 {
            assert!(rate.is_finite() && rate > 0.0, "a rate is a finite number above zero");
        }
        let mut source = Generated {
            law: process.0,
            gaps: process.gaps(),
            clock: 0.0,
            load: 1.0,
            end,
            left: count,
            rng: Rng::stream(seed, "arrivals"),
            side: Rng::stream(seed, "arrival states"),
            piece: 0,
            until: f64::INFINITY,
            mix,
        };
        source.begin();
        source
    }

    /// Finds the first state. A state is met with the probability of its share of the time; what
    /// is left of an exponential time is as long as a whole one.
    fn begin(&mut self) {
        match self.law {
            ArrivalLaw::Mmpp(states) => {
                let total: f64 = states.all().iter().map(|(_, hold)| hold).sum();
                let mut point = self.side.unit() * total;
                let last = states.all().len() - 1;
                while self.piece < last && point >= states.all()[self.piece].1 {
                    point -= states.all()[self.piece].1;
                    self.piece += 1;
                }
                self.until = self.hold(states.all()[self.piece].1);
            }
            ArrivalLaw::Steps(steps) => {
                self.until = steps.all().get(1).map_or(f64::INFINITY, |(_, at)| *at);
            }
            _ => {}
        }
    }

    fn hold(&mut self, mean: f64) -> f64 {
        let draw: f64 = Exp1.sample(&mut self.side);
        draw * mean
    }

    /// Moves the clock to the next arrival; `false` if there is none any more.
    fn advance(&mut self) -> bool {
        if let Some(gaps) = &self.gaps {
            self.clock += gaps.sample(&mut self.rng) / self.load;
            return true;
        }
        if let ArrivalLaw::Diurnal { mean, amplitude, period, peak_at } = self.law {
            return self.thin(mean, amplitude, period, peak_at);
        }
        let draw: f64 = Exp1.sample(&mut self.rng);
        // Spent against so many times the rate.
        let draw = draw / self.load;
        match self.law {
            ArrivalLaw::Poisson { rate } => {
                self.clock += draw * (1.0 / rate);
                true
            }
            ArrivalLaw::Ramp { from, to, over } => self.climb(draw, from, to, over),
            _ => self.spend(draw),
        }
    }

    /// Spends the draw against rates that are constant piece by piece.
    fn spend(&mut self, mut draw: f64) -> bool {
        let end = self.end.since(Time::ZERO).seconds();
        while self.clock <= end {
            let (ArrivalLaw::Mmpp(pieces) | ArrivalLaw::Steps(pieces)) = &self.law else {
                return false;
            };
            let rate = pieces.all()[self.piece].0;
            let room = rate * (self.until - self.clock);
            // Zero times infinity is not a number: no arrivals for ever.
            if rate > 0.0 && draw <= room {
                self.clock += draw / rate;
                return true;
            }
            if self.until == f64::INFINITY {
                return false;
            }
            draw -= room;
            self.clock = self.until;
            self.turn();
        }
        false
    }

    /// Goes to the next state or step.
    fn turn(&mut self) {
        match self.law {
            ArrivalLaw::Mmpp(states) => {
                self.piece = (self.piece + 1) % states.all().len();
                self.until = self.clock + self.hold(states.all()[self.piece].1);
            }
            ArrivalLaw::Steps(steps) => {
                self.piece += 1;
                let next = steps.all().get(self.piece + 1);
                self.until = next.map_or(f64::INFINITY, |(_, at)| *at);
            }
            _ => {}
        }
    }

    /// Spends the draw against a rate that changes along a line: with rate `a` now and slope `s`
    /// the time `d` to the arrival solves `a d + s d^2 / 2 = draw`.
    fn climb(&mut self, mut draw: f64, from: f64, to: f64, over: f64) -> bool {
        if self.clock < over {
            let slope = (to - from) / over;
            let left = over - self.clock;
            let now = from + slope * self.clock;
            let room = 0.5 * (now + to) * left;
            if draw <= room {
                // This form of the root loses no digits where the slope is small.
                let root = (now * now + 2.0 * slope * draw).max(0.0).sqrt();
                self.clock += (2.0 * draw / (now + root)).min(left);
                return true;
            }
            draw -= room;
            self.clock = over;
        }
        self.clock += draw / to;
        to > 0.0
    }

    /// Draws points at the rate of the peak and keeps each with the share of the rate at it.
    fn thin(&mut self, mean: f64, amplitude: f64, period: f64, peak_at: f64) -> bool {
        let peak = mean * (1.0 + amplitude);
        let end = self.end.since(Time::ZERO).seconds();
        while self.clock <= end {
            let draw: f64 = Exp1.sample(&mut self.rng);
            self.clock += draw / self.load / peak;
            let rate = of_day(mean, amplitude, period, self.clock - peak_at);
            if self.side.unit() * peak < rate {
                return true;
            }
        }
        false
    }
}

impl Generated {
    /// From the next arrival on so many times as many arrive as the law says; its own clock goes on.
    ///
    /// # Panics
    /// If the factor is not a finite number above zero.
    pub(super) fn set_load(&mut self, factor: f64) -> bool {
        assert!(factor.is_finite() && factor > 0.0, "a factor is a finite number above zero");
        self.load = factor;
        true
    }

    /// The next point in time, for what begins with more than one request.
    pub(super) fn next_at(&mut self) -> Option<Time> {
        if self.left == 0 {
            return None;
        }
        let more = self.advance();
        let at = Time::ZERO + Span::from_seconds(self.clock);
        if !more || at > self.end {
            self.left = 0;
            return None;
        }
        self.left -= 1;
        Some(at)
    }
}

impl ArrivalSource for Generated {
    fn next(&mut self) -> Result<Option<Arrival>, Vec<TraceError>> {
        Ok(self.next_at().map(|at| self.mix.draw(at)))
    }

    fn set_load(&mut self, factor: f64) -> bool {
        Generated::set_load(self, factor)
    }
}

#[cfg(test)]
mod tests;

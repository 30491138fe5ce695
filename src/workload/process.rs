//! Laws of arrival: at which times requests come, as configured and checked.
//!
//! A Poisson process is the model of many independent users. Bursts need more: a renewal process
//! with gamma or Weibull gaps, or a rate that changes, by itself (Markov-modulated) or by the clock
//! (ramp, day, steps).

use std::f64::consts::TAU;
use std::fmt;

use crate::dist::{Dist, DistError};

/// Rates go up to so many requests a second.
pub const RATE_MAX: f64 = 1e7;

/// A list of states or steps has at most so many.
pub const PIECES_MAX: usize = 64;

/// Shortest mean time in a state, shortest period and shortest ramp, in seconds.
pub const SECONDS_MIN: f64 = 1e-3;

/// A modulated process has, in the mean, at least so many arrivals in a state: drawing one costs
/// as much time as the states that pass without any.
const ARRIVALS_A_STATE_MIN: f64 = 1e-6;

/// When requests arrive: a law whose parameters have been checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process(pub(super) ArrivalLaw);

/// The laws. Times are seconds, rates arrivals a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ArrivalLaw {
    Poisson { rate: f64 },
    Gamma { rate: f64, cv: f64 },
    Weibull { rate: f64, shape: f64 },
    Mmpp(Pieces),
    Ramp { from: f64, to: f64, over: f64 },
    Diurnal { mean: f64, amplitude: f64, period: f64, peak_at: f64 },
    Steps(Pieces),
}

/// Rates, each with a time in seconds: how long it is held in the mean, or when it begins.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Pieces {
    list: [(f64, f64); PIECES_MAX],
    len: usize,
}

impl Pieces {
    fn new(pieces: &[(f64, f64)]) -> Option<Pieces> {
        let mut list = [(0.0, 0.0); PIECES_MAX];
        list.get_mut(..pieces.len())?.copy_from_slice(pieces);
        Some(Pieces { list, len: pieces.len() })
    }

    /// `(rate, seconds)` of each piece.
    pub(super) fn all(&self) -> &[(f64, f64)] {
        &self.list[..self.len]
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

fn refused<T>(parameter: &'static str, wanted: &'static str) -> Result<T, DistError> {
    Err(DistError { parameter, wanted })
}

/// A rate that may be zero.
fn rate_or_zero(parameter: &'static str, rate: f64) -> Result<f64, DistError> {
    if (0.0..=RATE_MAX).contains(&rate) {
        return Ok(rate);
    }
    refused(parameter, "a number from 0 to 10_000_000")
}

fn rate_above_zero(parameter: &'static str, rate: f64) -> Result<f64, DistError> {
    if rate > 0.0 && rate <= RATE_MAX {
        return Ok(rate);
    }
    refused(parameter, "a number above 0, at most 10_000_000")
}

fn long_enough(parameter: &'static str, seconds: f64) -> Result<f64, DistError> {
    if seconds.is_finite() && seconds >= SECONDS_MIN {
        return Ok(seconds);
    }
    refused(parameter, "a duration of at least 1ms")
}

impl Process {
    /// Independent gaps with an exponential law.
    ///
    /// # Errors
    /// If the rate is not above zero and at most [`RATE_MAX`].
    pub fn poisson(rate: f64) -> Result<Process, DistError> {
        rate_above_zero("rate", rate).map(Process::from)
    }

    /// Independent gaps with a gamma law of coefficient of variation `cv` (0.01 to 100): above one
    /// bursts, below one spaces out. Over long windows the index of dispersion of counts tends to
    /// `cv^2` (Cox and Lewis, "The Statistical Analysis of Series of Events", 1966).
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn gamma(rate: f64, cv: f64) -> Result<Process, DistError> {
        rate_above_zero("rate", rate)?;
        if !(0.01..=100.0).contains(&cv) {
            return refused("cv", "a number from 0.01 to 100");
        }
        Ok(Process(ArrivalLaw::Gamma { rate, cv }))
    }

    /// Independent gaps with a Weibull law of that shape (0.1 to 100): below one bursts.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn weibull(rate: f64, shape: f64) -> Result<Process, DistError> {
        rate_above_zero("rate", rate)?;
        if !(0.1..=100.0).contains(&shape) {
            return refused("shape", "a number from 0.1 to 100");
        }
        Ok(Process(ArrivalLaw::Weibull { rate, shape }))
    }

    /// A Markov-modulated Poisson process that goes through its states `(rate, mean seconds)` in
    /// order and round again; the time in a state is exponential. It starts as if it had run for
    /// ever. Rates may be zero, not all of them.
    ///
    /// # Errors
    /// If there are fewer than two states or more than [`PIECES_MAX`], or a parameter is out of
    /// range, or changes of state would outnumber arrivals a million to one.
    pub fn mmpp(states: &[(f64, f64)]) -> Result<Process, DistError> {
        if states.len() < 2 {
            return refused("rates", "a list of at least two rates");
        }
        let Some(pieces) = Pieces::new(states) else {
            return refused("rates", "a list of at most 64 rates");
        };
        for (rate, hold) in states {
            rate_or_zero("rates", *rate)?;
            long_enough("holds", *hold)?;
        }
        if states.iter().all(|(rate, _)| *rate <= 0.0) {
            return refused("rates", "above zero for at least one state");
        }
        let arrivals: f64 = states.iter().map(|(rate, hold)| rate * hold).sum();
        if arrivals < ARRIVALS_A_STATE_MIN * states.len() as f64 {
            return refused("rates", "large enough for one arrival in a million changes of state");
        }
        Ok(Process(ArrivalLaw::Mmpp(pieces)))
    }

    /// A Poisson process whose rate goes from one to another along a line over so many seconds,
    /// and stays there. One of the rates may be zero.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn ramp(from: f64, to: f64, over: f64) -> Result<Process, DistError> {
        rate_or_zero("from", from)?;
        rate_or_zero("to", to)?;
        long_enough("over", over)?;
        if from.max(to) <= 0.0 {
            return refused("to", "above zero if `from` is not");
        }
        Ok(Process(ArrivalLaw::Ramp { from, to, over }))
    }

    /// A Poisson process whose rate follows the day:
    /// `mean * (1 + amplitude * cos(2 pi (t - peak_at) / period))`, amplitude from 0 to 1.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn diurnal(
        mean: f64,
        amplitude: f64,
        period: f64,
        peak_at: f64,
    ) -> Result<Process, DistError> {
        rate_above_zero("mean", mean)?;
        if !(0.0..=1.0).contains(&amplitude) {
            return refused("amplitude", "a number from 0 to 1");
        }
        long_enough("period", period)?;
        if !(peak_at.is_finite() && peak_at >= 0.0) {
            return refused("peak_at", "a duration, zero or above");
        }
        Ok(Process(ArrivalLaw::Diurnal { mean, amplitude, period, peak_at }))
    }

    /// A Poisson process whose rate changes at given times: steps of `(rate, seconds)` in order of
    /// time, the first at zero. Rates may be zero, not all of them.
    ///
    /// # Errors
    /// If there is no step or more than [`PIECES_MAX`], or a parameter is out of range.
    pub fn steps(steps: &[(f64, f64)]) -> Result<Process, DistError> {
        let Some(pieces) = Pieces::new(steps) else {
            return refused("steps", "a list of at most 64 steps");
        };
        if steps.first().is_none_or(|(_, at)| *at > 0.0) {
            return refused("steps", "a list of steps, the first at \"0s\"");
        }
        for (rate, _) in steps {
            rate_or_zero("rate", *rate)?;
        }
        let rises = |pair: &[(f64, f64)]| pair[0].1 < pair[1].1;
        if !steps.iter().all(|(_, at)| at.is_finite() && *at >= 0.0) || !steps.windows(2).all(rises)
        {
            return refused("at", "later than the step before");
        }
        if steps.iter().all(|(rate, _)| *rate <= 0.0) {
            return refused("steps", "above zero in at least one rate");
        }
        Ok(Process(ArrivalLaw::Steps(pieces)))
    }

    /// Returns whether gaps are exponential at one rate.
    #[must_use]
    pub fn is_poisson(&self) -> bool {
        matches!(self.0, ArrivalLaw::Poisson { .. })
    }

    /// Returns the mean rate of the first so many seconds; `None` is for ever.
    #[must_use]
    pub fn mean_rate(&self, seconds: Option<f64>) -> f64 {
        let over = seconds.filter(|seconds| *seconds > 0.0);
        match &self.0 {
            ArrivalLaw::Poisson { rate }
            | ArrivalLaw::Gamma { rate, .. }
            | ArrivalLaw::Weibull { rate, .. } => *rate,
            ArrivalLaw::Mmpp(states) => {
                let all = states.all();
                let arrivals: f64 = all.iter().map(|(rate, hold)| rate * hold).sum();
                arrivals / all.iter().map(|(_, hold)| hold).sum::<f64>()
            }
            ArrivalLaw::Ramp { from, to, over: rise } => {
                let Some(over) = over else { return *to };
                let rising = over.min(*rise);
                let reached = from + (to - from) * rising / rise;
                ((from + reached) / 2.0 * rising + to * (over - rising)) / over
            }
            ArrivalLaw::Diurnal { mean, amplitude, period, peak_at } => {
                let Some(over) = over else { return *mean };
                let turn = |at: f64| (TAU * (at - peak_at) / period).sin();
                mean * (1.0 + amplitude * period / (TAU * over) * (turn(over) - turn(0.0)))
            }
            ArrivalLaw::Steps(steps) => {
                let all = steps.all();
                let last = all.last().map_or(0.0, |(rate, _)| *rate);
                let Some(over) = over else { return last };
                let ends = all.iter().skip(1).map(|(_, begin)| *begin).chain([f64::INFINITY]);
                let held = all
                    .iter()
                    .zip(ends)
                    .map(|((rate, begin), end)| rate * (end.min(over) - begin).max(0.0));
                held.sum::<f64>() / over
            }
        }
    }

    /// Returns the law of the gaps in seconds, if they are independent and not exponential.
    pub(super) fn gaps(&self) -> Option<Dist> {
        match self.0 {
            ArrivalLaw::Gamma { rate, cv } => Dist::gamma(1.0 / rate, cv).ok(),
            ArrivalLaw::Weibull { rate, shape } => Dist::weibull(1.0 / rate, shape).ok(),
            _ => None,
        }
    }
}

/// A number without the last digits, in which only the arithmetic shows: 0.9, not 0.8999999999999999.
fn rounded(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}

/// The rate of a day at a moment.
pub(super) fn of_day(mean: f64, amplitude: f64, period: f64, since_peak: f64) -> f64 {
    mean * (1.0 + amplitude * (TAU * since_peak / period).cos())
}

/// A bare rate is a Poisson process. It is checked where it is used.
impl From<f64> for Process {
    fn from(rate: f64) -> Process {
        Process(ArrivalLaw::Poisson { rate })
    }
}

/// The rate, and in brackets the law if it is not Poisson: `40 (gamma, cv 3)`.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ArrivalLaw::Poisson { rate } => write!(f, "{rate}"),
            ArrivalLaw::Gamma { rate, cv } => write!(f, "{rate} (gamma, cv {cv})"),
            ArrivalLaw::Weibull { rate, shape } => write!(f, "{rate} (Weibull, shape {shape})"),
            ArrivalLaw::Mmpp(states) => {
                let states = states.all();
                let arrivals: f64 = states.iter().map(|(rate, hold)| rate * hold).sum();
                let mean = arrivals / states.iter().map(|(_, hold)| hold).sum::<f64>();
                write!(f, "{mean:.3} (mean of {} states)", states.len())
            }
            ArrivalLaw::Ramp { from, to, .. } => write!(f, "{from} to {to} (ramp)"),
            ArrivalLaw::Diurnal { mean, amplitude, .. } => {
                write!(f, "{mean} (by day, amplitude {})", rounded(*amplitude))
            }
            ArrivalLaw::Steps(steps) => {
                write!(f, "{} (first of {} steps)", steps.list[0].0, steps.len)
            }
        }
    }
}

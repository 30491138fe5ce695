//! Probability laws: the distributions a scenario may name, checked once, sampled often.
//!
//! A law is built by a constructor that refuses parameters without a meaning, so sampling never
//! fails, and its mean is known in closed form, so that a run can be compared with queueing theory.
//! Samples are positive numbers in whatever unit the parameters had (seconds, tokens, a rate).
//! Sampling uses `rand_distr`; last bits may differ between platforms, never between two runs of
//! one build.

use std::fmt;

use rand_distr::{Distribution, Exp, Gamma, LogNormal, Uniform, Weibull};

use crate::rng::Rng;

/// The standard normal quantile of 95 %.
const Z95: f64 = 1.644_853_626_951_472_2;

/// A distribution of positive numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dist {
    law: Law,
    mean: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Law {
    Constant,
    Uniform(Uniform<f64>),
    Exponential(Exp<f64>),
    Gamma(Gamma<f64>),
    LogNormal(LogNormal<f64>),
    Weibull(Weibull<f64>),
}

/// Why a distribution cannot be built: the parameter and what it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistError {
    /// The parameter's name as scenarios spell it.
    pub parameter: &'static str,
    /// What it has to be.
    pub wanted: &'static str,
}

impl fmt::Display for DistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` must be {}", self.parameter, self.wanted)
    }
}

impl std::error::Error for DistError {}

fn positive(parameter: &'static str, value: f64) -> Result<f64, DistError> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(DistError { parameter, wanted: "a finite number above zero" })
    }
}

impl Dist {
    fn new(law: Law, mean: f64, parameter: &'static str) -> Result<Dist, DistError> {
        if mean.is_finite() && mean > 0.0 {
            Ok(Dist { law, mean })
        } else {
            Err(DistError { parameter, wanted: "small enough for the mean to be finite" })
        }
    }

    /// Always `value`, which may be zero.
    ///
    /// # Errors
    /// If `value` is negative or not finite.
    pub fn constant(value: f64) -> Result<Dist, DistError> {
        if value.is_finite() && value >= 0.0 {
            Ok(Dist { law: Law::Constant, mean: value })
        } else {
            Err(DistError { parameter: "constant", wanted: "a finite number, zero or above" })
        }
    }

    /// Uniform on `[min, max]`.
    ///
    /// # Errors
    /// If `min` is negative, or `max` is not above `min`, or either is not finite.
    pub fn uniform(min: f64, max: f64) -> Result<Dist, DistError> {
        if !(min.is_finite() && min >= 0.0) {
            return Err(DistError { parameter: "min", wanted: "a finite number, zero or above" });
        }
        let law = Some(max)
            .filter(|max| max.is_finite() && *max > min)
            .and_then(|max| Uniform::new_inclusive(min, max).ok())
            .ok_or(DistError { parameter: "max", wanted: "a finite number above `min`" })?;
        Dist::new(Law::Uniform(law), f64::midpoint(min, max), "max")
    }

    /// Exponential (memoryless) with the given mean.
    ///
    /// # Errors
    /// If `mean` is not a finite number above zero.
    pub fn exponential(mean: f64) -> Result<Dist, DistError> {
        positive("mean", mean)?;
        let law = Exp::new(1.0 / mean)
            .map_err(|_| DistError { parameter: "mean", wanted: "a finite number above zero" })?;
        Dist::new(Law::Exponential(law), mean, "mean")
    }

    /// Gamma with the given mean and coefficient of variation (standard deviation / mean).
    ///
    /// # Errors
    /// If either is not a finite number above zero.
    pub fn gamma(mean: f64, cv: f64) -> Result<Dist, DistError> {
        positive("mean", mean)?;
        positive("cv", cv)?;
        let shape = 1.0 / (cv * cv);
        let law = Gamma::new(shape, mean / shape)
            .map_err(|_| DistError { parameter: "cv", wanted: "between 1e-6 and 1e6" })?;
        Dist::new(Law::Gamma(law), mean, "mean")
    }

    /// Log-normal given by its median and 95 % quantile: `sigma = ln(p95/p50) / 1.6449`.
    ///
    /// # Errors
    /// If `p50` is not a finite number above zero or `p95` is not above it.
    pub fn lognormal_quantiles(p50: f64, p95: f64) -> Result<Dist, DistError> {
        positive("p50", p50)?;
        if !(p95.is_finite() && p95 > p50) {
            return Err(DistError { parameter: "p95", wanted: "a finite number above `p50`" });
        }
        Dist::lognormal(p50.ln(), (p95 / p50).ln() / Z95, "p95")
    }

    /// Log-normal given by its mean and the standard deviation `sigma` of its logarithm.
    ///
    /// # Errors
    /// If either is not a finite number above zero.
    pub fn lognormal_mean(mean: f64, sigma: f64) -> Result<Dist, DistError> {
        positive("mean", mean)?;
        positive("sigma", sigma)?;
        Dist::lognormal(mean.ln() - sigma * sigma / 2.0, sigma, "sigma")
    }

    fn lognormal(mu: f64, sigma: f64, parameter: &'static str) -> Result<Dist, DistError> {
        let law = LogNormal::new(mu, sigma)
            .map_err(|_| DistError { parameter, wanted: "a finite number above zero" })?;
        Dist::new(Law::LogNormal(law), (mu + sigma * sigma / 2.0).exp(), parameter)
    }

    /// Weibull with the given mean and shape; shape below one clusters, above one spaces out.
    ///
    /// # Errors
    /// If either is not a finite number above zero, or the shape is below 0.05.
    pub fn weibull(mean: f64, shape: f64) -> Result<Dist, DistError> {
        positive("mean", mean)?;
        positive("shape", shape)?;
        if shape < 0.05 {
            return Err(DistError { parameter: "shape", wanted: "0.05 or above" });
        }
        let scale = mean / ln_gamma(1.0 + 1.0 / shape).exp();
        let law = Weibull::new(scale, shape)
            .map_err(|_| DistError { parameter: "shape", wanted: "a finite number above zero" })?;
        Dist::new(Law::Weibull(law), mean, "shape")
    }

    /// Returns the mean of the law.
    #[must_use]
    pub const fn mean(&self) -> f64 {
        self.mean
    }

    /// Draws one value; finite and never negative.
    pub fn sample(&self, rng: &mut Rng) -> f64 {
        let value = match &self.law {
            Law::Constant => self.mean,
            Law::Uniform(law) => law.sample(rng),
            Law::Exponential(law) => law.sample(rng),
            Law::Gamma(law) => law.sample(rng),
            Law::LogNormal(law) => law.sample(rng),
            Law::Weibull(law) => law.sample(rng),
        };
        // A log-normal with an enormous sigma can overflow to infinity.
        value.min(f64::MAX)
    }
}

/// The logarithm of the gamma function for `x > 0` (Lanczos, g = 7, nine terms; relative error
/// below 1e-13).
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = TERMS[1..]
        .iter()
        .enumerate()
        .fold(TERMS[0], |sum, (i, term)| sum + term / (x + i as f64 + 1.0));
    let t = x + G + 0.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(dist: Dist) -> (f64, f64) {
        let mut rng = Rng::stream(3, "moments");
        let n = 200_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let x = dist.sample(&mut rng);
            sum += x;
            squares += x * x;
        }
        let mean = sum / f64::from(n);
        (mean, (squares / f64::from(n) - mean * mean).sqrt() / mean)
    }

    #[test]
    fn samplers_have_the_moments_they_promise() {
        for (dist, cv) in [
            (Dist::constant(2.0).unwrap(), 0.0),
            (Dist::uniform(1.0, 3.0).unwrap(), 1.0 / 12.0_f64.sqrt()),
            (Dist::exponential(2.0).unwrap(), 1.0),
            (Dist::gamma(2.0, 0.5).unwrap(), 0.5),
            (Dist::gamma(2.0, 2.0).unwrap(), 2.0),
            (Dist::lognormal_mean(2.0, 0.5).unwrap(), ((0.25_f64).exp() - 1.0).sqrt()),
            (Dist::weibull(2.0, 2.0).unwrap(), 0.522_72),
        ] {
            let (mean, sampled_cv) = moments(dist);
            assert!((mean / dist.mean() - 1.0).abs() < 0.02, "{dist:?}: mean {mean}");
            assert!((sampled_cv - cv).abs() < 0.03, "{dist:?}: cv {sampled_cv}, wanted {cv}");
        }
    }

    #[test]
    fn lognormal_keeps_its_quantiles() {
        let dist = Dist::lognormal_quantiles(0.45, 1.4).unwrap();
        let mut rng = Rng::stream(5, "quantiles");
        let mut values: Vec<f64> = (0..100_000).map(|_| dist.sample(&mut rng)).collect();
        values.sort_by(f64::total_cmp);
        assert!((values[50_000] / 0.45 - 1.0).abs() < 0.02);
        assert!((values[95_000] / 1.4 - 1.0).abs() < 0.02);
    }

    #[test]
    fn parameters_without_meaning_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(Dist::constant(bad).is_err());
            assert!(Dist::exponential(bad).is_err());
            assert!(Dist::gamma(bad, 1.0).is_err());
            assert!(Dist::gamma(1.0, bad).is_err());
            assert!(Dist::lognormal_quantiles(bad, 1.0).is_err());
            assert!(Dist::lognormal_mean(1.0, bad).is_err());
            assert!(Dist::weibull(1.0, bad).is_err());
            assert!(Dist::uniform(0.0, bad).is_err());
        }
        assert!(Dist::lognormal_quantiles(2.0, 1.0).is_err());
        assert!(Dist::lognormal_mean(1.0, 1e200).is_err(), "the mean would be infinite");
        assert!(Dist::weibull(1.0, 1e-9).is_err());
    }
}

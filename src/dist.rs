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

/// A mixture has at most so many components.
pub const COMPONENTS_MAX: usize = 4;

/// A table of quantiles has at most so many points.
pub const POINTS_MAX: usize = 16;

/// A distribution of positive numbers. It is a plain value: its tables are bounded.
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
    /// A log-normal on top of a floor.
    Shifted(f64, LogNormal<f64>),
    Weibull(Weibull<f64>),
    /// The scale and one over the shape.
    Pareto(f64, f64),
    Mixture(Mixture),
    Quantiles(Quantiles),
}

/// Log-normal components with their cumulated weights; unused places repeat the last one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mixture {
    shares: [f64; COMPONENTS_MAX],
    parts: [LogNormal<f64>; COMPONENTS_MAX],
}

/// Points `(probability, value)`, both rising; unused places repeat the last one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Quantiles([(f64, f64); POINTS_MAX]);

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

    /// Log-normal given by its median and 95 % quantile.
    ///
    /// # Errors
    /// If `p50` is not a finite number above zero or `p95` is not above it.
    pub fn lognormal_quantiles(p50: f64, p95: f64) -> Result<Dist, DistError> {
        Dist::lognormal_between(("p50", 0.50, p50), ("p95", 0.95, p95))
    }

    /// Log-normal given by two quantiles `(name, probability, value)`, the lower one first:
    /// `sigma = ln(high/low) / (z(high) - z(low))` and `mu = ln(low) - sigma z(low)`, where `z` is
    /// the standard normal quantile.
    ///
    /// # Errors
    /// If the lower value is not a finite number above zero or the higher one is not above it, or
    /// the probabilities do not rise strictly inside zero and one.
    pub fn lognormal_between(
        low: (&'static str, f64, f64),
        high: (&'static str, f64, f64),
    ) -> Result<Dist, DistError> {
        let (name, p_low, low) = low;
        let (parameter, p_high, high) = high;
        positive(name, low)?;
        if !(p_low > 0.0 && p_high > p_low && p_high < 1.0) {
            return Err(DistError { parameter, wanted: "a quantile above the other one" });
        }
        if !(high.is_finite() && high > low) {
            let wanted = match name {
                "p50" => "a finite number above `p50`",
                _ => "a finite number above the lower quantile",
            };
            return Err(DistError { parameter, wanted });
        }
        let (z_low, z_high) = (normal_quantile(p_low), normal_quantile(p_high));
        let sigma = (high / low).ln() / (z_high - z_low);
        Dist::lognormal(low.ln() - sigma * z_low, sigma, parameter)
    }

    /// The same log-normal law on top of a floor: what cannot be faster than `shift`.
    ///
    /// # Errors
    /// If this is no log-normal law or `shift` is negative or not finite.
    pub fn shifted(self, shift: f64) -> Result<Dist, DistError> {
        let wanted = "a finite number, zero or above";
        if !(shift.is_finite() && shift >= 0.0) {
            return Err(DistError { parameter: "shift", wanted });
        }
        match self.law {
            Law::LogNormal(law) => Dist::new(Law::Shifted(shift, law), self.mean + shift, "shift"),
            _ => Err(DistError { parameter: "shift", wanted: "used with a log-normal law" }),
        }
    }

    /// A mixture of log-normal laws, each `(weight, law)`; weights are relative to each other. The
    /// mean is the weighted mean.
    ///
    /// # Errors
    /// If there is no part or more than [`COMPONENTS_MAX`], a part is no log-normal law, or a
    /// weight is not a finite number above zero.
    pub fn mixture(parts: &[(f64, Dist)]) -> Result<Dist, DistError> {
        const PARAMETER: &str = "mixture";
        let of = |dist: &Dist| match dist.law {
            Law::LogNormal(law) => Ok(law),
            _ => Err(DistError { parameter: PARAMETER, wanted: "made of log-normal laws" }),
        };
        let (Some((_, last)), true) = (parts.last(), parts.len() <= COMPONENTS_MAX) else {
            return Err(DistError { parameter: PARAMETER, wanted: "a list of 1 to 4 laws" });
        };
        let mut mixture =
            Mixture { shares: [1.0; COMPONENTS_MAX], parts: [of(last)?; COMPONENTS_MAX] };
        for (weight, _) in parts {
            positive("weight", *weight)?;
        }
        let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
        let (mut sum, mut mean) = (0.0, 0.0);
        for (at, (weight, dist)) in parts.iter().enumerate() {
            sum += weight / total;
            mean += weight / total * dist.mean;
            mixture.parts[at] = of(dist)?;
            // The last share is one whatever rounding says.
            mixture.shares[at] = if at + 1 == parts.len() { 1.0 } else { sum };
        }
        Dist::new(Law::Mixture(mixture), mean, "weight")
    }

    /// Pareto (type I): never below `min`, `P(X > x) = (min/x)^shape`, mean
    /// `min * shape / (shape - 1)`.
    ///
    /// # Errors
    /// If `min` is not a finite number above zero, or `shape` is not above one: the mean would be
    /// infinite.
    pub fn pareto(min: f64, shape: f64) -> Result<Dist, DistError> {
        positive("min", min)?;
        if !(shape.is_finite() && shape > 1.0) {
            let wanted = "a finite number above 1, or the mean would be infinite";
            return Err(DistError { parameter: "shape", wanted });
        }
        let mean = min * (shape / (shape - 1.0));
        Dist::new(Law::Pareto(min, 1.0 / shape), mean, "shape")
    }

    /// A table of quantiles `(probability, value)`, linear between its points. The mean is the
    /// area below the quantile function: `sum (p[i+1] - p[i]) * (v[i] + v[i+1]) / 2`.
    ///
    /// # Errors
    /// If there are fewer than two points or more than [`POINTS_MAX`], probabilities do not rise
    /// strictly from 0 to 1, or values are negative, not finite or fall.
    pub fn quantiles(points: &[(f64, f64)]) -> Result<Dist, DistError> {
        const PARAMETER: &str = "quantiles";
        let refuse = |wanted| Err(DistError { parameter: PARAMETER, wanted });
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return refuse("a list of 2 to 16 points");
        };
        if !(2..=POINTS_MAX).contains(&points.len()) {
            return refuse("a list of 2 to 16 points");
        }
        let ends = |end: f64, wanted: f64| end.total_cmp(&wanted).is_eq();
        if !ends(first.0.abs(), 0.0) || !ends(last.0, 1.0) {
            return refuse("points from probability 0 to probability 1");
        }
        // A comparison with not-a-number is false.
        if !points.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return refuse("points in order, each probability once");
        }
        if !points.iter().all(|(_, value)| value.is_finite() && *value >= 0.0)
            || !points.windows(2).all(|pair| pair[0].1 <= pair[1].1)
        {
            return refuse("finite values, zero or above, that do not fall");
        }
        if last.1 <= 0.0 {
            return refuse("above zero at its end");
        }
        let area =
            |pair: &[(f64, f64)]| (pair[1].0 - pair[0].0) * f64::midpoint(pair[0].1, pair[1].1);
        let mean = points.windows(2).map(area).sum();
        let mut table = [*last; POINTS_MAX];
        table[..points.len()].copy_from_slice(points);
        Dist::new(Law::Quantiles(Quantiles(table)), mean, PARAMETER)
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
            Law::Shifted(shift, law) => shift + law.sample(rng),
            Law::Weibull(law) => law.sample(rng),
            // One minus a draw from [0, 1) is above zero.
            Law::Pareto(min, power) => min * (1.0 - rng.unit()).powf(-power),
            Law::Mixture(mixture) => mixture.sample(rng),
            Law::Quantiles(table) => table.at(rng.unit()),
        };
        // A log-normal with an enormous sigma can overflow to infinity.
        value.min(f64::MAX)
    }
}

impl Mixture {
    fn sample(&self, rng: &mut Rng) -> f64 {
        let point = rng.unit();
        let at = self.shares.partition_point(|share| *share <= point);
        self.parts[at.min(COMPONENTS_MAX - 1)].sample(rng)
    }
}

impl Quantiles {
    /// The value of a probability below one.
    fn at(&self, point: f64) -> f64 {
        let next = self.0.partition_point(|(p, _)| *p <= point).clamp(1, POINTS_MAX - 1);
        let ((p0, v0), (p1, v1)) = (self.0[next - 1], self.0[next]);
        if p1 > p0 { v0 + (v1 - v0) * ((point - p0) / (p1 - p0)) } else { v1 }
    }
}

/// The quantile of the standard normal law for `0 < p < 1` (Wichura, "Algorithm AS 241", Applied
/// Statistics 37, 1988; relative error about 1e-16).
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    let from_middle = p - 0.5;
    if from_middle.abs() <= 0.425 {
        let r = 0.180_625 - from_middle * from_middle;
        return from_middle * ratio(&MIDDLE, r);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let tail = if r <= 5.0 { ratio(&NEAR, r - 1.6) } else { ratio(&FAR, r - 5.0) };
    tail.copysign(from_middle)
}

/// The quotient of two polynomials, coefficients from the constant up.
fn ratio(terms: &[[f64; 8]; 2], r: f64) -> f64 {
    let sum = |terms: &[f64; 8]| terms.iter().rev().fold(0.0, |sum, term| sum * r + term);
    sum(&terms[0]) / sum(&terms[1])
}

/// AS 241 within 0.425 of the median.
const MIDDLE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_545,
    ],
];

/// AS 241 in the tails, down to about 1e-11.
const NEAR: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

/// AS 241 beyond.
const FAR: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_7e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

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

    /// Three quarters around 1, one quarter around 5: the mean is 2.
    fn mixture() -> Dist {
        let part = |mean, sigma| Dist::lognormal_mean(mean, sigma).unwrap();
        Dist::mixture(&[(3.0, part(1.0, 0.2)), (1.0, part(5.0, 0.5))]).unwrap()
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
            // Pareto: cv^2 = 1 / (a (a - 2)).
            (Dist::pareto(1.0, 6.0).unwrap(), 1.0 / 24.0_f64.sqrt()),
            // The shift moves the mean from 2 to 4 and leaves the deviation.
            (
                Dist::lognormal_mean(2.0, 0.5).unwrap().shifted(2.0).unwrap(),
                0.5 * ((0.25_f64).exp() - 1.0).sqrt(),
            ),
            // E X^2 = sum w m^2 e^(s^2).
            (
                mixture(),
                ((0.75 * 0.04_f64.exp() + 0.25 * 25.0 * 0.25_f64.exp()) / 4.0 - 1.0).sqrt(),
            ),
            // Two uniform pieces: on [1, 3] and on [3, 9].
            (
                Dist::quantiles(&[(0.0, 1.0), (0.5, 3.0), (1.0, 9.0)]).unwrap(),
                ((0.5 * (4.0 + 1.0 / 3.0) + 0.5 * (36.0 + 3.0)) / 16.0 - 1.0_f64).sqrt(),
            ),
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
    fn any_two_quantiles_give_the_same_law() {
        let wanted = Dist::lognormal_mean(3.0, 0.8).unwrap();
        let at = |p: f64| (3.0_f64.ln() - 0.32 + 0.8 * normal_quantile(p)).exp();
        for (low, high) in [(0.1, 0.9), (0.5, 0.99), (0.9, 0.999)] {
            let found =
                Dist::lognormal_between(("low", low, at(low)), ("high", high, at(high))).unwrap();
            assert!((found.mean() / wanted.mean() - 1.0).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (p, z) in [
            (0.5, 0.0),
            (0.9, 1.281_551_565_544_600_4),
            (0.95, 1.644_853_626_951_472_2),
            (0.99, 2.326_347_874_040_840_8),
            (0.999, 3.090_232_306_167_813_5),
            (1e-12, -7.034_483_825_301_131),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-12 * (1.0 + z.abs()), "{p}");
        }
        // The tail is inside the double's reach on both sides.
        assert!((normal_quantile(0.1) + normal_quantile(0.9)).abs() < 1e-12);
    }

    #[test]
    fn tables_of_quantiles_are_straight_between_their_points() {
        let Law::Quantiles(table) =
            Dist::quantiles(&[(0.0, 1.0), (0.5, 10.0), (0.9, 10.0), (1.0, 99.0)]).unwrap().law
        else {
            panic!("a table");
        };
        for (p, value) in [(0.0, 1.0), (0.25, 5.5), (0.5, 10.0), (0.7, 10.0), (0.95, 54.5)] {
            assert!((table.at(p) - value).abs() < 1e-9, "{p}: {}", table.at(p));
        }
        assert!(table.at(1.0 - f64::EPSILON) <= 99.0);
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
        let lognormal = Dist::lognormal_mean(1.0, 1.0).unwrap();
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(Dist::pareto(bad, 2.0).is_err());
            assert!(Dist::pareto(1.0, bad).is_err());
            assert!(lognormal.shifted(bad).is_err());
            assert!(Dist::mixture(&[(bad, lognormal)]).is_err());
            assert!(Dist::quantiles(&[(0.0, 0.0), (1.0, bad)]).is_err());
            assert!(Dist::quantiles(&[(0.0, 0.0), (bad, 1.0), (1.0, 2.0)]).is_err());
            assert!(Dist::lognormal_between(("p10", 0.1, 1.0), ("p90", 0.9, bad)).is_err());
            assert!(Dist::lognormal_between(("p10", 0.1, 1.0), ("p90", bad, 2.0)).is_err());
        }
        assert!(Dist::pareto(1.0, 1.0).is_err(), "the mean would be infinite");
        assert!(Dist::exponential(1.0).unwrap().shifted(1.0).is_err());
        assert!(Dist::mixture(&[]).is_err());
        assert!(Dist::mixture(&[(1.0, lognormal); COMPONENTS_MAX + 1]).is_err());
        assert!(Dist::mixture(&[(1.0, Dist::exponential(1.0).unwrap())]).is_err());
        assert!(Dist::quantiles(&[(0.0, 1.0)]).is_err());
        assert!(Dist::quantiles(&[(0.1, 1.0), (1.0, 2.0)]).is_err());
        assert!(Dist::quantiles(&[(0.0, 2.0), (1.0, 1.0)]).is_err());
        assert!(Dist::quantiles(&[(0.0, 0.0), (1.0, 0.0)]).is_err(), "the mean is zero");
    }
}

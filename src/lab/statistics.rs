//! Student's t and Holm's correction: all the statistics a comparison needs.
//!
//! Sources: the regularised incomplete beta function by its continued fraction (DLMF 8.17.22,
//! evaluated by Lentz's method as modified by Thompson and Barnett 1986); the t distribution by
//! DLMF 8.17 (`P(|T| > t) = I_x(v/2, 1/2)` with `x = v / (v + t^2)`); Holm, "A simple sequentially
//! rejective multiple test procedure" (Scand. J. Statist. 6, 1979). Degrees of freedom are whole
//! numbers, so the beta function is a finite product and no gamma function is needed.

/// Mean and spread of some numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many.
    pub n: usize,
    /// Arithmetic mean; zero of none.
    pub mean: f64,
    /// Standard deviation of the sample (divisor `n - 1`); zero of fewer than two.
    pub sd: f64,
}

impl Moments {
    /// Returns the standard error of the mean, `sd / sqrt(n)`.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        self.sd / (self.n.max(1) as f64).sqrt()
    }

    /// Returns half the width of the interval that covers the true mean but for a probability
    /// `alpha`; `None` of fewer than two numbers.
    #[must_use]
    pub fn half_width(&self, alpha: f64) -> Option<f64> {
        (self.n >= 2).then(|| student_t(alpha, self.n - 1) * self.standard_error())
    }
}

/// Returns mean and spread, in two passes over the numbers.
#[must_use]
pub fn moments(values: &[f64]) -> Moments {
    let n = values.len();
    if n == 0 {
        return Moments::default();
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let sd = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
    Moments { n, mean, sd }
}

/// Returns the probability that Student's t with `df` degrees of freedom is at least as far from
/// zero as `t`, on either side. An infinite `t` has probability zero.
///
/// # Panics
/// If `df` is zero.
#[must_use]
pub fn student_p(t: f64, df: usize) -> f64 {
    assert!(df > 0, "one number has no spread");
    if t.is_infinite() {
        return 0.0;
    }
    let (v, square) = (df as f64, t * t);
    let (x, rest) = (v / (v + square), square / (v + square));
    let (a, b) = (v / 2.0, 0.5);
    let front = x.powf(a) * rest.powf(b) / beta_with_half(df);
    // The fraction converges quickly below the mean of the beta distribution; above it the
    // complement does.
    let p = if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, rest) / b
    };
    p.clamp(0.0, 1.0)
}

/// Returns the `t` with `student_p(t, df) = alpha`: 2.262 for 0.05 and 9 degrees of freedom.
///
/// # Panics
/// If `df` is zero or `alpha` does not lie between 0 and 1.
#[must_use]
pub fn student_t(alpha: f64, df: usize) -> f64 {
    assert!(alpha > 0.0 && alpha < 1.0, "a probability strictly between 0 and 1");
    let (mut low, mut high) = (0.0, 1.0);
    while student_p(high, df) > alpha && high < 1e300 {
        (low, high) = (high, high * 2.0);
    }
    // Bisection until the two are neighbours.
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if student_p(middle, df) > alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// `B(df / 2, 1 / 2)`, by `B(a + 1, b) = B(a, b) a / (a + b)` from `B(1/2, 1/2) = pi` or
/// `B(1, 1/2) = 2`.
fn beta_with_half(df: usize) -> f64 {
    let (mut a, mut beta) =
        if df.is_multiple_of(2) { (1.0, 2.0) } else { (0.5, std::f64::consts::PI) };
    while a + 0.75 < df as f64 / 2.0 {
        beta *= a / (a + 0.5);
        a += 1.0;
    }
    beta
}

/// The continued fraction of the incomplete beta function.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const TURNS_MAX: u32 = 10_000;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for turn in 1..=TURNS_MAX {
        let m = f64::from(turn);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        value *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// What Holm's procedure says of one hypothesis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesStep {
    /// The adjusted p-value: the hypothesis falls if it is at most alpha.
    pub adjusted: f64,
    /// The level it was held against: `alpha / (m - rank + 1)`, and for those that stand the level
    /// of the first that stood. An interval at this level excludes zero exactly where the
    /// hypothesis falls.
    pub level: f64,
    /// Whether the hypothesis falls.
    pub rejected: bool,
}

/// Holm's step-down procedure: the probability of any false rejection is at most `alpha`, whatever
/// the dependence between the tests. Answers in the order of `p`.
#[must_use]
pub fn holm(p: &[f64], alpha: f64) -> Vec<SeriesStep> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut steps = vec![SeriesStep { adjusted: 1.0, level: alpha, rejected: false }; p.len()];
    let (mut largest, mut stood): (f64, Option<f64>) = (0.0, None);
    for (rank, &at) in order.iter().enumerate() {
        let left = (p.len() - rank) as f64;
        largest = largest.max((p[at] * left).min(1.0));
        let own = alpha / left;
        if stood.is_none() && p[at] > own {
            stood = Some(own);
        }
        let (level, rejected) = (stood.unwrap_or(own), stood.is_none());
        steps[at] = SeriesStep { adjusted: largest, level, rejected };
    }
    steps
}

//! How hard requests look: what the edge makes of their prompts, which follows the truth more or less.
//!
//! How hard a request truly is, is a standard normal draw (see [`Truth::difficulty`]), by which its answers
//! are good or bad where `[quality]` has a `difficulty`. What is observed is `c` times that and
//! `sqrt(1 - c^2)` times a draw of its own, which has correlation `c` with the truth, turned into the law of
//! its class by ranks (a Gaussian copula). So the law is kept whatever the correlation is, and at zero it is
//! simply drawn. Balancers see what is observed and nothing else.

use rand_distr::{Distribution, StandardNormal};

use super::Truth;
use crate::dist::{Dist, normal_quantile};
use crate::rng::Rng;

/// A law is known by so many of its quantiles.
const QUANTILES: usize = 1_024;

/// Each quantile is found among so many draws.
const DRAWS_EACH: usize = 16;

/// How hard the requests of a class look.
#[derive(Clone, Debug, PartialEq)]
pub struct HardnessLaw {
    law: Dist,
    /// How far what is observed follows what is true, from 0 to 1.
    correlation: f64,
    /// Standard normal quantiles, each with that of the law; empty where nothing is to be followed.
    table: Box<[(f64, f64)]>,
}

impl HardnessLaw {
    /// Requests look as hard as `law` says, and that has this correlation, from 0 to 1, with how hard they
    /// are.
    #[must_use]
    pub fn new(law: Dist, correlation: f64) -> HardnessLaw {
        let correlation = correlation.clamp(0.0, 1.0);
        let mut rng = Rng::stream(0, "quantiles of complexity");
        let count = if correlation > 0.0 { QUANTILES * DRAWS_EACH } else { 0 };
        let mut draws: Vec<f64> = (0..count).map(|_| law.sample(&mut rng)).collect();
        draws.sort_unstable_by(f64::total_cmp);
        let middle = |(at, each): (usize, &[f64])| {
            let probability = (at as f64 + 0.5) / QUANTILES as f64;
            (normal_quantile(probability), each[DRAWS_EACH / 2])
        };
        let table = draws.chunks_exact(DRAWS_EACH).enumerate().map(middle).collect();
        HardnessLaw { law, correlation, table }
    }

    /// Draws how hard a request looks, in thousandths; `key` keys what is its own.
    pub(super) fn observe(&self, key: u64, truth: &Truth) -> u32 {
        let mut rng = Rng::from_key(key);
        let looks = if self.table.is_empty() {
            self.law.sample(&mut rng)
        } else {
            let own: f64 = StandardNormal.sample(&mut rng);
            let follows = self.correlation;
            self.quantile(follows * truth.difficulty() + (1.0 - follows * follows).sqrt() * own)
        };
        (looks * 1e3).round() as u32
    }

    /// The value of the law where the standard normal one has `z`.
    fn quantile(&self, z: f64) -> f64 {
        let next = self.table.partition_point(|(at, _)| *at <= z).clamp(1, self.table.len() - 1);
        let ((z0, v0), (z1, v1)) = (self.table[next - 1], self.table[next]);
        v0 + (v1 - v0) * ((z - z0) / (z1 - z0)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::mix;
    use crate::unit::Tokens;

    const COUNT: u64 = 20_000;

    fn pairs(law: Dist, correlation: f64) -> Vec<(f64, f64)> {
        let law = HardnessLaw::new(law, correlation);
        let pair = |id| {
            let truth = Truth { output: Tokens(1), key: mix(5, id), text: None };
            (truth.difficulty(), f64::from(law.observe(mix(6, id), &truth)) / 1e3)
        };
        (0..COUNT).map(pair).collect()
    }

    /// The correlation of Pearson.
    fn correlation(pairs: &[(f64, f64)]) -> f64 {
        let count = pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| {
            pairs.iter().map(|pair| of(pair.0 - x, pair.1 - y)).sum::<f64>()
        };
        sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
    }

    fn ranks(of: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut order: Vec<(usize, f64)> = of.enumerate().collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut ranks = vec![0.0; order.len()];
        order.iter().enumerate().for_each(|(rank, (at, _))| ranks[*at] = rank as f64);
        ranks
    }

    #[test]
    fn what_is_observed_has_its_law_and_follows_the_truth_as_far_as_is_said() {
        let law = Dist::exponential(2.0).expect("a law");
        for said in [0.0, 0.3, 0.7, 1.0] {
            let pairs = pairs(law, said);
            let mean = pairs.iter().map(|pair| pair.1).sum::<f64>() / COUNT as f64;
            assert!((mean - 2.0).abs() < 0.05, "{mean} at {said}");
            let below = pairs.iter().filter(|pair| pair.1 < 2.0).count() as f64 / COUNT as f64;
            assert!((below - 0.632).abs() < 0.015, "{below} at {said}");
            // Of two normal variables with correlation r that of their ranks is 6/pi asin(r/2).
            let ranked = ranks(pairs.iter().map(|pair| pair.0)).into_iter();
            let ranked: Vec<_> = ranked.zip(ranks(pairs.iter().map(|pair| pair.1))).collect();
            let wanted = 6.0 / std::f64::consts::PI * (said / 2.0).asin();
            let found = correlation(&ranked);
            assert!((found - wanted).abs() < 0.02, "{found}, and {wanted} is said");
        }
    }

    #[test]
    fn a_law_that_is_a_constant_stays_one() {
        let pairs = pairs(Dist::constant(0.5).expect("a law"), 0.9);
        assert!(pairs.iter().all(|pair| (pair.1 - 0.5).abs() < 1e-9));
    }
}

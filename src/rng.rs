//! Randomness: one named generator, one stream a purpose.
//!
//! The generator is xoshiro256++ (Blackman and Vigna, 2019), seeded by SplitMix64. A stream is
//! derived from the run's seed and a label, so two strategies see the same arrivals, lengths and
//! service draws (common random numbers), and a draw more in one place shifts nothing elsewhere.
//! No generator here is ever seeded from the system.

use std::convert::Infallible;

use rand::{SeedableRng, TryRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of random numbers. Cloning it repeats its future.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The stream named `label` of the run seeded with `seed`.
    #[must_use]
    pub fn stream(seed: u64, label: &str) -> Rng {
        // FNV-1a spreads the label; SplitMix64 (inside `from_key`) spreads the sum.
        let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Rng::from_key(mix(seed, hash))
    }

    /// A short-lived stream for one key, such as one attempt on one node.
    #[must_use]
    pub fn from_key(key: u64) -> Rng {
        Rng(Xoshiro256PlusPlus::seed_from_u64(key))
    }

    /// Draws 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let Ok(bits) = self.try_next_u64();
        bits
    }

    /// Draws uniformly from `0..count` without bias (Lemire 2019).
    ///
    /// # Panics
    /// If `count` is zero.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "cannot draw from nothing");
        let count = count as u64;
        let mut wide = u128::from(self.bits()) * u128::from(count);
        if (wide as u64) < count {
            let threshold = count.wrapping_neg() % count;
            while (wide as u64) < threshold {
                wide = u128::from(self.bits()) * u128::from(count);
            }
        }
        (wide >> 64) as usize
    }

    /// Draws uniformly from `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

/// Mixes two keys into one (SplitMix64's finaliser over their sum): for keyed streams.
#[must_use]
pub const fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(b);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_values_are_pinned() {
        // A change here changes every result of every user: never by accident.
        let mut rng = Rng::stream(7, "arrivals");
        let first: Vec<u64> = (0..3).map(|_| rng.bits()).collect();
        insta::assert_debug_snapshot!(first);
    }

    #[test]
    fn streams_differ_by_label_and_seed() {
        let draw = |seed, label| Rng::stream(seed, label).bits();
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_eq!(draw(1, "a"), draw(1, "a"));
    }

    #[test]
    fn below_is_uniform() {
        let mut rng = Rng::stream(1, "uniform");
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7)] += 1;
        }
        // 6 degrees of freedom: 22.5 is the 99.9 % point.
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 1e4).powi(2) / 1e4).sum();
        assert!(chi2 < 22.5, "chi-square {chi2} for {counts:?}");
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&rng.unit())));
    }
}

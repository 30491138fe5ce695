//! Requests that come again: which of a class's requests ask exactly the same.
//!
//! A part of a class's requests are drawn from a number of different ones, of which the k-th most
//! popular has a share in proportion to `k^-zipf`; the others are asked once. What is asked decides
//! the length of the prompt, and not that of the answer: a model asked twice says it differently.
//! Draws come from a stream of their own: repetition moves no arrival, no class and no answer.

use super::tenant::{EXPONENT_MAX, zipf_shares};
use crate::rng::{Rng, mix};
use crate::unit::ClassId;

/// A class has at most so many different requests that come again.
pub const DISTINCT_MAX: u32 = 1_000_000;

/// Makes contents of what a class asks.
const CONTENT: u64 = 0x636f_6e74_656e_7473;

/// Which requests of a class come again, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct RepeatLaw {
    /// The part of all requests that are among them.
    share: f64,
    /// Cumulated shares of each, the most popular first; the last is one.
    popularity: Box<[f64]>,
}

impl RepeatLaw {
    /// So many different requests (1 to [`DISTINCT_MAX`]), an exponent from zero, where all come alike,
    /// to [`EXPONENT_MAX`], and the share of requests that are among them. `None` if a parameter is
    /// out of range.
    #[must_use]
    pub fn new(distinct: u32, zipf: f64, share: f64) -> Option<RepeatLaw> {
        let sound = (1..=DISTINCT_MAX).contains(&distinct)
            && (0.0..=EXPONENT_MAX).contains(&zipf)
            && (0.0..=1.0).contains(&share);
        sound.then(|| RepeatLaw { share, popularity: zipf_shares(distinct, zipf) })
    }

    /// Draws what a request of a class asks, as a hash; `None` if it is asked once.
    pub(super) fn draw(&self, class: ClassId, rng: &mut Rng) -> Option<u64> {
        // Both are drawn, so that the share moves nothing else.
        let (among, point) = (rng.unit() < self.share, rng.unit());
        let place = self.popularity.partition_point(|sum| *sum <= point);
        let rank = place.min(self.popularity.len() - 1) as u64;
        among.then(|| content(class, rank))
    }
}

/// The hash of the k-th most popular request of a class, from zero.
fn content(class: ClassId, rank: u64) -> u64 {
    mix(mix(CONTENT, u64::from(class.0)), rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn popularity_follows_the_rank_and_the_rest_is_asked_once() {
        let law = RepeatLaw::new(50, 0.8, 0.6).unwrap();
        let total: f64 = (1..=50).map(|rank| f64::from(rank).powf(-0.8)).sum();
        let mut rng = Rng::stream(1, "contents");
        let mut counts: BTreeMap<Option<u64>, u32> = BTreeMap::new();
        for _ in 0..200_000 {
            *counts.entry(law.draw(ClassId(3), &mut rng)).or_default() += 1;
        }
        assert_eq!(counts.len(), 51);
        // 50 degrees of freedom: 86.7 is the 99.9 % point.
        let off = |count: u32, wanted: f64| (f64::from(count) - wanted).powi(2) / wanted;
        let rank = |rank: u64| {
            let wanted = 120_000.0 * (rank as f64 + 1.0).powf(-0.8) / total;
            off(counts[&Some(content(ClassId(3), rank))], wanted)
        };
        let chi2: f64 = (0..50).map(rank).sum::<f64>() + off(counts[&None], 80_000.0);
        assert!(chi2 < 86.7, "chi-square {chi2}");
    }

    #[test]
    fn classes_ask_different_things() {
        assert_ne!(content(ClassId(0), 1), content(ClassId(1), 1));
        assert_ne!(content(ClassId(0), 1), content(ClassId(0), 2));
    }

    #[test]
    fn laws_out_of_range_are_refused() {
        assert_eq!(RepeatLaw::new(0, 1.0, 1.0), None);
        assert_eq!(RepeatLaw::new(DISTINCT_MAX + 1, 1.0, 1.0), None);
        assert_eq!(RepeatLaw::new(5, f64::NAN, 1.0), None);
        assert_eq!(RepeatLaw::new(5, 1.0, 1.5), None);
        assert!(RepeatLaw::new(5, 0.0, 0.0).is_some());
    }
}

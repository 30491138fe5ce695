//! A learnt threshold: from which complexity on a route's requests go to the stronger of two models.
//!
//! Requests are dealt to tenths by their place among the route's last ones. Of each tenth and model the
//! good and bad answers that somebody told of are counted; the counts of a tenth shrink by `1 - 1/memory`
//! with each word about it, so what is kept is bounded and what has changed is forgotten (Raj and Kalyani
//! 2017). The stronger model is worth its price in a tenth as far as it is expected to answer better there;
//! the threshold is where the sum of that over all tenths above it is largest. So what is learnt of one
//! tenth moves the threshold only together with those beside it, which a rule for every tenth by itself
//! would not do. To explore, the counts are drawn from (Thompson 1933, Beta-distributed); for critical
//! requests their means decide.

use rand_distr::{Beta, Distribution};

use crate::rng::Rng;

/// Requests are told apart by complexity in so many parts of equal size.
pub(super) const PARTS: usize = 10;

/// What is known of a model's answers to requests of one kind, beside what was believed before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arm {
    pub(super) good: f64,
    pub(super) bad: f64,
}

impl Arm {
    /// Draws the probability that an answer is good, or takes its mean; `prior` observations are believed
    /// before any, half of them good. Returns the mean too.
    pub(super) fn draw(self, prior: f64, explores: bool, rng: &mut Rng) -> (f64, f64) {
        let (good, bad) = (self.good + prior / 2.0, self.bad + prior / 2.0);
        let mean = good / (good + bad);
        let law = if explores { Beta::new(good, bad).ok() } else { None };
        (law.map_or(mean, |law| law.sample(rng)), mean)
    }

    /// Somebody said how good an answer of this place was; the others of its kind are forgotten alike.
    pub(super) fn learn(kind: &mut [Arm], place: usize, quality: f64, memory: u32) {
        let keep = 1.0 - 1.0 / f64::from(memory);
        for one in kind.iter_mut() {
            one.good *= keep;
            one.bad *= keep;
        }
        kind[place].good += quality;
        kind[place].bad += 1.0 - quality;
    }
}

/// What a route has learnt of its two models, by tenth of the complexity.
#[derive(Debug, Default)]
pub(super) struct Threshold([[Arm; 2]; PARTS]);

impl Threshold {
    /// Returns the part of a request that is harder than this share of the last ones.
    pub(super) fn part(easier: f64) -> usize {
        // A cast saturates.
        ((easier * PARTS as f64) as usize).min(PARTS - 1)
    }

    /// Returns the first part that is hard enough for the stronger model, [`PARTS`] if none is, where it
    /// costs so much more in good answers.
    pub(super) fn first_hard(
        &self,
        dearer: f64,
        prior: f64,
        explores: bool,
        rng: &mut Rng,
    ) -> usize {
        let gains = self.0.map(|[weak, strong]| {
            let weak = weak.draw(prior, explores, rng).0;
            strong.draw(prior, explores, rng).0 - weak - dearer
        });
        let (mut best, mut sum) = ((PARTS, 0.0), 0.0);
        for (part, gain) in gains.iter().enumerate().rev() {
            sum += gain;
            if sum > best.1 {
                best = (part, sum);
            }
        }
        best.0
    }

    /// Somebody said how good an answer to a request of this part was.
    pub(super) fn learn(&mut self, part: usize, strong: bool, quality: f64, memory: u32) {
        Arm::learn(&mut self.0[part], usize::from(strong), quality, memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of two models to requests drawn evenly. Returns the mean worth of an answer, and what the
    /// best fixed threshold would have had.
    fn play(seed: u64, dearer: f64, weak: fn(f64) -> f64, strong: fn(f64) -> f64) -> (f64, f64) {
        const REQUESTS: u32 = 40_000;
        let mut rng = Rng::stream(seed, "threshold");
        let mut threshold = Threshold::default();
        let (mut had, mut fixed) = (0.0, [0.0; PARTS + 1]);
        for _ in 0..REQUESTS {
            let easier = rng.unit();
            let part = Threshold::part(easier);
            let worth = [weak(easier), strong(easier) - dearer];
            let first = threshold.first_hard(dearer, 2.0, true, &mut rng);
            let hard = part >= first;
            had += worth[usize::from(hard)];
            for (first, sum) in fixed.iter_mut().enumerate() {
                *sum += worth[usize::from(part >= first)];
            }
            // One in ten says something.
            if rng.below(10) == 0 {
                let good = rng.unit() < worth[usize::from(hard)] + if hard { dearer } else { 0.0 };
                threshold.learn(part, hard, f64::from(u8::from(good)), 1_000);
            }
        }
        let count = f64::from(REQUESTS);
        (had / count, fixed.iter().copied().fold(f64::NEG_INFINITY, f64::max) / count)
    }

    #[test]
    fn what_is_learnt_comes_near_the_best_fixed_threshold() {
        for seed in 1..=3 {
            // The weaker model fails at what is hard, at a third of its own the stronger one is worth it.
            let (had, best) = play(seed, 0.1, |easier| 0.95 - 0.5 * easier, |_| 0.92);
            assert!(had > best - 0.015, "{had} of {best} at seed {seed}");
        }
    }

    #[test]
    fn where_complexity_says_nothing_the_better_model_is_found_all_the_same() {
        for seed in 1..=3 {
            for dearer in [0.05, 0.3] {
                let (had, best) = play(seed, dearer, |_| 0.75, |_| 0.92);
                assert!(had > best - 0.015, "{had} of {best} at seed {seed}, dearer by {dearer}");
            }
        }
    }

    #[test]
    fn without_draws_the_cheaper_model_answers_what_nothing_is_known_of() {
        let (mut rng, mut threshold) = (Rng::stream(1, "threshold"), Threshold::default());
        assert_eq!(threshold.first_hard(0.01, 2.0, false, &mut rng), PARTS);
        (0..500).for_each(|_| threshold.learn(7, false, 0.0, 100));
        assert_eq!(
            threshold.first_hard(0.01, 2.0, false, &mut rng),
            7,
            "its answers are bad there"
        );
        let [weak, strong] = threshold.0[7];
        assert!(weak.bad <= 100.0 && strong.good + strong.bad <= 100.0, "what is kept is bounded");
    }
}

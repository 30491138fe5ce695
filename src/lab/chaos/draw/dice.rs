//! Draws for chaos: chances, numbers and laws as scenarios spell them.

use crate::rng::Rng;
use crate::scenario::keys::{self, KeyKind};
use crate::scenario::tree::{TreeTable, TreeValue, plain, text, variant};

/// A stream of draws for one feature.
#[derive(Debug)]
pub(super) struct Dice(Rng);

impl Dice {
    /// The draws of this purpose: a feature more changes none of another one.
    pub(super) fn new(seed: u64, purpose: &str) -> Dice {
        Dice(Rng::stream(seed, &format!("chaos {purpose}")))
    }

    /// Returns true with this probability.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.0.unit() < p
    }

    /// Draws one of these.
    pub(super) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.0.below(items.len())].clone()
    }

    /// Draws a whole number, both ends included.
    pub(super) fn whole(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below((most - least + 1) as usize) as u64
    }

    /// Draws a number whose logarithm is uniform; both ends above zero.
    pub(super) fn log(&mut self, least: f64, most: f64) -> f64 {
        (least.ln() + self.0.unit() * (most.ln() - least.ln())).exp()
    }

    /// Draws a whole number whose logarithm is uniform.
    pub(super) fn log_whole(&mut self, least: u64, most: u64) -> u64 {
        let drawn = self.log(least as f64 + 1.0, most as f64 + 2.0) - 1.0;
        (drawn as u64).clamp(least, most)
    }

    /// Draws a duration, in milliseconds, whose logarithm is uniform.
    pub(super) fn millis(&mut self, least: u64, most: u64) -> u64 {
        self.log_whole(least, most)
    }

    /// The same as scenarios spell it.
    pub(super) fn span(&mut self, least: u64, most: u64) -> TreeValue {
        span(self.millis(least, most))
    }

    /// Draws a number with two digits after the point.
    pub(super) fn share(&mut self, least: f64, most: f64) -> TreeValue {
        let drawn = least + self.0.unit() * (most - least);
        plain((drawn * 100.0).round() / 100.0)
    }

    /// Draws what a key of a scenario may be, anywhere in its bounds: a word, or a number with two
    /// digits after the point.
    pub(super) fn anywhere(&mut self, section: &str, key: &str) -> TreeValue {
        match keys::find(section, key).kind {
            KeyKind::Word(words) => text(self.pick(words)),
            KeyKind::Number(range) => self.share(range.least, range.most),
            other => panic!("`{section}.{key}` is neither a word nor a number: {other}"),
        }
    }

    /// Draws a law of durations with about this mean.
    pub(super) fn law(&mut self, millis: u64) -> TreeValue {
        let millis = millis.max(2);
        let mean = |table: TreeTable| table.with("mean", span(millis));
        match self.whole(0, 6) {
            0 | 1 => span(millis),
            2 => variant("exponential", mean(TreeTable::default())),
            3 => {
                let cv = self.share(0.2, 2.0);
                variant("gamma", mean(TreeTable::default()).with("cv", cv))
            }
            4 => {
                let table = TreeTable::default().with("p50", span(millis));
                variant("lognormal", table.with("p95", span(millis * 3)))
            }
            5 => {
                let table = TreeTable::default().with("min", span(millis / 2));
                variant("uniform", table.with("max", span(millis * 3 / 2)))
            }
            _ => {
                let shape = self.share(0.7, 2.0);
                variant("weibull", mean(TreeTable::default()).with("shape", shape))
            }
        }
    }

    /// Draws a law of whole numbers with about this mean.
    pub(super) fn count_law(&mut self, mean: u64) -> TreeValue {
        match self.whole(0, 3) {
            0 => plain(mean),
            1 => variant("exponential", TreeTable::default().with("mean", plain(mean))),
            2 => {
                let table = TreeTable::default().with("p50", plain(mean));
                variant("lognormal", table.with("p95", plain(mean * 4)))
            }
            _ => {
                let table = TreeTable::default().with("min", plain(1));
                variant("uniform", table.with("max", plain(mean * 2)))
            }
        }
    }
}

/// A duration as scenarios spell it.
pub(super) fn span(millis: u64) -> TreeValue {
    text(format_args!("{millis}ms"))
}

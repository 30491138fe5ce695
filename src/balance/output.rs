//! How long answers are expected to be: one mean a class, learnt from answers seen.

use crate::unit::Tokens;

/// The mean length of answers, learnt from those seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputMean {
    sum: u64,
    count: u64,
    /// What these come to: asked for several times a request, learnt once.
    mean: Tokens,
}

impl OutputMean {
    /// Begins with what is expected before any was seen.
    pub(super) const fn new(expected: Tokens) -> OutputMean {
        OutputMean { sum: expected.0, count: 1, mean: expected }
    }

    pub(super) fn expected(self, most: Option<Tokens>) -> Tokens {
        most.map_or(self.mean, |most| most.min(self.mean))
    }

    pub(super) fn learn(&mut self, output: Tokens) {
        // Halving both keeps the mean, bounds the sum and lets the mean follow a drift.
        if self.count >= 1 << 20 {
            self.sum /= 2;
            self.count /= 2;
        }
        self.sum = self.sum.saturating_add(output.0);
        self.count += 1;
        self.mean = Tokens(self.sum / self.count);
    }
}

//! How long answers are expected to be: one mean a class, learnt from answers seen.

use crate::unit::Tokens;

/// The mean length of answers, learnt from those seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputMean {
    sum: u64,
    count: u64,
}

impl OutputMean {
    /// Begins with what is expected before any was seen.
    pub(super) const fn new(expected: Tokens) -> OutputMean {
        OutputMean { sum: expected.0, count: 1 }
    }

    pub(super) fn expected(self, most: Option<Tokens>) -> Tokens {
        let mean = Tokens(self.sum / self.count);
        most.map_or(mean, |most| most.min(mean))
    }

    pub(super) fn learn(&mut self, output: Tokens) {
        // Halving both keeps the mean, bounds the sum and lets the mean follow a drift.
        if self.count >= 1 << 20 {
            self.sum /= 2;
            self.count /= 2;
        }
        self.sum = self.sum.saturating_add(output.0);
        self.count += 1;
    }
}

//! How long answers are expected to be: one mean a class, learnt from answers seen.

use super::vocabulary::request::Request;
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

/// Returns the tokens that an answer is expected still to have after those that came before it was
/// cut: the mean of its class less those, but no more than the request allows; that limit is of the
/// rest already. At least one, unless the request allows none.
pub(super) fn expected(means: &[OutputMean], request: &Request, came: Tokens) -> Tokens {
    let mean = means.get(request.class.index());
    let whole = mean.map_or(Tokens(1), |mean| mean.mean);
    let left = if came > Tokens::ZERO { whole.less(came).max(Tokens(1)) } else { whole };
    request.output_max.map_or(left, |most| most.min(left))
}

//! How long answers are expected to be: one mean a class, learnt from answers seen.

use super::vocabulary::request::Request;
use crate::unit::{ClassId, Tokens};

/// The mean length of answers, learnt from those seen.
#[derive(Clone, Copy, Debug)]
struct OutputMean {
    sum: u64,
    count: u64,
    /// What these come to: asked for several times a request, learnt once.
    mean: Tokens,
}

impl OutputMean {
    /// Begins with what is expected before any was seen.
    const fn new(expected: Tokens) -> OutputMean {
        OutputMean { sum: expected.0, count: 1, mean: expected }
    }

    fn learn(&mut self, output: Tokens) {
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

/// The means of all classes.
#[derive(Debug)]
pub(super) struct ExpectedOutput {
    /// By class.
    means: Vec<OutputMean>,
}

impl ExpectedOutput {
    /// Begins with what is expected of each class before any answer was seen.
    pub(super) fn new(expected: &[Tokens]) -> ExpectedOutput {
        ExpectedOutput { means: expected.iter().map(|tokens| OutputMean::new(*tokens)).collect() }
    }

    /// An answer of the class had so many tokens.
    pub(super) fn learn(&mut self, class: ClassId, output: Tokens) {
        if let Some(mean) = self.means.get_mut(class.index()) {
            mean.learn(output);
        }
    }

    /// Returns the tokens that an answer is expected still to have after those that came before it
    /// was cut: the mean of its class less those, but no more than the request allows; that limit is
    /// of the rest already. At least one, unless the request allows none.
    #[inline]
    pub(super) fn of(&self, request: &Request, came: Tokens) -> Tokens {
        let mean = self.means.get(request.class.index());
        let whole = mean.map_or(Tokens(1), |mean| mean.mean);
        let left = if came > Tokens::ZERO { whole.less(came).max(Tokens(1)) } else { whole };
        request.output_max.map_or(left, |most| most.min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{RequestId, Time};

    #[test]
    fn what_is_expected_is_the_mean_of_the_class_but_no_more_than_is_allowed() {
        let mut outputs = ExpectedOutput::new(&[Tokens(100)]);
        let request = Request::new(RequestId(1), Time::ZERO);
        assert_eq!(outputs.of(&request, Tokens::ZERO), Tokens(100));
        outputs.learn(ClassId(0), Tokens(300));
        assert_eq!(outputs.of(&request, Tokens::ZERO), Tokens(200));
        assert_eq!(outputs.of(&request, Tokens(150)), Tokens(50), "so many have come");
        assert_eq!(outputs.of(&request, Tokens(900)), Tokens(1), "it goes on");
        let short = Request { output_max: Some(Tokens(7)), ..request.clone() };
        assert_eq!(outputs.of(&short, Tokens::ZERO), Tokens(7));
        let unknown = Request { class: ClassId(9), ..request };
        assert_eq!(outputs.of(&unknown, Tokens::ZERO), Tokens(1));
    }
}

//! What retry budgets are shares of, and the sums that prove conservation and Little's law.

use crate::balance::vocabulary::outcome::TOKENS_MAX;
use crate::balance::vocabulary::request::Request;

/// Requests and their prompt tokens: what retry budgets are shares of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) struct Amount {
    pub(in crate::balance) requests: u64,
    pub(in crate::balance) prompts: u64,
}

impl Amount {
    /// One request. No prompt counts for more than any attempt does, so no sum overflows.
    #[inline]
    pub(in crate::balance) fn of(request: &Request) -> Amount {
        Amount { requests: 1, prompts: request.prompt.min(TOKENS_MAX).0 }
    }
}

impl std::ops::AddAssign for Amount {
    #[inline]
    fn add_assign(&mut self, more: Amount) {
        self.requests += more.requests;
        self.prompts += more.prompts;
    }
}

impl std::ops::SubAssign for Amount {
    #[inline]
    fn sub_assign(&mut self, less: Amount) {
        self.requests -= less.requests;
        self.prompts -= less.prompts;
    }
}

/// Sums that prove conservation and Little's law, in integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that came.
    pub arrived: u64,
    /// Requests at their end.
    pub settled: u64,
    /// Attempts dispatched.
    pub dispatched: u64,
    /// Attempts ended.
    pub ended: u64,
    /// Words that came too late to change anything.
    pub late_words: u64,
    /// Requests in the system, integrated over time: request-nanoseconds.
    pub area: u128,
    /// Times in the system, summed over settled requests: nanoseconds.
    pub sojourn: u128,
}

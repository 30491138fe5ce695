//! What retry budgets are shares of, and the sums that prove conservation and Little's law.

use crate::balance::by_tenant::ByTenant;
use crate::balance::vocabulary::outcome::TOKENS_MAX;
use crate::balance::vocabulary::request::Request;
use crate::unit::TenantId;

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

impl std::ops::Sub for Amount {
    type Output = Amount;

    #[inline]
    fn sub(mut self, less: Amount) -> Amount {
        self -= less;
        self
    }
}

impl std::ops::SubAssign for Amount {
    #[inline]
    fn sub_assign(&mut self, less: Amount) {
        self.requests -= less.requests;
        self.prompts -= less.prompts;
    }
}

/// All that is under way, and what of it are retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) struct RetryShare {
    pub(in crate::balance) all: Amount,
    pub(in crate::balance) again: Amount,
}

/// What retry budgets are shares of.
#[derive(Debug, Default)]
pub(in crate::balance) struct RetrySums {
    /// The retries are those of this balancer.
    whole: RetryShare,
    /// By tenant; the retries are those of whoever asks too.
    tenants: ByTenant<RetryShare>,
}

impl RetrySums {
    /// A request comes in.
    #[inline]
    pub(super) fn arrive(&mut self, request: &Request) {
        let amount = Amount::of(request);
        self.whole.all += amount;
        let tenant = self.tenants.at(request.tenant);
        tenant.all += amount;
        if request.again > 0 {
            tenant.again += amount;
        }
    }

    /// A request that was no retry becomes one.
    #[inline]
    pub(super) fn retry(&mut self, request: &Request) {
        let amount = Amount::of(request);
        self.whole.again += amount;
        if request.again == 0 {
            self.tenants.at(request.tenant).again += amount;
        }
    }

    /// A request leaves; `retrying` says whether it was a retry.
    #[inline]
    pub(super) fn leave(&mut self, request: &Request, retrying: bool) {
        let amount = Amount::of(request);
        self.whole.all -= amount;
        let tenant = self.tenants.at(request.tenant);
        tenant.all -= amount;
        if retrying {
            self.whole.again -= amount;
        }
        if retrying || request.again > 0 {
            tenant.again -= amount;
        }
    }

    /// Returns the shares of all, by the retries of this balancer.
    #[inline]
    pub(in crate::balance) const fn whole(&self) -> RetryShare {
        self.whole
    }

    /// Returns what all tenants have under way, for the check of invariants.
    pub(in crate::balance) fn of_tenants(&self) -> Amount {
        let mut sum = Amount::default();
        self.tenants.values().for_each(|share| sum += share.all);
        sum
    }

    /// Returns the shares of a tenant, by the retries of whoever asks too.
    pub(in crate::balance) fn of_tenant(&self, tenant: TenantId) -> RetryShare {
        self.tenants.get(tenant).copied().unwrap_or_default()
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

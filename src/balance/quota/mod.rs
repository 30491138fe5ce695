//! Quotas: what tenants and pools may take, and who is held back or turned away because of that.
//!
//! Three things hold a request back, each with a name: its tenant has as many attempts under way as
//! it may (its other requests wait with it, those of other tenants do not), its pool takes no more
//! (it goes to the next pool, or waits), or the quota of a node is used up (the node is no candidate
//! until some of it has come back; asking it would only earn a 429: those quotas are kept with the
//! nodes). Two things turn it away: its tenant's limit a minute, and its tenant's money for the day; when
//! that is spent, cheaper pools may serve it instead (see [`OverBudget`]).
//!
//! A tenant's limits a minute count requests as the client sees them, reserved when they arrive and
//! settled when they end; all others count attempts, reserved at dispatch and settled when they end.
//! Everything here is off, and then costs one branch, unless a configuration asks for it.

use std::collections::BTreeMap;

use slotmap::SecondaryMap;

use super::by_tenant::ByTenant;
use super::limits::{DailyBudget, Quota};
use super::requests::{AttemptState, RequestKey, RequestState, Requests};
use super::spec::admission::{OverBudget, TenantLimits, Tenants};
use super::spec::config::Config;
use super::spec::node::{Limits, Prices};
use super::vocabulary::outcome::{Fate, Reject, Usage};
use crate::unit::{Cost, PoolId, Span, TenantId, Time, Tokens};

/// What one tenant has under way.
#[derive(Debug, Default)]
struct Tenant {
    limits: TenantLimits,
    /// Whether the limits have been looked up.
    known: bool,
    in_flight: u32,
    quota: Quota,
    budget: DailyBudget,
}

/// What one pool takes.
#[derive(Debug)]
struct PoolQuota {
    concurrency: Option<u32>,
    quota: Quota,
}

/// What was reserved for a request at its arrival.
#[derive(Clone, Copy, Debug)]
struct Reserved {
    tokens: u64,
    at: Time,
}

/// Whether a pool takes one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolVerdict {
    /// It does.
    Takes,
    /// It has as many as it may.
    Full,
    /// Its quota has room for it after so long.
    After(Span),
}

/// The quotas of tenants and pools, and what is reserved of them.
#[derive(Debug)]
pub(super) struct Quotas {
    rules: Tenants,
    /// Whether anything is limited: tenants, pools or nodes.
    on: bool,
    /// Whether tenants are counted at all.
    counts_tenants: bool,
    tenants: ByTenant<Tenant>,
    /// By pool; empty if no pool has limits.
    pools: Vec<Option<PoolQuota>>,
    reserved: SecondaryMap<RequestKey, Reserved>,
    /// When the earliest timer goes off that somebody's quota may suffice.
    refill: Time,
}

/// What an attempt is expected to cost.
fn expected_cost(prices: &Prices, prompt: Tokens, expected: Tokens) -> Cost {
    prices.of(&Usage { input: prompt, cached: Tokens::ZERO, output: expected, estimated: false })
}

impl Quotas {
    /// The quotas of a configuration, with nothing reserved.
    pub(super) fn new(config: &Config) -> Quotas {
        let rules = &config.admission.tenants;
        let pools = config.pools.iter().any(|pool| !pool.limits.are_none());
        let nodes = config.admission.counts_quotas(&config.nodes);
        let quota = |limits: &Limits| {
            (!limits.are_none())
                .then(|| PoolQuota { concurrency: limits.concurrency, quota: Quota::new(limits) })
        };
        let limited = config.pools.iter().filter(|_| pools);
        Quotas {
            on: !rules.are_free() || pools || nodes,
            counts_tenants: !rules.are_free(),
            rules: rules.clone(),
            tenants: ByTenant::default(),
            pools: limited.map(|pool| quota(&pool.limits)).collect(),
            reserved: SecondaryMap::new(),
            refill: Time::MAX,
        }
    }

    /// Returns whether anything is limited.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.on
    }

    /// Returns whether tenants are counted.
    #[inline]
    pub(super) const fn counts_tenants(&self) -> bool {
        self.counts_tenants
    }

    fn tenant(&mut self, id: TenantId) -> &mut Tenant {
        let tenant = self.tenants.at(id);
        if !tenant.known {
            tenant.known = true;
            tenant.limits = *self.rules.of(id);
            tenant.quota = Quota::new(&tenant.limits.limits);
            tenant.budget = DailyBudget::new(tenant.limits.budget);
        }
        tenant
    }

    fn pool(&mut self, pool: PoolId) -> Option<&mut PoolQuota> {
        self.pools.get_mut(pool.index())?.as_mut()
    }

    /// Returns whether cheaper pools serve a tenant that has spent its budget.
    pub(super) fn degrades(&mut self, tenant: TenantId) -> bool {
        self.counts_tenants && self.tenant(tenant).limits.over_budget == OverBudget::Degrade
    }

    /// Returns how long until a tenant has money again, if it has spent its budget.
    pub(super) fn spent(&mut self, now: Time, tenant: TenantId) -> Option<Span> {
        if !self.counts_tenants {
            return None;
        }
        self.tenant(tenant).budget.refusal(now, Cost(1))
    }

    /// A request of so many tokens arrives. Returns why its tenant's limits a minute do not let it in; if
    /// they do, it is reserved what it is expected to use.
    pub(super) fn admit(
        &mut self,
        now: Time,
        key: RequestKey,
        tenant: TenantId,
        tokens: u64,
    ) -> Option<Reject> {
        if !self.counts_tenants {
            return None;
        }
        let tenant = self.tenant(tenant);
        if tenant.limits.limits.by_the_minute() {
            let wait = tenant.quota.wait(now, tokens);
            if wait > Span::ZERO {
                return Some(Reject::TenantRate(wait));
            }
            tenant.quota.take(now, tokens);
            self.reserved.insert(key, Reserved { tokens, at: now });
        }
        None
    }

    /// A request has its end: what was reserved for it at its arrival is corrected.
    #[inline]
    pub(super) fn settle_request(
        &mut self,
        now: Time,
        key: RequestKey,
        state: &RequestState,
        fate: Fate,
        usage: Usage,
    ) {
        if !self.counts_tenants {
            return;
        }
        let Some(reserved) = self.reserved.remove(key) else { return };
        let quota = &mut self.tenant(state.request.tenant).quota;
        if state.dispatched.is_none() {
            quota.undo(now, reserved.at, reserved.tokens);
            return;
        }
        let used = match fate {
            Fate::Completed => usage.input + usage.output,
            _ if usage.output > Tokens::ZERO => state.request.prompt + usage.output,
            _ => Tokens::ZERO,
        };
        quota.settle(now, reserved.at, reserved.tokens, used.0);
    }

    /// Returns whether the tenant has as much under way as it may.
    #[inline]
    pub(super) fn is_full(&mut self, tenant: TenantId) -> bool {
        if !self.counts_tenants {
            return false;
        }
        let tenant = self.tenant(tenant);
        tenant.limits.limits.concurrency.is_some_and(|most| tenant.in_flight >= most)
    }

    /// Returns whether some pool has limits.
    #[inline]
    pub(super) const fn limits_pools(&self) -> bool {
        !self.pools.is_empty()
    }

    /// Returns whether a pool with so many attempts in flight takes one more of so many tokens.
    pub(super) fn pool_verdict(
        &mut self,
        now: Time,
        pool: PoolId,
        in_flight: u64,
        tokens: u64,
    ) -> PoolVerdict {
        let Some(pool) = self.pool(pool) else { return PoolVerdict::Takes };
        if pool.concurrency.is_some_and(|most| in_flight >= u64::from(most)) {
            return PoolVerdict::Full;
        }
        match pool.quota.wait(now, tokens) {
            Span::ZERO => PoolVerdict::Takes,
            wait => PoolVerdict::After(wait),
        }
    }

    /// Somebody waits for a quota that suffices at `at`. Returns whether a timer is to be set for
    /// then; it is then held for set.
    #[inline]
    pub(super) fn await_refill(&mut self, at: Time) -> bool {
        let earlier = self.on && at < self.refill;
        if earlier {
            self.refill = at;
        }
        earlier
    }

    /// Returns when a quota that somebody waits for may suffice, if a timer is set for that.
    pub(super) fn next_refill(&self) -> Option<Time> {
        (self.refill < Time::MAX).then_some(self.refill)
    }

    /// A timer has gone off. Of several the later ones find nobody, or set themselves again.
    pub(super) const fn on_refill(&mut self) {
        self.refill = Time::MAX;
    }

    /// Returns why a tenant may not pay for an attempt at these prices, if it may not.
    pub(super) fn overspends(
        &mut self,
        now: Time,
        tenant: TenantId,
        prices: &Prices,
        (prompt, expected): (Tokens, Tokens),
    ) -> Option<Reject> {
        if !self.counts_tenants {
            return None;
        }
        let cost = expected_cost(prices, prompt, expected);
        self.tenant(tenant).budget.refusal(now, cost).map(Reject::Budget)
    }

    /// Reserves what an attempt that is being dispatched is expected to use.
    pub(super) fn reserve(
        &mut self,
        now: Time,
        tenant: TenantId,
        pool: PoolId,
        attempt: &AttemptState,
    ) {
        if !self.on {
            return;
        }
        if let Some(pool) = self.pool(pool) {
            pool.quota.take(now, attempt.reserved());
        }
        if self.counts_tenants {
            let (prompt, expected) = (attempt.facts.prompt, attempt.facts.expected);
            let tenant = self.tenant(tenant);
            tenant.in_flight += 1;
            tenant.budget.reserve(expected_cost(&attempt.prices, prompt, expected));
        }
    }

    /// An attempt has ended: what was reserved for it is corrected by what it used. Returns whether
    /// its pool may take another one now.
    pub(super) fn settle_attempt(
        &mut self,
        now: Time,
        tenant: TenantId,
        pool: PoolId,
        attempt: &AttemptState,
        usage: &Usage,
    ) -> bool {
        if !self.on {
            return false;
        }
        let used = (usage.input + usage.output).0;
        let frees = self.pool(pool).is_some_and(|pool| {
            pool.quota.settle(now, attempt.dispatched, attempt.reserved(), used);
            pool.concurrency.is_some()
        });
        if self.counts_tenants {
            let (prompt, expected) = (attempt.facts.prompt, attempt.facts.expected);
            let tenant = self.tenant(tenant);
            tenant.in_flight -= 1;
            let reserved = expected_cost(&attempt.prices, prompt, expected);
            tenant.budget.settle(now, reserved, attempt.prices.of(usage));
        }
        frees
    }

    /// Returns whether a pool with so many attempts in flight takes more, its quota left aside.
    pub(super) fn pool_has_room(&self, pool: PoolId, in_flight: u64) -> bool {
        let most = self.pools.get(pool.index()).and_then(|pool| pool.as_ref()?.concurrency);
        most.is_none_or(|most| in_flight < u64::from(most))
    }

    /// Returns whether a pool's limit a minute may be what a request waits for.
    pub(super) fn limits_pools_by_the_minute(&self) -> bool {
        let by_the_minute =
            |pool: &PoolQuota| pool.quota.requests.is_some() || pool.quota.tokens.is_some();
        self.pools.iter().flatten().any(by_the_minute)
    }

    /// Recounts what tenants have under way; `bounded` says whether it must be as much as they may at
    /// most.
    pub(super) fn check(&self, requests: &Requests, bounded: bool) -> Result<(), String> {
        if !self.counts_tenants {
            return Ok(());
        }
        let mut counts: BTreeMap<TenantId, (u32, Cost)> = BTreeMap::new();
        for this in requests.attempts() {
            let (count, cost) = counts.entry(requests[this.request].request.tenant).or_default();
            *count += 1;
            *cost += expected_cost(&this.prices, this.facts.prompt, this.facts.expected);
        }
        let in_flight: u32 = self.tenants.values().map(|tenant| tenant.in_flight).sum();
        let all = requests.attempts().len();
        if in_flight as usize != all {
            return Err(format!("I26: {in_flight} attempts by tenant, {all} in all"));
        }
        for (id, (count, cost)) in counts {
            let Some(tenant) = self.tenants.get(id) else {
                return Err(format!("I26: tenant {} has no account", id.0));
            };
            if tenant.in_flight != count || tenant.budget.reserved() != cost {
                return Err(format!("I26: tenant {} has {count} attempts under way", id.0));
            }
            let most = tenant.limits.limits.concurrency;
            if bounded && most.is_some_and(|most| count > most) {
                return Err(format!(
                    "I26: tenant {} has {count} attempts, may have {most:?}",
                    id.0
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::{at, config};
    use crate::balance::vocabulary::request::Request;
    use crate::unit::{RequestId, RouteId};

    const TENANT: TenantId = TenantId(0);

    fn limited(limits: Limits) -> Config {
        let mut config = config(2, 1);
        config.admission.tenants.each.limits = limits;
        config
    }

    fn arrive(requests: &mut Requests, id: u64) -> RequestKey {
        requests.arrive(at(0), Request::new(RequestId(id), at(0)), RouteId(0), 0)
    }

    #[test]
    fn what_is_not_limited_costs_nobody_anything() {
        let (mut quotas, mut requests) = (Quotas::new(&config(1, 1)), Requests::default());
        let key = arrive(&mut requests, 0);
        assert!(!quotas.is_on() && !quotas.counts_tenants() && !quotas.limits_pools());
        assert_eq!(quotas.admit(at(0), key, TENANT, u64::MAX), None);
        assert!(!quotas.is_full(TENANT) && !quotas.await_refill(at(1)));
        assert_eq!(quotas.pool_verdict(at(0), PoolId(0), u64::MAX, 1), PoolVerdict::Takes);
    }

    #[test]
    fn a_request_that_was_never_sent_gives_back_what_was_reserved() {
        let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
        let (mut quotas, mut requests) = (Quotas::new(&limited(limits)), Requests::default());
        let (first, second) = (arrive(&mut requests, 0), arrive(&mut requests, 1));
        assert_eq!(quotas.admit(at(0), first, TENANT, 10), None);
        let minute = Span::from_secs(60);
        assert_eq!(quotas.admit(at(0), second, TENANT, 10), Some(Reject::TenantRate(minute)));
        quotas.settle_request(at(1), first, &requests[first], Fate::Cancelled, Usage::NONE);
        assert_eq!(quotas.admit(at(1), second, TENANT, 10), None, "there is room again");
    }

    #[test]
    fn a_pool_takes_as_many_as_it_may() {
        let mut config = config(2, 1);
        config.pools[1].limits = Limits { concurrency: Some(2), ..Limits::default() };
        let mut quotas = Quotas::new(&config);
        let verdict = |quotas: &mut Quotas, pool, in_flight| {
            quotas.pool_verdict(at(0), PoolId(pool), in_flight, 5)
        };
        assert_eq!(verdict(&mut quotas, 1, 1), PoolVerdict::Takes);
        assert_eq!(verdict(&mut quotas, 1, 2), PoolVerdict::Full);
        assert_eq!(verdict(&mut quotas, 0, 99), PoolVerdict::Takes, "the other one has no limit");
        assert!(!quotas.pool_has_room(PoolId(1), 2) && quotas.pool_has_room(PoolId(1), 1));
    }

    #[test]
    fn one_timer_is_enough_for_everybody_who_waits_for_a_quota() {
        let limits = Limits { tokens_per_minute: Some(9), ..Limits::default() };
        let mut quotas = Quotas::new(&limited(limits));
        assert!(quotas.await_refill(at(5)));
        assert!(!quotas.await_refill(at(6)), "one goes off before");
        assert!(quotas.await_refill(at(4)));
        assert_eq!(quotas.next_refill(), Some(at(4)));
        quotas.on_refill();
        assert_eq!(quotas.next_refill(), None);
    }
}

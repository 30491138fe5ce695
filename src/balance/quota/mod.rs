//! The gate: the balancer's books about limits of tenants, pools and nodes, and who is held back or
//! turned away because of them.
//!
//! Three things hold a request back, each with a name: its tenant has as many attempts under way as
//! it may (its other requests wait with it, those of other tenants do not), its pool takes no more
//! (it goes to the next pool, or waits), or the quota of a node is used up (the node is no candidate
//! until some of it has come back; asking it would only earn a 429). Three things turn it away: its
//! tenant's limit a minute, its tenant's money for the day, and an overload (see `ladder`).
//!
//! A tenant's limits a minute count requests as the client sees them, taken when they arrive and
//! corrected when they are settled; all others count attempts, taken at dispatch and corrected when
//! they end. Everything here is off, and then costs one branch, unless a configuration asks for it.

pub(super) mod limits;

use slotmap::SecondaryMap;

use super::balancer::Balancer;
use super::queue::fair::{ByTenant, service};
use super::requests::{Choice, RequestKey, Try, TryKey};
use super::spec::admission::{TenantLimits, Tenants};
use super::spec::config::Config;
use super::spec::node::{Limits, Prices, Tier};
use super::timer::Alarm;
use super::vocabulary::outcome::{Fate, Reject, Usage};
use crate::unit::{Cost, PoolId, Span, TenantId, Time, Tokens};
use limits::{Purse, Quota};

/// What one tenant has under way.
#[derive(Debug, Default)]
struct Tenant {
    limits: TenantLimits,
    /// Whether the limits have been looked up.
    known: bool,
    in_flight: u32,
    quota: Quota,
    purse: Purse,
}

/// What one pool takes.
#[derive(Debug)]
struct PoolGate {
    concurrency: Option<u32>,
    quota: Quota,
}

/// What was taken for a request at its arrival.
#[derive(Clone, Copy, Debug)]
struct Taken {
    tokens: u64,
    at: Time,
}

/// The books.
#[derive(Debug)]
pub(in crate::balance) struct Gate {
    rules: Tenants,
    /// Whether tenants are counted at all.
    counts_tenants: bool,
    tenants: ByTenant<Tenant>,
    /// By pool; empty if no pool has limits.
    pools: Vec<Option<PoolGate>>,
    taken: SecondaryMap<RequestKey, Taken>,
    /// When the earliest alarm rings that somebody's quota may suffice.
    wakes: Time,
}

impl Gate {
    /// The books, if there is anything to keep.
    pub(in crate::balance) fn new(config: &Config) -> Option<Box<Gate>> {
        let rules = &config.admission.tenants;
        let pools = config.pools.iter().any(|pool| !pool.limits.are_none());
        let quotas = config.admission.counts_quotas(&config.nodes);
        if rules.are_free() && !pools && !quotas {
            return None;
        }
        let gate = |limits: &Limits| {
            (!limits.are_none())
                .then(|| PoolGate { concurrency: limits.concurrency, quota: Quota::new(limits) })
        };
        let pools = if pools {
            config.pools.iter().map(|pool| gate(&pool.limits)).collect()
        } else {
            Vec::new()
        };
        Some(Box::new(Gate {
            counts_tenants: !rules.are_free(),
            rules: rules.clone(),
            tenants: ByTenant::new(),
            pools,
            taken: SecondaryMap::new(),
            wakes: Time::MAX,
        }))
    }

    fn tenant(&mut self, id: TenantId) -> &mut Tenant {
        let tenant = self.tenants.at(id);
        if !tenant.known {
            tenant.known = true;
            tenant.limits = *self.rules.of(id);
            tenant.quota = Quota::new(&tenant.limits.limits);
            tenant.purse = Purse::new(tenant.limits.budget);
        }
        tenant
    }

    fn pool(&mut self, pool: PoolId) -> Option<&mut PoolGate> {
        self.pools.get_mut(pool.index())?.as_mut()
    }
}

/// What an attempt is expected to cost.
fn expected_cost(prices: &Prices, prompt: Tokens, expected: Tokens) -> Cost {
    prices.of(&Usage { input: prompt, cached: Tokens::ZERO, output: expected })
}

impl Balancer {
    /// Tokens the next attempt of a request is expected to use.
    pub(in crate::balance) fn expected_tokens(&self, key: RequestKey) -> u64 {
        let live = &self.requests[key];
        live.request.prompt.0.saturating_add(self.expected(live).0)
    }

    /// Returns why a request that arrives may not come in, and books it if it may.
    pub(in crate::balance) fn knock(&mut self, key: RequestKey) -> Option<Reject> {
        let tokens = self.expected_tokens(key);
        let (now, id) = (self.now, self.requests[key].request.tenant);
        let gate = self.gate.as_mut()?;
        if !gate.counts_tenants {
            return None;
        }
        let tenant = gate.tenant(id);
        if let Some(until) = tenant.purse.refusal(now, Cost(1)) {
            return Some(Reject::Budget(until));
        }
        if tenant.limits.limits.by_the_minute() {
            let wait = tenant.quota.wait(now, tokens);
            if wait > Span::ZERO {
                return Some(Reject::TenantRate(wait));
            }
            tenant.quota.take(now, tokens);
            gate.taken.insert(key, Taken { tokens, at: now });
        }
        None
    }

    /// A request has its end: what was taken for it at its arrival is corrected.
    pub(in crate::balance) fn leave_gate(&mut self, key: RequestKey, fate: Fate, usage: Usage) {
        let now = self.now;
        let live = &self.requests[key];
        let (id, prompt) = (live.request.tenant, live.request.prompt);
        let (dispatched, started) = (live.dispatched.is_some(), usage.output > Tokens::ZERO);
        let Some(gate) = &mut self.gate else { return };
        let Some(taken) = gate.taken.remove(key) else { return };
        let quota = &mut gate.tenant(id).quota;
        if !dispatched {
            quota.undo(now, taken.at, taken.tokens);
            return;
        }
        let used = match fate {
            Fate::Completed => usage.input + usage.output,
            _ if started => prompt + usage.output,
            _ => Tokens::ZERO,
        };
        quota.settle(now, taken.at, taken.tokens, used.0);
    }

    /// Returns whether the tenant has as much under way as it may.
    pub(in crate::balance) fn is_held_back(&mut self, key: RequestKey) -> bool {
        let id = self.requests[key].request.tenant;
        let Some(gate) = self.gate.as_mut().filter(|gate| gate.counts_tenants) else {
            return false;
        };
        let tenant = gate.tenant(id);
        tenant.limits.limits.concurrency.is_some_and(|most| tenant.in_flight >= most)
    }

    /// Returns whether the pool takes one more request now; if only its quota is used up, sets an
    /// alarm for when it may.
    pub(in crate::balance) fn pool_takes(&mut self, key: RequestKey, pool: PoolId) -> bool {
        if self.gate.as_ref().is_none_or(|gate| gate.pools.is_empty()) {
            return true;
        }
        let now = self.now;
        let (in_flight, _) = self.fleet.pool_load(pool);
        let tokens = self.expected_tokens(key);
        let Some(gate) = self.gate.as_mut().and_then(|gate| gate.pool(pool)) else {
            return true;
        };
        if gate.concurrency.is_some_and(|most| in_flight >= u64::from(most)) {
            return false;
        }
        let wait = gate.quota.wait(now, tokens);
        if wait > Span::ZERO {
            self.wake_in(wait);
        }
        wait == Span::ZERO
    }

    /// Some nodes of a pool may be no candidates for want of quota only: looks again when the first
    /// of them has enough.
    pub(in crate::balance) fn await_quota(&mut self, key: RequestKey, pool: PoolId) {
        let (now, tokens) = (self.now, self.expected_tokens(key));
        let require = self.routes.get(self.requests[key].route).require;
        let open = Tier::ALL.iter().flat_map(|&tier| self.fleet.open(pool, tier));
        let fit = open.filter(|&&node| self.fleet.node(node).spec.tags & require == require);
        let wait = fit.map(|&node| self.fleet.quota_wait(node, now, tokens)).min();
        if let Some(wait) = wait.filter(|wait| *wait > Span::ZERO) {
            self.wake_in(wait);
        }
    }

    fn wake_in(&mut self, wait: Span) {
        let at = self.now + wait;
        if let Some(gate) = self.gate.as_mut().filter(|gate| at < gate.wakes) {
            gate.wakes = at;
            self.timers.at(at, Alarm::Allowance);
        }
    }

    /// Returns when a quota that somebody waits for may suffice, if somebody does.
    pub(in crate::balance) fn next_allowance(&self) -> Option<Time> {
        let wakes = self.gate.as_ref().map(|gate| gate.wakes);
        wakes.filter(|at| *at < Time::MAX && self.lines.waiting > 0)
    }

    /// Somebody's quota may suffice now.
    pub(in crate::balance) fn allowance(&mut self) {
        if let Some(gate) = &mut self.gate {
            // Of several alarms the later ones find nobody, or set themselves again.
            gate.wakes = Time::MAX;
        }
        self.opened = true;
    }

    /// Returns why the attempt may not be paid for, if it may not.
    pub(in crate::balance) fn overspends(
        &mut self,
        key: RequestKey,
        choice: &Choice,
    ) -> Option<Reject> {
        let prices = self.fleet.node(choice.node).prices();
        let live = &self.requests[key];
        let (now, id, prompt) = (self.now, live.request.tenant, live.request.prompt);
        let expected = self.expected(live);
        let gate = self.gate.as_mut().filter(|gate| gate.counts_tenants)?;
        let cost = expected_cost(&prices, prompt, expected);
        gate.tenant(id).purse.refusal(now, cost).map(Reject::Budget)
    }

    /// Books an attempt that is being dispatched.
    pub(in crate::balance) fn book(&mut self, key: TryKey) {
        let now = self.now;
        let this = &self.tries[key];
        let (prompt, expected) = (this.sent.prompt, this.sent.expected);
        let (id, pool) =
            (self.requests[this.request].request.tenant, self.fleet.node(this.node).home().0);
        let tokens = prompt.0.saturating_add(expected.0);
        self.fleet.take_quota(this.node, now, tokens);
        if let Some(room) = &mut self.lines.room {
            room.charge(id, service(prompt, expected), 0);
        }
        let Some(gate) = &mut self.gate else { return };
        if let Some(pool) = gate.pool(pool) {
            pool.quota.take(now, tokens);
        }
        if gate.counts_tenants {
            let tenant = gate.tenant(id);
            tenant.in_flight += 1;
            tenant.purse.reserve(expected_cost(&this.prices, prompt, expected));
        }
    }

    /// Corrects what was booked for an attempt that has ended.
    pub(in crate::balance) fn unbook(&mut self, this: &Try, usage: &Usage) {
        let now = self.now;
        let (prompt, expected) = (this.sent.prompt, this.sent.expected);
        let (id, pool) =
            (self.requests[this.request].request.tenant, self.fleet.node(this.node).home().0);
        let (taken, used) = (prompt.0.saturating_add(expected.0), (usage.input + usage.output).0);
        self.fleet.settle_quota(this.node, now, this.dispatched, taken, used);
        if let Some(room) = &mut self.lines.room {
            let served = service(usage.input.less(usage.cached), usage.output);
            room.charge(id, served, service(prompt, expected));
        }
        let Some(gate) = &mut self.gate else { return };
        if let Some(pool) = gate.pool(pool) {
            pool.quota.settle(now, this.dispatched, taken, used);
            // Its nodes may have been open all the time.
            self.opened |= pool.concurrency.is_some();
        }
        if gate.counts_tenants {
            let tenant = gate.tenant(id);
            tenant.in_flight -= 1;
            let reserved = expected_cost(&this.prices, prompt, expected);
            tenant.purse.settle(now, reserved, this.prices.of(usage));
            if let Some(room) = self.lines.room.as_mut().filter(|room| room.is_parked(id)) {
                room.park(id, false);
                self.opened = true;
            }
        }
    }

    /// Returns whether a pool takes more attempts, its quota left aside.
    pub(in crate::balance) fn pool_has_room(&self, pool: PoolId) -> bool {
        let gates = self.gate.as_ref().map_or(&[][..], |gate| &gate.pools);
        let most = gates.get(pool.index()).and_then(|gate| gate.as_ref()?.concurrency);
        most.is_none_or(|most| self.fleet.pool_load(pool).0 < u64::from(most))
    }

    /// Returns whether somebody's quota may be what a request waits for.
    pub(in crate::balance) fn has_quotas(&self) -> bool {
        let Some(gate) = &self.gate else { return false };
        let of_pool =
            |pool: &PoolGate| pool.quota.requests.is_some() || pool.quota.tokens.is_some();
        self.fleet.has_quotas() || gate.pools.iter().flatten().any(of_pool)
    }

    /// Recounts what tenants have under way.
    pub(in crate::balance) fn gate_adds_up(&self) -> Result<(), String> {
        let Some(gate) = self.gate.as_ref().filter(|gate| gate.counts_tenants) else {
            return Ok(());
        };
        let mut counts: std::collections::BTreeMap<TenantId, (u32, Cost)> = Default::default();
        for this in self.tries.values() {
            let (count, cost) =
                counts.entry(self.requests[this.request].request.tenant).or_default();
            *count += 1;
            *cost += expected_cost(&this.prices, this.sent.prompt, this.sent.expected);
        }
        let in_flight: u32 = gate.tenants.values().map(|tenant| tenant.in_flight).sum();
        if in_flight as usize != self.tries.len() {
            return Err(format!(
                "I26: {in_flight} attempts by tenant, {} in all",
                self.tries.len()
            ));
        }
        for (id, (count, cost)) in counts {
            let Some(tenant) = gate.tenants.get(id) else {
                return Err(format!("I26: tenant {} is not in the books", id.0));
            };
            if tenant.in_flight != count || tenant.purse.reserved() != cost {
                return Err(format!("I26: tenant {} has {count} attempts under way", id.0));
            }
            let most = tenant.limits.limits.concurrency;
            if self.batchers.is_empty() && most.is_some_and(|most| count > most) {
                return Err(format!(
                    "I26: tenant {} has {count} attempts, may have {most:?}",
                    id.0
                ));
            }
        }
        Ok(())
    }
}

//! Advice about the fleet: who is watched, what bounds it, and what takes over.

use std::collections::BTreeSet;

use super::{Advisor, NO_HEALTH_CHECKS, NO_LIMITS, NO_LOWER_TIER, RETRIES_MULTIPLY, listed};
use crate::balance::{NodeSpec, RouteSpec};
use crate::node::BackendSpec;
use crate::scenario::LiveNode;
use crate::unit::{PoolId, Ratio};

/// Tries of one request that are more than anybody can mean.
const TRIES_MANY: u32 = 6;

impl Advisor<'_> {
    /// Somebody must look after nodes before requests find out.
    pub(super) fn health(&mut self) {
        let config = &self.scenario.balancer;
        let unwatched = |index: &usize| {
            let health = config.health_in(PoolId(*index as u16));
            health.probe_every.is_none() && health.recovery.generate.is_none()
        };
        let pools: Vec<usize> = (0..config.pools.len()).filter(unwatched).collect();
        if pools.is_empty() {
            return;
        }
        let names = listed(pools.iter().map(|pool| config.pools[*pool].name.as_str()));
        let message = if pools.len() == config.pools.len() {
            "nodes are not probed: one that died is found by requests that fail on it".to_owned()
        } else {
            format!("nodes of {names} are not probed: one that died is found by requests that fail")
        };
        let place = self.places.at(&["balancer", "health"]);
        self.warn(
            NO_HEALTH_CHECKS,
            place,
            message,
            "write `probe = { every = \"5s\", timeout = \"1s\" }` in `[balancer.health]`",
        );
    }

    /// Something must bound how much a node is given at a time.
    pub(super) fn limits(&mut self) {
        let config = &self.scenario.balancer;
        if config.shed.is_some() {
            return;
        }
        let unbounded = |(index, pool): &(usize, &crate::balance::PoolSpec)| {
            let backends = self.scenario.backends.iter().zip(&self.scenario.live);
            let nodes = config.nodes.iter().zip(backends);
            let mut nodes = nodes.filter(|(node, _)| node.pool.index() == *index);
            let free =
                |(node, (backend, live)): (&NodeSpec, (&BackendSpec, &LiveNode))| match backend {
                    _ if live.url.is_some() => node.limits.are_none(),
                    // Servers with a queue bound themselves.
                    BackendSpec::Slots(_) => false,
                    BackendSpec::Api(_, own) => node.limits.are_none() && own.are_none(),
                    BackendSpec::Engine(_) => node.limits.are_none(),
                };
            pool.limiter.is_none() && pool.limits.are_none() && nodes.any(free)
        };
        let pools: Vec<_> = config.pools.iter().enumerate().filter(unbounded).collect();
        let Some((first, _)) = pools.first() else { return };
        let place = self.places.pool(PoolId(*first as u16), "name");
        let names = listed(pools.iter().map(|(_, pool)| pool.name.as_str()));
        self.warn(
            NO_LIMITS,
            place,
            format!("nothing bounds how much nodes of {names} are given at a time"),
            "write `limits = { concurrency = 32 }` for each node, or `limiter = \"aimd\"` in the pool",
        );
    }

    /// Something must take over when all of a pool is down.
    pub(super) fn tiers(&mut self) {
        let config = &self.scenario.balancer;
        let alone = |route: &RouteSpec| match route.to.as_slice() {
            [pool] if route.degrade.is_none() => {
                let nodes = config.nodes.iter().filter(|node| node.pool == *pool);
                let tiers: BTreeSet<_> = nodes.clone().map(|node| node.tier).collect();
                // What is in several regions does not go down as a whole.
                let regions: BTreeSet<_> = nodes.map(|node| node.region).collect();
                (tiers.len() < 2 && regions.len() < 2).then_some(*pool)
            }
            _ => None,
        };
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (index, route) in self.scenario.written_routes() {
            if let Some(pool) = alone(route).filter(|pool| seen.insert(*pool)) {
                found.push((index, pool, config.pools[pool.index()].name.as_str()));
            }
        }
        let Some((route, pool, name)) = found.first().copied() else { return };
        let place = self.places.route(route, "to");
        let place = place.unwrap_or_else(|| self.places.pool(pool, "name"));
        let names = listed(found.iter().map(|(_, _, name)| *name));
        let backup = "write `tier = \"backup\"` for a node of another provider or region";
        let (which, help) = if found.len() > 1 {
            ("one of ", format!("{backup}, in each of these pools"))
        } else {
            let second = self.second_pool(pool);
            let second = second
                .map(|other| format!(", or name a second pool: `to = [\"{name}\", \"{other}\"]`"));
            ("", format!("{backup}{}", second.unwrap_or_default()))
        };
        let message = format!("when {which}{names} is down, nothing takes over");
        self.warn(NO_LOWER_TIER, place, message, help);
    }

    /// Which pool could take over for this one: one with the same models. Where none is there, `other`
    /// stands for one that is to be written; `None` if all that are there have other models.
    fn second_pool(&self, pool: PoolId) -> Option<&str> {
        let config = &self.scenario.balancer;
        let models = |pool: PoolId| -> BTreeSet<_> {
            let nodes = config.nodes.iter().filter(|node| node.pool == pool);
            nodes.map(|node| node.model).collect()
        };
        // Where a route chooses among pools, each stands for a model.
        let chosen = |pool: PoolId| {
            config.routes.iter().any(|route| route.choose.is_some() && route.to.contains(&pool))
        };
        if config.pools.len() == 1 {
            return Some("other");
        }
        let others = (0..config.pools.len()).map(|index| PoolId(index as u16));
        let mut others = others.filter(|other| *other != pool);
        let alike = others
            .find(|other| !chosen(pool) && !chosen(*other) && models(*other) == models(pool))?;
        Some(&config.pools[alike.index()].name)
    }

    /// Retries must not multiply what is too much already.
    pub(super) fn retries(&mut self) {
        let retry = self.scenario.balancer.retry;
        if retry.attempts > 1 && retry.budget >= Ratio::ONE {
            let (attempts, budget) = (retry.attempts, retry.budget.value());
            let place = self.places.at(&["balancer", "retry", "budget"]);
            self.warn(
                RETRIES_MULTIPLY,
                place,
                format!(
                    "`attempts = {attempts}` with a budget of {budget}: when nodes fail, the load on \
                     them is up to {attempts} times what arrives"
                ),
                "write `budget = 0.2`: at most a fifth of what is under way is a retry",
            );
        }
        if retry.clients {
            return;
        }
        let scenario = self.scenario;
        for (flow, spec) in scenario.workflows.iter().enumerate() {
            for (step, one) in spec.steps.iter().enumerate() {
                let tries = (one.retries + 1).saturating_mul(u32::from(retry.attempts));
                if one.retries == 0 || tries < TRIES_MANY {
                    continue;
                }
                let place = self.places.step(flow, step, "retries");
                self.warn(
                    RETRIES_MULTIPLY,
                    place,
                    format!(
                        "step `{}` tries {} times, each with {} attempts: {tries} in all, outside of \
                         any budget",
                        one.name,
                        one.retries + 1,
                        retry.attempts
                    ),
                    "leave `clients = false` out of `[balancer.retry]`, or let only one layer retry",
                );
            }
        }
    }
}

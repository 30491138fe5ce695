//! Advice about strategies: prices and budgets that those by cost go by, and the signals that others
//! need.

use super::load::{demand, pools_of};
use super::{Advisor, BUDGET_TOO_SMALL, SIGNAL_MISSING, Scenario, UNPRICED};
use crate::balance::{GoesBy, NodeSpec, PoolSpec, Usage};
use crate::node::BackendSpec;
use crate::scenario::Arrivals;
use crate::scenario::problem::ProblemLevel;
use crate::unit::{ClassId, NodeId, PoolId, Tokens};
use crate::workload::TraceFormat;

/// What a request of a class costs in the mean on a node, in dollars.
pub(super) fn cost_on(scenario: &Scenario, class: usize, node: &NodeSpec) -> f64 {
    let spec = &scenario.classes[class];
    let tokens = |mean: f64| Tokens(mean.round() as u64);
    let usage = Usage {
        input: tokens(spec.prompt.mean()),
        output: tokens(spec.output.mean()),
        ..Usage::default()
    };
    node.prices.of(&usage).dollars()
}

/// What it costs on the cheapest node of a pool, if it may go there.
fn least_cost(scenario: &Scenario, class: usize, pool: PoolId) -> Option<f64> {
    let may = pools_of(scenario, ClassId(class as u16)).contains(&pool);
    let nodes = scenario.balancer.nodes.iter().filter(|node| may && node.pool == pool);
    nodes.map(|node| cost_on(scenario, class, node)).min_by(f64::total_cmp)
}

impl Advisor<'_> {
    fn goes_by_cost(&self, pool: usize) -> Option<&'static str> {
        let spec = &self.scenario.balancer.pools[pool].strategy;
        let known = spec.entry().goes_by.contains(&GoesBy::Prices).then(|| spec.name());
        let formula = spec.formula().is_some_and(|formula| formula.contains("dollars"));
        let learns = self.scenario.balancer.routes.iter().find_map(|route| {
            let choose = route.choose.as_ref().filter(|choose| choose.learns())?;
            let word = if choose.asks_complexity() { "threshold" } else { "bandit" };
            route.to.contains(&PoolId(pool as u16)).then_some(word)
        });
        let rest = formula.then_some("score").or(learns);
        known.or(rest)
    }

    /// What has no price is free, and a strategy by cost sends everything there.
    pub(super) fn prices(&mut self) {
        let scenario = self.scenario;
        let mut told = Vec::new();
        for (index, node) in scenario.balancer.nodes.iter().enumerate() {
            let Some(strategy) = self.goes_by_cost(node.pool.index()) else { continue };
            let id = NodeId(index as u32);
            let priced = node.prices != crate::balance::Prices::default()
                || node.hourly > 0
                || self.places.node_says(scenario, id, "price")
                || self.places.node_says(scenario, id, "hourly_price");
            let place = self.places.name_of_node(scenario, id);
            if priced || told.contains(&place) {
                continue;
            }
            told.push(place.clone());
            self.warn(
                UNPRICED,
                place,
                format!("`{strategy}` goes by cost, and `{}` has no price: it is free", node.name),
                "write `price = { input = 2.50, output = 10.00 }`, or `price = { input = 0, output = 0 \
                 }` if it is free",
            );
            if let Some(problem) = self.found.last_mut() {
                problem.level = ProblemLevel::Error;
            }
        }
    }

    /// A budget must be above what the cheapest nodes would cost.
    pub(super) fn budgets(&mut self) {
        let scenario = self.scenario;
        let Some(demand) = demand(scenario) else { return };
        for (index, pool) in scenario.balancer.pools.iter().enumerate() {
            if pool.strategy.name() != "budget_paced" {
                continue;
            }
            let id = PoolId(index as u16);
            let budget = setting(pool, "dollars_per_hour");
            let spent = demand.iter().enumerate().filter_map(|(class, rate)| {
                let only = pools_of(scenario, ClassId(class as u16)).len() == 1;
                Some(rate * 3_600.0 * least_cost(scenario, class, id)?).filter(|_| only)
            });
            let spent: f64 = spent.sum();
            if spent > budget {
                let place = self.places.pool(id, "strategy");
                self.warn(
                    BUDGET_TOO_SMALL,
                    place,
                    format!(
                        "a budget of ${budget} an hour cannot be kept: on the cheapest nodes what \
                         arrives costs ${spent:.2}"
                    ),
                    format!("write `dollars_per_hour = {}`, or let less arrive", spent.ceil()),
                );
            }
        }
        self.tenants(&demand);
    }

    /// A strategy must have what it goes by.
    pub(super) fn signals(&mut self) {
        let scenario = self.scenario;
        for (index, pool) in scenario.balancer.pools.iter().enumerate() {
            let id = PoolId(index as u16);
            let Some((missing, help)) = missing(scenario, id, pool) else { continue };
            let place = self.places.pool(id, "strategy");
            let name = pool.strategy.name();
            self.warn(SIGNAL_MISSING, place, format!("`{name}` {missing}"), help);
        }
    }
}

fn setting(pool: &PoolSpec, name: &str) -> f64 {
    let found = pool.strategy.settings().find(|(setting, _)| setting.name == name);
    found.map_or(f64::INFINITY, |(_, value)| value as f64 / 1e6)
}

/// Whether requests come with sessions or with hashes of their prompts, as far as the scenario says.
fn has_sessions(scenario: &Scenario) -> bool {
    scenario.sessions.is_some()
        || scenario.starts_jobs()
        || match &scenario.arrivals {
            Arrivals::Made(_) | Arrivals::Users(_) => false,
            Arrivals::Recorded { .. } | Arrivals::ServeGen { .. } => true,
            Arrivals::Trace { format, .. } => {
                !matches!(format, TraceFormat::Azure | TraceFormat::BurstGpt | TraceFormat::Vidur)
            }
        }
}

/// What a pool's strategy goes by and does not have, and what to do.
fn missing(
    scenario: &Scenario,
    id: PoolId,
    pool: &PoolSpec,
) -> Option<(&'static str, &'static str)> {
    let nodes = || {
        let all = scenario.balancer.nodes.iter().zip(&scenario.backends).zip(&scenario.live);
        all.filter(|((node, _), _)| node.pool == id)
            .map(|((node, backend), live)| (node, backend, live))
    };
    // An engine that runs elsewhere reports for itself.
    let engine = nodes().any(|(_, backend, live)| {
        matches!(backend, BackendSpec::Engine(_)) || live.dialect.is_some()
    });
    let goes_by = pool.strategy.entry().goes_by;
    if nodes().count() < 2 {
        return None;
    }
    if goes_by == [GoesBy::KvCache] && !engine {
        return Some((
            "goes by the KV cache of engines, and none of its nodes has one: it is a random draw",
            "write `strategy = \"least_tokens\"`",
        ));
    }
    if goes_by.contains(&GoesBy::Prefixes) {
        let keeps =
            nodes().any(|(_, backend, live)| backend.keeps_prefixes() || live.dialect.is_some());
        if !keeps {
            return Some((
                "goes by what prefix caches hold, and none of its nodes keeps one",
                "write `prefix_cache = true` for engines, or `strategy = \"least_tokens\"`",
            ));
        }
        if !has_sessions(scenario) {
            return Some((
                "goes by prompts that begin alike, and none of the workload's do",
                "write `sessions` in `[workload]`, or `strategy = \"least_tokens\"`",
            ));
        }
    }
    if goes_by.contains(&GoesBy::Sessions) && !has_sessions(scenario) {
        return Some((
            "goes by sessions, and the workload has none",
            "write `sessions` in `[workload]`, or `strategy = \"least_connections\"`",
        ));
    }
    let mut weights = nodes().map(|(node, ..)| node.weight);
    if goes_by.contains(&GoesBy::Weights) && weights.all(|weight| weight == 1) {
        return Some((
            "goes by weights, and none of its nodes has one: all count alike",
            "write `weight` for each node, such as what it takes at a time",
        ));
    }
    None
}

//! Advice about load: what arrives against what nodes can serve, from the scenario's own rates and
//! service figures. Where something is not known, nothing is said.

use std::collections::BTreeSet;

use super::{Advisor, LOAD_ABOVE_CAPACITY, STATIC_ROUTING, Scenario};
use crate::balance::{GoesBy, Match, RouteSpec, Tier};
use crate::node::MeanWork;
use crate::scenario::Arrivals;
use crate::unit::{ClassId, NodeId, PoolId, Span, TenantId};

/// Nodes that differ by no more than this factor are alike.
const ALIKE: f64 = 1.3;

/// Requests a second by class; `None` where nobody can tell.
pub(super) fn demand(scenario: &Scenario) -> Option<Vec<f64>> {
    let Arrivals::Made(process) = &scenario.arrivals else { return None };
    let rate = process.mean_rate(scenario.duration.map(Span::seconds));
    let mut demand = vec![0.0; scenario.classes.len()];
    if scenario.starts_jobs() {
        let all: f64 = scenario.workflows.iter().map(|flow| flow.share).sum();
        for flow in &scenario.workflows {
            for (class, requests) in flow.requests() {
                demand[class.index()] += rate * flow.share / all * requests;
            }
        }
    } else {
        let all: f64 = scenario.classes.iter().map(|class| class.share).sum();
        let turns = scenario.sessions.as_ref().map_or(1.0, |sessions| sessions.turns.mean());
        for (slot, class) in demand.iter_mut().zip(&scenario.classes) {
            *slot = rate * turns * class.share / all;
        }
    }
    demand.iter().all(|rate| rate.is_finite()).then_some(demand)
}

/// The routes that requests of a class may take: those of one tenant, or of any.
pub(super) fn routes_of(
    scenario: &Scenario,
    class: ClassId,
    tenant: Option<TenantId>,
) -> Vec<&RouteSpec> {
    let mut routes = Vec::new();
    let spec = &scenario.classes[class.index()];
    let priority = spec.priority;
    // Those that name a model have routes of their own, where there are several models.
    let leads = |model| scenario.balancer.routes.iter().any(|route| route.leads_to(class, model));
    let named = spec.model.filter(|model| leads(*model));
    for route in &scenario.balancer.routes {
        let when = &route.when;
        let may = (when.classes.is_empty() || when.classes.contains(&class))
            && when.priority.is_none_or(|wanted| wanted == priority)
            && when.model == named
            && tenant.is_none_or(|one| when.tenants.is_empty() || when.tenants.contains(&one));
        if !may {
            continue;
        }
        routes.push(route);
        // What has no other condition takes all of them.
        let tenants = if tenant.is_some() { Vec::new() } else { when.tenants.clone() };
        let rest =
            Match { classes: Vec::new(), priority: None, tenants, model: None, ..when.clone() };
        if rest.is_total() {
            break;
        }
    }
    routes
}

/// The pools that requests of a class may be served by.
pub(super) fn pools_of(scenario: &Scenario, class: ClassId) -> BTreeSet<PoolId> {
    let routes = routes_of(scenario, class, None).into_iter();
    routes
        .flat_map(|route| {
            route.to.iter().chain(route.degrade.iter().flat_map(|degrade| &degrade.to))
        })
        .copied()
        .collect()
}

/// What requests of a class are like in the mean.
pub(super) fn work(scenario: &Scenario, class: usize) -> MeanWork {
    let spec = &scenario.classes[class];
    // What a cache has of a conversation is not computed again.
    let fresh = if scenario.sessions.is_some() { 0.0 } else { spec.prompt.mean() };
    MeanWork { prompt: spec.prompt.mean(), fresh, output: spec.output.mean().max(1.0) }
}

/// Requests of this mix (parts by class) that a node can serve a second; infinite if nothing bounds it.
fn rate(scenario: &Scenario, node: NodeId, mix: &[(usize, f64)]) -> Option<f64> {
    let spec = &scenario.balancer.nodes[node.index()];
    let live = scenario.live.get(node.index()).is_some_and(|live| live.url.is_some());
    let backend = scenario.backends.get(node.index())?;
    if live && !scenario.not_simulable.is_empty() {
        // A stand-in says nothing of the node itself.
        return None;
    }
    let batch = scenario.balancer.pools[spec.pool.index()].batch.map_or(1, |batch| batch.size);
    let all: f64 = mix.iter().map(|(_, part)| part).sum();
    let seconds: f64 = mix
        .iter()
        .map(|(class, part)| {
            let rate = backend.rate(work(scenario, *class), spec.limits, batch);
            part / all / rate
        })
        .sum();
    (seconds.is_finite() && all > 0.0).then(|| 1.0 / seconds)
}

impl Advisor<'_> {
    /// No more may arrive than can be served.
    pub(super) fn load(&mut self) {
        let scenario = self.scenario;
        let Some(demand) = demand(scenario) else { return };
        let reach: Vec<BTreeSet<PoolId>> =
            (0..demand.len()).map(|class| pools_of(scenario, ClassId(class as u16))).collect();
        let mut told = BTreeSet::new();
        for pools in &reach {
            if pools.is_empty() || !told.insert(pools) {
                continue;
            }
            let classes = reach.iter().enumerate().filter(|(_, other)| other.is_subset(pools));
            let mix: Vec<(usize, f64)> = classes.map(|(class, _)| (class, demand[class])).collect();
            let offered: f64 = mix.iter().map(|(_, rate)| rate).sum();
            let nodes = scenario.balancer.nodes.iter().enumerate();
            let nodes = nodes.filter(|(_, node)| pools.contains(&node.pool));
            let served = nodes.map(|(index, _)| rate(scenario, NodeId(index as u32), &mix));
            let Some(served) = served.sum::<Option<f64>>() else { continue };
            if offered <= served {
                continue;
            }
            let names: Vec<&str> = pools
                .iter()
                .map(|pool| scenario.balancer.pools[pool.index()].name.as_str())
                .collect();
            let place = self.places.at(&["workload", "arrivals"]);
            let nodes = (offered / served).ceil();
            self.warn(
                LOAD_ABOVE_CAPACITY,
                place,
                format!(
                    "{offered:.1} requests/s arrive in the mean, and all nodes of {} together serve \
                     about {served:.1}/s",
                    super::listed(names)
                ),
                format!("let fewer arrive, or write `count` for {nodes} times as many nodes"),
            );
            return;
        }
    }

    /// Unlike nodes must not be given alike.
    pub(super) fn static_routing(&mut self) {
        let scenario = self.scenario;
        let config = &scenario.balancer;
        let usual = vec![1.0; scenario.classes.len()];
        let demand = demand(scenario).unwrap_or(usual);
        for (index, pool) in config.pools.iter().enumerate() {
            let name = pool.strategy.name();
            // Others see what is going on; a formula goes by what it names.
            let goes_by = pool.strategy.entry().goes_by;
            let weighted = goes_by == [GoesBy::Weights];
            if !(weighted || goes_by.is_empty()) || pool.strategy.formula().is_some() {
                continue;
            }
            let id = PoolId(index as u16);
            let mix: Vec<(usize, f64)> = (0..demand.len())
                .filter(|class| pools_of(scenario, ClassId(*class as u16)).contains(&id))
                .map(|class| (class, demand[class]))
                .collect();
            for tier in Tier::ALL {
                let nodes = config.nodes.iter().enumerate();
                let nodes = nodes.filter(|(_, node)| node.pool == id && node.tier == tier);
                let rates: Vec<(f64, NodeId)> = nodes
                    .filter_map(|(at, node)| {
                        let node_id = NodeId(at as u32);
                        let rate = rate(scenario, node_id, &mix)?;
                        let weight = if weighted { f64::from(node.weight) } else { 1.0 };
                        Some((rate / weight, node_id))
                    })
                    .collect();
                let least = rates.iter().min_by(|a, b| a.0.total_cmp(&b.0));
                let most = rates.iter().max_by(|a, b| a.0.total_cmp(&b.0));
                let Some((slow, fast)) = least.copied().zip(most.copied()) else { continue };
                if fast.0 <= slow.0 * ALIKE {
                    continue;
                }
                let [slow_name, fast_name] =
                    [slow.1, fast.1].map(|node| config.nodes[node.index()].name.as_str());
                let share = if weighted { "by weight the same" } else { "the same" };
                let place = self.places.pool(id, "strategy");
                self.warn(
                    STATIC_ROUTING,
                    place,
                    format!(
                        "`{name}` gives every node {share}, and `{fast_name}` can do {:.1} times what \
                         `{slow_name}` can",
                        fast.0 / slow.0
                    ),
                    "write `strategy = \"peak_ewma\"`, which learns how fast nodes are, or \
                     `strategy = \"least_connections\"`",
                );
                break;
            }
        }
    }
}

//! What runs in simulations only: refused with real nodes, and told of beforehand where nodes have
//! addresses.

use super::places::Places;
use super::{Advisor, SIMULATED_ONLY};
use crate::balance::{ModelRule, RouteSpec};
use crate::scenario::problem::{Place, Problem};
use crate::scenario::{Problems, Scenario};
use crate::unit::{NodeId, PoolId};

/// Something that no real node can be asked for.
struct Unreal {
    place: Place,
    message: String,
    help: String,
}

impl Scenario {
    /// Checks that real nodes can run it: that nothing in it asks for what only a simulation knows.
    ///
    /// # Errors
    /// One problem for each pool and each route that does.
    pub fn check_live(&self) -> Result<(), Problems> {
        let places = Places::of(&self.source);
        let found = truths(self, &places).chain(grades(self, &places));
        let problems: Vec<Problem> = found
            .map(|Unreal { place, message, help }| {
                let mut problem = Problem::new(place, message);
                problem.help(help);
                problem
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(self.problems(problems)) }
    }
}

/// Pools whose strategy knows the truth.
fn truths<'a>(scenario: &'a Scenario, places: &'a Places) -> impl Iterator<Item = Unreal> + 'a {
    let pools = scenario.balancer.pools.iter().enumerate();
    pools.filter(|(_, pool)| pool.strategy.entry().is_bound()).map(|(index, pool)| {
        let strategy = pool.strategy.name();
        Unreal {
            place: places.pool(PoolId(index as u16), "strategy"),
            message: format!(
                "pool `{}` chooses by `{strategy}`, which reads the truth: real nodes have none to read",
                pool.name
            ),
            help: format!(
                "`{strategy}` is a bound for run, play and compare; choose another, also with \
                 --strategy NAME"
            ),
        }
    })
}

/// Routes that choose by how good answers are: nobody says so outside a simulation.
fn grades<'a>(scenario: &'a Scenario, places: &'a Places) -> impl Iterator<Item = Unreal> + 'a {
    let word = |route: &RouteSpec| match route.choose.as_ref()? {
        ModelRule::Complexity { .. } => None,
        ModelRule::Threshold { .. } => Some("threshold"),
        ModelRule::Cascade { .. } => Some("cascade"),
        ModelRule::Bandit { .. } => Some("bandit"),
    };
    let routes = scenario.written_routes();
    routes.filter_map(move |(index, route)| Some((index, word(route)?))).map(|(index, word)| {
        Unreal {
        place: places.route(index, "choose").unwrap_or_default(),
        message: format!(
            "a route chooses by `{word}`: with real nodes nobody says how good answers are"
        ),
        help: "`complexity` and plain order work with real nodes; the others are for run, play and \
               compare"
            .to_owned(),
    }
    })
}

impl Advisor<'_> {
    /// Where nodes have addresses, somebody means to serve with them.
    pub(super) fn real_nodes(&mut self) {
        let scenario = self.scenario;
        let addressed = |node: NodeId| scenario.live[node.index()].url.is_some();
        let mut nodes = (0..scenario.live.len()).map(|index| NodeId(index as u32));
        if !nodes.clone().any(addressed) {
            return;
        }
        let mut found: Vec<Unreal> = truths(scenario, &self.places).collect();
        found.extend(grades(scenario, &self.places));
        if let Some(node) = nodes.find(|node| !addressed(*node)) {
            found.push(Unreal {
                place: self.places.name_of_node(scenario, node),
                message: format!(
                    "`{}` has no `url`, and others have one",
                    scenario.balancer.nodes[node.index()].name
                ),
                help: "write `url = \"https://.../v1\"` for each, or for none".to_owned(),
            });
        }
        for Unreal { place, message, help } in found {
            let message = format!("`serve` and `replay` refuse this: {message}");
            self.warn(SIMULATED_ONLY, place, message, help);
        }
        if scenario.instances.count > 1 {
            let place = self.places.at(&["balancer", "instances"]);
            self.warn(
                SIMULATED_ONLY,
                place,
                "`serve` and `replay` are one balancer: `instances` counts in simulations only",
                "leave `instances` out",
            );
        }
    }
}

//! Routes and regions of a scenario in words, for `plimsoll check`.

use std::fmt::Write as _;

use crate::balance::{Degrade, Match, ModelRule, Pressure, RouteSpec};
use crate::scenario::Scenario;
use crate::unit::{PoolId, Span};

/// At most so many routes are told in words.
const ROUTES_MAX: usize = 20;
/// At most so many names of a list.
const NAMES_MAX: usize = 5;

/// A line for each route: what it matches, where it goes.
pub(super) fn routes(scenario: &Scenario) -> String {
    let routes = &scenario.balancer.routes;
    let mut text = String::new();
    for (place, route) in routes.iter().take(ROUTES_MAX).enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "    {}. {}", place + 1, route_line(scenario, route));
    }
    if routes.len() > ROUTES_MAX {
        let _ = writeln!(text, "    and {} more", routes.len() - ROUTES_MAX);
    }
    text
}

/// Where the balancer is, and how far everything else; nothing without `[regions]`.
pub(super) fn regions(scenario: &Scenario) -> String {
    let Some(network) = &scenario.network else {
        return String::new();
    };
    let far = |(name, rtt): (&String, &Span)| format!("{name} {rtt}");
    let named = scenario.regions.iter().zip(&network.rtt).filter(|(name, _)| !name.is_empty());
    let list: Vec<String> = named.map(far).collect();
    let jitter = network.jitter * 100.0;
    format!("  RTT           {}; jitter {jitter}%\n", short(&list, ", "))
}

fn route_line(scenario: &Scenario, route: &RouteSpec) -> String {
    let mut text = format!("{}: ", conditions(scenario, &route.when));
    let split: Vec<String> = route
        .split
        .iter()
        .map(|(pool, share)| format!("{}% {}", share.value() * 100.0, name(scenario, *pool)))
        .collect();
    if split.is_empty() {
        text += &pools(scenario, &route.to);
    } else {
        let _ = write!(text, "first {}, sticky by session", short(&split, ", "));
        if route.to.len() > 1 {
            let _ = write!(text, "; then {}", pools(scenario, &route.to));
        }
    }
    if let Some(choose) = &route.choose {
        let _ = write!(text, "; {}", chooses(choose));
    }
    if let Some(degrade) = &route.degrade {
        let _ = write!(text, "; {}", degrades(scenario, degrade));
    }
    if let Some(cache) = &route.cache {
        let whose = if cache.shared { ", for all tenants" } else { "" };
        let _ = write!(text, "; keeps up to {} answers for {}{whose}", cache.entries, cache.ttl);
    }
    let tags = named(&scenario.tags, route.require);
    if !tags.is_empty() {
        let _ = write!(text, "; only nodes with {}", short(&tags, ", "));
    }
    text
}

fn chooses(choose: &ModelRule) -> String {
    match choose {
        ModelRule::Complexity { strong_share, window } => format!(
            "the hardest {}% of the last {window} go to the second first",
            strong_share.value() * 100.0
        ),
        ModelRule::Threshold { worth, memory, .. } => format!(
            "how many of the hardest go to the second first is learnt: a good answer is worth ${}, \
             {memory} judgements about each tenth are remembered",
            *worth as f64 / 1e6
        ),
        ModelRule::Cascade { accept } => {
            format!("the next one if an answer scores below {}", accept.value())
        }
        ModelRule::Bandit { worth, memory, .. } => format!(
            "a bandit chooses: a good answer is worth ${}, {memory} words are remembered",
            *worth as f64 / 1e6
        ),
    }
}

fn degrades(scenario: &Scenario, degrade: &Degrade) -> String {
    let to = pools(scenario, &degrade.to);
    let when = match degrade.when {
        Pressure::NoRoom => "when none of these is open".to_owned(),
        Pressure::Waiting(least) => format!("when none of these is open and {least} wait"),
        Pressure::InFlight(least) => {
            format!("from {least} in flight on, or when none of these is open")
        }
        Pressure::Utilisation(least) => {
            format!("from {}% in use on, or when none of these is open", least.value() * 100.0)
        }
    };
    format!("degrades to {to} {when}")
}

/// What a route matches.
pub(super) fn conditions(scenario: &Scenario, when: &Match) -> String {
    let mut list = Vec::new();
    if !when.classes.is_empty() {
        let classes = when.classes.iter().map(|class| scenario.classes[class.index()].name.clone());
        list.push(format!("class {}", short(&classes.collect::<Vec<_>>(), " or ")));
    }
    for any in &when.attributes {
        list.push(short(&named(&scenario.attributes, *any), " or "));
    }
    if !when.tenants.is_empty() {
        let tenants: Vec<String> = when.tenants.iter().map(|tenant| tenant.0.to_string()).collect();
        list.push(format!("tenant {}", short(&tenants, " or ")));
    }
    if let Some(priority) = when.priority {
        list.push(format!("priority {}", priority.name()));
    }
    match (when.prompt_min, when.prompt_max) {
        (Some(min), Some(max)) => list.push(format!("prompts of {} to {} tokens", min.0, max.0)),
        (Some(min), None) => list.push(format!("prompts of at least {} tokens", min.0)),
        (None, Some(max)) => list.push(format!("prompts of at most {} tokens", max.0)),
        (None, None) => {}
    }
    match when.session {
        Some(true) => list.push("in a session".to_owned()),
        Some(false) => list.push("in no session".to_owned()),
        None => {}
    }
    if !when.regions.is_empty() {
        let regions = when.regions.iter().map(|region| scenario.regions[region.index()].clone());
        list.push(format!("from {}", short(&regions.collect::<Vec<_>>(), " or ")));
    }
    if let Some(model) = when.model {
        let name = scenario.models.get(model.index()).map_or("", String::as_str);
        list.push(format!("those that name {name}"));
    }
    if list.is_empty() { "everything".to_owned() } else { list.join(", ") }
}

fn named(names: &[String], bits: u64) -> Vec<String> {
    let set = names.iter().take(64).enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    set.map(|(_, name)| name.clone()).collect()
}

fn name(scenario: &Scenario, pool: PoolId) -> &str {
    &scenario.balancer.pools[pool.index()].name
}

fn pools(scenario: &Scenario, pools: &[PoolId]) -> String {
    let names: Vec<String> = pools.iter().map(|pool| name(scenario, *pool).to_owned()).collect();
    short(&names, ", then ")
}

/// A list of names, cut where it is long.
fn short(names: &[String], between: &str) -> String {
    let mut text = names[..names.len().min(NAMES_MAX)].join(between);
    if names.len() > NAMES_MAX {
        let _ = write!(text, " and {} more", names.len() - NAMES_MAX);
    }
    text
}

//! Advice: what a scenario may say, and what those who run such fleets would not let pass. Each piece
//! has a name, the place it is about, and the line that mends it.
//!
//! What is advised is found out from the checked scenario; where it stands is looked up in the text. A
//! scenario that means what it says lists the name in `[check] allow`.

mod caches;
mod expectations;
mod fleet;
mod live;
mod load;
mod places;
mod strategies;
mod tenants;

use super::keys::{KeyKind, SectionDef, Usual, key, names, section};
use super::problem::{Place, Problem, ProblemLevel};
use super::table::Table;
use super::value::{Field, Walk};
use super::{Problems, Scenario};
use places::Places;

/// Names of advice, and what each is about.
pub const ADVICE: [(&str, &str); 15] = [
    (NO_HEALTH_CHECKS, "nodes are not probed: one that died is found by requests that fail"),
    (STATIC_ROUTING, "unlike nodes are given alike"),
    (LOAD_ABOVE_CAPACITY, "more arrives than all nodes together can serve"),
    (NO_LIMITS, "nothing bounds how much a node is given at a time"),
    (NO_LOWER_TIER, "nothing takes over when a whole tier is down"),
    (RETRIES_MULTIPLY, "under failures retries multiply the load"),
    (BUDGET_TOO_SMALL, "a budget that is below what the cheapest nodes would cost"),
    (SIGNAL_MISSING, "a strategy goes by something that its nodes or the workload do not have"),
    (NOTHING_REPEATS, "a route keeps answers, and nothing that goes this way is asked again"),
    (NO_EFFECT, "a key that nothing reads with this workload"),
    (SIMULATED_ONLY, "nodes have addresses, and what is asked for runs in simulations only"),
    (CANNOT_FAIL, "an expectation that holds whatever happens, or has no value"),
    (NO_EXPECTATIONS, "nothing is expected, so no run can fail"),
    (UNPRICED, "a strategy goes by cost, and a node has no price: an error"),
    (UNNEEDED_ALLOW, "`[check] allow` names what would not be warned of"),
];

const NO_HEALTH_CHECKS: &str = "no_health_checks";
const STATIC_ROUTING: &str = "static_routing";
const LOAD_ABOVE_CAPACITY: &str = "load_above_capacity";
const NO_LIMITS: &str = "no_limits";
const NO_LOWER_TIER: &str = "no_lower_tier";
const RETRIES_MULTIPLY: &str = "retries_multiply";
const BUDGET_TOO_SMALL: &str = "budget_too_small";
const SIGNAL_MISSING: &str = "signal_missing";
const NOTHING_REPEATS: &str = "nothing_repeats";
const NO_EFFECT: &str = "no_effect";
const SIMULATED_ONLY: &str = "simulated_only";
const CANNOT_FAIL: &str = "cannot_fail";
const NO_EXPECTATIONS: &str = "no_expectations";
const UNPRICED: &str = "unpriced";
const UNNEEDED_ALLOW: &str = "unneeded_allow";

/// `[check]`.
pub(super) static CHECK: SectionDef = SectionDef {
    keys: &[key(
        "allow",
        KeyKind::List(&KeyKind::Word(&names(&ADVICE)), 0, ADVICE.len()),
        Usual::Unsaid("every piece of advice is given"),
        "advice of `plimsoll check` that this scenario does not take, by name: `plimsoll list advice`",
    )],
    ..section("check", "`[check]`")
};

/// Advice that a scenario does not take.
pub(super) fn allowed(walk: &mut Walk, field: Option<Field<'_>>) -> Vec<&'static str> {
    let Some(mut table) = field.and_then(|field| walk.table(field)) else {
        return Vec::new();
    };
    let allowed = read_allow(walk, &mut table);
    table.finish(walk);
    allowed
}

fn read_allow(walk: &mut Walk, table: &mut Table<'_>) -> Vec<&'static str> {
    let Some(field) = table.take("allow") else { return Vec::new() };
    let items = walk.list(field);
    items.into_iter().filter_map(|item| walk.one_of(item, "piece of advice")).collect()
}

/// Gives advice about a scenario.
struct Advisor<'a> {
    scenario: &'a Scenario,
    places: Places,
    found: Vec<Problem>,
}

impl Advisor<'_> {
    /// Notes what is to be warned of.
    fn warn(
        &mut self,
        name: &'static str,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let mut problem = Problem::new(place, message);
        problem.help(help);
        problem.name = Some(name);
        problem.level = ProblemLevel::Warning;
        self.found.push(problem);
    }

    /// Leaves out what the scenario allows, and warns of what it allows for nothing.
    fn sift(&mut self) {
        let allowed = &self.scenario.allowed;
        let warned: Vec<_> = self.found.iter().filter_map(|problem| problem.name).collect();
        self.found.retain(|problem| {
            let error = problem.level == ProblemLevel::Error;
            error || problem.name.is_none_or(|name| !allowed.contains(&name))
        });
        let place = self.places.at(&["check", "allow"]);
        for name in allowed.iter().filter(|name| !warned.contains(name)) {
            self.warn(
                UNNEEDED_ALLOW,
                place.clone(),
                format!("`{name}` is allowed, and would not be warned of"),
                "leave it out of `allow`",
            );
        }
    }
}

impl Scenario {
    /// Returns what those who run such fleets would not let pass, in file order; as errors if
    /// `strict`. Nothing else of the scenario depends on it.
    #[must_use]
    pub fn advice(&self, strict: bool) -> Problems {
        let places = Places::of(&self.source);
        let mut advisor = Advisor { scenario: self, places, found: Vec::new() };
        advisor.health();
        advisor.static_routing();
        advisor.load();
        advisor.limits();
        advisor.tiers();
        advisor.retries();
        advisor.budgets();
        advisor.prices();
        advisor.signals();
        advisor.caches();
        advisor.repeats();
        advisor.real_nodes();
        advisor.expectations();
        advisor.sift();
        for problem in &mut advisor.found {
            if strict {
                problem.level = ProblemLevel::Error;
            }
        }
        self.problems(advisor.found)
    }
}

/// Names as people list them: `a`, `b` and 3 more.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 4;
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        rest => format!("{shown} and {rest} more"),
    }
}

#[cfg(test)]
mod tests;

//! Advice about budgets of tenants: what a day's requests would cost, and what may be spent.

use std::collections::{BTreeMap, BTreeSet};

use super::load::routes_of;
use super::strategies::cost_on;
use super::{Advisor, BUDGET_TOO_SMALL, Scenario};
use crate::balance::OverBudget;
use crate::scenario::problem::Place;
use crate::unit::{ClassId, TenantId};

/// So many tenants that run short are named at one place, and so many places are told of.
const NAMED_MAX: usize = 8;

const SECONDS_OF_DAY: f64 = 86_400.0;

/// What a tenant's requests cost, and whether some of them may go to cheaper pools.
#[derive(Clone, Copy, Default)]
struct Spending {
    dollars_per_day: f64,
    cheaper: bool,
}

/// Tenants with one budget, which does not last.
struct ShortBudget {
    place: Place,
    dollars: f64,
    degrades: bool,
    /// Each with what its requests cost in a day.
    tenants: Vec<(TenantId, f64)>,
}

impl Advisor<'_> {
    /// A tenant's budget must last for the day.
    pub(super) fn tenants(&mut self, demand: &[f64]) {
        let limited = &self.scenario.balancer.admission.tenants;
        if limited.all().all(|tenant| tenant.budget.is_none()) {
            return;
        }
        let short = self.short_budgets(demand);
        let (told, rest) = short.split_at(short.len().min(NAMED_MAX));
        for one in told {
            self.short_budget(one);
        }
        if let Some(first) = rest.first() {
            let more: usize = rest.iter().map(|one| one.tenants.len()).sum();
            self.warn(
                BUDGET_TOO_SMALL,
                first.place.clone(),
                format!("and {more} more tenants would run short of their own budgets"),
                "let the budgets be larger, or let less arrive",
            );
        }
    }

    /// The budgets that do not last, by the place where each is written.
    fn short_budgets(&self, demand: &[f64]) -> Vec<ShortBudget> {
        let scenario = self.scenario;
        let own = self.places.tenant_budgets();
        let usual = self.places.at(&["balancer", "tenants", "budget_per_day"]);
        let mut short: Vec<ShortBudget> = Vec::new();
        let mut known = BTreeMap::new();
        for (tenant, spending) in spending(scenario, demand) {
            let limits = scenario.balancer.admission.tenants.of(tenant);
            let Some(budget) = limits.budget else { continue };
            let dollars = budget as f64 / 1e6;
            if spending.dollars_per_day <= dollars {
                continue;
            }
            let degrades = limits.over_budget == OverBudget::Degrade && spending.cheaper;
            let place = own.get(&tenant).unwrap_or(&usual);
            let span = if let Place::Span(span) = place { span.start } else { 0 };
            let at = *known.entry((span, budget, degrades)).or_insert_with(|| {
                let place = place.clone();
                short.push(ShortBudget { place, dollars, degrades, tenants: Vec::new() });
                short.len() - 1
            });
            short[at].tenants.push((tenant, spending.dollars_per_day));
        }
        short
    }

    fn short_budget(&mut self, short: &ShortBudget) {
        let gone = |spent: f64| span_words(short.dollars / spent * SECONDS_OF_DAY);
        let budget = short.dollars;
        let message = match short.tenants[..] {
            [(tenant, spent)] => format!(
                "tenant {} would spend ${spent:.2} a day on the cheapest nodes of its routes: its \
                 budget of ${budget} is gone after {}",
                self.tenant_name(tenant),
                gone(spent)
            ),
            ref tenants => {
                let shown = tenants.iter().take(NAMED_MAX).map(|(tenant, spent)| {
                    let name = self.tenant_name(*tenant);
                    format!("{name} after {} (${spent:.2} a day)", gone(*spent))
                });
                let shown = shown.collect::<Vec<_>>().join(", ");
                let more = match tenants.len().saturating_sub(NAMED_MAX) {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                format!(
                    "a budget of ${budget} a day is too small for {} tenants, even on the cheapest \
                     nodes of their routes. It is gone for tenant {shown}{more}",
                    tenants.len()
                )
            }
        };
        let then = if short.degrades {
            "let the budget be larger, or expect requests to go to cheaper pools from then on"
        } else {
            "let the budget be larger, or expect requests to be turned away from then on"
        };
        self.warn(BUDGET_TOO_SMALL, short.place.clone(), message, then);
    }

    /// What people call a tenant: by its name, and by its number where others have the same.
    fn tenant_name(&self, tenant: TenantId) -> String {
        let names = &self.scenario.labels.tenants;
        let Some(name) = names.get(&tenant) else { return tenant.0.to_string() };
        match names.values().filter(|other| *other == name).nth(1) {
            Some(_) => format!("`{name}` ({})", tenant.0),
            None => format!("`{name}`"),
        }
    }
}

/// What each tenant's requests cost on the cheapest nodes that their routes lead to. What a route
/// degrades to is left out: that is where they go once the budget is spent.
fn spending(scenario: &Scenario, demand: &[f64]) -> BTreeMap<TenantId, Spending> {
    let routes = scenario.balancer.routes.iter();
    let routed: BTreeSet<TenantId> =
        routes.flat_map(|route| &route.when.tenants).copied().collect();
    let mut all: BTreeMap<TenantId, Spending> = BTreeMap::new();
    for (class, rate) in demand.iter().enumerate() {
        // Whom no route names goes where all others go whom none names.
        let mut known = BTreeMap::new();
        for (tenant, share) in scenario.classes[class].tenants.shares() {
            let key = routed.contains(&tenant).then_some(tenant);
            let (cost, cheaper) =
                *known.entry(key).or_insert_with(|| least_cost(scenario, class, tenant));
            let spending = all.entry(tenant).or_default();
            spending.dollars_per_day += rate * share * cost * SECONDS_OF_DAY;
            spending.cheaper |= cheaper && *rate > 0.0;
        }
    }
    all
}

/// What a request of a tenant costs on the cheapest node, and whether its routes have cheaper pools.
fn least_cost(scenario: &Scenario, class: usize, tenant: TenantId) -> (f64, bool) {
    let mut least = f64::INFINITY;
    let mut cheaper = false;
    for route in routes_of(scenario, ClassId(class as u16), Some(tenant)) {
        cheaper |= route.degrade.is_some();
        let nodes = scenario.balancer.nodes.iter();
        let nodes = nodes.filter(|node| {
            route.to.contains(&node.pool)
                && node.tags & route.require == route.require
                && route.when.model.is_none_or(|model| model == node.model)
        });
        least = nodes.map(|node| cost_on(scenario, class, node)).fold(least, f64::min);
    }
    // What goes nowhere costs nothing.
    (if least.is_finite() { least } else { 0.0 }, cheaper)
}

/// A time as people say it: `40 s`, `3 min`, `2.4 h`.
fn span_words(seconds: f64) -> String {
    if seconds < 1.0 {
        "less than 1 s".to_owned()
    } else if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else if seconds < 5_400.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

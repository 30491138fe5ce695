//! Who may come in and who is served first: the order of `queue`, `tenants`, `[[tenant]]`.

use super::pool::{self, PRICE_MAX};
use super::problem::Place;
use super::value::{Field, Table, Walk};
use crate::balance::{
    Admission, Limits, MIN_SHARE_MAX, Order, Priority, TenantLimits, Tenants, Waiting,
};
use crate::unit::{Ratio, Span, TenantId};

/// The share of the served that a priority is owed, if nothing is said.
pub const MIN_SHARE_DEFAULT: f64 = 0.05;

/// Tokens a second that waiting is worth under `shortest`, if nothing is said.
pub const AGEING_DEFAULT: u32 = 100;

/// Ageing goes so far.
pub const AGEING_MAX: u64 = 1_000_000;

/// Under `adaptive_lifo` the order turns round after somebody has waited for so long, if nothing is
/// said.
pub const LIFO_AFTER_DEFAULT: Span = Span::from_secs(1);

/// A scenario names at most so many tenants.
pub(super) const TENANTS_MAX: usize = 10_000;

/// Weights of tenants go so far.
pub const TENANT_WEIGHT_MAX: u64 = 1_000_000;

const ORDERS: &[&str] = &["fifo", "edf", "shortest", "adaptive_lifo"];

/// What `queue` says beside its size.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) waiting: Waiting,
    /// Whether it says something of bands.
    pub(super) bands: bool,
}

/// Reads `order`, `bands`, `fair` and `early_rejection`.
pub(super) fn waiting(walk: &mut Walk, table: &mut Table<'_>) -> Said {
    let order = table.take("order").and_then(|field| order(walk, field)).unwrap_or_default();
    let bands_field = table.take("bands");
    let bands = bands_field.and_then(|field| bands(walk, field));
    let fair = table.take("fair").and_then(|field| fair(walk, field)).unwrap_or_default();
    let early = table.take("early_rejection").and_then(|field| walk.truth(field));
    let early_rejection = early.unwrap_or_default();
    let waiting = Waiting { order, bands, fair, early_rejection };
    Said { waiting, bands: bands_field.is_some() }
}

/// `"tokens"`, or `"none"`.
fn fair(walk: &mut Walk, field: Field<'_>) -> Option<bool> {
    let text = walk.text(field)?;
    let known = walk.known(field.place(), "measure of fairness", text, &["tokens", "none"], &[]);
    known.map(|word| word == "tokens")
}

/// `"edf"`, or with a setting `{ shortest = { ageing = 50 } }`.
fn order(walk: &mut Walk, field: Field<'_>) -> Option<Order> {
    let usual = |name: &str| match name {
        "edf" => Order::Edf,
        "shortest" => Order::Shortest { ageing: AGEING_DEFAULT },
        "adaptive_lifo" => Order::AdaptiveLifo { after: LIFO_AFTER_DEFAULT },
        _ => Order::Fifo,
    };
    if !field.is_table() {
        let text = walk.text(field)?;
        return walk.known(field.place(), "queue order", text, ORDERS, &[]).map(usual);
    }
    let (name, inner) = walk.variant(field, "queue order", ORDERS, &[])?;
    let mut table = walk.table(inner, &format!("`{name}`"))?;
    let order = match usual(name) {
        Order::Shortest { ageing } => {
            let said = table.take("ageing").map(|field| walk.count(field, 0..=AGEING_MAX));
            Order::Shortest { ageing: said.map_or(Some(ageing), |s| s.map(|s| s as u32))? }
        }
        Order::AdaptiveLifo { after } => {
            let said = table.take("after").map(|field| walk.span(field, Span::ZERO..=Span::MAX));
            Order::AdaptiveLifo { after: said.unwrap_or(Some(after))? }
        }
        other => other,
    };
    table.finish(walk, &[]);
    Some(order)
}

/// `{ min_share = 0.05 }`, or `"none"`.
fn bands(walk: &mut Walk, field: Field<'_>) -> Option<Ratio> {
    if field.is_word("none") {
        return None;
    }
    let mut table = walk.table(field, "`bands`")?;
    let share = table.take("min_share");
    let share =
        share.map_or(Some(MIN_SHARE_DEFAULT), |field| walk.upto(field, MIN_SHARE_MAX.value()));
    table.finish(walk, &[]);
    share.map(Ratio::from_f64)
}

/// Priorities that differ are meant to matter.
pub(super) fn default_bands(said: &mut Said, priorities: impl Iterator<Item = Priority>) {
    let mut priorities = priorities;
    let first = priorities.next();
    if !said.bands && priorities.any(|other| Some(other) != first) {
        said.waiting.bands = Some(Ratio::from_f64(MIN_SHARE_DEFAULT));
    }
}

/// `tenants = { concurrency = 8, tokens_per_minute = 100_000, budget_per_day = 5.0 }`: each.
pub(super) fn each(walk: &mut Walk, field: Field<'_>) -> Option<TenantLimits> {
    let mut table = walk.table(field, "`tenants`")?;
    let each = limits(walk, &mut table, TenantLimits::default());
    table.finish(walk, &[]);
    Some(each)
}

fn limits(walk: &mut Walk, table: &mut Table<'_>, usual: TenantLimits) -> TenantLimits {
    let Limits { concurrency, requests_per_minute, tokens_per_minute } =
        pool::limits_in(walk, table);
    let budget = table.take("budget_per_day").and_then(|field| walk.above_zero(field, PRICE_MAX));
    // A micro-dollar is the least.
    let budget = budget.map(|dollars| ((dollars * 1e6).round() as u64).max(1));
    TenantLimits {
        weight: usual.weight,
        limits: Limits {
            concurrency: concurrency.or(usual.limits.concurrency),
            requests_per_minute: requests_per_minute.or(usual.limits.requests_per_minute),
            tokens_per_minute: tokens_per_minute.or(usual.limits.tokens_per_minute),
        },
        budget: budget.or(usual.budget),
    }
}

/// The `[[tenant]]` tables: what these tenants may take that others may not.
pub(super) fn named(walk: &mut Walk, field: Option<Field<'_>>, each: TenantLimits) -> Tenants {
    let mut named: Vec<(TenantId, TenantLimits)> = Vec::new();
    for mut table in walk.tables(field, "tenant", TENANTS_MAX) {
        let numbers = table.need(walk, "tenant");
        let numbers = numbers.map(|field| walk.one_or_more(field, TENANTS_MAX)).unwrap_or_default();
        let weight =
            table.take("weight").and_then(|field| walk.count(field, 1..=TENANT_WEIGHT_MAX));
        let mut own = limits(walk, &mut table, each);
        own.weight = weight.map_or(own.weight, |weight| weight as u32);
        for field in numbers {
            let Some(number) = walk.count(field, 0..=u64::from(u32::MAX)) else {
                continue;
            };
            let tenant = TenantId(number as u32);
            if named.iter().any(|(other, _)| *other == tenant) {
                twice(walk, field.place(), number);
            } else if named.len() < TENANTS_MAX {
                named.push((tenant, own));
            }
        }
        table.finish(walk, &[]);
    }
    named.sort_by_key(|(tenant, _)| *tenant);
    Tenants { each, named }
}

fn twice(walk: &mut Walk, place: &Place, number: u64) {
    walk.problem(place, format!("tenant {number} is named twice")).label("the second time");
}

/// Everything together.
pub(super) fn admission(said: &Said, tenants: Tenants, quotas: bool) -> Admission {
    Admission { waiting: said.waiting, tenants, quotas }
}

//! Who may come in and who is served first: the order of `queue`, `tenants`, `[[tenant]]`.

use std::collections::BTreeMap;

use super::keys::{
    KeyDef, KeyKind, NAME, SPAN, SectionDef, Usual, above_zero, key, need, one, section, upto,
};
use super::node::{self, PRICE_MAX};
use super::problem::Place;
use super::table::Table;
use super::value::{Field, Walk};
use crate::balance::{
    Admission, Limits, MIN_SHARE_MAX, Order, OverBudget, Priority, RouteSpec, TenantLimits,
    Tenants, Waiting,
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

/// Orders by name.
pub(super) const ORDER_WORDS: &[&str] = &["fifo", "edf", "shortest", "adaptive_lifo"];

/// Orders with settings.
pub(super) static ORDER: SectionDef = SectionDef {
    keys: &[
        one("fifo", KeyKind::Table(&FIFO), "first come, first served"),
        one("edf", KeyKind::Table(&EDF), "the earliest deadline first"),
        one(
            "shortest",
            KeyKind::Table(&SHORTEST),
            "the shortest first, who waits long counts as shorter",
        ),
        one(
            "adaptive_lifo",
            KeyKind::Table(&ADAPTIVE_LIFO),
            "first come, first served; last come while there is a backlog",
        ),
    ],
    ..section("order", "")
};

static FIFO: SectionDef = section("fifo", "");
static EDF: SectionDef = section("edf", "");

static SHORTEST: SectionDef = SectionDef {
    keys: &[key(
        "ageing",
        KeyKind::Whole(0, AGEING_MAX),
        Usual::Whole(AGEING_DEFAULT as u64),
        "tokens that a second of waiting is worth",
    )],
    ..section("shortest", "")
};

static ADAPTIVE_LIFO: SectionDef = SectionDef {
    keys: &[key(
        "after",
        SPAN,
        Usual::Span(LIFO_AFTER_DEFAULT),
        "there is a backlog once somebody has waited for so long",
    )],
    ..section("adaptive_lifo", "")
};

pub(super) static BANDS: SectionDef = SectionDef {
    keys: &[key(
        "min_share",
        upto(MIN_SHARE_MAX.value()),
        Usual::Number(MIN_SHARE_DEFAULT),
        "the share of the served that each priority is owed",
    )],
    ..section("bands", "")
};

/// What each tenant may take.
pub(super) static TENANTS: SectionDef = SectionDef {
    keys: &[
        node::CONCURRENCY,
        node::REQUESTS_PER_MINUTE,
        node::TOKENS_PER_MINUTE,
        BUDGET_PER_DAY,
        OVER_BUDGET,
    ],
    ..section("tenants", "")
};

/// What some tenants may take.
pub(super) static TENANT: SectionDef = SectionDef {
    keys: &[
        need(
            "tenant",
            KeyKind::OneOrMore(&TENANT_NUMBER, TENANTS_MAX),
            "the numbers of the tenants",
        ),
        one("name", NAME, "what reports call them"),
        key(
            "weight",
            KeyKind::Whole(1, TENANT_WEIGHT_MAX),
            Usual::Whole(1),
            "of what is shared fairly, so many times as much",
        ),
        node::CONCURRENCY,
        node::REQUESTS_PER_MINUTE,
        node::TOKENS_PER_MINUTE,
        BUDGET_PER_DAY,
        OVER_BUDGET,
    ],
    ..section("tenant", "`[[tenant]]`")
};

/// A tenant by its number.
pub(super) const TENANT_NUMBER: KeyKind = KeyKind::Whole(0, u32::MAX as u64);

const BUDGET_PER_DAY: KeyDef = key(
    "budget_per_day",
    above_zero(PRICE_MAX),
    Usual::Unsaid("no limit"),
    "dollars that may be spent in a day",
);

const OVER_BUDGET: KeyDef = key(
    "over_budget",
    KeyKind::Word(&["refuse", "degrade"]),
    Usual::Word("refuse"),
    "what becomes of requests when that is spent: turned away, or served by what their route degrades to",
);

const OVER_WORDS: [(&str, OverBudget); 2] =
    [("refuse", OverBudget::Refuse), ("degrade", OverBudget::Degrade)];

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
    let early_rejection = table.truth(walk, "early_rejection").unwrap_or_default();
    let waiting = Waiting { order, bands, fair, early_rejection };
    Said { waiting, bands: bands_field.is_some() }
}

/// `"tokens"`, or `"none"`.
fn fair(walk: &mut Walk, field: Field<'_>) -> Option<bool> {
    walk.one_of(field, "measure of fairness").map(|word| word == "tokens")
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
        return walk.one_of(field, "queue order").map(usual);
    }
    let (name, inner) = walk.variant(field)?;
    let mut table = walk.table(inner)?;
    let order = match usual(name) {
        Order::Shortest { .. } => Order::Shortest { ageing: table.count(walk, "ageing")? as u32 },
        Order::AdaptiveLifo { .. } => Order::AdaptiveLifo { after: table.span(walk, "after")? },
        other => other,
    };
    table.finish(walk);
    Some(order)
}

/// `{ min_share = 0.05 }`, or `"none"`.
fn bands(walk: &mut Walk, field: Field<'_>) -> Option<Ratio> {
    if field.is_none() {
        return None;
    }
    let mut table = walk.table(field)?;
    let share = table.number(walk, "min_share");
    table.finish(walk);
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
    let mut table = walk.table(field)?;
    let each = limits(walk, &mut table, TenantLimits::default());
    table.finish(walk);
    Some(each)
}

fn limits(walk: &mut Walk, table: &mut Table<'_>, usual: TenantLimits) -> TenantLimits {
    let Limits { concurrency, requests_per_minute, tokens_per_minute } =
        node::limits_in(walk, table);
    let budget = table.number(walk, "budget_per_day");
    let over_field = table.take("over_budget");
    let over = over_field.and_then(|field| walk.word(field, &OVER_WORDS));
    // A micro-dollar is the least.
    let budget = budget.map(|dollars| ((dollars * 1e6).round() as u64).max(1));
    if let Some(field) = over_field
        && over == Some(OverBudget::Degrade)
        && budget.or(usual.budget).is_none()
    {
        walk.problem(field.place(), "there is no budget that could be spent")
            .label("it would change nothing")
            .help("write `budget_per_day = 5.0` beside it");
    }
    TenantLimits {
        weight: usual.weight,
        limits: Limits {
            concurrency: concurrency.or(usual.limits.concurrency),
            requests_per_minute: requests_per_minute.or(usual.limits.requests_per_minute),
            tokens_per_minute: tokens_per_minute.or(usual.limits.tokens_per_minute),
        },
        budget: budget.or(usual.budget),
        over_budget: over.unwrap_or(usual.over_budget),
    }
}

/// The `[[tenant]]` tables: what these tenants may take that others may not, and what they are called.
pub(super) fn named(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    each: TenantLimits,
) -> (Tenants, BTreeMap<TenantId, String>) {
    let mut named: Vec<(TenantId, TenantLimits)> = Vec::new();
    let mut names = BTreeMap::new();
    for mut table in walk.tables(field) {
        let numbers = table.need(walk, "tenant");
        let numbers = numbers.map(|field| walk.one_or_more(field)).unwrap_or_default();
        let name = table.take("name").and_then(|field| walk.name(field));
        let weight = table.take("weight").and_then(|field| walk.count(field));
        let mut own = limits(walk, &mut table, each);
        own.weight = weight.map_or(own.weight, |weight| weight as u32);
        for field in numbers {
            let Some(number) = walk.count(field) else {
                continue;
            };
            let tenant = TenantId(number as u32);
            if named.iter().any(|(other, _)| *other == tenant) {
                twice(walk, field.place(), number);
            } else if named.len() < TENANTS_MAX {
                named.push((tenant, own));
                names.extend(name.map(|name| (tenant, name.to_owned())));
            }
        }
        table.finish(walk);
    }
    named.sort_by_key(|(tenant, _)| *tenant);
    (Tenants { each, named }, names)
}

fn twice(walk: &mut Walk, place: &Place, number: u64) {
    walk.problem(place, format!("tenant {number} is named twice")).label("the second time");
}

/// Where a tenant is to be served by cheaper pools, some route must have them.
pub(super) fn check_cheaper(
    walk: &mut Walk,
    tables: &[Option<Field<'_>>],
    tenants: &Tenants,
    routes: &[RouteSpec],
) {
    let wanted = tenants.all().any(|one| one.over_budget == OverBudget::Degrade);
    let there = routes.iter().any(|route| route.degrade.is_some());
    let place = tables.iter().flatten().next().filter(|_| wanted && !there);
    if let Some(field) = place {
        walk.problem(field.place(), "no route degrades to a cheaper pool: over budget is refused")
            .label("`over_budget = \"degrade\"` changes nothing")
            .help("write `degrade = { to = \"cheap\" }` in a route");
    }
}

/// Everything together.
pub(super) fn admission(said: &Said, tenants: Tenants, quotas: bool) -> Admission {
    Admission { waiting: said.waiting, tenants, quotas }
}

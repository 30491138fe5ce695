//! `[[route]]`: which requests go to which pools.

use super::class::PRIORITIES;
use super::names::Names;
use super::pool::{Fleet, TAGS_MAX};
use super::problem::Place;
use super::value::{Field, Table, Walk};
use crate::balance::{Match, RouteSpec};
use crate::unit::{ClassId, PoolId, TenantId, Tokens};

/// A scenario has at most so many routes.
pub const ROUTES_MAX: usize = 1_000;

/// A route names at most so many tenants.
pub const TENANTS_MAX: usize = 10_000;

pub(super) fn read(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    fleet: &Fleet,
    classes: &Names,
) -> Vec<RouteSpec> {
    if field.is_none() {
        // Without routes everything goes to all pools, in file order.
        let to = (0..fleet.pool_names.len()).map(|pool| PoolId(pool as u16)).collect();
        return vec![RouteSpec { when: Match::default(), to, require: 0 }];
    }
    let mut routes: Vec<(RouteSpec, &Place)> = Vec::new();
    let before = walk.problems.len();
    for mut table in walk.tables(field, "route", ROUTES_MAX) {
        let route = read_one(walk, &mut table, fleet, classes);
        routes.push((route, table.place));
        table.finish(walk, &["degrade", "weight", "region"]);
    }
    // Where a route could not be read, what it covers is not known.
    if walk.problems.len() == before {
        check_order(walk, &routes);
    }
    routes.into_iter().map(|(route, _)| route).collect()
}

/// Every route can match, and the last one matches everything.
fn check_order(walk: &mut Walk, routes: &[(RouteSpec, &Place)]) {
    for (number, (route, place)) in routes.iter().enumerate() {
        let earlier = routes[..number].iter().position(|(earlier, _)| covers(earlier, route));
        if let Some(earlier) = earlier {
            let message = format!("the route can never match: route {} takes it all", earlier + 1);
            walk.problem(place, message)
                .label("never reached")
                .help("the first match wins; move this route up or remove it");
        }
    }
    if let Some((last, place)) = routes.last()
        && !last.when.is_total()
    {
        walk.problem(place, "the last route does not match everything")
            .label("some requests would have no route")
            .help("add a route with `match = {}` at the end");
    }
}

/// Returns whether every request that `later` matches is matched by `earlier` already.
fn covers(earlier: &RouteSpec, later: &RouteSpec) -> bool {
    let (a, b) = (&earlier.when, &later.when);
    let subset = |wide: bool, narrow: bool, inside: bool| wide || (!narrow && inside);
    subset(
        a.classes.is_empty(),
        b.classes.is_empty(),
        b.classes.iter().all(|class| a.classes.contains(class)),
    ) && subset(
        a.tenants.is_empty(),
        b.tenants.is_empty(),
        b.tenants.iter().all(|tenant| a.tenants.binary_search(tenant).is_ok()),
    ) && (a.priority.is_none() || a.priority == b.priority)
        && a.prompt_min.is_none_or(|min| b.prompt_min.is_some_and(|least| least >= min))
        && a.prompt_max.is_none_or(|max| b.prompt_max.is_some_and(|most| most <= max))
}

fn read_one(walk: &mut Walk, table: &mut Table<'_>, fleet: &Fleet, classes: &Names) -> RouteSpec {
    let when = table.take("match").map(|field| conditions(walk, field, classes));
    let to_field = table.need(walk, "to");
    let to = to_field.map(|field| pools(walk, field, &fleet.pool_names)).unwrap_or_default();
    let require = table.take("require").map_or(0, |field| require(walk, field, fleet, &to));
    RouteSpec { when: when.unwrap_or_default(), to, require }
}

fn pools(walk: &mut Walk, field: Field<'_>, names: &Names) -> Vec<PoolId> {
    let mut pools: Vec<PoolId> = Vec::new();
    let items = walk.one_or_more(field, names.len().max(1) * 2);
    if items.is_empty() {
        walk.problem(field.place(), "`to` names no pool").label("empty");
    }
    for item in items {
        let Some(pool) = names.find(walk, item) else {
            continue;
        };
        let pool = PoolId(pool as u16);
        if pools.contains(&pool) {
            walk.problem(item.place(), "the pool is named twice").label("the second time");
        } else {
            pools.push(pool);
        }
    }
    pools
}

fn conditions(walk: &mut Walk, field: Field<'_>, classes: &Names) -> Match {
    let Some(mut table) = walk.table(field, "`match`") else {
        return Match::default();
    };
    let mut when = Match::default();
    if let Some(field) = table.take("class") {
        let items = walk.one_or_more(field, classes.len() * 2);
        not_empty(walk, field, items.len());
        let found = items.into_iter().filter_map(|item| classes.find(walk, item));
        when.classes = found.map(|class| ClassId(class as u16)).collect();
    }
    if let Some(field) = table.take("tenant") {
        let items = walk.one_or_more(field, TENANTS_MAX);
        not_empty(walk, field, items.len());
        let found = items.into_iter().filter_map(|item| walk.count(item, 0..=u64::from(u32::MAX)));
        when.tenants = found.map(|tenant| TenantId(tenant as u32)).collect();
        when.tenants.sort_unstable();
        when.tenants.dedup();
    }
    when.priority = table.take("priority").and_then(|field| walk.word(field, PRIORITIES));
    if let Some(field) = table.take("prompt_tokens") {
        prompt(walk, field, &mut when);
    }
    table.finish(walk, &["region", "model", "session", "label", "budget"]);
    when
}

fn not_empty(walk: &mut Walk, field: Field<'_>, items: usize) {
    if items == 0 {
        walk.problem(field.place(), format!("`{}` names nothing: nothing would match", field.name))
            .label("empty")
            .help("leave it out to match any");
    }
}

fn prompt(walk: &mut Walk, field: Field<'_>, when: &mut Match) {
    let Some(mut table) = walk.table(field, "`prompt_tokens`") else {
        return;
    };
    let min = table.take("min").and_then(|field| walk.count(field, 0..=u64::MAX));
    let max_field = table.take("max");
    let max = max_field.and_then(|field| walk.count(field, 0..=u64::MAX));
    if let (Some(min), Some(max), Some(field)) = (min, max, max_field)
        && min > max
    {
        let message = format!("`max` must not be below `min` ({min}): nothing would match");
        walk.problem(field.place(), message);
    }
    table.finish(walk, &[]);
    // At least nothing is no condition.
    when.prompt_min = min.filter(|min| *min > 0).map(Tokens);
    when.prompt_max = max.map(Tokens);
}

fn require(walk: &mut Walk, field: Field<'_>, fleet: &Fleet, to: &[PoolId]) -> u64 {
    let Some(mut table) = walk.table(field, "`require`") else {
        return 0;
    };
    let mut bits = 0;
    if let Some(field) = table.need(walk, "tags") {
        for item in walk.list(field, TAGS_MAX) {
            if let Some(tag) = fleet.tags.find(walk, item) {
                bits |= 1 << tag;
            }
        }
        let served =
            fleet.nodes.iter().any(|node| to.contains(&node.pool) && node.tags & bits == bits);
        if bits != 0 && !to.is_empty() && !served {
            walk.problem(field.place(), "no node of these pools has all the required tags")
                .label("nothing could serve this route");
        }
    }
    table.finish(walk, &["region", "model"]);
    bits
}

//! `[[route]]`: which requests go to which pools.

use super::admission::TENANT_NUMBER;
use super::choose;
use super::class::{CLASSES_MAX, PRIORITY, priority};
use super::keys::above_zero;
use super::keys::{
    COUNT, KeyKind, NAME, POSITIVE_SPAN, SectionDef, TEXT, Usual, key, need, one, section, upto,
};
use super::names::Names;
use super::node::LABELS;
use super::origin::{self, ATTRIBUTES_MAX};
use super::pool::{Fleet, POOLS_MAX};
use super::problem::{Place, quote};
use super::region::{self, REGIONS_MAX};
use super::sticky;
use super::table::Table;
use super::value::{Field, Walk};
use crate::balance::{
    CACHE_ENTRIES_MAX, CacheSpec, Degrade, Match, Pressure, RouteSpec, StickySpec,
};
use crate::unit::{ClassId, PoolId, Ratio, RegionId, TenantId, Tokens};
use crate::workload::QualitySpec;

/// A scenario has at most so many routes.
pub const ROUTES_MAX: usize = 1_000;

/// A route names at most so many tenants.
pub const TENANTS_MAX: usize = 10_000;

/// `[[route]]`.
pub(super) static ROUTE: SectionDef = SectionDef {
    keys: &[
        key("name", NAME, Usual::Unsaid("`route` and its number"), "what reports call it"),
        key(
            "match",
            KeyKind::Table(&MATCH),
            Usual::Unsaid("everything"),
            "which requests go this way",
        ),
        key(
            "split",
            KeyKind::Map("pool", &PERCENT, 2 * POOLS_MAX),
            Usual::Unsaid("the first pool of `to` comes first"),
            "percent of the requests for which each pool comes first",
        ),
        key("to", POOLS, Usual::NeededUnless("split"), "its pools, in failover order"),
        key(
            "choose",
            choose::CHOOSE,
            Usual::Unsaid("in the order of `to`"),
            "how one of the pools is chosen, pools being models",
        ),
        key(
            "degrade",
            KeyKind::Table(&DEGRADE),
            Usual::Unsaid("never"),
            "cheaper pools, and when they are used",
        ),
        key("require", KeyKind::Table(&REQUIRE), Usual::Unsaid("nothing"), "what a node must have"),
        key(
            "content_policy",
            KeyKind::Word(&["fail", "next_pool"]),
            Usual::Word("fail"),
            "what becomes of a request that a provider's content policy is against",
        ),
        key(
            "cache",
            KeyKind::Table(&CACHE),
            Usual::Unsaid("no answer is kept"),
            "answers are kept, and given at once to whoever asks the same; simulated only",
        ),
        key(
            "resume",
            KeyKind::Truth,
            Usual::Unsaid("as `balancer.retry.resume`"),
            "an answer that is cut after its first token goes on elsewhere, from what has come of it",
        ),
        key(
            "sticky",
            KeyKind::Table(&sticky::STICKY),
            Usual::Unsaid("as the first of its pools that says it"),
            "requests that belong together go to the same node",
        ),
    ],
    later: &["weight", "mirror"],
    ..section("route", "`[[route]]`")
};

static CACHE: SectionDef = SectionDef {
    keys: &[
        need("ttl", POSITIVE_SPAN, "an answer is given for so long after it came"),
        key(
            "entries",
            KeyKind::Whole(1, CACHE_ENTRIES_MAX as u64),
            Usual::Whole(10_000),
            "so many answers are kept; the one that was unused longest gives way",
        ),
        key(
            "tokens",
            KeyKind::Whole(1, u64::MAX),
            Usual::Unsaid("no limit"),
            "so many tokens have all kept answers together; a token is about four bytes",
        ),
        key(
            "shared",
            KeyKind::Truth,
            Usual::Truth(false),
            "whether tenants are given each other's answers",
        ),
    ],
    ..section("cache", "")
};

/// Whether it goes on.
const PAST_POLICY: [(&str, bool); 2] = [("fail", false), ("next_pool", true)];

const PERCENT: KeyKind = upto(100.0);

/// Twice as many names as there can be: a name too many is told by itself.
const POOLS: KeyKind = KeyKind::OneOrMore(&TEXT, 2 * POOLS_MAX);

static MATCH: SectionDef = SectionDef {
    keys: &[
        key(
            "class",
            KeyKind::OneOrMore(&TEXT, 2 * CLASSES_MAX),
            Usual::Unsaid("any"),
            "of these classes",
        ),
        key(
            "tenant",
            KeyKind::OneOrMore(&TENANT_NUMBER, TENANTS_MAX),
            Usual::Unsaid("any"),
            "of these tenants",
        ),
        key("priority", PRIORITY, Usual::Unsaid("any"), "of this priority"),
        key(
            "prompt_tokens",
            KeyKind::Table(&PROMPT),
            Usual::Unsaid("any"),
            "with prompts of such a length",
        ),
        key(
            "attribute",
            KeyKind::Map("attribute", &VALUES, ATTRIBUTES_MAX),
            Usual::Unsaid("any"),
            "with one of these values of each attribute",
        ),
        key("session", KeyKind::Truth, Usual::Unsaid("any"), "with a session, or without"),
        key(
            "region",
            KeyKind::OneOrMore(&NAME, REGIONS_MAX),
            Usual::Unsaid("any"),
            "from one of these regions",
        ),
    ],
    later: &["model", "label", "budget"],
    ..section("match", "")
};

const VALUES: KeyKind = KeyKind::OneOrMore(&NAME, ATTRIBUTES_MAX);

static PROMPT: SectionDef = SectionDef {
    keys: &[
        key("min", COUNT, Usual::Unsaid("no limit"), "at least so many tokens"),
        key("max", COUNT, Usual::Unsaid("no limit"), "at most so many tokens"),
    ],
    ..section("prompt_tokens", "")
};

static DEGRADE: SectionDef = SectionDef {
    keys: &[
        need("to", POOLS, "the cheaper pools"),
        key(
            "when",
            KeyKind::Any(&[
                KeyKind::Word(&["no_room"]),
                KeyKind::Variant(&PRESSURE, "kind of pressure"),
            ]),
            Usual::Word("no_room"),
            "under which pressure on the route's own pools",
        ),
    ],
    later: &["max_share", "clamp"],
    ..section("route_degrade", "")
};

static PRESSURE: SectionDef = SectionDef {
    keys: &[
        one("waiting", KeyKind::Whole(1, u32::MAX as u64), "so many requests wait"),
        one("in_flight", KeyKind::Whole(1, u64::MAX), "so many requests are on their nodes"),
        one("utilisation", above_zero(1.0), "this share of what their nodes take is in use"),
    ],
    later: &["ttft", "budget"],
    ..section("pressure", "")
};

static REQUIRE: SectionDef = SectionDef {
    keys: &[need("tags", LABELS, "all of these tags")],
    later: &["region", "model"],
    ..section("require", "")
};

/// What routes refer to.
pub(super) struct Known<'a> {
    pub(super) fleet: &'a mut Fleet,
    pub(super) classes: &'a Names,
    /// `key=value`, by bit.
    pub(super) attributes: &'a mut Names,
    /// What is known of the quality of answers.
    pub(super) quality: Option<&'a QualitySpec>,
}

impl Known<'_> {
    /// Requests of a gateway may come from anywhere and have any attribute, not only those that the
    /// classes of the file draw.
    fn open(&self) -> bool {
        self.fleet.reachable && !self.fleet.live.is_empty()
    }
}

/// Returns the routes, and what they are called if one of them has a name.
pub(super) fn read(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    known: &mut Known<'_>,
) -> (Vec<RouteSpec>, Vec<String>) {
    if field.is_none() {
        // Without routes everything goes to all pools, in file order.
        let to: Vec<PoolId> =
            (0..known.fleet.pool_names.len()).map(|pool| PoolId(pool as u16)).collect();
        let sticky = of_pools(known.fleet, &to);
        let all = RouteSpec { when: Match::default(), to, sticky, ..RouteSpec::default() };
        return (vec![all], Vec::new());
    }
    let mut routes: Vec<(RouteSpec, &Place)> = Vec::new();
    let before = walk.problems.len();
    let mut names = Names::new("route");
    let mut named = false;
    for (number, mut table) in walk.tables(field).into_iter().enumerate() {
        match table.take("name").and_then(|field| Some((walk.name(field)?, field))) {
            Some((name, field)) => {
                named = true;
                names.add(walk, name, field.place());
            }
            None => {
                names.intern(&format!("route {}", number + 1));
            }
        }
        let route = read_one(walk, &mut table, known);
        routes.push((route, table.place));
        table.finish(walk);
    }
    // Where a route could not be read, what it covers is not known.
    if walk.problems.len() == before {
        check_order(walk, &routes);
    }
    let names = if named { names.list().to_vec() } else { Vec::new() };
    (routes.into_iter().map(|(route, _)| route).collect(), names)
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
        && a.attributes.iter().all(|wide| b.attributes.iter().any(|narrow| narrow & !wide == 0))
        && (a.session.is_none() || a.session == b.session)
        && subset(
            a.regions.is_empty(),
            b.regions.is_empty(),
            b.regions.iter().all(|region| a.regions.contains(region)),
        )
}

fn read_one(walk: &mut Walk, table: &mut Table<'_>, known: &mut Known<'_>) -> RouteSpec {
    let when = table.take("match").map(|field| conditions(walk, field, known));
    let fleet = &*known.fleet;
    let split_field = table.take("split");
    let split = split_field.map(|field| split(walk, field, &fleet.pool_names)).unwrap_or_default();
    // A split names pools as well as `to` does.
    let to_field = table.take_or_need(walk, "to");
    let mut to = to_field.map(|field| pools(walk, field, &fleet.pool_names)).unwrap_or_default();
    for (pool, _) in &split {
        if !to.contains(pool) {
            to.push(*pool);
        }
    }
    let choose_field = table.take("choose");
    if let Some((field, _)) = choose_field.zip(split_field) {
        walk.problem(field.place(), "a route that chooses does not split")
            .label("there is a `split` too")
            .help("leave one of them out");
    }
    let choose = choose_field.and_then(|field| choose::read(walk, field, to.len(), known.quality));
    let degrade_field = table.take("degrade");
    let degrade = degrade_field.and_then(|field| degrade(walk, field, fleet, &to));
    let require = table.take("require").map_or(0, |field| {
        let cheap = degrade_field.zip(degrade.as_ref());
        require(walk, field, fleet, &to, cheap.map(|(field, degrade)| (field, &degrade.to[..])))
    });
    let past_policy = table.word(walk, "content_policy", &PAST_POLICY).unwrap_or(false);
    let cache = table.take("cache").and_then(|field| cache(walk, field, known));
    let sticky = table.take("sticky").map(|field| sticky::read(walk, field));
    let sticky = sticky.unwrap_or_else(|| of_pools(known.fleet, &to));
    let resume = table.truth(walk, "resume");
    let when = when.unwrap_or_default();
    RouteSpec { when, to, require, split, degrade, choose, past_policy, cache, sticky, resume }
}

/// Which sessions stay, as the first of these pools says that says it.
fn of_pools(fleet: &Fleet, pools: &[PoolId]) -> Option<StickySpec> {
    pools.iter().find_map(|pool| fleet.sticky.get(pool.index())?.clone())
}

/// `{ ttl = "1h", entries = 5_000 }`.
fn cache(walk: &mut Walk, field: Field<'_>, known: &Known<'_>) -> Option<CacheSpec> {
    if known.open() {
        walk.problem(field.place(), "answers are kept in simulations only, in this version")
            .label("every node has a `url`, so real clients may be served")
            .help("leave `cache` out of a scenario for `serve` and `replay`");
    }
    let mut table = walk.table(field)?;
    let ttl = table.need(walk, "ttl").and_then(|field| walk.span(field));
    let entries = table.count(walk, "entries");
    let tokens = table.take("tokens").map(|field| walk.count(field));
    let shared = table.truth(walk, "shared");
    table.finish(walk);
    let (entries, tokens) = (entries? as u32, tokens.map_or(Some(None), |count| count.map(Some))?);
    Some(CacheSpec { entries, tokens, ttl: ttl?, shared: shared? })
}

/// `{ "new-model" = 5, "old-model" = 95 }`: percent, in the order written.
fn split(walk: &mut Walk, field: Field<'_>, names: &Names) -> Vec<(PoolId, Ratio)> {
    let before = walk.problems.len();
    let mut parts = Vec::new();
    let list = walk.map_upto(field, names.len().max(1) * 2);
    for (name, place, share) in &list {
        let pool = names.find_name(walk, name, place);
        let percent = walk.number(*share);
        if let Some((pool, percent)) = pool.zip(percent) {
            parts.push((PoolId(pool as u16), Ratio::from_f64(percent / 100.0)));
        }
    }
    let sum: u64 = parts.iter().map(|(_, share)| u64::from(share.0)).sum();
    if walk.problems.len() == before && sum != u64::from(Ratio::ONE.0) {
        let percent = sum as f64 / 1e4;
        walk.problem(field.place(), format!("the shares of `split` sum to {percent}, not to 100"))
            .label("percent of the requests")
            .help("the pool that comes first is drawn by these shares");
    }
    parts
}

/// `{ to = ["cheap"], when = { waiting = 50 } }`.
fn degrade(walk: &mut Walk, field: Field<'_>, fleet: &Fleet, own: &[PoolId]) -> Option<Degrade> {
    let mut table = walk.table(field)?;
    let to_field = table.need(walk, "to");
    let to = to_field.map(|field| pools(walk, field, &fleet.pool_names)).unwrap_or_default();
    if let Some((field, pool)) = to_field.zip(to.iter().find(|pool| own.contains(pool))) {
        let name = quote(&fleet.pool_names.list()[pool.index()]);
        walk.problem(field.place(), format!("the route uses pool {name} anyway"))
            .label("not a step down");
    }
    let when = table.take("when").map(|field| pressure(walk, field, fleet, own));
    table.finish(walk);
    let when = when.unwrap_or(Some(Pressure::NoRoom))?;
    (!to.is_empty()).then_some(Degrade { to, when })
}

fn pressure(walk: &mut Walk, field: Field<'_>, fleet: &Fleet, own: &[PoolId]) -> Option<Pressure> {
    if field.is_word("no_room") {
        return Some(Pressure::NoRoom);
    }
    let (name, inner) = walk.variant(field)?;
    match name {
        "waiting" => {
            let least = walk.count(inner)?;
            Some(Pressure::Waiting(least as u32))
        }
        "in_flight" => walk.count(inner).map(Pressure::InFlight),
        _ => {
            let share = walk.number(inner)?;
            let endless = fleet
                .nodes
                .iter()
                .find(|node| own.contains(&node.pool) && node.limits.concurrency.is_none());
            if let Some(node) = endless {
                let name = quote(&node.name);
                let message =
                    format!("node {name} takes any number at a time: it has no utilisation");
                walk.problem(inner.place(), message).label("never reached").help(
                    "write `limits = { concurrency = ... }` for the nodes of the route's pools",
                );
                return None;
            }
            Some(Pressure::Utilisation(Ratio::from_f64(share)))
        }
    }
}

fn pools(walk: &mut Walk, field: Field<'_>, names: &Names) -> Vec<PoolId> {
    let mut pools: Vec<PoolId> = Vec::new();
    let items = walk.one_or_more_upto(field, names.len().max(1) * 2);
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

fn conditions(walk: &mut Walk, field: Field<'_>, known: &mut Known<'_>) -> Match {
    let Some(mut table) = walk.table(field) else {
        return Match::default();
    };
    let mut when = Match::default();
    if let Some(field) = table.take("class") {
        let items = walk.one_or_more_upto(field, known.classes.len() * 2);
        not_empty(walk, field, items.len());
        let found = items.into_iter().filter_map(|item| known.classes.find(walk, item));
        when.classes = found.map(|class| ClassId(class as u16)).collect();
    }
    if let Some(field) = table.take("tenant") {
        let items = walk.one_or_more(field);
        not_empty(walk, field, items.len());
        let found = items.into_iter().filter_map(|item| walk.count(item));
        when.tenants = found.map(|tenant| TenantId(tenant as u32)).collect();
        when.tenants.sort_unstable();
        when.tenants.dedup();
    }
    when.priority = table.take("priority").and_then(|field| priority(walk, field));
    if let Some(field) = table.take("prompt_tokens") {
        prompt(walk, field, &mut when);
    }
    if let Some(field) = table.take("attribute") {
        when.attributes = attributes(walk, field, known);
    }
    when.session = table.truth(walk, "session");
    if let Some(field) = table.take("region") {
        when.regions = regions(walk, field, known);
    }
    table.finish(walk);
    when
}

/// `{ language = ["de", "fr"], risk = "high" }`: one set of bits for each attribute.
fn attributes(walk: &mut Walk, field: Field<'_>, known: &mut Known<'_>) -> Vec<u64> {
    let mut sets = Vec::new();
    let list = walk.map(field);
    not_empty(walk, field, list.len());
    for (key, place, field) in list {
        let Some(key) = walk.name_at(key, place) else {
            continue;
        };
        let items = walk.one_or_more(field);
        not_empty(walk, field, items.len());
        let mut bits = 0;
        for item in items {
            let Some(value) = walk.name(item) else {
                continue;
            };
            let bit = if known.open() {
                origin::bit(walk, known.attributes, key, value, item.place())
            } else {
                let pair = format!("{key}={value}");
                let found = known.attributes.find_name(walk, &pair, item.place());
                found.map(|bit| 1 << bit)
            };
            bits |= bit.unwrap_or(0);
        }
        if bits != 0 {
            sets.push(bits);
        }
    }
    sets
}

fn regions(walk: &mut Walk, field: Field<'_>, known: &mut Known<'_>) -> Vec<RegionId> {
    let items = walk.one_or_more(field);
    not_empty(walk, field, items.len());
    let mut regions = Vec::new();
    for item in items {
        let region = if known.open() {
            let name = walk.name(item);
            name.and_then(|name| region::number(walk, &mut known.fleet.regions, name, item.place()))
        } else {
            known.fleet.regions.find(walk, item)
        };
        regions.extend(region.map(|region| RegionId(region as u16)));
    }
    regions
}

fn not_empty(walk: &mut Walk, field: Field<'_>, items: usize) {
    if items == 0 {
        walk.problem(field.place(), format!("`{}` names nothing: nothing would match", field.name))
            .label("empty")
            .help("leave it out to match any");
    }
}

fn prompt(walk: &mut Walk, field: Field<'_>, when: &mut Match) {
    let Some(mut table) = walk.table(field) else {
        return;
    };
    let min = table.count(walk, "min");
    let max_field = table.take("max");
    let max = max_field.and_then(|field| walk.count(field));
    if let (Some(min), Some(max), Some(field)) = (min, max, max_field)
        && min > max
    {
        let message = format!("`max` must not be below `min` ({min}): nothing would match");
        walk.problem(field.place(), message);
    }
    table.finish(walk);
    // At least nothing is no condition.
    when.prompt_min = min.filter(|min| *min > 0).map(Tokens);
    when.prompt_max = max.map(Tokens);
}

fn require(
    walk: &mut Walk,
    field: Field<'_>,
    fleet: &Fleet,
    to: &[PoolId],
    cheap: Option<(Field<'_>, &[PoolId])>,
) -> u64 {
    let Some(mut table) = walk.table(field) else {
        return 0;
    };
    let mut bits = 0;
    if let Some(field) = table.need(walk, "tags") {
        for item in walk.list(field) {
            if let Some(tag) = fleet.tags.find(walk, item) {
                bits |= 1 << tag;
            }
        }
        let served = |to: &[PoolId]| {
            fleet.nodes.iter().any(|node| to.contains(&node.pool) && node.tags & bits == bits)
        };
        if bits != 0 && !to.is_empty() && !served(to) {
            walk.problem(field.place(), "no node of these pools has all the required tags")
                .label("nothing could serve this route");
        }
        if let Some((field, _)) = cheap.filter(|(_, cheap)| bits != 0 && !served(cheap)) {
            walk.problem(
                field.place(),
                "no node of these pools has all the tags the route requires",
            )
            .label("could never take over");
        }
    }
    table.finish(walk);
    bits
}

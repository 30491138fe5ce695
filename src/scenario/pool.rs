//! `[[pool]]` and `[[pool.node]]`: the fleet.

use super::autoscale::{self, Autoscale};
use super::balancer;
use super::dist::{Unit, read as read_dist, read_or_zero};
use super::engine;
use super::limiter;
use super::names::Names;
use super::problem::{Place, quote};
use super::profile::{self, Profile};
use super::region::Use;
use super::strategy;
use super::value::{Field, Table, Walk, digits, suggest};
use crate::balance::{
    HealthSettings, Limits, Locality, NodeSpec, PoolSpec, Prices, ScaleSpec, Tier,
};
use crate::dist::Dist;
use crate::metrics::NodeLabel;
use crate::node::{ApiSpec, BackendSpec, SlotsSpec};
use crate::unit::{CredentialId, ModelId, NodeId, PoolId, Price, Ratio, RegionId, Span};

/// A scenario has at most so many pools.
pub const POOLS_MAX: usize = 256;

/// A fleet has at most so many nodes.
pub const NODES_MAX: usize = 20_000;

/// A scenario uses at most so many tags: a node's tags are bits of one word.
pub const TAGS_MAX: usize = 64;

/// Weights go so far.
pub const WEIGHT_MAX: u64 = 1_000_000;

pub use crate::node::fault::PRICE_MAX;

/// Attempts at a time on one node go so far.
pub const CONCURRENCY_MAX: u64 = 1_000_000;

/// Limits a minute go so far.
pub const PER_MINUTE_MAX: u64 = 1_000_000_000_000;

/// Tokens a second of one stream go so far in the mean.
pub const SPEED_MAX: f64 = 1e9;

/// Tiers are built for so many times their load at most.
const OVERPROVISION_MAX: f64 = 100.0;

const TIERS: &[(&str, Tier)] =
    &[("primary", Tier::Primary), ("backup", Tier::Backup), ("secondary", Tier::Secondary)];

/// What a pool is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolKind {
    /// Language models.
    #[default]
    Llm,
    /// Agents.
    Agent,
    /// Tool services.
    Tool,
}

const KINDS: &[(&str, PoolKind)] =
    &[("llm", PoolKind::Llm), ("agent", PoolKind::Agent), ("tool", PoolKind::Tool)];

/// The balancer's own region is found later.
const LOCALITIES: &[(&str, Option<Locality>)] = &[
    ("anywhere", Some(Locality::Anywhere)),
    ("origin", Some(Locality::Origin)),
    ("balancer", None),
];

/// How a node is reached for real.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveNode {
    /// Its base address.
    pub url: Option<String>,
    /// The environment variable that holds its key.
    pub key_env: Option<String>,
    /// The protocol it speaks.
    pub dialect: Option<String>,
}

/// What the `[[pool]]` tables say.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) pool_names: Names,
    pub(super) pools: Vec<PoolSpec>,
    pub(super) kinds: Vec<PoolKind>,
    /// Names of nodes and of groups of nodes.
    pub(super) node_names: Names,
    /// By number of such a name: its nodes.
    pub(super) named: Vec<Vec<NodeId>>,
    pub(super) nodes: Vec<NodeSpec>,
    pub(super) backends: Vec<BackendSpec>,
    /// Groups that grow and shrink.
    pub(super) scale: Vec<ScaleSpec>,
    /// By node: seconds it takes to start; empty where nothing is scaled.
    pub(super) cold_starts: Vec<Dist>,
    pub(super) labels: Vec<NodeLabel>,
    pub(super) live: Vec<LiveNode>,
    /// Engines, and where they stand.
    pub(super) engines: Vec<(Place, crate::node::engine::EngineSpec)>,
    /// Nodes without a back end to simulate.
    pub(super) live_only: Vec<Place>,
    /// Whether every node has a `url`.
    pub(super) reachable: bool,
    pub(super) regions: Names,
    pub(super) models: Names,
    pub(super) tags: Names,
    /// Where a node names a region.
    pub(super) region_uses: Vec<Use>,
    pub(super) credentials: Names,
    /// Pools whose nodes near the balancer come first, and where they say so.
    pub(super) near_balancer: Vec<(usize, Place)>,
}

/// Reads the pools. How health is watched in all of them is known by now.
pub(super) fn read(walk: &mut Walk, field: Option<Field<'_>>, health: &HealthSettings) -> Fleet {
    let mut fleet = Fleet {
        pool_names: Names::new("pool"),
        pools: Vec::new(),
        kinds: Vec::new(),
        node_names: Names::new("node"),
        named: Vec::new(),
        nodes: Vec::new(),
        backends: Vec::new(),
        scale: Vec::new(),
        cold_starts: Vec::new(),
        labels: Vec::new(),
        live: Vec::new(),
        live_only: Vec::new(),
        engines: Vec::new(),
        reachable: true,
        regions: Names::new("region"),
        models: Names::new("model"),
        tags: Names::new("tag"),
        credentials: Names::new("credential"),
        region_uses: Vec::new(),
        near_balancer: Vec::new(),
    };
    if field.is_none() {
        walk.problem(&Place::File, "the scenario has no pools")
            .help("write at least one `[[pool]]` with a `[[pool.node]]` under it");
    }
    for table in walk.tables(field, "pool", POOLS_MAX) {
        read_pool(walk, table, &mut fleet, health);
    }
    fleet
}

fn read_pool(walk: &mut Walk, mut table: Table<'_>, fleet: &mut Fleet, health: &HealthSettings) {
    let name = name(walk, &mut table, &mut fleet.pool_names);
    let kind = table.take("kind").and_then(|field| walk.word(field, KINDS));
    fleet.kinds.push(kind.unwrap_or_default());
    let strategy = table.need(walk, "strategy").and_then(|field| strategy::read(walk, field));
    let batch = table.take("batch").and_then(|field| autoscale::batch(walk, field));
    let locality = table.take("locality").and_then(|field| {
        let locality = walk.word(field, LOCALITIES)?;
        if locality.is_none() {
            fleet.near_balancer.push((fleet.pools.len(), field.place().clone()));
        }
        locality
    });
    let overprovision = table.take("overprovision").and_then(|field| {
        let factor = walk.number(field)?;
        if !(1.0..=OVERPROVISION_MAX).contains(&factor) {
            walk.must_be(field, "a number from 1 to 100")
                .label("a tier keeps this times the share of it that is healthy");
            return None;
        }
        Some(Ratio::from_f64(factor))
    });
    let health = balancer::health_of_pool(walk, &mut table, health);
    let limits_field = table.take("limits");
    let limits = limits_field.map(|field| limits(walk, field)).unwrap_or_default();
    if let Some(field) = limits_field.filter(|_| batch.is_some()) {
        walk.problem(field.place(), "a pool that takes batches has no limits of its own")
            .label("`batch` is set too")
            .help("limit its nodes, or its tenants");
    }
    let limiter_field = table.take("limiter");
    let limiter = limiter_field.and_then(|field| limiter::read(walk, field));
    if let Some(field) = limiter_field.filter(|_| batch.is_some() && limiter.is_some()) {
        walk.problem(field.place(), "a pool that takes batches has no limiter")
            .label("`batch` is set too");
    }
    if let Some(strategy) = strategy {
        let locality = locality.unwrap_or_default();
        fleet.pools.push(PoolSpec {
            batch,
            locality,
            limits,
            overprovision,
            health,
            limiter,
            ..PoolSpec::new(&name, strategy)
        });
    }
    let pool = fleet.pool_names.len().saturating_sub(1);
    let nodes = table.take("node");
    let nodes_field_place = table.place.clone();
    let list = walk.tables(nodes, "pool.node", NODES_MAX);
    let empty = nodes.is_none_or(
        |field| matches!(&field.value.kind, super::document::Kind::List(items) if items.is_empty()),
    );
    if empty {
        walk.problem(&nodes_field_place, format!("pool {} has no nodes", quote(&name)))
            .label("empty")
            .help("write a `[[pool.node]]` under it");
    }
    for node in list {
        read_group(walk, node, fleet, pool);
    }
    table.finish(walk, &["capacity", "max_wait"]);
}

/// The name of a pool; a pool without one still takes a number.
fn name(walk: &mut Walk, table: &mut Table<'_>, names: &mut Names) -> String {
    let field = table.need(walk, "name");
    match field.and_then(|field| walk.name(field).map(|name| (name, field))) {
        Some((name, field)) => {
            names.add(walk, name, field.place());
            name.to_owned()
        }
        None => {
            names.skip();
            String::new()
        }
    }
}

/// One `[[pool.node]]`: a node, or `count` nodes that differ in their names only.
fn read_group(walk: &mut Walk, mut table: Table<'_>, fleet: &mut Fleet, pool: usize) {
    let name_field = table.need(walk, "name");
    let name = name_field.and_then(|field| walk.name(field));
    let count_field = table.take("count");
    let count = count_field.map(|field| walk.count(field, 1..=NODES_MAX as u64));
    let start = count_field.zip(count.flatten());
    let scale_field = table.take("autoscale");
    let scale = scale_field.map(|field| autoscale::read(walk, field, start));
    let parts = read_parts(walk, &mut table, fleet, pool);
    if let Some(BackendSpec::Engine(spec)) = &parts.backend {
        fleet.engines.push((parts.place.clone(), *spec));
    }
    let place = table.place;
    table.finish(walk, &["profile", "cache", "noise"]);
    let (Some(name), Some(name_field)) = (name, name_field) else {
        return;
    };
    let number = match (&scale, count) {
        (Some(None), _) | (_, Some(None)) => return,
        (Some(Some(scale)), _) => scale.nodes(),
        (None, Some(Some(count))) => count as usize,
        (None, None) => 1,
    };
    if fleet.nodes.len() + number > NODES_MAX {
        let place = count_field.map_or(place, |field| field.place());
        walk.problem(place, format!("the fleet has more than {} nodes", digits(NODES_MAX as u64)))
            .label("one too many here");
        return;
    }
    let first = fleet.nodes.len() as u32;
    let ids: Vec<NodeId> = (first..first + number as u32).map(NodeId).collect();
    fleet.node_names.add(walk, name, name_field.place());
    fleet.named.push(ids.clone());
    let urls = parts.urls.len();
    if urls > 1 && urls != number {
        let message = format!("{urls} addresses for {number} nodes");
        walk.problem(parts.urls_place.unwrap_or(place), message)
            .label("one for all, or one for each");
        return;
    }
    if let Some(scale) = scale.flatten() {
        fleet.scale(name, &ids, scale, count.flatten());
    }
    let numbered = count_field.is_some() || scale_field.is_some();
    for (place, id) in ids.into_iter().enumerate() {
        let mut own = name.to_owned();
        if numbered {
            own = format!("{name}-{}", place + 1);
            fleet.node_names.add(walk, &own, name_field.place());
            fleet.named.push(vec![id]);
        }
        let url = parts.urls.get(if urls == 1 { 0 } else { place });
        fleet.add(own, &parts, url.cloned());
    }
}

/// What the nodes of a group have in common.
struct Parts<'a> {
    spec: NodeSpec,
    backend: Option<BackendSpec>,
    kind: String,
    live: LiveNode,
    /// One for all nodes, or one for each.
    urls: Vec<String>,
    urls_place: Option<&'a Place>,
    place: Place,
}

impl Fleet {
    fn scale(&mut self, name: &str, nodes: &[NodeId], scale: Autoscale, start: Option<u64>) {
        // Those before it that are not scaled never start.
        self.cold_starts.resize(self.nodes.len(), scale.cold_start);
        self.cold_starts.resize(self.nodes.len() + nodes.len(), scale.cold_start);
        let start = start.map(|start| start as u32);
        self.scale.push(scale.of(name, nodes.to_vec(), start));
    }

    fn add(&mut self, name: String, parts: &Parts<'_>, url: Option<String>) {
        let spec = NodeSpec { name: name.clone(), ..parts.spec.clone() };
        if parts.backend.is_none() {
            self.live_only.push(parts.place.clone());
        }
        let backend = parts.backend.clone().or_else(stand_in);
        self.labels.push(NodeLabel {
            name,
            pool: spec.pool.index(),
            tier: spec.tier,
            kind: parts.kind.clone(),
            capacity: backend.as_ref().and_then(BackendSpec::capacity).map(|capacity| {
                // Servers that take whole batches work on that many requests.
                let slots = matches!(backend, Some(BackendSpec::Slots(_)));
                let batch = self.pools.get(spec.pool.index()).and_then(|pool| pool.batch);
                batch
                    .filter(|_| slots)
                    .map_or(capacity, |batch| capacity.saturating_mul(batch.size))
            }),
            hourly: spec.hourly,
            prices: spec.prices,
        });
        self.nodes.push(spec);
        self.backends.extend(backend);
        self.live.push(LiveNode { url, ..parts.live.clone() });
    }
}

/// Fills the place of a back end where only a `url` is given; such a node is never simulated.
fn stand_in() -> Option<BackendSpec> {
    let spec =
        ApiSpec { ttft: Dist::constant(1.0).ok()?, tokens_per_second: Dist::constant(50.0).ok()? };
    Some(BackendSpec::Api(spec, Limits::default()))
}

fn read_parts<'a>(
    walk: &mut Walk,
    table: &mut Table<'a>,
    fleet: &mut Fleet,
    pool: usize,
) -> Parts<'a> {
    let model = table.take("model").and_then(|field| label(walk, field)).unwrap_or_default();
    let region_field = table.take("region");
    let region = region_field.and_then(|field| label(walk, field)).unwrap_or_default();
    let region_id = fleet.regions.intern(&region);
    if let Some(field) = region_field.filter(|_| !region.is_empty()) {
        fleet.region_uses.push((region_id, field.place().clone()));
    }
    let tier = table.take("tier").and_then(|field| walk.word(field, TIERS));
    let weight = table.take("weight").and_then(|field| walk.count(field, 1..=WEIGHT_MAX));
    let price = table.take("price").and_then(|field| prices(walk, field));
    let hourly = table.take("hourly_price").and_then(|field| walk.upto(field, PRICE_MAX));
    let limits = table.take("limits").map(|field| limits(walk, field)).unwrap_or_default();
    let tags = table.take("tags").map_or(0, |field| tags(walk, field, &mut fleet.tags));
    let urls_field = table.take("url");
    let urls = urls_field.map(|field| urls(walk, field)).unwrap_or_default();
    let live = live(walk, table);
    // Nodes whose keys come from one place have one credential.
    let named = table.take("credential").and_then(|field| label(walk, field));
    let credential = named.as_ref().or(live.key_env.as_ref());
    let credential = credential.map(|name| CredentialId(fleet.credentials.intern(name) as u16));
    let field = table.take("backend");
    let backend = field.and_then(|field| backend(walk, field, limits));
    // A profile brings its price along where the node states none.
    let (price, hourly) = backend
        .as_ref()
        .map_or((price, hourly), |profile| (price.or(profile.prices), hourly.or(profile.hourly)));
    let backend = backend.map(|profile| profile.spec);
    fleet.reachable &= table.has("url");
    if field.is_none() && !table.has("url") {
        walk.problem(table.place, "the node has neither `backend` nor `url`")
            .label("nothing to send requests to")
            .help(
                "write for instance `backend = { api = { ttft = ..., tokens_per_second = ... } }`",
            );
    }
    let kind = match (&backend, model.is_empty()) {
        (_, false) => model.clone(),
        (Some(BackendSpec::Slots(_)), true) => "slots".to_owned(),
        (Some(BackendSpec::Api(..)), true) => "api".to_owned(),
        (Some(BackendSpec::Engine(_)), true) => "engine".to_owned(),
        (None, true) => "live".to_owned(),
    };
    let spec = NodeSpec {
        name: String::new(),
        pool: PoolId(pool as u16),
        tier: tier.unwrap_or_default(),
        weight: weight.unwrap_or(1) as u32,
        model: ModelId(fleet.models.intern(&model) as u16),
        region: RegionId(region_id as u16),
        tags,
        prices: price.unwrap_or_default(),
        hourly: hourly.map_or(0, |dollars| (dollars * 1e6).round() as u64),
        limits,
        credential,
    };
    let urls_place = urls_field.map(|field| field.place());
    let place = table.place.clone();
    Parts { spec, backend, kind, live, urls, urls_place, place }
}

/// A text that is not empty.
fn label(walk: &mut Walk, field: Field<'_>) -> Option<String> {
    let text = walk.text(field)?;
    if text.trim().is_empty() {
        walk.must_be(field, "a name, not empty");
        return None;
    }
    Some(text.to_owned())
}

fn prices(walk: &mut Walk, field: Field<'_>) -> Option<Prices> {
    let mut table = walk.table(field, "`price`")?;
    let price = |walk: &mut Walk, field: Option<Field<'_>>| {
        walk.upto(field?, PRICE_MAX).map(Price::from_dollars)
    };
    let input = table.need(walk, "input");
    let input = price(walk, input).unwrap_or_default();
    let output = table.need(walk, "output");
    let output = price(walk, output).unwrap_or_default();
    // Without a price of their own, cached tokens cost what others cost.
    let cached_input = price(walk, table.take("cached_input")).unwrap_or(input);
    table.finish(walk, &["cache_write", "batch", "priority"]);
    Some(Prices { input, cached_input, output })
}

fn limits(walk: &mut Walk, field: Field<'_>) -> Limits {
    let Some(mut table) = walk.table(field, "`limits`") else {
        return Limits::default();
    };
    let limits = limits_in(walk, &mut table);
    table.finish(walk, &["output_tokens_per_minute", "requests_per_day"]);
    limits
}

/// Limits that stand in a table with other words.
pub(super) fn limits_in(walk: &mut Walk, table: &mut Table<'_>) -> Limits {
    let concurrency = table.take("concurrency");
    let mut per_minute =
        |key| table.take(key).and_then(|field| walk.count(field, 1..=PER_MINUTE_MAX));
    let requests_per_minute = per_minute("requests_per_minute");
    let tokens_per_minute = per_minute("tokens_per_minute");
    let concurrency = concurrency.and_then(|field| walk.count(field, 1..=CONCURRENCY_MAX));
    Limits {
        concurrency: concurrency.map(|concurrency| concurrency as u32),
        requests_per_minute,
        tokens_per_minute,
    }
}

fn tags(walk: &mut Walk, field: Field<'_>, names: &mut Names) -> u64 {
    let mut bits = 0;
    for item in walk.list(field, TAGS_MAX) {
        let Some(tag) = label(walk, item) else {
            continue;
        };
        if names.get(&tag).is_none() && names.len() == TAGS_MAX {
            let message = format!("a scenario uses at most {TAGS_MAX} different tags");
            walk.problem(item.place(), message).label("one too many");
            continue;
        }
        bits |= 1 << names.intern(&tag);
    }
    bits
}

/// The base address of a node, or a list with one for each node of a group.
fn urls(walk: &mut Walk, field: Field<'_>) -> Vec<String> {
    let mut urls = Vec::new();
    let fields = walk.one_or_more(field, NODES_MAX);
    if fields.is_empty() {
        walk.must_be(field, "an address, or a list of some");
    }
    for field in fields {
        let Some(url) = walk.text(field) else { continue };
        if url.starts_with("http://") || url.starts_with("https://") {
            urls.push(url.to_owned());
        } else {
            walk.must_be(field, "an address that begins with http:// or https://");
        }
    }
    urls
}

fn live(walk: &mut Walk, table: &mut Table<'_>) -> LiveNode {
    let key_env = table.take("key_env").and_then(|field| {
        let name = walk.text(field)?;
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Some(name.to_owned());
        }
        // Someone may have written the key itself here.
        let place = match field.place() {
            Place::Span(span) => Place::Hidden(span.clone()),
            _ => Place::File,
        };
        walk.problem(&place, "`key_env` must be the name of an environment variable")
            .help("the key itself does not belong into a scenario");
        None
    });
    let dialect = table.take("dialect").and_then(|field| label(walk, field));
    LiveNode { url: None, key_env, dialect }
}

fn backend(walk: &mut Walk, field: Field<'_>, limits: Limits) -> Option<Profile<BackendSpec>> {
    let kinds = &["api", "engine", "slots"];
    let (name, inner) = walk.variant(field, "kind of back end", kinds, &[])?;
    if name == "engine" {
        let engine = engine::read(walk, inner)?;
        let Profile { spec, prices, hourly } = engine;
        return Some(Profile { spec: BackendSpec::Engine(spec), prices, hourly });
    }
    let mut table = walk.table(inner, &format!("`{name}`"))?;
    let backend = match name {
        "api" => api_backend(walk, &mut table, limits),
        _ => slots_backend(walk, &mut table).map(Profile::bare),
    };
    table.finish(walk, &["cache"]);
    backend
}

/// The profile that a back end names, if it names one: `Some(None)` if there is none of that name.
pub(super) fn named<'a, T>(
    walk: &mut Walk,
    table: &mut Table<'_>,
    find: impl Fn(&str) -> Option<Profile<T>>,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<Option<Profile<T>>> {
    let field = table.take("profile")?;
    let name = walk.text(field)?;
    let profile = find(name);
    if profile.is_none() {
        let help = suggest("profile", name, names);
        walk.problem(field.place(), format!("unknown profile {}", quote(name)))
            .label("no profile of this kind")
            .help(format!("{help}\nall profiles: plimsoll list profiles"));
    }
    Some(profile)
}

fn api_backend(
    walk: &mut Walk,
    table: &mut Table<'_>,
    limits: Limits,
) -> Option<Profile<BackendSpec>> {
    let named = named(walk, table, profile::hosted, profile::profiles().hosted_names());
    let ttft = table.take("ttft");
    let speed = table.take("tokens_per_second");
    let ttft = match (ttft, &named) {
        (None, Some(profile)) => profile.as_ref().map(|profile| profile.spec.ttft),
        (None, None) => {
            table.need(walk, "ttft");
            None
        }
        (Some(field), _) => read_or_zero(walk, field, Unit::Time),
    };
    let speed = match (speed, &named) {
        (None, Some(profile)) => profile.as_ref().map(|profile| profile.spec.tokens_per_second),
        (None, None) => {
            table.need(walk, "tokens_per_second");
            None
        }
        (Some(field), _) => speed_law(walk, field),
    };
    let (ttft, tokens_per_second) = ttft.zip(speed)?;
    let spec = BackendSpec::Api(ApiSpec { ttft, tokens_per_second }, limits);
    let named = named.flatten();
    let (prices, hourly) = named.map_or((None, None), |profile| (profile.prices, profile.hourly));
    Some(Profile { spec, prices, hourly })
}

fn speed_law(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let speed = read_dist(walk, field, Unit::Plain)?;
    if speed.mean() > SPEED_MAX {
        walk.must_be(field, &format!("at most {} in the mean", digits(SPEED_MAX as u64)));
    }
    Some(speed)
}

fn slots_backend(walk: &mut Walk, table: &mut Table<'_>) -> Option<BackendSpec> {
    let servers =
        table.need(walk, "servers").and_then(|field| walk.count(field, 1..=CONCURRENCY_MAX));
    // Without a bound the queue holds whatever comes, as the textbook has it.
    let queue = table
        .take("queue")
        .map_or(Some(u64::from(u32::MAX)), |field| walk.count(field, 0..=u64::from(u32::MAX)));
    let service = table.need(walk, "service").and_then(|field| read_dist(walk, field, Unit::Time));
    let per_item = table
        .take("per_item")
        .map_or(Some(Span::ZERO), |field| walk.span(field, Span::ZERO..=Span::MAX));
    let ((servers, queue), service) = servers.zip(queue).zip(service)?;
    let per_item = per_item?;
    let spec = SlotsSpec { servers: servers as u32, queue: queue as u32, service, per_item };
    Some(BackendSpec::Slots(spec))
}

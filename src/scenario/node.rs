//! `[[pool.node]]`: a node, or a group of nodes that differ in their names only.

use std::path::PathBuf;

use super::autoscale::{self, Autoscale};
use super::backend::{self, BACKEND, stand_in};
use super::keys::{
    KeyDef, KeyKind, LABEL, NAME, SectionDef, Usual, key, names, need, section, text, upto,
};
use super::names::Names;
use super::pool::{Fleet, NODES_MAX};
use super::problem::Place;
use super::table::Table;
use super::value::{Field, Walk, digits};
use crate::balance::{Limits, NodeSpec, Prices, Tier};
use crate::metrics::NodeLabel;
use crate::node::BackendSpec;
use crate::unit::{CredentialId, ModelId, NodeId, PoolId, Price, RegionId};

/// A scenario uses at most so many tags: a node's tags are bits of one word.
pub const TAGS_MAX: usize = 64;

/// Weights go so far.
pub const WEIGHT_MAX: u64 = 1_000_000;

pub use crate::node::fault::PRICE_MAX;

/// Attempts at a time on one node go so far.
pub const CONCURRENCY_MAX: u64 = 1_000_000;

/// Limits a minute go so far.
pub const PER_MINUTE_MAX: u64 = 1_000_000_000_000;

const TIERS: [(&str, Tier); 3] =
    [("primary", Tier::Primary), ("backup", Tier::Backup), ("secondary", Tier::Secondary)];

/// `[[pool.node]]`.
pub(super) static NODE: SectionDef = SectionDef {
    keys: &[
        need(
            "name",
            NAME,
            "what faults and expectations call it; those of a group get a number too",
        ),
        key(
            "count",
            KeyKind::Whole(1, NODES_MAX as u64),
            Usual::Unsaid("one node"),
            "so many nodes that differ in their names only",
        ),
        key(
            "autoscale",
            KeyKind::Table(&autoscale::AUTOSCALE),
            Usual::Unsaid("always the same"),
            "the group grows and shrinks",
        ),
        key("model", LABEL, Usual::Unsaid("not said"), "the model it serves"),
        key("region", LABEL, Usual::Unsaid("not said"), "where it is"),
        key(
            "tier",
            KeyKind::Word(&names(&TIERS)),
            Usual::Word("primary"),
            "it is used when those of the tiers before are not enough",
        ),
        key(
            "weight",
            KeyKind::Whole(1, WEIGHT_MAX),
            Usual::Whole(1),
            "its capacity, relative to the other nodes",
        ),
        key(
            "price",
            KeyKind::Table(&PRICE),
            Usual::Unsaid("nothing, or the profile's"),
            "dollars per million tokens",
        ),
        key(
            "hourly_price",
            upto(PRICE_MAX),
            Usual::Unsaid("nothing, or the profile's"),
            "dollars an hour",
        ),
        key("limits", KeyKind::Table(&LIMITS), Usual::Unsaid("none"), "what it takes"),
        key("tags", LABELS, Usual::Unsaid("none"), "what routes may require"),
        key(
            "url",
            KeyKind::OneOrMore(&URL, NODES_MAX),
            Usual::Unsaid("it is simulated only"),
            "its address, or a list with one for each node of the group",
        ),
        key(
            "key_env",
            text("the name of an environment variable", "^[A-Za-z0-9_]+$"),
            Usual::Unsaid("no key"),
            "the environment variable that holds its key",
        ),
        key("dialect", LABEL, Usual::Unsaid("openai"), "what its server is, such as \"vllm\""),
        key(
            "ca_file",
            LABEL,
            Usual::Unsaid("those whom browsers trust"),
            "a file with the certificates of those who are trusted to stand for it instead",
        ),
        key("credential", LABEL, Usual::Unsaid("as `key_env`"), "nodes of one name share a key"),
        key(
            "backend",
            KeyKind::Variant(&BACKEND, "kind of back end"),
            Usual::NeededUnless("url"),
            "how it behaves in a simulation",
        ),
    ],
    later: &["profile", "cache", "noise"],
    ..section("node", "`[[pool.node]]`")
};

const URL: KeyKind = text("an address that begins with http:// or https://", "^https?://");

/// A list of tags.
pub(super) const LABELS: KeyKind = KeyKind::List(&LABEL, 0, TAGS_MAX);

static PRICE: SectionDef = SectionDef {
    keys: &[
        need("input", upto(PRICE_MAX), "of the prompt"),
        need("output", upto(PRICE_MAX), "of the answer"),
        key(
            "cached_input",
            upto(PRICE_MAX),
            Usual::Unsaid("as `input`"),
            "of the part of the prompt that was cached",
        ),
    ],
    later: &["cache_write", "batch", "priority"],
    ..section("price", "")
};

/// Of a node, and of a pool.
pub(super) static LIMITS: SectionDef = SectionDef {
    keys: &[CONCURRENCY, REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE],
    later: &["output_tokens_per_minute", "requests_per_day"],
    ..section("limits", "")
};

pub(super) const CONCURRENCY: KeyDef = key(
    "concurrency",
    KeyKind::Whole(1, CONCURRENCY_MAX),
    Usual::Unsaid("no limit"),
    "requests at a time",
);
pub(super) const REQUESTS_PER_MINUTE: KeyDef = key(
    "requests_per_minute",
    KeyKind::Whole(1, PER_MINUTE_MAX),
    Usual::Unsaid("no limit"),
    "requests a minute",
);
pub(super) const TOKENS_PER_MINUTE: KeyDef = key(
    "tokens_per_minute",
    KeyKind::Whole(1, PER_MINUTE_MAX),
    Usual::Unsaid("no limit"),
    "tokens of prompts and answers a minute",
);

/// How a node is reached for real.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveNode {
    /// Its base address.
    pub url: Option<String>,
    /// The environment variable that holds its key.
    pub key_env: Option<String>,
    /// The protocol it speaks.
    pub dialect: Option<String>,
    /// Certificates of those who are trusted to stand for it, instead of the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// One `[[pool.node]]`: a node, or `count` nodes that differ in their names only.
pub(super) fn read(walk: &mut Walk, mut table: Table<'_>, fleet: &mut Fleet, pool: usize) {
    let name_field = table.need(walk, "name");
    let name = name_field.and_then(|field| walk.name(field));
    let count_field = table.take("count");
    let count = count_field.map(|field| walk.count(field));
    let start = count_field.zip(count.flatten());
    let scale_field = table.take("autoscale");
    let scale = scale_field.map(|field| autoscale::read(walk, field, start));
    let parts = read_parts(walk, &mut table, fleet, pool);
    if let Some(BackendSpec::Engine(spec)) = &parts.backend {
        fleet.engines.push((parts.place.clone(), *spec));
    }
    let place = table.place;
    table.finish(walk);
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
            shares_time: matches!(backend, Some(BackendSpec::Engine(_))),
            hourly: spec.hourly,
            prices: spec.prices,
        });
        self.nodes.push(spec);
        self.backends.extend(backend);
        self.live.push(LiveNode { url, ..parts.live.clone() });
    }
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
    let tier = table.word(walk, "tier", &TIERS);
    let weight = table.count(walk, "weight");
    let price = table.take("price").and_then(|field| prices(walk, field));
    let hourly = table.number(walk, "hourly_price");
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
    let backend = field.and_then(|field| backend::read(walk, field, limits));
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
    let mut table = walk.table(field)?;
    let mut price = |key| table.number(walk, key).map(Price::from_dollars);
    let (input, output) = (price("input"), price("output"));
    // Without a price of their own, cached tokens cost what others cost.
    let cached_input = price("cached_input");
    table.finish(walk);
    let (input, output) = (input.unwrap_or_default(), output.unwrap_or_default());
    Some(Prices { input, cached_input: cached_input.unwrap_or(input), output })
}

pub(super) fn limits(walk: &mut Walk, field: Field<'_>) -> Limits {
    let Some(mut table) = walk.table(field) else {
        return Limits::default();
    };
    let limits = limits_in(walk, &mut table);
    table.finish(walk);
    limits
}

/// Limits that stand in a table with other words.
pub(super) fn limits_in(walk: &mut Walk, table: &mut Table<'_>) -> Limits {
    let concurrency = table.count(walk, "concurrency");
    Limits {
        concurrency: concurrency.map(|concurrency| concurrency as u32),
        requests_per_minute: table.count(walk, "requests_per_minute"),
        tokens_per_minute: table.count(walk, "tokens_per_minute"),
    }
}

fn tags(walk: &mut Walk, field: Field<'_>, names: &mut Names) -> u64 {
    let mut bits = 0;
    for item in walk.list(field) {
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
    let fields = walk.one_or_more(field);
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
    let ca_file = table.take("ca_file").and_then(|field| label(walk, field)).map(PathBuf::from);
    LiveNode { url: None, key_env, dialect, ca_file }
}

//! `[[pool]]`: the fleet, pool by pool.

use super::keys::{KeyKind, NAME, SectionDef, Usual, between, key, names, need, section};
use super::names::Names;
use super::node::{self, LiveNode};
use super::problem::{Place, quote};
use super::region::Use;
use super::table::Table;
use super::value::{Field, Walk};
use super::{autoscale, health, limiter, sticky, strategy};
use crate::balance::{HealthSettings, Locality, NodeSpec, PoolSpec, ScaleSpec, StickySpec};
use crate::dist::Dist;
use crate::metrics::NodeLabel;
use crate::node::BackendSpec;
use crate::unit::{NodeId, Ratio};

/// A scenario has at most so many pools.
pub const POOLS_MAX: usize = 256;

/// A fleet has at most so many nodes.
pub const NODES_MAX: usize = 20_000;

/// Tiers are built for so many times their load at most.
const OVERPROVISION_MAX: f64 = 100.0;

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

const KINDS: [(&str, PoolKind); 3] =
    [("llm", PoolKind::Llm), ("agent", PoolKind::Agent), ("tool", PoolKind::Tool)];

/// The balancer's own region is found later.
const LOCALITIES: [(&str, Option<Locality>); 3] = [
    ("anywhere", Some(Locality::Anywhere)),
    ("origin", Some(Locality::Origin)),
    ("balancer", None),
];

/// `[[pool]]`.
pub(super) static POOL: SectionDef = SectionDef {
    keys: &[
        need("name", NAME, "what routes, faults and expectations call it"),
        key(
            "kind",
            KeyKind::Word(&names(&KINDS)),
            Usual::Word("llm"),
            "what it is made of; a gateway passes what is said to agents and tools on as it is",
        ),
        need(
            "strategy",
            KeyKind::Strategy,
            "which of its nodes that may serve a request does: `plimsoll list strategies`",
        ),
        key(
            "batch",
            KeyKind::Table(&autoscale::BATCH),
            Usual::Unsaid("one by one"),
            "requests are sent to a node together",
        ),
        key(
            "locality",
            KeyKind::Word(&names(&LOCALITIES)),
            Usual::Word("anywhere"),
            "nodes in the region of the request's origin, or of the balancer, come first",
        ),
        key(
            "overprovision",
            between(1.0, OVERPROVISION_MAX),
            Usual::Unsaid("the next tier waits until this one has no node"),
            "a tier keeps this times the share of it that is healthy; the rest goes to the next one",
        ),
        key(
            "health",
            KeyKind::Table(&health::HEALTH),
            Usual::Unsaid("as `balancer.health`, word by word"),
            "who of its nodes is looked after, taken out and let in again",
        ),
        key(
            "limits",
            KeyKind::Table(&node::LIMITS),
            Usual::Unsaid("none"),
            "what the pool takes as a whole",
        ),
        key(
            "limiter",
            limiter::LIMITER,
            Usual::Word("none"),
            "how it is found out how many attempts each node takes at a time",
        ),
        key(
            "sticky",
            KeyKind::Table(&sticky::STICKY),
            Usual::Unsaid("no"),
            "requests that belong together go to the same node, on routes that lead here first",
        ),
        need("node", KeyKind::Tables(&node::NODE, NODES_MAX), "its nodes"),
    ],
    later: &["capacity", "max_wait"],
    ..section("pool", "`[[pool]]`")
};

/// What the `[[pool]]` tables say.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) pool_names: Names,
    pub(super) pools: Vec<PoolSpec>,
    pub(super) kinds: Vec<PoolKind>,
    /// By pool: which sessions stay.
    pub(super) sticky: Vec<Option<StickySpec>>,
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
        sticky: Vec::new(),
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
    for table in walk.tables(field) {
        read_pool(walk, table, &mut fleet, health);
    }
    fleet
}

fn read_pool(walk: &mut Walk, mut table: Table<'_>, fleet: &mut Fleet, health: &HealthSettings) {
    let name = name(walk, &mut table, &mut fleet.pool_names);
    let kind = table.word(walk, "kind", &KINDS);
    fleet.kinds.push(kind.unwrap_or_default());
    let strategy = table.need(walk, "strategy").and_then(|field| strategy::read(walk, field));
    let batch = table.take("batch").and_then(|field| autoscale::batch(walk, field));
    let locality = table.take("locality").and_then(|field| {
        let locality = walk.word(field, &LOCALITIES)?;
        if locality.is_none() {
            fleet.near_balancer.push((fleet.pools.len(), field.place().clone()));
        }
        locality
    });
    let overprovision = table.take("overprovision").and_then(|field| {
        let factor = walk.finite(field)?;
        if !field.range().contains(factor) {
            walk.must_be(field, &field.range().to_string())
                .label("a tier keeps this times the share of it that is healthy");
            return None;
        }
        Some(Ratio::from_f64(factor))
    });
    let health = health::of_pool(walk, &mut table, health);
    let sticky = table.take("sticky").and_then(|field| sticky::read(walk, field));
    fleet.sticky.push(sticky);
    let limits_field = table.take("limits");
    let limits = limits_field.map(|field| node::limits(walk, field)).unwrap_or_default();
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
    let list = walk.tables(nodes);
    let empty = nodes.is_none_or(
        |field| matches!(&field.value.kind, super::document::Kind::List(items) if items.is_empty()),
    );
    if empty {
        walk.problem(&nodes_field_place, format!("pool {} has no nodes", quote(&name)))
            .label("empty")
            .help("write a `[[pool.node]]` under it");
    }
    for node in list {
        node::read(walk, node, fleet, pool);
    }
    table.finish(walk);
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

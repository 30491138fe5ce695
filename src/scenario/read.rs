//! The file as a whole: its sections one by one, in the order in which they need each other, and what
//! comes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::Entry;
use super::gateway::GatewaySettings;
use super::keys::{
    COUNT, KeyKind, NAME, POSITIVE_SPAN, SPAN, SectionDef, TEXT, Usual, key, need, section,
};
use super::problem::Place;
use super::table::Table;
use super::value::{Field, Walk};
use super::workload::Workload;
use super::{
    ACTS_MAX, Arrivals, CLASSES_MAX, EXPECTS_MAX, ExpectText, FAULTS_MAX, POOLS_MAX, REQUESTS_MAX,
    ROUTES_MAX, SEED_DEFAULT, Scenario, TRACE_OUTPUT, WORKFLOWS_MAX,
};
use super::{
    admission, advice, balancer, by_hand, class, engine, fault, gateway, names, pool, quality,
    region, route, workflow, workload,
};
use crate::balance::{Config, NodeSpec, PoolSpec, RouteSpec, ScaleSpec};
use crate::metrics::Labels;
use crate::sim::{Act, NetworkSpec};
use crate::unit::{ModelId, Span, TenantId, Time, Tokens};
use crate::workload::{ClassSpec, QualitySpec};

/// What a scenario may say.
pub static SCENARIO: SectionDef = SectionDef {
    keys: &[
        key("name", NAME, Usual::Unsaid("the name of the file"), "what reports call it"),
        key("title", TEXT, Usual::Unsaid("the name of the file"), "what it is about, in one line"),
        key("seed", COUNT, Usual::Whole(SEED_DEFAULT), "seeds everything random"),
        key(
            "duration",
            POSITIVE_SPAN,
            Usual::Unsaid("until `requests` have come, or the trace ends"),
            "when arrivals stop",
        ),
        key(
            "requests",
            KeyKind::Whole(1, REQUESTS_MAX),
            Usual::Unsaid("no limit"),
            "at most so many requests arrive; where jobs start, so many jobs",
        ),
        key(
            "warmup",
            SPAN,
            Usual::Span(Span::ZERO),
            "what arrives earlier is left out of every statistic",
        ),
        key(
            "balancer",
            KeyKind::Table(&balancer::BALANCER),
            Usual::Unsaid("every default"),
            "retries, timeouts, health, who waits, who is shed, how many balancers there are",
        ),
        key(
            "tenant",
            KeyKind::Tables(&admission::TENANT, admission::TENANTS_MAX),
            Usual::Unsaid("all tenants are alike"),
            "what some tenants may take that others may not",
        ),
        need("pool", KeyKind::Tables(&pool::POOL, POOLS_MAX), "nodes, and the strategy among them"),
        key(
            "class",
            KeyKind::Tables(&class::CLASS, CLASSES_MAX),
            Usual::Unsaid("one class, `default`"),
            "kinds of requests: lengths, shares and what their users are promised",
        ),
        key(
            "regions",
            KeyKind::Table(&region::REGIONS),
            Usual::Unsaid("nothing is far away"),
            "how far the balancer is from everything",
        ),
        key(
            "quality",
            KeyKind::Table(&quality::QUALITY),
            Usual::Unsaid("nothing is known of it"),
            "how good the answers of each model are",
        ),
        key(
            "gateway",
            KeyKind::Table(&gateway::GATEWAY),
            Usual::Unsaid("every default"),
            "what a gateway does beside balancing",
        ),
        key(
            "route",
            KeyKind::Tables(&route::ROUTE, ROUTES_MAX),
            Usual::Unsaid("everything to all pools, in file order"),
            "which requests go to which pools; the first that matches",
        ),
        key(
            "workflow",
            KeyKind::Tables(&workflow::WORKFLOW, WORKFLOWS_MAX),
            Usual::Unsaid("no jobs"),
            "jobs of several steps",
        ),
        key(
            "workload",
            KeyKind::Table(&workload::WORKLOAD),
            Usual::Unsaid("needed unless every node has a `url`"),
            "when requests arrive",
        ),
        key(
            "fault",
            KeyKind::Tables(&fault::FAULT, FAULTS_MAX),
            Usual::Unsaid("nothing goes wrong"),
            "what goes wrong, and when",
        ),
        key(
            "by_hand",
            KeyKind::Tables(&by_hand::BY_HAND, ACTS_MAX),
            Usual::Unsaid("nobody interferes"),
            "what a person did to a run, so that it can be run again",
        ),
        key(
            "expect",
            KeyKind::Tables(&EXPECT, EXPECTS_MAX),
            Usual::Unsaid("nothing is expected"),
            "what has to hold in the end",
        ),
        key(
            "check",
            KeyKind::Table(&advice::CHECK),
            Usual::Unsaid("every piece of advice is given"),
            "what `plimsoll check` need not warn of",
        ),
    ],
    later: &["session", "network"],
    ..section("scenario", "the scenario")
};

static EXPECT: SectionDef = SectionDef {
    keys: &[need("that", TEXT, "an expectation, such as \"chat.ttft.p99 < 2s\"")],
    ..section("expect", "`[[expect]]`")
};

/// How long the run is, as far as the top of the file says.
struct RunBounds<'a> {
    duration: Option<Span>,
    duration_field: Option<Field<'a>>,
    requests: Option<u64>,
    warmup: Span,
}

impl RunBounds<'_> {
    /// Returns the end that the file has: a run cut short on the command line may leave faults out.
    fn end_in_file(&self) -> Option<Span> {
        let field = self.duration_field.filter(|field| matches!(field.place(), Place::Span(_)));
        self.duration.filter(|_| field.is_some())
    }
}

fn read_bounds<'a>(walk: &mut Walk, table: &mut Table<'a>) -> RunBounds<'a> {
    let duration_field = table.take("duration");
    let duration = duration_field.and_then(|field| walk.span(field));
    let requests = table.count(walk, "requests");
    let warmup_field = table.take("warmup");
    let warmup = warmup_field.and_then(|field| walk.span(field));
    if let (Some(duration), Some(warmup), Some(field)) = (duration, warmup, warmup_field)
        && warmup >= duration
    {
        // The shorter duration may have come from the command line: then that is the place.
        let place = match duration_field.map(|field| field.place()) {
            Some(place @ Place::Override(_)) => place,
            _ => field.place(),
        };
        let message = format!("`warmup` ({warmup}) must be shorter than `duration` ({duration})");
        walk.problem(place, message).label("nothing would be measured");
    }
    RunBounds { duration, duration_field, requests, warmup: warmup.unwrap_or_default() }
}

/// Arrivals that are made up never end by themselves.
fn check_end(walk: &mut Walk, bounds: &RunBounds<'_>, workload: Field<'_>, arrivals: &Arrivals) {
    let endless = bounds.duration.is_none() && bounds.requests.is_none();
    if endless && bounds.duration_field.is_none() && arrivals.endless() {
        walk.problem(workload.place(), "the run has no end")
            .label("arrivals go on for ever")
            .help("write `duration = \"10m\"` or `requests = 100_000` at the top of the file");
    }
}

fn read_expects(walk: &mut Walk, field: Option<Field<'_>>) -> Vec<ExpectText> {
    let mut expectations = Vec::new();
    for mut table in walk.tables(field) {
        if let Some(field) = table.need(walk, "that")
            && let Some(text) = walk.text(field)
        {
            if text.trim().is_empty() {
                walk.must_be(field, "an expectation such as \"failed < 1%\"");
            }
            expectations.push(ExpectText { text: text.to_owned(), place: field.place().clone() });
        }
        table.finish(walk);
    }
    expectations
}

/// Expected lengths of answers, by class.
fn expected_output(classes: &[ClassSpec], arrivals: &Arrivals) -> Vec<Tokens> {
    let of = |class: &ClassSpec| match arrivals {
        Arrivals::Made(_) | Arrivals::Users(_) => {
            Tokens((class.output.mean().round() as u64).max(1))
        }
        _ => TRACE_OUTPUT,
    };
    classes.iter().map(of).collect()
}

fn read_workload(
    walk: &mut Walk,
    top: &mut Table<'_>,
    bounds: &RunBounds<'_>,
    fleet: &pool::Fleet,
    flows: &mut workflow::Workflows,
) -> (Option<Workload>, bool) {
    // The gateway reads the same file and has no use for a workload.
    let live = fleet.reachable && !fleet.live.is_empty();
    let field = if live { top.take("workload") } else { top.need(walk, "workload") };
    let Some(field) = field else {
        let idle = Workload { arrivals: Arrivals::Made(1.0.into()), sessions: None };
        return (Some(idle), true);
    };
    let workload = workload::read(walk, field, flows);
    if let Some(workload) = &workload {
        check_end(walk, bounds, field, &workload.arrivals);
    }
    (workload, false)
}

/// What it is called, and what it is about.
fn read_names<'a>(walk: &mut Walk, top: &mut Table<'a>, file: &'a str) -> (&'a str, String) {
    let name = top.take("name").and_then(|field| walk.name(field)).unwrap_or(file);
    (name, top.take("title").and_then(|field| walk.text(field)).unwrap_or(name).to_owned())
}

pub(super) fn read_document(walk: &mut Walk, document: &[Entry], name: &str) -> Option<Scenario> {
    let mut top = Table::new("", &Place::File, document, &SCENARIO);
    let (name, title) = read_names(walk, &mut top, name);
    let seed = top.count(walk, "seed");
    let bounds = read_bounds(walk, &mut top);
    let balancer = top.take("balancer");
    let mut settings = balancer::read(walk, balancer);
    let tenant_tables = top.take("tenant");
    let (tenants, tenant_names) = admission::named(walk, tenant_tables, settings.tenants.each);
    settings.tenants = tenants;
    // A list without an item says as much as none.
    let said = |field: Option<Field<'_>>| field.is_some_and(|field| !field.is_list_below(1));
    let pools = top.take("pool");
    let mut fleet = pool::read(walk, pools.filter(|_| said(pools)), &settings.health);
    let given = top.take("class");
    let mut classes = class::read(walk, given.filter(|_| said(given)), &mut fleet);
    let priorities = classes.specs.iter().map(|class| class.priority);
    admission::default_bands(&mut settings.said, priorities);
    let uses = std::mem::take(&mut fleet.region_uses);
    let network = region::read(walk, top.take("regions"), balancer, &mut fleet, &uses);
    if settings.instances.count > 1
        && !fleet.scale.is_empty()
        && let Some(field) = balancer
    {
        walk.problem(field.place(), "several balancers cannot scale one group of nodes")
            .label("`instances` is above one")
            .help("leave out `autoscale`, or let `instances` be 1");
    }
    let quality = quality::read(walk, top.take("quality"), &fleet.models, &classes.names);
    let mut known = route::Known {
        fleet: &mut fleet,
        classes: &classes.names,
        attributes: &mut classes.attributes,
        quality: quality.as_ref(),
    };
    let given = top.take("route");
    let mut routes = route::read(walk, given.filter(|_| said(given)), &mut known);
    name_models(walk, &classes, &fleet, &mut routes);
    admission::check_cheaper(walk, &[tenant_tables, balancer], &settings.tenants, &routes.0);
    let (routes, route_names) = routes;
    let mut flows = workflow::read(walk, top.take("workflow"), &classes.names);
    let (workload, idle) = read_workload(walk, &mut top, &bounds, &fleet, &mut flows);
    let made = workload.as_ref().is_some_and(|workload| workload.arrivals.endless());
    if made {
        engine::check_room(walk, &fleet.engines, &classes.specs);
    }
    let end = bounds.end_in_file();
    let faults = fault::read(walk, top.take("fault"), &fleet, end);
    let acts = by_hand::read(walk, top.take("by_hand"), &fleet, workload.as_ref());
    let expectations = read_expects(walk, top.take("expect"));
    let allowed = advice::allowed(walk, top.take("check"));
    let gateway = gateway::read(walk, top.take("gateway"));
    top.finish(walk);
    let seed = seed.unwrap_or(SEED_DEFAULT);
    let parts = Parts {
        settings,
        fleet,
        classes,
        routes,
        route_names,
        tenant_names,
        network,
        flows,
        faults,
        acts,
        expectations,
        idle,
        quality,
        allowed,
        gateway,
    };
    workload.map(|workload| assemble(name, title, seed, &bounds, workload, parts))
}

/// Adds the routes of classes whose requests name a model. Each class must be led to it.
fn name_models(
    walk: &mut Walk,
    classes: &class::Classes,
    fleet: &pool::Fleet,
    (routes, names): &mut (Vec<RouteSpec>, Vec<String>),
) {
    let mut models: Vec<ModelId> = classes.named.iter().map(|(_, model, _)| *model).collect();
    models.sort_unstable();
    models.dedup();
    let Some(added) = RouteSpec::name_models(routes, &fleet.nodes, &models) else {
        let problem = walk.problem(&classes.named[0].2, super::TOO_MANY_NAMED);
        problem.help("let fewer classes name a model, or write fewer routes");
        return;
    };
    super::name_routes(names, fleet.models.list(), &added);
    for (class, model, place) in &classes.named {
        if !routes.iter().any(|route| route.leads_to(*class, *model)) {
            walk.problem(place, "no route leads requests of this class to a node of this model")
                .label("nothing could serve them")
                .help("name a pool with such a node in `to` of a route that this class may take");
        }
    }
}

/// What the sections say.
struct Parts {
    settings: balancer::BalancerSettings,
    fleet: pool::Fleet,
    classes: class::Classes,
    routes: Vec<RouteSpec>,
    /// Empty if none has a name.
    route_names: Vec<String>,
    tenant_names: BTreeMap<TenantId, String>,
    network: Option<NetworkSpec>,
    flows: workflow::Workflows,
    faults: fault::Faults,
    acts: Vec<Act>,
    expectations: Vec<ExpectText>,
    idle: bool,
    quality: Option<QualitySpec>,
    allowed: Vec<&'static str>,
    gateway: GatewaySettings,
}

fn config(
    seed: u64,
    pools: Vec<PoolSpec>,
    nodes: Vec<NodeSpec>,
    routes: Vec<RouteSpec>,
    expected_output: Vec<Tokens>,
    scale: Vec<ScaleSpec>,
    settings: &balancer::BalancerSettings,
) -> Config {
    let balancer::BalancerSettings { retry, timeouts, health, queue, hedge, .. } = *settings;
    let tenants = settings.tenants.clone();
    let view = settings.view();
    Config {
        seed,
        expected_output,
        retry,
        timeouts,
        health,
        queue,
        view,
        scale,
        hedge,
        admission: admission::admission(&settings.said, tenants, settings.quotas),
        shed: settings.shed,
        degrade: settings.degrade,
        ..Config::new(pools, nodes, routes)
    }
}

/// Names of models, by node.
fn models_of(models: &names::Names, nodes: &[NodeSpec]) -> Vec<String> {
    let name = |node: &NodeSpec| models.list().get(node.model.index()).cloned();
    nodes.iter().map(|node| name(node).unwrap_or_default()).collect()
}

fn assemble(
    name: &str,
    title: String,
    seed: u64,
    bounds: &RunBounds<'_>,
    workload: Workload,
    parts: Parts,
) -> Scenario {
    let Workload { arrivals, sessions } = workload;
    let Parts {
        settings, fleet, classes, routes, network, flows, faults, expectations, idle, ..
    } = parts;
    let live_only = fleet.live_only.into_iter();
    let live_only = live_only.map(|place| (place, "the node cannot be simulated"));
    let idle = idle.then_some((Place::File, "the scenario has no workload"));
    let rated = parts.quality.as_ref().map(|_| models_of(&fleet.models, &fleet.nodes));
    let labels = Labels {
        scenario: name.to_owned(),
        seed,
        warmup: Time::ZERO + bounds.warmup,
        classes: classes.labels,
        pools: fleet.pool_names.list().to_vec(),
        nodes: fleet.labels,
        groups: fleet.scale.iter().map(|group| group.name.clone()).collect(),
        regions: region::nodes(&fleet.regions, &fleet.nodes),
        workflows: flows.labels,
        models: rated.unwrap_or_default(),
        routes: parts.route_names,
        tenants: parts.tenant_names,
    };
    let expected_output = expected_output(&classes.specs, &arrivals);
    let (pools, nodes) = (fleet.pools, fleet.nodes);
    let balancer = config(seed, pools, nodes, routes, expected_output, fleet.scale, &settings);
    Scenario {
        name: name.to_owned(),
        title,
        seed,
        duration: bounds.duration,
        requests: bounds.requests,
        warmup: bounds.warmup,
        balancer,
        kinds: fleet.kinds,
        backends: fleet.backends,
        live: fleet.live,
        gateway: parts.gateway,
        classes: classes.specs,
        arrivals,
        sessions,
        workflows: flows.specs,
        faults: faults.specs,
        fault_rules: faults.rules,
        acts: parts.acts,
        labels,
        expectations,
        groups: fleet.node_names.list().iter().cloned().zip(fleet.named).collect(),
        models: fleet.models.list().to_vec(),
        regions: fleet.regions.list().to_vec(),
        tags: fleet.tags.list().to_vec(),
        attributes: classes.attributes.list().to_vec(),
        network,
        inter_token: settings.inter_token,
        floor: settings.floor,
        unsaid: settings.unsaid,
        connect: settings.connect,
        instances: settings.instances,
        cold_starts: fleet.cold_starts,
        quality: parts.quality,
        allowed: parts.allowed,
        file: String::new(),
        source: Arc::from(""),
        not_simulable: live_only.chain(idle).collect(),
    }
}

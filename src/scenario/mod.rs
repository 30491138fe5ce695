//! Scenarios: one TOML file with everything a run needs, read, checked and explained.
//!
//! The document is walked by hand instead of deserialised: so that all problems of a file are
//! reported at once, each with the exact place, and so that overrides of the command line are
//! checked by the same code as the file. Every limit is a named constant of the section it belongs
//! to. What is left when no problem was found needs no further checks: building a run from a
//! [`Scenario`] does not fail.

#[cfg(feature = "live")]
mod address;
mod admission;
mod autoscale;
mod balancer;
mod builtin;
mod choose;
mod class;
mod dist;
mod document;
mod engine;
mod fault;
mod hedge;
mod limiter;
mod names;
mod origin;
mod overload;
mod overrides;
mod pool;
mod problem;
mod process;
pub mod profile;
mod quality;
mod region;
mod route;
mod strategy;
#[cfg(test)]
mod tests;
mod traffic;
mod value;
mod workflow;
mod workload;

use std::ops::Range;
use std::sync::Arc;

#[cfg(feature = "live")]
pub use address::with_urls;
pub use admission::{
    AGEING_DEFAULT, AGEING_MAX, LIFO_AFTER_DEFAULT, MIN_SHARE_DEFAULT, TENANT_WEIGHT_MAX,
};
pub use autoscale::{
    BATCH_MAX, COLD_START_DEFAULT, DOWN_AFTER_DEFAULT, EVERY_DEFAULT, STEPS_DEFAULT, TARGET_MAX,
    TOLERANCE_DEFAULT, UP_MAX,
};
pub use balancer::{CONNECT_DEFAULT, EVERY_MIN, QUEUE_MAX, TIMES_MAX};
pub use builtin::{BUILTIN, find, suggestion};
pub use choose::{
    ACCEPT_DEFAULT, MEMORY_DEFAULT, MEMORY_MAX, PRIOR_DEFAULT, WINDOW_DEFAULT, WORTH_MAX,
};
pub use class::{CLASSES_MAX, COMPLEXITY_MAX, OUTPUT_DEFAULT, PROMPT_DEFAULT, SHARE_MAX};
pub use document::{BYTES_MAX, DEPTH_MAX};
pub use fault::{FACTOR_MAX, FAULTS_MAX};
pub use origin::ATTRIBUTES_MAX;
pub use overrides::{Given, Override};
pub use pool::{
    CONCURRENCY_MAX, LiveNode, NODES_MAX, PER_MINUTE_MAX, POOLS_MAX, PRICE_MAX, PoolKind,
    SPEED_MAX, TAGS_MAX, WEIGHT_MAX,
};
pub use problem::{DRAWN_MAX, Place, Problem, Problems};
pub use quality::{AUC_DEFAULT, CHANGES_MAX, FEEDBACK_AFTER};
pub use region::{JITTER_DEFAULT, REGIONS_MAX, RTT_MAX};
pub use route::{ROUTES_MAX, TENANTS_MAX};
pub use value::{NAME_MAX, TEXT_MAX};
pub use workflow::WORKFLOWS_MAX;
pub use workload::{Arrivals, RATE_MAX, SCALE_MAX};

use crate::balance::{Config, NodeSpec, PoolSpec, RouteSpec, ScaleSpec};
use crate::dist::Dist;
use crate::metrics::Labels;
use crate::node::{BackendSpec, FaultRule, FaultSpec};
use crate::sim::{Instances, NetworkSpec};
use crate::unit::{NodeId, Span, Time, Tokens};
use crate::workload::{ClassSpec, QualitySpec, SessionSpec, WorkflowSpec};
use document::Entry;
use value::{Field, Table, Walk};
use workload::Workload;

/// The seed of a scenario that names none.
pub const SEED_DEFAULT: u64 = 1;

/// A run has at most so many requests.
pub const REQUESTS_MAX: u64 = 1_000_000_000_000;

/// A scenario has at most so many expectations.
pub const EXPECTS_MAX: usize = 1_000;

/// Tokens an answer of a trace is expected to have, before any was seen.
pub const TRACE_OUTPUT: Tokens = Tokens(256);

/// Everything a run needs, checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// File stem, or name of the built-in scenario.
    pub name: String,
    /// What it is about, in one line.
    pub title: String,
    /// Seeds everything random.
    pub seed: u64,
    /// When arrivals stop. Arrivals that are made up have this or `requests`; a trace may have neither.
    pub duration: Option<Span>,
    /// At most so many requests arrive; where jobs start, so many jobs.
    pub requests: Option<u64>,
    /// What arrives earlier is left out of every statistic.
    pub warmup: Span,
    /// What the balancer is built from.
    pub balancer: Config,
    /// By pool: what it is made of.
    pub kinds: Vec<PoolKind>,
    /// By node. Meaningless for nodes that have a `url` only; see [`Scenario::check_simulable`].
    pub backends: Vec<BackendSpec>,
    /// By node: how it is reached for real.
    pub live: Vec<LiveNode>,
    /// By class.
    pub classes: Vec<ClassSpec>,
    /// When requests arrive, or jobs start if a workflow has a share.
    pub arrivals: Arrivals,
    /// What arrivals begin, if not single requests.
    pub sessions: Option<SessionSpec>,
    /// By workflow.
    pub workflows: Vec<WorkflowSpec>,
    /// What goes wrong, in file order.
    pub faults: Vec<FaultSpec>,
    /// What goes wrong again and again, in file order.
    pub fault_rules: Vec<FaultRule>,
    /// What metrics have to know.
    pub labels: Labels,
    /// What has to hold in the end, in file order, not yet parsed.
    pub expectations: Vec<ExpectText>,
    /// Names of nodes and of groups of nodes, with the nodes they mean.
    pub groups: Vec<(String, Vec<NodeId>)>,
    /// By `ModelId`; the empty name is "not said".
    pub models: Vec<String>,
    /// By `RegionId`; the empty name is "not said".
    pub regions: Vec<String>,
    /// Tags of nodes, by bit.
    pub tags: Vec<String>,
    /// Attributes of requests as `key=value`, by bit.
    pub attributes: Vec<String>,
    /// How far things are from each other, where the file says so. For the simulator.
    pub network: Option<NetworkSpec>,
    /// An attempt ends when no token came for so long. For the executor.
    pub inter_token: Option<Span>,
    /// An attempt ends when no connection stood after so long; `Span::MAX` is never. For the
    /// executor.
    pub connect: Span,
    /// How many balancers a simulation has, and what they are told.
    pub instances: Instances,
    /// By node: seconds it takes to start; those left out are never started.
    pub cold_starts: Vec<Dist>,
    /// How good answers are, where the file says so. For the simulator.
    pub quality: Option<QualitySpec>,
    file: String,
    source: Arc<str>,
    not_simulable: Vec<(Place, &'static str)>,
}

/// An expectation as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectText {
    /// The text between the quotes.
    pub text: String,
    /// Where the value stands, quotes included.
    pub place: Place,
}

impl Scenario {
    /// Reads a scenario from the bytes of a file.
    ///
    /// # Errors
    /// All problems at once.
    pub fn read(
        name: &str,
        file: &str,
        bytes: &[u8],
        overrides: &[Override],
    ) -> Result<Scenario, Problems> {
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if text.contains(&0) {
            let problem = Problem::new(Place::File, "this is a binary file, not a scenario");
            return Err(Problems::new(file, Arc::from(""), vec![problem]));
        }
        match std::str::from_utf8(text) {
            Ok(text) => Scenario::parse(name, file, text, overrides),
            Err(error) => {
                let line = text[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
                let message = format!("the file is not UTF-8 text: see line {line}");
                let problem = Problem::new(Place::File, message);
                Err(Problems::new(file, Arc::from(""), vec![problem]))
            }
        }
    }

    /// Reads a scenario from text.
    ///
    /// # Errors
    /// All problems at once.
    pub fn parse(
        name: &str,
        file: &str,
        text: &str,
        overrides: &[Override],
    ) -> Result<Scenario, Problems> {
        let source: Arc<str> = Arc::from(text);
        let mut document =
            document::read(text).map_err(|list| Problems::new(file, Arc::clone(&source), list))?;
        let mut walk = Walk::default();
        for change in overrides {
            if let Err(problem) = change.apply(&mut document) {
                walk.problems.push(problem);
            }
        }
        let scenario = read_document(&mut walk, &document, name);
        match scenario {
            Some(scenario) if walk.problems.is_empty() => {
                Ok(Scenario { file: file.to_owned(), source, ..scenario })
            }
            _ => Err(Problems::new(file, source, walk.problems)),
        }
    }

    /// Returns whether what arrives are jobs.
    #[must_use]
    pub fn starts_jobs(&self) -> bool {
        self.workflows.iter().any(|workflow| workflow.share > 0.0)
    }

    /// Returns the text it was read from, without what the command line changed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.source
    }

    /// Returns the scenario for real nodes: they are started and stopped by whoever runs them, so
    /// all of a group are up, and what a group wants is only said. A cut answer does not go on.
    #[must_use]
    pub fn for_real_nodes(mut self) -> Scenario {
        for group in &mut self.balancer.scale {
            group.advise = true;
            group.start = group.max;
        }
        // No protocol of models says how an answer goes on from the middle.
        self.balancer.retry.resume = false;
        self
    }

    /// Checks that every node has a back end to simulate and that there is a workload.
    ///
    /// # Errors
    /// One problem for each that has only a `url`.
    pub fn check_simulable(&self) -> Result<(), Problems> {
        if self.not_simulable.is_empty() {
            return Ok(());
        }
        let problem = |(place, message): &(Place, &str)| {
            let mut problem = Problem::new(place.clone(), *message);
            problem.help("a simulation needs a `backend` for every node and a `[workload]`");
            problem
        };
        Err(self.problems(self.not_simulable.iter().map(problem).collect()))
    }

    /// Returns the problem of an expectation, to be drawn: `within` is a stretch of its text.
    #[must_use]
    pub fn expect_problem(
        expect: &ExpectText,
        within: Range<usize>,
        message: impl Into<String>,
    ) -> Problem {
        let place = match &expect.place {
            // Without escapes the text stands in the file as it is, after the quote.
            Place::Span(span) if span.len() == expect.text.len() + 2 => {
                let from = span.start + 1;
                let last = expect.text.len();
                Place::Span(from + within.start.min(last)..from + within.end.min(last))
            }
            place => place.clone(),
        };
        Problem::new(place, message)
    }

    /// Returns problems of this scenario that were found elsewhere, to be drawn.
    #[must_use]
    pub fn problems(&self, list: Vec<Problem>) -> Problems {
        Problems::new(&self.file, Arc::clone(&self.source), list)
    }
}

/// How long the run is, as far as the top of the file says.
struct Bounds<'a> {
    duration: Option<Span>,
    duration_field: Option<Field<'a>>,
    requests: Option<u64>,
    warmup: Span,
}

fn read_bounds<'a>(walk: &mut Walk, table: &mut Table<'a>) -> Bounds<'a> {
    let duration_field = table.take("duration");
    let duration = duration_field.and_then(|field| walk.positive_span(field));
    let requests = table.take("requests").and_then(|field| walk.count(field, 1..=REQUESTS_MAX));
    let warmup_field = table.take("warmup");
    let warmup = warmup_field.and_then(|field| walk.span(field, Span::ZERO..=Span::MAX));
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
    Bounds { duration, duration_field, requests, warmup: warmup.unwrap_or_default() }
}

/// Arrivals that are made up never end by themselves.
fn check_end(walk: &mut Walk, bounds: &Bounds<'_>, workload: Field<'_>, arrivals: &Arrivals) {
    let endless = bounds.duration.is_none() && bounds.requests.is_none();
    if endless && bounds.duration_field.is_none() && arrivals.endless() {
        walk.problem(workload.place(), "the run has no end")
            .label("arrivals go on for ever")
            .help("write `duration = \"10m\"` or `requests = 100_000` at the top of the file");
    }
}

fn read_expects(walk: &mut Walk, field: Option<Field<'_>>) -> Vec<ExpectText> {
    let mut expectations = Vec::new();
    for mut table in walk.tables(field, "expect", EXPECTS_MAX) {
        if let Some(field) = table.need(walk, "that")
            && let Some(text) = walk.text(field)
        {
            if text.trim().is_empty() {
                walk.must_be(field, "an expectation such as \"failed < 1%\"");
            }
            expectations.push(ExpectText { text: text.to_owned(), place: field.place().clone() });
        }
        table.finish(walk, &[]);
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
    bounds: &Bounds<'_>,
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

fn read_document(walk: &mut Walk, document: &[Entry], name: &str) -> Option<Scenario> {
    let mut top = Table::new("the scenario", &Place::File, document);
    let title = top.take("title").and_then(|field| walk.text(field)).unwrap_or(name).to_owned();
    let seed = top.take("seed").and_then(|field| walk.count(field, 0..=u64::MAX));
    let bounds = read_bounds(walk, &mut top);
    let balancer = top.take("balancer");
    let mut settings = balancer::read(walk, balancer);
    settings.tenants = admission::named(walk, top.take("tenant"), settings.tenants.each);
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
    let (routes, route_names) = route::read(walk, given.filter(|_| said(given)), &mut known);
    let mut flows = workflow::read(walk, top.take("workflow"), &classes.names);
    let (workload, idle) = read_workload(walk, &mut top, &bounds, &fleet, &mut flows);
    let made = workload.as_ref().is_some_and(|workload| workload.arrivals.endless());
    if made {
        engine::check_room(walk, &fleet.engines, &classes.specs);
    }
    // A run cut short on the command line may leave faults out.
    let in_file =
        bounds.duration_field.is_some_and(|field| matches!(field.place(), Place::Span(_)));
    let end = bounds.duration.filter(|_| in_file);
    let faults = fault::read(walk, top.take("fault"), &fleet, end);
    let expectations = read_expects(walk, top.take("expect"));
    top.finish(walk, &["session", "network"]);
    let seed = seed.unwrap_or(SEED_DEFAULT);
    let parts = Parts {
        settings,
        fleet,
        classes,
        routes,
        route_names,
        network,
        flows,
        faults,
        expectations,
        idle,
        quality,
    };
    workload.map(|workload| assemble(name, title, seed, &bounds, workload, parts))
}

/// What the sections say.
struct Parts {
    settings: balancer::Settings,
    fleet: pool::Fleet,
    classes: class::Classes,
    routes: Vec<RouteSpec>,
    /// Empty if none has a name.
    route_names: Vec<String>,
    network: Option<NetworkSpec>,
    flows: workflow::Workflows,
    faults: fault::Faults,
    expectations: Vec<ExpectText>,
    idle: bool,
    quality: Option<QualitySpec>,
}

fn config(
    seed: u64,
    pools: Vec<PoolSpec>,
    nodes: Vec<NodeSpec>,
    routes: Vec<RouteSpec>,
    expected_output: Vec<Tokens>,
    scale: Vec<ScaleSpec>,
    settings: &balancer::Settings,
) -> Config {
    let balancer::Settings { retry, timeouts, health, queue, hedge, .. } = *settings;
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
    bounds: &Bounds<'_>,
    workload: Workload,
    parts: Parts,
) -> Scenario {
    let Workload { arrivals, sessions } = workload;
    let Parts {
        settings, fleet, classes, routes, network, flows, faults, expectations, idle, ..
    } = parts;
    let live_only = fleet.live_only.into_iter();
    let live_only = live_only.map(|place| (place, "the node cannot be simulated"));
    let workload = idle.then_some((Place::File, "the scenario has no workload"));
    let models =
        if parts.quality.is_some() { models_of(&fleet.models, &fleet.nodes) } else { Vec::new() };
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
        models,
        routes: parts.route_names,
    };
    let expected_output = expected_output(&classes.specs, &arrivals);
    let (pools, nodes) = (fleet.pools, fleet.nodes);
    let (connect, inter_token) = (settings.connect, settings.inter_token);
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
        classes: classes.specs,
        arrivals,
        sessions,
        workflows: flows.specs,
        faults: faults.specs,
        fault_rules: faults.rules,
        labels,
        expectations,
        groups: fleet.node_names.list().iter().cloned().zip(fleet.named).collect(),
        models: fleet.models.list().to_vec(),
        regions: fleet.regions.list().to_vec(),
        tags: fleet.tags.list().to_vec(),
        attributes: classes.attributes.list().to_vec(),
        network,
        inter_token,
        connect,
        instances: settings.instances,
        cold_starts: fleet.cold_starts,
        quality: parts.quality,
        file: String::new(),
        source: Arc::from(""),
        not_simulable: live_only.chain(workload).collect(),
    }
}

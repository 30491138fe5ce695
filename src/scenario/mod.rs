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
pub mod advice;
mod autoscale;
mod backend;
mod balancer;
mod builtin;
mod by_hand;
mod choose;
mod class;
mod defaults;
mod dist;
mod document;
mod engine;
mod fault;
mod gateway;
mod health;
mod hedge;
pub mod keys;
mod limiter;
mod names;
mod node;
mod origin;
mod overload;
mod overrides;
mod pool;
mod problem;
mod process;
pub mod profile;
mod quality;
mod read;
mod region;
mod route;
mod sticky;
mod strategy;
mod table;
#[cfg(test)]
mod tests;
mod traffic;
pub(crate) mod tree;
mod value;
mod workflow;
mod workload;
mod written;

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
pub use backend::SPEED_MAX;
pub use balancer::{CONNECT_DEFAULT, EVERY_MIN, QUEUE_MAX, ThroughputFloor};
pub use builtin::{BUILTIN, find, suggestion};
pub use by_hand::{ACTS_MAX, LOADS, seconds};
pub use choose::{
    ACCEPT_DEFAULT, MEMORY_DEFAULT, MEMORY_MAX, PRIOR_DEFAULT, WINDOW_DEFAULT, WORTH_MAX,
};
pub use class::{CLASSES_MAX, COMPLEXITY_MAX, OUTPUT_DEFAULT, PROMPT_DEFAULT, SHARE_MAX};
pub use defaults::{DefaultGroup, DefaultRow};
pub use document::{BYTES_MAX, DEPTH_MAX};
pub use fault::{FACTOR_MAX, FAULTS_MAX};
pub use gateway::{GatewaySettings, ORIGINS_MAX};
pub use health::TIMES_MAX;
pub use node::{CONCURRENCY_MAX, LiveNode, PER_MINUTE_MAX, PRICE_MAX, TAGS_MAX, WEIGHT_MAX};
pub use origin::ATTRIBUTES_MAX;
pub use overrides::{Given, Override};
pub use pool::{NODES_MAX, POOLS_MAX, PoolKind};
#[cfg(feature = "cli")]
pub(crate) use problem::printable;
pub use problem::{DRAWN_MAX, Place, Problem, ProblemLevel, Problems};
pub use quality::{AUC_DEFAULT, CHANGES_MAX, FEEDBACK_AFTER};
pub use read::SCENARIO;
pub use region::{JITTER_DEFAULT, REGIONS_MAX, RTT_MAX};
pub use route::{ROUTES_MAX, TENANTS_MAX};
pub use value::{NAME_MAX, TEXT_MAX, suggest};
pub use workflow::WORKFLOWS_MAX;
pub use workload::{Arrivals, RATE_MAX, SCALE_MAX};
pub use written::{strategy_text, written};

const TOO_MANY_NAMED: &str =
    "with one for each model that may be named there are more than 65,536 routes";

use crate::balance::{Config, HedgeAfter, HedgeSpec, NodeSpec, RouteSpec};
use crate::dist::Dist;
use crate::metrics::Labels;
use crate::metrics::expect::ExpectNames;
use crate::node::{BackendSpec, FaultRule, FaultSpec};
use crate::sim::{Act, Instances, NetworkSpec};
use crate::unit::{ModelId, NodeId, PoolId, Ratio, Span, Tokens};
use crate::workload::{ClassSpec, QualitySpec, SessionSpec, WorkflowSpec};
use read::read_document;
use value::Walk;

/// How a gateway hedges where nothing is said.
const HEDGE_FREE: HedgeSpec = HedgeSpec {
    after: HedgeAfter::Quantile(Ratio(950_000)),
    budget: Ratio(20_000),
    saturation: Ratio(700_000),
    prompt_max: None,
    paid: false,
};

/// A gateway waits so long for the next token where nothing is said: models that search in mid-answer need
/// their time.
const INTER_TOKEN_LIVE: Span = Span::from_secs(120);

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
    /// What a gateway does beside balancing.
    pub gateway: GatewaySettings,
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
    /// What a person did, in file order.
    pub acts: Vec<Act>,
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
    /// An attempt at a real node ends when its stream brings less.
    pub floor: Option<ThroughputFloor>,
    unsaid: balancer::Unsaid,
    /// An attempt ends when no connection stood after so long; `Span::MAX` is never. For the
    /// executor.
    pub connect: Span,
    /// How many balancers a simulation has, and what they are told.
    pub instances: Instances,
    /// By node: seconds it takes to start; those left out are never started.
    pub cold_starts: Vec<Dist>,
    /// How good answers are, where the file says so. For the simulator.
    pub quality: Option<QualitySpec>,
    /// Advice that it does not take, by name.
    allowed: Vec<&'static str>,
    file: String,
    source: Arc<str>,
    not_simulable: Vec<(Place, &'static str)>,
}

/// Names routes that were added for models, where routes have names: before the last one.
fn name_routes(names: &mut Vec<String>, models: &[String], added: &[(usize, ModelId)]) {
    let Some(last) = names.len().checked_sub(1) else { return };
    let name = |(at, model): &(usize, ModelId)| {
        let model = models.get(model.index()).filter(|model| !model.is_empty());
        format!("{}@{}", names[*at], model.map_or("*", String::as_str))
    };
    let list: Vec<String> = added.iter().map(name).collect();
    names.splice(last..last, list);
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

    /// Returns what of the traffic another scenario has otherwise, if anything: what arrives, when, and for
    /// how long.
    #[must_use]
    pub fn other_traffic(&self, other: &Scenario) -> Option<&'static str> {
        // What they are written as tells all there is of them, and is exact.
        let parts = |of: &Scenario| {
            [
                ("seed", of.seed.to_string()),
                ("duration", format!("{:?} {:?}", of.duration, of.requests)),
                ("warm-up", format!("{:?}", of.warmup)),
                ("arrivals", format!("{:?}", of.arrivals)),
                ("classes", format!("{:?}", of.classes)),
                ("sessions", format!("{:?}", of.sessions)),
                ("workflows", format!("{:?}", of.workflows)),
            ]
        };
        let pairs = parts(self).into_iter().zip(parts(other));
        pairs.into_iter().find(|(own, other)| own != other).map(|((name, _), _)| name)
    }

    /// Returns whether what arrives are jobs.
    #[must_use]
    pub fn starts_jobs(&self) -> bool {
        self.workflows.iter().any(|workflow| workflow.share > 0.0)
    }

    /// Returns whether it says what arrives; one for real clients need not.
    #[must_use]
    pub fn has_workload(&self) -> bool {
        !self.not_simulable.iter().any(|(place, _)| *place == Place::File)
    }

    /// Returns the file it was read from, as the user named it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the text it was read from, without what the command line changed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.source
    }

    /// Returns the scenario for real nodes: they are started and stopped by whoever runs them, so
    /// all of a group are up, and what a group wants is only said.
    #[must_use]
    pub fn for_real_nodes(mut self) -> Scenario {
        for group in &mut self.balancer.scale {
            group.advise = true;
            group.start = group.max;
        }
        self
    }

    /// Returns the scenario with what a gateway does where nothing is said: late first tokens are hedged where
    /// that costs nothing, and a stream that stalls in its midst ends.
    #[must_use]
    pub fn for_gateway(mut self) -> Scenario {
        let nodes = self.live.iter().zip(&self.balancer.nodes);
        // Whoever has a key is paid, if nobody says how much.
        let priced = |(live, node): (&LiveNode, &NodeSpec)| {
            live.key_env.is_none() || !node.prices.are_none()
        };
        if self.unsaid.hedge && nodes.into_iter().all(priced) {
            self.balancer.hedge = Some(HEDGE_FREE);
        }
        if self.unsaid.inter_token {
            self.inter_token = Some(INTER_TOKEN_LIVE);
        }
        self
    }

    /// Returns the routes that the file has, with their places in it: without those that were added for
    /// requests that name a model.
    pub(crate) fn written_routes(&self) -> impl Iterator<Item = (usize, &RouteSpec)> {
        self.balancer.routes.iter().filter(|route| route.when.model.is_none()).enumerate()
    }

    /// Returns the pools of agents and tools, by the models that stand for them in routes.
    #[must_use]
    pub fn plain_pools(&self) -> Vec<(String, ModelId)> {
        let pools = self.balancer.pools.iter().zip(&self.kinds).enumerate();
        let plain = pools.filter(|(_, (_, kind))| **kind != PoolKind::Llm);
        let model = |pool: usize| {
            let mut nodes = self.balancer.nodes.iter().filter(|node| node.pool.index() == pool);
            nodes.next().map(|node| node.model)
        };
        plain.filter_map(|(at, (pool, _))| Some((pool.name.clone(), model(at)?))).collect()
    }

    /// Gives pools of agents and tools routes of their own: nothing else is led there.
    fn name_plain_pools(&mut self) -> Result<(), &'static str> {
        let plain: Vec<usize> =
            (0..self.kinds.len()).filter(|pool| self.kinds[*pool] != PoolKind::Llm).collect();
        if plain.is_empty() {
            return Ok(());
        }
        let config = &mut self.balancer;
        let mut models = Vec::new();
        for pool in &plain {
            let model = ModelId(u16::try_from(self.models.len()).map_err(|_| TOO_MANY_NAMED)?);
            self.models.push(format!("pool {}", config.pools[*pool].name));
            let own = config.nodes.iter_mut().filter(|node| node.pool.index() == *pool);
            own.for_each(|node| node.model = model);
            models.push(model);
        }
        let added = RouteSpec::name_models(&mut config.routes, &config.nodes, &models);
        name_routes(&mut self.labels.routes, &self.models, &added.ok_or(TOO_MANY_NAMED)?);
        for route in config.routes.iter_mut().filter(|route| route.when.model.is_none()) {
            let others = |pool: &PoolId| !plain.contains(&pool.index());
            if route.to.iter().any(others) && route.split.is_empty() && route.choose.is_none() {
                route.to.retain(others);
            }
        }
        Ok(())
    }

    /// Lets requests name any model that a node serves, where there are several; where there is one,
    /// whatever is named may be meant.
    ///
    /// # Errors
    /// What is wrong, if there would be more routes than there may be.
    pub fn with_models_by_name(mut self) -> Result<Scenario, &'static str> {
        self.name_plain_pools()?;
        let config = &mut self.balancer;
        let mut models: Vec<ModelId> = config.nodes.iter().map(|node| node.model).collect();
        models.sort_unstable();
        models.dedup();
        if models.len() > 1 {
            let known =
                |model: ModelId| config.routes.iter().any(|spec| spec.when.model == Some(model));
            // Nodes without a name for it serve whatever no other node does.
            models.retain(|&model| !known(model));
            let added = RouteSpec::name_models(&mut config.routes, &config.nodes, &models);
            name_routes(&mut self.labels.routes, &self.models, &added.ok_or(TOO_MANY_NAMED)?);
        }
        Ok(self)
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

    /// Returns what expectations may be about.
    #[must_use]
    pub fn expect_names(&self) -> ExpectNames {
        let labels = &self.labels;
        ExpectNames {
            classes: labels.classes.iter().map(|class| class.name.clone()).collect(),
            pools: labels.pools.clone(),
            nodes: labels.nodes.iter().map(|node| node.name.clone()).collect(),
            workflows: labels.workflows.iter().map(|flow| flow.name.clone()).collect(),
            steps: labels.steps().map(|(flow, step)| (flow.to_owned(), step.to_owned())).collect(),
            routes: labels.routes.clone(),
            tenants: labels.tenants.clone(),
            models: labels.kinds().into_iter().map(str::to_owned).collect(),
        }
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

//! From a name on the command line to a simulation that is ready to run.

use std::fs::File;
use std::io::{Read, Stdin};
use std::path::Path;
#[cfg(any(feature = "live", feature = "tui"))]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::{CliFailure, FailureKind};
use super::{Changes, Color, traffic};
#[cfg(any(feature = "live", feature = "tui"))]
use crate::balance::NodeSpec;
#[cfg(any(feature = "live", feature = "tui"))]
use crate::command::NodeGroup;
use crate::metrics::expect::{ExpectError, Expectation};
use crate::metrics::{Collector, Watch};
use crate::scenario::{self, Override, Scenario};
use crate::sim::{Sim, SimSpec};
#[cfg(any(feature = "live", feature = "tui"))]
use crate::unit::NodeId;
use crate::unit::{Span, Time};
use crate::workload::TraceError;

/// Reads and checks a scenario: a path, or the name of a built-in one.
pub(super) fn scenario(
    name: &str,
    changes: &Changes,
    color: Color,
) -> Result<Scenario, CliFailure> {
    Source::open(name)?.scenario(&changes.overrides(), color)
}

/// The nodes of each region that has a name and any, and those of each tag that any has.
#[cfg(any(feature = "live", feature = "tui"))]
pub(super) fn groups(scenario: &Scenario) -> Arc<[NodeGroup]> {
    let regions = named_groups(scenario, ("region", &scenario.regions), |node, place| {
        node.region.index() == place
    });
    let tags =
        named_groups(scenario, ("tag", &scenario.tags), |node, place| node.tags >> place & 1 == 1);
    regions.chain(tags).collect()
}

#[cfg(any(feature = "live", feature = "tui"))]
fn named_groups<'a>(
    scenario: &'a Scenario,
    (word, names): (&'static str, &'a [String]),
    belongs: impl Fn(&NodeSpec, usize) -> bool,
) -> impl Iterator<Item = NodeGroup> {
    names.iter().enumerate().filter_map(move |(place, name)| {
        let nodes = (0..).map(NodeId).zip(&scenario.balancer.nodes);
        let nodes = nodes.filter(|(_, node)| belongs(node, place));
        let nodes: Vec<NodeId> = nodes.map(|(id, _)| id).collect();
        let name = name.clone();
        (!name.is_empty() && !nodes.is_empty()).then_some(NodeGroup { word, name, nodes })
    })
}

/// What stands behind the name of a built-in scenario where the name of a file would.
const BUILT_IN: &str = ".toml (built in)";

/// The text of a scenario, from which several can be made.
#[derive(Clone)]
pub(super) struct Source {
    name: String,
    file: String,
    bytes: Vec<u8>,
}

impl Source {
    /// Reads a path, or finds a built-in scenario; `-` is stdin.
    pub(super) fn open(name: &str) -> Result<Source, CliFailure> {
        let path = Path::new(name);
        if name == STDIN {
            let bytes = bytes(stdin()?, path)?;
            return Ok(Source { name: "stdin".to_owned(), file: STDIN_FILE.to_owned(), bytes });
        }
        // A pipe is as good as a file: `plimsoll run <(generate)`.
        if path.exists() && !path.is_dir() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let file = File::open(path).map_err(|error| CliFailure::unreadable(path, &error))?;
            Ok(Source { name: stem, file: name.to_owned(), bytes: bytes(file, path)? })
        } else if let Some(text) = scenario::find(name) {
            let file = format!("{name}{BUILT_IN}");
            Ok(Source { name: name.to_owned(), file, bytes: text.as_bytes().to_vec() })
        } else {
            Err(not_found(name, path))
        }
    }

    /// What a command calls it: its path, or the name of a built-in one.
    #[cfg(feature = "tui")]
    pub(super) fn called(&self) -> &str {
        self.file.strip_suffix(BUILT_IN).unwrap_or(&self.file)
    }

    /// What the file says; empty if it is no text.
    #[cfg(feature = "tui")]
    pub(super) fn text(&self) -> &str {
        let bytes = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.bytes);
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Checks another text in its place.
    #[cfg(feature = "tui")]
    pub(super) fn reread(
        &self,
        text: &str,
        overrides: &[Override],
    ) -> Result<Scenario, scenario::Problems> {
        Scenario::parse(&self.name, &self.file, text, overrides)
    }

    /// Checks it with these changes; problems are drawn.
    pub(super) fn scenario(
        &self,
        overrides: &[Override],
        color: Color,
    ) -> Result<Scenario, CliFailure> {
        Scenario::read(&self.name, &self.file, &self.bytes, overrides)
            .map_err(|problems| drawn(&problems, color))
    }
}

fn not_found(name: &str, path: &Path) -> CliFailure {
    if path.is_dir() {
        return CliFailure::new(
            FailureKind::Usage,
            format!("`{name}` is a folder, not a scenario"),
        );
    }
    let failure = CliFailure::new(FailureKind::Usage, format!("there is no scenario `{name}`"));
    failure.hint(scenario::suggestion(name))
}

fn bytes(from: impl Read, path: &Path) -> Result<Vec<u8>, CliFailure> {
    let mut bytes = Vec::new();
    // One byte more than allowed is enough for the reader to say that it is too large.
    let most = scenario::BYTES_MAX as u64 + 1;
    let read = from.take(most).read_to_end(&mut bytes);
    read.map_err(|error| CliFailure::unreadable(path, &error))?;
    Ok(bytes)
}

/// The name of stdin where a file is wanted.
pub(super) const STDIN: &str = "-";
/// What stands for it in messages.
pub(super) const STDIN_FILE: &str = "<stdin>";

/// Takes stdin, which can be read once.
pub(super) fn stdin() -> Result<Stdin, CliFailure> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        let failure =
            CliFailure::new(FailureKind::Usage, "`-` is named twice, and stdin is read once");
        return Err(failure.hint("name a file for one of them"));
    }
    Ok(std::io::stdin())
}

/// The failure of a scenario with problems, drawn on stderr.
pub(super) fn drawn(problems: &scenario::Problems, color: Color) -> CliFailure {
    CliFailure::drawn(FailureKind::Invalid, &problems.draw(color.on_stderr()))
}

/// Parses the expectations of a scenario: every mistake at its place.
pub(super) fn expectations(
    scenario: &Scenario,
    color: Color,
) -> Result<Vec<Expectation>, CliFailure> {
    let names = scenario.expect_names();
    let mut parsed = Vec::new();
    let mut problems = Vec::new();
    for expect in &scenario.expectations {
        match Expectation::parse(&expect.text, &names) {
            Ok(expectation) => parsed.push(expectation),
            Err(ExpectError { at, len, reason, help }) => {
                let mut problem = Scenario::expect_problem(expect, at..at + len, reason);
                problem.help = help;
                problems.push(problem);
            }
        }
    }
    if problems.is_empty() { Ok(parsed) } else { Err(drawn(&scenario.problems(problems), color)) }
}

/// A simulation that is ready to run.
pub(super) struct Ready {
    pub(super) sim: Sim,
    /// What the person should know of the workload.
    pub(super) notes: Vec<String>,
    /// When arrivals stop, if that is known.
    pub(super) end: Option<Time>,
}

/// Builds the simulation of a scenario.
pub(super) fn simulation(scenario: &Scenario, color: Color) -> Result<Ready, CliFailure> {
    scenario.check_simulable().map_err(|problems| drawn(&problems, color))?;
    let (traffic, notes) = traffic::traffic(scenario)?;
    let parts = SimSpec {
        faults: scenario.faults.clone(),
        fault_rules: scenario.fault_rules.clone(),
        acts: scenario.acts.clone(),
        connect: (scenario.connect < Span::MAX).then_some(scenario.connect),
        inter_token: scenario.inter_token,
        instances: scenario.instances,
        cold_starts: scenario.cold_starts.clone(),
        network: scenario.network.clone(),
        quality: scenario.quality.clone(),
        ..SimSpec::new(scenario.balancer.clone(), scenario.backends.clone())
    };
    let mut sim = Sim::new(parts, traffic).map_err(|errors| trace_failure(scenario, &errors))?;
    sim.measure_from(Time::ZERO + scenario.warmup);
    Ok(Ready { sim, notes, end: scenario.duration.map(|span| Time::ZERO + span) })
}

/// Fails if a pool chooses by a bound: `who` has no truth to read.
#[cfg(feature = "live")]
pub(super) fn no_bound(scenario: &Scenario, who: &str) -> Result<(), CliFailure> {
    let Some(pool) = scenario.balancer.pools.iter().find(|pool| pool.strategy.entry().is_bound())
    else {
        return Ok(());
    };
    let strategy = pool.strategy.name();
    let message = format!(
        "pool `{}` chooses by `{strategy}`, which reads the truth: {who} has none to read",
        pool.name
    );
    Err(CliFailure::new(FailureKind::Invalid, message).hint(format!(
        "`{strategy}` is a bound for run, play and compare; choose another with --strategy NAME"
    )))
}

/// What to say where a scenario with several balancers is run for real.
#[cfg(feature = "live")]
pub(super) fn one_balancer(scenario: &Scenario) -> Option<String> {
    let many = scenario.instances.count > 1;
    many.then(|| "this is one balancer: `balancer.instances` counts in simulations only".to_owned())
}

/// The failure of a trace that cannot be read, every error with its place.
pub(super) fn trace_failure(scenario: &Scenario, errors: &[TraceError]) -> CliFailure {
    trace_errors(scenario.arrivals.path().unwrap_or("the trace"), errors)
}

/// The same of a file.
pub(super) fn trace_errors(file: &str, errors: &[TraceError]) -> CliFailure {
    let lines = errors.iter().map(|error| {
        format!("error: {}\n --> {file}:{}:{}\n", error.reason, error.line, error.column)
    });
    CliFailure::drawn(FailureKind::Invalid, &lines.collect::<String>())
}

/// A collector for a scenario.
pub(super) fn collector(scenario: &Scenario, watch: Watch) -> Collector {
    Collector::new(scenario.labels.clone(), &scenario.balancer, watch)
}

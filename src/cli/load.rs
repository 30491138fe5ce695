//! From a name on the command line to a simulation that is ready to run.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::failure::{Failure, Kind};
use super::{Changes, Color};
use crate::metrics::expect::{ExpectError, Expectation, Names};
use crate::metrics::{Collector, Watch};
use crate::scenario::{self, Arrivals, Override, Scenario};
use crate::sim::{Parts, Sim};
use crate::unit::Time;
use crate::workload::{Mix, Open, Poisson, Trace, TraceError, Traffic};

/// Reads and checks a scenario: a path, or the name of a built-in one.
pub(super) fn scenario(name: &str, changes: &Changes, color: Color) -> Result<Scenario, Failure> {
    Source::open(name)?.scenario(&changes.overrides(), color)
}

/// The text of a scenario, from which several can be made.
pub(super) struct Source {
    name: String,
    file: String,
    bytes: Vec<u8>,
}

impl Source {
    /// Reads a path, or finds a built-in scenario.
    pub(super) fn open(name: &str) -> Result<Source, Failure> {
        let path = Path::new(name);
        // A pipe is as good as a file: `plimsoll run <(generate)`.
        if path.exists() && !path.is_dir() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Source { name: stem, file: name.to_owned(), bytes: bytes(path)? })
        } else if let Some(text) = scenario::find(name) {
            let file = format!("{name}.toml (built in)");
            Ok(Source { name: name.to_owned(), file, bytes: text.as_bytes().to_vec() })
        } else {
            Err(not_found(name, path))
        }
    }

    /// Checks it with these changes; problems are drawn.
    pub(super) fn scenario(
        &self,
        overrides: &[Override],
        color: Color,
    ) -> Result<Scenario, Failure> {
        Scenario::read(&self.name, &self.file, &self.bytes, overrides)
            .map_err(|problems| drawn(&problems, color))
    }
}

fn not_found(name: &str, path: &Path) -> Failure {
    if path.is_dir() {
        return Failure::new(Kind::Usage, format!("`{name}` is a folder, not a scenario"));
    }
    let failure = Failure::new(Kind::Usage, format!("there is no scenario `{name}`"));
    failure.hint(scenario::suggestion(name))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::file("read", path, &error);
    let mut bytes = Vec::new();
    // One byte more than allowed is enough for the reader to say that it is too large.
    let most = scenario::BYTES_MAX as u64 + 1;
    File::open(path).map_err(failed)?.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The failure of a scenario with problems, drawn on stderr.
pub(super) fn drawn(problems: &scenario::Problems, color: Color) -> Failure {
    Failure::drawn(Kind::Invalid, &problems.draw(color.on_stderr()))
}

/// Parses the expectations of a scenario: every mistake at its place.
pub(super) fn expectations(scenario: &Scenario, color: Color) -> Result<Vec<Expectation>, Failure> {
    let names = names(scenario);
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

/// What expectations may be about.
pub(super) fn names(scenario: &Scenario) -> Names {
    let labels = &scenario.labels;
    Names {
        classes: labels.classes.iter().map(|class| class.name.clone()).collect(),
        pools: labels.pools.clone(),
        nodes: labels.nodes.iter().map(|node| node.name.clone()).collect(),
    }
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
pub(super) fn simulation(scenario: &Scenario, color: Color) -> Result<Ready, Failure> {
    scenario.check_simulable().map_err(|problems| drawn(&problems, color))?;
    let (traffic, notes) = traffic(scenario)?;
    let parts = Parts {
        config: scenario.balancer.clone(),
        backends: scenario.backends.clone(),
        faults: scenario.faults.clone(),
        inter_token: scenario.inter_token,
    };
    let sim = Sim::new(parts, traffic).map_err(|errors| trace_failure(scenario, &errors))?;
    Ok(Ready { sim, notes, end: scenario.duration.map(|span| Time::ZERO + span) })
}

/// What a scenario plays, and what the person should know of it.
pub(super) fn traffic(scenario: &Scenario) -> Result<(Box<dyn Traffic>, Vec<String>), Failure> {
    let seed = scenario.seed;
    let mix = Mix::new(scenario.classes.clone(), seed);
    let end = scenario.duration.map_or(Time::MAX, |span| Time::ZERO + span);
    let count = scenario.requests.unwrap_or(u64::MAX);
    match &scenario.arrivals {
        Arrivals::Made(rate) => {
            Ok((Box::new(Open::new(Poisson::new(*rate, end, count, seed, mix))), Vec::new()))
        }
        Arrivals::Trace { format, path, scale } => {
            let Some(path) = path else {
                let why = format!("`{}` replays a trace, and no file is named", scenario.name);
                let failure = Failure::new(Kind::Invalid, why);
                return Err(
                    failure.hint("name it with --trace FILE; the README says where to get traces")
                );
            };
            let file = open(Path::new(path))?;
            let mut trace = Trace::new(Box::new(file), *format, *scale, end, count, seed, mix);
            let notes = trace.notes();
            Ok((Box::new(Open::new(trace)), notes))
        }
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let invalid = |why: String| {
        Failure::new(Kind::Invalid, format!("cannot read the trace {}: {why}", path.display()))
    };
    if path.is_dir() {
        return Err(invalid("it is a folder".to_owned()));
    }
    let file = File::open(path).map_err(|error| invalid(error.to_string()))?;
    Ok(BufReader::with_capacity(1 << 18, file))
}

/// The failure of a trace that cannot be read, every error with its place.
pub(super) fn trace_failure(scenario: &Scenario, errors: &[TraceError]) -> Failure {
    let file = match &scenario.arrivals {
        Arrivals::Trace { path: Some(path), .. } => path.as_str(),
        _ => "the trace",
    };
    let lines = errors.iter().map(|error| {
        format!("error: {}\n --> {file}:{}:{}\n", error.reason, error.line, error.column)
    });
    Failure::drawn(Kind::Invalid, &lines.collect::<String>())
}

/// A collector for a scenario.
pub(super) fn collector(scenario: &Scenario, watch: Watch) -> Collector {
    Collector::new(scenario.labels.clone(), &scenario.balancer, watch)
}

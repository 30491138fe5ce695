//! From the workload of a scenario to traffic: opens its files, packed or not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::failure::{CliFailure, FailureKind};
use super::load::{self, STDIN, trace_errors};
use crate::scenario::{Arrivals, Scenario};
use crate::unit::Time;
use crate::workload::trace::servegen::{self, CLIENTS_MAX, ServeGenClient};
use crate::workload::{
    Begin, ClosedLoop, Jobs, Mix, OpenLoop, Poisson, Recordings, Script, ServeGen, Trace,
    TraceFormat, TraceScale, Traffic,
};

/// A reader holds so many bytes.
const BUFFER: usize = 1 << 18;

/// What a person should know of the workload, before it is played.
type Notes = Vec<String>;

/// How long and how much.
struct Bounds {
    end: Time,
    count: u64,
    seed: u64,
}

/// What a scenario plays, and what the person should know of it.
pub(super) fn traffic(scenario: &Scenario) -> Result<(Box<dyn Traffic>, Notes), CliFailure> {
    let seed = scenario.seed;
    let mix = Mix::new(scenario.classes.clone(), seed);
    let end = scenario.duration.map_or(Time::MAX, |span| Time::ZERO + span);
    let bounds = Bounds { end, count: scenario.requests.unwrap_or(u64::MAX), seed };
    let Bounds { end, count, seed } = bounds;
    let script = || match &scenario.sessions {
        Some(spec) => Script::Session(spec.clone()),
        None => Script::Single,
    };
    match &scenario.arrivals {
        Arrivals::Made(process) if scenario.starts_jobs() => {
            let starts = Poisson::new(*process, end, count, seed, mix);
            let (flows, classes) = (scenario.workflows.clone(), scenario.classes.clone());
            Ok((Box::new(Jobs::new(starts, flows, classes, seed)), Vec::new()))
        }
        Arrivals::Made(rate) if scenario.sessions.is_none() => {
            Ok((Box::new(OpenLoop::new(Poisson::new(*rate, end, count, seed, mix))), Vec::new()))
        }
        Arrivals::Made(rate) => {
            let begin = Begin::Process(*rate);
            Ok((Box::new(ClosedLoop::new(begin, script(), end, count, seed, mix)), Vec::new()))
        }
        Arrivals::Users(users) => {
            let begin = Begin::Users(*users);
            Ok((Box::new(ClosedLoop::new(begin, script(), end, count, seed, mix)), Vec::new()))
        }
        Arrivals::Recorded { path, scale, pace, begin } => {
            let file = open(named(scenario, path.as_deref())?)?;
            let script = Script::Recorded(Recordings::new(file, *scale), *pace);
            let traffic = ClosedLoop::new(begin.clone(), script, end, count, seed, mix);
            Ok((Box::new(traffic), Vec::new()))
        }
        Arrivals::ServeGen { path, scale, rate } => {
            clients(named(scenario, path.as_deref())?, *rate, *scale, &bounds, mix)
        }
        Arrivals::Trace { format, path, scale } => {
            trace(format, named(scenario, path.as_deref())?, *scale, &bounds, mix)
        }
    }
}

fn trace(
    format: &TraceFormat,
    path: &Path,
    scale: TraceScale,
    bounds: &Bounds,
    mix: Mix,
) -> Result<(Box<dyn Traffic>, Notes), CliFailure> {
    let file = open(path)?;
    let Bounds { end, count, seed } = *bounds;
    let mut trace = Trace::new(file, format.clone(), scale, end, count, seed, mix);
    let notes = trace.notes();
    Ok((Box::new(OpenLoop::new(trace)), notes))
}

fn clients(
    path: &Path,
    rate: f64,
    scale: TraceScale,
    bounds: &Bounds,
    mix: Mix,
) -> Result<(Box<dyn Traffic>, Notes), CliFailure> {
    let clients = folder(path)?;
    let mean = ServeGen::mean_rate(&clients);
    let mut notes = vec![format!(
        "{} clients, {mean:.1} requests/s in the mean over all windows; played at {:.3}",
        clients.len(),
        mean * rate / scale.time
    )];
    match clients.iter().filter(|client| client.lengths.is_empty()).count() {
        0 => {}
        1 => notes.push("1 client has no lengths and draws those of its class".to_owned()),
        count => notes.push(format!("{count} clients have no lengths and draw those of a class")),
    }
    let Bounds { end, count, seed } = *bounds;
    let source = ServeGen::new(clients, rate, scale, end, count, seed, mix);
    Ok((Box::new(OpenLoop::new(source)), notes))
}

fn named<'a>(scenario: &Scenario, path: Option<&'a str>) -> Result<&'a Path, CliFailure> {
    path.map(Path::new).ok_or_else(|| {
        let why = format!("`{}` replays a trace, and no file is named", scenario.name);
        let failure = CliFailure::new(FailureKind::Invalid, why);
        failure.hint("name it with --trace FILE; the README says where to get traces")
    })
}

fn invalid(path: &Path, why: impl std::fmt::Display) -> CliFailure {
    CliFailure::new(
        FailureKind::Invalid,
        format!("cannot read the trace {}: {why}", path.display()),
    )
}

/// Opens a file, or stdin for `-`; one packed with gzip is unpacked on the way.
fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, CliFailure> {
    if path.is_dir() {
        return Err(invalid(path, "it is a folder"));
    }
    let file: Box<dyn Read + Send> = if path.as_os_str() == STDIN {
        Box::new(load::stdin()?)
    } else {
        Box::new(File::open(path).map_err(|error| invalid(path, error))?)
    };
    let mut file = BufReader::with_capacity(BUFFER, file);
    // A pipe may give its first byte alone; the second of gzip is as good as certain then.
    let packed = match file.fill_buf().map_err(|error| invalid(path, error))? {
        [0x1f] => true,
        bytes => bytes.starts_with(&[0x1f, 0x8b]),
    };
    if packed {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// The tables and distributions of clients, by number.
type Files = BTreeMap<u32, (Option<PathBuf>, Option<PathBuf>)>;

/// Reads the clients of a folder, in order of their numbers.
fn folder(path: &Path) -> Result<Vec<ServeGenClient>, CliFailure> {
    if !path.is_dir() {
        return Err(invalid(path, "wanted a folder with files chunk-N-trace.csv"));
    }
    let mut files = Files::new();
    for entry in path.read_dir().map_err(|error| invalid(path, error))? {
        let entry = entry.map_err(|error| invalid(path, error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some((number, what)) = chunk(&name) else { continue };
        let slot = files.entry(number).or_default();
        let slot = if what == "trace.csv" { &mut slot.0 } else { &mut slot.1 };
        *slot = Some(entry.path());
    }
    files.retain(|_, (table, _)| table.is_some());
    if files.is_empty() {
        return Err(invalid(path, "there is no file chunk-N-trace.csv (or .csv.gz) in it"));
    }
    if files.len() > CLIENTS_MAX {
        return Err(invalid(path, format!("more than {CLIENTS_MAX} clients")));
    }
    let mut clients = Vec::new();
    for (number, (table, lengths)) in files {
        let Some(table) = table else { continue };
        let failed = |path: &Path| {
            let file = path.display().to_string();
            move |errors: Vec<_>| trace_errors(&file, &errors)
        };
        let windows = servegen::windows(open(&table)?).map_err(failed(&table))?;
        let lengths = match lengths {
            Some(path) => servegen::dataset(&mut open(&path)?).map_err(failed(&path))?,
            None => servegen::Dataset::default(),
        };
        clients.push(ServeGenClient { number, windows, lengths });
    }
    Ok(clients)
}

/// The number and the kind of a client's file: `chunk-12-trace.csv.gz`.
fn chunk(name: &str) -> Option<(u32, &'static str)> {
    let rest = name.strip_prefix("chunk-")?;
    let (number, rest) = rest.split_once('-')?;
    let number = number.parse().ok()?;
    let rest = rest.strip_suffix(".gz").unwrap_or(rest);
    let what = ["trace.csv", "dataset.json"].into_iter().find(|what| *what == rest)?;
    Some((number, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clients_files_are_recognised() {
        assert_eq!(chunk("chunk-12-trace.csv.gz"), Some((12, "trace.csv")));
        assert_eq!(chunk("chunk-0-dataset.json"), Some((0, "dataset.json")));
        for other in ["chunk-x-trace.csv", "trace.csv", "chunk-1-trace.csv.zip", "chunk-1-notes"] {
            assert_eq!(chunk(other), None, "{other}");
        }
    }
}

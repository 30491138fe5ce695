//! `[workload]`: when requests arrive.

use super::value::{Field, Table, Walk};
use super::workflow::{self, Workflows};
use super::{process, traffic};
use crate::workload::{Begin, Process, SessionPace, SessionSpec, TraceFormat, TraceScale, Users};

pub use crate::workload::process::RATE_MAX;

/// Gaps of a trace are stretched at most so many times.
pub const SCALE_MAX: f64 = 1e6;

/// When requests arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// By a law that makes up their times.
    Made(Process),
    /// By users who wait for answers and think.
    Users(Users),
    /// As they did in a recording.
    Trace {
        /// Its format.
        format: TraceFormat,
        /// Its file; without one the command line has to name it.
        path: Option<String>,
        /// What gaps and lengths are multiplied by.
        scale: TraceScale,
    },
    /// Recorded sessions, each request after the one before.
    Recorded {
        /// Their file; without one the command line has to name it.
        path: Option<String>,
        /// What times inside of a session and lengths are multiplied by.
        scale: TraceScale,
        /// When a session's requests are sent.
        pace: SessionPace,
        /// When sessions begin.
        begin: Begin,
    },
    /// By the laws of ServeGen's clients.
    ServeGen {
        /// Their folder; without one the command line has to name it.
        path: Option<String>,
        /// What times and lengths are multiplied by.
        scale: TraceScale,
        /// What rates are multiplied by.
        rate: f64,
    },
}

impl Arrivals {
    /// Whether they are made up by the scenario and never end by themselves.
    #[must_use]
    pub fn endless(&self) -> bool {
        matches!(self, Arrivals::Made(_) | Arrivals::Users(_))
    }

    /// The file or folder they are read from, if they are and it is named.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Arrivals::Made(_) | Arrivals::Users(_) => None,
            Arrivals::Trace { path, .. }
            | Arrivals::Recorded { path, .. }
            | Arrivals::ServeGen { path, .. } => path.as_deref(),
        }
    }
}

/// What the section says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Workload {
    pub(super) arrivals: Arrivals,
    /// Arrivals begin conversations of this kind instead of single requests.
    pub(super) sessions: Option<SessionSpec>,
}

/// Formats that need nothing but a file.
const FORMATS: [(&str, TraceFormat); 5] = [
    ("azure", TraceFormat::Azure),
    ("mooncake", TraceFormat::Mooncake),
    ("burstgpt", TraceFormat::BurstGpt),
    ("vidur", TraceFormat::Vidur),
    ("bailian", TraceFormat::Bailian),
];

const LATER_ARRIVALS: &[&str] = &["constant", "burst"];

pub(super) fn read(walk: &mut Walk, field: Field<'_>, flows: &mut Workflows) -> Option<Workload> {
    let mut table = walk.table(field, "`[workload]`")?;
    let arrivals = table.need(walk, "arrivals").and_then(|field| {
        let known: Vec<&str> = process::PROCESSES.into_iter().chain(["users", "trace"]).collect();
        let (name, inner) = walk.variant(field, "kind of arrivals", &known, LATER_ARRIVALS)?;
        match name {
            "trace" => trace(walk, inner),
            "users" => traffic::users(walk, inner, true).map(Arrivals::Users),
            _ => process::read(walk, name, inner).map(Arrivals::Made),
        }
    });
    let sessions = table.take("sessions").and_then(|field| {
        if arrivals.as_ref().is_some_and(|arrivals| !arrivals.endless()) {
            walk.problem(field.place(), "a trace says itself what follows what")
                .label("sessions are made up")
                .help("leave `sessions` out, or use arrivals that are made up");
        }
        traffic::sessions(walk, field)
    });
    match table.take("workflow") {
        Some(field) => {
            workflow::started(walk, field, flows);
            if arrivals.as_ref().is_some_and(|arrivals| !matches!(arrivals, Arrivals::Made(_))) {
                walk.problem(field.place(), "jobs start by a process of their own")
                    .help("let `arrivals` be made up, for instance { poisson = { rate = 1 } }");
            }
            if sessions.is_some() {
                walk.problem(field.place(), "a job is no conversation")
                    .help("leave out either `workflow` or `sessions`");
            }
        }
        None => workflow::check_started(walk, flows),
    }
    table.finish(walk, &["prefix", "tenants"]);
    Some(Workload { arrivals: arrivals?, sessions })
}

fn trace(walk: &mut Walk, field: Field<'_>) -> Option<Arrivals> {
    let formats = FORMATS.each_ref().map(|(name, _)| *name);
    let known: Vec<&str> = formats.into_iter().chain(["servegen", "sessions", "csv"]).collect();
    let (name, inner) = walk.variant(field, "trace format", &known, &[])?;
    let mut table = walk.table(inner, &format!("`{name}`"))?;
    let source = source(walk, &mut table);
    let arrivals = match name {
        "servegen" => {
            let rate = table.take("rate");
            let rate = rate.map_or(Some(1.0), |field| walk.above_zero(field, SCALE_MAX));
            let made = |((path, scale), rate)| Arrivals::ServeGen { path, scale, rate };
            source.zip(rate).map(made)
        }
        "sessions" => {
            let recorded = traffic::recorded(walk, &mut table);
            let made =
                |((path, scale), (pace, begin))| Arrivals::Recorded { path, scale, pace, begin };
            source.zip(recorded).map(made)
        }
        _ => {
            let plain = || FORMATS.into_iter().find(|(known, _)| *known == name);
            let format = match name {
                "csv" => traffic::csv(walk, &mut table).map(|map| TraceFormat::Csv(Box::new(map))),
                _ => plain().map(|(_, format)| format),
            };
            let made = |((path, scale), format)| Arrivals::Trace { format, path, scale };
            source.zip(format).map(made)
        }
    };
    table.finish(walk, &[]);
    arrivals
}

/// The file, and how it is stretched.
fn source(walk: &mut Walk, table: &mut Table<'_>) -> Option<(Option<String>, TraceScale)> {
    let path = table.take("path").map(|field| {
        let path = walk.text(field)?;
        if path.is_empty() {
            walk.must_be(field, "the path of a file");
            return None;
        }
        Some(path.to_owned())
    });
    let mut scale =
        |key| table.take(key).map_or(Some(1.0), |field| walk.above_zero(field, SCALE_MAX));
    let (time, length) = (scale("scale"), scale("length_scale"));
    let path = match path {
        None => None,
        Some(path) => Some(path?),
    };
    Some((path, TraceScale { time: time?, length: length? }))
}

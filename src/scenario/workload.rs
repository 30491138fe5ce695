//! `[workload]`: when requests arrive.

use super::class::SHARE_MAX;
use super::keys::{
    KeyDef, KeyKind, LABEL, SectionDef, TEXT, Usual, above_zero, key, need, one, section,
};
use super::table::Table;
use super::value::{Field, Walk};
use super::workflow::{self, Workflows};
use super::{WORKFLOWS_MAX, process, traffic};
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

/// `[workload]`.
pub(super) static WORKLOAD: SectionDef = SectionDef {
    keys: &[
        need(
            "arrivals",
            KeyKind::Variant(&ARRIVALS, "kind of arrivals"),
            "when requests arrive, or conversations or jobs begin",
        ),
        key(
            "sessions",
            KeyKind::Table(&traffic::SESSIONS),
            Usual::Unsaid("single requests"),
            "what arrives are conversations, whose prompts grow",
        ),
        key(
            "workflow",
            KeyKind::Any(&[TEXT, KeyKind::Map("workflow", &SHARE_OF_JOBS, 2 * WORKFLOWS_MAX)]),
            Usual::Unsaid("no jobs"),
            "what arrives are jobs: of this workflow, or of several by share",
        ),
    ],
    later: &["prefix", "tenants"],
    ..section("workload", "`[workload]`")
};

const SHARE_OF_JOBS: KeyKind = above_zero(SHARE_MAX);

static ARRIVALS: SectionDef = SectionDef {
    keys: &[
        process::POISSON,
        process::GAMMA,
        process::WEIBULL,
        process::MMPP,
        process::RAMP,
        process::DIURNAL,
        process::STEPS,
        one(
            "users",
            KeyKind::Table(&traffic::USERS),
            "users who wait for an answer and think before they ask again",
        ),
        one("trace", KeyKind::Variant(&TRACE, "trace format"), "as they were recorded"),
    ],
    later: &["constant", "burst"],
    ..section("arrivals", "")
};

static TRACE: SectionDef = SectionDef {
    keys: &[
        one("azure", KeyKind::Table(&RECORDED), "Azure LLM inference traces"),
        one("mooncake", KeyKind::Table(&RECORDED), "Mooncake traces, with prefix hashes"),
        one("burstgpt", KeyKind::Table(&RECORDED), "BurstGPT"),
        one("vidur", KeyKind::Table(&RECORDED), "Vidur"),
        one("bailian", KeyKind::Table(&RECORDED), "Bailian, with prefix hashes"),
        one("servegen", KeyKind::Table(&SERVEGEN), "windows of ServeGen's clients, a folder"),
        one(
            "sessions",
            KeyKind::Table(&RECORDED_SESSIONS),
            "sessions of agents, each request after the one before",
        ),
        one("csv", KeyKind::Table(&CSV), "any table of comma-separated values"),
    ],
    ..section("trace", "")
};

static RECORDED: SectionDef =
    SectionDef { keys: &[PATH, TIME_SCALE, LENGTH_SCALE], ..section("recorded", "") };

static SERVEGEN: SectionDef = SectionDef {
    keys: &[
        PATH,
        TIME_SCALE,
        LENGTH_SCALE,
        key(
            "rate_scale",
            above_zero(SCALE_MAX),
            Usual::Number(1.0),
            "what the rates of clients are multiplied by",
        ),
    ],
    ..section("servegen", "")
};

static RECORDED_SESSIONS: SectionDef = SectionDef {
    keys: &[PATH, TIME_SCALE, LENGTH_SCALE, traffic::PACE, traffic::START],
    ..section("recorded_sessions", "")
};

static CSV: SectionDef = SectionDef {
    keys: &[
        PATH,
        TIME_SCALE,
        LENGTH_SCALE,
        traffic::TIME,
        traffic::INPUT,
        traffic::OUTPUT,
        traffic::UNIT,
        traffic::SESSION,
        traffic::TENANT,
        traffic::CLASS,
        traffic::SEPARATOR,
    ],
    ..section("csv", "")
};

const PATH: KeyDef =
    key("path", LABEL, Usual::Unsaid("said by `--trace`"), "the file, or the folder; `-` is stdin");
const TIME_SCALE: KeyDef =
    key("scale", above_zero(SCALE_MAX), Usual::Number(1.0), "what gaps are multiplied by");
const LENGTH_SCALE: KeyDef = key(
    "length_scale",
    above_zero(SCALE_MAX),
    Usual::Number(1.0),
    "what lengths are multiplied by",
);

pub(super) fn read(walk: &mut Walk, field: Field<'_>, flows: &mut Workflows) -> Option<Workload> {
    let mut table = walk.table(field)?;
    let arrivals = table.need(walk, "arrivals").and_then(|field| {
        let (name, inner) = walk.variant(field)?;
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
    table.finish(walk);
    Some(Workload { arrivals: arrivals?, sessions })
}

fn trace(walk: &mut Walk, field: Field<'_>) -> Option<Arrivals> {
    let (name, inner) = walk.variant(field)?;
    let mut table = walk.table(inner)?;
    let source = source(walk, &mut table);
    let arrivals = match name {
        "servegen" => {
            let rate = table.number(walk, "rate_scale");
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
    table.finish(walk);
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
    let (time, length) = (table.number(walk, "scale"), table.number(walk, "length_scale"));
    let path = match path {
        None => None,
        Some(path) => Some(path?),
    };
    Some((path, TraceScale { time: time?, length: length? }))
}

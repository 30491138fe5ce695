//! `[workload]`: when requests arrive.

use super::process;
use super::value::{Field, Table, Walk};
use super::workflow::{self, Workflows};
use crate::workload::{Process, Scale, TraceFormat};

pub use crate::workload::process::RATE_MAX;

/// Gaps of a trace are stretched at most so many times.
pub const SCALE_MAX: f64 = 1e6;

/// When requests arrive.
#[expect(clippy::large_enum_variant, reason = "one a run")]
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// By a law that makes up their times.
    Made(Process),
    /// As they did in a recording.
    Trace {
        /// Its format.
        format: TraceFormat,
        /// Its file; without one the command line has to name it.
        path: Option<String>,
        /// What gaps and lengths are multiplied by.
        scale: Scale,
    },
}

const FORMATS: [(&str, TraceFormat); 4] = [
    ("azure", TraceFormat::Azure),
    ("mooncake", TraceFormat::Mooncake),
    ("burstgpt", TraceFormat::BurstGpt),
    ("vidur", TraceFormat::Vidur),
];

const LATER_ARRIVALS: &[&str] = &["users", "constant", "burst"];
const LATER_FORMATS: &[&str] = &["bailian", "sessions", "csv"];

pub(super) fn read(walk: &mut Walk, field: Field<'_>, flows: &mut Workflows) -> Option<Arrivals> {
    let mut table = walk.table(field, "`[workload]`")?;
    let arrivals = table.need(walk, "arrivals").and_then(|field| {
        let known: Vec<&str> = process::PROCESSES.into_iter().chain(["trace"]).collect();
        let (name, inner) = walk.variant(field, "kind of arrivals", &known, LATER_ARRIVALS)?;
        if name == "trace" {
            return trace(walk, inner);
        }
        process::read(walk, name, inner).map(Arrivals::Made)
    });
    match table.take("workflow") {
        Some(field) => {
            workflow::started(walk, field, flows);
            if matches!(arrivals, Some(Arrivals::Trace { .. })) {
                walk.problem(field.place(), "a trace has requests of its own and starts no jobs")
                    .help("let `arrivals` be made up, for instance { poisson = { rate = 1 } }");
            }
        }
        None => workflow::check_started(walk, flows),
    }
    table.finish(walk, &["sessions", "prefix", "tenants"]);
    arrivals
}

fn trace(walk: &mut Walk, field: Field<'_>) -> Option<Arrivals> {
    let (name, inner) =
        walk.variant(field, "trace format", &FORMATS.map(|(name, _)| name), LATER_FORMATS)?;
    let mut table = walk.table(inner, &format!("`{name}`"))?;
    let format = FORMATS.into_iter().find(|(known, _)| *known == name);
    let arrivals = format.and_then(|(_, format)| source(walk, &mut table, format));
    table.finish(walk, &[]);
    arrivals
}

fn source(walk: &mut Walk, table: &mut Table<'_>, format: TraceFormat) -> Option<Arrivals> {
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
    Some(Arrivals::Trace { format, path, scale: Scale { time: time?, length: length? } })
}

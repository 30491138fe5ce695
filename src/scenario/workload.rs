//! `[workload]`: when requests arrive.

use super::value::{Field, Table, Walk};
use crate::workload::TraceFormat;

/// Requests a second go so far.
pub const RATE_MAX: f64 = 1e7;

/// Gaps of a trace are stretched at most so many times.
pub const SCALE_MAX: f64 = 1e6;

/// When requests arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// Independently of each other.
    Poisson {
        /// Requests a second.
        rate: f64,
    },
    /// As they did in a recording.
    Trace {
        /// Its format.
        format: TraceFormat,
        /// Its file; without one the command line has to name it.
        path: Option<String>,
        /// What gaps are multiplied by: 0.5 plays it twice as fast.
        scale: f64,
    },
}

const LATER_ARRIVALS: &[&str] =
    &["gamma", "mmpp", "diurnal", "ramp", "users", "weibull", "constant", "burst"];
const LATER_FORMATS: &[&str] = &["burstgpt", "bailian", "sessions", "csv"];

pub(super) fn read(walk: &mut Walk, field: Field<'_>) -> Option<Arrivals> {
    let mut table = walk.table(field, "`[workload]`")?;
    let arrivals = table.need(walk, "arrivals").and_then(|field| {
        let known = &["poisson", "trace"];
        let (name, inner) = walk.variant(field, "kind of arrivals", known, LATER_ARRIVALS)?;
        if name == "poisson" { poisson(walk, inner) } else { trace(walk, inner) }
    });
    table.finish(walk, &["sessions", "workflow", "prefix", "tenants"]);
    arrivals
}

fn poisson(walk: &mut Walk, field: Field<'_>) -> Option<Arrivals> {
    let mut table = walk.table(field, "`poisson`")?;
    let rate = table.need(walk, "rate").and_then(|field| walk.above_zero(field, RATE_MAX));
    table.finish(walk, &[]);
    rate.map(|rate| Arrivals::Poisson { rate })
}

fn trace(walk: &mut Walk, field: Field<'_>) -> Option<Arrivals> {
    let known = &["azure", "mooncake"];
    let (name, inner) = walk.variant(field, "trace format", known, LATER_FORMATS)?;
    let mut table = walk.table(inner, &format!("`{name}`"))?;
    let format = if name == "azure" { TraceFormat::Azure } else { TraceFormat::Mooncake };
    let arrivals = source(walk, &mut table, format);
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
    let scale = table.take("scale").map_or(Some(1.0), |field| walk.above_zero(field, SCALE_MAX));
    let path = match path {
        None => None,
        Some(path) => Some(path?),
    };
    Some(Arrivals::Trace { format, path, scale: scale? })
}

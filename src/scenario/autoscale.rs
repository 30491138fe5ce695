//! `autoscale = { ... }` of a group of nodes and `batch = { ... }` of a pool.

use super::dist::{Unit, read_or_zero};
use super::document::Kind;
use super::pool::NODES_MAX;
use super::value::{Field, Walk, digits};
use crate::balance::{BatchSpec, ScaleSpec, Target};
use crate::dist::Dist;
use crate::unit::{NodeId, Ratio, Span, Tokens};

/// A batch has at most so many requests.
pub const BATCH_MAX: u64 = 10_000;

/// A step grows a group at most by so many times its size.
pub const UP_MAX: f64 = 1_000.0;

/// Tokens a target may hold a node to.
pub const TARGET_MAX: u64 = 1_000_000_000;

/// A node that does not say takes so long to start.
pub const COLD_START_DEFAULT: Span = Span::from_secs(90);

/// Time between two looks at a group that does not say.
pub const EVERY_DEFAULT: Span = Span::from_secs(15);

/// A group that does not say shrinks when fewer nodes have been enough for so long.
pub const DOWN_AFTER_DEFAULT: Span = Span::from_secs(300);

/// Steps of a group that does not say: at most twice the size, at least three quarters of it.
pub const STEPS_DEFAULT: (Ratio, Ratio) = (Ratio::ONE, Ratio(250_000));

/// How near to its target a load may be without consequence, if the group does not say.
pub const TOLERANCE_DEFAULT: Ratio = Ratio(100_000);

const TARGETS: &[&str] = &["tokens_in_flight", "in_flight", "queue", "ttft"];

/// A group that grows and shrinks, without its nodes.
#[derive(Clone, Debug)]
pub(super) struct Autoscale {
    spec: ScaleSpec,
    pub(super) cold_start: Dist,
}

impl Autoscale {
    /// The nodes the group is made of, up and off.
    pub(super) const fn nodes(&self) -> usize {
        self.spec.max as usize
    }

    /// The group of these nodes, `start` of them up at the start.
    pub(super) fn of(self, name: &str, nodes: Vec<NodeId>, start: Option<u32>) -> ScaleSpec {
        // Without a word it begins small, but with something.
        let least = self.spec.min.max(1).min(self.spec.max);
        ScaleSpec { name: name.to_owned(), nodes, start: start.unwrap_or(least), ..self.spec }
    }
}

/// Reads a group's `autoscale`. `count` is the number of nodes up at the start, if that is said.
pub(super) fn read(
    walk: &mut Walk,
    field: Field<'_>,
    count: Option<(Field<'_>, u64)>,
) -> Option<Autoscale> {
    let mut table = walk.table(field, "`autoscale`")?;
    let min_field = table.take("min");
    let min = min_field.map_or(Some(1), |field| walk.count(field, 0..=NODES_MAX as u64));
    let max = table.need(walk, "max").and_then(|field| walk.count(field, 1..=NODES_MAX as u64));
    let target = table.need(walk, "target").and_then(|field| target(walk, field));
    let cold_start = table.take("cold_start").map_or_else(
        || Dist::constant(COLD_START_DEFAULT.seconds()).ok(),
        |field| cold_start(walk, field),
    );
    let every = table.take("every").map_or(Some(EVERY_DEFAULT), |field| walk.positive_span(field));
    let down_after = table
        .take("down_after")
        .map_or(Some(DOWN_AFTER_DEFAULT), |field| walk.span(field, Span::ZERO..=Span::MAX));
    let up_max = table
        .take("up_max")
        .map_or(Some(STEPS_DEFAULT.0), |field| walk.above_zero(field, UP_MAX).map(Ratio::from_f64));
    let down_max = table
        .take("down_max")
        .map_or(Some(STEPS_DEFAULT.1), |field| walk.above_zero(field, 1.0).map(Ratio::from_f64));
    let tolerance = table
        .take("tolerance")
        .map_or(Some(TOLERANCE_DEFAULT), |field| walk.upto(field, 1.0).map(Ratio::from_f64));
    table.finish(walk, &["schedule", "forecast"]);
    let (min, max) = (min?, max?);
    if min > max {
        let place = min_field.map_or(field, |field| field).place();
        let message = format!("`min` ({}) must not be above `max` ({})", digits(min), digits(max));
        walk.problem(place, message).label("more than there may be");
        return None;
    }
    if let Some((field, count)) = count.filter(|(_, count)| !(min..=max).contains(count)) {
        let message = format!(
            "`count` ({}) must be from `min` ({}) to `max` ({})",
            digits(count),
            digits(min),
            digits(max)
        );
        walk.problem(field.place(), message).label("nodes that are up at the start");
        return None;
    }
    let spec = ScaleSpec {
        name: String::new(),
        nodes: Vec::new(),
        start: 0,
        min: min as u32,
        max: max as u32,
        target: target?,
        every: every?,
        down_after: down_after?,
        up_max: up_max?,
        down_max: down_max?,
        tolerance: tolerance?,
        advise: false,
    };
    Some(Autoscale { spec, cold_start: cold_start? })
}

fn target(walk: &mut Walk, field: Field<'_>) -> Option<Target> {
    let (name, inner) = walk.variant(field, "target", TARGETS, &["kv_used", "slo_attainment"])?;
    let mut requests = |target: fn(u32) -> Target| {
        walk.count(inner, 1..=u64::from(u32::MAX)).map(|count| target(count as u32))
    };
    match name {
        "in_flight" => requests(Target::InFlight),
        "queue" => requests(Target::Queue),
        "ttft" => walk.positive_span(inner).map(Target::Ttft),
        _ => walk.count(inner, 1..=TARGET_MAX).map(|tokens| Target::TokensInFlight(Tokens(tokens))),
    }
}

/// A duration, a law, or what has to be loaded: `{ load = { weights_gb, gb_per_s, warm_up } }`.
fn cold_start(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let load = match &field.value.kind {
        Kind::Table(entries) => entries.iter().any(|entry| entry.key == "load"),
        _ => false,
    };
    if !load {
        return read_or_zero(walk, field, Unit::Time);
    }
    let (_, inner) = walk.variant(field, "cold start", &["load"], &[])?;
    let mut table = walk.table(inner, "`load`")?;
    let mut number =
        |walk: &mut Walk, key| table.need(walk, key).and_then(|field| walk.above_zero(field, 1e6));
    let (weights, speed) = (number(walk, "weights_gb"), number(walk, "gb_per_s"));
    let warm_up = table
        .take("warm_up")
        .map_or(Some(Span::ZERO), |field| walk.span(field, Span::ZERO..=Span::MAX));
    table.finish(walk, &[]);
    Dist::constant(weights? / speed? + warm_up?.seconds()).ok()
}

/// Reads a pool's `batch`.
pub(super) fn batch(walk: &mut Walk, field: Field<'_>) -> Option<BatchSpec> {
    let mut table = walk.table(field, "`batch`")?;
    let size = table.need(walk, "size").and_then(|field| walk.count(field, 1..=BATCH_MAX));
    // A batch of one is sent at once.
    let window = match (table.has("window"), size) {
        (false, Some(1)) => Some(Span(1)),
        _ => table.need(walk, "window").and_then(|field| walk.positive_span(field)),
    };
    table.finish(walk, &[]);
    Some(BatchSpec { size: size? as u32, window: window? })
}

//! `autoscale = { ... }` of a group of nodes and `batch = { ... }` of a pool.

use super::dist::{DURATIONS, read_or_zero};
use super::document::Kind;
use super::keys::{
    KeyKind, POSITIVE_SPAN, SHARE, SPAN, SectionDef, Usual, above_zero, key, need, one, section,
};
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

/// `autoscale` of a group of nodes.
pub(super) static AUTOSCALE: SectionDef = SectionDef {
    keys: &[
        key(
            "min",
            KeyKind::Whole(0, NODES_MAX as u64),
            Usual::Whole(1),
            "the group never has fewer nodes",
        ),
        need("max", KeyKind::Whole(1, NODES_MAX as u64), "the group never has more nodes"),
        need("target", KeyKind::Variant(&TARGETS, "target"), "what each node is to have"),
        key(
            "cold_start",
            COLD_START,
            Usual::Span(COLD_START_DEFAULT),
            "how long a node takes to start",
        ),
        key(
            "every",
            POSITIVE_SPAN,
            Usual::Span(EVERY_DEFAULT),
            "time between two looks at the group",
        ),
        key(
            "down_after",
            SPAN,
            Usual::Span(DOWN_AFTER_DEFAULT),
            "the group shrinks when fewer nodes have been enough for so long",
        ),
        key(
            "up_max",
            above_zero(UP_MAX),
            Usual::Number(STEPS_DEFAULT.0.value()),
            "a step adds at most this share of the group",
        ),
        key(
            "down_max",
            above_zero(1.0),
            Usual::Number(STEPS_DEFAULT.1.value()),
            "a step takes away at most this share of the group",
        ),
        key(
            "tolerance",
            SHARE,
            Usual::Number(TOLERANCE_DEFAULT.value()),
            "a load this near to its target changes nothing",
        ),
    ],
    later: &["schedule", "forecast"],
    ..section("autoscale", "")
};

static TARGETS: SectionDef = SectionDef {
    keys: &[
        one("tokens_in_flight", KeyKind::Whole(1, TARGET_MAX), "tokens that are worked on or wait"),
        one("in_flight", KeyKind::Whole(1, u32::MAX as u64), "requests that are worked on or wait"),
        one("queue", KeyKind::Whole(1, u32::MAX as u64), "requests that wait"),
        one("ttft", POSITIVE_SPAN, "the predicted time to the first token"),
    ],
    later: &["kv_used", "slo_attainment"],
    ..section("scale_target", "")
};

const COLD_START: KeyKind = KeyKind::Any(COLD_START_FORMS);
const COLD_START_FORMS: &[KeyKind] =
    &[SPAN, KeyKind::Variant(&DURATIONS, "distribution"), KeyKind::Table(&LOADED)];

static LOADED: SectionDef = SectionDef {
    keys: &[need("load", KeyKind::Table(&LOAD), "what has to be loaded")],
    ..section("cold_start", "")
};

static LOAD: SectionDef = SectionDef {
    keys: &[
        need("weights_gb", above_zero(1e6), "size of the model"),
        need("gb_per_s", above_zero(1e6), "speed at which it is loaded"),
        key("warm_up", SPAN, Usual::Span(Span::ZERO), "what comes after that"),
    ],
    ..section("load", "")
};

/// `batch` of a pool.
pub(super) static BATCH: SectionDef = SectionDef {
    keys: &[
        need("size", KeyKind::Whole(1, BATCH_MAX), "requests that are sent together at most"),
        key(
            "window",
            POSITIVE_SPAN,
            Usual::Unsaid("needed unless `size` is 1"),
            "the first of them waits at most so long",
        ),
    ],
    ..section("batch", "")
};

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
    let mut table = walk.table(field)?;
    let (min, max) = (table.count(walk, "min"), table.count(walk, "max"));
    let min_place = table.value_place(&["min"]);
    let target = table.need(walk, "target").and_then(|field| target(walk, field));
    let cold_start = table.take("cold_start").map_or_else(
        || Dist::constant(COLD_START_DEFAULT.seconds()).ok(),
        |field| cold_start(walk, field),
    );
    let every = table.span(walk, "every");
    let down_after = table.span(walk, "down_after");
    let mut step = |key| table.number(walk, key).map(Ratio::from_f64);
    let (up_max, down_max, tolerance) = (step("up_max"), step("down_max"), step("tolerance"));
    table.finish(walk);
    let (min, max) = (min?, max?);
    if min > max {
        let message = format!("`min` ({}) must not be above `max` ({})", digits(min), digits(max));
        walk.problem(min_place, message).label("more than there may be");
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
    let (name, inner) = walk.variant(field)?;
    let mut requests =
        |target: fn(u32) -> Target| walk.count(inner).map(|count| target(count as u32));
    match name {
        "in_flight" => requests(Target::InFlight),
        "queue" => requests(Target::Queue),
        "ttft" => walk.span(inner).map(Target::Ttft),
        _ => walk.count(inner).map(|tokens| Target::TokensInFlight(Tokens(tokens))),
    }
}

/// A duration, a law, or what has to be loaded: `{ load = { weights_gb, gb_per_s, warm_up } }`.
fn cold_start(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let load = match &field.value.kind {
        Kind::Table(entries) => entries.iter().any(|entry| entry.key == "load"),
        _ => false,
    };
    if !load {
        return read_or_zero(walk, field);
    }
    let mut outer = walk.table(field)?;
    let inner = outer.need(walk, "load");
    outer.finish(walk);
    let mut table = walk.table(inner?)?;
    let (weights, speed) = (table.number(walk, "weights_gb"), table.number(walk, "gb_per_s"));
    let warm_up = table.span(walk, "warm_up");
    table.finish(walk);
    Dist::constant(weights? / speed? + warm_up?.seconds()).ok()
}

/// Reads a pool's `batch`.
pub(super) fn batch(walk: &mut Walk, field: Field<'_>) -> Option<BatchSpec> {
    let mut table = walk.table(field)?;
    let size = table.count(walk, "size");
    // A batch of one is sent at once.
    let window = match (table.has("window"), size) {
        (false, Some(1)) => Some(Span(1)),
        _ => table.need(walk, "window").and_then(|field| walk.span(field)),
    };
    table.finish(walk);
    Some(BatchSpec { size: size? as u32, window: window? })
}

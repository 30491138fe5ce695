//! `[[fault]]`: what goes wrong with which nodes, when, and for how long.

use super::pool::Fleet;
use super::problem::Place;
use super::value::{Field, Table, Walk};
use crate::node::{Answer, FaultKind, FaultSpec};
use crate::unit::{NodeId, Ratio, Span, Time};

/// A scenario has at most so many faults.
pub const FAULTS_MAX: usize = 10_000;

/// A slow node takes at most so many times as long.
pub const FACTOR_MAX: f64 = 1e6;

const KINDS: &[&str] = &["crash", "hang", "slow", "errors"];
const LATER: &[&str] = &["random", "partition", "cold_start", "drain", "flap", "stall", "quota"];

/// Reads the faults; `end` is the end of the run, where the file itself sets it.
pub(super) fn read(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    fleet: &Fleet,
    end: Option<Span>,
) -> Vec<FaultSpec> {
    let tables = walk.tables(field, "fault", FAULTS_MAX);
    tables.into_iter().filter_map(|table| read_one(walk, table, fleet, end)).collect()
}

fn read_one(
    walk: &mut Walk,
    mut table: Table<'_>,
    fleet: &Fleet,
    end: Option<Span>,
) -> Option<FaultSpec> {
    if table.has("random") {
        walk.not_yet(table.key_place("random"), "random");
        return None;
    }
    let at_field = table.need(walk, "at");
    let at = at_field.and_then(|field| walk.span(field, Span::ZERO..=Span::MAX));
    if let (Some(at), Some(end), Some(field)) = (at, end, at_field)
        && at >= end
    {
        let message = format!("the fault begins when the run is over (`duration` is {end})");
        walk.problem(field.place(), message).label("too late");
    }
    let mut kinds: Vec<Field<'_>> = KINDS.iter().filter_map(|kind| table.take(kind)).collect();
    kinds.sort_by_key(|field| match field.place() {
        Place::Span(span) => span.start,
        _ => usize::MAX,
    });
    let place = table.place;

    if kinds.is_empty() && ["type", "kind", "node", "pool", "region"].iter().any(|k| table.has(k)) {
        walk.problem(place, "the fault does not say what goes wrong in the way that is read here")
            .label("its kind is a key")
            .help("write for instance `slow = { node = \"...\", factor = 4, for = \"40s\" }`");
        return None;
    }
    if kinds.is_empty() && !table.any_unknown() {
        walk.problem(place, "the fault does not say what goes wrong")
            .label("nothing happens")
            .help("write one of `crash`, `hang`, `slow`, `errors`");
    }
    if kinds.len() > 1 {
        walk.problem(kinds[1].place(), "a fault is one of `crash`, `hang`, `slow`, `errors`")
            .label("one too many")
            .help("write a second `[[fault]]` with the same `at`");
    }
    table.finish_as(walk, "fault", KINDS, LATER);
    let read = kinds.first().and_then(|field| kind(walk, *field, fleet));
    let ((kind, lasts, nodes), at) = read.zip(at)?;
    Some(FaultSpec { at: Time::ZERO + at, lasts, kind, nodes })
}

type Read = (FaultKind, Option<Span>, Vec<NodeId>);

fn kind(walk: &mut Walk, field: Field<'_>, fleet: &Fleet) -> Option<Read> {
    let mut table = walk.table(field, &format!("`{}`", field.name))?;
    let nodes = target(walk, &mut table, fleet);
    let lasts = table.take("for").map(|field| walk.positive_span(field));
    let kind = match field.name {
        "crash" => Some(FaultKind::Crash),
        "hang" => Some(FaultKind::Hang),
        "slow" => table
            .need(walk, "factor")
            .and_then(|field| walk.above_zero(field, FACTOR_MAX))
            .map(FaultKind::Slow),
        _ => errors(walk, &mut table),
    };
    table.finish(walk, &[]);
    let lasts = match lasts {
        None => None,
        Some(lasts) => Some(lasts?),
    };
    let (kind, nodes) = kind.zip(nodes)?;
    Some((kind, lasts, nodes))
}

fn errors(walk: &mut Walk, table: &mut Table<'_>) -> Option<FaultKind> {
    let share = table.take("share").map_or(Some(1.0), |field| walk.above_zero(field, 1.0));
    let status = table.take("status").map_or(Some(500), |field| {
        let status = walk.count(field, 0..=u64::MAX)?;
        if matches!(status, 500 | 503 | 429) {
            return Some(status);
        }
        walk.must_be(field, "500, 503 or 429");
        None
    });
    let retry_field = table.take("retry_after");
    let retry_after = retry_field.and_then(|field| walk.positive_span(field));
    if let (Some(field), Some(500 | 503)) = (retry_field, status) {
        walk.problem(field.place(), "`retry_after` belongs to status 429 only")
            .label("has no effect")
            .help("write `status = 429`, or leave `retry_after` out");
    }
    let answer = match status? {
        429 => Answer::RateLimited(retry_after),
        503 => Answer::Overloaded,
        _ => Answer::ServerError,
    };
    Some(FaultKind::Errors(Ratio::from_f64(share?), answer))
}

/// The nodes a fault is about: one name of a node, a group, a pool or a region.
fn target(walk: &mut Walk, table: &mut Table<'_>, fleet: &Fleet) -> Option<Vec<NodeId>> {
    let named = [table.take("node"), table.take("pool"), table.take("region")];
    let given: Vec<Field<'_>> = named.into_iter().flatten().collect();
    let [field] = given.as_slice() else {
        let message = "a fault names one of `node`, `pool` and `region`";
        let place = given.get(1).map_or(table.place, |field| field.place());
        walk.problem(place, message);
        return None;
    };
    let select = |wanted: &dyn Fn(usize) -> bool| {
        let ids = (0..fleet.nodes.len()).filter(|node| wanted(*node));
        ids.map(|node| NodeId(node as u32)).collect()
    };
    match field.name {
        "node" => {
            let name = fleet.node_names.find(walk, *field)?;
            fleet.named.get(name).cloned()
        }
        "pool" => {
            let pool = fleet.pool_names.find(walk, *field)?;
            Some(select(&|node| fleet.nodes[node].pool.index() == pool))
        }
        _ => {
            let region = fleet.regions.find(walk, *field)?;
            Some(select(&|node| fleet.nodes[node].region.index() == region))
        }
    }
}

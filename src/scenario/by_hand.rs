//! `[[by_hand]]`: what a person did to a run, and when. The dashboard writes it; a run of the file is
//! the same run again.

use super::fault::{self, kinds};
use super::keys::{KeyKind, LABEL, Range, SPAN, SectionDef, Usual, key, need, section};
use super::pool::Fleet;
use super::table::Table;
use super::value::{Field, Walk};
use super::workload::Workload;
use super::{Arrivals, strategy};
use crate::sim::{Act, Deed};
use crate::unit::{PoolId, Time};

/// A scenario has at most so many acts.
pub const ACTS_MAX: usize = 10_000;

/// What the load may be multiplied by.
pub const LOADS: Range = Range { least: 0.01, most: 100.0, above: false };

const ONE_DEED: Usual =
    Usual::Unsaid("a fault, or one of `heal`, `strategy` and `load`, is needed");

/// `[[by_hand]]`: `at`, and one thing that is done.
pub(super) static BY_HAND: SectionDef = SectionDef {
    keys: &[
        need("at", SPAN, "when: after everything else of that time"),
        key("heal", KeyKind::Table(&HEAL), ONE_DEED, "what was made by hand with nodes is over"),
        key("strategy", KeyKind::Table(&SWITCH), ONE_DEED, "a pool chooses by another strategy"),
        key(
            "load",
            KeyKind::Number(LOADS),
            ONE_DEED,
            "so many times as much arrives as the scenario says; for arrivals that are made up",
        ),
    ],
    fault: true,
    ..section("by_hand", "`[[by_hand]]`")
};

static HEAL: SectionDef = SectionDef {
    keys: &[fault::NODE, fault::POOL, fault::REGION, fault::TAG],
    ..section("heal", "")
};

static SWITCH: SectionDef = SectionDef {
    keys: &[
        need("pool", LABEL, "which pool"),
        need("use", KeyKind::Strategy, "its strategy from now on"),
    ],
    ..section("switch", "")
};

/// Reads what was done, in file order.
pub(super) fn read(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    fleet: &Fleet,
    workload: Option<&Workload>,
) -> Vec<Act> {
    let arrivals = workload.map(|workload| &workload.arrivals);
    let tables = walk.tables(field);
    tables.into_iter().filter_map(|table| read_one(walk, table, fleet, arrivals)).collect()
}

fn read_one(
    walk: &mut Walk,
    mut table: Table<'_>,
    fleet: &Fleet,
    arrivals: Option<&Arrivals>,
) -> Option<Act> {
    let at = table.need(walk, "at").and_then(|field| walk.span(field));
    let (heal, switch) = (table.take("heal"), table.take("strategy"));
    let load = table.take("load");
    let others: Vec<Field<'_>> = [heal, switch, load].into_iter().flatten().collect();
    let found = match others.first() {
        None => fault::the_kind(walk, &mut table, "`[[by_hand]]`")?,
        Some(_) => None,
    };
    if let Some(second) = others.get(1) {
        walk.problem(second.place(), "`[[by_hand]]` says one thing that is done")
            .label("one too many")
            .help("write a second `[[by_hand]]` with the same `at`");
    }
    table.finish_as(walk, "deed", &kinds());
    let deed = if let Some(found) = found {
        let (kind, nodes, lasts) = fault::read_by_hand(walk, found, fleet)?;
        Deed::Fault { kind, nodes, lasts }
    } else if let Some(field) = heal {
        let mut inner = walk.table(field)?;
        let nodes = fault::target(walk, &mut inner, fleet);
        inner.finish(walk);
        Deed::Heal(nodes?)
    } else if let Some(field) = switch {
        switched(walk, field, fleet)?
    } else {
        let field = load?;
        let factor = walk.number(field)?;
        if !arrivals.is_none_or(|arrivals| matches!(arrivals, Arrivals::Made(_))) {
            walk.problem(
                field.place(),
                "these arrivals come as they were recorded, or after answers",
            )
            .label("their load cannot change");
            return None;
        }
        Deed::Load(factor)
    };
    Some(Act { at: Time::ZERO + at?, deed })
}

fn switched(walk: &mut Walk, field: Field<'_>, fleet: &Fleet) -> Option<Deed> {
    let mut inner = walk.table(field)?;
    let (pool, used) = (inner.need(walk, "pool"), inner.need(walk, "use"));
    inner.finish(walk);
    let pool = pool.and_then(|field| fleet.pool_names.find(walk, field));
    let spec = used.and_then(|field| strategy::read(walk, field));
    Some(Deed::Strategy(PoolId(pool? as u16), spec?))
}

/// A time as the file says it, to the nanosecond: `"61.25s"`.
#[must_use]
pub fn seconds(at: Time) -> String {
    let (whole, rest) = (at.0 / 1_000_000_000, at.0 % 1_000_000_000);
    let rest = format!("{rest:09}");
    match rest.trim_end_matches('0') {
        "" => format!("{whole}s"),
        rest => format!("{whole}.{rest}s"),
    }
}

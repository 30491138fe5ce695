//! Closed loops, conversations and the traces that need more than a path: `{ users = ... }`,
//! `sessions = ...`, `{ trace = { sessions | servegen | csv = ... } }`, `tenant = ...`.

use super::dist::{Unit, read as read_dist, read_or_zero};
use super::process;
use super::value::{Field, Table, Walk};
use crate::dist::Dist;
use crate::unit::{Span, TenantId};
use crate::workload::closed::USERS_MAX;
use crate::workload::length::LENGTH_MAX;
use crate::workload::session::{CONTEXT_DEFAULT, TURNS_MAX};
use crate::workload::tenant::{EXPONENT_MAX, TENANTS_MAX};
use crate::workload::{Begin, CsvMap, SessionPace, SessionSpec, TenantLaw, TimeUnit, Users};

const PACES: &[(&str, SessionPace)] =
    &[("think", SessionPace::Think), ("recorded", SessionPace::Recorded)];

const UNITS: &[(&str, TimeUnit)] = &[
    ("s", TimeUnit::Seconds),
    ("ms", TimeUnit::Millis),
    ("us", TimeUnit::Micros),
    ("ns", TimeUnit::Nanos),
    ("datetime", TimeUnit::Date),
];

/// `{ count = 200, think = ..., ramp = "30s" }`. Where users play sessions, they may do without a
/// pause between these.
pub(super) fn users(walk: &mut Walk, field: Field<'_>, pause: bool) -> Option<Users> {
    let mut table = walk.table(field, "`users`")?;
    let count = table.need(walk, "count");
    let count = count.and_then(|field| walk.count(field, 1..=u64::from(USERS_MAX)));
    let think = if pause { table.need(walk, "think") } else { table.take("think") };
    let think = match think {
        Some(field) => read_or_zero(walk, field, Unit::Time),
        None if pause => None,
        None => Dist::constant(0.0).ok(),
    };
    let ramp = table.take("ramp");
    let ramp = ramp
        .map_or(Some(Span::ZERO), |field| walk.span(field, Span::ZERO..=Span::from_secs(86_400)));
    table.finish(walk, &[]);
    Some(Users { count: count? as u32, think: think?, ramp: ramp? })
}

/// `sessions = { turns = ..., think = ..., system_tokens = 1000, max_context = 100_000 }`.
pub(super) fn sessions(walk: &mut Walk, field: Field<'_>) -> Option<SessionSpec> {
    let mut table = walk.table(field, "`sessions`")?;
    let turns = table.need(walk, "turns").and_then(|field| {
        let turns = read_dist(walk, field, Unit::Plain)?;
        if turns.mean() > TURNS_MAX as f64 {
            walk.must_be(field, "at most 100_000 turns in the mean");
            return None;
        }
        Some(turns)
    });
    let think = table.need(walk, "think").and_then(|field| read_or_zero(walk, field, Unit::Time));
    let mut tokens = |key, least, default| {
        let field = table.take(key);
        field.map_or(Some(default), |field| walk.count(field, least..=LENGTH_MAX))
    };
    let system = tokens("system_tokens", 0, 0);
    let context = tokens("max_context", 1, CONTEXT_DEFAULT);
    if let Some((system, context)) = system.zip(context)
        && system >= context
    {
        let message = format!("`system_tokens` ({system}) must be below `max_context` ({context})");
        walk.problem(table.key_place("system_tokens"), message).label("no room for a question");
    }
    table.finish(walk, &[]);
    Some(SessionSpec { turns: turns?, think: think?, system: system?, context_max: context? })
}

/// How recorded sessions begin and go on: `pace = "think"`, `start = { poisson = { rate = 1 } }`.
pub(super) fn recorded(walk: &mut Walk, table: &mut Table<'_>) -> Option<(SessionPace, Begin)> {
    let pace = table.take("pace").map_or(Some(SessionPace::Think), |field| walk.word(field, PACES));
    // The file does not say when sessions begin, so the scenario must.
    let begin = table.need(walk, "start").and_then(|field| {
        let known: Vec<&str> = process::PROCESSES.into_iter().chain(["users"]).collect();
        let (name, inner) = walk.variant(field, "kind of start", &known, &[])?;
        if name == "users" {
            return users(walk, inner, false).map(Begin::Users);
        }
        process::read(walk, name, inner).map(Begin::Process)
    });
    pace.zip(begin)
}

/// The columns of a table: `time = "Timestamp"`, `unit = "s"`, `input = ...`, `output = ...`.
pub(super) fn csv(walk: &mut Walk, table: &mut Table<'_>) -> Option<CsvMap> {
    fn name(walk: &mut Walk, field: Field<'_>) -> Option<String> {
        let name = walk.text(field)?.trim();
        if name.is_empty() {
            walk.must_be(field, "the name of a column");
            return None;
        }
        Some(name.to_owned())
    }
    let mut needed = |key| table.need(walk, key).and_then(|field| name(walk, field));
    let (time, input, output) = (needed("time"), needed("input"), needed("output"));
    let unit = table.take("unit").map_or(Some(TimeUnit::Seconds), |field| walk.word(field, UNITS));
    let mut optional = |key| match table.take(key) {
        Some(field) => name(walk, field).map(Some),
        None => Some(None),
    };
    let (session, tenant, class) = (optional("session"), optional("tenant"), optional("class"));
    let separator = table.take("separator").map_or(Some(b','), |field| {
        let text = walk.text(field)?;
        let [byte] = text.as_bytes() else {
            walk.must_be(field, "one character, such as \";\" or \"\\t\"");
            return None;
        };
        if byte.is_ascii_alphanumeric() || matches!(byte, b'"' | b'.' | b'\r' | b'\n') {
            walk.must_be(field, "a character that is in no number and no name");
            return None;
        }
        Some(*byte)
    });
    Some(CsvMap {
        time: time?,
        unit: unit?,
        input: input?,
        output: output?,
        session: session?,
        tenant: tenant?,
        class: class?,
        separator: separator?,
    })
}

/// `tenant = 7` or `tenant = { zipf = { tenants = 20, exponent = 1.1 } }`.
pub(super) fn tenants(walk: &mut Walk, field: Field<'_>) -> Option<TenantLaw> {
    if !field.is_table() {
        let tenant = walk.count(field, 0..=u64::from(u32::MAX))?;
        return Some(TenantLaw::One(TenantId(tenant as u32)));
    }
    let (_, inner) = walk.variant(field, "law of tenants", &["zipf"], &[])?;
    let mut table = walk.table(inner, "`zipf`")?;
    let count = table.need(walk, "tenants");
    let count = count.and_then(|field| walk.count(field, 1..=u64::from(TENANTS_MAX)));
    let exponent = table.take("exponent").map_or(Some(1.0), |field| walk.upto(field, EXPONENT_MAX));
    table.finish(walk, &[]);
    TenantLaw::zipf(count? as u32, exponent?)
}

#[cfg(test)]
mod tests;

//! Closed loops, conversations and the traces that need more than a path: `{ users = ... }`,
//! `sessions = ...`, `{ trace = { sessions | servegen | csv = ... } }`, `tenant = ...`.

use super::dist::{DURATION, NUMBER, read as read_dist, read_or_zero};
use super::keys::{
    KeyDef, KeyKind, LABEL, SectionDef, Usual, key, names, need, one, section, text, upto,
};
use super::table::Table;
use super::value::{Field, Walk};
use super::{admission, process};
use crate::dist::Dist;
use crate::unit::{Span, TenantId};
use crate::workload::closed::USERS_MAX;
use crate::workload::length::LENGTH_MAX;
use crate::workload::session::{CONTEXT_DEFAULT, TURNS_MAX};
use crate::workload::tenant::{EXPONENT_MAX, TENANTS_MAX};
use crate::workload::{Begin, CsvMap, SessionPace, SessionSpec, TenantLaw, TimeUnit, Users};

const PACES: [(&str, SessionPace); 2] =
    [("think", SessionPace::Think), ("recorded", SessionPace::Recorded)];

const UNITS: [(&str, TimeUnit); 5] = [
    ("s", TimeUnit::Seconds),
    ("ms", TimeUnit::Millis),
    ("us", TimeUnit::Micros),
    ("ns", TimeUnit::Nanos),
    ("datetime", TimeUnit::Date),
];

/// Users who send requests.
pub(super) static USERS: SectionDef = SectionDef {
    keys: &[
        COUNT_OF_USERS,
        need("think", DURATION, "time between an answer and the next request of its user"),
        RAMP,
    ],
    ..section("users", "")
};

/// Users who play recorded sessions.
static PLAYERS: SectionDef = SectionDef {
    keys: &[
        COUNT_OF_USERS,
        key("think", DURATION, Usual::Unsaid("none"), "time between two sessions of a user"),
        RAMP,
    ],
    ..section("players", "")
};

const COUNT_OF_USERS: KeyDef =
    need("count", KeyKind::Whole(1, USERS_MAX as u64), "how many there are");

const RAMP: KeyDef = key(
    "ramp",
    KeyKind::Span(Span::ZERO, Span::from_secs(86_400)),
    Usual::Span(Span::ZERO),
    "they begin one after the other within this time",
);

pub(super) static SESSIONS: SectionDef = SectionDef {
    keys: &[
        need("turns", NUMBER, "requests of a conversation"),
        need("think", DURATION, "time between an answer and the next question"),
        key(
            "system_tokens",
            KeyKind::Whole(0, LENGTH_MAX),
            Usual::Whole(0),
            "tokens that every prompt begins with",
        ),
        key(
            "max_context",
            KeyKind::Whole(1, LENGTH_MAX),
            Usual::Whole(CONTEXT_DEFAULT),
            "a conversation whose prompt would be longer ends",
        ),
    ],
    ..section("sessions", "")
};

/// How recorded sessions begin and go on.
pub(super) const PACE: KeyDef = key(
    "pace",
    KeyKind::Word(&names(&PACES)),
    Usual::Word("think"),
    "times are those after an answer, or those of the recording whatever the answers do",
);
pub(super) const START: KeyDef =
    need("start", KeyKind::Variant(&STARTS, "kind of start"), "when sessions begin");

static STARTS: SectionDef = SectionDef {
    keys: &[
        process::POISSON,
        process::GAMMA,
        process::WEIBULL,
        process::MMPP,
        process::RAMP,
        process::DIURNAL,
        process::STEPS,
        one("users", KeyKind::Table(&PLAYERS), "users who play one session after the other"),
    ],
    ..section("start", "")
};

// The columns of a table.

pub(super) const TIME: KeyDef = need("time", LABEL, "the column of the time of arrival");
pub(super) const INPUT: KeyDef = need("input", LABEL, "the column of prompt tokens");
pub(super) const OUTPUT: KeyDef = need("output", LABEL, "the column of answer tokens");
pub(super) const UNIT: KeyDef =
    key("unit", KeyKind::Word(&names(&UNITS)), Usual::Word("s"), "the unit of times");
pub(super) const SESSION: KeyDef =
    key("session", LABEL, Usual::Unsaid("no sessions"), "the column of the session");
pub(super) const TENANT: KeyDef =
    key("tenant", LABEL, Usual::Unsaid("as classes say"), "the column of the tenant");
pub(super) const CLASS: KeyDef =
    key("class", LABEL, Usual::Unsaid("by shares"), "the column of the class");
pub(super) const SEPARATOR: KeyDef = key(
    "separator",
    text(
        "one character that is in no number and no name",
        "^[^A-Za-z0-9\".\\x00-\\x08\\x0a-\\x1f\\x7f]$",
    ),
    Usual::Unsaid("a comma"),
    "what stands between columns",
);

/// Whose requests a class are.
pub(super) const TENANTS: KeyKind = KeyKind::Any(TENANTS_FORMS);
const TENANTS_FORMS: &[KeyKind] =
    &[admission::TENANT_NUMBER, KeyKind::Variant(&TENANT_LAW, "law of tenants")];

static TENANT_LAW: SectionDef = SectionDef {
    keys: &[one("zipf", KeyKind::Table(&ZIPF), "a few have most of the requests")],
    ..section("tenant_law", "")
};

static ZIPF: SectionDef = SectionDef {
    keys: &[
        need("tenants", KeyKind::Whole(1, TENANTS_MAX as u64), "how many there are"),
        key("exponent", upto(EXPONENT_MAX), Usual::Number(1.0), "the larger, the fewer have most"),
    ],
    ..section("zipf", "")
};

/// `{ count = 200, think = ..., ramp = "30s" }`. Where users play sessions, they may do without a
/// pause between these.
pub(super) fn users(walk: &mut Walk, field: Field<'_>, pause: bool) -> Option<Users> {
    let mut table = walk.table(field)?;
    let count = table.count(walk, "count");
    let think = if pause { table.need(walk, "think") } else { table.take("think") };
    let think = match think {
        Some(field) => read_or_zero(walk, field),
        None if pause => None,
        None => Dist::constant(0.0).ok(),
    };
    let ramp = table.span(walk, "ramp");
    table.finish(walk);
    Some(Users { count: count? as u32, think: think?, ramp: ramp? })
}

/// `sessions = { turns = ..., think = ..., system_tokens = 1000, max_context = 100_000 }`.
pub(super) fn sessions(walk: &mut Walk, field: Field<'_>) -> Option<SessionSpec> {
    let mut table = walk.table(field)?;
    let turns = table.need(walk, "turns").and_then(|field| {
        let turns = read_dist(walk, field)?;
        if turns.mean() > TURNS_MAX as f64 {
            walk.must_be(field, "at most 100_000 turns in the mean");
            return None;
        }
        Some(turns)
    });
    let think = table.need(walk, "think").and_then(|field| read_or_zero(walk, field));
    let system = table.count(walk, "system_tokens");
    let context = table.count(walk, "max_context");
    if let Some((system, context)) = system.zip(context)
        && system >= context
    {
        let message = format!("`system_tokens` ({system}) must be below `max_context` ({context})");
        walk.problem(table.key_place("system_tokens"), message).label("no room for a question");
    }
    table.finish(walk);
    Some(SessionSpec { turns: turns?, think: think?, system: system?, context_max: context? })
}

/// How recorded sessions begin and go on: `pace = "think"`, `start = { poisson = { rate = 1 } }`.
pub(super) fn recorded(walk: &mut Walk, table: &mut Table<'_>) -> Option<(SessionPace, Begin)> {
    let pace = table.word(walk, "pace", &PACES);
    // The file does not say when sessions begin, so the scenario must.
    let begin = table.need(walk, "start").and_then(|field| {
        let (name, inner) = walk.variant(field)?;
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
    let unit = table.word(walk, "unit", &UNITS);
    let mut optional = |key| match table.take(key) {
        Some(field) => name(walk, field).map(Some),
        None => Some(None),
    };
    let (session, tenant, class) = (optional("session"), optional("tenant"), optional("class"));
    let separator = table.take("separator").map_or(Some(b','), |field| {
        let text = walk.any_text(field)?;
        let [byte] = text.as_bytes() else {
            walk.must_be(field, "one character, such as \";\" or \"\\t\"");
            return None;
        };
        // Of the control characters only a tab separates anything.
        let control = byte.is_ascii_control() && *byte != b'\t';
        if control || byte.is_ascii_alphanumeric() || matches!(byte, b'"' | b'.') {
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
        let tenant = walk.count(field)?;
        return Some(TenantLaw::One(TenantId(tenant as u32)));
    }
    let (_, inner) = walk.variant(field)?;
    let mut table = walk.table(inner)?;
    let (count, exponent) = (table.count(walk, "tenants"), table.number(walk, "exponent"));
    table.finish(walk);
    TenantLaw::zipf(count? as u32, exponent?)
}

#[cfg(test)]
mod tests;

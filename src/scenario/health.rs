//! `health` of `[balancer]` and of a pool: who is looked after, taken out and let in again.

use super::balancer::{keep, part};
use super::keys::{
    KeyKind, POSITIVE_SPAN, SHARE, SPAN_OR_NONE, SectionDef, Usual, between, key, section,
};
use super::table::Table;
use super::value::{Field, Walk};
use crate::balance::{Generate, HealthSettings, RecoverySettings, WINDOW_MAX};
use crate::unit::{Ratio, Span};

/// Counters of health checks go so far.
pub const TIMES_MAX: u64 = 1_000_000;

/// How often a node is asked for a token, and how long it may take, if nothing is said.
const GENERATE_EVERY: Span = Span::from_secs(30);
const GENERATE_TIMEOUT: Span = Span::from_secs(10);

/// Slow is at most so many times the median.
const SLOW_MAX: f64 = 1_000.0;

/// Of the balancer, and of a pool.
pub(super) static HEALTH: SectionDef = SectionDef {
    keys: &[
        key(
            "probe",
            KeyKind::Table(&PROBE),
            Usual::Unsaid("every default"),
            "nodes are asked whether they are well",
        ),
        key(
            "eject",
            KeyKind::Table(&EJECT),
            Usual::Unsaid("every default"),
            "nodes that fail are left out for a while",
        ),
        key(
            "generate",
            KeyKind::Table(&GENERATE),
            Usual::Unsaid("never"),
            "nodes are asked for a token, which finds what a probe does not",
        ),
        key(
            "outlier",
            KeyKind::Table(&OUTLIER),
            Usual::Unsaid("never"),
            "nodes that are worse than their peers are left out",
        ),
        key(
            "slow_start",
            SPAN_OR_NONE,
            Usual::Word("none"),
            "a node that is new or back gets a growing share for so long",
        ),
        key(
            "credential",
            SPAN_OR_NONE,
            Usual::Word("none"),
            "a key that is refused is not used for so long",
        ),
        key(
            "half_open",
            KeyKind::Truth,
            Usual::Truth(true),
            "a node that was left out is tried with one request",
        ),
        key(
            "silence",
            KeyKind::Truth,
            Usual::Truth(true),
            "a node that is silent counts as one that fails",
        ),
        key(
            "probation",
            KeyKind::Whole(1, TIMES_MAX),
            Usual::Unsaid("none"),
            "a new node is on trial for so many requests",
        ),
        key(
            "panic",
            SHARE,
            Usual::Unsaid("never"),
            "where nothing a route may use is well, ejected nodes serve too until this share is well",
        ),
    ],
    later: &["breaker"],
    ..section("health", "")
};

static PROBE: SectionDef = SectionDef {
    keys: &[
        key("every", SPAN_OR_NONE, Usual::Word("none"), "time between two probes of a node"),
        key(
            "timeout",
            POSITIVE_SPAN,
            Usual::Span(Span::from_secs(1)),
            "a probe that takes longer has failed",
        ),
        key(
            "fall",
            KeyKind::Whole(1, TIMES_MAX),
            Usual::Whole(3),
            "failures in a row after which a node is down",
        ),
        key(
            "rise",
            KeyKind::Whole(1, TIMES_MAX),
            Usual::Whole(2),
            "successes in a row after which it is up again",
        ),
        key(
            "any_answer",
            KeyKind::Truth,
            Usual::Truth(true),
            "a node that was left out because requests failed, and answers probes with errors, is tried with a request after its rest",
        ),
    ],
    ..section("probe", "")
};

static EJECT: SectionDef = SectionDef {
    keys: &[
        key(
            "consecutive",
            KeyKind::Whole(1, TIMES_MAX),
            Usual::Whole(5),
            "failures in a row after which a node is left out",
        ),
        key(
            "base",
            POSITIVE_SPAN,
            Usual::Span(Span::from_secs(1)),
            "for how long the first time; each time in a row doubles it",
        ),
        key("cap", POSITIVE_SPAN, Usual::Span(Span::from_secs(300)), "and no longer than this"),
        key(
            "max_share",
            SHARE,
            Usual::Number(0.5),
            "at most this share of what a route may use is left out because requests fail",
        ),
        key(
            "jitter",
            SHARE,
            Usual::Number(0.1),
            "a random part more or less, so that nodes do not come back at once",
        ),
    ],
    ..section("eject", "")
};

static GENERATE: SectionDef = SectionDef {
    keys: &[
        key("every", POSITIVE_SPAN, Usual::Span(GENERATE_EVERY), "time between two such questions"),
        key(
            "timeout",
            POSITIVE_SPAN,
            Usual::Span(GENERATE_TIMEOUT),
            "a node that takes longer has failed",
        ),
    ],
    ..section("generate", "")
};

static OUTLIER: SectionDef = SectionDef {
    keys: &[
        key(
            "window",
            KeyKind::Whole(1, WINDOW_MAX as u64),
            Usual::Whole(50),
            "attempts of a node that are looked at",
        ),
        key(
            "volume",
            KeyKind::Whole(1, WINDOW_MAX as u64),
            Usual::Whole(20),
            "a node with fewer is not judged",
        ),
        key(
            "margin",
            SHARE,
            Usual::Number(0.05),
            "a node fails more often than its peers by at least this share",
        ),
        key(
            "failures",
            SHARE,
            Usual::Number(0.85),
            "a node that fails more often than this is left out whatever its peers do",
        ),
        key(
            "slow",
            between(1.0, SLOW_MAX),
            Usual::Unsaid("speed is not looked at"),
            "a node that takes so many times as long as the median is left out",
        ),
    ],
    ..section("outlier", "")
};

/// Reads the `health` of a pool: what it says goes before what all pools have, word by word.
pub(super) fn of_pool(
    walk: &mut Walk,
    table: &mut Table<'_>,
    of_all: &HealthSettings,
) -> Option<Box<HealthSettings>> {
    let mut own = *of_all;
    part(walk, table, "health", &mut own, read);
    (own != *of_all).then(|| Box::new(own))
}

// Health is read twice, and where a pool does not say a word it is not the default that holds but
// what `[balancer]` says: so defaults are those that `into` begins with.

/// Reads it into what holds where nothing is said.
pub(super) fn read(walk: &mut Walk, table: &mut Table<'_>, into: &mut HealthSettings) {
    part(walk, table, "probe", into, probe);
    part(walk, table, "eject", into, eject);
    part(walk, table, "generate", &mut into.recovery, generate);
    part(walk, table, "outlier", &mut into.recovery, outlier);
    let recovery = &mut into.recovery;
    let mut span = |key| table.take(key).and_then(|field| walk.span_or_none(field));
    keep(&mut recovery.slow_start, span("slow_start"));
    keep(&mut recovery.credential, span("credential"));
    keep(&mut recovery.half_open, table.take("half_open").and_then(|field| walk.truth(field)));
    keep(&mut recovery.silence, table.take("silence").and_then(|field| walk.truth(field)));
    if let Some(probation) = times(walk, table.take("probation")) {
        recovery.probation = Some(probation);
    }
    if let Some(panic) = table.take("panic").and_then(|field| walk.number(field)) {
        recovery.panic = Some(Ratio::from_f64(panic)).filter(|panic| *panic > Ratio::ZERO);
    }
}

fn generate(walk: &mut Walk, table: &mut Table<'_>, into: &mut RecoverySettings) {
    let usual = Generate { every: GENERATE_EVERY, timeout: GENERATE_TIMEOUT };
    let mut generate = into.generate.unwrap_or(usual);
    let mut read = |key| table.take(key).and_then(|field| walk.span(field));
    keep(&mut generate.every, read("every"));
    keep(&mut generate.timeout, read("timeout"));
    into.generate = Some(generate);
}

fn outlier(walk: &mut Walk, table: &mut Table<'_>, into: &mut RecoverySettings) {
    let mut outlier = into.outlier.unwrap_or_default();
    let window = table.take("window");
    keep(&mut outlier.window, times(walk, window));
    let volume = table.take("volume");
    keep(&mut outlier.volume, times(walk, volume));
    if let (Some(field), true) = (volume.or(window), outlier.volume > outlier.window) {
        let (volume, window) = (outlier.volume, outlier.window);
        let message = format!("`volume` ({volume}) must not be above `window` ({window})");
        walk.problem(field.place(), message).label("no node would ever be judged");
    }
    let mut share = |key| table.take(key).and_then(|field| walk.number(field));
    keep(&mut outlier.margin, share("margin").map(Ratio::from_f64));
    keep(&mut outlier.failures, share("failures").map(Ratio::from_f64));
    if let Some(times) = share("slow") {
        outlier.slow = Some(Ratio((times * 1e6).round() as u32));
    }
    into.outlier = Some(outlier);
}

fn times(walk: &mut Walk, field: Option<Field<'_>>) -> Option<u32> {
    walk.count(field?).map(|times| times as u32)
}

fn probe(walk: &mut Walk, table: &mut Table<'_>, into: &mut HealthSettings) {
    let every = table.take("every").and_then(|field| walk.span_or_none(field));
    keep(&mut into.probe_every, every);
    let timeout = table.take("timeout").and_then(|field| walk.span(field));
    keep(&mut into.probe_timeout, timeout);
    keep(&mut into.fall, times(walk, table.take("fall")));
    keep(&mut into.rise, times(walk, table.take("rise")));
    keep(&mut into.any_answer, table.take("any_answer").and_then(|field| walk.truth(field)));
}

fn eject(walk: &mut Walk, table: &mut Table<'_>, into: &mut HealthSettings) {
    keep(&mut into.consecutive, times(walk, table.take("consecutive")));
    let base = table.take("base");
    keep(&mut into.eject_base, base.and_then(|field| walk.span(field)));
    let cap = table.take("cap");
    keep(&mut into.eject_cap, cap.and_then(|field| walk.span(field)));
    if let (Some(cap), true) = (cap.or(base), into.eject_cap < into.eject_base) {
        let (cap_is, base_is) = (into.eject_cap, into.eject_base);
        let message = format!("`cap` ({cap_is}) must not be below `base` ({base_is})");
        walk.problem(cap.place(), message);
    }
    let share = table.take("max_share").and_then(|field| walk.number(field));
    keep(&mut into.max_share, share.map(Ratio::from_f64));
    let jitter = table.take("jitter").and_then(|field| walk.number(field));
    keep(&mut into.eject_jitter, jitter.map(Ratio::from_f64));
}

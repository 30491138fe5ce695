//! `[balancer]`: retries, timeouts, health and the waiting room.

use super::value::{Field, Table, Walk};
use crate::balance::{ATTEMPTS_MAX, HealthSettings, Queue, Retry, Timeouts};
use crate::unit::{Ratio, Span};

/// At most so many requests may wait.
pub const QUEUE_MAX: u64 = 100_000_000;

/// Counters of health checks go so far.
pub const TIMES_MAX: u64 = 1_000_000;

/// The connect timeout, if none is given.
pub const CONNECT_DEFAULT: Span = Span::from_secs(2);

/// What `[balancer]` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) retry: Retry,
    pub(super) timeouts: Timeouts,
    pub(super) health: HealthSettings,
    pub(super) queue: Queue,
    /// `Span::MAX` is never.
    pub(super) connect: Span,
    pub(super) inter_token: Option<Span>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            health: HealthSettings::default(),
            queue: Queue::default(),
            connect: CONNECT_DEFAULT,
            inter_token: None,
        }
    }
}

/// Puts what was read, if anything was, where it belongs.
fn keep<T>(into: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *into = read;
    }
}

pub(super) fn read(walk: &mut Walk, field: Option<Field<'_>>) -> Settings {
    let mut settings = Settings::default();
    let table = field.and_then(|field| walk.table(field, "`[balancer]`"));
    let Some(mut table) = table else {
        return settings;
    };
    // Read together with `[regions]`.
    let _ = table.take("region");
    part(walk, &mut table, "retry", &mut settings, retry);
    part(walk, &mut table, "timeouts", &mut settings, timeouts);
    part(walk, &mut table, "health", &mut settings, health);
    part(walk, &mut table, "queue", &mut settings, queue);
    if let Some(field) = table.take("instances")
        && walk.count(field, 1..=u64::MAX).is_some_and(|instances| instances > 1)
    {
        walk.problem(field.place(), "`instances` above 1 is not in this version yet")
            .label("not supported");
    }
    table.finish(walk, &["hedge", "share", "rate_limits", "budgets", "degrade", "fairness"]);
    settings
}

/// Reads a table inside a table.
fn part<T>(
    walk: &mut Walk,
    table: &mut Table<'_>,
    key: &'static str,
    into: &mut T,
    read: fn(&mut Walk, &mut Table<'_>, &mut T) -> &'static [&'static str],
) {
    let inner = table.take(key).and_then(|field| walk.table(field, &format!("`{key}`")));
    if let Some(mut inner) = inner {
        let later = read(walk, &mut inner, into);
        inner.finish(walk, later);
    }
}

fn retry(walk: &mut Walk, table: &mut Table<'_>, into: &mut Settings) -> &'static [&'static str] {
    let retry = &mut into.retry;
    let attempts = table.take("attempts").and_then(|f| walk.count(f, 1..=u64::from(ATTEMPTS_MAX)));
    keep(&mut retry.attempts, attempts.map(|attempts| attempts as u8));
    let budget = table.take("budget").and_then(|field| walk.upto(field, 1.0));
    keep(&mut retry.budget, budget.map(Ratio::from_f64));
    part(walk, table, "backoff", retry, backoff);
    &[]
}

fn backoff(walk: &mut Walk, table: &mut Table<'_>, into: &mut Retry) -> &'static [&'static str] {
    let base = table.take("base");
    keep(&mut into.base, base.and_then(|field| walk.span(field, Span::ZERO..=Span::MAX)));
    let cap = table.take("cap");
    keep(&mut into.cap, cap.and_then(|field| walk.span(field, Span::ZERO..=Span::MAX)));
    if let (Some(cap), true) = (cap.or(base), into.cap < into.base) {
        let message = format!("`cap` ({}) must not be below `base` ({})", into.cap, into.base);
        walk.problem(cap.place(), message);
    }
    &[]
}

fn timeouts(
    walk: &mut Walk,
    table: &mut Table<'_>,
    into: &mut Settings,
) -> &'static [&'static str] {
    let mut read = |key| table.take(key).and_then(|field| walk.span_or_none(field));
    keep(&mut into.timeouts.first_token, read("first_token"));
    keep(&mut into.timeouts.total, read("total"));
    keep(&mut into.inter_token, read("inter_token"));
    let connect = read("connect");
    keep(&mut into.connect, connect.map(|connect| connect.unwrap_or(Span::MAX)));
    &[]
}

fn health(walk: &mut Walk, table: &mut Table<'_>, into: &mut Settings) -> &'static [&'static str] {
    part(walk, table, "probe", &mut into.health, probe);
    part(walk, table, "eject", &mut into.health, eject);
    &["slow_start", "breaker"]
}

fn times(walk: &mut Walk, field: Option<Field<'_>>) -> Option<u32> {
    walk.count(field?, 1..=TIMES_MAX).map(|times| times as u32)
}

fn probe(
    walk: &mut Walk,
    table: &mut Table<'_>,
    into: &mut HealthSettings,
) -> &'static [&'static str] {
    let every = table.take("every").and_then(|field| walk.span_or_none(field));
    keep(&mut into.probe_every, every);
    let timeout = table.take("timeout").and_then(|field| walk.positive_span(field));
    keep(&mut into.probe_timeout, timeout);
    keep(&mut into.fall, times(walk, table.take("fall")));
    keep(&mut into.rise, times(walk, table.take("rise")));
    &[]
}

fn eject(
    walk: &mut Walk,
    table: &mut Table<'_>,
    into: &mut HealthSettings,
) -> &'static [&'static str] {
    keep(&mut into.consecutive, times(walk, table.take("consecutive")));
    let base = table.take("base");
    keep(&mut into.eject_base, base.and_then(|field| walk.positive_span(field)));
    let cap = table.take("cap");
    keep(&mut into.eject_cap, cap.and_then(|field| walk.positive_span(field)));
    if let (Some(cap), true) = (cap.or(base), into.eject_cap < into.eject_base) {
        let (cap_is, base_is) = (into.eject_cap, into.eject_base);
        let message = format!("`cap` ({cap_is}) must not be below `base` ({base_is})");
        walk.problem(cap.place(), message);
    }
    let share = table.take("max_share").and_then(|field| walk.upto(field, 1.0));
    keep(&mut into.max_share, share.map(Ratio::from_f64));
    &[]
}

fn queue(walk: &mut Walk, table: &mut Table<'_>, into: &mut Settings) -> &'static [&'static str] {
    let max = table.take("max").and_then(|field| walk.count(field, 0..=QUEUE_MAX));
    keep(&mut into.queue.max, max.map(|max| max as u32));
    let max_wait = table.take("max_wait").and_then(|field| walk.span_or_none(field));
    keep(&mut into.queue.max_wait, max_wait);
    &[]
}

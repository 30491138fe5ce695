//! `[balancer]`: retries, timeouts, health, the waiting room, and how many balancers there are.

use super::value::{Field, Table, Walk};
use super::{admission, hedge, overload};
use crate::balance::{
    ATTEMPTS_MAX, DegradeSpec, Generate, HealthSettings, HedgeSpec, Queue, RecoverySettings,
    ReportFreshness, Retry, ShedSpec, Tenants, Timeouts, WINDOW_MAX,
};
use crate::sim::{Exchange, INSTANCES_MAX, Instances};
use crate::unit::{Ratio, Span};

/// At most so many requests may wait.
pub const QUEUE_MAX: u64 = 100_000_000;

/// Counters of health checks go so far.
pub const TIMES_MAX: u64 = 1_000_000;

/// The connect timeout, if none is given.
pub const CONNECT_DEFAULT: Span = Span::from_secs(2);

/// Nothing is told more often than this.
pub const EVERY_MIN: Span = Span::from_millis(1);

/// How often a node is asked for a token, and how long it may take, if nothing is said.
const GENERATE_EVERY: Span = Span::from_secs(30);
const GENERATE_TIMEOUT: Span = Span::from_secs(10);

/// Slow is at most so many times the median.
const SLOW_MAX: f64 = 1_000.0;

/// What balancers tell each other takes so long, if nothing is said.
const SHARE_DELAY: Span = Span::from_millis(5);

/// A report of a node takes so long, if nothing is said.
const REPORT_DELAY: Span = Span::from_millis(20);

/// What is told at an interval counts for so many intervals after it has come.
const FRESH_TIMES: u64 = 3;

/// What `[balancer]` says.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) retry: Retry,
    pub(super) timeouts: Timeouts,
    pub(super) health: HealthSettings,
    pub(super) queue: Queue,
    /// `Span::MAX` is never.
    pub(super) connect: Span,
    pub(super) inter_token: Option<Span>,
    pub(super) instances: Instances,
    pub(super) hedge: Option<HedgeSpec>,
    pub(super) said: admission::Said,
    pub(super) tenants: Tenants,
    pub(super) quotas: bool,
    pub(super) shed: Option<ShedSpec>,
    pub(super) degrade: Option<DegradeSpec>,
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
            instances: Instances::default(),
            hedge: None,
            said: admission::Said::default(),
            tenants: Tenants::default(),
            quotas: true,
            shed: None,
            degrade: None,
        }
    }
}

impl Settings {
    /// How long a balancer believes what it is told at these intervals.
    pub(super) fn view(&self) -> ReportFreshness {
        let usual = ReportFreshness::default();
        let fresh = |exchange: Option<Exchange>, usual: Span| {
            let Some(Exchange { every, delay }) = exchange else { return usual };
            let times = every.0.saturating_mul(FRESH_TIMES).saturating_add(delay.0);
            usual.max(Span(times))
        };
        ReportFreshness {
            instance: usual.instance,
            peers_fresh: fresh(self.instances.share, usual.peers_fresh),
            reports_fresh: fresh(self.instances.reports, usual.reports_fresh),
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
    part(walk, &mut table, "health", &mut settings.health, health);
    part(walk, &mut table, "queue", &mut settings, queue);
    let tenants = table.take("tenants").and_then(|field| admission::each(walk, field));
    keep(&mut settings.tenants.each, tenants);
    keep(&mut settings.quotas, table.take("quotas").and_then(|field| walk.truth(field)));
    let instances = &mut settings.instances;
    let count = table.take("instances").and_then(|field| walk.count(field, 1..=INSTANCES_MAX));
    keep(&mut instances.count, count.map(|count| count as u32));
    instances.share = exchange(walk, table.take("share"), SHARE_DELAY);
    instances.reports = exchange(walk, table.take("reports"), REPORT_DELAY);
    settings.hedge = hedge::read(walk, table.take("hedge"));
    settings.shed = overload::shed(walk, table.take("shed"));
    settings.degrade = overload::degrade(walk, table.take("degrade"));
    table.finish(walk, &[]);
    settings
}

/// Reads `{ every = "200ms", delay = "5ms" }`.
fn exchange(walk: &mut Walk, field: Option<Field<'_>>, delay: Span) -> Option<Exchange> {
    let field = field?;
    let mut table = walk.table(field, &format!("`{}`", field.name))?;
    let every = table.need(walk, "every");
    let every = every.and_then(|field| walk.span(field, EVERY_MIN..=Span::MAX));
    let given = table.take("delay");
    let delay = given.map_or(Some(delay), |field| walk.span(field, Span::ZERO..=Span::MAX));
    table.finish(walk, &[]);
    Some(Exchange { every: every?, delay: delay? })
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
    let tokens = table.take("token_budget").and_then(|field| walk.upto(field, 1.0));
    keep(&mut retry.token_budget, tokens.map(|share| Some(Ratio::from_f64(share))));
    let least = table.take("minimum_useful");
    let least = least.and_then(|field| walk.span(field, Span::ZERO..=Span::MAX));
    keep(&mut retry.minimum_useful, least);
    keep(&mut retry.resume, table.take("resume").and_then(|field| walk.truth(field)));
    keep(&mut retry.clients, table.take("clients").and_then(|field| walk.truth(field)));
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

/// Reads the `health` of a pool: what it says goes before what all pools have, word by word.
pub(super) fn health_of_pool(
    walk: &mut Walk,
    table: &mut Table<'_>,
    of_all: &HealthSettings,
) -> Option<Box<HealthSettings>> {
    let mut own = *of_all;
    part(walk, table, "health", &mut own, health);
    (own != *of_all).then(|| Box::new(own))
}

fn health(
    walk: &mut Walk,
    table: &mut Table<'_>,
    into: &mut HealthSettings,
) -> &'static [&'static str] {
    part(walk, table, "probe", into, probe);
    part(walk, table, "eject", into, eject);
    part(walk, table, "generate", &mut into.guard, generate);
    part(walk, table, "outlier", &mut into.guard, outlier);
    let guard = &mut into.guard;
    let mut span = |key| table.take(key).and_then(|field| walk.span_or_none(field));
    keep(&mut guard.slow_start, span("slow_start"));
    keep(&mut guard.credential, span("credential"));
    keep(&mut guard.half_open, table.take("half_open").and_then(|field| walk.truth(field)));
    keep(&mut guard.silence, table.take("silence").and_then(|field| walk.truth(field)));
    if let Some(probation) = times(walk, table.take("probation")) {
        guard.probation = Some(probation);
    }
    if let Some(panic) = table.take("panic").and_then(|field| walk.upto(field, 1.0)) {
        guard.panic = Some(Ratio::from_f64(panic)).filter(|panic| *panic > Ratio::ZERO);
    }
    &["breaker"]
}

fn generate(
    walk: &mut Walk,
    table: &mut Table<'_>,
    into: &mut RecoverySettings,
) -> &'static [&'static str] {
    let usual = Generate { every: GENERATE_EVERY, timeout: GENERATE_TIMEOUT };
    let mut generate = into.generate.unwrap_or(usual);
    let mut read = |key| table.take(key).and_then(|field| walk.positive_span(field));
    keep(&mut generate.every, read("every"));
    keep(&mut generate.timeout, read("timeout"));
    into.generate = Some(generate);
    &[]
}

fn outlier(
    walk: &mut Walk,
    table: &mut Table<'_>,
    into: &mut RecoverySettings,
) -> &'static [&'static str] {
    let mut outlier = into.outlier.unwrap_or_default();
    let window = table.take("window");
    let most = u64::from(WINDOW_MAX);
    keep(&mut outlier.window, window.and_then(|f| walk.count(f, 1..=most)).map(|n| n as u32));
    let volume = table.take("volume");
    keep(&mut outlier.volume, volume.and_then(|f| walk.count(f, 1..=most)).map(|n| n as u32));
    if let (Some(field), true) = (volume.or(window), outlier.volume > outlier.window) {
        let (volume, window) = (outlier.volume, outlier.window);
        let message = format!("`volume` ({volume}) must not be above `window` ({window})");
        walk.problem(field.place(), message).label("no node would ever be judged");
    }
    let mut share = |key| table.take(key).and_then(|field| walk.upto(field, 1.0));
    keep(&mut outlier.margin, share("margin").map(Ratio::from_f64));
    keep(&mut outlier.failures, share("failures").map(Ratio::from_f64));
    if let Some(field) = table.take("slow") {
        let times = walk.number(field);
        match times.filter(|times| (1.0..=SLOW_MAX).contains(times)) {
            Some(times) => outlier.slow = Some(Ratio((times * 1e6).round() as u32)),
            None => drop(walk.must_be(field, "a number from 1 to 1_000")),
        }
    }
    into.outlier = Some(outlier);
    &[]
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
    let jitter = table.take("jitter").and_then(|field| walk.upto(field, 1.0));
    keep(&mut into.eject_jitter, jitter.map(Ratio::from_f64));
    &[]
}

fn queue(walk: &mut Walk, table: &mut Table<'_>, into: &mut Settings) -> &'static [&'static str] {
    let max = table.take("max").and_then(|field| walk.count(field, 0..=QUEUE_MAX));
    keep(&mut into.queue.max, max.map(|max| max as u32));
    let max_wait = table.take("max_wait").and_then(|field| walk.span_or_none(field));
    keep(&mut into.queue.max_wait, max_wait);
    into.said = admission::waiting(walk, table);
    &[]
}

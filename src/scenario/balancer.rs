//! `[balancer]`: retries, timeouts, the waiting room, and how many balancers there are.

use std::fmt;

use super::keys::{
    KeyKind, LABEL, NONE, POSITIVE_SPAN, SHARE, SPAN, SPAN_OR_NONE, SectionDef, Usual, above_zero,
    key, need, section,
};
use super::table::Table;
use super::value::{Field, Walk};
use super::{admission, health, hedge, overload};
use crate::balance::{
    ATTEMPTS_MAX, DegradeSpec, HealthSettings, HedgeSpec, Queue, ReportFreshness, Retry, STAY_WAIT,
    ShedSpec, Tenants, Timeouts,
};
use crate::sim::{Exchange, INSTANCES_MAX, Instances};
use crate::unit::{Ratio, Span, Tokens};

/// At most so many requests may wait.
pub const QUEUE_MAX: u64 = 100_000_000;

/// The floor of retries goes so far.
const PER_SECOND_MAX: u64 = 1_000_000;

/// The connect timeout, if none is given.
pub const CONNECT_DEFAULT: Span = Span::from_secs(2);

/// Nothing is told more often than this.
pub const EVERY_MIN: Span = Span::from_millis(1);

/// What balancers tell each other takes so long, if nothing is said.
const SHARE_DELAY: Span = Span::from_millis(5);

/// A report of a node takes so long, if nothing is said.
const REPORT_DELAY: Span = Span::from_millis(20);

/// What is told at an interval counts for so many intervals after it has come.
const FRESH_TIMES: u64 = 3;

/// `[balancer]`.
pub(super) static BALANCER: SectionDef = SectionDef {
    keys: &[
        key("region", LABEL, Usual::Unsaid("not said"), "the region the balancer is in"),
        key(
            "retry",
            KeyKind::Table(&RETRY),
            Usual::Unsaid("every default"),
            "attempts after one that failed",
        ),
        key(
            "timeouts",
            KeyKind::Table(&TIMEOUTS),
            Usual::Unsaid("every default"),
            "after which time an attempt or a request ends",
        ),
        key(
            "health",
            KeyKind::Table(&health::HEALTH),
            Usual::Unsaid("every default"),
            "who is looked after, taken out and let in again",
        ),
        key(
            "queue",
            KeyKind::Table(&QUEUE),
            Usual::Unsaid("every default"),
            "who waits, how long and in which order",
        ),
        key(
            "tenants",
            KeyKind::Table(&admission::TENANTS),
            Usual::Unsaid("no limits"),
            "what each tenant may take",
        ),
        key(
            "quotas",
            KeyKind::Truth,
            Usual::Truth(true),
            "whether the limits a minute of nodes are kept before they refuse",
        ),
        key(
            "instances",
            KeyKind::Whole(1, INSTANCES_MAX),
            Usual::Whole(1),
            "balancers that share the traffic, in a simulation",
        ),
        key(
            "share",
            KeyKind::Table(&SHARE_LOAD),
            Usual::Unsaid("each knows its own load only"),
            "balancers tell each other what they have in flight",
        ),
        key(
            "reports",
            KeyKind::Table(&REPORTS),
            Usual::Unsaid("nodes say nothing"),
            "nodes say what they run and what waits there",
        ),
        key(
            "hedge",
            KeyKind::Any(&[KeyKind::Table(&hedge::HEDGE), NONE]),
            Usual::Word("none"),
            "second attempts beside late ones; in a gateway, where nothing is said, there are some where \
             tokens cost nothing",
        ),
        key(
            "shed",
            KeyKind::Any(&[KeyKind::Table(&overload::SHED), NONE]),
            Usual::Word("none"),
            "who is turned away at which saturation",
        ),
        key(
            "degrade",
            KeyKind::Any(&[KeyKind::Table(&overload::DEGRADE), NONE]),
            Usual::Word("none"),
            "what is given up at which saturation",
        ),
    ],
    ..section("balancer", "`[balancer]`")
};

static RETRY: SectionDef = SectionDef {
    keys: &[
        key(
            "attempts",
            KeyKind::Whole(1, ATTEMPTS_MAX as u64),
            Usual::Whole(3),
            "attempts that a request may have, the first one too",
        ),
        key(
            "budget",
            SHARE,
            Usual::Number(0.2),
            "second tries are at most this share of the requests under way, beside `min_per_second`; three always are allowed",
        ),
        key(
            "min_per_second",
            KeyKind::Whole(0, PER_SECOND_MAX),
            Usual::Whole(10),
            "so many retries a second of each balancer are allowed beside the share, not after timeouts, 429 and 503",
        ),
        key(
            "token_budget",
            SHARE,
            Usual::Unsaid("tokens are not counted"),
            "the same share of their tokens",
        ),
        key(
            "minimum_useful",
            SPAN,
            Usual::Span(Span::ZERO),
            "no attempt begins with less time than this to the deadline",
        ),
        key(
            "resume",
            KeyKind::Truth,
            Usual::Truth(false),
            "an answer that is cut after its first token goes on elsewhere, unless its route says otherwise",
        ),
        key(
            "stay",
            KeyKind::Whole(0, ATTEMPTS_MAX as u64),
            Usual::Whole(0),
            "so many retries of a request go to the same node, where no other of its pool is open, before the \
             next pool is asked",
        ),
        key(
            "stay_wait",
            SPAN,
            Usual::Span(STAY_WAIT),
            "no longer pause that a node asks for is waited out for that",
        ),
        key(
            "clients",
            KeyKind::Truth,
            Usual::Truth(true),
            "second tries of a tenant's clients are at most the share `budget` of its own, or `min_per_second` at a time, unless nodes are idle",
        ),
        key(
            "backoff",
            KeyKind::Table(&BACKOFF),
            Usual::Unsaid("every default"),
            "pauses before another attempt: random up to a bound that doubles",
        ),
    ],
    ..section("retry", "")
};

static BACKOFF: SectionDef = SectionDef {
    keys: &[
        key("base", SPAN, Usual::Span(Span::from_millis(50)), "the bound of the first pause"),
        key("cap", SPAN, Usual::Span(Span::from_secs(2)), "the bound grows no further"),
    ],
    ..section("backoff", "")
};

static TIMEOUTS: SectionDef = SectionDef {
    keys: &[
        key(
            "first_token",
            SPAN_OR_NONE,
            Usual::Span(Span::from_secs(300)),
            "an attempt ends if no token came for so long, or sooner as is learnt where `silence` is set",
        ),
        key(
            "silence",
            SPAN_OR_NONE,
            Usual::Span(Span::from_secs(1)),
            "a node hangs if nothing came from it for so long and for four times as long as first tokens or whole answers usually take, while others answer",
        ),
        key(
            "total",
            SPAN_OR_NONE,
            Usual::Span(Span::from_secs(600)),
            "a request ends after so long",
        ),
        key(
            "inter_token",
            SPAN_OR_NONE,
            Usual::Word("none"),
            "an attempt ends if no further token came for so long; two minutes in a gateway, where \
             nothing is said",
        ),
        key(
            "floor",
            KeyKind::Table(&FLOOR),
            Usual::Unsaid("no limit"),
            "an attempt at a real node ends if its stream brings less than this",
        ),
        key(
            "connect",
            SPAN_OR_NONE,
            Usual::Span(CONNECT_DEFAULT),
            "an attempt ends if no connection stood after so long",
        ),
    ],
    ..section("timeouts", "")
};

static FLOOR: SectionDef = SectionDef {
    keys: &[
        need("tokens_per_second", above_zero(FLOOR_MAX), "so many tokens a second"),
        key("over", POSITIVE_SPAN, Usual::Span(Span::from_secs(30)), "on average over so long"),
    ],
    ..section("floor", "")
};

static QUEUE: SectionDef = SectionDef {
    keys: &[
        key("max", KeyKind::Whole(0, QUEUE_MAX), Usual::Whole(1_000), "so many may wait at a time"),
        key("max_wait", SPAN_OR_NONE, Usual::Span(Span::from_secs(10)), "nobody waits longer"),
        key(
            "order",
            KeyKind::Any(&[
                KeyKind::Word(admission::ORDER_WORDS),
                KeyKind::Variant(&admission::ORDER, "queue order"),
            ]),
            Usual::Word("fifo"),
            "who of those that wait comes first",
        ),
        key(
            "bands",
            KeyKind::Any(&[KeyKind::Table(&admission::BANDS), NONE]),
            Usual::Unsaid("on if classes differ in priority"),
            "higher priorities come first",
        ),
        key(
            "fair",
            KeyKind::Word(&["tokens", "none"]),
            Usual::Word("none"),
            "tenants get the same amount of this",
        ),
        key(
            "early_rejection",
            KeyKind::Truth,
            Usual::Truth(false),
            "who would wait in vain is turned away at once",
        ),
    ],
    ..section("queue", "")
};

static SHARE_LOAD: SectionDef = SectionDef {
    keys: &[
        need("every", KeyKind::Span(EVERY_MIN, Span::MAX), "time between two messages"),
        key("delay", SPAN, Usual::Span(SHARE_DELAY), "time that a message takes"),
    ],
    ..section("share", "")
};

static REPORTS: SectionDef = SectionDef {
    keys: &[
        need("every", KeyKind::Span(EVERY_MIN, Span::MAX), "time between two reports of a node"),
        key("delay", SPAN, Usual::Span(REPORT_DELAY), "time that a report takes"),
    ],
    ..section("reports", "")
};

/// No floor is higher.
const FLOOR_MAX: f64 = 1e6;

/// The least that a stream has to bring, once it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThroughputFloor {
    /// So many tokens.
    pub tokens: Tokens,
    /// In so long.
    pub over: Span,
}

/// What a scenario says nothing of, and a gateway has its own mind about.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unsaid {
    pub(super) hedge: bool,
    pub(super) inter_token: bool,
}

/// Scenarios that say the default are the ones that leave it unsaid.
impl fmt::Debug for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsaid")
    }
}

/// What `[balancer]` says.
#[derive(Clone, Debug)]
pub(super) struct BalancerSettings {
    pub(super) retry: Retry,
    pub(super) timeouts: Timeouts,
    pub(super) health: HealthSettings,
    pub(super) queue: Queue,
    /// `Span::MAX` is never.
    pub(super) connect: Span,
    pub(super) inter_token: Option<Span>,
    /// The least that a stream has to bring.
    pub(super) floor: Option<ThroughputFloor>,
    pub(super) unsaid: Unsaid,
    pub(super) instances: Instances,
    pub(super) hedge: Option<HedgeSpec>,
    pub(super) said: admission::Said,
    pub(super) tenants: Tenants,
    pub(super) quotas: bool,
    pub(super) shed: Option<ShedSpec>,
    pub(super) degrade: Option<DegradeSpec>,
}

impl Default for BalancerSettings {
    fn default() -> BalancerSettings {
        BalancerSettings {
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            health: HealthSettings::default(),
            queue: Queue::default(),
            connect: CONNECT_DEFAULT,
            inter_token: None,
            floor: None,
            unsaid: Unsaid::default(),
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

impl BalancerSettings {
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
pub(super) fn keep<T>(into: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *into = read;
    }
}

pub(super) fn read(walk: &mut Walk, field: Option<Field<'_>>) -> BalancerSettings {
    let mut settings = BalancerSettings::default();
    let table = field.and_then(|field| walk.table(field));
    let Some(mut table) = table else {
        return settings;
    };
    // Read together with `[regions]`.
    let _ = table.take("region");
    part(walk, &mut table, "retry", &mut settings, retry);
    part(walk, &mut table, "timeouts", &mut settings, timeouts);
    part(walk, &mut table, "health", &mut settings.health, health::read);
    part(walk, &mut table, "queue", &mut settings, queue);
    let tenants = table.take("tenants").and_then(|field| admission::each(walk, field));
    keep(&mut settings.tenants.each, tenants);
    keep(&mut settings.quotas, table.truth(walk, "quotas"));
    let instances = &mut settings.instances;
    let count = table.count(walk, "instances");
    keep(&mut instances.count, count.map(|count| count as u32));
    instances.share = exchange(walk, table.take("share"));
    instances.reports = exchange(walk, table.take("reports"));
    let hedge = table.take("hedge");
    settings.unsaid.hedge = hedge.is_none();
    settings.hedge = hedge::read(walk, hedge);
    settings.shed = overload::shed(walk, table.take("shed"));
    settings.degrade = overload::degrade(walk, table.take("degrade"));
    table.finish(walk);
    settings
}

/// Reads `{ every = "200ms", delay = "5ms" }`.
fn exchange(walk: &mut Walk, field: Option<Field<'_>>) -> Option<Exchange> {
    let mut table = walk.table(field?)?;
    let (every, delay) = (table.span(walk, "every"), table.span(walk, "delay"));
    table.finish(walk);
    Some(Exchange { every: every?, delay: delay? })
}

/// Reads a table inside a table.
pub(super) fn part<T>(
    walk: &mut Walk,
    table: &mut Table<'_>,
    key: &'static str,
    into: &mut T,
    read: fn(&mut Walk, &mut Table<'_>, &mut T),
) {
    let inner = table.take(key).and_then(|field| walk.table(field));
    if let Some(mut inner) = inner {
        read(walk, &mut inner, into);
        inner.finish(walk);
    }
}

fn retry(walk: &mut Walk, table: &mut Table<'_>, into: &mut BalancerSettings) {
    let retry = &mut into.retry;
    let attempts = table.count(walk, "attempts");
    keep(&mut retry.attempts, attempts.map(|attempts| attempts as u8));
    keep(&mut retry.budget, table.number(walk, "budget").map(Ratio::from_f64));
    let floor = table.count(walk, "min_per_second");
    keep(&mut retry.min_per_second, floor.map(|floor| floor as u32));
    let tokens = table.number(walk, "token_budget");
    keep(&mut retry.token_budget, tokens.map(|share| Some(Ratio::from_f64(share))));
    keep(&mut retry.minimum_useful, table.span(walk, "minimum_useful"));
    keep(&mut retry.resume, table.truth(walk, "resume"));
    keep(&mut retry.stay, table.count(walk, "stay").map(|stay| stay as u8));
    keep(&mut retry.stay_wait, table.span(walk, "stay_wait"));
    keep(&mut retry.clients, table.truth(walk, "clients"));
    part(walk, table, "backoff", retry, backoff);
}

fn backoff(walk: &mut Walk, table: &mut Table<'_>, into: &mut Retry) {
    keep(&mut into.base, table.span(walk, "base"));
    keep(&mut into.cap, table.span(walk, "cap"));
    if into.cap < into.base {
        let message = format!("`cap` ({}) must not be below `base` ({})", into.cap, into.base);
        walk.problem(table.value_place(&["cap", "base"]), message);
    }
}

fn timeouts(walk: &mut Walk, table: &mut Table<'_>, into: &mut BalancerSettings) {
    let mut read = |key| table.span_or_none(walk, key);
    keep(&mut into.timeouts.first_token, read("first_token"));
    keep(&mut into.timeouts.silence, read("silence"));
    keep(&mut into.timeouts.total, read("total"));
    keep(&mut into.inter_token, read("inter_token"));
    into.unsaid.inter_token = !table.has("inter_token");
    into.floor = table.take("floor").and_then(|field| floor(walk, field));
    let mut read = |key| table.span_or_none(walk, key);
    let connect = read("connect");
    keep(&mut into.connect, connect.map(|connect| connect.unwrap_or(Span::MAX)));
}

/// `{ tokens_per_second = 2, over = "30s" }`.
fn floor(walk: &mut Walk, field: Field<'_>) -> Option<ThroughputFloor> {
    let mut table = walk.table(field)?;
    let (rate, over) = (table.number(walk, "tokens_per_second"), table.span(walk, "over"));
    table.finish(walk);
    let over = over?;
    Some(ThroughputFloor { tokens: Tokens((rate? * over.seconds()).ceil() as u64), over })
}

fn queue(walk: &mut Walk, table: &mut Table<'_>, into: &mut BalancerSettings) {
    keep(&mut into.queue.max, table.count(walk, "max").map(|max| max as u32));
    keep(&mut into.queue.max_wait, table.span_or_none(walk, "max_wait"));
    into.said = admission::waiting(walk, table);
}

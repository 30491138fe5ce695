//! The collector: one fold over events for reports, screens and exports.
//!
//! It is a spine over parts. Every figure is a field of one part and private to it; the spine knows
//! which part hears which event and puts their words together to a [`Snapshot`] and a [`Summary`].
//!
//! | part | what it owns |
//! |---|---|
//! | [`RequestFigures`] | requests by what became of them, all and by class, pool and route |
//! | [`TenantFigures`] | requests, tokens and money by tenant |
//! | [`CacheFigures`] | answers that were kept and found |
//! | [`AttemptFigures`] | attempts of the run and their tokens |
//! | [`NodeFigures`] | what is collected for each node, laid out for the cache |
//! | [`PoolFigures`] | strategies and batches of pools |
//! | [`GroupSizes`] | sizes of groups that grow and shrink |
//! | [`HandFigures`] | what somebody did to the run by hand |
//! | [`HourShares`] | who used the hours of nodes |
//! | [`Intervals`] | what happened in ten seconds, for exports |
//! | [`JobBook`], [`Qualities`], [`Pressures`] | jobs, grades, and what load made the balancer do |
//! | [`ScreenFigures`] | window, history, log and decisions, for a screen |

mod attempts;
mod cache;
mod group;
mod hands;
mod nodes;
mod pools;
mod requests;
mod screen;
mod tenants;

pub use group::Group;

use attempts::AttemptFigures;
use cache::CacheFigures;
use group::RequestTimes;
use hands::HandFigures;
use nodes::NodeFigures;
use pools::PoolFigures;
use requests::RequestFigures;
use screen::ScreenFigures;
use tenants::TenantFigures;

use super::counts::share;
use super::hours::{GroupSizes, HourShares, Paid};
use super::interval::{Interval, IntervalScope, Intervals, Sample};
use super::jobs::{JobBook, JobGroup};
use super::log::Log;
use super::pressure::Pressures;
use super::quality::Qualities;
use super::snapshot::{AttemptOutcome, Figures, RunTotals, Snapshot};
use super::summary::{Class, Costs, Pool, RouteSummary, Summary};
use super::times::Times;
use super::window::EndedAttempt;
use super::{Labels, NodeLabel, Slo};
use crate::balance::{AttemptKind, Config, DegradeLevel, End, Event, Fate, NoRetry, Settled};
use crate::unit::{Cost, NodeId, Span, Time};

/// Who watches: what only a screen needs is collected only for a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// A report at the end.
    Report,
    /// A report at the end, and every ten seconds meanwhile.
    Export,
    /// A screen meanwhile.
    Screen,
}

/// Folds events into figures.
#[derive(Clone, Debug)]
pub struct Collector {
    labels: Labels,
    watch: Watch,
    now: Time,
    requests: RequestFigures,
    tenants: TenantFigures,
    attempts: AttemptFigures,
    cache: CacheFigures,
    nodes: NodeFigures,
    pools: PoolFigures,
    groups: GroupSizes,
    hours: HourShares,
    hands: HandFigures,
    intervals: Option<Intervals>,
    /// Only where there are workflows.
    jobs: Option<Box<JobBook>>,
    /// Only where it is known how good answers are.
    quality: Option<Box<Qualities>>,
    pressures: Pressures,
    screen: ScreenFigures,
}

impl Collector {
    /// A collector that has heard nothing yet, of a fleet as configured.
    #[must_use]
    pub fn new(labels: Labels, config: &Config, watch: Watch) -> Collector {
        Collector {
            watch,
            now: Time::ZERO,
            requests: RequestFigures::new(&labels, config),
            tenants: TenantFigures::default(),
            attempts: AttemptFigures::default(),
            cache: CacheFigures::new(&labels),
            nodes: NodeFigures::new(&labels, config),
            pools: PoolFigures::new(config),
            groups: GroupSizes::new(&config.scale),
            hours: HourShares::new(&labels),
            hands: HandFigures::default(),
            intervals: (watch == Watch::Export).then(Intervals::default),
            jobs: JobBook::new(&labels),
            quality: Qualities::new(&labels),
            pressures: Pressures::new(config),
            screen: ScreenFigures::new(Log::new(&labels, config), &labels),
            labels,
        }
    }

    /// Hears an event. No allocation on the common path.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub fn fold(&mut self, now: Time, event: &Event) {
        if self.watch == Watch::Screen && self.screen.is_due(now) {
            self.close_buckets(now);
        }
        if let Some(intervals) = &mut self.intervals {
            intervals.advance(now);
        }
        self.now = now;
        let late = now >= self.labels.warmup;
        match event {
            Event::Arrived { class, arrived, .. } => {
                self.requests.arrived(*class, self.counts(*arrived), now);
            }
            Event::Cache(lookup) if self.counts(lookup.arrived) => self.cache.looked_up(lookup),
            Event::Queued { .. } => self.requests.queued(),
            Event::Dispatched { .. } => self.dispatched(event),
            Event::Ended { .. } => self.ended(event),
            Event::Settled(settled) => self.settled(settled),
            Event::NodeState { node, to, .. } => self.nodes.state(*node, now, &self.labels, *to),
            Event::Scaled { group, to, .. } => self.groups.scaled(*group, late, *to),
            Event::Batch { node, members } => self.pools.batch(self.nodes.pool(*node), *members),
            Event::NodeChanged { node, spec } => {
                self.nodes.changed(*node, now, spec, &mut self.labels);
            }
            Event::Strategy { pool, from, to } => {
                self.pools.strategy(*pool, now, to);
                self.hands.strategy(now, *pool, (from, to), &self.labels);
            }
            Event::Mark(mark) => {
                self.nodes.marked(mark);
                self.hands.marked(now, mark, &self.labels);
            }
            Event::Limit { .. } | Event::Shedding { .. } | Event::DegradeLevel { .. } => {
                self.pressures.hear(now, event, &self.labels);
            }
            Event::RetryDenied { reason: NoRetry::Budget | NoRetry::Tokens, .. } if late => {
                self.attempts.retry_denied();
            }
            Event::HedgeDenied { .. } if late => self.attempts.hedge_denied(),
            Event::Panic { route, on } => {
                self.pools.panic(*route, *on);
                if *on && late {
                    self.attempts.panicked();
                }
            }
            Event::KeptIn { node, .. } => self.kept_in(*node, late),
            Event::Graded(grade) => self.judged(grade.arrived, |quality| quality.graded(grade)),
            Event::Escalated { .. } => self.judged(now, Qualities::escalated),
            Event::Feedback { .. } => self.judged(now, Qualities::heard),
            Event::Job(_) | Event::Explained(_) | Event::FirstToken { .. }
                if self.watch == Watch::Screen =>
            {
                self.screen.news(now, event);
            }
            Event::Explained(_)
            | Event::Cache(_)
            | Event::Model(_)
            | Event::RetryDenied { .. }
            | Event::HedgeDenied { .. }
            | Event::FirstToken { .. }
            | Event::RetryPlanned { .. }
            | Event::LateWord { .. }
            | Event::Job(_) => {}
        }
        if let Some(jobs) = &mut self.jobs {
            jobs.hear(now, event);
        }
        if self.watch == Watch::Screen {
            self.screen.hear(now, event, &self.labels);
        }
    }

    /// Returns the figures of all requests after warm-up.
    #[must_use]
    pub const fn all(&self) -> &Group {
        self.requests.all()
    }

    /// Returns the figures by class.
    #[must_use]
    pub fn classes(&self) -> &[Group] {
        self.requests.classes()
    }

    /// Returns the figures by pool.
    #[must_use]
    pub fn pools(&self) -> &[Group] {
        self.requests.pools()
    }

    /// Returns the latencies of good attempts, from their dispatch, by node. Of a fleet of more than
    /// 256 nodes, quantiles are within 3.2 %.
    pub fn node_latencies(&self) -> impl Iterator<Item = &Times> {
        self.nodes.latencies()
    }

    /// Returns the figures of all jobs, then those of each workflow; none without workflows.
    pub fn jobs(&self) -> impl Iterator<Item = &JobGroup> {
        self.jobs.iter().flat_map(|jobs| jobs.groups())
    }

    /// Returns what things are called.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Takes the ten-second intervals that closed since the last call; the open one too if `last`.
    pub fn take_intervals(&mut self, last: bool) -> Vec<Interval> {
        self.intervals.as_mut().map_or_else(Vec::new, |intervals| intervals.take(last))
    }

    /// Returns whether [`Collector::take_intervals`] would return something.
    #[must_use]
    pub fn has_intervals(&self) -> bool {
        self.intervals.as_ref().is_some_and(Intervals::has_closed)
    }

    // ----- events that several parts hear -----

    fn counts(&self, arrived: Time) -> bool {
        arrived >= self.labels.warmup
    }

    /// Something was said of how good an answer is; it counts from `since`.
    fn judged(&mut self, since: Time, hear: impl FnOnce(&mut Qualities)) {
        if self.counts(since)
            && let Some(quality) = &mut self.quality
        {
            hear(quality);
        }
    }

    fn kept_in(&mut self, node: NodeId, counts: bool) {
        self.nodes.kept_in(node);
        self.attempts.kept_in(counts);
    }

    fn dispatched(&mut self, event: &Event) {
        let Event::Dispatched { attempt, node, kind, arrived, queued, why, resumed, .. } = event
        else {
            return;
        };
        let counts = self.counts(*arrived);
        self.requests.dispatched(*queued);
        self.nodes.dispatched(*node, self.now, self.labels.warmup, counts);
        if counts {
            self.attempts.dispatched(*kind, *resumed, why.panic);
        }
        if self.watch == Watch::Screen {
            let retry = *kind == AttemptKind::Retry;
            self.screen.dispatched(self.now, (attempt.request, *node), retry, why);
        }
    }

    fn ended(&mut self, event: &Event) {
        let Event::Ended { attempt, node, class, end, arrived, dispatched, usage, cost, job } =
            event
        else {
            return;
        };
        let took = self.now.since(*dispatched);
        let (good, bad) =
            (*end == End::Done, !matches!(end, End::Done | End::Cancelled | End::Outrun));
        self.nodes.ended(*node, self.now, self.labels.warmup);
        if self.watch == Watch::Screen {
            self.screen.ended(&EndedAttempt {
                at: self.now,
                node: node.0,
                took,
                good: (good || bad).then_some(good),
                tokens: usage.output.0,
                cost: *cost,
            });
            let (attempt, at, end, cost) = (*attempt, self.now, *end, *cost);
            let outcome = AttemptOutcome { attempt, at, end, took, first_token: None, cost };
            self.screen.attempt_over(&outcome);
        }
        if let Some(intervals) = &mut self.intervals {
            let sample =
                Sample { latency: good.then_some(took), bad, output: usage.output, cost: *cost };
            intervals.add(IntervalScope::Node(node.index()), &sample, usage.input);
            let pool = self.nodes.pool(*node);
            for scope in
                [IntervalScope::All, IntervalScope::Class(class.index()), IntervalScope::Pool(pool)]
            {
                intervals.spend(scope, *cost);
            }
        }
        if self.counts(*arrived) {
            self.nodes.counted(*node, good.then_some(took), bad, *cost);
            self.requests.spent(*class, self.nodes.pool(*node), *cost);
            self.attempts.ended(usage);
            if self.hours.is_on() {
                let (pool, hourly) =
                    (self.nodes.pool(*node), self.labels.nodes[node.index()].hourly);
                let workflow = job.map(|job| job.workflow);
                self.hours.used(pool, *class, workflow, (took, hourly));
            }
        }
    }

    fn settled(&mut self, settled: &Settled) {
        let times = RequestTimes::of(self.now, settled);
        let class = settled.class.index();
        let pool = settled.node.map(|node| self.nodes.pool(node));
        if self.watch == Watch::Screen {
            let slo = self.labels.classes.get(class).map_or(&Slo::NONE, |class| &class.slo);
            let promise = (slo, self.requests.unanswered(class));
            self.screen.settled(self.now, settled, &times, promise);
        }
        if let Some(intervals) = &mut self.intervals {
            let sample = Sample {
                latency: (settled.fate == Fate::Completed).then_some(times.latency),
                bad: matches!(settled.fate, Fate::Failed(_) | Fate::Rejected(_)),
                output: settled.usage.output,
                cost: Cost::ZERO,
            };
            let scopes = [
                Some(IntervalScope::All),
                Some(IntervalScope::Class(class)),
                pool.map(IntervalScope::Pool),
            ];
            for scope in scopes.into_iter().flatten() {
                intervals.add(scope, &sample, settled.usage.input);
            }
        }
        if settled.degraded_by > DegradeLevel::Calm {
            self.pressures.on_degraded(settled.degraded_by);
        }
        self.requests.left(settled);
        if self.counts(settled.arrived) {
            let good = self.requests.settled(settled, &times, pool, &self.labels);
            self.tenants.settled(settled, good);
            self.attempts.settled(settled);
        }
    }

    // ----- pictures -----

    fn close_buckets(&mut self, now: Time) {
        self.screen.close_buckets(now, |at, span| self.nodes.hourly(at, span));
    }

    /// Returns the picture at `now`, which is not before the last event. Unless a screen was
    /// announced, window and history are empty.
    pub fn snapshot(&mut self, now: Time) -> Snapshot {
        let now = now.max(self.now);
        self.close_buckets(now);
        self.screen.expire(now);
        let heat = self.screen.heat(now);
        let window = self.screen.window();
        let length = window.length(now);
        let labels = &self.labels;
        Snapshot {
            now,
            requests: self.requests.total(),
            window: Figures {
                waiting: self.requests.waiting(),
                ..window.figures(now, self.nodes.hourly(now, length))
            },
            window_length: length,
            run: self.run_figures(now),
            totals: self.run_totals(now),
            priced: labels.nodes.iter().any(NodeLabel::has_price),
            nodes: self.nodes.rows(now, labels, window),
            pools: self.pools.rows(labels, &self.nodes),
            classes: self.requests.class_rows(now, labels, window),
            tenants: self.tenants.rows(now, labels, window),
            jobs: self.jobs.as_ref().map_or_else(Vec::new, |jobs| jobs.rows(now, labels, window)),
            expects: Vec::new(),
            pressed: self.pressures.pressed(labels),
            panics: self.pools.panics(labels),
            history: self.screen.history(),
            heat,
            log: self.screen.log(),
            log_dropped: self.screen.log_dropped(),
            last: self.screen.last(),
            decisions: self.screen.decisions(),
            outcomes: self.screen.outcomes(),
        }
    }

    /// Forgets the decisions that were explained: nobody looks at them any more.
    pub fn forget_decisions(&mut self) {
        self.screen.forget_decisions();
    }

    /// Returns what tokens and hours cost since the end of warm-up, in dollars.
    #[must_use]
    pub fn spent(&self, now: Time) -> f64 {
        let pools = 0..self.labels.pools.len();
        let paid = pools.flat_map(|pool| self.nodes.paid_in(pool, now, &self.labels));
        let hours: Paid = paid.sum();
        (self.requests.all().cost() + hours.cost).dollars()
    }

    fn run_figures(&self, now: Time) -> Figures {
        let seconds = now.since(self.labels.warmup).seconds().max(1e-9);
        let all = self.requests.all();
        let (requests, counts) = (all.requests(), self.attempts.counts());
        Figures {
            requests_per_s: requests.ended() as f64 / seconds,
            p50: all.latency.quantile(0.5),
            p95: all.latency.quantile(0.95),
            p99: all.latency.quantile(0.99),
            p99_all: self.requests.quantile_of_all(0.99),
            samples: requests.completed,
            ttft_p99: all.ttft.quantile(0.99),
            late: None,
            late_first: None,
            error_share: share(requests.errors(), requests.ended()),
            dollars_per_hour: self.spent(now) / seconds * 3_600.0,
            tokens_per_s: self.attempts.tokens().output as f64 / seconds,
            failovers_per_min: counts.failovers as f64 / seconds * 60.0,
            retries_per_min: counts.retries as f64 / seconds * 60.0,
            waiting: 0,
        }
    }

    fn run_totals(&self, now: Time) -> RunTotals {
        let (requests, counts) = (self.requests.all().requests(), self.attempts.counts());
        let dollars = self.spent(now);
        RunTotals {
            span: now.since(self.labels.warmup),
            warmup: self.labels.warmup.since(Time::ZERO),
            requests,
            retries: counts.retries,
            failovers: counts.failovers,
            dollars,
            dollars_per_1k: (requests.arrived > 0)
                .then(|| dollars / requests.arrived as f64 * 1_000.0),
        }
    }

    // ----- result -----

    /// Returns the result of the run, which ended at `end`.
    #[must_use]
    pub fn summary(&self, end: Time, complete: bool) -> Summary {
        let labels = &self.labels;
        // What is served a second is of the time in which it came, not of how long the last answer took.
        let arriving = self.requests.arriving(labels.warmup);
        let paid: Vec<Paid> = (0..labels.pools.len())
            .map(|pool| self.nodes.paid_in(pool, end, labels).sum())
            .collect();
        let hours: Paid = paid.iter().copied().sum();
        let of_workflow = |at: usize| self.hours.of_workflow(at, &paid);
        let jobs = self.jobs.as_ref().map(|jobs| jobs.summary(labels, of_workflow));
        let (jobs, workflows) = jobs.map_or((None, Vec::new()), |(all, by)| (Some(all), by));
        let all = self.requests.all();
        let limit = |at: usize| self.pressures.limit(at);
        let nodes = self.nodes.summaries(end, labels, self.attempts.counts().total, limit);
        Summary {
            schema_version: 1,
            scenario: labels.scenario.clone(),
            seed: labels.seed,
            complete,
            real: false,
            simulated_s: end.seconds(),
            warmup_s: labels.warmup.seconds(),
            arrivals_s: arriving.seconds(),
            strategies: self.pools.strategies(labels),
            by_hand: self.hands.summary(),
            requests: all.requests(),
            unserved: self.requests.unserved().clone(),
            attempts: self.attempts.counts(),
            latency_s: all.latency.latency(),
            ttft_s: all.ttft.latency(),
            tpot_s: all.tpot.latency(),
            queue_s: all.queue.latency(),
            tokens: self.attempts.tokens(),
            cost_usd: Costs::of(all.cost(), hours.cost, all.requests().arrived),
            goodput: all.goodput(arriving.seconds()),
            fairness_jain: self.nodes.fairness(),
            classes: (0..self.classes().len())
                .map(|at| self.class_summary(at, arriving, &paid))
                .collect(),
            pools: (0..self.pools().len()).map(|at| self.pool_summary(at, &paid[at])).collect(),
            models: nodes::by_model(&nodes, labels),
            nodes,
            jobs,
            workflows,
            hours: Some(hours.hours()),
            groups: self.groups.summaries(labels, end.since(labels.warmup), |at| {
                self.nodes.paid_at(at, end, labels)
            }),
            quality: self.quality.as_ref().map(|quality| quality.summary()),
            routes: (0..labels.routes.len()).map(|at| self.route_summary(at)).collect(),
            tenants: self.tenants.summaries(labels, arriving),
            overload: self.pressures.summary(end),
            cache: self.cache.all(),
        }
    }

    fn class_summary(&self, at: usize, arriving: Span, paid: &[Paid]) -> Class {
        let class = &self.classes()[at];
        Class {
            name: self.labels.classes[at].name.clone(),
            requests: class.requests(),
            latency_s: class.latency.latency(),
            ttft_s: class.ttft.latency(),
            tpot_s: class.tpot.latency(),
            cost_usd: Costs::of(
                class.cost(),
                self.hours.of_class(at, paid),
                class.requests().arrived,
            ),
            goodput: class.goodput(arriving.seconds()),
            degraded: class.degraded(),
            quality: self.quality.as_ref().and_then(|quality| quality.class(at)),
            cache: self.cache.class(at),
        }
    }

    fn route_summary(&self, at: usize) -> RouteSummary {
        let route = &self.requests.routes()[at];
        let quality = self.quality.as_ref().map(|quality| quality.route(at));
        let (quality, models) = quality.unwrap_or_default();
        RouteSummary {
            name: self.labels.routes[at].clone(),
            requests: route.requests(),
            latency_s: route.latency.latency(),
            ttft_s: route.ttft.latency(),
            cost_usd: Costs::of(route.cost(), Cost::ZERO, route.requests().arrived),
            quality,
            models,
            cache: self.cache.route(at),
        }
    }

    fn pool_summary(&self, at: usize, hours: &Paid) -> Pool {
        let pool = &self.pools()[at];
        Pool {
            name: self.labels.pools[at].clone(),
            strategy: self.pools.name(at),
            requests: pool.requests(),
            latency_s: pool.latency.latency(),
            ttft_s: pool.ttft.latency(),
            cost_usd: Costs::of(pool.cost(), hours.cost, pool.requests().arrived),
            hours: Some(hours.hours()),
            batches: self.pools.batches(at),
            kv: None,
            kv_max: None,
        }
    }
}

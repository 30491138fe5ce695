//! The collector: one fold over events for reports, screens and exports.

use std::collections::BTreeMap;

use super::counts::RequestCounts;
use super::history::HistoryBuckets;
use super::hours::{Clock, Paid, Sizes};
use super::interval::{Interval, Intervals, Scope};
use super::jobs::{JobBook, JobGroup};
use super::log::Log;
use super::pressure::Pressures;
use super::quality::Qualities;
use super::recent::Recent;
use super::snapshot::{Decision, Figures, NodeRow, Point, PoolRow, Snapshot};
use super::summary::{
    Attempts, Batches, Class, Costs, Goodput, GroupSummary, NodeSummary, Pool, RouteSummary,
    Summary, TokenCounts,
};
use super::times::Times;
use super::window::{Sample, Sums, WINDOW, Window};
use super::{Labels, NodeLabel, Slo};
use crate::balance::{
    AttemptKind, Config, DegradeLevel, End, Event, Fate, Mark, MarkBy, MarkPhase, NoRetry,
    NodeSpec, NodeState, ScaleSpec, Settled, StrategySpec,
};
use crate::unit::{Cost, NodeId, PoolId, Span, Time, Tokens};

/// A node is slow if its p99 is so many times the median of its pool.
const SLOW_TIMES: u64 = 3;

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

/// What is collected for all requests, and for each class and pool.
#[derive(Clone, Debug)]
pub struct Group {
    requests: RequestCounts,
    /// See [`Summary`].
    pub latency: Times,
    /// See [`Summary`].
    pub ttft: Times,
    /// See [`Summary`].
    pub tpot: Times,
    /// See [`Summary`].
    pub queue: Times,
    good: u64,
    degraded: u64,
    cost: Cost,
}

impl Group {
    fn new() -> Group {
        let times = Times::of_run;
        Group {
            requests: RequestCounts::default(),
            latency: times(),
            ttft: times(),
            tpot: times(),
            queue: times(),
            good: 0,
            degraded: 0,
            cost: Cost::ZERO,
        }
    }

    fn goodput(&self, seconds: f64) -> Goodput {
        let ended = self.requests.ended();
        Goodput {
            requests_per_s: (seconds > 0.0).then(|| self.good as f64 / seconds),
            slo_attainment: (ended > 0).then(|| self.good as f64 / ended as f64),
        }
    }
}

/// What is collected for each node.
#[derive(Clone, Debug)]
pub struct PerNode {
    /// Good attempts, from their dispatch. Of a fleet of more than 256 nodes, quantiles are
    /// within 3.2 %.
    pub latency: Times,
    /// As its label has them; here, because every event asks for them.
    capacity: Option<u32>,
    pool: u32,
    attempts: u64,
    failed: u64,
    cost: Cost,
    in_flight: u32,
    state: NodeState,
    faults: u32,
    weight: u32,
    /// Busy servers, integrated over time: server-nanoseconds.
    busy: u128,
    busy_at: Time,
    /// The integral at the end of warm-up.
    busy_warm: u128,
    /// Dispatches over the run, warm-up included.
    dispatched: u64,
    clock: Clock,
}

impl PerNode {
    /// A node, one of so many.
    fn new(label: &NodeLabel, weight: u32, at: Time, nodes: usize) -> PerNode {
        PerNode {
            latency: Times::of_node(nodes),
            capacity: label.capacity,
            pool: label.pool as u32,
            attempts: 0,
            failed: 0,
            cost: Cost::ZERO,
            in_flight: 0,
            state: NodeState::Up,
            faults: 0,
            weight,
            busy: 0,
            busy_at: Time::ZERO,
            busy_warm: 0,
            dispatched: 0,
            clock: Clock::new(at, NodeState::Up),
        }
    }

    fn integrate(&mut self, now: Time, warmup: Time) {
        let busy = self.capacity.map_or(self.in_flight, |capacity| self.in_flight.min(capacity));
        let area = |until: Time| u128::from(busy) * u128::from(until.since(self.busy_at).0);
        if self.busy_at < warmup {
            self.busy_warm = self.busy + area(warmup.min(now));
        }
        self.busy += area(now);
        self.busy_at = now;
    }
}

/// Folds events into figures.
#[derive(Clone, Debug)]
pub struct Collector {
    labels: Labels,
    watch: Watch,
    now: Time,
    all: Group,
    classes: Vec<Group>,
    pools: Vec<Group>,
    nodes: Vec<PerNode>,
    strategies: Vec<StrategySpec>,
    /// Why requests had no whole answer.
    unserved: BTreeMap<&'static str, u64>,
    attempts: Attempts,
    tokens: TokenCounts,
    /// Since the start, warm-up included.
    total: RequestCounts,
    waiting: u64,
    window: Window,
    past: HistoryBuckets,
    log: Log,
    last: Option<Decision>,
    groups: Vec<Sizes>,
    /// By pool: batches and requests in them, if it takes batches.
    batches: Vec<Option<(u64, u64)>>,
    intervals: Option<Intervals>,
    /// Only where there are workflows.
    jobs: Option<Box<JobBook>>,
    /// What utilisation and share of the last while are measured from.
    before: [RateBaseline; 2],
    /// By route; empty where routes are not reported.
    routes: Vec<Group>,
    /// Only where it is known how good answers are.
    quality: Option<Box<Qualities>>,
    /// What was explained lately.
    recent: Recent,
    pressures: Pressures,
}

/// Busy time and dispatches by node at some moment.
#[derive(Clone, Debug, Default)]
struct RateBaseline {
    at: Time,
    nodes: Vec<(u128, u64)>,
}

impl Collector {
    /// A collector that has heard nothing yet, of a fleet as configured.
    #[must_use]
    pub fn new(labels: Labels, config: &Config, watch: Watch) -> Collector {
        let count = config.nodes.len();
        let node = |(label, spec): (&NodeLabel, &NodeSpec)| {
            PerNode::new(label, spec.weight, Time::ZERO, count)
        };
        let mut nodes: Vec<PerNode> = labels.nodes.iter().zip(&config.nodes).map(node).collect();
        for node in config.scale.iter().flat_map(ScaleSpec::off_at_start) {
            nodes[node.index()].state = NodeState::Off;
            nodes[node.index()].clock = Clock::new(Time::ZERO, NodeState::Off);
        }
        let strategies = config.pools.iter().map(|pool| pool.strategy.clone()).collect();
        Collector {
            watch,
            now: Time::ZERO,
            all: Group::new(),
            classes: vec![Group::new(); labels.classes.len()],
            pools: vec![Group::new(); labels.pools.len()],
            nodes,
            strategies,
            unserved: BTreeMap::new(),
            attempts: Attempts::default(),
            tokens: TokenCounts::default(),
            total: RequestCounts::default(),
            waiting: 0,
            window: Window::default(),
            past: HistoryBuckets::default(),
            log: Log::default(),
            last: None,
            groups: config.scale.iter().map(Sizes::new).collect(),
            batches: config.pools.iter().map(|pool| pool.batch.map(|_| (0, 0))).collect(),
            intervals: (watch == Watch::Export).then(Intervals::default),
            before: Default::default(),
            jobs: JobBook::new(&labels),
            routes: vec![Group::new(); labels.routes.len()],
            quality: Qualities::new(&labels),
            recent: Recent::default(),
            pressures: Pressures::new(config),
            labels,
        }
    }

    /// Hears an event. No allocation on the common path.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub fn fold(&mut self, now: Time, event: &Event) {
        if self.watch == Watch::Screen && now >= self.past.due() {
            self.close_buckets(now);
        }
        if let Some(intervals) = &mut self.intervals {
            intervals.advance(now);
        }
        self.now = now;
        match event {
            Event::Arrived { class, arrived, .. } => self.arrived(class.index(), *arrived),
            Event::Queued { .. } => self.waiting += 1,
            Event::Dispatched { .. } => self.dispatched(event),
            Event::Ended { .. } => self.ended(event),
            Event::Settled(settled) => self.settled(settled),
            Event::NodeState { node, to, .. } => {
                let node = &mut self.nodes[node.index()];
                node.state = *to;
                node.clock.state(now, self.labels.warmup, *to);
            }
            Event::Scaled { group, to, .. } => {
                let counts = now >= self.labels.warmup;
                if let Some(group) = self.groups.get_mut(usize::from(*group)) {
                    group.scaled(counts, *to);
                }
            }
            Event::Batch { node, members } => {
                let pool = self.labels.nodes[node.index()].pool;
                let (count, requests) = self.batches[pool].get_or_insert_default();
                *count += 1;
                *requests += u64::from(*members);
            }
            Event::NodeChanged { node, spec } => self.node_changed(*node, spec),
            Event::Strategy { pool, to, .. } => self.strategies[pool.index()].clone_from(to),
            Event::Mark(mark) => self.marked(mark),
            Event::Limit { .. } | Event::Shedding { .. } | Event::DegradeLevel { .. } => {
                self.pressures.hear(now, event, &self.labels);
            }
            Event::RetryDenied { reason: NoRetry::Budget | NoRetry::Tokens, .. } => {
                self.attempts.retries_denied += u64::from(now >= self.labels.warmup);
            }
            Event::HedgeDenied { .. } => {
                self.attempts.hedges_denied += u64::from(now >= self.labels.warmup);
            }
            Event::Graded(grade) => self.judged(grade.arrived, event),
            Event::Escalated { .. } | Event::Feedback { .. } => self.judged(now, event),
            Event::Explained(explanation) if self.watch == Watch::Screen => {
                self.recent.hear(explanation);
            }
            Event::Explained(_)
            | Event::Model(_)
            | Event::FirstToken { .. }
            | Event::RetryPlanned { .. }
            | Event::RetryDenied { .. }
            | Event::LateWord { .. }
            | Event::Panic { .. }
            | Event::Job(_) => {}
        }
        if let Some(jobs) = &mut self.jobs {
            jobs.hear(now, event);
        }
        if self.watch == Watch::Screen {
            self.log.hear(now, event, &self.labels, &mut self.past);
        }
    }

    /// Returns the figures of all requests after warm-up.
    #[must_use]
    pub const fn all(&self) -> &Group {
        &self.all
    }

    /// Returns the figures by class.
    #[must_use]
    pub fn classes(&self) -> &[Group] {
        &self.classes
    }

    /// Returns the figures by pool.
    #[must_use]
    pub fn pools(&self) -> &[Group] {
        &self.pools
    }

    /// Returns the figures by node.
    #[must_use]
    pub fn nodes(&self) -> &[PerNode] {
        &self.nodes
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

    // ----- events -----

    fn counts(&self, arrived: Time) -> bool {
        arrived >= self.labels.warmup
    }

    /// Something was said of how good an answer is; it counts from `since`.
    fn judged(&mut self, since: Time, event: &Event) {
        if self.counts(since)
            && let Some(quality) = &mut self.quality
        {
            quality.hear(event);
        }
    }

    fn arrived(&mut self, class: usize, arrived: Time) {
        self.total.arrive();
        if self.counts(arrived) {
            self.all.requests.arrive();
            if let Some(class) = self.classes.get_mut(class) {
                class.requests.arrive();
            }
        }
    }

    fn dispatched(&mut self, event: &Event) {
        let Event::Dispatched { attempt, node, kind, arrived, queued, why, resumed, .. } = event
        else {
            return;
        };
        self.waiting -= u64::from(*queued);
        let counts = self.counts(*arrived);
        let this = &mut self.nodes[node.index()];
        this.integrate(self.now, self.labels.warmup);
        this.in_flight += 1;
        this.clock.busy(self.now, self.labels.warmup, true);
        this.dispatched += 1;
        if counts {
            this.attempts += 1;
            self.attempts.total += 1;
            self.attempts.retries += u64::from(*kind == AttemptKind::Retry);
            self.attempts.hedges += u64::from(*kind == AttemptKind::Hedge);
            self.attempts.resumed += u64::from(*resumed > Tokens::ZERO);
            self.attempts.panic += u64::from(why.panic);
        }
        if self.watch == Watch::Screen {
            self.last = Some(Decision { at: self.now, request: attempt.request, why: *why });
        }
    }

    fn ended(&mut self, event: &Event) {
        let Event::Ended { node, class, end, arrived, dispatched, usage, cost, .. } = event else {
            return;
        };
        let took = self.now.since(*dispatched);
        let (good, bad) =
            (*end == End::Done, !matches!(end, End::Done | End::Cancelled | End::Outrun));
        let counts = self.counts(*arrived);
        let this = &mut self.nodes[node.index()];
        let pool = this.pool as usize;
        this.integrate(self.now, self.labels.warmup);
        this.in_flight -= 1;
        this.clock.busy(self.now, self.labels.warmup, this.in_flight > 0);
        let sample = Sample {
            at: self.now,
            node: node.0,
            latency: good.then_some(took),
            ttft: None,
            bad,
            failover: false,
            tokens: usage.output.0.min(u64::from(u32::MAX)) as u32,
            cost: cost.0.min(u128::from(u64::MAX)) as u64,
        };
        if self.watch == Watch::Screen {
            self.window.add(&sample);
        }
        if let Some(intervals) = &mut self.intervals {
            intervals.add(Scope::Node(node.index()), &sample, usage.input);
            for scope in [Scope::All, Scope::Class(class.index()), Scope::Pool(pool)] {
                intervals.spend(scope, *cost);
            }
        }
        if counts {
            this.failed += u64::from(bad);
            this.cost += *cost;
            if good {
                this.latency.record(took);
            }
            self.pools[pool].cost += *cost;
            if let Some(class) = self.classes.get_mut(class.index()) {
                class.cost += *cost;
            }
            self.all.cost += *cost;
            self.tokens.input += usage.input.0;
            self.tokens.cached_input += usage.cached.0;
            self.tokens.output += usage.output.0;
        }
    }

    fn settled(&mut self, settled: &Settled) {
        self.waiting -= u64::from(settled.queued);
        self.total.settle(&settled.fate);
        let outcome = RequestTimes::of(self.now, settled);
        let sample = Sample {
            at: self.now,
            node: u32::MAX,
            latency: (settled.fate == Fate::Completed).then_some(outcome.latency),
            ttft: (settled.fate == Fate::Completed).then_some(outcome.ttft),
            bad: matches!(settled.fate, Fate::Failed(_) | Fate::Rejected(_)),
            failover: settled.failover,
            tokens: settled.usage.output.0.min(u64::from(u32::MAX)) as u32,
            cost: 0,
        };
        if self.watch == Watch::Screen {
            self.window.add(&sample);
        }
        let class = settled.class.index();
        let pool = settled.node.map(|node| self.nodes[node.index()].pool as usize);
        if let Some(intervals) = &mut self.intervals {
            let scopes = [Some(Scope::All), Some(Scope::Class(class)), pool.map(Scope::Pool)];
            for scope in scopes.into_iter().flatten() {
                intervals.add(scope, &sample, settled.usage.input);
            }
        }
        if settled.degraded_by > DegradeLevel::Calm {
            self.pressures.on_degraded(settled.degraded_by);
        }
        if !self.counts(settled.arrived) {
            return;
        }
        let slo = self.labels.classes.get(class).map_or(Slo::default(), |class| class.slo);
        let good = settled.fate == Fate::Completed && outcome.keeps(&slo);
        self.all.settle(settled, &outcome, good);
        if let Some(reason) = reason(&settled.fate) {
            *self.unserved.entry(reason).or_default() += 1;
        }
        self.attempts.failovers += u64::from(settled.failover);
        self.attempts.degraded += u64::from(settled.degraded);
        self.attempts.hedge_wins += u64::from(settled.hedge);
        if let Some(class) = self.classes.get_mut(class) {
            class.settle(settled, &outcome, good);
        }
        if let Some(pool) = pool {
            self.pools[pool].requests.arrive();
            self.pools[pool].settle(settled, &outcome, good);
        }
        if let Some(route) = self.routes.get_mut(settled.route.index()) {
            route.requests.arrive();
            route.settle(settled, &outcome, good);
            route.cost += settled.spent;
        }
    }

    fn node_changed(&mut self, node: NodeId, spec: &NodeSpec) {
        if node.index() == self.nodes.len() {
            let label = NodeLabel {
                name: spec.name.clone(),
                pool: spec.pool.index(),
                tier: spec.tier,
                kind: String::new(),
                capacity: spec.limits.concurrency,
                hourly: spec.hourly,
                prices: spec.prices,
            };
            let count = self.nodes.len() + 1;
            self.nodes.push(PerNode::new(&label, spec.weight, self.now, count));
            self.labels.nodes.push(label);
        }
        self.nodes[node.index()].weight = spec.weight;
        self.labels.nodes[node.index()].prices = spec.prices;
    }

    fn marked(&mut self, mark: &Mark) {
        for node in &mark.nodes {
            let Some(node) = self.nodes.get_mut(node.index()) else {
                continue;
            };
            match mark.phase {
                MarkPhase::Begin => node.faults += 1,
                // A person heals everything at once.
                MarkPhase::End if mark.by == MarkBy::Person => node.faults = 0,
                MarkPhase::End => node.faults = node.faults.saturating_sub(1),
            }
        }
    }

    // ----- pictures -----

    fn close_buckets(&mut self, now: Time) {
        while now >= self.past.due() {
            let due = self.past.due();
            self.window.expire(due);
            let figures = self.figures(due);
            self.past.close(Point {
                p50: figures.p50,
                p95: figures.p95,
                p99: figures.p99,
                requests_per_s: figures.requests_per_s,
                error_share: figures.error_share,
                dollars_per_hour: figures.dollars_per_hour,
                tokens_per_s: figures.tokens_per_s,
            });
        }
    }

    /// Returns the figures of the ten seconds up to `now`, for a window that has expired to it.
    fn figures(&self, now: Time) -> Figures {
        let seconds = now.seconds().min(WINDOW.seconds()).max(0.1);
        let whole = &self.window.whole;
        let [p50, p95, p99] = whole.latency.quantiles([0.5, 0.95, 0.99]);
        let [ttft_p99] = whole.ttft.quantiles([0.99]);
        let spent = Cost(self.window.attempts.cost).dollars() / seconds * 3_600.0;
        Figures {
            requests_per_s: whole.count as f64 / seconds,
            p50,
            p95,
            p99,
            ttft_p99,
            error_share: share(whole.bad, whole.count),
            dollars_per_hour: spent + self.hourly(),
            tokens_per_s: self.window.attempts.tokens as f64 / seconds,
            failovers_per_min: whole.failovers as f64 / seconds * 60.0,
            waiting: self.waiting,
        }
    }

    /// Returns what all nodes cost an hour by being there.
    fn hourly(&self) -> f64 {
        let there = self.nodes.iter().zip(&self.labels.nodes);
        let micros: u64 = there
            .filter(|(node, _)| !matches!(node.state, NodeState::Gone | NodeState::Off))
            .map(|(_, label)| label.hourly)
            .sum();
        micros as f64 / 1e6
    }

    /// Returns the picture at `now`, which is not before the last event. Unless a screen was
    /// announced, window and history are empty.
    pub fn snapshot(&mut self, now: Time) -> Snapshot {
        let now = now.max(self.now);
        if now >= self.past.due() {
            self.close_buckets(now);
        }
        self.window.expire(now);
        for node in &mut self.nodes {
            node.integrate(now, self.labels.warmup);
        }
        let nodes = self.node_rows(now);
        self.remember(now);
        Snapshot {
            now,
            requests: self.total,
            window: self.figures(now),
            run: self.run_figures(now),
            pools: self.pool_rows(),
            pressed: self.pressures.pressed(&self.labels),
            nodes,
            history: self.past.history(),
            log: self.log.entries(),
            log_dropped: self.log.dropped,
            last: self.last,
            decisions: self.recent.decisions(),
        }
    }

    /// Forgets the decisions that were explained: nobody looks at them any more.
    pub fn forget_decisions(&mut self) {
        self.recent.forget();
    }

    fn run_figures(&self, now: Time) -> Figures {
        let seconds = now.since(self.labels.warmup).seconds().max(1e-9);
        let requests = self.all.requests;
        let ended = requests.ended();
        Figures {
            requests_per_s: ended as f64 / seconds,
            p50: self.all.latency.quantile(0.5),
            p95: self.all.latency.quantile(0.95),
            p99: self.all.latency.quantile(0.99),
            ttft_p99: self.all.ttft.quantile(0.99),
            error_share: share(requests.errors(), ended),
            dollars_per_hour: self.all.cost.dollars() / seconds * 3_600.0 + self.hourly(),
            tokens_per_s: self.tokens.output as f64 / seconds,
            failovers_per_min: self.attempts.failovers as f64 / seconds * 60.0,
            waiting: 0,
        }
    }

    fn pool_rows(&self) -> Vec<PoolRow> {
        let row = |(index, name): (usize, &String)| {
            let of_pool = |at: &usize| self.labels.nodes[*at].pool == index;
            let mut nodes = (0..self.nodes.len()).filter(of_pool).map(|at| self.nodes[at].state);
            let (mut there, mut up) = (0, 0);
            for state in &mut nodes {
                there += u32::from(!matches!(state, NodeState::Gone | NodeState::Off));
                up += u32::from(state == NodeState::Up);
            }
            PoolRow {
                id: PoolId(index as u16),
                name: name.clone(),
                strategy: self.strategies[index].to_string(),
                nodes: there,
                up,
            }
        };
        self.labels.pools.iter().enumerate().map(row).collect()
    }

    fn node_rows(&self, now: Time) -> Vec<NodeRow> {
        let then = &self.before[0];
        let total = |counts: &dyn Fn(usize) -> u64| (0..self.nodes.len()).map(counts).sum::<u64>();
        let dispatched = |at: usize| {
            let before = then.nodes.get(at).map_or(0, |(_, dispatched)| *dispatched);
            self.nodes[at].dispatched - before
        };
        let all = total(&dispatched);
        let mut rows: Vec<NodeRow> = (0..self.nodes.len())
            .filter(|&at| self.nodes[at].state != NodeState::Gone)
            .map(|at| {
                let mut row = self.node_row(now, at);
                row.share = share(dispatched(at), all);
                row
            })
            .collect();
        mark_slow(&mut rows, self.labels.pools.len());
        rows
    }

    fn node_row(&self, now: Time, at: usize) -> NodeRow {
        let (node, label) = (&self.nodes[at], &self.labels.nodes[at]);
        let seconds = now.seconds().min(WINDOW.seconds()).max(0.1);
        let idle = Sums::default();
        let sums = self.window.nodes.get(at).unwrap_or(&idle);
        let [p50, p99] = sums.latency.quantiles([0.5, 0.99]);
        let then = &self.before[0];
        let busy = node.busy - then.nodes.get(at).map_or(0, |(busy, _)| *busy);
        let span = now.since(then.at).0;
        let utilisation = label.capacity.map(|capacity| {
            let available = f64::from(capacity.max(1)) * span.max(1) as f64;
            (busy as f64 / available).min(1.0)
        });
        NodeRow {
            id: NodeId(at as u32),
            name: label.name.clone(),
            pool: PoolId(label.pool as u16),
            tier: label.tier,
            kind: label.kind.clone(),
            state: node.state,
            slow: false,
            fault: node.faults > 0,
            in_flight: node.in_flight,
            capacity: label.capacity,
            queued: label.capacity.map_or(0, |most| node.in_flight.saturating_sub(most)),
            utilisation,
            share: 0.0,
            requests_per_s: sums.count as f64 / seconds,
            p50,
            p99,
            error_share: share(sums.bad, sums.count),
            tokens_per_s: sums.tokens as f64 / seconds,
            dollars_per_hour: Cost(sums.cost).dollars() / seconds * 3_600.0
                + label.hourly as f64 / 1e6,
        }
    }

    /// Utilisation and share are measured over the last ten to twenty seconds.
    fn remember(&mut self, now: Time) {
        if now.since(self.before[1].at) >= WINDOW {
            self.before.swap(0, 1);
            let nodes = self.nodes.iter().map(|node| (node.busy, node.dispatched)).collect();
            self.before[1] = RateBaseline { at: now, nodes };
        }
    }

    // ----- result -----

    /// Returns the result of the run, which ended at `end`.
    #[must_use]
    pub fn summary(&self, end: Time, complete: bool) -> Summary {
        let span = end.since(self.labels.warmup);
        let hours: Paid = (0..self.nodes.len()).map(|at| self.paid(at, end)).sum();
        let jobs = self.jobs.as_ref().map(|jobs| jobs.summary(&self.labels));
        let (jobs, workflows) = jobs.map_or((None, Vec::new()), |(all, by)| (Some(all), by));
        Summary {
            schema_version: 1,
            scenario: self.labels.scenario.clone(),
            seed: self.labels.seed,
            complete,
            simulated_s: end.seconds(),
            warmup_s: self.labels.warmup.seconds(),
            strategies: self
                .labels
                .pools
                .iter()
                .zip(&self.strategies)
                .map(|(pool, strategy)| (pool.clone(), strategy.to_string()))
                .collect(),
            requests: self.all.requests,
            unserved: self.unserved.clone(),
            attempts: self.attempts,
            latency_s: self.all.latency.latency(),
            ttft_s: self.all.ttft.latency(),
            tpot_s: self.all.tpot.latency(),
            queue_s: self.all.queue.latency(),
            tokens: self.tokens,
            cost_usd: costs(self.all.cost, hours.cost, self.all.requests.arrived),
            goodput: self.all.goodput(span.seconds()),
            fairness_jain: self.fairness(),
            classes: (0..self.classes.len()).map(|at| self.class_summary(at, span)).collect(),
            pools: (0..self.pools.len()).map(|at| self.pool_summary(at, end)).collect(),
            nodes: (0..self.nodes.len()).map(|at| self.node_summary(at, end)).collect(),
            jobs,
            workflows,
            hours: Some(hours.hours()),
            groups: self.groups.iter().map(|group| self.group_summary(group, end)).collect(),
            quality: self.quality.as_ref().map(|quality| quality.summary()),
            routes: (0..self.routes.len()).map(|at| self.route_summary(at)).collect(),
            overload: self.pressures.summary(end),
        }
    }

    /// Returns what a node was paid for.
    fn paid(&self, at: usize, end: Time) -> Paid {
        self.nodes[at].clock.total(end, self.labels.warmup, self.labels.nodes[at].hourly)
    }

    fn group_summary(&self, group: &Sizes, end: Time) -> GroupSummary {
        let nodes = &group.spec.nodes;
        let paid: Paid = nodes.iter().map(|node| self.paid(node.index(), end)).sum();
        let pool = nodes.first().map(|node| self.labels.nodes[node.index()].pool);
        let pool = pool.map_or_else(String::new, |pool| self.labels.pools[pool].clone());
        group.summary(pool, &paid, end.since(self.labels.warmup))
    }

    fn class_summary(&self, at: usize, span: Span) -> Class {
        let class = &self.classes[at];
        Class {
            name: self.labels.classes[at].name.clone(),
            requests: class.requests,
            latency_s: class.latency.latency(),
            ttft_s: class.ttft.latency(),
            tpot_s: class.tpot.latency(),
            cost_usd: costs(class.cost, Cost::ZERO, class.requests.arrived),
            goodput: class.goodput(span.seconds()),
            degraded: class.degraded,
            quality: self.quality.as_ref().and_then(|quality| quality.class(at)),
        }
    }

    fn route_summary(&self, at: usize) -> RouteSummary {
        let route = &self.routes[at];
        let quality = self.quality.as_ref().map(|quality| quality.route(at));
        let (quality, models) = quality.unwrap_or_default();
        RouteSummary {
            name: self.labels.routes[at].clone(),
            requests: route.requests,
            latency_s: route.latency.latency(),
            ttft_s: route.ttft.latency(),
            cost_usd: costs(route.cost, Cost::ZERO, route.requests.arrived),
            quality,
            models,
        }
    }

    fn pool_summary(&self, at: usize, end: Time) -> Pool {
        let pool = &self.pools[at];
        let of_pool = (0..self.nodes.len()).filter(|&node| self.labels.nodes[node].pool == at);
        let hours: Paid = of_pool.map(|node| self.paid(node, end)).sum();
        let batches = self.batches[at].map(|(count, requests)| Batches {
            count,
            mean_size: (count > 0).then(|| requests as f64 / count as f64),
        });
        Pool {
            name: self.labels.pools[at].clone(),
            strategy: self.strategies[at].to_string(),
            requests: pool.requests,
            latency_s: pool.latency.latency(),
            ttft_s: pool.ttft.latency(),
            cost_usd: costs(pool.cost, hours.cost, pool.requests.arrived),
            hours: Some(hours.hours()),
            batches,
        }
    }

    fn node_summary(&self, at: usize, end: Time) -> NodeSummary {
        let (node, label) = (&self.nodes[at], &self.labels.nodes[at]);
        let span = end.since(self.labels.warmup);
        let mut last = node.clone();
        last.integrate(end.max(node.busy_at), self.labels.warmup);
        let hours = self.paid(at, end);
        let utilisation = label.capacity.filter(|_| span > Span::ZERO).map(|capacity| {
            (last.busy - last.busy_warm) as f64 / (f64::from(capacity.max(1)) * span.0 as f64)
        });
        NodeSummary {
            name: label.name.clone(),
            pool: self.labels.pools[label.pool].clone(),
            share: share(node.attempts, self.attempts.total),
            attempts: node.attempts,
            failed: node.failed,
            utilisation,
            latency_s: node.latency.latency(),
            cost_usd: costs(node.cost, hours.cost, node.attempts),
            hours: Some(hours.hours()),
            limit: self.pressures.limit(at),
        }
    }

    /// Jain's index `(sum x)^2 / (n sum x^2)` of attempts per weight (Jain, Chiu and Hawe 1984).
    fn fairness(&self) -> Option<f64> {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for node in &self.nodes {
            let x = node.attempts as f64 / f64::from(node.weight);
            count += 1.0;
            sum += x;
            squares += x * x;
        }
        (squares > 0.0).then(|| sum * sum / (count * squares))
    }
}

/// The times of a request at its end.
#[derive(Clone, Copy, Debug)]
struct RequestTimes {
    latency: Span,
    ttft: Span,
    /// Per token after the first; `None` if there was no other or it did not stream.
    tpot: Option<Span>,
}

impl RequestTimes {
    fn of(now: Time, settled: &Settled) -> RequestTimes {
        let latency = now.since(settled.arrived);
        // An answer that does not stream has its first token with its last.
        let first = settled.first_token.unwrap_or(now);
        let after = settled.usage.output.0.saturating_sub(1);
        let streamed = settled.first_token.is_some() && after > 0;
        let tpot = streamed.then(|| Span(now.since(first).0 / after));
        RequestTimes { latency, ttft: first.since(settled.arrived), tpot }
    }

    fn keeps(&self, slo: &Slo) -> bool {
        slo.total.is_none_or(|most| self.latency <= most)
            && slo.first_token.is_none_or(|most| self.ttft <= most)
            && slo.per_token.is_none_or(|most| self.tpot.is_none_or(|tpot| tpot <= most))
    }
}

impl Group {
    fn settle(&mut self, settled: &Settled, times: &RequestTimes, good: bool) {
        self.requests.settle(&settled.fate);
        self.good += u64::from(good);
        self.degraded += u64::from(settled.degraded);
        if let Some(dispatched) = settled.dispatched {
            self.queue.record(dispatched.since(settled.arrived));
        }
        if settled.fate == Fate::Completed {
            self.latency.record(times.latency);
            self.ttft.record(times.ttft);
            if let Some(tpot) = times.tpot {
                self.tpot.record(tpot);
            }
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn costs(tokens: Cost, hours: Cost, requests: u64) -> Costs {
    let total = (tokens + hours).dollars();
    Costs {
        total,
        per_1k_requests: (requests > 0).then(|| total * 1_000.0 / requests as f64),
        tokens: tokens.dollars(),
        hours: hours.dollars(),
    }
}

/// Marks the nodes whose p99 stands out in their pool. It takes three to know who does.
fn mark_slow(rows: &mut [NodeRow], pools: usize) {
    for pool in 0..pools {
        let of_pool = |row: &&NodeRow| row.pool.index() == pool;
        let mut tails: Vec<Span> = rows.iter().filter(of_pool).filter_map(|row| row.p99).collect();
        if tails.len() < 3 {
            continue;
        }
        tails.sort_unstable();
        let median = tails[tails.len() / 2];
        for row in rows.iter_mut().filter(|row| row.pool.index() == pool) {
            row.slow = row.p99.is_some_and(|p99| p99.0 > median.0.saturating_mul(SLOW_TIMES));
        }
    }
}

/// Why a request had no whole answer, in the words of the log; `None` if it had one.
fn reason(fate: &Fate) -> Option<&'static str> {
    match fate {
        Fate::Completed => None,
        Fate::Failed(end) => Some(end.words()),
        Fate::Rejected(reject) => Some(reject.words()),
        Fate::Cancelled => Some(End::Cancelled.words()),
    }
}

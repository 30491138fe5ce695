//! What is collected for each node.
//!
//! Large fleets do not fit into the processor's caches, so what a request touches of its node is laid
//! side by side: a dispatch reads and writes the one cache line of [`Hot`], the end of an attempt that
//! line and the one of [`Ends`] (and a line of its sketch of latencies). What only faults, changes of
//! state and reports need lies apart, in [`Cold`].

mod hourly;
mod rows;
#[cfg(test)]
mod tests;

use hourly::HourlyRate;

use crate::balance::{Config, Mark, MarkBy, MarkPhase, NodeSpec, NodeState, ScaleSpec};
use crate::metrics::counts::share;
use crate::metrics::hours::{Clock, Paid, is_paid};
use crate::metrics::summary::{Costs, LimitSummary, ModelUse, NodeSummary};
use crate::metrics::times::Times;
use crate::metrics::{Labels, NodeLabel};
use crate::unit::{Cost, NodeId, Span, Time};

/// What every dispatch and every end touches.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Hot {
    /// Busy servers, integrated over time: server-nanoseconds.
    busy: u128,
    /// Up to when `busy` and `idle` are counted.
    at: Time,
    /// Nanoseconds after warm-up in which it was up and had nothing in flight.
    idle: u64,
    /// Nanoseconds in which it had something in flight.
    occupied: u64,
    /// Those of requests that came after warm-up.
    attempts: u64,
    in_flight: u32,
    /// As its label has it; the largest number where that is not known.
    capacity: u32,
    pool: u16,
    state: NodeState,
}

/// What the end of an attempt touches besides: of attempts of requests that came after warm-up.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Ends {
    /// Good attempts, from their dispatch.
    latency: Times,
    cost: Cost,
}

/// The rest.
#[derive(Clone, Copy, Debug)]
struct Cold {
    clock: Clock,
    /// What `busy` and `occupied` were at the end of warm-up.
    warm: (u128, u64),
    failed: u64,
    faults: u32,
    /// Of them those that somebody made by hand are counted apart.
    by_hand: u32,
    /// It was to be ejected, and has not changed its state since.
    kept_in: bool,
    weight: u32,
}

// Each fills a line of the processor's cache.
const _: () = assert!(size_of::<Hot>() == 64 && size_of::<Ends>() == 64);

impl Hot {
    fn servers(&self) -> u128 {
        u128::from(self.in_flight.min(self.capacity))
    }

    /// Returns busy and occupied time at a moment that is not before `at`.
    fn used_at(&self, now: Time) -> (u128, u64) {
        let span = now.since(self.at).0;
        let occupied = if self.in_flight > 0 { span } else { 0 };
        (self.busy + self.servers() * u128::from(span), self.occupied + occupied)
    }

    /// Counts the time up to `now`.
    fn pass(&mut self, now: Time, warmup: Time) {
        (self.busy, self.occupied) = self.used_at(now);
        if self.in_flight == 0 && self.state == NodeState::Up {
            self.idle += now.since(self.at.max(warmup)).0;
        }
        self.at = self.at.max(now);
    }
}

/// How much of a node was used in a span.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct NodeUse {
    /// Time busy of an engine, busy servers of another node.
    utilisation: Option<f64>,
    /// Seats taken, as a share of them.
    seats: Option<f64>,
    /// Attempts that were worked on together, while there were any.
    batch: Option<f64>,
}

impl NodeUse {
    fn of(label: &NodeLabel, (busy, occupied): (u128, u64), span: Span) -> NodeUse {
        if span == Span::ZERO {
            return NodeUse::default();
        }
        let seats = label
            .capacity
            .map(|seats| (busy as f64 / (f64::from(seats.max(1)) * span.0 as f64)).min(1.0));
        let busy_time = (occupied as f64 / span.0 as f64).min(1.0);
        let batch = (label.shares_time && occupied > 0).then(|| busy as f64 / occupied as f64);
        let (utilisation, seats) =
            if label.shares_time { (Some(busy_time), seats) } else { (seats, None) };
        NodeUse { utilisation, seats, batch }
    }
}

/// What is collected for each node.
#[derive(Clone, Debug)]
pub(super) struct NodeFigures {
    hot: Vec<Hot>,
    ends: Vec<Ends>,
    cold: Vec<Cold>,
    hourly: HourlyRate,
}

impl NodeFigures {
    pub(super) fn new(labels: &Labels, config: &Config) -> NodeFigures {
        let count = config.nodes.len();
        let mut nodes = NodeFigures {
            hot: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            cold: Vec::with_capacity(count),
            hourly: HourlyRate::default(),
        };
        for (label, spec) in labels.nodes.iter().zip(&config.nodes) {
            nodes.add(label, spec.weight, Time::ZERO, count);
        }
        for node in config.scale.iter().flat_map(ScaleSpec::off_at_start) {
            nodes.hot[node.index()].state = NodeState::Off;
        }
        let paid = nodes.hot.iter().zip(&labels.nodes).filter(|(hot, _)| is_paid(hot.state));
        nodes.hourly = HourlyRate::new(paid.map(|(_, label)| label.hourly).sum());
        nodes
    }

    /// Adds a node, one of so many.
    fn add(&mut self, label: &NodeLabel, weight: u32, at: Time, count: usize) {
        self.hot.push(Hot {
            busy: 0,
            at,
            idle: 0,
            occupied: 0,
            attempts: 0,
            in_flight: 0,
            capacity: label.capacity.unwrap_or(u32::MAX),
            pool: label.pool as u16,
            state: NodeState::Up,
        });
        self.ends.push(Ends { latency: Times::of_node(count), cost: Cost::ZERO });
        let clock = Clock::new(at);
        let (warm, failed, faults, by_hand, kept_in) = ((0, 0), 0, 0, 0, false);
        self.cold.push(Cold { clock, warm, failed, faults, by_hand, kept_in, weight });
    }

    // ----- events -----

    /// Counts the time of a node up to `now`.
    fn pass(&mut self, at: usize, now: Time, warmup: Time) {
        let hot = &mut self.hot[at];
        if hot.at < warmup {
            self.cold[at].warm = hot.used_at(warmup.min(now));
        }
        hot.pass(now, warmup);
    }

    /// An attempt was sent to a node; `counts` if its request came after warm-up.
    pub(super) fn dispatched(&mut self, node: NodeId, now: Time, warmup: Time, counts: bool) {
        self.pass(node.index(), now, warmup);
        let hot = &mut self.hot[node.index()];
        hot.in_flight += 1;
        hot.attempts += u64::from(counts);
    }

    /// An attempt on a node is over.
    pub(super) fn ended(&mut self, node: NodeId, now: Time, warmup: Time) {
        self.pass(node.index(), now, warmup);
        self.hot[node.index()].in_flight -= 1;
    }

    /// The same of a request that came after warm-up: how long it took if it was good, whether it
    /// was bad (one that was given up is neither), and what it cost.
    pub(super) fn counted(&mut self, node: NodeId, took: Option<Span>, bad: bool, cost: Cost) {
        let ends = &mut self.ends[node.index()];
        ends.cost += cost;
        if let Some(took) = took {
            ends.latency.record(took);
        }
        if bad {
            self.cold[node.index()].failed += 1;
        }
    }

    pub(super) fn state(&mut self, node: NodeId, now: Time, labels: &Labels, to: NodeState) {
        self.pass(node.index(), now, labels.warmup);
        let hot = &mut self.hot[node.index()];
        let cold = &mut self.cold[node.index()];
        cold.clock.pass(now, labels.warmup, hot.state);
        cold.kept_in = false;
        if is_paid(hot.state) != is_paid(to) {
            self.hourly.change(now, node, labels.nodes[node.index()].hourly, is_paid(to));
        }
        hot.state = to;
    }

    /// A node was to be ejected, and serves on.
    pub(super) fn kept_in(&mut self, node: NodeId) {
        if let Some(cold) = self.cold.get_mut(node.index()) {
            cold.kept_in = true;
        }
    }

    /// A node joined, or its facts changed.
    pub(super) fn changed(
        &mut self,
        node: NodeId,
        now: Time,
        spec: &NodeSpec,
        labels: &mut Labels,
    ) {
        if node.index() == self.hot.len() {
            let label = NodeLabel {
                name: spec.name.clone(),
                pool: spec.pool.index(),
                tier: spec.tier,
                kind: String::new(),
                capacity: spec.limits.concurrency,
                shares_time: false,
                hourly: spec.hourly,
                prices: spec.prices,
            };
            self.add(&label, spec.weight, now, self.hot.len() + 1);
            self.hourly.change(now, node, label.hourly, true);
            labels.nodes.push(label);
        }
        self.cold[node.index()].weight = spec.weight;
        labels.nodes[node.index()].prices = spec.prices;
    }

    pub(super) fn marked(&mut self, mark: &Mark) {
        for node in &mark.nodes {
            let Some(node) = self.cold.get_mut(node.index()) else {
                continue;
            };
            match mark.phase {
                MarkPhase::Begin if mark.by == MarkBy::Person => node.by_hand += 1,
                MarkPhase::Begin => node.faults += 1,
                // A person ends everything at once that was done by hand.
                MarkPhase::End if mark.by == MarkBy::Person => node.by_hand = 0,
                MarkPhase::End => node.faults = node.faults.saturating_sub(1),
            }
        }
    }

    // ----- questions -----

    pub(super) fn pool(&self, node: NodeId) -> usize {
        usize::from(self.hot[node.index()].pool)
    }

    /// Returns the states of the nodes of a pool.
    pub(super) fn states_in(&self, pool: usize) -> impl Iterator<Item = NodeState> {
        self.hot.iter().filter(move |hot| usize::from(hot.pool) == pool).map(|hot| hot.state)
    }

    pub(super) fn latencies(&self) -> impl Iterator<Item = &Times> {
        self.ends.iter().map(|ends| &ends.latency)
    }

    /// Returns what all nodes cost an hour by being there, in the mean of a span up to `now` of at most
    /// the window.
    pub(super) fn hourly(&self, now: Time, span: Span) -> f64 {
        self.hourly.mean(now, span)
    }

    // ----- result -----

    /// Returns what each node of a pool was paid for.
    pub(super) fn paid_in(
        &self,
        pool: usize,
        end: Time,
        labels: &Labels,
    ) -> impl Iterator<Item = Paid> {
        let of_pool = move |at: &usize| usize::from(self.hot[*at].pool) == pool;
        (0..self.hot.len()).filter(of_pool).map(move |at| self.paid_at(at, end, labels))
    }

    /// The same of one node.
    pub(super) fn paid_at(&self, at: usize, end: Time, labels: &Labels) -> Paid {
        let mut hot = self.hot[at];
        hot.pass(end, labels.warmup);
        let clock = self.cold[at].clock;
        clock.total(end, labels.warmup, hot.state, hot.idle, labels.nodes[at].hourly)
    }

    /// Returns the results of all nodes, which had so many attempts together.
    pub(super) fn summaries(
        &self,
        end: Time,
        labels: &Labels,
        attempts: u64,
        limit: impl Fn(usize) -> Option<LimitSummary>,
    ) -> Vec<NodeSummary> {
        let one = |at: usize| NodeSummary {
            share: share(self.hot[at].attempts, attempts),
            limit: limit(at),
            ..self.summary(at, end, labels)
        };
        (0..self.hot.len()).map(one).collect()
    }

    fn summary(&self, at: usize, end: Time, labels: &Labels) -> NodeSummary {
        let (ends, cold, label) = (&self.ends[at], &self.cold[at], &labels.nodes[at]);
        let span = end.since(labels.warmup);
        // On a copy: a result may be asked for in the middle of a run.
        let (mut hot, mut warm) = (self.hot[at], cold.warm);
        if hot.at < labels.warmup {
            warm = hot.used_at(labels.warmup.min(end.max(hot.at)));
        }
        hot.pass(end, labels.warmup);
        let hours = self.paid_at(at, end, labels);
        let used = (hot.busy - warm.0, hot.occupied - warm.1);
        let NodeUse { utilisation, seats, batch } = NodeUse::of(label, used, span);
        NodeSummary {
            name: label.name.clone(),
            pool: labels.pools[label.pool].clone(),
            share: 0.0,
            attempts: hot.attempts,
            failed: cold.failed,
            utilisation,
            seats,
            batch,
            kv: None,
            kv_max: None,
            latency_s: ends.latency.latency(),
            cost_usd: Costs::of(ends.cost, hours.cost, hot.attempts),
            hours: Some(hours.hours()),
            limit: None,
        }
    }

    /// Jain's index `(sum x)^2 / (n sum x^2)` of attempts per weight (Jain, Chiu and Hawe 1984).
    pub(super) fn fairness(&self) -> Option<f64> {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (hot, cold) in self.hot.iter().zip(&self.cold) {
            let x = hot.attempts as f64 / f64::from(cold.weight);
            count += 1.0;
            sum += x;
            squares += x * x;
        }
        (squares > 0.0).then(|| sum * sum / (count * squares))
    }
}

/// Returns the use of nodes by model, in the order of their first node; nothing where there is one model
/// only.
pub(super) fn by_model(nodes: &[NodeSummary], labels: &Labels) -> Vec<ModelUse> {
    let mut models: Vec<(ModelUse, Vec<f64>)> = Vec::new();
    for (node, label) in nodes.iter().zip(&labels.nodes) {
        let at = models.iter().position(|(one, _)| one.model == label.kind).unwrap_or_else(|| {
            models.push((ModelUse { model: label.kind.clone(), ..ModelUse::default() }, vec![]));
            models.len() - 1
        });
        let (one, used) = &mut models[at];
        one.nodes += 1;
        one.attempts += node.attempts;
        one.failed += node.failed;
        one.cost_usd = one.cost_usd.with(&node.cost_usd, one.attempts);
        used.extend(node.utilisation);
    }
    if models.len() < 2 {
        return Vec::new();
    }
    let mean = |used: &[f64]| used.iter().sum::<f64>() / used.len() as f64;
    let told = models.into_iter().map(|(one, used)| {
        let utilisation = (!used.is_empty()).then(|| mean(&used));
        ModelUse { utilisation, ..one }
    });
    told.collect()
}

//! Hours of nodes: how long each was paid for, and how long of that it did nothing.
//!
//! A node is paid for from the moment it is told to start, or joins, until it is off or gone; what
//! comes before the end of warm-up is left out. It is idle while it is up and has nothing in flight.
//! A node that starts, rests after a 429, is ejected or drains is paid for and is not idle: none of
//! them is spare capacity. Everything is counted in whole nanoseconds, so money is exact.

use super::Labels;
use super::summary::{GroupSummary, Hours};
use crate::balance::{NodeState, ScaleSpec};
use crate::unit::{ClassId, Cost, Span, Time, WorkflowId};

/// Nanoseconds in an hour.
const HOUR: f64 = 3.6e12;

/// Returns whether a node in this state is paid for.
pub(super) const fn is_paid(state: NodeState) -> bool {
    !matches!(state, NodeState::Off | NodeState::Gone)
}

/// How long a node has been paid for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    at: Time,
    paid: u64,
    starting: u64,
}

impl Clock {
    pub(super) const fn new(at: Time) -> Clock {
        Clock { at, paid: 0, starting: 0 }
    }

    /// Counts the time up to now in this state, as far as it is after `from`.
    pub(super) fn pass(&mut self, now: Time, from: Time, state: NodeState) {
        let span = now.since(self.at.max(from)).0;
        self.at = self.at.max(now);
        if !is_paid(state) {
            return;
        }
        self.paid += span;
        if state == NodeState::Starting {
            self.starting += span;
        }
    }

    /// Returns the times up to `end`, where the node is in this state and was idle so long.
    pub(super) fn total(
        mut self,
        end: Time,
        from: Time,
        state: NodeState,
        idle: u64,
        hourly: u64,
    ) -> Paid {
        self.pass(end, from, state);
        let cost = |span: u64| Cost::of_hours(hourly, Span(span));
        Paid {
            paid: u128::from(self.paid),
            starting: u128::from(self.starting),
            idle: u128::from(idle),
            cost: cost(self.paid),
            idle_cost: cost(idle),
        }
    }
}

/// Times and money of some nodes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paid {
    pub(super) paid: u128,
    pub(super) starting: u128,
    pub(super) idle: u128,
    pub(super) cost: Cost,
    pub(super) idle_cost: Cost,
}

impl std::iter::Sum for Paid {
    fn sum<I: Iterator<Item = Paid>>(parts: I) -> Paid {
        parts.fold(Paid::default(), |sum, part| Paid {
            paid: sum.paid + part.paid,
            starting: sum.starting + part.starting,
            idle: sum.idle + part.idle,
            cost: sum.cost + part.cost,
            idle_cost: sum.idle_cost + part.idle_cost,
        })
    }
}

impl Paid {
    pub(super) fn hours(&self) -> Hours {
        Hours {
            node_hours: self.paid as f64 / HOUR,
            starting_hours: self.starting as f64 / HOUR,
            idle_hours: self.idle as f64 / HOUR,
            idle_share: (self.paid > 0).then(|| self.idle as f64 / self.paid as f64),
            idle_usd: self.idle_cost.dollars(),
        }
    }
}

/// The size of a group over time.
#[derive(Clone, Debug)]
struct Sizes {
    spec: ScaleSpec,
    now: u32,
    least: u32,
    most: u32,
    grown: u64,
    shrunk: u64,
}

/// The sizes of groups that grow and shrink.
#[derive(Clone, Debug)]
pub(super) struct GroupSizes(Vec<Sizes>);

impl GroupSizes {
    pub(super) fn new(specs: &[ScaleSpec]) -> GroupSizes {
        let sizes = |spec: &ScaleSpec| {
            let now = spec.start;
            Sizes { spec: spec.clone(), now, least: now, most: now, grown: 0, shrunk: 0 }
        };
        GroupSizes(specs.iter().map(sizes).collect())
    }

    /// Hears of a change of size; the extremes leave out what came before warm-up was over.
    pub(super) fn scaled(&mut self, group: u16, counts: bool, to: u32) {
        let Some(sizes) = self.0.get_mut(usize::from(group)) else { return };
        if counts {
            sizes.grown += u64::from(to > sizes.now);
            sizes.shrunk += u64::from(to < sizes.now);
            sizes.least = sizes.least.min(to);
            sizes.most = sizes.most.max(to);
        } else {
            (sizes.least, sizes.most) = (to, to);
        }
        sizes.now = to;
    }

    /// Returns the results of all groups over a span; `paid` says what a node was paid for.
    pub(super) fn summaries(
        &self,
        labels: &Labels,
        span: Span,
        paid: impl Fn(usize) -> Paid,
    ) -> Vec<GroupSummary> {
        let one = |sizes: &Sizes| {
            let nodes = &sizes.spec.nodes;
            let pool = nodes.first().map(|node| labels.nodes[node.index()].pool);
            let pool = pool.map_or_else(String::new, |pool| labels.pools[pool].clone());
            let paid: Paid = nodes.iter().map(|node| paid(node.index())).sum();
            GroupSummary {
                name: sizes.spec.name.clone(),
                pool,
                nodes_least: sizes.least,
                nodes_mean: paid.paid as f64 / span.0.max(1) as f64,
                nodes_most: sizes.most,
                nodes_last: sizes.now,
                grown: sizes.grown,
                shrunk: sizes.shrunk,
                hours: paid.hours(),
                cost_usd: paid.cost.dollars(),
            }
        };
        self.0.iter().map(one).collect()
    }
}

/// Who used the hours of nodes. The price of a pool's hours is shared out among classes and workflows by
/// the time that their attempts took on its nodes, each node's by its price an hour; idle hours go with
/// it. What nobody used stays with the pool.
#[derive(Clone, Debug, Default)]
pub(super) struct HourShares {
    /// By pool: time of all attempts, weighted. Empty where no node has a price an hour.
    pools: Vec<u128>,
    /// By class and workflow, each by pool.
    classes: Vec<Vec<u128>>,
    workflows: Vec<Vec<u128>>,
}

impl HourShares {
    pub(super) fn new(labels: &Labels) -> HourShares {
        if labels.nodes.iter().all(|node| node.hourly == 0) {
            return HourShares::default();
        }
        let none = vec![0; labels.pools.len()];
        HourShares {
            classes: vec![none.clone(); labels.classes.len()],
            workflows: vec![none.clone(); labels.workflows.len()],
            pools: none,
        }
    }

    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        !self.pools.is_empty()
    }

    /// An attempt took so long on a node of such a price.
    pub(super) fn used(
        &mut self,
        pool: usize,
        class: ClassId,
        workflow: Option<WorkflowId>,
        (took, hourly): (Span, u64),
    ) {
        let weight = u128::from(took.0) * u128::from(hourly);
        self.pools[pool] += weight;
        if let Some(class) = self.classes.get_mut(class.index()) {
            class[pool] += weight;
        }
        let workflow = workflow.and_then(|workflow| self.workflows.get_mut(workflow.index()));
        if let Some(workflow) = workflow {
            workflow[pool] += weight;
        }
    }

    /// Returns a class's share of what the hours of each pool cost.
    pub(super) fn of_class(&self, class: usize, paid: &[Paid]) -> Cost {
        self.part(self.classes.get(class), paid)
    }

    /// Returns a workflow's share of it.
    pub(super) fn of_workflow(&self, workflow: usize, paid: &[Paid]) -> Cost {
        self.part(self.workflows.get(workflow), paid)
    }

    fn part(&self, used: Option<&Vec<u128>>, paid: &[Paid]) -> Cost {
        let by_pool = used.into_iter().flatten().zip(&self.pools).zip(paid);
        let shares = by_pool.filter(|((_, all), _)| **all > 0);
        shares.fold(Cost::ZERO, |sum, ((used, all), paid)| {
            // In floating point, since the product of a price and two times does not fit.
            let share = *used as f64 / *all as f64;
            sum + Cost((paid.cost.0 as f64 * share).round() as u128)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ClassLabel, NodeLabel, WorkflowLabel};

    fn at(second: u64) -> Time {
        Time::ZERO + Span::from_secs(second)
    }

    #[test]
    fn what_is_off_or_gone_is_not_paid_for() {
        let mut clock = Clock::new(at(10));
        clock.pass(at(20), at(0), NodeState::Starting);
        clock.pass(at(50), at(0), NodeState::Up);
        clock.pass(at(60), at(0), NodeState::Off);
        clock.pass(at(70), at(0), NodeState::Gone);
        let paid = clock.total(at(80), at(0), NodeState::Draining, 0, 3_600_000_000);
        assert_eq!((paid.paid, paid.starting), (50_000_000_000, 10_000_000_000));
        assert_eq!(paid.cost.0, 50 * 1_000_000_000_000, "a dollar a second");
    }

    #[test]
    fn hours_are_shared_out_by_the_time_of_attempts_and_their_nodes_prices() {
        let label = |pool, hourly| NodeLabel { pool, hourly, ..NodeLabel::default() };
        let labels = Labels {
            pools: vec!["own".to_owned(), "hosted".to_owned()],
            nodes: vec![label(0, 1_000), label(0, 3_000), label(1, 0)],
            classes: vec![ClassLabel::default(); 2],
            workflows: vec![WorkflowLabel::default()],
            ..Labels::default()
        };
        let mut shares = HourShares::new(&labels);
        let second = Span::from_secs(1);
        shares.used(0, ClassId(0), Some(WorkflowId(0)), (second, 1_000));
        shares.used(0, ClassId(1), None, (second, 3_000));
        shares.used(1, ClassId(1), None, (second, 0));
        let paid = [Paid { cost: Cost(1_000_000), ..Paid::default() }, Paid::default()];
        assert_eq!(shares.of_class(0, &paid), Cost(250_000));
        assert_eq!(shares.of_class(1, &paid), Cost(750_000));
        assert_eq!(shares.of_workflow(0, &paid), Cost(250_000));
        assert!(!HourShares::new(&Labels::default()).is_on(), "nobody is paid by the hour");
    }
}

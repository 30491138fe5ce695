//! Requests by what became of them: all of the run, and after warm-up all, by class, pool and route.

use std::collections::BTreeMap;

use super::group::{Group, RequestTimes};
use crate::balance::{Config, End, Fate, Settled};
use crate::metrics::snapshot::{Figures, GroupRow, NEVER};
use crate::metrics::window::Window;
use crate::metrics::{ClassLabel, Labels, RequestCounts, Slo};
use crate::unit::{ClassId, Cost, Span, Time};

/// What is collected of requests.
#[derive(Clone, Debug)]
pub(super) struct RequestFigures {
    /// Since the start, warm-up included.
    total: RequestCounts,
    waiting: u64,
    all: Group,
    classes: Vec<Group>,
    pools: Vec<Group>,
    /// Empty where routes are not reported.
    routes: Vec<Group>,
    /// How long a request without an answer counts as, by class, and of a class that is not known.
    unanswered: (Vec<Span>, Span),
    /// When the last of those that count came.
    last_arrived: Time,
    /// Why requests had no whole answer.
    unserved: BTreeMap<&'static str, u64>,
}

impl RequestFigures {
    pub(super) fn new(labels: &Labels, config: &Config) -> RequestFigures {
        let total = config.timeouts.total.unwrap_or(NEVER);
        let limit = |class: &ClassLabel| total.min(class.deadline.unwrap_or(NEVER));
        RequestFigures {
            total: RequestCounts::default(),
            waiting: 0,
            last_arrived: Time::ZERO,
            all: Group::new(),
            classes: vec![Group::new(); labels.classes.len()],
            pools: vec![Group::new(); labels.pools.len()],
            routes: vec![Group::new(); labels.routes.len()],
            unanswered: (labels.classes.iter().map(limit).collect(), total),
            unserved: BTreeMap::new(),
        }
    }

    pub(super) fn arrived(&mut self, class: ClassId, counts: bool, now: Time) {
        self.total.arrive();
        if counts {
            self.last_arrived = now;
            self.all.arrive();
            if let Some(class) = self.classes.get_mut(class.index()) {
                class.arrive();
            }
        }
    }

    /// Returns how long requests came that count, which began at `since`.
    pub(super) fn arriving(&self, since: Time) -> Span {
        self.last_arrived.since(since)
    }

    pub(super) const fn queued(&mut self) {
        self.waiting += 1;
    }

    pub(super) fn dispatched(&mut self, queued: bool) {
        self.waiting -= u64::from(queued);
    }

    /// An attempt of a request that counts is over and was paid.
    pub(super) fn spent(&mut self, class: ClassId, pool: usize, cost: Cost) {
        self.pools[pool].spend(cost);
        if let Some(class) = self.classes.get_mut(class.index()) {
            class.spend(cost);
        }
        self.all.spend(cost);
    }

    /// A request has reached its end.
    pub(super) fn left(&mut self, settled: &Settled) {
        self.waiting -= u64::from(settled.queued);
        self.total.settle(&settled.fate);
    }

    /// The same of a request that counts. Its pool is that of its last attempt. Returns whether it kept
    /// what was promised.
    pub(super) fn settled(
        &mut self,
        settled: &Settled,
        times: &RequestTimes,
        pool: Option<usize>,
        labels: &Labels,
    ) -> bool {
        let class = settled.class.index();
        let slo = labels.classes.get(class).map_or(Slo::default(), |class| class.slo);
        let good = settled.fate == Fate::Completed && times.keeps(&slo);
        self.all.settle(settled, times, good);
        if let Some(reason) = reason(&settled.fate) {
            *self.unserved.entry(reason).or_default() += 1;
        }
        if let Some(class) = self.classes.get_mut(class) {
            class.settle(settled, times, good);
        }
        // Pools and routes count a request at its end: before, it may still go elsewhere.
        if let Some(pool) = pool {
            self.pools[pool].arrive();
            self.pools[pool].settle(settled, times, good);
        }
        if let Some(route) = self.routes.get_mut(settled.route.index()) {
            route.arrive();
            route.settle(settled, times, good);
            route.spend(settled.spent);
        }
        good
    }

    pub(super) const fn total(&self) -> RequestCounts {
        self.total
    }

    pub(super) const fn waiting(&self) -> u64 {
        self.waiting
    }

    pub(super) const fn all(&self) -> &Group {
        &self.all
    }

    /// Returns how long a request of a class counts as that has no answer: until it had failed for sure.
    pub(super) fn unanswered(&self, class: usize) -> Span {
        let (by_class, other) = &self.unanswered;
        by_class.get(class).copied().unwrap_or(*other)
    }

    /// Returns a quantile of the latency of all that were not cancelled, whether they have an answer or not.
    pub(super) fn quantile_of_all(&self, quantile: f64) -> Option<Span> {
        let mut without: BTreeMap<Span, u64> = BTreeMap::new();
        for (at, class) in self.classes.iter().enumerate() {
            *without.entry(self.unanswered(at)).or_default() += class.requests().errors();
        }
        let requests = self.all.requests();
        if requests.completed + requests.errors() == 0 {
            return None;
        }
        let of_classes: u64 = without.values().sum();
        *without.entry(self.unanswered.1).or_default() += requests.errors() - of_classes;
        let (completed, all) = (requests.completed, requests.completed + requests.errors());
        let wanted = ((quantile * all as f64).ceil() as u64).max(1);
        let mut below = 0;
        let latency = |rank: u64| self.all.latency.quantile(rank as f64 / completed.max(1) as f64);
        // Between two deadlines only completed ones are added.
        for (deadline, count) in without {
            if wanted - below <= completed
                && let Some(found) = latency(wanted - below).filter(|found| *found <= deadline)
            {
                return Some(found);
            }
            below += count;
            if below >= wanted
                || (wanted - below <= completed && latency(wanted - below)? <= deadline)
            {
                return Some(deadline);
            }
        }
        (below < wanted).then(|| latency(wanted - below)).flatten()
    }

    /// Returns a row for each class, for a window that has expired to `now`.
    pub(super) fn class_rows(&self, now: Time, labels: &Labels, window: &Window) -> Vec<GroupRow> {
        let told = window.classes(now, labels.classes.len()).into_iter();
        let classes = told.zip(&labels.classes).zip(&self.classes);
        let row = |((window, label), group): ((Figures, &ClassLabel), &Group)| GroupRow {
            name: label.name.clone(),
            slo: label.slo,
            window,
            requests: group.requests(),
        };
        classes.map(row).collect()
    }

    pub(super) fn classes(&self) -> &[Group] {
        &self.classes
    }

    pub(super) fn pools(&self) -> &[Group] {
        &self.pools
    }

    pub(super) fn routes(&self) -> &[Group] {
        &self.routes
    }

    pub(super) const fn unserved(&self) -> &BTreeMap<&'static str, u64> {
        &self.unserved
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::times::Times;

    /// So many were completed, in 1 ms, 2 ms and so on; others had no answer.
    fn figures(completed: u64, bad: &[(usize, u64)], total: Option<Span>) -> RequestFigures {
        let deadline = |seconds| ClassLabel {
            deadline: Some(Span::from_secs(seconds)),
            ..ClassLabel::default()
        };
        let classes = vec![deadline(1), deadline(5), ClassLabel::default()];
        let labels = Labels { classes, ..Labels::default() };
        let mut config = Config::new(Vec::new(), Vec::new(), Vec::new());
        config.timeouts.total = total;
        let mut figures = RequestFigures::new(&labels, &config);
        let mut latency = Times::of_run();
        (1..=completed).for_each(|millis| latency.record(Span::from_millis(millis)));
        figures.all.latency = latency;
        let fate = Fate::Failed(End::RateLimited);
        for (class, count) in bad {
            for _ in 0..*count {
                figures.arrived(ClassId(*class as u16), true, Time::ZERO);
                figures.all.count_for_test(&fate);
                figures.classes[*class].count_for_test(&fate);
            }
        }
        for _ in 0..completed {
            figures.all.arrive();
            figures.all.count_for_test(&Fate::Completed);
        }
        figures
    }

    #[test]
    fn who_had_no_answer_counts_as_long_as_its_deadline() {
        let seconds = |figures: &RequestFigures, quantile| {
            figures.quantile_of_all(quantile).map(|span| (span.seconds() * 100.0).round() / 100.0)
        };
        let none = figures(1_000, &[], None);
        assert_eq!(seconds(&none, 0.99), Some(0.99), "all were served");
        let half = figures(1_000, &[(0, 500), (1, 500)], None);
        assert_eq!(seconds(&half, 0.25), Some(0.5));
        assert_eq!(seconds(&half, 0.6), Some(1.0));
        assert_eq!(seconds(&half, 0.99), Some(5.0));
        let early = figures(2_000, &[(0, 1_000)], None);
        assert_eq!(seconds(&early, 0.9), Some(1.7), "1,000 of 1 s among those of 2 s");
        assert_eq!(early.quantile_of_all(0.4).map(|it| it.seconds().round()), Some(1.0));
        let never = figures(90, &[(2, 10)], None);
        assert_eq!(never.quantile_of_all(0.99), Some(NEVER));
        let limit = figures(90, &[(2, 10)], Some(Span::from_secs(30)));
        assert_eq!(seconds(&limit, 0.99), Some(30.0));
        assert_eq!(figures(0, &[], None).quantile_of_all(0.99), None);
    }
}

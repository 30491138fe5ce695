//! Requests by what became of them: all of the run, and after warm-up all, by class, pool and route.

use std::collections::BTreeMap;

use super::group::{Group, RequestTimes};
use crate::balance::{End, Fate, Settled};
use crate::metrics::{Labels, RequestCounts, Slo};
use crate::unit::{ClassId, Cost};

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
    /// Why requests had no whole answer.
    unserved: BTreeMap<&'static str, u64>,
}

impl RequestFigures {
    pub(super) fn new(labels: &Labels) -> RequestFigures {
        RequestFigures {
            total: RequestCounts::default(),
            waiting: 0,
            all: Group::new(),
            classes: vec![Group::new(); labels.classes.len()],
            pools: vec![Group::new(); labels.pools.len()],
            routes: vec![Group::new(); labels.routes.len()],
            unserved: BTreeMap::new(),
        }
    }

    pub(super) fn arrived(&mut self, class: ClassId, counts: bool) {
        self.total.arrive();
        if counts {
            self.all.arrive();
            if let Some(class) = self.classes.get_mut(class.index()) {
                class.arrive();
            }
        }
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

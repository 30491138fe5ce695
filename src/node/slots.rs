//! Slots: a fixed number of servers with a bounded queue in front (M/G/k with k servers).
//!
//! An attempt takes a free server or waits its turn, first come first served; its service time is
//! drawn from one law. There are no tokens on the way: the answer comes whole. A full queue answers
//! 503 at once. This is the node that queueing theory has closed forms for. Attempts that come as a
//! batch are one job: one server, one draw of the service time and a constant for each further
//! attempt, and all end together.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::jobs::{JobKey, JobStage, RunningJobs, Task};
use super::{ERROR_AFTER, FaultEffects, Rank, Scheduled, Scheduler, Slowdown, Work};
use crate::balance::{Attempt, Failure, Input, NodeReport, Outcome, Usage};
use crate::dist::Dist;
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time};

/// A node of servers.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotsSpec {
    /// Attempts worked on at a time; at least one.
    pub servers: u32,
    /// At most so many wait.
    pub queue: u32,
    /// Seconds of service.
    pub service: Dist,
    /// Time that each further attempt of a batch adds to it.
    pub per_item: Span,
}

/// The one stage of a job here: answers come whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole;

impl JobStage for Whole {
    fn has_begun(&self) -> bool {
        false
    }
}

/// The attempts of batches after the first of each, by number of the batch. In a box, since few nodes
/// get batches.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "one word of a cache line instead of three")]
struct Followers(Option<Box<BTreeMap<u64, Vec<Task>>>>);

impl Followers {
    fn push(&mut self, batch: u64, task: Task) {
        self.0.get_or_insert_default().entry(batch).or_default().push(task);
    }

    /// Takes the attempts that are one job with this one.
    fn take(&mut self, first: &Task) -> Vec<Task> {
        let of = |batch| self.0.as_mut()?.remove(&batch);
        first.batch().and_then(of).unwrap_or_default()
    }

    /// Takes the attempt that goes on in the place of the first of a batch.
    fn heir(&mut self, first: &Task) -> Option<Task> {
        let all = self.0.as_mut()?.get_mut(&first.batch()?)?;
        (!all.is_empty()).then(|| all.remove(0))
    }

    /// Removes an attempt. Returns whether it was here.
    fn remove(&mut self, attempt: Attempt) -> bool {
        let mut all = self.0.iter_mut().flat_map(|all| all.values_mut());
        all.any(|tasks| {
            let place = tasks.iter().position(|task| task.attempt() == attempt);
            place.map(|place| tasks.remove(place)).is_some()
        })
    }

    fn clear(&mut self) -> impl Iterator<Item = Task> + use<> {
        self.0.take().into_iter().flat_map(|all| all.into_values().flatten())
    }
}

#[derive(Debug)]
pub(super) struct Slots {
    /// Shared by the nodes of a kind: a law is large, and all of them ask for the same.
    spec: Arc<SlotsSpec>,
    /// Servers there are now.
    servers: u32,
    running: RunningJobs<Whole>,
    /// Attempts that wait, and how long each will take.
    queue: VecDeque<(Task, Span)>,
    followers: Followers,
}

impl Slots {
    pub(super) fn new(node: NodeId, spec: Arc<SlotsSpec>) -> Slots {
        let servers = spec.servers;
        let (queue, followers) = (VecDeque::new(), Followers::default());
        Slots { spec, servers, running: RunningJobs::new(node), queue, followers }
    }

    /// Returns its spec, for others of its kind.
    pub(super) const fn spec(&self) -> &Arc<SlotsSpec> {
        &self.spec
    }

    pub(super) fn start(
        &mut self,
        now: Time,
        work: &Work,
        stretch: f64,
        rng: &mut Rng,
        scheduler: &mut impl Scheduler,
    ) {
        let task = Task::from(work);
        if self.join(now, task, scheduler) {
            return;
        }
        let service = Slowdown::scale(self.service(rng), stretch);
        if self.running.len() < self.servers as usize {
            self.begin(now, task, service, scheduler);
        } else if self.queue.len() < self.spec.queue as usize {
            self.queue.push_back((task, service));
        } else {
            let full = Outcome::Failed(Failure::Overloaded, Usage::default());
            scheduler.schedule(
                now + ERROR_AFTER,
                Rank::Finish,
                Scheduled::Finish(work.attempt, full),
            );
        }
    }

    pub(super) fn report(&self) -> NodeReport {
        let (running, waiting) = (self.running.len() as u32, self.queue.len() as u32);
        NodeReport { running, waiting, ..NodeReport::default() }
    }

    /// Returns when a new attempt would be whole, in seconds from now, behind `before` others that
    /// are on their way; `None` if it would fail. What it takes is `service`, drawn already, as
    /// theirs is. First come, first served: nobody loses by it.
    pub(super) fn outlook(&self, now: Time, before: &[Span], service: Span) -> Option<f64> {
        let slow = self.running.moves()?.first;
        let seconds = |span: &Span| span.seconds() * slow;
        let (busy, servers) = (self.running.len(), self.servers as usize);
        let waiting = self.queue.iter().map(|(_, service)| service).chain(before);
        let ahead = waiting.clone().count();
        if ahead >= servers.saturating_sub(busy) + self.spec.queue as usize {
            return None;
        }
        let mut free: Vec<f64> =
            self.running.jobs().map(|job| self.running.left(now, job).seconds()).collect();
        // While more are in service than there are servers, whoever ends first frees none.
        free.sort_by(f64::total_cmp);
        free.drain(..busy.saturating_sub(servers));
        // Of servers without end no more than may be used.
        free.resize(servers.min(free.len() + ahead + 1), 0.0);
        for service in waiting {
            let first = free.iter_mut().min_by(|a, b| a.total_cmp(b))?;
            *first += seconds(service);
        }
        let first = free.iter().copied().min_by(f64::total_cmp)?;
        Some(first + seconds(&service))
    }

    /// Draws what an attempt takes, as [`Slots::start`] will.
    pub(super) fn service(&self, rng: &mut Rng) -> Span {
        Span::from_seconds(self.spec.service.sample(rng))
    }

    fn begin(&mut self, now: Time, task: Task, service: Span, scheduler: &mut impl Scheduler) {
        self.running.begin(now, task, Whole, service, Rank::Finish, scheduler);
    }

    /// Adds an attempt to the job of its batch. Returns whether there is one.
    fn join(&mut self, now: Time, task: Task, scheduler: &mut impl Scheduler) -> bool {
        let Some(batch) = task.batch() else {
            return false;
        };
        // All of a batch come one after the other, so its job is the last in the queue or in service.
        if let Some((first, service)) = self.queue.back_mut()
            && first.batch() == Some(batch)
        {
            *service += self.spec.per_item;
        } else if let Some(key) = self.running.of_batch(batch) {
            self.running.prolong(now, key, self.spec.per_item, Rank::Finish, scheduler);
        } else {
            return false;
        }
        self.followers.push(batch, task);
        true
    }

    pub(super) fn fire(
        &mut self,
        now: Time,
        job: JobKey,
        turn: u32,
        scheduler: &mut impl Scheduler,
    ) -> Option<Input> {
        let task = self.running.current(job, turn)?.task;
        self.running.end(job);
        for other in self.followers.take(&task) {
            let done = Outcome::Done(other.usage());
            scheduler.schedule(now, Rank::Finish, Scheduled::Finish(other.attempt(), done));
        }
        self.serve_next(now, scheduler);
        Some(Input::Finish(task.attempt(), Outcome::Done(task.usage())))
    }

    fn serve_next(&mut self, now: Time, scheduler: &mut impl Scheduler) {
        if self.running.len() < self.servers as usize
            && let Some((task, service)) = self.queue.pop_front()
        {
            self.begin(now, task, service, scheduler);
        }
    }

    pub(super) fn abort(
        &mut self,
        now: Time,
        attempt: Attempt,
        scheduler: &mut impl Scheduler,
    ) -> Option<Usage> {
        if self.followers.remove(attempt) {
            return Some(Usage::default());
        }
        if let Some(place) = self.queue.iter().position(|(task, _)| task.attempt() == attempt) {
            match self.followers.heir(&self.queue[place].0) {
                Some(heir) => self.queue[place].0 = heir,
                None => drop(self.queue.remove(place)),
            }
            return Some(Usage::default());
        }
        let (job, this) = self.running.find(attempt)?;
        if let Some(heir) = self.followers.heir(&this.task) {
            // The server goes on with the others of the batch.
            self.running.hand_over(job, heir);
        } else {
            self.followers.take(&this.task);
            self.running.end(job);
            self.serve_next(now, scheduler);
        }
        Some(Usage::default())
    }

    pub(super) fn apply_faults(
        &mut self,
        now: Time,
        effects: &FaultEffects,
        scheduler: &mut impl Scheduler,
    ) {
        if effects.reset {
            let working = self.running.clear();
            let waiting = self.queue.drain(..).map(|(task, _)| task);
            let followers = self.followers.clear();
            for task in working.iter().map(|job| job.task).chain(waiting).chain(followers) {
                let reset = Outcome::Failed(Failure::Reset, Usage::default());
                scheduler.schedule(now, Rank::Finish, Scheduled::Finish(task.attempt(), reset));
            }
        }
        self.running.slow_down(now, effects.slowdown, effects.hangs, |_| Rank::Finish, scheduler);
        self.servers = effects.limits.concurrency.unwrap_or(self.spec.servers);
        while self.running.len() < self.servers as usize && !self.queue.is_empty() {
            self.serve_next(now, scheduler);
        }
    }
}

//! Jobs in progress on one node, which faults may slow down or freeze.
//!
//! Each job has one milestone ahead. When the node slows down or freezes, milestones move; the old
//! entries of the agenda stay, and the job's `turn` tells them from the current one.

use slotmap::{SlotMap, new_key_type};

use super::{Rank, Scheduled, Scheduler, Slowdown, Work};
use crate::balance::Attempt;
use crate::unit::{NodeId, Span, Time};

new_key_type! {
    /// Names a job in progress on a node.
    pub struct JobKey;
}

/// A job and its next milestone.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunningJob<S> {
    pub(super) work: Work,
    pub(super) stage: S,
    /// When the milestone is reached; meaningless while frozen.
    due: Time,
    /// What is left to the milestone while frozen.
    left: Span,
    turn: u32,
}

/// How far a job has come.
pub(super) trait JobStage: Copy {
    /// Returns whether its first token has come.
    fn has_begun(&self) -> bool;
}

/// The jobs in progress on a node.
#[derive(Debug)]
pub(super) struct RunningJobs<S> {
    node: NodeId,
    jobs: SlotMap<JobKey, RunningJob<S>>,
    slowdown: Slowdown,
    frozen: bool,
}

impl<S: JobStage> RunningJobs<S> {
    pub(super) fn new(node: NodeId) -> RunningJobs<S> {
        RunningJobs { node, jobs: SlotMap::with_key(), slowdown: Slowdown::NORMAL, frozen: false }
    }

    /// How many times as long a job at this stage takes to its milestone.
    fn slow(&self, stage: &S) -> f64 {
        if stage.has_begun() { self.slowdown.further } else { self.slowdown.first }
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Returns how slow it is; `None` while nothing moves.
    pub(super) fn moves(&self) -> Option<Slowdown> {
        (!self.frozen).then_some(self.slowdown)
    }

    /// Begins a job whose first milestone is `ahead` at normal slowdown.
    pub(super) fn begin(
        &mut self,
        now: Time,
        work: Work,
        stage: S,
        ahead: Span,
        rank: Rank,
        scheduler: &mut impl Scheduler,
    ) {
        let job = RunningJob { work, stage, due: Time::ZERO, left: Span::ZERO, turn: 0 };
        let key = self.jobs.insert(job);
        self.schedule(now, key, ahead, rank, scheduler);
    }

    /// Sets the next milestone `ahead` at normal slowdown.
    pub(super) fn schedule(
        &mut self,
        now: Time,
        key: JobKey,
        ahead: Span,
        rank: Rank,
        scheduler: &mut impl Scheduler,
    ) {
        let ahead = Slowdown::scale(ahead, self.slow(&self.jobs[key].stage));
        self.set(now, key, ahead, rank, scheduler);
    }

    /// Sets the next milestone `ahead` on the clock.
    fn set(
        &mut self,
        now: Time,
        key: JobKey,
        ahead: Span,
        rank: Rank,
        scheduler: &mut impl Scheduler,
    ) {
        let job = &mut self.jobs[key];
        job.turn += 1;
        if self.frozen {
            job.left = ahead;
        } else {
            job.due = now + ahead;
            scheduler.schedule(job.due, rank, Scheduled::Job(self.node, key, job.turn));
        }
    }

    /// Returns the job if this turn is its current one.
    pub(super) fn current(&mut self, key: JobKey, turn: u32) -> Option<&mut RunningJob<S>> {
        self.jobs.get_mut(key).filter(|job| job.turn == turn)
    }

    pub(super) fn end(&mut self, key: JobKey) {
        self.jobs.remove(key);
    }

    /// Returns a job in such a stage, if there is one.
    pub(super) fn in_stage(&self, which: impl Fn(&S) -> bool) -> Option<JobKey> {
        self.jobs.iter().find(|(_, job)| which(&job.stage)).map(|(key, _)| key)
    }

    /// Moves a job's milestone away by `more` at normal slowdown.
    pub(super) fn prolong(
        &mut self,
        now: Time,
        key: JobKey,
        more: Span,
        rank: Rank,
        scheduler: &mut impl Scheduler,
    ) {
        if more > Span::ZERO {
            let left = self.left(now, &self.jobs[key]);
            let more = more.scale(self.slow(&self.jobs[key].stage));
            self.set(now, key, left + more, rank, scheduler);
        }
    }

    /// The job goes on as another attempt's.
    pub(super) fn hand_over(&mut self, key: JobKey, work: Work) {
        self.jobs[key].work = work;
    }

    /// Returns the job of this attempt.
    pub(super) fn find(&self, attempt: Attempt) -> Option<(JobKey, RunningJob<S>)> {
        self.jobs.iter().find(|(_, job)| job.work.attempt == attempt).map(|(key, job)| (key, *job))
    }

    /// Returns what is left to the job's milestone, at the pace of now.
    pub(super) fn left(&self, now: Time, job: &RunningJob<S>) -> Span {
        if self.frozen { job.left } else { job.due.since(now) }
    }

    /// Returns how long the way to the job's milestone would take at normal slowdown.
    pub(super) fn left_at_normal_pace(&self, now: Time, job: &RunningJob<S>) -> Span {
        self.left(now, job).scale(1.0 / self.slow(&job.stage))
    }

    /// Ends every job and returns them in the order of their keys.
    pub(super) fn clear(&mut self) -> Vec<RunningJob<S>> {
        self.jobs.drain().map(|(_, job)| job).collect()
    }

    /// Changes how slow the node is, and moves every milestone accordingly. `rank` tells the rank of a stage.
    pub(super) fn slow_down(
        &mut self,
        now: Time,
        slowdown: Slowdown,
        frozen: bool,
        rank: impl Fn(&S) -> Rank,
        scheduler: &mut impl Scheduler,
    ) {
        let before = std::mem::replace(&mut self.slowdown, slowdown);
        let same = frozen == self.frozen && before == slowdown;
        if same {
            return;
        }
        let keys: Vec<JobKey> = self.jobs.keys().collect();
        let lefts: Vec<Span> = keys.iter().map(|&key| self.left(now, &self.jobs[key])).collect();
        self.frozen = frozen;
        for (key, left) in keys.into_iter().zip(lefts) {
            let stage = &self.jobs[key].stage;
            let stretch = match stage.has_begun() {
                true => slowdown.further / before.further,
                false => slowdown.first / before.first,
            };
            let rank = rank(stage);
            self.set(now, key, left.scale(stretch), rank, scheduler);
        }
    }

    /// Returns the jobs in such a stage, with their current turn.
    pub(super) fn turns(&self, which: impl Fn(&S) -> bool) -> Vec<(JobKey, u32)> {
        let jobs = self.jobs.iter().filter(|(_, job)| which(&job.stage));
        jobs.map(|(key, job)| (key, job.turn)).collect()
    }

    /// Returns every job.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &RunningJob<S>> {
        self.jobs.values()
    }
}

//! Jobs in progress on one node, under a pace that faults may change.
//!
//! Each job has one milestone ahead. When the node slows down or freezes, milestones move; the old
//! entries of the agenda stay, and the job's `turn` tells them from the current one.

use slotmap::{SlotMap, new_key_type};

use super::{Diary, Due, Rank, Work};
use crate::balance::Attempt;
use crate::unit::{NodeId, Span, Time};

new_key_type! {
    /// Names a job in progress on a node.
    pub struct JobKey;
}

/// A job and its next milestone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<S> {
    pub(super) work: Work,
    pub(super) stage: S,
    /// When the milestone is reached; meaningless while frozen.
    due: Time,
    /// What is left to the milestone while frozen.
    left: Span,
    turn: u32,
}

/// The jobs in progress on a node.
#[derive(Debug)]
pub(super) struct Bench<S> {
    node: NodeId,
    jobs: SlotMap<JobKey, Job<S>>,
    /// Everything takes so many times as long.
    slow: f64,
    frozen: bool,
}

impl<S: Copy> Bench<S> {
    pub(super) fn new(node: NodeId) -> Bench<S> {
        Bench { node, jobs: SlotMap::with_key(), slow: 1.0, frozen: false }
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Returns how many times as long everything takes; `None` while nothing moves.
    pub(super) fn slow(&self) -> Option<f64> {
        (!self.frozen).then_some(self.slow)
    }

    /// Begins a job whose first milestone is `ahead` at normal pace.
    pub(super) fn begin(
        &mut self,
        now: Time,
        work: Work,
        stage: S,
        ahead: Span,
        rank: Rank,
        diary: &mut impl Diary,
    ) {
        let job = Job { work, stage, due: Time::ZERO, left: Span::ZERO, turn: 0 };
        let key = self.jobs.insert(job);
        self.schedule(now, key, ahead, rank, diary);
    }

    /// Sets the next milestone `ahead` at normal pace.
    pub(super) fn schedule(
        &mut self,
        now: Time,
        key: JobKey,
        ahead: Span,
        rank: Rank,
        diary: &mut impl Diary,
    ) {
        // Exactly as drawn at normal pace: scaling by one must not round.
        let normal = self.slow.total_cmp(&1.0).is_eq();
        let ahead = if normal { ahead } else { ahead.scale(self.slow) };
        self.set(now, key, ahead, rank, diary);
    }

    /// Sets the next milestone `ahead` on the clock.
    fn set(&mut self, now: Time, key: JobKey, ahead: Span, rank: Rank, diary: &mut impl Diary) {
        let job = &mut self.jobs[key];
        job.turn += 1;
        if self.frozen {
            job.left = ahead;
        } else {
            job.due = now + ahead;
            diary.enter(job.due, rank, Due::Job(self.node, key, job.turn));
        }
    }

    /// Returns the job if this turn is its current one.
    pub(super) fn current(&mut self, key: JobKey, turn: u32) -> Option<&mut Job<S>> {
        self.jobs.get_mut(key).filter(|job| job.turn == turn)
    }

    pub(super) fn end(&mut self, key: JobKey) {
        self.jobs.remove(key);
    }

    /// Returns a job in such a stage, if there is one.
    pub(super) fn in_stage(&self, which: impl Fn(&S) -> bool) -> Option<JobKey> {
        self.jobs.iter().find(|(_, job)| which(&job.stage)).map(|(key, _)| key)
    }

    /// Moves a job's milestone away by `more` at normal pace.
    pub(super) fn prolong(
        &mut self,
        now: Time,
        key: JobKey,
        more: Span,
        rank: Rank,
        diary: &mut impl Diary,
    ) {
        if more > Span::ZERO {
            let left = self.left(now, &self.jobs[key]);
            self.set(now, key, left + more.scale(self.slow), rank, diary);
        }
    }

    /// The job goes on as another attempt's.
    pub(super) fn hand_over(&mut self, key: JobKey, work: Work) {
        self.jobs[key].work = work;
    }

    /// Returns the job of this attempt.
    pub(super) fn find(&self, attempt: Attempt) -> Option<(JobKey, Job<S>)> {
        self.jobs.iter().find(|(_, job)| job.work.attempt == attempt).map(|(key, job)| (key, *job))
    }

    /// Returns what is left to the job's milestone, at the pace of now.
    pub(super) fn left(&self, now: Time, job: &Job<S>) -> Span {
        if self.frozen { job.left } else { job.due.since(now) }
    }

    /// Returns how long the way to the job's milestone would take at normal pace.
    pub(super) fn left_at_normal_pace(&self, now: Time, job: &Job<S>) -> Span {
        self.left(now, job).scale(1.0 / self.slow)
    }

    /// Ends every job and returns them in the order of their keys.
    pub(super) fn clear(&mut self) -> Vec<Job<S>> {
        self.jobs.drain().map(|(_, job)| job).collect()
    }

    /// Changes pace, and moves every milestone accordingly. `rank` tells the rank of a stage.
    pub(super) fn pace(
        &mut self,
        now: Time,
        slow: f64,
        frozen: bool,
        rank: impl Fn(&S) -> Rank,
        diary: &mut impl Diary,
    ) {
        let stretch = slow / self.slow;
        let keys: Vec<JobKey> = self.jobs.keys().collect();
        let lefts: Vec<Span> = keys.iter().map(|&key| self.left(now, &self.jobs[key])).collect();
        let same = frozen == self.frozen && stretch.total_cmp(&1.0).is_eq();
        self.slow = slow;
        self.frozen = frozen;
        if same {
            return;
        }
        for (key, left) in keys.into_iter().zip(lefts) {
            let rank = rank(&self.jobs[key].stage);
            self.set(now, key, left.scale(stretch), rank, diary);
        }
    }

    /// Returns the jobs in such a stage, with their current turn.
    pub(super) fn turns(&self, which: impl Fn(&S) -> bool) -> Vec<(JobKey, u32)> {
        let jobs = self.jobs.iter().filter(|(_, job)| which(&job.stage));
        jobs.map(|(key, job)| (key, job.turn)).collect()
    }

    /// Returns every job.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job<S>> {
        self.jobs.values()
    }
}

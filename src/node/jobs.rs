//! Jobs in progress on one node, which faults may slow down or freeze.
//!
//! Each job has one milestone ahead. When the node slows down or freezes, milestones move; the old
//! entries of the agenda stay, and the job's `turn` tells them from the current one.
//!
//! In a large fleet a node has been out of the cache for long when something happens to it again, so
//! what a node has of a job is one cache line, and the lines of a node lie side by side.

use slotmap::{Key as _, KeyData, new_key_type};

use super::{Rank, Scheduled, Scheduler, Slowdown, Work};
use crate::balance::{Attempt, Usage};
use crate::unit::{NodeId, RequestId, Span, Time, Tokens};

new_key_type! {
    /// Names a job in progress on a node.
    pub struct JobKey;
}

/// What a node keeps of an attempt once everything about it is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    request: RequestId,
    pub(super) prompt: Tokens,
    pub(super) output: Tokens,
    /// The number of its batch, zero without one, and in the last byte which try of its request it is.
    batch_and_ordinal: u64,
}

impl From<&Work> for Task {
    fn from(work: &Work) -> Task {
        let Attempt { request, ordinal } = work.attempt;
        let batch = work.batch.map_or(0, |batch| batch.number);
        let batch_and_ordinal = batch << 8 | u64::from(ordinal);
        Task { request, prompt: work.prompt, output: work.truth.output, batch_and_ordinal }
    }
}

impl Task {
    pub(super) const fn attempt(&self) -> Attempt {
        Attempt { request: self.request, ordinal: self.batch_and_ordinal as u8 }
    }

    /// The number of its batch. Batches are numbered from one.
    pub(super) fn batch(&self) -> Option<u64> {
        Some(self.batch_and_ordinal >> 8).filter(|batch| *batch > 0)
    }

    /// What it uses if it is served whole.
    pub(super) const fn usage(&self) -> Usage {
        Usage { input: self.prompt, cached: Tokens::ZERO, output: self.output, estimated: false }
    }
}

/// A job and its next milestone: a cache line.
#[repr(align(64))]
#[derive(Clone, Copy, Debug)]
pub(super) struct RunningJob<S> {
    pub(super) task: Task,
    pub(super) stage: S,
    /// When the milestone is reached; while frozen, what is left to it.
    milestone: u64,
    /// The number of the milestone, over all jobs that have had this place.
    turn: u32,
    is_on: bool,
}

/// How far a job has come.
pub(super) trait JobStage: Copy {
    /// Returns whether its first token has come.
    fn has_begun(&self) -> bool;
}

/// How slow a node is, where it is not as usual.
#[derive(Clone, Copy, Debug)]
struct Drag {
    slowdown: Slowdown,
    frozen: bool,
}

/// No place.
const NONE: u32 = u32::MAX;

/// The jobs in progress on a node.
#[derive(Debug)]
pub(super) struct RunningJobs<S> {
    /// By place. Those that are off are a list, each with the next one as its milestone.
    jobs: Vec<RunningJob<S>>,
    /// `None` while it is neither slow nor frozen.
    drag: Option<Box<Drag>>,
    node: NodeId,
    count: u32,
    /// The first place without a job, the last one that became free.
    free: u32,
}

fn key(place: usize) -> JobKey {
    JobKey::from(KeyData::from_ffi(1 << 32 | place as u64))
}

fn place(key: JobKey) -> usize {
    key.data().as_ffi() as u32 as usize
}

impl<S: JobStage> RunningJobs<S> {
    pub(super) const fn new(node: NodeId) -> RunningJobs<S> {
        RunningJobs { jobs: Vec::new(), drag: None, node, count: 0, free: NONE }
    }

    fn drag(&self) -> Drag {
        self.drag.as_deref().copied().unwrap_or(Drag { slowdown: Slowdown::NORMAL, frozen: false })
    }

    /// How many times as long a job at this stage takes to its milestone.
    fn slow(&self, stage: &S) -> f64 {
        let Some(drag) = &self.drag else { return 1.0 };
        if stage.has_begun() { drag.slowdown.further } else { drag.slowdown.first }
    }

    fn is_frozen(&self) -> bool {
        self.drag.as_ref().is_some_and(|drag| drag.frozen)
    }

    pub(super) const fn len(&self) -> usize {
        self.count as usize
    }

    /// Returns how slow it is; `None` while nothing moves.
    pub(super) fn moves(&self) -> Option<Slowdown> {
        let drag = self.drag();
        (!drag.frozen).then_some(drag.slowdown)
    }

    /// Begins a job whose first milestone is `ahead` at normal pace.
    pub(super) fn begin(
        &mut self,
        now: Time,
        task: Task,
        stage: S,
        ahead: Span,
        rank: Rank,
        scheduler: &mut impl Scheduler,
    ) {
        let place = self.free;
        let mut job = RunningJob { task, stage, milestone: 0, turn: 0, is_on: true };
        let place = if place == NONE {
            self.jobs.push(job);
            self.jobs.len() - 1
        } else {
            let before = &mut self.jobs[place as usize];
            self.free = before.milestone as u32;
            job.turn = before.turn;
            *before = job;
            place as usize
        };
        self.count += 1;
        self.schedule(now, key(place), ahead, rank, scheduler);
    }

    /// Sets the next milestone `ahead` at normal pace.
    pub(super) fn schedule(
        &mut self,
        now: Time,
        key: JobKey,
        ahead: Span,
        rank: Rank,
        scheduler: &mut impl Scheduler,
    ) {
        let place = place(key);
        let ahead = Slowdown::scale(ahead, self.slow(&self.jobs[place].stage));
        self.set(now, place, ahead, rank, scheduler);
    }

    /// Sets the next milestone `ahead` on the clock.
    fn set(
        &mut self,
        now: Time,
        place: usize,
        ahead: Span,
        rank: Rank,
        scheduler: &mut impl Scheduler,
    ) {
        let frozen = self.is_frozen();
        let job = &mut self.jobs[place];
        job.turn = job.turn.wrapping_add(1);
        if frozen {
            job.milestone = ahead.0;
        } else {
            let at = now + ahead;
            job.milestone = at.0;
            scheduler.schedule(at, rank, Scheduled::Job(self.node, key(place), job.turn));
        }
    }

    /// Returns the job if this turn is its current one.
    pub(super) fn current(&mut self, key: JobKey, turn: u32) -> Option<&mut RunningJob<S>> {
        self.jobs.get_mut(place(key)).filter(|job| job.is_on && job.turn == turn)
    }

    /// Ends a job.
    pub(super) fn end(&mut self, key: JobKey) {
        let job = &mut self.jobs[place(key)];
        job.is_on = false;
        job.milestone = u64::from(self.free);
        self.free = place(key) as u32;
        self.count -= 1;
    }

    fn on(&self) -> impl Iterator<Item = (usize, &RunningJob<S>)> {
        self.jobs.iter().enumerate().filter(|(_, job)| job.is_on)
    }

    /// Returns the job of this batch, if there is one.
    pub(super) fn of_batch(&self, batch: u64) -> Option<JobKey> {
        self.on().find(|(_, job)| job.task.batch() == Some(batch)).map(|(place, _)| key(place))
    }

    /// Moves a job's milestone away by `more` at normal pace.
    pub(super) fn prolong(
        &mut self,
        now: Time,
        key: JobKey,
        more: Span,
        rank: Rank,
        scheduler: &mut impl Scheduler,
    ) {
        if more > Span::ZERO {
            let job = &self.jobs[place(key)];
            let left = self.left(now, job);
            let more = more.scale(self.slow(&job.stage));
            self.set(now, place(key), left + more, rank, scheduler);
        }
    }

    /// The job goes on as another attempt's.
    pub(super) fn hand_over(&mut self, key: JobKey, task: Task) {
        self.jobs[place(key)].task = task;
    }

    /// Returns the job of this attempt.
    pub(super) fn find(&self, attempt: Attempt) -> Option<(JobKey, RunningJob<S>)> {
        let found = self.on().find(|(_, job)| job.task.attempt() == attempt);
        found.map(|(place, job)| (key(place), *job))
    }

    /// Returns what is left to the job's milestone, at the pace of now.
    pub(super) fn left(&self, now: Time, job: &RunningJob<S>) -> Span {
        if self.is_frozen() { Span(job.milestone) } else { Time(job.milestone).since(now) }
    }

    /// Returns how long the way to the job's milestone would take at normal pace.
    pub(super) fn left_at_normal_pace(&self, now: Time, job: &RunningJob<S>) -> Span {
        self.left(now, job).scale(1.0 / self.slow(&job.stage))
    }

    /// Ends every job and returns them in the order of their places.
    pub(super) fn clear(&mut self) -> Vec<RunningJob<S>> {
        let ended: Vec<(usize, RunningJob<S>)> = self.on().map(|(at, job)| (at, *job)).collect();
        ended.iter().for_each(|(place, _)| self.end(key(*place)));
        ended.into_iter().map(|(_, job)| job).collect()
    }

    /// Changes how slow the node is, and moves every milestone accordingly. `rank` tells the rank of a
    /// stage.
    pub(super) fn slow_down(
        &mut self,
        now: Time,
        slowdown: Slowdown,
        frozen: bool,
        rank: impl Fn(&S) -> Rank,
        scheduler: &mut impl Scheduler,
    ) {
        let Drag { slowdown: before, frozen: was_frozen } = self.drag();
        if frozen == was_frozen && before == slowdown {
            return;
        }
        let lefts: Vec<(usize, Span)> =
            self.on().map(|(place, job)| (place, self.left(now, job))).collect();
        let usual = !frozen && slowdown == Slowdown::NORMAL;
        self.drag = (!usual).then(|| Box::new(Drag { slowdown, frozen }));
        for (place, left) in lefts {
            let stage = &self.jobs[place].stage;
            let stretch = match stage.has_begun() {
                true => slowdown.further / before.further,
                false => slowdown.first / before.first,
            };
            let rank = rank(stage);
            self.set(now, place, left.scale(stretch), rank, scheduler);
        }
    }

    /// Returns the jobs in such a stage, with their current turn.
    pub(super) fn turns(&self, which: impl Fn(&S) -> bool) -> Vec<(JobKey, u32)> {
        let jobs = self.on().filter(|(_, job)| which(&job.stage));
        jobs.map(|(place, job)| (key(place), job.turn)).collect()
    }

    /// Returns every job.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &RunningJob<S>> {
        self.on().map(|(_, job)| job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Agenda;

    #[derive(Clone, Copy, Debug)]
    struct Whole;

    impl JobStage for Whole {
        fn has_begun(&self) -> bool {
            false
        }
    }

    fn task(id: u64) -> Task {
        let (prompt, output) = (Tokens(1), Tokens(1));
        Task { request: RequestId(id), prompt, output, batch_and_ordinal: 0 }
    }

    fn begun(ids: std::ops::Range<u64>) -> (RunningJobs<Whole>, Agenda) {
        let (mut jobs, mut agenda) = (RunningJobs::new(NodeId(3)), Agenda::default());
        for id in ids {
            jobs.begin(Time::ZERO, task(id), Whole, Span(10 + id), Rank::Finish, &mut agenda);
        }
        (jobs, agenda)
    }

    /// Fires what is due. Returns the requests of the jobs that have come to their milestone.
    fn fired(jobs: &mut RunningJobs<Whole>, agenda: &mut Agenda, now: u64) -> Vec<(u64, u64)> {
        let mut fired = Vec::new();
        while let Some((at, due)) = agenda.take(Time(now)) {
            let Scheduled::Job(NodeId(3), key, turn) = due else { panic!("{due:?}") };
            if let Some(job) = jobs.current(key, turn) {
                fired.push((at.0, job.task.attempt().request.0));
                jobs.end(key);
            }
        }
        fired
    }

    #[test]
    fn a_job_is_one_cache_line() {
        assert_eq!(size_of::<RunningJob<Option<Span>>>(), 64);
        assert!(size_of::<RunningJobs<Whole>>() <= 48);
    }

    #[test]
    fn an_entry_of_a_job_that_is_over_means_nothing_to_the_next_one_of_its_place() {
        let (mut jobs, mut agenda) = begun(0..2);
        let (key, _) = jobs.find(task(0).attempt()).expect("it runs");
        jobs.end(key);
        jobs.begin(Time(1), task(7), Whole, Span(100), Rank::Finish, &mut agenda);
        assert_eq!(jobs.len(), 2);
        assert_eq!(
            jobs.find(task(7).attempt()).expect("it runs").0,
            key,
            "the place is used again"
        );
        assert_eq!(fired(&mut jobs, &mut agenda, 1_000), [(11, 1), (101, 7)]);
        assert_eq!(jobs.len(), 0);
    }

    #[test]
    fn milestones_move_with_the_pace_and_stand_still_while_frozen() {
        let (mut jobs, mut agenda) = begun(0..1);
        let twice = Slowdown { first: 2.0, further: 1.0 };
        let rank = |_: &Whole| Rank::Finish;
        jobs.slow_down(Time(4), twice, false, rank, &mut agenda);
        jobs.slow_down(Time(6), twice, true, rank, &mut agenda);
        assert_eq!(fired(&mut jobs, &mut agenda, 90), [], "of 10 there are 10 left, slowly");
        jobs.slow_down(Time(100), Slowdown::NORMAL, false, rank, &mut agenda);
        assert_eq!(fired(&mut jobs, &mut agenda, 1_000), [(105, 0)]);
    }

    #[test]
    fn all_jobs_end_in_the_order_of_their_places_and_the_last_is_used_first() {
        let (mut jobs, mut agenda) = begun(0..3);
        let ended: Vec<u64> = jobs.clear().iter().map(|job| job.task.attempt().request.0).collect();
        assert_eq!((ended, jobs.len()), (vec![0, 1, 2], 0));
        jobs.begin(Time(1), task(8), Whole, Span(1), Rank::Finish, &mut agenda);
        assert_eq!(place(jobs.find(task(8).attempt()).expect("it runs").0), 2);
        assert_eq!(fired(&mut jobs, &mut agenda, 1_000), [(2, 8)]);
    }
}

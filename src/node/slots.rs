//! Slots: a fixed number of servers with a bounded queue in front (M/G/k with k servers).
//!
//! An attempt takes a free server or waits its turn, first come first served; its service time is
//! drawn from one law. There are no tokens on the way: the answer comes whole. A full queue answers
//! 503 at once. This is the node that queueing theory has closed forms for.

use std::collections::VecDeque;

use super::work::{Bench, JobKey};
use super::{Diary, Due, ERROR_AFTER, Rank, Work};
use crate::balance::{Attempt, Failure, Input, NodeReport, Outcome, Usage};
use crate::dist::Dist;
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time};

/// A node of servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Attempts worked on at a time; at least one.
    pub servers: u32,
    /// At most so many wait.
    pub queue: u32,
    /// Seconds of service.
    pub service: Dist,
}

#[derive(Debug)]
pub(super) struct Slots {
    spec: Spec,
    bench: Bench<()>,
    queue: VecDeque<(Work, Span)>,
}

impl Slots {
    pub(super) fn new(node: NodeId, spec: Spec) -> Slots {
        Slots { spec, bench: Bench::new(node), queue: VecDeque::new() }
    }

    pub(super) fn start(&mut self, now: Time, work: Work, rng: &mut Rng, diary: &mut impl Diary) {
        let service = Span::from_seconds(self.spec.service.sample(rng));
        if self.bench.len() < self.spec.servers as usize {
            self.bench.begin(now, work, (), service, Rank::Finish, diary);
        } else if self.queue.len() < self.spec.queue as usize {
            self.queue.push_back((work, service));
        } else {
            let full = Outcome::Failed(Failure::Overloaded, Usage::default());
            diary.enter(now + ERROR_AFTER, Rank::Finish, Due::Finish(work.attempt, full));
        }
    }

    pub(super) fn report(&self) -> NodeReport {
        let (running, waiting) = (self.bench.len() as u32, self.queue.len() as u32);
        NodeReport { running, waiting, ..NodeReport::default() }
    }

    pub(super) fn fire(
        &mut self,
        now: Time,
        job: JobKey,
        turn: u32,
        diary: &mut impl Diary,
    ) -> Option<Input> {
        let work = self.bench.current(job, turn)?.work;
        self.bench.end(job);
        self.serve_next(now, diary);
        Some(Input::Finish(work.attempt, Outcome::Done(work.usage())))
    }

    fn serve_next(&mut self, now: Time, diary: &mut impl Diary) {
        if let Some((work, service)) = self.queue.pop_front() {
            self.bench.begin(now, work, (), service, Rank::Finish, diary);
        }
    }

    pub(super) fn abort(
        &mut self,
        now: Time,
        attempt: Attempt,
        diary: &mut impl Diary,
    ) -> Option<Usage> {
        if let Some(place) = self.queue.iter().position(|(work, _)| work.attempt == attempt) {
            self.queue.remove(place);
            return Some(Usage::default());
        }
        let (job, _) = self.bench.find(attempt)?;
        self.bench.end(job);
        self.serve_next(now, diary);
        Some(Usage::default())
    }

    pub(super) fn suffer(
        &mut self,
        now: Time,
        crashed: bool,
        hangs: bool,
        slow: f64,
        diary: &mut impl Diary,
    ) {
        if crashed {
            let working = self.bench.clear();
            let waiting = self.queue.drain(..).map(|(work, _)| work);
            for work in working.iter().map(|job| job.work).chain(waiting) {
                let reset = Outcome::Failed(Failure::Reset, Usage::default());
                diary.enter(now, Rank::Finish, Due::Finish(work.attempt, reset));
            }
        }
        self.bench.pace(now, slow, hangs, |()| Rank::Finish, diary);
    }
}

//! The faults of a node that are on, and the attempts they have in their hands: those whose answer is to
//! be cut, and those that nobody works on and that only somebody's patience ends.
//!
//! A back end knows nothing of it: what it says passes here on its way out. What nodes without faults
//! say does not.

use std::collections::BTreeMap;

use super::{Cut, FaultKind, Rank, Scheduled, Scheduler};
use crate::balance::{Attempt, Failure, Input, NodeReport, Outcome, Progress, Usage};
use crate::unit::{NodeId, Span, Time};

/// What faults have in their hands at a node.
#[derive(Debug)]
pub(super) struct FaultState {
    node: NodeId,
    /// How long the executor waits for a connection; `Span::MAX` is for ever.
    pub(super) connect: Span,
    /// The gap after which a stream counts as stalled; `Span::MAX` is never.
    inter_token: Span,
    /// Faults that are on, by number, in the order they began.
    pub(super) on: Vec<(u32, FaultKind)>,
    /// Answers that will be cut; `None` once the attempt has ended and its back end has not.
    cuts: BTreeMap<Attempt, Option<Cut>>,
    /// Attempts without work, and how they end if nobody aborts them before.
    limbo: BTreeMap<Attempt, Outcome>,
    /// What it says of itself while that is stale.
    pub(super) report: Option<NodeReport>,
}

impl FaultState {
    pub(super) fn new(node: NodeId, inter_token: Span) -> FaultState {
        let (cuts, limbo) = (BTreeMap::new(), BTreeMap::new());
        let (connect, on) = (Span::MAX, Vec::new());
        FaultState { node, connect, inter_token, on, cuts, limbo, report: None }
    }

    /// The answer to this attempt will be cut.
    pub(super) fn cut(&mut self, attempt: Attempt, how: Cut) {
        self.cuts.insert(attempt, Some(how));
    }

    /// Nobody works on the attempt; after `patience` it ends so.
    pub(super) fn hold(
        &mut self,
        now: Time,
        attempt: Attempt,
        patience: Span,
        end: Outcome,
        scheduler: &mut impl Scheduler,
    ) {
        self.limbo.insert(attempt, end);
        if now + patience < Time::MAX {
            scheduler.schedule(now + patience, Rank::Finish, Scheduled::GiveUp(self.node, attempt));
        }
    }

    /// Somebody's patience is over.
    pub(super) fn give_up(&mut self, attempt: Attempt) -> Option<Input> {
        self.limbo.remove(&attempt).map(|end| Input::Finish(attempt, end))
    }

    /// The attempt is aborted. Returns its usage if nobody worked on it.
    pub(super) fn abort(&mut self, attempt: Attempt) -> Option<Usage> {
        self.limbo.remove(&attempt).map(|end| match end {
            Outcome::Failed(_, usage) => usage,
            _ => Usage::NONE,
        })
    }

    /// A back end has aborted the attempt. Returns whether anybody is to hear of it.
    pub(super) fn aborted(&mut self, attempt: Attempt) -> bool {
        self.cuts.remove(&attempt) != Some(None)
    }

    /// Turns what a back end says at `at` into what is heard of it, if anything is.
    pub(super) fn filter(
        &mut self,
        at: Time,
        said: Input,
        scheduler: &mut impl Scheduler,
    ) -> Option<Input> {
        match said {
            Input::Progress(attempt, Progress::FirstToken) => match self.cuts.get_mut(&attempt) {
                Some(cut @ Some(Cut::ErrorEvent)) => {
                    *cut = None;
                    let failed = Outcome::Failed(Failure::ServerError, Usage::NONE);
                    Some(Input::Finish(attempt, failed))
                }
                Some(None) => None,
                _ => Some(said),
            },
            Input::Finish(attempt, outcome) => {
                let cut = self.cuts.remove(&attempt);
                let (how, usage) = match (cut, outcome) {
                    (Some(None), _) => return None,
                    (Some(Some(how)), Outcome::Done(usage)) => (how, usage),
                    _ => return Some(said),
                };
                let failure = match how {
                    Cut::Reset => Failure::Reset,
                    Cut::Truncate => Failure::Malformed,
                    // An answer that came whole, not as a stream.
                    Cut::ErrorEvent => Failure::ServerError,
                    Cut::Stall => {
                        let stalled = Outcome::Failed(Failure::Stalled, usage);
                        self.hold(at, attempt, self.inter_token, stalled, scheduler);
                        return None;
                    }
                };
                Some(Input::Finish(attempt, Outcome::Failed(failure, usage)))
            }
            said => Some(said),
        }
    }
}

/// The scheduler as a back end sees it: what it says of attempts passes the faults that hold them.
/// Without such faults everything passes as it is.
pub(super) struct FaultFilter<'a, D> {
    pub(super) fault_state: Option<&'a mut FaultState>,
    pub(super) scheduler: &'a mut D,
}

impl<D: Scheduler> Scheduler for FaultFilter<'_, D> {
    fn schedule(&mut self, at: Time, rank: Rank, due: Scheduled) {
        let Some(fault_state) = &mut self.fault_state else {
            return self.scheduler.schedule(at, rank, due);
        };
        let said = match due {
            Scheduled::Progress(attempt, progress) => Input::Progress(attempt, progress),
            Scheduled::Finish(attempt, outcome) => Input::Finish(attempt, outcome),
            due => return self.scheduler.schedule(at, rank, due),
        };
        match fault_state.filter(at, said, self.scheduler) {
            Some(Input::Progress(attempt, progress)) => {
                self.scheduler.schedule(at, rank, Scheduled::Progress(attempt, progress));
            }
            Some(Input::Finish(attempt, outcome)) => {
                self.scheduler.schedule(at, rank, Scheduled::Finish(attempt, outcome));
            }
            _ => {}
        }
    }
}

impl<D: Scheduler> FaultFilter<'_, D> {
    /// Filters what a back end answers instead of scheduling it.
    pub(super) fn heard(&mut self, now: Time, said: Option<Input>) -> Option<Input> {
        match &mut self.fault_state {
            None => said,
            Some(fault_state) => fault_state.filter(now, said?, self.scheduler),
        }
    }
}

//! The agenda: what will happen, and the one order in which it does.
//!
//! Things happen in order of (time, rank, number of entry). Ranks are `finish < progress < report <
//! fleet < arrive < cancel < control < wake`, so that capacity is freed before it is asked for and
//! timers see everything else first. This is the only place where ties are broken.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::node::{Due, Rank};
use crate::unit::Time;

#[derive(Debug)]
struct Entry {
    at: Time,
    rank: Rank,
    number: u64,
    due: Due,
}

impl Entry {
    fn key(&self) -> (Time, Rank, u64) {
        (self.at, self.rank, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        self.key().cmp(&other.key())
    }
}

const fn is_chatter(due: &Due) -> bool {
    matches!(due, Due::Probe(..) | Due::Probed(..) | Due::Tell(_))
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// An entry of the agenda.
    Due(Time, Due),
    /// The arrival that the driver holds ready.
    Arrival,
    /// The balancer's wake.
    Wake(Time),
}

/// What will happen.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    entered: u64,
    /// Entries that change nothing for a request under way: answers to probes, and what balancers
    /// are told at intervals.
    chatter: usize,
}

impl Agenda {
    /// Enters something.
    pub(super) fn enter(&mut self, at: Time, rank: Rank, due: Due) {
        let number = self.entered;
        self.entered += 1;
        self.chatter += usize::from(is_chatter(&due));
        self.heap.push(Reverse(Entry { at, rank, number, due }));
    }

    /// Returns the time of the first entry.
    pub(super) fn first(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Returns whether nothing will happen that matters to a request under way.
    pub(super) fn at_rest(&self) -> bool {
        self.heap.len() == self.chatter
    }

    /// Takes what comes first: an entry, the next arrival or the next wake.
    pub(super) fn next(&mut self, arrival: Option<Time>, wake: Option<Time>) -> Option<Next> {
        let entry = self.heap.peek().map(|Reverse(entry)| (entry.at, entry.rank));
        let arrival = arrival.map(|at| (at, Rank::Arrive));
        let wake = wake.map(|at| (at, Rank::Wake));
        let first = [entry, arrival, wake].into_iter().flatten().min()?;
        if entry == Some(first) {
            let Reverse(entry) = self.heap.pop()?;
            self.chatter -= usize::from(is_chatter(&entry.due));
            Some(Next::Due(entry.at, entry.due))
        } else if arrival == Some(first) {
            Some(Next::Arrival)
        } else {
            Some(Next::Wake(first.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Attempt, Outcome, Usage};
    use crate::unit::RequestId;

    #[test]
    fn capacity_is_freed_before_it_is_asked_for() {
        let mut agenda = Agenda::default();
        let finish = |id| {
            let attempt = Attempt { request: RequestId(id), ordinal: 0 };
            Due::Finish(attempt, Outcome::Done(Usage::default()))
        };
        let at = Time(5);
        agenda.enter(at, Rank::Progress, finish(1));
        agenda.enter(at, Rank::Finish, finish(2));
        agenda.enter(at, Rank::Finish, finish(3));
        let order: Vec<String> = std::iter::from_fn(|| agenda.next(Some(at), Some(at)))
            .take(5)
            .map(|next| match next {
                Next::Due(_, Due::Finish(attempt, _)) => attempt.request.0.to_string(),
                Next::Due(..) => "other".to_owned(),
                Next::Arrival => "arrival".to_owned(),
                Next::Wake(_) => "wake".to_owned(),
            })
            .collect();
        assert_eq!(order, ["2", "3", "1", "arrival", "arrival"]);
        assert!(matches!(agenda.next(None, Some(at)), Some(Next::Wake(_))));
        assert!(agenda.next(None, None).is_none());
    }
}

//! The agenda: what will happen, and the one order in which it does, simulated and in mock servers alike.
//!
//! Things happen in order of (time, rank, number of entry). Ranks are `finish < progress < report <
//! fleet < arrive < cancel < control < wake`, so that capacity is freed before it is asked for and
//! timers see everything else first. This is the only place where ties are broken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Rank, Scheduled, Scheduler};
use crate::unit::Time;

/// What the heap moves about: when, and at which place it is written what. The latter stays where it
/// is, because in a large fleet entries are moved a dozen times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HeapEntry {
    at: Time,
    /// The rank, then the number of entry.
    order: u64,
    place: u32,
}

/// Numbers of entry have so many bits: enough for centuries.
const NUMBER_BITS: u32 = 60;

impl HeapEntry {
    /// The number of its rank.
    const fn rank(self) -> u8 {
        (self.order >> NUMBER_BITS) as u8
    }
}

const fn is_chatter(due: &Scheduled) -> bool {
    matches!(
        due,
        Scheduled::Probe(..) | Scheduled::Generate(..) | Scheduled::Probed(..) | Scheduled::Tell(_)
    )
}

/// What comes next.
#[derive(Debug)]
pub enum Upcoming {
    /// An entry of the agenda.
    Scheduled(Time, Scheduled),
    /// The arrival that the driver holds ready.
    Arrival,
    /// The balancer's wake.
    Wake(Time),
}

/// What will happen.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<HeapEntry>>,
    /// What will happen, by place; `None` where a place is free.
    dues: Vec<Option<Scheduled>>,
    /// Free places; the last one that became free is the first to be used again.
    free: Vec<u32>,
    entered: u64,
    /// Entries that change nothing for a request under way: answers to probes, and what balancers
    /// are told at intervals.
    chatter: usize,
}

impl Scheduler for Agenda {
    fn schedule(&mut self, at: Time, rank: Rank, due: Scheduled) {
        let number = self.entered;
        self.entered += 1;
        self.chatter += usize::from(is_chatter(&due));
        let place = if let Some(place) = self.free.pop() {
            self.dues[place as usize] = Some(due);
            place
        } else {
            self.dues.push(Some(due));
            (self.dues.len() - 1) as u32
        };
        let order = (rank as u64) << NUMBER_BITS | number;
        self.heap.push(Reverse(HeapEntry { at, order, place }));
    }
}

impl Agenda {
    /// Returns the time of the first entry.
    #[must_use]
    pub fn first(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the first entry if its time has come.
    pub fn take(&mut self, now: Time) -> Option<(Time, Scheduled)> {
        if self.first()? > now {
            return None;
        }
        self.pop()
    }

    fn pop(&mut self) -> Option<(Time, Scheduled)> {
        let Reverse(entry) = self.heap.pop()?;
        self.free.push(entry.place);
        let due = self.dues[entry.place as usize].take()?;
        self.chatter -= usize::from(is_chatter(&due));
        Some((entry.at, due))
    }

    /// Returns whether nothing will happen that matters to a request under way.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.heap.len() == self.chatter
    }

    /// Takes what comes first: an entry, the next arrival or the next wake.
    pub fn next(&mut self, arrival: Option<Time>, wake: Option<Time>) -> Option<Upcoming> {
        let entry = self.heap.peek().map(|Reverse(entry)| (entry.at, entry.rank()));
        let arrival = arrival.map(|at| (at, Rank::Arrive as u8));
        let wake = wake.map(|at| (at, Rank::Wake as u8));
        let first = [entry, arrival, wake].into_iter().flatten().min()?;
        if entry == Some(first) {
            self.pop().map(|(at, due)| Upcoming::Scheduled(at, due))
        } else if arrival == Some(first) {
            Some(Upcoming::Arrival)
        } else {
            Some(Upcoming::Wake(first.0))
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
            Scheduled::Finish(attempt, Outcome::Done(Usage::default()))
        };
        let at = Time(5);
        agenda.schedule(at, Rank::Progress, finish(1));
        agenda.schedule(at, Rank::Finish, finish(2));
        agenda.schedule(at, Rank::Finish, finish(3));
        let order: Vec<String> = std::iter::from_fn(|| agenda.next(Some(at), Some(at)))
            .take(5)
            .map(|next| match next {
                Upcoming::Scheduled(_, Scheduled::Finish(attempt, _)) => {
                    attempt.request.0.to_string()
                }
                Upcoming::Scheduled(..) => "other".to_owned(),
                Upcoming::Arrival => "arrival".to_owned(),
                Upcoming::Wake(_) => "wake".to_owned(),
            })
            .collect();
        assert_eq!(order, ["2", "3", "1", "arrival", "arrival"]);
        assert!(matches!(agenda.next(None, Some(at)), Some(Upcoming::Wake(_))));
        assert!(agenda.next(None, None).is_none());
    }

    #[test]
    fn nothing_is_taken_before_its_time() {
        let mut agenda = Agenda::default();
        agenda.schedule(Time(5), Rank::Report, Scheduled::FaultEnds(2));
        agenda.schedule(Time(5), Rank::Fleet, Scheduled::FaultEnds(3));
        agenda.schedule(Time(4), Rank::Wake, Scheduled::FaultEnds(1));
        assert_eq!(agenda.take(Time(3)), None);
        let taken: Vec<_> = std::iter::from_fn(|| agenda.take(Time(5))).collect();
        let end = |number| Scheduled::FaultEnds(number);
        assert_eq!(taken, [(Time(4), end(1)), (Time(5), end(2)), (Time(5), end(3))]);
        assert_eq!(agenda.take(Time::MAX), None);
    }
}

//! The agenda: what will happen, and the one order in which it does, simulated and in mock servers alike.
//!
//! Things happen in order of (time, rank, number of entry). Ranks are `finish < progress < report <
//! fleet < arrive < cancel < control < wake < act`, so that capacity is freed before it is asked for and
//! timers see everything else first. This is the only place where ties are broken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slotmap::{Key as _, KeyData};

use super::{JobKey, Rank, Scheduled, Scheduler};
use crate::unit::{NodeId, Time};

/// What the heap moves about: half a cache line. What happens most often, the milestones of jobs and the
/// ends of steps, is told in it whole; of everything else the place where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HeapEntry {
    at: Time,
    /// The rank, then the number of entry, then what `words` tell. No two have the same number, so the
    /// rest is never compared.
    order: u64,
    words: [u64; 2],
}

/// The words tell a milestone of a job: its key, and its node and turn.
const JOB: u64 = 0;
/// They tell the end of a step: its node and number.
const STEP: u64 = 1;
/// They tell a place.
const STORED: u64 = 2;

/// Bits of what the words tell.
const KIND_BITS: u32 = 2;
/// Bits of a number of entry: enough for centuries.
const NUMBER_BITS: u32 = 58;

const fn pair(node: NodeId, number: u32) -> u64 {
    (node.0 as u64) << 32 | number as u64
}

const fn unpair(word: u64) -> (NodeId, u32) {
    (NodeId((word >> 32) as u32), word as u32)
}

impl HeapEntry {
    /// The number of its rank.
    const fn rank(self) -> u8 {
        (self.order >> (NUMBER_BITS + KIND_BITS)) as u8
    }

    const fn kind(self) -> u64 {
        self.order & ((1 << KIND_BITS) - 1)
    }
}

const fn is_chatter(due: &Scheduled) -> bool {
    matches!(
        due,
        Scheduled::Probe(..)
            | Scheduled::Generate(..)
            | Scheduled::Probed(..)
            | Scheduled::Tell(_)
            | Scheduled::Act(_)
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
    /// Something, but not yet.
    Later,
}

/// What will happen.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<HeapEntry>>,
    /// What is not told in the heap, by place; `None` where a place is free.
    stored: Vec<Option<Scheduled>>,
    /// Free places; the last one that became free is the first to be used again.
    free: Vec<u32>,
    entered: u64,
    /// Entries that change nothing for a request under way: answers to probes, what balancers are told at
    /// intervals, and what a person will do, since no run waits for that.
    chatter: usize,
}

impl Scheduler for Agenda {
    fn schedule(&mut self, at: Time, rank: Rank, due: Scheduled) {
        let number = self.entered;
        self.entered += 1;
        let (kind, words) = match due {
            Scheduled::Job(node, key, turn) => (JOB, [key.data().as_ffi(), pair(node, turn)]),
            Scheduled::Step(node, number) => (STEP, [0, pair(node, number)]),
            due => (STORED, [self.store(due), 0]),
        };
        let order = (rank as u64) << (NUMBER_BITS + KIND_BITS) | number << KIND_BITS | kind;
        self.heap.push(Reverse(HeapEntry { at, order, words }));
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
        let (node, number) = unpair(entry.words[1]);
        let due = match entry.kind() {
            JOB => {
                let key = KeyData::from_ffi(entry.words[0]);
                Scheduled::Job(node, JobKey::from(key), number)
            }
            STEP => Scheduled::Step(node, number),
            _ => self.unstore(entry.words[0])?,
        };
        Some((entry.at, due))
    }

    /// Writes something down. Returns its place.
    fn store(&mut self, due: Scheduled) -> u64 {
        self.chatter += usize::from(is_chatter(&due));
        if let Some(place) = self.free.pop() {
            self.stored[place as usize] = Some(due);
            return u64::from(place);
        }
        self.stored.push(Some(due));
        self.stored.len() as u64 - 1
    }

    fn unstore(&mut self, place: u64) -> Option<Scheduled> {
        let due = self.stored[place as usize].take()?;
        self.free.push(place as u32);
        self.chatter -= usize::from(is_chatter(&due));
        Some(due)
    }

    /// Returns whether nothing will happen that matters to a request under way.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.heap.len() == self.chatter
    }

    /// Takes what comes first, unless that is after `until`: an entry, the next arrival or the next wake.
    pub fn next(
        &mut self,
        arrival: Option<Time>,
        wake: Option<Time>,
        until: Time,
    ) -> Option<Upcoming> {
        let entry = self.heap.peek().map(|Reverse(entry)| (entry.at, entry.rank()));
        let arrival = arrival.map(|at| (at, Rank::Arrive as u8));
        let wake = wake.map(|at| (at, Rank::Wake as u8));
        let first = [entry, arrival, wake].into_iter().flatten().min()?;
        if first.0 > until {
            return Some(Upcoming::Later);
        }
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
        let order: Vec<String> = std::iter::from_fn(|| agenda.next(Some(at), Some(at), Time::MAX))
            .take(5)
            .map(|next| match next {
                Upcoming::Scheduled(_, Scheduled::Finish(attempt, _)) => {
                    attempt.request.0.to_string()
                }
                Upcoming::Scheduled(..) => "other".to_owned(),
                Upcoming::Arrival => "arrival".to_owned(),
                Upcoming::Wake(_) => "wake".to_owned(),
                Upcoming::Later => "later".to_owned(),
            })
            .collect();
        assert_eq!(order, ["2", "3", "1", "arrival", "arrival"]);
        let before = Time(at.0 - 1);
        assert!(matches!(agenda.next(None, Some(at), before), Some(Upcoming::Later)));
        assert!(matches!(agenda.next(None, Some(at), Time::MAX), Some(Upcoming::Wake(_))));
        assert!(agenda.next(None, None, Time::MAX).is_none());
    }

    #[test]
    fn what_is_entered_comes_out_as_it_was() {
        let mut keys = slotmap::SlotMap::<JobKey, ()>::with_key();
        let gone = keys.insert(());
        keys.remove(gone);
        let key = keys.insert(());
        let all = [
            Scheduled::Job(NodeId(u32::MAX), key, u32::MAX),
            Scheduled::Job(NodeId(3), gone, 0),
            Scheduled::Step(NodeId(7), u32::MAX),
            Scheduled::Ready(NodeId(8), 9),
        ];
        let mut agenda = Agenda::default();
        for rank in [Rank::Wake, Rank::Finish] {
            all.iter().for_each(|due| agenda.schedule(Time(5), rank, due.clone()));
        }
        let out: Vec<Scheduled> =
            std::iter::from_fn(|| agenda.take(Time(5))).map(|(_, due)| due).collect();
        assert_eq!(out, [all.clone(), all].concat(), "and in the order it was entered");
        assert_eq!(size_of::<HeapEntry>(), 32);
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

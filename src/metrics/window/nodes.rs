//! What the window tells of each node. Attempts that were in flight are known by going back from now, when
//! it is known how many are.

use super::{AttemptNote, NoteWord, Window, nth, per_hour};
use crate::metrics::counts::share;
use crate::unit::{Span, Time};

/// What a node is at the moment of a picture.
#[derive(Clone, Copy, Debug)]
pub(in crate::metrics) struct NodeNow {
    /// Attempts in flight.
    pub(in crate::metrics) in_flight: u32,
    /// At most so many can be worked on at a time.
    pub(in crate::metrics) capacity: u32,
}

/// What the window tells of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::metrics) struct NodeWindow {
    /// Attempts that were sent to it, as a share of all.
    pub(in crate::metrics) share: f64,
    /// Attempts that ended, a second.
    pub(in crate::metrics) requests_per_s: f64,
    /// Good ones.
    pub(in crate::metrics) samples: u64,
    /// Half of the good ones took at most this long.
    pub(in crate::metrics) p50: Option<Span>,
    /// 99 % of them did.
    pub(in crate::metrics) p99: Option<Span>,
    /// Share of those that ended that failed.
    pub(in crate::metrics) error_share: f64,
    /// Output tokens a second.
    pub(in crate::metrics) tokens_per_s: f64,
    /// Dollars an hour for tokens.
    pub(in crate::metrics) dollars_per_hour: f64,
    /// Busy servers, integrated over the window: server-nanoseconds.
    pub(in crate::metrics) busy: u128,
    /// Nanoseconds in which it had something in flight.
    pub(in crate::metrics) occupied: u64,
}

/// Sums of a node while the notes are read.
#[derive(Clone, Copy, Debug, Default)]
struct NodeTally {
    began: u64,
    ended: u64,
    good: usize,
    bad: u64,
    tokens: u64,
    cost: u128,
}

impl NodeTally {
    fn hear(&mut self, note: &AttemptNote) {
        if note.is_begin() {
            self.began += 1;
            return;
        }
        self.ended += 1;
        self.good += usize::from(note.word == NoteWord::Good);
        self.bad += u64::from(note.word == NoteWord::Bad);
        self.tokens += u64::from(note.tokens);
        self.cost += u128::from(note.cost);
    }
}

/// How busy a node was, read backwards.
#[derive(Clone, Copy, Debug)]
struct Backwards {
    in_flight: u32,
    capacity: u32,
    /// Down to when it is counted.
    at: Time,
    busy: u128,
    occupied: u64,
}

impl Backwards {
    /// Counts the time between `to` and what has been counted.
    fn pass(&mut self, to: Time) {
        let span = self.at.since(to).0;
        self.busy += u128::from(self.in_flight.min(self.capacity)) * u128::from(span);
        self.occupied += if self.in_flight > 0 { span } else { 0 };
        self.at = self.at.min(to);
    }

    /// Goes back beyond a note.
    fn undo(&mut self, note: &AttemptNote) {
        self.pass(note.at);
        self.in_flight =
            if note.is_begin() { self.in_flight.saturating_sub(1) } else { self.in_flight + 1 };
    }
}

impl Window {
    /// Returns what the window, which has expired to `now`, tells of each node.
    pub(in crate::metrics) fn nodes(&self, now: Time, nodes: &[NodeNow]) -> Vec<NodeWindow> {
        let mut tallies = vec![NodeTally::default(); nodes.len()];
        let backwards = |node: &NodeNow| Backwards {
            in_flight: node.in_flight,
            capacity: node.capacity,
            at: now,
            busy: 0,
            occupied: 0,
        };
        let mut used: Vec<Backwards> = nodes.iter().map(backwards).collect();
        for note in self.attempts.iter().rev() {
            let node = note.node as usize;
            if let (Some(tally), Some(used)) = (tallies.get_mut(node), used.get_mut(node)) {
                tally.hear(note);
                used.undo(note);
            }
        }
        let begin = Time(now.0 - self.length(now).0);
        used.iter_mut().for_each(|used| used.pass(begin));
        let began: u64 = tallies.iter().map(|tally| tally.began).sum();
        let mut good = self.good_by_node(&tallies);
        let mut rest = good.as_mut_slice();
        let seconds = self.seconds(now);
        let told = tallies.iter().zip(&used).map(|(tally, used)| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(tally.good);
            rest = others;
            NodeWindow {
                share: share(tally.began, began),
                requests_per_s: tally.ended as f64 / seconds,
                samples: tally.good as u64,
                p50: nth(own, 0.5),
                p99: nth(own, 0.99),
                error_share: share(tally.bad, tally.ended),
                tokens_per_s: tally.tokens as f64 / seconds,
                dollars_per_hour: per_hour(tally.cost, seconds),
                busy: used.busy,
                occupied: used.occupied,
            }
        });
        told.collect()
    }

    /// Returns the times of good attempts, those of the first node first.
    fn good_by_node(&self, tallies: &[NodeTally]) -> Vec<f32> {
        let mut next = 0;
        let mut places: Vec<usize> = tallies
            .iter()
            .map(|tally| {
                let place = next;
                next += tally.good;
                place
            })
            .collect();
        let mut good = vec![0.0; next];
        for note in self.attempts.iter().filter(|note| note.word == NoteWord::Good) {
            if let Some(place) = places.get_mut(note.node as usize) {
                good[*place] = note.took;
                *place += 1;
            }
        }
        good
    }
}

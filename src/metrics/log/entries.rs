//! The entries of the log: bounded, and like ones are one.
//!
//! What happens to many requests is an entry that counts: it goes on for as long as the like happens again
//! within ten seconds. So an outage is a line or two and pushes nothing out; and when there are too many
//! entries all the same, what was done on purpose stays longest.

use std::collections::{BTreeMap, VecDeque};

use crate::balance::Tier;
use crate::metrics::snapshot::{LOG_MAX, LogEntry, LogLevel};
use crate::unit::{ClassId, NodeId, PoolId, RouteId, Span, Time};

/// What happens again within so long is the same entry.
const GOES_ON: Span = Span::from_secs(10);
/// Other entries of the same words within so long are counted as one.
const LIKE: Span = Span::from_secs(1);
/// They are sought among so many of the newest.
const LOOK_BACK: usize = 6;
/// At most so many entries of what was done on purpose are kept before others.
const PURPOSE_MAX: usize = LOG_MAX / 2;

/// What happens to many requests, and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CountedThing {
    /// Attempts after one that failed on a node in this way.
    Retry(NodeId, &'static str),
    /// Requests of a route that were served elsewhere than meant.
    Failover(RouteId, PoolId, Tier, Option<usize>),
    /// Requests of a class without an answer.
    Unserved(ClassId, &'static str),
    /// An ejected node is probed, again and again while it does not come back.
    Probed(NodeId),
}

/// An entry to be.
pub(super) struct Draft {
    pub(super) entry: LogEntry,
    pub(super) counted: Option<CountedThing>,
}

/// The entries.
#[derive(Clone, Debug, Default)]
pub(super) struct LogEntries {
    entries: VecDeque<LogEntry>,
    /// The newest entry of each thing that is counted.
    counted: BTreeMap<CountedThing, u64>,
    next: u64,
    purpose: usize,
    dropped: u64,
}

impl LogEntries {
    pub(super) fn all(&self) -> Vec<LogEntry> {
        self.entries.iter().cloned().collect()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Counts a thing once more where its entry goes on; returns whether it did.
    pub(super) fn count(&mut self, at: Time, thing: CountedThing) -> bool {
        let Some(id) = self.counted.get(&thing) else { return false };
        let Ok(place) = self.entries.binary_search_by_key(id, |entry| entry.id) else {
            return false;
        };
        let entry = &mut self.entries[place];
        if at.since(entry.until) > GOES_ON {
            return false;
        }
        entry.count += 1;
        entry.until = at;
        true
    }

    pub(super) fn enter(&mut self, at: Time, draft: Draft) {
        let Draft { entry, counted } = draft;
        let like = self.entries.iter_mut().rev().take(LOOK_BACK).find(|old| {
            at.since(old.until) <= LIKE && old.text == entry.text && old.level == entry.level
        });
        if let Some(old) = like.filter(|_| counted.is_none()) {
            old.count += 1;
            old.until = at;
            return;
        }
        self.make_room();
        let id = self.next;
        self.next += 1;
        if let Some(thing) = counted {
            self.counted.insert(thing, id);
        }
        self.purpose += usize::from(entry.level == LogLevel::Injected);
        self.entries.push_back(LogEntry { id, at, until: at, count: 1, ..entry });
    }

    fn make_room(&mut self) {
        if self.entries.len() < LOG_MAX {
            return;
        }
        let many = self.purpose > PURPOSE_MAX;
        let goes = |entry: &LogEntry| many == (entry.level == LogLevel::Injected);
        let place = self.entries.iter().position(goes).unwrap_or(0);
        if let Some(gone) = self.entries.remove(place) {
            self.purpose -= usize::from(gone.level == LogLevel::Injected);
            self.dropped += 1;
        }
        let kept = self.entries.front().map_or(self.next, |oldest| oldest.id);
        self.counted.retain(|_, id| *id >= kept);
    }
}

//! Timers: when the machine wants to be woken, and for what.
//!
//! Most timers are set a constant span ahead, so each such span has a lane, a queue that is in
//! order by construction: setting one is O(1). What does not fit goes to a heap. A timer is never
//! removed when it loses its purpose; instead the front of every lane is cleared of those, and as
//! the front belongs to the oldest request still under way, lanes stay as short as the traffic is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::under_way::{RequestKey, TryKey};
use crate::unit::{NodeId, PeerId, PoolId, Span, Time};

/// What to do when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// The first token should have come by now.
    FirstToken(TryKey),
    /// The answer is of no use any more.
    Deadline(RequestKey),
    /// The request has waited long enough, if it still stands in this place.
    GiveUp(RequestKey, u64),
    /// The pause before a retry is over.
    Backoff(RequestKey),
    /// The node's ejection or limit may be over.
    Rested(NodeId),
    /// The next probe of a node that is coming back.
    Recheck(NodeId),
    /// The next probe of a node in service.
    Patrol(NodeId),
    /// This probe should have been answered by now.
    ProbeTimeout(NodeId, u32),
    /// The peer's word of this number is too old by now.
    Silence(PeerId, u32),
    /// Look at the size of this group of nodes.
    Scale(u16),
    /// The oldest of this pool's batch may have been held long enough.
    Window(PoolId),
    /// The first token is late enough for a second attempt beside this one.
    Hedge(TryKey),
    /// A limit a minute may have room again.
    Allowance,
    /// Ask this node for a token.
    Generate(NodeId),
    /// Look at how full the nodes are.
    Saturation,
}

/// At most so many spans have a lane of their own.
const LANES_MAX: usize = 12;

#[derive(Debug)]
struct Lane {
    span: Span,
    queue: VecDeque<(Time, Alarm)>,
}

/// All timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    lanes: Vec<Lane>,
    heap: BinaryHeap<Reverse<(Time, u64, Alarm)>>,
    /// Number of the next entry of the heap: equal times go off in the order they were set.
    next: u64,
    wake_at: Option<Time>,
}

impl Timers {
    /// Sets an alarm `span` after `from`; cheap if many use the same span.
    pub(super) fn after(&mut self, from: Time, span: Span, alarm: Alarm) {
        let at = from + span;
        if at == Time::MAX {
            return;
        }
        let place = self.lanes.iter().position(|lane| lane.span == span);
        let place = place.or_else(|| self.new_lane(span));
        match place.map(|place| &mut self.lanes[place].queue) {
            Some(queue) if queue.back().is_none_or(|(last, _)| *last <= at) => {
                queue.push_back((at, alarm));
            }
            _ => self.at(at, alarm),
        }
    }

    /// Opens a lane, or gives an empty one a new span.
    fn new_lane(&mut self, span: Span) -> Option<usize> {
        if self.lanes.len() < LANES_MAX {
            self.lanes.push(Lane { span, queue: VecDeque::new() });
            return Some(self.lanes.len() - 1);
        }
        let place = self.lanes.iter().position(|lane| lane.queue.is_empty())?;
        self.lanes[place].span = span;
        Some(place)
    }

    /// Sets an alarm at a time of its own. The end of time is never: an alarm there could set
    /// another one at once, without end.
    pub(super) fn at(&mut self, at: Time, alarm: Alarm) {
        if at == Time::MAX {
            return;
        }
        self.heap.push(Reverse((at, self.next, alarm)));
        self.next += 1;
    }

    /// Takes the earliest alarm that is due. Equal times go off lane by lane, then by age.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Alarm> {
        let lane = (0..self.lanes.len())
            .filter_map(|lane| self.lanes[lane].queue.front().map(|(at, _)| (*at, lane)))
            .min();
        let heap = self.heap.peek().map(|Reverse((at, ..))| *at);
        match (lane, heap) {
            (Some((at, lane)), heap) if at <= now && heap.is_none_or(|heap| at <= heap) => {
                self.lanes[lane].queue.pop_front().map(|(_, alarm)| alarm)
            }
            (_, Some(at)) if at <= now => self.heap.pop().map(|Reverse((.., alarm))| alarm),
            _ => None,
        }
    }

    /// Drops alarms without a purpose from the fronts and finds the next time to wake.
    pub(super) fn settle(&mut self, has_purpose: impl Fn(&Alarm) -> bool) {
        let mut earliest = Time::MAX;
        let mut any = false;
        for lane in &mut self.lanes {
            while let Some((at, alarm)) = lane.queue.front() {
                if has_purpose(alarm) {
                    earliest = earliest.min(*at);
                    any = true;
                    break;
                }
                lane.queue.pop_front();
            }
        }
        while let Some(Reverse((at, _, alarm))) = self.heap.peek() {
            if has_purpose(alarm) {
                earliest = earliest.min(*at);
                any = true;
                break;
            }
            self.heap.pop();
        }
        self.wake_at = any.then_some(earliest);
    }

    /// Returns when the earliest alarm goes off, as of the last `settle`.
    pub(super) const fn wake_at(&self) -> Option<Time> {
        self.wake_at
    }
}

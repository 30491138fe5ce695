//! Timers: when the machine wants to be woken, and for what.
//!
//! Most timers are set a constant span ahead, so each such span has a lane, a queue that is in
//! order by construction: setting one is O(1). What does not fit goes to a heap. A timer is never
//! removed when it loses its purpose; instead it is dropped when it comes first, or when it is its
//! lane's turn to have its front cleared. As the front belongs to the oldest request still under way,
//! lanes stay as short as the traffic is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::requests::{AttemptKey, RequestKey};
use crate::unit::{NodeId, PeerId, PoolId, Span, Time};

/// What to do when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The first token should have come by now.
    FirstToken(AttemptKey),
    /// The answer is of no use any more.
    Deadline(RequestKey),
    /// The request has waited long enough, if it still stands in this place.
    GiveUp(RequestKey, u64),
    /// The pause before a retry is over.
    Backoff(RequestKey),
    /// The node's ejection or limit may be over.
    CooldownOver(NodeId),
    /// The next probe of a node that is ejected or coming back, after the one of this number.
    Reprobe(NodeId, u32),
    /// The next probe of a node in service.
    ProbeDue(NodeId),
    /// This probe should have been answered by now.
    ProbeTimeout(NodeId, u32),
    /// The peer's word of this number is too old by now.
    Silence(PeerId, u32),
    /// Look at the size of this group of nodes.
    Scale(u16),
    /// The oldest of this pool's batch may have been held long enough.
    Window(PoolId),
    /// The first token is late enough for a second attempt beside this one.
    Hedge(AttemptKey),
    /// A limit a minute may have room again.
    QuotaRefill,
    /// Ask this node for a token.
    Generate(NodeId),
    /// Look at how full the nodes are.
    Saturation,
}

/// At most so many spans have a lane of their own.
const LANES_MAX: usize = 12;

#[derive(Debug)]
struct TimerLane {
    span: Span,
    /// When the first of the queue goes off; the end of time if there is none.
    first: Time,
    queue: VecDeque<(Time, Timer)>,
}

impl TimerLane {
    fn pop(&mut self) -> Option<Timer> {
        let popped = self.queue.pop_front();
        self.first = self.queue.front().map_or(Time::MAX, |(at, _)| *at);
        popped.map(|(_, timer)| timer)
    }
}

/// Every so many steps the front of one lane is cleared.
const CLEAR_EVERY: u32 = 8;

/// The place of the heap among the lanes: behind them.
const HEAP: usize = usize::MAX;

/// All timers.
#[derive(Debug)]
pub(super) struct Timers {
    lanes: Vec<TimerLane>,
    heap: BinaryHeap<Reverse<(Time, u64, Timer)>>,
    /// Number of the next entry of the heap: equal times go off in the order they were set.
    next: u64,
    /// When the earliest timer goes off, and the lane it is in. Equal times go off lane by lane, then
    /// by age.
    earliest: (Time, usize),
    wake_at: Option<Time>,
    /// Calls of `settle`, and the lane whose front was cleared last.
    steps: u32,
    turn: usize,
}

impl Default for Timers {
    fn default() -> Timers {
        let (lanes, heap) = (Vec::new(), BinaryHeap::new());
        let earliest = (Time::MAX, HEAP);
        Timers { lanes, heap, next: 0, earliest, wake_at: None, steps: 0, turn: 0 }
    }
}

impl Timers {
    /// Sets a timer `span` after `from`; cheap if many use the same span.
    pub(super) fn after(&mut self, from: Time, span: Span, timer: Timer) {
        let at = from + span;
        if at == Time::MAX {
            return;
        }
        let place = self.lanes.iter().position(|lane| lane.span == span);
        let place = place.or_else(|| self.new_lane(span));
        match place.map(|place| (place, &mut self.lanes[place])) {
            Some((place, lane)) if lane.queue.back().is_none_or(|(last, _)| *last <= at) => {
                lane.first = lane.first.min(at);
                self.earliest = self.earliest.min((lane.first, place));
                lane.queue.push_back((at, timer));
            }
            _ => self.at(at, timer),
        }
    }

    /// Gives an empty lane a new span, or opens one.
    fn new_lane(&mut self, span: Span) -> Option<usize> {
        if let Some(place) = self.lanes.iter().position(|lane| lane.queue.is_empty()) {
            self.lanes[place].span = span;
            return Some(place);
        }
        (self.lanes.len() < LANES_MAX).then(|| {
            self.lanes.push(TimerLane { span, first: Time::MAX, queue: VecDeque::new() });
            self.lanes.len() - 1
        })
    }

    /// Sets a timer at a time of its own. The end of time is never: a timer there could set
    /// another one at once, without end.
    pub(super) fn at(&mut self, at: Time, timer: Timer) {
        if at == Time::MAX {
            return;
        }
        self.heap.push(Reverse((at, self.next, timer)));
        self.earliest = self.earliest.min((at, HEAP));
        self.next += 1;
    }

    /// Takes the first timer out of a lane, or the heap.
    fn pop(&mut self, lane: usize) -> Option<Timer> {
        let timer = match self.lanes.get_mut(lane) {
            Some(lane) => lane.pop(),
            None => self.heap.pop().map(|Reverse((.., timer))| timer),
        };
        if lane == self.earliest.1 {
            let heap = self.heap.peek().map_or(Time::MAX, |Reverse((at, ..))| *at);
            let lanes = self.lanes.iter().enumerate().map(|(place, lane)| (lane.first, place));
            self.earliest = lanes.fold((heap, HEAP), Ord::min);
        }
        timer
    }

    /// Takes the earliest timer that is due.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let (at, lane) = self.earliest;
        if at <= now { self.pop(lane) } else { None }
    }

    fn first_of(&self, lane: usize) -> Option<&Timer> {
        match self.lanes.get(lane) {
            Some(lane) => lane.queue.front().map(|(_, timer)| timer),
            None => self.heap.peek().map(|Reverse((.., timer))| timer),
        }
    }

    /// Drops timers without a purpose from the fronts and finds the next time to wake.
    pub(super) fn settle(&mut self, has_purpose: impl Fn(&Timer) -> bool) {
        // One lane, and that only now and then: who looked at all of them every time would do so at
        // every step of every request.
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(CLEAR_EVERY) && !self.lanes.is_empty() {
            self.turn = (self.turn + 1) % self.lanes.len();
            while self.first_of(self.turn).is_some_and(|timer| !has_purpose(timer)) {
                self.pop(self.turn);
            }
        }
        self.wake_at = loop {
            let (at, lane) = self.earliest;
            match self.first_of(lane) {
                None => break None,
                Some(timer) if has_purpose(timer) => break Some(at),
                Some(_) => self.pop(lane),
            };
        };
    }

    /// Returns when the earliest timer goes off, as of the last `settle`.
    pub(super) const fn wake_at(&self) -> Option<Time> {
        self.wake_at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Timers go off in the order of their times, each once, whatever lane they are in; those that
        /// have lost their purpose never wake anybody.
        #[test]
        fn timers_go_off_in_order_and_idle_ones_wake_nobody(
            sets in prop::collection::vec((0_u64..50, 0_u64..20, any::<bool>()), 1..80),
            idle in 0_u32..5,
        ) {
            let mut timers = Timers::default();
            let mut wanted = Vec::new();
            let mut now = Time::ZERO;
            for (number, (pause, span, lane)) in sets.iter().enumerate() {
                now = now + Span(*pause);
                let timer = Timer::Reprobe(NodeId(number as u32), 0);
                if *lane {
                    timers.after(now, Span(*span), timer);
                } else {
                    timers.at(now + Span(*span), timer);
                }
                wanted.push(now + Span(*span));
            }
            let purpose = |timer: &Timer| {
                matches!(timer, Timer::Reprobe(node, _) if node.0 % 5 != idle)
            };
            let at_of = |timer: Timer| match timer {
                Timer::Reprobe(node, _) => wanted[node.0 as usize],
                _ => Time::ZERO,
            };
            let mut heard = 0;
            let mut last = Time::ZERO;
            loop {
                timers.settle(purpose);
                let Some(wake) = timers.wake_at() else { break };
                if wake > Time::ZERO {
                    prop_assert_eq!(timers.pop_due(Time(wake.0 - 1)), None, "not before its time");
                }
                let timer = timers.pop_due(wake).expect("it is due");
                prop_assert_eq!(at_of(timer), wake);
                prop_assert!(wake >= last);
                last = wake;
                heard += usize::from(purpose(&timer));
            }
            let useful = (0..sets.len() as u32).filter(|number| number % 5 != idle).count();
            prop_assert_eq!(heard, useful);
        }
    }

    #[test]
    fn the_end_of_time_never_comes() {
        let mut timers = Timers::default();
        timers.at(Time::MAX, Timer::Saturation);
        timers.after(Time(1), Span::MAX, Timer::Saturation);
        timers.settle(|_| true);
        assert_eq!(timers.wake_at(), None);
    }
}

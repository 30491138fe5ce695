//! Intervals of ten seconds, by node, class and pool, for exports: closed ones are handed on, so
//! memory does not grow with the length of the run.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::window::WINDOW;
use crate::unit::{Cost, Span, Time, Tokens};

const DIGITS: u8 = 3;

/// What an interval is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntervalScope {
    /// All requests.
    All,
    /// Requests of a class.
    Class(usize),
    /// Requests whose last attempt a pool made.
    Pool(usize),
    /// Attempts of a node.
    Node(usize),
}

/// One thing that ended: an attempt, or a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Latency, where it ended well.
    pub(super) latency: Option<Span>,
    /// Whether it failed.
    pub(super) bad: bool,
    /// Output tokens.
    pub(super) output: Tokens,
    /// What it cost.
    pub(super) cost: Cost,
}

/// What happened in ten seconds. Attempts for a node, requests for everything else.
#[derive(Clone, Debug)]
pub struct Interval {
    /// What it is about.
    pub scope: IntervalScope,
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// Latency in microseconds of those that ended well.
    pub latency: Histogram<u64>,
    /// Those that ended.
    pub ended: u64,
    /// Those that failed or were rejected.
    pub bad: u64,
    /// Tokens of prompts.
    pub input: Tokens,
    /// Tokens of answers.
    pub output: Tokens,
    /// Tokens of attempts that ended, at their price.
    pub cost: Cost,
}

impl Interval {
    fn new(scope: IntervalScope, start: Time) -> Interval {
        Interval {
            scope,
            start,
            end: start + WINDOW,
            latency: Histogram::new(DIGITS).expect("one to five digits"),
            ended: 0,
            bad: 0,
            input: Tokens::ZERO,
            output: Tokens::ZERO,
            cost: Cost::ZERO,
        }
    }
}

/// Collects intervals.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals {
    start: Time,
    open: BTreeMap<IntervalScope, Interval>,
    closed: Vec<Interval>,
}

impl Intervals {
    /// Closes the open intervals if their time is over. Times without an event leave no interval.
    pub(super) fn advance(&mut self, now: Time) {
        if now >= self.start + WINDOW {
            self.close();
            self.start = Time(now.0 - now.0 % WINDOW.0);
        }
    }

    fn close(&mut self) {
        self.closed.extend(std::mem::take(&mut self.open).into_values());
    }

    fn open(&mut self, scope: IntervalScope) -> &mut Interval {
        let start = self.start;
        self.open.entry(scope).or_insert_with(|| Interval::new(scope, start))
    }

    /// Books the cost of an attempt to its class, pool and all.
    pub(super) fn spend(&mut self, scope: IntervalScope, cost: Cost) {
        self.open(scope).cost += cost;
    }

    pub(super) fn add(&mut self, scope: IntervalScope, sample: &Sample, input: Tokens) {
        let interval = self.open(scope);
        if let Some(latency) = sample.latency {
            let micros = latency.micros().min(1 << 47);
            interval.latency.record(micros).expect("the histogram grows as needed");
        }
        interval.ended += 1;
        interval.bad += u64::from(sample.bad);
        interval.input += input;
        interval.output += sample.output;
        interval.cost += sample.cost;
    }

    pub(super) const fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    pub(super) fn take(&mut self, last: bool) -> Vec<Interval> {
        if last {
            self.close();
        }
        std::mem::take(&mut self.closed)
    }
}

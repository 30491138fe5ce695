//! The last ten seconds, as they were: whatever is asked of them is counted from the same notes.
//!
//! A note of some thirty bytes is written for each dispatch, each end of an attempt and each end of a
//! request, and is dropped when it is ten seconds old. What a picture shows of nodes, classes and tenants
//! is counted when a picture is made, so it costs a run next to nothing, and it does not depend on when
//! pictures were made before. Only what the chart of the past needs at every tenth of a second is kept up
//! to date: counts, money, and latency in a [`Coarse`] histogram.

mod coarse;
mod nodes;
#[cfg(test)]
mod tests;

pub(super) use nodes::{NodeNow, NodeWindow};

use std::collections::VecDeque;

use coarse::{Coarse, bucket};

use super::counts::share;
use super::snapshot::{Figures, NEVER, Point};
use crate::unit::{Cost, Span, Time};

/// The length of the window.
pub(super) const WINDOW: Span = Span::from_secs(10);

/// More notes of a kind than this are not kept; the oldest leave early, and the window is shorter then.
const NOTES_MAX: usize = 4 << 20;

/// What an attempt did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoteWord {
    /// It was sent to a node.
    Began,
    /// The same after a failure.
    BeganAgain,
    /// It ended well.
    Good,
    /// It failed.
    Bad,
    /// It was given up: another one was faster, or the client went away.
    GivenUp,
}

/// A note of an attempt.
#[derive(Clone, Copy, Debug)]
struct AttemptNote {
    at: Time,
    cost: u64,
    node: u32,
    tokens: u32,
    /// Seconds since its dispatch, of a good one.
    took: f32,
    word: NoteWord,
}

impl AttemptNote {
    const fn is_begin(&self) -> bool {
        matches!(self.word, NoteWord::Began | NoteWord::BeganAgain)
    }
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedAttempt {
    pub(super) at: Time,
    pub(super) node: u32,
    pub(super) took: Span,
    /// Whether it was good; `None` if it was given up.
    pub(super) good: Option<bool>,
    pub(super) tokens: u64,
    pub(super) cost: Cost,
}

/// A request at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedRequest {
    pub(super) at: Time,
    pub(super) class: u16,
    pub(super) tenant: u32,
    /// To its last token, where there is a whole answer; else until it counts as never answered.
    pub(super) latency: Span,
    pub(super) ttft: Span,
    /// Those of the [`flag`]s that are so.
    pub(super) flags: u8,
}

/// What is to be known of a request at its end.
pub(super) mod flag {
    /// It has a whole answer.
    pub(in crate::metrics) const DONE: u8 = 1;
    /// It failed or was turned away.
    pub(in crate::metrics) const BAD: u8 = 2;
    /// Another node than the one first meant served it.
    pub(in crate::metrics) const FAILOVER: u8 = 4;
    /// Its last token was promised by some time, and that it has an answer by then.
    pub(in crate::metrics) const PROMISED: u8 = 8;
    /// It did not keep that.
    pub(in crate::metrics) const LATE: u8 = 16;
    /// The same of its first token.
    pub(in crate::metrics) const FIRST_PROMISED: u8 = 32;
    /// It did not keep that.
    pub(in crate::metrics) const FIRST_LATE: u8 = 64;
}

/// A note of a request.
#[derive(Clone, Copy, Debug)]
struct RequestNote {
    at: Time,
    latency: f32,
    ttft: f32,
    tenant: u32,
    class: u16,
    bucket: u16,
    flags: u8,
}

impl RequestNote {
    fn of(ended: &EndedRequest) -> RequestNote {
        RequestNote {
            at: ended.at,
            latency: seconds(ended.latency),
            ttft: seconds(ended.ttft),
            tenant: ended.tenant,
            class: ended.class,
            bucket: bucket(ended.latency.micros()),
            flags: ended.flags,
        }
    }

    const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What the chart of the past needs, kept up to date.
#[derive(Clone, Debug, Default)]
struct RunningSums {
    latency: Coarse,
    ended: u64,
    bad: u64,
    retries: u64,
    tokens: u64,
    cost: u128,
}

/// The window.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    attempts: VecDeque<AttemptNote>,
    requests: VecDeque<RequestNote>,
    /// Jobs at their ends; the class is the workflow.
    jobs: VecDeque<RequestNote>,
    running: RunningSums,
    /// A note of this time has left before its time: the window begins after it.
    early: Time,
}

impl Window {
    /// An attempt was sent to a node, after a failure or not.
    pub(super) fn began(&mut self, at: Time, node: u32, retry: bool) {
        let word = if retry { NoteWord::BeganAgain } else { NoteWord::Began };
        self.running.retries += u64::from(retry);
        self.note_attempt(AttemptNote { at, cost: 0, node, tokens: 0, took: 0.0, word });
    }

    /// An attempt is over.
    pub(super) fn ended(&mut self, ended: &EndedAttempt) {
        let word = match ended.good {
            Some(true) => NoteWord::Good,
            Some(false) => NoteWord::Bad,
            None => NoteWord::GivenUp,
        };
        let note = AttemptNote {
            at: ended.at,
            cost: ended.cost.0.min(u128::from(u64::MAX)) as u64,
            node: ended.node,
            tokens: ended.tokens.min(u64::from(u32::MAX)) as u32,
            took: seconds(ended.took),
            word,
        };
        self.running.tokens += u64::from(note.tokens);
        self.running.cost += u128::from(note.cost);
        self.note_attempt(note);
    }

    fn note_attempt(&mut self, note: AttemptNote) {
        // Old notes leave before there is room made for more, and when a picture is made.
        if self.attempts.len() == self.attempts.capacity() || self.attempts.len() >= NOTES_MAX {
            self.drop_attempts(note.at);
            if self.attempts.len() >= NOTES_MAX {
                self.early = self.attempts.front().map_or(self.early, |oldest| oldest.at);
                self.drop_attempt();
            }
        }
        self.attempts.push_back(note);
    }

    /// A request has reached its end.
    pub(super) fn settled(&mut self, ended: &EndedRequest) {
        if self.requests.len() == self.requests.capacity() || self.requests.len() >= NOTES_MAX {
            self.drop_requests(ended.at);
            if self.requests.len() >= NOTES_MAX {
                self.early = self.requests.front().map_or(self.early, |oldest| oldest.at);
                self.drop_request();
            }
        }
        let note = RequestNote::of(ended);
        self.running.ended += 1;
        self.running.bad += u64::from(note.is(flag::BAD));
        if note.is(flag::DONE) {
            self.running.latency.add(note.bucket);
        }
        self.requests.push_back(note);
    }

    /// A job has come to its end; its class is its workflow.
    pub(super) fn job_ended(&mut self, ended: &EndedRequest) {
        if self.jobs.len() >= NOTES_MAX {
            self.early = self.jobs.front().map_or(self.early, |oldest| oldest.at);
            self.jobs.pop_front();
        }
        self.jobs.push_back(RequestNote::of(ended));
    }

    /// Forgets what is older than the window.
    pub(super) fn expire(&mut self, now: Time) {
        self.drop_attempts(now);
        self.drop_requests(now);
        while self.jobs.front().is_some_and(|note| now.since(note.at) >= WINDOW) {
            self.jobs.pop_front();
        }
    }

    fn drop_attempts(&mut self, now: Time) {
        while self.attempts.front().is_some_and(|note| now.since(note.at) >= WINDOW) {
            self.drop_attempt();
        }
    }

    fn drop_attempt(&mut self) {
        if let Some(note) = self.attempts.pop_front() {
            self.running.retries -= u64::from(note.word == NoteWord::BeganAgain);
            self.running.tokens -= u64::from(note.tokens);
            self.running.cost -= u128::from(note.cost);
        }
    }

    fn drop_requests(&mut self, now: Time) {
        while self.requests.front().is_some_and(|note| now.since(note.at) >= WINDOW) {
            self.drop_request();
        }
    }

    fn drop_request(&mut self) {
        if let Some(note) = self.requests.pop_front() {
            self.running.ended -= 1;
            self.running.bad -= u64::from(note.is(flag::BAD));
            if note.is(flag::DONE) {
                self.running.latency.take(note.bucket);
            }
        }
    }

    /// Returns how long the window is at `now`: ten seconds, less at the start.
    pub(super) fn length(&self, now: Time) -> Span {
        let begin = Time(now.0.saturating_sub(WINDOW.0)).max(self.early);
        now.since(begin)
    }

    /// Returns the same in seconds, never zero.
    pub(super) fn seconds(&self, now: Time) -> f64 {
        self.length(now).seconds().max(0.1)
    }

    /// Returns a point of the past, for a window that has expired to it; hourly prices of nodes come on
    /// top.
    pub(super) fn point(&self, now: Time, hourly: f64) -> Point {
        let (running, seconds) = (&self.running, self.seconds(now));
        let latency = &running.latency;
        let [p50, p95, p99] = latency.quantiles([0.5, 0.95, 0.99]);
        Point {
            p50,
            p95,
            p99,
            samples: latency.total().min(u64::from(u32::MAX)) as u32,
            requests_per_s: running.ended as f64 / seconds,
            error_share: share(running.bad, running.ended),
            dollars_per_hour: per_hour(running.cost, seconds) + hourly,
            tokens_per_s: running.tokens as f64 / seconds,
        }
    }

    /// Returns the figures of the window, which has expired to `now`; hourly prices of nodes come on top.
    pub(super) fn figures(&self, now: Time, hourly: f64) -> Figures {
        let seconds = self.seconds(now);
        let mut all = RequestSample::default();
        self.requests.iter().for_each(|note| all.hear(note));
        Figures {
            dollars_per_hour: per_hour(self.running.cost, seconds) + hourly,
            tokens_per_s: self.running.tokens as f64 / seconds,
            retries_per_min: self.running.retries as f64 / seconds * 60.0,
            ..all.figures(seconds)
        }
    }

    /// Returns the figures of each class of so many: what requests of a class tell, without money.
    pub(super) fn classes(&self, now: Time, classes: usize) -> Vec<Figures> {
        self.rows(&self.requests, now, classes, |note| Some(usize::from(note.class)))
    }

    /// Returns the same of jobs by workflow.
    pub(super) fn workflows(&self, now: Time, workflows: usize) -> Vec<Figures> {
        self.rows(&self.jobs, now, workflows, |note| Some(usize::from(note.class)))
    }

    /// Returns the same of tenants, in so many rows; `row` gives a tenant its place.
    pub(super) fn tenants(
        &self,
        now: Time,
        rows: usize,
        row: impl Fn(u32) -> Option<usize>,
    ) -> Vec<Figures> {
        self.rows(&self.requests, now, rows, |note| row(note.tenant))
    }

    fn rows(
        &self,
        notes: &VecDeque<RequestNote>,
        now: Time,
        rows: usize,
        row: impl Fn(&RequestNote) -> Option<usize>,
    ) -> Vec<Figures> {
        let mut samples = vec![RequestSample::default(); rows];
        for note in notes {
            if let Some(sample) = row(note).and_then(|row| samples.get_mut(row)) {
                sample.hear(note);
            }
        }
        let seconds = self.seconds(now);
        samples.into_iter().map(|sample| sample.figures(seconds)).collect()
    }
}

/// Pico-dollars in so many seconds as dollars an hour.
fn per_hour(cost: u128, seconds: f64) -> f64 {
    Cost(cost).dollars() / seconds * 3_600.0
}

/// A time as it is noted; one that never comes is infinite.
fn seconds(span: Span) -> f32 {
    if span == NEVER { f32::INFINITY } else { span.seconds() as f32 }
}

/// What some requests tell.
#[derive(Clone, Debug, Default)]
struct RequestSample {
    latency: Vec<f32>,
    ttft: Vec<f32>,
    /// What those without an answer count as.
    unanswered: Vec<f32>,
    ended: u64,
    bad: u64,
    failovers: u64,
    /// Those to whom something was promised, and those of them for whom it was not kept: to the last
    /// token, and to the first.
    promised: [u64; 2],
    late: [u64; 2],
}

impl RequestSample {
    fn hear(&mut self, note: &RequestNote) {
        self.ended += 1;
        self.bad += u64::from(note.is(flag::BAD));
        self.failovers += u64::from(note.is(flag::FAILOVER));
        self.promised[0] += u64::from(note.is(flag::PROMISED));
        self.promised[1] += u64::from(note.is(flag::FIRST_PROMISED));
        self.late[0] += u64::from(note.is(flag::LATE));
        self.late[1] += u64::from(note.is(flag::FIRST_LATE));
        if note.is(flag::DONE) {
            self.latency.push(note.latency);
            self.ttft.push(note.ttft);
        } else if note.is(flag::BAD) {
            self.unanswered.push(note.latency);
        }
    }

    fn figures(mut self, seconds: f64) -> Figures {
        let samples = self.latency.len() as u64;
        let latency = &mut self.latency;
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| nth(latency, quantile));
        let late =
            |at: usize| (self.promised[at] > 0).then(|| share(self.late[at], self.promised[at]));
        let (late, late_first) = (late(0), late(1));
        latency.append(&mut self.unanswered);
        Figures {
            requests_per_s: self.ended as f64 / seconds,
            p50,
            p95,
            p99,
            p99_all: nth(latency, 0.99),
            samples,
            ttft_p99: nth(&mut self.ttft, 0.99),
            error_share: share(self.bad, self.ended),
            late,
            late_first,
            failovers_per_min: self.failovers as f64 / seconds * 60.0,
            ..Figures::default()
        }
    }
}

/// Returns a quantile of values: the least that so large a share of them does not exceed. Reorders them.
fn nth(values: &mut [f32], quantile: f64) -> Option<Span> {
    let last = values.len().checked_sub(1)?;
    let at = ((quantile * values.len() as f64).ceil() as usize).saturating_sub(1).min(last);
    let (_, value, _) = values.select_nth_unstable_by(at, f32::total_cmp);
    Some(if value.is_finite() { Span::from_seconds(f64::from(*value)) } else { NEVER })
}

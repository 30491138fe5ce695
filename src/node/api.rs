//! A hosted model behind an API: nothing is known of its inside but how it answers.
//!
//! Time to the first token and tokens per second are drawn for each request; then the answer takes
//! `ttft + (tokens - 1) / speed`. Concurrency and requests and tokens a minute are limited as
//! providers do: beyond them the answer is 429 with the time until the bucket has room. Buckets
//! hold one minute's worth, start full and fill continuously (GCRA). Tokens are counted when a
//! request comes: its prompt and its answer.
//!
//! What an attempt had used when it was cut: nothing before the first token; afterwards its prompt
//! and the tokens that had come.

use super::jobs::{JobKey, JobStage, RunningJob, RunningJobs, Task};
use super::{ERROR_AFTER, FaultEffects, Rank, Scheduled, Scheduler, Slowdown, Work};
use crate::balance::{Attempt, Failure, Input, Limits, NodeReport, Outcome, Progress, Usage};
use crate::dist::Dist;
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time, Tokens};

/// A hosted model.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiSpec {
    /// Seconds to the first token.
    pub ttft: Dist,
    /// Tokens a second after it, in one stream.
    pub tokens_per_second: Dist,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug)]
enum StreamStage {
    /// No token yet; the rest of the answer will take so long.
    Prefill(Span),
    /// The first token has come; the rest takes so long in all.
    Decode(Span),
}

impl JobStage for StreamStage {
    fn has_begun(&self) -> bool {
        matches!(self, StreamStage::Decode(_))
    }
}

#[derive(Debug)]
pub(super) struct Api {
    spec: ApiSpec,
    /// Its limits as configured, and as they are.
    configured: Limits,
    limits: Limits,
    requests: RateBucket,
    tokens: RateBucket,
    running: RunningJobs<StreamStage>,
    /// The executor takes a stream for stalled after a gap of so long.
    inter_token: Option<Span>,
    /// When the node began to hang, while it does.
    hangs: Option<Time>,
    node: NodeId,
}

/// What is left of a limit a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemainingLimit {
    /// The limit a minute.
    pub limit: u64,
    /// What fits now.
    pub left: u64,
    /// When all of it fits again.
    pub full_in: Span,
}

/// What is left of the limits a minute, where there are such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemainingQuota {
    /// Requests.
    pub requests: Option<RemainingLimit>,
    /// Tokens.
    pub tokens: Option<RemainingLimit>,
}

const MINUTE: Span = Span::from_secs(60);

/// A generic cell rate algorithm: `full_at` is when the bucket will be full again.
#[derive(Clone, Copy, Debug, Default)]
struct RateBucket {
    full_at: Time,
}

impl RateBucket {
    /// Returns how long until `amount` of `per_minute` fits; zero if it does now.
    fn wait(&self, now: Time, amount: u64, per_minute: u64) -> Span {
        let full_at = self.full_at.max(now) + cost(amount, per_minute);
        full_at.since(now + MINUTE)
    }

    fn allowance(&self, now: Time, limit: u64) -> RemainingLimit {
        let full_in = self.full_at.since(now);
        let free = u128::from((MINUTE - full_in).0) * u128::from(limit) / u128::from(MINUTE.0);
        RemainingLimit { limit, left: u64::try_from(free).unwrap_or(limit), full_in }
    }

    fn take(&mut self, now: Time, amount: u64, per_minute: u64) {
        self.full_at = self.full_at.max(now) + cost(amount, per_minute);
    }
}

/// The time in which `amount` flows in.
fn cost(amount: u64, per_minute: u64) -> Span {
    let nanos = u128::from(amount) * u128::from(MINUTE.0) / u128::from(per_minute.max(1));
    Span(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Api {
    pub(super) fn new(
        node: NodeId,
        spec: ApiSpec,
        limits: Limits,
        inter_token: Option<Span>,
    ) -> Api {
        Api {
            spec,
            configured: limits,
            limits,
            requests: RateBucket::default(),
            tokens: RateBucket::default(),
            running: RunningJobs::new(node),
            inter_token,
            hangs: None,
            node,
        }
    }

    pub(super) fn start(
        &mut self,
        now: Time,
        work: &Work,
        stretch: f64,
        rng: &mut Rng,
        scheduler: &mut impl Scheduler,
    ) {
        if let Some(retry_after) = self.limited(now, work) {
            let limited = Outcome::RateLimited { retry_after };
            return scheduler.schedule(
                now + ERROR_AFTER,
                Rank::Finish,
                Scheduled::Finish(work.attempt, limited),
            );
        }
        let (ttft, rest) = self.times(work, rng);
        let [ttft, rest] = [ttft, rest].map(|span| Slowdown::scale(span, stretch));
        let (task, stage) = (Task::from(work), StreamStage::Prefill(rest));
        self.running.begin(now, task, stage, ttft, Rank::Progress, scheduler);
    }

    /// Returns when an attempt would be whole, in seconds from now; `None` if it would be refused as
    /// things are. Streams do not disturb each other.
    pub(super) fn outlook(
        &self,
        now: Time,
        work: &Work,
        before: usize,
        rng: &mut Rng,
    ) -> Option<f64> {
        let slowdown = self.running.moves()?;
        let room = self
            .limits
            .concurrency
            .is_none_or(|limit| self.running.len() + before < limit as usize);
        if !room || self.pause(now, work) != Some(Span::ZERO) {
            return None;
        }
        let (ttft, rest) = self.times(work, rng);
        Some(ttft.seconds() * slowdown.first + rest.seconds() * slowdown.further)
    }

    /// Draws how long an attempt takes to its first token, and from there to its last.
    fn times(&self, work: &Work, rng: &mut Rng) -> (Span, Span) {
        let ttft = Span::from_seconds(self.spec.ttft.sample(rng));
        // Below a token an hour the answer would outlast any run.
        let speed = self.spec.tokens_per_second.sample(rng).max(1.0 / 3_600.0);
        (ttft, Span::from_seconds((work.truth.output.0 - 1) as f64 / speed))
    }

    /// Returns how long until the buckets have room for a request; `None` if they never have.
    fn pause(&self, now: Time, work: &Work) -> Option<Span> {
        let tokens = (work.prompt + work.truth.output).0;
        // More than the bucket holds never fits: there is no time to tell.
        if self.limits.tokens_per_minute.is_some_and(|rate| tokens > rate) {
            return None;
        }
        let by_requests =
            self.limits.requests_per_minute.map(|rate| self.requests.wait(now, 1, rate));
        let by_tokens =
            self.limits.tokens_per_minute.map(|rate| self.tokens.wait(now, tokens, rate));
        Some(by_requests.max(by_tokens).unwrap_or(Span::ZERO))
    }

    /// Takes the request from the buckets. Returns the pause it is told if it does not fit.
    #[expect(clippy::option_option, reason = "a 429 may come without a time")]
    fn limited(&mut self, now: Time, work: &Work) -> Option<Option<Span>> {
        let tokens = (work.prompt + work.truth.output).0;
        let full =
            self.limits.concurrency.is_some_and(|limit| self.running.len() >= limit as usize);
        let Some(wait) = self.pause(now, work).filter(|_| !full) else {
            return Some(None);
        };
        if wait > Span::ZERO {
            return Some(Some(wait));
        }
        if let Some(rate) = self.limits.requests_per_minute {
            self.requests.take(now, 1, rate);
        }
        if let Some(rate) = self.limits.tokens_per_minute {
            self.tokens.take(now, tokens, rate);
        }
        None
    }

    pub(super) fn fire(
        &mut self,
        now: Time,
        key: JobKey,
        turn: u32,
        scheduler: &mut impl Scheduler,
    ) -> Option<Input> {
        if self.hangs.is_some() {
            return self.stalled(now, key, turn);
        }
        let job = self.running.current(key, turn)?;
        let task = job.task;
        match job.stage {
            StreamStage::Prefill(rest) => {
                job.stage = StreamStage::Decode(rest);
                self.running.schedule(now, key, rest, Rank::Finish, scheduler);
                Some(Input::Progress(task.attempt(), Progress::FirstToken))
            }
            StreamStage::Decode(_) => {
                self.running.end(key);
                Some(Input::Finish(task.attempt(), Outcome::Done(task.usage())))
            }
        }
    }

    /// The executor's inter-token timer: no token came since the node began to hang.
    fn stalled(&mut self, now: Time, key: JobKey, turn: u32) -> Option<Input> {
        let job = *self.running.current(key, turn)?;
        let overdue = self.hangs? + self.inter_token?;
        if now < overdue {
            return None;
        }
        let usage = self.used(now, &job);
        self.running.end(key);
        Some(Input::Finish(job.task.attempt(), Outcome::Failed(Failure::Stalled, usage)))
    }

    /// What a cut attempt has used so far.
    fn used(&self, now: Time, job: &RunningJob<StreamStage>) -> Usage {
        let StreamStage::Decode(rest) = job.stage else {
            return Usage::default();
        };
        let output = job.task.output.0;
        let left = self.running.left_at_normal_pace(now, job);
        let done = 1.0 - left.seconds() / rest.seconds().max(1e-9);
        let came = 1 + (done.clamp(0.0, 1.0) * (output - 1) as f64) as u64;
        Usage {
            input: job.task.prompt,
            cached: Tokens::ZERO,
            output: Tokens(came.min(output)),
            estimated: false,
        }
    }

    pub(super) fn came(&self, now: Time, attempt: Attempt) -> Option<Tokens> {
        self.running.find(attempt).map(|(_, job)| self.used(now, &job).output)
    }

    pub(super) fn quota(&self, now: Time) -> RemainingQuota {
        let of =
            |bucket: &RateBucket, limit: Option<u64>| limit.map(|rate| bucket.allowance(now, rate));
        RemainingQuota {
            requests: of(&self.requests, self.limits.requests_per_minute),
            tokens: of(&self.tokens, self.limits.tokens_per_minute),
        }
    }

    /// What it works on, and what is left of its quota.
    pub(super) fn report(&self, now: Time) -> NodeReport {
        let quota = self.quota(now);
        NodeReport {
            running: self.running.len() as u32,
            requests_left: quota.requests.map(|left| left.left),
            tokens_left: quota.tokens.map(|left| Tokens(left.left)),
            ..NodeReport::default()
        }
    }

    pub(super) fn abort(&mut self, now: Time, attempt: Attempt) -> Option<Usage> {
        let (key, job) = self.running.find(attempt)?;
        let usage = self.used(now, &job);
        self.running.end(key);
        Some(usage)
    }

    pub(super) fn apply_faults(
        &mut self,
        now: Time,
        effects: &FaultEffects,
        scheduler: &mut impl Scheduler,
    ) {
        let (usual, now_are) = (&self.configured, &effects.limits);
        self.limits = Limits {
            concurrency: now_are.concurrency.or(usual.concurrency),
            requests_per_minute: now_are.requests_per_minute.or(usual.requests_per_minute),
            tokens_per_minute: now_are.tokens_per_minute.or(usual.tokens_per_minute),
        };
        if effects.reset {
            let resets: Vec<(Attempt, Usage)> =
                self.running.jobs().map(|job| (job.task.attempt(), self.used(now, job))).collect();
            self.running.clear();
            for (attempt, usage) in resets {
                let reset = Outcome::Failed(Failure::Reset, usage);
                scheduler.schedule(now, Rank::Finish, Scheduled::Finish(attempt, reset));
            }
        }
        let rank = |stage: &StreamStage| match stage {
            StreamStage::Prefill(_) => Rank::Progress,
            StreamStage::Decode(_) => Rank::Finish,
        };
        self.running.slow_down(now, effects.slowdown, effects.hangs, rank, scheduler);
        self.hangs = effects.hangs.then(|| self.hangs.unwrap_or(now));
        self.watch_streams(now, scheduler);
    }

    /// While the node hangs, sets the executor's inter-token timer on every stream that has begun.
    /// A change of pace moves every job to a new turn, so it is set again then.
    fn watch_streams(&self, now: Time, scheduler: &mut impl Scheduler) {
        let Some((since, gap)) = self.hangs.zip(self.inter_token) else { return };
        let overdue = (since + gap).max(now);
        for (key, turn) in self.running.turns(|stage| matches!(stage, StreamStage::Decode(_))) {
            scheduler.schedule(overdue, Rank::Finish, Scheduled::Job(self.node, key, turn));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_minutes_worth_at_once_and_then_its_rate() {
        let mut bucket = RateBucket::default();
        let now = Time::ZERO + Span::from_secs(100);
        for _ in 0..60 {
            assert_eq!(bucket.wait(now, 1, 60), Span::ZERO);
            bucket.take(now, 1, 60);
        }
        assert_eq!(bucket.wait(now, 1, 60), Span::from_secs(1));
        assert_eq!(bucket.wait(now + Span::from_secs(1), 1, 60), Span::ZERO);
        let left = bucket.allowance(now, 60);
        assert_eq!((left.limit, left.left, left.full_in), (60, 0, Span::from_secs(60)));
        assert_eq!(bucket.allowance(now + Span::from_secs(15), 60).left, 15);
        assert!(bucket.wait(now, u64::MAX, 1) > Span::from_secs(3_600), "no overflow");
    }

    #[derive(Default)]
    struct Entries(Vec<(Time, Scheduled)>);

    impl Scheduler for Entries {
        fn schedule(&mut self, at: Time, _: Rank, due: Scheduled) {
            self.0.push((at, due));
        }
    }

    /// A node that takes 1 s to the first token and then gives 10 a second, at its second second,
    /// in the middle of an answer of 41 tokens.
    fn streaming(tokens_per_minute: Option<u64>) -> (Api, Entries, Attempt, Time) {
        let law = |value| Dist::constant(value).expect("finite");
        let spec = ApiSpec { ttft: law(1.0), tokens_per_second: law(10.0) };
        let limits = Limits { tokens_per_minute, ..Limits::default() };
        let mut api = Api::new(NodeId(0), spec, limits, Some(Span::from_secs(5)));
        let attempt = Attempt { request: crate::unit::RequestId(0), ordinal: 0 };
        let truth = crate::workload::Truth { output: Tokens(41), key: 0, text: None };
        let work = Work { attempt, prompt: Tokens(100), truth, batch: None };
        let mut entries = Entries::default();
        api.start(Time::ZERO, &work, 1.0, &mut Rng::from_key(0), &mut entries);
        if let [(at, Scheduled::Job(_, key, turn))] = entries.0[..] {
            entries.0.clear();
            let first = api.fire(at, key, turn, &mut entries);
            assert_eq!(first, Some(Input::Progress(attempt, Progress::FirstToken)));
        }
        (api, entries, attempt, Time::ZERO + Span::from_secs(3))
    }

    /// A node that hangs, or does not, at this slowdown.
    fn state(hangs: bool, slow: f64) -> FaultEffects {
        let slowdown = Slowdown { first: slow, further: slow };
        FaultEffects { reset: false, hangs, slowdown, limits: Limits::default() }
    }

    #[test]
    fn a_change_of_pace_does_not_hide_a_stall() {
        let (mut api, mut entries, attempt, now) = streaming(None);
        api.apply_faults(now, &state(true, 1.0), &mut entries);
        api.apply_faults(now + Span::from_secs(2), &state(true, 4.0), &mut entries);
        let fired = std::mem::take(&mut entries.0);
        let fired = fired.into_iter().filter_map(|(at, due)| match due {
            Scheduled::Job(_, key, turn) => Some((at, api.fire(at, key, turn, &mut entries)?)),
            _ => None,
        });
        let [(at, Input::Finish(ended, Outcome::Failed(Failure::Stalled, usage)))] =
            fired.collect::<Vec<_>>()[..]
        else {
            panic!("the stream stalls")
        };
        assert_eq!((at, ended), (now + Span::from_secs(5), attempt), "since the hang began");
        assert_eq!(usage.output, Tokens(21));
    }

    #[test]
    fn a_slow_stream_has_used_what_has_come() {
        let (mut api, mut entries, attempt, now) = streaming(None);
        api.apply_faults(now, &state(false, 4.0), &mut entries);
        let usage = api.abort(now + Span::from_secs(4), attempt).expect("it is under way");
        assert_eq!(usage.output, Tokens(31), "20 in two seconds, 10 more in four slow ones");
    }

    #[test]
    fn what_never_fits_is_told_no_time() {
        let (_, entries, attempt, _) = streaming(Some(140));
        let limited = Outcome::RateLimited { retry_after: None };
        assert_eq!(entries.0, [(Time::ZERO + ERROR_AFTER, Scheduled::Finish(attempt, limited))]);
    }
}

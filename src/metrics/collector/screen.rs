//! What only a screen needs: the last ten seconds, how it came here, the log, and decisions.

use std::sync::Arc;

use crate::balance::{Event, Explanation, Fate, JobFate, JobNews, JobPhase, Settled, Why};
use crate::metrics::heat::{HeatBuckets, HeatMap};
use crate::metrics::history::HistoryBuckets;
use crate::metrics::log::Log;
use crate::metrics::recent::Recent;
use crate::metrics::snapshot::{AttemptOutcome, DecisionRow, History, LogEntry, NEVER};
use crate::metrics::window::{EndedAttempt, EndedRequest, Window, flag};
use crate::metrics::{Labels, Slo};
use crate::unit::{NodeId, RequestId, Span, Time};

use super::group::RequestTimes;

/// What is collected for a screen.
#[derive(Clone, Debug, Default)]
pub(super) struct ScreenFigures {
    window: Window,
    history: HistoryBuckets,
    heat: HeatBuckets,
    log: Log,
    last: Option<DecisionRow>,
    /// What was explained lately.
    recent: Recent,
}

impl ScreenFigures {
    /// For a log that knows which nodes routes mean first.
    pub(super) fn new(log: Log, labels: &Labels) -> ScreenFigures {
        let heat = HeatBuckets::new(labels);
        ScreenFigures { log, heat, ..ScreenFigures::default() }
    }

    /// Writes the log. Every event is heard, and most are not worth a line.
    pub(super) fn hear(&mut self, now: Time, event: &Event, labels: &Labels) {
        self.log.hear(now, event, labels, &mut self.history);
    }

    /// An attempt was sent to a node, after a failure or not.
    pub(super) fn dispatched(
        &mut self,
        at: Time,
        (request, node): (RequestId, NodeId),
        retry: bool,
        why: &Why,
    ) {
        self.window.began(at, node.0, retry);
        self.last = Some(DecisionRow { at, request, why: *why });
    }

    /// An attempt is over.
    pub(super) fn ended(&mut self, ended: &EndedAttempt) {
        self.window.ended(ended);
        if ended.good == Some(false) {
            self.heat.attempt_failed(ended.at, NodeId(ended.node));
        }
    }

    /// A request has reached its end. One of its class without an answer counts as `unanswered` long.
    pub(super) fn settled(
        &mut self,
        now: Time,
        settled: &Settled,
        times: &RequestTimes,
        (slo, unanswered): (&Slo, Span),
    ) {
        let Settled { class, node, fate, .. } = *settled;
        self.heat.settled(now, (class, node), fate, (times.latency, times.ttft));
        let done = settled.fate == Fate::Completed;
        let bad = matches!(settled.fate, Fate::Failed(_) | Fate::Rejected(_));
        let promise = |most: Option<Span>, took: Span, (promised, late): (u8, u8)| match most {
            Some(most) if done && took > most => promised | late,
            Some(_) if bad => promised | late,
            Some(_) if done => promised,
            _ => 0,
        };
        let is = |so: bool, flag: u8| if so { flag } else { 0 };
        let flags = is(done, flag::DONE)
            | is(bad, flag::BAD)
            | is(settled.failover, flag::FAILOVER)
            | promise(slo.total, times.latency, (flag::PROMISED, flag::LATE))
            | promise(slo.first_token, times.ttft, (flag::FIRST_PROMISED, flag::FIRST_LATE));
        self.window.settled(&EndedRequest {
            at: now,
            class: settled.class.0,
            tenant: settled.tenant.0,
            latency: if bad { unanswered } else { times.latency },
            ttft: times.ttft,
            flags,
        });
    }

    /// What nobody but a screen asks about.
    pub(super) fn news(&mut self, now: Time, event: &Event) {
        match event {
            Event::Job(news) => self.job(now, news),
            Event::Explained(explanation) => self.recent.hear(explanation),
            Event::FirstToken { attempt, took, .. } => self.recent.first_token(*attempt, *took),
            _ => {}
        }
    }

    /// Something happened to a job.
    fn job(&mut self, now: Time, news: &JobNews) {
        let JobPhase::Ended { fate, .. } = news.what else { return };
        let done = fate == JobFate::Completed;
        self.window.job_ended(&EndedRequest {
            at: now,
            class: news.workflow.0,
            tenant: 0,
            latency: if done { now.since(news.started) } else { NEVER },
            ttft: Span::ZERO,
            flags: if done { flag::DONE } else { flag::BAD },
        });
    }

    /// An attempt is over, which may be one whose decision was explained.
    pub(super) fn attempt_over(&mut self, outcome: &AttemptOutcome) {
        self.recent.ended(outcome);
    }

    pub(super) fn forget_decisions(&mut self) {
        self.recent.forget();
    }

    /// Returns whether an open bucket is over.
    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.history.due()
    }

    /// Closes the buckets that are over by `now`; `hourly` says what nodes cost an hour by being there, in
    /// the mean of a span up to a time.
    pub(super) fn close_buckets(&mut self, now: Time, hourly: impl Fn(Time, Span) -> f64) {
        while now >= self.history.due() {
            let due = self.history.due();
            self.window.expire(due);
            let hourly = hourly(due, self.window.length(due));
            self.history.close(self.window.point(due, hourly));
        }
    }

    /// Forgets what is older than the window.
    pub(super) fn expire(&mut self, now: Time) {
        self.window.expire(now);
    }

    pub(super) const fn window(&self) -> &Window {
        &self.window
    }

    pub(super) fn history(&self) -> Arc<History> {
        self.history.history()
    }

    pub(super) fn heat(&mut self, now: Time) -> Arc<HeatMap> {
        Arc::new(self.heat.map(now))
    }

    pub(super) fn log(&self) -> Vec<LogEntry> {
        self.log.entries()
    }

    pub(super) const fn log_dropped(&self) -> u64 {
        self.log.dropped()
    }

    pub(super) const fn last(&self) -> Option<DecisionRow> {
        self.last
    }

    pub(super) fn decisions(&self) -> Vec<Arc<Explanation>> {
        self.recent.decisions()
    }

    pub(super) fn outcomes(&self) -> Vec<AttemptOutcome> {
        self.recent.outcomes()
    }
}

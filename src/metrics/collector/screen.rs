//! What only a screen needs: the last ten seconds, how it came here, the log, and decisions.

use std::sync::Arc;

use crate::balance::{Event, Explanation, Why};
use crate::metrics::Labels;
use crate::metrics::counts::share;
use crate::metrics::history::HistoryBuckets;
use crate::metrics::log::Log;
use crate::metrics::recent::Recent;
use crate::metrics::snapshot::{DecisionRow, Figures, History, LogEntry, Point};
use crate::metrics::window::{Sample, WINDOW, Window};
use crate::unit::{Cost, RequestId, Time};

/// What is collected for a screen.
#[derive(Clone, Debug, Default)]
pub(super) struct ScreenFigures {
    window: Window,
    history: HistoryBuckets,
    log: Log,
    last: Option<DecisionRow>,
    /// What was explained lately.
    recent: Recent,
}

impl ScreenFigures {
    /// Writes the log. Every event is heard, and most are not worth a line.
    pub(super) fn hear(&mut self, now: Time, event: &Event, labels: &Labels) {
        self.log.hear(now, event, labels, &mut self.history);
    }

    pub(super) fn dispatched(&mut self, at: Time, request: RequestId, why: Why) {
        self.last = Some(DecisionRow { at, request, why });
    }

    pub(super) fn explained(&mut self, explanation: &Explanation) {
        self.recent.hear(explanation);
    }

    pub(super) fn forget_decisions(&mut self) {
        self.recent.forget();
    }

    pub(super) fn sample(&mut self, sample: &Sample) {
        self.window.add(sample);
    }

    /// Returns whether the open bucket of the history is over.
    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.history.due()
    }

    /// Closes the buckets that are over by `now`. Nobody came or went since the last event, so all
    /// have the same number that wait, and the same hourly prices.
    pub(super) fn close_buckets(&mut self, now: Time, waiting: u64, hourly: f64) {
        while self.is_due(now) {
            let due = self.history.due();
            self.window.expire(due);
            let figures = self.figures(due, waiting, hourly);
            self.history.close(Point {
                p50: figures.p50,
                p95: figures.p95,
                p99: figures.p99,
                requests_per_s: figures.requests_per_s,
                error_share: figures.error_share,
                dollars_per_hour: figures.dollars_per_hour,
                tokens_per_s: figures.tokens_per_s,
            });
        }
    }

    /// Forgets what is older than the window.
    pub(super) fn expire(&mut self, now: Time) {
        self.window.expire(now);
    }

    /// Returns the figures of the ten seconds up to `now`, for a window that has expired to it.
    pub(super) fn figures(&self, now: Time, waiting: u64, hourly: f64) -> Figures {
        let seconds = now.seconds().min(WINDOW.seconds()).max(0.1);
        let whole = &self.window.whole;
        let [p50, p95, p99] = whole.latency.quantiles([0.5, 0.95, 0.99]);
        let [ttft_p99] = whole.ttft.quantiles([0.99]);
        let spent = Cost(self.window.attempts.cost).dollars() / seconds * 3_600.0;
        Figures {
            requests_per_s: whole.count as f64 / seconds,
            p50,
            p95,
            p99,
            ttft_p99,
            error_share: share(whole.bad, whole.count),
            dollars_per_hour: spent + hourly,
            tokens_per_s: self.window.attempts.tokens as f64 / seconds,
            failovers_per_min: whole.failovers as f64 / seconds * 60.0,
            waiting,
        }
    }

    pub(super) const fn window(&self) -> &Window {
        &self.window
    }

    pub(super) fn history(&self) -> Arc<History> {
        self.history.history()
    }

    pub(super) fn log(&self) -> Vec<LogEntry> {
        self.log.entries()
    }

    pub(super) const fn log_dropped(&self) -> u64 {
        self.log.dropped
    }

    pub(super) const fn last(&self) -> Option<DecisionRow> {
        self.last
    }

    pub(super) fn decisions(&self) -> Vec<Arc<Explanation>> {
        self.recent.decisions()
    }
}

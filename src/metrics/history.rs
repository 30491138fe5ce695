//! The past as a bounded list of equal buckets: when it is full, two neighbours become one.

use std::sync::Arc;

use super::snapshot::{History, MarkAt, Point};
use crate::unit::{Span, Time};

/// The first buckets are this long.
const BUCKET: Span = Span::from_millis(100);
/// At most so many buckets are kept.
const POINTS_MAX: usize = 2_400;
/// At most so many marks are kept.
const MARKS_MAX: usize = 64;

/// Collects buckets.
#[derive(Clone, Debug)]
pub(super) struct HistoryBuckets {
    history: Arc<History>,
    /// Start of the bucket that is being filled.
    open: Time,
    /// Where it ends.
    due: Time,
    letters: u32,
}

impl Default for HistoryBuckets {
    fn default() -> HistoryBuckets {
        let history = History { bucket: BUCKET, ..History::default() };
        HistoryBuckets {
            history: Arc::new(history),
            open: Time::ZERO,
            due: Time::ZERO + BUCKET,
            letters: 0,
        }
    }
}

impl HistoryBuckets {
    /// Returns when the open bucket ends.
    pub(super) const fn due(&self) -> Time {
        self.due
    }

    /// Closes the open bucket. The first bucket that is not empty of time starts the history.
    pub(super) fn close(&mut self, point: Point) {
        self.open = self.due;
        let history = Arc::make_mut(&mut self.history);
        history.points.push(point);
        if history.points.len() >= POINTS_MAX {
            history.points = history.points.chunks(2).map(merge).collect();
            history.bucket = history.bucket + history.bucket;
        }
        self.due = self.open + history.bucket;
    }

    /// Notes a moment and returns its letter.
    pub(super) fn mark(&mut self, at: Time, by_person: bool) -> char {
        let letter = char::from(b'A' + (self.letters % 26) as u8);
        self.letters += 1;
        let history = Arc::make_mut(&mut self.history);
        if history.marks.len() >= MARKS_MAX {
            history.marks.remove(0);
        }
        history.marks.push(MarkAt { at, letter, by_person });
        letter
    }

    pub(super) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }
}

/// Two buckets as one: rates are means, quantiles the worse of the two, so that a peak stays.
fn merge(pair: &[Point]) -> Point {
    let (a, b) = (pair[0], pair[pair.len() - 1]);
    Point {
        p50: a.p50.max(b.p50),
        p95: a.p95.max(b.p95),
        p99: a.p99.max(b.p99),
        // Of the worse quantile it is not known of how many it was: of as few as either.
        samples: a.samples.min(b.samples),
        requests_per_s: f64::midpoint(a.requests_per_s, b.requests_per_s),
        error_share: a.error_share.max(b.error_share),
        dollars_per_hour: f64::midpoint(a.dollars_per_hour, b.dollars_per_hour),
        tokens_per_s: f64::midpoint(a.tokens_per_s, b.tokens_per_s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_stays_bounded_and_whole() {
        let mut past = HistoryBuckets::default();
        let end = Time::ZERO + Span::from_secs(86_400);
        let peak = Time::ZERO + Span::from_secs(77_777);
        while past.due() <= end {
            let holds_peak = past.open <= peak && peak < past.due();
            let p99 = holds_peak.then_some(Span::from_secs(9));
            past.close(Point { p99, ..Point::default() });
        }
        let history = past.history();
        assert!(history.points.len() < POINTS_MAX);
        let covered = Span(history.bucket.0 * history.points.len() as u64);
        let missing = end.since(Time::ZERO + covered);
        assert!(missing <= history.bucket, "{missing} of the day is missing");
        assert!(history.points.iter().any(|point| point.p99.is_some()), "the peak survives");
    }
}

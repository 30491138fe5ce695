//! What is collected for all requests, and for each class, pool and route.

use crate::balance::{Fate, Settled};
use crate::metrics::summary::Goodput;
use crate::metrics::times::Times;
use crate::metrics::{RequestCounts, Slo};
use crate::unit::{Cost, Span, Time};

/// What is collected for all requests, and for each class, pool and route.
#[derive(Clone, Debug)]
pub struct Group {
    requests: RequestCounts,
    /// See [`Summary`](crate::metrics::Summary).
    pub latency: Times,
    /// See [`Summary`](crate::metrics::Summary).
    pub ttft: Times,
    /// See [`Summary`](crate::metrics::Summary).
    pub tpot: Times,
    /// See [`Summary`](crate::metrics::Summary).
    pub queue: Times,
    good: u64,
    degraded: u64,
    cost: Cost,
}

impl Group {
    pub(super) fn new() -> Group {
        let times = Times::of_run;
        Group {
            requests: RequestCounts::default(),
            latency: times(),
            ttft: times(),
            tpot: times(),
            queue: times(),
            good: 0,
            degraded: 0,
            cost: Cost::ZERO,
        }
    }

    pub(super) const fn requests(&self) -> RequestCounts {
        self.requests
    }

    pub(super) const fn degraded(&self) -> u64 {
        self.degraded
    }

    pub(super) const fn cost(&self) -> Cost {
        self.cost
    }

    pub(super) fn arrive(&mut self) {
        self.requests.arrive();
    }

    /// Counts an end and nothing else.
    #[cfg(test)]
    pub(super) fn count_for_test(&mut self, fate: &Fate) {
        self.requests.settle(fate);
    }

    pub(super) fn spend(&mut self, cost: Cost) {
        self.cost += cost;
    }

    pub(super) fn settle(&mut self, settled: &Settled, times: &RequestTimes, good: bool) {
        self.requests.settle(&settled.fate);
        self.good += u64::from(good);
        self.degraded += u64::from(settled.degraded);
        if let Some(dispatched) = settled.dispatched {
            self.queue.record(dispatched.since(settled.arrived));
        }
        if settled.fate == Fate::Completed {
            self.latency.record(times.latency);
            self.ttft.record(times.ttft);
            if let Some(tpot) = times.tpot {
                self.tpot.record(tpot);
            }
        }
    }

    pub(super) fn goodput(&self, seconds: f64) -> Goodput {
        goodput(self.good, self.requests.ended(), seconds)
    }
}

/// So many of those that ended were good.
pub(super) fn goodput(good: u64, ended: u64, seconds: f64) -> Goodput {
    Goodput {
        requests_per_s: (seconds > 0.0).then(|| good as f64 / seconds),
        slo_attainment: (ended > 0).then(|| good as f64 / ended as f64),
    }
}

/// The times of a request at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTimes {
    pub(super) latency: Span,
    pub(super) ttft: Span,
    /// Per token after the first; `None` if there was no other or it did not stream.
    pub(super) tpot: Option<Span>,
}

impl RequestTimes {
    pub(super) fn of(now: Time, settled: &Settled) -> RequestTimes {
        let latency = now.since(settled.arrived);
        // An answer that does not stream has its first token with its last.
        let first = settled.first_token.unwrap_or(now);
        let after = settled.usage.output.0.saturating_sub(1);
        let streamed = settled.first_token.is_some() && after > 0;
        let tpot = streamed.then(|| Span(now.since(first).0 / after));
        RequestTimes { latency, ttft: first.since(settled.arrived), tpot }
    }

    pub(super) fn keeps(&self, slo: &Slo) -> bool {
        slo.total.is_none_or(|most| self.latency <= most)
            && slo.first_token.is_none_or(|most| self.ttft <= most)
            && slo.per_token.is_none_or(|most| self.tpot.is_none_or(|tpot| tpot <= most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn times(latency: u64, ttft: u64, tpot: Option<u64>) -> RequestTimes {
        let tpot = match tpot {
            Some(tpot) => Some(Span::from_millis(tpot)),
            None => None,
        };
        RequestTimes { latency: Span::from_millis(latency), ttft: Span::from_millis(ttft), tpot }
    }

    #[test]
    fn a_promise_holds_up_to_its_limit_and_what_was_not_promised_always() {
        let slo = Slo {
            first_token: Some(Span::from_millis(20)),
            per_token: Some(Span::from_millis(5)),
            total: Some(Span::from_millis(100)),
        };
        assert!(times(100, 20, Some(5)).keeps(&slo));
        assert!(times(100, 20, None).keeps(&slo), "one token has no pace");
        assert!(!times(101, 20, Some(5)).keeps(&slo));
        assert!(!times(100, 21, Some(5)).keeps(&slo));
        assert!(!times(100, 20, Some(6)).keeps(&slo));
        assert!(times(9_999_999, 9_999_999, Some(9_999)).keeps(&Slo::default()));
    }
}

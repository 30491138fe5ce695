//! The failover manager: which failures are tried again, when, and how many at a time.
//!
//! A request is tried again only before its first token reached the client, elsewhere first, after
//! a full-jitter pause (`U(0, min(cap, base * 2^retries))`, Brooker 2015), while attempts and time
//! are left, and while the retries under way stay within a share of all requests under way (the
//! form of budget Envoy uses: it needs no window, so it also works when requests last minutes).
//! It never chooses a node.

use serde::{Deserialize, Serialize};

use super::balancer::{Balancer, Phase, RequestKey, TryKey};
use super::event::{End, Event, Failure, Fate, NoRetry, Stage};
use super::timer::Alarm;
use crate::rng::Rng;
use crate::unit::{NodeId, Ratio, Span};

/// However few requests are under way, so many may be retries.
pub const RETRIES_MIN: u64 = 3;

/// No request is ever tried more often than this.
pub const ATTEMPTS_MAX: u8 = 8;

/// How failed requests are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts a request may have in all: 1 to [`ATTEMPTS_MAX`].
    pub attempts: u8,
    /// Upper end of the first pause.
    pub base: Span,
    /// Upper end of every pause.
    pub cap: Span,
    /// Share of the requests under way that may be retries, or [`RETRIES_MIN`] if that is more.
    pub budget: Ratio,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 3,
            base: Span::from_millis(50),
            cap: Span::from_secs(2),
            budget: Ratio(200_000),
        }
    }
}

/// The balancer's own timers. `None` is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From dispatch to the first token, for each attempt.
    pub first_token: Option<Span>,
    /// From arrival to the end, over all attempts.
    pub total: Option<Span>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { first_token: Some(Span::from_secs(30)), total: Some(Span::from_secs(600)) }
    }
}

impl Retry {
    /// Returns the pause before the retry after so many attempts.
    pub(super) fn pause(&self, attempts: u8, end: End, rng: &mut Rng) -> Span {
        // A rate-limited node is out of the running until it asked to come back, so another one
        // may be tried at once: waiting would help nobody.
        if end == End::RateLimited {
            return Span::ZERO;
        }
        let doublings = u32::from(attempts.saturating_sub(1));
        let most = self.base.0.saturating_mul(1 << doublings.min(32)).min(self.cap.0);
        Span((rng.unit() * most as f64) as u64)
    }

    /// Returns why a request that ended so may not be tried again, or `None` if it may.
    /// `retrying` of `under_way` requests are retries at the moment.
    pub(super) fn refusal(
        &self,
        end: End,
        attempts: u8,
        started: bool,
        retrying: u64,
        under_way: u64,
    ) -> Option<NoRetry> {
        let retryable = match end {
            End::Failed(failure) => failure.worth_another_try(),
            End::RateLimited | End::TimedOut(Stage::FirstToken) => true,
            End::TimedOut(Stage::Total) => return Some(NoRetry::Deadline),
            End::Done | End::Cancelled => false,
        };
        if !retryable {
            Some(NoRetry::NotRetryable)
        } else if started {
            Some(NoRetry::Started)
        } else if attempts >= self.attempts {
            Some(NoRetry::Attempts)
        } else if retrying >= self.budget.of(under_way).max(RETRIES_MIN) {
            Some(NoRetry::Budget)
        } else {
            None
        }
    }
}

/// Returns whether an end counts against the health of the node.
pub(super) const fn blames_node(end: End) -> bool {
    match end {
        End::Failed(failure) => failure.blames_node(),
        End::TimedOut(Stage::FirstToken) => true,
        End::Done | End::RateLimited | End::TimedOut(Stage::Total) | End::Cancelled => false,
    }
}

/// Returns whether an end lowers the node's success probability: back-pressure and a refused
/// credential do, although they are no sickness, because an attempt sent there is likely wasted.
pub(super) const fn wasted(end: End) -> bool {
    blames_node(end)
        || matches!(
            end,
            End::RateLimited | End::Failed(Failure::Overloaded | Failure::Unauthorized)
        )
}

/// The balancer's second tries.
impl Balancer {
    /// Tries a failed request again, or lets it fail.
    pub(super) fn try_again(&mut self, key: RequestKey, node: NodeId, end: End, started: bool) {
        let under_way = self.under_way();
        let live = &mut self.requests[key];
        live.phase = Phase::Backoff;
        live.last = Some(end);
        let request = live.request.id;
        let others = self.retrying - u64::from(live.retrying);
        // Each model of a cascade has its own attempts, within those of the request.
        let attempts = live.attempts - live.step;
        let mut refusal = self.retry.refusal(end, attempts, started, others, under_way);
        if refusal.is_none() && live.attempts >= ATTEMPTS_MAX {
            refusal = Some(NoRetry::Attempts);
        }
        let pause = self.retry.pause(attempts, end, &mut self.pause_rng);
        if refusal.is_none() && self.now + pause >= live.request.deadline {
            refusal = Some(NoRetry::Deadline);
        }
        if let Some(reason) = refusal {
            self.effects.events.push(Event::RetryDenied { request, node, end, reason });
            return self.settle(key, Fate::Failed(end));
        }
        if !std::mem::replace(&mut live.retrying, true) {
            self.retrying += 1;
        }
        self.effects.events.push(Event::RetryPlanned { request, node, end, pause });
        if pause == Span::ZERO {
            self.place_or_wait(key);
        } else {
            self.timers.at(self.now + pause, Alarm::Backoff(key));
        }
    }

    pub(super) fn first_token_overdue(&mut self, key: TryKey) {
        let end = End::TimedOut(Stage::FirstToken);
        let (request, node) = (self.tries[key].request, self.tries[key].node);
        self.abort(key, end);
        self.try_again(request, node, end, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_under_the_cap() {
        let retry = Retry::default();
        let mut rng = Rng::stream(1, "pause");
        let failed = End::Failed(Failure::Reset);
        for attempts in 1..=40 {
            let most = (0..200).map(|_| retry.pause(attempts, failed, &mut rng)).max().unwrap();
            assert!(most <= retry.cap);
            if attempts == 1 {
                assert!(most <= retry.base && most > retry.base.scale(0.8));
            }
        }
        assert_eq!(retry.pause(1, End::RateLimited, &mut rng), Span::ZERO);
    }

    #[test]
    fn refusals_name_their_reason() {
        let retry = Retry::default();
        let reset = End::Failed(Failure::Reset);
        assert_eq!(retry.refusal(reset, 1, false, 0, 1), None);
        assert_eq!(retry.refusal(reset, 3, false, 0, 1), Some(NoRetry::Attempts));
        assert_eq!(retry.refusal(reset, 1, true, 0, 1), Some(NoRetry::Started));
        assert_eq!(retry.refusal(reset, 1, false, 3, 15), Some(NoRetry::Budget));
        assert_eq!(retry.refusal(reset, 1, false, 3, 20), None);
        let client = End::Failed(Failure::ClientError);
        assert_eq!(retry.refusal(client, 1, false, 0, 1), Some(NoRetry::NotRetryable));
    }
}

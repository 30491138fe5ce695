//! The failover manager: which failures are tried again, when, and how many at a time.
//!
//! A request is tried again only before its first token reached the client, elsewhere first, after
//! a full-jitter pause (`U(0, min(cap, base * 2^retries))`, Brooker 2015), while attempts and time
//! are left, and while the retries under way stay within a share of all requests under way, and their
//! prompt tokens within a share of all prompt tokens under way (the form of budget Envoy uses: it
//! needs no window, so it also works when requests last minutes). Beside the share so many a second are
//! allowed after failures that are not of load, over a sliding window (Finagle's floor): in a small
//! fleet a share of what is under way is next to nothing. What was refused before anything was sent
//! cost nobody anything: it is tried again at once and takes from no budget. With many balancers each
//! keeps its own share, so all together keep it too; the floor is each one's own. Where it is asked
//! for, an answer that was cut after its first token goes on elsewhere, from what has come of it.
//!
//! What whoever asks tries again, a step of a job or a client's library, has a budget of its own: a share
//! of what its tenant has under way. Beyond that it is turned away at the door, unless a node is idle.
//!
//! A request whose credential was refused is tried again only on a node with another one, and never
//! waits for one: if none is open it fails. The failover manager never chooses a node.

mod delays;
pub(super) mod hedge;
pub(super) mod patience;
pub(super) mod window;

use super::requests::{Amount, RequestState};
use super::spec::config::Config;
use super::spec::retry::{ATTEMPTS_MAX, RETRIES_MIN, Retry, Timeouts};
use super::vocabulary::event::NoRetry;
use super::vocabulary::outcome::{End, Failure, TimeoutStage};
use super::vocabulary::request::Request;
use crate::rng::Rng;
use crate::unit::{Span, Time};
use hedge::Hedging;
use patience::Patience;
use window::RetryWindow;

/// Whether there is time left for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeLeft {
    /// An attempt may still start.
    Enough,
    /// Its deadline is too near for an attempt to be of use.
    TooLittle,
    /// Its deadline has passed.
    None,
}

/// A request that has failed, and what its retry depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed<'a> {
    pub(super) state: &'a RequestState,
    pub(super) end: End,
    /// Whether tokens of an answer had come that no other node goes on from.
    pub(super) started: bool,
    /// Whether the node is not believed if it says that the request is at fault.
    pub(super) doubted: bool,
    /// Whether it goes on to another pool if the policy of one's provider is against it.
    pub(super) past_policy: bool,
    /// The request as an amount, the other retries under way, and all that is under way.
    pub(super) amounts: (Amount, Amount, Amount),
}

/// Timeouts, retries and hedges.
#[derive(Debug)]
pub(super) struct Retries {
    policy: Retry,
    timeouts: Timeouts,
    hedging: Hedging,
    patience: Patience,
    /// Retries that took from the budget.
    recent: RetryWindow,
}

/// Returns whether load may have caused such an end. Then the floor does not help: where every attempt
/// is late, as many retries a second as a small fleet has requests would keep it down.
const fn is_of_load(end: End) -> bool {
    matches!(end, End::TimedOut(_) | End::RateLimited | End::Failed(Failure::Overloaded))
}

/// Returns whether nothing can have come of an attempt that ended so.
fn was_turned_away(end: End) -> bool {
    matches!(end, End::RateLimited | End::Failed(Failure::Overloaded)) || !costs(end)
}

/// Returns whether trying again after such an end takes from the budget: not where nothing was sent.
fn costs(end: End) -> bool {
    !matches!(end, End::Failed(failure) if failure.is_unreached())
}

impl Retries {
    /// Retries as configured.
    pub(super) fn new(config: &Config) -> Retries {
        let hedging = Hedging::new(config.hedge);
        let (policy, timeouts) = (config.retry, config.timeouts);
        let patience = Patience::new(timeouts.silence);
        Retries { policy, timeouts, hedging, patience, recent: RetryWindow::default() }
    }

    /// Returns whether answers that were cut go on elsewhere, on a route that says so or not.
    pub(super) fn resumes(&self, of_route: Option<bool>) -> bool {
        of_route.unwrap_or(self.policy.resume)
    }

    /// Returns whether an attempt that begins then is still of use.
    pub(super) fn leaves_time(&self, then: Time, request: &Request) -> bool {
        then + self.policy.minimum_useful < request.deadline
    }

    /// Returns after which pause at least a request that failed so is tried once more on the same node, which
    /// asked for a pause itself or not; `None` if it is not.
    pub(super) fn stays(
        &self,
        state: &RequestState,
        end: End,
        asked: Option<Span>,
    ) -> Option<Span> {
        let passes = match end {
            End::RateLimited | End::Failed(Failure::Overloaded) => asked.is_some(),
            End::Failed(Failure::ServerError | Failure::Reset | Failure::Malformed) => true,
            _ => false,
        };
        let least = asked.map_or(Span::ZERO, |asked| asked + Span(1));
        let stays = passes && state.stayed < self.policy.stay && least <= self.policy.stay_wait;
        stays.then_some(least)
    }

    /// Returns how often a request may be tried.
    #[inline]
    pub(super) const fn attempts_max(&self) -> u8 {
        self.policy.attempts
    }

    /// Returns how long a request may take over all attempts.
    #[inline]
    pub(super) const fn total(&self) -> Option<Span> {
        self.timeouts.total
    }

    /// Returns how long the first token of a request may take.
    #[inline]
    pub(super) fn first_token(&self, request: &Request) -> Option<Span> {
        self.timeouts.first_token.filter(|_| !request.whole)
    }

    /// Returns what is known of how long answers take.
    #[inline]
    pub(super) const fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Lets patience hear what happened.
    #[inline]
    pub(super) const fn patience_mut(&mut self) -> &mut Patience {
        &mut self.patience
    }

    /// Returns whether a request that is given up where its node hangs may be tried again: attempts, time and
    /// budget are left.
    pub(super) fn may_give_up(
        &self,
        now: Time,
        state: &RequestState,
        amounts: (Amount, Amount, Amount),
    ) -> bool {
        let end = End::TimedOut(TimeoutStage::FirstToken);
        let least = self.policy.cap + self.policy.minimum_useful;
        state.attempts < ATTEMPTS_MAX
            && now + least < state.request.deadline
            && self.policy.refusal(end, state.tries(), false, Some(amounts)).is_none()
    }

    /// Returns what is known of hedges.
    #[inline]
    pub(super) const fn hedging(&self) -> &Hedging {
        &self.hedging
    }

    /// Lets hedging hear what happened.
    #[inline]
    pub(super) const fn hedging_mut(&mut self) -> &mut Hedging {
        &mut self.hedging
    }

    /// Returns whether an attempt that starts now may be of use.
    #[inline]
    pub(super) fn time_left(&self, now: Time, request: &Request) -> TimeLeft {
        if now >= request.deadline {
            TimeLeft::None
        } else if now + self.policy.minimum_useful >= request.deadline {
            TimeLeft::TooLittle
        } else {
            TimeLeft::Enough
        }
    }

    /// Returns when a request that waits is to be given up because an attempt would be of no use any
    /// more, where that is before its deadline.
    #[inline]
    pub(super) fn useful_until(&self, now: Time, deadline: Time) -> Option<Time> {
        let least = self.policy.minimum_useful;
        let before = least > Span::ZERO && deadline < Time::MAX;
        before.then(|| Time(deadline.0.saturating_sub(least.0)).max(now))
    }

    /// Whoever asks tries again. Returns whether there is room for that, by the amounts of its tenant: the
    /// request, the others that are tried again, and all that is under way.
    pub(super) fn admit_again(&self, amounts: (Amount, Amount, Amount)) -> bool {
        // A few who ask again at once, such as the siblings of a step, are no storm.
        let least = u64::from(self.policy.min_per_second).max(RETRIES_MIN);
        !self.policy.clients || self.policy.over_budget(amounts, least).is_none()
    }

    /// A retry begins after such an end. Returns whether it takes from the budget.
    pub(super) fn spend(&mut self, now: Time, end: End) -> bool {
        if costs(end) {
            self.recent.note(now);
        }
        costs(end)
    }

    /// Decides whether a request that has failed is tried again, and after which pause. Whether there is
    /// some node that it is not in vain with is asked only where it was refused.
    ///
    /// # Errors
    /// Why it is not tried again.
    pub(super) fn decide(
        &self,
        now: Time,
        failed: Failed<'_>,
        other_node: impl FnOnce() -> bool,
        rng: &mut Rng,
    ) -> Result<Span, NoRetry> {
        let Failed { state, end, started, doubted, past_policy, amounts } = failed;
        let tries = state.tries();
        let floor = || self.recent.has_room(now, self.policy.min_per_second);
        let free = !costs(end) || (!is_of_load(end) && floor());
        let mut refusal = self.policy.refusal(end, tries, started, (!free).then_some(amounts));
        if refusal.is_none() && state.request.once && !was_turned_away(end) {
            refusal = Some(NoRetry::NotRetryable);
        }
        let refusals = state.refusals;
        let believed = refusals.is_believed(doubted);
        if refusal.is_none() && (believed || (refusals.policy != 0 && !past_policy)) {
            refusal = Some(NoRetry::NotRetryable);
        }
        if refusal.is_none() && state.attempts >= ATTEMPTS_MAX {
            refusal = Some(NoRetry::Attempts);
        }
        if refusal.is_none() && !state.refusals.is_empty() && !other_node() {
            refusal = Some(NoRetry::NotRetryable);
        }
        // Drawn in any case: what is refused shifts no draw of anybody else.
        let pause = self.policy.pause(tries, end, rng);
        let least = pause + self.policy.minimum_useful;
        if refusal.is_none() && now + least >= state.request.deadline {
            refusal = Some(NoRetry::Deadline);
        }
        refusal.map_or(Ok(pause), Err)
    }
}

impl Retry {
    /// Returns the pause before the retry after so many attempts.
    fn pause(&self, attempts: u8, end: End, rng: &mut Rng) -> Span {
        // A rate-limited node is out of the running until it asked to come back, and one that refused is
        // for this request, so another one may be tried at once: waiting would help nobody. Where
        // nothing was sent, nothing was lost.
        let refused = matches!(end, End::Failed(failure) if failure.is_told());
        if refused || end == End::RateLimited || !costs(end) {
            return Span::ZERO;
        }
        let doublings = u32::from(attempts.saturating_sub(1));
        let most = self.base.0.saturating_mul(1 << doublings.min(32)).min(self.cap.0);
        Span((rng.unit() * most as f64) as u64)
    }

    /// Returns why a request that ended so may not be tried again, or `None` if it may.
    /// Of the amounts, where they count, `others` of all `under_way` are retries at the moment.
    fn refusal(
        &self,
        end: End,
        attempts: u8,
        started: bool,
        amounts: Option<(Amount, Amount, Amount)>,
    ) -> Option<NoRetry> {
        let retryable = match end {
            End::Failed(_) | End::RateLimited | End::TimedOut(TimeoutStage::FirstToken) => true,
            End::TimedOut(TimeoutStage::Total) => return Some(NoRetry::Deadline),
            End::Done | End::Cancelled | End::Outrun => false,
        };
        if !retryable {
            Some(NoRetry::NotRetryable)
        } else if started {
            Some(NoRetry::Started)
        } else if attempts >= self.attempts {
            Some(NoRetry::Attempts)
        } else {
            amounts.and_then(|amounts| self.over_budget(amounts, RETRIES_MIN))
        }
    }

    /// Returns which budget has no room for one more retry, if one has not; `least` are always allowed.
    fn over_budget(
        &self,
        (this, others, under_way): (Amount, Amount, Amount),
        least: u64,
    ) -> Option<NoRetry> {
        if others.requests >= self.budget.of(under_way.requests).max(least) {
            Some(NoRetry::Budget)
        } else if others.requests >= least
            && let Some(budget) = self.token_budget
            && others.prompts + this.prompts > budget.of(under_way.prompts)
        {
            Some(NoRetry::Tokens)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::vocabulary::outcome::Failure;
    use crate::unit::Ratio;

    #[test]
    fn the_floor_is_not_for_what_load_may_have_caused() {
        for end in [
            End::TimedOut(TimeoutStage::FirstToken),
            End::RateLimited,
            End::Failed(Failure::Overloaded),
        ] {
            assert!(is_of_load(end), "{end:?}");
        }
        for end in [Failure::Refused, Failure::Reset, Failure::ServerError].map(End::Failed) {
            assert!(!is_of_load(end), "{end:?}");
        }
    }

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
        for at_once in [End::RateLimited, End::Failed(Failure::Refused)] {
            assert_eq!(retry.pause(1, at_once, &mut rng), Span::ZERO);
        }
    }

    #[test]
    fn refusals_name_their_reason() {
        let retry = Retry::default();
        let reset = End::Failed(Failure::Reset);
        let of = |requests, prompts| Amount { requests, prompts };
        let few = None;
        assert_eq!(retry.refusal(reset, 1, false, few), None);
        assert_eq!(retry.refusal(reset, 3, false, few), Some(NoRetry::Attempts));
        assert_eq!(retry.refusal(reset, 1, true, few), Some(NoRetry::Started));
        let at = |under_way| Some((of(1, 100), of(3, 300), of(under_way, 2_000)));
        assert_eq!(retry.refusal(reset, 1, false, at(15)), Some(NoRetry::Budget));
        assert_eq!(retry.refusal(reset, 1, false, at(20)), None);
        let outrun = End::Outrun;
        assert_eq!(retry.refusal(outrun, 1, false, few), Some(NoRetry::NotRetryable));
        assert_eq!(retry.refusal(outrun, 1, true, few), Some(NoRetry::NotRetryable));
        // Four of a hundred requests, but 40 % of all prompt tokens.
        let tokens = Retry { token_budget: Some(Ratio::from_f64(0.2)), ..retry };
        let long = Some((of(1, 20_000), of(3, 200), of(100, 50_000)));
        assert_eq!(tokens.refusal(reset, 1, false, long), Some(NoRetry::Tokens));
        assert_eq!(retry.refusal(reset, 1, false, long), None);
        let fits = Some((of(1, 9_800), of(3, 200), of(100, 50_000)));
        assert_eq!(tokens.refusal(reset, 1, false, fits), None);
        let first = Some((of(1, 20_000), of(2, 200), of(100, 50_000)));
        assert_eq!(tokens.refusal(reset, 1, false, first), None, "a few are always allowed");
    }
}

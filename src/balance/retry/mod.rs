//! The failover manager: which failures are tried again, when, and how many at a time.
//!
//! A request is tried again only before its first token reached the client, elsewhere first, after
//! a full-jitter pause (`U(0, min(cap, base * 2^retries))`, Brooker 2015), while attempts and time
//! are left, and while the retries under way stay within a share of all requests under way, and their
//! prompt tokens within a share of all prompt tokens under way (the form of budget Envoy uses: it
//! needs no window, so it also works when requests last minutes). What whoever asks tries again, a
//! step of a job or a client's library, takes from the same budget, and is turned away at the door when
//! that is empty. With many balancers each keeps its
//! own share, so all together keep it too. Where it is asked for, an answer that was cut after its
//! first token goes on elsewhere, from what has come of it. It never chooses a node.

pub(super) mod credential;
pub(super) mod hedge;

use super::balancer::Balancer;
use super::requests::{Phase, RequestKey, TryKey};
use super::spec::retry::{ATTEMPTS_MAX, RETRIES_MIN, Retry};
use super::timer::Alarm;
use super::vocabulary::event::{Event, NoRetry};
use super::vocabulary::outcome::{End, Failure, Fate, Reject, Stage, TOKENS_MAX};
use super::vocabulary::request::Request;
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time, Tokens};

/// Requests and their prompt tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) struct Amount {
    pub(in crate::balance) requests: u64,
    pub(in crate::balance) prompts: u64,
}

impl Amount {
    /// One request. No prompt counts for more than any attempt does, so no sum overflows.
    pub(in crate::balance) fn of(request: &Request) -> Amount {
        Amount { requests: 1, prompts: request.prompt.min(TOKENS_MAX).0 }
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, more: Amount) {
        self.requests += more.requests;
        self.prompts += more.prompts;
    }
}

impl std::ops::SubAssign for Amount {
    fn sub_assign(&mut self, less: Amount) {
        self.requests -= less.requests;
        self.prompts -= less.prompts;
    }
}

impl Retry {
    /// Returns the pause before the retry after so many attempts.
    pub(in crate::balance) fn pause(&self, attempts: u8, end: End, rng: &mut Rng) -> Span {
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
    /// `others` of all `under_way` are retries at the moment.
    pub(in crate::balance) fn refusal(
        &self,
        end: End,
        attempts: u8,
        started: bool,
        (this, others, under_way): (Amount, Amount, Amount),
    ) -> Option<NoRetry> {
        let retryable = match end {
            End::Failed(failure) => failure.worth_another_try(),
            End::RateLimited | End::TimedOut(Stage::FirstToken) => true,
            End::TimedOut(Stage::Total) => return Some(NoRetry::Deadline),
            End::Done | End::Cancelled | End::Outrun => false,
        };
        if !retryable {
            Some(NoRetry::NotRetryable)
        } else if started && !self.resume {
            Some(NoRetry::Started)
        } else if attempts >= self.attempts {
            Some(NoRetry::Attempts)
        } else {
            self.over_budget((this, others, under_way))
        }
    }

    /// Returns which budget has no room for one more retry, if one has not.
    fn over_budget(&self, (this, others, under_way): (Amount, Amount, Amount)) -> Option<NoRetry> {
        if others.requests >= self.budget.of(under_way.requests).max(RETRIES_MIN) {
            Some(NoRetry::Budget)
        } else if others.requests >= RETRIES_MIN
            && let Some(budget) = self.token_budget
            && others.prompts + this.prompts > budget.of(under_way.prompts)
        {
            Some(NoRetry::Tokens)
        } else {
            None
        }
    }
}

/// The balancer's second tries.
impl Balancer {
    /// Returns whether an attempt that starts now would be of no use.
    pub(in crate::balance) fn too_late(&self, request: &Request) -> bool {
        self.now + self.retry.minimum_useful >= request.deadline
    }

    /// Gives up a request for which it is too late when its turn comes: a node may open at the very
    /// moment of its deadline, before the alarm is heard. Returns whether it did.
    pub(in crate::balance) fn expire(&mut self, key: RequestKey) -> bool {
        let request = &self.requests[key].request;
        let late = self.too_late(request);
        if late && self.now >= request.deadline {
            self.settle(key, Fate::Failed(End::TimedOut(Stage::Total)));
        } else if late {
            self.turn_away(key, Reject::WaitedTooLong);
        }
        late
    }

    /// Sees to it that a request at this place of a line is not served when it is of no use any more.
    pub(in crate::balance) fn give_up_in_time(&mut self, key: RequestKey, number: u64) {
        let deadline = self.requests[key].request.deadline;
        if self.retry.minimum_useful > Span::ZERO && deadline < Time::MAX {
            let least = self.retry.minimum_useful.0;
            let at = Time(deadline.0.saturating_sub(least)).max(self.now);
            self.timers.at(at, Alarm::GiveUp(key, number));
        }
    }

    /// Whoever asks tries again: that takes from the same budget as our own retries. Returns whether
    /// there is room for it.
    pub(in crate::balance) fn admits_again(&mut self, key: RequestKey) -> bool {
        if !self.retry.clients {
            return true;
        }
        let live = &mut self.requests[key];
        let this = Amount::of(&live.request);
        if self.retry.over_budget((this, self.retrying, self.under_way)).is_some() {
            return false;
        }
        live.retrying = true;
        self.retrying += this;
        true
    }

    /// A request is under way no longer.
    pub(in crate::balance) fn release_budget(&mut self, key: RequestKey) {
        let live = &mut self.requests[key];
        let amount = Amount::of(&live.request);
        self.under_way -= amount;
        if std::mem::take(&mut live.retrying) {
            self.retrying -= amount;
        }
    }

    /// An attempt has failed and is closed or gone; `came` is when its first token came and how many
    /// have. If another attempt of its request goes on, that one decides.
    pub(in crate::balance) fn failed(
        &mut self,
        this: TryKey,
        key: RequestKey,
        (node, end): (NodeId, End),
        came: Option<(Time, Tokens)>,
    ) {
        let live = &mut self.requests[key];
        live.last = Some((node, end));
        if end == End::Failed(Failure::Unauthorized) {
            live.note_refusal(node);
        }
        if let Phase::InFlight(running) = live.phase
            && let Some(rest) = running.without(this)
        {
            live.phase = Phase::InFlight(rest);
            return;
        }
        self.try_again(key, node, end, came);
    }

    /// Tries a failed request again, or lets it fail.
    fn try_again(&mut self, key: RequestKey, node: NodeId, end: End, came: Option<(Time, Tokens)>) {
        let live = &mut self.requests[key];
        live.phase = Phase::Backoff;
        let request = live.request.id;
        let this = Amount::of(&live.request);
        let mut others = self.retrying;
        if live.retrying {
            others -= this;
        }
        // A hedge is none of the tries that may fail, and each model of a cascade has its own.
        let tries = live.attempts - live.step - u8::from(live.hedged);
        let tries = if live.attempts >= ATTEMPTS_MAX { ATTEMPTS_MAX } else { tries };
        let amounts = (this, others, self.under_way);
        let mut refusal = self.retry.refusal(end, tries, came.is_some(), amounts);
        if refusal.is_none() && live.attempts >= ATTEMPTS_MAX {
            refusal = Some(NoRetry::Attempts);
        }
        if refusal.is_none() && live.refused != 0 && !self.has_other_credential(key) {
            refusal = Some(NoRetry::NotRetryable);
        }
        let live = &mut self.requests[key];
        let pause = self.retry.pause(tries, end, &mut self.pause_rng);
        let least = pause + self.retry.minimum_useful;
        if refusal.is_none() && self.now + least >= live.request.deadline {
            refusal = Some(NoRetry::Deadline);
        }
        if let Some(reason) = refusal {
            self.effects.events.push(Event::RetryDenied { request, node, end, reason });
            return self.settle(key, Fate::Failed(end));
        }
        if !std::mem::replace(&mut live.retrying, true) {
            self.retrying += this;
        }
        if let Some((first_token, tokens)) = came {
            self.go_on_from(key, first_token, tokens);
        }
        self.effects.events.push(Event::RetryPlanned { request, node, end, pause });
        if pause == Span::ZERO {
            self.place_or_wait(key);
        } else {
            self.timers.at(self.now + pause, Alarm::Backoff(key));
        }
    }

    /// So many tokens of the answer have reached the client: the next attempt goes on from there.
    fn go_on_from(&mut self, key: RequestKey, first_token: Time, tokens: Tokens) {
        let live = &mut self.requests[key];
        let before = Amount::of(&live.request);
        live.begun.get_or_insert(first_token);
        live.resumed += tokens;
        live.request.prompt = (live.request.prompt + tokens).min(TOKENS_MAX);
        if let Some(most) = &mut live.request.output_max {
            *most = most.less(tokens).max(Tokens(1));
        }
        let after = Amount::of(&live.request);
        for sum in [&mut self.under_way, &mut self.retrying] {
            *sum -= before;
            *sum += after;
        }
    }

    /// Sets the alarm for when an attempt is given up without a first token.
    pub(in crate::balance) fn time_first_token(&mut self, this: TryKey) {
        let (request, dispatched) = (self.tries[this].request, self.tries[this].dispatched);
        if let Some(limit) = self.timeouts.first_token
            && !self.requests[request].request.whole
        {
            self.timers.after(dispatched, limit, Alarm::FirstToken(this));
        }
    }

    pub(in crate::balance) fn first_token_overdue(&mut self, this: TryKey) {
        let end = End::TimedOut(Stage::FirstToken);
        let (request, node) = (self.tries[this].request, self.tries[this].node);
        self.abort(this, end);
        self.failed(this, request, (node, end), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Ratio;

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
        let of = |requests, prompts| Amount { requests, prompts };
        let few = (of(1, 100), of(0, 0), of(1, 100));
        assert_eq!(retry.refusal(reset, 1, false, few), None);
        assert_eq!(retry.refusal(reset, 3, false, few), Some(NoRetry::Attempts));
        assert_eq!(retry.refusal(reset, 1, true, few), Some(NoRetry::Started));
        let at = |under_way| (of(1, 100), of(3, 300), of(under_way, 2_000));
        assert_eq!(retry.refusal(reset, 1, false, at(15)), Some(NoRetry::Budget));
        assert_eq!(retry.refusal(reset, 1, false, at(20)), None);
        let client = End::Failed(Failure::ClientError);
        assert_eq!(retry.refusal(client, 1, false, few), Some(NoRetry::NotRetryable));
        let resume = Retry { resume: true, ..retry };
        assert_eq!(resume.refusal(reset, 1, true, few), None);
        assert_eq!(resume.refusal(client, 1, true, few), Some(NoRetry::NotRetryable));
        // Four of a hundred requests, but 40 % of all prompt tokens.
        let tokens = Retry { token_budget: Some(Ratio::from_f64(0.2)), ..retry };
        let long = (of(1, 20_000), of(3, 200), of(100, 50_000));
        assert_eq!(tokens.refusal(reset, 1, false, long), Some(NoRetry::Tokens));
        assert_eq!(retry.refusal(reset, 1, false, long), None);
        let fits = (of(1, 9_800), of(3, 200), of(100, 50_000));
        assert_eq!(tokens.refusal(reset, 1, false, fits), None);
        let first = (of(1, 20_000), of(2, 200), of(100, 50_000));
        assert_eq!(tokens.refusal(reset, 1, false, first), None, "a few are always allowed");
    }
}

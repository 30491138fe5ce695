//! Limits of requests and tokens a minute, of attempts at a time, and of money a day.
//!
//! A limit a minute is a bucket that holds one minute's worth, begins full and fills continuously:
//! the generic cell rate algorithm, as a meter instead of a time, so that integers are exact (a
//! token counts as many nanoseconds as a minute has, and the limit is what leaks a nanosecond). So no window
//! of any length admits more than what the limit gives in it and one minute's worth. What an
//! attempt is expected to use is reserved at its dispatch and corrected when it ends: what was not
//! used is given back, unless the bucket has been full since, and what was used beyond it is owed.
//! What is larger than the bucket passes when it is full.
//!
//! A budget of money is a sum a day: spent and reserved never exceed it, as far as an attempt uses
//! what it was expected to use at the prices of its dispatch. Days begin with the run, since the core
//! has no calendar.
//!
//! This file only counts. What becomes of a request that does not fit is for `quota` to say.

use super::spec::node::Limits;
use crate::unit::{Cost, Span, Time, Tokens};

const MINUTE: Span = Span::from_secs(60);
const DAY: Span = Span::from_secs(86_400);

/// A limit a minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    per_minute: u64,
    /// What was taken and has not leaked yet, as of `at`.
    level: u128,
    at: Time,
    /// When it was full last.
    full: Time,
}

impl Bucket {
    /// A full one.
    pub(super) const fn new(per_minute: u64) -> Bucket {
        Bucket { per_minute, level: 0, at: Time::ZERO, full: Time::ZERO }
    }

    const fn size(&self) -> u128 {
        self.per_minute as u128 * MINUTE.0 as u128
    }

    /// What is larger than the bucket counts as the bucket.
    fn weigh(&self, amount: u64) -> u128 {
        (u128::from(amount) * u128::from(MINUTE.0)).min(self.size())
    }

    /// Lets it fill up to `now`.
    fn flow(&mut self, now: Time) {
        if now == self.at && self.level > 0 {
            return;
        }
        let came = u128::from(now.since(self.at).0) * u128::from(self.per_minute);
        if came >= self.level {
            self.full = now;
            self.level = 0;
        } else {
            self.level -= came;
        }
        self.at = now;
    }

    /// Returns how long until so much fits; zero if it does now, for ever if the limit is none at
    /// all.
    pub(super) fn wait(&self, now: Time, amount: u64) -> Span {
        let came = u128::from(now.since(self.at).0) * u128::from(self.per_minute);
        let level = self.level.saturating_sub(came);
        let over = (level + self.weigh(amount)).saturating_sub(self.size());
        if self.per_minute == 0 {
            return Span::MAX;
        }
        if over == 0 {
            return Span::ZERO;
        }
        Span(u64::try_from(over.div_ceil(u128::from(self.per_minute))).unwrap_or(u64::MAX))
    }

    /// Takes so much, whether it fits or not.
    pub(super) fn take(&mut self, now: Time, amount: u64) {
        self.flow(now);
        self.level = self.level.saturating_add(self.weigh(amount));
    }

    /// Corrects what was taken at some time by what it should have been.
    pub(super) fn settle(&mut self, now: Time, taken_at: Time, taken: u64, used: u64) {
        self.flow(now);
        let (taken, used) = (self.weigh(taken), self.weigh(used));
        if used >= taken {
            self.level = self.level.saturating_add(used - taken);
        } else if self.full <= taken_at {
            self.level = self.level.saturating_sub(taken - used);
        }
    }

    /// Somebody who must know says that so much is left.
    pub(super) fn hear(&mut self, now: Time, left: u64) {
        self.flow(now);
        self.level = self.level.max(self.size().saturating_sub(self.weigh(left)));
    }
}

/// Limits a minute, where there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quota {
    pub(super) requests: Option<Bucket>,
    pub(super) tokens: Option<Bucket>,
}

impl Quota {
    pub(super) fn new(limits: &Limits) -> Quota {
        Quota {
            requests: limits.requests_per_minute.map(Bucket::new),
            tokens: limits.tokens_per_minute.map(Bucket::new),
        }
    }

    /// Returns how long until a request of so many tokens fits.
    pub(super) fn wait(&self, now: Time, tokens: u64) -> Span {
        let requests = self.requests.map_or(Span::ZERO, |bucket| bucket.wait(now, 1));
        let tokens = self.tokens.map_or(Span::ZERO, |bucket| bucket.wait(now, tokens));
        requests.max(tokens)
    }

    pub(super) fn take(&mut self, now: Time, tokens: u64) {
        if let Some(bucket) = &mut self.requests {
            bucket.take(now, 1);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(now, tokens);
        }
    }

    pub(super) fn settle(&mut self, now: Time, taken_at: Time, taken: u64, used: u64) {
        if let Some(bucket) = &mut self.tokens {
            bucket.settle(now, taken_at, taken, used);
        }
    }

    /// New limits; what was taken stays taken.
    pub(super) fn relimit(&mut self, limits: &Limits) {
        let renew = |bucket: &mut Option<Bucket>, limit: Option<u64>| match (bucket, limit) {
            (Some(bucket), Some(limit)) => bucket.per_minute = limit,
            (bucket, limit) => *bucket = limit.map(Bucket::new),
        };
        renew(&mut self.requests, limits.requests_per_minute);
        renew(&mut self.tokens, limits.tokens_per_minute);
    }

    /// The node says how much is left: others may use it too. Less than is known here counts.
    pub(super) fn hear(&mut self, now: Time, requests: Option<u64>, tokens: Option<Tokens>) {
        if let Some((bucket, left)) = self.requests.as_mut().zip(requests) {
            bucket.hear(now, left);
        }
        if let Some((bucket, left)) = self.tokens.as_mut().zip(tokens) {
            bucket.hear(now, left.0);
        }
    }

    /// Gives a whole request back: it came to nothing.
    pub(super) fn undo(&mut self, now: Time, taken_at: Time, taken: u64) {
        if let Some(bucket) = &mut self.requests {
            bucket.settle(now, taken_at, 1, 0);
        }
        self.settle(now, taken_at, taken, 0);
    }
}

/// The money of one tenant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DailyBudget {
    /// `None` without end.
    limit: Option<Cost>,
    day: u64,
    spent: Cost,
    reserved: Cost,
}

impl DailyBudget {
    pub(super) fn new(budget: Option<u64>) -> DailyBudget {
        // A micro-dollar is a million pico-dollars.
        let limit = budget.map(|micros| Cost(u128::from(micros) * 1_000_000));
        DailyBudget { limit, ..DailyBudget::default() }
    }

    /// What was spent today, and what is reserved.
    pub(super) fn used(&self, now: Time) -> Cost {
        let spent = if self.day == now.0 / DAY.0 { self.spent } else { Cost::ZERO };
        spent + self.reserved
    }

    /// Returns how long until there is money again, if `cost` is more than there is now.
    pub(super) fn refusal(&self, now: Time, cost: Cost) -> Option<Span> {
        let limit = self.limit?;
        (self.used(now) + cost > limit).then(|| Span(DAY.0 - now.0 % DAY.0))
    }

    pub(super) fn reserve(&mut self, cost: Cost) {
        self.reserved += cost;
    }

    /// What was reserved is paid, or given back; it is booked on the day on which this happens.
    pub(super) fn settle(&mut self, now: Time, reserved: Cost, paid: Cost) {
        let day = now.0 / DAY.0;
        if std::mem::replace(&mut self.day, day) != day {
            self.spent = Cost::ZERO;
        }
        self.reserved.0 =
            self.reserved.0.checked_sub(reserved.0).expect("what is settled was reserved");
        self.spent += paid;
    }

    pub(super) const fn reserved(&self) -> Cost {
        self.reserved
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In every window no more is admitted than the limit gives in it and one minute's worth.
        #[test]
        fn no_window_admits_more_than_its_limit_and_a_burst(
            per_minute in 1_u64..5_000,
            asks in prop::collection::vec((0_u64..20_000_000_000, 1_u64..400), 1..120),
        ) {
            let mut bucket = Bucket::new(per_minute);
            let mut now = Time::ZERO;
            let mut taken: Vec<(Time, u64)> = Vec::new();
            for (pause, amount) in asks {
                now = now + Span(pause);
                let amount = amount.min(per_minute);
                if bucket.wait(now, amount) == Span::ZERO {
                    bucket.take(now, amount);
                    taken.push((now, amount));
                }
            }
            for (first, (from, _)) in taken.iter().enumerate() {
                let mut sum = 0_u128;
                for (until, amount) in &taken[first..] {
                    sum += u128::from(*amount);
                    let flows = u128::from(until.since(*from).0) * u128::from(per_minute);
                    let most = flows + u128::from(per_minute) * u128::from(MINUTE.0);
                    prop_assert!(sum * u128::from(MINUTE.0) <= most);
                }
            }
        }

        /// What fits after a wait does not fit a nanosecond before.
        #[test]
        fn a_wait_is_as_long_as_it_has_to_be(
            per_minute in 1_u64..1_000_000_000,
            before in 0_u64..3_000_000_000,
            amount in 1_u64..2_000_000_000,
        ) {
            let mut bucket = Bucket::new(per_minute);
            bucket.take(Time::ZERO, before);
            let wait = bucket.wait(Time::ZERO, amount);
            prop_assert_eq!(bucket.wait(Time::ZERO + wait, amount), Span::ZERO);
            if wait > Span::ZERO {
                prop_assert!(bucket.wait(Time::ZERO + Span(wait.0 - 1), amount) > Span::ZERO);
            }
        }

        /// What is reserved is paid or given back, whatever comes in whatever order.
        #[test]
        fn what_is_reserved_is_paid_or_given_back(
            budget in 1_u64..1_000,
            asks in prop::collection::vec((1_u64..300_000_000, 0_u64..100, any::<bool>(), 0_u64..30_000), 1..100),
        ) {
            let mut budgeted = DailyBudget::new(Some(budget));
            let (mut now, mut open) = (Time::ZERO, Vec::new());
            let (mut spent, mut day, mut worst) = (0_u128, 0, 0_u128);
            for (cost, off, end, pause) in asks {
                now = now + Span::from_secs(pause);
                if now.0 / DAY.0 != day {
                    (day, spent, worst) = (now.0 / DAY.0, 0, 0);
                }
                if end && let Some((reserved, off)) = open.pop() {
                    let paid = Cost(u128::from(reserved) * u128::from(off) / 50);
                    worst += paid.0.saturating_sub(u128::from(reserved));
                    budgeted.settle(now, Cost(u128::from(reserved)), paid);
                    spent += paid.0;
                } else if budgeted.refusal(now, Cost(u128::from(cost))).is_none() {
                    budgeted.reserve(Cost(u128::from(cost)));
                    open.push((cost, off));
                }
                let held: u64 = open.iter().map(|(cost, _)| cost).sum();
                prop_assert_eq!(budgeted.reserved(), Cost(u128::from(held)));
                prop_assert_eq!(budgeted.used(now), Cost(spent + u128::from(held)));
                // Today's spending stays within the budget, but for what estimates were short of.
                prop_assert!(spent <= u128::from(budget) * 1_000_000 + worst);
            }
        }
    }

    #[test]
    fn what_was_not_used_is_given_back_once() {
        let second = |at: u64| Time::ZERO + Span::from_secs(at);
        let mut bucket = Bucket::new(60);
        bucket.take(second(0), 60);
        assert_eq!(bucket.wait(second(0), 30), Span::from_secs(30));
        bucket.settle(second(10), second(0), 60, 20);
        // 60 taken, 10 flowed in, 40 given back: 50 are there.
        assert_eq!(bucket.wait(second(10), 50), Span::ZERO);
        assert!(bucket.wait(second(10), 51) > Span::ZERO);
        // Full again at second 20: what was taken before has come back already.
        bucket.take(second(30), 60);
        bucket.settle(second(30), second(10), 60, 0);
        assert_eq!(bucket.wait(second(30), 1), Span::from_secs(1));
        // What was used beyond what was reserved is owed.
        bucket.settle(second(30), second(30), 60, 60);
        bucket.settle(second(30), second(30), 0, 30);
        assert_eq!(bucket.wait(second(30), 30), Span::from_secs(60));
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_when_it_is_full() {
        let mut bucket = Bucket::new(60);
        assert_eq!(bucket.wait(Time::ZERO, 1_000), Span::ZERO);
        bucket.take(Time::ZERO, 1_000);
        assert_eq!(bucket.wait(Time::ZERO, 1_000), MINUTE);
        assert_eq!(Bucket::new(0).wait(Time::ZERO, 1), Span::MAX);
        bucket.hear(Time::ZERO + MINUTE, 10);
        assert_eq!(bucket.wait(Time::ZERO + MINUTE, 30), Span::from_secs(20));
    }
}

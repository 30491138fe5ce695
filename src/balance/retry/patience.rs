//! Patience: how long an answer may be awaited, learnt from how long its like take.
//!
//! A fixed limit is too short for models that think and too long for a node that hangs. So what answers
//! usually take is learnt by pool, model, class and the effort that is asked of the model, apart for answers that stream (their first token
//! counts) and those that come whole, and by size: the 99th percentile, once there are enough. Two
//! limits follow:
//!
//! - *Silence*: where nothing at all came from a node for four times as long, at least as long as the
//!   setting says, it hangs, if other nodes of the pool answer meanwhile. An attempt there is given up while
//!   it may be tried elsewhere; the last one is not: a late answer is better than none.
//! - *Lateness*: an attempt on a node that answers others is given up after twenty times as long, at
//!   least thirty times the setting. Before anything is known the first-token timeout is all there is.
//!
//! What was given up on a silent node teaches nothing: it says how long we waited, not how long its like
//! take. What was late on a node that talks does, so under load, where everything is late, both limits grow.

use std::collections::BTreeMap;

use super::delays::Delays;
use crate::balance::vocabulary::request::Request;
use crate::unit::{ModelId, PoolId, Ratio, Span, Tokens};

/// The quantile that is usual.
const USUAL: Ratio = Ratio(990_000);
/// A node that is silent for so many times the usual hangs.
const SILENT_TIMES: u64 = 4;
/// An answer that takes so many times the usual does not come.
const LATE_TIMES: u64 = 20;
/// So many times the least silence is the least lateness.
const LATE_LEAST: u64 = 30;
/// A limit that nothing is known for is looked at again after so long.
const UNKNOWN: Span = Span::from_secs(10);

/// What answers are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::balance) struct Alike {
    pool: PoolId,
    model: ModelId,
    class: u16,
    whole: bool,
    /// How hard the model is asked to think.
    effort: u8,
    /// Powers of four of the tokens of the prompt, and of the most that a whole answer may have.
    size: u8,
}

impl Alike {
    /// Returns what an answer of this model in this pool is like.
    #[inline]
    pub(in crate::balance) fn of(request: &Request, pool: PoolId, model: ModelId) -> Alike {
        let output = request.output_max.filter(|_| request.whole).unwrap_or(Tokens::ZERO);
        let size = (request.prompt + output).0.min(1 << 20);
        let size = (u64::BITS - size.leading_zeros()).max(8) / 2;
        let (class, whole, effort) = (request.class.0, request.whole, request.effort);
        Alike { pool, model, class, whole, effort, size: size as u8 }
    }

    /// Returns the same without the size of a prompt, unless the answer comes whole.
    #[inline]
    pub(super) const fn but_for_size(self) -> Alike {
        if self.whole { self } else { Alike { size: 0, ..self } }
    }
}

/// What to do about an attempt whose answer has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum Overdue {
    /// Nothing for so long.
    Not(Span),
    /// Its node hangs, if others answer and it may be tried there.
    Silent(Span),
    /// It does not come.
    Late,
}

/// How long answers usually take, where that is learnt.
#[derive(Debug)]
pub(in crate::balance) struct Patience {
    /// No node hangs that was silent for less; `None` learns nothing.
    least: Option<Span>,
    usual: BTreeMap<Alike, Delays>,
}

impl Patience {
    pub(super) const fn new(least: Option<Span>) -> Patience {
        Patience { least, usual: BTreeMap::new() }
    }

    /// Returns whether anything is learnt.
    #[inline]
    pub(in crate::balance) const fn is_on(&self) -> bool {
        self.least.is_some()
    }

    /// Returns whether enough is known of such answers for one to be late.
    pub(in crate::balance) fn knows(&self, alike: Alike) -> bool {
        self.limits(alike, None).1.is_some()
    }

    /// Returns after how much silence a node hangs that such an answer is awaited from, and when the
    /// answer is late, as far as both are known; `most` is the timeout that is set.
    #[inline]
    fn limits(&self, alike: Alike, most: Option<Span>) -> (Option<Span>, Option<Span>) {
        let usual = self.least.zip(self.usual.get(&alike).and_then(Delays::quantile));
        let Some((least, usual)) = usual else { return (None, most) };
        let times = |span: Span, times: u64| Span(span.0.saturating_mul(times));
        let late = times(usual, LATE_TIMES).max(times(least, LATE_LEAST));
        let silent = times(usual, SILENT_TIMES).max(least);
        (Some(silent), Some(most.map_or(late, |most| late.min(most))))
    }

    /// Returns when an attempt that begins now is looked at for the first time.
    #[inline]
    pub(in crate::balance) fn first_look(&self, alike: Alike, most: Option<Span>) -> Option<Span> {
        let (silent, late) = self.limits(alike, most);
        silent.into_iter().chain(late).min().or_else(|| self.is_on().then_some(UNKNOWN))
    }

    /// Says what to do about an attempt that has waited so long for its answer, on a node that has said
    /// nothing for so long.
    pub(in crate::balance) fn look(
        &self,
        alike: Alike,
        most: Option<Span>,
        (waited, silent_for): (Span, Span),
    ) -> Overdue {
        let (silent, late) = self.limits(alike, most);
        if late.is_some_and(|late| waited >= late) {
            return Overdue::Late;
        }
        if silent.is_some_and(|silent| silent_for >= silent) {
            return Overdue::Silent(silent_for);
        }
        let left = |limit: Span, past: Span| Span(limit.0 - past.0);
        let silent = silent.map(|limit| left(limit, silent_for));
        let late = late.map(|limit| left(limit, waited));
        Overdue::Not(silent.into_iter().chain(late).min().unwrap_or(UNKNOWN).max(Span(1)))
    }

    /// Such an answer began after so long, or was given up then by a node that talks.
    #[inline]
    pub(in crate::balance) fn learn(&mut self, alike: Alike, took: Span) {
        if self.is_on() {
            self.usual.entry(alike).or_default().learn(took, USUAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::spec::retry::HEDGE_SAMPLES_MIN;
    use crate::unit::{RequestId, Time};

    const MS: Span = Span::from_millis(1);
    const MOST: Option<Span> = Some(Span::from_secs(300));

    fn alike(prompt: u64, whole: bool) -> Alike {
        let request =
            Request { prompt: Tokens(prompt), whole, ..Request::new(RequestId(0), Time::ZERO) };
        Alike::of(&request, PoolId(0), ModelId(0))
    }

    fn ms(millis: u64) -> Span {
        Span::from_millis(millis)
    }

    fn taught(took: Span) -> Patience {
        let mut patience = Patience::new(Some(Span::from_secs(1)));
        (0..HEDGE_SAMPLES_MIN).for_each(|_| patience.learn(alike(100, false), took));
        patience
    }

    #[test]
    fn before_enough_is_known_the_timeout_that_is_set_is_all_there_is() {
        let patience = Patience::new(Some(Span::from_secs(1)));
        let these = alike(100, false);
        assert_eq!(patience.first_look(these, MOST), MOST);
        assert_eq!(patience.first_look(these, None), Some(UNKNOWN));
        let waited = Span::from_secs(299);
        assert_eq!(patience.look(these, MOST, (waited, waited)), Overdue::Not(ms(1_000)));
        let waited = Span::from_secs(300);
        assert_eq!(patience.look(these, MOST, (waited, MS)), Overdue::Late);
        assert_eq!(patience.look(these, None, (waited, waited)), Overdue::Not(UNKNOWN));
        assert!(!patience.knows(these) && taught(MS).knows(these));
        let off = Patience::new(None);
        assert_eq!((off.first_look(these, None), off.first_look(these, MOST)), (None, MOST));
    }

    #[test]
    fn a_node_that_says_nothing_is_told_from_one_that_only_is_late() {
        let patience = taught(ms(50));
        let these = alike(100, false);
        assert_eq!(patience.first_look(these, MOST), Some(ms(1_000)), "at least that");
        assert_eq!(patience.look(these, MOST, (ms(900), ms(900))), Overdue::Not(ms(100)));
        assert_eq!(patience.look(these, MOST, (ms(1_500), ms(400))), Overdue::Not(ms(600)));
        assert_eq!(patience.look(these, MOST, (ms(1_500), ms(1_000))), Overdue::Silent(ms(1_000)));
        assert_eq!(patience.look(these, MOST, (ms(29_999), ms(10))), Overdue::Not(ms(1)));
        assert_eq!(patience.look(these, MOST, (ms(30_000), ms(10))), Overdue::Late);
        assert_eq!(patience.look(these, Some(ms(800)), (ms(800), MS)), Overdue::Late);
    }

    #[test]
    fn models_that_think_for_minutes_are_given_their_time() {
        let patience = taught(Span::from_secs(60));
        let minutes = Span::from_secs(200);
        let looked = patience.look(alike(100, false), MOST, (minutes, minutes));
        assert!(matches!(looked, Overdue::Not(_)), "{looked:?}");
    }

    #[test]
    fn what_is_not_alike_teaches_nothing() {
        let patience = taught(ms(50));
        for other in [alike(100, true), alike(20_000, false)] {
            assert_eq!(patience.first_look(other, MOST), MOST);
        }
        assert_eq!(alike(1, false), alike(255, false));
        assert_eq!(alike(u64::MAX >> 1, false), alike(1 << 20, false), "there are few sizes");
    }
}

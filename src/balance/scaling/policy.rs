//! Autoscaling: a pure function from what a group of nodes has to do to how many nodes it wants.
//!
//! Target tracking as in the Horizontal Pod Autoscaler: `ceil(load / target)`, nothing within a
//! tolerance, steps of bounded size, and a smaller number only when none larger was wanted for a
//! while. Tokens and requests in flight are loads: they say by themselves how many nodes are needed.
//! A queue and the predicted time to the first token are symptoms: zero on any fleet that is large
//! enough, so they say when there are too few nodes, but not when there are too many. On them a group
//! shrinks by one node at a time, while the symptom is at most half its target and the load each
//! node would then carry is well below one under which the target was missed.
//!
//! Predicted time to the first token: the mean of those whose first token came since the last look,
//! or, where many wait, `prompt tokens without a first token / prompt tokens served a second` if that
//! is more. By Little's law the quotient is the mean time in a steady state; in overload it is what
//! a newcomer has to wait.
//!
//! Nothing here knows nodes, starts any or looks at a clock.

use std::collections::VecDeque;

use crate::balance::spec::scale::{Reason, ScaleSpec, Target};
use crate::unit::{Ratio, Span, Time};

/// What there is and what it has to do, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScaleStats {
    /// Nodes that serve. Ejected ones and those that drain do not.
    pub serving: u32,
    /// Nodes that start.
    pub starting: u32,
    /// Requests in flight on them.
    pub in_flight: u64,
    /// Requests in the balancer that wait for them.
    pub waiting: u64,
    /// Requests that wait at the nodes, as far as nodes say so.
    pub queued: u64,
    /// Tokens of both, prompts and answers.
    pub tokens: u64,
    /// Of those in flight or waiting, requests without a first token,
    pub unanswered: u64,
    /// and the tokens of their prompts.
    pub unanswered_tokens: u64,
    /// First tokens since the start,
    pub firsts: u64,
    /// the time they took in all, from the arrival of their requests, in nanoseconds,
    pub first_time: u128,
    /// and the tokens of their prompts.
    pub answered_tokens: u64,
}

impl ScaleStats {
    /// Nodes that serve or will soon.
    const fn there(&self) -> u32 {
        self.serving + self.starting
    }

    const fn load(&self) -> u64 {
        self.in_flight + self.waiting
    }
}

/// What is remembered from look to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScaleState {
    /// Numbers wanted lately, latest last; those with a larger one behind them are left out.
    recent: VecDeque<(Time, u32)>,
    /// When it last looked, and what it saw of first tokens then.
    at: Time,
    seen: (u64, u128, u64),
    /// Prompt tokens answered in a thousand seconds; the newest look counts half.
    rate: u64,
    /// The smallest load a node, in thousandths of a request, under which a symptom missed its
    /// target; it fades, by a quarter an hour at a look every 15 s. Zero is none.
    missed: u64,
}

impl ScaleState {
    /// The state of a group that begins with so many nodes.
    #[must_use]
    pub fn new(start: u32) -> ScaleState {
        ScaleState { recent: VecDeque::from([(Time::ZERO, start)]), ..ScaleState::default() }
    }
}

/// What is wanted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleDecision {
    /// So many nodes.
    pub nodes: u32,
    /// The reason.
    pub reason: Reason,
}

/// So many requests without a first token say something about the time to it.
const UNANSWERED_MIN: u64 = 8;

/// Returns how many nodes are wanted now. To be called every [`ScaleSpec::every`].
pub fn tick(
    now: Time,
    stats: &ScaleStats,
    rule: &ScaleSpec,
    state: &mut ScaleState,
) -> ScaleDecision {
    let there = stats.there();
    let (ideal, measured) = match rule.target {
        Target::TokensInFlight(_) => by_load(stats, rule, stats.tokens),
        Target::InFlight(_) => by_load(stats, rule, stats.load()),
        Target::Queue(_) => {
            let all = stats.waiting + stats.queued;
            let a_node = all.div_ceil(u64::from(stats.serving.max(1)));
            (by_symptom(stats, rule, state, u128::from(all)), a_node)
        }
        Target::Ttft(_) => {
            let predicted = predict(now, stats, state);
            let all = u128::from(predicted) * u128::from(stats.serving);
            (by_symptom(stats, rule, state, all), predicted)
        }
    };
    // Work needs a node, however little it is.
    let ideal = ideal.max(u32::from(stats.load() > 0)).clamp(rule.min, rule.max);
    let most = state.remember(now, ideal, rule.down_after);
    let step = |share: Ratio| (share.of(u64::from(there)) as u32).max(1);
    let nodes = if ideal > there {
        ideal.min(there.saturating_add(step(rule.up_max)))
    } else {
        most.min(there).max(there.saturating_sub(step(rule.down_max)))
    };
    ScaleDecision { nodes, reason: Reason { target: rule.target, measured } }
}

/// `ceil(load / target)`, or what there is if that is near enough.
fn by_load(stats: &ScaleStats, rule: &ScaleSpec, load: u64) -> (u32, u64) {
    let there = stats.there();
    let fits = u128::from(rule.target.value()) * u128::from(there);
    let off = u128::from(load).abs_diff(fits);
    let near = there > 0 && off * 1_000_000 <= fits * u128::from(rule.tolerance.0);
    let ideal = if near { there } else { quotient(u128::from(load), rule.target.value()) };
    (ideal, load.div_ceil(u64::from(there.max(1))))
}

/// `all` is the symptom summed over the nodes that serve.
fn by_symptom(stats: &ScaleStats, rule: &ScaleSpec, state: &mut ScaleState, all: u128) -> u32 {
    let (there, target) = (stats.there(), rule.target.value());
    let fits = u128::from(target) * u128::from(stats.serving);
    let thousandths = |nodes: u32| stats.load().saturating_mul(1_000) / u64::from(nodes.max(1));
    state.missed = state.missed.saturating_add(state.missed / 1_024);
    if stats.serving > 0 && all * 1_000_000 > fits * u128::from(1_000_000 + rule.tolerance.0) {
        let load = thousandths(stats.serving).max(1);
        state.missed = if state.missed == 0 { load } else { state.missed.min(load) };
        // Nodes that start have been counted on already.
        return quotient(all, target).max(there);
    }
    let fewer = there.saturating_sub(1);
    let bearable = state.missed == 0 || thousandths(fewer) < state.missed / 10 * 9;
    let fine = all * 2 <= fits && stats.starting == 0;
    if fine && (if fewer == 0 { stats.load() == 0 } else { bearable }) { fewer } else { there }
}

fn quotient(all: u128, target: u64) -> u32 {
    u32::try_from(all.div_ceil(u128::from(target.max(1)))).unwrap_or(u32::MAX)
}

/// Predicts the time to the first token in nanoseconds; `u64::MAX` if there is no end to it.
fn predict(now: Time, stats: &ScaleStats, state: &mut ScaleState) -> u64 {
    let (firsts, time, answered) = state.seen;
    state.seen = (stats.firsts, stats.first_time, stats.answered_tokens);
    let past = now.since(std::mem::replace(&mut state.at, now)).0.max(1);
    let tokens = stats.answered_tokens - answered;
    let rate = (u128::from(tokens) * 1_000_000_000_000 / u128::from(past)) as u64;
    state.rate = if state.rate == 0 { rate } else { state.rate / 2 + rate / 2 };
    let count = stats.firsts - firsts;
    let mean = (stats.first_time - time).checked_div(u128::from(count)).unwrap_or(0);
    let mean = u64::try_from(mean).unwrap_or(u64::MAX);
    if stats.unanswered < UNANSWERED_MIN {
        return mean;
    }
    let ahead = u128::from(stats.unanswered_tokens.max(1)) * 1_000_000_000_000;
    let ahead = ahead.checked_div(u128::from(state.rate)).unwrap_or(u128::MAX);
    mean.max(u64::try_from(ahead).unwrap_or(u64::MAX))
}

impl ScaleState {
    /// Notes a number and returns the largest of the last while, this one included.
    fn remember(&mut self, now: Time, ideal: u32, within: Span) -> u32 {
        while self.recent.back().is_some_and(|(_, last)| *last <= ideal) {
            self.recent.pop_back();
        }
        self.recent.push_back((now, ideal));
        while self.recent.len() > 1
            && self.recent.front().is_some_and(|(at, _)| *at + within <= now)
        {
            self.recent.pop_front();
        }
        self.recent.front().map_or(ideal, |(_, most)| *most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{NodeId, Tokens};

    fn rule(target: Target) -> ScaleSpec {
        ScaleSpec {
            name: "g".to_owned(),
            nodes: (0..20).map(NodeId).collect(),
            start: 4,
            min: 2,
            max: 20,
            target,
            every: Span::from_secs(15),
            down_after: Span::from_secs(300),
            up_max: Ratio::ONE,
            down_max: Ratio(250_000),
            tolerance: Ratio(100_000),
            advise: false,
        }
    }

    const TOKENS: Target = Target::TokensInFlight(Tokens(1_000));

    fn at(second: u64) -> Time {
        Time::ZERO + Span::from_secs(second)
    }

    fn tokens(serving: u32, tokens: u64) -> ScaleStats {
        ScaleStats { serving, tokens, in_flight: tokens / 100, ..ScaleStats::default() }
    }

    fn wanted(stats: &ScaleStats, rule: &ScaleSpec) -> u32 {
        tick(at(0), stats, rule, &mut ScaleState::new(stats.there())).nodes
    }

    #[test]
    fn a_load_asks_for_its_quotient_by_the_target() {
        let rule = rule(TOKENS);
        assert_eq!(wanted(&tokens(4, 5_001), &rule), 6);
        assert_eq!(wanted(&tokens(4, 4_400), &rule), 4, "within the tolerance");
        assert_eq!(wanted(&tokens(4, 4_401), &rule), 5, "just beyond it");
        assert_eq!(wanted(&tokens(4, 9_900), &rule), 8, "at most twice as many in a step");
        assert_eq!(wanted(&tokens(16, 90_000), &rule), 20, "at most the maximum");
        let starting = ScaleStats { serving: 4, starting: 4, ..tokens(4, 7_900) };
        assert_eq!(wanted(&starting, &rule), 8, "nodes that start have been asked for already");
    }

    #[test]
    fn a_group_shrinks_late_and_in_small_steps() {
        let rule = rule(TOKENS);
        let mut state = ScaleState::new(8);
        let look =
            |state: &mut ScaleState, second, load| tick(at(second), &tokens(8, load), &rule, state);
        for second in (0..300).step_by(15) {
            assert_eq!(look(&mut state, second, 1_000).nodes, 8, "at {second}");
        }
        assert_eq!(look(&mut state, 300, 1_000).nodes, 6, "a quarter of eight");
        assert_eq!(look(&mut state, 315, 7_000).nodes, 7, "and not below what is needed");
        assert_eq!(look(&mut state, 330, 1_000).nodes, 7, "nor what was needed lately");
        assert_eq!(look(&mut state, 614, 1_000).nodes, 7);
        assert_eq!(look(&mut state, 615, 1_000).nodes, 6);
        assert_eq!(wanted(&tokens(2, 0), &rule), 2, "the minimum stays");
    }

    #[test]
    fn from_zero_and_to_zero() {
        let rule = ScaleSpec { min: 0, down_after: Span::ZERO, ..rule(TOKENS) };
        assert_eq!(wanted(&ScaleStats::default(), &rule), 0);
        let waits = ScaleStats { waiting: 30, tokens: 9_000, ..ScaleStats::default() };
        assert_eq!(wanted(&waits, &rule), 1, "twice nothing is nothing: one at least");
        assert_eq!(wanted(&tokens(1, 0), &rule), 0);
        assert_eq!(wanted(&tokens(1, 100), &rule), 1, "work needs a node");
    }

    #[test]
    fn a_queue_says_when_there_are_too_few_but_not_when_too_many() {
        let rule = ScaleSpec { down_after: Span::ZERO, ..rule(Target::Queue(4)) };
        let mut state = ScaleState::new(4);
        let stats = |serving, starting, waiting| ScaleStats {
            serving,
            starting,
            waiting,
            in_flight: 40,
            ..ScaleStats::default()
        };
        assert_eq!(tick(at(0), &stats(4, 0, 25), &rule, &mut state).nodes, 7);
        assert_eq!(tick(at(15), &stats(4, 3, 28), &rule, &mut state).nodes, 7, "they come");
        assert_eq!(tick(at(30), &stats(7, 0, 15), &rule, &mut state).nodes, 7, "half the target");
        // 65 over 4 was too much, 40 over 6 is not, 40 over 2 would be too near.
        assert_eq!(tick(at(45), &stats(7, 0, 0), &rule, &mut state).nodes, 6, "one at a time");
        assert_eq!(tick(at(60), &stats(3, 0, 0), &rule, &mut state).nodes, 3);
    }

    #[test]
    fn the_time_to_the_first_token_is_measured_or_foreseen() {
        let mut state = ScaleState::new(4);
        let mut stats = ScaleStats {
            serving: 4,
            firsts: 10,
            first_time: 10 * 1_500_000_000,
            answered_tokens: 15_000,
            ..ScaleStats::default()
        };
        assert_eq!(predict(at(15), &stats, &mut state), 1_500_000_000, "the mean of ten");
        stats.unanswered = 100;
        stats.unanswered_tokens = 20_000;
        stats.answered_tokens += 15_000;
        stats.firsts += 10;
        stats.first_time += 10 * 1_500_000_000;
        assert_eq!(predict(at(30), &stats, &mut state), 20_000_000_000, "20,000 at 1,000 a second");
        let rule = rule(Target::Ttft(Span::from_secs(2)));
        let mut state =
            ScaleState { at: at(15), seen: (10, 15_000_000_000, 15_000), ..ScaleState::new(4) };
        let wanted = tick(at(30), &stats, &rule, &mut state);
        assert_eq!(wanted.nodes, 8, "ten times too slow: as many more as a step may be");
        assert_eq!(wanted.reason.measured, 20_000_000_000);
        stats.answered_tokens = 30_000;
        state.rate = 0;
        assert_eq!(predict(at(45), &stats, &mut state), u64::MAX, "nothing moves");
    }
}

//! Limiters: how many attempts at a time a node takes, found out instead of configured.
//!
//! Each node of a pool with a limiter has a limit of its own beside the configured one; the lower of
//! them counts. The signal has no dimension: the time to the first token over what that prompt takes on
//! an idle node (see `baseline`), so long prompts do not look like congestion, and limits need no
//! milliseconds. Answers are taken in *windows* of as many as the limit, at least eight, and only those
//! count that were sent after the last cut: what was sent before says nothing of it.
//!
//! - **AIMD** (Chiu and Jain, 1989): a window in which the node had at least half its limit in flight
//!   and whose mean ratio is within bounds adds one; a mean ratio above them multiplies by `cut`.
//! - **Gradient** (Netflix, concurrency-limits, Gradient2): `L <- (1-s) L + s (L g + queue)` with
//!   `g = clamp(long / short, 1/2, 1)`, where `short` is the mean ratio of the window and `long` its mean
//!   over about six hundred answers; a window in which the node had less than half its limit in flight
//!   changes nothing. Unlike there, `long` counts at most `tolerance`: since one is idle by construction,
//!   a queue that lasts never comes to be taken for normal. A constant `g` ends at `L = queue / (1-g)`; a
//!   node of `c` servers without end of queue at `L = tolerance * c + queue`.
//!
//! With both, back-pressure (429, no room, a first token too late or never) cuts at once, and then not
//! again before an attempt sent since says so. It decides how many, never which.

use crate::balance::fleet::Fleet;
use crate::balance::requests::AttemptState;
use crate::balance::spec::config::Config;
use crate::balance::spec::limiter::{LIMITER_WINDOW_MIN, LimiterLaw, LimiterSpec};
use crate::balance::vocabulary::event::LimitCause;
use crate::balance::vocabulary::outcome::{End, Failure, TimeoutStage};
use crate::unit::{NodeId, PoolId, Ratio, Time};

/// Answers that `long` is the mean of, about.
const LONG: f64 = 600.0;

/// If `long` is so many times `short`, an overload is over, and `long` may fall faster.
const LONG_OVER: f64 = 2.0;
const LONG_FALLS: f64 = 0.9;

/// Limits that differ by less than this part of what was last told are not worth a line.
const NOTABLE: u32 = 4;

/// Answers since the last decision.
#[derive(Clone, Copy, Debug, Default)]
struct LimitWindow {
    answers: u32,
    ratios: f64,
    /// The most attempts the node had when one of them was sent.
    busiest: u32,
}

/// The limiter of one node.
#[derive(Clone, Debug)]
struct Limiter {
    spec: LimiterSpec,
    limit: f64,
    /// The whole limit in force.
    whole: u32,
    /// The limit as last told in a line.
    told: u32,
    window: LimitWindow,
    long: Option<f64>,
    /// What was sent before this counts no more.
    cut: Time,
}

/// What is known of an attempt that tells something.
#[derive(Clone, Copy, Debug)]
struct LimitSample {
    dispatched: Time,
    /// Attempts on the node when it was sent, itself included.
    in_flight: u32,
    /// How many times longer than on an idle node its first token took.
    ratio: f64,
}

impl Limiter {
    fn new(spec: LimiterSpec) -> Limiter {
        let (limit, whole) = (f64::from(spec.initial), spec.initial);
        let (window, long) = (LimitWindow::default(), None);
        Limiter { spec, limit, whole, told: whole, window, long, cut: Time::ZERO }
    }

    /// A first token came. Returns why the limit is another one, if it is.
    fn answer(&mut self, now: Time, sample: &LimitSample) -> Option<LimitCause> {
        if sample.dispatched < self.cut {
            return None;
        }
        self.window.answers += 1;
        self.window.ratios += sample.ratio;
        self.window.busiest = self.window.busiest.max(sample.in_flight);
        if self.window.answers < self.whole.max(LIMITER_WINDOW_MIN) {
            return None;
        }
        let window = std::mem::take(&mut self.window);
        let short = window.ratios / f64::from(window.answers);
        let used = f64::from(window.busiest) * 2.0 >= self.limit;
        let cause = LimitCause::Ratio(Ratio::from_f64(short));
        match self.spec.law {
            LimiterLaw::Aimd { above, cut } if short > above.value() => {
                self.cut = now;
                self.set(self.limit * cut.value())
            }
            LimiterLaw::Aimd { .. } if used => self.set(self.limit + 1.0),
            LimiterLaw::Aimd { .. } => false,
            LimiterLaw::Gradient { tolerance, queue, smoothing } => {
                let long = self.long.get_or_insert(short);
                let weight = (f64::from(window.answers) / LONG).min(1.0);
                *long += weight * (short - *long);
                if *long > LONG_OVER * short {
                    *long *= LONG_FALLS;
                }
                let g = (long.min(tolerance.value()) / short).clamp(0.5, 1.0);
                let wanted = self.limit * g + f64::from(queue);
                let s = smoothing.value();
                used && self.set((1.0 - s) * self.limit + s * wanted)
            }
        }
        .then_some(cause)
    }

    /// Back-pressure. Returns whether the limit is another one.
    fn press(&mut self, now: Time, dispatched: Time) -> bool {
        if dispatched < self.cut {
            return false;
        }
        (self.cut, self.window) = (now, LimitWindow::default());
        self.set(self.limit * self.spec.law.cut())
    }

    /// Says what the limit is now, and whether that is worth a line.
    fn tell(&mut self, node: NodeId, cause: LimitCause) -> LimitChange {
        let (limit, before) = (self.whole, self.told);
        let notable = limit.abs_diff(before) >= (before / NOTABLE).max(1);
        if notable {
            self.told = limit;
        }
        LimitChange { node, limit, before, cause, notable }
    }

    /// Returns whether the whole limit is another one.
    fn set(&mut self, limit: f64) -> bool {
        self.limit = limit.clamp(f64::from(self.spec.min), f64::from(self.spec.max));
        let whole = self.limit as u32;
        std::mem::replace(&mut self.whole, whole) != whole
    }
}

/// A limit that is another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) struct LimitChange {
    pub(in crate::balance) node: NodeId,
    /// The limit from now on.
    pub(in crate::balance) limit: u32,
    /// The limit when it was last worth a line.
    pub(in crate::balance) before: u32,
    pub(in crate::balance) cause: LimitCause,
    /// Whether it is worth a line.
    pub(in crate::balance) notable: bool,
}

/// All limiters; none where no pool has any.
#[derive(Debug)]
pub(in crate::balance) struct Limiters {
    /// By pool; empty where none has limiters.
    specs: Vec<Option<LimiterSpec>>,
    /// By node; empty where its pool has none, and until it is first heard of.
    nodes: Vec<Option<Limiter>>,
}

impl Limiters {
    /// The limiters of pools as configured.
    pub(in crate::balance) fn new(config: &Config) -> Limiters {
        let mut specs: Vec<_> = config.pools.iter().map(|pool| pool.limiter).collect();
        if specs.iter().all(Option::is_none) {
            specs.clear();
        }
        Limiters { specs, nodes: Vec::new() }
    }

    /// Returns whether the node has one.
    #[inline]
    pub(in crate::balance) fn has(&self, node: NodeId) -> bool {
        matches!(self.nodes.get(node.index()), Some(Some(_)))
    }

    /// Gives a node its limiter, if its pool has them. Returns the limit to begin with.
    pub(in crate::balance) fn add(&mut self, node: NodeId, pool: PoolId) -> Option<u32> {
        if self.specs.is_empty() {
            return None;
        }
        let limiter = self.specs[pool.index()].map(Limiter::new);
        let limit = limiter.as_ref().map(|limiter| limiter.whole);
        if self.nodes.len() <= node.index() {
            self.nodes.resize_with(node.index() + 1, || None);
        }
        self.nodes[node.index()] = limiter;
        limit
    }

    #[inline]
    fn limiter(&mut self, node: NodeId) -> Option<&mut Limiter> {
        self.nodes.get_mut(node.index())?.as_mut()
    }

    /// A first token came, after so many times what it takes on an idle node; `None` if that is not
    /// known.
    pub(in crate::balance) fn on_first_token(
        &mut self,
        now: Time,
        attempt: &AttemptState,
        ratio: Option<f64>,
    ) -> Option<LimitChange> {
        let limiter = self.limiter(attempt.node)?;
        let sample = LimitSample {
            dispatched: attempt.dispatched,
            in_flight: attempt.in_flight_at_dispatch,
            ratio: ratio.unwrap_or(1.0),
        };
        let cause = limiter.answer(now, &sample)?;
        Some(limiter.tell(attempt.node, cause))
    }

    /// An attempt ended so; that may be back-pressure.
    #[inline]
    pub(in crate::balance) fn on_end(
        &mut self,
        now: Time,
        attempt: &AttemptState,
        end: End,
    ) -> Option<LimitChange> {
        let limiter = self.limiter(attempt.node)?;
        let presses = match end {
            End::RateLimited | End::Failed(Failure::Overloaded) => true,
            End::TimedOut(TimeoutStage::FirstToken | TimeoutStage::Total)
            | End::Failed(Failure::Stalled) => attempt.first_token.is_none(),
            End::Done | End::Failed(_) | End::Cancelled | End::Outrun => false,
        };
        (presses && limiter.press(now, attempt.dispatched))
            .then(|| limiter.tell(attempt.node, LimitCause::Pressed(end)))
    }

    /// Checks that every limit is within its bounds and the one in force.
    pub(in crate::balance) fn check(&self, fleet: &Fleet) -> Result<(), String> {
        for (at, limiter) in self.nodes.iter().enumerate() {
            let Some(limiter) = limiter else { continue };
            let node = fleet.node(NodeId(at as u32));
            let (whole, spec) = (limiter.whole, limiter.spec);
            let within = (spec.min..=spec.max).contains(&whole);
            let in_force =
                node.adaptive() == Some(whole) && node.limit().is_some_and(|limit| limit <= whole);
            if !within || !in_force {
                return Err(format!(
                    "I54: node {at} has the limit {:?}, its limiter says {whole} of {} to {}",
                    node.limit(),
                    spec.min,
                    spec.max
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Span;

    fn answers(limiter: &mut Limiter, at: &mut u64, count: u32, in_flight: u32, ratio: f64) {
        for _ in 0..count {
            *at += 1;
            // Sent just before, so that what was sent since a cut counts.
            let now = Time::ZERO + Span::from_millis(*at);
            limiter.answer(now, &LimitSample { dispatched: now, in_flight, ratio });
        }
    }

    /// `n` windows of as many answers as the limit add `n`; half as many in flight add nothing.
    #[test]
    fn aimd_adds_one_a_limit_of_answers_and_cuts_a_tenth() {
        let mut limiter = Limiter::new(LimiterSpec::new(LimiterLaw::AIMD));
        let mut at = 0;
        answers(&mut limiter, &mut at, 20 + 21 + 21, 10, 1.5);
        assert_eq!(limiter.whole, 21, "ten are half of 20 and less than half of 21");
        answers(&mut limiter, &mut at, 21, 21, 1.5);
        assert_eq!(limiter.whole, 22);
        answers(&mut limiter, &mut at, 22, 22, 2.5);
        assert!((limiter.limit - 0.9 * 22.0).abs() < 1e-9);
        for _ in 0..10_000 {
            answers(&mut limiter, &mut at, 1, 20, 1_000.0);
        }
        assert_eq!(limiter.whole, 1, "never below its least");
    }

    #[test]
    fn back_pressure_cuts_once_a_round() {
        for law in [LimiterLaw::AIMD, LimiterLaw::GRADIENT] {
            let mut limiter = Limiter::new(LimiterSpec::new(law));
            let at = |millis| Time::ZERO + Span::from_millis(millis);
            assert!(limiter.press(at(10), at(5)));
            assert!(!limiter.press(at(11), at(6)), "that was sent before the cut");
            assert_eq!(limiter.whole, 18);
            assert!(limiter.press(at(20), at(12)));
            assert_eq!(limiter.whole, 16);
            for round in 0..100 {
                limiter.press(at(30 + round), at(30 + round));
            }
            assert_eq!(limiter.whole, 1);
        }
    }

    /// With a constant gradient the limit ends at `queue / (1 - g)`.
    #[test]
    fn the_gradient_ends_where_its_equation_says() {
        let mut limiter = Limiter::new(LimiterSpec::new(LimiterLaw::GRADIENT));
        let mut at = 0;
        for _ in 0..40_000 {
            let in_flight = limiter.whole;
            // Twice as long: g = 1.5 / 2.
            answers(&mut limiter, &mut at, 1, in_flight, 2.0);
        }
        assert!((limiter.limit - 16.0).abs() < 0.01, "{}", limiter.limit);
    }

    /// A node of twelve servers takes `n / 12` times as long: the limit ends at `1.5 * 12 + 4`.
    #[test]
    fn the_gradient_finds_the_servers_of_a_node() {
        let mut limiter = Limiter::new(LimiterSpec::new(LimiterLaw::GRADIENT));
        let mut at = 0;
        for _ in 0..60_000 {
            let in_flight = limiter.whole;
            answers(&mut limiter, &mut at, 1, in_flight, f64::from(in_flight.max(12)) / 12.0);
        }
        assert!((limiter.limit - 22.0).abs() < 1.0, "{}", limiter.limit);
        for _ in 0..2_000 {
            answers(&mut limiter, &mut at, 1, 3, 1.0);
        }
        assert!(limiter.limit >= 21.0, "calm changes nothing");
    }
}

//! Hedging: a second attempt beside one whose first token is late (Dean and Barroso, "The Tail at
//! Scale", 2013).
//!
//! The delay is a fixed span, or a quantile of the time to the first token that the machine has
//! learnt of requests of the same class in the same pool. The first token wins; the other attempt is
//! given up, stays on its node's ledger until confirmed, and is paid for. A hedge goes to another
//! node, in another region first where nodes say where they are, and never to a cheaper pool that a
//! route degrades to. It needs room in its budget (a share of first attempts and of their prompt
//! tokens), and there is none while anybody waits or the pools are busy: a hedge is then in the way
//! of somebody's first attempt, and hedging on a delay that load made long feeds on itself.
//! What fails is not hedged here: that is `failover`. A hedge is no retry, and a request has one.

use crate::balance::balancer::Balancer;
use crate::balance::requests::{Choice, Phase, Reach, RequestKey, Running, Try, TryKey};
use crate::balance::routing::Degrading;
use crate::balance::spec::retry::{
    ATTEMPTS_MAX, HEDGE_SAMPLES_MIN, HEDGES_BURST, HedgeAfter, HedgeSpec,
};
use crate::balance::spec::route::Choose;
use crate::balance::timer::Alarm;
use crate::balance::vocabulary::event::{Event, NoHedge};
use crate::balance::vocabulary::outcome::{End, Stage};
use crate::unit::{ClassId, NodeId, PoolId, Ratio, RegionId, Span, Tokens};

/// Prompt tokens that may come at once in hedges; so no longer prompt is ever hedged.
const TOKENS_BURST: u64 = 200_000;

/// A region that nodes do not name.
const NOWHERE: RegionId = RegionId(0);

/// What the machine knows of hedging.
#[derive(Debug)]
pub(in crate::balance) struct Hedger {
    spec: HedgeSpec,
    purse: Purse,
    /// By pool, then class, as far as they were heard of. Only where a quantile is asked for.
    first_tokens: Vec<Vec<Delays>>,
}

impl Hedger {
    pub(in crate::balance) fn new(spec: HedgeSpec) -> Hedger {
        Hedger { spec, purse: Purse::default(), first_tokens: Vec::new() }
    }

    /// A first attempt was dispatched.
    pub(in crate::balance) fn earn(&mut self, prompt: Tokens) {
        self.purse.earn(self.spec.budget, prompt);
    }

    /// Returns how long a first token of such a request may take before it is hedged, if that is
    /// known and it may be at all.
    fn delay(&self, pool: PoolId, class: ClassId, prompt: Tokens) -> Option<Span> {
        if self.spec.prompt_max.is_some_and(|most| prompt > most) {
            return None;
        }
        match self.spec.after {
            HedgeAfter::Fixed(span) => Some(span),
            HedgeAfter::Quantile(_) => {
                self.first_tokens.get(pool.index())?.get(class.index())?.quantile()
            }
        }
    }

    /// A first token came, or was given up after so long. That it was given up moves no quantile
    /// that is below: it was late for that one, and where above it would have been does not matter.
    pub(in crate::balance) fn learn(&mut self, pool: PoolId, class: ClassId, took: Span) {
        if let HedgeAfter::Quantile(which) = self.spec.after {
            let (pool, class) = (pool.index(), class.index());
            if self.first_tokens.len() <= pool {
                self.first_tokens.resize_with(pool + 1, Vec::new);
            }
            let classes = &mut self.first_tokens[pool];
            if classes.len() <= class {
                classes.resize_with(class + 1, Delays::default);
            }
            classes[class].learn(took, which);
        }
    }
}

/// What hedges may still use: filled by first attempts, used up by hedges. It needs no clock, so it
/// also holds when requests last minutes. In millionths of requests and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Purse {
    requests: u64,
    tokens: u64,
}

impl Purse {
    const ONE: u64 = Ratio::ONE.0 as u64;

    fn earn(&mut self, share: Ratio, prompt: Tokens) {
        let share = u64::from(share.0);
        self.requests = (self.requests + share).min(HEDGES_BURST * Self::ONE);
        let tokens = share.saturating_mul(prompt.0);
        self.tokens = self.tokens.saturating_add(tokens).min(TOKENS_BURST * Self::ONE);
    }

    fn affords(&self, prompt: Tokens) -> bool {
        self.requests >= Self::ONE && self.tokens >= prompt.0.saturating_mul(Self::ONE)
    }

    fn spend(&mut self, prompt: Tokens) {
        self.requests -= Self::ONE;
        self.tokens -= prompt.0 * Self::ONE;
    }
}

/// Buckets an octave.
const STEPS: u32 = 8;
const STEP_BITS: u32 = 3;
/// Beyond so many microseconds (twelve days) all times are alike.
const MICROS_MAX: u64 = (1 << 40) - 1;
const BUCKETS: usize = ((40 - STEP_BITS + 1) * STEPS) as usize;
/// So many samples weigh in at most; the older half of them counts half, and so on.
const SAMPLES_MAX: u32 = 4_096;

/// A quantile of recent times, to within an eighth: log-linear buckets, halved when they are full, so
/// that it follows a drift.
#[derive(Clone, Debug, Default)]
struct Delays {
    /// Empty before the first.
    counts: Vec<u16>,
    total: u32,
    /// The bucket of the quantile, and how many are in it and those before it.
    place: usize,
    up_to: u32,
}

impl Delays {
    fn learn(&mut self, took: Span, which: Ratio) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let bucket = bucket(took.micros().min(MICROS_MAX));
        self.counts[bucket] += 1;
        self.total += 1;
        self.up_to += u32::from(bucket <= self.place);
        if self.total >= SAMPLES_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            let sum = |counts: &[u16]| counts.iter().map(|&count| u32::from(count)).sum();
            self.total = sum(&self.counts);
            self.up_to = sum(&self.counts[..=self.place]);
        }
        // The first bucket with as many up to it as the quantile wants: never far from the one before.
        let wanted = u64::from(self.total) * u64::from(which.0);
        let enough = |count: u32| u64::from(count) * u64::from(Ratio::ONE.0) >= wanted;
        while self.place + 1 < BUCKETS && !enough(self.up_to) {
            self.place += 1;
            self.up_to += u32::from(self.counts[self.place]);
        }
        while self.place > 0 && enough(self.up_to - u32::from(self.counts[self.place])) {
            self.up_to -= u32::from(self.counts[self.place]);
            self.place -= 1;
        }
    }

    /// Returns the upper end of the bucket of the quantile: rather late than early; `None` while there
    /// are few samples.
    fn quantile(&self) -> Option<Span> {
        let known = self.total >= HEDGE_SAMPLES_MIN;
        known.then(|| Span(upper(self.place).saturating_mul(1_000)))
    }
}

/// Returns the bucket of a time in microseconds.
const fn bucket(micros: u64) -> usize {
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let octave = 63 - micros.leading_zeros() - STEP_BITS;
    // The leading one of the shifted value counts a whole octave.
    ((octave * STEPS) as u64 + (micros >> octave)) as usize
}

/// Returns the first time, in microseconds, that is beyond a bucket.
const fn upper(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64 + 1, STEPS as u64);
    if bucket <= 2 * steps {
        return bucket;
    }
    let octave = bucket / steps - 1;
    (steps + bucket % steps) << octave
}

/// The balancer's second attempts.
impl Balancer {
    /// Sets the alarm for a second attempt beside the one just dispatched, if it is due before that one
    /// is given up. Returns whether it did: the time for the first token is then set when it rings.
    pub(in crate::balance) fn arm_hedge(&mut self, this: TryKey, pool: PoolId) -> bool {
        let Some(hedger) = &self.hedger else { return false };
        let live = &mut self.requests[self.tries[this].request];
        live.armed = false;
        // Of an answer that goes on, part has reached the client: its own pace is what counts.
        if live.hedged || live.resumed > Tokens::ZERO {
            return false;
        }
        // A cascade withholds answers until they are whole: an early first token is worth nothing.
        if matches!(self.routes.get(live.route).choose, Some(Choose::Cascade { .. })) {
            return false;
        }
        let request = &live.request;
        let Some(delay) = hedger.delay(pool, request.class, request.prompt) else { return false };
        let given_up = self.timeouts.first_token.filter(|_| !request.whole);
        if self.now + delay >= request.deadline || given_up.is_some_and(|limit| delay >= limit) {
            return false;
        }
        live.armed = true;
        // A quantile is the end of a bucket: the same span for long.
        self.timers.after(self.now, delay, Alarm::Hedge(this));
        true
    }

    /// The first token is late.
    pub(in crate::balance) fn hedge(&mut self, this: TryKey) {
        let Try { request: key, node, .. } = self.tries[this];
        self.requests[key].armed = false;
        self.time_first_token(this);
        match self.hedged_choice(key, node) {
            Ok(choice) => {
                let live = &mut self.requests[key];
                live.hedged = true;
                if let Some(hedger) = &mut self.hedger {
                    hedger.purse.spend(live.request.prompt);
                }
                self.dispatch(key, &choice, None);
            }
            Err(reason) => {
                let request = self.requests[key].request.id;
                self.effects.events.push(Event::HedgeDenied { request, node, reason });
            }
        }
    }

    fn hedged_choice(&mut self, key: RequestKey, late: NodeId) -> Result<Choice, NoHedge> {
        if self.overload.is_some() && self.drops_hedge(key) {
            return Err(NoHedge::Degraded);
        }
        let Some(hedger) = &self.hedger else { return Err(NoHedge::Budget) };
        let live = &self.requests[key];
        if live.attempts >= ATTEMPTS_MAX {
            return Err(NoHedge::Attempts);
        }
        if self.too_late(&live.request) {
            return Err(NoHedge::Deadline);
        }
        if self.lines.waiting > 0 || self.is_saturated(key, hedger.spec.saturation) {
            return Err(NoHedge::Saturated);
        }
        if !hedger.purse.affords(live.request.prompt) {
            return Err(NoHedge::Budget);
        }
        // What takes down one node of a region may be what makes another one late.
        let region = self.fleet.node(late).spec.region;
        let beyond = (region != NOWHERE).then_some(Reach::Beyond(region));
        let mut reaches = beyond.into_iter().chain([Reach::Untried]);
        let choice = reaches.find_map(|reach| self.choose_among(key, Degrading::No, reach));
        let choice = choice.ok_or(NoHedge::NoNode)?;
        // What its tenant may have under way or spend holds for the second attempt too.
        if self.gate.is_some()
            && (self.is_held_back(key) || self.overspends(key, &choice).is_some())
        {
            return Err(NoHedge::Budget);
        }
        Ok(choice)
    }

    fn is_saturated(&self, key: RequestKey, most: Ratio) -> bool {
        let (own, _) = self.routes.pools(self.requests[key].lane);
        let (in_flight, capacity) = own.iter().fold((0, 0), |(in_flight, capacity), pool| {
            let (more, room) = self.fleet.pool_load(*pool);
            (in_flight + more, capacity + room)
        });
        u128::from(in_flight) * u128::from(Ratio::ONE.0)
            >= u128::from(capacity) * u128::from(most.0)
    }

    /// An attempt was the first to give its first token, or a whole answer: the other one is given
    /// up.
    pub(in crate::balance) fn outrun(&mut self, key: RequestKey, winner: TryKey) {
        let Phase::InFlight(running) = self.requests[key].phase else { return };
        if let Some(other) = running.without(winner) {
            self.requests[key].phase = Phase::InFlight(Running::one(winner));
            self.abort(other.one, End::Outrun);
        }
    }

    /// Tells the hedger how long a first token took, or how long it had not come when its attempt was
    /// given up; limiters and saturation go by it too.
    pub(in crate::balance) fn learn_first_token(&mut self, this: TryKey, gave_up: Option<End>) {
        if self.limiters.is_some() || self.overload.is_some() {
            self.weigh_first_token(this, gave_up);
        }
        let Some(hedger) = &mut self.hedger else { return };
        let this = &self.tries[this];
        // A hedge that lost was given up early: it says nothing of late ones.
        let counts = match gave_up {
            None | Some(End::TimedOut(Stage::FirstToken)) => true,
            Some(End::Outrun) => !this.hedge,
            Some(_) => false,
        };
        if counts {
            let pool = self.fleet.node(this.node).home().0;
            hedger.learn(pool, this.sent.class, self.now.since(this.dispatched));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn buckets_are_an_eighth_wide_and_without_gaps() {
        for micros in (0..5_000).chain((0..39).map(|bits| (1_u64 << bits) + 1)) {
            let place = bucket(micros);
            let (below, above) = (place.checked_sub(1).map_or(0, upper), upper(place));
            assert!((below..above).contains(&micros), "{micros} in {below}..{above}");
            assert!((above - below) * 8 <= micros.max(8), "{micros} in {below}..{above}");
        }
        assert!(bucket(MICROS_MAX) < BUCKETS);
    }

    #[test]
    fn a_quantile_is_found_and_follows_a_drift() {
        let mut delays = Delays::default();
        let mut rng = Rng::stream(1, "delays");
        let p95 = Ratio::from_f64(0.95);
        for sample in 0..HEDGE_SAMPLES_MIN {
            assert_eq!(delays.quantile(), None, "not before {sample} samples");
            delays.learn(Span::from_seconds(rng.unit()), p95);
        }
        for scale in [1.0, 7.0, 0.2] {
            for _ in 0..20_000 {
                delays.learn(Span::from_seconds(scale * rng.unit()), p95);
            }
            let ratio = delays.quantile().expect("enough samples").seconds() / (0.95 * scale);
            assert!((0.98..1.15).contains(&ratio), "{ratio} at {scale}");
        }
    }

    #[test]
    fn the_purse_holds_its_share_and_its_burst() {
        let mut purse = Purse::default();
        let share = Ratio::from_f64(0.1);
        let mut hedges = 0;
        for _ in 0..1_000 {
            purse.earn(share, Tokens(500));
            if purse.affords(Tokens(500)) {
                purse.spend(Tokens(500));
                hedges += 1;
            }
        }
        assert_eq!(hedges, 100, "a tenth, of requests and of tokens alike");
        for _ in 0..1_000_000 {
            purse.earn(share, Tokens(5_000));
        }
        let spent = (0..).take_while(|_| {
            let affords = purse.affords(Tokens(100));
            if affords {
                purse.spend(Tokens(100));
            }
            affords
        });
        assert_eq!(spent.count() as u64, HEDGES_BURST);
        assert!(!purse.affords(Tokens(TOKENS_BURST + 1)));
    }
}

//! Hedging: a second attempt beside one whose first token is late (Dean and Barroso, "The Tail at
//! Scale", 2013).
//!
//! The delay is a fixed span, or a quantile of the time to the first token that the machine has
//! learnt of requests like it: of the same class, model and effort in the same pool. The first token wins; the other attempt is
//! given up, stays on its node's ledger until confirmed, and is paid for. A hedge goes to another
//! node, in another region first where nodes say where they are, and never to a cheaper pool that a
//! route degrades to. It needs room in its budget (a share of first attempts and of their prompt
//! tokens), and there is none while anybody waits or the pools are busy: a hedge is then in the way
//! of somebody's first attempt, and hedging on a delay that load made long feeds on itself.
//! What fails is not hedged: it is tried again (see `retry`). A hedge is no retry, and a request has one.

use std::collections::BTreeMap;

use super::delays::Delays;
use super::patience::Alike;
use crate::balance::spec::node::Prices;
use crate::balance::spec::retry::{HEDGES_BURST, HedgeAfter, HedgeSpec};
use crate::balance::vocabulary::event::NoHedge;
use crate::balance::vocabulary::outcome::{End, TimeoutStage};
use crate::unit::{Ratio, Span, Tokens};

/// Prompt tokens that may come at once in hedges; so no longer prompt is ever hedged.
const TOKENS_BURST: u64 = 200_000;

/// What is known of hedging; nothing where no request is hedged.
#[derive(Debug)]
pub(in crate::balance) struct Hedging {
    spec: Option<HedgeSpec>,
    budget: HedgeBudget,
    /// As far as they were heard of. Only where a quantile is asked for.
    first_tokens: BTreeMap<Alike, Delays>,
}

impl Hedging {
    /// Hedging as configured.
    pub(super) fn new(spec: Option<HedgeSpec>) -> Hedging {
        Hedging { spec, budget: HedgeBudget::default(), first_tokens: BTreeMap::new() }
    }

    /// A first attempt was dispatched.
    #[inline]
    pub(in crate::balance) fn on_first_attempt(&mut self, prompt: Tokens) {
        if let Some(spec) = &self.spec {
            self.budget.earn(spec.budget, prompt);
        }
    }

    /// Returns how long a first token of such a request may take before it is hedged, if that is
    /// known and it may be at all.
    #[inline]
    pub(in crate::balance) fn delay(
        &self,
        alike: Alike,
        prompt: Tokens,
        prices: &Prices,
    ) -> Option<Span> {
        let spec = self.spec?;
        if !self.may_cost(prices) {
            return None;
        }
        if spec.prompt_max.is_some_and(|most| prompt > most) {
            return None;
        }
        match spec.after {
            HedgeAfter::Fixed(span) => Some(span),
            HedgeAfter::Quantile(_) => self.first_tokens.get(&alike.but_for_size())?.quantile(),
        }
    }

    /// Returns whether an attempt at these prices may be hedged, or be a hedge.
    #[inline]
    pub(in crate::balance) fn may_cost(&self, prices: &Prices) -> bool {
        self.spec.is_some_and(|spec| spec.paid || prices.are_none())
    }

    /// Returns whether so many attempts in flight where so many may be are too many for work that may
    /// be in vain.
    pub(in crate::balance) fn is_saturated(&self, (in_flight, capacity): (u64, u64)) -> bool {
        let most = self.spec.map_or(Ratio::ZERO, |spec| spec.saturation);
        u128::from(in_flight) * u128::from(Ratio::ONE.0)
            >= u128::from(capacity) * u128::from(most.0)
    }

    /// Says whether the budget has room for a hedge.
    ///
    /// # Errors
    /// If it has none.
    pub(in crate::balance) fn afford(&self, prompt: Tokens) -> Result<(), NoHedge> {
        let affords = self.spec.is_some() && self.budget.affords(prompt);
        affords.then_some(()).ok_or(NoHedge::Budget)
    }

    /// A hedge goes out.
    pub(in crate::balance) fn spend(&mut self, prompt: Tokens) {
        self.budget.spend(prompt);
    }

    /// The first token of an attempt came after so long, or had not come then and the attempt was
    /// given up for this reason.
    ///
    /// That it was given up moves no quantile that is below: it was late for that one, and where above
    /// it would have been does not matter.
    #[inline]
    pub(in crate::balance) fn learn(
        &mut self,
        alike: Alike,
        took: Span,
        gave_up: Option<End>,
        hedge: bool,
    ) {
        let Some(HedgeAfter::Quantile(which)) = self.spec.map(|spec| spec.after) else { return };
        // A hedge that lost was given up early: it says nothing of late ones.
        let counts = match gave_up {
            None | Some(End::TimedOut(TimeoutStage::FirstToken)) => true,
            Some(End::Outrun) => !hedge,
            Some(_) => false,
        };
        if !counts {
            return;
        }
        self.first_tokens.entry(alike.but_for_size()).or_default().learn(took, which);
    }
}

/// What hedges may still use: filled by first attempts, used up by hedges. It needs no clock, so it
/// also holds when requests last minutes. In millionths of requests and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct HedgeBudget {
    requests: u64,
    tokens: u64,
}

impl HedgeBudget {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_purse_holds_its_share_and_its_burst() {
        let mut budget = HedgeBudget::default();
        let share = Ratio::from_f64(0.1);
        let mut hedges = 0;
        for _ in 0..1_000 {
            budget.earn(share, Tokens(500));
            if budget.affords(Tokens(500)) {
                budget.spend(Tokens(500));
                hedges += 1;
            }
        }
        assert_eq!(hedges, 100, "a tenth, of requests and of tokens alike");
        for _ in 0..1_000_000 {
            budget.earn(share, Tokens(5_000));
        }
        let spent = (0..).take_while(|_| {
            let affords = budget.affords(Tokens(100));
            if affords {
                budget.spend(Tokens(100));
            }
            affords
        });
        assert_eq!(spent.count() as u64, HEDGES_BURST);
        assert!(!budget.affords(Tokens(TOKENS_BURST + 1)));
    }
}

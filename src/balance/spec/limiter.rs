//! Limiters as configured.

use crate::unit::Ratio;

/// A window has at least so many answers.
pub const LIMITER_WINDOW_MIN: u32 = 8;

/// No limiter goes higher.
pub const LIMITER_MAX: u32 = 100_000;

/// What back-pressure leaves of a limit under `gradient`, which says nothing of it.
const GRADIENT_CUT: Ratio = Ratio(900_000);

/// How the limit of each node of a pool is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimiterSpec {
    /// The rule.
    pub law: LimiterLaw,
    /// The limit before anything was seen. From `min` to `max`.
    pub initial: u32,
    /// It never goes below this. At least one.
    pub min: u32,
    /// It never goes above this. At most [`LIMITER_MAX`].
    pub max: u32,
}

/// The rule of a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimiterLaw {
    /// Additive increase, multiplicative decrease.
    Aimd {
        /// A mean ratio above this is congestion. Above one.
        above: Ratio,
        /// What a cut leaves. Below one.
        cut: Ratio,
    },
    /// By the gradient of the ratio.
    Gradient {
        /// A ratio up to this may be normal. At least one.
        tolerance: Ratio,
        /// Attempts that may queue.
        queue: u32,
        /// The weight of the newest window. Above zero.
        smoothing: Ratio,
    },
}

impl LimiterLaw {
    /// AIMD as usual: congestion is twice the time of an idle node, and leaves nine tenths.
    pub const AIMD: LimiterLaw = LimiterLaw::Aimd { above: Ratio(2_000_000), cut: GRADIENT_CUT };

    /// Gradient2 as usual.
    pub const GRADIENT: LimiterLaw =
        LimiterLaw::Gradient { tolerance: Ratio(1_500_000), queue: 4, smoothing: Ratio(200_000) };

    pub(in crate::balance) fn cut(self) -> f64 {
        match self {
            LimiterLaw::Aimd { cut, .. } => cut.value(),
            LimiterLaw::Gradient { .. } => GRADIENT_CUT.value(),
        }
    }
}

impl LimiterSpec {
    /// A limiter of this rule from 20, between 1 and 1,000.
    #[must_use]
    pub const fn new(law: LimiterLaw) -> LimiterSpec {
        LimiterSpec { law, initial: 20, min: 1, max: 1_000 }
    }

    /// Whether its settings are within their bounds.
    pub(in crate::balance) fn is_sound(&self) -> bool {
        let law = match self.law {
            LimiterLaw::Aimd { above, cut } => above > Ratio::ONE && cut < Ratio::ONE,
            LimiterLaw::Gradient { tolerance, smoothing, .. } => {
                tolerance >= Ratio::ONE && smoothing > Ratio::ZERO && smoothing <= Ratio::ONE
            }
        };
        let order = self.min >= 1 && self.min <= self.initial && self.initial <= self.max;
        law && order && self.max <= LIMITER_MAX
    }
}

//! Timeouts, retries and hedges as configured.

use crate::unit::{Ratio, Span, Tokens};

/// However few requests are under way, so many may be retries, or of a tenant second tries of its clients.
pub const RETRIES_MIN: u64 = 3;

/// No request is ever tried more often than this.
pub const ATTEMPTS_MAX: u8 = 8;

/// A longer pause is not waited out, if nothing is said.
pub const STAY_WAIT: Span = Span::from_secs(3);

/// How failed requests are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts a request may have in all: 1 to [`ATTEMPTS_MAX`].
    pub attempts: u8,
    /// Upper end of the first pause.
    pub base: Span,
    /// Upper end of every pause.
    pub cap: Span,
    /// Share of the requests under way that may be retries, or [`RETRIES_MIN`] if that is more. What was
    /// refused before anything was sent is tried again without.
    pub budget: Ratio,
    /// So many retries a second are allowed whatever the shares are, over ten seconds; not after
    /// timeouts and back-pressure, which load may have caused.
    pub min_per_second: u32,
    /// Share of the prompt tokens under way that may be those of retries, unless fewer than
    /// [`RETRIES_MIN`] retries are under way. `None` is no limit.
    pub token_budget: Option<Ratio>,
    /// No attempt starts with less time than this before the deadline of its request.
    pub minimum_useful: Span,
    /// Whether an answer that was cut after its first token goes on elsewhere, unless its route says
    /// otherwise: what has come of it is then part of the prompt. For executors that can do so.
    pub resume: bool,
    /// So many retries of a request go once more to the node that failed it, where no other of its pool is
    /// open, before the next pool is asked: after failures that pass, or after the pause that the node asks
    /// for. Beyond its own pool a request costs more, or is answered by another model.
    pub stay: u8,
    /// No longer pause is waited out for that.
    pub stay_wait: Span,
    /// Whether requests that say they are tried again by whoever asks, [`Request::again`], are turned
    /// away while too many of those that their tenant has under way are such, more than the share and than
    /// `min_per_second` at a time, and no node is idle.
    pub clients: bool,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 3,
            base: Span::from_millis(50),
            cap: Span::from_secs(2),
            budget: Ratio(200_000),
            min_per_second: 10,
            token_budget: None,
            minimum_useful: Span::ZERO,
            resume: false,
            stay: 0,
            stay_wait: STAY_WAIT,
            clients: true,
        }
    }
}

/// The balancer's own timers. `None` is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From dispatch to the first token, for each attempt.
    pub first_token: Option<Span>,
    /// A node from which nothing came for so long, and for four times as long as what is awaited from it
    /// usually takes, hangs, if others answer. With it how long an answer may take is learnt.
    pub silence: Option<Span>,
    /// From arrival to the end, over all attempts.
    pub total: Option<Span>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            // Models that think for minutes say nothing meanwhile. What hangs is found sooner by what
            // is learnt.
            first_token: Some(Span::from_secs(300)),
            silence: Some(Span::from_secs(1)),
            total: Some(Span::from_secs(600)),
        }
    }
}

/// A quantile is not believed before so many samples of its class and pool.
pub const HEDGE_SAMPLES_MIN: u32 = 100;

/// After a quiet time so many hedges may come at once, beyond what their budget lets through.
pub const HEDGES_BURST: u64 = 10;

/// When requests are hedged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeSpec {
    /// How long after its dispatch an attempt without a first token is hedged.
    pub after: HedgeAfter,
    /// Hedges are at most this share of first attempts, and their prompt tokens at most this share
    /// of theirs, but for [`HEDGES_BURST`].
    pub budget: Ratio,
    /// None while attempts in flight are this share of what the nodes of the route's pools may take
    /// at a time. Nodes without such a limit are never used up.
    pub saturation: Ratio,
    /// Longer prompts are not hedged.
    pub prompt_max: Option<Tokens>,
    /// Whether attempts are hedged whose tokens cost something, and hedges may cost something.
    pub paid: bool,
}

/// The delay of a hedge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// Always this.
    Fixed(Span),
    /// This quantile of the time from dispatch to first token, by pool, model, class and how hard the model
    /// is asked to think. An answer that does not stream has its first token with its last: there the
    /// size of prompt and limit counts too.
    Quantile(Ratio),
}

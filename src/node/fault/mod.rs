//! Faults: what can go wrong with a node, when, and for how long.
//!
//! [`FAULTS`] is the one list of them, which scenarios, mock servers and `plimsoll list faults` share;
//! a [`FaultSchedule`] lets those of a scenario happen: at their time, or at random.

mod catalogue;
mod param;
mod schedule;

pub use catalogue::{FAULTS, FaultDef, FaultPattern, TOKENS_MAX};
pub use param::{
    FACTOR_MAX, PRICE_MAX, Param, ParamBounds, ParamDefault, ParamError, ParamKind, ParamValue,
    ParamValues, STATUSES,
};
pub use schedule::{FaultRule, FaultSchedule, GAP_MIN, OCCURRENCES_MAX};

use super::BackendSpec;
use crate::balance::{Failure, Limits, Outcome, Prices, Usage};
use crate::unit::{NodeId, Ratio, Span, Time, Tokens};

/// A fault on the schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultSpec {
    /// When it begins.
    pub at: Time,
    /// How long it lasts; `None` is to the end of the run.
    pub lasts: Option<Span>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// With which nodes.
    pub nodes: Vec<NodeId>,
}

/// What can go wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// It is gone: what it had is reset, what comes is refused, probes fail.
    Crash,
    /// It accepts and never answers, probes neither; what it had stands still.
    Hang,
    /// Everything takes so many times as long, work in progress included. Probes pass.
    Slow(f64),
    /// It answers this share of requests with an error at once. Probes pass.
    Errors(Ratio, ErrorAnswer),
    /// The first token takes so many times as long, every further one so many times. Probes pass.
    Pace(f64, f64),
    /// This share of requests takes so many times as long; the others notice nothing. Probes pass.
    Gray(Ratio, f64),
    /// Packets to it are lost: no connect succeeds, no probe is answered, what it had stands still.
    BlackHole,
    /// Its process is new and loads its model: what it had is reset, caches are empty, and until it
    /// is over everything is answered 503, probes too.
    ColdStart,
    /// Its cache of prompts is empty from one moment to the next.
    CacheLoss,
    /// The answers to this share of requests end so, after so many tokens.
    Cut(Ratio, Cut, u32),
    /// What it says to probes that ask for its health is not true.
    Probes(ProbeLie),
    /// What it says of itself is not true.
    Reports(ReportLie),
    /// It takes so much and not what its configuration says; `None` is as before. The balancer is not
    /// told.
    Capacity(Limits),
    /// No prompt with its answer may be longer than so many tokens. The balancer is not told.
    Context(Tokens),
    /// It charges so much. The balancer is told.
    Reprice(Prices),
    /// An operator drains it, and takes it back into service when the fault is over.
    Drain,
}

/// How an answer ends that does not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The connection is reset.
    Reset,
    /// The stream ends without its last events.
    Truncate,
    /// The status says 200, and the first event is an error.
    ErrorEvent,
    /// Nothing more comes.
    Stall,
}

impl Cut {
    const fn word(self) -> &'static str {
        match self {
            Cut::Reset => "reset",
            Cut::Truncate => "truncated",
            Cut::ErrorEvent => "an error event",
            Cut::Stall => "stalled",
        }
    }
}

/// How a node lies to those who ask for its health. A request for a token is not deceived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeLie {
    /// It says it is well, whatever it is.
    Green,
    /// It says it is not, though it serves.
    Red,
}

/// What a node says of itself while it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportLie {
    /// Nothing.
    Missing,
    /// What was true when the fault began, as if it were now.
    Stale,
    /// Figures no node can have.
    Absurd,
}

/// The error a node answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorAnswer {
    /// 500.
    ServerError,
    /// 503 or 529.
    Overloaded,
    /// 429, with the time to stay away.
    RateLimited(Option<Span>),
    /// Another one of [`STATUSES`].
    Status(u16),
    /// The money of the credential is spent: this status without a time, and words that say so.
    SpendCap(u16),
    /// A limit a minute is reached, told by another status than 429 and its words.
    Limit(u16),
    /// The provider will not answer what is asked: 400.
    ContentPolicy,
}

impl ErrorAnswer {
    /// Returns how an attempt ends that is answered so.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        let retry_after = match self {
            // Its status alone does not tell it from too many requests.
            ErrorAnswer::SpendCap(_) => {
                return Outcome::Failed(Failure::Unauthorized, Usage::NONE);
            }
            ErrorAnswer::Limit(_) => return Outcome::RateLimited { retry_after: None },
            ErrorAnswer::ContentPolicy => {
                return Outcome::Failed(Failure::ContentPolicy, Usage::NONE);
            }
            ErrorAnswer::RateLimited(retry_after) => retry_after,
            ErrorAnswer::ServerError | ErrorAnswer::Overloaded | ErrorAnswer::Status(_) => None,
        };
        Outcome::of_status(self.status(), retry_after, Usage::NONE)
    }

    /// Returns its status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            ErrorAnswer::ServerError => 500,
            ErrorAnswer::Overloaded => 503,
            ErrorAnswer::RateLimited(_) => 429,
            ErrorAnswer::ContentPolicy => 400,
            ErrorAnswer::Status(status)
            | ErrorAnswer::SpendCap(status)
            | ErrorAnswer::Limit(status) => status,
        }
    }
}

impl FaultKind {
    /// Returns a few words for a log line: `slow x4`.
    #[must_use]
    pub fn words(&self) -> String {
        let percent = |share: &Ratio| share.value() * 100.0;
        match self {
            FaultKind::Crash => "crash".to_owned(),
            FaultKind::Hang => "hang".to_owned(),
            FaultKind::Slow(factor) => format!("slow x{factor}"),
            FaultKind::Errors(share, answer) => {
                let about = match answer {
                    ErrorAnswer::SpendCap(_) => ", money spent",
                    ErrorAnswer::Limit(_) => ", limit reached",
                    ErrorAnswer::ContentPolicy => ", content policy",
                    _ => "",
                };
                format!("{}% answer {}{about}", percent(share), answer.status())
            }
            FaultKind::Context(most) => format!("context of {} tokens", most.0),
            FaultKind::Pace(ttft, itl) => format!("slow x{ttft} first, x{itl} further tokens"),
            FaultKind::Gray(share, factor) => format!("gray: {}% slow x{factor}", percent(share)),
            FaultKind::BlackHole => "black hole".to_owned(),
            FaultKind::ColdStart => "cold start".to_owned(),
            FaultKind::CacheLoss => "cache lost".to_owned(),
            FaultKind::Cut(share, cut, _) => format!("{}% {}", percent(share), cut.word()),
            FaultKind::Probes(ProbeLie::Green) => "probes always green".to_owned(),
            FaultKind::Probes(ProbeLie::Red) => "probes always red".to_owned(),
            FaultKind::Reports(ReportLie::Missing) => "reports missing".to_owned(),
            FaultKind::Reports(ReportLie::Stale) => "reports stale".to_owned(),
            FaultKind::Reports(ReportLie::Absurd) => "reports absurd".to_owned(),
            FaultKind::Capacity(_) => "other capacity".to_owned(),
            FaultKind::Reprice(_) => "other prices".to_owned(),
            FaultKind::Drain => "drained".to_owned(),
        }
    }

    /// Returns whether a node of this kind can suffer it.
    #[must_use]
    pub fn touches(&self, backend: &BackendSpec) -> bool {
        match (self, backend) {
            (FaultKind::CacheLoss, backend) => backend.keeps_prefixes(),
            // Answers come whole, at the end of one service.
            (FaultKind::Pace(first, _), BackendSpec::Slots(_)) => first.total_cmp(&1.0).is_ne(),
            (FaultKind::Capacity(limits), BackendSpec::Slots(_) | BackendSpec::Engine(_)) => {
                limits.concurrency.is_some()
            }
            _ => true,
        }
    }

    /// Returns whether it happens to what the balancer is told of the fleet, not to the node itself.
    #[must_use]
    pub const fn is_of_fleet(&self) -> bool {
        matches!(self, FaultKind::Reprice(_) | FaultKind::Drain)
    }
}

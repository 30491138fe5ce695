//! Faults: what can go wrong with a node, when, and for how long.

use crate::balance::{Failure, Outcome, Usage};
use crate::unit::{NodeId, Ratio, Span, Time};

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
    Errors(Ratio, Answer),
}

/// The error a node answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 500.
    ServerError,
    /// 503 or 529.
    Overloaded,
    /// 429, with the time to stay away.
    RateLimited(Option<Span>),
}

impl Answer {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Answer::ServerError => Outcome::Failed(Failure::ServerError, Usage::default()),
            Answer::Overloaded => Outcome::Failed(Failure::Overloaded, Usage::default()),
            Answer::RateLimited(retry_after) => Outcome::RateLimited { retry_after },
        }
    }
}

impl FaultKind {
    /// Every kind by the name scenarios use, with what it does in one line.
    pub const LIST: [(&'static str, &'static str); 4] = [
        ("crash", "the node is gone: work is reset, connects are refused, probes fail"),
        ("hang", "the node accepts and never answers, probes neither"),
        ("slow", "everything takes `factor` times as long; probes pass"),
        ("errors", "a `share` of requests is answered 500 (or `status` 503, 429) at once"),
    ];

    /// Returns a few words for a log line: `slow x4`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            FaultKind::Crash => "crash".to_owned(),
            FaultKind::Hang => "hang".to_owned(),
            FaultKind::Slow(factor) => format!("slow x{factor}"),
            FaultKind::Errors(share, answer) => {
                let status = match answer {
                    Answer::ServerError => 500,
                    Answer::Overloaded => 503,
                    Answer::RateLimited(_) => 429,
                };
                format!("{}% answer {status}", share.value() * 100.0)
            }
        }
    }
}

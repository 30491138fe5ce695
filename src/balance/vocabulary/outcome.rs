//! How tries and requests end, and what is known of a try: the words that executor and balancer share.
//!
//! Only data; on the ground floor, so that specifications may use it.

pub(in crate::balance) use super::failure::Failure;
use crate::unit::{Ratio, RequestId, Span, Tokens};

/// One try of a request on one node. The first try of a request has ordinal zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    /// Whose try it is.
    pub request: RequestId,
    /// Which try of that request.
    pub ordinal: u8,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The first token of the answer arrived.
    FirstToken,
    /// So many tokens of the answer arrived so far. Throttled by the executor.
    Tokens(Tokens),
    /// What has come of the answer is more than text: no other node can go on from it.
    Sealed,
    /// The answer does not go on from what had come when it was cut: it comes anew, and as much of it is
    /// left out as the client has.
    Anew,
}

/// Tokens an attempt used, as billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: Tokens,
    /// Those of `input` that the node had cached. Never more than `input`.
    pub cached: Tokens,
    /// Tokens of the answer.
    pub output: Tokens,
    /// Whether nobody said so much, and it was counted or guessed.
    pub estimated: bool,
}

/// No attempt counts for more tokens of a kind than this, whatever is said of it: so no sum over
/// attempts overflows, and what was added to a ledger can be taken away again.
pub(in crate::balance) const TOKENS_MAX: Tokens = Tokens(u32::MAX as u64);

impl Usage {
    /// Nothing used.
    pub const NONE: Usage =
        Usage { input: Tokens::ZERO, cached: Tokens::ZERO, output: Tokens::ZERO, estimated: false };

    /// Returns what may be believed of it: counts of a sane size, no more cached than there was.
    #[must_use]
    pub fn sane(self) -> Usage {
        let input = self.input.min(TOKENS_MAX);
        Usage {
            input,
            cached: self.cached.min(input),
            output: self.output.min(TOKENS_MAX),
            estimated: self.estimated,
        }
    }
}

/// How an attempt ended, in the words of the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer.
    Done(Usage),
    /// No whole answer, and why.
    Failed(Failure, Usage),
    /// The node asked to be left alone for a while (429).
    RateLimited {
        /// How long, if it said so.
        retry_after: Option<Span>,
    },
    /// The attempt was aborted as asked; what it had used by then.
    Aborted(Usage),
    /// A whole answer, and how good its scorer finds it, from zero to one.
    Scored(Usage, Ratio),
    /// The node has no room and said for how long it wants to be left alone (503 or 529 with
    /// `Retry-After`). Without a time it is a failure, [`Failure::Overloaded`].
    Busy {
        /// How long.
        retry_after: Span,
    },
}

impl Outcome {
    /// Returns what an answer with this HTTP status means, none of which is a whole answer; `retry_after`
    /// and `usage` as the answer says.
    #[must_use]
    pub const fn of_status(status: u16, retry_after: Option<Span>, usage: Usage) -> Outcome {
        match (status, retry_after) {
            (429, _) => Outcome::RateLimited { retry_after },
            (503 | 529, Some(retry_after)) => Outcome::Busy { retry_after },
            _ => Outcome::Failed(Failure::of_status(status), usage),
        }
    }
}

/// The answer to a health probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// It answered in time.
    Healthy,
    /// It did not.
    Failed(Failure),
}

/// The one final end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A whole answer was delivered.
    Completed,
    /// The last attempt failed and no other was allowed.
    Failed(End),
    /// Turned away without an answer from any node.
    Rejected(Reject),
    /// The client went away first.
    Cancelled,
}

impl Fate {
    /// Returns its word in journals and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Fate::Completed => "completed",
            Fate::Failed(_) => "failed",
            Fate::Rejected(_) => "rejected",
            Fate::Cancelled => "cancelled",
        }
    }
}

/// How an attempt ended, in the words of the balancer: its own timers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A whole answer.
    Done,
    /// The node failed.
    Failed(Failure),
    /// The node asked to be left alone (429).
    RateLimited,
    /// The balancer's own timer ended it.
    TimedOut(TimeoutStage),
    /// The client went away.
    Cancelled,
    /// The other attempt of a hedged request was faster; this one was given up.
    Outrun,
}

impl End {
    /// Returns whether it counts against the health of the node.
    pub(in crate::balance) const fn blames_node(self) -> bool {
        match self {
            End::Failed(failure) => failure.blames_node(),
            End::TimedOut(TimeoutStage::FirstToken) => true,
            End::Done
            | End::RateLimited
            | End::TimedOut(TimeoutStage::Total)
            | End::Cancelled
            | End::Outrun => false,
        }
    }

    /// Returns whether it lowers the node's success probability: back-pressure and a refused
    /// credential do, although they are no sickness, because an attempt sent there is likely wasted.
    pub(in crate::balance) const fn is_wasted(self) -> bool {
        self.blames_node()
            || matches!(
                self,
                End::RateLimited | End::Failed(Failure::Overloaded | Failure::Unauthorized)
            )
    }

    /// Returns the words a log line uses.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Failed(failure) => failure.words(),
            End::RateLimited => "429 rate limited",
            End::TimedOut(TimeoutStage::FirstToken) => "first-token timeout",
            End::TimedOut(TimeoutStage::Total) => "deadline passed",
            End::Cancelled => "client gone",
            End::Outrun => "another attempt was faster",
        }
    }
}

/// Which of the balancer's timers ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeoutStage {
    /// From dispatch to the first token. An answer that comes whole has none.
    FirstToken,
    /// From arrival to the end, over all attempts.
    Total,
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reject {
    /// The waiting room was full.
    QueueFull,
    /// It waited as long as allowed.
    WaitedTooLong,
    /// No node of its route may ever serve it: a hard constraint fails closed.
    NoNode,
    /// The node that keeps its session cannot serve it now.
    NotAtHome,
    /// It would have been served after its deadline, as far as can be foretold.
    TooLate,
    /// It gave up its place in a full waiting room to one more important or of a tenant with fewer.
    Displaced,
    /// Its tenant's limit of requests or tokens a minute is used up; there is room for it after
    /// so long.
    TenantRate(Span),
    /// Its tenant's money for the day is spent; the next day begins after so long.
    Budget(Span),
    /// Whoever asks tries again, and too many retries are under way already.
    RetryBudget,
    /// Its nodes are too full for a request of its priority.
    Shed,
    /// All its nodes have asked to be left alone for longer than it may wait; the first is back after so long.
    Resting(Span),
}

impl Reject {
    /// Returns the words a log line uses.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Reject::QueueFull => "queue full",
            Reject::WaitedTooLong => "waited too long",
            Reject::NoNode => "no node may serve it",
            Reject::NotAtHome => "the node of its session cannot serve it",
            Reject::TooLate => "would come too late",
            Reject::Displaced => "gave way in the queue",
            Reject::TenantRate(_) => "tenant over its rate limit",
            Reject::Budget(_) => "tenant over its budget",
            Reject::RetryBudget => "too many retries under way",
            Reject::Shed => "shed under load",
            Reject::Resting(_) => "its nodes rest for too long",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_means_one_thing() {
        let pause = Span::from_secs(7);
        for status in 100..=599 {
            let failure = match status {
                100..=399 => Failure::Malformed,
                401..=403 => Failure::Unauthorized,
                408 | 425 => Failure::ServerError,
                404 | 405 | 410 => Failure::NotFound,
                429 | 503 | 529 => Failure::Overloaded,
                400..=499 => Failure::ClientError,
                _ => Failure::ServerError,
            };
            assert_eq!(Failure::of_status(status), failure, "{status}");
            let usage = Usage { output: Tokens(3), ..Usage::NONE };
            let failed = Outcome::Failed(failure, usage);
            let (plain, paused) = match status {
                429 => (
                    Outcome::RateLimited { retry_after: None },
                    Outcome::RateLimited { retry_after: Some(pause) },
                ),
                503 | 529 => (failed, Outcome::Busy { retry_after: pause }),
                _ => (failed, failed),
            };
            assert_eq!(Outcome::of_status(status, None, usage), plain, "{status}");
            assert_eq!(Outcome::of_status(status, Some(pause), usage), paused, "{status}");
        }
        for status in [0, 99, 600, u16::MAX] {
            assert_eq!(Failure::of_status(status), Failure::Malformed, "{status} is no status");
        }
    }
}

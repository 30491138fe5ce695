//! The states of a node, and why it changes them.

use crate::unit::{Ratio, Span};

/// What a node may be asked to do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// Serves.
    #[default]
    Up,
    /// Asked to be left alone for a while (429).
    CoolingDown,
    /// Failed too often; gets nothing until it has rested and answered probes.
    Ejected,
    /// Has rested; is being probed and gets no traffic yet.
    Probing,
    /// Finishes what it has and gets nothing new.
    Draining,
    /// Is being started; cannot serve yet.
    Starting,
    /// Is switched off; its group may start it.
    Off,
    /// Is no longer part of the fleet.
    Gone,
}

impl NodeState {
    /// All of them.
    pub const ALL: [NodeState; 8] = [
        NodeState::Up,
        NodeState::CoolingDown,
        NodeState::Ejected,
        NodeState::Probing,
        NodeState::Draining,
        NodeState::Starting,
        NodeState::Off,
        NodeState::Gone,
    ];

    /// Returns whether it serves, or will as soon as a pause it asked for is over.
    #[must_use]
    pub const fn is_in_service(self) -> bool {
        matches!(self, NodeState::Up | NodeState::CoolingDown)
    }

    /// Returns whether it was ejected and is not back.
    #[must_use]
    pub const fn is_ejected(self) -> bool {
        matches!(self, NodeState::Ejected | NodeState::Probing)
    }

    /// Returns the word a table shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NodeState::Up => "up",
            NodeState::CoolingDown => "limited",
            NodeState::Ejected => "down",
            NodeState::Probing => "probing",
            NodeState::Draining => "draining",
            NodeState::Starting => "starting",
            NodeState::Off => "off",
            NodeState::Gone => "gone",
        }
    }
}

/// Why a node changed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many failures in a row.
    Failures(u32),
    /// So many failed probes in a row.
    Probes(u32),
    /// So many good probes in a row.
    Recovered(u32),
    /// Its ejection time is over; it is probed.
    Probing,
    /// It answered 429.
    RateLimited(Span),
    /// The time it asked for is over.
    LimitOver,
    /// A person or an operator asked for it.
    Operator,
    /// Its group grows or shrinks.
    Scaled,
    /// It has started.
    Started,
    /// Its success rate, and that of its peers.
    SuccessRate(Ratio, Ratio),
    /// The share of its requests that failed.
    FailureShare(Ratio),
    /// The share of its first tokens that were slow, and that of its peers.
    SlowShare(Ratio, Ratio),
    /// It said nothing for so long while requests waited for it.
    Silent(Span),
    /// It refused the credential; it is left alone for so long.
    Credential(Span),
    /// So many probes for a token failed.
    NoToken(u32),
    /// It has no room (503, 529) and asked to be left alone for so long.
    Busy(Span),
    /// Of so many requests in a row it said that they are at fault, and other nodes served them.
    Refusals(u32),
    /// The share of its requests of which it said that they are at fault, and that of the best of its
    /// peers.
    RefusalShare(Ratio, Ratio),
}

impl Cause {
    /// Returns its word in journals and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Cause::Failures(_) => "failures",
            Cause::Probes(_) => "probes",
            Cause::Recovered(_) => "recovered",
            Cause::Probing => "probing",
            Cause::RateLimited(_) => "rate_limited",
            Cause::LimitOver => "limit_over",
            Cause::Operator => "operator",
            Cause::Scaled => "scaled",
            Cause::Started => "started",
            Cause::SuccessRate(..) => "success_rate",
            Cause::FailureShare(_) => "failure_share",
            Cause::SlowShare(..) => "slow_share",
            Cause::Silent(_) => "silent",
            Cause::Credential(_) => "credential",
            Cause::NoToken(_) => "no_token",
            Cause::Busy(_) => "busy",
            Cause::Refusals(_) => "refusals",
            Cause::RefusalShare(..) => "refusal_share",
        }
    }
}

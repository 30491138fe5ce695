//! What is under way: requests and attempts as the machine keeps them until they are forgotten.
//!
//! A request is waiting, held for a batch, on one node or two, in back-off, or settled; an attempt is
//! open or closing. Only data: what happens to it is decided by the parts of the machine.

use slotmap::new_key_type;

use super::fleet::ledger::Held;
use super::routing::LaneId;
use super::routing::model::InHand;
use super::spec::node::Prices;
use super::spec::overload::Rung;
use super::spec::retry::ATTEMPTS_MAX;
use super::strategy::{DispatchFacts, Memo};
use super::vocabulary::outcome::End;
use super::vocabulary::request::Request;
use super::vocabulary::why::Why;
use crate::unit::{Cost, NodeId, PoolId, RegionId, RouteId, Time, Tokens};

new_key_type! {
    /// Names a request that is not forgotten yet.
    pub(super) struct RequestKey;
    /// Names an attempt that has not ended yet.
    pub(super) struct TryKey;
}

/// A node chosen for a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) node: NodeId,
    pub(super) why: Why,
    pub(super) memo: Option<Memo>,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In line, at the place of this number.
    Waiting(u64),
    /// Held for a batch of a pool; whether it was declared to wait before.
    Held { pool: PoolId, number: u64, queued: bool },
    /// On a node, or on two.
    InFlight(Running),
    /// Between two attempts.
    Backoff,
    /// At its end; kept only until aborted attempts are confirmed.
    Settled,
}

/// The attempts of a request that may still answer it: one, or two while it is hedged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) one: TryKey,
    pub(super) other: Option<TryKey>,
}

impl Running {
    pub(super) const fn one(this: TryKey) -> Running {
        Running { one: this, other: None }
    }

    pub(super) fn keys(self) -> impl Iterator<Item = TryKey> {
        [self.one].into_iter().chain(self.other)
    }

    /// Returns what goes on without this one, if anything.
    pub(super) fn without(self, this: TryKey) -> Option<Running> {
        self.keys().find(|&key| key != this).map(Running::one)
    }
}

/// Which nodes of a pool may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All.
    Anywhere,
    /// Those that the request has not been on.
    Untried,
    /// Of those, the ones in another region than this.
    Beyond(RegionId),
}

/// A request that is not forgotten yet.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) request: Request,
    pub(super) route: RouteId,
    /// Its pools on that route.
    pub(super) lane: LaneId,
    pub(super) phase: Phase,
    /// When the balancer first heard of it; never before `request.arrived`.
    pub(super) heard: Time,
    pub(super) attempts: u8,
    /// Attempts that have not ended, by ordinal; null where there is none.
    pub(super) tries: [TryKey; ATTEMPTS_MAX as usize],
    /// Attempts that have not ended.
    pub(super) unfinished: u8,
    /// Nodes tried, by ordinal.
    pub(super) tried: [NodeId; ATTEMPTS_MAX as usize],
    pub(super) dispatched: Option<Time>,
    /// The node of the attempt that ended last, and how it ended.
    pub(super) last: Option<(NodeId, End)>,
    /// Whether it counts as a retry under way.
    pub(super) retrying: bool,
    /// Whether an alarm for a hedge is set.
    pub(super) armed: bool,
    /// Whether it had its hedge.
    pub(super) hedged: bool,
    /// Tokens that reached the client before its answer was cut and goes on elsewhere.
    pub(super) resumed: Tokens,
    /// When the first of them came.
    pub(super) begun: Option<Time>,
    /// The ordinal of the attempt whose answer has begun to reach the client.
    pub(super) begun_by: Option<u8>,
    /// The ordinal at which the model it asks now was asked first; above zero in cascades only.
    pub(super) step: u8,
    /// The best answer that was not good enough.
    pub(super) in_hand: Option<Box<InHand>>,
    /// What ended attempts cost.
    pub(super) spent: Cost,
    /// By ordinal, as a bit: whether that node refused its credential.
    pub(super) refused: u8,
    /// The last rung of the ladder that changed what becomes of it.
    pub(super) touched: Rung,
    /// What its answer is clamped to.
    pub(super) clamp: Option<Tokens>,
}

/// An attempt that has not ended yet.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) request: RequestKey,
    pub(super) ordinal: u8,
    pub(super) node: NodeId,
    pub(super) dispatched: Time,
    pub(super) first_token: Option<Time>,
    pub(super) tokens: Tokens,
    pub(super) held: Held,
    /// Prices in force at dispatch: a change never reprices the past.
    pub(super) prices: Prices,
    /// What its strategy is reminded of.
    pub(super) sent: DispatchFacts,
    /// Which strategy of its pool chose the node.
    pub(super) tenure: u32,
    /// How it ended for the request, if the executor has yet to confirm.
    pub(super) closing: Option<End>,
    /// Whether it went lower than the first eligible tier.
    pub(super) spilled: bool,
    /// Whether it went to a pool that the route degrades to.
    pub(super) degraded: bool,
    /// Whether it was sent beside another one.
    pub(super) hedge: bool,
    /// Attempts on its node when it was sent, itself included.
    pub(super) crowd: u32,
}

/// Sums that prove conservation and Little's law, in integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that came.
    pub arrived: u64,
    /// Requests at their end.
    pub settled: u64,
    /// Attempts dispatched.
    pub dispatched: u64,
    /// Attempts ended.
    pub ended: u64,
    /// Words that came too late to change anything.
    pub late_words: u64,
    /// Requests in the system, integrated over time: request-nanoseconds.
    pub area: u128,
    /// Times in the system, summed over settled requests: nanoseconds.
    pub sojourn: u128,
}

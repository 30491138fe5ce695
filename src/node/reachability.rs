//! What stands in front of a node's back end while faults are on.
//!
//! Of faults that overlap the one furthest in front decides, and it decides for all alike: attempts,
//! probes, reports, and an oracle's question. Faults of the back end itself, as a slow node is, do not
//! stand in front of it; nothing here changes a node.

use super::{ErrorAnswer, FaultKind, SimNode, hits};

/// What is met first, in the order in which it is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reachability {
    /// Its host is gone, and refuses connects. Before lost packets, since all who had work there have
    /// heard of a crash, and a mock server that has crashed has no port on which to be silent.
    Gone,
    /// Packets are lost: no connect succeeds.
    Lost,
    /// It accepts and says nothing, whatever it would say.
    Hung,
    /// Its process loads: 503.
    Loading,
    /// It answers this error.
    Error(ErrorAnswer),
    /// Nothing: the back end.
    Open,
}

impl Reachability {
    /// Returns whether nobody hears anything of the node itself.
    pub(super) const fn is_silent(self) -> bool {
        matches!(self, Reachability::Gone | Reachability::Lost | Reachability::Hung)
    }
}

impl SimNode {
    /// Returns what somebody who comes now meets. `key` keys the draws of an attempt, or of a probe
    /// that asks for a token; who asks for health alone has none, and meets no errors of requests.
    pub(super) fn reachability(&self, key: Option<u64>) -> Reachability {
        let on = |wanted: FaultKind| self.has(|kind| *kind == wanted);
        match () {
            () if !self.has_faults() => Reachability::Open,
            () if on(FaultKind::Crash) => Reachability::Gone,
            () if on(FaultKind::BlackHole) => Reachability::Lost,
            () if on(FaultKind::Hang) => Reachability::Hung,
            () if on(FaultKind::ColdStart) => Reachability::Loading,
            () => {
                key.and_then(|key| self.error(key)).map_or(Reachability::Open, Reachability::Error)
            }
        }
    }

    /// Returns the error that a fault answers the attempt of this key with; of several, the one that
    /// began first.
    fn error(&self, key: u64) -> Option<ErrorAnswer> {
        self.faults.on.iter().find_map(|(number, kind)| match kind {
            FaultKind::Errors(share, answer) => hits(key, *number, *share).then_some(*answer),
            _ => None,
        })
    }
}

//! Which nodes may be chosen for a request, and what was.

use crate::balance::strategy::Memo;
use crate::balance::vocabulary::why::Why;
use crate::unit::{NodeId, RegionId};

/// A node chosen for a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::balance) struct NodeChoice {
    pub(in crate::balance) node: NodeId,
    pub(in crate::balance) why: Why,
    pub(in crate::balance) memo: Option<Memo>,
}

/// Which nodes of a pool may be chosen: of those that are up, or ejected amid a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum Reach {
    /// The one that has what the request goes on from.
    Home,
    /// This one, though it has failed it.
    Same(NodeId),
    /// All.
    Anywhere,
    /// Those that the request has not been on.
    Untried,
    /// Of those, the ones in another region than this.
    Beyond(RegionId),
    /// Ejected ones that the request has not been on.
    LastResort,
    /// All ejected ones.
    LastResortAgain,
}

impl Reach {
    /// Returns whether it is about ejected nodes.
    #[inline]
    pub(in crate::balance) const fn is_last_resort(self) -> bool {
        matches!(self, Reach::LastResort | Reach::LastResortAgain)
    }
}

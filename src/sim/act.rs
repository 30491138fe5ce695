//! What a person does to a run: what, and when. A run with the same acts at the same times is the same
//! run again, whether they were done by key or are read from a file.

use crate::balance::{Control, Mark, MarkBy, MarkPhase, StrategySpec};
use crate::node::FaultKind;
use crate::unit::{NodeId, PoolId, Span, Time};

/// Something a person does, after everything else that happens at that time.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// When.
    pub at: Time,
    /// What.
    pub deed: Deed,
}

/// What a person does.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Something goes wrong with these nodes, until it is over or they are healed.
    Fault {
        /// What.
        kind: FaultKind,
        /// With which.
        nodes: Vec<NodeId>,
        /// For how long, if it ends by itself.
        lasts: Option<Span>,
    },
    /// Everything ends that was made to go wrong by hand with these nodes. What was planned goes on.
    Heal(Vec<NodeId>),
    /// A pool chooses by this strategy from now on.
    Strategy(PoolId, StrategySpec),
    /// From now on so many times as much arrives as the scenario says. Only arrivals that are made up can
    /// change; see [`Traffic::set_load`](crate::workload::Traffic::set_load).
    Load(f64),
}

/// What everyone hears of another load.
pub(super) fn load_mark(factor: f64) -> Control {
    let what = format!("load ×{factor}");
    Control::Mark(Mark { by: MarkBy::Person, nodes: Vec::new(), phase: MarkPhase::Begin, what })
}

//! The states of a node.

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

//! The five views of the dashboard, and what they are called where there is much room or little.

/// A whole screen to look at, chosen by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    /// Nodes, charts, the last decision and what happened.
    #[default]
    Live,
    /// Several strategies on the same arrivals.
    Compare,
    /// How long requests took, over time.
    Latency,
    /// Why a request went where it did.
    Why,
    /// Everything that happened.
    Events,
}

impl View {
    pub(super) const ALL: [View; 5] =
        [View::Live, View::Compare, View::Latency, View::Why, View::Events];

    pub(super) const fn name(self) -> &'static str {
        match self {
            View::Live => "Live",
            View::Compare => "Compare",
            View::Latency => "Latency",
            View::Why => "Why",
            View::Events => "Events",
        }
    }

    /// Returns its name where room is short.
    pub(super) const fn short(self) -> &'static str {
        match self {
            View::Live => "Live",
            View::Compare => "Cmp",
            View::Latency => "Lat",
            View::Why => "Why",
            View::Events => "Evt",
        }
    }

    /// Returns its line in the help.
    pub(super) const fn about(self) -> &'static str {
        match self {
            View::Live => "nodes, charts, the log",
            View::Compare => "strategies side by side",
            View::Latency => "latencies over time",
            View::Why => "decisions in full",
            View::Events => "all that happened",
        }
    }

    /// Returns the number that shows it.
    pub(super) fn number(self) -> usize {
        View::ALL.iter().position(|view| *view == self).unwrap_or(0) + 1
    }
}

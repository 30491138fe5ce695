//! What a balancer believes of what others tell it, as configured.

use crate::unit::Span;

/// Unless said otherwise, a report older than this counts as absent.
pub const REPORT_FRESH: Span = Span::from_secs(10);

/// Unless said otherwise, a peer not heard of for so long counts as absent.
pub const PEER_FRESH: Span = Span::from_secs(10);

/// Which of several balancers this is, and how long it believes what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportFreshness {
    /// Its number; every number draws its own ties and pauses. A balancer on its own is zero.
    pub instance: u32,
    /// A peer's word counts for so long after it was true.
    pub peers_fresh: Span,
    /// A node's report counts for so long after it was true.
    pub reports_fresh: Span,
}

impl Default for ReportFreshness {
    fn default() -> ReportFreshness {
        ReportFreshness { instance: 0, peers_fresh: PEER_FRESH, reports_fresh: REPORT_FRESH }
    }
}

/// Which figure of a node's load a strategy goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The own requests in flight, and those that peers tell of.
    Own,
    /// What the node last reported; as `Own` while there is no fresh report.
    Reported,
    /// What the node last reported, and how the own requests on it have changed since; as `Own`
    /// while there is no fresh report.
    Fused,
}

impl Signal {
    /// The words of scenarios, in order.
    pub(in crate::balance) const WORDS: &[&str] = &["own", "reported", "reported+own"];

    /// The signal of the word at this place.
    pub(in crate::balance) const fn of(place: u64) -> Signal {
        match place {
            0 => Signal::Own,
            1 => Signal::Reported,
            _ => Signal::Fused,
        }
    }
}

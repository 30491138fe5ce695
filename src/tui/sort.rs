//! What the nodes table is sorted by.

use crate::balance::NodeState;
use crate::metrics::NodeRow;
use crate::unit::Span;

/// What the nodes table is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SortKey {
    #[default]
    File,
    Name,
    State,
    InFlight,
    Queue,
    Utilisation,
    Share,
    Rate,
    P50,
    P99,
    Errors,
    Tokens,
    Dollars,
}

impl SortKey {
    pub(super) const ALL: [SortKey; 13] = [
        SortKey::File,
        SortKey::Name,
        SortKey::State,
        SortKey::InFlight,
        SortKey::Queue,
        SortKey::Utilisation,
        SortKey::Share,
        SortKey::Rate,
        SortKey::P50,
        SortKey::P99,
        SortKey::Errors,
        SortKey::Tokens,
        SortKey::Dollars,
    ];

    pub(super) fn next(self) -> SortKey {
        let place = SortKey::ALL.iter().position(|key| *key == self).unwrap_or(0);
        SortKey::ALL[(place + 1) % SortKey::ALL.len()]
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            SortKey::File => "file order",
            SortKey::Name => "name",
            SortKey::State => "state",
            SortKey::InFlight => "in-fl",
            SortKey::Queue => "queue",
            SortKey::Utilisation => "util",
            SortKey::Share => "share",
            SortKey::Rate => "req/s",
            SortKey::P50 => "p50",
            SortKey::P99 => "p99",
            SortKey::Errors => "err%",
            SortKey::Tokens => "tok/s",
            SortKey::Dollars => "$/h",
        }
    }

    /// Returns the letter that chooses it.
    pub(super) const fn letter(self) -> char {
        match self {
            SortKey::File => 'f',
            SortKey::Name => 'n',
            SortKey::State => 't',
            SortKey::InFlight => 'i',
            SortKey::Queue => 'q',
            SortKey::Utilisation => 'u',
            SortKey::Share => 'h',
            SortKey::Rate => 'r',
            SortKey::P50 => '5',
            SortKey::P99 => '9',
            SortKey::Errors => 'e',
            SortKey::Tokens => 'k',
            SortKey::Dollars => 'd',
        }
    }

    /// Returns whether the greatest comes first unless reversed.
    pub(super) const fn descends(self) -> bool {
        !matches!(self, SortKey::File | SortKey::Name)
    }

    /// Returns what a row is sorted by. A node that is down has no figures: it counts as worst.
    pub(super) fn value(self, row: &NodeRow) -> f64 {
        let latency = |span: Option<Span>| match span {
            Some(span) => span.seconds(),
            None if row.state == NodeState::Ejected => f64::INFINITY,
            None => -1.0,
        };
        match self {
            SortKey::File | SortKey::Name => 0.0,
            SortKey::State => severity(row),
            SortKey::InFlight => f64::from(row.in_flight),
            SortKey::Queue => f64::from(row.queued),
            SortKey::Utilisation => row.utilisation.unwrap_or(-1.0),
            SortKey::Share => row.share,
            SortKey::Rate => row.requests_per_s,
            SortKey::P50 => latency(row.p50),
            SortKey::P99 => latency(row.p99),
            SortKey::Errors => row.error_share,
            SortKey::Tokens => row.tokens_per_s,
            SortKey::Dollars => row.dollars_per_hour,
        }
    }
}

fn severity(row: &NodeRow) -> f64 {
    match row.state {
        NodeState::Ejected => 6.0,
        NodeState::Probing => 5.0,
        NodeState::Up if row.kept_in => 4.5,
        NodeState::CoolingDown => 4.0,
        NodeState::Up if row.slow => 3.0,
        NodeState::Draining | NodeState::Starting => 2.0,
        NodeState::Up => 1.0,
        NodeState::Off | NodeState::Gone => 0.0,
    }
}

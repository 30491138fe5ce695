//! Requests by what has become of them: the one count of reports, screens and scopes.

use crate::balance::Fate;

/// Requests by what has become of them. `arrived` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// All that came.
    pub arrived: u64,
    /// Those with a whole answer.
    pub completed: u64,
    /// Those whose last attempt failed.
    pub failed: u64,
    /// Those turned away.
    pub rejected: u64,
    /// Those whose client went away.
    pub cancelled: u64,
    /// Those not yet at their end: waiting, in flight or in back-off.
    pub in_flight: u64,
}

impl RequestCounts {
    /// Counts one more request at the door.
    pub(super) fn arrive(&mut self) {
        self.arrived += 1;
        self.in_flight += 1;
    }

    /// Counts one more request at its final end.
    pub(super) fn settle(&mut self, fate: &Fate) {
        self.in_flight -= 1;
        match fate {
            Fate::Completed => self.completed += 1,
            Fate::Failed(_) => self.failed += 1,
            Fate::Rejected(_) => self.rejected += 1,
            Fate::Cancelled => self.cancelled += 1,
        }
    }

    /// Counts what another one has counted, too.
    pub(super) const fn add(&mut self, other: &RequestCounts) {
        self.arrived += other.arrived;
        self.completed += other.completed;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.cancelled += other.cancelled;
        self.in_flight += other.in_flight;
    }

    /// Returns how many have reached their end.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.arrived - self.in_flight
    }

    /// Returns how many had no answer: they failed or were turned away.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.failed + self.rejected
    }
}

/// A part of a whole; zero of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{End, Failure, Reject};

    #[test]
    fn arrived_is_the_sum_of_the_others_after_every_step() {
        let mut counts = RequestCounts::default();
        let fates = [
            Fate::Completed,
            Fate::Failed(End::Failed(Failure::ServerError)),
            Fate::Rejected(Reject::QueueFull),
            Fate::Cancelled,
        ];
        let whole = |counts: RequestCounts| {
            let RequestCounts { arrived, completed, failed, rejected, cancelled, in_flight } =
                counts;
            assert_eq!(
                arrived,
                completed + failed + rejected + cancelled + in_flight,
                "{counts:?}"
            );
            assert_eq!(counts.ended(), completed + failed + rejected + cancelled, "{counts:?}");
        };
        for round in 0..3 {
            for fate in &fates {
                (0..=round).for_each(|_| counts.arrive());
                whole(counts);
                counts.settle(fate);
                whole(counts);
            }
        }
        assert_eq!(
            (counts.completed, counts.failed, counts.rejected, counts.cancelled),
            (3, 3, 3, 3)
        );
        assert_eq!((counts.in_flight, counts.errors()), (12, 6));
    }
}

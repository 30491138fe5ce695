//! One queue a route, first come first served.
//!
//! Tickets of requests that have left are dropped when they come to the head, so leaving is O(1).

use std::collections::VecDeque;

use super::Ticket;
use crate::unit::RouteId;

/// A queue a route.
#[derive(Debug)]
pub(super) struct FifoQueues {
    routes: Vec<VecDeque<Ticket>>,
}

impl FifoQueues {
    /// Empty queues for so many routes.
    pub(super) fn new(routes: usize) -> FifoQueues {
        FifoQueues { routes: (0..routes).map(|_| VecDeque::new()).collect() }
    }

    /// Joins the end of a queue.
    pub(super) fn join(&mut self, route: RouteId, ticket: Ticket) {
        self.routes[route.index()].push_back(ticket);
    }

    /// Returns the first of a queue that still waits, dropping those that do not.
    pub(super) fn head(
        &mut self,
        route: RouteId,
        waits: impl Fn(&Ticket) -> bool,
    ) -> Option<Ticket> {
        let queue = &mut self.routes[route.index()];
        while let Some(ticket) = queue.front() {
            if waits(ticket) {
                return Some(*ticket);
            }
            queue.pop_front();
        }
        None
    }

    /// Returns the one that came first among the heads of the queues that are not blocked.
    pub(super) fn first(
        &mut self,
        blocked: &[bool],
        waits: impl Fn(&Ticket) -> bool,
    ) -> Option<(RouteId, Ticket)> {
        let mut first: Option<(RouteId, Ticket)> = None;
        for (index, blocked) in blocked.iter().enumerate() {
            let route = RouteId(index as u16);
            if !blocked
                && let Some(ticket) = self.head(route, &waits)
                && first.is_none_or(|(_, other)| ticket.number < other.number)
            {
                first = Some((route, ticket));
            }
        }
        first
    }

    /// Takes the head of a queue out.
    pub(super) fn take_head(&mut self, route: RouteId) {
        self.routes[route.index()].pop_front().expect("the queue has a head");
    }

    /// Returns every ticket of a queue, those of requests that have left included.
    pub(super) fn tickets(&self, route: RouteId) -> impl Iterator<Item = Ticket> {
        self.routes[route.index()].iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::balance::requests::RequestKey;

    #[test]
    fn the_first_of_all_heads_is_next_and_who_left_is_dropped() {
        let mut keys: SlotMap<RequestKey, ()> = SlotMap::with_key();
        let mut queues = FifoQueues::new(2);
        let tickets: Vec<Ticket> =
            (0..6).map(|number| Ticket { key: keys.insert(()), number }).collect();
        for (at, ticket) in tickets.iter().enumerate() {
            queues.join(RouteId((at % 2) as u16), *ticket);
        }
        let left = [0, 1, 4];
        let waits = |ticket: &Ticket| !left.contains(&ticket.number);
        assert_eq!(queues.first(&[false, false], waits), Some((RouteId(0), tickets[2])));
        assert_eq!(queues.first(&[true, false], waits), Some((RouteId(1), tickets[3])));
        assert_eq!(queues.first(&[true, true], waits), None);
        queues.take_head(RouteId(0));
        assert_eq!(queues.head(RouteId(0), waits), None, "the last of route 0 has left");
        assert_eq!(
            queues.tickets(RouteId(1)).count(),
            2,
            "who left behind the head is still there"
        );
    }
}

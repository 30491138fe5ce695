//! Faults as they happen: a node is told of its own, the balancer of those of its fleet, and everyone
//! who listens of the beginning and the end.

use super::backends::Backends;
use crate::balance::{Control, FleetChange, Input, Mark, MarkBy, MarkPhase, Prices};
use crate::node::{Agenda, FaultKind, FaultRule, FaultSchedule, FaultSpec, Rank, Scheduled};
use crate::unit::NodeId;

/// Lets faults happen to nodes.
#[derive(Debug)]
pub(super) struct FaultInjector {
    schedule: FaultSchedule,
    /// By node, as configured.
    prices: Vec<Prices>,
}

impl FaultInjector {
    /// Schedules these faults, and the first one of every rule. `prices` are those of every node.
    pub(super) fn new(
        faults: Vec<FaultSpec>,
        rules: Vec<FaultRule>,
        prices: impl Iterator<Item = Prices>,
        seed: u64,
        agenda: &mut Agenda,
    ) -> FaultInjector {
        let prices = prices.collect();
        FaultInjector { schedule: FaultSchedule::new(faults, rules, seed, agenda), prices }
    }

    /// Schedules a fault somebody makes by hand.
    pub(super) fn by_hand(&mut self, fault: FaultSpec, agenda: &mut Agenda) {
        self.schedule.by_hand(fault, agenda);
    }

    /// A fault begins. Returns what everyone hears of it.
    pub(super) fn begin(&self, number: u32, backends: &mut Backends) -> Input {
        let fault = self.schedule.fault(number);
        let now = backends.now;
        for node in &fault.nodes {
            let (there, mut outbox) = backends.at(*node);
            there.fault(now, number, fault.kind, &mut outbox);
            tell_fleet(*node, fault.kind, backends);
        }
        let mut mark = self.mark(number, MarkPhase::Begin);
        if mark.by == MarkBy::Person && fault.kind == FaultKind::Crash {
            mark.what = "kill".to_owned();
        }
        Input::Control(Control::Mark(mark))
    }

    /// A fault ends. Silent if every node was healed before.
    pub(super) fn end(&mut self, number: u32, backends: &mut Backends) -> Option<Input> {
        let fault = self.schedule.fault(number);
        let now = backends.now;
        let mut any = false;
        for node in &fault.nodes {
            let (there, mut outbox) = backends.at(*node);
            let ended = there.heal(now, number, &mut outbox);
            if ended && fault.kind.is_of_fleet() {
                self.undo(*node, fault.kind, backends);
            }
            any |= ended;
        }
        self.schedule.over(now, number, &mut backends.agenda);
        any.then(|| Input::Control(Control::Mark(self.mark(number, MarkPhase::End))))
    }

    /// Ends every fault of a node that was made by hand. What was planned goes on.
    pub(super) fn heal(&self, node: NodeId, backends: &mut Backends) {
        let now = backends.now;
        let all = backends.node(node).numbered_faults();
        let by_hand: Vec<(u32, FaultKind)> =
            all.filter(|(number, _)| self.schedule.is_by_hand(*number)).collect();
        if by_hand.is_empty() {
            return;
        }
        for (number, kind) in by_hand {
            let (there, mut outbox) = backends.at(node);
            there.heal(now, number, &mut outbox);
            if kind.is_of_fleet() {
                self.undo(node, kind, backends);
            }
        }
        let (by, nodes, what) = (MarkBy::Person, vec![node], "heal".to_owned());
        let mark = Control::Mark(Mark { by, nodes, phase: MarkPhase::End, what });
        backends.schedule(Rank::Control, Scheduled::Control(Box::new(mark)));
    }

    fn mark(&self, number: u32, phase: MarkPhase) -> Mark {
        let fault = self.schedule.fault(number);
        let by = match self.schedule.is_by_hand(number) {
            true => MarkBy::Person,
            false => MarkBy::Scenario,
        };
        Mark { by, nodes: fault.nodes.clone(), phase, what: fault.kind.words() }
    }

    /// A fault of what the balancer is told of a node has ended: what still lasts counts, or what is
    /// configured.
    fn undo(&self, node: NodeId, kind: FaultKind, backends: &mut Backends) {
        if let Some(change) = self.undone(node, kind, backends) {
            backends.schedule(Rank::Fleet, Scheduled::Change(Box::new(change)));
        }
    }

    fn undone(&self, node: NodeId, kind: FaultKind, backends: &Backends) -> Option<FleetChange> {
        let mut others = backends.node(node).faults();
        match kind {
            FaultKind::Reprice(_) => {
                let last = others.filter_map(|kind| match kind {
                    FaultKind::Reprice(prices) => Some(prices),
                    _ => None,
                });
                let prices = last.last().or_else(|| self.prices.get(node.index()).copied());
                prices.map(|prices| FleetChange::Reprice(node, prices))
            }
            FaultKind::Drain if !others.any(|kind| kind == FaultKind::Drain) => {
                Some(FleetChange::Resume(node))
            }
            _ => None,
        }
    }
}

/// The balancer is told of a fault that happens to its fleet.
fn tell_fleet(node: NodeId, kind: FaultKind, backends: &mut Backends) {
    let change = match kind {
        FaultKind::Reprice(prices) => FleetChange::Reprice(node, prices),
        FaultKind::Drain => FleetChange::Drain(node),
        _ => return,
    };
    backends.schedule(Rank::Fleet, Scheduled::Change(Box::new(change)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Dist;
    use crate::node::{BackendSpec, SimNode, SlotsSpec, Upcoming};
    use crate::unit::{Price, Span, Time};

    fn prices(dollars: f64) -> Prices {
        Prices { input: Price::from_dollars(dollars), ..Prices::default() }
    }

    /// Two nodes, and these faults of the second.
    fn world(kinds: &[FaultKind]) -> (FaultInjector, Backends) {
        let service = Dist::constant(1.0).expect("finite");
        let slots = SlotsSpec { servers: 1, queue: 1, service, per_item: Span::ZERO };
        let nodes =
            SimNode::all(&[BackendSpec::Slots(slots.clone()), BackendSpec::Slots(slots)], 1, None);
        let mut backends = Backends::new(nodes, None);
        let fault = |kind| FaultSpec { at: Time::ZERO, lasts: None, kind, nodes: vec![NodeId(1)] };
        let faults = kinds.iter().map(|kind| fault(*kind)).collect();
        let usual = [prices(1.0); 2].into_iter();
        let faults = FaultInjector::new(faults, Vec::new(), usual, 1, &mut backends.agenda);
        while backends.agenda.next(None, None, Time::MAX).is_some() {}
        (faults, backends)
    }

    /// What the balancer is told of its fleet.
    fn changes(backends: &mut Backends) -> Vec<FleetChange> {
        let next = || match backends.agenda.next(None, None, Time::MAX)? {
            Upcoming::Scheduled(_, Scheduled::Change(change)) => Some(*change),
            other => panic!("a change: {other:?}"),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn prices_are_what_the_last_fault_that_lasts_says_and_then_as_configured() {
        let [dear, dearer] = [5.0, 9.0].map(|usd| FaultKind::Reprice(prices(usd)));
        let (mut faults, mut backends) = world(&[dear, dearer]);
        let told = |usd| vec![FleetChange::Reprice(NodeId(1), prices(usd))];
        for (number, usd) in [(0, 5.0), (1, 9.0)] {
            faults.begin(number, &mut backends);
            assert_eq!(changes(&mut backends), told(usd));
        }
        assert!(faults.end(1, &mut backends).is_some());
        assert_eq!(changes(&mut backends), told(5.0));
        assert!(faults.end(0, &mut backends).is_some());
        assert_eq!(changes(&mut backends), told(1.0));
    }

    #[test]
    fn a_node_goes_on_when_its_last_drain_is_over() {
        let (mut faults, mut backends) = world(&[FaultKind::Drain, FaultKind::Drain]);
        faults.begin(0, &mut backends);
        faults.begin(1, &mut backends);
        assert_eq!(changes(&mut backends).len(), 2);
        assert!(faults.end(0, &mut backends).is_some());
        assert_eq!(changes(&mut backends), [], "the other one lasts");
        assert!(faults.end(1, &mut backends).is_some());
        assert_eq!(changes(&mut backends), [FleetChange::Resume(NodeId(1))]);
    }

    #[test]
    fn who_heals_ends_what_was_made_by_hand_and_nothing_that_was_planned() {
        let (mut faults, mut backends) = world(&[FaultKind::Drain]);
        faults.begin(0, &mut backends);
        assert_eq!(changes(&mut backends), [FleetChange::Drain(NodeId(1))]);
        faults.heal(NodeId(1), &mut backends);
        assert!(backends.agenda.next(None, None, Time::MAX).is_none(), "there is nothing to heal");
        let drain = FaultSpec {
            at: Time::ZERO,
            lasts: None,
            kind: FaultKind::Drain,
            nodes: vec![NodeId(1)],
        };
        faults.by_hand(drain, &mut backends.agenda);
        while backends.agenda.next(None, None, Time::MAX).is_some() {}
        faults.begin(1, &mut backends);
        assert_eq!(changes(&mut backends).len(), 1);
        faults.heal(NodeId(1), &mut backends);
        let heard = std::iter::from_fn(|| backends.agenda.next(None, None, Time::MAX));
        let heard: Vec<String> = heard.map(|next| format!("{next:?}")).collect();
        assert!(heard.len() == 1 && heard[0].contains("heal"), "the planned one lasts: {heard:?}");
        assert!(faults.end(1, &mut backends).is_none(), "it was healed before");
        assert!(faults.end(0, &mut backends).is_some());
        assert_eq!(changes(&mut backends), [FleetChange::Resume(NodeId(1))]);
    }
}

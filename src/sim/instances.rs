//! Many balancers over the same nodes: who gets a request, and what they tell each other.
//!
//! Each instance is a machine of its own, with its own ledger, health, learnt lengths, waiting room
//! and draws. A request goes to one of them by a draw keyed by its conversation, or by itself. What
//! peers have in flight and what nodes report is sent at a fixed interval and arrives a fixed delay
//! later, so every figure has a known age. Instances never see each other's state in any other way.
//!
//! Their events are one stream: requests and attempts of all of them, word of people and changes of
//! the fleet once, and a node in the worst state that any instance has for it.

use std::collections::VecDeque;

use crate::balance::{
    Action, Attempt, Balancer, Config, Control, Effects, Event, Input, NodeReport, NodeState,
    PeerLoad, PeerNode, ReportFreshness, Request, Strategy, Totals,
};
use crate::id_map::IdMap;
use crate::node::SimNode;
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, PeerId, PoolId, RequestId, Span, Time};

/// A simulation has at most so many balancers.
pub const INSTANCES_MAX: u64 = 64;

/// How often something is told, and how long it takes to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The interval; above zero.
    pub every: Span,
    /// From the sender's reading to the receiver's.
    pub delay: Span,
}

/// How many balancers there are, and what they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instances {
    /// From one to [`INSTANCES_MAX`].
    pub count: u32,
    /// What each has in flight, to all others.
    pub share: Option<Exchange>,
    /// What each node says of itself, to all.
    pub reports: Option<Exchange>,
}

impl Default for Instances {
    /// One balancer, which nobody tells anything.
    fn default() -> Instances {
        Instances { count: 1, share: None, reports: None }
    }
}

/// Something under way to its readers; what was read at one time arrives at one time.
#[derive(Debug)]
struct Mail<T> {
    exchange: Option<Exchange>,
    under_way: VecDeque<T>,
}

impl<T> Mail<T> {
    const fn new(exchange: Option<Exchange>) -> Mail<T> {
        Mail { exchange, under_way: VecDeque::new() }
    }
}

/// All balancers of a simulation.
#[derive(Debug)]
pub(super) struct Balancers {
    all: Vec<Balancer>,
    /// Keys the draw of who gets a request.
    key: u64,
    /// Whose a request is, while its balancer knows it; unused with one balancer.
    owners: IdMap<u32>,
    share: Mail<Vec<Vec<PeerNode>>>,
    reports: Mail<Vec<Option<NodeReport>>>,
    /// Inputs that are due now.
    outbox: VecDeque<(usize, Input)>,
    /// By node: the state that was last declared; unused with one balancer.
    shown: Vec<NodeState>,
}

impl Balancers {
    /// # Panics
    /// If there are to be none or too many, or the configuration contradicts itself.
    pub(super) fn new(config: &Config, instances: &Instances) -> Balancers {
        assert!((1..=INSTANCES_MAX as u32).contains(&instances.count), "1 to 64 balancers");
        let one = |instance| {
            let view = ReportFreshness { instance, ..config.view };
            Balancer::new(Config { view, ..config.clone() })
        };
        Balancers {
            all: (0..instances.count).map(one).collect(),
            key: Rng::stream(config.seed, "instances").bits(),
            owners: IdMap::default(),
            share: Mail::new(instances.share.filter(|_| instances.count > 1)),
            reports: Mail::new(instances.reports),
            outbox: VecDeque::new(),
            shown: Vec::new(),
        }
    }

    pub(super) fn all(&self) -> &[Balancer] {
        &self.all
    }

    /// Lets one balancer handle an input. Its effects are exchanged for those it was given.
    #[inline]
    pub(super) fn handle(&mut self, to: usize, now: Time, input: Input, effects: &mut Effects) {
        let ended = match &input {
            Input::Finish(attempt, _) => Some(attempt.request),
            _ => None,
        };
        std::mem::swap(effects, self.all[to].handle(now, input));
        if !self.alone() {
            let answered = effects.actions.iter().filter_map(|action| match action {
                Action::Answer { request, .. } => Some(*request),
                _ => None,
            });
            answered.chain(ended).for_each(|request| self.forget(to, request));
        }
    }

    /// Lets a pool of one balancer choose by another strategy.
    pub(super) fn use_strategy(
        &mut self,
        at: usize,
        pool: PoolId,
        make: impl FnMut() -> Box<dyn Strategy>,
    ) {
        self.all[at].use_strategy(pool, make);
    }

    pub(super) fn each(&mut self, change: impl FnMut(&mut Balancer)) {
        self.all.iter_mut().for_each(change);
    }

    fn alone(&self) -> bool {
        self.all.len() == 1
    }

    /// Returns the earliest wake and whose it is; of equal ones the first.
    pub(super) fn wake_at(&self) -> Option<(Time, usize)> {
        let wakes = self.all.iter().enumerate();
        wakes.filter_map(|(at, balancer)| Some((balancer.wake_at()?, at))).min()
    }

    pub(super) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for totals in self.all.iter().map(Balancer::totals) {
            sum.arrived += totals.arrived;
            sum.settled += totals.settled;
            sum.dispatched += totals.dispatched;
            sum.ended += totals.ended;
            sum.late_words += totals.late_words;
            sum.area += totals.area;
            sum.sojourn += totals.sojourn;
        }
        sum
    }

    pub(super) fn only_nodes_can_tell(&self) -> bool {
        self.all.iter().all(Balancer::only_nodes_can_tell)
    }

    // ----- who hears what -----

    /// Returns the balancer that an input is for. What is for all goes to the first now and to the
    /// others right after.
    #[inline]
    pub(super) fn address(&mut self, input: &Input) -> usize {
        if self.alone() {
            return 0;
        }
        match input {
            Input::Arrive(request) => {
                let owner = self.draw(request);
                self.owners.insert(request.id, owner);
                owner as usize
            }
            Input::Progress(Attempt { request, .. }, _)
            | Input::Keeps(Attempt { request, .. }, _)
            | Input::Finish(Attempt { request, .. }, _)
            | Input::Cancel(request) => self.owners.get(*request).map_or(0, |at| *at as usize),
            Input::Control(Control::Strategy(..) | Control::Weight(..)) | Input::Fleet(_) => {
                for other in 1..self.all.len() {
                    self.outbox.push_back((other, input.clone()));
                }
                0
            }
            // Marks and news of jobs are heard once; the others are addressed by whoever makes them.
            Input::Control(Control::Mark(_))
            | Input::Job(_)
            | Input::Probed(..)
            | Input::Report(..)
            | Input::Peer(..)
            | Input::Feedback(..)
            | Input::Graded(_)
            | Input::Wake => 0,
        }
    }

    /// Every balancer is equally likely; a conversation stays with one.
    fn draw(&self, request: &Request) -> u32 {
        let key = match request.session {
            Some(session) => mix(mix(self.key, 1), session),
            None => mix(mix(self.key, 0), request.id.0),
        };
        Rng::from_key(key).below(self.all.len()) as u32
    }

    /// Forgets whose a request was once its balancer has no more to do with it.
    fn forget(&mut self, at: usize, request: RequestId) {
        if !self.all[at].knows(request) {
            self.owners.remove(request);
        }
    }

    /// Makes the events of one balancer those that all balancers together declare.
    pub(super) fn declare(&mut self, at: usize, events: &mut Vec<Event>) {
        if !self.alone() {
            events.retain_mut(|event| self.is_declared(at, event));
        }
    }

    /// Makes an event what all balancers together declare. Returns whether they do.
    fn is_declared(&mut self, at: usize, event: &mut Event) -> bool {
        match event {
            Event::NodeState { node, from, to, .. } => {
                let states = self.all.iter().map(Balancer::fleet);
                let states = states.filter(|fleet| fleet.knows(*node));
                let Some(worst) = states.map(|fleet| fleet.node(*node).state()).max() else {
                    return false;
                };
                if self.shown.len() <= node.index() {
                    self.shown.resize(node.index() + 1, NodeState::Up);
                }
                *from = std::mem::replace(&mut self.shown[node.index()], worst);
                *to = worst;
                from != to
            }
            Event::Strategy { .. } | Event::NodeChanged { .. } | Event::Mark(_) => at == 0,
            _ => true,
        }
    }

    // ----- what they are told -----

    /// The intervals at which something is read for the first time, and then again.
    pub(super) fn intervals(&self) -> [Option<Exchange>; 2] {
        [self.share.exchange, self.reports.exchange]
    }

    /// Every instance's requests in flight are read.
    pub(super) fn read_shares(&mut self) {
        let read = self.all.iter().map(|balancer| balancer.fleet().ledgers()).collect();
        self.share.under_way.push_back(read);
    }

    /// What was read first of what is under way arrives at all others.
    pub(super) fn deliver_shares(&mut self) {
        let age = self.share.exchange.map_or(Span::ZERO, |exchange| exchange.delay);
        let read = self.share.under_way.pop_front().unwrap_or_default();
        for (from, nodes) in read.into_iter().enumerate() {
            let word = PeerLoad { age, epoch: 0, nodes };
            for to in (0..self.all.len()).filter(|&to| to != from) {
                self.outbox.push_back((to, Input::Peer(PeerId(from as u16), word.clone())));
            }
        }
    }

    /// Every node says what it has.
    pub(super) fn read_reports(&mut self, now: Time, nodes: &[SimNode]) {
        let read = nodes.iter().map(|node| node.report(now)).collect();
        self.reports.under_way.push_back(read);
    }

    /// What nodes said first of what is under way arrives at all balancers.
    pub(super) fn deliver_reports(&mut self) {
        let age = self.reports.exchange.map_or(Span::ZERO, |exchange| exchange.delay);
        let read = self.reports.under_way.pop_front().unwrap_or_default();
        for (node, report) in read.into_iter().enumerate() {
            let Some(report) = report else { continue };
            let word = Input::Report(NodeId(node as u32), NodeReport { age, ..report });
            for to in 0..self.all.len() {
                self.outbox.push_back((to, word.clone()));
            }
        }
    }

    /// Takes the next input that is due now.
    pub(super) fn due(&mut self) -> Option<(usize, Input)> {
        self.outbox.pop_front()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.outbox.is_empty()
    }
}

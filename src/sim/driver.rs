//! The driver: five lines of loop around the balancer, and the executor that carries out its actions
//! on simulated nodes.

use super::agenda::{Agenda, Next};
use super::instances::{Balancers, Instances};
use crate::balance::{
    Action, Balancer, Config, Control, Effects, Event, Input, Mark, MarkBy, MarkPhase, Totals,
};
use crate::id_map::IdMap;
use crate::node::{BackendSpec, Diary, Due, FaultKind, FaultSpec, Node, Rank, Tell, Work};
use crate::unit::{NodeId, Span, Time, Tokens};
use crate::workload::{TraceError, Traffic, Truth};

/// After the last arrival, a run in which nothing settles for so long is over.
const STALL_MAX: Span = Span::from_secs(86_400);

/// Everything a simulation is made of.
#[derive(Debug)]
pub struct Parts {
    /// The balancer's configuration.
    pub config: Config,
    /// Back ends, by node.
    pub backends: Vec<BackendSpec>,
    /// Faults on the schedule.
    pub faults: Vec<FaultSpec>,
    /// The gap after which a stream counts as stalled.
    pub inter_token: Option<Span>,
    /// How many balancers there are, and what they are told.
    pub instances: Instances,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An input was handled.
    Handled,
    /// Nothing is left to happen.
    Done,
}

impl Diary for Agenda {
    fn enter(&mut self, at: Time, rank: Rank, due: Due) {
        Agenda::enter(self, at, rank, due);
    }
}

/// A request under way, as only the executor knows it.
#[derive(Clone, Copy, Debug)]
struct Flight {
    prompt: Tokens,
    truth: Truth,
}

/// The executor: simulated nodes and what will happen to them.
#[derive(Debug)]
struct World {
    now: Time,
    nodes: Vec<Node>,
    agenda: Agenda,
    flights: IdMap<Flight>,
    faults: Vec<FaultSpec>,
    /// So many of them are the scenario's; the others are a person's.
    scheduled: usize,
}

/// A simulation in progress.
pub struct Sim {
    balancers: Balancers,
    /// Kept for its capacity.
    effects: Effects,
    world: World,
    traffic: Box<dyn Traffic>,
    /// When the next arrival comes, as things are.
    arrival: Option<Time>,
    /// When something last settled or arrived.
    moved: Time,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("world", &self.world).finish_non_exhaustive()
    }
}

impl Sim {
    /// A simulation at time zero.
    ///
    /// # Errors
    /// If the traffic fails on its first arrival.
    ///
    /// # Panics
    /// If there is not exactly one back end a node, or the configuration contradicts itself.
    pub fn new(parts: Parts, mut traffic: Box<dyn Traffic>) -> Result<Sim, Vec<TraceError>> {
        assert!(parts.backends.len() == parts.config.nodes.len(), "one back end a node");
        let arrival = traffic.peek()?;
        let seed = parts.config.seed;
        let nodes = parts.backends.iter().enumerate();
        let nodes = nodes
            .map(|(id, spec)| Node::new(NodeId(id as u32), spec, seed, parts.inter_token))
            .collect();
        let mut agenda = Agenda::default();
        for (number, fault) in parts.faults.iter().enumerate() {
            agenda.enter(fault.at, Rank::Fleet, Due::FaultBegins(number as u32));
            if let Some(lasts) = fault.lasts {
                agenda.enter(fault.at + lasts, Rank::Fleet, Due::FaultEnds(number as u32));
            }
        }
        let balancers = Balancers::new(&parts.config, &parts.instances);
        let ticks = balancers.intervals().into_iter().zip([Tell::Share, Tell::Report]);
        for (exchange, tell) in ticks {
            if let Some(exchange) = exchange {
                agenda.enter(Time::ZERO + exchange.every, Rank::Report, Due::Tell(tell));
            }
        }
        let (flights, faults) = (IdMap::default(), parts.faults);
        let scheduled = faults.len();
        let world = World { now: Time::ZERO, nodes, agenda, flights, faults, scheduled };
        let effects = Effects::default();
        Ok(Sim { balancers, effects, world, traffic, arrival, moved: Time::ZERO })
    }

    /// Returns simulated time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.world.now
    }

    /// Returns the balancer, the first if there are many.
    #[must_use]
    pub fn balancer(&self) -> &Balancer {
        &self.balancers.all()[0]
    }

    /// Returns every balancer.
    #[must_use]
    pub fn balancers(&self) -> &[Balancer] {
        self.balancers.all()
    }

    /// Returns the sums over all balancers.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.balancers.totals()
    }

    /// Handles the one input that comes next. `record` hears the input, `sink` every event.
    ///
    /// # Errors
    /// If a trace cannot be read any further.
    pub fn step(
        &mut self,
        record: &mut impl FnMut(Time, &Input),
        sink: &mut impl FnMut(Time, &Event),
    ) -> Result<Step, Vec<TraceError>> {
        let Some((now, to, input)) = self.next()? else {
            return Ok(Step::Done);
        };
        self.world.now = now;
        record(now, &input);
        let ended = match &input {
            Input::Finish(attempt, _) => Some(attempt.request),
            _ => None,
        };
        std::mem::swap(&mut self.effects, self.balancers.get_mut(to).handle(now, input));
        for event in self.effects.events.drain(..) {
            if matches!(event, Event::Settled(_) | Event::Arrived { .. }) {
                self.moved = now;
            }
            if let Some(event) = self.balancers.declare(to, event) {
                sink(now, &event);
            }
        }
        let mut answered = false;
        for action in self.effects.actions.drain(..) {
            if let Action::Answer(request, fate) = action {
                self.traffic.settled(now, request, fate);
                self.balancers.forget(to, request);
                answered = true;
            }
            self.world.carry_out(to as u32, action);
        }
        if let Some(request) = ended {
            self.balancers.forget(to, request);
        }
        if answered {
            self.arrival = self.traffic.peek()?;
        }
        Ok(Step::Handled)
    }

    /// Lets the person at the screen change something now.
    pub fn control(&mut self, control: Control) {
        self.world.control(control);
    }

    /// Crashes a node until it is healed.
    pub fn kill(&mut self, node: NodeId) {
        self.world.kill(node);
    }

    /// Ends every fault of a node.
    pub fn heal(&mut self, node: NodeId) {
        self.world.heal(node);
    }

    /// Returns when the next input comes at the earliest; `None` when nothing is left to happen.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        if self.arrival.is_none() && self.over() {
            return None;
        }
        if self.balancers.has_due() {
            return Some(self.world.now);
        }
        let wake = self.balancers.wake_at().map(|(at, _)| at);
        let times = [self.world.agenda.first(), self.arrival, wake];
        times.into_iter().flatten().min().map(|at| at.max(self.world.now))
    }

    /// Finds what comes next and returns the input for it and whose it is.
    fn next(&mut self) -> Result<Option<(Time, usize, Input)>, Vec<TraceError>> {
        loop {
            if self.arrival.is_none() && self.over() {
                return Ok(None);
            }
            if let Some((to, input)) = self.balancers.due() {
                return Ok(Some((self.world.now, to, input)));
            }
            let (wake, sleeper) = self.balancers.wake_at().unzip();
            let Some(next) = self.world.agenda.next(self.arrival, wake) else {
                return Ok(None);
            };
            match next {
                Next::Arrival => {
                    let (at, input) = self.arrive()?;
                    return Ok(Some((at, self.balancers.address(&input), input)));
                }
                // The balancer may ask to be woken at once, never in the past.
                Next::Wake(at) => {
                    return Ok(Some((
                        at.max(self.world.now),
                        sleeper.unwrap_or_default(),
                        Input::Wake,
                    )));
                }
                Next::Due(at, Due::Tell(tell)) => {
                    self.world.now = at;
                    self.tell(at, tell);
                }
                Next::Due(at, Due::Probed(by, node, number, result)) => {
                    self.world.now = at;
                    return Ok(Some((at, by as usize, Input::Probed(node, number, result))));
                }
                Next::Due(at, due) => {
                    self.world.now = at;
                    if let Some(input) = self.world.come_due(due) {
                        return Ok(Some((at, self.balancers.address(&input), input)));
                    }
                }
            }
        }
    }

    /// Returns whether, with no arrival to come, nothing more is worth waiting for.
    fn over(&self) -> bool {
        let idle = || {
            let totals = self.balancers.totals();
            self.world.flights.is_empty() && totals.dispatched == totals.ended
        };
        // Where nodes hang for good, probes of the others would go on for ever.
        let stuck = || self.world.agenda.at_rest() && self.balancers.only_nodes_can_tell();
        idle() || self.world.now.since(self.moved) > STALL_MAX || stuck()
    }

    /// Reads what balancers are told, or lets it arrive.
    fn tell(&mut self, now: Time, tell: Tell) {
        let [share, reports] = self.balancers.intervals();
        let (exchange, arrives) = match tell {
            Tell::Share => {
                self.balancers.read_shares();
                (share, Tell::Shared)
            }
            Tell::Report => {
                self.balancers.read_reports(now, &self.world.nodes);
                (reports, Tell::Reported)
            }
            Tell::Shared => return self.balancers.deliver_shares(),
            Tell::Reported => return self.balancers.deliver_reports(),
        };
        if let Some(exchange) = exchange {
            let agenda = &mut self.world.agenda;
            agenda.enter(now + exchange.delay, Rank::Report, Due::Tell(arrives));
            agenda.enter(now + exchange.every, Rank::Report, Due::Tell(tell));
        }
    }

    fn arrive(&mut self) -> Result<(Time, Input), Vec<TraceError>> {
        let arrival = self.traffic.take();
        self.arrival = self.traffic.peek()?;
        // Traffic in disorder is its own mistake; time goes on from where it is.
        let at = arrival.at.max(self.world.now);
        let flight = Flight { prompt: arrival.request.prompt, truth: arrival.truth };
        self.world.flights.insert(arrival.request.id, flight);
        Ok((at, Input::Arrive(arrival.request)))
    }
}

impl World {
    fn control(&mut self, control: Control) {
        self.agenda.enter(self.now, Rank::Control, Due::Control(Box::new(control)));
    }

    fn mark(&mut self, phase: MarkPhase, node: NodeId, what: &str) {
        let (by, nodes, what) = (MarkBy::Person, vec![node], what.to_owned());
        self.control(Control::Mark(Mark { by, nodes, phase, what }));
    }

    fn kill(&mut self, node: NodeId) {
        let number = self.faults.len() as u32;
        let kind = FaultKind::Crash;
        self.faults.push(FaultSpec { at: self.now, lasts: None, kind, nodes: vec![node] });
        // Said before what follows from it, as with a fault of the scenario.
        self.agenda.enter(self.now, Rank::Fleet, Due::FaultBegins(number));
    }

    fn heal(&mut self, node: NodeId) {
        if self.nodes[node.index()].heal_all(self.now, &mut self.agenda) {
            self.mark(MarkPhase::End, node, "heal");
        }
    }

    fn come_due(&mut self, due: Due) -> Option<Input> {
        match due {
            Due::Job(node, job, turn) => {
                self.nodes[node.index()].fire(self.now, job, turn, &mut self.agenda)
            }
            Due::Finish(attempt, outcome) => Some(Input::Finish(attempt, outcome)),
            Due::Control(control) => Some(Input::Control(*control)),
            Due::FaultBegins(number) => Some(self.begin_fault(number)),
            Due::FaultEnds(number) => self.end_fault(number),
            Due::Probed(..) | Due::Tell(_) => unreachable!("addressed before"),
        }
    }

    fn begin_fault(&mut self, number: u32) -> Input {
        let fault = &self.faults[number as usize];
        for node in &fault.nodes {
            self.nodes[node.index()].fault(self.now, number, fault.kind, &mut self.agenda);
        }
        let mut mark = scheduled(fault, MarkPhase::Begin);
        if number as usize >= self.scheduled {
            (mark.by, mark.what) = (MarkBy::Person, "kill".to_owned());
        }
        Input::Control(Control::Mark(mark))
    }

    /// Ends a fault; silent if every node was healed before.
    fn end_fault(&mut self, number: u32) -> Option<Input> {
        let fault = &self.faults[number as usize];
        let mut any = false;
        for node in &fault.nodes {
            any |= self.nodes[node.index()].heal(self.now, number, &mut self.agenda);
        }
        any.then(|| Input::Control(Control::Mark(scheduled(fault, MarkPhase::End))))
    }

    fn carry_out(&mut self, by: u32, action: Action) {
        match action {
            Action::Dispatch { attempt, node } => {
                let flight = self.flights.get(attempt.request).expect("it is under way");
                let work = Work { attempt, prompt: flight.prompt, truth: flight.truth };
                self.nodes[node.index()].start(self.now, work, &mut self.agenda);
            }
            Action::Abort { attempt, node } => {
                self.nodes[node.index()].abort(self.now, attempt, &mut self.agenda);
            }
            Action::Probe(node, number) => {
                self.nodes[node.index()].probe(self.now, by, number, &mut self.agenda);
            }
            Action::Answer(request, _) => {
                self.flights.remove(request);
            }
        }
    }
}

fn scheduled(fault: &FaultSpec, phase: MarkPhase) -> Mark {
    let (nodes, what) = (fault.nodes.clone(), fault.kind.words());
    Mark { by: MarkBy::Scenario, nodes, phase, what }
}

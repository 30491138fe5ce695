//! The driver: five lines of loop around the balancer, and the executor that carries out its actions
//! on simulated nodes.

use super::cold::Starts;
use super::instances::{Balancers, Instances};
use super::network::{Network, NetworkSpec};
use super::oracle::{Eyes, Sight};
use super::quality::Grades;
use crate::balance::{
    Action, Attempt, Balancer, Config, Control, Effects, Event, Explain, FleetChange, Input, Mark,
    MarkBy, MarkPhase, Prices, Strategy, Totals,
};
use crate::dist::Dist;
use crate::id_map::IdMap;
use crate::node::{
    Agenda, BackendSpec, Blocks, FaultKind, FaultRule, FaultSpec, Node, Rank, Schedule, Scheduled,
    Scheduler, Tell, Upcoming, Work,
};
use crate::unit::{ClassId, NodeId, PoolId, RequestId, Span, Time, Tokens};
use crate::workload::{News, QualitySpec, TraceError, Traffic, Truth};

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
    /// By node: seconds it takes to start. Those left out start at once.
    pub cold_starts: Vec<Dist>,
    /// How long words are under way; `None` for no time at all.
    pub network: Option<NetworkSpec>,
    /// How good answers are, where that is known.
    pub quality: Option<QualitySpec>,
    /// Faults that happen again and again.
    pub fault_rules: Vec<FaultRule>,
    /// How long the executor waits for a connection; `None` is for ever.
    pub connect: Option<Span>,
}

impl Parts {
    /// Returns one balancer before these back ends, by node; nothing fails but what they say, no
    /// stream stalls, every node starts at once and no word takes time.
    #[must_use]
    pub fn new(config: Config, backends: Vec<BackendSpec>) -> Parts {
        Parts {
            config,
            backends,
            faults: Vec::new(),
            inter_token: None,
            instances: Instances::default(),
            cold_starts: Vec::new(),
            network: None,
            quality: None,
            fault_rules: Vec::new(),
            connect: None,
        }
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An input was handled.
    Handled,
    /// Nothing is left to happen.
    Done,
}

/// The agenda as a node sees it: what a node says reaches the balancer after its way back.
struct Outbox<'a> {
    agenda: &'a mut Agenda,
    network: Option<&'a Network>,
    node: NodeId,
}

impl Scheduler for Outbox<'_> {
    fn schedule(&mut self, at: Time, mut rank: Rank, due: Scheduled) {
        let back = self.network.map_or(Span::ZERO, |network| match &due {
            Scheduled::Progress(attempt, _) => {
                // Of one rank, so that the words of a node arrive in the order they were said.
                rank = Rank::Finish;
                network.attempt(self.node, *attempt).back
            }
            Scheduled::Finish(attempt, _) => network.attempt(self.node, *attempt).back,
            Scheduled::Probed(_, node, number, _) => network.probe(*node, *number).back,
            // What happens at the node itself.
            _ => Span::ZERO,
        });
        self.agenda.schedule(at + back, rank, due);
    }
}

/// A request under way, as only the executor knows it.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) prompt: Tokens,
    pub(super) class: ClassId,
    pub(super) truth: Truth,
    /// Kept only where some node asks for it.
    pub(super) prefix: Box<[u64]>,
    pub(super) prefix_block: u32,
    /// How long it is under way to the balancer.
    way: Span,
    /// Attempts dispatched; counted only while an oracle watches.
    pub(super) tries: u8,
}

/// The executor: simulated nodes and what will happen to them.
#[derive(Debug)]
struct World {
    now: Time,
    nodes: Vec<Node>,
    agenda: Agenda,
    starts: Starts,
    network: Option<Network>,
    flights: IdMap<Flight>,
    faults: Schedule,
    /// By node, as configured; empty where no fault changes them.
    prices: Vec<Prices>,
    /// Whether some node wants to know the hashes of prompts.
    keeps_prefixes: bool,
    /// Whether an oracle watches: then more is noted.
    watched: bool,
    /// Attempts under way to their nodes.
    on_way: Vec<(NodeId, Work)>,
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
    /// When the traffic has something to say beside arrivals, as things are.
    news: Option<Time>,
    /// When something last settled or arrived.
    moved: Time,
    /// The eyes of oracles, if some pool has one.
    sight: Option<Sight>,
    /// How good answers are.
    grades: Option<Grades>,
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
        let (arrival, news) = (traffic.peek()?, traffic.news_at());
        let seed = parts.config.seed;
        let mut nodes = Node::all(&parts.backends, seed, parts.inter_token);
        if let Some(connect) = parts.connect {
            nodes.iter_mut().for_each(|node| node.set_connect(connect));
        }
        let kinds = parts.faults.iter().map(|fault| fault.kind);
        let mut kinds = kinds.chain(parts.fault_rules.iter().map(|rule| rule.kind));
        let prices = match kinds.any(|kind| matches!(kind, FaultKind::Reprice(_))) {
            true => parts.config.nodes.iter().map(|node| node.prices).collect(),
            false => Vec::new(),
        };
        let mut agenda = Agenda::default();
        let faults = Schedule::new(parts.faults, parts.fault_rules, seed, &mut agenda);
        let starts = Starts::new(parts.cold_starts, seed);
        let network = parts.network.map(|spec| {
            let regions = parts.config.nodes.iter().map(|node| node.region).collect();
            Network::new(spec, regions, seed)
        });
        let grades = parts.quality.map(|spec| Grades::new(spec, &parts.config));
        let balancers = Balancers::new(&parts.config, &parts.instances);
        let ticks = balancers.intervals().into_iter().zip([Tell::Share, Tell::Report]);
        for (exchange, tell) in ticks {
            if let Some(exchange) = exchange {
                agenda.schedule(Time::ZERO + exchange.every, Rank::Report, Scheduled::Tell(tell));
            }
        }
        let flights = IdMap::default();
        let keeps_prefixes = parts.backends.iter().any(BackendSpec::keeps_prefixes);
        let now = Time::ZERO;
        let world = World {
            now,
            nodes,
            agenda,
            starts,
            network,
            flights,
            faults,
            prices,
            keeps_prefixes,
            watched: false,
            on_way: Vec::new(),
        };
        let effects = Effects::default();
        let moved = Time::ZERO;
        let mut sim =
            Sim { balancers, effects, world, traffic, arrival, news, moved, sight: None, grades };
        for (pool, spec) in parts.config.pools.iter().enumerate() {
            if spec.strategy.entry().is_bound() {
                let sight = sim.watch();
                sim.use_strategy(PoolId(pool as u16), || sight.oracle());
            }
        }
        Ok(sim)
    }

    /// Lets an oracle watch. Returns its sight.
    fn watch(&mut self) -> Sight {
        self.world.watched = true;
        self.sight.get_or_insert_default().clone()
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

    /// What a person should know of the traffic played so far.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        self.traffic.remarks()
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
        let Some((now, to, mut input)) = self.next()? else {
            return Ok(Step::Done);
        };
        self.world.now = now;
        if let (Some(grades), Input::Finish(attempt, outcome)) = (&self.grades, &mut input)
            && let Some(flight) = self.world.flights.get(attempt.request)
        {
            let node = self.balancers.all()[to].node_of(*attempt);
            grades.score(now, flight, node, outcome);
        }
        record(now, &input);
        let ended = match &input {
            Input::Finish(attempt, _) => Some(attempt.request),
            _ => None,
        };
        if let Some(sight) = &self.sight {
            self.world.exchange(&mut sight.eyes());
        }
        std::mem::swap(&mut self.effects, self.balancers.get_mut(to).handle(now, input));
        if let Some(sight) = &self.sight {
            self.world.exchange(&mut sight.eyes());
        }
        for event in &mut self.effects.events {
            if let Event::Strategy { pool, to: spec, .. } = event
                && spec.entry().is_bound()
            {
                self.world.watched = true;
                let sight = self.sight.get_or_insert_default();
                self.balancers.get_mut(to).use_strategy(*pool, || sight.oracle());
            }
            if matches!(event, Event::Settled(_) | Event::Arrived { .. }) {
                self.moved = now;
            }
            if let (Some(grades), Event::Settled(settled)) = (&mut self.grades, &*event)
                && let Some(flight) = self.world.flights.get(settled.request)
                && let Some((after, due)) = grades.settled(now, to as u32, settled, flight)
            {
                self.world.agenda.schedule(now + after, Rank::Report, due);
            }
            if self.balancers.declare(to, event) {
                sink(now, event);
            }
        }
        let mut answered = false;
        for action in self.effects.actions.drain(..) {
            if let Action::Answer { request, fate, .. } = action {
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
            self.ask_traffic()?;
        }
        Ok(Step::Handled)
    }

    /// Lets the person at the screen change something now.
    pub fn control(&mut self, control: Control) {
        self.world.control(control);
    }

    /// Says whose decisions every balancer is to explain from now on.
    pub fn explain(&mut self, whose: Explain) {
        self.balancers.each(|balancer| balancer.explain(whose));
    }

    /// Lets a pool choose by a strategy of one's own, in every balancer; see
    /// [`Balancer::use_strategy`].
    ///
    /// # Panics
    /// If there is no such pool.
    pub fn use_strategy(&mut self, pool: PoolId, mut make: impl FnMut() -> Box<dyn Strategy>) {
        self.balancers.each(|balancer| balancer.use_strategy(pool, &mut make));
    }

    /// Crashes a node until it is healed.
    pub fn kill(&mut self, node: NodeId) {
        self.fault(FaultSpec {
            at: self.now(),
            lasts: None,
            kind: FaultKind::Crash,
            nodes: vec![node],
        });
    }

    /// Lets something go wrong as soon as the time of the fault has come, at once if that is past.
    /// Prices that a fault changes by hand stay as they are when it ends.
    pub fn fault(&mut self, fault: FaultSpec) {
        let at = fault.at.max(self.now());
        // Said before what follows from it, as with a fault of the scenario.
        self.world.faults.by_hand(FaultSpec { at, ..fault }, &mut self.world.agenda);
    }

    /// Ends every fault of a node.
    pub fn heal(&mut self, node: NodeId) {
        self.world.heal(node);
    }

    /// Returns when the next input comes at the earliest; `None` when nothing is left to happen.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        if self.grades.as_ref().is_some_and(Grades::has_next) {
            return Some(self.world.now);
        }
        if self.arrival.is_none() && self.news.is_none() && self.over() {
            return None;
        }
        if self.balancers.has_due() {
            return Some(self.world.now);
        }
        let wake = self.balancers.wake_at().map(|(at, _)| at);
        let times = [self.world.agenda.first(), self.arrival, self.news, wake];
        times.into_iter().flatten().min().map(|at| at.max(self.world.now))
    }

    /// Finds what comes next and returns the input for it and whose it is.
    fn next(&mut self) -> Result<Option<(Time, usize, Input)>, Vec<TraceError>> {
        if let Some((to, input)) = self.grades.as_mut().and_then(Grades::next) {
            return Ok(Some((self.world.now, to, input)));
        }
        loop {
            if self.arrival.is_none() && self.news.is_none() && self.over() {
                return Ok(None);
            }
            if let Some((to, input)) = self.balancers.due() {
                return Ok(Some((self.world.now, to, input)));
            }
            let outside = [self.arrival, self.news].into_iter().flatten().min();
            let (wake, sleeper) = self.balancers.wake_at().unzip();
            let Some(next) = self.world.agenda.next(outside, wake) else {
                return Ok(None);
            };
            match next {
                // News may change what arrives, so it comes first.
                Upcoming::Arrival if self.news.is_some() && self.news <= outside => {
                    let at = outside.unwrap_or_default().max(self.world.now);
                    let news = self.traffic.news(at);
                    self.ask_traffic()?;
                    if let Some(input) = news.and_then(|news| self.world.hear(at, news)) {
                        return Ok(Some((at, self.balancers.address(&input), input)));
                    }
                }
                Upcoming::Arrival => {
                    if let Some((at, input)) = self.arrive()? {
                        return Ok(Some((at, self.balancers.address(&input), input)));
                    }
                }
                // The balancer may ask to be woken at once, never in the past.
                Upcoming::Wake(at) => {
                    return Ok(Some((
                        at.max(self.world.now),
                        sleeper.unwrap_or_default(),
                        Input::Wake,
                    )));
                }
                Upcoming::Scheduled(at, Scheduled::Tell(tell)) => {
                    self.world.now = at;
                    self.tell(at, tell);
                }
                Upcoming::Scheduled(at, Scheduled::Probed(by, node, number, result)) => {
                    self.world.now = at;
                    return Ok(Some((at, by as usize, Input::Probed(node, number, result))));
                }
                Upcoming::Scheduled(at, Scheduled::Feedback(by, request, quality)) => {
                    self.world.now = at;
                    return Ok(Some((at, by as usize, Input::Feedback(request, quality))));
                }
                Upcoming::Scheduled(at, due) => {
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
            agenda.schedule(now + exchange.delay, Rank::Report, Scheduled::Tell(arrives));
            agenda.schedule(now + exchange.every, Rank::Report, Scheduled::Tell(tell));
        }
    }

    fn ask_traffic(&mut self) -> Result<(), Vec<TraceError>> {
        self.arrival = self.traffic.peek()?;
        self.news = self.traffic.news_at();
        Ok(())
    }

    /// Takes the next arrival. Returns it as an input, unless it has a way to go.
    fn arrive(&mut self) -> Result<Option<(Time, Input)>, Vec<TraceError>> {
        let arrival = self.traffic.take();
        self.ask_traffic()?;
        // Traffic in disorder is its own mistake; time goes on from where it is.
        let at = arrival.at.max(self.world.now);
        let request = &arrival.request;
        let keeps = self.world.keeps_prefixes;
        let way = self.world.network.as_ref().map(|network| network.origin(request));
        let way = way.unwrap_or_default();
        let flight = Flight {
            prompt: request.prompt,
            class: request.class,
            truth: arrival.truth,
            prefix: if keeps { request.prefix.clone() } else { Box::default() },
            prefix_block: request.prefix_block,
            way,
            tries: 0,
        };
        self.world.flights.insert(arrival.request.id, flight);
        if way == Span::ZERO {
            return Ok(Some((at, Input::Arrive(arrival.request))));
        }
        let due = Scheduled::Arrive(Box::new(arrival.request));
        self.world.agenda.schedule(at + way, Rank::Arrive, due);
        Ok(None)
    }
}

impl World {
    /// Opens the eyes of oracles, or shuts them.
    fn exchange(&mut self, eyes: &mut Eyes) {
        std::mem::swap(&mut self.nodes, &mut eyes.nodes);
        std::mem::swap(&mut self.flights, &mut eyes.flights);
        std::mem::swap(&mut self.on_way, &mut eyes.on_way);
        eyes.sent.clear();
    }

    /// Hears news of the traffic. Returns it as an input, unless it has a way to go.
    fn hear(&mut self, at: Time, news: News) -> Option<Input> {
        if let News::Cancel(request) = news
            && let Some(flight) = self.flights.get(request)
            && flight.way > Span::ZERO
        {
            // The request itself may still be under way: word of it goes the same way, behind it.
            self.agenda.schedule(at + flight.way, Rank::Cancel, Scheduled::Cancel(request));
            return None;
        }
        Some(news.into())
    }

    fn control(&mut self, control: Control) {
        self.agenda.schedule(self.now, Rank::Control, Scheduled::Control(Box::new(control)));
    }

    fn mark(&mut self, phase: MarkPhase, node: NodeId, what: &str) {
        let (by, nodes, what) = (MarkBy::Person, vec![node], what.to_owned());
        self.control(Control::Mark(Mark { by, nodes, phase, what }));
    }

    fn heal(&mut self, node: NodeId) {
        let now = self.now;
        let of_fleet: Vec<FaultKind> =
            self.nodes[node.index()].faults().filter(FaultKind::is_of_fleet).collect();
        let (there, mut outbox) = self.at(node);
        if there.heal_all(now, &mut outbox) {
            of_fleet.into_iter().for_each(|kind| self.undo(node, kind));
            self.mark(MarkPhase::End, node, "heal");
        }
    }

    fn change(&mut self, change: FleetChange) {
        self.agenda.schedule(self.now, Rank::Fleet, Scheduled::Change(Box::new(change)));
    }

    /// A fault that happens to what the balancer is told begins.
    fn tell_fleet(&mut self, node: NodeId, kind: FaultKind) {
        match kind {
            FaultKind::Reprice(prices) => self.change(FleetChange::Reprice(node, prices)),
            FaultKind::Drain => self.change(FleetChange::Drain(node)),
            _ => {}
        }
    }

    /// Such a fault of a node has ended: what still lasts counts, or what is configured.
    fn undo(&mut self, node: NodeId, kind: FaultKind) {
        let mut others = self.nodes[node.index()].faults();
        match kind {
            FaultKind::Reprice(_) => {
                let last = others.filter_map(|kind| match kind {
                    FaultKind::Reprice(prices) => Some(prices),
                    _ => None,
                });
                let prices = last.last().or_else(|| self.prices.get(node.index()).copied());
                if let Some(prices) = prices {
                    self.change(FleetChange::Reprice(node, prices));
                }
            }
            FaultKind::Drain if !others.any(|kind| kind == FaultKind::Drain) => {
                drop(others);
                self.change(FleetChange::Resume(node));
            }
            _ => {}
        }
    }

    /// Returns a node, and the outbox for what it has to say.
    fn at(&mut self, node: NodeId) -> (&mut Node, Outbox<'_>) {
        let network = self.network.as_ref();
        (&mut self.nodes[node.index()], Outbox { agenda: &mut self.agenda, network, node })
    }

    fn come_due(&mut self, due: Scheduled) -> Option<Input> {
        let now = self.now;
        match due {
            Scheduled::Job(node, job, turn) => {
                let (there, mut outbox) = self.at(node);
                let said = there.fire(now, job, turn, &mut outbox)?;
                return self.deliver(node, said);
            }
            Scheduled::Ready(node, start) => {
                let crashed = self.nodes[node.index()].crashed();
                return self.starts.over(now, node, start, crashed, &mut self.agenda);
            }
            Scheduled::Step(node, number) => {
                let (there, mut outbox) = self.at(node);
                let said = there.step(now, number, &mut outbox)?;
                return self.deliver(node, said);
            }
            Scheduled::Arrive(request) => return Some(Input::Arrive(*request)),
            Scheduled::Cancel(request) => return Some(Input::Cancel(request)),
            Scheduled::Start(node, work) => {
                if !self.on_way.is_empty() {
                    self.on_way.retain(|(_, other)| other.attempt != work.attempt);
                }
                let flight = self.flights.get(work.attempt.request);
                let blocks = flight.map_or_else(Blocks::default, |flight| Blocks {
                    hashes: &flight.prefix,
                    tokens: flight.prefix_block,
                });
                let network = self.network.as_ref();
                let mut outbox = Outbox { agenda: &mut self.agenda, network, node };
                self.nodes[node.index()].start(now, work, blocks, &mut outbox);
            }
            Scheduled::Abort(node, attempt) => {
                let (there, mut outbox) = self.at(node);
                there.abort(now, attempt, &mut outbox);
            }
            Scheduled::Probe(by, node, number) => {
                let (there, mut outbox) = self.at(node);
                there.probe(now, by, number, &mut outbox);
            }
            Scheduled::Generate(by, node, number) => {
                let (there, mut outbox) = self.at(node);
                there.generate(now, by, number, &mut outbox);
            }
            Scheduled::GiveUp(node, attempt) => return self.nodes[node.index()].give_up(attempt),
            Scheduled::Change(change) => return Some(Input::Fleet(*change)),
            Scheduled::Progress(attempt, progress) => {
                return Some(Input::Progress(attempt, progress));
            }
            Scheduled::Finish(attempt, outcome) => return Some(Input::Finish(attempt, outcome)),
            Scheduled::Probed(..) | Scheduled::Tell(_) | Scheduled::Feedback(..) => {
                unreachable!("addressed before")
            }
            Scheduled::Look(..) => unreachable!("nobody reads a simulated stream"),
            Scheduled::Control(control) => return Some(Input::Control(*control)),
            Scheduled::FaultBegins(number) => return Some(self.begin_fault(number)),
            Scheduled::FaultEnds(number) => return self.end_fault(number),
        }
        None
    }

    /// Returns what a node says as an input, unless it has a way to go.
    fn deliver(&mut self, node: NodeId, said: Input) -> Option<Input> {
        let Some(network) = &self.network else {
            return Some(said);
        };
        let (attempt, due) = match said {
            Input::Progress(attempt, progress) => (attempt, Scheduled::Progress(attempt, progress)),
            Input::Finish(attempt, outcome) => (attempt, Scheduled::Finish(attempt, outcome)),
            said => return Some(said),
        };
        let back = network.attempt(node, attempt).back;
        if back == Span::ZERO {
            return self.come_due(due);
        }
        // Of one rank, so that the words of a node arrive in the order they were said: the first token
        // of an answer of one token comes before its end.
        self.agenda.schedule(self.now + back, Rank::Finish, due);
        None
    }

    /// Lets something reach a node: at once, or after its way.
    fn send(&mut self, out: Span, due: Scheduled) {
        if out == Span::ZERO {
            let said = self.come_due(due);
            debug_assert!(said.is_none(), "a node says what it says through the agenda");
        } else {
            // In the order they were sent, and like arrivals after everything that frees capacity.
            self.agenda.schedule(self.now + out, Rank::Arrive, due);
        }
    }

    fn out(&self, node: NodeId, attempt: Attempt) -> Span {
        self.network.as_ref().map_or(Span::ZERO, |network| network.attempt(node, attempt).out)
    }

    fn begin_fault(&mut self, number: u32) -> Input {
        let fault = self.faults.fault(number).clone();
        for node in &fault.nodes {
            let now = self.now;
            let (there, mut outbox) = self.at(*node);
            there.fault(now, number, fault.kind, &mut outbox);
            self.tell_fleet(*node, fault.kind);
        }
        let mut mark = scheduled(&fault, MarkPhase::Begin);
        if self.faults.is_by_hand(number) {
            mark.by = MarkBy::Person;
            if fault.kind == FaultKind::Crash {
                mark.what = "kill".to_owned();
            }
        }
        Input::Control(Control::Mark(mark))
    }

    /// Ends a fault; silent if every node was healed before.
    fn end_fault(&mut self, number: u32) -> Option<Input> {
        let fault = self.faults.fault(number).clone();
        let mut any = false;
        for node in &fault.nodes {
            let now = self.now;
            let (there, mut outbox) = self.at(*node);
            let ended = there.heal(now, number, &mut outbox);
            if ended && fault.kind.is_of_fleet() {
                self.undo(*node, fault.kind);
            }
            any |= ended;
        }
        self.faults.over(self.now, number, &mut self.agenda);
        let mut mark = scheduled(&fault, MarkPhase::End);
        if self.faults.is_by_hand(number) {
            mark.by = MarkBy::Person;
        }
        any.then_some(Input::Control(Control::Mark(mark)))
    }

    /// Notes an attempt for the oracles.
    fn note(&mut self, node: NodeId, work: Work, out: Span) {
        if let Some(flight) = self.flights.get_mut(work.attempt.request) {
            flight.tries = work.attempt.ordinal.saturating_add(1);
        }
        if out > Span::ZERO {
            self.on_way.push((node, work));
        }
    }

    fn carry_out(&mut self, by: u32, action: Action) {
        match action {
            Action::Dispatch { attempt, node, batch, resumed, clamp } => {
                let flight = self.flights.get(attempt.request).expect("it is under way");
                let (prompt, mut truth) = (flight.prompt + resumed, flight.truth);
                truth.output = clamp.map_or(truth.output, |most| most.min(truth.output));
                if resumed > Tokens::ZERO {
                    truth.output = truth.output.less(resumed).max(Tokens(1));
                }
                let work = Work { attempt, prompt, truth, batch };
                // Those of a batch travel together.
                let parcel = batch.map_or(attempt, |batch| Attempt {
                    request: RequestId(batch.number),
                    ordinal: u8::MAX,
                });
                let out = self.out(node, parcel);
                if self.watched {
                    self.note(node, work, out);
                }
                self.send(out, Scheduled::Start(node, work));
            }
            Action::Abort { attempt, node } => {
                self.send(self.out(node, attempt), Scheduled::Abort(node, attempt));
            }
            Action::Probe(node, number) => {
                let network = self.network.as_ref();
                let out = network.map_or(Span::ZERO, |network| network.probe(node, number).out);
                self.send(out, Scheduled::Probe(by, node, number));
            }
            Action::Generate(node, number) => {
                let network = self.network.as_ref();
                let out = network.map_or(Span::ZERO, |network| network.probe(node, number).out);
                self.send(out, Scheduled::Generate(by, node, number));
            }
            Action::Start(node) => self.starts.begin(self.now, node, &mut self.agenda),
            Action::Stop(node) => self.starts.call_off(node),
            Action::Answer { request, .. } => {
                self.flights.remove(request);
            }
        }
    }
}

fn scheduled(fault: &FaultSpec, phase: MarkPhase) -> Mark {
    let (nodes, what) = (fault.nodes.clone(), fault.kind.words());
    Mark { by: MarkBy::Scenario, nodes, phase, what }
}

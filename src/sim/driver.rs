//! The driver: five lines of loop around the balancer.
//!
//! Take what comes next, record it, let the balancer handle it, hand on every event, carry out every
//! action. What comes next is the earliest of the agenda, the traffic and the balancer's wake.

use super::act::{Act, Deed, load_mark};
use super::instances::Balancers;
use super::oracle::OracleHandle;
use super::quality::QualityGrader;
use super::source::TrafficSource;
use super::spec::SimSpec;
use super::world::World;
use crate::balance::{
    Action, Attempt, Balancer, Control, Effects, Event, Explain, Input, Strategy, Totals,
};
use crate::node::{FaultKind, FaultSpec, Rank, Scheduled, Scheduler, Tell, Upcoming};
use crate::unit::{NodeId, PoolId, Span, Time};
use crate::workload::{TraceError, Traffic};

/// After the last arrival, a run in which nothing settles for so long is over.
const STALL_MAX: Span = Span::from_secs(86_400);

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An input was handled.
    Handled,
    /// Nothing is left to happen.
    Done,
}

/// An input, when it comes, and by its place the balancer it is for.
type Addressed = (Time, usize, Input);

/// What comes next.
enum ComesNext {
    /// This input.
    Input(Addressed),
    /// Something, but not yet.
    Later,
    /// Nothing.
    Nothing,
}

/// A simulation in progress.
pub struct Sim {
    balancers: Balancers,
    /// What the balancer decided last; kept for its capacity.
    effects: Effects,
    world: World,
    traffic: TrafficSource,
    /// When something last settled or arrived.
    moved: Time,
    /// What oracles look through, if some pool has one.
    oracle: Option<OracleHandle>,
    /// How good answers are.
    grader: Option<QualityGrader>,
    /// What people did and will do; the agenda names it by number.
    acts: Vec<Act>,
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
    pub fn new(mut spec: SimSpec, traffic: Box<dyn Traffic>) -> Result<Sim, Vec<TraceError>> {
        assert!(spec.backends.len() == spec.config.nodes.len(), "one back end a node");
        let traffic = TrafficSource::new(traffic)?;
        let mut world = World::new(&mut spec);
        let grader = spec.quality.map(|quality| QualityGrader::new(quality, &spec.config));
        let balancers = Balancers::new(&spec.config, &spec.instances);
        let ticks = balancers.intervals().into_iter().zip([Tell::Share, Tell::Report]);
        for (exchange, tell) in ticks {
            if let Some(exchange) = exchange {
                let at = Time::ZERO + exchange.every;
                world.backends.agenda.schedule(at, Rank::Report, Scheduled::Tell(tell));
            }
        }
        let (effects, moved) = (Effects::default(), Time::ZERO);
        let (oracle, acts) = (None, Vec::new());
        let mut sim = Sim { balancers, effects, world, traffic, moved, oracle, grader, acts };
        std::mem::take(&mut spec.acts).into_iter().for_each(|act| sim.act(act));
        for (pool, pool_spec) in spec.config.pools.iter().enumerate() {
            if pool_spec.strategy.entry().is_bound() {
                let oracle = sim.watch();
                sim.use_strategy(PoolId(pool as u16), || oracle.strategy());
            }
        }
        Ok(sim)
    }

    /// Use of the nodes' KV caches counts from then on.
    pub fn measure_from(&mut self, from: Time) {
        self.world.backends.nodes.iter_mut().for_each(|node| node.measure_from(from));
    }

    /// Returns by node which share of its KV cache was used until now, in the mean over time and at most;
    /// `None` where it has none.
    pub fn kv_use(&self) -> impl Iterator<Item = Option<(f64, f64)>> {
        let (nodes, now) = (&self.world.backends.nodes, self.now());
        nodes.iter().map(move |node| node.kv_use(now).map(|used| (used.mean, used.most)))
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
        self.step_until(Time::MAX, record, sink).map(|step| step.unwrap_or(Step::Done))
    }

    /// Does the same, unless that input comes after `until`: `None` then.
    ///
    /// # Errors
    /// If a trace cannot be read any further.
    #[inline]
    pub fn step_until(
        &mut self,
        until: Time,
        record: &mut impl FnMut(Time, &Input),
        sink: &mut impl FnMut(Time, &Event),
    ) -> Result<Option<Step>, Vec<TraceError>> {
        let (now, to, input) = match self.next(until)? {
            ComesNext::Input(next) => next,
            ComesNext::Later => return Ok(None),
            ComesNext::Nothing => return Ok(Some(Step::Done)),
        };
        record(now, &input);
        self.handle(now, to, input);
        self.effects.events.iter().for_each(|event| sink(now, event));
        self.carry_out(now, to)?;
        Ok(Some(Step::Handled))
    }

    // ----- the five lines, one by one -----

    /// Lets the balancer handle an input, while oracles look, and learns from its events.
    fn handle(&mut self, now: Time, to: usize, input: Input) {
        self.world.set_now(now);
        if let Some(oracle) = &self.oracle {
            self.world.exchange(&mut oracle.view());
        }
        self.balancers.handle(to, now, input, &mut self.effects);
        if let Some(oracle) = &self.oracle {
            self.world.exchange(&mut oracle.view());
        }
        for at in 0..self.effects.events.len() {
            self.observe(now, to, at);
        }
        self.balancers.declare(to, &mut self.effects.events);
    }

    /// Carries out what the balancer decided.
    fn carry_out(&mut self, now: Time, to: usize) -> Result<(), Vec<TraceError>> {
        for action in self.effects.actions.drain(..) {
            if let Action::Answer { request, fate, .. } = action {
                self.traffic.settled(now, request, fate);
            }
            self.world.carry_out(to as u32, action);
        }
        self.traffic.go_on()
    }

    /// Learns from the event at this place: when something moved, what a grade is given for, and
    /// whether somebody asks an oracle from now on.
    fn observe(&mut self, now: Time, to: usize, at: usize) {
        match &self.effects.events[at] {
            Event::Arrived { .. } => self.moved = now,
            Event::Settled(settled) => {
                self.moved = now;
                if let Some(grader) = &mut self.grader
                    && let Some(request) = self.world.request(settled.request)
                    && let Some((after, due)) = grader.settled(now, to as u32, settled, request)
                {
                    self.world.backends.agenda.schedule(now + after, Rank::Report, due);
                }
            }
            Event::Strategy { pool, to: spec, .. } if spec.entry().is_bound() => {
                let pool = *pool;
                let oracle = self.watch();
                self.balancers.use_strategy(to, pool, || oracle.strategy());
            }
            _ => {}
        }
    }

    /// Lets an oracle watch.
    fn watch(&mut self) -> OracleHandle {
        self.world.watch();
        self.oracle.get_or_insert_default().clone()
    }

    // ----- what comes next -----

    /// Takes what comes next, unless that is after `until`: first what is due now, then the earliest of
    /// agenda, traffic and wake.
    fn next(&mut self, until: Time) -> Result<ComesNext, Vec<TraceError>> {
        if self.now() > until {
            return Ok(ComesNext::Later);
        }
        if let Some((to, input)) = self.grader.as_mut().and_then(QualityGrader::next) {
            return Ok(ComesNext::Input((self.now(), to, input)));
        }
        loop {
            let outside = self.traffic.next_at();
            if outside.is_none() && self.over() {
                return Ok(ComesNext::Nothing);
            }
            if let Some((to, input)) = self.balancers.due() {
                return Ok(ComesNext::Input((self.now(), to, input)));
            }
            let (wake, sleeper) = self.balancers.wake_at().unzip();
            let found = match self.world.backends.agenda.next(outside, wake, until) {
                None => return Ok(ComesNext::Nothing),
                Some(Upcoming::Later) => return Ok(ComesNext::Later),
                Some(Upcoming::Arrival) => self.hear_traffic(outside)?,
                // The balancer may ask to be woken at once, never in the past.
                Some(Upcoming::Wake(at)) => {
                    Some((at.max(self.now()), sleeper.unwrap_or_default(), Input::Wake))
                }
                Some(Upcoming::Scheduled(at, due)) => self.come_due(at, due),
            };
            if let Some(found) = found {
                return Ok(ComesNext::Input(found));
            }
        }
    }

    /// Takes what comes next of the traffic. Returns it as an input, unless it has a way to go.
    fn hear_traffic(&mut self, at: Option<Time>) -> Result<Option<Addressed>, Vec<TraceError>> {
        let at = at.unwrap_or_default().max(self.now());
        let heard = if self.traffic.news_is_next() {
            let news = self.traffic.news(at)?;
            news.and_then(|news| self.world.hear(at, news)).map(|input| (at, input))
        } else {
            let arrival = self.traffic.arrival();
            self.traffic.ask()?;
            self.world.arrive(arrival)
        };
        Ok(heard.map(|(at, input)| (at, self.balancers.address(&input), input)))
    }

    /// What was scheduled happens. Returns what a balancer hears of it, if anything.
    fn come_due(&mut self, now: Time, due: Scheduled) -> Option<Addressed> {
        self.world.set_now(now);
        match due {
            Scheduled::Tell(tell) => {
                self.tell(now, tell);
                None
            }
            Scheduled::Act(number) => {
                self.perform(number);
                None
            }
            Scheduled::Probed(by, node, number, result) => {
                Some((now, by as usize, Input::Probed(node, number, result)))
            }
            Scheduled::Feedback(by, request, quality) => {
                Some((now, by as usize, Input::Feedback(request, quality)))
            }
            due => {
                let mut input = self.world.come_due(due)?;
                let to = self.balancers.address(&input);
                if let Some(grader) = &self.grader {
                    grade(grader, &self.world, &self.balancers.all()[to], &mut input);
                }
                Some((now, to, input))
            }
        }
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
                self.balancers.read_reports(now, &self.world.backends.nodes);
                (reports, Tell::Reported)
            }
            Tell::Shared => return self.balancers.deliver_shares(),
            Tell::Reported => return self.balancers.deliver_reports(),
        };
        if let Some(exchange) = exchange {
            let agenda = &mut self.world.backends.agenda;
            agenda.schedule(now + exchange.delay, Rank::Report, Scheduled::Tell(arrives));
            agenda.schedule(now + exchange.every, Rank::Report, Scheduled::Tell(tell));
        }
    }

    /// Returns whether, with no arrival to come, nothing more is worth waiting for.
    fn over(&self) -> bool {
        let idle = || {
            let totals = self.balancers.totals();
            self.world.is_idle() && totals.dispatched == totals.ended
        };
        // Where nodes hang for good, probes of the others would go on for ever.
        let stuck = || self.world.backends.agenda.at_rest() && self.balancers.only_nodes_can_tell();
        idle() || self.now().since(self.moved) > STALL_MAX || stuck()
    }

    // ----- what people do -----

    /// Lets the person at the screen change something now.
    pub fn control(&mut self, control: Control) {
        self.world.control(control);
    }

    /// Lets a person do something as soon as its time has come and everything else of that time has
    /// happened; now, if that is past.
    pub fn act(&mut self, act: Act) {
        let (at, number) = (act.at.max(self.now()), self.acts.len() as u32);
        self.acts.push(Act { at, ..act });
        self.world.backends.agenda.schedule(at, Rank::Act, Scheduled::Act(number));
    }

    /// What a person does is done.
    fn perform(&mut self, number: u32) {
        let at = self.now();
        match self.acts[number as usize].deed.clone() {
            Deed::Fault { kind, nodes, lasts } => self.fault(FaultSpec { at, lasts, kind, nodes }),
            Deed::Heal(nodes) => nodes.into_iter().for_each(|node| self.heal(node)),
            Deed::Strategy(pool, spec) => self.control(Control::Strategy(pool, spec)),
            Deed::Load(factor) => {
                if self.traffic.set_load(factor) {
                    self.control(load_mark(factor));
                }
            }
        }
    }

    /// Says whose decisions every balancer is to explain from now on.
    pub fn explain(&mut self, whose: Explain) {
        self.balancers.each(|balancer| balancer.explain(whose));
    }

    /// Lets one try go to a node of one's own choice; see [`Balancer::decide_otherwise`].
    pub fn decide_otherwise(&mut self, attempt: Attempt, node: NodeId) {
        self.balancers.each(|balancer| balancer.decide_otherwise(attempt, node));
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
        let (at, kind, nodes) = (self.now(), FaultKind::Crash, vec![node]);
        self.fault(FaultSpec { at, lasts: None, kind, nodes });
    }

    /// Lets something go wrong as soon as the time of the fault has come, at once if that is past.
    pub fn fault(&mut self, fault: FaultSpec) {
        self.world.fault(fault);
    }

    /// Ends every fault of a node that was made by hand.
    pub fn heal(&mut self, node: NodeId) {
        self.world.heal(node);
    }

    // ----- what may be asked -----

    /// Returns simulated time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.world.now()
    }

    /// Returns when the next input comes at the earliest; `None` when nothing is left to happen.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        if self.grader.as_ref().is_some_and(QualityGrader::has_next) {
            return Some(self.now());
        }
        let outside = self.traffic.next_at();
        if outside.is_none() && self.over() {
            return None;
        }
        if self.balancers.has_due() {
            return Some(self.now());
        }
        let wake = self.balancers.wake_at().map(|(at, _)| at);
        let times = [self.world.backends.agenda.first(), outside, wake];
        times.into_iter().flatten().min().map(|at| at.max(self.now()))
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
}

/// Gives a whole answer its score.
fn grade(grader: &QualityGrader, world: &World, balancer: &Balancer, input: &mut Input) {
    if let Input::Finish(attempt, outcome) = input
        && let Some(request) = world.request(attempt.request)
    {
        grader.score(world.now(), request, balancer.node_of(*attempt), outcome);
    }
}

//! The world: the executor that carries out what the balancer decides, on simulated nodes.
//!
//! It alone knows the truth of requests. What it carries out comes back as an input, at once or
//! through the agenda; nothing here decides where a request goes.

use super::backends::Backends;
use super::cold::ColdStarts;
use super::faults::FaultInjector;
use super::network::Network;
use super::oracle::OracleView;
use super::request::SimRequest;
use super::spec::SimSpec;
use crate::balance::{Action, Attempt, Control, Input};
use crate::id_map::IdMap;
use crate::node::{BackendSpec, Blocks, FaultSpec, Rank, Scheduled, Scheduler, SimNode, Work};
use crate::unit::{NodeId, RequestId, Span, Time, Tokens};
use crate::workload::{Arrival, News};

/// The executor: simulated nodes, faults, and the truth of every request under way.
#[derive(Debug)]
pub(super) struct World {
    pub(super) backends: Backends,
    faults: FaultInjector,
    cold_starts: ColdStarts,
    requests: IdMap<SimRequest>,
    /// Whether some node wants to know the hashes of prompts.
    keeps_prefixes: bool,
    /// Whether an oracle watches: then more is noted.
    watched: bool,
    /// Attempts under way to their nodes; noted only while an oracle watches.
    on_way: Vec<(NodeId, Work)>,
}

impl World {
    /// The world at time zero. What is only its own is taken out of the specification.
    pub(super) fn new(spec: &mut SimSpec) -> World {
        let seed = spec.config.seed;
        let mut nodes = SimNode::all(&spec.backends, seed, spec.inter_token);
        if let Some(connect) = spec.connect {
            nodes.iter_mut().for_each(|node| node.set_connect(connect));
        }
        let network = spec.network.take().map(|network| {
            let regions = spec.config.nodes.iter().map(|node| node.region).collect();
            Network::new(network, regions, seed)
        });
        let mut backends = Backends::new(nodes, network);
        let (faults, rules) =
            (std::mem::take(&mut spec.faults), std::mem::take(&mut spec.fault_rules));
        let prices = spec.config.nodes.iter().map(|node| node.prices);
        World {
            faults: FaultInjector::new(faults, rules, prices, seed, &mut backends.agenda),
            backends,
            cold_starts: ColdStarts::new(std::mem::take(&mut spec.cold_starts), seed),
            requests: IdMap::default(),
            keeps_prefixes: spec.backends.iter().any(BackendSpec::keeps_prefixes),
            watched: false,
            on_way: Vec::new(),
        }
    }

    pub(super) const fn now(&self) -> Time {
        self.backends.now
    }

    pub(super) const fn set_now(&mut self, now: Time) {
        self.backends.now = now;
    }

    /// Returns a request under way.
    pub(super) fn request(&self, id: RequestId) -> Option<&SimRequest> {
        self.requests.get(id)
    }

    /// Returns whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    // ----- oracles -----

    /// From now on notes what an oracle wants to know.
    pub(super) const fn watch(&mut self) {
        self.watched = true;
    }

    /// Lends an oracle what it looks at, or takes it back.
    pub(super) fn exchange(&mut self, view: &mut OracleView) {
        std::mem::swap(&mut self.backends.nodes, &mut view.nodes);
        std::mem::swap(&mut self.requests, &mut view.requests);
        std::mem::swap(&mut self.on_way, &mut view.on_way);
        view.sent.clear();
    }

    /// Notes an attempt for the oracles.
    fn note(&mut self, node: NodeId, work: Work, out: Span) {
        if let Some(request) = self.requests.get_mut(work.attempt.request) {
            request.dispatched = work.attempt.ordinal.saturating_add(1);
        }
        if out > Span::ZERO {
            self.on_way.push((node, work));
        }
    }

    // ----- what people do -----

    /// A person changes something of the balancer.
    pub(super) fn control(&mut self, control: Control) {
        self.backends.schedule(Rank::Control, Scheduled::Control(Box::new(control)));
    }

    /// A person lets something go wrong, at once if its time has passed.
    pub(super) fn fault(&mut self, fault: FaultSpec) {
        let at = fault.at.max(self.now());
        // Said before what follows from it, as with a fault of the scenario.
        self.faults.by_hand(FaultSpec { at, ..fault }, &mut self.backends.agenda);
    }

    /// A person ends what was made by hand of a node's faults.
    pub(super) fn heal(&mut self, node: NodeId) {
        self.faults.heal(node, &mut self.backends);
    }

    // ----- what comes in -----

    /// A request sets out. Returns when it arrives and the input it is then, unless it has a way to go.
    pub(super) fn arrive(&mut self, arrival: Arrival) -> Option<(Time, Input)> {
        // Traffic in disorder is its own mistake; time goes on from where it is.
        let at = arrival.at.max(self.now());
        let request = &arrival.request;
        let way = self.backends.network().map_or(Span::ZERO, |network| network.origin(request));
        let known = SimRequest {
            prompt: request.prompt,
            class: request.class,
            truth: arrival.truth,
            prefix: if self.keeps_prefixes { request.prefix.clone() } else { Box::default() },
            prefix_block: request.prefix_block,
            way,
            dispatched: 0,
        };
        self.requests.insert(request.id, known);
        if way == Span::ZERO {
            return Some((at, Input::Arrive(arrival.request)));
        }
        let due = Scheduled::Arrive(Box::new(arrival.request));
        self.backends.agenda.schedule(at + way, Rank::Arrive, due);
        None
    }

    /// Hears news of the traffic. Returns it as an input, unless it has a way to go.
    pub(super) fn hear(&mut self, at: Time, news: News) -> Option<Input> {
        if let News::Cancel(request) = news
            && let Some(known) = self.requests.get(request)
            && known.way > Span::ZERO
        {
            // The request itself may still be under way: word of it goes the same way, behind it.
            let due = Scheduled::Cancel(request);
            self.backends.agenda.schedule(at + known.way, Rank::Cancel, due);
            return None;
        }
        Some(news.into())
    }

    /// What was scheduled for now happens. Returns what the balancer hears of it, if anything.
    pub(super) fn come_due(&mut self, due: Scheduled) -> Option<Input> {
        let now = self.now();
        match due {
            Scheduled::Job(node, job, turn) => {
                let (there, mut outbox) = self.backends.at(node);
                let said = there.fire(now, job, turn, &mut outbox)?;
                self.deliver(node, said)
            }
            Scheduled::Step(node, number) => {
                let (there, mut outbox) = self.backends.at(node);
                let said = there.step(now, number, &mut outbox)?;
                self.deliver(node, said)
            }
            Scheduled::Start(..)
            | Scheduled::Abort(..)
            | Scheduled::Probe(..)
            | Scheduled::Generate(..) => {
                self.reach(due);
                None
            }
            Scheduled::GiveUp(node, attempt) => self.backends.at(node).0.give_up(attempt),
            Scheduled::Ready(node, start) => {
                let crashed = self.backends.node(node).crashed();
                self.cold_starts.over(now, node, start, crashed, &mut self.backends.agenda)
            }
            Scheduled::FaultBegins(number) => Some(self.faults.begin(number, &mut self.backends)),
            Scheduled::FaultEnds(number) => self.faults.end(number, &mut self.backends),
            Scheduled::Change(change) => Some(Input::Fleet(*change)),
            Scheduled::Arrive(request) => Some(Input::Arrive(*request)),
            Scheduled::Cancel(request) => Some(Input::Cancel(request)),
            Scheduled::Progress(attempt, progress) => Some(Input::Progress(attempt, progress)),
            Scheduled::Finish(attempt, outcome) => Some(Input::Finish(attempt, outcome)),
            Scheduled::Control(control) => Some(Input::Control(*control)),
            Scheduled::Probed(..)
            | Scheduled::Tell(_)
            | Scheduled::Feedback(..)
            | Scheduled::Act(_) => {
                unreachable!("the driver sees to it")
            }
            Scheduled::Look(..) => unreachable!("nobody reads a simulated stream"),
        }
    }

    /// What was sent to a node reaches it. The node says what it says through the agenda.
    fn reach(&mut self, due: Scheduled) {
        let now = self.now();
        match due {
            Scheduled::Start(node, work) => {
                if !self.on_way.is_empty() {
                    self.on_way.retain(|(_, other)| other.attempt != work.attempt);
                }
                let known = self.requests.get(work.attempt.request);
                let blocks = known.map_or_else(Blocks::default, SimRequest::blocks);
                let (there, mut outbox) = self.backends.at(node);
                there.start(now, work, blocks, &mut outbox);
            }
            Scheduled::Abort(node, attempt) => {
                let (there, mut outbox) = self.backends.at(node);
                there.abort(now, attempt, &mut outbox);
            }
            Scheduled::Probe(by, node, number) => {
                let (there, mut outbox) = self.backends.at(node);
                there.probe(now, by, number, &mut outbox);
            }
            Scheduled::Generate(by, node, number) => {
                let (there, mut outbox) = self.backends.at(node);
                there.generate(now, by, number, &mut outbox);
            }
            due => unreachable!("nobody sends {due:?} to a node"),
        }
    }

    /// Returns what a node says as an input, unless it has a way to go.
    fn deliver(&mut self, node: NodeId, said: Input) -> Option<Input> {
        let Some(network) = self.backends.network() else {
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
        let at = self.now() + back;
        self.backends.agenda.schedule(at, Rank::Finish, due);
        None
    }

    // ----- what goes out -----

    /// Lets something reach a node: at once, or after its way.
    fn send(&mut self, out: Span, due: Scheduled) {
        if out == Span::ZERO {
            self.reach(due);
        } else {
            // In the order they were sent, and like arrivals after everything that frees capacity.
            let at = self.now() + out;
            self.backends.agenda.schedule(at, Rank::Arrive, due);
        }
    }

    /// Carries out what this balancer decided.
    pub(super) fn carry_out(&mut self, by: u32, action: Action) {
        match action {
            Action::Dispatch { attempt, node, batch, resumed, clamp } => {
                let known = self.requests.get(attempt.request).expect("it is under way");
                let mut work = Work { batch, ..known.work(attempt) };
                work.prompt += resumed;
                let output = &mut work.truth.output;
                *output = clamp.map_or(*output, |most| most.min(*output));
                if resumed > Tokens::ZERO {
                    *output = output.less(resumed).max(Tokens(1));
                }
                // Those of a batch travel together.
                let parcel = batch.map_or(attempt, |batch| Attempt {
                    request: RequestId(batch.number),
                    ordinal: u8::MAX,
                });
                let out = self.backends.out(node, parcel);
                if self.watched {
                    self.note(node, work, out);
                }
                self.send(out, Scheduled::Start(node, work));
            }
            Action::Abort { attempt, node } => {
                let out = self.backends.out(node, attempt);
                self.send(out, Scheduled::Abort(node, attempt));
            }
            Action::Probe(node, number) => {
                let out = self.backends.probe_out(node, number);
                self.send(out, Scheduled::Probe(by, node, number));
            }
            Action::Generate(node, number) => {
                let out = self.backends.probe_out(node, number);
                self.send(out, Scheduled::Generate(by, node, number));
            }
            Action::Start(node) => {
                self.cold_starts.begin(self.backends.now, node, &mut self.backends.agenda);
            }
            Action::Stop(node) => self.cold_starts.call_off(node),
            Action::Answer { request, .. } => {
                self.requests.remove(request);
            }
        }
    }
}

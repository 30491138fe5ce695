//! A balancer that is told one word after another: who arrives, what attempts come to, how time passes.

use plimsoll::balance::{
    Action, Attempt, Balancer, Config, Event, Failure, Input, NoHedge, NodeState, Outcome,
    ProbeResult, Progress, Request, Settled, Usage, check,
};
use plimsoll::unit::{NodeId, RequestId, Time, Tokens};

use super::attempts::{Laws, ms};

pub const RESET: Outcome = Outcome::Failed(Failure::Reset, Usage::NONE);

/// A balancer at its clock, and what it last wanted done and declared.
pub struct Story {
    pub balancer: Balancer,
    pub laws: Laws,
    pub now: Time,
    pub actions: Vec<Action>,
    pub events: Vec<Event>,
}

impl Story {
    pub fn new(config: Config) -> Story {
        let laws = Laws::new(&config);
        let (actions, events) = (Vec::new(), Vec::new());
        Story { balancer: Balancer::new(config), laws, now: Time::ZERO, actions, events }
    }

    pub fn feed(&mut self, input: Input) {
        self.laws.record(&input);
        let effects = std::mem::take(self.balancer.handle(self.now, input));
        (self.actions, self.events) = (effects.actions, effects.events);
        for event in &self.events {
            self.laws.hear(self.now, event, Some(&self.balancer));
        }
        check(&self.balancer).expect("every invariant holds");
    }

    pub fn arrive(&mut self, id: u64, prompt: u64) {
        let request = Request::new(RequestId(id), self.now);
        self.feed(Input::Arrive(Request { prompt: Tokens(prompt), ..request }));
    }

    pub fn finish(&mut self, id: u64, ordinal: u8, outcome: Outcome) {
        self.feed(Input::Finish(attempt(id, ordinal), outcome));
    }

    pub fn first_token(&mut self, id: u64, ordinal: u8) {
        self.feed(Input::Progress(attempt(id, ordinal), Progress::FirstToken));
    }

    /// Wakes the balancer whenever it asks; what it last did stays to be seen.
    pub fn pass(&mut self, millis: u64) {
        let until = ms(millis);
        while let Some(at) = self.balancer.wake_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.feed(Input::Wake);
        }
        self.now = until;
    }

    pub fn dispatched(&self) -> Vec<(u8, NodeId)> {
        let started = self.actions.iter().filter_map(|action| match action {
            Action::Dispatch { attempt, node, .. } => Some((attempt.ordinal, *node)),
            _ => None,
        });
        started.collect()
    }

    pub fn aborted(&self) -> Vec<u8> {
        let stopped = self.actions.iter().filter_map(|action| match action {
            Action::Abort { attempt, .. } => Some(attempt.ordinal),
            _ => None,
        });
        stopped.collect()
    }

    pub fn settled(&self) -> Option<&Settled> {
        self.events.iter().find_map(|event| match event {
            Event::Settled(settled) => Some(settled),
            _ => None,
        })
    }

    pub fn denied(&self) -> Option<NoHedge> {
        self.events.iter().find_map(|event| match event {
            Event::HedgeDenied { reason, .. } => Some(*reason),
            _ => None,
        })
    }

    pub fn state(&self, node: NodeId) -> NodeState {
        self.balancer.fleet().node(node).state()
    }

    /// Lets a node that was ejected rest and answer its probes until it is back.
    pub fn bring_back(&mut self, node: NodeId) {
        while self.state(node) != NodeState::Up {
            self.now = self.balancer.wake_at().expect("a rest ends").max(self.now);
            self.feed(Input::Wake);
            let probe = self.actions.iter().find_map(|action| match action {
                Action::Probe(probed, number) if *probed == node => Some(*number),
                _ => None,
            });
            if let Some(number) = probe {
                self.feed(Input::Probed(node, number, ProbeResult::Healthy));
            }
        }
    }

    pub fn in_flight(&self, node: NodeId) -> u32 {
        self.balancer.fleet().node(node).ledger.requests
    }
}

pub fn attempt(request: u64, ordinal: u8) -> Attempt {
    Attempt { request: RequestId(request), ordinal }
}

pub fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Tokens(input), cached: Tokens::ZERO, output: Tokens(output), estimated: false }
}

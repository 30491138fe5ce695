//! Stories of the balancer: a few inputs, and what it has to make of them.

use crate::common;
use plimsoll::balance::{
    Action, Attempt, Balancer, Config, End, Event, Failure, Fate, FleetChange, Input, Limits,
    NodeState, Outcome, ProbeResult, Progress, Queue, Reject, Request, TimeoutStage, Usage, check,
};
use plimsoll::unit::{NodeId, RequestId, Span, Time, Tokens};

const SERVER_ERROR: Outcome = Outcome::Failed(Failure::ServerError, Usage::NONE);

fn request(id: u64) -> Request {
    Request { prompt: Tokens(100), ..Request::new(RequestId(id), Time::ZERO) }
}

fn attempt(id: u64) -> Attempt {
    Attempt { request: RequestId(id), ordinal: 0 }
}

/// A balancer at its clock, and what it last wanted done and declared.
struct Story {
    balancer: Balancer,
    now: Time,
    actions: Vec<Action>,
    events: Vec<Event>,
}

impl Story {
    fn new(config: Config) -> Story {
        let (actions, events) = (Vec::new(), Vec::new());
        Story { balancer: Balancer::new(config), now: Time::ZERO, actions, events }
    }

    fn feed(&mut self, input: Input) {
        let effects = self.balancer.handle(self.now, input);
        self.actions = std::mem::take(&mut effects.actions);
        self.events = std::mem::take(&mut effects.events);
        check(&self.balancer).expect("every invariant holds");
    }

    fn arrive(&mut self, id: u64) {
        self.feed(Input::Arrive(Request { arrived: self.now, ..request(id) }));
    }

    fn finish(&mut self, id: u64, outcome: Outcome) {
        self.feed(Input::Finish(attempt(id), outcome));
    }

    /// Wakes the balancer whenever it asks, up to this second; probes go unanswered.
    fn pass(&mut self, second: u64) {
        let until = Time::ZERO + Span::from_secs(second);
        while let Some(at) = self.balancer.wake_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.feed(Input::Wake);
        }
        self.now = until;
    }

    fn state(&self, node: u32) -> NodeState {
        self.balancer.fleet().node(NodeId(node)).state()
    }

    fn probe(&self) -> Option<u32> {
        self.actions.iter().find_map(|action| match action {
            Action::Probe(_, number) => Some(*number),
            _ => None,
        })
    }

    fn dispatched(&self) -> Vec<u64> {
        let started = self.actions.iter().filter_map(|action| match action {
            Action::Dispatch { attempt, .. } => Some(attempt.request.0),
            _ => None,
        });
        started.collect()
    }

    fn fates(&self) -> Vec<Fate> {
        let answers = self.actions.iter().filter_map(|action| match action {
            Action::Answer { fate, .. } => Some(*fate),
            _ => None,
        });
        answers.collect()
    }
}

/// What the balancer says of an answer: whose it is, and whether it had begun.
fn answer(story: &Story) -> (Fate, Option<u8>, bool) {
    let mut answers = story.actions.iter().filter_map(|action| match action {
        Action::Answer { fate, by, begun, .. } => Some((*fate, by.map(|by| by.ordinal), *begun)),
        _ => None,
    });
    answers.next_back().expect("it is answered")
}

/// One node that takes one attempt at a time.
fn single() -> Config {
    let mut config = common::config(1, "round_robin", 1);
    config.nodes[0].limits = Limits { concurrency: Some(1), ..Limits::default() };
    config
}

#[test]
fn who_waits_goes_before_who_tries_again() {
    let mut config = single();
    (config.retry.base, config.retry.cap) = (Span::ZERO, Span::ZERO);
    let mut story = Story::new(config);
    story.arrive(0);
    story.arrive(1);
    story.finish(0, SERVER_ERROR);
    assert_eq!(story.dispatched(), [1], "the failed one goes to the end of the line");
}

#[test]
fn an_answer_names_the_attempt_it_comes_from_and_says_whether_it_had_begun() {
    let mut config = common::config(2, "round_robin", 1);
    (config.retry.base, config.retry.cap, config.retry.resume) = (Span::ZERO, Span::ZERO, false);
    config.timeouts.total = Some(Span::from_secs(60));
    let mut story = Story::new(config);
    let first_token =
        |ordinal| Input::Progress(Attempt { request: RequestId(0), ordinal }, Progress::FirstToken);
    let second = Attempt { request: RequestId(0), ordinal: 1 };
    // One that comes whole, and one that fails, is tried again and streams.
    story.arrive(0);
    story.finish(0, Outcome::Done(Usage::NONE));
    assert_eq!(answer(&story), (Fate::Completed, Some(0), false));
    story.arrive(0);
    story.finish(0, SERVER_ERROR);
    story.feed(first_token(1));
    story.feed(Input::Finish(second, Outcome::Done(Usage::NONE)));
    assert_eq!(answer(&story), (Fate::Completed, Some(1), true));
    // Cut off by its node, by the deadline, and left by its client.
    story.arrive(0);
    story.feed(first_token(0));
    story.finish(0, SERVER_ERROR);
    let failed = Fate::Failed(End::Failed(Failure::ServerError));
    assert_eq!(answer(&story), (failed, Some(0), true));
    story.arrive(0);
    story.finish(0, SERVER_ERROR);
    story.feed(first_token(1));
    story.pass(61);
    assert_eq!(answer(&story), (Fate::Failed(End::TimedOut(TimeoutStage::Total)), Some(1), true));
    story.feed(Input::Finish(second, Outcome::Aborted(Usage::NONE)));
    story.arrive(0);
    story.feed(Input::Cancel(RequestId(0)));
    assert_eq!(answer(&story), (Fate::Cancelled, None, false));
}

#[test]
fn nobody_waits_for_a_node_that_never_comes() {
    let mut story = Story::new(single());
    story.arrive(0);
    story.arrive(1);
    story.feed(Input::Fleet(FleetChange::Remove(NodeId(0))));
    assert_eq!(story.fates(), [Fate::Rejected(Reject::NoNode)]);
    // The attempt in flight ends as it may; there is no other node to try.
    story.finish(0, SERVER_ERROR);
    story.pass(10);
    assert_eq!(story.balancer.under_way(), 0);
}

#[test]
fn a_node_back_from_draining_owes_no_rest() {
    let mut config = common::config(3, "round_robin", 1);
    config.health.consecutive = 1;
    config.health.eject_base = Span::from_secs(300);
    config.retry.attempts = 1;
    let mut story = Story::new(config);
    story.arrive(0);
    let Action::Dispatch { node, .. } = story.actions[0] else { panic!("it is dispatched") };
    story.finish(0, SERVER_ERROR);
    assert_eq!(story.state(node.0), NodeState::Ejected);
    story.feed(Input::Fleet(FleetChange::Drain(node)));
    story.feed(Input::Fleet(FleetChange::Resume(node)));
    assert_eq!(story.state(node.0), NodeState::Up);
    // A 429 now is for as long as it says, not for the rest of the ejection.
    for id in 1..4 {
        story.arrive(id);
    }
    for id in 1..4 {
        let retry_after = Some(Span::from_secs(1));
        story.finish(id, Outcome::RateLimited { retry_after });
    }
    assert_eq!(story.state(node.0), NodeState::CoolingDown);
    story.pass(2);
    assert_eq!(story.state(node.0), NodeState::Up);
}

#[test]
fn a_hanging_node_fails_its_probes_however_often_it_is_probed() {
    let mut config = common::config(2, "round_robin", 1);
    config.health.probe_every = Some(Span::from_millis(500));
    config.health.probe_timeout = Span::from_secs(2);
    let mut story = Story::new(config);
    story.pass(60);
    assert!((0..2).any(|node| story.state(node) != NodeState::Up), "nobody answers a probe");
}

#[test]
fn a_late_answer_to_a_patrol_does_not_count_towards_coming_back() {
    let mut config = common::config(1, "round_robin", 1);
    config.health.probe_every = Some(Span::from_secs(1));
    config.health.probe_timeout = Span::from_secs(20);
    config.health.consecutive = 1;
    config.health.eject_base = Span::from_secs(5);
    config.retry.attempts = 1;
    let mut story = Story::new(config);
    while story.probe().is_none() {
        story.now = story.balancer.wake_at().expect("a patrol");
        story.feed(Input::Wake);
    }
    let patrol = story.probe().expect("seen above");
    story.arrive(0);
    story.finish(0, SERVER_ERROR);
    assert_eq!(story.state(0), NodeState::Ejected);
    story.feed(Input::Probed(NodeId(0), patrol, ProbeResult::Healthy));
    let mut number = patrol;
    while story.state(0) == NodeState::Ejected {
        story.now = story.balancer.wake_at().expect("the end of the rest");
        story.feed(Input::Wake);
        number = story.probe().unwrap_or(number);
    }
    assert_ne!(number, patrol, "it is probed while it rests");
    story.feed(Input::Probed(NodeId(0), number, ProbeResult::Healthy));
    assert_eq!(story.state(0), NodeState::Probing, "two good probes are asked for, this is one");
}

#[test]
fn absurd_token_counts_leave_the_ledger_in_balance() {
    let mut config = common::config(1, "least_tokens", 1);
    config.expected_output = vec![Tokens(u64::MAX)];
    let mut story = Story::new(config);
    for id in 0..3 {
        story.feed(Input::Arrive(Request { prompt: Tokens(u64::MAX), ..request(id) }));
    }
    for id in 0..3 {
        let tokens = Progress::Tokens(Tokens(u64::MAX));
        story.feed(Input::Progress(attempt(id), tokens));
    }
    let absurd = Usage {
        input: Tokens(5),
        cached: Tokens(u64::MAX),
        output: Tokens(u64::MAX),
        estimated: false,
    };
    for id in 0..3 {
        story.finish(id, Outcome::Done(absurd));
        let booked = story.events.iter().find_map(|event| match event {
            Event::Ended { usage, .. } => Some(*usage),
            _ => None,
        });
        let booked = booked.expect("it ended");
        assert_eq!(booked.cached, Tokens(5), "cached tokens are a part of the input");
        assert!(booked.output < Tokens(u64::MAX), "sums of tokens do not overflow");
    }
    assert_eq!(story.balancer.under_way(), 0);
}

#[test]
fn the_end_of_time_is_never_rung() {
    let mut config = common::config(1, "round_robin", 1);
    config.health.probe_every = Some(Span::from_secs(1));
    config.health.consecutive = 1;
    config.queue = Queue { max: 10, max_wait: Some(Span::from_secs(1)) };
    let mut story = Story::new(config);
    story.arrive(0);
    story.now = Time::MAX;
    story.finish(0, SERVER_ERROR);
    story.feed(Input::Wake);
    assert_eq!(story.balancer.wake_at(), None);
}

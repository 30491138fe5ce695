//! The invariants about dead nodes can fail: hand-made stories that break them.

use super::*;
use crate::balance::{
    Attempt, Cause, Failure, HealthSettings, Limits, NodeSpec, PoolSpec, Request, RouteSpec,
    Scored, StrategySpec, Tier, Usage, Why,
};
use crate::unit::{ClassId, Span};

const PRIMARY: NodeId = NodeId(0);
const BACKUP: NodeId = NodeId(1);
const ROUTE: RouteId = RouteId(0);

fn tiers() -> Config {
    let node = |(name, tier): (&str, Tier)| NodeSpec {
        tier,
        limits: Limits { concurrency: Some(2), ..Limits::default() },
        ..NodeSpec::new(name, PoolId(0))
    };
    let strategy = StrategySpec::named("round_robin").expect("it is in the registry");
    let nodes = [("primary", Tier::Primary), ("backup", Tier::Backup)].map(node);
    let route = RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() };
    Config {
        health: HealthSettings { consecutive: 3, ..HealthSettings::default() },
        ..Config::new(vec![PoolSpec::new("p", strategy)], nodes.to_vec(), vec![route])
    }
}

/// Tells a story, a second an event, and returns what it breaks.
struct Teller<'a> {
    checker: EventChecker<'a>,
    now: Time,
    requests: u64,
}

impl<'a> Teller<'a> {
    fn new(config: &'a Config, balancer: &Balancer) -> Teller<'a> {
        let checker = EventChecker::new(config, std::slice::from_ref(balancer));
        Teller { checker, now: Time::ZERO, requests: 0 }
    }

    fn input(&mut self, input: &Input) -> Result<(), Broken> {
        self.now = self.now + Span::from_secs(1);
        self.checker.input(self.now, input)
    }

    fn tell(&mut self, event: &Event) -> Result<(), Broken> {
        self.input(&Input::Wake)?;
        self.checker.event(self.now, event)
    }

    fn state(&mut self, node: NodeId, to: NodeState, cause: Cause) -> Result<(), Broken> {
        let from = self.checker.nodes[node.index()].state;
        self.tell(&Event::NodeState { node, from, to, cause })
    }

    /// A request comes and is sent to this node. Returns its attempt.
    fn send(&mut self, node: NodeId) -> Result<Attempt, Broken> {
        self.requests += 1;
        let request = Request::new(RequestId(self.requests), self.now);
        let attempt = Attempt { request: request.id, ordinal: 0 };
        self.input(&Input::Arrive(request))?;
        let spec = &self.checker.config.nodes[node.index()];
        let why = Why {
            route: ROUTE,
            pool: PoolId(0),
            tier: spec.tier,
            strategy: 0,
            candidates: 1,
            considered: 1,
            chosen: Scored::unscored(node),
            runner_up: None,
            panic: self.checker.nodes[node.index()].state.is_ejected(),
        };
        let arrived = self.now;
        let event = Event::Dispatched {
            attempt,
            node,
            class: ClassId(0),
            kind: AttemptKind::First,
            after: None,
            arrived,
            queued: false,
            why,
            resumed: Tokens::ZERO,
        };
        self.checker.event(self.now, &event)?;
        Ok(attempt)
    }

    /// An attempt on a node is refused a connection.
    fn refuse(&mut self, attempt: Attempt, node: NodeId) -> Result<(), Broken> {
        let end = End::Failed(Failure::Refused);
        let dispatched = self.now;
        self.input(&Input::Finish(attempt, Outcome::Failed(Failure::Refused, Usage::NONE)))?;
        self.checker.event(
            self.now,
            &Event::Ended {
                attempt,
                node,
                class: ClassId(0),
                end,
                arrived: dispatched,
                dispatched,
                usage: Usage::NONE,
                cost: Cost::ZERO,
                job: None,
            },
        )
    }
}

/// The invariant that a story breaks.
fn breaks(story: impl FnOnce(&mut Teller<'_>) -> Result<(), Broken>) -> Option<String> {
    let config = tiers();
    let balancer = Balancer::new(config.clone());
    let told = story(&mut Teller::new(&config, &balancer));
    told.err().map(|broken| broken.invariant)
}

fn all_dead(teller: &mut Teller<'_>) -> Result<(), Broken> {
    teller.state(PRIMARY, NodeState::Ejected, Cause::Probes(3))?;
    teller.state(BACKUP, NodeState::Ejected, Cause::Probes(3))?;
    teller.tell(&Event::Panic { route: ROUTE, on: true })
}

#[test]
fn a_request_that_goes_to_a_dead_node_while_another_has_room_is_found() {
    let story = |restart: bool, room: bool| {
        breaks(|teller| {
            all_dead(teller)?;
            if restart {
                teller.state(BACKUP, NodeState::Draining, Cause::Operator)?;
                teller.state(BACKUP, NodeState::Up, Cause::Operator)?;
            }
            if !room {
                (0..2).try_for_each(|_| teller.send(BACKUP).map(|_| ()))?;
            }
            teller.send(PRIMARY).map(|_| ())
        })
    };
    assert_eq!(story(true, true).as_deref(), Some("I56"));
    assert_eq!(story(true, false), None, "the healthy one has no room");
    assert_eq!(story(false, true), None, "nothing is well");
}

#[test]
fn a_node_that_refuses_is_dead_whatever_its_state_is() {
    let story = |refusals: u32, to: NodeId| {
        breaks(|teller| {
            for _ in 0..refusals {
                let attempt = teller.send(PRIMARY)?;
                teller.refuse(attempt, PRIMARY)?;
            }
            teller.send(to).map(|_| ())
        })
    };
    assert_eq!(story(3, PRIMARY).as_deref(), Some("I56"));
    assert_eq!(story(3, BACKUP), None);
    assert_eq!(story(2, PRIMARY), None, "twice is not three times");
}

#[test]
fn an_ejected_node_that_serves_in_peace_is_found() {
    let story = breaks(|teller| {
        teller.state(PRIMARY, NodeState::Ejected, Cause::Probes(3))?;
        teller.send(PRIMARY).map(|_| ())
    });
    assert_eq!(story.as_deref(), Some("I07"));
}

#[test]
fn a_panic_while_something_is_well_is_found() {
    let story = breaks(|teller| {
        teller.state(PRIMARY, NodeState::Ejected, Cause::Probes(3))?;
        teller.tell(&Event::Panic { route: ROUTE, on: true })
    });
    assert_eq!(story.as_deref(), Some("I08"));
}

#[test]
fn who_is_kept_in_without_need_or_out_beyond_the_share_is_found() {
    let kept = |cause| breaks(|teller| teller.tell(&Event::KeptIn { node: PRIMARY, cause }));
    assert_eq!(kept(Cause::Failures(3)).as_deref(), Some("I09"), "nobody is out");
    assert_eq!(kept(Cause::Probes(3)).as_deref(), Some("I09"), "its probes fail");
    let both = |second| {
        breaks(|teller| {
            teller.state(PRIMARY, NodeState::Ejected, Cause::Failures(3))?;
            teller.state(BACKUP, NodeState::Ejected, second)
        })
    };
    assert_eq!(both(Cause::Failures(3)).as_deref(), Some("I09"), "half of two is one");
    assert_eq!(both(Cause::Probes(3)), None, "dead is dead");
    let full = breaks(|teller| {
        teller.state(PRIMARY, NodeState::Ejected, Cause::Failures(3))?;
        teller.tell(&Event::KeptIn { node: BACKUP, cause: Cause::Failures(3) })
    });
    assert_eq!(full, None);
}

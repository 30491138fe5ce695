//! Laws of the balancer: whatever happens, in whatever order, every invariant holds after every
//! input, every request has one fate, and the ledger ends at zero.

use crate::common;
use std::collections::{BTreeMap, BTreeSet};

use plimsoll::balance::{
    Action, Admission, Attempt, Balancer, Config, Control, End, Event, Failure, Fate, FleetChange,
    HealthSettings, HedgeAfter, HedgeSpec, HomeNode, Input, Limits, Match, NodeReport, Order,
    Outcome, PeerLoad, Priority, ProbeResult, Progress, Queue, REGISTRY, Reject, Request, Retry,
    RouteSpec, StrategySpec, TenantLimits, Tenants, Tier, TimeoutStage, Timeouts, Usage, Waiting,
    check,
};
use plimsoll::unit::{
    ClassId, CredentialId, NodeId, PeerId, PoolId, Ratio, RegionId, RequestId, Span, TenantId,
    Time, Tokens,
};

use crate::common::attempts::Laws;
use proptest::prelude::*;

/// A thing that happens to the balancer.
#[derive(Clone, Copy, Debug)]
enum Op {
    Arrive { class: u16, prompt: u64, deadline_ms: Option<u64> },
    First(usize),
    Tokens(usize, u64),
    Finish(usize, Outcome),
    Late(u64, u8, Outcome),
    Cancel(u64),
    Pass(u64),
    Probe(usize, bool),
    LateProbe(u32, u32),
    Fleet(u8, u32),
    Strategy(usize),
    Weight(u32, u32),
    Report(u32),
    Peer(u16, u64),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let usage = (0_u64..5_000, 0_u64..2_000).prop_map(|(input, output)| Usage {
        input: Tokens(input),
        cached: Tokens(0),
        output: Tokens(output),
        estimated: false,
    });
    let failure = prop::sample::select(Failure::ALL.to_vec());
    prop_oneof![
        4 => usage.clone().prop_map(Outcome::Done),
        4 => (failure, usage.clone()).prop_map(|(failure, usage)| Outcome::Failed(failure, usage)),
        2 => prop::option::of(0_u64..5_000).prop_map(|ms| Outcome::RateLimited { retry_after: ms.map(Span::from_millis) }),
        1 => usage.prop_map(Outcome::Aborted),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0_u16..4, 1_u64..4_000, prop::option::weighted(0.2, 0_u64..3_000)).prop_map(|(class, prompt, deadline_ms)| Op::Arrive { class, prompt, deadline_ms }),
        2 => any::<usize>().prop_map(Op::First),
        1 => (any::<usize>(), 0_u64..3_000).prop_map(|(which, tokens)| Op::Tokens(which, tokens)),
        6 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Op::Finish(which, outcome)),
        1 => (0_u64..60, 0_u8..9, outcome()).prop_map(|(id, ordinal, outcome)| Op::Late(id, ordinal, outcome)),
        1 => (0_u64..60).prop_map(Op::Cancel),
        5 => (0_u64..4_000).prop_map(Op::Pass),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, good)| Op::Probe(which, good)),
        1 => (0_u32..9, 0_u32..5).prop_map(|(node, number)| Op::LateProbe(node, number)),
        1 => (0_u8..6, 0_u32..9).prop_map(|(what, node)| Op::Fleet(what, node)),
        1 => (0..REGISTRY.len()).prop_map(Op::Strategy),
        1 => (0_u32..9, 0_u32..5).prop_map(|(node, weight)| Op::Weight(node, weight)),
        1 => (0_u32..9).prop_map(Op::Report),
        1 => (0_u16..3, 0_u64..3).prop_map(|(peer, epoch)| Op::Peer(peer, epoch)),
    ]
}

/// Seven nodes in two pools and three tiers, three routes, one with a hard constraint.
fn fleet(strategy: &str, seed: u64, patrol: bool) -> Config {
    let mut config = common::config(7, strategy, seed);
    config.pools.push(config.pools[0].clone());
    let tiers = [Tier::Primary, Tier::Primary, Tier::Backup, Tier::Secondary];
    for (index, node) in config.nodes.iter_mut().enumerate() {
        node.pool = PoolId((index / 4) as u16);
        node.tier = tiers[index % 4];
        node.weight = 1 + index as u32 % 3;
        node.tags = u64::from(index % 2 == 0);
        node.region = RegionId(index as u16 % 3);
        node.credential = (index > 0).then_some(CredentialId(index as u16 % 2));
        node.limits = Limits { concurrency: Some(1 + index as u32 % 2), ..Limits::default() };
    }
    let route = |classes: Vec<u16>, to: &[u16], require| RouteSpec {
        when: Match { classes: classes.into_iter().map(ClassId).collect(), ..Match::default() },
        to: to.iter().copied().map(PoolId).collect(),
        require,
        ..RouteSpec::default()
    };
    config.routes =
        vec![route(vec![0], &[0, 1], 0), route(vec![1], &[1], 1), route(vec![], &[1, 0], 0)];
    config.expected_output = vec![Tokens(100); 3];
    config.retry = Retry { attempts: 3, budget: Ratio::from_f64(0.5), ..Retry::default() };
    config.timeouts = Timeouts {
        first_token: Some(Span::from_secs(2)),
        silence: None,
        total: Some(Span::from_secs(8)),
    };
    config.health = HealthSettings {
        probe_every: patrol.then(|| Span::from_secs(1)),
        consecutive: 2,
        eject_base: Span::from_secs(3),
        eject_cap: Span::from_secs(12),
        ..HealthSettings::default()
    };
    config.queue = Queue { max: 4, max_wait: Some(Span::from_secs(3)) };
    config
}

/// Every way to try twice, by the bits of a number.
fn second_tries(config: &mut Config, bits: u64) {
    let after = match bits & 3 {
        0 => None,
        1 => Some(HedgeAfter::Quantile(Ratio::from_f64(0.9))),
        _ => Some(HedgeAfter::Fixed(Span::from_millis(300))),
    };
    let budget = if bits & 4 == 0 { Ratio::ONE } else { Ratio::from_f64(0.3) };
    let prompt_max = (bits & 8 == 0).then_some(Tokens(2_000));
    config.hedge = after.map(|after| HedgeSpec {
        after,
        budget,
        saturation: Ratio::ONE,
        prompt_max,
        paid: true,
    });
    config.retry.resume = bits & 16 == 0;
    config.retry.token_budget = (bits & 32 == 0).then_some(Ratio::from_f64(0.4));
    if bits & 64 == 0 {
        config.retry.minimum_useful = Span::from_millis(400);
    }
    if bits & 128 == 0 {
        config.timeouts.first_token = None;
    }
}

/// One of the ways in which those who come and wait may be treated.
fn admission(kind: usize) -> Admission {
    let order = match kind % 4 {
        0 => Order::Fifo,
        1 => Order::Edf,
        2 => Order::Shortest { ageing: 100 },
        _ => Order::AdaptiveLifo { after: Span::from_secs(1) },
    };
    let bands = (kind & 4 != 0).then_some(Ratio::from_f64(0.1));
    let waiting = Waiting { order, bands, fair: kind & 8 != 0, early_rejection: kind & 16 != 0 };
    let limits = Limits {
        concurrency: Some(2),
        requests_per_minute: Some(30),
        tokens_per_minute: Some(60_000),
    };
    let each = TenantLimits { limits, budget: Some(10_000), ..TenantLimits::default() };
    let named = vec![(TenantId(1), TenantLimits { weight: 3, ..TenantLimits::default() })];
    let tenants = if kind & 32 != 0 { Tenants { each, named } } else { Tenants::default() };
    Admission { waiting, tenants, quotas: kind & 64 != 0 }
}

/// A balancer with an executor that remembers what it was asked to do.
struct Hands {
    balancer: Balancer,
    now: Time,
    next: u64,
    open: Vec<(Attempt, NodeId)>,
    aborted: Vec<Attempt>,
    probes: Vec<(NodeId, u32)>,
    fates: BTreeMap<RequestId, Fate>,
    settled: BTreeSet<RequestId>,
    ended: BTreeSet<Attempt>,
    /// Attempts whose first token was acknowledged.
    begun: BTreeSet<Attempt>,
    /// Requests that one node alone may serve.
    bound: BTreeMap<RequestId, NodeId>,
    laws: Laws,
}

impl Hands {
    fn new(config: Config) -> Hands {
        Hands {
            laws: Laws::new(&config),
            balancer: Balancer::new(config),
            now: Time::ZERO,
            next: 0,
            open: Vec::new(),
            aborted: Vec::new(),
            probes: Vec::new(),
            fates: BTreeMap::new(),
            settled: BTreeSet::new(),
            ended: BTreeSet::new(),
            begun: BTreeSet::new(),
            bound: BTreeMap::new(),
        }
    }

    fn feed(&mut self, input: Input) {
        self.laws.record(&input);
        let effects = std::mem::take(self.balancer.handle(self.now, input));
        for event in effects.events {
            self.laws.hear(self.now, &event, Some(&self.balancer));
            match event {
                Event::Settled(settled) => {
                    assert!(self.settled.insert(settled.request), "one fate");
                    let dispatched = settled.dispatched.unwrap_or(settled.arrived);
                    let first = settled.first_token.unwrap_or(dispatched);
                    let order = [settled.arrived, dispatched, first, self.now];
                    assert!(order.is_sorted(), "causality: {order:?}");
                }
                Event::Ended { attempt, .. } => assert!(self.ended.insert(attempt), "one end"),
                Event::FirstToken { attempt, .. } => {
                    assert!(self.begun.insert(attempt), "one first token");
                }
                _ => {}
            }
        }
        for action in effects.actions {
            match action {
                Action::Dispatch { attempt, node, .. } => {
                    let only = self.bound.get(&attempt.request);
                    assert!(only.is_none_or(|only| *only == node), "nobody else has it");
                    self.open.push((attempt, node));
                }
                Action::Abort { attempt, node } => {
                    assert!(self.open.contains(&(attempt, node)), "only what is open is aborted");
                    self.aborted.push(attempt);
                }
                Action::Probe(node, number) | Action::Generate(node, number) => {
                    self.probes.push((node, number));
                }
                Action::Start(_) | Action::Stop(_) => panic!("nothing is scaled"),
                Action::Answer { request, fate, by, begun } => {
                    assert!(self.fates.insert(request, fate).is_none(), "one answer");
                    let first = self.begun.iter().rfind(|attempt| attempt.request == request);
                    assert_eq!(begun, first.is_some(), "what has begun is known");
                    match (fate, by) {
                        (Fate::Completed, Some(by)) => assert!(self.ended.contains(&by), "whose"),
                        (Fate::Completed, None) => panic!("somebody has answered"),
                        (_, by) => assert_eq!(by.as_ref(), first, "whose answer is cut off"),
                    }
                }
            }
        }
        check(&self.balancer).expect("every invariant holds");
    }

    fn pass(&mut self, until: Time) {
        while let Some(at) = self.balancer.wake_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.feed(Input::Wake);
            self.confirm_aborts();
        }
        self.now = self.now.max(until);
    }

    fn confirm_aborts(&mut self) {
        for attempt in std::mem::take(&mut self.aborted) {
            if let Some(place) = self.open.iter().position(|(open, _)| *open == attempt) {
                self.open.remove(place);
                self.feed(Input::Finish(attempt, Outcome::Aborted(Usage::default())));
            }
        }
    }

    fn pick(&self, which: usize) -> Option<Attempt> {
        (!self.open.is_empty()).then(|| self.open[which % self.open.len()].0)
    }

    fn finish(&mut self, attempt: Attempt, outcome: Outcome) {
        self.open.retain(|(open, _)| *open != attempt);
        self.feed(Input::Finish(attempt, outcome));
    }

    fn arrive(&mut self, class: u16, prompt: u64, deadline_ms: Option<u64>) {
        let deadline = deadline_ms.map_or(Time::MAX, |ms| self.now + Span::from_millis(ms));
        let home = HomeNode { node: NodeId(prompt as u32 % 5), only: prompt.is_multiple_of(11) };
        let home = Some(home).filter(|_| prompt % 11 < 2);
        if let Some(home) = home.filter(|home| home.only) {
            self.bound.insert(RequestId(self.next), home.node);
        }
        let request = Request {
            home,
            deadline,
            class: ClassId(class),
            prompt: Tokens(prompt),
            tenant: TenantId(prompt as u32 % 3),
            priority: Priority::ALL[prompt as usize % 4],
            whole: prompt.is_multiple_of(5),
            again: (prompt % 7 / 5) as u8,
            ..Request::new(RequestId(self.next), self.now)
        };
        self.next += 1;
        self.feed(Input::Arrive(request));
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Arrive { class, prompt, deadline_ms } => self.arrive(class, prompt, deadline_ms),
            Op::First(which) => {
                if let Some(attempt) = self.pick(which) {
                    self.feed(Input::Progress(attempt, Progress::FirstToken));
                }
            }
            Op::Tokens(which, tokens) => {
                if let Some(attempt) = self.pick(which) {
                    self.feed(Input::Progress(attempt, Progress::Tokens(Tokens(tokens))));
                }
            }
            Op::Finish(which, outcome) => {
                if let Some(attempt) = self.pick(which) {
                    self.finish(attempt, outcome);
                }
            }
            Op::Late(id, ordinal, outcome) => {
                let attempt = Attempt { request: RequestId(id), ordinal };
                if !self.open.iter().any(|(open, _)| *open == attempt) {
                    let before = self.balancer.totals();
                    self.feed(Input::Finish(attempt, outcome));
                    let after = self.balancer.totals();
                    assert_eq!(before.late_words + 1, after.late_words);
                    assert_eq!((before.settled, before.ended), (after.settled, after.ended));
                }
            }
            Op::Cancel(id) => self.feed(Input::Cancel(RequestId(id))),
            Op::Pass(ms) => self.pass(self.now + Span::from_millis(ms)),
            Op::Probe(which, good) => {
                if !self.probes.is_empty() {
                    let (node, number) = self.probes.remove(which % self.probes.len());
                    let bad = ProbeResult::Failed(Failure::Refused);
                    let result = if good { ProbeResult::Healthy } else { bad };
                    self.feed(Input::Probed(node, number, result));
                }
            }
            Op::LateProbe(node, number) => {
                self.feed(Input::Probed(NodeId(node), number, ProbeResult::Healthy));
            }
            Op::Fleet(what, node) => self.change_fleet(what, NodeId(node)),
            Op::Strategy(index) => {
                let spec = StrategySpec::named(REGISTRY[index].name).expect("it is listed");
                self.feed(Input::Control(Control::Strategy(PoolId(index as u16 % 3), spec)));
            }
            Op::Weight(node, weight) => {
                self.feed(Input::Control(Control::Weight(NodeId(node), weight)));
            }
            Op::Report(node) => self.feed(Input::Report(NodeId(node), NodeReport::default())),
            Op::Peer(peer, epoch) => {
                let load = PeerLoad { epoch, ..PeerLoad::default() };
                self.feed(Input::Peer(PeerId(peer), load));
            }
        }
        self.confirm_aborts();
    }

    fn change_fleet(&mut self, what: u8, node: NodeId) {
        let mut spec = common::node(9);
        spec.pool = PoolId(node.0 as u16 % 3);
        let limits = Limits { concurrency: Some(node.0 % 3), ..Limits::default() };
        let change = match what {
            0 => FleetChange::Add(Box::new(spec)),
            1 => FleetChange::Drain(node),
            2 => FleetChange::Resume(node),
            3 => FleetChange::Remove(node),
            4 => FleetChange::Reprice(node, spec.prices),
            _ => FleetChange::Relimit(node, limits),
        };
        self.feed(Input::Fleet(change));
    }

    /// Ends everything: nothing may be left over.
    fn drain(mut self) {
        for _ in 0..10_000 {
            self.confirm_aborts();
            if let Some(attempt) = self.pick(0) {
                self.finish(attempt, Outcome::Done(Usage::default()));
            } else if self.balancer.under_way() > 0 {
                let at = self.balancer.wake_at().expect("who waits has a timer");
                self.pass(at);
            } else {
                break;
            }
        }
        assert_eq!(self.balancer.under_way(), 0, "everything has its end");
        assert_eq!(self.settled.len() as u64, self.next, "every request is settled");
        assert_eq!(self.fates.len() as u64, self.next, "every request is answered");
        let totals = self.balancer.totals();
        assert_eq!(totals.area, totals.sojourn, "Little's law holds in integers");
        for node in self.balancer.fleet().nodes() {
            assert_eq!(node.ledger, plimsoll::balance::Ledger::default(), "ledgers end at zero");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_invariant_holds_after_every_input(
        strategy in 0..REGISTRY.len(),
        seed in any::<u64>(),
        patrol in any::<bool>(),
        rules in 0_usize..256,
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut config = fleet(REGISTRY[strategy].name, seed, patrol);
        second_tries(&mut config, seed);
        // Half of the runs are plain.
        if rules < 128 {
            config.admission = admission(rules);
            if rules & 64 != 0 {
                config.pools[0].limits.concurrency = Some(2);
                config.pools[1].limits.tokens_per_minute = Some(20_000);
                config.nodes[0].limits.requests_per_minute = Some(3);
                config.nodes[1].limits.tokens_per_minute = Some(8_000);
            }
        }
        let mut hands = Hands::new(config);
        for op in ops {
            hands.apply(op);
        }
        hands.drain();
    }
}

fn request(id: u64) -> Request {
    Request { prompt: Tokens(100), ..Request::new(RequestId(id), Time::ZERO) }
}

fn settled(balancer: &mut Balancer, now: Time, input: Input) -> Vec<Fate> {
    let effects = balancer.handle(now, input);
    let fates = effects.events.iter().filter_map(|event| match event {
        Event::Settled(settled) => Some(settled.fate),
        _ => None,
    });
    fates.collect()
}

#[test]
fn late_finish_changes_nothing() {
    let mut config = common::config(2, "round_robin", 1);
    config.timeouts.first_token = Some(Span::from_secs(1));
    config.retry.attempts = 1;
    let mut balancer = Balancer::new(config);
    balancer.handle(Time::ZERO, Input::Arrive(request(0)));
    let at = balancer.wake_at().expect("a first-token timer");
    assert_eq!(at, Time::ZERO + Span::from_secs(1));
    assert_eq!(settled(&mut balancer, at, Input::Wake).len(), 1);
    // The answer comes after all: it is booked, but the fate stands.
    let attempt = Attempt { request: RequestId(0), ordinal: 0 };
    let usage =
        Usage { input: Tokens(100), cached: Tokens(0), output: Tokens(5), estimated: false };
    assert_eq!(settled(&mut balancer, at, Input::Finish(attempt, Outcome::Done(usage))), []);
    assert_eq!(balancer.totals().ended, 1);
    // And a second word about it is late.
    balancer.handle(at, Input::Finish(attempt, Outcome::Done(usage)));
    assert_eq!(balancer.totals().late_words, 1);
}

#[test]
fn a_deadline_that_has_passed_fails_at_once() {
    let mut balancer = Balancer::new(common::config(1, "random", 1));
    let late = Request { deadline: Time::ZERO, ..request(0) };
    let fates = settled(&mut balancer, Time::ZERO + Span::from_secs(1), Input::Arrive(late));
    assert_eq!(fates, [Fate::Failed(End::TimedOut(TimeoutStage::Total))]);
    assert_eq!((balancer.totals().dispatched, balancer.under_way()), (0, 0));
}

#[test]
fn a_hard_constraint_fails_closed() {
    let mut config = common::config(2, "random", 1);
    config.routes[0].require = 0b10;
    let mut balancer = Balancer::new(config);
    let fates = settled(&mut balancer, Time::ZERO, Input::Arrive(request(0)));
    assert_eq!(fates, [Fate::Rejected(Reject::NoNode)]);
    assert_eq!(balancer.totals().dispatched, 0);
}

#[test]
fn who_waits_too_long_is_turned_away_and_a_full_room_turns_away_at_once() {
    let mut config = common::config(1, "random", 1);
    config.nodes[0].limits.concurrency = Some(1);
    config.queue = Queue { max: 1, max_wait: Some(Span::from_secs(3)) };
    let mut balancer = Balancer::new(config);
    assert_eq!(settled(&mut balancer, Time::ZERO, Input::Arrive(request(0))), []);
    assert_eq!(settled(&mut balancer, Time::ZERO, Input::Arrive(request(1))), []);
    let full = settled(&mut balancer, Time::ZERO, Input::Arrive(request(2)));
    assert_eq!(full, [Fate::Rejected(Reject::QueueFull)]);
    let at = Time::ZERO + Span::from_secs(3);
    assert_eq!(balancer.wake_at(), Some(at));
    let late = settled(&mut balancer, at, Input::Wake);
    assert_eq!(late, [Fate::Rejected(Reject::WaitedTooLong)]);
}

#[test]
fn equal_loads_are_tied_by_a_fair_draw() {
    // Catches the commonest bug of routers: the first of equal minima takes everything.
    for entry in REGISTRY {
        let mut counts = [0_u32; 8];
        for id in 0..1_600 {
            // Each on a machine of its own: what was learnt from one answer breaks no tie of the next.
            let mut balancer = Balancer::new(common::config(8, entry.name, id));
            let effects = balancer.handle(Time::ZERO, Input::Arrive(request(id)));
            let Some(Action::Dispatch { node, .. }) = effects.actions.pop() else {
                panic!("{} dispatches", entry.name)
            };
            counts[node.index()] += 1;
        }
        // 7 degrees of freedom: 29.9 is the 99.99 % point.
        let chi2: f64 = counts.iter().map(|&n| (f64::from(n) - 200.0).powi(2) / 200.0).sum();
        assert!(chi2 < 29.9, "{}: chi-square {chi2} for {counts:?}", entry.name);
    }
}

#[test]
fn weights_are_kept_exactly_in_every_window() {
    let mut config = common::config(3, "weighted_round_robin", 5);
    for (node, weight) in config.nodes.iter_mut().zip([5, 1, 2]) {
        node.weight = weight;
    }
    let mut balancer = Balancer::new(config);
    let picks: Vec<usize> = (0..400)
        .map(|id| {
            let effects = balancer.handle(Time::ZERO, Input::Arrive(request(id)));
            match effects.actions.pop() {
                Some(Action::Dispatch { node, .. }) => node.index(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    for window in picks.windows(8) {
        let count = |node| window.iter().filter(|&&pick| pick == node).count();
        assert_eq!([count(0), count(1), count(2)], [5, 1, 2]);
    }
}

#[test]
fn a_node_that_fails_fast_does_not_attract() {
    let strategies = ["least_connections", "least_tokens", "peak_ewma", "cheapest"];
    let failures = [Failure::ServerError, Failure::Unauthorized];
    for (strategy, failure) in strategies.into_iter().flat_map(|s| failures.map(|f| (s, f))) {
        let mut config = common::config(16, strategy, 3);
        // Ejection off: the success probability alone must do it.
        config.health.consecutive = u32::MAX;
        config.retry.attempts = 1;
        let mut balancer = Balancer::new(config);
        let (mut to_bad, mut open) = (0, Vec::new());
        let count = 20_000;
        for id in 0..count {
            let now = Time::ZERO + Span::from_millis(10 * id);
            let effects = balancer.handle(now, Input::Arrive(request(id)));
            let Some(Action::Dispatch { attempt, node, .. }) = effects.actions.pop() else {
                panic!("{strategy} dispatches")
            };
            if node.0 == 0 {
                to_bad += 1;
                let failed = Outcome::Failed(failure, Usage::default());
                balancer.handle(now, Input::Finish(attempt, failed));
            } else {
                open.push(attempt);
            }
            // The good nodes hold about five requests each.
            if open.len() > 75 {
                balancer.handle(now, Input::Progress(open[0], Progress::FirstToken));
                let done = Outcome::Done(Usage::default());
                balancer.handle(now, Input::Finish(open.remove(0), done));
            }
        }
        let share = f64::from(to_bad) / count as f64;
        assert!(share < 0.02, "{strategy} sends {:.1} % to a node: {failure:?}", share * 100.0);
    }
}

//! More load never attracts, whatever the strategy.
//!
//! The law, at the public seam: two balancers are told the same, input for input and draw for draw, except
//! that in the second one node has more of something that costs time there. Then the score of that node is
//! not lower in the second, and a request that goes there in the second goes there in the first too (or
//! found the node a tie with the one it went to). So what a strategy does not read cannot break the law, and
//! what it reads with the wrong sign does.
//!
//! Requests are put on the node meant by routes: class `i + 1` requires the tag of node `i`, class 0 goes
//! where the strategy likes. A pinned request asks the strategy too, with one candidate, so both histories
//! make the same draws.

#![expect(clippy::print_stdout, reason = "a test shows what it measured")]

use crate::common::node;
use plimsoll::balance::{
    Action, Attempt, Balancer, Config, Control, Event, Explain, Failure, Input, Match, NodeReport,
    Outcome, PeerLoad, PeerNode, PoolSpec, Progress, Queue, REGISTRY, Request, Retry, RouteSpec,
    StrategySpec, Timeouts, Usage, Verdict,
};
use plimsoll::rng::{Rng, mix};
use plimsoll::unit::{
    ClassId, NodeId, PeerId, PoolId, Price, Ratio, RequestId, Span, Time, Tokens,
};

/// What the node has more of in the second history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    /// A request under way that was cancelled as soon as it was sent in the first.
    InFlight,
    /// Prompt tokens of a request without a first token.
    Prompt,
    /// Prompt tokens of a request with a first token: they fill its KV cache.
    Kv,
    /// A request has been waiting for its first token for longer.
    Waiting,
    /// It reports longer queues and a fuller KV cache.
    Reported,
    /// A peer tells of more requests there.
    Peers,
    /// A request just like the one in question took longer there.
    Latency,
    /// The last answer was a failure, at the same time.
    Failure,
}

const ALL: [More; 8] = [
    More::InFlight,
    More::Prompt,
    More::Kv,
    More::Waiting,
    More::Reported,
    More::Peers,
    More::Latency,
    More::Failure,
];

impl More {
    /// Failures before it are told apart only where what is learnt of costs is the same in both: their price
    /// is a multiple of what decisions usually cost, whichever node was chosen.
    const fn after_failures(self) -> bool {
        matches!(self, More::InFlight | More::Waiting | More::Reported | More::Peers)
    }
}

/// Load and latency are no input of these, by turn or by chance: what happens leaves their choice exactly as
/// it was. The oracle is one of them outside a simulator, where nobody tells it the truth. Hashing reads
/// load for its bound, and is blind without it.
const BLIND: &[&str] =
    &["round_robin", "weighted_round_robin", "random", "weighted_random", "oracle"];

/// These learn how long requests take on a model, from all of its nodes and for all of them: a slow answer of
/// one makes the others look slower too, in the worst case more so. Coefficients that come out below zero
/// are cut off, which may leave a prediction lower by this share. So of latency the law is held as far as that,
/// and of where requests go on the whole, not in each case.
const SHARES: &[&str] =
    &["cost_latency", "slo_cheapest", "budget_paced", "shortest_expected", "smart", "score"];
const CUT_OFF: f64 = 0.05;

/// One thing that happens in both histories.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A request for any node, or for this one, with so many prompt tokens.
    Send(Option<u32>, u64),
    First(usize),
    Tokens(usize, u64),
    Done(usize),
    Fail(usize),
    Pass(u64),
}

#[derive(Clone, Debug)]
struct Case {
    spec: StrategySpec,
    more: More,
    nodes: u32,
    /// Which of them has more.
    node: u32,
    seed: u64,
    steps: Vec<Step>,
    /// How much more.
    by: u64,
}

fn case(spec: &StrategySpec, more: More, seed: u64) -> Case {
    let mut rng = Rng::stream(seed, "case");
    let nodes = 2 + rng.below(5) as u32;
    let mut step = || {
        let pinned = (rng.below(2) == 0).then(|| rng.below(nodes as usize) as u32);
        let which = rng.below(100);
        match rng.below(12) {
            0..=4 => Step::Send(pinned, 1 + rng.below(4_000) as u64),
            5 | 6 => Step::First(which),
            7 => Step::Tokens(which, 1 + rng.below(150) as u64),
            8 | 9 => Step::Done(which),
            10 if more.after_failures() => Step::Fail(which),
            _ => Step::Pass(1 + rng.below(1_500) as u64),
        }
    };
    let steps = (0..5 + (seed % 20)).map(|_| step()).collect();
    let node = rng.below(nodes as usize) as u32;
    Case { spec: spec.clone(), more, nodes, node, seed, steps, by: 1 + rng.below(8) as u64 }
}

/// One of the two histories.
struct History {
    balancer: Balancer,
    now: Time,
    next: u64,
    /// Attempts under way, and where.
    open: Vec<(Attempt, NodeId)>,
}

/// What became of the request in question.
#[derive(Debug)]
struct Seen {
    chosen: NodeId,
    /// By node: what the strategy compared, if it did.
    scores: Vec<Option<f64>>,
}

impl History {
    fn new(case: &Case) -> History {
        let mut rng = Rng::stream(case.seed, "fleet");
        let nodes = (0..case.nodes).map(|at| {
            let mut node = node(at as usize);
            node.tags = 1 << at;
            node.weight = 1 + rng.below(3) as u32;
            node.prices.output = Price::from_dollars(rng.below(3) as f64);
            node
        });
        let pinned = (0..case.nodes).map(|at| RouteSpec {
            when: Match { classes: vec![ClassId(at as u16 + 1)], ..Match::default() },
            to: vec![PoolId(0)],
            require: 1 << at,
            ..RouteSpec::default()
        });
        let free = RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() };
        let config = Config {
            seed: case.seed,
            expected_output: vec![Tokens(200); case.nodes as usize + 1],
            retry: Retry { attempts: 1, ..Retry::default() },
            timeouts: Timeouts { first_token: None, silence: None, total: None },
            queue: Queue { max: 0, max_wait: None },
            ..Config::new(
                vec![PoolSpec::new("pool", case.spec.clone())],
                nodes.collect(),
                pinned.chain([free]).collect(),
            )
        };
        History { balancer: Balancer::new(config), now: Time::ZERO, next: 0, open: Vec::new() }
    }

    /// A request, for a node or for any; every other one begins as some of the others do.
    fn request(&self, pinned: Option<u32>, prompt: u64) -> Request {
        let family = mix(7, self.next % 3);
        let shared = if self.next.is_multiple_of(2) { prompt.div_ceil(512).min(3) } else { 0 };
        Request {
            class: ClassId(pinned.map_or(0, |node| node as u16 + 1)),
            prompt: Tokens(prompt),
            session: (self.next % 5 > 2).then_some(self.next % 7),
            prefix: (0..shared).map(|block| mix(family, block)).collect(),
            prefix_block: if shared > 0 { 512 } else { 0 },
            ..Request::new(RequestId(self.next), self.now)
        }
    }

    /// Sends a request and returns where it went, and what was looked at.
    fn send(&mut self, request: Request) -> Option<(Attempt, Seen)> {
        self.next += 1;
        self.balancer.explain(Explain::One(request.id));
        let effects = self.balancer.handle(self.now, Input::Arrive(request));
        let explained = effects.events.iter().find_map(|event| match event {
            Event::Explained(explanation) => Some(explanation),
            _ => None,
        })?;
        let score = |verdict: &Verdict| match verdict {
            Verdict::Chosen(score) | Verdict::LookedAt(score) if score.is_finite() => Some(*score),
            _ => None,
        };
        let scores = explained.candidates.iter().map(|one| score(&one.verdict)).collect();
        let seen = Seen { chosen: explained.why.chosen.node, scores };
        let sent = effects.actions.iter().find_map(|action| match action {
            Action::Dispatch { attempt, node, .. } => Some((*attempt, *node)),
            _ => None,
        })?;
        self.open.push(sent);
        Some((sent.0, seen))
    }

    fn feed(&mut self, input: Input) {
        self.balancer.handle(self.now, input);
    }

    fn end(&mut self, attempt: Attempt, outcome: Outcome) {
        self.open.retain(|(open, _)| *open != attempt);
        self.feed(Input::Finish(attempt, outcome));
    }

    fn pass(&mut self, span: Span) {
        let until = self.now + span;
        while let Some(at) = self.balancer.wake_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.feed(Input::Wake);
        }
        self.now = until;
    }

    fn pick(&self, which: usize) -> Option<Attempt> {
        (!self.open.is_empty()).then(|| self.open[which % self.open.len()].0)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(pinned, prompt) => {
                let request = self.request(pinned, prompt);
                self.send(request);
            }
            Step::First(which) => {
                if let Some(attempt) = self.pick(which) {
                    self.feed(Input::Progress(attempt, Progress::FirstToken));
                }
            }
            Step::Tokens(which, tokens) => {
                if let Some(attempt) = self.pick(which) {
                    self.feed(Input::Progress(attempt, Progress::Tokens(Tokens(tokens))));
                }
            }
            Step::Done(which) => {
                if let Some(attempt) = self.pick(which) {
                    self.end(attempt, Outcome::Done(USAGE));
                }
            }
            Step::Fail(which) => {
                if let Some(attempt) = self.pick(which) {
                    self.end(attempt, Outcome::Failed(Failure::ServerError, USAGE));
                }
            }
            Step::Pass(ms) => self.pass(Span::from_millis(ms)),
        }
    }

    /// Every node says what it has to do; the one in question has `by` more.
    fn reported(&mut self, case: &Case, by: u64) {
        for at in 0..case.nodes {
            let here = if at == case.node { by as u32 } else { 0 };
            let report = NodeReport {
                running: at + 2 * here,
                waiting: at % 2 + here,
                kv_used: Ratio(100_000 * (at + here)),
                ..NodeReport::default()
            };
            self.feed(Input::Report(NodeId(at), report));
        }
    }

    /// What differs, if `more`; and what is the same about it.
    fn differ(&mut self, case: &Case, more: bool) -> Option<()> {
        let node = Some(case.node);
        let by = if more { case.by } else { 0 };
        match case.more {
            More::InFlight => {
                let request = self.request(node, 100 * case.by);
                let id = request.id;
                let (attempt, _) = self.send(request)?;
                if !more {
                    self.feed(Input::Cancel(id));
                    self.end(attempt, Outcome::Aborted(Usage::NONE));
                }
            }
            More::Prompt | More::Kv => {
                // A longer prompt would also teach what prompts cost: the memory begins anew.
                let request = self.request(node, 2_000 + 400 * by);
                let (attempt, _) = self.send(request)?;
                let anew = Control::Strategy(PoolId(0), case.spec.clone());
                self.feed(Input::Control(anew));
                if case.more == More::Kv {
                    self.feed(Input::Progress(attempt, Progress::FirstToken));
                }
            }
            More::Waiting => {
                // What is late is measured by what was expected of the latest request there.
                self.quiet(NodeId(case.node));
                let span = Span::from_secs(2 * case.by);
                self.pass(if more { Span::ZERO } else { span });
                let request = self.request(node, 500);
                self.send(request)?;
                self.pass(if more { span } else { Span::ZERO });
            }
            More::Reported => self.reported(case, by),
            More::Peers => {
                let said = (0..case.nodes).map(|at| {
                    let here = if at == case.node { by } else { 0 };
                    let tokens = Tokens(300 * (u64::from(at) + here));
                    let requests = at + here as u32;
                    PeerNode { node: NodeId(at), requests, prompt: tokens, output: tokens }
                });
                let load = PeerLoad { nodes: said.collect(), ..PeerLoad::default() };
                self.feed(Input::Peer(PeerId(1), load));
            }
            More::Latency => {
                // The answer comes at the same time, or it would count for more by being newer.
                self.quiet(NodeId(case.node));
                let longer = Span::from_secs(case.by);
                self.pass(if more { Span::ZERO } else { longer });
                let request = self.request(node, PROBE);
                let plain = Request { prefix: Box::default(), prefix_block: 0, ..request };
                let (attempt, _) = self.send(plain)?;
                self.pass(if more { longer } else { Span::ZERO });
                self.pass(Span::from_millis(300));
                self.feed(Input::Progress(attempt, Progress::FirstToken));
                self.end(attempt, Outcome::Done(USAGE));
            }
            More::Failure => {
                let request = self.request(node, PROBE);
                let (attempt, _) = self.send(request)?;
                self.pass(Span::from_millis(100));
                self.feed(Input::Progress(attempt, Progress::FirstToken));
                let bad = Outcome::Failed(Failure::ServerError, USAGE);
                self.end(attempt, if more { bad } else { Outcome::Done(USAGE) });
            }
        }
        Some(())
    }

    /// All that is under way there ends.
    fn quiet(&mut self, node: NodeId) {
        while let Some((attempt, _)) = self.open.iter().copied().find(|(_, at)| *at == node) {
            self.end(attempt, Outcome::Done(USAGE));
        }
        self.pass(Span::from_secs(1));
    }
}

/// One token, so that an answer teaches no time per token.
const USAGE: Usage =
    Usage { input: Tokens(100), cached: Tokens::ZERO, output: Tokens(1), estimated: false };

/// Prompt tokens of the request in question.
const PROBE: u64 = 700;

/// Plays one of the histories; `None` if the node was not there to be loaded.
fn play(case: &Case, more: bool) -> Option<Seen> {
    let mut history = History::new(case);
    for step in &case.steps {
        history.step(*step);
    }
    history.differ(case, more)?;
    let request = history.request(None, PROBE);
    let plain = case.more == More::Latency;
    let request = if plain {
        Request { prefix: Box::default(), prefix_block: 0, ..request }
    } else {
        request
    };
    history.send(request).map(|(_, seen)| seen)
}

/// Equal but for rounding.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

/// The strategies as they are listed, and with the settings that let them read other figures; whether what
/// happens to a node is no input of theirs.
fn strategies() -> Vec<(StrategySpec, bool)> {
    let named = |name: &str| StrategySpec::named(name).expect("it is listed");
    let set = |name: &str, setting: &str, value| {
        let mut spec = named(name);
        spec.set(setting, value).expect("a value");
        (spec, false)
    };
    let mut others = vec![
        set("least_connections", "signal", 1),
        set("least_connections", "signal", 2),
        set("power_of_two", "signal", 1),
        set("power_of_two", "signal", 2),
        set("peak_ewma", "signal", 1),
        set("smart", "mode", 1),
    ];
    let (unbound, _) = set("consistent_hash", "bound", 0);
    others.push((unbound, true));
    let listed = REGISTRY.iter().map(|entry| (named(entry.name), BLIND.contains(&entry.name)));
    listed.chain(others).collect()
}

/// What many cases showed of a strategy.
#[derive(Debug, Default)]
struct Tally {
    /// How often the score of the node rose, or the request went elsewhere.
    moved: u32,
    /// How often the request went to the node, in the first histories and in the second.
    there: [u32; 2],
}

/// Plays both histories of a case; says what breaks the law.
fn hold(case: &Case, blind: bool, tally: &mut Tally) -> Result<(), String> {
    let (Some(first), Some(second)) = (play(case, false), play(case, true)) else {
        return Ok(());
    };
    let (node, at) = (NodeId(case.node), case.node as usize);
    let there = [&first, &second].map(|seen| seen.chosen == node);
    tally.there.iter_mut().zip(there).for_each(|(count, there)| *count += u32::from(there));
    let scores = first.scores[at].zip(second.scores[at]).filter(|(a, b)| !near(*a, *b));
    tally.moved += u32::from(scores.is_some_and(|(a, b)| b > a) || there == [true, false]);
    let shares = case.more == More::Latency && SHARES.contains(&case.spec.name());
    let floor = if shares { 1.0 - CUT_OFF } else { 1.0 };
    if let Some((before, after)) = scores.filter(|(a, b)| *b < floor * a) {
        return Err(format!("its score falls from {before} to {after}"));
    }
    let best = first.scores[first.chosen.index()];
    let tie = first.scores[at].zip(best).is_some_and(|(a, b)| near(a, b));
    if there == [false, true] && !tie && !shares {
        return Err(format!("it attracts: {first:?}, then {second:?}"));
    }
    if blind && case.more != More::Failure && first.chosen != second.chosen {
        return Err("it is seen by who should be blind".to_owned());
    }
    Ok(())
}

#[test]
fn more_load_never_attracts() {
    const CASES: u32 = 60;
    for (spec, blind) in strategies() {
        let mut all = Tally::default();
        for more in ALL {
            let mut tally = Tally::default();
            for seed in 0..u64::from(CASES) {
                let case = case(&spec, more, seed);
                if let Err(how) = hold(&case, blind, &mut tally) {
                    panic!("{how}\n{case:?}");
                }
            }
            let [before, after] = tally.there;
            let shares = more == More::Latency && SHARES.contains(&spec.name());
            let most = before + if shares { CASES / 30 } else { 0 };
            assert!(after <= most, "{spec}: {more:?}: {before} requests went there, then {after}");
            all.moved += tally.moved;
        }
        println!("{spec}: of {} cases {} were moved", CASES as usize * ALL.len(), all.moved);
        assert_eq!(all.moved == 0, blind, "{spec}: a law that cannot fail is none");
    }
}

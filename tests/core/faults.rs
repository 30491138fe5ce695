//! Faults of one node that overlap: what stands in front of it is the same for whoever asks, of two
//! cuts the earlier one happens, and what the node foresees under them comes true. And the catalogue
//! they are written in.

use crate::common;
use std::collections::BTreeMap;

use plimsoll::balance::{Attempt, Failure, Input, Limits, Outcome, ProbeResult};
use plimsoll::dist::Dist;
use plimsoll::node::engine::{EngineSpec, StepLaw};
use plimsoll::node::fault::{FAULTS, ParamDefault, ParamKind, ParamValue, ParamValues};
use plimsoll::node::{
    BackendSpec, Blocks, Cut, ErrorAnswer, FaultKind, Rank, Scheduled, Scheduler, SimNode,
    SlotsSpec, Work,
};
use plimsoll::unit::{NodeId, Ratio, RequestId, Span, Time, Tokens};
use plimsoll::workload::Truth;

/// What will happen to one node, in order.
#[derive(Default)]
struct Pages {
    entries: BTreeMap<(Time, Rank, u64), Scheduled>,
    entered: u64,
}

impl Scheduler for Pages {
    fn schedule(&mut self, at: Time, rank: Rank, due: Scheduled) {
        self.entries.insert((at, rank, self.entered), due);
        self.entered += 1;
    }
}

impl Pages {
    /// Plays to the end of all there is. Returns how each attempt ended, and when.
    fn play(&mut self, node: &mut SimNode) -> BTreeMap<u64, (Time, Outcome)> {
        let mut ends = BTreeMap::new();
        while let Some(((at, ..), due)) = self.entries.pop_first() {
            let said = match due {
                Scheduled::Job(_, job, turn) => node.fire(at, job, turn, self),
                Scheduled::Step(_, number) => node.step(at, number, self),
                Scheduled::Finish(attempt, outcome) => Some(Input::Finish(attempt, outcome)),
                Scheduled::GiveUp(_, attempt) => node.give_up(attempt),
                _ => None,
            };
            if let Some(Input::Finish(attempt, outcome)) = said {
                assert!(ends.insert(attempt.request.0, (at, outcome)).is_none(), "it ends once");
            }
        }
        ends
    }
}

/// A hosted model that takes a second to the first token and gives ten a second.
fn hosted() -> SimNode {
    SimNode::new(NodeId(0), &common::hosted(common::constant(1.0), common::constant(10.0)), 1, None)
}

fn work(number: u64, prompt: u64, output: u64) -> Work {
    let attempt = Attempt { request: RequestId(number), ordinal: 0 };
    let truth = Truth { output: Tokens(output), key: number, text: None };
    Work { attempt, prompt: Tokens(prompt), truth, batch: None }
}

/// A node with these faults, which began in this order.
fn with(mut node: SimNode, faults: &[FaultKind]) -> SimNode {
    for (number, kind) in faults.iter().enumerate() {
        node.fault(Time::ZERO, number as u32, *kind, &mut Pages::default());
    }
    node
}

#[test]
fn requests_and_probes_meet_the_same_fault() {
    let kinds = [
        FaultKind::Crash,
        FaultKind::BlackHole,
        FaultKind::Hang,
        FaultKind::ColdStart,
        FaultKind::Errors(Ratio::ONE, ErrorAnswer::Status(401)),
    ];
    for (place, stronger) in kinds.iter().enumerate() {
        for weaker in &kinds[place..] {
            for faults in [[*stronger, *weaker], [*weaker, *stronger]] {
                let mut node = with(hosted(), &faults);
                let mut pages = Pages::default();
                node.start(Time::ZERO, work(1, 10, 10), Blocks::default(), &mut pages);
                let request = pages.play(&mut node).get(&1).map(|(_, outcome)| *outcome);
                let probed = |pages: Pages| match pages.entries.into_values().next() {
                    Some(Scheduled::Probed(.., result)) => Some(result),
                    _ => None,
                };
                let [mut token, mut health] = [Pages::default(), Pages::default()];
                node.generate(Time::ZERO, 0, 1, &mut token);
                node.probe(Time::ZERO, 0, 1, &mut health);
                let (token, health) = (probed(token), probed(health));
                let failure = match stronger {
                    FaultKind::Crash => Some(Failure::Refused),
                    FaultKind::ColdStart => Some(Failure::Overloaded),
                    FaultKind::Errors(..) => Some(Failure::Unauthorized),
                    _ => None,
                };
                let request = request.map(|outcome| match outcome {
                    Outcome::Failed(failure, _) => failure,
                    other => panic!("{faults:?}: {other:?}"),
                });
                assert_eq!(request, failure, "a request: {faults:?}");
                assert_eq!(token, failure.map(ProbeResult::Failed), "a token: {faults:?}");
                // Who asks for health is no request, and meets no errors of requests.
                let well = matches!(stronger, FaultKind::Errors(..));
                assert_eq!(health.is_some(), failure.is_some(), "health: {faults:?}");
                assert_eq!(health == Some(ProbeResult::Healthy), well, "health: {faults:?}");
                let asked = work(2, 10, 10);
                let foreseen = node.outlook(Time::ZERO, &[], &asked, Blocks::default());
                assert_eq!(foreseen, None, "foreseen: {faults:?}");
            }
        }
    }
}

#[test]
fn of_two_cuts_the_earlier_one_happens() {
    let cut = |how, tokens| FaultKind::Cut(Ratio::ONE, how, tokens);
    let early = [
        (cut(Cut::Reset, 5), cut(Cut::Truncate, 50), Failure::Reset, 5),
        (cut(Cut::Truncate, 5), cut(Cut::Reset, 50), Failure::Malformed, 5),
        // Beyond the end of the answer, too.
        (cut(Cut::Reset, 300), cut(Cut::Truncate, 400), Failure::Reset, 100),
        // Before the first token.
        (cut(Cut::ErrorEvent, 0), cut(Cut::Reset, 1), Failure::ServerError, 0),
    ];
    for (first, second, wanted, output) in early {
        for faults in [[first, second], [second, first]] {
            let mut node = with(hosted(), &faults);
            let mut pages = Pages::default();
            node.start(Time::ZERO, work(1, 10, 100), Blocks::default(), &mut pages);
            let ends = pages.play(&mut node);
            let Some((_, Outcome::Failed(failure, usage))) = ends.get(&1) else {
                panic!("{faults:?}: {ends:?}")
            };
            assert_eq!((*failure, usage.output), (wanted, Tokens(output)), "{faults:?}");
        }
    }
}

#[test]
fn an_engine_foresees_whom_a_gray_failure_holds_up() {
    let law = StepLaw { f: 11.0, p1: 100.0, p2: 0.01, d1: 0.04, d2: 0.07, moe: None };
    let spec =
        EngineSpec { step_tokens: 512, prefix_cache: false, ..EngineSpec::new(law, 300_000) };
    let works = [work(1, 1_000, 200), work(2, 900, 300), work(3, 400, 700), work(4, 3_000, 150)];
    let gray = FaultKind::Gray(Ratio::ONE, 2.5);
    let pace = FaultKind::Pace(3.0, 1.5);
    for faults in [vec![], vec![gray], vec![pace], vec![pace, gray]] {
        let fresh = || with(SimNode::new(NodeId(0), &BackendSpec::Engine(spec), 1, None), &faults);
        let play = |works: &[Work]| {
            let (mut node, mut pages) = (fresh(), Pages::default());
            for work in works {
                node.start(Time::ZERO, *work, Blocks::default(), &mut pages);
            }
            let ends = pages.play(&mut node);
            ends.into_iter().map(|(number, (at, _))| (number, at.since(Time::ZERO).seconds()))
        };
        for asked in 0..works.len() {
            // Some are there, and some on their way to it.
            for there in 0..=asked {
                let (mut node, mut pages) = (fresh(), Pages::default());
                for work in &works[..there] {
                    node.start(Time::ZERO, *work, Blocks::default(), &mut pages);
                }
                let (before, blocks) = (&works[there..asked], Blocks::default());
                let foreseen = node.outlook(Time::ZERO, before, &works[asked], blocks);
                let foreseen = foreseen.expect("it will be served");
                let with: BTreeMap<u64, f64> = play(&works[..=asked]).collect();
                let without: f64 = play(&works[..asked]).map(|(_, end)| end).sum();
                let own = with[&works[asked].attempt.request.0];
                let others = with.values().sum::<f64>() - own - without;
                let near = |foreseen: f64, true_: f64| (foreseen - true_).abs() < 1e-6;
                assert!(near(foreseen.own, own), "{faults:?} {asked} {there}: {foreseen:?}, {own}");
                assert!(
                    near(foreseen.others, others),
                    "{faults:?} {asked}: {foreseen:?}, {others}"
                );
            }
        }
    }
}

#[test]
fn servers_that_a_fault_takes_away_are_foreseen_gone() {
    // While more are in service than servers are left, who ends first frees none.
    let service = Dist::gamma(1.0, 1.5).expect("a law");
    let spec = SlotsSpec { servers: 4, queue: 3, service, per_item: Span::ZERO };
    for seed in 0..20 {
        for (left, there) in (1..=5).flat_map(|left| (0..=8).map(move |there| (left, there))) {
            let mut node = SimNode::new(NodeId(0), &BackendSpec::Slots(spec.clone()), seed, None);
            let mut pages = Pages::default();
            for number in 0..there {
                node.start(Time::ZERO, work(number, 1, 1), Blocks::default(), &mut pages);
            }
            let limits = Limits { concurrency: Some(left), ..Limits::default() };
            node.fault(Time::ZERO, 0, FaultKind::Capacity(limits), &mut pages);
            let asked = work(there, 1, 1);
            let foreseen = node.outlook(Time::ZERO, &[], &asked, Blocks::default());
            node.start(Time::ZERO, asked, Blocks::default(), &mut pages);
            match (foreseen, pages.play(&mut node)[&there]) {
                (Some(foreseen), (at, Outcome::Done(_))) => {
                    let own = at.since(Time::ZERO).seconds();
                    assert!(
                        (foreseen.own - own).abs() < 1e-6,
                        "{left} {there}: {foreseen:?} {own}"
                    );
                }
                (None, (_, Outcome::Failed(Failure::Overloaded, _))) => {}
                other => panic!("{left} {there}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_usual_may_be_said_and_what_is_not_must_be() {
    for fault in FAULTS {
        let (mut said, mut must) = (ParamValues::default(), false);
        for param in fault.params {
            let usual = match param.default {
                Some(ParamDefault::Is(usual)) => usual,
                Some(ParamDefault::Unsaid(_)) => continue,
                None => {
                    must = true;
                    ParamValue::Word(0)
                }
            };
            let fits = match (param.kind, usual) {
                (ParamKind::Number(bounds), ParamValue::Number(number)) => bounds.allow(number),
                (ParamKind::Whole(min, max), ParamValue::Whole(whole)) => {
                    (min..=max).contains(&whole)
                }
                (ParamKind::Status, ParamValue::Whole(status)) => {
                    ParamValue::status(status).is_some()
                }
                (ParamKind::Span, ParamValue::Span(span)) => span > Span::ZERO,
                (ParamKind::Word(words), ParamValue::Word(place)) => place < words.len(),
                _ => false,
            };
            assert!(fits, "{} {}: {usual:?}", fault.name, param.name);
            said.set(param.name, usual);
        }
        let unsaid = fault.build(&ParamValues::default());
        match fault.name {
            // Which of its parameters are said is part of what they say.
            "slow" | "capacity" => assert!(unsaid.is_err()),
            _ if must => assert!(unsaid.is_err() && fault.build(&said).is_ok(), "{}", fault.name),
            _ => assert_eq!(unsaid, fault.build(&said), "{}", fault.name),
        }
    }
}

//! What is written is read back the same: what real runs hold, and what no run holds.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::wire::{FromWire, ToWire, Words};
use super::{Header, ReplayError, Writer, config, input, replay};
use crate::balance::{
    Attempt, Config, Control, Failure, FleetChange, Grade, HomeNode, Input, JobFate, JobNews,
    JobPhase, JobStep, Limits, Locality, Mark, MarkBy, MarkPhase, NodeReport, NodeSpec, Outcome,
    OverBudget, PeerLoad, PeerNode, PoolSpec, Prices, Priority, ProbeResult, Progress, Request,
    RouteSpec, SessionKey, SessionKeyKind, StrategySpec, Tier, Usage,
};
use crate::cli::simulation;
use crate::lab::chaos::draw;
use crate::scenario::Scenario;
use crate::sim::Step;
use crate::unit::{
    ClassId, CredentialId, ModelId, NodeId, PeerId, PoolId, Price, Ratio, RegionId, RequestId,
    RouteId, Span, TenantId, Time, Tokens, WorkflowId,
};

/// Writes a value, reads it back, and returns how it was written.
#[track_caller]
fn there_and_back<T: ToWire + FromWire + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let mut text = String::new();
    value.write(&mut text).unwrap();
    let parsed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(T::read(&parsed).as_ref(), Ok(value), "{text}");
    text
}

/// Words that stand as keys or values in what was written.
fn note(text: &str, seen: &mut BTreeSet<String>) {
    seen.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
}

/// Words of these tables that were never seen.
fn unseen(lists: &[&[Words]], seen: &BTreeSet<String>) -> Vec<String> {
    let words = lists.iter().copied().flatten().flat_map(|(_, words)| words.iter());
    let words = words.map(|word| word.rsplit('.').next().unwrap_or(word).to_owned());
    words.filter(|word| !seen.contains(word)).collect()
}

fn drawn(seed: u64) -> Scenario {
    let text = draw(seed).document.to_string();
    Scenario::parse("chaos", "chaos.toml", &text, &[]).unwrap()
}

fn drawn_with_scaling() -> Config {
    let mut configs = (0..400).map(|seed| drawn(seed).balancer);
    configs.find(|config| !config.scale.is_empty()).expect("some fleet is scaled")
}

#[test]
fn configurations_are_read_back() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        note(&there_and_back(&drawn(seed).balancer), &mut seen);
    }
    for (name, text) in crate::scenario::BUILTIN {
        let scenario = Scenario::parse(name, name, text, &[]).unwrap();
        note(&there_and_back(&scenario.balancer), &mut seen);
    }
    // What neither draws nor built-in scenarios have.
    let mut config = drawn_with_scaling();
    config.scale[0].advise = true;
    config.routes[0].when.regions = vec![RegionId(0), RegionId(u16::MAX)];
    note(&there_and_back(&config), &mut seen);
    note(&there_and_back(&Locality::Anywhere), &mut seen);
    note(&there_and_back(&OverBudget::Refuse), &mut seen);
    assert_eq!(unseen(&[config::GROUPS, config::VARIANTS], &seen), Vec::<String>::new());
}

#[test]
fn inputs_of_runs_are_read_back() {
    for seed in 0..60 {
        let mut sim = simulation(&drawn(seed)).unwrap();
        let mut record = |_: Time, input: &Input| drop(there_and_back(input));
        for _ in 0..400 {
            match sim.step(&mut record, &mut |_, _| {}) {
                Ok(Step::Handled) => {}
                Ok(Step::Done) => break,
                Err(_) => panic!("the traffic can be read"),
            }
        }
    }
}

fn usage() -> impl Strategy<Value = Usage> {
    any::<([u64; 3], bool)>().prop_map(|([input, cached, output], estimated)| Usage {
        input: Tokens(input),
        cached: Tokens(cached),
        output: Tokens(output),
        estimated,
    })
}

fn failure() -> impl Strategy<Value = Failure> {
    prop::sample::select(Failure::ALL.to_vec())
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        usage().prop_map(Outcome::Done),
        (failure(), usage()).prop_map(|(failure, usage)| Outcome::Failed(failure, usage)),
        any::<Option<u64>>()
            .prop_map(|after| Outcome::RateLimited { retry_after: after.map(Span) }),
        usage().prop_map(Outcome::Aborted),
        (usage(), any::<u32>()).prop_map(|(usage, score)| Outcome::Scored(usage, Ratio(score))),
        any::<u64>().prop_map(|after| Outcome::Busy { retry_after: Span(after) }),
    ]
}

fn session_key() -> impl Strategy<Value = SessionKey> {
    (prop::sample::select(&SessionKeyKind::ALL[..]), any::<u64>())
        .prop_map(|(by, hash)| SessionKey { by, hash })
}

fn request() -> impl Strategy<Value = Request> {
    let numbers = any::<([u64; 5], [u32; 2], [u16; 2], u8)>();
    let options = any::<(Option<u64>, Option<u64>, Option<u16>, Option<(u64, u16, u16)>)>();
    let rest = (
        any::<(Option<u32>, Option<u16>, Option<u64>, bool, Vec<u64>, Option<(u32, bool)>)>(),
        prop::sample::select(&Priority::ALL[..]),
        prop::collection::vec(session_key(), 0..3),
    );
    (numbers, options, rest).prop_map(
        |(
            numbers,
            options,
            ((complexity, model, content, whole, prefix, home), priority, keys),
        )| {
            let ([id, arrived, deadline, prompt, attributes], [tenant, prefix_block], ids, again) =
                numbers;
            let (output_max, session, region, job) = options;
            Request {
                id: RequestId(id),
                arrived: Time(arrived),
                deadline: Time(deadline),
                class: ClassId(ids[0]),
                tenant: TenantId(tenant),
                priority,
                prompt: Tokens(prompt),
                output_max: output_max.map(Tokens),
                session,
                region: region.map(RegionId),
                attributes,
                job: job.map(|(job, workflow, step)| JobStep {
                    job,
                    workflow: WorkflowId(workflow),
                    step,
                }),
                prefix: prefix.into(),
                prefix_block,
                content,
                complexity,
                model: model.map(ModelId),
                whole,
                effort: again / 3,
                once: again % 2 == 1,
                again,
                keys: keys.into(),
                home: home.map(|(node, only)| HomeNode { node: NodeId(node), only }),
            }
        },
    )
}

fn mark() -> impl Strategy<Value = Mark> {
    (any::<(bool, bool, Vec<u32>)>(), ".*").prop_map(|((person, begins, nodes), what)| Mark {
        by: if person { MarkBy::Person } else { MarkBy::Scenario },
        nodes: nodes.into_iter().map(NodeId).collect(),
        phase: if begins { MarkPhase::Begin } else { MarkPhase::End },
        what,
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    any::<(Option<u32>, Option<u64>, Option<u64>)>().prop_map(
        |(concurrency, requests_per_minute, tokens_per_minute)| Limits {
            concurrency,
            requests_per_minute,
            tokens_per_minute,
        },
    )
}

fn prices() -> impl Strategy<Value = Prices> {
    any::<[u64; 3]>().prop_map(|[input, cached_input, output]| Prices {
        input: Price(input),
        cached_input: Price(cached_input),
        output: Price(output),
    })
}

fn node() -> impl Strategy<Value = NodeSpec> {
    let numbers = any::<([u16; 3], u32, [u64; 2], Option<u16>)>();
    let tier = prop::sample::select(&Tier::ALL[..]);
    (".*", numbers, tier, prices(), limits()).prop_map(|(name, numbers, tier, prices, limits)| {
        let ([pool, model, region], weight, [tags, hourly], credential) = numbers;
        NodeSpec {
            name,
            pool: PoolId(pool),
            tier,
            weight,
            model: ModelId(model),
            region: RegionId(region),
            tags,
            prices,
            hourly,
            limits,
            credential: credential.map(CredentialId),
        }
    })
}

fn change() -> impl Strategy<Value = FleetChange> {
    let id = any::<u32>().prop_map(NodeId);
    prop_oneof![
        node().prop_map(|node| FleetChange::Add(Box::new(node))),
        id.prop_map(FleetChange::Drain),
        any::<u32>().prop_map(|id| FleetChange::Resume(NodeId(id))),
        any::<u32>().prop_map(|id| FleetChange::Ready(NodeId(id))),
        any::<u32>().prop_map(|id| FleetChange::Remove(NodeId(id))),
        (any::<u32>(), prices()).prop_map(|(id, prices)| FleetChange::Reprice(NodeId(id), prices)),
        (any::<u32>(), limits()).prop_map(|(id, limits)| FleetChange::Relimit(NodeId(id), limits)),
    ]
}

fn control() -> impl Strategy<Value = Control> {
    let names: Vec<&str> = crate::balance::REGISTRY.iter().map(|entry| entry.name).collect();
    prop_oneof![
        (any::<u16>(), prop::sample::select(names)).prop_map(|(pool, name)| {
            Control::Strategy(PoolId(pool), StrategySpec::named(name).expect("it is listed"))
        }),
        any::<(u32, u32)>().prop_map(|(node, weight)| Control::Weight(NodeId(node), weight)),
        mark().prop_map(Control::Mark),
    ]
}

fn job() -> impl Strategy<Value = JobNews> {
    let what = prop_oneof![
        Just(JobPhase::Started),
        any::<(u16, u64, u32, u32)>().prop_map(|(step, began, instances, skipped)| {
            JobPhase::StepOver { step, began: Time(began), instances, skipped }
        }),
        any::<(u8, u16, u64)>().prop_map(|(fate, step, requests)| {
            let fate = match fate % 3 {
                0 => JobFate::Completed,
                1 => JobFate::TimedOut,
                _ => JobFate::Failed(step),
            };
            JobPhase::Ended { fate, requests }
        }),
    ];
    (any::<(u64, u16, u64)>(), what).prop_map(|((job, workflow, started), what)| JobNews {
        job,
        workflow: WorkflowId(workflow),
        started: Time(started),
        what,
    })
}

fn report() -> impl Strategy<Value = NodeReport> {
    any::<(u64, [u32; 3], Option<u64>, Option<u64>)>().prop_map(
        |(age, [running, waiting, kv_used], requests_left, tokens_left)| NodeReport {
            age: Span(age),
            running,
            waiting,
            kv_used: Ratio(kv_used),
            requests_left,
            tokens_left: tokens_left.map(Tokens),
        },
    )
}

fn peer() -> impl Strategy<Value = PeerLoad> {
    any::<([u64; 2], Vec<(u32, u32, u64, u64)>)>().prop_map(|([age, epoch], nodes)| {
        let node = |(node, requests, prompt, output)| PeerNode {
            node: NodeId(node),
            requests,
            prompt: Tokens(prompt),
            output: Tokens(output),
        };
        PeerLoad { age: Span(age), epoch, nodes: nodes.into_iter().map(node).collect() }
    })
}

fn any_input() -> impl Strategy<Value = Input> {
    let attempt = || {
        any::<(u64, u8)>()
            .prop_map(|(request, ordinal)| Attempt { request: RequestId(request), ordinal })
    };
    let progress = prop_oneof![
        Just(Progress::FirstToken),
        Just(Progress::Sealed),
        Just(Progress::Anew),
        any::<u64>().prop_map(|count| Progress::Tokens(Tokens(count))),
    ];
    let probed = prop_oneof![Just(ProbeResult::Healthy), failure().prop_map(ProbeResult::Failed)];
    let grade = any::<(u64, u16, u16, u32, u64, u32)>().prop_map(
        |(request, class, route, node, arrived, quality)| Grade {
            request: RequestId(request),
            class: ClassId(class),
            route: RouteId(route),
            node: NodeId(node),
            arrived: Time(arrived),
            quality: Ratio(quality),
        },
    );
    prop_oneof![
        request().prop_map(Input::Arrive),
        (attempt(), progress).prop_map(|(attempt, progress)| Input::Progress(attempt, progress)),
        (attempt(), session_key()).prop_map(|(attempt, key)| Input::Keeps(attempt, key)),
        (attempt(), outcome()).prop_map(|(attempt, outcome)| Input::Finish(attempt, outcome)),
        (any::<(u32, u32)>(), probed).prop_map(|((node, number), result)| Input::Probed(
            NodeId(node),
            number,
            result
        )),
        (any::<u32>(), report()).prop_map(|(node, report)| Input::Report(NodeId(node), report)),
        (any::<u16>(), peer()).prop_map(|(id, load)| Input::Peer(PeerId(id), load)),
        change().prop_map(Input::Fleet),
        control().prop_map(Input::Control),
        any::<u64>().prop_map(|id| Input::Cancel(RequestId(id))),
        job().prop_map(Input::Job),
        Just(Input::Wake),
        any::<(u64, u32)>().prop_map(|(id, good)| Input::Feedback(RequestId(id), Ratio(good))),
        grade.prop_map(Input::Graded),
    ]
}

proptest! {
    #[test]
    fn any_input_is_read_back(input in any_input()) {
        there_and_back(&input);
    }
}

#[test]
fn every_word_of_inputs_is_read_back() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let (mut runner, mut seen) = (TestRunner::deterministic(), BTreeSet::new());
    for _ in 0..3_000 {
        let input = any_input().new_tree(&mut runner).unwrap().current();
        note(&there_and_back(&input), &mut seen);
    }
    let lists = [input::VARIANTS, input::GROUPS, input::WORDS];
    assert_eq!(unseen(&lists, &seen), Vec::<String>::new());
}

fn journal() -> String {
    let strategy = StrategySpec::named("random").unwrap();
    let routes = vec![RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() }];
    let config = Config::new(vec![PoolSpec::new("p", strategy)], Vec::new(), routes);
    let writer = Writer::new(Vec::new(), &Header::new("small", config)).unwrap();
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

fn refused(text: &str) -> ReplayError {
    replay(text.as_bytes(), &mut |_, _| {}).unwrap_err()
}

#[test]
fn a_journal_of_another_version_is_refused_in_a_sentence() {
    let text = journal();
    assert!(replay(text.as_bytes(), &mut |_, _| {}).is_ok());
    for version in [0, 1, 2, 4, u64::MAX] {
        let other = text.replacen("\"version\":3", &format!("\"version\":{version}"), 1);
        assert_eq!(
            refused(&other).to_string(),
            format!(
                "line 1: the journal is of version {version}, and this build reads version 3 only: \
                 the build that wrote it can replay it"
            )
        );
    }
    // What a later version holds need not look like this one.
    let other = "{\"format\":\"plimsoll journal\",\"version\":9,\"config\":\"elsewhere\"}\n";
    assert!(matches!(refused(other), ReplayError::Version(9)));
    for version in ["-3", "3.5", "\"3\"", "null"] {
        let other = text.replacen("\"version\":3", &format!("\"version\":{version}"), 1);
        assert_eq!(refused(&other).to_string(), "line 1: it does not say its version");
    }
    let other = text.replacen("plimsoll journal", "diary", 1);
    assert_eq!(refused(&other).to_string(), "line 1: this is not a plimsoll journal");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_place() {
    let text = journal();
    for (right, wrong, said) in [
        ("{\"random\":{}}", "{\"randm\":{}}", "`config.pools[0].strategy`: `randm` is no strategy"),
        ("\"attempts\":", "\"atempts\":", "`config.retry.attempts`: is missing"),
        ("\"seed\":0", "\"seed\":true", "`config.seed`: expected a whole number from 0 to"),
        ("\"seed\":0", "\"seed\":0,\"sed\":0", "`config.sed`: is not known here"),
    ] {
        let other = text.replacen(right, wrong, 1);
        let said = format!("line 1: {said}");
        assert!(refused(&other).to_string().starts_with(&said), "{}", refused(&other));
    }
}

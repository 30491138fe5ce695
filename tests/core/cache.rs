//! Answers that routes keep: closed forms and an exact replay of hit ratios, and what a hit costs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::common::story::Story;
use crate::common::{World, class, config, constant, slots};
use plimsoll::balance::{
    Action, Attempt, CacheSpec, Config, Event, Failure, Fate, Input, Outcome, Prices, Request,
    TenantLimits, Tenants, Usage,
};
use plimsoll::unit::{ClassId, Cost, Price, RequestId, Span, TenantId, Time, Tokens};
use plimsoll::workload::workflow::{OnFailure, StepContext, StepSpec};
use plimsoll::workload::{
    Arrival, Begin, ClassSpec, ClosedLoop, Jobs, Mix, OpenLoop, Poisson, RepeatLaw, Script, Trace,
    TraceFormat, Traffic, Users, WorkflowSpec,
};

const DISTINCT: u32 = 1_000;
const ZIPF: f64 = 0.9;

/// Requests of which many come again, on a node that answers at once.
fn world(cache: CacheSpec, rate: f64, requests: u64) -> World {
    let mut world = World::new(1, "random", &slots(10_000, constant(0.001)), rate, requests);
    world.config.routes[0].cache = Some(cache);
    world.config.nodes[0].prices = Prices {
        input: Price::from_dollars(1.0),
        output: Price::from_dollars(4.0),
        ..Prices::default()
    };
    world.class = ClassSpec { repeat: RepeatLaw::new(DISTINCT, ZIPF, 1.0), ..class() };
    world
}

fn cache(entries: u32, ttl: Span) -> CacheSpec {
    CacheSpec { entries, tokens: None, ttl, shared: false }
}

/// How popular each request is.
fn popularity() -> Vec<f64> {
    let weights: Vec<f64> = (1..=DISTINCT).map(|rank| f64::from(rank).powf(-ZIPF)).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// The hit ratio of the later half of a run, when the cache is full.
fn late_hit_ratio(world: &World, half: u64) -> f64 {
    let (mut looked, mut hits) = (0_u64, 0_u64);
    world.run_with(
        |_, _| {},
        |_, event| {
            if let Event::Cache(lookup) = event
                && lookup.request.0 >= half
            {
                looked += 1;
                hits += u64::from(lookup.found.is_some());
            }
        },
        false,
    );
    assert!(looked > 0);
    hits as f64 / looked as f64
}

#[track_caller]
fn near(what: &str, simulated: f64, exact: f64, within: f64) {
    println!("{what}: simulated {simulated:.4}, exact {exact:.4}");
    assert!((simulated / exact - 1.0).abs() < within, "{what}: {simulated}, not {exact}");
}

/// Che's approximation: a request of popularity p is kept for a time T of requests since it was used
/// last, and is found with probability 1 - e^(-pT), where T is such that as many are kept as there is
/// room for. It is exact to a few thousandths.
#[test]
fn the_hit_ratio_of_a_full_cache_is_that_of_che() {
    let popular = popularity();
    for entries in [50_u32, 200, 600] {
        let kept = |time: f64| popular.iter().map(|p| 1.0 - (-p * time).exp()).sum::<f64>();
        let (mut low, mut high) = (0.0, 1e9);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if kept(middle) < f64::from(entries) { low = middle } else { high = middle }
        }
        let exact: f64 = popular.iter().map(|p| p * (1.0 - (-p * low).exp())).sum();
        let world = world(cache(entries, Span::from_secs(1_000_000)), 20.0, 200_000);
        near(&format!("{entries} entries"), late_hit_ratio(&world, 100_000), exact, 0.01);
    }
}

/// With room for all, an answer is found for a time after it came, and then asked for anew: of requests
/// that come at a rate r, r * ttl of every 1 + r * ttl are found.
#[test]
fn the_hit_ratio_of_answers_that_grow_old_is_exact() {
    for (ttl, rate) in [(20, 50.0), (200, 50.0)] {
        let world = world(cache(1_000_000, Span::from_secs(ttl)), rate, 200_000);
        let exact: f64 = popularity()
            .iter()
            .map(|p| {
                let asked = p * rate * ttl as f64;
                p * asked / (1.0 + asked)
            })
            .sum();
        near(&format!("{ttl} s"), late_hit_ratio(&world, 20_000), exact, 0.01);
    }
}

/// An independent list: who is used goes to the end, and the first one gives way.
#[test]
fn every_hit_is_one_of_a_list_that_is_replayed() {
    let spec = CacheSpec { tokens: Some(6_000), ..cache(90, Span::from_secs(40)) };
    let world = world(spec, 30.0, 30_000);
    let contents: RefCell<BTreeMap<RequestId, u64>> = RefCell::default();
    let ended: RefCell<BTreeMap<RequestId, u64>> = RefCell::default();
    let mut list: Vec<(u64, Time, u64)> = Vec::new();
    let (mut hits, mut looked) = (0_u64, 0_u64);
    let (summary, _) = world.run_with(
        |_, input| {
            if let Input::Arrive(request) = input {
                contents.borrow_mut().insert(request.id, request.content.expect("all come again"));
            }
        },
        |now, event| match event {
            Event::Cache(lookup) => {
                let content = contents.borrow()[&lookup.request];
                let place = list.iter().position(|kept| kept.0 == content);
                let kept = place.map(|place| list.remove(place));
                let kept = kept.filter(|kept| now.since(kept.1) <= spec.ttl);
                list.extend(kept);
                assert_eq!(
                    lookup.found.map(|found| (found.age, found.usage.output.0)),
                    kept.map(|kept| (now.since(kept.1), kept.2)),
                    "request {}",
                    lookup.request.0
                );
                looked += 1;
                hits += u64::from(lookup.found.is_some());
            }
            Event::Ended { attempt, usage, .. } => {
                ended.borrow_mut().insert(attempt.request, usage.output.0);
            }
            Event::Settled(settled) if !settled.cached => {
                let content = contents.borrow()[&settled.request];
                list.retain(|kept| kept.0 != content);
                list.push((content, now, ended.borrow()[&settled.request]));
                let tokens =
                    |list: &[(u64, Time, u64)]| list.iter().map(|kept| kept.2).sum::<u64>();
                while list.len() > 90 || tokens(&list) > 6_000 {
                    list.remove(0);
                }
            }
            _ => {}
        },
        true,
    );
    let told = summary.cache.expect("answers are kept");
    assert_eq!((told.lookups, told.hits, looked), (30_000, hits, 30_000));
    assert!(hits > 5_000, "{hits}");
}

#[test]
fn a_hit_takes_no_node_no_time_and_no_money_and_what_it_saves_is_told() {
    let world = world(cache(300, Span::from_secs(3_600)), 20.0, 20_000);
    let (mut hit, mut saved, mut spent) = (BTreeSet::new(), Cost::ZERO, Cost::ZERO);
    let (mut cached, mut attempts) = (0_u64, 0_u64);
    let (summary, _) = world.run_with(
        |_, _| {},
        |_, event| match event {
            Event::Cache(lookup) => {
                if let Some(found) = lookup.found {
                    assert!(found.cost > Cost::ZERO && found.usage.output > Tokens::ZERO);
                    hit.insert(lookup.request);
                    saved += found.cost;
                }
            }
            Event::Dispatched { attempt, .. } => {
                assert!(!hit.contains(&attempt.request), "it goes to no node");
                attempts += 1;
            }
            Event::Ended { cost, .. } => spent += *cost,
            Event::Settled(settled) => {
                assert_eq!(settled.cached, hit.contains(&settled.request));
                if settled.cached {
                    cached += 1;
                    assert_eq!((settled.fate, settled.node), (Fate::Completed, None));
                    assert_eq!((settled.attempts, settled.spent), (0, Cost::ZERO));
                    assert_eq!(settled.usage, Usage::NONE);
                }
            }
            _ => {}
        },
        true,
    );
    let told = summary.cache.expect("answers are kept");
    assert_eq!((told.hits, told.lookups), (cached, 20_000));
    let money = (told.saved_usd, summary.cost_usd.tokens);
    assert_eq!(money, (saved.dollars(), spent.dollars()), "only what nodes did is paid for");
    assert_eq!((summary.requests.completed, attempts), (20_000, 20_000 - cached));
    assert_eq!(summary.attempts.total, attempts);
    assert_eq!(summary.pools[0].requests.arrived, attempts, "a pool has what its nodes served");
    assert_eq!(summary.nodes[0].attempts, attempts);
    assert!(cached > 5_000 && told.hit_ratio > Some(0.25), "{told:?}");
    assert_eq!(summary.latency_s.p50.map(|p50| p50 < 0.001), Some(told.hit_ratio > Some(0.5)));
}

#[test]
fn without_a_cache_what_comes_again_is_asked_again_and_nothing_is_told() {
    let mut world = world(cache(300, Span::from_secs(3_600)), 20.0, 2_000);
    world.config.routes[0].cache = None;
    let mut told = 0_u64;
    let (summary, _) = world.run_with(
        |_, _| {},
        |_, event| told += u64::from(matches!(event, Event::Cache(_))),
        false,
    );
    assert_eq!((told, summary.cache, summary.attempts.total), (0, None, 2_000));
}

/// One node and a cache, told what happens by hand.
fn story(change: impl FnOnce(&mut Config)) -> Story {
    let mut config = config(1, "random", 1);
    config.routes[0].cache = Some(cache(10, Span::from_secs(60)));
    change(&mut config);
    Story::new(config)
}

/// A request of a tenant that asks this.
fn ask(story: &mut Story, id: u64, tenant: u32, content: u64) {
    let request = Request::new(RequestId(id), story.now);
    let tenant = TenantId(tenant);
    story.feed(Input::Arrive(Request { tenant, content: Some(content), ..request }));
}

fn answered(story: &Story, id: u64) -> Option<Fate> {
    story.actions.iter().find_map(|action| match action {
        Action::Answer { request, fate, by: None, .. } if request.0 == id => Some(*fate),
        _ => None,
    })
}

const DONE: Outcome = Outcome::Done(Usage {
    input: Tokens(10),
    cached: Tokens::ZERO,
    output: Tokens(5),
    estimated: false,
});

#[test]
fn only_whole_answers_are_kept_and_only_on_their_route() {
    let mut story = story(|config| config.retry.attempts = 1);
    ask(&mut story, 1, 0, 7);
    let failed = Outcome::Failed(Failure::Reset, Usage { output: Tokens(3), ..Usage::NONE });
    story.finish(1, 0, failed);
    ask(&mut story, 2, 0, 7);
    assert_eq!(story.dispatched().len(), 1, "nothing was kept of what broke off");
    story.feed(Input::Cancel(RequestId(2)));
    story.feed(Input::Finish(Attempt { request: RequestId(2), ordinal: 0 }, DONE));
    ask(&mut story, 3, 0, 7);
    assert_eq!(story.dispatched().len(), 1, "nor of what nobody waited for");
    story.finish(3, 0, DONE);
    ask(&mut story, 4, 0, 7);
    assert_eq!(answered(&story, 4), Some(Fate::Completed));
    assert!(story.dispatched().is_empty());
    story.arrive(5, 10);
    assert_eq!(story.dispatched().len(), 1, "who does not say what it asks goes to a node");
}

/// A hit needs no room, no quota and no money, whoever else waits.
#[test]
fn a_hit_is_answered_where_nothing_else_would_be() {
    let mut story = story(|config| {
        config.nodes[0].limits.concurrency = Some(1);
        config.queue.max = 0;
        let mut each = TenantLimits::default();
        each.limits.requests_per_minute = Some(2);
        config.admission.tenants = Tenants { each, named: Vec::new() };
    });
    ask(&mut story, 1, 0, 7);
    story.finish(1, 0, DONE);
    ask(&mut story, 2, 0, 8);
    assert_eq!(story.dispatched().len(), 1, "the node and the minute are used up");
    for id in 3..8 {
        ask(&mut story, id, 0, 7);
        assert_eq!(answered(&story, id), Some(Fate::Completed));
    }
    ask(&mut story, 8, 0, 9);
    assert!(matches!(answered(&story, 8), Some(Fate::Rejected(_))), "something new is refused");
    // Other tenants do not see it.
    story.finish(2, 0, DONE);
    ask(&mut story, 9, 1, 7);
    assert_eq!(answered(&story, 9), None);
    assert_eq!(story.dispatched().len(), 1);
    story.finish(9, 0, DONE);
    // A minute later everything is too old.
    story.pass(60_001);
    ask(&mut story, 10, 0, 7);
    assert_eq!((answered(&story, 10), story.dispatched().len()), (None, 1));
}

/// What is asked, how long it is, and how long the answer is, of requests that somebody sends.
fn sent(mut traffic: impl Traffic, count: usize) -> Vec<(Option<u64>, Tokens, Tokens)> {
    let mut sent = Vec::new();
    while sent.len() < count {
        let now = traffic.news_at().into_iter().chain(traffic.peek().expect("no trace")).min();
        let Some(now) = now else { break };
        while traffic.news(now).is_some() {}
        if traffic.peek().expect("no trace").is_none_or(|at| at > now) {
            continue;
        }
        let Arrival { at, request, truth } = traffic.take();
        sent.push((request.content, request.prompt, truth.output));
        traffic.settled(at + Span::from_millis(1), request.id, Fate::Completed);
    }
    sent
}

/// Of requests that ask the same all prompts are of one length; some do, and answers differ.
#[track_caller]
fn repeats(sent: &[(Option<u64>, Tokens, Tokens)]) {
    let mut prompts: BTreeMap<u64, Tokens> = BTreeMap::new();
    let mut answers: BTreeMap<u64, BTreeSet<Tokens>> = BTreeMap::new();
    for (content, prompt, output) in sent {
        let Some(content) = *content else { continue };
        assert_eq!(prompts.entry(content).or_insert(*prompt), prompt);
        answers.entry(content).or_default().insert(*output);
    }
    assert!(prompts.len() <= DISTINCT as usize && prompts.len() * 2 < sent.len());
    assert!(answers.values().any(|answers| answers.len() > 1), "they are said anew each time");
    let lengths: BTreeSet<&Tokens> = prompts.values().collect();
    assert!(lengths.len() > 10, "they are not all of one length");
}

#[test]
fn what_comes_again_has_one_length_whoever_sends_it_and_moves_no_answer() {
    let with = |repeat| vec![ClassSpec { repeat, ..class() }];
    let law = || RepeatLaw::new(DISTINCT, ZIPF, 0.8);
    let open = |repeat| {
        let mix = Mix::new(with(repeat), 7);
        sent(OpenLoop::new(Poisson::new(9.0, Time::MAX, 4_000, 7, mix)), 4_000)
    };
    let (again, once) = (open(law()), open(None));
    repeats(&again);
    assert!(once.iter().all(|(content, ..)| content.is_none()));
    let named = again.iter().filter(|(content, ..)| content.is_some()).count();
    near("share", named as f64 / 4_000.0, 0.8, 0.03);
    let answers = |sent: &[(_, _, Tokens)]| sent.iter().map(|one| one.2).collect::<Vec<_>>();
    assert_eq!(answers(&again), answers(&once), "repetition moves no answer");
    // Users ask alike.
    let users = Users { count: 20, think: constant(0.1), ramp: Span::ZERO };
    let mix = Mix::new(with(law()), 7);
    let closed = ClosedLoop::new(Begin::Users(users), Script::Single, Time::MAX, 4_000, 7, mix);
    repeats(&sent(closed, 4_000));
    // So do steps of jobs, but for what goes on from what was said before.
    let step = |name: &str, after: &[u16], context| StepSpec {
        back_to: None,
        name: name.to_owned(),
        class: ClassId(0),
        after: after.to_vec(),
        fan_out: constant(1.0),
        rounds: constant(1.0),
        deadline: None,
        retries: 0,
        on_failure: OnFailure::Fail,
        calls: Vec::new(),
        context,
    };
    let steps = vec![step("ask", &[], StepContext::Fresh), step("go on", &[0], StepContext::Grow)];
    let flow = WorkflowSpec { name: "job".to_owned(), share: 1.0, deadline: None, steps };
    let starts = Poisson::new(9.0, Time::MAX, 2_000, 7, Mix::new(with(law()), 7));
    let asked = sent(Jobs::new(starts, vec![flow], with(law()), 7), 4_000);
    assert_eq!(asked.len(), 4_000);
    let named = asked.iter().filter(|(content, ..)| content.is_some()).count();
    near("first steps", named as f64 / 4_000.0, 0.4, 0.05);
    repeats(&asked);
}

#[test]
fn traces_with_hashes_of_whole_prompts_say_what_is_asked_again() {
    let row = |tokens: u64, ids: &str| {
        format!(
            "{{\"timestamp\": 0, \"input_length\": {tokens}, \"output_length\": 5, \
             \"hash_ids\": [{ids}]}}\n"
        )
    };
    let text = [(900, "1, 2"), (900, "1, 2"), (901, "1, 2"), (900, "1, 3"), (2_000, "1, 2")];
    let text: String = text.iter().map(|(tokens, ids)| row(*tokens, ids)).collect();
    let reader = Box::new(std::io::Cursor::new(text.into_bytes()));
    let mix = Mix::new(vec![class()], 1);
    let trace = Trace::new(reader, TraceFormat::Mooncake, 1.0, Time::MAX, u64::MAX, 1, mix);
    let contents: Vec<_> = sent(OpenLoop::new(trace), 9).iter().map(|one| one.0).collect();
    assert_eq!(contents.len(), 5);
    assert!(contents[0].is_some() && contents[0] == contents[1]);
    assert!(contents[2].is_some() && contents[2] != contents[0], "it is longer");
    assert!(contents[3].is_some() && contents[3] != contents[0], "it goes on otherwise");
    assert_eq!(contents[4], None, "the hashes do not reach its end");
}

//! Laws of model choice: shares, closed forms of cascades, what a bandit learns, and that none of it
//! touches what is not its own.

use std::collections::BTreeMap;
use std::io::BufReader;

use plimsoll::balance::{
    Balancer, Config, Event, Grade, Input, ModelRule, NodeSpec, Outcome, PoolSpec, Request,
    RouteSpec, StrategySpec, Usage, check,
};
use plimsoll::journal::{Header, Writer, replay};
use plimsoll::metrics::{Collector, Summary, Watch};
use plimsoll::rng::Rng;
use plimsoll::scenario::{Arrivals, Scenario};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{PoolId, Ratio, RequestId, Span, Time};
use plimsoll::workload::{Mix, OpenLoop, Poisson};

/// A small and a large model: 1.1 s and 1.5 s an answer, $0.0011 and $0.0110; `rest` is added.
fn text(quality: &str, choose: &str, rest: &str) -> String {
    format!(
        r#"
        {rest}
        [[pool]]
        name = "small"
        strategy = "round_robin"
        [[pool.node]]
        name = "small-1"
        model = "small"
        price = {{ input = 10, output = 10 }}
        backend = {{ api = {{ ttft = {{ constant = "200ms" }}, tokens_per_second = {{ constant = 10 }} }} }}
        [[pool]]
        name = "large"
        strategy = "round_robin"
        [[pool.node]]
        name = "large-1"
        model = "large"
        price = {{ input = 100, output = 100 }}
        backend = {{ api = {{ ttft = {{ constant = "500ms" }}, tokens_per_second = {{ constant = 9 }} }} }}
        [quality]
        {quality}
        [[route]]
        name = "all"
        match = {{}}
        to = ["small", "large"]
        {choose}
        [workload]
        arrivals = {{ poisson = {{ rate = 20 }} }}
        "#
    )
}

const CLASS: &str = r#"
    [[class]]
    name = "default"
    prompt_tokens = { constant = 100 }
    output_tokens = { constant = 10 }
"#;

fn sim(text: &str, requests: u64) -> (Scenario, Sim) {
    let text = format!("requests = {requests}\n{text}");
    let scenario = Scenario::parse("test", "test.toml", &text, &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{}", problems.draw(false)));
    let Arrivals::Made(process) = scenario.arrivals else { panic!("they are made up") };
    let mix = Mix::new(scenario.classes.clone(), scenario.seed);
    let source = Poisson::new(process, Time::MAX, requests, scenario.seed, mix);
    let parts = SimSpec {
        quality: scenario.quality.clone(),
        faults: scenario.faults.clone(),
        ..SimSpec::new(scenario.balancer.clone(), scenario.backends.clone())
    };
    let sim = Sim::new(parts, Box::new(OpenLoop::new(source))).expect("no trace");
    (scenario, sim)
}

/// Runs to the end, with every invariant now and then.
fn run(text: &str, requests: u64, mut watch: impl FnMut(Time, &Event)) -> (Summary, Sim) {
    let (scenario, mut sim) = sim(text, requests);
    let mut collector = Collector::new(scenario.labels.clone(), &scenario.balancer, Watch::Report);
    let mut sink = |now: Time, event: &Event| {
        watch(now, event);
        collector.fold(now, event);
    };
    let mut steps = 0_u64;
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {
        steps += 1;
        if steps.is_multiple_of(61) {
            check(sim.balancer()).expect("every invariant holds");
        }
    }
    let totals = sim.totals();
    assert_eq!((totals.arrived, totals.dispatched), (totals.settled, totals.ended));
    assert_eq!(totals.area, totals.sojourn, "Little's law in integers");
    (collector.summary(sim.now(), true), sim)
}

fn near(what: &str, value: Option<f64>, wanted: f64, off: f64) {
    let value = value.expect("it was measured");
    assert!((value - wanted).abs() <= off, "{what}: {value}, wanted {wanted}");
}

fn share(summary: &Summary, model: &str) -> f64 {
    let models = &summary.quality.as_ref().expect("it is known").models;
    models.iter().find(|one| one.model == model).map_or(0.0, |one| one.share)
}

#[test]
fn complexity_sends_the_wanted_share_while_the_traffic_drifts() {
    let node = |pool: u16| NodeSpec::new(&format!("n{pool}"), PoolId(pool));
    let strategy = StrategySpec::named("random").expect("it is listed");
    let pools = ["weak", "strong"].map(|name| PoolSpec::new(name, strategy.clone()));
    for wanted in [0.1, 0.5] {
        let strong_share = Ratio::from_f64(wanted);
        let route = RouteSpec {
            to: vec![PoolId(0), PoolId(1)],
            choose: Some(ModelRule::Complexity { strong_share, window: 500 }),
            ..RouteSpec::default()
        };
        let config = Config::new(pools.to_vec(), vec![node(0), node(1)], vec![route]);
        let mut balancer = Balancer::new(config);
        let mut rng = Rng::stream(5, "scores");
        let mut strong = Vec::new();
        for id in 0..20_000_u64 {
            // Hard requests of the beginning are easy ones at the end.
            let complexity = Some((rng.unit() * 1e6) as u32 + id as u32 * 250);
            let request = Request { complexity, ..Request::new(RequestId(id), Time(id)) };
            let effects = balancer.handle(Time(id), Input::Arrive(request));
            let attempt = effects.events.iter().find_map(|event| match event {
                Event::Dispatched { attempt, node, .. } => Some((*attempt, node.0)),
                _ => None,
            });
            let (attempt, node) = attempt.expect("there is room");
            strong.push(f64::from(node));
            balancer.handle(Time(id), Input::Finish(attempt, Outcome::Done(Usage::NONE)));
        }
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        near("first requests", Some(mean(&strong[..200])), wanted, 0.12);
        for part in strong.chunks(2_000) {
            // The window lags behind: by an eighth of the scale when the last in it came.
            near("a part", Some(mean(part)), wanted + 0.0625, 0.05);
        }
    }
}

#[test]
fn a_cascade_has_the_quality_cost_and_times_of_its_closed_form() {
    let quality = r#"models = { small = 0.8, large = 0.95 }
        scorer = { auc = 0.9 }"#;
    let cascade = text(quality, "choose = { cascade = { accept = 0.5 } }", "");
    let requests = 40_000;
    let (summary, _) = run(&format!("{cascade}{CLASS}"), requests, |_, _| {});
    // d = sqrt 2 * 1.281552; a good answer is accepted with Phi(d / 2), a bad one with the rest.
    let right = 0.817_59;
    let accepted = 0.8 * right + 0.2 * (1.0 - right);
    let on = 1.0 - accepted;
    let sigma = (accepted * on / requests as f64).sqrt();
    let all = summary.quality.as_ref().expect("it is known");
    near("escalated", Some(all.escalated as f64 / requests as f64), on, 4.0 * sigma);
    near("quality", all.mean, 0.8 * right + on * 0.95, 0.005);
    near("latency", summary.latency_s.mean, 1.1 + on * 1.5, 6.0 * sigma);
    // What is not accepted yet is not streamed; the last model's answer is.
    near("ttft", summary.ttft_s.mean, 1.1 + on * 0.5, 4.0 * sigma);
    near("cost", summary.cost_usd.per_1k_requests, 1.1 + on * 11.0, 44.0 * sigma);
    assert_eq!(summary.attempts.total, requests + all.escalated);
    assert_eq!((summary.attempts.retries, summary.attempts.failovers), (0, 0));
    let route = &summary.routes[0];
    assert!((route.cost_usd.total - summary.cost_usd.tokens).abs() < 1e-9, "every answer is paid");
}

#[test]
fn an_answer_in_hand_is_better_than_none() {
    let quality = "models = { small = 0.5, large = 1.0 }";
    let always = text(quality, "choose = \"cascade\"", "");
    // The large model would need until 2.6 s.
    let late = format!("{always}{CLASS}\ndeadline = \"2s\"\n");
    let (summary, _) = run(&late, 4_000, |_, _| {});
    assert_eq!(summary.requests.completed, 4_000, "{:?}", summary.requests);
    let all = summary.quality.as_ref().expect("it is known");
    assert!(all.escalated > 1_800, "{all:?}");
    near("quality", all.mean, 0.5, 0.03);
    near("last", summary.latency_s.max, 2.0, 1e-3);
    // The large model takes one at a time: most find no room, and are not made to wait.
    let limited =
        always.replace("name = \"large-1\"", "name = \"large-1\"\nlimits = { concurrency = 1 }");
    let (summary, _) = run(&format!("{limited}{CLASS}"), 4_000, |_, _| {});
    assert_eq!(summary.requests.completed, 4_000, "{:?}", summary.requests);
    assert_eq!(summary.queue_s.max, Some(0.0));
    let large = share(&summary, "large");
    assert!((0.02..0.2).contains(&large), "{large}");
    // Nor do those whose large model fails half of the time: what is tried again finds it taken.
    let two = limited.replace("name = \"large-1\"", "name = \"large-1\"\ncount = 2");
    let errors = "[[fault]]\nat = \"0s\"\nerrors = { pool = \"large\", share = 0.5 }";
    let (summary, _) = run(&format!("{two}{CLASS}\n{errors}"), 4_000, |_, _| {});
    assert_eq!(summary.requests.completed, 4_000, "{:?}", summary.requests);
    assert!(summary.attempts.retries > 20, "{:?}", summary.attempts);
    assert_eq!(summary.queue_s.max, Some(0.0));
    // And a large model that is gone harms nobody.
    let (_, mut sim) = sim(&format!("{always}{CLASS}"), 500);
    sim.kill(plimsoll::unit::NodeId(1));
    let mut completed = 0;
    let mut sink = |_: Time, event: &Event| {
        if let Event::Settled(settled) = event {
            completed += u64::from(settled.fate == plimsoll::balance::Fate::Completed);
        }
    };
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {}
    assert_eq!(completed, 500);
}

/// Requests that went to the large model, by hundreds of arrivals.
fn large(text: &str, requests: u64) -> (Vec<u64>, Sim) {
    let mut parts = vec![0; requests as usize / 100];
    let (_, sim) = run(text, requests, |_, event| {
        if let Event::Dispatched { attempt, node, .. } = event {
            parts[attempt.request.0 as usize / 100] += u64::from(node.0);
        }
    });
    (parts, sim)
}

#[test]
fn a_bandits_regret_grows_ever_slower() {
    let quality = r#"models = { small = 0.6, large = 0.9 }
        feedback = { share = 0.5, after = { exponential = { mean = "10s" } } }"#;
    // A good answer is worth so much that prices do not matter.
    let bandit = "choose = { bandit = { worth = 100.0, memory = 1_000_000 } }";
    let (parts, sim) = large(&format!("{}{CLASS}", text(quality, bandit, "")), 20_000);
    let regret = |part: &[u64]| part.iter().map(|large| 100 - large).sum::<u64>();
    let (first, last) = (regret(&parts[..20]), regret(&parts[100..]));
    // It knows nothing before the first words come, some 200 requests later.
    assert!(first > 60, "it tries both: {first}");
    assert!(last * 4 < first, "{first} of the first 2,000, {last} of the last 10,000");
    // Half of all are never heard of; they are remembered, up to a limit, and cost nothing else.
    assert!((9_000..11_500).contains(&sim.balancer().awaiting_feedback()));
}

#[test]
fn a_bandit_leaves_a_model_that_got_worse_and_minds_the_price() {
    let change = r#"models = { small = 0.7, large = 0.95 }
        feedback = { share = 0.5, after = { constant = "5s" } }
        change = [{ at = "400s", models = { large = 0.3 } }]"#;
    let choose = "choose = { bandit = { worth = 100.0, memory = 500 } }";
    let (parts, _) = large(&format!("{}{CLASS}", text(change, choose, "")), 16_000);
    let of = |part: &[u64]| part.iter().sum::<u64>() as f64 / (part.len() * 100) as f64;
    assert!(of(&parts[40..80]) > 0.85, "before: {}", of(&parts[40..80]));
    assert!(of(&parts[100..]) < 0.2, "after: {}", of(&parts[100..]));
    // As good as each other, and one costs a cent more, which is half of what an answer is worth.
    let quality = "models = { small = 0.9, large = 0.95 }\nfeedback = { share = 1 }";
    let choose = "choose = { bandit = { worth = 0.02 } }";
    let (parts, _) = large(&format!("{}{CLASS}", text(quality, choose, "")), 4_000);
    assert!(of(&parts[20..]) < 0.02, "{}", of(&parts[20..]));
}

/// What an answer is worth in the mean, a good one being worth five cents: in good answers.
fn worth(complexity: &str, choose: &str, seed: u64) -> f64 {
    let quality = r#"models = { small = 0.6, large = 0.9 }
        difficulty = 1.0
        feedback = { share = 0.5, after = { exponential = { mean = "10s" } } }"#;
    let class = format!("{CLASS}\n{complexity}\n");
    let seed = format!("seed = {seed}");
    let (summary, _) = run(&format!("{}{class}", text(quality, choose, &seed)), 12_000, |_, _| {});
    let good = summary.quality.as_ref().expect("it is known").mean.expect("it was measured");
    good - summary.cost_usd.total / 12_000.0 / 0.05
}

#[test]
fn a_learnt_threshold_comes_near_the_best_fixed_one_and_does_no_harm_where_complexity_says_nothing()
{
    for correlation in [0.0, 0.8] {
        let class = format!(
            "complexity = {{ exponential = {{ mean = 1 }} }}\ncomplexity_correlation = {correlation}"
        );
        for seed in 1..=3 {
            let fixed = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0].map(|share| {
                let choose = format!("choose = {{ complexity = {{ strong_share = {share} }} }}");
                worth(&class, &choose, seed)
            });
            let best = fixed.into_iter().fold(f64::NEG_INFINITY, f64::max);
            let learnt = worth(&class, "choose = { threshold = { worth = 0.05 } }", seed);
            let at = format!("correlation {correlation}, seed {seed}: {learnt}, fixed {fixed:?}");
            assert!(learnt > best - 0.03, "{at}");
            // Where it says something, neither model alone is as good.
            assert!(correlation == 0.0 || learnt > fixed[0].max(fixed[5]) + 0.03, "{at}");
        }
    }
}

#[test]
fn critical_requests_are_not_experimented_with() {
    let quality = "models = { small = 0.6, large = 0.9 }\nfeedback = { share = 1 }";
    let choose = "choose = { bandit = { worth = 100.0 } }";
    let critical = format!("{}{CLASS}\npriority = \"critical\"\n", text(quality, choose, ""));
    let (parts, _) = large(&critical, 3_000);
    // By means it leaves a model that disappoints, and then stays with one that does not.
    let settled = &parts[10..];
    assert!(settled.iter().all(|large| *large == settled[0]), "{parts:?}");
    assert!([0, 100].contains(&settled[0]), "{parts:?}");
}

#[test]
fn a_word_is_heard_once_and_about_answers_only() {
    let quality = "models = { small = 0.6, large = 0.9 }\nfeedback = { share = 1 }";
    let choose = "choose = { bandit = { worth = 1.0 } }";
    let (scenario, mut sim) = sim(&format!("{}{CLASS}", text(quality, choose, "")), 10);
    let mut inputs = Vec::new();
    let mut record = |now: Time, input: &Input| inputs.push((now, input.clone()));
    while sim.step(&mut record, &mut |_, _| {}).expect("no trace") == Step::Handled {}
    let mut balancer = Balancer::new(scenario.balancer);
    for (now, input) in inputs {
        if !matches!(input, Input::Feedback(..)) {
            balancer.handle(now, input);
        }
    }
    assert_eq!(balancer.awaiting_feedback(), 10);
    let now = sim.now() + Span::from_secs(1);
    let mut say = |request| {
        let word = Input::Feedback(RequestId(request), Ratio::ONE);
        let events = &balancer.handle(now, word).events;
        assert_eq!(events.len(), 1);
        matches!(events[0], Event::Feedback { .. })
    };
    assert!(say(3) && !say(3) && !say(77), "twice is late, and so is word of nobody");
    assert_eq!(balancer.awaiting_feedback(), 9);
}

#[test]
fn how_is_chosen_changes_no_arrival_and_no_answer() {
    let quality = r#"models = { small = 0.6, large = 0.9 }
        scorer = { auc = 0.8 }
        feedback = { share = 0.3 }"#;
    let class = format!("{CLASS}\ncomplexity = {{ exponential = {{ mean = 1 }} }}\n");
    let seen = |choose: &str| {
        let mut arrivals = Vec::new();
        let mut grades: BTreeMap<(RequestId, u32), Ratio> = BTreeMap::new();
        run(&format!("{}{class}", text(quality, choose, "")), 3_000, |now, event| match event {
            Event::Arrived { request, class, prompt, .. } => {
                arrivals.push((now, *request, *class, *prompt));
            }
            Event::Graded(Grade { request, node, quality, .. }) => {
                grades.insert((*request, node.0), *quality);
            }
            _ => {}
        });
        (arrivals, grades)
    };
    let (arrivals, grades) = seen("");
    assert_eq!(grades.len(), 3_000);
    let mut common = 0;
    for choose in [
        "choose = { complexity = { strong_share = 0.4 } }",
        "choose = { threshold = { worth = 0.05 } }",
        "choose = \"cascade\"",
        "choose = { bandit = { worth = 0.05 } }",
    ] {
        let (others, answers) = seen(choose);
        assert_eq!(others, arrivals, "{choose}");
        for (answer, quality) in &answers {
            if let Some(same) = grades.get(answer) {
                assert_eq!(same, quality, "{choose}: {answer:?}");
                common += 1;
            }
        }
    }
    assert!(common > 3_000, "{common}");
}

#[test]
fn a_journal_of_choices_replays() {
    let quality = r#"models = { small = 0.6, large = 0.9 }
        feedback = { share = 0.5, after = { constant = "3s" } }"#;
    for choose in [
        "choose = { complexity = { strong_share = 0.4, window = 50 } }",
        "choose = { threshold = { worth = 0.05, prior = 3, memory = 100, window = 50 } }",
        "choose = { cascade = { accept = 0.9 } }",
        "choose = { bandit = { worth = 0.05, prior = 4, memory = 100 } }",
    ] {
        let (scenario, mut sim) = sim(&format!("{}{CLASS}", text(quality, choose, "")), 1_500);
        let header = Header::new("test", scenario.balancer);
        let writer = std::cell::RefCell::new(Writer::new(Vec::new(), &header).expect("memory"));
        let mut record = |now: Time, input: &Input| {
            writer.borrow_mut().input(now, input).expect("memory");
        };
        let mut sink = |now: Time, event: &Event| writer.borrow_mut().event(now, event);
        while sim.step(&mut record, &mut sink).expect("no trace") == Step::Handled {}
        let journal = writer.into_inner().finish().expect("memory");
        replay(BufReader::new(journal.as_slice()), &mut |_, _| {}).expect("it replays");
    }
}

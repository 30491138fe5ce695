//! The same seed gives the same run, and a journal of inputs is a whole run.

use crate::common;
use std::io::BufReader;

use crate::common::World;
use plimsoll::balance::{Attempt, Event, Explain, Input, Limits, Prices, REGISTRY, StrategySpec};
use plimsoll::dist::Dist;
use plimsoll::journal::{Header, ReplayError, Writer, replay};
use plimsoll::metrics::{Collector, Watch};
use plimsoll::node::{ApiSpec, BackendSpec, ErrorAnswer, FaultKind, FaultSpec, SlotsSpec};
use plimsoll::rng::Rng;
use plimsoll::sim::Step;
use plimsoll::unit::{NodeId, Price, Ratio, Span, Time};

/// Two slots nodes and three hosted ones, every kind of fault, tight limits.
fn stormy(strategy: &str, requests: u64) -> World {
    let service = Dist::lognormal_quantiles(0.2, 0.9).expect("a law");
    let servers =
        BackendSpec::Slots(SlotsSpec { servers: 4, queue: 6, service, per_item: Span::ZERO });
    let mut world = World::new(5, strategy, &servers, 25.0, requests);
    let spec = ApiSpec {
        ttft: Dist::lognormal_quantiles(0.3, 1.0).expect("a law"),
        tokens_per_second: Dist::uniform(60.0, 90.0).expect("a law"),
    };
    for index in 2..5 {
        let limits = Limits {
            concurrency: Some(10),
            requests_per_minute: Some(500),
            tokens_per_minute: Some(150_000),
        };
        world.config.nodes[index].limits = limits;
        world.config.nodes[index].prices = Prices {
            input: Price::from_dollars(2.5),
            cached_input: Price::from_dollars(1.25),
            output: Price::from_dollars(10.0),
        };
        world.backends[index] = BackendSpec::Api(spec.clone(), limits);
    }
    world.config.timeouts.first_token = Some(Span::from_secs(2));
    world.config.timeouts.total = Some(Span::from_secs(15));
    world.config.retry.budget = Ratio::from_f64(0.3);
    world.config.health.probe_every = Some(Span::from_secs(5));
    world.config.health.eject_base = Span::from_secs(10);
    world.config.queue.max = 30;
    world.config.queue.max_wait = Some(Span::from_secs(2));
    let fault = |at, lasts, kind, node| FaultSpec {
        at: Time::ZERO + Span::from_secs(at),
        lasts: Some(Span::from_secs(lasts)),
        kind,
        nodes: vec![NodeId(node)],
    };
    let limited = ErrorAnswer::RateLimited(Some(Span::from_secs(3)));
    world.faults = vec![
        fault(5, 10, FaultKind::Crash, 0),
        fault(8, 12, FaultKind::Hang, 2),
        fault(12, 20, FaultKind::Slow(4.0), 3),
        fault(15, 10, FaultKind::Errors(Ratio::from_f64(0.5), ErrorAnswer::ServerError), 1),
        fault(20, 10, FaultKind::Errors(Ratio::from_f64(0.7), limited), 4),
        fault(25, 5, FaultKind::Hang, 1),
        fault(27, 9, FaultKind::Crash, 2),
    ];
    world
}

/// A run as text: every event, and the summary.
fn run(world: &World) -> (Vec<String>, String, Vec<u8>) {
    let mut events = Vec::new();
    let header = Header::new("stormy", world.config.clone());
    let journal = std::cell::RefCell::new(Writer::new(Vec::new(), &header).expect("memory"));
    let (summary, _) = world.run_with(
        |now, input| journal.borrow_mut().input(now, input).expect("memory"),
        |now, event: &Event| {
            journal.borrow_mut().event(now, event);
            events.push(format!("{now:?} {event:?}"));
        },
        true,
    );
    let journal = journal.into_inner().finish().expect("memory");
    (events, serde_json::to_string(&summary).expect("plain data"), journal)
}

#[test]
fn a_stormy_run_keeps_every_invariant_and_conserves_requests() {
    for entry in REGISTRY {
        let world = stormy(entry.name, 1_500);
        let mut cost = 0;
        let mut dispatched = 0_u64;
        let watch = |_, event: &Event| match event {
            Event::Ended { cost: this, .. } => cost += this.0,
            Event::Dispatched { .. } => dispatched += 1,
            _ => {}
        };
        let (summary, sim) = world.run_with(|_, _| {}, watch, true);
        let requests = summary.requests;
        assert_eq!(requests.arrived, 1_500);
        let ended = requests.completed + requests.failed + requests.rejected + requests.cancelled;
        assert_eq!(ended, 1_500, "{}: {requests:?}", entry.name);
        let totals = sim.balancer().totals();
        assert_eq!(totals.area, totals.sojourn, "{}: Little's law in integers", entry.name);
        assert_eq!((totals.dispatched, totals.ended), (dispatched, dispatched));
        assert_eq!(summary.attempts.total, dispatched);
        assert!(summary.attempts.retries > 20, "{}: faults cause retries", entry.name);
        let tokens = summary.cost_usd.tokens;
        assert!((tokens - cost as f64 / 1e12).abs() < 1e-12, "money is the sum over attempts");
        assert!(requests.completed > 1_000, "{}: {requests:?}", entry.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_its_journal_replays() {
    for strategy in ["power_of_two", "peak_ewma", "weighted_round_robin"] {
        let (events, summary, journal) = run(&stormy(strategy, 800));
        let (again, same, _) = run(&stormy(strategy, 800));
        assert_eq!(events, again);
        assert_eq!(summary, same);
        let mut replayed = Vec::new();
        let mut sink = |now: Time, event: &Event| replayed.push(format!("{now:?} {event:?}"));
        let done = replay(BufReader::new(journal.as_slice()), &mut sink).expect("it replays");
        assert_eq!(done.events, events.len() as u64);
        assert_eq!(replayed, events, "{strategy}: the journal is the run");
    }
}

/// Every event of a run in which one try goes to a node of one's own choice.
fn otherwise(world: &World, choice: Option<(Attempt, NodeId)>) -> Vec<(String, Event)> {
    let mut sim = world.sim();
    if let Some((attempt, node)) = choice {
        sim.decide_otherwise(attempt, node);
    }
    let labels = common::labels(&world.config, &world.backends);
    let collector = Collector::new(labels, &world.config, Watch::Report);
    let mut events = Vec::new();
    let watch =
        |now: Time, event: &Event| events.push((format!("{now:?} {event:?}"), event.clone()));
    common::finish(&mut sim, collector, |_, _| {}, watch, true);
    events
}

/// What would have come of the runner-up is another run from that decision on, and none before it.
#[test]
fn a_decision_made_otherwise_changes_nothing_before_it() {
    for strategy in ["power_of_two", "peak_ewma", "smart"] {
        let world = stormy(strategy, 500);
        let plain = otherwise(&world, None);
        let doubted = plain.iter().enumerate().filter_map(|(at, (_, event))| match event {
            Event::Dispatched { attempt, node, why, .. } => {
                Some((at, *attempt, *node, why.runner_up?.node))
            }
            _ => None,
        });
        let mut seen = 0;
        for (at, attempt, node, second) in doubted.step_by(37) {
            let other = otherwise(&world, Some((attempt, second)));
            let same = plain.iter().zip(&other).take_while(|(one, two)| one.0 == two.0).count();
            assert_eq!(same, at, "{strategy}: {attempt:?} is the first that differs");
            let Event::Dispatched { attempt: there, node: sent, why, .. } = &other[at].1 else {
                panic!("{strategy}: {}", other[at].0);
            };
            assert_eq!((*there, *sent, why.chosen.node), (attempt, second, second));
            assert_eq!(why.runner_up.map(|before| before.node), Some(node));
            let settled = |events: &[(String, Event)]| {
                events.iter().filter(|(_, event)| matches!(event, Event::Settled(_))).count()
            };
            assert_eq!(settled(&other), settled(&plain), "every request has an end");
            seen += 1;
        }
        assert!(seen > 5, "{strategy}: {seen} decisions had a runner-up");
        // The node that is chosen anyway, and one that is none.
        let (attempt, node) = plain
            .iter()
            .find_map(|(_, event)| match event {
                Event::Dispatched { attempt, node, .. } => Some((*attempt, *node)),
                _ => None,
            })
            .expect("something is dispatched");
        for node in [node, NodeId(99)] {
            let other = otherwise(&world, Some((attempt, node)));
            assert!(plain.iter().map(|one| &one.0).eq(other.iter().map(|one| &one.0)));
        }
    }
}

/// Who asks why changes nothing, and the journal of such a run replays without anybody asking.
#[test]
fn an_explained_run_has_the_same_journal() {
    let world = stormy("power_of_two", 300);
    let (_, _, journal) = run(&world);
    let header = Header::new("stormy", world.config.clone());
    let written = std::cell::RefCell::new(Writer::new(Vec::new(), &header).expect("memory"));
    let mut sim = world.sim();
    sim.explain(Explain::All);
    let mut explained = 0;
    let mut record = |now: Time, input: &Input| {
        written.borrow_mut().input(now, input).expect("memory");
    };
    let mut sink = |now: Time, event: &Event| {
        explained += u64::from(matches!(event, Event::Explained(_)));
        written.borrow_mut().event(now, event);
    };
    while sim.step(&mut record, &mut sink).expect("no trace") == Step::Handled {}
    assert!(explained > 300, "{explained} decisions were explained");
    let written = written.into_inner().finish().expect("memory");
    replay(BufReader::new(written.as_slice()), &mut |_, _| {}).expect("it replays");
    assert_eq!(written, journal);
}

#[test]
fn a_journal_that_was_touched_is_found_out() {
    let (_, _, journal) = run(&stormy("random", 300));
    let text = String::from_utf8(journal).expect("JSON");
    let lines: Vec<&str> = text.lines().collect();
    let verify = |lines: &[&str]| {
        let text = lines.join("\n") + "\n";
        replay(BufReader::new(text.as_bytes()), &mut |_, _| {})
    };
    assert!(verify(&lines).is_ok());
    let mut removed = lines.clone();
    removed.remove(100);
    assert!(verify(&removed).is_err(), "a line is missing");
    let mut cut = lines.clone();
    cut.truncate(200);
    assert!(
        matches!(verify(&cut), Err(ReplayError::Malformed { line: 201, .. })),
        "{:?}",
        verify(&cut)
    );
    let changed =
        text.replace("\"power_of_two\"", "\"random\"").replacen("\"prompt\":", "\"prompt\":1", 1);
    assert!(replay(BufReader::new(changed.as_bytes()), &mut |_, _| {}).is_err());
    for text in ["", "\n", "{}\n", "nonsense", &lines[0][..50]] {
        assert!(replay(BufReader::new(text.as_bytes()), &mut |_, _| {}).is_err(), "{text:?}");
    }
}

#[test]
fn another_strategy_sees_the_same_workload() {
    let arrivals = |strategy: &str| {
        let mut seen = Vec::new();
        let watch = |now, event: &Event| {
            if let Event::Arrived { request, class, prompt, .. } = event {
                seen.push((now, *request, *class, *prompt));
            }
        };
        stormy(strategy, 500).run_with(|_, _| {}, watch, false);
        seen
    };
    assert_eq!(arrivals("round_robin"), arrivals("peak_ewma"));
}

#[test]
fn a_strategy_switch_in_mid_run_loses_nothing() {
    use plimsoll::balance::{Control, check};
    use plimsoll::sim::Step;
    use plimsoll::unit::PoolId;
    let world = stormy("round_robin", 2_000);
    let mut sim = world.sim();
    let mut steps = 0;
    while sim.step(&mut |_, _| {}, &mut |_, _| {}).expect("no trace") == Step::Handled {
        check(sim.balancer()).expect("every invariant holds");
        steps += 1;
        if steps % 97 == 0 {
            let entry = &REGISTRY[steps / 97 % REGISTRY.len()];
            let spec = StrategySpec::named(entry.name).expect("it is listed");
            sim.control(Control::Strategy(PoolId(0), spec));
        }
        if steps % 400 == 0 {
            sim.kill(NodeId((steps / 400 % 5) as u32));
        } else if steps % 400 == 200 {
            sim.heal(NodeId((steps / 400 % 5) as u32));
        }
    }
    let totals = sim.balancer().totals();
    assert_eq!(totals.arrived, totals.settled);
}

#[test]
fn a_screen_changes_no_figure_of_the_report() {
    let world = stormy("least_connections", 1_000);
    let summary = |watch: Watch, looks: bool| {
        let labels = common::labels(&world.config, &world.backends);
        let mut collector = Collector::new(labels, &world.config, watch);
        let mut sim = world.sim();
        let mut steps = 0;
        use plimsoll::sim::Step;
        loop {
            let mut sink = |now: Time, event: &Event| collector.fold(now, event);
            if sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Done {
                break;
            }
            steps += 1;
            if looks && steps % 50 == 0 {
                let snapshot = collector.snapshot(sim.now());
                let shares: f64 = snapshot.nodes.iter().map(|node| node.share).sum();
                assert!(shares < 1.000_001);
            }
        }
        collector.summary(sim.now(), true)
    };
    let plain = summary(Watch::Report, false);
    assert_eq!(plain, summary(Watch::Screen, true));
    assert_eq!(plain, summary(Watch::Export, true));
}

#[test]
fn a_run_in_which_nodes_hang_for_good_ends_with_its_last_event() {
    let servers = common::slots(1, Dist::constant(1.0).expect("a law"));
    let mut world = World::new(20, "random", &servers, 18.0, 500);
    world.config.health.probe_every = Some(Span::from_secs(1));
    let (at, nodes) = (Time::ZERO + Span::from_secs(20), vec![NodeId(3)]);
    world.faults = vec![FaultSpec { at, lasts: None, kind: FaultKind::Hang, nodes }];
    let summary = world.run();
    assert!(summary.requests.in_flight > 0, "{:?}", summary.requests);
    assert!(summary.simulated_s < 60.0, "the others are not probed for a day");
}

/// Changes one place of a journal: a number, a word, or a whole line.
fn edit(lines: &mut Vec<String>, rng: &mut Rng) {
    const NUMBERS: [&str; 7] =
        ["0", "1", "2", "255", "65535", "4294967295", "18446744073709551615"];
    const WORDS: [(&str, &str); 6] = [
        ("done", "aborted"),
        ("finish", "progress"),
        ("null", "0"),
        ("null", "1"),
        ("first_token", "tokens"),
        ("healthy", "gone"),
    ];
    // Every other edit is of the header: it is one line of hundreds, and holds the most.
    let place = if rng.below(2) == 0 { 0 } else { rng.below(lines.len()) };
    let line = lines[place].clone();
    match rng.below(8) {
        0 => drop(lines.remove(place)),
        1 => lines.insert(rng.below(lines.len()), line),
        2 => {
            let (word, other) = WORDS[rng.below(WORDS.len())];
            lines[place] = line.replacen(word, other, 1);
        }
        _ => {
            let digits = |c: char| c.is_ascii_digit();
            let starts: Vec<usize> = line
                .match_indices(digits)
                .map(|(at, _)| at)
                .filter(|&at| at == 0 || !line[..at].ends_with(digits))
                .collect();
            if !starts.is_empty() {
                let from = starts[rng.below(starts.len())];
                let end = line[from..].find(|c| !digits(c)).map_or(line.len(), |len| from + len);
                let number = NUMBERS[rng.below(NUMBERS.len())];
                lines[place] = format!("{}{number}{}", &line[..from], &line[end..]);
            }
        }
    }
}

#[test]
fn an_edited_journal_is_replayed_or_refused_in_words() {
    let (.., journal) = run(&stormy("least_tokens", 120));
    let journal = String::from_utf8(journal).expect("JSON is text");
    let lines: Vec<String> = journal.lines().map(str::to_owned).collect();
    let mut rng = Rng::stream(1, "edits");
    for _ in 0..2_000 {
        let mut edited = lines.clone();
        for _ in 0..=rng.below(4) {
            edit(&mut edited, &mut rng);
        }
        let text = edited.join("\n") + "\n";
        let replayed = std::panic::catch_unwind(|| replay(text.as_bytes(), &mut |_, _| {}));
        assert!(replayed.is_ok(), "a panic, by this journal:\n{}", differing(&lines, &edited));
    }
}

fn differing(lines: &[String], edited: &[String]) -> String {
    let new = edited.iter().filter(|line| !lines.contains(line));
    new.map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_kind_of_touch_of_a_journal_is_found() {
    let (_, _, journal) = run(&stormy("least_tokens", 60));
    let verify = |bytes: &[u8]| replay(BufReader::new(bytes), &mut |_, _| {});
    assert!(verify(&journal).is_ok());
    // A byte that decides nothing is as good as any other.
    for place in (0..journal.len()).step_by(7) {
        let mut touched = journal.clone();
        touched[place] ^= 1;
        assert!(verify(&touched).is_err(), "byte {place}");
    }
    let lines: Vec<&[u8]> = journal.split_inclusive(|byte| *byte == b'\n').collect();
    for place in (0..lines.len()).step_by(5) {
        let mut fewer = lines.clone();
        fewer.remove(place);
        assert!(verify(&fewer.concat()).is_err(), "line {place} removed");
        let mut swapped = lines.clone();
        swapped.swap(place, (place + 1) % lines.len());
        assert!(verify(&swapped.concat()).is_err(), "line {place} exchanged");
    }
    assert!(verify(&journal[..journal.len() - 9]).is_err(), "cut off");
}

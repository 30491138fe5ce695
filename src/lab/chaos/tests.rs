//! The checker checked: what is spoilt is found, and made small; what failed once holds.

use std::collections::BTreeSet;

use super::{Bench, INVARIANTS, TrialOutcome, Violation, draw};
use crate::balance::{
    CacheLookup, Event, Fate, NodeState, PickContext, Priority, REGISTRY, Reject, Scored, Settled,
    Strategy, Why,
};
use crate::cli::simulation;
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::scenario::keys::sections;
use crate::scenario::keys::tests::said;
use crate::sim::Sim;
use crate::unit::{Cost, NodeId, PoolId, Ratio, Time};

fn make(scenario: &Scenario) -> Result<Sim, String> {
    simulation(scenario).map_err(|failure| failure.to_string())
}

const HONEST: Bench<'static> = Bench { make: &make, tamper: None };

#[test]
fn every_seed_draws_a_scenario_and_features_are_on_and_off() {
    let (mut features, mut strategies) = (BTreeSet::new(), BTreeSet::new());
    let mut always: Option<BTreeSet<&str>> = None;
    for seed in 0..400 {
        let drawn = draw(seed);
        let text = drawn.document.to_string();
        let scenario = Scenario::parse("chaos", "chaos", &text, &[]);
        let scenario = scenario.unwrap_or_else(|problems| panic!("{}", problems.draw(false)));
        strategies.extend(scenario.balancer.pools.iter().map(|pool| pool.strategy.name()));
        features.extend(drawn.features.iter().copied());
        let on: BTreeSet<&str> = drawn.features.iter().copied().collect();
        always =
            Some(always.map_or(on.clone(), |always| always.intersection(&on).copied().collect()));
        assert_eq!(text, draw(seed).document.to_string(), "the same seed, the same scenario");
    }
    assert_eq!(strategies.len(), REGISTRY.len(), "every strategy is drawn");
    assert_eq!(always, Some(BTreeSet::new()), "no feature is always on");
    assert!(features.len() >= 30, "{features:?}");
}

/// Keys of scenarios that no seed says, by section (`*`: all of it), and why. A new key is drawn or has
/// a reason here.
const NEVER_DRAWN: &[(&str, &str, &str)] = &[
    ("scenario", "expect", INVARIANTS_HOLD),
    ("scenario", "check", ADVICE),
    ("check", "*", ADVICE),
    ("expect", "*", INVARIANTS_HOLD),
    ("scenario", "name", REPORTS),
    ("scenario", "by_hand", BY_HAND),
    ("by_hand", "*", BY_HAND),
    ("heal", "*", BY_HAND),
    ("switch", "*", BY_HAND),
    ("tenants", "over_budget", "tenants that are named say it"),
    ("quality", "change", "qualities stay as good as each other in time"),
    ("change", "*", "qualities stay as good as each other in time"),
    ("timeouts", "connect", REAL),
    ("scenario", "gateway", REAL),
    ("gateway", "*", REAL),
    ("node", "url", REAL),
    ("node", "key_env", REAL),
    ("node", "dialect", REAL),
    ("node", "ca_file", REAL),
    ("timeouts", "floor", REAL),
    ("floor", "*", REAL),
    ("pool", "sticky", "routes say it for themselves"),
    ("route", "name", REPORTS),
    ("slo", "per_token", REPORTS),
    ("price", "cached_input", REPORTS),
    ("class", "attributes", CONDITIONS),
    ("match", "attribute", CONDITIONS),
    ("match", "region", CONDITIONS),
    ("prompt_tokens", "min", CONDITIONS),
    ("target", "region", "it only says which nodes a fault hits"),
    ("target", "tag", "it only says which nodes a fault hits"),
    ("target", "count", "it only says which nodes a fault hits"),
    ("random", "each", "it only says how many random faults there are"),
    ("arrivals", "trace", FILES),
    ("trace", "*", FILES),
    ("recorded", "*", FILES),
    ("servegen", "*", FILES),
    ("recorded_sessions", "*", FILES),
    ("csv", "*", FILES),
    ("start", "*", FILES),
    ("players", "*", FILES),
    ("arrivals", "steps", "other processes change their rate too"),
    ("steps", "*", "other processes change their rate too"),
    ("diurnal", "peak_to_mean", "`amplitude` says the same"),
    ("diurnal", "peak_at", "it moves the day, and a run is short"),
    ("sessions", "max_context", "no conversation of a short run gets so long"),
    ("order", "fifo", "drawn as a word"),
    ("order", "edf", "drawn as a word"),
    ("autoscale", "up_max", "groups of a few nodes step by one or two"),
    ("tenant", "name", REPORTS),
    ("autoscale", "down_max", "groups of a few nodes step by one or two"),
    ("autoscale", "tolerance", "groups of a few nodes step by one or two"),
    ("cold_start", "*", "it comes to a constant, which is drawn"),
    ("load", "*", "it comes to a constant, which is drawn"),
    ("engine", "p2", ENGINES),
    ("engine", "d2", ENGINES),
    ("engine", "scale", ENGINES),
    ("engine", "step_tokens", ENGINES),
    ("engine", "block", ENGINES),
    ("engine", "moe", ENGINES),
    ("engine", "overhead", ENGINES),
    ("moe", "*", ENGINES),
    ("overhead", "*", ENGINES),
    ("numbers", "constant", LENGTHS),
    ("numbers", "gamma", LENGTHS),
    ("numbers.gamma", "*", LENGTHS),
    ("numbers", "weibull", LENGTHS),
    ("numbers.weibull", "*", LENGTHS),
    ("numbers", "pareto", LENGTHS),
    ("numbers.pareto", "*", LENGTHS),
    ("numbers", "mixture", LENGTHS),
    ("numbers.mixture", "*", LENGTHS),
    ("numbers", "quantiles", LENGTHS),
    ("durations", "constant", LENGTHS),
    ("durations", "pareto", LENGTHS),
    ("durations.pareto", "*", LENGTHS),
    ("durations", "mixture", LENGTHS),
    ("durations.mixture", "*", LENGTHS),
    ("durations", "quantiles", LENGTHS),
];

const INVARIANTS_HOLD: &str = "what is expected of any run are the invariants";
const BY_HAND: &str = "what a person does is drawn as a plan: faults, and arrivals that change";
const REAL: &str = "only real sockets know it";
const REPORTS: &str = "it changes reports, and no decision";
const ADVICE: &str = "it changes what is advised, and no run";
const CONDITIONS: &str = "a condition of a route, as others that are drawn";
const FILES: &str = "it needs a file";
const ENGINES: &str = "a coefficient of the law of engines, of which others are drawn";
const LENGTHS: &str = "a law by another name: what is seen of it are values, which are drawn";

/// Of log-normal laws only the usual quantiles are drawn.
const QUANTILES: [&str; 2] = ["p50", "p95"];

#[test]
fn every_key_of_a_scenario_is_drawn_or_has_a_reason() {
    let drawn: BTreeSet<(&str, &str)> =
        (0..400).flat_map(|seed| said(&draw(seed).document.to_string())).collect();
    let excused = |section: &str, key: &str| {
        let lognormal = section.ends_with(".lognormal") && !QUANTILES.contains(&key);
        let mut reasons = NEVER_DRAWN.iter();
        lognormal || reasons.any(|(of, name, _)| *of == section && (*name == key || *name == "*"))
    };
    let keys: Vec<(&str, &str)> = sections()
        .iter()
        .flat_map(|section| section.keys.iter().map(|key| (section.name, key.name)))
        .collect();
    let new: Vec<_> =
        keys.iter().filter(|key| !drawn.contains(key) && !excused(key.0, key.1)).collect();
    assert!(new.is_empty(), "neither drawn nor excused: {new:?}");
    let both: Vec<_> =
        keys.iter().filter(|key| drawn.contains(key) && excused(key.0, key.1)).collect();
    assert!(both.is_empty(), "drawn all the same: {both:?}");
    for (section, key, _) in NEVER_DRAWN {
        let there = keys.iter().any(|(of, name)| of == section && (name == key || *key == "*"));
        assert!(there, "there is no `{key}` in `{section}`");
    }
}

#[test]
fn seeds_hold() {
    for seed in 0..24 {
        let text = draw(seed).document.to_string();
        match HONEST.trial(&text, seed.is_multiple_of(4)) {
            TrialOutcome::Held(_) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn what_failed_once_holds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the cases") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        match HONEST.trial(&text, true) {
            TrialOutcome::Held(_) => count += 1,
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    assert!(count > 0);
}

#[test]
fn invariants_are_told_apart() {
    let numbers: BTreeSet<&str> = INVARIANTS.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), INVARIANTS.len());
    assert!(INVARIANTS.is_sorted());
}

/// The first violation that a spoilt stream of events has among the seeds.
#[track_caller]
fn found(tamper: &(dyn Fn(Time, &Event) -> Vec<Event> + Sync)) -> (u64, Violation) {
    let bench = Bench { tamper: Some(tamper), ..HONEST };
    for seed in 0..80 {
        if let TrialOutcome::Broken(violation) =
            bench.trial(&draw(seed).document.to_string(), false)
        {
            return (seed, violation);
        }
    }
    panic!("nobody noticed");
}

#[track_caller]
fn finds(invariants: &[&str], tamper: impl Fn(Time, &Event) -> Vec<Event> + Sync) {
    let (seed, violation) = found(&tamper);
    let broken = &violation.broken;
    assert!(invariants.contains(&broken.invariant.as_str()), "seed {seed}: {violation:?}");
}

#[test]
fn a_lost_event_is_found() {
    let none_of = |gone: fn(&Event) -> bool| {
        move |_: Time, event: &Event| if gone(event) { Vec::new() } else { vec![event.clone()] }
    };
    finds(&["I01"], none_of(|event| matches!(event, Event::Arrived { .. })));
    finds(&["I01", "I03"], none_of(|event| matches!(event, Event::Dispatched { .. })));
    finds(&["I01", "I18"], none_of(|event| matches!(event, Event::Ended { .. })));
    finds(&["I01"], none_of(|event| matches!(event, Event::Settled(_))));
    let up = |event: &Event| matches!(event, Event::NodeState { to: NodeState::Up, .. });
    finds(&["I07", "I14"], none_of(up));
    finds(&["I03"], none_of(|event| matches!(event, Event::RetryPlanned { .. })));
}

#[test]
fn an_event_told_twice_is_found() {
    let twice = |which: fn(&Event) -> bool| {
        move |_: Time, event: &Event| vec![event.clone(); 1 + usize::from(which(event))]
    };
    finds(&["I02"], twice(|event| matches!(event, Event::Settled(_))));
    finds(&["I03"], twice(|event| matches!(event, Event::Ended { .. })));
    finds(&["I03"], twice(|event| matches!(event, Event::FirstToken { .. })));
}

/// Events as they are, but for one change.
fn changed(change: fn(&mut Event)) -> impl Fn(Time, &Event) -> Vec<Event> + Sync {
    move |_, event| {
        let mut event = event.clone();
        change(&mut event);
        vec![event]
    }
}

#[test]
fn a_wrong_figure_is_found() {
    finds(
        &["I24"],
        changed(|event| {
            if let Event::Ended { cost, .. } = event {
                *cost += Cost(1);
            }
        }),
    );
    finds(
        &["I18"],
        changed(|event| {
            if let Event::Settled(settled) = event {
                settled.fate = Fate::Cancelled;
            }
        }),
    );
    finds(
        &["I44"],
        changed(|event| {
            if let Event::Dispatched { why, .. } = event {
                why.chosen.node = NodeId(u32::MAX);
            }
        }),
    );
    finds(
        &["I03"],
        changed(|event| {
            if let Event::Dispatched { attempt, .. } = event {
                attempt.ordinal += 1;
            }
        }),
    );
}

#[test]
fn a_wrong_word_about_load_is_found() {
    finds(
        &["I37"],
        changed(|event| {
            if let Event::Shedding { on: true, saturation, .. } = event {
                saturation.0 /= 2;
            }
        }),
    );
    finds(
        &["I37"],
        changed(|event| {
            if let Event::Settled(Settled { fate: fate @ Fate::Rejected(_), .. }) = event {
                *fate = Fate::Rejected(Reject::Shed);
            }
        }),
    );
    finds(
        &["I37"],
        changed(|event| {
            if let Event::Shedding { priority, .. } = event {
                *priority = Priority::Critical;
            }
        }),
    );
    finds(
        &["I55"],
        changed(|event| {
            if let Event::DegradeLevel { threshold, .. } = event {
                threshold.0 += 1;
            }
        }),
    );
    finds(
        &["I55"],
        changed(|event| {
            if let Event::DegradeLevel { saturation, .. } = event {
                *saturation = Ratio::ZERO;
            }
        }),
    );
    finds(
        &["I54"],
        changed(|event| {
            if let Event::Limit { limit, .. } = event {
                *limit = 0;
            }
        }),
    );
}

#[test]
fn an_answer_that_never_came_is_found() {
    finds(
        &["I57"],
        changed(|event| {
            if let Event::Cache(CacheLookup { found: Some(found), .. }) = event {
                found.age.0 += 1;
            }
        }),
    );
    finds(
        &["I57"],
        changed(|event| {
            if let Event::Settled(settled) = event {
                settled.cached = false;
            }
        }),
    );
}

/// Lets one in fifty wait although nodes are open.
#[derive(Debug)]
struct Lazy(u64);

impl Strategy for Lazy {
    fn pick(&mut self, context: &PickContext<'_>, _: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.0 += 1;
        let node = context.candidates().min().filter(|_| !self.0.is_multiple_of(50))?;
        why.chosen = Scored::unscored(node);
        Some(node)
    }
}

/// Now and then chooses the first node of the tier, whether it is open or not.
#[derive(Debug)]
struct Blind(u64);

impl Strategy for Blind {
    fn pick(&mut self, context: &PickContext<'_>, _: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.0 += 1;
        let blind = self.0.is_multiple_of(20);
        let node =
            if blind { context.members().first().copied() } else { context.candidates().min() }?;
        why.chosen = Scored::unscored(node);
        Some(node)
    }
}

/// A strategy that breaks a rule is found, and the case made small, however it was drawn.
#[track_caller]
fn caught(strategy: fn() -> Box<dyn Strategy>, invariants: &[&str]) {
    let spoilt = move |scenario: &Scenario| {
        let mut sim = make(scenario)?;
        for pool in 0..scenario.balancer.pools.len() {
            sim.use_strategy(PoolId(pool as u16), strategy);
        }
        Ok(sim)
    };
    let bench = Bench { make: &spoilt, tamper: None };
    let mut seeds = (0..60).map(|seed| (seed, draw(seed).document));
    let (seed, document, violation) = seeds
        .find_map(|(seed, document)| match bench.trial(&document.to_string(), false) {
            TrialOutcome::Broken(violation) => Some((seed, document, violation)),
            _ => None,
        })
        .expect("it is noticed");
    let broken = &violation.broken;
    assert!(invariants.contains(&broken.invariant.as_str()), "seed {seed}: {violation:?}");
    let case = bench.shrink(&document, &violation, false, &|| false);
    assert_eq!(case.violation.broken.invariant, broken.invariant, "it fails as before");
    let text = case.document.to_string();
    assert!(
        matches!(bench.trial(&text, false), TrialOutcome::Broken(_)),
        "it is a file that fails"
    );
    assert!(
        matches!(HONEST.trial(&text, false), TrialOutcome::Held(_)),
        "only the strategy is to blame"
    );
    let (before, after) = (document.to_string().lines().count(), text.lines().count());
    assert!(after <= 25 && after < before, "{before} lines become {after}:\n{text}");
    assert_eq!(text.matches("[[pool]]").count(), 1, "{text}");
}

#[test]
fn a_strategy_that_idles_is_found_and_the_case_is_small() {
    caught(|| Box::new(Lazy(0)), &["I34"]);
}

#[test]
fn a_strategy_that_chooses_a_closed_node_is_found_and_the_case_is_small() {
    caught(|| Box::new(Blind(0)), &["I52"]);
}

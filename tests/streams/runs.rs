//! The runs whose events are kept: each short, together with a little of everything.

use std::fs;
use std::path::{Path, PathBuf};

use plimsoll::balance::{Control, Event, Explain, REGISTRY, StrategySpec};
use plimsoll::cli::simulation;
use plimsoll::journal::replay;
use plimsoll::lab::chaos::draw;
use plimsoll::scenario::{Override, Scenario};
use plimsoll::sim::{Sim, Step};
use plimsoll::unit::{NodeId, PoolId, Time};

/// No run is longer: what comes later is not kept.
const INPUTS_MAX: u64 = 30_000;
/// The same for a random scenario, of which there are many.
const CHAOS_INPUTS_MAX: u64 = 3_000;
/// Random scenarios, and how many of them make a line.
const SEEDS: u64 = 200;
const SEEDS_A_LINE: u64 = 20;

/// A run that is told of every event.
pub(crate) struct Run {
    pub(crate) name: String,
    what: What,
}

enum What {
    Scenario { path: PathBuf, overrides: Vec<Override>, hand: Hand },
    Chaos { first: u64 },
    Journal(PathBuf),
}

/// What a person does to a run.
#[derive(Clone, Copy)]
enum Hand {
    Off,
    /// Asks why, of every request.
    Asks,
    /// Changes strategies and breaks nodes.
    Meddles,
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(package().join(folder)).expect("a folder of the package");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    assert!(!paths.is_empty(), "{folder} has files that end with .{ending}");
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// All of them; traces are made up in `folder`.
pub(crate) fn all(folder: &Path) -> Vec<Run> {
    let by_hand = |name: String, path: PathBuf, overrides: Vec<Override>, hand: Hand| Run {
        name,
        what: What::Scenario { path, overrides, hand },
    };
    let scenario = |name, path, overrides| by_hand(name, path, overrides, Hand::Off);
    let mut runs = Vec::new();
    for path in files("scenarios", "toml") {
        let name = stem(&path);
        let trace = made_up(&name, folder);
        let overrides = trace.map(|path| Override::trace(&path.to_string_lossy()));
        runs.push(scenario(format!("scenario/{name}"), path, overrides.into_iter().collect()));
    }
    for path in files("tests/cases", "toml") {
        runs.push(scenario(format!("case/{}", stem(&path)), path, Vec::new()));
    }
    let mixed = || package().join("tests/golden/mixed.toml");
    for entry in REGISTRY {
        let overrides = vec![Override::strategy(entry.name)];
        runs.push(scenario(format!("strategy/{}", entry.name), mixed(), overrides));
    }
    let formula = "score(formula=\"ttft + 0.02 * output_tokens * tpot + 300 * dollars\")";
    runs.push(scenario("formula".to_owned(), mixed(), vec![Override::strategy(formula)]));
    let chosen = package().join("scenarios/model-choice.toml");
    for path in [mixed(), chosen] {
        runs.push(by_hand(format!("explained/{}", stem(&path)), path, Vec::new(), Hand::Asks));
    }
    runs.push(by_hand("meddled".to_owned(), mixed(), Vec::new(), Hand::Meddles));
    for first in (1..=SEEDS).step_by(SEEDS_A_LINE as usize) {
        let name = format!("chaos/{first:03}-{:03}", first + SEEDS_A_LINE - 1);
        runs.push(Run { name, what: What::Chaos { first } });
    }
    for path in files("tests/golden", "journal") {
        runs.push(Run { name: format!("live/{}", stem(&path)), what: What::Journal(path) });
    }
    runs
}

/// A small trace in the format of a scenario that needs one.
fn made_up(name: &str, folder: &Path) -> Option<PathBuf> {
    let text: String = match name {
        "azure-chat" => {
            let row = |at: u32| {
                let (second, prompt, answer) = (at / 4, 500 + at * 37 % 2_000, 20 + at * 13 % 400);
                format!(
                    "2023-11-16 18:{:02}:{:02}.5000000,{prompt},{answer}\n",
                    second / 60,
                    second % 60
                )
            };
            let header = String::from("TIMESTAMP,ContextTokens,GeneratedTokens\n");
            header + &(0..1_200).map(row).collect::<String>()
        }
        "mooncake-chat" => {
            let row = |at: u64| {
                let (prompt, answer) = (4_000 + at * 997 % 20_000, 50 + at * 31 % 600);
                format!(
                    "{{\"timestamp\": {}, \"input_length\": {prompt}, \"output_length\": {answer}, \
                     \"hash_ids\": [0, {at}]}}\n",
                    at / 8 * 3_000
                )
            };
            (0..800).map(row).collect()
        }
        _ => return None,
    };
    let path = folder.join(name);
    fs::write(&path, text).expect("a temporary file");
    Some(path)
}

impl Run {
    /// The journal that is replayed, if one is.
    pub(crate) fn journal(&self) -> Option<&Path> {
        match &self.what {
            What::Journal(path) => Some(path),
            _ => None,
        }
    }

    /// Makes the run; `hear` is told of every event.
    pub(crate) fn make(&self, hear: &mut dyn FnMut(Time, &Event)) {
        match &self.what {
            What::Scenario { path, overrides, hand } => {
                let text = fs::read(path).expect("a scenario");
                let file = path.to_string_lossy();
                let scenario = Scenario::read(&stem(path), &file, &text, overrides);
                play(
                    &scenario.unwrap_or_else(|error| panic!("{}", error.draw(false))),
                    *hand,
                    INPUTS_MAX,
                    hear,
                );
            }
            What::Chaos { first } => {
                for seed in *first..first + SEEDS_A_LINE {
                    let text = draw(seed).document.to_string();
                    let scenario = Scenario::parse("chaos", "chaos.toml", &text, &[]);
                    play(&scenario.expect("a scenario"), Hand::Off, CHAOS_INPUTS_MAX, hear);
                }
            }
            What::Journal(path) => {
                let file = fs::File::open(path).expect("a journal");
                let done =
                    replay(std::io::BufReader::new(file), &mut |now, event| hear(now, event));
                done.unwrap_or_else(|error| panic!("{}: {error}", self.name));
            }
        }
    }
}

fn play(scenario: &Scenario, hand: Hand, most: u64, hear: &mut dyn FnMut(Time, &Event)) {
    let mut sim = simulation(scenario).unwrap_or_else(|failure| panic!("{failure}"));
    if matches!(hand, Hand::Asks) {
        sim.explain(Explain::All);
    }
    for step in 1..=most {
        match sim.step(&mut |_, _| {}, &mut |now, event: &Event| hear(now, event)) {
            Ok(Step::Handled) => {}
            Ok(Step::Done) => break,
            Err(_) => panic!("the traffic of {} can be read", scenario.name),
        }
        if matches!(hand, Hand::Meddles) {
            meddle(&mut sim, step);
        }
    }
}

fn meddle(sim: &mut Sim, step: u64) {
    if step.is_multiple_of(60) {
        // The oracle is not for a run that has begun without it.
        let names: Vec<&str> =
            REGISTRY.iter().filter(|entry| !entry.is_bound()).map(|entry| entry.name).collect();
        let name = names[(step / 60) as usize % names.len()];
        let spec = StrategySpec::named(name).expect("it is listed");
        sim.control(Control::Strategy(PoolId(0), spec));
    }
    let node = NodeId((step / 300 % 4) as u32);
    match step % 300 {
        100 => sim.kill(node),
        180 => sim.control(Control::Weight(node, (step % 7) as u32 + 1)),
        200 => sim.heal(node),
        _ => {}
    }
}

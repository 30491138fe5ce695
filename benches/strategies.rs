//! Benches of one decision: a request comes and the strategy picks a node; and of a request's whole
//! life. Every strategy, on fleets of 16 and 10,000 nodes with one or two requests in flight on the
//! mean node.
//!
//! `cargo bench --bench strategies` for time; `cargo bench --bench strategies -- instructions` for machine
//! instructions of an arrival, counted by callgrind (needs `valgrind`), which do not vary with what else
//! the machine does. `-- instructions NAME` counts for one strategy. The aim is an arrival below 1 µs on 16 nodes and below 2 µs on 10,000,
//! except for strategies that look at every node by what they are (`scan` in the name of the case).

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/wheel.rs"]
mod wheel;

use std::fmt;
use std::process::Command;

use plimsoll::balance::{REGISTRY, StrategyDef};
use wheel::Wheel;

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["instructions"] => instructions(""),
        ["instructions", name] => instructions(name),
        ["counted", name, nodes] => count(name, nodes.parse().expect("a number of nodes")),
        _ => divan::main(),
    }
}

/// So many arrivals are counted in a case.
const COUNTED: u32 = 500;

/// Prints how many instructions an arrival takes, of every strategy whose name has `part` in it.
fn instructions(part: &str) {
    println!("{:<24}{:>10}{:>10}   instructions per arrival", "strategy", 16, 10_000);
    for entry in REGISTRY.iter().filter(|entry| entry.name.contains(part)) {
        let few = callgrind(entry.name, 16);
        // A scan of 10,000 nodes says nothing that a scan of 16 does not, and takes minutes.
        let many = (!scans(entry)).then(|| callgrind(entry.name, 10_000).to_string());
        let many = many.unwrap_or_else(|| "scan".to_owned());
        println!("{:<24}{few:>10}{many:>10}", entry.name);
    }
}

/// Runs one case under callgrind, which counts inside [`counted`] only.
fn callgrind(name: &str, nodes: usize) -> u64 {
    let own = std::env::current_exe().expect("this program");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]);
    valgrind.arg("--toggle-collect=*counted_arrival*");
    let output = valgrind.arg(own).args(["counted", name, &nodes.to_string()]).output();
    let said = output.expect("valgrind runs; is it installed?").stderr;
    let said = String::from_utf8_lossy(&said);
    let count = said.split("Collected : ").nth(1).and_then(|rest| rest.lines().next());
    let count: Option<u64> = count.and_then(|count| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("no count of {name}: {said}")) / u64::from(COUNTED)
}

/// The case that callgrind looks at.
fn count(name: &str, nodes: usize) {
    let entry = REGISTRY.iter().find(|entry| entry.name == name).expect("a strategy");
    let mut wheel = warm(&Case { entry, nodes });
    for _ in 0..COUNTED {
        wheel.first_token();
        wheel.finish();
        counted_arrival(&mut wheel);
    }
}

#[inline(never)]
fn counted_arrival(wheel: &mut Wheel) {
    wheel.arrive();
}

struct Case {
    entry: &'static StrategyDef,
    nodes: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if scans(self.entry) { " scan" } else { "" };
        write!(f, "{} {}{mark}", self.entry.name, self.nodes)
    }
}

/// Returns whether the strategy looks at every node by what it is.
fn scans(entry: &StrategyDef) -> bool {
    entry.cost.starts_with("O(n)") && !entry.cost.contains("up to")
}

fn cases() -> impl Iterator<Item = Case> {
    let sizes = [16, 10_000];
    sizes.into_iter().flat_map(|nodes| REGISTRY.iter().map(move |entry| Case { entry, nodes }))
}

/// So many requests end, then so many come: only the latter is timed.
const TOGETHER: u32 = 16;

/// The whole of `handle(Arrive)`: route, admission, candidates, decision, ledger, events.
#[divan::bench(args = cases(), sample_count = 400, sample_size = TOGETHER)]
fn arrive(bencher: divan::Bencher<'_, '_>, case: &Case) {
    let wheel = std::cell::RefCell::new(warm(case));
    let end_one = || {
        wheel.borrow_mut().first_token();
        wheel.borrow_mut().finish();
    };
    bencher.with_inputs(end_one).bench_local_values(|()| wheel.borrow_mut().arrive());
}

/// What a request costs in all: its arrival, its first token and its end, learning included.
#[divan::bench(args = cases(), sample_count = 50, sample_size = 200)]
fn turn(bencher: divan::Bencher<'_, '_>, case: &Case) {
    let mut wheel = warm(case);
    bencher.bench_local(|| wheel.turn());
}

fn warm(case: &Case) -> Wheel {
    let mut wheel = Wheel::new(common::config(case.nodes, case.entry.name, 7));
    (0..2 * case.nodes.min(2_000)).for_each(|_| wheel.turn());
    wheel
}

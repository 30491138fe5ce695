//! Benches of one decision: a request comes and the strategy picks a node; and of a request's whole
//! life. Every strategy, on fleets of 16 and 10,000 nodes with one or two requests in flight on the
//! mean node.
//!
//! `cargo bench --bench strategies`. The aim is an arrival below 1 µs on 16 nodes and below 2 µs on 10,000,
//! except for strategies that look at every node by what they are (`scan` in the name of the case).

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/wheel.rs"]
mod wheel;

use std::fmt;

use plimsoll::balance::{Entry, REGISTRY};
use wheel::Wheel;

fn main() {
    divan::main();
}

struct Case {
    entry: &'static Entry,
    nodes: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scans = self.entry.cost.starts_with("O(n)") && !self.entry.cost.contains("up to");
        let mark = if scans { " scan" } else { "" };
        write!(f, "{} {}{mark}", self.entry.name, self.nodes)
    }
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

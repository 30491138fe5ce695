//! Draws a scenario: fleet, strategies, settings, traffic and faults, from a seed.
//!
//! Swarm testing (Groce et al., ISSTA 2012): a feature is off altogether in some cases and on in
//! others, because features that are always on together hide each other's bugs (a retry hides a
//! lost answer, a queue hides a lost slot). Each feature is a function or a few lines with a draw
//! of its own, `swarm.on("name", probability)`, from a stream of its own, so a new one changes no
//! draw of the others. Cases are small: a few hundred requests, in which everything still happens.
//!
//! To add a feature, draw its words where they stand in a scenario and nothing else: the reader of
//! scenarios checks them, the watch checks what comes of them.

mod dice;
mod fleet;
mod models;
mod policy;
mod traffic;

use dice::Dice;

use crate::scenario::tree::{TreeTable, plain, text};

/// Which features a case has, drawn one by one.
#[derive(Debug)]
struct Swarm {
    seed: u64,
    on: Vec<&'static str>,
}

impl Swarm {
    /// Draws whether a feature is on in this case.
    fn on(&mut self, feature: &'static str, p: f64) -> bool {
        let on = Dice::new(self.seed, feature).chance(p);
        if on {
            self.on.push(feature);
        }
        on
    }
}

/// A pool that was drawn.
#[derive(Debug, Default)]
struct DrawnPool {
    name: String,
    groups: Vec<String>,
    /// Tags, by group; empty without tags.
    tags: Vec<Vec<&'static str>>,
    /// Whether a node takes any number at a time.
    endless: bool,
    /// About how many requests a second it serves.
    capacity: f64,
}

/// What one part of a scenario has to know of another.
#[derive(Debug)]
struct DrawPlan {
    swarm: Swarm,
    /// Several balancers.
    many: bool,
    pools: Vec<DrawnPool>,
    regions: Vec<&'static str>,
    classes: Vec<String>,
    /// Little load and faults that end early: what is broken must heal.
    gentle: bool,
    /// Seconds until arrivals stop.
    seconds: u64,
}

/// A scenario that was drawn.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The scenario.
    pub document: TreeTable,
    /// What is on.
    pub features: Vec<&'static str>,
}

/// Requests of a case, at most.
const REQUESTS_MAX: u64 = 1_000;

/// Draws the scenario of a seed. The same seed gives the same one.
#[must_use]
pub fn draw(seed: u64) -> Drawn {
    let mut swarm = Swarm { seed, on: Vec::new() };
    let gentle = swarm.on("must heal", 0.5);
    let many = swarm.on("several balancers", 0.15);
    let distant = swarm.on("regions", 0.2);
    let mut dice = Dice::new(seed, "size");
    let seconds = if gentle { dice.log_whole(120, 300) } else { dice.log_whole(10, 90) };
    let mut plan = DrawPlan {
        swarm,
        many,
        pools: Vec::new(),
        regions: if distant { vec!["eu", "us", "ap"] } else { Vec::new() },
        classes: Vec::new(),
        gentle,
        seconds,
    };
    let mut document = TreeTable::default();
    document.set("title", text(format_args!("chaos, seed {seed}")));
    document.set("seed", plain(seed));
    document.set("duration", text(format_args!("{seconds}s")));
    // Where things must heal, requests go on coming until they have.
    let requests = if gentle { 2 * REQUESTS_MAX } else { dice.log_whole(100, REQUESTS_MAX) };
    document.set("requests", plain(requests));
    if plan.swarm.on("warm-up", 0.1) {
        document.set("warmup", dice.span(100, seconds * 300));
    }
    document.set("balancer", policy::balancer(seed, &mut plan));
    if distant {
        document.set("regions", policy::regions(seed, &plan));
    }
    document.set("pool", fleet::pools(seed, &mut plan));
    document.set_some("class", traffic::classes(seed, &mut plan));
    document.set_some("tenant", policy::tenants(seed, &mut plan));
    document.set_some("route", policy::routes(seed, &mut plan));
    traffic::workload(seed, &mut plan, &mut document);
    models::models(seed, &mut plan, &mut document);
    models::budgets(seed, &mut plan, &mut document);
    traffic::faults(seed, &mut plan, &mut document);
    Drawn { document, features: plan.swarm.on }
}

//! One case: a scenario is run, every invariant is looked at after every input, and what the run
//! came to is held against other ways to count it.
//!
//! At the end: nothing is left over, the collector counted what the fold counted, no figure is
//! infinite or no number. A thorough trial makes the run again with every decision explained and
//! wants the same events, and replays its journal. Where faults end early enough and the load is
//! feasible, which a twin without faults shows, everything must have healed (liveness). A panic
//! anywhere is a broken invariant too: the core asserts what it relies on.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::watch::{Broken, Counts, EventChecker, ensure};
use crate::balance::{
    Event, Explain, Fate, HealthSettings, Input, NodeState, Reject, StrategySpec,
};
use crate::journal::{Digest, Header, Writer, replay};
use crate::metrics::{Collector, RequestCounts, Summary, Watch};
use crate::node::{Cut, FaultKind};
use crate::scenario::{Arrivals, Scenario};
use crate::sim::{Sim, Step};
use crate::unit::{PoolId, Span, Time};

/// A case with more inputs than this does not end.
const INPUTS_MAX: u64 = 2_000_000;

/// After so long without a word of any request nothing more is expected of it: no setting that is
/// drawn lasts half as long. Probes, reports and faults that come back may go on for ever.
const SILENCE_MAX: Span = Span::from_secs(3_600);

/// After the last fault there is at least so much time to heal, whatever the settings.
const HEAL_MIN: Span = Span::from_secs(10);

/// So many requests must have come after the time to heal, or nothing is claimed of them.
const SAMPLE_MIN: u64 = 20;

/// Load is feasible up to this utilisation of the busiest node.
const FEASIBLE: f64 = 0.6;

/// Builds the simulation of a scenario.
pub type Make<'a> = &'a (dyn Fn(&Scenario) -> Result<Sim, String> + Sync);

/// Changes what the watch hears: to prove that it would find out.
pub type Tamper<'a> = &'a (dyn Fn(Time, &Event) -> Vec<Event> + Sync);

/// How cases are run.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// Builds simulations.
    pub make: Make<'a>,
    /// Spoils the events, in tests.
    pub tamper: Option<Tamper<'a>>,
}

impl std::fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}

/// How a case violates an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant, and what contradicts it.
    pub broken: Broken,
    /// When, in simulated time.
    pub at: Time,
}

/// What a case without a violation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// What happened.
    pub counts: Counts,
    /// Inputs, and so checks of everything.
    pub inputs: u64,
    /// Whether it was made again and its journal replayed.
    pub thorough: bool,
    /// Whether it had to heal, and did.
    pub healed: bool,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// Everything held.
    Held(Done),
    /// Something did not.
    Broken(Violation),
    /// It is not a scenario, and why.
    Unreadable(String),
}

impl Bench<'_> {
    /// Runs a case. `thorough` makes it again with observers, and replays its journal.
    #[must_use]
    pub fn trial(&self, text: &str, thorough: bool) -> TrialOutcome {
        let scenario = match Scenario::parse("chaos", "chaos.toml", text, &[]) {
            Ok(scenario) => scenario,
            Err(problems) => return TrialOutcome::Unreadable(problems.draw(false)),
        };
        let clock = RefCell::new(Time::ZERO);
        let run = || self.judge(&scenario, thorough, &clock);
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(done)) => TrialOutcome::Held(done),
            Ok(Err(broken)) => TrialOutcome::Broken(Violation { broken, at: *clock.borrow() }),
            Err(panic) => {
                let said = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("a panic");
                let broken = Broken::new("I52", format!("panic: {said}"));
                TrialOutcome::Broken(Violation { broken, at: *clock.borrow() })
            }
        }
    }

    fn judge(
        &self,
        scenario: &Scenario,
        thorough: bool,
        clock: &RefCell<Time>,
    ) -> Result<Done, Broken> {
        let mut run = TrialRun::new(scenario, thorough);
        let mut sim = self.sim(scenario)?;
        let counts = self.play(scenario, &mut sim, &mut run, clock)?;
        let summary = run.collector.summary(sim.now(), true);
        totals(&summary, &counts, scenario)?;
        adds_up(&summary)?;
        finite(&summary)?;
        if thorough {
            self.again(scenario, &run)?;
            replays(&mut run)?;
        }
        let healed = self.heals(scenario, &run, &sim)?;
        Ok(Done { counts, inputs: run.inputs, thorough, healed })
    }

    fn sim(&self, scenario: &Scenario) -> Result<Sim, Broken> {
        (self.make)(scenario).map_err(|said| Broken::new("I52", said))
    }

    /// Runs to the end and looks at everything after every input.
    fn play(
        &self,
        scenario: &Scenario,
        sim: &mut Sim,
        run: &mut TrialRun,
        clock: &RefCell<Time>,
    ) -> Result<Counts, Broken> {
        let mut checker = EventChecker::new(&scenario.balancer, sim.balancers());
        loop {
            let mut failed = Ok(());
            let books = RefCell::new((&mut checker, &mut *run, &mut failed));
            let mut record = |now: Time, input: &Input| {
                let (checker, run, failed) = &mut *books.borrow_mut();
                *clock.borrow_mut() = now;
                run.record(now, input);
                if failed.is_ok() {
                    **failed = checker.input(now, input);
                }
            };
            let mut sink = |now: Time, event: &Event| {
                let (checker, run, failed) = &mut *books.borrow_mut();
                run.hear(now, event);
                let mut hear = |event: &Event| {
                    if failed.is_ok() {
                        **failed = checker.event(now, event);
                    }
                };
                match self.tamper {
                    None => hear(event),
                    Some(tamper) => tamper(now, event).iter().for_each(hear),
                }
            };
            let step = sim.step(&mut record, &mut sink);
            failed?;
            match step {
                Ok(Step::Handled) => {
                    checker.compare(sim.balancers(), sim.totals())?;
                    run.see(sim);
                }
                Ok(Step::Done) => break,
                Err(_) => return Err(Broken::new("I52", "the traffic cannot be read")),
            }
            run.inputs += 1;
            if sim.now().since(run.heard) > SILENCE_MAX {
                run.silent = true;
                break;
            }
            ensure!(run.inputs < INPUTS_MAX, "I31", "the run does not end: {} inputs", run.inputs);
        }
        let kinds = scenario.faults.iter().map(|fault| fault.kind);
        let mut kinds = kinds.chain(scenario.fault_rules.iter().map(|rule| rule.kind));
        let stalls = kinds.any(|kind| matches!(kind, FaultKind::Cut(_, Cut::Stall, _)));
        checker.end(sim.balancers(), stalls)?;
        ensure!(
            checker.cost().0 == run.cost,
            "I24",
            "all attempts cost {} and not {} pico-dollars",
            checker.cost().0,
            run.cost
        );
        Ok(checker.counts)
    }

    /// The same run with every decision explained gives the same events.
    fn again(&self, scenario: &Scenario, first: &TrialRun) -> Result<(), Broken> {
        let mut sim = self.sim(scenario)?;
        sim.explain(Explain::All);
        let mut digest = Digest::default();
        let mut unlike = None;
        let mut steps = 0;
        while !(first.silent && steps == first.inputs) {
            steps += 1;
            let mut sink = |now: Time, event: &Event| match event {
                Event::Explained(explanation) => {
                    let chosen = explanation.why.chosen.node;
                    let verdict = |candidate: &&crate::balance::Candidate| {
                        matches!(candidate.verdict, crate::balance::Verdict::Chosen(_))
                    };
                    let told: Vec<_> = explanation.candidates.iter().filter(verdict).collect();
                    if told.len() != 1 || told[0].node != chosen {
                        unlike.get_or_insert(explanation.attempt);
                    }
                }
                event => digest.event(now, event),
            };
            match sim.step(&mut |_, _| {}, &mut sink) {
                Ok(Step::Handled) => {}
                Ok(Step::Done) => break,
                Err(_) => return Err(Broken::new("I52", "the traffic cannot be read")),
            }
        }
        if let Some(attempt) = unlike {
            let id = attempt.request.0;
            return Err(Broken::new("I44", format!("request {id}: explained and record differ")));
        }
        ensure!(
            first.digest.as_ref() == Some(&digest),
            "I28",
            "the same run, observed, gives other events"
        );
        Ok(())
    }

    /// Says whether the case had to heal; fails if it did not.
    fn heals(&self, scenario: &Scenario, run: &TrialRun, sim: &Sim) -> Result<bool, Broken> {
        let Some((healed, rested, end)) = window(scenario) else { return Ok(false) };
        // What failures cost is gone for the day: that heals at midnight.
        if run.spent {
            return Ok(false);
        }
        // A node that asked for an hour gets it.
        let rested = rested.max(run.parked + HEAL_MIN);
        if rested >= end {
            return Ok(false);
        }
        let mut calm = scenario.clone();
        calm.faults.clear();
        calm.fault_rules.clear();
        let Some(calm_share) = self.manages(&calm, rested, end)? else { return Ok(false) };
        // What a strategy has learnt of nodes it may remember for long. If all of them are good enough,
        // which those show that it would not choose, that must not matter.
        let random = StrategySpec::named("random").expect("it is listed");
        calm.balancer.pools.iter_mut().for_each(|pool| pool.strategy = random.clone());
        if self.manages(&calm, rested, end)?.is_none() {
            return Ok(false);
        }
        // Closed loops may have sent less; what counts is what became of what came.
        let Some(share) = run.completed(rested, end) else { return Ok(false) };
        // A limiter finds its way back by one for every few answers, however long that takes.
        let finds_out = scenario.balancer.pools.iter().any(|pool| pool.limiter.is_some());
        ensure!(
            finds_out || share >= 0.95 * calm_share,
            "I49",
            "all faults were over at {healed}; of what came from {rested} to {end} only {:.1} % \
             were completed, {:.1} % without faults",
            share * 100.0,
            calm_share * 100.0
        );
        let config = &scenario.balancer;
        let outliers = config.watches().any(|health| health.recovery.outlier.is_some());
        for balancer in sim.balancers().iter().filter(|_| sim.now() >= rested) {
            for (at, node) in balancer.fleet().nodes().iter().enumerate() {
                let sick = matches!(node.state(), NodeState::Ejected | NodeState::Probing);
                // A node that is well may still be ejected for being the slowest of its peers.
                let sick = sick && (!outliers || node.rests_until() <= rested);
                ensure!(
                    !sick,
                    "I49",
                    "all faults were over at {healed}; node {at} is still {} at {}",
                    node.state().name(),
                    sim.now()
                );
            }
        }
        Ok(true)
    }

    /// Returns the share completed of what comes in a stretch of time, if the load is feasible: nobody
    /// waits, no node is busy or ill, and (nearly) all is completed.
    fn manages(&self, scenario: &Scenario, from: Time, to: Time) -> Result<Option<f64>, Broken> {
        let mut run = TrialRun::new(scenario, false);
        let mut sim = self.sim(scenario)?;
        loop {
            let mut sink = |now: Time, event: &Event| run.hear(now, event);
            match sim.step(&mut |_, _| {}, &mut sink) {
                Ok(Step::Handled) if sim.balancers().iter().all(|one| one.waiting() == 0) => {}
                Ok(Step::Done) => break,
                Ok(Step::Handled) | Err(_) => return Ok(None),
            }
        }
        let summary = run.collector.summary(sim.now(), true);
        let busiest = summary.nodes.iter().filter_map(|node| node.utilisation).fold(0.0, f64::max);
        let sound = busiest <= FEASIBLE && run.states == 0;
        Ok(run.completed(from, to).filter(|share| sound && *share >= 0.99))
    }
}

/// When all faults are over, when all must have healed, and when arrivals stop; `None` where
/// nothing is claimed.
fn window(scenario: &Scenario) -> Option<(Time, Time, Time)> {
    let end = Time::ZERO + scenario.duration?;
    // A group that may shrink to nothing does so while its node is ill, and then nobody may wait.
    let vanishes = scenario.balancer.scale.iter().any(|group| group.min == 0);
    // A stream that stalls outlasts the fault, for ever if no timer ends it.
    let mut kinds = scenario.faults.iter().map(|fault| fault.kind);
    let stalls = kinds.any(|kind| matches!(kind, FaultKind::Cut(_, Cut::Stall, _)));
    if !scenario.fault_rules.is_empty() || vanishes || stalls {
        return None;
    }
    let first = scenario.faults.iter().map(|fault| fault.at).min()?;
    let over = scenario.faults.iter().map(|fault| Some(fault.at + fault.lasts?));
    let healed = over.collect::<Option<Vec<Time>>>()?.into_iter().max()?;
    let pools = (0..scenario.balancer.pools.len()).map(|pool| PoolId(pool as u16));
    let health = pools.map(|pool| scenario.balancer.health_in(pool));
    // The last ejection runs out, probes come back, and what has piled up is worked off.
    let probes = |health: &HealthSettings| {
        Span(health.probe_timeout.0.saturating_mul(2 * u64::from(health.rise) + 2))
    };
    let (eject_cap, probes) = (
        health.clone().map(|health| health.eject_cap).max().unwrap_or_default(),
        health.map(probes).max().unwrap_or_default(),
    );
    let backlog = Span(healed.since(first).0.saturating_mul(2));
    // Every level of degradation is stood on for a while on the way down.
    let levels = scenario.balancer.degrade.map_or(Span::ZERO, |spec| Span(spec.stay.0 * 7));
    let rests = [eject_cap, probes, backlog, levels, HEAL_MIN];
    let rested = rests.iter().fold(healed, |at, &more| at + more);
    (rested < end).then_some((healed, rested, end))
}

/// What is kept of a run beside the checker.
struct TrialRun {
    collector: Collector,
    inputs: u64,
    /// When a request or the executor of one said something for the last time.
    heard: Time,
    /// Whether the run was left because nobody said anything any more.
    silent: bool,
    cost: u128,
    digest: Option<Digest>,
    journal: Option<Writer<Vec<u8>>>,
    /// Whether what comes depends on answers.
    closed: bool,
    /// By request: when it came and whether it was completed.
    came: Vec<(Time, bool)>,
    /// Whether somebody was turned away for having spent a budget.
    spent: bool,
    /// Changes of state of nodes that are not those of scaling.
    states: u64,
    /// When all faults are over, if something is claimed of what comes then.
    healed: Option<Time>,
    /// Until when a node asked to be left alone while faults lasted.
    parked: Time,
}

impl TrialRun {
    fn new(scenario: &Scenario, thorough: bool) -> TrialRun {
        let header = Header::new(&scenario.name, scenario.balancer.clone());
        // No journal holds what the oracle reads.
        let mut pools = scenario.balancer.pools.iter();
        let reads_truth = pools.any(|pool| pool.strategy.entry().is_bound());
        let journal = || Writer::new(Vec::new(), &header).expect("memory takes everything");
        TrialRun {
            collector: Collector::new(scenario.labels.clone(), &scenario.balancer, Watch::Report),
            inputs: 0,
            heard: Time::ZERO,
            silent: false,
            cost: 0,
            digest: thorough.then(Digest::default),
            journal: (thorough && scenario.instances.count == 1 && !reads_truth).then(journal),
            closed: matches!(scenario.arrivals, Arrivals::Users(_)),
            came: Vec::new(),
            spent: false,
            states: 0,
            healed: window(scenario).map(|(healed, ..)| healed),
            parked: Time::ZERO,
        }
    }

    fn record(&mut self, now: Time, input: &Input) {
        if matches!(input, Input::Arrive(_) | Input::Progress(..) | Input::Finish(..)) {
            self.heard = now;
        }
        if let Some(journal) = &mut self.journal {
            journal.input(now, input).expect("memory takes everything");
        }
    }

    /// Remembers for how long nodes asked to be left alone while faults lasted.
    fn see(&mut self, sim: &Sim) {
        if self.healed.is_none_or(|healed| sim.now() > healed + HEAL_MIN) {
            return;
        }
        for node in sim.balancers().iter().flat_map(|balancer| balancer.fleet().nodes()) {
            if node.state() == NodeState::CoolingDown {
                self.parked = self.parked.max(node.rests_until());
            }
        }
    }

    fn hear(&mut self, now: Time, event: &Event) {
        if let Some(digest) = &mut self.digest {
            digest.event(now, event);
        }
        if let Some(journal) = &mut self.journal {
            journal.event(now, event);
        }
        match event {
            Event::Ended { cost, .. } => self.cost += cost.0,
            Event::Settled(settled) => {
                // Users whom a limit a minute turns away ask again at once: that says how they are, and
                // not that something is still broken.
                let too_many = matches!(settled.fate, Fate::Rejected(Reject::TenantRate(_)));
                if !(self.closed && too_many) {
                    self.came.push((settled.arrived, settled.fate == Fate::Completed));
                }
                self.spent |= matches!(settled.fate, Fate::Rejected(Reject::Budget(_)));
            }
            Event::NodeState { to: NodeState::Ejected | NodeState::CoolingDown, .. } => {
                self.states += 1;
            }
            _ => {}
        }
        self.collector.fold(now, event);
    }

    /// The share completed of what came in a stretch of time, if enough came.
    fn completed(&self, from: Time, to: Time) -> Option<f64> {
        let within = self.came.iter().filter(|(at, _)| (from..to).contains(at));
        let (mut all, mut good) = (0_u64, 0_u64);
        for (_, completed) in within {
            all += 1;
            good += u64::from(*completed);
        }
        (all >= SAMPLE_MIN).then(|| good as f64 / all as f64)
    }
}

/// The collector counted what the fold counted.
fn totals(summary: &Summary, counts: &Counts, scenario: &Scenario) -> Result<(), Broken> {
    if scenario.warmup > Span::ZERO {
        return Ok(());
    }
    let requests = &summary.requests;
    let pairs = [
        ("arrived", requests.arrived, counts.arrived),
        ("completed", requests.completed, counts.completed),
        ("failed", requests.failed, counts.failed),
        ("rejected", requests.rejected, counts.rejected),
        ("cancelled", requests.cancelled, counts.cancelled),
        ("in flight", requests.in_flight, counts.arrived - counts.settled()),
        ("attempts", summary.attempts.total, counts.dispatched),
        ("retries", summary.attempts.retries, counts.retries),
        ("hedges", summary.attempts.hedges, counts.hedges),
        ("input tokens", summary.tokens.input, counts.input),
        ("output tokens", summary.tokens.output, counts.output),
        (
            "attempts by node",
            summary.nodes.iter().map(|node| node.attempts).sum(),
            counts.dispatched,
        ),
        (
            "requests by class",
            summary.classes.iter().map(|class| class.requests.arrived).sum(),
            counts.arrived,
        ),
        (
            "completed by class",
            summary.classes.iter().map(|class| class.requests.completed).sum(),
            counts.completed,
        ),
    ];
    for (what, reported, told) in pairs {
        ensure!(reported == told, "I43", "{what}: the report has {reported}, events tell {told}");
    }
    let (reported, told) = (summary.cost_usd.tokens, crate::unit::Cost(counts.cost).dollars());
    let near = (reported - told).abs() <= 1e-9 * told.max(1e-9);
    ensure!(near, "I24", "the report has {reported} dollars, events tell {told}");
    for node in &summary.nodes {
        let busy = node.utilisation.unwrap_or(0.0);
        ensure!((0.0..=1.0 + 1e-9).contains(&busy), "I39", "node {} is used {busy}", node.name);
    }
    Ok(())
}

/// Parts of a report add up to their whole, whatever the warm-up leaves out.
fn adds_up(summary: &Summary) -> Result<(), Broken> {
    let whole = std::iter::once(("the run", &summary.requests));
    let classes = summary.classes.iter().map(|class| (class.name.as_str(), &class.requests));
    let pools = summary.pools.iter().map(|pool| (pool.name.as_str(), &pool.requests));
    let routes = summary.routes.iter().map(|route| (route.name.as_str(), &route.requests));
    for (name, requests) in whole.chain(classes).chain(pools).chain(routes) {
        let RequestCounts { arrived, completed, failed, rejected, cancelled, in_flight } =
            *requests;
        let sum = completed + failed + rejected + cancelled + in_flight;
        ensure!(arrived == sum, "I43", "{name}: {arrived} arrived, {sum} are accounted for");
    }
    let without = summary.requests.errors() + summary.requests.cancelled;
    let reasons: u64 = summary.unserved.values().sum();
    ensure!(without == reasons, "I43", "{without} had no answer, {reasons} have a reason");
    let by_node: u64 = summary.nodes.iter().map(|node| node.attempts).sum();
    let attempts = summary.attempts.total;
    ensure!(attempts == by_node, "I43", "{attempts} attempts, by node {by_node}");
    for node in &summary.nodes {
        let (failed, attempts) = (node.failed, node.attempts);
        ensure!(failed <= attempts, "I43", "{}: {failed} of {attempts} failed", node.name);
    }
    Ok(())
}

/// No figure of a report is infinite or no number.
fn finite(summary: &Summary) -> Result<(), Broken> {
    // JSON has no such numbers and would show them as null; the debug form shows them.
    let shown = format!("{summary:?}");
    for word in ["NaN", ": inf", "(inf", "-inf"] {
        if let Some(at) = shown.find(word) {
            let from = shown[..at].rfind(',').unwrap_or(0);
            let said = format!("the report has {}", shown[from..at + word.len()].trim());
            return Err(Broken::new("I48", said));
        }
    }
    Ok(())
}

/// The journal of the run replays to the same events.
fn replays(run: &mut TrialRun) -> Result<(), Broken> {
    let Some(journal) = run.journal.take() else { return Ok(()) };
    let journal = journal.finish().expect("memory takes everything");
    let mut digest = Digest::default();
    let replayed = replay(journal.as_slice(), &mut |now, event| digest.event(now, event));
    let replayed = replayed.map_err(|error| Broken::new("I33", error.to_string()))?;
    ensure!(
        replayed.inputs == run.inputs && Some(&digest) == run.digest.as_ref(),
        "I33",
        "the journal replays to other events"
    );
    Ok(())
}

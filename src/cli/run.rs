//! `plimsoll run`: one run, headless; the entry point for CI.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::Args;

use super::books::Books;
use super::failure::{CliFailure, FailureKind};
use super::progress::ProgressBar;
use super::result::{Finished, ResultOutput};
use super::signals::watch_signals;
use super::{Changes, DEFAULT_SCENARIO, explain, load};
use crate::balance::{Event, Explain, Input};
use crate::metrics::{RequestTrace, Watch};
use crate::report::explanation::{ExplainedNames, Story};
use crate::report::quantity::count;
use crate::scenario::Scenario;
use crate::sim::{Sim, Step};
use crate::unit::{RequestId, Time};
use crate::workload::TraceError;

/// Signals and progress are looked at after so many inputs.
const LOOK_EVERY: u64 = 4_096;

#[derive(Clone, Debug, Default, Args)]
pub(super) struct Run {
    /// A file, `-` for stdin, or the name of a built-in scenario [default: quickstart]
    scenario: Option<String>,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    output: ResultOutput,
    /// Tell why this request went where it went: its number, from 0 in order of arrival
    #[arg(long, value_name = "REQUEST", help_heading = "Output")]
    explain: Option<u64>,
}

impl Run {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let name = self.scenario.as_deref().unwrap_or(DEFAULT_SCENARIO);
        let color = self.output.color;
        let scenario = load::scenario(name, &self.changes, color)?;
        let gates = self.output.gates(&scenario)?;
        let mut ready = load::simulation(&scenario, color)?;
        let mut notes = std::mem::take(&mut ready.notes);
        notes.iter().for_each(|note| self.output.tell(&format!("note: {note}")));
        let run = Simulated { output: &self.output, explain: self.explain, until: None };
        let (done, speed, remarks) = run.simulate(&scenario, ready)?;
        remarks.iter().for_each(|remark| self.output.tell(&format!("note: {remark}")));
        notes.extend(remarks);
        self.output.tell(&speed);
        self.output.finish(&done, &gates, &notes)
    }
}

/// How a simulation is run, and what is kept of it.
pub(super) struct Simulated<'a> {
    pub(super) output: &'a ResultOutput,
    /// A question about one request, by its number.
    pub(super) explain: Option<u64>,
    /// Where it is left; `None` at its end.
    pub(super) until: Option<Time>,
}

impl Simulated<'_> {
    /// Runs it. Returns what it came to, how fast it was in words, and what else there is to know.
    pub(super) fn simulate(
        &self,
        scenario: &Scenario,
        ready: load::Ready,
    ) -> Result<(Finished, String, Vec<String>), CliFailure> {
        let mut books = Books::open(scenario, self.output, Watch::Report, false)?;
        let signal = watch_signals()?;
        // Jobs are counted by their starts, and it is not known how many requests they make.
        let requests = scenario.requests.filter(|_| !scenario.starts_jobs());
        let mut progress = ProgressBar::new(self.output.style(), ready.end, requests);
        let mut sim = ready.sim;
        if let Some(request) = self.explain.map(RequestId) {
            books.trace = Some(RequestTrace::new(request));
            sim.explain(Explain::One(request));
        }
        let start = Instant::now();
        let complete = go(&mut sim, &mut books, self.until, |sim, books| {
            progress.tick(sim.now(), sim.totals().arrived);
            signal.load(Ordering::Relaxed) == 0 && !books.has_failed()
        });
        progress.clear();
        let complete = complete.map_err(|errors| load::trace_failure(scenario, &errors))?;
        let wall = start.elapsed().as_secs_f64();
        let arrived = sim.totals().arrived;
        let trace = books.trace.take();
        let mut summary = books.close(sim.now(), complete)?;
        summary.tell_kv(sim.kv_use());
        let story = trace.map(|trace| story(scenario, &trace, arrived)).transpose()?;
        let stories = story.into_iter().collect();
        let signal = signal.load(Ordering::Relaxed);
        let signal = Some(signal).filter(|signal| !complete && *signal != 0);
        let rate = count((arrived as f64 / wall.max(1e-9)).round() as u64);
        let arrived_words = count(arrived);
        let speed = format!("{arrived_words} requests simulated in {wall:.3} s: {rate} requests/s");
        Ok((Finished { summary, arrived, signal, stories }, speed, sim.remarks()))
    }
}

/// Puts names to what was heard of the request that was asked about.
fn story(scenario: &Scenario, trace: &RequestTrace, arrived: u64) -> Result<Story, CliFailure> {
    let config = &scenario.balancer;
    let routes = config.routes.iter().map(|route| explain::conditions(scenario, &route.when));
    let strategies = config.pools.iter().map(|pool| pool.strategy.to_string());
    let names = ExplainedNames {
        labels: &scenario.labels,
        routes: &routes.collect::<Vec<_>>(),
        strategies: &strategies.collect::<Vec<_>>(),
    };
    Story::of(trace, names).ok_or_else(|| {
        let id = trace.request.0;
        let failure =
            CliFailure::new(FailureKind::Usage, format!("--explain: request {id} never arrived"));
        match arrived.checked_sub(1) {
            Some(last) => failure.hint(format!("{arrived} requests arrived: 0 to {last}")),
            None => {
                failure.hint("no request arrived: look at --duration, --requests and the trace")
            }
        }
    })
}

/// Lets a simulation go on, with everything that listens, to its end or to a moment, as long as `look` says
/// so now and then. Returns whether it came to its end.
pub(super) fn go(
    sim: &mut Sim,
    books: &mut Books,
    until: Option<Time>,
    mut look: impl FnMut(&Sim, &Books) -> bool,
) -> Result<bool, Vec<TraceError>> {
    let mut inputs = 0_u64;
    loop {
        match step(sim, books, until.unwrap_or(Time::MAX))? {
            Some(Step::Handled) => {}
            Some(Step::Done) => return Ok(true),
            None => return Ok(false),
        }
        inputs += 1;
        if inputs.is_multiple_of(LOOK_EVERY) && !look(sim, books) {
            return Ok(false);
        }
    }
}

/// One step, with everything that listens, unless it comes later. Inputs come before the events they cause.
fn step(sim: &mut Sim, books: &mut Books, until: Time) -> Result<Option<Step>, Vec<TraceError>> {
    let cell = RefCell::new(&mut *books);
    let mut record = |now: Time, input: &Input| cell.borrow_mut().record(now, input);
    let mut sink = |now: Time, event: &Event| cell.borrow_mut().hear(now, event);
    let step = sim.step_until(until, &mut record, &mut sink)?;
    books.drain(false);
    Ok(step)
}

//! `plimsoll replay`: the scenario's workload against real endpoints, in real time, through the same
//! balancer, with the same report.

#[cfg(feature = "tui")]
mod hands;
#[cfg(feature = "tui")]
mod watched;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;

use super::books::Books;
use super::failure::{CliFailure, FailureKind};
use super::progress::ProgressBar;
use super::result::{Finished, ResultOutput};
use super::signals::watch_signals;
use super::{Changes, endpoints, load, traffic};
use crate::balance::{Balancer, Event, Input};
use crate::live::driver::Observer;
use crate::live::http;
use crate::live::replay::{self, Ask, ReplayHandle, ReplayOutcome, ReplayParts};
use crate::metrics::Watch;
use crate::scenario::Scenario;
use crate::unit::Time;

#[derive(Clone, Debug, Default, Args)]
pub(super) struct Replay {
    /// A scenario whose nodes have a `url`
    scenario: String,
    #[command(flatten)]
    changes: Changes,
    /// Watch it in the dashboard
    #[cfg(feature = "tui")]
    #[arg(long)]
    watch: bool,
    #[cfg(feature = "tui")]
    #[command(flatten)]
    looks: super::looks::Looks,
    #[command(flatten)]
    output: ResultOutput,
}

impl Replay {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let color = self.output.color;
        let source = load::Source::open(&self.scenario)?;
        let scenario = source.scenario(&self.changes.overrides(), color)?.for_real_nodes();
        let gates = self.output.gates(&scenario)?;
        scenario.check_live().map_err(|problems| load::drawn(&problems, color))?;
        #[cfg(feature = "tui")]
        if self.watch && !super::play::has_terminal() {
            return Err(CliFailure::new(FailureKind::Usage, "--watch needs a terminal"));
        }
        let (traffic, mut notes) = traffic::traffic(&scenario)?;
        notes.extend(load::one_balancer(&scenario));
        notes.iter().for_each(|note| self.output.tell(&format!("note: {note}")));
        let client = endpoints::client(&scenario, http::ANSWERS_MAX)?;
        let asks = asks(&scenario);
        let parts = ReplayParts { config: scenario.balancer.clone(), client, asks };
        let (books, done, signal) = self.drive((&scenario, source), parts, traffic)?;
        if !done.broken.is_empty() {
            return Err(load::trace_failure(&scenario, &done.broken));
        }
        let summary = books.close(done.end, done.complete)?;
        let arrived = done.arrived;
        let signal = Some(signal).filter(|signal| *signal != 0 && !done.complete);
        self.output.finish(
            &Finished { summary, arrived, signal, stories: Vec::new() },
            &gates,
            &notes,
        )
    }

    #[cfg(feature = "tui")]
    fn drive(
        &self,
        (scenario, source): (&Scenario, load::Source),
        parts: ReplayParts,
        traffic: Box<dyn crate::workload::Traffic>,
    ) -> Result<(Books, ReplayOutcome, usize), CliFailure> {
        if self.watch {
            return self.watched((scenario, source), parts, traffic);
        }
        self.plain(scenario, parts, traffic)
    }

    #[cfg(not(feature = "tui"))]
    fn drive(
        &self,
        (scenario, _): (&Scenario, load::Source),
        parts: ReplayParts,
        traffic: Box<dyn crate::workload::Traffic>,
    ) -> Result<(Books, ReplayOutcome, usize), CliFailure> {
        self.plain(scenario, parts, traffic)
    }

    /// Without a screen.
    fn plain(
        &self,
        scenario: &Scenario,
        parts: ReplayParts,
        traffic: Box<dyn crate::workload::Traffic>,
    ) -> Result<(Books, ReplayOutcome, usize), CliFailure> {
        let books = Books::open(scenario, &self.output, Watch::Report, true)?;
        let end = scenario.duration.map(|span| Time::ZERO + span);
        let progress = ProgressBar::new(self.output.style(), end, scenario.requests);
        let signal = watch_signals()?;
        let stop = Brake::default();
        let mut observer = ReplayObserver {
            books,
            progress,
            signal: Arc::clone(&signal),
            stop: Arc::clone(&stop),
        };
        let done = to_the_end(endpoints::runtime()?, parts, traffic, &mut observer, stop);
        observer.progress.clear();
        Ok((observer.books, done, signal.load(Ordering::Relaxed)))
    }
}

/// A way to stop the replay; empty until it has begun.
type Brake = Arc<OnceLock<ReplayHandle>>;

/// Runs a replay to its end on a runtime of its own.
fn to_the_end(
    runtime: tokio::runtime::Runtime,
    parts: ReplayParts,
    traffic: Box<dyn crate::workload::Traffic>,
    observer: &mut impl Observer,
    brake: Brake,
) -> ReplayOutcome {
    let done = runtime.block_on(replay::replay(parts, traffic, observer, move |stop| {
        // A replay begins once.
        let _ = brake.set(stop);
    }));
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// How each node wants to be asked.
fn asks(scenario: &Scenario) -> Vec<Ask> {
    let nodes = scenario.balancer.nodes.iter().zip(&scenario.live);
    nodes
        .map(|(node, live)| {
            let model = scenario.models.get(node.model.index()).cloned().unwrap_or_default();
            // Engines understand it; hosted APIs refuse what they do not know.
            let engine = matches!(live.dialect.as_deref(), Some("vllm" | "llama.cpp" | "sglang"));
            Ask { model, ignore_eos: engine }
        })
        .collect()
}

/// Watches a replay without a screen.
struct ReplayObserver {
    books: Books,
    progress: ProgressBar,
    signal: Arc<AtomicUsize>,
    stop: Brake,
}

impl Observer for ReplayObserver {
    fn record(&mut self, now: Time, input: &Input) {
        self.books.record(now, input);
    }

    fn hear(&mut self, now: Time, event: &Event) {
        self.books.hear(now, event);
    }

    fn tick(&mut self, now: Time, balancer: &Balancer) {
        self.books.drain(false);
        self.progress.tick(now, balancer.totals().arrived);
        let interrupted = self.signal.load(Ordering::Relaxed) != 0;
        if (interrupted || self.books.has_failed())
            && let Some(stop) = self.stop.get()
        {
            stop.now();
        }
    }
}

//! `plimsoll chaos`: random fleets, strategies, settings, traffic and faults, every invariant after
//! every event.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::compare::bounded;
use super::failure::{CliFailure, FailureKind, code_of_signal};
use super::progress::{ProgressBar, Style};
use super::signals::watch_signals;
use super::{output, simulation};
use crate::lab;
use crate::lab::chaos::{Bench, Case, Drawn, TrialOutcome, Violation, draw};
use crate::report::chaos as report;
use crate::report::quantity::count;
use crate::scenario::Scenario;
use crate::sim::Sim;

/// At most so many seeds in one call.
const SEEDS_MAX: u64 = 100_000_000;
/// One seed in so many is run twice and its journal replayed.
const THOROUGH_EVERY: u64 = 8;

#[derive(Clone, Debug, Args)]
#[command(after_help = NOTES)]
pub(super) struct Chaos {
    /// So many seeds, from 1 or --first upwards
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u64,
    /// This seed only, run twice and with its journal replayed
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Print the scenario of the seed and run nothing
    #[arg(long, requires = "seed")]
    show: bool,
    /// Do not make the case that fails smaller
    #[arg(long)]
    no_shrink: bool,
    /// What the result looks like
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    format: ChaosFormat,
    /// Write the result to this file instead of stdout
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    out: Option<PathBuf>,
    /// So many cases at a time [default: one a core]
    #[arg(long, visible_alias = "jobs", short = 'j', value_name = "N", help_heading = "Output",
          value_parser = bounded::<{ lab::THREADS_MAX }>)]
    threads: Option<usize>,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    progress: Style,
    /// Nothing on stderr but errors
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
}

const NOTES: &str = "A seed is a scenario, drawn with some features off altogether. The first \
violation ends the run with exit code 101 and the smallest scenario found that still fails; it is a \
file that `plimsoll run` takes.";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ChaosFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// A seed that fails.
struct FailedRun {
    seed: u64,
    drawn: Drawn,
    violation: Violation,
}

/// Why a run of many seeds ends early.
enum Stop {
    Failed(Box<FailedRun>),
    /// What was drawn is no scenario: a mistake of the drawing.
    Unreadable(u64, String),
}

fn make(scenario: &Scenario) -> Result<Sim, String> {
    simulation(scenario).map_err(|failure| failure.to_string())
}

impl Chaos {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let first = self.seed.unwrap_or(self.first);
        if self.show {
            return output::write(&draw(first).document.to_string(), self.out.as_deref())
                .map(|()| 0);
        }
        let seeds = if self.seed.is_some() { 1 } else { self.seeds };
        if first.checked_add(seeds - 1).is_none() {
            let message = format!("there are no {seeds} seeds from {first} upwards");
            return Err(CliFailure::new(FailureKind::Usage, message));
        }
        let signal = watch_signals()?;
        let stopped = || signal.load(Ordering::Relaxed) != 0;
        let style = if self.quiet { Style::None } else { self.progress };
        let mut progress = ProgressBar::new(style, None, None);
        let bench = Bench { make: &make, tamper: None };
        let begun = AtomicUsize::new(0);
        let start = Instant::now();
        // A panic in a case is a finding and is told as one.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let count_of = usize::try_from(seeds).unwrap_or(usize::MAX);
        let threads = lab::threads(self.threads).min(count_of);
        let job = |at: usize, _: &lab::Halt<'_>| {
            // Cases are short: one that has begun is finished, so the least seed that fails is found.
            begun.fetch_add(1, Ordering::Relaxed);
            one(&bench, first + at as u64, self.seed.is_some()).map(Some)
        };
        let heard = |done| progress.runs(done, count_of);
        let runs = lab::run_all(count_of, threads, &stopped, &job, heard);
        progress.clear();
        let wall = start.elapsed().as_secs_f64();
        let begun = begun.into_inner();
        let speed = begun as f64 / wall.max(1e-9);
        let result = match runs {
            Ok(runs) => Ok(report::Result::held(first, seeds, &runs)),
            Err(Stop::Unreadable(seed, said)) => Err((seed, said)),
            Err(Stop::Failed(failed)) => {
                self.tell(&format!("seed {} fails; making it smaller", failed.seed));
                let case = self.smaller(&bench, &failed, &stopped);
                Ok(report::Result::failed(first, seeds, failed.seed, &case))
            }
        };
        std::panic::set_hook(hook);
        let result = result.map_err(|(seed, said)| {
            output::warn(said.trim_end());
            CliFailure::new(
                FailureKind::Unexpected,
                format!("seed {seed} draws what is no scenario"),
            )
        })?;
        self.tell(&format!(
            "{} seeds in {wall:.1} s on {threads} threads: {speed:.0} seeds/s",
            count(begun as u64)
        ));
        let text = match self.format {
            ChaosFormat::Text => report::text(&result),
            ChaosFormat::Json => report::json(&result),
        };
        output::write(&text, self.out.as_deref())?;
        if let Some(violation) = &result.violation {
            let message = format!("seed {} violates {}", violation.seed, violation.invariant);
            return Err(CliFailure::new(FailureKind::Diverged, message));
        }
        let signal = signal.load(Ordering::Relaxed);
        Ok(if result.complete { 0 } else { code_of_signal(signal) })
    }

    fn smaller(&self, bench: &Bench<'_>, failed: &FailedRun, halt: &dyn Fn() -> bool) -> Case {
        let FailedRun { drawn, violation, .. } = failed;
        if self.no_shrink {
            let (document, violation) = (drawn.document.clone(), violation.clone());
            return Case { document, violation, tries: 0 };
        }
        // Only what needs a second run is worth one.
        let twice = matches!(violation.broken.invariant.as_str(), "I28" | "I33" | "I44" | "I52");
        bench.shrink(&drawn.document, violation, twice, halt)
    }

    fn tell(&self, line: &str) {
        if !self.quiet {
            output::warn(line);
        }
    }
}

/// Runs one seed.
fn one(bench: &Bench<'_>, seed: u64, alone: bool) -> Result<report::Seed, Stop> {
    let drawn = draw(seed);
    let thorough = alone || seed.is_multiple_of(THOROUGH_EVERY);
    match bench.trial(&drawn.document.to_string(), thorough) {
        TrialOutcome::Held(done) => Ok(report::Seed { done, features: drawn.features }),
        TrialOutcome::Broken(violation) => {
            Err(Stop::Failed(Box::new(FailedRun { seed, drawn, violation })))
        }
        TrialOutcome::Unreadable(said) => Err(Stop::Unreadable(seed, said)),
    }
}

//! `plimsoll run`: one run, headless; the entry point for CI.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::export::Export;
use super::failure::{Failure, Kind};
use super::progress::{Progress, Style};
use super::{Changes, Color, DEFAULT_SCENARIO, load, output};
use crate::balance::Event;
use crate::journal::{Header, Writer};
use crate::metrics::expect::{Expectation, Verdict};
use crate::metrics::{Collector, Summary, Watch};
use crate::report;
use crate::report::quantity::count;
use crate::scenario::Scenario;
use crate::sim::Step;
use crate::unit::Time;

/// Signals and progress are looked at after so many inputs.
const LOOK_EVERY: u64 = 4_096;

#[derive(Clone, Debug, Default, Args)]
pub(super) struct Run {
    /// A file, or the name of a built-in scenario [default: quickstart]
    scenario: Option<String>,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
struct Output {
    /// What the result looks like
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the result to this file instead of stdout
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Exit with 100 if this holds, such as 'chat.p99 > 2s' (repeatable)
    #[arg(long, value_name = "EXPR")]
    fail_if: Vec<String>,
    /// Write histograms (.hlog, .hgrm) and CSV by node, class and pool into this folder
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Write the run's journal to this file
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    progress: Style,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    /// Nothing on stderr but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// An expectation and which way round it is meant.
struct Gate {
    expectation: Expectation,
    /// `--fail-if`: the run fails where the expression holds.
    inverted: bool,
}

impl Gate {
    fn judge(&self, summary: &Summary) -> Verdict {
        let mut verdict = self.expectation.judge(summary);
        if self.inverted {
            // What was never measured has not been shown to be right either way.
            verdict.held = verdict.value.is_some() && !verdict.held;
            verdict.text = format!("not {}", verdict.text);
        }
        verdict
    }
}

impl Run {
    pub(super) fn run(&self) -> Result<u8, Failure> {
        let name = self.scenario.as_deref().unwrap_or(DEFAULT_SCENARIO);
        let color = self.output.color;
        let scenario = load::scenario(name, &self.changes, color)?;
        let gates = self.gates(&scenario)?;
        let mut ready = load::simulation(&scenario, color)?;
        let notes = std::mem::take(&mut ready.notes);
        if !self.output.quiet {
            notes.iter().for_each(|note| output::warn(&format!("note: {note}")));
        }
        let done = self.simulate(&scenario, ready)?;
        let verdicts: Vec<Verdict> = gates.iter().map(|gate| gate.judge(&done.summary)).collect();
        let result = match self.output.format {
            Format::Text => report::text(&done.summary, &verdicts, &notes),
            Format::Json => report::json(&done.summary, &verdicts),
        };
        output::write(&result, self.output.out.as_deref())?;
        if !self.output.quiet {
            output::warn(&done.speed);
        }
        self.exit(&done, &verdicts)
    }

    fn exit(&self, done: &Done, verdicts: &[Verdict]) -> Result<u8, Failure> {
        if let Some(signal) = done.signal {
            return Ok(128_u8.saturating_add(signal as u8));
        }
        if done.arrived == 0 {
            let failure =
                Failure::new(Kind::Nothing, "no request arrived: there was nothing to run");
            return Err(failure.hint("look at --duration, --requests and the trace"));
        }
        let failed = verdicts.iter().filter(|verdict| !verdict.held).count();
        if failed > 0 {
            let message = format!("{failed} of {} expectations failed", verdicts.len());
            return Err(Failure::new(Kind::Expectation, message));
        }
        Ok(0)
    }

    fn gates(&self, scenario: &Scenario) -> Result<Vec<Gate>, Failure> {
        let own = load::expectations(scenario, self.output.color)?;
        let mut gates: Vec<Gate> =
            own.into_iter().map(|expectation| Gate { expectation, inverted: false }).collect();
        let names = load::names(scenario);
        for text in &self.output.fail_if {
            let expectation = Expectation::parse(text, &names).map_err(|error| {
                let caret = format!("{}{}", " ".repeat(error.at), "^".repeat(error.len.max(1)));
                let message = format!("--fail-if: {}\n  |\n  | {text}\n  | {caret}", error.reason);
                let failure = Failure::new(Kind::Usage, message);
                match error.help {
                    Some(help) => failure.hint(help),
                    None => failure,
                }
            })?;
            gates.push(Gate { expectation, inverted: true });
        }
        Ok(gates)
    }

    fn simulate(&self, scenario: &Scenario, ready: load::Ready) -> Result<Done, Failure> {
        let watch = if self.output.export.is_some() { Watch::Export } else { Watch::Report };
        let collector = load::collector(scenario, watch);
        let mut books = Books {
            collector,
            journal: self.journal(scenario)?,
            export: self.output.export.as_deref().map(Export::new).transpose()?,
            failed: None,
        };
        let signal = watch_signals()?;
        let style = if self.output.quiet { Style::None } else { self.output.progress };
        let mut progress = Progress::new(style, ready.end, scenario.requests);
        let mut sim = ready.sim;
        let start = Instant::now();
        let mut inputs = 0_u64;
        let complete = loop {
            match step(&mut sim, &mut books) {
                Ok(Step::Handled) => {}
                Ok(Step::Done) => break true,
                Err(errors) => {
                    progress.clear();
                    return Err(load::trace_failure(scenario, &errors));
                }
            }
            inputs += 1;
            if inputs.is_multiple_of(LOOK_EVERY) {
                progress.tick(sim.now(), sim.balancer().totals().arrived);
                if signal.load(Ordering::Relaxed) != 0 || books.failed.is_some() {
                    break false;
                }
            }
        };
        progress.clear();
        let wall = start.elapsed().as_secs_f64();
        let arrived = sim.balancer().totals().arrived;
        let summary = books.close(sim.now(), complete)?;
        let signal = Some(signal.load(Ordering::Relaxed)).filter(|_| !complete);
        let rate = count((arrived as f64 / wall.max(1e-9)).round() as u64);
        let speed =
            format!("{} requests simulated in {wall:.3} s: {rate} requests/s", count(arrived));
        Ok(Done { summary, arrived, speed, signal })
    }

    fn journal(&self, scenario: &Scenario) -> Result<Option<Journal>, Failure> {
        let Some(path) = &self.output.journal else {
            return Ok(None);
        };
        let part = Part::new(path);
        let header = Header::new(&scenario.name, scenario.balancer.clone());
        let writer = File::create(&part.part)
            .and_then(|file| Writer::new(BufWriter::new(file), &header))
            .map_err(|error| part.failed(&error))?;
        Ok(Some(Journal { writer, part }))
    }
}

/// What a run came to.
struct Done {
    summary: Summary,
    arrived: u64,
    /// Simulated requests a second of wall time, in words.
    speed: String,
    /// The signal that interrupted it.
    signal: Option<usize>,
}

struct Journal {
    writer: Writer<BufWriter<File>>,
    part: Part,
}

/// A file that is written beside its place until it is whole.
struct Part {
    part: PathBuf,
    path: PathBuf,
}

impl Part {
    fn new(path: &Path) -> Part {
        // A device or a pipe cannot be replaced, only written to.
        let special = path.metadata().is_ok_and(|meta| !meta.is_file());
        let part = if special { path.to_owned() } else { output::beside(path) };
        Part { part, path: path.to_owned() }
    }

    /// The file is whole and takes its place.
    fn keep(&self) -> io::Result<()> {
        if self.part == self.path { Ok(()) } else { std::fs::rename(&self.part, &self.path) }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::file("write", &self.path, error)
    }
}

impl Drop for Part {
    /// A run that fails leaves no half file behind.
    fn drop(&mut self) {
        if self.part != self.path {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// Everything that is kept of a run.
struct Books {
    collector: Collector,
    journal: Option<Journal>,
    export: Option<Export>,
    /// The first thing that could not be written.
    failed: Option<Failure>,
}

/// One step, with everything that listens.
fn step(
    sim: &mut crate::sim::Sim,
    books: &mut Books,
) -> Result<Step, Vec<crate::workload::TraceError>> {
    let Books { collector, journal, export, failed } = books;
    let Some(journal) = journal else {
        let step =
            sim.step(&mut |_, _| {}, &mut |now, event: &Event| collector.fold(now, event))?;
        drain(collector, export, failed, false);
        return Ok(step);
    };
    // Both closures write to the journal, one after the other.
    let cell = std::cell::RefCell::new(journal);
    let mut record = |now: Time, input: &crate::balance::Input| {
        let mut journal = cell.borrow_mut();
        if let Err(error) = journal.writer.input(now, input) {
            failed.get_or_insert_with(|| journal.part.failed(&error));
        }
    };
    let mut sink = |now: Time, event: &Event| {
        cell.borrow_mut().writer.event(now, event);
        collector.fold(now, event);
    };
    let step = sim.step(&mut record, &mut sink)?;
    drain(collector, export, failed, false);
    Ok(step)
}

/// Writes the intervals that have closed.
fn drain(
    collector: &mut Collector,
    export: &mut Option<Export>,
    failed: &mut Option<Failure>,
    last: bool,
) {
    let Some(export) = export else { return };
    if !last && !collector.has_intervals() {
        return;
    }
    let intervals = collector.take_intervals(last);
    if let Err(failure) = export.intervals(collector.labels(), &intervals) {
        failed.get_or_insert(failure);
    }
}

impl Books {
    /// Closes every book and returns the result.
    fn close(mut self, end: Time, complete: bool) -> Result<Summary, Failure> {
        drain(&mut self.collector, &mut self.export, &mut self.failed, true);
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        if let Some(export) = self.export {
            export.close(&self.collector)?;
        }
        if let Some(Journal { writer, part }) = self.journal {
            writer.finish().and_then(|_| part.keep()).map_err(|error| part.failed(&error))?;
        }
        Ok(self.collector.summary(end, complete))
    }
}

/// Remembers the first SIGINT or SIGTERM; a second one ends the program at once.
fn watch_signals() -> Result<Arc<AtomicUsize>, Failure> {
    let seen = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds `again` unset and sets it.
        let registered =
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))
                .and_then(|_| flag::register(signal, Arc::clone(&again)))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&seen), signal as usize));
        registered.map_err(|error| {
            Failure::new(Kind::Unexpected, format!("cannot listen to signals: {error}"))
        })?;
    }
    Ok(seen)
}

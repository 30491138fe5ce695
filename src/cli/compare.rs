//! `plimsoll compare`: strategies on the same seeds, on all cores.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::distinct::{self, NamedFile};
use super::failure::{CliFailure, FailureKind, code_of_signal};
use super::progress::{ProgressBar, Style};
use super::signals::watch_signals;
use super::{Changes, Color, load, output};
use crate::balance::{Event, Input, StrategySpec, usable};
use crate::lab::{self, ComparedRun, Halt, Metric, Plan};
use crate::metrics::Watch;
use crate::metrics::expect::Expectation;
use crate::report::compare as report;
use crate::report::quantity::count;
use crate::scenario::{Arrivals, Override, Scenario};
use crate::sim::Step;
use crate::unit::Time;

/// A comparison has at most so many strategies.
const STRATEGIES_MAX: usize = 64;
/// A comparison has at most so many seeds.
const SEEDS_MAX: usize = 10_000;
/// A comparison of a strategy with itself is made at most so often.
const TRIES_MAX: usize = 10_000;
/// Whether to stop is looked at after so many inputs.
const LOOK_EVERY: u64 = 4_096;
/// The word for what the scenario says of each pool.
const AS_WRITTEN: &str = "scenario";

#[derive(Clone, Debug, Args)]
#[command(mut_arg("strategy", |arg| arg.hide(true)), after_help = NOTES)]
pub(super) struct Compare {
    /// A file, `-` for stdin, or the name of a built-in scenario
    scenario: String,
    /// Strategies for every pool, such as random,'power_of_two(choices=4)'; `scenario` is what each
    /// pool has now, `all` is every one there is
    #[arg(long, short, value_name = "A,B,C", default_value = "all")]
    strategies: String,
    /// The one that the others are held against [default: the first]
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// So many seeds, from the scenario's own upwards
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = bounded::<SEEDS_MAX>)]
    seeds: usize,
    /// Compare the baseline with itself so often and count false alarms
    #[arg(long, value_name = "TRIES", value_parser = bounded::<TRIES_MAX>)]
    aa: Option<usize>,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    output: Output,
}

const NOTES: &str = "Every strategy meets the same arrivals, lengths and faults of a seed; \
verdicts rest on the differences within seeds (paired t-test, Holm's correction). Exit code 0 \
whatever the verdicts, 100 with --fail-if-worse.";

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
struct Output {
    /// What the result looks like
    #[arg(long, value_enum, default_value_t)]
    format: CompareFormat,
    /// Write the result to this file instead of stdout
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Exit with 100 if a strategy is worse than the baseline in a headline metric
    #[arg(long)]
    fail_if_worse: bool,
    /// So many runs at a time [default: one a core]
    #[arg(long, visible_alias = "jobs", short = 'j', value_name = "N",
          value_parser = bounded::<{ lab::THREADS_MAX }>)]
    threads: Option<usize>,
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
enum CompareFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For a page or a pull request
    Markdown,
}

/// A whole number from 1 to `MAX`.
pub(super) fn bounded<const MAX: usize>(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse() {
        Ok(number) if (1..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("it must be a whole number from 1 to {MAX}")),
    }
}

/// What all runs have in common.
struct CompareBench {
    source: load::Source,
    overrides: Vec<Override>,
    metrics: Vec<Metric>,
    expectations: Vec<Expectation>,
    color: Color,
    /// Requests simulated by all runs.
    arrived: AtomicU64,
}

/// What is varied from run to run.
struct Variant<'a> {
    strategy: &'a str,
    seed: u64,
    /// The balancer and the nodes draw from another seed than the workload.
    other_luck: Option<u64>,
}

impl Compare {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        if self.changes.strategy.is_some() {
            let failure = CliFailure::new(FailureKind::Usage, "`compare` takes no --strategy");
            return Err(failure.hint("name two or more with --strategies a,b"));
        }
        let (strategies, baseline) = self.strategies()?;
        let (bench, scenario) = self.bench(&strategies)?;
        let trace = scenario.arrivals.path().map(|path| NamedFile::input("the trace", path));
        let read = [Some(NamedFile::input("the scenario", scenario.file())), trace];
        let read: Vec<NamedFile<'_>> = read.into_iter().flatten().collect();
        distinct::check(&[NamedFile::result(self.output.out.as_ref())], &read, None)?;
        let first = scenario.seed;
        let Some(last) = first.checked_add(self.seeds as u64 - 1) else {
            let message = format!("there are no {} seeds from {first} upwards", self.seeds);
            return Err(CliFailure::new(FailureKind::Usage, message));
        };
        let bounds = strategies.iter().enumerate().filter(|(_, name)| is_bound(name, &scenario));
        let bounds = bounds.map(|(at, _)| at).collect();
        let plan = Plan {
            scenario: scenario.name.clone(),
            strategies,
            baseline,
            seeds: (first..=last).collect(),
            metrics: bench.metrics.clone(),
            bounds,
        };
        match self.aa {
            Some(tries) => self.alarms(plan, tries, &bench),
            None => self.compare(&plan, &bench),
        }
    }

    /// The strategies, each once, and which is the baseline.
    fn strategies(&self) -> Result<(Vec<String>, usize), CliFailure> {
        let usage = |message: String| CliFailure::new(FailureKind::Usage, message);
        let mut list: Vec<String> = Vec::new();
        for word in split(&self.strategies) {
            if word.is_empty() {
                return Err(usage("--strategies has an empty place".to_owned())
                    .hint("write for instance --strategies random,least_tokens"));
            }
            if word == "all" {
                list.extend(usable().iter().map(|entry| entry.name.to_owned()));
            } else {
                list.push(word);
            }
        }
        let baseline = self.baseline.as_deref().map(tidy);
        let at = match baseline {
            None => 0,
            Some(name) => list.iter().position(|one| *one == name).unwrap_or_else(|| {
                // One that is not among them joins them.
                list.insert(0, name);
                0
            }),
        };
        for (at, name) in list.iter().enumerate() {
            if list[..at].contains(name) {
                return Err(usage(format!("`{name}` is named twice in --strategies")).hint(
                    "with the same seeds it would be the same run; to compare a strategy with \
                     itself, use --aa 200",
                ));
            }
        }
        if list.len() > STRATEGIES_MAX {
            return Err(usage(format!("at most {STRATEGIES_MAX} strategies can be compared")));
        }
        if list.len() < 2 && self.aa.is_none() {
            return Err(usage("one strategy is no comparison".to_owned())
                .hint("name two or more with --strategies a,b, or `all`"));
        }
        Ok((list, at))
    }

    /// Checks the scenario under every strategy, so that runs can hardly fail.
    fn bench(&self, strategies: &[String]) -> Result<(CompareBench, Scenario), CliFailure> {
        let color = self.output.color;
        let source = load::Source::open(&self.scenario)?;
        let overrides = self.changes.overrides();
        let mut first = None;
        for strategy in strategies {
            let mut overrides = overrides.clone();
            overrides.extend(strategy_override(strategy));
            let scenario = source.scenario(&overrides, color)?;
            first.get_or_insert(scenario);
        }
        let Some(scenario) = first else {
            return Err(CliFailure::new(FailureKind::Usage, "there is no strategy to compare"));
        };
        if let Arrivals::Trace { path: Some(path), .. }
        | Arrivals::Recorded { path: Some(path), .. } = &scenario.arrivals
            && (path == load::STDIN || Path::new(path).metadata().is_ok_and(|meta| !meta.is_file()))
        {
            let message = format!("every run reads the trace anew, and {path} is not a file");
            return Err(CliFailure::new(FailureKind::Invalid, message));
        }
        let expectations = load::expectations(&scenario, color)?;
        let ready = load::simulation(&scenario, color)?;
        ready.notes.iter().for_each(|note| self.tell(&format!("note: {note}")));
        let metrics = lab::metrics(&scenario.labels);
        let arrived = AtomicU64::new(0);
        Ok((CompareBench { source, overrides, metrics, expectations, color, arrived }, scenario))
    }

    fn compare(&self, plan: &Plan, bench: &CompareBench) -> Result<u8, CliFailure> {
        let variant = |at: usize| {
            let (strategy, seed) = plan.cell(at);
            let (strategy, seed) = (plan.strategies[strategy].as_str(), plan.seeds[seed]);
            Variant { strategy, seed, other_luck: None }
        };
        let (runs, signal) = self.all(plan.runs(), bench, &variant)?;
        let result = lab::compare(plan, &runs);
        let text = match self.output.format {
            CompareFormat::Text => report::text(&result),
            CompareFormat::Json => report::json(&result),
            CompareFormat::Markdown => report::markdown(&result),
        };
        output::write(&text, self.output.out.as_deref())?;
        if let Some(code) = signal {
            return Ok(code);
        }
        nothing(&runs)?;
        let headline =
            |name: &str| plan.metrics.iter().any(|metric| metric.headline && metric.name == name);
        let worse = result
            .differences
            .iter()
            .filter(|one| one.verdict == lab::CompareVerdict::Worse && headline(&one.metric));
        let worse: Vec<String> =
            worse.map(|one| format!("{} ({})", one.strategy, one.metric)).collect();
        if self.output.fail_if_worse && !worse.is_empty() {
            let message = format!("worse than {}: {}", result.baseline, worse.join(", "));
            return Err(CliFailure::new(FailureKind::Expectation, message));
        }
        Ok(0)
    }

    /// The baseline against itself, again and again with other seeds.
    fn alarms(&self, mut plan: Plan, tries: usize, bench: &CompareBench) -> Result<u8, CliFailure> {
        if self.output.format == CompareFormat::Markdown {
            return Err(CliFailure::new(
                FailureKind::Usage,
                "--aa has no Markdown: use text or json",
            ));
        }
        let strategy = plan.strategies.swap_remove(plan.baseline);
        plan.strategies = vec![strategy.clone(), format!("{strategy} again")];
        plan.baseline = 0;
        let each = plan.runs();
        let first = plan.seeds[0];
        let variant = |at: usize| {
            let (side, seed) = plan.cell(at % each);
            let number = (at / each * plan.seeds.len() + seed) as u64;
            let seed = first.saturating_add(number);
            let luck = lab::luck(seed, side);
            Variant { strategy: &strategy, seed, other_luck: Some(luck) }
        };
        let (runs, signal) = self.all(each * tries, bench, &variant)?;
        nothing(&runs)?;
        let tries: Vec<Vec<Option<ComparedRun>>> = runs.chunks(each).map(<[_]>::to_vec).collect();
        let result = lab::alarms(&plan, &tries);
        let text = match self.output.format {
            CompareFormat::Json => report::json(&result),
            _ => report::alarms(&result),
        };
        output::write(&text, self.output.out.as_deref())?;
        Ok(signal.unwrap_or(0))
    }

    /// Makes all runs, and returns the exit code of an interrupt if there was one.
    fn all<'a>(
        &self,
        number: usize,
        bench: &CompareBench,
        variant: &(dyn Fn(usize) -> Variant<'a> + Sync),
    ) -> Result<(Vec<Option<ComparedRun>>, Option<u8>), CliFailure> {
        let signal = watch_signals()?;
        let style = if self.output.quiet { Style::None } else { self.output.progress };
        let mut progress = ProgressBar::new(style, None, None);
        let threads = lab::threads(self.output.threads).min(number);
        let start = Instant::now();
        let stop = || interrupted(&signal).is_some();
        let job = |at: usize, halt: &Halt<'_>| bench.run(&variant(at), halt);
        let runs = lab::run_all(number, threads, &stop, &job, |done| progress.runs(done, number));
        progress.clear();
        let runs = runs?;
        let wall = start.elapsed().as_secs_f64();
        let arrived = bench.arrived.load(Ordering::Relaxed);
        self.tell(&format!(
            "{} runs, {} requests simulated in {wall:.3} s on {threads} threads: {} requests/s",
            runs.iter().flatten().count(),
            count(arrived),
            count((arrived as f64 / wall.max(1e-9)).round() as u64),
        ));
        // An interrupt after the last run interrupted nothing.
        let complete = runs.iter().all(Option::is_some);
        Ok((runs, interrupted(&signal).filter(|_| !complete)))
    }

    fn tell(&self, line: &str) {
        if !self.output.quiet {
            output::warn(line);
        }
    }
}

fn interrupted(signal: &AtomicUsize) -> Option<u8> {
    match signal.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(code_of_signal(signal)),
    }
}

/// Fails if no request came in any run.
fn nothing(runs: &[Option<ComparedRun>]) -> Result<(), CliFailure> {
    let mut done = runs.iter().flatten().peekable();
    if done.peek().is_some() && done.all(|run| run.arrived == 0) {
        let failure =
            CliFailure::new(FailureKind::Nothing, "no request arrived: there was nothing to run");
        return Err(failure.hint("look at --duration, --requests and the trace"));
    }
    Ok(())
}

/// Returns whether a strategy, or one of those the scenario writes, only bounds what is possible.
fn is_bound(name: &str, scenario: &Scenario) -> bool {
    if name == AS_WRITTEN {
        return scenario.balancer.pools.iter().any(|pool| pool.strategy.entry().is_bound());
    }
    let bare = name.split('(').next().unwrap_or(name);
    StrategySpec::named(bare).is_some_and(|spec| spec.entry().is_bound())
}

fn strategy_override(name: &str) -> Option<Override> {
    (name != AS_WRITTEN).then(|| Override::strategy(name))
}

/// Splits at commas that do not stand in brackets.
fn split(list: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let parts = list.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(tidy).collect()
}

/// A strategy as it is shown: no space but after a comma.
fn tidy(word: &str) -> String {
    let bare: String = word.chars().filter(|c| !c.is_whitespace()).collect();
    bare.replace(',', ", ")
}

impl CompareBench {
    /// One run; `None` if it was stopped.
    fn run(
        &self,
        variant: &Variant<'_>,
        halt: &Halt<'_>,
    ) -> Result<Option<ComparedRun>, CliFailure> {
        let mut overrides = self.overrides.clone();
        overrides.extend(strategy_override(variant.strategy));
        overrides.push(Override::seed(variant.seed));
        let mut scenario = self.source.scenario(&overrides, self.color)?;
        if let Some(luck) = variant.other_luck {
            scenario.balancer.seed = luck;
        }
        let mut sim = load::simulation(&scenario, self.color)?.sim;
        let mut collector = load::collector(&scenario, Watch::Report);
        let mut inputs = 0_u64;
        loop {
            let mut record = |_: Time, _: &Input| {};
            let mut sink = |now: Time, event: &Event| collector.fold(now, event);
            match sim.step(&mut record, &mut sink) {
                Ok(Step::Handled) => inputs += 1,
                Ok(Step::Done) => break,
                Err(errors) => return Err(load::trace_failure(&scenario, &errors)),
            }
            if inputs.is_multiple_of(LOOK_EVERY) && halt.asked() {
                return Ok(None);
            }
        }
        let mut summary = collector.summary(sim.now(), true);
        summary.tell_kv(sim.kv_use());
        let arrived = sim.balancer().totals().arrived;
        self.arrived.fetch_add(arrived, Ordering::Relaxed);
        let hopes = &self.expectations;
        let held = || hopes.iter().all(|hope| hope.judge(&summary).held);
        Ok(Some(ComparedRun {
            values: self.metrics.iter().map(|metric| metric.value(&summary)).collect(),
            arrived,
            held: (!hopes.is_empty()).then(held),
        }))
    }
}

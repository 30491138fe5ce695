//! `plimsoll check`: parses and validates scenarios and says what they are.

use std::fmt::Write as _;

use clap::Args;

use super::explain::{regions, routes};
use super::failure::{CliFailure, FailureKind};
use super::{Changes, Color, load, output};
use crate::balance::{
    Config, DegradeLevel, HealthSettings, HedgeAfter, HedgeSpec, LimiterLaw, LimiterSpec, Order,
    Priority, ScaleSpec, Waiting,
};
use crate::report::quantity::plural;
use crate::report::table::{TextTable, cells};
use crate::scenario::{Arrivals, DefaultGroup, ProblemLevel, Scenario};
use crate::unit::{Ratio, Span};
use crate::workload::workflow::StepSpec;
use crate::workload::{Begin, SessionPace};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Files, `-` for stdin, or names of built-in scenarios
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    changes: Changes,
    /// Print every default in force: what counts although the file does not say it
    #[arg(long)]
    defaults: bool,
    /// Warnings are errors: exit with 3 if there is one
    #[arg(long)]
    strict: bool,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

impl Check {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let mut worst: Option<CliFailure> = None;
        for file in &self.files {
            match self.check(file) {
                Ok(explained) => output::print(&explained)?,
                Err(failure) => {
                    failure.tell();
                    worst.get_or_insert(failure);
                }
            }
        }
        // Told already, each in its place.
        worst.map_or(Ok(0), |failure| Err(CliFailure::new(failure.kind, "")))
    }

    fn check(&self, file: &str) -> Result<String, CliFailure> {
        let scenario = load::scenario(file, &self.changes, self.color).map_err(|failure| {
            // A file that is not there is no usage error of `check`: it is what it reports on.
            if failure.kind == FailureKind::Usage {
                CliFailure { kind: FailureKind::Invalid, ..failure }
            } else {
                failure
            }
        })?;
        let expectations = load::expectations(&scenario, self.color)?;
        self.advise(&scenario)?;
        let mut text = explain(file, &scenario, expectations.len());
        if self.defaults {
            text += &defaults(&scenario);
        }
        Ok(text)
    }

    /// Says on stderr what those who run such fleets would not let pass. Fails if some of it is an
    /// error.
    fn advise(&self, scenario: &Scenario) -> Result<(), CliFailure> {
        let advice = scenario.advice(self.strict);
        if advice.list().is_empty() {
            return Ok(());
        }
        if advice.list().iter().any(|problem| problem.level == ProblemLevel::Error) {
            return Err(load::drawn(&advice, self.color));
        }
        output::warn(advice.draw(self.color.on_stderr()).trim_end());
        Ok(())
    }
}

fn explain(file: &str, scenario: &Scenario, expectations: usize) -> String {
    let config = &scenario.balancer;
    let mut text = format!("{file}: ok  {}\n", scenario.title);
    let workload = if scenario.has_workload() {
        workload(scenario)
    } else {
        "none: requests come from clients".to_owned()
    };
    // Writing to a string does not fail.
    let _ =
        writeln!(text, "  workload      {workload}; {}", plural(scenario.classes.len(), "class"));
    for flow in &scenario.workflows {
        let step = |step: &StepSpec| match &step.back_to {
            Some(back) => {
                let first = flow.steps.get(usize::from(back.step)).map_or("", |step| &step.name);
                format!("{} (back to {first})", step.name)
            }
            None => step.name.clone(),
        };
        let steps: Vec<String> = flow.steps.iter().map(step).collect();
        let _ = writeln!(text, "  workflow      {}: {}", flow.name, steps.join(", "));
    }
    for (index, pool) in config.pools.iter().enumerate() {
        let nodes = config.nodes.iter().filter(|node| node.pool.index() == index).count();
        let _ = writeln!(
            text,
            "  pool          {}: {}, {}",
            pool.name,
            plural(nodes, "node"),
            pool.strategy
        );
        if let Some(health) = &pool.health {
            let _ = writeln!(text, "    health      its own: {}", watched(health));
        }
        if let Some(batch) = &pool.batch {
            let (size, window) = (batch.size, batch.window);
            let _ = writeln!(text, "    batches     up to {size}, within {window}");
        }
        if let Some(LimiterSpec { law, initial, min, max }) = pool.limiter {
            let law = match law {
                LimiterLaw::Aimd { .. } => "AIMD",
                LimiterLaw::Gradient { .. } => "gradient",
            };
            let _ = writeln!(text, "    limiter     {law} a node, from {initial}, {min} to {max}");
        }
    }
    for group in &config.scale {
        let ScaleSpec { name, min, max, start, target, every, .. } = group;
        let held = target.words(target.value());
        let begins = format!("{min} to {max} nodes, {start} at first");
        let _ = writeln!(text, "  autoscale     {name}: {begins}; {held}, looked at every {every}");
    }
    if let Some(line) = queue(config) {
        let _ = writeln!(text, "  queue         {line}");
    }
    let _ = writeln!(text, "  routes        {}", config.routes.len());
    text += &routes(scenario);
    text += &regions(scenario);
    text += &attempts(config);
    let _ =
        writeln!(text, "  faults        {}", scenario.faults.len() + scenario.fault_rules.len());
    let _ = writeln!(text, "  expectations  {expectations}");
    text
}

/// Lines of what is not in use are broken at this width.
const WIDTH: usize = 100;

/// Every default in force, by the table that would say it: values first, then what is not in use.
fn defaults(scenario: &Scenario) -> String {
    let mut text =
        "\ndefaults in force: what counts although the file does not say it\n".to_owned();
    for DefaultGroup { table, rows } in scenario.default_groups() {
        let title = if table.is_empty() { "at the beginning" } else { &table };
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n{title}");
        let whose = |of: &[String]| match of {
            [] => String::new(),
            [some @ .., last] if some.len() < 3 => {
                let some: String = some.iter().map(|name| format!("{name}, ")).collect();
                format!(" ({some}{last})")
            }
            [first, ..] => format!(" ({first} and {} more)", of.len() - 1),
        };
        let mut values = TextTable::new(3, &[]);
        for (row, of) in rows.iter().filter(|(row, _)| row.is_value) {
            let about = format!("{}{}", row.about, whose(of));
            values.row([row.key.clone(), row.value.clone(), about]);
        }
        values.write(&mut text);
        let unused = rows.iter().filter(|(row, _)| !row.is_value);
        let unused = unused.map(|(row, of)| format!("{}: {}{}", row.key, row.value, whose(of)));
        text += &broken(unused);
    }
    text
}

/// Parts with semicolons between them, on as many lines as they need.
fn broken(parts: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let mut width = 0;
    for part in parts {
        let cells = cells(&part);
        if width == 0 || width + cells + 2 > WIDTH {
            text += if width == 0 { "  " } else { ";\n  " };
            width = cells + 2;
        } else {
            text += "; ";
            width += cells + 2;
        }
        text += &part;
    }
    if width > 0 {
        text.push('\n');
    }
    text
}

/// How a pool watches health in its own way: the words in which it may differ that matter most.
fn watched(health: &HealthSettings) -> String {
    let HealthSettings { consecutive, eject_base, eject_cap, eject_jitter, .. } = health;
    let jitter = eject_jitter.value() * 100.0;
    let probes =
        health.probe_every.map_or(String::new(), |every| format!(", probed every {every}"));
    format!(
        "ejected after {consecutive} failures for {eject_base} to {eject_cap}, jitter {jitter} %{probes}"
    )
}

/// What is said of second attempts beyond the usual.
fn attempts(config: &Config) -> String {
    let mut text = String::new();
    if let Some(HedgeSpec { after, budget, saturation, prompt_max, paid }) = config.hedge {
        let after = match after {
            HedgeAfter::Fixed(span) => span.to_string(),
            HedgeAfter::Quantile(which) => {
                format!("p{} of the time to first token", which.value() * 100.0)
            }
        };
        let longest =
            prompt_max.map_or(String::new(), |most| format!(", prompts up to {most} tokens"));
        let free = if paid { "" } else { ", where tokens cost nothing" };
        let (budget, full) = (budget.value() * 100.0, saturation.value() * 100.0);
        let _ = writeln!(
            text,
            "  hedges        after {after}, up to {budget} % of first attempts, below {full} % \
             utilisation{longest}{free}"
        );
    }
    if !config.retry.clients {
        let _ = writeln!(text, "  retries       of clients and jobs take from no budget");
    }
    text += &overload(config);
    if config.retry.resume {
        let _ = writeln!(text, "  resume        cut answers go on elsewhere");
    }
    text
}

/// What is shed and given up under load.
fn overload(config: &Config) -> String {
    let mut text = String::new();
    let list = |of: &mut dyn Iterator<Item = (&str, Option<Ratio>)>| {
        let some = of.filter_map(|(name, at)| Some(format!("{name} at {}", at?.value())));
        some.collect::<Vec<_>>().join(", ")
    };
    if let Some(spec) = config.shed {
        let names = Priority::ALL.map(Priority::name);
        let at = list(&mut names.into_iter().zip(spec.at).rev());
        let _ = writeln!(text, "  shed          {at} of saturation");
    }
    if let Some(spec) = config.degrade {
        let at = list(&mut DegradeLevel::ALL.map(DegradeLevel::name).into_iter().zip(spec.at));
        let (stay, most) = (spec.stay, spec.max_tokens);
        let _ = writeln!(
            text,
            "  degrade       {at} of saturation; {stay} a rung, clamped to {most} tokens"
        );
    }
    text
}

/// How those who wait are served, where it is not plainly in the order they came.
fn queue(config: &Config) -> Option<String> {
    let Waiting { order, bands, fair, early_rejection } = config.admission.waiting;
    let order = match order {
        Order::Fifo => None,
        Order::Edf => Some("earliest deadline first".to_owned()),
        Order::Shortest { ageing } => {
            Some(format!("shortest first, a second of waiting worth {ageing} tokens"))
        }
        Order::AdaptiveLifo { after } => Some(format!("last come first after {after} of waiting")),
    };
    let bands = bands.map(|share| format!("by priority, each owed {} %", share.value() * 100.0));
    let fair = fair.then(|| "tenants share by tokens".to_owned());
    let early = early_rejection.then(|| "what would come too late is turned away".to_owned());
    let parts: Vec<String> = [bands, fair, order, early].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What arrives, in one line.
fn workload(scenario: &Scenario) -> String {
    let place = || scenario.arrivals.path().unwrap_or("(named with --trace)");
    let seconds = |mean: f64| Span::from_seconds(mean);
    let arrivals = match &scenario.arrivals {
        Arrivals::Made(process) if scenario.starts_jobs() => {
            format!("jobs start at {process} a second")
        }
        Arrivals::Made(process) if process.is_poisson() => {
            format!("Poisson arrivals, {process} a second")
        }
        Arrivals::Made(process) => format!("arrivals at {process} a second"),
        Arrivals::Users(users) => {
            let think = seconds(users.think.mean());
            format!("closed loop of {} users who think for {think} in the mean", users.count)
        }
        Arrivals::Trace { format, .. } => {
            let title = format.title();
            let article = if title == "Azure" { "an" } else { "a" };
            format!("arrivals of {article} {title} trace, {}", place())
        }
        Arrivals::Recorded { pace, begin, .. } => {
            let pace = match pace {
                SessionPace::Think => "each request after answer and think time",
                SessionPace::Recorded => "each request at its recorded time",
            };
            let begin = match begin {
                Begin::Process(process) => format!("begun at {process} a second"),
                Begin::Users(users) => format!("{} at a time", users.count),
            };
            format!("recorded sessions, {begin}, {pace}, {}", place())
        }
        Arrivals::ServeGen { rate, .. } => {
            format!("laws of ServeGen's clients at {rate} times their rates, {}", place())
        }
    };
    match &scenario.sessions {
        Some(sessions) => {
            let (turns, think) = (sessions.turns.mean(), seconds(sessions.think.mean()));
            format!("{arrivals}, each a session of {turns:.1} turns {think} apart in the mean")
        }
        None => arrivals,
    }
}

//! `plimsoll list` and `plimsoll show`: what is built in.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use super::failure::{CliFailure, FailureKind};
use super::output;
use crate::balance::REGISTRY;
use crate::metrics::catalogue::{Better, METRICS, Stat};
use crate::node::fault::{FAULTS, Param};
use crate::report::table::TextTable;
use crate::scenario;
use crate::scenario::keys::{self, KeyRow};

#[derive(Debug, Args)]
pub(super) struct List {
    /// What to list
    what: What,
    /// Only those with this in their name, such as a100; of settings, those whose path begins with it,
    /// such as balancer.retry
    pattern: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Built-in scenarios and the question of each
    Scenarios,
    /// Strategies, what they do, when to use them, and their settings
    Strategies,
    /// What can go wrong
    Faults,
    /// What a run measures: for `--fail-if`, `[[expect]]` and comparisons
    Metrics,
    /// Every key of a scenario: what it may be, what it is if nothing is said, what it means
    Settings,
    /// What `plimsoll check` warns of
    Advice,
    /// Built-in back ends: engines and hosted models, with their figures and sources
    Profiles,
}

impl List {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let pattern = self.pattern.as_deref().unwrap_or("");
        let wanted = |name: &str| name.to_lowercase().contains(&pattern.to_lowercase());
        let text = match self.what {
            What::Settings => settings(pattern)?,
            What::Scenarios => scenarios(&wanted),
            What::Strategies => strategies(&wanted),
            What::Faults => faults(&wanted),
            What::Metrics => metrics(&wanted),
            What::Advice => advice(&wanted),
            What::Profiles => profiles(&wanted),
        };
        let Some(text) = text else {
            let all = self.what.to_possible_value();
            let all = all.as_ref().map_or("", |value| value.get_name());
            let message = format!("none of the {all} has `{pattern}` in its name");
            let failure = CliFailure::new(FailureKind::Usage, message);
            return Err(failure.hint(format!("all of them: plimsoll list {all}")));
        };
        output::print(&text).map(|()| 0)
    }
}

/// Whether something of this name is to be listed.
type Wanted<'a> = &'a dyn Fn(&str) -> bool;

// Writing to a string does not fail, so its results are dropped below.

fn scenarios(wanted: Wanted<'_>) -> Option<String> {
    let listed = || scenario::BUILTIN.iter().filter(|(name, _)| wanted(name));
    let width = listed().map(|(name, _)| name.len()).max()?;
    let mut text = String::new();
    for (name, source) in listed() {
        let _ = writeln!(text, "{name:width$}  {}", question(source));
    }
    Some(text)
}

/// The first comment of a scenario, as one line.
fn question(source: &str) -> String {
    let lines = source.lines().take_while(|line| line.starts_with('#') && line.len() > 1);
    let words: Vec<&str> = lines.map(|line| line.trim_start_matches('#').trim()).collect();
    words.join(" ").trim_start_matches("Question: ").to_owned()
}

fn strategies(wanted: Wanted<'_>) -> Option<String> {
    let mut text = String::new();
    for entry in REGISTRY.iter().filter(|entry| wanted(entry.name)) {
        let _ = writeln!(text, "{}\n    {}", entry.name, entry.summary);
        let _ = writeln!(text, "    use it for   {}", entry.when);
        let _ = writeln!(text, "    cost         {} a decision", entry.cost);
        let _ = writeln!(text, "    source       {}", entry.source);
        for setting in entry.settings {
            let default = setting.kind.show(setting.default);
            let _ =
                writeln!(text, "    setting      {} = {default}: {}", setting.name, setting.about);
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len() + 1);
    (!text.is_empty()).then_some(text)
}

fn faults(wanted: Wanted<'_>) -> Option<String> {
    let mut text = String::from(FAULTS_HEAD);
    for fault in FAULTS.iter().filter(|fault| wanted(fault.name)) {
        let _ = writeln!(text, "\n{}\n    {}", fault.name, fault.about);
        let _ = writeln!(text, "    models       {}", fault.models);
        for Param { name, default, about, .. } in fault.params {
            let _ = match default {
                Some(default) => writeln!(text, "    parameter    {name} = {default}: {about}"),
                None => writeln!(text, "    parameter    {name}: {about}"),
            };
        }
    }
    (text.len() > FAULTS_HEAD.len()).then_some(text)
}

fn settings(prefix: &str) -> Result<Option<String>, CliFailure> {
    let mut text = String::new();
    for KeyRow { path, kind, usual, about } in keys::rows() {
        if path.starts_with(prefix) {
            let _ = writeln!(text, "{path}\n    {about}\n    may be       {kind}");
            let _ = writeln!(text, "    if not said  {usual}");
        }
    }
    if text.is_empty() {
        let failure =
            CliFailure::new(FailureKind::Usage, format!("no setting begins with `{prefix}`"));
        return Err(failure.hint("all settings: plimsoll list settings"));
    }
    Ok(Some(text))
}

const FAULTS_HEAD: &str = "\
A fault hits a `node` (or a group of them), a `pool`, a `region` or all nodes with a `tag`; with
`count = 3` or `count = \"30%\"` so many of those, drawn from a stream of its own.
    [[fault]]
    at = \"3m\"
    slow = { pool = \"light\", count = 1, factor = 4, for = \"40s\" }
    [[fault]]
    [fault.random]
    crash = { pool = \"light\" }
    each = true
    every = { weibull = { mean = \"30m\", shape = 0.7 } }
    lasts = { lognormal = { p50 = \"40s\", p95 = \"5m\" } }
`every` counts from the end of one to the beginning of the next; with `each` every node has its own.
";

fn metrics(wanted: Wanted<'_>) -> Option<String> {
    let mut text = String::from(METRICS_HEAD);
    let _ = writeln!(text, "Numbers of a time: {}.", Stat::ALL.map(Stat::name).join(" "));
    let listed = METRICS
        .iter()
        .filter(|metric| wanted(metric.name) || metric.also.iter().any(|n| wanted(n)));
    let mut any = false;
    for metric in listed {
        any = true;
        let also = metric.also.iter().fold(String::new(), |text, name| format!("{text}, {name}"));
        let _ = writeln!(text, "\n{}{also}\n    {}", metric.name, metric.help);
        let better = match metric.better {
            Better::Lower => ", less is better",
            Better::Higher => ", more is better",
            Better::Neither => "",
        };
        let _ = writeln!(text, "    unit         {}{better}", metric.unit.words());
        let scopes = metric.scopes.words().collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "    of           {scopes}");
        if !metric.json.is_empty() {
            let _ = writeln!(text, "    in JSON      {}", metric.json.join(" or "));
        }
    }
    any.then_some(text)
}

fn advice(wanted: Wanted<'_>) -> Option<String> {
    let listed = || scenario::advice::ADVICE.iter().filter(|(name, _)| wanted(name));
    let width = listed().map(|(name, _)| name.len()).max()?;
    Some(listed().map(|(name, about)| format!("{name:width$}  {about}\n")).collect())
}

const METRICS_HEAD: &str = "\
A metric is measured of the whole run, or of what is named before it: `failed`, `chat.ttft.p99`,
`pool:light.cost`, `jobs.p99`, `step:write.p95`, `tenant:acme.cost`, `model:gpt-4.1.utilisation`. A time
by itself is of latency: `p99`. What stands before a metric:
    run      nothing
    class    chat or class:chat
    route    canary or route:canary
    pool     light or pool:light
    node     gpt-eu-1 or node:gpt-eu-1
    jobs     jobs, of one workflow report.jobs
    step     step:write, of one workflow step:report.write
    tenant   tenant:acme, by its number where it has no name tenant:3
    model    model:gpt-4.1, all nodes of it, where there are several models
    plimsoll run my.toml --fail-if 'chat.ttft.p99 > 2s'
    [[expect]]
    that = \"failed < 0.1%\"
A count compared with % is a share of the requests that arrived, of a node or a model of its
attempts, of jobs of those that started.
";

fn profiles(wanted: Wanted<'_>) -> Option<String> {
    let all = scenario::profile::profiles();
    let percent = |error: f64| format!("{:.1} %", error * 100.0);
    let hourly =
        |price: Option<f64>| price.map_or_else(|| "-".to_owned(), |usd| format!("${usd:.2}"));
    let mut engines =
        TextTable::new(1, &["engine", "$/hour", "decode error", "prefill error", "date"]);
    for engine in all.engine.iter().filter(|one| wanted(&one.name)) {
        let errors = [engine.decode_error, engine.prefill_error].map(percent);
        let [decode, prefill] = errors;
        let price = hourly(Some(engine.hourly_price));
        engines.row([engine.name.clone(), price, decode, prefill, engine.date.clone()]);
    }
    let mut measured =
        TextTable::new(1, &["measured engine", "$/hour", "streams", "TPOT error", "date"]);
    for engine in all.measured.iter().filter(|one| wanted(&one.name)) {
        let streams = engine.streams.to_string();
        let error = percent(engine.decode_error);
        let price = hourly(engine.hourly_price);
        measured.row([engine.name.clone(), price, streams, error, engine.date.clone()]);
    }
    let mut hosted = TextTable::new(
        1,
        &["hosted model", "TTFT mean", "tokens/s", "$/M in", "$/M out", "grade", "date"],
    );
    for model in all.hosted.iter().filter(|one| wanted(&one.name)) {
        let Some(profile) = scenario::profile::hosted(&model.name) else { continue };
        let price = |usd: Option<f64>| usd.map_or_else(|| "-".to_owned(), |usd| format!("{usd}"));
        hosted.row([
            model.name.clone(),
            format!("{:.2} s", profile.spec.ttft.mean()),
            format!("{:.0}", profile.spec.tokens_per_second.mean()),
            price(model.price.map(|price| price.input)),
            price(model.price.map(|price| price.output)),
            model.grade.clone(),
            model.date.clone(),
        ]);
    }
    let mut text = String::from(PROFILES_HEAD);
    let tables = [engines, hosted, measured];
    let listed = tables.iter().filter(|table| !table.is_empty());
    listed.clone().for_each(|table| table.write(&mut text));
    (listed.count() > 0).then_some(text)
}

const PROFILES_HEAD: &str = "\
Use one as `backend = { engine = { profile = \"...\" } }` or `{ api = { profile = \"...\" } }`; keys
beside `profile` override the profile's own values. Engines are fits to AIConfigurator 0.12
predictions of single steps; measured ones are fits to published runs and hold for prompts and answers
of about the lengths in their names. Grades: A from raw requests, B published, C quoted.
";

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The name of a built-in scenario
    name: String,
}

impl Show {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let Some(text) = scenario::find(&self.name) else {
            let message = format!("there is no built-in scenario `{}`", self.name);
            let failure = CliFailure::new(FailureKind::Usage, message);
            return Err(failure.hint(scenario::suggestion(&self.name)));
        };
        output::print(text).map(|()| 0)
    }
}

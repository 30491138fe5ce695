//! `plimsoll new`: a commented scenario for a fleet of one's own, from flags or a few questions. What it
//! writes passes `check --strict`, and runs.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;

use super::failure::{CliFailure, FailureKind};
use super::{Color, load, output};
use crate::balance::Limits;
use crate::node::{BackendSpec, EngineSpec, MeanWork};
use crate::report::quantity::{self, count};
use crate::scenario::{Scenario, profile};
use crate::unit::Span;

/// Attempts at a time that an engine is given, unless it takes fewer.
const ENGINE_SEATS: u32 = 64;

/// How much more than what arrives a fleet is built for.
const SPARE: f64 = 1.6;

/// No first token comes sooner than this, whatever is promised.
const TTFT_MIN: Span = Span::from_millis(10);

/// Nobody promises a first token later than this.
const TTFT_MAX: Span = Span::from_secs(60);

/// No answer takes longer than this.
const TOTAL_MAX: Span = Span::from_secs(3_600);

/// One length in a thousand is so many times the median or more: the laws of lengths are log-normal, and
/// their 95th percentile is three times the median.
const LONGEST: f64 = 7.9;

/// One in a hundred is so many times the median or more.
const LONG: f64 = 4.73;

/// Enough requests that one in a hundred is several.
const REQUESTS: f64 = 300.0;

#[derive(Clone, Debug, Args)]
pub(super) struct New {
    /// Write it to this file, which must not be there yet [default: stdout]
    file: Option<PathBuf>,
    /// Hosted models, as `plimsoll list profiles` has them (repeatable) [default: openai/gpt-4o]
    #[arg(long, value_name = "PROFILE")]
    hosted: Vec<String>,
    /// Engines of your own, as `plimsoll list profiles` has them (repeatable)
    #[arg(long, value_name = "PROFILE")]
    engine: Vec<String>,
    /// The hosted model that takes over when all of these are down [default: one of another provider]
    #[arg(long, value_name = "PROFILE")]
    backup: Option<String>,
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 5.0, allow_negative_numbers = true)]
    rate: f64,
    /// Tokens of a prompt, in the median
    #[arg(long, value_name = "N", default_value_t = 800,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    prompt: u64,
    /// Tokens of an answer, in the median
    #[arg(long, value_name = "N", default_value_t = 250,
          value_parser = clap::value_parser!(u64).range(1..=50_000))]
    answer: u64,
    /// How soon the first token is to come, for 99 of 100 requests: 10ms to 60s [default: from the
    /// profiles]
    #[arg(long, value_name = "TIME")]
    ttft: Option<String>,
    /// Ask no questions, even on a terminal
    #[arg(long)]
    no_questions: bool,
}

/// A kind of node: a profile, so many of them, and what each takes at a time.
struct NewGroup<'a> {
    profile: &'a str,
    engine: bool,
    /// That it is the backup, and whether it is of a provider of its own.
    backup: Option<bool>,
    count: u32,
    seats: u32,
}

impl New {
    pub(super) fn run(mut self) -> Result<u8, CliFailure> {
        let unsaid = self.hosted.is_empty() && self.engine.is_empty();
        if unsaid && !self.no_questions && io::stdin().is_terminal() {
            let mut ask = |question: &str| {
                let _ = write!(io::stderr(), "{question} ");
                let mut line = String::new();
                io::stdin().lock().read_line(&mut line).map(|_| line.trim().to_owned())
            };
            self.question(&mut ask).map_err(|error| {
                CliFailure::new(FailureKind::Unexpected, format!("cannot ask: {error}"))
            })?;
        }
        if self.hosted.is_empty() && self.engine.is_empty() {
            self.hosted.push("openai/gpt-4o".to_owned());
        }
        if let Some(path) = self.file.as_ref().filter(|path| path.exists()) {
            let message = format!("{} is there already", path.display());
            return Err(CliFailure::new(FailureKind::Usage, message).hint("name another file"));
        }
        self.check_names()?;
        let text = self.scenario()?;
        verify(&text)?;
        output::write(&text, self.file.as_deref())?;
        if let Some(path) = &self.file {
            let path = path.display();
            output::warn(&format!("next: plimsoll check --strict {path}; plimsoll run {path}"));
        }
        Ok(0)
    }

    /// Asks for what matters most; an empty answer leaves it as it is.
    fn question(&mut self, ask: &mut dyn FnMut(&str) -> io::Result<String>) -> io::Result<()> {
        let names = |answer: &str| {
            let names = answer.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        self.hosted = names(&ask("Hosted models, such as openai/gpt-4o, with commas between?")?);
        self.engine = names(&ask(
            "Engines of your own, such as llama-3.1-8b/h100/vllm, with commas between?",
        )?);
        let mut number = |question: String, usual: f64| -> io::Result<f64> {
            loop {
                let answer = ask(&question)?;
                match answer.replace('_', "").parse::<f64>() {
                    _ if answer.is_empty() => return Ok(usual),
                    Ok(number) if number > 0.0 && number.is_finite() => return Ok(number),
                    _ => output::warn("a number above 0, please"),
                }
            }
        };
        self.rate = number(format!("Requests a second? [{}]", self.rate), self.rate)?;
        let tokens = |number: f64| (number as u64).clamp(1, 50_000);
        let question = format!("Tokens of a prompt, in the median? [{}]", self.prompt);
        self.prompt = tokens(number(question, self.prompt as f64)?);
        let question = format!("Tokens of an answer, in the median? [{}]", self.answer);
        self.answer = tokens(number(question, self.answer as f64)?);
        Ok(())
    }

    /// The kinds of nodes, each large enough for its part of what arrives.
    fn groups(&self) -> Result<Vec<NewGroup<'_>>, CliFailure> {
        let kinds = self.hosted.len() + self.engine.len();
        let part = self.rate * SPARE / kinds as f64;
        let mut groups = Vec::new();
        for name in &self.hosted {
            groups.push(self.hosted_group(name, part, None)?);
        }
        for name in &self.engine {
            let Some(known) = profile::engine(name) else {
                return Err(unknown("engine", name, profile::profiles().engine_names()));
            };
            self.check_room(name, &known.spec)?;
            let seats = ENGINE_SEATS.min(known.spec.max_seqs);
            let limits = Limits { concurrency: Some(seats), ..Limits::default() };
            let rate = BackendSpec::Engine(known.spec).rate(self.work(), limits, 1);
            let count = (part / rate).ceil().clamp(2.0, 1_000.0) as u32;
            groups.push(NewGroup { profile: name, engine: true, backup: None, count, seats });
        }
        let other = |name: &&str| {
            let provider = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
            self.hosted.iter().all(|hosted| provider(hosted) != provider(name))
        };
        let usual = ["anthropic/claude-haiku-4-5", "openai/gpt-4o"];
        let usual = usual.into_iter().find(|name| other(name)).unwrap_or(usual[0]);
        let backup = self.backup.as_deref().unwrap_or(usual);
        groups.push(self.hosted_group(backup, self.rate * SPARE, Some(other(&backup)))?);
        Ok(groups)
    }

    fn hosted_group<'a>(
        &self,
        name: &'a str,
        rate: f64,
        backup: Option<bool>,
    ) -> Result<NewGroup<'a>, CliFailure> {
        let Some(known) = profile::hosted(name) else {
            return Err(unknown("hosted model", name, profile::profiles().hosted_names()));
        };
        let one = Limits { concurrency: Some(1), ..Limits::default() };
        let alone = BackendSpec::Api(known.spec, Limits::default()).rate(self.work(), one, 1);
        let count = if backup.is_some() { 1 } else { 2 };
        let seats = (rate / alone / f64::from(count)).ceil().clamp(4.0, 1e6) as u32;
        Ok(NewGroup { profile: name, engine: false, backup, count, seats })
    }

    fn work(&self) -> MeanWork {
        // The mean of the log-normal laws below lies above their median.
        let mean = |median: u64| median as f64 * 1.4;
        MeanWork { prompt: mean(self.prompt), fresh: mean(self.prompt), output: mean(self.answer) }
    }

    /// Fails if a profile is named twice: it would fail with itself.
    fn check_names(&self) -> Result<(), CliFailure> {
        let usage = |message: String| CliFailure::new(FailureKind::Usage, message);
        for (flag, names) in [("--hosted", &self.hosted), ("--engine", &self.engine)] {
            let twice = |(at, name): (usize, &String)| names[..at].contains(name);
            if let Some(at) = (0..names.len()).find(|at| twice((*at, &names[*at]))) {
                let name = &names[at];
                return Err(usage(format!("{flag} names `{name}` twice"))
                    .hint("each gets as many nodes as it needs; name others beside it"));
            }
        }
        if let Some(name) = self.backup.as_ref().filter(|name| self.hosted.contains(name)) {
            return Err(usage(format!("--backup is `{name}`, which is among the others already"))
                .hint("name one of another provider: it serves when none of the others can"));
        }
        Ok(())
    }

    /// Fails if requests would be longer than an engine of these can hold. `LONGEST` of the median is
    /// what has to fit.
    fn check_room(&self, name: &str, spec: &EngineSpec) -> Result<(), CliFailure> {
        let (longest, room) = ((self.prompt + self.answer) as f64 * LONGEST, spec.room());
        if longest <= room as f64 {
            return Ok(());
        }
        let message = format!(
            "--prompt {} and --answer {}: one request in a thousand would have {} tokens or more, \
             and `{name}` holds {}",
            self.prompt,
            self.answer,
            count(longest as u64),
            count(room)
        );
        let most = count((room as f64 / LONGEST) as u64);
        let failure = CliFailure::new(FailureKind::Usage, message);
        Err(failure.hint(format!("together they may be {most} here, or name a larger engine")))
    }

    /// Seconds that an answer of so many times the median takes a kind of nodes, beside usual ones.
    fn seconds(&self, group: &NewGroup<'_>, times: f64) -> f64 {
        let tokens = self.answer as f64 * times;
        if !group.engine {
            let spec = profile::hosted(group.profile).map(|known| known.spec);
            return spec
                .map_or(0.0, |spec| spec.ttft.mean() + tokens / spec.tokens_per_second.mean());
        }
        let full = Limits { concurrency: Some(group.seats), ..Limits::default() };
        let spec = profile::engine(group.profile).map(|known| known.spec);
        let rate = spec.map(|spec| BackendSpec::Engine(spec).rate(self.work(), full, 1));
        // As many as it has seats share its time, token by token.
        rate.map_or(0.0, |rate| f64::from(group.seats) / rate / self.work().output * tokens)
    }

    /// Seconds that the longest answers take where they take longest, and who gives them.
    fn longest_answer(&self, groups: &[NewGroup<'_>]) -> (f64, String) {
        let all = groups.iter();
        // A node may have half its usual speed for a while.
        let all = all.map(|group| (self.seconds(group, LONGEST * 2.0), group.profile.to_owned()));
        all.max_by(|(one, _), (other, _)| one.total_cmp(other)).unwrap_or_default()
    }

    /// The share of requests, in per cent, that may fail. Answers that have begun are lost with the node
    /// that crashes.
    fn lost(&self, groups: &[NewGroup<'_>], minutes: f64) -> f64 {
        let Some(first) = groups.first() else { return 1.0 };
        let nodes: u32 =
            groups.iter().filter(|one| one.backup.is_none()).map(|one| one.count).sum();
        let share = self.seconds(first, 1.4) / (minutes * 60.0) / f64::from(nodes.max(1));
        (share * 100.0).ceil().max(1.0)
    }

    /// How long an attempt may take in all, in seconds.
    fn total(&self, groups: &[NewGroup<'_>]) -> Result<f64, CliFailure> {
        let (seconds, name) = self.longest_answer(groups);
        if seconds <= TOTAL_MAX.seconds() {
            return Ok((seconds * 2.0 / 60.0).ceil().max(10.0) * 60.0);
        }
        let (answer, took) = (self.answer, quantity::seconds(Some(seconds)));
        let message = format!(
            "--answer {answer}: one answer in a thousand would take `{name}` {took}, which nobody waits \
             for"
        );
        Err(CliFailure::new(FailureKind::Usage, message)
            .hint(format!("write a smaller --answer, such as {}", (answer / 4).max(1))))
    }

    /// The objective for the first token, in seconds.
    fn objective(&self) -> Result<f64, CliFailure> {
        if let Some(text) = &self.ttft {
            let wrong = |why: String| CliFailure::new(FailureKind::Usage, format!("--ttft: {why}"));
            let span = Span::parse(text).map_err(wrong)?;
            if !(TTFT_MIN..=TTFT_MAX).contains(&span) {
                return Err(wrong(format!("`{text}` is not from {TTFT_MIN} to {TTFT_MAX}")));
            }
            return Ok(span.seconds());
        }
        let means = self.hosted.iter().filter_map(|name| profile::hosted(name));
        let slowest = means.map(|known| known.spec.ttft.mean()).fold(0.0, f64::max);
        // A long prompt is read in chunks, between those of others.
        let longest = self.prompt as f64 * LONG;
        let reading = self.engine.iter().filter_map(|name| {
            let alone = Limits { concurrency: Some(1), ..Limits::default() };
            let work = MeanWork { prompt: longest, fresh: longest, output: 1.0 };
            let rate = BackendSpec::Engine(profile::engine(name)?.spec).rate(work, alone, 1);
            Some((1.0 / rate, name))
        });
        let reading = reading.max_by(|(one, _), (other, _)| one.total_cmp(other));
        let (read, name) = reading.map_or((0.0, ""), |(read, name)| (read, name.as_str()));
        let objective = (slowest * 5.0).max(read * 3.0).ceil().max(5.0);
        if objective <= TTFT_MAX.seconds() {
            return Ok(objective);
        }
        let (prompt, took) = (self.prompt, quantity::seconds(Some(read)));
        let message = format!(
            "--prompt {prompt}: one prompt in a hundred would take `{name}` {took} to read"
        );
        Err(CliFailure::new(FailureKind::Usage, message)
            .hint("write a smaller --prompt, or --ttft with what is to be promised"))
    }

    /// Writes the scenario.
    fn scenario(&self) -> Result<String, CliFailure> {
        if !(0.001..=10_000.0).contains(&self.rate) {
            let message = "--rate must be from 0.001 to 10000 requests a second";
            return Err(CliFailure::new(FailureKind::Usage, message));
        }
        let groups = self.groups()?;
        let objective = self.objective()?;
        let total = self.total(&groups)?;
        // Long enough for the longest answers, and for enough requests.
        let minutes = (REQUESTS / self.rate).max(total).max(600.0) / 60.0;
        let strategy = if self.engine.is_empty() { "least_connections" } else { "least_tokens" };
        let mut text = format!(
            "{HEAD}duration = \"{}m\"\nwarmup = \"30s\"\n\n{BALANCER}\ntimeouts = {{ connect = \"2s\", \
             first_token = \"{}s\", inter_token = \"30s\", total = \"{}m\" }}\n{HEALTH}\n{POOL}strategy = \
             \"{strategy}\"\n",
            minutes.ceil(),
            objective * 2.0,
            total / 60.0,
        );
        // Writing to a string does not fail.
        for (index, group) in groups.iter().enumerate() {
            node(&mut text, index, group);
        }
        let (prompt, answer, rate) = (self.prompt, self.answer, self.rate);
        let lost = self.lost(&groups, minutes);
        let _ = write!(
            text,
            "\n# Who asks: lengths of prompts and answers, and how soon the first token is promised.\n\
             [[class]]\nname = \"chat\"\n\
             prompt_tokens = {{ lognormal = {{ p50 = {prompt}, p95 = {} }} }}\n\
             output_tokens = {{ lognormal = {{ p50 = {answer}, p95 = {} }} }}\n\
             slo = {{ first_token = \"{objective}s\" }}\n\
             \n# When they ask. `plimsoll list settings workload` has other laws, and traces.\n\
             [workload]\narrivals = {{ poisson = {{ rate = {rate} }} }}\n\
             \n# What goes wrong: one node is gone for a minute. `plimsoll list faults` has others.\n\
             [[fault]]\nat = \"4m\"\ncrash = {{ node = \"{}\", for = \"1m\" }}\n\
             \n# What has to hold: exit code 100 if it does not.\n\
             [[expect]]\nthat = \"not_served < {lost}%\"\n\
             [[expect]]\nthat = \"chat.ttft.p99 < {objective}s\"\n",
            prompt * 3,
            answer * 3,
            node_name(0, 0),
        );
        Ok(text)
    }
}

const HEAD: &str = "# Question: does this fleet carry the load, and what happens when a node dies?
# Made by `plimsoll new`. Every key: `plimsoll list settings`; what counts although it is not said here:
# `plimsoll check --defaults FILE`.
title = \"A fleet of your own\"
seed = 1
";

const BALANCER: &str = "[balancer]
# A failed attempt is tried again elsewhere; at most a fifth of what is under way are retries, so that
# they do not multiply what is too much already.
retry = { attempts = 3, backoff = { base = \"50ms\", cap = \"1s\" }, budget = 0.2 }
# Who finds no free place waits here, not for longer than this.
queue = { max = 500, max_wait = \"10s\" }";

const HEALTH: &str = "
[balancer.health]
# Nodes are asked, so that requests need not find out who is gone.
probe = { every = \"2s\", timeout = \"1s\", fall = 2, rise = 2 }
eject = { consecutive = 3, base = \"5s\", cap = \"1m\" }
";

const POOL: &str = "# Nodes that can serve the same requests. `plimsoll compare FILE` tells which strategy suits them.
[[pool]]
name = \"models\"
";

fn node_name(index: usize, number: u32) -> String {
    format!("node-{}-{}", index + 1, number + 1)
}

fn node(text: &mut String, index: usize, group: &NewGroup<'_>) {
    let kind = if group.engine { "engine" } else { "api" };
    let region = ["eu", "us"];
    for number in 0..group.count {
        let (name, seats, profile) = (node_name(index, number), group.seats, group.profile);
        let model = profile.split('/').next_back().unwrap_or(profile);
        let model = if group.engine { profile.split('/').next().unwrap_or(profile) } else { model };
        let region = region[number as usize % region.len()];
        let tier = match group.backup {
            Some(other) => {
                let provider = if other { "Another provider: it" } else { "It" };
                format!("\n# {provider} serves when none of the others can.\ntier = \"backup\"")
            }
            None => String::new(),
        };
        let _ = write!(
            text,
            "\n[[pool.node]]\nname = \"{name}\"{tier}\nmodel = \"{model}\"\nregion = \"{region}\"\n\
             # What it takes at a time: what is more waits at the balancer, where it can be moved.\n\
             limits = {{ concurrency = {seats} }}\n\
             backend = {{ {kind} = {{ profile = \"{profile}\" }} }}\n"
        );
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> CliFailure {
    let failure = CliFailure::new(FailureKind::Usage, format!("there is no {what} `{name}`"));
    failure.hint(crate::scenario::suggest(what, name, known))
}

/// What is written must pass every check, whatever was asked for.
fn verify(text: &str) -> Result<(), CliFailure> {
    let read = Scenario::parse("new", "the new scenario", text, &[]);
    let scenario = read.map_err(|problems| load::drawn(&problems, Color::Auto))?;
    load::expectations(&scenario, Color::Auto)?;
    let advice = scenario.advice(true);
    if advice.list().is_empty() { Ok(()) } else { Err(load::drawn(&advice, Color::Auto)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(hosted: &[&str], engine: &[&str], rate: f64) -> New {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        New {
            file: None,
            hosted: owned(hosted),
            engine: owned(engine),
            backup: None,
            rate,
            prompt: 800,
            answer: 250,
            ttft: None,
            no_questions: true,
        }
    }

    #[test]
    fn what_is_written_passes_every_check_for_every_profile_and_rate() {
        let all = profile::profiles();
        for rate in [0.1, 5.0, 200.0] {
            for name in all.hosted_names() {
                let text = asked(&[name], &[], rate).scenario().unwrap();
                assert!(verify(&text).is_ok(), "{name} at {rate}:\n{text}");
            }
            for name in all.engine_names() {
                let text = asked(&[], &[name], rate).scenario().unwrap();
                assert!(verify(&text).is_ok(), "{name} at {rate}:\n{text}");
            }
        }
        let mixed = asked(&["openai/gpt-4o"], &["llama-3.1-8b/h100/vllm"], 20.0);
        assert!(verify(&mixed.scenario().unwrap()).is_ok());
    }

    #[test]
    fn a_first_token_is_promised_that_can_come_and_that_somebody_waits_for() {
        for (time, fine) in [("10ms", true), ("60s", true), ("1ms", false), ("61s", false)] {
            let mut new = asked(&["openai/gpt-4o"], &[], 5.0);
            new.ttft = Some(time.to_owned());
            match new.scenario() {
                Ok(text) => assert!(fine && verify(&text).is_ok(), "{time}:\n{text}"),
                Err(failure) => {
                    assert!(!fine && failure.to_string().contains("--ttft"), "{time}: {failure}");
                }
            }
        }
    }

    #[test]
    fn what_no_node_could_serve_is_refused_with_what_could() {
        let engine = "llama-3.1-8b/h100/vllm";
        let refused = |new: &New| match new.check_names().and_then(|()| new.scenario()) {
            Err(failure) => failure.to_string(),
            Ok(text) => panic!("it is written:\n{text}"),
        };
        let long = |prompt, answer, engines: &[&str]| {
            let hosted = if engines.is_empty() { &["openai/gpt-4o"][..] } else { &[] };
            New { prompt, answer, ..asked(hosted, engines, 5.0) }
        };
        assert!(refused(&long(100_000, 250, &[engine])).contains("holds"));
        assert!(refused(&long(800, 50_000, &[engine])).contains("--answer 50000"));
        assert!(refused(&long(800, 50_000, &[])).contains("--answer 50000"));
        let twice = asked(&["openai/gpt-4o", "openai/gpt-4o"], &[], 5.0);
        assert!(refused(&twice).contains("twice"));
        assert!(refused(&asked(&[], &[engine, engine], 5.0)).contains("twice"));
        let mut same = asked(&["openai/gpt-4o"], &[], 5.0);
        same.backup = Some("openai/gpt-4o".to_owned());
        assert!(refused(&same).contains("--backup"));
        same.backup = Some("openai/gpt-4o-mini".to_owned());
        assert!(!same.scenario().unwrap().contains("Another provider"));
        for rate in [0.0, -1.0, 0.000_9, f64::NAN, f64::INFINITY] {
            assert!(refused(&asked(&["openai/gpt-4o"], &[], rate)).contains("--rate"));
        }
    }

    #[test]
    fn questions_may_be_left_unanswered_and_bad_numbers_are_asked_for_again() {
        let mut answers =
            ["", "llama-3.1-8b/h100/vllm, qwen3-8b/h100/vllm", "many", "20", "", "90"].into_iter();
        let mut new = asked(&[], &[], 5.0);
        new.question(&mut |_| Ok(answers.next().unwrap_or_default().to_owned())).unwrap();
        assert_eq!((new.hosted.len(), new.engine.len()), (0, 2));
        assert_eq!((new.rate, new.prompt, new.answer), (20.0, 800, 90));
    }
}

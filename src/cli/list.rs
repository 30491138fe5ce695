//! `plimsoll list` and `plimsoll show`: what is built in.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use super::failure::{Failure, Kind};
use super::output;
use crate::balance::REGISTRY;
use crate::node::FaultKind;
use crate::scenario;

#[derive(Debug, Args)]
pub(super) struct List {
    /// What to list
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Built-in scenarios and the question of each
    Scenarios,
    /// Strategies, what they do, when to use them, and their settings
    Strategies,
    /// What can go wrong
    Faults,
}

impl List {
    pub(super) fn run(&self) -> Result<u8, Failure> {
        let text = match self.what {
            What::Scenarios => scenarios(),
            What::Strategies => strategies(),
            What::Faults => faults(),
        };
        output::print(&text).map(|()| 0)
    }
}

// Writing to a string does not fail, so its results are dropped below.

fn scenarios() -> String {
    let width = scenario::BUILTIN.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, source) in scenario::BUILTIN {
        let _ = writeln!(text, "{name:width$}  {}", question(source));
    }
    text
}

/// The first comment of a scenario, as one line.
fn question(source: &str) -> String {
    let lines = source.lines().take_while(|line| line.starts_with('#') && line.len() > 1);
    let words: Vec<&str> = lines.map(|line| line.trim_start_matches('#').trim()).collect();
    words.join(" ").trim_start_matches("Question: ").to_owned()
}

fn strategies() -> String {
    let mut text = String::new();
    for entry in REGISTRY {
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
    text
}

fn faults() -> String {
    let width = FaultKind::LIST.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, about) in FaultKind::LIST {
        let _ = writeln!(text, "{name:width$}  {about}");
    }
    text
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The name of a built-in scenario
    name: String,
}

impl Show {
    pub(super) fn run(&self) -> Result<u8, Failure> {
        let Some(text) = scenario::find(&self.name) else {
            let message = format!("there is no built-in scenario `{}`", self.name);
            let failure = Failure::new(Kind::Usage, message);
            return Err(failure.hint(scenario::suggestion(&self.name)));
        };
        output::print(text).map(|()| 0)
    }
}

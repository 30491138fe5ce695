//! The command line: a subcommand a file, and what they share.
//!
//! stdout is the result and nothing else; everything else goes to stderr. Exit codes stand in one table,
//! [`failure::EXITS`].

mod books;
mod chaos;
mod check;
mod compare;
mod distinct;
#[cfg(feature = "live")]
mod endpoints;
mod explain;
mod export;
pub mod failure;
mod journal;
#[cfg(feature = "tui")]
mod limited;
#[cfg(feature = "live")]
mod limits;
mod list;
mod load;
#[cfg(feature = "tui")]
mod looks;
#[cfg(feature = "live")]
mod mock;
mod new;
mod output;
mod pipe;
#[cfg(feature = "tui")]
mod play;
mod progress;
pub mod reference;
#[cfg(feature = "live")]
mod replay;
mod result;
mod run;
mod schema;
#[cfg(test)]
mod screen_figures;
#[cfg(feature = "live")]
mod serve;
#[cfg(feature = "tui")]
mod settings;
mod signals;
#[cfg(feature = "tui")]
mod ticks;
#[cfg(all(feature = "tui", feature = "live"))]
mod top;
mod traffic;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::scenario::{Override, Scenario};
use crate::sim::Sim;
use failure::{CliFailure, EXITS, FailureKind};

/// The scenario that runs when none is named.
const DEFAULT_SCENARIO: &str = "quickstart";

/// Choose, prove and run the load-balancing strategy of an AI fleet.
///
/// Without a command: opens the dashboard on a built-in scenario; without a terminal, runs it and
/// prints the report.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, max_term_width = 100, after_help = after_help())]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  plimsoll                                   watch the built-in scenario
  plimsoll run failover                      run one headless, with its expectations
  plimsoll run my.toml --fail-if 'p99 > 2s'  the CI check: exit code 100 if it fails
  plimsoll run azure-chat --trace AzureLLMInferenceTrace_conv.csv
  plimsoll play my.toml --strategy least_tokens
  plimsoll compare my.toml --strategies scenario,least_tokens,'power_of_two(choices=4)'";

/// Examples, and what exit codes say.
fn after_help() -> String {
    let codes = EXITS.iter().map(|exit| format!("{} {}", exit.code, exit.short));
    let mut text = format!("{EXAMPLES}\n\nExit codes:");
    let mut column = text.len() - text.rfind('\n').map_or(0, |at| at + 1);
    for (at, code) in codes.enumerate() {
        let comma = if at + 1 == EXITS.len() { "." } else { "," };
        // As wide as the lines above.
        if column + code.len() + 2 > 98 {
            text.push('\n');
            column = 0;
        } else {
            text.push(' ');
        }
        text += &format!("{code}{comma}");
        column += code.len() + 2;
    }
    text
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch a scenario in the dashboard (needs a terminal)
    #[cfg(feature = "tui")]
    Play(play::Play),
    /// Watch what it is about, in a minute (needs a terminal)
    #[cfg(feature = "tui")]
    Demo,
    /// Run a scenario headless and print its report
    Run(run::Run),
    /// Compare strategies: the same seeds for all, differences with intervals, verdicts in words
    Compare(compare::Compare),
    /// Send a scenario's workload to real endpoints, through the same balancer
    #[cfg(feature = "live")]
    Replay(replay::Replay),
    /// Serve clients: an OpenAI-compatible gateway to a fleet
    #[cfg(feature = "live")]
    Serve(serve::Serve),
    /// Watch a gateway that runs elsewhere (needs a terminal)
    #[cfg(all(feature = "tui", feature = "live"))]
    Top(top::Top),
    /// Serve the nodes of a scenario as real OpenAI-compatible servers on loopback
    #[cfg(feature = "live")]
    Mock(mock::MockServers),
    /// Check scenarios: all problems at once, with line and column
    Check(check::Check),
    /// Write a commented scenario for a fleet of your own, from flags or a few questions
    New(new::New),
    /// List what is built in
    List(list::List),
    /// Print a built-in scenario
    Show(list::Show),
    /// Print what files may say, for editors
    Schema(schema::Schema),
    /// Random fleets, strategies, settings, traffic and faults; every invariant after every event
    Chaos(chaos::Chaos),
    /// Work with journals of runs
    Journal(journal::Journal),
    /// Print a page of the reference in Markdown
    #[command(hide = true)]
    Reference(reference::Reference),
}

/// What changes a scenario before it runs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Scenario")]
struct Changes {
    /// The strategy of every pool
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,
    /// The seed of everything random
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// At most so many requests
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Until arrivals stop, such as 10m
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// The trace file of the workload; `-` is stdin
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Any value of the scenario, such as workload.arrivals.poisson.rate=80 (repeatable)
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = Override::set)]
    sets: Vec<Override>,
}

impl Changes {
    fn overrides(&self) -> Vec<Override> {
        let mut list = self.sets.clone();
        list.extend(self.strategy.as_deref().map(Override::strategy));
        list.extend(self.seed.map(Override::seed));
        list.extend(self.requests.map(Override::requests));
        list.extend(self.duration.as_deref().map(Override::duration));
        list.extend(self.trace.as_ref().map(|path| Override::trace(&path.to_string_lossy())));
        list
    }
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    fn on_stderr(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stderr().is_terminal() && !no_color(),
        }
    }
}

/// Returns whether the person asked for no colours: `NO_COLOR` is set and not empty.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Runs the program and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own printing knows where to (help to stdout) and whether to colour.
            let code = if error.use_stderr() { FailureKind::Usage.code() } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = match cli.command {
        Some(command) => command.run(),
        None => run_default(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.kind.code())
        }
    }
}

impl Command {
    fn run(self) -> Result<u8, CliFailure> {
        match self {
            #[cfg(feature = "tui")]
            Command::Play(play) => play.run(),
            #[cfg(feature = "tui")]
            Command::Demo => play::Play::demo().run(),
            Command::Run(run) => run.run(),
            Command::Compare(compare) => compare.run(),
            #[cfg(feature = "live")]
            Command::Replay(replay) => replay.run(),
            #[cfg(feature = "live")]
            Command::Serve(serve) => serve.run(),
            #[cfg(all(feature = "tui", feature = "live"))]
            Command::Top(top) => top.run(),
            #[cfg(feature = "live")]
            Command::Mock(mock) => mock.run(),
            Command::Check(check) => check.run(),
            Command::New(new) => new.run(),
            Command::List(list) => list.run(),
            Command::Show(show) => show.run(),
            Command::Schema(schema) => schema.run(),
            Command::Chaos(chaos) => chaos.run(),
            Command::Journal(journal) => journal.run(),
            Command::Reference(reference) => reference.run(),
        }
    }
}

fn run_default() -> Result<u8, CliFailure> {
    #[cfg(feature = "tui")]
    if play::has_terminal() {
        return play::Play::demo().run();
    }
    run::Run::default().run()
}

/// Builds the simulation of a scenario, as `plimsoll run` does.
///
/// # Errors
/// If it cannot be simulated, or its trace cannot be read.
pub fn simulation(scenario: &Scenario) -> Result<Sim, CliFailure> {
    load::simulation(scenario, Color::Never).map(|ready| ready.sim)
}

/// Returns the command line's definition, for tests.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

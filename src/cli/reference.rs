//! `plimsoll reference`: the pages of the reference in Markdown. What the program knows of itself is
//! written by the program; `docs/src/reference` holds the same pages, and a test compares.

use std::fmt::Write as _;

use clap::{Arg, Args, Command, CommandFactory};

use super::Cli;
use super::failure::{CliFailure, EXITS, ExitMeaning, FailureKind};
use super::output;
use crate::report::reference::{self, code, page, table};

/// A page of the reference.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its name, which is the name of its file without `.md`.
    pub name: &'static str,
    /// Writes it.
    pub write: fn() -> String,
}

const fn named(name: &'static str, write: fn() -> String) -> Page {
    Page { name, write }
}

/// Every page, in the order of the book.
pub const PAGES: &[Page] = &[
    named("commands", commands),
    named("scenario", reference::scenario_keys::scenario_keys),
    named("strategies", reference::strategies::strategies),
    named("faults", reference::faults::faults),
    named("metrics", reference::metrics::metrics),
    named("log", reference::log::log),
    named("exit-codes", exit_codes),
    #[cfg(feature = "tui")]
    named("keys", keys),
];

#[derive(Debug, Args)]
pub(super) struct Reference {
    /// The page; without one, the names of all
    page: Option<String>,
}

impl Reference {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let Some(name) = &self.page else {
            let names: Vec<String> = PAGES.iter().map(|page| format!("{}\n", page.name)).collect();
            return output::print(&names.concat()).map(|()| 0);
        };
        let Some(page) = PAGES.iter().find(|page| page.name == name) else {
            let failure = CliFailure::new(FailureKind::Usage, format!("there is no page `{name}`"));
            return Err(failure.hint("`plimsoll reference` lists the pages"));
        };
        output::print(&(page.write)()).map(|()| 0)
    }
}

// Writing to a string does not fail, so its results are dropped below.

fn commands() -> String {
    let mut text = page(
        "Commands",
        "stdout is the result and nothing else; everything else goes to stderr. Without a command `plimsoll`\n\
         opens the dashboard on a built-in scenario; without a terminal it runs that scenario and prints the\n\
         report. `plimsoll COMMAND --help` says the same as this page.",
    );
    let mut root = Cli::command();
    root.build();
    for command in root.get_subcommands() {
        write_command(&mut text, command, "plimsoll");
    }
    text
}

fn write_command(text: &mut String, command: &Command, before: &str) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let path = format!("{before} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "\n## `{path}`\n\n{}.", about.trim_end_matches('.'));
    if command.has_subcommands() {
        for inner in command.get_subcommands() {
            write_command(text, inner, &path);
        }
        return;
    }
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(text, "\n```text\n{}\n```", usage.trim_start_matches("Usage: ").trim());
    let shown = |arg: &&Arg| !arg.is_hide_set() && arg.get_id() != "help";
    table(
        text,
        &["argument or option", "what it does"],
        command.get_arguments().filter(shown).map(row),
    );
    if let Some(more) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = writeln!(text, "\n{}", more.to_string().trim());
    }
}

/// Returns how an argument is written, and what it does: its help, its words, its default.
fn row(arg: &Arg) -> Vec<String> {
    let value = || {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ")
    };
    let mut written: Vec<String> = Vec::new();
    written.extend(arg.get_short().map(|short| format!("-{short}")));
    written.extend(arg.get_long().map(|long| format!("--{long}")));
    let mut written = written.join(", ");
    if written.is_empty() {
        written = value();
    } else if arg.get_action().takes_values() {
        let _ = write!(written, " {}", value());
    }
    let help = arg.get_long_help().or(arg.get_help());
    let mut about = help.map(|help| help.to_string().replace('\n', " ")).unwrap_or_default();
    let words: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| arg.get_action().takes_values())
        .map(|word| {
            let about = word.get_help().map(|help| format!(": {help}")).unwrap_or_default();
            format!("{}{about}", code(word.get_name()))
        })
        .collect();
    if !words.is_empty() {
        let _ = write!(about, "; {}", words.join("; "));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let _ = write!(about, " (default {})", code(&defaults.join(" ")));
    }
    vec![code(&written), about]
}

fn exit_codes() -> String {
    let mut text = page("Exit codes", "The same for every command. Scripts can rely on them.");
    let row = |exit: &ExitMeaning| vec![code(&exit.code.to_string()), exit.about.to_owned()];
    table(&mut text, &["code", "meaning"], EXITS.iter().map(row));
    text
}

#[cfg(feature = "tui")]
fn keys() -> String {
    let mut text = page("Keys of the dashboard", "`?` shows the keys that work where you are.");
    for (place, lines) in crate::tui::key_lines() {
        let _ = writeln!(text, "\n## {place}");
        let rows = lines.into_iter().map(|line| {
            let keys: Vec<String> = line.keys.iter().map(|key| code(key)).collect();
            vec![keys.join(", "), line.about.to_owned(), line.group.to_owned()]
        });
        table(&mut text, &["keys", "what they do", "group"], rows);
    }
    text
}

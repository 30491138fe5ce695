//! What commands that make a result share: where it goes, what it looks like, what must hold.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::failure::{CliFailure, FailureKind, code_of_signal};
use super::progress::Style;
use super::{Color, load, output};
use crate::metrics::Summary;
use crate::metrics::expect::{ExpectVerdict, Expectation};
use crate::report::{self, explanation::Story};
use crate::scenario::Scenario;

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct ResultOutput {
    /// What the result looks like
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Write the result to this file instead of stdout
    #[arg(long, value_name = "PATH")]
    pub(super) out: Option<PathBuf>,
    /// Exit with 100 if this holds, such as 'chat.p99 > 2s' (repeatable)
    #[arg(long, value_name = "EXPR")]
    pub(super) fail_if: Vec<String>,
    /// Write histograms (.hlog, .hgrm) and CSV by node, class and pool into this folder
    #[arg(long, value_name = "DIR")]
    pub(super) export: Option<PathBuf>,
    /// Write the run's journal to this file
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// Write every decision and outcome to this file, a line of JSON each, chained by hashes
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// When the log, the journal or the export can no longer be written
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub(super) if_unwritable: IfUnwritable,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    pub(super) progress: Style,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    pub(super) color: Color,
    /// Nothing on stderr but errors
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// The decision log, a line of JSON for every decision and outcome
    Ndjson,
}

/// What happens when something that is kept of a run can no longer be written: a disk is full, say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum IfUnwritable {
    /// End at once, with exit code 1
    #[default]
    End,
    /// Say so at once, and go on without it
    Continue,
}

/// An expectation and which way round it is meant.
pub(super) struct Gate {
    pub(super) expectation: Expectation,
    /// `--fail-if`: the run fails where the expression holds.
    pub(super) inverted: bool,
}

impl Gate {
    fn judge(&self, summary: &Summary) -> ExpectVerdict {
        let mut verdict = self.expectation.judge(summary);
        if self.inverted {
            // What was never measured has not been shown to be right either way.
            verdict.held = verdict.value.is_some() && !verdict.held;
            verdict.text = format!("fail if {}", verdict.text);
        }
        verdict
    }
}

/// What a run came to, on its way to the exit code.
pub(super) struct Finished {
    pub(super) summary: Summary,
    /// Requests that arrived, warm-up included.
    pub(super) arrived: u64,
    /// The signal that interrupted it.
    pub(super) signal: Option<usize>,
    /// What was asked about single requests.
    pub(super) stories: Vec<Story>,
}

impl ResultOutput {
    /// Parses the scenario's expectations and `--fail-if`.
    pub(super) fn gates(&self, scenario: &Scenario) -> Result<Vec<Gate>, CliFailure> {
        let own = load::expectations(scenario, self.color)?;
        let mut gates: Vec<Gate> =
            own.into_iter().map(|expectation| Gate { expectation, inverted: false }).collect();
        let names = scenario.expect_names();
        for text in &self.fail_if {
            let expectation = Expectation::parse(text, &names).map_err(|error| {
                let caret = format!("{}{}", " ".repeat(error.at), "^".repeat(error.len.max(1)));
                let message = format!("--fail-if: {}\n  |\n  | {text}\n  | {caret}", error.reason);
                let failure = CliFailure::new(FailureKind::Usage, message);
                match error.help {
                    Some(help) => failure.hint(help),
                    None => failure,
                }
            })?;
            gates.push(Gate { expectation, inverted: true });
        }
        Ok(gates)
    }

    /// Writes the result and returns the exit code.
    pub(super) fn finish(
        &self,
        done: &Finished,
        gates: &[Gate],
        notes: &[String],
    ) -> Result<u8, CliFailure> {
        // A part of a run proves nothing about the whole.
        let judged = if done.summary.complete { gates } else { &[] };
        let verdicts: Vec<ExpectVerdict> =
            judged.iter().map(|gate| gate.judge(&done.summary)).collect();
        let result = match self.format {
            Format::Text => {
                let stories = report::explanation::text(&done.stories);
                report::text(&done.summary, &verdicts, notes) + &stories
            }
            Format::Json => report::json(&done.summary, &verdicts, &done.stories),
            // It was written as it came.
            Format::Ndjson => return exit(done, &verdicts),
        };
        output::write(&result, self.out.as_deref())?;
        exit(done, &verdicts)
    }

    /// Returns whether more is asked for than a report on stdout.
    #[cfg(feature = "tui")]
    pub(super) fn writes(&self) -> bool {
        let files = [&self.out, &self.export, &self.journal, &self.log];
        files.into_iter().any(Option::is_some)
            || self.format != Format::Text
            || !self.fail_if.is_empty()
    }

    /// Returns how progress is to be shown.
    pub(super) fn style(&self) -> Style {
        if self.quiet { Style::None } else { self.progress }
    }

    /// Says something on stderr, unless it is to be quiet.
    pub(super) fn tell(&self, line: &str) {
        if !self.quiet {
            output::warn(line);
        }
    }
}

fn exit(done: &Finished, verdicts: &[ExpectVerdict]) -> Result<u8, CliFailure> {
    if let Some(signal) = done.signal {
        return Ok(code_of_signal(signal));
    }
    if !done.summary.complete {
        // Whoever reads the log has read enough, and has heard no verdict.
        return Ok(0);
    }
    if done.arrived == 0 {
        let failure =
            CliFailure::new(FailureKind::Nothing, "no request arrived: there was nothing to run");
        return Err(failure.hint("look at --duration, --requests and the trace"));
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.held).count();
    if failed > 0 {
        let message = format!("{failed} of {} expectations failed", verdicts.len());
        return Err(CliFailure::new(FailureKind::Expectation, message));
    }
    Ok(0)
}

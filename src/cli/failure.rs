//! Why a command failed: a kind, which gives the exit code, a sentence, and a hint. And the one table
//! of exit codes, from which help and reference are made.

use std::fmt;
use std::io;

use super::output;
use crate::scenario::printable;

/// An exit code and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitMeaning {
    /// The code.
    pub code: u8,
    /// What it says, in a few words.
    pub short: &'static str,
    /// What it says, in a sentence.
    pub about: &'static str,
}

const fn meaning(code: u8, short: &'static str, about: &'static str) -> ExitMeaning {
    ExitMeaning { code, short, about }
}

const DONE: ExitMeaning = meaning(
    0,
    "done",
    "done, and every expectation holds; also where whoever read the output has read enough",
);
const UNEXPECTED: ExitMeaning = meaning(
    1,
    "unexpected failure",
    "an unexpected failure, such as a file that cannot be written",
);
const USAGE: ExitMeaning = meaning(
    2,
    "usage",
    "the command line is wrong, or names a scenario or a journal that cannot be read",
);
const INVALID: ExitMeaning = meaning(
    3,
    "scenario or trace invalid",
    "the scenario or the trace is invalid or cannot be read; every error is told with its place",
);
const NOTHING: ExitMeaning =
    meaning(4, "nothing to run", "there was nothing to run: no request came");
const EXPECTATION: ExitMeaning = meaning(
    100,
    "an expectation failed",
    "an expectation of the scenario or of `--fail-if` was not met, or `--fail-if-worse` found worse",
);
const DIVERGED: ExitMeaning = meaning(
    101,
    "not deterministic or an invariant broken",
    "a replay decided otherwise, a log was changed, or an invariant broke",
);
const HUNG_UP: ExitMeaning = meaning(
    129,
    "hung up",
    "the terminal is gone (SIGHUP); reports, logs and journals are whole up to then",
);
const INTERRUPTED: ExitMeaning = meaning(
    130,
    "interrupted",
    "interrupted (SIGINT); reports, logs and journals are whole up to then",
);
const TERMINATED: ExitMeaning = meaning(
    143,
    "ended",
    "ended (SIGTERM); reports, logs and journals are whole up to then. `serve` ends with `0` if no request was cut short, by either signal",
);

/// Every exit code, in order.
pub const EXITS: &[ExitMeaning] = &[
    DONE,
    UNEXPECTED,
    USAGE,
    INVALID,
    NOTHING,
    EXPECTATION,
    DIVERGED,
    HUNG_UP,
    INTERRUPTED,
    TERMINATED,
];

/// Returns the exit code of a command that a signal has ended.
pub(super) const fn code_of_signal(signal: usize) -> u8 {
    128_u8.saturating_add(signal as u8)
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Something that should not happen: a file that cannot be written, say.
    Unexpected,
    /// The command line is wrong.
    Usage,
    /// The scenario or the trace is wrong.
    Invalid,
    /// No request came.
    Nothing,
    /// An expectation was not met.
    Expectation,
    /// A replay diverged.
    Diverged,
}

impl FailureKind {
    /// Returns the exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        let meaning = match self {
            FailureKind::Unexpected => UNEXPECTED,
            FailureKind::Usage => USAGE,
            FailureKind::Invalid => INVALID,
            FailureKind::Nothing => NOTHING,
            FailureKind::Expectation => EXPECTATION,
            FailureKind::Diverged => DIVERGED,
        };
        meaning.code
    }
}

/// A failure to be told on stderr.
#[derive(Debug)]
pub struct CliFailure {
    /// What kind it is.
    pub kind: FailureKind,
    /// What failed; empty if it was told already.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

impl CliFailure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> CliFailure {
        CliFailure { kind, message: message.into(), hint: None }
    }

    /// A failure whose text is drawn already and is printed as it is.
    pub(super) fn drawn(kind: FailureKind, text: &str) -> CliFailure {
        output::warn(text.trim_end());
        CliFailure::new(kind, "")
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> CliFailure {
        self.hint = Some(hint.into());
        self
    }

    /// A file that cannot be written.
    pub(super) fn file(what: &str, path: &std::path::Path, error: &io::Error) -> CliFailure {
        CliFailure::new(
            FailureKind::Unexpected,
            format!("cannot {what} {}: {error}", path.display()),
        )
    }

    /// A file of the command line that cannot be read.
    pub(super) fn unreadable(path: &std::path::Path, error: &io::Error) -> CliFailure {
        CliFailure::new(FailureKind::Usage, format!("cannot read {}: {error}", path.display()))
    }

    pub(super) fn tell(&self) {
        if !self.message.is_empty() {
            output::warn(&format!("error: {}", printable(&self.message)));
        }
        if let Some(hint) = &self.hint {
            output::warn(&format!("help: {}", printable(hint)));
        }
    }
}

impl fmt::Display for CliFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliFailure {}

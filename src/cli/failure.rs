//! Why a command failed: a kind, which gives the exit code, a sentence, and a hint.

use std::fmt;
use std::io;

use super::output;

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
    /// Every kind, by code.
    pub const ALL: &[FailureKind] = &[
        FailureKind::Unexpected,
        FailureKind::Usage,
        FailureKind::Invalid,
        FailureKind::Nothing,
        FailureKind::Expectation,
        FailureKind::Diverged,
    ];

    /// Returns what its exit code says.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            FailureKind::Unexpected => {
                "an unexpected failure, such as a file that cannot be written"
            }
            FailureKind::Usage => "the command line is wrong",
            FailureKind::Invalid => {
                "the scenario or the trace is invalid; every error is told with its place"
            }
            FailureKind::Nothing => "there was nothing to run: no request came",
            FailureKind::Expectation => {
                "an expectation of the scenario or of `--fail-if` was not met"
            }
            FailureKind::Diverged => {
                "a replay decided otherwise, a log was changed, or an invariant broke"
            }
        }
    }

    /// Returns the exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            FailureKind::Unexpected => 1,
            FailureKind::Usage => 2,
            FailureKind::Invalid => 3,
            FailureKind::Nothing => 4,
            FailureKind::Expectation => 100,
            FailureKind::Diverged => 101,
        }
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

    pub(super) fn file(what: &str, path: &std::path::Path, error: &io::Error) -> CliFailure {
        CliFailure::new(
            FailureKind::Unexpected,
            format!("cannot {what} {}: {error}", path.display()),
        )
    }

    pub(super) fn tell(&self) {
        if !self.message.is_empty() {
            output::warn(&format!("error: {}", self.message));
        }
        if let Some(hint) = &self.hint {
            output::warn(&format!("help: {hint}"));
        }
    }
}

impl fmt::Display for CliFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliFailure {}

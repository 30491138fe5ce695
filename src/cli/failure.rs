//! Why a command failed: a kind, which gives the exit code, a sentence, and a hint.

use std::fmt;
use std::io;

use super::output;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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

impl Kind {
    /// Every kind, by code.
    pub const ALL: &[Kind] = &[
        Kind::Unexpected,
        Kind::Usage,
        Kind::Invalid,
        Kind::Nothing,
        Kind::Expectation,
        Kind::Diverged,
    ];

    /// Returns what its exit code says.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Kind::Unexpected => "an unexpected failure, such as a file that cannot be written",
            Kind::Usage => "the command line is wrong",
            Kind::Invalid => {
                "the scenario or the trace is invalid; every error is told with its place"
            }
            Kind::Nothing => "there was nothing to run: no request came",
            Kind::Expectation => "an expectation of the scenario or of `--fail-if` was not met",
            Kind::Diverged => {
                "a replay decided otherwise, a log was changed, or an invariant broke"
            }
        }
    }

    /// Returns the exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Kind::Unexpected => 1,
            Kind::Usage => 2,
            Kind::Invalid => 3,
            Kind::Nothing => 4,
            Kind::Expectation => 100,
            Kind::Diverged => 101,
        }
    }
}

/// A failure to be told on stderr.
#[derive(Debug)]
pub struct Failure {
    /// What kind it is.
    pub kind: Kind,
    /// What failed; empty if it was told already.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), hint: None }
    }

    /// A failure whose text is drawn already and is printed as it is.
    pub(super) fn drawn(kind: Kind, text: &str) -> Failure {
        output::warn(text.trim_end());
        Failure::new(kind, "")
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn file(what: &str, path: &std::path::Path, error: &io::Error) -> Failure {
        Failure::new(Kind::Unexpected, format!("cannot {what} {}: {error}", path.display()))
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

//! `plimsoll journal verify`: replays a journal and compares every decision, or looks whether a
//! decision log is as it was written.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::failure::{CliFailure, FailureKind};
use super::{load, output};
use crate::journal::{ReplayError, replay};
use crate::report::decisions;
use crate::report::quantity::count;

#[derive(Debug, Args)]
pub(super) struct Journal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay a journal and compare every decision; or verify the hashes of a decision log
    Verify {
        /// The journal or decision log; `-` is stdin
        file: PathBuf,
    },
}

/// So much of a file is looked at to know what it is.
const BEGINNING: usize = 1 << 12;

impl Journal {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let Command::Verify { file } = &self.command;
        let failed = |error| CliFailure::unreadable(file, &error);
        let opened: Box<dyn Read> = if file.as_os_str() == load::STDIN {
            Box::new(load::stdin()?)
        } else {
            Box::new(File::open(file).map_err(failed)?)
        };
        let mut reader = BufReader::with_capacity(1 << 16, opened);
        let beginning = reader.fill_buf().map_err(failed)?;
        let first = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let said = if decisions::is_log(first) {
            log(file, reader)
        } else {
            // A journal may have been touched in its first line, too.
            let begins = &first[..first.len().min(BEGINNING)];
            let known = [&b"plimsoll journal"[..], b"\"config\"", b"\"scenario\""]
                .iter()
                .any(|word| begins.windows(word.len()).any(|window| window == *word));
            journal(file, reader, known)
        }?;
        output::print(&said)?;
        Ok(0)
    }
}

fn log(file: &Path, reader: impl BufRead) -> Result<String, CliFailure> {
    let verified = decisions::verify(reader).map_err(|fault| {
        let kind = match fault {
            decisions::Fault::Io(_) => FailureKind::Unexpected,
            decisions::Fault::Version(_) => FailureKind::Invalid,
            decisions::Fault::Line(..) => FailureKind::Diverged,
        };
        CliFailure::new(kind, format!("{}: {fault}", file.display()))
    })?;
    let decisions::Verified { scenario, lines, hash, complete } = verified;
    let part = if complete { "" } else { ", of a run that was interrupted" };
    let lines = count(lines);
    Ok(format!("{scenario}: {lines} lines as they were written{part}\nlast hash {hash}\n"))
}

fn journal(file: &Path, reader: impl BufRead, known: bool) -> Result<String, CliFailure> {
    let done = replay(reader, &mut |_, _| {}).map_err(|error| {
        let kind = match error {
            ReplayError::Io(_) => FailureKind::Unexpected,
            ReplayError::Bound | ReplayError::Version(_) => FailureKind::Invalid,
            ReplayError::Malformed { line: 1, .. } if !known => {
                let message = format!("{} is neither a journal nor a decision log", file.display());
                return CliFailure::new(FailureKind::Invalid, message);
            }
            ReplayError::Malformed { .. }
            | ReplayError::Touched { .. }
            | ReplayError::Diverged { .. } => FailureKind::Diverged,
        };
        CliFailure::new(kind, format!("{}: {error}", file.display()))
    })?;
    let (inputs, events) = (count(done.inputs), count(done.events));
    let name = &done.header.scenario;
    Ok(format!("{name}: {inputs} inputs replayed to the same {events} events\n"))
}

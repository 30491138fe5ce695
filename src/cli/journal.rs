//! `plimsoll journal verify`: replays a journal and compares every decision.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::{Failure, Kind};
use super::output;
use crate::journal::{ReplayError, replay};
use crate::report::quantity::count;

#[derive(Debug, Args)]
pub(super) struct Journal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay a journal and compare every decision
    Verify {
        /// The journal
        file: PathBuf,
    },
}

impl Journal {
    pub(super) fn run(&self) -> Result<u8, Failure> {
        let Command::Verify { file } = &self.command;
        let opened = File::open(file).map_err(|error| Failure::file("read", file, &error))?;
        match replay(BufReader::new(opened), &mut |_, _| {}) {
            Ok(done) => {
                let (inputs, events) = (count(done.inputs), count(done.events));
                let name = &done.header.scenario;
                output::print(&format!(
                    "{name}: {inputs} inputs replayed to the same {events} events\n"
                ))?;
                Ok(0)
            }
            Err(error) => {
                let kind = match error {
                    ReplayError::Io(_) => Kind::Unexpected,
                    ReplayError::Malformed { .. } => Kind::Invalid,
                    ReplayError::Diverged { .. } => Kind::Diverged,
                };
                Err(Failure::new(kind, format!("{}: {error}", file.display())))
            }
        }
    }
}

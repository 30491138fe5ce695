//! `plimsoll schema`: what files may say, for editors.

use clap::{Args, ValueEnum};

use super::failure::CliFailure;
use super::output;
use crate::scenario::keys;

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Of which kind of file
    what: FileKind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileKind {
    /// Scenarios, as a JSON Schema: say `#:schema ./FILE` in the first line of a scenario
    Scenario,
}

impl Schema {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let FileKind::Scenario = self.what;
        output::print(&format!("{:#}\n", keys::schema())).map(|()| 0)
    }
}

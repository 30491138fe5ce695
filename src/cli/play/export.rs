//! Figures of the run so far, as files: the run is made once more with its books open, on another thread.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use super::super::books::Books;
use super::super::failure::CliFailure;
use super::super::progress::Style;
use super::super::result::ResultOutput;
use super::super::{load, run};
use super::session::PlaySession;
use crate::metrics::Watch;
use crate::tui;
use crate::unit::Time;

/// An export on its way.
pub(super) struct ExportWork(JoinHandle<String>);

impl ExportWork {
    /// Begins to write the run up to a moment into a new folder here; else says why not.
    pub(super) fn begin(session: &PlaySession, until: Time) -> Result<ExportWork, String> {
        let stem = format!("{}-export", session.scenario().name);
        let folder = tui::new_place(&stem, "", |place| std::fs::create_dir(place));
        let folder = folder.map_err(|why| format!("not exported: {why}"))?;
        let session = session.clone();
        let work = move || match write(&session, until, PathBuf::from(&folder)) {
            Ok(()) => format!("exported: {folder}"),
            Err(failure) => format!("not exported: {}", failure.message),
        };
        let spawned = thread::Builder::new().name("export".to_owned()).spawn(work);
        spawned.map(ExportWork).map_err(|error| format!("not exported: {error}"))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for it. Returns what is to be said of it.
    pub(super) fn finish(self) -> String {
        self.0.join().unwrap_or_else(|_| "the export failed".to_owned())
    }
}

fn write(session: &PlaySession, until: Time, folder: PathBuf) -> Result<(), CliFailure> {
    let (scenario, color) = (session.scenario(), session.color());
    let output = ResultOutput {
        export: Some(folder),
        progress: Style::None,
        color,
        quiet: true,
        ..ResultOutput::default()
    };
    let mut books = Books::open(scenario, &output, Watch::Report, false)?;
    let mut sim = load::simulation(scenario, color)?.sim;
    let complete = run::go(&mut sim, &mut books, Some(until), |_, _| true);
    let complete = complete.map_err(|errors| load::trace_failure(scenario, &errors))?;
    books.close(sim.now(), complete).map(drop)
}

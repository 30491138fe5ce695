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
use crate::sim::Step;
use crate::unit::Time;

/// Folders of one name beside each other: more are not looked for.
const FOLDERS_MAX: u32 = 1_000;

/// An export on its way.
pub(super) struct ExportWork(JoinHandle<String>);

impl ExportWork {
    /// Begins to write the run up to a moment into a new folder here; else says why not.
    pub(super) fn begin(session: &PlaySession, until: Time) -> Result<ExportWork, String> {
        let folder = new_folder(&session.scenario().name)?;
        let session = session.clone();
        let work = move || match write(&session, until, folder.clone()) {
            Ok(()) => format!("exported: {}", folder.display()),
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

fn new_folder(name: &str) -> Result<PathBuf, String> {
    for number in 1..FOLDERS_MAX {
        let path = PathBuf::from(format!("{name}-export-{number}"));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("not exported: {}: {error}", path.display())),
        }
    }
    Err(format!("not exported: there are {FOLDERS_MAX} folders of this name"))
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
    let complete = loop {
        if sim.next_at().is_some_and(|at| at > until) {
            break false;
        }
        match run::step(&mut sim, &mut books) {
            Ok(Step::Handled) => {}
            Ok(Step::Done) => break true,
            Err(errors) => return Err(load::trace_failure(scenario, &errors)),
        }
    };
    books.close(sim.now(), complete).map(drop)
}

//! What is kept of a run, simulated or live: figures, journal, export.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use super::export::Export;
use super::failure::Failure;
use super::result::Output;
use super::{load, output};
use crate::balance::{Event, Input};
use crate::journal::{Header, Writer};
use crate::metrics::{Collector, Summary, Watch};
use crate::scenario::Scenario;
use crate::unit::Time;

/// A journal in progress: written beside its place and moved there at the end.
struct Journal {
    writer: Writer<BufWriter<File>>,
    part: PathBuf,
    path: PathBuf,
}

/// Everything that is kept of a run.
pub(super) struct Books {
    pub(super) collector: Collector,
    journal: Option<Journal>,
    export: Option<Export>,
    /// The first thing that could not be written.
    failed: Option<Failure>,
}

impl Books {
    /// Opens the books that the command line asks for.
    pub(super) fn open(
        scenario: &Scenario,
        output: &Output,
        watch: Watch,
    ) -> Result<Books, Failure> {
        let watch = if output.export.is_some() { Watch::Export } else { watch };
        Ok(Books {
            collector: load::collector(scenario, watch),
            journal: output
                .journal
                .as_ref()
                .map(|path| Journal::new(scenario, path))
                .transpose()?,
            export: output.export.as_deref().map(Export::new).transpose()?,
            failed: None,
        })
    }

    /// Returns whether something could not be written.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Hears an input before the balancer does.
    pub(super) fn record(&mut self, now: Time, input: &Input) {
        let Some(journal) = &mut self.journal else { return };
        if let Err(error) = journal.writer.input(now, input) {
            let path = &journal.path;
            self.failed.get_or_insert_with(|| Failure::file("write", path, &error));
        }
    }

    /// Hears an event.
    pub(super) fn hear(&mut self, now: Time, event: &Event) {
        if let Some(journal) = &mut self.journal {
            journal.writer.event(now, event);
        }
        self.collector.fold(now, event);
    }

    /// Writes the intervals that have closed; the open one too if `last`.
    pub(super) fn drain(&mut self, last: bool) {
        let Some(export) = &mut self.export else { return };
        if !last && !self.collector.has_intervals() {
            return;
        }
        let intervals = self.collector.take_intervals(last);
        if let Err(failure) = export.intervals(self.collector.labels(), &intervals) {
            self.failed.get_or_insert(failure);
        }
    }

    /// Closes every book and returns the result.
    pub(super) fn close(mut self, end: Time, complete: bool) -> Result<Summary, Failure> {
        self.drain(true);
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        if let Some(export) = self.export {
            export.close(&self.collector)?;
        }
        if let Some(Journal { writer, part, path }) = self.journal {
            let written = writer.finish().and_then(|_| std::fs::rename(&part, &path));
            written.map_err(|error| Failure::file("write", &path, &error))?;
        }
        Ok(self.collector.summary(end, complete))
    }
}

impl Journal {
    fn new(scenario: &Scenario, path: &std::path::Path) -> Result<Journal, Failure> {
        let failed = |error| Failure::file("write", path, &error);
        let part = output::beside(path);
        let file = BufWriter::new(File::create(&part).map_err(failed)?);
        let header = Header::new(&scenario.name, scenario.balancer.clone());
        let writer = Writer::new(file, &header).map_err(failed)?;
        Ok(Journal { writer, part, path: path.to_owned() })
    }
}

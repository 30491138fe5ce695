//! What is kept of a run, simulated or live: figures, journal, export.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::export::Export;
use super::failure::{Failure, Kind};
use super::result::Output;
use super::{load, output};
use crate::balance::{Event, Input};
use crate::journal::{Header, Writer};
use crate::metrics::{Collector, Inquiry, Summary, Watch};
use crate::scenario::Scenario;
use crate::unit::Time;

/// A journal in progress: written beside its place and moved there at the end.
struct Journal {
    writer: Writer<BufWriter<File>>,
    part: Part,
}

/// A file that is written beside its place until it is whole.
struct Part {
    part: PathBuf,
    path: PathBuf,
}

impl Part {
    fn new(path: &Path) -> Part {
        // A device or a pipe cannot be replaced, only written to.
        let special = path.metadata().is_ok_and(|meta| !meta.is_file());
        let part = if special { path.to_owned() } else { output::beside(path) };
        Part { part, path: path.to_owned() }
    }

    /// The file is whole and takes its place.
    fn keep(&self) -> io::Result<()> {
        if self.part == self.path { Ok(()) } else { std::fs::rename(&self.part, &self.path) }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::file("write", &self.path, error)
    }
}

impl Drop for Part {
    /// A run that fails leaves no half file behind.
    fn drop(&mut self) {
        if self.part != self.path {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// Everything that is kept of a run.
pub(super) struct Books {
    pub(super) collector: Collector,
    /// A question about one request.
    pub(super) inquiry: Option<Inquiry>,
    journal: Option<Journal>,
    export: Option<Export>,
    /// The first thing that could not be written.
    failed: Option<Failure>,
}

impl Books {
    /// Opens the books that the command line asks for. A run that is not `live` may have several
    /// balancers, and then has no journal.
    pub(super) fn open(
        scenario: &Scenario,
        output: &Output,
        watch: Watch,
        live: bool,
    ) -> Result<Books, Failure> {
        if output.journal.is_some() && scenario.instances.count > 1 && !live {
            let failure = Failure::new(
                Kind::Usage,
                "a journal is of one balancer, and this scenario has several",
            );
            return Err(failure.hint("`--set balancer.instances=1` runs it with one"));
        }
        let watch = if output.export.is_some() { Watch::Export } else { watch };
        Ok(Books {
            collector: load::collector(scenario, watch),
            inquiry: None,
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
            let part = &journal.part;
            self.failed.get_or_insert_with(|| part.failed(&error));
        }
    }

    /// Hears an event.
    pub(super) fn hear(&mut self, now: Time, event: &Event) {
        if let Some(journal) = &mut self.journal {
            journal.writer.event(now, event);
        }
        if let Some(inquiry) = &mut self.inquiry {
            inquiry.fold(now, event);
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
        if let Some(Journal { writer, part }) = self.journal {
            writer.finish().and_then(|_| part.keep()).map_err(|error| part.failed(&error))?;
        }
        Ok(self.collector.summary(end, complete))
    }
}

impl Journal {
    fn new(scenario: &Scenario, path: &Path) -> Result<Journal, Failure> {
        let part = Part::new(path);
        let header = Header::new(&scenario.name, scenario.balancer.clone());
        let writer = File::create(&part.part)
            .and_then(|file| Writer::new(BufWriter::new(file), &header))
            .map_err(|error| part.failed(&error))?;
        Ok(Journal { writer, part })
    }
}

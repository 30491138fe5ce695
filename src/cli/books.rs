//! What is kept of a run, simulated or live: figures, journal, export.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::distinct::{self, NamedFile};
use super::export::Export;
use super::failure::{CliFailure, FailureKind};
use super::result::{Format, IfUnwritable, ResultOutput};
use super::{load, output, pipe};
use crate::balance::{Event, Input};
use crate::journal::{Header, Writer};
use crate::metrics::{Collector, RequestTrace, Summary, Watch};
use crate::report::decisions;
use crate::scenario::Scenario;
use crate::unit::Time;

/// A journal in progress: written beside its place and moved there at the end, but for that of a gateway.
struct JournalFile {
    writer: Writer<BufWriter<Box<dyn Write + Send>>>,
    part: OutputPart,
    /// Written out after every input, so that it is known at once when it can no longer be.
    live: bool,
}

/// A decision log in progress, and the file it is written to; none for stdout.
struct Decisions {
    log: decisions::LogWriter<Box<dyn Write + Send>>,
    part: Option<OutputPart>,
    /// Written out after every step, since it may be wanted when the program is gone.
    live: bool,
    /// Nothing is said of it at the end.
    quiet: bool,
}

/// A file that is written beside its place until it is whole.
struct OutputPart {
    part: PathBuf,
    path: PathBuf,
}

impl OutputPart {
    fn new(path: &Path) -> OutputPart {
        if output::is_stream(path) {
            return OutputPart::in_place(path);
        }
        let path = output::behind_links(path);
        OutputPart { part: output::beside(&path), path }
    }

    /// A file that is written where it belongs from the beginning.
    fn in_place(path: &Path) -> OutputPart {
        OutputPart { part: path.to_owned(), path: path.to_owned() }
    }

    /// Makes the file. What is written as a run goes on waits for no reader, and takes no earlier run's place.
    fn create(&self, live: bool) -> io::Result<Box<dyn Write + Send>> {
        if live {
            output::create_anew(&self.part).map(pipe::unblocked)
        } else {
            output::create(&self.part).map(|file| Box::new(file) as Box<dyn Write + Send>)
        }
    }

    /// The file is whole and takes its place.
    fn keep(&self) -> io::Result<()> {
        if self.part == self.path { Ok(()) } else { std::fs::rename(&self.part, &self.path) }
    }

    fn failed(&self, error: &io::Error) -> CliFailure {
        CliFailure::file("write", &self.path, error)
    }
}

impl Drop for OutputPart {
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
    pub(super) trace: Option<RequestTrace>,
    journal: Option<JournalFile>,
    decisions: Option<Decisions>,
    export: Option<Export>,
    if_unwritable: IfUnwritable,
    /// Nodes are real.
    live: bool,
    /// The first thing that could not be written.
    failed: Option<CliFailure>,
    /// What is no longer written, though the run went on.
    lost: Vec<String>,
}

impl Books {
    /// Opens the books that the command line asks for. A run that is not `live` may have several
    /// balancers, and then has no journal.
    pub(super) fn open(
        scenario: &Scenario,
        output: &ResultOutput,
        watch: Watch,
        live: bool,
    ) -> Result<Books, CliFailure> {
        Books::check(scenario, output, live, None)?;
        let watch = if output.export.is_some() { Watch::Export } else { watch };
        Ok(Books {
            collector: load::collector(scenario, watch),
            trace: None,
            journal: output
                .journal
                .as_ref()
                .map(|path| JournalFile::new(scenario, path, live))
                .transpose()?,
            decisions: Decisions::open(scenario, output, live)?,
            export: output.export.as_deref().map(Export::new).transpose()?,
            if_unwritable: output.if_unwritable,
            live,
            failed: None,
            lost: Vec::new(),
        })
    }

    /// Fails if what the command line asks for cannot be kept, or would be lost; `other` is written too.
    pub(super) fn check(
        scenario: &Scenario,
        output: &ResultOutput,
        live: bool,
        other: Option<NamedFile<'_>>,
    ) -> Result<(), CliFailure> {
        if output.journal.is_some() && scenario.instances.count > 1 && !live {
            let failure = CliFailure::new(
                FailureKind::Usage,
                "a journal is of one balancer, and this scenario has several",
            );
            return Err(failure.hint("`--set balancer.instances=1` runs it with one"));
        }
        let trace = scenario.arrivals.path().map(|path| NamedFile::input("the trace", path));
        let read = [Some(NamedFile::input("the scenario", scenario.file())), trace];
        let read: Vec<NamedFile<'_>> = read.into_iter().flatten().collect();
        let written: Vec<NamedFile<'_>> = [
            Some(NamedFile::result(output.out.as_ref())),
            NamedFile::option("--journal", output.journal.as_ref()),
            NamedFile::option("--log", output.log.as_ref()),
            other,
        ]
        .into_iter()
        .flatten()
        .collect();
        distinct::check(&written, &read, output.export.as_deref())
    }

    /// Returns whether something could not be written.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
            || self.decisions.as_ref().is_some_and(|one| one.log.failure().is_some())
    }

    /// Hears an input before the balancer does.
    pub(super) fn record(&mut self, now: Time, input: &Input) {
        let Some(journal) = &mut self.journal else { return };
        if let Err(error) = journal.input(now, input) {
            let failure = journal.part.failed(&error);
            if self.unwritable(failure, "inputs") {
                self.journal = None;
            }
        }
    }

    /// Hears an event.
    pub(super) fn hear(&mut self, now: Time, event: &Event) {
        if let Some(journal) = &mut self.journal {
            journal.writer.event(now, event);
        }
        if let Some(decisions) = &mut self.decisions
            && let Some(failure) = decisions.hear(now, event)
            && self.unwritable(failure, "decisions")
        {
            self.decisions = None;
        }
        if let Some(trace) = &mut self.trace {
            trace.fold(now, event);
        }
        self.collector.fold(now, event);
    }

    /// Looks whether what was written has come where it belongs.
    #[cfg(feature = "live")]
    pub(super) fn flush(&mut self) {
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.writer.flush()
        {
            let failure = journal.part.failed(&error);
            if self.unwritable(failure, "inputs") {
                self.journal = None;
            }
        }
        if let Some(decisions) = &mut self.decisions
            && let Some(failure) = decisions.flush()
            && self.unwritable(failure, "decisions")
        {
            self.decisions = None;
        }
    }

    /// Writes the intervals that have closed; the open one too if `last`.
    pub(super) fn drain(&mut self, last: bool) {
        let Some(export) = &mut self.export else { return };
        if !last && !self.collector.has_intervals() {
            return;
        }
        let intervals = self.collector.take_intervals(last);
        if let Err(failure) = export.intervals(self.collector.labels(), &intervals)
            && self.unwritable(failure, "histograms and tables")
        {
            self.export = None;
        }
    }

    /// Something could not be written. Returns whether the run goes on without it, which is said aloud.
    fn unwritable(&mut self, failure: CliFailure, what: &str) -> bool {
        if self.if_unwritable == IfUnwritable::End {
            self.failed.get_or_insert(failure);
            return false;
        }
        let message = failure.message;
        output::warn(&format!("warning: {message}; {what} are no longer written, the run goes on"));
        self.lost.push(message);
        true
    }

    /// Closes every book and returns the result.
    pub(super) fn close(mut self, end: Time, complete: bool) -> Result<Summary, CliFailure> {
        self.drain(true);
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        let export = self.export.take().map(|export| export.close(&self.collector));
        let decisions = self.decisions.take().map(|decisions| decisions.close(end, complete));
        let journal = self.journal.take().map(JournalFile::close);
        for closed in [export, decisions, journal].into_iter().flatten() {
            if let Err(failure) = closed {
                if self.if_unwritable == IfUnwritable::End {
                    return Err(failure);
                }
                self.lost.push(failure.message);
            }
        }
        for lost in &self.lost {
            output::warn(&format!("warning: not all of it was written: {lost}"));
        }
        let real = self.live;
        Ok(Summary { real, ..self.collector.summary(end, complete) })
    }
}

impl Decisions {
    /// Opens the log that `--log` names, or the one that is the result.
    fn open(
        scenario: &Scenario,
        output: &ResultOutput,
        live: bool,
    ) -> Result<Option<Decisions>, CliFailure> {
        let is_result = output.format == Format::Ndjson;
        if is_result && output.log.is_some() {
            let failure = CliFailure::new(
                FailureKind::Usage,
                "`--format ndjson` is the decision log already",
            );
            return Err(failure.hint("leave out --log, and name the file with --out"));
        }
        let path = if is_result { output.out.as_deref() } else { output.log.as_deref() };
        let part =
            path.map(|path| if live { OutputPart::in_place(path) } else { OutputPart::new(path) });
        let out: Box<dyn Write + Send> = match &part {
            Some(part) => {
                let file = part.create(live).map_err(|error| part.failed(&error))?;
                Box::new(BufWriter::new(file))
            }
            None if is_result => Box::new(BufWriter::new(io::stdout())),
            None => return Ok(None),
        };
        let text = scenario.text();
        let log = decisions::LogWriter::new(out, &scenario.labels, text, &scenario.balancer);
        Ok(Some(Decisions { log, part, live, quiet: output.quiet }))
    }

    /// Hears an event. Returns why the file can no longer be written, if it cannot; a pipe whose reader
    /// is gone is seen by `has_failed`.
    fn hear(&mut self, now: Time, event: &Event) -> Option<CliFailure> {
        self.log.hear(now, event);
        if self.live {
            self.log.flush();
        }
        self.failure()
    }

    #[cfg(feature = "live")]
    fn flush(&mut self) -> Option<CliFailure> {
        self.log.flush();
        self.failure()
    }

    fn failure(&self) -> Option<CliFailure> {
        let error = self.log.failure()?;
        self.part.as_ref().map(|part| part.failed(error))
    }

    fn close(self, end: Time, complete: bool) -> Result<(), CliFailure> {
        let Decisions { log, part, quiet, .. } = self;
        let finished = log.finish(end, complete);
        match (&part, finished) {
            // Whoever reads along may have read enough.
            (None, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            (None, Err(error)) => Err(CliFailure::file("write to", Path::new("stdout"), &error)),
            (None, Ok(_)) => Ok(()),
            (Some(part), finished) => {
                let (lines, hash) = finished.map_err(|error| part.failed(&error))?;
                part.keep().map_err(|error| part.failed(&error))?;
                if !quiet {
                    output::warn(&format!("decision log: {lines} lines, the last hash is {hash}"));
                }
                Ok(())
            }
        }
    }
}

impl JournalFile {
    fn new(scenario: &Scenario, path: &Path, live: bool) -> Result<JournalFile, CliFailure> {
        let part = if live { OutputPart::in_place(path) } else { OutputPart::new(path) };
        let header = Header::new(&scenario.name, scenario.balancer.clone());
        let writer = part
            .create(live)
            .and_then(|file| Writer::new(BufWriter::new(file), &header))
            .map_err(|error| part.failed(&error))?;
        Ok(JournalFile { writer, part, live })
    }

    fn input(&mut self, now: Time, input: &Input) -> io::Result<()> {
        self.writer.input(now, input)?;
        if self.live { self.writer.flush() } else { Ok(()) }
    }

    fn close(self) -> Result<(), CliFailure> {
        let JournalFile { writer, part, .. } = self;
        writer.finish().and_then(|_| part.keep()).map_err(|error| part.failed(&error))
    }
}

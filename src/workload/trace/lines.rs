//! Reads a text file line by line in bounded memory, and tells early what is no text file.
//!
//! A line longer than [`LINE_MAX`] is skipped without being kept, so that a file without line ends
//! costs time but no memory. The buffer is used again for every line.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};

use super::Flaw;

/// Lines may have so many bytes (8 MiB): the longest context there is, block by block, is shorter.
pub const LINE_MAX: usize = 8 * 1024 * 1024;

/// What the first bytes of files that must be unpacked first look like.
const PACKED: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b], "gzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
    (b"PK\x03\x04", "zip"),
];

/// A text file as a stream of lines.
pub(super) struct LineReader {
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    terminated: bool,
}

impl fmt::Debug for LineReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

impl LineReader {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> LineReader {
        LineReader { reader, line: Vec::new(), number: 0, terminated: true }
    }

    /// The number of the line read last, from one; zero before the first.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The line read last, without its line end.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Whether the line read last has a line end; one without may have been cut off.
    pub(super) fn terminated(&self) -> bool {
        self.terminated
    }

    /// Reads the next line that is not blank; `false` at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool, Flaw> {
        loop {
            self.line.clear();
            let limit = LINE_MAX as u64 + 1;
            let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line);
            self.number += 1;
            if read.map_err(|error| unreadable(&error))? == 0 {
                self.number -= 1;
                return Ok(false);
            }
            self.strip_end();
            self.look()?;
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }

    /// Joins the next line to the one read last, with the line end between them, for who finds that it
    /// goes on there. Together they are as long as a line may be. `false` at the end of the file.
    pub(super) fn join_next(&mut self) -> Result<bool, Flaw> {
        self.line.push(b'\n');
        let before = self.line.len();
        let limit = (LINE_MAX as u64 + 1).saturating_sub(before as u64);
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line);
        let more = read.map_err(|error| unreadable(&error))? > 0;
        if more {
            self.number += 1;
            self.strip_end();
        }
        Ok(more && self.line.len() <= LINE_MAX)
    }

    fn strip_end(&mut self) {
        self.terminated = self.line.last() == Some(&b'\n');
        if self.terminated {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            // A byte-order mark, as spreadsheets write it.
            self.line.drain(..3);
        }
    }

    fn look(&mut self) -> Result<(), Flaw> {
        if self.number == 1
            && let Some((_, name)) = PACKED.iter().find(|(magic, _)| self.line.starts_with(magic))
        {
            return Err(Flaw::last(1, format!("this is a {name} file: unpack it first")));
        }
        // Only lines that are too long are searched: others fail as rows, and say where.
        if self.line.len() <= LINE_MAX {
            return Ok(());
        }
        if let Some(at) = self.line.iter().position(|byte| *byte == 0) {
            let reason = "a zero byte: this is not a text file".to_owned();
            return Err(Flaw::last(at as u64 + 1, reason));
        }
        self.skip_line().map_err(|error| unreadable(&error))?;
        let reason = format!("a line longer than {} MiB", LINE_MAX / (1024 * 1024));
        Err(Flaw::new(LINE_MAX as u64 + 1, reason))
    }

    /// Leaves out the rest of the line without keeping it.
    fn skip_line(&mut self) -> io::Result<()> {
        // What was kept of it is of no use, and neither is so large a buffer.
        self.line = Vec::new();
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(bytes.len(), |at| at + 1);
            let done = end.is_some() || bytes.is_empty();
            self.reader.consume(used);
            if done {
                return Ok(());
            }
        }
    }
}

fn unreadable(error: &io::Error) -> Flaw {
    Flaw::last(1, format!("the file cannot be read any further: {error}"))
}

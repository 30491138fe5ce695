//! Where results go: stdout, or a file that is replaced whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failure::CliFailure;

/// Writes a line to stderr; a stderr that is gone is nobody's loss.
pub(super) fn warn(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a result to stdout, or to `path` if one is given.
pub(super) fn write(result: &str, path: Option<&Path>) -> Result<(), CliFailure> {
    match path {
        None => print(result),
        Some(path) => replace(path, result.as_bytes()),
    }
}

/// Writes to stdout. A closed pipe ends the output quietly.
pub(super) fn print(text: &str) -> Result<(), CliFailure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliFailure::file("write to", Path::new("stdout"), &error)),
        Ok(()) => Ok(()),
    }
}

/// Replaces a file as a whole: whoever reads it sees the old content or the new, never half.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), CliFailure> {
    let failed = |error: io::Error| CliFailure::file("write", path, &error);
    // A device such as /dev/null cannot be replaced, only written to.
    if path.metadata().is_ok_and(|meta| !meta.is_file()) {
        return std::fs::write(path, content).map_err(failed);
    }
    let beside = beside(path);
    let written = std::fs::write(&beside, content).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

/// A name for the unfinished file, in the same folder so that it can be renamed.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

//! Where results go: stdout, or a file that is replaced whole.

use std::fs::File;
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
    if is_stream(path) {
        return create(path).and_then(|mut file| file.write_all(content)).map_err(failed);
    }
    let whole = behind_links(path);
    let beside = beside(&whole);
    let written = std::fs::write(&beside, content).and_then(|()| std::fs::rename(&beside, &whole));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

/// Whether a file can only be written to, not replaced: devices, pipes, and what is open already, such
/// as `/dev/stdout`, even where that is a file.
pub(super) fn is_stream(path: &Path) -> bool {
    let open = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
    open.iter().any(|open| path.starts_with(open))
        || path.metadata().is_ok_and(|meta| !meta.is_file())
}

/// Opens a file to be written; what is in a stream already stays.
pub(super) fn create(path: &Path) -> io::Result<File> {
    if is_stream(path) { File::options().append(true).open(path) } else { File::create(path) }
}

/// Makes a file that is written as a gateway goes on, for nobody else to read. What an earlier run left there is
/// kept beside it.
pub(super) fn create_anew(path: &Path) -> io::Result<File> {
    if is_stream(path) {
        return create(path);
    }
    let path = behind_links(path);
    match path.metadata() {
        Ok(meta) if meta.len() == 0 => std::fs::remove_file(&path)?,
        Ok(_) => keep_aside(&path)?,
        Err(_) => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// So many earlier files are kept beside a file; then their names have run out.
const ASIDE_MAX: u32 = 100_000;

/// Gives a file the first free name with a number.
fn keep_aside(path: &Path) -> io::Result<()> {
    for number in 1..=ASIDE_MAX {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{number}"));
        let aside = path.with_file_name(name);
        // A link fails where there is a file: nothing is written over.
        match std::fs::hard_link(path, &aside) {
            Ok(()) => {
                warn(&format!("note: what was in {} is in {}", path.display(), aside.display()));
                return std::fs::remove_file(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The file that a link leads to: it is replaced, not the link.
pub(super) fn behind_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A name for the unfinished file, in the same folder so that it can be renamed.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

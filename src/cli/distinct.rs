//! No file is two things at once: what one writes there the other would lose.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::failure::{CliFailure, FailureKind};
use super::{export, load};

/// A file of the command line: what names it, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedFile<'a> {
    /// The option, or a word for what is read.
    pub(super) what: &'a str,
    pub(super) path: &'a Path,
}

impl<'a> NamedFile<'a> {
    /// What an option names, if it names something.
    pub(super) fn option(what: &'a str, path: Option<&'a PathBuf>) -> Option<NamedFile<'a>> {
        path.map(|path| NamedFile { what, path })
    }

    /// Where a result goes: to the file that `--out` names, or to stdout.
    pub(super) fn result(out: Option<&'a PathBuf>) -> NamedFile<'a> {
        let stdout = NamedFile { what: "the result", path: Path::new(STDOUT) };
        NamedFile::option("--out", out).unwrap_or(stdout)
    }

    /// What is read; stdin may be a file, too.
    pub(super) fn input(what: &'a str, path: &'a str) -> NamedFile<'a> {
        let stdin = path == load::STDIN || path == load::STDIN_FILE;
        NamedFile { what, path: Path::new(if stdin { "/dev/stdin" } else { path }) }
    }
}

/// The name of stdout among files.
const STDOUT: &str = "/dev/stdout";

/// Whether a file is what stdout goes to.
#[cfg(feature = "live")]
pub(super) fn is_stdout(path: &Path) -> bool {
    FileId::of(Path::new(STDOUT)).is_some_and(|place| place.is(path))
}

/// Fails if two outputs are one file, if an output is what is read, or if an output is a folder, the
/// folder of the export or a file in it.
pub(super) fn check(
    outputs: &[NamedFile<'_>],
    inputs: &[NamedFile<'_>],
    folder: Option<&Path>,
) -> Result<(), CliFailure> {
    if let Some(path) = folder.filter(|path| path.exists() && !path.is_dir()) {
        let message = format!("--export is {}, a file", path.display());
        return Err(usage(message).hint("name a folder, which is made if it is not there"));
    }
    let export = folder.map(ExportPlaces::new);
    for (at, one) in outputs.iter().enumerate() {
        let Some(place) = FileId::of(one.path) else { continue };
        let path = one.path.display();
        if one.path.is_dir() {
            return Err(usage(format!("{} is {path}, a folder", one.what)).hint("name a file"));
        }
        if let Some(other) = outputs[..at].iter().find(|other| place.is(other.path)) {
            let (what, before) = (one.what, other.what);
            return Err(usage(format!("{before} and {what} are both {path}: one would be lost"))
                .hint("give each a file of its own"));
        }
        if let Some(other) = inputs.iter().find(|other| place.is_read_as(other.path)) {
            let (what, read) = (one.what, other.what);
            return Err(
                usage(format!("{what} would write over {read}, {path}")).hint("name another file")
            );
        }
        export.as_ref().map_or(Ok(()), |export| export.check_output(one, &place))?;
    }
    let lost = inputs.iter().find(|one| export.as_ref().is_some_and(|to| to.has(one.path)));
    lost.map_or(Ok(()), |NamedFile { what, path }| {
        let message = format!("--export would write over {what}, {}", path.display());
        Err(usage(message).hint("name another folder"))
    })
}

fn usage(message: String) -> CliFailure {
    CliFailure::new(FailureKind::Usage, message)
}

/// Where a file is, whichever way it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FileId {
    /// What is there has a number of its own: links, pipes and terminals too.
    There { device: u64, number: u64 },
    /// Nothing is there yet, or the system has no such numbers.
    Name(PathBuf),
}

impl FileId {
    /// `None` for what nobody can lose, because nobody gets it: `/dev/null`.
    fn of(path: &Path) -> Option<FileId> {
        match path.metadata() {
            Ok(meta) => FileId::there(path, &meta),
            Err(_) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = folder(parent.unwrap_or(Path::new(".")))?;
                Some(FileId::Name(parent.join(path.file_name()?)))
            }
        }
    }

    #[cfg(unix)]
    fn there(_: &Path, meta: &Metadata) -> Option<FileId> {
        use std::os::unix::fs::MetadataExt;
        let null = Path::new("/dev/null").metadata();
        let place = FileId::There { device: meta.dev(), number: meta.ino() };
        let thrown_away = null.is_ok_and(|null| {
            !meta.is_file() && (null.dev(), null.ino()) == (meta.dev(), meta.ino())
        });
        (!thrown_away).then_some(place)
    }

    #[cfg(not(unix))]
    fn there(path: &Path, _: &Metadata) -> Option<FileId> {
        path.canonicalize().ok().map(FileId::Name)
    }

    fn is(&self, path: &Path) -> bool {
        FileId::of(path).as_ref() == Some(self)
    }

    /// Whether writing here would change what is read from `path`, a file or a folder of files. A
    /// terminal or a pipe may be read and written.
    fn is_read_as(&self, path: &Path) -> bool {
        match path.metadata() {
            Ok(meta) if !meta.is_file() && !meta.is_dir() => return false,
            Ok(meta) if meta.is_dir() => {}
            _ => return self.is(path),
        }
        let files = path.read_dir().into_iter().flatten().flatten();
        files.map(|file| file.path()).any(|file| file.is_file() && self.is(&file))
    }
}

/// Where an export writes.
struct ExportPlaces {
    folder: Option<PathBuf>,
    /// The files of an earlier export, which may be links to elsewhere.
    there: Vec<FileId>,
}

impl ExportPlaces {
    fn new(path: &Path) -> ExportPlaces {
        let files = path.read_dir().into_iter().flatten().flatten();
        let written = files.filter(|file| export::writes(&file.file_name().to_string_lossy()));
        let there = written.filter_map(|file| FileId::of(&file.path())).collect();
        ExportPlaces { folder: folder(path), there }
    }

    /// Whether a file is one of those that are written.
    fn has(&self, path: &Path) -> bool {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let inside = folder(parent.unwrap_or(Path::new("."))) == self.folder
            && path.file_name().is_some_and(|name| export::writes(&name.to_string_lossy()));
        inside || FileId::of(path).is_some_and(|place| self.there.contains(&place))
    }

    fn check_output(&self, one: &NamedFile<'_>, place: &FileId) -> Result<(), CliFailure> {
        let (what, path) = (one.what, one.path.display());
        let is_above = match place {
            FileId::Name(file) => self.folder.as_ref().is_some_and(|to| to.starts_with(file)),
            FileId::There { .. } => false,
        };
        if is_above {
            return Err(usage(format!("{what} and --export are both {path}, a file and a folder"))
                .hint("name another file or another folder"));
        }
        if self.has(one.path) {
            return Err(usage(format!("{what} is {path}, which --export writes too"))
                .hint("name another file or another folder"));
        }
        Ok(())
    }
}

/// Where a folder is or would be.
fn folder(path: &Path) -> Option<PathBuf> {
    let mut there = std::path::absolute(path).ok()?;
    let mut missing = Vec::new();
    loop {
        if let Ok(found) = there.canonicalize() {
            return Some(missing.iter().rev().fold(found, |path, name| path.join(name)));
        }
        missing.push(there.file_name()?.to_owned());
        there.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_known_by_every_name_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        std::fs::write(inside("there"), "").unwrap();
        std::os::unix::fs::symlink(inside("there"), inside("link")).unwrap();
        std::fs::create_dir(inside("sub")).unwrap();
        let named = |path: &PathBuf| {
            let path = path.as_path();
            check(
                &[
                    NamedFile { what: "--out", path: &inside("there") },
                    NamedFile { what: "--log", path },
                ],
                &[NamedFile { what: "the scenario", path: &inside("read") }],
                Some(&inside("sub")),
            )
        };
        for twice in ["there", "link", "sub/../there", "./there"] {
            assert!(named(&inside(twice)).unwrap_err().message.contains("--out and --log"));
        }
        assert!(named(&inside("read")).unwrap_err().message.contains("the scenario"));
        for export in ["sub/nodes.csv", "sub/all.csv", "sub/latency.hlog", "sub/x.hgrm"] {
            assert!(named(&inside(export)).unwrap_err().message.contains("--export"), "{export}");
        }
        for fine in ["new", "sub/there", "sub/notes.csv", "nodes.csv"] {
            assert!(named(&inside(fine)).is_ok(), "{fine}");
        }
        let null = Path::new("/dev/null");
        let twice =
            [NamedFile { what: "--out", path: null }, NamedFile { what: "--log", path: null }];
        assert!(check(&twice, &[], None).is_ok(), "what is thrown away is not lost");
    }
}

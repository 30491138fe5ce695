//! No file is two things at once: what one writes there the other would lose.

use std::path::{Path, PathBuf};

use super::export;
use super::failure::{CliFailure, FailureKind};

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
}

/// Fails if two outputs are one file, if an output is what is read, or if an output is a file of the
/// export.
pub(super) fn check(
    outputs: &[NamedFile<'_>],
    inputs: &[NamedFile<'_>],
    folder: Option<&Path>,
) -> Result<(), CliFailure> {
    let usage = |message| CliFailure::new(FailureKind::Usage, message);
    for (at, one) in outputs.iter().enumerate() {
        let Some(place) = place(one.path) else { continue };
        let same = |other: &&NamedFile<'_>| self::place(other.path).as_ref() == Some(&place);
        if let Some(other) = outputs[..at].iter().find(same) {
            let (what, before, path) = (one.what, other.what, one.path.display());
            return Err(usage(format!("{before} and {what} are both {path}: one would be lost"))
                .hint("give each a file of its own"));
        }
        if let Some(other) = inputs.iter().find(same) {
            let (what, read, path) = (one.what, other.what, one.path.display());
            return Err(
                usage(format!("{what} would write over {read}, {path}")).hint("name another file")
            );
        }
        if let Some(folder) = folder
            && place.parent().map(Path::to_owned) == self::folder(folder)
            && place.file_name().is_some_and(|name| export::writes(&name.to_string_lossy()))
        {
            let (what, path) = (one.what, one.path.display());
            return Err(usage(format!("{what} is {path}, which --export writes too"))
                .hint("name another file or another folder"));
        }
    }
    Ok(())
}

/// Where a file is, whichever way it is named; `None` for what cannot be lost: devices and pipes.
fn place(path: &Path) -> Option<PathBuf> {
    match path.metadata() {
        Ok(meta) if !meta.is_file() => None,
        Ok(_) => path.canonicalize().ok(),
        Err(_) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = folder(parent.unwrap_or(Path::new(".")))?;
            Some(parent.join(path.file_name()?))
        }
    }
}

/// Where a folder is or would be.
fn folder(path: &Path) -> Option<PathBuf> {
    path.canonicalize().or_else(|_| std::path::absolute(path)).ok()
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

//! Files that a person gives and that have a limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a text of at most so many bytes, which must be whole KiB. Nothing beyond them is read, whatever kind
/// of file it is.
pub(super) fn read(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {} KiB", most >> 10)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_is_refused_and_what_is_as_large_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("text");
        std::fs::write(&path, "x".repeat(2_048)).expect("written");
        assert_eq!(read(&path, 2_048).expect("as large as allowed").len(), 2_048);
        let why = read(&path, 1_024).expect_err("larger").to_string();
        assert_eq!(why, "it is larger than 1 KiB");
    }
}

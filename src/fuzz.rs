//! What fuzzers call: a function for everything that reads what others wrote. Each asserts what must hold of
//! any bytes; that it returns at all is the first of it. The targets in `fuzz/` and the test below, which
//! replays every file of `tests/fuzz/`, call the same functions.

use crate::live::fuzz::{answer, chat, edge, sse};
use crate::workload::trace::fuzz::trace;
use crate::{journal, report, scenario};

/// What is called with bytes, and the name of its folder.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [FuzzTarget; 8] = [
    ("sse", sse),
    ("chat", chat),
    ("answer", answer),
    ("edge", edge),
    ("scenario", scenario_file),
    ("trace", trace),
    ("journal", journal_file),
    ("log", log_file),
];

/// A scenario is refused with its place, or it is one.
pub fn scenario_file(bytes: &[u8]) {
    // As many bytes as a person would write.
    if bytes.len() > 64 << 10 {
        return;
    }
    match scenario::Scenario::read("fuzz", "fuzz.toml", bytes, &[]) {
        Ok(read) => {
            for checked in [read.check_simulable(), read.check_live()] {
                if let Err(problems) = checked {
                    assert!(!problems.draw(false).is_empty());
                }
            }
            assert!(read.balancer.check().is_ok(), "what is read, a balancer takes");
        }
        Err(problems) => {
            assert!(!problems.list().is_empty(), "who is refused is told why");
            assert!(!problems.draw(false).is_empty());
            for problem in problems.list() {
                let _ = problems.position(problem);
            }
        }
    }
}

/// A journal replays, or it is said why not. What replays does so again.
pub fn journal_file(bytes: &[u8]) {
    let replay = || journal::replay(bytes, &mut |_, _| {}).map(|done| (done.inputs, done.events));
    match replay() {
        Ok(done) => assert_eq!(replay().ok(), Some(done)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A decision log is as it was written, or not. Where it is, no byte of it can be another.
pub fn log_file(bytes: &[u8]) {
    let verified = match report::decisions::verify(bytes) {
        Ok(verified) => verified,
        Err(fault) => return assert!(!fault.to_string().is_empty()),
    };
    assert!(report::decisions::is_log(bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes)));
    let mut touched = bytes.to_vec();
    let place = verified.hash.bytes().fold(0, |sum, byte| sum * 31 % 65_521 + usize::from(byte));
    let place = place % touched.len();
    touched[place] ^= 1;
    assert!(report::decisions::verify(&*touched).is_err(), "byte {place} was changed");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_fuzzers_have_found_is_read_as_it_should_be() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
        for (name, target) in TARGETS {
            let mut count = 0;
            for entry in fs::read_dir(root.join(name)).expect("every target has a folder") {
                let path = entry.expect("a file").path();
                eprintln!("{}", path.display());
                target(&fs::read(&path).expect("bytes"));
                count += 1;
            }
            assert!(count >= 5, "{name}: {count} files");
        }
    }
}

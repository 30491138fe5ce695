//! What happens in many runs, event for event: the net under every change that is to change nothing.
//!
//! `tests/golden/streams.txt` has a line a run: its name, how many events it has and a hash of all of
//! them, each with its time, in words of the wire. A run that differs is named. To see where:
//!
//! ```text
//! PLIMSOLL_STREAMS_DIR=/tmp/now cargo test --test streams     # a file of events for each run
//! ```
//!
//! with the build before and with this one, and `diff` of the two folders. A change that is meant to
//! change events writes the file anew, and the digests of the kept journals, and says why:
//!
//! ```text
//! PLIMSOLL_STREAMS=write cargo test --test streams
//! ```
//!
//! The last bits of logarithms differ between platforms, and with them whole runs. The first line is a
//! hash of draws; where that differs the streams cannot be compared, which is said, and nothing else.
//!
//! A program of its own: it is run after every small step, and so is quick to build.

mod canary;
mod runs;

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll::journal::{replay, write_event};

/// FNV-1a, of 64 bits.
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }
}

/// Where events go: into a hash and, if wanted, a file.
struct Stream {
    hash: Hash,
    events: u64,
    file: Option<BufWriter<fs::File>>,
}

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

/// Makes a run. Returns its line.
fn line(run: &runs::Run, folder: Option<&Path>) -> String {
    let file = folder.map(|folder| {
        let path = folder.join(run.name.replace('/', "-"));
        BufWriter::new(fs::File::create(path).expect("a file for events"))
    });
    let mut stream = Stream { hash: Hash::new(), events: 0, file };
    let mut text = String::new();
    run.make(&mut |now, event| {
        text.clear();
        write_event(&mut text, now, event).expect("memory");
        text.push('\n');
        stream.events += 1;
        stream.hash.write_str(&text).expect("a hash takes everything");
        if let Some(file) = &mut stream.file {
            file.write_all(text.as_bytes()).expect("room for events");
        }
    });
    assert!(stream.events > 0, "{}: nothing happens", run.name);
    format!("{} {} {:016x}", run.name, stream.events, stream.hash.0)
}

/// Writes the last line of the kept journals anew: their inputs stay, and lead to other events now.
fn sign_journals(runs: &[runs::Run]) {
    for path in runs.iter().filter_map(runs::Run::journal) {
        let text = fs::read_to_string(path).expect("a journal");
        let (inputs, _) = text.trim_end().rsplit_once('\n').expect("lines");
        let (mut events, mut lines, mut line) = (Hash::new(), Hash::new(), String::new());
        let file = fs::File::open(path).expect("a journal");
        // That it does not lead to the events it did is why it is written.
        let _ = replay(std::io::BufReader::new(file), &mut |now, event| {
            line.clear();
            write_event(&mut line, now, event).expect("memory");
            line.push('\n');
            events.write_str(&line).expect("a hash takes everything");
        });
        let inputs = format!("{inputs}\n");
        lines.write_str(&inputs).expect("a hash takes everything");
        let (events, lines, count) = (events.0, lines.0, inputs.lines().count() - 1);
        let last = format!("{{\"digest\":{events},\"inputs\":{count},\"lines\":{lines}}}\n");
        fs::write(path, inputs + &last).expect("the journal is written");
    }
}

/// Makes all runs, on two cores. Returns their lines in order.
fn lines() -> Vec<String> {
    let traces = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os("PLIMSOLL_STREAMS_DIR").map(PathBuf::from);
    if let Some(folder) = &folder {
        fs::create_dir_all(folder).expect("a folder for events");
    }
    let runs = runs::all(traces.path());
    assert!(runs.len() >= 30, "many runs");
    let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![String::new(); runs.len()]));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(run) = runs.get(place) else { break };
                    let line = line(run, folder.as_deref());
                    found.lock().expect("no run panics")[place] = line;
                }
            });
        }
    });
    found.into_inner().expect("no run panics")
}

#[test]
fn every_run_has_the_events_it_had() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/streams.txt");
    let mut canary = Hash::new();
    canary.write_str(&canary::draws()).expect("a hash takes everything");
    let canary = format!("canary {:016x}", canary.0);
    if std::env::var_os("PLIMSOLL_STREAMS").is_some_and(|what| what == "write") {
        let traces = tempfile::tempdir().expect("a folder");
        sign_journals(&runs::all(traces.path()));
        let text = [vec![canary], lines()].concat().join("\n") + "\n";
        fs::write(path, text).expect("the file is written");
        return;
    }
    let kept = fs::read_to_string(path).expect("the kept streams");
    let mut kept = kept.lines();
    if kept.next() != Some(canary.as_str()) {
        eprintln!(
            "SKIPPED: draws differ on this platform, so streams of events cannot be compared"
        );
        return;
    }
    let (kept, found): (Vec<&str>, Vec<String>) = (kept.collect(), lines());
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let mut differ = Vec::new();
    for line in &found {
        match kept.iter().find(|other| name(other) == name(line)) {
            Some(other) if other == line => {}
            Some(other) => differ.push(format!("{line}, not {other}")),
            None => differ.push(format!("{line} is new")),
        }
    }
    let gone = kept.iter().filter(|other| found.iter().all(|line| name(line) != name(other)));
    differ.extend(gone.map(|other| format!("{other} is gone")));
    assert!(
        differ.is_empty(),
        "{} of {} runs have other events:\n{}",
        differ.len(),
        found.len(),
        differ.join("\n")
    );
    assert_eq!(found, kept, "the order of the runs");
}

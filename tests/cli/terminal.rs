//! The dashboard on a real (pseudo) terminal: it draws, obeys keys, and gives the terminal back
//! whatever happens.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// The program on a terminal of its own.
struct Seat {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    bytes: Arc<Mutex<Vec<u8>>>,
    size: (u16, u16),
}

/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

impl Seat {
    fn take(program: &str, arguments: &[&str], (columns, rows): (u16, u16)) -> Seat {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo terminal");
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        // What the test's own surroundings speak is no matter.
        command.env("LC_ALL", "C.UTF-8");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let mut chunk = [0; 4_096];
            while let Ok(count) = reader.read(&mut chunk) {
                if count == 0 {
                    return;
                }
                sink.lock().expect("no panic").extend_from_slice(&chunk[..count]);
            }
        });
        let keys = pair.master.take_writer().expect("a writer");
        Seat { child, master: pair.master, keys, bytes, size: (columns, rows) }
    }

    fn play(arguments: &[&str], size: (u16, u16)) -> Seat {
        let arguments = [&["play"], arguments].concat();
        Seat::take(env!("CARGO_BIN_EXE_plimsoll"), &arguments, size)
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned()
    }

    fn screen(&self) -> String {
        let cells = |count| std::num::NonZero::new(count).expect("a size above zero");
        let mut parser = vt100::Parser::new(cells(self.size.1), cells(self.size.0), 0);
        parser.process(&self.bytes.lock().expect("no panic"));
        parser.screen().contents()
    }

    #[track_caller]
    fn wait_for(&self, words: &str) {
        let start = Instant::now();
        while !self.screen().contains(words) {
            assert!(start.elapsed() < PATIENCE, "no `{words}` on:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it listens");
        self.keys.flush().expect("it listens");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.process_id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the end and returns exit code and everything that was written.
    fn leave(mut self) -> (u32, String) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                // What was written last may still be on its way.
                std::thread::sleep(Duration::from_millis(200));
                drop(self.master);
                let raw =
                    String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned();
                return (status.exit_code(), raw);
            }
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Every mode that was entered was left.
#[track_caller]
fn restored(raw: &str) {
    let last = |on: &str, off: &str| {
        let (on, off) = (raw.rfind(on), raw.rfind(off));
        assert!(on.is_some(), "the mode was entered");
        assert!(off > on, "the mode was left");
    };
    last("\u{1b}[?1049h", "\u{1b}[?1049l");
    last("\u{1b}[?25l", "\u{1b}[?25h");
    last("\u{1b}[?2026h", "\u{1b}[?2026l");
}

#[test]
fn keys_pause_kill_heal_switch_and_quit() {
    let mut seat = Seat::play(&["failover", "--speed", "20"], (80, 24));
    seat.wait_for("Nodes");
    seat.wait_for("RUN");
    seat.press("jx");
    seat.wait_for("kill");
    seat.press(" ");
    seat.wait_for("PAUSED");
    seat.press("x");
    seat.press(" ");
    seat.wait_for("heal");
    seat.press("a");
    seat.wait_for("round_robin");
    // Escape and a key at once would be another key.
    seat.press("\u{1b}");
    seat.wait_for("Nodes");
    seat.press("?");
    seat.wait_for("pause or resume");
    seat.press("\u{1b}");
    seat.wait_for("Nodes");
    seat.press("q");
    let (code, raw) = seat.leave();
    assert_eq!(code, 0);
    restored(&raw);
    assert!(raw.rfind("Requests") > raw.rfind("\u{1b}[?1049l"), "a report is left on the screen");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    for (signal, exit) in [("-TERM", 143), ("-HUP", 129), ("-INT", 130), ("-QUIT", 131)] {
        let seat = Seat::play(&["quickstart"], (120, 40));
        seat.wait_for("Nodes");
        seat.signal(signal);
        let (code, raw) = seat.leave();
        assert_eq!(code, exit, "{signal}");
        restored(&raw);
    }
}

#[test]
fn a_broken_scenario_never_touches_the_screen() {
    let seat = Seat::play(&["no-such-scenario"], (80, 24));
    let (code, raw) = seat.leave();
    assert_eq!(code, 2);
    assert!(!raw.contains("\u{1b}[?1049h"), "{raw}");
    assert!(raw.contains("there is no scenario"), "{raw}");
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_told() {
    let me = std::env::current_exe().expect("this test");
    let arguments = ["--ignored", "--exact", "terminal::victim", "--nocapture"];
    let seat = Seat::take(&me.to_string_lossy(), &arguments, (80, 24));
    let (code, raw) = seat.leave();
    assert_ne!(code, 0);
    restored(&raw);
    assert!(raw.rfind("on purpose") > raw.rfind("\u{1b}[?1049l"), "told after the screen: {raw}");
}

/// Run by the test above on a terminal of its own.
#[test]
#[ignore = "panics on purpose; run by a_panic_gives_the_terminal_back_and_is_told"]
fn victim() {
    let mut screen = plimsoll::tui::Terminal::enter().expect("a terminal");
    screen
        .show(ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, 80, 24)))
        .expect("it draws");
    panic!("on purpose");
}

#[test]
fn a_paused_dashboard_writes_nothing() {
    let mut seat = Seat::play(&["quickstart", "--paused"], (120, 40));
    seat.wait_for("PAUSED");
    std::thread::sleep(Duration::from_millis(500));
    let before = seat.raw().len();
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(seat.raw().len(), before, "paused and idle: no bytes");
    seat.press("q");
    assert_eq!(seat.leave().0, 0);
}

/// A scenario of one endpoint where nobody listens.
#[cfg(feature = "live")]
const NOBODY: &str = r#"
seed = 7
duration = "60s"

[[pool]]
name = "p"
strategy = "random"

[[pool.node]]
name = "n"
url = "http://127.0.0.1:9/v1"

[pool.node.backend.slots]
servers = 1
service = { constant = "1s" }

[[class]]
name = "c"

[workload]
arrivals = { poisson = { rate = 5 } }

[[expect]]
that = "failed < 1%"
"#;

#[test]
#[cfg(feature = "live")]
fn leaving_a_replay_early_is_an_interruption_that_proves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nobody.toml");
    std::fs::write(&file, NOBODY).expect("it is written");
    let file = file.to_string_lossy().into_owned();
    let arguments = ["replay", &file, "--watch", "--theme", "mono", "--glyphs", "ascii"];
    let mut seat = Seat::take(env!("CARGO_BIN_EXE_plimsoll"), &arguments, (120, 40));
    seat.wait_for("REPLAY");
    seat.wait_for("n ");
    seat.press("q");
    let (code, raw) = seat.leave();
    assert_eq!(code, 130, "as Ctrl-C");
    restored(&raw);
    assert!(!raw.contains('╭'), "the glyphs that were asked for");
    let after = &raw[raw.rfind("\u{1b}[?1049l").unwrap_or(0)..];
    assert!(after.contains("INCOMPLETE"), "{after}");
    assert!(!after.contains("of 1 held") && !after.contains("expectations failed"), "{after}");
}

/// A pause is asked of the engine, and is shown when it has answered: not at the next picture that would have
/// been drawn anyway.
#[test]
fn a_key_that_asks_the_engine_is_answered_soon() {
    let mut seat = Seat::play(&["quickstart", "--speed", "4"], (80, 24));
    seat.wait_for("RUN");
    let mut took = Vec::new();
    for word in ["PAUSED", "RUN"].repeat(6) {
        std::thread::sleep(Duration::from_millis(170));
        let start = Instant::now();
        seat.press(" ");
        while !seat.screen().contains(word) && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
        took.push(start.elapsed());
    }
    seat.press("q");
    seat.leave();
    took.sort_unstable();
    // Of many the median: the machine may be busy with other tests.
    let median = took[took.len() / 2];
    assert!(median < Duration::from_millis(60), "{took:?}");
}

//! The dashboard on a real (pseudo) terminal: it draws, obeys keys, and gives the terminal back
//! whatever happens.

use std::time::{Duration, Instant};

use crate::seat::{PATIENCE, Seat};

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
    let mut screen = plimsoll::tui::Terminal::enter(true).expect("a terminal");
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

/// Mock servers that end with the test.
#[cfg(feature = "live")]
struct MockProcess(std::process::Child);

#[cfg(feature = "live")]
impl MockProcess {
    /// Of this scenario, with the addresses in a file.
    fn start(scenario: &str, out: &std::path::Path) -> MockProcess {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["mock", scenario, "--out"]).arg(out);
        let child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mock = MockProcess(child.spawn().expect("it starts"));
        let start = Instant::now();
        while !out.exists() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        mock
    }
}

#[cfg(feature = "live")]
impl Drop for MockProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[cfg(feature = "live")]
fn keys_break_and_heal_mock_servers_during_a_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = folder.path().join("live.toml");
    let _mock = MockProcess::start("quickstart", &live);
    let live = live.to_string_lossy().into_owned();
    let arguments = ["replay", &live, "--watch", "--theme", "mono"];
    let mut seat = Seat::take(env!("CARGO_BIN_EXE_plimsoll"), &arguments, (120, 40));
    seat.wait_for("azure-us");
    seat.press("j");
    seat.wait_for("› azure-eu");
    seat.press("x");
    seat.wait_for("you: kill azure-eu");
    seat.press("x");
    seat.wait_for("you: heal azure-eu");
    seat.press("f");
    seat.wait_for("Fault with azure-eu");
    seat.press("slow\r");
    seat.wait_for("you: slow");
    seat.press("q");
    let (code, raw) = seat.leave();
    assert_eq!(code, 130);
    restored(&raw);
    let report = &raw[raw.rfind("\u{1b}[?1049l").unwrap_or(0)..];
    assert!(report.contains("kill azure-eu") && report.contains("heal azure-eu"), "{report}");
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

#[test]
fn colours_that_were_changed_by_key_are_kept_and_the_mouse_selects_where_it_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("plimsoll").join("config.toml");
    let plimsoll = env!("CARGO_BIN_EXE_plimsoll");
    let arguments = ["play", "quickstart", "--paused", "--theme", "dark", "--mouse"];
    let mut seat = Seat::with_settings(plimsoll, &arguments, (120, 40), &settings);
    seat.wait_for("azure-us");
    let shown = seat.screen();
    let row = shown.lines().position(|line| line.contains("azure-us")).expect("a node") + 1;
    // As terminals tell of a click.
    seat.press(&format!("\u{1b}[<0;10;{row}M\u{1b}[<0;10;{row}m"));
    seat.wait_for("› azure-us");
    seat.press("t");
    seat.wait_for("theme light");
    seat.press("q");
    let (code, raw) = seat.leave();
    assert_eq!(code, 0);
    restored(&raw);
    assert!(raw.rfind("\u{1b}[?1006h") < raw.rfind("\u{1b}[?1006l"), "the mouse is given back");
    let kept = std::fs::read_to_string(&settings).expect("it was kept");
    assert_eq!(kept, "[ui]\ntheme = \"light\"\n");
    std::fs::write(&settings, format!("{kept}keys = {{ quit = \"Q\" }}\n")).expect("a file");
    let mut seat = Seat::with_settings(plimsoll, &["play", "--paused"], (120, 40), &settings);
    seat.wait_for("Q quit");
    seat.press("Q");
    assert_eq!(seat.leave().0, 0);
    std::fs::write(&settings, "[ui]\ntheme = \"dusk\"\n").expect("a file");
    let seat = Seat::with_settings(plimsoll, &["play"], (120, 40), &settings);
    let (code, raw) = seat.leave();
    assert_eq!(code, 2, "{raw}");
    assert!(raw.contains("config.toml") && raw.contains("line 2") && raw.contains("dusk"), "{raw}");
}

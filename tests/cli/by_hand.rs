//! What a person does to a run is in its report, and in the file that is written of it: a run of that file
//! is the same run again, to the byte.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the program in a folder. Returns its exit code and what it printed.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("NO_COLOR", "1");
    let output = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Plays a scenario by these keys.
fn play(folder: &Path, scenario: &str, keys: &str, more: &[&str]) -> String {
    fs::write(folder.join("keys.txt"), keys).expect("a file in a temporary folder");
    let mut arguments = vec!["play", scenario, "--keys", "keys.txt"];
    arguments.extend_from_slice(more);
    let (code, out, err) = run(folder, &arguments);
    assert_eq!(code, 0, "{err}");
    out
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("it is there");
    let mut names: Vec<String> = files
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A node dies, another strategy, more load and back, a node is healed.
const KEYS: &str =
    "40s j j x\n1m a\n1m10s Down Enter Down Enter Esc\n90s }\n100s u\n110s x x\n2m W\n";

#[test]
fn a_fault_made_by_key_is_in_the_report_and_in_what_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = "40s j j f s l o w Right Up Enter\n1m f r a t e Tab Enter\n70s f H\n2m W\n";
    let played = play(folder.path(), "quickstart", keys, &[]);
    let written = fs::read_to_string(folder.path().join("quickstart-by-hand-1.toml"));
    let written = written.expect("it was written");
    for (shown, text) in [
        ("slow x8 on azure-us", "slow = { node = \"azure-us\", factor = 8, for = \"60s\" }"),
        ("100% answer 429", "rate_limit = { pool = "),
        ("heal", "heal = { pool = "),
    ] {
        assert!(played.contains(shown), "{shown}: {played}");
        assert!(written.contains(text), "{text}: {written}");
    }
    let (_, ran, err) = run(folder.path(), &["run", "quickstart-by-hand-1.toml", "--quiet"]);
    assert_eq!(ran, played, "{err}");
}

#[test]
fn the_command_of_a_run_its_figures_and_its_picture_are_taken_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = "50s y Ctrl-s X\n1m j j x y Ctrl-s\n";
    let more = ["--seed", "11", "--set", "requests=9000", "--fail-if", "p99 > 900s"];
    play(folder.path(), "quickstart", keys, &more);
    let shown = |number: u8| {
        let name = format!("quickstart-screen-{number}.txt");
        fs::read_to_string(folder.path().join(name)).expect("it was written")
    };
    let plain = "plimsoll run quickstart --set requests=9000 --seed 11 --fail-if 'p99 > 900s'";
    let by_hand = "plimsoll run quickstart-by-hand-1.toml --fail-if 'p99 > 900s'";
    for (number, command) in [(1, plain), (2, by_hand)] {
        let shown = shown(number);
        assert!(shown.lines().last().is_some_and(|row| row.contains(command)), "{shown}");
        assert!(shown.contains("azure-us"), "{shown}");
    }
    // The same moment, left there.
    let left = ["--seed", "11", "--set", "requests=9000", "--export", "left"];
    play(folder.path(), "quickstart", "50s q\n", &left);
    for file in ["latency.hlog", "latency.csv", "nodes.csv", "all.csv"] {
        let read = |dir: &str| fs::read(folder.path().join(dir).join(file)).expect("it is there");
        assert!(read("left") == read("quickstart-export-1"), "{file}");
    }
}

#[test]
fn a_run_of_what_was_written_gives_the_same_bytes() {
    for (scenario, more) in [
        ("quickstart", &[][..]),
        ("failover", &["--seed", "11", "--strategy", "power_of_two(choices=3)"]),
        ("agents", &["--set", "balancer.retry.attempts=2"]),
        ("chat-day", &["--duration", "4m"]),
        ("scale-out", &["--duration", "7m"]),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let played = play(folder.path(), scenario, KEYS, more);
        assert!(played.contains("By hand"), "{scenario}: {played}");
        let written = format!("{scenario}-by-hand-1.toml");
        let (_, ran, err) = run(folder.path(), &["run", &written, "--quiet"]);
        assert_eq!(ran, played, "{scenario}: {err}");
    }
}

#[test]
fn who_compares_changes_nothing_and_sees_the_same_every_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, plain, _) = run(folder.path(), &["run", "quickstart", "--quiet"]);
    // The list of strategies foresees, too; that takes as long as it takes where keys come out of a file.
    let keys = "60s 2 a Down Down Enter a Down Enter b j b\n100s 1 a Enter Esc Esc 2\n200s k d 1\n";
    let record = |file: &str| {
        let played = play(folder.path(), "quickstart", keys, &["--record", file]);
        assert_eq!(played, plain, "it is not disturbed");
        fs::read_to_string(folder.path().join(file)).expect("it was written")
    };
    let first = record("first.svg");
    assert_eq!(first, record("second.svg"), "every picture is the same");
    assert!(first.contains("blocks of 5s") && first.contains("random"), "it was compared");
}

#[test]
fn those_that_are_compared_go_back_with_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    // The screen as text, at two minutes, of those that are compared.
    let screen = |keys: &str| {
        play(folder.path(), "quickstart", keys, &[]);
        let path = folder.path().join("quickstart-screen-1.txt");
        let text = fs::read_to_string(&path).expect("it was written");
        fs::remove_file(path).expect("it is there");
        text
    };
    let compared = "50s 2 a Down Down Enter";
    let never = screen(&format!("{compared}\n2m Ctrl-s q\n"));
    assert!(never.contains("random"), "{never}");
    // A node is killed, and twenty seconds back it has not been: in none of them.
    let back = screen(&format!("{compared} 1 j j x\n65s H H Space 2\n2m Ctrl-s q\n"));
    assert_eq!(back, never);
}

#[test]
fn two_sessions_of_the_same_keys_write_the_same_files_and_never_over_one() {
    let folder = tempfile::tempdir().expect("a folder");
    play(folder.path(), "quickstart", KEYS, &[]);
    play(folder.path(), "quickstart", KEYS, &[]);
    let read = |number: u8| {
        let name = format!("quickstart-by-hand-{number}.toml");
        fs::read_to_string(folder.path().join(name)).expect("it was written")
    };
    assert_eq!(read(1), read(2));
    assert_eq!(
        names(folder.path()),
        ["keys.txt", "quickstart-by-hand-1.toml", "quickstart-by-hand-2.toml"]
    );
}

#[test]
fn who_only_looks_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, plain, _) = run(folder.path(), &["run", "quickstart", "--quiet"]);
    // Back, on again, other views, the picker with all that it foresees, help.
    let keys = "50s Left Left H Right ` 3 4 5 1 a Esc Esc Space ? Esc\n80s < > . Space\n";
    assert_eq!(play(folder.path(), "quickstart", keys, &[]), plain);
}

#[test]
fn what_was_done_is_undone_without_a_trace_if_no_time_has_passed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, plain, _) = run(folder.path(), &["run", "quickstart", "--quiet"]);
    assert_eq!(play(folder.path(), "quickstart", "50s Space j j x u Space\n", &[]), plain);
    let later = play(folder.path(), "quickstart", "50s j j x\n55s u\n", &[]);
    assert!(later.contains("kill azure-us") && later.contains("heal azure-us"), "{later}");
    // Of a fault of many nodes none stays ill.
    let pool = "50s j j f c r a s h Tab Enter\n55s u\n60s W\n";
    play(folder.path(), "quickstart", pool, &[]);
    let written = fs::read_to_string(folder.path().join("quickstart-by-hand-1.toml"));
    let written = written.expect("it was written");
    for text in ["crash = { pool = \"reasoning\"", "heal = { pool = \"reasoning\" }"] {
        assert!(written.contains(text), "{text}: {written}");
    }
}

#[test]
fn who_goes_on_from_an_earlier_moment_has_not_done_what_came_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, plain, _) = run(folder.path(), &["run", "quickstart", "--quiet"]);
    // Ten and ten seconds back from 1:00 it is before the kill; `Space` goes on from there.
    let keys = "50s j j x\n1m H H Space\n";
    let again = play(folder.path(), "quickstart", keys, &[]);
    assert!(!again.contains("By hand"), "{again}");
    assert_eq!(again, plain);
}

#[test]
fn what_is_played_is_written_as_a_run_writes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let books = ["--journal", "run.journal", "--log", "run.log", "--export", "figures"];
    play(folder.path(), "quickstart", KEYS, &books);
    let journal = fs::read(folder.path().join("run.journal")).expect("it was written");
    let (code, out, _) = run(folder.path(), &["journal", "verify", "run.journal"]);
    assert_eq!(code, 0, "{out}");
    assert!(folder.path().join("figures").is_dir());
    let (_, _, err) = run(
        folder.path(),
        &["run", "quickstart-by-hand-1.toml", "--quiet", "--journal", "again.journal"],
    );
    let again = fs::read(folder.path().join("again.journal")).unwrap_or_else(|_| panic!("{err}"));
    assert!(journal == again, "the journals differ");
}

#[test]
fn what_cannot_be_done_by_hand_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let pool = "requests = 9\n[[pool]]\nname = \"p\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"n\"\n\
        backend = { slots = { servers = 1, service = \"1s\" } }\n";
    let made = "[workload]\narrivals = { poisson = { rate = 1 } }\n";
    let users = "[workload]\narrivals = { users = { count = 2, think = \"1s\" } }\n";
    for (workload, act, why) in [
        (made, "at = \"1s\"\nheal = { node = \"m\" }", "m"),
        (made, "at = \"1s\"", "does not say what goes wrong"),
        (made, "crash = { node = \"n\" }", "at"),
        (made, "at = \"1s\"\nload = 2\nheal = { node = \"n\" }", "one thing"),
        (made, "at = \"1s\"\nload = 1000", "load"),
        (made, "at = \"1s\"\nstrategy = { pool = \"p\", use = \"rond_robin\" }", "round_robin"),
        (made, "at = \"1s\"\ncrash = { node = \"n\", count = 1 }", "drawn"),
        (users, "at = \"1s\"\nload = 2", "cannot change"),
    ] {
        let text = format!("{pool}{workload}[[by_hand]]\n{act}\n");
        fs::write(folder.path().join("s.toml"), text).expect("a file in a temporary folder");
        let (code, _, err) = run(folder.path(), &["run", "s.toml"]);
        assert!(code == 3 && err.contains(why) && err.contains("s.toml:"), "{act}: {code} {err}");
    }
}

#[test]
fn files_that_would_be_lost_are_told_before_anything_is_played() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("keys.txt"), "1s W\n").expect("a file in a temporary folder");
    for outputs in [["--out", "x", "--log", "x"], ["--record", "x", "--journal", "x"]] {
        let mut arguments = vec!["play", "quickstart", "--keys", "keys.txt"];
        arguments.extend(outputs);
        let (code, _, err) = run(folder.path(), &arguments);
        assert!(code == 2 && err.contains("one would be lost"), "{code} {err}");
        assert_eq!(names(folder.path()), ["keys.txt"], "no key was pressed");
    }
}

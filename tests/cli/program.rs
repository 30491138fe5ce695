//! The program as scripts see it: exit codes, streams, files, and what it says of bad input.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn plimsoll(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

fn run(arguments: &[&str]) -> Output {
    plimsoll(arguments).output().expect("the program starts")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

/// Asserts that a call fails so and says this; and never panics.
#[track_caller]
fn refused(arguments: &[&str], exit: i32, says: &[&str]) -> Output {
    let output = run(arguments);
    let told = stderr(&output);
    assert_eq!(code(&output), exit, "{arguments:?}: {told}");
    for words in says {
        assert!(told.contains(words), "{arguments:?} should say `{words}`:\n{told}");
    }
    assert!(!told.contains("panicked"), "{told}");
    assert!(!told.contains('\u{1b}'), "no escape codes off a terminal: {told}");
    assert_eq!(stdout(&output), "", "no result");
    output
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, content).expect("a file in a temporary folder");
    path.to_string_lossy().into_owned()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    for format in ["text", "json"] {
        let arguments = ["run", "quickstart", "--duration", "60s", "--format", format];
        let first = run(&arguments);
        assert_eq!(first.stdout, run(&arguments).stdout, "{format}");
        let other = run(&[&arguments[..], &["--seed", "8"]].concat());
        assert_ne!(first.stdout, other.stdout, "{format}");
    }
}

#[test]
fn without_a_terminal_the_built_in_scenario_runs_and_play_says_why_it_does_not() {
    let output = run(&[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with("quickstart"), "{}", stdout(&output));
    refused(&["play"], 2, &["play needs a terminal", "plimsoll run"]);
}

#[test]
fn json_has_the_keys_that_scripts_rely_on() {
    let output = run(&["run", "failover", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for path in [
        "/schema_version",
        "/scenario",
        "/seed",
        "/complete",
        "/simulated_s",
        "/strategies",
        "/requests/arrived",
        "/requests/completed",
        "/requests/failed",
        "/requests/rejected",
        "/requests/cancelled",
        "/requests/in_flight",
        "/attempts/total",
        "/attempts/retries",
        "/attempts/hedges",
        "/attempts/failovers",
        "/latency_s/mean",
        "/latency_s/p50",
        "/latency_s/p90",
        "/latency_s/p95",
        "/latency_s/p99",
        "/latency_s/p999",
        "/latency_s/max",
        "/ttft_s/p99",
        "/tpot_s/p99",
        "/queue_s/p99",
        "/tokens/input",
        "/tokens/cached_input",
        "/tokens/output",
        "/cost_usd/total",
        "/cost_usd/per_1k_requests",
        "/goodput/requests_per_s",
        "/goodput/slo_attainment",
        "/fairness_jain",
        "/classes/0/name",
        "/classes/0/requests/arrived",
        "/classes/0/latency_s/p99",
        "/classes/0/ttft_s/p99",
        "/classes/0/cost_usd/total",
        "/pools/0/name",
        "/pools/0/strategy",
        "/pools/0/requests",
        "/pools/0/latency_s",
        "/nodes/0/name",
        "/nodes/0/pool",
        "/nodes/0/share",
        "/nodes/0/attempts",
        "/nodes/0/failed",
        "/nodes/0/utilisation",
        "/nodes/0/latency_s",
        "/nodes/0/cost_usd",
        "/expectations/0/text",
        "/expectations/0/value",
        "/expectations/0/limit",
        "/expectations/0/held",
    ] {
        assert!(json.pointer(path).is_some(), "{path} is missing");
    }
    let count =
        |path: &str| json.pointer(path).and_then(serde_json::Value::as_u64).expect("a count");
    let parts = ["completed", "failed", "rejected", "cancelled", "in_flight"];
    let sum: u64 = parts.iter().map(|part| count(&format!("/requests/{part}"))).sum();
    assert_eq!(count("/requests/arrived"), sum);
}

#[test]
fn an_expectation_that_fails_is_exit_code_100() {
    let output = run(&["run", "mm1", "--requests", "2000", "--fail-if", "latency.p50 > 1us"]);
    assert_eq!(code(&output), 100, "{}", stderr(&output));
    assert!(stdout(&output).contains('✖'), "{}", stdout(&output));
    // The scenario's own expectations want a long run: hold on to those that hold.
    let output = run(&["run", "bench-queue", "--requests", "20000", "--fail-if", "failed > 50%"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    refused(&["run", "mm1", "--fail-if", "latncy.p50 > 1s"], 2, &["latency"]);
    refused(&["run", "mm1", "--fail-if", "p50 > nan"], 2, &["--fail-if"]);
}

#[test]
fn a_journal_of_several_balancers_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal").to_string_lossy().into_owned();
    refused(&["run", "herd", "--journal", &path], 2, &["one balancer", "balancer.instances=1"]);
}

#[test]
fn results_go_to_files_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("result.json").to_string_lossy().into_owned();
    let output = run(&["run", "mm1", "--requests", "500", "--format", "json", "--out", &out]);
    assert_eq!(stdout(&output), "");
    let text = fs::read_to_string(&out).expect("the result");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    let names: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(names.len(), 1, "nothing half done is left: {names:?}");
    let output = run(&["run", "mm1", "--requests", "500", "--out", "/nowhere/at/all"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
}

#[test]
fn exports_and_journals_are_written_and_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("export");
    let journal = folder.path().join("run.journal").to_string_lossy().into_owned();
    let export = dir.to_string_lossy().into_owned();
    let arguments =
        ["run", "failover", "--duration", "250s", "--export", &export, "--journal", &journal];
    let output = run(&arguments);
    let bare = run(&["run", "failover", "--duration", "250s"]);
    assert_eq!(output.stdout, bare.stdout, "who watches changes nothing");
    for name in ["latency.hlog", "latency.csv", "all.csv", "classes.csv", "pools.csv", "nodes.csv"]
    {
        assert!(dir.join(name).is_file(), "{name}");
    }
    let hgrm = fs::read_dir(&dir).expect("a folder").filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_string_lossy().ends_with(".hgrm")
    });
    assert!(hgrm.count() >= 10);
    // Every request of the run stands in one row of all.csv.
    let table = fs::read_to_string(dir.join("all.csv")).expect("a table");
    let ended = table.lines().skip(1).map(|row| row.split(',').nth(3).expect("a column"));
    let ended: u64 = ended.map(|count| count.parse::<u64>().expect("a count")).sum();
    assert!(ended > 1_000, "{table}");

    let verified = run(&["journal", "verify", &journal]);
    assert_eq!(code(&verified), 0, "{}", stderr(&verified));
    assert!(stdout(&verified).contains("replayed to the same"), "{}", stdout(&verified));
    let text = fs::read_to_string(&journal).expect("a journal");
    let touched = text.replacen("\"done\":{\"input\":", "\"done\":{\"input\":1", 1);
    assert_ne!(text, touched);
    let touched = write(folder.path(), "touched", touched);
    refused(&["journal", "verify", &touched], 101, &["not what was written"]);
    let cut = write(folder.path(), "cut", &text[..text.len() / 2]);
    refused(&["journal", "verify", &cut], 101, &["line"]);
    refused(&["journal", "verify", "/no/such/journal"], 2, &["cannot read"]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = plimsoll(&["run", "bench-queue", "--requests", "20000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("roken pipe"), "{}", stderr(&output));
    assert_eq!(code(&output), 0);
}

#[test]
fn an_interrupted_run_prints_what_it_has() {
    for (signal, exit) in [("INT", 130), ("TERM", 143)] {
        let child = plimsoll(&[
            "run",
            "mm1",
            "--requests",
            "2000000000",
            "--duration",
            "1000000h",
            "--format",
            "json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
        std::thread::sleep(Duration::from_millis(600));
        let killed =
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(code(&output), exit, "{}", stderr(&output));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(json["complete"], false);
        assert!(json["requests"]["arrived"].as_u64().expect("a count") > 0);
    }
}

fn pipe(folder: &Path, name: &str) -> String {
    let path = folder.join(name).to_string_lossy().into_owned();
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    path
}

#[test]
fn a_second_signal_ends_a_run_that_waits_for_its_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = pipe(folder.path(), "trace.csv");
    let mut child = plimsoll(&["run", "azure-chat", "--trace", &trace])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut writer = fs::OpenOptions::new().write(true).open(&trace).expect("a pipe");
    writer.write_all(AZURE_ROWS.as_bytes()).expect("the program reads");
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(400));
        let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(interrupt.expect("kill runs").success(), "it still waits");
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    drop(writer);
}

const AZURE_ROWS: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
    2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n";

#[test]
fn pipes_are_read_and_written_as_files_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = include_str!("../../scenarios/mm1.toml");
    let scenario = write(folder.path(), "mm1.toml", scenario.replace("1_000_000", "2_000"));
    let stdin = fs::File::open(&scenario).expect("written above");
    let mut cat = Command::new("cat").stdin(stdin).stdout(Stdio::piped()).spawn().expect("cat");
    let output = plimsoll(&["run", "/dev/stdin", "--requests", "500", "--format", "json"])
        .stdin(cat.stdout.take().expect("a pipe"))
        .output()
        .expect("the program starts");
    assert!(cat.wait().expect("cat ends").success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("\"scenario\": \"stdin\""), "{}", stdout(&output));

    let journal = pipe(folder.path(), "journal");
    let reader = std::thread::spawn({
        let journal = journal.clone();
        move || fs::read(journal).map(|bytes| bytes.len())
    });
    run(&["run", "mm1", "--requests", "500", "--journal", &journal]);
    assert!(!fs::metadata(&journal).expect("it is there").is_file(), "the pipe is still a pipe");
    assert!(reader.join().expect("no panic").expect("a journal") > 10_000);
}

#[test]
fn a_run_that_fails_leaves_no_half_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = write(folder.path(), "trace.csv", format!("{AZURE_ROWS}2023-11-16,7\n"));
    let journal = folder.path().join("journal").to_string_lossy().into_owned();
    refused(&["run", "azure-chat", "--trace", &trace, "--journal", &journal], 3, &["trace.csv:4"]);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "only the trace");
}

#[test]
fn names_that_a_terminal_would_obey_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = |title: &str, pool: &str, node: &str| {
        format!(
            "title = \"{title}\"\nduration = \"1s\"\n[[pool]]\nname = \"{pool}\"\nstrategy = \"random\"\n\
             [[pool.node]]\nname = \"{node}\"\nbackend = {{ api = {{ ttft = {{ constant = \"1ms\" }}, \
             tokens_per_second = {{ constant = 9 }} }} }}\n[[class]]\nname = \"c\"\n\
             output_tokens = {{ constant = 9 }}\n[workload]\narrivals = {{ poisson = {{ rate = 1 }} }}\n"
        )
    };
    let path = write(folder.path(), "good.toml", text("t", "p", "n"));
    assert_eq!(code(&run(&["check", &path])), 0);
    // A colour, a title, a screen that is cleared, in seven bits and in eight; a bell, a line that is overwritten.
    for bad in [
        "\\u001b[31m",
        "\\u001b]0;x\\u0007",
        "\\u009b2J",
        "\\u0090x",
        "\\u0007",
        "a\\rb",
        "\\u007f",
    ] {
        for (title, pool, node) in [(bad, "p", "n"), ("t", bad, "n"), ("t", "p", bad)] {
            let path = write(folder.path(), "bad.toml", text(title, pool, node));
            refused(&["check", &path], 3, &["bad.toml:"]);
            refused(&["run", &path], 3, &["bad.toml:"]);
        }
    }
    // Keys and values that are wrong are shown, but not as they are.
    let path = write(folder.path(), "key.toml", "\"\\u001b[2J\" = \"\\u001b[2J\"\n");
    refused(&["check", &path], 3, &["key.toml:"]);
    refused(&["check", "\u{1b}[2J.toml"], 3, &["\\u{1b}[2J.toml"]);
    let path = write(folder.path(), "\u{1b}[2J.toml", "[[pool]]\n");
    refused(&["check", &path], 3, &[]);
}

#[test]
fn a_broken_scenario_is_told_with_every_error_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = "duration = \"10s\"\n[[pool]]\nname = \"p\"\nstrategy = \"p2x\"\n\
        [[pool.node]]\nname = \"a\"\nweight = -1\nbackend = { slots = { servers = 1, service = \
        { exponential = { mean = nan } } } }\n[workload]\narrivals = { poisson = { rate = 1e999 } }\n";
    let path = write(folder.path(), "broken.toml", scenario);
    let says = ["broken.toml:4:12", "broken.toml:7:10", "broken.toml:8:", "broken.toml:10:33"];
    refused(&["run", &path], 3, &says);
    refused(&["check", &path], 3, &says);
    refused(&["play", &path], 2, &["terminal"]);
    let spelled = "duration = \"10s\"\n[[pool]]\nname = \"p\"\nstrategy = \"least_conections\"\n";
    let path = write(folder.path(), "spelled.toml", spelled);
    refused(&["run", &path], 3, &["least_connections"]);
    for (name, content) in [
        ("empty.toml", &b""[..]),
        ("binary.toml", &[0, 159, 146, 150, 255, 0]),
        ("latin1.toml", b"title = \"caf\xe9\"\n"),
        ("half.toml", b"[[pool]\nname = "),
    ] {
        let path = write(folder.path(), name, content);
        refused(&["run", &path], 3, &[name]);
    }
    refused(&["run", "quikstart"], 2, &["quickstart"]);
    refused(&["run", "/"], 2, &["folder"]);
    refused(&["run", "mm1", "--set", "nonsense"], 2, &["PATH=VALUE"]);
    refused(&["run", "mm1", "--set", "workload.arrivals.poisson.rate=-3"], 3, &["--set"]);
    refused(&["run", "mm1", "--strategy", "p2x"], 3, &["p2x"]);
}

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n";

#[test]
fn a_broken_trace_is_told_with_line_and_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str, content: &[u8], says: &[&str]| {
        let path = write(folder.path(), name, content);
        refused(&["run", "azure-chat", "--trace", &path], 3, says);
    };
    run("cut.csv", format!("{AZURE}2023-11-16 18:15:5").as_bytes(), &["cut.csv:3:"]);
    run(
        "nan.csv",
        format!("{AZURE}2023-11-16 18:15:50.9,NaN,5\n2023-11-16 18:15:51.0,1,-7\n").as_bytes(),
        &["nan.csv:3:", "nan.csv:4:"],
    );
    run("huge.csv", format!("{AZURE}2023-11-16 18:15:50.9,1e999,5\n").as_bytes(), &["huge.csv:3:"]);
    run("back.csv", format!("{AZURE}2023-11-16 18:15:40.0,1,5\n").as_bytes(), &["back.csv:3:1"]);
    run("empty.csv", b"", &["empty.csv"]);
    run("binary.csv", &[0xff, 0xfe, 0, 1, 2, 3, 0xff, b'\n'], &["binary.csv:1:"]);
    refused(&["run", "azure-chat"], 3, &["--trace"]);
    refused(&["run", "azure-chat", "--trace", "/no/such/file"], 3, &["/no/such/file"]);
    refused(&["run", "quickstart", "--trace", "x.csv"], 3, &["trace"]);
    let path = write(folder.path(), "good.csv", AZURE);
    refused(&["run", "azure-chat", "--trace", &path, "--set", "requests=0"], 3, &["requests"]);
    let header = write(folder.path(), "header.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n");
    let output = plimsoll(&["run", "azure-chat", "--trace", &header]).output().expect("it starts");
    assert!([3, 4].contains(&code(&output)), "{}", stderr(&output));
}

#[test]
fn an_endless_line_needs_no_memory() {
    // A named pipe that writes a line without end: it must be refused, not buffered.
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("endless.csv");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    let path = pipe.to_string_lossy().into_owned();
    let writer = std::thread::spawn(move || {
        let mut file = fs::OpenOptions::new().write(true).open(pipe).expect("a reader opens it");
        let chunk = vec![b'7'; 1 << 20];
        // 64 MiB of one line, then an end.
        for _ in 0..64 {
            if file.write_all(&chunk).is_err() {
                return;
            }
        }
    });
    // 40 MB of address space beyond the program itself would not hold the line.
    let limited = format!("ulimit -v 400000; exec \"$0\" run azure-chat --trace '{path}'");
    let output = Command::new("sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_plimsoll")])
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("endless.csv:1:"), "{}", stderr(&output));
    writer.join().expect("the writer ends");
}

#[test]
fn lists_shows_and_checks_work_for_everything_built_in() {
    let listed = run(&["list", "scenarios"]);
    let names: Vec<&str> =
        stdout(&listed).lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"quickstart") && names.contains(&"bench-queue"), "{names:?}");
    for name in names {
        assert_eq!(code(&run(&["show", name])), 0, "{name}");
        let checked = run(&["check", name]);
        assert_eq!(code(&checked), 0, "{name}: {}", stderr(&checked));
    }
    let strategies = run(&["list", "strategies"]);
    for entry in plimsoll::balance::REGISTRY {
        assert!(stdout(&strategies).contains(entry.name), "{}", entry.name);
    }
    assert!(stdout(&run(&["list", "faults"])).contains("crash"));
    refused(&["show", "nothing"], 2, &["nothing"]);
}

#[test]
fn settings_are_listed_by_prefix_and_as_a_schema() {
    let all = run(&["list", "settings"]);
    let some = run(&["list", "settings", "balancer.retry.backoff"]);
    assert!(stdout(&all).contains(stdout(&some)), "a part of the whole");
    insta::assert_snapshot!("settings", stdout(&some));
    refused(&["list", "settings", "balacner"], 2, &["no setting begins with `balacner`"]);
    let schema = run(&["schema", "scenario"]);
    let schema: serde_json::Value = serde_json::from_str(stdout(&schema)).expect("it is JSON");
    let base = "/properties/balancer/properties/retry/properties/backoff/properties/base";
    insta::assert_snapshot!("schema", format!("{:#}", schema.pointer(base).expect("a key")));
}

#[test]
fn help_reads_as_before() {
    insta::assert_snapshot!("help", plimsoll::cli::definition().render_long_help().to_string());
    let mut definition = plimsoll::cli::definition();
    let run = definition.find_subcommand_mut("run").expect("run");
    insta::assert_snapshot!("help_run", run.render_help().to_string());
    insta::assert_snapshot!("strategies", stdout(&self::run(&["list", "strategies"])));
}

#[test]
fn the_decision_log_is_written_and_what_is_touched_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.jsonl").to_string_lossy().into_owned();
    let output = run(&["run", "failover", "--duration", "250s", "--log", &path]);
    assert!(stderr(&output).contains("the last hash is"), "{}", stderr(&output));
    let plain = run(&["run", "failover", "--duration", "250s"]);
    assert_eq!(output.stdout, plain.stdout, "a log changes nothing");
    let text = fs::read_to_string(&path).expect("a log");
    let streamed = run(&["run", "failover", "--duration", "250s", "--format", "ndjson"]);
    assert_eq!(stdout(&streamed), text, "as a result it is the same");
    for what in ["arrival", "decision", "attempt", "outcome", "retry", "node", "mark"] {
        assert!(text.contains(&format!("\"what\":\"{what}\"")), "no {what}");
    }
    let verified = run(&["journal", "verify", &path]);
    assert!(stdout(&verified).contains("as they were written"), "{}", stderr(&verified));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let middle = lines.len() / 2;
    let touched = |name: &str, text: &str, says: &str| {
        let path = write(folder.path(), name, text);
        refused(&["journal", "verify", &path], 101, &[says]);
    };
    let line = format!("line {}: ", middle + 1);
    let mut other = lines.clone();
    let changed = other[middle].replacen(':', ";", 2);
    other[middle] = &changed;
    touched("changed", &other.concat(), &line);
    let mut other = lines.clone();
    other.remove(middle);
    touched("removed", &other.concat(), &line);
    let mut other = lines.clone();
    other.swap(middle, middle + 1);
    touched("swapped", &other.concat(), &line);
    touched("torn", &text[..text.len() - 20], &format!("line {}: ", lines.len()));
    let foreign = write(folder.path(), "foreign", "a,b\n1,2\n");
    refused(&["journal", "verify", &foreign], 3, &["neither a journal"]);
    refused(&["run", "mm1", "--format", "ndjson", "--log", &path], 2, &["--out"]);
}

#[test]
fn chaos_holds_and_draws_the_same_scenario_again() {
    let output = run(&["chaos", "--seeds", "16", "--format", "json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&result["held"], &result["violation"]), (&16.into(), &serde_json::Value::Null));
    let again = run(&["chaos", "--seeds", "16", "--format", "json", "--threads", "3"]);
    assert_eq!(output.stdout, again.stdout, "whatever the number of threads");
    let folder = tempfile::tempdir().expect("a folder");
    let drawn = run(&["chaos", "--seed", "5", "--show"]);
    let path = write(folder.path(), "drawn.toml", &drawn.stdout);
    assert_eq!(code(&run(&["run", &path])), 0, "what is drawn is a file that runs");
    refused(&["chaos", "--seeds", "0"], 2, &["0"]);
    refused(&["chaos", "--first", "18446744073709551615", "--seeds", "2"], 2, &["no 2 seeds"]);
}

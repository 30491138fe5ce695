//! `plimsoll compare` as scripts see it: verdicts that queueing theory knows, false alarms, the same
//! bytes on any number of threads, bad input, interrupts.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Three servers of one place each at load 0.7: small enough that hundreds of runs take seconds.
const FLEET: &str = r#"
title = "Three servers"
seed = 7
requests = 150

[balancer]
retry = { attempts = 1 }
timeouts = { connect = "none", first_token = "none", inter_token = "none", total = "none" }
queue = { max = 100_000, max_wait = "none" }

[[pool]]
name = "queue"
kind = "tool"
strategy = "round_robin"

[[pool.node]]
name = "server"
count = 3
backend = { slots = { servers = 1, queue = 100_000, service = { exponential = { mean = "100ms" } } } }

[workload]
arrivals = { poisson = { rate = 21 } }

[[expect]]
that = "failed < 1%"
"#;

fn plimsoll(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

/// Compares strategies on the fleet in a folder of its own.
fn compare(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fleet.toml");
    fs::write(&path, FLEET).expect("a file in a temporary folder");
    let path = path.to_string_lossy();
    let arguments: Vec<&str> = ["compare", &path].into_iter().chain(arguments.to_vec()).collect();
    plimsoll(&arguments).output().expect("the program starts")
}

fn told(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(output)))
}

fn difference<'a>(json: &'a Value, strategy: &str, metric: &str) -> &'a Value {
    let list = json["differences"].as_array().expect("a list");
    let mut found =
        list.iter().filter(|one| one["strategy"] == strategy && one["metric"] == metric);
    found.next().unwrap_or_else(|| panic!("no {metric} of {strategy}"))
}

#[test]
fn a_strategy_against_itself_raises_false_alarms_in_one_try_of_twenty() {
    let arguments =
        ["-s", "power_of_two", "--aa", "200", "--seeds", "10", "--format", "json", "--quiet"];
    let result = json(&compare(&arguments));
    assert_eq!((&result["tries"], &result["seeds"]), (&Value::from(200), &Value::from(10)));
    let metrics = result["metrics"].as_array().expect("a list");
    for name in ["latency.mean", "p50", "p95", "p99", "queue.mean"] {
        let Some(metric) = metrics.iter().find(|metric| metric["metric"] == name) else {
            // Without a queue in the balancer nothing waits there.
            assert_eq!(name, "queue.mean", "both sides differ in {name}");
            continue;
        };
        assert_eq!(metric["tries"], 200, "the sides of every pair have their own luck");
        let alarms = metric["alarms"].as_u64().expect("a count");
        assert!((4..=16).contains(&alarms), "{name}: {alarms} of 200");
    }
    let any = result["any"].as_u64().expect("a count");
    assert!(any <= 16, "any headline verdict: {any} of 200");
}

#[test]
fn theory_knows_the_verdicts() {
    // Random splitting makes each server an M/M/1 queue; the shortest queue is close to M/M/3.
    let list = "random,least_connections,power_of_two(choices=3)";
    let result =
        json(&compare(&["-s", list, "--requests", "2000", "--seeds", "5", "--format", "json"]));
    assert_eq!((&result["complete"], &result["baseline"]), (&true.into(), &"random".into()));
    for strategy in ["least_connections", "power_of_two(choices=3)"] {
        let found = difference(&result, strategy, "latency.mean");
        assert_eq!((&found["verdict"], &found["won"]), (&"better".into(), &5.into()), "{found}");
        assert!(found["interval"]["high"].as_f64().expect("a number") < 0.0);
    }
    // To look at all three is to look for the shortest queue; only ties are broken otherwise.
    let arguments =
        ["-s", list, "--baseline", "least_connections", "--requests", "2000", "--seeds", "5"];
    let other = json(&compare(&[&arguments[..], &["--format", "json"]].concat()));
    let found = difference(&other, "power_of_two(choices=3)", "latency.mean");
    assert!(found["verdict"] == "no_difference" || found["verdict"] == "same", "{found}");
    // The same pair the other way round.
    let (one, back) =
        (difference(&result, "least_connections", "p99"), difference(&other, "random", "p99"));
    assert_eq!(one["mean"].as_f64(), back["mean"].as_f64().map(|mean| -mean));
    // The family is another one, so the verdict may be; the test by itself is the same.
    assert_eq!((&one["won"], &one["p"]), (&back["lost"], &back["p"]));
}

#[test]
fn a_run_of_a_comparison_is_the_run_of_that_strategy_and_seed() {
    let arguments = ["-s", "scenario,random", "--seeds", "2", "--format", "json"];
    let result = json(&compare(&arguments));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fleet.toml");
    fs::write(&path, FLEET).expect("a file");
    let path = path.to_string_lossy();
    for (at, strategy) in ["round_robin", "random"].iter().enumerate() {
        for (number, seed) in ["7", "8"].iter().enumerate() {
            let run = plimsoll(&["run", &path, "--strategy", strategy, "--seed", seed])
                .args(["--format", "json"])
                .output();
            let run = json(&run.expect("the program starts"));
            let own = &result["strategies"][at]["metrics"]["p99"]["values"][number];
            assert_eq!(own, &run["latency_s"]["p99"], "{strategy} {seed}");
        }
    }
    assert_eq!(result["strategies"][0]["expectations_held"], 2);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for format in ["text", "json", "markdown"] {
        let arguments = ["-s", "all", "--seeds", "3", "--format", format];
        let one = compare(&[&arguments[..], &["--threads", "1"]].concat());
        let many = compare(&[&arguments[..], &["--jobs", "5"]].concat());
        assert!(!one.stdout.is_empty(), "{}", told(&one));
        assert_eq!(one.stdout, many.stdout, "{format}");
        assert!(told(&many).contains("on 5 threads"), "{}", told(&many));
    }
}

#[test]
fn a_result_goes_to_a_file_and_a_gate_to_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("result.md");
    let out = path.to_string_lossy();
    let arguments = ["-s", "least_connections,random", "--requests", "2000", "--seeds", "5"];
    let rest = ["--format", "markdown", "--out", &out, "--fail-if-worse", "-q"];
    let output = compare(&[&arguments[..], &rest].concat());
    assert_eq!(output.status.code(), Some(100), "{}", told(&output));
    assert!(told(&output).contains("worse than least_connections: random (latency.mean)"));
    assert!(output.stdout.is_empty());
    let written = fs::read_to_string(&path).expect("the result");
    assert!(written.starts_with("### fleet: 2 strategies, 5 seeds (7 to 11)"), "{written}");
    let better = ["-s", "random,least_connections", "--seeds", "5", "--fail-if-worse"];
    assert_eq!(compare(&better).status.code(), Some(0));
}

#[test]
fn bad_input_is_told_and_gives_no_result() {
    for (arguments, exit, words) in [
        (&["-s", "random"][..], 2, "one strategy is no comparison"),
        (&["-s", "random,,least_tokens"], 2, "an empty place"),
        (&["-s", "random, random"], 2, "use --aa"),
        (&["-s", "random,all"], 2, "`random` is named twice"),
        (&["-s", "random,leest_tokens"], 3, "least_tokens"),
        (&["-s", "random,power_of_two(choises=4)"], 3, "no setting `choises`"),
        (&["-s", "random,power_of_two(choices=4"], 3, "unknown strategy"),
        (&["--strategy", "random"], 2, "--strategies"),
        (&["--seeds", "0"], 2, "from 1 to 10000"),
        (&["--seed", "18446744073709551615"], 2, "there are no 10 seeds"),
        (&["--aa", "5", "--format", "markdown"], 2, "no Markdown"),
        (&["--requests", "0"], 3, "requests"),
    ] {
        let output = compare(arguments);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?} should say `{words}`:\n{told}");
        assert!(!told.contains("panicked"), "{told}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_interrupted_comparison_prints_what_it_has() {
    let arguments = ["compare", "mm1", "-s", "round_robin,random", "--seeds", "10000"];
    let child = plimsoll(&arguments)
        .args(["--requests", "20000", "--set", "warmup=1s", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(Duration::from_millis(1_500));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    let result = json(&output);
    assert_eq!(result["complete"], false);
    assert_eq!(result["runs"]["planned"], 20_000);
}

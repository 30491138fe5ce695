//! `--explain`: one request, every decision about it, as people and as programs read it.

use std::fs;
use std::process::{Command, Output, Stdio};

/// Three nodes, one of which refuses everything from the start.
const SCENARIO: &str = r#"
duration = "20s"
seed = 7

[balancer]
retry = { attempts = 3, budget = 1.0, backoff = { base = "50ms", cap = "1s" } }

[[pool]]
name = "chat"
strategy = "least_connections"

[[pool.node]]
name = "gpu"
count = 3
model = "llama"
price = { input = 0.20, output = 0.60 }
[pool.node.backend.slots]
servers = 4
queue = 100
service = { exponential = { mean = "1s" } }

[workload.arrivals]
poisson = { rate = 5 }

[[fault]]
at = "0s"
crash = { node = "gpu-1" }
"#;

fn run(scenario: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("small.toml");
    fs::write(&path, scenario).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("run").arg(&path).arg("-q").args(arguments);
    command.stdin(Stdio::null()).env("NO_COLOR", "1").output().expect("the program starts")
}

fn text(output: Vec<u8>) -> String {
    String::from_utf8(output).expect("text")
}

/// The stories of the first request under this strategy that needs more than one attempt.
fn retried(strategy: &str) -> (String, serde_json::Value) {
    for id in 0..20 {
        let id = id.to_string();
        let arguments = ["--strategy", strategy, "--explain", &id];
        let output = run(SCENARIO, &[&arguments[..], &["--format", "json"]].concat());
        let mut data: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        if data["explanations"][0]["attempts"].as_array().expect("a list").len() > 1 {
            let report = text(run(SCENARIO, &arguments).stdout);
            let at = report.find("\nRequest ").expect("a story");
            return (report[at..].to_owned(), data["explanations"][0].take());
        }
    }
    panic!("some request meets the broken node");
}

#[test]
fn in_shadow_mode_scores_are_tokens_and_what_predictions_would_choose_is_told() {
    let arguments = ["--strategy", "smart(mode=shadow)", "--explain", "60"];
    let told = text(run(SCENARIO, &arguments).stdout);
    let row = |start: &str| told.lines().find(|line| line.trim_start().starts_with(start));
    assert!(row("Candidates").is_some_and(|head| head.contains("  predicted")), "{told}");
    assert!(!told.contains("+ predicted"), "it is no part of the score: {told}");
    assert!(row("predictions").is_some_and(|row| row.contains("they would choose gpu-")), "{told}");
    let mut candidates =
        told.lines().filter(|line| line.contains("gpu-") && line.contains(" tok "));
    assert!(candidates.next().is_some(), "{told}");
}

#[test]
fn every_attempt_is_told_with_all_candidates() {
    let mut whole = String::new();
    for strategy in ["power_of_two", "least_tokens", "smart"] {
        let (told, data) = retried(strategy);
        whole += &format!("=== {strategy}\n{told}");
        let attempts = data["attempts"].as_array().expect("a list");
        let last = attempts.last().expect("an attempt");
        assert_eq!(data["fate"], "completed");
        assert_eq!(last["end"], "done");
        for attempt in attempts {
            let rows = attempt["candidates"].as_array().expect("a list");
            assert_eq!(rows.len(), 3, "all nodes of the tier");
            let of = |verdict: &str| rows.iter().filter(|row| row["verdict"] == verdict).count();
            assert_eq!(of("chosen"), 1);
            assert_eq!(
                of("chosen") + of("looked_at"),
                attempt["looked_at"].as_u64().unwrap() as usize
            );
            let chosen = rows.iter().find(|row| row["verdict"] == "chosen").unwrap();
            assert_eq!(chosen["node"], attempt["chosen"]);
            // Lower is better: nobody looked at beats the winner.
            let best = chosen["score"].as_f64().expect("these strategies score");
            let scores = rows.iter().filter_map(|row| row["score"].as_f64());
            assert!(scores.into_iter().all(|score| score >= best), "{attempt}");
        }
    }
    insta::assert_snapshot!(whole);
}

#[test]
fn asking_changes_nothing_else() {
    let plain = text(run(SCENARIO, &[]).stdout);
    let asked = text(run(SCENARIO, &["--explain", "3"]).stdout);
    assert!(asked.len() > plain.len() && asked.starts_with(&plain));
}

#[test]
fn a_request_that_never_came_is_told_with_how_many_did() {
    let output = run(SCENARIO, &["--explain", "5000"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let told = text(output.stderr);
    assert!(
        told.contains("request 5000 never arrived") && told.contains(" arrived: 0 to "),
        "{told}"
    );
}

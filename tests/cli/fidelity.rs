//! What others have measured or proved, held against runs of whole scenarios.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The result of a scenario.
fn result(folder: &Path, scenario: &str, more: &[&str]) -> Value {
    let file = folder.join("scenario.toml");
    std::fs::File::create(&file)
        .and_then(|mut f| f.write_all(scenario.as_bytes()))
        .expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["run", "--quiet", "--format", "json"])
        .args(more)
        .arg(&file)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// One engine with a cache for everything, and conversations of ten turns of 100 new tokens and 1,000
/// answered ones.
const TEN_TURNS: &str = r#"
    seed = 3
    requests = 200
    [[pool]]
    name = "engines"
    strategy = "round_robin"
    [[pool.node]]
    name = "one"
    model = "llama-3.1-8b"
    backend = { engine = { profile = "llama-3.1-8b/h100/vllm", kv_tokens = 10_000_000 } }
    [[class]]
    name = "chat"
    prompt_tokens = { constant = 100 }
    output_tokens = { constant = 1000 }
    [workload]
    arrivals = { poisson = { rate = 0.01 } }
    sessions = { turns = { constant = 10 }, think = { constant = "1s" }, system_tokens = 0, max_context = 100_000 }
"#;

#[test]
fn the_next_turn_finds_what_was_answered_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = result(folder.path(), TEN_TURNS, &[]);
    let tokens = |name: &str| told["tokens"][name].as_f64().expect("a number");
    // vLLM keeps full blocks of generated tokens: 49,491 of 50,500 tokens, less what fills no block.
    let found = tokens("cached_input") / tokens("input");
    assert!((0.970..=0.979).contains(&found), "{found}");
}

#[test]
fn rates_are_of_the_time_in_which_requests_came() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = r#"
        duration = "60s"
        [[pool]]
        name = "tools"
        kind = "tool"
        strategy = "round_robin"
        [[pool.node]]
        name = "tool"
        backend = { slots = { servers = 10_000, service = { constant = "30s" } } }
        [[class]]
        name = "calls"
        slo = { total = "31s" }
        [workload]
        arrivals = { poisson = { rate = 10 } }
    "#;
    let told = result(folder.path(), scenario, &[]);
    let arrived = told["requests"]["arrived"].as_f64().expect("a number");
    let seconds = told["arrivals_s"].as_f64().expect("a number");
    assert!((58.0..=60.0).contains(&seconds), "{seconds}");
    let rate = told["goodput"]["requests_per_s"].as_f64().expect("a number");
    assert!((rate - arrived / seconds).abs() < 1e-9, "{rate}: all were in time");
    assert!((8.0..12.0).contains(&rate), "{rate}, not 6.74");
    // The longest is told exactly, not as the edge of a bucket.
    assert_eq!(told["latency_s"]["max"], 30.0);
}

#[test]
fn the_log_has_the_first_token_of_what_streams() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("run.jsonl");
    let log_path = log.to_string_lossy().into_owned();
    let told = result(folder.path(), TEN_TURNS, &["--requests", "40", "--log", &log_path]);
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut firsts: Vec<f64> = lines
        .filter(|line| line["what"] == "outcome")
        .map(|line| line["first_token_ns"].as_f64().expect("each has one") / 1e9)
        .collect();
    firsts.sort_by(f64::total_cmp);
    let mean = firsts.iter().sum::<f64>() / firsts.len() as f64;
    let reported = told["ttft_s"]["mean"].as_f64().expect("a number");
    assert!((mean / reported - 1.0).abs() < 1e-9, "{mean} and {reported}");
}

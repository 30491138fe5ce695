//! Goldens: every file in `scenarios` runs and its expectations hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where real traces may be: beside the checkout, or where `PLIMSOLL_TRACES` says.
fn traces() -> PathBuf {
    std::env::var_os("PLIMSOLL_TRACES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces"),
        PathBuf::from,
    )
}

fn run(scenario: &Path, trace: Option<&Path>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("run").arg(scenario).stdin(Stdio::null());
    if let Some(trace) = trace {
        command.arg("--trace").arg(trace);
    }
    let output = command.output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(folder).expect("the scenarios");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(paths.len() >= 6);
    paths
}

/// The real trace of a scenario, or a small one in the same format made up here.
fn trace_of(name: &str, folder: &Path) -> Option<PathBuf> {
    let (real, made_up) = match name {
        "azure-chat" => ("azure_llm_2023_conv.csv", azure()),
        "mooncake-chat" => ("mooncake_fast25_conversation_first45min.jsonl", mooncake()),
        _ => return None,
    };
    let real = traces().join(real);
    if real.is_file() {
        return Some(real);
    }
    println!("{name}: the real trace is not here; a made-up one stands in");
    let path = folder.join(name);
    fs::write(&path, made_up).expect("a temporary file");
    Some(path)
}

fn azure() -> String {
    let row = |at: u32| {
        let (minute, second) = (at / 60, at % 60);
        let (prompt, answer) = (500 + at * 37 % 2_000, 20 + at * 13 % 400);
        format!("2023-11-16 18:{minute:02}:{second:02}.5000000,{prompt},{answer}\n")
    };
    let rows: String = (0..600).flat_map(|at| vec![row(at); 4]).collect();
    format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}")
}

fn mooncake() -> String {
    let row = |at: u64| {
        let (prompt, answer) = (4_000 + at * 997 % 20_000, 50 + at * 31 % 600);
        let tick = at / 8 * 3_000;
        format!(
            "{{\"timestamp\": {tick}, \"input_length\": {prompt}, \"output_length\": {answer}, \
             \"hash_ids\": [0, {at}]}}\n"
        )
    };
    (0..1_600).map(row).collect()
}

#[test]
fn every_scenario_runs_and_its_expectations_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in scenarios() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let trace = trace_of(&name, folder.path());
        let (code, text) = run(&path, trace.as_deref());
        assert_eq!(code, Some(0), "{name}: {text}");
        assert!(text.contains("Expectations:"), "{name} has expectations: {text}");
    }
}

#[test]
fn real_traces_are_replayed_whole() {
    for (scenario, file, rows) in [
        ("azure-chat", "azure_llm_2023_conv.csv", "19,366"),
        ("mooncake-chat", "mooncake_fast25_conversation_first45min.jsonl", "8,940"),
    ] {
        let trace = traces().join(file);
        if !trace.is_file() {
            println!("{scenario}: skipped, {file} is not here");
            continue;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("scenarios")
            .join(scenario)
            .with_extension("toml");
        let (code, text) = run(&path, Some(&trace));
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(rows), "{scenario} reports {rows} requests: {text}");
        let says_so = text.contains("jitter");
        assert_eq!(says_so, scenario == "mooncake-chat", "the jitter is said: {text}");
    }
}

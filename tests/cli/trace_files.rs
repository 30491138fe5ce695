//! Traces as the program opens them: packed, in folders, by map; and what it says of bad ones.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, content).expect("a file in a temporary folder");
    path.to_string_lossy().into_owned()
}

fn packed(content: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(content.as_bytes()).expect("memory");
    packer.finish().expect("memory")
}

/// A scenario with this workload.
fn scenario(folder: &Path, workload: &str) -> String {
    let content = format!(
        "[[pool]]\nname = \"p\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"n\"\n\
         backend = {{ slots = {{ servers = 4, service = \"10ms\" }} }}\n\
         [workload]\n{workload}\n"
    );
    write(folder, "s.toml", content)
}

/// How many requests arrived.
fn arrived(arguments: &[&str]) -> u64 {
    let output = run(&[&["run"], arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    value["requests"]["arrived"].as_u64().unwrap_or_else(|| panic!("{value}"))
}

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
    2023-01-01 00:00:00,1,1\n2023-01-01 00:00:01,1,1\n2023-01-01 00:00:05.5,1,1\n";

#[test]
fn packed_traces_are_unpacked_on_the_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = scenario(folder.path(), "arrivals = { trace = { azure = {} } }");
    let plain = write(folder.path(), "a.csv", AZURE);
    assert_eq!(arrived(&[&file, "--trace", &plain]), 3);
    let twice = [packed(AZURE), packed("2023-01-01 00:00:06,1,1\n")].concat();
    let packed = write(folder.path(), "a.csv.gz", &twice);
    assert_eq!(arrived(&[&file, "--trace", &packed]), 4, "members follow each other");
    let cut = write(folder.path(), "cut.gz", &twice[..twice.len() - 12]);
    let output = run(&["run", &file, "--trace", &cut]);
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stderr);
    assert!(told.contains("cannot be read any further") && told.contains("cut.gz:"), "{told}");
}

#[test]
fn folders_of_clients_are_played() {
    let folder = tempfile::tempdir().expect("a folder");
    let clients = folder.path().join("clients");
    fs::create_dir(&clients).expect("a folder");
    write(&clients, "chunk-0-trace.csv", "0,1,1,Gamma,1,1\n600,2,1,Weibull,0.7,1\n1200,0,0,,0,0\n");
    let lengths = "{\"0\": {\"input_tokens\": \"{9: 1.0}\", \"output_tokens\": \"{3: 1.0}\"}}";
    write(&clients, "chunk-0-dataset.json.gz", packed(lengths));
    write(&clients, "chunk-4-trace.csv.gz", packed("0,0.5,1,Gamma,1,1\n"));
    let path = clients.to_string_lossy();
    let file = scenario(
        folder.path(),
        &format!("arrivals = {{ trace = {{ servegen = {{ path = \"{path}\" }} }} }}"),
    );
    let count = arrived(&[&file]);
    // 600 + 1200 + 300 in the mean.
    assert!((1_800..2_400).contains(&count), "{count}");
    let output = run(&["run", &file]);
    let told = text(&output.stderr);
    assert!(told.contains("2 clients") && told.contains("1 client has no lengths"), "{told}");
    let tenth = arrived(&[&file, "--set", "workload.arrivals.trace.servegen.rate_scale=0.1"]);
    assert!((140..280).contains(&tenth), "{tenth}");

    write(&clients, "chunk-0-trace.csv", "0,1,1,Gamma,1,1\n600,-2,1,Weibull,0.7,1\n");
    let output = run(&["run", &file]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(told.contains("chunk-0-trace.csv:2:5"), "{told}");
    let output = run(&["run", &file, "--trace", &folder.path().to_string_lossy()]);
    assert!(text(&output.stderr).contains("no file chunk-N-trace.csv"), "{output:?}");
}

#[test]
fn failures_that_were_left_out_are_counted_in_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: String =
        (0..400).map(|at| format!("{at}.5,10,{}\n", u32::from(at % 4 > 0))).collect();
    let trace = format!("Timestamp,Request tokens,Response tokens\n{rows}");
    let trace = write(folder.path(), "b.csv.gz", packed(&trace));
    let file = scenario(folder.path(), "arrivals = { trace = { burstgpt = {} } }");
    assert_eq!(arrived(&[&file, "--trace", &trace]), 300);
    let told = run(&["run", &file, "--trace", &trace]);
    let told = text(&told.stderr);
    assert!(told.contains("100 rows without response tokens were left out"), "{told}");
}

#[test]
fn check_says_what_arrives() {
    let folder = tempfile::tempdir().expect("a folder");
    let workloads = [
        "arrivals = { users = { count = 200, think = \"12s\" } }",
        "arrivals = { poisson = { rate = 2 } }\nsessions = { turns = 5, think = \"30s\" }",
        "arrivals = { users = { count = 20, think = \"1s\" } }\n\
         sessions = { turns = 5, think = \"30s\" }",
        "arrivals = { trace = { azure = { path = \"a.csv\" } } }",
        "arrivals = { trace = { bailian = {} } }",
        "arrivals = { trace = { csv = { time = \"t\", input = \"i\", output = \"o\" } } }",
        "arrivals = { trace = { servegen = { path = \"folder\", rate_scale = 0.01 } } }",
        "arrivals = { trace = { sessions = { start = { poisson = { rate = 1 } } } } }",
        "arrivals = { trace = { sessions = { pace = \"recorded\", \
         start = { users = { count = 8 } } } } }",
    ];
    let lines: Vec<String> = workloads
        .iter()
        .map(|workload| {
            let file = scenario(folder.path(), workload);
            let output = run(&["check", &file, "--duration", "60s"]);
            let told = text(&output.stdout).to_owned() + text(&output.stderr);
            let line = told.lines().find(|line| line.starts_with("  workload"));
            line.unwrap_or_else(|| panic!("{told}")).trim().to_owned()
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

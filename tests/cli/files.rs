//! Exit codes, signals and files: every code of the table is met, nothing that is written is lost in
//! silence, and what is read may come by a pipe.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use plimsoll::cli::failure::EXITS;

fn plimsoll(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    outcome(&plimsoll(arguments).output().expect("the program starts"))
}

fn outcome(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, content).expect("a file in a temporary folder");
    path.to_string_lossy().into_owned()
}

fn piped(arguments: &[&str]) -> Child {
    let mut command = plimsoll(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn kill(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// A run that never ends by itself.
const ENDLESS: &[&str] =
    &["run", "mm1", "--requests", "2000000000", "--duration", "1000000h", "--format", "json"];

/// A scenario to which nobody comes.
const QUIET: &str = "duration = \"1us\"\n[[pool]]\nname = \"p\"\nstrategy = \"random\"\n\
    [[pool.node]]\nname = \"a\"\nbackend = { slots = { servers = 1, service = \"10ms\" } }\n\
    [workload]\narrivals = { poisson = { rate = 0.001 } }\n";

#[test]
fn every_exit_code_of_the_table_is_met_and_there_is_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (journal, touched) = (inside("journal"), inside("touched"));
    let broken = write(folder.path(), "broken.toml", "duration = 7\n");
    let quiet = write(folder.path(), "quiet.toml", QUIET);
    let short = ["run", "mm1", "--requests", "200", "--set", "expect=[]", "--quiet"];
    let met = |more: &[&str]| run(&[&short[..], more].concat()).0;
    let mut codes = vec![
        met(&["--journal", &journal]),
        met(&["--out", "/nowhere/at/all"]),
        run(&["run", "no-such-scenario"]).0,
        run(&["run", &broken]).0,
        run(&["run", &quiet]).0,
        met(&["--fail-if", "p50 > 1us"]),
    ];
    let text = fs::read_to_string(&journal).expect("a journal");
    fs::write(&touched, text.replacen("\"done\":{\"input\":", "\"done\":{\"input\":1", 1))
        .expect("written");
    codes.push(run(&["journal", "verify", &touched]).0);
    for signal in ["HUP", "INT", "TERM"] {
        let child = piped(ENDLESS);
        std::thread::sleep(Duration::from_millis(500));
        kill(&child, signal);
        let (code, report, told) = outcome(&child.wait_with_output().expect("it ends"));
        assert!(report.contains("\"complete\": false"), "{signal}: {report}{told}");
        codes.push(code);
    }
    let table: Vec<i32> = EXITS.iter().map(|exit| i32::from(exit.code)).collect();
    assert_eq!(codes, table);
    let help = run(&["--help"]).1;
    for exit in EXITS {
        let words = format!("{} {}", exit.code, exit.short);
        assert!(help.replace('\n', " ").contains(&words), "{words}: {help}");
    }
    assert_eq!(table.iter().collect::<BTreeSet<_>>().len(), EXITS.len(), "each stands once");
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let script = "trap '' HUP; exec \"$0\" \"$@\"";
    let child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_plimsoll")])
        .args(ENDLESS)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(Duration::from_millis(500));
    kill(&child, "HUP");
    std::thread::sleep(Duration::from_millis(300));
    kill(&child, "TERM");
    assert_eq!(outcome(&child.wait_with_output().expect("it ends")).0, 143);
}

#[test]
fn a_log_that_is_cut_off_by_its_reader_ends_the_run_quietly() {
    let mut child = piped(&["run", "mm1", "--format", "ndjson", "--quiet"]);
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    out.read_line(&mut String::new()).expect("a line");
    drop(out);
    let (code, _, told) = outcome(&child.wait_with_output().expect("it ends"));
    assert_eq!((code, told.as_str()), (0, ""));
}

#[test]
fn one_file_for_two_outputs_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = write(folder.path(), "mine.toml", include_str!("../../scenarios/mm1.toml"));
    let one = folder.path().join("one").to_string_lossy().into_owned();
    let dotted = folder.path().join("./one").to_string_lossy().into_owned();
    let nodes = folder.path().join("nodes.csv").to_string_lossy().into_owned();
    let under = folder.path().join("one/more").to_string_lossy().into_owned();
    let dir = folder.path().to_string_lossy().into_owned();
    for (outputs, says) in [
        (["--out", &one, "--journal", &dotted], "--out and --journal"),
        (["--out", &one, "--log", &one], "--out and --log"),
        (["--journal", &one, "--log", &dotted], "--journal and --log"),
        (["--export", &dir, "--out", &nodes], "--export"),
        (["--export", &one, "--out", &dotted], "--out and --export"),
        (["--journal", &one, "--export", &under], "--journal and --export"),
        (["--export", &scenario, "--seed", "7"], "--export is"),
        (["--seed", "7", "--log", &dir], "a folder"),
        (["--seed", "7", "--out", &scenario], "the scenario"),
        (["--seed", "7", "--log", "/dev/stdout"], "the result and --log"),
        (["--journal", "/dev/stderr", "--log", "/proc/self/fd/2"], "--journal and --log"),
        (["--out", "/dev/full", "--log", "/dev/full"], "--out and --log"),
    ] {
        let arguments = [&["run", &scenario, "--requests", "50"], &outputs[..]].concat();
        let (code, _, told) = run(&arguments);
        assert!(code == 2 && told.contains(says), "{outputs:?}: {code} {told}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "{outputs:?}");
    }
}

#[test]
fn no_command_writes_over_what_it_reads_by_whichever_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let mm1 = include_str!("../../scenarios/mm1.toml");
    let scenario = write(folder.path(), "mine.toml", mm1);
    std::os::unix::fs::symlink(&scenario, inside("link.toml")).expect("a link");
    fs::hard_link(&scenario, inside("other.toml")).expect("a link");
    for out in ["mine.toml", "link.toml", "other.toml", "./mine.toml"].map(inside) {
        let arguments = ["compare", &scenario, "--seeds", "2", "-s", "random,smart", "--out", &out];
        let (code, _, told) = run(&arguments);
        assert!(code == 2 && told.contains("the scenario"), "{out}: {code} {told}");
        let (code, _, told) = run(&["mock", &scenario, "--out", &out]);
        assert!(code == 2 && told.contains("the scenario"), "{out}: {code} {told}");
    }
    let trace = write(folder.path(), "all.csv", AZURE);
    let more = ["--trace", &trace, "--export", &inside("")];
    let (code, _, told) = run(&[&["run", "azure-chat"], &more[..]].concat());
    assert!(code == 2 && told.contains("--export would write over the trace"), "{code} {told}");
    assert_eq!(fs::read_to_string(&trace).expect("it is still there"), AZURE);
    assert_eq!(fs::read_to_string(&scenario).expect("it is still there"), mm1);
}

#[test]
fn what_goes_to_stdout_by_name_goes_where_the_shell_says_and_links_stay_links() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let short = ["run", "mm1", "--requests", "50", "--set", "expect=[]", "--quiet"];
    let (code, report, _) = run(&[&short[..], &["--out", "/dev/stdout"]].concat());
    assert!(code == 0 && report.starts_with("mm1"), "{report}");
    // Appended to, as a shell does with `>>`: what is there already stays.
    let appended = write(folder.path(), "appended", "before\n");
    let file = fs::OpenOptions::new().append(true).open(&appended).expect("a file");
    let mut command = plimsoll(&[&short[..], &["--out", "/dev/stdout"]].concat());
    assert!(command.stdout(file).status().expect("it ends").success());
    let text = fs::read_to_string(&appended).expect("a file");
    assert!(text.starts_with("before\nmm1"), "{text}");
    assert!(Path::new("/dev/stdout").is_symlink(), "it is what it was");

    let real = write(folder.path(), "real", "old");
    std::os::unix::fs::symlink(&real, inside("link")).expect("a link");
    assert_eq!(run(&[&short[..], &["--out", &inside("link")]].concat()).0, 0);
    assert!(Path::new(&inside("link")).is_symlink());
    assert!(fs::read_to_string(&real).expect("a file").starts_with("mm1"));

    // A report that would go to the file that a log replaces.
    let both = inside("both");
    let file = fs::File::create(&both).expect("a file");
    let mut command = plimsoll(&[&short[..], &["--log", &both]].concat());
    let refused = command.stdout(file).status().expect("it ends");
    assert_eq!(refused.code(), Some(2));
}

/// A device that takes nothing: a disk that is full.
const FULL: &str = "/dev/full";

#[test]
fn a_mock_writes_neither_over_what_it_reads_nor_what_nobody_could_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let quiet = write(folder.path(), "quiet.toml", QUIET);
    let (code, _, told) = run(&["mock", &quiet, "--out", &quiet]);
    assert!(code == 2 && told.contains("--out would write over the scenario"), "{code}: {told}");
    assert_eq!(fs::read_to_string(&quiet).expect("it is still there"), QUIET);
    let live = folder.path().join("live.toml");
    let out = live.to_string_lossy();
    let (code, _, told) = run(&["mock", "cached-answers", "--out", &out]);
    assert!(code == 2 && told.contains("kept in simulations only"), "{code}: {told}");
    assert!(!live.exists());
}

#[test]
fn what_can_no_longer_be_written_ends_a_run_or_it_goes_on_as_the_person_chose() {
    if !Path::new(FULL).exists() {
        eprintln!("skipped: there is no {FULL} here");
        return;
    }
    for output in ["--log", "--journal"] {
        let arguments = ["run", "mm1", "--requests", "20000", "--set", "expect=[]", output, FULL];
        let (code, report, told) = run(&arguments);
        assert_eq!((code, report.as_str()), (1, ""), "{output}: {told}");
        assert!(told.contains(FULL), "{told}");
        let arguments = [&arguments[..], &["--if-unwritable", "continue"]].concat();
        let (code, report, told) = run(&arguments);
        assert_eq!(code, 0, "{output}: {told}");
        assert!(report.starts_with("mm1"), "the report is whole: {report}");
        let at_once = told.lines().position(|line| line.contains("no longer written"));
        let at_the_end = told.lines().position(|line| line.contains("not all of it was written"));
        assert!(at_once.is_some() && at_once < at_the_end, "{output}: {told}");
        assert!(told.contains("warning: ") && !told.contains("error: "), "it is no error: {told}");
    }
}

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
    2023-11-16 18:15:46.68,374,44\n2023-11-16 18:15:50.99,396,109\n";

#[test]
fn scenarios_traces_and_journals_come_from_stdin() {
    let from_stdin = |arguments: &[&str], input: &[u8]| {
        let mut command = plimsoll(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        // Whoever refuses a command line reads nothing.
        let _ = pipe.write_all(input);
        drop(pipe);
        outcome(&child.wait_with_output().expect("it ends"))
    };
    let scenario = include_str!("../../scenarios/mm1.toml");
    let short = ["--requests", "50", "--set", "expect=[]", "--format", "json"];
    let (code, report, told) =
        from_stdin(&[&["run", "-"], &short[..]].concat(), scenario.as_bytes());
    assert_eq!(code, 0, "{told}");
    assert!(report.contains("\"scenario\": \"stdin\""), "{report}");
    let (code, _, told) = from_stdin(&["check", "-"], b"duration = 7\n");
    assert!(code == 3 && told.contains("<stdin>:1:12"), "{told}");
    let arguments = ["run", "azure-chat", "--trace", "-", "--format", "json"];
    let (code, report, told) = from_stdin(&arguments, AZURE.as_bytes());
    assert_eq!(code, 0, "{told}");
    assert!(report.contains("\"arrived\": 2"), "{report}");
    let (code, _, told) = from_stdin(&["run", "-", "--trace", "-"], AZURE_SCENARIO.as_bytes());
    assert!(code == 2 && told.contains("named twice"), "{code} {told}");
    let arguments = ["compare", "azure-chat", "--trace", "-", "--strategies", "random,smart"];
    let (code, _, told) = from_stdin(&arguments, AZURE.as_bytes());
    assert!(code == 3 && told.contains("anew"), "{code} {told}");
    let (code, _, told) = from_stdin(&["journal", "verify", "-"], b"no journal\n");
    assert!(code == 3 && told.contains("neither a journal nor a decision log"), "{told}");
}

const AZURE_SCENARIO: &str = include_str!("../../scenarios/azure-chat.toml");

#[test]
fn a_table_whose_fields_end_at_tabs_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "t.tsv", "when\tprompt\tanswer\n0\t10\t20\n1.5\t11\t21\n2\t12\t22\n");
    let path = folder.path().join("t.tsv");
    let scenario = |separator: &str| {
        let csv = format!(
            "csv = {{ path = \"{}\", time = \"when\", input = \"prompt\", output = \"answer\", \
             separator = \"{separator}\" }}",
            path.display()
        );
        let text = format!(
            "[[pool]]\nname = \"p\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"a\"\nbackend = \
             {{ slots = {{ servers = 1, service = \"10ms\" }} }}\n[workload]\narrivals = {{ trace = \
             {{ {csv} }} }}\n"
        );
        write(folder.path(), "s.toml", text)
    };
    let (code, report, told) = run(&["run", &scenario("\\t"), "--format", "json"]);
    assert_eq!(code, 0, "{told}");
    assert!(report.contains("\"arrived\": 3"), "{report}");
    for wrong in ["\\n", "\\u0000", "\\u001b", "a", "."] {
        let (code, _, told) = run(&["run", &scenario(wrong)]);
        assert!(code == 3 && told.contains("`separator`"), "{wrong}: {told}");
        assert!(!told.contains('\u{1b}'), "{told}");
    }
}

#[test]
fn tables_are_straight_whatever_letters_names_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes: String = ["港湾-一号機", "tug-two", "부두-three", "gpt-4.1"]
        .iter()
        .map(|name| {
            format!(
                "[[pool.node]]\nname = \"{name}\"\nbackend = {{ slots = {{ servers = 9, service = \
                 \"10ms\" }} }}\n"
            )
        })
        .collect();
    let text = format!(
        "duration = \"30s\"\n[[pool]]\nname = \"main\"\nstrategy = \"round_robin\"\n{nodes}\
         [workload]\narrivals = {{ poisson = {{ rate = 20 }} }}\n\
         [[expect]]\nthat = \"gpt-4.1.p99 < 1s\"\n"
    );
    let file = write(folder.path(), "wide.toml", text);
    let set = "pool.main.node.gpt-4.1.weight=2";
    let (code, report, told) = run(&["run", &file, "--quiet", "--set", set]);
    assert_eq!(code, 0, "{told}");
    let rows = report.lines().filter(|line| line.contains(" main ") && line.contains('%'));
    let cells = |text: &str| text.chars().map(|c| if c < '\u{1100}' { 1 } else { 2 }).sum();
    let places: Vec<(usize, usize)> = rows
        .map(|row| (cells(row.split(" main ").next().unwrap_or_default()), cells(row)))
        .collect();
    assert_eq!(places.len(), 4, "{report}");
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}\n{report}");
}

#[test]
fn lists_are_of_what_was_asked_for_and_lists_in_errors_are_whole() {
    let (code, all, _) = run(&["list", "profiles"]);
    let (_, some, _) = run(&["list", "profiles", "A100"]);
    assert_eq!(code, 0);
    assert!(some.lines().count() < all.lines().count() / 4, "{some}");
    assert!(some.lines().skip(4).filter(|line| line.starts_with("  ")).all(|l| l.contains("a100")));
    for (what, name) in [
        ("scenarios", "failover"),
        ("strategies", "least_kv"),
        ("faults", "crash"),
        ("metrics", "goodput"),
        ("settings", "balancer.retry"),
    ] {
        let (code, text, told) = run(&["list", what, name]);
        assert!(code == 0 && text.contains(name), "{what}: {told}");
        let (code, _, told) = run(&["list", what, "zzz"]);
        assert!(code == 2 && told.contains("zzz"), "{what}: {told}");
    }
    let (_, scenarios, _) = run(&["list", "scenarios"]);
    let (_, _, told) = run(&["run", "zzz"]);
    for name in scenarios.lines().filter_map(|line| line.split(' ').next()) {
        assert!(told.contains(&format!("`{name}`")), "{name}: {told}");
    }
    let (_, _, told) = run(&["run", "mm1", "--strategy", "zzz"]);
    assert!(told.contains("`smart`") && told.contains("`score`"), "{told}");
}

/// A gateway to nodes that are not there, and the line that says where it listens.
#[cfg(feature = "live")]
fn gateway(folder: &Path, arguments: &[&str]) -> (Child, String) {
    let text = "[[pool]]\nname = \"p\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"a\"\n\
        url = \"http://localhost:9/v1\"\n";
    let config = write(folder, "gate.toml", text);
    let mut child = piped(&[&["serve", &config], arguments].concat());
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("a pipe");
    // One byte after the other: what follows is read by whoever waits for the end.
    while !line.ends_with('\n') {
        let mut byte = [0];
        out.read_exact(&mut byte).expect("a line");
        line.push(char::from(byte[0]));
    }
    (child, line)
}

#[cfg(feature = "live")]
#[test]
fn a_gateway_listens_where_a_name_says_and_outlives_a_hangup_and_keeps_its_log_and_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log").to_string_lossy().into_owned();
    let (child, line) = gateway(folder.path(), &["--listen", "localhost:0", "--log", &log]);
    assert!(line.starts_with("listening on http://"), "{line}");
    kill(&child, "HUP");
    std::thread::sleep(Duration::from_millis(200));
    kill(&child, "INT");
    let (code, report, told) = outcome(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, 0, "nothing was cut: {told}");
    assert!(report.contains("Requests"), "{report}");
    let (code, said, told) = run(&["journal", "verify", &log]);
    assert_eq!(code, 0, "{said}{told}");
    for wrong in ["localhost", ":80", "localhost:http", "localhost:99999"] {
        let (code, _, told) = run(&["serve", "mm1", "--listen", wrong]);
        assert!(code == 2 && told.contains("localhost:8080"), "{wrong}: {told}");
    }
}

#[cfg(feature = "live")]
#[test]
fn a_gateway_whose_log_cannot_be_written_says_so_at_once_and_ends_if_it_is_to() {
    if !Path::new(FULL).exists() {
        eprintln!("skipped: there is no {FULL} here");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let ask = |line: &str| {
        let at = line.trim().trim_start_matches("listening on http://").trim_end_matches("/v1");
        let mut socket = std::net::TcpStream::connect(at).expect("it listens");
        let body = "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
        write!(
            socket,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("it answers");
        answer
    };
    for output in ["--log", "--journal"] {
        let listen = ["--listen", "127.0.0.1:0", output, FULL];
        let (mut child, line) = gateway(folder.path(), &listen);
        let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
        assert!(ask(&line).starts_with("HTTP/1.1 50"), "nodes are not there");
        let mut first = String::new();
        told.read_line(&mut first).expect("a line, while it serves");
        assert!(first.contains(FULL) && first.contains("no longer written"), "{first}");
        assert!(ask(&line).starts_with("HTTP/1.1 50"), "it goes on");
        kill(&child, "TERM");
        assert_eq!(outcome(&child.wait_with_output().expect("it ends")).0, 0, "nothing was cut");

        let (child, line) =
            gateway(folder.path(), &[&listen[..], &["--if-unwritable", "end"]].concat());
        ask(&line);
        let (code, _, told) = outcome(&child.wait_with_output().expect("it ends by itself"));
        assert!(code == 1 && told.contains(FULL), "{output}: {code} {told}");
    }
}

#[test]
fn a_scenario_of_ones_own_passes_every_check_and_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for (name, arguments) in [
        ("plain.toml", &[][..]),
        ("engines.toml", &["--engine", "llama-3.1-8b/h100/vllm", "--rate", "12"]),
        ("mixed.toml", &["--hosted", "openai/gpt-4o", "--engine", "qwen3-8b/h100/vllm"]),
    ] {
        let file = path(name);
        let (code, said, told) = run(&[&["new", &file], arguments].concat());
        assert_eq!((code, said.as_str()), (0, ""), "{told}");
        let (code, said, told) = run(&["check", "--strict", &file]);
        assert_eq!((code, told.as_str()), (0, ""), "{said}");
        let (code, report, told) = run(&["run", &file, "--quiet"]);
        assert_eq!(code, 0, "{report}{told}");
        let (code, _, told) = run(&["new", &file]);
        assert!(code == 2 && told.contains("is there already"), "{told}");
    }
    let (code, text, _) = run(&["new"]);
    assert!(code == 0 && text.contains("[[pool]]"), "no questions off a terminal: {text}");
    let (code, _, told) = run(&["new", "--hosted", "openai/gpt-4oo"]);
    assert!(code == 2 && told.contains("openai/gpt-4o"), "{told}");
}

#[test]
fn check_advises_on_stderr_and_strictly_it_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let mistakes = "duration = \"1m\"\n[[pool]]\nname = \"p\"\nstrategy = \"round_robin\"\n\
        [[pool.node]]\nname = \"a\"\nbackend = { slots = { servers = 4, service = \"1s\" } }\n\
        [workload]\narrivals = { poisson = { rate = 50 } }\n";
    let file = write(folder.path(), "mistakes.toml", mistakes);
    let names = ["no_health_checks", "load_above_capacity", "no_lower_tier", "no_expectations"];
    let (code, said, told) = run(&["check", &file]);
    assert!(code == 0 && said.contains("ok"), "{said}");
    let (strict, _, errors) = run(&["check", "--strict", &file]);
    assert_eq!(strict, 3, "{errors}");
    for name in names {
        assert!(told.contains(&format!("warning[{name}]")), "{name}: {told}");
        assert!(errors.contains(&format!("error[{name}]")), "{name}: {errors}");
        assert!(run(&["list", "advice"]).1.contains(name), "{name}");
    }
    assert!(told.contains("mistakes.toml:9:12"), "places are told: {told}");
    let (_, said, _) = run(&["check", "--defaults", "quickstart"]);
    assert!(
        said.contains("\n[balancer.retry]\n  min_per_second") && said.contains("defaults in force"),
        "{said}"
    );
}

//! The gateway as a program: the decision log it writes verifies, every touched byte is found out, and
//! one that is killed leaves a log whose lines hold as far as they go.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use plimsoll::live::http::{HttpLimits, Shutdown, answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::gate::{self, Reply, Upstream, chat, exchange, http, post, say, stream_of};

/// A gateway in a process of its own.
struct Serving {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// The key of every node, where one is wanted.
const KEY_ENV: &str = "PLIMSOLL_TEST_KEY";
/// A proxy that would swallow everything.
const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start(folder: &Path, urls: &[String]) -> Serving {
        Serving::start_at(folder, urls, &["--listen", "127.0.0.1:0"])
    }

    /// Writes the configuration of a gateway before these endpoints. Returns it and where its log belongs.
    fn configure(folder: &Path, urls: &[String]) -> (PathBuf, PathBuf) {
        let nodes: String = urls
            .iter()
            .enumerate()
            .map(|(index, url)| {
                let node = format!("[[pool.node]]\nname = \"n{index}\"\nurl = \"{url}\"\n");
                format!("{node}key_env = \"{KEY_ENV}\"\n")
            })
            .collect();
        let text = format!(
            "duration = \"1h\"\n[balancer]\n{}\n[[pool]]\nname = \"p\"\nstrategy = \
             \"round_robin\"\n{nodes}[[class]]\nname = \"c\"\noutput_tokens = {{ constant = 9 }}\n\
             [workload]\narrivals = {{ poisson = {{ rate = 1 }} }}\n",
            gate::SETTINGS
        );
        let (config, log) = (folder.join("gate.toml"), folder.join("decisions.ndjson"));
        std::fs::write(&config, text).expect("a file");
        (config, log)
    }

    fn start_at(folder: &Path, urls: &[String], options: &[&str]) -> Serving {
        let (config, log) = Serving::configure(folder, urls);
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.arg("serve");
        Serving::begin(command, options, &config, log)
    }

    /// Begins a gateway with a command that ends in `serve`.
    fn begin(mut command: Command, options: &[&str], config: &Path, log: PathBuf) -> Serving {
        let mut child = command
            .args(options)
            .arg("--log")
            .arg(&log)
            .arg(config)
            .env("NO_COLOR", "1")
            .env(KEY_ENV, gate::KEY)
            .envs(PROXIES.map(|name| (name, "http://127.0.0.1:9")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log.with_extension("stderr")).expect("a file"))
            .spawn()
            .expect("the program starts");
        // A letter at a time: what follows the line is for others.
        let mut line = Vec::new();
        let out = child.stdout.as_mut().expect("a pipe");
        while line.last() != Some(&b'\n') {
            let mut letter = [0];
            std::io::Read::read_exact(out, &mut letter).expect("a line");
            line.extend(letter);
        }
        let line = String::from_utf8(line).expect("text");
        let address = line.trim().strip_prefix("listening on http://").expect("where it listens");
        let address = address.strip_suffix("/v1").expect("the base").parse().expect("an address");
        Serving { child, address, log }
    }

    /// Asks for so many answers, one after the other, and returns their statuses.
    async fn ask(&self, count: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..count {
            let request = post(&chat(true).to_string());
            statuses.push(exchange(self.address, &request).await.status);
        }
        statuses
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    fn stop(&mut self) {
        self.signal("-INT");
        self.child.wait().expect("it ends");
    }

    /// Stops it, whether or not it still runs.
    fn stop_any(&mut self) {
        if self.child.try_wait().expect("a child").is_none() {
            self.stop();
        }
    }
}

fn verify(file: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["journal", "verify"])
        .arg(file)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts");
    let said = [stdout, stderr].concat();
    (status.code().expect("a code"), String::from_utf8_lossy(&said).into_owned())
}

async fn endpoints() -> [Upstream; 2] {
    let broken = Upstream::start(vec![say(http("500 No", "", "{}"))]).await;
    [broken, Upstream::start(stream_of("hello")).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_log_of_a_gateway_verifies_and_a_touched_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let ends = endpoints().await;
    let mut gateway = Serving::start(folder.path(), &[ends[0].url(), ends[1].url()]);
    assert_eq!(gateway.ask(6).await, [200; 6], "failures are tried again elsewhere");
    gateway.stop();
    let bytes = std::fs::read(&gateway.log).expect("a log");
    let text = String::from_utf8(bytes.clone()).expect("text");
    let count = |what: &str| text.matches(&format!("\"what\":\"{what}\"")).count();
    assert_eq!(count("arrival"), 6, "{text}");
    assert!(count("decision") > 6 && count("retry") > 0, "failures are in it: {text}");
    let (code, said) = verify(&gateway.log);
    assert_eq!(code, 0, "{said}");
    let touched = folder.path().join("touched.ndjson");
    for place in [10, bytes.len() / 3, bytes.len() / 2, bytes.len() - 3] {
        let mut other = bytes.clone();
        other[place] ^= 1;
        std::fs::write(&touched, &other).expect("a file");
        let line = bytes[..place].iter().filter(|byte| **byte == b'\n').count() + 1;
        let (code, said) = verify(&touched);
        assert!(code == 101 && said.contains(&format!("line {line}")), "byte {place}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_leaves_a_log_that_holds_as_far_as_it_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let ends = endpoints().await;
    let mut gateway = Serving::start(folder.path(), &[ends[0].url(), ends[1].url()]);
    assert_eq!(gateway.ask(4).await, [200; 4]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.child.kill().expect("it is killed");
    gateway.child.wait().expect("it is gone");
    let text = std::fs::read_to_string(&gateway.log).expect("a log");
    assert_eq!(text.matches("\"what\":\"arrival\"").count(), 4, "nothing was held back: {text}");
    let lines = text.matches('\n').count();
    let (code, said) = verify(&gateway.log);
    assert_eq!(code, 101, "whoever cuts a log leaves the same: {said}");
    let held = format!("the {lines} lines before are as they were written");
    assert!(said.contains(&held), "{said}");
}

/// Kills gateways in the middle of their work, again and again. Whoever had an answer is in the log, which
/// holds as far as it goes: at most its last line is torn.
async fn killed(rounds: usize) {
    let slow = [vec![gate::Do::Wait(3)], stream_of("hello")].concat();
    let end = Upstream::start(slow).await;
    for round in 0..rounds {
        let folder = tempfile::tempdir().expect("a folder");
        let mut gateway = Serving::start(folder.path(), &[end.url()]);
        let (address, answered) = (gateway.address, Arc::new(AtomicUsize::new(0)));
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let answered = Arc::clone(&answered);
                tokio::spawn(async move {
                    while let Ok(mut stream) = TcpStream::connect(address).await {
                        let request = post(&chat(true).to_string());
                        let mut raw = Vec::new();
                        let sent = stream.write_all(request.as_bytes()).await;
                        let read = stream.read_to_end(&mut raw).await;
                        if sent.is_err() || read.is_err() {
                            return;
                        }
                        if String::from_utf8_lossy(&raw).contains("[DONE]") {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        while answered.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Some moment or other, another one each round.
        tokio::time::sleep(Duration::from_millis(37 * round as u64 % 200)).await;
        gateway.child.kill().expect("it is killed");
        gateway.child.wait().expect("it is gone");
        for one in asking {
            one.await.expect("no panic");
        }
        let answered = answered.load(Ordering::Relaxed);
        let bytes = std::fs::read(&gateway.log).expect("a log");
        let text = String::from_utf8_lossy(&bytes);
        let (whole, torn) = text.rsplit_once('\n').expect("a line");
        let ended = whole.matches("\"fate\":\"completed\"").count();
        assert!(
            answered > 0 && ended >= answered,
            "round {round}: {ended} of {answered}: {whole:.900}"
        );
        let (code, said) = verify(&gateway.log);
        let lines = whole.matches('\n').count() + 1;
        let held = format!("the {lines} lines before are as they were written");
        assert!(code == 101 && said.contains(&held), "round {round}, {} torn: {said}", torn.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_at_any_moment_has_everybody_in_its_log() {
    killed(12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fifty times: run by name"]
async fn a_gateway_that_is_killed_fifty_times_has_everybody_in_its_log() {
    killed(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_started_anew_keeps_what_the_last_one_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    let end = Upstream::start(stream_of("hello")).await;
    let journal = folder.path().join("journal");
    let options = ["--listen", "127.0.0.1:0", "--journal", &journal.to_string_lossy()];
    let mut logs = Vec::new();
    for round in 0..3 {
        let mut gateway = Serving::start_at(folder.path(), &[end.url()], &options);
        assert_eq!(gateway.ask(2).await, [200; 2]);
        if round == 1 {
            gateway.child.kill().expect("it is killed");
        }
        gateway.stop_any();
        for file in [&gateway.log, &journal] {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &std::fs::metadata(file).expect("a file").permissions(),
            );
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        logs.push(std::fs::read(&gateway.log).expect("a log"));
        let (code, said) = verify(&journal);
        assert!(code == 0 || round == 1, "{said}");
    }
    let log = folder.path().join("decisions.ndjson");
    for (number, earlier) in logs[..2].iter().enumerate() {
        for file in [&log, &journal] {
            let aside = format!("{}.{}", file.display(), number + 1);
            let kept = std::fs::read(&aside).unwrap_or_else(|error| panic!("{aside}: {error}"));
            assert!(file == &journal || &kept == earlier, "{aside}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let end = Upstream::start(stream_of("hello")).await;
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // Open to be read, so that it can be opened to be written; but nobody reads.
    let _reader = std::fs::File::options().read(true).write(true).open(&pipe).expect("a pipe");
    for output in ["--journal", "--log"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.arg("serve");
        let (config, log) = Serving::configure(folder.path(), &[end.url()]);
        let pipe = pipe.to_string_lossy();
        let (options, log) = match output {
            "--log" => (vec!["--listen", "127.0.0.1:0"], PathBuf::from(&*pipe)),
            _ => (vec!["--listen", "127.0.0.1:0", "--journal", &pipe], log),
        };
        let mut gateway = Serving::begin(command, &options, &config, log);
        // Much more than a pipe holds.
        assert_eq!(gateway.ask(400).await, [200; 400], "{output}");
        gateway.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_descriptors_run_out_nodes_are_not_blamed_and_requests_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let end = Upstream::start(stream_of("hello")).await;
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_plimsoll");
    command.args(["-c", "ulimit -n 96; exec \"$0\" serve \"$@\"", program]);
    let (config, log) = Serving::configure(folder.path(), &[end.url()]);
    let mut gateway = Serving::begin(command, &["--listen", "127.0.0.1:0"], &config, log);
    let mut idle = Vec::new();
    for _ in 0..150 {
        let mut stream = TcpStream::connect(gateway.address).await.expect("a connection");
        let asked = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(asked).await.expect("sent");
        let read = tokio::time::timeout(gate::PATIENCE, stream.read(&mut [0; 999])).await;
        assert!(read.expect("in time").expect("an answer") > 0);
        idle.push(stream);
    }
    assert_eq!(gateway.ask(5).await, [200; 5], "the idle ones make room");
    drop(idle);
    assert_eq!(gateway.ask(5).await, [200; 5]);
    gateway.stop();
    let text = std::fs::read_to_string(&gateway.log).expect("a log");
    for blamed in ["\"what\":\"node\"", "refused", "overloaded"] {
        assert!(!text.contains(blamed), "{blamed}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_in_nothing_that_a_gateway_leaves_or_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let echo = format!("{{\"error\":{{\"message\":\"bad key {}\"}}}}", gate::KEY);
    let mut ends = Vec::new();
    for status in ["400 Bad", "401 No", "403 No", "422 Bad", "429 Slow", "500 No", "503 No"] {
        ends.push(Upstream::start(vec![say(http(status, "", &echo))]).await);
    }
    // In the middle of a stream, in a header, and as no HTTP at all.
    let cut = [gate::SSE, gate::ROLE, &gate::word("a"), "data: ", &echo, "\n\n"].concat();
    let header = format!("x-key: {}\r\nlocation: http://x/?k={0}\r\n", gate::KEY);
    ends.push(Upstream::start(vec![say(cut)]).await);
    ends.push(Upstream::start(vec![say(http("302 Found", &header, &echo))]).await);
    ends.push(Upstream::start(vec![say(format!("{}\r\n\r\n", gate::KEY))]).await);
    ends.push(Upstream::start(stream_of("hello")).await);
    let urls: Vec<String> = ends.iter().map(Upstream::url).collect();
    let journal = folder.path().join("journal");
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--journal",
        &journal.to_string_lossy(),
        "--admin",
        "127.0.0.1:0",
    ];
    let mut gateway = Serving::start_at(folder.path(), &urls, &options);
    let mut out = BufReader::new(gateway.child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let admin = line.trim().trim_start_matches("figures on http://").trim_end_matches("/metrics");
    let admin: SocketAddr = admin.parse().unwrap_or_else(|_| panic!("an address: {line}"));
    let mut said = Vec::new();
    for round in 0..60 {
        let mut asked = chat(round % 3 > 0);
        asked["user"] = "somebody".into();
        let reply = exchange(gateway.address, &post(&asked.to_string())).await;
        said.push(format!("{} {}", reply.head, reply.body));
    }
    for path in ["/v1/models", "/healthz", "/readyz"] {
        said.push(format!("{:?}", gate::get(gateway.address, path).await));
    }
    said.push(format!("{:?}", gate::get(admin, "/metrics").await));
    let mut frames = TcpStream::connect(admin).await.expect("a connection");
    frames.write_all(b"GET /frames HTTP/1.0\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut some = vec![0; 4_000];
    frames.read_exact(&mut some).await.expect("a picture");
    said.push(String::from_utf8_lossy(&some).into_owned());
    drop(frames);
    if let Ok(limits) = std::fs::read_to_string(format!("/proc/{}/limits", gateway.child.id())) {
        let dumps = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
        let dumps: Vec<&str> = dumps.expect("a limit").split_whitespace().take(2).collect();
        assert_eq!(dumps, ["0", "0"], "no dump is made");
    }
    let shown = std::fs::read(format!("/proc/{}/cmdline", gateway.child.id())).unwrap_or_default();
    said.push(String::from_utf8_lossy(&shown).into_owned());
    gateway.stop();
    std::io::Read::read_to_string(&mut out, &mut line).expect("a report");
    said.push(line);
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let path = entry.expect("a file").path();
        said.push(String::from_utf8_lossy(&std::fs::read(&path).expect("bytes")).into_owned());
    }
    assert!(said.len() > 66, "log, journal, stderr and configuration are looked at");
    let asked = said.iter().map(String::len).sum::<usize>();
    assert!(asked > 50_000, "{asked} bytes");
    for text in said {
        for key in [gate::KEY, gate::CLIENT_KEY, "upstream-secret", "12345678"] {
            assert!(!text.contains(key), "{key}: {text:.2000}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_what_the_options_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let end = Upstream::start(stream_of("hello")).await;
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--max-body",
        "2KiB",
        "--max-headers",
        "8",
        "--head-timeout",
        "200ms",
        "--body-timeout",
        "200ms",
    ];
    let mut gateway = Serving::start_at(folder.path(), &[end.url()], &options);
    let to = gateway.address;
    let large = chat(true).to_string().replace("12345678", &"a".repeat(4_000));
    assert_eq!(exchange(to, &post(&large)).await.status, 413);
    let many = "a: b\r\n".repeat(9);
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{many}\r\n");
    assert_eq!(exchange(to, &many).await.status, 431);
    let whole = post(&chat(true).to_string());
    assert_eq!(exchange(to, &whole[..whole.len() - 1]).await.status, 408, "the body is not whole");
    let mut half = TcpStream::connect(to).await.expect("a connection");
    half.write_all(b"GET /hea").await.expect("sent");
    let closed = tokio::time::timeout(gate::PATIENCE, half.read(&mut [0; 9])).await;
    assert!(closed.is_ok(), "half a head is not waited for");
    assert_eq!(gateway.ask(1).await, [200]);
    gateway.stop();
}

/// What says "served" to everybody at this address, until it is told to stop.
fn says_served(listener: TcpListener) -> (watch::Sender<Shutdown>, JoinHandle<()>) {
    let (stop, stopping) = watch::channel(Shutdown::No);
    let service = |_| async { answer(StatusCode::OK, "text/plain", "served") };
    (stop, plimsoll::live::http::serve(listener, HttpLimits::default(), service, stopping))
}

// One thread: nothing is heard of the system while this one talks to it.
#[tokio::test(flavor = "current_thread")]
async fn who_has_connected_is_served_whatever_the_server_has_heard_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, server) = says_served(listener);
    // It listens, and has heard of one.
    let mut kept = Vec::from([TcpStream::connect(address).await.expect("a connection")]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let late = std::net::TcpStream::connect(address).expect("a connection");
    late.set_nonblocking(true).expect("a socket");
    stop.send(Shutdown::Gently).expect("it listens");
    kept.push(TcpStream::from_std(late).expect("a socket"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    // What they ask for was on its way.
    for mut stream in kept {
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        sent.expect("it is open");
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).await.expect("a clean end");
        assert_eq!(Reply::read(&raw).body, "served");
    }
    let began = Instant::now();
    server.await.expect("no panic");
    assert!(began.elapsed() < Duration::from_secs(1), "nobody is waited for any more");
}

#[tokio::test]
async fn who_connects_and_says_nothing_holds_up_no_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, server) = says_served(listener);
    let _silent = TcpStream::connect(address).await.expect("a connection");
    stop.send(Shutdown::Gently).expect("it listens");
    tokio::time::timeout(Duration::from_secs(3), server).await.expect("it ends").expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_refuses_nothing_and_a_clean_end_is_a_success() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let end = Upstream::start(stream_of("hello")).await;
    let urls = [end.url()];
    let grace = ["--listen", "127.0.0.1:0", "--grace", "2s"];
    let mut old = Serving::start_at(folders[0].path(), &urls, &grace);
    let address = old.address;
    let asking = tokio::spawn(async move {
        for _ in 0..400 {
            let reply = exchange(address, &post(&chat(true).to_string())).await;
            assert_eq!(reply.text(), "hello");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    old.signal("-HUP");
    tokio::time::sleep(Duration::from_millis(200)).await;
    old.signal("-TERM");
    loop {
        // Still served, and said to leave.
        let ready = gate::get(address, "/readyz").await;
        if ready.status == 503 {
            assert!(ready.head.contains("connection: close"), "{ready:?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let listen = address.to_string();
    let mut new = Serving::start_at(folders[1].path(), &urls, &["--listen", &listen]);
    let code = tokio::task::spawn_blocking(move || old.child.wait().expect("it ends").code()).await;
    assert_eq!(code.expect("no panic"), Some(0), "nothing was cut");
    asking.await.expect("every request is answered");
    new.stop();
    assert_eq!(new.child.wait().expect("it ends").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let end = Upstream::start(vec![gate::Do::Hang]).await;
    let mut gateway = Serving::start(folder.path(), &[end.url()]);
    let address = gateway.address;
    let asking = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = post(&chat(true).to_string());
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("sent");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    while end.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.signal("-INT");
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.signal("-INT");
    assert_eq!(gateway.child.wait().expect("it ends").code(), Some(130), "requests were cut");
    asking.await.expect("no panic");
}

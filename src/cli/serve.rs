//! `plimsoll serve`: the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGHUP, SIGTERM};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::books::Books;
use super::distinct;
use super::failure::{CliFailure, FailureKind, code_of_signal};
use super::limits::LimitOptions;
use super::result::{IfUnwritable, ResultOutput};
use super::signals::EndingSignals;
use super::{Changes, Color, endpoints, load, output};
use crate::balance::{Balancer, Event, Input};
use crate::command::{Frame, Mode};
use crate::live::admin::{self, AdminDesk, AdminWords};
use crate::live::driver::Observer;
use crate::live::gateway::{self, ClassOption, GatewayParts, KeepAlive};
use crate::live::hints::RequestHints;
use crate::live::http::Shutdown;
use crate::metrics::Watch;
use crate::report::frames::FrameWriter;
use crate::report::{self, prometheus};
use crate::scenario::Scenario;
use crate::unit::{Span, Time};

/// Where figures are told, and what they are told from.
type AdminListen<'a> = (&'a str, Arc<AdminDesk>);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

#[derive(Clone, Debug, Args)]
pub(super) struct Serve {
    /// A scenario whose nodes have a `url`
    config: String,
    #[command(flatten)]
    changes: Changes,
    /// Where to listen, such as localhost:8080 or 0.0.0.0:80
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: String,
    /// Answer `GET /metrics`, for Prometheus, and `GET /frames`, for `plimsoll top`, on this address: whoever
    /// can reach it can read them
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<String>,
    /// After a signal to end, go on for so long while /readyz says that no more should come, such as 500ms or
    /// 10s; a gateway that is started at the same address meanwhile takes over without a refusal
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span)]
    grace: Span,
    /// Write the journal to this file
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Write every decision and outcome to this file, a line of JSON each, chained by hashes
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// When the log or the journal can no longer be written
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = IfUnwritable::Continue)]
    if_unwritable: IfUnwritable,
    #[command(flatten)]
    limits: LimitOptions,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

impl Serve {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let scenario = load::scenario(&self.config, &self.changes, self.color)?;
        let scenario = scenario.for_real_nodes().for_gateway().with_models_by_name();
        let mut scenario =
            scenario.map_err(|why| CliFailure::new(FailureKind::Invalid, why.to_owned()))?;
        // Real requests all count: a gateway has no beginning that would be left out.
        scenario.labels.warmup = Time::ZERO;
        load::expectations(&scenario, self.color)?;
        scenario.check_live().map_err(|problems| load::drawn(&problems, self.color))?;
        if let Some(note) = load::one_balancer(&scenario) {
            output::warn(&format!("note: {note}"));
        }
        let mut limits = self.limits.limits();
        let client = endpoints::client(&scenario, limits.answers_max)?;
        // Each connection of a client may want one to an endpoint; files and probes want some too.
        let most = endpoints::raise_descriptors().map(|all| (all.saturating_sub(64) / 2).max(8));
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        limits.connections_max = limits.connections_max.min(most);
        let classes = classes(&scenario);
        let parts = GatewayParts {
            config: scenario.balancer.clone(),
            client,
            models: models(&scenario),
            classes,
            cors_origins: scenario.gateway.cors_origins.clone(),
            plain: scenario.plain_pools(),
            keep_alive: keep_alive(&scenario),
            hints: RequestHints {
                regions: scenario.regions.clone(),
                attributes: scenario.attributes.clone(),
            },
            limits,
        };
        let to_stdout = [&self.journal, &self.log].into_iter().flatten();
        // A log on stdout has it for itself, as programs that read it want: the rest is said on stderr.
        let has_stdout = to_stdout.into_iter().any(|path| distinct::is_stdout(path));
        let say = if has_stdout { Say::Stderr } else { Say::Stdout };
        let kept = ResultOutput {
            out: has_stdout.then(|| PathBuf::from("/dev/null")),
            journal: self.journal.clone(),
            log: self.log.clone(),
            if_unwritable: self.if_unwritable,
            ..ResultOutput::default()
        };
        let (stop, stopped) = watch::channel(Shutdown::No);
        // What only a screen needs is collected where one may look.
        let watch = if self.admin.is_some() { Watch::Screen } else { Watch::Report };
        let books = Books::open(&scenario, &kept, watch, true)?;
        let desk = Arc::new(AdminDesk::default());
        let frame = live_frame(&scenario);
        let observer =
            ServeObserver { books, stop: stop.clone(), desk: Arc::clone(&desk), frame, ticks: 0 };
        let runtime = endpoints::runtime()?;
        let grace = Duration::from_nanos(self.grace.0);
        let admin = self.admin.as_deref().map(|listen| (listen, desk));
        let served = serve((&self.listen, admin, say, grace), parts, observer, (stop, stopped));
        let (end, observer, cut) = runtime.block_on(served)?;
        runtime.shutdown_timeout(Duration::from_secs(1));
        let summary = observer.books.close(end, true)?;
        say.text(&report::text(&summary, &[], &[]))?;
        Ok(cut.map_or(0, code_of_signal))
    }
}

/// Where a gateway says what it has to say.
#[derive(Clone, Copy, Debug)]
enum Say {
    Stdout,
    Stderr,
}

impl Say {
    fn text(self, text: &str) -> Result<(), CliFailure> {
        match self {
            Say::Stdout => output::print(text),
            Say::Stderr => {
                output::warn(text.trim_end());
                Ok(())
            }
        }
    }
}

/// An address as `bind` takes it: a name or a number, a colon and a port.
fn address(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match parts.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("write a host and a port, such as localhost:8080 or [::1]:8080".to_owned()),
    }
}

/// Reads a span of time as scenarios have it.
fn span(text: &str) -> Result<Span, String> {
    Span::parse(text)
}

/// Listens at an address. Another gateway may listen there too: until it closes, connections go to both.
async fn bind(listen: &str) -> std::io::Result<TcpListener> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host(listen).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let bound = socket.and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Says what others may do who reach an address that is not of this machine alone.
fn reached_by_others(address: SocketAddr, may: &str) {
    if !address.ip().to_canonical().is_loopback() {
        output::warn(&format!("note: whoever can reach {address} can {may}"));
    }
}

/// Hears signals: one to end lets the gateway go on for the grace, then end gently; a second one ends it at
/// once. Returns the signal that cut requests short, if one did.
async fn obey(
    mut signals: EndingSignals,
    stop: watch::Sender<Shutdown>,
    (say, grace, drain): (Say, Duration, Duration),
) -> Option<usize> {
    let signal = loop {
        tokio::select! {
            // A terminal that is closed, or whoever wants a new configuration: there is none to be read.
            signal = signals.next() => match signal as i32 {
                SIGHUP => { let _ = say.text("note: hangup; the gateway goes on\n"); }
                _ => break signal,
            },
            () = stop.closed() => return None,
        }
    };
    let second = async { while signals.next().await as i32 == SIGHUP {} };
    tokio::pin!(second);
    let _ = stop.send(Shutdown::Soon);
    // Whoever sits at a terminal waits for nobody who might still come.
    let grace = if signal as i32 == SIGTERM { grace } else { Duration::ZERO };
    let hurried = tokio::select! {
        () = &mut second => true,
        () = stop.closed() => return None,
        () = tokio::time::sleep(grace) => false,
    };
    if !hurried {
        let _ = stop.send(Shutdown::Gently);
        tokio::select! {
            () = &mut second => {}
            () = tokio::time::sleep(drain) => {}
            () = stop.closed() => return None,
        }
    }
    let _ = stop.send(Shutdown::Now);
    Some(signal)
}

/// Serves until a signal asks for an end, or something cannot be written that has to be. Returns when it
/// ended, who observed it, and the signal that cut requests short, if one did.
async fn serve(
    (listen, admin, say, grace): (&str, Option<AdminListen<'_>>, Say, Duration),
    parts: GatewayParts,
    mut observer: ServeObserver,
    (stop, stopped): (watch::Sender<Shutdown>, watch::Receiver<Shutdown>),
) -> Result<(Time, ServeObserver, Option<usize>), CliFailure> {
    let failed = |what: &str, error: std::io::Error| {
        CliFailure::new(FailureKind::Unexpected, format!("cannot {what}: {error}"))
    };
    let listener =
        bind(listen).await.map_err(|error| failed(&format!("listen on {listen}"), error))?;
    let address = listener.local_addr().map_err(|error| failed("listen", error))?;
    let signals = EndingSignals::listen()?;
    let mut where_to = format!("listening on http://{address}/v1\n");
    reached_by_others(address, "use the keys of these endpoints");
    if let Some((admin, desk)) = admin {
        let bound = TcpListener::bind(admin).await;
        let listener = bound.map_err(|error| failed(&format!("listen on {admin}"), error))?;
        let address = listener.local_addr().map_err(|error| failed("listen", error))?;
        reached_by_others(address, "read these figures");
        where_to.push_str(&format!("figures on http://{address}/metrics\n"));
        let words = AdminWords {
            page_type: prometheus::CONTENT_TYPE,
            writer: FrameWriter::default,
            line: FrameWriter::line,
        };
        admin::serve(listener, desk, words, stopped.clone());
    }
    say.text(&where_to)?;
    let told = tokio::spawn(obey(signals, stop, (say, grace, parts.limits.drain)));
    // The owner of the balancer is a task like those that talk to it: so a word to it wakes no other thread.
    let owner = tokio::spawn(async move {
        let end = gateway::serve(parts, listener, &mut observer, stopped).await;
        (end, observer)
    });
    let (end, observer) = owner.await.map_err(|error| {
        CliFailure::new(FailureKind::Unexpected, format!("the gateway broke off: {error}"))
    })?;
    Ok((end, observer, told.await.unwrap_or_default()))
}

fn keep_alive(scenario: &Scenario) -> KeepAlive {
    let of = |span: Span| Duration::from_nanos(span.0);
    let settings = &scenario.gateway;
    KeepAlive { every: settings.keep_alive.map(of), begin_after: settings.begin_after.map(of) }
}

fn classes(scenario: &Scenario) -> Vec<ClassOption> {
    let option = |class: &crate::workload::ClassSpec| ClassOption {
        name: class.name.clone(),
        priority: class.priority,
        deadline: class.deadline,
        model: class.model,
    };
    scenario.classes.iter().map(option).collect()
}

fn models(scenario: &Scenario) -> Vec<String> {
    let of = |node: &crate::balance::NodeSpec| {
        scenario.models.get(node.model.index()).cloned().unwrap_or_default()
    };
    scenario.balancer.nodes.iter().map(of).collect()
}

/// A picture in so many ticks.
const FRAME_TICKS: u64 = 5;

/// A picture of a gateway, without figures yet.
fn live_frame(scenario: &Scenario) -> Frame {
    Frame {
        groups: load::groups(scenario),
        ..Frame::new(Mode::Live, &scenario.name, scenario.seed)
    }
}

struct ServeObserver {
    books: Books,
    /// Ends the gateway.
    stop: watch::Sender<Shutdown>,
    /// Where figures and pictures are asked for.
    desk: Arc<AdminDesk>,
    /// A picture without figures.
    frame: Frame,
    ticks: u64,
}

impl ServeObserver {
    /// What has to be written and cannot be ends the gateway, gently.
    fn look(&self) {
        if self.books.has_failed() {
            self.stop.send_if_modified(|now| {
                let first = matches!(now, Shutdown::No);
                if first {
                    *now = Shutdown::Gently;
                }
                first
            });
        }
    }
}

impl Observer for ServeObserver {
    fn record(&mut self, now: Time, input: &Input) {
        self.books.record(now, input);
        self.look();
    }

    fn hear(&mut self, now: Time, event: &Event) {
        self.books.hear(now, event);
        self.look();
    }

    fn tick(&mut self, now: Time, _balancer: &Balancer) {
        self.books.flush();
        self.look();
        let collector = &mut self.books.collector;
        self.desk.make_page(|| prometheus::page(collector, now));
        self.ticks += 1;
        if self.ticks.is_multiple_of(FRAME_TICKS) {
            self.desk.make_frame(|| {
                let snapshot = Arc::new(collector.snapshot(now));
                Arc::new(Frame { snapshot, ..self.frame.clone() })
            });
        }
    }
}

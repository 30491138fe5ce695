//! `plimsoll serve`: the gateway.

use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::books::Books;
use super::distinct;
use super::failure::{CliFailure, FailureKind, code_of_signal};
use super::result::{IfUnwritable, ResultOutput};
use super::signals::EndingSignals;
use super::{Changes, Color, endpoints, load, output};
use crate::balance::{Event, Input};
use crate::live::driver::Observer;
use crate::live::gateway::{self, ClassOption, GatewayParts};
use crate::live::hints::RequestHints;
use crate::live::http::{HttpLimits, Shutdown};
use crate::metrics::Watch;
use crate::report;
use crate::scenario::Scenario;
use crate::unit::Time;

#[derive(Clone, Debug, Args)]
pub(super) struct Serve {
    /// A scenario whose nodes have a `url`
    config: String,
    #[command(flatten)]
    changes: Changes,
    /// Where to listen, such as localhost:8080 or 0.0.0.0:80
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: String,
    /// Write the journal to this file
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Write every decision and outcome to this file, a line of JSON each, chained by hashes
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// When the log or the journal can no longer be written
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = IfUnwritable::Continue)]
    if_unwritable: IfUnwritable,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

impl Serve {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let scenario = load::scenario(&self.config, &self.changes, self.color)?;
        let scenario = scenario.for_real_nodes().with_models_by_name();
        let mut scenario =
            scenario.map_err(|why| CliFailure::new(FailureKind::Invalid, why.to_owned()))?;
        // Real requests all count: a gateway has no beginning that would be left out.
        scenario.labels.warmup = Time::ZERO;
        load::expectations(&scenario, self.color)?;
        scenario.check_live().map_err(|problems| load::drawn(&problems, self.color))?;
        if let Some(note) = load::one_balancer(&scenario) {
            output::warn(&format!("note: {note}"));
        }
        let client = endpoints::client(&scenario)?;
        let limits = HttpLimits::default();
        let classes = classes(&scenario);
        let parts = GatewayParts {
            config: scenario.balancer.clone(),
            client,
            models: models(&scenario),
            classes,
            cors_origins: scenario.gateway.cors_origins.clone(),
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
        let books = Books::open(&scenario, &kept, Watch::Report, true)?;
        let mut observer = ServeObserver { books, stop: stop.clone() };
        let runtime = endpoints::runtime()?;
        let served = serve((&self.listen, say), parts, &mut observer, (stop, stopped));
        let (end, signal) = runtime.block_on(served)?;
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        let summary = observer.books.close(end, true)?;
        say.text(&report::text(&summary, &[], &[]))?;
        Ok(code_of_signal(signal))
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

/// Serves until a signal asks for an end, or something cannot be written that has to be. Returns when it
/// ended, and by which signal.
async fn serve(
    (listen, say): (&str, Say),
    parts: GatewayParts,
    observer: &mut ServeObserver,
    (stop, stopped): (watch::Sender<Shutdown>, watch::Receiver<Shutdown>),
) -> Result<(Time, usize), CliFailure> {
    let failed = |what: &str, error: std::io::Error| {
        CliFailure::new(FailureKind::Unexpected, format!("cannot {what}: {error}"))
    };
    let bound = TcpListener::bind(listen).await;
    let listener = bound.map_err(|error| failed(&format!("listen on {listen}"), error))?;
    let address = listener.local_addr().map_err(|error| failed("listen", error))?;
    let mut signals = EndingSignals::listen()?;
    say.text(&format!("listening on http://{address}/v1\n"))?;
    let told = tokio::spawn(async move {
        let told = tokio::select! {
            signal = signals.next() => signal,
            () = stop.closed() => return 0,
        };
        let _ = stop.send(Shutdown::Gently);
        // The second one does not wait for anyone.
        tokio::select! {
            _ = signals.next() => {}
            () = stop.closed() => {}
        }
        let _ = stop.send(Shutdown::Now);
        told
    });
    let end = gateway::serve(parts, listener, observer, stopped).await;
    Ok((end, told.await.unwrap_or(0)))
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

struct ServeObserver {
    books: Books,
    /// Ends the gateway.
    stop: watch::Sender<Shutdown>,
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
}

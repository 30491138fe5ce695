//! `plimsoll serve`: the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::books::Books;
use super::failure::{CliFailure, FailureKind};
use super::result::ResultOutput;
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
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Write the journal to this file
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Write every decision and outcome to this file, a line of JSON each, chained by hashes
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

impl Serve {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let scenario = load::scenario(&self.config, &self.changes, self.color)?.for_real_nodes();
        load::expectations(&scenario, self.color)?;
        load::no_bound(&scenario, "a gateway")?;
        load::no_grades(&scenario, "a gateway")?;
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
            hints: RequestHints {
                regions: scenario.regions.clone(),
                attributes: scenario.attributes.clone(),
            },
            limits,
        };
        let kept = ResultOutput {
            journal: self.journal.clone(),
            log: self.log.clone(),
            ..ResultOutput::default()
        };
        let mut observer =
            ServeObserver { books: Books::open(&scenario, &kept, Watch::Report, true)? };
        let runtime = endpoints::runtime()?;
        let (end, signal) = runtime.block_on(serve(self.listen, parts, &mut observer))?;
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        let summary = observer.books.close(end, true)?;
        output::print(&report::text(&summary, &[], &[]))?;
        Ok(128 + signal)
    }
}

/// Serves until SIGINT or SIGTERM. Returns when it ended, and by which signal.
async fn serve(
    listen: SocketAddr,
    parts: GatewayParts,
    observer: &mut ServeObserver,
) -> Result<(Time, u8), CliFailure> {
    let failed = |what: &str, error: std::io::Error| {
        CliFailure::new(FailureKind::Unexpected, format!("cannot {what}: {error}"))
    };
    let bound = TcpListener::bind(listen).await;
    let listener = bound.map_err(|error| failed(&format!("listen on {listen}"), error))?;
    let address = listener.local_addr().map_err(|error| failed("listen", error))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| failed("hear signals", error))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| failed("hear signals", error))?;
    let (stop, stopped) = watch::channel(Shutdown::No);
    output::print(&format!("listening on http://{address}/v1\n"))?;
    let told = tokio::spawn(async move {
        let told = tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
        };
        let _ = stop.send(Shutdown::Gently);
        // The second one does not wait for anyone.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stop.closed() => {}
        }
        let _ = stop.send(Shutdown::Now);
        told
    });
    let end = gateway::serve(parts, listener, observer, stopped).await;
    Ok((end, told.await.unwrap_or(2)))
}

fn classes(scenario: &Scenario) -> Vec<ClassOption> {
    let option = |class: &crate::workload::ClassSpec| ClassOption {
        name: class.name.clone(),
        priority: class.priority,
        deadline: class.deadline,
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
}

impl Observer for ServeObserver {
    fn record(&mut self, now: Time, input: &Input) {
        self.books.record(now, input);
    }

    fn hear(&mut self, now: Time, event: &Event) {
        self.books.hear(now, event);
    }
}

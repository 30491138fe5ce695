//! `plimsoll mock`: the nodes of a scenario as real OpenAI-compatible servers.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::distinct::{self, NamedFile};
use super::failure::{CliFailure, FailureKind, code_of_signal};
use super::signals::EndingSignals;
use super::{Changes, Color, load, output};
use crate::live::mock::{Mock, MockParts, NodeName};
use crate::report::table::{cells, padded};
use crate::scenario::{self, Scenario};

#[derive(Clone, Debug, Args)]
pub(super) struct MockServers {
    /// A file, `-` for stdin, or the name of a built-in scenario
    scenario: String,
    /// The port of the first node; each further node has the next one, the admin server the last
    /// [default: free ports]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Write the scenario with the address of each node filled in to this file
    #[arg(long, value_name = "LIVE.toml")]
    out: Option<PathBuf>,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    #[command(flatten)]
    changes: Changes,
}

impl MockServers {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let scenario = load::scenario(&self.scenario, &self.changes, self.color)?;
        self.check_out(&scenario)?;
        load::no_bound(&scenario, "a mock")?;
        // A node without a back end has nothing to imitate.
        scenario.check_simulable().map_err(|problems| load::drawn(&problems, self.color))?;
        let failed = |error: std::io::Error| {
            CliFailure::new(FailureKind::Unexpected, format!("cannot start the mock: {error}"))
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async {
            // Signals first: whoever reads the addresses may send one at once.
            let mut signals = EndingSignals::listen()?;
            let mock = Mock::start(parts(&scenario)?, self.port).map_err(failed)?;
            self.tell(&scenario, &mock)?;
            let signal = signals.next().await;
            mock.stop().await;
            Ok(code_of_signal(signal))
        })
    }

    /// Fails if the file to be written would be lost, or of no use.
    fn check_out(&self, scenario: &Scenario) -> Result<(), CliFailure> {
        let addresses = NamedFile { what: "the list of addresses", ..NamedFile::result(None) };
        let written = NamedFile::option("--out", self.out.as_ref());
        let written: Vec<NamedFile<'_>> =
            [Some(addresses), written].into_iter().flatten().collect();
        let read = NamedFile::input("the scenario", scenario.file());
        distinct::check(&written, &[read], None)?;
        let keeps = scenario.balancer.routes.iter().any(|route| route.cache.is_some());
        if self.out.is_some() && keeps {
            let message = "answers are kept in simulations only: nothing could be run from --out";
            let failure = CliFailure::new(FailureKind::Usage, message);
            return Err(failure.hint("leave `cache` out of the scenario"));
        }
        Ok(())
    }

    /// Writes the addresses to the file first, then to stdout: who reads a line finds the file.
    fn tell(&self, scenario: &Scenario, mock: &Mock) -> Result<(), CliFailure> {
        let urls = mock.urls();
        if let Some(path) = &self.out {
            let text = scenario::with_urls(scenario.text(), &urls).map_err(|why| {
                let failure =
                    CliFailure::new(FailureKind::Usage, format!("cannot fill addresses in: {why}"));
                failure.hint("--out writes the scenario as it is; leave out what changes its nodes")
            })?;
            output::replace(path, text.as_bytes())?;
        }
        let width = mock.nodes().iter().map(|(name, _)| cells(name)).max().unwrap_or(0);
        let lines = mock.nodes().iter().zip(&urls);
        let lines: String =
            lines.map(|((name, _), url)| format!("{}  {url}\n", padded(name, width))).collect();
        output::print(&lines)?;
        let _ = writeln!(std::io::stderr(), "admin: http://{}/admin/", mock.admin());
        Ok(())
    }
}

/// What the mock servers of a scenario are made of.
fn parts(scenario: &Scenario) -> Result<MockParts, CliFailure> {
    let output = scenario.classes.first().map(|class| class.output);
    let output =
        output.ok_or_else(|| CliFailure::new(FailureKind::Invalid, "the scenario has no class"))?;
    let nodes = scenario.balancer.nodes.iter();
    let name = |node: &crate::balance::NodeSpec| {
        let model = scenario.models.get(node.model.index()).cloned().unwrap_or_default();
        NodeName { node: node.name.clone(), model }
    };
    Ok(MockParts {
        seed: scenario.seed,
        backends: scenario.backends.clone(),
        names: nodes.map(name).collect(),
        groups: scenario.groups.clone(),
        faults: scenario.faults.clone(),
        fault_rules: scenario.fault_rules.clone(),
        output,
        limits: MockParts::LIMITS,
    })
}

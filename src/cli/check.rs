//! `plimsoll check`: parses and validates scenarios and says what they are.

use std::fmt::Write as _;

use clap::Args;

use super::failure::{Failure, Kind};
use super::{Changes, Color, load, output};
use crate::scenario::{Arrivals, Scenario};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Files, or names of built-in scenarios
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    changes: Changes,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

impl Check {
    pub(super) fn run(&self) -> Result<u8, Failure> {
        let mut worst: Option<Failure> = None;
        for file in &self.files {
            match self.check(file) {
                Ok(explained) => output::print(&explained)?,
                Err(failure) => {
                    failure.tell();
                    worst.get_or_insert(failure);
                }
            }
        }
        // Told already, each in its place.
        worst.map_or(Ok(0), |failure| Err(Failure::new(failure.kind, "")))
    }

    fn check(&self, file: &str) -> Result<String, Failure> {
        let scenario = load::scenario(file, &self.changes, self.color).map_err(|failure| {
            // A file that is not there is no usage error of `check`: it is what it reports on.
            if failure.kind == Kind::Usage {
                Failure { kind: Kind::Invalid, ..failure }
            } else {
                failure
            }
        })?;
        let expectations = load::expectations(&scenario, self.color)?;
        Ok(explain(file, &scenario, expectations.len()))
    }
}

fn explain(file: &str, scenario: &Scenario, expectations: usize) -> String {
    let config = &scenario.balancer;
    let mut text = format!("{file}: ok  {}\n", scenario.title);
    let workload = match &scenario.arrivals {
        Arrivals::Made(process) if scenario.starts_jobs() => {
            format!("jobs start at {process} a second")
        }
        Arrivals::Made(process) if process.is_poisson() => {
            format!("Poisson arrivals, {process} a second")
        }
        Arrivals::Made(process) => format!("arrivals at {process} a second"),
        Arrivals::Trace { format, path, .. } => {
            let path = path.as_deref().unwrap_or("(named with --trace)");
            format!("arrivals of a {format:?} trace, {path}")
        }
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "  workload      {workload}; {} classes", scenario.classes.len());
    for flow in &scenario.workflows {
        let steps: Vec<&str> = flow.steps.iter().map(|step| step.name.as_str()).collect();
        let _ = writeln!(text, "  workflow      {}: {}", flow.name, steps.join(", "));
    }
    for (index, pool) in config.pools.iter().enumerate() {
        let nodes = config.nodes.iter().filter(|node| node.pool.index() == index).count();
        let _ = writeln!(text, "  pool          {}: {nodes} nodes, {}", pool.name, pool.strategy);
    }
    let _ = writeln!(text, "  routes        {}", config.routes.len());
    let _ = writeln!(text, "  faults        {}", scenario.faults.len());
    let _ = writeln!(text, "  expectations  {expectations}");
    text
}

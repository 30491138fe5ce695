//! From a scenario to its real endpoints: URLs from the file, keys from the environment only.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{CliFailure, FailureKind};
use crate::live::upstream::{
    ApiKey, Dialect, Endpoint, PrefillKind, SharedClient, StreamPace, UpstreamClient,
};
use crate::scenario::Scenario;
use crate::unit::Span;

/// A client for the nodes of a scenario, which holds so many bytes of answers at most.
pub(super) fn client(scenario: &Scenario, answers_max: usize) -> Result<SharedClient, CliFailure> {
    let nodes = scenario.live.iter().zip(&scenario.balancer.nodes);
    let mut endpoints = Vec::new();
    let mut missing = Vec::new();
    for (live, node) in nodes {
        match &live.url {
            Some(url) => {
                let dialect = Dialect::named(live.dialect.as_deref().unwrap_or_default());
                let model = scenario.models.get(node.model.index()).map_or("", String::as_str);
                let url = dialect.address(url, model);
                let prefill = PrefillKind::named(live.dialect.as_deref(), &url);
                let (key, ca_file) = (key(live, &node.name)?, live.ca_file.clone());
                endpoints.push(Endpoint { url, key, dialect, prefill, ca_file });
            }
            None => missing.push(node.name.as_str()),
        }
    }
    if endpoints.iter().any(|endpoint| endpoint.key.is_some()) {
        keep_memory_private();
    }
    if !missing.is_empty() {
        let names = missing.join(", ");
        let failure =
            CliFailure::new(FailureKind::Invalid, format!("these nodes have no `url`: {names}"));
        return Err(failure.hint(
            "write `url = \"https://.../v1\"` for each, or let `plimsoll mock SCENARIO --out \
             LIVE.toml` write one with mock servers",
        ));
    }
    let floor = scenario.floor.map(|floor| (duration(floor.over), floor.tokens.0));
    let pace = StreamPace { inter_token: scenario.inter_token.map(duration), floor };
    let connect = Some(scenario.connect).filter(|span| *span < Span::MAX).map(duration);
    let client = UpstreamClient::new(&endpoints, connect, pace);
    client.map(|client| Arc::new(client.holding(answers_max))).map_err(|bad| {
        let lines = bad.iter().map(|bad| {
            let name = &scenario.balancer.nodes[bad.node].name;
            format!("node `{name}`: {}", bad.reason)
        });
        CliFailure::new(FailureKind::Invalid, lines.collect::<Vec<_>>().join("\n"))
    })
}

fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.0)
}

fn key(live: &crate::scenario::LiveNode, node: &str) -> Result<Option<ApiKey>, CliFailure> {
    let Some(name) = &live.key_env else { return Ok(None) };
    match std::env::var(name) {
        Ok(key) if !key.trim().is_empty() => Ok(Some(ApiKey::new(key.trim().to_owned()))),
        _ => {
            let message = format!("node `{node}` wants its key in ${name}, which is not set");
            Err(CliFailure::new(FailureKind::Invalid, message))
        }
    }
}

/// Lets the process have as many descriptors as it may: a connection of a client and one to an endpoint are
/// two, and the usual limit is a thousand. Returns how many it has; `None` for as many as it likes.
pub(super) fn raise_descriptors() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // As many as there are is what it works with then.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// Keeps the memory of a process that has keys to itself: no dump is made of it, and no other program of the
/// same user reads it.
fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// The runtime of everything live.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliFailure> {
    let _ = raise_descriptors();
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| CliFailure::new(FailureKind::Unexpected, format!("no runtime: {error}")))
}

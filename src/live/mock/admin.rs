//! The admin calls of a mock: start the clock, make and heal faults, count.
//!
//! Faults are written as in scenarios, with the node beside the kind:
//! `{"node": "azure-eu", "slow": {"factor": 4, "for": "10s"}}`; without `for` they last until they are
//! healed. `node` is a node or a group of nodes; `{}` heals all.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::{Desk, body, invalid, json, wrong_method};
use super::owner::{Counts, Word};
use crate::live::http::Body;
use crate::node::{Answer, FaultKind, FaultSpec};
use crate::unit::{NodeId, Ratio, Span, Time};

/// A slow node takes at most so many times as long.
const FACTOR_MAX: f64 = 1e6;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultBody {
    node: String,
    crash: Option<Lasting>,
    hang: Option<Lasting>,
    slow: Option<Slow>,
    errors: Option<Errors>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lasting {
    #[serde(rename = "for")]
    lasts: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {
    factor: f64,
    #[serde(rename = "for")]
    lasts: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Errors {
    share: Option<f64>,
    status: Option<u16>,
    retry_after: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HealBody {
    node: Option<String>,
}

/// Answers an admin call, or 404.
pub(super) async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let path = path.strip_prefix("/v1").unwrap_or(path).to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "/admin/start") => done(desk.ask(Word::Restart).await.is_some()),
        (&Method::POST, "/admin/fault") => make_fault(&desk, request).await,
        (&Method::POST, "/admin/heal") => heal(&desk, request).await,
        (&Method::GET, "/admin/stats") => stats(&desk).await,
        (_, "/admin/start" | "/admin/fault" | "/admin/heal" | "/admin/stats") => wrong_method(),
        _ => invalid(StatusCode::NOT_FOUND, "there is nothing at this address".to_owned()),
    }
}

fn done(well: bool) -> Response<Body> {
    if well {
        json(StatusCode::OK, "{\"ok\":true}")
    } else {
        invalid(StatusCode::SERVICE_UNAVAILABLE, "the mock is stopping".to_owned())
    }
}

async fn make_fault(desk: &Desk, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body(desk, request).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let fault = serde_json::from_slice::<FaultBody>(&bytes)
        .map_err(|error| error.to_string())
        .and_then(|fault| fault.read(desk));
    let fault = match fault {
        Ok(fault) => fault,
        Err(message) => return invalid(StatusCode::BAD_REQUEST, message),
    };
    match desk.ask(|reply| Word::Fault(fault, reply)).await {
        Some(false) => invalid(StatusCode::BAD_REQUEST, "there are too many faults".to_owned()),
        answer => done(answer.is_some()),
    }
}

async fn heal(desk: &Desk, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body(desk, request).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let text = if bytes.is_empty() { b"{}".as_slice() } else { &bytes };
    let nodes = serde_json::from_slice::<HealBody>(text)
        .map_err(|error| error.to_string())
        .and_then(|heal| match heal.node {
            Some(name) => nodes(desk, &name),
            None => Ok((0..desk.names.len() as u32).map(NodeId).collect()),
        });
    match nodes {
        Ok(nodes) => done(desk.ask(|reply| Word::Heal(nodes, reply)).await.is_some()),
        Err(message) => invalid(StatusCode::BAD_REQUEST, message),
    }
}

fn nodes(desk: &Desk, name: &str) -> Result<Vec<NodeId>, String> {
    let group = desk.groups.iter().find(|(group, _)| group == name);
    group.map(|(_, nodes)| nodes.clone()).ok_or_else(|| format!("there is no node `{name}`"))
}

impl FaultBody {
    fn read(self, desk: &Desk) -> Result<FaultSpec, String> {
        let nodes = nodes(desk, &self.node)?;
        let (kind, lasts) = match (self.crash, self.hang, self.slow, self.errors) {
            (Some(crash), None, None, None) => (FaultKind::Crash, crash.lasts),
            (None, Some(hang), None, None) => (FaultKind::Hang, hang.lasts),
            (None, None, Some(slow), None) => {
                if !(slow.factor > 0.0 && slow.factor <= FACTOR_MAX) {
                    return Err(format!("`factor` must be above 0 and at most {FACTOR_MAX}"));
                }
                (FaultKind::Slow(slow.factor), slow.lasts)
            }
            (None, None, None, Some(errors)) => (errors.kind()?, errors.lasts),
            _ => return Err("a fault is one of `crash`, `hang`, `slow`, `errors`".to_owned()),
        };
        let lasts = lasts.map(|lasts| span(&lasts)).transpose()?;
        Ok(FaultSpec { at: Time::ZERO, lasts, kind, nodes })
    }
}

impl Errors {
    fn kind(&self) -> Result<FaultKind, String> {
        let share = self.share.unwrap_or(1.0);
        if !(share > 0.0 && share <= 1.0) {
            return Err("`share` must be above 0 and at most 1".to_owned());
        }
        let retry_after = self.retry_after.as_deref().map(span).transpose()?;
        let answer = match self.status.unwrap_or(500) {
            500 => Answer::ServerError,
            503 => Answer::Overloaded,
            429 => Answer::RateLimited(retry_after),
            _ => return Err("`status` must be 500, 503 or 429".to_owned()),
        };
        Ok(FaultKind::Errors(Ratio::from_f64(share), answer))
    }
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).and_then(|span| match span {
        Span::ZERO => Err("a duration must be above zero".to_owned()),
        span => Ok(span),
    })
}

#[derive(Serialize)]
struct Stats<'a> {
    nodes: Vec<NodeStats<'a>>,
}

#[derive(Serialize)]
struct NodeStats<'a> {
    name: &'a str,
    started: u64,
    finished: u64,
    refused: u64,
    reset: u64,
    aborted: u64,
    in_flight: u64,
}

async fn stats(desk: &Desk) -> Response<Body> {
    let Some(counts) = desk.ask(Word::Stats).await else {
        return done(false);
    };
    let nodes = desk.names.iter().zip(counts).map(|(name, counts)| {
        let Counts { started, finished, refused, reset, aborted, in_flight } = counts;
        NodeStats { name: &name.node, started, finished, refused, reset, aborted, in_flight }
    });
    let stats = Stats { nodes: nodes.collect() };
    json(StatusCode::OK, serde_json::to_vec(&stats).unwrap_or_default())
}

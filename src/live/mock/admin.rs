//! The admin calls of a mock: start the clock, make and heal faults, count.
//!
//! Faults are written as in scenarios, with the node beside the kind:
//! `{"node": "azure-eu", "slow": {"factor": 4, "for": "10s"}}`; without `for` they last until they are
//! healed. `node` is a node or a group of nodes, or a list of these; `{}` heals all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::{MockState, body, invalid, json, wrong_method};
use super::owner::{NodeCounts, OwnerMessage};
use crate::live::http::Body;
use crate::node::FaultSpec;
use crate::node::fault::{
    FAULTS, FaultDef, FaultPattern, Param, ParamKind, ParamValue, ParamValues,
};
use crate::unit::{NodeId, Span, Time};

#[derive(Debug, Deserialize)]
struct FaultBody {
    node: Whom,
    /// The kind of the fault, with what is said of it.
    #[serde(flatten)]
    kinds: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HealBody {
    node: Option<Whom>,
}

/// Nodes, or groups of nodes, by their names.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Whom {
    One(String),
    Many(Vec<String>),
}

impl Whom {
    fn nodes(&self, state: &MockState) -> Result<Vec<NodeId>, String> {
        let names = match self {
            Whom::One(name) => std::slice::from_ref(name),
            Whom::Many(names) => names,
        };
        let mut nodes = Vec::new();
        for name in names {
            let group = state.groups.iter().find(|(group, _)| group == name);
            let (_, meant) = group.ok_or_else(|| format!("there is no node `{name}`"))?;
            nodes.extend_from_slice(meant);
        }
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.is_empty() { Err("`node` names none".to_owned()) } else { Ok(nodes) }
    }
}

/// Answers an admin call, or 404.
pub(super) async fn answer(state: Arc<MockState>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let path = path.strip_prefix("/v1").unwrap_or(path).to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "/admin/start") => start(&state).await,
        (&Method::POST, "/admin/fault") => make_fault(&state, request).await,
        (&Method::POST, "/admin/heal") => heal(&state, request).await,
        (&Method::GET, "/admin/stats") => stats(&state).await,
        (&Method::GET, "" | "/" | "/admin" | "/admin/") => json(StatusCode::OK, index(&state)),
        (_, path) if CALLS.iter().any(|call| call.path == path) => wrong_method(),
        _ => invalid(
            StatusCode::NOT_FOUND,
            "there is nothing at this address; `GET /` lists what there is".to_owned(),
        ),
    }
}

/// A call that can be made, as the index lists it.
#[derive(Debug, Serialize)]
struct AdminCall {
    method: &'static str,
    path: &'static str,
    about: &'static str,
}

const CALLS: [AdminCall; 4] = [
    AdminCall {
        method: "POST",
        path: "/admin/start",
        about: "time zero of the fault schedule is now",
    },
    AdminCall {
        method: "POST",
        path: "/admin/fault",
        about: "makes a fault: {\"node\": NAME, \"crash\": {\"for\": \"10s\"}}; without `for` until it is \
                healed; kinds: plimsoll list faults",
    },
    AdminCall {
        method: "POST",
        path: "/admin/heal",
        about: "heals {\"node\": NAME}, or with {} all",
    },
    AdminCall { method: "GET", path: "/admin/stats", about: "what each node was asked so far" },
];

/// What there is to call, and on which nodes.
fn index(state: &MockState) -> String {
    #[derive(Serialize)]
    struct Index<'a> {
        calls: &'a [AdminCall],
        nodes: Vec<&'a str>,
    }
    let nodes = state.names.iter().map(|name| name.node.as_str()).collect();
    // It has nothing in it that could fail.
    serde_json::to_string_pretty(&Index { calls: &CALLS, nodes }).unwrap_or_default()
}

fn done(well: bool) -> Response<Body> {
    if well {
        json(StatusCode::OK, "{\"ok\":true}")
    } else {
        invalid(StatusCode::SERVICE_UNAVAILABLE, "the mock is stopping".to_owned())
    }
}

/// Time zero is now. Says where more can be said, also while nodes are down, and of which nodes.
async fn start(state: &MockState) -> Response<Body> {
    #[derive(Serialize)]
    struct Started<'a> {
        ok: bool,
        admin: SocketAddr,
        nodes: Vec<&'a str>,
    }
    if state.ask(OwnerMessage::Restart).await.is_none() {
        return done(false);
    }
    let nodes = state.names.iter().map(|name| name.node.as_str()).collect();
    let started = Started { ok: true, admin: state.admin, nodes };
    json(StatusCode::OK, serde_json::to_vec(&started).unwrap_or_default())
}

async fn make_fault(state: &MockState, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body(state, request).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let fault = serde_json::from_slice::<FaultBody>(&bytes)
        .map_err(|error| error.to_string())
        .and_then(|fault| fault.read(state));
    let fault = match fault {
        Ok(fault) => fault,
        Err(message) => return invalid(StatusCode::BAD_REQUEST, message),
    };
    match state.ask(|reply| OwnerMessage::Fault(fault, reply)).await {
        Some(false) => invalid(StatusCode::BAD_REQUEST, "there are too many faults".to_owned()),
        answer => done(answer.is_some()),
    }
}

async fn heal(state: &MockState, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body(state, request).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let text = if bytes.is_empty() { b"{}".as_slice() } else { &bytes };
    let nodes = serde_json::from_slice::<HealBody>(text)
        .map_err(|error| error.to_string())
        .and_then(|heal| match heal.node {
            Some(whom) => whom.nodes(state),
            None => Ok((0..state.names.len() as u32).map(NodeId).collect()),
        });
    match nodes {
        Ok(nodes) => done(state.ask(|reply| OwnerMessage::Heal(nodes, reply)).await.is_some()),
        Err(message) => invalid(StatusCode::BAD_REQUEST, message),
    }
}

impl FaultBody {
    fn read(self, state: &MockState) -> Result<FaultSpec, String> {
        let nodes = self.node.nodes(state)?;
        let mut kinds = self.kinds.into_iter();
        let (Some((name, mut said)), None) = (kinds.next(), kinds.next()) else {
            return Err("a fault has one kind, such as `crash`, beside its `node`".to_owned());
        };
        let fault = FaultDef::find(&name).ok_or_else(|| {
            let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
            format!("there is no fault `{name}`; there is {}", names.join(", "))
        })?;
        let lasts = match said.remove("for") {
            Some(lasts) => Some(span(lasts.as_str().unwrap_or_default())?),
            None => None,
        };
        let mut values = ParamValues::default();
        for param in fault.params {
            match said.remove(param.name) {
                Some(given) => values.set(param.name, value(param, &given)?),
                None if param.default.is_none() => {
                    return Err(format!("`{name}` has no `{}`", param.name));
                }
                None => {}
            }
        }
        if let Some(unknown) = said.keys().next() {
            return Err(format!("`{name}` knows no `{unknown}`"));
        }
        match fault.build(&values) {
            Ok(FaultPattern::Lasting(kind)) => Ok(FaultSpec { at: Time::ZERO, lasts, kind, nodes }),
            Ok(FaultPattern::Cycle { .. }) => {
                Err(format!("`{name}` needs a scenario to keep time"))
            }
            Err(wrong) => Err(wrong.message.to_owned()),
        }
    }
}

/// Reads a parameter of a fault.
fn value(param: &Param, given: &serde_json::Value) -> Result<ParamValue, String> {
    let number = given.as_f64();
    let whole = given.as_u64();
    let (value, wanted) = match param.kind {
        ParamKind::Number(bounds) => (
            number.filter(|number| bounds.allow(*number)).map(ParamValue::Number),
            bounds.to_string(),
        ),
        ParamKind::Span => {
            return span(given.as_str().unwrap_or_default()).map(ParamValue::Span);
        }
        ParamKind::Whole(min, max) => (
            whole.filter(|whole| (min..=max).contains(whole)).map(ParamValue::Whole),
            format!("a whole number from {min} to {max}"),
        ),
        ParamKind::Status => (whole.and_then(ParamValue::status), ParamValue::statuses()),
        ParamKind::Word(words) => (
            words.iter().position(|word| given.as_str() == Some(word)).map(ParamValue::Word),
            format!("one of {words:?}"),
        ),
    };
    value.ok_or_else(|| format!("`{}` must be {wanted}", param.name))
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

async fn stats(state: &MockState) -> Response<Body> {
    let Some(counts) = state.ask(OwnerMessage::Stats).await else {
        return done(false);
    };
    let nodes = state.names.iter().zip(counts).map(|(name, counts)| {
        let NodeCounts { started, finished, refused, reset, aborted, in_flight } = counts;
        NodeStats { name: &name.node, started, finished, refused, reset, aborted, in_flight }
    });
    let stats = Stats { nodes: nodes.collect() };
    json(StatusCode::OK, serde_json::to_vec(&stats).unwrap_or_default())
}

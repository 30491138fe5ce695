//! Agents and tools: whatever is said to them by HTTP is passed on as it is, with method, path, headers and
//! body, and what they answer comes back as it is, whole or event by event. So servers of the Model Context
//! Protocol are reached: a session that one of them has begun goes on there.

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::ToClient;
use super::edge::{CallParts, GatewayState, PIECES_MAX, arrive, invalid};
use super::request::{ClientRequest, UnderstoodRequest};
use super::respond::{AnswerHead, closing, name_request, pass_through};
use crate::live::http::{self, Body, TakenRoom};
use crate::live::upstream::PlainCall;
use crate::live::wire::operation::Operation;

/// The methods it takes.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Headers that are of one connection, or that an endpoint is not to see.
const KEPT_BACK: [&str; 16] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "expect",
    "authorization",
    "api-key",
    "x-api-key",
    "cookie",
    "set-cookie",
];

/// Returns whether a path leaves the address of its node, as some servers would read it.
fn leaves(path: &str) -> bool {
    let mut read = path.to_ascii_lowercase();
    for (escaped, meant) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/")] {
        read = read.replace(escaped, meant);
    }
    let name = |part: &str| part.split(';').next().is_some_and(|name| matches!(name, "." | ".."));
    read.split('/').any(name)
}

/// Returns the headers that are passed on.
pub(super) fn passed(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let listed = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<String> = listed
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let goes = |name: &str| {
        !KEPT_BACK.contains(&name)
            && !name.starts_with("x-plimsoll-")
            && !listed.iter().any(|other| other == name)
    };
    let all = headers.iter().filter(|(name, _)| goes(name.as_str()));
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Answers what is said to a pool of agents or tools; `rest` is what follows its name in the path.
pub(super) async fn call(
    state: &GatewayState,
    (pool, rest): (&str, &str),
    request: HttpRequest<Incoming>,
) -> Response<Body> {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let number = state.number();
    let id = state.name(number, &head.headers);
    let named = |mut response: Response<Body>| {
        name_request(response.headers_mut(), Operation::Http, &id);
        response
    };
    let Some(found) = state.names.plain(pool) else {
        let message = format!("there is no pool of agents or tools `{pool}`");
        return named(invalid(StatusCode::NOT_FOUND, "not_found", message));
    };
    if leaves(rest) {
        let message = "a path may not lead elsewhere by `.` or `..`";
        return named(invalid(StatusCode::BAD_REQUEST, "bad_path", message));
    }
    let mut taken = TakenRoom::default();
    let room = (&state.room, &mut taken);
    let body = match http::read_body(body, &head.headers, &state.limits, room).await {
        Ok(body) => body,
        Err(failure) => {
            let reason = format!("the body cannot be read: {failure}");
            return named(closing(invalid(failure.status(), "bad_body", reason)));
        }
    };
    let query = head.uri.query().map_or(String::new(), |query| format!("?{query}"));
    // What such a method does may be done twice.
    let once = !matches!(
        head.method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS
    );
    let call = PlainCall { method: head.method, path: format!("{rest}{query}"), once };
    let mut headers = passed(&head.headers);
    // The body has been unpacked.
    headers.retain(|(name, _)| name != header::CONTENT_ENCODING);
    let client = ClientRequest::plain(call, body, headers);
    let (to, mut from) = mpsc::channel(PIECES_MAX);
    let asked = UnderstoodRequest::default();
    let parts = CallParts { number, found, once };
    let cancel = arrive(state, parts, &asked, &head.headers, client, to).keeping(taken);
    let first = from.recv().await;
    let second = match &first {
        Some(ToClient::Begin(_)) => from.recv().await,
        _ => None,
    };
    let head = AnswerHead {
        operation: Operation::Http,
        names: &state.names,
        id: id.clone(),
        began,
        every: None,
    };
    pass_through((first, second), from, cancel, &head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_known_however_it_is_written() {
        for path in
            ["/..", "/a/../b", "/./a", "/%2e%2E/a", "/a%2f..%2fb", "/..%5ca", "/..;x/a", "/\\.."]
        {
            assert!(leaves(path), "{path}");
        }
        for path in ["", "/", "/a/b", "/a..b", "/...", "/.well-known/x", "//a"] {
            assert!(!leaves(path), "{path}");
        }
    }
}

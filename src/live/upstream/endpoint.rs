//! One endpoint: how it is reached, what it is sent, what its refusals mean.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::time::timeout;

use super::connect::is_out_of_bounds;
use super::scrub::KeyPrint;
use super::{
    ERROR_MAX, ERROR_PATIENCE, MCP_SESSION, Meter, Outlet, Passed, PlainCall, Sending, collect,
    failed,
};
use crate::balance::{Failure, Outcome, RETRY_AFTER_MAX, SessionKeyKind, Usage};
use crate::live::wire::operation::Operation;
use crate::live::wire::refusal;
use crate::unit::Span;

/// A key for an endpoint, which is never shown.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key.
    #[must_use]
    pub fn new(key: String) -> ApiKey {
        ApiKey(key)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// How a node wants to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As OpenAI, and as everything that is compatible with it.
    #[default]
    Openai,
    /// As OpenAI on Azure: a key in a header of its own, a version of the API in the address.
    Azure,
    /// As Anthropic: messages.
    Anthropic,
}

impl Dialect {
    /// Returns the dialect of a server that is called so. Whatever has no dialect of its own is compatible
    /// with OpenAI.
    #[must_use]
    pub fn named(name: &str) -> Dialect {
        match name {
            "azure" => Dialect::Azure,
            "anthropic" => Dialect::Anthropic,
            _ => Dialect::Openai,
        }
    }

    /// Returns the base of its API for a model: on Azure every model has an address of its own.
    #[must_use]
    pub fn address(self, url: &str, model: &str) -> String {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        if self != Dialect::Azure || base.contains("/openai") || model.is_empty() {
            return url.to_owned();
        }
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/openai/deployments/{model}{mark}{query}", base.trim_end_matches('/'))
    }

    /// Returns what a node is asked for by whoever is asked for this: of conversations it knows its own.
    #[must_use]
    pub const fn speaks(self, asked: Operation) -> Operation {
        match asked {
            Operation::Chat | Operation::Messages => self.conversation(),
            asked => asked,
        }
    }

    /// Returns what a conversation is asked for with.
    #[must_use]
    pub const fn conversation(self) -> Operation {
        match self {
            Dialect::Openai | Dialect::Azure => Operation::Chat,
            Dialect::Anthropic => Operation::Messages,
        }
    }

    /// The header that has the key, and what stands before the key there.
    const fn credential(self) -> (HeaderName, &'static str) {
        match self {
            Dialect::Openai => (header::AUTHORIZATION, "Bearer "),
            Dialect::Azure => (HeaderName::from_static("api-key"), ""),
            Dialect::Anthropic => (HeaderName::from_static("x-api-key"), ""),
        }
    }
}

/// How a node is asked to go on from the beginning of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrefillKind {
    /// By a last message of the assistant's, and words that say so, as vLLM and SGLang have it. Servers that
    /// do not know those words ignore them or refuse.
    #[default]
    Continued,
    /// By a last message of the assistant's.
    LastMessage,
    /// It does not: it gives the whole answer again.
    Never,
}

impl PrefillKind {
    /// Returns how a server that is called so, at this address, is asked; `None` where it is not called
    /// anything.
    #[must_use]
    pub fn named(name: Option<&str>, url: &str) -> PrefillKind {
        match name {
            Some("anthropic" | "llamacpp" | "llama.cpp") => PrefillKind::LastMessage,
            Some("azure" | "openai") => PrefillKind::Never,
            None if url.contains("//api.openai.com") => PrefillKind::Never,
            _ => PrefillKind::Continued,
        }
    }
}

/// The version of Azure's API that is asked for where the address names none.
const AZURE_VERSION: &str = "api-version=2024-10-21";
/// The version of Anthropic's API.
const ANTHROPIC_VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// How a node is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The base of its API, such as `https://api.example.com/v1`.
    pub url: String,
    /// Its key.
    pub key: Option<ApiKey>,
    /// How it wants to be asked.
    pub dialect: Dialect,
    /// How it is asked to go on.
    pub prefill: PrefillKind,
    /// Certificates of those who are trusted to stand for it, instead of the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// An endpoint as it is asked.
#[derive(Debug)]
pub(super) struct ResolvedEndpoint {
    /// Which connections lead to it.
    pub(super) connections: usize,
    /// What plain calls begin with.
    base: String,
    /// By operation.
    calls: Vec<Uri>,
    pub(super) models: Uri,
    pub(super) health: Option<Uri>,
    /// Where a mock server is told to start.
    pub(super) start: Option<Uri>,
    /// The header with the key.
    credential: Option<(HeaderName, HeaderValue)>,
    /// Finds the key in what it says.
    key: Option<KeyPrint>,
    pub(super) dialect: Dialect,
    pub(super) prefill: PrefillKind,
    /// It has refused to go on from the beginning of an answer.
    pub(super) begins_anew: AtomicBool,
    pub(super) loopback: bool,
}

impl ResolvedEndpoint {
    pub(super) fn new(endpoint: &Endpoint, connections: usize) -> Result<ResolvedEndpoint, String> {
        let dialect = endpoint.dialect;
        let (base, query) = match endpoint.url.split_once('?') {
            Some((base, query)) if dialect == Dialect::Azure => (base, format!("?{query}")),
            _ if dialect == Dialect::Azure && !endpoint.url.contains("/openai/v1") => {
                (endpoint.url.as_str(), format!("?{AZURE_VERSION}"))
            }
            _ => (endpoint.url.as_str(), String::new()),
        };
        let base = base.trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|_| "this is not a URL".to_owned())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("a URL begins with http:// or https://".to_owned());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("the URL has no host")?;
        let literal = host.trim_matches(['[', ']']).parse();
        if literal.is_ok_and(is_out_of_bounds) {
            return Err(
                "no model is served at this address; write the one it listens at, such as \
                        127.0.0.1"
                    .to_owned(),
            );
        }
        if uri.query().is_some() || uri.authority().is_some_and(|all| all.as_str().contains('@')) {
            return Err("a URL has no query and no user here; keys come from `key_env`".to_owned());
        }
        let join = |base: &str, path: &str| {
            format!("{base}{path}").parse::<Uri>().map_err(|_| "this is not a URL".to_owned())
        };
        let credential = endpoint.key.as_ref().map(|key| header_of(dialect, key)).transpose()?;
        let loopback = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        let root = base.strip_suffix("/v1");
        let call = |operation: Operation| join(base, &format!("{}{query}", operation.path()));
        Ok(ResolvedEndpoint {
            connections,
            base: base.to_owned(),
            calls: Operation::ALL.into_iter().map(call).collect::<Result<_, _>>()?,
            models: join(base, &format!("/models{query}"))?,
            health: root.map(|root| join(root, "/health")).transpose()?,
            start: root.map(|root| join(root, "/admin/start")).transpose()?,
            credential,
            key: endpoint.key.as_ref().map(|key| KeyPrint::new(key.0.as_bytes())),
            dialect,
            prefill: endpoint.prefill,
            begins_anew: AtomicBool::new(false),
            loopback,
        })
    }

    /// The headers that every request has.
    pub(super) fn identify(&self, headers: &mut HeaderMap) {
        if let Some((name, key)) = &self.credential {
            headers.insert(name, key.clone());
        }
        if self.dialect == Dialect::Anthropic {
            let (name, version) = ANTHROPIC_VERSION;
            let version = HeaderValue::from_static(version);
            headers.entry(HeaderName::from_static(name)).or_insert(version);
        }
    }

    /// Makes the request of a plain call: as it came, to this address.
    fn plain(&self, call: &PlainCall, sending: Sending) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(sending.body));
        *request.method_mut() = call.method.clone();
        // What is no path does not get here.
        let uri = format!("{}{}", self.base, call.path).parse();
        *request.uri_mut() = uri.unwrap_or_else(|_| self.models.clone());
        let headers = request.headers_mut();
        for (name, value) in sending.headers {
            headers.append(name, value);
        }
        if let Some(kind) = sending.kind {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.identify(headers);
        request
    }

    pub(super) fn request(&self, sending: Sending) -> Request<Full<Bytes>> {
        if let Some(call) = sending.plain.clone() {
            return self.plain(&call, sending);
        }
        let mut request = Request::new(Full::new(sending.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.calls[sending.operation.index()].clone();
        let headers = request.headers_mut();
        headers.extend(sending.headers.into_iter().map(|(name, value)| (Some(name), value)));
        let kind = sending.kind.unwrap_or(HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, kind);
        let accept = match sending.operation {
            Operation::Speech => "*/*",
            _ => "text/event-stream, application/json",
        };
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        // What is packed would come later: a packer waits for more.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.identify(headers);
        if self.loopback {
            for (name, value) in sending.figures {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
        }
        request
    }

    /// Reads an answer that is not 200.
    pub(super) async fn refusal(
        &self,
        response: Response<Incoming>,
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> Outcome {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        // What it said cannot always be used; that it refused still counts.
        let (head, body) = response.into_parts();
        let body = timeout(ERROR_PATIENCE, collect(body, &head.headers, (ERROR_MAX, None))).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        self.refused(status, body, retry_after, (meter, outlet))
    }

    /// Says how an attempt ends that was answered with an error inside a 200.
    pub(super) fn refused_inside(
        &self,
        said: Bytes,
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> Outcome {
        let status = StatusCode::from_u16(refusal::status_inside(&said)).unwrap_or_default();
        self.refused(status, said, None, (meter, outlet))
    }

    /// Says how an attempt ends that was answered with an error of this status, and lets its reader have
    /// what was said: what of it is the client's business the reader knows.
    pub(super) fn refused(
        &self,
        status: StatusCode,
        body: Bytes,
        retry_after: Option<Span>,
        (meter, outlet): (&Meter, &mut impl Outlet),
    ) -> Outcome {
        let outcome = refusal::outcome(status.as_u16(), &body, retry_after, meter.usage());
        outlet.refused(status, if self.shows_key(&body) { Bytes::new() } else { body });
        outcome
    }

    /// Passes the answer to a plain call on as it comes, whatever it is. It has begun with its head.
    pub(super) async fn pass_through(
        &self,
        response: Response<Incoming>,
        meter: &Meter,
        outlet: &mut impl Outlet,
    ) -> Outcome {
        let (mut head, body) = response.into_parts();
        if let Some(session) = head.headers.get(MCP_SESSION) {
            let kept = Passed::Kept(SessionKeyKind::McpSession, session.as_bytes());
            let _ = outlet.pass_on(kept).await;
        }
        // Who refuses what came with a key may repeat the key.
        let said = if head.status.is_client_error() && self.key.is_some() {
            let said = collect(body, &head.headers, (ERROR_MAX, None));
            let said = timeout(ERROR_PATIENCE, said).await.ok().and_then(Result::ok);
            head.headers.remove(header::CONTENT_ENCODING);
            Err(said.filter(|said| !self.shows_key(said)).unwrap_or_default())
        } else {
            Ok(body)
        };
        let shown = head.headers.iter().filter(|(_, value)| !self.shows_key(value.as_bytes()));
        let headers = shown.map(|(name, value)| (name.clone(), value.clone())).collect();
        let _ = outlet.pass_on(Passed::Head(head.status, &headers)).await;
        outlet.first_token().await;
        let mut body = match said {
            Ok(body) => body,
            Err(said) => {
                let _ = outlet.pass_on(Passed::Bytes(said)).await;
                return Outcome::Done(Usage::NONE);
            }
        };
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return failed(Failure::Reset, meter) };
            if let Ok(data) = frame.into_data() {
                let _ = outlet.pass_on(Passed::Bytes(data)).await;
            }
        }
        Outcome::Done(Usage::NONE)
    }

    /// Returns whether an answer repeats the key it was asked with.
    fn shows_key(&self, body: &[u8]) -> bool {
        self.key.as_ref().is_some_and(|key| key.is_in(body))
    }
}

fn header_of(dialect: Dialect, key: &ApiKey) -> Result<(HeaderName, HeaderValue), String> {
    let (name, before) = dialect.credential();
    let value = HeaderValue::from_str(&format!("{before}{}", key.0));
    let mut value = value.map_err(|_| "the key has characters no header may have")?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Reads the pause an answer asks for, in milliseconds, seconds or as a date: at most
/// [`RETRY_AFTER_MAX`], whatever it says.
fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| !number.is_nan());
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].into_iter().filter_map(text);
    let seconds = millis.filter_map(number).next().map(|millis| millis / 1_000.0);
    let seconds = seconds.or_else(|| {
        let after = text("retry-after")?;
        number(after).or_else(|| {
            let date = httpdate::parse_http_date(after).ok()?;
            Some(date.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64())
        })
    });
    seconds.map(|seconds| Span::from_seconds(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = list.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        });
        pairs.collect()
    }

    #[test]
    fn pauses_are_read_in_every_form() {
        let read = |list: &[(&'static str, &str)]| retry_after(&headers(list));
        assert_eq!(read(&[("retry-after", "2")]), Some(Span::from_secs(2)));
        assert_eq!(read(&[("retry-after", "0.5")]), Some(Span::from_millis(500)));
        let both = [("retry-after", "9"), ("retry-after-ms", "250")];
        assert_eq!(read(&both), Some(Span::from_millis(250)));
        assert_eq!(read(&[("x-ms-retry-after-ms", "70")]), Some(Span::from_millis(70)));
        assert_eq!(read(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(Span::ZERO));
        assert_eq!(read(&[("retry-after", "soon")]), None);
        assert_eq!(read(&[("retry-after", "-5")]), Some(Span::ZERO));
        for absurd in ["1e300", "inf", "Thu, 21 Oct 9999 07:28:00 GMT"] {
            assert_eq!(read(&[("retry-after", absurd)]), Some(RETRY_AFTER_MAX), "{absurd}");
        }
        let nonsense = [("retry-after-ms", "NaN"), ("retry-after", "2")];
        assert_eq!(read(&nonsense), Some(Span::from_secs(2)));
        assert_eq!(read(&[]), None);
    }
}

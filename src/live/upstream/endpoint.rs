//! One endpoint: how it is reached, what it is sent, what its refusals mean.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::time::timeout;

use super::{ERROR_MAX, ERROR_PATIENCE, Meter, Outlet, Sending};
use crate::balance::{Outcome, RETRY_AFTER_MAX};
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

/// How a node is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The base of its API, such as `https://api.example.com/v1`.
    pub url: String,
    /// Its key.
    pub key: Option<ApiKey>,
}

/// An endpoint as it is asked.
#[derive(Debug)]
pub(super) struct ResolvedEndpoint {
    chat: Uri,
    pub(super) models: Uri,
    pub(super) health: Option<Uri>,
    /// Where a mock server is told to start.
    pub(super) start: Option<Uri>,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) loopback: bool,
}

impl ResolvedEndpoint {
    pub(super) fn new(endpoint: &Endpoint) -> Result<ResolvedEndpoint, String> {
        let base = endpoint.url.trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|_| "this is not a URL".to_owned())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("a URL begins with http:// or https://".to_owned());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("the URL has no host")?;
        if uri.query().is_some() || uri.authority().is_some_and(|all| all.as_str().contains('@')) {
            return Err("a URL has no query and no user here; keys come from `key_env`".to_owned());
        }
        let join = |base: &str, path: &str| {
            format!("{base}{path}").parse::<Uri>().map_err(|_| "this is not a URL".to_owned())
        };
        let authorization = endpoint
            .key
            .as_ref()
            .map(|key| {
                let value = HeaderValue::from_str(&format!("Bearer {}", key.0));
                let mut value = value.map_err(|_| "the key has characters no header may have")?;
                value.set_sensitive(true);
                Ok::<_, String>(value)
            })
            .transpose()?;
        let loopback = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        let root = base.strip_suffix("/v1");
        Ok(ResolvedEndpoint {
            chat: join(base, "/chat/completions")?,
            models: join(base, "/models")?,
            health: root.map(|root| join(root, "/health")).transpose()?,
            start: root.map(|root| join(root, "/admin/start")).transpose()?,
            authorization,
            loopback,
        })
    }

    pub(super) fn chat_request(&self, sending: Sending) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(sending.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.chat.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream, application/json"),
        );
        if let Some(key) = &self.authorization {
            headers.insert(header::AUTHORIZATION, key.clone());
        }
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
        let limited = http_body_util::Limited::new(response.into_body(), ERROR_MAX);
        let body = match timeout(ERROR_PATIENCE, limited.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            // What it said cannot be used; that it refused still counts.
            _ => Bytes::new(),
        };
        self.refused(status, body, retry_after, (meter, outlet))
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

    /// Returns whether an answer repeats the key it was asked with.
    fn shows_key(&self, body: &[u8]) -> bool {
        let key =
            self.authorization.as_ref().and_then(|key| key.as_bytes().strip_prefix(b"Bearer "));
        key.is_some_and(|key| !key.is_empty() && body.windows(key.len()).any(|part| part == key))
    }
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

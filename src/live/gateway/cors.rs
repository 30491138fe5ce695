//! Pages of other origins: browsers ask beforehand whether one may call the gateway, and hide the answer from
//! it otherwise. None may unless the scenario says so.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::live::http::{self, Body};

/// A browser need not ask again for so long.
const MAX_AGE: &str = "600";

/// What pages may see of an answer beside its body.
const EXPOSED: &str = "x-request-id, x-plimsoll-request-id, x-plimsoll-node, x-plimsoll-pool, \
                       x-plimsoll-attempts, retry-after, retry-after-ms, x-should-retry";

/// The origins whose pages may call.
#[derive(Clone, Debug, Default)]
pub(super) struct Cors {
    origins: Vec<String>,
    any: bool,
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Cors {
        let any = origins.iter().any(|origin| origin == "*");
        Cors { origins: origins.to_vec(), any }
    }

    /// Returns the origin that may see the answer to a request with these headers, as browsers want it.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let said = headers.get(header::ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let known = self.origins.iter().any(|origin| origin.as_bytes() == said.as_bytes());
        known.then(|| said.clone())
    }

    /// Returns the answer to who asks what may be asked here.
    pub(super) fn preflight(
        &self,
        methods: &'static str,
        origin: Option<&HeaderValue>,
        asked: &HeaderMap,
    ) -> Response<Body> {
        let mut response = Response::new(http::full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static(methods);
        headers.insert(header::ALLOW, methods.clone());
        if origin.is_some() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            let age = HeaderValue::from_static(MAX_AGE);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, age);
            // Libraries send headers of their own, none of which opens anything.
            if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
        }
        response
    }

    /// Lets the page of an origin see an answer.
    pub(super) fn expose(&self, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
        if !self.any && !self.origins.is_empty() {
            headers.append(header::VARY, HeaderValue::from(HeaderName::from_static("origin")));
        }
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static(EXPOSED);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

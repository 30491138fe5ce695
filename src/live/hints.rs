//! What a client says of its request beside the body: where it comes from, what it is about, which
//! conversation it belongs to, whether it was sent before.
//!
//! Names are those of the scenario. What it does not know is left out, as an edge in front may send
//! more than the routes use; a hard constraint is then not met by mistake, since what is unknown
//! matches no route that asks for it. The gateway believes what it is told: whoever must not choose
//! a region has to have the header taken off in front.

use hyper::header::HeaderMap;

use crate::rng::mix;
use crate::unit::RegionId;

/// The header that names the region a request comes from.
pub const REGION: &str = "x-plimsoll-region";
/// The header with attributes: `language=de, risk=high`. It may stand more than once.
pub const ATTRIBUTES: &str = "x-plimsoll-attributes";
/// The header that says how hard a request is: a number from zero up, on any scale of the client's
/// choice. Without it a prompt counts as hard as it is long.
pub const COMPLEXITY: &str = "x-plimsoll-complexity";
/// The header that names the conversation; without it a field of the body does.
pub const SESSION: &str = "x-plimsoll-session";
/// The header that says how often the client has sent this request before: 1 is the first retry. Where
/// it is absent the one counts that the SDKs of OpenAI and Anthropic send, [`SDK_RETRY`].
pub const RETRY: &str = "x-plimsoll-retry";
/// What SDKs made by Stainless send with every request: 0 is a new one.
pub const SDK_RETRY: &str = "x-stainless-retry-count";

/// Names that a scenario knows.
#[derive(Clone, Debug, Default)]
pub struct RequestHints {
    /// By `RegionId`; the empty name is "not said".
    pub regions: Vec<String>,
    /// As `key=value`, by bit.
    pub attributes: Vec<String>,
}

impl RequestHints {
    /// Returns the region a request comes from, if it says one that is known.
    #[must_use]
    pub fn region(&self, headers: &HeaderMap) -> Option<RegionId> {
        let name = headers.get(REGION)?.to_str().ok()?.trim();
        let known = self.regions.iter().position(|region| !name.is_empty() && region == name)?;
        u16::try_from(known).ok().map(RegionId)
    }

    /// Returns the attributes of a request that are known, as bits.
    #[must_use]
    pub fn attributes(&self, headers: &HeaderMap) -> u64 {
        let said = headers.get_all(ATTRIBUTES).iter().filter_map(|value| value.to_str().ok());
        let pairs = said.flat_map(|text| text.split(',')).map(str::trim);
        let bit = |pair: &str| self.attributes.iter().take(64).position(|known| known == pair);
        pairs.filter_map(bit).fold(0, |bits, bit| bits | 1 << bit)
    }

    /// Returns how hard a request is, in thousandths, if its client says so.
    #[must_use]
    pub fn complexity(headers: &HeaderMap) -> Option<u32> {
        let said: f64 = headers.get(COMPLEXITY)?.to_str().ok()?.trim().parse().ok()?;
        // A cast saturates.
        (said.is_finite() && said >= 0.0).then(|| (said * 1e3).round() as u32)
    }

    /// Returns how often its client has sent a request before, as far as it says so. What is no number
    /// is not said.
    #[must_use]
    pub fn again(headers: &HeaderMap) -> u8 {
        let said =
            |name: &str| -> Option<u32> { headers.get(name)?.to_str().ok()?.trim().parse().ok() };
        let said = said(RETRY).or_else(|| said(SDK_RETRY)).unwrap_or(0);
        u8::try_from(said).unwrap_or(u8::MAX)
    }

    /// Returns the conversation a request belongs to as a number: equal names give equal numbers.
    #[must_use]
    pub fn session(headers: &HeaderMap, said: Option<&str>) -> Option<u64> {
        let header = headers.get(SESSION).map(hyper::header::HeaderValue::as_bytes);
        let name = header.or(said.map(str::as_bytes)).filter(|name| !name.is_empty())?;
        Some(name_hash(name))
    }
}

/// Returns the number of a name: equal names give equal numbers.
pub(super) fn name_hash(name: &[u8]) -> u64 {
    name.iter().fold(name.len() as u64, |hash, byte| mix(hash, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn every_header_stands_in_the_reference() {
        let page = include_str!("../../docs/src/reference/headers.md");
        let class = crate::live::gateway::CLASS;
        for name in [REGION, ATTRIBUTES, COMPLEXITY, SESSION, RETRY, SDK_RETRY, class] {
            assert!(page.contains(&format!("| `{name}` |")), "{name}");
        }
    }

    #[test]
    fn known_hints_are_read_and_others_left_out() {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let hints = RequestHints {
            regions: names(&["", "eu", "us"]),
            attributes: names(&["language=de", "risk=high", "risk=low"]),
        };
        let said = headers(&[
            (REGION, "us"),
            (ATTRIBUTES, "language=de, colour=red"),
            (ATTRIBUTES, "risk=low,"),
        ]);
        assert_eq!(hints.region(&said), Some(RegionId(2)));
        assert_eq!(hints.attributes(&said), 0b101);
        let odd = headers(&[(REGION, "mars"), (ATTRIBUTES, "=,,language")]);
        assert_eq!((hints.region(&odd), hints.attributes(&odd)), (None, 0));
        assert_eq!(hints.region(&headers(&[(REGION, "")])), None, "not said is no region");
    }

    #[test]
    fn a_client_may_say_how_hard_its_request_is() {
        let said = |value| RequestHints::complexity(&headers(&[(COMPLEXITY, value)]));
        assert_eq!(said(" 0.73 "), Some(730));
        assert_eq!(said("1e99"), Some(u32::MAX));
        for odd in ["hard", "-1", "inf", "NaN", ""] {
            assert_eq!(said(odd), None, "{odd}");
        }
        assert_eq!(RequestHints::complexity(&headers(&[])), None);
    }

    #[test]
    fn a_client_may_say_that_it_tries_again() {
        let said = |list: &[(&'static str, &'static str)]| RequestHints::again(&headers(list));
        assert_eq!(said(&[(SDK_RETRY, "0")]), 0);
        assert_eq!(said(&[(SDK_RETRY, "2")]), 2);
        assert_eq!(said(&[(SDK_RETRY, "2"), (RETRY, "1")]), 1, "ours counts");
        assert_eq!(said(&[(RETRY, "4000000000")]), u8::MAX);
        for odd in ["", "-1", "often", "99999999999999999999"] {
            assert_eq!(said(&[(RETRY, odd)]), 0, "{odd}");
        }
        assert_eq!(said(&[]), 0);
    }

    #[test]
    fn a_session_is_named_by_the_header_or_else_by_the_user() {
        let a = headers(&[(SESSION, "a")]);
        let none = headers(&[]);
        assert_eq!(RequestHints::session(&a, Some("b")), RequestHints::session(&none, Some("a")));
        assert_ne!(
            RequestHints::session(&none, Some("b")),
            RequestHints::session(&none, Some("a"))
        );
        assert_eq!(RequestHints::session(&none, None), None);
        assert_eq!(RequestHints::session(&none, Some("")), None);
    }
}

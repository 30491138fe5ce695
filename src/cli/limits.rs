//! The limits of the gateway as options: what nobody may make it hold, and for how long.

use std::time::Duration;

use clap::Args;

use crate::live::http::{self, HttpLimits};
use crate::unit::Span;

/// Every phase of a connection has a limit, and everything that it makes the gateway keep.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitOptions {
    /// Connections at a time; for one more the longest idle one is closed
    #[arg(long, value_name = "COUNT", default_value_t = http::CONNECTIONS_MAX, value_parser = places)]
    max_connections: usize,
    /// Connections at a time of one address outside of this machine; of IPv6, of one network
    #[arg(long, value_name = "COUNT", default_value_t = http::ADDRESS_MAX, value_parser = places)]
    max_connections_per_address: usize,
    /// Bytes of a request's head, such as 32KiB; at least 8KiB
    #[arg(long, value_name = "BYTES", default_value = "32KiB", value_parser = head_bytes)]
    max_head: usize,
    /// Headers of a request
    #[arg(long, value_name = "COUNT", default_value_t = http::HEADERS_MAX, value_parser = places)]
    max_headers: usize,
    /// Bytes of a request's body
    #[arg(long, value_name = "BYTES", default_value = "32MiB", value_parser = bytes)]
    max_body: usize,
    /// Bytes of the bodies of all requests under way
    #[arg(long, value_name = "BYTES", default_value = "512MiB", value_parser = bytes)]
    max_bodies: usize,
    /// Bytes of answers that are read as a whole, and of events that are not whole yet
    #[arg(long, value_name = "BYTES", default_value = "512MiB", value_parser = bytes)]
    max_answers: usize,
    /// A request's head must be whole so long after its first byte
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span)]
    head_timeout: Span,
    /// Of a request's body something must come within so long
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span)]
    body_timeout: Span,
    /// A connection is kept so long without a request
    #[arg(long, value_name = "SPAN", default_value = "75s", value_parser = span)]
    idle_timeout: Span,
    /// A client that reads nothing for so long is given up
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span)]
    write_timeout: Span,
    /// Requests under way may go on for so long after a signal to end
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span)]
    drain_timeout: Span,
}

impl LimitOptions {
    /// Returns the limits that are meant.
    pub(super) fn limits(self) -> HttpLimits {
        let time = |span: Span| Duration::from_nanos(span.0);
        HttpLimits {
            head: time(self.head_timeout),
            idle: time(self.idle_timeout),
            body: time(self.body_timeout),
            write: time(self.write_timeout),
            body_max: self.max_body,
            bodies_max: self.max_bodies,
            answers_max: self.max_answers,
            head_max: self.max_head,
            headers_max: self.max_headers,
            connections_max: self.max_connections,
            address_max: self.max_connections_per_address,
            drain: time(self.drain_timeout),
        }
    }
}

fn places(text: &str) -> Result<usize, String> {
    let count = text.replace('_', "").parse().ok();
    count.filter(|count| (1..=1_000_000).contains(count)).ok_or_else(|| {
        let wanted = "write a whole number from 1 to 1000000";
        wanted.to_owned()
    })
}

/// No limit is larger: 1 TiB.
const BYTES_MAX: usize = 1 << 40;

fn bytes(text: &str) -> Result<usize, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("", 0)];
    let read = units.into_iter().find_map(|(unit, shift)| {
        let count: usize = text.strip_suffix(unit)?.trim().parse().ok()?;
        count.checked_mul(1 << shift)
    });
    let fits = |bytes: &usize| (1..=BYTES_MAX).contains(bytes);
    read.filter(fits).ok_or_else(|| "write bytes, such as 65536, 64KiB, 32MiB or 1GiB".to_owned())
}

fn head_bytes(text: &str) -> Result<usize, String> {
    let wanted = || "a head has a limit from 8KiB to 1MiB".to_owned();
    bytes(text).and_then(|bytes| {
        Some(bytes).filter(|bytes| (8 << 10..=1 << 20).contains(bytes)).ok_or_else(wanted)
    })
}

/// A span that a phase may last. What lasts for ever has no limit, and everything here has one.
fn span(text: &str) -> Result<Span, String> {
    let day = Span::from_secs(86_400);
    let span = Span::parse(text)?;
    if span == Span::ZERO || span > day {
        return Err("write a span from above zero to 24h".to_owned());
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn parsed(arguments: &[&str]) -> Option<HttpLimits> {
        let command = LimitOptions::augment_args(clap::Command::new("x"));
        let matches = command.try_get_matches_from([&["x"], arguments].concat()).ok()?;
        Some(LimitOptions::from_arg_matches(&matches).ok()?.limits())
    }

    #[test]
    fn unless_they_are_changed_limits_are_those_of_every_server() {
        let limits = parsed(&[]).expect("nothing is wrong");
        assert_eq!(format!("{limits:?}"), format!("{:?}", HttpLimits::default()));
        let changed = parsed(&["--max-body", "1GiB", "--head-timeout", "250ms"]).expect("good");
        assert_eq!((changed.body_max, changed.head), (1 << 30, Duration::from_millis(250)));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for wrong in [
            ["--max-connections", "0"],
            ["--max-connections", "-1"],
            ["--max-headers", "1e9"],
            ["--max-body", "18446744073709551615"],
            ["--max-body", "99999999999GiB"],
            ["--max-bodies", "many"],
            ["--max-head", "100"],
            ["--head-timeout", "0s"],
            ["--idle-timeout", "2000h"],
            ["--body-timeout", "nan"],
        ] {
            assert!(parsed(&wrong).is_none(), "{wrong:?}");
        }
    }
}

//! Numbers that know their unit: time, tokens, money, shares and ids, and arithmetic on them.
//!
//! Everything a run adds up is an integer, so sums are exact, do not depend on the order of
//! addition and are the same bits on every machine. A price is in micro-dollars per million
//! tokens and a cost in pico-dollars, so that price times tokens is a cost without rounding.
//! This file owns no state and knows nothing of balancing.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};

const NANOS: u64 = 1_000_000_000;

/// A point in time: nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The start of the run.
    pub const ZERO: Time = Time(0);
    /// Later than everything; 584 years after the start.
    pub const MAX: Time = Time(u64::MAX);

    /// Returns the span from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Returns the time in seconds, for display and scores only.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

/// `2:13.4` or `1:02:13.4`: minutes (and hours), seconds, tenths.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / (NANOS / 10);
        let (hours, minutes) = (tenths / 36_000, tenths / 600 % 60);
        let (seconds, tenth) = (tenths / 10 % 60, tenths % 10);
        if hours > 0 {
            write!(f, "{hours}:{minutes:02}:{seconds:02}.{tenth}")
        } else {
            write!(f, "{minutes:02}:{seconds:02}.{tenth}")
        }
    }
}

/// A length of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// Longer than any run.
    pub const MAX: Span = Span(u64::MAX);

    /// A span of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Span {
        Span(millis.saturating_mul(1_000_000))
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Span {
        Span(seconds.saturating_mul(NANOS))
    }

    /// The span nearest to `seconds`. Negative and not-a-number give zero, too large gives `MAX`.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Span {
        // A float-to-integer cast saturates and maps not-a-number to zero.
        Span((seconds * NANOS as f64).round() as u64)
    }

    /// Returns the span in seconds, for display and scores only.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }

    /// Returns the span in whole microseconds, rounded to nearest.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0.saturating_add(500) / 1_000
    }

    /// Stretches the span by `factor`; see [`Span::from_seconds`] for edge values.
    #[must_use]
    pub fn scale(self, factor: f64) -> Span {
        Span((self.0 as f64 * factor).round() as u64)
    }

    /// Parses `"450ms"`, `"1.4s"`, `"10m"`, `"2h"`, `"250us"`, `"80ns"`, `"7d"`, or several of these
    /// from the largest unit to the smallest: `"2m10s"`.
    ///
    /// # Errors
    /// A sentence that says what was wrong, if a number is missing, negative, not finite or larger
    /// than 584 years, if a unit is missing or unknown, or if units do not shrink.
    pub fn parse(text: &str) -> Result<Span, String> {
        let text = text.trim();
        let in_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '+');
        let (mut rest, mut sum, mut before) = (text, 0.0, f64::INFINITY);
        loop {
            let split = rest.find(|c: char| !in_number(c)).unwrap_or(rest.len());
            let (number, after) = rest.split_at(split);
            let (unit, after) = after.split_at(after.find(in_number).unwrap_or(after.len()));
            let nanos_per_unit = nanos_per_unit(text, unit.trim())?;
            if nanos_per_unit >= before {
                return Err(format!(
                    "`{text}` names its units in no order; write for instance \"2m10s\""
                ));
            }
            let value: f64 = number
                .replace('_', "")
                .parse()
                .map_err(|_| format!("`{number}` is not a number"))?;
            // What is not a number stays none, whatever is added to it.
            sum += if value < 0.0 { f64::NAN } else { value * nanos_per_unit };
            if after.is_empty() {
                break;
            }
            (rest, before) = (after, nanos_per_unit);
        }
        if sum.is_nan() || sum < 0.0 {
            return Err("a duration cannot be negative".to_owned());
        }
        if sum >= u64::MAX as f64 {
            return Err("a duration cannot exceed 584 years".to_owned());
        }
        Ok(Span(sum.round() as u64))
    }
}

/// Nanoseconds of a unit, out of a text that names it.
fn nanos_per_unit(text: &str, unit: &str) -> Result<f64, String> {
    match unit {
        "ns" => Ok(1.0),
        "us" | "µs" => Ok(1e3),
        "ms" => Ok(1e6),
        "s" => Ok(1e9),
        "m" | "min" => Ok(60e9),
        "h" => Ok(3_600e9),
        "d" => Ok(86_400e9),
        "" => Err(format!("`{text}` has no unit; write for instance \"450ms\" or \"10s\"")),
        other => Err(format!("unknown unit `{other}`; durations end in ns, us, ms, s, m, h or d")),
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Span) {
        *self = *self + other;
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

/// The largest unit that keeps the value at or above one, at most three decimals: `1.4s`, `450ms`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (per_unit, unit) = match self.0 {
            0 => return f.write_str("0s"),
            n if n < 1_000 => (1.0, "ns"),
            n if n < 1_000_000 => (1e3, "us"),
            n if n < NANOS => (1e6, "ms"),
            n if n < 120 * NANOS => (1e9, "s"),
            n if n < 7_200 * NANOS => (60e9, "m"),
            n if n < 172_800 * NANOS => (3_600e9, "h"),
            _ => (86_400e9, "d"),
        };
        let text = format!("{:.3}", self.0 as f64 / per_unit);
        write!(f, "{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A number of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tokens(pub u64);

impl Tokens {
    /// No tokens.
    pub const ZERO: Tokens = Tokens(0);

    /// Returns `self - other`, or zero where that would be negative.
    #[must_use]
    pub const fn less(self, other: Tokens) -> Tokens {
        Tokens(self.0.saturating_sub(other.0))
    }
}

impl Add for Tokens {
    type Output = Tokens;
    fn add(self, other: Tokens) -> Tokens {
        Tokens(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Tokens) {
        *self = *self + other;
    }
}

impl SubAssign for Tokens {
    /// # Panics
    /// If the result would be negative: a ledger that loses tokens is a bug.
    fn sub_assign(&mut self, other: Tokens) {
        self.0 = self.0.checked_sub(other.0).expect("a token count never falls below zero");
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A price in micro-dollars per million tokens: 2.50 USD per million tokens is `Price(2_500_000)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub u64);

impl Price {
    /// Free of charge.
    pub const ZERO: Price = Price(0);

    /// The price nearest to `dollars` per million tokens; negative and not-a-number give zero.
    #[must_use]
    pub fn from_dollars(dollars: f64) -> Price {
        Price((dollars * 1e6).round() as u64)
    }

    /// Returns dollars per million tokens, for display and scores only.
    #[must_use]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Mul<Tokens> for Price {
    type Output = Cost;
    /// Exact: micro-dollars per million tokens, times tokens, is pico-dollars.
    fn mul(self, tokens: Tokens) -> Cost {
        Cost(u128::from(self.0) * u128::from(tokens.0))
    }
}

/// Money in pico-dollars (1e-12 USD). A sum of costs is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(pub u128);

impl Cost {
    /// No cost.
    pub const ZERO: Cost = Cost(0);

    /// Returns the cost in dollars, for display and scores only.
    #[must_use]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e12
    }

    /// What `hourly` micro-dollars an hour cost over `span`, rounded down to a pico-dollar.
    #[must_use]
    pub fn of_hours(hourly: u64, span: Span) -> Cost {
        // micro-dollars an hour * ns / (3600e9 ns an hour) * 1e6 pico-dollars a micro-dollar
        Cost(u128::from(hourly) * u128::from(span.0) / 3_600_000)
    }
}

impl Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::ZERO, Add::add)
    }
}

/// A share of a whole in parts per million: 0.2 is `Ratio(200_000)`. May exceed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(pub u32);

impl Ratio {
    /// Nothing.
    pub const ZERO: Ratio = Ratio(0);
    /// All of it.
    pub const ONE: Ratio = Ratio(1_000_000);

    /// The ratio nearest to `value`; negative and not-a-number give zero.
    #[must_use]
    pub fn from_f64(value: f64) -> Ratio {
        Ratio((value * 1e6).round() as u32)
    }

    /// Returns the ratio as a number, for display and scores only.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns `count * self`, rounded down.
    #[must_use]
    pub const fn of(self, count: u64) -> u64 {
        (count as u128 * self.0 as u128 / 1_000_000) as u64
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash
        )]
        pub struct $name(pub $int);

        impl $name {
            /// Returns the id as an index into a `Vec` in file order.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// A node: its place in the file over all pools. Never used again after the node is gone.
    NodeId(u32)
);
id!(
    /// A pool, in file order.
    PoolId(u16)
);
id!(
    /// A class of requests, in file order.
    ClassId(u16)
);
id!(
    /// A route, in file order.
    RouteId(u16)
);
id!(
    /// A model, numbered by first mention.
    ModelId(u16)
);
id!(
    /// A region, numbered by first mention.
    RegionId(u16)
);
id!(
    /// A workflow, in file order.
    WorkflowId(u16)
);
id!(
    /// A tenant.
    TenantId(u32)
);
id!(
    /// Another balancer instance in front of the same fleet.
    PeerId(u16)
);
id!(
    /// A credential that nodes share, numbered by first mention.
    CredentialId(u16)
);

/// A request: numbered by the driver in order of arrival, unique in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_times_tokens_is_exact() {
        // 2.50 USD per million tokens, 1 token: 2.5e-6 USD = 2_500_000 pico-dollars.
        assert_eq!(Price::from_dollars(2.50) * Tokens(1), Cost(2_500_000));
        let huge = Price(u64::MAX) * Tokens(u64::MAX);
        assert_eq!(huge.0, u128::from(u64::MAX) * u128::from(u64::MAX));
    }

    #[test]
    fn an_hour_costs_the_hourly_price() {
        assert_eq!(Cost::of_hours(1_200_000, Span::from_secs(3_600)), Cost(1_200_000_000_000));
        assert_eq!(Cost::of_hours(3_600, Span(1_000)), Cost(1));
    }

    #[test]
    fn durations_parse_and_print() {
        for (text, span) in [
            ("450ms", Span::from_millis(450)),
            ("1.4s", Span::from_millis(1_400)),
            ("10m", Span::from_secs(600)),
            ("2h", Span::from_secs(7_200)),
            ("80ns", Span(80)),
            ("7d", Span::from_secs(604_800)),
            ("0s", Span::ZERO),
        ] {
            assert_eq!(Span::parse(text).unwrap(), span, "{text}");
            assert_eq!(span.to_string(), text);
        }
        for (text, seconds) in
            [("2m10s", 130), ("1h30m", 5_400), ("1d2h3m4s", 93_784), ("1 h 30 min", 5_400)]
        {
            assert_eq!(Span::parse(text).unwrap(), Span::from_secs(seconds), "{text}");
        }
        for text in [
            "",
            "10",
            "-1s",
            "abc",
            "1e999s",
            "nan s",
            "9999999999999d",
            "5 parsecs",
            "s",
            "2m10",
            "10s2m",
            "2m-10s",
            "1s1s",
            "2mm",
            "2m s",
            "300000000h9999999999999d",
        ] {
            assert!(Span::parse(text).is_err(), "{text} must be refused");
        }
    }

    #[test]
    fn clocks_read_like_clocks() {
        assert_eq!(Time(133_450_000_000).to_string(), "02:13.4");
        assert_eq!((Time::ZERO + Span::from_secs(3_733)).to_string(), "1:02:13.0");
    }

    #[test]
    fn floats_at_the_edge_saturate() {
        assert_eq!(Span::from_seconds(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_seconds(-1.0), Span::ZERO);
        assert_eq!(Span::from_seconds(f64::INFINITY), Span::MAX);
        assert_eq!(Time::MAX + Span::from_secs(1), Time::MAX);
        assert_eq!(Time::ZERO.since(Time(5)), Span::ZERO);
    }
}

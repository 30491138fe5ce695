//! Numbers as people read them: three digits that matter, and a unit. `—` stands for none.

use crate::metrics::catalogue::Unit;

/// What stands where there is nothing to show.
pub const NONE: &str = "—";

/// A time: `812 ms`, `1.24 s`, `15.2 min`.
#[must_use]
pub fn seconds(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return NONE.to_owned();
    };
    // The borders lie where rounding to three digits would give 1000 of the smaller unit.
    let (number, unit) = match value {
        v if v <= 0.0 => return "0 s".to_owned(),
        v if v < 999.5e-6 => (v * 1e6, "µs"),
        v if v < 999.5e-3 => (v * 1e3, "ms"),
        v if v < 600.0 => (v, "s"),
        v if v < 7_200.0 => (v / 60.0, "min"),
        v => (v / 3_600.0, "h"),
    };
    format!("{} {unit}", three_digits(number))
}

/// A count: `1,234,567`.
#[must_use]
pub fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// A number of things: `1 node`, `2 nodes`, `1,000 classes`.
#[must_use]
pub fn plural(number: usize, thing: &str) -> String {
    let end = match thing {
        _ if number == 1 => "",
        thing if thing.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {thing}{end}", count(number as u64))
}

/// A part of a whole: `99.79 %`.
#[must_use]
pub fn share(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return NONE.to_owned();
    };
    let percent = value * 100.0;
    // One failure in a million is not nothing.
    if percent != 0.0 && percent.abs() < 0.005 {
        return format!("{percent:.4} %");
    }
    format!("{percent:.2} %")
}

/// `part` of `whole` as a share.
#[must_use]
pub fn share_of(part: u64, whole: u64) -> String {
    share((whole > 0).then(|| part as f64 / whole as f64))
}

/// Money: `$1,234.50`; below a dollar four decimals.
#[must_use]
pub fn dollars(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return NONE.to_owned();
    };
    let small = value != 0.0 && value.abs() < 0.99995;
    let text = if small { format!("{:.4}", value.abs()) } else { format!("{:.2}", value.abs()) };
    format!("{}${}", if value < 0.0 { "-" } else { "" }, grouped(&text))
}

/// A rate: `39.9/s`.
#[must_use]
pub fn per_second(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map_or_else(|| NONE.to_owned(), |value| format!("{}/s", grouped(&three_digits(value))))
}

/// A number that need not be whole: `6.25`.
#[must_use]
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.2}"))
}

/// A number in the unit of a verdict.
#[must_use]
pub fn in_unit(value: Option<f64>, unit: Unit) -> String {
    match unit {
        Unit::Seconds => seconds(value),
        Unit::Share => share(value),
        Unit::Dollars => dollars(value),
        Unit::PerSecond => per_second(value),
        Unit::Number => number(value),
        Unit::Count => value.map_or_else(|| NONE.to_owned(), |value| count(value as u64)),
    }
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Puts a comma between every three digits before the point.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = String::with_capacity(number.len() + whole.len() / 3);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (value, text) in [
            (0.0, "0 s"),
            (42e-6, "42.0 µs"),
            (0.000_999_6, "1.00 ms"),
            (0.008_126, "8.13 ms"),
            (0.812, "812 ms"),
            (0.999_6, "1.00 s"),
            (12.345, "12.3 s"),
            (599.9, "600 s"),
            (912.0, "15.2 min"),
            (7_199.0, "120 min"),
            (31_260.0, "8.68 h"),
            (90_000.0, "25.0 h"),
        ] {
            assert_eq!(seconds(Some(value)), text);
        }
        assert_eq!(seconds(None), NONE);
        assert_eq!(seconds(Some(f64::NAN)), NONE);
    }

    #[test]
    fn counts_shares_and_money_read_well() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([share_of(1, 0), share_of(1, 3), share_of(0, 3)], [NONE, "33.33 %", "0.00 %"]);
        assert_eq!(share_of(1, 1_000_000), "0.0001 %");
        let money = [0.0, 0.001_23, 0.999_99, 1_234.5].map(|value| dollars(Some(value)));
        assert_eq!(money, ["$0.00", "$0.0012", "$1.00", "$1,234.50"]);
        assert_eq!([per_second(Some(39.94)), per_second(Some(12_345.0))], ["39.9/s", "12,345/s"]);
    }
}

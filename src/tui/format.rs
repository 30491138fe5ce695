//! Numbers as people read them on a crowded screen: three or four significant digits, never more
//! columns than promised, never a surprise for a number that is not finite.

use ratatui::text::Span as Text;

use crate::unit::Span;

/// Seconds in at most five columns: `0.047`, `0.47`, `6.84`, `12.3`, `340`, `1.2k`.
pub(super) fn seconds(span: Span) -> String {
    let value = span.seconds();
    match value {
        v if v < 0.0995 => format!("{v:.3}"),
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => count(v),
    }
}

/// Seconds or the sign for nothing.
pub(super) fn seconds_or(span: Option<Span>, none: &str) -> String {
    span.map_or_else(|| none.to_owned(), seconds)
}

/// A whole number in at most five columns: `412`, `9940`, `39.6k`, `1.2M`.
pub(super) fn count(value: f64) -> String {
    if value.abs() < 9_999.5 { format!("{value:.0}") } else { scaled(value) }
}

/// A rate in at most five columns, with a decimal while it is small: `4.1`, `98.7`, `412`.
pub(super) fn rate(value: f64) -> String {
    if value.abs() < 99.95 { format!("{value:.1}") } else { count(value) }
}

/// Dollars in at most five columns: `0.71`, `47.90`, `512`, `4120`, `39.6k`.
pub(super) fn dollars(value: f64) -> String {
    if value.abs() < 99.995 { format!("{value:.2}") } else { count(value) }
}

/// A share as a percentage in at most four columns: `7%`, `100%`.
pub(super) fn percent(share: f64) -> String {
    let value = (share * 100.0).round();
    if value.is_finite() { format!("{:.0}%", value.clamp(-99.0, 999.0)) } else { "?%".to_owned() }
}

/// A share as a percentage with a decimal, without the sign: `0.9`, `12.5`, `100`.
pub(super) fn percent_fine(share: f64) -> String {
    let value = share * 100.0;
    match value {
        v if !v.is_finite() => "?".to_owned(),
        v if v.abs() < 99.95 => format!("{v:.1}"),
        v => format!("{:.0}", v.clamp(-9999.0, 99_999.0)),
    }
}

/// A number with a thousands letter and three digits: `39.6k`, `1.24M`.
fn scaled(value: f64) -> String {
    const LETTERS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    let mut rest = value / 1e3;
    for letter in LETTERS {
        match rest.abs() {
            v if v < 9.995 => return format!("{rest:.2}{letter}"),
            v if v < 99.95 => return format!("{rest:.1}{letter}"),
            v if v < 999.5 => return format!("{rest:.0}{letter}"),
            _ => rest /= 1e3,
        }
    }
    if value.is_nan() { "?" } else { "huge" }.to_owned()
}

/// A long whole number with thin groups: `55 318`.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Returns how many columns `text` takes.
pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Text::raw(text).width() }
}

/// Shortens `text` to `max` columns, with `more` as its last where something was cut.
pub(super) fn cut(text: &str, max: usize, more: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    if width(&clean) <= max {
        return clean;
    }
    let room = max.saturating_sub(width(more));
    let mut out = String::new();
    let mut used = 0;
    for c in clean.chars() {
        let columns = width(c.encode_utf8(&mut [0; 4]));
        if used + columns > room {
            break;
        }
        used += columns;
        out.push(c);
    }
    if max >= width(more) {
        out.push_str(more);
    }
    out
}

/// Shortens a name in its middle: what tells `pool-node-17` from `pool-node-18` stands at the end.
pub(super) fn cut_name(name: &str, max: usize, more: &str) -> String {
    let clean: String = name.chars().filter(|c| !c.is_control()).collect();
    // Wide characters and short columns are cut as other text is.
    if !clean.is_ascii() || clean.len() <= max || max < 8 + width(more) {
        return cut(&clean, max, more);
    }
    let tail = (max - width(more)) / 2;
    let head = max - width(more) - tail;
    format!("{}{more}{}", &clean[..head], &clean[clean.len() - tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_columns() {
        for value in [0.0, 0.04, 0.999, 9.99, 9.999, 99.94, 99.96, 999.6, 9_999.6, 1e5, 1e9, 1e17] {
            assert!(rate(value).len() <= 5, "{}", rate(value));
            assert!(count(value).len() <= 5, "{}", count(value));
            assert!(dollars(value).len() <= 5, "{}", dollars(value));
            assert!(seconds(Span::from_seconds(value)).len() <= 5);
            assert!(percent(value).len() <= 4, "{}", percent(value));
        }
        assert_eq!(count(39_600.0), "39.6k");
        assert_eq!(dollars(47.9), "47.90");
        assert_eq!(seconds(Span::from_millis(2_310)), "2.31");
        assert_eq!(grouped(1_055_318), "1 055 318");
    }

    #[test]
    fn odd_numbers_do_not_surprise() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e300] {
            for text in [count(value), rate(value), dollars(value), percent(value)] {
                assert!(text.len() <= 5, "{text}");
            }
        }
    }

    #[test]
    fn text_is_cut_by_columns_not_bytes() {
        assert_eq!(cut("gpt-eu-1", 8, "…"), "gpt-eu-1");
        assert_eq!(cut("gpt-eu-10", 8, "…"), "gpt-eu-…");
        assert_eq!(cut("模型模型", 5, "…"), "模型…");
        assert_eq!(cut("ab\ncd", 9, "…"), "abcd");
        assert_eq!(cut("abc", 0, "…"), "");
        assert_eq!(cut_name("gpt-eu-1", 12, "…"), "gpt-eu-1");
        assert_eq!(cut_name("westeurope-h100-17", 12, "…"), "westeu…00-17");
    }
}

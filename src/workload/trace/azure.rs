//! Rows of the Azure LLM inference traces (2023 and 2024):
//! `TIMESTAMP,ContextTokens,GeneratedTokens`.
//!
//! Source: Patel et al., "Splitwise: Efficient Generative LLM Inference Using Phase Splitting",
//! ISCA 2024. A timestamp is a date and a time of day with up to nine decimals; it may end in `Z`
//! or `+00:00`. Dates are turned into days by the calendar, so midnight and the ends of months
//! and years are exact.

use super::{Flaw, TraceRow, shown, tokens};

const HEADER: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];
const DAY_NS: u64 = 86_400_000_000_000;

/// Checks the header line.
pub(super) fn header(line: &[u8]) -> Result<(), Flaw> {
    let wanted = HEADER.join(",");
    let found = || line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let same = |(cell, name): (&[u8], &str)| cell.eq_ignore_ascii_case(name.as_bytes());
    if found().count() == HEADER.len() && found().zip(HEADER).all(same) {
        return Ok(());
    }
    if line.first().is_some_and(u8::is_ascii_digit) {
        return Err(Flaw::new(1, format!("the header is missing; the first line is `{wanted}`")));
    }
    // Which column is which is not known: errors about rows would only be noise.
    Err(Flaw::last(1, format!("found `{}`; the first line must be `{wanted}`", shown(line))))
}

/// Parses one row. Allocates nothing if it is good.
pub(super) fn row(line: &[u8]) -> Result<TraceRow, Flaw> {
    fields(line).map_err(|flaw| match std::str::from_utf8(line) {
        Ok(_) => flaw,
        Err(error) => super::not_text(error),
    })
}

fn fields(line: &[u8]) -> Result<TraceRow, Flaw> {
    let mut starts = [0_usize; 4];
    let mut count = 1;
    for (at, _) in line.iter().enumerate().filter(|(_, byte)| **byte == b',') {
        if count < starts.len() {
            starts[count] = at + 1;
        }
        count += 1;
    }
    if count != HEADER.len() {
        let column = if count > HEADER.len() { starts[3] } else { line.len() } as u64 + 1;
        let plural = if count == 1 { "" } else { "s" };
        let reason = format!("{count} field{plural}; wanted 3: {}", HEADER.join(","));
        return Err(Flaw::new(column, reason));
    }
    let at = timestamp(&line[..starts[1] - 1])?;
    let prompt = count_of(line, starts[1], starts[2] - 1)?;
    let output = count_of(line, starts[2], line.len())?;
    Ok(TraceRow { at, prompt, output, ..TraceRow::default() })
}

fn count_of(line: &[u8], from: usize, to: usize) -> Result<u64, Flaw> {
    tokens(&line[from..to]).map_err(|reason| Flaw::new(from as u64 + 1, reason))
}

/// Nanoseconds since the start of 1970, as a signed 128-bit number: ten thousand years fit.
pub(super) fn timestamp(field: &[u8]) -> Result<i128, Flaw> {
    let wrong = |at: usize| {
        let wanted = "wanted a time such as 2023-11-16 18:15:46.6805900";
        Flaw::new(at as u64 + 1, format!("`{}`: {wanted}", shown(field)))
    };
    const SHAPE: &[u8] = b"dddd-dd-dd dd:dd:dd";
    if field.len() < SHAPE.len() {
        return Err(wrong(0));
    }
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b' ' => matches!(byte, b' ' | b'T'),
        _ => byte == shape,
    };
    if let Some(at) = field.iter().zip(SHAPE).position(|pair| !fits(pair)) {
        return Err(wrong(at));
    }
    let number = |from: usize, to: usize| {
        field[from..to].iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    if year < 1970 || month == 0 || month > 12 || day == 0 || day > days_in(year, month) {
        return Err(Flaw::new(1, format!("`{}`: there is no such day", shown(field))));
    }
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Flaw::new(12, format!("`{}`: there is no such time of day", shown(field))));
    }
    let fraction = fraction(&field[SHAPE.len()..]).ok_or_else(|| wrong(SHAPE.len()))?;
    let in_day = ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + fraction;
    Ok(i128::from(days(year, month, day)) * i128::from(DAY_NS) + i128::from(in_day))
}

/// Nanoseconds from what follows the seconds: nothing, `.6805900`, `Z` or `+00:00`.
fn fraction(rest: &[u8]) -> Option<u64> {
    let rest = rest.trim_ascii_end();
    let rest = rest.strip_suffix(b"+00:00").or(rest.strip_suffix(b"Z")).unwrap_or(rest);
    let Some(digits) = rest.strip_prefix(b".") else {
        return rest.is_empty().then_some(0);
    };
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(value * 10_u64.pow(9 - digits.len() as u32))
}

fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1 January 1970 (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March here, so that the leap day is the last of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_calendar() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 11_017);
        let mut expected = 0;
        for year in 1970..2410 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days(year, month, day), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn seconds_may_have_any_number_of_decimals_up_to_nine() {
        let at = |text: &str| timestamp(text.as_bytes()).unwrap();
        let second = at("2024-05-10 00:00:01");
        assert_eq!(at("2024-05-10 00:00:01.5") - second, 500_000_000);
        assert_eq!(at("2024-05-10 00:00:01.009930+00:00") - second, 9_930_000);
        assert_eq!(at("2024-05-10T00:00:01.000000001Z") - second, 1);
        for rest in [".", ".0000000001", "x", ".5+01:00"] {
            let text = format!("2024-05-10 00:00:01{rest}");
            assert!(timestamp(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn days_that_are_not_in_the_calendar_are_refused() {
        for day in ["2023-02-29", "2023-13-01", "2023-00-10", "1969-12-31"] {
            let error = timestamp(format!("{day} 00:00:00").as_bytes()).unwrap_err();
            assert!(error.reason.contains("no such day"), "{day}");
        }
        let error = timestamp(b"2023-01-01 24:00:00").unwrap_err();
        assert_eq!((error.column, error.reason.contains("time of day")), (12, true));
    }
}

//! Histograms for other tools: HdrHistogram interval logs (`.hlog`), percentile distributions
//! (`.hgrm`) and CSV.
//!
//! Values in a histogram are whole microseconds. An interval log keeps every bucket and can be
//! merged with others; a percentile distribution feeds the usual plotter. No file holds a time of
//! day: a log starts at zero and its intervals last as long as the simulated time.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use crate::unit::{Span, Time};

/// Steps for each halving of the distance to 100 %, as the HdrHistogram tools have by default.
const TICKS: u32 = 5;
/// Microseconds in a millisecond.
const MILLI: f64 = 1_000.0;
/// File names are at most so long, extension excluded.
const STEM_MAX: usize = 80;

/// A histogram of microseconds and what it is of: `latency`, `class=chat`.
#[derive(Clone, Copy, Debug)]
pub struct Tagged<'a> {
    /// What it is of.
    pub tag: &'a str,
    /// Values in microseconds.
    pub histogram: &'a Histogram<u64>,
}

/// Begins an HdrHistogram V2 interval log, whose values and maxima are microseconds.
///
/// # Errors
/// If `out` fails.
pub fn hlog_begin(mut out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Logged with Plimsoll; values and maxima in microseconds]")
        .add_comment("[Histogram log format version 1.3]")
        .with_start_time(UNIX_EPOCH)
        .begin_log_with(&mut out, &mut serializer)?;
    log.write_comment(
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
    )
}

/// Adds histograms of one interval to a log that was begun. Characters that a tag may not have
/// (commas, spaces, line ends) become `_`.
///
/// # Errors
/// If `out` fails, or a histogram cannot be encoded.
pub fn hlog_add(
    entries: &[Tagged<'_>],
    start: Time,
    length: Span,
    mut out: &mut dyn Write,
) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    // Without settings a builder writes no header.
    let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut out, &mut serializer)?;
    let (start, length) = (Duration::from_nanos(start.0), Duration::from_nanos(length.0));
    for entry in entries {
        let tag = tag(entry.tag);
        log.write_histogram(entry.histogram, start, length, Tag::new(&tag)).map_err(|error| {
            match error {
                IntervalLogWriterError::IoError(error) => error,
                IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
            }
        })?;
    }
    Ok(())
}

fn tag(text: &str) -> String {
    let clean = |c: char| {
        if c == ',' || c.is_whitespace() || c.is_control() { '_' } else { c }
    };
    text.chars().map(clean).collect()
}

/// Writes the percentile distribution of a histogram in milliseconds, as the HdrHistogram plotter
/// reads it. The unit stands in a comment at the end.
///
/// # Errors
/// If `out` fails.
pub fn hgrm(histogram: &Histogram<u64>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0;
    // The iterator would give one line at 100 % of nothing.
    let points =
        histogram.iter_quantiles(TICKS).take(if histogram.is_empty() { 0 } else { usize::MAX });
    for point in points {
        total += point.count_since_last_iteration();
        let value = point.value_iterated_to() as f64 / MILLI;
        let quantile = point.quantile_iterated_to();
        write!(out, "{value:>12.3} {quantile:>2.12} {total:>10}")?;
        if quantile < 1.0 {
            write!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?;
        }
        writeln!(out)?;
    }
    footer(histogram, out)
}

fn footer(histogram: &Histogram<u64>, out: &mut dyn Write) -> io::Result<()> {
    let (mean, deviation) = (histogram.mean() / MILLI, histogram.stdev() / MILLI);
    writeln!(out, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
    let (max, count) = (histogram.max() as f64 / MILLI, histogram.len());
    writeln!(out, "#[Max     = {max:>12.3}, Total count    = {count:>12}]")?;
    // A bucket resolves twice the decimal digits asked for, rounded up to a power of two.
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let buckets = histogram.buckets();
    writeln!(out, "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]")?;
    writeln!(out, "#[Unit    = milliseconds]")
}

/// Writes one CSV line for each histogram: its tag, count, and times in seconds. What has no
/// sample is empty.
///
/// # Errors
/// If `out` fails.
pub fn csv(entries: &[Tagged<'_>], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "tag,count,min_s,mean_s,p50_s,p90_s,p95_s,p99_s,p999_s,max_s")?;
    for entry in entries {
        let histogram = entry.histogram;
        write!(out, "{},{}", quoted(entry.tag), histogram.len())?;
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64;
        let (min, max) = (histogram.min() as f64, histogram.max() as f64);
        for micros in [min, histogram.mean(), at(0.5), at(0.9), at(0.95), at(0.99), at(0.999), max]
        {
            if histogram.is_empty() {
                write!(out, ",")?;
            } else {
                write!(out, ",{:.6}", micros / 1e6)?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A field of CSV: in quotes where it has to be, and marked as text where a spreadsheet would work it out.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mark = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{mark}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{mark}{text}")
    }
}

/// Gives out file names for things named by people, each only once.
#[derive(Clone, Debug, Default)]
pub struct FileNames {
    taken: BTreeSet<String>,
}

impl FileNames {
    /// A file name for `label` that stays in its folder, is valid on every common system and has
    /// not been given out before (even where case does not count). `extension` has no dot.
    pub fn name(&mut self, label: &str, extension: &str) -> String {
        let stem = stem(label);
        let mut number = 1_u64;
        loop {
            let name = if number == 1 {
                format!("{stem}.{extension}")
            } else {
                format!("{stem}~{number}.{extension}")
            };
            if self.taken.insert(name.to_ascii_lowercase()) {
                return name;
            }
            number += 1;
        }
    }
}

/// Letters, digits, `-` and dots inside; everything else becomes `_`.
fn stem(label: &str) -> String {
    let clean = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }
    };
    let text: String = label.chars().take(STEM_MAX).map(clean).collect();
    let text = text.trim_matches('.');
    let device = text.split('.').next().unwrap_or_default().to_ascii_lowercase();
    // Windows keeps these words for itself, whatever follows the first dot.
    let reserved = matches!(device.as_str(), "con" | "prn" | "aux" | "nul")
        || ["com", "lpt"].iter().any(|port| {
            device.strip_prefix(port).is_some_and(|rest| rest.len() == 1 && rest >= "0")
        });
    if text.is_empty() || reserved { format!("_{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    fn histogram(values: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        values.for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn an_interval_log_reads_back_as_the_same_histograms() {
        let all = histogram((1..20_000).map(|n| n * n));
        let empty = histogram(std::iter::empty());
        let entries = [
            Tagged { tag: "latency", histogram: &all },
            Tagged { tag: "class=a, b\n", histogram: &empty },
        ];
        let mut bytes = Vec::new();
        hlog_begin(&mut bytes).unwrap();
        let start = Time::ZERO + Span::from_secs(10);
        for entry in entries {
            hlog_add(&[entry], start, Span::from_millis(600_500), &mut bytes).unwrap();
        }
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains("#[StartTime: 0.000 (seconds since epoch)]"), "{text}");
        let read: Vec<_> = IntervalLogIterator::new(&bytes)
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        let tags: Vec<_> = read.iter().map(|one| one.tag().unwrap().as_str().to_owned()).collect();
        assert_eq!(tags, ["latency", "class=a__b_"]);
        assert_eq!(read[0].duration(), Duration::from_millis(600_500));
        for (one, entry) in read.iter().zip(entries) {
            assert_eq!(one.start_timestamp(), Duration::from_secs(10));
            let bytes = decode(one.encoded_histogram());
            let back: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            assert!(back == *entry.histogram, "{}", entry.tag);
        }
    }

    /// Base 64, which only this test reads.
    fn decode(text: &str) -> Vec<u8> {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = text.bytes().filter_map(|c| LETTERS.iter().position(|letter| *letter == c));
        let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
        for digit in digits {
            bits = bits << 6 | digit as u32;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
            }
        }
        bytes
    }

    #[test]
    fn a_percentile_distribution_counts_everything() {
        let mut bytes = Vec::new();
        hgrm(&histogram((1..=10_000).map(|n| n * 100)), &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
            .collect();
        assert!(rows.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]));
        let last = &rows[rows.len() - 1];
        assert_eq!((last.len(), last[2] as u64), (3, 10_000), "all at 100 %, which has no odds");
        assert!(rows[..rows.len() - 1].iter().all(|row| row.len() == 4));
        let median = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert!((median[0] - 500.0).abs() < 1.0, "milliseconds: {median:?}");
        assert!(text.contains("Total count    =        10000]"), "{text}");
    }

    #[test]
    fn a_percentile_distribution_looks_like_those_of_other_tools() {
        let mut bytes = Vec::new();
        hgrm(&histogram([1_000, 2_000, 2_000, 40_000].into_iter()), &mut bytes).unwrap();
        hgrm(&histogram(std::iter::empty()), &mut bytes).unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
    }

    #[test]
    fn csv_quotes_names_and_leaves_out_what_is_not_there() {
        let (one, none) = (histogram(std::iter::once(1_500)), histogram(std::iter::empty()));
        let entries = [
            Tagged { tag: "node=a,\"b\"", histogram: &one },
            Tagged { tag: "latency", histogram: &none },
        ];
        let mut bytes = Vec::new();
        csv(&entries, &mut bytes).unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
    }

    #[test]
    fn a_spreadsheet_works_out_no_name() {
        for name in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=HYPERLINK(\"a\",\"b\")"] {
            assert!(quoted(name).trim_start_matches('"').starts_with('\''), "{name}");
        }
        assert_eq!(quoted("a=1+1"), "a=1+1");
    }

    #[test]
    fn file_names_stay_in_their_folder_and_never_collide() {
        let mut names = FileNames::default();
        let labels = [
            "node=gpt-4.1",
            "../../etc/passwd",
            "..",
            "",
            "a/b",
            "a:b",
            "A:B",
            "a_b",
            "con",
            "NUL.txt",
            "com1",
            "é\u{0}",
            "a_b~2",
        ];
        let given = labels.map(|label| names.name(label, "hgrm"));
        let mut unique: Vec<String> = given.iter().map(|name| name.to_lowercase()).collect();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), labels.len());
        assert!(
            given.iter().all(|name| !name.starts_with('.') && !name.contains(['/', '\\', ':']))
        );
        assert_eq!(names.name(&"x".repeat(999), "csv").len(), STEM_MAX + 4);
        insta::assert_snapshot!(given.join("\n"));
    }
}

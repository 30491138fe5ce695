//! Reads an expectation. Each piece keeps its place in the text, so that errors can point at it.

use super::nearest::nearest;
use super::scope::{kind_of, scope};
use super::{ExpectError, ExpectNames, Expectation, Op};
use crate::metrics::catalogue::{METRICS, MetricDef, Reading, Scopes, Stat, Unit, find, latency};
use crate::unit::Span;

/// What has metrics of the most general use: those of jobs and steps are told where one of them is meant.
const RUN_AND_PARTS: Scopes = Scopes::RUN.and(Scopes::CLASS).and(Scopes::POOL).and(Scopes::NODE);

/// A part of the text and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpectPiece<'a> {
    pub(super) text: &'a str,
    at: usize,
}

impl<'a> ExpectPiece<'a> {
    fn cut(self, from: usize, to: usize) -> ExpectPiece<'a> {
        let text = &self.text[from..to];
        let trimmed = text.trim_start();
        let at = self.at + from + text.len() - trimmed.len();
        ExpectPiece { text: trimmed.trim_end(), at }
    }

    fn from(self, from: usize) -> ExpectPiece<'a> {
        self.cut(from, self.text.len())
    }

    /// Splits at the last dot: what stands before it, if there is one, and after it.
    pub(super) fn last(self) -> (Option<ExpectPiece<'a>>, ExpectPiece<'a>) {
        match self.text.rfind('.') {
            Some(dot) => (Some(self.cut(0, dot)), self.from(dot + 1)),
            None => (None, self),
        }
    }

    pub(super) fn wrong(self, reason: String, help: Option<String>) -> ExpectError {
        ExpectError { at: self.at, len: self.text.len(), reason, help }
    }
}

pub(super) fn expectation(text: &str, names: &ExpectNames) -> Result<Expectation, ExpectError> {
    let whole = ExpectPiece { text, at: 0 }.from(0);
    let (left, op, right) = sides(whole)?;
    let reading = subject(left, names)?;
    let (limit, unit) = limit(right, reading.metric.unit)?;
    Ok(Expectation { text: whole.text.to_owned(), reading, op, limit, unit })
}

fn sides(whole: ExpectPiece<'_>) -> Result<(ExpectPiece<'_>, Op, ExpectPiece<'_>), ExpectError> {
    let is_op = |c: char| matches!(c, '<' | '>' | '=' | '!' | '≤' | '≥');
    let example = || Some("write for instance `latency.p99 < 2s`".to_owned());
    let Some(start) = whole.text.find(is_op) else {
        let end = whole.from(whole.text.len());
        return Err(end.wrong("nothing to compare with".to_owned(), example()));
    };
    let rest = &whole.text[start..];
    let end = start + rest.find(|c| !is_op(c)).unwrap_or(rest.len());
    let sign = whole.cut(start, end);
    let op = match sign.text {
        "<" => Op::Less,
        "<=" | "≤" => Op::LessOrEqual,
        ">" => Op::More,
        ">=" | "≥" => Op::MoreOrEqual,
        "==" => Op::Equal,
        other => {
            let near = match other {
                "=" => Some("write `==`".to_owned()),
                "=<" => Some("write `<=`".to_owned()),
                "=>" => Some("write `>=`".to_owned()),
                _ => None,
            };
            let reason = format!("unknown comparison `{other}`; there are < <= > >= ==");
            return Err(sign.wrong(reason, near));
        }
    };
    let (left, right) = (whole.cut(0, start), whole.from(end));
    if left.text.is_empty() {
        return Err(left.wrong("nothing before the comparison".to_owned(), example()));
    }
    if right.text.is_empty() {
        return Err(right.wrong("no value after the comparison".to_owned(), example()));
    }
    Ok((left, op, right))
}

/// Reads the left side.
fn subject(left: ExpectPiece<'_>, names: &ExpectNames) -> Result<Reading, ExpectError> {
    let (kind, path) = kind(left);
    let (rest, stat, word) = stat(path);
    let Some(stat) = stat else {
        let metric = metric(word, rest.is_some(), names)?;
        if metric.is_times() {
            return Err(without_stat(left, word));
        }
        return Ok(Reading { scope: scope(kind, rest, names, metric, word)?, metric, stat: None });
    };
    // What stands before the stat is a metric with its scope before it, or the scope itself.
    let (before, candidate) = rest.map_or((None, word), ExpectPiece::last);
    let known = rest.and_then(|_| find(candidate.text));
    // After `class:` and the like the first word is a name, whatever else it may mean.
    let named = kind.is_some() && before.is_none();
    // A name may have dots: `a.ttft` is a name where there is one, and no `a`.
    let has = |name: &str| kind.map_or_else(|| names.has(name), |kind| names.has_of(kind, name));
    let dotted =
        rest.is_some_and(|rest| has(rest.text)) && before.is_some_and(|before| !has(before.text));
    let named = named || dotted;
    match known {
        // `quality.mean` is the one number that quality is.
        Some(metric) if metric.name == "quality" && stat == Stat::Mean && !named => {
            let scope = scope(kind, before, names, metric, candidate)?;
            Ok(Reading { scope, metric, stat: None })
        }
        Some(metric) if metric.is_times() && !named => {
            let scope = scope(kind, before, names, metric, candidate)?;
            Ok(Reading { scope, metric, stat: Some(stat) })
        }
        Some(_) if !named && !has(candidate.text) => {
            let reason = format!("`{}` is one number and has no `{}`", candidate.text, word.text);
            Err(word.wrong(reason, Some(format!("leave out `.{}`", word.text))))
        }
        _ => {
            let metric = latency();
            let scope = scope(kind, rest, names, metric, word)?;
            Ok(Reading { scope, metric, stat: Some(stat) })
        }
    }
}

/// Takes `class:`, `pool:`, `step:` and the like off the front. Other colons belong to names.
fn kind(left: ExpectPiece<'_>) -> (Option<Scopes>, ExpectPiece<'_>) {
    let colon = left.text.find(':');
    let kind = colon.and_then(|colon| Some((kind_of(left.text[..colon].trim_end())?, colon)));
    kind.map_or((None, left), |(kind, colon)| (Some(kind), left.from(colon + 1)))
}

/// Splits the last word off, and the stat it is, if it is one.
fn stat(path: ExpectPiece<'_>) -> (Option<ExpectPiece<'_>>, Option<Stat>, ExpectPiece<'_>) {
    // `p99.9` is how people say it, but its dot is none that separates.
    if let Some(before) = path.text.strip_suffix("p99.9")
        && (before.is_empty() || before.trim_end().ends_with('.'))
    {
        let rest = before.trim_end().strip_suffix('.').map(|rest| path.cut(0, rest.len()));
        return (rest, Some(Stat::P999), path.from(before.len()));
    }
    let (rest, word) = path.last();
    let stat = Stat::ALL.into_iter().find(|stat| stat.name() == word.text);
    (rest, stat, word)
}

/// The metric that the last word names.
fn metric(
    word: ExpectPiece<'_>,
    scoped: bool,
    names: &ExpectNames,
) -> Result<&'static MetricDef, ExpectError> {
    if let Some(metric) = find(word.text) {
        return Ok(metric);
    }
    if word.text == "jobs" && !names.workflows.is_empty() {
        let reason = "of what jobs measure nothing is said".to_owned();
        return Err(word.wrong(reason, Some("write for instance `jobs.p99`".to_owned())));
    }
    if names.has(word.text) {
        let reason = format!("`{}` is a name; of what it measures nothing is said", word.text);
        return Err(word.wrong(reason, Some(format!("write for instance `{}.p99`", word.text))));
    }
    if word.text.strip_prefix('p').is_some_and(|rest| rest.parse::<f64>().is_ok()) {
        let reason = format!("`{}` is not measured", word.text);
        return Err(word.wrong(reason, Some(format!("there are {}", stat_names()))));
    }
    let what = if scoped { "metric or stat" } else { "metric" };
    let known = words().chain(Stat::ALL.map(Stat::name));
    let help = nearest(word.text, known).map_or_else(
        || format!("metrics are {}", metric_names(RUN_AND_PARTS)),
        |near| format!("did you mean `{near}`?"),
    );
    Err(word.wrong(format!("unknown {what} `{}`", word.text), Some(help)))
}

/// Every word for a metric.
pub(super) fn words<'a>() -> impl Iterator<Item = &'a str> {
    METRICS
        .iter()
        .flat_map(|metric| std::iter::once(metric.name).chain(metric.also.iter().copied()))
}

fn without_stat(left: ExpectPiece<'_>, word: ExpectPiece<'_>) -> ExpectError {
    let reason = format!("which of the numbers of `{}` is meant?", word.text);
    let help = format!("write for instance `{}.p99`; there are {}", left.text, stat_names());
    left.wrong(reason, Some(help))
}

fn stat_names() -> String {
    Stat::ALL.map(Stat::name).join(" ")
}

/// The metrics measured for any of these scopes.
pub(super) fn metric_names(scopes: Scopes) -> String {
    let measured = METRICS.iter().filter(|metric| metric.scopes.any_of(scopes));
    measured.map(|metric| metric.name).collect::<Vec<_>>().join(" ")
}

/// The limit in the unit of the verdict: a count with `%` becomes a share.
fn limit(value: ExpectPiece<'_>, unit: Unit) -> Result<(f64, Unit), ExpectError> {
    if unit == Unit::Seconds {
        return duration(value).map(|limit| (limit, unit));
    }
    if let Some(number) = value.text.strip_suffix('%') {
        if !matches!(unit, Unit::Count | Unit::Share) {
            return Err(value.wrong("this is no share: it takes no %".to_owned(), None));
        }
        return Ok((number_of(value, number, 2)?, Unit::Share));
    }
    let number = match unit {
        Unit::Dollars => value.text.strip_prefix('$').unwrap_or(value.text),
        Unit::PerSecond => value.text.strip_suffix("/s").unwrap_or(value.text),
        _ => value.text,
    };
    let limit = number_of(value, number, 0)?;
    if unit == Unit::Count && limit.fract() > 0.0 {
        let reason = format!("`{}` is no whole number, and this is a count", value.text);
        return Err(value.wrong(reason, Some("a share is written with %: `0.1%`".to_owned())));
    }
    Ok((limit, unit))
}

fn duration(value: ExpectPiece<'_>) -> Result<f64, ExpectError> {
    if value.text.ends_with('%') || value.text.starts_with('$') {
        let reason = format!("`{}` is no duration", value.text);
        return Err(value.wrong(reason, Some("write for instance `450ms` or `2s`".to_owned())));
    }
    Span::parse(value.text).map(Span::seconds).map_err(|reason| value.wrong(reason, None))
}

/// A finite number from zero up, divided by ten so many times.
fn number_of(value: ExpectPiece<'_>, number: &str, tens: u32) -> Result<f64, ExpectError> {
    let plain = number.trim().replace('_', "");
    let parsed: f64 = plain
        .parse()
        .map_err(|_| value.wrong(format!("`{}` is not a number", value.text), None))?;
    if !parsed.is_finite() || parsed < 0.0 {
        let reason = format!("`{}`: a limit is a finite number from zero up", value.text);
        return Err(value.wrong(reason, None));
    }
    // 0.1 % must be the float nearest to 1/1000, or `==` would miss one in a thousand.
    Ok(format!("{plain}e-{tens}").parse().unwrap_or(parsed / 10_f64.powi(tens as i32)))
}

//! Why a request went where it went: every attempt with every candidate, as text and as JSON.
//!
//! Terms are shown as the strategy added them up, each in its own unit, before the division by the
//! success probability; the score is what the strategy compared, lower is better. Nothing is
//! computed here: an explanation was made at the moment of the decision.

use std::fmt::Write as _;

use super::choice::{self, EscalationStory, ModelStory};
use super::quantity::{NONE, count, dollars, seconds, share};
use super::table::{TextTable, clean, name};
use crate::balance::{
    Candidate, End, Explanation, Fate, REGISTRY, Settled, Term, TermUnit, Verdict,
};
use crate::metrics::{AttemptTrace, Labels, RequestTrace};
use crate::unit::NodeId;

/// How a request ended that its route had the answer to.
const FROM_CACHE: &str = "completed from the cache";

/// In text, tables with more candidates than this are cut; JSON has all that were kept.
const ROWS_MAX: usize = 40;

/// What things are called, beside the labels of the run.
#[derive(Clone, Copy, Debug)]
pub struct ExplainedNames<'a> {
    /// Of nodes, pools and classes.
    pub labels: &'a Labels,
    /// By route: what it matches, in words.
    pub routes: &'a [String],
    /// By pool: its strategy with settings.
    pub strategies: &'a [String],
}

/// A request and all decisions about it.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its number, from zero in order of arrival.
    pub request: u64,
    /// Its class.
    pub class: String,
    /// When it arrived, in seconds.
    pub arrived_s: f64,
    /// Tokens of its prompt.
    pub prompt_tokens: u64,
    /// How it ended; `null` if the run ended first.
    pub fate: Option<String>,
    /// When it ended, in seconds.
    pub settled_s: Option<f64>,
    /// Its attempts, in order.
    pub attempts: Vec<Decision>,
    /// Why a model comes first, if its route chooses one.
    pub model: Option<ModelStory>,
    /// Answers that were not good enough.
    pub escalations: Vec<EscalationStory>,
}

/// The decision of one attempt.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Which attempt, from zero.
    pub attempt: u8,
    /// When, in seconds.
    pub at_s: f64,
    /// The route, from one as people count, and what it matches.
    pub route: String,
    /// The pool chosen from.
    pub pool: String,
    /// The tier chosen from.
    pub tier: &'static str,
    /// The strategy with settings.
    pub strategy: String,
    /// Tokens the answer was expected to have.
    pub expected_output_tokens: u64,
    /// Nodes that had room.
    pub open: u32,
    /// Nodes the strategy looked at.
    pub looked_at: u32,
    /// The winner.
    pub chosen: String,
    /// The next best of those looked at.
    pub runner_up: Option<String>,
    /// How the attempt ended; `null` if the run ended first.
    pub end: Option<&'static str>,
    /// When it ended, in seconds.
    pub ended_s: Option<f64>,
    /// The nodes of the tier, in file order.
    pub candidates: Vec<Row>,
    /// Nodes of the tier that are not among them.
    pub omitted: usize,
}

/// A candidate.
#[derive(Clone, Debug)]
pub struct Row {
    /// The node.
    pub node: String,
    /// `chosen`, `looked_at`, `not_drawn` or `filtered`.
    pub verdict: &'static str,
    /// Why it was filtered, if it was.
    pub filter: Option<&'static str>,
    /// What the strategy compared; lower is better.
    pub score: Option<f64>,
    /// The additive terms.
    pub terms: Vec<ScorePart>,
    /// The probability that it succeeds, as far as was known.
    pub success: f64,
    /// Attempts in flight on it.
    pub in_flight: u32,
}

/// A term of a score.
#[derive(Clone, Copy, Debug)]
pub struct ScorePart {
    /// What it stands for.
    pub term: &'static str,
    /// Its value.
    pub value: f64,
    /// Whether it is a part of the score.
    pub in_score: bool,
    /// `requests`, `tokens`, `seconds`, `dollars`; `null` where only the strategy knows.
    pub unit: Option<&'static str>,
}

impl Story {
    /// Puts names to what was heard of a request; `None` if it never arrived.
    #[must_use]
    pub fn of(trace: &RequestTrace, names: ExplainedNames<'_>) -> Option<Story> {
        let arrival = trace.arrival?;
        let classes = &names.labels.classes;
        let settled = trace.settled.as_ref();
        Some(Story {
            request: trace.request.0,
            class: classes
                .get(arrival.class.index())
                .map_or_else(String::new, |class| class.name.clone()),
            arrived_s: arrival.at.seconds(),
            prompt_tokens: arrival.prompt.0,
            fate: settled.map(|(_, settled)| fate(settled)),
            settled_s: settled.map(|(at, _)| at.seconds()),
            attempts: trace.attempts.iter().map(|attempt| Decision::of(attempt, names)).collect(),
            model: trace.model.as_ref().map(|choice| ModelStory::of(choice, names.labels)),
            escalations: choice::escalations(trace, names.labels),
        })
    }
}

impl Decision {
    fn of(attempt: &AttemptTrace, names: ExplainedNames<'_>) -> Decision {
        let Explanation { at, expected_output, why, candidates, omitted, .. } =
            attempt.explanation.as_ref();
        let entry = REGISTRY.get(usize::from(why.strategy)).map_or("?", |entry| entry.name);
        let strategy = names.strategies.get(why.pool.index());
        // Somebody may have exchanged it since.
        let strategy = strategy.filter(|spec| spec.starts_with(entry));
        let route = names.routes.get(why.route.index()).map_or("", String::as_str);
        let pool = names.labels.pools.get(why.pool.index());
        Decision {
            attempt: attempt.attempt.ordinal,
            at_s: at.seconds(),
            route: format!("{}. {route}", why.route.index() + 1),
            pool: pool.map_or_else(String::new, Clone::clone),
            tier: why.tier.name(),
            strategy: strategy.map_or_else(|| entry.to_owned(), Clone::clone),
            expected_output_tokens: expected_output.0,
            open: why.candidates,
            looked_at: why.considered,
            chosen: node(names.labels, why.chosen.node),
            runner_up: why.runner_up.map(|second| node(names.labels, second.node)),
            end: attempt.ended.map(|(_, end)| end.words()),
            ended_s: attempt.ended.map(|(at, _)| at.seconds()),
            candidates: candidates.iter().map(|one| Row::of(one, names.labels)).collect(),
            omitted: *omitted,
        }
    }
}

impl Row {
    fn of(candidate: &Candidate, labels: &Labels) -> Row {
        let (verdict, score, filter) = match candidate.verdict {
            Verdict::Chosen(score) => ("chosen", Some(score), None),
            Verdict::LookedAt(score) => ("looked_at", Some(score), None),
            Verdict::NotDrawn => ("not_drawn", None, None),
            Verdict::Filtered(filter) => ("filtered", None, Some(filter.words())),
        };
        let part = |(term, value): &(Term, f32)| ScorePart {
            term: term.name(),
            value: f64::from(*value),
            in_score: term.is_in_score(),
            unit: term.unit().map(word),
        };
        Row {
            node: node(labels, candidate.node),
            verdict,
            filter,
            score: score.filter(|score| score.is_finite()),
            terms: candidate.terms.as_slice().iter().map(part).collect(),
            success: candidate.success,
            in_flight: candidate.in_flight,
        }
    }
}

fn node(labels: &Labels, id: NodeId) -> String {
    let label = labels.nodes.get(id.index());
    label.map_or_else(|| format!("node {}", id.0), |label| label.name.clone())
}

const fn word(unit: TermUnit) -> &'static str {
    match unit {
        TermUnit::Requests => "requests",
        TermUnit::Tokens => "tokens",
        TermUnit::Seconds => "seconds",
        TermUnit::Dollars => "dollars",
    }
}

fn fate(settled: &Settled) -> String {
    let failed = |end: End| format!("failed: {}", end.words());
    match settled.fate {
        Fate::Completed if settled.cached => FROM_CACHE.to_owned(),
        Fate::Completed => "completed".to_owned(),
        Fate::Failed(end) => failed(end),
        Fate::Rejected(reject) => format!("rejected: {}", reject.words()),
        Fate::Cancelled => "cancelled".to_owned(),
    }
}

/// Writes stories as aligned plain text, each below an empty line.
#[must_use]
pub fn text(stories: &[Story]) -> String {
    let mut out = String::new();
    stories.iter().for_each(|story| tell(&mut out, story));
    out
}

fn tell(out: &mut String, story: &Story) {
    let title = format!("Request {}", count(story.request));
    let mut table = TextTable::new(2, &[&title]);
    table.row(["class".to_owned(), name(&story.class)]);
    table.row(["prompt".to_owned(), format!("{} tokens", count(story.prompt_tokens))]);
    table.row(["arrived".to_owned(), clock(story.arrived_s)]);
    let fate = story.fate.as_deref().unwrap_or("under way at the end of the run");
    let after = story.settled_s.map_or_else(String::new, |at| {
        let tries = match story.attempts.len() {
            1 => "1 attempt".to_owned(),
            many => format!("{many} attempts"),
        };
        format!(", after {} and {tries}", seconds(Some(at - story.arrived_s)))
    });
    table.row(["fate".to_owned(), format!("{fate}{after}")]);
    table.write(out);
    choice::tell(out, story);
    if story.attempts.is_empty() {
        let why = if story.fate.as_deref() == Some(FROM_CACHE) {
            "  its route had kept the answer: no node was needed\n"
        } else {
            "  no node was ever chosen for it\n"
        };
        out.push_str(why);
    }
    for attempt in &story.attempts {
        decision(out, attempt);
    }
}

/// A place in time; simulated runs begin at zero.
fn clock(at: f64) -> String {
    format!("{at:.6} s")
}

fn decision(out: &mut String, decision: &Decision) {
    let title = format!("Attempt {}: {}", decision.attempt + 1, name(&decision.chosen));
    let mut table = TextTable::new(2, &[&title]);
    let mut row = |what: &str, value: String| table.row([what.to_owned(), value]);
    row("decided", clock(decision.at_s));
    row("route", clean(&decision.route));
    row("pool", format!("{}, {}", name(&decision.pool), decision.tier));
    row("strategy", clean(&decision.strategy));
    row("looked at", format!("{} of {} open nodes", decision.looked_at, decision.open));
    let second = decision.runner_up.as_deref();
    row("runner-up", second.map_or_else(|| NONE.to_owned(), name));
    row("answer", format!("{} tokens expected", count(decision.expected_output_tokens)));
    if let Some(node) = least_predicted(&decision.candidates) {
        row("predictions", format!("they would choose {}", name(node)));
    }
    let took = decision.ended_s.map(|at| at - decision.at_s);
    let end = decision.end.unwrap_or("not before the end of the run");
    let after = took.map_or_else(String::new, |took| format!(" after {}", seconds(Some(took))));
    row("ended", format!("{end}{after}"));
    table.write(out);
    candidates(out, decision);
}

/// The node with the least predicted cost, where something else decides.
fn least_predicted(rows: &[Row]) -> Option<&str> {
    let predicted = |row: &Row| {
        let part = row.terms.iter().find(|part| !part.in_score);
        part.map(|part| part.value).filter(|_| row.filter.is_none())
    };
    let known = rows.iter().filter_map(|row| Some((predicted(row)?, row)));
    known.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, row)| row.node.as_str())
}

/// Terms of any candidate, in the order they are added up.
fn columns(rows: &[Row]) -> Vec<ScorePart> {
    let mut columns: Vec<ScorePart> = Vec::new();
    for part in rows.iter().flat_map(|row| &row.terms) {
        if !columns.iter().any(|column| column.term == part.term) {
            columns.push(*part);
        }
    }
    columns
}

fn candidates(out: &mut String, decision: &Decision) {
    let columns = columns(&decision.candidates);
    let scored = decision.candidates.iter().any(|row| row.score.is_some());
    let mut heads = vec!["Candidates".to_owned()];
    if scored {
        heads.push("score".to_owned());
    }
    for (place, column) in columns.iter().enumerate() {
        // What a strategy adds up and does not compare is not what its score is made of.
        let sign = if place == 0 || !column.in_score { "" } else { "+ " };
        heads.push(format!("{sign}{}", column.term));
    }
    heads.extend(["success", "in flight", "verdict"].map(str::to_owned));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = TextTable::new(1, &heads).last_is_words();
    let mut rows: Vec<&Row> = decision.candidates.iter().collect();
    // Stable: equals stay in file order.
    rows.sort_by(|a, b| {
        let score = |row: &Row| row.score.unwrap_or(f64::INFINITY);
        rank(a).cmp(&rank(b)).then(score(a).total_cmp(&score(b)))
    });
    let unit = score_unit(&columns);
    for row in rows.iter().take(ROWS_MAX) {
        let mut cells = vec![name(&row.node)];
        if scored {
            cells.push(figure(row.score, unit));
        }
        for column in &columns {
            let part = row.terms.iter().find(|part| part.term == column.term);
            cells.push(figure(part.map(|part| part.value), column.unit));
        }
        cells.push(share(Some(row.success)));
        cells.push(row.in_flight.to_string());
        cells.push(verdict(row, decision).to_owned());
        table.row(cells);
    }
    table.write(out);
    let cut = rows.len().saturating_sub(ROWS_MAX);
    let hidden = decision.omitted + cut;
    if hidden > 0 {
        let _ = writeln!(out, "  and {hidden} more nodes of the tier");
    }
}

fn rank(row: &Row) -> u8 {
    match row.verdict {
        "chosen" => 0,
        "looked_at" => 1,
        "not_drawn" => 2,
        _ => 3,
    }
}

fn verdict<'a>(row: &'a Row, decision: &Decision) -> &'a str {
    match row.verdict {
        "chosen" => "chosen",
        "looked_at" if decision.runner_up.as_ref() == Some(&row.node) => "next best",
        "looked_at" => "looked at",
        "not_drawn" => "not looked at",
        _ => row.filter.unwrap_or("filtered"),
    }
}

/// The unit of the sum, if all terms share one.
fn score_unit(columns: &[ScorePart]) -> Option<&'static str> {
    let first = columns.first()?.unit;
    if columns.iter().filter(|column| column.in_score).all(|column| column.unit == first) {
        first
    } else {
        None
    }
}

fn figure(value: Option<f64>, unit: Option<&str>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return NONE.to_owned();
    };
    match unit {
        Some("seconds") => seconds(Some(value)),
        // A request costs a fraction of a cent.
        Some("dollars") if value != 0.0 && value.abs() < 0.01 => format!("${value:.6}"),
        Some("dollars") => dollars(Some(value)),
        Some("tokens") if value >= 100.0 => format!("{} tok", count(value.round() as u64)),
        Some("tokens") => format!("{} tok", short(value)),
        _ => short(value),
    }
}

/// Four digits that matter, without zeros at the end.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => return "0".to_owned(),
        v if !(1e-4..1e6).contains(&v) => return format!("{value:.3e}"),
        v if v >= 1_000.0 => 0,
        v if v >= 1.0 => 3,
        _ => 5,
    };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

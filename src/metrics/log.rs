//! The log for people: what happened to nodes and requests, in few words, bounded, with like entries
//! of one second counted instead of repeated.

use std::collections::VecDeque;

use super::pressure::{change, route_name};
use super::snapshot::{LOG_MAX, LogEntry, LogLevel};
use super::{Labels, history::HistoryBuckets};
use crate::balance::{
    Cause, End, Event, Fate, JobFate, JobNews, JobPhase, LimitCause, Mark, MarkBy, MarkPhase,
    NodeState, Settled,
};
use crate::unit::{NodeId, Ratio, RequestId, RouteId, Span, Time};

/// Like entries within so long are counted as one.
const LIKE: Span = Span::from_secs(1);
/// Like entries are sought among so many of the newest.
const LOOK_BACK: usize = 6;

/// Collects entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<LogEntry>,
    pub(super) dropped: u64,
}

struct Draft {
    level: LogLevel,
    mark: Option<char>,
    node: Option<NodeId>,
    request: Option<RequestId>,
    text: String,
    short: String,
}

impl Log {
    pub(super) fn entries(&self) -> Vec<LogEntry> {
        self.entries.iter().cloned().collect()
    }

    /// Hears an event; most are not worth an entry.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub(super) fn hear(
        &mut self,
        now: Time,
        event: &Event,
        labels: &Labels,
        past: &mut HistoryBuckets,
    ) {
        let draft = match event {
            Event::Dispatched { attempt, node, after: Some((from, end)), .. } => {
                Some(retried(labels, attempt.request, *from, *node, *end))
            }
            Event::NodeState { node, to, cause, .. } => Some(state(labels, *node, *to, *cause)),
            Event::Settled(settled) => unserved(labels, settled),
            Event::Strategy { pool, from, to } => {
                let name = labels.pools.get(pool.index()).map_or("?", String::as_str);
                let text = format!("{name}: strategy {from} → {to}");
                let short = format!("{name}: {}", to.name());
                Some(info(LogLevel::Injected, None, text, short))
            }
            Event::Panic { route, on } => Some(panic(labels, *route, *on)),
            Event::KeptIn { node, cause } => Some(kept_in(labels, *node, *cause)),
            Event::Limit { node, limit, before, cause, notable: true } => {
                Some(limited(labels, *node, *before, *limit, *cause))
            }
            Event::Shedding { .. } | Event::DegradeLevel { .. } => pressed(labels, event),
            Event::Scaled { group, from, to, reason } => {
                let name = labels.groups.get(usize::from(*group)).map_or("?", String::as_str);
                let why = reason.target.words(reason.measured);
                let text = format!("{name}: {from} → {to} nodes  {why}");
                Some(info(LogLevel::Info, None, text, format!("{name}: {from} → {to} nodes")))
            }
            Event::Mark(mark) => Some(marked(labels, now, mark, past)),
            Event::Job(news) => job_failed(labels, news),
            Event::Arrived { .. }
            | Event::Cache(_)
            | Event::Queued { .. }
            | Event::Dispatched { after: None, .. }
            | Event::Explained(_)
            | Event::FirstToken { .. }
            | Event::Ended { .. }
            | Event::RetryPlanned { .. }
            | Event::RetryDenied { .. }
            | Event::NodeChanged { .. }
            | Event::Batch { .. }
            | Event::LateWord { .. }
            | Event::HedgeDenied { .. }
            | Event::Model(_)
            | Event::Escalated { .. }
            | Event::Feedback { .. }
            | Event::Graded(_)
            | Event::Limit { notable: false, .. } => None,
        };
        if let Some(draft) = draft {
            self.enter(now, draft);
        }
    }

    fn enter(&mut self, at: Time, draft: Draft) {
        let like = self.entries.iter_mut().rev().take(LOOK_BACK).find(|entry| {
            at.since(entry.at) <= LIKE && entry.text == draft.text && entry.level == draft.level
        });
        if let Some(entry) = like {
            entry.count += 1;
            return;
        }
        if self.entries.len() >= LOG_MAX {
            self.entries.pop_front();
            self.dropped += 1;
        }
        let Draft { level, mark, node, request, text, short } = draft;
        self.entries.push_back(LogEntry { at, level, mark, node, request, count: 1, text, short });
    }
}

fn name(labels: &Labels, node: NodeId) -> &str {
    labels.nodes.get(node.index()).map_or("?", |label| label.name.as_str())
}

fn info(level: LogLevel, node: Option<NodeId>, text: String, short: String) -> Draft {
    Draft { level, mark: None, node, request: None, text, short }
}

fn retried(labels: &Labels, request: RequestId, from: NodeId, to: NodeId, end: End) -> Draft {
    let (before, after) = (name(labels, from), name(labels, to));
    Draft {
        level: LogLevel::Warning,
        mark: None,
        node: Some(from),
        request: Some(request),
        text: format!("{before} → {after}  {}", end.words()),
        short: format!("{before}→{after} {}", end.words()),
    }
}

fn state(labels: &Labels, node: NodeId, to: NodeState, cause: Cause) -> Draft {
    let level = match to {
        NodeState::Ejected => LogLevel::Error,
        NodeState::CoolingDown => LogLevel::Warning,
        _ => LogLevel::Info,
    };
    let reason = reason(cause);
    let node_name = name(labels, node);
    let word = match to {
        NodeState::Ejected => "EJECTED",
        other => other.name(),
    };
    let text = format!("{node_name} {word}  {reason}");
    info(level, Some(node), text, format!("{node_name} {word}"))
}

/// Returns why a node changes its state, in words.
fn reason(cause: Cause) -> String {
    match cause {
        Cause::Failures(1) => "a failure".to_owned(),
        Cause::Failures(count) => format!("{count} failures in a row"),
        Cause::Probes(1) => "a failed probe".to_owned(),
        Cause::Probes(count) => format!("{count} failed probes"),
        Cause::Recovered(1) => "a good probe".to_owned(),
        Cause::Recovered(count) => format!("{count} good probes"),
        Cause::Probing => "rested".to_owned(),
        Cause::RateLimited(pause) => format!("429, pause {pause}"),
        Cause::LimitOver => "pause over".to_owned(),
        Cause::Operator => "by an operator".to_owned(),
        Cause::Scaled => "by its group".to_owned(),
        Cause::Started => "started".to_owned(),
        Cause::SuccessRate(own, peers) => {
            format!("success {} %, peers {} %", percent(own), percent(peers))
        }
        Cause::FailureShare(share) => format!("{} % failed", percent(share)),
        Cause::SlowShare(own, peers) => {
            format!("{} % slow, peers {} %", percent(own), percent(peers))
        }
        Cause::Silent(span) => format!("silent for {span}"),
        Cause::Credential(pause) => format!("credential refused, pause {pause}"),
        Cause::Busy(pause) => format!("no room, pause {pause}"),
        Cause::Refusals(1) => "refused what others serve".to_owned(),
        Cause::Refusals(count) => format!("refused {count} in a row that others serve"),
        Cause::RefusalShare(own, best) => {
            format!("{} % refused, best {} %", percent(own), percent(best))
        }
        Cause::NoToken(count) => format!("{count} probes without a token"),
    }
}

/// A node fails and is kept in all the same.
fn kept_in(labels: &Labels, node: NodeId, cause: Cause) -> Draft {
    let node_name = name(labels, node);
    let text = format!("{node_name} kept in: largest share  {}", reason(cause));
    info(LogLevel::Error, Some(node), text, format!("{node_name} kept in"))
}

/// Nothing that a route may use is well, or that is over.
fn panic(labels: &Labels, route: RouteId, on: bool) -> Draft {
    let route = route_name(labels, route, labels.routes.len());
    let route = if route.is_empty() { route } else { format!("{route}: ") };
    let word = if on { "PANIC" } else { "calm again" };
    let why = if on { "nothing is well, ejected nodes serve too" } else { "enough nodes are well" };
    let level = if on { LogLevel::Error } else { LogLevel::Info };
    info(level, None, format!("{route}{word}  {why}"), format!("{route}{word}"))
}

fn pressed(labels: &Labels, event: &Event) -> Option<Draft> {
    let (route, what, saturation) = change(event)?;
    let route = route_name(labels, route, labels.routes.len());
    let route = if route.is_empty() { route } else { format!("{route}: ") };
    let text = format!("{route}{what}  saturation {:.2}", saturation.value());
    Some(info(LogLevel::Warning, None, text, format!("{route}{what}")))
}

fn limited(labels: &Labels, node: NodeId, from: u32, to: u32, cause: LimitCause) -> Draft {
    let why = match cause {
        LimitCause::Ratio(ratio) => format!("first tokens {:.1} times idle", ratio.value()),
        LimitCause::Pressed(end) => end.words().to_owned(),
    };
    let name = name(labels, node);
    let text = format!("{name}: limit {from} → {to}  {why}");
    info(LogLevel::Info, Some(node), text, format!("{name}: limit {to}"))
}

fn percent(share: Ratio) -> f64 {
    (share.value() * 100.0).round()
}

fn unserved(labels: &Labels, settled: &Settled) -> Option<Draft> {
    let class = labels.classes.get(settled.class.index()).map_or("?", |class| class.name.as_str());
    let (level, words) = match settled.fate {
        Fate::Failed(end) => (LogLevel::Error, format!("failed: {}", end.words())),
        Fate::Rejected(reason) => (LogLevel::Error, format!("rejected: {}", reason.words())),
        Fate::Completed | Fate::Cancelled => return None,
    };
    let text = format!("{class} request {words}");
    let mut draft = info(level, settled.node, text, format!("{class} {words}"));
    draft.request = Some(settled.request);
    Some(draft)
}

/// A region by its name, where it is all of its nodes that something happened to.
fn whole_region(labels: &Labels, nodes: &[NodeId]) -> Option<String> {
    let (name, _) = labels.regions.iter().find(|(_, whole)| whole == nodes)?;
    Some(format!("region {name} ({} nodes)", nodes.len()))
}

fn job_failed(labels: &Labels, news: &JobNews) -> Option<Draft> {
    let flow = labels.workflows.get(news.workflow.index())?;
    let JobPhase::Ended { fate, .. } = news.what else { return None };
    let words = match fate {
        JobFate::Completed => return None,
        JobFate::Failed(step) => {
            let step = flow.steps.get(usize::from(step)).map_or("?", String::as_str);
            format!("failed at {step}")
        }
        JobFate::TimedOut => "deadline passed".to_owned(),
    };
    let name = &flow.name;
    let text = format!("{name} job {words}");
    Some(info(LogLevel::Error, None, text, format!("{name} {words}")))
}

/// What went wrong with which nodes, or is over.
pub(super) fn happened(labels: &Labels, mark: &Mark) -> String {
    let nodes = match mark.nodes.as_slice() {
        [] => "everything".to_owned(),
        [one] => name(labels, *one).to_owned(),
        nodes @ [first, rest @ ..] => whole_region(labels, nodes)
            .unwrap_or_else(|| format!("{} +{}", name(labels, *first), rest.len())),
    };
    let what = &mark.what;
    let over = if mark.phase == MarkPhase::End && what != "heal" { " is over" } else { "" };
    let on = if matches!(what.as_str(), "kill" | "heal") { "" } else { "on " };
    format!("{what} {on}{nodes}{over}")
}

fn marked(labels: &Labels, now: Time, mark: &Mark, past: &mut HistoryBuckets) -> Draft {
    let by_person = mark.by == MarkBy::Person;
    let happened = happened(labels, mark);
    let (text, short) = match by_person {
        true => (format!("you: {happened}"), format!("you: {happened}")),
        false => (format!("scenario: {happened}"), happened),
    };
    Draft {
        level: LogLevel::Injected,
        mark: (mark.phase == MarkPhase::Begin).then(|| past.mark(now, by_person)),
        node: mark.nodes.first().copied(),
        request: None,
        text,
        short,
    }
}

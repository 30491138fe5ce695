//! The log for people: what happened to nodes and requests, in few words, bounded, with like entries
//! counted instead of repeated.

mod entries;
mod meant;
#[cfg(test)]
mod tests;

use entries::{CountedThing, Draft, LogEntries};
use meant::MeantPlaces;

use super::pressure::{change, route_name};
use super::snapshot::{LogEntry, LogLevel};
use super::{Labels, history::HistoryBuckets};
use crate::balance::{
    Cause, Config, End, Event, Fate, JobFate, JobNews, JobPhase, LimitCause, Mark, MarkBy,
    MarkPhase, NodeState, Settled,
};
use crate::unit::{NodeId, Ratio, RequestId, RouteId, Time};

/// Collects entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    entries: LogEntries,
    meant: MeantPlaces,
}

impl Log {
    /// A log that knows where requests are meant to be served.
    pub(super) fn new(labels: &Labels, config: &Config) -> Log {
        Log { entries: LogEntries::default(), meant: MeantPlaces::new(labels, config) }
    }

    pub(super) fn entries(&self) -> Vec<LogEntry> {
        self.entries.all()
    }

    /// Returns how many entries have left.
    pub(super) const fn dropped(&self) -> u64 {
        self.entries.dropped()
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
            Event::Dispatched { attempt, after: Some((from, end)), .. } => {
                let thing = CountedThing::Retry(*from, end.words());
                self.count(now, thing, || retried(labels, attempt.request, *from, *end));
                None
            }
            Event::NodeState { node, from, to, cause } => {
                self.changed(now, labels, *node, (*from, *to, *cause))
            }
            Event::Settled(settled) => {
                self.settled(now, labels, settled);
                None
            }
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
            self.entries.enter(now, Draft { entry: draft, counted: None });
        }
    }

    /// A node changes its state. One that is down and probed again and again is one entry that counts.
    fn changed(
        &mut self,
        now: Time,
        labels: &Labels,
        node: NodeId,
        (from, to, cause): (NodeState, NodeState, Cause),
    ) -> Option<LogEntry> {
        match (from, to, cause) {
            (NodeState::Ejected, NodeState::Probing, _) => {
                let entry = || state(labels, node, to, cause);
                self.count(now, CountedThing::Probed(node), entry);
                None
            }
            (NodeState::Probing, NodeState::Ejected, Cause::Probes(_)) => None,
            _ => Some(state(labels, node, to, cause)),
        }
    }

    /// Counts a thing, with a new entry if the last one is over.
    fn count(&mut self, now: Time, thing: CountedThing, entry: impl FnOnce() -> LogEntry) {
        if !self.entries.count(now, thing) {
            self.entries.enter(now, Draft { entry: entry(), counted: Some(thing) });
        }
    }

    fn settled(&mut self, now: Time, labels: &Labels, settled: &Settled) {
        let class = settled.class;
        match (settled.fate, settled.node) {
            (Fate::Failed(end), _) => {
                let thing = CountedThing::Unserved(class, end.words());
                self.count(now, thing, || unserved(labels, settled, "failed", end.words()));
            }
            (Fate::Rejected(reason), _) => {
                let thing = CountedThing::Unserved(class, reason.words());
                self.count(now, thing, || unserved(labels, settled, "rejected", reason.words()));
            }
            (Fate::Completed, Some(node)) if settled.failover => {
                let thing = self.meant.counted(labels, settled.route, node);
                if !self.entries.count(now, thing) {
                    let entry = failed_over(labels, &self.meant, settled, thing);
                    self.entries.enter(now, Draft { entry, counted: Some(thing) });
                }
            }
            (Fate::Completed | Fate::Cancelled, _) => {}
        }
    }
}

fn name(labels: &Labels, node: NodeId) -> &str {
    labels.nodes.get(node.index()).map_or("?", |label| label.name.as_str())
}

fn info(level: LogLevel, node: Option<NodeId>, text: String, short: String) -> LogEntry {
    LogEntry { level, node, text, short, ..LogEntry::default() }
}

/// About a request, as an example of several.
fn example(entry: LogEntry, request: RequestId) -> LogEntry {
    LogEntry { request: Some(request), ..entry }
}

fn retried(labels: &Labels, request: RequestId, from: NodeId, end: End) -> LogEntry {
    let (before, words) = (name(labels, from), end.words());
    let (text, short) =
        (format!("retries after {before}: {words}"), format!("retries {before}: {words}"));
    example(info(LogLevel::Warning, Some(from), text, short), request)
}

/// Requests were served elsewhere than meant.
fn failed_over(
    labels: &Labels,
    meant: &MeantPlaces,
    settled: &Settled,
    thing: CountedThing,
) -> LogEntry {
    let words = match thing {
        CountedThing::Failover(route, pool, tier, region) => {
            meant.words(labels, route, (pool, tier, region))
        }
        CountedThing::Retry(..) | CountedThing::Unserved(..) | CountedThing::Probed(_) => {
            String::new()
        }
    };
    let entry = info(LogLevel::Warning, None, format!("failover {words}"), words);
    example(LogEntry { failover: true, ..entry }, settled.request)
}

fn state(labels: &Labels, node: NodeId, to: NodeState, cause: Cause) -> LogEntry {
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
        Cause::Recovered(0) => "a probe it answered with an error".to_owned(),
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
fn kept_in(labels: &Labels, node: NodeId, cause: Cause) -> LogEntry {
    let node_name = name(labels, node);
    let text = format!("{node_name} kept in: largest share  {}", reason(cause));
    info(LogLevel::Error, Some(node), text, format!("{node_name} kept in"))
}

/// Nothing that a route may use is well, or that is over.
fn panic(labels: &Labels, route: RouteId, on: bool) -> LogEntry {
    let route = route_name(labels, route, labels.routes.len());
    let route = if route.is_empty() { route } else { format!("{route}: ") };
    let word = if on { "PANIC" } else { "calm again" };
    let why = if on { "nothing is well, ejected nodes serve too" } else { "enough nodes are well" };
    let level = if on { LogLevel::Error } else { LogLevel::Info };
    info(level, None, format!("{route}{word}  {why}"), format!("{route}{word}"))
}

fn pressed(labels: &Labels, event: &Event) -> Option<LogEntry> {
    let (route, what, saturation) = change(event)?;
    let route = route_name(labels, route, labels.routes.len());
    let route = if route.is_empty() { route } else { format!("{route}: ") };
    let text = format!("{route}{what}  saturation {:.2}", saturation.value());
    Some(info(LogLevel::Warning, None, text, format!("{route}{what}")))
}

fn limited(labels: &Labels, node: NodeId, from: u32, to: u32, cause: LimitCause) -> LogEntry {
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

fn unserved(labels: &Labels, settled: &Settled, what: &str, why: &str) -> LogEntry {
    let class = labels.classes.get(settled.class.index()).map_or("?", |class| class.name.as_str());
    let (text, short) = (format!("{class} {what}: {why}"), format!("{class}: {why}"));
    example(info(LogLevel::Error, settled.node, text, short), settled.request)
}

/// A region by its name, where it is all of its nodes that something happened to.
fn whole_region(labels: &Labels, nodes: &[NodeId]) -> Option<String> {
    let (name, _) = labels.regions.iter().find(|(_, whole)| whole == nodes)?;
    Some(format!("region {name} ({} nodes)", nodes.len()))
}

fn job_failed(labels: &Labels, news: &JobNews) -> Option<LogEntry> {
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
        [] => return mark.what.clone(),
        [one] => name(labels, *one).to_owned(),
        nodes @ [first, rest @ ..] => whole_region(labels, nodes)
            .unwrap_or_else(|| format!("{} +{}", name(labels, *first), rest.len())),
    };
    let what = &mark.what;
    // First, so that it is not what is cut where there is little room.
    let over = if mark.phase == MarkPhase::End && what != "heal" { "over: " } else { "" };
    let on = if matches!(what.as_str(), "kill" | "heal") { "" } else { "on " };
    format!("{over}{what} {on}{nodes}")
}

fn marked(labels: &Labels, now: Time, mark: &Mark, past: &mut HistoryBuckets) -> LogEntry {
    let by_person = mark.by == MarkBy::Person;
    let happened = happened(labels, mark);
    let (text, short) = match by_person {
        true => (format!("you: {happened}"), format!("you: {happened}")),
        false => (format!("scenario: {happened}"), happened),
    };
    LogEntry {
        mark: (mark.phase == MarkPhase::Begin).then(|| past.mark(now, by_person)),
        by_person,
        ..info(LogLevel::Injected, mark.nodes.first().copied(), text, short)
    }
}

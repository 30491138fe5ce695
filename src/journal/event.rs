//! Events in the words of the wire: one line each, which digests are taken of and which two runs can be
//! compared by.
//!
//! `1500000 dispatched attempt=3.0 node=2 class=0 kind=first after=- .. why=(route=0 pool=1 ..)`: the
//! time in nanoseconds, the word of the event, its fields. Times and spans are nanoseconds, ratios
//! millionths, money pico-dollars, ids numbers in file order. A number that is not whole is written
//! with as many digits as it takes to read the same one back; nothing is `-`, a group of fields stands
//! in round brackets, a list in square ones, text in quotes. Every field of every event is there.
//!
//! No word comes from the name of a type, variant or field of the program: those may change, these
//! may not without a new version of the journal. Every event is taken apart by name here, so that one
//! with a new field, like a new event, is not compiled before it has its words.

use std::fmt::{self, Write};

use crate::balance::{
    ArmView, Attempt, AttemptKind, Candidate, Cause, DegradeLevel, End, Event, Explanation,
    Failure, Fate, Filter, Grade, JobFate, JobNews, JobPhase, JobStep, LimitCause, Limits, Mark,
    MarkBy, MarkPhase, ModelChoice, ModelWhy, NoHedge, NoRetry, NodeSpec, NodeState, Prices,
    Priority, REGISTRY, Reason, Reject, Scored, SettingKind, Settled, StrategySpec, Target, Term,
    Terms, Tier, TimeoutStage, Usage, Verdict, Why,
};
use crate::unit::{
    ClassId, Cost, CredentialId, ModelId, NodeId, PoolId, Price, Ratio, RegionId, RequestId,
    RouteId, Span, TenantId, Time, Tokens, WorkflowId,
};

/// Writes an event in words of the wire, without a line end.
///
/// # Errors
/// If `out` takes no more.
pub fn write_event(out: &mut dyn Write, now: Time, event: &Event) -> fmt::Result {
    now.write(out)?;
    out.write_char(' ')?;
    out.write_str(event.word())?;
    fields(&mut Fields { out, gap: " " }, event)
}

/// Something that has a form of its own on the wire.
trait Wire {
    fn write(&self, out: &mut dyn Write) -> fmt::Result;
}

/// Fields as they are written: `key=value`, with spaces between them.
struct Fields<'a> {
    out: &'a mut dyn Write,
    /// What comes before the next one.
    gap: &'static str,
}

impl Fields<'_> {
    /// Writes a field; one without a key is the whole.
    fn put(&mut self, key: &str, value: &dyn Wire) -> Result<&mut Self, fmt::Error> {
        self.out.write_str(self.gap)?;
        self.gap = " ";
        if !key.is_empty() {
            self.out.write_str(key)?;
            self.out.write_char('=')?;
        }
        value.write(self.out)?;
        Ok(self)
    }
}

/// Writes fields in brackets.
fn group(
    out: &mut dyn Write,
    fields: impl FnOnce(&mut Fields<'_>) -> Result<(), fmt::Error>,
) -> fmt::Result {
    out.write_char('(')?;
    fields(&mut Fields { out: &mut *out, gap: "" })?;
    out.write_char(')')
}

/// Writes a word and what goes with it in brackets.
fn word_of(out: &mut dyn Write, word: &str, values: &[&dyn Wire]) -> fmt::Result {
    out.write_str(word)?;
    for (place, value) in values.iter().enumerate() {
        out.write_char(if place == 0 { '(' } else { ' ' })?;
        value.write(out)?;
    }
    if values.is_empty() { Ok(()) } else { out.write_char(')') }
}

macro_rules! as_a_number {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut dyn Write) -> fmt::Result {
                write!(out, "{self}")
            }
        }
    )*};
}
// `Display` of a float is the shortest decimal number that is read back as the same float.
as_a_number!(u8, u16, u32, u64, u128, usize, f32, f64);

macro_rules! by_its_number {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut dyn Write) -> fmt::Result {
                self.0.write(out)
            }
        }
    )*};
}
by_its_number!(
    Time,
    Span,
    Tokens,
    Price,
    Cost,
    Ratio,
    RequestId,
    NodeId,
    PoolId,
    ClassId,
    RouteId,
    ModelId,
    RegionId,
    WorkflowId,
    TenantId,
    CredentialId
);

macro_rules! by_its_word {
    ($($type:ty: $word:ident),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut dyn Write) -> fmt::Result {
                out.write_str(self.$word())
            }
        }
    )*};
}
by_its_word!(
    Failure: word,
    TimeoutStage: word,
    AttemptKind: word,
    NoRetry: word,
    NoHedge: word,
    MarkBy: word,
    MarkPhase: word,
    NodeState: name,
    Priority: name,
    DegradeLevel: name,
    Term: name,
    Tier: name
);

impl Wire for bool {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(if *self { "true" } else { "false" })
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Some(value) => value.write(out),
            None => out.write_char('-'),
        }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        T::write(self, out)
    }
}

impl<T: Wire> Wire for [T] {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_char('[')?;
        for (place, value) in self.iter().enumerate() {
            if place > 0 {
                out.write_char(' ')?;
            }
            value.write(out)?;
        }
        out.write_char(']')
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        self.as_slice().write(out)
    }
}

/// Text stands in quotes; a quote, a backslash and what is not printed have a backslash before them.
impl Wire for str {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_char('"')?;
        for c in self.chars() {
            match c {
                '"' | '\\' => write!(out, "\\{c}")?,
                c if c.is_control() => write!(out, "\\u{{{:x}}}", u32::from(c))?,
                c => out.write_char(c)?,
            }
        }
        out.write_char('"')
    }
}

impl Wire for &str {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        str::write(self, out)
    }
}

/// A word that stands as it is.
struct Word(&'static str);

impl Wire for Word {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl Wire for String {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        self.as_str().write(out)
    }
}

/// `3.1`: the second try of request 3.
impl Wire for Attempt {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let Attempt { request, ordinal } = self;
        write!(out, "{}.{ordinal}", request.0)
    }
}

/// A node, and how the try on it ended.
impl Wire for (NodeId, End) {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let (node, end) = self;
        group(out, |to| to.put("node", node)?.put("end", end).map(drop))
    }
}

impl Wire for End {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            End::Failed(failure) => word_of(out, self.word(), &[failure]),
            End::TimedOut(stage) => word_of(out, self.word(), &[stage]),
            End::Done | End::RateLimited | End::Cancelled | End::Outrun => {
                out.write_str(self.word())
            }
        }
    }
}

impl Wire for Fate {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Fate::Failed(end) => word_of(out, self.word(), &[end]),
            Fate::Rejected(reason) => word_of(out, self.word(), &[reason]),
            Fate::Completed | Fate::Cancelled => out.write_str(self.word()),
        }
    }
}

impl Wire for Reject {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Reject::TenantRate(after) | Reject::Budget(after) => {
                word_of(out, self.word(), &[after])
            }
            Reject::QueueFull
            | Reject::WaitedTooLong
            | Reject::NoNode
            | Reject::TooLate
            | Reject::Displaced
            | Reject::RetryBudget
            | Reject::Shed => out.write_str(self.word()),
        }
    }
}

impl Wire for Cause {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let word = self.word();
        match self {
            Cause::Failures(count)
            | Cause::Probes(count)
            | Cause::Recovered(count)
            | Cause::NoToken(count) => word_of(out, word, &[count]),
            Cause::RateLimited(span)
            | Cause::Silent(span)
            | Cause::Credential(span)
            | Cause::Busy(span) => word_of(out, word, &[span]),
            Cause::SuccessRate(own, peers) | Cause::SlowShare(own, peers) => {
                word_of(out, word, &[own, peers])
            }
            Cause::FailureShare(share) => word_of(out, word, &[share]),
            Cause::Probing
            | Cause::LimitOver
            | Cause::Operator
            | Cause::Scaled
            | Cause::Started => out.write_str(word),
        }
    }
}

impl Wire for LimitCause {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            LimitCause::Ratio(ratio) => word_of(out, self.word(), &[ratio]),
            LimitCause::Pressed(end) => word_of(out, self.word(), &[end]),
        }
    }
}

impl Wire for Why {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let Why { route, pool, tier, strategy, candidates, considered, chosen, runner_up, panic } =
            self;
        group(out, |to| {
            to.put("route", route)?.put("pool", pool)?.put("tier", tier)?;
            // By its name: its place in the registry may change.
            match REGISTRY.get(usize::from(*strategy)) {
                Some(entry) => to.put("strategy", &Word(entry.name))?,
                None => to.put("strategy", strategy)?,
            };
            to.put("candidates", candidates)?.put("considered", considered)?;
            to.put("chosen", chosen)?.put("runner_up", runner_up)?.put("panic", panic).map(drop)
        })
    }
}

/// The terms of a score by their words.
impl Wire for Terms {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        group(out, |to| {
            self.as_slice()
                .iter()
                .try_for_each(|(term, value)| to.put(term.name(), value).map(drop))
        })
    }
}

/// A strategy and all its settings in integer form: `power_of_two(choices=2 signal=0)`.
impl Wire for StrategySpec {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(self.name())?;
        group(out, |to| {
            for (setting, value) in self.settings() {
                match (setting.kind, self.formula()) {
                    (SettingKind::Formula, Some(formula)) => to.put(setting.name, &formula)?,
                    _ => to.put(setting.name, &value)?,
                };
            }
            Ok(())
        })
    }
}

impl Wire for Target {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        word_of(out, self.word(), &[&self.value()])
    }
}

impl Wire for JobPhase {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(self.word())?;
        match self {
            JobPhase::Started => Ok(()),
            JobPhase::StepOver { step, began, instances, skipped } => group(out, |to| {
                to.put("step", step)?.put("began", began)?.put("instances", instances)?;
                to.put("skipped", skipped).map(drop)
            }),
            JobPhase::Ended { fate, requests } => {
                group(out, |to| to.put("fate", fate)?.put("requests", requests).map(drop))
            }
        }
    }
}

impl Wire for JobFate {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            JobFate::Failed(step) => word_of(out, self.word(), &[step]),
            JobFate::Completed | JobFate::TimedOut => out.write_str(self.word()),
        }
    }
}

impl Wire for Verdict {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Verdict::Chosen(score) | Verdict::LookedAt(score) => {
                word_of(out, self.word(), &[score])
            }
            Verdict::NotDrawn => out.write_str(self.word()),
            Verdict::Filtered(filter) => word_of(out, self.word(), &[filter]),
        }
    }
}

impl Wire for Filter {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Filter::State(state) => word_of(out, self.word(), &[state]),
            Filter::Full
            | Filter::Region
            | Filter::Tags
            | Filter::Tried
            | Filter::Domain
            | Filter::Credential
            | Filter::Quota
            | Filter::SlowStart => out.write_str(self.word()),
        }
    }
}

impl Wire for ModelWhy {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(self.word())?;
        group(out, |to| {
            match self {
                ModelWhy::Complexity { score, easier, seen, strong_share } => {
                    to.put("score", score)?.put("easier", easier)?.put("seen", seen)?;
                    to.put("strong_share", strong_share)?;
                }
                ModelWhy::Cascade { accept } => drop(to.put("accept", accept)?),
                ModelWhy::Bandit { arms, explores } => {
                    to.put("arms", arms)?.put("explores", explores)?;
                }
            }
            Ok(())
        })
    }
}

/// Writes the fields of an event after its word.
fn fields(to: &mut Fields<'_>, event: &Event) -> fmt::Result {
    macro_rules! table {
        ($($variant:pat => $($field:ident = $key:literal)*;)*) => {
            match event {
                $($variant => { $(to.put($key, $field)?;)* })*
            }
        };
    }
    use Event as E;
    table! {
        E::Arrived { request, class, tenant, arrived, prompt, job } =>
            request="request" class="class" tenant="tenant" arrived="arrived" prompt="prompt"
            job="job";
        E::Queued { request, route } => request="request" route="route";
        E::Dispatched { attempt, node, class, kind, after, arrived, queued, why, resumed } =>
            attempt="attempt" node="node" class="class" kind="kind" after="after"
            arrived="arrived" queued="queued" why="why" resumed="resumed";
        E::Explained(explanation) => explanation="";
        E::FirstToken { attempt, node, took } => attempt="attempt" node="node" took="took";
        E::Ended { attempt, node, class, end, arrived, dispatched, usage, cost, job } =>
            attempt="attempt" node="node" class="class" end="end" arrived="arrived"
            dispatched="dispatched" usage="usage" cost="cost" job="job";
        E::RetryPlanned { request, node, end, pause } =>
            request="request" node="node" end="end" pause="pause";
        E::RetryDenied { request, node, end, reason } =>
            request="request" node="node" end="end" reason="reason";
        E::Settled(settled) => settled="";
        E::NodeState { node, from, to: state, cause } =>
            node="node" from="from" state="to" cause="cause";
        E::Strategy { pool, from, to: strategy } => pool="pool" from="from" strategy="to";
        E::NodeChanged { node, spec } => node="node" spec="spec";
        E::Scaled { group, from, to: nodes, reason } =>
            group="group" from="from" nodes="to" reason="reason";
        E::Batch { node, members } => node="node" members="members";
        E::LateWord { attempt } => attempt="attempt";
        E::Mark(mark) => mark="";
        E::Job(news) => news="";
        E::HedgeDenied { request, node, reason } => request="request" node="node" reason="reason";
        E::Model(choice) => choice="";
        E::Escalated { request, node, score, to: pool } =>
            request="request" node="node" score="score" pool="to";
        E::Feedback { request, class, pool, quality } =>
            request="request" class="class" pool="pool" quality="quality";
        E::Graded(grade) => grade="";
        E::Panic { pool, tier, on } => pool="pool" tier="tier" on="on";
        E::Limit { node, limit, before, cause, notable } =>
            node="node" limit="limit" before="before" cause="cause" notable="notable";
        E::Shedding { route, priority, on, saturation } =>
            route="route" priority="priority" on="on" saturation="saturation";
        E::DegradeLevel { route, from, to: rung, saturation, threshold } =>
            route="route" from="from" rung="to" saturation="saturation" threshold="threshold";
    }
    Ok(())
}

/// Types that are written as a group of fields. All fields of each are named, so that a new one is not
/// compiled before it has its word.
macro_rules! groups {
    ($($type:ident { $($field:ident = $key:literal)* })*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut dyn Write) -> fmt::Result {
                let $type { $($field),* } = self;
                group(out, |to| {
                    $(to.put($key, $field)?;)*
                    Ok(())
                })
            }
        }
    )*};
}
groups! {
    ArmView { pool="pool" heard="heard" mean="mean" drawn="drawn" dollars="dollars" value="value" }
    Candidate {
        node="node" verdict="verdict" terms="terms" success="success" in_flight="in_flight"
    }
    Explanation {
        attempt="attempt" at="at" expected_output="expected_output" why="why"
        candidates="candidates" omitted="omitted"
    }
    Grade {
        request="request" class="class" route="route" node="node" arrived="arrived"
        quality="quality"
    }
    JobNews { job="job" workflow="workflow" started="started" what="what" }
    JobStep { job="job" workflow="workflow" step="step" }
    Limits {
        concurrency="concurrency" requests_per_minute="requests_per_minute"
        tokens_per_minute="tokens_per_minute"
    }
    Mark { by="by" nodes="nodes" phase="phase" what="what" }
    ModelChoice { request="request" route="route" pool="pool" why="why" }
    NodeSpec {
        name="name" pool="pool" tier="tier" weight="weight" model="model" region="region"
        tags="tags" prices="prices" hourly="hourly" limits="limits" credential="credential"
    }
    Prices { input="input" cached_input="cached_input" output="output" }
    Reason { target="target" measured="measured" }
    Scored { node="node" score="score" terms="terms" }
    Settled {
        request="request" class="class" tenant="tenant" route="route" node="node" fate="fate"
        arrived="arrived" dispatched="dispatched" first_token="first_token" attempts="attempts"
        failover="failover" degraded="degraded" queued="queued" usage="usage" job="job"
        hedge="hedge" spent="spent" degraded_by="touched"
    }
    Usage { input="input" cached="cached" output="output" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::PoolSpec;

    fn written(event: &Event) -> String {
        let mut text = String::new();
        write_event(&mut text, Time(5), event).unwrap();
        text
    }

    #[test]
    fn every_field_is_written_in_words_of_its_own() {
        let after = Some((NodeId(7), End::Failed(Failure::ServerError)));
        let terms = Terms::NONE.with(Term::Load, 3.0).with(Term::Latency, 0.1);
        let chosen = Scored { node: NodeId(2), score: 0.1 + 0.2, terms };
        let why = Why {
            route: RouteId(1),
            pool: PoolId(0),
            tier: Tier::Backup,
            strategy: StrategySpec::named("peak_ewma").unwrap().index(),
            candidates: 3,
            considered: 2,
            chosen,
            runner_up: Some(Scored::unscored(NodeId(4))),
            panic: true,
        };
        let event = Event::Dispatched {
            attempt: Attempt { request: RequestId(9), ordinal: 1 },
            node: NodeId(2),
            class: ClassId(6),
            kind: AttemptKind::Retry,
            after,
            arrived: Time(4),
            queued: false,
            why,
            resumed: Tokens(8),
        };
        let wanted = "5 dispatched attempt=9.1 node=2 class=6 kind=retry \
                      after=(node=7 end=failed(server_error)) arrived=4 queued=false why=(route=1 \
                      pool=0 tier=backup strategy=peak_ewma candidates=3 considered=2 chosen=(node=2 \
                      score=0.30000000000000004 terms=(load=3 latency=0.1)) runner_up=(node=4 \
                      score=NaN terms=()) panic=true) resumed=8";
        assert_eq!(written(&event), wanted);
    }

    #[test]
    fn text_cannot_be_taken_for_something_else() {
        let mut mark = Mark {
            by: MarkBy::Person,
            nodes: vec![NodeId(1), NodeId(2)],
            phase: MarkPhase::Begin,
            what: "a\" \\b\n phase=end".to_owned(),
        };
        let wanted = r#"5 mark (by=person nodes=[1 2] phase=begin what="a\" \\b\u{a} phase=end")"#;
        assert_eq!(written(&Event::Mark(mark.clone())), wanted);
        mark.nodes.clear();
        mark.what.clear();
        assert_eq!(
            written(&Event::Mark(mark)),
            r#"5 mark (by=person nodes=[] phase=begin what="")"#
        );
    }

    #[test]
    fn a_strategy_has_its_settings_by_name() {
        let mut to = StrategySpec::named("score").unwrap();
        to.set_formula("ttft");
        let from = PoolSpec::new("p", StrategySpec::named("power_of_two").unwrap()).strategy;
        let text = written(&Event::Strategy { pool: PoolId(3), from, to });
        let wanted = "5 strategy pool=3 from=power_of_two(choices=2 signal=0) \
                      to=score(formula=\"ttft\")";
        assert_eq!(text, wanted);
    }
}

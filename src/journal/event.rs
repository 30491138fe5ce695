//! The words of events: one line each, which digests are taken of and which two runs can be compared
//! by. Every field of every event is there; events are written and never read.

use std::fmt::{self, Write};

use super::table::{groups, variants, words};
use super::wire::{Fields, ToWire};
use crate::balance::{
    ArmView, AttemptKind, CacheLookup, Candidate, Cause, DegradeLevel, End, Event, Explanation,
    Fate, Filter, KeptAnswer, LimitCause, ModelChoice, ModelWhy, NoHedge, NoRetry, NodeState,
    REGISTRY, Reason, Reject, Scored, Settled, Term, Terms, TimeoutStage, Verdict, Why,
};
use crate::unit::Time;

/// Writes an event in words of the wire: `[1500000,{"queued":{"request":3,"route":0}}]`, the time in
/// nanoseconds first, without a line end.
///
/// # Errors
/// If `out` takes no more.
pub fn write_event(out: &mut dyn Write, now: Time, event: &Event) -> fmt::Result {
    out.write_char('[')?;
    now.write(out)?;
    out.write_char(',')?;
    event.write(out)?;
    out.write_char(']')
}

variants! { written VARIANTS;
    Event = "event" {
        Arrived {
            request: "request",
            class: "class",
            tenant: "tenant",
            arrived: "arrived",
            prompt: "prompt",
            job: "job",
        } => "arrived",
        Cache(lookup) => "cache",
        Queued { request: "request", route: "route" } => "queued",
        Dispatched {
            attempt: "attempt",
            node: "node",
            class: "class",
            kind: "kind",
            after: "after",
            arrived: "arrived",
            queued: "queued",
            why: "why",
            resumed: "resumed",
        } => "dispatched",
        Explained(explanation) => "explained",
        FirstToken { attempt: "attempt", node: "node", took: "took" } => "first_token",
        Ended {
            attempt: "attempt",
            node: "node",
            class: "class",
            end: "end",
            arrived: "arrived",
            dispatched: "dispatched",
            usage: "usage",
            cost: "cost",
            job: "job",
        } => "ended",
        RetryPlanned {
            request: "request",
            node: "node",
            end: "end",
            pause: "pause",
        } => "retry_planned",
        RetryDenied {
            request: "request",
            node: "node",
            end: "end",
            reason: "reason",
        } => "retry_denied",
        Settled(settled) => "settled",
        NodeState { node: "node", from: "from", to: "to", cause: "cause" } => "node_state",
        Strategy { pool: "pool", from: "from", to: "to" } => "strategy",
        NodeChanged { node: "node", spec: "spec" } => "node_changed",
        Scaled { group: "group", from: "from", to: "to", reason: "reason" } => "scaled",
        Batch { node: "node", members: "members" } => "batch",
        LateWord { attempt: "attempt" } => "late_word",
        Mark(mark) => "mark",
        Job(news) => "job",
        HedgeDenied { request: "request", node: "node", reason: "reason" } => "hedge_denied",
        Model(choice) => "model",
        Escalated { request: "request", node: "node", score: "score", to: "to" } => "escalated",
        Feedback {
            request: "request",
            class: "class",
            pool: "pool",
            quality: "quality",
        } => "feedback",
        Graded(grade) => "graded",
        Panic { route: "route", on: "on" } => "panic",
        KeptIn { node: "node", cause: "cause" } => "kept_in",
        Limit {
            node: "node",
            limit: "limit",
            before: "before",
            cause: "cause",
            notable: "notable",
        } => "limit",
        Shedding {
            route: "route",
            priority: "priority",
            on: "on",
            saturation: "saturation",
        } => "shedding",
        DegradeLevel {
            route: "route",
            from: "from",
            to: "to",
            saturation: "saturation",
            threshold: "threshold",
        } => "rung",
    }
    Cause = "cause" {
        Failures(count) => "failures",
        Probes(count) => "probes",
        Recovered(count) => "recovered",
        Probing => "probing",
        RateLimited(span) => "rate_limited",
        LimitOver => "limit_over",
        Operator => "operator",
        Scaled => "scaled",
        Started => "started",
        SuccessRate(own, peers) => "success_rate",
        FailureShare(share) => "failure_share",
        SlowShare(own, peers) => "slow_share",
        Silent(span) => "silent",
        Credential(span) => "credential",
        NoToken(count) => "no_token",
        Busy(span) => "busy",
        Refusals(count) => "refusals",
        RefusalShare(own, best) => "refusal_share",
    }
    End = "end" {
        Done => "done",
        Failed(failure) => "failed",
        RateLimited => "rate_limited",
        TimedOut(stage) => "timed_out",
        Cancelled => "cancelled",
        Outrun => "outrun",
    }
    Fate = "fate" {
        Completed => "completed",
        Failed(end) => "failed",
        Rejected(reason) => "rejected",
        Cancelled => "cancelled",
    }
    Filter = "filter" {
        State(state) => "state",
        Full => "full",
        Region => "region",
        Tags => "tags",
        Model => "model",
        Home => "home",
        Tried => "tried",
        Domain => "domain",
        Credential => "credential",
        Refused => "refused",
        Quota => "quota",
        SlowStart => "slow_start",
    }
    LimitCause = "limit cause" {
        Ratio(ratio) => "ratio",
        Pressed(end) => "pressed",
    }
    ModelWhy = "model why" {
        Complexity {
            score: "score",
            easier: "easier",
            seen: "seen",
            strong_share: "strong_share",
        } => "complexity",
        Threshold {
            score: "score",
            easier: "easier",
            strong_share: "strong_share",
            dearer: "dearer",
            explores: "explores",
        } => "threshold",
        Cascade { accept: "accept" } => "cascade",
        Bandit { arms: "arms", explores: "explores" } => "bandit",
    }
    Reject = "reject" {
        QueueFull => "queue_full",
        WaitedTooLong => "waited_too_long",
        NoNode => "no_node",
        NotAtHome => "not_at_home",
        TooLate => "too_late",
        Displaced => "displaced",
        TenantRate(after) => "tenant_rate",
        Budget(after) => "budget",
        RetryBudget => "retry_budget",
        Shed => "shed",
        Resting(after) => "resting",
    }
    TimeoutStage = "stage" {
        FirstToken => "first_token",
        Total => "total",
    }
    Verdict = "verdict" {
        Chosen(score) => "chosen",
        LookedAt(score) => "looked_at",
        NotDrawn => "not_drawn",
        Filtered(filter) => "filtered",
    }
}

words! { written WORDS;
    AttemptKind::word = "kind" { First, Retry, Hedge, Escalation }
    NoHedge::word = "no hedge" { Saturated, Budget, NoNode, Deadline, Attempts, Degraded }
    NoRetry::word = "no retry" { NotRetryable, Started, Attempts, Budget, Deadline, Tokens }
    NodeState::name = "node state" {
        Up,
        CoolingDown,
        Ejected,
        Probing,
        Draining,
        Starting,
        Off,
        Gone,
    }
    DegradeLevel::name = "rung" { Calm, Hedges, Queue, Shed, Clamp, Cheaper, Reject }
    Term::name = "term" {
        Load,
        Prefill,
        Decode,
        Prefix,
        Latency,
        Dollars,
        Queue,
        Kv,
        Ttft,
        Tpot,
        Decoding,
        Others,
        Wasted,
        Price,
        Predicted,
        Formula,
    }
}

groups! { written GROUPS;
    ArmView = "arm" {
        pool: "pool",
        heard: "heard",
        mean: "mean",
        drawn: "drawn",
        dollars: "dollars",
        value: "value",
    }
    CacheLookup = "cache lookup" {
        request: "request",
        class: "class",
        route: "route",
        arrived: "arrived",
        found: "found",
    }
    Candidate = "candidate" {
        node: "node",
        verdict: "verdict",
        terms: "terms",
        success: "success",
        in_flight: "in_flight",
    }
    Explanation = "explanation" {
        attempt: "attempt",
        at: "at",
        expected_output: "expected_output",
        why: "why",
        candidates: "candidates",
        omitted: "omitted",
    }
    KeptAnswer = "kept answer" { age: "age", usage: "usage", cost: "cost" }
    ModelChoice = "model choice" { request: "request", route: "route", pool: "pool", why: "why" }
    Reason = "reason" { target: "target", measured: "measured" }
    Scored = "scored" { node: "node", score: "score", terms: "terms" }
    Settled = "settled" {
        request: "request",
        class: "class",
        tenant: "tenant",
        route: "route",
        node: "node",
        fate: "fate",
        arrived: "arrived",
        dispatched: "dispatched",
        first_token: "first_token",
        attempts: "attempts",
        failover: "failover",
        degraded: "degraded",
        queued: "queued",
        usage: "usage",
        job: "job",
        hedge: "hedge",
        spent: "spent",
        degraded_by: "touched",
        cached: "cached" or false,
        over_budget: "over_budget" or false,
    }
}

/// The strategy stands in it by its name: its place in the registry may change.
impl ToWire for Why {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let Why { route, pool, tier, strategy, candidates, considered, chosen, runner_up, panic } =
            self;
        let mut to = Fields::open(out)?;
        let named = REGISTRY.get(usize::from(*strategy)).map(|entry| entry.name);
        let strategy: &dyn ToWire = named.as_ref().map_or(strategy, |name| name);
        let fields: [&dyn ToWire; 9] =
            [route, pool, tier, strategy, candidates, considered, chosen, runner_up, panic];
        for (key, value) in WHY.iter().zip(fields) {
            to.put(key, value)?;
        }
        to.close()
    }
}

pub(super) const WHY: &[&str] = &[
    "route",
    "pool",
    "tier",
    "strategy",
    "candidates",
    "considered",
    "chosen",
    "runner_up",
    "panic",
];

/// The terms of a score by their words.
impl ToWire for Terms {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let mut to = Fields::open(out)?;
        for (term, value) in self.as_slice() {
            to.put(term.name(), value)?;
        }
        to.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Attempt, Failure, Mark, MarkBy, MarkPhase, StrategySpec, Tier};
    use crate::unit::{ClassId, NodeId, PoolId, RequestId, RouteId, Tokens};

    fn written(event: &Event) -> String {
        let mut text = String::new();
        write_event(&mut text, Time(5), event).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
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
        let wanted = concat!(
            r#"[5,{"dispatched":{"attempt":{"request":9,"ordinal":1},"node":2,"class":6,"#,
            r#""kind":"retry","after":[7,{"failed":"server_error"}],"arrived":4,"queued":false,"#,
            r#""why":{"route":1,"pool":0,"tier":"backup","strategy":"peak_ewma","candidates":3,"#,
            r#""considered":2,"chosen":{"node":2,"score":0.30000000000000004,"#,
            r#""terms":{"load":3,"latency":0.1}},"runner_up":{"node":4,"score":"NaN","terms":{}},"#,
            r#""panic":true},"resumed":8}}]"#
        );
        assert_eq!(written(&event), wanted);
    }

    #[test]
    fn text_cannot_be_taken_for_something_else() {
        let mark = Mark {
            by: MarkBy::Person,
            nodes: vec![NodeId(1), NodeId(2)],
            phase: MarkPhase::Begin,
            what: "a\" \\b\n\u{1}\",\"phase\":\"end".to_owned(),
        };
        let text = written(&Event::Mark(mark.clone()));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[1]["mark"]["what"], mark.what);
        assert_eq!(value[1]["mark"]["phase"], "begin");
    }

    #[test]
    fn a_strategy_has_its_settings_by_name() {
        let mut to = StrategySpec::named("score").unwrap();
        to.set_formula("ttft");
        let from = StrategySpec::named("power_of_two").unwrap();
        let text = written(&Event::Strategy { pool: PoolId(3), from, to });
        let wanted = concat!(
            r#"[5,{"strategy":{"pool":3,"from":{"power_of_two":{"choices":2,"signal":0}},"#,
            r#""to":{"score":{"formula":"ttft"}}}}]"#
        );
        assert_eq!(text, wanted);
    }
}

//! The words of inputs, and of what inputs and events have in common.

use std::fmt::{self, Write};

use serde_json::Value;

use super::table::{groups, variants, words};
use super::wire::{Fields, FromWire, Misread, ToWire};
use crate::balance::{
    Attempt, Control, Failure, FleetChange, Grade, HomeNode, Input, JobFate, JobNews, JobPhase,
    JobStep, Limits, Mark, MarkBy, MarkPhase, NodeReport, NodeSpec, Outcome, PeerLoad, PeerNode,
    Prices, Priority, ProbeResult, Progress, Request, SessionKey, SessionKeyKind, SettingKind,
    StrategySpec, Tier, Usage,
};

variants! { both VARIANTS;
    Input = "input" {
        Arrive(request) => "arrive",
        Progress(attempt, progress) => "progress",
        Keeps(attempt, key) => "keeps",
        Finish(attempt, outcome) => "finish",
        Probed(node, number, result) => "probed",
        Report(node, report) => "report",
        Peer(peer, load) => "peer",
        Fleet(change) => "fleet",
        Control(control) => "control",
        Cancel(request) => "cancel",
        Job(news) => "job",
        Wake => "wake",
        Feedback(request, quality) => "feedback",
        Graded(grade) => "graded",
    }
    Progress = "progress" {
        FirstToken => "first_token",
        Tokens(count) => "tokens",
        Sealed => "sealed",
        Anew => "anew",
    }
    Outcome = "outcome" {
        Done(usage) => "done",
        Failed(failure, usage) => "failed",
        RateLimited { retry_after: "retry_after" } => "rate_limited",
        Aborted(usage) => "aborted",
        Scored(usage, score) => "scored",
        Busy { retry_after: "retry_after" } => "busy",
    }
    Failure = "failure" {
        Refused => "refused",
        Reset => "reset",
        ServerError => "server_error",
        Overloaded => "overloaded",
        Stalled => "stalled",
        Malformed => "malformed",
        ClientError => "client_error",
        Unauthorized => "unauthorized",
        TooLong => "too_long",
        NotFound => "not_found",
        ContentPolicy => "content_policy",
        TooLarge => "too_large",
        Diverged => "diverged",
        CertificateExpired => "certificate_expired",
        CertificateName => "certificate_name",
        CertificateUntrusted => "certificate_untrusted",
        Handshake => "handshake",
    }
    ProbeResult = "probe result" {
        Healthy => "healthy",
        Failed(failure) => "failed",
    }
    FleetChange = "fleet change" {
        Add(node) => "add",
        Drain(node) => "drain",
        Resume(node) => "resume",
        Ready(node) => "ready",
        Remove(node) => "remove",
        Reprice(node, prices) => "reprice",
        Relimit(node, limits) => "relimit",
    }
    Control = "control" {
        Strategy(pool, strategy) => "strategy",
        Weight(node, weight) => "weight",
        Mark(mark) => "mark",
    }
    JobPhase = "job phase" {
        Started => "started",
        StepOver {
            step: "step",
            began: "began",
            instances: "instances",
            skipped: "skipped",
        } => "step_over",
        Ended { fate: "fate", requests: "requests" } => "ended",
    }
    JobFate = "job fate" {
        Completed => "completed",
        Failed(step) => "failed",
        TimedOut => "timed_out",
    }
}

words! { both WORDS;
    SessionKeyKind::name = "session key" { Session, User, Conversation, PromptCacheKey, PreviousResponse, McpSession }
    MarkBy::word = "mark by" { Scenario, Person }
    MarkPhase::word = "mark phase" { Begin, End }
    Priority::name = "priority" { Critical, High, Normal, Sheddable }
    Tier::name = "tier" { Primary, Backup, Secondary }
}

groups! { both GROUPS;
    Attempt = "attempt" { request: "request", ordinal: "ordinal" }
    Grade = "grade" {
        request: "request",
        class: "class",
        route: "route",
        node: "node",
        arrived: "arrived",
        quality: "quality",
    }
    JobNews = "job news" {
        job: "job",
        workflow: "workflow",
        started: "started",
        what: "what",
    }
    HomeNode = "home" { node: "node", only: "only" }
    JobStep = "job step" { job: "job", workflow: "workflow", step: "step" }
    Limits = "limits" {
        concurrency: "concurrency",
        requests_per_minute: "requests_per_minute",
        tokens_per_minute: "tokens_per_minute",
    }
    Mark = "mark" { by: "by", nodes: "nodes", phase: "phase", what: "what" }
    NodeReport = "node report" {
        age: "age",
        running: "running",
        waiting: "waiting",
        kv_used: "kv_used",
        requests_left: "requests_left",
        tokens_left: "tokens_left",
    }
    NodeSpec = "node" {
        name: "name",
        pool: "pool",
        tier: "tier",
        weight: "weight",
        model: "model",
        region: "region",
        tags: "tags",
        prices: "prices",
        hourly: "hourly",
        limits: "limits",
        credential: "credential" or None,
    }
    PeerLoad = "peer load" { age: "age", epoch: "epoch", nodes: "nodes" }
    PeerNode = "peer node" {
        node: "node",
        requests: "requests",
        prompt: "prompt",
        output: "output",
    }
    Prices = "prices" { input: "input", cached_input: "cached_input", output: "output" }
    Request = "request" {
        id: "id",
        arrived: "arrived",
        deadline: "deadline",
        class: "class",
        tenant: "tenant",
        priority: "priority",
        prompt: "prompt",
        output_max: "output_max" or None,
        session: "session" or None,
        keys: "keys" or Box::default(),
        region: "region" or None,
        attributes: "attributes" or 0,
        job: "job" or None,
        prefix: "prefix" or Box::default(),
        prefix_block: "prefix_block" or 0,
        content: "content" or None,
        complexity: "complexity" or None,
        model: "model" or None,
        whole: "whole" or false,
        effort: "effort" or 0,
        once: "once" or false,
        again: "again" or 0,
        home: "home" or None,
    }
    SessionKey = "session key of" { by: "by", hash: "hash" }
    Usage = "usage" {
        input: "input",
        cached: "cached",
        output: "output",
        estimated: "estimated" or false,
    }
}

/// A strategy's name and all its settings in integer form: `{"peak_ewma":{"decay":60000000000, ..}}`.
impl ToWire for StrategySpec {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let mut to = Fields::open(out)?;
        to.put(self.name(), &Settings(self))?;
        to.close()
    }
}

struct Settings<'a>(&'a StrategySpec);

impl ToWire for Settings<'_> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let mut to = Fields::open(out)?;
        for (setting, value) in self.0.settings() {
            match (setting.kind, self.0.formula()) {
                (SettingKind::Formula, Some(formula)) => to.put(setting.name, &formula)?,
                _ => to.put(setting.name, &value)?,
            }
        }
        to.close()
    }
}

impl FromWire for StrategySpec {
    fn read(value: &Value) -> Result<StrategySpec, Misread> {
        let map = value.as_object().filter(|map| map.len() == 1);
        let (name, settings) = map.and_then(|map| map.iter().next()).ok_or_else(|| {
            Misread::wanted("an object with one key, the name of a strategy", value)
        })?;
        let mut spec = StrategySpec::named(name)
            .ok_or_else(|| Misread::new(format!("`{name}` is no strategy")))?;
        let wrong = |key: &str, reason: String| Misread::new(reason).within(key).within(name);
        let settings = settings
            .as_object()
            .ok_or_else(|| Misread::wanted("an object", settings).within(name))?;
        for (key, value) in settings {
            let mut known = spec.entry().settings.iter();
            let setting = known
                .find(|setting| setting.name == key)
                .ok_or_else(|| wrong(key, "is no setting of it".to_owned()))?;
            match (value.as_str(), setting.kind) {
                (Some(formula), SettingKind::Formula) => spec.set_formula(formula),
                _ => {
                    let value = u64::read(value).map_err(|error| error.within(key).within(name))?;
                    spec.set(key, value)
                        .map_err(|wanted| wrong(key, format!("must be {wanted}")))?;
                }
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::REGISTRY;

    fn written(value: &dyn ToWire) -> String {
        let mut text = String::new();
        value.write(&mut text).unwrap();
        text
    }

    fn parse<T: FromWire>(text: &str) -> Result<T, String> {
        let value: Value = serde_json::from_str(text).unwrap();
        T::read(&value).map_err(|error| error.to_string())
    }

    #[test]
    fn every_strategy_is_read_back() {
        for entry in REGISTRY {
            let mut spec = StrategySpec::named(entry.name).unwrap();
            assert_eq!(parse(&written(&spec)), Ok(spec.clone()));
            if entry.settings.iter().any(|setting| setting.kind == SettingKind::Formula) {
                spec.set_formula("ttft + \"1\"");
                assert_eq!(parse(&written(&spec)), Ok(spec));
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let refused = |text: &str| parse::<StrategySpec>(text).unwrap_err();
        assert_eq!(
            refused(r#"{"power_of_two":{"choices":0}}"#),
            "`power_of_two.choices`: must be a whole number from 1 to 64"
        );
        assert_eq!(
            refused(r#"{"power_of_two":{"chioces":2}}"#),
            "`power_of_two.chioces`: is no setting of it"
        );
        refused(r#"{"power_of_two":{},"random":{}}"#);
        refused("{}");
        refused(r#"{"power_of_two":[]}"#);
        refused(r#"{"power_of_two":{"choices":"ttft"}}"#);
        let spec = parse::<StrategySpec>(r#"{"power_of_two":{"choices":4}}"#).unwrap();
        assert_eq!(spec.to_string(), "power_of_two(choices 4)");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, said) in [
            ("7", "expected a word, or an object with one word, found this number"),
            (r#""stop""#, "`stop` is none of arrive, progress, keeps, finish, probed, report, "),
            (r#"{"wake":1}"#, "`wake`: holds nothing"),
            (r#""cancel""#, "`cancel`: says nothing of what it holds"),
            (
                r#"{"cancel":-1}"#,
                "`cancel`: expected a whole number from 0 to 18446744073709551615",
            ),
            (r#"{"cancel":1.5}"#, "`cancel`: expected a whole number from 0 to"),
            (r#"{"probed":[1,2]}"#, "`probed`: expected a list of 3, found a list"),
            (
                r#"{"probed":[1,2,{"failed":"tired"}]}"#,
                "`probed[2].failed`: `tired` is none of ref",
            ),
            (
                r#"{"probed":[1,2,null]}"#,
                "`probed[2]`: expected a word, or an object with one word,",
            ),
            (r#"{"finish":[{"request":1},"done"]}"#, "`finish[0].ordinal`: is missing"),
            (
                r#"{"finish":[{"request":1,"ordinal":300},"done"]}"#,
                "`finish[0].ordinal`: expected a whole number from 0 to 255, found this number",
            ),
            (
                r#"{"finish":[{"request":1,"ordinal":0,"extra":null},"done"]}"#,
                "`finish[0].extra`: is not known here",
            ),
            (
                r#"{"control":{"strategy":[0,{"p2c":{}}]}}"#,
                "`control.strategy[1]`: `p2c` is no strategy",
            ),
        ] {
            let error = parse::<Input>(text).unwrap_err();
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }
}

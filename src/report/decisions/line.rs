//! What a line of the log says: its kind, and the names and figures of an event.

use serde_json::{Map, Value, json};

use super::LogNames;
use crate::balance::{
    Attempt, CacheLookup, DegradeLevel, Event, Fate, Mark, NodeSpec, Scored, Settled, StrategySpec,
};
use crate::unit::{NodeId, PoolId, Time, Tokens};

/// The kind of a line and its body.
pub(super) type LogBody = (&'static str, Value);

impl LogNames {
    /// Returns the line of an event; those that decide nothing and end nothing have none.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub(super) fn line(&mut self, now: Time, event: &Event) -> Option<LogBody> {
        Some(match event {
            Event::Arrived { .. } => ("arrival", self.arrival(event)?),
            Event::Cache(lookup) => ("cache", looked_up(lookup)),
            Event::Queued { request, route } => {
                ("wait", json!({ "request": request.0, "route": route.0 }))
            }
            Event::Dispatched { .. } => ("decision", self.decision(event)?),
            Event::Ended { .. } => ("attempt", self.attempt(now, event)?),
            Event::RetryPlanned { request, pause, .. } => {
                ("retry", json!({ "request": request.0, "pause_ns": pause.0 }))
            }
            Event::RetryDenied { request, end, reason, .. } => (
                "no_retry",
                json!({ "request": request.0, "end": end.words(), "why": reason.word() }),
            ),
            Event::HedgeDenied { request, reason, .. } => {
                ("no_hedge", json!({ "request": request.0, "why": reason.word() }))
            }
            Event::Escalated { request, node, score, to } => {
                let (node, to) = (self.node(*node), self.pool(*to));
                let score = score.value();
                let body = json!({ "request": request.0, "node": node, "score": score, "to": to });
                ("escalation", body)
            }
            Event::Settled(settled) => ("outcome", self.outcome(settled)),
            Event::NodeState { node, from, to, cause } => {
                let (from, to, why) = (from.name(), to.name(), cause.word());
                ("node", json!({ "node": self.node(*node), "from": from, "to": to, "why": why }))
            }
            Event::Strategy { pool, from, to } => ("strategy", self.exchanged(*pool, from, to)),
            Event::NodeChanged { node, spec } => ("changed", self.changed(*node, spec)),
            Event::Panic { route, on } => ("panic", json!({ "route": route.0, "on": on })),
            Event::KeptIn { node, cause } => {
                ("kept_in", json!({ "node": self.node(*node), "why": cause.word() }))
            }
            Event::Shedding { .. } => ("shedding", shedding(event)?),
            Event::DegradeLevel { .. } => ("rung", level(event)?),
            Event::Limit { node, limit, before, cause, notable: true } => {
                let (node, why) = (self.node(*node), cause.word());
                ("limit", json!({ "node": node, "from": before, "to": limit, "why": why }))
            }
            Event::Mark(mark) => ("mark", self.mark(mark)),
            Event::Explained(_)
            | Event::FirstToken { .. }
            | Event::Scaled { .. }
            | Event::Batch { .. }
            | Event::LateWord { .. }
            | Event::Job(_)
            | Event::Model(_)
            | Event::Feedback { .. }
            | Event::Graded(_)
            | Event::Limit { notable: false, .. } => return None,
        })
    }

    fn node(&self, id: NodeId) -> String {
        name(&self.nodes, id.index())
    }

    fn pool(&self, id: PoolId) -> String {
        name(&self.pools, id.index())
    }

    fn arrival(&self, event: &Event) -> Option<Value> {
        let Event::Arrived { request, class, tenant, arrived, prompt, .. } = event else {
            return None;
        };
        Some(json!({
            "request": request.0,
            "class": name(&self.classes, class.index()),
            "tenant": tenant.0,
            "meant_ns": arrived.0,
            "prompt_tokens": prompt.0,
        }))
    }

    fn decision(&self, event: &Event) -> Option<Value> {
        let Event::Dispatched { attempt, kind, after, queued, why, resumed, .. } = event else {
            return None;
        };
        let after = after.map(|(at, end)| json!({ "node": self.node(at), "end": end.words() }));
        let mut body = json!({
            "attempt": this(*attempt),
            "is": kind.word(),
            "after": after,
            "waited": queued,
            "route": why.route.0,
            "pool": self.pool(why.pool),
            "tier": why.tier.name(),
            "strategy": name(&self.strategies, why.pool.index()),
            "panic": why.panic,
            "candidates": why.candidates,
            "considered": why.considered,
            "chosen": self.scored(&why.chosen),
            "runner_up": why.runner_up.as_ref().map(|other| self.scored(other)),
        });
        if *resumed > Tokens::ZERO {
            body["resumed_tokens"] = resumed.0.into();
        }
        Some(body)
    }

    fn attempt(&self, now: Time, event: &Event) -> Option<Value> {
        let Event::Ended { attempt, node, end, dispatched, usage, cost, .. } = event else {
            return None;
        };
        let mut body = json!({
            "attempt": this(*attempt),
            "node": self.node(*node),
            "end": end.words(),
            "took_ns": now.since(*dispatched).0,
            "input_tokens": usage.input.0,
            "cached_tokens": usage.cached.0,
            "output_tokens": usage.output.0,
            // Exact; as text, since programs read large numbers of JSON as floats.
            "cost_picodollars": cost.0.to_string(),
        });
        if usage.estimated {
            body["estimated"] = true.into();
        }
        Some(body)
    }

    fn outcome(&self, settled: &Settled) -> Value {
        let why = match settled.fate {
            Fate::Failed(end) => Some(end.words()),
            Fate::Rejected(reason) => Some(reason.words()),
            Fate::Completed | Fate::Cancelled => None,
        };
        let mut body = json!({
            "request": settled.request.0,
            "fate": settled.fate.word(),
            "why": why,
            "node": settled.node.map(|node| self.node(node)),
            "route": settled.route.0,
            "attempts": settled.attempts,
            "failover": settled.failover,
            "degraded": settled.degraded,
        });
        if let Some(first) = settled.first_token {
            body["first_token_ns"] = first.since(settled.arrived).0.into();
        }
        if settled.degraded_by > DegradeLevel::Calm {
            body["rung"] = settled.degraded_by.name().into();
        }
        if settled.cached {
            body["cached"] = true.into();
        }
        if settled.over_budget {
            body["over_budget"] = true.into();
        }
        body
    }

    /// A strategy took the place of another, under whose name the pool decides from now on.
    fn exchanged(&mut self, pool: PoolId, from: &StrategySpec, to: &StrategySpec) -> Value {
        if let Some(strategy) = self.strategies.get_mut(pool.index()) {
            *strategy = to.to_string();
        }
        json!({ "pool": self.pool(pool), "from": from.to_string(), "to": to.to_string() })
    }

    fn changed(&mut self, node: NodeId, spec: &NodeSpec) -> Value {
        if node.index() >= self.nodes.len() {
            self.nodes.resize(node.index() + 1, "?".to_owned());
        }
        self.nodes[node.index()].clone_from(&spec.name);
        json!({ "node": spec.name, "weight": spec.weight })
    }

    fn mark(&self, mark: &Mark) -> Value {
        json!({
            "fault": mark.what,
            "phase": mark.phase.word(),
            "by": mark.by.word(),
            "nodes": mark.nodes.iter().map(|at| self.node(*at)).collect::<Vec<_>>(),
        })
    }

    /// A node, its score and what the score is made of. What is not a number is null.
    fn scored(&self, scored: &Scored) -> Value {
        let terms = scored.terms.as_slice().iter();
        let terms: Map<String, Value> =
            terms.map(|(term, value)| (term.name().to_owned(), json!(value))).collect();
        json!({ "node": self.node(scored.node), "score": scored.score, "terms": terms })
    }
}

fn name(names: &[String], at: usize) -> String {
    names.get(at).map_or_else(|| at.to_string(), Clone::clone)
}

fn this(attempt: Attempt) -> Value {
    json!([attempt.request.0, attempt.ordinal])
}

/// Whether an answer that was kept was found, how old it was and what it did not cost again.
fn looked_up(lookup: &CacheLookup) -> Value {
    let found = lookup.found;
    json!({
        "request": lookup.request.0,
        "route": lookup.route.0,
        "hit": found.is_some(),
        "age_ns": found.map(|found| found.age.0),
        "output_tokens": found.map(|found| found.usage.output.0),
        "saved_picodollars": found.map(|found| found.cost.0.to_string()),
    })
}

fn shedding(event: &Event) -> Option<Value> {
    let Event::Shedding { route, priority, on, saturation } = event else { return None };
    Some(json!({
        "route": route.0,
        "priority": priority.name(),
        "on": on,
        "saturation": saturation.value(),
    }))
}

fn level(event: &Event) -> Option<Value> {
    let Event::DegradeLevel { route, from, to, saturation, threshold } = event else { return None };
    Some(json!({
        "route": route.0,
        "from": from.name(),
        "to": to.name(),
        "saturation": saturation.value(),
        "threshold": threshold.value(),
    }))
}

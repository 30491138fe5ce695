//! The rows of the catalogue, in the order of reports and comparisons.

#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the path to a method of a type with a lifetime is a function for one lifetime only"
)]

use super::scopes::{CLASS, JOBS, MODEL, NODE, POOL, ROUTE, RUN, STEP, TENANT};
use super::{Better, Compared, MetricDef, Read, Scopes, Section, Shown, Stat, Subject, Unit};
use crate::metrics::summary::Latency;
use Better::{Higher, Lower, Neither};

/// Whatever has requests and their times.
const GROUPS: Scopes = RUN.and(CLASS).and(POOL).and(ROUTE);
/// Whatever has requests.
const COUNTED: Scopes = GROUPS.and(TENANT);
/// What attempts are counted of.
const TRIED: Scopes = NODE.and(MODEL);
/// What promises are counted of.
const PROMISED: Scopes = RUN.and(CLASS).and(TENANT);
/// What tells of answers that were kept.
const ANSWERED: Scopes = RUN.and(CLASS).and(ROUTE);
/// Whatever has nodes.
const PAID: Scopes = RUN.and(POOL).and(NODE);

const fn metric(
    name: &'static str,
    unit: Unit,
    better: Better,
    scopes: Scopes,
    read: Read,
) -> MetricDef {
    MetricDef {
        name,
        also: &[],
        unit,
        scopes,
        better,
        help: "",
        json: &[],
        shown: None,
        compared: &[],
        read,
        whole: |s| s.whole(),
    }
}

const fn times(
    name: &'static str,
    scopes: Scopes,
    read: fn(&Subject<'_>) -> Option<Latency>,
) -> MetricDef {
    metric(name, Unit::Seconds, Lower, scopes, Read::Times(read))
}

const fn count(
    name: &'static str,
    better: Better,
    scopes: Scopes,
    read: fn(&Subject<'_>) -> Option<u64>,
) -> MetricDef {
    metric(name, Unit::Count, better, scopes, Read::Count(read))
}

const fn number(
    name: &'static str,
    unit: Unit,
    better: Better,
    scopes: Scopes,
    read: fn(&Subject<'_>) -> Option<f64>,
) -> MetricDef {
    metric(name, unit, better, scopes, Read::Number(read))
}

const fn share(
    name: &'static str,
    better: Better,
    scopes: Scopes,
    read: fn(&Subject<'_>) -> Option<f64>,
) -> MetricDef {
    number(name, Unit::Share, better, scopes, read)
}

const fn dollars(
    name: &'static str,
    scopes: Scopes,
    read: fn(&Subject<'_>) -> Option<f64>,
) -> MetricDef {
    number(name, Unit::Dollars, Lower, scopes, read)
}

impl MetricDef {
    const fn help(self, help: &'static str) -> MetricDef {
        MetricDef { help, ..self }
    }

    const fn also(self, also: &'static [&'static str]) -> MetricDef {
        MetricDef { also, ..self }
    }

    const fn json(self, json: &'static [&'static str]) -> MetricDef {
        MetricDef { json, ..self }
    }

    const fn shown(self, section: Section, label: &'static str) -> MetricDef {
        let shown = Shown { section, label, of: None, unless_zero: false };
        MetricDef { shown: Some(shown), ..self }
    }

    const fn shown_of(self, section: Section, label: &'static str, of: &'static str) -> MetricDef {
        let shown = Shown { section, label, of: Some(of), unless_zero: false };
        MetricDef { shown: Some(shown), ..self }
    }

    /// As before, but for what most runs have nothing of.
    const fn shown_if_any(
        self,
        section: Section,
        label: &'static str,
        of: &'static str,
    ) -> MetricDef {
        let shown = Shown { section, label, of: Some(of), unless_zero: true };
        MetricDef { shown: Some(shown), ..self }
    }

    const fn shown_unless_zero(self, section: Section, label: &'static str) -> MetricDef {
        let shown = Shown { section, label, of: None, unless_zero: true };
        MetricDef { shown: Some(shown), ..self }
    }

    /// A count that is a part of something else than most of its scope.
    const fn part_of(self, whole: fn(&Subject<'_>) -> u64) -> MetricDef {
        MetricDef { whole, ..self }
    }

    const fn compared(self, compared: &'static [Compared]) -> MetricDef {
        MetricDef { compared, ..self }
    }
}

/// A line of a comparison that is one of many.
const fn line(label: &'static str) -> Compared {
    Compared { stat: None, label, headline: false, of: RUN }
}

const fn line_of(stat: Stat, label: &'static str) -> Compared {
    Compared { stat: Some(stat), ..line(label) }
}

/// A line of a comparison that decides.
const fn headline(line: Compared) -> Compared {
    Compared { headline: true, ..line }
}

/// A line that is compared of these too.
const fn also_of(scopes: Scopes, line: Compared) -> Compared {
    Compared { of: line.of.and(scopes), ..line }
}

/// A line that is compared of these, and not of the whole run.
const fn only_of(scopes: Scopes, line: Compared) -> Compared {
    Compared { of: scopes, ..line }
}

fn part(of: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| of as f64 / whole as f64)
}

/// So many a request that arrived.
fn per_request(subject: &Subject<'_>, count: Option<u64>) -> Option<f64> {
    part(count?, subject.whole())
}

/// Every metric.
pub static METRICS: &[MetricDef] = &[
    times("latency", GROUPS.and(NODE).and(JOBS).and(STEP), |s| s.latency())
        .help(
            "From the intended arrival to the last token, completed requests; of a node, good \
             attempts from their dispatch; of jobs, completed ones from the intended start; of a \
             step, from when it could begin until it was over",
        )
        .json(&["latency_s"])
        .shown(Section::Times, "latency")
        .compared(&[
            headline(line_of(Stat::Mean, "mean latency")),
            line_of(Stat::P50, "p50 latency"),
            also_of(STEP, line_of(Stat::P95, "p95 latency")),
            headline(also_of(CLASS, line_of(Stat::P99, "p99 latency"))),
        ]),
    times("ttft", GROUPS, |s| s.first_token())
        .help("From the intended arrival to the first token, completed requests")
        .json(&["ttft_s"])
        .shown(Section::Times, "time to first token")
        .compared(&[
            line_of(Stat::Mean, "mean first token"),
            line_of(Stat::P50, "p50 first token"),
            line_of(Stat::P95, "p95 first token"),
            headline(also_of(CLASS, line_of(Stat::P99, "p99 first token"))),
        ]),
    times("tpot", RUN.and(CLASS), |s| s.per_token())
        .help("Time per token after the first, completed requests that stream")
        .json(&["tpot_s"])
        .shown(Section::Times, "time per token")
        .compared(&[
            line_of(Stat::Mean, "mean time per token"),
            line_of(Stat::P99, "p99 time per token"),
        ]),
    times("queue", RUN, |s| Some(s.whole_run()?.queue_s))
        .help("From the intended arrival to the first dispatch")
        .json(&["queue_s"])
        .shown(Section::Times, "balancer queue")
        .compared(&[
            line_of(Stat::Mean, "mean balancer queue"),
            line_of(Stat::P99, "p99 balancer queue"),
        ]),
    // Requests by what became of them.
    count("arrived", Neither, COUNTED.and(STEP), |s| {
        let of_step = s.step().map(|step| step.requests);
        of_step.or_else(|| Some(s.requests()?.arrived))
    })
        .help(
            "Requests that came; of a pool or a route, those that reached their end there; of a tenant, \
             those that reached their end; of a step, all tries and nested calls",
        )
        .also(&["requests"])
        .json(&["requests.arrived", "requests"])
        .shown(Section::Requests, "arrived"),
    count("started", Neither, JOBS, |s| Some(s.jobs()?.jobs.started))
        .help("Jobs that started")
        .json(&["started"]),
    count("completed", Higher, COUNTED.and(JOBS), |s| s.completed())
        .help("Requests with a whole answer; of jobs, those whose steps are all over")
        .json(&["requests.completed", "completed"])
        .shown_of(Section::Requests, "completed", "arrived"),
    count("failed", Lower, COUNTED.and(TRIED).and(JOBS).and(STEP), |s| s.failed())
        .help(
            "Requests whose last attempt failed; of a node or a model, attempts that did not end well; of \
             jobs, those that failed or were late; of a step, requests that failed or were turned away",
        )
        .json(&["requests.failed", "failed"])
        .shown_of(Section::Requests, "failed", "arrived"),
    count("rejected", Lower, COUNTED, |s| Some(s.requests()?.rejected))
        .help("Requests turned away")
        .json(&["requests.rejected"])
        .shown_of(Section::Requests, "rejected", "arrived"),
    count("cancelled", Lower, COUNTED, |s| Some(s.requests()?.cancelled))
        .help("Requests whose client went away")
        .json(&["requests.cancelled"])
        .shown_of(Section::Requests, "cancelled", "arrived"),
    count("in_flight", Neither, COUNTED.and(JOBS), |s| s.in_flight())
        .help("Requests or jobs without an end yet")
        .json(&["requests.in_flight", "in_flight"])
        .shown_of(Section::Requests, "in flight", "arrived"),
    count("errors", Lower, COUNTED.and(TRIED), |s| s.errors())
        .help("Requests that failed or were turned away; of a node or a model, as `failed`")
        .also(&["error"]),
    count("timed_out", Lower, JOBS, |s| Some(s.jobs()?.jobs.timed_out))
        .help("Jobs whose deadline passed; they are among `failed`")
        .json(&["timed_out"]),
    count("runs", Neither, STEP, |s| Some(s.step()?.runs))
        .help("Jobs in which the step is over")
        .json(&["runs"]),
    count("instances", Neither, STEP, |s| Some(s.step()?.instances))
        .help("Instances of the step that ran side by side")
        .json(&["instances"]),
    count("skipped", Lower, STEP, |s| Some(s.step()?.skipped))
        .help("Instances of the step that failed and were left out; with `%`, of its `instances`")
        .json(&["skipped"])
        .part_of(|s| s.step().map_or(0, |step| step.instances)),
    // The same as parts of what arrived.
    share("not_served", Lower, COUNTED.and(TRIED), |s| part(s.errors()?, s.whole()))
        .help("`errors` as a share of the requests that arrived; of a node or a model, of its attempts")
        .compared(&[headline(also_of(CLASS.and(TENANT).and(MODEL), line("not served")))]),
    share("failed_share", Lower, COUNTED.and(TRIED).and(JOBS).and(STEP), |s| {
        part(s.failed()?, s.whole())
    })
        .help("`failed` as a share of the requests that arrived; of a node or a model, of its attempts")
        .compared(&[line("failed")]),
    share("rejected_share", Lower, COUNTED, |s| part(s.requests()?.rejected, s.whole()))
        .help("`rejected` as a share of the requests that arrived")
        .compared(&[line("rejected")]),
    share("cancelled_share", Lower, COUNTED, |s| part(s.requests()?.cancelled, s.whole()))
        .help("`cancelled` as a share of the requests that arrived")
        .compared(&[line("cancelled")]),
    // What was promised and kept.
    share("slo_attainment", Higher, PROMISED, |s| s.goodput()?.slo_attainment)
        .help("Share of the requests at their end that kept every promise of their class")
        .json(&["goodput.slo_attainment"])
        .shown(Section::ServiceLevels, "requests that met every SLO")
        .compared(&[headline(also_of(CLASS.and(TENANT), line("SLO attainment")))]),
    number("goodput", Unit::PerSecond, Higher, PROMISED, |s| s.goodput()?.requests_per_s)
        .help("Requests a second that completed and kept every promise of their class")
        .json(&["goodput.requests_per_s"])
        .shown(Section::ServiceLevels, "goodput")
        .compared(&[line("goodput")]),
    number("throughput", Unit::PerSecond, Higher, COUNTED.and(JOBS), |s| s.throughput())
        .help("Requests or jobs completed, a second")
        .compared(&[line("throughput")]),
    // Answers that were kept.
    count("cache_lookups", Neither, ANSWERED, |s| Some(s.cache()?.lookups))
        .help("Requests that were looked for among the answers that their route keeps")
        .json(&["cache.lookups"]),
    count("cache_hits", Higher, ANSWERED, |s| Some(s.cache()?.hits))
        .help("Requests completed with an answer that was kept, without a node")
        .json(&["cache.hits"])
        .shown_if_any(Section::Requests, "completed from the cache", "arrived"),
    share("cache_hit_ratio", Higher, ANSWERED, |s| s.cache()?.hit_ratio)
        .help("`cache_hits` as a share of `cache_lookups`")
        .json(&["cache.hit_ratio"])
        .compared(&[line("cache hit ratio")]),
    count("cache_saved_tokens", Neither, ANSWERED, |s| Some(s.cache()?.saved_tokens))
        .help("Tokens of the answers of `cache_hits`, which no node had to write again")
        .json(&["cache.saved_tokens"]),
    // Tokens and money.
    count("tokens_input", Neither, RUN.and(TENANT), |s| Some(s.tokens()?.input))
        .help("Tokens of prompts of all attempts, cached ones included; of a tenant, of those that answered")
        .json(&["tokens.input"])
        .shown(Section::Money, "input tokens"),
    count("tokens_cached_input", Neither, RUN.and(TENANT), |s| Some(s.tokens()?.cached_input))
        .help("Tokens of prompts that were found in a cache; of a tenant, of attempts that answered")
        .json(&["tokens.cached_input"])
        .shown(Section::Money, "of them cached"),
    count("tokens_output", Neither, RUN.and(TENANT), |s| Some(s.tokens()?.output))
        .help("Tokens of answers of all attempts; of a tenant, of those that answered")
        .json(&["tokens.output"])
        .shown(Section::Money, "output tokens"),
    dollars("cost", COUNTED.and(TRIED).and(JOBS).and(STEP), |s| {
        let of_jobs = s.jobs().map(|jobs| jobs.cost_usd.total);
        let of_step = s.step().map(|step| step.cost_usd);
        of_jobs.or(of_step).or_else(|| Some(s.costs()?.total))
    })
    .help("Tokens of all attempts at their price, and hourly prices of what has nodes")
    .json(&["cost_usd.total", "cost_usd"])
    .shown(Section::Money, "cost")
    .compared(&[only_of(MODEL, line("cost"))]),
    dollars("cost_tokens", COUNTED.and(TRIED), |s| Some(s.costs()?.tokens))
        .help("Tokens of all attempts at their price")
        .json(&["cost_usd.tokens"])
        .shown(Section::Money, "of it tokens"),
    dollars("cost_hours", PAID.and(MODEL), |s| s.cost_hours())
        .help("Hourly prices of nodes")
        .json(&["cost_usd.hours"])
        .shown(Section::Money, "of it hours of nodes"),
    dollars("cost_per_1k", COUNTED, |s| s.requests().and(s.costs())?.per_1k_requests)
        .help("`cost` per thousand requests that arrived")
        .also(&["cost_per_1k_requests"])
        .json(&["cost_usd.per_1k_requests"])
        .shown(Section::Money, "per 1,000 requests")
        .compared(&[headline(also_of(TENANT, line("cost per 1k")))]),
    number("cache_saved", Unit::Dollars, Higher, ANSWERED, |s| Some(s.cache()?.saved_usd))
        .help("What the answers of `cache_hits` had cost when they came, in tokens at their price")
        .json(&["cache.saved_usd"])
        .shown_unless_zero(Section::Money, "saved by the cache"),
    dollars("cost_mean", JOBS, |s| s.jobs()?.cost_usd.mean)
        .help("`cost` per job that ended")
        .json(&["cost_usd.mean"]),
    share("cached_share", Higher, RUN.and(TENANT), |s| {
        let tokens = s.tokens()?;
        part(tokens.cached_input, tokens.input)
    })
    .help("`tokens_cached_input` as a share of `tokens_input`")
    .compared(&[line("input found cached")]),
    // Attempts and why there was more than one.
    count("attempts", Neither, RUN.and(TRIED), |s| {
        let of_node = s.node().map(|node| node.attempts);
        let of_model = s.model().map(|model| model.attempts);
        of_node.or(of_model).or_else(|| Some(s.attempts()?.total))
    })
    .help("Dispatches; of a node, those to it; of a model, those to its nodes")
    .json(&["attempts.total", "attempts"])
    .shown(Section::Attempts, "all"),
    count("retries", Neither, RUN, |s| Some(s.attempts()?.retries))
        .help("Attempts after a failure")
        .json(&["attempts.retries"])
        .shown_of(Section::Attempts, "retries", "attempts"),
    count("hedges", Neither, RUN, |s| Some(s.attempts()?.hedges))
        .help("Attempts beside another one of the same request")
        .json(&["attempts.hedges"])
        .shown_of(Section::Attempts, "hedges", "attempts"),
    count("panic", Neither, RUN, |s| Some(s.attempts()?.panic))
        .help("Attempts on ejected nodes, because nothing that their route may use was well")
        .json(&["attempts.panic"])
        .shown_if_any(Section::Attempts, "in panic", "attempts"),
    count("panics", Lower, RUN, |s| Some(s.attempts()?.panics))
        .help("How often nothing that a route may use was well, and ejected nodes served it too")
        .json(&["attempts.panics"])
        .shown_if_any(Section::Attempts, "panics", "attempts"),
    count("kept_in", Lower, RUN, |s| Some(s.attempts()?.kept_in))
        .help("How often a node was to be ejected and was kept in, by the largest share of ejected nodes")
        .json(&["attempts.kept_in"])
        .shown_if_any(Section::Attempts, "kept in", "attempts"),
    count("failovers", Neither, RUN, |s| Some(s.attempts()?.failovers))
        .help(
            "Requests served by another node than the first tried, or by a lower tier than the \
             first eligible",
        )
        .json(&["attempts.failovers"])
        .shown_of(Section::Attempts, "failovers", "arrived"),
    count("hedge_wins", Neither, RUN, |s| Some(s.attempts()?.hedge_wins))
        .help("Requests completed by a hedge")
        .json(&["attempts.hedge_wins"])
        .shown_if_any(Section::Attempts, "hedges that won", "hedges"),
    count("hedges_denied", Neither, RUN, |s| Some(s.attempts()?.hedges_denied))
        .help(
            "Late first tokens without a hedge: the pools were busy, the budget was used up, or no \
             other node was open",
        )
        .json(&["attempts.hedges_denied"])
        .shown_if_any(Section::Attempts, "hedges denied", "arrived"),
    count("retries_denied", Neither, RUN, |s| Some(s.attempts()?.retries_denied))
        .help("Failed requests that were not tried again for want of budget")
        .json(&["attempts.retries_denied"])
        .shown_if_any(Section::Attempts, "retries denied", "arrived"),
    count("resumed", Neither, RUN, |s| Some(s.attempts()?.resumed))
        .help("Retries that went on where an answer had been cut")
        .json(&["attempts.resumed"])
        .shown_if_any(Section::Attempts, "resumed", "attempts"),
    count("degraded", Lower, RUN.and(CLASS), |s| {
        let of_class = s.class().map(|class| class.degraded);
        of_class.or_else(|| Some(s.attempts()?.degraded))
    })
    .help("Requests completed by a pool that their route degrades to")
    .json(&["attempts.degraded", "degraded"])
    .shown_if_any(Section::Attempts, "degraded", "arrived"),
    count("over_budget", Lower, RUN.and(TENANT), |s| {
        let of_tenant = s.tenant().map(|tenant| tenant.over_budget);
        of_tenant.or_else(|| Some(s.attempts()?.over_budget))
    })
        .help(
            "Requests whose tenant had spent its budget, and that only a pool their route degrades to \
             could serve",
        )
        .json(&["attempts.over_budget", "over_budget"])
        .shown_if_any(Section::Attempts, "over budget, to cheaper pools", "arrived"),
    share("retries_per_request", Neither, RUN, |s| per_request(s, Some(s.attempts()?.retries)))
        .help("`retries` for each request that arrived")
        .compared(&[line("retries per request")]),
    share("hedges_per_request", Neither, RUN, |s| per_request(s, Some(s.attempts()?.hedges)))
        .help("`hedges` for each request that arrived")
        .compared(&[line("hedges per request")]),
    share("failovers_per_request", Neither, RUN, |s| per_request(s, Some(s.attempts()?.failovers)))
        .help("`failovers` for each request that arrived")
        .compared(&[line("failovers per request")]),
    share("attempts_per_request", Neither, RUN, |s| per_request(s, Some(s.attempts()?.total)))
        .help("`attempts` for each request that arrived")
        .compared(&[line("attempts per request")]),
    number("requests_per_job", Unit::Number, Neither, JOBS, |s| s.jobs()?.requests_per_job)
        .help("Requests for each job that ended, all tries and nested calls")
        .json(&["requests_per_job"]),
    // How even it was, and what nodes did and cost.
    share("fairness_jain", Neither, RUN, |s| s.whole_run()?.fairness_jain)
        .help("Jain's index over attempts per node weight; 1 is even")
        .also(&["fairness"])
        .json(&["fairness_jain"])
        .compared(&[line("evenness (Jain)")]),
    share("share", Neither, NODE, |s| Some(s.node()?.share))
        .help("Share of all attempts that went to the node")
        .json(&["share"]),
    share("share_max", Neither, RUN, |s| {
        s.whole_run()?.nodes.iter().map(|node| node.share).max_by(f64::total_cmp)
    })
    .help("Share of all attempts that went to the busiest node")
    .compared(&[line("busiest node's share")]),
    share("utilisation", Neither, TRIED, |s| match s.model() {
        Some(model) => model.utilisation,
        None => s.node()?.utilisation,
    })
        .help(
            "Of an engine the share of time in which it worked on something, of other nodes the busy \
             share of what they work on at a time; of a model, the mean of its nodes",
        )
        .also(&["utilization"])
        .json(&["utilisation"])
        .compared(&[only_of(MODEL, line("utilisation"))]),
    count("nodes", Neither, MODEL, |s| Some(s.model()?.nodes))
        .help("Nodes of the model")
        .json(&["nodes"]),
    share("seats", Neither, NODE, |s| s.node()?.seats)
        .help("Seats of an engine that were taken, as a share of them")
        .json(&["seats"]),
    number("batch", Unit::Number, Neither, NODE, |s| s.node()?.batch)
        .help("Attempts that an engine had together while it had any")
        .json(&["batch"]),
    share("kv", Neither, NODE.and(POOL), |s| match s.node() {
        Some(node) => node.kv,
        None => s.pool()?.kv,
    })
    .help("Share of an engine's KV cache that requests held, in the mean over time")
    .json(&["kv"]),
    share("kv_max", Neither, NODE.and(POOL), |s| match s.node() {
        Some(node) => node.kv_max,
        None => s.pool()?.kv_max,
    })
    .help("The largest share of an engine's KV cache that requests held at any time")
    .json(&["kv_max"]),
    number("node_hours", Unit::Number, Lower, PAID, |s| Some(s.hours()?.node_hours))
        .help("Hours of nodes that were paid for, from their start until they were off or gone")
        .json(&["hours.node_hours"]),
    number("starting_hours", Unit::Number, Lower, PAID, |s| Some(s.hours()?.starting_hours))
        .help("Hours of nodes that were paid for while they started")
        .json(&["hours.starting_hours"]),
    number("idle_hours", Unit::Number, Lower, PAID, |s| Some(s.hours()?.idle_hours))
        .help("Hours of nodes that were up and had nothing in flight")
        .json(&["hours.idle_hours"]),
    share("idle_share", Lower, PAID, |s| s.hours()?.idle_share)
        .help("`idle_hours` as a share of `node_hours`")
        .json(&["hours.idle_share"]),
    dollars("idle_cost", PAID, |s| Some(s.hours()?.idle_usd))
        .help("What `idle_hours` cost")
        .json(&["hours.idle_usd"]),
    count("nodes_least", Neither, RUN.and(POOL), |s| Some(s.sizes()?.0))
        .help("The fewest nodes that autoscaled groups wanted, each at its own time"),
    count("nodes_most", Neither, RUN.and(POOL), |s| Some(s.sizes()?.1))
        .help("The most nodes that autoscaled groups wanted, each at its own time"),
    number("batch_size", Unit::Number, Neither, POOL, |s| s.pool()?.batches?.mean_size)
        .help("Requests a batch, of a pool that takes batches")
        .json(&["batches.mean_size"]),
    // How good answers were.
    share("quality", Higher, RUN.and(CLASS).and(ROUTE), |s| s.quality())
        .help("Mean quality of answers, where it is known how good they are")
        .json(&["quality.mean", "quality"])
        .compared(&[line("quality of answers")]),
    count("escalated", Neither, RUN, |s| {
        Some(s.whole_run()?.quality.as_ref().map_or(0, |quality| quality.escalated))
    })
    .help("Answers that a cascade did not accept")
    .json(&["quality.escalated"]),
    count("feedback", Neither, RUN, |s| {
        Some(s.whole_run()?.quality.as_ref().map_or(0, |quality| quality.feedback))
    })
    .help("Judgements of clients about answers that a bandit heard")
    .json(&["quality.feedback"]),
];

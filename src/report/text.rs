//! The result as plain text for people. What does not fit a screen is cut, and the cut is told.

use std::cmp::Reverse;
use std::fmt::Write;

use super::quantity::{NONE, count, dollars, in_unit, number, seconds, share, share_of};
use super::table::{TextTable, clean, name};
use crate::metrics::catalogue::{METRICS, Section, Stat, Subject, Unit, find};
use crate::metrics::expect::ExpectVerdict;
use crate::metrics::{
    ByHand, JobCounts, JobSummary, Latency, NodeSummary, RequestCounts, Summary, WorkflowSummary,
};
use crate::unit::{Span, Time};

/// Tables with more rows than this are cut.
const ROWS_MAX: usize = 30;
/// Of so many nodes, the busiest and the worst are shown.
const EXTREMES: usize = 10;

/// Writes the result as aligned plain text, with the notes at the end. Wide tables may exceed 80
/// columns; there is no colour.
#[must_use]
pub fn text(summary: &Summary, verdicts: &[ExpectVerdict], notes: &[String]) -> String {
    let mut out = String::new();
    header(&mut out, summary);
    requests(&mut out, summary);
    times(&mut out, summary);
    money(&mut out, summary);
    quality(&mut out, summary);
    jobs(&mut out, summary);
    classes(&mut out, summary);
    pools(&mut out, summary);
    tenants(&mut out, summary);
    models(&mut out, summary);
    groups(&mut out, summary);
    batches(&mut out, summary);
    nodes(&mut out, &summary.nodes);
    limits(&mut out, &summary.nodes);
    overload(&mut out, summary);
    expectations(&mut out, verdicts);
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in notes {
        line(&mut out, format_args!("note: {}", clean(note)));
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes everything");
}

fn header(out: &mut String, summary: &Summary) {
    line(out, format_args!("{}", name(&summary.scenario)));
    let mut table = TextTable::new(2, &[]);
    for (pool, strategy) in &summary.strategies {
        table.row([format!("strategy of {}", name(pool)), strategy.clone()]);
    }
    table.row(["seed".to_owned(), summary.seed.to_string()]);
    let lasted = if summary.real { "lasted" } else { "simulated" };
    table.row([lasted.to_owned(), seconds(Some(summary.simulated_s))]);
    if summary.warmup_s > 0.0 {
        let warmup = format!("{}, left out of all that follows", seconds(Some(summary.warmup_s)));
        table.row(["warm-up".to_owned(), warmup]);
    }
    table.write(out);
    if !summary.complete {
        line(out, format_args!("  INCOMPLETE: the run was interrupted before its end"));
    }
    by_hand(out, summary);
}

/// What somebody did to the run: with it, it is another one than the scenario says.
fn by_hand(out: &mut String, summary: &Summary) {
    let mut table = TextTable::new(2, &["By hand"]);
    for ByHand { at_s, what } in summary.by_hand.iter().take(ROWS_MAX) {
        let at = Time::ZERO + Span::from_seconds(*at_s);
        table.row([at.to_string(), name(what)]);
    }
    if !summary.by_hand.is_empty() {
        table.write(out);
    }
    more(out, summary.by_hand.len().saturating_sub(ROWS_MAX), "actions");
}

/// A table of the whole run: the metrics that the catalogue has for it.
fn section(summary: &Summary, section: Section, heads: &[&str]) -> TextTable {
    let run = Subject::run(summary);
    let mut table = TextTable::new(1, heads);
    for metric in METRICS {
        let Some(shown) = metric.shown.filter(|shown| shown.section == section) else { continue };
        let label = shown.label.to_owned();
        if metric.is_times() {
            let stat = |stat| in_unit(metric.value(&run, Some(stat)), metric.unit);
            table.row(std::iter::once(label).chain(Stat::ALL.map(stat)));
            continue;
        }
        let value = metric.value(&run, None);
        if shown.unless_zero && value.is_none_or(|value| value == 0.0) {
            continue;
        }
        let mut cells = vec![label, in_unit(value, metric.unit)];
        if let Some(whole) = shown.of.and_then(find) {
            let whole = whole.value(&run, None).filter(|whole| *whole > 0.0);
            cells.push(share(value.zip(whole).map(|(part, whole)| part / whole)));
        }
        table.row(cells);
    }
    table
}

fn requests(out: &mut String, summary: &Summary) {
    section(summary, Section::Requests, &["Requests"]).write(out);
    if !summary.unserved.is_empty() {
        let mut reasons: Vec<(&&str, &u64)> = summary.unserved.iter().collect();
        reasons.sort_by_key(|(_, number)| Reverse(**number));
        let mut table = TextTable::new(1, &["Not completed, by reason"]);
        for (reason, &number) in reasons {
            let share = share_of(number, summary.requests.arrived);
            table.row([(*reason).to_owned(), count(number), share]);
        }
        table.write(out);
    }
    section(summary, Section::Attempts, &["Attempts"]).write(out);
}

fn times(out: &mut String, summary: &Summary) {
    let heads = ["Times", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"];
    section(summary, Section::Times, &heads).write(out);
}

fn money(out: &mut String, summary: &Summary) {
    section(summary, Section::Money, &["Tokens and money"]).write(out);
    let mut table = section(summary, Section::ServiceLevels, &["Service levels (SLO)"]);
    // Evenness needs more digits than other shares: what differs is the third.
    let jain = summary.fairness_jain.map_or_else(|| NONE.to_owned(), |jain| format!("{jain:.4}"));
    table.row(["fairness (Jain, 1 is even)".to_owned(), jain]);
    table.write(out);
}

/// How good answers were, and what came of each route that has a name.
fn quality(out: &mut String, summary: &Summary) {
    if let Some(quality) = &summary.quality {
        let mut table = TextTable::new(2, &["Quality of answers"]);
        let mut row = |what: &str, value: String| table.row([what.to_owned(), value]);
        let answers = count(quality.answers);
        row("good", format!("{} of {answers}", share(quality.mean)));
        for class in summary.classes.iter().filter(|class| class.quality.is_some()) {
            row(&format!("of class {}", name(&class.name)), share(class.quality));
        }
        for one in quality.models.iter().take(ROWS_MAX) {
            let part = share(Some(one.share));
            row(
                &format!("of {}", name(&one.model)),
                format!("{}, {part} of answers", share(one.mean)),
            );
        }
        if quality.escalated > 0 {
            row("not accepted", count(quality.escalated));
        }
        if quality.feedback > 0 {
            row("judged by clients", count(quality.feedback));
        }
        table.write(out);
    }
    if summary.routes.is_empty() {
        return;
    }
    let heads =
        ["Routes", "requests", "completed", "good", "cost per 1k", "mean", "p95", "  models"];
    let mut table = TextTable::new(1, &heads);
    for route in summary.routes.iter().take(ROWS_MAX) {
        let models = route
            .models
            .iter()
            .map(|one| format!("{} {:.1} %", name(&one.model), one.share * 100.0));
        table.row([
            name(&route.name),
            count(route.requests.arrived),
            count(route.requests.completed),
            share(route.quality),
            dollars(route.cost_usd.per_1k_requests),
            seconds(route.latency_s.mean),
            seconds(route.latency_s.p95),
            format!("  {}", models.collect::<Vec<_>>().join(", ")),
        ]);
    }
    table.last_is_words().write(out);
    more(out, summary.routes.len().saturating_sub(ROWS_MAX), "routes");
}

fn jobs(out: &mut String, summary: &Summary) {
    let Some(all) = &summary.jobs else {
        return;
    };
    let heads = ["started", "completed", "failed", "of them late", "in flight", "p50", "p95"];
    let heads: Vec<&str> =
        std::iter::once("Jobs").chain(heads).chain(["p99", "requests/job", "cost/job"]).collect();
    let mut table = TextTable::new(1, &heads);
    for flow in summary.workflows.iter().take(ROWS_MAX) {
        table.row(job_row(name(&flow.name), &flow.all));
    }
    if summary.workflows.len() > 1 {
        table.row(job_row("all".to_owned(), all));
    }
    table.write(out);
    more(out, summary.workflows.len().saturating_sub(ROWS_MAX), "workflows");
    for flow in summary.workflows.iter().take(ROWS_MAX) {
        steps(out, flow);
    }
}

fn job_row(name: String, jobs: &JobSummary) -> Vec<String> {
    let JobCounts { started, completed, failed, in_flight, timed_out } = jobs.jobs;
    let Latency { p50, p95, p99, .. } = jobs.latency_s;
    let mut cells = vec![name];
    cells.extend([started, completed, failed, timed_out, in_flight].map(count));
    cells.extend([p50, p95, p99].map(seconds));
    let requests = jobs.requests_per_job;
    cells.push(requests.map_or_else(|| NONE.to_owned(), |requests| format!("{requests:.2}")));
    cells.push(dollars(jobs.cost_usd.mean));
    cells
}

fn steps(out: &mut String, flow: &WorkflowSummary) {
    let title = format!("Steps of {}", name(&flow.name));
    let heads =
        [&title, "runs", "instances", "skipped", "requests", "failed", "p50", "p95", "p99", "cost"];
    let mut table = TextTable::new(1, &heads);
    for step in flow.steps.iter().take(ROWS_MAX) {
        let Latency { p50, p95, p99, .. } = step.latency_s;
        let mut cells = vec![name(&step.name)];
        let counts = [step.runs, step.instances, step.skipped, step.requests, step.failed];
        cells.extend(counts.map(count));
        cells.extend([p50, p95, p99].map(seconds));
        cells.push(dollars(Some(step.cost_usd)));
        table.row(cells);
    }
    table.write(out);
    more(out, flow.steps.len().saturating_sub(ROWS_MAX), "steps");
}

fn fates(requests: RequestCounts) -> [String; 4] {
    [requests.arrived, requests.completed, requests.failed, requests.rejected].map(count)
}

fn classes(out: &mut String, summary: &Summary) {
    if summary.classes.is_empty() {
        return;
    }
    let heads = ["arrived", "completed", "failed", "rejected", "p50", "p95", "p99", "ttft p99"];
    let heads: Vec<&str> =
        std::iter::once("Classes").chain(heads).chain(["SLO met", "cost"]).collect();
    let mut table = TextTable::new(1, &heads);
    for class in summary.classes.iter().take(ROWS_MAX) {
        let Latency { p50, p95, p99, .. } = class.latency_s;
        let mut cells = vec![name(&class.name)];
        cells.extend(fates(class.requests));
        cells.extend([p50, p95, p99, class.ttft_s.p99].map(seconds));
        cells.push(share(class.goodput.slo_attainment));
        cells.push(dollars(Some(class.cost_usd.total)));
        table.row(cells);
    }
    table.write(out);
    more(out, summary.classes.len().saturating_sub(ROWS_MAX), "classes");
}

fn pools(out: &mut String, summary: &Summary) {
    if summary.pools.is_empty() {
        return;
    }
    let heads = ["arrived", "completed", "failed", "rejected", "p50", "p95", "p99", "ttft p99"];
    let heads: Vec<&str> = ["Pools", "strategy"].into_iter().chain(heads).chain(["cost"]).collect();
    let mut table = TextTable::new(2, &heads);
    for pool in summary.pools.iter().take(ROWS_MAX) {
        let Latency { p50, p95, p99, .. } = pool.latency_s;
        let mut cells = vec![name(&pool.name), name(&pool.strategy)];
        cells.extend(fates(pool.requests));
        cells.extend([p50, p95, p99, pool.ttft_s.p99].map(seconds));
        cells.push(dollars(Some(pool.cost_usd.total)));
        table.row(cells);
    }
    table.write(out);
    more(out, summary.pools.len().saturating_sub(ROWS_MAX), "pools");
}

/// Groups that grow and shrink, and what their idle nodes cost.
fn groups(out: &mut String, summary: &Summary) {
    if summary.groups.is_empty() {
        return;
    }
    let heads = ["pool", "nodes", "mean", "last", "up", "down", "node hours", "cost"];
    let heads: Vec<&str> = std::iter::once("Autoscaling")
        .chain(heads)
        .chain(["starting", "idle", "idle cost"])
        .collect();
    let mut table = TextTable::new(2, &heads);
    for group in summary.groups.iter().take(ROWS_MAX) {
        let hours = &group.hours;
        table.row([
            name(&group.name),
            name(&group.pool),
            format!("{}–{}", group.nodes_least, group.nodes_most),
            number(Some(group.nodes_mean)),
            count(u64::from(group.nodes_last)),
            count(group.grown),
            count(group.shrunk),
            number(Some(hours.node_hours)),
            dollars(Some(group.cost_usd)),
            share((hours.node_hours > 0.0).then(|| hours.starting_hours / hours.node_hours)),
            share(hours.idle_share),
            dollars(Some(hours.idle_usd)),
        ]);
    }
    table.write(out);
    more(out, summary.groups.len().saturating_sub(ROWS_MAX), "groups");
}

/// Who asked, the largest first.
fn tenants(out: &mut String, summary: &Summary) {
    let heads =
        ["Tenants", "requests", "completed", "kept", "tokens in", "out", "cost", "over budget"];
    let over = summary.tenants.iter().any(|tenant| tenant.over_budget > 0);
    let columns = if over { heads.len() } else { heads.len() - 1 };
    let mut table = TextTable::new(1, &heads[..columns]);
    for tenant in summary.tenants.iter().take(ROWS_MAX) {
        let row = [
            name(&tenant.name),
            count(tenant.requests.arrived),
            count(tenant.requests.completed),
            share(tenant.goodput.slo_attainment),
            count(tenant.tokens.input),
            count(tenant.tokens.output),
            dollars(Some(tenant.cost_usd.total)),
            count(tenant.over_budget),
        ];
        table.row(row.into_iter().take(columns));
    }
    if !summary.tenants.is_empty() {
        table.write(out);
    }
    more(out, summary.tenants.len().saturating_sub(ROWS_MAX), "tenants");
}

/// How much the nodes of each model were used.
fn models(out: &mut String, summary: &Summary) {
    let heads = ["Models", "nodes", "attempts", "failed", "", "busy", "cost"];
    let mut table = TextTable::new(1, &heads);
    for model in summary.models.iter().take(ROWS_MAX) {
        table.row([
            name(&model.model),
            count(model.nodes),
            count(model.attempts),
            count(model.failed),
            share_of(model.failed, model.attempts),
            share(model.utilisation),
            dollars(Some(model.cost_usd.total)),
        ]);
    }
    if !summary.models.is_empty() {
        table.write(out);
    }
    more(out, summary.models.len().saturating_sub(ROWS_MAX), "models");
}

/// Pools that take batches.
fn batches(out: &mut String, summary: &Summary) {
    let mut table = TextTable::new(1, &["Batches", "sent", "requests a batch"]);
    let mut any = false;
    for pool in &summary.pools {
        if let Some(batches) = pool.batches {
            table.row([name(&pool.name), count(batches.count), number(batches.mean_size)]);
            any = true;
        }
    }
    if any {
        table.write(out);
    }
}

/// All nodes; of many, the busiest and those that failed most.
fn nodes(out: &mut String, nodes: &[NodeSummary]) {
    if nodes.is_empty() {
        return;
    }
    if nodes.len() <= ROWS_MAX {
        return node_table(out, "Nodes", &nodes.iter().collect::<Vec<_>>());
    }
    // Both sorts are stable: nodes that are equal stay in file order.
    let mut busiest: Vec<&NodeSummary> = nodes.iter().collect();
    busiest.sort_by_key(|node| Reverse(node.attempts));
    busiest.truncate(EXTREMES);
    let mut worst: Vec<&NodeSummary> = nodes.iter().filter(|node| node.failed > 0).collect();
    worst.sort_by_key(|node| Reverse(node.failed));
    worst.truncate(EXTREMES);
    node_table(out, "Busiest nodes", &busiest);
    if !worst.is_empty() {
        node_table(out, "Nodes with most failures", &worst);
    }
    let only_worst = worst.iter().filter(|node| !busiest.iter().any(|b| std::ptr::eq(*b, **node)));
    more(out, nodes.len() - busiest.len() - only_worst.count(), "nodes");
}

fn node_table(out: &mut String, title: &str, nodes: &[&NodeSummary]) {
    // Engines have seats beside time.
    let engines = nodes.iter().any(|node| node.seats.is_some());
    let heads = [title, "pool", "attempts", "share", "failed", "", "busy"];
    let seats: &[&str] = if engines { &["seats", "batch", "kv"] } else { &[] };
    let heads = [&heads[..], seats, &["p50", "p99", "cost"]].concat();
    let mut table = TextTable::new(2, &heads);
    for node in nodes {
        let mut cells = vec![
            name(&node.name),
            name(&node.pool),
            count(node.attempts),
            share(Some(node.share)),
            count(node.failed),
            share_of(node.failed, node.attempts),
            share(node.utilisation),
        ];
        if engines {
            let batch = node.batch.map_or_else(|| NONE.to_owned(), |batch| format!("{batch:.1}"));
            cells.extend([share(node.seats), batch, share(node.kv)]);
        }
        cells.extend([
            seconds(node.latency_s.p50),
            seconds(node.latency_s.p99),
            dollars(Some(node.cost_usd.total)),
        ]);
        table.row(cells);
    }
    table.write(out);
}

/// What was shed and given up, and when.
fn overload(out: &mut String, summary: &Summary) {
    let Some(overload) = &summary.overload else {
        return;
    };
    if !overload.levels.is_empty() {
        let mut table = TextTable::new(1, &["Degradation", "times", "for", "requests"]);
        for level in &overload.levels {
            let stood = seconds(Some(level.stood_s));
            let cells = [count(level.entered), stood, count(level.requests)];
            table.row(std::iter::once(level.level.to_owned()).chain(cells));
        }
        table.write(out);
    }
    if overload.changes.is_empty() {
        return;
    }
    let mut table = TextTable::new(1, &["Under load", "saturation", "  what"]);
    for change in overload.changes.iter().take(ROWS_MAX) {
        let saturation = format!("{:.2}", change.saturation);
        let what = match change.route.as_str() {
            "" => change.what.clone(),
            route => format!("{}: {}", name(route), change.what),
        };
        table.row([seconds(Some(change.at_s)), saturation, format!("  {what}")]);
    }
    table.last_is_words().write(out);
    let shown = overload.changes.len().min(ROWS_MAX);
    let rest = overload.changes.len() - shown + overload.changes_omitted as usize;
    more(out, rest, "changes");
}

/// What limiters found; of many nodes the first.
fn limits(out: &mut String, nodes: &[NodeSummary]) {
    let limited = || nodes.iter().filter_map(|node| Some((node, node.limit?)));
    let number = limited().count();
    if number == 0 {
        return;
    }
    let mut table = TextTable::new(1, &["Limits found", "at the end", "least", "most"]);
    for (node, limit) in limited().take(ROWS_MAX) {
        let cells = [limit.last, limit.least, limit.most].map(|limit| count(u64::from(limit)));
        table.row(std::iter::once(name(&node.name)).chain(cells));
    }
    table.write(out);
    more(out, number.saturating_sub(ROWS_MAX), "nodes with limiters");
}

fn more(out: &mut String, number: usize, what: &str) {
    if number > 0 {
        line(out, format_args!("  and {number} more {what}, all in the JSON report"));
    }
}

fn expectations(out: &mut String, verdicts: &[ExpectVerdict]) {
    if verdicts.is_empty() {
        return;
    }
    let held = verdicts.iter().filter(|verdict| verdict.held).count();
    let title = format!("Expectations: {held} of {} held", verdicts.len());
    let mut table = TextTable::new(1, &[&title, "measured", "limit"]);
    for verdict in verdicts {
        let mark = if verdict.held { '✔' } else { '✖' };
        let [measured, limit] = compared(verdict);
        table.row([format!("{mark} {}", clean(&verdict.text)), measured, limit]);
    }
    table.write(out);
}

/// What was measured and its limit, with more digits where they would look the same and are not.
fn compared(verdict: &ExpectVerdict) -> [String; 2] {
    let short = [verdict.value, Some(verdict.limit)].map(|value| in_unit(value, verdict.unit));
    let Some(value) = verdict.value else {
        return short;
    };
    if short[0] != short[1] || value.total_cmp(&verdict.limit).is_eq() {
        return short;
    }
    let (factor, unit) = match verdict.unit {
        Unit::Seconds => (1.0, " s"),
        Unit::Share => (100.0, " %"),
        Unit::Dollars => (1.0, " $"),
        Unit::PerSecond => (1.0, "/s"),
        Unit::Count | Unit::Number => (1.0, ""),
    };
    [value, verdict.limit].map(|value| format!("{:.6}{unit}", value * factor))
}

//! Draws of what comes and of what goes wrong: classes, arrivals of every process, closed loops,
//! conversations, jobs; and faults that overlap and end.

use super::DrawPlan;
use super::dice::{Dice, span};
use crate::balance::Priority;
use crate::node::fault::{FAULTS, Param, ParamBounds, ParamKind, STATUSES};
use crate::scenario::Scenario;
use crate::scenario::tree::{TreeTable, TreeValue, list, plain, text, variant};

pub(super) fn classes(seed: u64, plan: &mut DrawPlan) -> Option<TreeValue> {
    if !plan.swarm.on("classes", 0.7) {
        return None;
    }
    let priorities = plan.swarm.on("priorities", 0.5);
    let tenants = plan.swarm.on("tenants", 0.4);
    let deadlines = plan.swarm.on("deadlines", 0.4);
    let repeats = plan.swarm.on("repeated requests", 0.5);
    let mut dice = Dice::new(seed, "classes");
    let mut tables = Vec::new();
    for number in 1..=dice.whole(1, 3) {
        let name = format!("c{number}");
        let mut table = TreeTable::default().with("name", text(&name));
        if dice.chance(0.5) {
            table.set("share", dice.share(0.1, 2.0));
        }
        if priorities {
            let words = Priority::ALL.map(Priority::name);
            table.set("priority", text(dice.pick(&words)));
        }
        if tenants {
            let tenant = if dice.chance(0.4) {
                plain(dice.whole(0, 3))
            } else {
                let zipf = TreeTable::default().with("tenants", plain(dice.log_whole(1, 20)));
                variant("zipf", zipf.with("exponent", dice.share(0.0, 2.0)))
            };
            table.set("tenant", tenant);
        }
        if !plan.regions.is_empty() && dice.chance(0.7) {
            let region = dice.pick(&plan.regions);
            table.set("region", variant(region, plain(1)));
        }
        let (prompt, output) = (dice.log_whole(1, 3_000), dice.log_whole(1, 400));
        table.set("prompt_tokens", dice.count_law(prompt));
        table.set("output_tokens", dice.count_law(output));
        if deadlines && dice.chance(0.7) {
            table.set("deadline", dice.span(100, 30_000));
        }
        if dice.chance(0.3) {
            let slo = TreeTable::default().with("first_token", dice.span(50, 5_000));
            table.set("slo", slo.with("total", dice.span(500, 30_000)));
        }
        if repeats && dice.chance(0.7) {
            let repeat = TreeTable::default().with("distinct", plain(dice.log_whole(1, 100)));
            let repeat = repeat.with("zipf", dice.share(0.0, 2.0));
            table.set("repeat", repeat.with("share", dice.anywhere("repeat", "share")));
        }
        plan.classes.push(name);
        tables.push(TreeValue::Table(table));
    }
    Some(TreeValue::List(tables))
}

/// Sets the workload, and the workflows it starts.
pub(super) fn workload(seed: u64, plan: &mut DrawPlan, document: &mut TreeTable) {
    let mut dice = Dice::new(seed, "workload");
    // A route may send everything to the least of the pools.
    let least = plan.pools.iter().map(|pool| pool.capacity).fold(f64::INFINITY, f64::min);
    let load = if plan.gentle { dice.log(0.05, 0.4) } else { dice.log(0.2, 4.0) };
    let most = if plan.gentle { 1_200.0 / plan.seconds as f64 } else { 200.0 };
    let rate = (least * load).clamp(0.2, most);
    let jobs = !plan.classes.is_empty() && plan.swarm.on("jobs", 0.15);
    let users = !jobs && plan.swarm.on("users", 0.2);
    let sessions = !jobs && plan.swarm.on("conversations", 0.25);
    let mut workload = TreeTable::default();
    if jobs {
        document.set("workflow", list([TreeValue::Table(workflow(seed, &mut dice, plan))]));
    }
    let arrivals = if users {
        let count = ((rate * 3.0) as u64).clamp(1, 60);
        let think = dice.millis(10, 5_000);
        let table = TreeTable::default().with("count", plain(count)).with("think", dice.law(think));
        variant("users", table.with("ramp", dice.span(0, 5_000)))
    } else {
        let shrunk = if jobs { rate / 6.0 } else { rate };
        arrivals(&mut dice, shrunk)
    };
    workload.set("arrivals", arrivals);
    if sessions {
        let mut table = TreeTable::default().with("turns", dice.count_law(4));
        let think = dice.millis(10, 5_000);
        table.set("think", dice.law(think));
        if dice.chance(0.5) {
            table.set("system_tokens", plain(dice.whole(0, 500)));
        }
        workload.set("sessions", table);
    }
    if jobs {
        workload.set("workflow", text("w1"));
    }
    document.set("workload", workload);
}

fn rate(value: f64) -> TreeValue {
    plain((value * 100.0).ceil() / 100.0)
}

fn arrivals(dice: &mut Dice, mean: f64) -> TreeValue {
    match dice.whole(0, 6) {
        0 | 1 => variant("poisson", TreeTable::default().with("rate", rate(mean))),
        2 => {
            let cv = dice.share(0.2, 4.0);
            variant("gamma", TreeTable::default().with("rate", rate(mean)).with("cv", cv))
        }
        3 => {
            let shape = dice.share(0.5, 2.0);
            variant("weibull", TreeTable::default().with("rate", rate(mean)).with("shape", shape))
        }
        4 => {
            let rates = list([rate(mean * 0.3), rate(mean * 2.0)]);
            let holds = list([dice.span(500, 20_000), dice.span(500, 5_000)]);
            variant("mmpp", TreeTable::default().with("rates", rates).with("holds", holds))
        }
        5 => {
            let table =
                TreeTable::default().with("from", rate(mean * 0.2)).with("to", rate(mean * 1.5));
            variant("ramp", table.with("over", dice.span(5_000, 60_000)))
        }
        _ => {
            let table = TreeTable::default().with("mean", rate(mean));
            let table = table.with("amplitude", dice.anywhere("diurnal", "amplitude"));
            variant("diurnal", table.with("period", dice.span(10_000, 60_000)))
        }
    }
}

fn workflow(seed: u64, dice: &mut Dice, plan: &DrawPlan) -> TreeTable {
    let mut steps: Vec<TreeValue> = Vec::new();
    let count = dice.whole(1, 4);
    let mut back = Dice::new(seed, "loops");
    let goes_back = back.chance(0.4).then(|| back.whole(1, count));
    // By step: those that it comes after, directly or not, and itself.
    let mut lines: Vec<Vec<u64>> = Vec::new();
    for number in 1..=count {
        let mut step = TreeTable::default().with("name", text(format_args!("s{number}")));
        step.set("route_class", text(dice.pick(&plan.classes)));
        let mut line = vec![number];
        if number > 1 {
            let before = dice.whole(1, number - 1);
            step.set("after", list([text(format_args!("s{before}"))]));
            line.extend_from_slice(&lines[before as usize - 1]);
        }
        if goes_back == Some(number) {
            let to = TreeTable::default().with("step", text(format_args!("s{}", back.pick(&line))));
            step.set("back_to", to.with("rounds", back.count_law(2)));
        }
        lines.push(line);
        if dice.chance(0.4) {
            step.set("fan_out", dice.count_law(2));
        }
        if dice.chance(0.3) {
            let retry = TreeTable::default().with("retry", plain(dice.whole(0, 2)));
            step.set("on_failure", retry.with("then", dice.anywhere("on_failure", "then")));
        }
        if dice.chance(0.3) {
            step.set("deadline", dice.span(500, 20_000));
        }
        if dice.chance(0.3) {
            step.set("rounds", dice.count_law(2));
        }
        if dice.chance(0.4) {
            let mut entries: Vec<TreeValue> = Vec::new();
            for _ in 0..dice.whole(1, 3) {
                let call = TreeTable::default().with("class", text(dice.pick(&plan.classes)));
                let mut call = call.with("count", dice.count_law(1));
                if dice.chance(0.5) {
                    call.set("think", dice.law(200));
                }
                entries.push(TreeValue::Table(call));
            }
            step.set("calls", TreeValue::List(entries));
        }
        if dice.chance(0.3) {
            step.set("context", dice.anywhere("step", "context"));
        }
        steps.push(TreeValue::Table(step));
    }
    let mut flow = TreeTable::default().with("name", text("w1"));
    if dice.chance(0.4) {
        flow.set("deadline", dice.span(1_000, 60_000));
    }
    flow.with("steps", TreeValue::List(steps))
}

/// Adds up to four faults of the catalogue, with overlapping windows; all are over at one
/// moment, after which what they broke must heal.
pub(super) fn faults(seed: u64, plan: &mut DrawPlan, document: &mut TreeTable) {
    let mut kinds = Vec::new();
    for fault in FAULTS {
        // The four that all others are variations of are on more often.
        let usual = matches!(fault.name, "crash" | "hang" | "slow" | "errors");
        if plan.swarm.on(fault.name, if usual { 0.4 } else { 0.12 }) {
            kinds.push(fault);
        }
    }
    let random = !plan.gentle && plan.swarm.on("random faults", 0.2);
    let mut dice = Dice::new(seed, "faults");
    let count = if plan.gentle { dice.whole(1, 4) } else { dice.whole(0, 4) };
    if kinds.is_empty() {
        return;
    }
    let horizon = plan.seconds * 1_000;
    // In a case that must heal there is time for it.
    let healed = if plan.gentle { (horizon / 8).min(25_000) } else { horizon * 9 / 10 };
    let mut tables: Vec<TreeValue> = Vec::new();
    for _ in 0..count {
        let fault = dice.pick(&kinds);
        let at = dice.whole(0, healed - 2);
        let mut inner = target(&mut dice, plan);
        for param in fault.params {
            if param.default.is_none() || dice.chance(0.6) {
                inner.set(param.name, value(&mut dice, param));
            }
        }
        let mut table = TreeTable::default();
        if random && dice.chance(0.5) {
            let often = TreeTable::default().with(fault.name, inner);
            let often = often.with("every", dice.law(healed / 2)).with("lasts", dice.law(2_000));
            table.set("random", often);
        } else {
            // Most last to the healing moment.
            let lasts = if dice.chance(0.5) { healed - at } else { dice.whole(1, healed - at) };
            inner.set("for", span(lasts));
            table = table.with("at", span(at)).with(fault.name, inner);
        }
        // What its nodes cannot suffer, or does not go together, is refused by the reader.
        let mut all = tables.clone();
        all.push(TreeValue::Table(table));
        let with = document.clone().with("fault", TreeValue::List(all.clone()));
        if Scenario::parse("chaos", "chaos", &with.to_string(), &[]).is_ok() {
            tables = all;
        }
    }
    if !tables.is_empty() {
        document.set("fault", TreeValue::List(tables));
    }
}

/// A parameter of a fault, anywhere in its range.
fn value(dice: &mut Dice, param: &Param) -> TreeValue {
    match param.kind {
        ParamKind::Number(ParamBounds::SHARE) => dice.share(0.05, 1.0),
        ParamKind::Number(ParamBounds::DOLLARS) => dice.share(0.0, 20.0),
        ParamKind::Number(_) => {
            let factor = dice.log(0.5, 20.0);
            plain((factor * 10.0).round() / 10.0 + 0.1)
        }
        ParamKind::Span => dice.span(100, 10_000),
        ParamKind::Status => plain(dice.pick(STATUSES)),
        ParamKind::Whole(least, most) => plain(dice.log_whole(least, most.min(1_000))),
        ParamKind::Word(words) => text(dice.pick(words)),
    }
}

fn target(dice: &mut Dice, plan: &DrawPlan) -> TreeTable {
    let pool = &plan.pools[dice.whole(0, plan.pools.len() as u64 - 1) as usize];
    if dice.chance(0.3) {
        return TreeTable::default().with("pool", text(&pool.name));
    }
    TreeTable::default().with("node", text(dice.pick(&pool.groups)))
}

//! Draws of what the balancer does: retries, timers, health, the waiting room, routes, regions.

use super::dice::{Dice, span};
use super::{DrawPlan, fleet};
use crate::balance::Priority;
use crate::scenario::tree::{TreeTable, TreeValue, list, plain, text, variant};

pub(super) fn balancer(seed: u64, plan: &mut DrawPlan) -> TreeTable {
    let mut table = TreeTable::default();
    if !plan.regions.is_empty() {
        table.set("region", text(plan.regions[0]));
    }
    if plan.swarm.on("retry", 0.7) {
        let mut retry = retry(&mut Dice::new(seed, "retry settings"));
        second_tries(seed, plan, &mut retry);
        table.set("retry", retry);
    }
    if plan.swarm.on("hedges", 0.25) {
        table.set("hedge", hedge(&mut Dice::new(seed, "hedge settings")));
    }
    if plan.swarm.on("timeouts", 0.6) {
        table.set("timeouts", timeouts(&mut Dice::new(seed, "timeout settings")));
    }
    if plan.swarm.on("health", 0.7) {
        table.set("health", health(&mut Dice::new(seed, "health settings"), plan));
    }
    if plan.swarm.on("queue", 0.7) {
        let mut dice = Dice::new(seed, "queue settings");
        let mut queue = TreeTable::default().with("max", plain(dice.log_whole(0, 300)));
        let wait = if dice.chance(0.2) { text("none") } else { dice.span(10, 20_000) };
        queue.set("max_wait", wait);
        order(&mut dice, plan, &mut queue);
        table.set("queue", queue);
    }
    if plan.swarm.on("shedding", 0.25) {
        table.set("shed", shed(&mut Dice::new(seed, "shed settings")));
    }
    if plan.swarm.on("ladder", 0.25) {
        table.set("degrade", degradation(&mut Dice::new(seed, "ladder settings")));
    }
    if plan.swarm.on("tenant limits", 0.2) {
        let limits = tenant_limits(&mut Dice::new(seed, "tenant limits"));
        if !limits.is_empty() {
            table.set("tenants", limits);
        }
    }
    if plan.swarm.on("quotas left to nodes", 0.3) {
        table.set("quotas", plain(false));
    }
    if plan.many {
        let mut dice = Dice::new(seed, "instances");
        table.set("instances", plain(dice.whole(2, 4)));
        if dice.chance(0.5) {
            table.set("share", exchange(&mut dice));
        }
    }
    if plan.swarm.on("reports", 0.25) {
        table.set("reports", exchange(&mut Dice::new(seed, "reports")));
    }
    table
}

/// Thresholds that rise by the order of these names, and the hysteresis that fits the lowest.
fn thresholds(dice: &mut Dice, table: &mut TreeTable, names: &[&str]) {
    let mut at: Vec<u64> = names.iter().map(|_| dice.whole(5, 150)).collect();
    at.sort_unstable();
    for (name, percent) in names.iter().zip(&at) {
        table.set(name, plain(*percent as f64 / 100.0));
    }
    table.set("hysteresis", plain(dice.whole(0, (at[0] - 1).min(100)) as f64 / 100.0));
}

/// Who is shed when.
fn shed(dice: &mut Dice) -> TreeTable {
    let mut table = TreeTable::default();
    if dice.chance(0.7) {
        let most = dice.whole(1, 4) as usize;
        let mut names = Priority::ALL.map(Priority::name);
        names.reverse();
        thresholds(dice, &mut table, &names[..most]);
        names[most..].iter().for_each(|name| table.set(name, text("none")));
    }
    table
}

/// When what is given up.
fn degradation(dice: &mut Dice) -> TreeTable {
    let mut table = TreeTable::default().with("stay", dice.span(50, 5_000));
    if dice.chance(0.7) {
        let names = ["hedges", "queue", "shed", "clamp", "cheaper", "reject"];
        let (on, off): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|_| dice.chance(0.7));
        off.iter().for_each(|name| table.set(name, text("none")));
        if !on.is_empty() {
            thresholds(dice, &mut table, &on);
        }
    }
    if dice.chance(0.5) {
        table.set("places", dice.anywhere("degrade", "places"));
        table.set("max_tokens", plain(dice.log_whole(1, 300)));
    }
    table
}

/// Who of those who wait is served first.
fn order(dice: &mut Dice, plan: &mut DrawPlan, queue: &mut TreeTable) {
    if plan.swarm.on("queue order", 0.4) {
        let order = match dice.whole(0, 3) {
            0 => text("edf"),
            1 => variant(
                "shortest",
                TreeTable::default().with("ageing", plain(dice.log_whole(0, 1_000))),
            ),
            2 => variant("adaptive_lifo", TreeTable::default().with("after", dice.span(0, 5_000))),
            _ => text("fifo"),
        };
        queue.set("order", order);
    }
    if plan.swarm.on("bands", 0.3) {
        queue.set(
            "bands",
            TreeTable::default().with("min_share", dice.anywhere("bands", "min_share")),
        );
    }
    if plan.swarm.on("fair", 0.3) {
        queue.set("fair", text("tokens"));
    }
    if plan.swarm.on("early rejection", 0.2) {
        queue.set("early_rejection", plain(true));
    }
}

/// What tenants may take.
fn tenant_limits(dice: &mut Dice) -> TreeTable {
    let mut table = TreeTable::default();
    if dice.chance(0.6) {
        table.set("concurrency", plain(dice.log_whole(1, 20)));
    }
    if dice.chance(0.3) {
        table.set("requests_per_minute", plain(dice.log_whole(5, 1_000)));
    }
    if dice.chance(0.3) {
        table.set("tokens_per_minute", plain(dice.log_whole(1_000, 1_000_000)));
    }
    if dice.chance(0.4) {
        table.set("budget_per_day", dice.share(0.01, 2.0));
    }
    table
}

/// `[[tenant]]` tables.
pub(super) fn tenants(seed: u64, plan: &mut DrawPlan) -> Option<TreeValue> {
    if !plan.swarm.on("named tenants", 0.15) {
        return None;
    }
    let mut dice = Dice::new(seed, "named tenants");
    let mut table = tenant_limits(&mut dice);
    table.set("tenant", list([plain(0), plain(1)]));
    table.set("weight", plain(dice.log_whole(1, 10)));
    Some(list([TreeValue::Table(table)]))
}

fn exchange(dice: &mut Dice) -> TreeTable {
    TreeTable::default().with("every", dice.span(50, 2_000)).with("delay", dice.span(0, 500))
}

fn retry(dice: &mut Dice) -> TreeTable {
    let base = dice.millis(0, 500);
    let backoff = TreeTable::default()
        .with("base", span(base))
        .with("cap", span(base + dice.millis(0, 2_000)));
    TreeTable::default()
        .with("attempts", plain(dice.whole(1, 8)))
        .with("budget", dice.anywhere("retry", "budget"))
        .with("backoff", backoff)
}

/// What retries may be told beyond their number and pauses.
fn second_tries(seed: u64, plan: &mut DrawPlan, retry: &mut TreeTable) {
    let mut dice = Dice::new(seed, "second tries");
    if plan.swarm.on("retry floors", 0.4) {
        retry.set("min_per_second", plain(dice.whole(0, 20)));
    }
    if plan.swarm.on("token budgets", 0.2) {
        retry.set("token_budget", dice.anywhere("retry", "token_budget"));
    }
    if plan.swarm.on("least useful time", 0.2) {
        retry.set("minimum_useful", dice.span(1, 2_000));
    }
    if plan.swarm.on("resumed answers", 0.2) {
        retry.set("resume", plain(true));
    }
    if plan.swarm.on("retries that stay", 0.2) {
        retry.set("stay", plain(dice.whole(0, 2)));
        retry.set("stay_wait", dice.span(1, 5_000));
    }
    if plan.swarm.on("clients try freely", 0.2) {
        retry.set("clients", plain(false));
    }
}

fn hedge(dice: &mut Dice) -> TreeTable {
    let after =
        if dice.chance(0.6) { dice.span(10, 3_000) } else { text(dice.pick(&["p50", "p95"])) };
    let mut hedge = TreeTable::default().with("after", after);
    if dice.chance(0.7) {
        hedge.set("budget", dice.anywhere("hedge", "budget"));
    }
    if dice.chance(0.7) {
        hedge.set("saturation", dice.anywhere("hedge", "saturation"));
    }
    if dice.chance(0.3) {
        hedge.set("prompt_max", plain(dice.log_whole(10, 10_000)));
    }
    if dice.chance(0.2) {
        hedge.set("paid", plain(false));
    }
    hedge
}

fn timeouts(dice: &mut Dice) -> TreeTable {
    let mut table = TreeTable::default();
    for (name, least, most) in [
        ("first_token", 200, 20_000),
        ("total", 500, 60_000),
        ("inter_token", 200, 10_000),
        ("silence", 50, 5_000),
    ] {
        match dice.whole(0, 3) {
            0 => {}
            1 => table.set(name, text("none")),
            _ => table.set(name, dice.span(least, most)),
        }
    }
    table
}

fn health(dice: &mut Dice, plan: &mut DrawPlan) -> TreeTable {
    let mut table = TreeTable::default();
    if plan.swarm.on("probes", 0.5) {
        let probe = TreeTable::default()
            .with("every", dice.span(500, 10_000))
            .with("timeout", dice.span(50, 2_000))
            .with("fall", plain(dice.whole(1, 5)))
            .with("rise", plain(dice.whole(1, 4)));
        let probe = if dice.chance(0.3) { probe.with("any_answer", plain(false)) } else { probe };
        table.set("probe", probe);
    }
    table.set("eject", eject(dice));
    guards(dice, plan, &mut table);
    table
}

fn eject(dice: &mut Dice) -> TreeTable {
    let base = dice.millis(100, 10_000);
    TreeTable::default()
        .with("consecutive", plain(dice.log_whole(1, 20)))
        .with("base", span(base))
        .with("cap", span(base + dice.millis(0, 10_000)))
        .with("max_share", dice.anywhere("eject", "max_share"))
        .with("jitter", dice.anywhere("eject", "jitter"))
}

fn outlier(dice: &mut Dice) -> TreeTable {
    let window = dice.log_whole(1, 64);
    TreeTable::default()
        .with("window", plain(window))
        .with("volume", plain(dice.log_whole(1, window)))
        .with("margin", dice.anywhere("outlier", "margin"))
        .with("failures", dice.anywhere("outlier", "failures"))
        .with("slow", dice.share(1.0, 10.0))
}

/// How a pool's nodes are watched where that is not as in the others.
pub(super) fn own_health(dice: &mut Dice) -> TreeTable {
    let mut table = TreeTable::default();
    if dice.chance(0.5) {
        table.set("eject", eject(dice));
    }
    if dice.chance(0.3) {
        table.set("outlier", outlier(dice));
    }
    if dice.chance(0.3) {
        table.set("panic", dice.anywhere("health", "panic"));
    }
    for word in ["half_open", "silence"] {
        if dice.chance(0.3) {
            table.set(word, plain(dice.chance(0.5)));
        }
    }
    if dice.chance(0.3) {
        table.set("slow_start", dice.span(10, 20_000));
    }
    table
}

/// How nodes that are new, come back or are worse than their peers are treated.
fn guards(dice: &mut Dice, plan: &mut DrawPlan, table: &mut TreeTable) {
    if plan.swarm.on("outlier", 0.3) {
        table.set("outlier", outlier(dice));
    }
    if plan.swarm.on("slow start", 0.3) {
        table.set("slow_start", dice.span(10, 20_000));
    }
    if plan.swarm.on("probation", 0.3) {
        table.set("probation", plain(dice.whole(1, 4)));
    }
    if plan.swarm.on("panic", 0.3) {
        table.set("panic", dice.anywhere("health", "panic"));
    }
    if plan.swarm.on("credentials", 0.2) {
        table.set("credential", dice.span(100, 10_000));
    }
    if plan.swarm.on("generate", 0.2) {
        let generate = TreeTable::default().with("every", dice.span(500, 20_000));
        table.set("generate", generate.with("timeout", dice.span(100, 5_000)));
    }
    if plan.swarm.on("no half-open", 0.3) {
        table.set("half_open", plain(false));
    }
    if plan.swarm.on("no silence", 0.3) {
        table.set("silence", plain(false));
    }
}

/// How far regions are from the balancer, which is in the first.
pub(super) fn regions(seed: u64, plan: &DrawPlan) -> TreeTable {
    let mut dice = Dice::new(seed, "distances");
    let mut row = TreeTable::default();
    for region in &plan.regions {
        row.set(region, dice.span(0, 200));
    }
    let table = TreeTable::default().with("rtt", variant(plan.regions[0], row));
    table.with("jitter", dice.share(0.0, 0.5))
}

/// Routes: some with conditions, each of another kind so that none covers the next, and one for all.
pub(super) fn routes(seed: u64, plan: &mut DrawPlan) -> Option<TreeValue> {
    if !plan.swarm.on("routes", 0.5) {
        return None;
    }
    let requires = plan.swarm.on("require", 0.5);
    let degrades = plan.swarm.on("degrade", 0.4);
    let splits = plan.swarm.on("split", 0.3);
    let answers = AnswerDraws::new(plan);
    let mut dice = Dice::new(seed, "routes");
    let mut tables = Vec::new();
    for kind in ["class", "priority", "prompt", "session", "tenant", "all"] {
        let when = match kind {
            "class" => plan.classes.first().map(|class| ("class", text(class))),
            "priority" => Some(("priority", text(dice.pick(&["high", "normal", "sheddable"])))),
            "prompt" => {
                let most = TreeTable::default().with("max", plain(dice.log_whole(10, 2_000)));
                Some(("prompt_tokens", most.into()))
            }
            "session" => Some(("session", plain(true))),
            _ => Some(("tenant", plain(0))),
        };
        let mut table = TreeTable::default();
        if kind == "all" {
            table.set("match", TreeTable::default());
        } else {
            let Some((key, value)) = when.filter(|_| dice.chance(0.25)) else { continue };
            table.set("match", TreeTable::default().with(key, value));
        }
        let mut order: Vec<usize> = (0..plan.pools.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, dice.whole(0, place as u64) as usize);
        }
        let own = dice.whole(1, order.len() as u64) as usize;
        let (own, others) = order.split_at(own);
        let named = |pools: &[usize]| list(pools.iter().map(|at| text(&plan.pools[*at].name)));
        table.set("to", named(own));
        let cheap = degrades && !others.is_empty() && dice.chance(0.6);
        if splits && own.len() > 1 && dice.chance(0.6) {
            let percent = dice.whole(0, 100);
            let split = TreeTable::default()
                .with(&plan.pools[own[0]].name, plain(percent))
                .with(&plan.pools[own[1]].name, plain(100 - percent));
            table.set("split", split);
        }
        if cheap {
            let endless = own.iter().any(|at| plan.pools[*at].endless);
            let when = match dice.whole(0, if endless { 2 } else { 3 }) {
                0 => text("no_room"),
                1 => variant("waiting", plain(dice.log_whole(1, 50))),
                2 => variant("in_flight", plain(dice.log_whole(1, 50))),
                _ => variant("utilisation", dice.share(0.1, 1.0)),
            };
            table.set("degrade", TreeTable::default().with("to", named(others)).with("when", when));
        }
        if requires && dice.chance(0.7) {
            let tag = dice.pick(&fleet::TAGS);
            let has = |pools: &[usize]| {
                let mut groups = pools.iter().flat_map(|at| &plan.pools[*at].tags);
                groups.any(|tags| tags.contains(&tag))
            };
            if has(own) && (!cheap || has(others)) {
                table.set("require", TreeTable::default().with("tags", list([text(tag)])));
            }
        }
        answers.draw(&mut dice, &mut table);
        tables.push(TreeValue::Table(table));
    }
    Some(TreeValue::List(tables))
}

/// What is drawn of the answers of routes.
struct AnswerDraws {
    keeps: bool,
    sticks: bool,
    resumes: bool,
}

impl AnswerDraws {
    fn new(plan: &mut DrawPlan) -> AnswerDraws {
        AnswerDraws {
            keeps: plan.swarm.on("kept answers", 0.5),
            sticks: plan.swarm.on("sticky sessions", 0.3),
            resumes: plan.swarm.on("resumed answers of routes", 0.2),
        }
    }

    /// What becomes of answers that are against a policy, whether others are kept, whether those that are cut
    /// go on, and whether sessions stay.
    fn draw(&self, dice: &mut Dice, table: &mut TreeTable) {
        if dice.chance(0.3) {
            table.set("content_policy", text(dice.pick(&["fail", "next_pool"])));
        }
        if self.keeps && dice.chance(0.7) {
            table.set("cache", cache(dice));
        }
        if self.resumes {
            table.set("resume", plain(dice.chance(0.5)));
        }
        if self.sticks && dice.chance(0.7) {
            table.set("sticky", sticky(dice));
        }
    }
}

/// Which sessions stay: few are remembered, so that some give way, and not for long.
fn sticky(dice: &mut Dice) -> TreeTable {
    let mut table = TreeTable::default().with("how", text(dice.pick(&["soft", "hard"])));
    if dice.chance(0.5) {
        table.set("by", list([text(dice.pick(&["session", "user"])), text("mcp_session_id")]));
    }
    if dice.chance(0.6) {
        table.set("entries", plain(dice.log_whole(1, 60)));
    }
    if dice.chance(0.5) {
        table.set("ttl", dice.span(200, 60_000));
    }
    table
}

/// Which answers a route keeps: few, so that some give way, and not for long.
fn cache(dice: &mut Dice) -> TreeTable {
    let mut table = TreeTable::default().with("ttl", dice.span(200, 60_000));
    if dice.chance(0.8) {
        table.set("entries", plain(dice.log_whole(1, 60)));
    }
    if dice.chance(0.3) {
        table.set("tokens", plain(dice.log_whole(20, 5_000)));
    }
    if dice.chance(0.5) {
        table.set("shared", plain(dice.chance(0.5)));
    }
    table
}

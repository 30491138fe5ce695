//! Draws of a fleet: pools, strategies with any settings, nodes of every kind, limits, prices, tags.

use super::dice::{Dice, span};
use super::{DrawPlan, DrawnPool, policy};
use crate::balance::{REGISTRY, SettingKind};
use crate::scenario::tree::{TreeTable, TreeValue, list, plain, text, variant};

/// Tags that nodes may have.
pub(super) const TAGS: [&str; 2] = ["phi", "gpu"];

/// Formulas for the strategy that takes one.
const FORMULAS: [&str; 4] = [
    "in_flight",
    "ttft + 0.02 * output_tokens * tpot + 300 * dollars",
    "random",
    "(prefilling + 1) / weight + kv_tokens * 0.001",
];

const HOSTED: [&str; 2] = ["anthropic/claude-3.5-haiku", "openai/gpt-4o-mini"];
const ENGINES: [&str; 3] =
    ["llama-3.1-8b/h100/vllm", "llama-3.1-8b/a100/vllm", "llama-3.1-8b/l40s/vllm"];

/// What is on in this draw, and the dice of each kind.
struct Draw {
    dice: Dice,
    limiter: Dice,
    side: Dice,
    tagged: bool,
    tiers: bool,
    overprovision: bool,
    pool_limits: bool,
    limiters: bool,
    own_health: bool,
    credentials: bool,
    prices: bool,
    weights: bool,
    limits: bool,
    quotas: bool,
    batches: bool,
    kinds: Vec<&'static str>,
    scaled: bool,
    near: bool,
}

impl Draw {
    fn new(seed: u64, plan: &mut DrawPlan) -> Draw {
        // The order of what is on is shown.
        let tagged = plan.swarm.on("tags", 0.3);
        let tiers = plan.swarm.on("tiers", 0.4);
        Draw {
            dice: Dice::new(seed, "fleet"),
            limiter: Dice::new(seed, "limiter settings"),
            side: Dice::new(seed, "health and credentials of pools"),
            tagged,
            tiers,
            overprovision: tiers && plan.swarm.on("overprovision", 0.3),
            pool_limits: plan.swarm.on("pool limits", 0.2),
            limiters: plan.swarm.on("limiters", 0.25),
            own_health: plan.swarm.on("health by pool", 0.2),
            credentials: plan.swarm.on("shared credentials", 0.2),
            prices: plan.swarm.on("prices", 0.6),
            weights: plan.swarm.on("weights", 0.4),
            limits: plan.swarm.on("limits", 0.5),
            quotas: plan.swarm.on("quotas", 0.2),
            batches: plan.swarm.on("batches", 0.12),
            kinds: kinds(plan),
            scaled: !plan.many && plan.swarm.on("autoscale", 0.15),
            near: !plan.regions.is_empty() && plan.swarm.on("locality", 0.5),
        }
    }

    /// A pool without its nodes.
    fn pool(&mut self, name: &str) -> TreeTable {
        let dice = &mut self.dice;
        let mut table = TreeTable::default().with("name", text(name));
        if dice.chance(0.3) {
            table.set("kind", dice.anywhere("pool", "kind"));
        }
        table.set("strategy", strategy(dice));
        if self.batches && dice.chance(0.6) {
            let batch = TreeTable::default().with("size", plain(dice.whole(2, 8)));
            table.set("batch", batch.with("window", dice.span(5, 500)));
        }
        if self.near && dice.chance(0.7) {
            table.set("locality", dice.anywhere("pool", "locality"));
        }
        if self.overprovision && dice.chance(0.7) {
            table.set("overprovision", plain(dice.whole(10, 30) as f64 / 10.0));
        }
        if self.pool_limits && table.get("batch").is_none() && dice.chance(0.7) {
            let limits = TreeTable::default().with("concurrency", plain(dice.log_whole(1, 40)));
            table.set("limits", limits);
        }
        if self.limiters && table.get("batch").is_none() && self.limiter.chance(0.7) {
            table.set("limiter", limiter(&mut self.limiter));
        }
        if self.own_health && self.side.chance(0.6) {
            table.set("health", policy::own_health(&mut self.side));
        }
        table
    }

    /// A group of nodes; tells the pool what it can do.
    fn group(&mut self, name: String, plan: &DrawPlan, pool: &mut DrawnPool) -> TreeTable {
        let dice = &mut self.dice;
        let mut node = TreeTable::default().with("name", text(&name));
        let copies = dice.whole(1, 4);
        let grows = self.scaled && dice.chance(0.5);
        if grows {
            let max = copies + dice.whole(1, 3);
            node.set("count", plain(copies));
            node.set("autoscale", autoscale(dice, max));
        } else if copies > 1 {
            node.set("count", plain(copies));
        }
        if self.tiers {
            node.set("tier", text(dice.pick(&["primary", "primary", "backup", "secondary"])));
        }
        if self.weights {
            node.set("weight", plain(dice.log_whole(1, 20)));
        }
        if self.prices {
            let price = TreeTable::default().with("input", dice.share(0.0, 5.0));
            node.set("price", price.with("output", dice.share(0.0, 20.0)));
        }
        if self.credentials {
            node.set("credential", text(self.side.pick(&["one", "other"])));
        }
        if dice.chance(0.2) {
            node.set("hourly_price", dice.share(0.0, 9.0));
        }
        if self.tagged {
            let tags: Vec<&str> = TAGS.into_iter().filter(|_| dice.chance(0.6)).collect();
            node.set("tags", list(tags.iter().map(text)));
            pool.tags.push(tags);
        }
        if !plan.regions.is_empty() {
            node.set("region", text(dice.pick(&plan.regions)));
        }
        let kind = dice.pick(&self.kinds);
        let (backend, mut each) = backend(dice, kind);
        let limit = self.limit(kind, &mut each);
        pool.endless |= !self.limits;
        if !limit.is_empty() {
            node.set("limits", limit);
        }
        node.set("backend", backend);
        pool.capacity += each * copies as f64;
        pool.groups.push(name);
        node
    }

    /// The limits of a node; lowers what `each` node can do to what they allow.
    fn limit(&mut self, kind: &str, each: &mut f64) -> TreeTable {
        let dice = &mut self.dice;
        let mut limit = TreeTable::default();
        if self.limits {
            let most = dice.log_whole(1, 32);
            limit.set("concurrency", plain(most));
            *each = each.min(most as f64 * 2.0);
        }
        if self.quotas && kind == "api" {
            let most = dice.log_whole(60, 3_000);
            limit.set("requests_per_minute", plain(most));
            *each = each.min(most as f64 / 60.0);
            if dice.chance(0.3) {
                limit.set("tokens_per_minute", plain(dice.log_whole(20_000, 2_000_000)));
            }
        }
        limit
    }
}

/// Draws all pools; notes in the plan what the rest of the scenario needs to know.
pub(super) fn pools(seed: u64, plan: &mut DrawPlan) -> TreeValue {
    let mut draw = Draw::new(seed, plan);
    let several = plan.swarm.on("several pools", 0.5);
    let count = if several { draw.dice.whole(2, 4) } else { 1 };
    let mut tables = Vec::new();
    for number in 1..=count {
        let mut pool = DrawnPool { name: format!("p{number}"), ..DrawnPool::default() };
        let mut table = draw.pool(&pool.name);
        let mut nodes = Vec::new();
        for group in 0..draw.dice.whole(1, 3) {
            let name = format!("{}{}", pool.name, char::from(b'a' + group as u8));
            nodes.push(TreeValue::Table(draw.group(name, plan, &mut pool)));
        }
        table.set("node", TreeValue::List(nodes));
        tables.push(TreeValue::Table(table));
        plan.pools.push(pool);
    }
    TreeValue::List(tables)
}

/// A limiter of either kind, sometimes with settings anywhere in their range.
fn limiter(dice: &mut Dice) -> TreeValue {
    let aimd = dice.chance(0.5);
    let law = if aimd { "aimd" } else { "gradient" };
    if dice.chance(0.3) {
        return text(law);
    }
    let initial = dice.log_whole(1, 40);
    let mut table = TreeTable::default()
        .with("initial", plain(initial))
        .with("min", plain(dice.log_whole(1, initial)))
        .with("max", plain(dice.log_whole(initial, 200)));
    if aimd {
        table.set("above", dice.share(1.05, 5.0));
        table.set("cut", dice.anywhere("aimd", "cut"));
    } else {
        table.set("tolerance", dice.share(1.0, 4.0));
        table.set("queue", plain(dice.log_whole(0, 10)));
        table.set("smoothing", dice.share(0.05, 1.0));
    }
    variant(law, table)
}

/// Kinds of back ends that a scenario has, at least one.
fn kinds(plan: &mut DrawPlan) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for (kind, p) in [("slots", 0.6), ("api", 0.6), ("engine", 0.35)] {
        if plan.swarm.on(kind, p) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() {
        kinds.push("slots");
    }
    kinds
}

/// A back end, and about how many requests a second it serves.
fn backend(dice: &mut Dice, kind: &str) -> (TreeValue, f64) {
    match kind {
        "slots" => {
            let (servers, service) = (dice.log_whole(1, 16), dice.millis(20, 1_500));
            let mut slots = TreeTable::default().with("servers", plain(servers));
            if dice.chance(0.6) {
                slots.set("queue", plain(dice.log_whole(0, 100)));
            }
            slots.set("service", dice.law(service));
            if dice.chance(0.1) {
                slots.set("per_item", dice.span(1, 50));
            }
            (variant("slots", slots), 700.0 * servers as f64 / service as f64)
        }
        "api" => {
            if dice.chance(0.2) {
                let api = TreeTable::default().with("profile", text(dice.pick(&HOSTED)));
                return (variant("api", api), 10.0);
            }
            let first = dice.millis(50, 2_000);
            let speed = dice.log_whole(20, 300);
            let api = TreeTable::default().with("ttft", dice.law(first));
            let api = api.with("tokens_per_second", plain(speed));
            (variant("api", api), 10.0)
        }
        _ => {
            if dice.chance(0.5) {
                let engine = TreeTable::default().with("profile", text(dice.pick(&ENGINES)));
                return (variant("engine", engine), 2.0);
            }
            let mut engine = TreeTable::default()
                .with("f", dice.share(2.0, 20.0))
                .with("p1", dice.share(10.0, 100.0))
                .with("d1", dice.share(0.001, 0.2))
                .with("kv_tokens", plain(dice.log_whole(20_000, 500_000)));
            if dice.chance(0.5) {
                engine.set("max_seqs", plain(dice.log_whole(1, 128)));
            }
            if dice.chance(0.5) {
                engine.set("prefix_cache", plain(dice.chance(0.5)));
            }
            (variant("engine", engine), 1.0)
        }
    }
}

fn autoscale(dice: &mut Dice, max: u64) -> TreeTable {
    let target = match dice.whole(0, 3) {
        0 => variant("in_flight", plain(dice.whole(1, 10))),
        1 => variant("queue", plain(dice.whole(1, 10))),
        2 => variant("ttft", dice.span(100, 5_000)),
        _ => variant("tokens_in_flight", plain(dice.log_whole(500, 50_000))),
    };
    TreeTable::default()
        .with("min", plain(dice.whole(0, 1)))
        .with("max", plain(max))
        .with("target", target)
        .with("cold_start", dice.span(1, 10_000))
        .with("every", dice.span(500, 10_000))
        .with("down_after", dice.span(0, 20_000))
}

/// Any strategy, sometimes with settings anywhere in their range.
fn strategy(dice: &mut Dice) -> TreeValue {
    let entry = &REGISTRY[dice.whole(0, REGISTRY.len() as u64 - 1) as usize];
    let mut settings = TreeTable::default();
    for setting in entry.settings {
        if !dice.chance(0.4) {
            continue;
        }
        let value = match setting.kind {
            SettingKind::Count { min, max } => {
                // Far above the usual value nothing new happens, only slowly.
                let most = max.min((setting.default.saturating_mul(8)).max(min + 8));
                plain(dice.log_whole(min, most))
            }
            SettingKind::Span { min, max } => {
                let (least, most) = (min.0.div_ceil(1_000_000), max.0 / 1_000_000);
                span(dice.millis(least.max(1), most.clamp(1, 120_000)))
            }
            SettingKind::Ratio { max } => dice.share(0.0, (max as f64 / 1e6).min(100.0)),
            SettingKind::Choice(words) => text(dice.pick(words)),
            SettingKind::Formula => text(dice.pick(&FORMULAS)),
        };
        settings.set(setting.name, value);
    }
    if settings.is_empty() { text(entry.name) } else { variant(entry.name, settings) }
}

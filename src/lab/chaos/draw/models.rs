//! Draws of what has to fit together: which node serves which model, who names one, how good their answers
//! are and how routes choose among them; and budgets over which cheaper pools serve.

use super::DrawPlan;
use super::dice::Dice;
use crate::scenario::Scenario;
use crate::scenario::tree::{TreeTable, TreeValue, list, plain, text, variant};

const MODELS: [&str; 2] = ["m1", "m2"];

/// Says of nodes which model they serve, and of what follows from that whatever the reader of scenarios
/// takes: a class may be led to no node of its model, and a route may have too few pools to choose from.
pub(super) fn models(seed: u64, plan: &mut DrawPlan, document: &mut TreeTable) {
    if !plan.swarm.on("models", 0.25) {
        return;
    }
    let named = plan.swarm.on("models by name", 0.6);
    let chosen = plan.swarm.on("model choice", 0.6);
    let mut dice = Dice::new(seed, "models");
    let mut nodes = Vec::new();
    for (pool, tables) in tables(document, "pool").into_iter().enumerate() {
        let count = tables.get("node").map_or(0, |nodes| match nodes {
            TreeValue::List(nodes) => nodes.len(),
            _ => 0,
        });
        nodes.extend((0..count).map(|node| (pool, node)));
    }
    for (pool, node) in nodes {
        // A pool is of one model, mostly.
        let model = MODELS[if dice.chance(0.8) { pool % 2 } else { dice.whole(0, 1) as usize }];
        if let Some(table) =
            document.table_at("pool", pool).and_then(|it| it.table_at("node", node))
        {
            table.set("model", text(model));
        }
    }
    let good = MODELS
        .iter()
        .fold(TreeTable::default(), |table, model| table.with(model, dice.share(0.0, 1.0)));
    let mut quality = TreeTable::default().with("models", good);
    if dice.chance(0.5) {
        quality.set("difficulty", dice.share(0.0, 1.0));
    }
    quality.set("scorer", TreeTable::default().with("auc", dice.share(0.5, 1.0)));
    let feedback = TreeTable::default().with("share", dice.share(0.1, 1.0));
    quality.set("feedback", feedback.with("after", dice.law(2_000)));
    keep_if_read(document, |document| document.set("quality", quality.clone()));
    for class in 0..tables(document, "class").len() {
        let model = dice.pick(&MODELS);
        if named && dice.chance(0.5) {
            set_if_read(document, "class", class, "model", &text(model));
        }
        if chosen && dice.chance(0.7) {
            let law =
                variant("exponential", TreeTable::default().with("mean", dice.share(0.1, 2.0)));
            set_if_read(document, "class", class, "complexity", &law);
            let follows = dice.share(0.0, 1.0);
            set_if_read(document, "class", class, "complexity_correlation", &follows);
        }
    }
    for route in 0..tables(document, "route").len() {
        let choose = choose(&mut dice);
        if chosen && dice.chance(0.8) {
            set_if_read(document, "route", route, "choose", &choose);
        }
    }
}

fn choose(dice: &mut Dice) -> TreeValue {
    let window = dice.log_whole(1, 500);
    let learns = |dice: &mut Dice| {
        let table = TreeTable::default().with("worth", dice.share(0.01, 1.0));
        let table = table.with("prior", plain(dice.log_whole(1, 10)));
        table.with("memory", plain(dice.log_whole(2, 1_000)))
    };
    match dice.whole(0, 3) {
        0 => {
            let table = TreeTable::default().with("strong_share", dice.share(0.0, 1.0));
            variant("complexity", table.with("window", plain(window)))
        }
        1 => variant("threshold", learns(dice).with("window", plain(window))),
        2 => variant("cascade", TreeTable::default().with("accept", dice.share(0.0, 1.0))),
        _ => variant("bandit", learns(dice)),
    }
}

/// Says of named tenants that cheaper pools serve them over their budget, where they have one and some
/// route has such pools.
pub(super) fn budgets(seed: u64, plan: &mut DrawPlan, document: &mut TreeTable) {
    if !plan.swarm.on("budgets that degrade", 0.3) {
        return;
    }
    let mut dice = Dice::new(seed, "over budget");
    let (budget, word) = (dice.share(0.01, 0.5), dice.anywhere("tenant", "over_budget"));
    if document.get("tenant").is_none() {
        let table = TreeTable::default().with("tenant", list([plain(0), plain(1)]));
        document.set("tenant", list([TreeValue::Table(table)]));
    }
    for tenant in 0..tables(document, "tenant").len() {
        keep_if_read(document, |document| {
            if let Some(table) = document.table_at("tenant", tenant) {
                if table.get("budget_per_day").is_none() {
                    table.set("budget_per_day", budget.clone());
                }
                table.set("over_budget", word.clone());
            }
        });
    }
}

/// The tables of a list.
fn tables(document: &TreeTable, key: &str) -> Vec<TreeTable> {
    let Some(TreeValue::List(items)) = document.get(key) else { return Vec::new() };
    let table = |item: &TreeValue| match item {
        TreeValue::Table(table) => Some(table.clone()),
        _ => None,
    };
    items.iter().filter_map(table).collect()
}

fn set_if_read(document: &mut TreeTable, of: &str, place: usize, key: &str, value: &TreeValue) {
    keep_if_read(document, |document| {
        if let Some(table) = document.table_at(of, place) {
            table.set(key, value.clone());
        }
    });
}

/// Changes a scenario, if it can still be read then.
fn keep_if_read(document: &mut TreeTable, change: impl Fn(&mut TreeTable)) {
    let mut changed = document.clone();
    change(&mut changed);
    if Scenario::parse("chaos", "chaos", &changed.to_string(), &[]).is_ok() {
        *document = changed;
    }
}

//! Why a model came first for a request, and which answers were not good enough: the part of an
//! explanation that is about routes that choose.

use super::explanation::Story;
use super::quantity::{count, dollars, seconds, share};
use super::table::{TextTable, name};
use crate::balance::{ModelChoice, ModelWhy};
use crate::metrics::{Labels, RequestTrace};
use crate::unit::{NodeId, PoolId};

/// Why a model comes first.
#[derive(Clone, Debug)]
pub struct ModelStory {
    /// The pool that comes first.
    pub pool: String,
    /// `complexity`, `threshold`, `cascade` or `bandit`.
    pub by: &'static str,
    /// In words.
    pub why: String,
    /// What a bandit made of each pool.
    pub arms: Vec<ArmStory>,
}

/// What a bandit made of a pool.
#[derive(Clone, Debug)]
pub struct ArmStory {
    /// The pool.
    pub pool: String,
    /// Observations that still count.
    pub heard: f64,
    /// The mean of what is believed of its answers.
    pub mean: f64,
    /// What was drawn from that.
    pub drawn: f64,
    /// What an answer is expected to cost, in dollars.
    pub cost_usd: f64,
    /// What was drawn less the cost in good answers: the most wins.
    pub value: f64,
}

/// An answer that was not good enough.
#[derive(Clone, Debug)]
pub struct EscalationStory {
    /// When, in seconds.
    pub at_s: f64,
    /// The node that gave it.
    pub node: String,
    /// What its scorer made of it.
    pub score: f64,
    /// The pool that was asked next.
    pub next: String,
}

fn pool(labels: &Labels, id: PoolId) -> String {
    labels.pools.get(id.index()).cloned().unwrap_or_default()
}

fn node(labels: &Labels, id: NodeId) -> String {
    labels.nodes.get(id.index()).map(|node| node.name.clone()).unwrap_or_default()
}

fn believed(explores: bool) -> &'static str {
    if explores { "drawn from what is believed" } else { "by means" }
}

impl ModelStory {
    pub(super) fn of(choice: &ModelChoice, labels: &Labels) -> ModelStory {
        let mut arms = Vec::new();
        let (by, why) = match &choice.why {
            ModelWhy::Complexity { score, easier, seen, strong_share } => (
                "complexity",
                format!(
                    "complexity {:.3}, harder than {} of the last {}; the hardest {} go to the \
                     stronger model",
                    f64::from(*score) / 1e3,
                    share(Some(*easier)),
                    count(u64::from(*seen)),
                    share(Some(strong_share.value())),
                ),
            ),
            ModelWhy::Threshold { score, easier, strong_share, dearer, explores } => (
                "threshold",
                format!(
                    "complexity {:.3}, harder than {} of the last; where the stronger model costs \
                     ${dearer:.6} more, the hardest {} are worth it, {}",
                    f64::from(*score) / 1e3,
                    share(Some(*easier)),
                    share(Some(strong_share.value())),
                    believed(*explores),
                ),
            ),
            ModelWhy::Cascade { accept } => (
                "cascade",
                format!("the first; an answer that scores below {} goes on", accept.value()),
            ),
            ModelWhy::Bandit { arms: views, explores } => {
                arms.extend(views.iter().map(|arm| ArmStory {
                    pool: pool(labels, arm.pool),
                    heard: arm.heard,
                    mean: arm.mean,
                    drawn: arm.drawn,
                    cost_usd: arm.dollars,
                    value: arm.value,
                }));
                ("bandit", format!("the most value, {}", believed(*explores)))
            }
        };
        ModelStory { pool: pool(labels, choice.pool), by, why, arms }
    }
}

pub(super) fn escalations(trace: &RequestTrace, labels: &Labels) -> Vec<EscalationStory> {
    let one = |&(at, by, score, to): &_| EscalationStory {
        at_s: crate::unit::Time::seconds(at),
        node: node(labels, by),
        score: crate::unit::Ratio::value(score),
        next: pool(labels, to),
    };
    trace.escalations.iter().map(one).collect()
}

/// Writes the choice and what was not good enough, if there is any.
pub(super) fn tell(out: &mut String, story: &Story) {
    let Some(model) = &story.model else { return };
    let title = format!("Model: {}", name(&model.pool));
    let mut table = TextTable::new(2, &[&title]);
    table.row([model.by.to_owned(), model.why.clone()]);
    for one in &story.escalations {
        let after = seconds(Some(one.at_s - story.arrived_s));
        let what = format!(
            "after {after}: {} scored {:.3}, {} is asked",
            name(&one.node),
            one.score,
            name(&one.next)
        );
        table.row(["not good enough".to_owned(), what]);
    }
    table.write(out);
    if model.arms.is_empty() {
        return;
    }
    let heads = ["Models", "heard", "good answers", "drawn", "cost", "value"];
    let mut table = TextTable::new(1, &heads);
    for arm in &model.arms {
        table.row([
            name(&arm.pool),
            format!("{:.1}", arm.heard),
            share(Some(arm.mean)),
            share(Some(arm.drawn)),
            if arm.cost_usd < 0.01 {
                format!("${:.6}", arm.cost_usd)
            } else {
                dollars(Some(arm.cost_usd))
            },
            format!("{:.4}", arm.value),
        ]);
    }
    table.write(out);
}

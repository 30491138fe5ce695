//! `choose = { ... }` of a route: how one of its pools is chosen, pools being models.

use super::quality::known_scorer;
use super::value::{Field, Walk};
use crate::balance::{CHOICES_MAX, ModelRule, SCORES_MAX};
use crate::unit::Ratio;
use crate::workload::QualitySpec;

/// What is hard is taken of so many of the last requests where nothing else is said.
pub const WINDOW_DEFAULT: u32 = 1_000;

/// A cascade accepts answers with this score where nothing else is said.
pub const ACCEPT_DEFAULT: Ratio = Ratio(500_000);

/// Observations that a bandit's first belief counts for where nothing else is said.
pub const PRIOR_DEFAULT: u32 = 2;

/// Observations of a class that a bandit remembers where nothing else is said.
pub const MEMORY_DEFAULT: u32 = 1_000;

/// A bandit remembers at most so many, and begins with a belief of at most so many.
pub const MEMORY_MAX: u32 = 1_000_000;

/// A good answer is worth at most so many dollars.
pub const WORTH_MAX: f64 = 1e6;

const KINDS: &[&str] = &["complexity", "cascade", "bandit"];

/// Reads how a route with so many pools chooses.
pub(super) fn read(
    walk: &mut Walk,
    field: Field<'_>,
    pools: usize,
    quality: Option<&QualitySpec>,
) -> Option<ModelRule> {
    if field.is_word("cascade") {
        return checked(walk, field, pools, quality, ModelRule::Cascade { accept: ACCEPT_DEFAULT });
    }
    let (name, inner) = walk.variant(field, "way to choose", KINDS, &["rules"])?;
    let mut table = walk.table(inner, &format!("`{name}`"))?;
    let choose = match name {
        "complexity" => {
            let share = table.need(walk, "strong_share").and_then(|field| walk.upto(field, 1.0));
            let window = table.take("window").and_then(|field| {
                walk.count(field, 1..=u64::from(SCORES_MAX)).map(|window| window as u32)
            });
            share.map(|share| ModelRule::Complexity {
                strong_share: Ratio::from_f64(share),
                window: window.unwrap_or(WINDOW_DEFAULT),
            })
        }
        "cascade" => {
            let accept = table.take("accept").map(|field| walk.upto(field, 1.0));
            let accept = accept.map_or(Some(ACCEPT_DEFAULT), |accept| accept.map(Ratio::from_f64));
            accept.map(|accept| ModelRule::Cascade { accept })
        }
        _ => {
            let worth = table.need(walk, "worth").and_then(|field| {
                let dollars = walk.above_zero(field, WORTH_MAX)?;
                Some(((dollars * 1e6).round() as u64).max(1))
            });
            let mut count = |key, least: u32, default| {
                let field = table.take(key);
                let counted = field
                    .and_then(|field| walk.count(field, u64::from(least)..=u64::from(MEMORY_MAX)));
                counted.map_or(default, |count| count as u32)
            };
            let prior = count("prior", 1, PRIOR_DEFAULT);
            let memory = count("memory", 2, MEMORY_DEFAULT);
            worth.map(|worth| ModelRule::Bandit { worth, prior, memory })
        }
    };
    table.finish(walk, &[]);
    checked(walk, field, pools, quality, choose?)
}

fn checked(
    walk: &mut Walk,
    field: Field<'_>,
    pools: usize,
    quality: Option<&QualitySpec>,
    choose: ModelRule,
) -> Option<ModelRule> {
    let wanted = match choose {
        ModelRule::Complexity { .. } if pools != 2 => {
            "exactly two: the weaker model, then the stronger"
        }
        ModelRule::Cascade { .. } | ModelRule::Bandit { .. }
            if !(2..=CHOICES_MAX).contains(&pools) =>
        {
            "two to eight, each for a model"
        }
        ModelRule::Cascade { .. } if !known_scorer(quality) => {
            walk.problem(field.place(), "nobody says how good answers are")
                .label("a cascade asks the next model if an answer is not good enough")
                .help("add a `[quality]` table with `models`");
            return None;
        }
        ModelRule::Bandit { .. } if quality.is_none_or(|quality| quality.feedback.is_none()) => {
            walk.problem(field.place(), "nobody tells the bandit how good answers were")
                .label("it learns from feedback")
                .help("add a `[quality]` table with `models` and `feedback = { share = 0.1 }`");
            return None;
        }
        _ => return Some(choose),
    };
    let message = format!("the pools of this route are {pools}, and must be {wanted}");
    walk.problem(field.place(), message).label("chooses among the pools of `to`");
    None
}

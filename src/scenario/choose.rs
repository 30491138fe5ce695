//! `choose = { ... }` of a route: how one of its pools is chosen, pools being models.

use super::keys::{KeyDef, KeyKind, SHARE, SectionDef, Usual, above_zero, key, need, one, section};
use super::quality::known_scorer;
use super::table::Table;
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

/// How a route chooses among its pools.
pub(super) const CHOOSE: KeyKind = KeyKind::Any(CHOOSE_FORMS);
const CHOOSE_FORMS: &[KeyKind] =
    &[KeyKind::Word(&["cascade"]), KeyKind::Variant(&WAYS, "way to choose")];

static WAYS: SectionDef = SectionDef {
    keys: &[
        one(
            "complexity",
            KeyKind::Table(&COMPLEXITY),
            "the hardest requests go to the second of two pools, the stronger one",
        ),
        one(
            "threshold",
            KeyKind::Table(&THRESHOLD),
            "as by complexity, but how many requests are hard is learnt from feedback and prices",
        ),
        one(
            "cascade",
            KeyKind::Table(&CASCADE),
            "the next pool is asked if an answer is not good enough",
        ),
        one(
            "bandit",
            KeyKind::Table(&BANDIT),
            "by what feedback says of answers, and what they cost",
        ),
    ],
    later: &["rules"],
    ..section("choose", "")
};

const WORTH: KeyDef = need("worth", above_zero(WORTH_MAX), "dollars that a good answer is worth");

const PRIOR: KeyDef = key(
    "prior",
    KeyKind::Whole(1, MEMORY_MAX as u64),
    Usual::Whole(PRIOR_DEFAULT as u64),
    "observations that the first belief counts for",
);

const fn memory(help: &'static str) -> KeyDef {
    let kind = KeyKind::Whole(2, MEMORY_MAX as u64);
    key("memory", kind, Usual::Whole(MEMORY_DEFAULT as u64), help)
}

const fn window(help: &'static str) -> KeyDef {
    let kind = KeyKind::Whole(1, SCORES_MAX as u64);
    key("window", kind, Usual::Whole(WINDOW_DEFAULT as u64), help)
}

static COMPLEXITY: SectionDef = SectionDef {
    keys: &[
        need("strong_share", SHARE, "the share of the requests that is hard"),
        window("what is hard is found out of so many of the last requests"),
    ],
    ..section("complexity", "")
};

static THRESHOLD: SectionDef = SectionDef {
    keys: &[
        WORTH,
        PRIOR,
        memory("observations of each tenth of the requests, by complexity, that are remembered"),
        window("tenths are found out of so many of the last requests"),
    ],
    ..section("threshold", "")
};

static CASCADE: SectionDef = SectionDef {
    keys: &[key(
        "accept",
        SHARE,
        Usual::Number(ACCEPT_DEFAULT.value()),
        "an answer with this score is good enough",
    )],
    ..section("cascade", "")
};

static BANDIT: SectionDef = SectionDef {
    keys: &[WORTH, PRIOR, memory("observations of a class that are remembered")],
    ..section("bandit", "")
};

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
    let (name, inner) = walk.variant(field)?;
    let mut table = walk.table(inner)?;
    let choose = match name {
        "complexity" => {
            let share = table.number(walk, "strong_share");
            let window = table.count(walk, "window");
            share.zip(window).map(|(share, window)| ModelRule::Complexity {
                strong_share: Ratio::from_f64(share),
                window: window as u32,
            })
        }
        "cascade" => {
            let accept = table.number(walk, "accept").map(Ratio::from_f64);
            accept.map(|accept| ModelRule::Cascade { accept })
        }
        "threshold" => {
            let (learns, window) = (learning(walk, &mut table), table.count(walk, "window"));
            learns.zip(window).map(|((worth, prior, memory), window)| ModelRule::Threshold {
                worth,
                prior,
                memory,
                window: window as u32,
            })
        }
        _ => {
            let learns = learning(walk, &mut table);
            learns.map(|(worth, prior, memory)| ModelRule::Bandit { worth, prior, memory })
        }
    };
    table.finish(walk);
    checked(walk, field, pools, quality, choose?)
}

/// Reads what every rule that learns is told: what a good answer is worth in micro-dollars, how much the
/// first belief counts, and how much is remembered.
fn learning(walk: &mut Walk, table: &mut Table<'_>) -> Option<(u64, u32, u32)> {
    let worth = table.number(walk, "worth");
    let worth = worth.map(|dollars| ((dollars * 1e6).round() as u64).max(1));
    let mut count = |key| table.count(walk, key).map(|count| count as u32);
    let (prior, memory) = (count("prior"), count("memory"));
    Some((worth?, prior?, memory?))
}

fn checked(
    walk: &mut Walk,
    field: Field<'_>,
    pools: usize,
    quality: Option<&QualitySpec>,
    choose: ModelRule,
) -> Option<ModelRule> {
    let wanted = match choose {
        ModelRule::Complexity { .. } | ModelRule::Threshold { .. } if pools != 2 => {
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
        _ if choose.learns() && quality.is_none_or(|quality| quality.feedback.is_none()) => {
            let who = if choose.asks_complexity() { "route" } else { "bandit" };
            walk.problem(field.place(), format!("nobody tells the {who} how good answers were"))
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

//! `limiter` of `[[pool]]`: how it is found out how many attempts each of its nodes takes at a time.

use super::keys::{KeyDef, KeyKind, NONE, SectionDef, Usual, between, key, one, section};
use super::problem::Place;
use super::table::Table;
use super::value::{Field, Walk, digits};
use crate::balance::{LIMITER_MAX, LimiterLaw, LimiterSpec};
use crate::unit::Ratio;

/// Ratios go so far.
const RATIO_MAX: f64 = 100.0;

/// Attempts that may queue go so far.
const QUEUE_MAX: u64 = 1_000;

/// A limiter by its name, or with settings.
pub(super) const LIMITER: KeyKind = KeyKind::Any(LIMITER_FORMS);
const LIMITER_FORMS: &[KeyKind] =
    &[KeyKind::Word(&["aimd", "gradient"]), NONE, KeyKind::Variant(&LAWS, "limiter")];

static LAWS: SectionDef = SectionDef {
    keys: &[
        one(
            "aimd",
            KeyKind::Table(&AIMD),
            "up by one while first tokens come in time, down by a part when they are late",
        ),
        one(
            "gradient",
            KeyKind::Table(&GRADIENT),
            "by how much longer first tokens take now than they did",
        ),
    ],
    ..section("limiter", "")
};

static AIMD: SectionDef = SectionDef {
    keys: &[
        INITIAL,
        MIN,
        MAX,
        key(
            "above",
            between(1.01, RATIO_MAX),
            Usual::Number(2.0),
            "late is so many times as long as on the same node when it is idle",
        ),
        key(
            "cut",
            between(0.1, 0.99),
            Usual::Number(0.9),
            "a limit that was too high is multiplied by this",
        ),
    ],
    ..section("aimd", "")
};

static GRADIENT: SectionDef = SectionDef {
    keys: &[
        INITIAL,
        MIN,
        MAX,
        key(
            "tolerance",
            between(1.0, RATIO_MAX),
            Usual::Number(1.5),
            "so many times as long as usual is still good",
        ),
        key(
            "queue",
            KeyKind::Whole(0, QUEUE_MAX),
            Usual::Whole(4),
            "attempts that may queue on a node",
        ),
        key(
            "smoothing",
            between(0.01, 1.0),
            Usual::Number(0.2),
            "the part of a new limit that is taken at once",
        ),
    ],
    ..section("gradient", "")
};

const LIMIT: KeyKind = KeyKind::Whole(1, LIMITER_MAX as u64);
const INITIAL: KeyDef = key(
    "initial",
    LIMIT,
    Usual::Unsaid("20, or what `min` and `max` leave"),
    "the limit at the start",
);
const MIN: KeyDef = key("min", LIMIT, Usual::Whole(1), "the limit is never lower");
const MAX: KeyDef = key(
    "max",
    LIMIT,
    Usual::Unsaid("1_000, or what `min` and `initial` ask for"),
    "the limit is never higher",
);

/// Reads `"aimd"`, `"gradient"`, `"none"`, or with settings `{ aimd = { initial = 8, max = 64 } }`.
pub(super) fn read(walk: &mut Walk, field: Field<'_>) -> Option<LimiterSpec> {
    let usual = |name: &str| match name {
        "aimd" => Some(LimiterSpec::new(LimiterLaw::AIMD)),
        "gradient" => Some(LimiterSpec::new(LimiterLaw::GRADIENT)),
        _ => None,
    };
    if !field.is_table() {
        return walk.one_of(field, "limiter").and_then(usual);
    }
    let (name, inner) = walk.variant(field)?;
    let mut spec = usual(name)?;
    let mut table = walk.table(inner)?;
    bounds(walk, &mut table, &mut spec);
    match &mut spec.law {
        LimiterLaw::Aimd { above, cut } => {
            ratio(walk, &mut table, "above", above);
            ratio(walk, &mut table, "cut", cut);
        }
        LimiterLaw::Gradient { tolerance, queue, smoothing } => {
            ratio(walk, &mut table, "tolerance", tolerance);
            *queue = table.count(walk, "queue").map_or(*queue, |queue| queue as u32);
            ratio(walk, &mut table, "smoothing", smoothing);
        }
    }
    table.finish(walk);
    Some(spec)
}

fn ratio(walk: &mut Walk, table: &mut Table<'_>, key: &'static str, into: &mut Ratio) {
    *into = table.number(walk, key).map_or(*into, Ratio::from_f64);
}

/// `initial`, `min` and `max`. A bound that is said moves an `initial` that is not.
fn bounds(walk: &mut Walk, table: &mut Table<'_>, spec: &mut LimiterSpec) {
    let initial_field = table.take("initial");
    let mut limit = |field: Option<Field<'_>>| walk.count(field?).map(|limit| limit as u32);
    let initial = limit(initial_field);
    let (min, max) = (limit(table.take("min")), limit(table.take("max")));
    spec.min = min.unwrap_or(spec.min);
    spec.max = max.unwrap_or_else(|| spec.max.max(spec.min).max(initial.unwrap_or(1)));
    if spec.max < spec.min {
        let message = format!("`max` ({}) must not be below `min` ({})", spec.max, spec.min);
        wrong(walk, table.key_place("max"), message);
        spec.max = spec.min;
    }
    spec.initial = initial.unwrap_or(spec.initial).clamp(spec.min, spec.max);
    if let (Some(field), Some(initial)) = (initial_field, initial.filter(|i| *i != spec.initial)) {
        let range = [spec.min, spec.max].map(|limit| digits(u64::from(limit)));
        let message = format!("`initial` ({initial}) must be from {} to {}", range[0], range[1]);
        wrong(walk, field.place(), message);
    }
}

fn wrong(walk: &mut Walk, place: &Place, message: String) {
    walk.problem(place, message).label("outside its bounds");
}

#[cfg(test)]
mod tests {
    use super::super::tests::of_one_node;
    use super::super::{Problems, Scenario};
    use super::*;

    fn with(limiter: &str) -> Result<Scenario, Problems> {
        of_one_node("", &format!("limiter = {limiter}\n"))
    }

    fn limiter(words: &str) -> Option<LimiterSpec> {
        with(words).unwrap_or_else(|problems| panic!("{problems}")).balancer.pools[0].limiter
    }

    #[test]
    fn limiters_are_read_with_their_defaults() {
        assert_eq!(limiter("\"none\""), None);
        let aimd = LimiterSpec::new(LimiterLaw::AIMD);
        assert_eq!(limiter("\"aimd\""), Some(aimd));
        assert_eq!(limiter("\"gradient\""), Some(LimiterSpec::new(LimiterLaw::GRADIENT)));
        assert_eq!(
            limiter("{ aimd = { max = 12 } }"),
            Some(LimiterSpec { initial: 12, max: 12, ..aimd })
        );
        let said = "{ gradient = { initial = 8, min = 2, max = 64, tolerance = 2, queue = 1, smoothing = 0.5 } }";
        let law = LimiterLaw::Gradient {
            tolerance: Ratio(2_000_000),
            queue: 1,
            smoothing: Ratio(500_000),
        };
        assert_eq!(limiter(said), Some(LimiterSpec { law, initial: 8, min: 2, max: 64 }));
    }

    #[test]
    fn draws_what_is_wrong_with_limiters() {
        let wrong = [
            "\"amid\"",
            "{ aimd = { initial = 5, min = 9, above = 1 } }",
            "{ aimd = { tolerance = 2, min = 20, max = 10 } }",
            "{ gradient = { smoothing = 0, queue = -1, initial = 2_000_000 } }",
            "\"aimd\"\nbatch = { size = 4, window = \"20ms\" }",
        ];
        let drawn = wrong.map(|words| with(words).expect_err("it is wrong").to_string());
        insta::assert_snapshot!(drawn.join("\n\n"));
    }
}

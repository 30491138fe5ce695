//! `limiter` of `[[pool]]`: how it is found out how many attempts each of its nodes takes at a time.

use super::problem::Place;
use super::value::{Field, Table, Walk, digits};
use crate::balance::{LIMITER_MAX, LimiterLaw, LimiterSpec};
use crate::unit::Ratio;

const LAWS: &[&str] = &["aimd", "gradient", "none"];

/// Ratios go so far.
const RATIO_MAX: f64 = 100.0;

/// Attempts that may queue go so far.
const QUEUE_MAX: u64 = 1_000;

/// Reads `"aimd"`, `"gradient"`, `"none"`, or with settings `{ aimd = { initial = 8, max = 64 } }`.
pub(super) fn read(walk: &mut Walk, field: Field<'_>) -> Option<LimiterSpec> {
    let usual = |name: &str| match name {
        "aimd" => Some(LimiterSpec::new(LimiterLaw::AIMD)),
        "gradient" => Some(LimiterSpec::new(LimiterLaw::GRADIENT)),
        _ => None,
    };
    if !field.is_table() {
        let text = walk.text(field)?;
        return walk.known(field.place(), "limiter", text, LAWS, &[]).and_then(usual);
    }
    let (name, inner) = walk.variant(field, "limiter", &LAWS[..2], &[])?;
    let mut spec = usual(name)?;
    let mut table = walk.table(inner, &format!("`{name}`"))?;
    bounds(walk, &mut table, &mut spec);
    match &mut spec.law {
        LimiterLaw::Aimd { above, cut } => {
            let most = |walk: &mut Walk, field| between(walk, field, 1.01, RATIO_MAX);
            keep(above, table.take("above").and_then(|field| most(walk, field)));
            let part = |walk: &mut Walk, field| between(walk, field, 0.1, 0.99);
            keep(cut, table.take("cut").and_then(|field| part(walk, field)));
        }
        LimiterLaw::Gradient { tolerance, queue, smoothing } => {
            let most = |walk: &mut Walk, field| between(walk, field, 1.0, RATIO_MAX);
            keep(tolerance, table.take("tolerance").and_then(|field| most(walk, field)));
            let attempts = table.take("queue").and_then(|field| walk.count(field, 0..=QUEUE_MAX));
            *queue = attempts.map_or(*queue, |queue| queue as u32);
            let part = |walk: &mut Walk, field| between(walk, field, 0.01, 1.0);
            keep(smoothing, table.take("smoothing").and_then(|field| part(walk, field)));
        }
    }
    table.finish(walk, &[]);
    Some(spec)
}

fn keep(into: &mut Ratio, read: Option<Ratio>) {
    *into = read.unwrap_or(*into);
}

fn between(walk: &mut Walk, field: Field<'_>, least: f64, most: f64) -> Option<Ratio> {
    let number = walk.number(field)?;
    if !(least..=most).contains(&number) {
        walk.must_be(field, &format!("a number from {least} to {most}"));
        return None;
    }
    Some(Ratio::from_f64(number))
}

/// `initial`, `min` and `max`. A bound that is said moves an `initial` that is not.
fn bounds(walk: &mut Walk, table: &mut Table<'_>, spec: &mut LimiterSpec) {
    let initial_field = table.take("initial");
    let mut limit = |field: Option<Field<'_>>| {
        walk.count(field?, 1..=u64::from(LIMITER_MAX)).map(|limit| limit as u32)
    };
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

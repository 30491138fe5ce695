//! `[quality]`: how good the answers of each model are, who scores them and who says so.

use super::class::CLASSES_MAX;
use super::dist::{DURATION, read as read_dist};
use super::keys::{
    KeyKind, POSITIVE_SPAN, SHARE, SectionDef, Usual, above_zero, between, key, need, section,
};
use super::names::Names;
use super::pool::NODES_MAX;
use super::value::{Field, Walk};
use crate::dist::Dist;
use crate::unit::{Ratio, Span, Time};
use crate::workload::QualitySpec;
use crate::workload::quality::ByClass;

/// Qualities change at most so often.
pub const CHANGES_MAX: usize = 1_000;

/// A scorer that is right where nothing else is said.
pub const AUC_DEFAULT: f64 = 1.0;

/// The mean time after which feedback comes where nothing else is said, in seconds.
pub const FEEDBACK_AFTER: f64 = 60.0;

/// `[quality]`.
pub(super) static QUALITY: SectionDef = SectionDef {
    keys: &[
        need("models", QUALITIES, "how many answers of each model are good"),
        key(
            "difficulty",
            SHARE,
            Usual::Number(0.0),
            "how much of what makes an answer bad lies in its request, for every model alike",
        ),
        key(
            "scorer",
            KeyKind::Table(&SCORER),
            Usual::Unsaid("it is always right"),
            "who tells a cascade how good an answer is",
        ),
        key(
            "feedback",
            KeyKind::Table(&FEEDBACK),
            Usual::Unsaid("nobody says anything"),
            "users who say later how good an answer was",
        ),
        key(
            "change",
            KeyKind::Tables(&CHANGE, CHANGES_MAX),
            Usual::Unsaid("qualities stay"),
            "how good answers are from some time on",
        ),
    ],
    ..section("quality", "`[quality]`")
};

/// Twice as many names as there can be nodes: a name too many is told by itself.
const QUALITIES: KeyKind = KeyKind::Map("model", &BY_CLASS, 2 * NODES_MAX);
const BY_CLASS: KeyKind = KeyKind::Any(&[SHARE, KeyKind::Map("class", &SHARE, 2 * CLASSES_MAX)]);

static SCORER: SectionDef = SectionDef {
    keys: &[need(
        "auc",
        between(0.5, 1.0),
        "how often it ranks a good answer above a bad one: 0.5 is a coin, 1 is always",
    )],
    ..section("scorer", "")
};

static FEEDBACK: SectionDef = SectionDef {
    keys: &[
        need("share", above_zero(1.0), "the share of the answers that is judged"),
        key(
            "after",
            DURATION,
            Usual::Unsaid("exponential, a minute in the mean"),
            "how long after the answer",
        ),
    ],
    ..section("feedback", "")
};

static CHANGE: SectionDef = SectionDef {
    keys: &[
        need("at", POSITIVE_SPAN, "when; changes stand in order of time"),
        need("models", QUALITIES, "how many answers of each model are good from then on"),
    ],
    ..section("change", "`[[change]]`")
};

/// Whether a scorer has something to score.
pub(super) fn known_scorer(quality: Option<&QualitySpec>) -> bool {
    quality.is_some_and(|quality| quality.models.iter().any(|times| !times.is_empty()))
}

pub(super) fn read(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    models: &Names,
    classes: &Names,
) -> Option<QualitySpec> {
    let mut table = walk.table(field?)?;
    let mut spec = QualitySpec {
        models: vec![Vec::new(); models.len()],
        difficulty: table.number(walk, "difficulty").unwrap_or_default(),
        auc: AUC_DEFAULT,
        feedback: None,
    };
    if let Some(field) = table.need(walk, "models") {
        qualities(walk, field, Time::ZERO, models, classes, &mut spec);
    }
    if let Some(field) = table.take("scorer")
        && let Some(mut inner) = walk.table(field)
    {
        if let Some(field) = inner.need(walk, "auc")
            && let Some(auc) = walk.finite(field)
        {
            if field.range().contains(auc) {
                spec.auc = auc;
            } else {
                walk.must_be(field, "from 0.5 (no better than a coin) to 1 (always right)");
            }
        }
        inner.finish(walk);
    }
    if let Some(field) = table.take("feedback")
        && let Some(mut inner) = walk.table(field)
    {
        let share = inner.number(walk, "share");
        let after = inner.take("after").and_then(|field| read_dist(walk, field));
        let after = after.or_else(|| Dist::exponential(FEEDBACK_AFTER).ok());
        inner.finish(walk);
        spec.feedback = share.map(Ratio::from_f64).zip(after);
    }
    changes(walk, table.take("change"), models, classes, &mut spec);
    table.finish(walk);
    Some(spec)
}

/// `change = [{ at = "10m", models = { ... } }]`, in order of time.
fn changes(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    models: &Names,
    classes: &Names,
    spec: &mut QualitySpec,
) {
    let mut last = Span::ZERO;
    for mut table in walk.tables(field) {
        let at = table.need(walk, "at").and_then(|field| {
            let at = walk.span(field)?;
            if at < last {
                walk.must_be(field, &format!("{last} or later: changes are in order of time"));
                return None;
            }
            last = at;
            Some(at)
        });
        if let Some(field) = table.need(walk, "models") {
            let at = Time::ZERO + at.unwrap_or_default();
            qualities(walk, field, at, models, classes, spec);
        }
        table.finish(walk);
    }
}

/// `{ "gpt-4o" = { easy = 0.98, hard = 0.93 }, "small" = 0.7 }`.
fn qualities(
    walk: &mut Walk,
    field: Field<'_>,
    at: Time,
    models: &Names,
    classes: &Names,
    spec: &mut QualitySpec,
) {
    let list = walk.map_upto(field, models.len().max(1) * 2);
    if list.is_empty() {
        walk.problem(field.place(), "`models` names no model").label("empty");
    }
    for (name, place, value) in list {
        let model = models.find_name(walk, name, place);
        let by_class = by_class(walk, value, classes);
        let Some((model, by_class)) = model.zip(by_class) else { continue };
        if at > Time::ZERO && spec.models[model].is_empty() {
            walk.problem(place, "how good its answers are before that is not said")
                .label("only a change is known")
                .help("name the model under `models` of `[quality]` too");
        }
        spec.models[model].push((at, by_class));
    }
}

/// One number for all classes, or one for each.
fn by_class(walk: &mut Walk, field: Field<'_>, classes: &Names) -> Option<ByClass> {
    if !field.is_table() {
        let all = walk.number(field)?;
        return Some(vec![all; classes.len()]);
    }
    let mut table: Vec<Option<f64>> = vec![None; classes.len()];
    let before = walk.problems.len();
    for (name, place, value) in walk.map_upto(field, classes.len().max(1) * 2) {
        let class = classes.find_name(walk, name, place);
        let quality = walk.number(value);
        if let Some((class, quality)) = class.zip(quality) {
            table[class] = Some(quality);
        }
    }
    if walk.problems.len() > before {
        return None;
    }
    if let Some(missing) = table.iter().position(Option::is_none) {
        let name = &classes.list()[missing];
        walk.problem(field.place(), format!("nothing is said of class `{name}`"))
            .label("a number for each class")
            .help("or one number for all of them");
        return None;
    }
    Some(table.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;

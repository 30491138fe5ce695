//! `strategy = "random"` or `{ power_of_two = { choices = 4 } }`, checked against the registry.

use super::document::Kind;
use super::keys::KeyKind;
use super::problem::{Place, quote};
use super::value::{Field, Walk, join, suggest};
use crate::balance::{REGISTRY, Setting, SettingKind, StrategySpec, score};
use crate::unit::Span;

pub(super) fn read(walk: &mut Walk, field: Field<'_>) -> Option<StrategySpec> {
    let names: Vec<&'static str> = REGISTRY.iter().map(|entry| entry.name).collect();
    if !field.is_table() {
        let name = walk.text(field)?;
        return named(walk, field, name, &names);
    }
    let (name, settings) = walk.named(field, "strategy", &names, &[])?;
    let mut spec = StrategySpec::named(name)?;
    if name == "score" && !settings.is_table() {
        // `{ score = "..." }` is as good as `{ score = { formula = "..." } }`.
        let formula = &spec.entry().settings[0];
        let kind = KeyKind::of_setting(formula.kind);
        set(walk, &mut spec, formula, Field { kind, ..settings });
        return Some(spec);
    }
    let Kind::Table(entries) = &settings.value.kind else {
        walk.must_be(settings, "a table of settings");
        return None;
    };
    for entry in entries {
        let known = spec.entry().settings;
        let Some(setting) = known.iter().find(|setting| setting.name == entry.key) else {
            let help = suggest("setting", &entry.key, known.iter().map(|setting| setting.name));
            let message = format!("`{name}` has no setting {}", quote(&entry.key));
            walk.problem(&entry.place, message).label("not a setting").help(help);
            continue;
        };
        let kind = KeyKind::of_setting(setting.kind);
        let value = Field { name: &entry.key, value: &entry.value, kind };
        set(walk, &mut spec, setting, value);
    }
    Some(spec)
}

fn named(
    walk: &mut Walk,
    field: Field<'_>,
    name: &str,
    names: &[&'static str],
) -> Option<StrategySpec> {
    let spec = StrategySpec::named(name);
    if spec.is_none() {
        let mut help = suggest("strategy", name, names.iter().copied());
        if !help.starts_with("there is") {
            help.push_str("\nall strategies: ");
            help.push_str(&join(names));
        }
        walk.problem(field.place(), format!("unknown strategy {}", quote(name)))
            .label("not a strategy")
            .help(help);
    }
    spec
}

fn set(
    walk: &mut Walk,
    spec: &mut StrategySpec,
    setting: &Setting,
    field: Field<'_>,
) -> Option<()> {
    let value = match setting.kind {
        SettingKind::Count { .. } => walk.count(field)?,
        SettingKind::Span { .. } => walk.span(field).map(|Span(nanos)| nanos)?,
        SettingKind::Ratio { .. } => (walk.number(field)? * 1e6).round() as u64,
        SettingKind::Choice(words) => {
            let word = walk.one_of(field, setting.name)?;
            words.iter().position(|choice| *choice == word)? as u64
        }
        SettingKind::Formula => {
            let formula = walk.text(field)?;
            match score::check(formula) {
                Ok(()) => spec.set_formula(formula),
                Err(error) => refuse(walk, field, formula, &error),
            }
            return Some(());
        }
    };
    if let Err(wanted) = spec.set(setting.name, value) {
        walk.must_be(field, &wanted).help(setting.about);
    }
    Some(())
}

/// Tells what is wrong with a formula, with the term that was perhaps meant.
fn refuse(walk: &mut Walk, field: Field<'_>, formula: &str, error: &score::FormulaError) {
    let terms: Vec<&'static str> = score::TERMS.iter().map(|(term, _)| *term).collect();
    let help = match &error.unknown {
        Some(term) => suggest("term", term, terms.iter().copied()),
        None => format!("terms are {}", join(&terms)),
    };
    let place = match field.place() {
        // The text of a plain string begins after its quote; escapes would move what follows.
        Place::Span(span) if span.len() == formula.len() + 2 => {
            let from = span.start + 1 + error.at;
            Place::Span(from..from + error.len)
        }
        other => other.clone(),
    };
    walk.problem(&place, format!("the formula is wrong: {}", error.reason))
        .label("here")
        .help(help);
}

//! `shed` and `degrade` of `[balancer]`: who is turned away under load, and what else is given up.

use super::keys::{
    KeyDef, KeyKind, NONE, POSITIVE_SPAN, SHARE, SectionDef, Usual, between, key, section, upto,
};
use super::table::Table;
use super::value::{Field, Walk};
use crate::balance::{DegradeLevel, DegradeSpec, Priority, SATURATION_MAX, ShedSpec};
use crate::unit::{Ratio, Span, Tokens};

/// Answers are clamped to so many tokens at most.
const TOKENS_MAX: u64 = 1_000_000;

/// The hysteresis goes so far.
const HYSTERESIS_MAX: f64 = 1.0;

/// From one on whoever comes waits for half a service.
const THRESHOLD: KeyKind = KeyKind::Any(&[between(0.01, SATURATION_MAX.value()), NONE]);

/// A threshold that is not said gives way to those that are.
const fn threshold_key(name: &'static str, usual: Usual, about: &'static str) -> KeyDef {
    key(name, THRESHOLD, usual, about)
}

pub(super) static SHED: SectionDef = SectionDef {
    keys: &[
        threshold_key(
            "sheddable",
            Usual::Number(0.7),
            "the saturation at which requests of this priority are turned away",
        ),
        threshold_key("normal", Usual::Number(0.85), "the same of this priority"),
        threshold_key("high", Usual::Number(1.0), "the same of this priority"),
        threshold_key("critical", Usual::Word("none"), "the same of this priority"),
        key(
            "hysteresis",
            upto(HYSTERESIS_MAX),
            Usual::Number(0.1),
            "shedding ends so far below its threshold",
        ),
    ],
    ..section("shed", "")
};

pub(super) static DEGRADE: SectionDef = SectionDef {
    keys: &[
        threshold_key(
            "hedges",
            Usual::Number(0.6),
            "the saturation at which there are no second attempts beside late ones",
        ),
        threshold_key("queue", Usual::Number(0.7), "at which fewer wait, and not as long"),
        threshold_key("shed", Usual::Number(0.8), "at which what is sheddable is turned away"),
        threshold_key("clamp", Usual::Number(0.9), "at which answers have at most `max_tokens`"),
        threshold_key(
            "cheaper",
            Usual::Number(1.0),
            "at which the pools a route degrades to come first",
        ),
        threshold_key(
            "reject",
            Usual::Number(1.2),
            "at which everything that is not critical is turned away",
        ),
        key(
            "hysteresis",
            upto(HYSTERESIS_MAX),
            Usual::Number(0.1),
            "a step ends so far below its threshold",
        ),
        key(
            "stay",
            POSITIVE_SPAN,
            Usual::Span(Span::from_secs(5)),
            "and not earlier than this after it began",
        ),
        key(
            "places",
            SHARE,
            Usual::Number(0.25),
            "the share of the waiting room that `queue` leaves",
        ),
        key(
            "max_tokens",
            KeyKind::Whole(1, TOKENS_MAX),
            Usual::Whole(256),
            "tokens that `clamp` leaves of an answer",
        ),
    ],
    ..section("degrade", "")
};

/// A threshold: a saturation, or "none" for never.
fn threshold(walk: &mut Walk, field: Field<'_>) -> Option<Option<Ratio>> {
    if field.is_none() {
        return Some(None);
    }
    let at = walk.finite(field)?;
    if !field.range().contains(at) {
        walk.must_be(field, "a saturation from 0.01 to 2, or \"none\"")
            .label("at one, whoever comes waits for half a service");
        return None;
    }
    Some(Some(Ratio::from_f64(at)))
}

/// Reads thresholds of these names, and notes one that is below an earlier one in their order.
fn thresholds<const N: usize>(
    walk: &mut Walk,
    table: &mut Table<'_>,
    names: [&'static str; N],
    usual: [Option<Ratio>; N],
    order: &str,
) -> [Option<Ratio>; N] {
    let mut at = usual;
    let mut said = [false; N];
    for (place, name) in names.into_iter().enumerate() {
        if let Some(read) = table.take(name).and_then(|field| threshold(walk, field)) {
            (at[place], said[place]) = (read, true);
        }
    }
    // What is not said gives way to what is.
    for (place, said) in said.iter().enumerate() {
        let (before, after) = at.split_at_mut(place);
        let low = before.iter().flatten().max().copied();
        if let (Some(this), Some(low), false) = (&mut after[0], low, said) {
            *this = (*this).max(low);
        }
    }
    for (place, said) in said.iter().enumerate().rev() {
        let (before, after) = at.split_at_mut(place + 1);
        let high = after.iter().flatten().min().copied();
        if let (Some(this), Some(high), false) = (&mut before[place], high, said) {
            *this = (*this).min(high);
        }
    }
    // So only what is said can contradict what is said.
    for place in (1..N).filter(|place| said[*place]) {
        let before = (0..place).rev().filter(|other| said[*other]);
        let before = before.into_iter().find_map(|other| Some((other, at[other]?)));
        if let (Some(this), Some((other, low))) = (at[place], before)
            && this < low
        {
            let (name, least) = (names[place], names[other]);
            let (this, low) = (this.value(), low.value());
            let message = format!("`{name}` ({this}) must not be below `{least}` ({low})");
            walk.problem(table.key_place(name), message).label(order);
        }
    }
    at
}

fn hysteresis(
    walk: &mut Walk,
    table: &mut Table<'_>,
    usual: Ratio,
    lowest: Option<Ratio>,
) -> Ratio {
    let field = table.take("hysteresis");
    let read = field.and_then(|field| walk.number(field)).map(Ratio::from_f64);
    let Some(lowest) = lowest else { return read.unwrap_or(usual) };
    // By itself it is never in the way.
    let value = read.unwrap_or_else(|| usual.min(Ratio(lowest.0 / 2)));
    if let (Some(field), true) = (field, value >= lowest) {
        let (value, lowest) = (value.value(), lowest.value());
        let message = format!("`hysteresis` ({value}) must be below every threshold ({lowest})");
        walk.problem(field.place(), message).label("it would never end");
    }
    value
}

/// Reads `{ critical = 1.2, high = 1.0, normal = 0.85, sheddable = 0.7, hysteresis = 0.1 }`, all of
/// it optional, or `"none"`.
pub(super) fn shed(walk: &mut Walk, field: Option<Field<'_>>) -> Option<ShedSpec> {
    let field = field.filter(|field| !field.is_none())?;
    let mut table = walk.table(field)?;
    let usual = ShedSpec::default();
    let mut names = Priority::ALL.map(Priority::name);
    names.reverse();
    let mut at = usual.at;
    at.reverse();
    let order = "who matters more is shed later";
    let mut at = thresholds(walk, &mut table, names, at, order);
    let lowest = at.iter().flatten().min().copied();
    // Never is higher than any threshold.
    if let Some(never) = at.iter().position(Option::is_none)
        && let Some(later) = (never..4).find(|place| at[*place].is_some())
    {
        let (name, least) = (names[later], names[never]);
        let message = format!("`{name}` must be \"none\" where `{least}` is");
        walk.problem(table.key_place(name), message).label(order);
    }
    let hysteresis = hysteresis(walk, &mut table, usual.hysteresis, lowest);
    table.finish(walk);
    at.reverse();
    Some(ShedSpec { at, hysteresis })
}

/// Reads thresholds by level, `hysteresis`, `stay`, `places` and `max_tokens`, all of it optional, or
/// `"none"`.
pub(super) fn degrade(walk: &mut Walk, field: Option<Field<'_>>) -> Option<DegradeSpec> {
    let field = field.filter(|field| !field.is_none())?;
    let mut table = walk.table(field)?;
    let mut spec = DegradeSpec::default();
    let levels = DegradeLevel::ALL.map(DegradeLevel::name);
    spec.at = thresholds(walk, &mut table, levels, spec.at, "rungs are gone up in this order");
    let lowest = spec.at.iter().flatten().min().copied();
    spec.hysteresis = hysteresis(walk, &mut table, spec.hysteresis, lowest);
    spec.stay = table.span(walk, "stay").unwrap_or(spec.stay);
    spec.queue = table.number(walk, "places").map_or(spec.queue, Ratio::from_f64);
    spec.max_tokens = table.count(walk, "max_tokens").map_or(spec.max_tokens, Tokens);
    table.finish(walk);
    Some(spec)
}

#[cfg(test)]
mod tests {
    use super::super::tests::of_one_node;
    use super::*;

    fn read(balancer: &str) -> (Option<ShedSpec>, Option<DegradeSpec>) {
        let config =
            of_one_node(balancer, "").unwrap_or_else(|problems| panic!("{problems}")).balancer;
        config.check().expect("it does not contradict itself");
        (config.shed, config.degrade)
    }

    fn some(at: f64) -> Option<Ratio> {
        Some(Ratio::from_f64(at))
    }

    #[test]
    fn what_is_given_up_is_read_with_its_defaults() {
        assert_eq!(read(""), (None, None), "off unless asked for");
        assert_eq!(read("shed = \"none\"\ndegrade = \"none\""), (None, None));
        let usual = (Some(ShedSpec::default()), Some(DegradeSpec::default()));
        assert_eq!(read("shed = {}\ndegrade = {}"), usual);
        let shed = "shed = { critical = 1.2, high = 0.9, sheddable = 0.5, hysteresis = 0.2 }";
        let at = [some(1.2), some(0.9), some(0.85), some(0.5)];
        assert_eq!(read(shed).0, Some(ShedSpec { at, hysteresis: Ratio(200_000) }));
        // What is not said makes way.
        let at = [None, some(1.0), some(0.9), some(0.9)];
        assert_eq!(read("shed = { sheddable = 0.9 }").0.expect("on").at, at);
        let degrade = "degrade = { hedges = \"none\", clamp = 0.75, stay = \"1s\", places = 0.5, \
                       max_tokens = 64 }";
        let spec = read(degrade).1.expect("on");
        assert_eq!(spec.at, [None, some(0.7), some(0.75), some(0.75), some(1.0), some(1.2)]);
        assert_eq!((spec.stay, spec.queue), (Span::from_secs(1), Ratio(500_000)));
        assert_eq!(spec.max_tokens, Tokens(64));
    }

    #[test]
    fn draws_what_is_wrong_with_what_is_given_up() {
        let wrong = [
            "shed = { sheddable = 0.9, high = 0.8 }",
            "shed = { normal = \"none\", high = 1 }",
            "shed = { critcal = 1.2, hysteresis = 0.8 }",
            "degrade = { queue = 0.9, shed = 0.7, max_tokens = 0 }",
            "degrade = { hedges = 3, stay = \"0s\", places = 2, cached = 1 }",
        ];
        let drawn = wrong.map(|words| of_one_node(words, "").expect_err("it is wrong").to_string());
        insta::assert_snapshot!(drawn.join("\n\n"));
    }
}

//! A scenario as a file: as it was given, or, where the command line changed it, as it is then.

use std::fmt::Write as _;

use super::by_hand::seconds;
use super::document::{self, Entry, Kind};
use super::overrides::Override;
use crate::balance::{SettingKind, StrategySpec};
use crate::unit::Time;

/// Returns the text of a scenario with these changes in it. Without changes it is the text itself; with
/// them its values are all there, its comments are not. The text and the changes have been read before:
/// what cannot be read is left as it is.
#[must_use]
pub fn written(text: &str, overrides: &[Override]) -> String {
    let Ok(mut document) = document::read(text) else { return text.to_owned() };
    let changed = overrides.iter().all(|change| change.apply(&mut document).is_ok());
    if overrides.is_empty() || !changed { text.to_owned() } else { file(&document) }
}

/// A strategy with its settings, as a scenario says it.
#[must_use]
pub fn strategy_text(spec: &StrategySpec) -> String {
    let name = spec.name();
    if let Some(formula) = spec.formula() {
        return format!("{{ {name} = {} }}", quoted(formula));
    }
    let said = spec.settings().filter(|(setting, value)| {
        *value != setting.default && setting.kind != SettingKind::Formula
    });
    let said = said.map(|(setting, value)| {
        let shown = match setting.kind {
            SettingKind::Span { .. } => quoted(&seconds(Time(value))),
            SettingKind::Choice(_) => quoted(&setting.kind.show(value)),
            kind => kind.show(value),
        };
        format!("{} = {shown}", setting.name)
    });
    let said: Vec<String> = said.collect();
    match said.is_empty() {
        true => quoted(name),
        false => format!("{{ {name} = {{ {} }} }}", said.join(", ")),
    }
}

/// What is one value first, since it would belong to the last table otherwise.
fn file(document: &[Entry]) -> String {
    let mut text = String::new();
    let is_table = |entry: &&Entry| match &entry.value.kind {
        Kind::Table(_) => true,
        Kind::List(items) => matches!(items.first().map(|item| &item.kind), Some(Kind::Table(_))),
        _ => false,
    };
    // Writing to memory does not fail.
    for entry in document.iter().filter(|entry| !is_table(entry)) {
        let _ = writeln!(text, "{} = {}", key(&entry.key), value(&entry.value.kind));
    }
    for entry in document.iter().filter(is_table) {
        match &entry.value.kind {
            Kind::List(items) => {
                for item in items {
                    let _ = write!(text, "\n[[{}]]\n", key(&entry.key));
                    lines(&mut text, &item.kind);
                }
            }
            kind => {
                let _ = write!(text, "\n[{}]\n", key(&entry.key));
                lines(&mut text, kind);
            }
        }
    }
    text
}

fn lines(text: &mut String, kind: &Kind) {
    let Kind::Table(entries) = kind else { return };
    for entry in entries {
        let _ = writeln!(text, "{} = {}", key(&entry.key), value(&entry.value.kind));
    }
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::Text(text) => quoted(text),
        Kind::Whole(whole) => whole.map_or_else(String::new, |whole| whole.to_string()),
        Kind::Number(number) => format!("{number:?}"),
        Kind::Truth(truth) => truth.to_string(),
        // No scenario has a date.
        Kind::Date => String::new(),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(|item| value(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Table(entries) => {
            let entries = entries.iter();
            let entries: Vec<String> = entries
                .map(|entry| format!("{} = {}", key(&entry.key), value(&entry.value.kind)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn key(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::REGISTRY;
    use crate::scenario::{BUILTIN, Scenario};

    #[test]
    fn a_scenario_that_was_changed_reads_as_it_was_after_the_change() {
        for &(name, text) in BUILTIN {
            let overrides = [Override::seed(7), Override::strategy("power_of_two(choices=4)")];
            let read = |text: &str, overrides: &[Override]| {
                let read = Scenario::parse(name, name, text, overrides);
                let read = read.unwrap_or_else(|problems| panic!("{}", problems.draw(false)));
                format!(
                    "{:?} {:?} {:?} {:?}",
                    read.balancer, read.backends, read.faults, read.workflows
                )
            };
            let changed = written(text, &overrides);
            assert_eq!(read(&changed, &[]), read(text, &overrides), "{name}\n{changed}");
            assert_eq!(written(text, &[]), text, "what is not changed stays as it is");
        }
    }

    #[test]
    fn every_strategy_reads_as_it_is_written() {
        for entry in REGISTRY {
            let spec = StrategySpec::named(entry.name).expect("it is listed");
            assert_eq!(strategy_text(&spec), format!("\"{}\"", entry.name));
            for setting in entry.settings.iter().filter(|one| one.kind != SettingKind::Formula) {
                let mut other = spec.clone();
                let tried = [setting.default + 1, setting.default.saturating_sub(1)];
                let Some(_) = tried.iter().find(|value| other.set(setting.name, **value).is_ok())
                else {
                    continue;
                };
                let text = format!(
                    "requests = 1\n[[pool]]\nname = \"p\"\nstrategy = {}\n[[pool.node]]\nname = \"n\"\n\
                     price = {{ input = 1, output = 1 }}\n\
                     backend = {{ slots = {{ servers = 1, service = \"1s\" }} }}\n\
                     [workload]\narrivals = {{ poisson = {{ rate = 1 }} }}\n",
                    strategy_text(&other)
                );
                let read = Scenario::parse("t", "t", &text, &[]);
                let read = read.unwrap_or_else(|problems| panic!("{}", problems.draw(false)));
                assert_eq!(read.balancer.pools[0].strategy, other);
            }
        }
    }
}

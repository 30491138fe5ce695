//! A scenario as a file: as it was given, or, where the command line changed it, as it is then.

use super::by_hand::seconds;
use super::document::{self, Entry, Kind};
use super::overrides::Override;
use super::tree::{TreeTable, TreeValue, list, plain, text};
use crate::balance::{SettingKind, StrategySpec};
use crate::quote;
use crate::unit::Time;

/// Returns the text of a scenario with these changes in it and, where it says none, this name: under the
/// name of another file it would report as another scenario. Without changes it is the text itself; with
/// them its values are all there, its comments are not. The text and the changes have been read before:
/// what cannot be read is left as it is.
#[must_use]
pub fn written(text: &str, overrides: &[Override], name: &str) -> String {
    let Ok(mut document) = document::read(text) else { return text.to_owned() };
    let named = document.iter().any(|entry| entry.key == "name");
    let changed = overrides.iter().all(|change| change.apply(&mut document).is_ok());
    let file = match overrides.is_empty() || !changed {
        true => text.to_owned(),
        false => tree(&document).to_string(),
    };
    // At the top no table has begun yet.
    if named { file } else { format!("name = {}\n\n{file}", quote::toml(name)) }
}

/// A strategy with its settings, as a scenario says it.
#[must_use]
pub fn strategy_text(spec: &StrategySpec) -> String {
    let name = spec.name();
    if let Some(formula) = spec.formula() {
        return format!("{{ {name} = {} }}", quote::toml(formula));
    }
    let said = spec.settings().filter(|(setting, value)| {
        *value != setting.default && setting.kind != SettingKind::Formula
    });
    let said = said.map(|(setting, value)| {
        let shown = match setting.kind {
            SettingKind::Span { .. } => quote::toml(&seconds(Time(value))),
            SettingKind::Choice(_) => quote::toml(&setting.kind.show(value)),
            kind => kind.show(value),
        };
        format!("{} = {shown}", setting.name)
    });
    let said: Vec<String> = said.collect();
    match said.is_empty() {
        true => quote::toml(name),
        false => format!("{{ {name} = {{ {} }} }}", said.join(", ")),
    }
}

/// A table as a tree. Keys that are more than one word are in quotes.
fn tree(entries: &[Entry]) -> TreeTable {
    entries.iter().fold(TreeTable::default(), |table, entry| {
        table.with(&key(&entry.key), value(&entry.value.kind))
    })
}

fn value(kind: &Kind) -> TreeValue {
    match kind {
        Kind::Text(said) => text(said),
        Kind::Whole(whole) => plain(whole.unwrap_or_default()),
        Kind::Number(number) => plain(format!("{number:?}")),
        Kind::Truth(truth) => plain(truth),
        // No scenario has a date.
        Kind::Date => plain(""),
        Kind::List(items) => list(items.iter().map(|item| value(&item.kind))),
        Kind::Table(entries) => tree(entries).into(),
    }
}

fn key(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quote::toml(key) }
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
            let changed = written(text, &overrides, name);
            assert_eq!(read(&changed, &[]), read(text, &overrides), "{name}\n{changed}");
            let same = written(text, &[], name);
            assert_eq!(same, format!("name = \"{name}\"\n\n{text}"), "what is not changed stays");
            assert_eq!(written(&same, &[], "other"), same, "it has a name");
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

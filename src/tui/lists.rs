//! What overlays list, after what was typed to search them.

use crate::balance::usable;

use super::keys::{BINDINGS, Binding, Context, KeyAction};
use super::model::Model;

/// A line of the palette: an action with its keys, or a command that takes an argument.
#[derive(Clone, Debug)]
pub(super) struct PaletteEntry {
    /// What is typed after `:` to run it.
    pub(super) word: String,
    pub(super) keys: String,
    pub(super) about: &'static str,
    pub(super) group: &'static str,
    pub(super) run: PaletteRun,
}

/// What a line of the palette does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PaletteRun {
    /// What a key does, in this context.
    Action(Context, KeyAction),
    /// Writes the word, so that its argument can be typed.
    Argument(CommandWord),
}

/// A command that takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandWord {
    Speed,
    Kill,
    Heal,
    Strategy,
    Theme,
    View,
    Filter,
    Only,
    Compare,
}

impl CommandWord {
    pub(super) const ALL: [CommandWord; 9] = [
        CommandWord::Speed,
        CommandWord::Kill,
        CommandWord::Heal,
        CommandWord::Strategy,
        CommandWord::Theme,
        CommandWord::View,
        CommandWord::Filter,
        CommandWord::Only,
        CommandWord::Compare,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            CommandWord::Speed => "speed",
            CommandWord::Kill => "kill",
            CommandWord::Heal => "heal",
            CommandWord::Strategy => "strategy",
            CommandWord::Theme => "theme",
            CommandWord::View => "view",
            CommandWord::Filter => "filter",
            CommandWord::Only => "only",
            CommandWord::Compare => "compare",
        }
    }

    const fn about(self) -> &'static str {
        match self {
            CommandWord::Speed => "TIMES, or max",
            CommandWord::Kill | CommandWord::Heal => "NODE",
            CommandWord::Strategy => "NAME, of the selected pool",
            CommandWord::Theme => "dark, light, ansi, mono",
            CommandWord::View => "NAME",
            CommandWord::Filter => "state:down p99>2 NAME",
            CommandWord::Only => "NODE or CLASS in latency",
            CommandWord::Compare => "SCENARIO of the same traffic",
        }
    }
}

/// Returns the lines of the palette: what works in this view first. The whole key map is in it, so it
/// cannot be out of date.
pub(super) fn palette(model: &Model) -> Vec<PaletteEntry> {
    let here = Context::View(model.ui.view);
    let outside = |binding: &&Binding| !matches!(binding.context, Context::List | Context::Line);
    let (first, rest): (Vec<&Binding>, Vec<&Binding>) =
        BINDINGS.iter().filter(outside).partition(|binding| binding.works_in(here));
    let mut entries: Vec<PaletteEntry> = Vec::new();
    for binding in first.into_iter().chain(rest) {
        let word = binding.action.word();
        if entries.iter().any(|entry| entry.word == word) {
            continue;
        }
        let keys: Vec<String> =
            model.ui.keys.chords(binding).iter().take(2).map(|chord| chord.label()).collect();
        entries.push(PaletteEntry {
            word,
            keys: keys.join(" "),
            about: binding.action.help(),
            group: binding.action.group().name(),
            run: PaletteRun::Action(binding.context, binding.action),
        });
    }
    entries.extend(CommandWord::ALL.map(|command| PaletteEntry {
        word: command.word().to_owned(),
        keys: format!(":{}", command.word()),
        about: command.about(),
        group: "Commands",
        run: PaletteRun::Argument(command),
    }));
    let typed = &model.ui.typed;
    entries.retain(|entry| {
        matches(typed, &[&entry.word, entry.about, entry.group]) || entry.keys == *typed
    });
    // What begins as typed comes first; else the order stays.
    let typed = typed.trim().to_lowercase();
    entries.sort_by_key(|entry| match entry.word.strip_prefix(&typed) {
        _ if typed.is_empty() => 0,
        Some("") => 0,
        Some(_) => 1,
        None => 2,
    });
    entries
}

/// Returns the places of the strategies that match what was typed; the scenario's own is the first of all.
pub(super) fn strategies(model: &Model) -> Vec<usize> {
    let typed = &model.ui.typed;
    let planned = matches(typed, &["as in the scenario"]).then_some(0);
    let all = usable().iter().enumerate();
    let found = all.filter(|(_, entry)| matches(typed, &[entry.name, entry.summary]));
    planned.into_iter().chain(found.map(|(place, _)| place + 1)).collect()
}

/// Returns the places of the strategies that can be compared and match what was typed.
pub(super) fn contenders(model: &Model) -> Vec<usize> {
    let all = usable().iter().enumerate();
    let found = all.filter(|(_, entry)| matches(&model.ui.typed, &[entry.name, entry.summary]));
    found.map(|(place, _)| place).collect()
}

/// Returns the places of the pools that match what was typed.
pub(super) fn pools(model: &Model) -> Vec<usize> {
    let pools = model.snapshot().map_or(&[][..], |snapshot| &snapshot.pools);
    let all = pools.iter().enumerate();
    let found = all.filter(|(_, pool)| matches(&model.ui.typed, &[&pool.name, &pool.strategy]));
    found.map(|(place, _)| place).collect()
}

/// Whether every word that was typed is in one of the texts.
pub(super) fn matches(typed: &str, texts: &[&str]) -> bool {
    let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
    let typed = typed.to_lowercase();
    typed.split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
}

//! A run that a person steers: the scenario as it was given, and what was done by hand since, each with
//! its time. That is all there is of it: the same scenario and the same acts are the same run, so every
//! earlier moment, every fork and the file that is written are made from these two.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::failure::CliFailure;
use super::super::{Color, load};
use crate::balance::StrategySpec;
use crate::command::{Command, NodeGroup};
use crate::quote;
use crate::scenario::{Given, Override, Scenario, seconds, strategy_text, written};
use crate::sim::{Act, Deed};
use crate::unit::{NodeId, Time};

/// A scenario and what was done by hand.
#[derive(Clone)]
pub(in crate::cli) struct PlaySession {
    source: load::Source,
    overrides: Vec<Override>,
    color: Color,
    /// In order of time.
    deeds: Vec<DeedText>,
    /// The scenario with all of them.
    scenario: Scenario,
    /// How many of its acts the file had already.
    given: usize,
    /// What a run of it fails on, as it was asked for.
    fail_if: Vec<String>,
}

/// What was done, as a `[[by_hand]]` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DeedText {
    at: Time,
    text: String,
}

impl PlaySession {
    pub(in crate::cli) fn new(
        source: load::Source,
        overrides: Vec<Override>,
        color: Color,
    ) -> Result<PlaySession, CliFailure> {
        let scenario = source.scenario(&overrides, color)?;
        let given = scenario.acts.len();
        Ok(PlaySession {
            source,
            overrides,
            color,
            deeds: Vec::new(),
            scenario,
            given,
            fail_if: Vec::new(),
        })
    }

    /// What a run of it is to fail on.
    pub(super) fn fails_if(&mut self, conditions: &[String]) {
        self.fail_if = conditions.to_vec();
    }

    /// Returns whether something was done by key.
    pub(super) const fn has_deeds(&self) -> bool {
        !self.deeds.is_empty()
    }

    /// The command that repeats the run: of this file, in which everything is, or of what was given.
    pub(super) fn command(&self, file: Option<&str>) -> String {
        let mut words = vec!["plimsoll".to_owned(), "run".to_owned()];
        words.push(shell(file.unwrap_or(self.source.called())));
        if file.is_none() {
            let mut seeded = false;
            for change in &self.overrides {
                seeded |= change.path == "seed";
                match change.given {
                    Given::Flag => {
                        words.extend([format!("--{}", change.path), shell(&change.value)]);
                    }
                    Given::Set => {
                        let said = shell(&format!("{}={}", change.path, change.value));
                        words.extend(["--set".to_owned(), said]);
                    }
                }
            }
            if !seeded {
                words.extend(["--seed".to_owned(), self.scenario.seed.to_string()]);
            }
        }
        for condition in &self.fail_if {
            words.extend(["--fail-if".to_owned(), shell(condition)]);
        }
        words.join(" ")
    }

    /// The scenario with everything that was done.
    pub(in crate::cli) const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub(super) const fn color(&self) -> Color {
        self.color
    }

    /// Something is done. Returns it as a run takes it, or why it cannot be done.
    pub(super) fn add(&mut self, at: Time, text: &str) -> Result<Act, String> {
        self.scenario = self.with(at, text)?;
        self.deeds.push(DeedText { at, text: text.to_owned() });
        Ok(self.scenario.acts.last().cloned().expect("it was read"))
    }

    /// Returns the scenario as it would be if that were done.
    pub(in crate::cli) fn with(&self, at: Time, text: &str) -> Result<Scenario, String> {
        let deed = DeedText { at, text: text.to_owned() };
        self.read(self.deeds.iter().chain([&deed]))
    }

    /// Returns the same with another setting, and everything that was done.
    pub(super) fn with_override(&self, change: Override) -> Result<PlaySession, String> {
        let mut other = self.clone();
        other.overrides.push(change);
        other.scenario = other.read(other.deeds.iter())?;
        Ok(other)
    }

    /// Returns another scenario with the same seed, in which nothing was done by hand yet.
    pub(super) fn other(&self, name: &str) -> Result<PlaySession, String> {
        let source = load::Source::open(name).map_err(|failure| failure.message)?;
        let overrides = vec![Override::seed(self.scenario.seed)];
        let other = PlaySession::new(source, overrides, self.color);
        let other = other.map_err(|failure| failure.message)?;
        if let Some(what) = self.scenario.other_traffic(&other.scenario) {
            return Err(format!("{name} has other {what}: nothing could be told apart from that"));
        }
        Ok(other)
    }

    /// The next seed, and everything that was done.
    pub(super) fn reseed(&mut self) {
        let next = self.scenario.seed.wrapping_add(1);
        self.overrides.retain(|change| change.path != "seed");
        self.overrides.push(Override::seed(next));
        self.reread();
    }

    /// Forgets what was done later than that.
    pub(super) fn cut(&mut self, after: Time) {
        self.deeds.retain(|deed| deed.at <= after);
        self.reread();
    }

    /// Forgets what was done last, if it was not done before that.
    pub(super) fn take_back(&mut self, since: Time) {
        if self.deeds.last().is_some_and(|deed| deed.at >= since) {
            self.deeds.pop();
            self.reread();
        }
    }

    /// Forgets everything that was done.
    pub(super) fn clear(&mut self) {
        self.deeds.clear();
        self.reread();
    }

    /// What was done last by key, and when.
    pub(super) fn last(&self) -> Option<&Act> {
        self.scenario.acts[self.given..].last()
    }

    /// What undoes the last thing that was done, as a `[[by_hand]]` says it.
    pub(super) fn opposite(&self) -> Option<String> {
        let (last, before) = self.scenario.acts.split_last()?;
        (self.scenario.acts.len() > self.given).then_some(())?;
        Some(match &last.deed {
            Deed::Fault { nodes, .. } => self.heal(nodes)?,
            Deed::Heal(nodes) => {
                let fault = before.iter().rposition(
                    |act| matches!(&act.deed, Deed::Fault { nodes: hit, .. } if hit == nodes),
                )?;
                self.deeds.get(fault.checked_sub(self.given)?)?.text.clone()
            }
            Deed::Strategy(pool, _) => {
                let earlier = before.iter().rev().find_map(|act| match &act.deed {
                    Deed::Strategy(other, spec) if other == pool => Some(spec),
                    _ => None,
                });
                let usual = &self.scenario.balancer.pools.get(pool.index())?.strategy;
                self.switch(pool.index(), earlier.unwrap_or(usual))
            }
            Deed::Load(_) => format!("load = {}", load_after(before)),
        })
    }

    /// What a command does, as a `[[by_hand]]` says it; `None` if it does nothing to the run.
    pub(in crate::cli) fn deed(&self, command: &Command) -> Option<String> {
        Some(match command {
            Command::Kill(node) => format!("crash = {{ node = {} }}", self.node(*node)),
            Command::Heal(node) => self.heal(&[*node])?,
            Command::Strategy(pool, spec) => self.switch(pool.index(), spec),
            Command::Load(factor) => format!("load = {factor}"),
            Command::Do(text) => text.clone(),
            _ => return None,
        })
    }

    /// So many times as much arrives as the scenario says, after everything that was done.
    pub(super) fn load(&self) -> f64 {
        load_after(&self.scenario.acts)
    }

    /// Nodes that a region or a tag means.
    pub(super) fn groups(&self) -> Arc<[NodeGroup]> {
        load::groups(&self.scenario)
    }

    /// The file: the scenario as it was given, and what was done.
    pub(super) fn text(&self) -> String {
        let mut text = written(self.source.text(), &self.overrides, &self.scenario.name);
        self.deeds.iter().for_each(|deed| append(&mut text, deed));
        text
    }

    fn node(&self, node: NodeId) -> String {
        let label = self.scenario.labels.nodes.get(node.index());
        quote::toml(label.map_or("", |label| label.name.as_str()))
    }

    /// What heals exactly these nodes; `None` if no name means just them.
    fn heal(&self, nodes: &[NodeId]) -> Option<String> {
        let scenario = &self.scenario;
        let named = scenario.groups.iter().find(|(_, meant)| meant == nodes);
        let named = named.map(|(name, _)| ("node", name.clone()));
        let of_pool = |pool: usize| {
            let all = (0_u32..).zip(&scenario.balancer.nodes);
            let here = all.filter(move |(_, node)| node.pool.index() == pool);
            here.map(|(id, _)| NodeId(id)).eq(nodes.iter().copied())
        };
        let pool = || scenario.labels.pools.iter().enumerate().find(|(pool, _)| of_pool(*pool));
        let pool = || pool().map(|(_, name)| ("pool", name.clone()));
        let group = || self.groups().iter().find(|group| group.nodes == nodes).cloned();
        let group = || group().map(|group| (group.word, group.name));
        let (word, name) = named.or_else(pool).or_else(group)?;
        Some(format!("heal = {{ {word} = {} }}", quote::toml(&name)))
    }

    fn switch(&self, pool: usize, spec: &StrategySpec) -> String {
        let name = quote::toml(self.scenario.labels.pools.get(pool).map_or("", String::as_str));
        format!("strategy = {{ pool = {name}, use = {} }}", strategy_text(spec))
    }

    fn reread(&mut self) {
        // It was read before, with more in it.
        if let Ok(scenario) = self.read(self.deeds.iter()) {
            self.scenario = scenario;
        }
    }

    fn read<'a>(&self, deeds: impl Iterator<Item = &'a DeedText>) -> Result<Scenario, String> {
        let mut text = self.source.text().to_owned();
        deeds.for_each(|deed| append(&mut text, deed));
        self.source.reread(&text, &self.overrides).map_err(|problems| {
            let first = problems.list().first().map(|problem| problem.message.clone());
            first.unwrap_or_else(|| "it cannot be read".to_owned())
        })
    }
}

/// So many times as much arrives as the scenario says, after these acts.
fn load_after(acts: &[Act]) -> f64 {
    let last = acts.iter().rev().find_map(|act| match act.deed {
        Deed::Load(factor) => Some(factor),
        _ => None,
    });
    last.unwrap_or(1.0)
}

fn append(text: &mut String, deed: &DeedText) {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    // Writing to memory does not fail.
    let _ = write!(text, "\n[[by_hand]]\nat = \"{}\"\n{}\n", seconds(deed.at), deed.text);
}

/// A word as a shell takes it.
fn shell(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,+%@".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

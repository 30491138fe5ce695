//! What a run of many random cases came to, as text and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::quantity::count;
use crate::lab::chaos::{Case, Done, sentence};

/// What was built: the commit where the build was told of it, the version otherwise.
pub const BUILD: &str = match option_env!("PLIMSOLL_COMMIT") {
    Some(commit) => commit,
    None => concat!("version ", env!("CARGO_PKG_VERSION")),
};

/// A seed without a violation.
#[derive(Clone, Debug)]
pub struct Seed {
    /// What happened.
    pub done: Done,
    /// What was on.
    pub features: Vec<&'static str>,
}

/// The result.
#[derive(Clone, Debug)]
pub struct Result {
    /// 1.
    pub schema_version: u32,
    /// `chaos`.
    pub kind: &'static str,
    /// What was built.
    pub build: &'static str,
    /// Whether all seeds were looked at, or one failed.
    pub complete: bool,
    /// The first seed.
    pub first_seed: u64,
    /// Seeds that were to be looked at.
    pub planned: u64,
    /// Seeds without a violation; null where one failed and the others were left.
    pub held: Option<u64>,
    /// What happened in them, by what it is.
    pub happened: BTreeMap<&'static str, u64>,
    /// In how many of them a feature was on.
    pub features: BTreeMap<&'static str, u64>,
    /// What failed, if anything did.
    pub violation: Option<FailedSeed>,
}

/// A seed that violates an invariant.
#[derive(Clone, Debug)]
pub struct FailedSeed {
    /// Which.
    pub seed: u64,
    /// The invariant's number.
    pub invariant: String,
    /// The invariant in a sentence.
    pub sentence: &'static str,
    /// What contradicts it.
    pub said: String,
    /// When, in simulated seconds.
    pub at_s: f64,
    /// Smaller forms that were tried.
    pub tries: usize,
    /// The smallest scenario found that fails so.
    pub scenario: String,
}

impl Result {
    /// No seed failed; those that are `None` were not looked at.
    #[must_use]
    pub fn held(first_seed: u64, planned: u64, seeds: &[Option<Seed>]) -> Result {
        let mut happened = BTreeMap::new();
        let mut features = BTreeMap::new();
        let mut held = 0;
        for Seed { done, features: on } in seeds.iter().flatten() {
            held += 1;
            let counts = &done.counts;
            let pairs = [
                ("checks", done.inputs),
                ("events", counts.events),
                ("requests", counts.arrived),
                ("completed", counts.completed),
                ("failed", counts.failed),
                ("rejected", counts.rejected),
                ("attempts", counts.dispatched),
                ("retries", counts.retries),
                ("hedges", counts.hedges),
                ("ejections", counts.ejections),
                ("rests_after_429", counts.limited),
                ("run_twice_and_replayed", u64::from(done.thorough)),
                ("had_to_heal_and_did", u64::from(done.healed)),
            ];
            for (what, number) in pairs {
                *happened.entry(what).or_insert(0) += number;
            }
            for feature in on {
                *features.entry(*feature).or_insert(0) += 1;
            }
        }
        Result {
            schema_version: 1,
            kind: "chaos",
            build: BUILD,
            complete: held == planned,
            first_seed,
            planned,
            held: Some(held),
            happened,
            features,
            violation: None,
        }
    }

    /// A seed failed.
    #[must_use]
    pub fn failed(first_seed: u64, planned: u64, seed: u64, case: &Case) -> Result {
        let broken = &case.violation.broken;
        let failed = FailedSeed {
            seed,
            invariant: broken.invariant.clone(),
            sentence: sentence(&broken.invariant),
            said: broken.said.clone(),
            at_s: case.violation.at.seconds(),
            tries: case.tries,
            scenario: case.document.to_string(),
        };
        let nothing = Result::held(first_seed, planned, &[]);
        Result { complete: true, held: None, violation: Some(failed), ..nothing }
    }
}

/// As indented JSON with a line end.
#[must_use]
pub fn json(result: &Result) -> String {
    let mut text = serde_json::to_string_pretty(result).expect("plain data with text keys is JSON");
    text.push('\n');
    text
}

/// For people.
#[must_use]
pub fn text(result: &Result) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_text(&mut text, result);
    text
}

fn write_text(out: &mut String, result: &Result) -> std::fmt::Result {
    if let Some(failed) = &result.violation {
        let FailedSeed { seed, invariant, sentence, said, at_s, .. } = failed;
        writeln!(out, "VIOLATION of {invariant}: {sentence}")?;
        writeln!(out, "  {said}")?;
        writeln!(out, "  seed {seed}, {}, after {at_s} simulated seconds", result.build)?;
        writeln!(out, "  again: plimsoll chaos --seed {seed}\n")?;
        writeln!(out, "The smallest scenario found that fails so ({} tried):\n", failed.tries)?;
        return writeln!(out, "{}", failed.scenario.trim_end());
    }
    let held = result.held.unwrap_or(0);
    let part = if result.complete { "" } else { " (interrupted)" };
    writeln!(out, "{} of {} seeds, 0 violations{part}", count(held), count(result.planned))?;
    let last = result.first_seed + result.planned - 1;
    writeln!(out, "  seeds {} to {last}, {}\n", result.first_seed, result.build)?;
    for (what, number) in &result.happened {
        writeln!(out, "  {:<24} {:>14}", what.replace('_', " "), count(*number))?;
    }
    writeln!(out, "\n  seeds with")?;
    for (feature, number) in &result.features {
        writeln!(out, "    {feature:<22} {:>14}", count(*number))?;
    }
    Ok(())
}

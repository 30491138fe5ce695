//! `backend = { engine = { ... } }`: a self-hosted engine, by a profile or by its coefficients.
//!
//! `{ profile = "llama-3.1-8b/h100/vllm", kv_tokens = 400_000 }` takes a whole engine and changes some
//! of it; without a profile the law (`f`, `p1`) and the room (`kv_tokens`) have to be told. The bounds
//! are those of the node model.

use super::pool::named;
use super::problem::{Place, quote};
use super::profile::{self, Profile};
use super::value::{Field, Table, Walk, digits};
use crate::node::engine::{
    BLOCK_MAX, COEFFICIENT_MAX, EXPERTS_MAX, EngineSpec, KV_TOKENS_MAX, Moe, Overhead, SCALE_MAX,
    SEQS_MAX, STEP_TOKENS_MAX, StepLaw,
};
use crate::workload::ClassSpec;

/// Reads an engine.
pub(super) fn read(walk: &mut Walk, field: Field<'_>) -> Option<Profile<EngineSpec>> {
    let before = walk.problems.len();
    let mut table = walk.table(field, "`engine`")?;
    let named = named(walk, &mut table, profile::engine, profile::profiles().engine_names());
    // With a profile everything may be left out; one that is not known is no reason to ask for all.
    let bare = named.is_none();
    let base = named.flatten();
    let hourly = base.as_ref().and_then(|profile| profile.hourly);
    let mut spec =
        base.map_or_else(|| EngineSpec::new(StepLaw::default(), 1), |profile| profile.spec);
    let mut number = |table: &mut Table<'_>, key, needed: bool, into: &mut f64, max: f64| {
        let field = if needed { table.need(walk, key) } else { table.take(key) };
        if let Some(value) = field.and_then(|field| walk.upto(field, max)) {
            *into = value;
        }
    };
    number(&mut table, "f", bare, &mut spec.law.f, COEFFICIENT_MAX);
    number(&mut table, "p1", bare, &mut spec.law.p1, COEFFICIENT_MAX);
    number(&mut table, "p2", false, &mut spec.law.p2, COEFFICIENT_MAX);
    number(&mut table, "d1", false, &mut spec.law.d1, COEFFICIENT_MAX);
    number(&mut table, "d2", false, &mut spec.law.d2, COEFFICIENT_MAX);
    number(&mut table, "scale", false, &mut spec.scale, SCALE_MAX);
    if let Some(seqs) = count(walk, &mut table, "max_seqs", 1, u64::from(SEQS_MAX)) {
        spec.max_seqs = seqs as u32;
    }
    if let Some(tokens) = count(walk, &mut table, "step_tokens", 1, u64::from(STEP_TOKENS_MAX)) {
        spec.step_tokens = tokens as u32;
    }
    if let Some(block) = count(walk, &mut table, "block", 1, u64::from(BLOCK_MAX)) {
        spec.block = block as u32;
    }
    if bare && !table.has("kv_tokens") {
        table.need(walk, "kv_tokens");
    }
    if let Some(tokens) = count(walk, &mut table, "kv_tokens", 1, KV_TOKENS_MAX) {
        spec.kv_tokens = tokens;
    }
    if let Some(on) = table.take("prefix_cache").and_then(|field| walk.truth(field)) {
        spec.prefix_cache = on;
    }
    if let Some(field) = table.take("moe") {
        spec.law.moe = moe(walk, field).or(spec.law.moe);
    }
    if let Some(field) = table.take("overhead") {
        spec.overhead = overhead(walk, field);
    }
    let place = field.place();
    let checked = spec.checked();
    if walk.problems.len() == before
        && let Err(error) = &checked
    {
        let place = table.take(error.field).map_or(place, |field| field.place());
        walk.problem(place, error.to_string());
    }
    table.finish(walk, &["noise"]);
    checked.ok().map(|spec| Profile { spec, prices: None, hourly })
}

fn count(
    walk: &mut Walk,
    table: &mut Table<'_>,
    key: &'static str,
    min: u64,
    max: u64,
) -> Option<u64> {
    table.take(key).and_then(|field| walk.count(field, min..=max))
}

fn moe(walk: &mut Walk, field: Field<'_>) -> Option<Moe> {
    let mut table = walk.table(field, "`moe`")?;
    let d3 = table.need(walk, "d3").and_then(|field| walk.upto(field, COEFFICIENT_MAX));
    let p0 = table.take("p0").and_then(|field| walk.upto(field, COEFFICIENT_MAX));
    let max = u64::from(EXPERTS_MAX);
    let experts = table.need(walk, "experts").and_then(|field| walk.count(field, 1..=max));
    let max = experts.unwrap_or(max);
    let active = table.need(walk, "active").and_then(|field| walk.count(field, 1..=max));
    table.finish(walk, &[]);
    Some(Moe { d3: d3?, experts: experts? as u32, active: active? as u32, p0 })
}

fn overhead(walk: &mut Walk, field: Field<'_>) -> Overhead {
    let Some(mut table) = walk.table(field, "`overhead`") else {
        return Overhead::default();
    };
    let mut read = |key| {
        let value = table.take(key).and_then(|field| walk.upto(field, COEFFICIENT_MAX));
        value.unwrap_or_default()
    };
    let overhead = Overhead { a0: read("a0"), a1: read("a1"), a2: read("a2") };
    table.finish(walk, &[]);
    overhead
}

/// Notes engines that could not take a single request of ordinary length.
pub(super) fn check_room(walk: &mut Walk, engines: &[(Place, EngineSpec)], classes: &[ClassSpec]) {
    let shortest = classes.iter().min_by(|a, b| a.prompt.mean().total_cmp(&b.prompt.mean()));
    let Some(class) = shortest else { return };
    let mean = class.prompt.mean().round() as u64;
    for (place, spec) in engines {
        if spec.room() < mean {
            let room = digits(spec.room());
            let message =
                format!("the KV cache of this engine holds {room} tokens, less than a prompt");
            let why = format!(
                "prompts of class {} have {} tokens in the mean",
                quote(&class.name),
                digits(mean)
            );
            walk.problem(place, message)
                .label(why)
                .help("raise `kv_tokens`, or shorten `prompt_tokens`");
        }
    }
}

//! `backend = { engine = { ... } }`: a self-hosted engine, by a profile or by its coefficients.
//!
//! `{ profile = "llama-3.1-8b/h100/vllm", kv_tokens = 400_000 }` takes a whole engine and changes some
//! of it; without a profile the law (`f`, `p1`) and the room (`kv_tokens`) have to be told. The bounds
//! are those of the node model.

use super::backend::named;
use super::keys::{KeyDef, KeyKind, SectionDef, TEXT, Usual, key, need, section, upto};
use super::problem::{Place, quote};
use super::profile::{self, Profile};
use super::value::{Field, Walk, digits};
use crate::node::engine::{
    BLOCK_MAX, COEFFICIENT_MAX, EXPERTS_MAX, EngineSpec, KV_TOKENS_MAX, Moe, Overhead, SCALE_MAX,
    SEQS_MAX, STEP_TOKENS_MAX, StepLaw,
};
use crate::workload::ClassSpec;

/// An engine: without a profile `f`, `p1` and `kv_tokens` must be said.
pub(super) static ENGINE: SectionDef = SectionDef {
    keys: &[
        key(
            "profile",
            TEXT,
            Usual::Unsaid("none"),
            "a built-in engine; what else is said takes the place of its own",
        ),
        key("f", COEFFICIENT, Usual::NeededUnless("profile"), "milliseconds of every step"),
        key("p1", COEFFICIENT, Usual::NeededUnless("profile"), "microseconds a token of prefill"),
        key("p2", COEFFICIENT, OF_PROFILE, "nanoseconds a pair of tokens of prefill and context"),
        key("d1", COEFFICIENT, OF_PROFILE, "milliseconds a sequence that decodes"),
        key("d2", COEFFICIENT, OF_PROFILE, "microseconds a token of context that decoding reads"),
        key(
            "scale",
            upto(SCALE_MAX),
            Usual::Number(1.0),
            "every time is multiplied by this: the one factor to calibrate",
        ),
        key(
            "max_seqs",
            KeyKind::Whole(1, SEQS_MAX as u64),
            Usual::Unsaid("256, or the profile's"),
            "sequences in a batch at most",
        ),
        key(
            "step_tokens",
            KeyKind::Whole(1, STEP_TOKENS_MAX as u64),
            Usual::Unsaid("8_192, or the profile's"),
            "tokens in a step at most",
        ),
        key(
            "block",
            KeyKind::Whole(1, BLOCK_MAX as u64),
            Usual::Unsaid("16, or the profile's"),
            "tokens in a block of the KV cache",
        ),
        key(
            "kv_tokens",
            KeyKind::Whole(1, KV_TOKENS_MAX),
            Usual::NeededUnless("profile"),
            "tokens that the KV cache holds",
        ),
        key(
            "prefix_cache",
            KeyKind::Truth,
            Usual::Unsaid("true, or the profile's"),
            "whether prompts with the same beginning share it",
        ),
        key(
            "moe",
            KeyKind::Table(&MOE),
            Usual::Unsaid("dense, or the profile's"),
            "a mixture of experts",
        ),
        key(
            "overhead",
            KeyKind::Table(&OVERHEAD),
            Usual::Unsaid("none, or the profile's"),
            "what a request takes outside of steps",
        ),
    ],
    later: &["noise"],
    ..section("engine", "")
};

const COEFFICIENT: KeyKind = upto(COEFFICIENT_MAX);
const OF_PROFILE: Usual = Usual::Unsaid("0, or the profile's");

static MOE: SectionDef = SectionDef {
    keys: &[
        need("d3", COEFFICIENT, "milliseconds of reading all experts"),
        key("p0", COEFFICIENT, Usual::Unsaid("as `f`"), "milliseconds of a step with prefill"),
        need("experts", EXPERTS, "experts in a layer"),
        need("active", EXPERTS, "experts that a token goes to"),
    ],
    ..section("moe", "")
};

const EXPERTS: KeyKind = KeyKind::Whole(1, EXPERTS_MAX as u64);

static OVERHEAD: SectionDef = SectionDef {
    keys: &[
        overhead_key("a0", "milliseconds a request"),
        overhead_key("a1", "microseconds a token of its prompt"),
        overhead_key("a2", "microseconds a token of its answer"),
    ],
    ..section("overhead", "")
};

const fn overhead_key(name: &'static str, about: &'static str) -> KeyDef {
    key(name, COEFFICIENT, Usual::Number(0.0), about)
}

/// Reads an engine.
pub(super) fn read(walk: &mut Walk, field: Field<'_>) -> Option<Profile<EngineSpec>> {
    let before = walk.problems.len();
    let mut table = walk.table(field)?;
    let named = named(walk, &mut table, profile::engine, profile::profiles().engine_names());
    let base = named.flatten();
    let hourly = base.as_ref().and_then(|profile| profile.hourly);
    let mut spec =
        base.map_or_else(|| EngineSpec::new(StepLaw::default(), 1), |profile| profile.spec);
    let mut number = |key, into: &mut f64| {
        *into = table.number(walk, key).unwrap_or(*into);
    };
    number("f", &mut spec.law.f);
    number("p1", &mut spec.law.p1);
    number("p2", &mut spec.law.p2);
    number("d1", &mut spec.law.d1);
    number("d2", &mut spec.law.d2);
    number("scale", &mut spec.scale);
    let mut count = |key, into: &mut u32| {
        *into = table.count(walk, key).map_or(*into, |count| count as u32);
    };
    count("max_seqs", &mut spec.max_seqs);
    count("step_tokens", &mut spec.step_tokens);
    count("block", &mut spec.block);
    spec.kv_tokens = table.count(walk, "kv_tokens").unwrap_or(spec.kv_tokens);
    spec.prefix_cache = table.truth(walk, "prefix_cache").unwrap_or(spec.prefix_cache);
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
    table.finish(walk);
    checked.ok().map(|spec| Profile { spec, prices: None, hourly })
}

fn moe(walk: &mut Walk, field: Field<'_>) -> Option<Moe> {
    let mut table = walk.table(field)?;
    let (d3, p0) = (table.number(walk, "d3"), table.number(walk, "p0"));
    let experts = table.count(walk, "experts");
    let most = experts.unwrap_or(u64::from(EXPERTS_MAX));
    let active = table.need(walk, "active").and_then(|field| walk.count_upto(field, most));
    table.finish(walk);
    Some(Moe { d3: d3?, experts: experts? as u32, active: active? as u32, p0 })
}

fn overhead(walk: &mut Walk, field: Field<'_>) -> Overhead {
    let Some(mut table) = walk.table(field) else {
        return Overhead::default();
    };
    let mut read = |key| table.number(walk, key).unwrap_or_default();
    let overhead = Overhead { a0: read("a0"), a1: read("a1"), a2: read("a2") };
    table.finish(walk);
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

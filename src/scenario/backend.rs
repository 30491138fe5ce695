//! `backend` of a node: how it behaves in a simulation.

use super::dist::{DURATION, NUMBER, read as read_dist, read_or_zero};
use super::engine;
use super::keys::{KeyKind, SPAN, SectionDef, TEXT, Usual, key, need, one, section};
use super::node::CONCURRENCY_MAX;
use super::problem::quote;
use super::profile::{self, Profile};
use super::table::Table;
use super::value::{Field, Walk, digits, suggest};
use crate::balance::Limits;
use crate::dist::Dist;
use crate::node::{ApiSpec, BackendSpec, SlotsSpec};
use crate::unit::Span;

/// Tokens a second of one stream go so far in the mean.
pub const SPEED_MAX: f64 = 1e9;

/// Back ends by their kind.
pub(super) static BACKEND: SectionDef = SectionDef {
    keys: &[
        one("api", KeyKind::Table(&API), "a hosted model: time to the first token, and speed"),
        one(
            "engine",
            KeyKind::Table(&engine::ENGINE),
            "an inference engine with continuous batching and a KV cache",
        ),
        one("slots", KeyKind::Table(&SLOTS), "servers and a queue (M/G/k): a tool, an agent"),
    ],
    ..section("backend", "")
};

static API: SectionDef = SectionDef {
    keys: &[
        key(
            "profile",
            TEXT,
            Usual::Unsaid("none"),
            "a built-in hosted model; what else is said takes the place of its own",
        ),
        key("ttft", DURATION, Usual::NeededUnless("profile"), "time to the first token"),
        key("tokens_per_second", NUMBER, Usual::NeededUnless("profile"), "speed of each stream"),
    ],
    later: &["cache"],
    ..section("api", "")
};

static SLOTS: SectionDef = SectionDef {
    keys: &[
        need(
            "servers",
            KeyKind::Whole(1, CONCURRENCY_MAX),
            "requests that are worked on at a time",
        ),
        // Without a bound the queue holds whatever comes, as the textbook has it.
        key(
            "queue",
            KeyKind::Whole(0, u32::MAX as u64),
            Usual::Whole(u32::MAX as u64),
            "requests that may wait at the node",
        ),
        need("service", DURATION, "time that a request takes"),
        key("per_item", SPAN, Usual::Span(Span::ZERO), "what each further request of a batch adds"),
    ],
    later: &["cache"],
    ..section("slots", "")
};

/// Fills the place of a back end where only a `url` is given; such a node is never simulated.
pub(super) fn stand_in() -> Option<BackendSpec> {
    let spec =
        ApiSpec { ttft: Dist::constant(1.0).ok()?, tokens_per_second: Dist::constant(50.0).ok()? };
    Some(BackendSpec::Api(spec, Limits::default()))
}

/// Reads a back end; `limits` are those of its node.
pub(super) fn read(
    walk: &mut Walk,
    field: Field<'_>,
    limits: Limits,
) -> Option<Profile<BackendSpec>> {
    let (name, inner) = walk.variant(field)?;
    if name == "engine" {
        let engine = engine::read(walk, inner)?;
        let Profile { spec, prices, hourly } = engine;
        return Some(Profile { spec: BackendSpec::Engine(spec), prices, hourly });
    }
    let mut table = walk.table(inner)?;
    let backend = match name {
        "api" => api_backend(walk, &mut table, limits),
        _ => slots_backend(walk, &mut table).map(Profile::bare),
    };
    table.finish(walk);
    backend
}

/// The profile that a back end names, if it names one: `Some(None)` if there is none of that name.
pub(super) fn named<'a, T>(
    walk: &mut Walk,
    table: &mut Table<'_>,
    find: impl Fn(&str) -> Option<Profile<T>>,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<Option<Profile<T>>> {
    let field = table.take("profile")?;
    let name = walk.text(field)?;
    let profile = find(name);
    if profile.is_none() {
        let help = suggest("profile", name, names);
        walk.problem(field.place(), format!("unknown profile {}", quote(name)))
            .label("no profile of this kind")
            .help(format!("{help}\nall profiles: plimsoll list profiles"));
    }
    Some(profile)
}

fn api_backend(
    walk: &mut Walk,
    table: &mut Table<'_>,
    limits: Limits,
) -> Option<Profile<BackendSpec>> {
    let named = named(walk, table, profile::hosted, profile::profiles().hosted_names());
    let named = named.flatten();
    let ttft = match table.take_or_need(walk, "ttft") {
        Some(field) => read_or_zero(walk, field),
        None => named.as_ref().map(|profile| profile.spec.ttft),
    };
    let speed = match table.take_or_need(walk, "tokens_per_second") {
        Some(field) => speed_law(walk, field),
        None => named.as_ref().map(|profile| profile.spec.tokens_per_second),
    };
    let (ttft, tokens_per_second) = ttft.zip(speed)?;
    let spec = BackendSpec::Api(ApiSpec { ttft, tokens_per_second }, limits);
    let (prices, hourly) = named.map_or((None, None), |profile| (profile.prices, profile.hourly));
    Some(Profile { spec, prices, hourly })
}

fn speed_law(walk: &mut Walk, field: Field<'_>) -> Option<Dist> {
    let speed = read_dist(walk, field)?;
    if speed.mean() > SPEED_MAX {
        walk.must_be(field, &format!("at most {} in the mean", digits(SPEED_MAX as u64)));
    }
    Some(speed)
}

fn slots_backend(walk: &mut Walk, table: &mut Table<'_>) -> Option<BackendSpec> {
    let servers = table.count(walk, "servers");
    let queue = table.count(walk, "queue");
    let service = table.need(walk, "service").and_then(|field| read_dist(walk, field));
    let per_item = table.span(walk, "per_item");
    let ((servers, queue), service) = servers.zip(queue).zip(service)?;
    let per_item = per_item?;
    let spec = SlotsSpec { servers: servers as u32, queue: queue as u32, service, per_item };
    Some(BackendSpec::Slots(spec))
}

//! `[[fault]]`: what goes wrong with which nodes, when, and for how long.
//!
//! What can be said of a fault is in [`FAULTS`]; here it is read with its places, and so is what is
//! said of all faults alike: targets, `at` and `for`, or `random`.

use super::dist::{self, DURATION};
use super::document::Kind;
use super::keys::{
    KeyDef, KeyKind, LABEL, POSITIVE_SPAN, SPAN, SectionDef, Usual, key, need, section, text,
};
use super::pool::{Fleet, NODES_MAX};
use super::problem::Place;
use super::table::Table;
use super::value::{Field, Walk, join};
use crate::dist::Dist;
use crate::node::fault::{FAULTS, FaultKind, FaultRule, FaultSpec};
use crate::node::fault::{FaultDef, FaultPattern, Param, ParamKind, ParamValue, ParamValues};
use crate::unit::{NodeId, Span, Time};

pub use crate::node::fault::FACTOR_MAX;

/// A scenario has at most so many faults.
pub const FAULTS_MAX: usize = 10_000;

/// `[[fault]]`: `at` and one fault, or `random`.
pub(super) static FAULT: SectionDef = SectionDef {
    keys: &[
        key("at", SPAN, Usual::NeededUnless("random"), "when it begins"),
        key(
            "random",
            KeyKind::Table(&RANDOM),
            Usual::NeededUnless("at"),
            "it comes again and again, at random",
        ),
    ],
    fault: true,
    ..section("fault", "`[[fault]]`")
};

static RANDOM: SectionDef = SectionDef {
    keys: &[
        need("every", DURATION, "time from the end of one to the beginning of the next"),
        need("lasts", DURATION, "how long each lasts"),
        key(
            "each",
            KeyKind::Truth,
            Usual::Truth(false),
            "every node has its own, in place of all at once",
        ),
    ],
    fault: true,
    ..section("random", "")
};

pub(super) const NODE: KeyDef =
    key("node", LABEL, ONE_OF_FOUR, "this node, or the nodes of this group");
pub(super) const POOL: KeyDef = key("pool", LABEL, ONE_OF_FOUR, "all nodes of this pool");
pub(super) const REGION: KeyDef = key("region", LABEL, ONE_OF_FOUR, "all nodes in this region");
pub(super) const TAG: KeyDef = key("tag", LABEL, ONE_OF_FOUR, "all nodes with this tag");

/// Whom a fault hits, beside its own parameters.
pub(super) static TARGET: SectionDef = SectionDef {
    keys: &[
        NODE,
        POOL,
        REGION,
        TAG,
        key(
            "count",
            KeyKind::Any(&[KeyKind::Whole(1, NODES_MAX as u64), PERCENT]),
            Usual::Unsaid("all of them"),
            "so many of them, drawn",
        ),
        key(
            "for",
            POSITIVE_SPAN,
            Usual::Unsaid("to the end"),
            "how long it lasts; what is random says `lasts`",
        ),
    ],
    ..section("target", "")
};

const ONE_OF_FOUR: Usual = Usual::Unsaid("one of `node`, `pool`, `region` and `tag` is needed");
const PERCENT: KeyKind = text("a share such as \"30%\"", "^ *[0-9.]+ *%$");

/// What goes wrong in a scenario.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Once each.
    pub(super) specs: Vec<FaultSpec>,
    /// Again and again.
    pub(super) rules: Vec<FaultRule>,
}

pub(super) fn kinds() -> Vec<&'static str> {
    FAULTS.iter().map(|fault| fault.name).collect()
}

/// Reads the faults; `end` is the end of the run, where the file itself sets it.
pub(super) fn read(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    fleet: &Fleet,
    end: Option<Span>,
) -> Faults {
    let mut faults = Faults::default();
    for table in walk.tables(field) {
        let place = table.place;
        if table.has("random") {
            let _ = read_random(walk, table, fleet, &mut faults);
        } else {
            let _ = read_one(walk, table, fleet, end, &mut faults);
        }
        if faults.rules.len() > FAULTS_MAX {
            let message = format!("these are more than {FAULTS_MAX} faults");
            walk.problem(place, message).label("one for each node");
            break;
        }
    }
    faults
}

/// A fault on the schedule.
fn read_one(
    walk: &mut Walk,
    mut table: Table<'_>,
    fleet: &Fleet,
    end: Option<Span>,
    faults: &mut Faults,
) -> Option<()> {
    let at_field = table.need(walk, "at");
    let at = at_field.and_then(|field| walk.span(field));
    if let (Some(at), Some(end), Some(field)) = (at, end, at_field)
        && at >= end
    {
        let message = format!("the fault begins when the run is over (`duration` is {end})");
        walk.problem(field.place(), message).label("too late");
    }
    let kind = the_kind(walk, &mut table, "`[[fault]]`")?;
    let all = kinds();
    table.finish_as(walk, "fault", &all);
    let read = kind.and_then(|(fault, field)| said(walk, fault, field, fleet, true));
    let (said, at) = read.zip(at)?;
    let from = Time::ZERO + at;
    let until = said.lasts.map_or(Time::MAX, |lasts| from + lasts);
    let whole = |kind| FaultSpec { at: from, lasts: said.lasts, kind, nodes: said.nodes.clone() };
    let (kind, on, off) = match said.built {
        FaultPattern::Lasting(kind) if said.count.is_none() => {
            faults.specs.push(whole(kind));
            return Some(());
        }
        // Once, with nodes that are drawn: it ends when nothing of it may begin any more.
        FaultPattern::Lasting(kind) => (kind, Span::MAX, Span::MAX),
        FaultPattern::Cycle { kind, on, off } => (kind, on, off),
    };
    faults.rules.push(FaultRule {
        kind,
        nodes: said.nodes,
        count: said.count,
        from,
        until,
        at_once: true,
        every: Dist::constant(off.seconds()).ok()?,
        lasts: Dist::constant(on.seconds()).ok()?,
    });
    Some(())
}

/// A fault that is made by hand, which has begun: what, with whom, and for how long if it ends by itself.
pub(super) fn read_by_hand(
    walk: &mut Walk,
    (fault, field): (&'static FaultDef, Field<'_>),
    fleet: &Fleet,
) -> Option<(FaultKind, Vec<NodeId>, Option<Span>)> {
    let said = said(walk, fault, field, fleet, true)?;
    match said.built {
        FaultPattern::Lasting(kind) if said.count.is_none() => Some((kind, said.nodes, said.lasts)),
        FaultPattern::Lasting(_) => {
            walk.problem(field.place(), "nodes that are drawn are for what is planned")
                .label("`count` is not for what is done by hand")
                .help("name a node, a pool, a region or a tag");
            None
        }
        FaultPattern::Cycle { .. } => {
            walk.problem(field.place(), format!("`{}` has a rhythm of its own", fault.name))
                .label("cannot be done by hand")
                .help("write it as `[[fault]]`");
            None
        }
    }
}

/// A fault at random: `random = { crash = { pool = "light" }, every = ..., lasts = ... }`.
fn read_random(
    walk: &mut Walk,
    mut table: Table<'_>,
    fleet: &Fleet,
    faults: &mut Faults,
) -> Option<()> {
    let from = table.take("at").map_or(Some(Span::ZERO), |field| walk.span(field));
    let field = table.take("random")?;
    table.finish(walk);
    let mut inner = walk.table(field)?;
    let mut law = |walk: &mut Walk, key| {
        let field = inner.need(walk, key)?;
        dist::read(walk, field)
    };
    let (every, lasts) = (law(walk, "every"), law(walk, "lasts"));
    let each = inner.truth(walk, "each");
    let kind = the_kind(walk, &mut inner, "`random`")?;
    let all = kinds();
    inner.finish_as(walk, "fault", &all);
    let (fault, field) = kind?;
    let said = said(walk, fault, field, fleet, false)?;
    let FaultPattern::Lasting(kind) = said.built else {
        let message = format!("`{}` has a rhythm of its own", fault.name);
        walk.problem(field.place(), message)
            .label("cannot be drawn at random")
            .help("give it an `at` instead of `random`");
        return None;
    };
    let (every, lasts, from, each) = (every?, lasts?, Time::ZERO + from?, each?);
    let rule = |nodes| FaultRule {
        kind,
        nodes,
        count: said.count.filter(|_| !each),
        from,
        until: Time::MAX,
        at_once: false,
        every,
        lasts,
    };
    if each {
        faults.rules.extend(said.nodes.iter().map(|node| rule(vec![*node])));
    } else {
        faults.rules.push(rule(said.nodes.clone()));
    }
    Some(())
}

pub(super) type Found<'a> = Option<(&'static FaultDef, Field<'a>)>;

/// Takes the one key that says what goes wrong. `None` if nothing more is worth saying.
pub(super) fn the_kind<'a>(
    walk: &mut Walk,
    table: &mut Table<'a>,
    what: &str,
) -> Option<Found<'a>> {
    let found = |fault: &'static FaultDef| {
        table.take_as(fault.name, KeyKind::Table(&TARGET)).map(|field| (fault, field))
    };
    let mut kinds: Vec<(&'static FaultDef, Field<'a>)> = FAULTS.iter().filter_map(found).collect();
    kinds.sort_by_key(|(_, field)| match field.place() {
        Place::Span(span) => span.start,
        _ => usize::MAX,
    });
    let place = table.place;
    if kinds.is_empty() && ["type", "kind", "node", "pool", "region"].iter().any(|k| table.has(k)) {
        walk.problem(place, "the fault does not say what goes wrong in the way that is read here")
            .label("its kind is a key")
            .help("write for instance `slow = { node = \"...\", factor = 4, for = \"40s\" }`");
        return None;
    }
    let list = "`crash`, `hang`, `slow`, `errors` or another of `plimsoll list faults`";
    if kinds.is_empty() && !table.any_unknown() {
        walk.problem(place, "the fault does not say what goes wrong")
            .label("nothing happens")
            .help(format!("write one of {list}"));
    }
    if let [_, (_, second), ..] = kinds.as_slice() {
        let message = format!("{what} has one fault: {list}");
        walk.problem(second.place(), message)
            .label("one too many")
            .help("write a second `[[fault]]` with the same `at`");
    }
    Some(kinds.first().copied())
}

/// What is said of one fault.
struct Said {
    built: FaultPattern,
    lasts: Option<Span>,
    nodes: Vec<NodeId>,
    /// With so many of them, which are drawn.
    count: Option<u32>,
}

fn said(
    walk: &mut Walk,
    fault: &'static FaultDef,
    field: Field<'_>,
    fleet: &Fleet,
    planned: bool,
) -> Option<Said> {
    let mut table = walk.table(field)?;
    let nodes = target(walk, &mut table, fleet);
    let count_field = table.take("count");
    let lasts = match table.take("for") {
        Some(field) if !planned => {
            walk.problem(field.place(), "how long a random fault lasts is drawn")
                .label("not here")
                .help("say it with `lasts`, beside `every`");
            None
        }
        lasts => lasts.map(|field| walk.span(field)),
    };
    let place = table.place;
    let (mut values, mut fields, mut sound) = (ParamValues::default(), Vec::new(), true);
    for param in fault.params {
        let field = table.take_as(param.name, KeyKind::of_param(param.kind));
        if field.is_none() && param.default.is_none() {
            table.missing(walk, param.name);
        }
        let Some(field) = field else {
            sound &= param.default.is_some();
            continue;
        };
        fields.push(field);
        match value(walk, param, field) {
            Some(value) => values.set(param.name, value),
            None => sound = false,
        }
    }
    // What is missing or does not go together shows only where the values are known.
    let built = sound.then(|| fault.build(&values));
    table.finish(walk);
    let built = match built? {
        Ok(built) => built,
        Err(wrong) => {
            let field = fields.iter().find(|field| field.name == wrong.param);
            let place = field.map_or(place, |field| field.place());
            walk.problem(place, wrong.message).label(wrong.label).help(wrong.help);
            return None;
        }
    };
    let nodes = nodes?;
    let count = match count_field {
        Some(field) => Some(part(walk, field, nodes.len() as u32)?),
        None => None,
    };
    let (FaultPattern::Lasting(kind) | FaultPattern::Cycle { kind, .. }) = built;
    check_effect(walk, place, kind, &nodes, fleet)?;
    let lasts = match lasts {
        None => None,
        Some(lasts) => Some(lasts?),
    };
    Some(Said { built, lasts, nodes, count })
}

/// A fault that none of its nodes can suffer is a mistake.
fn check_effect(
    walk: &mut Walk,
    place: &Place,
    kind: FaultKind,
    nodes: &[NodeId],
    fleet: &Fleet,
) -> Option<()> {
    let mut backends = nodes.iter().filter_map(|node| fleet.backends.get(node.index()));
    if backends.any(|backend| kind.touches(backend)) {
        return Some(());
    }
    walk.problem(place, format!("the fault changes nothing ({})", kind.words()))
        .label("no such node can suffer it");
    None
}

/// `count = 3`, or `count = "30%"` of so many.
fn part(walk: &mut Walk, field: Field<'_>, all: u32) -> Option<u32> {
    if let Kind::Text(text) = &field.value.kind {
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        if let Some(percent) = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0) {
            return Some(((f64::from(all) * percent / 100.0).round() as u32).clamp(1, all.max(1)));
        }
        walk.must_be(field, "a whole number, or a share such as \"30%\"");
        return None;
    }
    walk.count_upto(field, u64::from(all.max(1))).map(|count| count as u32)
}

fn value(walk: &mut Walk, param: &Param, field: Field<'_>) -> Option<ParamValue> {
    match param.kind {
        ParamKind::Number(_) => walk.number(field).map(ParamValue::Number),
        ParamKind::Span => walk.span(field).map(ParamValue::Span),
        ParamKind::Whole(..) => walk.count(field).map(ParamValue::Whole),
        ParamKind::Status => {
            let status = ParamValue::status(walk.count(field)?);
            if status.is_none() {
                walk.must_be(field, &ParamValue::statuses());
            }
            status
        }
        ParamKind::Word(words) => {
            let numbered: Vec<(&'static str, usize)> =
                words.iter().enumerate().map(|(place, word)| (*word, place)).collect();
            walk.word(field, &numbered).map(ParamValue::Word)
        }
    }
}

/// The nodes a fault is about: one name of a node, a group, a pool, a region or a tag.
pub(super) fn target(walk: &mut Walk, table: &mut Table<'_>, fleet: &Fleet) -> Option<Vec<NodeId>> {
    const KEYS: [&str; 4] = ["node", "pool", "region", "tag"];
    let given: Vec<Field<'_>> = KEYS.into_iter().filter_map(|key| table.take(key)).collect();
    let [field] = given.as_slice() else {
        let message = format!("a fault names one of {}", join(&KEYS));
        let place = given.get(1).map_or(table.place, |field| field.place());
        walk.problem(place, message);
        return None;
    };
    let select = |wanted: &dyn Fn(usize) -> bool| {
        let ids = (0..fleet.nodes.len()).filter(|node| wanted(*node));
        ids.map(|node| NodeId(node as u32)).collect()
    };
    match field.name {
        "node" => {
            let name = fleet.node_names.find(walk, *field)?;
            fleet.named.get(name).cloned()
        }
        "pool" => {
            let pool = fleet.pool_names.find(walk, *field)?;
            Some(select(&|node| fleet.nodes[node].pool.index() == pool))
        }
        "tag" => {
            let tag = fleet.tags.find(walk, *field)?;
            Some(select(&|node| fleet.nodes[node].tags >> tag & 1 == 1))
        }
        _ => {
            let region = fleet.regions.find(walk, *field)?;
            Some(select(&|node| fleet.nodes[node].region.index() == region))
        }
    }
}

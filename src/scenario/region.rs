//! `[regions]`: how far the balancer is from everything, and where the balancer itself is.

use std::collections::BTreeMap;

use super::keys::{KeyKind, SectionDef, Usual, key, need, section, upto};
use super::names::Names;
use super::pool::Fleet;
use super::problem::{Place, quote};
use super::value::{Field, Walk, digits, suggest};
use crate::balance::{Locality, NodeSpec};
use crate::sim::{JITTER_MAX, NetworkSpec};
use crate::unit::{NodeId, RegionId, Span};

/// A scenario has at most so many regions.
pub const REGIONS_MAX: usize = 256;

/// A round trip takes at most so long.
pub const RTT_MAX: Span = Span::from_secs(60);

/// Coefficient of variation of a round trip, if none is given.
pub const JITTER_DEFAULT: f64 = 0.1;

/// `[regions]`.
pub(super) static REGIONS: SectionDef = SectionDef {
    keys: &[
        need(
            "rtt",
            KeyKind::Map("region", &RTT_ROW, REGIONS_MAX),
            "round trips between two regions",
        ),
        key(
            "jitter",
            upto(JITTER_MAX),
            Usual::Number(JITTER_DEFAULT),
            "the coefficient of variation of a round trip",
        ),
    ],
    later: &["bandwidth", "loss", "egress"],
    ..section("regions", "`[regions]`")
};

const RTT_ROW: KeyKind = KeyKind::Map("region", &KeyKind::Span(Span::ZERO, RTT_MAX), REGIONS_MAX);

/// A region that somebody named, and where: it needs a round trip.
pub(super) type Use = (usize, Place);

/// Round trips as written, by pair of regions, the smaller number first.
type Pairs = BTreeMap<(usize, usize), Span>;

/// Reads `[regions]` and `region` of `[balancer]`; `uses` are the regions of nodes and classes.
/// Puts the balancer's region where pools ask for it.
pub(super) fn read(
    walk: &mut Walk,
    field: Option<Field<'_>>,
    balancer: Option<Field<'_>>,
    fleet: &mut Fleet,
    uses: &[Use],
) -> Option<NetworkSpec> {
    let here = balancer.and_then(|field| field.inside("region"));
    let Some(field) = field else {
        // Without round trips a name can only mean a region that is there.
        let home = here.and_then(|field| fleet.regions.find(walk, field));
        settle(walk, fleet, home, here.is_some());
        return None;
    };
    let mut table = walk.table(field)?;
    let names = &mut fleet.regions;
    let before = walk.problems.len();
    let pairs = table.need(walk, "rtt").map(|field| pairs(walk, field, names)).unwrap_or_default();
    let jitter = table.number(walk, "jitter");
    let place = table.place;
    table.finish(walk);
    let home = here.and_then(|field| {
        let name = walk.text(field)?;
        let home = fleet.regions.get(name).filter(|home| known(&pairs, *home));
        if home.is_none() && walk.problems.len() == before {
            no_rtt(walk, fleet, &pairs, name, field.place());
        }
        home
    });
    if here.is_none() {
        walk.problem(place, "`[regions]` says how far things are, but not from where")
            .label("where is the balancer?")
            .help("write `region = \"...\"` in `[balancer]`");
    }
    settle(walk, fleet, home, here.is_some());
    let home = home?;
    // Where a round trip could not be read, what is missing is not known.
    if walk.problems.len() == before {
        check(walk, fleet, &pairs, home, uses);
    }
    let rtt = |region: usize| pairs.get(&pair(home, region)).copied().unwrap_or_default();
    let rtt = (0..fleet.regions.len()).map(rtt).collect();
    Some(NetworkSpec { rtt, jitter: jitter.unwrap_or(JITTER_DEFAULT) })
}

/// Returns the regions that have nodes, with them.
pub(super) fn nodes(regions: &Names, nodes: &[NodeSpec]) -> Vec<(String, Vec<NodeId>)> {
    let mut by_region = vec![Vec::new(); regions.len()];
    for (id, node) in nodes.iter().enumerate() {
        by_region[node.region.index()].push(NodeId(id as u32));
    }
    let named = regions.list().iter().cloned().zip(by_region);
    named.filter(|(name, nodes)| !name.is_empty() && !nodes.is_empty()).collect()
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn known(pairs: &Pairs, region: usize) -> bool {
    pairs.keys().any(|(a, b)| *a == region || *b == region)
}

fn pairs(walk: &mut Walk, field: Field<'_>, names: &mut Names) -> Pairs {
    let mut pairs = Pairs::new();
    for (from, place, row) in walk.map(field) {
        let from = number(walk, names, from, place);
        for (to, place, field) in walk.map(row) {
            let to = number(walk, names, to, place);
            let rtt = walk.span(field);
            let (Some(from), Some(to), Some(rtt)) = (from, to, rtt) else {
                continue;
            };
            let other = *pairs.entry(pair(from, to)).or_insert(rtt);
            if other != rtt {
                let message = format!(
                    "two round trips between {} and {}: {other} and {rtt}",
                    quote(&names.list()[from]),
                    quote(&names.list()[to])
                );
                walk.problem(field.place(), message)
                    .label("the second one")
                    .help("a round trip is the same from both ends; once is enough");
            }
        }
    }
    pairs
}

/// Returns the number of a region, new or not.
pub(super) fn number(
    walk: &mut Walk,
    names: &mut Names,
    name: &str,
    place: &Place,
) -> Option<usize> {
    let name = walk.name_at(name, place)?;
    if names.get(name).is_none() && names.len() >= REGIONS_MAX {
        let most = digits(REGIONS_MAX as u64);
        walk.problem(place, format!("a scenario has at most {most} regions")).label("one too many");
        return None;
    }
    Some(names.intern(name))
}

/// Every region in use has a round trip to the balancer.
fn check(walk: &mut Walk, fleet: &Fleet, pairs: &Pairs, home: usize, uses: &[Use]) {
    let names = fleet.regions.list();
    for (region, place) in uses {
        if pairs.contains_key(&pair(home, *region)) {
            continue;
        }
        let name = &names[*region];
        if !known(pairs, *region) {
            no_rtt(walk, fleet, pairs, name, place);
            continue;
        }
        let here = &names[home];
        let message = format!(
            "there is no RTT between {} and {}, where the balancer is",
            quote(name),
            quote(here)
        );
        walk.problem(place, message)
            .label("how far is it?")
            .help(format!("write `rtt = {{ {here} = {{ {name} = \"...\" }} }}` in `[regions]`"));
    }
}

fn no_rtt(walk: &mut Walk, fleet: &Fleet, pairs: &Pairs, name: &str, place: &Place) {
    let names = fleet.regions.list();
    let there = (0..names.len()).filter(|region| known(pairs, *region));
    let there: Vec<&str> = there.map(|region| names[region].as_str()).collect();
    let help = suggest("region", name, there.iter().copied());
    walk.problem(place, format!("region {} has no RTT in `[regions]`", quote(name)))
        .label("how far is it?")
        .help(help);
}

/// Puts the balancer's region where pools ask for it.
fn settle(walk: &mut Walk, fleet: &mut Fleet, home: Option<usize>, said: bool) {
    for (pool, place) in std::mem::take(&mut fleet.near_balancer) {
        match (home, fleet.pools.get_mut(pool)) {
            (Some(home), Some(pool)) => pool.locality = Locality::Region(RegionId(home as u16)),
            (None, _) if !said => {
                walk.problem(&place, "where the balancer is, is not said")
                    .label("near what?")
                    .help("write `region = \"...\"` in `[balancer]`");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;

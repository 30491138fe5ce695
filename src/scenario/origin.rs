//! `region` and `attributes` of a class: where its requests come from, and what is known of them.
//!
//! An attribute with its value, `language=de`, is one bit of a request.

use super::keys::{KeyKind, NAME, above_zero};
use super::names::Names;
use super::problem::{Place, quote};
use super::region::{self, REGIONS_MAX, Use};
use super::value::{Field, Walk};
use crate::unit::RegionId;
use crate::workload::{Origin, OriginShares};

use super::class::SHARE_MAX;

/// A scenario tells at most so many pairs of attribute and value apart.
pub const ATTRIBUTES_MAX: usize = 64;

/// Where requests come from.
pub(super) const REGION: KeyKind =
    KeyKind::Any(&[NAME, KeyKind::Map("region", &PART, REGIONS_MAX)]);

/// What is known of requests.
pub(super) const ATTRIBUTES: KeyKind = KeyKind::Map("attribute", &VALUES, ATTRIBUTES_MAX);

const VALUES: KeyKind = KeyKind::Any(&[NAME, KeyKind::Map("value", &PART, ATTRIBUTES_MAX)]);
const PART: KeyKind = above_zero(SHARE_MAX);

/// Names that requests have in common with the rest of a scenario.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) regions: &'a mut Names,
    /// `key=value`, by bit.
    pub(super) attributes: &'a mut Names,
    /// Where a class names a region.
    pub(super) uses: &'a mut Vec<Use>,
}

/// Reads both keys of a class.
pub(super) fn read(
    walk: &mut Walk,
    region: Option<Field<'_>>,
    attributes: Option<Field<'_>>,
    known: &mut Known<'_>,
) -> Origin {
    let regions = region.and_then(|field| {
        let list = shares(walk, field);
        let mut numbered = Vec::new();
        for (name, place, share) in list {
            let Some(region) = region::number(walk, known.regions, name, place) else {
                continue;
            };
            known.uses.push((region, place.clone()));
            numbered.push((RegionId(region as u16), share));
        }
        OriginShares::new(&numbered)
    });
    let list = attributes.map(|field| walk.map(field)).unwrap_or_default();
    let mut drawn = Vec::new();
    for (key, place, field) in list {
        let Some(key) = walk.name_at(key, place) else {
            continue;
        };
        let values = shares(walk, field).into_iter();
        let bits: Vec<(u64, f64)> = values
            .filter_map(|(value, place, share)| {
                Some((bit(walk, known.attributes, key, value, place)?, share))
            })
            .collect();
        drawn.extend(OriginShares::new(&bits));
    }
    Origin { regions, attributes: drawn }
}

/// Returns the bit of an attribute with this value, new or not.
pub(super) fn bit(
    walk: &mut Walk,
    attributes: &mut Names,
    key: &str,
    value: &str,
    place: &Place,
) -> Option<u64> {
    let pair = format!("{key}={value}");
    if attributes.get(&pair).is_none() && attributes.len() == ATTRIBUTES_MAX {
        let message = format!("a scenario has at most {ATTRIBUTES_MAX} different attributes");
        walk.problem(place, message).label("one too many");
        return None;
    }
    Some(1 << attributes.intern(&pair))
}

/// One name, or names with their shares.
fn shares<'a>(walk: &mut Walk, field: Field<'a>) -> Vec<(&'a str, &'a Place, f64)> {
    if !field.is_table() {
        let name = walk.name(field);
        return name.map(|name| (name, field.place(), 1.0)).into_iter().collect();
    }
    let list = walk.map(field);
    if list.is_empty() {
        walk.problem(field.place(), format!("{} names nothing", quote(field.name))).label("empty");
    }
    let mut read = Vec::new();
    for (name, place, share) in list {
        let share = walk.number(share);
        if let Some((name, share)) = walk.name_at(name, place).zip(share) {
            read.push((name, place, share));
        }
    }
    read
}

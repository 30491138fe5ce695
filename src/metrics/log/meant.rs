//! Where requests of a route are meant to be served, so that it can be said where they went instead.

use crate::balance::{Config, Tier};
use crate::metrics::Labels;
use crate::unit::{NodeId, PoolId, RouteId};

use super::entries::CountedThing;

/// Where requests are meant to be served, by route.
#[derive(Clone, Debug, Default)]
pub(super) struct MeantPlaces {
    /// The pool that comes first; none where each request has its own.
    first: Vec<Option<PoolId>>,
    /// By node, the place of its region among those that have a name.
    regions: Vec<Option<usize>>,
}

impl MeantPlaces {
    pub(super) fn new(labels: &Labels, config: &Config) -> MeantPlaces {
        let first = config.routes.iter().map(|route| {
            let of_own = route.split.is_empty() && route.choose.is_none();
            route.to.first().copied().filter(|_| of_own)
        });
        let mut regions = vec![None; labels.nodes.len()];
        for (place, (_, nodes)) in labels.regions.iter().enumerate() {
            for node in nodes {
                if let Some(region) = regions.get_mut(node.index()) {
                    *region = Some(place);
                }
            }
        }
        MeantPlaces { first: first.collect(), regions }
    }

    fn region(&self, node: usize) -> Option<usize> {
        self.regions.get(node).copied().flatten()
    }

    /// Returns what is counted when a node serves a request of a route that was meant to go elsewhere.
    pub(super) fn counted(&self, labels: &Labels, route: RouteId, node: NodeId) -> CountedThing {
        let label = labels.nodes.get(node.index());
        let pool = PoolId(label.map_or(0, |label| label.pool) as u16);
        let tier = label.map_or(Tier::Primary, |label| label.tier);
        CountedThing::Failover(route, pool, tier, self.region(node.index()))
    }

    /// Says it in words: from where, and to where instead.
    pub(super) fn words(
        &self,
        labels: &Labels,
        route: RouteId,
        (pool, tier, region): (PoolId, Tier, Option<usize>),
    ) -> String {
        let name = |pool: PoolId| labels.pools.get(pool.index()).map_or("?", String::as_str);
        let meant = self.first.get(route.index()).copied().flatten();
        let from = meant.unwrap_or(pool);
        let first_tier = self.of(labels, from).map(|(_, tier)| tier).min().unwrap_or_default();
        if from != pool {
            let tier =
                if tier == Tier::Primary { String::new() } else { format!(" {}", tier.name()) };
            return format!("{} → {}{tier}", name(from), name(pool));
        }
        if tier == first_tier {
            return format!("{}: first node tried → another", name(pool));
        }
        // Nodes of a tier that are all in one region are known by it.
        let mut homes = self.of(labels, from).filter(|(_, tier)| *tier == first_tier);
        let home = homes.next().and_then(|(region, _)| region);
        let home = home.filter(|home| homes.all(|(region, _)| region == Some(*home)));
        match (home, region) {
            (Some(home), Some(there)) if home != there => {
                let region = |place: usize| labels.regions[place].0.as_str();
                format!("{} → {} {}", region(home), region(there), tier.name())
            }
            _ => format!("{}: {} → {}", name(pool), first_tier.name(), tier.name()),
        }
    }

    /// Returns regions and tiers of the nodes of a pool.
    fn of<'a>(
        &'a self,
        labels: &'a Labels,
        pool: PoolId,
    ) -> impl Iterator<Item = (Option<usize>, Tier)> + 'a {
        let of_pool = labels.nodes.iter().enumerate().filter(move |(_, n)| n.pool == pool.index());
        of_pool.map(|(at, label)| (self.region(at), label.tier))
    }
}

//! Where the things of a scenario stand in its text.

use std::collections::BTreeMap;

use crate::scenario::document::{self, Entry, Kind, Value};
use crate::scenario::problem::Place;
use crate::unit::{NodeId, PoolId, TenantId};

use super::Scenario;

/// The text of a scenario as a tree whose values know their places.
pub(super) struct Places(Vec<Entry>);

impl Places {
    pub(super) fn of(text: &str) -> Places {
        // It has been read before: there is nothing wrong with it.
        Places(document::read(text.trim_start_matches('\u{feff}')).unwrap_or_default())
    }

    /// Returns the place of this key of a key of .., or of the last of them that is there. Where none
    /// is, it is that of the first pool.
    pub(super) fn at(&self, path: &[&str]) -> Place {
        let mut entries = self.0.as_slice();
        let mut place = None;
        for key in path {
            let Some(value) = find(entries, key) else { break };
            place = Some(value.place.clone());
            entries = inside(value);
        }
        place.unwrap_or_else(|| self.pool(PoolId(0), "name"))
    }

    /// Returns the place of a key of a pool, or of its name.
    pub(super) fn pool(&self, pool: PoolId, key: &str) -> Place {
        let pools = find(&self.0, "pool").map_or(&[][..], items);
        let pool = pools.get(pool.index()).map_or(&[][..], inside);
        let found = find(pool, key).or_else(|| find(pool, "name"));
        found.map(|value| value.place.clone()).unwrap_or_default()
    }

    /// Returns the place of a key of a class, or the class's own.
    pub(super) fn class(&self, class: usize, key: &str) -> Place {
        let classes = find(&self.0, "class").map_or(&[][..], items);
        let class = classes.get(class);
        let found = class.and_then(|class| find(inside(class), key)).or(class);
        found.map_or_else(|| self.at(&["class"]), |value| value.place.clone())
    }

    /// Returns the place of a key of a route, or the route's own.
    pub(super) fn route(&self, route: usize, key: &str) -> Option<Place> {
        let route = items(find(&self.0, "route")?).get(route)?;
        let found = find(inside(route), key).unwrap_or(route);
        Some(found.place.clone())
    }

    /// Returns the place of a key of a step, or of the step's name.
    pub(super) fn step(&self, flow: usize, step: usize, key: &str) -> Place {
        let flows = find(&self.0, "workflow").map_or(&[][..], items);
        let steps = flows.get(flow).and_then(|flow| find(inside(flow), "steps"));
        let step = steps.and_then(|steps| items(steps).get(step)).map_or(&[][..], inside);
        let found = find(step, key).or_else(|| find(step, "name"));
        found.map_or_else(|| self.at(&["workflow"]), |value| value.place.clone())
    }

    /// Returns where the own budgets of tenants are written, by tenant.
    pub(super) fn tenant_budgets(&self) -> BTreeMap<TenantId, Place> {
        let mut places = BTreeMap::new();
        for table in find(&self.0, "tenant").map_or(&[][..], items) {
            let Some(budget) = find(inside(table), "budget_per_day") else { continue };
            let numbers = find(inside(table), "tenant").map_or(&[][..], |numbers| {
                if let Kind::List(list) = &numbers.kind {
                    list
                } else {
                    std::slice::from_ref(numbers)
                }
            });
            for number in numbers {
                if let Kind::Whole(Some(number)) = number.kind {
                    places.insert(TenantId(number as u32), budget.place.clone());
                }
            }
        }
        places
    }

    /// Returns the table that a node, or the group it is of, is written in.
    fn node(&self, scenario: &Scenario, node: NodeId) -> Option<&Value> {
        let pool = scenario.balancer.nodes[node.index()].pool;
        let pool = items(find(&self.0, "pool")?).get(pool.index())?;
        let written = items(find(inside(pool), "node")?);
        let mut named = scenario.groups.iter().filter(|(_, nodes)| nodes.contains(&node));
        named.find_map(|(name, _)| {
            written.iter().find(|one| {
                let found = find(inside(one), "name").map(|value| &value.kind);
                matches!(found, Some(Kind::Text(text)) if text == name)
            })
        })
    }

    /// Returns the place of the name of a node, or of the group it is of.
    pub(super) fn name_of_node(&self, scenario: &Scenario, node: NodeId) -> Place {
        let name = self.node(scenario, node).and_then(|node| find(inside(node), "name"));
        name.map_or_else(|| self.at(&["pool"]), |name| name.place.clone())
    }

    /// Returns whether a node, or the group it is of, says this key.
    pub(super) fn node_says(&self, scenario: &Scenario, node: NodeId, key: &str) -> bool {
        self.node(scenario, node).is_some_and(|node| find(inside(node), key).is_some())
    }
}

fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Value> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

fn inside(value: &Value) -> &[Entry] {
    match &value.kind {
        Kind::Table(entries) => entries,
        _ => &[],
    }
}

fn items(value: &Value) -> &[Value] {
    match &value.kind {
        Kind::List(items) => items,
        _ => &[],
    }
}

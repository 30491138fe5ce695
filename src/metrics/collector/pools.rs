//! Pools: by which strategy each chooses, and its batches.

use std::collections::{BTreeMap, BTreeSet};

use super::nodes::NodeFigures;
use crate::balance::{Config, NodeState, StrategySpec};
use crate::metrics::Labels;
use crate::metrics::pressure::route_name;
use crate::metrics::snapshot::PoolRow;
use crate::metrics::summary::BatchSummary;
use crate::unit::{PoolId, RouteId};

/// What is collected for each pool, beside its requests.
#[derive(Clone, Debug)]
pub(super) struct PoolFigures {
    strategies: Vec<StrategySpec>,
    /// Batches and requests in them, of pools that take batches.
    batches: Vec<Option<(u64, u64)>>,
    /// Routes in panic.
    panics: BTreeSet<RouteId>,
}

impl PoolFigures {
    pub(super) fn new(config: &Config) -> PoolFigures {
        PoolFigures {
            strategies: config.pools.iter().map(|pool| pool.strategy.clone()).collect(),
            batches: config.pools.iter().map(|pool| pool.batch.map(|_| (0, 0))).collect(),
            panics: BTreeSet::new(),
        }
    }

    pub(super) fn strategy(&mut self, pool: PoolId, to: &StrategySpec) {
        self.strategies[pool.index()].clone_from(to);
    }

    pub(super) fn batch(&mut self, pool: usize, members: u32) {
        let (count, requests) = self.batches[pool].get_or_insert_default();
        *count += 1;
        *requests += u64::from(members);
    }

    pub(super) fn panic(&mut self, route: RouteId, on: bool) {
        if on {
            self.panics.insert(route);
        } else {
            self.panics.remove(&route);
        }
    }

    /// Returns the names of routes in panic; empty if there is one route only.
    pub(super) fn panics(&self, labels: &Labels) -> Vec<String> {
        let routes = labels.routes.len();
        self.panics.iter().map(|route| route_name(labels, *route, routes)).collect()
    }

    /// Returns what the strategy of a pool is called.
    pub(super) fn name(&self, pool: usize) -> String {
        self.strategies[pool].to_string()
    }

    pub(super) fn strategies(&self, labels: &Labels) -> BTreeMap<String, String> {
        let named = labels.pools.iter().zip(&self.strategies);
        named.map(|(pool, strategy)| (pool.clone(), strategy.to_string())).collect()
    }

    pub(super) fn batches(&self, pool: usize) -> Option<BatchSummary> {
        self.batches[pool].map(|(count, requests)| BatchSummary {
            count,
            mean_size: (count > 0).then(|| requests as f64 / count as f64),
        })
    }

    pub(super) fn rows(&self, labels: &Labels, nodes: &NodeFigures) -> Vec<PoolRow> {
        let row = |(index, name): (usize, &String)| {
            let (mut there, mut up) = (0, 0);
            for state in nodes.states_in(index) {
                there += u32::from(!matches!(state, NodeState::Gone | NodeState::Off));
                up += u32::from(state == NodeState::Up);
            }
            PoolRow {
                id: PoolId(index as u16),
                name: name.clone(),
                strategy: self.name(index),
                nodes: there,
                up,
            }
        };
        labels.pools.iter().enumerate().map(row).collect()
    }
}

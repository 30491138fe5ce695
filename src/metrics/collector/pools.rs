//! Pools: by which strategy each chooses, and its batches.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::nodes::NodeFigures;
use crate::balance::{Config, NodeState, StrategySpec};
use crate::metrics::Labels;
use crate::metrics::pressure::route_name;
use crate::metrics::snapshot::PoolRow;
use crate::metrics::summary::BatchSummary;
use crate::unit::{PoolId, RouteId, Time};

/// Of a strategy that is changed more often, the first times are told; what was done by hand has more.
const TOLD_MAX: usize = 4;

/// What is collected for each pool, beside its requests.
#[derive(Clone, Debug)]
pub(super) struct PoolFigures {
    strategies: Vec<StrategySpec>,
    /// As configured.
    planned: Vec<StrategySpec>,
    /// By pool, where somebody changed it: until when it was which.
    past: BTreeMap<usize, Vec<(Time, StrategySpec)>>,
    /// Batches and requests in them, of pools that take batches.
    batches: Vec<Option<(u64, u64)>>,
    /// Routes in panic.
    panics: BTreeSet<RouteId>,
}

impl PoolFigures {
    pub(super) fn new(config: &Config) -> PoolFigures {
        PoolFigures {
            strategies: config.pools.iter().map(|pool| pool.strategy.clone()).collect(),
            planned: config.pools.iter().map(|pool| pool.strategy.clone()).collect(),
            past: BTreeMap::new(),
            batches: config.pools.iter().map(|pool| pool.batch.map(|_| (0, 0))).collect(),
            panics: BTreeSet::new(),
        }
    }

    pub(super) fn strategy(&mut self, pool: PoolId, now: Time, to: &StrategySpec) {
        let from = std::mem::replace(&mut self.strategies[pool.index()], to.clone());
        let past = self.past.entry(pool.index()).or_default();
        // One more than is told, so that it is known that there were others.
        if past.len() <= TOLD_MAX {
            past.push((now, from));
        }
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
        let named = labels.pools.iter().zip(&self.strategies).enumerate();
        let told = |(at, (pool, last)): (usize, (&String, &StrategySpec))| {
            let mut words = String::new();
            let past = self.past.get(&at).map_or(&[][..], Vec::as_slice);
            for (until, strategy) in past.iter().take(TOLD_MAX) {
                // Writing to a string does not fail.
                let _ = write!(words, "{strategy} until {until}, then ");
            }
            let others = if past.len() > TOLD_MAX { "others, then " } else { "" };
            (pool.clone(), format!("{words}{others}{last}"))
        };
        named.map(told).collect()
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
                planned: self.planned[index].clone(),
                nodes: there,
                up,
            }
        };
        labels.pools.iter().enumerate().map(row).collect()
    }
}

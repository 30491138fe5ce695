//! What the balancer did about load: the limits that limiters found, node by node.
//!
//! A fold over events, over the whole run, warm-up included. With several balancers the last word of
//! any of them counts.

use std::collections::BTreeMap;

use super::summary::LimitSummary;
use crate::balance::{Config, Event};
use crate::unit::NodeId;

/// What was heard; empty and without cost where nothing of it is configured.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressures {
    limits: BTreeMap<NodeId, LimitSummary>,
}

impl Pressures {
    pub(super) fn new(config: &Config) -> Pressures {
        let limit = |(at, spec): (usize, &crate::balance::NodeSpec)| {
            let limiter = config.pools[spec.pool.index()].limiter?;
            let limit = limiter.initial;
            Some((NodeId(at as u32), LimitSummary { last: limit, least: limit, most: limit }))
        };
        Pressures { limits: config.nodes.iter().enumerate().filter_map(limit).collect() }
    }

    pub(super) fn hear(&mut self, event: &Event) {
        if let Event::Limit { node, limit, .. } = event {
            let limit = *limit;
            let known = LimitSummary { last: limit, least: limit, most: limit };
            let this = self.limits.entry(*node).or_insert(known);
            this.last = limit;
            (this.least, this.most) = (this.least.min(limit), this.most.max(limit));
        }
    }

    /// Returns the limit of a node as its limiter has it, if it has one.
    pub(super) fn limit(&self, node: usize) -> Option<LimitSummary> {
        self.limits.get(&NodeId(node as u32)).copied()
    }
}

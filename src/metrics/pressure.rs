//! What the balancer did about load: the limits that limiters found, who was shed, and how far routes
//! degraded.
//!
//! A fold over events, over the whole run, warm-up included. With several balancers the last word of
//! any of them counts.

use std::collections::BTreeMap;

use super::Labels;
use super::snapshot::PressedRow;
use super::summary::{LevelSummary, LimitSummary, OverloadSummary, PressureSummary};
use crate::balance::{Config, DegradeLevel, Event, Priority};
use crate::unit::{NodeId, Ratio, RouteId, Span, Time};

/// So many changes are kept, the first ones.
const CHANGES_MAX: usize = 1_000;

/// What was heard; empty and without cost where nothing of it is configured.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressures {
    limits: BTreeMap<NodeId, LimitSummary>,
    /// Only where something is shed or given up.
    book: Option<Box<PressureBook>>,
}

/// How a route stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    level: DegradeLevel,
    /// When it came to the level.
    since: Time,
    /// By priority.
    shed: [bool; 4],
}

/// What was shed and given up.
#[derive(Clone, Debug)]
struct PressureBook {
    routes: Vec<Standing>,
    /// By level: how long routes stood on it, and how often they stepped up to it.
    stood: [(Span, u64); 7],
    /// By level: requests it touched last.
    degraded_by: [u64; 7],
    changes: Vec<PressureSummary>,
    omitted: u64,
}

/// Returns what a route is called, nothing if there is one only.
pub(super) fn route_name(labels: &Labels, route: RouteId, routes: usize) -> String {
    match labels.routes.get(route.index()) {
        _ if routes < 2 => String::new(),
        Some(name) => name.clone(),
        None => format!("route {}", route.index() + 1),
    }
}

impl Pressures {
    pub(super) fn new(config: &Config) -> Pressures {
        let limit = |(at, spec): (usize, &crate::balance::NodeSpec)| {
            let limiter = config.pools[spec.pool.index()].limiter?;
            let limit = limiter.initial;
            Some((NodeId(at as u32), LimitSummary { last: limit, least: limit, most: limit }))
        };
        let book = || PressureBook {
            routes: vec![
                Standing { level: DegradeLevel::Calm, since: Time::ZERO, shed: [false; 4] };
                config.routes.len()
            ],
            stood: [(Span::ZERO, 0); 7],
            degraded_by: [0; 7],
            changes: Vec::new(),
            omitted: 0,
        };
        let any = config.shed.is_some() || config.degrade.is_some();
        let limits = config.nodes.iter().enumerate().filter_map(limit).collect();
        Pressures { limits, book: any.then(|| Box::new(book())) }
    }

    /// A request was touched by a level.
    pub(super) fn on_degraded(&mut self, level: DegradeLevel) {
        if let Some(book) = &mut self.book {
            book.degraded_by[level as usize] += 1;
        }
    }

    pub(super) fn hear(&mut self, now: Time, event: &Event, labels: &Labels) {
        if let (Some(book), Some(change)) = (&mut self.book, change(event)) {
            if let Event::DegradeLevel { route, from, to, .. } = event {
                let this = &mut book.routes[route.index()];
                let stood = &mut book.stood[*from as usize].0;
                *stood = Span(stood.0 + now.since(this.since).0);
                (this.level, this.since) = (*to, now);
                book.stood[*to as usize].1 += u64::from(to > from);
            }
            if let Event::Shedding { route, priority, on, .. } = event {
                book.routes[route.index()].shed[*priority as usize] = *on;
            }
            if book.changes.len() < CHANGES_MAX {
                let (route, what, saturation) = change;
                let route = route_name(labels, route, book.routes.len());
                let at_s = now.seconds();
                book.changes.push(PressureSummary {
                    at_s,
                    route,
                    what,
                    saturation: saturation.value(),
                });
            } else {
                book.omitted += 1;
            }
        }
        if let Event::Limit { node, limit, .. } = event {
            let limit = *limit;
            let known = LimitSummary { last: limit, least: limit, most: limit };
            let this = self.limits.entry(*node).or_insert(known);
            this.last = limit;
            (this.least, this.most) = (this.least.min(limit), this.most.max(limit));
        }
    }

    /// Returns what was shed and given up until `end`.
    pub(super) fn summary(&self, end: Time) -> Option<OverloadSummary> {
        let book = self.book.as_ref()?;
        let mut stood = book.stood;
        for this in &book.routes {
            let sum = &mut stood[this.level as usize].0;
            *sum = Span(sum.0 + end.since(this.since).0);
        }
        let levels = DegradeLevel::ALL.map(|level| {
            let (span, entered) = stood[level as usize];
            LevelSummary {
                level: level.name(),
                entered,
                stood_s: span.seconds(),
                requests: book.degraded_by[level as usize],
            }
        });
        let levels = levels.into_iter().filter(|level| level.entered > 0 || level.requests > 0);
        let changes = book.changes.clone();
        Some(OverloadSummary { levels: levels.collect(), changes, changes_omitted: book.omitted })
    }

    /// Returns the routes that stand on a level or shed somebody, the worst first.
    pub(super) fn pressed(&self, labels: &Labels) -> Vec<PressedRow> {
        let Some(book) = &self.book else { return Vec::new() };
        let routes = book.routes.iter().enumerate();
        let mut pressed: Vec<(usize, &Standing)> = routes
            .filter(|(_, this)| this.level > DegradeLevel::Calm || this.shed.contains(&true))
            .collect();
        pressed.sort_by_key(|(_, this)| std::cmp::Reverse((this.level, this.shed)));
        let row = |(at, this): (usize, &Standing)| PressedRow {
            route: route_name(labels, RouteId(at as u16), book.routes.len()),
            level: (this.level > DegradeLevel::Calm).then(|| this.level.name().to_owned()),
            shed: Priority::ALL
                .into_iter()
                .rev()
                .filter(|priority| this.shed[*priority as usize])
                .map(|priority| priority.name().to_owned())
                .collect(),
        };
        pressed.into_iter().map(row).collect()
    }

    /// Returns the limit of a node as its limiter has it, if it has one.
    pub(super) fn limit(&self, node: usize) -> Option<LimitSummary> {
        self.limits.get(&NodeId(node as u32)).copied()
    }
}

/// What a change of pressure says, if the event is one.
pub(super) fn change(event: &Event) -> Option<(RouteId, String, Ratio)> {
    if let Event::Shedding { route, priority, on, saturation } = event {
        let who = priority.name();
        let what = if *on { "shed" } else { "comes in again" };
        return Some((*route, format!("{who} {what}"), *saturation));
    }
    let Event::DegradeLevel { route, from, to, saturation, .. } = event else { return None };
    let way = if to > from { "up" } else { "down" };
    Some((*route, format!("{way} to {}: {}", to.name(), to.words()), *saturation))
}

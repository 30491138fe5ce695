//! Answers that were kept: how often one was found, and what that saved.

use crate::balance::CacheLookup;
use crate::metrics::Labels;
use crate::metrics::summary::CacheSummary;
use crate::unit::Cost;

/// What is collected of looking for kept answers.
#[derive(Clone, Copy, Debug, Default)]
struct CacheBook {
    lookups: u64,
    hits: u64,
    tokens: u64,
    saved: Cost,
}

impl CacheBook {
    fn hear(&mut self, lookup: &CacheLookup) {
        self.lookups += 1;
        if let Some(found) = &lookup.found {
            self.hits += 1;
            self.tokens += found.usage.output.0;
            self.saved += found.cost;
        }
    }

    fn summary(&self) -> Option<CacheSummary> {
        (self.lookups > 0).then(|| CacheSummary {
            lookups: self.lookups,
            hits: self.hits,
            hit_ratio: Some(self.hits as f64 / self.lookups as f64),
            saved_usd: self.saved.dollars(),
            saved_tokens: self.tokens,
        })
    }
}

/// The same of all requests, and by class and route.
#[derive(Clone, Debug)]
pub(super) struct CacheFigures {
    all: CacheBook,
    classes: Vec<CacheBook>,
    /// Empty where routes are not reported.
    routes: Vec<CacheBook>,
}

impl CacheFigures {
    pub(super) fn new(labels: &Labels) -> CacheFigures {
        CacheFigures {
            all: CacheBook::default(),
            classes: vec![CacheBook::default(); labels.classes.len()],
            routes: vec![CacheBook::default(); labels.routes.len()],
        }
    }

    /// A request that counts was looked for.
    pub(super) fn looked_up(&mut self, lookup: &CacheLookup) {
        self.all.hear(lookup);
        if let Some(class) = self.classes.get_mut(lookup.class.index()) {
            class.hear(lookup);
        }
        if let Some(route) = self.routes.get_mut(lookup.route.index()) {
            route.hear(lookup);
        }
    }

    pub(super) fn all(&self) -> Option<CacheSummary> {
        self.all.summary()
    }

    pub(super) fn class(&self, at: usize) -> Option<CacheSummary> {
        self.classes.get(at)?.summary()
    }

    pub(super) fn route(&self, at: usize) -> Option<CacheSummary> {
        self.routes.get(at)?.summary()
    }
}

//! Answers that routes keep, held against whole answers that came: nothing is given from a cache that was
//! not answered before, to the same question, on the same route, to somebody who may see it, and not too
//! long ago.

use std::collections::BTreeSet;

use super::{Broken, ensure};
use crate::balance::{CacheLookup, Config, DegradeLevel, Fate, Settled, Usage};
use crate::unit::{RequestId, RouteId, TenantId, Time};

/// The answer to what, on which route, for whom.
type AnswerOf = (RouteId, TenantId, u64);

/// Whole answers that came, by route, who may see them, and what was asked.
#[derive(Debug)]
pub(super) struct WholeAnswers<'a> {
    config: &'a Config,
    /// With when they came.
    came: BTreeSet<(AnswerOf, Time)>,
    /// The request that an answer was just found for.
    found: Option<RequestId>,
}

impl<'a> WholeAnswers<'a> {
    pub(super) const fn new(config: &'a Config) -> WholeAnswers<'a> {
        WholeAnswers { config, came: BTreeSet::new(), found: None }
    }

    /// Who shares answers on a route.
    fn key(&self, route: RouteId, tenant: TenantId, content: u64) -> AnswerOf {
        let cache = self.config.routes.get(route.index()).and_then(|route| route.cache);
        let shared = cache.is_some_and(|cache| cache.shared);
        (route, if shared { TenantId(0) } else { tenant }, content)
    }

    /// A request of a tenant, whose content this is, was looked for.
    pub(super) fn looked_up(
        &mut self,
        now: Time,
        lookup: &CacheLookup,
        (tenant, content): (TenantId, Option<u64>),
    ) -> Result<(), Broken> {
        let (id, route) = (lookup.request.0, lookup.route);
        let cache = self.config.routes.get(route.index()).and_then(|route| route.cache);
        ensure!(cache.is_some(), "I57", "request {id} is looked for where nothing is kept");
        ensure!(
            content.is_some(),
            "I57",
            "request {id} is looked for, and nobody knows what it asks"
        );
        let (Some(cache), Some(content), Some(found)) = (cache, content, lookup.found) else {
            return Ok(());
        };
        let age = found.age;
        ensure!(
            age <= cache.ttl,
            "I57",
            "request {id} gets an answer of {age} ago, {} is allowed",
            cache.ttl
        );
        let came = Time(now.0.saturating_sub(age.0));
        let known = self.came.contains(&(self.key(route, tenant, content), came));
        ensure!(known, "I57", "request {id} gets an answer of {age} ago, and none came then");
        self.found = Some(lookup.request);
        Ok(())
    }

    /// A request has its end; `attempts` were made for it.
    pub(super) fn settled(
        &mut self,
        now: Time,
        settled: &Settled,
        (tenant, content): (TenantId, Option<u64>),
        attempts: usize,
    ) -> Result<(), Broken> {
        let id = settled.request;
        let found = self.found.take() == Some(id);
        ensure!(
            found == settled.cached,
            "I57",
            "request {} was found: {found}, and is completed so: {}",
            id.0,
            settled.cached
        );
        let free = attempts == 0 && settled.node.is_none() && settled.spent.0 == 0;
        ensure!(
            !settled.cached || (free && settled.usage == Usage::NONE),
            "I57",
            "request {} is answered from the cache, and costs something",
            id.0
        );
        // What was shortened or is of a cheaper model is for its moment only.
        let whole = settled.fate == Fate::Completed
            && !settled.degraded
            && settled.degraded_by < DegradeLevel::Clamp;
        if let Some(content) = content.filter(|_| whole && !settled.cached) {
            self.came.insert((self.key(settled.route, tenant, content), now));
        }
        Ok(())
    }
}

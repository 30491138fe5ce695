//! Answers that are kept, by route: who asks exactly what was answered before is given that answer,
//! at once and without a node.
//!
//! What a request asks is known by its content, a hash of all that makes the answer what it is; a
//! request without one is never looked for. Tenants do not get each other's answers, unless the route
//! says so. Only whole answers are kept, as the spine says; a newer one takes the place of an older.
//! An answer is kept until it is as old as the route lets it become, or until there are too many and
//! it was unused longest. Being used does not make it younger.

use std::collections::BTreeMap;

use super::spec::cache::CacheSpec;
use super::spec::route::RouteSpec;
use super::vocabulary::cache::{CacheLookup, KeptAnswer};
use super::vocabulary::outcome::Usage;
use super::vocabulary::request::Request;
use crate::unit::{Cost, RouteId, TenantId, Time};

/// Who asks what; tenants that share answers are all the first.
type AnswerKey = (TenantId, u64);

/// An answer that a route keeps.
#[derive(Clone, Copy, Debug)]
struct RouteAnswer {
    /// When it came.
    since: Time,
    /// Its turn: the larger, the later it was used.
    turn: u64,
    usage: Usage,
    cost: Cost,
}

/// The answers of a route.
#[derive(Debug)]
struct RouteAnswers {
    spec: CacheSpec,
    kept: BTreeMap<AnswerKey, RouteAnswer>,
    /// By turn.
    order: BTreeMap<u64, AnswerKey>,
    turns: u64,
    /// Tokens of all that are kept.
    tokens: u64,
}

impl RouteAnswers {
    fn new(spec: CacheSpec) -> RouteAnswers {
        let (kept, order) = (BTreeMap::new(), BTreeMap::new());
        RouteAnswers { spec, kept, order, turns: 0, tokens: 0 }
    }

    fn key(&self, request: &Request) -> Option<AnswerKey> {
        let tenant = if self.spec.shared { TenantId(0) } else { request.tenant };
        request.content.map(|content| (tenant, content))
    }

    fn find(&mut self, now: Time, key: AnswerKey) -> Option<KeptAnswer> {
        let answer = self.kept.get(&key)?;
        let age = now.since(answer.since);
        if age > self.spec.ttl {
            self.drop(key);
            return None;
        }
        let (found, before) =
            (KeptAnswer { age, usage: answer.usage, cost: answer.cost }, answer.turn);
        self.order.remove(&before);
        let turn = self.turn(key);
        if let Some(answer) = self.kept.get_mut(&key) {
            answer.turn = turn;
        }
        Some(found)
    }

    /// Gives an answer the latest turn.
    fn turn(&mut self, key: AnswerKey) -> u64 {
        self.turns += 1;
        self.order.insert(self.turns, key);
        self.turns
    }

    fn keep(&mut self, now: Time, key: AnswerKey, usage: Usage, cost: Cost) {
        self.drop(key);
        // What has no room of its own takes none from others.
        if self.spec.tokens.is_some_and(|most| usage.output.0 > most) {
            return;
        }
        let turn = self.turn(key);
        self.kept.insert(key, RouteAnswer { since: now, turn, usage, cost });
        self.tokens += usage.output.0;
        while self.is_too_full() {
            let Some((_, oldest)) = self.order.first_key_value() else { return };
            self.drop(*oldest);
        }
    }

    fn is_too_full(&self) -> bool {
        self.kept.len() > self.spec.entries as usize
            || self.spec.tokens.is_some_and(|most| self.tokens > most)
    }

    fn drop(&mut self, key: AnswerKey) {
        if let Some(answer) = self.kept.remove(&key) {
            self.order.remove(&answer.turn);
            self.tokens -= answer.usage.output.0;
        }
    }

    /// Recounts what is kept.
    fn check(&self, route: usize) -> Result<(), String> {
        let tokens: u64 = self.kept.values().map(|answer| answer.usage.output.0).sum();
        let turns =
            |(key, answer): (&AnswerKey, &RouteAnswer)| self.order.get(&answer.turn) == Some(key);
        let ordered = self.kept.len() == self.order.len() && self.kept.iter().all(turns);
        if self.is_too_full() || !ordered || tokens != self.tokens {
            let (kept, most) = (self.kept.len(), self.spec);
            return Err(format!(
                "I57: route {route} keeps {kept} answers of {tokens} tokens, counted {}, of {most:?}",
                self.tokens
            ));
        }
        Ok(())
    }
}

/// The answers that routes keep; none where no route keeps any.
#[derive(Debug)]
pub(super) struct AnswerCache {
    /// By route; empty if no route keeps answers.
    routes: Vec<Option<RouteAnswers>>,
}

impl AnswerCache {
    /// Nothing is kept yet.
    pub(super) fn new(routes: &[RouteSpec]) -> AnswerCache {
        let mut routes: Vec<Option<RouteAnswers>> =
            routes.iter().map(|route| route.cache.map(RouteAnswers::new)).collect();
        if routes.iter().all(Option::is_none) {
            routes.clear();
        }
        AnswerCache { routes }
    }

    /// Returns whether some route keeps answers.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        !self.routes.is_empty()
    }

    fn of(&mut self, route: RouteId) -> Option<&mut RouteAnswers> {
        self.routes.get_mut(route.index())?.as_mut()
    }

    /// Looks for the answer to a request; `None` if its route keeps none, or nobody knows what exactly
    /// it asks.
    pub(super) fn look_up(
        &mut self,
        now: Time,
        route: RouteId,
        request: &Request,
    ) -> Option<CacheLookup> {
        let answers = self.of(route)?;
        let found = answers.find(now, answers.key(request)?);
        let Request { id, class, arrived, .. } = *request;
        Some(CacheLookup { request: id, class, route, arrived, found })
    }

    /// Keeps a whole answer to a request.
    pub(super) fn keep(
        &mut self,
        now: Time,
        route: RouteId,
        request: &Request,
        (usage, cost): (Usage, Cost),
    ) {
        if let Some(answers) = self.of(route)
            && let Some(key) = answers.key(request)
        {
            answers.keep(now, key, usage, cost);
        }
    }

    /// Recounts everything that is kept.
    pub(super) fn check(&self) -> Result<(), String> {
        let routes = self.routes.iter().enumerate();
        routes
            .filter_map(|(at, answers)| Some((at, answers.as_ref()?)))
            .try_for_each(|(at, answers)| answers.check(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::at;
    use crate::rng::Rng;
    use crate::unit::{RequestId, Span, Tokens};

    const ROUTE: RouteId = RouteId(1);

    fn spec(entries: u32, tokens: Option<u64>, ttl: u64) -> CacheSpec {
        CacheSpec { entries, tokens, ttl: Span::from_secs(ttl), shared: false }
    }

    fn cache(spec: CacheSpec) -> AnswerCache {
        let keeps = RouteSpec { cache: Some(spec), ..RouteSpec::default() };
        AnswerCache::new(&[RouteSpec::default(), keeps])
    }

    fn asks(content: Option<u64>, tenant: u32) -> Request {
        let tenant = TenantId(tenant);
        Request { content, tenant, ..Request::new(RequestId(0), Time::ZERO) }
    }

    fn answer(tokens: u64) -> (Usage, Cost) {
        (Usage { output: Tokens(tokens), ..Usage::NONE }, Cost(u128::from(tokens)))
    }

    fn hit(cache: &mut AnswerCache, seconds: u64, request: &Request) -> Option<KeptAnswer> {
        cache.look_up(at(seconds), ROUTE, request).expect("it is looked for").found
    }

    #[test]
    fn an_answer_is_given_until_it_is_too_old_and_use_makes_it_no_younger() {
        let mut cache = cache(spec(10, None, 60));
        let request = asks(Some(7), 0);
        assert_eq!(hit(&mut cache, 0, &request), None);
        cache.keep(at(5), ROUTE, &request, answer(3));
        for seconds in [5, 40, 65] {
            let found = hit(&mut cache, seconds, &request).expect("it is young enough");
            assert_eq!((found.age, found.cost), (Span::from_secs(seconds - 5), Cost(3)));
        }
        assert_eq!(hit(&mut cache, 66, &request), None);
        assert_eq!(hit(&mut cache, 66, &asks(Some(8), 0)), None, "something else is asked");
        cache.keep(at(70), ROUTE, &request, answer(1));
        cache.keep(at(80), ROUTE, &request, answer(2));
        let found = hit(&mut cache, 81, &request).expect("the newer one");
        assert_eq!((found.age, found.usage.output), (Span::from_secs(1), Tokens(2)));
        cache.check().unwrap();
    }

    #[test]
    fn who_does_not_say_what_it_asks_is_not_looked_for_nor_on_other_routes() {
        let mut cache = cache(spec(10, None, 60));
        cache.keep(at(0), ROUTE, &asks(None, 0), answer(1));
        assert_eq!(cache.look_up(at(0), ROUTE, &asks(None, 0)), None);
        cache.keep(at(0), RouteId(0), &asks(Some(1), 0), answer(1));
        assert_eq!(cache.look_up(at(0), RouteId(0), &asks(Some(1), 0)), None);
        assert!(cache.is_on() && !AnswerCache::new(&[RouteSpec::default()]).is_on());
    }

    #[test]
    fn tenants_get_each_other_s_answers_only_where_the_route_says_so() {
        for shared in [false, true] {
            let mut cache = cache(CacheSpec { shared, ..spec(10, None, 60) });
            cache.keep(at(0), ROUTE, &asks(Some(1), 4), answer(1));
            assert!(hit(&mut cache, 1, &asks(Some(1), 4)).is_some());
            assert_eq!(hit(&mut cache, 1, &asks(Some(1), 5)).is_some(), shared);
        }
    }

    #[test]
    fn tokens_are_bounded_too_and_what_is_too_long_is_not_kept() {
        let mut cache = cache(spec(100, Some(10), 60));
        let request = |content| asks(Some(content), 0);
        cache.keep(at(0), ROUTE, &request(1), answer(4));
        cache.keep(at(0), ROUTE, &request(2), answer(4));
        cache.keep(at(0), ROUTE, &request(3), answer(4));
        assert_eq!(hit(&mut cache, 1, &request(1)), None, "it gave way");
        assert!(hit(&mut cache, 1, &request(2)).is_some());
        cache.keep(at(1), ROUTE, &request(4), answer(11));
        assert_eq!(hit(&mut cache, 1, &request(4)), None);
        for kept in [2, 3] {
            assert!(hit(&mut cache, 1, &request(kept)).is_some(), "it takes no room from others");
        }
        cache.check().unwrap();
    }

    /// The same as a list that is walked, whatever is asked in whatever order.
    #[test]
    fn what_is_kept_is_what_was_used_last() {
        for seed in 0..20 {
            let mut rng = Rng::stream(seed, "answers");
            let entries = 1 + rng.below(12);
            let mut cache = cache(spec(entries as u32, Some(400), 30));
            // Content, when it came, and tokens; the one used last is the last.
            let mut list: Vec<(u64, Time, u64)> = Vec::new();
            let mut hits = 0;
            for step in 0..2_000 {
                let (now, content) = (at(step / 7), rng.below(24) as u64);
                let place = list.iter().position(|kept| kept.0 == content);
                let kept = place.map(|place| list.remove(place));
                let kept = kept.filter(|kept| now.since(kept.1) <= Span::from_secs(30));
                list.extend(kept);
                let found = hit(&mut cache, step / 7, &asks(Some(content), 0));
                assert_eq!(
                    found.map(|found| (found.age, found.usage.output)),
                    kept.map(|kept| (now.since(kept.1), Tokens(kept.2)))
                );
                hits += u64::from(found.is_some());
                if found.is_none() || rng.below(10) == 0 {
                    let tokens = rng.below(90) as u64;
                    cache.keep(now, ROUTE, &asks(Some(content), 0), answer(tokens));
                    list.retain(|kept| kept.0 != content);
                    list.push((content, now, tokens));
                    while list.len() > entries || list.iter().map(|kept| kept.2).sum::<u64>() > 400
                    {
                        list.remove(0);
                    }
                }
                cache.check().unwrap();
            }
            assert!(hits > 20, "{hits}");
        }
    }
}

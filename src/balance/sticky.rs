//! Sessions that stay with their node: who names what a request before named goes where that one went.
//!
//! Two memories. A route that is sticky remembers what its requests name (a session, a user, a key of a
//! cache): the node that answered the last one of a name is the home of the next. And whatever the nodes
//! themselves give names to (an answer that one keeps, a session of a tool server) is remembered for all
//! routes, since who names it means that node: nobody else has it. Unless its route says that such a name
//! may go elsewhere, a request for it is turned away where its node cannot serve it.
//!
//! A home is where an answer came from, not where one was awaited: a session does not stick to a node that
//! has failed it. Each memory is bounded: what was quiet longest gives way, and what was quiet too long is
//! forgotten.

use std::collections::BTreeMap;

use super::spec::route::RouteSpec;
use super::spec::sticky::StickySpec;
use super::vocabulary::request::{HomeNode, Request, SessionKey, SessionKeyKind};
use crate::unit::{NodeId, RouteId, Span, Time};

/// So many names that nodes have given are remembered.
const GIVEN_MAX: usize = 100_000;

/// Where a session is at home.
#[derive(Clone, Copy, Debug)]
struct SessionHome {
    node: NodeId,
    /// When it was heard of last.
    heard: Time,
    /// Its turn: the larger, the later it was heard of.
    turn: u64,
}

/// Homes by name, no more than so many.
#[derive(Debug)]
struct SessionHomes {
    entries: usize,
    ttl: Option<Span>,
    homes: BTreeMap<SessionKey, SessionHome>,
    /// By turn.
    order: BTreeMap<u64, SessionKey>,
    turns: u64,
}

impl SessionHomes {
    const fn new(entries: usize, ttl: Option<Span>) -> SessionHomes {
        SessionHomes { entries, ttl, homes: BTreeMap::new(), order: BTreeMap::new(), turns: 0 }
    }

    fn node(&self, now: Time, key: SessionKey) -> Option<NodeId> {
        let home = self.homes.get(&key)?;
        let fresh = self.ttl.is_none_or(|ttl| now.since(home.heard) <= ttl);
        fresh.then_some(home.node)
    }

    fn remember(&mut self, now: Time, key: SessionKey, node: NodeId) {
        self.turns += 1;
        let home = SessionHome { node, heard: now, turn: self.turns };
        if let Some(before) = self.homes.insert(key, home) {
            self.order.remove(&before.turn);
        }
        self.order.insert(self.turns, key);
        while let Some((&turn, &key)) = self.order.first_key_value() {
            let heard = self.homes.get(&key).map_or(now, |home| home.heard);
            let old = self.ttl.is_some_and(|ttl| now.since(heard) > ttl);
            if self.homes.len() <= self.entries && !old {
                return;
            }
            self.order.remove(&turn);
            self.homes.remove(&key);
        }
    }

    fn is_sound(&self) -> bool {
        let known = |(turn, key): (&u64, &SessionKey)| {
            self.homes.get(key).map(|home| home.turn) == Some(*turn)
        };
        self.homes.len() <= self.entries
            && self.homes.len() == self.order.len()
            && self.order.iter().all(known)
    }
}

/// The sessions of a route.
#[derive(Debug)]
struct RouteSessions {
    spec: StickySpec,
    homes: SessionHomes,
}

/// The sessions of all routes, and the names that nodes have given.
#[derive(Debug)]
pub(super) struct StickySessions {
    /// By route; empty if none is sticky.
    routes: Vec<Option<RouteSessions>>,
    given: SessionHomes,
}

impl StickySessions {
    /// Nothing is remembered yet.
    pub(super) fn new(routes: &[RouteSpec]) -> StickySessions {
        let of = |spec: &StickySpec| RouteSessions {
            spec: spec.clone(),
            homes: SessionHomes::new(spec.entries as usize, Some(spec.ttl)),
        };
        let mut routes: Vec<Option<RouteSessions>> =
            routes.iter().map(|route| route.sticky.as_ref().map(of)).collect();
        if routes.iter().all(Option::is_none) {
            routes.clear();
        }
        StickySessions { routes, given: SessionHomes::new(GIVEN_MAX, None) }
    }

    /// Returns where a request is at home, if that is remembered.
    #[inline]
    pub(super) fn home(&self, now: Time, route: RouteId, request: &Request) -> Option<HomeNode> {
        if self.routes.is_empty() && request.keys.is_empty() {
            return None;
        }
        let of_route = self.routes.get(route.index()).and_then(Option::as_ref);
        let soft = |by: SessionKeyKind| {
            of_route.is_some_and(|this| !this.spec.hard && this.spec.by.contains(&by))
        };
        let given = request.keys.iter().filter(|key| key.by.is_given());
        let mut given = given.filter_map(|key| Some((key.by, self.given.node(now, *key)?)));
        if let Some((by, node)) = given.next() {
            return Some(HomeNode { node, only: !soft(by) });
        }
        let this = of_route?;
        let node = this.homes.node(now, this.key(request)?)?;
        Some(HomeNode { node, only: this.spec.hard })
    }

    /// A node answers a request: what it names stays there.
    #[inline]
    pub(super) fn answered(&mut self, now: Time, route: RouteId, request: &Request, node: NodeId) {
        if let Some(Some(this)) = self.routes.get_mut(route.index())
            && let Some(key) = this.key(request)
        {
            this.homes.remember(now, key, node);
        }
    }

    /// A node keeps something under this name.
    pub(super) fn keep(&mut self, now: Time, key: SessionKey, node: NodeId) {
        self.given.remember(now, key, node);
    }

    /// Recounts everything that is remembered.
    pub(super) fn check(&self) -> Result<(), String> {
        let routes = self.routes.iter().flatten().map(|this| &this.homes);
        let sound = routes.chain([&self.given]).all(SessionHomes::is_sound);
        if sound {
            Ok(())
        } else {
            Err("I58: sessions are remembered twice or too long".to_owned())
        }
    }
}

impl RouteSessions {
    /// Returns what a request is told to belong to, if it names any such thing. What nodes have named is
    /// remembered for all routes, not here.
    fn key(&self, request: &Request) -> Option<SessionKey> {
        let own = self.spec.by.iter().filter(|by| !by.is_given());
        own.filter_map(|by| request.key(*by)).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::at;
    use crate::unit::{PoolId, RequestId};

    fn spec(by: &[SessionKeyKind], hard: bool, entries: u32) -> StickySpec {
        StickySpec { by: by.to_vec(), hard, entries, ttl: Span::from_secs(10) }
    }

    fn route(sticky: Option<StickySpec>) -> RouteSpec {
        RouteSpec { to: vec![PoolId(0)], sticky, ..RouteSpec::default() }
    }

    fn request(session: Option<u64>, keys: &[(SessionKeyKind, u64)]) -> Request {
        let keys = keys.iter().map(|&(by, hash)| SessionKey { by, hash }).collect();
        Request { session, keys, ..Request::new(RequestId(0), Time::ZERO) }
    }

    const A: RouteId = RouteId(0);
    const B: RouteId = RouteId(1);

    #[test]
    fn a_session_stays_where_it_was_answered_last_and_each_route_has_its_own() {
        let by = [SessionKeyKind::User, SessionKeyKind::Session];
        let routes =
            [route(Some(spec(&by, true, 9))), route(Some(spec(&by, false, 9))), route(None)];
        let mut sticky = StickySessions::new(&routes);
        let this = request(Some(7), &[]);
        assert_eq!(sticky.home(at(0), A, &this), None);
        sticky.answered(at(0), A, &this, NodeId(3));
        assert_eq!(sticky.home(at(1), A, &this), Some(HomeNode { node: NodeId(3), only: true }));
        assert_eq!(sticky.home(at(1), B, &this), None);
        sticky.answered(at(1), B, &this, NodeId(4));
        assert_eq!(sticky.home(at(1), B, &this), Some(HomeNode { node: NodeId(4), only: false }));
        sticky.answered(at(2), B, &this, NodeId(5));
        assert_eq!(sticky.home(at(2), B, &this).map(|home| home.node), Some(NodeId(5)), "it moved");
        // The user comes first, and is another key than a session of the same hash.
        let both = request(Some(7), &[(SessionKeyKind::User, 7)]);
        assert_eq!(sticky.home(at(2), B, &both), None);
        assert_eq!(sticky.home(at(2), RouteId(2), &this), None);
        assert_eq!(sticky.home(at(2), A, &request(None, &[])), None);
        sticky.check().expect("sound");
    }

    #[test]
    fn what_is_quiet_is_forgotten_and_no_more_is_remembered_than_allowed() {
        let mut sticky =
            StickySessions::new(&[route(Some(spec(&[SessionKeyKind::Session], true, 3)))]);
        for session in 0..5 {
            sticky.answered(at(session), A, &request(Some(session), &[]), NodeId(session as u32));
            sticky.check().expect("sound");
        }
        let node = |sticky: &StickySessions, now: u64, session| {
            sticky.home(at(now), A, &request(Some(session), &[])).map(|home| home.node.0)
        };
        assert_eq!(
            [0, 1, 2, 3, 4].map(|session| node(&sticky, 4, session)),
            [None, None, Some(2), Some(3), Some(4)]
        );
        // Who is heard of is not the next to go.
        sticky.answered(at(4), A, &request(Some(2), &[]), NodeId(2));
        sticky.answered(at(5), A, &request(Some(9), &[]), NodeId(9));
        assert_eq!([2, 3].map(|session| node(&sticky, 5, session)), [Some(2), None]);
        let ttl = Span::from_secs(10);
        let late = at(4) + ttl;
        let home = |now| sticky.home(now, A, &request(Some(2), &[])).is_some();
        assert!(home(late) && !home(late + Span(1)));
    }

    #[test]
    fn what_a_node_has_named_is_there_for_all_routes_unless_one_lets_it_go() {
        let by = [SessionKeyKind::McpSession];
        let mut sticky = StickySessions::new(&[route(None), route(Some(spec(&by, false, 9)))]);
        let key = SessionKey { by: SessionKeyKind::McpSession, hash: 5 };
        let this = request(None, &[(SessionKeyKind::McpSession, 5)]);
        assert_eq!(sticky.home(at(0), A, &this), None, "nobody remembers it");
        sticky.keep(at(0), key, NodeId(2));
        assert_eq!(sticky.home(at(1), A, &this), Some(HomeNode { node: NodeId(2), only: true }));
        assert_eq!(sticky.home(at(1), B, &this), Some(HomeNode { node: NodeId(2), only: false }));
        let other = request(None, &[(SessionKeyKind::PreviousResponse, 5)]);
        assert_eq!(sticky.home(at(1), A, &other), None);
        for hash in 0..=GIVEN_MAX as u64 {
            sticky.keep(
                at(2),
                SessionKey { by: SessionKeyKind::PreviousResponse, hash },
                NodeId(1),
            );
        }
        sticky.check().expect("sound");
        assert_eq!(sticky.home(at(2), A, &this), None, "the oldest gave way");
    }
}

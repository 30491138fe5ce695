//! Sessions that stay with their node, held against who answered whom: where a route is hard about it, no
//! request goes elsewhere than to the node that answered the last one of its session when it came.

use std::collections::BTreeMap;

use super::{Broken, ensure};
use crate::balance::{Config, SessionKeyKind};
use crate::unit::{NodeId, RequestId, RouteId, Time};

/// Who answered the requests of each session, and when.
#[derive(Debug)]
pub(super) struct SessionAnswers<'a> {
    config: &'a Config,
    /// The latest last.
    answers: BTreeMap<RouteId, BTreeMap<u64, Vec<(Time, NodeId)>>>,
}

impl<'a> SessionAnswers<'a> {
    pub(super) const fn new(config: &'a Config) -> SessionAnswers<'a> {
        SessionAnswers { config, answers: BTreeMap::new() }
    }

    /// Whether a route lets a session be served nowhere but at home.
    pub(super) fn is_hard(&self, route: RouteId, session: Option<u64>) -> bool {
        let sticky = self.config.routes.get(route.index()).and_then(|route| route.sticky.as_ref());
        session.is_some()
            && sticky
                .is_some_and(|sticky| sticky.hard && sticky.by.contains(&SessionKeyKind::Session))
    }

    /// A node answers a request of a session.
    pub(super) fn answered(
        &mut self,
        now: Time,
        route: RouteId,
        session: Option<u64>,
        node: NodeId,
    ) {
        if let Some(session) = session.filter(|_| self.is_hard(route, session)) {
            self.answers.entry(route).or_default().entry(session).or_default().push((now, node));
        }
    }

    /// A request of a session that came at this time goes to a node.
    pub(super) fn dispatched(
        &self,
        (id, heard): (RequestId, Time),
        (route, session): (RouteId, Option<u64>),
        node: NodeId,
    ) -> Result<(), Broken> {
        let sessions = self.answers.get(&route).filter(|_| self.is_hard(route, session));
        let spec = self.config.routes.get(route.index()).and_then(|route| route.sticky.as_ref());
        let (Some(sessions), Some(spec), Some(session)) = (sessions, spec, session) else {
            return Ok(());
        };
        // Some may have given way to others.
        let answers = sessions.get(&session).filter(|_| sessions.len() <= spec.entries as usize);
        let Some(answers) = answers else { return Ok(()) };
        let before = answers.iter().rev().find(|(at, _)| *at < heard);
        let fresh = before.filter(|(at, _)| heard.since(*at) <= spec.ttl);
        // What came at the same moment may have come before it or after.
        let same = answers.iter().filter(|(at, _)| *at == heard).any(|(_, home)| *home == node);
        let home = fresh.is_none_or(|(_, home)| *home == node);
        ensure!(
            home || same,
            "I58",
            "request {} goes to {}, not where its session is",
            id.0,
            node.0
        );
        Ok(())
    }
}

//! The routing policy engine: which requests go to which pools, in which order.
//!
//! Rules are tried in file order and the first match wins; the last one must match everything, so
//! a request always has a route. Rules are compiled once to dense ids: for each class the list of
//! routes that could match it, so that most requests are routed by one look-up. It never looks at
//! the state of a node.

use serde::{Deserialize, Serialize};

use super::request::{Priority, Request};
use crate::unit::{ClassId, PoolId, RouteId, TenantId, Tokens};

/// A rule of the routing policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Which requests it is for.
    pub when: Match,
    /// Where they go: pools in failover order. Not empty.
    pub to: Vec<PoolId>,
    /// Tags, as a set of bits, that a node must have to serve them. A hard constraint.
    pub require: u64,
}

/// The conditions of a route; all that are given must hold, and none given matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// One of these classes; empty for any.
    pub classes: Vec<ClassId>,
    /// One of these tenants; empty for any.
    pub tenants: Vec<TenantId>,
    /// This priority.
    pub priority: Option<Priority>,
    /// At least so many prompt tokens.
    pub prompt_min: Option<Tokens>,
    /// At most so many prompt tokens.
    pub prompt_max: Option<Tokens>,
}

impl Match {
    /// Returns whether every request matches.
    #[must_use]
    pub fn is_total(&self) -> bool {
        *self == Match::default()
    }

    fn could_match(&self, class: ClassId) -> bool {
        self.classes.is_empty() || self.classes.contains(&class)
    }

    fn matches(&self, request: &Request) -> bool {
        (self.tenants.is_empty() || self.tenants.contains(&request.tenant))
            && self.priority.is_none_or(|priority| priority == request.priority)
            && self.prompt_min.is_none_or(|min| request.prompt >= min)
            && self.prompt_max.is_none_or(|max| request.prompt <= max)
    }
}

/// The compiled rules.
#[derive(Clone, Debug)]
pub struct Routes {
    specs: Vec<RouteSpec>,
    by_class: Vec<Vec<RouteId>>,
}

impl Routes {
    /// Compiles the rules for so many classes.
    ///
    /// # Panics
    /// If there is no rule, a rule names no pool, or the last rule does not match everything.
    #[must_use]
    pub fn new(specs: Vec<RouteSpec>, classes: usize) -> Routes {
        let last = specs.last().expect("there is at least one route");
        assert!(last.when.is_total(), "the last route matches everything");
        assert!(specs.iter().all(|spec| !spec.to.is_empty()), "a route names a pool");
        let by_class = (0..classes)
            .map(|class| {
                let class = ClassId(class as u16);
                (0..specs.len())
                    .filter(|&route| specs[route].when.could_match(class))
                    .map(|route| RouteId(route as u16))
                    .collect()
            })
            .collect();
        Routes { specs, by_class }
    }

    /// Returns the first route that matches. Requests of a class beyond those compiled for take
    /// the last route.
    #[must_use]
    pub fn of(&self, request: &Request) -> RouteId {
        let last = RouteId((self.specs.len() - 1) as u16);
        self.by_class.get(request.class.index()).map_or(last, |routes| {
            routes.iter().copied().find(|&id| self.get(id).when.matches(request)).unwrap_or(last)
        })
    }

    /// Returns the rule.
    ///
    /// # Panics
    /// If there is none of this id.
    #[must_use]
    pub fn get(&self, id: RouteId) -> &RouteSpec {
        &self.specs[id.index()]
    }

    /// Returns the number of rules.
    #[must_use]
    pub fn count(&self) -> usize {
        self.specs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{RequestId, Time};

    fn request(class: u16, prompt: u64) -> Request {
        Request {
            class: ClassId(class),
            prompt: Tokens(prompt),
            ..Request::new(RequestId(0), Time::ZERO)
        }
    }

    #[test]
    fn first_match_wins_and_the_last_takes_the_rest() {
        let route = |when| RouteSpec { when, to: vec![PoolId(0)], require: 0 };
        let routes = Routes::new(
            vec![
                route(Match { classes: vec![ClassId(1)], ..Match::default() }),
                route(Match { prompt_max: Some(Tokens(800)), ..Match::default() }),
                route(Match::default()),
            ],
            2,
        );
        assert_eq!(routes.of(&request(1, 10)), RouteId(0));
        assert_eq!(routes.of(&request(0, 800)), RouteId(1));
        assert_eq!(routes.of(&request(0, 801)), RouteId(2));
        assert_eq!(routes.of(&request(9, 10)), RouteId(2), "an unknown class takes the last route");
    }
}

//! The routing policy engine: which requests go to which pools, in which order.
//!
//! Rules are tried in file order and the first match wins; the last one must match everything, so
//! a request always has a route. Rules are compiled once to dense ids: for each class the list of
//! routes that could match it, so that most requests are routed by one look-up.
//!
//! A route may split its traffic: the pool that comes first is drawn from a hash of the session, or
//! of the request where there is none, so that a conversation stays with one model and the draw
//! needs no memory (a canary release). And it may degrade: pools of a cheaper model take over under
//! pressure. Which of its pools a request may use in which order is its *lane*. Matching never
//! looks at the state of a node.

use crate::balance::fleet::Fleet;
use crate::balance::spec::node::Tier;
use crate::balance::spec::route::{Degrading, LaneId, ModelRule, Pressure, RouteSpec};
use crate::balance::vocabulary::request::Request;
use crate::rng::mix;
use crate::unit::{ClassId, PoolId, Ratio, RouteId};

impl Pressure {
    /// Returns what it means for a request whose route has these own pools and whose lane begins
    /// with the pool `home`, if any node may serve it.
    pub(in crate::balance) fn now(
        self,
        own: &[PoolId],
        home: Option<(PoolId, Tier)>,
        waiting: u32,
        fleet: &Fleet,
    ) -> Degrading {
        let load = || {
            own.iter().fold((0, 0), |(in_flight, capacity), pool| {
                let (more, room) = fleet.pool_load(*pool);
                (in_flight + more, capacity + room)
            })
        };
        let early = match self {
            Pressure::NoRoom => false,
            Pressure::Waiting(least) => {
                // Where no node of its own is left, waiting for one is in vain.
                let served = home.is_some_and(|(pool, _)| own.contains(&pool));
                if served && waiting < least {
                    return Degrading::No;
                }
                false
            }
            Pressure::InFlight(least) => load().0 >= least,
            Pressure::Utilisation(least) => {
                let (in_flight, capacity) = load();
                u128::from(in_flight) * u128::from(Ratio::ONE.0)
                    >= u128::from(capacity) * u128::from(least.0)
            }
        };
        if early { Degrading::Before } else { Degrading::After }
    }
}

/// The compiled rules.
#[derive(Clone, Debug)]
pub struct Routes {
    specs: Vec<RouteSpec>,
    by_class: Vec<Vec<RouteId>>,
    lanes: Vec<Lane>,
    /// By route: its first lane. A route has one lane, or one for each part of its split, or one for
    /// each pool it chooses from.
    first_lane: Vec<LaneId>,
    /// Keys the draws of splits.
    key: u64,
}

/// The pools a request may use, in order.
#[derive(Clone, Debug)]
struct Lane {
    pools: Vec<PoolId>,
    /// So many of them are the route's own; the others are those it degrades to.
    own: usize,
}

impl Lane {
    /// The lane of a route in which `first`, if given, comes first.
    fn new(spec: &RouteSpec, first: Option<PoolId>) -> Lane {
        let others = spec.to.iter().copied().filter(|pool| Some(*pool) != first);
        let mut pools: Vec<PoolId> = first.into_iter().chain(others).collect();
        let own = pools.len();
        pools.extend(spec.degrade.iter().flat_map(|degrade| &degrade.to));
        Lane { pools, own }
    }

    /// The lane of a route that begins at this place of its pools.
    fn from(spec: &RouteSpec, place: usize) -> Lane {
        let mut pools = spec.to[place..].to_vec();
        let own = pools.len();
        pools.extend(spec.degrade.iter().flat_map(|degrade| &degrade.to));
        Lane { pools, own }
    }
}

impl Routes {
    /// Compiles the rules for so many classes; `key` keys the draws of splits.
    ///
    /// # Panics
    /// If there is no rule, a rule names no pool, or the last rule does not match everything.
    #[must_use]
    pub fn new(specs: Vec<RouteSpec>, classes: usize, key: u64) -> Routes {
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
        let (mut lanes, mut first_lane) = (Vec::new(), Vec::new());
        for spec in &specs {
            first_lane.push(lanes.len() as LaneId);
            match &spec.choose {
                // What was asked and found wanting is not asked again.
                Some(ModelRule::Cascade { .. }) => {
                    lanes.extend((0..spec.to.len()).map(|place| Lane::from(spec, place)));
                }
                Some(_) => lanes.extend(spec.to.iter().map(|pool| Lane::new(spec, Some(*pool)))),
                None => {
                    lanes.extend(spec.split.iter().map(|(pool, _)| Lane::new(spec, Some(*pool))));
                    if spec.split.is_empty() {
                        lanes.push(Lane::new(spec, None));
                    }
                }
            }
        }
        Routes { specs, by_class, lanes, first_lane, key }
    }

    /// Returns the lane of a request on its route: the same one for all requests of a session.
    pub(in crate::balance) fn lane(&self, id: RouteId, request: &Request) -> LaneId {
        let (first, split) = (self.first_lane(id), &self.get(id).split);
        if split.is_empty() {
            return first;
        }
        // Sessions and requests are numbered alike, so each kind has a key of its own.
        let (kind, number) = request.session.map_or((0, request.id.0), |session| (1, session));
        let hash = mix(mix(self.key, u64::from(id.0) * 2 + kind), number);
        // Uniform on 0..ONE to within 2^-44.
        let mut point = ((u128::from(hash) * u128::from(Ratio::ONE.0)) >> 64) as u64;
        for (place, (_, share)) in split.iter().enumerate() {
            let share = u64::from(share.0);
            if point < share {
                return first + place as LaneId;
            }
            point -= share;
        }
        first
    }

    /// Returns the first lane of a route.
    pub(in crate::balance) fn first_lane(&self, id: RouteId) -> LaneId {
        self.first_lane[id.index()]
    }

    /// Returns the pools of a lane: the route's own and those it degrades to, each in order.
    pub(in crate::balance) fn pools(&self, lane: LaneId) -> (&[PoolId], &[PoolId]) {
        let lane = &self.lanes[lane as usize];
        lane.pools.split_at(lane.own)
    }

    /// Returns every lane with the route it belongs to.
    pub(in crate::balance) fn lanes(&self) -> impl Iterator<Item = (LaneId, &RouteSpec)> {
        let routes = self.specs.iter().zip(&self.first_lane);
        routes.flat_map(|(spec, first)| (*first..).take(spec.lanes()).map(move |lane| (lane, spec)))
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
    use crate::balance::spec::route::{Degrade, Match};
    use crate::unit::{ModelId, RegionId, Tokens};
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
        let route = |when| RouteSpec { when, to: vec![PoolId(0)], ..RouteSpec::default() };
        let routes = Routes::new(
            vec![
                route(Match { classes: vec![ClassId(1)], ..Match::default() }),
                route(Match { prompt_max: Some(Tokens(800)), ..Match::default() }),
                route(Match::default()),
            ],
            2,
            1,
        );
        assert_eq!(routes.of(&request(1, 10)), RouteId(0));
        assert_eq!(routes.of(&request(0, 800)), RouteId(1));
        assert_eq!(routes.of(&request(0, 801)), RouteId(2));
        assert_eq!(routes.of(&request(9, 10)), RouteId(2), "an unknown class takes the last route");
    }

    #[test]
    fn who_names_a_model_takes_a_route_of_it_and_no_other() {
        let mut nodes = crate::balance::fixture::config(3, 1).nodes;
        nodes.iter_mut().zip([1, 2, 2]).for_each(|(node, model)| node.model = ModelId(model));
        let degrade = Some(Degrade { to: vec![PoolId(2)], when: Pressure::NoRoom });
        let second = Match { classes: vec![ClassId(1)], ..Match::default() };
        let split = vec![(PoolId(0), Ratio::ONE), (PoolId(1), Ratio::ZERO)];
        let mut specs = vec![
            RouteSpec { when: second, to: vec![PoolId(1)], ..RouteSpec::default() },
            RouteSpec { to: vec![PoolId(0), PoolId(1)], split, degrade, ..RouteSpec::default() },
        ];
        let models = [1, 2, 3].map(ModelId);
        let added = RouteSpec::name_models(&mut specs, &nodes, &models).expect("few routes");
        // What no pool of a route serves leads nowhere.
        assert_eq!(added, [(0, models[1]), (1, models[0]), (1, models[1])]);
        let ways: Vec<(&[PoolId], bool)> =
            specs.iter().map(|spec| (&spec.to[..], spec.degrade.is_some())).collect();
        let (first, other, both) =
            (&[PoolId(0)][..], &[PoolId(1)][..], &[PoolId(0), PoolId(1)][..]);
        assert_eq!(
            ways,
            [(other, false), (other, false), (first, false), (other, true), (both, true)]
        );
        let routes = Routes::new(specs, 2, 1);
        let of = |class, model: Option<u16>| {
            routes.of(&Request { model: model.map(ModelId), ..request(class, 10) }).0
        };
        assert_eq!([of(0, None), of(1, None)], [4, 0]);
        assert_eq!([of(0, Some(1)), of(0, Some(2)), of(1, Some(2)), of(1, Some(1))], [2, 3, 1, 2]);
        assert_eq!(of(0, Some(3)), 4, "nobody serves it: the last route, which does not take it");
        assert_ne!(routes.get(RouteId(4)).when.model, Some(ModelId(3)));
    }

    #[test]
    fn every_condition_can_tell_requests_apart() {
        let base = Request {
            session: Some(7),
            region: Some(RegionId(1)),
            attributes: 0b101,
            ..request(0, 10)
        };
        let any = Match::default();
        let matches = |when: Match| when.matches(&base);
        assert!(matches(Match { attributes: vec![0b011, 0b100], ..any.clone() }));
        assert!(!matches(Match { attributes: vec![0b011, 0b010], ..any.clone() }));
        assert!(matches(Match { session: Some(true), ..any.clone() }));
        assert!(!matches(Match { session: Some(false), ..any.clone() }));
        assert!(matches(Match { regions: vec![RegionId(0), RegionId(1)], ..any.clone() }));
        assert!(!matches(Match { regions: vec![RegionId(0)], ..any.clone() }));
        let from = Match { regions: vec![RegionId(1)], ..any };
        assert!(!from.matches(&request(0, 10)), "from nowhere known matches no region");
        assert!(!from.is_total());
    }

    /// A canary of `share` beside pool 1, degrading to pool 2.
    fn canary(share: u32, key: u64) -> Routes {
        let split = vec![(PoolId(0), Ratio(share)), (PoolId(1), Ratio(Ratio::ONE.0 - share))];
        let degrade = Some(Degrade { to: vec![PoolId(2)], when: Pressure::NoRoom });
        let to = vec![PoolId(0), PoolId(1)];
        let spec = RouteSpec { to, split, degrade, ..RouteSpec::default() };
        Routes::new(vec![spec], 1, key)
    }

    fn first(routes: &Routes, id: u64, session: Option<u64>) -> PoolId {
        let request = Request { session, ..Request::new(RequestId(id), Time::ZERO) };
        let (own, cheap) = routes.pools(routes.lane(RouteId(0), &request));
        assert_eq!((own.len(), cheap), (2, &[PoolId(2)][..]), "everyone has every pool");
        own[0]
    }

    #[test]
    fn a_split_has_its_shares_and_keeps_sessions_together() {
        let total = 100_000_u64;
        for share in [5_000, 50_000, 500_000] {
            let routes = canary(share, u64::from(share));
            let p = f64::from(share) / 1e6;
            // 3.29 standard deviations: 99.9 % of runs, and the seed is fixed.
            let most = 3.29 * (total as f64 * p * (1.0 - p)).sqrt();
            for sessions in [false, true] {
                let pools = (0..total)
                    .map(|id| first(&routes, id, sessions.then_some(id)))
                    .filter(|pool| *pool == PoolId(0));
                let off = pools.count() as f64 - total as f64 * p;
                assert!(off.abs() < most, "{share}, sessions {sessions}: off by {off}");
            }
        }
        let routes = canary(500_000, 1);
        let both = |session| {
            let pools: Vec<PoolId> = (0..50).map(|id| first(&routes, id, session)).collect();
            pools.contains(&PoolId(0)) && pools.contains(&PoolId(1))
        };
        assert!((0..100).all(|session| !both(Some(session))), "a session has one model");
        assert!(both(None), "requests without a session are drawn one by one");
    }
}

//! Routes as configured: what they match, where they lead, how a model is chosen.

use super::cache::CacheSpec;
use super::node::NodeSpec;
use super::sticky::StickySpec;
use crate::balance::vocabulary::request::{Priority, Request};
use crate::unit::{ClassId, ModelId, PoolId, Ratio, RegionId, TenantId, Tokens};

/// There are ids for so many routes, those that lead to a named model included.
pub(super) const ROUTE_IDS: usize = 1 << 16;

/// A rule of the routing policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSpec {
    /// Which requests it is for.
    pub when: Match,
    /// Where they go: pools in failover order. Not empty.
    pub to: Vec<PoolId>,
    /// Tags, as a set of bits, that a node must have to serve them. A hard constraint, which holds
    /// for every pool named here.
    pub require: u64,
    /// Which pool of `to` comes first, by share; the shares sum to one. Empty for the order of `to`.
    pub split: Vec<(PoolId, Ratio)>,
    /// Which pools take over under pressure.
    pub degrade: Option<Degrade>,
    /// How one of `to` is chosen for each request. Not together with `split`.
    pub choose: Option<ModelRule>,
    /// Whether what the policy of one pool's provider is against goes on to the next pool.
    pub past_policy: bool,
    /// Which answers are kept, and given to whoever asks the same.
    pub cache: Option<CacheSpec>,
    /// Which requests go where those before them went.
    pub sticky: Option<StickySpec>,
    /// Whether an answer that was cut after its first token goes on elsewhere; `None` as
    /// [`Retry::resume`](super::retry::Retry::resume) says for all.
    pub resume: Option<bool>,
}

impl RouteSpec {
    /// Returns whether requests of a class that name this model may go this way.
    #[must_use]
    pub fn leads_to(&self, class: ClassId, model: ModelId) -> bool {
        self.when.model == Some(model) && self.when.could_match(class)
    }

    /// Returns whether its nodes are of the model that a request names, if it names one.
    #[inline]
    pub(in crate::balance) fn serves_what_is_named(&self, request: &Request) -> bool {
        request.model.is_none() || self.when.model == request.model
    }

    /// Returns what a node must have to serve its requests.
    #[inline]
    pub(in crate::balance) const fn demands(&self) -> Demands {
        Demands { tags: self.require, model: self.when.model }
    }

    /// Returns the same route for requests that name this model, through those of its pools that have a
    /// node of it; `None` if none has.
    fn naming(&self, model: ModelId, nodes: &[NodeSpec]) -> Option<RouteSpec> {
        let when = Match { model: Some(model), ..self.when.clone() };
        let demands = Demands { tags: self.require, model: Some(model) };
        let serves = |pool: &&PoolId| {
            nodes.iter().any(|node| node.pool == **pool && demands.are_met_by(node))
        };
        let to: Vec<PoolId> = self.to.iter().filter(serves).copied().collect();
        let cheap = |degrade: &Degrade| -> Option<Degrade> {
            let to: Vec<PoolId> = degrade.to.iter().filter(serves).copied().collect();
            (!to.is_empty()).then_some(Degrade { to, when: degrade.when })
        };
        (!to.is_empty()).then(|| RouteSpec {
            when,
            to,
            require: self.require,
            degrade: self.degrade.as_ref().and_then(cheap),
            past_policy: self.past_policy,
            cache: self.cache,
            sticky: self.sticky.clone(),
            resume: self.resume,
            ..RouteSpec::default()
        })
    }

    /// Adds to routes, before the last one, those for requests that name one of these models: each route
    /// once more for each model that its pools have, without the choice that is made already. Returns
    /// which route each one is like, and its model; `None`, and adds nothing, if there would be more than
    /// [`ROUTE_IDS`].
    pub fn name_models(
        routes: &mut Vec<RouteSpec>,
        nodes: &[NodeSpec],
        models: &[ModelId],
    ) -> Option<Vec<(usize, ModelId)>> {
        let like = routes.iter().enumerate().filter(|(_, spec)| spec.when.model.is_none());
        let all = like.flat_map(|(at, spec)| models.iter().map(move |model| (at, spec, *model)));
        let added =
            all.filter_map(|(at, spec, model)| Some((at, model, spec.naming(model, nodes)?)));
        let room = ROUTE_IDS - routes.len().min(ROUTE_IDS);
        let added: Vec<_> = added.take(room + 1).collect();
        if added.len() > room {
            return None;
        }
        let last = routes.len().saturating_sub(1);
        let names = added.iter().map(|(at, model, _)| (*at, *model)).collect();
        routes.splice(last..last, added.into_iter().map(|(_, _, spec)| spec));
        Some(names)
    }

    /// Returns how many lanes it has.
    pub(in crate::balance) fn lanes(&self) -> usize {
        if self.choose.is_some() { self.to.len() } else { self.split.len().max(1) }
    }
}

/// Pools of a cheaper or smaller model that take over under pressure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degrade {
    /// The pools, in failover order; none of them is one of the route's own. Not empty.
    pub to: Vec<PoolId>,
    /// When they take over.
    pub when: Pressure,
}

/// When a route degrades. In flight and utilisation are those of the route's own pools, counted
/// over all routes that use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// When no node of the route's own pools is open for the request.
    NoRoom,
    /// As `NoRoom`, but only while at least so many requests wait, over all routes; before that
    /// they wait.
    Waiting(u32),
    /// As `NoRoom`, and before that as soon as so many attempts are in flight.
    InFlight(u64),
    /// As `NoRoom`, and before that as soon as attempts in flight are this share of what the nodes
    /// that are up may take at a time. Nodes without such a limit are never used up.
    Utilisation(Ratio),
}

/// What pressure means for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum Degrading {
    /// The route's own pools only.
    No,
    /// The route's own pools first.
    After,
    /// The cheaper pools first.
    Before,
    /// The cheaper pools only.
    Only,
    /// The route's own pools only, the second one first and the first one last.
    Next,
}

/// Names a lane of a route: an order of the pools that a request may use.
pub(in crate::balance) type LaneId = u32;

/// The conditions of a route; all that are given must hold, and none given matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Sets of attributes as bits: the request has at least one of each set.
    pub attributes: Vec<u64>,
    /// Whether it belongs to a session.
    pub session: Option<bool>,
    /// It comes from one of these regions; empty for any, and from nowhere known.
    pub regions: Vec<RegionId>,
    /// It names this model, and goes to nodes of it only. A request that names one matches no route that
    /// says nothing of it.
    pub model: Option<ModelId>,
}

impl Match {
    /// Returns whether every request matches.
    #[must_use]
    pub fn is_total(&self) -> bool {
        *self == Match::default()
    }

    pub(in crate::balance) fn could_match(&self, class: ClassId) -> bool {
        self.classes.is_empty() || self.classes.contains(&class)
    }

    pub(in crate::balance) fn matches(&self, request: &Request) -> bool {
        self.model == request.model
            && (self.tenants.is_empty() || self.tenants.contains(&request.tenant))
            && self.priority.is_none_or(|priority| priority == request.priority)
            && self.prompt_min.is_none_or(|min| request.prompt >= min)
            && self.prompt_max.is_none_or(|max| request.prompt <= max)
            && self.attributes.iter().all(|any| request.attributes & any != 0)
            && self.session.is_none_or(|some| some == request.session.is_some())
            && (self.regions.is_empty()
                || request.region.is_some_and(|region| self.regions.contains(&region)))
    }
}

/// A route chooses among at most so many pools.
pub const CHOICES_MAX: usize = 8;

/// A quantile is taken of at most so many requests.
pub const SCORES_MAX: u32 = 100_000;

/// How a route chooses among its pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelRule {
    /// The harder requests go to the second of two pools.
    Complexity {
        /// The share of the route's requests that the second pool gets.
        strong_share: Ratio,
        /// Hard is what is hard among so many of the last requests. At least one.
        window: u32,
    },
    /// As by complexity, but what is hard is learnt from what is known of good answers, and what they cost.
    Threshold {
        /// What a good answer is worth, in micro-dollars. Above zero.
        worth: u64,
        /// So many observations of a model count for what was believed before any: half of them good. At
        /// least one.
        prior: u32,
        /// Observations of a tenth of the requests count for at most so many. At least two.
        memory: u32,
        /// Hard is what is hard among so many of the last requests. At least one.
        window: u32,
    },
    /// Pool after pool, until an answer is good enough.
    Cascade {
        /// The least score that is good enough; the last pool's answers all are.
        accept: Ratio,
    },
    /// By what is known of good answers, and what they cost.
    Bandit {
        /// What a good answer is worth, in micro-dollars. Above zero.
        worth: u64,
        /// So many observations count for what was believed before any: half of them good. At least
        /// one.
        prior: u32,
        /// Observations of a class count for at most so many. At least two.
        memory: u32,
    },
}

impl ModelRule {
    /// Returns whether it goes by how hard a request is.
    #[must_use]
    pub const fn asks_complexity(&self) -> bool {
        matches!(self, ModelRule::Complexity { .. } | ModelRule::Threshold { .. })
    }

    /// Returns whether it learns from what is said of answers.
    #[must_use]
    pub const fn learns(&self) -> bool {
        matches!(self, ModelRule::Bandit { .. } | ModelRule::Threshold { .. })
    }

    /// Returns whether a route with these many pools may choose so.
    pub(in crate::balance) fn fits(&self, spec: &RouteSpec) -> bool {
        let pools = spec.to.len();
        let one = spec.split.is_empty() && (2..=CHOICES_MAX).contains(&pools);
        one && match self {
            ModelRule::Complexity { window, .. } => pools == 2 && (1..=SCORES_MAX).contains(window),
            ModelRule::Threshold { worth, prior, memory, window } => {
                let counts = *worth > 0 && *prior > 0 && *memory > 1;
                pools == 2 && (1..=SCORES_MAX).contains(window) && counts
            }
            ModelRule::Cascade { .. } => true,
            ModelRule::Bandit { worth, prior, memory } => *worth > 0 && *prior > 0 && *memory > 1,
        }
    }
}

/// What a node must have to serve some requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) struct Demands {
    /// Tags as bits.
    pub(in crate::balance) tags: u64,
    /// The model that they name.
    pub(in crate::balance) model: Option<ModelId>,
}

impl Demands {
    /// Returns whether nothing is asked for.
    #[inline]
    pub(in crate::balance) fn are_none(&self) -> bool {
        self.tags == 0 && self.model.is_none()
    }

    #[inline]
    pub(in crate::balance) fn are_met_by(&self, node: &NodeSpec) -> bool {
        node.tags & self.tags == self.tags && self.model.is_none_or(|model| node.model == model)
    }
}

/// Everything that a route may use: the nodes with these tags in these pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::balance) struct RouteNodes {
    /// Its own pools and those it degrades to.
    pub(in crate::balance) pools: Vec<PoolId>,
    /// What a node of them must have.
    pub(in crate::balance) demands: Demands,
}

impl RouteNodes {
    /// What this route may use.
    pub(in crate::balance) fn of(route: &RouteSpec) -> RouteNodes {
        let cheap = route.degrade.iter().flat_map(|degrade| &degrade.to);
        RouteNodes {
            pools: route.to.iter().chain(cheap).copied().collect(),
            demands: route.demands(),
        }
    }

    /// Returns whether this node is among them.
    pub(in crate::balance) fn has(&self, node: &NodeSpec) -> bool {
        self.demands.are_met_by(node) && self.pools.contains(&node.pool)
    }
}

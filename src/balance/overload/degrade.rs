//! Degradation: what is given up under load, the least valuable first, one level after the other.
//!
//! Each route stands on a level; each level does what those below it do, and one thing more: no hedges;
//! a shorter queue; nothing sheddable comes in; answers are clamped to so many tokens; a cheaper or
//! smaller model comes first; nothing but what is critical comes in. (Cached and canned answers, which
//! others put before the last level, are not the balancer's to give.) The saturation of the route (see
//! `saturation`) drives it: one level up when it is at or above the threshold of the next one, one down
//! when it is below that of the present one by the hysteresis, and neither before the level was stood on
//! for a while. So a change of level happens at most once in that while, however the load swings.
//!
//! What a level did to a request stays with it: a clamped answer stays clamped when it is tried again,
//! and its outcome says which level touched it last. Who waits already keeps the place and the time it
//! was promised. A level touches no hard constraint of a route.

use super::Overload;
use crate::balance::spec::overload::{DegradeLevel, DegradeSpec};
use crate::balance::spec::route::{Degrading, RouteSpec};
use crate::unit::{Ratio, RouteId, Tokens};

impl Overload {
    /// Returns the level of degradation of a route; [`DegradeLevel::Calm`] where nothing is degraded.
    #[inline]
    pub(in crate::balance) fn level(&self, route: RouteId) -> DegradeLevel {
        self.routes.get(route.index()).map_or(DegradeLevel::Calm, |this| this.level)
    }

    /// Returns what is configured if a route is at this level or above it, and the level is not left
    /// out.
    #[inline]
    fn gives_up(&self, route: RouteId, level: DegradeLevel) -> Option<&DegradeSpec> {
        let this = self.routes.get(route.index())?;
        let spec = self.degrade.as_ref()?;
        (this.level >= level && spec.threshold(level).is_some()).then_some(spec)
    }

    /// Returns whether requests of a route have no hedges.
    #[inline]
    pub(in crate::balance) fn drops_hedges(&self, route: RouteId) -> bool {
        self.gives_up(route, DegradeLevel::Hedges).is_some()
    }

    /// Returns what is left of the queue for a route, if it is shortened.
    #[inline]
    pub(in crate::balance) fn queue_share(&self, route: RouteId) -> Option<Ratio> {
        self.gives_up(route, DegradeLevel::Queue).map(|spec| spec.queue)
    }

    /// Returns what answers of a route are clamped to, if they are.
    #[inline]
    pub(in crate::balance) fn clamp(&self, route: RouteId) -> Option<Tokens> {
        self.gives_up(route, DegradeLevel::Clamp).map(|spec| spec.max_tokens)
    }

    /// Returns whether the cheaper pools come first for a route, or its second one does.
    #[inline]
    pub(in crate::balance) fn cheaper(
        &self,
        route: RouteId,
        spec: &RouteSpec,
    ) -> Option<Degrading> {
        self.gives_up(route, DegradeLevel::Cheaper)?;
        match &spec.degrade {
            Some(_) => Some(Degrading::Before),
            // Where a model is chosen the order of pools says who is asked next, not who is cheaper.
            None => spec.choose.is_none().then_some(Degrading::Next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::fixture::config;

    #[test]
    fn a_level_that_is_left_out_gives_nothing_up() {
        let mut config = config(2, 1);
        let mut spec = DegradeSpec::default();
        spec.at[3] = None;
        config.degrade = Some(spec);
        let mut overload = Overload::new(&config);
        let route = RouteId(0);
        assert_eq!(overload.level(route), DegradeLevel::Calm);
        assert!(!overload.drops_hedges(route) && overload.queue_share(route).is_none());
        overload.routes[0].level = DegradeLevel::Cheaper;
        assert!(overload.drops_hedges(route));
        assert_eq!(overload.queue_share(route), Some(spec.queue));
        assert_eq!(overload.clamp(route), None, "it is left out");
        let cheaper = overload.cheaper(route, &config.routes[0]);
        assert_eq!(
            cheaper,
            Some(Degrading::Next),
            "a route that degrades to no pool has its second"
        );
    }

    #[test]
    fn where_nothing_is_done_about_load_nothing_is_given_up() {
        let overload = Overload::new(&config(1, 1));
        assert!(!overload.is_on() && !overload.drops_hedges(RouteId(0)));
        assert_eq!(overload.level(RouteId(7)), DegradeLevel::Calm);
    }
}

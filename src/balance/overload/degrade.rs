//! The ladder of degradation: what is given up under load, the least valuable first, one rung after
//! the other.
//!
//! Each route stands on a rung; each rung does what those below it do, and one thing more: no hedges;
//! a shorter queue; nothing sheddable comes in; answers are clamped to so many tokens; a cheaper or
//! smaller model comes first; nothing but what is critical comes in. (Cached and canned answers, which
//! others put before the last rung, are not the balancer's to give.) The saturation of the route (see
//! `saturation`) drives it: one rung up when it is at or above the threshold of the next one, one down
//! when it is below that of the present one by the hysteresis, and neither before the rung was stood on
//! for a while. So a change of rung happens at most once in that while, however the load swings.
//!
//! What a rung did to a request stays with it: a clamped answer stays clamped when it is tried again,
//! and its outcome says which rung touched it last. Who waits already keeps the place and the time it
//! was promised. A rung touches no hard constraint of a route.

use crate::balance::balancer::Balancer;
use crate::balance::requests::RequestKey;
use crate::balance::routing::Degrading;
use crate::balance::spec::overload::{DegradeSpec, Rung};
use crate::unit::{PoolId, Ratio, RouteId};

impl Balancer {
    /// Returns the rung of a route; [`Rung::Calm`] where there is no ladder.
    #[must_use]
    pub fn rung(&self, route: RouteId) -> Rung {
        self.overload.as_ref().map_or(Rung::Calm, |overload| overload.routes[route.index()].rung)
    }

    /// Notes that a rung changed what becomes of a request.
    pub(in crate::balance) fn touch(&mut self, key: RequestKey, rung: Rung) {
        let touched = &mut self.requests[key].touched;
        *touched = rung.max(*touched);
    }

    /// Returns whether a request has no hedge because of the ladder.
    pub(in crate::balance) fn drops_hedge(&mut self, key: RequestKey) -> bool {
        let drops = self.gives_up(self.requests[key].route, Rung::Hedges).is_some();
        if drops {
            self.touch(key, Rung::Hedges);
        }
        drops
    }

    /// Returns the ladder if a route stands on this rung or above it, and the rung is not left out.
    fn gives_up(&self, route: RouteId, rung: Rung) -> Option<&DegradeSpec> {
        let overload = self.overload.as_deref()?;
        let spec = overload.degrade.as_ref()?;
        let on = overload.routes[route.index()].rung >= rung && spec.threshold(rung).is_some();
        on.then_some(spec)
    }

    /// Returns what is left of the queue for a route that stands on such a rung.
    pub(in crate::balance) fn shortened(&self, route: RouteId) -> Option<Ratio> {
        self.gives_up(route, Rung::Queue).map(|spec| spec.queue)
    }

    /// Returns whether the cheaper pools come first for a route, or its second one does.
    pub(in crate::balance) fn cheaper(&self, route: RouteId) -> Option<Degrading> {
        self.gives_up(route, Rung::Cheaper)?;
        let spec = self.routes.get(route);
        match &spec.degrade {
            Some(_) => Some(Degrading::Before),
            // Where a model is chosen the order of pools says who is asked next, not who is cheaper.
            None => spec.choose.is_none().then_some(Degrading::Next),
        }
    }

    /// Does to a request that is being dispatched what its rung asks for. Returns whether it goes to
    /// another pool because of it.
    pub(in crate::balance) fn lower(&mut self, key: RequestKey, pool: PoolId) -> bool {
        let (route, lane) = (self.requests[key].route, self.requests[key].lane);
        if let Some(most) = self.gives_up(route, Rung::Clamp).map(|spec| spec.max_tokens) {
            let live = &mut self.requests[key];
            if live.request.output_max.is_none_or(|max| max > most) {
                live.request.output_max = Some(most);
                live.clamp = Some(most);
                self.touch(key, Rung::Clamp);
            }
        }
        let (own, cheap) = self.routes.pools(lane);
        let moved = match self.cheaper(route) {
            Some(Degrading::Before) => cheap.contains(&pool),
            Some(Degrading::Next) => own.first() != Some(&pool),
            _ => false,
        };
        if moved {
            self.touch(key, Rung::Cheaper);
        }
        moved
    }
}

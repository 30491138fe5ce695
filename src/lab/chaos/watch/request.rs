//! What the events must keep about requests and their attempts.

use super::super::pressed::least_wait;
use super::node::has_demanded;
use super::{AttemptHistory, Broken, EventChecker, RequestHistory, broken, ensure};
use crate::balance::{
    ATTEMPTS_MAX, Attempt, AttemptKind, Config, End, Failure, Fate, ModelRule, NodeState,
    OPINIONS_MAX, Prices, RETRIES_MIN, Reject, RouteSpec, Settled, TimeoutStage, Usage, Why,
};
use crate::unit::{Cost, NodeId, Ratio, RequestId, RouteId, Span};

impl RequestHistory {
    /// Over its tenant's budget it was served by a cheaper pool, or not at all.
    fn keeps_budget(&self, settled: &Settled, completed: bool) -> Result<(), Broken> {
        let cheaper = self.may_go_cheaper && (!completed || settled.degraded || self.steps > 0);
        let who = settled.request.0;
        ensure!(
            !settled.over_budget || cheaper,
            "I26",
            "request {who} is over its tenant's budget and was served all the same"
        );
        Ok(())
    }

    /// A hedge stands beside an attempt without a first token, elsewhere, and once.
    fn hedge(&mut self, id: RequestId, node: NodeId) -> Result<(), Broken> {
        let beside = || self.attempts.iter().filter(|this| this.end.is_none());
        let sound = !self.hedged
            && beside().all(|this| this.node != node)
            && beside().any(|this| !this.first_token);
        ensure!(sound, "I18", "request {} is hedged twice, late or where it is", id.0);
        self.hedged = true;
        Ok(())
    }
}

/// Whether an answer of this node is kept back on this route: another model of a cascade comes after it.
fn withholds(config: &Config, route: RouteId, node: NodeId) -> bool {
    let route = &config.routes[route.index()];
    matches!(route.choose, Some(ModelRule::Cascade { .. }))
        && route.to.last() != config.nodes.get(node.index()).map(|spec| &spec.pool)
}

impl AttemptHistory {
    const fn new(node: NodeId, prices: Prices, withheld: bool) -> AttemptHistory {
        AttemptHistory { node, prices, first_token: false, withheld, end: None }
    }

    /// Whether its node said that the request is at fault.
    const fn blames_request(&self) -> bool {
        matches!(self.end, Some(End::Failed(failure)) if failure.blames_request())
    }
}

impl EventChecker<'_> {
    pub(super) fn dispatched(
        &mut self,
        id: RequestId,
        place: usize,
        node: NodeId,
        kind: AttemptKind,
        queued: bool,
        why: &Why,
    ) -> Result<(), Broken> {
        self.eligible(id, node, why)?;
        self.goes_home(id, node, why.route)?;
        let (now, config) = (self.now, self.config);
        let again = self.tried_again(id, node, why);
        let refused = self.requests.get(&id).is_some_and(|history| self.was_refused(history, node));
        ensure!(!refused, "I07", "request {} goes to {} where it was refused", id.0, node.0);
        let seen = &mut self.nodes[node.index()];
        seen.in_flight += 1;
        let withheld = withholds(config, why.route, node);
        let this = AttemptHistory::new(node, seen.prices, withheld);
        self.counts.dispatched += 1;
        let shed = self.alone && !queued && place == 0;
        let shed = shed.then(|| self.pressed.shed(why.route));
        let history = self.history(id, "is dispatched")?;
        let comes_in =
            history.heard < now || shed.is_none_or(|shed| !shed.contains(&history.priority));
        ensure!(comes_in, "I37", "request {} comes in while its priority is shed", id.0);
        let before = history.attempts.len();
        ensure!(place == before, "I03", "attempt {place} of request {} is after {before}", id.0);
        let fits = match kind {
            AttemptKind::First => place == 0,
            AttemptKind::Retry => place > 0 && history.planned,
            AttemptKind::Hedge => place > 0 && !history.planned,
            AttemptKind::Escalation => place > 0 && history.escalated,
        };
        ensure!(
            fits,
            "I03",
            "attempt {place} of request {} is a {kind:?}, a retry was planned: {}",
            id.0,
            history.planned
        );
        if kind == AttemptKind::Hedge {
            history.hedge(id, node)?;
        }
        // A cascade asks every model as often as any request may be tried.
        let tries = if history.steps > 0 { ATTEMPTS_MAX } else { config.retry.attempts };
        let most = usize::from((tries + u8::from(history.hedged)).min(ATTEMPTS_MAX));
        ensure!(place < most, "I17", "request {} has {} attempts of {most}", id.0, place + 1);
        ensure!(
            now + config.retry.minimum_useful < history.deadline,
            "I17",
            "an attempt of request {} starts too late for its deadline {}",
            id.0,
            history.deadline
        );
        if let (Some(most), Some(since), true) = (config.queue.max_wait, history.queued, queued)
            && config.pools.iter().all(|pool| pool.batch.is_none())
        {
            let waited = now.since(since);
            ensure!(waited <= most, "I35", "request {} waited {waited} of {most}", id.0);
        }
        (history.planned, history.escalated) = (false, false);
        history.attempts.push(this);
        self.counts.retries += u64::from(kind == AttemptKind::Retry);
        self.counts.hedges += u64::from(kind == AttemptKind::Hedge);
        self.hedge_budget()?;
        if let Some(other) = again {
            return broken(
                "I07",
                format!(
                    "request {} goes to node {} again while node {other} is open",
                    id.0, node.0
                ),
            );
        }
        Ok(())
    }

    pub(super) fn first_token(&mut self, attempt: Attempt, node: NodeId) -> Result<(), Broken> {
        let id = attempt.request;
        let history = self.history(id, "gets a token")?;
        let this = history.attempts.get_mut(usize::from(attempt.ordinal));
        let this = this.filter(|this| this.node == node && !this.first_token);
        let Some(this) = this else {
            return broken("I03", format!("a first token of no attempt of {}", id.0));
        };
        this.first_token = true;
        let (route, session, withheld) = (history.route, history.session, this.withheld);
        if let Some(route) = route.filter(|_| !withheld) {
            self.sessions.answered(self.now, route, session, node);
        }
        Ok(())
    }

    /// A session is at home where its last answer came from.
    fn is_answered(&mut self, settled: &Settled) -> Result<(), Broken> {
        let whole = settled.fate == Fate::Completed && !settled.cached;
        if let Some(node) = settled.node.filter(|_| whole) {
            let session = self.history(settled.request, "gets a second end")?.session;
            self.sessions.answered(self.now, settled.route, session, node);
        }
        Ok(())
    }

    /// A request goes where its session is, if its route is hard about that.
    fn goes_home(&mut self, id: RequestId, node: NodeId, route: RouteId) -> Result<(), Broken> {
        let history = self.history(id, "is dispatched")?;
        history.route = Some(route);
        let (heard, session) = (history.heard, history.session);
        if !self.alone {
            return Ok(());
        }
        self.sessions.dispatched((id, heard), (route, session), node)
    }

    fn hedge_budget(&self) -> Result<(), Broken> {
        if let (Some(hedge), true) = (self.config.hedge, self.alone) {
            let firsts = self.counts.dispatched - self.counts.retries - self.counts.hedges;
            let most = u128::from(hedge.budget.0) * u128::from(firsts);
            let made = u128::from(self.counts.hedges) * u128::from(Ratio::ONE.0);
            let hedges = self.counts.hedges;
            ensure!(made <= most, "I18", "{hedges} hedges of {firsts} first attempts");
        }
        Ok(())
    }

    /// An open node of the route's own pools that was not tried, if this one was.
    pub(super) fn tried_again(&self, id: RequestId, node: NodeId, why: &Why) -> Option<u32> {
        let history = self.requests.get(&id)?;
        let tried = |node: NodeId| history.attempts.iter().any(|this| this.node == node);
        let route = &self.config.routes[why.route.index()];
        let last = history.attempts.last().map(|this| this.node);
        let stays = self.sessions.is_hard(why.route, history.session)
            || (self.config.retry.stay > 0 && last == Some(node));
        if !self.alone || !tried(node) || stays || self.has_hidden_limits(route) {
            return None;
        }
        // What a cascade found wanting is not asked again.
        if history.steps > 0 || self.goes_cheaper(history, node, route) {
            return None;
        }
        let other = self.config.nodes.iter().enumerate().find(|(other, spec)| {
            let seen = &self.nodes[*other];
            route.to.contains(&spec.pool)
                && has_demanded(route, spec)
                && seen.state == NodeState::Up
                && !seen.on_trial
                && seen.has_room()
                && !tried(NodeId(*other as u32))
                && !self.was_refused(history, NodeId(*other as u32))
        });
        other.map(|(other, _)| other as u32)
    }

    /// Whether the request may be where it is because nothing else serves it for want of money.
    pub(super) fn goes_cheaper(
        &self,
        history: &RequestHistory,
        node: NodeId,
        route: &RouteSpec,
    ) -> bool {
        let pool = self.pool_of(node);
        history.may_go_cheaper && route.degrade.iter().any(|degrade| degrade.to.contains(&pool))
    }

    /// Whether the request was refused by the node, or where the same credential is used, or by another
    /// node of its pool over its length or over policy.
    pub(super) fn was_refused(&self, history: &RequestHistory, node: NodeId) -> bool {
        let credential = |node: NodeId| self.config.nodes.get(node.index())?.credential;
        history.attempts.iter().any(|this| {
            let refused = this.end == Some(End::Failed(Failure::Unauthorized));
            let same = credential(node).is_some_and(|own| credential(this.node) == Some(own));
            let over =
                [Failure::TooLong, Failure::ContentPolicy, Failure::TooLarge, Failure::Diverged];
            let of_pool = over.iter().any(|over| this.end == Some(End::Failed(*over)));
            (refused && (this.node == node || same))
                || (this.blames_request() && this.node == node)
                || (of_pool && self.pool_of(this.node) == self.pool_of(node))
        })
    }

    pub(super) fn ended(
        &mut self,
        id: RequestId,
        place: usize,
        node: NodeId,
        end: End,
    ) -> Result<(), Broken> {
        self.counts.ended += 1;
        let history = self.requests.get_mut(&id);
        let this = history.and_then(|history| history.attempts.get_mut(place));
        let Some(this) = this else {
            return broken("I03", format!("attempt {place} of request {} ends unheard of", id.0));
        };
        ensure!(this.node == node, "I03", "attempt {place} of request {} ends elsewhere", id.0);
        ensure!(this.end.is_none(), "I03", "attempt {place} of request {} ends twice", id.0);
        this.end = Some(end);
        let seen = &mut self.nodes[node.index()];
        seen.on_trial &= end != End::Done;
        ensure!(seen.in_flight > 0, "I04", "node {} ends more than it began", node.0);
        seen.in_flight -= 1;
        Ok(())
    }

    pub(super) fn retry_planned(&mut self, id: RequestId, end: End) -> Result<(), Broken> {
        let config = self.config;
        let under_way = self.counts.arrived - self.counts.settled();
        let usual = self.config.retry.resume;
        let history = self.history(id, "is to be tried again")?;
        let route = history.route;
        let retryable = match end {
            End::Failed(failure) => {
                let said = history.attempts.iter().filter(|this| this.blames_request()).count();
                !failure.blames_request() || said < OPINIONS_MAX as usize
            }
            End::RateLimited | End::TimedOut(TimeoutStage::FirstToken) => true,
            End::Done | End::Cancelled | End::Outrun | End::TimedOut(TimeoutStage::Total) => false,
        };
        ensure!(retryable, "I20", "request {} is tried again after `{}`", id.0, end.words());
        let started =
            history.attempts.last().is_some_and(|this| this.first_token && !this.withheld);
        let own = route.and_then(|route| config.routes.get(route.index())?.resume);
        ensure!(
            !started || own.unwrap_or(usual),
            "I21",
            "request {} is tried again after its first token",
            id.0
        );
        history.planned = true;
        // Nothing was sent: that costs nobody anything.
        if matches!(end, End::Failed(failure) if failure.is_unreached()) {
            return Ok(());
        }
        let others = {
            let already = std::mem::replace(&mut history.retrying, true);
            self.retrying += u64::from(!already);
            self.retrying - 1
        };
        let (now, window) = (self.now, Span::from_secs(9));
        self.recent.retain(|at| now.since(*at) < window);
        let recent = self.recent.len() as u64;
        self.recent.push_back(now);
        let most = self.config.retry.budget.of(under_way).max(RETRIES_MIN);
        let of_load =
            matches!(end, End::TimedOut(_) | End::RateLimited | End::Failed(Failure::Overloaded));
        let floor = if of_load { 0 } else { 10 * u64::from(self.config.retry.min_per_second) };
        ensure!(
            !self.alone || others < most || recent < floor,
            "I16",
            "request {} is retry number {} of {most}, {under_way} are under way, {recent} of late",
            id.0,
            others + 1
        );
        Ok(())
    }

    pub(super) fn settled(&mut self, settled: &Settled) -> Result<(), Broken> {
        let (now, config) = (self.now, self.config);
        let id = settled.request;
        if self.alone
            && let Some(history) = self.requests.get(&id)
        {
            self.pressed.settled(settled, history.priority)?;
        }
        let history = self.history(id, "gets a second end")?;
        let (asks, made) = ((history.tenant, history.content), history.attempts.len());
        self.answers.settled(now, settled, asks, made)?;
        self.is_answered(settled)?;
        let history = self.history(id, "gets a second end")?;
        history.settled = true;
        let who = id.0;
        let last = now <= history.deadline.max(history.heard);
        ensure!(last, "I17", "request {who} outlives its deadline {}", history.deadline);
        let attempts = history.attempts.len();
        ensure!(
            usize::from(settled.attempts) == attempts,
            "I03",
            "request {who} settles with {} attempts, {attempts} were made",
            settled.attempts
        );
        let winners = history.attempts.iter().filter(|this| this.end == Some(End::Done)).count();
        let completed = settled.fate == Fate::Completed && !settled.cached;
        // Answers that were not good enough are whole answers too, and may be delivered in the end.
        let wanted =
            usize::from(completed).max(history.steps)..=usize::from(completed) + history.steps;
        ensure!(
            wanted.contains(&winners) && (!completed || winners > 0),
            "I18",
            "request {who} is {:?} and has {winners} whole answers",
            settled.fate
        );
        history.keeps_budget(settled, completed)?;
        match settled.fate {
            Fate::Rejected(reason) => {
                ensure!(
                    attempts == 0,
                    "I13",
                    "request {who} is rejected after {attempts} attempts"
                );
                if reason == Reject::WaitedTooLong {
                    let waited = now.since(history.heard);
                    let most = least_wait(config);
                    let useless = now + config.retry.minimum_useful >= history.deadline;
                    let long = useless || most.is_some_and(|most| waited >= most);
                    ensure!(long, "I06", "request {who} waited {waited}, it may wait {most:?}");
                }
            }
            Fate::Failed(end) => {
                let late = end == End::TimedOut(TimeoutStage::Total);
                ensure!(attempts > 0 || late, "I13", "request {who} failed before any attempt");
                ensure!(end != End::Done, "I18", "request {who} failed with a whole answer");
            }
            Fate::Completed | Fate::Cancelled => {}
        }
        if std::mem::take(&mut history.retrying) {
            self.retrying -= 1;
        }
        let counts = &mut self.counts;
        match settled.fate {
            Fate::Completed => counts.completed += 1,
            Fate::Failed(_) => counts.failed += 1,
            Fate::Rejected(_) => counts.rejected += 1,
            Fate::Cancelled => counts.cancelled += 1,
        }
        Ok(())
    }

    /// What an attempt cost is what its tokens cost at the prices of its dispatch.
    pub(super) fn paid(
        &mut self,
        attempt: Attempt,
        usage: &Usage,
        cost: Cost,
    ) -> Result<(), Broken> {
        let prices = self.requests[&attempt.request].attempts[usize::from(attempt.ordinal)].prices;
        let wanted = prices.of(usage);
        ensure!(
            cost == wanted,
            "I24",
            "request {} costs {} and not {} pico-dollars at the prices of its dispatch",
            attempt.request.0,
            cost.0,
            wanted.0
        );
        ensure!(usage.cached <= usage.input, "I25", "more is cached than there was");
        self.counts.input += usage.input.0;
        self.counts.output += usage.output.0;
        self.counts.cost += cost.0;
        Ok(())
    }
}

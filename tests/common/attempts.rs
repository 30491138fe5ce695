//! The laws of attempts, checked from inputs and events alone: retries and hedges within their
//! budgets, none too late, one winner, every loser ended, nothing tried again that would fail again.

use std::collections::BTreeMap;

use plimsoll::balance::{
    Attempt, AttemptKind, Balancer, Config, End, Event, Failure, Fate, HEDGES_BURST, Input, Limits,
    OPINIONS_MAX, RETRIES_MIN, Request, Settled, Tier,
};
use plimsoll::unit::{NodeId, Ratio, RequestId, Span, Time, Tokens};

/// What is known of a request under way.
struct Known {
    request: Request,
    deadline: Time,
    /// By ordinal: the node, and how its attempt ended.
    tries: Vec<(NodeId, AttemptKind, Option<End>)>,
    retrying: bool,
    settled: bool,
}

/// Hears everything and objects.
pub struct Laws {
    config: Config,
    known: BTreeMap<u64, Known>,
    under_way: u64,
    planned: Vec<Time>,
    firsts: u64,
    first_tokens: u64,
    pub hedges: u64,
    hedge_tokens: u64,
    pub wins: u64,
    pub outrun: u64,
    pub retries: u64,
    pub resumed: u64,
}

impl Laws {
    pub fn new(config: &Config) -> Laws {
        Laws {
            config: config.clone(),
            known: BTreeMap::new(),
            under_way: 0,
            planned: Vec::new(),
            firsts: 0,
            first_tokens: 0,
            hedges: 0,
            hedge_tokens: 0,
            wins: 0,
            outrun: 0,
            retries: 0,
            resumed: 0,
        }
    }

    pub fn record(&mut self, input: &Input) {
        if let Input::Arrive(request) = input {
            let total = self.config.timeouts.total.map_or(Time::MAX, |span| request.arrived + span);
            let known = Known {
                deadline: request.deadline.min(total),
                request: request.clone(),
                tries: Vec::new(),
                retrying: false,
                settled: false,
            };
            self.under_way += 1;
            self.known.insert(request.id.0, known);
        }
    }

    /// `balancer` as it is after the call that declared the event, where it is at hand.
    pub fn hear(&mut self, now: Time, event: &Event, balancer: Option<&Balancer>) {
        match event {
            Event::Dispatched { .. } => self.dispatched(now, event, balancer),
            Event::RetryPlanned { request, end, .. } => self.retry_planned(now, *request, *end),
            Event::Ended { attempt, end, .. } => self.ended(*attempt, *end),
            Event::Settled(settled) => self.settled(settled),
            _ => {}
        }
    }

    fn dispatched(&mut self, now: Time, event: &Event, balancer: Option<&Balancer>) {
        let Event::Dispatched { attempt, node, kind, after, resumed, .. } = event else { return };
        let retry = self.config.retry;
        let known = &self.known[&attempt.request.0];
        assert!(!known.settled, "no attempt after the end");
        assert!(now + retry.minimum_useful < known.deadline, "no attempt that is too late");
        assert_eq!(usize::from(attempt.ordinal), known.tries.len());
        let retries = known.tries.iter().filter(|(_, kind, _)| *kind == AttemptKind::Retry).count();
        let running = known.tries.iter().filter(|(.., end)| end.is_none()).count();
        if *resumed > Tokens::ZERO {
            self.resumed += 1;
            assert!(retry.resume && *kind == AttemptKind::Retry, "only retries go on");
        }
        match kind {
            AttemptKind::First => {
                assert!(known.tries.is_empty());
                self.firsts += 1;
                self.first_tokens += known.request.prompt.0;
            }
            AttemptKind::Retry => {
                self.retries += 1;
                assert!(retries + 1 < usize::from(retry.attempts), "attempts are bounded");
                let (from, end) = after.expect("a retry comes after something");
                assert!(worth_another_try(known, end), "{end:?} is not tried again");
                assert!(known.tries.iter().any(|(node, ..)| *node == from));
            }
            AttemptKind::Escalation => panic!("nobody asks several models here"),
            AttemptKind::Hedge => {
                assert_eq!(*after, None);
                // An attempt that is given up may not be confirmed yet.
                assert!(running >= 1, "a hedge is beside another attempt");
                assert!(known.tries.iter().all(|(other, ..)| other != node), "elsewhere");
                assert!(known.tries.iter().all(|(_, kind, _)| *kind != AttemptKind::Hedge));
                self.hedges += 1;
                self.hedge_tokens += known.request.prompt.0;
                let late = known.tries.last().expect("a first one").0;
                if let Some(balancer) = balancer {
                    self.other_domain(balancer, known, late, *node);
                }
                self.hedge_budget();
            }
        }
        let known = self.known.get_mut(&attempt.request.0).expect("it arrived");
        known.tries.push((*node, *kind, None));
    }

    fn retry_planned(&mut self, now: Time, request: RequestId, end: End) {
        let this = &self.known[&request.0];
        assert!(worth_another_try(this, end));
        let prompt = this.request.prompt.0;
        let others = || {
            let live = self.known.iter().filter(|(id, _)| **id != request.0);
            live.filter(|(_, other)| other.retrying && !other.settled)
        };
        let count = others().count() as u64;
        // What was refused before anything was sent costs nothing.
        if matches!(end, End::Failed(failure) if failure.is_unreached()) {
            return;
        }
        let window = Span::from_secs(9);
        let recent = self.planned.iter().rev().take_while(|at| now.since(**at) < window).count();
        let of_load =
            matches!(end, End::TimedOut(_) | End::RateLimited | End::Failed(Failure::Overloaded));
        let floor = !of_load && recent < 10 * self.config.retry.min_per_second as usize;
        let most = self.config.retry.budget.of(self.under_way).max(RETRIES_MIN);
        assert!(floor || count < most, "{count} retries of {} under way", self.under_way);
        if let Some(budget) =
            self.config.retry.token_budget.filter(|_| !floor && count >= RETRIES_MIN)
            && !self.config.retry.resume
        {
            let tokens: u64 = others().map(|(_, other)| other.request.prompt.0).sum();
            let live = self.known.values().filter(|known| !known.settled);
            let all: u64 = live.map(|known| known.request.prompt.0).sum();
            assert!(tokens + prompt <= budget.of(all), "{tokens} + {prompt} of {all}");
        }
        self.planned.push(now);
        self.known.get_mut(&request.0).expect("it arrived").retrying = true;
    }

    fn ended(&mut self, attempt: Attempt, end: End) {
        let known = self.known.get_mut(&attempt.request.0).expect("it arrived");
        known.tries[usize::from(attempt.ordinal)].2 = Some(end);
        let done = known.tries.iter().filter(|(.., end)| *end == Some(End::Done)).count();
        assert!(done <= 1, "at most one winner");
        if end == End::Outrun {
            self.outrun += 1;
            let hedged = known.tries.iter().any(|(_, kind, _)| *kind == AttemptKind::Hedge);
            assert!(hedged, "only who has company is outrun");
        }
    }

    fn settled(&mut self, settled: &Settled) {
        let known = self.known.get_mut(&settled.request.0).expect("it arrived");
        assert!(!std::mem::replace(&mut known.settled, true));
        self.under_way -= 1;
        self.wins += u64::from(settled.hedge);
        if settled.cached {
            assert!(known.tries.is_empty() && settled.node.is_none(), "no node was asked");
        } else if settled.fate == Fate::Completed {
            let won = known.tries.iter().find(|(.., end)| *end == Some(End::Done));
            let (node, kind, _) = won.expect("an answer comes from an attempt");
            assert_eq!(settled.node, Some(*node), "the node that answered");
            assert_eq!(settled.hedge, *kind == AttemptKind::Hedge);
        } else {
            assert!(!settled.hedge, "a failed hedge never wins");
        }
    }

    fn hedge_budget(&self) {
        let share = u64::from(self.config.hedge.expect("hedges are asked for").budget.0);
        let one = u64::from(Ratio::ONE.0);
        assert!(self.hedges * one <= self.firsts * share, "{} hedges", self.hedges);
        assert!(self.hedge_tokens * one <= self.first_tokens * share);
    }

    /// A hedge in the region of the late node means that no other region had an open node for it.
    /// What the same call sent later can only have closed nodes.
    fn other_domain(&self, balancer: &Balancer, known: &Known, late: NodeId, to: NodeId) {
        let fleet = balancer.fleet();
        let region = fleet.node(late).spec.region;
        if region.0 == 0 || fleet.node(to).spec.region != region {
            return;
        }
        let limited = |pool: &plimsoll::balance::PoolSpec| pool.limits != Limits::default();
        if self.config.admission.quotas || self.config.pools.iter().any(limited) {
            // An open node may have no quota left for it, or its pool no place.
            return;
        }
        let class = known.request.class;
        let fits = |when: &plimsoll::balance::Match| {
            when.classes.is_empty() || when.classes.contains(&class)
        };
        let route = self.config.routes.iter().find(|route| fits(&route.when)).expect("the last");
        for &pool in &route.to {
            for node in Tier::ALL.iter().flat_map(|&tier| fleet.open(pool, tier)) {
                let spec = &fleet.node(*node).spec;
                let tried = known.tries.iter().any(|(other, ..)| other == node);
                let allowed = spec.tags & route.require == route.require && !tried;
                assert!(!allowed || spec.region == region, "{} was open", spec.name);
            }
        }
    }
}

/// Whether a request may be tried again after this. That it is at fault a third node says at most.
fn worth_another_try(known: &Known, end: End) -> bool {
    let blames = |end: End| matches!(end, End::Failed(failure) if failure.blames_request());
    let said = || known.tries.iter().filter(|(.., end)| end.is_some_and(blames)).count();
    match end {
        End::Failed(Failure::ContentPolicy) => false,
        End::Failed(_) => !blames(end) || said() < OPINIONS_MAX as usize,
        End::RateLimited | End::TimedOut(plimsoll::balance::TimeoutStage::FirstToken) => true,
        End::TimedOut(_) | End::Done | End::Cancelled | End::Outrun => false,
    }
}

/// In every window of so many first attempts there are at most its share of hedges, and a burst.
pub fn hedges_in_every_window(kinds: &[AttemptKind], budget: Ratio) {
    let one = u64::from(Ratio::ONE.0);
    for window in [10, 100, 1_000] {
        for kinds in kinds.windows(window) {
            let count = |kind| kinds.iter().filter(|other| **other == kind).count() as u64;
            let most = count(AttemptKind::First) * u64::from(budget.0) + HEDGES_BURST * one;
            assert!(count(AttemptKind::Hedge) * one <= most, "in a window of {window}");
        }
    }
}

/// A time of so many milliseconds.
pub fn ms(millis: u64) -> Time {
    Time::ZERO + Span::from_millis(millis)
}

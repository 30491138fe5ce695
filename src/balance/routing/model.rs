//! Model choice: which of a route's pools a request goes to, before any node is chosen.
//!
//! Each pool of such a route stands for a model. Three ways, as data on the route:
//!
//! - **Complexity** (RouteLLM, Ong et al. 2024): the harder part of the traffic goes to the stronger of
//!   two models. How hard is a fact of the request; what counts as hard is a quantile of the route's own
//!   last requests, so the strong model's share stays what was wanted while the traffic drifts. Equal
//!   scores are told apart by a keyed draw, so the share is kept whatever the law of the scores.
//! - **Cascade** (FrugalGPT, Chen et al. 2023): pools in order; an answer that its scorer finds wanting
//!   is paid for and kept in hand, and the next pool is asked. The client sees nothing before an answer
//!   is accepted. An answer in hand is delivered when the next pool has no room or fails, or when the
//!   deadline comes: better than none.
//! - **Bandit**: Thompson sampling (1933) on the probability that an answer is good, Beta-distributed
//!   for each class and pool, minus what the answer is expected to cost in good answers. All counts of
//!   a class shrink by `1 - 1/memory` with each word about it (Raj and Kalyani 2017), so they never sum
//!   to more than `memory` and a pool that has changed is tried again. Critical requests are not
//!   experimented with: they go by means.
//!
//! What is chosen is the lane: the other pools follow it in failover. Which answers are good comes from
//! outside, late or never ([`Input::Feedback`](super::Input)); of answers that wait for a word the last
//! [`ANSWERS_MAX`] are remembered. It never looks at the state of a node.

use std::collections::VecDeque;

use rand_distr::{Beta, Distribution};

use super::LaneId;
use crate::balance::balancer::Balancer;
use crate::balance::output::expected;
use crate::balance::queue::Placed;
use crate::balance::requests::{Phase, RequestKey, Try};
use crate::balance::spec::node::Tier;
use crate::balance::spec::retry::ATTEMPTS_MAX;
use crate::balance::spec::route::{CHOICES_MAX, Choose, RouteSpec};
use crate::balance::vocabulary::event::Event;
use crate::balance::vocabulary::model::{ArmView, ModelChoice, ModelWhy};
use crate::balance::vocabulary::outcome::{Fate, Usage};
use crate::balance::vocabulary::request::{Priority, Request};
use crate::balance::vocabulary::state::NodeState;
use crate::id_map::IdMap;
use crate::rng::{Rng, mix};
use crate::unit::{ClassId, NodeId, PoolId, Ratio, RequestId, RouteId, Tokens};

/// Of answers that wait for a word about them, so many are remembered.
pub const ANSWERS_MAX: usize = 65_536;

/// An answer that was not good enough, kept in case nothing better comes.
#[derive(Clone, Copy, Debug)]
pub(in crate::balance) struct InHand {
    node: NodeId,
    /// The attempt that gave it.
    ordinal: u8,
    usage: Usage,
    score: Ratio,
}

impl InHand {
    pub(in crate::balance) const fn node(&self) -> NodeId {
        self.node
    }

    pub(in crate::balance) const fn ordinal(&self) -> u8 {
        self.ordinal
    }

    pub(in crate::balance) const fn usage(&self) -> Usage {
        self.usage
    }
}

/// The last scores of a route, in order of time and of size.
#[derive(Debug, Default)]
struct Scores {
    ring: VecDeque<u32>,
    sorted: Vec<u32>,
}

impl Scores {
    /// Returns the share of what was seen that is easier; `point`, uniform on 0 to 1, says where among
    /// its equals it stands. For requests that come in any order alike this is uniform too, whatever
    /// the law of the scores.
    fn easier(&self, score: u32, point: f64) -> f64 {
        let below = self.sorted.partition_point(|other| *other < score);
        let upto = self.sorted.partition_point(|other| *other <= score);
        (below as f64 + point * (upto - below + 1) as f64) / (self.sorted.len() + 1) as f64
    }

    fn note(&mut self, score: u32, window: u32) {
        if self.ring.len() >= window as usize
            && let Some(old) = self.ring.pop_front()
        {
            self.sorted.remove(self.sorted.partition_point(|other| *other < old));
        }
        self.ring.push_back(score);
        self.sorted.insert(self.sorted.partition_point(|other| *other < score), score);
    }
}

/// What is known of a pool's answers to a class, beside what was believed before.
#[derive(Clone, Copy, Debug, Default)]
struct Arm {
    good: f64,
    bad: f64,
}

/// What a route has learnt.
#[derive(Debug)]
enum Chooser {
    Scores(Scores),
    /// By class, then by pool of the route.
    Arms(Vec<Vec<Arm>>),
}

/// An answer that waits for a word about it.
#[derive(Clone, Copy, Debug)]
struct Answered {
    route: RouteId,
    class: ClassId,
    arm: u8,
}

/// The state of model choice; there is none where no route chooses.
#[derive(Debug)]
pub(in crate::balance) struct Models {
    /// By route.
    choosers: Vec<Option<Chooser>>,
    rng: Rng,
    /// Keys the draws among equals.
    key: u64,
    answers: IdMap<Answered>,
    /// Those of `answers` and some that have left it, in order of their end.
    order: VecDeque<RequestId>,
}

impl Models {
    /// The state for these routes and so many classes; `None` where none chooses.
    pub(in crate::balance) fn new(
        routes: &[RouteSpec],
        classes: usize,
        seed: u64,
    ) -> Option<Box<Models>> {
        let chooser = |spec: &RouteSpec| match spec.choose.as_ref()? {
            Choose::Complexity { .. } => Some(Chooser::Scores(Scores::default())),
            Choose::Cascade { .. } => None,
            Choose::Bandit { .. } => {
                Some(Chooser::Arms(vec![vec![Arm::default(); spec.to.len()]; classes.max(1)]))
            }
        };
        routes.iter().any(|spec| spec.choose.is_some()).then(|| {
            Box::new(Models {
                choosers: routes.iter().map(chooser).collect(),
                rng: Rng::stream(seed, "models"),
                key: Rng::stream(seed, "equals").bits(),
                answers: IdMap::default(),
                order: VecDeque::new(),
            })
        })
    }

    fn remember(&mut self, request: RequestId, answered: Answered) {
        self.answers.insert(request, answered);
        self.order.push_back(request);
        if self.order.len() > ANSWERS_MAX
            && let Some(old) = self.order.pop_front()
        {
            self.answers.remove(old);
        }
    }
}

/// What a bandit has to choose from, at the moment.
struct Offer {
    pool: PoolId,
    dollars: f64,
}

/// Draws what every pool may be worth. Returns the place of the best, and what was made of each where
/// `views` asks for it.
fn thompson(
    arms: &[Arm],
    offers: &[Offer],
    [worth, prior]: [f64; 2],
    explores: bool,
    rng: &mut Rng,
    mut views: Option<&mut Vec<ArmView>>,
) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (place, (arm, offer)) in arms.iter().zip(offers).enumerate() {
        let (good, bad) = (arm.good + prior / 2.0, arm.bad + prior / 2.0);
        let mean = good / (good + bad);
        let law = if explores { Beta::new(good, bad).ok() } else { None };
        let drawn = law.map_or(mean, |law| law.sample(rng));
        let value = drawn - offer.dollars / worth;
        if value > best.1 {
            best = (place, value);
        }
        if let Some(views) = &mut views {
            let heard = arm.good + arm.bad;
            let Offer { pool, dollars } = *offer;
            views.push(ArmView { pool, heard, mean, drawn, dollars, value });
        }
    }
    best.0
}

/// The balancer's choice of a model.
impl Balancer {
    /// Returns the lane of a request on its route, counted from the first lane of the route.
    pub(in crate::balance) fn choose_model(&mut self, route: RouteId, request: &Request) -> LaneId {
        let spec = self.routes.get(route);
        let (Some(choose), Some(models)) = (&spec.choose, &mut self.models) else {
            return 0;
        };
        let explained = self.explain.wants(request.id);
        let mut why = None;
        let place = match (choose, &mut models.choosers[route.index()]) {
            (Choose::Complexity { strong_share, window }, Some(Chooser::Scores(scores))) => {
                let score = request.hardness();
                let point = Rng::from_key(mix(models.key, request.id.0)).unit();
                let easier = scores.easier(score, point);
                let seen = scores.sorted.len() as u32;
                scores.note(score, *window);
                let strong_share = *strong_share;
                if explained {
                    why = Some(ModelWhy::Complexity { score, easier, seen, strong_share });
                }
                usize::from(easier >= 1.0 - strong_share.value())
            }
            (Choose::Bandit { worth, prior, .. }, Some(Chooser::Arms(classes))) => {
                let class = request.class.index().min(classes.len() - 1);
                let expected = expected(&self.outputs, request, Tokens::ZERO);
                let usage = Usage { input: request.prompt, cached: Tokens::ZERO, output: expected };
                let fleet = &self.fleet;
                let dollars = |pool: PoolId| {
                    let mut members = Tier::ALL.iter().flat_map(|&tier| fleet.members(pool, tier));
                    let there = members.find(|&&node| fleet.node(node).state() != NodeState::Gone);
                    there.map_or(0.0, |&node| fleet.node(node).prices().of(&usage).dollars())
                };
                let mut offers = [const { Offer { pool: PoolId(0), dollars: 0.0 } }; CHOICES_MAX];
                for (offer, pool) in offers.iter_mut().zip(&spec.to) {
                    *offer = Offer { pool: *pool, dollars: dollars(*pool) };
                }
                let explores = request.priority != Priority::Critical;
                let mut views = explained.then(Vec::new);
                let scales = [*worth as f64 / 1e6, f64::from(*prior)];
                let (arms, rng) = (&classes[class], &mut models.rng);
                let place = thompson(arms, &offers, scales, explores, rng, views.as_mut());
                why = views.map(|arms| ModelWhy::Bandit { arms, explores });
                place
            }
            (Choose::Cascade { accept }, _) => {
                why = explained.then_some(ModelWhy::Cascade { accept: *accept });
                0
            }
            _ => 0,
        };
        if let Some(why) = why {
            let pool = spec.to[place];
            let choice = ModelChoice { request: request.id, route, pool, why };
            self.effects.events.push(Event::Model(Box::new(choice)));
        }
        place as LaneId
    }

    /// Returns whether an answer of this node is kept from the client until it is accepted.
    pub(in crate::balance) fn withholds(&self, key: RequestKey, node: NodeId) -> bool {
        self.models.is_some() && self.next_model(key, node).is_some()
    }

    /// Returns the place of the pool that a cascade asks after the one of this node.
    fn next_model(&self, key: RequestKey, node: NodeId) -> Option<usize> {
        let spec = self.routes.get(self.requests[key].route);
        if !matches!(spec.choose, Some(Choose::Cascade { .. })) {
            return None;
        }
        let pool = self.fleet.node(node).home().0;
        let next = spec.to.iter().position(|one| *one == pool)? + 1;
        (next < spec.to.len()).then_some(next)
    }

    /// Asks the next pool of a cascade, if the answer is not good enough. Returns whether the request
    /// was seen to.
    pub(in crate::balance) fn escalate(
        &mut self,
        this: &Try,
        usage: Usage,
        score: Option<Ratio>,
    ) -> bool {
        let key = this.request;
        let (Some(score), true) = (score, self.models.is_some()) else {
            return false;
        };
        let Some(next) = self.next_model(key, this.node) else {
            return false;
        };
        let live = &self.requests[key];
        let spec = self.routes.get(live.route);
        let enough = matches!(spec.choose, Some(Choose::Cascade { accept }) if score >= accept);
        if enough || live.attempts >= ATTEMPTS_MAX {
            return false;
        }
        let (to, lane) = (spec.to[next], self.routes.first_lane(live.route) + next as LaneId);
        let live = &mut self.requests[key];
        if live.in_hand.as_ref().is_none_or(|other| other.score <= score) {
            let (node, ordinal) = (this.node, this.ordinal);
            live.in_hand = Some(Box::new(InHand { node, ordinal, usage, score }));
        }
        live.lane = lane;
        live.step = live.attempts;
        live.last = None;
        live.phase = Phase::Backoff;
        let request = live.request.id;
        let node = this.node;
        self.effects.events.push(Event::Escalated { request, node, score, to });
        // Those who wait go first.
        self.serve_waiting();
        if self.place(key) != Placed::Yes {
            // Better than a place in line is what is in hand.
            self.settle(key, Fate::Completed);
        }
        true
    }

    /// Remembers an answer about which a word may come.
    pub(in crate::balance) fn await_feedback(&mut self, key: RequestKey, node: NodeId) {
        let Some(models) = &mut self.models else { return };
        let live = &self.requests[key];
        let spec = self.routes.get(live.route);
        if !matches!(spec.choose, Some(Choose::Bandit { .. })) {
            return;
        }
        let pool = self.fleet.node(node).home().0;
        if let Some(arm) = spec.to.iter().position(|one| *one == pool) {
            let (route, class) = (live.route, live.request.class);
            models.remember(live.request.id, Answered { route, class, arm: arm as u8 });
        }
    }

    /// Hears how good an answer was.
    pub(in crate::balance) fn hear_feedback(&mut self, request: RequestId, quality: Ratio) {
        let answered = self.models.as_mut().and_then(|models| models.answers.remove(request));
        let Some(Answered { route, class, arm }) = answered else {
            return self.late(None);
        };
        let spec = self.routes.get(route);
        let pool = spec.to[usize::from(arm)];
        if let Some(Choose::Bandit { memory, .. }) = spec.choose
            && let Some(models) = &mut self.models
            && let Some(Chooser::Arms(classes)) = &mut models.choosers[route.index()]
        {
            let class = class.index().min(classes.len() - 1);
            let keep = 1.0 - 1.0 / f64::from(memory);
            for one in &mut classes[class] {
                one.good *= keep;
                one.bad *= keep;
            }
            let good = quality.value().min(1.0);
            let one = &mut classes[class][usize::from(arm)];
            one.good += good;
            one.bad += 1.0 - good;
        }
        self.effects.events.push(Event::Feedback { request, class, pool, quality });
    }

    /// Returns how many answers wait for a word about them: at most [`ANSWERS_MAX`].
    #[must_use]
    pub fn awaiting_feedback(&self) -> usize {
        self.models.as_ref().map_or(0, |models| models.answers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_among_scores_is_uniform_whatever_their_law() {
        let mut rng = Rng::stream(1, "scores");
        // Constant, two values, and many.
        let laws: [fn(&mut Rng) -> u32; 3] =
            [|_| 7, |rng| rng.below(2) as u32, |rng| (rng.unit().powi(3) * 1e6) as u32];
        for law in laws {
            let mut scores = Scores::default();
            let mut counts = [0_u32; 10];
            for _ in 0..20_000 {
                let score = law(&mut rng);
                counts[(scores.easier(score, rng.unit()) * 10.0) as usize] += 1;
                scores.note(score, 500);
                assert_eq!(scores.ring.len(), scores.sorted.len());
            }
            assert!(scores.sorted.is_sorted() && scores.sorted.len() == 500);
            // 4.4 standard deviations.
            assert!(counts.iter().all(|count| count.abs_diff(2_000) < 187), "{counts:?}");
        }
    }

    #[test]
    fn what_waits_for_a_word_is_bounded() {
        let route = RouteSpec {
            choose: Some(Choose::Bandit { worth: 1, prior: 2, memory: 10 }),
            to: vec![PoolId(0), PoolId(1)],
            ..RouteSpec::default()
        };
        let mut models = Models::new(&[route], 1, 1).expect("it chooses");
        let answered = Answered { route: RouteId(0), class: ClassId(0), arm: 0 };
        for id in 0..3 * ANSWERS_MAX as u64 {
            models.remember(RequestId(id), answered);
            if id % 3 == 0 {
                models.answers.remove(RequestId(id));
            }
            assert!(models.answers.len() <= models.order.len());
            assert!(models.order.len() <= ANSWERS_MAX);
        }
    }
}

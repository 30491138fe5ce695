//! Model choice: which of a route's pools a request goes to, before any node is chosen.
//!
//! Each pool of such a route stands for a model. Four ways, as data on the route:
//!
//! - **Complexity** (RouteLLM, Ong et al. 2024): the harder part of the traffic goes to the stronger of
//!   two models. How hard is a fact of the request; what counts as hard is a quantile of the route's own
//!   last requests, so the strong model's share stays what was wanted while the traffic drifts. Equal
//!   scores are told apart by a keyed draw, so the share is kept whatever the law of the scores.
//! - **Threshold**: the same, but how much of the traffic is hard is learnt (see `threshold`).
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

use super::threshold::{Arm, PARTS, Threshold};
use crate::balance::fleet::Fleet;
use crate::balance::spec::node::Tier;
use crate::balance::spec::route::{CHOICES_MAX, ModelRule, RouteSpec};
use crate::balance::vocabulary::model::{ArmView, ModelWhy};
use crate::balance::vocabulary::outcome::Usage;
use crate::balance::vocabulary::request::{Priority, Request};
use crate::balance::vocabulary::state::NodeState;
use crate::id_map::IdMap;
use crate::rng::{Rng, mix};
use crate::unit::{ClassId, PoolId, Ratio, RequestId, RouteId, Tokens};

/// Of answers that wait for a word about them, so many are remembered.
pub const ANSWERS_MAX: usize = 65_536;

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

    /// Returns how hard a request is, and the share of what was seen that is easier; `key` keys where
    /// among its equals it stands.
    fn place(&self, request: &Request, key: u64) -> (u32, f64) {
        let score = request.hardness();
        (score, self.easier(score, Rng::from_key(mix(key, request.id.0)).unit()))
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

/// What a route has learnt.
#[derive(Debug)]
enum Chooser {
    Scores(Scores),
    /// Scores, and what is known of good answers by them.
    Threshold(Scores, Box<Threshold>),
    /// By class, then by pool of the route.
    Arms(Vec<Vec<Arm>>),
}

/// An answer that waits for a word about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) route: RouteId,
    pub(super) class: ClassId,
    /// The place of its pool on the route.
    pub(super) arm: u8,
    /// How hard it was, where a threshold is learnt: its tenth.
    pub(super) part: u8,
}

/// What routes that choose a model have learnt.
#[derive(Debug)]
pub(super) struct ModelSelector {
    /// By route; empty where none chooses.
    choosers: Vec<Option<Chooser>>,
    rng: Rng,
    /// Keys the draws among equals.
    key: u64,
    answers: IdMap<Answered>,
    /// Those of `answers` and some that have left it, in order of their end.
    order: VecDeque<RequestId>,
}

impl ModelSelector {
    /// The state for these routes and so many classes; off where none chooses.
    pub(super) fn new(routes: &[RouteSpec], classes: usize, seed: u64) -> ModelSelector {
        let chooser = |spec: &RouteSpec| match spec.choose.as_ref()? {
            ModelRule::Complexity { .. } => Some(Chooser::Scores(Scores::default())),
            ModelRule::Threshold { .. } => {
                Some(Chooser::Threshold(Scores::default(), Box::default()))
            }
            ModelRule::Cascade { .. } => None,
            ModelRule::Bandit { .. } => {
                Some(Chooser::Arms(vec![vec![Arm::default(); spec.to.len()]; classes.max(1)]))
            }
        };
        let on = routes.iter().any(|spec| spec.choose.is_some());
        ModelSelector {
            choosers: routes.iter().filter(|_| on).map(chooser).collect(),
            rng: Rng::stream(seed, "models"),
            key: Rng::stream(seed, "equals").bits(),
            answers: IdMap::default(),
            order: VecDeque::new(),
        }
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
        let (drawn, mean) = arm.draw(prior, explores, rng);
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

/// What a bandit goes by beside what it has learnt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offers<'a> {
    pub(super) fleet: &'a Fleet,
    /// Tokens the answer is expected to have.
    pub(super) expected: Tokens,
}

impl Offers<'_> {
    /// What an answer of a pool is expected to cost, at the prices of its first node.
    fn of(self, pool: PoolId, prompt: Tokens) -> Offer {
        let usage =
            Usage { input: prompt, cached: Tokens::ZERO, output: self.expected, estimated: false };
        let mut members = Tier::ALL.iter().flat_map(|&tier| self.fleet.members(pool, tier));
        let there = members.find(|&&node| self.fleet.node(node).state() != NodeState::Gone);
        let cost = there.map(|&node| self.fleet.node(node).prices().of(&usage).dollars());
        Offer { pool, dollars: cost.unwrap_or(0.0) }
    }
}

impl ModelSelector {
    /// Returns whether some route chooses a model.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        !self.choosers.is_empty()
    }

    /// Returns the place of the pool that comes first for a request, among those of its route; and
    /// why, where that is to be explained.
    pub(super) fn choose(
        &mut self,
        (route, spec): (RouteId, &RouteSpec),
        request: &Request,
        offers: Offers<'_>,
        explained: bool,
    ) -> (usize, Option<ModelWhy>) {
        let (Some(choose), Some(chooser)) = (&spec.choose, self.choosers.get_mut(route.index()))
        else {
            return (0, None);
        };
        match (choose, chooser) {
            (ModelRule::Complexity { strong_share, window }, Some(Chooser::Scores(scores))) => {
                let (score, easier) = scores.place(request, self.key);
                let seen = scores.sorted.len() as u32;
                scores.note(score, *window);
                let strong_share = *strong_share;
                let why = ModelWhy::Complexity { score, easier, seen, strong_share };
                (usize::from(easier >= 1.0 - strong_share.value()), explained.then_some(why))
            }
            (
                ModelRule::Threshold { worth, prior, window, .. },
                Some(Chooser::Threshold(scores, threshold)),
            ) => {
                let (score, easier) = scores.place(request, self.key);
                scores.note(score, *window);
                let [weak, strong] =
                    [0, 1].map(|at| offers.of(spec.to[at], request.prompt).dollars);
                let dearer = strong - weak;
                let explores = request.priority != Priority::Critical;
                let (in_answers, prior) = (dearer * 1e6 / *worth as f64, f64::from(*prior));
                let first = threshold.first_hard(in_answers, prior, explores, &mut self.rng);
                let hard = Threshold::part(easier) >= first;
                let strong_share = Ratio::from_f64((PARTS - first) as f64 / PARTS as f64);
                let why = ModelWhy::Threshold { score, easier, strong_share, dearer, explores };
                (usize::from(hard), explained.then_some(why))
            }
            (ModelRule::Bandit { worth, prior, .. }, Some(Chooser::Arms(classes))) => {
                let class = request.class.index().min(classes.len() - 1);
                let mut each = [const { Offer { pool: PoolId(0), dollars: 0.0 } }; CHOICES_MAX];
                for (offer, pool) in each.iter_mut().zip(&spec.to) {
                    *offer = offers.of(*pool, request.prompt);
                }
                let explores = request.priority != Priority::Critical;
                let mut views = explained.then(Vec::new);
                let scales = [*worth as f64 / 1e6, f64::from(*prior)];
                let (arms, rng) = (&classes[class], &mut self.rng);
                let place = thompson(arms, &each, scales, explores, rng, views.as_mut());
                (place, views.map(|arms| ModelWhy::Bandit { arms, explores }))
            }
            (ModelRule::Cascade { accept }, _) => {
                (0, explained.then_some(ModelWhy::Cascade { accept: *accept }))
            }
            _ => (0, None),
        }
    }

    /// A pool of a route that learns has answered a request: a word about that may come.
    pub(super) fn await_feedback(
        &mut self,
        (route, spec): (RouteId, &RouteSpec),
        request: &Request,
        pool: PoolId,
    ) {
        if !spec.choose.as_ref().is_some_and(ModelRule::learns) {
            return;
        }
        if let Some(arm) = spec.to.iter().position(|one| *one == pool) {
            // How hard it is among the last ones may have changed a little since it came.
            let part = match self.choosers.get(route.index()) {
                Some(Some(Chooser::Threshold(scores, _))) => {
                    Threshold::part(scores.place(request, self.key).1) as u8
                }
                _ => 0,
            };
            let answered = Answered { route, class: request.class, arm: arm as u8, part };
            self.remember(request.id, answered);
        }
    }

    /// Takes out what is remembered of an answer.
    pub(super) fn take_answered(&mut self, request: RequestId) -> Option<Answered> {
        self.answers.remove(request)
    }

    /// Somebody said how good an answer was.
    pub(super) fn learn(&mut self, answered: &Answered, spec: &RouteSpec, quality: Ratio) {
        let good = quality.value().min(1.0);
        let chooser = self.choosers.get_mut(answered.route.index());
        match (&spec.choose, chooser) {
            (Some(ModelRule::Bandit { memory, .. }), Some(Some(Chooser::Arms(classes)))) => {
                let class = answered.class.index().min(classes.len() - 1);
                Arm::learn(&mut classes[class], usize::from(answered.arm), good, *memory);
            }
            (
                Some(ModelRule::Threshold { memory, .. }),
                Some(Some(Chooser::Threshold(_, threshold))),
            ) => {
                let part = usize::from(answered.part);
                threshold.learn(part, answered.arm > 0, good, *memory);
            }
            _ => {}
        }
    }

    /// Returns how many answers wait for a word about them: at most [`ANSWERS_MAX`].
    pub(super) fn awaiting_feedback(&self) -> usize {
        self.answers.len()
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
            choose: Some(ModelRule::Bandit { worth: 1, prior: 2, memory: 10 }),
            to: vec![PoolId(0), PoolId(1)],
            ..RouteSpec::default()
        };
        let mut models = ModelSelector::new(&[route], 1, 1);
        let answered = Answered { route: RouteId(0), class: ClassId(0), arm: 0, part: 0 };
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

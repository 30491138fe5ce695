//! How good answers are: part of the truth, drawn for each request and model.
//!
//! An answer is good or it is not; the probability that it is belongs to its model and the request's
//! class, and may change while time goes on (a model got worse over night). The draw is keyed by
//! request and model, so every strategy and every way to choose meets the same answers. A share of what
//! makes them bad, the **difficulty**, lies in the request and is the same for all models: with `d` of it
//! an answer is good if `sqrt(d) x + sqrt(1 - d) y` lies below the quantile of the model's probability,
//! `x` being how hard the request is and `y` a draw for each model, both standard normal, so the
//! probability is kept. Without it the answers of two models to one request are independent of each other,
//! which flatters cascades a little.
//!
//! A **scorer** tells good answers from bad as well as its AUC says: the scores of good answers lie on
//! average `d` standard deviations above those of bad ones, both normal, `AUC = Phi(d / sqrt 2)`
//! (signal detection theory, Green and Swets 1966). What it says is the probability that the answer is
//! good if half of all are: `1 / (1 + exp(-d z))`. **Feedback** is the truth, from some of those who
//! asked, after a while.

use rand_distr::{Distribution, StandardNormal};

use super::Truth;
use crate::dist::{self, Dist};
use crate::rng::{Rng, mix};
use crate::unit::{ClassId, ModelId, Ratio, Span, Time};

/// How good the answers of a model are, by class: the probability that one is good.
pub type ByClass = Vec<f64>;

/// How good answers are, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct QualitySpec {
    /// By model: from when on its answers are how good, in order of time and first from zero on. Empty
    /// where it is not known.
    pub models: Vec<Vec<(Time, ByClass)>>,
    /// How much of what makes an answer bad lies in its request, from 0 to 1.
    pub difficulty: f64,
    /// The probability that the scorer finds a good answer better than a bad one: 0.5 to 1.
    pub auc: f64,
    /// The share of answers about which a word comes, and how many seconds later.
    pub feedback: Option<(Ratio, Dist)>,
}

/// Draws how good answers are.
#[derive(Clone, Debug)]
pub struct AnswerQuality {
    spec: QualitySpec,
    /// How far apart the scores are, in standard deviations.
    apart: f64,
    /// Key the draws of answers, scores and words.
    keys: [u64; 3],
}

impl AnswerQuality {
    /// The draws of a run.
    #[must_use]
    pub fn new(spec: QualitySpec, seed: u64) -> AnswerQuality {
        let apart = std::f64::consts::SQRT_2 * normal_quantile(spec.auc);
        let key = |label| Rng::stream(seed, label).bits();
        AnswerQuality { spec, apart, keys: [key("answers"), key("scores"), key("feedback")] }
    }

    /// Returns whether the model's answer to a request of this class is good at `now`; `None` if
    /// nothing is known of such answers.
    #[must_use]
    pub fn good(&self, truth: &Truth, class: ClassId, model: ModelId, now: Time) -> Option<bool> {
        let times = self.spec.models.get(model.index())?;
        let (_, by_class) = times.iter().rev().find(|(from, _)| *from <= now)?;
        let probability = *by_class.get(class.index())?;
        let key = mix(mix(truth.key, self.keys[0]), model.index() as u64);
        let mut rng = Rng::from_key(key);
        let shared = self.spec.difficulty;
        // The ends have no quantile.
        if shared <= 0.0 || probability <= 0.0 || probability >= 1.0 {
            return Some(rng.unit() < probability);
        }
        let own: f64 = StandardNormal.sample(&mut rng);
        let hard = shared.sqrt() * truth.difficulty() + (1.0 - shared).sqrt() * own;
        Some(hard < dist::normal_quantile(probability))
    }

    /// Returns what the scorer makes of an answer of the model.
    #[must_use]
    pub fn score(&self, truth: &Truth, model: ModelId, good: bool) -> Ratio {
        if self.apart.is_infinite() {
            return if good { Ratio::ONE } else { Ratio(0) };
        }
        let key = mix(mix(truth.key, self.keys[1]), model.index() as u64);
        let noise: f64 = StandardNormal.sample(&mut Rng::from_key(key));
        let z = noise + if good { self.apart / 2.0 } else { -self.apart / 2.0 };
        Ratio::from_f64(1.0 / (1.0 + (-self.apart * z).exp()))
    }

    /// Returns after what time a word about the answer comes, if one does.
    #[must_use]
    pub fn feedback(&self, truth: &Truth) -> Option<Span> {
        let (share, after) = self.spec.feedback.as_ref()?;
        let mut rng = Rng::from_key(mix(truth.key, self.keys[2]));
        (rng.unit() < share.value()).then(|| Span::from_seconds(after.sample(&mut rng)))
    }
}

/// Returns the quantile of the standard normal law: infinite at one. Peter Acklam's rational
/// approximation (2003), relative error below 1.2e-9, for probabilities from one half up.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    let horner = |list: &[f64], x: f64| list.iter().fold(0.0, |sum, c| sum * x + c);
    if p >= 1.0 {
        f64::INFINITY
    } else if p <= 0.975_75 {
        let q = p - 0.5;
        let r = q * q;
        horner(&A, r) * q / (horner(&B, r) * r + 1.0)
    } else {
        let q = (-2.0 * (1.0 - p).ln()).sqrt();
        -horner(&C, q) / (horner(&D, q) * q + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Tokens;

    fn quality(auc: f64) -> AnswerQuality {
        let models = vec![
            vec![(Time::ZERO, vec![0.9, 0.3])],
            vec![(Time::ZERO, vec![0.5, 0.5]), (Time(10), vec![0.1, 0.5])],
            Vec::new(),
        ];
        let feedback = Some((Ratio(250_000), Dist::exponential(60.0).expect("a law")));
        AnswerQuality::new(QualitySpec { models, difficulty: 0.0, auc, feedback }, 1)
    }

    fn share(of: impl Fn(&Truth) -> bool) -> f64 {
        truths().filter(of).count() as f64 / 40_000.0
    }

    #[test]
    fn what_lies_in_the_request_is_shared_and_changes_no_share() {
        let models = [0.9, 0.5].map(|share| vec![(Time::ZERO, vec![share])]).to_vec();
        for difficulty in [0.3, 1.0] {
            let spec = QualitySpec { models: models.clone(), difficulty, auc: 1.0, feedback: None };
            let quality = AnswerQuality::new(spec, 1);
            let good = |truth: &Truth, model| {
                quality.good(truth, ClassId(0), ModelId(model), Time::ZERO) == Some(true)
            };
            assert!((share(|truth| good(truth, 0)) - 0.9).abs() < 0.01);
            assert!((share(|truth| good(truth, 1)) - 0.5).abs() < 0.01);
            let both = share(|truth| good(truth, 0) && good(truth, 1));
            assert!(both > 0.46, "more than independent answers: {both}");
            // Where all of it does, what the weaker model can the stronger one can.
            assert!(difficulty < 1.0 || (both - share(|truth| good(truth, 1))).abs() < 1e-9);
            let [hard, easy] = [1.0, -1.0].map(|side: f64| {
                let of = |truth: &Truth| truth.difficulty() * side > 0.0;
                share(|truth| of(truth) && good(truth, 1)) / share(of)
            });
            assert!(easy > hard + 0.3, "{easy} of the easy ones, {hard} of the hard ones");
        }
    }

    fn truths() -> impl Iterator<Item = Truth> {
        (0..40_000).map(|id| Truth { output: Tokens(1), key: mix(3, id), text: None })
    }

    #[test]
    fn shares_are_as_configured_and_models_independent() {
        let quality = quality(0.9);
        let share = |of: &dyn Fn(&Truth) -> bool| truths().filter(of).count() as f64 / 40_000.0;
        let good = |truth: &Truth, class, model, now| {
            quality.good(truth, ClassId(class), ModelId(model), Time(now)) == Some(true)
        };
        let near = |value: f64, wanted: f64| assert!((value - wanted).abs() < 0.01, "{value}");
        near(share(&|truth| good(truth, 0, 0, 0)), 0.9);
        near(share(&|truth| good(truth, 1, 0, 0)), 0.3);
        near(share(&|truth| good(truth, 0, 1, 9)), 0.5);
        near(share(&|truth| good(truth, 0, 1, 10)), 0.1);
        near(share(&|truth| good(truth, 1, 0, 0) && good(truth, 1, 1, 0)), 0.15);
        near(share(&|truth| quality.feedback(truth).is_some()), 0.25);
        let truth = truths().next().expect("one");
        assert_eq!(quality.good(&truth, ClassId(0), ModelId(2), Time::ZERO), None);
        assert_eq!(quality.good(&truth, ClassId(9), ModelId(0), Time::ZERO), None);
    }

    #[test]
    fn a_scorer_is_as_good_as_its_auc() {
        for auc in [0.5, 0.75, 0.9, 0.99, 1.0] {
            let quality = quality(auc);
            let score = |good| {
                truths().map(move |truth| (truth, good)).map(|(truth, good)| {
                    // Two models, so that the two are independent.
                    quality.score(&truth, ModelId(u16::from(good)), good)
                })
            };
            let pairs = score(true).zip(score(false));
            let won = pairs.map(|(good, bad)| match good.cmp(&bad) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            });
            let won = won.sum::<f64>() / 40_000.0;
            assert!((won - auc).abs() < 0.01, "{won} of {auc}");
        }
    }
}

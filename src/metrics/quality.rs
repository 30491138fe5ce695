//! How good answers were: all, by class, by model and by route, with what was chosen and escalated.
//!
//! A fold over grades, kept only where the scenario says how good answers are.

use std::collections::BTreeMap;

use super::Labels;
use super::summary::{ModelQuality, Quality};
use crate::balance::Grade;
use crate::unit::Ratio;

/// Answers, and how good they were in sum.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    answers: u64,
    quality: u64,
}

impl Sum {
    fn add(&mut self, quality: Ratio) {
        self.answers += 1;
        self.quality += u64::from(quality.0);
    }

    fn mean(&self) -> Option<f64> {
        let whole = self.answers as f64 * f64::from(Ratio::ONE.0);
        (self.answers > 0).then(|| self.quality as f64 / whole)
    }
}

/// Sums of everything and of each model.
#[derive(Clone, Debug, Default)]
struct QualityBook {
    all: Sum,
    /// By name.
    models: BTreeMap<usize, Sum>,
}

impl QualityBook {
    fn add(&mut self, model: Option<usize>, quality: Ratio) {
        self.all.add(quality);
        if let Some(model) = model {
            self.models.entry(model).or_default().add(quality);
        }
    }

    fn models(&self, names: &[String]) -> Vec<ModelQuality> {
        let one = |(&model, sum): (&usize, &Sum)| ModelQuality {
            model: names.get(model).cloned().unwrap_or_default(),
            answers: sum.answers,
            share: sum.answers as f64 / self.all.answers.max(1) as f64,
            mean: sum.mean(),
        };
        self.models.iter().map(one).collect()
    }
}

/// What is collected of the quality of answers.
#[derive(Clone, Debug)]
pub(super) struct Qualities {
    /// Names of models, in the order of their first node.
    names: Vec<String>,
    /// By node: its model in `names`.
    of_node: Vec<usize>,
    all: QualityBook,
    classes: Vec<Sum>,
    routes: Vec<QualityBook>,
    escalated: u64,
    feedback: u64,
}

impl Qualities {
    pub(super) fn new(labels: &Labels) -> Option<Box<Qualities>> {
        let mut names: Vec<String> = Vec::new();
        let number = |model: &String| {
            names.iter().position(|name| name == model).unwrap_or_else(|| {
                names.push(model.clone());
                names.len() - 1
            })
        };
        let of_node: Vec<usize> = labels.models.iter().map(number).collect();
        (!of_node.is_empty()).then(|| {
            Box::new(Qualities {
                names,
                of_node,
                all: QualityBook::default(),
                classes: vec![Sum::default(); labels.classes.len()],
                routes: vec![QualityBook::default(); labels.routes.len()],
                escalated: 0,
                feedback: 0,
            })
        })
    }

    /// It is known how good a delivered answer is.
    pub(super) fn graded(&mut self, grade: &Grade) {
        let model = self.of_node.get(grade.node.index()).copied();
        self.all.add(model, grade.quality);
        if let Some(class) = self.classes.get_mut(grade.class.index()) {
            class.add(grade.quality);
        }
        if let Some(route) = self.routes.get_mut(grade.route.index()) {
            route.add(model, grade.quality);
        }
    }

    /// A cascade did not accept an answer.
    pub(super) const fn escalated(&mut self) {
        self.escalated += 1;
    }

    /// A bandit heard how good an answer was.
    pub(super) const fn heard(&mut self) {
        self.feedback += 1;
    }

    pub(super) fn class(&self, at: usize) -> Option<f64> {
        self.classes.get(at)?.mean()
    }

    pub(super) fn route(&self, at: usize) -> (Option<f64>, Vec<ModelQuality>) {
        let route = self.routes.get(at);
        let models = route.map(|route| route.models(&self.names)).unwrap_or_default();
        (route.and_then(|route| route.all.mean()), models)
    }

    pub(super) fn summary(&self) -> Quality {
        Quality {
            answers: self.all.all.answers,
            mean: self.all.all.mean(),
            escalated: self.escalated,
            feedback: self.feedback,
            models: self.all.models(&self.names),
        }
    }
}

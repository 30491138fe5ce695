//! How good answers are, as the executor tells it: scores where a cascade asks for them, the truth for
//! reports, and the words of those who asked.

use std::collections::VecDeque;

use super::request::SimRequest;
use crate::balance::{Config, Fate, Grade, Input, ModelRule, Outcome, Settled};
use crate::node::Scheduled;
use crate::unit::{ModelId, NodeId, Ratio, Span, Time};
use crate::workload::{AnswerQuality, QualitySpec};

/// Grades the answers of a simulation.
#[derive(Debug)]
pub(super) struct QualityGrader {
    quality: AnswerQuality,
    /// By node.
    models: Vec<ModelId>,
    /// Whether some route wants scores.
    scores: bool,
    /// By route: whether words about its answers are wanted.
    wanted: Vec<bool>,
    /// What is to be told at once, and to whom.
    due: VecDeque<(usize, Input)>,
}

impl QualityGrader {
    pub(super) fn new(spec: QualitySpec, config: &Config) -> QualityGrader {
        let chooses = config.routes.iter().map(|route| route.choose.as_ref());
        let cascade =
            |choose: Option<&ModelRule>| matches!(choose, Some(ModelRule::Cascade { .. }));
        let learns = |choose: Option<&ModelRule>| choose.is_some_and(ModelRule::learns);
        QualityGrader {
            quality: AnswerQuality::new(spec, config.seed),
            models: config.nodes.iter().map(|node| node.model).collect(),
            scores: chooses.clone().any(cascade),
            wanted: chooses.map(learns).collect(),
            due: VecDeque::new(),
        }
    }

    fn good(&self, now: Time, request: &SimRequest, node: NodeId) -> Option<(ModelId, bool)> {
        let model = *self.models.get(node.index())?;
        Some((model, self.quality.good(&request.truth, request.class, model, now)?))
    }

    /// Adds its score to a whole answer, where scores are wanted.
    pub(super) fn score(
        &self,
        now: Time,
        request: &SimRequest,
        node: Option<NodeId>,
        outcome: &mut Outcome,
    ) {
        if self.scores
            && let Outcome::Done(usage) = *outcome
            && let Some((model, good)) = node.and_then(|node| self.good(now, request, node))
        {
            *outcome = Outcome::Scored(usage, self.quality.score(&request.truth, model, good));
        }
    }

    /// Hears of the end of a request. What its client will say of it is returned.
    pub(super) fn settled(
        &mut self,
        now: Time,
        by: u32,
        settled: &Settled,
        request: &SimRequest,
    ) -> Option<(Span, Scheduled)> {
        let node = settled.node.filter(|_| settled.fate == Fate::Completed)?;
        let (_, good) = self.good(now, request, node)?;
        let quality = if good { Ratio::ONE } else { Ratio(0) };
        let Settled { request: id, class, route, arrived, .. } = *settled;
        let grade = Grade { request: id, class, route, node, arrived, quality };
        self.due.push_back((by as usize, Input::Graded(grade)));
        if !self.wanted.get(route.index()).is_some_and(|wanted| *wanted) {
            return None;
        }
        let after = self.quality.feedback(&request.truth)?;
        Some((after, Scheduled::Feedback(by, id, quality)))
    }

    /// Takes what is to be told at once.
    pub(super) fn next(&mut self) -> Option<(usize, Input)> {
        self.due.pop_front()
    }

    pub(super) fn has_next(&self) -> bool {
        !self.due.is_empty()
    }
}

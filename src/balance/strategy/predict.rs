//! What a request is expected to take on a node, learnt from what others took: shape times speed.
//!
//! `TTFT = s o (w . x)`, `TPOT = v sqrt(o) (b . z)` in seconds. The shape (`w`, `b`: what tokens,
//! requests and KV cost) is shared by all nodes of a model and learnt by least squares that forgets
//! toward a prior; the speeds (`s`, `v`) are two numbers a node and follow within a few answers; `o` is
//! the overdue factor of a node whose oldest unanswered request is late. Shapes drift over hours, speeds
//! in seconds: one estimator cannot serve both. All features cause latency, and coefficients are kept at
//! zero or above, so more load never looks faster.
//!
//! ```text
//! x = [1, new/1e3, P/1e3, W, D/10, K/1e5]         new: tokens of this prompt not cached
//! z = [1, (D+W+1)/10, (K+prompt+L/2)/1e5, min(P/1e3, 2)]
//! P, W: prompt tokens and requests without a first token; D: requests decoding; K: KV tokens
//! ```
//!
//! **Doubt.** On equal nodes what was seen differs by chance, and whoever always takes the least follows
//! that chance: all requests go to the node that was lucky last. A predictor that doubts tells nodes apart
//! only by what chance does not explain. Beside the speed that follows within a few answers it keeps one of
//! the last hundred or so, and how far answers of one node scatter; a speed that is no more than 3.5
//! standard errors from that of its kind is that of its kind, and of more only what is more counts.
//!
//! Learning: `A <- g A + (1-g) A0 + q x x'`, `a <- g a + (1-g) A0 w0 + q x y`, `w = A^-1 a`, with
//! forgetting `g = exp(-dt / 240 s)` and weight `q = 1 / max(prediction, 0.05 s)^2`. Forgetting toward
//! the prior keeps A positive definite for ever. Answers that do not stream teach their whole time as
//! time to the first token.

use super::{DispatchFacts, Fact, Memo, PickContext};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::End;
use crate::unit::{NodeId, Span, Time, Tokens};

/// Forgetting of a shape, in seconds.
const SHAPE_FORGETS: f64 = 240.0;
/// Speeds go back to that of the shape with this time constant, in seconds.
const SPEED_FORGETS: f64 = 30.0;
/// Speeds over many answers go back to that of the shape with this time constant, in seconds.
const LONG_FORGETS: f64 = 600.0;
/// Weight of the newest answer in these, and in how far answers scatter.
const LONG_GAIN: f64 = 0.02;
/// Weight of the newest answer in the speed to the first token.
const GAIN: f64 = 0.2;
/// So many standard errors are no chance any more.
const SURE: f64 = 3.5;
/// So many answers make a node known that has come back.
const KNOWN: u8 = 16;
/// The centre of a model's answers is that of so many.
const CENTRE_OF: u32 = 200;
/// Speeds are recomputed for reading after so long.
const REFRESH: Span = Span::from_millis(500);
/// Words of a node's progress closer together than this teach nothing new.
const PROGRESS_EVERY: Span = Span::from_millis(50);
/// Predictions are stale when so long no answer was heard.
const STALE: Span = Span::from_secs(60);

const W0: [f64; 6] = [0.02, 0.09, 0.09, 0.01, 0.01, 0.02];
const W_PRECISION: [f64; 6] = [4.0, 4.0, 4.0, 1.0, 1.0, 1.0];
const B0: [f64; 4] = [0.013, 0.0005, 0.008, 0.01];
const B_PRECISION: [f64; 4] = [200.0, 40.0, 40.0, 40.0];

/// Least squares that forget toward a prior.
#[derive(Clone, Debug)]
struct Shape<const N: usize> {
    a: [[f64; N]; N],
    v: [f64; N],
    w: [f64; N],
    prior: [f64; N],
    precision: [f64; N],
    stamp: Time,
}

impl<const N: usize> Shape<N> {
    fn new(prior: [f64; N], precision: [f64; N]) -> Shape<N> {
        let mut a = [[0.0; N]; N];
        let mut v = [0.0; N];
        for i in 0..N {
            a[i][i] = precision[i];
            v[i] = precision[i] * prior[i];
        }
        Shape { a, v, w: prior, prior, precision, stamp: Time::ZERO }
    }

    fn of(&self, x: &[f64; N]) -> f64 {
        self.w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>().max(1e-6)
    }

    /// Learns that features `x` took `y`.
    fn learn(&mut self, now: Time, x: &[f64; N], y: f64, weight: f64) {
        let keep = (-now.since(self.stamp).seconds() / SHAPE_FORGETS).exp();
        self.stamp = now;
        for i in 0..N {
            for j in 0..N {
                self.a[i][j] = keep * self.a[i][j] + weight * x[i] * x[j];
            }
            self.a[i][i] += (1.0 - keep) * self.precision[i];
            self.v[i] = keep * self.v[i]
                + (1.0 - keep) * self.precision[i] * self.prior[i]
                + weight * x[i] * y;
        }
        self.solve();
    }

    /// `w = A^-1 v` by Cholesky; coefficients below zero become zero. Leaves `w` as it was if rounding
    /// has made A indefinite.
    fn solve(&mut self) {
        let mut l = [[0.0; N]; N];
        for i in 0..N {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
                if i == j {
                    let square = self.a[i][i] - dot;
                    if square.is_nan() || square <= 0.0 {
                        return;
                    }
                    l[i][i] = square.sqrt();
                } else {
                    l[i][j] = (self.a[i][j] - dot) / l[j][j];
                }
            }
        }
        let mut w = self.v;
        for i in 0..N {
            let dot: f64 = (0..i).map(|k| l[i][k] * w[k]).sum();
            w[i] = (w[i] - dot) / l[i][i];
        }
        for i in (0..N).rev() {
            let dot: f64 = (i + 1..N).map(|k| l[k][i] * w[k]).sum();
            w[i] = (w[i] - dot) / l[i][i];
        }
        for (to, from) in self.w.iter_mut().zip(w) {
            *to = if from.is_finite() { from.max(0.0) } else { *to };
        }
    }
}

/// What is learnt of one node.
#[derive(Clone, Copy, Debug)]
struct PredictedSpeed {
    /// Logarithms of the factors.
    g: f64,
    h: f64,
    /// The same over many answers.
    long: [f64; 2],
    stamp: Time,
    /// The factors as of `read_at`.
    s: f64,
    v: f64,
    read_at: Time,
    /// Since when surely a request has been without its first token, if one is; and how long the
    /// latest of them was expected to be.
    pending: Option<(Time, f64)>,
    /// When an answer was last heard.
    heard: Option<Time>,
    /// When progress was last learnt from.
    progress: Time,
    /// When it was last sent to, as far as that was by this predictor, or tried whatever it would cost.
    tried: Time,
    /// So many answers are to be heard before it is known again, after it has come back.
    unknown: u8,
}

impl Default for PredictedSpeed {
    fn default() -> PredictedSpeed {
        PredictedSpeed {
            g: 0.0,
            h: 0.0,
            long: [0.0; 2],
            stamp: Time::ZERO,
            s: 1.0,
            v: 1.0,
            read_at: Time::ZERO,
            pending: None,
            heard: None,
            progress: Time::ZERO,
            tried: Time::ZERO,
            unknown: 0,
        }
    }
}

impl PredictedSpeed {
    fn fade(&mut self, now: Time) {
        let keep = (-now.since(self.stamp).seconds() / SPEED_FORGETS).exp();
        self.g *= keep;
        self.h *= keep;
        let keep = (-now.since(self.stamp).seconds() / LONG_FORGETS).exp();
        self.long = self.long.map(|log| log * keep);
        self.stamp = now;
        (self.s, self.v, self.read_at) = (self.g.exp(), self.h.exp(), now);
    }

    /// Returns the factors as far as chance does not explain them. Words of one answer's progress are not
    /// independent, so the newest speed per token counts as one answer.
    fn sure(&self, scatter: &[Scatter; 2]) -> (f64, f64) {
        let newest = [GAIN / (2.0 - GAIN), 1.0];
        let [g, h] = [(self.g, 0), (self.h, 1)].map(|(fast, at)| {
            let Scatter { centre, square, .. } = scatter[at];
            let slow = self.long[at];
            // By how much more than by chance. Without a step, so that one answer changes little.
            let sure = |log: f64, share: f64| {
                let chance = SURE * (share * square).sqrt();
                log.signum() * (log.abs() - chance).max(0.0)
            };
            let slow_share = LONG_GAIN / (2.0 - LONG_GAIN);
            centre + sure(slow - centre, slow_share) + sure(fast - slow, newest[at])
        });
        // Exactly one for equals, so that they tie.
        let factor = |log: f64| if log.total_cmp(&0.0).is_eq() { 1.0 } else { log.exp() };
        (factor(g), factor(h))
    }

    fn overdue(&self, now: Time) -> f64 {
        self.pending.map_or(1.0, |(since, expected)| {
            (now.since(since).seconds() / (1.5 * expected.max(0.01))).clamp(1.0, 20.0)
        })
    }
}

/// How far the answers of a model are from its shape, as logarithms: a shape goes through the mean, and
/// the mean of logarithms is below it.
#[derive(Clone, Copy, Debug)]
struct Scatter {
    centre: f64,
    /// The mean square of what one answer of a node is off from the others of that node.
    square: f64,
    /// Answers in the centre.
    answers: u32,
}

impl Default for Scatter {
    fn default() -> Scatter {
        Scatter { centre: 0.0, square: 0.25, answers: 0 }
    }
}

/// What a request is expected to take on a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prediction {
    /// Seconds to the first token.
    pub(super) ttft: f64,
    /// Seconds for each token after it.
    pub(super) tpot: f64,
    /// Seconds that the other requests on the node lose.
    pub(super) others: f64,
}

/// Learns from answers; see the file's head.
#[derive(Debug, Default)]
pub(super) struct Predictor {
    /// Whether what chance explains tells no nodes apart.
    doubts: bool,
    /// By model.
    shapes: Vec<(Shape<6>, Shape<4>)>,
    /// By model: how first tokens and times per token scatter.
    scatter: Vec<[Scatter; 2]>,
    /// By seat.
    speeds: Vec<PredictedSpeed>,
    /// Smoothed logarithm of (seen / predicted) time to the first token, and samples it is made of.
    calibration: (f64, u32),
    /// When an answer was last heard from any node.
    heard: Option<Time>,
}

fn features(context: &PickContext<'_>, id: NodeId, new: Tokens) -> ([f64; 6], [f64; 4]) {
    let ledger = &context.node(id).ledger;
    let (p, w) = (ledger.prompt.0 as f64 / 1e3, f64::from(ledger.prefilling));
    let (d, k) = (f64::from(ledger.decoding), ledger.kv.0 as f64);
    let own = context.request.prompt.0 as f64 + context.expected_output.0 as f64 / 2.0;
    let x = [1.0, new.0 as f64 / 1e3, p, w, d / 10.0, k / 1e5];
    (x, [1.0, (d + w + 1.0) / 10.0, (k + own) / 1e5, p.min(2.0)])
}

/// A second to the first token is worth so many of the whole answer, as `smart` has it by default.
const FIRST_TOKEN: f64 = 3.0;

/// The features of the time to the first token as they were kept.
fn ttft_features(memo: Memo) -> [f64; 6] {
    let m = memo.map(f64::from);
    [1.0, m[0], m[1], m[2], m[3], m[4]]
}

/// The features of the time per token as they were kept.
fn tpot_features(memo: Memo) -> [f64; 4] {
    let [_, p, w, d, _, _, k, _] = memo.map(f64::from);
    [1.0, d + (w + 1.0) / 10.0, k, p.min(2.0)]
}

impl Predictor {
    /// One that tells nodes apart only by what chance does not explain.
    pub(super) fn doubting() -> Predictor {
        Predictor { doubts: true, ..Predictor::default() }
    }

    /// Makes room for the nodes of the tier and brings their speeds up to date for reading.
    pub(super) fn refresh(&mut self, context: &PickContext<'_>, nodes: &[NodeId]) {
        for &id in nodes {
            let node = context.node(id);
            let (seat, model) = (node.seat as usize, node.spec.model.index());
            if self.speeds.len() <= seat {
                self.speeds
                    .resize(context.members().len().max(seat + 1), PredictedSpeed::default());
            }
            if self.shapes.len() <= model {
                self.shapes.resize_with(model + 1, || {
                    (Shape::new(W0, W_PRECISION), Shape::new(B0, B_PRECISION))
                });
                self.scatter.resize(model + 1, [Scatter::default(); 2]);
            }
            let speed = &mut self.speeds[seat];
            // What has come back is often another process: how slow the one before was says nothing of it.
            // Until it is known it is as fast as all of its kind.
            if !node.health.is_back_at(speed.stamp) {
                let [g, h] = self.scatter[model].map(|scatter| scatter.centre);
                let usual = PredictedSpeed { stamp: context.now, ..PredictedSpeed::default() };
                *speed = PredictedSpeed { g, h, long: [g, h], unknown: KNOWN, ..usual };
                speed.fade(context.now);
            }
            if context.now.since(speed.read_at) > REFRESH {
                speed.fade(context.now);
            }
        }
    }

    /// Predicts. `new` are the tokens of the prompt that the node has not cached. A node that was not
    /// refreshed is taken to be as fast as its shape.
    pub(super) fn predict(&self, context: &PickContext<'_>, id: NodeId, new: Tokens) -> Prediction {
        let node = context.node(id);
        let Some((ttft, tpot)) = self.shapes.get(node.spec.model.index()) else {
            return Prediction::default();
        };
        let (x, z) = features(context, id, new);
        let speed = self.speeds.get(node.seat as usize);
        let (s, v, o) = speed.map_or((1.0, 1.0, 1.0), |speed| {
            let scatter = self.scatter.get(node.spec.model.index()).filter(|_| self.doubts);
            let (s, v) = scatter.map_or((speed.s, speed.v), |scatter| speed.sure(scatter));
            (s, v, speed.overdue(context.now))
        });
        let others = f64::from(node.ledger.requests);
        let lost = if others > 0.0 {
            let overlap =
                (context.expected_output.0 as f64).min(node.ledger.output.0 as f64 / others);
            let slower = v * (tpot.w[1] / 10.0 + tpot.w[2] * (z[2] - x[5]));
            others * (overlap * slower + s * ttft.w[1] * x[1])
        } else {
            0.0
        };
        Prediction { ttft: s * o * ttft.of(&x), tpot: v * o.sqrt() * tpot.of(&z), others: lost }
    }

    /// The seconds that it will cost others to compute anew what these tokens drive out of a full cache: as
    /// much as they cost, to whoever comes for it and to all that are answered meanwhile.
    pub(super) fn anew(&self, context: &PickContext<'_>, id: NodeId, new: Tokens) -> f64 {
        let node = context.node(id);
        let Some((ttft, _)) = self.shapes.get(node.spec.model.index()) else { return 0.0 };
        let s = self.speeds.get(node.seat as usize).map_or(1.0, |speed| speed.s);
        (FIRST_TOKEN + f64::from(node.ledger.requests)) * s * ttft.w[1] * new.0 as f64 / 1e3
    }

    /// What to keep with an attempt for learning.
    pub(super) fn memo(context: &PickContext<'_>, id: NodeId, new: Tokens) -> Memo {
        let (x, z) = features(context, id, new);
        // Two places are left to the index of prefixes: what stood there follows from the others.
        [x[1], x[2], x[3], x[4], x[5], 0.0, z[2], 0.0].map(|feature| feature as f32)
    }

    /// Returns by which factor times to the first token were off lately, as a ratio above one; one
    /// while fewer than fifty were seen.
    pub(super) fn off_by(&self) -> f64 {
        let (bias, samples) = self.calibration;
        if samples < 50 { 1.0 } else { bias.abs().exp() }
    }

    /// Returns whether answers were heard, but none for long: predictions are of another time.
    pub(super) fn is_stale(&self, now: Time) -> bool {
        self.heard.is_some_and(|at| now.since(at) > STALE)
    }

    /// Returns whether too little has been heard of a node since it came back.
    pub(super) fn is_unknown(&self, seat: usize) -> bool {
        self.speeds.get(seat).is_some_and(|speed| speed.unknown > 0)
    }

    /// Returns when a request was last sent to the node.
    pub(super) fn tried(&self, seat: usize) -> Time {
        self.speeds.get(seat).map_or(Time::ZERO, |speed| speed.tried)
    }

    /// A request is sent to the node whatever it costs.
    pub(super) fn mark_tried(&mut self, seat: usize, now: Time) {
        if let Some(speed) = self.speeds.get_mut(seat) {
            speed.tried = now;
        }
    }

    /// Returns when the node was last heard of.
    pub(super) fn heard(&self, seat: usize) -> Option<Time> {
        self.speeds.get(seat).and_then(|speed| speed.heard)
    }

    /// Learns from a fact about an attempt.
    pub(super) fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        match *fact {
            Fact::Dispatched { node, request } => {
                let member = fleet.node(node);
                let known = (self.shapes.get(member.spec.model.index()))
                    .zip(self.speeds.get_mut(member.seat as usize));
                if let Some(((ttft, _), speed)) = known {
                    let ledger = &member.ledger;
                    let own = request.prompt.0 as f64;
                    // The ledger holds this one by now.
                    let x = [
                        1.0,
                        own / 1e3,
                        (ledger.prompt.0 as f64 - own).max(0.0) / 1e3,
                        f64::from(ledger.prefilling) - 1.0,
                        f64::from(ledger.decoding) / 10.0,
                        (ledger.kv.0 as f64 - own).max(0.0) / 1e5,
                    ];
                    let since = speed.pending.map_or(now, |(since, _)| since);
                    speed.pending = Some((since, ttft.of(&x) * speed.s));
                    speed.tried = now;
                }
            }
            Fact::FirstToken { node, took, sent } => {
                self.answered(now, node, fleet, 0);
                self.first_token(now, node, took, sent, fleet);
            }
            Fact::Ended { node, end, took, first_token, usage, sent } => {
                if first_token.is_none() {
                    // This one is on the ledger still.
                    self.answered(now, node, fleet, 1);
                }
                match (end, first_token) {
                    (End::Done, Some(first)) if usage.output.0 > 1 => {
                        let rest = Span(took.0.saturating_sub(first.0)).seconds();
                        let each = rest / (usage.output.0 - 1) as f64;
                        self.per_token(now, node, (each, true), sent, fleet);
                    }
                    (End::Done, None) => self.first_token(now, node, took, sent, fleet),
                    (End::TimedOut(_) | End::Cancelled | End::Outrun, None) => {
                        self.at_least(now, node, took, sent, fleet);
                    }
                    _ => {}
                }
            }
            Fact::Tokens { node, so_far, took, sent } if so_far.0 >= 16 => {
                let speed = self.speeds.get_mut(fleet.node(node).seat as usize);
                if let Some(speed) = speed
                    && now.since(speed.progress) >= PROGRESS_EVERY
                {
                    speed.progress = now;
                    let each = took.seconds() / (so_far.0 - 1) as f64;
                    self.per_token(now, node, (each, false), sent, fleet);
                }
            }
            Fact::Tokens { .. } => {}
        }
    }

    /// A request got its first token or ended without one: others may still wait for theirs. Since
    /// when is not known, but they were sent before now and the others were served first. `own` is
    /// one if the ledger still holds the request.
    fn answered(&mut self, now: Time, id: NodeId, fleet: &Fleet, own: u32) {
        let node = fleet.node(id);
        self.heard = Some(now);
        if let Some(speed) = self.speeds.get_mut(node.seat as usize) {
            let expected = speed.pending.map_or(1.0, |(_, expected)| expected);
            speed.pending = (node.ledger.prefilling > own).then_some((now, expected));
            speed.heard = Some(now);
        }
    }

    /// Nobody waited for the first token any longer: it would have taken longer than this. That says
    /// nothing if it was expected to.
    fn at_least(&mut self, now: Time, id: NodeId, took: Span, sent: &DispatchFacts, fleet: &Fleet) {
        let node = fleet.node(id);
        let known =
            (self.shapes.get(node.spec.model.index())).zip(self.speeds.get_mut(node.seat as usize));
        let (Some(memo), Some(((shape, _), speed))) = (sent.memo, known) else { return };
        let expected = shape.of(&ttft_features(memo));
        speed.fade(now);
        let error = (took.seconds().max(1e-6) / expected).ln().clamp(-1.5, 1.5);
        if error > speed.g {
            speed.g += 0.2 * (error - speed.g);
            speed.s = speed.g.exp();
        }
    }

    fn first_token(
        &mut self,
        now: Time,
        id: NodeId,
        took: Span,
        sent: &DispatchFacts,
        fleet: &Fleet,
    ) {
        let node = fleet.node(id);
        let known = (self.shapes.get_mut(node.spec.model.index()))
            .zip(self.speeds.get_mut(node.seat as usize));
        let (Some(memo), Some(((shape, _), speed))) = (sent.memo, known) else { return };
        let x = ttft_features(memo);
        let y = took.seconds().max(1e-6);
        let expected = shape.of(&x);
        speed.fade(now);
        speed.unknown = speed.unknown.saturating_sub(1);
        let (bias, samples) = self.calibration;
        let off = (y / (expected * speed.s)).ln().clamp(-3.0, 3.0);
        let gain = 1.0 / f64::from((samples + 1).min(200));
        self.calibration = (bias + gain * (off - bias), (samples + 1).min(200));
        let log = (y / expected).ln().clamp(-1.5, 1.5);
        note(speed, &mut self.scatter[node.spec.model.index()], 0, log);
        speed.g += GAIN * (log - speed.g);
        speed.s = speed.g.exp();
        let target = (y / speed.s).min(4.0 * expected);
        shape.learn(now, &x, target, 1.0 / expected.max(0.05).powi(2));
    }

    /// `whole` says that the answer is over: words of its progress say little new.
    fn per_token(
        &mut self,
        now: Time,
        id: NodeId,
        (each, whole): (f64, bool),
        sent: &DispatchFacts,
        fleet: &Fleet,
    ) {
        let node = fleet.node(id);
        let known = (self.shapes.get_mut(node.spec.model.index()))
            .zip(self.speeds.get_mut(node.seat as usize));
        let (Some(memo), Some(((_, shape), speed))) = (sent.memo, known) else { return };
        let z = tpot_features(memo);
        let y = each.max(1e-7);
        let expected = shape.of(&z);
        speed.fade(now);
        let log = (y / expected).ln().clamp(-1.5, 1.5);
        if whole {
            note(speed, &mut self.scatter[node.spec.model.index()], 1, log);
        }
        speed.h += 0.15 * (log - speed.h);
        speed.v = speed.h.exp();
        let target = (y / speed.v).min(4.0 * expected);
        // Samples of this kind are plentiful and correlated.
        shape.learn(now, &z, target, 0.05 / expected.max(1e-3).powi(2));
    }
}

/// Notes an answer that took so many times as long as its shape says, as a logarithm.
fn note(speed: &mut PredictedSpeed, scatter: &mut [Scatter; 2], at: usize, log: f64) {
    let off = log - speed.long[at];
    let Scatter { centre, square, answers } = &mut scatter[at];
    *answers = (*answers + 1).min(CENTRE_OF);
    *centre += (log - *centre) / f64::from(*answers);
    // One answer that is far off is no news of how all the others scatter.
    *square += LONG_GAIN * ((off * off).min(4.0 * *square) - *square);
    speed.long[at] += LONG_GAIN * off;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chance_explains_is_no_speed() {
        let mut scatter = [Scatter::default(); 2];
        let mut speed = PredictedSpeed { g: 0.3, long: [0.1, 0.0], ..PredictedSpeed::default() };
        assert_eq!(speed.sure(&scatter), (1.0, 1.0), "answers scatter by half");
        speed.g = 1.6;
        assert!(speed.sure(&scatter).0 > 2.0, "five times as slow is no chance");
        speed.g = 0.2;
        speed.long[0] = 0.2;
        let slower = speed.sure(&scatter).0;
        assert!(slower > 1.0 && slower < 1.1, "what a hundred answers say is little chance");
        scatter[0].centre = 0.15;
        let kind = 0.15_f64.exp();
        assert_eq!(speed.sure(&scatter), (kind, 1.0), "so are all of its kind");
    }

    #[test]
    fn least_squares_find_the_coefficients_and_go_back_to_the_prior() {
        let mut shape = Shape::new(B0, B_PRECISION);
        let truth = [0.03, 0.002, 0.02, 0.0];
        let mut now = Time::ZERO;
        for sample in 0..4_000_u32 {
            now = now + Span::from_millis(10);
            let part = |shift: u32| f64::from((sample >> shift) % 7) / 3.0;
            let z = [1.0, part(0), part(1), part(2)];
            let y: f64 = truth.iter().zip(z).map(|(w, z)| w * z).sum();
            shape.learn(now, &z, y, 1e4);
        }
        for (found, wanted) in shape.w.iter().zip(truth) {
            assert!((found - wanted).abs() < 2e-4, "{:?}", shape.w);
        }
        shape.learn(now + Span::from_secs(100_000), &[0.0; 4], 0.0, 0.0);
        for (found, wanted) in shape.w.iter().zip(B0) {
            assert!((found - wanted).abs() < 1e-9, "{:?}", shape.w);
        }
    }
}

//! Several strategies on the same arrivals, in lockstep: each is a run of its own, made again from the
//! beginning, and goes as far as the run that is watched. What is done by hand is done to all.

use std::time::{Duration, Instant};

use super::run::{Got, PlayedRun};
use super::session::PlaySession;
use crate::command::{
    Contender, LaneDelta, LaneFigures, LanePoint, LaneVerdict, RACE_MAX, SideBySide,
};
use crate::lab::{holm, moments, student_p};
use crate::metrics::blocks::{RunBlock, RunBlocks};
use crate::metrics::{Summary, Watch};
use crate::scenario::Override;
use crate::unit::{Span, Time};

/// Fewer blocks than this say nothing.
const BLOCKS_MIN: usize = 4;
const ALPHA: f64 = 0.05;

/// One of those that are compared.
struct Racer {
    name: String,
    session: PlaySession,
    run: PlayedRun,
    blocks: RunBlocks,
    over: bool,
    /// The newest figures, when they were made, and of which moment they are.
    figures: Option<(Instant, Time, Summary)>,
}

/// Figures of a whole run are made anew so seldom.
const FIGURES_EVERY: Duration = Duration::from_millis(400);

impl Racer {
    fn new(name: String, session: PlaySession) -> Result<Racer, String> {
        let run = PlayedRun::new(session.scenario(), Watch::Report, session.color());
        let run = run.map_err(|failure| failure.message)?;
        Ok(Racer { name, session, run, blocks: RunBlocks::default(), over: false, figures: None })
    }

    /// Goes on to a simulated time, or until a wall time. Returns whether it got there.
    fn advance(&mut self, target: Time, until: Instant) -> bool {
        loop {
            // To the end of the block first, so that what is spent by then is known.
            let due = self.blocks.due();
            let to = target.min(Time(due.0 - 1));
            let blocks = &mut self.blocks;
            let stop = || Instant::now() >= until;
            let got = self.run.advance(to, stop, &mut |now, event| blocks.hear(now, event));
            match got {
                Got::OnTheWay => return false,
                Got::Over => {
                    self.over = true;
                    return true;
                }
                Got::There if target < due => return true,
                Got::There => self.blocks.close(self.run.collector.spent(due)),
            }
        }
    }

    /// The figures of its whole run: those of a moment ago, unless they are to be `exact`.
    fn summary(&mut self, exact: bool) -> &Summary {
        let now = self.run.sim.now();
        let fresh = self.figures.as_ref().is_some_and(|(at, of, _)| {
            *of == now || (at.elapsed() < FIGURES_EVERY && !self.over && !exact)
        });
        if !fresh {
            let summary = self.run.collector.summary(now, self.over);
            self.figures = Some((Instant::now(), now, summary));
        }
        &self.figures.as_ref().expect("just made").2
    }
}

/// Those that are compared.
pub(super) struct Race {
    lanes: Vec<Racer>,
    baseline: usize,
    warmup: Time,
}

impl Race {
    /// Begins with the run as it is.
    pub(super) fn begin(session: &PlaySession) -> Result<Race, String> {
        let name = session.scenario().name.clone();
        let warmup = Time::ZERO + session.scenario().warmup;
        let lane = Racer::new(format!("as it is ({name})"), session.clone())?;
        Ok(Race { lanes: vec![lane], baseline: 0, warmup })
    }

    /// One more takes part.
    pub(super) fn add(
        &mut self,
        session: &PlaySession,
        contender: &Contender,
    ) -> Result<(), String> {
        if self.lanes.len() >= RACE_MAX {
            return Err(format!("at most {RACE_MAX} are compared"));
        }
        let lane = match contender {
            Contender::Strategy(name) => {
                Racer::new(name.clone(), session.with_override(Override::strategy(name))?)?
            }
            Contender::Scenario(name) => Racer::new(name.clone(), session.other(name)?)?,
            Contender::Without(after) => {
                let mut without = session.clone();
                without.cut(*after);
                Racer::new(format!("not done after {after}"), without)?
            }
        };
        if self.lanes.iter().any(|other| other.name == lane.name) {
            return Err(format!("{} takes part already", lane.name));
        }
        self.lanes.push(lane);
        Ok(())
    }

    /// What was done changes in all of them, and they begin again.
    pub(super) fn again(&mut self, change: impl Fn(&mut PlaySession)) -> Result<(), String> {
        for lane in &mut self.lanes {
            change(&mut lane.session);
            *lane = Racer::new(std::mem::take(&mut lane.name), lane.session.clone())?;
        }
        Ok(())
    }

    /// One takes part no longer. Returns whether there is still something to compare.
    pub(super) fn remove(&mut self, at: usize) -> bool {
        if at < self.lanes.len() {
            self.lanes.remove(at);
        }
        if self.baseline >= at {
            self.baseline = self.baseline.saturating_sub(1);
        }
        self.lanes.len() > 1
    }

    pub(super) const fn set_baseline(&mut self, at: usize) {
        if at < self.lanes.len() {
            self.baseline = at;
        }
    }

    /// The same is done to all. Those that cannot do it go on without.
    pub(super) fn act(&mut self, at: Time, text: &str) {
        for lane in &mut self.lanes {
            if let Ok(act) = lane.session.add(at, text) {
                lane.run.sim.act(act);
            }
        }
    }

    /// All go on to a simulated time, or until a wall time. Returns whether all got there.
    pub(super) fn advance(&mut self, target: Time, until: Instant) -> bool {
        let mut all = true;
        // The one that is furthest behind first.
        let mut order: Vec<usize> = (0..self.lanes.len()).collect();
        order.sort_by_key(|lane| self.lanes[*lane].run.sim.now());
        for lane in order {
            let lane = &mut self.lanes[lane];
            all &= lane.over || lane.advance(target, until);
        }
        all
    }

    /// What is known of it, for a screen.
    pub(super) fn comparison(&mut self, exact: bool) -> SideBySide {
        let now = self.lanes.iter().filter(|lane| !lane.over).map(|lane| lane.run.sim.now()).min();
        // Blocks become wider at the same moment in all, but some may be behind.
        let width = self.lanes.iter().map(|lane| lane.blocks.width()).max().unwrap_or_default();
        let even = self.lanes.iter().all(|lane| lane.blocks.width() == width);
        let skipped = self.warmup.0.div_ceil(width.0.max(1)) as usize;
        let counts = self.lanes.iter().map(|lane| lane.blocks.closed().len());
        let blocks = if even { counts.min().unwrap_or(0) } else { 0 };
        let mut lanes: Vec<LaneFigures> =
            self.lanes.iter_mut().map(|lane| figures(lane, exact)).collect();
        let used = skipped.min(blocks)..blocks;
        for (lane, figures) in self.lanes.iter().zip(&mut lanes) {
            let closed = lane.blocks.closed().iter().take(blocks);
            let point = |(at, block): (usize, &RunBlock)| LanePoint {
                until: Time(width.0 * (at as u64 + 1)),
                p99: block.quantile(0.99),
            };
            figures.points = closed.enumerate().map(point).collect();
        }
        let base = &self.lanes[self.baseline].blocks.closed()[used.clone()];
        let measures: [fn(&RunBlock) -> Option<f64>; 3] =
            [|block| block.quantile(0.99).map(Span::seconds), RunBlock::failed, RunBlock::per_1k];
        for (which, measure) in measures.into_iter().enumerate() {
            let others = self.lanes.iter().enumerate().filter(|(at, _)| *at != self.baseline);
            let deltas: Vec<(usize, LaneDelta, f64)> = others
                .map(|(at, lane)| {
                    let (delta, p) = difference(base, &lane.blocks.closed()[used.clone()], measure);
                    (at, delta, p)
                })
                .collect();
            let steps = holm(&deltas.iter().map(|(.., p)| *p).collect::<Vec<_>>(), ALPHA);
            for ((at, mut delta, _), step) in deltas.into_iter().zip(steps) {
                if delta.verdict != LaneVerdict::TooFew && !step.rejected {
                    delta.verdict = LaneVerdict::NoDifference;
                }
                let place = match which {
                    0 => &mut lanes[at].p99_delta,
                    1 => &mut lanes[at].failed_delta,
                    _ => &mut lanes[at].per_1k_delta,
                };
                *place = Some(delta);
            }
        }
        SideBySide {
            lanes,
            baseline: self.baseline,
            blocks: used.len(),
            block: width,
            at: now.unwrap_or_else(|| self.lanes[0].run.sim.now()),
        }
    }
}

fn figures(lane: &mut Racer, exact: bool) -> LaneFigures {
    let name = lane.name.clone();
    let summary = lane.summary(exact);
    let span = |seconds: Option<f64>| seconds.map(Span::from_seconds);
    let requests = &summary.requests;
    let ended = requests.completed + requests.failed + requests.rejected;
    let share = |part: u64| if ended == 0 { 0.0 } else { part as f64 / ended as f64 };
    LaneFigures {
        name,
        p50: span(summary.latency_s.p50),
        p95: span(summary.latency_s.p95),
        p99: span(summary.latency_s.p99),
        failed: share(requests.failed + requests.rejected),
        per_1k: summary.cost_usd.per_1k_requests,
        p99_delta: None,
        failed_delta: None,
        per_1k_delta: None,
        points: Vec::new(),
    }
}

/// The mean difference of a measure between blocks of the same time, and how probable one as far from
/// nothing would be if there were none.
fn difference(
    base: &[RunBlock],
    other: &[RunBlock],
    measure: fn(&RunBlock) -> Option<f64>,
) -> (LaneDelta, f64) {
    let pairs = base.iter().zip(other);
    let of = |(base, other): (&RunBlock, &RunBlock)| Some(measure(other)? - measure(base)?);
    let differences: Vec<f64> = pairs.filter_map(of).collect();
    let found = moments(&differences);
    let half = found.half_width(ALPHA).filter(|_| found.n >= BLOCKS_MIN);
    let error = found.standard_error();
    let p = match (half, found.mean) {
        (None, _) | (Some(_), 0.0) => 1.0,
        // The same difference in every block.
        (Some(_), _) if error == 0.0 => 0.0,
        (Some(_), mean) => student_p(mean / error, found.n - 1),
    };
    let verdict = match half {
        None => LaneVerdict::TooFew,
        Some(_) if found.mean < 0.0 => LaneVerdict::Better,
        Some(_) => LaneVerdict::Worse,
    };
    (LaneDelta { mean: found.mean, half, verdict }, p)
}

//! `plimsoll play`: the dashboard over a simulation.
//!
//! The engine runs on its own thread: it advances simulated time as far as the pace asks, publishes
//! a frame now and then into a one-place slot, and takes commands. It never waits for the screen.

use std::any::Any;
use std::io::{self, IsTerminal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::failure::{CliFailure, FailureKind};
use super::looks::Looks;
use super::pace::PaceClock;
use super::ticks::LiveTicks;
use super::{Changes, Color, DEFAULT_SCENARIO, load, output};
use crate::balance::{Control, Event, Explain};
use crate::command::{Command, Frame, Mode, Pace, RunState};
use crate::metrics::expect::ExpectVerdict;
use crate::metrics::{Collector, Snapshot, Watch};
use crate::report;
use crate::scenario::Scenario;
use crate::sim::{Sim, Step};
use crate::tui::{self, Slot};
use crate::unit::{Span, Time};

/// A frame is published at most this often.
const FRAME_EVERY: Duration = Duration::from_millis(100);
/// The engine looks at commands and clock at least this often.
const SLICE: Duration = Duration::from_millis(20);
/// One tick of `StepTick`.
const TICK: Span = Span::from_millis(100);
/// The clock is looked at after so many inputs.
const LOOK_EVERY: u32 = 512;
/// The pace at the start.
const PACE: f64 = 4.0;

#[derive(Clone, Debug, Default, Args)]
pub(super) struct Play {
    /// A file, or the name of a built-in scenario [default: quickstart]
    scenario: Option<String>,
    #[command(flatten)]
    changes: Changes,
    /// Simulated seconds a second [default: 4]
    #[arg(long, value_name = "TIMES", value_parser = speed)]
    speed: Option<f64>,
    /// Begin paused
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    looks: Looks,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "a number such as 4 or 0.5".to_owned())?;
    if (0.01..=1e6).contains(&speed) { Ok(speed) } else { Err("from 0.01 to 1000000".to_owned()) }
}

/// Returns whether a dashboard can be shown.
pub(super) fn has_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

impl Play {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let name = self.scenario.as_deref().unwrap_or(DEFAULT_SCENARIO);
        if !has_terminal() {
            let failure = CliFailure::new(FailureKind::Usage, "play needs a terminal");
            return Err(failure.hint(format!("`plimsoll run {name}` does the same without one")));
        }
        // Everything that can be wrong is said before the screen is touched.
        let scenario = load::scenario(name, &self.changes, self.color)?;
        let expectations = load::expectations(&scenario, self.color)?;
        let run = PlayedRun::new(&scenario, self.color)?;
        let pace = Pace::Times(self.speed.unwrap_or(PACE));
        let state = if self.paused { RunState::Paused } else { RunState::Running };
        let slot = Arc::new(Slot::new());
        let (commands, inbox) = mpsc::channel();
        let engine = PlayEngine::new(scenario, run, pace, state, Arc::clone(&slot), self.color);
        let engine = PlayEngine { ticks: LiveTicks::new(expectations), ..engine };
        let engine = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || engine.run(&inbox))
            .map_err(|error| {
                CliFailure::new(FailureKind::Unexpected, format!("no thread: {error}"))
            })?;
        let shown = tui::run(slot, commands.clone(), self.looks.options());
        // The screen may be gone without having said so.
        let _ = commands.send(Command::Quit);
        let report = engine.join().ok().flatten();
        let exit = shown.map_err(|error| {
            CliFailure::new(FailureKind::Unexpected, format!("the terminal failed: {error}"))
        })?;
        if let Some(report) = report {
            output::print(&report)?;
        }
        Ok(exit.code() as u8)
    }
}

/// A simulation and what is known of it.
struct PlayedRun {
    sim: Sim,
    collector: Collector,
    end: Option<Time>,
    /// Why the workload broke.
    broken: Option<String>,
}

impl PlayedRun {
    fn new(scenario: &Scenario, color: Color) -> Result<PlayedRun, CliFailure> {
        let load::Ready { sim, end, .. } = load::simulation(scenario, color)?;
        let collector = load::collector(scenario, Watch::Screen);
        Ok(PlayedRun { sim, collector, end, broken: None })
    }

    /// Handles one input. Returns whether there was one.
    fn step(&mut self) -> bool {
        let PlayedRun { sim, collector, broken, .. } = self;
        let mut sink = |now: Time, event: &Event| collector.fold(now, event);
        match sim.step(&mut |_, _| {}, &mut sink) {
            Ok(Step::Handled) => true,
            Ok(Step::Done) => false,
            Err(errors) => {
                let first = errors.first();
                *broken = first.map(|error| format!("trace line {}: {}", error.line, error.reason));
                false
            }
        }
    }
}

/// The engine: a run, and how it is being driven.
struct PlayEngine {
    scenario: Scenario,
    ticks: LiveTicks,
    run: PlayedRun,
    clock: PaceClock,
    state: RunState,
    /// Wall time up to which the clock has been moved on.
    paced: Instant,
    /// Where a tick that was asked for ends: until then a paused run moves.
    tick: Option<Time>,
    slot: Arc<Slot>,
    published: Instant,
    /// Whether something changed since the last frame.
    changed: bool,
    /// Whether somebody waits for the next frame: it is the answer to a command.
    awaited: bool,
    color: Color,
    /// Whether the screen shows decisions.
    explain: bool,
}

impl PlayEngine {
    fn new(
        scenario: Scenario,
        run: PlayedRun,
        pace: Pace,
        state: RunState,
        slot: Arc<Slot>,
        color: Color,
    ) -> PlayEngine {
        let now = Instant::now();
        PlayEngine {
            scenario,
            ticks: LiveTicks::default(),
            run,
            clock: PaceClock::new(pace),
            state,
            paced: now,
            tick: None,
            slot,
            published: now,
            changed: true,
            awaited: false,
            color,
            explain: false,
        }
    }

    /// Runs until told to quit. Returns the report of what was simulated.
    fn run(mut self, inbox: &Receiver<Command>) -> Option<String> {
        match catch_unwind(AssertUnwindSafe(|| self.drive(inbox))) {
            Ok(()) => {
                self.slot.close();
                Some(self.report())
            }
            Err(panic) => {
                // The screen stays up with the last picture and says what happened.
                let snapshot = Arc::new(Snapshot::default());
                self.state = RunState::Failed(words(panic.as_ref()));
                self.publish_as(snapshot);
                while !matches!(inbox.recv(), Ok(Command::Quit) | Err(_)) {}
                None
            }
        }
    }

    fn drive(&mut self, inbox: &Receiver<Command>) {
        self.publish();
        loop {
            let patience = if self.moves() { Duration::ZERO } else { Duration::from_secs(3_600) };
            if self.obey(inbox, patience) == Go::Quit {
                return;
            }
            if self.moves() {
                self.advance();
            }
            let due = self.awaited || self.published.elapsed() >= FRAME_EVERY;
            if self.changed && (due || !self.moves()) {
                self.publish();
            }
        }
    }

    fn moves(&self) -> bool {
        self.state == RunState::Running || self.tick.is_some()
    }

    /// Obeys what has been commanded; waits for the first command while nothing moves.
    fn obey(&mut self, inbox: &Receiver<Command>, patience: Duration) -> Go {
        let first = if patience.is_zero() {
            inbox.try_recv().map_err(|error| error == TryRecvError::Disconnected)
        } else {
            inbox.recv_timeout(patience).map_err(|error| error == RecvTimeoutError::Disconnected)
        };
        let mut next = first;
        loop {
            match next {
                Ok(command) => {
                    if self.carry_out(&command) == Go::Quit {
                        return Go::Quit;
                    }
                }
                Err(gone) => return if gone { Go::Quit } else { Go::On },
            }
            next = inbox.try_recv().map_err(|error| error == TryRecvError::Disconnected);
        }
    }

    fn carry_out(&mut self, command: &Command) -> Go {
        (self.changed, self.awaited) = (true, true);
        match command {
            Command::Quit => return Go::Quit,
            Command::Pause(pause) => self.pause(*pause),
            Command::Pace(pace) => {
                self.clock.set(*pace, self.now());
                self.paced = Instant::now();
            }
            Command::StepInput => {
                self.pause(true);
                self.step_once();
            }
            Command::StepTick => {
                self.pause(true);
                self.tick = Some(self.tick.unwrap_or_else(|| self.now()) + TICK);
            }
            Command::Kill(node) => self.act(|sim| sim.kill(*node)),
            Command::Heal(node) => self.act(|sim| sim.heal(*node)),
            Command::Strategy(pool, spec) => {
                self.act(|sim| sim.control(Control::Strategy(*pool, spec.clone())));
            }
            Command::Restart => self.restart(),
            Command::Explain(wanted) => self.explain(*wanted),
        }
        Go::On
    }

    /// Does something to the run; where nothing moves it shows at once all the same.
    fn act(&mut self, act: impl FnOnce(&mut Sim)) {
        act(&mut self.run.sim);
        if self.state == RunState::Paused && self.tick.is_none() {
            self.advance_to(self.run.sim.now(), Instant::now() + SLICE);
        }
    }

    /// Lets decisions be explained for as long as the screen shows them.
    fn explain(&mut self, wanted: bool) {
        self.explain = wanted;
        self.run.sim.explain(if wanted { Explain::All } else { Explain::Off });
        if !wanted {
            self.run.collector.forget_decisions();
        }
    }

    fn pause(&mut self, pause: bool) {
        match (&self.state, pause) {
            (RunState::Running, true) => self.state = RunState::Paused,
            (RunState::Paused, false) => {
                self.state = RunState::Running;
                self.repace();
            }
            _ => {}
        }
    }

    /// From now on the pace counts from here.
    fn repace(&mut self) {
        self.clock.begin(self.now());
        self.paced = Instant::now();
    }

    fn restart(&mut self) {
        match PlayedRun::new(&self.scenario, self.color) {
            Ok(run) => {
                self.run = run;
                self.explain(self.explain);
                // Who has paused a run looks at its beginning.
                if self.state != RunState::Paused {
                    self.state = RunState::Running;
                }
                self.tick = None;
                self.clock.begin(Time::ZERO);
                self.paced = Instant::now();
            }
            Err(failure) => self.state = RunState::Failed(failure.message),
        }
    }

    fn step_once(&mut self) {
        if self.run.step() {
            self.clock.begin(self.run.sim.now());
        } else {
            self.finish();
        }
    }

    /// Advances for one slice of wall time.
    fn advance(&mut self) {
        let now = Instant::now();
        let until = now + SLICE;
        let wall = now.duration_since(self.paced);
        self.paced = now;
        if let Some(tick) = self.tick {
            if self.advance_to(tick, until) && self.tick.take().is_some() {
                self.clock.begin(tick);
            }
        } else {
            let target = self.clock.pass(wall, self.run.sim.now(), self.run.sim.next_at());
            self.advance_to(target, until);
            if self.clock.pace() != Pace::Fastest {
                thread::sleep(until.saturating_duration_since(Instant::now()));
            }
        }
        self.changed = true;
    }

    /// Handles every input up to a simulated time, or until a wall time. Returns whether it got there.
    fn advance_to(&mut self, target: Time, until: Instant) -> bool {
        let mut inputs = 0_u32;
        while self.run.sim.next_at().is_some_and(|at| at <= target) {
            if !self.run.step() {
                break;
            }
            inputs = inputs.wrapping_add(1);
            let look = inputs.is_multiple_of(LOOK_EVERY);
            if look && Instant::now() >= until {
                return false;
            }
        }
        if self.run.sim.next_at().is_none() || self.run.broken.is_some() {
            self.finish();
        }
        true
    }

    fn finish(&mut self) {
        self.tick = None;
        self.state = match self.run.broken.take() {
            Some(reason) => RunState::Failed(reason),
            None => RunState::Done,
        };
    }

    /// What the clock shows: between two events time passes as well.
    fn now(&self) -> Time {
        let now = self.run.sim.now();
        match (self.clock.pace(), &self.state) {
            (Pace::Times(_), RunState::Running | RunState::Paused) => {
                let next = self.run.sim.next_at().unwrap_or(now);
                self.clock.target().min(next).max(now)
            }
            _ => now,
        }
    }

    fn publish(&mut self) {
        let now = self.now();
        let mut snapshot = self.run.collector.snapshot(now);
        let still = !self.moves();
        snapshot.expects = self.ticks.judged(&self.run.collector, now, still);
        self.publish_as(Arc::new(snapshot));
    }

    fn publish_as(&mut self, snapshot: Arc<Snapshot>) {
        let reached = self.clock.reached().filter(|_| self.state == RunState::Running);
        self.slot.publish(Arc::new(Frame {
            snapshot,
            mode: Mode::Sim,
            state: self.state.clone(),
            pace: self.clock.pace(),
            reached,
            scenario: self.scenario.name.clone(),
            seed: self.scenario.seed,
            end: self.run.end,
        }));
        self.published = Instant::now();
        (self.changed, self.awaited) = (false, false);
    }

    fn report(&self) -> String {
        let complete = self.state == RunState::Done;
        let mut summary = self.run.collector.summary(self.run.sim.now(), complete);
        summary.tell_kv(self.run.sim.kv_use());
        // A part of a run proves nothing about the whole.
        let judged = if complete { self.ticks.expectations() } else { &[] };
        let verdicts: Vec<ExpectVerdict> = judged.iter().map(|one| one.judge(&summary)).collect();
        report::text(&summary, &verdicts, &[])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    On,
    Quit,
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the engine failed").to_owned()
}

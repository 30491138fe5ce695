//! The engine: a run, and how it is being driven. On its own thread it advances simulated time as far
//! as the pace asks, publishes a frame now and then into a one-place slot, and takes commands. It never
//! waits for the screen.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::ticks::LiveTicks;
use super::export::ExportWork;
use super::forecast::Foresight;
use super::guide::Guide;
use super::pace::PaceClock;
use super::race::Race;
use super::regret::Doubt;
use super::run::{Got, PlayedRun};
use super::session::PlaySession;
use crate::balance::Explain;
use crate::command::{Command, Frame, Mode, NodeGroup, Notice, Pace, RunState};
use crate::metrics::expect::ExpectVerdict;
use crate::metrics::{Snapshot, Watch};
use crate::report;
use crate::tui::Slot;
use crate::unit::{Span, Time};

mod ahead;
mod taken;

/// A frame is published at most this often.
const FRAME_EVERY: Duration = Duration::from_millis(100);
/// The engine looks at commands and clock at least this often.
const SLICE: Duration = Duration::from_millis(20);
/// Those that are compared with it get so much of each turn.
const RACE_SLICE: Duration = Duration::from_millis(60);
/// One tick of `StepTick`.
const TICK: Span = Span::from_millis(100);
/// What threads have found out is looked at so often while nothing moves.
const LISTEN: Duration = Duration::from_millis(30);
/// Whoever does something at an earlier moment waits so long at most until the run is there.
const CATCH_UP: Duration = Duration::from_secs(10);

/// The run as it was at an earlier moment, on its way there or there.
struct Past {
    run: PlayedRun,
    at: Time,
    there: bool,
}

/// A run, and how it is being driven.
pub(super) struct PlayEngine {
    session: PlaySession,
    ticks: LiveTicks,
    run: PlayedRun,
    /// What is looked at in place of the run.
    past: Option<Past>,
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
    /// Whether the screen shows decisions.
    explain: bool,
    notice: Option<Notice>,
    foresight: Option<Foresight>,
    /// A decision that is doubted.
    doubt: Option<Doubt>,
    /// Files that are being written.
    export: Option<ExportWork>,
    /// What it is compared with.
    race: Option<Race>,
    /// Whether all of those are where the run is.
    level: bool,
    /// What is to be told, and when.
    guide: Guide,
    /// Nodes that a region or a tag means.
    groups: Arc<[NodeGroup]>,
    /// Keys come out of a file: no figure may depend on how long anything takes.
    scripted: bool,
}

/// What a session came to.
pub(super) struct Played {
    pub(super) session: PlaySession,
    /// What was simulated, as a report.
    pub(super) report: String,
    /// Where it was left, unless it came to its end.
    pub(super) left_at: Option<Time>,
}

impl PlayEngine {
    pub(super) fn new(
        session: PlaySession,
        run: PlayedRun,
        ticks: LiveTicks,
        (pace, state): (Pace, RunState),
        slot: Arc<Slot>,
    ) -> PlayEngine {
        let now = Instant::now();
        let groups = session.groups();
        PlayEngine {
            session,
            ticks,
            run,
            past: None,
            clock: PaceClock::new(pace),
            state,
            paced: now,
            tick: None,
            slot,
            published: now,
            changed: true,
            awaited: false,
            explain: false,
            notice: None,
            foresight: None,
            doubt: None,
            export: None,
            race: None,
            level: true,
            guide: Guide::new(&[]),
            groups,
            scripted: false,
        }
    }

    /// Lets these lines be told at their times.
    pub(super) const fn guide(&mut self, lines: &'static [(u64, &'static str)]) {
        self.guide = Guide::new(lines);
    }

    /// Runs until told to quit. Returns what it came to, unless the engine failed.
    pub(super) fn run(mut self, inbox: &Receiver<Command>) -> Option<Played> {
        match catch_unwind(AssertUnwindSafe(|| self.drive(inbox))) {
            Ok(()) => {
                self.slot.close();
                Some(self.played())
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

    /// What it came to.
    pub(super) fn played(mut self) -> Played {
        if let Some(export) = self.export.take() {
            export.finish();
        }
        let report = self.report();
        let left_at = (self.state != RunState::Done).then(|| self.run.sim.now());
        Played { session: self.session, report, left_at }
    }

    fn drive(&mut self, inbox: &Receiver<Command>) {
        self.publish();
        loop {
            let patience = match (self.moves(), self.listens()) {
                (true, _) => Duration::ZERO,
                (false, true) => LISTEN,
                (false, false) => Duration::from_secs(3_600),
            };
            if self.obey(inbox, patience) == Go::Quit {
                return;
            }
            if self.moves() {
                self.advance();
            }
            self.listen();
            let due = self.awaited || self.published.elapsed() >= FRAME_EVERY;
            if self.changed && (due || !self.moves()) {
                self.publish();
            }
        }
    }

    fn moves(&self) -> bool {
        match &self.past {
            Some(past) => !past.there,
            None => self.state == RunState::Running || self.tick.is_some() || !self.level,
        }
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

    /// Does what was commanded.
    pub(super) fn carry_out(&mut self, command: &Command) -> Go {
        (self.changed, self.awaited) = (true, true);
        match command {
            Command::Quit => return Go::Quit,
            Command::Pause(pause) => self.pause(*pause),
            Command::Pace(pace) => {
                self.clock.set(*pace, self.now());
                self.paced = Instant::now();
            }
            Command::StepInput | Command::StepTick if self.past.is_some() => {
                let at = self.past.as_ref().map_or(Time::ZERO, |past| past.at);
                self.look(at + TICK);
            }
            Command::StepInput => {
                self.pause(true);
                self.step_once();
            }
            Command::StepTick => {
                self.pause(true);
                self.tick = Some(self.tick.unwrap_or_else(|| self.now()) + TICK);
            }
            Command::Restart => self.change_past(PlaySession::clear, None),
            Command::Reseed => {
                self.change_past(PlaySession::reseed, None);
                self.say(format!("from the beginning with seed {}", self.session.scenario().seed));
            }
            Command::Explain(wanted) => self.explain(*wanted),
            Command::Undo => self.undo(),
            Command::Look(at) => self.look(*at),
            Command::LookNow => self.past = None,
            Command::GoOn => self.go_on(),
            Command::Write => match self.write() {
                Ok(file) => {
                    self.say(format!("written: {file}; `plimsoll run {file}` repeats this"));
                }
                Err(why) => self.say(why),
            },
            Command::Repeat => self.repeat(),
            Command::Export => self.export(),
            Command::Foresee(deeds) => self.foresee(deeds),
            Command::Doubt(choice) => self.doubt(*choice),
            Command::Compare(contender) => self.compare(contender),
            Command::Dismiss(at) => {
                let goes_on = self.race.as_mut().is_some_and(|race| race.remove(*at));
                self.race = self.race.take().filter(|_| goes_on);
            }
            Command::Baseline(at) => {
                if let Some(race) = &mut self.race {
                    race.set_baseline(*at);
                }
            }
            Command::Kill(_)
            | Command::Heal(_)
            | Command::Strategy(..)
            | Command::Load(_)
            | Command::Do(_) => {
                if let Some(text) = self.session.deed(command) {
                    self.act(&text);
                }
            }
        }
        Go::On
    }

    /// Says something to the person.
    fn say(&mut self, text: String) {
        let number = self.notice.as_ref().map_or(0, |notice| notice.number + 1);
        self.notice = Some(Notice { number, text, copy: false });
    }

    // ----- what is done to the run -----

    /// Does something to the run; where nothing moves it shows at once all the same.
    fn act(&mut self, text: &str) {
        if self.past.is_some() {
            self.go_on();
        }
        if let Some(tick) = self.tick {
            if !self.advance_to(tick, Instant::now() + CATCH_UP) {
                return self.say("not done: the run is still on its way to this moment".to_owned());
            }
            self.clock.begin(tick);
            self.tick = None;
        }
        if !matches!(self.state, RunState::Running | RunState::Paused) {
            return;
        }
        let at = self.now();
        match self.session.add(at, text) {
            Ok(act) => {
                self.run.sim.act(act);
                if let Some(race) = &mut self.race {
                    race.act(at, text);
                    self.level = false;
                }
            }
            Err(why) => return self.say(format!("not done: {why}")),
        }
        if self.state == RunState::Paused && self.tick.is_none() {
            self.advance_to(at, Instant::now() + SLICE);
        }
    }

    /// Takes the last act back, if no time has passed since; else does its opposite.
    fn undo(&mut self) {
        let Some(last) = self.session.last() else {
            return self.say("nothing was done that could be undone".to_owned());
        };
        if last.at >= self.now() {
            let at = self.now();
            self.change_past(|session| session.take_back(at), Some(at));
            return self.say("taken back".to_owned());
        }
        match self.session.opposite() {
            Some(text) => {
                self.act(&text);
                self.say(format!("undone: {text}"));
            }
            None => self.say("this cannot be undone".to_owned()),
        }
    }

    fn restarted(&mut self) -> Option<PlayedRun> {
        match PlayedRun::new(self.session.scenario(), Watch::Screen, self.session.color()) {
            Ok(mut run) => {
                run.sim.explain(if self.explain { Explain::All } else { Explain::Off });
                Some(run)
            }
            Err(failure) => {
                self.say(format!("the run cannot be made again: {}", failure.message));
                None
            }
        }
    }

    /// What was done changes, in the run and in those it is compared with: all are made again.
    fn change_past(&mut self, change: impl Fn(&mut PlaySession), to: Option<Time>) {
        change(&mut self.session);
        if let Some(Err(why)) = self.race.as_mut().map(|race| race.again(&change)) {
            self.race = None;
            self.say(format!("nothing is compared any more: {why}"));
        }
        self.level = self.race.is_none();
        self.begin_again(to);
    }

    /// The run begins again; up to a moment, where it stands still then, or from the beginning.
    fn begin_again(&mut self, to: Option<Time>) {
        let Some(run) = self.restarted() else { return };
        (self.run, self.past, self.tick) = (run, None, to);
        if self.state != RunState::Paused {
            self.state = if to.is_some() { RunState::Paused } else { RunState::Running };
        }
        self.clock.begin(Time::ZERO);
        self.paced = Instant::now();
    }

    // ----- earlier moments -----

    /// Looks at the run as it was at a moment: it is made again up to there.
    fn look(&mut self, at: Time) {
        self.pause(true);
        if at >= self.now() {
            self.past = None;
            return;
        }
        let ahead = self.past.take().filter(|past| past.there && past.at <= at);
        let run = match ahead {
            Some(past) => Some(past.run),
            None => self.restarted(),
        };
        self.past = run.map(|run| Past { run, at, there: false });
    }

    /// Goes on from what is looked at.
    fn go_on(&mut self) {
        if let Some(at) = self.past.take().map(|past| past.at) {
            // What was to be done later is not in the run that is looked at.
            self.change_past(|session| session.cut(at), Some(at));
        }
    }

    /// Lets decisions be explained for as long as the screen shows them.
    fn explain(&mut self, wanted: bool) {
        self.explain = wanted;
        let whose = if wanted { Explain::All } else { Explain::Off };
        let past = self.past.as_mut().map(|past| &mut past.run);
        for run in std::iter::once(&mut self.run).chain(past) {
            run.sim.explain(whose);
            if !wanted {
                run.collector.forget_decisions();
            }
        }
    }

    fn pause(&mut self, pause: bool) {
        if !pause && self.past.is_some() {
            self.go_on();
        }
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
        self.changed = true;
        if let Some(race) = &mut self.race {
            // The others follow; they are not to hold up the one that is watched for good.
            self.level = race.advance(self.run.sim.now(), now + RACE_SLICE);
        }
        if let Some(past) = &mut self.past {
            past.there = past.run.advance_until(past.at, until) != Got::OnTheWay;
            return;
        }
        let wall = now.duration_since(self.paced);
        self.paced = now;
        if let Some(tick) = self.tick {
            if self.advance_to(tick, until) && self.tick.take().is_some() {
                self.clock.begin(tick);
            }
        } else if self.state == RunState::Running {
            let target = self.clock.pass(wall, self.run.sim.now(), self.run.sim.next_at());
            self.advance_to(target, until);
            if self.clock.pace() != Pace::Fastest {
                thread::sleep(until.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Handles every input up to a simulated time, or until a wall time. Returns whether it got there.
    fn advance_to(&mut self, target: Time, until: Instant) -> bool {
        let got = self.run.advance_until(target, until);
        if got == Got::Over {
            self.finish();
        }
        got != Got::OnTheWay
    }

    /// From now on keys come out of a file.
    pub(super) const fn by_script(&mut self) {
        self.scripted = true;
    }

    /// Finishes what was begun: a step, or the way to an earlier moment.
    pub(super) fn settle(&mut self) {
        while self.past.is_some() && self.moves() || self.tick.is_some() {
            self.advance();
        }
        self.hear_all();
        self.exported();
        self.draw_level();
    }

    /// Lets those that are compared come to where the run is, however long it takes.
    fn draw_level(&mut self) {
        if let Some(race) = &mut self.race {
            let far = Instant::now() + Duration::from_secs(3_600);
            self.level = race.advance(self.run.sim.now(), far);
        }
    }

    /// Whether time passes.
    pub(super) fn goes_on(&self) -> bool {
        self.state == RunState::Running
    }

    /// Goes to a simulated time or the end, however long it takes.
    pub(super) fn reach(&mut self, target: Time) {
        while self.state == RunState::Running && self.now() < target {
            let far = Instant::now() + Duration::from_secs(3_600);
            if self.advance_to(target, far) {
                self.clock.begin(target);
                break;
            }
        }
        self.draw_level();
    }

    fn finish(&mut self) {
        self.tick = None;
        self.state = match self.run.broken.take() {
            Some(reason) => RunState::Failed(reason),
            None => RunState::Done,
        };
    }

    /// What the clock shows: between two events time passes as well.
    pub(super) fn now(&self) -> Time {
        let now = self.run.sim.now();
        match (self.clock.pace(), &self.state) {
            (Pace::Times(_), RunState::Running | RunState::Paused) => {
                let next = self.run.sim.next_at().unwrap_or(now);
                self.clock.target().min(next).max(now)
            }
            _ => now,
        }
    }

    pub(super) fn publish(&mut self) {
        self.tell();
        let still = self.scripted || !self.moves();
        let now = match &self.past {
            Some(past) if past.there => past.at,
            Some(past) => past.run.sim.now(),
            None => self.now(),
        };
        let collector = match &mut self.past {
            Some(past) => &mut past.run.collector,
            None => &mut self.run.collector,
        };
        let mut snapshot = collector.snapshot(now);
        snapshot.expects = self.ticks.judged(collector, now, still);
        self.publish_as(Arc::new(snapshot));
    }

    /// Tells what is due to be told.
    fn tell(&mut self) {
        if let Some(line) = self.guide.next(self.run.sim.now()) {
            self.say(line.to_owned());
        }
    }

    fn publish_as(&mut self, snapshot: Arc<Snapshot>) {
        let reached = self.clock.reached().filter(|_| self.state == RunState::Running);
        let forecast = self.foresight.as_ref().map(|foresight| Arc::new(foresight.forecast()));
        let scripted = self.scripted;
        let comparison = self.race.as_mut().map(|race| Arc::new(race.comparison(scripted)));
        let scenario = self.session.scenario();
        self.slot.publish(Arc::new(Frame {
            snapshot,
            state: self.state.clone(),
            pace: self.clock.pace(),
            reached,
            end: self.run.end,
            edge: self.past.as_ref().map(|_| self.now()),
            load: self.session.load(),
            notice: self.notice.clone(),
            forecast,
            regret: self.doubt.as_ref().map(|doubt| Arc::new(doubt.regret())),
            comparison,
            groups: Arc::clone(&self.groups),
            ..Frame::new(Mode::Sim, &scenario.name, scenario.seed)
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
pub(super) enum Go {
    On,
    Quit,
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the engine failed").to_owned()
}

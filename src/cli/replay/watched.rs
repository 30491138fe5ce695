//! A replay with a screen.

use std::sync::mpsc::Receiver;

use super::super::play::PlaySession;
use super::super::ticks::LiveTicks;
use super::hands::Hands;
use super::*;
use crate::balance::{Control, Explain};
use crate::command::{Command, Frame, Mode, RunState};
use crate::tui::{self, Slot};

/// As Ctrl-C.
const INTERRUPTED: usize = signal_hook::consts::SIGINT as usize;

impl Replay {
    pub(super) fn watched(
        &self,
        (scenario, source): (&Scenario, load::Source),
        parts: ReplayParts,
        traffic: Box<dyn crate::workload::Traffic>,
    ) -> Result<(Books, ReplayOutcome, usize), CliFailure> {
        let looks = self.looks.open()?;
        let books = Books::open(scenario, &self.output, Watch::Screen, true)?;
        let slot = Arc::new(Slot::new());
        let (commands, inbox) = std::sync::mpsc::channel();
        let frame = Frame {
            end: scenario.duration.map(|span| Time::ZERO + span),
            groups: load::groups(scenario),
            ..Frame::new(Mode::Replay, &scenario.name, scenario.seed)
        };
        let expectations = load::expectations(scenario, self.output.color)?;
        let session = PlaySession::new(source, self.changes.overrides(), self.output.color)?;
        let observer = ScreenObserver {
            books,
            ticks: LiveTicks::new(expectations),
            frame,
            slot: Arc::clone(&slot),
            inbox,
            hands: Hands::new(session),
            stop: Brake::default(),
        };
        let runtime = endpoints::runtime()?;
        let engine = std::thread::spawn(move || run(observer, runtime, parts, traffic));
        let shown = tui::run(slot, commands.clone(), &looks.options);
        // The screen may be gone without having said so.
        let _ = commands.send(Command::Quit);
        let ended = engine.join();
        let left = shown.map_err(|error| {
            CliFailure::new(FailureKind::Unexpected, format!("the terminal failed: {error}"))
        })?;
        let (books, done) =
            ended.map_err(|_| CliFailure::new(FailureKind::Unexpected, "the replay broke off"))?;
        looks.left(&left);
        let signal = match left.exit {
            // Who leaves before the end has interrupted it, and a part proves nothing.
            tui::Exit::Quit => INTERRUPTED,
            tui::Exit::Signal(signal) => signal as usize,
        };
        Ok((books, done, signal))
    }
}

fn run(
    mut observer: ScreenObserver,
    runtime: tokio::runtime::Runtime,
    parts: ReplayParts,
    traffic: Box<dyn crate::workload::Traffic>,
) -> (Books, ReplayOutcome) {
    let stop = Arc::clone(&observer.stop);
    let done = to_the_end(runtime, parts, traffic, &mut observer, stop);
    observer.frame.state = if done.complete { RunState::Done } else { RunState::Paused };
    observer.publish(done.end);
    observer.slot.close();
    // The last picture stays until the person has seen enough.
    while done.complete && !matches!(observer.inbox.recv(), Ok(Command::Quit) | Err(_)) {}
    (observer.books, done)
}

/// Watches a replay for a screen.
struct ScreenObserver {
    books: Books,
    ticks: LiveTicks,
    frame: Frame,
    slot: Arc<Slot>,
    inbox: Receiver<Command>,
    hands: Hands,
    stop: Brake,
}

impl ScreenObserver {
    fn publish(&mut self, now: Time) {
        let mut snapshot = self.books.collector.snapshot(now);
        let still = self.frame.state != RunState::Running;
        snapshot.expects = self.ticks.judged(&self.books.collector, now, still);
        self.frame.snapshot = Arc::new(snapshot);
        self.slot.publish(Arc::new(self.frame.clone()));
    }

    fn obey(&mut self, now: Time, command: &Command) {
        let Some(stop) = self.stop.get().cloned() else { return };
        match command {
            Command::Quit => stop.now(),
            Command::Strategy(pool, spec) => {
                stop.control(Control::Strategy(*pool, spec.clone()));
            }
            Command::Explain(wanted) => {
                stop.explain(if *wanted { Explain::All } else { Explain::Off });
                if !wanted {
                    self.books.collector.forget_decisions();
                }
            }
            Command::Kill(_) | Command::Heal(_) | Command::Do(_) => {
                self.hands.obey(now, command, &stop);
            }
            // Nothing can stop, slow or restart real time.
            _ => {}
        }
    }
}

impl Observer for ScreenObserver {
    fn record(&mut self, now: Time, input: &Input) {
        self.books.record(now, input);
    }

    fn hear(&mut self, now: Time, event: &Event) {
        self.books.hear(now, event);
    }

    fn tick(&mut self, now: Time, _balancer: &Balancer) {
        self.books.drain(false);
        while let Ok(command) = self.inbox.try_recv() {
            self.obey(now, &command);
        }
        if let Some(stop) = self.stop.get() {
            self.hands.tick(now, stop);
            self.frame.breakable = self.hands.breakable(stop);
        }
        self.frame.notice = self.hands.notice();
        self.publish(now);
    }
}

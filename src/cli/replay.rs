//! `plimsoll replay`: the scenario's workload against real endpoints, in real time, through the same
//! balancer, with the same report.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;

use super::books::Books;
use super::failure::{CliFailure, FailureKind};
use super::progress::ProgressBar;
use super::result::{Finished, ResultOutput};
use super::signals::watch_signals;
use super::{Changes, endpoints, load, traffic};
use crate::balance::{Balancer, Event, Input};
use crate::live::driver::Observer;
use crate::live::http;
use crate::live::replay::{self, Ask, ReplayHandle, ReplayOutcome, ReplayParts};
use crate::metrics::Watch;
use crate::scenario::Scenario;
use crate::unit::Time;

#[derive(Clone, Debug, Default, Args)]
pub(super) struct Replay {
    /// A scenario whose nodes have a `url`
    scenario: String,
    #[command(flatten)]
    changes: Changes,
    /// Watch it in the dashboard
    #[cfg(feature = "tui")]
    #[arg(long)]
    watch: bool,
    #[cfg(feature = "tui")]
    #[command(flatten)]
    looks: super::looks::Looks,
    #[command(flatten)]
    output: ResultOutput,
}

impl Replay {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let color = self.output.color;
        let scenario = load::scenario(&self.scenario, &self.changes, color)?.for_real_nodes();
        let gates = self.output.gates(&scenario)?;
        scenario.check_live().map_err(|problems| load::drawn(&problems, color))?;
        #[cfg(feature = "tui")]
        if self.watch && !super::play::has_terminal() {
            return Err(CliFailure::new(FailureKind::Usage, "--watch needs a terminal"));
        }
        let (traffic, mut notes) = traffic::traffic(&scenario)?;
        notes.extend(load::one_balancer(&scenario));
        notes.iter().for_each(|note| self.output.tell(&format!("note: {note}")));
        let client = endpoints::client(&scenario, http::ANSWERS_MAX)?;
        let asks = asks(&scenario);
        let parts = ReplayParts { config: scenario.balancer.clone(), client, asks };
        let (books, done, signal) = self.drive(&scenario, parts, traffic)?;
        if !done.broken.is_empty() {
            return Err(load::trace_failure(&scenario, &done.broken));
        }
        let summary = books.close(done.end, done.complete)?;
        let arrived = done.arrived;
        let signal = Some(signal).filter(|signal| *signal != 0 && !done.complete);
        self.output.finish(
            &Finished { summary, arrived, signal, stories: Vec::new() },
            &gates,
            &notes,
        )
    }

    #[cfg(feature = "tui")]
    fn drive(
        &self,
        scenario: &Scenario,
        parts: ReplayParts,
        traffic: Box<dyn crate::workload::Traffic>,
    ) -> Result<(Books, ReplayOutcome, usize), CliFailure> {
        if self.watch {
            return self.watched(scenario, parts, traffic);
        }
        self.plain(scenario, parts, traffic)
    }

    #[cfg(not(feature = "tui"))]
    fn drive(
        &self,
        scenario: &Scenario,
        parts: ReplayParts,
        traffic: Box<dyn crate::workload::Traffic>,
    ) -> Result<(Books, ReplayOutcome, usize), CliFailure> {
        self.plain(scenario, parts, traffic)
    }

    /// Without a screen.
    fn plain(
        &self,
        scenario: &Scenario,
        parts: ReplayParts,
        traffic: Box<dyn crate::workload::Traffic>,
    ) -> Result<(Books, ReplayOutcome, usize), CliFailure> {
        let books = Books::open(scenario, &self.output, Watch::Report, true)?;
        let end = scenario.duration.map(|span| Time::ZERO + span);
        let progress = ProgressBar::new(self.output.style(), end, scenario.requests);
        let signal = watch_signals()?;
        let stop = Brake::default();
        let mut observer = ReplayObserver {
            books,
            progress,
            signal: Arc::clone(&signal),
            stop: Arc::clone(&stop),
        };
        let done = to_the_end(endpoints::runtime()?, parts, traffic, &mut observer, stop);
        observer.progress.clear();
        Ok((observer.books, done, signal.load(Ordering::Relaxed)))
    }
}

/// A way to stop the replay; empty until it has begun.
type Brake = Arc<OnceLock<ReplayHandle>>;

/// Runs a replay to its end on a runtime of its own.
fn to_the_end(
    runtime: tokio::runtime::Runtime,
    parts: ReplayParts,
    traffic: Box<dyn crate::workload::Traffic>,
    observer: &mut impl Observer,
    brake: Brake,
) -> ReplayOutcome {
    let done = runtime.block_on(replay::replay(parts, traffic, observer, move |stop| {
        // A replay begins once.
        let _ = brake.set(stop);
    }));
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// How each node wants to be asked.
fn asks(scenario: &Scenario) -> Vec<Ask> {
    let nodes = scenario.balancer.nodes.iter().zip(&scenario.live);
    nodes
        .map(|(node, live)| {
            let model = scenario.models.get(node.model.index()).cloned().unwrap_or_default();
            // Engines understand it; hosted APIs refuse what they do not know.
            let engine = matches!(live.dialect.as_deref(), Some("vllm" | "llama.cpp" | "sglang"));
            Ask { model, ignore_eos: engine }
        })
        .collect()
}

/// Watches a replay without a screen.
struct ReplayObserver {
    books: Books,
    progress: ProgressBar,
    signal: Arc<AtomicUsize>,
    stop: Brake,
}

impl Observer for ReplayObserver {
    fn record(&mut self, now: Time, input: &Input) {
        self.books.record(now, input);
    }

    fn hear(&mut self, now: Time, event: &Event) {
        self.books.hear(now, event);
    }

    fn tick(&mut self, now: Time, balancer: &Balancer) {
        self.books.drain(false);
        self.progress.tick(now, balancer.totals().arrived);
        let interrupted = self.signal.load(Ordering::Relaxed) != 0;
        if (interrupted || self.books.has_failed())
            && let Some(stop) = self.stop.get()
        {
            stop.now();
        }
    }
}

#[cfg(feature = "tui")]
mod watched {
    //! A replay with a screen.

    use super::super::ticks::LiveTicks;
    use super::*;
    use crate::balance::{Control, Explain};
    use crate::command::{Command, Frame, Mode, RunState};
    use crate::tui::{self, Slot};

    /// As Ctrl-C.
    const INTERRUPTED: usize = signal_hook::consts::SIGINT as usize;

    impl Replay {
        pub(super) fn watched(
            &self,
            scenario: &Scenario,
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
            let observer = ScreenObserver {
                books,
                ticks: LiveTicks::new(expectations),
                frame,
                slot: Arc::clone(&slot),
                inbox,
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
            let (books, done) = ended
                .map_err(|_| CliFailure::new(FailureKind::Unexpected, "the replay broke off"))?;
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

        fn obey(&mut self, command: &Command) {
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
                // Nothing can stop, slow or restart real time, and faults are the endpoints' own.
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
                self.obey(&command);
            }
            self.publish(now);
        }
    }
}

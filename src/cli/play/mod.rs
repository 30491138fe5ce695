//! `plimsoll play`: the dashboard over a simulation.
//!
//! - `engine`: the run and how it is driven, on its own thread;
//! - `session`: the scenario and what was done by hand, from which every run of it is made;
//! - `run`: one run and what is known of it; `pace`: how far it is to go;
//! - `forecast`: what would come of something; `regret`: what would have come of another decision; `race`:
//!   others on the same arrivals;
//! - `export`: figures of it as files;
//! - `script`: keys out of a file; `guide`: what the demo says.

mod engine;
mod export;
mod forecast;
mod guide;
mod pace;
mod race;
mod regret;
mod run;
mod script;
mod session;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use clap::Args;

use super::books::Books;
use super::distinct::NamedFile;
use super::failure::{CliFailure, FailureKind};
use super::looks::{Looks, OpenLooks};
use super::result::{Gate, ResultOutput};
use super::run::Simulated;
use super::ticks::LiveTicks;
use super::{Changes, DEFAULT_SCENARIO, load, output};
use crate::command::{Command, Pace, RunState};
use crate::metrics::Watch;
use crate::tui::{self, Slot};
use engine::{PlayEngine, Played};
use run::PlayedRun;
use script::{Camera, KeyScript};
pub(super) use session::PlaySession;

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
    /// Press the keys of this file instead of a person's: lines of a simulated time and keys, such as
    /// `30s j x`. No terminal is needed
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// With --keys: write what the screen shows as an animated picture (SVG)
    #[arg(long, value_name = "FILE", requires = "keys")]
    record: Option<PathBuf>,
    /// With --keys: write what the screen shows after the last of them as a picture (SVG)
    #[arg(long, value_name = "FILE", requires = "keys", conflicts_with = "record")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    output: ResultOutput,
    /// What happens is told.
    #[arg(skip)]
    guided: bool,
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
    /// What a person who has never seen it is shown.
    pub(super) fn demo() -> Play {
        Play { scenario: Some("demo".to_owned()), guided: true, ..Play::default() }
    }

    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        let name = self.scenario.as_deref().unwrap_or(DEFAULT_SCENARIO);
        if self.keys.is_none() && !has_terminal() {
            let failure = CliFailure::new(FailureKind::Usage, "play needs a terminal");
            return Err(failure.hint(format!("`plimsoll run {name}` does the same without one")));
        }
        // Everything that can be wrong is said before the screen is touched.
        let color = self.output.color;
        let script = self.keys.as_deref().map(KeyScript::open).transpose()?;
        let looks = self.looks.open()?;
        let source = load::Source::open(name)?;
        let mut session = PlaySession::new(source, self.changes.overrides(), color)?;
        let expectations = load::expectations(session.scenario(), color)?;
        let gates = self.output.gates(session.scenario())?;
        let record = NamedFile::option("--record", self.record.as_ref())
            .or(NamedFile::option("--picture", self.picture.as_ref()));
        Books::check(session.scenario(), &self.output, false, record)?;
        let run = PlayedRun::new(session.scenario(), Watch::Screen, color)?;
        let pace = Pace::Times(self.speed.unwrap_or(PACE));
        let state = if self.paused { RunState::Paused } else { RunState::Running };
        let slot = Arc::new(Slot::new());
        session.fails_if(&self.output.fail_if);
        let ticks = LiveTicks::new(expectations);
        let mut engine = PlayEngine::new(session, run, ticks, (pace, state), Arc::clone(&slot));
        if self.guided {
            engine.guide(guide::DEMO);
        }
        let (played, code) = match script {
            Some(script) => {
                let speed = self.speed.unwrap_or(PACE);
                let moving = self.record.as_ref().map(|_| Camera::new(speed));
                let mut camera = moving.or(self.picture.as_ref().map(|_| Camera::still()));
                let played = script.play(engine, &slot, &self.looks.for_scripts(), &mut camera);
                if let Some((camera, path)) = camera.as_ref().zip(self.shown()) {
                    output::write(&camera.recording.svg(), Some(path))?;
                }
                (Some(played), 0)
            }
            None => watch(&looks, engine, slot)?,
        };
        let Some(played) = played else { return Ok(code) };
        if code == 0 && self.output.writes() {
            return self.repeat(&played, &gates);
        }
        output::print(&played.report)?;
        Ok(code)
    }

    /// Where a recording or a picture goes.
    fn shown(&self) -> Option<&Path> {
        self.record.as_deref().or(self.picture.as_deref())
    }

    /// Runs what was played once more, for everything that is to be written.
    fn repeat(&self, played: &Played, gates: &[Gate]) -> Result<u8, CliFailure> {
        let scenario = played.session.scenario();
        let ready = load::simulation(scenario, self.output.color)?;
        let run = Simulated { output: &self.output, explain: None, until: played.left_at };
        let (done, _, remarks) = run.simulate(scenario, ready)?;
        self.output.finish(&done, gates, &remarks)
    }
}

/// Shows the run on this terminal. Returns what it came to, unless the engine failed, and the exit code.
fn watch(
    looks: &OpenLooks,
    engine: PlayEngine,
    slot: Arc<Slot>,
) -> Result<(Option<Played>, u8), CliFailure> {
    let (commands, inbox) = mpsc::channel();
    let engine = thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine.run(&inbox))
        .map_err(|error| CliFailure::new(FailureKind::Unexpected, format!("no thread: {error}")))?;
    let shown = tui::run(slot, commands.clone(), &looks.options);
    // The screen may be gone without having said so.
    let _ = commands.send(Command::Quit);
    let played = engine.join().ok().flatten();
    let left = shown.map_err(|error| {
        CliFailure::new(FailureKind::Unexpected, format!("the terminal failed: {error}"))
    })?;
    looks.left(&left);
    Ok((played, left.exit.code() as u8))
}

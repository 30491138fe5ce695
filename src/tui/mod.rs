//! The dashboard: draws frames, turns keys into commands. It is told nothing but frames and cannot
//! tell a simulation from a gateway; all it can do to a run is send a [`Command`].
//!
//! One thread draws. It sleeps on one channel, to which a thread that reads the terminal, a thread
//! that waits for signals and the [`Slot`] with the newest frame write. [`update`](update::update)
//! turns what came into a changed model, and `view` turns the model into cells; both are pure.
//! Nothing is drawn while nothing changes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEvent, KeyEventKind, MouseEvent};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use crate::command::Command;

mod chart;
mod faults;
mod format;
mod glyph;
mod heat;
mod keys;
mod layout;
mod lists;
mod model;
mod puppet;
mod query;
mod record;
mod rollup;
mod rows;
mod save;
mod slot;
mod sort;
mod steer;
mod tab;
mod terminal;
mod theme;
mod update;
mod view;

#[cfg(test)]
mod figure_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;

pub use glyph::Glyphs;
pub use keys::{KeyLine, KeyMap, key_lines};
pub use puppet::{KeyOutcome, Puppet, ScriptKey};
pub use record::Recording;
pub use save::{new_file, new_place};
pub use slot::Slot;
pub use terminal::Terminal;
pub use theme::ThemeName;

use model::Model;
use update::{Effect, Msg, update};

/// How the screen is to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The colours to begin with.
    pub theme: ThemeName,
    /// The characters to begin with.
    pub glyphs: Glyphs,
    /// Whether the person has asked for no colours at all (`NO_COLOR`).
    pub no_color: bool,
    /// Whether the mouse selects and scrolls; the terminal then no longer selects text with it.
    pub mouse: bool,
    /// What keys do.
    pub keys: KeyMap,
}

/// How a screen was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Why.
    pub exit: Exit,
    /// The colours it had then.
    pub theme: ThemeName,
    /// The characters it had then.
    pub glyphs: Glyphs,
}

/// Why the screen was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The person quit.
    Quit,
    /// The process was asked to end by this signal.
    Signal(i32),
}

impl Exit {
    /// Returns the exit code of a program that ends for this reason.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Exit::Quit => 0,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

/// At most one picture in this time for frames; keys are answered at once.
const PICTURE_EVERY: Duration = Duration::from_millis(66);

/// How often the thread that reads the terminal looks whether it is still wanted.
const READER_PATIENCE: Duration = Duration::from_millis(250);

/// Something that woke the drawing thread.
#[derive(Debug)]
enum Wake {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Resize,
    Slot,
    Signal(i32),
    /// The terminal cannot be read any more.
    Broken(io::Error),
}

/// Runs the dashboard on this terminal until the person quits or a signal comes.
///
/// Blocks the calling thread. The terminal is as before when it returns, whatever the reason.
///
/// # Errors
/// When the terminal cannot be written or read.
pub fn run(feed: Arc<Slot>, commands: Sender<Command>, options: &Options) -> io::Result<Left> {
    let (wakes, inbox) = mpsc::channel();
    let signals = watch_signals(wakes.clone())?;
    let terminal = Terminal::enter(options.mouse)?;
    let reader = watch_terminal(wakes.clone());
    feed.on_change(move || {
        // The screen may be gone; then nobody minds.
        let _ = wakes.send(Wake::Slot);
    });
    let model = Model::new(options);
    let start = Instant::now();
    let mut screen = Screen { model, terminal, feed, commands, start, asked: None };
    let exit = screen.run(&inbox);
    screen.feed.forget();
    reader.store(true, Ordering::Relaxed);
    let (theme, glyphs) = (screen.model.ui.theme, screen.model.ui.glyphs);
    drop(screen);
    signals.close();
    restore_signals();
    exit.map(|exit| Left { exit, theme, glyphs })
}

/// The drawing thread and what it owns.
struct Screen {
    model: Model,
    terminal: Terminal,
    feed: Arc<Slot>,
    commands: Sender<Command>,
    start: Instant,
    /// When something was asked of the engine last.
    asked: Option<Instant>,
}

/// What comes within so long after something was asked may be the answer, and is drawn when it comes.
const ANSWER: Duration = Duration::from_millis(150);

/// When to draw: at once what a person did, and what may be the answer to that; else there is time.
fn picture_due(now: Instant, drawn: Instant, by_person: bool, asked: Option<Instant>) -> Instant {
    let answer = asked.is_some_and(|asked| now.duration_since(asked) < ANSWER);
    if by_person || answer { now } else { drawn + PICTURE_EVERY }
}

impl Screen {
    fn run(&mut self, inbox: &Receiver<Wake>) -> io::Result<Exit> {
        self.resize()?;
        self.draw()?;
        let mut drawn = Instant::now();
        // When a picture is owed; `None` while nothing has changed.
        let mut due: Option<Instant> = None;
        loop {
            if due.is_some_and(|due| due <= Instant::now()) {
                self.draw()?;
                drawn = Instant::now();
                due = None;
            }
            let Some(wake) = next(inbox, due)? else {
                continue;
            };
            let at_once = !matches!(wake, Wake::Slot);
            if let Some(exit) = self.handle(wake)? {
                return Ok(exit);
            }
            due = Some(picture_due(Instant::now(), drawn, at_once, self.asked));
        }
    }

    fn handle(&mut self, wake: Wake) -> io::Result<Option<Exit>> {
        let mut messages = Vec::new();
        match wake {
            Wake::Key(key) => messages.push(Msg::Key(key)),
            Wake::Mouse(event) => messages.push(Msg::Mouse(event)),
            Wake::Resize => self.resize()?,
            Wake::Slot => {
                let at = self.start.elapsed();
                messages.extend(self.feed.take().map(|frame| Msg::Frame(frame, at)));
                messages.extend(self.feed.is_closed().then_some(Msg::Closed));
            }
            Wake::Signal(SIGTSTP) => self.terminal.suspend()?,
            Wake::Signal(SIGCONT) => self.terminal.redraw(),
            Wake::Signal(signal) => messages.push(Msg::Signal(signal)),
            Wake::Broken(error) => return Err(error),
        }
        for msg in messages {
            for effect in update(&mut self.model, msg) {
                if let Some(exit) = self.carry_out(effect)? {
                    return Ok(Some(exit));
                }
            }
        }
        Ok(None)
    }

    fn carry_out(&mut self, effect: Effect) -> io::Result<Option<Exit>> {
        match effect {
            // An engine that has ended does not listen; the screen says so already.
            Effect::Send(command) => {
                self.asked = Some(Instant::now());
                drop(self.commands.send(command));
            }
            Effect::Suspend => self.terminal.suspend()?,
            Effect::Redraw => self.terminal.redraw(),
            Effect::Copy(text) => terminal::copy(&text)?,
            Effect::Save => self.model.ui.notice = Some(save::save(&self.model)),
            Effect::Leave(exit) => return Ok(Some(exit)),
        }
        Ok(None)
    }

    fn resize(&mut self) -> io::Result<()> {
        let (columns, rows) = Terminal::size()?;
        update(&mut self.model, Msg::Resize(columns, rows));
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        self.terminal.show(view::picture(&self.model))
    }
}

/// Waits for the next wake-up, but not beyond `due`.
fn next(inbox: &Receiver<Wake>, due: Option<Instant>) -> io::Result<Option<Wake>> {
    let gone = || io::Error::other("the threads of the screen have ended");
    let Some(due) = due else {
        return inbox.recv().map(Some).map_err(|_| gone());
    };
    match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
        Ok(wake) => Ok(Some(wake)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(gone()),
    }
}

/// Starts the thread that reads keys and sizes. It ends soon after the flag is set.
fn watch_terminal(wakes: Sender<Wake>) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let wake = match read() {
                Ok(None) => continue,
                Ok(Some(wake)) => wake,
                Err(error) => Wake::Broken(error),
            };
            let broken = matches!(wake, Wake::Broken(_));
            if wakes.send(wake).is_err() || broken {
                return;
            }
        }
    });
    stop
}

fn read() -> io::Result<Option<Wake>> {
    if !event::poll(READER_PATIENCE)? {
        return Ok(None);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Press => Some(Wake::Key(key)),
        Event::Mouse(event) => Some(Wake::Mouse(event)),
        Event::Resize(..) => Some(Wake::Resize),
        _ => None,
    })
}

/// Starts the thread that turns signals into messages.
fn watch_signals(wakes: Sender<Wake>) -> io::Result<signal_hook::iterator::Handle> {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT])?;
    let handle = signals.handle();
    thread::spawn(move || {
        for signal in signals.forever() {
            if wakes.send(Wake::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(handle)
}

/// Lets signals end the process again: a handler once installed would otherwise swallow them.
fn restore_signals() {
    for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
        let on = Arc::new(AtomicBool::new(true));
        // Without it the signal is ignored until the process ends, which is soon.
        let _ = signal_hook::flag::register_conditional_default(signal, on);
    }
}

#[cfg(test)]
mod due_tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_drawn_when_it_comes() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        // A key at 10 ms was drawn at once; its answer comes at 30 ms.
        assert_eq!(picture_due(at(10), at(0), true, None), at(10));
        assert_eq!(picture_due(at(30), at(10), false, Some(at(10))), at(30));
        assert_eq!(picture_due(at(400), at(390), false, Some(at(10))), at(456), "no answer");
        assert_eq!(picture_due(at(400), at(390), false, None), at(456), "nothing was asked");
    }
}

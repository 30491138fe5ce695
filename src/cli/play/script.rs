//! Keys out of a file: what a person would press, at simulated times. Everything happens on one thread
//! and in one order, so the same file gives the same run, to the byte.

use std::path::Path;

use super::super::failure::{CliFailure, FailureKind};
use super::super::limited;
use super::engine::{Go, PlayEngine, Played};
use crate::tui::{Options, Puppet, Recording, ScriptKey, Slot};
use crate::unit::{Span, Time};

/// The screen that keys out of a file are pressed at.
const SIZE: (u16, u16) = (120, 40);
/// A picture of a recording is shown for so many seconds, and one after a key.
const PICTURE_S: f64 = 0.5;
const KEY_S: f64 = 0.9;

/// Records what the screen shows.
#[derive(Default)]
pub(super) struct Camera {
    pub(super) recording: Recording,
    /// Simulated time between two pictures.
    step: Span,
    /// Only what is shown after the last key is of interest.
    still: bool,
}

impl Camera {
    /// One that shows so many simulated seconds a second.
    pub(super) fn new(speed: f64) -> Camera {
        Camera { step: Span::from_seconds(speed * PICTURE_S), ..Camera::default() }
    }

    /// One that takes a single picture, at the end of the script.
    pub(super) fn still() -> Camera {
        Camera { still: true, ..Camera::default() }
    }

    fn moves(&self) -> bool {
        !self.still
    }
}

/// A script has at most so many bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Keys, each with its time, in order.
pub(super) struct KeyScript {
    lines: Vec<(Time, Vec<ScriptKey>)>,
}

impl KeyScript {
    /// Reads a script: a line has a simulated time and keys, separated by spaces; `#` begins a comment.
    pub(super) fn open(path: &Path) -> Result<KeyScript, CliFailure> {
        let text = limited::read(path, BYTES_MAX);
        let text = text.map_err(|error| CliFailure::unreadable(path, &error))?;
        KeyScript::parse(&text).map_err(|(line, why)| {
            let message = format!("{}:{line}: {why}", path.display());
            let failure = CliFailure::new(FailureKind::Usage, message);
            failure.hint("a line is a simulated time and keys: `1m30s j x Enter`")
        })
    }

    fn parse(text: &str) -> Result<KeyScript, (usize, String)> {
        let mut lines: Vec<(Time, Vec<ScriptKey>)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let wrong = |why: String| (at + 1, why);
            // A number sign of its own begins a comment; as a key it stands behind others.
            if line.trim_start().starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let Some(time) = words.next() else { continue };
            let span = Span::parse(time).map_err(|why| wrong(format!("`{time}`: {why}")))?;
            let time = Time::ZERO + span;
            if lines.last().is_some_and(|(before, _)| *before > time) {
                return Err(wrong("this is earlier than the line before".to_owned()));
            }
            let key = |word: &str| {
                ScriptKey::parse(word).ok_or_else(|| wrong(format!("there is no key `{word}`")))
            };
            lines.push((time, words.map(key).collect::<Result<_, _>>()?));
        }
        Ok(KeyScript { lines })
    }

    /// Plays the run to its end, or until a key quits.
    pub(super) fn play(
        self,
        mut engine: PlayEngine,
        slot: &Slot,
        options: &Options,
        camera: &mut Option<Camera>,
    ) -> Played {
        let mut puppet = Puppet::new(options, SIZE);
        engine.by_script();
        let show = |engine: &mut PlayEngine, puppet: &mut Puppet| {
            // What is seen may be a reason to ask for something more; what comes of that is no reason again.
            for _ in 0..2 {
                engine.publish();
                let seen = slot.take().map(|frame| puppet.see(frame));
                let asked = seen.unwrap_or_default();
                if asked.is_empty() {
                    break;
                }
                for command in &asked {
                    let _ = engine.carry_out(command);
                }
                engine.settle();
            }
        };
        for (line, (at, keys)) in self.lines.into_iter().enumerate() {
            // A recording begins with the first line.
            if let Some(camera) = camera.as_mut().filter(|camera| camera.moves() && line > 0) {
                let mut to = engine.now() + camera.step;
                while to < at && engine.goes_on() {
                    engine.reach(to);
                    show(&mut engine, &mut puppet);
                    puppet.record(&mut camera.recording, PICTURE_S);
                    to = to + camera.step;
                }
            }
            engine.reach(at);
            show(&mut engine, &mut puppet);
            for key in keys {
                let pressed = puppet.press(key);
                for command in &pressed.commands {
                    if engine.carry_out(command) == Go::Quit {
                        return engine.played();
                    }
                }
                engine.settle();
                show(&mut engine, &mut puppet);
                if let Some(camera) = camera.as_mut().filter(|camera| camera.moves()) {
                    puppet.record(&mut camera.recording, KEY_S);
                }
                if pressed.leaves {
                    return engine.played();
                }
            }
        }
        if let Some(camera) = camera.as_mut().filter(|camera| camera.still) {
            puppet.record(&mut camera.recording, PICTURE_S);
        }
        engine.reach(Time::MAX);
        engine.played()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_time_and_keys() {
        let script =
            KeyScript::parse("# a node dies\n30s j x\n\n1m30s a Enter Esc #\n").expect("sound");
        let times: Vec<Time> = script.lines.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [30, 90].map(|at| Time::ZERO + Span::from_secs(at)));
        assert_eq!(script.lines[1].1.len(), 4);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, why) in [
            ("soon x\n", 1, "soon"),
            ("\n3s Entre\n", 2, "there is no key `Entre`"),
            ("3s x\n2s x\n", 2, "earlier"),
        ] {
            let (at, said) = KeyScript::parse(text).err().expect("wrong");
            assert!(at == line && said.contains(why), "{at}: {said}");
        }
    }
}

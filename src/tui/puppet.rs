//! The screen without a terminal: whoever holds it shows it frames and presses its keys.

use std::sync::Arc;
use std::time::Duration;

use super::Options;
use super::keys::Chord;
use super::model::Model;
use super::record::Recording;
use super::save;
use super::update::{Effect, Msg, update};
use super::view;
use crate::command::{Command, Frame};

/// A key as a script names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptKey(Chord);

impl ScriptKey {
    /// Reads a key: one character, or `Enter`, `Esc`, `Tab`, `S-Tab`, `Space`, `Backspace`, `Delete`, `Up`,
    /// `Down`, `Left`, `Right`, `Home`, `End`, `PgUp`, `PgDn`, `F1` to `F12`; `Ctrl-` before a character.
    #[must_use]
    pub fn parse(word: &str) -> Option<ScriptKey> {
        Chord::parse(word).map(ScriptKey)
    }
}

/// What came of a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyOutcome {
    /// What the run is to do.
    pub commands: Vec<Command>,
    /// Whether the screen is left.
    pub leaves: bool,
}

/// A screen without a terminal.
#[derive(Debug)]
pub struct Puppet {
    model: Model,
    frames: u32,
}

impl Puppet {
    /// A screen of so many columns and rows that has seen nothing yet.
    #[must_use]
    pub fn new(options: &Options, (columns, rows): (u16, u16)) -> Puppet {
        let mut model = Model::new(options);
        update(&mut model, Msg::Resize(columns, rows));
        Puppet { model, frames: 0 }
    }

    /// Shows it a frame, a second after the one before. Returns what the run is to do because of what is seen.
    pub fn see(&mut self, frame: Arc<Frame>) -> Vec<Command> {
        self.frames += 1;
        let at = Duration::from_secs(u64::from(self.frames));
        let effects = update(&mut self.model, Msg::Frame(frame, at)).into_iter();
        let sent = effects.filter_map(|effect| match effect {
            Effect::Send(command) => Some(command),
            _ => None,
        });
        sent.collect()
    }

    /// Notes what it shows, for so many seconds.
    pub fn record(&self, recording: &mut Recording, seconds: f64) {
        recording.show(view::picture(&self.model), seconds);
    }

    /// Presses a key.
    pub fn press(&mut self, key: ScriptKey) -> KeyOutcome {
        let mut pressed = KeyOutcome::default();
        for effect in update(&mut self.model, Msg::Key(key.0.event())) {
            match effect {
                Effect::Send(command) => pressed.commands.push(command),
                Effect::Leave(_) => pressed.leaves = true,
                Effect::Save => self.model.ui.notice = Some(save::save(&self.model)),
                _ => {}
            }
        }
        pressed
    }
}

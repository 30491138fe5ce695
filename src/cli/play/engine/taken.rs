//! What is taken away from a run: the command that repeats it, the file it was played with, and its figures.

use super::{ExportWork, PlayEngine};
use crate::tui;

impl PlayEngine {
    /// Says the command that repeats the run. What was done by key is written first, or it would be lost.
    pub(super) fn repeat(&mut self) {
        let file = self.session.has_deeds().then(|| self.write()).transpose();
        match file {
            Ok(file) => {
                self.say(self.session.command(file.as_deref()));
                if let Some(notice) = &mut self.notice {
                    notice.copy = true;
                }
            }
            Err(why) => self.say(why),
        }
    }

    /// Writes figures of the run so far into a new folder here.
    pub(super) fn export(&mut self) {
        if self.export.is_some() {
            return self.say("an export is being written".to_owned());
        }
        match ExportWork::begin(&self.session, self.run.sim.now()) {
            Ok(work) => {
                self.export = Some(work);
                self.say("the export is being written".to_owned());
            }
            Err(why) => self.say(why),
        }
    }

    /// Says what became of the export.
    pub(super) fn exported(&mut self) {
        if let Some(work) = self.export.take() {
            self.say(work.finish());
            self.changed = true;
        }
    }

    /// Writes the scenario and what was done into a new file here. Returns its name, or why not.
    pub(super) fn write(&self) -> Result<String, String> {
        let stem = format!("{}-by-hand", self.session.scenario().name);
        tui::new_file(&stem, ".toml", &self.session.text())
            .map_err(|why| format!("not written: {why}"))
    }
}

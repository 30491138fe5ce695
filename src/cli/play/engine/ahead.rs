//! What other threads find out while a run is watched: what would come of something, what would have come of
//! another decision, and others on the same arrivals.

use super::{Doubt, ExportWork, Foresight, PlayEngine, Race};
use crate::command::{Command, Contender, OtherChoice, RunState};

impl PlayEngine {
    /// Returns whether something is being found out or written that is to be told of when it is there.
    pub(super) fn listens(&self) -> bool {
        self.export.is_some()
            || self.foresight.as_ref().is_some_and(Foresight::goes_on)
            || self.doubt.as_ref().is_some_and(Doubt::goes_on)
    }

    /// Takes what was found out.
    pub(super) fn listen(&mut self) {
        self.changed |= self.foresight.as_mut().is_some_and(Foresight::take);
        self.changed |= self.doubt.as_mut().is_some_and(Doubt::take);
        if self.export.as_ref().is_some_and(ExportWork::is_finished) {
            self.exported();
        }
    }

    /// Waits until everything that is being found out is known.
    pub(super) fn hear_all(&mut self) {
        if let Some(foresight) = &mut self.foresight {
            foresight.wait();
        }
        if let Some(doubt) = &mut self.doubt {
            doubt.wait();
        }
    }

    /// Finds out what would have come of another decision; what was done by hand since is done in both runs.
    pub(super) fn doubt(&mut self, choice: Option<OtherChoice>) {
        let patient = self.scripted;
        self.doubt = choice.map(|choice| Doubt::begin(&self.session, choice, patient));
    }

    pub(super) fn foresee(&mut self, deeds: &[Command]) {
        let may = matches!(self.state, RunState::Running | RunState::Paused);
        let patient = self.scripted;
        self.foresight = (may && !deeds.is_empty())
            .then(|| Foresight::begin(&self.session, self.now(), deeds, patient));
    }

    pub(super) fn compare(&mut self, contender: &Contender) {
        let begun = match self.race.take() {
            Some(race) => Ok(race),
            None => Race::begin(&self.session),
        };
        let added = begun.and_then(|mut race| {
            let added = race.add(&self.session, contender);
            self.race = Some(race);
            added
        });
        self.level = false;
        if let Err(why) = added {
            self.say(format!("not compared: {why}"));
        }
    }
}

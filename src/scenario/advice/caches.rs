//! Advice about kept answers and what is asked again: somebody should ask the same.

use super::{Advisor, NO_EFFECT, NOTHING_REPEATS};
use crate::scenario::{Arrivals, Scenario};
use crate::unit::ClassId;
use crate::workload::TraceFormat;

impl Advisor<'_> {
    /// Where nothing is asked twice, answers are kept for nobody.
    pub(super) fn caches(&mut self) {
        let scenario = self.scenario;
        let recorded = match &scenario.arrivals {
            Arrivals::Trace { format, .. } => {
                matches!(format, TraceFormat::Mooncake | TraceFormat::Bailian)
            }
            Arrivals::Recorded { .. } => return,
            Arrivals::Made(_) | Arrivals::Users(_) | Arrivals::ServeGen { .. } => false,
        };
        let repeats =
            |class: usize| draws_prompts(scenario) && scenario.classes[class].repeat.is_some();
        for (at, route) in scenario.written_routes() {
            let takes = |class: &usize| {
                let classes = &route.when.classes;
                classes.is_empty() || classes.contains(&ClassId(*class as u16))
            };
            let asked_again = (0..scenario.classes.len()).filter(takes).any(repeats);
            let Some(place) = self.places.route(at, "cache") else { continue };
            if route.cache.is_none() || asked_again || recorded {
                continue;
            }
            self.warn(
                NOTHING_REPEATS,
                place,
                "answers are kept, and none of these requests is asked again",
                "write `repeat = { distinct = 1_000, zipf = 1.0 }` in a class that goes this way",
            );
        }
    }

    /// What comes again is drawn where prompts are: a trace or a conversation has its own.
    pub(super) fn repeats(&mut self) {
        let scenario = self.scenario;
        if draws_prompts(scenario) {
            return;
        }
        let whose = if scenario.sessions.is_some() {
            "a session says something new each turn"
        } else {
            "a trace says itself what is asked"
        };
        for (at, class) in scenario.classes.iter().enumerate() {
            if class.repeat.is_some() {
                let place = self.places.class(at, "repeat");
                let message = format!("`repeat` has no effect here: {whose}");
                self.warn(NO_EFFECT, place, message, "leave `repeat` out");
            }
        }
    }
}

/// Whether what requests ask is drawn by the laws of their classes.
fn draws_prompts(scenario: &Scenario) -> bool {
    matches!(scenario.arrivals, Arrivals::Made(_) | Arrivals::Users(_))
        && scenario.sessions.is_none()
}

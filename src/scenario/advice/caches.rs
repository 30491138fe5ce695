//! Advice about kept answers: somebody should ask the same.

use super::{Advisor, NOTHING_REPEATS};
use crate::scenario::Arrivals;
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
        let made = matches!(scenario.arrivals, Arrivals::Made(_) | Arrivals::Users(_))
            && scenario.sessions.is_none();
        let repeats = |class: usize| made && scenario.classes[class].repeat.is_some();
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
}

//! Advice about expectations: there should be some, and they should be able to fail.

use super::{Advisor, CANNOT_FAIL, NO_EXPECTATIONS};
use crate::metrics::expect::Expectation;

impl Advisor<'_> {
    /// What holds whatever happens tests nothing.
    pub(super) fn expectations(&mut self) {
        let scenario = self.scenario;
        let idle = !scenario.not_simulable.is_empty();
        if scenario.expectations.is_empty() && !idle {
            let place = self.places.at(&["workload"]);
            self.warn(
                NO_EXPECTATIONS,
                place,
                "nothing is expected: whatever happens, the run is fine",
                "write `[[expect]]` and `that = \"failed < 1%\"`",
            );
        }
        let names = scenario.expect_names();
        let longest = scenario.balancer.timeouts.total.map(crate::unit::Span::seconds);
        for expect in &scenario.expectations {
            let Ok(expectation) = Expectation::parse(&expect.text, &names) else { continue };
            let Some(why) = expectation.cannot_fail(longest) else { continue };
            self.warn(
                CANNOT_FAIL,
                expect.place.clone(),
                format!("`{}` cannot fail: {why}", expect.text),
                "choose a limit that a bad day would pass",
            );
        }
    }
}

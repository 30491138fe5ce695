//! What is done about load, as configured: who is shed, and what else is given up.

use crate::balance::vocabulary::request::Priority;
use crate::unit::{Ratio, Span, Tokens};

/// How often saturation is found.
pub const SATURATION_EVERY: Span = Span::from_millis(250);

/// More than so much is as bad as so much.
pub const SATURATION_MAX: Ratio = Ratio(2_000_000);

/// Who is shed when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShedSpec {
    /// By priority, the most important first: at and above this saturation its requests are turned
    /// away. `None` is never. None is below the next one.
    pub at: [Option<Ratio>; 4],
    /// They come in again when the saturation is so much below that.
    pub hysteresis: Ratio,
}

impl Default for ShedSpec {
    fn default() -> ShedSpec {
        let at = [None, Some(Ratio(1_000_000)), Some(Ratio(850_000)), Some(Ratio(700_000))];
        ShedSpec { at, hysteresis: Ratio(100_000) }
    }
}

impl ShedSpec {
    /// Whether less important priorities go first.
    pub(in crate::balance) fn is_sound(&self) -> bool {
        let at = self.at.map(|at| at.map_or(u32::MAX, |at| at.0));
        at.is_sorted_by(|more, less| more >= less) && at[3] > self.hysteresis.0
    }
}

/// How much is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DegradeLevel {
    /// Nothing is given up.
    #[default]
    Calm,
    /// No second attempts beside late ones.
    Hedges,
    /// Fewer wait, and not as long.
    Queue,
    /// What is sheddable is turned away.
    Shed,
    /// Answers have at most so many tokens.
    Clamp,
    /// The pools a route degrades to come first; of a route without such pools, its second one does.
    Cheaper,
    /// Everything that is not critical is turned away.
    Reject,
}

impl DegradeLevel {
    /// All levels that give something up, in order.
    pub const ALL: [DegradeLevel; 6] = [
        DegradeLevel::Hedges,
        DegradeLevel::Queue,
        DegradeLevel::Shed,
        DegradeLevel::Clamp,
        DegradeLevel::Cheaper,
        DegradeLevel::Reject,
    ];

    /// Returns the word of scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DegradeLevel::Calm => "calm",
            DegradeLevel::Hedges => "hedges",
            DegradeLevel::Queue => "queue",
            DegradeLevel::Shed => "shed",
            DegradeLevel::Clamp => "clamp",
            DegradeLevel::Cheaper => "cheaper",
            DegradeLevel::Reject => "reject",
        }
    }

    /// Returns what it gives up, in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            DegradeLevel::Calm => "nothing is given up",
            DegradeLevel::Hedges => "no hedges",
            DegradeLevel::Queue => "shorter queue",
            DegradeLevel::Shed => "sheddable turned away",
            DegradeLevel::Clamp => "answers clamped",
            DegradeLevel::Cheaper => "cheaper model first",
            DegradeLevel::Reject => "all but critical turned away",
        }
    }

    /// Returns the level that turns away requests of this priority, if one up to this one does.
    pub(in crate::balance) fn rejects(
        self,
        spec: &DegradeSpec,
        priority: Priority,
    ) -> Option<DegradeLevel> {
        let by = match priority {
            Priority::Critical => &[][..],
            Priority::Sheddable => &[DegradeLevel::Shed, DegradeLevel::Reject],
            Priority::High | Priority::Normal => &[DegradeLevel::Reject],
        };
        by.iter().copied().find(|level| self >= *level && spec.threshold(*level).is_some())
    }

    /// Returns the level to go to at this saturation after having stood here for so long, and the
    /// threshold that was passed.
    pub(in crate::balance) fn step(
        self,
        spec: &DegradeSpec,
        saturation: Ratio,
        stood: Span,
    ) -> Option<(DegradeLevel, Ratio)> {
        if stood < spec.stay {
            return None;
        }
        let mut above = DegradeLevel::ALL.into_iter().filter(|level| *level > self);
        let next = above.find_map(|level| Some((level, spec.threshold(level)?)));
        if let Some((_, at)) = next
            && saturation >= at
        {
            return next;
        }
        let at = spec.threshold(self)?;
        let low = saturation.0.saturating_add(spec.hysteresis.0) < at.0;
        let below =
            DegradeLevel::ALL.into_iter().rfind(|r| *r < self && spec.threshold(*r).is_some());
        low.then_some((below.unwrap_or(DegradeLevel::Calm), at))
    }
}

/// When what is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DegradeSpec {
    /// By level, in the order of [`DegradeLevel::ALL`]: the saturation from which on it is gone up to. `None`
    /// leaves it out. None is below the one before.
    pub at: [Option<Ratio>; 6],
    /// It is left downwards when the saturation is so much below that.
    pub hysteresis: Ratio,
    /// A level is stood on for so long at least.
    pub stay: Span,
    /// What is left of the queue's places, by route, and of the time one may wait.
    pub queue: Ratio,
    /// What answers are clamped to. At least one.
    pub max_tokens: Tokens,
}

impl Default for DegradeSpec {
    fn default() -> DegradeSpec {
        let at = [600_000, 700_000, 800_000, 900_000, 1_000_000, 1_200_000];
        DegradeSpec {
            at: at.map(|at| Some(Ratio(at))),
            hysteresis: Ratio(100_000),
            stay: Span::from_secs(5),
            queue: Ratio(250_000),
            max_tokens: Tokens(256),
        }
    }
}

impl DegradeSpec {
    /// Returns the saturation from which on a level is gone up to, if it is not left out.
    #[must_use]
    pub fn threshold(&self, level: DegradeLevel) -> Option<Ratio> {
        (level as usize).checked_sub(1).and_then(|place| self.at[place])
    }

    /// Whether the thresholds rise and can be left again.
    pub(in crate::balance) fn is_sound(&self) -> bool {
        let at = || self.at.into_iter().flatten();
        at().is_sorted()
            && at().all(|at| at > self.hysteresis)
            && self.max_tokens > Tokens::ZERO
            && self.queue <= Ratio::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAY: Span = Span::from_secs(5);

    fn walk(spec: &DegradeSpec, saturations: impl IntoIterator<Item = f64>) -> Vec<DegradeLevel> {
        let mut level = DegradeLevel::Calm;
        let mut walked = Vec::new();
        for saturation in saturations {
            if let Some((to, _)) = level.step(spec, Ratio::from_f64(saturation), spec.stay) {
                level = to;
                walked.push(to);
            }
        }
        walked
    }

    #[test]
    fn it_is_climbed_in_order_and_come_down_in_order() {
        let spec = DegradeSpec::default();
        let mut wanted = DegradeLevel::ALL.to_vec();
        wanted.extend(DegradeLevel::ALL.iter().rev().skip(1));
        wanted.push(DegradeLevel::Calm);
        assert_eq!(walk(&spec, [2.0; 10].into_iter().chain([0.0; 10])), wanted);
        let up = (0..140).map(|percent| f64::from(percent) / 100.0);
        assert_eq!(walk(&spec, up.clone().chain(up.rev())), wanted);
    }

    #[test]
    fn small_swings_and_short_ones_change_nothing() {
        let spec = DegradeSpec::default();
        let swings = (0..100).map(|i| if i % 2 == 0 { 0.61 } else { 0.51 });
        assert_eq!(walk(&spec, swings), [DegradeLevel::Hedges], "within the hysteresis");
        let most = Ratio::from_f64(2.0);
        assert_eq!(DegradeLevel::Calm.step(&spec, most, Span(STAY.0 - 1)), None);
        assert_eq!(DegradeLevel::Reject.step(&spec, Ratio::ZERO, Span(STAY.0 - 1)), None);
    }

    #[test]
    fn a_level_that_is_left_out_is_passed_over() {
        let mut spec = DegradeSpec::default();
        (spec.at[1], spec.at[4]) = (None, None);
        let wanted =
            [DegradeLevel::Hedges, DegradeLevel::Shed, DegradeLevel::Clamp, DegradeLevel::Reject];
        assert_eq!(walk(&spec, [2.0; 9])[..], wanted);
        assert_eq!(
            walk(&spec, [2.0; 9].into_iter().chain([0.0; 9])).last(),
            Some(&DegradeLevel::Calm)
        );
    }

    #[test]
    fn what_is_critical_is_never_turned_away() {
        let spec = DegradeSpec::default();
        for level in DegradeLevel::ALL {
            assert_eq!(level.rejects(&spec, Priority::Critical), None);
            assert_eq!(
                level.rejects(&spec, Priority::Sheddable).is_some(),
                level >= DegradeLevel::Shed
            );
            assert_eq!(
                level.rejects(&spec, Priority::High).is_some(),
                level == DegradeLevel::Reject
            );
        }
    }
}

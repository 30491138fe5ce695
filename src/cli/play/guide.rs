//! What `plimsoll demo` says while it runs: what happens, where to look, and which key comes next.

use crate::unit::Time;

/// Lines, each with the simulated second from which it holds.
pub(super) const DEMO: &[(u64, &str)] = &[
    (0, "five engines of two kinds take turns (round_robin); at 12 s one of them dies: watch p99"),
    (12, "h100-3 is dead; round_robin gives the small l4s as much as the others, and p99 climbs"),
    (36, "the strategy is least_connections now: p99 comes down again, with four engines"),
    (56, "your turn: j selects a node, x kills it"),
    (75, "a lists the strategies, and beside each what would come of it from this moment on"),
    (95, "Left looks back in time, Space goes on from there; B compares with what you did not do"),
    (115, "2 compares strategies on the same arrivals: a adds one"),
    (135, "W writes all of this as a file that `plimsoll run` repeats; ? has every key, q leaves"),
];

/// Lines to be said at their times.
pub(super) struct Guide {
    lines: &'static [(u64, &'static str)],
}

impl Guide {
    pub(super) const fn new(lines: &'static [(u64, &'static str)]) -> Guide {
        Guide { lines }
    }

    /// Takes the newest line whose time has come.
    pub(super) fn next(&mut self, now: Time) -> Option<&'static str> {
        let due = self.lines.iter().take_while(|(at, _)| now.seconds() >= *at as f64).count();
        let (said, rest) = self.lines.split_at(due);
        self.lines = rest;
        said.last().map(|(_, line)| *line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Span;

    #[test]
    fn every_line_is_said_once_and_what_is_late_gives_way() {
        let mut guide = Guide::new(DEMO);
        let mut at = |seconds| guide.next(Time::ZERO + Span::from_secs(seconds));
        assert_eq!(at(0), Some(DEMO[0].1));
        assert_eq!(at(5), None);
        assert_eq!(at(60), Some(DEMO[3].1), "those before it are past");
        assert_eq!(at(60), None);
        assert_eq!(at(10_000), Some(DEMO[DEMO.len() - 1].1));
    }

    #[test]
    fn the_times_ascend_and_no_line_is_too_long_for_a_wide_terminal() {
        assert!(DEMO.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(DEMO.iter().all(|(_, line)| line.chars().count() <= 100 && line.is_ascii()));
    }
}

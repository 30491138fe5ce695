//! Progress on stderr: a line that is rewritten on a terminal, or one now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::report::quantity::count;
use crate::unit::Time;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Style {
    /// A bar on a terminal, nothing elsewhere
    #[default]
    Auto,
    /// A line that is rewritten
    Bar,
    /// A line every ten seconds
    Lines,
    /// Nothing
    None,
}

/// Shows how far a run has come.
#[derive(Debug)]
pub(super) struct ProgressBar {
    style: Style,
    end: Option<Time>,
    requests: Option<u64>,
    next: Instant,
    shown: bool,
}

const BAR_EVERY: Duration = Duration::from_millis(200);
const LINES_EVERY: Duration = Duration::from_secs(10);

impl ProgressBar {
    pub(super) fn new(style: Style, end: Option<Time>, requests: Option<u64>) -> ProgressBar {
        let style = match style {
            Style::Auto if io::stderr().is_terminal() => Style::Bar,
            Style::Auto => Style::None,
            other => other,
        };
        let first = if style == Style::Bar { BAR_EVERY } else { LINES_EVERY };
        ProgressBar { style, end, requests, next: Instant::now() + first, shown: false }
    }

    /// Shows the state if it is time to.
    pub(super) fn tick(&mut self, now: Time, arrived: u64) {
        if self.is_due() {
            let share = self.share(now, arrived);
            self.show(&format!("{} requests, {now} simulated{share}", count(arrived)));
        }
    }

    /// Shows how many of many runs are done, if it is time to.
    pub(super) fn runs(&mut self, done: usize, of: usize) {
        if self.is_due() {
            let share = 100.0 * done as f64 / of.max(1) as f64;
            self.show(&format!("{done} of {of} runs, {share:.0} %"));
        }
    }

    fn is_due(&self) -> bool {
        self.style != Style::None && Instant::now() >= self.next
    }

    fn show(&mut self, line: &str) {
        let mut out = io::stderr().lock();
        let every = if self.style == Style::Bar {
            let _ = write!(out, "\r\x1b[2K{line}");
            let _ = out.flush();
            self.shown = true;
            BAR_EVERY
        } else {
            let _ = writeln!(out, "{line}");
            LINES_EVERY
        };
        self.next = Instant::now() + every;
    }

    fn share(&self, now: Time, arrived: u64) -> String {
        let by_time = self.end.map(|end| now.seconds() / end.seconds().max(1e-9));
        let by_count = self.requests.map(|requests| arrived as f64 / requests.max(1) as f64);
        let share = match (by_time, by_count) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        share.map_or_else(String::new, |share| format!(", {:.0} %", share.min(1.0) * 100.0))
    }

    /// Wipes the line that is being rewritten.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let mut out = io::stderr().lock();
            let _ = write!(out, "\r\x1b[2K");
            let _ = out.flush();
        }
    }
}

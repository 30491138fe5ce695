//! What a person can do, and under which heading the help has it.

use crate::tui::tab::View;

/// Something a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::tui) enum KeyAction {
    Pause,
    Slower,
    Faster,
    Normal,
    Fastest,
    StepInput,
    StepTick,
    Back,
    Forward,
    BackFar,
    ForwardFar,
    TickBack,
    Now,
    Undo,
    Write,
    LoadLess,
    LoadMore,
    Branch,
    Baseline,
    Dismiss,
    Restart,
    KillOrHeal,
    Choose,
    Up,
    Down,
    First,
    Last,
    PageUp,
    PageDown,
    NextPanel,
    PreviousPanel,
    Expand,
    ZoomIn,
    ZoomOut,
    ZoomReset,
    Sort,
    Reverse,
    Lines,
    /// Rows of nodes, classes, tenants or jobs.
    Rows,
    /// Looks at this view.
    Show(View),
    Why,
    Pin,
    Earlier,
    Later,
    MuchEarlier,
    MuchLater,
    Longer,
    Shorter,
    One,
    Metric,
    Ramp,
    Help,
    Accept,
    Close,
    Theme,
    Glyphs,
    Redraw,
    Suspend,
    Quit,
}

/// The heading an action is listed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tui) enum KeyGroup {
    Time,
    Act,
    Look,
    App,
}

impl KeyGroup {
    pub(in crate::tui) const ALL: [KeyGroup; 4] =
        [KeyGroup::Time, KeyGroup::Act, KeyGroup::Look, KeyGroup::App];

    pub(in crate::tui) const fn name(self) -> &'static str {
        match self {
            KeyGroup::Time => "Time",
            KeyGroup::Act => "Act",
            KeyGroup::Look => "Look",
            KeyGroup::App => "App",
        }
    }
}

impl KeyAction {
    /// Returns its line in the help. Neighbours with the same line share it.
    pub(in crate::tui) const fn help(self) -> &'static str {
        match self {
            KeyAction::Pause => "pause or resume",
            KeyAction::Slower | KeyAction::Faster => "half / double speed",
            KeyAction::Normal | KeyAction::Fastest => "1× / as fast as possible",
            KeyAction::StepInput | KeyAction::StepTick => "step one input / one tick",
            KeyAction::Back | KeyAction::Forward => "look 1 s back / on",
            KeyAction::BackFar | KeyAction::ForwardFar => "look 10 s back / on",
            KeyAction::TickBack => "look one tick back",
            KeyAction::Now => "look at now again",
            KeyAction::Undo => "undo what was done last",
            KeyAction::Write => "write scenario and acts",
            KeyAction::LoadLess | KeyAction::LoadMore => "arrivals -10% / +10%",
            KeyAction::Branch => "compare: not done since",
            KeyAction::Baseline => "compare with this one",
            KeyAction::Dismiss => "compare without this one",
            KeyAction::Restart => "restart, same seed",
            KeyAction::KillOrHeal => "kill or heal the node",
            KeyAction::Choose => "choose a strategy",
            KeyAction::Up | KeyAction::Down => "row down / up",
            KeyAction::First | KeyAction::Last => "first / last row",
            KeyAction::PageUp | KeyAction::PageDown => "page up / down",
            KeyAction::NextPanel | KeyAction::PreviousPanel => "next / previous panel",
            KeyAction::Expand => "expand panel, and back",
            KeyAction::ZoomIn | KeyAction::ZoomOut | KeyAction::ZoomReset => "time range, reset",
            KeyAction::Sort | KeyAction::Reverse => "next sort column, reverse",
            KeyAction::Lines => "which percentile lines",
            KeyAction::Rows => "rows of nodes, classes...",
            KeyAction::Show(_) => "the five views",
            KeyAction::Why => "why this node? decisions",
            KeyAction::Earlier | KeyAction::Later => "cursor: earlier, later",
            KeyAction::MuchEarlier | KeyAction::MuchLater => "cursor: by ten columns",
            KeyAction::Longer | KeyAction::Shorter => "cursor: longer, shorter",
            KeyAction::One => "all, one class, one node",
            KeyAction::Metric => "last or first token",
            KeyAction::Ramp => "colours: log or linear",
            KeyAction::Pin => "in why: pin or follow",
            KeyAction::Help => "this help",
            KeyAction::Accept => "take the selected line",
            KeyAction::Close => "close, back; never quits",
            KeyAction::Theme | KeyAction::Glyphs => "colours / characters",
            KeyAction::Redraw => "draw everything again",
            KeyAction::Suspend => "suspend",
            KeyAction::Quit => "quit",
        }
    }

    pub(in crate::tui) const fn group(self) -> KeyGroup {
        match self {
            KeyAction::Pause
            | KeyAction::Slower
            | KeyAction::Faster
            | KeyAction::Normal
            | KeyAction::Fastest
            | KeyAction::StepInput
            | KeyAction::StepTick
            | KeyAction::Back
            | KeyAction::Forward
            | KeyAction::BackFar
            | KeyAction::ForwardFar
            | KeyAction::TickBack
            | KeyAction::Now => KeyGroup::Time,
            KeyAction::Undo
            | KeyAction::Write
            | KeyAction::LoadLess
            | KeyAction::LoadMore
            | KeyAction::Branch
            | KeyAction::Baseline
            | KeyAction::Dismiss
            | KeyAction::Restart
            | KeyAction::KillOrHeal
            | KeyAction::Choose => KeyGroup::Act,
            KeyAction::Help
            | KeyAction::Accept
            | KeyAction::Close
            | KeyAction::Theme
            | KeyAction::Glyphs
            | KeyAction::Redraw
            | KeyAction::Suspend
            | KeyAction::Quit => KeyGroup::App,
            _ => KeyGroup::Look,
        }
    }
}

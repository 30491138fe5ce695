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
    Repeat,
    Export,
    Save,
    LoadLess,
    LoadMore,
    Branch,
    Baseline,
    Dismiss,
    Restart,
    Reseed,
    KillOrHeal,
    Choose,
    Faults,
    Target,
    FieldBack,
    FieldOn,
    HealAll,
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
    Command,
    Details,
    Filter,
    Search,
    Next,
    Previous,
    Kind,
    Complete,
    Erase,
    EraseAll,
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
    /// Returns its line in the help.
    pub(in crate::tui) const fn help(self) -> &'static str {
        match self {
            KeyAction::Pause => "pause or resume",
            KeyAction::Slower => "half speed",
            KeyAction::Faster => "double speed",
            KeyAction::Normal => "speed 1×",
            KeyAction::Fastest => "as fast as possible",
            KeyAction::StepInput => "step one input",
            KeyAction::StepTick => "step one tick of 100 ms",
            KeyAction::Back | KeyAction::Forward => "look 1 s back / on",
            KeyAction::BackFar | KeyAction::ForwardFar => "look 10 s back / on",
            KeyAction::TickBack => "look one tick back",
            KeyAction::Now => "look at now again",
            KeyAction::Undo => "undo what was done last",
            KeyAction::Write => "write scenario and acts",
            KeyAction::Repeat => "copy the command of this",
            KeyAction::Export => "export the run so far",
            KeyAction::Save => "save the picture as text",
            KeyAction::LoadLess => "arrivals -10%",
            KeyAction::LoadMore => "arrivals +10%",
            KeyAction::Branch => "compare: not done since",
            KeyAction::Baseline => "compare with this one",
            KeyAction::Dismiss => "compare without this one",
            KeyAction::Restart => "restart, same seed",
            KeyAction::Reseed => "restart, next seed",
            KeyAction::KillOrHeal => "kill or heal the node",
            KeyAction::Choose => "choose a strategy",
            KeyAction::Faults => "let something go wrong",
            KeyAction::Target => "fault: with whom",
            KeyAction::FieldBack => "fault: parameter before",
            KeyAction::FieldOn => "fault: next parameter",
            KeyAction::HealAll => "fault: heal all",
            other => other.help_of_looking(),
        }
    }

    /// The same of what only changes what is seen, and of the program itself.
    const fn help_of_looking(self) -> &'static str {
        match self {
            KeyAction::Up => "row up",
            KeyAction::Down => "row down",
            KeyAction::First => "first row",
            KeyAction::Last => "last row",
            KeyAction::PageUp => "page up",
            KeyAction::PageDown => "page down",
            KeyAction::NextPanel => "next panel",
            KeyAction::PreviousPanel => "previous panel",
            KeyAction::Expand => "expand panel, and back",
            KeyAction::ZoomIn => "shorter time range",
            KeyAction::ZoomOut => "longer time range",
            KeyAction::ZoomReset => "time range as at first",
            KeyAction::Sort => "sort by a column",
            KeyAction::Reverse => "reverse the sort",
            KeyAction::Lines => "which percentile lines",
            KeyAction::Rows => "rows of nodes, classes...",
            KeyAction::Show(view) => view.about(),
            KeyAction::Why => "why this node? decisions",
            KeyAction::Earlier => "cursor earlier",
            KeyAction::Later => "cursor later",
            KeyAction::MuchEarlier => "ten columns earlier",
            KeyAction::MuchLater => "ten columns later",
            KeyAction::Longer => "cursor to longer ones",
            KeyAction::Shorter => "cursor to shorter ones",
            KeyAction::One => "all, one class, one node",
            KeyAction::Metric => "last or first token",
            KeyAction::Ramp => "colours: log or linear",
            KeyAction::Pin => "pin or follow decisions",
            KeyAction::Help => "this help",
            KeyAction::Command => "type a command",
            KeyAction::Details => "details of what is chosen",
            KeyAction::Filter => "filter nodes",
            KeyAction::Search => "search events",
            KeyAction::Next => "next found, older",
            KeyAction::Previous => "previous found, newer",
            KeyAction::Kind => "which kind of events",
            KeyAction::Accept => "take the selected line",
            KeyAction::Complete => "complete the word",
            KeyAction::Erase => "erase a character",
            KeyAction::EraseAll => "erase the line",
            KeyAction::Close => "close, back; never quits",
            KeyAction::Theme => "other colours",
            KeyAction::Glyphs => "other characters",
            KeyAction::Redraw => "draw everything again",
            KeyAction::Suspend => "suspend",
            KeyAction::Quit => "quit",
            _ => "",
        }
    }

    /// Returns the word that runs it when it is typed.
    pub(in crate::tui) fn word(self) -> String {
        if let KeyAction::Show(view) = self {
            return format!("view {}", view.name().to_lowercase());
        }
        let mut word = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_ascii_uppercase() && !word.is_empty() {
                word.push('-');
            }
            word.push(c.to_ascii_lowercase());
        }
        word
    }

    /// Returns whether it is about time, or does something to the run.
    pub(in crate::tui) const fn changes_the_run(self) -> bool {
        matches!(self.group(), KeyGroup::Time | KeyGroup::Act)
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
            | KeyAction::Repeat
            | KeyAction::Export
            | KeyAction::Save
            | KeyAction::LoadLess
            | KeyAction::LoadMore
            | KeyAction::Branch
            | KeyAction::Baseline
            | KeyAction::Dismiss
            | KeyAction::Restart
            | KeyAction::Reseed
            | KeyAction::KillOrHeal
            | KeyAction::Choose
            | KeyAction::Faults
            | KeyAction::Target
            | KeyAction::FieldBack
            | KeyAction::FieldOn
            | KeyAction::HealAll => KeyGroup::Act,
            KeyAction::Help
            | KeyAction::Command
            | KeyAction::Complete
            | KeyAction::Erase
            | KeyAction::EraseAll
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

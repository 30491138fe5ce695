//! The key map, in the order of the help.

use crossterm::event::KeyCode;

use super::chord::{code, ctrl, key};
use super::{Binding, Chord, Context, Hint, KeyAction};
use crate::tui::tab::View;

const fn bind(context: Context, action: KeyAction, chords: &'static [Chord]) -> Binding {
    Binding { context, action, chords, hint: None }
}

const fn hinted(
    context: Context,
    action: KeyAction,
    chords: &'static [Chord],
    word: &'static str,
    rank: u8,
) -> Binding {
    Binding { context, action, chords, hint: Some(Hint { word, rank }) }
}

use Context::{Always, Card, Columns, Faults, Line, List, Views};

const LIVE: Context = Context::View(View::Live);
const LATENCY: Context = Context::View(View::Latency);
const WHY: Context = Context::View(View::Why);
const COMPARE: Context = Context::View(View::Compare);
const EVENTS: Context = Context::View(View::Events);

const fn show(view: View, number: &'static [Chord]) -> Binding {
    bind(Views, KeyAction::Show(view), number)
}

/// The key map, in the order of the help.
#[rustfmt::skip]
pub(in crate::tui) static BINDINGS: &[Binding] = &[
    hinted(Views, KeyAction::Pause, &[key(' ')], "pause", 200),
    hinted(Views, KeyAction::Slower, &[key('[')], "", 180),
    hinted(Views, KeyAction::Faster, &[key(']')], "speed", 180),
    bind(Views, KeyAction::Normal, &[key('\\')]),
    bind(Views, KeyAction::Fastest, &[key('|')]),
    hinted(Views, KeyAction::StepInput, &[key('.')], "", 90),
    hinted(Views, KeyAction::StepTick, &[key('>')], "step", 90),
    hinted(LIVE, KeyAction::Back, &[code(KeyCode::Left)], "", 88),
    hinted(LIVE, KeyAction::Forward, &[code(KeyCode::Right)], "look back", 88),
    bind(LIVE, KeyAction::BackFar, &[key('H')]),
    bind(LIVE, KeyAction::ForwardFar, &[key('L')]),
    bind(Views, KeyAction::TickBack, &[key('<')]),
    bind(Views, KeyAction::Now, &[key('`')]),
    hinted(LIVE, KeyAction::KillOrHeal, &[key('x')], "kill/heal", 190),
    hinted(Views, KeyAction::Choose, &[key('a')], "strategy", 195),
    hinted(Views, KeyAction::Faults, &[key('f')], "fault", 192),
    bind(Views, KeyAction::Undo, &[key('u')]),
    bind(Views, KeyAction::LoadLess, &[key('{')]),
    bind(Views, KeyAction::LoadMore, &[key('}')]),
    bind(Views, KeyAction::Write, &[key('W')]),
    bind(Views, KeyAction::Repeat, &[key('y')]),
    bind(Views, KeyAction::Export, &[key('X')]),
    bind(Views, KeyAction::Save, &[ctrl('s')]),
    hinted(Views, KeyAction::Restart, &[key('R')], "restart", 40),
    bind(Views, KeyAction::Reseed, &[key('r')]),
    show(View::Live, &[key('1')]),
    show(View::Compare, &[key('2')]),
    show(View::Latency, &[key('3')]),
    show(View::Why, &[key('4')]),
    show(View::Events, &[key('5')]),
    hinted(LIVE, KeyAction::Down, &[key('j'), code(KeyCode::Down)], "", 60),
    hinted(LIVE, KeyAction::Up, &[key('k'), code(KeyCode::Up)], "select", 60),
    bind(Views, KeyAction::First, &[key('g'), code(KeyCode::Home)]),
    bind(Views, KeyAction::Last, &[key('G'), code(KeyCode::End)]),
    bind(Views, KeyAction::PageUp, &[code(KeyCode::PageUp), ctrl('u')]),
    bind(Views, KeyAction::PageDown, &[code(KeyCode::PageDown), ctrl('d')]),
    hinted(LIVE, KeyAction::NextPanel, &[code(KeyCode::Tab)], "panel", 70),
    bind(LIVE, KeyAction::PreviousPanel, &[code(KeyCode::BackTab)]),
    hinted(LIVE, KeyAction::Expand, &[key('e'), key('z')], "expand", 55),
    hinted(Views, KeyAction::ZoomIn, &[key('+')], "", 50),
    hinted(Views, KeyAction::ZoomOut, &[key('-')], "range", 50),
    bind(Views, KeyAction::ZoomReset, &[key('=')]),
    hinted(LIVE, KeyAction::Sort, &[key('s')], "sort", 80),
    bind(LIVE, KeyAction::Reverse, &[key('S')]),
    hinted(LIVE, KeyAction::Lines, &[key('p')], "lines", 45),
    hinted(LIVE, KeyAction::Rows, &[key('c')], "rows", 65),
    hinted(LIVE, KeyAction::Filter, &[key('/')], "filter", 75),
    hinted(LIVE, KeyAction::Details, &[code(KeyCode::Enter)], "details", 72),
    hinted(LIVE, KeyAction::Why, &[key('w')], "why", 85),
    hinted(LATENCY, KeyAction::Earlier, &[code(KeyCode::Left)], "", 198),
    hinted(LATENCY, KeyAction::Later, &[code(KeyCode::Right)], "cursor", 198),
    bind(LATENCY, KeyAction::MuchEarlier, &[key('(')]),
    bind(LATENCY, KeyAction::MuchLater, &[key(')')]),
    hinted(LATENCY, KeyAction::Longer, &[code(KeyCode::Up)], "", 175),
    hinted(LATENCY, KeyAction::Shorter, &[code(KeyCode::Down)], "row", 175),
    bind(LATENCY, KeyAction::Down, &[key('j')]),
    bind(LATENCY, KeyAction::Up, &[key('k')]),
    hinted(LATENCY, KeyAction::One, &[key('o')], "all/class/node", 188),
    hinted(LATENCY, KeyAction::Metric, &[key('m')], "first token", 187),
    hinted(LATENCY, KeyAction::Ramp, &[key('L')], "log/lin", 80),
    hinted(WHY, KeyAction::Down, &[key('j'), code(KeyCode::Down)], "", 185),
    hinted(WHY, KeyAction::Up, &[key('k'), code(KeyCode::Up)], "older, newer", 185),
    hinted(WHY, KeyAction::Pin, &[key('w')], "pin/follow", 188),
    bind(LIVE, KeyAction::Branch, &[key('B')]),
    hinted(COMPARE, KeyAction::Down, &[key('j'), code(KeyCode::Down)], "", 85),
    hinted(COMPARE, KeyAction::Up, &[key('k'), code(KeyCode::Up)], "select", 85),
    hinted(COMPARE, KeyAction::Baseline, &[key('b')], "baseline", 188),
    hinted(COMPARE, KeyAction::Dismiss, &[key('d')], "dismiss", 150),
    hinted(EVENTS, KeyAction::Down, &[key('j'), code(KeyCode::Down)], "", 185),
    hinted(EVENTS, KeyAction::Up, &[key('k'), code(KeyCode::Up)], "older, newer", 185),
    hinted(EVENTS, KeyAction::Details, &[code(KeyCode::Enter)], "details", 184),
    hinted(EVENTS, KeyAction::Search, &[key('/')], "search", 183),
    bind(EVENTS, KeyAction::Next, &[key('n')]),
    bind(EVENTS, KeyAction::Previous, &[key('N')]),
    hinted(EVENTS, KeyAction::Kind, &[key('v')], "kind", 182),
    hinted(EVENTS, KeyAction::One, &[key('o')], "one node", 181),
    hinted(List, KeyAction::Down, &[code(KeyCode::Down), ctrl('n')], "", 150),
    hinted(List, KeyAction::Up, &[code(KeyCode::Up), ctrl('p')], "select", 150),
    bind(List, KeyAction::First, &[code(KeyCode::Home)]),
    bind(List, KeyAction::Last, &[code(KeyCode::End)]),
    bind(List, KeyAction::PageUp, &[code(KeyCode::PageUp)]),
    bind(List, KeyAction::PageDown, &[code(KeyCode::PageDown)]),
    hinted(List, KeyAction::Accept, &[code(KeyCode::Enter)], "take", 200),
    bind(List, KeyAction::Complete, &[code(KeyCode::Tab)]),
    bind(List, KeyAction::Erase, &[code(KeyCode::Backspace)]),
    bind(List, KeyAction::EraseAll, &[ctrl('u')]),
    hinted(List, KeyAction::Close, &[code(KeyCode::Esc), code(KeyCode::F(1))], "close", 255),
    hinted(Line, KeyAction::Accept, &[code(KeyCode::Enter)], "keep", 255),
    bind(Line, KeyAction::Erase, &[code(KeyCode::Backspace)]),
    bind(Line, KeyAction::EraseAll, &[ctrl('u')]),
    hinted(Line, KeyAction::Close, &[code(KeyCode::Esc)], "clear", 255),
    hinted(Card, KeyAction::Close, &[code(KeyCode::Esc), key('q'), code(KeyCode::Enter)], "close", 255),
    bind(Card, KeyAction::Down, &[key('j'), code(KeyCode::Down)]),
    bind(Card, KeyAction::Up, &[key('k'), code(KeyCode::Up)]),
    hinted(Views, KeyAction::Command, &[key(':')], "command", 40),
    hinted(Faults, KeyAction::Accept, &[code(KeyCode::Enter)], "inject", 200),
    hinted(Faults, KeyAction::Target, &[code(KeyCode::Tab)], "with whom", 190),
    hinted(Faults, KeyAction::FieldBack, &[code(KeyCode::Left)], "", 185),
    hinted(Faults, KeyAction::FieldOn, &[code(KeyCode::Right)], "field", 185),
    hinted(Faults, KeyAction::Down, &[code(KeyCode::Down)], "", 184),
    hinted(Faults, KeyAction::Up, &[code(KeyCode::Up)], "row, value", 184),
    bind(Faults, KeyAction::First, &[code(KeyCode::Home)]),
    bind(Faults, KeyAction::Last, &[code(KeyCode::End)]),
    bind(Faults, KeyAction::PageUp, &[code(KeyCode::PageUp)]),
    bind(Faults, KeyAction::PageDown, &[code(KeyCode::PageDown)]),
    bind(Faults, KeyAction::Erase, &[code(KeyCode::Backspace)]),
    hinted(Faults, KeyAction::HealAll, &[key('H')], "heal all", 170),
    hinted(Faults, KeyAction::Close, &[code(KeyCode::Esc)], "close", 255),
    bind(Faults, KeyAction::Quit, &[ctrl('c')]),
    hinted(Columns, KeyAction::Close, &[code(KeyCode::Esc)], "close", 255),
    bind(Columns, KeyAction::Sort, &[key('s'), code(KeyCode::Down)]),
    bind(Columns, KeyAction::Reverse, &[key('S')]),
    bind(Columns, KeyAction::Quit, &[ctrl('c')]),
    hinted(Views, KeyAction::Help, &[key('?'), code(KeyCode::F(1))], "help", 255),
    bind(Views, KeyAction::Close, &[code(KeyCode::Esc)]),
    bind(Views, KeyAction::Theme, &[key('t')]),
    bind(Views, KeyAction::Glyphs, &[key('T')]),
    bind(Always, KeyAction::Redraw, &[ctrl('l')]),
    bind(Always, KeyAction::Suspend, &[ctrl('z')]),
    hinted(Views, KeyAction::Quit, &[key('q'), ctrl('c')], "quit", 255),
    bind(List, KeyAction::Quit, &[ctrl('c')]),
    bind(Line, KeyAction::Quit, &[ctrl('c')]),
    bind(Card, KeyAction::Quit, &[ctrl('c')]),
];

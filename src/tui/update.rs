//! What happens when something happens: messages change the model and give effects. No input or
//! output here; the runner carries the effects out.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent};

use crate::balance::{StrategySpec, usable};
use crate::command::{Command, Frame, Mode, Pace};
use crate::unit::{NodeId, PoolId};

use super::Exit;
use super::faults;
use super::keys::{self, KeyAction};
use super::layout;
use super::lists;
use super::model::{Model, Overlay, Panel, RANGE_DEFAULT, RANGES, SortKey};
use super::steer;
use super::tab::View;

mod events;
mod latency;
mod mouse;
mod typing;

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was used.
    Mouse(MouseEvent),
    /// The terminal has this size now.
    Resize(u16, u16),
    /// A frame came, so long after the start of the screen.
    Frame(Arc<Frame>, Duration),
    /// No more frames will come.
    Closed,
    /// The process was asked to end.
    Signal(i32),
}

/// Something the runner is to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Tell the engine.
    Send(Command),
    /// Leave.
    Leave(Exit),
    /// Stop the process until it is continued.
    Suspend,
    /// Draw every cell again.
    Redraw,
    /// Copy this where the terminal can.
    Copy(String),
    /// Write the picture into a new file.
    Save,
}

/// The slowest and the fastest pace keys can ask for, as powers of two.
const PACE_MIN: f64 = 1.0 / 64.0;
const PACE_MAX: f64 = 1_024.0;

/// Changes the model and says what is to be done.
pub(super) fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut effects = match msg {
        Msg::Key(event) => press(model, event),
        Msg::Mouse(event) => mouse::used(model, event),
        Msg::Resize(columns, rows) => {
            model.ui.size = (columns, rows);
            Vec::new()
        }
        Msg::Frame(frame, at) => {
            let mut copied = Vec::new();
            let said = |frame: &Frame| frame.notice.as_ref().map(|notice| notice.number);
            let before = model.frame.as_deref().and_then(said);
            if let Some(notice) =
                frame.notice.as_ref().filter(|notice| Some(notice.number) != before)
            {
                model.ui.notice = Some(notice.text.clone());
                copied.extend(notice.copy.then(|| Effect::Copy(notice.text.clone())));
            }
            if frame.edge.is_none() || model.ui.looked == Some(frame.snapshot.now) {
                model.ui.looked = None;
            }
            model.receive(frame, at);
            copied
        }
        Msg::Closed => {
            model.closed = true;
            Vec::new()
        }
        Msg::Signal(signal) => vec![Effect::Leave(Exit::Signal(signal))],
    };
    settle(model);
    effects.extend(steer::foresee(model));
    effects.extend(steer::doubt(model));
    effects
}

fn press(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    let told = model.ui.notice.take();
    model.ui.notice_at = None;
    if let KeyCode::Char(letter) = event.code
        && !event.modifiers.contains(KeyModifiers::CONTROL)
        && lettered(model, letter)
    {
        return Vec::new();
    }
    // What is told of one thing is in nobody's way: time and acts go on behind it.
    let behind = || {
        let here = keys::Context::View(model.ui.view);
        let action = model.ui.keys.action(here, event).filter(|action| action.changes_the_run())?;
        (model.ui.overlay == Overlay::Card).then_some(action)
    };
    match model.ui.keys.action(model.context(), event).or_else(behind) {
        Some(KeyAction::Save) => {
            // The picture is of what was seen when the key was pressed.
            model.ui.notice = told;
            perform(model, KeyAction::Save)
        }
        Some(action) => perform(model, action),
        None => {
            typing::typed(model, event);
            Vec::new()
        }
    }
}

/// Takes in a letter where letters stand for something of their own. Returns whether it did.
fn lettered(model: &mut Model, letter: char) -> bool {
    match model.ui.overlay {
        Overlay::Faults => faults::typed(model, letter),
        Overlay::Columns => {
            let Some(key) = SortKey::ALL.into_iter().find(|key| key.letter() == letter) else {
                return false;
            };
            sort(model, Some(key));
            model.ui.overlay = Overlay::None;
            true
        }
        _ => false,
    }
}

/// Does what a person wants.
fn perform(model: &mut Model, action: KeyAction) -> Vec<Effect> {
    match action {
        KeyAction::Quit => quit(model),
        KeyAction::Suspend => vec![Effect::Suspend],
        KeyAction::Redraw => vec![Effect::Redraw],
        KeyAction::Pause => pause(model),
        KeyAction::Slower => pace(model, slower),
        KeyAction::Faster => pace(model, faster),
        KeyAction::Normal => pace(model, |_| Pace::Times(1.0)),
        KeyAction::Fastest => pace(model, |_| Pace::Fastest),
        KeyAction::StepInput => step(model, Command::StepInput),
        KeyAction::StepTick => step(model, Command::StepTick),
        KeyAction::Restart => restart(model),
        KeyAction::Reseed => reseed(model),
        KeyAction::KillOrHeal => kill_or_heal(model),
        KeyAction::Back => steer::scrub(model, 1.0),
        KeyAction::Forward => steer::scrub(model, -1.0),
        KeyAction::BackFar => steer::scrub(model, 10.0),
        KeyAction::ForwardFar => steer::scrub(model, -10.0),
        KeyAction::TickBack => steer::scrub(model, 0.1),
        KeyAction::Now => steer::now(model),
        KeyAction::Undo => steer::tell(model, "can be undone", Command::Undo),
        KeyAction::Write => steer::tell(model, "is written as a file", Command::Write),
        KeyAction::Repeat => steer::tell(model, "is repeated by a command", Command::Repeat),
        KeyAction::Export => steer::tell(model, "is exported from here", Command::Export),
        KeyAction::Save => vec![Effect::Save],
        KeyAction::LoadLess => steer::load(model, false),
        KeyAction::LoadMore => steer::load(model, true),
        KeyAction::Branch => steer::branch(model),
        KeyAction::Baseline => steer::baseline(model),
        KeyAction::Dismiss => steer::dismiss(model),
        KeyAction::Accept => accept(model),
        KeyAction::HealAll => faults::heal_all(model),
        KeyAction::Show(view) => show(model, view),
        KeyAction::Why => show(model, View::Why),
        KeyAction::Pin => {
            pin(model);
            Vec::new()
        }
        KeyAction::Close if model.ui.overlay == Overlay::None && model.ui.view != View::Live => {
            show(model, View::Live)
        }
        other => {
            look(model, other);
            Vec::new()
        }
    }
}

/// Actions that only change what is looked at.
fn look(model: &mut Model, action: KeyAction) {
    match action {
        KeyAction::Choose => open_picker(model),
        KeyAction::Help | KeyAction::Command => {
            model.ui.typed.clear();
            let prompt = action == KeyAction::Command;
            model.ui.overlay = Overlay::Palette { at: 0, prompt };
        }
        KeyAction::Filter => model.ui.overlay = Overlay::Filter,
        KeyAction::Search => model.ui.overlay = Overlay::Search,
        KeyAction::Details => details(model),
        KeyAction::Complete => typing::complete(model),
        KeyAction::Erase if model.ui.overlay == Overlay::Faults => faults::erase(model),
        KeyAction::Erase => typing::erase(model, false),
        KeyAction::EraseAll => typing::erase(model, true),
        KeyAction::Faults => faults::open(model),
        KeyAction::Target => faults::next_target(model),
        KeyAction::FieldBack => faults::next_field(model, false),
        KeyAction::FieldOn => faults::next_field(model, true),
        KeyAction::Close => close(model),
        KeyAction::NextPanel => focus(model, 1),
        KeyAction::PreviousPanel => focus(model, -1),
        KeyAction::Expand => model.ui.expanded = !model.ui.expanded,
        KeyAction::ZoomIn => zoom(model, model.ui.range.saturating_sub(1)),
        KeyAction::ZoomOut => zoom(model, model.ui.range + 1),
        KeyAction::ZoomReset => zoom(model, RANGE_DEFAULT),
        KeyAction::Sort if model.ui.overlay == Overlay::Columns => sort(model, None),
        KeyAction::Sort => model.ui.overlay = Overlay::Columns,
        KeyAction::Reverse => {
            model.ui.reversed = !model.ui.reversed;
            model.sort();
        }
        KeyAction::Lines => model.ui.lines = model.ui.lines.next(),
        KeyAction::Rows => model.next_rows(),
        KeyAction::Theme => theme(model),
        KeyAction::Glyphs => glyphs(model),
        other => travel(model, other),
    }
}

/// Tells what is selected in full; selects something first where nothing is.
fn details(model: &mut Model) {
    if model.ui.view == View::Live && model.selected_row().is_none() {
        travel_nodes(model, KeyAction::Down);
    }
    let something = match model.ui.view {
        View::Events => !model.events().is_empty(),
        _ => model.selected_row().is_some(),
    };
    if something {
        model.ui.overlay = Overlay::Card;
    }
}

fn quit(model: &Model) -> Vec<Effect> {
    let leave = Effect::Leave(Exit::Quit);
    // Leaving the screen of a gateway must not stop the gateway.
    if model.mode() == Mode::Live { vec![leave] } else { vec![Effect::Send(Command::Quit), leave] }
}

/// Returns whether the run is over, and says so.
fn is_over(model: &mut Model) -> bool {
    let over = model.is_over();
    if over {
        let again = if model.mode() == Mode::Sim { "; R starts it again" } else { "" };
        model.ui.notice = Some(format!("the run is over{again}"));
    }
    over
}

fn pause(model: &mut Model) -> Vec<Effect> {
    // Real time cannot be stopped, only the picture of it.
    if model.mode() != Mode::Sim {
        if model.ui.frozen {
            model.thaw();
        } else {
            model.ui.frozen = true;
        }
        return Vec::new();
    }
    if is_over(model) {
        return Vec::new();
    }
    let paused = !model.is_paused();
    model.ui.asked.renew();
    model.ui.asked.paused = Some(paused);
    vec![Effect::Send(Command::Pause(paused))]
}

fn slower(pace: Pace) -> Pace {
    match pace {
        Pace::Times(times) => Pace::Times((times / 2.0).max(PACE_MIN)),
        Pace::Fastest => Pace::Times(PACE_MAX),
    }
}

fn faster(pace: Pace) -> Pace {
    match pace {
        Pace::Times(times) if times < PACE_MAX => Pace::Times((times * 2.0).min(PACE_MAX)),
        Pace::Times(_) | Pace::Fastest => Pace::Fastest,
    }
}

fn pace(model: &mut Model, change: impl Fn(Pace) -> Pace) -> Vec<Effect> {
    if !steer::simulated(model, "has a speed") {
        return Vec::new();
    }
    if is_over(model) {
        return Vec::new();
    }
    let Some(now) = model.pace() else {
        return Vec::new();
    };
    let wanted = change(now);
    model.ui.asked.renew();
    model.ui.asked.pace = Some(wanted);
    vec![Effect::Send(Command::Pace(wanted))]
}

fn step(model: &mut Model, command: Command) -> Vec<Effect> {
    if !steer::simulated(model, "can be stepped") {
        return Vec::new();
    }
    if is_over(model) {
        return Vec::new();
    }
    model.ui.asked.renew();
    model.ui.asked.paused = Some(true);
    vec![Effect::Send(command)]
}

fn reseed(model: &mut Model) -> Vec<Effect> {
    if !steer::simulated(model, "has a seed that can be another one") {
        return Vec::new();
    }
    model.ui.pinned = None;
    model.ui.log_at = None;
    vec![Effect::Send(Command::Reseed)]
}

fn restart(model: &mut Model) -> Vec<Effect> {
    if !steer::simulated(model, "can be restarted") {
        return Vec::new();
    }
    // What is pinned is a decision of the run before.
    model.ui.pinned = None;
    model.ui.log_at = None;
    let by_hand = model.snapshot().is_some_and(|shown| {
        shown.log.iter().any(|entry| entry.by_person)
            || shown.pools.iter().any(|pool| pool.planned.to_string() != pool.strategy)
    });
    if by_hand {
        model.ui.notice = Some("from the beginning, without what was done by hand".to_owned());
    }
    vec![Effect::Send(Command::Restart)]
}

fn kill_or_heal(model: &mut Model) -> Vec<Effect> {
    let row = model.ui.selected.and_then(|id| model.node(id));
    let Some((id, by_hand)) = row.map(|row| (row.id, row.by_hand)) else {
        if can_kill(model, None) {
            travel_nodes(model, KeyAction::Down);
            let row = model.ui.selected.and_then(|id| model.node(id));
            model.ui.notice = Some(row.map_or_else(
                || "there is no node to kill".to_owned(),
                |row| format!("{} is selected: x kills or heals it, j k select another", row.name),
            ));
        }
        return Vec::new();
    };
    // What was asked for last counts, also before a frame has told of it.
    let killed = model.ui.asked.killed.get(&id).copied().unwrap_or(by_hand);
    kill(model, id, !killed)
}

/// Whether this node, or any if none is meant, can be made to fail from here; says so if not.
pub(super) fn can_kill(model: &mut Model, node: Option<NodeId>) -> bool {
    let why = match model.mode() {
        _ if !model.can_break(node) => "only simulations and mock servers have faults by hand",
        Mode::Sim if model.is_over() => "the run is over; R starts it again",
        Mode::Replay | Mode::Live if model.is_over() => "the run is over",
        _ => return true,
    };
    model.ui.notice = Some(why.to_owned());
    false
}

/// Kills a node, or heals it.
fn kill(model: &mut Model, id: NodeId, wanted: bool) -> Vec<Effect> {
    if !can_kill(model, Some(id)) {
        return Vec::new();
    }
    model.ui.asked.killed.insert(id, wanted);
    model.ui.asked.renew();
    let (word, command) =
        if wanted { ("killing", Command::Kill(id)) } else { ("healing", Command::Heal(id)) };
    let name = model.node(id).map_or("", |row| &row.name);
    model.ui.notice = Some(format!("{word} {name}"));
    vec![Effect::Send(command)]
}

/// Looks at a view. Decisions are explained only while somebody looks at them.
fn show(model: &mut Model, view: View) -> Vec<Effect> {
    let before = std::mem::replace(&mut model.ui.view, view);
    let explain = |here: View| here == View::Why;
    model.ui.expanded &= before == view;
    if explain(before) == explain(view) {
        return Vec::new();
    }
    model.ui.pinned = None;
    vec![Effect::Send(Command::Explain(explain(view)))]
}

/// Holds the decision that is shown, or follows the newest again.
fn pin(model: &mut Model) {
    let shown = model.inspected().cloned();
    model.ui.pinned = if model.ui.pinned.is_none() { shown } else { None };
}

/// Moves through the decisions, newest first. Who goes back to the first follows again.
fn travel_decisions(model: &mut Model, action: KeyAction) {
    let Some(last) = model.decisions().len().checked_sub(1) else {
        return;
    };
    let page = layout::decision_rows(model).max(1);
    // One that has left the ring was older than all that are there.
    let at = moved(action, model.inspected_row().unwrap_or(last), last, page);
    let chosen = model.decisions().nth(at).cloned();
    model.ui.pinned = if matches!(action, KeyAction::First) { None } else { chosen };
}

fn open_picker(model: &mut Model) {
    if model.ui.view == View::Compare {
        return steer::open_contenders(model);
    }
    if is_over(model) {
        return;
    }
    let pools = model.snapshot().map_or(&[][..], |snapshot| &snapshot.pools);
    let selected = model.ui.selected.and_then(|id| model.node(id)).map(|row| row.pool);
    let here = pools.iter().position(|pool| Some(pool.id) == selected).unwrap_or(0);
    match pools {
        [] => model.ui.notice = Some("there is no pool yet".to_owned()),
        [only] => open_strategies(model, only.id),
        _ => {
            model.ui.overlay = Overlay::Pools { at: here };
            model.ui.typed.clear();
        }
    }
}

fn open_strategies(model: &mut Model, pool: PoolId) {
    model.ui.typed.clear();
    let at = model.strategy_of(pool).unwrap_or(0);
    model.ui.overlay = Overlay::Strategies { pool, at };
}

fn accept(model: &mut Model) -> Vec<Effect> {
    match model.ui.overlay {
        Overlay::Pools { at } => {
            let place = lists::pools(model).get(at).copied();
            let pool = place.and_then(|at| model.snapshot()?.pools.get(at)).map(|pool| pool.id);
            if let Some(pool) = pool {
                open_strategies(model, pool);
            }
            Vec::new()
        }
        Overlay::Strategies { pool, at } => {
            let place = lists::strategies(model).get(at).copied();
            let planned = model.pool(pool).map(|row| row.planned.clone());
            let spec = place.and_then(|at| match at.checked_sub(1) {
                None => planned,
                Some(at) => StrategySpec::named(usable().get(at)?.name),
            });
            spec.map_or_else(Vec::new, |spec| take_strategy_spec(model, pool, spec))
        }
        Overlay::Contenders { at } => match lists::contenders(model).get(at).copied() {
            Some(at) => steer::compare(model, at),
            None => Vec::new(),
        },
        Overlay::Palette { at, .. } => typing::run(model, at),
        Overlay::Filter | Overlay::Search => {
            typing::line_done(model, KeyAction::Accept);
            Vec::new()
        }
        Overlay::None | Overlay::Card | Overlay::Columns => Vec::new(),
        Overlay::Faults => faults::inject(model),
    }
}

fn take_strategy_spec(model: &mut Model, pool: PoolId, spec: StrategySpec) -> Vec<Effect> {
    let Some(row) = model.pool(pool) else {
        return Vec::new();
    };
    let (name, now) = (row.name.clone(), row.strategy.clone());
    model.ui.overlay = Overlay::None;
    if spec.to_string() == now {
        model.ui.notice = Some(format!("{name} chooses by {now} as before"));
        return Vec::new();
    }
    model.ui.notice = Some(format!("{name} now chooses by {spec}"));
    vec![Effect::Send(Command::Strategy(pool, spec))]
}

/// Closes what lies on top: an overlay, then the expanded panel, then the selection.
fn close(model: &mut Model) {
    let many = model.snapshot().is_some_and(|snapshot| snapshot.pools.len() > 1);
    let ui = &mut model.ui;
    match ui.overlay {
        Overlay::Strategies { pool, .. } if many => {
            ui.typed.clear();
            let pools = model.frame.as_ref().map_or(&[][..], |frame| &frame.snapshot.pools);
            let at = pools.iter().position(|row| row.id == pool).unwrap_or(0);
            ui.overlay = Overlay::Pools { at };
        }
        Overlay::Filter | Overlay::Search => typing::line_done(model, KeyAction::Close),
        Overlay::None if ui.expanded => ui.expanded = false,
        Overlay::None if !ui.filter.is_empty() => {
            ui.filter.clear();
            model.sort();
        }
        Overlay::None => ui.selected = None,
        _ => ui.overlay = Overlay::None,
    }
}

fn focus(model: &mut Model, by: isize) {
    let panels = layout::panels(model);
    let here = panels.iter().position(|panel| *panel == model.ui.focus).unwrap_or(0);
    let next = (here as isize + by).rem_euclid(panels.len().max(1) as isize) as usize;
    if let Some(panel) = panels.get(next) {
        model.ui.focus = *panel;
    }
}

fn zoom(model: &mut Model, range: usize) {
    model.ui.range = range.min(RANGES.len() - 1);
}

/// Sorts the nodes by a column, or the other way round if they are already; by the next one without one.
fn sort(model: &mut Model, by: Option<SortKey>) {
    model.ui.reversed = by == Some(model.ui.sort) && !model.ui.reversed;
    model.ui.sort = by.unwrap_or_else(|| model.ui.sort.next());
    model.sort();
}

fn theme(model: &mut Model) {
    if model.ui.no_color {
        model.ui.notice = Some("NO_COLOR is set".to_owned());
        return;
    }
    model.ui.theme = model.ui.theme.next();
    model.ui.notice = Some(format!("theme {}", model.ui.theme.name()));
}

fn glyphs(model: &mut Model) {
    model.ui.glyphs = model.ui.glyphs.other();
    model.ui.notice = Some(format!("characters {}", model.ui.glyphs.name()));
}

/// Moves through whatever list has the keys.
fn travel(model: &mut Model, action: KeyAction) {
    match model.ui.overlay {
        Overlay::Palette { at, prompt } => {
            let last = lists::palette(model).len().saturating_sub(1);
            model.ui.overlay = Overlay::Palette { at: moved(action, at, last, 10), prompt };
        }
        Overlay::Pools { at } => {
            let last = lists::pools(model).len().saturating_sub(1);
            model.ui.overlay = Overlay::Pools { at: moved(action, at, last, 8) };
        }
        Overlay::Strategies { pool, at } => {
            let last = lists::strategies(model).len().saturating_sub(1);
            model.ui.overlay = Overlay::Strategies { pool, at: moved(action, at, last, 8) };
        }
        Overlay::Contenders { at } => {
            let last = lists::contenders(model).len().saturating_sub(1);
            model.ui.overlay = Overlay::Contenders { at: moved(action, at, last, 8) };
        }
        Overlay::Filter | Overlay::Search | Overlay::Columns => {}
        // Behind the details of one thing the selection moves on to the next.
        Overlay::Card if model.ui.view == View::Events => events::events(model, action),
        Overlay::Card => travel_nodes(model, action),
        Overlay::Faults => faults::travel(model, action),
        Overlay::None => match model.ui.view {
            View::Live if model.ui.focus != Panel::Log => travel_nodes(model, action),
            View::Live => travel_log(model, action),
            View::Events => events::events(model, action),
            View::Why => travel_decisions(model, action),
            View::Latency => latency::latency(model, action),
            View::Compare => {
                let frame = model.frame.as_ref();
                let lanes = frame.and_then(|frame| frame.comparison.as_ref());
                let last = lanes.map_or(0, |all| all.lanes.len().saturating_sub(1));
                model.ui.lane = moved(action, model.ui.lane, last, last);
            }
        },
    }
}

pub(super) fn moved(action: KeyAction, at: usize, last: usize, page: usize) -> usize {
    let next = match action {
        KeyAction::Up => at.saturating_sub(1),
        KeyAction::Down => at + 1,
        KeyAction::First => 0,
        KeyAction::Last => last,
        KeyAction::PageUp => at.saturating_sub(page),
        KeyAction::PageDown => at + page,
        _ => at,
    };
    next.min(last)
}

fn travel_log(model: &mut Model, action: KeyAction) {
    let height = layout::log_rows(model);
    let entries = model.snapshot().map_or(0, |snapshot| snapshot.log.len());
    let last = entries.saturating_sub(height);
    scroll_log(model, moved(action, model.log_top(), last, height.max(1)));
}

/// Lets the log begin with the entry so far from the newest.
fn scroll_log(model: &mut Model, top: usize) {
    let log = model.snapshot().map_or(&[][..], |snapshot| &snapshot.log);
    let first = log.iter().rev().nth(top).map(|entry| entry.id);
    model.ui.log_at = if top == 0 { None } else { first };
}

fn travel_nodes(model: &mut Model, action: KeyAction) {
    let Some(last) = model.order.len().checked_sub(1) else {
        return;
    };
    let page = layout::node_rows(model).max(1);
    let at = match model.selected_row() {
        Some(row) => moved(action, row, last, page),
        // The first key press selects; it does not also move.
        None if matches!(action, KeyAction::Last) => last,
        None if matches!(action, KeyAction::First) => 0,
        None => model.ui.top.min(last),
    };
    let id = model.snapshot().map(|snapshot| snapshot.nodes[model.order[at]].id);
    model.ui.selected = id;
}

/// Puts right what a message may have made wrong: the focus on a panel that is not there, a scroll
/// position past the end, a selection out of sight.
fn settle(model: &mut Model) {
    let panels = layout::panels(model);
    if !panels.contains(&model.ui.focus) {
        model.ui.focus = Panel::Nodes;
        model.ui.expanded = false;
    }
    let rows = layout::node_rows(model);
    let mut top = model.ui.top.min(model.order.len().saturating_sub(rows));
    if let Some(row) = model.selected_row() {
        top = top.clamp((row + 1).saturating_sub(rows.max(1)), row);
    }
    model.ui.top = top;
    let entries = model.snapshot().map_or(0, |snapshot| snapshot.log.len());
    let last = entries.saturating_sub(layout::log_rows(model));
    if model.log_top() > last {
        scroll_log(model, last);
    }
}

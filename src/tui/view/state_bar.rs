//! The first row: what kind of run it is, whether it moves, the clock, and what is being run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::command::{Frame, Mode, Pace, RunState};
use crate::metrics::Snapshot;
use crate::tui::format::{count, cut, grouped, rate, width};
use crate::tui::model::Model;
use crate::tui::tab::View;
use crate::tui::theme::Role;
use crate::unit::Time;

use super::pen::{self, LabelledFact, Piece, piece};

/// A run that keeps so much of its pace keeps it.
const KEPT: f64 = 0.9;

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let theme = model.theme();
    buf.set_style(area, theme.style(Role::Strip));
    let place = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let Some(frame) = &model.frame else {
        let name = [fact(255, [piece(" PLIMSOLL ", Role::Badge)])];
        let x = pen::facts(buf, place, theme, &name, 1);
        pen::put(buf, place, x + 1, area.y, "waiting for the run", theme.style(Role::StripDim));
        return;
    };
    let facts = facts(model, frame);
    let tabs = tabs(model, &facts, usize::from(place.width));
    let tabs_width = tabs.iter().map(|(text, _)| width(text)).sum::<usize>() as u16;
    let room = place.width.saturating_sub(tabs_width + 1);
    let left = pen::fit(facts, usize::from(room), 1);
    pen::facts(buf, Rect { width: room, ..place }, theme, &left, 1);
    let right = Rect { x: place.right().saturating_sub(tabs_width), ..place };
    pen::line(buf, right.intersection(place), 0, theme, &tabs);
}

/// Returns the view whose tab is at this column.
pub(super) fn tab_at(model: &Model, area: Rect, x: u16) -> Option<View> {
    let place = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let facts = facts(model, model.frame.as_deref()?);
    let tabs = tabs(model, &facts, usize::from(place.width));
    let all: usize = tabs.iter().map(|(text, _)| width(text)).sum();
    let mut from = usize::from(place.right()).saturating_sub(all);
    // A tab begins with its number; spaces stand between tabs.
    let mut at = None;
    for (text, _) in tabs {
        let number = text.chars().next().and_then(|first| {
            let number = first.to_digit(10)?;
            View::ALL.into_iter().find(|view| view.number() == number as usize)
        });
        at = if text == " " { None } else { number.or(at) };
        let to = from + width(&text);
        if (from..to).contains(&usize::from(x)) {
            return at;
        }
        from = to;
    }
    None
}

/// From so many columns on the tabs have their full names, and from so many short ones.
const TABS_FULL: u16 = 110;
const TABS_SHORT: u16 = 78;
/// Facts of this rank have room before names of tabs.
const URGENT: u8 = 205;

/// The tabs with as much of their names as there is room for.
fn tabs(model: &Model, facts: &[LabelledFact], room: usize) -> Vec<Piece> {
    let urgent: usize = facts.iter().filter(|f| f.rank >= URGENT).map(|f| f.width() + 1).sum();
    let names: [fn(View, bool) -> &'static str; 4] = [
        |view, _| view.name(),
        |view, _| view.short(),
        |view, shown| if shown { view.name() } else { "" },
        |_, _| "",
    ];
    let first = match room as u16 {
        TABS_FULL.. => 0,
        TABS_SHORT.. => 1,
        _ => 2,
    };
    let mut tabs = Vec::new();
    for name in &names[first..] {
        tabs = tab_pieces(model, *name);
        let taken: usize = tabs.iter().map(|(text, _)| width(text)).sum();
        if taken + urgent <= room {
            break;
        }
    }
    tabs
}

fn tab_pieces(model: &Model, name: fn(View, bool) -> &'static str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for view in View::ALL {
        let shown = view == model.ui.view;
        if !pieces.is_empty() {
            pieces.push(piece(" ", Role::Strip));
        }
        let (number, name) = (view.number(), name(view, shown));
        if shown {
            pieces.push(piece(format!("{number}{name}"), Role::Badge));
        } else {
            pieces.push(piece(number.to_string(), Role::StripName));
            pieces.push(piece(name, Role::Strip));
        }
    }
    pieces
}

fn fact<const N: usize>(rank: u8, pieces: [Piece; N]) -> LabelledFact {
    LabelledFact { pieces: pieces.into(), rank }
}

fn labelled(rank: u8, label: &str, value: impl Into<String>) -> LabelledFact {
    let label = piece(format!(" {label} "), Role::StripDim);
    fact(rank, [label, piece(value, Role::StripStrong)])
}

fn facts(model: &Model, frame: &Frame) -> Vec<LabelledFact> {
    let snapshot = &frame.snapshot;
    let mut facts = vec![
        fact(255, [piece(mode(frame.mode), Role::Badge), state(model, frame)]),
        fact(250, [piece(format!(" {}", frame.snapshot.now), Role::Strip)]),
    ];
    facts.extend(frame.end.map(|at| end(at, snapshot.now)));
    facts.extend([fact(
        200,
        [piece(format!(" {}", cut(&frame.scenario, 28, "…")), Role::StripName)],
    )]);
    if !snapshot.pools.is_empty() {
        facts.push(fact(190, [piece(cut(&strategy(snapshot), 28, "…"), Role::StripName)]));
    }
    facts.push(labelled(150, "seed", frame.seed.to_string()));
    if (frame.load - 1.0).abs() > 1e-9 {
        let load = format!("{}{}", model.glyphs().times, frame.load);
        facts.push(labelled(185, "load", load));
    }
    facts.extend(pressed(snapshot));
    facts.extend(panic(snapshot));
    if let Some(reached) = behind(frame) {
        let words = format!("{}{} reached", rate(reached), model.glyphs().times);
        facts.push(fact(180, [piece(format!(" {words}"), Role::StripStrong)]));
    }
    facts.push(nodes_up(snapshot));
    facts.push(labelled(120, "arrived", grouped(snapshot.requests.arrived)));
    if model.closed && !matches!(frame.state, RunState::Done | RunState::Failed(_)) {
        facts.push(fact(240, [piece(" engine has ended", Role::StripStrong)]));
    }
    facts
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Sim => " SIM ",
        Mode::Replay => " REPLAY ",
        Mode::Live => " LIVE ",
    }
}

fn state(model: &Model, frame: &Frame) -> Piece {
    let glyphs = model.glyphs();
    if model.ui.frozen {
        let newest = model.newer.as_ref().map_or(frame.snapshot.now, |newer| newer.snapshot.now);
        let age = newest.since(frame.snapshot.now).seconds();
        return piece(format!(" {} FROZEN {age:.0}s ", glyphs.pause), Role::Paused);
    }
    if let Some(edge) = frame.edge {
        let back = edge.since(frame.snapshot.now).seconds();
        return piece(format!(" {} AT -{back:.1}s ", glyphs.back), Role::Paused);
    }
    match &frame.state {
        RunState::Running if frame.mode == Mode::Live => {
            piece(format!(" {} LIVE ", glyphs.up), Role::Running)
        }
        RunState::Running => {
            piece(format!(" {} RUN {} ", glyphs.run, pace(model, frame.pace)), Role::Running)
        }
        RunState::Paused => piece(format!(" {} PAUSED ", glyphs.pause), Role::Paused),
        RunState::Done => piece(format!(" {} DONE ", glyphs.done), Role::Done),
        RunState::Failed(why) => {
            piece(format!(" {} FAILED {} ", glyphs.failed, cut(why, 30, glyphs.more)), Role::Failed)
        }
    }
}

fn pace(model: &Model, pace: Pace) -> String {
    let times = model.glyphs().times;
    match pace {
        Pace::Fastest => "max".to_owned(),
        Pace::Times(pace) if pace > 0.0 && pace < 1.0 => {
            let parts = 1.0 / pace;
            let whole = (parts - parts.round()).abs() < 0.005 * parts;
            if whole { format!("1/{parts:.0}{times}") } else { format!("{pace:.2}{times}") }
        }
        Pace::Times(pace) => format!("{}{times}", count(pace)),
    }
}

/// The speed reached, where it is not the one asked for, or nobody asked for any.
fn behind(frame: &Frame) -> Option<f64> {
    let reached = frame.reached.filter(|_| frame.state == RunState::Running)?;
    match frame.pace {
        Pace::Fastest => Some(reached),
        Pace::Times(asked) => (reached < asked * KEPT).then_some(reached),
    }
}

/// Where the workload ends, or that it has ended and what is under way is waited for.
fn end(end: Time, now: Time) -> LabelledFact {
    let text = end.to_string();
    let text = text.strip_suffix(".0").unwrap_or(&text);
    let words = if now > end { format!("after {text}, draining") } else { format!("/ {text}") };
    fact(185, [piece(words, Role::Strip)])
}

/// The strategy of the first pool, and how many other pools there are.
fn strategy(snapshot: &Snapshot) -> String {
    match snapshot.pools.as_slice() {
        [] => String::new(),
        [only] => only.strategy.clone(),
        [first, others @ ..] => format!("{} +{}", first.strategy, others.len()),
    }
}

/// What load makes the worst route do, and how many others do something.
fn pressed(snapshot: &Snapshot) -> Option<LabelledFact> {
    let [worst, others @ ..] = snapshot.pressed.as_slice() else { return None };
    let mut words = Vec::new();
    if let Some(level) = &worst.level {
        words.push(format!("ladder {level}"));
    }
    if !worst.shed.is_empty() {
        words.push(format!("sheds {}", worst.shed.join(", ")));
    }
    let route = if worst.route.is_empty() { String::new() } else { format!("{}: ", worst.route) };
    let others = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
    let text = format!(" {}{}{others}", cut(&route, 20, "…"), words.join(", "));
    // What happens matters more than what it is called.
    Some(fact(205, [piece(text, Role::Warn)]))
}

/// Where nothing is well.
fn panic(snapshot: &Snapshot) -> Option<LabelledFact> {
    let [first, others @ ..] = snapshot.panics.as_slice() else { return None };
    let route =
        if first.is_empty() { String::new() } else { format!("{}: ", cut(first, 20, "…")) };
    let others = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
    let text = format!(" {route}PANIC, nothing is well{others}");
    Some(fact(206, [piece(text, Role::Warn)]))
}

fn nodes_up(snapshot: &Snapshot) -> LabelledFact {
    let sum = |of: fn(&crate::metrics::PoolRow) -> u32| {
        snapshot.pools.iter().map(|pool| u64::from(of(pool))).sum::<u64>()
    };
    labelled(140, "nodes up", format!("{}/{}", sum(|pool| pool.up), sum(|pool| pool.nodes)))
}

//! What is typed: searches of lists, filters, and commands with their arguments.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::balance::StrategySpec;
use crate::command::Pace;
use crate::metrics::HeatScope;
use crate::tui::keys::{Context, KeyAction};
use crate::tui::lists::{self, CommandWord, PaletteRun};
use crate::tui::model::{Model, Overlay};
use crate::tui::tab::View;
use crate::tui::theme::ThemeName;
use crate::unit::{ClassId, NodeId};

use super::steer;
use super::{Effect, kill, pace, perform, show, take_strategy_spec};

/// No line is longer than this.
const LINE_MAX: usize = 120;

/// Takes in a character where a line is typed. Returns whether that was so.
pub(super) fn typed(model: &mut Model, event: KeyEvent) -> bool {
    let KeyCode::Char(c) = event.code else { return false };
    let plain = !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    if !plain || !matches!(model.context(), Context::List | Context::Line) {
        return false;
    }
    // A list that was opened by a key is closed by one, as long as nothing was typed.
    let by_key = !matches!(model.ui.overlay, Overlay::Palette { prompt: true, .. });
    if model.context() == Context::List
        && by_key
        && model.ui.typed.is_empty()
        && matches!(c, 'q' | '?')
    {
        super::close(model);
        return true;
    }
    if line(model).chars().count() < LINE_MAX && !c.is_control() {
        line(model).push(c);
        changed(model);
    }
    true
}

/// The line that is being typed.
fn line(model: &mut Model) -> &mut String {
    match model.ui.overlay {
        Overlay::Filter => &mut model.ui.filter,
        Overlay::Search => &mut model.ui.events.search,
        _ => &mut model.ui.typed,
    }
}

pub(super) fn erase(model: &mut Model, all: bool) {
    if all {
        line(model).clear();
    } else {
        line(model).pop();
    }
    changed(model);
}

/// After a change of what was typed the first line that matches is selected.
fn changed(model: &mut Model) {
    match &mut model.ui.overlay {
        Overlay::Palette { at, .. }
        | Overlay::Pools { at }
        | Overlay::Strategies { at, .. }
        | Overlay::Contenders { at } => {
            *at = 0;
        }
        Overlay::Filter => model.sort(),
        Overlay::Search => super::events::jump(model),
        Overlay::None | Overlay::Card | Overlay::Faults | Overlay::Columns => {}
    }
}

/// Completes what was typed to the word of the selected line.
pub(super) fn complete(model: &mut Model) {
    if let Overlay::Palette { at, .. } = model.ui.overlay
        && let Some(entry) = lists::palette(model).get(at)
    {
        model.ui.typed = format!("{} ", entry.word);
    }
}

/// Runs the selected line of the palette, or the command that was typed with its argument.
pub(super) fn run(model: &mut Model, at: usize) -> Vec<Effect> {
    let typed = model.ui.typed.trim().to_owned();
    if let Some((word, argument)) = typed.split_once(' ')
        && let Some(command) = CommandWord::ALL.into_iter().find(|known| known.word() == word)
    {
        model.ui.overlay = Overlay::None;
        return command_with(model, command, argument.trim());
    }
    let Some(entry) = lists::palette(model).into_iter().nth(at) else {
        model.ui.notice = Some(format!("nothing is called `{typed}`"));
        return Vec::new();
    };
    match entry.run {
        PaletteRun::Argument(_) => {
            model.ui.typed = format!("{} ", entry.word);
            Vec::new()
        }
        PaletteRun::Action(context, action) => {
            model.ui.overlay = Overlay::None;
            // A key of another view works there.
            let mut effects = match context {
                Context::View(view) => show(model, view),
                _ => Vec::new(),
            };
            effects.extend(perform(model, action));
            effects
        }
    }
}

fn command_with(model: &mut Model, command: CommandWord, argument: &str) -> Vec<Effect> {
    let result = match command {
        CommandWord::Speed => speed(model, argument),
        CommandWord::Kill => node(model, argument).map(|id| kill(model, id, true)),
        CommandWord::Heal => node(model, argument).map(|id| kill(model, id, false)),
        CommandWord::Strategy => strategy(model, argument),
        CommandWord::Theme => theme(model, argument),
        CommandWord::View => view(argument).map(|view| show(model, view)),
        CommandWord::Filter => {
            argument.clone_into(&mut model.ui.filter);
            model.sort();
            Ok(show(model, View::Live))
        }
        CommandWord::Only => only(model, argument),
        CommandWord::Compare => Ok(steer::compare_scenario(model, argument)),
    };
    result.unwrap_or_else(|problem| {
        model.ui.notice = Some(problem);
        Vec::new()
    })
}

fn speed(model: &mut Model, argument: &str) -> Result<Vec<Effect>, String> {
    let wanted = match argument {
        "max" => Pace::Fastest,
        number => {
            let times = number.trim_end_matches(['x', '×']).parse::<f64>().ok();
            let times = times.filter(|times| (0.01..=1e6).contains(times));
            Pace::Times(times.ok_or("a speed is a number from 0.01 to 1000000, or max")?)
        }
    };
    Ok(pace(model, |_| wanted))
}

fn node(model: &Model, name: &str) -> Result<NodeId, String> {
    let rows = model.snapshot().map_or(&[][..], |snapshot| &snapshot.nodes);
    let found = rows.iter().find(|row| row.name == name).map(|row| row.id);
    found.ok_or_else(|| format!("there is no node `{name}`"))
}

fn strategy(model: &mut Model, name: &str) -> Result<Vec<Effect>, String> {
    let pools = model.snapshot().map_or(&[][..], |snapshot| &snapshot.pools);
    let selected = model.ui.selected.and_then(|id| model.node(id)).map(|row| row.pool);
    let pool = selected.or(pools.first().map(|pool| pool.id)).ok_or("there is no pool yet")?;
    let spec = StrategySpec::named(name).ok_or_else(|| format!("there is no strategy `{name}`"))?;
    Ok(take_strategy_spec(model, pool, spec))
}

fn theme(model: &mut Model, name: &str) -> Result<Vec<Effect>, String> {
    if model.ui.no_color {
        return Err("NO_COLOR is set".to_owned());
    }
    model.ui.theme = ThemeName::parse(name)?;
    Ok(Vec::new())
}

fn view(name: &str) -> Result<View, String> {
    let name = name.to_lowercase();
    let found = View::ALL.into_iter().find(|view| view.name().to_lowercase().starts_with(&name));
    found.ok_or_else(|| "views are live, compare, latency, why, events".to_owned())
}

/// Shows one class or one node in the map of latencies.
fn only(model: &mut Model, name: &str) -> Result<Vec<Effect>, String> {
    let classes = model.snapshot().map_or(&[][..], |snapshot| &snapshot.classes);
    let class = classes.iter().position(|class| class.name == name);
    model.ui.heat.scope = match class {
        Some(at) => HeatScope::Class(ClassId(at as u16)),
        None if name == "all" => HeatScope::All,
        None => {
            let id =
                node(model, name).map_err(|_| format!("no class or node is called `{name}`"))?;
            model.ui.selected = Some(id);
            HeatScope::Node(id)
        }
    };
    Ok(show(model, View::Latency))
}

/// Keeps or drops what was typed into a line.
pub(super) fn line_done(model: &mut Model, action: KeyAction) {
    if action == KeyAction::Close {
        erase(model, true);
    }
    model.ui.overlay = Overlay::None;
}

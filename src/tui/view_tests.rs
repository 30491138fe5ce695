//! Tests of views, of what is typed, and of commands.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::KeyCode;
use insta::assert_snapshot;

use super::model::{Model, Overlay};
use super::tab::View;
use super::tests::{keys, model, model_of, picture, press, render, sent, text};
use super::theme::ThemeName;
use super::update::{Effect, Msg, update};
use super::{Exit, fixture, lists};
use crate::balance::StrategySpec;
use crate::command::{Command, Frame, Pace};
use crate::metrics::{LogEntry, LogLevel, Snapshot};
use crate::unit::{NodeId, PoolId};

/// The sizes at which every view is looked at.
const SIZES: [((u16, u16), &str); 5] = [
    ((80, 24), "80x24"),
    ((120, 40), "120x40"),
    ((200, 60), "200x60"),
    ((60, 16), "60x16"),
    ((40, 10), "40x10"),
];

#[test]
fn views_have_pictures_at_every_size() {
    for (size, name) in SIZES {
        assert_snapshot!(format!("compare_{name}"), picture(size, "2"));
        assert_snapshot!(format!("events_{name}"), picture(size, "5jj"));
    }
    assert_snapshot!("help_200x60", picture((200, 60), "?"));
    assert_snapshot!("palette_typed_80x24", picture((80, 24), ":speed"));
    let card = |size, pressed| {
        let mut model = model(size);
        keys(&mut model, pressed);
        press(&mut model, KeyCode::Enter);
        text(&render(&model))
    };
    assert_snapshot!("event_card_80x24", card((80, 24), "5jjj"));
    assert_snapshot!("node_card_80x24", card((80, 24), "jjj"));
    assert_snapshot!("node_card_120x40", card((120, 40), "jjjjj"));
    assert_snapshot!("filter_80x24", picture((80, 24), "/p99>2"));
    assert_snapshot!("events_search_80x24", picture((80, 24), "5/api-west"));
}

#[test]
fn commands_with_arguments_do_what_keys_do() {
    let mut model = model((120, 40));
    let run = |model: &mut Model, typed: &str| {
        keys(model, typed);
        sent(&press(model, KeyCode::Enter))
    };
    assert_eq!(run(&mut model, ":speed 100"), [Command::Pace(Pace::Times(100.0))]);
    assert_eq!(run(&mut model, ":speed max"), [Command::Pace(Pace::Fastest)]);
    assert_eq!(run(&mut model, ":kill h100-2"), [Command::Kill(NodeId(1))]);
    assert_eq!(run(&mut model, ":heal h100-2"), [Command::Heal(NodeId(1))]);
    assert_eq!(run(&mut model, ":kill nobody"), []);
    assert_eq!(model.ui.notice.as_deref(), Some("there is no node `nobody`"));
    assert_eq!(run(&mut model, ":speed fast"), []);
    assert!(model.ui.notice.as_deref().is_some_and(|said| said.contains("0.01")));
    run(&mut model, ":theme light");
    assert_eq!(model.ui.theme, ThemeName::Light);
    run(&mut model, ":view lat");
    assert_eq!(model.ui.view, View::Latency);
    run(&mut model, ":filter h100");
    assert_eq!((model.ui.view, model.order.len()), (View::Live, 3));
    let spec = StrategySpec::named("round_robin").unwrap();
    assert_eq!(run(&mut model, ":strategy round_robin"), [Command::Strategy(PoolId(0), spec)]);
    assert_eq!(run(&mut model, ":pause"), [Command::Pause(true)]);
    assert_eq!(model.ui.overlay, Overlay::None);
}

#[test]
fn every_line_of_the_palette_is_found_by_its_word_and_runs() {
    let all = lists::palette(&model((120, 40)));
    assert!(all.len() > 50);
    for entry in all {
        let mut model = model((120, 40));
        keys(&mut model, &format!(":{}", entry.word));
        let first = lists::palette(&model)[0].clone();
        assert_eq!(first.word, entry.word);
        press(&mut model, KeyCode::Enter);
        let argument = matches!(first.run, lists::PaletteRun::Argument(_));
        assert_eq!(model.ui.typed == format!("{} ", entry.word), argument, "{}", entry.word);
    }
}

#[test]
fn a_node_can_be_killed_and_the_run_paused_while_its_details_are_open() {
    let mut model = model((80, 24));
    keys(&mut model, "j");
    press(&mut model, KeyCode::Enter);
    assert_eq!(sent(&keys(&mut model, "x ")), [Command::Kill(NodeId(0)), Command::Pause(true)]);
    assert_eq!(model.ui.overlay, Overlay::Card);
    keys(&mut model, "jq");
    assert_eq!((model.ui.overlay, model.ui.selected), (Overlay::None, Some(NodeId(1))));
}

#[test]
fn q_closes_help_and_lists_until_something_is_typed() {
    let mut model = model((80, 24));
    for open in ["?", "a"] {
        let effects = keys(&mut model, &format!("{open}q"));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Leave(_))));
        assert_eq!(model.ui.overlay, Overlay::None);
    }
    keys(&mut model, "?leastq");
    assert_eq!(model.ui.typed, "leastq");
    press(&mut model, KeyCode::Esc);
    keys(&mut model, ":q");
    assert_eq!(model.ui.typed, "q", "a command may begin with it");
    press(&mut model, KeyCode::Esc);
    assert_eq!(keys(&mut model, "q").last(), Some(&Effect::Leave(Exit::Quit)));
}

#[test]
fn what_is_read_in_the_events_stays_while_others_come() {
    let mut model = model((60, 16));
    keys(&mut model, "5jjj");
    let shown = |model: &Model| text(&render(model)).lines().skip(3).take(11).collect::<String>();
    let (before, read) = (shown(&model), model.event_at());
    let mut snapshot = fixture::snapshot();
    let newest = snapshot.log.iter().map(|entry| entry.id).max().unwrap_or(0);
    for place in 1..=20 {
        let last = snapshot.log[snapshot.log.len() - 1].clone();
        snapshot.log.push(LogEntry { id: newest + place, text: "later".to_owned(), ..last });
    }
    let frame = Frame { snapshot: Arc::new(snapshot), ..fixture::frame() };
    update(&mut model, Msg::Frame(Arc::new(frame), Duration::from_secs(1)));
    assert_eq!(model.event_at(), read + 20);
    assert_eq!(shown(&model), before);
    keys(&mut model, "g");
    assert!(shown(&model).contains("later"), "the newest is followed again");
}

#[test]
fn events_are_filtered_by_kind_and_node_and_searched() {
    let mut model = model((120, 40));
    keys(&mut model, "5v");
    assert!(model.events().iter().all(|entry| entry.level == LogLevel::Injected));
    keys(&mut model, "vvvv/h100-3");
    press(&mut model, KeyCode::Enter);
    let found = |model: &Model| model.events()[model.event_at()].text.clone();
    let first = found(&model);
    assert!(first.contains("h100-3"));
    keys(&mut model, "n");
    assert!(found(&model).contains("h100-3") && found(&model) != first);
    keys(&mut model, "N");
    assert_eq!(found(&model), first);
}

#[test]
fn latency_pictures() {
    for (size, name) in SIZES {
        assert_snapshot!(format!("latency_{name}"), picture(size, "3"));
    }
    let mut model = model((120, 40));
    keys(&mut model, "3ooojjmL");
    for code in [KeyCode::Left, KeyCode::Left, KeyCode::Up, KeyCode::Up] {
        press(&mut model, code);
    }
    assert_snapshot!("latency_node_120x40", text(&render(&model)));
    assert_snapshot!("latency_ascii_80x24", picture((80, 24), "3T(("));
    let empty = Frame { snapshot: Arc::new(Snapshot::default()), ..fixture::frame() };
    let mut model = model_of(empty, (80, 24));
    keys(&mut model, "3");
    assert_snapshot!("latency_empty_80x24", text(&render(&model)));
}

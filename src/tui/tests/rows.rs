//! The table of nodes in its other shapes: sorted by a letter, as a grid, rolled up, clicked at.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use insta::assert_snapshot;

use super::{crowd, fixture, keys, model, model_of, press, render, text};
use crate::command::{Frame, NodeGroup};
use crate::metrics::PoolRow;
use crate::tui::keys::KeyMap;
use crate::tui::model::{Model, Overlay, RowsOf, SortKey};
use crate::tui::tab::View;
use crate::tui::update::{Msg, update};
use crate::tui::{Exit, Options};
use crate::unit::{NodeId, PoolId};

#[test]
fn a_letter_chooses_the_column_and_once_more_the_other_way() {
    let mut letters: Vec<char> = SortKey::ALL.iter().map(|key| key.letter()).collect();
    letters.sort_unstable();
    letters.dedup();
    assert_eq!(letters.len(), SortKey::ALL.len(), "each has its own");
    let mut model = model((120, 40));
    keys(&mut model, "s");
    assert_eq!(model.ui.overlay, Overlay::Columns);
    let asked = text(&render(&model));
    assert!(asked.contains("sort by") && asked.contains("9 p99"), "{asked}");
    keys(&mut model, "9");
    assert_eq!(
        (model.ui.sort, model.ui.reversed, model.ui.overlay),
        (SortKey::P99, false, Overlay::None)
    );
    let worst: Vec<usize> = model.order.clone();
    keys(&mut model, "s9");
    assert!(model.ui.reversed);
    assert_ne!(model.order, worst);
    keys(&mut model, "se");
    assert_eq!((model.ui.sort, model.ui.reversed), (SortKey::Errors, false));
    keys(&mut model, "s");
    press(&mut model, KeyCode::Esc);
    assert_eq!((model.ui.sort, model.ui.overlay), (SortKey::Errors, Overlay::None));
}

/// The same nodes in two regions and two pools.
fn halves(mut frame: Frame) -> Frame {
    let mut shown = (*frame.snapshot).clone();
    let second = PoolRow { id: PoolId(1), name: "spare".to_owned(), ..shown.pools[0].clone() };
    shown.pools.push(second);
    let half = shown.nodes.len() / 2;
    shown.nodes[half..].iter_mut().for_each(|row| row.pool = PoolId(1));
    frame.snapshot = Arc::new(shown);
    let nodes: Vec<NodeId> = frame.snapshot.nodes.iter().map(|row| row.id).collect();
    let (east, west) = nodes.split_at(nodes.len() / 2);
    let group = |name: &str, nodes: &[NodeId]| NodeGroup {
        word: "region",
        name: name.to_owned(),
        nodes: nodes.to_vec(),
    };
    Frame { groups: Arc::new([group("east", east), group("west", west)]), ..frame }
}

fn showing(mut model: Model, rows: RowsOf) -> Model {
    for _ in 0..8 {
        if model.ui.rows == rows {
            return model;
        }
        keys(&mut model, "c");
    }
    panic!("no {rows:?} here");
}

#[test]
fn a_thousand_nodes_are_one_picture() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut model = showing(model_of(crowd(1_000), size), RowsOf::Grid);
        keys(&mut model, "jj");
        assert_snapshot!(format!("grid_{}x{}", size.0, size.1), text(&render(&model)));
    }
}

#[test]
fn the_selected_node_of_a_grid_is_always_in_sight() {
    let mut model = showing(model_of(crowd(9_000), (80, 24)), RowsOf::Grid);
    keys(&mut model, "G");
    let shown = text(&render(&model));
    assert!(shown.contains("› node-8999") && shown.contains("-9000 of 9000"), "{shown}");
    keys(&mut model, "g");
    let shown = text(&render(&model));
    assert!(shown.contains("› node-0 ") && shown.contains(" 1-"), "{shown}");
}

#[test]
fn nodes_are_rolled_up_by_pool_and_by_region() {
    for (rows, name) in [(RowsOf::Pools, "pools"), (RowsOf::Regions, "regions")] {
        let model = showing(model_of(halves(crowd(300)), (120, 40)), rows);
        assert_snapshot!(format!("rolled_up_by_{name}_120x40"), text(&render(&model)));
    }
}

fn click(model: &mut Model, column: u16, row: u16) {
    let kind = MouseEventKind::Down(MouseButton::Left);
    mouse(model, MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
}

fn mouse(model: &mut Model, event: MouseEvent) {
    update(model, Msg::Mouse(event));
}

#[test]
fn a_click_selects_a_node_and_one_more_tells_it_in_full() {
    let mut model = model((120, 40));
    let shown = text(&render(&model));
    let row = shown.lines().position(|line| line.contains("l4-2")).expect("it is listed") as u16;
    click(&mut model, 10, row);
    let chosen = model.ui.selected.and_then(|id| model.node(id)).map(|row| row.name.clone());
    assert_eq!(chosen.as_deref(), Some("l4-2"));
    click(&mut model, 10, row);
    assert_eq!(model.ui.overlay, Overlay::Card);
    click(&mut model, 0, 30);
    assert_eq!(model.ui.overlay, Overlay::None);
    let wheel = MouseEvent {
        kind: MouseEventKind::ScrollUp,
        column: 1,
        row: 1,
        modifiers: KeyModifiers::NONE,
    };
    mouse(&mut model, wheel);
    assert_ne!(model.ui.selected.and_then(|id| model.node(id)).map(|row| row.name.clone()), chosen);
}

#[test]
fn a_click_on_a_tab_shows_its_view() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        for view in View::ALL {
            let mut model = model(size);
            let first = text(&render(&model)).lines().next().expect("a row").to_owned();
            let tab = format!("{}{}", view.number(), view.short());
            let at = first.find(&tab).or_else(|| first.rfind(&view.number().to_string()));
            let at = first[..at.expect("it has a tab")].chars().count();
            click(&mut model, at as u16, 0);
            assert_eq!(model.ui.view, view, "{size:?}: {first}");
        }
    }
}

#[test]
fn keys_of_ones_own_work_and_are_shown() {
    let keys_of = [("kill-or-heal", vec!["K".to_owned()]), ("quit", vec!["Q".to_owned()])];
    let map = KeyMap::with(keys_of.iter().map(|(word, keys)| (*word, keys.as_slice())));
    let options = Options { keys: map.expect("sound"), ..Options::default() };
    let mut model = Model::new(&options);
    update(&mut model, Msg::Resize(120, 40));
    let frame = Arc::new(fixture::frame());
    update(&mut model, Msg::Frame(frame, std::time::Duration::ZERO));
    let shown = text(&render(&model));
    assert!(shown.contains("K kill/heal") && shown.contains("Q quit"), "{shown}");
    keys(&mut model, "jq");
    keys(&mut model, "?");
    assert!(text(&render(&model)).contains("K"), "the help has it too");
    press(&mut model, KeyCode::Esc);
    let left = keys(&mut model, "Q");
    assert!(left.iter().any(|e| matches!(e, super::Effect::Leave(Exit::Quit))));
}

//! The picture as text, in a file of its own.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::model::Model;
use super::view;

/// Files of one name beside each other: more are not looked for.
const FILES_MAX: u32 = 1_000;

/// Writes what the screen shows into a new file here. Returns what is to be said of it.
pub(super) fn save(model: &Model) -> String {
    let name = model.frame.as_ref().map_or("plimsoll", |frame| frame.scenario.as_str());
    // A name may hold what no name of a file may.
    let name = name.replace(['/', '\\'], "-");
    let text = text(model);
    for number in 1..FILES_MAX {
        let path = format!("{name}-screen-{number}.txt");
        match File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => return format!("written: {path}"),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return format!("not written: {path}: {error}"),
        }
    }
    format!("not written: there are {FILES_MAX} files of this name")
}

/// The picture, a line for each row.
fn text(model: &Model) -> String {
    let (columns, rows) = model.ui.size;
    let area = Rect::new(0, 0, columns, rows);
    let mut picture = Buffer::empty(area);
    view::view(model, area, &mut picture);
    let mut text = String::new();
    for y in 0..rows {
        let row: String = (0..columns).map(|x| picture[(x, y)].symbol()).collect();
        // Writing to memory does not fail.
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

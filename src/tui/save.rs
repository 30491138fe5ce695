//! New files beside the person: never over one that is there.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};

use super::model::Model;
use super::view;

/// Things of one name beside each other: more are not looked for.
const PLACES_MAX: u32 = 1_000;

/// Makes a file or a folder here, of the first name that is free: `quickstart-screen-1.txt` of the stem
/// `quickstart-screen` and the extension `.txt`. Returns its name, or why there is none.
///
/// # Errors
/// If it cannot be made, or too many of this name are there.
pub fn new_place(
    stem: &str,
    extension: &str,
    mut make: impl FnMut(&str) -> io::Result<()>,
) -> Result<String, String> {
    // A name may hold what no name of a file may.
    let stem = stem.replace(['/', '\\'], "-");
    for number in 1..PLACES_MAX {
        let place = format!("{stem}-{number}{extension}");
        match make(&place) {
            Ok(()) => return Ok(place),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("{place}: {error}")),
        }
    }
    Err(format!("there are {PLACES_MAX} of this name"))
}

/// Writes a text into a new file here. Returns its name, or why it could not be.
///
/// # Errors
/// If it cannot be written, or too many files of this name are there.
pub fn new_file(stem: &str, extension: &str, text: &str) -> Result<String, String> {
    new_place(stem, extension, |place| {
        File::create_new(place).and_then(|mut file| file.write_all(text.as_bytes()))
    })
}

/// Writes what the screen shows into a new file here. Returns what is to be said of it.
pub(super) fn save(model: &Model) -> String {
    let name = model.frame.as_ref().map_or("plimsoll", |frame| frame.scenario.as_str());
    match new_file(&format!("{name}-screen"), ".txt", &text(model)) {
        Ok(file) => format!("written: {file}"),
        Err(why) => format!("not written: {why}"),
    }
}

/// The picture, a line for each row.
fn text(model: &Model) -> String {
    let picture = view::picture(model);
    let area = picture.area;
    let mut text = String::new();
    for y in 0..area.height {
        let row: String = (0..area.width).map(|x| picture[(x, y)].symbol()).collect();
        // Writing to memory does not fail.
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

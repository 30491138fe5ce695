//! What the screen showed, as one animated picture (SVG): every browser plays it, and a page may show it
//! as it shows any image. Rows that are alike stand in the file once.

use std::collections::HashMap;
use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// A cell is so wide and so high.
const CELL: (f64, f64) = (8.0, 16.0);
/// The letters stand so far above the lower edge of their cell.
const BASELINE: f64 = 4.5;
/// Words of so many letters are made as wide as their cells.
const EXACT_FROM: usize = 12;
/// What stands for the terminal's own colours.
const INK: &str = "#c9d1d9";
const PAPER: &str = "#0d1117";
/// At most so many pictures.
const PICTURES_MAX: usize = 1_000;

/// Pictures, each with how long it is shown.
#[derive(Debug, Default)]
pub struct Recording {
    pictures: Vec<(Buffer, f64)>,
}

impl Recording {
    /// Shows one more for so many seconds. One like the one before prolongs it.
    pub(super) fn show(&mut self, picture: Buffer, seconds: f64) {
        let full = self.pictures.len() >= PICTURES_MAX;
        match self.pictures.last_mut() {
            Some((last, shown)) if full || *last == picture => *shown += seconds,
            _ => self.pictures.push((picture, seconds)),
        }
    }

    /// Returns the picture, all of one size.
    #[must_use]
    pub fn svg(&self) -> String {
        let area = self.pictures.first().map_or_else(Default::default, |(first, _)| first.area);
        let (wide, high) = (f64::from(area.width) * CELL.0, f64::from(area.height) * CELL.1);
        let total: f64 = self.pictures.iter().map(|(_, seconds)| seconds).sum::<f64>().max(0.1);
        let mut rows: HashMap<String, usize> = HashMap::new();
        let mut inks: Vec<String> = Vec::new();
        let (mut defined, mut frames, mut steps) = (String::new(), String::new(), String::new());
        let mut shown = 0.0;
        for (at, (picture, seconds)) in self.pictures.iter().enumerate() {
            let top = high * at as f64;
            // Writing to memory does not fail.
            let _ =
                write!(steps, "{:.4}%{{transform:translateY(-{top:.0}px)}}", shown / total * 100.0);
            shown += seconds;
            for y in 0..area.height {
                let row = row(picture, y, &mut inks);
                if row.is_empty() {
                    continue;
                }
                let fresh = rows.len();
                let number = *rows.entry(row).or_insert_with_key(|row| {
                    let _ = write!(defined, "<g id=\"r{fresh}\">{row}</g>");
                    fresh
                });
                let down = top + f64::from(y) * CELL.1;
                let _ = write!(frames, "<use href=\"#r{number}\" y=\"{down:.0}\"/>");
            }
        }
        let mut styles = String::new();
        for (number, ink) in inks.iter().enumerate() {
            let _ = write!(styles, ".c{number}{{fill:{ink}}}");
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" \
             viewBox=\"0 0 {wide:.0} {high:.0}\" \
             font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" \
             font-size=\"13.3\"><style>text{{white-space:pre}}.b{{font-weight:bold}}.u{{text-decoration:\
             underline}}{styles}.s{{animation:k {total:.2}s steps(1,end) \
             infinite}}@keyframes k{{{steps}}}</style><defs>{defined}</defs>\
             <rect width=\"{wide:.0}\" height=\"{high:.0}\" fill=\"{PAPER}\"/>\
             <g class=\"s\">{frames}</g></svg>\n"
        )
    }
}

/// How a run of cells looks.
#[derive(Clone, PartialEq)]
struct Look {
    ink: String,
    paper: Option<String>,
    bold: bool,
    underlined: bool,
}

impl Look {
    fn of(cell: &Cell) -> Look {
        let reversed = cell.modifier.contains(Modifier::REVERSED);
        let ink = color(cell.fg).unwrap_or_else(|| INK.to_owned());
        let paper = color(cell.bg);
        let (ink, paper) = match reversed {
            true => (paper.unwrap_or_else(|| PAPER.to_owned()), Some(ink)),
            false => (ink, paper),
        };
        Look {
            ink,
            paper: paper.filter(|paper| paper != PAPER),
            bold: cell.modifier.contains(Modifier::BOLD),
            underlined: cell.modifier.contains(Modifier::UNDERLINED),
        }
    }
}

/// A row of a picture, at the height of the first; colours are named by their place among `inks`.
fn row(picture: &Buffer, y: u16, inks: &mut Vec<String>) -> String {
    let mut class = |ink: &String| {
        let at = inks.iter().position(|known| known == ink);
        at.unwrap_or_else(|| {
            inks.push(ink.clone());
            inks.len() - 1
        })
    };
    let mut runs: Vec<(u16, Look, String)> = Vec::new();
    for x in 0..picture.area.width {
        let Some(cell) = picture.cell((picture.area.x + x, picture.area.y + y)) else { continue };
        let look = Look::of(cell);
        match runs.last_mut() {
            Some((_, last, text)) if *last == look => text.push_str(cell.symbol()),
            _ => runs.push((x, look, cell.symbol().to_owned())),
        }
    }
    let mut row = String::new();
    for (x, look, text) in runs {
        let cells = text.chars().count() as f64;
        let (left, wide) = (f64::from(x) * CELL.0, cells * CELL.0);
        if let Some(paper) = &look.paper {
            let (high, paper) = (CELL.1, class(paper));
            let _ = write!(
                row,
                "<rect x=\"{left}\" width=\"{wide}\" height=\"{high}\" class=\"c{paper}\"/>"
            );
        }
        if text.trim().is_empty() {
            continue;
        }
        // Spaces at the ends take room and say nothing.
        let skipped = text.chars().take_while(|letter| *letter == ' ').count() as f64;
        let text = text.trim_matches(' ');
        let (left, cells) = (left + skipped * CELL.0, text.chars().count() as f64);
        let (wide, ink) = (cells * CELL.0, class(&look.ink));
        let (bold, underlined) =
            (if look.bold { " b" } else { "" }, if look.underlined { " u" } else { "" });
        // Short words are about as wide in any such font.
        let length = match text.is_ascii() && text.len() < EXACT_FROM {
            true => String::new(),
            false => format!(" textLength=\"{wide}\""),
        };
        let (base, text) = (CELL.1 - BASELINE, escaped(text));
        let _ = write!(
            row,
            "<text x=\"{left}\" y=\"{base}\" class=\"c{ink}{bold}{underlined}\"{length}>{text}</text>"
        );
    }
    row
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A colour as the web writes it; `None` is the terminal's own.
fn color(color: Color) -> Option<String> {
    const ANSI: [&str; 16] = [
        "#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4",
        "#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc",
    ];
    let of = |number: usize| Some(ANSI[number].to_owned());
    match color {
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Indexed(number) if number < 16 => of(usize::from(number)),
        Color::Black => of(0),
        Color::Red => of(1),
        Color::Green => of(2),
        Color::Yellow => of(3),
        Color::Blue => of(4),
        Color::Magenta => of(5),
        Color::Cyan => of(6),
        Color::Gray => of(7),
        Color::DarkGray => of(8),
        Color::LightRed => of(9),
        Color::LightGreen => of(10),
        Color::LightYellow => of(11),
        Color::LightBlue => of(12),
        Color::LightMagenta => of(13),
        Color::LightCyan => of(14),
        Color::White => of(15),
        Color::Reset | Color::Indexed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    fn picture(lines: &[&str]) -> Buffer {
        Buffer::with_lines(lines.iter().copied())
    }

    #[test]
    fn rows_that_are_alike_stand_there_once_and_nothing_escapes() {
        let mut recording = Recording::default();
        recording.show(picture(&["a < b", "still"]), 1.0);
        recording.show(picture(&["a < b", "still"]), 1.0);
        recording.show(picture(&["c & d", "still"]), 2.0);
        let svg = recording.svg();
        assert_eq!(svg.matches("still").count(), 1, "{svg}");
        assert_eq!(svg.matches("<g id=").count(), 3);
        assert_eq!(svg.matches("<use ").count(), 4);
        assert!(svg.contains("a &lt; b") && svg.contains("c &amp; d"));
        assert!(svg.contains("4.00s") && svg.contains("50.0000%"), "{svg}");
    }

    #[test]
    fn the_last_picture_stays_where_there_are_too_many() {
        let mut recording = Recording::default();
        for number in 0..PICTURES_MAX + 5 {
            recording.show(picture(&[&format!("{number}")]), 0.1);
        }
        assert_eq!(recording.pictures.len(), PICTURES_MAX);
        assert!(Recording::default().svg().starts_with("<svg"));
        assert_eq!(Buffer::empty(Rect::new(0, 0, 0, 0)).area.width, 0);
    }
}

//! Columns of text that stand in line: names to the left, numbers to the right. What counts are the
//! cells of a terminal: letters of Chinese, Japanese and Korean take two each.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Names longer than this are cut.
const NAME_MAX: usize = 40;
const INDENT: &str = "  ";
const GAP: &str = "  ";

/// A table being filled.
#[derive(Debug)]
pub(crate) struct TextTable {
    /// How many of the first columns are words.
    words: usize,
    /// Whether the last column is words too.
    last: bool,
    rows: Vec<Vec<String>>,
    headed: bool,
}

impl TextTable {
    /// A table whose first `words` columns are words. The first of `heads` is its title; without
    /// heads it has none.
    pub(crate) fn new(words: usize, heads: &[&str]) -> TextTable {
        // Rows are indented, the title is not: its place is part of the first column.
        let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
        let headed = !heads.is_empty();
        TextTable {
            words,
            last: false,
            rows: if headed { vec![heads] } else { Vec::new() },
            headed,
        }
    }

    /// The last column is words too.
    pub(super) fn last_is_words(mut self) -> TextTable {
        self.last = true;
        self
    }

    /// Returns whether it has no rows but its heads.
    #[cfg(feature = "cli")]
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == usize::from(self.headed)
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells[0].insert_str(0, INDENT);
        self.rows.push(cells);
    }

    /// Appends the table to `out`, below an empty line if it has a title.
    pub(crate) fn write(&self, out: &mut String) {
        if self.headed {
            out.push('\n');
        }
        let widths = self.widths();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                let is_last = self.last && column + 1 == widths.len();
                let room = " ".repeat(width.saturating_sub(cell.width()));
                if column < self.words || is_last {
                    format!("{cell}{room}")
                } else {
                    format!("{room}{cell}")
                }
            });
            out.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
            out.push('\n');
        }
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

/// Text from outside as it may stand on a terminal: no line ends or other control characters.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A name from outside, clean and not too long.
pub(crate) fn name(text: &str) -> String {
    let whole = clean(text);
    if whole.width() <= NAME_MAX {
        return whole;
    }
    let mut left = NAME_MAX - 1;
    let fits = whole.chars().take_while(|c| {
        let cells = c.width().unwrap_or(0);
        left.checked_sub(cells).map(|rest| left = rest).is_some()
    });
    fits.chain(['…']).collect()
}

/// A text with as many cells to its right as it takes to be so wide.
#[cfg(feature = "live")]
pub(crate) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// Returns how many cells a text takes.
#[cfg(feature = "cli")]
pub(crate) fn cells(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_line_whatever_the_letters() {
        let mut table = TextTable::new(1, &["Nodes", "share"]);
        for name in ["plain", "模型", "ｗｉｄｅ", "e\u{301}tude", "한국어-1"] {
            table.row([name.to_owned(), "12 %".to_owned()]);
        }
        let mut text = String::new();
        table.write(&mut text);
        let widths: Vec<usize> = text.trim().lines().map(UnicodeWidthStr::width).collect();
        assert!(widths.windows(2).all(|two| two[0] == two[1]), "{text}");
    }

    #[test]
    fn a_long_name_is_cut_at_so_many_cells() {
        for text in ["x".repeat(99), "模".repeat(99), format!("x{}", "模".repeat(99))] {
            let shown = name(&text);
            assert!((NAME_MAX - 1..=NAME_MAX).contains(&shown.width()), "{shown}");
            assert!(shown.ends_with('…'));
        }
        assert_eq!(name(&"模".repeat(20)), "模".repeat(20));
    }
}

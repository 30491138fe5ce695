//! Columns of text that stand in line: names to the left, numbers to the right.

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
                if column < self.words || is_last {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
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
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
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
    let mut shown: String = clean(text).chars().take(NAME_MAX).collect();
    if text.chars().count() > NAME_MAX {
        shown.pop();
        shown.push('…');
    }
    shown
}

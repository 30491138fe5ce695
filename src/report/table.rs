//! Columns of text that stand in line: names to the left, numbers to the right.

/// Names longer than this are cut.
const NAME_MAX: usize = 40;
const INDENT: &str = "  ";
const GAP: &str = "  ";

/// A table being filled.
#[derive(Debug)]
pub(super) struct Table {
    /// How many of the first columns are words.
    words: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table whose first `words` columns are words; no heads if `heads` is empty.
    pub(super) fn new(words: usize, heads: &[&str]) -> Table {
        let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
        Table {
            words,
            rows: if heads.is_empty() {
                Vec::new()
            } else {
                vec![heads]
            },
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Appends the table to `out`.
    pub(super) fn write(&self, out: &mut String) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    if column < self.words {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            let line = cells.collect::<Vec<_>>().join(GAP);
            out.push_str(INDENT);
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

/// A name from outside as it may stand on a terminal: one line, no control characters, not long.
pub(super) fn name(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(NAME_MAX).map(clean).collect();
    if text.chars().count() > NAME_MAX {
        shown.pop();
        shown.push('…');
    }
    shown
}

//! A scenario as a tree that can be printed, and taken apart.
//!
//! It is the least that serves: keys in the order they were set, scalars as they are written. It reads no
//! TOML. What chaos draws is such a tree, so a case that fails is a file that anybody can run and that can
//! be made smaller; and a scenario that the command line changed is written as one.

use std::fmt::{self, Write as _};

use crate::quote;

/// A value of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeValue {
    /// A scalar as TOML spells it, quotes included.
    Scalar(String),
    /// A list.
    List(Vec<TreeValue>),
    /// A table.
    Table(TreeTable),
}

/// A table of a scenario, or all of one. Keys keep the order they were set in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeTable(pub(crate) Vec<(String, TreeValue)>);

/// A text in quotes.
pub(crate) fn text(text: impl fmt::Display) -> TreeValue {
    TreeValue::Scalar(quote::toml(&text.to_string()))
}

/// A number or a truth value.
pub(crate) fn plain(value: impl fmt::Display) -> TreeValue {
    TreeValue::Scalar(value.to_string())
}

/// A list.
pub(crate) fn list(items: impl IntoIterator<Item = TreeValue>) -> TreeValue {
    TreeValue::List(items.into_iter().collect())
}

/// A table with one key: how scenarios spell a variant.
pub(crate) fn variant(name: &str, inner: impl Into<TreeValue>) -> TreeValue {
    TreeValue::Table(TreeTable::default().with(name, inner))
}

impl From<TreeTable> for TreeValue {
    fn from(table: TreeTable) -> TreeValue {
        TreeValue::Table(table)
    }
}

impl TreeTable {
    /// Sets a key and returns the table.
    pub(crate) fn with(mut self, key: &str, value: impl Into<TreeValue>) -> TreeTable {
        self.set(key, value);
        self
    }

    /// Sets a key.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<TreeValue>) {
        self.0.push((key.to_owned(), value.into()));
    }

    /// Sets a key where there is a value for it.
    pub(crate) fn set_some(&mut self, key: &str, value: Option<impl Into<TreeValue>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Returns the value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&TreeValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns a table of a list of them, to be changed.
    pub(crate) fn table_at(&mut self, key: &str, place: usize) -> Option<&mut TreeTable> {
        let found = self.0.iter_mut().find(|(name, _)| name == key);
        match found.map(|(_, value)| value) {
            Some(TreeValue::List(items)) => match items.get_mut(place) {
                Some(TreeValue::Table(table)) => Some(table),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether it has no keys.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a list is written as `[[key]]` tables.
fn is_tables(value: &TreeValue) -> bool {
    let table = |item: &TreeValue| matches!(item, TreeValue::Table(_));
    matches!(value, TreeValue::List(items) if !items.is_empty() && items.iter().all(table))
}

/// In one line.
impl fmt::Display for TreeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeValue::Scalar(text) => f.write_str(text),
            TreeValue::List(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            TreeValue::Table(TreeTable(keys)) if keys.is_empty() => f.write_str("{}"),
            TreeValue::Table(TreeTable(keys)) => {
                f.write_str("{ ")?;
                for (place, (key, value)) in keys.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(f, "{comma}{key} = {value}")?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// As a file: scalars first, then a section for each table and each item of a list of tables.
impl fmt::Display for TreeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sections = String::new();
        for (key, value) in &self.0 {
            match value {
                TreeValue::Table(table) => {
                    writeln!(sections, "\n[{key}]")?;
                    lines(&mut sections, table, "")?;
                }
                TreeValue::List(items) if is_tables(value) => {
                    for item in items {
                        writeln!(sections, "\n[[{key}]]")?;
                        if let TreeValue::Table(table) = item {
                            lines(&mut sections, table, key)?;
                        }
                    }
                }
                value => writeln!(f, "{key} = {value}")?,
            }
        }
        f.write_str(&sections)
    }
}

/// The keys of a section; what is a list of tables below a list gets sections of its own.
fn lines(out: &mut String, table: &TreeTable, path: &str) -> fmt::Result {
    let nested = |value: &TreeValue| !path.is_empty() && is_tables(value);
    for (key, value) in table.0.iter().filter(|(key, value)| !(nested(value) && key == "node")) {
        writeln!(out, "{key} = {value}")?;
    }
    for (key, value) in table.0.iter().filter(|(key, value)| nested(value) && key == "node") {
        let TreeValue::List(items) = value else { continue };
        for item in items {
            writeln!(out, "[[{path}.{key}]]")?;
            if let TreeValue::Table(table) = item {
                lines(out, table, "")?;
            }
        }
    }
    Ok(())
}

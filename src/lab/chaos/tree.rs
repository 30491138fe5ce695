//! A scenario as a tree that can be printed, and made smaller.
//!
//! What chaos draws is text that the ordinary reader of scenarios reads: so a case that fails is a
//! file that anybody can run. To be made smaller, the text has to be taken apart; this is the least
//! that serves: keys in the order they were set, scalars as they are written. It reads no TOML.

use std::fmt::{self, Write as _};

/// A value of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A scalar as TOML spells it, quotes included.
    Scalar(String),
    /// A list.
    List(Vec<Value>),
    /// A table.
    Table(Table),
}

/// A table of a scenario, or all of one. Keys keep the order they were set in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(pub(super) Vec<(String, Value)>);

/// A text in quotes. Names that are drawn need no escapes.
pub(super) fn text(text: impl fmt::Display) -> Value {
    Value::Scalar(format!("\"{text}\""))
}

/// A number or a truth value.
pub(super) fn plain(value: impl fmt::Display) -> Value {
    Value::Scalar(value.to_string())
}

/// A list.
pub(super) fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::List(items.into_iter().collect())
}

/// A table with one key: how scenarios spell a variant.
pub(super) fn variant(name: &str, inner: impl Into<Value>) -> Value {
    Value::Table(Table::default().with(name, inner))
}

impl From<Table> for Value {
    fn from(table: Table) -> Value {
        Value::Table(table)
    }
}

impl Table {
    /// Sets a key and returns the table.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Table {
        self.set(key, value);
        self
    }

    /// Sets a key.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push((key.to_owned(), value.into()));
    }

    /// Sets a key where there is a value for it.
    pub(super) fn set_some(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns whether it has no keys.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a list is written as `[[key]]` tables.
fn is_tables(value: &Value) -> bool {
    let table = |item: &Value| matches!(item, Value::Table(_));
    matches!(value, Value::List(items) if !items.is_empty() && items.iter().all(table))
}

/// In one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Scalar(text) => f.write_str(text),
            Value::List(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            Value::Table(Table(keys)) if keys.is_empty() => f.write_str("{}"),
            Value::Table(Table(keys)) => {
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
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sections = String::new();
        for (key, value) in &self.0 {
            match value {
                Value::Table(table) => {
                    writeln!(sections, "\n[{key}]")?;
                    lines(&mut sections, table, "")?;
                }
                Value::List(items) if is_tables(value) => {
                    for item in items {
                        writeln!(sections, "\n[[{key}]]")?;
                        if let Value::Table(table) = item {
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
fn lines(out: &mut String, table: &Table, path: &str) -> fmt::Result {
    let nested = |value: &Value| !path.is_empty() && is_tables(value);
    for (key, value) in table.0.iter().filter(|(key, value)| !(nested(value) && key == "node")) {
        writeln!(out, "{key} = {value}")?;
    }
    for (key, value) in table.0.iter().filter(|(key, value)| nested(value) && key == "node") {
        let Value::List(items) = value else { continue };
        for item in items {
            writeln!(out, "[[{path}.{key}]]")?;
            if let Value::Table(table) = item {
                lines(out, table, "")?;
            }
        }
    }
    Ok(())
}

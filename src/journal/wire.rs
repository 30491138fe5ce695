//! How values are written and read: as JSON, in words that stand in tables.
//!
//! A type has a table in `config`, `input` or `event`: its fields or variants and their words. No word
//! comes from the name of a type, variant or field of the program: those may change, words may not
//! without a new version of the journal. Each table takes its type apart by name, so that what is new
//! is not compiled before it has its word. `both` types are written and read, `written` ones only
//! written.
//!
//! Times and spans are nanoseconds, ratios millionths, prices micro-dollars a million tokens, costs
//! pico-dollars, ids numbers in file order. A number that is not whole has as many digits as it takes
//! to read the same one back; one that is not finite stands in quotes. A field may be left out where
//! the table names its default. A variant is its word, or `{"word": contents}`: a value, a list of
//! several, or an object of fields.

use std::fmt::{self, Write};

use serde_json::{Map, Value};

use crate::unit::{
    ClassId, Cost, CredentialId, ModelId, NodeId, PeerId, PoolId, Price, Ratio, RegionId,
    RequestId, RouteId, Span, TenantId, Time, Tokens, WorkflowId,
};

/// Something that can be written.
pub(super) trait ToWire {
    fn write(&self, out: &mut dyn Write) -> fmt::Result;
}

/// Something that can be read back.
pub(super) trait FromWire: Sized {
    fn read(value: &Value) -> Result<Self, Misread>;
}

/// A thing of a format, and its words in order.
pub(super) type Words = (&'static str, &'static [&'static str]);

/// What is wrong with a value, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misread {
    /// From the outside in: `config.pools[0].name`. Empty for the whole.
    path: String,
    reason: String,
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.reason),
            path => write!(f, "`{path}`: {}", self.reason),
        }
    }
}

impl Misread {
    pub(super) fn new(reason: impl Into<String>) -> Misread {
        Misread { path: String::new(), reason: reason.into() }
    }

    /// A value of another kind was expected.
    pub(super) fn wanted(wanted: &str, value: &Value) -> Misread {
        let found = match value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "this number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Misread::new(format!("expected {wanted}, found {found}"))
    }

    /// It is wrong inside of this.
    pub(super) fn within(mut self, outer: &str) -> Misread {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }

    fn at(self, place: usize) -> Misread {
        self.within(&format!("[{place}]"))
    }
}

/// Fields as they are written.
pub(super) struct Fields<'a> {
    out: &'a mut dyn Write,
    any: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn open(out: &'a mut dyn Write) -> Result<Fields<'a>, fmt::Error> {
        out.write_char('{')?;
        Ok(Fields { out, any: false })
    }

    pub(super) fn put(&mut self, key: &str, value: &dyn ToWire) -> fmt::Result {
        self.out.write_str(if self.any { ",\"" } else { "\"" })?;
        self.any = true;
        self.out.write_str(key)?;
        self.out.write_str("\":")?;
        value.write(self.out)
    }

    pub(super) fn put_unless<T: ToWire + PartialEq>(
        &mut self,
        key: &str,
        value: &T,
        default: &T,
    ) -> fmt::Result {
        if value == default { Ok(()) } else { self.put(key, value) }
    }

    pub(super) fn close(self) -> fmt::Result {
        self.out.write_char('}')
    }
}

/// Writes values in a list.
pub(super) fn list<'a>(
    out: &mut dyn Write,
    values: impl IntoIterator<Item = &'a dyn ToWire>,
) -> fmt::Result {
    out.write_char('[')?;
    for (place, value) in values.into_iter().enumerate() {
        if place > 0 {
            out.write_char(',')?;
        }
        value.write(out)?;
    }
    out.write_char(']')
}

/// Writes a word.
pub(super) fn word(out: &mut dyn Write, word: &str) -> fmt::Result {
    out.write_char('"')?;
    out.write_str(word)?;
    out.write_char('"')
}

/// Writes a word and its contents: none, one, or several in a list.
pub(super) fn word_of(out: &mut dyn Write, name: &str, values: &[&dyn ToWire]) -> fmt::Result {
    let value = match values {
        [] => return word(out, name),
        [value] => *value,
        several => {
            out.write_char('{')?;
            word(out, name)?;
            out.write_char(':')?;
            list(out, several.iter().copied())?;
            return out.write_char('}');
        }
    };
    let mut fields = Fields::open(out)?;
    fields.put(name, value)?;
    fields.close()
}

/// An object as it is read, field by field.
pub(super) struct Object<'a> {
    map: &'a Map<String, Value>,
    taken: usize,
}

impl<'a> Object<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Object<'a>, Misread> {
        let map = value.as_object().ok_or_else(|| Misread::wanted("an object", value))?;
        Ok(Object { map, taken: 0 })
    }

    pub(super) fn take<T: FromWire>(&mut self, key: &str) -> Result<T, Misread> {
        match self.find(key)? {
            Some(value) => Ok(value),
            None => Err(Misread::new("is missing").within(key)),
        }
    }

    pub(super) fn take_or<T: FromWire>(&mut self, key: &str, default: T) -> Result<T, Misread> {
        Ok(self.find(key)?.unwrap_or(default))
    }

    fn find<T: FromWire>(&mut self, key: &str) -> Result<Option<T>, Misread> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        self.taken += 1;
        T::read(value).map(Some).map_err(|error| error.within(key))
    }

    /// Fails if there is more than was taken; `known` are all keys.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), Misread> {
        if self.taken == self.map.len() {
            return Ok(());
        }
        let mut keys = self.map.keys();
        let stray = keys.find(|key| !known.contains(&key.as_str())).map_or("", String::as_str);
        Err(Misread::new("is not known here").within(stray))
    }
}

/// The contents of a variant as they are read.
pub(super) struct Contents<'a>(Option<&'a Value>);

impl<'a> Contents<'a> {
    /// Takes a variant apart: its word and what it holds.
    pub(super) fn of(value: &'a Value) -> Result<(&'a str, Contents<'a>), Misread> {
        match value {
            Value::String(word) => Ok((word, Contents(None))),
            Value::Object(map) if map.len() == 1 => {
                let (word, value) = map.iter().next().expect("it has one");
                Ok((word, Contents(Some(value))))
            }
            _ => Err(Misread::wanted("a word, or an object with one word", value)),
        }
    }

    pub(super) fn none(&self) -> Result<(), Misread> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(Misread::new("holds nothing")),
        }
    }

    pub(super) fn one(&self) -> Result<&'a Value, Misread> {
        self.0.ok_or_else(|| Misread::new("says nothing of what it holds"))
    }

    pub(super) fn several<const N: usize>(&self) -> Result<&'a [Value; N], Misread> {
        let value = self.one()?;
        let values = value.as_array().and_then(|values| values.as_slice().try_into().ok());
        values.ok_or_else(|| Misread::wanted(&format!("a list of {N}"), value))
    }
}

/// Reads the value at a place of a list.
pub(super) fn at<T: FromWire>(values: &[Value], place: usize) -> Result<T, Misread> {
    T::read(&values[place]).map_err(|error| error.at(place))
}

pub(super) fn unknown(word: &str, known: &[&str]) -> Misread {
    Misread::new(format!("`{word}` is none of {}", known.join(", ")))
}

/// The word of an enum whose variants hold nothing.
pub(super) fn word_in<T: Copy>(
    value: &Value,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, Misread> {
    let text = value.as_str().ok_or_else(|| Misread::wanted("a word", value))?;
    let found = all.iter().copied().find(|one| word(*one) == text);
    found.ok_or_else(|| unknown(text, &all.iter().map(|one| word(*one)).collect::<Vec<_>>()))
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl ToWire for $type {
            fn write(&self, out: &mut dyn Write) -> fmt::Result {
                write!(out, "{self}")
            }
        }

        impl FromWire for $type {
            fn read(value: &Value) -> Result<$type, Misread> {
                let number = value.as_u64().and_then(|number| number.try_into().ok());
                let wanted = || format!("a whole number from 0 to {}", <$type>::MAX);
                number.ok_or_else(|| Misread::wanted(&wanted(), value))
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64);

macro_rules! by_their_number {
    ($($type:ident),*) => {$(
        impl ToWire for $type {
            fn write(&self, out: &mut dyn Write) -> fmt::Result {
                self.0.write(out)
            }
        }

        impl FromWire for $type {
            fn read(value: &Value) -> Result<$type, Misread> {
                FromWire::read(value).map($type)
            }
        }
    )*};
}
by_their_number!(
    Time,
    Span,
    Tokens,
    Price,
    Ratio,
    RequestId,
    NodeId,
    PoolId,
    ClassId,
    RouteId,
    ModelId,
    RegionId,
    WorkflowId,
    TenantId,
    PeerId,
    CredentialId
);

impl ToWire for Cost {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl ToWire for usize {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{self}")
    }
}

macro_rules! floats {
    ($($type:ty),*) => {$(
        impl ToWire for $type {
            fn write(&self, out: &mut dyn Write) -> fmt::Result {
                if self.is_finite() { write!(out, "{self}") } else { write!(out, "\"{self}\"") }
            }
        }
    )*};
}
floats!(f32, f64);

impl ToWire for bool {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(if *self { "true" } else { "false" })
    }
}

impl FromWire for bool {
    fn read(value: &Value) -> Result<bool, Misread> {
        value.as_bool().ok_or_else(|| Misread::wanted("true or false", value))
    }
}

impl<T: ToWire> ToWire for Option<T> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Some(value) => value.write(out),
            None => out.write_str("null"),
        }
    }
}

impl<T: FromWire> FromWire for Option<T> {
    fn read(value: &Value) -> Result<Option<T>, Misread> {
        if value.is_null() { Ok(None) } else { T::read(value).map(Some) }
    }
}

impl<T: ToWire> ToWire for Box<T> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        T::write(self, out)
    }
}

impl<T: FromWire> FromWire for Box<T> {
    fn read(value: &Value) -> Result<Box<T>, Misread> {
        T::read(value).map(Box::new)
    }
}

impl<T: ToWire> ToWire for [T] {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        list(out, self.iter().map(|value| value as &dyn ToWire))
    }
}

impl<T: ToWire> ToWire for Vec<T> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        self.as_slice().write(out)
    }
}

impl<T: FromWire> FromWire for Vec<T> {
    fn read(value: &Value) -> Result<Vec<T>, Misread> {
        let values = value.as_array().ok_or_else(|| Misread::wanted("a list", value))?;
        (0..values.len()).map(|place| at(values, place)).collect()
    }
}

impl<T: ToWire> ToWire for Box<[T]> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        <[T]>::write(self, out)
    }
}

impl<T: FromWire> FromWire for Box<[T]> {
    fn read(value: &Value) -> Result<Box<[T]>, Misread> {
        Vec::read(value).map(Vec::into_boxed_slice)
    }
}

impl<T: ToWire, const N: usize> ToWire for [T; N] {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        self.as_slice().write(out)
    }
}

impl<T: FromWire, const N: usize> FromWire for [T; N] {
    fn read(value: &Value) -> Result<[T; N], Misread> {
        let values = Vec::read(value)?;
        values.try_into().map_err(|_| Misread::wanted(&format!("a list of {N}"), value))
    }
}

impl<A: ToWire, B: ToWire> ToWire for (A, B) {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        list(out, [&self.0 as &dyn ToWire, &self.1])
    }
}

impl<A: FromWire, B: FromWire> FromWire for (A, B) {
    fn read(value: &Value) -> Result<(A, B), Misread> {
        let values = value.as_array().filter(|values| values.len() == 2);
        let values = values.ok_or_else(|| Misread::wanted("a list of 2", value))?;
        Ok((at(values, 0)?, at(values, 1)?))
    }
}

impl ToWire for str {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_char('"')?;
        for c in self.chars() {
            match c {
                '"' | '\\' => write!(out, "\\{c}")?,
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\t' => out.write_str("\\t")?,
                '\u{8}' => out.write_str("\\b")?,
                '\u{c}' => out.write_str("\\f")?,
                c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c))?,
                c => out.write_char(c)?,
            }
        }
        out.write_char('"')
    }
}

impl ToWire for &str {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        str::write(self, out)
    }
}

impl ToWire for String {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        self.as_str().write(out)
    }
}

impl FromWire for String {
    fn read(value: &Value) -> Result<String, Misread> {
        value.as_str().map(str::to_owned).ok_or_else(|| Misread::wanted("text", value))
    }
}

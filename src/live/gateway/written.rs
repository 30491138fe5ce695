//! A JSON object as its client wrote it, changed only where it has to be: names keep their order, values
//! their letters, and what nobody looks at is not looked at.

use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object and where its values stand in it.
#[derive(Clone, Debug)]
pub(super) struct WrittenObject {
    body: Bytes,
    fields: Vec<(String, Range<usize>)>,
}

impl WrittenObject {
    /// Reads an object. `None` if the body is none.
    pub(super) fn read(body: &Bytes) -> Option<WrittenObject> {
        let ObjectFields(said) = serde_json::from_slice(body).ok()?;
        let begin = body.as_ptr() as usize;
        let place = |value: &RawValue| {
            let at = value.get().as_ptr() as usize - begin;
            at..at + value.get().len()
        };
        let fields = said.into_iter().map(|(name, value)| (name, place(value))).collect();
        Some(WrittenObject { body: body.clone(), fields })
    }

    /// Returns the value of a field as it is written.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let (_, place) = self.fields.iter().rev().find(|(said, _)| said == name)?;
        std::str::from_utf8(&self.body[place.clone()]).ok()
    }

    /// Returns the first of these names that is said twice. Two readers could differ about it.
    pub(super) fn twice<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        let times = |name: &str| self.fields.iter().filter(|(said, _)| said == name).count();
        names.iter().find(|name| times(name) > 1).copied()
    }

    /// Returns the object with other values of these fields; what it does not have is added at the end.
    pub(super) fn with(&self, values: &[(&str, Vec<u8>)]) -> Bytes {
        if values.is_empty() {
            return self.body.clone();
        }
        let place = |name: &str| self.fields.iter().rev().find(|(said, _)| said == name);
        let mut changes: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
        let end = self.body.iter().rposition(|byte| *byte == b'}').unwrap_or(0);
        let mut first = self.fields.is_empty();
        for (name, value) in values {
            if let Some((_, place)) = place(name) {
                changes.push((place.clone(), value.clone()));
                continue;
            }
            let mut added = if std::mem::take(&mut first) { Vec::new() } else { vec![b','] };
            added.extend(serde_json::to_vec(name).unwrap_or_default());
            added.push(b':');
            added.extend_from_slice(value);
            changes.push((end..end, added));
        }
        // A sort that keeps the order of equals: what is added stays as it was said.
        changes.sort_by_key(|(place, _)| place.start);
        let more: usize = changes.iter().map(|(_, value)| value.len()).sum();
        let mut out = Vec::with_capacity(self.body.len() + more);
        let mut at = 0;
        for (place, value) in changes {
            out.extend_from_slice(&self.body[at..place.start]);
            out.extend_from_slice(&value);
            at = place.end;
        }
        out.extend_from_slice(&self.body[at..]);
        out.into()
    }
}

/// The fields of an object in their order, values as they were written.
struct ObjectFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for ObjectFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ObjectFields<'de>, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = ObjectFields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<ObjectFields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(ObjectFields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> WrittenObject {
        WrittenObject::read(&Bytes::copy_from_slice(text.as_bytes())).expect("an object")
    }

    #[test]
    fn only_what_is_named_changes() {
        let text = r#" {"z": 1.0, "m":"a" ,"a":{"y":[ 1 ]}} "#;
        let written = read(text);
        assert_eq!(written.with(&[]), text);
        let value = |text: &str| text.as_bytes().to_vec();
        let with =
            written.with(&[("x", value("7")), ("m", value("\"long\"")), ("q\"", value("[]"))]);
        assert_eq!(with, r#" {"z": 1.0, "m":"long" ,"a":{"y":[ 1 ]},"x":7,"q\"":[]} "#);
        assert_eq!(read("{ }").with(&[("x", value("7")), ("y", value("8"))]), r#"{ "x":7,"y":8}"#);
        assert_eq!((written.field("z"), written.field("b")), (Some("1.0"), None));
        assert_eq!(read(r#"{"a":1,"b":2,"a":3}"#).twice(&["b", "a"]), Some("a"));
        for none in ["", "[]", "7", "{", "{\"a\":}", "{}x"] {
            assert!(WrittenObject::read(&Bytes::from(none)).is_none(), "{none}");
        }
    }
}

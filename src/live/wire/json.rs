//! JSON of others, read as it is written: an object field by field, a list item by item, each value as its
//! own text. Nothing is decoded that nobody asks for, so what one reader may not hold (half of a pair of
//! surrogates, a number of forty digits) spoils nothing else.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2_iter;
use serde::Deserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Looked into so deep; what lies deeper counts as something.
const DEPTH_MAX: u32 = 8;

/// Returns whether a value lies in more than so many lists and objects. No honest text nests deep, and some
/// readers have no more stack than that.
pub(in crate::live) fn nests_deeper(text: &[u8], most: usize) -> bool {
    // Who has fewer of them cannot nest deeper, and most texts have.
    if memchr2_iter(b'[', b'{', text).nth(most).is_none() {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    text.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > most
    })
}

/// Hands every field of an object to `each`, in the order they are written. Returns whether the text is an
/// object and nothing else.
pub(in crate::live) fn fields<'a>(text: &'a str, each: impl FnMut(&str, &'a str)) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(EachField(each)).and_then(|()| reader.end()).is_ok()
}

/// Hands every item of a list to `each`. Returns whether the text is a list and nothing else.
pub(in crate::live) fn items<'a>(text: &'a str, each: impl FnMut(&'a str)) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_seq(EachItem(each)).and_then(|()| reader.end()).is_ok()
}

/// Returns a field of an object; of one that is said twice the last counts.
pub(in crate::live) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    fields(text, |key, value| {
        if key == name {
            found = Some(value);
        }
    });
    found
}

/// Returns what stands at the end of a path of fields.
pub(in crate::live) fn at<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(text, |text, name| field(text, name))
}

/// Returns a string, if the text is one that can be held.
pub(in crate::live) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Returns a count: whole, not negative, at most what a count can be. JSON has one kind of number, so
/// `3.0` is 3; what is negative is zero.
pub(in crate::live) fn count(text: &str) -> Option<u64> {
    // A cast saturates.
    text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|count| count as u64))
}

/// Returns whether a value is `null` or not there.
pub(in crate::live) fn is_null(text: Option<&str>) -> bool {
    text.is_none_or(|text| text == "null")
}

/// Returns whether a value says something: a text that is not empty, or what has one in it beside the names
/// of kinds. Numbers and truth values alone are not what anybody waits for.
pub(in crate::live) fn says_something(text: &str) -> bool {
    says(text, DEPTH_MAX)
}

fn says(text: &str, depth: u32) -> bool {
    if depth == 0 {
        return true;
    }
    let mut any = false;
    match text.as_bytes().first() {
        Some(b'"') => return text != "\"\"",
        Some(b'[') => {
            items(text, |item| any = any || says(item, depth - 1));
        }
        Some(b'{') => {
            fields(text, |name, value| {
                let kind = matches!(name, "type" | "index" | "role");
                any = any || (!kind && says(value, depth - 1));
            });
        }
        _ => {}
    }
    any
}

struct EachField<F>(F);

impl<'de, F: FnMut(&str, &'de str)> Visitor<'de> for EachField<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            // A name that cannot be held is none that anybody looks for.
            if let Some(name) = string(name.get()) {
                (self.0)(&name, value.get());
            }
        }
        Ok(())
    }
}

struct EachItem<F>(F);

impl<'de, F: FnMut(&'de str)> Visitor<'de> for EachItem<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<&RawValue>()? {
            (self.0)(item.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_lists_and_objects_and_texts_have_none() {
        let deep = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
        assert!(!nests_deeper(deep(4).as_bytes(), 8) && nests_deeper(deep(5).as_bytes(), 8));
        let text = format!("[\"\\\"{}\", {}]", "[".repeat(99), "[],".repeat(99));
        assert!(!nests_deeper(text.as_bytes(), 2) && nests_deeper(text.as_bytes(), 1));
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        let text = r#" {"a":"\ud83d","b\u0031":1e2,"\udea2":0,"c":{"d":[ 1, "x" ]}} "#;
        assert_eq!(field(text, "a"), Some(r#""\ud83d""#));
        assert_eq!(field(text, "b1").and_then(count), Some(100));
        assert_eq!(at(text, &["c", "d"]), Some(r#"[ 1, "x" ]"#));
        assert_eq!(at(text, &["c", "e"]), None);
        let mut all = Vec::new();
        assert!(items("[1,[2],{\"x\":3}]", |item| all.push(item)));
        assert_eq!(all, ["1", "[2]", "{\"x\":3}"]);
        for bad in ["", "{", "[]x", "{\"a\":}", "7", "{\"a\":\"\u{0}\"}"] {
            assert!(!fields(bad, |_, _| ()), "{bad}");
        }
        assert_eq!(string(r#""a\n""#).as_deref(), Some("a\n"));
        assert_eq!(string(r#""\ud83d""#), None);
        assert_eq!(
            ["-4", "3.0", "1e300", "x"].map(count),
            [Some(0), Some(3), Some(u64::MAX), None]
        );
    }

    #[test]
    fn what_says_something_has_a_text_in_it() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for something in
            ["\" \"", "[\"\",\"a\"]", "{\"type\":\"x\",\"thinking\":[{\"text\":\"hm\"}]}", &deep]
        {
            assert!(says_something(something), "{something:.60}");
        }
        for nothing in [
            "null",
            "\"\"",
            "[]",
            "{}",
            "7",
            "true",
            "{\"type\":\"text\",\"text\":\"\"}",
            "[{},\"\"]",
        ] {
            assert!(!says_something(nothing), "{nothing}");
        }
    }
}

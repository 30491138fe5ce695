//! A form with files, as sound and pictures are sent: passed on as it is but for the model's name.

use std::ops::Range;

use bytes::Bytes;
use hyper::header::HeaderValue;
use memchr::memmem;

/// So many parts are looked at.
const PARTS_MAX: usize = 256;

/// A form and where its model is named.
#[derive(Clone, Debug)]
pub(super) struct WrittenForm {
    body: Bytes,
    kind: HeaderValue,
    model: Option<Range<usize>>,
    streams: bool,
}

impl WrittenForm {
    /// Reads a form. `None` if the body is said to be something else.
    ///
    /// # Errors
    /// If it is no form, in words for the client.
    pub(super) fn read(
        kind: Option<&HeaderValue>,
        body: &Bytes,
    ) -> Result<Option<WrittenForm>, String> {
        let said = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !said.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
            return Ok(None);
        }
        let Some(kind) = kind.cloned() else { return Ok(None) };
        let boundary = said.split(';').find_map(|part| part.trim().strip_prefix("boundary="));
        let boundary = boundary.map(|boundary| boundary.trim_matches('"'));
        let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else {
            return Err("this is no form: its type names no boundary".to_owned());
        };
        let mut form = WrittenForm { body: body.clone(), kind, model: None, streams: false };
        for (name, value) in parts(body, boundary) {
            match name {
                "model" if form.model.is_some() => {
                    return Err("this is no form: duplicate field `model`".to_owned());
                }
                "model" => form.model = Some(value),
                "stream" => form.streams = body[value].trim_ascii() == b"true",
                _ => {}
            }
        }
        Ok(Some(form))
    }

    /// Returns the model that it names.
    pub(super) fn model(&self) -> Option<&str> {
        std::str::from_utf8(&self.body[self.model.clone()?]).ok().map(str::trim)
    }

    pub(super) const fn streams(&self) -> bool {
        self.streams
    }

    pub(super) const fn kind(&self) -> &HeaderValue {
        &self.kind
    }

    /// Returns the form with another model in the place where it names one; empty to leave what it says.
    pub(super) fn with_model(&self, model: &str) -> Bytes {
        match &self.model {
            Some(place) if !model.is_empty() => {
                let (before, after) = (&self.body[..place.start], &self.body[place.end..]);
                [before, model.as_bytes(), after].concat().into()
            }
            _ => self.body.clone(),
        }
    }
}

/// The names of the fields that are no files, and where their values stand.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<(&'a str, Range<usize>)> {
    let mark = [b"--", boundary.as_bytes()].concat();
    let ends: Vec<usize> = memmem::find_iter(body, &mark).take(PARTS_MAX + 1).collect();
    let mut found = Vec::new();
    for pair in ends.windows(2) {
        let (start, end) = (pair[0] + mark.len(), pair[1]);
        let Some(gap) = memmem::find(&body[start..end], b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&body[start..start + gap]).unwrap_or_default();
        let named = head.contains("filename").then_some("").or_else(|| {
            let (_, rest) = head.split_once("name=\"")?;
            rest.split_once('"').map(|(name, _)| name)
        });
        let value = start + gap + 4..end.saturating_sub(2).max(start + gap + 4);
        found.extend(named.filter(|name| !name.is_empty()).map(|name| (name, value)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_changes_only_where_it_names_the_model() {
        let kind = HeaderValue::from_static("Multipart/form-data; boundary=\"x y\"");
        let body = "--x y\r\ncontent-disposition: form-data; name=\"file\"; filename=\"model\"\r\n\r\n\
                    \u{0}RIFF\r\n--x y\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n\
                    --x y\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--x y--\r\n";
        let form =
            WrittenForm::read(Some(&kind), &Bytes::from(body)).expect("good").expect("a form");
        assert_eq!((form.model(), form.streams()), (Some("whisper"), true));
        assert_eq!(form.with_model(""), body);
        assert_eq!(form.with_model("w-2"), body.replace("whisper", "w-2"));
        let json = HeaderValue::from_static("application/json");
        assert!(WrittenForm::read(Some(&json), &Bytes::new()).expect("none").is_none());
        let bare = HeaderValue::from_static("multipart/form-data");
        assert!(WrittenForm::read(Some(&bare), &Bytes::new()).is_err());
        let empty = WrittenForm::read(Some(&kind), &Bytes::from("--x y--x y")).expect("good");
        assert_eq!(empty.expect("a form").model(), None);
    }
}

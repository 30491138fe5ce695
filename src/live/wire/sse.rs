//! Server-sent events: bytes in any pieces to events, by the rules of the HTML standard.
//!
//! Lines end in CR, LF or CRLF, also across pieces; `data` lines of one event are joined by LF; an event
//! that is not closed by an empty line is not an event. An event keeps the bytes that it came in, so that
//! whoever passes it on changes nothing of it. The parser holds at most [`EVENT_MAX`] bytes.

use bytes::Bytes;
use memchr::{memchr2, memmem};

/// No event is larger: pictures come in one.
pub const EVENT_MAX: usize = 64 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// An event, or comments that stand where one could.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its name; empty for the unnamed.
    pub name: String,
    /// Its data, which is text; `None` where there are only comments.
    pub data: Option<Bytes>,
    /// The bytes it came in, up to the empty line that closes it.
    pub raw: Bytes,
}

impl SseEvent {
    /// Returns its data as text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.data.as_deref().and_then(|data| std::str::from_utf8(data).ok()).unwrap_or_default()
    }
}

/// Something that cannot become an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseError {
    /// An event is larger than [`EVENT_MAX`].
    TooLarge,
    /// It is not UTF-8.
    NotText,
}

/// Turns bytes into events.
#[derive(Debug, Default)]
pub struct SseParser {
    /// What has come of an event that is not closed.
    held: Vec<u8>,
    /// The current line has bytes already.
    line: bool,
    /// The last byte was a CR, so an LF that follows belongs to it.
    after_cr: bool,
    begun: bool,
}

impl SseParser {
    /// Takes some bytes and hands every event they complete to `each`. Events that came in one piece share
    /// its memory.
    ///
    /// # Errors
    /// If an event is too large or not text; the parser is of no use afterwards.
    pub fn push(&mut self, bytes: &Bytes, each: &mut impl FnMut(SseEvent)) -> Result<(), SseError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut at = usize::from(std::mem::take(&mut self.after_cr) && bytes.starts_with(b"\n"));
        // Where no event is open, the one that the CR closed has its LF already.
        let mut start = if self.held.is_empty() { at } else { 0 };
        while let Some(found) = memchr2(b'\n', b'\r', &bytes[at..]) {
            let end = at + found;
            let blank = found == 0 && !self.line;
            at = end + 1;
            if bytes[end] == b'\r' {
                match bytes.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.line = false;
            if blank {
                if !self.held.is_empty() || end > start {
                    each(self.close(bytes, start, at)?);
                }
                start = at;
            }
        }
        self.line |= at < bytes.len();
        self.hold(&bytes[start..])
    }

    /// Returns how many bytes there are of an event that is not whole.
    pub const fn held(&self) -> usize {
        self.held.len()
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.held.len() + bytes.len() > EVENT_MAX {
            return Err(SseError::TooLarge);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Closes the open event with these bytes of a piece.
    fn close(&mut self, bytes: &Bytes, start: usize, end: usize) -> Result<SseEvent, SseError> {
        let mut raw = if self.held.is_empty() && end - start <= EVENT_MAX {
            bytes.slice(start..end)
        } else {
            self.hold(&bytes[start..end])?;
            Bytes::from(std::mem::take(&mut self.held))
        };
        if !std::mem::replace(&mut self.begun, true) && raw.starts_with(BOM) {
            raw = raw.slice(BOM.len()..);
        }
        // The LF of its last line is still to come. Readers that look for two equal ends of a line would
        // wait for it.
        if self.after_cr && memmem::find(&raw, b"\r\n").is_some() {
            raw = [&*raw, b"\n"].concat().into();
        }
        read(raw)
    }
}

/// Reads the lines of a closed event.
fn read(raw: Bytes) -> Result<SseEvent, SseError> {
    let text = std::str::from_utf8(&raw).map_err(|_| SseError::NotText)?;
    let (mut name, mut data) = (String::new(), None::<Bytes>);
    let mut rest = text;
    while let Some(end) = memchr2(b'\n', b'\r', rest.as_bytes()) {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                data = Some(match data {
                    None => raw.slice_ref(value.as_bytes()),
                    Some(before) => [&*before, b"\n", value.as_bytes()].concat().into(),
                });
            }
            "event" => value.clone_into(&mut name),
            // A comment, or a field that says nothing to us.
            _ => {}
        }
    }
    Ok(SseEvent { name, data, raw })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Result<Vec<SseEvent>, SseError> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(&Bytes::copy_from_slice(piece), &mut |event| events.push(event))?;
        }
        Ok(events)
    }

    /// Names and data.
    fn said(events: &[SseEvent]) -> Vec<(&str, Option<&str>)> {
        events
            .iter()
            .map(|event| (event.name.as_str(), event.data.is_some().then(|| event.text())))
            .collect()
    }

    #[test]
    fn events_come_out_however_lines_end_and_keep_their_bytes() {
        for end in ["\n", "\r", "\r\n"] {
            let text = [
                "\u{feff}: hello",
                "data: a",
                "data:b",
                "",
                ": only a comment",
                "",
                "",
                "event: error",
                "data: c",
                "",
                "data: cut",
            ];
            let text = text.join(end);
            let events = parse(&[text.as_bytes()]).expect("events");
            assert_eq!(said(&events), [("", Some("a\nb")), ("", None), ("error", Some("c"))]);
            let raw = [": hello", "data: a", "data:b", "", ""].join(end);
            assert_eq!(events[0].raw, raw, "{end:?}");
            assert_eq!(events[2].raw, ["event: error", "data: c", "", ""].join(end));
        }
    }

    #[test]
    fn what_is_too_large_or_no_text_is_refused() {
        let mut parser = SseParser::default();
        let piece = Bytes::from(vec![b'x'; EVENT_MAX / 2]);
        let mut push = |piece: &Bytes| parser.push(piece, &mut |_| ());
        assert_eq!((push(&piece), push(&piece)), (Ok(()), Ok(())));
        assert_eq!(push(&Bytes::from_static(b"x")), Err(SseError::TooLarge));
        let whole = [vec![b'x'; EVENT_MAX], b"\n\n".to_vec()].concat();
        assert_eq!(parse(&[&whole]), Err(SseError::TooLarge));
        assert_eq!(parse(&[b"data: \xff\n\n"]), Err(SseError::NotText));
    }

    #[test]
    fn an_event_that_is_large_comes_out_of_many_pieces_as_it_went_in() {
        let event = format!("data: {}\n\n", "A".repeat(3_000_000));
        let pieces: Vec<&[u8]> = event.as_bytes().chunks(16 << 10).collect();
        let events = parse(&pieces).expect("an event");
        assert_eq!((events.len(), &events[0].raw), (1, &Bytes::from(event)));
    }

    proptest! {
        #[test]
        fn any_cut_into_pieces_gives_the_same_events(
            text in "(data: [a-zé]{0,5}|event: x|: c|id:1|data)?(\r|\n|\r\n)(data: z(\n|\r\n)(\n|\r\n))?",
            repeat in 1_usize..5,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let bytes = text.repeat(repeat).into_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let (cut, whole) = (parse(&pieces).expect("text"), parse(&[&bytes]).expect("text"));
            prop_assert_eq!(said(&cut), said(&whole));
        }

        #[test]
        fn bytes_leave_as_they_came(
            lines in prop::collection::vec("data: [a-z]{1,6}|: c", 1..6),
            end in prop::sample::select(vec!["\n", "\r\n"]),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text: String = lines.iter().map(|line| format!("{line}{end}{end}")).collect();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> =
                places.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let raw: Vec<u8> =
                parse(&pieces).expect("text").iter().flat_map(|event| event.raw.to_vec()).collect();
            prop_assert_eq!(String::from_utf8(raw).expect("text"), text);
        }
    }
}

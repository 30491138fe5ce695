//! Server-sent events: bytes in any pieces to events, by the rules of the HTML standard.
//!
//! Lines end in CR, LF or CRLF, also across pieces; `data` lines of one event are joined by LF;
//! comments are dropped; an event that is not closed by an empty line is not an event. The parser
//! holds at most [`EVENT_MAX`] bytes.

/// No event is larger.
pub const EVENT_MAX: usize = 1 << 20;

/// An event with data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its name; empty for the unnamed.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// Something that cannot become an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseError {
    /// An event is larger than [`EVENT_MAX`].
    TooLarge,
    /// A line is not UTF-8.
    NotText,
}

/// Turns bytes into events.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    /// The last byte was a CR, so an LF that follows belongs to it.
    after_cr: bool,
    begun: bool,
    event: SseEvent,
    has_data: bool,
}

impl SseParser {
    /// Takes some bytes and hands every event they complete to `each`.
    ///
    /// # Errors
    /// If an event is too large or not text; the parser is of no use afterwards.
    pub fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(SseEvent)) -> Result<(), SseError> {
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' => self.end_line(each)?,
                b'\r' => {
                    self.after_cr = true;
                    self.end_line(each)?;
                }
                byte => {
                    if self.line.len() + self.event.data.len() >= EVENT_MAX {
                        return Err(SseError::TooLarge);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self, each: &mut impl FnMut(SseEvent)) -> Result<(), SseError> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                each(event);
            }
        } else {
            self.field(std::str::from_utf8(&line).map_err(|_| SseError::NotText)?);
        }
        line.clear();
        self.line = line;
        Ok(())
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.name),
            // A comment, or a field that says nothing to us.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Result<Vec<SseEvent>, SseError> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut |event| events.push(event))?;
        }
        Ok(events)
    }

    fn data(text: &str) -> SseEvent {
        SseEvent { name: String::new(), data: text.to_owned() }
    }

    #[test]
    fn events_come_out_however_lines_end() {
        for end in ["\n", "\r", "\r\n"] {
            let text = [
                "\u{feff}: hello",
                "data: a",
                "data:b",
                "",
                "event: error",
                "data: c",
                "",
                "data: cut",
            ];
            let text = text.join(end);
            let error = SseEvent { name: "error".to_owned(), data: "c".to_owned() };
            assert_eq!(parse(&[text.as_bytes()]), Ok(vec![data("a\nb"), error]), "{end:?}");
        }
    }

    #[test]
    fn what_is_too_large_or_no_text_is_refused() {
        assert_eq!(parse(&[&vec![b'x'; EVENT_MAX + 1]]), Err(SseError::TooLarge));
        let many = b"data: 0123456789\n".repeat(EVENT_MAX / 10);
        assert_eq!(parse(&[&many]), Err(SseError::TooLarge));
        assert_eq!(parse(&[b"data: \xff\n\n"]), Err(SseError::NotText));
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
            prop_assert_eq!(parse(&pieces), parse(&[&bytes]));
        }
    }
}

//! Heads as they come over the wire, before anything is made of them: where two servers in a row could read
//! the length of a body in two ways, who sends it may smuggle a request. The library below takes some such
//! heads and leaves no trace of it.

use memchr::{memchr, memmem};

/// A head that is longer is refused for that.
const HEAD_MAX: usize = 64 << 10;

/// Follows the bytes of a connection from head to head.
#[derive(Debug, Default)]
pub(super) struct HeadWatch {
    head: Vec<u8>,
    /// What is left of the body after the last head.
    body: u64,
    /// Where the next head begins is not known before the connection is idle.
    lost: bool,
}

/// What a head says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadFraming {
    /// So many bytes.
    Length(u64),
    Chunked,
    /// One could read it in two ways.
    Ambiguous,
}

impl HeadWatch {
    /// Nothing is under way: what comes next is a head.
    pub(super) fn idle(&mut self) {
        if std::mem::take(&mut self.lost) {
            self.head.clear();
        }
    }

    /// Takes the next bytes. Returns whether a head among them is ambiguous.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() && !self.lost {
            let skipped = self.body.min(bytes.len() as u64);
            self.body -= skipped;
            bytes = &bytes[skipped as usize..];
            if bytes.is_empty() {
                return false;
            }
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let from = before.saturating_sub(3);
            let end = memmem::find(&self.head[from..], b"\r\n\r\n").map(|at| from + at + 4);
            if has_bare_line_end(&self.head[..end.unwrap_or(self.head.len())], before) {
                return true;
            }
            let Some(end) = end else {
                self.lost = self.head.len() > HEAD_MAX;
                return false;
            };
            bytes = &bytes[end - before..];
            let framing = framing(&self.head[..end]);
            self.head.clear();
            match framing {
                HeadFraming::Length(length) => self.body = length,
                HeadFraming::Chunked => self.lost = true,
                HeadFraming::Ambiguous => return true,
            }
        }
        false
    }
}

/// Returns whether a line from `from` on ends without a CR.
fn has_bare_line_end(head: &[u8], from: usize) -> bool {
    let mut at = from;
    while let Some(found) = memchr(b'\n', &head[at..]) {
        let end = at + found;
        if end == 0 || head[end - 1] != b'\r' {
            return true;
        }
        at = end + 1;
    }
    false
}

fn framing(head: &[u8]) -> HeadFraming {
    let (mut length, mut chunked) = (None, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let known = name.trim_ascii();
        let is_length = known.eq_ignore_ascii_case(b"content-length");
        let is_coding = known.eq_ignore_ascii_case(b"transfer-encoding");
        if !is_length && !is_coding {
            continue;
        }
        // Said twice, or both, or with a space where none may be.
        if length.is_some() || chunked || known.len() != name.len() {
            return HeadFraming::Ambiguous;
        }
        if is_coding {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return HeadFraming::Ambiguous;
            }
            chunked = true;
        } else {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            let Some(number) = number.filter(|_| digits) else { return HeadFraming::Ambiguous };
            length = Some(number);
        }
    }
    if chunked { HeadFraming::Chunked } else { HeadFraming::Length(length.unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection with these bytes has an ambiguous head, read in pieces of every size.
    fn ambiguous(bytes: &str) -> bool {
        let read = |size: usize| {
            let mut watch = HeadWatch::default();
            bytes.as_bytes().chunks(size).any(|piece| watch.take(piece))
        };
        let all: Vec<bool> = (1..=bytes.len()).map(read).collect();
        assert!(all.iter().all(|one| *one == all[0]), "{bytes:?}: {all:?}");
        all[0]
    }

    #[test]
    fn a_length_is_said_once_and_in_one_way() {
        let head = |lines: &str| format!("POST / HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n");
        for good in ["content-length: 3", "Transfer-Encoding: Chunked", "x: content-length: 4"] {
            assert!(!ambiguous(&head(good)), "{good}");
        }
        for bad in [
            "content-length: 3\r\ncontent-length: 3",
            "content-length: 3\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 3",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding : chunked",
            "content-length: +3",
            "content-length: 3, 3",
            "content-length:",
            "x: y\nz: w",
        ] {
            assert!(ambiguous(&head(bad)), "{bad}");
        }
    }

    #[test]
    fn bodies_are_passed_over_and_the_next_head_is_read() {
        let body = "content-length: 1\ncontent-length: 2\r\n\r\n";
        let first = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        assert!(!ambiguous(&format!("{first}GET / HTTP/1.1\r\n\r\n")));
        assert!(ambiguous(&format!("{first}GET / HTTP/1.1\r\na: b\n\r\n")));
        let mut watch = HeadWatch::default();
        assert!(
            !watch
                .take(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\n")
        );
        watch.idle();
        assert!(watch.take(b"GET / HTTP/1.1\n"), "a new head");
    }
}

//! Heads as they come over the wire, before anything is made of them: where two servers in a row could read
//! the length of a body in two ways, who sends it may smuggle a request. The library below takes some such
//! heads and leaves no trace of it.

use memchr::{memchr, memmem};

/// A head that is longer is refused for that.
const HEAD_MAX: usize = 64 << 10;

/// Follows the bytes of a connection from head to head.
#[derive(Debug, Default)]
pub(super) struct HeadWatch {
    next: Awaited,
    /// What has come of a head, or of a line between chunks.
    held: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Awaited {
    #[default]
    Head,
    /// So many bytes of a body of known length.
    Body(u64),
    /// The line before a chunk.
    ChunkSize,
    /// So many bytes of a chunk and of the end of its line.
    Chunk(u64),
    /// The lines after the last chunk.
    Trailers,
    /// Where the next head begins is not known before the connection is idle.
    Unknown,
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
        if self.next == Awaited::Unknown {
            *self = HeadWatch::default();
        }
    }

    /// Returns whether a head has begun and is not whole.
    pub(super) const fn is_half(&self) -> bool {
        matches!(self.next, Awaited::Head) && !self.held.is_empty()
    }

    /// Takes the next bytes. Returns whether a head among them is ambiguous.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.next {
                Awaited::Unknown => return false,
                Awaited::Body(left) => {
                    let left = pass_over(&mut bytes, left);
                    self.next = if left > 0 { Awaited::Body(left) } else { Awaited::Head };
                }
                Awaited::Chunk(left) => {
                    let left = pass_over(&mut bytes, left);
                    self.next = if left > 0 { Awaited::Chunk(left) } else { Awaited::ChunkSize };
                }
                Awaited::Head => {
                    if self.head(&mut bytes) {
                        return true;
                    }
                }
                Awaited::ChunkSize | Awaited::Trailers => {
                    if self.line(&mut bytes) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Takes bytes of a head. Returns whether it is ambiguous.
    fn head(&mut self, bytes: &mut &[u8]) -> bool {
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        let from = before.saturating_sub(3);
        let end = memmem::find(&self.held[from..], b"\r\n\r\n").map(|at| from + at + 4);
        if has_bare_line_end(&self.held[..end.unwrap_or(self.held.len())], before) {
            return true;
        }
        let Some(end) = end else {
            if self.held.len() > HEAD_MAX {
                self.next = Awaited::Unknown;
            }
            *bytes = &[];
            return false;
        };
        *bytes = &bytes[end - before..];
        let framing = framing(&self.held[..end]);
        self.held.clear();
        self.next = match framing {
            HeadFraming::Length(0) => Awaited::Head,
            HeadFraming::Length(length) => Awaited::Body(length),
            HeadFraming::Chunked => Awaited::ChunkSize,
            HeadFraming::Ambiguous => return true,
        };
        false
    }

    /// Takes bytes of a line between chunks or behind them. Returns whether it ends in a way that hides where
    /// the body does.
    fn line(&mut self, bytes: &mut &[u8]) -> bool {
        let Some(end) = memchr(b'\n', bytes) else {
            self.held.extend_from_slice(bytes);
            *bytes = &[];
            if self.held.len() > HEAD_MAX {
                self.next = Awaited::Unknown;
            }
            return false;
        };
        self.held.extend_from_slice(&bytes[..end]);
        *bytes = &bytes[end + 1..];
        let line = std::mem::take(&mut self.held);
        let Some(line) = line.strip_suffix(b"\r") else { return true };
        self.next = match self.next {
            Awaited::Trailers if line.is_empty() => Awaited::Head,
            Awaited::Trailers => Awaited::Trailers,
            _ => match chunk_size(line) {
                Some(0) => Awaited::Trailers,
                Some(size) => Awaited::Chunk(size.saturating_add(2)),
                // Whoever reads the body refuses it.
                None => Awaited::Unknown,
            },
        };
        false
    }
}

/// Passes over so many bytes. Returns how many are still to come.
fn pass_over(bytes: &mut &[u8], left: u64) -> u64 {
    let passed = left.min(bytes.len() as u64);
    *bytes = &bytes[passed as usize..];
    left - passed
}

/// Reads the line before a chunk: its size, and what nobody needs to know.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = line[digits..].trim_ascii_start();
    let size = std::str::from_utf8(&line[..digits]).ok()?;
    u64::from_str_radix(size, 16).ok().filter(|_| rest.is_empty() || rest[0] == b';')
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
    }

    #[test]
    fn chunks_are_passed_over_and_the_head_behind_them_is_read() {
        let post = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let twice = "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na";
        let once = "POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\na";
        for body in [
            "0\r\n\r\n",
            "A;x=\"y\"\r\n0123456\n\n9\r\n0\r\n\r\n",
            "1\r\na\r\n001 ;z\r\n\n\r\n00\r\nx: y\r\nz: w\r\n\r\n",
        ] {
            assert!(!ambiguous(&[post, body, once].concat()), "{body:?}");
            assert!(ambiguous(&[post, body, twice].concat()), "{body:?}");
        }
        for body in ["0\r\nx: y\n\r\n", "1\na\r\n0\r\n\r\n", "0\n\n"] {
            assert!(ambiguous(&[post, body].concat()), "{body:?}");
        }
    }

    #[test]
    fn where_a_body_cannot_be_followed_the_next_head_is_read_once_nothing_is_under_way() {
        let mut watch = HeadWatch::default();
        let broken = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n\n\n";
        assert!(!watch.take(broken));
        watch.idle();
        assert!(watch.take(b"GET / HTTP/1.1\n"), "a new head");
    }
}

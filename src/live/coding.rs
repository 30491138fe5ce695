//! Packed bodies, unpacked piece by piece within limits: what clients pack to send, and what endpoints pack
//! though they were asked not to.

use flate2::{Decompress, FlushDecompress, Status};
use hyper::header::{CONTENT_ENCODING, HeaderMap};

/// What is unpacked at a time.
const PIECE: usize = 64 << 10;
/// A header of gzip is no longer: names and comments are in it.
const HEADER_MAX: usize = 64 << 10;
/// So much may come of any body; beyond it no honest text is packed tighter than [`RATIO_MAX`].
const FREE: u64 = 1 << 20;
/// How many bytes may come of one.
const RATIO_MAX: u64 = 20;

/// Why a body cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::live) enum CodingError {
    /// More comes of it than allowed.
    TooLarge,
    /// It is not what it says it is.
    Malformed,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::live) enum Coding {
    /// Not at all.
    Identity,
    /// As gzip does.
    Gzip,
    /// As zlib does.
    Deflate,
}

impl Coding {
    /// Reads how a body is packed; `None` for any way that is not known here, or for several.
    pub(in crate::live) fn of(headers: &HeaderMap) -> Option<Coding> {
        let mut all = headers.get_all(CONTENT_ENCODING).iter();
        let Some(first) = all.next() else { return Some(Coding::Identity) };
        let name = first.to_str().ok().filter(|_| all.next().is_none())?.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Some(Coding::Identity);
        }
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return Some(Coding::Gzip);
        }
        name.eq_ignore_ascii_case("deflate").then_some(Coding::Deflate)
    }
}

/// Unpacks one body.
#[derive(Debug)]
pub(in crate::live) struct Unpacker {
    state: Decompress,
    /// The header of gzip as far as it has come; `None` once it is over.
    header: Option<Vec<u8>>,
    /// Nothing follows.
    ended: bool,
    came: u64,
    gave: u64,
}

impl Unpacker {
    /// An unpacker; `None` where there is nothing to unpack.
    pub(in crate::live) fn new(coding: Coding) -> Option<Unpacker> {
        let gzip = match coding {
            Coding::Identity => return None,
            Coding::Gzip => true,
            Coding::Deflate => false,
        };
        let header = gzip.then(Vec::new);
        Some(Unpacker { state: Decompress::new(!gzip), header, ended: false, came: 0, gave: 0 })
    }

    /// Returns whether the body is whole.
    pub(in crate::live) const fn is_whole(&self) -> bool {
        self.ended
    }

    /// Unpacks some bytes. In all at most `most` may come of the body.
    pub(in crate::live) fn push(
        &mut self,
        bytes: &[u8],
        most: u64,
    ) -> Result<Vec<u8>, CodingError> {
        self.came += bytes.len() as u64;
        let mut out = Vec::new();
        match &mut self.header {
            None => self.inflate(bytes, most, &mut out)?,
            Some(header) => {
                header.extend_from_slice(bytes);
                if let Some(body) = after_header(header)? {
                    let rest = header.split_off(body);
                    self.header = None;
                    self.inflate(&rest, most, &mut out)?;
                } else if header.len() > HEADER_MAX {
                    return Err(CodingError::Malformed);
                }
            }
        }
        Ok(out)
    }

    fn inflate(
        &mut self,
        mut bytes: &[u8],
        most: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), CodingError> {
        let mut piece = vec![0; PIECE];
        // What follows the end is its checksum.
        while !self.ended {
            let (took, made) = (self.state.total_in(), self.state.total_out());
            let done = self.state.decompress(bytes, &mut piece, FlushDecompress::None);
            let done = done.map_err(|_| CodingError::Malformed)?;
            let took = (self.state.total_in() - took) as usize;
            let made = (self.state.total_out() - made) as usize;
            bytes = &bytes[took..];
            self.gave += made as u64;
            if self.gave > most || self.gave > FREE.max(self.came * RATIO_MAX) {
                return Err(CodingError::TooLarge);
            }
            out.extend_from_slice(&piece[..made]);
            match done {
                Status::StreamEnd => self.ended = true,
                _ if made == 0 && (took == 0 || bytes.is_empty()) => break,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns where the body begins after a header of gzip (RFC 1952); `None` if the header is not whole.
fn after_header(bytes: &[u8]) -> Result<Option<usize>, CodingError> {
    let magic = [0x1f, 0x8b, 8];
    if bytes.iter().zip(magic).any(|(byte, magic)| *byte != magic) {
        return Err(CodingError::Malformed);
    }
    let Some(&flags) = bytes.get(3) else { return Ok(None) };
    let mut at = 10;
    if flags & 4 != 0 {
        let (Some(low), Some(high)) = (bytes.get(at), bytes.get(at + 1)) else { return Ok(None) };
        at += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == 0) else { return Ok(None) };
            at += end + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok((bytes.len() >= at).then_some(at))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder, write::ZlibEncoder};
    use hyper::header::HeaderValue;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let builder = GzBuilder::new().filename("n").comment("c").extra(vec![1, 2, 3]);
        let mut packed = builder.write(Vec::new(), Compression::default());
        packed.write_all(text).expect("memory");
        packed.finish().expect("memory")
    }

    fn unpack(coding: Coding, packed: &[u8], size: usize) -> Result<Vec<u8>, CodingError> {
        let mut unpacker = Unpacker::new(coding).expect("it is packed");
        let mut out = Vec::new();
        for piece in packed.chunks(size) {
            out.extend(unpacker.push(piece, 1 << 24)?);
        }
        if unpacker.is_whole() { Ok(out) } else { Err(CodingError::Malformed) }
    }

    #[test]
    fn what_was_packed_comes_out_in_any_pieces() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).expect("memory");
        let zlib = zlib.finish().expect("memory");
        for size in [1, 7, 1_000, 1 << 20] {
            assert!(unpack(Coding::Gzip, &gzip(&text), size).as_ref() == Ok(&text), "{size}");
            assert!(unpack(Coding::Deflate, &zlib, size).as_ref() == Ok(&text), "{size}");
        }
    }

    #[test]
    fn what_is_cut_no_gzip_or_a_bomb_is_refused() {
        let packed = gzip(b"hello");
        for cut in 0..packed.len() - 8 {
            assert_eq!(
                unpack(Coding::Gzip, &packed[..cut], 3),
                Err(CodingError::Malformed),
                "{cut}"
            );
        }
        assert_eq!(unpack(Coding::Gzip, b"{\"a\":1}", 3), Err(CodingError::Malformed));
        assert_eq!(unpack(Coding::Deflate, b"{\"a\":1}", 3), Err(CodingError::Malformed));
        let small = gzip(&vec![b' '; FREE as usize]);
        assert!(unpack(Coding::Gzip, &small, 1 << 20).is_ok(), "a small one may be all the same");
        let bomb = gzip(&vec![b' '; 1 << 23]);
        assert_eq!(unpack(Coding::Gzip, &bomb, 1 << 20), Err(CodingError::TooLarge));
    }

    #[test]
    fn how_a_body_is_packed_is_said_once() {
        let of = |names: &[&'static str]| {
            let pairs = names.iter().map(|name| (CONTENT_ENCODING, HeaderValue::from_static(name)));
            Coding::of(&pairs.collect())
        };
        assert_eq!(of(&[]), Some(Coding::Identity));
        assert_eq!(of(&["Identity"]), Some(Coding::Identity));
        assert_eq!(of(&["GZIP"]), Some(Coding::Gzip));
        assert_eq!(of(&["deflate"]), Some(Coding::Deflate));
        for odd in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"]] {
            assert_eq!(of(odd), None, "{odd:?}");
        }
    }
}

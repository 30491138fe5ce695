//! Finds a key in what an endpoint says, however it is written there: as it is, in other letters, escaped,
//! in base64, or cut.

use std::collections::BTreeSet;

/// A part of a key at least so long is as good as the key.
const PART_MIN: usize = 12;
/// A longer part is looked for in long keys, whose beginnings are the same for everybody.
const PART_MAX: usize = 24;
/// Letters of base64 that tell as much as [`PART_MIN`] bytes.
const PART_BASE64: usize = PART_MIN * 4 / 3;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A key to be found again. It is never shown.
pub(super) struct KeyPrint {
    /// Parts of the key in small letters, all of one length.
    parts: BTreeSet<Vec<u8>>,
    /// Parts of its base64, at each of the three places in a group, all of one length.
    packed: BTreeSet<Vec<u8>>,
}

impl std::fmt::Debug for KeyPrint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPrint(..)")
    }
}

impl KeyPrint {
    pub(super) fn new(key: &[u8]) -> KeyPrint {
        let size = (key.len() / 3).clamp(PART_MIN, PART_MAX).min(key.len());
        let small = key.to_ascii_lowercase();
        let mut packed = BTreeSet::new();
        for before in 0..3 {
            let padded = [&[0; 2][..before.min(2)], key].concat();
            let text = base64(&padded);
            // The letters that depend on what stands before and behind are left out.
            let first = [0, 2, 3][before];
            let inner = text.get(first..text.len().saturating_sub(3)).unwrap_or_default();
            packed.extend(parts(inner, PART_BASE64));
        }
        KeyPrint { parts: parts(&small, size).collect(), packed }
    }

    /// Returns whether a text has the key in it, or so much of it that it could be told.
    pub(super) fn is_in(&self, said: &[u8]) -> bool {
        let plain = unescaped(said);
        has(&plain.to_ascii_lowercase(), &self.parts)
            || has(&said.to_ascii_lowercase(), &self.parts)
            || has(&standard(&plain), &self.packed)
    }
}

fn parts(text: &[u8], size: usize) -> impl Iterator<Item = Vec<u8>> {
    text.windows(size.max(1)).map(<[u8]>::to_vec)
}

fn has(text: &[u8], parts: &BTreeSet<Vec<u8>>) -> bool {
    let Some(size) = parts.first().map(Vec::len) else { return false };
    text.windows(size).any(|part| parts.contains(part))
}

/// The letters of URLs to those of mails.
fn standard(text: &[u8]) -> Vec<u8> {
    let letter = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    };
    text.iter().map(letter).collect()
}

/// Base64 without its padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 4 / 3 + 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let letters = [18, 12, 6, 0].map(|shift| BASE64[(bits >> shift & 63) as usize]);
        out.extend_from_slice(&letters[..=group.len()]);
    }
    out
}

/// Undoes the escapes of JSON and of URLs, as far as they stand for bytes.
fn unescaped(said: &[u8]) -> Vec<u8> {
    let hex = |at: usize, count: usize| {
        let digits = std::str::from_utf8(said.get(at..at + count)?).ok()?;
        u8::try_from(u32::from_str_radix(digits, 16).ok()?).ok()
    };
    let mut out = Vec::with_capacity(said.len());
    let mut at = 0;
    while let Some(&byte) = said.get(at) {
        let next = said.get(at + 1).copied();
        let (byte, took) = match (byte, next) {
            (b'\\', Some(b'u')) => hex(at + 2, 4).map_or((byte, 1), |byte| (byte, 6)),
            (b'\\', Some(next)) => (next, 2),
            (b'%', Some(_)) => hex(at + 1, 2).map_or((byte, 1), |byte| (byte, 3)),
            (byte, _) => (byte, 1),
        };
        out.push(byte);
        at += took;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-proj-A1b2C3d4E5f6G7h8/I9j0+K1l2M3n4";

    #[test]
    fn a_key_is_found_however_it_is_written() {
        let print = KeyPrint::new(KEY.as_bytes());
        let escaped: String = KEY.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let percent: String = KEY.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut forms = vec![
            KEY.to_owned(),
            KEY.to_lowercase(),
            KEY.to_uppercase(),
            KEY.replace('/', "\\/"),
            escaped,
            percent,
            KEY[4..].to_owned(),
            KEY[..KEY.len() - 4].to_owned(),
            format!("{}...{}", &KEY[..20], &KEY[30..]),
        ];
        for before in ["", "x", "Bearer ", "user:"] {
            let packed =
                String::from_utf8(base64(format!("{before}{KEY}!").as_bytes())).expect("text");
            forms.push(packed.replace('+', "-").replace('/', "_"));
            forms.push(packed);
        }
        for form in forms {
            let said = format!("{{\"error\":{{\"message\":\"bad key {form}, sorry\"}}}}");
            assert!(print.is_in(said.as_bytes()), "{form}");
        }
        for harmless in ["", "bad key", "sk-proj-****n4", "Incorrect API key provided: sk-pr...3n4"]
        {
            assert!(!print.is_in(harmless.as_bytes()), "{harmless}");
        }
    }

    #[test]
    fn short_keys_are_found_whole_and_no_key_nowhere() {
        let print = KeyPrint::new(b"abc");
        assert!(print.is_in(b"xABCx") && !print.is_in(b"ab c"));
        assert!(!KeyPrint::new(b"").is_in(b"anything"));
        assert_eq!(base64(b"Man"), b"TWFu");
        assert_eq!(base64(b"Ma"), b"TWE");
    }
}

//! Texts as files spell them.

use std::fmt::Write as _;

/// Returns a text as TOML spells it, quotes included.
#[must_use]
pub fn toml(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => {
                // Writing to memory does not fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        assert_eq!(toml("gpt-4.1 é"), "\"gpt-4.1 é\"");
        assert_eq!(toml("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
    }
}

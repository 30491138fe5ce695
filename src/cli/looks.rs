//! How a screen looks: what was asked for, and what the terminal and the language say.

use clap::Args;

use super::no_color;
use crate::tui::{Glyphs, Options, ThemeName};

#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Looks {
    /// Colours [default: as the terminal has]
    #[arg(long, value_name = "dark|light|ansi|mono", value_parser = theme)]
    theme: Option<ThemeName>,
    /// Characters for lines and bars [default: as the terminal and the language have]
    #[arg(long, value_name = "unicode|ascii", value_parser = glyphs)]
    glyphs: Option<Glyphs>,
}

fn theme(text: &str) -> Result<ThemeName, String> {
    let all = [ThemeName::Dark, ThemeName::Light, ThemeName::Ansi, ThemeName::Mono];
    let found = all.into_iter().find(|theme| theme.name() == text);
    found.ok_or_else(|| "one of dark, light, ansi, mono".to_owned())
}

fn glyphs(text: &str) -> Result<Glyphs, String> {
    match text {
        "unicode" => Ok(Glyphs::Unicode),
        "ascii" => Ok(Glyphs::Ascii),
        _ => Err("one of unicode, ascii".to_owned()),
    }
}

/// The theme for a terminal that says what it can.
fn theme_of_terminal() -> ThemeName {
    let depth = std::env::var("COLORTERM").unwrap_or_default();
    if matches!(depth.as_str(), "truecolor" | "24bit") { ThemeName::Dark } else { ThemeName::Ansi }
}

/// The characters for a terminal and a language that are called so: the console of Linux has no braille,
/// and a language without UTF-8 has nothing beyond ASCII.
fn glyphs_of(term: Option<&str>, language: Option<&str>) -> Glyphs {
    let utf8 = language.is_none_or(|language| {
        let language = language.to_ascii_lowercase();
        language.contains("utf-8") || language.contains("utf8")
    });
    if utf8 && term != Some("linux") { Glyphs::Unicode } else { Glyphs::Ascii }
}

/// The language of characters, by the rule of POSIX: the first that is set and not empty.
fn language() -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set)
}

impl Looks {
    /// Returns how the screen is to look.
    pub(super) fn options(&self) -> Options {
        let term = std::env::var("TERM").ok();
        let glyphs = || glyphs_of(term.as_deref(), language().as_deref());
        Options {
            theme: self.theme.unwrap_or_else(theme_of_terminal),
            glyphs: self.glyphs.unwrap_or_else(glyphs),
            no_color: no_color(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_unicode_gets_ascii() {
        let of = |term, language| glyphs_of(Some(term), language);
        for language in [Some("C"), Some("POSIX"), Some("de_DE.ISO-8859-1")] {
            assert_eq!(of("xterm-256color", language), Glyphs::Ascii, "{language:?}");
        }
        for language in [None, Some("C.UTF-8"), Some("en_US.utf8")] {
            assert_eq!(of("xterm-256color", language), Glyphs::Unicode, "{language:?}");
            assert_eq!(of("linux", language), Glyphs::Ascii, "{language:?}");
        }
    }
}

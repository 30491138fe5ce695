//! How a screen looks: what was asked for, and what the terminal and the language say.

use clap::Args;

use super::failure::CliFailure;
use super::no_color;
use super::settings::UserSettings;
use crate::tui::{Glyphs, Left, Options, ThemeName};

#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Looks {
    /// Colours [default: as the terminal has]
    #[arg(long, value_name = "dark|light|ansi|mono", value_parser = ThemeName::parse)]
    theme: Option<ThemeName>,
    /// Characters for lines and bars [default: as the terminal and the language have]
    #[arg(long, value_name = "unicode|ascii", value_parser = Glyphs::parse)]
    glyphs: Option<Glyphs>,
    /// Select and scroll with the mouse
    #[arg(long)]
    mouse: bool,
}

/// How a screen begins, and what is kept of how it ends.
#[derive(Debug)]
pub(super) struct OpenLooks {
    pub(super) options: Options,
    settings: UserSettings,
}

impl OpenLooks {
    /// Keeps what was changed by key for the next time.
    pub(super) fn left(&self, left: &Left) {
        let Options { theme, glyphs, no_color, .. } = self.options;
        let theme = (!no_color && left.theme != theme).then_some(left.theme);
        let glyphs = (left.glyphs != glyphs).then_some(left.glyphs);
        // A home that cannot be written is the habit of some machines.
        let _ = self.settings.keep(theme, glyphs);
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
    /// Returns how the screen is to look, by what was asked for and what the person has settled.
    pub(super) fn open(&self) -> Result<OpenLooks, CliFailure> {
        let settings = UserSettings::open()?;
        let options = self.options(&settings);
        Ok(OpenLooks { options, settings })
    }

    /// The same where nobody looks on, whoever's machine it is.
    pub(super) fn for_scripts(&self) -> Options {
        self.options(&UserSettings::default())
    }

    fn options(&self, settings: &UserSettings) -> Options {
        let term = std::env::var("TERM").ok();
        let glyphs = || glyphs_of(term.as_deref(), language().as_deref());
        Options {
            theme: self.theme.or(settings.theme).unwrap_or_else(theme_of_terminal),
            glyphs: self.glyphs.or(settings.glyphs).unwrap_or_else(glyphs),
            no_color: no_color(),
            mouse: self.mouse || settings.mouse,
            keys: settings.keys.clone(),
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

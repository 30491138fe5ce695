//! What a person has settled for every screen: the file `config.toml`, table `[ui]`.
//!
//! Its place is `$PLIMSOLL_CONFIG`, else `plimsoll/config.toml` in `$XDG_CONFIG_HOME`, else in `~/.config`.
//! Colours and characters that are changed by key are kept there; comments and the rest stay as they are.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, value};

use super::failure::{CliFailure, FailureKind};
use super::limited;
use crate::tui::{Glyphs, KeyMap, ThemeName};

/// The file has at most so many bytes.
const BYTES_MAX: u64 = 1 << 16;

/// What the file says.
#[derive(Clone, Debug, Default)]
pub(super) struct UserSettings {
    pub(super) theme: Option<ThemeName>,
    pub(super) glyphs: Option<Glyphs>,
    pub(super) mouse: bool,
    pub(super) keys: KeyMap,
    /// Where they are, or would be.
    path: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    #[serde(default)]
    ui: UiTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UiTable {
    #[serde(default, deserialize_with = "theme")]
    theme: Option<ThemeName>,
    #[serde(default, deserialize_with = "glyphs")]
    glyphs: Option<Glyphs>,
    #[serde(default)]
    mouse: bool,
    #[serde(default)]
    keys: BTreeMap<String, KeysOfAction>,
}

/// One key, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum KeysOfAction {
    One(String),
    Several(Vec<String>),
}

fn theme<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Option<ThemeName>, D::Error> {
    let text = String::deserialize(text)?;
    ThemeName::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

fn glyphs<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Option<Glyphs>, D::Error> {
    let text = String::deserialize(text)?;
    Glyphs::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

impl UserSettings {
    /// Reads the file, where there is one.
    pub(super) fn open() -> Result<UserSettings, CliFailure> {
        let Some(path) = place() else { return Ok(UserSettings::default()) };
        let text = match limited::read(&path, BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(CliFailure::unreadable(&path, &error)),
        };
        let settings = UserSettings::parse(&text).map_err(|why| {
            let message = format!("{}: {why}", path.display());
            CliFailure::new(FailureKind::Usage, message)
        })?;
        Ok(UserSettings { path: Some(path), ..settings })
    }

    fn parse(text: &str) -> Result<UserSettings, String> {
        let file: SettingsFile =
            toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let UiTable { theme, glyphs, mouse, keys } = file.ui;
        let keys: Vec<(String, Vec<String>)> = keys
            .into_iter()
            .map(|(word, keys)| match keys {
                KeysOfAction::One(key) => (word, vec![key]),
                KeysOfAction::Several(keys) => (word, keys),
            })
            .collect();
        let map = KeyMap::with(keys.iter().map(|(word, keys)| (word.as_str(), keys.as_slice())));
        let keys = map.map_err(|why| format!("[ui.keys]: {why}"))?;
        Ok(UserSettings { theme, glyphs, mouse, keys, path: None })
    }

    /// Keeps colours and characters for the next time, those that are given. A file that cannot be written
    /// is no reason to fail: nothing is lost but a habit.
    pub(super) fn keep(&self, theme: Option<ThemeName>, glyphs: Option<Glyphs>) -> io::Result<()> {
        let Some(path) = self.path.as_deref().filter(|_| theme.is_some() || glyphs.is_some())
        else {
            return Ok(());
        };
        let text = limited::read(path, BYTES_MAX).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })?;
        let text = kept(&text, theme, glyphs).map_err(io::Error::other)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Whoever reads meanwhile reads the old file or the new one, not a half.
        let beside = path.with_extension("toml.part");
        fs::write(&beside, text)?;
        fs::rename(&beside, path)
    }
}

/// The file with these colours and characters.
fn kept(
    text: &str,
    theme: Option<ThemeName>,
    glyphs: Option<Glyphs>,
) -> Result<String, toml_edit::TomlError> {
    let mut file: DocumentMut = text.parse()?;
    let ui = file.entry("ui").or_insert_with(|| Item::Table(Table::new()));
    if let Some(ui) = ui.as_table_like_mut() {
        if let Some(theme) = theme {
            ui.insert("theme", value(theme.name()));
        }
        if let Some(glyphs) = glyphs {
            ui.insert("glyphs", value(glyphs.name()));
        }
    }
    Ok(file.to_string())
}

fn place() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("PLIMSOLL_CONFIG").or_else(|| {
        let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
        Some(folder.join("plimsoll").join("config.toml"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_settled_is_read_and_mistakes_are_told_with_their_place() {
        let file = "[ui]\ntheme = \"light\"\nglyphs = \"ascii\"\nmouse = true\n\
                    keys = { pause = \"F2\", kill-or-heal = [\"K\", \"F5\"] }\n";
        let read = UserSettings::parse(file).expect("sound");
        assert_eq!((read.theme, read.glyphs), (Some(ThemeName::Light), Some(Glyphs::Ascii)));
        assert!(read.mouse && read.keys != KeyMap::default());
        assert!(UserSettings::parse("").is_ok_and(|read| read.theme.is_none() && !read.mouse));
        for (wrong, said) in [
            ("[ui]\n\ntheme = \"dusk\"\n", "line 3"),
            ("[ui]\ntheme = \"dusk\"\n", "dark, light, ansi, mono"),
            ("[ui]\ncolour = \"dark\"\n", "unknown field `colour`"),
            ("[ui.keys]\nfly = \"x\"\n", "nothing to do called `fly`"),
            ("[ui", "line 1"),
        ] {
            let why = UserSettings::parse(wrong).expect_err("wrong");
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn what_is_kept_changes_nothing_else_in_the_file() {
        let file =
            "# mine\n[ui]\nmouse = true # so\ntheme = \"dark\"\n\n[ui.keys]\npause = \"F2\"\n";
        let kept = kept(file, Some(ThemeName::Light), None).expect("sound");
        assert_eq!(kept, file.replace("\"dark\"", "\"light\""));
        let new = super::kept("", Some(ThemeName::Mono), Some(Glyphs::Ascii)).expect("sound");
        let read = UserSettings::parse(&new).expect("sound");
        assert_eq!((read.theme, read.glyphs), (Some(ThemeName::Mono), Some(Glyphs::Ascii)));
    }
}

//! The shape of the house: which module may name which, and what a file begins with.

use std::fs;
use std::path::{Path, PathBuf};

/// For each module of `src` the modules it may name, beside itself. What is missing matters: no
/// arrow from `balance` to `workload` (no oracle), none from `metrics` or `tui` to `sim` (one fold
/// and one face for simulated and live runs).
const ARROWS: &[(&str, &[&str])] = &[
    ("unit", &[]),
    ("rng", &[]),
    ("dist", &["rng"]),
    ("id_map", &["unit"]),
    ("balance", &["unit", "rng", "id_map"]),
    ("workload", &["unit", "rng", "dist", "id_map", "balance"]),
    ("node", &["unit", "rng", "dist", "balance", "workload"]),
    ("metrics", &["unit", "balance"]),
    ("journal", &["unit", "balance"]),
    ("command", &["unit", "balance", "metrics"]),
    ("sim", &["unit", "rng", "dist", "id_map", "balance", "workload", "node"]),
    ("scenario", &["unit", "dist", "balance", "workload", "node", "metrics", "sim"]),
    (
        "live",
        &[
            "unit", "rng", "dist", "id_map", "balance", "workload", "node", "metrics", "journal",
            "command",
        ],
    ),
    ("lab", &["unit", "rng", "balance", "node", "metrics", "journal", "sim", "scenario"]),
    // The reference is made of the tables of faults and of scenario keys.
    ("report", &["unit", "balance", "node", "metrics", "lab", "scenario"]),
    ("tui", &["unit", "balance", "metrics", "command"]),
    (
        "cli",
        &[
            "unit", "balance", "workload", "node", "metrics", "journal", "command", "sim",
            "scenario", "lab", "live", "report", "tui",
        ],
    ),
    ("main", &["cli"]),
];

/// No file is longer than this.
const LINES_MAX: usize = 1_200;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of the package");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    assert!(found.len() > 50, "the walk finds the sources");
    found
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).expect("below src");
            let first = inside.components().next().expect("a name").as_os_str();
            let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("text");
            (module, inside.to_owned(), text)
        })
        .collect()
}

/// Modules that a source names as `crate::x` or, in the program, `plimsoll::x`.
fn named(text: &str) -> Vec<&str> {
    ["crate::", "plimsoll::"]
        .iter()
        .flat_map(|prefix| text.match_indices(prefix).map(|(at, _)| &text[at + prefix.len()..]))
        .map(|rest| {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            &rest[..end]
        })
        .filter(|name| ARROWS.iter().any(|(module, _)| module == name))
        .collect()
}

#[test]
fn modules_name_only_what_the_arrows_allow() {
    for (module, path, text) in sources() {
        if module == "lib" {
            continue;
        }
        // Tests at the foot of a file may reach further.
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        let is_test =
            path.file_name().is_some_and(|name| name == "tests.rs" || name == "fixture.rs");
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("`{module}` is not in the list of arrows"));
        for name in named(code) {
            assert!(
                is_test || name == module || allowed.contains(&name),
                "{}: `{module}` may not name `{name}`",
                path.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_none_grows_too_long() {
    for (_, path, text) in sources() {
        let begins = text.starts_with("//!") || text.starts_with("#![doc");
        assert!(begins, "{} begins with what it is for", path.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_names_a_place_of_some_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "Cargo.toml"] {
        let text = fs::read_to_string(root.join(name)).expect(name);
        for word in ["/work/", "/home/", "/root/"] {
            assert!(!text.contains(word), "{name} names {word}");
        }
    }
}

//! The reference pages in `docs` are what the program says of itself, and the page of the decision log
//! is what the log says. `PLIMSOLL_WRITE_REFERENCE=1 cargo test --test cli reference` writes the pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use plimsoll::cli::reference::PAGES;
use plimsoll::report::reference::log::KINDS;
use serde_json::Value;

#[cfg(all(feature = "tui", feature = "live"))]
#[test]
fn every_page_of_the_reference_is_what_the_program_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/reference");
    let write = std::env::var_os("PLIMSOLL_WRITE_REFERENCE").is_some();
    let mut stale = Vec::new();
    for page in PAGES {
        let path = folder.join(format!("{}.md", page.name));
        let text = (page.write)();
        if write {
            fs::write(&path, &text).expect("the page is written");
        } else if fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
            stale.push(page.name);
        }
    }
    let how = "PLIMSOLL_WRITE_REFERENCE=1 cargo test --test cli reference";
    assert!(stale.is_empty(), "out of date: {stale:?}; write them with `{how}`");
}

fn run(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).stdin(Stdio::null()).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().expect("the program starts");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_log_has_the_lines_and_fields_that_its_page_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut scenarios = [
        "quickstart",
        "model-choice",
        "cached-answers",
        "bench-guarded",
        "tests/cases/shed-for-ever.toml",
    ]
    .map(str::to_owned)
    .to_vec();
    for seed in 1..=8 {
        let path = folder.path().join(format!("{seed}.toml"));
        fs::write(&path, run(&["chaos", "--seed", &seed.to_string(), "--show"])).expect("written");
        scenarios.push(path.to_string_lossy().into_owned());
    }
    let mut seen = BTreeSet::new();
    for scenario in scenarios {
        let text = run(&["run", &scenario, "--format", "ndjson", "--requests", "6000"]);
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let Some(what) = line["what"].as_str() else { continue };
            let kind = KINDS.iter().find(|kind| kind.word == what);
            let kind = kind.unwrap_or_else(|| panic!("the page does not name `{what}`"));
            for field in line.as_object().expect("an object").keys() {
                let frame = ["n", "at_ns", "what", "hash"].contains(&field.as_str());
                let named = kind.fields.iter().any(|(name, _)| name == field);
                assert!(frame || named, "the page does not name `{field}` of `{what}`");
                seen.insert((kind.word, field.clone()));
            }
        }
    }
    // Most kinds come up in these runs; none of those has lost a field.
    let kinds: BTreeSet<&str> = seen.iter().map(|(word, _)| *word).collect();
    assert!(kinds.len() >= 12, "{kinds:?}");
    for kind in KINDS.iter().filter(|kind| kinds.contains(kind.word)) {
        for (field, _) in kind.fields {
            let seldom = [
                ("outcome", "rung"),
                ("outcome", "over_budget"),
                ("decision", "resumed_tokens"),
                ("attempt", "estimated"),
            ];
            let optional = seldom.contains(&(kind.word, field));
            assert!(optional || seen.contains(&(kind.word, (*field).to_owned())), "{field}");
        }
    }
}

//! `THIRD-PARTY.md`: whose code is in the program, and under which licence. It is made from the metadata of
//! the packages that `Cargo.lock` names; `PLIMSOLL_WRITE_NOTICES=1 cargo test --test cli notices` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where the program is built for others.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

fn cargo(arguments: &[&str]) -> Option<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).args(["--offline", "--locked"]).current_dir(ROOT);
    let output = command.output().ok()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

/// Packages whose code is in the program: `name version`.
fn linked() -> Option<BTreeSet<String>> {
    let edges = "normal,no-proc-macro";
    let tree =
        cargo(&["tree", "-e", edges, "--target", PLATFORM, "--prefix", "none", "-f", "{p}"])?;
    let package = |line: &str| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?, words.next()?);
        (name != "plimsoll").then(|| format!("{name} {}", version.trim_start_matches('v')))
    };
    Some(tree.lines().filter_map(package).collect())
}

/// The licence texts in the folder of a package: of several to choose from, one; and every notice.
fn texts(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut named: BTreeMap<String, String> = files
        .filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().to_uppercase();
            let wanted = ["LICEN", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT"];
            let wanted = wanted.iter().any(|begin| name.starts_with(begin));
            let text = wanted.then(|| fs::read_to_string(path).ok())??;
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            Some((name, lines.join("\n").trim().to_owned()))
        })
        .collect();
    if named.keys().any(|name| name.contains("MIT")) {
        named.retain(|name, _| name.contains("MIT") || name.starts_with("NOTICE"));
    }
    named.into_values().collect()
}

fn notices() -> Option<String> {
    let linked = linked()?;
    let metadata: Value = serde_json::from_str(&cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        PLATFORM,
    ])?)
    .ok()?;
    let mut rows = String::new();
    let mut texts_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut found = BTreeSet::new();
    let mut packages: Vec<&Value> = metadata["packages"].as_array()?.iter().collect();
    packages.sort_by_key(|package| (package["name"].to_string(), package["version"].to_string()));
    for package in packages {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{} {}", text("name"), text("version"));
        if !linked.contains(&name) {
            continue;
        }
        assert_ne!(text("license"), "", "{name} says its licence");
        let _ = writeln!(rows, "| {name} | {} | {} |", text("license"), text("repository"));
        let folder = Path::new(text("manifest_path")).parent()?;
        for text in texts(folder) {
            texts_of.entry(text).or_default().push(name.clone());
        }
        found.insert(name);
    }
    assert_eq!(found, linked, "every package is known");
    let mut all = format!(
        "# Third-party notices\n\nThe program contains code of these packages. Where a package may be had \
         under several licences,\nthe text of one of them is below.\n\n\
         | package | licence | source |\n|---|---|---|\n{rows}"
    );
    let mut texts: Vec<(String, Vec<String>)> = texts_of.into_iter().collect();
    texts.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.cmp(&b.0)));
    for (text, packages) in texts {
        let _ = write!(
            all,
            "\n## {}\n\n```text\n{}\n```\n",
            packages.join(", "),
            text.replace("```", "'''")
        );
    }
    Some(all)
}

#[test]
fn the_notices_name_every_package_whose_code_is_in_the_program() {
    let Some(now) = notices() else {
        eprintln!("skipped: cargo cannot tell here which packages there are");
        return;
    };
    let path = Path::new(ROOT).join("THIRD-PARTY.md");
    if std::env::var_os("PLIMSOLL_WRITE_NOTICES").is_some() {
        fs::write(&path, &now).expect("written");
    }
    let kept = fs::read_to_string(&path).expect("THIRD-PARTY.md");
    let packages = |text: &str| {
        let rows = text.lines().filter(|line| line.starts_with("| "));
        rows.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert!(packages(&now).len() > 50, "{now}");
    assert_eq!(
        packages(&kept),
        packages(&now),
        "PLIMSOLL_WRITE_NOTICES=1 cargo test --test cli notices writes it anew"
    );
    assert!(kept == now, "the texts differ: write it anew");
}

/// The binary of a release is small, and whoever profiles gets the same code with names.
#[test]
fn a_release_is_stripped_and_a_profile_is_not() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("the manifest");
    let section = |name: &str| {
        let rest = manifest.split(&format!("[profile.{name}]\n")).nth(1).expect("a profile");
        rest.split("\n[").next().expect("its lines").to_owned()
    };
    assert!(section("release").contains("strip = \"symbols\""));
    for profile in ["profiling", "bench"] {
        let section = section(profile);
        assert!(section.contains("strip = \"none\"") && section.contains("debug = "), "{section}");
    }
    assert!(section("profiling").contains("inherits = \"release\""));
}

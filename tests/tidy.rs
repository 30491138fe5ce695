//! The shape of the house: which module may name which, and what a file begins with.

use std::collections::{BTreeMap, BTreeSet};
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
    ("quote", &[]),
    ("balance", &["unit", "rng", "id_map"]),
    ("workload", &["unit", "rng", "dist", "id_map", "balance"]),
    ("node", &["unit", "rng", "dist", "balance", "workload"]),
    ("metrics", &["unit", "balance"]),
    ("journal", &["unit", "balance"]),
    ("command", &["unit", "balance", "metrics"]),
    ("sim", &["unit", "rng", "dist", "id_map", "balance", "workload", "node"]),
    ("scenario", &["unit", "dist", "quote", "balance", "workload", "node", "metrics", "sim"]),
    (
        "live",
        &[
            "unit", "rng", "dist", "id_map", "balance", "workload", "node", "metrics", "journal",
            "command",
        ],
    ),
    ("lab", &["unit", "rng", "balance", "node", "metrics", "journal", "sim", "scenario"]),
    // The reference is made of the tables of faults and of scenario keys.
    ("report", &["unit", "balance", "node", "metrics", "journal", "command", "lab", "scenario"]),
    // What can go wrong by hand is listed from the table of faults.
    ("tui", &["unit", "quote", "balance", "node", "metrics", "command"]),
    (
        "cli",
        &[
            "unit", "quote", "balance", "workload", "node", "metrics", "journal", "command", "sim",
            "scenario", "lab", "live", "report", "tui",
        ],
    ),
    // Fuzzers read whatever others may have written.
    ("fuzz", &["workload", "journal", "scenario", "live", "report"]),
    ("main", &["cli"]),
];

/// No file is longer than this.
const LINES_MAX: usize = 700;

/// Names of types that stand for more than one thing, and for how many. The list only shrinks.
const SHARED: &str = include_str!("tidy/shared-names.txt");

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
        // Tests may reach further.
        let code = code(&path, &text);
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("`{module}` is not in the list of arrows"));
        for name in named(&code) {
            assert!(
                name == module || allowed.contains(&name),
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

/// The part of a source that is no test.
fn code(path: &Path, text: &str) -> String {
    let is_test = path
        .iter()
        .any(|step| ["tests.rs", "tests", "fixture.rs"].iter().any(|name| step == *name));
    if is_test {
        return String::new();
    }
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text).to_owned()
}

/// The name that a line defines, if it defines a type.
fn defined(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let words = ["struct ", "enum ", "trait ", "type "];
    let rest = words.iter().find_map(|word| line.strip_prefix(word))?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// How often each name that is defined more than once is defined. Types of traits and types inside of
/// functions are not counted: they are not at the margin of the file.
fn shared_names() -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, path, text) in sources() {
        let text = code(&path, &text);
        let at_margin = text.lines().filter(|line| !line.starts_with(' '));
        let names: BTreeSet<&str> = at_margin.filter_map(defined).collect();
        for name in names {
            *counts.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    counts.retain(|_, count| *count > 1);
    counts
}

/// A line of the list: a name, how many types have it, and why they do.
fn listed(line: &str) -> Option<(String, usize, &str)> {
    let (name, rest) = line.split_once(' ')?;
    let (count, reason) = rest.split_once(": ")?;
    Some((name.to_owned(), count.parse().ok()?, reason))
}

/// With `PLIMSOLL_WRITE_NAMES` the list is written anew, but never longer than it was.
#[test]
fn no_name_comes_to_stand_for_one_more_thing() {
    let reasons = SHARED.lines().map(|line| listed(line).expect("name, number and reason"));
    let (mut listed, mut why) = (BTreeMap::new(), BTreeMap::new());
    for (name, count, reason) in reasons {
        listed.insert(name.clone(), count);
        why.insert(name, reason);
    }
    let found = shared_names();
    if std::env::var_os("PLIMSOLL_WRITE_NAMES").is_some() {
        let kept = listed.iter().filter_map(|(name, count)| {
            let now = found.get(name)?;
            Some(format!("{name} {}: {}\n", now.min(count), why[name]))
        });
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tidy/shared-names.txt");
        fs::write(path, kept.collect::<String>()).expect("written");
        return;
    }
    for (name, count) in &found {
        let before = listed.get(name).copied().unwrap_or(1);
        assert!(*count <= before, "`{name}` names {count} types; give the new one its own name");
    }
    for (name, count) in &listed {
        let now = found.get(name).copied().unwrap_or(1);
        assert!(
            now >= *count,
            "`{name}` names {now} types only: PLIMSOLL_WRITE_NAMES=1 shortens the list"
        );
    }
}

/// Where the machine is: the only place that knows its fields.
const SPINE: &str = "balance/balancer";

#[test]
fn only_the_spine_has_the_machine_s_methods_and_nobody_else_sees_its_fields() {
    let mut spines = 0;
    for (_, path, text) in sources() {
        let in_spine = path.starts_with(SPINE);
        for line in text.lines().filter(|line| line.starts_with("impl Balancer {")) {
            assert!(in_spine, "{}: `{line}` outside of {SPINE}", path.display());
            spines += 1;
        }
        let Some((_, rest)) = text.split_once("pub struct Balancer {") else { continue };
        let fields = rest.split("\n}").next().unwrap_or_default();
        let seen = fields.lines().find(|line| line.trim_start().starts_with("pub"));
        assert!(seen.is_none(), "{}: {seen:?} is seen from outside", path.display());
    }
    assert!(spines > 0, "the machine is found");
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

/// For each part of the core the parts it may name. A part reads the fleet, a request and what is data;
/// only the spine, `balancer`, names the parts that change.
const PARTS: &[(&str, &[&str])] = &[
    (
        "balancer",
        &[
            "batch",
            "cache",
            "concurrency",
            "explain",
            "fleet",
            "health",
            "output",
            "overload",
            "queue",
            "quota",
            "requests",
            "retry",
            "routing",
            "scaling",
            "sticky",
            "strategies",
            "strategy",
            "timer",
        ],
    ),
    ("batch", &["requests"]),
    ("by_tenant", &[]),
    ("cache", &[]),
    ("concurrency", &["fleet", "requests"]),
    ("explain", &["strategy"]),
    ("fixture", &[]),
    ("fleet", &["limits"]),
    ("health", &["fleet"]),
    ("limits", &[]),
    ("output", &[]),
    ("overload", &["fleet"]),
    ("queue", &["by_tenant", "requests"]),
    ("quota", &["by_tenant", "limits", "requests"]),
    ("requests", &["by_tenant", "fleet", "strategy"]),
    ("retry", &["requests"]),
    ("routing", &["fleet"]),
    ("scaling", &["fleet"]),
    ("spec", &["strategy"]),
    ("sticky", &[]),
    ("strategies", &["explain", "fleet", "requests", "strategy"]),
    ("strategy", &["fleet"]),
    ("timer", &["requests"]),
    ("vocabulary", &["strategy"]),
];

/// What may be named by everybody: data without a will of its own.
const GROUND: &[&str] = &["spec", "vocabulary"];

/// The paths of a tree of `use`: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        return vec![path.trim().to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(paths(&inner[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|path| !path.is_empty());
    found.iter().map(|path| format!("{}{path}", before.trim())).collect()
}

/// Every path in a source that begins at `crate` or `super`, in `use` and elsewhere.
fn all_paths(code: &str) -> Vec<String> {
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find("use ") {
        let begins = rest[..at].chars().last().is_none_or(char::is_whitespace);
        rest = &rest[at + 4..];
        if begins && let Some(end) = rest.find(';') {
            found.extend(paths(&rest[..end]));
        }
    }
    for root in ["super::", "crate::"] {
        for (at, _) in code.match_indices(root) {
            let path = &code[at..];
            let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            found.push(path[..end.unwrap_or(path.len())].trim_end_matches(':').to_owned());
        }
    }
    found
}

/// The part of the core that a path in a file of the core leads to. `inside` is the file's module below
/// `balance`; `exported` says where a name that `balance` itself offers comes from.
fn part_of<'a>(
    path: &'a str,
    inside: &'a [String],
    exported: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    let mut steps: Vec<&str> = path.split("::").collect();
    let mut at: Vec<&str> = inside.iter().map(String::as_str).collect();
    if steps.starts_with(&["crate", "balance"]) {
        at.clear();
        steps.drain(..2);
    } else if steps[0] == "super" {
        while steps.first() == Some(&"super") {
            at.pop()?;
            steps.remove(0);
        }
    } else {
        return None;
    }
    at.extend(steps);
    let first = *at.first()?;
    if PARTS.iter().any(|(part, _)| *part == first) {
        return Some(first);
    }
    exported.get(first).map(String::as_str)
}

#[test]
fn parts_of_the_core_name_only_what_their_arrows_allow() {
    let core: Vec<_> = sources().into_iter().filter(|(module, ..)| module == "balance").collect();
    let (_, _, contract) = core
        .iter()
        .find(|(_, path, _)| path.ends_with("balance/mod.rs"))
        .expect("the contract of the core");
    let exported: BTreeMap<String, String> = all_paths(contract)
        .iter()
        .filter_map(|path| {
            let (part, name) = (path.split("::").next()?, path.rsplit("::").next()?);
            Some((name.to_owned(), part.to_owned()))
        })
        .collect();
    let mut arrows: BTreeSet<(String, String)> = BTreeSet::new();
    for (_, path, text) in core.iter().filter(|(_, path, _)| !path.ends_with("balance/mod.rs")) {
        let mut inside: Vec<String> = path
            .with_extension("")
            .components()
            .skip(1)
            .map(|step| step.as_os_str().to_string_lossy().into_owned())
            .collect();
        inside.retain(|step| step != "mod");
        let part = inside[0].clone();
        if part == "fixture" {
            continue;
        }
        let (_, allowed) = PARTS
            .iter()
            .find(|(name, _)| *name == part)
            .unwrap_or_else(|| panic!("`{part}` is not in the list of parts"));
        for named in all_paths(&code(path, text)) {
            let Some(other) = part_of(&named, &inside, &exported) else { continue };
            let fine = other == part || GROUND.contains(&other) || allowed.contains(&other);
            assert!(fine, "{}: `{part}` may not name `{other}` ({named})", path.display());
            arrows.insert((part.clone(), other.to_owned()));
        }
    }
    // The list is as short as it can be, and the walk has seen something.
    for (part, allowed) in PARTS {
        for other in *allowed {
            let is_used = arrows.contains(&((*part).to_owned(), (*other).to_owned()));
            assert!(is_used, "`{part}` no longer names `{other}`: take it off the list");
        }
    }
}

/// A file of the core as a module: its path below `balance`.
type Module = Vec<String>;

/// No circle of files that name each other has more.
const CIRCLE_MAX: usize = 3;

/// Where a path leads from a module, as steps below `balance`.
fn below_balance(path: &str, from: &Module) -> Option<Module> {
    let mut steps: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut at: Vec<&str> = from.iter().map(String::as_str).collect();
    if steps.starts_with(&["crate", "balance"]) {
        at.clear();
        steps.drain(..2);
    } else if steps[0] == "crate" {
        return None;
    }
    while ["super", "self"].contains(steps.first()?) {
        if steps.remove(0) == "super" {
            at.pop()?;
        }
    }
    at.extend(steps);
    Some(at.into_iter().map(str::to_owned).collect())
}

/// The module that an item is written in: names that a module passes on are followed.
fn written_in(
    path: &[String],
    modules: &BTreeMap<Module, String>,
    passed_on: &BTreeMap<Module, Module>,
) -> Option<Module> {
    let mut path = path.to_vec();
    // No name is passed on more often.
    for _ in 0..8 {
        let depth = (0..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
        let name = path.get(..=depth).map(<[String]>::to_vec);
        match name.and_then(|name| passed_on.get(&name)) {
            Some(origin) => path = [origin.as_slice(), &path[depth + 1..]].concat(),
            None => return Some(path[..depth].to_vec()),
        }
    }
    None
}

/// The path as it would be written from the root, where it begins at a module below this one.
fn rooted(path: &str, module: &Module, modules: &BTreeMap<Module, String>) -> Option<String> {
    let first = path.split("::").next().unwrap_or_default().trim();
    if ["crate", "super", "self"].contains(&first) {
        return Some(path.to_owned());
    }
    let child = [module.as_slice(), &[first.to_owned()]].concat();
    modules.contains_key(&child).then(|| format!("self::{path}"))
}

/// A source without what it only passes on.
fn without_passing_on(text: &str) -> String {
    let statements = text.split_inclusive(';');
    let own = statements.filter(|statement| {
        let last = statement.rsplit("\n\n").next().unwrap_or(statement).trim_start();
        !(last.starts_with("pub") && last.contains("use "))
    });
    own.collect()
}

/// By module and name: where a name that a module passes on with `pub use` comes from.
fn names_passed_on(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, Module> {
    let mut passed_on = BTreeMap::new();
    for (module, text) in modules {
        for (at, _) in text.match_indices("use ") {
            let before = text[..at].rsplit('\n').next().unwrap_or_default();
            if !before.starts_with("pub") {
                continue;
            }
            for path in paths(text[at + 4..].split(';').next().unwrap_or_default()) {
                let origin = rooted(&path, module, modules);
                let Some(origin) = origin.and_then(|path| below_balance(&path, module)) else {
                    continue;
                };
                let name = origin.last().cloned().unwrap_or_default();
                passed_on.insert([module.as_slice(), &[name]].concat(), origin);
            }
        }
    }
    passed_on
}

/// Everything that can be reached from a module by arrows.
fn reached<'a>(
    from: &Module,
    arrows: &'a BTreeMap<Module, BTreeSet<Module>>,
) -> BTreeSet<&'a Module> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        for other in arrows.get(module).into_iter().flatten() {
            if seen.insert(other) {
                next.push(other);
            }
        }
    }
    seen
}

#[test]
fn no_circle_of_files_in_the_core_is_large() {
    let core = sources().into_iter().filter(|(module, ..)| module == "balance");
    let modules: BTreeMap<Module, String> = core
        .map(|(_, path, text)| {
            let text = code(&path, &text);
            let path = path.with_extension("");
            let steps = path.iter().skip(1).map(|step| step.to_string_lossy().into_owned());
            (steps.filter(|step| step != "mod").collect(), text)
        })
        .collect();
    let passed_on = names_passed_on(&modules);
    let named = |module: &Module, text: &str| -> BTreeSet<Module> {
        let paths = all_paths(&without_passing_on(text)).into_iter();
        let origins = paths.filter_map(|path| {
            let path = rooted(&path, module, &modules)?;
            written_in(&below_balance(&path, module)?, &modules, &passed_on)
        });
        origins.filter(|other| other != module && !other.is_empty()).collect()
    };
    // The root only passes names on.
    let arrows: BTreeMap<Module, BTreeSet<Module>> = modules
        .iter()
        .filter(|(module, _)| !module.is_empty())
        .map(|(module, text)| (module.clone(), named(module, text)))
        .collect();
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 300, "the walk sees the arrows");
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        arrows.keys().map(|module| (module, reached(module, &arrows))).collect();
    for (module, others) in &reach {
        let circle: Vec<_> =
            others.iter().filter(|other| reach[**other].contains(*module)).collect();
        assert!(circle.len() <= CIRCLE_MAX, "a circle of {}: {circle:?}", circle.len());
    }
}

/// Words of formats stand in tables: no name of the program is one, so that names may change.
#[test]
fn no_format_takes_its_words_from_names_of_the_program() {
    let formats = ["journal", "report"];
    let data = ["balance", "unit", "node", "sim", "metrics", "command", "lab", "workload"];
    for (module, path, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        let code: Vec<&str> =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let has = |word: &str| code.iter().any(|line| line.contains(word));
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
        if formats.contains(&module.as_str()) && !is_test {
            for word in [":?}", "stringify!", "rename_all"] {
                assert!(!has(word), "{}: `{word}` gives names of the program", path.display());
            }
        }
        // Traces are other people's formats; they are read and not written.
        if data.contains(&module.as_str()) {
            assert!(!has("Serialize,") && !has("Serialize)"), "{} has a format", path.display());
        }
    }
}

#[test]
fn what_is_said_of_security_is_held_by_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("the page");
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        files(&root.join(folder), &mut found);
    }
    let code: String = found.iter().map(|path| fs::read_to_string(path).expect("text")).collect();
    let mut rows = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.contains("| test |")) {
        let cell = row.trim_end_matches('|').rsplit('|').next().expect("a cell");
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test holds this: {row}");
        for name in names {
            let there = ["fn ", "async fn "].iter().any(|word| {
                code.contains(&format!("\n{word}{name}()"))
                    || code.contains(&format!(" {word}{name}()"))
            });
            assert!(there, "there is no test `{name}`");
        }
        rows += 1;
    }
    assert!(rows > 40, "{rows} rows");
    // Every limit that is an option is in a row.
    let limits = fs::read_to_string(root.join("src/cli/limits.rs")).expect("text");
    for line in limits.lines().filter(|line| line.ends_with(',') && line.starts_with("    max_")) {
        let name = line.trim().split(':').next().expect("a name").replace('_', "-");
        assert!(text.contains(&format!("`--{name}`")), "--{name} is not told");
    }
}

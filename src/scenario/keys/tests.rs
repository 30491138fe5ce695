//! Laws of the table of keys: all that it says is true of the readers, and the other way round.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::super::document::{self, Entry, Kind, Value};
use super::super::problem::{Place, Problem};
use super::super::read::read_document;
use super::super::table::ASKED;
use super::super::value::Walk;
use super::super::{BUILTIN, Scenario};
use super::schema::of_key;
use super::*;
use crate::node::fault::FAULTS;

/// A scenario with every table that a scenario may have, as empty as it may be. What stands between two
/// `@` has several forms.
const WIDE: &str = include_str!("../testdata/wide.toml");

/// Forms of what excludes each other: orders of the queue, guards, and arrivals with what they begin.
const FORMS: [(&str, &str, &str); 13] = [
    ("order = { fifo = {} },", "", "arrivals = { users = { count = 3, think = \"1s\" } }"),
    (
        "order = { edf = {} },",
        GUARDS,
        "arrivals = { poisson = { rate = 1 } }\nsessions = { turns = 3, think = \"0s\" }",
    ),
    ("order = { shortest = {} },", GUARDS, JOBS),
    ("order = { adaptive_lifo = {} },", "", "arrivals = { weibull = { rate = 1, shape = 1 } }"),
    ("", "", "arrivals = { mmpp = { rates = [1, 2], holds = [\"1s\", \"1s\"] } }"),
    ("", "", "arrivals = { ramp = { from = 1, to = 2, over = \"1m\" } }"),
    ("", "", "arrivals = { diurnal = { mean = 1, amplitude = 0.5 } }"),
    ("", "", "arrivals = { steps = [{ at = \"0s\", rate = 1 }] }"),
    ("", "", "arrivals = { gamma = { rate = 1, cv = 1 } }"),
    ("", "", "arrivals = { trace = { csv = { time = \"t\", input = \"i\", output = \"o\" } } }"),
    ("", "", "arrivals = { trace = { servegen = {} } }"),
    ("", "", "arrivals = { trace = { sessions = { start = { users = { count = 2 } } } } }"),
    ("", "", "arrivals = { trace = { azure = {} } }"),
];

const GUARDS: &str = "hedge = { after = \"p95\" }\nshed = {}\ndegrade = {}";

const JOBS: &str = r#"arrivals = { gamma = { rate = 1, cv = 1 } }
workflow = { w = 1 }
[[workflow]]
name = "w"
[[workflow.steps]]
name = "s"
route_class = "x"
on_failure = { retry = 1 }
calls = { class = "y", count = 1 }
[[workflow.steps]]
name = "t"
route_class = "y"
back_to = { step = "t", rounds = 2 }
"#;

/// Laws of durations, which stand in for `@law@`.
const LAWS_OF_DURATIONS: [&str; 11] = [
    "\"10ms\"",
    "{ constant = \"10ms\" }",
    "{ uniform = { min = \"1s\", max = \"2s\" } }",
    "{ exponential = { mean = \"1s\" } }",
    "{ gamma = { mean = \"1s\", cv = 1 } }",
    "{ lognormal = { p50 = \"1s\", p95 = \"2s\" } }",
    "{ lognormal = { mean = \"1s\", sigma = 0.5, shift = \"0s\" } }",
    "{ weibull = { mean = \"1s\", shape = 1 } }",
    "{ pareto = { min = \"1s\", shape = 2 } }",
    "{ mixture = [{ weight = 1, lognormal = { p50 = \"1s\", p95 = \"2s\" } }] }",
    "{ quantiles = [[0, \"1s\"], [1, \"2s\"]] }",
];

/// The forms of the wide scenario.
fn wide() -> Vec<String> {
    let forms = FORMS.into_iter().zip(LAWS_OF_DURATIONS.into_iter().cycle());
    forms
        .map(|((order, guards, workload), law)| {
            // Numbers have the same laws.
            let number = law.replace("\"10ms\"", "10").replace("s\"", "").replace('"', "");
            WIDE.replace("@order@", order)
                .replace("@guards@", guards)
                .replace("@workload@", workload)
                .replace("@law@", law)
                .replace("@number@", &number)
        })
        .collect()
}

/// Reads a tree: what comes of it, and what is wrong.
fn read(document: &[Entry]) -> (Option<Scenario>, Vec<Problem>) {
    let mut walk = Walk::default();
    let scenario = read_document(&mut walk, document, "test");
    (scenario, walk.problems)
}

/// Calls `f` with every table of a tree that has a section.
fn tables(
    section: &'static SectionDef,
    entries: &mut Vec<Entry>,
    f: &mut dyn FnMut(&'static SectionDef, &mut Vec<Entry>),
) {
    f(section, entries);
    for entry in entries {
        match section.find(&entry.key) {
            Some(key) => inside(&key.kind, &mut entry.value.kind, f),
            None if section.fault && FAULTS.iter().any(|word| word.name == entry.key) => {
                inside(&KeyKind::Table(&TARGET), &mut entry.value.kind, f);
            }
            None => {}
        }
    }
}

fn inside(
    kind: &KeyKind,
    value: &mut Kind,
    f: &mut dyn FnMut(&'static SectionDef, &mut Vec<Entry>),
) {
    for kind in kind.alternatives() {
        match (kind, &mut *value) {
            (KeyKind::Table(section) | KeyKind::Variant(section, _), Kind::Table(entries)) => {
                let fits = |entry: &Entry| section.find(&entry.key).is_some() || section.fault;
                if entries.iter().any(fits) || entries.is_empty() {
                    tables(section, entries, f);
                }
            }
            (KeyKind::Map(_, kind, _), Kind::Table(entries)) => {
                entries.iter_mut().for_each(|entry| inside(kind, &mut entry.value.kind, f));
            }
            (KeyKind::Tables(section, _), Kind::List(items)) => {
                let kind = KeyKind::Table(section);
                items.iter_mut().for_each(|item| inside(&kind, &mut item.kind, f));
            }
            (KeyKind::List(kind, ..) | KeyKind::OneOrMore(kind, _), Kind::List(items)) => {
                items.iter_mut().for_each(|item| inside(kind, &mut item.kind, f));
            }
            (KeyKind::OneOrMore(kind, _), other) => inside(kind, other, f),
            _ => {}
        }
    }
}

/// Every key that a text says, by section.
pub(crate) fn said(text: &str) -> BTreeSet<(&'static str, &'static str)> {
    let mut document = document::read(text).expect("it is TOML");
    let mut said = BTreeSet::new();
    tables(&SCENARIO, &mut document, &mut |section, entries| {
        let keys = entries.iter().filter_map(|entry| section.find(&entry.key));
        said.extend(keys.map(|key| (section.name, key.name)));
    });
    said
}

fn here(kind: Kind) -> Value {
    Value { place: Place::File, kind }
}

fn text(text: impl Into<String>) -> Kind {
    Kind::Text(text.into())
}

fn entry(key: &str, kind: Kind) -> Entry {
    Entry { key: key.to_owned(), place: Place::File, value: here(kind) }
}

/// Values that may be said, at least one for each alternative.
fn samples(kind: &KeyKind) -> Vec<Kind> {
    let whole = |value: u64| Kind::Whole(Some(i128::from(value)));
    let first = |kind: &KeyKind| here(samples(kind).remove(0));
    match kind {
        KeyKind::Text(form) => {
            let fitting = ["x", "p95", "30%", "http://x", ";"];
            let fits = fitting.into_iter().find(|text| matches(form.pattern, text));
            vec![text(fits.unwrap_or_else(|| panic!("a text for {}", form.pattern)))]
        }
        KeyKind::Truth => vec![Kind::Truth(true), Kind::Truth(false)],
        KeyKind::Whole(least, u64::MAX) => vec![whole(*least)],
        KeyKind::Whole(least, most) => vec![whole(*least), whole(*most)],
        KeyKind::Number(Range { least, most, above }) => {
            let step = if *above { (most - least).min(1.0) / 2.0 } else { 0.0 };
            vec![Kind::Number(least + step)]
        }
        KeyKind::Span(least, _) => vec![text((*least + Span::from_secs(1)).to_string())],
        KeyKind::Word(words) => words.iter().map(|word| text(*word)).collect(),
        KeyKind::Table(section) => {
            let needed = section.keys.iter().filter(|key| key.usual == Usual::Needed);
            let entries = needed.map(|key| entry(key.name, first(&key.kind).kind));
            vec![Kind::Table(entries.collect())]
        }
        KeyKind::Tables(section, _) => vec![Kind::List(vec![first(&KeyKind::Table(section))])],
        KeyKind::Variant(section, _) => {
            let one = |key: &KeyDef| Kind::Table(vec![entry(key.name, first(&key.kind).kind)]);
            section.keys.iter().map(one).collect()
        }
        KeyKind::List(kind, least, _) => {
            vec![Kind::List((0..(*least).max(1)).map(|_| first(kind)).collect())]
        }
        KeyKind::OneOrMore(kind, _) => {
            vec![first(kind).kind, Kind::List(vec![first(kind)])]
        }
        KeyKind::Point(kind) => vec![Kind::List(vec![here(Kind::Number(0.0)), first(kind)])],
        KeyKind::Map(_, kind, _) => vec![Kind::Table(vec![entry("x", first(kind).kind)])],
        KeyKind::Any(kinds) => kinds.iter().flat_map(samples).collect(),
        KeyKind::Strategy => vec![text("random")],
        KeyKind::Status => vec![whole(503)],
    }
}

/// Numbers and durations next to the bounds, on the wrong side.
fn beyond(kind: &KeyKind) -> Vec<Kind> {
    let mut beyond = Vec::new();
    match *kind {
        KeyKind::Whole(least, most) => {
            beyond.push(Kind::Whole(Some(i128::from(least) - 1)));
            if most < u64::MAX {
                beyond.push(Kind::Whole(Some(i128::from(most) + 1)));
            }
        }
        KeyKind::Number(Range { least, most, above }) => {
            beyond.push(Kind::Number(if above { least } else { least - 1e-9 }));
            if most.is_finite() {
                beyond.push(Kind::Number(most * 1.000_001));
            }
        }
        KeyKind::Span(least, most) => {
            if least > Span::ZERO {
                beyond.push(text(format!("{}ns", least.0 - 1)));
            }
            if most < Span::MAX {
                beyond.push(text(format!("{}ns", most.0 + 1)));
            }
        }
        KeyKind::Any(kinds) => beyond.extend(kinds.iter().flat_map(self::beyond)),
        _ => {}
    }
    beyond
}

/// A default as it would be said.
fn default(usual: &Usual) -> Option<Kind> {
    match usual {
        Usual::Truth(truth) => Some(Kind::Truth(*truth)),
        Usual::Whole(whole) => Some(Kind::Whole(Some(i128::from(*whole)))),
        Usual::Number(number) => Some(Kind::Number(*number)),
        Usual::Span(span) => Some(text(format!("{}ns", span.0))),
        Usual::Word(word) => Some(text(*word)),
        Usual::Needed | Usual::NeededUnless(_) | Usual::Unsaid(_) => None,
    }
}

/// Puts a value in the place of a key, in the table that comes at this place.
///
/// A variant has one key, which then is this one.
fn with(document: &[Entry], place: usize, key: &str, kind: &Kind) -> Vec<Entry> {
    let mut changed = document.to_vec();
    let mut at = 0;
    tables(&SCENARIO, &mut changed, &mut |section, entries| {
        if at == place {
            if section.find(key).is_some_and(KeyDef::is_one) {
                entries.clear();
            }
            match entries.iter_mut().find(|entry| entry.key == key) {
                Some(entry) => entry.value = here(kind.clone()),
                None => entries.push(entry(key, kind.clone())),
            }
        }
        at += 1;
    });
    changed
}

/// Calls `f` once with each key of each section: with a tree, the place of a table of the section in
/// it, and the key.
fn each_key(mut f: impl FnMut(&[Entry], usize, &'static SectionDef, &'static KeyDef)) {
    let mut seen = BTreeSet::new();
    for text in wide() {
        let mut document = document::read(&text).expect("it is TOML");
        let mut found: Vec<&'static SectionDef> = Vec::new();
        tables(&SCENARIO, &mut document, &mut |section, _| found.push(section));
        for (place, section) in found.into_iter().enumerate() {
            for key in section.keys {
                if seen.insert((section.name, key.name)) {
                    f(&document, place, section, key);
                }
            }
        }
    }
    for section in sections() {
        for key in section.keys {
            let id = (section.name, key.name);
            assert!(seen.contains(&id), "the wide scenario has no table for {id:?}");
        }
    }
}

fn sound(text: &str) -> Vec<Entry> {
    let document = document::read(text).expect("it is TOML");
    let (_, problems) = read(&document);
    assert!(problems.is_empty(), "{problems:#?}\n{text}");
    document
}

#[test]
fn sections_have_names_of_their_own_and_know_their_keys() {
    let sections = sections();
    let names: BTreeSet<&str> = sections.iter().map(|section| section.name).collect();
    assert_eq!(names.len(), sections.len(), "each section has a name of its own");
    for section in sections {
        let keys: BTreeSet<&str> = section.keys.iter().map(|key| key.name).collect();
        assert_eq!(keys.len(), section.keys.len(), "{}: a key stands once", section.name);
        for later in section.later {
            assert!(!keys.contains(later), "{}: {later} is here", section.name);
        }
        for key in section.keys {
            assert!(!key.about.is_empty() && !key.about.ends_with('.'), "{}", key.name);
            if let Some(kind) = default(&key.usual) {
                let json = json(&here(kind));
                let schema = of_key(key);
                assert!(
                    valid(&schema, &schema, &json),
                    "{}.{}: its default",
                    section.name,
                    key.name
                );
            }
        }
    }
}

#[test]
fn every_key_is_read_as_what_it_is() {
    for text in wide() {
        sound(&text);
    }
    // Whatever may be said of a key can be read; whether it goes with the rest is another matter.
    each_key(|document, place, section, key| {
        for sample in samples(&key.kind) {
            let changed = with(document, place, key.name, &sample);
            let (_, problems) = read(&changed);
            let unread = |problem: &&Problem| {
                problem.message.starts_with(&format!("unknown key `{}`", key.name))
            };
            // Quantiles are not asked for beside a mean, nor a mean beside quantiles.
            let lognormal = section.name.ends_with(".lognormal");
            let found = problems.iter().find(unread);
            assert!(found.is_none() || lognormal, "{}: {found:?}", section.name);
        }
    });
}

#[test]
fn every_key_is_asked_for() {
    for text in wide() {
        sound(&text);
    }
    for (name, text) in BUILTIN {
        assert!(Scenario::parse(name, name, text, &[]).is_ok());
    }
    // Quantiles are asked for where one is said.
    each_key(|document, place, section, key| {
        if section.name.ends_with(".lognormal") {
            read(&with(document, place, key.name, &samples(&key.kind).remove(0)));
        }
    });
    let asked = ASKED.with_borrow(BTreeSet::clone);
    for section in sections() {
        for key in section.keys {
            // Variants are found by their name; a region of the balancer is read with the regions.
            let id = (section.name, key.name);
            assert!(key.is_one() || asked.contains(&id), "nobody reads {id:?}");
        }
    }
}

#[test]
fn what_is_beyond_the_bounds_is_refused() {
    let whole = schema();
    each_key(|document, place, section, key| {
        for wrong in beyond(&key.kind) {
            let changed = with(document, place, key.name, &wrong);
            let (_, problems) = read(&changed);
            let id = format!("{}.{} = {wrong:?}", section.name, key.name);
            assert!(!problems.is_empty(), "{id} is read");
            if !matches!(wrong, Kind::Text(_)) {
                assert!(!valid(&whole, &whole, &tree(&changed)), "{id} fits the schema");
            }
        }
    });
}

#[test]
fn defaults_are_what_is_read_if_nothing_is_said() {
    let mut shown = BTreeSet::new();
    for text in wide() {
        let document = sound(&text);
        let mut found = Vec::new();
        tables(&SCENARIO, &mut document.clone(), &mut |section, entries| {
            let keys: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
            found.push((section, keys));
        });
        let (usual, _) = read(&document);
        let usual = format!("{usual:?}");
        for (place, (section, keys)) in found.into_iter().enumerate() {
            for key in section.keys.iter().filter(|key| !keys.iter().any(|said| said == key.name)) {
                let Some(kind) = default(&key.usual) else { continue };
                if !shown.insert((section.name, key.name)) {
                    continue;
                }
                let (said, problems) = read(&with(&document, place, key.name, &kind));
                let id = format!("{}.{} = {}", section.name, key.name, key.usual);
                assert!(problems.is_empty(), "{id}: {problems:?}");
                assert_eq!(format!("{said:?}"), usual, "{id} is not the default");
            }
        }
    }
    for section in sections() {
        for key in section.keys.iter().filter(|key| default(&key.usual).is_some()) {
            let id = (section.name, key.name);
            assert!(shown.contains(&id), "the default of {id:?} was never looked at");
        }
    }
}

#[test]
fn the_schema_takes_what_is_right_and_refuses_what_is_wrong() {
    let whole = schema();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(folder).expect("the scenarios");
    let files = files.map(|file| std::fs::read_to_string(file.expect("a file").path()));
    let files: Vec<String> = files.map(|text| text.expect("a text")).collect();
    assert!(files.len() >= BUILTIN.len());
    let full = include_str!("../testdata/full.toml").to_owned();
    for text in files.iter().chain([&full]).chain(&wide()) {
        let tree = tree(&document::read(text).expect("it is TOML"));
        assert!(valid(&whole, &whole, &tree), "the schema refuses\n{text}");
    }
    each_key(|document, place, section, key| {
        let id = format!("{}.{}", section.name, key.name);
        // A key that is not there, and a value that nothing can be.
        for (name, kind) in [("zzz", text("x")), (key.name, Kind::Date)] {
            let changed = with(document, place, name, &kind);
            assert!(!read(&changed).1.is_empty(), "{id}: `{name}` is read");
            assert!(!valid(&whole, &whole, &tree(&changed)), "{id}: `{name}` fits the schema");
        }
    });
}

#[test]
fn every_key_has_a_row() {
    let rows = rows();
    let paths: BTreeSet<&str> = rows.iter().map(|row| row.path.as_str()).collect();
    assert_eq!(paths.len(), rows.len(), "a path stands once");
    for path in [
        "seed",
        "balancer.retry.backoff.base",
        "pool.strategy.power_of_two.choices",
        "pool.node.backend.engine.kv_tokens",
        "fault.slow.factor",
        "fault.random.each",
        "<durations>.lognormal.p95",
        "workload.arrivals.trace.csv.separator",
    ] {
        assert!(paths.contains(path), "{path}");
    }
    for section in sections() {
        for key in section.keys {
            let end = format!(".{}", key.name);
            let listed = |path: &&&str| path.ends_with(&end) || **path == key.name;
            assert!(paths.iter().any(|path| listed(&path)), "{}", key.name);
        }
    }
    let drawn: Vec<String> = rows
        .iter()
        .filter(|row| row.path.starts_with("balancer.queue"))
        .map(|row| format!("{}: {} [{}] {}", row.path, row.kind, row.usual, row.about))
        .collect();
    insta::assert_snapshot!(drawn.join("\n"));
}

/// A tree as JSON.
fn tree(entries: &[Entry]) -> Json {
    let pairs = entries.iter().map(|entry| (entry.key.clone(), json(&entry.value)));
    Json::Object(pairs.collect::<Map<String, Json>>())
}

fn json(value: &Value) -> Json {
    match &value.kind {
        Kind::Text(text) => Json::from(text.as_str()),
        Kind::Whole(whole) => {
            let whole = whole.expect("within bounds");
            u64::try_from(whole).map_or_else(|_| Json::from(whole as f64), Json::from)
        }
        Kind::Number(number) => Json::from(*number),
        Kind::Truth(truth) => Json::from(*truth),
        Kind::Date => Json::Null,
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Table(entries) => tree(entries),
    }
}

/// Whether a text is of this form; of the forms that the table has.
fn matches(pattern: &str, text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match pattern {
        "" => true,
        "\\S" => !text.trim().is_empty(),
        "^(\\*|https?://[^/]+)$" => {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            text == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
        }
        "^https?://" => text.starts_with("http://") || text.starts_with("https://"),
        "^[A-Za-z0-9_]+$" => !text.is_empty() && text.chars().all(word),
        pattern if pattern.starts_with("^[^A-Za-z0-9\".") => {
            let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '"' | '.');
            let control = |c: char| c.is_ascii_control() && c != '\t';
            text.len() == 1 && !text.contains(|c: char| inside(c) || control(c))
        }
        "^ *[0-9.]+ *%$" => text.ends_with('%'),
        "^p[5-9][0-9](\\.[0-9]+)?$" => text.starts_with('p') && text[1..].parse::<f64>().is_ok(),
        pattern if pattern.starts_with("^[^\\s") => {
            (1..=64).contains(&text.chars().count())
                && text.split('.').all(|part| !part.is_empty())
                && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        }
        pattern if pattern.ends_with("(ns|us|µs|ms|s|m|min|h|d) *)+$") => {
            Span::parse(text).is_ok()
        }
        other => panic!("a new pattern: {other}"),
    }
}

/// Whether a value fits a schema: as much of JSON Schema as ours has.
fn valid(root: &Json, schema: &Json, value: &Json) -> bool {
    let Json::Object(rules) = schema else { return schema.as_bool().unwrap_or(true) };
    rules.iter().all(|(rule, given)| match rule.as_str() {
        "$ref" => {
            let path = given.as_str().expect("a path").trim_start_matches('#');
            valid(root, root.pointer(path).expect("a definition"), value)
        }
        "anyOf" => items(given).iter().any(|one| valid(root, one, value)),
        "type" => match given.as_str().expect("a type") {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "number" => value.is_number(),
            "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            other => panic!("a new type: {other}"),
        },
        "enum" => items(given).contains(value),
        "pattern" => value.as_str().is_none_or(|text| matches(given.as_str().unwrap(), text)),
        "minimum" => value.as_f64().is_none_or(|number| number >= given.as_f64().unwrap()),
        "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > given.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= given.as_f64().unwrap()),
        "minItems" => {
            value.as_array().is_none_or(|list| list.len() as u64 >= given.as_u64().unwrap())
        }
        "maxItems" => {
            value.as_array().is_none_or(|list| list.len() as u64 <= given.as_u64().unwrap())
        }
        "minProperties" => {
            value.as_object().is_none_or(|map| map.len() as u64 >= given.as_u64().unwrap())
        }
        "maxProperties" => {
            value.as_object().is_none_or(|map| map.len() as u64 <= given.as_u64().unwrap())
        }
        "required" => value.as_object().is_none_or(|map| {
            items(given).iter().all(|key| map.contains_key(key.as_str().unwrap()))
        }),
        "items" => value.as_array().is_none_or(|list| match given {
            Json::Array(each) => list.iter().zip(each).all(|(item, one)| valid(root, one, item)),
            each => list.iter().all(|item| valid(root, each, item)),
        }),
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(key, value)| given.get(key).is_none_or(|one| valid(root, one, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let known =
                |key: &String| rules.get("properties").is_some_and(|p| p.get(key).is_some());
            map.iter().filter(|(key, _)| !known(key)).all(|(_, value)| valid(root, given, value))
        }),
        "$schema" | "title" | "description" | "default" | "definitions" => true,
        other => panic!("a new rule: {other}"),
    })
}

fn items(list: &Json) -> &[Json] {
    list.as_array().expect("a list")
}

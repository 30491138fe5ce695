//! The JSON Schema of a scenario, for editors that complete and check TOML.
//!
//! Draft 7 with `definitions`, which is what the language server of TOML editors (taplo) reads. What
//! stands in several places is defined once. A reference hides what stands beside it in this draft, so
//! it stands alone in an `anyOf`, beside the words about its place. The schema says what a table may
//! say and within which bounds; what goes together only `plimsoll check` can tell.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Form, KeyDef, KeyKind, Range, SCENARIO, SectionDef, Usual};
use crate::balance::{REGISTRY, SettingKind, StrategyDef};
use crate::node::fault::{FAULTS, FaultDef, STATUSES};
use crate::scenario::fault::TARGET;
use crate::unit::Span;

/// A duration as scenarios write it.
const SPAN: &str = "^ *\\+?([0-9._]+ *(ns|us|µs|ms|s|m|min|h|d) *)+$";

/// Returns the schema of a whole scenario.
#[must_use]
pub fn schema() -> Value {
    let mut writer = SchemaWriter::default();
    writer.count(&SCENARIO);
    let mut schema = writer.table(&SCENARIO);
    // Definitions may stand for others, which are then written in turn.
    let mut definitions = Map::new();
    while let Some((name, section)) = writer.wanted.pop_first() {
        let defined = match section {
            Defined::Table(section) => writer.table(section),
            Defined::Variant(section) => writer.variant(section),
            Defined::Fault(word) => writer.fault(word),
        };
        definitions.insert(name, defined);
        writer.wanted.retain(|name, _| !definitions.contains_key(name));
    }
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("A scenario of Plimsoll");
    schema["definitions"] = Value::Object(definitions);
    schema
}

/// Returns the schema of one key, with all that stands in it.
#[cfg(test)]
pub(super) fn of_key(key: &KeyDef) -> Value {
    SchemaWriter::default().key(key)
}

/// What a definition is of.
#[derive(Clone, Copy)]
enum Defined {
    Table(&'static SectionDef),
    Variant(&'static SectionDef),
    Fault(&'static FaultDef),
}

#[derive(Default)]
struct SchemaWriter {
    /// In how many places a section stands.
    places: BTreeMap<&'static str, usize>,
    /// Definitions that are referred to and not yet written.
    wanted: BTreeMap<String, Defined>,
}

impl SchemaWriter {
    fn count(&mut self, section: &'static SectionDef) {
        let places = self.places.entry(section.name).or_default();
        *places += 1;
        if *places == 1 {
            let inside = section.keys.iter().flat_map(|key| key.kind.sections());
            inside.collect::<Vec<_>>().into_iter().for_each(|section| self.count(section));
        }
    }

    /// Refers to a definition, which is written later.
    fn refer(&mut self, defined: Defined) -> Value {
        let name = match defined {
            Defined::Table(section) | Defined::Variant(section) => section.name.to_owned(),
            Defined::Fault(fault) => format!("fault.{}", fault.name),
        };
        let reference = json!({ "$ref": format!("#/definitions/{name}") });
        self.wanted.insert(name, defined);
        reference
    }

    fn stands_once(&self, section: &SectionDef) -> bool {
        self.places.get(section.name).is_none_or(|places| *places == 1)
    }

    fn kind(&mut self, kind: &KeyKind) -> Value {
        match kind {
            KeyKind::Text(Form { pattern: "", .. }) => json!({ "type": "string" }),
            KeyKind::Text(Form { pattern, .. }) => json!({ "type": "string", "pattern": pattern }),
            KeyKind::Truth => json!({ "type": "boolean" }),
            KeyKind::Whole(least, u64::MAX) => json!({ "type": "integer", "minimum": least }),
            KeyKind::Whole(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            KeyKind::Number(range) => number(*range),
            KeyKind::Span(..) => json!({ "type": "string", "pattern": SPAN }),
            KeyKind::Word(words) => json!({ "type": "string", "enum": words }),
            KeyKind::Status => json!({ "type": "integer", "enum": STATUSES }),
            KeyKind::Table(section) if self.stands_once(section) => self.table(section),
            KeyKind::Table(section) => self.refer(Defined::Table(section)),
            KeyKind::Tables(section, most) => {
                let items = self.kind(&KeyKind::Table(section));
                json!({ "type": "array", "items": items, "maxItems": most })
            }
            KeyKind::Variant(section, _) if self.stands_once(section) => self.variant(section),
            KeyKind::Variant(section, _) => self.refer(Defined::Variant(section)),
            KeyKind::List(kind, least, most) => {
                let items = self.kind(kind);
                json!({ "type": "array", "items": items, "minItems": least, "maxItems": most })
            }
            KeyKind::OneOrMore(kind, most) => {
                let one = self.kind(kind);
                let list =
                    json!({ "type": "array", "items": one, "minItems": 1, "maxItems": most });
                json!({ "anyOf": [one, list] })
            }
            KeyKind::Point(kind) => {
                let items = [self.kind(&super::SHARE), self.kind(kind)];
                json!({ "type": "array", "items": items, "minItems": 2, "maxItems": 2 })
            }
            KeyKind::Map(_, kind, most) => {
                let each = self.kind(kind);
                json!({ "type": "object", "additionalProperties": each, "maxProperties": most })
            }
            KeyKind::Any(kinds) => {
                let kinds: Vec<Value> = kinds.iter().map(|kind| self.kind(kind)).collect();
                json!({ "anyOf": kinds })
            }
            KeyKind::Strategy => self.strategy(),
        }
    }

    fn key(&mut self, key: &KeyDef) -> Value {
        let usual = match key.usual {
            Usual::Truth(truth) => Some(json!(truth)),
            Usual::Whole(whole) => Some(json!(whole)),
            Usual::Number(number) => Some(json!(number)),
            Usual::Span(span) => Some(json!(span.to_string())),
            Usual::Word(word) => Some(json!(word)),
            Usual::Needed | Usual::NeededUnless(_) | Usual::Unsaid(_) => None,
        };
        let said = self.kind(&key.kind);
        described(said, &key.kind, &key.usual.to_string(), usual, key.about)
    }

    fn table(&mut self, section: &'static SectionDef) -> Value {
        let mut properties: Map<String, Value> = Map::new();
        for key in section.keys {
            properties.insert(key.name.to_owned(), self.key(key));
        }
        if section.fault {
            for word in FAULTS {
                let fault = self.refer(Defined::Fault(word));
                let fault = json!({ "description": word.about, "anyOf": [fault] });
                properties.insert(word.name.to_owned(), fault);
            }
        }
        let needed = section.keys.iter().filter(|key| key.usual == Usual::Needed);
        let required: Vec<&str> = needed.map(|key| key.name).collect();
        let mut table = object(&properties, &required);
        if let Some(either) = either(section) {
            table["anyOf"] = either;
        }
        table
    }

    /// A table with one key.
    fn variant(&mut self, section: &'static SectionDef) -> Value {
        let properties = section.keys.iter().map(|key| (key.name.to_owned(), self.key(key)));
        one_of(&properties.collect())
    }

    fn fault(&mut self, word: &'static FaultDef) -> Value {
        let mut table = self.table(&TARGET);
        let mut required = Vec::new();
        for param in word.params {
            let kind = KeyKind::of_param(param.kind);
            let usual = match &param.default {
                Some(default) => default.to_string(),
                None => Usual::Needed.to_string(),
            };
            let said = self.kind(&kind);
            table["properties"][param.name] = described(said, &kind, &usual, None, param.about);
            if param.default.is_none() {
                required.push(param.name);
            }
        }
        table["required"] = json!(required);
        table["description"] = json!(word.about);
        table
    }

    fn strategy(&mut self) -> Value {
        let names: Vec<&str> = REGISTRY.iter().map(|entry| entry.name).collect();
        let with_settings =
            REGISTRY.iter().map(|entry| (entry.name.to_owned(), self.settings(entry)));
        let with_settings = one_of(&with_settings.collect());
        json!({ "anyOf": [{ "type": "string", "enum": names }, with_settings] })
    }

    fn settings(&mut self, entry: &StrategyDef) -> Value {
        let mut properties = Map::new();
        for setting in entry.settings {
            let kind = KeyKind::of_setting(setting.kind);
            let usual = setting.kind.show(setting.default);
            let said = self.kind(&kind);
            let said = described(said, &kind, &usual, None, setting.about);
            properties.insert(setting.name.to_owned(), said);
        }
        let table = object(&properties, &[]);
        // A formula may stand for the table of it.
        match entry.settings {
            [setting] if setting.kind == SettingKind::Formula => {
                let formula = self.kind(&KeyKind::of_setting(setting.kind));
                json!({ "description": entry.summary, "anyOf": [formula, table] })
            }
            _ => {
                let mut table = table;
                table["description"] = json!(entry.summary);
                table
            }
        }
    }
}

fn object(properties: &Map<String, Value>, required: &[&str]) -> Value {
    let mut table = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn one_of(properties: &Map<String, Value>) -> Value {
    let mut table = object(properties, &[]);
    table["minProperties"] = json!(1);
    table["maxProperties"] = json!(1);
    table
}

/// Keys of which one must be said: another one, or those that are needed without it.
fn either(section: &SectionDef) -> Option<Value> {
    let without = section.keys.iter().find_map(|key| match key.usual {
        Usual::NeededUnless(other) if section.find(other).is_some() => Some(other),
        _ => None,
    })?;
    let needed = section.keys.iter().filter(|key| key.usual == Usual::NeededUnless(without));
    let needed: Vec<&str> = needed.map(|key| key.name).collect();
    Some(json!([{ "required": [without] }, { "required": needed }]))
}

fn number(range: Range) -> Value {
    let mut number = json!({ "type": "number" });
    if range.least.is_finite() {
        let bound = if range.above { "exclusiveMinimum" } else { "minimum" };
        number[bound] = json!(range.least);
    }
    if range.most.is_finite() {
        number["maximum"] = json!(range.most);
    }
    number
}

/// Adds what a value means, in the words of the list of all keys.
fn described(
    said: Value,
    kind: &KeyKind,
    usual: &str,
    default: Option<Value>,
    about: &str,
) -> Value {
    let mut described = match said {
        Value::Object(map) if map.contains_key("$ref") => json!({ "anyOf": [map] }),
        said => said,
    };
    let bounds = match kind {
        KeyKind::Span(least, most) if (*least, *most) != (Span::ZERO, Span::MAX) => {
            format!("; {kind}")
        }
        _ => String::new(),
    };
    described["description"] = json!(format!("{about}{bounds} (if nothing is said: {usual})"));
    if usual == Usual::Needed.to_string() {
        described["description"] = json!(format!("{about}{bounds}"));
    }
    if let Some(default) = default {
        described["default"] = default;
    }
    described
}

//! The JSON Schema of spec files, for editors: made of the same tables that check a file.

use serde_json::{Map, Value, json};

use super::Kinds;
use super::grammar::{Key, Role, SPEC, Shape};
use crate::options::{Kind, OptionSpec, OptionType};

/// JSON Schema (draft 7, what editors' YAML plug-ins read) of a spec file with these kinds.
pub fn json_schema(kinds: Kinds) -> Value {
    let mut schema = record(SPEC, kinds);
    let head = json!({"$schema": "http://json-schema.org/draft-07/schema#", "title": "Tidemill spec"});
    let mut out = head.as_object().cloned().unwrap_or_default();
    out.append(&mut schema);
    Value::Object(out)
}

fn record(keys: &[Key], kinds: Kinds) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in keys {
        let mut schema = shape(&key.shape, kinds);
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".into(), key.help.into());
        }
        properties.insert(key.name.into(), schema);
    }
    let required: Vec<&str> = keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    let mut out = object(properties, required);
    let role = keys.iter().find_map(|k| match k.shape {
        Shape::Options(role) => Some(role),
        _ => None,
    });
    if let Some(role) = role {
        out.insert("allOf".into(), of_role(kinds, role).iter().map(options_of_kind).collect());
    }
    out
}

fn shape(shape: &Shape, kinds: Kinds) -> Value {
    match shape {
        Shape::Text => text(),
        Shape::Integer => json!({"type": "integer", "minimum": 0}),
        Shape::OneOf(choices) => json!({"enum": choices}),
        Shape::List(inner) => json!({"type": "array", "items": self::shape(inner, kinds)}),
        Shape::OneOrMany(inner) => {
            let inner = self::shape(inner, kinds);
            json!({"anyOf": [inner, {"type": "array", "items": inner}]})
        }
        Shape::Map(inner) => json!({"type": "object", "additionalProperties": self::shape(inner, kinds)}),
        Shape::Record(keys) => Value::Object(record(keys, kinds)),
        Shape::Columns => json!({"type": "array", "items": {"anyOf": [text(), {"type": "object", "additionalProperties": text()}]}}),
        Shape::Kind(role) => {
            let kinds = of_role(kinds, *role);
            json!({"enum": kinds.iter().map(|k| k.name).collect::<Vec<_>>()})
        }
        Shape::Options(_) => json!({"type": "object"}),
    }
}

fn of_role(kinds: Kinds, role: Role) -> &'static [Kind] {
    match role {
        Role::Source => kinds.sources,
        Role::Sink => kinds.sinks,
    }
}

/// If the kind is this one, its options are these.
fn options_of_kind(kind: &Kind) -> Value {
    let mut options = options(kind.options);
    options.insert("description".into(), kind.help.into());
    let needed: &[&str] = if kind.options.iter().any(|o| o.required) { &["options"] } else { &[] };
    json!({
        "if": {"properties": {"kind": {"const": kind.name}}, "required": ["kind"]},
        "then": {"properties": {"options": options}, "required": needed},
    })
}

fn options(specs: &[OptionSpec]) -> Map<String, Value> {
    let mut properties = Map::new();
    for spec in specs {
        let mut schema = option(&spec.value, spec.secret);
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".into(), spec.help.into());
        }
        properties.insert(spec.name.into(), schema);
    }
    object(properties, specs.iter().filter(|s| s.required).map(|s| s.name).collect())
}

fn option(ty: &OptionType, secret: bool) -> Value {
    let or_variable = |schema: Value| json!({"anyOf": [schema, {"type": "string", "pattern": "\\$\\{"}]});
    match ty {
        OptionType::Text if secret => {
            let mut file = Map::new();
            file.insert("file".into(), json!({"type": "string"}));
            json!({"anyOf": [text(), object(file, vec!["file"])]})
        }
        OptionType::Text | OptionType::Path => text(),
        OptionType::Bool => or_variable(json!({"type": "boolean"})),
        OptionType::Integer => or_variable(json!({"type": "integer", "minimum": 0})),
        OptionType::OneOf(choices) => or_variable(json!({"enum": choices})),
        OptionType::List(inner) => json!({"type": "array", "items": option(inner, secret)}),
        OptionType::Map(inner) => json!({"type": "object", "additionalProperties": option(inner, secret)}),
        OptionType::Record(specs) => Value::Object(options(specs)),
    }
}

fn object(properties: Map<String, Value>, required: Vec<&str>) -> Map<String, Value> {
    let schema = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    schema.as_object().cloned().unwrap_or_default()
}

/// A plain `1` or `true` is taken as text too.
fn text() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

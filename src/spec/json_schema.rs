//! The JSON Schema of spec files, for editors, generated from the tables that files are checked against.

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
        Shape::OneOf(choices) => one_of(choices),
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

/// The rule that if the kind is this one, its options are these.
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
        OptionType::OneOf(choices) => or_variable(one_of(choices)),
        OptionType::List(inner) => json!({"type": "array", "items": option(inner, secret)}),
        OptionType::Map(inner) => json!({"type": "object", "additionalProperties": option(inner, secret)}),
        OptionType::Record(specs) => Value::Object(options(specs)),
    }
}

/// The schema of a choice. A plain `null` counts as the word.
fn one_of(choices: &[&str]) -> Value {
    let null = choices.contains(&"null").then_some(Value::Null);
    json!({"enum": choices.iter().map(|c| Value::from(*c)).chain(null).collect::<Vec<_>>()})
}

fn object(properties: Map<String, Value>, required: Vec<&str>) -> Map<String, Value> {
    let schema = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    schema.as_object().cloned().unwrap_or_default()
}

/// The schema of text. A plain `1` or `true` is also text.
fn text() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::spec::text::Text;
    use crate::spec::yaml::{self, NodeKind, YamlNode};

    const TLS: &[OptionSpec] = &[option_of("verify", OptionType::Bool)];
    const TABLE: &[OptionSpec] = &[
        option_of("csv", OptionType::Path),
        option_of("key", OptionType::List(&OptionType::Text)),
        option_of("columns", OptionType::Map(&OptionType::Text)),
    ];
    const KINDS: Kinds = Kinds {
        sources: &[
            Kind {
                name: "mysql",
                help: "",
                options: &[
                    OptionSpec { required: true, secret: true, ..option_of("url", OptionType::Text) },
                    option_of("server_id", OptionType::Integer),
                    option_of("tls", OptionType::Record(TLS)),
                ],
            },
            Kind {
                name: "file",
                help: "",
                options: &[
                    option_of("tables", OptionType::Map(&OptionType::Record(TABLE))),
                    option_of("changes", OptionType::Path),
                    option_of("binlog", OptionType::List(&OptionType::Path)),
                ],
            },
        ],
        sinks: &[Kind {
            name: "mongodb",
            help: "",
            options: &[option_of("uri", OptionType::Text), option_of("collection", OptionType::Text)],
        }],
    };

    const fn option_of(name: &'static str, value: OptionType) -> OptionSpec {
        OptionSpec { name, value, required: false, secret: false, help: "" }
    }

    /// As an editor sees the file.
    fn json(node: &YamlNode) -> Value {
        match &node.kind {
            NodeKind::List(items) => items.iter().map(json).collect(),
            NodeKind::Map(entries) => Value::Object(entries.iter().map(|(k, v)| (k.key_text().to_string(), json(v))).collect()),
            NodeKind::Scalar(_) if node.is_null() => Value::Null,
            NodeKind::Scalar(s) if s.plain => serde_json::from_str(&s.text).unwrap_or_else(|_| s.text.clone().into()),
            NodeKind::Scalar(s) => s.text.clone().into(),
        }
    }

    /// The keywords that we write, as draft 7 defines them.
    fn valid(value: &Value, schema: &Value) -> bool {
        schema.as_object().unwrap().iter().all(|(keyword, rule)| match keyword.as_str() {
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "boolean" => value.is_boolean(),
                    other => panic!("type {other}"),
                };
                rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "minimum" => value.as_u64().is_some() || !value.is_number(),
            "pattern" => value.as_str().is_none_or(|v| v.contains("${")),
            "required" => {
                value.as_object().is_none_or(|v| rule.as_array().unwrap().iter().all(|name| v.contains_key(name.as_str().unwrap())))
            }
            "properties" => rule.as_object().unwrap().iter().all(|(name, rule)| value.get(name).is_none_or(|v| valid(v, rule))),
            "additionalProperties" => value.as_object().is_none_or(|v| {
                let known = |name: &String| schema.get("properties").is_some_and(|p| p.get(name).is_some());
                v.iter().filter(|(name, _)| !known(name)).all(|(_, v)| rule.as_bool().unwrap_or_else(|| valid(v, rule)))
            }),
            "items" => value.as_array().is_none_or(|v| v.iter().all(|v| valid(v, rule))),
            "anyOf" => rule.as_array().unwrap().iter().any(|rule| valid(value, rule)),
            "allOf" => rule.as_array().unwrap().iter().all(|rule| valid(value, rule)),
            "if" => !valid(value, rule) || valid(value, &schema["then"]),
            "then" | "description" | "title" | "$schema" => true,
            other => panic!("keyword {other}"),
        })
    }

    fn valid_text(text: &str) -> bool {
        let tree = yaml::parse(text, &Text::new("test", text)).unwrap().unwrap();
        valid(&json(&tree), &json_schema(KINDS))
    }

    #[test]
    fn shipped_and_planned_specs_are_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["dataflows", "tests/planner"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "yaml") {
                    assert!(valid_text(&std::fs::read_to_string(&path).unwrap()), "{}", path.display());
                }
            }
        }
    }

    #[test]
    fn what_the_checker_refuses_is_not_valid() {
        let spec = |source: &str, lookup: &str| {
            format!("sources: {{s: {source}}}\nviews: {{v: {{from: s.t, lookup: [{{from: s.u, on: {{a: b}}, {lookup}}}]}}}}\n")
        };
        let (source, lookup) =
            ("{kind: mysql, options: {url: x, server_id: '${ID}', tls: {verify: true}}}", "path: p, type: array, limit: 3");
        assert!(valid_text(&spec(source, lookup)));
        for wrong in ["{kind: mysqll}", "{kind: mysql}", "{kind: mysql, options: {url: x, urll: x}}", "{kind: mysql, options: {url: [x]}}"]
        {
            assert!(!valid_text(&spec(wrong, lookup)), "{wrong}");
        }
        for wrong in ["pth: p", "type: objekt", "limit: many", "columns: a", "on_many: all"] {
            assert!(!valid_text(&spec(source, wrong)), "{wrong}");
        }
    }
}

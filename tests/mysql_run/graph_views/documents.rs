//! Documents of rows that embed others, as a spec has them and put together from rows.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::related::{Related, Relation, ViewedTable};
use crate::random::Random;
use crate::values::Fields;

/// A table in a document, and what is embedded into each of its rows.
pub(super) struct Level {
    table: usize,
    /// A column that is not shown.
    hidden: Option<String>,
    /// Rows whose `v` is this or NULL are left out.
    without: Option<i64>,
    lookups: Vec<Lookup>,
}

struct Lookup {
    field: String,
    relation: Relation,
    form: Form,
    /// Whether the order is that of falling or of rising `v` before that of the key.
    falls: Option<bool>,
    missing: &'static str,
    level: Level,
}

enum Form {
    Object,
    Array { limit: Option<usize>, has_aggregates: bool },
}

pub(super) fn one(related: &Related, random: &mut Random) -> Level {
    level(related, random.below(related.tables.len()), 0, random)
}

fn level(related: &Related, table: usize, depth: usize, random: &mut Random) -> Level {
    let ViewedTable { key, columns, .. } = &related.tables[table];
    let hidden = random.percent(30).then(|| random.pick(columns)).filter(|column| depth > 0 || !key.contains(column));
    let without = random.percent(20).then(|| random.below(4) as i64);
    let count = match depth {
        0 => 1 + random.below(3),
        1 => random.below(3),
        2 => random.below(2),
        _ => 0,
    };
    let mut lookups = Vec::new();
    for n in 0..count {
        let Some(relation) = related.relation_from(table, random) else { break };
        let is_array = random.percent(60);
        let limit = random.percent(25).then(|| 1 + random.below(2));
        let form = if is_array { Form::Array { limit, has_aggregates: random.percent(40) } } else { Form::Object };
        let missing = *random.pick(if is_array { &["empty", "absent", "null"] } else { &["absent", "null"][..] });
        let falls = random.percent(30).then(|| random.percent(50));
        let level = level(related, relation.to, depth + 1, random);
        lookups.push(Lookup { field: format!("e{n}"), relation: relation.clone(), form, falls, missing, level });
    }
    Level { table, hidden: hidden.map(|column| column.name.clone()), without, lookups }
}

pub(super) fn spec(related: &Related, root: &Level) -> Value {
    let mut view = shown(related, root);
    let mut lookups = Vec::new();
    add_lookups(related, root, "", &mut lookups);
    view.insert("lookup".into(), lookups.into());
    view.into()
}

fn shown(related: &Related, level: &Level) -> Map<String, Value> {
    let mut keys = Map::new();
    keys.insert("from".into(), format!("s.{}", related.tables[level.table].name).into());
    keys.extend(level.hidden.iter().map(|column| ("exclude".into(), json!([column]))));
    keys.extend(level.without.iter().map(|v| ("where".into(), format!("v <> {v}").into())));
    keys
}

fn add_lookups(related: &Related, level: &Level, path: &str, out: &mut Vec<Value>) {
    for Lookup { field, relation, form, falls, missing, level } in &level.lookups {
        let mut keys = shown(related, level);
        let on = relation.pairs.iter().map(|(own, other)| (format!("{path}{}", own.name), other.name.as_str().into()));
        keys.insert("on".into(), on.collect::<Map<String, Value>>().into());
        keys.insert("path".into(), format!("{path}{field}").into());
        keys.insert("missing".into(), (*missing).into());
        keys.extend(falls.map(|falls| ("order_by".into(), if falls { "v desc" } else { "v" }.into())));
        let kind = match form {
            Form::Object => "object",
            Form::Array { limit, has_aggregates } => {
                keys.extend(limit.map(|limit| ("limit".into(), limit.into())));
                let aggregates = || json!({format!("{field}_n"): "count()", format!("{field}_sum"): "sum(v)"});
                keys.extend(has_aggregates.then(|| ("aggregates".into(), aggregates())));
                "array"
            }
        };
        keys.insert("type".into(), kind.into());
        out.push(keys.into());
        add_lookups(related, level, &format!("{path}{field}."), out);
    }
}

/// `rows` are those of each table.
pub(super) fn all(related: &Related, root: &Level, rows: &[Vec<Fields>]) -> Vec<Fields> {
    rows[root.table].iter().filter(|row| root.has(row)).map(|row| document(related, root, row, rows)).collect()
}

fn document(related: &Related, level: &Level, row: &Fields, rows: &[Vec<Fields>]) -> Fields {
    let mut document: Fields = row.clone();
    if let Some(hidden) = &level.hidden {
        document.remove(hidden);
    }
    for Lookup { field, relation, form, falls, missing, level } in &level.lookups {
        let matches =
            |child: &Fields| relation.pairs.iter().all(|(own, other)| !row[&own.name].is_null() && row[&own.name] == child[&other.name]);
        let mut children: Vec<&Fields> = rows[level.table].iter().filter(|child| level.has(child) && matches(child)).collect();
        children.sort_by(|a, b| order(&related.tables[level.table], *falls, a, b));
        let embedded = |child: &&Fields| Value::Object(self::document(related, level, child, rows));
        let value: Option<Value> = match form {
            Form::Object => children.first().map(embedded),
            Form::Array { limit, has_aggregates } => {
                if *has_aggregates {
                    let values: Vec<i64> = children.iter().filter_map(|child| number(&child["v"])).collect();
                    let sum = (!values.is_empty()).then(|| format!("#{}", values.iter().sum::<i64>()));
                    document.insert(format!("{field}_n"), format!("#{}", children.len()).into());
                    document.insert(format!("{field}_sum"), sum.into());
                }
                (!children.is_empty()).then(|| children.iter().take(limit.unwrap_or(usize::MAX)).map(embedded).collect())
            }
        };
        let missing = match *missing {
            "null" => Some(Value::Null),
            "empty" => Some(json!([])),
            _ => None,
        };
        document.extend(value.or(missing).map(|value| (field.clone(), value)));
    }
    document
}

impl Level {
    fn has(&self, row: &Fields) -> bool {
        self.without.is_none_or(|without| number(&row["v"]).is_some_and(|v| v != without))
    }
}

/// NULL is greater than every value. Texts are in the order of their bytes.
fn order(table: &ViewedTable, falls: Option<bool>, a: &Fields, b: &Fields) -> Ordering {
    let v = |row: &Fields| (row["v"].is_null(), number(&row["v"]));
    let of_v = match falls {
        Some(true) => v(b).cmp(&v(a)),
        Some(false) => v(a).cmp(&v(b)),
        None => Ordering::Equal,
    };
    let of_key = |row: &Fields| -> Vec<(Option<i64>, Option<String>)> {
        table.key.iter().map(|column| (number(&row[&column.name]), row[&column.name].as_str().map(String::from))).collect()
    };
    of_v.then_with(|| of_key(a).cmp(&of_key(b)))
}

fn number(value: &Value) -> Option<i64> {
    value.as_str()?.strip_prefix('#')?.parse().ok()
}

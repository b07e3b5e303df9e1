//! Documents recomputed from the contents of the tables: nested loops over JSON, from the view as written.
//!
//! Plain and slow on purpose. Shares with the engine only the reading of the spec; names, relations, orders, embedding and aggregates are
//! its own.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidemill::plan::{
    Missing, OnMany, WrittenColumn, WrittenDocument, WrittenEmbed, WrittenFrom, WrittenInput, WrittenLookup, WrittenView,
};
use tidemill::sources::Table;

use super::expression::evaluate;
use super::judge::Answer;
use super::order::{Scaled, compare};
use super::recording::{Contents, Object};

/// The state of a view: for each key, as JSON text, its document, or `None` where there is no right one.
pub(crate) type State = BTreeMap<String, Option<String>>;

/// A table row as one place of the view sees it.
#[derive(Debug, Clone)]
struct Seen {
    shown: Vec<(String, Value)>,
    computed: Vec<(String, Value)>,
    row: Object,
}

struct Oracle<'a> {
    document: &'a WrittenDocument,
    root_key: Vec<String>,
    /// The lookup that each lookup lies in.
    parents: Vec<Option<usize>>,
    /// The rows of each lookup's input, and the columns that end its order.
    inputs: Vec<(Vec<Seen>, Vec<String>)>,
}

/// There is no right document.
struct Wrong;

/// What views can read, at one moment.
pub(crate) struct Known<'a> {
    pub(crate) tables: &'a [Table],
    pub(crate) contents: &'a Contents,
    pub(crate) queries: Vec<&'a Answer>,
}

pub(crate) fn state(view: &WrittenView, known: &Known) -> State {
    let document = view.document().expect("a view of documents");
    let (key, roots) = seen(&document.root, &view.name.value, known);
    let named: Vec<String> = view.key.iter().map(|k| k.value.clone()).collect();
    let root_key = if named.is_empty() { key } else { named };
    let inputs = document.lookups.iter().map(|lookup| {
        let (key, rows) = seen(&lookup.input, &view.name.value, known);
        let last = if key.is_empty() { rows.first().map_or(Vec::new(), Seen::shown_names) } else { key };
        (rows, last)
    });
    let oracle = Oracle { document, root_key, parents: parents(&document.lookups), inputs: inputs.collect() };
    let mut by_key: BTreeMap<String, Vec<&Seen>> = BTreeMap::new();
    for root in &roots {
        by_key.entry(oracle.key_of(root)).or_default().push(root);
    }
    let shown = |rows: Vec<&Seen>| match rows.as_slice() {
        [row] => oracle.element(None, row).ok().map(|d| Value::Object(d).to_string()),
        _ => None,
    };
    by_key.into_iter().map(|(key, rows)| (key, shown(rows))).collect()
}

/// Compares two keys of a state by their values.
pub(crate) fn compare_keys(a: &str, b: &str) -> Ordering {
    let values = |text: &str| serde_json::from_str::<Object>(text).expect("a key is an object");
    let (a, b) = (values(a), values(b));
    a.values().zip(b.values()).map(|(a, b)| compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn key_names(table: &Table) -> Vec<String> {
    table.key.iter().map(|&k| table.schema.columns()[k].name.clone()).collect()
}

fn parents(lookups: &[WrittenLookup]) -> Vec<Option<usize>> {
    let at = |path: &str| lookups.iter().position(|l| !l.path.value.is_empty() && l.path.value.join(".") == path);
    let of = |lookup: &WrittenLookup| match lookup.path.value.split_last() {
        Some((_, around)) => at(&around.join(".")),
        None => lookup.on[0].0.value.rsplit_once('.').and_then(|(path, _)| at(path)),
    };
    lookups.iter().map(of).collect()
}

/// The rows of an input, and the columns that make one unique.
fn seen(input: &WrittenInput, view: &str, known: &Known) -> (Vec<String>, Vec<Seen>) {
    let query = |name: &str| known.queries.iter().find(|query| query.name == name).expect("a checked spec");
    let (key, rows): (_, Vec<(&String, usize)>) = match &input.from.as_ref().expect("a checked spec").value {
        WrittenFrom::Table(name) => {
            let index = known.tables.iter().position(|t| t.name == name.table).expect("a checked spec");
            (key_names(&known.tables[index]), known.contents[index].iter().map(|(row, count)| (row, *count as usize)).collect())
        }
        WrittenFrom::View(name) => (query(name).key.clone(), query(name).rows.iter().map(|row| (row, 1)).collect()),
        WrittenFrom::Query(_) => (query(view).key.clone(), query(view).rows.iter().map(|row| (row, 1)).collect()),
    };
    let mut out = Vec::new();
    for (text, count) in rows {
        let row: Object = serde_json::from_str(text).expect("a row is an object");
        let kept = input.filter.as_ref().is_none_or(|f| evaluate(&f.value, &|c| value(&row, c)) == Value::Bool(true));
        if kept {
            out.extend(std::iter::repeat_n(see(input, row), count));
        }
    }
    (key, out)
}

fn value(row: &Object, column: &str) -> Value {
    row.get(column).unwrap_or_else(|| panic!("no column `{column}`")).clone()
}

fn see(input: &WrittenInput, row: Object) -> Seen {
    let sql = |sql: &str| evaluate(sql, &|c| value(&row, c));
    let excluded = |name: &str| input.exclude.iter().any(|e| e.value == name);
    let renamed =
        |name: &str| input.rename.iter().find(|(old, _)| old.value == name).map_or(name.to_string(), |(_, new)| new.value.clone());
    let mut shown: Vec<(String, Value)> = match &input.columns {
        None => row.iter().filter(|(name, _)| !excluded(name)).map(|(name, v)| (renamed(name), v.clone())).collect(),
        Some(columns) => columns
            .iter()
            .map(|column| match column {
                WrittenColumn::Plain(name) => (name.value.clone(), value(&row, &name.value)),
                WrittenColumn::Named { name, sql: text } => (name.value.clone(), sql(&text.value)),
            })
            .collect(),
    };
    let computed: Vec<(String, Value)> = input.compute.iter().map(|(name, text)| (name.value.clone(), sql(&text.value))).collect();
    shown.extend(computed.iter().filter(|(name, _)| !excluded(name)).cloned());
    Seen { shown, computed, row }
}

impl Seen {
    fn get(&self, name: &str) -> &Value {
        let own = self.shown.iter().chain(&self.computed).find(|(n, _)| n == name).map(|(_, v)| v);
        own.or_else(|| self.row.get(name)).unwrap_or_else(|| panic!("no column `{name}`"))
    }

    fn shown_names(&self) -> Vec<String> {
        self.shown.iter().map(|(name, _)| name.clone()).collect()
    }
}

impl Oracle<'_> {
    fn key_of(&self, root: &Seen) -> String {
        let key: Object = self.root_key.iter().map(|name| (name.clone(), root.get(name).clone())).collect();
        Value::Object(key).to_string()
    }

    fn element(&self, at: Option<usize>, row: &Seen) -> Result<Object, Wrong> {
        let mut out: Object = row.shown.iter().cloned().collect();
        for i in (0..self.parents.len()).filter(|i| self.parents[*i] == at) {
            self.embed(i, row, &mut out)?;
        }
        Ok(out)
    }

    fn embed(&self, i: usize, parent: &Seen, out: &mut Object) -> Result<(), Wrong> {
        let lookup = &self.document.lookups[i];
        let children = self.children(i, parent);
        let field = lookup.path.value.last().cloned().unwrap_or_default();
        match lookup.embed.as_ref().expect("a checked spec") {
            WrittenEmbed::Object { on_many, missing } => match (choose(&children, *on_many)?, missing) {
                (Some(child), _) => drop(out.insert(field, Value::Object(self.element(Some(i), child)?))),
                (None, Missing::Null) => drop(out.insert(field, Value::Null)),
                (None, Missing::Absent | Missing::Empty) => {}
            },
            WrittenEmbed::Array { limit, missing } => {
                let some = children.iter().take(limit.unwrap_or(usize::MAX));
                let elements = some.map(|child| self.element(Some(i), child).map(Value::Object)).collect::<Result<Vec<_>, _>>()?;
                match (children.is_empty(), missing) {
                    (true, Missing::Absent) => {}
                    (true, Missing::Null) => drop(out.insert(field, Value::Null)),
                    _ => drop(out.insert(field, Value::Array(elements))),
                }
                self.aggregate(lookup, &children, out);
            }
            WrittenEmbed::Aggregates => self.aggregate(lookup, &children, out),
            WrittenEmbed::Flatten { prefix, on_many, missing } => {
                let child = choose(&children, *on_many)?;
                let names = self.names_of(i, child);
                for name in names {
                    let value = child.map_or(Value::Null, |c| c.get(&name).clone());
                    // Among the parent's fields a missing child and a child's NULL are told apart by nothing.
                    if !(value.is_null() && *missing == Missing::Absent) {
                        out.insert(format!("{prefix}{name}"), value);
                    }
                }
            }
        }
        Ok(())
    }

    /// The fields that a flattened child has, also where there is none.
    fn names_of(&self, i: usize, child: Option<&Seen>) -> Vec<String> {
        match (child, &self.document.lookups[i].input.columns) {
            (Some(child), _) => child.shown_names(),
            (None, Some(columns)) => {
                let name = |c: &WrittenColumn| match c {
                    WrittenColumn::Plain(name) | WrittenColumn::Named { name, .. } => name.value.clone(),
                };
                columns.iter().map(name).collect()
            }
            (None, None) => panic!("the recomputation wants `columns` for a flattened lookup"),
        }
    }

    fn children(&self, i: usize, parent: &Seen) -> Vec<&Seen> {
        let lookup = &self.document.lookups[i];
        let (rows, last) = &self.inputs[i];
        let related = |child: &&Seen| {
            lookup.on.iter().all(|(field, column)| {
                let of_parent = parent.get(field.value.rsplit('.').next().expect("a name"));
                let of_child = child.get(&column.value);
                !of_parent.is_null() && !of_child.is_null() && compare(of_parent, of_child).is_eq()
            })
        };
        let mut children: Vec<&Seen> = rows.iter().filter(related).collect();
        let mut order: Vec<(&str, bool)> = Vec::new();
        for written in &lookup.order_by {
            let mut words = written.value.split_whitespace();
            order.push((words.next().expect("a column"), words.next().is_some_and(|w| w.eq_ignore_ascii_case("desc"))));
        }
        children.sort_by(|a, b| {
            let declared = order.iter().map(|(name, descending)| {
                let by = compare(a.get(name), b.get(name));
                if *descending { by.reverse() } else { by }
            });
            // The child's key is the table's own, whatever is shown under its name.
            let of_table = |row: &Seen, name: &String| row.row.get(name).unwrap_or_else(|| row.get(name)).clone();
            let rest = last.iter().map(|name| compare(&of_table(a, name), &of_table(b, name)));
            declared.chain(rest).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        });
        children
    }

    fn aggregate(&self, lookup: &WrittenLookup, children: &[&Seen], out: &mut Map<String, Value>) {
        for (field, sql) in &lookup.aggregates {
            let (function, rest) = sql.value.split_once('(').expect("an aggregate is a call");
            let column = rest.trim_end().trim_end_matches(')').trim();
            let values = || children.iter().map(|c| c.get(column).clone()).filter(|v| !v.is_null());
            let result = match (function.trim().to_ascii_lowercase().as_str(), column) {
                ("count", "" | "*") => children.len().into(),
                ("count", _) => values().count().into(),
                ("min", _) => values().min_by(compare).unwrap_or(Value::Null),
                ("max", _) => values().max_by(compare).unwrap_or(Value::Null),
                ("sum", _) => {
                    values().map(|v| Scaled::read(&v.to_string()).expect("exact")).reduce(add).map_or(Value::Null, Scaled::number)
                }
                (other, _) => panic!("the recomputation does not know `{other}`"),
            };
            out.insert(field.value.clone(), result);
        }
    }
}

fn add(a: Scaled, b: Scaled) -> Scaled {
    let scale = a.scale.max(b.scale);
    Scaled { digits: a.at(scale) + b.at(scale), scale }
}

fn choose<'c>(children: &[&'c Seen], on_many: OnMany) -> Result<Option<&'c Seen>, Wrong> {
    match on_many {
        OnMany::Error if children.len() > 1 => Err(Wrong),
        OnMany::First | OnMany::Error => Ok(children.first().copied()),
        OnMany::Last => Ok(children.last().copied()),
    }
}

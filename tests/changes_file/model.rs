//! A plain model of a changes file: random lines, and what they do to a table with a key and one without.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::random::Random;

/// The columns of both tables: `id`, the key of `k`; `v`, a number; `s`, a text.
pub(crate) type Row = (Option<i64>, Option<i64>, Option<String>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tables {
    pub(crate) keyed: BTreeMap<i64, Row>,
    pub(crate) unkeyed: BTreeMap<Row, usize>,
}

/// What an image states of a column.
#[derive(Debug, Clone)]
enum Field<T> {
    Missing,
    Null,
    Value(T),
    /// Not of the column's type.
    Bad,
}

#[derive(Debug, Clone)]
struct Image {
    id: Field<i64>,
    v: Field<i64>,
    s: Field<String>,
    /// A field that is no column.
    strange: bool,
}

#[derive(Debug, Clone)]
enum Op {
    Insert(Image),
    Update(Image, Image),
    Delete(Image),
    /// A line that nothing can be read of.
    Nothing,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    table: &'static str,
    op: Op,
}

const KEYS: usize = 12;

impl Tables {
    /// A line that mostly fits the tables, in one of the shapes that producers write.
    pub(crate) fn line(&self, random: &mut Random) -> Line {
        let table = if random.percent(70) { "k" } else { "u" };
        let id = random.below(KEYS) as i64;
        let held = match table {
            "k" => self.keyed.get(&id),
            _ if self.unkeyed.is_empty() => None,
            _ => self.unkeyed.keys().nth(random.below(self.unkeyed.len())),
        };
        let row = held.cloned().unwrap_or_else(|| some_row(id, random));
        let op = match random.below(20) {
            0 => Op::Nothing,
            1 => Op::Insert(some_image(id, random)),
            2 => Op::Delete(some_image(id, random)),
            3 => Op::Update(some_image(id, random), some_image(random.below(KEYS) as i64, random)),
            4..8 if held.is_none() || table == "u" => Op::Insert(after_of(&some_row(id, random), random)),
            4..10 => Op::Delete(before_of(table, &row, random)),
            _ if held.is_none() => Op::Insert(after_of(&some_row(id, random), random)),
            _ => {
                let mut new = some_row(id, random);
                if !random.percent(15) {
                    new.0 = row.0;
                }
                Op::Update(before_of(table, &row, random), after_of(&new, random))
            }
        };
        Line { table, op }
    }

    /// What a line does; whether something of it is left out.
    pub(crate) fn apply(&mut self, line: &Line) -> bool {
        match line.table {
            "k" => self.apply_keyed(&line.op),
            _ => self.apply_unkeyed(&line.op),
        }
    }

    fn apply_keyed(&mut self, op: &Op) -> bool {
        match op {
            Op::Nothing => true,
            Op::Insert(after) => !after.keyed(None).is_some_and(|row| self.bring(row)),
            Op::Delete(before) => match self.held(before) {
                Held::Row(id, _) => self.keyed.remove(&id).is_none(),
                Held::Nothing | Held::Contradiction => true,
            },
            Op::Update(before, after) => match self.held(before) {
                Held::Contradiction => true,
                Held::Row(id, row) => match after.keyed(Some(&row)) {
                    None => self.keyed.remove(&id).is_some(),
                    Some((new, _)) if new != id && self.keyed.contains_key(&new) => true,
                    Some(new) => {
                        self.keyed.remove(&id);
                        !self.bring(new)
                    }
                },
                Held::Nothing => {
                    if let Some(row) = after.keyed(None).filter(|_| after.is_whole()) {
                        self.bring(row);
                    }
                    true
                }
            },
        }
    }

    /// False where the key is held.
    fn bring(&mut self, (id, row): (i64, Row)) -> bool {
        let free = !self.keyed.contains_key(&id);
        if free {
            self.keyed.insert(id, row);
        }
        free
    }

    fn held(&self, before: &Image) -> Held {
        let id = match before.id {
            Field::Missing => return Held::Contradiction,
            Field::Null | Field::Bad => return Held::Nothing,
            Field::Value(id) => id,
        };
        let Some(row) = self.keyed.get(&id) else { return Held::Nothing };
        match before.row(Some(row)) {
            Some(stated) if stated == *row => Held::Row(id, stated),
            _ => Held::Contradiction,
        }
    }

    fn apply_unkeyed(&mut self, op: &Op) -> bool {
        let whole = |image: &Image| image.row(None).filter(|_| image.is_whole());
        match op {
            Op::Nothing => true,
            Op::Insert(after) => after.row(None).map(|row| self.add(row)).is_none(),
            Op::Delete(before) => !whole(before).is_some_and(|row| self.take(&row)),
            Op::Update(before, _) if !before.is_whole() => true,
            Op::Update(before, after) => match before.row(None) {
                None => {
                    whole(after).into_iter().for_each(|row| self.add(row));
                    true
                }
                Some(row) if self.take(&row) => after.row(Some(&row)).map(|row| self.add(row)).is_none(),
                Some(_) => true,
            },
        }
    }

    fn add(&mut self, row: Row) {
        *self.unkeyed.entry(row).or_default() += 1;
    }

    fn take(&mut self, row: &Row) -> bool {
        let Some(copies) = self.unkeyed.get_mut(row) else { return false };
        *copies -= 1;
        if *copies == 0 {
            self.unkeyed.remove(row);
        }
        true
    }
}

enum Held {
    Row(i64, Row),
    Nothing,
    Contradiction,
}

impl Image {
    /// The row, or `None` where it cannot be read; what is missing is as in `rest`, or NULL.
    fn row(&self, rest: Option<&Row>) -> Option<Row> {
        let id = match self.id {
            Field::Value(id) => Some(id),
            Field::Missing => rest.and_then(|row| row.0),
            Field::Null => None,
            Field::Bad => return None,
        };
        let v = match self.v {
            Field::Value(v) => Some(v),
            Field::Missing => rest.and_then(|row| row.1),
            Field::Null => None,
            Field::Bad => return None,
        };
        let s = match &self.s {
            Field::Value(s) => Some(s.clone()),
            Field::Missing => rest.and_then(|row| row.2.clone()),
            Field::Null => None,
            Field::Bad => return None,
        };
        (!self.strange).then_some((id, v, s))
    }

    /// The row and its key, which is never NULL.
    fn keyed(&self, rest: Option<&Row>) -> Option<(i64, Row)> {
        self.row(rest).and_then(|row| Some((row.0?, row)))
    }

    fn is_whole(&self) -> bool {
        !matches!(self.id, Field::Missing) && !matches!(self.v, Field::Missing) && !matches!(self.s, Field::Missing)
    }

    fn json(&self, random: &mut Random) -> Value {
        let mut fields: Vec<(&str, Value)> = Vec::new();
        let number = |field: &Field<i64>| match field {
            Field::Missing => None,
            Field::Null => Some(Value::Null),
            Field::Value(value) => Some(json!(value)),
            Field::Bad => Some(json!("a lot")),
        };
        fields.extend(number(&self.id).map(|value| ("id", value)));
        fields.extend(number(&self.v).map(|value| ("v", value)));
        fields.extend(match &self.s {
            Field::Missing => None,
            Field::Null => Some(("s", Value::Null)),
            Field::Value(text) => Some(("s", json!(text))),
            Field::Bad => Some(("s", json!([1]))),
        });
        fields.extend(self.strange.then(|| ("w", json!(1))));
        random.shuffle(&mut fields);
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect::<Map<_, _>>())
    }
}

impl Line {
    /// As it stands in the file.
    pub(crate) fn text(&self, random: &mut Random) -> String {
        let mut line = json!({"table": self.table});
        match &self.op {
            Op::Nothing => return ["{\"table\": \"k\", \"op\"\n", "[]\n", "{\"op\": \"delete\"}\n"][random.below(3)].into(),
            Op::Insert(after) => (line["op"], line["after"]) = ("insert".into(), after.json(random)),
            Op::Update(before, after) => {
                (line["op"], line["before"], line["after"]) = ("update".into(), before.json(random), after.json(random))
            }
            Op::Delete(before) => (line["op"], line["before"]) = ("delete".into(), before.json(random)),
        }
        format!("{line}\n")
    }
}

fn value_of<T>(value: Option<T>) -> Field<T> {
    value.map_or(Field::Null, Field::Value)
}

pub(crate) fn some_row(id: i64, random: &mut Random) -> Row {
    let v = (!random.percent(20)).then(|| random.below(5) as i64);
    let s = (!random.percent(20)).then(|| ["", "a", "größer", "x\"y"][random.below(4)].to_string());
    (Some(id), v, s)
}

/// Anything.
fn some_image(id: i64, random: &mut Random) -> Image {
    fn field<T>(value: Option<T>, random: &mut Random) -> Field<T> {
        match random.below(8) {
            0 => Field::Missing,
            1 => Field::Null,
            2 => Field::Bad,
            _ => value_of(value),
        }
    }
    let (id, v, s) = some_row(id, random);
    Image { id: field(id, random), v: field(v, random), s: field(s, random), strange: random.percent(5) }
}

/// The row, or its key, or something between.
fn before_of(table: &str, (id, v, s): &Row, random: &mut Random) -> Image {
    let all = table == "u" && !random.percent(10) || random.percent(30);
    let (with_v, with_s) = (all || random.percent(30), all || random.percent(30));
    let field = |given: bool, value| if given { value } else { Field::Missing };
    Image {
        id: value_of(*id),
        v: if with_v { value_of(*v) } else { Field::Missing },
        s: field(with_s, value_of(s.clone())),
        strange: false,
    }
}

/// The row, sometimes without columns.
fn after_of((id, v, s): &Row, random: &mut Random) -> Image {
    let lacks = random.percent(30);
    let mut missing = || lacks && random.percent(50);
    Image {
        id: if missing() { Field::Missing } else { value_of(*id) },
        v: if missing() { Field::Missing } else { value_of(*v) },
        s: if missing() { Field::Missing } else { value_of(s.clone()) },
        strange: false,
    }
}

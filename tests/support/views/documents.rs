//! Random views of documents: of tables, and of queries that have a table's columns.

use serde_json::{Map, Value, json};

use super::queries::{self, From};
use super::random::Random;
use super::recursive_queries;

/// Something with the columns of the random tables.
pub(crate) struct Relation {
    /// As a document names it.
    pub(crate) name: String,
    /// Whether `id` is known to make a row unique.
    pub(crate) keyed: bool,
}

struct Shape<'r> {
    random: &'r mut Random,
    lookups: Vec<Value>,
    /// Paths that lookups may lie in, the columns by which each is reached, and how deep it is.
    parents: Vec<(String, Vec<&'static str>, usize)>,
}

/// A few queries, some of them over others; then documents that read them beside the tables.
pub(crate) fn of_queries(random: &mut Random, mut relations: Vec<Relation>) -> Map<String, Value> {
    let mut views = Map::new();
    let tables = relations.len();
    for n in 0..2 + random.below(2) {
        let name = format!("q{n}");
        let (sql, keyed) = if n > 0 && random.percent(30) {
            let below = tables + random.below(n);
            over_view(random, &relations[below])
        } else {
            query(random)
        };
        views.insert(name.clone(), json!({"sql": sql}));
        relations.push(Relation { name, keyed });
    }
    // Roots are mostly the first.
    relations.rotate_left(if random.percent(50) { tables } else { 0 });
    for n in 0..1 + random.below(2) {
        let document = if random.percent(25) { of_own_query(random, &relations) } else { view(random, &relations) };
        views.insert(format!("d{n}"), document);
    }
    views
}

/// Documents of a query of their own.
fn of_own_query(random: &mut Random, relations: &[Relation]) -> Value {
    let (sql, keyed) = query(random);
    let mut out = Map::new();
    out.insert("sql".into(), sql.into());
    let mut key = vec!["id"];
    if !keyed || random.percent(20) {
        key = random.pick(&[vec!["id"], vec!["id", "a"], vec!["c", "id"]]).clone();
        out.insert("key".into(), json!(key));
    }
    if random.percent(30) {
        out.insert("exclude".into(), json!(random.pick(&[vec!["v"], vec!["b", "v"]])));
    }
    out.insert("lookup".into(), lookups(random, relations, key));
    Value::Object(out)
}

/// A query with the columns of a table, and whether `id` is its key.
fn query(random: &mut Random) -> (String, bool) {
    let from = queries::from(random);
    // Rows that a query gives itself have wider numbers.
    let wide = from.text.contains("VALUES");
    let int = |sql: String| if wide { format!("CAST({sql} AS INT)") } else { sql };
    let number = |random: &mut Random| int(from.number(random));
    let text = format!("{}.c", random.pick(&from.aliases));
    let filter = queries::filter(&from, random);
    let counted = |call: &str| format!("CAST({call} AS INT) AS v");
    match random.below(7) {
        0 => {
            let (id, a, b) = (number(random), number(random), number(random));
            (format!("SELECT {id} AS id, {a} AS a, {b} AS b, {text} AS c, {} AS v FROM {}{filter}", number(random), from.text), false)
        }
        1..3 => {
            let (id, a, b) = (number(random), number(random), number(random));
            let call = random.pick(&["count(*)", "count(DISTINCT x.v)", "sum(x.v)", "count(x.a)"]);
            let columns = format!("{id} AS id, max({a}) AS a, min({b}) AS b, max({text}) AS c, {}", counted(call));
            (format!("SELECT {columns} FROM {}{filter} GROUP BY 1", from.text), true)
        }
        3 => {
            let order = "x.v DESC, x.id, x.a, x.b, x.c";
            let columns = format!(
                "{} AS id, {} AS a, {} AS b, x.c AS c, {} AS v",
                int("x.id".into()),
                int("x.a".into()),
                int("x.b".into()),
                int("x.v".into())
            );
            let ranked = format!("SELECT {columns}, row_number() OVER (PARTITION BY x.a ORDER BY {order}) AS n FROM {}{filter}", from.text);
            (format!("SELECT id, a, b, c, v FROM ({ranked}) r WHERE n <= {}", 1 + random.below(2)), false)
        }
        4 => {
            let columns = "CAST(r.m AS INT) AS id, CAST(r.n AS INT) AS a, t.b, t.c, t.v";
            let recursion = recursive_queries::recursion(random);
            (format!("WITH RECURSIVE {recursion} SELECT {columns} FROM r LEFT JOIN s.t{} t ON t.id = r.n", random.below(4)), false)
        }
        5 => {
            let (id, a, b) = (number(random), number(random), number(random));
            let total = counted(&format!("sum(x.v) OVER (PARTITION BY {})", from.any(random)));
            (format!("SELECT {id} AS id, {a} AS a, {b} AS b, {text} AS c, {total} FROM {}{filter}", from.text), false)
        }
        _ => {
            let side = |random: &mut Random| {
                let table = random.below(4);
                let operand = From { text: format!("s.t{table} x"), aliases: vec!["x"] };
                format!("SELECT x.id, x.a, x.b, x.c, x.v FROM s.t{table} x{}", queries::filter(&operand, random))
            };
            let operator = random.pick(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]);
            (format!("{} {operator} {}", side(random), side(random)), false)
        }
    }
}

fn over_view(random: &mut Random, view: &Relation) -> (String, bool) {
    match random.below(3) {
        0 => (format!("SELECT id, a, b, c, v FROM {} WHERE v > 0", view.name), view.keyed),
        1 => {
            let columns = "v AS id, max(id) AS a, max(a) AS b, min(c) AS c, CAST(count(*) AS INT) AS v";
            (format!("SELECT {columns} FROM {} GROUP BY 1", view.name), true)
        }
        _ => (format!("SELECT x.id, x.a, y.b, x.c, y.v FROM {} x LEFT JOIN s.t0 y ON y.id = x.a", view.name), false),
    }
}

/// A random view of documents of some of these.
pub(crate) fn view(random: &mut Random, relations: &[Relation]) -> Value {
    let root = if random.percent(70) { 0 } else { random.below(relations.len()) };
    let mut out = Map::new();
    out.insert("from".into(), relations[root].name.clone().into());
    let mut key = vec!["id"];
    if !relations[root].keyed || random.percent(20) {
        key = random.pick(&[vec!["id"], vec!["id"], vec!["id", "a"], vec!["c", "id"]]).clone();
        out.insert("key".into(), json!(key));
    }
    input(&mut out, random, true);
    out.insert("lookup".into(), lookups(random, relations, key));
    Value::Object(out)
}

fn lookups(random: &mut Random, relations: &[Relation], key: Vec<&'static str>) -> Value {
    let mut shape = Shape { random, lookups: Vec::new(), parents: vec![(String::new(), key, 0)] };
    for i in 0..1 + shape.random.below(6) {
        shape.lookup(i, relations);
    }
    Value::Array(shape.lookups)
}

/// Filters and columns. `all`: no column may go.
fn input(out: &mut Map<String, Value>, random: &mut Random, all: bool) {
    if random.percent(20) {
        let filters = ["v > 0", "a is not null", "c <> 'x'", "v = 1 or b < 2", "not (a = b)", "v <> 2 and c is not null"];
        out.insert("where".into(), (*random.pick(&filters)).into());
    }
    match random.below(if all { 8 } else { 10 }) {
        0 => drop(out.insert("compute".into(), json!({"w": "v * 2 + 1"}))),
        1 => drop(out.insert("compute".into(), json!({"u": "upper(c)"}))),
        8 => drop(out.insert("columns".into(), json!(["id", "c", {"sum": "a + b"}]))),
        9 => drop(out.insert("exclude".into(), json!(["a", "v"]))),
        _ => {}
    }
}

impl Shape<'_> {
    fn lookup(&mut self, i: usize, relations: &[Relation]) {
        // Often the deepest, so that there are deep ones.
        let deepest = self.parents.len() - 1;
        let at = if self.random.percent(50) { deepest } else { self.random.below(self.parents.len()) };
        let (parent, reached_by, depth) = self.parents[at].clone();
        let child = self.random.below(relations.len());
        let mut out = Map::new();
        out.insert("from".into(), relations[child].name.clone().into());
        let relation = self.relation(&reached_by);
        let field = |column: &str| if parent.is_empty() { column.to_string() } else { format!("{parent}.{column}") };
        let on: Map<String, Value> = relation.iter().map(|(p, c)| (field(p), (*c).into())).collect();
        out.insert("on".into(), on.into());
        let path = field(&format!("l{i}"));
        let form = self.random.below(10);
        let (orders, on_many) = (self.random.percent(40), self.random.percent(40));
        match form {
            0..4 => {
                out.insert("path".into(), path.clone().into());
                out.insert("type".into(), "array".into());
                if self.random.percent(25) {
                    out.insert("limit".into(), (1 + self.random.below(2)).into());
                }
                self.maybe(&mut out, "missing", 30, &["absent", "null", "empty"]);
                if self.random.percent(30) {
                    out.insert("aggregates".into(), aggregates(i));
                }
            }
            4..8 => {
                out.insert("path".into(), path.clone().into());
                out.insert("type".into(), "object".into());
                self.maybe(&mut out, "missing", 40, &["absent", "null"]);
            }
            8 => {
                out.insert("path".into(), "".into());
                out.insert("prefix".into(), format!("p{i}_").into());
                out.insert("columns".into(), json!(["id", "c", {"d": "v + 1"}]));
                self.maybe(&mut out, "missing", 40, &["absent", "null"]);
            }
            _ => drop(out.insert("aggregates".into(), aggregates(i))),
        }
        if (4..9).contains(&form) && on_many {
            self.maybe(&mut out, "on_many", 100, &["first", "last", "last", "error"]);
        }
        if form < 9 && orders {
            let orders = [json!("v desc"), json!(["c", "a desc"]), json!(["b desc", "v asc"])];
            out.insert("order_by".into(), self.random.pick(&orders).clone());
        }
        if form < 8 {
            // Columns that are not shown end the order of rows without a key in a way of the engine's own.
            input(&mut out, self.random, !relations[child].keyed);
            if depth < 3 {
                self.parents.push((path, relation.iter().map(|(_, c)| *c).collect(), depth + 1));
            }
        }
        self.lookups.push(Value::Object(out));
    }

    /// Parent's and child's columns. Often the columns by which the parent itself is reached, where no index is needed.
    fn relation(&mut self, reached_by: &[&'static str]) -> Vec<(&'static str, &'static str)> {
        const INTEGERS: [&str; 4] = ["id", "a", "b", "v"];
        if self.random.percent(30) {
            let like = |column: &&'static str| (*column, if *column == "c" { "c" } else { *self.random.pick(&INTEGERS) });
            let pairs: Vec<_> = reached_by.iter().map(like).collect();
            if pairs.len() < 2 || pairs[0].1 != pairs[1].1 {
                return pairs;
            }
        }
        match self.random.below(6) {
            0 => vec![("c", "c")],
            1 => vec![("a", "b"), ("c", "c")],
            2 => vec![("a", "a"), ("b", "b")],
            _ => vec![(*self.random.pick(&INTEGERS), *self.random.pick(&INTEGERS))],
        }
    }

    fn maybe(&mut self, out: &mut Map<String, Value>, key: &str, percent: usize, of: &[&str]) {
        if self.random.percent(percent) {
            out.insert(key.into(), (*self.random.pick(of)).into());
        }
    }
}

fn aggregates(i: usize) -> Value {
    json!({format!("n{i}"): "count()", format!("s{i}"): "sum(v)", format!("m{i}"): "min(c)", format!("x{i}"): "max(b)", format!("k{i}"): "count(a)"})
}

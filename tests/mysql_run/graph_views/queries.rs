//! Queries as the engine is asked and as the server is.
//!
//! Our texts are equal byte by byte, the server's by their collation. So the server is asked to compare them as binaries.

use super::related::{Related, Relation, ViewedTable};
use crate::graphs::{Column, INT};
use crate::random::Random;

pub(super) struct Query {
    pub(super) ours: String,
    pub(super) servers: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Server,
}

pub(super) fn some(related: &Related, random: &mut Random) -> Vec<Query> {
    let makers = [join, join_of_three, groups, groups_of_children, existence, greatest];
    let mut queries = vec![join(related, random), groups(related, random)];
    queries.extend((0..2).map(|_| random.pick(&makers)(related, random)));
    queries.extend(reached(related, random));
    queries
}

impl Query {
    fn of(write: impl Fn(Side) -> String) -> Query {
        Query { ours: write(Side::Ours), servers: write(Side::Server) }
    }
}

impl Side {
    fn table(self, table: &ViewedTable) -> String {
        if self == Side::Ours { format!("s.{}", table.name) } else { table.name.clone() }
    }

    /// Something by which values are compared.
    fn compared(self, alias: &str, column: &Column) -> String {
        let name = format!("{alias}.{}", column.name);
        if self == Side::Server && column.ty != INT { format!("CAST({name} AS BINARY)") } else { name }
    }

    /// A column of a group by it.
    fn grouped(self, alias: &str, column: &Column) -> String {
        let name = format!("{alias}.{}", column.name);
        if self == Side::Server && column.ty != INT { format!("MIN({name})") } else { name }
    }

    fn condition(self, from: &str, to: &str, relation: &Relation) -> String {
        let equal = |(own, other): &(Column, Column)| format!("{} = {}", self.compared(from, own), self.compared(to, other));
        relation.pairs.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }
}

fn all_of(alias: &str, table: &ViewedTable) -> String {
    table.columns.iter().map(|column| format!("{alias}.{0} AS {alias}_{0}", column.name)).collect::<Vec<_>>().join(", ")
}

fn join(related: &Related, random: &mut Random) -> Query {
    let relation = related.relation(random);
    let (a, b) = (&related.tables[relation.from], &related.tables[relation.to]);
    let kind = *random.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    Query::of(|side| {
        let (list, of_a, of_b) = (format!("{}, {}", all_of("a", a), all_of("b", b)), side.table(a), side.table(b));
        let on = side.condition("a", "b", relation);
        let joined = |kind: &str| format!("SELECT {list} FROM {of_a} a {kind} {of_b} b ON {on}");
        match side {
            // The servers have no full join. No column of a key is NULL.
            Side::Server if kind == "FULL JOIN" => {
                format!("{} UNION ALL {} WHERE a.{} IS NULL", joined("LEFT JOIN"), joined("RIGHT JOIN"), a.key[0].name)
            }
            _ => joined(kind),
        }
    })
}

fn join_of_three(related: &Related, random: &mut Random) -> Query {
    let first = related.relation(random);
    let second = related.relation_from(first.to, random).expect("every relation is there in both directions");
    let (a, b, c) = (&related.tables[first.from], &related.tables[first.to], &related.tables[second.to]);
    let kinds = [*random.pick(&["JOIN", "LEFT JOIN"]), *random.pick(&["JOIN", "LEFT JOIN"])];
    Query::of(|side| {
        format!(
            "SELECT {}, b.v AS b_v, {} FROM {} a {} {} b ON {} {} {} c ON {}",
            all_of("a", a),
            all_of("c", c),
            side.table(a),
            kinds[0],
            side.table(b),
            side.condition("a", "b", first),
            kinds[1],
            side.table(c),
            side.condition("b", "c", second),
        )
    })
}

/// By the columns of a relation.
fn groups(related: &Related, random: &mut Random) -> Query {
    let relation = related.relation(random);
    let (table, columns) = (&related.tables[relation.from], relation.pairs.iter().map(|(own, _)| own));
    let having = *random.pick(&["", " HAVING count(*) > 1"]);
    Query::of(|side| {
        let list: Vec<String> = columns.clone().map(|column| format!("{} AS g_{}", side.grouped("a", column), column.name)).collect();
        let by: Vec<String> = columns.clone().map(|column| side.compared("a", column)).collect();
        format!(
            "SELECT {}, count(*) AS n, count(a.u) AS us, sum(a.v) AS total, min(a.v) AS least, max(a.v) AS most FROM {} a GROUP BY {}{having}",
            list.join(", "),
            side.table(table),
            by.join(", ")
        )
    })
}

/// Of each row those that belong to it.
fn groups_of_children(related: &Related, random: &mut Random) -> Query {
    let relation = related.relation(random);
    let (a, b) = (&related.tables[relation.from], &related.tables[relation.to]);
    Query::of(|side| {
        let list: Vec<String> = a.key.iter().map(|column| format!("{} AS g_{}", side.grouped("a", column), column.name)).collect();
        let by: Vec<String> = a.key.iter().map(|column| side.compared("a", column)).collect();
        format!(
            "SELECT {}, count(b.{}) AS n, sum(b.v) AS total FROM {} a LEFT JOIN {} b ON {} GROUP BY {}",
            list.join(", "),
            b.key[0].name,
            side.table(a),
            side.table(b),
            side.condition("a", "b", relation),
            by.join(", ")
        )
    })
}

fn existence(related: &Related, random: &mut Random) -> Query {
    let relation = related.relation(random);
    let (a, b) = (&related.tables[relation.from], &related.tables[relation.to]);
    let word = *random.pick(&["EXISTS", "NOT EXISTS"]);
    Query::of(|side| {
        let (list, of_a, of_b) = (all_of("a", a), side.table(a), side.table(b));
        format!("SELECT {list} FROM {of_a} a WHERE {word} (SELECT 1 FROM {of_b} b WHERE {})", side.condition("a", "b", relation))
    })
}

/// In an order that both have: of numbers without NULL, and of the bytes of texts.
fn greatest(related: &Related, random: &mut Random) -> Query {
    let table = related.table(random);
    let limit = 1 + random.below(4);
    Query::of(|side| {
        let key: Vec<String> = table.key.iter().map(|column| side.compared("a", column)).collect();
        format!(
            "SELECT {} FROM {} a ORDER BY coalesce(a.v, -1) DESC, {} LIMIT {limit}",
            all_of("a", table),
            side.table(table),
            key.join(", ")
        )
    })
}

/// What a row leads to, if its table refers to itself.
fn reached(related: &Related, random: &mut Random) -> Option<Query> {
    let relation = related.relation_to_itself(random)?;
    let (table, (own, other)) = (&related.tables[relation.from], &relation.pairs[0]);
    let (own, other) = (&own.name, &other.name);
    Some(Query::of(|side| {
        let table = side.table(table);
        format!(
            "WITH RECURSIVE r AS (SELECT a.{own} AS origin, a.{other} AS target FROM {table} a UNION SELECT r.origin, a.{other} FROM r JOIN \
             {table} a ON a.{own} = r.target) SELECT origin, target FROM r"
        )
    }))
}

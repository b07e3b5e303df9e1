//! Random tables with random foreign keys, and random transactions on them. The same seed gives the same ones.
//!
//! A server may refuse some of the keys and of the statements; the others are run nevertheless.

use std::ops::Range;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::long;
use super::random::Random;

pub(crate) struct Graph {
    pub(crate) tables: Vec<GraphTable>,
    pub(crate) keys: Vec<ForeignKey>,
    /// What adds the foreign keys and their columns to the tables.
    pub(crate) alterations: Vec<String>,
}

/// A column that can be referred to, and the types of columns that match it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: &'static str,
}

pub(crate) struct GraphTable {
    pub(crate) name: String,
    /// The columns of the primary key.
    pub(crate) key: Vec<Column>,
    /// A unique column beside it.
    pub(crate) unique: Column,
    /// Columns that refer to others.
    pub(crate) refers: Vec<Column>,
    create: String,
}

/// The server may have refused it, then it is a relation without a key.
pub(crate) struct ForeignKey {
    /// The number of the table that refers.
    pub(crate) child: usize,
    pub(crate) columns: Vec<Column>,
    pub(crate) parent: usize,
    pub(crate) referenced: Vec<Column>,
}

pub(crate) const INT: &str = "INT";
/// The collations of texts, of which servers have different ones.
const TEXTS: [&str; 5] = [
    "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
    "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
    "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_czech_ci",
];
const VALUES: [&str; 12] = ["a", "A", "b", "B ", "ä", "Ä", "ss", "ß", "ch", "CH", "c", "k-1"];
const ACTIONS: [&str; 5] = ["CASCADE", "CASCADE", "SET NULL", "RESTRICT", "NO ACTION"];

/// How many rows are inserted into each table at first, if the server does not refuse them.
const FILLED: usize = 12;

/// `TIDEMILL_GRAPHS` and `TIDEMILL_GRAPH_SEED` set the number of graphs at each server and the first seed.
pub(crate) fn seeds(usual: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap_or_else(|e| panic!("{name}: {e}")));
    let count = number("TIDEMILL_GRAPHS").unwrap_or(if long::is_wanted() { 300 } else { usual });
    match number("TIDEMILL_GRAPH_SEED") {
        Some(first) => first..first + count,
        None if long::is_wanted() => long::new_seeds(count),
        None => 0..count,
    }
}

impl Graph {
    pub(crate) fn random(random: &mut Random) -> Graph {
        let mut graph = Graph { tables: tables(random), keys: Vec::new(), alterations: Vec::new() };
        graph.add_keys(random);
        graph
    }

    /// Adds columns and the keys over them.
    fn add_keys(&mut self, random: &mut Random) {
        let tables = &mut self.tables;
        for child in 0..tables.len() {
            for n in 0..random.below(3) {
                let parent = random.below(tables.len());
                let referenced: Vec<Column> =
                    if random.percent(30) { vec![tables[parent].unique.clone()] } else { tables[parent].key.clone() };
                let own: Vec<Column> = referenced.iter().enumerate().map(|(i, c)| Column { name: format!("f{n}_{i}"), ty: c.ty }).collect();
                // Sometimes the child's own key is what refers.
                let by_key = random.percent(15) && tables[child].key.iter().map(|c| c.ty).eq(referenced.iter().map(|c| c.ty));
                let own = if by_key { tables[child].key.clone() } else { own };
                let name = &tables[child].name;
                if !by_key {
                    let added: Vec<String> = own.iter().map(|c| format!("ADD COLUMN {} {} NULL", c.name, c.ty)).collect();
                    self.alterations.push(format!("ALTER TABLE {name} {}", added.join(", ")));
                }
                self.alterations.push(add_key(name, &own, &tables[parent].name, &referenced, random));
                if !by_key {
                    tables[child].refers.extend(own.clone());
                }
                self.keys.push(ForeignKey { child, columns: own, parent, referenced });
            }
        }
    }

    /// Creates the tables, which are not there yet, and fills them.
    pub(crate) async fn create(&self, conn: &mut Conn, random: &mut Random) {
        for table in &self.tables {
            let create = format!("CREATE TABLE {} ({})", table.name, table.create);
            conn.query_drop(&create).await.unwrap_or_else(|e| panic!("{create}: {e}"));
        }
        for statement in &self.alterations {
            // A key that the server refuses is left out, for example SET NULL of a column that cannot be NULL.
            let done = conn.query_drop(statement).await;
            assert!(done.is_ok() || statement.contains("FOREIGN KEY"), "{statement}: {done:?}");
        }
        // Rows whose parents come later in a round are there from the next round on.
        for _ in 0..FILLED {
            for table in &self.tables {
                let _ = conn.query_drop(table.insertion(random)).await;
            }
        }
        for _ in 0..30 {
            let _ = conn.query_drop(self.statement(random)).await;
        }
    }

    /// Runs a random transaction, and sometimes adds or drops a foreign key after it: whether it did. `done` gets what was run.
    pub(crate) async fn transact(&self, conn: &mut Conn, random: &mut Random, done: &mut Vec<String>) -> bool {
        let checks = !random.percent(15);
        let mut transaction = vec![format!("SET foreign_key_checks = {}", u8::from(checks)), "BEGIN".into()];
        transaction.extend((0..1 + random.below(5)).map(|_| self.statement(random)));
        transaction.push(if random.percent(10) { "ROLLBACK" } else { "COMMIT" }.into());
        let change = if random.percent(8) { self.change_of_keys(conn, random).await } else { None };
        let changes_keys = change.is_some();
        transaction.extend(change);
        for statement in &transaction {
            // Statements that fail are undone by the server.
            let failed = conn.query_drop(statement).await.is_err();
            done.push(format!("{statement}{}", if failed { " -- failed" } else { "" }));
        }
        changes_keys
    }

    /// A statement that drops one of the foreign keys, or adds one over columns that may belong to another already. The server may refuse it.
    async fn change_of_keys(&self, conn: &mut Conn, random: &mut Random) -> Option<String> {
        if random.percent(50) {
            let query = "SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND \
                         REFERENCED_TABLE_NAME IS NOT NULL AND ORDINAL_POSITION = 1 ORDER BY 1, 2";
            let keys: Vec<(String, String)> = conn.query(query).await.unwrap();
            let (table, name) = (!keys.is_empty()).then(|| random.pick(&keys))?;
            return Some(format!("ALTER TABLE {table} DROP FOREIGN KEY {name}"));
        }
        let (child, parent) = (random.pick(&self.tables), random.pick(&self.tables));
        let own = child.refers.iter().find(|column| parent.key.len() == 1 && column.ty == parent.key[0].ty)?;
        Some(add_key(&child.name, std::slice::from_ref(own), &parent.name, &parent.key, random))
    }

    fn statement(&self, random: &mut Random) -> String {
        let table = random.pick(&self.tables);
        let name = &table.name;
        let condition = |random: &mut Random| {
            let column = if random.percent(70) { &table.key[0] } else { &table.unique };
            match random.below(3) {
                0 => format!("{} = {}", column.name, value(column.ty, random)),
                1 => format!("{} <= {}", column.name, value(column.ty, random)),
                _ => format!("{} IN ({}, {})", column.name, value(column.ty, random), value(column.ty, random)),
            }
        };
        match random.below(10) {
            0..=2 => table.insertion(random),
            3 => format!("REPLACE INTO {name} SET {}", assigned(&table.row(random))),
            4 => {
                let new = table.row(random);
                let changed = &new[random.below(new.len())..];
                format!("INSERT INTO {name} SET {} ON DUPLICATE KEY UPDATE {}", assigned(&new), assigned(changed))
            }
            5 if table.key[0].ty == INT => format!("UPDATE {name} SET k0 = k0 + 10 WHERE {} ORDER BY k0 DESC", condition(random)),
            5 | 6 => format!("UPDATE {name} SET {} WHERE {}", assigned(&table.row(random)[..1]), condition(random)),
            7 => {
                let new = table.row(random);
                let changed = random.below(new.len() - 1);
                format!("UPDATE {name} SET {}, v = {} WHERE {}", assigned(&new[changed..=changed]), random.below(3), condition(random))
            }
            _ => format!("DELETE FROM {name} WHERE {}", condition(random)),
        }
    }
}

impl GraphTable {
    fn row(&self, random: &mut Random) -> Vec<(String, String)> {
        let mut columns: Vec<(String, String)> = self.key.iter().map(|c| (c.name.clone(), value(c.ty, random))).collect();
        columns.push((self.unique.name.clone(), nullable(self.unique.ty, random)));
        columns.extend(self.refers.iter().map(|c| (c.name.clone(), nullable(c.ty, random))));
        columns.push(("v".into(), random.below(4).to_string()));
        columns
    }

    fn insertion(&self, random: &mut Random) -> String {
        format!("INSERT IGNORE INTO {} SET {}", self.name, assigned(&self.row(random)))
    }
}

fn assigned(columns: &[(String, String)]) -> String {
    columns.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

fn tables(random: &mut Random) -> Vec<GraphTable> {
    let count = 1 + random.below(8);
    let mut tables: Vec<GraphTable> = Vec::new();
    for n in 0..count {
        let some_type = |random: &mut Random| if random.percent(60) { INT } else { *random.pick(&TEXTS) };
        let width = if random.percent(25) { 2 } else { 1 };
        let key: Vec<Column> = (0..width).map(|i| Column { name: format!("k{i}"), ty: some_type(random) }).collect();
        let unique = Column { name: "u".into(), ty: some_type(random) };
        let columns: Vec<String> = key.iter().map(|c| format!("{} {} NOT NULL", c.name, c.ty)).collect();
        let names: Vec<&str> = key.iter().map(|c| c.name.as_str()).collect();
        let create = format!("{}, u {} NULL UNIQUE, v INT, PRIMARY KEY ({})", columns.join(", "), unique.ty, names.join(", "));
        tables.push(GraphTable { name: format!("t{n}"), key, unique, refers: Vec::new(), create });
    }
    tables
}

fn add_key(child: &str, own: &[Column], parent: &str, referenced: &[Column], random: &mut Random) -> String {
    let list = |columns: &[Column]| columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join(", ");
    format!(
        "ALTER TABLE {child} ADD FOREIGN KEY ({}) REFERENCES {parent} ({}) ON DELETE {} ON UPDATE {}",
        list(own),
        list(referenced),
        random.pick(&ACTIONS),
        random.pick(&ACTIONS)
    )
}

fn value(ty: &str, random: &mut Random) -> String {
    if ty == INT { (1 + random.below(7)).to_string() } else { format!("'{}'", random.pick(&VALUES)) }
}

fn nullable(ty: &str, random: &mut Random) -> String {
    if random.percent(20) { "NULL".into() } else { value(ty, random) }
}

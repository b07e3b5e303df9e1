//! Random tables with random foreign keys under random transactions: after each few of them the rows that were followed are those that a
//! `SELECT` returns. Every time a new run resumes from the notes of the last one, which sometimes was cut off in the middle. Sometimes a
//! foreign key is added or dropped.

use mysql_async::prelude::Queryable;
use tidemill::sources::SourceError;

use super::cascades::{Carrying, Place, SERVERS, assert_same};
use super::long;
use super::random::Random;
use super::support::{Following, discover};

/// A column that can be referred to, and the types of columns that match it.
#[derive(Clone)]
struct Column {
    name: String,
    ty: &'static str,
}

struct TestTable {
    name: String,
    /// The columns of the primary key.
    key: Vec<Column>,
    /// A unique column beside it.
    unique: Column,
    /// Columns that refer to others; the first ones may belong to the primary key.
    refers: Vec<Column>,
    create: String,
}

const INT: &str = "INT";
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

fn value(ty: &str, random: &mut Random) -> String {
    if ty == INT { (1 + random.below(7)).to_string() } else { format!("'{}'", random.pick(&VALUES)) }
}

fn nullable(ty: &str, random: &mut Random) -> String {
    if random.percent(20) { "NULL".into() } else { value(ty, random) }
}

fn tables(random: &mut Random) -> Vec<TestTable> {
    let count = 1 + random.below(8);
    let mut tables: Vec<TestTable> = Vec::new();
    for n in 0..count {
        let some_type = |random: &mut Random| if random.percent(60) { INT } else { *random.pick(&TEXTS) };
        let width = if random.percent(25) { 2 } else { 1 };
        let key: Vec<Column> = (0..width).map(|i| Column { name: format!("k{i}"), ty: some_type(random) }).collect();
        let unique = Column { name: "u".into(), ty: some_type(random) };
        let columns: Vec<String> = key.iter().map(|c| format!("{} {} NOT NULL", c.name, c.ty)).collect();
        let names: Vec<&str> = key.iter().map(|c| c.name.as_str()).collect();
        let create = format!("{}, u {} NULL UNIQUE, v INT, PRIMARY KEY ({})", columns.join(", "), unique.ty, names.join(", "));
        tables.push(TestTable { name: format!("t{n}"), key, unique, refers: Vec::new(), create });
    }
    tables
}

/// The foreign keys, each as two statements: one that adds its columns, and one that adds the key.
fn foreign_keys(tables: &mut [TestTable], random: &mut Random) -> Vec<String> {
    let mut statements = Vec::new();
    for child in 0..tables.len() {
        for n in 0..random.below(3) {
            let parent = random.below(tables.len());
            let referenced: Vec<Column> = if random.percent(30) { vec![tables[parent].unique.clone()] } else { tables[parent].key.clone() };
            let own: Vec<Column> = referenced.iter().enumerate().map(|(i, c)| Column { name: format!("f{n}_{i}"), ty: c.ty }).collect();
            // Sometimes the child's own key is what refers.
            let by_key = random.percent(15) && tables[child].key.iter().map(|c| c.ty).eq(referenced.iter().map(|c| c.ty));
            let own = if by_key { tables[child].key.clone() } else { own };
            let name = &tables[child].name;
            if !by_key {
                let added: Vec<String> = own.iter().map(|c| format!("ADD COLUMN {} {} NULL", c.name, c.ty)).collect();
                statements.push(format!("ALTER TABLE {name} {}", added.join(", ")));
            }
            statements.push(add_key(name, &own, &tables[parent].name, &referenced, random));
            if !by_key {
                tables[child].refers.extend(own);
            }
        }
    }
    statements
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

/// A statement that drops one of the foreign keys, or adds one over columns that may belong to another already. The server may refuse it.
async fn change_of_keys(place: &mut Place, tables: &[TestTable], random: &mut Random) -> Option<String> {
    if random.percent(50) {
        let query = "SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND \
                     REFERENCED_TABLE_NAME IS NOT NULL AND ORDINAL_POSITION = 1 ORDER BY 1, 2";
        let keys: Vec<(String, String)> = place.db.conn.query(query).await.unwrap();
        let (table, name) = (!keys.is_empty()).then(|| random.pick(&keys))?;
        return Some(format!("ALTER TABLE {table} DROP FOREIGN KEY {name}"));
    }
    let (child, parent) = (random.pick(tables), random.pick(tables));
    let own = child.refers.iter().find(|column| parent.key.len() == 1 && column.ty == parent.key[0].ty)?;
    Some(add_key(&child.name, std::slice::from_ref(own), &parent.name, &parent.key, random))
}

fn statement(tables: &[TestTable], random: &mut Random) -> String {
    let table = random.pick(tables);
    let name = &table.name;
    let row = |random: &mut Random| {
        let mut columns: Vec<(String, String)> = table.key.iter().map(|c| (c.name.clone(), value(c.ty, random))).collect();
        columns.push((table.unique.name.clone(), nullable(table.unique.ty, random)));
        columns.extend(table.refers.iter().map(|c| (c.name.clone(), nullable(c.ty, random))));
        columns
    };
    let assigned =
        |columns: &[(String, String)]| columns.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ");
    let condition = |random: &mut Random| {
        let column = if random.percent(70) { &table.key[0] } else { &table.unique };
        match random.below(3) {
            0 => format!("{} = {}", column.name, value(column.ty, random)),
            1 => format!("{} <= {}", column.name, value(column.ty, random)),
            _ => format!("{} IN ({}, {})", column.name, value(column.ty, random), value(column.ty, random)),
        }
    };
    match random.below(10) {
        0..=2 => format!("INSERT IGNORE INTO {name} SET {}", assigned(&row(random))),
        3 => format!("REPLACE INTO {name} SET {}", assigned(&row(random))),
        4 => {
            let new = row(random);
            let changed = &new[random.below(new.len())..];
            format!("INSERT INTO {name} SET {} ON DUPLICATE KEY UPDATE {}", assigned(&new), assigned(changed))
        }
        5 if table.key[0].ty == INT => format!("UPDATE {name} SET k0 = k0 + 10 WHERE {} ORDER BY k0 DESC", condition(random)),
        5 | 6 => format!("UPDATE {name} SET {} WHERE {}", assigned(&row(random)[..1]), condition(random)),
        7 => {
            let new = row(random);
            let changed = random.below(new.len());
            format!("UPDATE {name} SET {}, v = {} WHERE {}", assigned(&new[changed..=changed]), random.below(3), condition(random))
        }
        _ => format!("DELETE FROM {name} WHERE {}", condition(random)),
    }
}

/// One random graph at one server.
async fn graph(place: &mut Place, carrying: Carrying, seed: u64) {
    let random = &mut Random::new(seed);
    place.db.run(&["SET foreign_key_checks = 0"]).await;
    let left: Vec<String> = place.db.conn.query("SHOW TABLES").await.unwrap();
    for table in left {
        place.db.run(&[&format!("DROP TABLE {table}")]).await;
    }
    place.db.run(&["SET foreign_key_checks = 1"]).await;
    let mut tables = tables(random);
    for table in &tables {
        place.db.run(&[&format!("CREATE TABLE {} ({})", table.name, table.create)]).await;
    }
    let statements = foreign_keys(&mut tables, random);
    for statement in &statements {
        // A key that the server refuses is left out, for example SET NULL of a column that cannot be NULL.
        let done = place.db.conn.query_drop(statement).await;
        assert!(done.is_ok() || statement.contains("FOREIGN KEY"), "{statement}: {done:?}");
    }
    for _ in 0..30 {
        let _ = place.db.conn.query_drop(statement(&tables, random)).await;
    }
    let mut captured: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
    random.shuffle(&mut captured);
    captured.truncate(1 + random.below(tables.len()));
    let source = place.db.source();
    let tables_of_source = discover(&*source, &captured).await;
    let what = format!("seed {seed}, {carrying:?}, {captured:?} of {statements:?}");
    assert_eq!(source.preflight(&tables_of_source).await.unwrap(), [], "{what}");
    let mut following = Following::new(&tables_of_source);
    following.catch_up(&*source).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut done = Vec::new();
    for _ in 0..5 {
        // A row that refers to itself is logged by MySQL 9.7 as it was before its own deletion set the reference to NULL.
        let mut may_be_lost = carrying == Carrying::MysqlLogged;
        for _ in 0..1 + random.below(4) {
            let checks = !random.percent(15);
            let mut transaction = vec![format!("SET foreign_key_checks = {}", u8::from(checks)), "BEGIN".into()];
            transaction.extend((0..1 + random.below(5)).map(|_| statement(&tables, random)));
            transaction.push(if random.percent(10) { "ROLLBACK" } else { "COMMIT" }.into());
            if random.percent(8)
                && let Some(change) = change_of_keys(place, &tables, random).await
            {
                transaction.push(change);
                may_be_lost = true;
            }
            for statement in &transaction {
                // Statements that fail are undone by the server.
                let failed = place.db.conn.query_drop(statement).await.is_err();
                done.push(format!("{statement}{}", if failed { " -- failed" } else { "" }));
            }
        }
        let cut_off = match random.percent(30) {
            true => following.cut_off_after(&*source, random.below(12)).await,
            false => Ok(()),
        };
        done.push("-- followed".into());
        let followed = match cut_off {
            Ok(()) => following.catch_up(&*source).await.map(|_| ()),
            Err(error) => Err(error),
        };
        match followed {
            Ok(()) => {}
            Err(SourceError::Resync { .. }) if may_be_lost => {
                following = Following::new(&tables_of_source);
                following.catch_up(&*source).await.unwrap_or_else(|e| panic!("{what}\n{}\n{e}", done.join(";\n")));
            }
            Err(error) => panic!("{what}\n{}\n{error}", done.join(";\n")),
        }
        assert_same(&*source, &tables_of_source, &following, &format!("{what}\n{}\n", done.join(";\n"))).await;
    }
}

/// `TIDEMILL_GRAPHS` and `TIDEMILL_GRAPH_SEED` set the number of graphs at each server and the first seed.
#[tokio::test(flavor = "multi_thread")]
async fn random_graphs_of_foreign_keys_are_followed() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap_or_else(|e| panic!("{name}: {e}")));
    let count = number("TIDEMILL_GRAPHS").unwrap_or(if long::is_wanted() { 300 } else { 12 });
    let seeds = match number("TIDEMILL_GRAPH_SEED") {
        Some(first) => first..first + count,
        None if long::is_wanted() => long::new_seeds(count),
        None => 0..count,
    };
    for carrying in SERVERS {
        let mut place = Place::new(carrying, "random_cascades").await;
        for seed in seeds.clone() {
            graph(&mut place, carrying, seed).await;
        }
        place.db.drop().await;
    }
    long::tell(&format!("foreign keys: graphs {seeds:?} at {} servers", SERVERS.len()));
}

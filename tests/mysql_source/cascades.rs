//! What foreign keys do to other tables, on servers that log it and on those that do not.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use tidemill::sources::{self, Capture, Event, MemoryRows, Severity, Source, SourceError, Table};
use tokio::sync::mpsc;

use super::servers::OwnServer;
use super::support::{Db, Family, Following, discover, run, values};

/// Servers by how they carry foreign keys out.
pub(crate) const SERVERS: [Carrying; 3] = [Carrying::Mariadb, Carrying::MysqlLogged, Carrying::MysqlNative];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrying {
    /// InnoDB does, and the log has nothing of it.
    Mariadb,
    /// The server does, and logs it.
    MysqlLogged,
    /// As at MariaDB.
    MysqlNative,
}

/// A database at such a server.
pub(crate) struct Place {
    pub(crate) db: Db,
    _server: Option<OwnServer>,
}

impl Place {
    pub(crate) async fn new(carrying: Carrying, name: &str) -> Place {
        match carrying {
            Carrying::Mariadb => Place { db: Db::create(Family::Mariadb, name).await, _server: None },
            Carrying::MysqlLogged => Place { db: Db::create(Family::Mysql, name).await, _server: None },
            Carrying::MysqlNative => {
                let server = OwnServer::start("MYSQL", "--innodb-native-foreign-keys=ON --default-storage-engine=InnoDB");
                Place { db: Db::create_at(Family::Mysql, &server.url, name).await, _server: Some(server) }
            }
        }
    }
}

/// The rows as a `SELECT` of now has them, and as they are after everything in the log.
pub(crate) async fn assert_same(source: &dyn Source, tables: &[Table], following: &Following, what: &str) {
    let selected = run_with_notes(source, tables).await;
    let followed = following.rows();
    for (row, count) in &selected {
        let shown = || values(&tables[row.0], &row.1);
        assert_eq!(followed.get(row), Some(count), "{what}: `{}` should have {:?}", tables[row.0].name, shown());
    }
    for row in followed.keys() {
        assert!(selected.contains_key(row), "{what}: `{}` should not have {:?}", tables[row.0].name, values(&tables[row.0], &row.1));
    }
}

async fn run_with_notes(source: &dyn Source, tables: &[Table]) -> super::support::State {
    let mut fresh = Following::new(tables);
    fresh.catch_up(source).await.unwrap();
    fresh.rows()
}

/// Creates tables, and follows `names` through one step after another, each of which is a few statements.
async fn follow(name: &str, create: &[&str], names: &[&str], steps: &[&[&str]]) {
    for carrying in SERVERS {
        let mut place = Place::new(carrying, name).await;
        place.db.run(create).await;
        let source = place.db.source();
        let tables = discover(&*source, names).await;
        assert_eq!(source.preflight(&tables).await.unwrap(), [], "{carrying:?}");
        let mut following = Following::new(&tables);
        following.catch_up(&*source).await.unwrap();
        for step in steps {
            place.db.run(step).await;
            following.catch_up(&*source).await.unwrap_or_else(|e| panic!("{carrying:?} {step:?}: {e}"));
            assert_same(&*source, &tables, &following, &format!("{carrying:?} {step:?}")).await;
        }
        place.db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn children_follow_their_parent_over_several_levels() {
    follow(
        "cascade_levels",
        &[
            "CREATE TABLE a (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE ON UPDATE CASCADE)",
            "CREATE TABLE c (id INT PRIMARY KEY, b INT, w TEXT, FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE ON UPDATE SET NULL)",
            "INSERT INTO a VALUES (1, 1), (2, 2), (3, 3), (4, 4)",
            "INSERT INTO b VALUES (1, 1), (2, 1), (3, 2), (4, NULL), (5, 4)",
            "INSERT INTO c VALUES (1, 1, 'x'), (2, 1, 'y'), (3, 2, 'z'), (4, 3, 'w'), (5, NULL, 'v'), (6, 5, 'u')",
        ],
        &["a", "b", "c"],
        &[
            &["DELETE FROM a WHERE id = 1"],
            &["UPDATE a SET id = 20 WHERE id = 2", "UPDATE a SET v = 7 WHERE id = 3"],
            &["UPDATE b SET id = 30 WHERE id = 3"],
            &["BEGIN", "INSERT INTO b VALUES (7, 20)", "INSERT INTO c VALUES (7, 7, 'new')", "DELETE FROM a WHERE id = 20", "COMMIT"],
            &["SET foreign_key_checks = 0", "DELETE FROM a WHERE id = 4", "SET foreign_key_checks = 1"],
            &["INSERT INTO b VALUES (8, 3)", "XA START 'x'", "DELETE FROM a WHERE id = 3", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'"],
            &["INSERT INTO a VALUES (4, 4)", "DELETE FROM a"],
        ],
    )
    .await;
}

/// Of several keys that reach a row, one may undo what another looks for. They act in the order of their databases and names, byte by byte, and
/// each with all that follows from it.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_in_each_others_way_act_in_the_order_of_their_names() {
    let both = |first: &str, second: &str| {
        format!(
            "CONSTRAINT `{first}` FOREIGN KEY (f) REFERENCES p (id) ON DELETE SET NULL, CONSTRAINT `{second}` FOREIGN KEY (f) REFERENCES p \
             (id) ON DELETE CASCADE"
        )
    };
    let create = [
        "CREATE TABLE p (id INT PRIMARY KEY)".to_string(),
        format!("CREATE TABLE ab (id INT PRIMARY KEY, f INT, {})", both("ab_a", "ab_b")),
        format!("CREATE TABLE ba (id INT PRIMARY KEY, f INT, {})", both("ba_b", "ba_a")),
        format!("CREATE TABLE letters (id INT PRIMARY KEY, f INT, {})", both("l_a", "l_B")),
        format!("CREATE TABLE bytes (id INT PRIMARY KEY, f INT, {})", both("b_z", "b_\u{e9}")),
        // The name of the key counts, not that of its table: `z` loses its row first, and `b` by that.
        "CREATE TABLE z (id INT PRIMARY KEY, p INT, UNIQUE (id, p), CONSTRAINT a1 FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)"
            .into(),
        "CREATE TABLE b (id INT PRIMARY KEY, a INT, p INT, CONSTRAINT m2 FOREIGN KEY (a, p) REFERENCES z (id, p) ON DELETE CASCADE, \
         CONSTRAINT z3 FOREIGN KEY (p) REFERENCES p (id) ON DELETE SET NULL)"
            .into(),
        format!("CREATE TABLE itself (id INT PRIMARY KEY, f INT, {})", both("i_a", "i_b").replace("REFERENCES p", "REFERENCES itself")),
        "INSERT INTO p VALUES (1), (2)".into(),
        "INSERT INTO ab VALUES (1, 1), (2, 2)".into(),
        "INSERT INTO ba VALUES (1, 1), (2, 2)".into(),
        "INSERT INTO letters VALUES (1, 1), (2, 2)".into(),
        "INSERT INTO bytes VALUES (1, 1), (2, 2)".into(),
        "INSERT INTO z VALUES (1, 1), (2, 2)".into(),
        "INSERT INTO b VALUES (1, 1, 1), (2, 2, 2)".into(),
        "INSERT INTO itself VALUES (1, 1), (2, 1), (3, 2)".into(),
    ];
    let create: Vec<&str> = create.iter().map(String::as_str).collect();
    follow(
        "cascade_order",
        &create,
        &["p", "ab", "ba", "letters", "bytes", "z", "b", "itself"],
        &[&["DELETE FROM p WHERE id = 1"], &["DELETE FROM itself WHERE id = 2"], &["DELETE FROM p"]],
    )
    .await;
}

/// Only the last table is captured; what happens to it comes through tables that no view reads.
#[tokio::test(flavor = "multi_thread")]
async fn what_passes_through_tables_that_are_not_captured_arrives() {
    follow(
        "cascade_between",
        &[
            "CREATE TABLE a (id INT PRIMARY KEY, note TEXT)",
            "CREATE TABLE b (x INT, y INT, a INT, big LONGTEXT, at DATETIME(3), n DECIMAL(20,5), e ENUM('p','q'), bits BIT(9), \
             PRIMARY KEY (x, y), FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)",
            "CREATE TABLE c (id INT PRIMARY KEY, x INT, y INT, FOREIGN KEY (x, y) REFERENCES b (x, y) ON DELETE SET NULL ON UPDATE CASCADE)",
            "INSERT INTO a VALUES (1, 'n'), (2, NULL)",
            "INSERT INTO b VALUES (1, 1, 1, 'long', NOW(3), 1.5, 'p', 5), (1, 2, 2, NULL, NULL, NULL, NULL, NULL), (2, 1, 1, 'z', NULL, -3, 'q', 1)",
            "INSERT INTO c VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 2, NULL), (5, NULL, NULL)",
        ],
        &["c"],
        &[
            &["UPDATE b SET x = 7, big = 'w' WHERE x = 1 AND y = 2"],
            &["UPDATE b SET big = 'no key'"],
            &["DELETE FROM a WHERE id = 1"],
            &["INSERT INTO b (x, y, a) VALUES (9, 9, 2)", "INSERT INTO c VALUES (9, 9, 9)"],
            &["ALTER TABLE b ADD COLUMN more INT FIRST, DROP COLUMN at", "INSERT INTO b (x, y, a) VALUES (8, 8, 2)", "INSERT INTO c VALUES (8, 8, 8)"],
            &["DELETE FROM a WHERE id = 2"],
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_match_as_the_collation_compares_them() {
    follow(
        "cascade_texts",
        &[
            "CREATE TABLE a (k VARCHAR(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY)",
            "CREATE TABLE b (id INT PRIMARY KEY, k VARCHAR(40) COLLATE utf8mb4_unicode_ci, FOREIGN KEY (k) REFERENCES a (k) ON DELETE CASCADE \
             ON UPDATE CASCADE)",
            "CREATE TABLE la (k VARCHAR(10) CHARACTER SET latin1 PRIMARY KEY)",
            "CREATE TABLE lb (id INT PRIMARY KEY, k VARCHAR(20) CHARACTER SET latin1, FOREIGN KEY (k) REFERENCES la (k) ON DELETE SET NULL ON \
             UPDATE CASCADE)",
            "CREATE TABLE ca (k CHAR(10) CHARACTER SET latin1 PRIMARY KEY)",
            "CREATE TABLE cb (id INT PRIMARY KEY, k CHAR(20) CHARACTER SET latin1, FOREIGN KEY (k) REFERENCES ca (k) ON UPDATE CASCADE)",
            "CREATE TABLE ba (k VARCHAR(40) COLLATE utf8mb4_bin PRIMARY KEY)",
            "CREATE TABLE bb (id INT PRIMARY KEY, k VARCHAR(40) COLLATE utf8mb4_bin, FOREIGN KEY (k) REFERENCES ba (k) ON DELETE CASCADE)",
            "INSERT INTO a VALUES ('k7'), ('straße'), ('Ä'), ('ñandú'), ('plain'), ('x y')",
            "INSERT INTO b VALUES (1, 'K7'), (2, 'STRASSE'), (3, 'strasse'), (4, 'a'), (5, 'ä'), (6, 'NANDU'), (7, 'Plain'), (8, NULL), \
             (9, 'X Y'), (10, 'x y ')",
            "INSERT INTO la VALUES ('one'), ('two'), ('é')",
            "INSERT INTO lb VALUES (1, 'ONE'), (2, 'two  '), (3, 'e'), (4, 'É'), (5, 'E')",
            "INSERT INTO ca VALUES ('one'), ('two ')",
            "INSERT INTO cb VALUES (1, 'one'), (2, 'TWO')",
            "INSERT INTO ba VALUES ('k'), ('K'), ('ä')",
            "INSERT INTO bb VALUES (1, 'k'), (2, 'K'), (3, 'k  '), (4, 'ä')",
        ],
        &["b", "lb", "cb", "bb", "a"],
        &[
            &["UPDATE a SET k = 'k8' WHERE k = 'K7'"],
            &["UPDATE a SET k = 'K8' WHERE k = 'K8'"],
            &["DELETE FROM a WHERE k = 'strasse'"],
            &["UPDATE a SET k = 'Ö' WHERE k = 'ä'"],
            &["DELETE FROM a WHERE k IN ('nandu', 'o', 'X y')"],
            &["DELETE FROM la WHERE k = 'one'", "UPDATE la SET k = 'three' WHERE k = 'two'"],
            &["UPDATE ca SET k = CONCAT(k, ' 2')"],
            &["DELETE FROM la WHERE k = 'e'", "DELETE FROM la"],
            &["DELETE FROM ba WHERE k = 'k'", "DELETE FROM ba WHERE k = 'ä'"],
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_refer_to_their_own_table_and_in_circles_follow() {
    follow(
        "cascade_circles",
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES t (id) ON DELETE CASCADE)",
            "INSERT INTO t VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, NULL), (6, 6), (7, 5)",
            "CREATE TABLE p (id INT PRIMARY KEY, q INT)",
            "CREATE TABLE q (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
            "INSERT INTO p VALUES (1, NULL), (2, NULL), (3, NULL)",
            "INSERT INTO q VALUES (1, 1), (2, 2), (3, 3), (4, 3)",
            "ALTER TABLE p ADD FOREIGN KEY (q) REFERENCES q (id) ON DELETE SET NULL",
        ],
        &["t", "p", "q"],
        &[
            &["UPDATE p SET q = 2 WHERE id = 1", "UPDATE p SET q = 1 WHERE id = 2", "UPDATE p SET q = 3 WHERE id = 3"],
            &["DELETE FROM t WHERE id = 1"],
            &["DELETE FROM t WHERE id IN (5, 6)"],
            &["DELETE FROM p WHERE id = 1"],
            &["DELETE FROM q WHERE id = 3", "DELETE FROM p"],
        ],
    )
    .await;
}

/// As some mappers create link tables: with a unique key in place of a primary key.
#[tokio::test(flavor = "multi_thread")]
async fn link_tables_without_a_primary_key_follow() {
    follow(
        "cascade_links",
        &[
            "CREATE TABLE a (id INT PRIMARY KEY)",
            "CREATE TABLE b (id VARCHAR(9) PRIMARY KEY)",
            "CREATE TABLE ab (a INT NOT NULL, b VARCHAR(9) NOT NULL, n DECIMAL(9,2), UNIQUE (a, b), FOREIGN KEY (a) REFERENCES a (id) ON DELETE \
             CASCADE ON UPDATE CASCADE, FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE ON UPDATE CASCADE)",
            "INSERT INTO a VALUES (1), (2), (3)",
            "INSERT INTO b VALUES ('x'), ('y')",
            "INSERT INTO ab VALUES (1, 'x', 1.5), (1, 'y', NULL), (2, 'X', 0), (3, 'y', -1)",
        ],
        &["ab"],
        &[
            &["UPDATE a SET id = 10 WHERE id = 1", "UPDATE b SET id = 'z' WHERE id = 'y'"],
            &["UPDATE ab SET n = 7", "DELETE FROM b WHERE id = 'x'"],
            &["DELETE FROM a WHERE id = 10", "DELETE FROM a"],
        ],
    )
    .await;
    follow(
        "cascade_links_between",
        &[
            "CREATE TABLE a (id INT PRIMARY KEY)",
            "CREATE TABLE ab (a INT NOT NULL, b INT NOT NULL, UNIQUE (a, b), FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)",
            "CREATE TABLE below (id INT PRIMARY KEY, a INT, b INT, FOREIGN KEY (a, b) REFERENCES ab (a, b) ON DELETE CASCADE)",
            "INSERT INTO a VALUES (1), (2)",
            "INSERT INTO ab VALUES (1, 1), (1, 2), (2, 2)",
            "INSERT INTO below VALUES (1, 1, 1), (2, 1, 2), (3, 2, 2)",
        ],
        &["below"],
        &[&["DELETE FROM ab WHERE b = 1"], &["DELETE FROM a WHERE id = 1"], &["DELETE FROM a"]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_and_upserted_parents_take_their_children_along() {
    follow(
        "cascade_replace",
        &[
            "CREATE TABLE a (id INT PRIMARY KEY, u INT UNIQUE, v INT)",
            "CREATE TABLE b (id INT PRIMARY KEY, u INT, FOREIGN KEY (u) REFERENCES a (u) ON DELETE CASCADE ON UPDATE CASCADE)",
            "CREATE TABLE c (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE SET NULL ON UPDATE CASCADE)",
            "INSERT INTO a VALUES (1, 10, 0), (2, 20, 0), (3, 30, 0), (4, NULL, 0)",
            "INSERT INTO b VALUES (1, 10), (2, 20), (3, 30), (4, NULL)",
            "INSERT INTO c VALUES (1, 1), (2, 2), (3, 3), (4, 4)",
        ],
        &["a", "b", "c"],
        &[
            &["REPLACE INTO a VALUES (1, 10, 5)"],
            &["REPLACE INTO a VALUES (2, 21, 5), (9, 30, 1)"],
            &["INSERT INTO a VALUES (9, 31, 1) ON DUPLICATE KEY UPDATE u = 32, v = 3"],
            &["INSERT INTO a VALUES (4, 40, 1) ON DUPLICATE KEY UPDATE id = 44", "UPDATE a SET id = id + 100"],
        ],
    )
    .await;
}

/// A user who may only read is shown nothing of foreign keys by MariaDB's `information_schema`.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_only_read_sees_what_acts() {
    let mut db = Db::create(Family::Mariadb, "cascade_reader").await;
    db.run(&[
        "CREATE TABLE parent (id INT PRIMARY KEY)",
        "CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT f FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child VALUES (1, 1), (2, NULL)",
        "CREATE OR REPLACE USER tm_cascade_reader IDENTIFIED BY 'p'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO tm_cascade_reader",
        "GRANT SELECT ON tm_cascade_reader.child TO tm_cascade_reader",
    ])
    .await;
    let url = db.url();
    let (_, address) = url.split_once('@').unwrap();
    let url = format!("mysql://tm_cascade_reader:p@{address}");
    let source = sources::open("mysql", &serde_json::json!({"url": url, "heartbeat_ms": 200})).unwrap();
    let tables = discover(&*source, &["child"]).await;
    let findings = source.preflight(&tables).await.unwrap();
    let expected = "the foreign key `f` of `tm_cascade_reader`.`child` has ON DELETE CASCADE, and the user may not read its parent \
                    `tm_cascade_reader`.`parent`";
    assert_eq!(findings.iter().map(|f| (f.severity, f.message.as_str())).collect::<Vec<_>>(), [(Severity::Error, expected)]);
    assert!(matches!(Following::new(&tables).catch_up(&*source).await, Err(SourceError::Invalid { .. })));
    db.run(&["GRANT SELECT ON tm_cascade_reader.parent TO tm_cascade_reader"]).await;
    assert_eq!(source.preflight(&tables).await.unwrap(), []);
    let mut following = Following::new(&tables);
    following.catch_up(&*source).await.unwrap();
    db.run(&["DELETE FROM parent"]).await;
    following.catch_up(&*source).await.unwrap();
    assert_eq!(following.rows().len(), 1);
    db.run(&["DROP USER tm_cascade_reader"]).await;
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_exactly_is_refused_with_the_reason() {
    let mut db = Db::create(Family::Mariadb, "cascade_refused").await;
    db.run(&[
        "CREATE TABLE p (id INT PRIMARY KEY, d DATE UNIQUE, n INT, c CHAR(9) UNIQUE, KEY (n))",
        "CREATE TABLE versioned (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
        "CREATE TABLE below (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES versioned (id) ON DELETE CASCADE)",
        "CREATE TABLE lossy (k VARCHAR(9) CHARACTER SET sjis PRIMARY KEY)",
        "CREATE TABLE sjis (id INT PRIMARY KEY, k VARCHAR(9) CHARACTER SET sjis, FOREIGN KEY (k) REFERENCES lossy (k) ON DELETE CASCADE)",
        "CREATE TABLE padded (id INT PRIMARY KEY, c VARCHAR(9), FOREIGN KEY (c) REFERENCES p (c) ON UPDATE CASCADE)",
        "CREATE TABLE keyless (p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
        "CREATE TABLE computed (id INT PRIMARY KEY, p INT, twice INT AS (p * 2) VIRTUAL, FOREIGN KEY (p) REFERENCES p (id) ON DELETE SET NULL)",
        "CREATE TABLE deleted (id INT PRIMARY KEY, p INT, twice INT AS (p * 2) VIRTUAL, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
        "CREATE TABLE dated (id INT PRIMARY KEY, d DATE, FOREIGN KEY (d) REFERENCES p (d) ON DELETE CASCADE)",
        "CREATE TABLE many (id INT PRIMARY KEY, n INT, FOREIGN KEY (n) REFERENCES p (n) ON DELETE CASCADE)",
    ])
    .await;
    let source = db.source();
    for (table, expected) in [
        (
            "keyless",
            Some("(ON DELETE CASCADE), and the log does not have that: the table has no primary key, so its rows cannot be told apart"),
        ),
        ("computed", Some("(ON DELETE SET NULL), and the log does not have that: the server computes `twice` of a column that it writes")),
        ("deleted", None),
        ("dated", Some("the log does not have that: `d` may be a zero date, which is read as NULL (`zero_dates`)")),
        ("below", Some("`tm_cascade_refused`.`versioned` is system-versioned, and its log does not say what was deleted")),
        ("sjis", Some("`k` is a text in sjis, of which some characters are read as the same one")),
        ("padded", Some("one of `c` and `c` of its parent is CHAR, the other VARCHAR")),
        ("many", Some("it refers to columns of `tm_cascade_refused`.`p` that are not a unique key")),
    ] {
        let tables = discover(&*source, &[table]).await;
        let findings = source.preflight(&tables).await.unwrap();
        let ended = Following::new(&tables).catch_up(&*source).await;
        match expected {
            None => assert!(findings.is_empty() && ended.is_ok(), "{table}: {findings:?} {ended:?}"),
            Some(expected) => {
                assert_eq!(findings.len(), 1, "{table}: {findings:?}");
                assert!(findings[0].message.contains(expected), "{}", findings[0].message);
                assert!(findings[0].fix.as_ref().is_some_and(|fix| fix.starts_with("ALTER TABLE `tm_cascade_refused`.")), "{findings:?}");
                assert!(matches!(&ended, Err(SourceError::Invalid { message, .. }) if *message == findings[0].message), "{ended:?}");
            }
        }
    }
    db.drop().await;
}

/// What is followed belongs to the position: a foreign key that comes or goes makes the tables be captured again.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_that_come_and_go_are_followed_from_there_on() {
    for carrying in [Carrying::Mariadb, Carrying::MysqlNative] {
        let mut place = Place::new(carrying, "cascade_ddl").await;
        place
            .db
            .run(&[
                "CREATE TABLE a (id INT PRIMARY KEY)",
                "CREATE TABLE b (id INT PRIMARY KEY, a INT, CONSTRAINT f FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)",
                "INSERT INTO a VALUES (1), (2), (3)",
                "INSERT INTO b VALUES (1, 1), (2, 2), (3, 3)",
            ])
            .await;
        let source = place.db.source();
        let tables = discover(&*source, &["b"]).await;
        let mut following = Following::new(&tables);
        following.catch_up(&*source).await.unwrap();
        for statements in [
            &["DELETE FROM a WHERE id = 1"][..],
            &["ALTER TABLE b DROP FOREIGN KEY f", "DELETE FROM a WHERE id = 2"],
            &["DELETE FROM a WHERE id = 3", "DELETE FROM b WHERE a = 2"],
            &[
                "UPDATE b SET a = NULL",
                "ALTER TABLE b ADD CONSTRAINT g FOREIGN KEY (a) REFERENCES a (id) ON DELETE SET NULL",
                "INSERT INTO a VALUES (4), (5)",
                "INSERT INTO b VALUES (4, 4), (5, 5)",
                "DELETE FROM a WHERE id = 4",
            ],
            &["DELETE FROM a WHERE id = 5"],
        ] {
            place.db.run(statements).await;
            let has_definition = statements.iter().any(|statement| statement.starts_with("ALTER"));
            match following.catch_up(&*source).await {
                Ok(_) => assert!(!has_definition, "{carrying:?} {statements:?} is not seen"),
                Err(SourceError::Resync { .. }) if has_definition => {
                    following = Following::new(&tables);
                    following.catch_up(&*source).await.unwrap();
                }
                Err(other) => panic!("{statements:?}: {other}"),
            }
            assert_same(&*source, &tables, &following, &format!("{carrying:?} {statements:?}")).await;
        }
        place.db.drop().await;
    }
}

/// A caller that keeps no notes is told, instead of missing rows.
#[tokio::test(flavor = "multi_thread")]
async fn without_notes_nothing_that_acts_is_followed() {
    let mut db = Db::create(Family::Mariadb, "cascade_notes").await;
    db.run(&[
        "CREATE TABLE parent (id INT PRIMARY KEY)",
        "CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT f FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
        "CREATE TABLE fine (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id))",
    ])
    .await;
    let source = db.source();
    let refused = run(&*source, &discover(&*source, &["child"]).await, None).await.unwrap_err();
    assert!(refused.to_string().contains("which cannot be followed without notes"), "{refused}");
    assert!(run(&*source, &discover(&*source, &["parent", "fine"]).await, None).await.is_ok());
    db.drop().await;
}

/// One parent, and 200,000 rows below it on three levels.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_cascade_is_one_transaction() {
    let mut db = Db::create(Family::Mariadb, "cascade_large").await;
    db.run(&[
        "CREATE TABLE a (id INT PRIMARY KEY)",
        "CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)",
        "CREATE TABLE c (id INT PRIMARY KEY, b INT, FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE)",
        "CREATE TABLE d (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES c (id) ON DELETE CASCADE)",
        "INSERT INTO a VALUES (1), (2)",
        "INSERT INTO b SELECT seq, 1 + seq DIV 1000 FROM seq_0_to_1099",
        "INSERT INTO c SELECT seq, seq DIV 20 FROM seq_0_to_21999",
        "INSERT INTO d SELECT seq, seq DIV 10 FROM seq_0_to_219999",
    ])
    .await;
    let source = db.source();
    let tables = discover(&*source, &["d", "b"]).await;
    let mut following = Following::new(&tables);
    following.catch_up(&*source).await.unwrap();
    db.conn.query_drop("DELETE FROM a WHERE id = 1").await.unwrap();
    let transactions = following.catch_up(&*source).await.unwrap();
    assert_eq!(transactions.iter().map(Vec::len).collect::<Vec<_>>(), [201_000]);
    assert_same(&*source, &tables, &following, "after the cascade").await;
    assert_eq!(following.rows().len(), 20_100);
    // What is followed, the rows of `c` and the children of three foreign keys.
    assert_eq!(following.notes(), 1 + 3 + 1 + 2000 + 100 + 2000 + 20_000);
    db.drop().await;
}

/// A run that has caught up and goes on: what it sends, and how it ends.
struct Live {
    events: mpsc::Receiver<Event>,
    running: tokio::task::JoinHandle<Result<(), SourceError>>,
}

impl Live {
    async fn start(db: &Db, captured: &[&str]) -> Live {
        let source = db.source();
        let tables: Vec<Table> = discover(&*source, captured).await.into_iter().chain([sources::notes_table()]).collect();
        let held = Arc::new(MemoryRows::new(&tables, None));
        let (out, mut events) = mpsc::channel(16);
        let capture = Capture { tables, from: None, until_caught_up: false, held: held.clone() };
        let running = tokio::spawn(async move { source.run(capture, out).await });
        loop {
            let event = events.recv().await.expect("it runs on");
            held.take(&event);
            if matches!(event, Event::CaughtUp) {
                return Live { events, running };
            }
        }
    }

    /// The message with which it asks to be captured again, before it sends another transaction.
    async fn asks_to_be_captured(mut self, after: &str) -> String {
        while let Some(event) = self.events.recv().await {
            assert!(!matches!(event, Event::Commit { .. }), "`{after}` is not seen");
        }
        match self.running.await.unwrap().unwrap_err() {
            SourceError::Resync { message, .. } => message,
            other => panic!("{after}: {other}"),
        }
    }
}

/// A statement may name a table that is only needed for foreign keys before one that is captured.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_dropped_tables_is_read_whole() {
    for (drop, captured, expected) in [("DROP TABLE a, c", &["b", "c"][..], "`c`"), ("DROP TABLE a, m", &["b"], ".m`")] {
        let mut db = Db::create_alone(Family::Mariadb, "cascade_list").await;
        db.run(&[
            "CREATE TABLE a (id INT PRIMARY KEY)",
            "CREATE TABLE m (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)",
            "CREATE TABLE b (id INT PRIMARY KEY, m INT, FOREIGN KEY (m) REFERENCES m (id) ON DELETE CASCADE)",
            "CREATE TABLE c (id INT PRIMARY KEY)",
            "INSERT INTO c VALUES (1)",
        ])
        .await;
        let live = Live::start(&db, captured).await;
        db.run(&["SET foreign_key_checks = 0", drop, "INSERT INTO b VALUES (7, 7)"]).await;
        let message = live.asks_to_be_captured(drop).await;
        assert!(message.contains("DROP TABLE") && message.contains(expected), "{message}");
        db.drop().await;
    }
}

/// A foreign key follows its parent to another name, whatever else the statement does.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_renamed_is_not_lost() {
    for rename in [
        "RENAME TABLE a TO a2",
        "RENAME TABLE other TO x, a TO a2",
        "ALTER TABLE a RENAME TO a2",
        "ALTER TABLE a ADD COLUMN more INT, RENAME TO a2",
        "ALTER TABLE a DROP COLUMN v, RENAME a2",
    ] {
        let mut db = Db::create_alone(Family::Mariadb, "cascade_rename").await;
        db.run(&[
            "CREATE TABLE a (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE other (id INT PRIMARY KEY)",
            "CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)",
            "INSERT INTO a VALUES (1, 1), (2, 2)",
            "INSERT INTO b VALUES (1, 1), (2, 2)",
        ])
        .await;
        let live = Live::start(&db, &["b"]).await;
        db.run(&[rename, "DELETE FROM a2 WHERE id = 1", "INSERT INTO b VALUES (9, NULL)"]).await;
        live.asks_to_be_captured(rename).await;
        db.drop().await;
    }
}

/// What other statements do to a parent that no view reads does not matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_may_be_altered_while_it_is_followed() {
    let mut db = Db::create_alone(Family::Mariadb, "cascade_altered").await;
    db.run(&[
        "CREATE TABLE a (id INT PRIMARY KEY, v INT)",
        "CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)",
        "INSERT INTO a VALUES (1, 1), (2, 2)",
        "INSERT INTO b VALUES (1, 1), (2, 2)",
    ])
    .await;
    let mut live = Live::start(&db, &["b"]).await;
    db.run(&[
        "ALTER TABLE a ADD COLUMN more INT FIRST, DROP COLUMN v",
        "ALTER TABLE a ADD INDEX i (more)",
        "INSERT INTO b VALUES (9, NULL)",
    ])
    .await;
    loop {
        let event = live.events.recv().await.expect("it runs on");
        if let Event::Changes(deltas) = event {
            assert_eq!(deltas.iter().filter(|delta| delta.table == 0).count(), 1);
            break;
        }
    }
    drop(live.events);
    live.running.await.unwrap().unwrap();
    db.drop().await;
}

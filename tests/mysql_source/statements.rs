//! Statements on real servers: after each, what the source holds is what the table holds, or it says that it must be captured again.

use mysql_async::prelude::Queryable;
use tidemill::sources::SourceError;

use super::support::*;

/// What a source that follows the log makes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It goes on.
    Followed,
    /// It asks to be captured again.
    Resync,
    /// The columns are others: the views must be planned again.
    Redefined,
}
use Outcome::*;

const BOTH: &[Family] = &[Family::Mariadb, Family::Mysql];
const MARIADB: &[Family] = &[Family::Mariadb];
const MYSQL: &[Family] = &[Family::Mysql];

type Case = (&'static [Family], Outcome, &'static [&'static [u8]], &'static [&'static [u8]]);

const PARTED: &[u8] =
    b"ALTER TABLE t PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (2), PARTITION p1 VALUES LESS THAN (3), PARTITION p2 VALUES LESS THAN MAXVALUE)";
const TWIN: &[u8] = b"CREATE TABLE twin (id INT PRIMARY KEY, v VARCHAR(20), n INT)";
const SHORT: &[u8] =
    b"CREATE TABLE parted (id INT PRIMARY KEY, v VARCHAR(20), n INT) PARTITION BY RANGE (id) (PARTITION q VALUES LESS THAN (1000))";

const LOW: &[u8] =
    b"CREATE TABLE parted (id INT PRIMARY KEY, v VARCHAR(20), n INT) PARTITION BY RANGE (id) (PARTITION q VALUES LESS THAN (1))";

/// Servers, outcome, statements before the capture, statements after it. Each begins with `t` of three rows, and `other`.
const CASES: &[Case] = &[
    // Every row goes, or others come.
    (BOTH, Resync, &[], &[b"TRUNCATE TABLE t"]),
    (BOTH, Resync, &[], &[b"TRUNCATE t"]),
    (BOTH, Resync, &[], &[b"/*!50000 TRUNCATE */ t"]),
    (BOTH, Resync, &[], &[b"/*! TRUNCATE */ `t` # all"]),
    (MARIADB, Resync, &[], &[b"SET STATEMENT max_statement_time=30 FOR TRUNCATE TABLE t"]),
    (MARIADB, Resync, &[], &[b"SET STATEMENT lock_wait_timeout=30, sql_mode='ANSI_QUOTES' FOR TRUNCATE TABLE t"]),
    (MARIADB, Resync, &[], &[b"SET sql_mode=ANSI_QUOTES", b"TRUNCATE \"t\"", b"SET sql_mode=''"]),
    (MYSQL, Resync, &[], &[b"SET sql_mode=ANSI_QUOTES", b"TRUNCATE \"t\"", b"SET sql_mode=''"]),
    (MARIADB, Resync, &[], &[b"SET sql_mode=MSSQL", b"TRUNCATE TABLE [t]", b"SET sql_mode=''"]),
    (
        BOTH,
        Resync,
        &[],
        &[
            b"SET sql_mode=NO_BACKSLASH_ESCAPES",
            b"ALTER TABLE t COMMENT '\\', MODIFY n BIGINT COMMENT ' '",
            b"ALTER TABLE t MODIFY n INT",
            b"SET sql_mode=''",
        ],
    ),
    (MARIADB, Resync, &[], &[b"PREPARE s FROM 'TRUNCATE TABLE t'", b"EXECUTE s"]),
    (MARIADB, Resync, &[], &[b"EXECUTE IMMEDIATE CONCAT('TRUNC', 'ATE t')"]),
    (MARIADB, Resync, &[], &[b"BEGIN NOT ATOMIC INSERT INTO t VALUES (9, 'z', 9); TRUNCATE t; END"]),
    (BOTH, Resync, &[b"CREATE PROCEDURE p() TRUNCATE t"], &[b"CALL p()"]),
    (BOTH, Resync, &[TWIN], &[b"RENAME TABLE t TO gone, twin TO t"]),
    (BOTH, Resync, &[TWIN], &[b"ALTER TABLE t RENAME TO gone", b"ALTER TABLE twin RENAME AS t"]),
    (BOTH, Resync, &[], &[b"RENAME TABLE t TO away", b"UPDATE away SET n = 0", b"RENAME TABLE away TO t"]),
    (MARIADB, Resync, &[TWIN], &[b"SET STATEMENT max_statement_time=30 FOR RENAME TABLE t TO gone, twin TO t"]),
    (BOTH, Resync, &[], &[b"DROP TABLE t", b"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n INT)"]),
    (BOTH, Resync, &[], &[b"DROP TABLES IF EXISTS other, t", b"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n INT)"]),
    (MARIADB, Resync, &[], &[b"CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n INT)"]),
    (MARIADB, Resync, &[TWIN], &[b"CREATE OR REPLACE TABLE t LIKE twin"]),
    (BOTH, Resync, &[PARTED], &[b"ALTER TABLE t TRUNCATE PARTITION p0"]),
    (BOTH, Resync, &[PARTED], &[b"ALTER TABLE t DROP PARTITION p0, p1"]),
    (MARIADB, Resync, &[PARTED], &[b"SET STATEMENT max_statement_time=30 FOR ALTER TABLE t DROP PARTITION p0"]),
    (BOTH, Resync, &[PARTED, TWIN], &[b"ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE twin"]),
    (BOTH, Resync, &[SHORT, b"INSERT INTO parted VALUES (7, 'x', 7)"], &[b"ALTER TABLE parted EXCHANGE PARTITION q WITH TABLE t"]),
    (
        MARIADB,
        Resync,
        &[LOW],
        &[
            b"ALTER TABLE parted CONVERT TABLE t TO PARTITION r VALUES LESS THAN (5000)",
            b"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n INT)",
        ],
    ),
    (
        MARIADB,
        Resync,
        &[SHORT, b"ALTER TABLE parted ADD PARTITION (PARTITION r VALUES LESS THAN (2000))"],
        &[b"RENAME TABLE t TO gone", b"ALTER TABLE parted CONVERT PARTITION r TO TABLE t"],
    ),
    (MARIADB, Resync, &[PARTED], &[b"ALTER TABLE t CONVERT PARTITION p0 TO TABLE x"]),
    (MARIADB, Resync, &[b"INSERT INTO t VALUES (4, 'a', 4)"], &[b"ALTER IGNORE TABLE t ADD UNIQUE (v)"]),
    (BOTH, Resync, &[], &[b"SET sql_mode=''", b"ALTER TABLE t MODIFY v VARCHAR(1)", b"ALTER TABLE t MODIFY v VARCHAR(20)"]),
    (BOTH, Resync, &[], &[b"ALTER TABLE t MODIFY v VARCHAR(200)"]),
    (BOTH, Resync, &[], &[b"ALTER TABLE t ADD COLUMN x INT DEFAULT 5", b"ALTER TABLE t DROP COLUMN x"]),
    (BOTH, Resync, &[], &[b"ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"]),
    (
        BOTH,
        Resync,
        &[],
        &[b"ALTER TABLE t DISCARD TABLESPACE", b"DROP TABLE t", b"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n INT)"],
    ),
    (MARIADB, Resync, &[], &[b"ALTER TABLE t ADD SYSTEM VERSIONING", b"ALTER TABLE t DROP SYSTEM VERSIONING"]),
    (MARIADB, Resync, &[], &[b"SET binlog_alter_two_phase=1", b"ALTER TABLE t MODIFY v VARCHAR(200)", b"SET binlog_alter_two_phase=0"]),
    (BOTH, Resync, &[], &[b"ALTER TABLE t ENGINE=MEMORY", b"ALTER TABLE t ENGINE=InnoDB"]),
    // The columns are others.
    (BOTH, Redefined, &[], &[b"ALTER TABLE t ADD COLUMN x INT"]),
    (BOTH, Redefined, &[], &[b"ALTER TABLE t DROP COLUMN n"]),
    (BOTH, Redefined, &[], &[b"ALTER TABLE t RENAME COLUMN n TO m"]),
    (BOTH, Redefined, &[], &[b"ALTER TABLE t MODIFY n BIGINT"]),
    (BOTH, Redefined, &[], &[b"ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, v)"]),
    (BOTH, Redefined, &[], &[b"DROP INDEX `PRIMARY` ON t"]),
    // Nothing happens to rows and columns.
    (BOTH, Followed, &[], &[b"ALTER TABLE t COMMENT 'TRUNCATE t'"]),
    (BOTH, Followed, &[], &[b"ALTER TABLE t ALTER COLUMN n SET DEFAULT 5, ALTER v SET DEFAULT 'DROP COLUMN'"]),
    (BOTH, Followed, &[], &[b"ALTER TABLE t ALTER n SET DEFAULT 7", b"ALTER TABLE t ALTER n DROP DEFAULT"]),
    (BOTH, Followed, &[], &[b"ALTER TABLE t DEFAULT CHARACTER SET latin1"]),
    (
        BOTH,
        Followed,
        &[b"CREATE TABLE parent (id INT PRIMARY KEY)", b"INSERT INTO parent VALUES (1), (2), (3), (77)"],
        &[b"ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (n) REFERENCES parent (id)", b"ALTER TABLE t DROP FOREIGN KEY f"],
    ),
    (BOTH, Followed, &[], &[b"ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0)"]),
    (BOTH, Followed, &[], &[b"ALTER TABLE t ADD CHECK (n > 0), ADD CHECK (id > 0)"]),
    (BOTH, Followed, &[], &[PARTED]),
    (
        BOTH,
        Followed,
        &[b"ALTER TABLE t PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (5))"],
        &[b"ALTER TABLE t ADD PARTITION (PARTITION p1 VALUES LESS THAN (100))"],
    ),
    (BOTH, Followed, &[PARTED], &[b"ALTER TABLE t REORGANIZE PARTITION p0, p1 INTO (PARTITION p VALUES LESS THAN (3))"]),
    (BOTH, Followed, &[PARTED], &[b"ALTER TABLE t REMOVE PARTITIONING"]),
    (BOTH, Followed, &[b"ALTER TABLE t PARTITION BY HASH (id) PARTITIONS 4"], &[b"ALTER TABLE t COALESCE PARTITION 2"]),
    (BOTH, Followed, &[PARTED], &[b"ALTER TABLE t OPTIMIZE PARTITION p0, p1", b"ALTER TABLE t REBUILD PARTITION ALL"]),
    (BOTH, Followed, &[], &[b"ALTER TABLE t ADD INDEX i (v), ADD UNIQUE u (n), ALGORITHM=INPLACE, LOCK=NONE"]),
    (BOTH, Followed, &[], &[b"ALTER TABLE t ENGINE=InnoDB ROW_FORMAT=DYNAMIC, FORCE"]),
    (BOTH, Followed, &[], &[b"CREATE INDEX i ON t (v)", b"DROP INDEX i ON t"]),
    (BOTH, Followed, &[], &[b"ANALYZE TABLE t", b"OPTIMIZE TABLE t"]),
    (BOTH, Followed, &[], &[b"CREATE TABLE IF NOT EXISTS t (id INT)"]),
    (BOTH, Followed, &[], &[b"CREATE TABLE copy AS SELECT * FROM t", b"CREATE TABLE `like` LIKE t", b"DROP TABLE copy, `like`"]),
    (BOTH, Followed, &[], &[b"CREATE TEMPORARY TABLE t (id INT)", b"DROP TEMPORARY TABLE t"]),
    (BOTH, Followed, &[], &[b"CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO other VALUES (NEW.id)"]),
    (BOTH, Followed, &[], &[b"TRUNCATE other", b"ALTER TABLE other ADD COLUMN t INT", b"RENAME TABLE other TO t2", b"DROP TABLE t2"]),
    (BOTH, Followed, &[], &[b"CREATE TABLE T (id INT)", b"INSERT INTO T VALUES (1)", b"TRUNCATE T", b"DROP TABLE T"]),
    (MARIADB, Followed, &[], &[b"/*!80000 TRUNCATE TABLE t */", b"SET STATEMENT max_statement_time=30 FOR TRUNCATE TABLE other"]),
    (MYSQL, Followed, &[], &[b"/*!100100 TRUNCATE TABLE t */", b"/*M! TRUNCATE TABLE t */"]),
    (MARIADB, Followed, &[], &[b"SET binlog_alter_two_phase=1", b"ALTER TABLE t ADD INDEX i (v)", b"SET binlog_alter_two_phase=0"]),
    (MYSQL, Followed, &[], &[b"ALTER TABLE t ALTER COLUMN n SET INVISIBLE", b"ALTER TABLE t ALTER COLUMN n SET VISIBLE"]),
    (MYSQL, Followed, &[], &[b"ALTER TABLE t ADD INDEX i ((LOWER(v)))"]),
    (BOTH, Followed, &[], &[b"ALTER TABLE t ADD UNIQUE long_one (v(10))"]),
    (
        MARIADB,
        Followed,
        &[b"ALTER TABLE t MODIFY v TEXT, ADD UNIQUE (v)", b"INSERT INTO t VALUES (4, NULL, 4)"],
        &[b"UPDATE t SET v = CONCAT(v, 'x'), n = NULL WHERE id > 1", b"ALTER TABLE t DROP INDEX v", b"UPDATE t SET v = CONCAT(v, 'y')"],
    ),
    (MARIADB, Followed, &[b"ALTER TABLE t MODIFY v TEXT"], &[b"ALTER TABLE t ADD UNIQUE (v)", b"DELETE FROM t WHERE id = 2"]),
    (
        MYSQL,
        Followed,
        &[b"ALTER TABLE t ADD INDEX i ((LOWER(v)), (n + 1))"],
        &[b"UPDATE t SET v = CONCAT(v, 'x')", b"DELETE FROM t WHERE id = 2"],
    ),
];

/// MySQL makes a key for a table that has none, and may keep it to itself; every connection asks to see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_generated_key_is_followed() {
    let mut db = Db::create_alone(Family::Mysql, "hidden_key").await;
    db.run(&[
        "SET sql_generate_invisible_primary_key = ON",
        "CREATE TABLE t (v VARCHAR(20), n INT)",
        "INSERT INTO t VALUES ('a', 1), ('a', 1), (NULL, 2)",
        "SET GLOBAL show_gipk_in_create_table_and_information_schema = OFF",
    ])
    .await;
    let source = db.source();
    let tables = discover(&*source, &["t"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    db.run(&["INSERT INTO t VALUES ('b', NULL)", "UPDATE t SET n = 9 WHERE n = 2", "DELETE FROM t WHERE v = 'a' LIMIT 1"]).await;
    let seen = run(&*source, &tables, Some(before.position())).await;
    let now = run(&*source, &tables, None).await;
    db.run(&["SET GLOBAL show_gipk_in_create_table_and_information_schema = ON"]).await;
    assert_eq!(seen.unwrap().state(before.state(State::new())), now.unwrap().state(State::new()));
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_each_statement_the_source_holds_what_the_table_holds_or_says_so() {
    for family in BOTH {
        let mut db = Db::create_alone(*family, "each_statement").await;
        for (_, expected, before, statements) in CASES.iter().filter(|case| case.0.contains(family)) {
            check(&mut db, "t", *expected, before, statements).await;
        }
        db.drop().await;
    }
}

/// Clients in other character sets, with characters whose second byte is a backslash or a backtick.
#[tokio::test(flavor = "multi_thread")]
async fn statements_are_read_in_the_character_set_of_their_client() {
    const CREATE: &str = "(id INT PRIMARY KEY, v VARCHAR(20), n INT)";
    for family in BOTH {
        let mut db = Db::create_alone(*family, "client_charsets").await;
        for (table, charset, written) in [
            ("zápis", "latin1", &b"z\xe1pis"[..]),
            ("zápis", "utf8mb4", "zápis".as_bytes()),
            ("žluť", "latin2", b"\xbelu\xbb"),
            ("ソート", "sjis", b"\x83\x5c\x81\x5b\x83\x67"),
            ("チx", "sjis", b"\x83\x60x"),
            ("乗", "gbk", b"\x81\x5c"),
            ("商店", "big5", b"\xb0\xd3\xa9\xb1"),
        ] {
            if *family == Family::Mariadb && written.contains(&b'`') {
                continue; // It drops a byte of such a name, so it does not find the table either.
            }
            for statement in
                [&[b"TRUNCATE `", written, b"`"].concat(), &[b"RENAME TABLE `", written, b"` TO x1, `x2` TO `", written, b"`"].concat()]
            {
                let names = format!("SET NAMES {charset}");
                let twin = format!("CREATE TABLE x2 {CREATE}");
                check(&mut db, table, Resync, &[twin.as_bytes()], &[names.as_bytes(), statement, b"SET NAMES utf8mb4"]).await;
            }
            // Made anew by the server, which writes names in its own character set.
            let names = format!("SET NAMES {charset}");
            let (drop, create) =
                ([b"DROP TABLE `", written, b"`"].concat(), [b"CREATE TABLE `", written, b"` ", CREATE.as_bytes()].concat());
            check(&mut db, table, Resync, &[], &[names.as_bytes(), &drop, &create, b"SET NAMES utf8mb4"]).await;
        }
        db.drop().await;
    }
}

/// Captures `table`, runs the statements, and goes on from before them.
async fn check(db: &mut Db, table: &str, expected: Outcome, before: &[&[u8]], statements: &[&[u8]]) {
    let told = format!("{:?} {:?}", db.family, statements.iter().map(|s| String::from_utf8_lossy(s)).collect::<Vec<_>>());
    let quoted = format!("`{}`", table.replace('`', "``"));
    prepare(db, &quoted).await;
    send(db, before).await;
    let source = db.source();
    let tables = discover(&*source, &[table]).await;
    let captured = run(&*source, &tables, None).await.unwrap();
    send(db, statements).await;
    if expected != Redefined {
        db.run(&[&format!("INSERT INTO {quoted} VALUES (77, 'after', 77)")]).await;
    }
    let held = match run(&*source, &tables, Some(captured.position())).await {
        Ok(seen) => (Followed, seen.state(captured.state(State::new()))),
        Err(SourceError::Resync { message, .. }) => {
            assert!(message.contains(&format!("`{table}`")) && message.contains(" (before "), "{told}: {message}");
            (Resync, run(&*source, &tables, None).await.unwrap().state(State::new()))
        }
        Err(SourceError::Redefined { message }) => {
            assert_eq!(message, format!("the columns or the key of the table `{table}` have changed"));
            (Redefined, State::new())
        }
        Err(error) => panic!("{told}: {error}"),
    };
    assert_eq!(held.0, expected, "{told}");
    if expected != Redefined {
        let now = run(&*source, &tables, None).await.unwrap().state(State::new());
        assert_eq!(held.1, now, "{told}");
    }
}

/// The table with three rows, and `other`, and nothing else.
async fn prepare(db: &mut Db, quoted: &str) {
    let name = db.name.clone();
    db.run(&[
        &format!("DROP DATABASE {name}"),
        &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
        &format!("USE {name}"),
        &format!("CREATE TABLE {quoted} (id INT PRIMARY KEY, v VARCHAR(20), n INT)"),
        "CREATE TABLE other (id INT)",
        &format!("INSERT INTO {quoted} VALUES (1, 'a', 1), (2, 'bb', 2), (3, 'ccc', 3)"),
    ])
    .await;
}

async fn send(db: &mut Db, statements: &[&[u8]]) {
    for statement in statements {
        let sent = db.conn.query_drop(*statement).await;
        sent.unwrap_or_else(|e| panic!("{:?} {}: {e}", db.family, String::from_utf8_lossy(statement)));
    }
}

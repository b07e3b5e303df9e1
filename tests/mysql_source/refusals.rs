//! What the source does not go on from: each with its whole message.

use tidemill::sources::SourceError;

use super::support::*;

/// Message and help of an error, the place in the log left out.
fn told(error: SourceError) -> (String, String) {
    let help = match &error {
        SourceError::Invalid { help, .. } | SourceError::Stopped { help, .. } => help.clone().unwrap_or_default(),
        SourceError::Resync { .. } => RESYNC.into(),
        SourceError::Redefined { .. } => REDEFINED.into(),
        other => panic!("it is not final: {other}"),
    };
    let message = error.to_string();
    let message = match message.rsplit_once(" (before ") {
        Some((what, place)) => {
            assert!(place.ends_with(')') && place.contains(':'), "{place}");
            what.to_string()
        }
        None => message,
    };
    (message, help)
}

/// Stands in the place of the help that an answer needs none of: the source is captured again.
const RESYNC: &str = "(captured again)";
const REDEFINED: &str = "(planned again)";

/// What a run says to these statements after a snapshot of the table `t (id, v)`.
async fn stop_of(family: Family, name: &str, statements: &[&str]) -> (String, String) {
    // A statement in the log stops every source of that server.
    let mut db = Db::create_alone(family, name).await;
    db.run(&[
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), j JSON)",
        "CREATE TABLE other (id INT)",
        "INSERT INTO t VALUES (1, 'a', '{}')",
    ])
    .await;
    let source = db.source();
    let tables = discover(&*source, &["t"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    db.run(statements).await;
    let told = told(follow_error(&db, &tables, before.position()).await);
    db.drop().await;
    told
}

/// The table may be gone, so discovery is not asked again: what was discovered before is run with.
async fn follow_error(db: &Db, tables: &[tidemill::sources::Table], from: tidemill::value::Position) -> SourceError {
    run(&*db.source(), tables, Some(from)).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_asks_for_a_new_capture() {
    for family in [Family::Mariadb, Family::Mysql] {
        let told = stop_of(family, "stop_truncate", &["TRUNCATE TABLE other", "TRUNCATE TABLE t"]).await;
        assert_eq!(told, ("TRUNCATE TABLE changed the table `t`".into(), RESYNC.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_columns_are_planned_again() {
    for family in [Family::Mariadb, Family::Mysql] {
        // Live, the changed columns are seen before the statement is.
        let told = stop_of(family, "stop_alter", &["ALTER TABLE t ADD COLUMN more INT"]).await;
        assert_eq!(told, ("the columns or the key of the table `t` have changed".into(), REDEFINED.into()));
        // Back to the same columns, the statement itself is what stops.
        let told = stop_of(family, "stop_alter", &["ALTER TABLE t ADD COLUMN more INT", "ALTER TABLE t DROP COLUMN more"]).await;
        assert_eq!(told, ("ALTER TABLE ... ADD COLUMN changed the table `t`".into(), RESYNC.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_becomes_system_versioned_is_refused_for_that() {
    let (message, help) = stop_of(Family::Mariadb, "stop_versioned", &["ALTER TABLE t ADD SYSTEM VERSIONING"]).await;
    assert_eq!(message, "`t` is system-versioned, and its log does not say what was deleted");
    assert_eq!(help, "ALTER TABLE `tm_stop_versioned`.`t` DROP SYSTEM VERSIONING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_with_an_action_is_looked_at_when_it_comes() {
    let foreign_key = "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES other (id) ON DELETE CASCADE";
    let statements = ["ALTER TABLE other ADD PRIMARY KEY (id)", "INSERT INTO other VALUES (1)", foreign_key];
    let (message, _) = stop_of(Family::Mariadb, "stop_cascade", &statements).await;
    assert_eq!(message, "the foreign key `f` of `tm_stop_cascade`.`t` acts on its table, which cannot be followed without notes");
    let told = stop_of(Family::Mysql, "stop_cascade", &statements).await;
    assert_eq!(told, ("ALTER TABLE ... ADD FOREIGN KEY with an action changed the table `t`".into(), RESYNC.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_change_no_rows_are_followed() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "harmless").await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
        let source = db.source();
        let tables = discover(&*source, &["t"]).await;
        let before = run(&*source, &tables, None).await.unwrap();
        db.run(&[
            "ALTER TABLE t ADD INDEX i (v), COMMENT 'truncate table t'",
            "CREATE TABLE u LIKE t",
            "CREATE TABLE w AS SELECT * FROM t",
            "ALTER TABLE u ADD COLUMN more INT",
            "DROP TABLE u, w",
            "CREATE VIEW x AS SELECT * FROM t",
            "INSERT INTO t VALUES (1, 1)",
        ])
        .await;
        let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
        assert_eq!(seen.transactions.len(), 1);
        db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_images_ask_for_a_new_capture() {
    for family in [Family::Mariadb, Family::Mysql] {
        // JSON is a BLOB at MariaDB only.
        let images = if family == Family::Mariadb { &["MINIMAL", "NOBLOB"][..] } else { &["MINIMAL"] };
        for image in images {
            let told = stop_of(family, "stop_image", &[&format!("SET binlog_row_image = '{image}'"), "UPDATE t SET v = 'b'"]).await;
            let message = "a row event of `t` does not have all columns (binlog_row_image is not FULL); SET GLOBAL binlog_row_image = 'FULL'; and \
                           keep sessions from changing it";
            assert_eq!(told, (message.into(), RESYNC.into()));
        }
    }
    let partial = ["SET binlog_row_value_options = 'PARTIAL_JSON'", "UPDATE t SET j = JSON_SET(j, '$.a', 1)"];
    let told = stop_of(Family::Mysql, "stop_partial", &partial).await;
    let message =
        "an update of `t` contains only parts of its JSON; SET GLOBAL binlog_row_value_options = ''; and keep sessions from changing it";
    assert_eq!(told, (message.into(), RESYNC.into()));
}

/// Once the setting is that of the server, capturing again would not help.
#[tokio::test(flavor = "multi_thread")]
async fn half_images_of_the_whole_server_are_refused() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create_alone(family, "half_images").await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)", "SET GLOBAL binlog_row_image = 'MINIMAL'"]).await;
        let source = db.source();
        let error = run(&*source, &discover(&*source, &["t"]).await, None).await;
        db.run(&["SET GLOBAL binlog_row_image = 'FULL'"]).await;
        let told = told(error.unwrap_err());
        let expected = "binlog_row_image is MINIMAL, so the log does not contain whole rows";
        assert_eq!(told, (expected.into(), "SET GLOBAL binlog_row_image = 'FULL';".into()));
        db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_server_does_not_have_is_not_gone_on_with() {
    let mut db = Db::create(Family::Mysql, "ahead").await;
    db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
    let source = db.source();
    let tables = discover(&*source, &["t"]).await;
    let uuid: String = mysql_async::prelude::Queryable::query_first(&mut db.conn, "SELECT @@server_uuid").await.unwrap().unwrap();
    let elsewhere = "00000000-0000-0000-0000-000000000001";
    for (position, why) in [
        // Transactions that this server never had: it was reset, or restored from an older backup.
        (
            format!("mysql:gtid={uuid}:1-999999999;server={uuid}"),
            "has transactions that this server never had: its log was reset, or it is another server",
        ),
        (
            format!("mysql:file=ybin.000001:4;server={elsewhere}"),
            "is a file of another server, and only transactions with a GTID are found at this one",
        ),
        ("mariadb:gtid=0-1-5;server=1".into(), "is of the other kind of server"),
    ] {
        let error = run(&*source, &tables, Some(tidemill::value::Position::new(position.clone()))).await.unwrap_err();
        assert!(matches!(error, SourceError::Resync { .. }), "{error}");
        assert_eq!(error.to_string(), format!("the position `{position}` {why}"));
    }
    let other = run(&*source, &tables, Some(tidemill::value::Position::new("orders.csv:17"))).await.unwrap_err();
    assert!(matches!(other, SourceError::Resync { .. }), "{other}");
    assert_eq!(other.to_string(), "`orders.csv:17` is not a position in the log of a MySQL or MariaDB server");
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_cannot_be_captured_are_refused() {
    let mut db = Db::create(Family::Mariadb, "refused").await;
    db.run(&[
        "CREATE TABLE versioned (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
        "CREATE TABLE packed (id INT PRIMARY KEY, v TEXT COMPRESSED)",
        "CREATE VIEW looked_at AS SELECT 1",
    ])
    .await;
    let source = db.source();
    for (name, expected) in [
        ("missing", "there is no table `missing` in the database `tm_refused`"),
        ("elsewhere.t", "there is no table `t` in the database `elsewhere`"),
        ("looked_at", "`looked_at` is not a table but a view"),
        ("versioned", "`versioned` is system-versioned, and its log does not say what was deleted"),
        ("packed", "the column `v` of `packed` is COMPRESSED, which the log does not carry in a readable form"),
    ] {
        let error = source.discover(&[name.to_string()]).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(matches!(error, SourceError::Invalid { table: Some(table), .. } if table == name));
    }
    let names = source.table_names().await.unwrap();
    assert!(names.contains(&"packed".to_string()) && !names.contains(&"looked_at".to_string()), "{names:?}");
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_set_up_right_has_no_errors() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "preflight").await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let source = db.source();
        let tables = discover(&*source, &["t"]).await;
        assert_eq!(source.preflight(&tables).await.unwrap(), []);
        db.drop().await;
    }
}

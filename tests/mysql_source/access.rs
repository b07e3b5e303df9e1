//! Logging in: passwords, authentication plugins, TLS; and what each refusal says.

use mysql_async::prelude::Queryable;
use tidemill::sources::{self, SourceError};

use super::support::*;

pub(crate) fn with_login(db: &Db, user: &str, password: &str, more: serde_json::Value) -> Box<dyn sources::Source> {
    let url = db.url();
    let (_, at) = url.rsplit_once('@').unwrap();
    db.source_with(merged(serde_json::json!({"url": format!("mysql://{user}:{password}@{at}")}), more))
}

fn merged(mut a: serde_json::Value, b: serde_json::Value) -> serde_json::Value {
    for (name, value) in b.as_object().unwrap() {
        a[name] = value.clone();
    }
    a
}

fn host_and_port(db: &Db) -> String {
    let url = db.url();
    url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_string()
}

/// The same server by the name that stands in its certificate.
fn at_localhost(db: &Db, more: serde_json::Value) -> Box<dyn sources::Source> {
    db.source_with(merged(serde_json::json!({"url": db.url().replace("127.0.0.1", "localhost")}), more))
}

fn ca() -> String {
    std::env::var("TIDEMILL_TEST_CA").expect("TIDEMILL_TEST_CA is not set: run `./test`, which makes an authority and certificates")
}

const WRONG_LOGIN: &str =
    "check user and password of `url`; where encryption is required (REQUIRE SSL, require_secure_transport) the source needs `tls`";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_login_is_said_without_the_password() {
    for family in [Family::Mariadb, Family::Mysql] {
        let db = Db::create(family, "login").await;
        let at = host_and_port(&db);
        let error = with_login(&db, "root", "sesame", serde_json::json!({})).table_names().await.unwrap_err();
        assert_eq!(error.to_string(), format!("{at} refuses the user `root` or its password"));
        assert!(matches!(&error, SourceError::Invalid { help: Some(help), .. } if help == WRONG_LOGIN));
        assert!(!format!("{error:?}").contains("sesame"));

        let elsewhere = db.url().replace(&db.name, "tm_nowhere");
        let error = db.source_with(serde_json::json!({"url": elsewhere})).table_names().await.unwrap_err();
        assert_eq!(error.to_string(), format!("{at} has no database `tm_nowhere`"));
        db.drop().await;
    }
    let closed = sources::open("mysql", &serde_json::json!({"url": "mysql://u:sesame@127.0.0.1:1/db"})).unwrap();
    let error = closed.table_names().await.unwrap_err();
    assert!(matches!(error, SourceError::Transient { .. }), "it may come up");
    assert_eq!(error.to_string(), "cannot connect to 127.0.0.1:1: Connection refused (os error 111)");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_authentication_works_with_and_without_tls() {
    let plugins: [(Family, &str); 4] = [
        (Family::Mysql, "IDENTIFIED WITH caching_sha2_password BY 'p/w@1'"),
        (Family::Mariadb, "IDENTIFIED VIA mysql_native_password USING PASSWORD('p/w@1')"),
        (Family::Mariadb, "IDENTIFIED VIA ed25519 USING PASSWORD('p/w@1')"),
        (Family::Mysql, "IDENTIFIED WITH sha256_password BY 'p/w@1'"),
    ];
    for (number, (family, how)) in plugins.into_iter().enumerate() {
        let mut db = Db::create(family, &format!("auth_{number}")).await;
        let user = format!("tm_auth_{number}");
        if how.contains("ed25519") {
            let _ = db.conn.query_drop("INSTALL SONAME 'auth_ed25519'").await;
        }
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)", &format!("DROP USER IF EXISTS '{user}'@'%'")]).await;
        // Only servers that have the plugin can be asked.
        if let Err(error) = db.conn.query_drop(format!("CREATE USER '{user}'@'%' {how}")).await {
            assert!(how.contains("sha256_password"), "{how}: {error}");
            db.drop().await;
            continue;
        }
        db.run(&[&format!("GRANT ALL ON {}.* TO '{user}'@'%'", db.name)]).await;
        for tls in [serde_json::json!({}), serde_json::json!({"tls": {"ca": ca()}}), serde_json::json!({})] {
            let source = with_login(&db, &user, "p%2Fw%401", tls);
            if how.contains("sha256_password") {
                let error = source.table_names().await.unwrap_err();
                let expected =
                    format!("{} requires the authentication plugin `sha256_password`, which is not supported", host_and_port(&db));
                assert_eq!(error.to_string(), expected);
            } else {
                assert_eq!(source.table_names().await.unwrap(), ["t"], "{how}");
            }
        }
        db.run(&[&format!("DROP USER '{user}'@'%'")]).await;
        db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified_when_asked_for() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "tls").await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        for verified in [
            db.source_with(serde_json::json!({"tls": {"ca": ca()}})),
            at_localhost(&db, serde_json::json!({"tls": {"mode": "verify-full", "ca": ca()}})),
        ] {
            let tables = discover(&*verified, &["t"]).await;
            let seen = run(&*verified, &tables, None).await.unwrap();
            assert_eq!(seen.snapshot.len(), 1);
            assert!(run(&*verified, &tables, Some(seen.position())).await.unwrap().caught_up, "the log is read with TLS too");
        }
        let encrypted = db.source_with(serde_json::json!({"tls": {"mode": "require"}}));
        assert!(encrypted.table_names().await.unwrap().contains(&"t".to_string()));

        let unknown = db.source_with(serde_json::json!({"tls": {}})).table_names().await.unwrap_err();
        assert_eq!(unknown.to_string(), format!("TLS with {} fails: invalid peer certificate: UnknownIssuer", host_and_port(&db)));
        assert!(matches!(unknown, SourceError::Invalid { help: Some(help), .. } if help.starts_with("set `tls.ca` to the authority")));
        db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_grants_are_named() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "grants").await;
        db.run(&[
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "DROP USER IF EXISTS 'tm_grants'@'%'",
            "CREATE USER 'tm_grants'@'%' IDENTIFIED BY 'p'",
            "GRANT SELECT ON tm_grants.* TO 'tm_grants'@'%'",
        ])
        .await;
        if family == Family::Mysql {
            db.run(&["GRANT BACKUP_ADMIN ON *.* TO 'tm_grants'@'%'", "GRANT SELECT ON performance_schema.log_status TO 'tm_grants'@'%'"])
                .await;
        }
        let source = with_login(&db, "tm_grants", "p", serde_json::json!({}));
        let tables = discover(&*source, &["t"]).await;
        let findings = source.preflight(&tables).await.unwrap();
        let unseen = "the user may not see whether the server keeps databases out of its log (binlog_do_db, binlog_ignore_db); their changes \
                      would be missed";
        let expected = [
            (unseen, "GRANT REPLICATION CLIENT ON *.* TO 'tm_grants'@'%';"),
            ("the user may not read the server's log", "GRANT REPLICATION SLAVE ON *.* TO 'tm_grants'@'%';"),
        ];
        let told: Vec<_> = findings.iter().map(|f| (f.message.as_str(), f.fix.as_deref().unwrap())).collect();
        assert_eq!(told, expected, "{family:?}");
        // What cannot be seen stops a run as well.
        db.run(&[expected[1].1]).await;
        let refused = run(&*source, &tables, None).await.unwrap_err();
        assert!(
            matches!(&refused, SourceError::Invalid { message, help: Some(help), .. } if message == unseen && help == expected[0].1),
            "{refused:?}"
        );
        db.run(&[expected[0].1]).await;
        assert_eq!(source.preflight(&tables).await.unwrap(), []);
        assert!(run(&*source, &tables, None).await.is_ok(), "these grants are enough");
        db.run(&["DROP USER 'tm_grants'@'%'"]).await;
        db.drop().await;
    }
}

/// Each refusal of a login that has a way out of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_else_stands_against_a_login_is_said() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "refusals").await;
        let at = host_and_port(&db);
        let user = "tm_refusals";
        let grant = "GRANT SELECT ON tm_refusals.* TO 'tm_refusals'@'%'";
        let expire = "ALTER USER 'tm_refusals'@'%' PASSWORD EXPIRE";
        for (statements, message, help) in [
            (vec![expire], format!("the password of the user `{user}` at {at} has expired"), "ALTER USER ... IDENTIFIED BY a new one"),
            (
                vec!["ALTER USER 'tm_refusals'@'%' ACCOUNT LOCK"],
                format!("the account of the user `{user}` at {at} is locked"),
                "ACCOUNT UNLOCK",
            ),
            (
                vec!["ALTER USER 'tm_refusals'@'%' REQUIRE SSL"],
                format!("{at} refuses the user `{user}` or its password"),
                "the source needs `tls`",
            ),
        ] {
            db.run(&["DROP USER IF EXISTS 'tm_refusals'@'%'", "CREATE USER 'tm_refusals'@'%' IDENTIFIED BY 'p'", grant]).await;
            db.run(&statements).await;
            let error = with_login(&db, user, "p", serde_json::json!({})).table_names().await.unwrap_err();
            assert_eq!(error.to_string(), message, "{family:?}");
            assert!(matches!(&error, SourceError::Invalid { help: Some(told), .. } if told.contains(help)), "{error:?}");
        }
        assert!(with_login(&db, user, "p", serde_json::json!({"tls": {"mode": "require"}})).table_names().await.is_ok());
        // A `%41` that is meant as it stands.
        db.run(&["DROP USER 'tm_refusals'@'%'", "CREATE USER 'tm_refusals'@'%' IDENTIFIED BY 'a%41b'", grant]).await;
        let error = with_login(&db, user, "a%41b", serde_json::json!({})).table_names().await.unwrap_err();
        assert!(
            matches!(&error, SourceError::Invalid { help: Some(told), .. } if told.contains("write a literal `%` as %25")),
            "{error:?}"
        );
        assert!(with_login(&db, user, "a%2541b", serde_json::json!({})).table_names().await.is_ok());
        db.run(&["DROP USER 'tm_refusals'@'%'", "CREATE USER 'tm_refusals'@'%' IDENTIFIED BY 'a@b:c'", grant]).await;
        assert!(with_login(&db, user, "a@b:c", serde_json::json!({})).table_names().await.is_ok());
        db.run(&["DROP USER 'tm_refusals'@'%'"]).await;
        db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_of_some_columns_is_not_taken_for_the_table() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "columns").await;
        db.run(&[
            "CREATE TABLE t (id INT PRIMARY KEY, v INT, secret INT)",
            "DROP USER IF EXISTS 'tm_columns'@'%'",
            "CREATE USER 'tm_columns'@'%' IDENTIFIED BY 'p'",
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'tm_columns'@'%'",
            "GRANT SELECT (id, v) ON tm_columns.t TO 'tm_columns'@'%'",
        ])
        .await;
        let source = with_login(&db, "tm_columns", "p", serde_json::json!({}));
        let error = source.discover(&["t".to_string()]).await.unwrap_err();
        assert_eq!(error.to_string(), "the user may read only some columns of `tm_columns`.`t`, but the log has all of them", "{family:?}");
        db.run(&["GRANT SELECT (secret) ON tm_columns.t TO 'tm_columns'@'%'"]).await;
        assert_eq!(discover(&*source, &["t"]).await[0].schema.columns().len(), 3, "every column, one by one, is enough");
        db.run(&["DROP USER 'tm_columns'@'%'"]).await;
        db.drop().await;
    }
}

//! Names of databases and tables: compared as the server compares them, and with dots in them.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tidemill::sources::{self, Source, SourceError};

use super::servers::OwnServer;
use super::support::{Db, Family, discover, run};

/// The names of the spec, of the statements and of the log differ in their case.
#[tokio::test(flavor = "multi_thread")]
async fn where_case_does_not_matter_every_change_arrives() {
    for family in [Family::Mariadb, Family::Mysql] {
        let kind = if family == Family::Mariadb { "MARIADB" } else { "MYSQL" };
        let server = OwnServer::start(kind, "--lower-case-table-names=1");
        let mut conn = Conn::new(OptsBuilder::from_opts(Opts::from_url(&server.url).unwrap()).prefer_socket(false)).await.unwrap();
        for statement in
            ["CREATE DATABASE Shop", "USE sHop", "CREATE TABLE Orders (Id INT PRIMARY KEY)", "CREATE TABLE ÄRZTE (id INT PRIMARY KEY)"]
        {
            conn.query_drop(statement).await.unwrap();
        }
        let open = |database: &str| -> Box<dyn Source> {
            let options = serde_json::json!({"url": format!("{}{database}", server.url), "heartbeat_ms": 200});
            sources::open("mysql", &options).unwrap()
        };
        for (number, (database, names)) in
            [("shop", ["orders", "ärzte"]), ("SHOP", ["ORDERS", "ÄRZTE"]), ("Shop", ["sHoP.Orders", "SHOP.Ärzte"])].into_iter().enumerate()
        {
            let source = open(database);
            let tables = discover(&*source, &names).await;
            assert_eq!(source.preflight(&tables).await.unwrap(), []);
            let before = run(&*source, &tables, None).await.unwrap();
            let id = number * 10;
            for statement in [
                format!("INSERT INTO shop.orders VALUES ({id})"),
                format!("INSERT INTO SHOP.ORDERS VALUES ({})", id + 1),
                format!("INSERT INTO Ärzte VALUES ({id})"),
            ] {
                conn.query_drop(statement).await.unwrap();
            }
            let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
            assert_eq!(seen.transactions.len(), 3, "{family:?} {names:?}");
            assert_eq!(
                (before.snapshot.len() + 3, 2),
                (number * 3 + 3, seen.transactions.iter().flatten().filter(|d| d.table == 0).count())
            );
            // A position of the same database, written otherwise.
            assert!(run(&*open("sHOP"), &tables, Some(seen.position())).await.is_ok());
        }
        let twice = open("shop").preflight(&discover_each(&*open("shop"), &["orders", "Orders"]).await).await.unwrap_err();
        assert_eq!(twice.to_string(), "`orders` and `Orders` are one table, `shop`.`orders`");
    }
}

async fn discover_each(source: &dyn Source, names: &[&str]) -> Vec<sources::Table> {
    let mut tables = Vec::new();
    for name in names {
        tables.extend(discover(source, &[name]).await);
    }
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn where_case_matters_the_right_name_is_told() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "case").await;
        db.run(&["CREATE TABLE Orders (id INT PRIMARY KEY)", "CREATE TABLE tâble (id INT PRIMARY KEY)"]).await;
        let source = db.source();
        let error = source.discover(&["orders".to_string()]).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no table `orders` in the database `tm_case`", "{family:?}");
        let expected = "names are case-sensitive at this server, which has `tm_case`.`Orders`";
        assert!(matches!(&error, SourceError::Invalid { help: Some(help), .. } if help == expected), "{error:?}");
        // An accent makes another name, whatever the collation says.
        for name in ["table", "TM_CASE.Orders", "tÂble"] {
            assert!(source.discover(&[name.to_string()]).await.is_err(), "{family:?}: {name}");
        }
        // One table by two names.
        let twice = source.discover(&["Orders".to_string(), "tm_case.Orders".to_string()]).await.unwrap_err();
        assert_eq!(twice.to_string(), "`Orders` and `tm_case.Orders` are one table, `tm_case`.`Orders`");
        db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dot_may_stand_in_a_name() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "dots").await;
        db.run(&[
            "CREATE TABLE `a.b` (id INT PRIMARY KEY)",
            "DROP DATABASE IF EXISTS `tm_dots.x`",
            "CREATE DATABASE `tm_dots.x`",
            "CREATE TABLE `tm_dots.x`.`y.z` (id INT PRIMARY KEY)",
            "CREATE TABLE `tm_dots.x`.t (id INT PRIMARY KEY)",
            "CREATE TABLE `x.t` (id INT PRIMARY KEY)",
        ])
        .await;
        let source = db.source();
        for name in ["a.b", "tm_dots.a.b", "tm_dots.x.y.z", "x.t"] {
            let tables = discover(&*source, &[name]).await;
            assert_eq!(tables[0].name, name);
            let before = run(&*source, &tables, None).await.unwrap();
            let into = match name {
                "x.t" => "`x.t`",
                "tm_dots.x.y.z" => "`tm_dots.x`.`y.z`",
                _ => "`a.b`",
            };
            db.run(&[&format!("INSERT INTO {into} SELECT COUNT(*) FROM {into}")]).await;
            let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
            assert_eq!(seen.transactions.len(), 1, "{family:?}: {name}");
        }
        let two = source.discover(&["tm_dots.x.t".to_string()]).await.unwrap_err();
        let told = two.to_string();
        assert!(told.starts_with("`tm_dots.x.t` may be the table `tm_dots") && told.contains("`tm_dots`.`x.t`"), "{told}");
        db.run(&["DROP DATABASE `tm_dots.x`"]).await;
        db.drop().await;
    }
}

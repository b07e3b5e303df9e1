//! What cannot be drafted, and what is left out, each with the reason.

use super::kit::Facts;
use super::kit::{SERVERS, database, draft, program, run_and_compare, same_as_file};
use super::support::{MysqlDatabase, Program};

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_not_possible_is_named_with_the_way_out() {
    for kind in SERVERS {
        let database = database(kind, "film_rental").await;
        let program = program(&database);
        let said = |root: &str| {
            let drafted = draft(&program, &database, &["--root", root]);
            assert_eq!((drafted.code, drafted.stdout.as_str()), (Some(2), ""));
            drafted.stderr
        };
        assert_eq!(
            said("film_list"),
            "error: `film_list` is not a table but a view\n   = help: without --root, the tables that are possible are listed\n"
        );
        assert_eq!(said("flim"), "error: there is no table `flim` that the user may see\n   = help: did you mean `film`?\n");
        let sink = draft(&program, &database, &["--root", "film", "--sink", "postgres://h"]);
        assert_eq!(sink.code, Some(2));
        assert!(sink.stderr.contains("write it as mongodb://USER:PASSWORD@HOST:PORT/DATABASE"), "{}", sink.stderr);
        let sink = draft(&program, &database, &["--root", "film", "--sink", "mongodb://h/a$b"]);
        assert_eq!((sink.code, sink.stdout.as_str()), (Some(2), ""));
        assert!(sink.stderr.contains("it is not a database name that MongoDB accepts"), "{}", sink.stderr);
    }
}

#[test]
fn a_wrong_url_is_named_without_its_password() {
    for (url, message) in [
        ("mysql://u:ses/ame@h/d", "the URL cannot be read"),
        ("postgres://u:sesame@h/d", "the URL does not begin with a kind of database that is known"),
        ("sesame", "the URL does not begin with a kind of database that is known"),
        ("mysql://u:sesame@h:port/d", "option `url`: it is not a URL"),
    ] {
        let drafted = Program::new().run(&["draft", url]);
        assert_eq!(drafted.code, Some(2), "{}", drafted.stderr);
        assert!(drafted.stderr.contains(message) && !drafted.stderr.contains("ses"), "{}", drafted.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_be_a_variable_already() {
    let database = database("MARIADB", "hr").await;
    let program = program(&database).env("HR_PASSWORD", &database.password.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>());
    let url = database.url();
    let (start, rest) = url.split_once(&format!("{}:", database.user)).unwrap();
    let url = format!("{start}{}:${{HR_PASSWORD}}@{}", database.user, rest.split_once('@').unwrap().1);
    let drafted = program.run(&["draft", &url, "--root", "jobs"]);
    assert_eq!(drafted.code, Some(0), "{}", drafted.stderr);
    assert!(drafted.stdout.contains(":${HR_PASSWORD}@"), "{}", drafted.stdout);
}

/// Tables that cannot be captured, that the user may not see, and that are in another database.
#[tokio::test(flavor = "multi_thread")]
async fn tables_out_of_reach_are_left_out_with_the_reason() {
    // Dropped last, because the tables of the other database refer to it.
    let other = MysqlDatabase::create("MARIADB").await;
    let database = MysqlDatabase::create("MARIADB").await;
    let (own, far) = (&database.name, &other.name);
    other.execute(&["CREATE TABLE parents (id INT PRIMARY KEY, name VARCHAR(10))", "CREATE TABLE hidden (id INT PRIMARY KEY)"]).await;
    other.execute(&["INSERT INTO parents VALUES (1, 'one')"]).await;
    let references = format!(
        "CREATE TABLE children (id INT PRIMARY KEY, parent_id INT, hidden_id INT, log_id INT, old_id INT, secret_id INT, \
         CONSTRAINT to_parent FOREIGN KEY (parent_id) REFERENCES {far}.parents (id), \
         CONSTRAINT to_hidden FOREIGN KEY (hidden_id) REFERENCES {far}.hidden (id), \
         CONSTRAINT to_log FOREIGN KEY (log_id) REFERENCES logs (id), CONSTRAINT to_old FOREIGN KEY (old_id) REFERENCES olds (id), \
         CONSTRAINT to_secret FOREIGN KEY (secret_id) REFERENCES secrets (id))"
    );
    let user = &database.user;
    database
        .execute(&[
            "CREATE TABLE logs (id INT PRIMARY KEY, text TEXT COMPRESSED)",
            "CREATE TABLE olds (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
            "CREATE TABLE secrets (id INT PRIMARY KEY, shown INT, not_shown INT)",
            &references,
            "INSERT INTO children (id, parent_id) VALUES (1, 1), (2, NULL)",
            &format!("GRANT SELECT ON {far}.parents TO '{user}'@'%'"),
            &format!("REVOKE SELECT, LOCK TABLES ON {own}.* FROM '{user}'@'%'"),
            &format!("GRANT SELECT ON {own}.children TO '{user}'@'%'"),
            &format!("GRANT SELECT ON {own}.logs TO '{user}'@'%'"),
            &format!("GRANT SELECT ON {own}.olds TO '{user}'@'%'"),
            &format!("GRANT SELECT (id, shown) ON {own}.secrets TO '{user}'@'%'"),
        ])
        .await;
    let program = program(&database);
    let drafted = draft(&program, &database, &["--root", "children"]);
    assert_eq!((drafted.code, drafted.stderr.as_str()), (Some(0), ""), "{}", drafted.stdout);
    let text = drafted.stdout.replace(far, "other");
    same_as_file(&on_long_lines(&text), &database, "out_of_reach.yaml");
    let facts = Facts {
        schema: "out_of_reach",
        root: "children",
        view: "children",
        key: "id",
        facts: &[("parent/name", "SELECT id, IF(parent_id = 1, 'one', NULL) FROM children")],
    };
    run_and_compare(&program, &database, &drafted.stdout, &facts).await;
}

/// The text with each comment on one line. Every comment ends with a full stop. Where its lines end depends on the length of names.
fn on_long_lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.trim_start().strip_prefix("# ").filter(|_| is_open(&out)) {
            Some(rest) => {
                out.truncate(out.trim_end().len());
                out += &format!(" {rest}\n");
            }
            None => out += &format!("{line}\n"),
        }
    }
    out
}

/// Whether the last line is a comment that has not ended.
fn is_open(text: &str) -> bool {
    text.lines().last().is_some_and(|line| line.trim_start().starts_with('#') && !line.ends_with('.'))
}

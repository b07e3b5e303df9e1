//! A schema with 300 tables is described by a few queries.

use std::time::{Duration, Instant};

use super::kit::{Facts, SERVERS, draft, program, run_and_compare, same_as_file};
use super::support::MysqlDatabase;

const TABLES: usize = 300;
/// What a draft may take: a few queries, on a slow machine.
const LIMIT: Duration = Duration::from_secs(15);

/// A tree of tables in which each has two children, with keys for half of them and names for the rest; 60 of them name a tenant.
fn statements() -> Vec<String> {
    let mut statements = vec!["CREATE TABLE tenants (id INT PRIMARY KEY, name VARCHAR(20))".to_string()];
    statements.push("INSERT INTO tenants VALUES (1, 'one'), (2, 'two')".to_string());
    for number in 0..TABLES - 1 {
        let mut columns = vec!["id INT PRIMARY KEY".to_string(), "name VARCHAR(20)".to_string()];
        if number > 0 {
            let above = (number - 1) / 2;
            columns.push(format!("part_{above:03}_id INT"));
            if number % 2 == 0 {
                columns.push(format!("CONSTRAINT fk_{number} FOREIGN KEY (part_{above:03}_id) REFERENCES part_{above:03} (id)"));
            }
        }
        if number % 5 == 0 {
            columns.push("tenant_id INT".to_string());
        }
        statements.push(format!("CREATE TABLE part_{number:03} ({})", columns.join(", ")));
        let more = [if number > 0 { ", 1" } else { "" }, if number % 5 == 0 { ", 2" } else { "" }].concat();
        statements.push(format!("INSERT INTO part_{number:03} VALUES (1, 'row {number}'{more})"));
    }
    statements
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_tables_are_drafted_quickly() {
    for kind in SERVERS {
        let database = MysqlDatabase::create(kind).await;
        let statements = statements();
        database.execute(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let program = program(&database);
        for (root, facts) in [
            ("part_000", &[("part_001/*/part_003/*/name", "SELECT 1, 'row 3'"), ("tenant/name", "SELECT 1, 'two'")][..]),
            ("tenants", &[("part_000/*/name", "SELECT 1, NULL UNION SELECT 2, 'row 0'")][..]),
        ] {
            let began = Instant::now();
            let drafted = draft(&program, &database, &["--root", root]);
            let took = began.elapsed();
            assert_eq!((drafted.code, drafted.stderr.as_str()), (Some(0), ""), "{}", drafted.stdout);
            assert!(took < LIMIT, "{kind}: a draft took {took:?}");
            same_as_file(&drafted.stdout, &database, &format!("many_tables.{root}.yaml"));
            run_and_compare(&program, &database, &drafted.stdout, &Facts { schema: "many_tables", root, view: root, key: "id", facts })
                .await;
            std::fs::remove_dir_all(program.folder().join("spec.state")).unwrap();
        }
        let began = Instant::now();
        let listed = draft(&program, &database, &[]);
        assert!(began.elapsed() < LIMIT);
        assert_eq!(listed.stdout.lines().count(), TABLES + 5, "{}", listed.stdout);
    }
}

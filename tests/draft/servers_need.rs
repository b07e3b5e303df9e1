//! What is missing at the server is printed as statements, which are enough when they are run.

use super::kit::{SERVERS, database, draft, program};

#[tokio::test(flavor = "multi_thread")]
async fn missing_grants_are_statements_that_make_the_draft_run() {
    for kind in SERVERS {
        let database = database(kind, "hr").await;
        let user = &database.user;
        database.execute(&[&format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{user}'@'%'")]).await;
        database.execute(&[&format!("GRANT SELECT ON {}.* TO '{user}'@'%'", database.name)]).await;
        let program = program(&database);
        let drafted = draft(&program, &database, &["--root", "jobs"]);
        assert_eq!(drafted.code, Some(0), "{}", drafted.stderr);
        let statements: Vec<&str> = drafted.stderr.lines().filter(|line| !line.starts_with("--")).collect();
        assert!(statements.len() >= 2, "{}", drafted.stderr);
        for statement in statements.iter().flat_map(|line| line.split(';')).filter(|statement| !statement.trim().is_empty()) {
            database.execute(&[statement]).await;
        }
        program.write("spec.yaml", &drafted.stdout);
        let ran = program.run(&["run", "spec.yaml", "--until-caught-up"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(draft(&program, &database, &["--root", "jobs"]).stderr, "");
    }
}

//! What a preview says when something is missing or wrong.

use super::kit::{printed, spec};
use super::support::{MysqlDatabase, Program};

const ONE: [&str; 2] = ["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 10), (2, 20)"];

async fn shop(kind: &str, views: &str) -> (MysqlDatabase, Program) {
    let shop = MysqlDatabase::create(kind).await;
    shop.execute(&ONE).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "", views));
    (shop, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_view_or_key_is_named() {
    let (_shop, program) = shop("MARIADB", "  v: {from: shop.t}\n  w: {from: shop.t}\n").await;
    let ended = program.run(&["preview", "shop.yaml", "x"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), "error: there is no view `x`\n   = help: there is `v`, `w`\n"));
    let ended = program.run(&["preview", "shop.yaml", "v", "--key", "7"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), "error: `v` has no row with this key\n"));
    let ended = program.run(&["preview", "shop.yaml", "v", "--key", "seven"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: `id` of `v`: "), "{}", ended.stderr);
    let ended = program.run(&["preview", "shop.yaml", "v", "--key", "1", "--key", "2"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let ended = program.run(&["preview", "shop.yaml", "--key", "1"]);
    assert_eq!(ended.stderr, "error: --key needs the name of a view\n   = help: there is `v`, `w`\n");
    let left: Vec<_> = std::fs::read_dir(program.folder()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["shop.yaml"], "nothing is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_to_read_the_tables_is_needed() {
    for kind in ["MARIADB", "MYSQL"] {
        let (shop, program) = shop(kind, "  v: {from: shop.t}\n").await;
        let name = &shop.name;
        shop.execute(&[&format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{name}'@'%'")]).await;
        let ended = program.run(&["preview", "shop.yaml"]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.starts_with("error: ") && !ended.stderr.contains("pw "), "{}", ended.stderr);
        shop.execute(&[&format!("GRANT SELECT ON {name}.t TO '{name}'@'%'")]).await;
        assert_eq!(printed(&program, &["preview", "shop.yaml"]).0, [r#"{"id":1,"v":10}"#, r#"{"id":2,"v":20}"#]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_read_are_named() {
    let (shop, program) = shop("MARIADB", "  v: {from: shop.d}\n").await;
    shop.execute(&["SET sql_mode = ''", "CREATE TABLE d (id INT PRIMARY KEY, day DATE)", "INSERT INTO d VALUES (1, '2024-01-01'), (2, 0)"])
        .await;
    program.write("shop.yaml", &spec(&shop, ", zero_dates: error", "  v: {from: shop.d}\n"));
    let (rows, said) = printed(&program, &["preview", "shop.yaml"]);
    assert_eq!(rows, [r#"{"id":1,"day":"2024-01-01"}"#]);
    assert!(said.starts_with("warning: `v`: 1 record left out: shop.d: id = 2 at the server: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_without_tables_is_shown() {
    let (_shop, program) = shop("MARIADB", "  v: {from: shop.t}\n  w: {sql: \"SELECT 1 AS one\"}\n").await;
    assert_eq!(printed(&program, &["preview", "shop.yaml", "w"]), (vec![r#"{"one":1}"#.to_string()], String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_in_order_of_arrival_are_shown() {
    let (shop, program) = shop("MARIADB", "").await;
    let views = "  v:\n    from: shop.t\n    exclude: ROWOFFSET\n    lookup: [{from: shop.t, path: same, type: array, on: {v: v}, exclude: \
                 ROWOFFSET}]\n  w: {sql: \"SELECT latest_by_offset(v) IS NOT NULL AS known FROM shop.t\"}\n";
    let source = format!("sources:\n  shop: {{kind: mysql, arrival: [t], options: {{url: \"{}\"}}}}\n", shop.url());
    program.write("shop.yaml", &format!("{source}views:\n{views}"));
    let (rows, said) = printed(&program, &["preview", "shop.yaml", "-n", "1"]);
    assert_eq!(rows, [r#"{"id":1,"v":10,"same":[{"id":1,"v":10}]}"#, r#"{"known":true}"#]);
    assert_eq!(said, "v:\nw:\n");
}

//! Tables that are too large to be read.

use mysql_async::prelude::Queryable;

use super::kit::{printed, spec};
use super::support::{MysqlDatabase, OwnServer, Program};

const ROWS: u64 = 400_000;

async fn fill(shop: &MysqlDatabase) {
    let mut conn = shop.connect().await;
    conn.query_drop("CREATE TABLE parents (id INT PRIMARY KEY, code VARCHAR(20))").await.unwrap();
    conn.query_drop("CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, parent INT, code VARCHAR(20), KEY (parent))").await.unwrap();
    conn.query_drop("INSERT INTO big (parent) VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)").await.unwrap();
    let mut rows = 10;
    while rows < ROWS {
        let more = rows.min(ROWS - rows);
        conn.query_drop(format!("INSERT INTO big (parent) SELECT parent FROM big LIMIT {more}")).await.unwrap();
        rows += more;
    }
    conn.query_drop("UPDATE big SET parent = id DIV 4, code = CONCAT('code ', id)").await.unwrap();
    conn.query_drop("INSERT INTO parents SELECT id, code FROM big ORDER BY id LIMIT 5000").await.unwrap();
}

async fn rows_read(shop: &MysqlDatabase) -> u64 {
    let mut conn = shop.connect().await;
    let counters: Vec<(String, u64)> = conn.query("SHOW GLOBAL STATUS LIKE 'Handler_read_%'").await.unwrap();
    counters.iter().filter(|(name, _)| !name.contains("retry")).map(|(_, count)| count).sum()
}

const VIEWS: &str = r#"
  documents:
    from: shop.parents
    lookup: [{from: shop.big, path: parts, type: array, on: {id: parent}}]
  rows: {from: shop.big}
  counted: {sql: "SELECT count(*) AS n FROM shop.big"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_not_read() {
    for kind in ["MARIADB", "MYSQL"] {
        let server = OwnServer::start(kind, "");
        let shop = MysqlDatabase::create_at(kind, &server.url).await;
        fill(&shop).await;
        let program = Program::new();
        program.write("shop.yaml", &spec(&shop, "", VIEWS));
        for (arguments, lines) in
            [(&["documents"][..], 3), (&["documents", "--key", "77"], 1), (&["rows", "-n", "5"], 5), (&["counted"], 1)]
        {
            let before = rows_read(&shop).await;
            let arguments = [&["preview", "shop.yaml"][..], arguments].concat();
            let (rows, said) = printed(&program, &arguments);
            assert_eq!(rows.len(), lines, "{arguments:?}");
            let read = rows_read(&shop).await - before;
            assert!(read < ROWS / 4, "{kind} {arguments:?}: the server has read {read} rows");
            if arguments.contains(&"counted") {
                assert_eq!(rows, [r#"{"n":10000}"#]);
                let expected =
                    "warning: `counted`: a query of it is computed of the first 10000 rows of shop.big, so the result is not exact\n";
                assert_eq!(said, expected);
            } else {
                assert_eq!(said, "", "{arguments:?}");
            }
        }
    }
}

/// The server computes `code` whenever a row is read, which takes far longer than a preview for all of them.
const SLOW: [&str; 6] = [
    "CREATE TABLE numbers (n INT PRIMARY KEY)",
    "INSERT INTO numbers VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)",
    "CREATE TABLE big (id INT PRIMARY KEY, code VARCHAR(64) AS (SHA2(REPEAT(id, 20000), 256)) VIRTUAL)",
    "INSERT INTO big (id) SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n FROM numbers a, numbers b, numbers c, numbers d, \
     numbers e WHERE e.n < 6",
    "CREATE TABLE parents (id INT PRIMARY KEY, code VARCHAR(64))",
    "INSERT INTO parents SELECT id, code FROM big WHERE id < 3",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_index_is_named() {
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        shop.execute(&SLOW).await;
        let program = Program::new();
        let view = "  slow: {from: shop.parents, lookup: [{from: shop.big, path: parts, type: array, on: {code: code}}]}\n";
        program.write("shop.yaml", &spec(&shop, "", view));
        let (rows, said) = printed(&program, &["preview", "shop.yaml", "slow"]);
        assert_eq!(rows.len(), 3);
        let expected = format!(
            "warning: `slow`: `parts` (shop.big): not all rows were found in time, so documents may be incomplete\n   = help: CREATE INDEX \
             `big_by_code` ON `{}`.`big` (`code`)\n",
            shop.name
        );
        assert_eq!(said, expected, "{kind}");
    }
}

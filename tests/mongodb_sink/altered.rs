//! A table that changes under a run, and the collection of a view of its whole rows.

use std::time::Duration;

use bson::{Document, doc};
use futures::TryStreamExt;

use crate::support::{MongoDatabase, MysqlDatabase, Program, eventually_async};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn documents_have_the_columns_of_a_table_that_changes() {
    let shop = MysqlDatabase::create("MARIADB").await;
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"]).await;
    let target = MongoDatabase::create().await;
    let program = Program::new();
    let spec = format!(
        "sources:\n  shop: {{kind: mariadb, options: {{url: \"{}\", heartbeat_ms: 200}}}}\nviews: {{v: {{from: shop.t}}}}\nsinks:\n  mongo: \
         {{kind: mongodb, view: v, options: {{uri: \"{}\", collection: {}.t}}}}\n",
        shop.url(),
        target.uri,
        target.name
    );
    program.write("shop.yaml", &spec);
    let running = program.start(&["run", "shop.yaml"]);
    let become_these = async |expected: Vec<Document>| {
        eventually_async(&format!("{expected:?}"), LONG, async || {
            let found = target.collection("t").find(doc! {}).sort(doc! {"_id": 1}).await.unwrap();
            let documents: Vec<Document> = found.try_collect().await.unwrap();
            (documents == expected).then_some(())
        })
        .await;
    };
    become_these(vec![doc! {"_id": 1, "id": 1, "v": 1}, doc! {"_id": 2, "id": 2, "v": 2}]).await;
    shop.execute(&[
        "ALTER TABLE t ADD COLUMN more INT DEFAULT 7",
        "UPDATE t SET v = 20 WHERE id = 2",
        "INSERT INTO t VALUES (3, 3, 8)",
        "DELETE FROM t WHERE id = 1",
    ])
    .await;
    become_these(vec![doc! {"_id": 2, "id": 2, "v": 20, "more": 7}, doc! {"_id": 3, "id": 3, "v": 3, "more": 8}]).await;
    shop.execute(&["ALTER TABLE t DROP COLUMN v", "INSERT INTO t VALUES (4, 9)"]).await;
    become_these(vec![doc! {"_id": 2, "id": 2, "more": 7}, doc! {"_id": 3, "id": 3, "more": 8}, doc! {"_id": 4, "id": 4, "more": 9}]).await;
    shop.execute(&["INSERT INTO t VALUES (5, 5)"]).await;
    become_these(vec![
        doc! {"_id": 2, "id": 2, "more": 7},
        doc! {"_id": 3, "id": 3, "more": 8},
        doc! {"_id": 4, "id": 4, "more": 9},
        doc! {"_id": 5, "id": 5, "more": 5},
    ])
    .await;
    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

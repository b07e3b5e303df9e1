//! One table, one view, and what both hold.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;

use super::support::{MysqlDatabase, Program};

/// The view `v` of the columns `id` and `v` of a table `t`; `options` are more of the source.
pub(crate) fn spec(database: &MysqlDatabase, options: &str) -> String {
    format!(
        "sources:\n  shop:\n    kind: mysql\n    options:\n      url: \"{}\"\n      {options}\n\
         views:\n  v:\n    from: shop.t\n    columns: [id, v]\n",
        database.url()
    )
}

/// What the state folder says of the view, by `id`.
pub(crate) fn stored(program: &Program) -> BTreeMap<i64, i64> {
    let got = program.run(&["get", "v", "--state", "shop.state"]);
    assert_eq!(got.code, Some(0), "{}", got.stderr);
    let rows = got.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.map(|row| (row["id"].as_i64().unwrap(), row["v"].as_i64().unwrap())).collect()
}

pub(crate) async fn at_the_server(database: &MysqlDatabase, query: &str) -> BTreeMap<i64, i64> {
    database.connect().await.query::<(i64, i64), _>(query).await.unwrap().into_iter().collect()
}

/// Runs the spec until caught up, which must go well.
pub(crate) fn catch_up(program: &Program) {
    let ended = program.run(&["run", "shop.yaml", "--until-caught-up"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

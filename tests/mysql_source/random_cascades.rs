//! Random tables with random foreign keys under random transactions: after each few of them the rows that were followed are those that a
//! `SELECT` returns. Every time a new run resumes from the notes of the last one, which sometimes was cut off in the middle. Sometimes a
//! foreign key is added or dropped.

use mysql_async::prelude::Queryable;
use tidemill::sources::SourceError;

use super::cascades::{Carrying, Place, SERVERS, assert_same};
use super::graphs::{self, Graph};
use super::long;
use super::random::Random;
use super::support::{Following, discover};

/// One random graph at one server.
async fn graph(place: &mut Place, carrying: Carrying, seed: u64) {
    let random = &mut Random::new(seed);
    place.db.run(&["SET foreign_key_checks = 0"]).await;
    let left: Vec<String> = place.db.conn.query("SHOW TABLES").await.unwrap();
    for table in left {
        place.db.run(&[&format!("DROP TABLE {table}")]).await;
    }
    place.db.run(&["SET foreign_key_checks = 1"]).await;
    let graph = Graph::random(random);
    graph.create(&mut place.db.conn, random).await;
    let mut captured: Vec<&str> = graph.tables.iter().map(|t| t.name.as_str()).collect();
    random.shuffle(&mut captured);
    captured.truncate(1 + random.below(graph.tables.len()));
    let source = place.db.source();
    let tables_of_source = discover(&*source, &captured).await;
    let what = format!("seed {seed}, {carrying:?}, {captured:?} of {:?}", graph.alterations);
    assert_eq!(source.preflight(&tables_of_source).await.unwrap(), [], "{what}");
    let mut following = Following::new(&tables_of_source);
    following.catch_up(&*source).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut done = Vec::new();
    for _ in 0..5 {
        // A row that refers to itself is logged by MySQL 9.7 as it was before its own deletion set the reference to NULL.
        let mut may_be_lost = carrying == Carrying::MysqlLogged;
        for _ in 0..1 + random.below(4) {
            may_be_lost |= graph.transact(&mut place.db.conn, random, &mut done).await;
        }
        let cut_off = match random.percent(30) {
            true => following.cut_off_after(&*source, random.below(12)).await,
            false => Ok(()),
        };
        done.push("-- followed".into());
        let followed = match cut_off {
            Ok(()) => following.catch_up(&*source).await.map(|_| ()),
            Err(error) => Err(error),
        };
        match followed {
            Ok(()) => {}
            Err(SourceError::Resync { .. }) if may_be_lost => {
                following = Following::new(&tables_of_source);
                following.catch_up(&*source).await.unwrap_or_else(|e| panic!("{what}\n{}\n{e}", done.join(";\n")));
            }
            Err(error) => panic!("{what}\n{}\n{error}", done.join(";\n")),
        }
        assert_same(&*source, &tables_of_source, &following, &format!("{what}\n{}\n", done.join(";\n"))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_graphs_of_foreign_keys_are_followed() {
    let seeds = graphs::seeds(12);
    for carrying in SERVERS {
        let mut place = Place::new(carrying, "random_cascades").await;
        for seed in seeds.clone() {
            graph(&mut place, carrying, seed).await;
        }
        place.db.drop().await;
    }
    long::tell(&format!("foreign keys: graphs {seeds:?} at {} servers", SERVERS.len()));
}

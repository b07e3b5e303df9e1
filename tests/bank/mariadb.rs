//! From MariaDB, while several connections move money at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use serde_json::json;

use super::law::{all_caught_up, balances_by_tick, money, spec, views};
use super::random::Random;
use super::support::{MysqlDatabase, Program, eventually_async};
use super::transfers::{ACCOUNTS, Bank};

const TELLERS: usize = 4;
/// So many are committed while all engines follow.
const TRANSACTIONS: usize = 400;
const LONG: Duration = Duration::from_secs(60);

/// What tellers have done, and whether they shall end.
#[derive(Default)]
struct Work {
    committed: AtomicUsize,
    end: AtomicBool,
}

/// Moves money in transactions, of which some are rolled back.
async fn teller(mut connection: Conn, number: usize, work: Arc<Work>) {
    let (mut bank, mut random) = (Bank::new(number * 100_000), Random::new(number as u64));
    while !work.end.load(Ordering::Relaxed) {
        let mut after = bank.clone();
        let changes = after.transaction(&mut random);
        let rolled_back = random.percent(15);
        match transaction(&mut connection, changes.iter().flat_map(|change| change.sql()), rolled_back).await {
            Ok(()) if rolled_back => {}
            Ok(()) => {
                bank = after;
                work.committed.fetch_add(1, Ordering::Relaxed);
            }
            // A deadlock with another teller: the server has rolled it back.
            Err(Error::Server(error)) if error.code == 1213 => {}
            Err(error) => panic!("{error}"),
        }
    }
    connection.disconnect().await.unwrap();
}

async fn transaction(connection: &mut Conn, statements: impl Iterator<Item = String>, rolled_back: bool) -> Result<(), Error> {
    connection.query_drop("BEGIN").await?;
    for statement in statements {
        connection.query_drop(statement).await?;
    }
    connection.query_drop(if rolled_back { "ROLLBACK" } else { "COMMIT" }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_balances_while_tellers_work_at_mariadb() {
    let bank = MysqlDatabase::create("MARIADB").await;
    let accounts: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, 0)")).collect();
    bank.execute(&[
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance DECIMAL(12,2) NOT NULL)",
        "CREATE TABLE entries (transfer BIGINT, side VARCHAR(6), account BIGINT NOT NULL, amount DECIMAL(12,2) NOT NULL, \
         PRIMARY KEY (transfer, side))",
        &format!("INSERT INTO accounts VALUES {}", accounts.join(", ")),
    ])
    .await;
    let work = Arc::new(Work::default());
    let mut tellers = Vec::new();
    for number in 0..TELLERS {
        tellers.push(tokio::spawn(teller(bank.connect().await, number, Arc::clone(&work))));
    }
    // The first engine's snapshot is taken in the middle of it; the others' as well, a little later.
    let committed = || work.committed.load(Ordering::Relaxed);
    eventually_async("some transfers", LONG, async || (committed() > 20).then_some(())).await;
    let spec = spec(json!({"kind": "mysql", "options": {"url": bank.url(), "heartbeat_ms": 200}}));
    let start = |workers: &str| {
        let program = Program::new();
        program.write("bank.yaml", &spec);
        let running = program.start(&["run", "bank.yaml", "--state", "state", "--workers", workers, "--json"]);
        running.wait_for_stdout("a view", |line| line.contains("\"event\":\"view\""));
        let followers: Vec<_> = views().map(|view| (view, program.start(&["tail", view, "--state", "state"]))).collect();
        (program, running, followers)
    };
    let engines: Vec<_> = ["1", "2", "4"].into_iter().map(start).collect();
    let until = committed() + TRANSACTIONS;
    while committed() < until {
        for (program, ..) in &engines {
            let total = program.run(&["get", "total", "--state", "state"]);
            assert_eq!(total.stdout, "{\"total\":0.00}\n", "{}", total.stderr);
        }
    }
    work.end.store(true, Ordering::Relaxed);
    for teller in tellers {
        teller.await.unwrap();
    }
    let mut connection = bank.connect().await;
    connection.query_drop("INSERT INTO accounts VALUES (99, 0)").await.unwrap();
    let server: Vec<(u64, String)> = connection.query("SELECT id, CAST(balance AS CHAR) FROM accounts WHERE balance <> 0").await.unwrap();
    connection.disconnect().await.unwrap();
    let right: BTreeMap<u64, String> = server.into_iter().collect();
    for (program, running, followers) in engines {
        let (_, accounts) = followers.iter().find(|(view, _)| *view == "accounts").unwrap();
        accounts.wait_for_stdout("the last account", |line| line.contains("\"account\":99"));
        all_caught_up(&program, &followers);
        running.signal("INT");
        let ended = running.finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let followed: BTreeMap<&str, String> = followers.into_iter().map(|(view, tail)| (view, tail.finish().stdout)).collect();
        let seen = balances_by_tick(&followed);
        assert!(seen.len() > TRANSACTIONS, "{} states were there to be seen", seen.len());
        let (_, last) = seen.last_key_value().unwrap();
        let last: BTreeMap<u64, String> = last.iter().map(|(account, cents)| (*account, money(*cents))).collect();
        assert_eq!(last, right);
        for view in views() {
            let stored = program.run(&["tail", view, "--state", "state", "--until-caught-up"]);
            assert!(stored.stdout == followed[view], "what was followed of `{view}` is what is stored");
        }
    }
}

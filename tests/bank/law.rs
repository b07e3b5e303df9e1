//! The views, and what must be true of every state of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::support::{Program, Running};

/// Views that hold a state, then views that must never have a row.
const VIEWS: [(&str, &str); 10] = [
    ("credits", "SELECT account, sum(amount) AS amount FROM bank.entries WHERE side = 'credit' GROUP BY account"),
    ("debits", "SELECT account, sum(amount) AS amount FROM bank.entries WHERE side = 'debit' GROUP BY account"),
    (
        "balance",
        "SELECT coalesce(c.account, d.account) AS account, coalesce(c.amount, 0) - coalesce(d.amount, 0) AS balance \
         FROM credits c FULL JOIN debits d ON c.account = d.account",
    ),
    ("total", "SELECT sum(balance) AS total FROM balance"),
    ("accounts", "SELECT id AS account, balance FROM bank.accounts"),
    (
        "profit",
        "SELECT c.amount - d.amount AS profit FROM (SELECT sum(amount) AS amount FROM credits) c \
         CROSS JOIN (SELECT sum(amount) AS amount FROM bank.entries WHERE side = 'debit') d WHERE c.amount <> d.amount",
    ),
    ("torn", "SELECT transfer, count(*) AS sides FROM bank.entries GROUP BY transfer HAVING count(*) <> 2"),
    (
        "uneven",
        "SELECT c.transfer FROM bank.entries c JOIN bank.entries d ON c.transfer = d.transfer \
         WHERE c.side = 'credit' AND d.side = 'debit' AND c.amount <> d.amount",
    ),
    (
        "drift",
        "SELECT a.id, a.balance AS told, b.balance AS summed FROM bank.accounts a LEFT JOIN balance b ON a.id = b.account \
         WHERE a.balance <> coalesce(b.balance, 0)",
    ),
    (
        "unknown",
        "SELECT account FROM balance b WHERE NOT EXISTS (SELECT 1 FROM bank.accounts a WHERE a.id = b.account AND a.balance = b.balance)",
    ),
];
const WITH_ROWS: usize = 5;

/// The spec of the views over a source.
pub(crate) fn spec(source: Value) -> String {
    let views: Map<String, Value> = VIEWS.iter().map(|(name, sql)| (name.to_string(), json!({"sql": sql}))).collect();
    json!({"sources": {"bank": source}, "views": views}).to_string()
}

pub(crate) fn views() -> impl Iterator<Item = &'static str> {
    VIEWS.iter().map(|(name, _)| *name)
}

/// Waits until every follower has printed what is stored: each is a process of its own, and the end of the engine cuts off one that is behind.
pub(crate) fn all_caught_up(program: &Program, followers: &[(&str, Running)]) {
    for (view, tail) in followers {
        let stored = program.run(&["tail", view, "--state", "state", "--until-caught-up"]);
        if let Some(last) = stored.stdout.lines().last() {
            tail.wait_for_stdout("the last change", |line| line == last);
        }
    }
}

/// Cents as a decimal number.
pub(crate) fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// Cents of a decimal number with two digits behind the point.
fn cents(value: &Value) -> i64 {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    assert!(fraction.len() <= 2, "{text} has two digits behind the point at most");
    format!("{whole}{fraction:0<2}").parse().unwrap_or_else(|_| panic!("{text} is a number"))
}

type Lines<'t> = Vec<(u64, &'t str, Option<Map<String, Value>>, Option<Map<String, Value>>)>;

/// The balance of each account that has one, in cents.
pub(crate) type Balances = BTreeMap<u64, i64>;

/// Checks every step of the views, as `tail` printed each from the start; the balances after each tick.
pub(crate) fn balances_by_tick(tails: &BTreeMap<&str, String>) -> BTreeMap<u64, Balances> {
    let mut lines: Lines = Vec::new();
    for (view, text) in tails {
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{view}: {error}: {line}"));
            let row = |which: &str| line[which].as_object().cloned();
            lines.push((line["tick"].as_u64().unwrap(), view, row("before"), row("after")));
        }
    }
    for (view, _) in &VIEWS[WITH_ROWS..] {
        assert_eq!(tails[view], "", "`{view}` has no row at any time");
    }
    let ticks: BTreeSet<u64> = lines.iter().map(|(tick, ..)| *tick).collect();
    let mut now: BTreeMap<&str, BTreeMap<String, i64>> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for tick in ticks {
        for (_, view, before, after) in lines.iter().filter(|line| line.0 == tick) {
            assert_ne!(before, after, "tick {tick}: `{view}` says what was so");
            let rows = now.entry(view).or_default();
            for (row, diff) in [(before, -1), (after, 1)] {
                if let Some(row) = row {
                    *rows.entry(Value::from(row.clone()).to_string()).or_default() += diff;
                }
            }
            rows.retain(|_, count| *count != 0);
        }
        out.insert(tick, balances(tick, &now));
    }
    out
}

/// The law itself.
fn balances(tick: u64, now: &BTreeMap<&str, BTreeMap<String, i64>>) -> Balances {
    let of = |view: &str, column: &str| -> Balances {
        let mut out = Balances::new();
        for (row, count) in now.get(view).into_iter().flatten() {
            let row: Map<String, Value> = serde_json::from_str(row).unwrap();
            let before = out.insert(row["account"].as_u64().expect("an account"), cents(&row[column]));
            assert!(*count == 1 && before.is_none(), "tick {tick}: `{view}` has a row for each account: {now:?}");
        }
        out
    };
    let (credits, debits) = (of("credits", "amount"), of("debits", "amount"));
    let mut right = credits.clone();
    debits.iter().for_each(|(account, cents)| *right.entry(*account).or_default() -= cents);
    assert_eq!(of("balance", "balance"), right, "tick {tick}: balances are credits less debits");
    assert_eq!(right.values().sum::<i64>(), 0, "tick {tick}: no money is lost or made");
    let total: Vec<_> = now.get("total").into_iter().flatten().collect();
    let zero = match right.is_empty() {
        true => r#"{"total":null}"#.to_string(),
        false => r#"{"total":0.00}"#.to_string(),
    };
    assert_eq!(total, [(&zero, &1)], "tick {tick}");
    let mut told = of("accounts", "balance");
    // An account that no money was ever moved on has no balance to add up.
    [&mut told, &mut right].into_iter().for_each(|balances| balances.retain(|_, cents| *cents != 0));
    assert_eq!(told, right, "tick {tick}: accounts have what was moved");
    right
}

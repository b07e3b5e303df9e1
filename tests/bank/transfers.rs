//! Random transfers, and what they come to: as a changes file says it, and as SQL.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::law::money;
use super::random::Random;

pub(crate) const ACCOUNTS: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) cents: i64,
}

/// A transfer that is made, corrected or taken back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    transfer: usize,
    before: Option<Transfer>,
    after: Option<Transfer>,
}

/// Account and cents of a row, if there is one.
type Side = Option<(usize, i64)>;

/// What there is.
#[derive(Debug, Clone)]
pub(crate) struct Bank {
    /// The number of the next transfer.
    next: usize,
    transfers: BTreeMap<usize, Transfer>,
    /// In cents, by account.
    pub(crate) balances: Vec<i64>,
}

impl Bank {
    /// Whose transfers are numbered from here on.
    pub(crate) fn new(next: usize) -> Bank {
        Bank { next, transfers: BTreeMap::new(), balances: vec![0; ACCOUNTS] }
    }

    /// The changes of a transaction, applied.
    pub(crate) fn transaction(&mut self, random: &mut Random) -> Vec<Change> {
        (0..1 + random.below(3)).map(|_| self.change(random)).collect()
    }

    fn change(&mut self, random: &mut Random) -> Change {
        let known: Vec<usize> = self.transfers.keys().copied().collect();
        let change = match random.below(10) {
            kind @ 0..4 if !known.is_empty() => {
                let transfer = *random.pick(&known);
                let before = self.transfers[&transfer];
                let after = match kind {
                    0 => None,
                    1 => Some(Transfer { to: other(random, before.from), ..before }),
                    _ => Some(Transfer { cents: 1 + random.below(100_000) as i64, ..before }),
                };
                Change { transfer, before: Some(before), after }
            }
            _ => {
                let from = random.below(ACCOUNTS);
                let after = Transfer { from, to: other(random, from), cents: 1 + random.below(100_000) as i64 };
                self.next += 1;
                Change { transfer: self.next - 1, before: None, after: Some(after) }
            }
        };
        change.differences().iter().for_each(|(account, cents)| self.balances[*account] += cents);
        match change.after {
            Some(after) => self.transfers.insert(change.transfer, after),
            None => self.transfers.remove(&change.transfer),
        };
        change
    }
}

fn other(random: &mut Random, account: usize) -> usize {
    (account + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS
}

impl Change {
    /// What each account gains, in the order of the accounts.
    fn differences(&self) -> BTreeMap<usize, i64> {
        let mut out = BTreeMap::new();
        for (transfer, sign) in [(self.before, -1), (self.after, 1)] {
            if let Some(Transfer { from, to, cents }) = transfer {
                *out.entry(from).or_default() -= sign * cents;
                *out.entry(to).or_default() += sign * cents;
            }
        }
        out
    }

    /// Account and cents of both sides' rows, before and after.
    fn sides(&self) -> [(&'static str, [Side; 2]); 2] {
        let both = |account: fn(&Transfer) -> usize| [self.before, self.after].map(|t| t.map(|t| (account(&t), t.cents)));
        [("debit", both(|t| t.from)), ("credit", both(|t| t.to))]
    }

    /// Lines of a changes file. `balances`: before it.
    fn lines(&self, balances: &mut [i64]) -> String {
        let mut lines = Vec::new();
        for (side, rows) in self.sides() {
            let row = |row: Side| {
                row.map(|(account, cents)| json!({"transfer": self.transfer, "side": side, "account": account, "amount": number(cents)}))
            };
            lines.push(line("entries", row(rows[0]), row(rows[1])));
        }
        for (account, cents) in self.differences() {
            let row = |cents: i64| Some(json!({"id": account, "balance": number(cents)}));
            lines.push(line("accounts", row(balances[account]), row(balances[account] + cents)));
            balances[account] += cents;
        }
        lines.concat()
    }

    /// Statements for a server.
    pub(crate) fn sql(&self) -> Vec<String> {
        let mut statements = Vec::new();
        for (side, rows) in self.sides() {
            let key = format!("transfer = {} AND side = '{side}'", self.transfer);
            statements.push(match rows {
                [None, Some((account, cents))] => {
                    format!("INSERT INTO entries VALUES ({}, '{side}', {account}, {})", self.transfer, money(cents))
                }
                [Some(_), Some((account, cents))] => {
                    format!("UPDATE entries SET account = {account}, amount = {} WHERE {key}", money(cents))
                }
                _ => format!("DELETE FROM entries WHERE {key}"),
            });
        }
        for (account, cents) in self.differences() {
            statements.push(format!("UPDATE accounts SET balance = balance + {} WHERE id = {account}", money(cents)));
        }
        statements
    }
}

/// A whole transaction of a changes file. `balances`: before it.
pub(crate) fn lines(changes: &[Change], balances: &mut [i64]) -> String {
    let changes: String = changes.iter().map(|change| change.lines(balances)).collect();
    format!("{{\"begin\": true}}\n{changes}{{\"commit\": true}}\n")
}

fn line(table: &str, before: Option<Value>, after: Option<Value>) -> String {
    let line = match (before, after) {
        (None, after) => json!({"table": table, "op": "insert", "after": after}),
        (before, None) => json!({"table": table, "op": "delete", "before": before}),
        (before, after) => json!({"table": table, "op": "update", "before": before, "after": after}),
    };
    format!("{line}\n")
}

fn number(cents: i64) -> Value {
    serde_json::from_str(&money(cents)).expect("a number")
}

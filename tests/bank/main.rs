//! A bank: money moves between accounts in transactions, and no view ever shows a state in which it is lost or made.
//!
//! Each transfer is a debit and a credit row and two accounts whose balances change, in one transaction. Views sum debits and credits, make
//! balances of both sums, add the balances up, and compare them with what the accounts table says: paths of different length through the
//! dataflow, over two tables. Whatever a reader can see of these views at any time must balance: every committed step of every
//! changelog, and every answer of `get` meanwhile.

#[allow(dead_code, reason = "the tests of views use all of it")]
#[path = "../support/views/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;

mod files;
mod law;
mod mariadb;
mod transfers;

//! Generates an example shop of any size from a seed: the six tables of the reference view.
//!
//! In: a seed and a number of orders. Out: rows, and then transactions that change them, written to files or to a server; the same seed and size
//! always give the same bytes. The tables are those of the Olist data set (a Brazilian shop, 2016 to 2018), with its proportions and its skew:
//! few sellers and products have most of the items, some orders have no items, some were never delivered. It has no data of the data set itself.

mod changes;
mod files;
mod make;
mod names;
mod random;
mod rows;
mod server;
mod tables;
mod text;

pub use changes::{ChangingShop, RowChange};
pub use files::{Format, SENSORS, write_readings};
pub use make::Shop;
pub use rows::{Cell, ShopRow};
pub use server::{ServerError, ShopServer};
pub use tables::{DATABASE, REFERENCE_ORDERS, ShopTable, TABLES, TableColumn, TableShape};

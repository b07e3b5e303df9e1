//! A shop at any size, from a seed: the six tables of the reference view.
//!
//! In: a seed and a number of orders. Out: rows, as CSV, SQL or JSON lines, always the same bytes for the same seed and size. The
//! tables are those of the Olist data set (Brazilian shop, 2016 to 2018), with its sizes in proportion and its skew: few sellers and products
//! have most of the items, some orders have no items, some were never delivered. Nothing of the data set itself is in it.

mod files;
mod make;
mod names;
mod random;
mod rows;
mod tables;
mod text;

pub use files::{Format, SENSORS, write_readings};
pub use make::Shop;
pub use rows::{Cell, ShopRow};
pub use tables::{DATABASE, REFERENCE_ORDERS, TABLES, TableColumn, TableName, TableShape};

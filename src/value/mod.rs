//! Values, and the few forms in which they move through the engine.
//!
//! A [`Schema`] names and types the columns (one to one with Arrow). A [`Row`] is one packed byte string with the [`Layout`] of its schema;
//! operators, arrangements and the store keep rows in this form. [`Rows`] is many of them in one allocation. A [`Datum`] is one borrowed
//! value, for the edges. A [`key`] is a byte string that sorts like the values. `json` and `bson` are the only mappings to other formats,
//! `arrow` is the only bridge to DataFusion. A [`Delta`] is one change, a [`Tick`] is its time in the engine, a [`Position`] its place in
//! the source.

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod arrow;
#[cfg(feature = "mongodb")]
pub mod bson;
mod datum;
pub mod decimal;
mod delta;
mod histogram;
pub mod json;
pub mod key;
mod layout;
mod list;
mod row;
mod row_builder;
mod rows;
mod scalar;
pub mod temporal;
mod text;
mod types;
mod unkey;
mod unrolled;

pub use datum::Datum;
pub use delta::{Delta, Diff, Position, Tick};
pub use histogram::{histogram, is_counted};
pub use layout::Layout;
pub use list::{list_items, pack_list};
pub use row::Row;
pub use row_builder::RowBuilder;
pub use rows::Rows;
pub use scalar::ParseError;
pub use text::{push_text, write_text};
pub use types::{Column, ROW_OFFSET, Schema, Type};
pub use unkey::row_of_key;
pub use unrolled::{roll, unroll};

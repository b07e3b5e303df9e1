//! What a value is, and the few shapes it travels in.
//!
//! A [`Schema`] names and types the columns (one to one with Arrow). A [`Row`] is one packed byte string laid out by a
//! [`Layout`]; it is what operators, arrangements and the store hold, and [`Rows`] is many of them in one piece. A [`Datum`] is one borrowed value, for the edges. A
//! [`key`] is bytes whose order is the order of the values. `json` and `bson` are the only mappings outwards, `arrow`
//! the only bridge to DataFusion. [`Delta`], [`Tick`] and [`Position`] say what changed, when for us, and where at the source.

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod arrow;
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

//! Expressions and queries through DataFusion: one function library for views, queries and tests.
//!
//! In: an expression's text and the schema of its columns. Out: an [`Expression`] that evaluates batches of rows, or a [`SqlError`] that
//! points into the text. An [`AggregateFunction`] does the same for calls such as `count()` and `sum(price)` over groups of rows, a
//! [`WindowFunction`] for the ordered rows of a partition. [`plan_query`] turns a whole query into DataFusion's optimized plan.
//!
//! Guarantees: a value depends on its row only (no clock, no randomness, no other row), so an expression gives the same result when the row
//! is deleted as when it was inserted. Column names are taken exactly as written, with or without quotes (`"a b"` or `` `a b` ``). A number
//! with a point is a decimal, not a double. Integer overflow is an error and never wraps.

mod aggregate;
mod blame;
mod checked;
mod constant_arguments;
mod corrections;
mod error;
mod expression;
mod functions;
mod names;
mod places;
mod plan_expressions;
mod query;
mod relation;
mod session;
mod stream_functions;
mod syntax;
mod window;

pub(crate) use aggregate::is_plain_cast;
pub use aggregate::{AggregateFunction, Argument, Order, Simple};
pub use corrections::equal_columns::with_null_safe_keys;
pub use error::{EvaluationError, SqlError};
pub use expression::Expression;
pub(crate) use functions::only_value::SEVERAL;
pub use places::{place_of_relation, place_of_with};
pub use plan_expressions::has_subquery;
pub use query::{name_of, plan_query, relations_of};
pub use relation::Relation;
pub use window::{Reach, Running, WindowFunction};

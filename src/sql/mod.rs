//! SQL expressions through DataFusion: one function library for views, queries and tests.
//!
//! In: an expression's text and the schema it may name. Out: an [`Expression`] that evaluates batches of rows, or a [`SqlError`] that
//! points into the text. An [`AggregateFunction`] does the same for `count()`, `sum(price)` and the like over groups of rows, a
//! [`WindowFunction`] for the ordered rows of a partition.
//!
//! What always holds: a value depends on nothing but the row (no clock, no chance, no other row), so an expression gives the same
//! answer when the row is taken away as when it was added. A whole query becomes DataFusion's optimized plan ([`plan_query`]). Column names
//! are taken exactly as written, with or without quotes (`"a b"` or `` `a b` ``); a number with a point is a decimal, not a double;
//! integers that overflow are an error and never wrap.

mod aggregate;
mod ambiguous;
mod beside;
mod brought_together;
mod checked;
mod constant_arguments;
mod correlated;
mod culprit;
mod decorrelated;
mod distinct_on;
mod equal_columns;
mod error;
mod expression;
mod histogram;
mod lengths_of_time;
mod membership;
mod names;
mod names_apart;
mod one_row;
mod only_value;
mod operators;
mod outer_types;
mod own_function;
mod parts_of_times;
mod places;
mod plan_expressions;
mod query;
mod read_intervals;
mod read_over;
mod read_times;
mod relation;
mod rounded_averages;
mod rounded_casts;
mod rounded_quotients;
mod scalar_subqueries;
mod scope;
mod session;
mod set_operations;
mod stream_functions;
mod syntax;
mod times_in_plans;
mod truncated_times;
mod unnested;
mod window;
mod written_doubles;
mod written_times;
mod zeros;
mod zones;

pub(crate) use aggregate::is_plain_cast;
pub use aggregate::{AggregateFunction, Argument, Order, Simple};
pub use equal_columns::with_null_safe_keys;
pub use error::{EvaluationError, SqlError};
pub use expression::Expression;
pub(crate) use only_value::SEVERAL;
pub use places::{place_of_relation, place_of_with};
pub use plan_expressions::has_subquery;
pub use query::{name_of, plan_query, relations_of};
pub use relation::Relation;
pub use window::{Reach, Running, WindowFunction};

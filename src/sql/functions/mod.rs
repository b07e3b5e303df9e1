//! Functions, operators and casts of our own, in the place of DataFusion's where these answer differently from PostgreSQL, and those that DataFusion
//! does not have.

pub(super) mod double_text;
pub(super) mod histogram;
pub(super) mod interval_text;
pub(super) mod intervals;
pub(super) mod only_value;
pub(super) mod operators;
pub(super) mod own_function;
pub(super) mod rounded_averages;
pub(super) mod rounded_quotients;
pub(super) mod time_fields;
pub(super) mod time_text;
pub(super) mod truncated_times;
pub(super) mod zeros;
pub(super) mod zones;

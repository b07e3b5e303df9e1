//! The DataFusion session in which all expressions are planned.

use std::sync::{Arc, OnceLock};

use datafusion::common::{DFSchema, DataFusionError};
use datafusion::config::Dialect;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::SessionConfig;

use super::functions::histogram;
use super::functions::operators::Operators;
use super::functions::rounded_averages;
use super::functions::time_fields;
use super::functions::truncated_times;
use super::functions::zones;

/// The session: case-sensitive names, decimals for numbers with a point, plain `Utf8` for text, UTC for times.
pub(super) fn state() -> &'static SessionState {
    static STATE: OnceLock<SessionState> = OnceLock::new();
    STATE.get_or_init(|| {
        let mut config = SessionConfig::new();
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.sql_parser.dialect = Dialect::Generic;
        options.execution.time_zone = Some("+00:00".to_string());
        with_own_functions(builder().with_config(config).with_default_features().build())
    })
}

/// A session builder with our operators and no other settings.
pub(super) fn builder() -> SessionStateBuilder {
    SessionStateBuilder::new().with_expr_planners(vec![Arc::new(Operators)])
}

/// Registers the functions that DataFusion lacks, or that differ from PostgreSQL's.
pub(super) fn with_own_functions(mut state: SessionState) -> SessionState {
    for aggregate in [histogram::function(), rounded_averages::function()] {
        state.register_udaf(Arc::new(aggregate)).expect("a session takes functions");
    }
    let scalars =
        [&time_fields::EXTRACT, &time_fields::DATE_PART, &truncated_times::DATE_TRUNC, &truncated_times::DATE_BIN, &zones::FUNCTION];
    for scalar in scalars {
        state.register_udf(scalar.udf()).expect("a session takes functions");
    }
    state
}

/// Coerces operand types and folds constants.
pub(super) fn simplifier(schema: &DFSchema) -> ExprSimplifier {
    ExprSimplifier::new(simplify_context(schema))
}

pub(super) fn simplify_context(schema: &DFSchema) -> SimplifyContext {
    SimplifyContext::builder().with_schema(Arc::new(schema.clone())).with_config_options(Arc::clone(state().config_options())).build()
}

pub(super) fn coerce(expr: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    simplifier(schema).coerce(expr, schema)
}

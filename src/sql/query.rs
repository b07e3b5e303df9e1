//! Whole queries: from text to DataFusion's optimized logical plan.
//!
//! In: the text and the relations it may name. Out: the plan, in which every name is resolved and every type known, or a [`SqlError`] that
//! points into the text. What depends on more than the rows (`now()`, `random()`) is refused.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::config::Dialect;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, Volatility};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Function, Statement as SqlStatement, Visit, Visitor};

use super::SqlError;
use super::ambiguous::ambiguous;
use super::beside::without_joins_beside;
use super::brought_together::bring_together;
use super::checked::check_constants;
use super::constant_arguments::{check_arguments, misleading};
use super::correlated::refuse_what_is_not_taken_out;
use super::culprit::culprit;
use super::decorrelated::decorrelate;
use super::distinct_on::without_distinct_on;
use super::error::{bytes_of, nearest, planned_wrong};
use super::membership::spell_out_membership;
use super::names::syntax_error;
use super::names_apart::keep_names_apart;
use super::one_row::look_at_only_rows;
use super::outer_types::with_types_of_outer;
use super::plan_expressions::look_at_expressions;
use super::relation::Relation;
use super::rounded_casts::round_casts;
use super::scalar_subqueries::aggregate_scalar_subqueries;
use super::session::{builder, coerce, state, with_own_functions};
use super::set_operations::count_copies;
use super::times_in_plans::refuse_what_changes_values;
use super::unnested::refuse_what_takes_elements_for_unique;
use super::{equal_columns, read_over, scope, stream_functions, written_times};

/// The relations that a query names, each once, in the order of the text: source (`None` for a bare name) and name.
pub fn relations_of(text: &str) -> Result<Vec<(Option<String>, String)>, SqlError> {
    let query = Statement::Statement(parse(text)?);
    let named = state().resolve_table_references(&query).map_err(|error| SqlError::of_definition(&error))?;
    let mut relations = Vec::new();
    for reference in named {
        let relation = name_of(&reference);
        if !relations.contains(&relation) {
            relations.push(relation);
        }
    }
    Ok(relations)
}

/// The source and the name that a reference means.
pub fn name_of(reference: &TableReference) -> (Option<String>, String) {
    (reference.schema().map(str::to_string), reference.table().to_string())
}

/// What `lower` makes of the optimized plan of a query over these relations. What is wrong without saying where is looked for in the text.
pub fn plan_query<T: Send>(
    text: &str,
    relations: &[Relation],
    lower: impl Fn(&LogicalPlan) -> Result<T, SqlError> + Sync,
) -> Result<T, SqlError> {
    let query = parse(text)?;
    std::thread::scope(|scope| {
        let planner = std::thread::Builder::new().name("planner".into()).stack_size(STACK);
        let planned = planner.spawn_scoped(scope, || planned_or_placed(text, &query, relations, &lower));
        planned.expect("a thread can be started").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Plans are as deep as the queries that they are made of, and the optimizer goes down into them.
const STACK: usize = 64 << 20;

fn planned_or_placed<T>(
    text: &str,
    query: &SqlStatement,
    relations: &[Relation],
    lower: impl Fn(&LogicalPlan) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    let session = session(relations);
    let made = |query| {
        let plan = read_query(text, query, relations, &session)?;
        optimized(text, plan, &session).and_then(|plan| lower(&plan)).map_err(SqlError::once_resolved)
    };
    made(query.clone()).map_err(|error| match error.span {
        Some(_) => error,
        None => {
            let place = culprit(text, query, |other| made(other).is_ok()).or(error.around.clone());
            error.at(place.or(Some(0..text.len())))
        }
    })
}

/// What DataFusion takes for something else or cannot make a join of, written as what it knows, in this order.
const CORRECTIONS: [fn(LogicalPlan) -> Result<LogicalPlan, DataFusionError>; 10] = [
    without_joins_beside,
    bring_together,
    count_copies,
    without_distinct_on,
    round_casts,
    look_at_only_rows,
    spell_out_membership,
    aggregate_scalar_subqueries,
    keep_names_apart,
    decorrelate,
];

/// The plan as it is written, in which every name is resolved.
fn read_query(text: &str, mut query: SqlStatement, relations: &[Relation], session: &SessionState) -> Result<LogicalPlan, SqlError> {
    read_over::write_out(text, &mut query)?;
    written_times::write_out(&mut query);
    stream_functions::write_out(text, &mut query, relations)?;
    refuse_what_changes_by_itself(text, &query)?;
    let described = |error: DataFusionError| planned_wrong(text, &error);
    // Nothing is waited for: all tables are in memory, and empty.
    let read = |query| futures::executor::block_on(session.statement_to_plan(Statement::Statement(Box::new(query))));
    scope::write_out(text, &mut query, read)?;
    if let Some(error) = ambiguous(&query, read) {
        return Err(described(error));
    }
    read(query).map_err(described)
}

fn optimized(text: &str, plan: LogicalPlan, session: &SessionState) -> Result<LogicalPlan, SqlError> {
    let described = |error: DataFusionError| planned_wrong(text, &error);
    look_at_expressions(&plan, |expr, columns| {
        // No constant may overflow.
        let coerced = coerce(expr.clone(), columns);
        coerced.map_or(Ok(()), |coerced| check_constants(&coerced, columns)).map_err(|error| SqlError::new(error.reason))?;
        check_arguments(expr, columns)
    })?;
    let plan = CORRECTIONS.into_iter().try_fold(plan, |plan, correct| correct(plan)).map_err(described)?;
    refuse_what_is_not_taken_out(&plan)?;
    refuse_what_changes_values(&plan, session)?;
    refuse_what_takes_elements_for_unique(&plan)?;
    let plan = with_types_of_outer(plan, session).map_err(described)?;
    session.optimize(&plan).map_err(described)
}

/// One query, and nothing else.
pub(super) fn parse(text: &str) -> Result<Box<SqlStatement>, SqlError> {
    let statement = state().sql_to_statement(text, &Dialect::Generic).map_err(|error| syntax_error(text, &error))?;
    match statement {
        Statement::Statement(query) if matches!(*query, SqlStatement::Query(_)) => Ok(query),
        _ => Err(SqlError::new("a view is a query")
            .at(Some(0..text.len()))
            .help("write SELECT ...; where its rows go is said under `sinks:`")),
    }
}

fn session(relations: &[Relation]) -> SessionState {
    let mut schemas: BTreeMap<&str, Arc<MemorySchemaProvider>> = BTreeMap::new();
    for relation in relations {
        let schema = schemas.entry(relation.source.as_deref().unwrap_or(VIEWS)).or_default();
        let table = Arc::new(EmptyTable::new(Arc::new(relation.schema.arrow())));
        schema.register_table(relation.name.clone(), table).expect("a name is registered once");
    }
    schemas.entry(VIEWS).or_default();
    let catalog = MemoryCatalogProvider::new();
    for (name, schema) in schemas {
        catalog.register_schema(name, schema).expect("a catalog in memory takes schemas");
    }
    let mut config = state().config().clone().with_create_default_catalog_and_schema(false).with_default_catalog_and_schema(CATALOG, VIEWS);
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    // A scalar subquery becomes a join, which can be maintained.
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let catalogs = MemoryCatalogProviderList::new();
    datafusion::catalog::CatalogProviderList::register_catalog(&catalogs, CATALOG.to_string(), Arc::new(catalog));
    with_own_functions(
        builder()
            .with_config(config)
            .with_default_features()
            .with_catalog_list(Arc::new(catalogs))
            .with_optimizer_rules(equal_columns::rules())
            .build(),
    )
}

const CATALOG: &str = "tidemill";
/// Where bare names are looked up.
const VIEWS: &str = "public";

fn refuse_what_changes_by_itself(text: &str, query: &SqlStatement) -> Result<(), SqlError> {
    struct Calls<'a>(&'a str);
    impl Visitor for Calls<'_> {
        type Break = SqlError;
        fn pre_visit_expr(&mut self, expr: &datafusion::sql::sqlparser::ast::Expr) -> ControlFlow<SqlError> {
            match expr {
                datafusion::sql::sqlparser::ast::Expr::Function(function) => changes_by_itself(self.0, function),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match query.visit(&mut Calls(text)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn changes_by_itself(text: &str, function: &Function) -> ControlFlow<SqlError> {
    use datafusion::sql::sqlparser::ast::Spanned;
    let name = function.name.to_string().to_lowercase();
    let error = |message: String| SqlError::new(message).at(bytes_of(text, function.name.span()));
    if let Some(help) = misleading(&name) {
        return ControlFlow::Break(error(format!("there is no function `{name}`")).help(help));
    }
    let known = |name: &str| {
        name == "unnest"
            || state().scalar_functions().contains_key(name)
            || state().aggregate_functions().contains_key(name)
            || state().window_functions().contains_key(name)
    };
    let Some(found) = state().scalar_functions().get(&name) else {
        if known(&name) {
            return ControlFlow::Continue(());
        }
        let names = state().scalar_functions().keys().chain(state().aggregate_functions().keys()).chain(state().window_functions().keys());
        let names = names.map(String::as_str).chain(stream_functions::ALL.iter().map(|function| function.name));
        let error = error(format!("there is no function `{name}`"));
        return ControlFlow::Break(match nearest(&name, names) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        });
    };
    match found.signature().volatility {
        Volatility::Immutable => ControlFlow::Continue(()),
        Volatility::Stable => ControlFlow::Break(
            error(format!("`{name}` depends on when it is called"))
                .help("a view's rows depend on their sources only: compare with a fixed time, or filter when reading the view"),
        ),
        Volatility::Volatile => ControlFlow::Break(
            error(format!("`{name}` gives another value at every call"))
                .help("a view's rows depend on their sources only: use a column of the row"),
        ),
    }
}

//! Whole queries: from text to DataFusion's optimized logical plan.
//!
//! In: the text and the relations it may name. Out: the plan, with every name resolved and every type known, or a [`SqlError`] that points
//! into the text. Calls that depend on more than the rows (`now()`, `random()`) are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider};
use datafusion::common::TableReference;
use datafusion::config::Dialect;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use super::SqlError;
use super::blame::culprit;
use super::checked::check_constants;
use super::constant_arguments::check_arguments;
use super::corrections::{SyntaxTree, correct_plan, correct_syntax, equal_columns};
use super::error::planned_wrong;
use super::names::syntax_error;
use super::plan_expressions::look_at_expressions;
use super::relation::Relation;
use super::session::{builder, coerce, state, with_own_functions};

/// The relations that a query names, each once, in the order of the text: source (`None` for a name without one) and name.
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

/// The source and the name that a reference stands for.
pub fn name_of(reference: &TableReference) -> (Option<String>, String) {
    (reference.schema().map(str::to_string), reference.table().to_string())
}

/// Plans a query over these relations and returns `lower` of the optimized plan. An error without a place gets that of the smallest wrong
/// part of the text.
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

/// Plans are as deep as their queries, and the optimizer recurses into them.
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

/// The unoptimized plan, with every name resolved.
fn read_query(text: &str, statement: SqlStatement, relations: &[Relation], session: &SessionState) -> Result<LogicalPlan, SqlError> {
    let mut tree = SyntaxTree { text, statement, relations, session };
    correct_syntax(&mut tree)?;
    tree.plan(tree.statement.clone()).map_err(|error| planned_wrong(text, &error))
}

fn optimized(text: &str, plan: LogicalPlan, session: &SessionState) -> Result<LogicalPlan, SqlError> {
    look_at_expressions(&plan, |expr, columns| {
        // Constants must not overflow.
        let coerced = coerce(expr.clone(), columns);
        coerced.map_or(Ok(()), |coerced| check_constants(&coerced, columns)).map_err(|error| SqlError::new(error.reason))?;
        check_arguments(expr, columns)
    })?;
    let plan = correct_plan(text, plan, session)?;
    session.optimize(&plan).map_err(|error| planned_wrong(text, &error))
}

/// The statement, if the text is exactly one query.
pub(super) fn parse(text: &str) -> Result<Box<SqlStatement>, SqlError> {
    let statement = state().sql_to_statement(text, &Dialect::Generic).map_err(|error| syntax_error(text, &error))?;
    match statement {
        Statement::Statement(query) if matches!(*query, SqlStatement::Query(_)) => Ok(query),
        _ => Err(SqlError::new("a view is a query").at(Some(0..text.len())).help("write SELECT ...; declare its targets under `sinks:`")),
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
    // Makes scalar subqueries joins, which can be maintained.
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
/// The schema in which names without a source are looked up.
const VIEWS: &str = "public";

//! The batch answers of queries: what DataFusion says on the tables as they are.

use std::sync::Arc;

use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use tidemill::plan::{Body, Uniqueness, View, WrittenFrom, WrittenQuery, WrittenView};
use tidemill::value::{Layout, RowBuilder, Schema, arrow, json};

use super::engine::Prepared;
use super::queries::spelled_out;
use super::recording::{Contents, text};

/// A query whose batch answer is that of another one: where DataFusion's own is wrong, or none.
pub(crate) fn answered_by(query: &str, same: &str) -> String {
    format!("{query}{ANSWERED_BY}{same} */")
}

/// The query of a view, and the one that its batch answer is of.
pub(crate) fn answers_of(sql: &str) -> (&str, &str) {
    sql.split_once(ANSWERED_BY).map_or((sql, sql), |(query, same)| (query, same.trim_end_matches(" */")))
}

pub(super) const ANSWERED_BY: &str = " /* answered by: ";

/// The rows of a query as JSON, sorted.
pub(crate) type Rows = Vec<String>;

#[derive(Debug)]
pub(crate) struct Answer {
    /// The view's.
    pub(crate) name: String,
    /// The names of the columns that make a row unique; empty: none are known.
    pub(crate) key: Vec<String>,
    pub(crate) rows: Rows,
}

/// What each view's query gives on these tables; of documents, what their own one gives, where they have one.
pub(crate) async fn answers(prepared: &Prepared, contents: &Contents) -> Result<Vec<Option<Answer>>, String> {
    let views = &prepared.spec.views;
    if views.iter().all(|view| query_of(view).is_none()) {
        return Ok(views.iter().map(|_| None).collect());
    }
    let mut config = SessionConfig::new().with_target_partitions(1).with_default_catalog_and_schema("c", "public");
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    // Of some outer joins DataFusion believes that a column is never NULL, and stops when it sees that it may be.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Rows of a UNION are taken for ordered by what only some sides of it are ordered by.
    options.optimizer.repartition_sorts = false;
    // A filter above a join is pushed below it to the side that has a column of that name, be it the other one; and joins tell the scans
    // below window functions what they look for, and sometimes that is nothing, wrongly: rows are lost. Of a sort that leaves out columns
    // that are constant below it the last check does not see that it is enough.
    let mut rules = PhysicalOptimizer::new().rules;
    rules.retain(|rule| !rule.name().starts_with("FilterPushdown") && rule.name() != "SanityCheckPlan");
    let state = SessionStateBuilder::new().with_config(config).with_default_features().with_physical_optimizer_rules(rules);
    let context = SessionContext::new_with_state(state.build());
    let schema = Arc::new(MemorySchemaProvider::new());
    context.catalog("c").unwrap().register_schema(&prepared.name, schema.clone()).unwrap();
    for (table, rows) in prepared.tables.iter().zip(contents) {
        let layout = Layout::new(&table.schema);
        let mut packed = Vec::new();
        for (text, count) in rows {
            let mut builder = RowBuilder::new(&layout);
            json::push_object(&mut builder, serde_json::from_str(text).as_ref().unwrap()).unwrap();
            let row = builder.finish();
            packed.extend(std::iter::repeat_n(row, *count as usize));
        }
        let batch = arrow::to_batch(&layout, packed.iter().map(|row| &**row));
        let table_of = MemTable::try_new(Arc::new(table.schema.arrow()), vec![vec![batch]]).unwrap();
        schema.register_table(table.name.clone(), Arc::new(table_of)).unwrap();
    }
    let mut out = Vec::new();
    for (written, view) in views.iter().zip(&prepared.plan.views) {
        let Some(query) = query_of(written) else {
            out.push(None);
            continue;
        };
        let sql = &spelled_out(answers_of(&query.sql.value).1);
        let failed = |error: datafusion::error::DataFusionError| format!("the batch answer fails: {error}");
        let answer = async {
            let frame = context.sql(sql).await?;
            let planned = Arc::new(frame.schema().as_arrow().clone());
            Ok((planned, frame.collect().await?))
        };
        let (planned, batches) = on_a_large_stack(answer).map_err(failed)?;
        let schema = batches.first().map_or(planned, |batch| batch.schema());
        let of_rows = match &view.body {
            Body::Query(_) => view.schema.clone(),
            Body::Document(_) => Schema::from_arrow(&schema)?,
        };
        let mut rows = rows_of(&of_rows, &batches);
        rows.sort();
        out.push(Some(Answer { name: view.name.clone(), key: key_of(view), rows }));
        // Views that come behind it may read it.
        let answer = MemTable::try_new(schema, vec![batches]).map_err(failed)?;
        context.register_table(written.name.value.as_str(), Arc::new(answer)).map_err(failed)?;
    }
    Ok(out)
}

fn query_of(view: &WrittenView) -> Option<&WrittenQuery> {
    match view.root.from.as_ref().map(|from| &from.value) {
        Some(WrittenFrom::Query(query)) => Some(query),
        _ => view.query.as_ref(),
    }
}

/// The names of the columns that make a row unique, as far as the planner knows.
fn key_of(view: &View) -> Vec<String> {
    match &view.body {
        Body::Query(query) if query.uniqueness == Uniqueness::None => Vec::new(),
        _ => view.key.iter().map(|&k| view.schema.columns()[k].name.clone()).collect(),
    }
}

/// DataFusion goes down into a query as deep as that is.
fn on_a_large_stack<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(64 << 20);
        worker.spawn_scoped(scope, || runtime.block_on(work)).unwrap().join().unwrap()
    })
}

/// In the order of the batches.
pub(crate) fn rows_of(schema: &Schema, batches: &[datafusion::arrow::array::RecordBatch]) -> Vec<String> {
    let layout = Layout::new(schema);
    let mut builder = RowBuilder::new(&layout);
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            schema.columns().iter().zip(batch.columns()).map(|(column, array)| arrow::canonical(array, &column.ty).unwrap()).collect();
        for i in 0..batch.num_rows() {
            columns.iter().for_each(|array| arrow::push_array_value(&mut builder, array, i).unwrap());
            rows.push(text(&layout, &builder.finish()));
        }
    }
    rows
}

//! Views of queries, run in several ways, against the batch answer of DataFusion on the tables as they are after every transaction.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use tidemill::value::{Layout, RowBuilder, Schema, arrow, json};

use super::case::{CHANGES, scratch, transactions};
use super::engine::{Observed, Prepared, Way, prepare};
use super::generate::Generated;
use super::queries::spelled_out;
use super::random::Random;
use super::recording::{Contents, record, text};

/// A query whose batch answer is that of another one: where DataFusion's own is wrong, or none.
pub(crate) fn answered_by(query: &str, same: &str) -> String {
    format!("{query}{ANSWERED_BY}{same} */")
}

const ANSWERED_BY: &str = " /* answered by: ";

/// The rows of a view, sorted.
type Rows = Vec<String>;

/// Runs it with one worker, and with several, scattered and stopped twice.
pub(crate) async fn check(generated: &Generated, random: &mut Random) -> Result<(), String> {
    let folder = scratch();
    for (name, text) in &generated.files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join(CHANGES), &generated.changes).unwrap();
    let prepared = prepare(&folder.path().join("spec.yaml")).await?;
    let recording = record(prepared.source(), prepared.tables.clone()).await;
    let mut right = Vec::new();
    for (_, contents) in &recording.states {
        right.push(answers(&prepared, contents).await?);
    }
    let pieces = transactions(&generated.changes);
    let one = Way { workers: 1, scatter: None };
    let several = Way { workers: 2 + random.below(3), scatter: Some(random.next()) };
    let stop = random.below(pieces.len());
    let stops = [stop, stop + random.below(pieces.len() - stop), pieces.len()];
    for (stops, ways) in [(&stops[2..], [one, one]), (&stops[..], [several, one])] {
        let state = scratch();
        for (i, stop) in stops.iter().enumerate() {
            fs::write(folder.path().join(CHANGES), pieces[..*stop].concat()).unwrap();
            let observed = prepared.run(&state.path().join("state"), ways[i % 2]).await;
            let until = recording.state_after[*stop];
            for (view, observed) in observed.iter().enumerate() {
                let states: Vec<&Rows> = right[..=until].iter().map(|views| &views[view]).collect();
                let name = &prepared.plan.views[view].name;
                compare(&states, observed).map_err(|wrong| format!("`{name}`, {:?}, up to {stop} of {stops:?}: {wrong}", ways[i % 2]))?;
            }
        }
    }
    Ok(())
}

fn compare(states: &[&Rows], observed: &Observed) -> Result<(), String> {
    let mut now: BTreeMap<String, i64> = BTreeMap::new();
    let mut done = 0;
    for step in &observed.steps {
        for change in &step.changes {
            if change.before == change.after {
                return Err(format!("tick {}: {} was written unchanged", step.tick, change.key));
            }
            for (row, diff) in [(&change.before, -1), (&change.after, 1)] {
                if let Some(row) = row {
                    *now.entry(row.clone()).or_default() += diff;
                }
            }
        }
        done += usize::from(step.position.is_some());
        let right = states.get(done).ok_or_else(|| format!("tick {}: more ticks than transactions", step.tick))?;
        let rows: Rows = now.iter().flat_map(|(row, count)| vec![row.clone(); (*count).max(0) as usize]).collect();
        if now.values().any(|count| *count < 0) || rows != **right {
            return Err(format!("tick {}, after transaction {done}:\n is    {rows:?}\n right {right:?}", step.tick));
        }
    }
    let mut rows = observed.rows.clone();
    rows.sort();
    match done + 1 == states.len() && rows == **states.last().expect("there is the snapshot") && observed.errors == 0 {
        true => Ok(()),
        false => Err(format!("{done} transactions, {} errors, rows {rows:?}", observed.errors)),
    }
}

/// What each view's query gives on these tables.
async fn answers(prepared: &Prepared, contents: &Contents) -> Result<Vec<Rows>, String> {
    let mut config = SessionConfig::new().with_target_partitions(1).with_default_catalog_and_schema("c", "public");
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    // Of some outer joins DataFusion believes that a column is never NULL, and stops when it sees that it may be.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Joins tell the scans below window functions what they look for, and sometimes that is nothing, wrongly: all rows are lost.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    let context = SessionContext::new_with_config(config);
    let schema = Arc::new(MemorySchemaProvider::new());
    context.catalog("c").unwrap().register_schema("s", schema.clone()).unwrap();
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
    for (written, view) in prepared.spec.views.iter().zip(&prepared.plan.views) {
        let sql = &written.query.as_ref().expect("a view of a query").sql.value;
        let sql = &spelled_out(sql.split_once(ANSWERED_BY).map_or(sql.as_str(), |(_, same)| same.trim_end_matches(" */")));
        let failed = |error: datafusion::error::DataFusionError| format!("the batch answer fails: {error}");
        let frame = context.sql(sql).await.map_err(failed)?;
        let planned = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(failed)?;
        let mut rows = rows_of(&view.schema, &batches);
        rows.sort();
        out.push(rows);
        // Views that come behind it may read it.
        let schema = batches.first().map_or(planned, |batch| batch.schema());
        let answer = MemTable::try_new(schema, vec![batches]).map_err(failed)?;
        context.register_table(written.name.value.as_str(), Arc::new(answer)).map_err(failed)?;
    }
    Ok(out)
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

//! One change of one large group, maintained by Tidemill beside full recomputation by DataFusion over the same rows in memory.
//!
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo bench --profile dev --bench aggregates [-- --rows N --updates N]`. A table of one group; then rows get
//! another value, each in a transaction of its own. One worker, driven as the engine drives it, without its store.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use tidemill::dataflow::{Outcome, Rendered, render};
use tidemill::plan::{Plan, PlanTable};
use tidemill::spec::{Draft, Kinds};
use tidemill::value::{Column, Datum, Layout, Row, RowBuilder, Schema, Tick, Type, arrow};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What Tidemill maintains, and DataFusion computes.
const CALLS: [(&str, &str); 6] = [
    ("sum(x)", "sum(x)"),
    ("stddev(x)", "stddev(x)"),
    ("corr(x, v)", "corr(x, v)"),
    ("median(x)", "median(x)"),
    ("topk(v, 10)", "array_slice(array_agg(v ORDER BY v DESC), 1, 10)"),
    ("count(DISTINCT v)", "count(DISTINCT v)"),
];

/// Aggregates of one large group
#[derive(Debug, Clone, Parser)]
struct Cli {
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    rows: u64,
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    updates: u64,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let cli = Cli::parse();
    let updated = format!("{} rows in one group, then {} of them get another value", cli.rows, cli.updates);
    println!("{updated}\n| call | result s | one change p50 / p99 µs | recomputed ms |\n|---|---|---|---|");
    for (ours, theirs) in CALLS {
        let (result, mut changes) = maintained(ours, &cli);
        changes.sort();
        let us = |at: usize| changes[at].as_secs_f64() * 1e6;
        let recomputed = recomputed(theirs, &cli).as_secs_f64() * 1e3;
        let (p50, p99) = (us(changes.len() / 2), us(changes.len() * 99 / 100));
        println!("| `{ours}` | {:.2} | {p50:.0} / {p99:.0} | {recomputed:.0} |", result.as_secs_f64());
    }
}

fn schema() -> Schema {
    Schema::new(vec![Column::new("v", Type::Int64, false), Column::new("x", Type::Float64, false)])
}

/// A row by its number, and with another value after its update.
fn row(builder: &mut RowBuilder, number: u64, updated: bool) -> Row {
    let v = (number * 2 + u64::from(updated)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    builder.push(Datum::Int(v as i64));
    builder.push(Datum::Float64(v as f64 / 1000.0));
    builder.finish()
}

fn plan(call: &str) -> Plan {
    let spec = format!(
        "sources:\n  s: {{kind: file, options: {{tables: {{t: {{jsonl: t.jsonl, key: [], columns: {{v: int64, x: float64}}}}}}}}}}\n\
         views:\n  q: {{sql: \"SELECT {call} AS a FROM s.t\"}}\n"
    );
    let kinds = Kinds { sources: tidemill::sources::KINDS, sinks: tidemill::sinks::KINDS };
    let draft = Draft::parse(Path::new("aggregates.yaml"), &spec, kinds, &|_| None).unwrap_or_else(|wrong| panic!("{wrong}"));
    let spec = draft.finish().unwrap_or_else(|wrong| panic!("{wrong}"));
    let table = PlanTable { source: "s".into(), name: "t".into(), schema: schema(), key: Vec::new(), stream: false, arrival: false };
    spec.lower(&[table]).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// How long the first result takes, and each change's.
fn maintained(call: &str, cli: &Cli) -> (Duration, Vec<Duration>) {
    let (plan, cli) = (plan(call), cli.clone());
    timely::execute_directly(move |worker| {
        let begin = Instant::now();
        let Rendered { mut inputs, outputs } = render(worker, &plan, &plan.arrangements(), Tick(1), &[true]);
        let mut builder = RowBuilder::new(&Layout::new(&schema()));
        let mut tick = Tick(1);
        inputs.advance_to(tick);
        for number in 0..cli.rows {
            inputs.send(0, [(row(&mut builder, number, false), 1)]);
            if number % 10_000 == 0 {
                inputs.flush();
                worker.step();
            }
        }
        let mut finish = |inputs: &mut tidemill::dataflow::Inputs, worker: &mut timely::worker::Worker| {
            let done = tick;
            tick = tick.next();
            inputs.advance_to(tick);
            while !outputs.is_complete(done) {
                worker.step();
            }
            outputs.take_rows(0).into_iter().filter(|change| matches!(change.outcome, Outcome::Row(_))).count()
        };
        assert_eq!(finish(&mut inputs, worker), 1, "there is one group");
        let result = begin.elapsed();
        let change = |update: u64| {
            let number = update * (cli.rows / cli.updates.max(1));
            let start = Instant::now();
            inputs.send(0, [(row(&mut builder, number, false), -1), (row(&mut builder, number, true), 1)]);
            finish(&mut inputs, worker);
            start.elapsed()
        };
        (result, (0..cli.updates).map(change).collect())
    })
}

/// How long DataFusion takes over all rows: the median of 5, with one thread.
fn recomputed(call: &str, cli: &Cli) -> Duration {
    let layout = Layout::new(&schema());
    let mut builder = RowBuilder::new(&layout);
    let batch = |from: u64| -> RecordBatch {
        let rows: Vec<Row> = (from..(from + 8192).min(cli.rows)).map(|number| row(&mut builder, number, true)).collect();
        arrow::to_batch(&layout, rows.iter().map(|row| &**row))
    };
    let batches: Vec<RecordBatch> = (0..cli.rows).step_by(8192).map(batch).collect();
    let table = MemTable::try_new(Arc::new(schema().arrow()), vec![batches]).expect("the batches have the schema");
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.register_table("t", Arc::new(table)).expect("a new name");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let once = |_| {
        let start = Instant::now();
        let query = format!("SELECT {call} AS a FROM t");
        let answer = runtime.block_on(async { context.sql(&query).await?.collect().await }).expect("the query is right");
        assert_eq!(answer.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        start.elapsed()
    };
    let mut took: Vec<Duration> = (0..5).map(once).collect();
    took.sort();
    took[2]
}

//! Tidemill's view of the graph: plan and dataflow, driven as the engine drives them, without its store.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tidemill::dataflow::{Outcome, Rendered, render};
use tidemill::plan::{Plan, PlanTable};
use tidemill::spec::{Draft, Kinds};
use tidemill::value::{Column, Datum, Layout, Row, RowBuilder, Schema, Tick, Type};

use crate::graph::Graph;
use crate::measured::{Latency, Measured, add_up};
use crate::process::{Begin, peak_bytes};

const SPEC: &str = "\
sources:
  g: {kind: file, options: {tables: {edges: {jsonl: edges.jsonl, key: [], columns: {a: uint32, b: uint32}}}}}
views:
  reached:
    sql: |
      WITH RECURSIVE reached AS (
        SELECT b AS node FROM g.edges WHERE a = 0
        UNION
        SELECT e.b FROM reached r JOIN g.edges e ON e.a = r.node
      )
      SELECT node FROM reached
";

fn schema() -> Schema {
    Schema::new(["a", "b"].map(|name| Column::new(name, Type::UInt32, false)).to_vec())
}

fn plan() -> Plan {
    let kinds = Kinds { sources: tidemill::sources::KINDS, sinks: tidemill::sinks::KINDS };
    let draft = Draft::parse(Path::new("reached.yaml"), SPEC, kinds, &|_| None).unwrap_or_else(|wrong| panic!("{wrong}"));
    let spec = draft.finish().unwrap_or_else(|wrong| panic!("{wrong}"));
    let edges = PlanTable { source: "g".into(), name: "edges".into(), schema: schema(), key: Vec::new(), stream: false, arrival: false };
    spec.lower(&[edges]).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn row(builder: &mut RowBuilder, (a, b): (u32, u32)) -> Row {
    builder.push(Datum::UInt(a.into()));
    builder.push(Datum::UInt(b.into()));
    builder.finish()
}

pub(crate) fn run(graph: Graph, workers: usize) -> Measured {
    let (graph, plan) = (Arc::new(graph), Arc::new(plan()));
    let parts = timely::execute(timely::Config::process(workers), move |worker| {
        let (mine, peers) = (worker.index(), worker.peers());
        let begin = Begin::now();
        let Rendered { mut inputs, outputs } = render(worker, &plan, &plan.arrangements(), Tick(1), &[true]);
        let mut builder = RowBuilder::new(&Layout::new(&schema()));
        let mut tick = Tick(1);
        inputs.advance_to(tick);
        let mut net = (0i64, 0i64);
        let count = |net: &mut (i64, i64)| {
            for change in outputs.take_rows(0) {
                net.0 += if matches!(change.outcome, Outcome::Row(_)) { 1 } else { -1 };
                net.1 += 1;
            }
        };
        for (n, edge) in graph.edges.iter().skip(mine).step_by(peers).enumerate() {
            inputs.send(0, [(row(&mut builder, *edge), 1)]);
            if n % 10_000 == 0 {
                inputs.flush();
                worker.step();
            }
        }
        let mut finish = |inputs: &mut tidemill::dataflow::Inputs, worker: &mut timely::worker::Worker, net: &mut (i64, i64)| {
            let done = tick;
            tick = tick.next();
            inputs.advance_to(tick);
            while !outputs.is_complete(done) {
                worker.step();
                count(net);
            }
            count(net);
        };
        finish(&mut inputs, worker, &mut net);
        let mut measured = Measured { seconds: begin.seconds(), held_bytes: begin.grown(), reached: net.0, ..Measured::default() };
        net = (0, 0);
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for edge in &graph.moved {
            for (diff, took) in [(-1, &mut gone), (1, &mut back)] {
                let start = Instant::now();
                if mine == 0 {
                    inputs.send(0, [(row(&mut builder, *edge), diff)]);
                }
                finish(&mut inputs, worker, &mut net);
                took.push(start.elapsed());
            }
        }
        (measured.gone, measured.back) = (Latency::of(gone), Latency::of(back));
        measured.changed = net.1;
        (measured.held_after_bytes, measured.peak_bytes) = (begin.grown(), peak_bytes());
        measured
    });
    add_up(parts.expect("the workers start").join())
}

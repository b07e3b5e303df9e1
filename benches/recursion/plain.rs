//! Reachability as a differential program written by hand.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use differential_dataflow::input::Input;
use differential_dataflow::operators::Iterate;
use timely::dataflow::operators::probe::Handle as Probe;

use crate::graph::Graph;
use crate::measured::{Latency, Measured};
use crate::process::{Begin, peak_bytes};

pub(crate) fn run(graph: Graph, workers: usize) -> Measured {
    let graph = Arc::new(graph);
    let parts = timely::execute(timely::Config::process(workers), move |worker| {
        let (mine, peers) = (worker.index(), worker.peers());
        let begin = Begin::now();
        let net = Rc::new(Cell::new((0i64, 0i64)));
        let told = net.clone();
        let probe = Probe::new();
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, edges) = scope.new_collection::<(u32, u32), isize>();
            let roots = edges.clone().filter(|(from, _)| *from == 0).map(|(_, to)| to);
            let arranged = edges.arrange_by_key();
            let reached = roots.clone().iterate(|scope, reached| {
                let (edges, roots) = (arranged.enter(scope), roots.enter(scope));
                reached.map(|node| (node, ())).arrange_by_key().join_core(edges, |_, (), to| Some(*to)).concat(roots).distinct()
            });
            // Without this the rounds of a change would be told one by one.
            reached
                .consolidate()
                .inspect(move |(_, _, diff)| {
                    let (net, all) = told.get();
                    told.set((net + *diff as i64, all + (*diff as i64).abs()));
                })
                .probe_with(&probe);
            input
        });
        let finish = |input: &mut differential_dataflow::input::InputSession<u64, (u32, u32), isize>,
                      worker: &mut timely::worker::Worker| {
            input.advance_to(input.time() + 1);
            input.flush();
            worker.step_while(|| probe.less_than(input.time()));
        };
        graph.edges.iter().skip(mine).step_by(peers).for_each(|edge| input.insert(*edge));
        finish(&mut input, worker);
        let mut measured = Measured { seconds: begin.seconds(), held_bytes: begin.grown(), reached: net.get().0, ..Measured::default() };
        net.set((0, 0));
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for edge in &graph.moved {
            for (diff, took) in [(-1, &mut gone), (1, &mut back)] {
                let start = Instant::now();
                if mine == 0 {
                    input.update(*edge, diff);
                }
                finish(&mut input, worker);
                took.push(start.elapsed());
            }
        }
        (measured.gone, measured.back) = (Latency::of(gone), Latency::of(back));
        measured.changed = net.get().1;
        (measured.held_after_bytes, measured.peak_bytes) = (begin.grown(), peak_bytes());
        measured
    });
    crate::measured::add_up(parts.expect("the workers start").join())
}

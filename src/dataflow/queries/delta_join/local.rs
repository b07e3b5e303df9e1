//! A delta join at one worker: one operator goes the paths of all inputs, because every lookup finds its rows here.

use std::collections::BTreeMap;

use timely::dataflow::Scope;

use super::HeldInput;
use super::lookup::{KeyLookup, SetOut, reads};
use crate::dataflow::held::memory::{Fixed, HeapSize, Memory};
use crate::dataflow::held::updates::{Updates, push_to};
use crate::dataflow::moments::Operator;
use crate::dataflow::streams::RowStream;
use crate::dataflow::time::Moment;
use crate::plan::{DeltaJoin, DeltaStep};

/// The lookups of an input's path, each with the number of its arrangement at the operator.
type Path = Vec<(usize, KeyLookup)>;

/// The changes of one moment that set out on each input's path.
#[derive(Default)]
struct PathChanges(Vec<Vec<Updates>>);

impl PathChanges {
    fn of_input(&mut self, input: usize) -> &mut Vec<Updates> {
        if self.0.len() <= input {
            self.0.resize_with(input + 1, Vec::new);
        }
        &mut self.0[input]
    }
}

impl HeapSize for PathChanges {
    fn held_bytes(&self) -> usize {
        self.0.iter().map(HeapSize::held_bytes).sum()
    }
}

pub(super) fn delta_join<'s>(memory: &Memory, scope: Scope<'s, Moment>, plan: &DeltaJoin, held: &[Vec<HeldInput<'s>>]) -> RowStream<'s> {
    let mut operator: Operator<'_, Moment, Fixed<Vec<Path>>, PathChanges> = Operator::new("Delta join", scope);
    for (input, held) in held.iter().enumerate() {
        let mut set_out = SetOut::new(plan, input, &held[0]);
        operator.batches(held[0].0.stream.clone(), move |_, batch, slots| {
            set_out.changes(batch, |update| push_to(slots.at(&update.moment).of_input(input), update));
        });
    }
    let mut before: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    for step in plan.inputs.iter().flat_map(|input| &input.path) {
        *before.entry((step.input, step.held)).or_default() |= step.before;
    }
    for (&(input, side), &before) in &before {
        let arranged = &held[input][side].0;
        match side {
            // The operator waits for it already, because of its changes.
            0 => operator.reads(&arranged.trace, reads(before)),
            _ => operator.arrangement(arranged, reads(before)),
        }
    }
    let number =
        |step: &DeltaStep| before.keys().position(|side| *side == (step.input, step.held)).expect("all sides that are read are in it");
    let lookup = |step: &DeltaStep| (number(step), KeyLookup::new(plan, step, &held[step.input][step.held]));
    let paths: Vec<Path> = plan.inputs.iter().map(|input| input.path.iter().map(lookup).collect()).collect();
    let (mut rows_out, rows) = operator.output::<Updates>();
    operator.build(memory, Fixed(paths), move |Fixed(paths), now, PathChanges(changes)| {
        let moment = now.moment();
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        for (path, mut blocks) in paths.iter_mut().zip(changes).filter(|(_, blocks)| !blocks.is_empty()) {
            let Some(((last, to_result), lookups)) = path.split_last_mut() else { continue };
            for (held, lookup) in lookups {
                let mut paired = Vec::new();
                lookup.pair(&mut now.read(*held), moment, &blocks, |update| push_to(&mut paired, update));
                blocks = paired;
            }
            to_result.pair(&mut now.read(*last), moment, &blocks, |update| rows.give(update));
        }
    });
    rows
}

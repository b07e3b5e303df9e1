//! A delta join at several workers: an operator for the changes of each input, and one for each lookup, to which rows are exchanged by its
//! key.

use timely::dataflow::Scope;
use timely::dataflow::operators::Concatenate;

use super::HeldInput;
use super::lookup::{KeyLookup, SetOut, reads};
use crate::dataflow::exchange::by_key;
use crate::dataflow::held::memory::{Fixed, Memory};
use crate::dataflow::held::updates::{Updates, push_to};
use crate::dataflow::moments::{Operator, collect};
use crate::dataflow::streams::RowStream;
use crate::dataflow::time::Moment;
use crate::plan::DeltaJoin;

pub(super) fn delta_join<'s>(memory: &Memory, scope: Scope<'s, Moment>, plan: &DeltaJoin, held: &[Vec<HeldInput<'s>>]) -> RowStream<'s> {
    let inputs = plan.inputs.iter().enumerate().map(|(number, input)| {
        let changes = changes(memory, &held[number][0], SetOut::new(plan, number, &held[number][0]));
        input.path.iter().fold(changes, |rows, step| {
            let held = &held[step.input][step.held];
            look_up(memory, rows, held, KeyLookup::new(plan, step, held), step.before)
        })
    });
    scope.concatenate(inputs.collect::<Vec<_>>())
}

fn changes<'s>(memory: &Memory, (held, _): &HeldInput<'s>, set_out: SetOut) -> RowStream<'s> {
    let mut operator: Operator<'_, Moment, Fixed<SetOut>, Vec<Updates>> = Operator::new("Delta", held.stream.scope());
    operator.batches(held.stream.clone(), move |Fixed(set_out), batch, slots| {
        set_out.changes(batch, |update| push_to(slots.at(&update.moment), update));
    });
    let (mut rows_out, rows) = operator.output::<Updates>();
    operator.build(memory, Fixed(set_out), move |_, now, blocks| {
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        blocks.into_iter().for_each(|mut block| rows.give_container(&mut block));
    });
    rows
}

fn look_up<'s>(memory: &Memory, rows: RowStream<'s>, (held, _): &HeldInput<'s>, lookup: KeyLookup, before: bool) -> RowStream<'s> {
    let mut operator = Operator::new("Look up", rows.scope());
    operator.requests(rows, by_key(), collect);
    operator.arrangement(held, reads(before));
    let (mut rows_out, paired) = operator.output::<Updates>();
    operator.build(memory, Fixed(lookup), move |Fixed(lookup), now, blocks| {
        let moment = now.moment();
        let mut held = now.read(0);
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        lookup.pair(&mut held, moment, &blocks, |update| rows.give(update));
    });
    paired
}

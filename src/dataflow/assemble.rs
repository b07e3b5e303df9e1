//! Where the pieces of a portion's documents meet: at the worker that owns the root.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::document::Assembler;
use super::fetch::Piece;
use super::touch::Root;
use super::{Clock, DocumentChange, Moment};

#[derive(Default)]
struct Portion {
    roots: Vec<Root>,
    pieces: Vec<Piece>,
}

/// Puts each portion's documents into `done` once all its pieces are here. The returned stream carries nothing but the frontier.
pub(super) fn assemble<'s>(
    name: &str,
    roots: Stream<'s, Moment, Vec<Root>>,
    pieces: Stream<'s, Moment, Vec<Piece>>,
    mut assembler: Assembler,
    clock: Clock,
    done: Rc<RefCell<Vec<DocumentChange>>>,
) -> Stream<'s, Moment, Vec<()>> {
    let mut builder = OperatorBuilder::new(name.to_string(), roots.scope());
    let mut roots_in = builder.new_input(roots, Pipeline);
    let mut pieces_in = builder.new_input(pieces, Exchange::new(|piece: &Piece| piece.owner as u64));
    let (_, out) = builder.new_output::<Vec<()>>();
    let mut waiting: BTreeMap<Moment, (Capability<Moment>, Portion)> = BTreeMap::new();
    builder.build(move |_| {
        move |frontiers| {
            roots_in.for_each(|capability, data| {
                let slot = waiting.entry(*capability.time()).or_insert_with(|| (capability.retain(0), Portion::default()));
                slot.1.roots.append(data);
            });
            pieces_in.for_each(|capability, data| {
                let slot = waiting.entry(*capability.time()).or_insert_with(|| (capability.retain(0), Portion::default()));
                slot.1.pieces.append(data);
            });
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers[0].less_equal(&moment) || frontiers[1].less_equal(&moment) {
                    break;
                }
                let Some((_, (_capability, portion))) = waiting.pop_first() else { break };
                let tick = clock.tick_of(moment);
                let mut done = done.borrow_mut();
                assembler.assemble(portion.roots, portion.pieces, |key, outcome| done.push(DocumentChange { tick, key, outcome }));
            }
        }
    });
    out
}

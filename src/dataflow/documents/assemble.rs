//! Assembles the documents of a portion at the worker that owns their roots.
//!
//! For every moment t: the documents output at t are those of the roots of t, built from all pieces of t.

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};

use super::document::DocumentAssembler;
use super::fetch::Piece;
use super::touch::Root;
use crate::dataflow::held::memory::{Fixed, HeapSize, Memory};
use crate::dataflow::moments::Operator;
use crate::dataflow::output::ViewOutput;
use crate::dataflow::time::Moment;

/// What has arrived for a portion.
#[derive(Default)]
struct RootPortion {
    roots: Vec<Root>,
    pieces: Vec<Piece>,
}

impl HeapSize for RootPortion {
    fn held_bytes(&self) -> usize {
        self.roots.held_bytes() + self.pieces.held_bytes()
    }
}

/// Outputs each portion's documents once all its pieces have arrived. The returned stream carries only the frontier.
pub(crate) fn assemble<'s>(
    memory: &Memory,
    name: &str,
    roots: Stream<'s, Moment, Vec<Root>>,
    pieces: Stream<'s, Moment, Vec<Piece>>,
    assembler: DocumentAssembler,
    output: ViewOutput,
) -> Stream<'s, Moment, Vec<()>> {
    let mut operator: Operator<'_, Moment, _, RootPortion> = Operator::new(name, roots.scope());
    operator.input(roots, Pipeline, |_, _, portion, roots| portion.roots.append(roots));
    let by_owner = Exchange::new(|piece: &Piece| piece.owner as u64);
    operator.input(pieces, by_owner, |_, _, portion, pieces| portion.pieces.append(pieces));
    let (_, done) = operator.output::<Vec<()>>();
    operator.build(memory, Fixed(assembler), move |Fixed(assembler), now, portion| {
        let mut output = output.at(now.moment());
        assembler.assemble(portion.roots, portion.pieces, |key, outcome| output.give(key, outcome));
    });
    done
}

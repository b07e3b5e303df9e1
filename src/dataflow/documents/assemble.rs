//! Where the pieces of a portion's documents meet: at the worker that owns the root.
//!
//! For every moment t: the documents that come out at t are those of the roots of t, built of all pieces of t.

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};

use super::document::Assembler;
use super::fetch::Piece;
use super::touch::Root;
use crate::dataflow::held::memory::{Fixed, Holds, Memory};
use crate::dataflow::moments::Operator;
use crate::dataflow::output::ViewOutput;
use crate::dataflow::time::Moment;

#[derive(Default)]
struct Portion {
    roots: Vec<Root>,
    pieces: Vec<Piece>,
}

impl Holds for Portion {
    fn held_bytes(&self) -> usize {
        self.roots.held_bytes() + self.pieces.held_bytes()
    }
}

/// Gives each portion's documents once all its pieces are here. The returned stream carries nothing but the frontier.
pub(crate) fn assemble<'s>(
    memory: &Memory,
    name: &str,
    roots: Stream<'s, Moment, Vec<Root>>,
    pieces: Stream<'s, Moment, Vec<Piece>>,
    assembler: Assembler,
    output: ViewOutput,
) -> Stream<'s, Moment, Vec<()>> {
    let mut operator: Operator<'_, Moment, _, Portion> = Operator::new(name, roots.scope());
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

//! One row for each element of lists.
//!
//! For every moment t: the sum of the output up to t = { the elements of r : r in the sum of the input up to t }. A row yields as many rows
//! as its longest list has elements. Shorter lists are padded with NULL.

use timely::dataflow::channels::pact::Pipeline;

use crate::dataflow::held::memory::{Fixed, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, collect};
use crate::dataflow::streams::RowStream;
use crate::plan::{Unnest as Plan, UnnestColumn, WithoutElements};
use crate::value::{Datum, Layout, RowBuilder, list_items};

pub(crate) fn unnest<'s>(memory: &Memory, name: &str, rows: RowStream<'s>, plan: &Plan) -> RowStream<'s> {
    let mut operator = Operator::new(name, rows.scope());
    operator.blocks(rows, Pipeline, collect);
    let (mut rows_out, elements) = operator.output::<Updates>();
    operator.build(memory, Fixed(UnnestShape::new(plan)), move |Fixed(shape), now, blocks| {
        let moment = now.moment();
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        for update in blocks.iter().flat_map(Updates::iter) {
            shape.pass(update.row, |row| rows.give(Update { key: &[], row, moment, diff: update.diff }));
        }
    });
    elements
}

struct UnnestShape {
    from: Layout,
    columns: Vec<UnnestColumn>,
    without: WithoutElements,
    builder: RowBuilder,
    built: Vec<u8>,
}

impl UnnestShape {
    fn new(plan: &Plan) -> UnnestShape {
        UnnestShape {
            from: Layout::new(plan.of.schema()),
            columns: plan.columns.clone(),
            without: plan.without,
            builder: RowBuilder::new(&Layout::new(&plan.schema)),
            built: Vec::new(),
        }
    }

    fn pass(&mut self, row: &[u8], mut out: impl FnMut(&[u8])) {
        for n in 0..self.count(row) {
            for column in &self.columns {
                match *column {
                    UnnestColumn::Column(column) => self.builder.push(self.from.get(row, column)),
                    UnnestColumn::Element(column) => {
                        let items = self.from.nested(column).expect("a list has a layout of its items");
                        let item = match self.from.get(row, column) {
                            Datum::List(list) => list_items(list).nth(n),
                            _ => None,
                        };
                        self.builder.push(item.map_or(Datum::Null, |item| items.get(item, 0)));
                    }
                }
            }
            self.built.clear();
            self.builder.finish_into(&mut self.built);
            out(&self.built);
        }
    }

    /// How many rows this row yields.
    fn count(&self, row: &[u8]) -> usize {
        let length = |column: usize| match (self.from.get(row, column), self.without) {
            (Datum::List(list), WithoutElements::Row) => list_items(list).len().max(1),
            (Datum::List(list), _) => list_items(list).len(),
            (_, WithoutElements::NoRow) => 0,
            (_, WithoutElements::RowOfNull | WithoutElements::Row) => 1,
        };
        let lists = self.columns.iter().filter_map(|column| match column {
            UnnestColumn::Element(list) => Some(length(*list)),
            UnnestColumn::Column(_) => None,
        });
        lists.max().unwrap_or(0)
    }
}

//! Rows for the elements of lists.
//!
//! In: rows. Out, for each of them at its moment: as many rows as its longest list has elements, where shorter lists give NULL.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Moment;
use super::updates::{Update, Updates};
use crate::plan::{Unnest as Plan, UnnestColumn, WithoutElements};
use crate::value::{Datum, Layout, RowBuilder, list_items};

pub(super) fn unnest<'s>(name: &str, rows: Stream<'s, Moment, Updates>, plan: &Plan) -> Stream<'s, Moment, Updates> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let mut rows_in = builder.new_input(rows, Pipeline);
    let (rows_out, elements) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let mut shape = Shape::new(plan);
    builder.build(move |_| {
        move |_| {
            let mut handle = rows_out.activate();
            rows_in.for_each(|capability, rows: &mut Updates| {
                let moment = *capability.time();
                let mut out = handle.session(&capability);
                for update in rows.iter() {
                    shape.pass(update.row, |row| out.give(Update { key: &[], row, moment, diff: update.diff }));
                }
            });
        }
    });
    elements
}

struct Shape {
    from: Layout,
    columns: Vec<UnnestColumn>,
    without: WithoutElements,
    builder: RowBuilder,
    built: Vec<u8>,
}

impl Shape {
    fn new(plan: &Plan) -> Shape {
        Shape {
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

    /// How many rows the row becomes.
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

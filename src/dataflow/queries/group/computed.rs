//! Any function of DataFusion: keeps all values that it reads, and recomputes the result from all of them at every change.

use std::cell::RefCell;

use super::aggregate::Aggregate;
use super::values::Values;
use crate::plan::AggregateFunction;
use crate::value::{Diff, Layout, RowBuilder, arrow};

pub(super) struct Computed {
    function: AggregateFunction,
    /// The columns that the function reads, as places in the rows.
    columns: Vec<usize>,
    /// Layout of these columns.
    layout: Layout,
    builder: RefCell<RowBuilder>,
}

impl Computed {
    pub(super) fn new(function: &AggregateFunction, place: &dyn Fn(usize) -> usize) -> Computed {
        let layout = Layout::new(&function.input().project(function.columns()));
        let builder = RefCell::new(RowBuilder::new(&layout));
        Computed { function: function.clone(), columns: function.columns().iter().map(|&column| place(column)).collect(), layout, builder }
    }
}

impl Aggregate for Computed {
    type State = Values;
    const GROWS: bool = true;

    fn add(&self, state: &mut Values, layout: &Layout, row: &[u8], diff: Diff) {
        let mut builder = self.builder.borrow_mut();
        self.columns.iter().for_each(|&column| builder.push(layout.get(row, column)));
        state.add(&builder.finish(), diff);
    }

    fn write(&self, state: &Values, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Values, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Values, builder: &mut RowBuilder) -> Result<(), String> {
        let all = || state.iter().flat_map(|(row, count)| std::iter::repeat_n(row, count.max(0) as usize));
        let batch = arrow::to_batch(&self.layout, all());
        let array = self.function.evaluate_columns(&batch, &vec![0; batch.num_rows()], 1).map_err(|error| error.reason)?;
        arrow::push_array_value(builder, &array, 0).map_err(|error| error.to_string())
    }
}

//! Selects rows as one part of a view reads them: filters, computes, and picks columns.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};

use crate::dataflow::changes::Failure;
use crate::dataflow::held::updates::{Update, Updates};
use crate::plan::{EvaluationError, Expression, InputColumn, TableRows};
use crate::value::{Diff, Layout, Row, RowBuilder, Schema, arrow};

/// Turns table rows into input rows, batch by batch.
pub(crate) struct Inlet {
    filter: Option<Expression>,
    /// Computed columns are expressions over the columns in `read` only.
    columns: Vec<InputColumn>,
    /// The columns that computed columns read.
    read: Vec<usize>,
    table: Layout,
    builder: RowBuilder,
    identity: bool,
}

impl Inlet {
    pub(crate) fn of_table(input: &TableRows, table: &Schema) -> Inlet {
        Inlet::new(input.filter.as_ref(), &input.columns, &input.schema, table)
    }

    /// Selects the rows of `from` for which the filter is true, with these columns.
    pub(crate) fn new(filter: Option<&Expression>, columns: &[InputColumn], to: &Schema, from: &Schema) -> Inlet {
        let as_is = |(i, c): (usize, &InputColumn)| matches!(c, InputColumn::Column(k) if *k == i);
        let alike = columns.len() == from.len() && columns.iter().enumerate().all(as_is);
        let mut read: Vec<usize> = columns.iter().flat_map(computed).flat_map(|expression| expression.columns().to_vec()).collect();
        read.sort_unstable();
        read.dedup();
        let narrow = from.project(&read);
        let place = |column: usize| read.binary_search(&column).expect("it is read");
        let over_read = |column: &InputColumn| match column {
            InputColumn::Column(column) => InputColumn::Column(*column),
            InputColumn::Computed(expression) => InputColumn::Computed(expression.moved(&narrow, place)),
        };
        Inlet {
            filter: filter.cloned(),
            columns: columns.iter().map(over_read).collect(),
            read,
            table: Layout::new(from),
            builder: RowBuilder::new(&Layout::new(to)),
            identity: filter.is_none() && alike,
        }
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.builder.layout()
    }

    /// Passes each selected row to `out` and each failing row to `failed`.
    pub(crate) fn pass(&mut self, rows: &Updates, mut out: impl FnMut(&[u8], Diff), mut failed: impl FnMut(Failure, Diff)) {
        if self.identity {
            rows.iter().for_each(|u| out(u.row, u.diff));
            return;
        }
        let mut built = Vec::new();
        let mut give = |result: Result<(), String>, built: &[u8], u: &Update| match result {
            Ok(()) => out(built, u.diff),
            Err(reason) => failed(Failure { row: Row::from_bytes(u.row), reason }, u.diff),
        };
        if !self.computes() {
            for update in rows.iter() {
                let result = self.build(update.row, 0, &[], &mut built);
                give(result, &built, &update);
            }
            return;
        }
        match self.evaluate(rows.iter().map(|u| u.row)) {
            Ok(results) => {
                for (i, update) in rows.iter().enumerate().filter(|(i, _)| results.keeps(*i)) {
                    let result = self.build(update.row, results.at(i), &results.columns, &mut built);
                    give(result, &built, &update);
                }
            }
            // At least one row failed the batch. Evaluate row by row to find it.
            Err(_) => {
                for update in rows.iter() {
                    let result = match self.evaluate(std::iter::once(update.row)) {
                        Ok(results) if results.keeps(0) => self.build(update.row, 0, &results.columns, &mut built),
                        Ok(_) => continue,
                        Err(error) => Err(error.reason),
                    };
                    give(result, &built, &update);
                }
            }
        }
    }

    fn computes(&self) -> bool {
        self.filter.is_some() || self.columns.iter().any(|column| computed(column).is_some())
    }

    fn evaluate<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<SelectedColumns, EvaluationError> {
        let Some(filter) = &self.filter else {
            return Ok(SelectedColumns { keep: None, kept_at: Vec::new(), columns: self.compute(rows)? });
        };
        // Columns are computed only for the rows that the filter keeps: `where price <> 0` guards `1 / price`.
        let rows: Vec<&[u8]> = rows.collect();
        let keep = filter.evaluate_columns(&arrow::to_batch_of(&self.table, filter.columns(), rows.iter().copied()))?;
        let keep = keep.as_boolean().clone();
        let mut kept = Vec::with_capacity(rows.len());
        let mut kept_at = Vec::with_capacity(rows.len());
        for (i, row) in rows.into_iter().enumerate() {
            kept_at.push(kept.len());
            if keep.is_valid(i) && keep.value(i) {
                kept.push(row);
            }
        }
        Ok(SelectedColumns { keep: Some(keep), kept_at, columns: self.compute(kept.into_iter())? })
    }

    fn compute<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, EvaluationError> {
        if !self.columns.iter().any(|column| computed(column).is_some()) {
            return Ok(Vec::new());
        }
        let batch = arrow::to_batch_of(&self.table, &self.read, rows);
        self.columns.iter().filter_map(computed).map(|expression| expression.evaluate(&batch)).collect()
    }

    /// Builds the input row of a table row in `out`.
    fn build(&mut self, row: &[u8], i: usize, computed: &[ArrayRef], out: &mut Vec<u8>) -> Result<(), String> {
        self.builder.clear();
        out.clear();
        let mut computed = computed.iter();
        for column in &self.columns {
            match column {
                InputColumn::Column(c) => self.builder.push(self.table.get(row, *c)),
                InputColumn::Computed(_) => {
                    let array = computed.next().expect("one result for each computed column");
                    arrow::push_array_value(&mut self.builder, array, i).map_err(|e| e.to_string())?;
                }
            }
        }
        self.builder.finish_into(out);
        Ok(())
    }
}

fn computed(column: &InputColumn) -> Option<&Expression> {
    match column {
        InputColumn::Computed(expression) => Some(expression),
        InputColumn::Column(_) => None,
    }
}

struct SelectedColumns {
    keep: Option<BooleanArray>,
    /// For each row of the batch, its index among the kept rows.
    kept_at: Vec<usize>,
    columns: Vec<ArrayRef>,
}

impl SelectedColumns {
    fn keeps(&self, i: usize) -> bool {
        self.keep.as_ref().is_none_or(|k| k.is_valid(i) && k.value(i))
    }

    fn at(&self, i: usize) -> usize {
        self.kept_at.get(i).copied().unwrap_or(i)
    }
}

//! A table's rows as one place of a view sees them: filtered, computed, columns chosen.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};

use super::{Failure, Moment};
use crate::plan::{EvaluationError, Expression, Input, InputColumn};
use crate::value::{Diff, Layout, ParseError, Row, RowBuilder, Schema, arrow};

/// Turns table rows into input rows, a batch at a time.
pub(super) struct Inlet {
    input: Input,
    table: Layout,
    builder: RowBuilder,
    identity: bool,
}

pub(super) type TableUpdate = (Row, Moment, Diff);

impl Inlet {
    pub(super) fn new(input: &Input, table: &Schema) -> Inlet {
        let as_is = |(i, c): (usize, &InputColumn)| matches!(c, InputColumn::Column(k) if *k == i);
        let identity = input.filter.is_none() && input.columns.len() == table.len() && input.columns.iter().enumerate().all(as_is);
        Inlet { input: input.clone(), table: Layout::new(table), builder: RowBuilder::new(&Layout::new(&input.schema)), identity }
    }

    pub(super) fn layout(&self) -> &Layout {
        self.builder.layout()
    }

    /// Whether rows pass as they are.
    pub(super) fn is_identity(&self) -> bool {
        self.identity
    }

    /// Gives each row that is there to `out`, each that fails to `failed`.
    pub(super) fn pass(
        &mut self,
        rows: &[TableUpdate],
        mut out: impl FnMut(Row, Moment, Diff),
        mut failed: impl FnMut(Failure, Moment, Diff),
    ) {
        if !self.computes() {
            for (row, moment, diff) in rows {
                match self.build(row, 0, &[]) {
                    Ok(row) => out(row, *moment, *diff),
                    Err(error) => failed(Failure { row: row.clone(), reason: error.to_string() }, *moment, *diff),
                }
            }
            return;
        }
        match self.evaluate(rows.iter().map(|r| &*r.0)) {
            Ok(results) => {
                for (i, (row, moment, diff)) in rows.iter().enumerate() {
                    if !results.keeps(i) {
                        continue;
                    }
                    match self.build(row, results.at(i), &results.columns) {
                        Ok(row) => out(row, *moment, *diff),
                        Err(error) => failed(Failure { row: row.clone(), reason: error.to_string() }, *moment, *diff),
                    }
                }
            }
            // One row fails the batch: row by row, to find it.
            Err(_) => {
                for (row, moment, diff) in rows {
                    let built = match self.evaluate(std::iter::once(&**row)) {
                        Ok(results) if results.keeps(0) => self.build(row, 0, &results.columns).map_err(|e| e.to_string()),
                        Ok(_) => continue,
                        Err(error) => Err(error.reason),
                    };
                    match built {
                        Ok(row) => out(row, *moment, *diff),
                        Err(reason) => failed(Failure { row: row.clone(), reason }, *moment, *diff),
                    }
                }
            }
        }
    }

    fn computes(&self) -> bool {
        self.input.filter.is_some() || self.input.columns.iter().any(|c| matches!(c, InputColumn::Computed(_)))
    }

    fn evaluate<'a>(&self, rows: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Results, EvaluationError> {
        let batch = arrow::to_batch(&self.table, rows);
        let Some(filter) = &self.input.filter else {
            return Ok(Results { keep: None, kept_at: Vec::new(), columns: self.compute(&batch)? });
        };
        // Columns are computed only for the rows that the filter keeps: `where price <> 0` guards `1 / price`.
        let keep = filter.evaluate(&batch)?;
        let keep = keep.as_boolean().clone();
        let kept = datafusion::arrow::compute::filter_record_batch(&batch, &keep).map_err(|e| EvaluationError { reason: e.to_string() })?;
        let mut kept_at = Vec::with_capacity(keep.len());
        let mut at = 0;
        for i in 0..keep.len() {
            kept_at.push(at);
            at += (keep.is_valid(i) && keep.value(i)) as usize;
        }
        Ok(Results { keep: Some(keep), kept_at, columns: self.compute(&kept)? })
    }

    fn compute(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, EvaluationError> {
        let expressions = self.input.columns.iter().filter_map(|c| match c {
            InputColumn::Computed(expression) => Some(expression),
            InputColumn::Column(_) => None,
        });
        expressions.map(|e: &Expression| e.evaluate(batch)).collect()
    }

    fn build(&mut self, row: &[u8], i: usize, computed: &[ArrayRef]) -> Result<Row, ParseError> {
        self.builder.clear();
        let mut computed = computed.iter();
        for column in &self.input.columns {
            match column {
                InputColumn::Column(c) => self.builder.push(self.table.get(row, *c)),
                InputColumn::Computed(_) => {
                    let array = computed.next().expect("one result for each computed column");
                    arrow::push_array_value(&mut self.builder, array, i)?;
                }
            }
        }
        Ok(self.builder.finish())
    }
}

struct Results {
    keep: Option<BooleanArray>,
    /// Where each row of the batch is among the kept ones.
    kept_at: Vec<usize>,
    columns: Vec<ArrayRef>,
}

impl Results {
    fn keeps(&self, i: usize) -> bool {
        self.keep.as_ref().is_none_or(|k| k.is_valid(i) && k.value(i))
    }

    fn at(&self, i: usize) -> usize {
        self.kept_at.get(i).copied().unwrap_or(i)
    }
}

//! The condition of a join, evaluated for pairs of rows.

use datafusion::arrow::array::{Array, AsArray};

use super::columns::push_columns;
use crate::plan::{EvaluationError, Expression, PairCondition};
use crate::value::{Layout, Row, RowBuilder, arrow};

/// An expression over the columns of both rows.
pub(super) struct Condition {
    expression: Expression,
    columns: Vec<usize>,
    builder: RowBuilder,
    layout: Layout,
}

/// The results of a condition, by pair.
pub(super) enum Holds {
    All,
    Each(Vec<Result<bool, String>>),
}

impl Holds {
    pub(super) fn is_true(&self, pair: usize) -> Result<bool, String> {
        match self {
            Holds::All => Ok(true),
            Holds::Each(answers) => answers[pair].clone(),
        }
    }
}

impl Condition {
    pub(super) fn new(plan: &PairCondition) -> Condition {
        let layout = Layout::new(plan.expression.input());
        let (expression, columns) = (plan.expression.clone(), plan.columns.clone());
        Condition { expression, columns, builder: RowBuilder::new(&layout), layout }
    }

    /// Evaluates the condition for each pair. `layouts`: of left and right rows.
    pub(super) fn evaluate<'a>(&mut self, layouts: &[Layout; 2], pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Holds {
        let rows: Vec<Row> = pairs
            .map(|(left, right)| {
                push_columns(&mut self.builder, layouts, &self.columns, Some(left), Some(right));
                self.builder.finish()
            })
            .collect();
        Holds::Each(self.answers(&rows))
    }

    fn answers(&self, rows: &[Row]) -> Vec<Result<bool, String>> {
        if rows.is_empty() {
            return Vec::new();
        }
        let evaluated = |rows: &[Row]| {
            let batch = arrow::to_batch(&self.layout, rows.iter().map(|row| &**row));
            let array = self.expression.evaluate(&batch)?;
            let answers = array.as_boolean();
            Ok::<_, EvaluationError>((0..rows.len()).map(|i| answers.is_valid(i) && answers.value(i)).collect::<Vec<_>>())
        };
        match evaluated(rows) {
            Ok(all) => all.into_iter().map(Ok).collect(),
            // At least one pair failed the batch. Evaluate one by one to find it.
            Err(_) => rows.iter().map(|row| evaluated(std::slice::from_ref(row)).map(|a| a[0]).map_err(|e| e.reason)).collect(),
        }
    }
}

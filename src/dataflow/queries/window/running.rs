//! Running sums over the rows of a partition.

use std::cmp::Ordering;

use crate::plan::{Running, WindowFunction};
use crate::value::{Datum, Layout, Row, RowBuilder, Schema, Type, key, row_of_key};

/// How a call updates its running sum by a row.
pub(super) struct Adder {
    running: Running,
    /// Layout of the call's value.
    value: Layout,
    text: String,
}

/// The running sum of a call: its state after some rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RunningSum {
    /// A count, a rank or a sum.
    number: i128,
    /// For ranks: the number of rows.
    rows: i128,
    /// The key of the least or the greatest value. For a sum: `None` until there is a value.
    value: Option<Row>,
}

impl Adder {
    pub(super) fn new(running: Running, function: &WindowFunction) -> Adder {
        let value = Layout::new(&Schema::new(vec![function.output().clone()]));
        Adder { running, value, text: function.text().to_string() }
    }

    /// Whether it is `rank()`.
    pub(super) fn ranks(&self) -> bool {
        self.running == Running::Ranks
    }

    fn ty(&self) -> &Type {
        &self.value.schema().columns()[0].ty
    }

    /// Starts a new place in the order, which rows that are equal in it share.
    pub(super) fn place(&self, sum: &mut RunningSum) {
        match self.running {
            Running::Ranks => sum.number = sum.rows + 1,
            Running::Values => sum.number += 1,
            Running::Rows | Running::Count(_) | Running::Sum(_) | Running::Least(_) | Running::Greatest(_) => {}
        }
    }

    pub(super) fn add(&self, sum: &mut RunningSum, layout: &Layout, row: &[u8]) {
        match self.running {
            Running::Rows | Running::Count(None) => sum.number += 1,
            Running::Ranks => sum.rows += 1,
            Running::Values => {}
            Running::Count(Some(column)) => sum.number += i128::from(!layout.is_null(row, column)),
            Running::Sum(column) => {
                if let Some(value) = layout.get(row, column).unscaled() {
                    sum.number += value;
                    sum.value.get_or_insert_default();
                }
            }
            Running::Least(column) => extreme(sum, layout, row, column, Ordering::Less),
            Running::Greatest(column) => extreme(sum, layout, row, column, Ordering::Greater),
        }
    }

    /// Pushes the value, or returns why there is none.
    pub(super) fn push(&self, sum: &RunningSum, builder: &mut RowBuilder) -> Result<(), String> {
        let too_large = || format!("`{}` became too large for its type", self.text);
        match self.running {
            Running::Rows | Running::Ranks | Running::Values => builder.push(Datum::UInt(sum.number as u64)),
            Running::Count(_) => builder.push(Datum::Int(sum.number as i64)),
            Running::Sum(_) if sum.value.is_none() => builder.push(Datum::Null),
            Running::Sum(_) => {
                let fits = |digits: u8| sum.number.unsigned_abs() < 10u128.pow(u32::from(digits));
                let datum = match self.ty() {
                    Type::UInt64 => u64::try_from(sum.number).ok().map(Datum::UInt),
                    Type::Decimal { precision, .. } => fits(*precision).then_some(Datum::Decimal(sum.number)),
                    _ => i64::try_from(sum.number).ok().map(Datum::Int),
                };
                builder.push(datum.ok_or_else(too_large)?);
            }
            Running::Least(_) | Running::Greatest(_) => match &sum.value {
                Some(value) => builder.push(self.value.get(&row_of_key(&self.value, value).expect("it was made of a value"), 0)),
                None => builder.push(Datum::Null),
            },
        }
        Ok(())
    }

    /// Recovers the running sum from an output value: up to the row with this value or, for ranks, up to the row before the first one of
    /// its place.
    pub(super) fn read(&self, value: Datum) -> RunningSum {
        let number = value.unscaled().unwrap_or(0);
        let made = !matches!(value, Datum::Null);
        match self.running {
            Running::Ranks => RunningSum { number, rows: number - 1, value: None },
            Running::Rows | Running::Values | Running::Count(_) => RunningSum { number, ..RunningSum::default() },
            Running::Sum(_) => RunningSum { number, rows: 0, value: made.then(Row::default) },
            Running::Least(_) | Running::Greatest(_) => {
                let key = || {
                    let mut key = Vec::new();
                    key::push(self.ty(), value, &mut key);
                    Row::from(key)
                };
                RunningSum { number: 0, rows: 0, value: made.then(key) }
            }
        }
    }
}

fn extreme(sum: &mut RunningSum, layout: &Layout, row: &[u8], column: usize, wanted: Ordering) {
    if layout.is_null(row, column) {
        return;
    }
    let key = key::encode(layout, row, &[column]);
    if sum.value.as_ref().is_none_or(|value| key.cmp(value) == wanted) {
        sum.value = Some(key);
    }
}

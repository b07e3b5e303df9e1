//! What the rows of a partition add up to, one after the other.

use std::cmp::Ordering;

use crate::plan::{Running, WindowFunction};
use crate::value::{Datum, Layout, Row, RowBuilder, Schema, Type, key, row_of_key};

/// What a call needs to know of a row.
pub(super) struct Adder {
    running: Running,
    /// The call's value, alone, and its text.
    value: Layout,
    text: String,
}

/// What the rows so far add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// A count, or a sum.
    number: i128,
    /// Ranks: how many rows there were.
    rows: i128,
    /// The key of the least or the greatest value; for a sum, nothing as long as there is no value.
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

    /// A new place in the order begins.
    pub(super) fn place(&self, sum: &mut Sum) {
        match self.running {
            Running::Ranks => sum.number = sum.rows + 1,
            Running::Values => sum.number += 1,
            Running::Rows | Running::Count(_) | Running::Sum(_) | Running::Least(_) | Running::Greatest(_) => {}
        }
    }

    pub(super) fn add(&self, sum: &mut Sum, layout: &Layout, row: &[u8]) {
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

    /// Pushes the value, or says why there is none.
    pub(super) fn push(&self, sum: &Sum, builder: &mut RowBuilder) -> Result<(), String> {
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

    /// What the rows up to one add up to, of which this is the value. For ranks: up to the row before the first of its place.
    pub(super) fn read(&self, value: Datum) -> Sum {
        let number = value.unscaled().unwrap_or(0);
        let made = !matches!(value, Datum::Null);
        match self.running {
            Running::Ranks => Sum { number, rows: number - 1, value: None },
            Running::Rows | Running::Values | Running::Count(_) => Sum { number, ..Sum::default() },
            Running::Sum(_) => Sum { number, rows: 0, value: made.then(Row::default) },
            Running::Least(_) | Running::Greatest(_) => {
                let key = || {
                    let mut key = Vec::new();
                    key::push(self.ty(), value, &mut key);
                    Row::from(key)
                };
                Sum { number: 0, rows: 0, value: made.then(key) }
            }
        }
    }
}

fn extreme(sum: &mut Sum, layout: &Layout, row: &[u8], column: usize, wanted: Ordering) {
    if layout.is_null(row, column) {
        return;
    }
    let key = key::of(layout, row, &[column]);
    if sum.value.as_ref().is_none_or(|value| key.cmp(value) == wanted) {
        sum.value = Some(key);
    }
}

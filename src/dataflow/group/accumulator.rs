//! What is kept of one group for one aggregate.
//!
//! Counts and sums are differences that add up, one small record whatever the group's size; `min` and `max` keep the values in order, so
//! that a change costs the logarithm of the group; every other function keeps the values that it reads and is computed from all of them.

use std::collections::BTreeMap;

use super::unscaled;
use crate::plan::{AggregateFunction, Simple};
use crate::value::{Datum, Diff, Layout, Row, RowBuilder, Type, arrow, key, row_of_key};

/// How a call is computed.
pub(super) enum Kind {
    /// Of rows, or of those in which the column is not NULL.
    Count(Option<usize>),
    CountDistinct(usize),
    Sum {
        column: usize,
        ty: Type,
        text: String,
    },
    /// The average of integers: a double.
    Average(usize),
    /// The average of decimals, with so many more digits behind the point than they have.
    AverageDecimal {
        column: usize,
        more_digits: u32,
        ty: Type,
        text: String,
    },
    Least {
        column: usize,
        value: Layout,
    },
    Greatest {
        column: usize,
        value: Layout,
    },
    Values {
        function: Box<AggregateFunction>,
        columns: Layout,
        builder: std::cell::RefCell<RowBuilder>,
    },
}

pub(super) enum Accumulator {
    Count(Diff),
    /// How many there are, and their sum.
    Sum(Diff, i128),
    /// How often each value is there, by its key.
    Ordered(BTreeMap<Row, Diff>),
    /// How often each row of what the function reads is there.
    Values(BTreeMap<Row, Diff>),
}

/// Up to so many digits, sums of ten thousand million values fit 128 bits.
const MAX_DIGITS: u8 = 28;

impl Kind {
    pub(super) fn of(function: &AggregateFunction, layout: &Layout) -> Kind {
        Kind::simple(function, layout).unwrap_or_else(|| {
            let columns = Layout::new(&layout.schema().project(function.columns()));
            let builder = std::cell::RefCell::new(RowBuilder::new(&columns));
            Kind::Values { function: Box::new(function.clone()), columns, builder }
        })
    }

    fn simple(function: &AggregateFunction, layout: &Layout) -> Option<Kind> {
        let Simple { name, argument, distinct } = function.simple()?;
        let output = &function.output().ty;
        let (column, ty) = match argument {
            Some(column) => (column, &layout.schema().columns()[column].ty),
            None => return (name == "count" && !distinct).then_some(Kind::Count(None)),
        };
        let value = || Layout::new(&layout.schema().project(&[column]));
        let text = || function.text().to_string();
        let whole =
            matches!(ty, Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64);
        match (name, distinct) {
            ("count", false) => Some(Kind::Count(Some(column))),
            ("count", true) => Some(Kind::CountDistinct(column)),
            ("min", _) if output == ty => Some(Kind::Least { column, value: value() }),
            ("max", _) if output == ty => Some(Kind::Greatest { column, value: value() }),
            ("sum", false) => match (ty, output) {
                (Type::Decimal { precision, scale }, Type::Decimal { precision: digits, scale: same }) => {
                    let fits = *precision <= MAX_DIGITS && *digits <= 38 && scale == same;
                    fits.then(|| Kind::Sum { column, ty: output.clone(), text: text() })
                }
                (_, Type::Int64 | Type::UInt64) if whole => Some(Kind::Sum { column, ty: output.clone(), text: text() }),
                _ => None,
            },
            ("avg", false) => match (ty, output) {
                (_, Type::Float64) if whole => Some(Kind::Average(column)),
                (Type::Decimal { precision, scale }, Type::Decimal { precision: digits, scale: more })
                    if *precision <= MAX_DIGITS && *digits <= 38 && more >= scale =>
                {
                    Some(Kind::AverageDecimal { column, more_digits: u32::from(more - scale), ty: output.clone(), text: text() })
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl Accumulator {
    pub(super) fn of(kind: &Kind) -> Accumulator {
        match kind {
            Kind::Count(_) => Accumulator::Count(0),
            Kind::Sum { .. } | Kind::Average(_) | Kind::AverageDecimal { .. } => Accumulator::Sum(0, 0),
            Kind::CountDistinct(_) | Kind::Least { .. } | Kind::Greatest { .. } => Accumulator::Ordered(BTreeMap::new()),
            Kind::Values { .. } => Accumulator::Values(BTreeMap::new()),
        }
    }

    /// Takes `diff` copies of a row in.
    pub(super) fn add(&mut self, kind: &Kind, layout: &Layout, row: &[u8], diff: Diff) {
        match (self, kind) {
            (Accumulator::Count(count), Kind::Count(None)) => *count += diff,
            (Accumulator::Count(count), Kind::Count(Some(column))) => {
                if !layout.is_null(row, *column) {
                    *count += diff;
                }
            }
            (Accumulator::Sum(count, sum), Kind::Sum { column, .. } | Kind::Average(column) | Kind::AverageDecimal { column, .. }) => {
                if let Some(value) = unscaled(layout.get(row, *column)) {
                    *count += diff;
                    *sum += value * i128::from(diff);
                }
            }
            (Accumulator::Ordered(values), Kind::CountDistinct(column) | Kind::Least { column, .. } | Kind::Greatest { column, .. }) => {
                if !layout.is_null(row, *column) {
                    count_in(values, key::of(layout, row, &[*column]), diff);
                }
            }
            (Accumulator::Values(rows), Kind::Values { function, builder, .. }) => {
                let mut builder = builder.borrow_mut();
                function.columns().iter().for_each(|&column| builder.push(layout.get(row, column)));
                count_in(rows, builder.finish(), diff);
            }
            _ => unreachable!("an accumulator is of its kind"),
        }
    }

    /// Pushes the aggregate's value, or says why there is none.
    pub(super) fn finish(&self, kind: &Kind, builder: &mut RowBuilder) -> Result<(), String> {
        match (self, kind) {
            (Accumulator::Count(count), _) => builder.push(Datum::Int(*count)),
            (Accumulator::Sum(0, _), _) => builder.push(Datum::Null),
            (Accumulator::Sum(_, sum), Kind::Sum { ty, text, .. }) => builder.push(fitting(*sum, ty, text)?),
            (Accumulator::Sum(count, sum), Kind::Average(_)) => builder.push(Datum::Float64(*sum as f64 / *count as f64)),
            (Accumulator::Sum(count, sum), Kind::AverageDecimal { more_digits, ty, text, .. }) => {
                let scaled = sum.checked_mul(10i128.pow(*more_digits)).ok_or_else(|| too_large(text))?;
                builder.push(fitting(scaled / i128::from(*count), ty, text)?);
            }
            (Accumulator::Ordered(values), Kind::CountDistinct(_)) => builder.push(Datum::Int(values.len() as i64)),
            (Accumulator::Ordered(values), Kind::Least { value, .. }) => push_key(values.keys().next(), value, builder),
            (Accumulator::Ordered(values), Kind::Greatest { value, .. }) => push_key(values.keys().next_back(), value, builder),
            (Accumulator::Values(rows), Kind::Values { function, columns, .. }) => {
                let all = || rows.iter().flat_map(|(row, count)| std::iter::repeat_n(&**row, (*count).max(0) as usize));
                let batch = arrow::to_batch(columns, all());
                let array = function.evaluate_columns(&batch, &vec![0; all().count()], 1).map_err(|error| error.reason)?;
                arrow::push_array_value(builder, &array, 0).map_err(|error| error.to_string())?;
            }
            _ => unreachable!("an accumulator is of its kind"),
        }
        Ok(())
    }
}

fn count_in(values: &mut BTreeMap<Row, Diff>, value: Row, diff: Diff) {
    let count = values.entry(value.clone()).or_default();
    *count += diff;
    if *count == 0 {
        values.remove(&value);
    }
}

fn push_key(key: Option<&Row>, value: &Layout, builder: &mut RowBuilder) {
    match key.map(|key| row_of_key(value, key).expect("it was made of a value")) {
        Some(row) => builder.push(value.get(&row, 0)),
        None => builder.push(Datum::Null),
    }
}

fn fitting(value: i128, ty: &Type, text: &str) -> Result<Datum<'static>, String> {
    let datum = match ty {
        Type::Int64 => i64::try_from(value).ok().map(Datum::Int),
        Type::UInt64 => u64::try_from(value).ok().map(Datum::UInt),
        Type::Decimal { precision, .. } => (value.unsigned_abs() < 10u128.pow(u32::from(*precision))).then_some(Datum::Decimal(value)),
        _ => None,
    };
    datum.ok_or_else(|| too_large(text))
}

fn too_large(text: &str) -> String {
    format!("`{text}` became too large for its type")
}

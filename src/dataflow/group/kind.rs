//! How a call of an aggregate is computed.

use std::cell::RefCell;

use crate::dataflow::order::place_into;
use crate::plan::{AggregateFunction, Order, Simple};
use crate::value::{Layout, RowBuilder, Type, key};

/// Rows are those that groups are made of.
pub(super) struct Kind {
    /// The column that it is about; where there is none it is about rows.
    pub(super) column: Option<usize>,
    /// Rows where this column is not true do not count.
    filter: Option<usize>,
    /// Nor those where this one is NULL.
    not_null: Option<usize>,
    /// Nor do those where the column is NULL.
    skips_nulls: bool,
    /// Whether sums need more than 128 bits.
    pub(super) is_wide: bool,
    pub(super) what: What,
}

pub(super) enum What {
    Count,
    CountDistinct,
    Sum {
        ty: Type,
        text: String,
    },
    /// The average of integers: a double.
    Average,
    /// The average of decimals, with so many more digits behind the point than they have.
    AverageDecimal {
        more_digits: u32,
        ty: Type,
        text: String,
    },
    Pick(Pick),
    /// From all values, each time.
    Computed {
        function: Box<AggregateFunction>,
        /// What the function reads.
        columns: Vec<usize>,
        layout: Layout,
        builder: RefCell<RowBuilder>,
    },
}

/// The first or the last value in an order. What is kept of a row is its place in the order, then the value's key, then how long the
/// former is (`u32`, little endian).
pub(super) struct Pick {
    pub(super) last: bool,
    order: Vec<Order>,
    column: usize,
    /// Of the picked column.
    pub(super) value: Layout,
    /// Whether rows only come: then the others are never needed.
    pub(super) keeps_one: bool,
    pub(super) scratch: RefCell<Vec<u8>>,
}

/// Up to so many digits, sums of ten thousand million values fit 128 bits.
const MAX_DIGITS: u8 = 28;

impl Kind {
    /// `place` says where a column of the function's rows is in `layout`.
    pub(super) fn of(function: &AggregateFunction, layout: &Layout, place: &dyn Fn(usize) -> usize, only_come: bool) -> Kind {
        Kind::simple(function, layout, place, only_come).unwrap_or_else(|| {
            let columns: Vec<usize> = function.columns().iter().map(|&column| place(column)).collect();
            let read = Layout::new(&function.input().project(function.columns()));
            let builder = RefCell::new(RowBuilder::new(&read));
            let what = What::Computed { function: Box::new(function.clone()), columns, layout: read, builder };
            Kind { column: None, filter: None, not_null: None, skips_nulls: false, is_wide: false, what }
        })
    }

    fn simple(function: &AggregateFunction, layout: &Layout, place: &dyn Fn(usize) -> usize, only_come: bool) -> Option<Kind> {
        let Simple { name, argument, distinct, filter, not_null, order_by, ignores_nulls } = function.simple()?;
        let output = &function.output().ty;
        let (filter, not_null) = (filter.map(place), not_null.map(place));
        let Some(argument) = argument else {
            return match name == "count" && !distinct {
                true => Some(Kind { column: None, filter, not_null, skips_nulls: false, is_wide: false, what: What::Count }),
                false => None,
            };
        };
        let ty = &function.input().columns()[argument].ty;
        let column = place(argument);
        let text = || function.text().to_string();
        let pick = |last: bool, order: Vec<Order>| {
            let value = Layout::new(&layout.schema().project(&[column]));
            What::Pick(Pick { last, order, column, value, keeps_one: only_come, scratch: RefCell::default() })
        };
        if let "first_value" | "last_value" = name {
            if distinct || order_by.is_empty() || output != ty {
                return None;
            }
            let order = order_by.into_iter().map(|by| Order { column: place(by.column), ..by }).collect();
            return Some(Kind {
                column: Some(column),
                filter,
                not_null,
                skips_nulls: ignores_nulls,
                is_wide: false,
                what: pick(name == "last_value", order),
            });
        }
        // The order of its rows says nothing to any other of these.
        let whole =
            matches!(ty, Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64);
        let what = match (name, distinct) {
            ("count", false) => What::Count,
            ("count", true) => What::CountDistinct,
            ("min" | "max", _) if output == ty => pick(name == "max", Vec::new()),
            ("sum", false) => match (ty, output) {
                (Type::Decimal { precision, scale }, Type::Decimal { precision: digits, scale: same })
                    if *precision <= 38 && *digits <= 38 && scale == same =>
                {
                    What::Sum { ty: output.clone(), text: text() }
                }
                (_, Type::Int64 | Type::UInt64) if whole => What::Sum { ty: output.clone(), text: text() },
                _ => return None,
            },
            ("avg", false) => match (ty, output) {
                (_, Type::Float64) if whole => What::Average,
                (Type::Decimal { precision, scale }, Type::Decimal { precision: digits, scale: more })
                    if *precision <= 38 && *digits <= 38 && more >= scale =>
                {
                    What::AverageDecimal { more_digits: u32::from(more - scale), ty: output.clone(), text: text() }
                }
                _ => return None,
            },
            _ => return None,
        };
        let is_wide = matches!(ty, Type::Decimal { precision, .. } if *precision > MAX_DIGITS);
        Some(Kind { column: Some(column), filter, not_null, skips_nulls: true, is_wide, what })
    }

    /// Whether the row does not count.
    #[inline]
    pub(super) fn passes_over(&self, layout: &Layout, row: &[u8]) -> bool {
        let filtered = |column| !matches!(layout.get(row, column), crate::value::Datum::Bool(true));
        self.filter.is_some_and(filtered)
            || self.not_null.is_some_and(|column| layout.is_null(row, column))
            || (self.skips_nulls && self.column.is_some_and(|column| layout.is_null(row, column)))
    }
}

impl Pick {
    /// Makes in `entry` what is kept of a row.
    pub(super) fn entry_of(&self, layout: &Layout, row: &[u8], entry: &mut Vec<u8>) {
        entry.clear();
        self.order.iter().for_each(|by| place_into(by, layout, row, entry));
        let split = entry.len() as u32;
        key::of_into(layout, row, &[self.column], entry);
        entry.extend_from_slice(&split.to_le_bytes());
    }

    /// The key of the value of which this was kept.
    pub(super) fn value_of<'a>(&self, entry: &'a [u8]) -> &'a [u8] {
        let (entry, split) = entry.split_last_chunk().expect("it ends with a number");
        &entry[u32::from_le_bytes(*split) as usize..]
    }
}

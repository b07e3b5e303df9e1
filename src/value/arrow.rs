//! Packed rows to Arrow batches, and computed Arrow values back to packed rows: the only bridge to DataFusion.
//!
//! Rows to Arrow: every column has exactly the Arrow form of its type ([`Type::arrow`]). Arrow to rows: an array may have any form that
//! [`Column::from_arrow`](super::Column::from_arrow) maps to the expected type (other string and binary forms, dictionaries, other time
//! units). [`canonical`] converts an array to the one form, and [`push_array_value`] then reads single values from it.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanArray, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    StringBuilder, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};

use super::scalar::OUT_OF_RANGE;
use super::{Datum, Layout, ParseError, RowBuilder, Type, list_items, pack_list};

/// The rows as one batch of the layout's schema.
pub fn to_batch<'a>(layout: &Layout, rows: impl Iterator<Item = &'a [u8]>) -> RecordBatch {
    let columns: Vec<usize> = (0..layout.schema().len()).collect();
    to_batch_of(layout, &columns, rows)
}

/// Same as [`to_batch`], with these columns only, in this order.
pub fn to_batch_of<'a>(layout: &Layout, columns: &[usize], rows: impl Iterator<Item = &'a [u8]>) -> RecordBatch {
    let rows: Vec<Option<&[u8]>> = rows.map(Some).collect();
    let arrays = columns.iter().map(|&column| column_array(layout, column, &rows)).collect();
    let schema = Arc::new(layout.schema().project(columns).arrow());
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema, arrays, &options).expect("a column that is not nullable has no NULL")
}

/// One column of the rows. A row is `None` if it is inside a NULL struct.
fn column_array(layout: &Layout, column: usize, rows: &[Option<&[u8]>]) -> ArrayRef {
    let ty = &layout.schema().columns()[column].ty;
    let datums = rows.iter().map(|row| row.map_or(Datum::Null, |row| layout.get(row, column)));
    match ty {
        Type::Bool => Arc::new(BooleanArray::from_iter(datums.map(|datum| match datum {
            Datum::Bool(v) => Some(v),
            _ => None,
        }))),
        Type::Int8 => ints::<Int8Type>(datums, |v| v as i8),
        Type::Int16 => ints::<Int16Type>(datums, |v| v as i16),
        Type::Int32 => ints::<Int32Type>(datums, |v| v as i32),
        Type::Int64 => ints::<Int64Type>(datums, |v| v),
        Type::UInt8 => uints::<UInt8Type>(datums, |v| v as u8),
        Type::UInt16 => uints::<UInt16Type>(datums, |v| v as u16),
        Type::UInt32 => uints::<UInt32Type>(datums, |v| v as u32),
        Type::UInt64 => uints::<UInt64Type>(datums, |v| v),
        Type::Float32 => primitive::<Float32Type>(ty, datums, |datum| if let Datum::Float32(v) = datum { Some(v) } else { None }),
        Type::Float64 => primitive::<Float64Type>(ty, datums, |datum| if let Datum::Float64(v) = datum { Some(v) } else { None }),
        Type::Decimal { precision: ..=38, .. } => {
            primitive::<Decimal128Type>(ty, datums, |datum| if let Datum::Decimal(v) = datum { Some(v) } else { None })
        }
        Type::Decimal { .. } => {
            primitive::<Decimal256Type>(ty, datums, |datum| if let Datum::Decimal256(v) = datum { Some(v) } else { None })
        }
        Type::Date => primitive::<Date32Type>(ty, datums, |datum| if let Datum::Date(v) = datum { Some(v) } else { None }),
        Type::DateTime { .. } | Type::Timestamp { .. } => primitive::<TimestampMicrosecondType>(ty, datums, |datum| match datum {
            Datum::DateTime(v) | Datum::Timestamp(v) => Some(v),
            _ => None,
        }),
        Type::Time { .. } => {
            primitive::<DurationMicrosecondType>(ty, datums, |datum| if let Datum::Time(v) = datum { Some(v) } else { None })
        }
        Type::Text | Type::Json => {
            let mut builder = StringBuilder::with_capacity(rows.len(), rows.len() * 16);
            datums.for_each(|datum| match datum {
                Datum::Text(v) | Datum::Json(v) => builder.append_value(v),
                _ => builder.append_null(),
            });
            Arc::new(builder.finish())
        }
        Type::Binary => {
            let mut builder = BinaryBuilder::with_capacity(rows.len(), rows.len() * 16);
            datums.for_each(|datum| match datum {
                Datum::Binary(v) => builder.append_value(v),
                _ => builder.append_null(),
            });
            Arc::new(builder.finish())
        }
        Type::Struct(_) => struct_array(ty, layout.nested(column).expect("a struct has a layout"), datums),
        Type::List(_) => list_array(ty, layout.nested(column).expect("a list has a layout of its items"), datums),
    }
}

fn primitive<'a, T: ArrowPrimitiveType>(
    ty: &Type,
    datums: impl Iterator<Item = Datum<'a>>,
    value: impl Fn(Datum<'a>) -> Option<T::Native>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter(datums.map(value)).with_data_type(ty.arrow()))
}

fn ints<'a, T: ArrowPrimitiveType>(datums: impl Iterator<Item = Datum<'a>>, narrow: impl Fn(i64) -> T::Native) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter(datums.map(|datum| if let Datum::Int(v) = datum { Some(narrow(v)) } else { None })))
}

fn uints<'a, T: ArrowPrimitiveType>(datums: impl Iterator<Item = Datum<'a>>, narrow: impl Fn(u64) -> T::Native) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter(datums.map(|datum| if let Datum::UInt(v) = datum { Some(narrow(v)) } else { None })))
}

fn struct_array<'a>(ty: &Type, layout: &Layout, datums: impl Iterator<Item = Datum<'a>>) -> ArrayRef {
    let DataType::Struct(fields) = ty.arrow() else { unreachable!("a struct is an Arrow struct") };
    let rows: Vec<Option<&[u8]>> = datums.map(|datum| if let Datum::Struct(row) = datum { Some(row) } else { None }).collect();
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
    let arrays = (0..fields.len()).map(|column| column_array(layout, column, &rows)).collect();
    let array = StructArray::try_new_with_length(fields, arrays, Some(nulls), rows.len());
    Arc::new(array.expect("a field that is not nullable has no NULL"))
}

fn list_array<'a>(ty: &Type, items: &Layout, datums: impl Iterator<Item = Datum<'a>>) -> ArrayRef {
    let DataType::List(field) = ty.arrow() else { unreachable!("a list is an Arrow list") };
    let (mut rows, mut lengths, mut present) = (Vec::new(), Vec::new(), Vec::new());
    for datum in datums {
        let before = rows.len();
        if let Datum::List(list) = datum {
            rows.extend(list_items(list).map(Some));
        }
        lengths.push(rows.len() - before);
        present.push(matches!(datum, Datum::List(_)));
    }
    let values = match field.data_type() {
        DataType::Struct(fields) => {
            let arrays = (0..fields.len()).map(|column| column_array(items, column, &rows)).collect();
            let array = StructArray::try_new_with_length(fields.clone(), arrays, None, rows.len());
            Arc::new(array.expect("a field that is not nullable has no NULL"))
        }
        _ => column_array(items, 0, &rows),
    };
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::try_new(field, offsets, values, Some(present.into())).expect("offsets and items belong together"))
}

/// Converts the array to the Arrow form of `ty`, which must be the result of [`Column::from_arrow`](super::Column::from_arrow) for the
/// array's type. Fails if a value does not fit (a time that is out of range or has nanoseconds).
pub fn canonical(array: &ArrayRef, ty: &Type) -> Result<ArrayRef, ParseError> {
    let wanted = ty.arrow();
    if *array.data_type() == wanted {
        return Ok(array.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |array: &ArrayRef, to: &DataType| {
        cast_with_options(array, to, &options).map_err(|_| ParseError::new(ty, "it is out of range or of another type"))
    };
    let nanoseconds = matches!(
        array.data_type(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Time64(TimeUnit::Nanosecond) | DataType::Duration(TimeUnit::Nanosecond)
    );
    if nanoseconds && cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().iter().flatten().any(|nanos| nanos % 1000 != 0) {
        return Err(ParseError::new(ty, "it has more digits of a second than a row holds"));
    }
    match array.data_type() {
        // Arrow has no cast from a time of day to a duration.
        DataType::Time32(_) | DataType::Time64(_) => {
            let micros = cast(array, &DataType::Time64(TimeUnit::Microsecond))?;
            let micros = cast(&micros, &DataType::Int64)?;
            cast(&micros, &wanted)
        }
        _ => cast(array, &wanted),
    }
}

/// Pushes one value of an array as the next column. The array must be [`canonical`] for the builder's next type. Fails if a decimal has
/// more digits than its type; then nothing was pushed.
///
/// # Panics
/// If the array does not have the Arrow form of the type.
pub fn push_array_value(builder: &mut RowBuilder, array: &dyn Array, row: usize) -> Result<(), ParseError> {
    if array.is_null(row) {
        builder.push(Datum::Null);
        return Ok(());
    }
    let datum = match builder.next_type() {
        Type::Bool => Datum::Bool(array.as_boolean().value(row)),
        Type::Int8 => Datum::Int(array.as_primitive::<Int8Type>().value(row) as i64),
        Type::Int16 => Datum::Int(array.as_primitive::<Int16Type>().value(row) as i64),
        Type::Int32 => Datum::Int(array.as_primitive::<Int32Type>().value(row) as i64),
        Type::Int64 => Datum::Int(array.as_primitive::<Int64Type>().value(row)),
        Type::UInt8 => Datum::UInt(array.as_primitive::<UInt8Type>().value(row) as u64),
        Type::UInt16 => Datum::UInt(array.as_primitive::<UInt16Type>().value(row) as u64),
        Type::UInt32 => Datum::UInt(array.as_primitive::<UInt32Type>().value(row) as u64),
        Type::UInt64 => Datum::UInt(array.as_primitive::<UInt64Type>().value(row)),
        Type::Float32 => Datum::Float32(array.as_primitive::<Float32Type>().value(row)),
        Type::Float64 => Datum::Float64(array.as_primitive::<Float64Type>().value(row)),
        Type::Decimal { precision: precision @ ..=38, .. } => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            if value.unsigned_abs() >= 10u128.pow(*precision as u32) {
                return Err(ParseError::new(builder.next_type(), OUT_OF_RANGE));
            }
            Datum::Decimal(value)
        }
        Type::Decimal { precision, .. } => {
            let value = array.as_primitive::<Decimal256Type>().value(row);
            let limit = i256::from_i128(10).wrapping_pow(*precision as u32);
            if value >= limit || value <= limit.wrapping_neg() {
                return Err(ParseError::new(builder.next_type(), OUT_OF_RANGE));
            }
            Datum::Decimal256(value)
        }
        Type::Text => Datum::Text(array.as_string::<i32>().value(row)),
        Type::Json => Datum::Json(array.as_string::<i32>().value(row)),
        Type::Binary => Datum::Binary(array.as_binary::<i32>().value(row)),
        Type::Date => Datum::Date(array.as_primitive::<Date32Type>().value(row)),
        Type::DateTime { .. } => Datum::DateTime(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Type::Timestamp { .. } => Datum::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Type::Time { .. } => Datum::Time(array.as_primitive::<DurationMicrosecondType>().value(row)),
        Type::Struct(_) => return push_struct(builder, array.as_struct(), row),
        Type::List(_) => return push_list(builder, array.as_list::<i32>().value(row)),
    };
    builder.push(datum);
    Ok(())
}

fn push_struct(builder: &mut RowBuilder, array: &StructArray, row: usize) -> Result<(), ParseError> {
    let mut nested = RowBuilder::new(builder.next_nested());
    push_fields(&mut nested, array, row)?;
    builder.push(Datum::Struct(&nested.finish()));
    Ok(())
}

fn push_fields(builder: &mut RowBuilder, array: &StructArray, row: usize) -> Result<(), ParseError> {
    for column in array.columns() {
        match array.is_null(row) {
            true => builder.push(Datum::Null),
            false => push_array_value(builder, column, row).map_err(|e| e.within(&builder.next_column().name.clone()))?,
        }
    }
    Ok(())
}

/// A NULL struct in a list becomes a struct of NULLs: packed lists have no NULL items of structs.
fn push_list(builder: &mut RowBuilder, values: ArrayRef) -> Result<(), ParseError> {
    let structs = values.as_struct_opt();
    let mut nested = RowBuilder::new(builder.next_nested());
    let mut rows = Vec::with_capacity(values.len());
    for i in 0..values.len() {
        let pushed = match structs {
            Some(array) => push_fields(&mut nested, array, i),
            None => push_array_value(&mut nested, &values, i),
        };
        pushed.map_err(|e| e.within(&i.to_string()))?;
        rows.push(nested.finish());
    }
    let mut list = Vec::new();
    pack_list(rows.iter().map(|row| &row[..]), &mut list);
    builder.push(Datum::List(&list));
    Ok(())
}

#[cfg(test)]
mod tests;

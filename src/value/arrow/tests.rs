use datafusion::arrow::array::{DictionaryArray, Int32Array, LargeStringArray, StringArray, StringViewArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::Field;
use proptest::prelude::*;

use super::*;
use crate::value::arbitrary::{self, RowSource};
use crate::value::{Column, Row, Schema};

proptest! {
    #[test]
    fn rows_come_back_from_their_batch(schema in arbitrary::schema(), seed: u64, count in 0usize..8) {
        let layout = Layout::new(&schema);
        let mut source = RowSource::new(seed);
        let rows: Vec<Row> = (0..count).map(|_| source.row(&layout)).collect();
        let batch = to_batch(&layout, rows.iter().map(|row| &row[..]));
        prop_assert_eq!(Schema::from_arrow(&batch.schema()), Ok(schema));
        let mut builder = RowBuilder::new(&layout);
        for (i, row) in rows.iter().enumerate() {
            for array in batch.columns() {
                push_array_value(&mut builder, array, i)?;
            }
            prop_assert_eq!(&builder.finish(), row);
        }
    }
}

fn read(array: ArrayRef) -> (String, Vec<String>) {
    let column = Column::from_arrow(&Field::new("c", array.data_type().clone(), true)).unwrap();
    let array = canonical(&array, &column.ty).unwrap();
    let layout = Layout::new(&Schema::new(vec![column.clone()]));
    let mut builder = RowBuilder::new(&layout);
    let mut texts = Vec::new();
    for i in 0..array.len() {
        push_array_value(&mut builder, &array, i).unwrap();
        let (row, mut text) = (builder.finish(), Vec::new());
        crate::value::json::write_datum(&column.ty, layout.get(&row, 0), &mut text);
        texts.push(String::from_utf8(text).unwrap());
    }
    (column.ty.to_string(), texts)
}

#[test]
fn every_form_of_a_computed_value_is_read() {
    let expect = |array: ArrayRef, ty: &str, values: &[&str]| {
        let (read_ty, read_values) = read(array);
        assert_eq!((read_ty.as_str(), read_values.iter().map(String::as_str).collect::<Vec<_>>()), (ty, values.to_vec()));
    };
    expect(Arc::new(StringViewArray::from(vec![Some("a"), None])), "text", &["\"a\"", "null"]);
    expect(Arc::new(LargeStringArray::from(vec!["a"])), "text", &["\"a\""]);
    let dictionary = DictionaryArray::new(Int32Array::from(vec![Some(1), None]), Arc::new(StringArray::from(vec!["a", "b"])));
    expect(Arc::new(dictionary), "text", &["\"b\"", "null"]);
    let nanos = TimestampNanosecondArray::from(vec![1_506_941_793_123_456_000]);
    expect(Arc::new(nanos.clone()), "datetime(6)", &["\"2017-10-02T10:56:33.123456\""]);
    expect(Arc::new(nanos.with_timezone("+00:00")), "timestamp(6)", &["\"2017-10-02T10:56:33.123456Z\""]);
    let time = PrimitiveArray::<datafusion::arrow::datatypes::Time64NanosecondType>::from(vec![3_600_000_001_000]);
    expect(Arc::new(time), "time(6)", &["\"01:00:00.000001\""]);
    let time = PrimitiveArray::<datafusion::arrow::datatypes::Time32SecondType>::from(vec![3_600]);
    expect(Arc::new(time), "time", &["\"01:00:00\""]);
    expect(datafusion::arrow::array::new_null_array(&DataType::Null, 1), "text", &["null"]);
}

#[test]
fn what_a_row_would_change_is_refused() {
    let nanos = || TimestampNanosecondArray::from(vec![1_506_941_793_123_456_789]);
    let time = PrimitiveArray::<datafusion::arrow::datatypes::Time64NanosecondType>::from(vec![1]);
    let length = PrimitiveArray::<datafusion::arrow::datatypes::DurationNanosecondType>::from(vec![-1]);
    let arrays: [ArrayRef; 4] = [Arc::new(nanos()), Arc::new(nanos().with_timezone("UTC")), Arc::new(time), Arc::new(length)];
    for array in arrays {
        let column = Column::from_arrow(&Field::new("c", array.data_type().clone(), true)).unwrap();
        let error = canonical(&array, &column.ty).unwrap_err();
        assert!(error.to_string().contains("it has more digits of a second than a row holds"), "{error}");
    }
    for ty in [
        DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())),
        DataType::Timestamp(TimeUnit::Microsecond, Some("+02:00".into())),
        DataType::Date64,
        DataType::Float16,
        DataType::Decimal128(4, -2),
        DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano),
    ] {
        assert!(Column::from_arrow(&Field::new("c", ty.clone(), true)).is_err(), "{ty}");
    }
}

#[test]
fn a_decimal_with_too_many_digits_is_refused() {
    let layout = Layout::new(&Schema::new(vec![Column::new("c", Type::Decimal { precision: 4, scale: 2 }, true)]));
    let array = PrimitiveArray::<Decimal128Type>::from(vec![10_000]).with_data_type(DataType::Decimal128(4, 2));
    let error = push_array_value(&mut RowBuilder::new(&layout), &array, 0).unwrap_err();
    assert_eq!(error.to_string(), "expected decimal(4,2), but it is out of range");
}

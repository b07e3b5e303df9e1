use proptest::prelude::*;

use super::*;
use crate::value::arbitrary::{self, RowSource};
use crate::value::{Column, Row, Schema};

proptest! {
    #[test]
    fn a_row_comes_back_from_its_json(schema in arbitrary::schema(), seed: u64) {
        let layout = Layout::new(&schema);
        let row = RowSource::new(seed).row(&layout);
        let mut json = Vec::new();
        write_row(&layout, &row, &mut json);
        let Value::Object(object) = serde_json::from_slice(&json)? else { panic!("an object") };
        let mut builder = RowBuilder::new(&layout);
        push_object(&mut builder, &object)?;
        prop_assert_eq!(builder.finish(), row, "{}", String::from_utf8_lossy(&json));
    }
}

fn row(columns: Vec<(Column, Datum)>) -> (Layout, Row) {
    let layout = Layout::new(&Schema::new(columns.iter().map(|(column, _)| column.clone()).collect()));
    let mut builder = RowBuilder::new(&layout);
    columns.iter().for_each(|(_, datum)| builder.push(*datum));
    (layout, builder.finish())
}

fn column(name: &str, ty: &str) -> Column {
    Column::new(name, ty.parse().unwrap(), true)
}

#[test]
fn every_type_has_its_form() {
    let (layout, row) = row(vec![
        (column("i", "int64"), Datum::Int(i64::MIN)),
        (column("u", "uint64"), Datum::UInt(u64::MAX)),
        (column("d", "decimal(10,2)"), Datum::Decimal(1050)),
        (column("f", "float64"), Datum::Float64(0.1)),
        (column("g", "float32"), Datum::Float32(0.1)),
        (column("nan", "float64"), Datum::Float64(f64::NAN)),
        (column("inf", "float32"), Datum::Float32(f32::NEG_INFINITY)),
        (column("t", "text"), Datum::Text("a\"b\u{1}ü")),
        (column("b", "binary"), Datum::Binary(&[0, 255])),
        (column("j", "json"), Datum::Json("{\"a\":[1.50,null]}")),
        (column("day", "date"), Datum::Date(17_441)),
        (column("at", "datetime"), Datum::DateTime(1_506_941_793_000_000)),
        (column("at3", "datetime(3)"), Datum::DateTime(1_506_941_793_120_000)),
        (column("ts", "timestamp(6)"), Datum::Timestamp(-1)),
        (column("time", "time"), Datum::Time(-3_020_399_000_000)),
        (column("no", "bool"), Datum::Null),
        (Column { absent_when_null: true, ..column("gone", "int8") }, Datum::Null),
    ]);
    let mut json = Vec::new();
    write_row(&layout, &row, &mut json);
    let expected = concat!(
        r#"{"i":-9223372036854775808,"u":18446744073709551615,"d":10.50,"f":0.1,"g":0.1,"nan":"NaN","inf":"-Infinity","#,
        r#""t":"a\"b\u0001ü","b":"AP8=","j":{"a":[1.50,null]},"day":"2017-10-02","at":"2017-10-02T10:56:33","#,
        r#""at3":"2017-10-02T10:56:33.120","ts":"1969-12-31T23:59:59.999999Z","time":"-838:59:59","no":null}"#
    );
    assert_eq!(String::from_utf8(json).unwrap(), expected);
}

fn read(ty: &str, json: &str) -> Result<String, String> {
    let layout = Layout::new(&Schema::new(vec![Column::new("c", ty.parse().unwrap(), false)]));
    let mut builder = RowBuilder::new(&layout);
    push_json(&mut builder, &serde_json::from_str(json).unwrap()).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    let row = builder.finish();
    write_datum(&layout.schema().columns()[0].ty, layout.get(&row, 0), &mut out);
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn numbers_are_taken_in_every_notation_and_exactly() {
    assert_eq!(read("int32", "1.0").unwrap(), "1");
    assert_eq!(read("int32", "-1e3").unwrap(), "-1000");
    assert_eq!(read("int32", "\"17\"").unwrap(), "17");
    assert_eq!(read("uint64", "18446744073709551615").unwrap(), "18446744073709551615");
    assert_eq!(read("decimal(65,30)", "0.000000000000000000000000000001").unwrap(), "0.000000000000000000000000000001");
    assert_eq!(read("json", "{ \"a\" : 1.50 }").unwrap(), "{\"a\":1.50}");
}

#[test]
fn what_does_not_fit_is_refused_without_the_value() {
    let refused = |ty, json| read(ty, json).unwrap_err();
    assert_eq!(refused("int8", "128"), "expected int8, but it is out of range");
    assert_eq!(refused("int8", "1.5"), "expected int8, but it is not a whole number");
    assert_eq!(refused("uint8", "-1"), "expected uint8, but it is out of range");
    assert_eq!(refused("text", "5"), "expected text, but it is a JSON number");
    assert_eq!(refused("date", "[]"), "expected date, but it is a JSON array");
    assert_eq!(refused("bool", "1"), "expected bool, but it is a JSON number");
    assert_eq!(refused("int8", "null"), "expected int8, but it is NULL, which the column does not allow");
    assert_eq!(refused("decimal(4,2)", "1.005"), "expected decimal(4,2), but it has more digits after the point than the type");
}

#[test]
fn an_error_inside_a_list_says_where() {
    let item = Type::Struct(Schema::new(vec![Column::new("price", Type::Int8, false)]));
    let layout = Layout::new(&Schema::new(vec![Column::new("items", Type::List(Box::new(item)), true)]));
    let Value::Object(object) = serde_json::json!({"items": [{"price": 1}, {"price": "x"}]}) else { unreachable!() };
    let error = push_object(&mut RowBuilder::new(&layout), &object).unwrap_err();
    assert_eq!(error.to_string(), "expected int8, but it is not a whole number, at items.1.price");
}

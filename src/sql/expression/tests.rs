use super::*;
use crate::value::{Layout, RowBuilder, json, push_text};

fn shop() -> Schema {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().unwrap(), true);
    let address = Type::Struct(Schema::new(vec![column("city", "text")]));
    Schema::new(vec![
        column("customerId", "int32"),
        column("price", "decimal(10,2)"),
        column("quantity", "int64"),
        column("ordered_at", "datetime(3)"),
        column("notes", "json"),
        Column::new("address", address, true),
        column("big", "uint64"),
        column("took", "time(2)"),
    ])
}

const ROW: [&str; 8] = [
    "7",
    "10.50",
    "9223372036854775807",
    "2017-10-02 10:56:33.120",
    "{\"a\":1}",
    "{\"city\":\"Rio\"}",
    "18446744073709551615",
    "-01:00:00.25",
];

fn evaluate(text: &str) -> Result<(String, String), EvaluationError> {
    let expression = Expression::compile(text, &shop()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let layout = Layout::new(&shop());
    let mut builder = RowBuilder::new(&layout);
    ROW.iter().for_each(|text| push_text(&mut builder, text).unwrap());
    let row = builder.finish();
    let narrow = arrow::to_batch_of(&layout, expression.columns(), std::iter::once(&row[..]));
    let array = expression.evaluate_columns(&narrow)?;
    assert_eq!(&expression.evaluate(&arrow::to_batch(&layout, std::iter::once(&row[..])))?, &array);
    let out = Layout::new(&Schema::new(vec![expression.output().clone()]));
    let mut builder = RowBuilder::new(&out);
    arrow::push_array_value(&mut builder, &array, 0).unwrap();
    let mut text = Vec::new();
    json::write_datum(&expression.output().ty, out.get(&builder.finish(), 0), &mut text);
    Ok((expression.output().ty.to_string(), String::from_utf8(text).unwrap()))
}

fn value(text: &str) -> (String, String) {
    evaluate(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn is(text: &str, ty: &str, json: &str) {
    assert_eq!(value(text), (ty.to_string(), json.to_string()), "{text}");
}

#[test]
fn names_are_taken_as_written() {
    is("customerId + 1", "int64", "8");
    is("\"customerId\"", "int32", "7");
    is("`customerId`", "int32", "7");
    is("address['city']", "text", "\"Rio\"");
    is("UPPER(address.city)", "text", "\"RIO\"");
}

#[test]
fn decimals_stay_exact() {
    is("price * 1.19", "decimal(14,4)", "12.4950");
    is("price + 1", "decimal(23,2)", "11.50");
    is("coalesce(price, 0)", "decimal(22,2)", "10.50");
}

#[test]
fn a_column_keeps_its_type_to_the_last_detail() {
    is("notes", "json", "{\"a\":1}");
    is("ordered_at", "datetime(3)", "\"2017-10-02T10:56:33.120\"");
    is("took", "time(2)", "\"-01:00:00.25\"");
    is("big", "uint64", "18446744073709551615");
    is("date_trunc('month', ordered_at)", "datetime(6)", "\"2017-10-01T00:00:00.000000\"");
    is("cast(ordered_at as date)", "date", "\"2017-10-02\"");
}

#[test]
fn the_library_is_there() {
    is("case when customerId in (1, 7) then 'yes' else 'no' end", "text", "\"yes\"");
    is("concat('#', customerId)", "text", "\"#7\"");
    is("regexp_like('abc', '^a')", "bool", "true");
    is("array_length(make_array(1, 2))", "uint64", "2");
    is("customerId between 1 and 10 and price > 10", "bool", "true");
    is("ordered_at >= '2017-01-01'", "bool", "true");
    is("NULL", "text", "null");
    is("extract(year from ordered_at)", "decimal(10,0)", "2017");
    is("substring(address.city from 1 for 2) || trim('  x ')", "text", "\"Rix\"");
    is("address.city ilike 'r%' and position('i' in address.city) = 2", "bool", "true");
    is("ordered_at + interval '1 day'", "datetime(6)", "\"2017-10-03T10:56:33.120000\"");
    is("ordered_at - timestamp '2017-10-02 00:00:00'", "time(6)", "\"10:56:33.120000\"");
    is("not (price is null) and price is distinct from null", "bool", "true");
    is("try_cast('x' as int)", "int32", "null");
    is("nullif(customerId, 7)", "int64", "null");
    is("round(price / 4, 2)", "decimal(14,2)", "2.63");
    is("named_struct('a', customerId)", "struct(a int32)", "{\"a\":7}");
}

#[test]
fn what_overflows_fails() {
    let fails = |text: &str, reason: &str| assert_eq!(evaluate(text).unwrap_err().reason, reason, "{text}");
    fails("quantity + 1", "a number became too large for its type");
    fails("quantity * 2", "a number became too large for its type");
    fails("-quantity - 2", "a number became too large for its type");
    fails("-(-quantity - 1)", "a number became too large for its type");
    fails("customerId / (customerId - 7)", "division by zero");
    fails("cast(notes as int)", "Cannot cast string … to value of Int32 type");
    is("-quantity - 1", "int64", "-9223372036854775808");
    let error = Expression::compile("9223372036854775807 + 1 + customerId", &shop()).unwrap_err();
    assert_eq!(error.message, "a number became too large for its type");
}

#[test]
fn only_the_columns_that_are_read_are_needed() {
    let expression = Expression::compile("price * quantity + price", &shop()).unwrap();
    assert_eq!(expression.columns(), [1, 2]);
    assert!(Expression::compile("1 + 1", &shop()).unwrap().columns().is_empty());
}

/// The message, what of the text it points at, and the help.
fn refused(text: &str) -> (String, String, String) {
    let error = Expression::compile_filter(text, &shop()).unwrap_err();
    (error.message, error.span.map_or(String::new(), |span| text[span].to_string()), error.help.unwrap_or_default())
}

#[test]
fn errors_point_into_the_text() {
    let expect = |text: &str, message: &str, at: &str, help: &str| {
        assert_eq!(refused(text), (message.to_string(), at.to_string(), help.to_string()), "{text}");
    };
    expect("customerid = 1", "there is no column `customerid`", "customerid", "did you mean `customerId`?");
    expect("'ü' = \"x y\"", "there is no column `x y`", "\"x y\"", "double quotes are for names; write text in single quotes");
    expect(
        "city = 'Rio'",
        "there is no column `city`",
        "city",
        "columns: customerId, price, quantity, ordered_at, notes, address, big, took",
    );
    expect("orders.price > 1", "there is no column `orders`", "orders", "write columns without their table: price");
    expect("uper(notes) = 'A'", "there is no function `uper`", "uper", "did you mean `upper`?");
    expect("price", "a filter must be true or false, this is of type decimal(10,2)", "price", "compare it with something");
    expect(
        "price > avg(price)",
        "the aggregate `avg` is not allowed in an expression over one row",
        "avg",
        "write aggregates under `aggregates:` of a lookup",
    );
    expect(
        "row_number() over (order by price) = 1",
        "`row_number` over a window is not allowed here",
        "row_number",
        "an expression sees one row, not its neighbours",
    );
    let clock = "a view's rows depend on their sources only: compare with a fixed time, or filter when reading the view";
    expect("ordered_at > NOW()", "`now` depends on when it is called", "NOW", clock);
    expect("cast(ordered_at as date) = current_date", "`current_date` depends on when it is called", "current_date", clock);
    let chance = "a view's rows depend on their sources only: use a column of the row";
    expect("random() > 0.5", "`random` gives another value at every call", "random", chance);
    let lookup = "an expression sees one row; use a lookup for rows of other tables";
    expect("price in (select 1)", "a subquery is not allowed here", "select 1", lookup);
    expect("price > 1 as x", "an expression cannot have an alias", "x", "the spec gives the name, next to the expression");
    expect("price > ", "Expected: an expression, found: EOF", "", "");
    expect("price > 1 1", "Expected: end of expression, found: 1", "1", "");
    expect("price > 1\n  and abs(address) = 1", "Function 'abs' expects Numeric but received Struct(\"city\": String)", "abs(address)", "");
}

#[test]
fn decimals_and_times_are_those_of_postgresql() {
    is("price / 8", "decimal(14,6)", "1.312500");
    is("price / 9", "decimal(14,6)", "1.166667");
    is("-price / 9", "decimal(14,6)", "-1.166667");
    is("price / 9 * 9 = price", "bool", "false");
    is("extract(second FROM ordered_at)", "decimal(8,6)", "33.120000");
    is("extract(epoch FROM took)", "decimal(20,6)", "-3600.250000");
    is("extract(month FROM ordered_at) / 12", "decimal(14,4)", "0.8333");
    is("cast(cast(price AS double) * 1e20 AS text)", "text", "\"1.05e+21\"");
    is("ordered_at AT TIME ZONE 'Europe/Berlin'", "timestamp(6)", "\"2017-10-02T08:56:33.120000Z\"");
    is("ordered_at + interval '1 month' * 1.5", "datetime(6)", "\"2017-11-17T10:56:33.120000\"");
    is("ordered_at > '9999-12-31'", "bool", "false");
    is("took > interval '-1 day'", "bool", "true");
    is("cast(ordered_at AS text)", "text", "\"2017-10-02 10:56:33.12\"");
    is("cast(ordered_at AS date) + 1 = '2017-10-03'", "bool", "true");
    is("coalesce(cast(price AS double), 0.0)", "float64", "10.5");
    for (text, why) in [
        ("extract(hour FROM took)", "cannot be told apart"),
        ("ordered_at AT TIME ZONE 'Nowhere/City'", "there is no time zone"),
        ("interval '1 day' * quantity", "which rows do not support"),
        ("greatest(interval '1 day' * quantity, interval '1 month') = interval '1 day'", "an interval is not allowed here"),
        ("cast(ordered_at AS bigint)", "cannot be cast to a number"),
        ("arrow_cast(ordered_at, 'Timestamp(Microsecond, Some(\"+02:00\"))')", "a time zone of its own"),
    ] {
        let error = Expression::compile(text, &shop()).unwrap_err();
        assert!(error.message.contains(why) && error.span.is_some(), "{text}: {error:?}");
    }
}

use super::*;
use crate::value::{Layout, Row, RowBuilder, json, push_text};

fn items() -> Schema {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().unwrap(), true);
    Schema::new(vec![
        column("price", "decimal(10,2)"),
        column("quantity", "int64"),
        column("at", "datetime(3)"),
        column("name", "text"),
        column("weight", "float64"),
    ])
}

/// Two groups with rows and one without; empty is NULL.
const ROWS: [(usize, [&str; 5]); 5] = [
    (0, ["10.50", "1", "2017-10-02 10:56:33.120", "b", "0.5"]),
    (2, ["1.00", "5", "2018-01-01", "x", "1"]),
    (0, ["0.25", "3", "2016-10-02", "a", "1.5"]),
    (0, ["", "", "", "", ""]),
    (0, ["0.25", "2", "2017-10-02", "c", "2.5"]),
];

fn evaluate(text: &str) -> Result<(String, Vec<String>), EvaluationError> {
    evaluate_over(AggregateFunction::compile(text, &items()).unwrap_or_else(|error| panic!("{text}: {error:?}")))
}

/// The result's type and its value for each of the groups.
fn evaluate_over(function: AggregateFunction) -> Result<(String, Vec<String>), EvaluationError> {
    let text = function.text().to_string();
    let layout = Layout::new(&items());
    let mut builder = RowBuilder::new(&layout);
    let mut row = |texts: &[&str]| -> Row {
        for text in texts {
            match text.is_empty() {
                true => builder.push(crate::value::Datum::Null),
                false => push_text(&mut builder, text).unwrap(),
            }
        }
        builder.finish()
    };
    let rows: Vec<Row> = ROWS.iter().map(|(_, texts)| row(texts)).collect();
    let groups: Vec<usize> = ROWS.iter().map(|(group, _)| *group).collect();
    let batch = arrow::to_batch(&layout, rows.iter().map(|row| &row[..]));
    let array = function.evaluate(&batch, &groups, 3)?;
    let narrow = arrow::to_batch_of(&layout, function.columns(), rows.iter().map(|row| &row[..]));
    assert_eq!(&function.evaluate_columns(&narrow, &groups, 3)?, &array, "{text}");
    let out = Layout::new(&Schema::new(vec![function.output().clone()]));
    let mut builder = RowBuilder::new(&out);
    let mut values = Vec::new();
    for group in 0..array.len() {
        arrow::push_array_value(&mut builder, &array, group).unwrap();
        let (row, mut value) = (builder.finish(), Vec::new());
        json::write_datum(&function.output().ty, out.get(&row, 0), &mut value);
        values.push(String::from_utf8(value).unwrap());
    }
    Ok((function.output().ty.to_string(), values))
}

fn are(text: &str, ty: &str, values: [&str; 3]) {
    let (found_ty, found) = evaluate(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!((found_ty.as_str(), found), (ty, values.map(String::from).to_vec()), "{text}");
}

#[test]
fn columns_may_have_other_names_and_places_than_in_the_rows() {
    let columns = items().columns().to_vec();
    // Two names for the price, and the others the other way round.
    let named = [("title", 3), ("cost", 0), ("n", 1), ("price", 0)];
    let nameable = Schema::new(named.iter().map(|(name, at)| Column { name: name.to_string(), ..columns[*at].clone() }).collect());
    for (text, plain) in [
        ("sum(cost)", "sum(price)"),
        ("sum(price) filter (where cost > 0.3)", "sum(price) filter (where price > 0.3)"),
        ("max(title)", "max(name)"),
        ("last_value(title order by n)", "last_value(name order by quantity)"),
        ("sum(cost * n)", "sum(price * quantity)"),
        ("count()", "count()"),
    ] {
        let function = AggregateFunction::compile(text, &nameable).unwrap().over(&items(), |column| named[column].1);
        assert_eq!(function.input(), &items());
        assert_eq!(evaluate_over(function).unwrap(), evaluate(plain).unwrap(), "{text}");
    }
}

#[test]
fn groups_without_rows_have_what_sql_gives_for_no_rows() {
    are("count()", "int64", ["4", "0", "1"]);
    are("COUNT(*)", "int64", ["4", "0", "1"]);
    are("count(price)", "int64", ["3", "0", "1"]);
    are("sum(price)", "decimal(20,2)", ["11.00", "null", "1.00"]);
    are("avg(price)", "decimal(14,6)", ["3.666667", "null", "1.000000"]);
    are("sum(quantity)", "int64", ["6", "null", "5"]);
    are("avg(quantity)", "float64", ["2.0", "null", "5.0"]);
    // No value of the batch is NULL.
    are("sum(1)", "int64", ["4", "null", "1"]);
}

#[test]
fn a_picked_value_keeps_its_type() {
    are("max(at)", "datetime(3)", ["\"2017-10-02T10:56:33.120\"", "null", "\"2018-01-01T00:00:00.000\""]);
    are("min(name)", "text", ["\"a\"", "null", "\"x\""]);
    are("first_value(name order by at)", "text", ["\"a\"", "null", "\"x\""]);
}

#[test]
fn distinct_filter_order_and_expressions() {
    are("count(DISTINCT price)", "int64", ["2", "0", "1"]);
    are("sum(price * quantity)", "decimal(38,2)", ["11.75", "null", "5.00"]);
    are("count(*) FILTER (WHERE quantity > 1)", "int64", ["2", "0", "1"]);
    are("string_agg(name, '+' order by quantity desc)", "text", ["\"a+c+b\"", "null", "\"x\""]);
    are("array_agg(quantity order by price, quantity desc)", "list(int64)", ["[3,2,1,null]", "null", "[5]"]);
    are("median(weight)", "float64", ["1.5", "null", "1.0"]);
    are("stddev(weight)", "float64", ["1.0", "null", "null"]);
    are("histogram(name)", "json", ["{\"a\":1,\"b\":1,\"c\":1}", "{}", "{\"x\":1}"]);
    are("histogram(price) FILTER (WHERE quantity > 1)", "json", ["{\"0.25\":2}", "{}", "{\"1.00\":1}"]);
    are("bool_and(weight < 2)", "bool", ["false", "null", "true"]);
}

#[test]
fn a_sum_that_overflows_fails() {
    let error = evaluate("sum(quantity + 9223372036854775000)").unwrap_err();
    assert_eq!(error.reason, "`sum(quantity + 9223372036854775000)` became too large for its type");
}

#[test]
fn no_group_has_no_value() {
    let function = AggregateFunction::compile("count()", &items()).unwrap();
    assert!(function.columns().is_empty());
    let batch = arrow::to_batch(&Layout::new(&items()), std::iter::empty());
    assert_eq!(function.evaluate(&batch, &[], 0).unwrap().len(), 0);
    assert_eq!(function.evaluate(&batch, &[], 2).unwrap().len(), 2);
}

#[test]
fn what_is_not_one_aggregate_is_refused() {
    let refused = |text: &str, message: &str, at: &str| {
        let error = AggregateFunction::compile(text, &items()).unwrap_err();
        assert_eq!((error.message.as_str(), &text[error.span.unwrap()]), (message, at), "{text}");
    };
    refused("price", "this is not an aggregate", "price");
    refused("upper(name)", "this is not an aggregate", "upper(name)");
    refused("sum(price) / count()", "the aggregate `sum` is inside another expression", "sum");
    refused("sum(avg(price))", "the aggregate `avg` is inside another expression", "avg");
    let counts = "histogram counts numbers, texts, dates and times, not list(text)";
    refused("histogram(string_to_array(name, ' '))", counts, "histogram(string_to_array(name, ' '))");
    refused("sum(prise)", "there is no column `prise`", "prise");
    refused("summ(price)", "there is no function `summ`", "summ");
    refused("sum(price) over ()", "`sum` over a window is not allowed here", "sum");
}

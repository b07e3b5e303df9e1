//! What is chosen for documents, on surveys that no server is needed for.

use super::*;
use crate::sources::{RowCount, Survey, SurveyedColumn, SurveyedKey, SurveyedTable, ValueSample};
use crate::value::Type;

/// A table with the columns `id` (the key) and these, each with its type.
fn table(name: &str, columns: &[(&str, Type)]) -> SurveyedTable {
    let column = |(name, ty): &(&str, Type)| SurveyedColumn {
        name: name.to_string(),
        ty: ty.clone(),
        nullable: false,
        declared: String::new(),
        length: None,
    };
    let columns: Vec<SurveyedColumn> = [("id", Type::Int32)].iter().chain(columns).map(column).collect();
    let rows = Some(RowCount { rows: 10, exact: true });
    SurveyedTable { name: name.into(), path: vec!["db".into(), name.into()], rows, columns, key: vec![0], ..SurveyedTable::default() }
}

/// With a foreign key from the column `from` to `to.id`.
fn with_key(mut table: SurveyedTable, from: &str, to: &str) -> SurveyedTable {
    let column = table.columns.iter().position(|column| column.name == from).unwrap();
    table.references.push(SurveyedKey { name: format!("to_{to}"), columns: vec![column], table: to.into(), of_table: vec!["id".into()] });
    table
}

fn drafted(survey: &Survey, root: &str, depth: usize) -> String {
    drafted_with(survey, &References::new(survey), root, depth)
}

fn drafted_with(survey: &Survey, references: &References, root: &str, depth: usize) -> String {
    let outline = outline(survey, references, survey.index_of(root).unwrap(), depth);
    let source = WrittenEnd { name: "db".into(), kind: "mysql".into(), options: Vec::new(), variables: Vec::new() };
    spec(survey, references, &outline, &source, None)
}

#[test]
fn a_circle_of_tables_ends_where_it_began() {
    let one = with_key(table("ones", &[("two_id", Type::Int32)]), "two_id", "twos");
    let two = with_key(table("twos", &[("three_id", Type::Int32)]), "three_id", "threes");
    let three = with_key(table("threes", &[("one_id", Type::Int32)]), "one_id", "ones");
    let text = drafted(&Survey { tables: vec![one, three, two] }, "ones", 8);
    assert!(text.contains("path: two.three, type: object"), "{text}");
    assert!(text.contains("# Not embedded: threes.one_id = ones.id: it leads back to `ones`, which is around it."), "{text}");
    assert!(text.contains("path: threes, type: array") && text.contains("path: threes.twos, type: array"), "{text}");
}

#[test]
fn an_array_that_would_be_too_long_is_a_comment() {
    let mut many = with_key(table("readings", &[("sensor_id", Type::Int32)]), "sensor_id", "sensors");
    many.rows = Some(RowCount { rows: 50_000, exact: false });
    let text = drafted(&Survey { tables: vec![many, table("sensors", &[])] }, "sensors", 2);
    assert!(text.contains("It is not embedded: about 5000 rows for each document."), "{text}");
    assert!(text.contains("    lookup: []\n") && text.contains("      # - {from: db.readings"), "{text}");
}

#[test]
fn a_hub_has_a_bounded_number_of_lookups() {
    let child = |number: usize| with_key(table(&format!("part_{number:02}"), &[("hub_id", Type::Int32)]), "hub_id", "hub");
    let tables = std::iter::once(table("hub", &[])).chain((0..60).map(child)).collect();
    let text = drafted(&Survey { tables }, "hub", 2);
    assert_eq!(text.matches("- {from").count(), 40);
    assert!(text.contains("`part_59`: a draft has at most 40 lookups.") && text.contains("# Not embedded: `part_40`, `part_41`"), "{text}");
}

#[test]
fn columns_of_unlike_types_are_not_related() {
    let child = with_key(table("children", &[("parent_no", Type::Text)]), "parent_no", "parents");
    let text = drafted(&Survey { tables: vec![child, table("parents", &[])] }, "children", 2);
    assert!(text.contains("# Not embedded: children.parent_no = parents.id: the columns have different types."), "{text}");
    assert!(!text.contains("lookup:"), "{text}");
}

/// Roles, plurals, prefixes, other spellings of one name.
#[test]
fn names_lead_to_tables() {
    let columns = ["customer_id", "billingAddressId", "id_category", "fk_product", "parent_id", "sales_person_id", "status", "amount"];
    let columns: Vec<(&str, Type)> = columns.iter().map(|name| (*name, Type::Int64)).collect();
    let names = ["shop_customers", "shop_address", "shop_categories", "shop_product", "shop_people", "shop_statuses"];
    let tables = std::iter::once(table("shop_orders", &columns)).chain(names.iter().map(|name| table(name, &[]))).collect();
    let survey = Survey { tables };
    let references = References::new(&survey);
    let shown: Vec<String> = references.list.iter().map(|reference| reference.shown(&survey)).collect();
    let expected = [
        "shop_orders.customer_id = shop_customers.id",
        "shop_orders.billingAddressId = shop_address.id",
        "shop_orders.id_category = shop_categories.id",
        "shop_orders.fk_product = shop_product.id",
        "shop_orders.parent_id = shop_orders.id",
        "shop_orders.sales_person_id = shop_people.id",
        "shop_orders.status = shop_statuses.id",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_guess_that_the_data_contradicts_is_told_and_not_followed() {
    let survey = Survey { tables: vec![table("customers", &[]), table("orders", &[("customer_id", Type::Int32)])] };
    let mut references = References::new(&survey);
    assert!(drafted_with(&survey, &references, "orders", 1).contains("Guess, from the names: orders.customer_id = customers.id."));
    references.list[0].checked = Checked::Sample(ValueSample { values: 20, found: 3, alike: 0 });
    let text = drafted_with(&survey, &references, "orders", 1);
    let told = "# Not embedded: orders.customer_id = customers.id: their names suggest it, but only 3 of 20 sampled values are there.";
    assert!(text.contains(told) && !text.contains("lookup:"), "{text}");
}

#[test]
fn two_references_to_one_table_have_names_of_their_own() {
    let child = with_key(with_key(table("matches", &[("home", Type::Int32), ("guest", Type::Int32)]), "home", "teams"), "guest", "teams");
    let survey = Survey { tables: vec![child, table("teams", &[])] };
    let text = drafted(&survey, "matches", 1);
    assert!(text.contains("path: home_team, type: object, on: {home: id}") && text.contains("path: guest_team, type: object"), "{text}");
    let text = drafted(&survey, "teams", 1);
    assert!(text.contains("path: matches_by_home, type: array") && text.contains("path: matches_by_guest, type: array"), "{text}");
}

#[test]
fn options_of_options_and_passwords_are_written_as_a_spec_has_them() {
    let options = [("url", "mysql://u:${P}@h/d"), ("tls.mode", "require"), ("heartbeat_ms", "500"), ("tls.ca", "ca.pem")];
    let options = options.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
    let source = WrittenEnd { name: "d".into(), kind: "mysql".into(), options, variables: vec!["P".into()] };
    let expected = "sources:\n  # The environment variable `P` has the secret, as in a URL: %40 for `@`, %2F for `/`.\n  d: {kind: mysql, \
                    options: {url: \"mysql://u:${P}@h/d\", heartbeat_ms: 500, tls: {mode: require, ca: ca.pem}}}\n";
    assert_eq!(source_text(&source), expected);
}

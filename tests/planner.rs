//! The plans of specs as text: `tests/planner/*.yaml`, each with the whole answer of `explain` beside it.
//!
//! To accept new answers: `TIDEMILL_ACCEPT=1 cargo test --test planner`, and read the difference.

mod shop_tables;

use std::path::{Path, PathBuf};

use shop_tables::{KINDS, shop};
use tidemill::plan::{ArrangedSize, Body, Plan};
use tidemill::spec::Draft;

fn plan(path: &Path) -> Plan {
    let text = std::fs::read_to_string(path).unwrap();
    let draft = Draft::parse(path, &text, KINDS, &|_| Some("x".into())).unwrap_or_else(|p| panic!("{p}"));
    let spec = draft.finish().unwrap_or_else(|p| panic!("{p}"));
    spec.lower(&shop()).unwrap_or_else(|p| panic!("{p}"))
}

fn same_as_file(answer: &str, file: &Path) {
    if std::env::var_os("TIDEMILL_ACCEPT").is_some() {
        std::fs::write(file, answer).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    assert!(answer == expected, "{} says\n{expected}\nbut the plan is\n{answer}", file.display());
}

#[test]
fn plans_are_as_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planner");
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let specs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    assert!(!specs.is_empty());
    for spec in specs {
        same_as_file(&plan(&spec).explain(&[]).to_string(), &spec.with_extension("txt"));
    }
}

#[test]
fn the_reference_view_plans() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plan = plan(&root.join("dataflows/order_single_view.yaml"));
    same_as_file(
        &plan.explain(&[Some(ArrangedSize { rows: 1_000.0, bytes: 148_000.0 })]).to_string(),
        &root.join("tests/planner/order_single_view.txt"),
    );
    assert_eq!(plan.arrangements().list.len(), 9);
}

/// Whoever changes what a definition says rebuilds every view of that form once, and whoever changes an answer without it leaves the old
/// answer in place: then `plan::MEANING` must be raised.
#[test]
fn definitions_are_as_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planner");
    let mut text = String::new();
    for spec in ["two_views", "queries", "recursion", "documents_of_queries"] {
        let plan = plan(&folder.join(spec).with_extension("yaml"));
        for view in &plan.views {
            text += &format!("{spec}.yaml, {}\n{}\n", view.name, plan.definition_of(view));
        }
    }
    let meaning = format!("\nmeaning {}, datafusion {}\n", tidemill::plan::MEANING, datafusion::DATAFUSION_VERSION);
    assert_eq!(text.matches(&meaning).count(), text.matches("\nmeaning ").count());
    same_as_file(&text, &folder.join("definitions.accepted"));
}

#[test]
fn a_part_of_a_plan_has_the_same_definitions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planner");
    let mut left_out = 0;
    for spec in ["two_views", "queries", "recursion", "documents_of_queries"] {
        let plan = plan(&folder.join(spec).with_extension("yaml"));
        for view in &plan.views {
            let tables = view.tables();
            let views = (0..plan.views.len()).filter(|other| plan.views[*other].tables().is_subset(&tables)).collect();
            let part = plan.part(&tables, &views);
            left_out += plan.tables.len() - tables.len();
            assert_eq!(part.tables.len(), tables.len());
            for (part_view, view) in part.views.iter().zip(&views) {
                assert_eq!(part.definition_of(part_view), plan.definition_of(&plan.views[*view]), "{spec}.yaml, {}", part_view.name);
                let names = |plan: &Plan, view: &tidemill::plan::View| -> Vec<String> {
                    view.tables().into_iter().map(|table| plan.tables[table].full_name()).collect()
                };
                assert_eq!(names(&part, part_view), names(&plan, &plan.views[*view]));
            }
            assert!(!part.explain(&[]).to_string().is_empty());
        }
    }
    assert!(left_out > 0, "some views read only some of the tables");
}

/// Name and type of each column; `?`: may be NULL; `-`: left out where it is NULL.
fn columns(schema: &tidemill::value::Schema) -> Vec<String> {
    let mark = |set: bool, mark: &'static str| if set { mark } else { "" };
    let column = |c: &tidemill::value::Column| format!("{} {}{}{}", c.name, c.ty, mark(c.nullable, "?"), mark(c.absent_when_null, "-"));
    schema.columns().iter().map(column).collect()
}

#[test]
fn documents_have_the_fields_of_their_lookups_behind_their_own() {
    let plan = plan(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planner/two_views.yaml"));
    let orders = columns(&plan.views[0].schema);
    let items = "list(struct(product_id text, total decimal(11,2), product struct(product_id text, product_category_name text, \
                 product_name_lenght int32, product_description_lenght int32, product_photos_qty int32, product_weight_g int32, \
                 product_length_cm int32, product_height_cm int32, product_width_cm int32, \
                 log list(struct(at int64, order_id text, customer_zip int64)))))";
    let expected = [
        "order_id text",
        "customer_id text?",
        "status text?",
        "order_purchase_timestamp datetime?",
        "customer_city text?",
        "customer_state text?",
        &format!("items {items}"),
        "item_count int64",
        "paid decimal(20,2)?",
        "last_seen int64?",
    ];
    assert_eq!(orders, expected);
    let Body::Document(document) = &plan.views[0].body else { panic!("a view of documents") };
    let item = &document.lookups[1];
    assert_eq!(columns(&item.element)[2].chars().rev().take(1).collect::<String>(), "?", "`missing: null` is a NULL that is shown");
    assert!(columns(&item.children[0].element)[9].ends_with("?-"), "`missing: absent` is left out");
    let order = &columns(&plan.views[1].schema)[8];
    assert_eq!(order, "order struct(order_id text, order_status text, log list(struct(at int64, order_id text, customer_zip int64)))?-");
}

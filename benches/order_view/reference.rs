//! The reference view over the generated CSVs: its spec, and what becomes of it.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidemill::plan::{Plan, PlanTable};
use tidemill::shop::TABLES;
use tidemill::sinks;
use tidemill::sources::{self, Source, Table};
use tidemill::spec::{Kinds, Spec};

pub(crate) const VIEW: &str = "order_single_view";

const VIEWS: &str = "\
views:
  order_single_view:
    from: shop.orders
    lookup:
      - {from: shop.customers, path: customer_info, type: object, on: {customer_id: customer_id}}
      - {from: shop.order_payments, path: order_payments, type: array, on: {order_id: order_id}}
      - {from: shop.order_items, path: order_items, type: array, on: {order_id: order_id}}
      - {from: shop.products, path: order_items.product, type: object, on: {order_items.product_id: product_id}}
      - {from: shop.sellers, path: order_items.seller, type: object, on: {order_items.seller_id: seller_id}}
";

/// Writes the spec beside the files; its place.
pub(crate) fn write_spec(folder: &Path) -> io::Result<PathBuf> {
    let mut text = String::from("sources:\n  shop:\n    kind: file\n    options:\n      tables:\n");
    for table in &TABLES {
        let columns: Vec<String> = table.columns.iter().map(|c| format!("{}: \"{}\"", c.name, c.ty)).collect();
        let key: Vec<&str> = table.key_columns().iter().map(|c| c.name).collect();
        let (name, file) = (table.short, table.file_name("csv"));
        let (key, columns) = (key.join(", "), columns.join(", "));
        writeln!(text, "        {name}: {{csv: {file}, key: [{key}], columns: {{{columns}}}}}").expect("memory takes it");
    }
    text.push_str(VIEWS);
    let path = folder.join("order_view.yaml");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// The opened source and the plan.
pub(crate) struct Reference {
    pub(crate) plan: Plan,
    pub(crate) source: Arc<dyn Source>,
    /// The plan's, as the source describes them.
    pub(crate) tables: Vec<Table>,
}

impl Reference {
    pub(crate) async fn open(spec: &Path) -> Reference {
        let spec = Spec::load(spec, Kinds { sources: sources::KINDS, sinks: sinks::KINDS }).expect("the spec is right");
        let [shop] = &spec.sources[..] else { panic!("one source") };
        let source: Arc<dyn Source> = sources::open(&shop.kind, &shop.options).expect("the options are right").into();
        let [(_, needed)] = &spec.tables()[..] else { panic!("one source") };
        let tables = source.discover(needed).await.expect("the tables are there");
        let plan_table = |t: &Table| PlanTable {
            source: "shop".into(),
            name: t.name.clone(),
            schema: t.schema.clone(),
            key: t.key.clone(),
            stream: t.stream,
        };
        let plan = spec.lower(&tables.iter().map(plan_table).collect::<Vec<_>>()).expect("the view is right");
        Reference { plan, source, tables }
    }
}

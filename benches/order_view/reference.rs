//! The reference view over the generated CSVs: its spec.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use tidemill_shop::TABLES;

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

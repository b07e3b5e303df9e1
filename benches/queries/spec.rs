//! The views as SQL, in specs over the generated files.

use std::fmt::Write;
use std::path::Path;

use tidemill_shop::TABLES;

use crate::work::{READINGS, Work};

impl Work {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Work::Average => {
                "SELECT sensor, avg(reading) AS average, count(*) AS n, sum(reading) AS total FROM plant.readings GROUP BY sensor"
            }
            Work::Latest => "SELECT sensor, latest_by_offset(reading) AS last FROM plant.readings GROUP BY sensor",
            Work::Revenue => {
                "SELECT p.product_category_name AS category, c.customer_state AS state, sum(i.price) AS revenue, count(*) AS items \
                 FROM shop.order_items i JOIN shop.products p ON i.product_id = p.product_id \
                 JOIN shop.orders o ON i.order_id = o.order_id JOIN shop.customers c ON o.customer_id = c.customer_id \
                 GROUP BY p.product_category_name, c.customer_state"
            }
        }
    }

    /// The spec over the files beside it.
    pub(crate) fn spec(self) -> String {
        let mut text = match self {
            Work::Average | Work::Latest => format!(
                "sources:\n  plant:\n    kind: file\n    options:\n      tables:\n        readings: {{csv: {READINGS}, stream: true, columns: \
                 {{sensor: text, area: text, reading: int32}}}}\n"
            ),
            Work::Revenue => {
                let mut text = String::from("sources:\n  shop:\n    kind: file\n    options:\n      tables:\n");
                for table in TABLES.iter().filter(|t| ["orders", "customers", "order_items", "products"].contains(&t.short)) {
                    let columns: Vec<String> = table.columns.iter().map(|c| format!("{}: \"{}\"", c.name, c.ty)).collect();
                    let key: Vec<&str> = table.key_columns().iter().map(|c| c.name).collect();
                    let (file, key, columns) = (table.file_name("csv"), key.join(", "), columns.join(", "));
                    writeln!(text, "        {}: {{csv: {file}, key: [{key}], columns: {{{columns}}}}}", table.short)
                        .expect("memory takes it");
                }
                text
            }
        };
        write!(text, "views:\n  v: {{sql: \"{}\"}}\n", self.sql()).expect("memory takes it");
        text
    }

    pub(crate) fn write_spec(self, folder: &Path) -> std::io::Result<std::path::PathBuf> {
        let path = folder.join(format!("{self:?}.yaml"));
        std::fs::write(&path, self.spec())?;
        Ok(path)
    }
}

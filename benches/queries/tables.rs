//! Of the shop's tables what the revenue is made of, as Rust structs.

use std::path::Path;

pub(crate) struct Tables {
    /// Customer and order.
    pub(crate) orders: Vec<(String, String)>,
    /// Product, order, price in cents.
    pub(crate) items: Vec<(String, String, i64)>,
    /// Customer and state.
    pub(crate) customers: Vec<(String, String)>,
    /// Product and category.
    pub(crate) products: Vec<(String, String)>,
}

impl Tables {
    pub(crate) fn read(folder: &Path) -> Tables {
        Tables {
            orders: read(folder, "orders", ["customer_id", "order_id"], |[customer, order]| (customer.into(), order.into())),
            items: read(folder, "order_items", ["product_id", "order_id", "price"], |[product, order, price]| {
                (product.into(), order.into(), cents(price))
            }),
            customers: read(folder, "customers", ["customer_id", "customer_state"], |[customer, state]| (customer.into(), state.into())),
            products: read(folder, "products", ["product_id", "product_category_name"], |[product, category]| {
                (product.into(), category.into())
            }),
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        (self.orders.len() + self.items.len() + self.customers.len() + self.products.len()) as u64
    }
}

fn read<T, const N: usize>(folder: &Path, table: &str, columns: [&str; N], row: impl Fn([&str; N]) -> T) -> Vec<T> {
    let mut reader = csv::Reader::from_path(folder.join(format!("olist_{table}_dataset.csv"))).expect("the file was generated");
    let header = reader.headers().expect("there is a header").clone();
    let places = columns.map(|column| header.iter().position(|name| name == column).expect("a column of the table"));
    let (mut record, mut rows) = (csv::StringRecord::new(), Vec::new());
    while reader.read_record(&mut record).expect("generated CSV is right") {
        rows.push(row(places.map(|place| &record[place])));
    }
    rows
}

fn cents(text: &str) -> i64 {
    (text.parse::<f64>().expect("an amount") * 100.0).round() as i64
}

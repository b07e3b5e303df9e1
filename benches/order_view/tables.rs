//! The six tables as Rust structs, the way a program written by hand has them: for the two variants without Tidemill.

use std::path::Path;

pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) customer: String,
    /// Status and the five times.
    pub(crate) rest: [String; 6],
}

pub(crate) struct Item {
    pub(crate) order: String,
    pub(crate) number: u32,
    pub(crate) product: String,
    pub(crate) seller: String,
    pub(crate) ship_by: String,
    pub(crate) price: i64,
    pub(crate) freight: i64,
}

pub(crate) struct Payment {
    pub(crate) order: String,
    pub(crate) number: u32,
    pub(crate) kind: String,
    pub(crate) installments: u32,
    pub(crate) value: i64,
}

/// A row with a key and texts.
pub(crate) struct Keyed<const N: usize> {
    pub(crate) id: String,
    pub(crate) rest: [String; N],
}

pub(crate) struct Tables {
    pub(crate) orders: Vec<Order>,
    pub(crate) customers: Vec<Keyed<4>>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) items: Vec<Item>,
    pub(crate) products: Vec<Keyed<8>>,
    pub(crate) sellers: Vec<Keyed<3>>,
}

impl Tables {
    pub(crate) fn read(folder: &Path) -> Tables {
        Tables {
            orders: read(folder, "orders", |r| Order { id: r[0].into(), customer: r[1].into(), rest: texts(r, 2) }),
            customers: read(folder, "customers", keyed),
            payments: read(folder, "order_payments", |r| Payment {
                order: r[0].into(),
                number: whole(&r[1]),
                kind: r[2].into(),
                installments: whole(&r[3]),
                value: cents(&r[4]),
            }),
            items: read(folder, "order_items", |r| Item {
                order: r[0].into(),
                number: whole(&r[1]),
                product: r[2].into(),
                seller: r[3].into(),
                ship_by: r[4].into(),
                price: cents(&r[5]),
                freight: cents(&r[6]),
            }),
            products: read(folder, "products", keyed),
            sellers: read(folder, "sellers", keyed),
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        let reference = self.customers.len() + self.products.len() + self.sellers.len();
        (self.orders.len() + self.items.len() + self.payments.len() + reference) as u64
    }
}

fn read<T>(folder: &Path, table: &str, row: impl Fn(&csv::StringRecord) -> T) -> Vec<T> {
    let mut reader = csv::Reader::from_path(folder.join(format!("olist_{table}_dataset.csv"))).expect("the file was generated");
    let (mut record, mut rows) = (csv::StringRecord::new(), Vec::new());
    while reader.read_record(&mut record).expect("generated CSV is right") {
        rows.push(row(&record));
    }
    rows
}

fn keyed<const N: usize>(record: &csv::StringRecord) -> Keyed<N> {
    Keyed { id: record[0].into(), rest: texts(record, 1) }
}

fn texts<const N: usize>(record: &csv::StringRecord, from: usize) -> [String; N] {
    std::array::from_fn(|i| record[from + i].into())
}

fn whole(text: &str) -> u32 {
    text.parse().expect("a whole number")
}

fn cents(text: &str) -> i64 {
    (text.parse::<f64>().expect("an amount") * 100.0).round() as i64
}

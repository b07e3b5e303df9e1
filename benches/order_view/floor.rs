//! The floor: parses the CSVs and builds every document once, by hash maps. Nothing can be updated afterwards.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;

use crate::measure::{Measured, Shape};
use crate::process::{Begin, cpu_seconds, peak_bytes};
use crate::tables::{Item, Keyed, Payment, Tables};

pub(crate) fn run(folder: &Path) -> Measured {
    let begin = Begin::now();
    let tables = Tables::read(folder);
    let read_seconds = begin.seconds();
    let (documents, shape) = build(&tables);
    black_box(&documents);
    let seconds = begin.seconds();
    let (held_bytes, peak_bytes, cpu_seconds) = (begin.grown(), peak_bytes(), cpu_seconds());
    Measured { seconds, read_seconds, rows: tables.rows(), shape, held_bytes, peak_bytes, cpu_seconds, ..Measured::default() }
}

/// Each document as one string of fields.
fn build(tables: &Tables) -> (Vec<String>, Shape) {
    let customers = by_id(&tables.customers);
    let products = by_id(&tables.products);
    let sellers = by_id(&tables.sellers);
    let items = group(&tables.items, |item: &Item| &item.order);
    let payments = group(&tables.payments, |payment: &Payment| &payment.order);
    let mut documents = Vec::with_capacity(tables.orders.len());
    let mut shape = Shape::default();
    for order in &tables.orders {
        let mut document = String::with_capacity(512);
        put(&mut document, [&order.id, &order.customer].into_iter().chain(&order.rest));
        put_keyed(&mut document, customers.get(order.customer.as_str()));
        for item in items.get(order.id.as_str()).into_iter().flatten() {
            put(&mut document, [&item.ship_by]);
            put_keyed(&mut document, products.get(item.product.as_str()));
            put_keyed(&mut document, sellers.get(item.seller.as_str()));
            shape.items += 1;
            shape.cents += item.price;
        }
        for payment in payments.get(order.id.as_str()).into_iter().flatten() {
            put(&mut document, [&payment.kind]);
            shape.cents += payment.value;
        }
        documents.push(document);
    }
    shape.documents = documents.len() as u64;
    (documents, shape)
}

fn by_id<const N: usize>(rows: &[Keyed<N>]) -> HashMap<&str, &Keyed<N>> {
    rows.iter().map(|row| (row.id.as_str(), row)).collect()
}

fn group<T>(rows: &[T], key: impl Fn(&T) -> &String) -> HashMap<&str, Vec<&T>> {
    let mut groups: HashMap<&str, Vec<&T>> = HashMap::new();
    for row in rows {
        groups.entry(key(row).as_str()).or_default().push(row);
    }
    groups
}

fn put<'a>(document: &mut String, fields: impl IntoIterator<Item = &'a String>) {
    for field in fields {
        document.push_str(field);
        document.push('\0');
    }
}

fn put_keyed<const N: usize>(document: &mut String, row: Option<&&Keyed<N>>) {
    if let Some(row) = row {
        put(document, [&row.id].into_iter().chain(&row.rest));
    }
}

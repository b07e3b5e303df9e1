//! Which rows are updated, the same for everybody who keeps documents up to date: no row twice in a series.

/// Single updates of a customer's city; one document each.
pub(crate) const CUSTOMERS: usize = 2_000;
/// Single updates of a seller's city; as many documents as there are orders with something of the seller.
pub(crate) const SELLERS: usize = 500;

/// The row of the `n`th update, of so many rows.
pub(crate) fn customer(n: usize, rows: usize) -> usize {
    n * 37 % rows
}

pub(crate) fn seller(n: usize, rows: usize) -> usize {
    n * 7 % rows
}

/// The city after the update.
pub(crate) fn moved(city: &str) -> String {
    format!("CITY_{city}")
}

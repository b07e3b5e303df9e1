//! The rows of the shop as compact structs, and as cells in the order of their table's columns.

use super::names::{CATEGORIES, PAYMENT_TYPES, PLACES, STATUSES};
use super::tables::ShopTable;

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    Null,
    /// Written as 32 hexadecimal digits.
    Id(u128),
    Int(i64),
    /// An amount in hundredths.
    Money(i64),
    /// Seconds since 1970-01-01 00:00:00.
    Time(i64),
    Text(&'static str),
    /// Written with five digits, leading zeroes kept.
    Zip(u32),
}

/// A row of any of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShopRow {
    Customer(Customer),
    Seller(Seller),
    Product(Product),
    Order(OrderRow),
    Item(Item),
    Payment(Payment),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customer {
    pub(super) id: u128,
    pub(super) unique_id: u128,
    pub(super) zip: u32,
    pub(super) place: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seller {
    pub(super) id: u128,
    pub(super) zip: u32,
    pub(super) place: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    pub(super) id: u128,
    /// `None` if there is no description, as for some hundred products of the original.
    pub(super) described: Option<Description>,
    /// Weight, length, height, width.
    pub(super) measures: Option<[u16; 4]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) category: u8,
    pub(super) name_length: u16,
    pub(super) description_length: u16,
    pub(super) photos: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRow {
    pub(super) id: u128,
    pub(super) customer: u128,
    pub(super) status: u8,
    pub(super) purchased: i64,
    pub(super) approved: Option<i64>,
    pub(super) shipped: Option<i64>,
    pub(super) delivered: Option<i64>,
    pub(super) estimated: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub(super) order: u128,
    pub(super) number: u32,
    pub(super) product: u128,
    pub(super) seller: u128,
    pub(super) ship_by: i64,
    pub(super) price: i64,
    pub(super) freight: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    pub(super) order: u128,
    pub(super) number: u32,
    pub(super) kind: u8,
    pub(super) installments: u8,
    pub(super) value: i64,
}

impl ShopRow {
    pub fn table(&self) -> ShopTable {
        match self {
            ShopRow::Customer(_) => ShopTable::Customers,
            ShopRow::Seller(_) => ShopTable::Sellers,
            ShopRow::Product(_) => ShopTable::Products,
            ShopRow::Order(_) => ShopTable::Orders,
            ShopRow::Item(_) => ShopTable::OrderItems,
            ShopRow::Payment(_) => ShopTable::OrderPayments,
        }
    }

    /// Writes the values to `out`, in the order of the table's columns. Clears `out` first.
    pub fn cells(&self, out: &mut Vec<Cell>) {
        out.clear();
        match self {
            ShopRow::Customer(c) => {
                let (city, state) = PLACES[c.place as usize];
                out.extend([Cell::Id(c.id), Cell::Id(c.unique_id), Cell::Zip(c.zip), Cell::Text(city), Cell::Text(state)]);
            }
            ShopRow::Seller(s) => {
                let (city, state) = PLACES[s.place as usize];
                out.extend([Cell::Id(s.id), Cell::Zip(s.zip), Cell::Text(city), Cell::Text(state)]);
            }
            ShopRow::Product(p) => product_cells(p, out),
            ShopRow::Order(o) => {
                let status = Cell::Text(STATUSES[o.status as usize].0);
                let known = |at: Option<i64>| at.map_or(Cell::Null, Cell::Time);
                out.extend([Cell::Id(o.id), Cell::Id(o.customer), status, Cell::Time(o.purchased)]);
                out.extend([known(o.approved), known(o.shipped), known(o.delivered), Cell::Time(o.estimated)]);
            }
            ShopRow::Item(i) => {
                out.extend([Cell::Id(i.order), Cell::Int(i.number as i64), Cell::Id(i.product), Cell::Id(i.seller)]);
                out.extend([Cell::Time(i.ship_by), Cell::Money(i.price), Cell::Money(i.freight)]);
            }
            ShopRow::Payment(p) => {
                let kind = Cell::Text(PAYMENT_TYPES[p.kind as usize].0);
                out.extend([Cell::Id(p.order), Cell::Int(p.number as i64), kind]);
                out.extend([Cell::Int(p.installments as i64), Cell::Money(p.value)]);
            }
        }
    }
}

fn product_cells(product: &Product, out: &mut Vec<Cell>) {
    out.push(Cell::Id(product.id));
    match product.described {
        Some(d) => {
            let photos = Cell::Int(d.photos as i64);
            out.extend([Cell::Text(CATEGORIES[d.category as usize]), Cell::Int(d.name_length as i64)]);
            out.extend([Cell::Int(d.description_length as i64), photos]);
        }
        None => out.extend([Cell::Null; 4]),
    }
    match product.measures {
        Some(measures) => out.extend(measures.map(|m| Cell::Int(m as i64))),
        None => out.extend([Cell::Null; 4]),
    }
}

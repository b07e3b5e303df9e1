//! The six tables: columns, types, keys and indexes, as a shop on MySQL or MariaDB has them.

/// One of the shop's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ShopTable {
    Customers,
    Sellers,
    Products,
    Orders,
    OrderItems,
    OrderPayments,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct TableColumn {
    pub name: &'static str,
    /// The type in a spec's `columns:`, to which a MySQL source maps `sql`.
    pub ty: &'static str,
    /// The type in `CREATE TABLE`.
    pub sql: &'static str,
    pub nullable: bool,
}

/// The definition of a table.
#[derive(Debug)]
pub struct TableShape {
    pub name: ShopTable,
    /// The short name, such as `orders`, which is `ecom_orders` in a database.
    pub short: &'static str,
    pub columns: &'static [TableColumn],
    /// The number of leading columns that are the primary key.
    pub key: usize,
    /// Columns with their own index.
    pub indexes: &'static [&'static str],
    /// The number of rows at the reference size of [`REFERENCE_ORDERS`].
    pub reference_rows: u64,
}

/// The number of orders of the reference size.
pub const REFERENCE_ORDERS: u64 = 99_441;
/// The default name of the database.
pub const DATABASE: &str = "ECommerceData";

impl TableShape {
    /// The name in a database.
    pub fn sql_name(&self) -> String {
        format!("ecom_{}", self.short)
    }

    /// The name of the table's file with this extension.
    pub fn file_name(&self, extension: &str) -> String {
        format!("olist_{}_dataset.{extension}", self.short)
    }

    /// The number of rows for this number of orders: in proportion to the reference size, rounded, at least 1 unless `orders` is 0.
    pub fn rows(&self, orders: u64) -> u64 {
        scaled(self.reference_rows, orders).max(1.min(orders))
    }

    pub fn key_columns(&self) -> &'static [TableColumn] {
        &self.columns[..self.key]
    }
}

/// Scales a number of the reference size to this number of orders, rounded.
pub(super) fn scaled(reference: u64, orders: u64) -> u64 {
    ((reference as u128 * orders as u128 + REFERENCE_ORDERS as u128 / 2) / REFERENCE_ORDERS as u128) as u64
}

impl ShopTable {
    pub fn shape(self) -> &'static TableShape {
        &TABLES[self as usize]
    }
}

const fn id(name: &'static str) -> TableColumn {
    TableColumn { name, ty: "text", sql: "CHAR(32) CHARACTER SET ascii", nullable: false }
}

const fn text(name: &'static str, sql: &'static str) -> TableColumn {
    TableColumn { name, ty: "text", sql, nullable: false }
}

const fn int(name: &'static str) -> TableColumn {
    TableColumn { name, ty: "int32", sql: "INT", nullable: false }
}

const fn money(name: &'static str) -> TableColumn {
    TableColumn { name, ty: "decimal(10,2)", sql: "DECIMAL(10,2)", nullable: false }
}

const fn time(name: &'static str) -> TableColumn {
    TableColumn { name, ty: "datetime", sql: "DATETIME", nullable: false }
}

const fn nullable(column: TableColumn) -> TableColumn {
    TableColumn { nullable: true, ..column }
}

/// All tables, parents before their children, in the order of [`ShopTable`].
pub static TABLES: [TableShape; 6] = [
    TableShape {
        name: ShopTable::Customers,
        short: "customers",
        columns: &[
            id("customer_id"),
            id("customer_unique_id"),
            text("customer_zip_code_prefix", "CHAR(5)"),
            text("customer_city", "VARCHAR(64)"),
            text("customer_state", "CHAR(2)"),
        ],
        key: 1,
        indexes: &[],
        reference_rows: 99_441,
    },
    TableShape {
        name: ShopTable::Sellers,
        short: "sellers",
        columns: &[
            id("seller_id"),
            text("seller_zip_code_prefix", "CHAR(5)"),
            text("seller_city", "VARCHAR(64)"),
            text("seller_state", "CHAR(2)"),
        ],
        key: 1,
        indexes: &[],
        reference_rows: 3_095,
    },
    TableShape {
        name: ShopTable::Products,
        short: "products",
        columns: &[
            id("product_id"),
            nullable(text("product_category_name", "VARCHAR(64)")),
            nullable(int("product_name_lenght")),
            nullable(int("product_description_lenght")),
            nullable(int("product_photos_qty")),
            nullable(int("product_weight_g")),
            nullable(int("product_length_cm")),
            nullable(int("product_height_cm")),
            nullable(int("product_width_cm")),
        ],
        key: 1,
        indexes: &[],
        reference_rows: 32_951,
    },
    TableShape {
        name: ShopTable::Orders,
        short: "orders",
        columns: &[
            id("order_id"),
            id("customer_id"),
            text("order_status", "VARCHAR(16)"),
            time("order_purchase_timestamp"),
            nullable(time("order_approved_at")),
            nullable(time("order_delivered_carrier_date")),
            nullable(time("order_delivered_customer_date")),
            time("order_estimated_delivery_date"),
        ],
        key: 1,
        indexes: &["customer_id"],
        reference_rows: REFERENCE_ORDERS,
    },
    TableShape {
        name: ShopTable::OrderItems,
        short: "order_items",
        columns: &[
            id("order_id"),
            int("order_item_id"),
            id("product_id"),
            id("seller_id"),
            time("shipping_limit_date"),
            money("price"),
            money("freight_value"),
        ],
        key: 2,
        indexes: &["product_id", "seller_id"],
        reference_rows: 112_650,
    },
    TableShape {
        name: ShopTable::OrderPayments,
        short: "order_payments",
        columns: &[
            id("order_id"),
            int("payment_sequential"),
            text("payment_type", "VARCHAR(16)"),
            int("payment_installments"),
            money("payment_value"),
        ],
        key: 2,
        indexes: &[],
        reference_rows: 103_886,
    },
];

//! The tables of the shop as a MySQL source describes them, and kinds of sources and sinks to check specs against.

#![allow(dead_code, reason = "each test crate uses a part")]

use tidemill::options::{Kind, OptionSpec, OptionType};
use tidemill::plan::PlanTable;
use tidemill::spec::Kinds;
use tidemill::value::{Column, Schema, Type};

pub(crate) fn shop() -> Vec<PlanTable> {
    let day = Type::DateTime { fsp: 0 };
    let money = Type::Decimal { precision: 10, scale: 2 };
    vec![
        table(
            "ecom_orders",
            1,
            &[
                ("order_id", Type::Text),
                ("customer_id", Type::Text),
                ("order_status", Type::Text),
                ("order_purchase_timestamp", day.clone()),
                ("order_approved_at", day.clone()),
                ("order_delivered_carrier_date", day.clone()),
                ("order_delivered_customer_date", day.clone()),
                ("order_estimated_delivery_date", day.clone()),
            ],
        ),
        table(
            "ecom_customers",
            1,
            &[
                ("customer_id", Type::Text),
                ("customer_unique_id", Type::Text),
                ("customer_zip_code_prefix", Type::Int32),
                ("customer_city", Type::Text),
                ("customer_state", Type::Text),
            ],
        ),
        table(
            "ecom_order_items",
            2,
            &[
                ("order_id", Type::Text),
                ("order_item_id", Type::Int32),
                ("product_id", Type::Text),
                ("seller_id", Type::Text),
                ("shipping_limit_date", day),
                ("price", money.clone()),
                ("freight_value", money.clone()),
            ],
        ),
        table(
            "ecom_order_payments",
            2,
            &[
                ("order_id", Type::Text),
                ("payment_sequential", Type::Int32),
                ("payment_type", Type::Text),
                ("payment_installments", Type::Int32),
                ("payment_value", money),
            ],
        ),
        table(
            "ecom_products",
            1,
            &[
                ("product_id", Type::Text),
                ("product_category_name", Type::Text),
                ("product_name_lenght", Type::Int32),
                ("product_description_lenght", Type::Int32),
                ("product_photos_qty", Type::Int32),
                ("product_weight_g", Type::Int32),
                ("product_length_cm", Type::Int32),
                ("product_height_cm", Type::Int32),
                ("product_width_cm", Type::Int32),
            ],
        ),
        table(
            "ecom_sellers",
            1,
            &[
                ("seller_id", Type::Text),
                ("seller_zip_code_prefix", Type::Int32),
                ("seller_city", Type::Text),
                ("seller_state", Type::Text),
            ],
        ),
        table("ecom_log", 0, &[("at", Type::Int64), ("order_id", Type::Text), ("customer_zip", Type::Int64)]),
    ]
}

/// A table of the source `shop` whose first `key` columns are its primary key.
pub(crate) fn table(name: &str, key: usize, columns: &[(&str, Type)]) -> PlanTable {
    let columns = columns.iter().enumerate().map(|(i, (name, ty))| Column::new(*name, ty.clone(), i >= key)).collect();
    PlanTable {
        source: "shop".into(),
        name: name.into(),
        schema: Schema::new(columns),
        key: (0..key).collect(),
        stream: false,
        arrival: false,
    }
}

pub(crate) const KINDS: Kinds = Kinds { sources: SOURCES, sinks: SINKS };

const SOURCES: &[Kind] = &[
    Kind {
        name: "mysql",
        help: "A database",
        options: &[
            OptionSpec {
                required: true,
                secret: true,
                ..option("url", OptionType::Text, "Address of the server: `mysql://user:password@host/database`")
            },
            OptionSpec { secret: true, ..option("password", OptionType::Text, "The password, where it is not in `url`") },
            option("server_id", OptionType::Integer, "The number of this replica"),
            option("zero_dates", OptionType::OneOf(&["null", "text", "error"]), "What a zero date becomes"),
            option("tls", OptionType::Record(&[option("verify", OptionType::Bool, "Whether to verify")]), "Encryption"),
        ],
    },
    Kind {
        name: "file",
        help: "Files",
        options: &[
            option("changes", OptionType::Path, "The changes"),
            option("tables", OptionType::Map(&OptionType::Record(&[option("csv", OptionType::Path, "The rows")])), "The tables"),
            option("names", OptionType::List(&OptionType::Text), "Some names"),
        ],
    },
];

const SINKS: &[Kind] = &[Kind {
    name: "mongodb",
    help: "A database of documents",
    options: &[
        OptionSpec { required: true, secret: true, ..option("uri", OptionType::Text, "Address of the server: `mongodb://host`") },
        OptionSpec { required: true, ..option("collection", OptionType::Text, "The collection, as `database.collection`") },
    ],
}];

const fn option(name: &'static str, value: OptionType, help: &'static str) -> OptionSpec {
    OptionSpec { name, value, required: false, secret: false, help }
}

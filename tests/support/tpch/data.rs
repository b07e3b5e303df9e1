//! TPC-H's tables, their rows as `dbgen` makes them, and the 22 queries.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tpchgen::distribution::Distributions;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator, RegionGenerator,
    SupplierGenerator,
};
use tpchgen::text::TextPool;

/// A table: the columns of its key, and all of them with their types.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    key: &'static [&'static str],
    columns: &'static [(&'static str, &'static str)],
}

const MONEY: &str = "decimal(15,2)";

pub(crate) const TABLES: [Table; 8] = [
    Table { name: "region", key: &["r_regionkey"], columns: &[("r_regionkey", "int64"), ("r_name", "text"), ("r_comment", "text")] },
    Table {
        name: "nation",
        key: &["n_nationkey"],
        columns: &[("n_nationkey", "int64"), ("n_name", "text"), ("n_regionkey", "int64"), ("n_comment", "text")],
    },
    Table {
        name: "part",
        key: &["p_partkey"],
        columns: &[
            ("p_partkey", "int64"),
            ("p_name", "text"),
            ("p_mfgr", "text"),
            ("p_brand", "text"),
            ("p_type", "text"),
            ("p_size", "int32"),
            ("p_container", "text"),
            ("p_retailprice", MONEY),
            ("p_comment", "text"),
        ],
    },
    Table {
        name: "supplier",
        key: &["s_suppkey"],
        columns: &[
            ("s_suppkey", "int64"),
            ("s_name", "text"),
            ("s_address", "text"),
            ("s_nationkey", "int64"),
            ("s_phone", "text"),
            ("s_acctbal", MONEY),
            ("s_comment", "text"),
        ],
    },
    Table {
        name: "partsupp",
        key: &["ps_partkey", "ps_suppkey"],
        columns: &[
            ("ps_partkey", "int64"),
            ("ps_suppkey", "int64"),
            ("ps_availqty", "int32"),
            ("ps_supplycost", MONEY),
            ("ps_comment", "text"),
        ],
    },
    Table {
        name: "customer",
        key: &["c_custkey"],
        columns: &[
            ("c_custkey", "int64"),
            ("c_name", "text"),
            ("c_address", "text"),
            ("c_nationkey", "int64"),
            ("c_phone", "text"),
            ("c_acctbal", MONEY),
            ("c_mktsegment", "text"),
            ("c_comment", "text"),
        ],
    },
    Table {
        name: "orders",
        key: &["o_orderkey"],
        columns: &[
            ("o_orderkey", "int64"),
            ("o_custkey", "int64"),
            ("o_orderstatus", "text"),
            ("o_totalprice", MONEY),
            ("o_orderdate", "date"),
            ("o_orderpriority", "text"),
            ("o_clerk", "text"),
            ("o_shippriority", "int32"),
            ("o_comment", "text"),
        ],
    },
    Table {
        name: "lineitem",
        key: &["l_orderkey", "l_linenumber"],
        columns: &[
            ("l_orderkey", "int64"),
            ("l_partkey", "int64"),
            ("l_suppkey", "int64"),
            ("l_linenumber", "int32"),
            ("l_quantity", MONEY),
            ("l_extendedprice", MONEY),
            ("l_discount", MONEY),
            ("l_tax", MONEY),
            ("l_returnflag", "text"),
            ("l_linestatus", "text"),
            ("l_shipdate", "date"),
            ("l_commitdate", "date"),
            ("l_receiptdate", "date"),
            ("l_shipinstruct", "text"),
            ("l_shipmode", "text"),
            ("l_comment", "text"),
        ],
    },
];

/// The table that has this name.
pub(crate) fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|table| table.name == name).unwrap_or_else(|| panic!("TPC-H has no table {name}"))
}

impl Table {
    /// The first line of its file.
    pub(crate) fn header(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("|")
    }

    /// A line of its file as an object.
    pub(crate) fn object(&self, line: &str) -> Map<String, Value> {
        let value = |field: &str, ty: &str| match ty {
            "text" | "date" => Value::from(field),
            _ => serde_json::from_str(field).expect("a number"),
        };
        self.columns.iter().zip(line.split('|')).map(|((name, ty), field)| (name.to_string(), value(field, ty))).collect()
    }

    /// As an option of a file source; `file`: where its rows are, else it starts empty.
    fn option(&self, file: Option<&str>) -> Value {
        let columns: Map<String, Value> = self.columns.iter().map(|(name, ty)| (name.to_string(), Value::from(*ty))).collect();
        match file {
            Some(file) => json!({"csv": file, "delimiter": "|", "key": self.key, "columns": columns}),
            None => json!({"key": self.key, "columns": columns}),
        }
    }
}

/// Makes the rows of a scale factor.
pub(crate) struct Generator {
    scale: f64,
    text: TextPool,
}

impl Generator {
    /// Comments are pieces of a text of so many bytes. `dbgen`'s has 300 MiB; all else is as `dbgen` has it with any.
    pub(crate) fn new(scale: f64, text_bytes: i32) -> Generator {
        Generator { scale, text: TextPool::new(text_bytes, Distributions::static_default()) }
    }

    /// Gives each row of a table as a line of its file.
    pub(crate) fn rows(&self, table: &str, mut give: impl FnMut(&str)) {
        let (scale, text, words) = (self.scale, &self.text, Distributions::static_default());
        let mut line = |row: &dyn Display| give(row.to_string().strip_suffix('|').expect("a line of dbgen ends with a bar"));
        match table {
            "region" => RegionGenerator::new_with_distributions_and_text_pool(words, text).iter().for_each(|row| line(&row)),
            "nation" => NationGenerator::new_with_distributions_and_text_pool(words, text).iter().for_each(|row| line(&row)),
            "part" => PartGenerator::new_with_distributions_and_text_pool(scale, 1, 1, words, text).iter().for_each(|row| line(&row)),
            "supplier" => {
                SupplierGenerator::new_with_distributions_and_text_pool(scale, 1, 1, words, text).iter().for_each(|row| line(&row))
            }
            "partsupp" => PartSuppGenerator::new_with_text_pool(scale, 1, 1, text).iter().for_each(|row| line(&row)),
            "customer" => {
                CustomerGenerator::new_with_distributions_and_text_pool(scale, 1, 1, words, text).iter().for_each(|row| line(&row))
            }
            "orders" => OrderGenerator::new_with_distributions_and_text_pool(scale, 1, 1, words, text).iter().for_each(|row| line(&row)),
            "lineitem" => {
                LineItemGenerator::new_with_distributions_and_text_pool(scale, 1, 1, words, text).iter().for_each(|row| line(&row))
            }
            other => panic!("TPC-H has no table {other}"),
        }
    }
}

/// A spec of the queries, numbered from 1, over a file source. `files`: the tables that have one, `{table}.tbl`; the others start empty.
pub(crate) fn spec(queries: &[usize], files: &[&str], changes: &str) -> String {
    let views: Map<String, Value> = queries.iter().map(|&n| (view(n), json!({"sql": query(n)}))).collect();
    let options = json!({"tables": tables(files), "changes": changes});
    json!({"sources": {"tpch": {"kind": "file", "options": options}}, "views": views}).to_string()
}

/// All tables as options of a file source; `files`: those that have one.
pub(crate) fn tables(files: &[&str]) -> Map<String, Value> {
    let option = |table: &Table| {
        let file = files.contains(&table.name).then(|| format!("{}.tbl", table.name));
        (table.name.to_string(), table.option(file.as_deref()))
    };
    TABLES.iter().map(option).collect()
}

/// The view of a query.
pub(crate) fn view(query: usize) -> String {
    format!("q{query:02}")
}

/// The text of a query.
pub(crate) fn query(number: usize) -> String {
    let path = queries().join(format!("{}.sql", view(number)));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn queries() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tpch")
}

/// DataFusion cuts off the digits that an average or a quotient has no place for: it is asked for six more, so that what is compared is rounded.
pub(crate) fn with_more_digits(query: String) -> String {
    let digits = |query: String, of: &str| query.replace(of, &format!("1.000000 * {of}"));
    let of_averages = query
        .replace("avg(l_quantity) as", "avg(1.000000 * l_quantity) as")
        .replace("avg(l_extendedprice)", "avg(1.000000 * l_extendedprice)");
    let of_averages = of_averages.replace("avg(l_discount)", "avg(1.000000 * l_discount)");
    let of_shares = match of_averages.contains("mkt_share") {
        true => digits(of_averages, "sum(case"),
        false => digits(of_averages, "100.00 * sum(case"),
    };
    digits(of_shares, "sum(l_extendedprice) / 7.0")
}

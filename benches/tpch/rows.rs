//! The tables' rows, in memory.

use std::collections::HashMap;

use tidemill::sources::Table;
use tidemill::value::{Datum, Layout, Row, RowBuilder, push_text};

use crate::tpch::data::Generator;

const TEXT_BYTES: i32 = 16 << 20;

/// By table, and of the orders that come later the rows of each.
pub(crate) struct Data {
    pub(crate) rows: Vec<Vec<Row>>,
    pub(crate) orders: Vec<Vec<(usize, Row)>>,
}

impl Data {
    /// The last `later` orders come one by one.
    pub(crate) fn new(scale: f64, tables: &[Table], later: usize) -> Data {
        let generator = Generator::new(scale, TEXT_BYTES);
        let mut numbers = Vec::new();
        generator.rows("orders", |line| numbers.push(key_of(line)));
        let later: HashMap<i64, usize> = numbers[numbers.len() - later..].iter().enumerate().map(|(i, key)| (*key, i)).collect();
        let mut data = Data { rows: vec![Vec::new(); tables.len()], orders: vec![Vec::new(); later.len()] };
        for (at, table) in tables.iter().enumerate() {
            let layout = Layout::new(&table.schema);
            let mut builder = RowBuilder::new(&layout);
            let comes = ["orders", "lineitem"].contains(&table.name.as_str());
            generator.rows(&table.name, |line| {
                line.split('|').for_each(|field| push_text(&mut builder, field).expect("a value of its type"));
                let row = builder.finish();
                let Datum::Int(key) = layout.get(&row, 0) else { panic!("the first column is a number") };
                match later.get(&key).filter(|_| comes) {
                    Some(order) => data.orders[*order].push((at, row)),
                    None => data.rows[at].push(row),
                }
            });
        }
        data
    }
}

fn key_of(line: &str) -> i64 {
    line.split('|').next().and_then(|key| key.parse().ok()).expect("a line begins with a number")
}

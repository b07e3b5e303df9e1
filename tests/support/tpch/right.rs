//! What DataFusion says that the queries are, of the tables as they are after each transaction.
//!
//! Where rows are equal in the order of a query with LIMIT, any choice of them is right; everything before them must be there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use serde_json::{Map, Value};
use tidemill::value::{Layout, Row, RowBuilder, Schema, arrow, json};

use crate::support::recording::text;

/// How often each row is there, as JSON.
pub(crate) type Rows = BTreeMap<String, i64>;

/// The answer of a query.
#[derive(Debug, Default)]
pub(crate) struct Right {
    /// Rows that are there.
    certain: Rows,
    /// Rows of which so many are there: those that stand at the end of a LIMIT and are equal in its order.
    of_these: Rows,
    so_many: i64,
}

impl Right {
    /// Of rows in the order of these columns.
    pub(super) fn new(rows: Vec<String>, limit: Option<usize>, order: &[String]) -> Right {
        let Some(limit) = limit.filter(|limit| *limit < rows.len()) else {
            return Right { certain: counted(rows), ..Right::default() };
        };
        let key = |row: &String| {
            let row: Map<String, Value> = serde_json::from_str(row).unwrap();
            order.iter().map(|column| row[column].clone()).collect::<Vec<_>>()
        };
        let last = key(&rows[limit - 1]);
        let before = rows.iter().take_while(|row| key(row) != last).count();
        let equal: Vec<String> = rows[before..].iter().take_while(|row| key(row) == last).cloned().collect();
        Right { certain: counted(rows[..before].to_vec()), of_these: counted(equal), so_many: (limit - before) as i64 }
    }

    pub(crate) fn check(&self, rows: &Rows) -> Result<(), String> {
        let mut chosen = rows.clone();
        for (row, count) in &self.certain {
            *chosen.entry(row.clone()).or_default() -= count;
        }
        chosen.retain(|_, count| *count != 0);
        let allowed = |(row, count): (&String, &i64)| (0..=self.of_these.get(row).copied().unwrap_or(0)).contains(count);
        match chosen.values().sum::<i64>() == self.so_many && chosen.iter().all(allowed) {
            true => Ok(()),
            false => Err(format!("is    {rows:?}\n right {:?}\n and {} of {:?}", self.certain, self.so_many, self.of_these)),
        }
    }

    /// Whether it says nothing: no row, or one of NULLs only.
    pub(crate) fn says_nothing(&self) -> bool {
        let nulls = |row: &String| serde_json::from_str::<Map<String, Value>>(row).unwrap().values().all(Value::is_null);
        self.so_many == 0 && self.certain.keys().all(nulls)
    }
}

/// The tables of a source, which change.
pub(crate) struct Tables {
    schema: Arc<MemorySchemaProvider>,
    context: SessionContext,
    tables: Vec<TableRows>,
}

struct TableRows {
    name: String,
    schema: Schema,
    layout: Layout,
    /// Rows in the parts in which they came, which are cheap to have and to lose.
    parts: Vec<(Vec<Row>, RecordBatch)>,
}

impl Tables {
    /// Empty ones. `source`: the name of theirs.
    pub(crate) fn new<'t>(source: &str, tables: impl Iterator<Item = (&'t str, &'t Schema)>) -> Tables {
        let mut config = SessionConfig::new().with_target_partitions(1).with_default_catalog_and_schema("c", "public");
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.skip_physical_aggregate_schema_check = true;
        let context = SessionContext::new_with_config(config);
        let schema = Arc::new(MemorySchemaProvider::new());
        context.catalog("c").unwrap().register_schema(source, schema.clone()).unwrap();
        let of = |(name, schema): (&str, &Schema)| TableRows {
            name: name.into(),
            schema: schema.clone(),
            layout: Layout::new(schema),
            parts: Vec::new(),
        };
        let out = Tables { schema, context, tables: tables.map(of).collect() };
        out.tables.iter().for_each(|table| out.register(table));
        out
    }

    pub(crate) fn insert(&mut self, table: &str, rows: &[Map<String, Value>]) {
        let rows = self.tables[self.place(table)].packed(rows);
        self.insert_packed(table, rows);
    }

    pub(crate) fn insert_packed(&mut self, table: &str, rows: Vec<Row>) {
        let at = self.place(table);
        let table = &mut self.tables[at];
        table.parts.push(table.part(rows));
        self.register(&self.tables[at]);
    }

    /// Deletes rows that are there, each once.
    pub(crate) fn delete(&mut self, table: &str, rows: &[Map<String, Value>]) {
        let at = self.place(table);
        let table = &mut self.tables[at];
        let mut gone: HashSet<Row> = table.packed(rows).into_iter().collect();
        assert_eq!(gone.len(), rows.len(), "rows that are deleted differ");
        for i in 0..table.parts.len() {
            let (rows, _) = &table.parts[i];
            let kept: Vec<Row> = rows.iter().filter(|row| !gone.remove(*row)).cloned().collect();
            if kept.len() < rows.len() {
                table.parts[i] = table.part(kept);
            }
        }
        assert!(gone.is_empty(), "rows that are deleted are there");
        self.register(&self.tables[at]);
    }

    fn place(&self, table: &str) -> usize {
        self.tables.iter().position(|t| t.name == table).expect("a table of the source")
    }

    fn register(&self, table: &TableRows) {
        let batches = table.parts.iter().map(|(_, batch)| batch.clone()).collect();
        let rows = MemTable::try_new(Arc::new(table.schema.arrow()), vec![batches]).unwrap();
        self.schema.deregister_table(&table.name).unwrap();
        self.schema.register_table(table.name.clone(), Arc::new(rows)).unwrap();
    }

    /// The answer of a query on the tables, which must stay as they are until it is there; `schema`: what the view of it has.
    pub(crate) fn answer(&self, sql: String, schema: Schema) -> impl Future<Output = Right> + Send + 'static {
        let context = self.context.clone();
        async move {
            let (state, plan) = context.sql(&sql).await.unwrap().into_parts();
            let (plan, limit, order) = without_limit(plan);
            let batches = DataFrame::new(state, plan).collect().await.unwrap();
            Right::new(rows_of(&schema, &batches), limit, &order)
        }
    }
}

impl TableRows {
    fn packed(&self, rows: &[Map<String, Value>]) -> Vec<Row> {
        let mut builder = RowBuilder::new(&self.layout);
        let pack = |row| {
            json::push_object(&mut builder, row).unwrap();
            builder.finish()
        };
        rows.iter().map(pack).collect()
    }

    fn part(&self, rows: Vec<Row>) -> (Vec<Row>, RecordBatch) {
        let batch = arrow::to_batch(&self.layout, rows.iter().map(|row| &**row));
        (rows, batch)
    }
}

/// The plan without its LIMIT, which is told with the columns of the order before it.
fn without_limit(plan: LogicalPlan) -> (LogicalPlan, Option<usize>, Vec<String>) {
    let LogicalPlan::Limit(limit) = &plan else { return (plan, None, Vec::new()) };
    let (Ok(FetchType::Literal(Some(count))), LogicalPlan::Sort(sort)) = (limit.get_fetch_type(), limit.input.as_ref()) else {
        panic!("a query with LIMIT has ORDER BY: {plan}");
    };
    let column = |by: &datafusion::logical_expr::SortExpr| match &by.expr {
        Expr::Column(column) => column.name.clone(),
        other => panic!("the order of a query with LIMIT is by columns that it shows, not by {other}"),
    };
    let order = sort.expr.iter().map(column).collect();
    (limit.input.as_ref().clone(), Some(count), order)
}

pub(super) fn counted(rows: Vec<String>) -> Rows {
    let mut out = Rows::new();
    rows.into_iter().for_each(|row| *out.entry(row).or_default() += 1);
    out
}

/// As the engine writes them, in the order of the batches.
fn rows_of(schema: &Schema, batches: &[RecordBatch]) -> Vec<String> {
    let layout = Layout::new(schema);
    let mut builder = RowBuilder::new(&layout);
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            schema.columns().iter().zip(batch.columns()).map(|(column, array)| arrow::canonical(array, &column.ty).unwrap()).collect();
        for i in 0..batch.num_rows() {
            columns.iter().for_each(|array| arrow::push_array_value(&mut builder, array, i).unwrap());
            rows.push(text(&layout, &builder.finish()));
        }
    }
    rows
}

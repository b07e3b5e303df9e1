//! Lowers tables, and views of queries, with the filters and projections directly above them.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column as ColumnName, DFSchema, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

use super::recursion::recursion_of;
use super::{Readable, compiled, computed, select, unique_names};
use crate::plan::{InputColumn, Node, PlanTable, TableRows};
use crate::sql::{SqlError, name_of};
use crate::value::Column;

impl Readable<'_> {
    pub(super) fn scan(&self, scan: &TableScan) -> Result<Node, SqlError> {
        if let Some(base) = self.base_of_scan(scan, &scan.table_name) {
            let columns = base.shown();
            return base.input(columns);
        }
        if let Some(recursion) = recursion_of(scan) {
            return self.itself(scan, &recursion);
        }
        let (_, name) = name_of(&scan.table_name);
        let node = self
            .views
            .get(&name)
            .map(|view| view.node.clone())
            .ok_or_else(|| SqlError::new(format!("`{name}` is not a view of a query")))?;
        Ok(match &scan.projection {
            Some(columns) => select(node, None, columns.iter().copied().map(InputColumn::Column).collect()),
            None => node,
        })
    }

    /// The table that a plan reads, if it only filters the table.
    pub(super) fn base<'p>(&'p self, plan: &'p LogicalPlan) -> Option<BaseTable<'p>> {
        match plan {
            LogicalPlan::TableScan(scan) => self.base_of_scan(scan, &scan.table_name),
            LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
                LogicalPlan::TableScan(scan) => self.base_of_scan(scan, &alias.alias),
                _ => None,
            },
            LogicalPlan::Filter(filter) => {
                let mut base = self.base(&filter.input)?;
                base.filters.push(&filter.predicate);
                Some(base)
            }
            _ => None,
        }
    }

    fn base_of_scan<'p>(&'p self, scan: &'p TableScan, called: &'p TableReference) -> Option<BaseTable<'p>> {
        let (source, name) = name_of(&scan.table_name);
        let source = source?;
        let index = self.tables.iter().position(|t| t.source == source && t.name == name)?;
        if scan.fetch.is_some() {
            return None;
        }
        let table = &self.tables[index];
        let names = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &table.schema.arrow()).ok()?;
        let (own, shown) = (&scan.table_name, scan.projection.as_deref());
        Some(BaseTable { index, table, own, called, names, shown, filters: scan.filters.iter().collect() })
    }
}

/// A table, under the name that the query uses for it.
pub(super) struct BaseTable<'p> {
    index: usize,
    table: &'p PlanTable,
    own: &'p TableReference,
    called: &'p TableReference,
    /// All columns of the table, qualified by its own name.
    names: DFSchema,
    shown: Option<&'p [usize]>,
    filters: Vec<&'p Expr>,
}

impl BaseTable<'_> {
    /// The columns that the query's scan shows.
    pub(super) fn shown(&self) -> Vec<(InputColumn, Column)> {
        let columns = match self.shown {
            Some(columns) => columns.to_vec(),
            None => (0..self.table.schema.len()).collect(),
        };
        columns.into_iter().map(|c| (InputColumn::Column(c), self.table.schema.columns()[c].clone())).collect()
    }

    pub(super) fn column(&self, expr: &Expr) -> Result<(InputColumn, Column), SqlError> {
        let (column, output) = computed(&self.own(expr), &self.names, &self.table.schema)?;
        let (_, name) = expr.qualified_name();
        Ok((column, Column { name, ..output }))
    }

    /// The expression with the table's own name, so that equal expressions are equal whatever the query calls the table.
    fn own(&self, expr: &Expr) -> Expr {
        let renamed = expr.clone().transform(|expr| match expr {
            Expr::Column(column) if column.relation.as_ref() == Some(self.called) => {
                Ok(Transformed::yes(Expr::Column(ColumnName::new(Some(self.own.clone()), column.name))))
            }
            other => Ok(Transformed::no(other)),
        });
        renamed.data().expect("nothing here fails")
    }

    /// The table's rows with these columns, and with the filters.
    pub(super) fn input(&self, columns: Vec<(InputColumn, Column)>) -> Result<Node, SqlError> {
        let filter = self.filters.iter().map(|filter| self.own(filter)).reduce(|a, b| a.and(b));
        let filter = filter.map(|filter| compiled(&filter, &self.names, &self.table.schema)).transpose()?;
        let (columns, schema): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        Ok(Node::Table(TableRows { table: self.index, filter, columns, schema: unique_names(schema) }))
    }
}

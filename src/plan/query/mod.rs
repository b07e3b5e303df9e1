//! Lowers DataFusion's optimized plan of a query to [`Node`]s.
//!
//! In: the plan, the tables, and the nodes of views that were lowered before. Out: a node and the key of its rows, or why the query cannot
//! be maintained. Filters and projections directly above a table become part of its [`TableRows`](crate::plan::TableRows), so they are
//! applied before rows are held, and equal inputs are shared.

mod constant;
mod first;
mod group;
mod join;
mod key;
mod lowered;
mod order;
mod prune;
mod recursion;
mod scan;
mod sets;
mod unnest;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Projection, Union};

use self::constant::{folded, one_row, values};
use self::first::{first_rows, without_number};
use self::group::group;
pub(super) use self::key::{is_unique, key, makes_unique};
pub(super) use self::lowered::LoweredQuery;
use super::node::{Node, Select, Side};
use super::{InputColumn, PlanTable, RecursionLimit};
use crate::sql::{Expression, SqlError, has_subquery, place_of_with};
use crate::value::{Column, Schema};

/// What a query can read.
pub(super) struct Readable<'a> {
    /// The query's SQL.
    pub(super) text: &'a str,
    /// The plan's tables.
    pub(super) tables: &'a [PlanTable],
    /// Views by name.
    pub(super) views: &'a BTreeMap<String, LoweredQuery>,
    /// The limit of recursions.
    pub(super) limit: RecursionLimit,
    /// In the step of a recursion: its name and the schema of its rows.
    pub(super) itself: Option<(&'a str, &'a Schema)>,
}

impl Readable<'_> {
    /// The node of a plan. It has the plan's columns in the same order.
    pub(in crate::plan) fn node(&self, plan: &LogicalPlan) -> Result<Node, SqlError> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                if let Some(base) = self.base(plan) {
                    let columns = base.shown();
                    return base.input(columns);
                }
                let node = self.node(&filter.input)?;
                let (node, predicate) = match first_rows(&node, &filter.predicate, filter.input.schema()) {
                    Some((first, rest)) => (first, rest),
                    None => (node, Some(filter.predicate.clone())),
                };
                let Some(predicate) = predicate else { return Ok(node) };
                let condition = compiled(&predicate, filter.input.schema(), node.schema())?;
                let columns = (0..node.schema().len()).map(InputColumn::Column).collect();
                match select(node, Some(condition), columns) {
                    Node::Select(select) => folded(*select),
                    other => Ok(other),
                }
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.group(aggregate),
            LogicalPlan::Distinct(Distinct::All(of)) => {
                let of = self.node(of)?;
                let key = (0..of.schema().len()).collect();
                Ok(group(of, key, Vec::new()))
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row => {
                let columns = empty.schema.fields().iter().map(|field| Column::from_arrow(field)).collect::<Result<_, _>>();
                Ok(Node::Nothing(unique_names(columns.map_err(SqlError::new)?)))
            }
            LogicalPlan::EmptyRelation(_) => Ok(one_row()),
            LogicalPlan::Values(given) => values(given),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::RecursiveQuery(query) => {
                self.recursion(query).map_err(|error| error.inside(place_of_with(self.text, &query.name)))
            }
            LogicalPlan::Limit(limit) => self.limit(limit),
            // The rows of a view have no order.
            LogicalPlan::Sort(sort) => match sort.fetch {
                Some(count) => self.top(sort, 0, count),
                None => self.node(&sort.input),
            },
            other => Err(refused(other)),
        }
    }

    fn projection(&self, projection: &Projection) -> Result<Node, SqlError> {
        if let Some(base) = self.base(&projection.input) {
            let columns = projection.expr.iter().map(|expr| base.column(expr)).collect::<Result<Vec<_>, _>>()?;
            return base.input(columns);
        }
        let of = self.node(&projection.input)?;
        let column = |expr: &Expr| computed(expr, projection.input.schema(), of.schema());
        let columns = projection.expr.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let names = projection.schema.fields().iter().map(|field| field.name().clone());
        let schema = columns.iter().zip(names).map(|((_, column), name)| Column { name, ..column.clone() }).collect();
        let columns = columns.into_iter().map(|(column, _)| column).collect();
        folded(without_number(Select { of, filter: None, columns, schema: unique_names(schema) }))
    }

    fn union(&self, union: &Union) -> Result<Node, SqlError> {
        let nodes = union.inputs.iter().map(|input| self.node(input)).collect::<Result<Vec<_>, _>>()?;
        let mut columns: Vec<Column> = nodes[0].schema().columns().to_vec();
        for node in &nodes[1..] {
            for (column, other) in columns.iter_mut().zip(node.schema().columns()) {
                column.nullable |= other.nullable;
                column.absent_when_null = false;
                if column.ty.arrow() != other.ty.arrow() {
                    return Err(SqlError::new(format!("the column `{}` of UNION is {} and {}", column.name, column.ty, other.ty)));
                }
            }
        }
        let schema = Schema::new(columns);
        Ok(Node::Union(nodes.into_iter().map(|of| with_schema(of, &schema)).collect()))
    }
}

fn compiled(expr: &Expr, names: &DFSchema, input: &Schema) -> Result<Expression, SqlError> {
    match has_subquery(expr) {
        true => Err(SqlError::not_a_join()),
        false => Expression::of_plan(expr, names, input),
    }
}

fn computed(expr: &Expr, names: &DFSchema, input: &Schema) -> Result<(InputColumn, Column), SqlError> {
    let inner = expr.clone().unalias_nested().data;
    let expression = compiled(&inner, names, input)?;
    let output = expression.output().clone();
    Ok(match expression.as_column() {
        Some(column) => (InputColumn::Column(column), input.columns()[column].clone()),
        None => (InputColumn::Computed(expression), output),
    })
}

/// Adds the values of these expressions to the node's columns. Returns their places as the side's key, and the names of all columns.
fn extended(node: Node, names: &DFSchema, exprs: &[&Expr]) -> Result<(Side, DFSchema), SqlError> {
    let mut columns: Vec<InputColumn> = (0..node.schema().len()).map(InputColumn::Column).collect();
    let mut schema: Vec<Column> = node.schema().columns().to_vec();
    let mut fields: Vec<_> = names.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    let mut key = Vec::new();
    for expr in exprs {
        let (column, output) = computed(expr, names, node.schema())?;
        match column {
            InputColumn::Column(place) => key.push(place),
            InputColumn::Computed(_) => {
                key.push(columns.len());
                let output = Column { name: format!("{} #{}", output.name, columns.len()), ..output };
                fields.push((None, Arc::new(output.arrow())));
                schema.push(output);
                columns.push(column);
            }
        }
    }
    if columns.len() == node.schema().len() {
        return Ok((Side { node, key }, names.clone()));
    }
    let names = DFSchema::new_with_metadata(fields, Default::default()).map_err(|_| SqlError::new("two columns have one name"))?;
    let node = Node::Select(Box::new(Select { of: node, filter: None, columns, schema: Schema::new(schema) }));
    Ok((Side { node, key }, names))
}

fn select(of: Node, filter: Option<Expression>, columns: Vec<InputColumn>) -> Node {
    let column = |column: &InputColumn| match column {
        InputColumn::Column(c) => of.schema().columns()[*c].clone(),
        InputColumn::Computed(expression) => expression.output().clone(),
    };
    let schema = unique_names(columns.iter().map(column).collect());
    Node::Select(Box::new(Select { of, filter, columns, schema }))
}

/// The rows of a node under a schema that has the same types.
fn with_schema(of: Node, schema: &Schema) -> Node {
    if of.schema() == schema {
        return of;
    }
    let columns = (0..schema.len()).map(InputColumn::Column).collect();
    Node::Select(Box::new(Select { of, filter: None, columns, schema: schema.clone() }))
}

/// Makes the names distinct, which Arrow requires. Otherwise they are only for display.
fn unique_names(mut columns: Vec<Column>) -> Schema {
    for i in 0..columns.len() {
        while columns[..i].iter().any(|c| c.name == columns[i].name) {
            columns[i].name.push_str(&format!(" #{i}"));
        }
    }
    Schema::new(columns)
}

fn refused(plan: &LogicalPlan) -> SqlError {
    let (what, help) = match plan {
        LogicalPlan::Subquery(_) => ("UNNEST or LATERAL over another item of FROM is", "write unnest(list) as a column"),
        _ => ("this is", "leave it out"),
    };
    SqlError::new(format!("{what} not maintained yet")).help(help)
}

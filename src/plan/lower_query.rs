//! DataFusion's optimized plan of a query to [`Node`]s.
//!
//! In: the plan, the tables, and the nodes of views that were lowered before. Out: a node and the key of its rows, or why the query cannot
//! be maintained. Filters and projections right above a table become part of its [`Input`], so that they happen before anything is
//! held, and equal inputs are shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::{DFSchema, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, FetchType, Limit, LogicalPlan, Projection, SkipType, Sort, TableScan, Union};

use super::node::{Call, Group, Join, JoinKind, Node, Order, Select, Side, Top};
use super::{Input, InputColumn, PlanTable};
use crate::sql::{AggregateFunction, Expression, SqlError, has_subquery, name_of};
use crate::value::{Column, Schema, Type};

/// What a query can read.
pub(super) struct Readable<'a> {
    pub(super) tables: &'a [PlanTable],
    /// Views by their names.
    pub(super) views: &'a BTreeMap<String, Node>,
}

impl Readable<'_> {
    /// The node of a plan; its columns are the plan's, by place.
    pub(super) fn node(&self, plan: &LogicalPlan) -> Result<Node, SqlError> {
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
                let condition = compiled(&filter.predicate, filter.input.schema(), node.schema())?;
                let columns = (0..node.schema().len()).map(InputColumn::Column).collect();
                Ok(select(node, Some(condition), columns))
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
            LogicalPlan::Limit(limit) => self.limit(limit),
            // The rows of a view have no order.
            LogicalPlan::Sort(sort) => match sort.fetch {
                Some(count) => self.top(sort, 0, count),
                None => self.node(&sort.input),
            },
            other => Err(refused(other)),
        }
    }

    fn scan(&self, scan: &TableScan) -> Result<Node, SqlError> {
        if let Some(base) = self.base_of_scan(scan, &scan.table_name) {
            let columns = base.shown();
            return base.input(columns);
        }
        let (_, name) = name_of(&scan.table_name);
        let node = self.views.get(&name).cloned().ok_or_else(|| SqlError::new(format!("`{name}` is not a view of a query")))?;
        Ok(match &scan.projection {
            Some(columns) => select(node, None, columns.iter().copied().map(InputColumn::Column).collect()),
            None => node,
        })
    }

    /// The table that a plan reads, where it does nothing but filter.
    fn base<'p>(&'p self, plan: &'p LogicalPlan) -> Option<Base<'p>> {
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

    fn base_of_scan<'p>(&'p self, scan: &'p TableScan, called: &'p TableReference) -> Option<Base<'p>> {
        let (source, name) = name_of(&scan.table_name);
        let source = source?;
        let index = self.tables.iter().position(|t| t.source == source && t.name == name)?;
        if scan.fetch.is_some() {
            return None;
        }
        let table = &self.tables[index];
        let names = DFSchema::try_from_qualified_schema(called.clone(), &table.schema.arrow()).ok()?;
        Some(Base { index, table, names, shown: scan.projection.as_deref(), filters: scan.filters.iter().collect() })
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
        Ok(Node::Select(Box::new(Select { of, filter: None, columns, schema: unique_names(schema) })))
    }

    fn join(&self, join: &datafusion::logical_expr::Join) -> Result<Node, SqlError> {
        let (left_plan, right_plan, kind) = match join.join_type {
            JoinType::Inner => (&join.left, &join.right, JoinKind::Inner),
            JoinType::Left => (&join.left, &join.right, JoinKind::Left),
            JoinType::Right => (&join.right, &join.left, JoinKind::Left),
            JoinType::Full => (&join.left, &join.right, JoinKind::Full),
            JoinType::LeftSemi => (&join.left, &join.right, JoinKind::Semi),
            JoinType::RightSemi => (&join.right, &join.left, JoinKind::Semi),
            JoinType::LeftAnti => (&join.left, &join.right, JoinKind::Anti),
            JoinType::RightAnti => (&join.right, &join.left, JoinKind::Anti),
            JoinType::LeftMark => (&join.left, &join.right, JoinKind::Mark),
            JoinType::RightMark => (&join.right, &join.left, JoinKind::Mark),
        };
        let swapped = matches!(join.join_type, JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
        let (mut lefts, mut rights): (Vec<&Expr>, Vec<&Expr>) = join.on.iter().map(|(l, r)| (l, r)).unzip();
        if swapped {
            std::mem::swap(&mut lefts, &mut rights);
        }
        let (left, left_names) = extended(self.node(left_plan)?, left_plan.schema(), &lefts)?;
        let (right, right_names) = extended(self.node(right_plan)?, right_plan.schema(), &rights)?;
        let nullable = |side: &Side| side.key.iter().any(|&k| side.node.schema().columns()[k].nullable);
        if join.null_aware && (nullable(&left) || nullable(&right)) {
            return Err(SqlError::new("NOT IN over columns that may be NULL is not maintained yet").help("write NOT EXISTS"));
        }
        let (left_shown, right_shown) = (left_plan.schema().fields().len(), right_plan.schema().fields().len());
        let left_len = left.node.schema().len();
        let both = pair_schema(left.node.schema(), right.node.schema());
        let condition = match &join.filter {
            Some(filter) => Some(compiled(filter, &joined_names(&left_names, &right_names)?, &both)?),
            None => None,
        };
        let schema = join_schema(kind, left.node.schema(), right.node.schema());
        let null_equals_null = join.null_equality == NullEquality::NullEqualsNull;
        let node = Node::Join(Box::new(Join { left, right, kind, condition, null_equals_null, schema }));
        let shown: Vec<usize> = match kind {
            JoinKind::Semi | JoinKind::Anti => (0..left_shown).collect(),
            JoinKind::Mark => (0..left_shown).chain([left_len]).collect(),
            JoinKind::Inner | JoinKind::Left | JoinKind::Full if swapped => {
                (left_len..left_len + right_shown).chain(0..left_shown).collect()
            }
            JoinKind::Inner | JoinKind::Left | JoinKind::Full => (0..left_shown).chain(left_len..left_len + right_shown).collect(),
        };
        let all = shown.len() == node.schema().len() && shown.iter().enumerate().all(|(i, &s)| i == s);
        Ok(if all { node } else { select(node, None, shown.into_iter().map(InputColumn::Column).collect()) })
    }

    fn group(&self, aggregate: &Aggregate) -> Result<Node, SqlError> {
        if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) {
            return Err(
                SqlError::new("GROUPING SETS, ROLLUP and CUBE are not maintained yet").help("write each grouping and UNION ALL them")
            );
        }
        // What aggregates compute of a row becomes a column, so that an aggregate is a function of a column where it can be.
        let arguments: Vec<&Expr> = aggregate.aggr_expr.iter().flat_map(arguments_of).filter(|a| is_computed(a)).collect();
        let exprs: Vec<&Expr> = aggregate.group_expr.iter().chain(arguments.iter().copied()).collect();
        let (side, names) = extended(self.node(&aggregate.input)?, aggregate.input.schema(), &exprs)?;
        let (key, places) = side.key.split_at(aggregate.group_expr.len());
        let column = |expr: &Expr| {
            let place = arguments.iter().position(|a| *a == expr).map(|i| places[i])?;
            let (qualifier, field) = names.qualified_field(place);
            Some(Expr::Column(datafusion::common::Column::new(qualifier.cloned(), field.name())))
        };
        let call = |expr: &Expr| match has_subquery(expr) {
            true => Err(subquery_stays()),
            false => Ok(Call { function: AggregateFunction::of_plan(&with_arguments(expr, column), &names, side.node.schema())? }),
        };
        let calls = aggregate.aggr_expr.iter().map(call).collect::<Result<Vec<_>, _>>()?;
        Ok(group(side.node, key.to_vec(), calls))
    }

    fn limit(&self, limit: &Limit) -> Result<Node, SqlError> {
        let unknown = || SqlError::new("LIMIT takes a number").help("write the number itself");
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type().map_err(|_| unknown())?, limit.get_fetch_type().map_err(|_| unknown())?)
        else {
            return Err(unknown());
        };
        let LogicalPlan::Sort(sort) = limit.input.as_ref() else {
            return Err(SqlError::new("LIMIT without ORDER BY is not maintained").help("say which rows come first: ORDER BY"));
        };
        self.top(sort, skip, fetch.unwrap_or(usize::MAX))
    }

    fn top(&self, sort: &Sort, skip: usize, count: usize) -> Result<Node, SqlError> {
        let exprs: Vec<&Expr> = sort.expr.iter().map(|order| &order.expr).collect();
        let shown = sort.input.schema().fields().len();
        let (side, _) = extended(self.node(&sort.input)?, sort.input.schema(), &exprs)?;
        let order = sort.expr.iter().zip(&side.key);
        let order = order.map(|(by, &column)| Order { column, descending: !by.asc, nulls_first: by.nulls_first }).collect();
        let all = side.node.schema().len();
        let top = Node::Top(Box::new(Top { of: side.node, order, skip, count }));
        Ok(if all == shown { top } else { select(top, None, (0..shown).map(InputColumn::Column).collect()) })
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
        let alike = |of: Node| match *of.schema() == schema {
            true => of,
            false => {
                let columns = (0..schema.len()).map(InputColumn::Column).collect();
                Node::Select(Box::new(Select { of, filter: None, columns, schema: schema.clone() }))
            }
        };
        Ok(Node::Union(nodes.into_iter().map(alike).collect()))
    }

    /// The columns that make a row of the node unique.
    pub(super) fn key(&self, node: &Node) -> Option<Vec<usize>> {
        match node {
            Node::Table(input) => {
                let key = &self.tables[input.table].key;
                let place = |k: &usize| input.columns.iter().position(|c| matches!(c, InputColumn::Column(column) if column == k));
                key.iter().map(place).collect::<Option<Vec<_>>>().filter(|key| !key.is_empty())
            }
            Node::Select(select) => {
                let key = self.key(&select.of)?;
                let place = |k: &usize| select.columns.iter().position(|c| matches!(c, InputColumn::Column(column) if column == k));
                key.iter().map(place).collect()
            }
            Node::Group(group) => Some((0..group.key.len()).collect::<Vec<_>>()).filter(|key| !key.is_empty()),
            Node::Top(top) => self.key(&top.of),
            Node::Union(_) | Node::Nothing(_) => None,
            Node::Join(join) => {
                let left = self.key(&join.left.node)?;
                if matches!(join.kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) {
                    return Some(left);
                }
                let right = self.key(&join.right.node)?;
                let one_each = right.iter().all(|k| join.right.key.contains(k)) && join.kind != JoinKind::Full;
                let offset = join.left.node.schema().len();
                let right = if one_each { Vec::new() } else { right };
                Some(left.into_iter().chain(right.into_iter().map(|k| k + offset)).collect())
            }
        }
    }
}

/// A table under the name that the query has for it.
struct Base<'p> {
    index: usize,
    table: &'p PlanTable,
    /// All of the table's columns.
    names: DFSchema,
    shown: Option<&'p [usize]>,
    filters: Vec<&'p Expr>,
}

impl Base<'_> {
    fn shown(&self) -> Vec<(InputColumn, Column)> {
        let columns = match self.shown {
            Some(columns) => columns.to_vec(),
            None => (0..self.table.schema.len()).collect(),
        };
        columns.into_iter().map(|c| (InputColumn::Column(c), self.table.schema.columns()[c].clone())).collect()
    }

    fn column(&self, expr: &Expr) -> Result<(InputColumn, Column), SqlError> {
        let (column, output) = computed(expr, &self.names, &self.table.schema)?;
        let (_, name) = expr.qualified_name();
        Ok((column, Column { name, ..output }))
    }

    fn input(&self, columns: Vec<(InputColumn, Column)>) -> Result<Node, SqlError> {
        let filter = self.filters.iter().map(|f| (*f).clone()).reduce(|a, b| a.and(b));
        let filter = filter.map(|filter| compiled(&filter, &self.names, &self.table.schema)).transpose()?;
        let (columns, schema): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let visible = columns.len();
        Ok(Node::Table(Input { table: self.index, filter, columns, schema: unique_names(schema), visible }))
    }
}

fn arguments_of(expr: &Expr) -> &[Expr] {
    match expr {
        Expr::Alias(alias) => arguments_of(&alias.expr),
        Expr::AggregateFunction(call) => &call.params.args,
        _ => &[],
    }
}

/// Neither a column nor a constant. A cast of a column is left to the aggregate, which may not need it.
fn is_computed(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => is_computed(&cast.expr),
        Expr::Column(_) | Expr::Literal(_, _) => false,
        _ => expr.any_column_refs(),
    }
}

/// The call with some of its arguments replaced.
fn with_arguments(expr: &Expr, column: impl Fn(&Expr) -> Option<Expr>) -> Expr {
    match expr {
        Expr::Alias(alias) => with_arguments(&alias.expr, column),
        Expr::AggregateFunction(call) => {
            let mut call = call.clone();
            call.params.args.iter_mut().for_each(|argument| {
                if let Some(replaced) = column(argument) {
                    *argument = replaced;
                }
            });
            Expr::AggregateFunction(call)
        }
        other => other.clone(),
    }
}

fn compiled(expr: &Expr, names: &DFSchema, input: &Schema) -> Result<Expression, SqlError> {
    match has_subquery(expr) {
        true => Err(subquery_stays()),
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

/// The node with the values of these expressions among its columns, and where; `names` for all of them.
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

fn group(of: Node, key: Vec<usize>, calls: Vec<Call>) -> Node {
    let keys = key.iter().map(|&k| of.schema().columns()[k].clone());
    let schema = unique_names(keys.chain(calls.iter().map(|call| call.function.output().clone())).collect());
    Node::Group(Box::new(Group { of, key, calls, schema }))
}

fn joined_names(left: &DFSchema, right: &DFSchema) -> Result<DFSchema, SqlError> {
    left.join(right).map_err(|error| SqlError::of_definition(&error))
}

/// A left row's columns, then a right one's.
fn pair_schema(left: &Schema, right: &Schema) -> Schema {
    unique_names(left.columns().iter().chain(right.columns()).cloned().collect())
}

fn join_schema(kind: JoinKind, left: &Schema, right: &Schema) -> Schema {
    let nullable = |schema: &Schema, all: bool| -> Vec<Column> {
        schema.columns().iter().map(|c| Column { nullable: c.nullable || all, ..c.clone() }).collect()
    };
    let columns = match kind {
        JoinKind::Inner => [nullable(left, false), nullable(right, false)].concat(),
        JoinKind::Left => [nullable(left, false), nullable(right, true)].concat(),
        JoinKind::Full => [nullable(left, true), nullable(right, true)].concat(),
        JoinKind::Semi | JoinKind::Anti => nullable(left, false),
        JoinKind::Mark => [nullable(left, false), vec![Column::new("mark", Type::Bool, false)]].concat(),
    };
    unique_names(columns)
}

/// Names only serve people, and Arrow, which wants them to differ.
fn unique_names(mut columns: Vec<Column>) -> Schema {
    for i in 0..columns.len() {
        while columns[..i].iter().any(|c| c.name == columns[i].name) {
            columns[i].name.push_str(&format!(" #{i}"));
        }
    }
    Schema::new(columns)
}

fn subquery_stays() -> SqlError {
    SqlError::new("this subquery cannot be made a join").help("join with it, or make it a view of its own")
}

fn refused(plan: &LogicalPlan) -> SqlError {
    let (what, help) = match plan {
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => ("LIMIT is", "limit when reading the view"),
        LogicalPlan::Window(_) => ("a window function is", "an aggregate with GROUP BY, joined, often does the same"),
        LogicalPlan::RecursiveQuery(_) => ("WITH RECURSIVE is", "write out the steps that are needed"),
        LogicalPlan::Unnest(_) => ("UNNEST is", "keep the elements in a table of their own"),
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => ("a query without a table is", "put the rows into a table of a source"),
        LogicalPlan::Distinct(_) => ("DISTINCT ON is", "use GROUP BY with min() or max()"),
        _ => ("this is", "leave it out"),
    };
    SqlError::new(format!("{what} not maintained yet")).help(help)
}

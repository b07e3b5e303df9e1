//! The nodes of a query as text, one line each.

use std::fmt::{Display, Formatter, Result};

use super::explain::{Explanation, all_names, names, number, write_filter};
use super::{AggregateFunction, Arrangements, Counted, DeltaJoin, InputColumn, JoinKind, Node, Order, Plan, Select, Side};
use crate::value::{Column, Schema};

/// Displays what a node does.
struct Label<'a>(&'a Plan, &'a Node, &'a Arrangements);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.0.explain(&[]).label(f, self.1, self.2)
    }
}

impl Plan {
    /// The name of a node's operator in `status`: the first view that the node is part of, and its line in `explain`.
    pub fn name_of_operator(&self, node: &Node, arrangements: &Arrangements) -> String {
        let view = self.views.iter().find(|view| view.query().is_some_and(|query| query.contains(node)));
        format!("{}: {}", view.map_or("query", |view| &view.name), Label(self, node, arrangements))
    }
}

impl Explanation<'_> {
    /// Writes a node on the current line, and its inputs on the lines below.
    pub(super) fn node(&self, f: &mut Formatter<'_>, node: &Node, arrangements: &Arrangements, indent: &str, root: bool) -> Result {
        if let Some(view) = self.plan.view_of(node).filter(|_| !root && !matches!(node, Node::Table(_))) {
            return writeln!(f, "view {}", self.plan.views[view].name);
        }
        self.label(f, node, arrangements)?;
        writeln!(f)?;
        if let Some(delta) = arrangements.delta_of(node) {
            return self.delta_inputs(f, delta, arrangements, indent);
        }
        let inputs = node.inputs();
        for (i, input) in inputs.iter().enumerate() {
            let (branch, below) = if i + 1 == inputs.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "{indent}{branch}")?;
            if let Node::Join(join) = node {
                let side = if i == 0 { &join.left } else { &join.right };
                let by = names(side.node.schema(), &side.key);
                match arrangements.of_side(&side.node, &side.key) {
                    Some(shared) => write!(f, "{} ", number(shared))?,
                    None => write!(f, "held by {by}: ")?,
                }
            }
            self.node(f, input, arrangements, &format!("{indent}{below}"), false)?;
        }
        Ok(())
    }

    /// Writes what a node does, without its inputs.
    fn label(&self, f: &mut Formatter<'_>, node: &Node, arrangements: &Arrangements) -> Result {
        match node {
            Node::Table(rows) => {
                write!(f, "{}", self.table_name(rows.table))?;
                write_filter(f, rows.filter.as_ref())?;
                write!(f, ": {}", all_names(&rows.schema))?;
            }
            Node::Select(select) => {
                write!(f, "select {}", columns_text(select))?;
                if let Some(filter) = &select.filter {
                    write!(f, " where {}", filter.text())?;
                }
            }
            Node::Join(_) if arrangements.delta_of(node).is_some() => {
                write!(f, "delta join: {}", all_names(node.schema()))?;
            }
            Node::Join(join) => {
                let kind = match join.kind {
                    JoinKind::NotIn => "not in".to_string(),
                    kind => format!("{kind:?}").to_lowercase(),
                };
                let (left, right) = (names(join.left.node.schema(), &join.left.key), names(join.right.node.schema(), &join.right.key));
                write!(f, "{kind} join on {left} = {right}")?;
                if let Some(condition) = &join.condition {
                    write!(f, " and {}", condition.expression.text())?;
                }
                write!(f, ": {}", all_names(&join.schema))?;
            }
            Node::Group(group) => {
                let call = |call: &AggregateFunction| match call.first_read() {
                    Some(first) => format!("the first {first} of {}", call.text()),
                    _ => call.text().to_string(),
                };
                let calls: Vec<String> = group.calls.iter().map(call).collect();
                write!(f, "group by {}: {}", names(group.of.schema(), &group.key), calls.join(", "))?;
            }
            Node::Top(top) => {
                let skip = if top.skip > 0 { format!(" behind {}", top.skip) } else { String::new() };
                let counted = match top.counted {
                    Counted::Rows => "",
                    Counted::Ranks => " ranks",
                    Counted::Values => " values",
                };
                match top.count {
                    usize::MAX => write!(f, "all{skip}")?,
                    count => write!(f, "first {count}{counted}{skip}")?,
                }
                if !top.partition.is_empty() {
                    write!(f, " of each {}", names(top.of.schema(), &top.partition))?;
                }
                if !top.order.is_empty() {
                    write!(f, " by {}", order_text(top.of.schema(), &top.order))?;
                }
                if top.numbered {
                    write!(f, ", numbered")?;
                }
            }
            Node::Window(window) => {
                let calls: Vec<&str> = window.calls.iter().map(|call| call.name()).collect();
                write!(f, "window over {}", names(window.of.schema(), &window.partition))?;
                if !window.order.is_empty() {
                    write!(f, " by {}", order_text(window.of.schema(), &window.order))?;
                }
                write!(f, ": {}", calls.join(", "))?;
            }
            Node::Unnest(unnest) => write!(f, "unnest {}", all_names(&unnest.schema))?,
            Node::Union(_) => write!(f, "union all")?,
            Node::Constants(constants) => {
                write!(f, "{} of the query: {}", counted_rows(constants.rows.len()), all_names(&constants.schema))?
            }
            Node::Nothing(_) => write!(f, "nothing")?,
            Node::Recursion(recursion) => {
                let kind = if recursion.distinct { "union" } else { "union all" };
                let limit = format!("at most {} rounds, {} rows", recursion.limit.rounds, recursion.limit.rows);
                write!(f, "recursion by {kind}, {limit}: {}", all_names(&recursion.schema))?;
            }
            Node::Itself(schema) => write!(f, "the recursion's own rows: {}", all_names(schema))?,
        }
        Ok(())
    }

    /// Writes for each input how it is held, and which lookups its changes go through.
    fn delta_inputs(&self, f: &mut Formatter<'_>, delta: &DeltaJoin, arrangements: &Arrangements, indent: &str) -> Result {
        let held = |side: &Side| match arrangements.of_side(&side.node, &side.key) {
            Some(shared) => number(shared),
            None => format!("held by {}", names(side.node.schema(), &side.key)),
        };
        for (i, input) in delta.inputs.iter().enumerate() {
            let (branch, below) = if i + 1 == delta.inputs.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let own: Vec<String> = input.held.iter().map(held).collect();
            let path: Vec<String> = input.path.iter().map(|step| held(&delta.inputs[step.input].held[step.held])).collect();
            write!(f, "{indent}{branch}{}, through {}: ", own.join(" and "), path.join(", then "))?;
            self.node(f, &input.held[0].node, arrangements, &format!("{indent}{below}"), false)?;
        }
        Ok(())
    }
}

fn order_text(schema: &Schema, order: &[Order]) -> String {
    let by = |order: &Order| {
        let nulls = if order.nulls_first { " nulls first" } else { "" };
        format!("{}{}{nulls}", schema.columns()[order.column].name, if order.descending { " desc" } else { "" })
    };
    order.iter().map(by).collect::<Vec<_>>().join(", ")
}

fn counted_rows(count: usize) -> String {
    if count == 1 { "1 row".into() } else { format!("{count} rows") }
}

fn columns_text(select: &Select) -> String {
    let text = |(column, out): (&InputColumn, &Column)| match column {
        InputColumn::Column(_) => out.name.clone(),
        InputColumn::Computed(expression) if expression.text() == out.name => out.name.clone(),
        InputColumn::Computed(expression) => format!("{} as {}", expression.text(), out.name),
    };
    select.columns.iter().zip(select.schema.columns()).map(text).collect::<Vec<_>>().join(", ")
}

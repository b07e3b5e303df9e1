//! A view's definition as text: equal texts give equal results on equal tables. The store compares it across restarts.
//!
//! The first line is the version of the definition's meaning: our own number, and the version of DataFusion, whose functions and planner
//! determine results. So after an upgrade the stored rows are compared with what the new version computes, and the difference is output.

use std::fmt::Write;

use datafusion::DATAFUSION_VERSION;

use super::{Body, Embed, Expression, Input, InputColumn, Lookup, Node, Plan, TableRows, View};

/// Raised by every change after which an unchanged definition may give other results.
pub const MEANING: u32 = 5;

impl Plan {
    /// The definition of a view of this plan.
    pub fn definition_of(&self, view: &View) -> String {
        let mut out = format!("meaning {MEANING}, datafusion {DATAFUSION_VERSION}\n");
        match &view.body {
            Body::Document(document) => {
                write_input(&mut out, self, &document.root);
                let _ = writeln!(out, "key {:?} schema {:?}", view.key, view.schema);
                write_lookups(&mut out, self, &document.lookups);
            }
            Body::Query(query) => {
                let _ = writeln!(out, "key {:?} {:?} schema {:?}", view.key, query.uniqueness, view.schema);
                write_node(&mut out, self, &query.node);
            }
        }
        out
    }
}

fn write_node(out: &mut String, plan: &Plan, node: &Node) {
    let _ = match node {
        Node::Table(rows) => {
            write_table(out, plan, rows, rows.schema.len());
            return;
        }
        Node::Select(select) => {
            let _ = writeln!(out, "select {:?}", select.filter.as_ref().map(Expression::resolved));
            for column in &select.columns {
                let _ = match column {
                    InputColumn::Column(c) => write!(out, "column {c} "),
                    InputColumn::Computed(expression) => write!(out, "computed {:?} ", expression.resolved()),
                };
            }
            writeln!(out, "as {:?} {{", select.schema)
        }
        Node::Join(join) => {
            let condition = join.condition.as_ref().map(|condition| (condition.expression.resolved(), &condition.columns));
            let (left, right, nulls) = (&join.left.key, &join.right.key, join.null_equals_null);
            writeln!(out, "{:?} join on {left:?} = {right:?} nulls {nulls} if {condition:?} shown {:?} {{", join.kind, join.shown)
        }
        Node::Group(group) => {
            let calls: Vec<_> = group.calls.iter().map(|call| (call.text(), call.resolved())).collect();
            writeln!(out, "group by {:?} {calls:?} as {:?} {{", group.key, group.schema)
        }
        Node::Top(top) => {
            let (counted, numbered) = (top.counted, top.numbered);
            let _ = write!(out, "first {} {counted:?} behind {} of {:?} by {:?} ", top.count, top.skip, top.partition, top.order);
            writeln!(out, "numbered {numbered} as {:?} {{", top.schema)
        }
        Node::Window(window) => {
            let calls: Vec<_> = window.calls.iter().map(|call| (call.text(), call.columns())).collect();
            writeln!(out, "window over {:?} by {:?} {calls:?} as {:?} {{", window.partition, window.order, window.schema)
        }
        Node::Unnest(unnest) => writeln!(out, "unnest {:?} {:?} as {:?} {{", unnest.columns, unnest.without, unnest.schema),
        Node::Union(_) => writeln!(out, "union {{"),
        Node::Constants(constants) => {
            let rows: Vec<&[u8]> = constants.rows.iter().map(|row| &**row).collect();
            writeln!(out, "rows {rows:?} as {:?} {{", constants.schema)
        }
        Node::Nothing(_) => writeln!(out, "nothing {{"),
        Node::Recursion(recursion) => {
            writeln!(out, "recursion distinct {} {:?} as {:?} {{", recursion.distinct, recursion.limit, recursion.schema)
        }
        Node::Itself(_) => writeln!(out, "itself {{"),
    };
    node.inputs().into_iter().for_each(|input| write_node(out, plan, input));
    out.push_str("}\n");
}

fn write_lookups(out: &mut String, plan: &Plan, lookups: &[Lookup]) {
    for lookup in lookups {
        let _ = write!(out, "lookup {:?} ", lookup.path);
        write_input(out, plan, &lookup.input);
        let _ = write!(out, "on {:?} = {:?} order {:?} ", lookup.parent_columns, lookup.child_columns, lookup.order_by);
        let _ = match &lookup.embed {
            Embed::Object { field, on_many, missing } => writeln!(out, "object {field:?} {on_many:?} {missing:?}"),
            Embed::Array { field, limit, missing, aggregates } => {
                let aggregates: Vec<_> = aggregates.iter().map(|a| (&a.field, a.function.text())).collect();
                writeln!(out, "array {field:?} {limit:?} {missing:?} {aggregates:?}")
            }
            Embed::Flatten { prefix, on_many, missing } => writeln!(out, "flatten {prefix:?} {on_many:?} {missing:?}"),
        };
        out.push_str("children {\n");
        write_lookups(out, plan, &lookup.children);
        out.push_str("}\n");
    }
}

fn write_input(out: &mut String, plan: &Plan, input: &Input) {
    match &input.rows {
        Node::Table(rows) => write_table(out, plan, rows, input.visible),
        rows => {
            let _ = writeln!(out, "from a query as {:?} visible {}", rows.schema(), input.visible);
            write_node(out, plan, rows);
        }
    }
}

fn write_table(out: &mut String, plan: &Plan, rows: &TableRows, visible: usize) {
    let table = &plan.tables[rows.table];
    let _ = write!(out, "from {} key {:?} schema {:?} ", table.full_name(), table.key, table.schema);
    if let Some(filter) = &rows.filter {
        let _ = write!(out, "where {:?} ", filter.text());
    }
    for (i, column) in rows.columns.iter().enumerate() {
        let _ = match column {
            InputColumn::Column(c) => write!(out, "column {c} "),
            InputColumn::Computed(expression) => write!(out, "computed {:?} ", expression.text()),
        };
        let _ = write!(out, "as {:?} ", rows.schema.columns()[i].name);
    }
    let _ = writeln!(out, "visible {visible}");
}

//! A view's definition as one text: equal texts, equal answers on equal tables. The store compares it across restarts.

use std::fmt::Write;

use super::{Embed, Input, InputColumn, Lookup, Plan, View};

impl Plan {
    pub fn definition_of(&self, view: &View) -> String {
        let mut out = String::new();
        write_input(&mut out, self, &view.root);
        let _ = writeln!(out, "key {:?} schema {:?}", view.key, view.schema);
        write_lookups(&mut out, self, &view.lookups);
        out
    }
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
    let table = &plan.tables[input.table];
    let _ = write!(out, "from {} key {:?} schema {:?} ", table.full_name(), table.key, table.schema);
    if let Some(filter) = &input.filter {
        let _ = write!(out, "where {:?} ", filter.text());
    }
    for (i, column) in input.columns.iter().enumerate() {
        let _ = match column {
            InputColumn::Column(c) => write!(out, "column {c} "),
            InputColumn::Computed(expression) => write!(out, "computed {:?} ", expression.text()),
        };
        let _ = write!(out, "as {:?} ", input.schema.columns()[i].name);
    }
    let _ = writeln!(out, "visible {}", input.visible);
}

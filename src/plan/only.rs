//! The plan of one view alone.

use super::{Body, Document, Input, Lookup, Origin, Plan, Query, Uniqueness, View};
use crate::value::{Column, Schema};

impl Plan {
    /// The plan of this view, which is the last one of the result, and of the views of queries that it names. Tables keep their indexes.
    pub fn only(&self, view: usize) -> Plan {
        let mut wanted = self.views[view].clone();
        let mut views = Vec::new();
        if let Body::Document(document) = &mut wanted.body {
            let of_view = |origin: Origin| if let Origin::View(read) = origin { Some(read) } else { None };
            let mut read: Vec<usize> = document.inputs().into_iter().filter_map(|input| of_view(input.of)).collect();
            read.sort_unstable();
            read.dedup();
            let place = |origin: Origin| match origin {
                Origin::Table(table) => Origin::Table(table),
                Origin::View(other) => Origin::View(read.binary_search(&other).expect("it is read")),
                Origin::Own(_) => Origin::Own(read.len()),
            };
            document.for_each_input(&|input| input.of = place(input.of));
            views.extend(read.iter().map(|&other| self.views[other].clone()));
        }
        views.push(wanted);
        Plan { tables: self.tables.clone(), views }
    }

    /// A plan with the rows of these inputs of documents as views without a key, named by their index.
    pub fn of_inputs(&self, inputs: &[&Input]) -> Plan {
        let view = |(n, input): (usize, &&Input)| {
            // The names are only for display, and may be the same.
            let columns = input.schema().columns().iter().enumerate();
            let columns = columns.map(|(c, column)| Column { name: format!("c{c}"), ..column.clone() });
            let schema = Schema::new(columns.collect());
            let body = Body::Query(Query { node: input.rows.clone(), uniqueness: Uniqueness::None });
            View { name: n.to_string(), key: (0..schema.len()).collect(), schema, body }
        };
        Plan { tables: self.tables.clone(), views: inputs.iter().enumerate().map(view).collect() }
    }
}

impl Document {
    pub(super) fn for_each_input(&mut self, change: &dyn Fn(&mut Input)) {
        change(&mut self.root);
        self.lookups.iter_mut().for_each(|lookup| lookup.for_each_input(change));
    }
}

impl Lookup {
    fn for_each_input(&mut self, change: &dyn Fn(&mut Input)) {
        change(&mut self.input);
        self.children.iter_mut().for_each(|lookup| lookup.for_each_input(change));
    }
}

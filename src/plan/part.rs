//! A part of a plan: some of its views over some of its tables.

use std::collections::BTreeSet;

use super::{Body, Node, Origin, Plan, TableRows};

impl Plan {
    /// The plan of these views over these tables, in the order that they have here. The tables must include all that the views read, and the
    /// views all whose rows they read.
    pub fn part(&self, tables: &BTreeSet<usize>, views: &BTreeSet<usize>) -> Plan {
        let place = |all: &BTreeSet<usize>, index: usize| all.range(..index).count();
        let table = |rows: &mut TableRows| rows.table = place(tables, rows.table);
        let view = |&index: &usize| {
            let mut view = self.views[index].clone();
            match &mut view.body {
                Body::Query(query) => query.node.for_each_table(&table),
                Body::Document(document) => document.for_each_input(&|input| {
                    input.rows.for_each_table(&table);
                    input.of = match input.of {
                        Origin::Table(table) => Origin::Table(place(tables, table)),
                        Origin::View(view) => Origin::View(place(views, view)),
                        Origin::Own(view) => Origin::Own(place(views, view)),
                    };
                }),
            }
            view
        };
        Plan { tables: tables.iter().map(|&index| self.tables[index].clone()).collect(), views: views.iter().map(view).collect() }
    }
}

impl Node {
    fn for_each_table(&mut self, change: &dyn Fn(&mut TableRows)) {
        match self {
            Node::Table(rows) => change(rows),
            other => other.inputs_mut().into_iter().for_each(|input| input.for_each_table(change)),
        }
    }
}

//! What documents and joins read by key: rows of tables and of queries, arranged, and the keys of their changes.
//!
//! Each distinct rows are routed once, to all arrangements that hold them and to the walks up from them. Where they are a query's they
//! come later than its tables' changes of the same moment; whatever reads an arrangement or a walk goes by its frontier.

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Stream;

use crate::dataflow::held::arranged::RowTrace;
use crate::dataflow::output::ErrorOutput;
use crate::dataflow::time::Moment;
use crate::plan::{Arrangements, Body, Node, Plan, ViewArrangements};
use crate::value::Row;

pub(crate) type Keys<'s> = Stream<'s, Moment, Vec<Row>>;

/// What is rendered so far.
pub(crate) struct SharedInputs<'s, 'p> {
    /// As [`Arrangements::list`].
    arranged: Vec<Option<Arranged<'s, RowTrace>>>,
    touched: Vec<(&'p Node, Vec<usize>, Keys<'s>)>,
    /// Rows of tables, and the views that errors of these rows were already reported to.
    reported: Vec<(&'p Node, Vec<usize>)>,
    /// For each view, where its failing rows are reported.
    errors: Vec<ErrorOutput>,
}

/// Distinct rows and what is demand of them: arrangements and keys of changed rows.
pub(crate) struct Demand<'p> {
    pub(crate) rows: &'p Node,
    pub(crate) arrangements: Vec<usize>,
    pub(crate) touched: Vec<Vec<usize>>,
    /// Views that errors of a table's rows are reported to.
    pub(crate) views: Vec<usize>,
}

impl<'s, 'p> SharedInputs<'s, 'p> {
    pub(crate) fn new(plan: &Plan, arrangements: &Arrangements) -> SharedInputs<'s, 'p> {
        SharedInputs {
            arranged: arrangements.list.iter().map(|_| None).collect(),
            touched: Vec::new(),
            reported: Vec::new(),
            errors: plan.views.iter().map(|_| ErrorOutput::default()).collect(),
        }
    }

    pub(crate) fn arranged(&self, index: usize) -> &Arranged<'s, RowTrace> {
        self.arranged[index].as_ref().expect("every arrangement of the plan is rendered")
    }

    /// The arrangements' traces, each with its place in the plan.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (usize, RowTrace)> {
        self.arranged.iter().enumerate().filter_map(|(i, arranged)| Some((i, arranged.as_ref()?.trace.clone())))
    }

    pub(crate) fn errors(&self, view: usize) -> ErrorOutput {
        self.errors[view].clone()
    }

    /// Whether the errors of a table's rows were already reported to a view.
    pub(crate) fn are_reported(&self, rows: &Node, view: usize) -> bool {
        self.reported.iter().any(|(known, views)| *known == rows && views.contains(&view))
    }

    pub(crate) fn all_errors(self) -> Vec<ErrorOutput> {
        self.errors
    }

    pub(crate) fn add_reported(&mut self, rows: &'p Node, views: Vec<usize>) {
        self.reported.push((rows, views));
    }

    pub(crate) fn add_arranged(&mut self, index: usize, arranged: Arranged<'s, RowTrace>) {
        self.arranged[index] = Some(arranged);
    }

    pub(crate) fn add_touched(&mut self, rows: &'p Node, columns: Vec<usize>, keys: Keys<'s>) {
        self.touched.push((rows, columns, keys));
    }

    pub(crate) fn touched(&self, rows: &Node, columns: &[usize]) -> Keys<'s> {
        let found = self.touched.iter().find(|(r, c, _)| *r == rows && c == columns);
        found.expect("every touched key of the plan is rendered").2.clone()
    }
}

/// Everything that is demand, what is a part of something behind it first.
pub(crate) fn demands<'p>(plan: &'p Plan, arrangements: &'p Arrangements) -> Vec<Demand<'p>> {
    let mut all: Vec<Demand> = Vec::new();
    for (index, arrangement) in arrangements.list.iter().enumerate() {
        demand_of(&mut all, &arrangement.input.rows).arrangements.push(index);
    }
    for (index, (view, used)) in plan.views.iter().zip(&arrangements.views).enumerate() {
        let joined = match used {
            ViewArrangements::Document(used) => &used.query,
            ViewArrangements::Query(used) => used,
        };
        joined.iter().for_each(|&a| demand_of(&mut all, &arrangements.list[a].input.rows).report_to(index));
        if let Body::Document(document) = &view.body {
            demand_of(&mut all, &document.root.rows).touch(&view.key, index);
            for lookup in document.all_lookups() {
                demand_of(&mut all, &lookup.input.rows).touch(&lookup.child_columns, index);
            }
        }
    }
    all.sort_by_key(|demand| demand.rows.size());
    all
}

fn demand_of<'a, 'p>(all: &'a mut Vec<Demand<'p>>, rows: &'p Node) -> &'a mut Demand<'p> {
    let at = all.iter().position(|w| w.rows == rows).unwrap_or_else(|| {
        all.push(Demand { rows, arrangements: Vec::new(), touched: Vec::new(), views: Vec::new() });
        all.len() - 1
    });
    &mut all[at]
}

impl Demand<'_> {
    fn touch(&mut self, columns: &[usize], view: usize) {
        if !self.touched.iter().any(|t| t == columns) {
            self.touched.push(columns.to_vec());
        }
        self.report_to(view);
    }

    fn report_to(&mut self, view: usize) {
        if !self.views.contains(&view) {
            self.views.push(view);
        }
    }
}

//! Inputs that documents and joins read by key: rows of tables and of queries, arranged, and the keys of their changes.
//!
//! Equal rows are routed once, to all their arrangements and to the operators that climb from them. A query's rows arrive later than its
//! tables' changes of the same moment, so a reader of an arrangement or of touched keys must wait for its frontier.

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Stream;

use crate::dataflow::held::arranged::RowTrace;
use crate::dataflow::output::ErrorOutput;
use crate::dataflow::time::Moment;
use crate::plan::{Arrangements, Node, Plan, ViewReads};
use crate::value::Row;

/// Keys of changed rows.
pub(crate) type KeyStream<'s> = Stream<'s, Moment, Vec<Row>>;

/// The inputs rendered so far.
pub(crate) struct SharedInputs<'s, 'p> {
    /// Indexed like [`Arrangements::list`].
    arranged: Vec<Option<Arranged<'s, RowTrace>>>,
    touched: Vec<(&'p Node, Vec<usize>, KeyStream<'s>)>,
    /// Rows of tables, each with the views that its errors are already reported to.
    reported: Vec<(&'p Node, Vec<usize>)>,
    /// For each view, the output of its failing rows.
    errors: Vec<ErrorOutput>,
}

/// Rows and what is needed of them: arrangements, and keys of changed rows.
pub(crate) struct Demand<'p> {
    pub(crate) rows: &'p Node,
    /// Indexes into [`Arrangements::list`].
    pub(crate) arrangements: Vec<usize>,
    /// Lists of columns whose keys are needed for every change.
    pub(crate) touched: Vec<Vec<usize>>,
    /// Views that receive errors of a table's rows.
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

    /// The traces of the arrangements, each with its index in the plan.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (usize, RowTrace)> {
        self.arranged.iter().enumerate().filter_map(|(i, arranged)| Some((i, arranged.as_ref()?.trace.clone())))
    }

    pub(crate) fn errors(&self, view: usize) -> ErrorOutput {
        self.errors[view].clone()
    }

    /// Whether errors of these table rows are already reported to the view.
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

    pub(crate) fn add_touched(&mut self, rows: &'p Node, columns: Vec<usize>, keys: KeyStream<'s>) {
        self.touched.push((rows, columns, keys));
    }

    /// The keys of these columns in changed rows.
    pub(crate) fn touched(&self, rows: &Node, columns: &[usize]) -> KeyStream<'s> {
        let found = self.touched.iter().find(|(r, c, _)| *r == rows && c == columns);
        found.expect("every touched key of the plan is rendered").2.clone()
    }
}

/// All demands. Rows that are part of other rows come first.
pub(crate) fn demands<'p>(plan: &'p Plan, arrangements: &'p Arrangements) -> Vec<Demand<'p>> {
    let mut all: Vec<Demand> = Vec::new();
    for (index, arrangement) in arrangements.list.iter().enumerate() {
        demand_of(&mut all, &arrangement.input.rows).arrangements.push(index);
    }
    for (index, (view, reads)) in arrangements.by_view(plan).enumerate() {
        let joined = match reads {
            ViewReads::Document(_, used) => &used.query[..],
            ViewReads::Query(_, joined) => joined,
        };
        joined.iter().for_each(|&a| demand_of(&mut all, &arrangements.list[a].input.rows).report_to(index));
        if let ViewReads::Document(document, _) = reads {
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

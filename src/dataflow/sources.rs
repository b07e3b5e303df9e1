//! What documents and joins read by key: rows of tables and of queries, arranged, and the keys of their changes.
//!
//! Each distinct rows are routed once, to all arrangements that hold them and to the walks up from them. Where they are a query's they
//! come later than its tables' changes of the same moment; whatever reads an arrangement or a walk goes by its frontier.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use timely::dataflow::Stream;

use super::bytes::RowSpine;
use super::input::Inlet;
use super::query::Queries;
use super::render::arrange;
use super::route::{Routed, route};
use super::{FailureChange, Moment};
use crate::plan::{ArrangementKind, Arrangements, Body, InputColumn, Node, Origin, Plan, TableRows, ViewArrangements};
use crate::value::Row;

pub(super) type RowTrace = TraceAgent<RowSpine>;
pub(super) type Keys<'s> = Stream<'s, Moment, Vec<Row>>;
/// Streams whose frontiers say how far something is.
pub(super) type Told<'s> = Vec<Stream<'s, Moment, Vec<()>>>;

/// What is rendered so far.
pub(super) struct Sources<'s, 'p> {
    /// As [`Arrangements::list`].
    arranged: Vec<Option<Arranged<'s, RowTrace>>>,
    touched: Vec<(&'p Node, Vec<usize>, Keys<'s>)>,
    /// Rows of tables, and the views that hear here of those that fail.
    told: Vec<(&'p Node, Vec<usize>)>,
    /// For each view, where its failing rows are told.
    failures: Vec<Rc<RefCell<Vec<FailureChange>>>>,
}

/// Distinct rows and what is wanted of them: arrangements and keys of changed rows.
pub(super) struct Wanted<'p> {
    rows: &'p Node,
    arrangements: Vec<usize>,
    touched: Vec<Vec<usize>>,
    /// Views that hear of the failures of a table's rows.
    views: Vec<usize>,
}

impl<'s, 'p> Sources<'s, 'p> {
    pub(super) fn new(plan: &Plan, arrangements: &Arrangements) -> Sources<'s, 'p> {
        Sources {
            arranged: arrangements.list.iter().map(|_| None).collect(),
            touched: Vec::new(),
            told: Vec::new(),
            failures: plan.views.iter().map(|_| Rc::default()).collect(),
        }
    }

    pub(super) fn arranged(&self, index: usize) -> &Arranged<'s, RowTrace> {
        self.arranged[index].as_ref().expect("every arrangement of the plan is rendered")
    }

    /// The arrangements' traces, each with its place in the plan.
    pub(super) fn traces(&self) -> impl Iterator<Item = (usize, RowTrace)> {
        self.arranged.iter().enumerate().filter_map(|(i, arranged)| Some((i, arranged.as_ref()?.trace.clone())))
    }

    /// Where failing rows of a view are told.
    pub(super) fn failures(&self, view: usize) -> Rc<RefCell<Vec<FailureChange>>> {
        self.failures[view].clone()
    }

    /// Whether a view hears already of the rows that fail.
    pub(super) fn has_told(&self, rows: &Node, view: usize) -> bool {
        self.told.iter().any(|(known, views)| *known == rows && views.contains(&view))
    }

    pub(super) fn all_failures(self) -> Vec<Rc<RefCell<Vec<FailureChange>>>> {
        self.failures
    }

    pub(super) fn touched(&self, rows: &Node, columns: &[usize]) -> Keys<'s> {
        let found = self.touched.iter().find(|(r, c, _)| *r == rows && c == columns);
        found.expect("every touched key of the plan is rendered").2.clone()
    }
}

/// Everything that is wanted, what is a part of something behind it first.
pub(super) fn wanted<'p>(plan: &'p Plan, arrangements: &'p Arrangements) -> Vec<Wanted<'p>> {
    let mut all: Vec<Wanted> = Vec::new();
    for (index, arrangement) in arrangements.list.iter().enumerate() {
        wanted_of(&mut all, &arrangement.input.rows).arrangements.push(index);
    }
    for (index, (view, used)) in plan.views.iter().zip(&arrangements.views).enumerate() {
        let joined = match used {
            ViewArrangements::Document(used) => &used.query,
            ViewArrangements::Query(used) => used,
        };
        joined.iter().for_each(|&a| wanted_of(&mut all, &arrangements.list[a].input.rows).heard_by(index));
        if let Body::Document(document) = &view.body {
            wanted_of(&mut all, &document.root.rows).touch(&view.key, index);
            for lookup in document.all_lookups() {
                wanted_of(&mut all, &lookup.input.rows).touch(&lookup.child_columns, index);
            }
        }
    }
    all.sort_by_key(|wanted| wanted.rows.size());
    all
}

fn wanted_of<'a, 'p>(all: &'a mut Vec<Wanted<'p>>, rows: &'p Node) -> &'a mut Wanted<'p> {
    let at = all.iter().position(|w| w.rows == rows).unwrap_or_else(|| {
        all.push(Wanted { rows, arrangements: Vec::new(), touched: Vec::new(), views: Vec::new() });
        all.len() - 1
    });
    &mut all[at]
}

impl Wanted<'_> {
    fn touch(&mut self, columns: &[usize], view: usize) {
        if !self.touched.iter().any(|t| t == columns) {
            self.touched.push(columns.to_vec());
        }
        self.heard_by(view);
    }

    fn heard_by(&mut self, view: usize) {
        if !self.views.contains(&view) {
            self.views.push(view);
        }
    }
}

impl<'s, 'p> Queries<'s, 'p> {
    /// Renders what is wanted of some rows. The returned streams' frontiers say how far their failures are.
    pub(super) fn source(&mut self, wanted: Wanted<'p>) -> Told<'s> {
        let kinds: Vec<ArrangementKind> = wanted.arrangements.iter().map(|&a| self.arrangements.list[a].kind.clone()).collect();
        let mut told = Vec::new();
        let (name, routed) = match wanted.rows {
            Node::Table(rows) => {
                let (routed, failures) = self.table_source(rows, &wanted, kinds);
                told.push(failures);
                self.sources.told.push((wanted.rows, wanted.views.clone()));
                (self.plan.tables[rows.table].name.clone(), routed)
            }
            node => {
                let rows = self.node(node, &mut told);
                let name = self.plan.views.iter().find(|view| view.query() == Some(node)).map_or("query", |view| &view.name);
                (name.to_string(), route(&format!("Route {name}"), rows, whole(node), kinds, wanted.touched.clone()))
            }
        };
        for (&index, stream) in wanted.arrangements.iter().zip(routed.arrangements) {
            self.sources.arranged[index] = Some(arrange(&format!("Arrange {name}"), stream));
        }
        for (columns, keys) in wanted.touched.into_iter().zip(routed.touched) {
            self.sources.touched.push((wanted.rows, columns, keys));
        }
        told
    }

    fn table_source(&self, rows: &TableRows, wanted: &Wanted, kinds: Vec<ArrangementKind>) -> (Routed<'s>, Stream<'s, Moment, Vec<()>>) {
        let (table, index) = (&self.plan.tables[rows.table], rows.table);
        let inlet = Inlet::new(rows, &table.schema);
        let routed = route(&format!("Route {}", table.name), self.rows[index].clone(), inlet, kinds, wanted.touched.clone());
        let heard = wanted.views.iter().map(|&view| self.sources.failures(view)).collect();
        let failures = self.tell(routed.failures.clone(), heard, move |failure| (Some(Origin::Table(index)), failure));
        (routed, failures)
    }
}

/// Rows of a node as they are.
fn whole(node: &Node) -> Inlet {
    let columns: Vec<InputColumn> = (0..node.schema().len()).map(InputColumn::Column).collect();
    Inlet::of(None, &columns, node.schema(), node.schema())
}

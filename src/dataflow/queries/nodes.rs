//! Renders a query's nodes as operators.
//!
//! A joined table is read from its shared arrangement; all other rows flow from node to node. Equal nodes are rendered once, within a query
//! and across queries, and so are the arrangements of join sides. A block in a query's stream has the moment of the message that carries
//! it.

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::operators::probe::{Handle as Probe, Probe as _};
use timely::dataflow::operators::{Concatenate, InspectCore};
use timely::dataflow::{Scope, Stream};

use super::constants::constants;
use super::delta_join::delta_join;
use super::group::group;
use super::join::join;
use super::present::{present, present_groups};
use super::recursion::{RecursionStep, recursion};
use super::select::{key_by, select};
use super::top::top;
use super::unnest::unnest;
use super::window::window;
use crate::dataflow::changes::{Failure, FailureChange};
use crate::dataflow::errors::{Key, ROW};
use crate::dataflow::held::arranged::{RowTrace, arrange};
use crate::dataflow::held::memory::Memory;
use crate::dataflow::inputs::route::{Routed, route};
use crate::dataflow::inputs::selector::Inlet;
use crate::dataflow::inputs::shared::{Demand, SharedInputs};
use crate::dataflow::output::{ErrorOutput, ViewOutput};
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::dataflow::time::{Clock, Moment};
use crate::plan::{ArrangementKind, Arrangements, Body, Input, InputColumn, Node, Origin, Plan, Query, Side, TableRows, View};
use crate::value::Layout;

/// The queries of a plan that are rendered so far.
pub(crate) struct Queries<'s, 'p> {
    pub(crate) scope: Scope<'s, Moment>,
    pub(crate) plan: &'p Plan,
    pub(crate) arrangements: &'p Arrangements,
    /// Rows of each table, by its index in the plan.
    pub(crate) rows: &'p [RowStream<'s>],
    /// Open as long as the inputs are; carries no data.
    pub(crate) ticks: Stream<'s, Moment, Vec<()>>,
    pub(crate) shared: SharedInputs<'s, 'p>,
    pub(crate) clock: Clock,
    pub(crate) memory: Memory,
    /// Passes a moment once all views and their errors have.
    pub(crate) probe: Probe<Moment>,
    /// Nodes with their streams.
    pub(crate) rendered: Vec<(&'p Node, RowStream<'s>)>,
    /// Join sides that are arranged only for queries.
    pub(crate) held: Vec<(&'p Side, Arranged<'s, RowTrace>)>,
}

impl<'s, 'p> Queries<'s, 'p> {
    /// Renders a view of a query, with its changes as output.
    pub(crate) fn view(&mut self, view: &View, query: &'p Query, output: ViewOutput) {
        let rows = self.node(&query.node);
        let name = format!("{}: rows by key", view.name);
        let done = match as_it_is(&query.node) {
            Node::Group(group) if !group.key.is_empty() && view.key.iter().copied().eq(0..group.key.len()) => {
                present_groups(&self.memory, &name, rows, output)
            }
            _ => {
                let layout = Layout::new(&view.schema);
                let keyed = key_by(&self.memory, &format!("Key {}", view.name), rows, layout.clone(), view.key.clone());
                present(&self.memory, &name, keyed, &layout, query.uniqueness, output)
            }
        };
        done.probe_with(&self.probe);
    }

    /// Renders the arrangements and touched keys of some rows.
    pub(crate) fn input(&mut self, demand: Demand<'p>) {
        let kinds: Vec<ArrangementKind> = demand.arrangements.iter().map(|&a| self.arrangements.list[a].kind.clone()).collect();
        let (name, routed) = match demand.rows {
            Node::Table(rows) => {
                let routed = self.table_input(rows, &demand, kinds);
                self.shared.add_reported(demand.rows, demand.views.clone());
                (self.plan.tables[rows.table].name.clone(), routed)
            }
            node => {
                let rows = self.node(node);
                let name = self.plan.views.iter().find(|view| view.query() == Some(node)).map_or("query", |view| &view.name);
                let routed = route(&self.memory, &format!("Route {name}"), rows, whole(node), kinds, demand.touched.clone());
                (name.to_string(), routed)
            }
        };
        for (&index, stream) in demand.arrangements.iter().zip(routed.arrangements) {
            self.shared.add_arranged(index, arrange(&format!("Arrange {name}"), stream));
        }
        for (columns, keys) in demand.touched.into_iter().zip(routed.touched) {
            self.shared.add_touched(demand.rows, columns, keys);
        }
    }

    fn table_input(&self, rows: &TableRows, demand: &Demand, kinds: Vec<ArrangementKind>) -> Routed<'s> {
        let (table, index) = (&self.plan.tables[rows.table], rows.table);
        let (name, selector) = (format!("Route {}", table.name), Inlet::of_table(rows, &table.schema));
        let routed = route(&self.memory, &name, self.rows[index].clone(), selector, kinds, demand.touched.clone());
        let outputs = demand.views.iter().map(|&view| self.shared.errors(view)).collect();
        self.report(routed.errors.clone(), outputs, move |failure| (Some(Origin::Table(index)), failure));
        routed
    }

    /// The rows of a node, which is rendered once.
    pub(crate) fn node(&mut self, node: &'p Node) -> RowStream<'s> {
        if let Some((_, rows)) = self.rendered.iter().find(|(known, _)| *known == node) {
            return rows.clone();
        }
        let rows = self.render(node);
        self.rendered.push((node, rows.clone()));
        rows
    }

    fn render(&mut self, node: &'p Node) -> RowStream<'s> {
        let outputs = self.error_outputs(node);
        match node {
            Node::Table(input) => self.table(input, outputs),
            Node::Select(select) if select.changes_nothing() => self.node(&select.of),
            Node::Select(node) => {
                let rows = self.node(&node.of);
                let selector = Inlet::new(node.filter.as_ref(), &node.columns, &node.schema, node.of.schema());
                let (selected, errors) = select(&self.memory, "Select", rows, selector);
                let of = self.plan.view_of(&node.of).map(Origin::View);
                let key = Key::of_node(self.plan, &node.of);
                self.report(errors, outputs, move |failure: Failure| match of {
                    Some(of) => (Some(of), failure),
                    None => (None, Failure::of_query(key.tell(ROW, &failure.row, &failure.reason))),
                });
                selected
            }
            Node::Union(nodes) => {
                let all: Vec<_> = nodes.iter().map(|node| self.node(node)).collect();
                self.scope.concatenate(all)
            }
            Node::Unnest(plan) => {
                let rows = self.node(&plan.of);
                unnest(&self.memory, "Unnest", rows, plan)
            }
            Node::Constants(plan) => constants(&self.memory, "Constants", self.ticks.clone(), &plan.rows),
            Node::Nothing(_) => timely::dataflow::operators::generic::operator::empty(self.scope),
            Node::Join(plan) => {
                if let Some(delta) = self.arrangements.delta_of(node) {
                    let mut held: Vec<Vec<_>> = Vec::new();
                    for input in &delta.inputs {
                        let side = |side: &'p Side| (self.side(side), self.arrangements.held_for(side));
                        held.push(input.held.iter().map(side).collect());
                    }
                    return delta_join(&self.memory, self.scope, delta, &held);
                }
                let (left, right) = (self.side(&plan.left), self.side(&plan.right));
                let wide = [&plan.left, &plan.right].map(|side| self.arrangements.held_for(side));
                let plan = plan.over(wide.each_ref().map(Option::as_ref));
                let keys = [&plan.left, &plan.right].map(|side| Key::of_node(self.plan, &side.node));
                let (rows, errors) = join(&self.memory, "Join", &left, &right, &plan, keys);
                self.report_of_query(errors, outputs);
                rows
            }
            Node::Recursion(plan) => {
                let base = self.node(&plan.base);
                let step = self.step(&plan.step);
                let (rows, errors) = recursion(&self.memory, &self.name(node), self.scope, base, step, plan);
                self.report_of_query(errors, outputs);
                rows
            }
            Node::Itself(_) => unreachable!("it is a part of its recursion's step, which is not rendered as a node"),
            Node::Top(plan) => {
                let rows = self.node(&plan.of);
                // Rows of groups carry the groups' keys, which are not the partitions' keys.
                let keyed = key_by(&self.memory, "Key partitions", rows, Layout::new(plan.of.schema()), plan.partition.clone());
                top(&self.memory, &self.name(node), keyed, plan)
            }
            Node::Window(plan) => {
                let rows = self.node(&plan.of);
                let keyed = key_by(&self.memory, "Key partitions", rows, Layout::new(plan.of.schema()), plan.partition.clone());
                let (rows, errors) = window(&self.memory, &self.name(node), keyed, plan);
                self.report_of_query(errors, outputs);
                rows
            }
            Node::Group(plan) => {
                let only_come = plan.of.only_comes(&|table| self.plan.tables[table].stream);
                let (rows, errors) = match self.as_they_are(&plan.of) {
                    Some((rows, layout, columns)) => {
                        group(&self.memory, &self.name(node), rows, plan, &layout, &|column| columns[column], only_come)
                    }
                    None => {
                        let rows = self.node(&plan.of);
                        group(&self.memory, &self.name(node), rows, plan, &Layout::new(plan.of.schema()), &|column| column, only_come)
                    }
                };
                self.report_of_query(errors, outputs);
                rows
            }
        }
    }

    /// If the node only picks columns of a table: the table's rows, and where the node's columns are in them.
    fn as_they_are(&self, node: &Node) -> Option<(RowStream<'s>, Layout, Vec<usize>)> {
        let Node::Table(input) = node else { return None };
        let place = |column: &InputColumn| match column {
            InputColumn::Column(place) => Some(*place),
            InputColumn::Computed(_) => None,
        };
        let columns = input.columns.iter().map(place).collect::<Option<Vec<_>>>().filter(|_| input.filter.is_none())?;
        Some((self.rows[input.table].clone(), Layout::new(&self.plan.tables[input.table].schema), columns))
    }

    /// The step of a recursion. Nodes that read the recursion are rendered in its loop, all others as usual.
    fn step(&mut self, node: &'p Node) -> RecursionStep<'s> {
        match node {
            Node::Itself(_) => RecursionStep::Itself,
            Node::Select(node) => {
                let inlet = Inlet::new(node.filter.as_ref(), &node.columns, &node.schema, node.of.schema());
                RecursionStep::Select(Box::new(self.step(&node.of)), inlet)
            }
            Node::Join(join) => {
                let (own, other) = if join.left.node.reads_itself() { (&join.left, &join.right) } else { (&join.right, &join.left) };
                let (outside, held) = (self.side(other), self.arrangements.held_for(other));
                let held = if std::ptr::eq(other, &join.left) { [held.as_ref(), None] } else { [None, held.as_ref()] };
                RecursionStep::Join(Box::new(self.step(&own.node)), Box::new(join.over(held)), outside)
            }
            Node::Union(branches) => RecursionStep::Union(branches.iter().map(|branch| self.step(branch)).collect()),
            Node::Table(_)
            | Node::Group(_)
            | Node::Top(_)
            | Node::Window(_)
            | Node::Unnest(_)
            | Node::Constants(_)
            | Node::Nothing(_)
            | Node::Recursion(_) => {
                unreachable!("lowering leaves in a step what is linear in the recursion's rows")
            }
        }
    }

    fn table(&self, input: &TableRows, outputs: Vec<ErrorOutput>) -> RowStream<'s> {
        let table = &self.plan.tables[input.table];
        let (name, selector) = (format!("Select {}", table.name), Inlet::of_table(input, &table.schema));
        let (selected, errors) = select(&self.memory, &name, self.rows[input.table].clone(), selector);
        let of = Origin::Table(input.table);
        self.report(errors, outputs, move |failure| (Some(of), failure));
        selected
    }

    /// The arrangement of a join side: a shared one, or one that is rendered once.
    fn side(&mut self, side: &'p Side) -> Arranged<'s, RowTrace> {
        if let Some(shared) = self.arrangements.of_side(&side.node, &side.key) {
            return self.shared.arranged(shared).clone();
        }
        if let Some((_, held)) = self.held.iter().find(|(known, _)| *known == side) {
            return held.clone();
        }
        let rows = self.node(&side.node);
        let held = arrange("Arrange side", key_by(&self.memory, "Key side", rows, Layout::new(side.node.schema()), side.key.clone()));
        self.held.push((side, held.clone()));
        held
    }

    fn name(&self, node: &Node) -> String {
        self.plan.name_of_operator(node, self.arrangements)
    }

    /// Where errors of the node are reported: at views whose query contains it, and at documents that read it as a view of its own.
    fn error_outputs(&self, node: &Node) -> Vec<ErrorOutput> {
        let of = |view: &View| match &view.body {
            Body::Query(query) => query.node.contains(node),
            Body::Document(document) => {
                let made = |input: &&Input| matches!(input.of, Origin::View(_)) && input.rows == *node && input.is_made(self.plan);
                document.own_query().is_some_and(|query| query.contains(node)) || document.inputs().iter().any(made)
            }
        };
        let views = self.plan.views.iter().enumerate().filter(|(index, view)| of(view) && !self.shared.are_reported(node, *index));
        views.map(|(index, _)| self.shared.errors(index)).collect()
    }

    fn report_of_query(&self, errors: ErrorStream<'s>, outputs: Vec<ErrorOutput>) {
        self.report(errors, outputs, |failure| (None, failure));
    }

    fn report(&self, errors: ErrorStream<'s>, outputs: Vec<ErrorOutput>, failure: impl Fn(Failure) -> (Option<Origin>, Failure) + 'static) {
        let clock = self.clock;
        errors
            .inspect_container(move |event| {
                let Ok((_, errors)) = event else { return };
                for (failed, moment, diff) in errors {
                    let (of, failure) = failure(failed.clone());
                    let change = FailureChange { tick: clock.tick_of(*moment), of, failure, diff: *diff };
                    outputs.iter().for_each(|output| output.borrow_mut().push(change.clone()));
                }
            })
            .probe_with(&self.probe);
    }
}

/// Passes a node's rows on unchanged.
fn whole(node: &Node) -> Inlet {
    let columns: Vec<InputColumn> = (0..node.schema().len()).map(InputColumn::Column).collect();
    Inlet::new(None, &columns, node.schema(), node.schema())
}

/// The node without selections that only rename columns.
fn as_it_is(node: &Node) -> &Node {
    match node {
        Node::Select(select) if select.changes_nothing() => as_it_is(&select.of),
        node => node,
    }
}

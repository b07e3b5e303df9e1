//! A query's nodes as operators.
//!
//! A table that is joined is read from its shared arrangement; everything else flows as rows from node to node. Equal nodes are one,
//! within a query and across queries, and so are the arrangements of what is joined. The streams of a query carry blocks whose moment is
//! their message's.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concatenate, InspectCore};
use timely::dataflow::{Scope, Stream};

use super::constants::constants;
use super::delta::delta_join;
use super::failed::{Key, ROW};
use super::group::group;
use super::input::Inlet;
use super::join::join;
use super::present::{present, present_groups};
use super::recursion::{Step, recursion};
use super::render::arrange;
use super::select::{key_by, select};
use super::sources::{RowTrace, Sources, Told};
use super::top::top;
use super::unnest::unnest;
use super::updates::Updates;
use super::window::window;
use super::{Clock, DocumentChange, Failure, FailureChange, Moment};
use crate::plan::{Arrangements, Body, Input, InputColumn, Node, Origin, Plan, Query, Side, TableRows, View};
use crate::value::{Diff, Layout, Row};

/// The queries of a plan, as far as they are rendered.
pub(super) struct Queries<'s, 'p> {
    pub(super) scope: Scope<'s, Moment>,
    pub(super) plan: &'p Plan,
    pub(super) arrangements: &'p Arrangements,
    /// By table.
    pub(super) rows: &'p [Rows<'s>],
    /// Open as long as inputs are; carries nothing.
    pub(super) ticks: Stream<'s, Moment, Vec<()>>,
    pub(super) sources: Sources<'s, 'p>,
    pub(super) clock: Clock,
    pub(super) rendered: Vec<(&'p Node, Rows<'s>)>,
    pub(super) held: Vec<(&'p Side, Arranged<'s, RowTrace>)>,
}

type Rows<'s> = Stream<'s, Moment, Updates>;
/// Where failing rows of views are told.
type Heard = Vec<Rc<RefCell<Vec<FailureChange>>>>;

impl<'s, 'p> Queries<'s, 'p> {
    /// Puts what becomes of the view's keys into `done`. The returned streams' frontiers say how far the view, its failures included, is.
    pub(super) fn view(&mut self, view: &View, query: &'p Query, hydrate: bool, done: Rc<RefCell<Vec<DocumentChange>>>) -> Told<'s> {
        let mut told = Vec::new();
        let rows = self.node(&query.node, &mut told);
        let name = format!("Present {}", view.name);
        told.push(match as_it_is(&query.node) {
            Node::Group(group) if !group.key.is_empty() && view.key.iter().copied().eq(0..group.key.len()) => {
                present_groups(&name, rows, hydrate, self.clock, done)
            }
            _ => {
                let layout = Layout::new(&view.schema);
                let keyed = key_by(&format!("Key {}", view.name), rows, layout.clone(), view.key.clone());
                present(&name, keyed, &layout, query.uniqueness, hydrate, self.clock, done)
            }
        });
        told
    }

    pub(super) fn node(&mut self, node: &'p Node, told: &mut Told<'s>) -> Rows<'s> {
        if let Some((_, rows)) = self.rendered.iter().find(|(known, _)| *known == node) {
            return rows.clone();
        }
        let rows = self.render(node, told);
        self.rendered.push((node, rows.clone()));
        rows
    }

    fn render(&mut self, node: &'p Node, told: &mut Told<'s>) -> Rows<'s> {
        let heard = self.heard(node);
        match node {
            Node::Table(input) => self.table(input, heard, told),
            Node::Select(select) if select.changes_nothing() => self.node(&select.of, told),
            Node::Select(node) => {
                let rows = self.node(&node.of, told);
                let inlet = Inlet::of(node.filter.as_ref(), &node.columns, &node.schema, node.of.schema());
                let selected = select("Select", rows, inlet);
                let of = self.plan.view_of(&node.of).map(Origin::View);
                let key = Key::of(self.plan, &node.of);
                told.push(self.tell(selected.failures, heard, move |failure: Failure| match of {
                    Some(of) => (Some(of), failure),
                    None => (None, Failure { reason: key.tell(ROW, &failure.row, &failure.reason), row: Row::default() }),
                }));
                selected.rows
            }
            Node::Union(nodes) => {
                let all: Vec<_> = nodes.iter().map(|node| self.node(node, told)).collect();
                self.scope.concatenate(all)
            }
            Node::Unnest(plan) => unnest("Unnest", self.node(&plan.of, told), plan),
            Node::Constants(plan) => constants("Constants", self.ticks.clone(), &plan.rows),
            Node::Nothing(_) => timely::dataflow::operators::generic::operator::empty(self.scope),
            Node::Join(plan) => {
                if let Some(delta) = self.arrangements.delta_of(node) {
                    let mut held: Vec<Vec<_>> = Vec::new();
                    for input in &delta.inputs {
                        let side = |side: &'p Side| (self.side(side, told), self.arrangements.held_for(side));
                        held.push(input.held.iter().map(side).collect());
                    }
                    return delta_join(self.scope, delta, &held);
                }
                let (left, right) = (self.side(&plan.left, told), self.side(&plan.right, told));
                let wide = [&plan.left, &plan.right].map(|side| self.arrangements.held_for(side));
                let plan = plan.over(wide.each_ref().map(Option::as_ref));
                let keys = [&plan.left, &plan.right].map(|side| Key::of(self.plan, &side.node));
                let (rows, problems) = join("Join", &left, &right, &plan, keys);
                told.push(self.tell_problems(problems, heard));
                rows
            }
            Node::Recursion(plan) => {
                let base = self.node(&plan.base, told);
                let step = self.step(&plan.step, told);
                let (rows, problems) = recursion(self.scope, base, step, plan);
                told.push(self.tell_problems(problems, heard));
                rows
            }
            Node::Itself(_) => unreachable!("it is a part of its recursion's step, which is not rendered as a node"),
            Node::Top(plan) => {
                let rows = self.node(&plan.of, told);
                // Rows of groups come with the groups' keys, which are no partitions.
                let keyed = key_by("Key partitions", rows, Layout::new(plan.of.schema()), plan.partition.clone());
                top("Top", keyed, plan)
            }
            Node::Window(plan) => {
                let rows = self.node(&plan.of, told);
                let keyed = key_by("Key partitions", rows, Layout::new(plan.of.schema()), plan.partition.clone());
                let (rows, problems) = window("Window", keyed, plan);
                told.push(self.tell_problems(problems, heard));
                rows
            }
            Node::Group(plan) => {
                let only_come = plan.of.only_comes(&|table| self.plan.tables[table].stream);
                let (rows, problems) = match self.as_they_are(&plan.of) {
                    Some((rows, layout, columns)) => group("Group", rows, plan, &layout, &|column| columns[column], only_come),
                    None => group("Group", self.node(&plan.of, told), plan, &Layout::new(plan.of.schema()), &|column| column, only_come),
                };
                told.push(self.tell_problems(problems, heard));
                rows
            }
        }
    }

    /// The rows of a table of which the node does nothing but choose columns: where each is.
    fn as_they_are(&self, node: &Node) -> Option<(Rows<'s>, Layout, Vec<usize>)> {
        let Node::Table(input) = node else { return None };
        let place = |column: &InputColumn| match column {
            InputColumn::Column(place) => Some(*place),
            InputColumn::Computed(_) => None,
        };
        let columns = input.columns.iter().map(place).collect::<Option<Vec<_>>>().filter(|_| input.filter.is_none())?;
        Some((self.rows[input.table].clone(), Layout::new(&self.plan.tables[input.table].schema), columns))
    }

    /// The step of a recursion: what reads the recursion is rendered in its loop, everything else as any node.
    fn step(&mut self, node: &'p Node, told: &mut Told<'s>) -> Step<'s> {
        match node {
            Node::Itself(_) => Step::Itself,
            Node::Select(node) => {
                let inlet = Inlet::of(node.filter.as_ref(), &node.columns, &node.schema, node.of.schema());
                Step::Select(Box::new(self.step(&node.of, told)), inlet)
            }
            Node::Join(join) => {
                let (own, other) = if join.left.node.reads_itself() { (&join.left, &join.right) } else { (&join.right, &join.left) };
                let (outside, held) = (self.side(other, told), self.arrangements.held_for(other));
                let held = if std::ptr::eq(other, &join.left) { [held.as_ref(), None] } else { [None, held.as_ref()] };
                Step::Join(Box::new(self.step(&own.node, told)), Box::new(join.over(held)), outside)
            }
            Node::Union(branches) => Step::Union(branches.iter().map(|branch| self.step(branch, told)).collect()),
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

    fn table(&self, input: &TableRows, heard: Heard, told: &mut Told<'s>) -> Rows<'s> {
        let table = &self.plan.tables[input.table];
        let selected = select(&format!("Select {}", table.name), self.rows[input.table].clone(), Inlet::new(input, &table.schema));
        let of = Origin::Table(input.table);
        told.push(self.tell(selected.failures, heard, move |failure| (Some(of), failure)));
        selected.rows
    }

    fn side(&mut self, side: &'p Side, told: &mut Told<'s>) -> Arranged<'s, RowTrace> {
        if let Some(shared) = self.arrangements.of_side(&side.node, &side.key) {
            return self.sources.arranged(shared).clone();
        }
        if let Some((_, held)) = self.held.iter().find(|(known, _)| *known == side) {
            return held.clone();
        }
        let rows = self.node(&side.node, told);
        let held = arrange("Arrange side", key_by("Key side", rows, Layout::new(side.node.schema()), side.key.clone()));
        self.held.push((side, held.clone()));
        held
    }

    /// The views that hear of what fails in the node: those of whose query it is a part, and documents whose place it makes of another view.
    fn heard(&self, node: &Node) -> Heard {
        let of = |view: &View| match &view.body {
            Body::Query(query) => query.node.contains(node),
            Body::Document(document) => {
                let made = |input: &&Input| matches!(input.of, Origin::View(_)) && input.rows == *node && input.is_made(self.plan);
                document.own_query().is_some_and(|query| query.contains(node)) || document.inputs().iter().any(made)
            }
        };
        let views = self.plan.views.iter().enumerate().filter(|(index, view)| of(view) && !self.sources.has_told(node, *index));
        views.map(|(i, _)| self.sources.failures(i)).collect()
    }

    fn tell_problems(&self, problems: Stream<'s, Moment, Vec<(String, Moment, Diff)>>, heard: Heard) -> Stream<'s, Moment, Vec<()>> {
        self.tell(problems, heard, |reason| (None, Failure { row: Row::default(), reason }))
    }

    pub(super) fn tell<T: Clone + 'static>(
        &self,
        failures: Stream<'s, Moment, Vec<(T, Moment, Diff)>>,
        heard: Heard,
        failure: impl Fn(T) -> (Option<Origin>, Failure) + 'static,
    ) -> Stream<'s, Moment, Vec<()>> {
        let clock = self.clock;
        failures
            .inspect_container(move |event| {
                let Ok((_, failures)) = event else { return };
                for (failed, moment, diff) in failures {
                    let (of, failure) = failure(failed.clone());
                    let change = FailureChange { tick: clock.tick_of(*moment), of, failure, diff: *diff };
                    heard.iter().for_each(|h| h.borrow_mut().push(change.clone()));
                }
            })
            // Nothing is left to carry but how far it is.
            .flat_map(|_| None)
    }
}

/// The node whose rows these are, under whatever names.
fn as_it_is(node: &Node) -> &Node {
    match node {
        Node::Select(select) if select.changes_nothing() => as_it_is(&select.of),
        node => node,
    }
}

//! Determines the arrangements that a plan needs. `dataflow` renders them and `explain` prints them.
//!
//! The root is arranged by the view's key, the input of each lookup by its `child_columns`. A change of a child must find the root's key:
//! if the child's key is not itself the key by which its parent is reached, a slim reverse index leads there. Equal rows by equal keys
//! share an arrangement, within a view and across views. A join side is listed here if it is a table, or if a document needs the same
//! arrangement.

use super::arrangement::{Arrangement, ArrangementKind};
use super::delta_join::{DeltaJoin, Tree};
use super::held::HeldSide;
use super::{Body, Document, Input, Lookup, Node, Origin, Plan, Query, Side, View};

/// All arrangements of a plan, and where each is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrangements {
    pub list: Vec<Arrangement>,
    /// Indexed like [`Plan::views`].
    pub views: Vec<ViewArrangements>,
    /// The joins that are maintained as delta joins.
    pub deltas: Vec<DeltaJoin>,
    /// The join sides that use an arrangement of the list, each with its index. The arrangement may have more columns than the side.
    pub sides: Vec<(Side, usize)>,
}

/// Indexes into [`Arrangements::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewArrangements {
    Document(DocumentArrangements),
    /// The arrangements that the query's joins read; [`Arrangements::of_side`] returns the one of a side.
    Query(Vec<usize>),
}

/// Indexes into [`Arrangements::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentArrangements {
    pub root: usize,
    /// Indexed like [`Document::lookups`].
    pub lookups: Vec<LookupArrangements>,
    /// The arrangements that the joins of the document's own query read.
    pub query: Vec<usize>,
}

/// Indexes into [`Arrangements::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupArrangements {
    pub rows: usize,
    pub up: Up,
    /// Indexed like [`Lookup::children`].
    pub children: Vec<LookupArrangements>,
}

/// How a changed child's key leads to the key by which its parent is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Up {
    /// The keys are the same.
    Same,
    /// By this reverse index of the parent.
    Index(usize),
}

impl Plan {
    /// The arrangements of all views.
    pub fn arrangements(&self) -> Arrangements {
        let (mut list, mut joins) = (Vec::new(), Vec::new());
        let is_view = |node: &Node| self.view_of(node).is_some();
        let mut views = Vec::new();
        for (index, view) in self.views.iter().enumerate() {
            let mut joined = Vec::new();
            view.query().into_iter().for_each(|query| {
                joined_tables(&mut list, query, &mut joined, &mut |node| match Tree::from_node(node, &is_view) {
                    Some(tree) => {
                        let inputs = tree.inputs();
                        joins.push((index, node, tree));
                        inputs
                    }
                    None => Vec::new(),
                });
            });
            views.push(match &view.body {
                Body::Document(document) => ViewArrangements::Document(document_arrangements(&mut list, view, document, joined)),
                Body::Query(_) => ViewArrangements::Query(joined),
            });
        }
        // Delta joins are chosen last: arrangements that exist anyway cost them nothing.
        let mut deltas: Vec<DeltaJoin> = Vec::new();
        for (view, node, tree) in joins {
            let known = deltas.iter().position(|delta| delta.node == *node);
            let delta = known.or_else(|| {
                deltas.push(tree.delta_join(&self.tables, &list)?);
                Some(deltas.len() - 1)
            });
            let used = views[view].joined();
            match delta {
                Some(delta) => deltas[delta].sides().for_each(|side| held_side(&mut list, side, used)),
                None => two_by_two(&mut list, node, &tree, used),
            }
        }
        let mut arrangements = Arrangements { list, views, deltas, sides: Vec::new() }.widened(&self.tables);
        for (index, view) in self.views.iter().enumerate() {
            let shared: Vec<usize> = view.query().map(|query| arrangements.shared_sides(query)).unwrap_or_default();
            arrangements.views[index].joined().extend(shared);
        }
        arrangements
    }
}

impl View {
    /// The query of the view, or a document's own query; `None` for other documents.
    pub fn query(&self) -> Option<&Node> {
        match &self.body {
            Body::Document(document) => document.own_query(),
            Body::Query(query) => Some(&query.node),
        }
    }
}

/// What a view shows, with the arrangements that it reads.
#[derive(Debug, Clone, Copy)]
pub enum ViewReads<'a> {
    Document(&'a Document, &'a DocumentArrangements),
    /// With what the query joins.
    Query(&'a Query, &'a [usize]),
}

impl Arrangements {
    /// The views of the plan that these are of, in its order.
    pub fn by_view<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a View, ViewReads<'a>)> {
        plan.views.iter().zip(&self.views).map(|(view, used)| {
            let reads = match (&view.body, used) {
                (Body::Document(document), ViewArrangements::Document(used)) => ViewReads::Document(document, used),
                (Body::Query(query), ViewArrangements::Query(joined)) => ViewReads::Query(query, joined),
                _ => unreachable!("arrangements are of the plan's views, in its order"),
            };
            (view, reads)
        })
    }
}

impl ViewArrangements {
    /// The arrangements that the view's joins read.
    pub(super) fn joined(&mut self) -> &mut Vec<usize> {
        match self {
            ViewArrangements::Document(used) => &mut used.query,
            ViewArrangements::Query(used) => used,
        }
    }
}

impl Arrangements {
    /// How a join of several inputs is maintained as a delta join; `None` if it is joined two by two.
    pub fn delta_of(&self, node: &Node) -> Option<&DeltaJoin> {
        self.deltas.iter().find(|delta| delta.node == *node)
    }

    /// The arrangement of a join side in the list; `None` if nothing else needs it, so that it is arranged separately.
    pub fn of_side(&self, node: &Node, key: &[usize]) -> Option<usize> {
        self.sides.iter().find(|(side, _)| side.node == *node && side.key == key).map(|(_, place)| *place)
    }

    /// Where a side's columns are in its arrangement; `None` if the arrangement has exactly the side's columns, or if the side is not in
    /// the list.
    pub fn held_for(&self, side: &Side) -> Option<HeldSide> {
        HeldSide::find(&self.list[self.of_side(&side.node, &side.key)?].input.rows, &side.node)
    }

    /// The join sides that are not tables but are in the list because documents need them.
    fn shared_sides(&self, node: &Node) -> Vec<usize> {
        let of_side = |side: &Side| self.of_side(&side.node, &side.key).filter(|_| !matches!(side.node, Node::Table(_)));
        let (sides, inputs): (Vec<&Side>, Vec<&Node>) = match (self.delta_of(node), node) {
            (Some(delta), _) => (delta.sides().collect(), delta.inputs.iter().map(|input| &input.held[0].node).collect()),
            (None, Node::Join(join)) => (vec![&join.left, &join.right], node.inputs()),
            (None, _) => (Vec::new(), node.inputs()),
        };
        let below = inputs.into_iter().flat_map(|input| self.shared_sides(input));
        sides.into_iter().filter_map(of_side).chain(below).collect()
    }
}

fn document_arrangements(list: &mut Vec<Arrangement>, view: &View, document: &Document, query: Vec<usize>) -> DocumentArrangements {
    let Document { root, lookups } = document;
    let rows = shared(list, root, ArrangementKind::Rows { key: view.key.clone() });
    let lookups = lookups.iter().map(|l| lookup_arrangements(list, root, &view.key, l)).collect();
    DocumentArrangements { root: rows, lookups, query }
}

/// Adds the tables that are join sides. For a join of several inputs `postpone` returns the inputs, and only what is below them is added.
fn joined_tables<'p>(
    list: &mut Vec<Arrangement>,
    node: &'p Node,
    used: &mut Vec<usize>,
    postpone: &mut dyn FnMut(&'p Node) -> Vec<&'p Node>,
) {
    let inputs = postpone(node);
    if !inputs.is_empty() {
        return inputs.into_iter().for_each(|input| joined_tables(list, input, used, postpone));
    }
    if let Node::Join(join) = node {
        [&join.left, &join.right].into_iter().for_each(|side| held_side(list, side, used));
    }
    node.inputs().into_iter().for_each(|input| joined_tables(list, input, used, postpone));
}

/// Adds the tables of a join of several inputs that is joined two by two.
fn two_by_two(list: &mut Vec<Arrangement>, node: &Node, tree: &Tree, used: &mut Vec<usize>) {
    let Node::Join(join) = node else { return };
    for side in [&join.left, &join.right] {
        held_side(list, side, used);
        if !tree.inputs().contains(&&side.node) {
            two_by_two(list, &side.node, tree, used);
        }
    }
}

fn held_side(list: &mut Vec<Arrangement>, side: &Side, used: &mut Vec<usize>) {
    if let Node::Table(rows) = &side.node {
        let input = Input { rows: side.node.clone(), visible: rows.schema.len(), of: Origin::Table(rows.table) };
        used.push(shared(list, &input, ArrangementKind::Rows { key: side.key.clone() }));
    }
}

/// `reached_by`: the parent's columns by whose key it is reached: the view's key for the root, else its `child_columns`.
fn lookup_arrangements(list: &mut Vec<Arrangement>, parent: &Input, reached_by: &[usize], lookup: &Lookup) -> LookupArrangements {
    let rows = shared(list, &lookup.input, ArrangementKind::Rows { key: lookup.child_columns.clone() });
    let up = if lookup.parent_columns == reached_by {
        Up::Same
    } else {
        let kind = ArrangementKind::Reverse { from: lookup.parent_columns.clone(), to: reached_by.to_vec() };
        Up::Index(shared(list, parent, kind))
    };
    let children = lookup.children.iter().map(|c| lookup_arrangements(list, &lookup.input, &lookup.child_columns, c)).collect();
    LookupArrangements { rows, up, children }
}

fn shared(list: &mut Vec<Arrangement>, input: &Input, kind: ArrangementKind) -> usize {
    let place = list.iter().position(|a| a.input.rows == input.rows && a.kind == kind);
    place.unwrap_or_else(|| {
        list.push(Arrangement { input: input.clone(), kind });
        list.len() - 1
    })
}

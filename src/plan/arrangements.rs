//! Which arrangements a plan needs: the one rule that `dataflow` renders by and `explain` prints.
//!
//! The root is arranged by the view's key, the input of each lookup by its `child_columns`. A change of a child must find the root's
//! key: where the child's key is not itself the key by which its parent is reached, a slim reverse index leads there. Arrangements of
//! equal rows by equal keys are one, within a view and across views; a side of a join has one here where it is a table, or where a document
//! needs it as well.

use super::arrangement::{Arrangement, ArrangementKind};
use super::delta::{DeltaJoin, Tree};
use super::held::Held;
use super::{Body, Document, Input, Lookup, Node, Origin, Plan, Side, View};

/// All arrangements of a plan, and which of them serve where.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrangements {
    pub list: Vec<Arrangement>,
    /// As [`Plan::views`].
    pub views: Vec<ViewArrangements>,
    /// The joins of which only the inputs are held.
    pub deltas: Vec<DeltaJoin>,
    /// The sides of joins that the list holds, with their places in it. What is held may have more columns.
    pub sides: Vec<(Side, usize)>,
}

/// Indexes into [`Arrangements::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewArrangements {
    Document(DocumentArrangements),
    /// What the query joins; [`Arrangements::of_side`] says which is whose.
    Query(Vec<usize>),
}

/// Indexes into [`Arrangements::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentArrangements {
    pub root: usize,
    /// As [`Document::lookups`].
    pub lookups: Vec<LookupArrangements>,
    /// What the document's own query joins.
    pub query: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupArrangements {
    pub rows: usize,
    pub up: Up,
    /// As [`Lookup::children`].
    pub children: Vec<LookupArrangements>,
}

/// How the key of a changed child leads to the key by which its parent is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Up {
    /// It is that key.
    Same,
    /// Through this reverse index of the parent.
    Index(usize),
}

impl Plan {
    pub fn arrangements(&self) -> Arrangements {
        let (mut list, mut joins) = (Vec::new(), Vec::new());
        let is_view = |node: &Node| self.view_of(node).is_some();
        let mut views = Vec::new();
        for (index, view) in self.views.iter().enumerate() {
            let mut joined = Vec::new();
            view.query().into_iter().for_each(|query| {
                joined_tables(&mut list, query, &mut joined, &mut |node| match Tree::of(node, &is_view) {
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
        // What is held anyhow decides about joins of several inputs.
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
    /// The query whose rows it has, or of whose rows it makes documents.
    pub fn query(&self) -> Option<&Node> {
        match &self.body {
            Body::Document(document) => document.own_query(),
            Body::Query(query) => Some(&query.node),
        }
    }
}

impl ViewArrangements {
    pub(super) fn joined(&mut self) -> &mut Vec<usize> {
        match self {
            ViewArrangements::Document(used) => &mut used.query,
            ViewArrangements::Query(used) => used,
        }
    }
}

impl Arrangements {
    /// How a join of several inputs is maintained without holding any join; `None` where it is joined two by two.
    pub fn delta_of(&self, node: &Node) -> Option<&DeltaJoin> {
        self.deltas.iter().find(|delta| delta.node == *node)
    }

    /// The arrangement of a side of a join; `None` for a side that nobody else needs, which is arranged for itself.
    pub fn of_side(&self, node: &Node, key: &[usize]) -> Option<usize> {
        self.sides.iter().find(|(side, _)| side.node == *node && side.key == key).map(|(_, place)| *place)
    }

    /// Where the columns of a side of a join are in what is held of it; `None` where it is held as it is.
    pub fn held_for(&self, side: &Side) -> Option<Held> {
        Held::of(&self.list[self.of_side(&side.node, &side.key)?].input.rows, &side.node)
    }

    /// What is joined of what is no table, and is in the list because documents need it.
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

/// The tables that are sides of joins. Of joins of several inputs that `postpone` answers with the inputs, only what is in these.
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

/// The tables of joins of several inputs, joined two by two.
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

/// `reached_by`: the columns of the parent by whose key it is reached: the view's key at the root, else its `child_columns`.
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

//! Which arrangements a plan needs: the one rule that `dataflow` renders by and `explain` prints.
//!
//! The root is arranged by the view's key, the input of each lookup by its `child_columns`. A change of a child must find the root's
//! key: where the child's key is not itself the key by which its parent is reached, a slim reverse index leads there. Arrangements of
//! equal inputs by equal keys are one, within a view and across views.

use super::delta::{DeltaJoin, Tree};
use super::{Body, Document, Input, Lookup, Node, Plan, Side, View};

/// Something held in memory: an input's rows by key, or a slim index of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrangement {
    pub input: Input,
    pub kind: ArrangementKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrangementKind {
    /// Whole rows by these columns.
    Rows { key: Vec<usize> },
    /// The key of the columns `to` by the key of the columns `from`.
    Reverse { from: Vec<usize>, to: Vec<usize> },
}

/// All arrangements of a plan, and which of them serve where.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrangements {
    pub list: Vec<Arrangement>,
    /// As [`Plan::views`].
    pub views: Vec<ViewArrangements>,
    /// The joins of which only the inputs are held.
    pub deltas: Vec<DeltaJoin>,
}

/// Indexes into [`Arrangements::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewArrangements {
    Document(DocumentArrangements),
    /// The tables that the query joins; [`Arrangements::of_side`] says which is whose.
    Query(Vec<usize>),
}

/// Indexes into [`Arrangements::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentArrangements {
    pub root: usize,
    /// As [`Document::lookups`].
    pub lookups: Vec<LookupArrangements>,
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
        let is_view = |node: &Node| self.views.iter().any(|view| matches!(&view.body, Body::Query(query) if query.node == *node));
        let mut views = Vec::new();
        for view in &self.views {
            views.push(match &view.body {
                Body::Document(document) => ViewArrangements::Document(document_arrangements(&mut list, view, document)),
                Body::Query(query) => {
                    let mut used = Vec::new();
                    joined_tables(&mut list, &query.node, &mut used, &mut |node| match Tree::of(node, &is_view) {
                        Some(tree) => {
                            let inputs = tree.inputs();
                            joins.push((views.len(), node, tree));
                            inputs
                        }
                        None => Vec::new(),
                    });
                    ViewArrangements::Query(used)
                }
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
            let mut used = Vec::new();
            match delta {
                Some(delta) => deltas[delta].sides().for_each(|side| held_side(&mut list, side, &mut used)),
                None => two_by_two(&mut list, node, &tree, &mut used),
            }
            if let ViewArrangements::Query(of_view) = &mut views[view] {
                of_view.append(&mut used);
            }
        }
        Arrangements { list, views, deltas }
    }
}

impl Arrangements {
    /// How a join of several inputs is maintained without holding any join; `None` where it is joined two by two.
    pub fn delta_of(&self, node: &Node) -> Option<&DeltaJoin> {
        self.deltas.iter().find(|delta| delta.node == *node)
    }

    /// The arrangement of a table as a side of a join; `None` for a side that is not a table, which is arranged for itself.
    pub fn of_side(&self, node: &Node, key: &[usize]) -> Option<usize> {
        let Node::Table(input) = node else { return None };
        self.list.iter().position(|a| a.input == *input && matches!(&a.kind, ArrangementKind::Rows { key: k } if k == key))
    }
}

fn document_arrangements(list: &mut Vec<Arrangement>, view: &View, Document { root, lookups }: &Document) -> DocumentArrangements {
    let rows = shared(list, root, ArrangementKind::Rows { key: view.key.clone() });
    let lookups = lookups.iter().map(|l| lookup_arrangements(list, root, &view.key, l)).collect();
    DocumentArrangements { root: rows, lookups }
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
    if let Node::Table(input) = &side.node {
        used.push(shared(list, input, ArrangementKind::Rows { key: side.key.clone() }));
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
    let wanted = Arrangement { input: input.clone(), kind };
    list.iter().position(|a| *a == wanted).unwrap_or_else(|| {
        list.push(wanted);
        list.len() - 1
    })
}

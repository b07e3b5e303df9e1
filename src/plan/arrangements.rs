//! Which arrangements a plan needs: the one rule that `dataflow` renders by and `explain` prints.
//!
//! The root is arranged by the view's key, the input of each lookup by its `child_columns`. A change of a child must find the root's
//! key: where the child's key is not itself the key by which its parent is reached, a slim reverse index leads there. Arrangements of
//! equal inputs by equal keys are one, within a view and across views.

use super::{Body, Document, Input, Lookup, Node, Plan, View};

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
        let mut list = Vec::new();
        let views = self.views.iter().map(|view| view_arrangements(&mut list, view)).collect();
        Arrangements { list, views }
    }
}

impl Arrangements {
    /// The arrangement of a table as a side of a join; `None` for a side that is not a table, which is arranged for itself.
    pub fn of_side(&self, node: &Node, key: &[usize]) -> Option<usize> {
        let Node::Table(input) = node else { return None };
        self.list.iter().position(|a| a.input == *input && matches!(&a.kind, ArrangementKind::Rows { key: k } if k == key))
    }
}

fn view_arrangements(list: &mut Vec<Arrangement>, view: &View) -> ViewArrangements {
    match &view.body {
        Body::Document(Document { root, lookups }) => {
            let rows = shared(list, root, ArrangementKind::Rows { key: view.key.clone() });
            let lookups = lookups.iter().map(|l| lookup_arrangements(list, root, &view.key, l)).collect();
            ViewArrangements::Document(DocumentArrangements { root: rows, lookups })
        }
        Body::Query(query) => {
            let mut used = Vec::new();
            joined_tables(list, &query.node, &mut used);
            ViewArrangements::Query(used)
        }
    }
}

fn joined_tables(list: &mut Vec<Arrangement>, node: &Node, used: &mut Vec<usize>) {
    if let Node::Join(join) = node {
        for side in [&join.left, &join.right] {
            if let Node::Table(input) = &side.node {
                used.push(shared(list, input, ArrangementKind::Rows { key: side.key.clone() }));
            }
        }
    }
    node.inputs().into_iter().for_each(|input| joined_tables(list, input, used));
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

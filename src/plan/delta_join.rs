//! Decides which inner joins of several inputs are delta joins, which hold only their inputs.
//!
//! If inputs are joined two by two, every join but the last is held, as a side of the next. A delta join instead looks up a change of any
//! input in the other inputs, one after the other. So only the inputs are held, each by every key that some path looks up. This is less if
//! the keys are few or arranged for something else anyway, and more if a filter makes the first joins small. Sizes are unknown here, so the
//! rule compares widths: see [`Tree::is_worth_it`]. (Delta joins are the delta queries of DBToaster and Materialize.)
//!
//! A change of input `i` reads the inputs before it as of its moment, and those after it as of just before. So each pair of changes of one
//! moment is counted once. At the first moment there is nothing before, and all results come from the last input's path. Therefore the
//! input whose path has the fewest lookups that may find several rows is put last.

use std::ops::Range;

use super::PlanTable;
use super::arrangement::Arrangement;
use super::node::{Join, JoinKind, Node, Side};
use super::plain::is_shared;
use super::query::is_unique;
use super::size::row_bytes;
use crate::value::{Column, Schema};

/// How a tree of inner joins is maintained without holding intermediate results.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaJoin {
    /// The root of the tree.
    pub node: Node,
    /// In the order that decides [`DeltaStep::before`].
    pub inputs: Vec<DeltaInput>,
}

/// An input of a delta join, and the path of its changes through the other inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaInput {
    /// The input by each key that paths look up; at least one.
    pub held: Vec<Side>,
    /// The columns of a changed row that are passed to the first step.
    pub shown: Vec<usize>,
    /// Which of these columns are the key of the first lookup.
    pub key: Vec<usize>,
    /// The lookups in the other inputs, in order.
    pub path: Vec<DeltaStep>,
}

/// A lookup in one more input.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaStep {
    /// Index into [`DeltaJoin::inputs`].
    pub input: usize,
    /// Index into its [`held`](DeltaInput::held).
    pub held: usize,
    /// Schema of the incoming rows.
    pub from: Schema,
    /// The columns of the outgoing rows: columns of the incoming row or, numbered after them, of the row that is found.
    pub shown: Vec<usize>,
    /// Schema of the outgoing rows.
    pub to: Schema,
    /// The outgoing columns that are the key of the next lookup; empty after the last step.
    pub key: Vec<usize>,
    /// Whether the input is read as of before the moment.
    pub before: bool,
}

/// An input and one of its columns.
type InputColumnRef = (usize, usize);

/// A tree of inner joins, flattened.
pub(super) struct Tree<'p> {
    node: &'p Node,
    leaves: Vec<&'p Side>,
    /// Sets of columns that must be equal.
    equal: Vec<Vec<InputColumnRef>>,
    /// The results that are held when joining two by two: every join but the root.
    inner: Vec<InnerJoin>,
    /// The inputs' columns that the root shows.
    shown: Vec<InputColumnRef>,
}

/// A join that is a side of another one.
struct InnerJoin {
    leaves: Range<usize>,
    bytes: usize,
}

impl<'p> Tree<'p> {
    /// The tree as a delta join, if that holds no more than joining two by two. `held`: arrangements that exist anyway.
    pub(super) fn delta_join(&self, tables: &[PlanTable], held: &[Arrangement]) -> Option<DeltaJoin> {
        let held = |side: &Side| held.iter().any(|held| is_shared(held, side));
        let last = self.last(tables);
        let order: Vec<usize> = (0..self.leaves.len()).filter(|leaf| *leaf != last).chain([last]).collect();
        let joined = self.joined(&order, tables, &held);
        self.is_worth_it(&joined, &held).then_some(joined)
    }

    /// The inputs of the tree.
    pub(super) fn inputs(&self) -> Vec<&'p Node> {
        self.leaves.iter().map(|side| &side.node).collect()
    }
}

/// The number of lookups grows with the square of the number of inputs, and each lookup has to be notified of every moment.
const MOST_INPUTS: usize = 6;

impl<'p> Tree<'p> {
    /// `None` if the tree has fewer than three inputs or too many, or if a path cannot follow some join. `is_view`: whether a node is
    /// maintained as a view of its own.
    pub(super) fn from_node(node: &'p Node, is_view: &dyn Fn(&Node) -> bool) -> Option<Tree<'p>> {
        let root = inner(node)?;
        let mut tree = Tree { node, leaves: Vec::new(), equal: Vec::new(), inner: Vec::new(), shown: Vec::new() };
        tree.shown = tree.join(root, is_view);
        let twice =
            |class: &Vec<InputColumnRef>| class.iter().enumerate().any(|(i, (leaf, _))| class[..i].iter().any(|(other, _)| other == leaf));
        let in_a_step = tree.leaves.iter().any(|side| side.node.reads_itself());
        ((3..=MOST_INPUTS).contains(&tree.leaves.len()) && !in_a_step && !tree.equal.iter().any(twice)).then_some(tree)
    }

    /// Adds the join to the tree. Returns where its columns come from.
    fn join(&mut self, join: &'p Join, is_view: &dyn Fn(&Node) -> bool) -> Vec<InputColumnRef> {
        let left = self.side(&join.left, is_view);
        let right = self.side(&join.right, is_view);
        for (&l, &r) in join.left.key.iter().zip(&join.right.key) {
            self.equate(left[l], right[r]);
        }
        let both: Vec<InputColumnRef> = left.into_iter().chain(right).collect();
        join.shown.iter().map(|&column| both[column]).collect()
    }

    fn side(&mut self, side: &'p Side, is_view: &dyn Fn(&Node) -> bool) -> Vec<InputColumnRef> {
        match inner(&side.node).filter(|_| !is_view(&side.node)) {
            Some(join) => {
                let first = self.leaves.len();
                let columns = self.join(join, is_view);
                self.inner.push(InnerJoin { leaves: first..self.leaves.len(), bytes: row_bytes(&join.schema, &side.key) });
                columns
            }
            None => {
                self.leaves.push(side);
                (0..side.node.schema().len()).map(|column| (self.leaves.len() - 1, column)).collect()
            }
        }
    }

    fn equate(&mut self, one: InputColumnRef, other: InputColumnRef) {
        let mut class = vec![one, other];
        self.equal.retain(|known| {
            let same = known.contains(&one) || known.contains(&other);
            if same {
                class.extend(known.iter().copied().filter(|place| *place != one && *place != other));
            }
            !same
        });
        self.equal.push(class);
    }

    fn schema(&self, leaf: usize) -> &'p Schema {
        self.leaves[leaf].node.schema()
    }

    /// The key by which a leaf is looked up once the leaves in `bound` are known: its own columns, each with an equal known column.
    fn key(&self, leaf: usize, bound: &[usize]) -> Vec<(usize, InputColumnRef)> {
        let mut pairs: Vec<(usize, InputColumnRef)> = Vec::new();
        for class in &self.equal {
            let own = class.iter().find(|place| place.0 == leaf);
            if let (Some(own), Some(other)) = (own, class.iter().find(|place| bound.contains(&place.0))) {
                pairs.push((own.1, *other));
            }
        }
        // Columns are in the order of the side's own key if they are the same, so that an arrangement can be shared with other joins.
        let declared = &self.leaves[leaf].key;
        match declared.len() == pairs.len() && pairs.iter().all(|(own, _)| declared.contains(own)) {
            true => pairs.sort_by_key(|(own, _)| declared.iter().position(|column| column == own)),
            false => pairs.sort_unstable(),
        }
        pairs
    }

    /// The other leaves, in an order in which each can be looked up from known columns: first leaves with at most one row per key, then
    /// those that are held anyway, then filtered ones.
    fn path(&self, from: usize, tables: &[PlanTable], held: &dyn Fn(&Side) -> bool) -> Vec<(usize, Vec<(usize, InputColumnRef)>)> {
        let (mut bound, mut path) = (vec![from], Vec::new());
        while bound.len() < self.leaves.len() {
            let candidates = (0..self.leaves.len()).filter(|leaf| !bound.contains(leaf)).map(|leaf| (leaf, self.key(leaf, &bound)));
            let next = candidates.filter(|(_, key)| !key.is_empty()).min_by_key(|(leaf, key)| {
                let side = self.held_by(*leaf, key);
                let (one, filtered) = (is_unique(tables, &side.node, &side.key), share(&side.node) < 1.0);
                (!one, !held(&side), !filtered, *leaf)
            });
            let next = next.expect("a tree of joins by keys is connected");
            bound.push(next.0);
            path.push(next);
        }
        path
    }

    fn held_by(&self, leaf: usize, key: &[(usize, InputColumnRef)]) -> Side {
        Side { node: self.leaves[leaf].node.clone(), key: key.iter().map(|(own, _)| *own).collect() }
    }

    /// The leaf whose path has the fewest lookups that may find several rows.
    fn last(&self, tables: &[PlanTable]) -> usize {
        let many = |leaf: usize| {
            let path = self.path(leaf, tables, &|_| false);
            path.iter().filter(|(to, key)| !is_unique(tables, &self.leaves[*to].node, &self.held_by(*to, key).key)).count()
        };
        (0..self.leaves.len()).min_by_key(|&leaf| (many(leaf), leaf)).expect("there are leaves")
    }

    /// The delta join with the leaves in this order.
    fn joined(&self, order: &[usize], tables: &[PlanTable], held: &dyn Fn(&Side) -> bool) -> DeltaJoin {
        let rank = |leaf: usize| order.iter().position(|other| *other == leaf).expect("it is one of them");
        let mut sides: Vec<Vec<Side>> = vec![Vec::new(); order.len()];
        let mut inputs = Vec::new();
        let paths: Vec<_> = order.iter().map(|&leaf| self.path(leaf, tables, held)).collect();
        for (leaf, key) in paths.iter().flatten() {
            let side = self.held_by(*leaf, key);
            if !sides[rank(*leaf)].contains(&side) {
                sides[rank(*leaf)].push(side);
            }
        }
        for (own, path) in paths.iter().enumerate() {
            // The columns needed after each step: those that the root shows, and those that later lookups use.
            let needed = |done: usize, bound: &[usize]| -> Vec<InputColumnRef> {
                let later = path[done..].iter().flat_map(|(_, key)| key.iter().map(|(_, other)| *other));
                let mut places: Vec<InputColumnRef> =
                    later.chain(self.shown.iter().copied()).filter(|place| bound.contains(&place.0)).collect();
                places.sort_unstable();
                places.dedup();
                places
            };
            let mut bound = vec![order[own]];
            let mut now = needed(0, &bound);
            let shown = now.iter().map(|place| place.1).collect();
            let key = path[0].1.iter().map(|(_, other)| now.binary_search(other).expect("it was needed")).collect();
            let mut steps = Vec::new();
            for (done, (leaf, by)) in path.iter().enumerate() {
                bound.push(*leaf);
                let next = if done + 1 == path.len() { self.shown.clone() } else { needed(done + 1, &bound) };
                let place = |place: &InputColumnRef| match place.0 == *leaf {
                    true => now.len() + place.1,
                    false => now.binary_search(place).expect("it was needed"),
                };
                let side = self.held_by(*leaf, by);
                let key = path.get(done + 1).into_iter().flat_map(|(_, key)| key.iter());
                steps.push(DeltaStep {
                    input: rank(*leaf),
                    held: sides[rank(*leaf)].iter().position(|known| *known == side).expect("it was collected"),
                    from: self.schema_of(&now),
                    shown: next.iter().map(place).collect(),
                    to: if done + 1 == path.len() { self.node.schema().clone() } else { self.schema_of(&next) },
                    key: key.map(|(_, other)| next.binary_search(other).expect("it was needed")).collect(),
                    before: rank(*leaf) > own,
                });
                now = next;
            }
            inputs.push(DeltaInput { held: Vec::new(), shown, key, path: steps });
        }
        inputs.iter_mut().zip(sides).for_each(|(input, held)| input.held = held);
        DeltaJoin { node: self.node.clone(), inputs }
    }

    fn schema_of(&self, places: &[InputColumnRef]) -> Schema {
        let column = |(i, place): (usize, &InputColumnRef)| {
            let column = &self.schema(place.0).columns()[place.1];
            Column { name: format!("{} #{i}", column.name), ..column.clone() }
        };
        Schema::new(places.iter().enumerate().map(column).collect())
    }

    /// Whether a delta join holds no more than joining two by two. Sizes are unknown, so an unfiltered input counts as one row for each row
    /// of the result, since lookups by a key find one row. A filter is assumed to keep a fifth of its input, and of what the input is
    /// joined with.
    fn is_worth_it(&self, joined: &DeltaJoin, held: &dyn Fn(&Side) -> bool) -> bool {
        let of_side = |side: &Side| if held(side) { 0.0 } else { share(&side.node) * row_bytes(side.node.schema(), &side.key) as f64 };
        let as_delta: f64 = joined.sides().map(of_side).sum();
        let of_inner =
            |inner: &InnerJoin| inner.leaves.clone().map(|leaf| share(&self.leaves[leaf].node)).product::<f64>() * inner.bytes as f64;
        let two_by_two: f64 = self.leaves.iter().map(|side| of_side(side)).chain(self.inner.iter().map(of_inner)).sum();
        as_delta <= two_by_two
    }
}

/// The join, if a path can follow it.
fn inner(node: &Node) -> Option<&Join> {
    match node {
        Node::Join(join) => {
            let plain = join.kind == JoinKind::Inner && join.condition.is_none() && !join.null_equals_null;
            (plain && !join.left.key.is_empty()).then_some(join)
        }
        _ => None,
    }
}

/// The share of rows that the node's filters are assumed to keep.
fn share(node: &Node) -> f64 {
    const FILTERED: f64 = 0.2;
    match node {
        Node::Table(input) if input.filter.is_some() => FILTERED,
        Node::Select(select) if select.filter.is_some() => FILTERED * share(&select.of),
        Node::Select(select) => share(&select.of),
        Node::Top(_) | Node::Constants(_) | Node::Nothing(_) => FILTERED,
        _ => 1.0,
    }
}

impl DeltaJoin {
    /// The sides that it holds.
    pub fn sides(&self) -> impl Iterator<Item = &Side> {
        self.inputs.iter().flat_map(|input| &input.held)
    }
}

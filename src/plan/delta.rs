//! Which inner joins of several inputs hold nothing but the inputs: delta joins.
//!
//! Joined two by two, every join but the last is held, as a side of the next. A delta join takes a change of any input through the
//! others instead, one lookup after the other, so that only the inputs are held, each by every key that some path asks for. That is less
//! where the keys are few or held anyhow for something else, and it is more where a filter makes what is joined first small. No sizes
//! are known here, so the rule compares widths: see [`Tree::is_worth_it`]. (They are the delta queries of
//! DBToaster and Materialize.)
//!
//! A change of input `i` meets the inputs in front of it as of its moment and those behind it as of before, so that a pair of changes of
//! one moment is counted once. At the first moment there is no before: everything then comes of the last input, which is why the one is
//! put last whose path never meets more than one row at a time.

use std::ops::Range;

use super::PlanTable;
use super::arrangement::Arrangement;
use super::node::{Join, JoinKind, Node, Side};
use super::plain::is_shared;
use super::query::is_unique;
use super::size::row_bytes;
use crate::value::{Column, Schema};

/// How a tree of inner joins is maintained without holding what it joins first.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaJoin {
    /// The tree's root.
    pub node: Node,
    pub inputs: Vec<DeltaInput>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DeltaInput {
    /// The input by each key that paths ask for; at least one.
    pub held: Vec<Side>,
    /// Which columns of a changed row set out on the path.
    pub shown: Vec<usize>,
    /// Those of the row that set out by which the first step is looked up.
    pub key: Vec<usize>,
    pub path: Vec<DeltaStep>,
}

/// A lookup in one more input.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaStep {
    /// Index into [`DeltaJoin::inputs`].
    pub input: usize,
    /// Index into its [`held`](DeltaInput::held).
    pub held: usize,
    /// The rows that come.
    pub from: Schema,
    /// What of a row that came and, counted on, of one that is found goes on.
    pub shown: Vec<usize>,
    /// The rows that go on.
    pub to: Schema,
    /// The columns of those by which the next step is looked up; none after the last.
    pub key: Vec<usize>,
    /// Whether the input is seen as of before the moment.
    pub before: bool,
}

/// A column of an input.
type Place = (usize, usize);

/// A tree of inner joins, flat.
pub(super) struct Tree<'p> {
    node: &'p Node,
    leaves: Vec<&'p Side>,
    /// Sets of columns that are equal.
    equal: Vec<Vec<Place>>,
    /// What is held if it is joined two by two: every join but the root.
    inner: Vec<Inner>,
    /// Where the root's columns come from.
    shown: Vec<Place>,
}

/// A join as a side of another.
struct Inner {
    leaves: Range<usize>,
    bytes: usize,
}

impl<'p> Tree<'p> {
    /// The tree as a delta join, if that saves something over what is held anyhow.
    pub(super) fn delta_join(&self, tables: &[PlanTable], held: &[Arrangement]) -> Option<DeltaJoin> {
        let held = |side: &Side| held.iter().any(|held| is_shared(held, side));
        let last = self.last(tables);
        let order: Vec<usize> = (0..self.leaves.len()).filter(|leaf| *leaf != last).chain([last]).collect();
        let joined = self.joined(&order, tables, &held);
        self.is_worth_it(&joined, &held).then_some(joined)
    }

    /// What is joined.
    pub(super) fn inputs(&self) -> Vec<&'p Node> {
        self.leaves.iter().map(|side| &side.node).collect()
    }
}

/// Every input has a path through all others, and every step of it has to be told of every moment.
const MOST_INPUTS: usize = 6;

impl<'p> Tree<'p> {
    /// `None` where fewer than three inputs are joined, or too many, or some in a way that no path can follow. `is_view`: whether a node is maintained for itself.
    pub(super) fn of(node: &'p Node, is_view: &dyn Fn(&Node) -> bool) -> Option<Tree<'p>> {
        let root = inner(node)?;
        let mut tree = Tree { node, leaves: Vec::new(), equal: Vec::new(), inner: Vec::new(), shown: Vec::new() };
        tree.shown = tree.join(root, is_view);
        let twice = |class: &Vec<Place>| class.iter().enumerate().any(|(i, (leaf, _))| class[..i].iter().any(|(other, _)| other == leaf));
        let in_a_step = tree.leaves.iter().any(|side| side.node.reads_itself());
        ((3..=MOST_INPUTS).contains(&tree.leaves.len()) && !in_a_step && !tree.equal.iter().any(twice)).then_some(tree)
    }

    /// Where the join's columns come from.
    fn join(&mut self, join: &'p Join, is_view: &dyn Fn(&Node) -> bool) -> Vec<Place> {
        let left = self.side(&join.left, is_view);
        let right = self.side(&join.right, is_view);
        for (&l, &r) in join.left.key.iter().zip(&join.right.key) {
            self.equate(left[l], right[r]);
        }
        let both: Vec<Place> = left.into_iter().chain(right).collect();
        join.shown.iter().map(|&column| both[column]).collect()
    }

    fn side(&mut self, side: &'p Side, is_view: &dyn Fn(&Node) -> bool) -> Vec<Place> {
        match inner(&side.node).filter(|_| !is_view(&side.node)) {
            Some(join) => {
                let first = self.leaves.len();
                let columns = self.join(join, is_view);
                self.inner.push(Inner { leaves: first..self.leaves.len(), bytes: row_bytes(&join.schema, &side.key) });
                columns
            }
            None => {
                self.leaves.push(side);
                (0..side.node.schema().len()).map(|column| (self.leaves.len() - 1, column)).collect()
            }
        }
    }

    fn equate(&mut self, one: Place, other: Place) {
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

    /// By which columns a leaf is looked up from others: its own, each with one of theirs.
    fn key(&self, leaf: usize, bound: &[usize]) -> Vec<(usize, Place)> {
        let mut pairs: Vec<(usize, Place)> = Vec::new();
        for class in &self.equal {
            let own = class.iter().find(|place| place.0 == leaf);
            if let (Some(own), Some(other)) = (own, class.iter().find(|place| bound.contains(&place.0))) {
                pairs.push((own.1, *other));
            }
        }
        // In the order of the tree's own key where it is that, so that it is one with what is held for other joins.
        let declared = &self.leaves[leaf].key;
        match declared.len() == pairs.len() && pairs.iter().all(|(own, _)| declared.contains(own)) {
            true => pairs.sort_by_key(|(own, _)| declared.iter().position(|column| column == own)),
            false => pairs.sort_unstable(),
        }
        pairs
    }

    /// The others in an order in which each is looked up by what is known: first those where there is one row at most, then filtered ones.
    fn path(&self, from: usize, tables: &[PlanTable], held: &dyn Fn(&Side) -> bool) -> Vec<(usize, Vec<(usize, Place)>)> {
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

    fn held_by(&self, leaf: usize, key: &[(usize, Place)]) -> Side {
        Side { node: self.leaves[leaf].node.clone(), key: key.iter().map(|(own, _)| *own).collect() }
    }

    /// The input whose rows meet the fewest others on their path.
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
            // Behind each step: what the root shows and what later steps are looked up by.
            let needed = |done: usize, bound: &[usize]| -> Vec<Place> {
                let later = path[done..].iter().flat_map(|(_, key)| key.iter().map(|(_, other)| *other));
                let mut places: Vec<Place> = later.chain(self.shown.iter().copied()).filter(|place| bound.contains(&place.0)).collect();
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
                let place = |place: &Place| match place.0 == *leaf {
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

    fn schema_of(&self, places: &[Place]) -> Schema {
        let column = |(i, place): (usize, &Place)| {
            let column = &self.schema(place.0).columns()[place.1];
            Column { name: format!("{} #{i}", column.name), ..column.clone() }
        };
        Schema::new(places.iter().enumerate().map(column).collect())
    }

    /// Whether less is held than by joining two by two. An unfiltered input counts as one row for each row of the result, since lookups by
    /// a key meet one row; a filter is taken to leave a fifth, of what it filters and of what that is joined with.
    fn is_worth_it(&self, joined: &DeltaJoin, held: &dyn Fn(&Side) -> bool) -> bool {
        let of_side = |side: &Side| if held(side) { 0.0 } else { share(&side.node) * row_bytes(side.node.schema(), &side.key) as f64 };
        let as_delta: f64 = joined.sides().map(of_side).sum();
        let of_inner =
            |inner: &Inner| inner.leaves.clone().map(|leaf| share(&self.leaves[leaf].node)).product::<f64>() * inner.bytes as f64;
        let two_by_two: f64 = self.leaves.iter().map(|side| of_side(side)).chain(self.inner.iter().map(of_inner)).sum();
        as_delta <= two_by_two
    }
}

/// A join that a path can go through.
fn inner(node: &Node) -> Option<&Join> {
    match node {
        Node::Join(join) => {
            let plain = join.kind == JoinKind::Inner && join.condition.is_none() && !join.null_equals_null;
            (plain && !join.left.key.is_empty()).then_some(join)
        }
        _ => None,
    }
}

/// What a filter may leave of a node's rows.
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
    /// What is held for it.
    pub fn sides(&self) -> impl Iterator<Item = &Side> {
        self.inputs.iter().flat_map(|input| &input.held)
    }
}

//! Builds documents from their pieces.
//!
//! In: the roots of a portion and, in any order, the rows that the lookups found for them. Out: each root's document as one packed row of
//! the view's schema. The result is a pure function of the rows: neither their order nor the workers they came from matter.

use std::ops::Range;

use datafusion::arrow::array::{ArrayRef, RecordBatch};

use super::fetch::Piece;
use super::touch::{Root, RootRow};
use crate::dataflow::changes::Outcome;
use crate::plan::{AggregateFunction, Document, Embed, Lookup, Missing, OnMany, OrderBy};
use crate::value::{Datum, Layout, Row, RowBuilder, Schema, arrow, key};

/// Builds the documents of one view.
pub(crate) struct DocumentAssembler {
    /// The root, then every lookup, parents before children. [`Piece::node`] is an index into this.
    nodes: Vec<DocumentNode>,
    buffers: Vec<Vec<u8>>,
}

struct DocumentNode {
    path: String,
    /// Layout of the node's input rows.
    rows: Layout,
    visible: usize,
    /// The visible columns, then the fields that the children add.
    element: Layout,
    children: Vec<usize>,
    /// How this node is embedded in its parent; `None` for the root.
    embed: Option<Embed>,
    order_by: Vec<OrderBy>,
    /// Whether a row can be extended in place: all its columns are visible, and children only add columns of variable length.
    extends: bool,
}

/// The pieces of a portion by node, sorted by document and parent.
struct Pieces {
    of_node: Vec<Vec<Piece>>,
    /// For nodes with aggregates: where each parent's pieces start, and one result array for each aggregate. The last group is the one
    /// without pieces.
    groups: Vec<Option<ChildGroups>>,
}

struct ChildGroups {
    starts: Vec<usize>,
    results: Vec<AggregateResults>,
}

/// The values of an aggregate, by group.
enum AggregateResults {
    All(ArrayRef),
    /// At least one group failed, so each was evaluated separately.
    Each(Vec<Result<ArrayRef, String>>),
}

/// A result, or the reason why the document cannot be built.
type Built<T> = Result<T, String>;

impl DocumentAssembler {
    pub(crate) fn new(document: &Document, schema: &Schema) -> DocumentAssembler {
        let mut nodes = vec![DocumentNode {
            path: String::new(),
            rows: Layout::new(document.root.schema()),
            visible: document.root.visible,
            element: Layout::new(schema),
            children: Vec::new(),
            embed: None,
            order_by: Vec::new(),
            extends: false,
        }];
        add_children(&mut nodes, 0, &document.lookups);
        for i in 0..nodes.len() {
            nodes[i].extends = nodes[i].visible == nodes[i].rows.schema().len()
                && nodes[i].children.iter().all(|&c| match &nodes[c].embed {
                    Some(Embed::Object { .. }) => true,
                    Some(Embed::Array { field, aggregates, .. }) => field.is_some() && aggregates.is_empty(),
                    Some(Embed::Flatten { .. }) | None => false,
                });
        }
        DocumentAssembler { nodes, buffers: Vec::new() }
    }

    /// Passes each root's outcome to `give`.
    pub(crate) fn assemble(&mut self, roots: Vec<Root>, pieces: Vec<Piece>, mut give: impl FnMut(Row, Outcome)) {
        let pieces = self.sort(pieces);
        let mut document = Vec::new();
        for root in roots {
            let outcome = match root.row {
                RootRow::Missing => Outcome::Gone,
                RootRow::Several => Outcome::Failed("several rows of the root have this key".into()),
                RootRow::One(row) => {
                    document.clear();
                    match self.element(&pieces, 0, root.slot, 0, &row, &mut document) {
                        Ok(()) => Outcome::Row(Row::from_bytes(&document)),
                        Err(reason) => Outcome::Failed(reason),
                    }
                }
            };
            give(root.key, outcome);
        }
    }

    fn sort(&self, pieces: Vec<Piece>) -> Pieces {
        let mut of_node: Vec<Vec<Piece>> = self.nodes.iter().map(|_| Vec::new()).collect();
        for piece in pieces {
            of_node[piece.node as usize].push(piece);
        }
        let mut groups = Vec::with_capacity(of_node.len());
        for (node, pieces) in self.nodes.iter().zip(&mut of_node) {
            pieces.sort_unstable_by_key(|p| (p.slot, p.parent));
            groups.push(node.aggregate(pieces));
        }
        Pieces { of_node, groups }
    }

    /// Appends the element of a row: its visible columns and its children.
    fn element(&mut self, pieces: &Pieces, node: usize, slot: u32, id: u64, row: &[u8], out: &mut Vec<u8>) -> Built<()> {
        if self.nodes[node].extends && self.nodes[node].children.is_empty() {
            out.extend_from_slice(row);
            return Ok(());
        }
        let mut payload = self.buffers.pop().unwrap_or_default();
        let result = self.fields(pieces, node, slot, id, &mut payload).and_then(|fields| {
            let fields = fields.iter().map(|field| field.clone().map(|range| &payload[range]));
            match self.nodes[node].extends {
                true => {
                    self.nodes[node].rows.extend(row, fields, out);
                    Ok(())
                }
                false => self.rebuild(pieces, node, (slot, id), row, fields, out),
            }
        });
        payload.clear();
        self.buffers.push(payload);
        result
    }

    /// Appends the bytes of the fields that the children add. Returns the range of each field; `None` for a field that is absent.
    fn fields(&mut self, pieces: &Pieces, node: usize, slot: u32, id: u64, out: &mut Vec<u8>) -> Built<Vec<Option<Range<usize>>>> {
        let mut fields = Vec::with_capacity(self.nodes[node].children.len());
        for i in 0..self.nodes[node].children.len() {
            let start = out.len();
            let there = self.field(pieces, self.nodes[node].children[i], slot, id, out)?;
            fields.push(there.then_some(start..out.len()));
        }
        Ok(fields)
    }

    /// Appends the bytes of an object or array field. Returns whether the field is present.
    fn field(&mut self, pieces: &Pieces, child: usize, slot: u32, parent: u64, out: &mut Vec<u8>) -> Built<bool> {
        let range = pieces.range(child, slot, parent);
        let found = &pieces.of_node[child][range];
        match self.nodes[child].embed.as_ref() {
            Some(Embed::Array { field: None, .. }) => Ok(false),
            Some(Embed::Array { limit, missing, .. }) => {
                if found.is_empty() && *missing != Missing::Empty {
                    return Ok(false);
                }
                let limit = limit.unwrap_or(usize::MAX);
                let order = self.nodes[child].order(found);
                let count = found.len().min(limit);
                out.extend_from_slice(&(count as u32).to_le_bytes());
                let ends_at = out.len();
                out.resize(ends_at + 4 * count, 0);
                let items_at = out.len();
                for n in 0..count {
                    let piece = &found[order.get(n).copied().unwrap_or(n)];
                    self.element(pieces, child, slot, piece.id, &piece.row, out)?;
                    let end = (out.len() - items_at) as u32;
                    out[ends_at + 4 * n..ends_at + 4 * n + 4].copy_from_slice(&end.to_le_bytes());
                }
                Ok(true)
            }
            Some(Embed::Object { on_many, .. } | Embed::Flatten { on_many, .. }) => {
                let on_many = *on_many;
                let Some(piece) = self.nodes[child].choose(found, on_many)? else { return Ok(false) };
                self.element(pieces, child, slot, piece.id, &piece.row, out)?;
                Ok(true)
            }
            None => unreachable!("only the root is not embedded"),
        }
    }

    /// Builds the row anew: its visible columns, then the children's fields, whose bytes are given.
    fn rebuild<'f>(
        &self,
        pieces: &Pieces,
        node: usize,
        (slot, id): (u32, u64),
        row: &[u8],
        fields: impl Iterator<Item = Option<&'f [u8]>>,
        out: &mut Vec<u8>,
    ) -> Built<()> {
        let node = &self.nodes[node];
        let mut builder = RowBuilder::new(&node.element);
        (0..node.visible).for_each(|column| builder.push(node.rows.get(row, column)));
        for (&child, bytes) in node.children.iter().zip(fields) {
            match self.nodes[child].embed.as_ref() {
                Some(Embed::Object { .. }) => builder.push(bytes.map_or(Datum::Null, Datum::Struct)),
                Some(Embed::Flatten { .. }) => {
                    let element = &self.nodes[child].element;
                    for column in 0..element.schema().len() {
                        builder.push(bytes.map_or(Datum::Null, |bytes| element.get(bytes, column)));
                    }
                }
                Some(Embed::Array { field, .. }) => {
                    if field.is_some() {
                        builder.push(bytes.map_or(Datum::Null, Datum::List));
                    }
                    if let Some(groups) = &pieces.groups[child] {
                        let group = groups.index_of(pieces.range(child, slot, id));
                        for result in &groups.results {
                            result.push(group, &mut builder)?;
                        }
                    }
                }
                None => unreachable!("only the root is not embedded"),
            }
        }
        builder.finish_into(out);
        Ok(())
    }
}

fn add_children(nodes: &mut Vec<DocumentNode>, parent: usize, lookups: &[Lookup]) {
    for lookup in lookups {
        let index = nodes.len();
        nodes[parent].children.push(index);
        nodes.push(DocumentNode {
            path: lookup.path.clone(),
            rows: Layout::new(lookup.input.schema()),
            visible: lookup.input.visible,
            element: Layout::new(&lookup.element),
            children: Vec::new(),
            embed: Some(lookup.embed.clone()),
            order_by: lookup.order_by.clone(),
            extends: false,
        });
        add_children(nodes, index, &lookup.children);
    }
}

impl DocumentNode {
    /// The order of the pieces as indexes; empty if there are fewer than two.
    fn order(&self, pieces: &[Piece]) -> Vec<usize> {
        if pieces.len() < 2 {
            return Vec::new();
        }
        let mut keyed: Vec<(Vec<u8>, usize)> = pieces.iter().enumerate().map(|(i, piece)| (self.order_key(&piece.row), i)).collect();
        // Rows that are equal in this order are ordered by their bytes.
        keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| pieces[a.1].row.cmp(&pieces[b.1].row)));
        keyed.into_iter().map(|(_, i)| i).collect()
    }

    fn order_key(&self, row: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        for order in &self.order_by {
            let start = out.len();
            key::of_into(&self.rows, row, &[order.column], &mut out);
            if order.descending {
                out[start..].iter_mut().for_each(|b| *b = !*b);
            }
        }
        out
    }

    fn choose<'p>(&self, found: &'p [Piece], on_many: OnMany) -> Built<Option<&'p Piece>> {
        match (found.len(), on_many) {
            (0, _) => Ok(None),
            (1, _) => Ok(found.first()),
            (n, OnMany::Error) => Err(format!("`{}` has {n} rows where one is expected", self.path)),
            (_, OnMany::First) => Ok(self.order(found).first().map(|&i| &found[i])),
            (_, OnMany::Last) => Ok(self.order(found).last().map(|&i| &found[i])),
        }
    }

    fn aggregate(&self, pieces: &[Piece]) -> Option<ChildGroups> {
        let Some(Embed::Array { aggregates, .. }) = &self.embed else { return None };
        if aggregates.is_empty() {
            return None;
        }
        let mut starts = Vec::new();
        let mut group_of = Vec::with_capacity(pieces.len());
        for (i, piece) in pieces.iter().enumerate() {
            if i == 0 || (pieces[i - 1].slot, pieces[i - 1].parent) != (piece.slot, piece.parent) {
                starts.push(i);
            }
            group_of.push(starts.len() - 1);
        }
        let batch = arrow::to_batch(&self.rows, pieces.iter().map(|p| &*p.row));
        let groups = starts.len() + 1;
        let results = aggregates.iter().map(|a| match a.function.evaluate(&batch, &group_of, groups) {
            Ok(all) => AggregateResults::All(all),
            Err(_) => AggregateResults::Each((0..groups).map(|g| one_group(&a.function, &batch, &group_of, g)).collect()),
        });
        Some(ChildGroups { results: results.collect(), starts })
    }
}

fn one_group(function: &AggregateFunction, batch: &RecordBatch, group_of: &[usize], group: usize) -> Result<ArrayRef, String> {
    let start = group_of.partition_point(|g| *g < group);
    let length = group_of[start..].partition_point(|g| *g == group);
    let result = function.evaluate(&batch.slice(start, length), &vec![0; length], 1);
    result.map_err(|error| format!("`{}`: {error}", function.text()))
}

impl AggregateResults {
    fn push(&self, group: usize, builder: &mut RowBuilder) -> Built<()> {
        let pushed = match self {
            AggregateResults::All(values) => arrow::push_array_value(builder, values, group),
            AggregateResults::Each(values) => arrow::push_array_value(builder, values[group].as_ref().map_err(Clone::clone)?, 0),
        };
        pushed.map_err(|error| error.to_string())
    }
}

impl Pieces {
    fn range(&self, node: usize, slot: u32, parent: u64) -> Range<usize> {
        let pieces = &self.of_node[node];
        let start = pieces.partition_point(|p| (p.slot, p.parent) < (slot, parent));
        let length = pieces[start..].iter().take_while(|p| (p.slot, p.parent) == (slot, parent)).count();
        start..start + length
    }
}

impl ChildGroups {
    /// The group of these pieces. If there are none, it is the last group, which has no rows.
    fn index_of(&self, pieces: Range<usize>) -> usize {
        match pieces.is_empty() {
            true => self.starts.len(),
            false => self.starts.partition_point(|&s| s <= pieces.start) - 1,
        }
    }
}

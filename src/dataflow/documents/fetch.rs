//! One lookup of a document view: finds the children of parents, as of a moment.
//!
//! For every moment t: the pieces output at t = { (request, row) : request of t, row with the request's key as of t }, with the row's
//! multiplicity.

use differential_dataflow::operators::arrange::Arranged;
use serde::{Deserialize, Serialize};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;

use crate::dataflow::exchange::hash;
use crate::dataflow::held::arranged::RowTrace;
use crate::dataflow::held::batcher::prefix_of;
use crate::dataflow::held::memory::{Fixed, HeapSize, Memory};
use crate::dataflow::moments::{Operator, Reads, collect_items};
use crate::dataflow::time::Moment;
use crate::value::{Layout, Row, key};

/// Requests the children of one parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) key: Row,
    /// The worker that assembles the document; `slot` is the document's number in its portion.
    pub(crate) owner: u32,
    pub(crate) slot: u32,
    /// The parent's [`Piece::id`]; 0 for the root.
    pub(crate) parent: u64,
}

/// A child row on its way to its document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) owner: u32,
    pub(crate) slot: u32,
    /// The number of the lookup in the view, parents before children.
    pub(crate) node: u32,
    pub(crate) parent: u64,
    /// Unique in its portion if the piece's row has lookups of its own, else 0.
    pub(crate) id: u64,
    pub(crate) row: Row,
}

pub(crate) type Requests<'s> = Stream<'s, Moment, Vec<Request>>;

impl HeapSize for Vec<Request> {
    fn held_bytes(&self) -> usize {
        self.capacity() * size_of::<Request>() + self.iter().map(|request| request.key.len()).sum::<usize>()
    }
}

impl HeapSize for Vec<Piece> {
    fn held_bytes(&self) -> usize {
        self.capacity() * size_of::<Piece>() + self.iter().map(|piece| piece.row.len()).sum::<usize>()
    }
}

/// The columns by which the children of a node's rows are looked up.
pub(crate) struct Relations {
    pub(crate) layout: Layout,
    /// For each child lookup, the parent's columns.
    pub(crate) columns: Vec<Vec<usize>>,
}

impl Relations {
    /// The request of the `child`-th lookup for this parent row; `None` if the relation is NULL.
    pub(crate) fn request(&self, child: usize, row: &[u8], owner: u32, slot: u32, parent: u64) -> Option<Request> {
        let key = key::of_relation(&self.layout, row, &self.columns[child])?;
        Some(Request { key, owner, slot, parent })
    }
}

/// The requests sorted by key. Most comparisons need only the first bytes of the keys, which are kept next to each other.
fn in_key_order(requests: &[Request]) -> Vec<&Request> {
    let mut order: Vec<(u64, &Request)> = requests.iter().map(|request| (prefix_of(&request.key), request)).collect();
    order.sort_unstable_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.key.cmp(&other.key)));
    order.into_iter().map(|(_, request)| request).collect()
}

/// Answers each request with one piece per matching row, and requests that piece's own children.
pub(crate) fn fetch<'s>(
    memory: &Memory,
    name: &str,
    node: u32,
    requests: Requests<'s>,
    rows: &Arranged<'s, RowTrace>,
    relations: Relations,
) -> (Stream<'s, Moment, Vec<Piece>>, Vec<Requests<'s>>) {
    let scope = requests.scope();
    let mut operator = Operator::new(name, scope);
    operator.requests(requests, Exchange::new(|request: &Request| hash(&request.key)), collect_items);
    operator.arrangement(rows, Reads::At);
    let (mut pieces_out, pieces) = operator.output::<Vec<Piece>>();
    let (mut asks_out, asks): (Vec<_>, Vec<_>) = relations.columns.iter().map(|_| operator.output::<Vec<Request>>()).unzip();
    let first_id = ((scope.index() as u64) << 40) + 1;
    operator.build(memory, Fixed(first_id), move |Fixed(next_id), now, requests: Vec<Request>| {
        let mut rows = now.read(0);
        let mut pieces = pieces_out.activate();
        let mut pieces = now.send(&mut pieces);
        let mut asks: Vec<_> = asks_out.iter_mut().map(|out| out.activate()).collect();
        let mut asks: Vec<_> = asks.iter_mut().map(|out| now.send(out)).collect();
        for of_key in in_key_order(&requests).chunk_by(|a, b| a.key == b.key) {
            rows.each_row(&of_key[0].key, |row, _, count| {
                for request in of_key {
                    for _ in 0..count.max(0) {
                        let mut id = 0;
                        if !asks.is_empty() {
                            id = *next_id;
                            *next_id += 1;
                        }
                        for (child, asks) in asks.iter_mut().enumerate() {
                            if let Some(ask) = relations.request(child, row, request.owner, request.slot, id) {
                                asks.give(ask);
                            }
                        }
                        let Request { owner, slot, parent, .. } = **request;
                        pieces.give(Piece { owner, slot, node, parent, id, row: Row::from_bytes(row) });
                    }
                }
                true
            });
        }
    });
    (pieces, asks)
}

//! One lookup of a document view: the children of parents, as of a moment.

use std::collections::BTreeMap;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{Cursor, TraceReader};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::batcher::prefix_of;
use super::climb::release;
use super::sources::RowTrace;
use super::{Moment, hash};
use crate::value::{Layout, Row, key};

/// Asks for the children of one parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) key: Row,
    /// The worker that assembles the document, and the document's place in its portion.
    pub(super) owner: u32,
    pub(super) slot: u32,
    /// The parent's [`Piece::id`]; 0 for the root.
    pub(super) parent: u64,
}

/// A child row on its way to its document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) owner: u32,
    pub(super) slot: u32,
    /// Which lookup of the view, counted parents first.
    pub(super) node: u32,
    pub(super) parent: u64,
    /// Unique in its portion for pieces that have lookups of their own, else 0.
    pub(super) id: u64,
    pub(super) row: Row,
}

pub(super) type Requests<'s> = Stream<'s, Moment, Vec<Request>>;
type RequestOutput = OutputBuilder<Moment, CapacityContainerBuilder<Vec<Request>>>;

/// The columns by which the children of a node's rows are asked for.
pub(super) struct Relations {
    pub(super) layout: Layout,
    /// For each child lookup, the parent's columns.
    pub(super) columns: Vec<Vec<usize>>,
}

impl Relations {
    /// The request of the `child`-th lookup for this parent row, where its relation is not NULL.
    pub(super) fn request(&self, child: usize, row: &[u8], owner: u32, slot: u32, parent: u64) -> Option<Request> {
        let key = key::of_relation(&self.layout, row, &self.columns[child])?;
        Some(Request { key, owner, slot, parent })
    }
}

/// By their first bytes, which lie together, and only where these are equal by the keys themselves.
fn in_key_order(requests: &[Request]) -> impl Iterator<Item = &Request> {
    let mut order: Vec<(u64, &Request)> = requests.iter().map(|request| (prefix_of(&request.key), request)).collect();
    order.sort_unstable_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.key.cmp(&other.key)));
    order.into_iter().map(|(_, request)| request)
}

struct Waiting {
    /// One for each output.
    capabilities: Vec<Capability<Moment>>,
    requests: Vec<Request>,
}

/// Answers each request with a piece per matching row, and asks on for that piece's own children.
pub(super) fn fetch<'s>(
    name: &str,
    node: u32,
    requests: Requests<'s>,
    rows: &Arranged<'s, RowTrace>,
    relations: Relations,
) -> (Stream<'s, Moment, Vec<Piece>>, Vec<Requests<'s>>) {
    let scope = requests.scope();
    let worker = scope.index() as u64;
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let mut requests_in = builder.new_input(requests, Exchange::new(|r: &Request| hash(&r.key)));
    let mut batches_in = builder.new_input(rows.stream.clone(), Pipeline);
    let (pieces_out, pieces) = builder.new_output::<Vec<Piece>>();
    let mut pieces_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(pieces_out);
    let mut asks_out: Vec<RequestOutput> = Vec::new();
    let mut asks = Vec::new();
    for _ in &relations.columns {
        let (output, stream) = builder.new_output();
        asks_out.push(OutputBuilder::from(output));
        asks.push(stream);
    }
    let outputs = 1 + asks.len();
    let mut trace = Some(rows.trace.clone());
    let mut waiting: BTreeMap<Moment, Waiting> = BTreeMap::new();
    let mut next_id = (worker << 40) + 1;
    builder.build(move |_| {
        move |frontiers| {
            requests_in.for_each(|capability, data| {
                let slot = waiting.entry(*capability.time()).or_insert_with(|| Waiting {
                    capabilities: (0..outputs).map(|o| capability.retain(o)).collect(),
                    requests: Vec::new(),
                });
                slot.requests.append(data);
            });
            batches_in.for_each(|_, _| {});
            let Some(reader) = trace.as_mut() else { return };
            let mut pieces_handle = pieces_out.activate();
            let mut ask_handles: Vec<_> = asks_out.iter_mut().map(|o| o.activate()).collect();
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers[1].less_equal(&moment) {
                    break;
                }
                let Some((_, Waiting { capabilities, requests })) = waiting.pop_first() else { break };
                let (mut cursor, storage) = reader.cursor();
                let mut piece_session = pieces_handle.session(&capabilities[0]);
                let mut ask_sessions: Vec<_> = ask_handles.iter_mut().zip(&capabilities[1..]).map(|(h, c)| h.session(c)).collect();
                for request in in_key_order(&requests) {
                    // Several requests may have one key: the cursor then stands on it already.
                    cursor.seek_key(&storage, &request.key);
                    if cursor.get_key(&storage) != Some(&*request.key) {
                        continue;
                    }
                    cursor.rewind_vals(&storage);
                    while let Some(row) = cursor.get_val(&storage) {
                        let mut count = 0;
                        cursor.map_times(&storage, |at, diff| count += if *at <= moment { *diff } else { 0 });
                        for _ in 0..count.max(0) {
                            let mut id = 0;
                            if !ask_sessions.is_empty() {
                                id = next_id;
                                next_id += 1;
                            }
                            for (child, session) in ask_sessions.iter_mut().enumerate() {
                                if let Some(ask) = relations.request(child, row, request.owner, request.slot, id) {
                                    session.give(ask);
                                }
                            }
                            let Request { owner, slot, parent, .. } = *request;
                            piece_session.give(Piece { owner, slot, node, parent, id, row: Row::from_bytes(row) });
                        }
                        cursor.step_val(&storage);
                    }
                }
            }
            release(&mut trace, frontiers[0].frontier().iter().copied().min(), waiting.keys().next().copied());
        }
    });
    (pieces, asks)
}

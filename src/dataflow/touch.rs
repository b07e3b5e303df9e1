//! The root keys that a tick touches, each once, in portions, with their root rows as of the tick.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{Cursor, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::probe::Handle as Probe;

use super::climb::release;
use super::fetch::{Relations, Request, Requests};
use super::sources::RowTrace;
use super::{Moment, hash};
use crate::value::Row;

/// A touched key and its root row: the seed of a document.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) slot: u32,
    pub(super) key: Row,
    pub(super) row: RootRow,
}

#[derive(Debug, Clone)]
pub(super) enum RootRow {
    Missing,
    One(Row),
    /// Several rows have the view's key.
    Several,
}

/// How many roots go through the lookups at a time.
const PORTION: usize = 4096;
/// How many portions may be under way. Two keep every operator busy.
const UNDER_WAY: u64 = 2;

/// What keeps a large tick from running ahead.
pub(super) struct Brake {
    pub(super) assembled: Probe<Moment>,
    /// Set while whoever takes the documents is behind.
    pub(super) hold_back: Rc<Cell<bool>>,
}

impl Brake {
    fn holds(&self, moment: Moment, portion: u64) -> bool {
        self.hold_back.get() || portion >= UNDER_WAY && self.assembled.less_equal(&(moment + portion - UNDER_WAY))
    }
}

/// A tick being worked through.
struct Work {
    capabilities: Vec<Capability<Moment>>,
    /// Of the tick: what is looked up is looked up as of this.
    moment: Moment,
    portion: u64,
    keys: Keys,
}

enum Keys {
    /// Sorted, each once; the next is at the index.
    Listed(Vec<Row>, usize),
    /// Every root of this worker, beyond this key.
    All(Option<Row>),
}

/// `hydrate_at`: the moment at which every root is touched, whatever changed.
pub(super) fn touch<'s>(
    name: &str,
    touched: Stream<'s, Moment, Vec<Row>>,
    roots: &Arranged<'s, RowTrace>,
    relations: Relations,
    hydrate_at: Option<Moment>,
    brake: Brake,
) -> (Stream<'s, Moment, Vec<Root>>, Vec<Requests<'s>>) {
    let scope = touched.scope();
    let owner = scope.index() as u32;
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut touched_in = builder.new_input(touched, Exchange::new(|key: &Row| hash(key)));
    let mut batches_in = builder.new_input(roots.stream.clone(), Pipeline);
    let (roots_out, out) = builder.new_output::<Vec<Root>>();
    let mut roots_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(roots_out);
    let mut asks_out: Vec<OutputBuilder<Moment, CapacityContainerBuilder<Vec<Request>>>> = Vec::new();
    let mut asks = Vec::new();
    for _ in &relations.columns {
        let (output, stream) = builder.new_output();
        asks_out.push(OutputBuilder::from(output));
        asks.push(stream);
    }
    let outputs = 1 + asks.len();
    let mut trace = Some(roots.trace.clone());
    builder.build(move |capabilities| {
        let mut waiting: BTreeMap<Moment, (Vec<Capability<Moment>>, Vec<Row>)> = BTreeMap::new();
        let mut work: Option<Work> = hydrate_at.map(|moment| {
            let capabilities = capabilities.iter().map(|c| c.delayed(&moment)).collect();
            Work { capabilities, moment, portion: 0, keys: Keys::All(None) }
        });
        drop(capabilities);
        move |frontiers| {
            touched_in.for_each(|capability, data| {
                let slot =
                    waiting.entry(*capability.time()).or_insert_with(|| ((0..outputs).map(|o| capability.retain(o)).collect(), Vec::new()));
                slot.1.append(data);
            });
            batches_in.for_each(|_, _| {});
            let Some(reader) = trace.as_mut() else { return };
            let mut roots_handle = roots_out.activate();
            let mut ask_handles: Vec<_> = asks_out.iter_mut().map(|o| o.activate()).collect();
            loop {
                if work.is_none() {
                    let Some((&moment, _)) = waiting.first_key_value() else { break };
                    if frontiers[0].less_equal(&moment) {
                        break;
                    }
                    let Some((_, (capabilities, mut keys))) = waiting.pop_first() else { break };
                    keys.sort_unstable();
                    keys.dedup();
                    work = Some(Work { capabilities, moment, portion: 0, keys: Keys::Listed(keys, 0) });
                }
                let Some(current) = work.as_mut() else { break };
                if frontiers[1].less_equal(&current.moment) {
                    break;
                }
                if current.portion > 0 && brake.holds(current.moment, current.portion) {
                    activator.activate();
                    break;
                }
                let mut roots_session = roots_handle.session(&current.capabilities[0]);
                let mut ask_sessions: Vec<_> = ask_handles.iter_mut().zip(&current.capabilities[1..]).map(|(h, c)| h.session(c)).collect();
                let mut slot = 0;
                let more = current.keys.portion(reader, current.moment, |key, row| {
                    if let RootRow::One(row) = &row {
                        for (child, session) in ask_sessions.iter_mut().enumerate() {
                            if let Some(ask) = relations.request(child, row, owner, slot, 0) {
                                session.give(ask);
                            }
                        }
                    }
                    roots_session.give(Root { slot, key, row });
                    slot += 1;
                });
                drop((roots_session, ask_sessions));
                if !more {
                    work = None;
                    continue;
                }
                current.portion += 1;
                for capability in &mut current.capabilities {
                    capability.downgrade(&(current.moment + current.portion));
                }
            }
            let under_way = work.as_ref().map(|w| w.moment).into_iter().chain(waiting.keys().next().copied()).min();
            release(&mut trace, frontiers[0].frontier().iter().copied().min(), under_way);
        }
    });
    (out, asks)
}

impl Keys {
    /// Gives the next portion; whether more may follow.
    fn portion(&mut self, reader: &mut RowTrace, moment: Moment, mut give: impl FnMut(Row, RootRow)) -> bool {
        let (mut cursor, storage) = reader.cursor();
        match self {
            Keys::Listed(keys, next) => {
                let end = keys.len().min(*next + PORTION);
                for key in &mut keys[*next..end] {
                    cursor.seek_key(&storage, key);
                    let mut row = RootRow::Missing;
                    if cursor.get_key(&storage) == Some(&**key) {
                        row = root_row(&mut cursor, &storage, moment);
                    }
                    give(std::mem::take(key), row);
                }
                *next = end;
                end < keys.len()
            }
            Keys::All(beyond) => {
                if let Some(last) = beyond {
                    cursor.seek_key(&storage, last);
                    if cursor.get_key(&storage) == Some(&**last) {
                        cursor.step_key(&storage);
                    }
                }
                for _ in 0..PORTION {
                    let Some(key) = cursor.get_key(&storage) else { return false };
                    let key = Row::from_bytes(key);
                    let row = root_row(&mut cursor, &storage, moment);
                    if !matches!(row, RootRow::Missing) {
                        give(key.clone(), row);
                    }
                    *beyond = Some(key);
                    cursor.step_key(&storage);
                }
                true
            }
        }
    }
}

fn root_row<C>(cursor: &mut C, storage: &C::Storage, moment: Moment) -> RootRow
where
    for<'a> C: Cursor<Val<'a> = &'a [u8], TimeGat<'a> = &'a Moment, DiffGat<'a> = &'a i64>,
{
    let mut found = RootRow::Missing;
    while let Some(row) = cursor.get_val(storage) {
        let mut count = 0;
        cursor.map_times(storage, |at, diff| count += if *at <= moment { *diff } else { 0 });
        if count > 0 {
            found = match found {
                RootRow::Missing if count == 1 => RootRow::One(Row::from_bytes(row)),
                _ => RootRow::Several,
            };
        }
        cursor.step_val(storage);
    }
    found
}

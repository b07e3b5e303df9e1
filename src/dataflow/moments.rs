//! The driver of operators: it collects input by time and passes a time's input to the operator once no more of that time can arrive.
//!
//! An operator processes times in order. For each time t it gets all input of t, and it sends at t or later. So the sum of its output up to
//! t is a function of the sum of its input up to t. An operator whose output for a part of t's input does not depend on the rest may
//! process t in pieces ([`requests`](Operator::requests), [`blocks`](Operator::blocks)). In a recursion a time is a turn (a moment and a
//! round), ordered by moment, then by round.
//!
//! An operator may read arrangements as of t. The driver lets them compact what no operator can read any more, and registers the operator's
//! memory with [`Memory`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::TraceReader;
use timely::Container;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession, Session};
use timely::dataflow::operators::{Capability, InputCapability};
use timely::dataflow::{Scope, Stream};
use timely::order::Product;
use timely::progress::frontier::MutableAntichain;
use timely::progress::{Antichain, Timestamp};

use super::held::arranged::{AsOf, RowTrace};
use super::held::bytes::RowBatch;
use super::held::memory::{HeapSize, Memory};
use super::held::updates::Updates;
use super::time::{Moment, START};

/// A timestamp of an operator: a moment, or a turn. Operators process times in their order.
pub(crate) trait Time: Timestamp {
    fn moment(&self) -> Moment;
}

impl Time for Moment {
    fn moment(&self) -> Moment {
        *self
    }
}

/// A moment and a round of a recursion.
pub(crate) type Turn = Product<Moment, u32>;

impl Time for Turn {
    fn moment(&self) -> Moment {
        self.outer
    }
}

pub(crate) type Output<T, C> = OutputBuilder<T, CapacityContainerBuilder<C>>;
type Handle<'a, T, C> = OutputBuilderSession<'a, T, CapacityContainerBuilder<C>>;
type OutputSession<'a, 'b, T, C> = Session<'a, 'b, T, CapacityContainerBuilder<C>, Capability<T>>;

/// Which states of an arrangement an operator reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Rows as of the moment.
    At,
    /// Rows as of the moment and as of just before it.
    BeforeAndAt,
}

/// An operator under construction. `S` is its state, `W` is what is collected for a time.
pub(crate) struct Operator<'s, T: Time, S, W> {
    name: String,
    scope: Scope<'s, T>,
    builder: OperatorBuilder<'s, T>,
    inputs: Vec<Input<T, S, W>>,
    readers: Vec<ArrangementReader>,
    first: Option<(T, W)>,
    ready: Option<Ready<T>>,
}

/// Takes the input that has arrived. For an input of [`Granularity::Each`] it calls the closure after every container.
type Take<T, S, W> = Box<dyn FnMut(&mut S, &mut Queue<T, W>, WorkOn<'_, T, S, W>)>;
type WorkOn<'a, T, S, W> = &'a mut dyn FnMut(&mut S, &mut Queue<T, W>);
type Ready<T> = Box<dyn Fn(&T) -> bool>;

struct Input<T: Time, S, W> {
    take: Take<T, S, W>,
    granularity: Granularity,
    /// Whether input on this edge may cause lookups in arrangements. If so, its frontier limits their compaction.
    asks: bool,
}

/// How the input of a time is divided for processing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Granularity {
    /// All at once, when the input's frontier has passed the time.
    Whole,
    /// Whatever has arrived when the operator is scheduled.
    Parts,
    /// Each container separately, as it is taken.
    Each,
}

struct ArrangementReader {
    trace: Option<RowTrace>,
    reads: Reads,
}

impl<'s, T: Time, S: HeapSize + 'static, W: Default + HeapSize + 'static> Operator<'s, T, S, W> {
    pub(crate) fn new(name: &str, scope: Scope<'s, T>) -> Operator<'s, T, S, W> {
        Operator {
            name: name.to_string(),
            scope,
            builder: OperatorBuilder::new(name.to_string(), scope),
            inputs: Vec::new(),
            readers: Vec::new(),
            first: None,
            ready: None,
        }
    }

    /// Adds an input whose times are processed only when they are complete. `take` adds a container to what is collected for its time, or
    /// to the state.
    pub(crate) fn input<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        take: impl FnMut(&mut S, &T, &mut W, &mut C) + 'static,
    ) {
        self.collect(stream, pact, Granularity::Whole, take);
    }

    /// Like [`input`](Operator::input), but input of a time may be processed before the rest of it arrives.
    pub(crate) fn requests<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        take: impl FnMut(&mut S, &T, &mut W, &mut C) + 'static,
    ) {
        self.collect(stream, pact, Granularity::Parts, take);
    }

    /// Like [`requests`](Operator::requests), but each container is processed as it is taken, so the others are not held meanwhile.
    pub(crate) fn blocks<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        take: impl FnMut(&mut S, &T, &mut W, &mut C) + 'static,
    ) {
        self.collect(stream, pact, Granularity::Each, take);
    }

    fn collect<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        granularity: Granularity,
        mut take: impl FnMut(&mut S, &T, &mut W, &mut C) + 'static,
    ) {
        self.take(stream, pact, granularity, true, move |state, capability, queue, container| {
            let time = capability.time().clone();
            take(state, &time, queue.at(capability, &time), container);
        });
    }

    /// Adds an input of an arrangement's batches. `take` distributes a batch's updates to the times they belong to.
    pub(crate) fn batches(
        &mut self,
        stream: Stream<'s, T, Vec<RowBatch>>,
        mut take: impl FnMut(&mut S, &RowBatch, &mut BatchSlots<'_, T, W>) + 'static,
    ) {
        self.take(stream, Pipeline, Granularity::Whole, true, move |state, capability, queue, batches: &mut Vec<RowBatch>| {
            let mut slots = BatchSlots { capability, queue };
            batches.drain(..).for_each(|batch| take(state, &batch, &mut slots));
        });
    }

    /// Registers an arrangement to read. [`AtTime::read`] takes its number, counted in the order of these calls.
    pub(crate) fn reads(&mut self, trace: &RowTrace, reads: Reads) {
        self.readers.push(ArrangementReader { trace: Some(trace.clone()), reads });
    }

    fn take<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        granularity: Granularity,
        asks: bool,
        mut take: impl FnMut(&mut S, &InputCapability<T>, &mut Queue<T, W>, &mut C) + 'static,
    ) {
        let mut input = self.builder.new_input(stream, pact);
        let take = move |state: &mut S, queue: &mut Queue<T, W>, work_on: WorkOn<'_, T, S, W>| {
            input.for_each(|capability, container| {
                take(state, &capability, queue, container);
                if granularity == Granularity::Each {
                    work_on(state, queue);
                }
            });
        };
        self.inputs.push(Input { take: Box::new(take), granularity, asks });
    }

    pub(crate) fn output<C: Container>(&mut self) -> (Output<T, C>, Stream<'s, T, C>) {
        let (output, stream) = self.builder.new_output::<C>();
        (OutputBuilder::from(output), stream)
    }

    /// Queues `waiting` for `time`, as if it had arrived on an input.
    pub(crate) fn begin_with(&mut self, time: T, waiting: W) {
        self.first = Some((time, waiting));
    }

    /// Sets a condition for processing. While it returns false for a time, that time and all later ones wait; it is polled on every
    /// activation.
    pub(crate) fn only_when(&mut self, ready: impl Fn(&T) -> bool + 'static) {
        self.ready = Some(Box::new(ready));
    }

    /// Builds the operator. `work` is called for every time, in order, with the state and with what was collected for the time.
    pub(crate) fn build(self, memory: &Memory, state: S, mut work: impl FnMut(&mut S, &mut AtTime<'_, T, W>, W) + 'static) {
        let Operator { name, scope, builder, mut inputs, mut readers, first, ready } = self;
        let activator = scope.activator_for(builder.operator_info().address);
        let queue = Queue { outputs: builder.shape().outputs(), slots: BTreeMap::new() };
        let shared = Rc::new(RefCell::new(Shared { state, queue }));
        memory.add_operator(&name, Rc::clone(&shared));
        let with = |is: fn(&Input<T, S, W>) -> bool| (0..inputs.len()).filter(|&input| is(&inputs[input])).collect::<Vec<_>>();
        let (whole, asking) = (with(|input| input.granularity == Granularity::Whole), with(|input| input.asks));
        builder.build(move |capabilities| {
            if let Some((time, waiting)) = first {
                let capabilities = capabilities.iter().map(|capability| capability.delayed(&time)).collect();
                shared.borrow_mut().queue.slots.insert(time, PendingTime { capabilities, waiting });
            }
            drop(capabilities);
            move |frontiers: &[MutableAntichain<T>]| {
                let Shared { state, queue } = &mut *shared.borrow_mut();
                let mut work_on = |state: &mut S, queue: &mut Queue<T, W>| {
                    while let Some((time, _)) = queue.slots.first_key_value() {
                        if !whole.iter().all(|&input| has_passed(&frontiers[input], time)) {
                            break;
                        }
                        if ready.as_ref().is_some_and(|ready| !ready(time)) {
                            activator.activate();
                            break;
                        }
                        let Some((time, PendingTime { capabilities, waiting })) = queue.slots.pop_first() else { break };
                        let complete = frontiers.iter().all(|frontier| has_passed(frontier, &time));
                        let mut now = AtTime { time, capabilities: &capabilities, queue, readers: &mut readers, complete, stays: false };
                        work(state, &mut now, waiting);
                        let AtTime { time, stays, .. } = now;
                        if stays {
                            queue.slots.insert(time, PendingTime { capabilities, waiting: W::default() });
                            break;
                        }
                    }
                };
                inputs.iter_mut().for_each(|input| (input.take)(state, queue, &mut work_on));
                work_on(state, queue);
                let to_come = asking.iter().flat_map(|&input| frontiers[input].frontier().iter().map(Time::moment).min());
                let least = to_come.chain(queue.slots.keys().next().map(Time::moment)).min();
                readers.iter_mut().for_each(|reader| reader.release(least));
            }
        });
    }
}

impl<'s, S: HeapSize + 'static, W: Default + HeapSize + 'static> Operator<'s, Moment, S, W> {
    /// Adds an arrangement that is read but whose changes are ignored. A time waits until the arrangement is complete up to it.
    pub(crate) fn arrangement(&mut self, arranged: &Arranged<'s, RowTrace>, reads: Reads) {
        self.take(arranged.stream.clone(), Pipeline, Granularity::Whole, false, |_, _, _, batches: &mut Vec<RowBatch>| batches.clear());
        self.reads(&arranged.trace, reads);
    }
}

/// Whether nothing at or before this time can arrive any more.
fn has_passed<T: Time>(frontier: &MutableAntichain<T>, time: &T) -> bool {
    frontier.frontier().iter().all(|to_come| to_come > time)
}

impl ArrangementReader {
    /// Lets the trace compact what is before the earliest moment that can still be read; drops the trace if there is none.
    fn release(&mut self, least: Option<Moment>) {
        let (Some(trace), Some(least)) = (&mut self.trace, least) else {
            self.trace = None;
            return;
        };
        let least = match self.reads {
            Reads::At => least,
            Reads::BeforeAndAt => least.saturating_sub(1),
        };
        trace.set_logical_compaction(Antichain::from_elem(least).borrow());
        // Cursors always read all batches, so any of them may be merged.
        trace.set_physical_compaction(Antichain::new().borrow());
    }
}

/// What `work` and the memory measurement share.
struct Shared<T: Time, S, W> {
    state: S,
    queue: Queue<T, W>,
}

impl<T: Time, S: HeapSize, W: HeapSize> HeapSize for Shared<T, S, W> {
    fn held_bytes(&self) -> usize {
        self.state.held_bytes() + self.queue.slots.values().map(|slot| slot.waiting.held_bytes()).sum::<usize>()
    }
}

/// Collected input, by time.
struct Queue<T: Time, W> {
    outputs: usize,
    slots: BTreeMap<T, PendingTime<T, W>>,
}

struct PendingTime<T: Time, W> {
    /// One for each output.
    capabilities: Vec<Capability<T>>,
    waiting: W,
}

impl<T: Time, W: Default> Queue<T, W> {
    fn at(&mut self, capability: &InputCapability<T>, time: &T) -> &mut W {
        let outputs = self.outputs;
        let slot = self.slots.entry(time.clone()).or_insert_with(|| PendingTime {
            capabilities: (0..outputs).map(|output| capability.delayed(time, output)).collect(),
            waiting: W::default(),
        });
        &mut slot.waiting
    }
}

/// Gives access to what is collected for the times of a batch's updates.
pub(crate) struct BatchSlots<'a, T: Time, W> {
    capability: &'a InputCapability<T>,
    queue: &'a mut Queue<T, W>,
}

impl<T: Time, W: Default> BatchSlots<'_, T, W> {
    pub(crate) fn at(&mut self, time: &T) -> &mut W {
        self.queue.at(self.capability, time)
    }
}

/// The time that is being processed.
pub(crate) struct AtTime<'a, T: Time, W> {
    pub(crate) time: T,
    capabilities: &'a [Capability<T>],
    queue: &'a mut Queue<T, W>,
    readers: &'a mut [ArrangementReader],
    complete: bool,
    stays: bool,
}

impl<'a, T: Time, W: Default> AtTime<'a, T, W> {
    pub(crate) fn moment(&self) -> Moment {
        self.time.moment()
    }

    /// Whether no input can receive more of this time, including inputs that the operator does not wait for.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Processes this time again with what arrives later. Later times wait until then.
    pub(crate) fn stay(&mut self) {
        self.stays = true;
    }

    /// Sends at this time.
    pub(crate) fn send<'h, 'b, C: Container>(&self, handle: &'b mut Handle<'h, T, C>) -> OutputSession<'h, 'b, T, C>
    where
        'a: 'b,
    {
        let capability = &self.capabilities[handle.output_index()];
        handle.session(capability)
    }

    /// Sends a container at this time or a later one.
    pub(crate) fn send_at<C: Container>(&self, time: &T, handle: &mut Handle<'_, T, C>, container: &mut C) {
        let capability = self.capabilities[handle.output_index()].delayed(time);
        handle.session(&capability).give_container(container);
    }

    /// What is collected for a later time.
    pub(crate) fn later(&mut self, time: &T) -> &mut W {
        let capabilities = self.capabilities;
        let slot = self.queue.slots.entry(time.clone()).or_insert_with(|| PendingTime {
            capabilities: capabilities.iter().map(|capability| capability.delayed(time)).collect(),
            waiting: W::default(),
        });
        &mut slot.waiting
    }

    /// The arrangement with this number, as of the current moment.
    pub(crate) fn read(&mut self, arrangement: usize) -> AsOf {
        let moment = self.moment();
        let trace = self.readers[arrangement].trace.as_mut().expect("it is dropped only when nothing can read it any more");
        AsOf::new(trace, moment)
    }
}

/// Adds a block to what is collected for its time.
pub(crate) fn collect<S, T>(_: &mut S, _: &T, blocks: &mut Vec<Updates>, block: &mut Updates) {
    blocks.push(std::mem::take(block));
}

/// Like [`collect`], for streams of single items.
pub(crate) fn collect_items<S, T, I>(_: &mut S, _: &T, waiting: &mut Vec<I>, items: &mut Vec<I>) {
    waiting.append(items);
}

/// Like [`collect`], but blocks of the first moment are added to the state on arrival: no state precedes them, so they need not wait for
/// the rest.
pub(crate) fn collect_early<S>(add: fn(&mut S, &Updates)) -> impl FnMut(&mut S, &Moment, &mut Vec<Updates>, &mut Updates) {
    move |state, moment, blocks, block| match *moment {
        START => add(state, block),
        _ => blocks.push(std::mem::take(block)),
    }
}

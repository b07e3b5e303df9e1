//! The driver of operators: it collects what comes by its time and hands it over once nothing more of that time can come.
//!
//! For every time t, in order, an operator works on all that came of t at its inputs, and sends at t or at a later time. So the sum of its
//! output up to t is a function of the sum of its input up to t. An operator whose output for a part of t's input does not depend on the rest
//! works on t in pieces ([`requests`](Operator::requests), [`blocks`](Operator::blocks)). In a recursion times are turns (a round of a moment),
//! in the order of moments and in it of rounds.
//!
//! An operator may read arrangements as of t. The driver lets them compact what nobody can ask for any more, and registers what the operator
//! holds with [`Memory`].

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
use super::held::memory::{Holds, Memory};
use super::held::updates::Updates;
use super::time::{Moment, START};

/// Times are worked through in their order.
pub(crate) trait Time: Timestamp {
    fn moment(&self) -> Moment;
}

impl Time for Moment {
    fn moment(&self) -> Moment {
        *self
    }
}

/// A round of a moment.
pub(crate) type Turn = Product<Moment, u32>;

impl Time for Turn {
    fn moment(&self) -> Moment {
        self.outer
    }
}

pub(crate) type Output<T, C> = OutputBuilder<T, CapacityContainerBuilder<C>>;
type Handle<'a, T, C> = OutputBuilderSession<'a, T, CapacityContainerBuilder<C>>;
type Sending<'a, 'b, T, C> = Session<'a, 'b, T, CapacityContainerBuilder<C>, Capability<T>>;

/// What an operator reads of an arrangement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Rows as of a moment.
    At,
    /// The same, and rows as of before the moment.
    BeforeAndAt,
}

/// An operator that is being built: its state, and what waits for a time.
pub(crate) struct Operator<'s, T: Time, S, W> {
    name: String,
    scope: Scope<'s, T>,
    builder: OperatorBuilder<'s, T>,
    inputs: Vec<Input<T, S, W>>,
    readers: Vec<Reader>,
    first: Option<(T, W)>,
    ready: Option<Ready<T>>,
}

/// Takes what has come, and has a container worked on that is to be by itself.
type Take<T, S, W> = Box<dyn FnMut(&mut S, &mut Queue<T, W>, WorkOn<'_, T, S, W>)>;
type WorkOn<'a, T, S, W> = &'a mut dyn FnMut(&mut S, &mut Queue<T, W>);
type Ready<T> = Box<dyn Fn(&T) -> bool>;

struct Input<T: Time, S, W> {
    take: Take<T, S, W>,
    pieces: Pieces,
    /// What comes here may ask for rows of arrangements.
    asks: bool,
}

/// In which pieces the input of a time is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pieces {
    /// All at once, when the input has passed the time.
    Whole,
    /// What has come by when the operator is scheduled.
    Parts,
    /// Each container as it is taken.
    Each,
}

struct Reader {
    trace: Option<RowTrace>,
    reads: Reads,
}

impl<'s, T: Time, S: Holds + 'static, W: Default + Holds + 'static> Operator<'s, T, S, W> {
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

    /// Everything of a time has come before it is worked on. `take` puts a container to what waits for its time, or into the state.
    pub(crate) fn input<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        take: impl FnMut(&mut S, &T, &mut W, &mut C) + 'static,
    ) {
        self.collect(stream, pact, Pieces::Whole, take);
    }

    /// As [`input`](Operator::input), but what has come of a time may be worked on before the rest of it comes.
    pub(crate) fn requests<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        take: impl FnMut(&mut S, &T, &mut W, &mut C) + 'static,
    ) {
        self.collect(stream, pact, Pieces::Parts, take);
    }

    /// As [`requests`](Operator::requests), container by container: the others are not held meanwhile.
    pub(crate) fn blocks<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        take: impl FnMut(&mut S, &T, &mut W, &mut C) + 'static,
    ) {
        self.collect(stream, pact, Pieces::Each, take);
    }

    fn collect<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        pieces: Pieces,
        mut take: impl FnMut(&mut S, &T, &mut W, &mut C) + 'static,
    ) {
        self.take(stream, pact, pieces, true, move |state, capability, queue, container| {
            let time = capability.time().clone();
            take(state, &time, queue.at(capability, &time), container);
        });
    }

    /// Changes of an arrangement. `take` puts the updates of a batch to what waits for their times.
    pub(crate) fn batches(
        &mut self,
        stream: Stream<'s, T, Vec<RowBatch>>,
        mut take: impl FnMut(&mut S, &RowBatch, &mut Slots<'_, T, W>) + 'static,
    ) {
        self.take(stream, Pipeline, Pieces::Whole, true, move |state, capability, queue, batches: &mut Vec<RowBatch>| {
            let mut slots = Slots { capability, queue };
            batches.drain(..).for_each(|batch| take(state, &batch, &mut slots));
        });
    }

    /// What is read of an arrangement besides its changes: [`Now::read`] has it by the order of these calls.
    pub(crate) fn reads(&mut self, trace: &RowTrace, reads: Reads) {
        self.readers.push(Reader { trace: Some(trace.clone()), reads });
    }

    fn take<C: Container, P: ParallelizationContract<T, C>>(
        &mut self,
        stream: Stream<'s, T, C>,
        pact: P,
        pieces: Pieces,
        asks: bool,
        mut take: impl FnMut(&mut S, &InputCapability<T>, &mut Queue<T, W>, &mut C) + 'static,
    ) {
        let mut input = self.builder.new_input(stream, pact);
        let take = move |state: &mut S, queue: &mut Queue<T, W>, work_on: WorkOn<'_, T, S, W>| {
            input.for_each(|capability, container| {
                take(state, &capability, queue, container);
                if pieces == Pieces::Each {
                    work_on(state, queue);
                }
            });
        };
        self.inputs.push(Input { take: Box::new(take), pieces, asks });
    }

    pub(crate) fn output<C: Container>(&mut self) -> (Output<T, C>, Stream<'s, T, C>) {
        let (output, stream) = self.builder.new_output::<C>();
        (OutputBuilder::from(output), stream)
    }

    /// There is this to work on at first, as if it had come.
    pub(crate) fn begin_with(&mut self, time: T, waiting: W) {
        self.first = Some((time, waiting));
    }

    /// Times for which this says no are worked on later, with all behind them; it is asked again and again.
    pub(crate) fn only_when(&mut self, ready: impl Fn(&T) -> bool + 'static) {
        self.ready = Some(Box::new(ready));
    }

    pub(crate) fn build(self, memory: &Memory, state: S, mut work: impl FnMut(&mut S, &mut Now<'_, T, W>, W) + 'static) {
        let Operator { name, scope, builder, mut inputs, mut readers, first, ready } = self;
        let activator = scope.activator_for(builder.operator_info().address);
        let queue = Queue { outputs: builder.shape().outputs(), slots: BTreeMap::new() };
        let shared = Rc::new(RefCell::new(Shared { state, queue }));
        memory.add_operator(&name, Rc::clone(&shared));
        let with = |is: fn(&Input<T, S, W>) -> bool| (0..inputs.len()).filter(|&input| is(&inputs[input])).collect::<Vec<_>>();
        let (whole, asking) = (with(|input| input.pieces == Pieces::Whole), with(|input| input.asks));
        builder.build(move |capabilities| {
            if let Some((time, waiting)) = first {
                let capabilities = capabilities.iter().map(|capability| capability.delayed(&time)).collect();
                shared.borrow_mut().queue.slots.insert(time, Slot { capabilities, waiting });
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
                        let Some((time, Slot { capabilities, waiting })) = queue.slots.pop_first() else { break };
                        let complete = frontiers.iter().all(|frontier| has_passed(frontier, &time));
                        let mut now = Now { time, capabilities: &capabilities, queue, readers: &mut readers, complete, stays: false };
                        work(state, &mut now, waiting);
                        let Now { time, stays, .. } = now;
                        if stays {
                            queue.slots.insert(time, Slot { capabilities, waiting: W::default() });
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

impl<'s, S: Holds + 'static, W: Default + Holds + 'static> Operator<'s, Moment, S, W> {
    /// An arrangement that is read, and whose changes are none of the operator's: it waits for it to be complete.
    pub(crate) fn arrangement(&mut self, arranged: &Arranged<'s, RowTrace>, reads: Reads) {
        self.take(arranged.stream.clone(), Pipeline, Pieces::Whole, false, |_, _, _, batches: &mut Vec<RowBatch>| batches.clear());
        self.reads(&arranged.trace, reads);
    }
}

/// Whether nothing of this time or before can come any more.
fn has_passed<T: Time>(frontier: &MutableAntichain<T>, time: &T) -> bool {
    frontier.frontier().iter().all(|to_come| to_come > time)
}

impl Reader {
    /// Lets the trace compact what is before the earliest moment that can still be asked for.
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
        // Cursors are always over all batches, so that any of them may be merged.
        trace.set_physical_compaction(Antichain::new().borrow());
    }
}

struct Shared<T: Time, S, W> {
    state: S,
    queue: Queue<T, W>,
}

impl<T: Time, S: Holds, W: Holds> Holds for Shared<T, S, W> {
    fn held_bytes(&self) -> usize {
        self.state.held_bytes() + self.queue.slots.values().map(|slot| slot.waiting.held_bytes()).sum::<usize>()
    }
}

/// What waits, by its time.
struct Queue<T: Time, W> {
    outputs: usize,
    slots: BTreeMap<T, Slot<T, W>>,
}

struct Slot<T: Time, W> {
    /// One for each output.
    capabilities: Vec<Capability<T>>,
    waiting: W,
}

impl<T: Time, W: Default> Queue<T, W> {
    fn at(&mut self, capability: &InputCapability<T>, time: &T) -> &mut W {
        let outputs = self.outputs;
        let slot = self.slots.entry(time.clone()).or_insert_with(|| Slot {
            capabilities: (0..outputs).map(|output| capability.delayed(time, output)).collect(),
            waiting: W::default(),
        });
        &mut slot.waiting
    }
}

/// What waits for the times of a batch's updates.
pub(crate) struct Slots<'a, T: Time, W> {
    capability: &'a InputCapability<T>,
    queue: &'a mut Queue<T, W>,
}

impl<T: Time, W: Default> Slots<'_, T, W> {
    pub(crate) fn at(&mut self, time: &T) -> &mut W {
        self.queue.at(self.capability, time)
    }
}

/// A time that is worked on.
pub(crate) struct Now<'a, T: Time, W> {
    pub(crate) time: T,
    capabilities: &'a [Capability<T>],
    queue: &'a mut Queue<T, W>,
    readers: &'a mut [Reader],
    complete: bool,
    stays: bool,
}

impl<'a, T: Time, W: Default> Now<'a, T, W> {
    pub(crate) fn moment(&self) -> Moment {
        self.time.moment()
    }

    /// Whether nothing of this time can come any more, also where it is not waited for.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Works on this time again, with what comes by then: later times wait for it.
    pub(crate) fn stay(&mut self) {
        self.stays = true;
    }

    /// Sends at this time.
    pub(crate) fn send<'h, 'b, C: Container>(&self, handle: &'b mut Handle<'h, T, C>) -> Sending<'h, 'b, T, C>
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

    /// What waits for a later time.
    pub(crate) fn later(&mut self, time: &T) -> &mut W {
        let capabilities = self.capabilities;
        let slot = self.queue.slots.entry(time.clone()).or_insert_with(|| Slot {
            capabilities: capabilities.iter().map(|capability| capability.delayed(time)).collect(),
            waiting: W::default(),
        });
        &mut slot.waiting
    }

    /// An arrangement as of now.
    pub(crate) fn read(&mut self, arrangement: usize) -> AsOf {
        let moment = self.moment();
        let trace = self.readers[arrangement].trace.as_mut().expect("it is let go when nothing can ask any more");
        AsOf::new(trace, moment)
    }
}

/// Puts a block to what waits for its time.
pub(crate) fn collect<S, T>(_: &mut S, _: &T, blocks: &mut Vec<Updates>, block: &mut Updates) {
    blocks.push(std::mem::take(block));
}

/// The same of items one by one.
pub(crate) fn collect_items<S, T, I>(_: &mut S, _: &T, waiting: &mut Vec<I>, items: &mut Vec<I>) {
    waiting.append(items);
}

/// As [`collect`], but what is there at the first moment goes into the state as it comes: nothing was there before, so it need not wait for
/// the rest.
pub(crate) fn collect_early<S>(add: fn(&mut S, &Updates)) -> impl FnMut(&mut S, &Moment, &mut Vec<Updates>, &mut Updates) {
    move |state, moment, blocks, block| match *moment {
        START => add(state, block),
        _ => blocks.push(std::mem::take(block)),
    }
}

//! The values of a group in an order: `array_agg`, `string_agg`, `nth_value`, and functions that are rewritten to them (`topk`,
//! `latest_by_offset` with a number, `collect_list`, ...).
//!
//! All values are kept sorted, so a change costs the logarithm of the group's size, plus the size of the output. If rows are only inserted
//! and only a limited number of values at one end is output, the others are not kept. Without ORDER BY the values are sorted by themselves.

use super::aggregate::{Accumulators, Aggregate, AggregateCall};
use super::entry::{Entries, place_and_value};
use super::values::{self, Values};
use crate::dataflow::held::memory::HeapSize;
use crate::plan::Argument;
use crate::value::{Datum, Diff, Layout, RowBuilder, Type, pack_list};

pub(super) fn array(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let Type::List(item) = call.output() else { return None };
    let column = call.column().filter(|&column| call.is(&["array_agg"]) && item.arrow() == call.type_of(column).arrow())?;
    let limit = call.function.first_read();
    let shown = match &**item {
        Type::Struct(schema) => {
            let mut builder = RowBuilder::new(&Layout::new(schema));
            schema.columns().iter().for_each(|_| builder.push(Datum::Null));
            ListResult::List { without_struct: Some(builder.finish().to_vec()) }
        }
        _ => ListResult::List { without_struct: None },
    };
    List::accumulators(call, column, call.simple.ignores_nulls, limit.map(|limit| End { limit, last: false }), shown)
}

pub(super) fn text(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let [Argument::Column(column), Argument::Text(between)] = call.simple.arguments.as_slice() else { return None };
    let is_text = call.is(&["string_agg"]) && [call.type_of(*column), call.output()] == [&Type::Text, &Type::Text];
    is_text.then(|| List::accumulators(call, *column, true, None, ListResult::Text { between: between.clone() }))?
}

/// `nth_value`. A negative number counts from the end.
pub(super) fn nth(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let [Argument::Column(column), Argument::Whole(number)] = call.simple.arguments.as_slice() else { return None };
    let (column, limit) = (*column, usize::try_from(number.unsigned_abs()).ok().filter(|number| *number > 0)?);
    let fits = call.is(&["nth_value"]) && !call.simple.order_by.is_empty() && call.output() == call.type_of(column);
    fits.then(|| List::accumulators(call, column, call.simple.ignores_nulls, Some(End { limit, last: *number < 0 }), ListResult::Furthest))?
}

struct List {
    entries: Entries,
    distinct: bool,
    skips_nulls: bool,
    /// The part of the list that is output; `None` for all of it.
    end: Option<End>,
    shown: ListResult,
}

/// The first `limit` values, or the last ones.
#[derive(Clone, Copy)]
struct End {
    limit: usize,
    last: bool,
}

enum ListResult {
    /// A list; `without_struct` is the item that replaces a NULL struct.
    List {
        without_struct: Option<Vec<u8>>,
    },
    Text {
        between: String,
    },
    /// The last value within the limit, for `nth_value`.
    Furthest,
}

impl List {
    fn accumulators(
        call: &AggregateCall,
        column: usize,
        skips_nulls: bool,
        end: Option<End>,
        shown: ListResult,
    ) -> Option<Box<dyn Accumulators>> {
        let list = List { entries: Entries::new(call, column, call.order()), distinct: call.simple.distinct, skips_nulls, end, shown };
        match end {
            Some(end) if call.only_come => call.by(Bounded { list, end }),
            _ => call.by(list),
        }
    }

    fn with_entry(&self, layout: &Layout, row: &[u8], what: impl FnOnce(&[u8])) {
        if !self.skips_nulls || !layout.is_null(row, self.entries.column) {
            self.entries.with(layout, row, what);
        }
    }

    /// How many copies of a value with this count are output.
    fn copies(&self, count: Diff) -> usize {
        if self.distinct { usize::from(count > 0) } else { count.max(0) as usize }
    }

    /// The entries that are output, beginning at the chosen end.
    fn told<'a>(&'a self, values: &'a Values) -> impl Iterator<Item = &'a [u8]> {
        let End { limit, last } = self.end.unwrap_or(End { limit: usize::MAX, last: false });
        let (forwards, backwards) = match last {
            false => (Some(values.iter()), None),
            true => (None, Some(values.iter().rev())),
        };
        let entries = forwards.into_iter().flatten().chain(backwards.into_iter().flatten());
        entries.flat_map(|(entry, count)| std::iter::repeat_n(entry, self.copies(count))).take(limit)
    }

    fn push(&self, values: &Values, builder: &mut RowBuilder) {
        let mut told = self.told(values).map(|entry| place_and_value(entry).1).peekable();
        if told.peek().is_none() {
            builder.push(Datum::Null);
            return;
        }
        let value = |row| self.entries.value.get(row, 0);
        match &self.shown {
            ListResult::List { without_struct: None } => push_list(told.collect(), builder),
            ListResult::List { without_struct: Some(null) } => {
                let item = |row| if let Datum::Struct(item) = value(row) { item } else { null };
                push_list(told.map(item).collect(), builder);
            }
            ListResult::Text { between } => {
                let mut text = String::new();
                while let Some(Datum::Text(part)) = told.next().map(value) {
                    text.push_str(part);
                    if told.peek().is_some() {
                        text.push_str(between);
                    }
                }
                builder.push(Datum::Text(&text));
            }
            ListResult::Furthest => {
                let before = self.end.map_or(0, |end| end.limit - 1);
                builder.push(told.nth(before).map_or(Datum::Null, value));
            }
        }
    }
}

fn push_list(items: Vec<&[u8]>, builder: &mut RowBuilder) {
    let mut list = Vec::new();
    pack_list(items.into_iter(), &mut list);
    builder.push(Datum::List(&list));
}

impl Aggregate for List {
    type State = Values;
    const GROWS: bool = true;

    fn add(&self, state: &mut Values, layout: &Layout, row: &[u8], diff: Diff) {
        self.with_entry(layout, row, |entry| {
            state.add(entry, diff);
        });
    }

    fn write(&self, state: &Values, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Values, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Values, builder: &mut RowBuilder) -> Result<(), String> {
        self.push(state, builder);
        Ok(())
    }
}

/// Keeps only the values that are output. For rows that are only inserted.
struct Bounded {
    list: List,
    end: End,
}

#[derive(Default)]
struct KeptValue {
    values: Values,
    /// The number of kept values, including copies.
    count: usize,
}

impl Bounded {
    fn add_entry(&self, state: &mut KeptValue, entry: &[u8], diff: Diff) {
        let (before, now) = state.values.add(entry, diff);
        state.count += self.list.copies(now) - self.list.copies(before);
        while state.count > self.end.limit {
            let Some((entry, count)) = state.values.pop(!self.end.last) else { break };
            state.count -= self.list.copies(count);
            let missing = self.end.limit.saturating_sub(state.count);
            if missing > 0 {
                // Some copies of the value are within the limit.
                state.values.add(&entry, missing as Diff);
                state.count += missing;
            }
        }
    }
}

impl Aggregate for Bounded {
    type State = KeptValue;

    fn add(&self, state: &mut KeptValue, layout: &Layout, row: &[u8], diff: Diff) {
        self.list.with_entry(layout, row, |entry| self.add_entry(state, entry, diff));
    }

    fn write(&self, state: &KeptValue, out: &mut Vec<u8>) {
        state.values.write(out);
    }

    fn merge(&self, state: &mut KeptValue, bytes: &mut &[u8]) {
        values::read(bytes, |entry, diff| self.add_entry(state, entry, diff));
    }

    fn finish(&self, state: &KeptValue, builder: &mut RowBuilder) -> Result<(), String> {
        self.list.push(&state.values, builder);
        Ok(())
    }
}

impl HeapSize for KeptValue {
    fn held_bytes(&self) -> usize {
        self.values.held_bytes()
    }
}

//! The values of a group in an order: `array_agg`, `string_agg`, `nth_value`, and what is written with them (`topk`, `latest_by_offset`
//! with a number, `collect_list`, ...).
//!
//! All values are kept in the order, so that a change costs the logarithm of the group and what is told of it. Where rows only come, and
//! only so many at one end are told, no others are kept. Without an order it is that of the values.

use super::aggregate::{Accumulators, Aggregate, Call};
use super::entry::{Entries, place_and_value};
use super::values::{self, Values};
use crate::dataflow::held::memory::Holds;
use crate::plan::Argument;
use crate::value::{Datum, Diff, Layout, RowBuilder, Type, pack_list};

pub(super) fn array(call: &Call) -> Option<Box<dyn Accumulators>> {
    let Type::List(item) = call.output() else { return None };
    let column = call.column().filter(|&column| call.is(&["array_agg"]) && item.arrow() == call.type_of(column).arrow())?;
    let limit = call.function.first_read();
    let shown = match &**item {
        Type::Struct(schema) => {
            let mut builder = RowBuilder::new(&Layout::new(schema));
            schema.columns().iter().for_each(|_| builder.push(Datum::Null));
            Shown::List { without_struct: Some(builder.finish().to_vec()) }
        }
        _ => Shown::List { without_struct: None },
    };
    List::of(call, column, call.simple.ignores_nulls, limit.map(|limit| End { limit, last: false }), shown)
}

pub(super) fn text(call: &Call) -> Option<Box<dyn Accumulators>> {
    let [Argument::Column(column), Argument::Text(between)] = call.simple.arguments.as_slice() else { return None };
    let is_text = call.is(&["string_agg"]) && [call.type_of(*column), call.output()] == [&Type::Text, &Type::Text];
    is_text.then(|| List::of(call, *column, true, None, Shown::Text { between: between.clone() }))?
}

/// Counted from the end where the number is less than 0.
pub(super) fn nth(call: &Call) -> Option<Box<dyn Accumulators>> {
    let [Argument::Column(column), Argument::Whole(number)] = call.simple.arguments.as_slice() else { return None };
    let (column, limit) = (*column, usize::try_from(number.unsigned_abs()).ok().filter(|number| *number > 0)?);
    let fits = call.is(&["nth_value"]) && !call.simple.order_by.is_empty() && call.output() == call.type_of(column);
    fits.then(|| List::of(call, column, call.simple.ignores_nulls, Some(End { limit, last: *number < 0 }), Shown::Furthest))?
}

struct List {
    entries: Entries,
    distinct: bool,
    skips_nulls: bool,
    /// What of the list is told, where it is not all.
    end: Option<End>,
    shown: Shown,
}

/// So many of the first ones, or of the last ones.
#[derive(Clone, Copy)]
struct End {
    limit: usize,
    last: bool,
}

enum Shown {
    /// With the item for a struct that is NULL.
    List {
        without_struct: Option<Vec<u8>>,
    },
    Text {
        between: String,
    },
    /// The value at the limit, counted from the end.
    Furthest,
}

impl List {
    fn of(call: &Call, column: usize, skips_nulls: bool, end: Option<End>, shown: Shown) -> Option<Box<dyn Accumulators>> {
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

    /// As often as a value counts.
    fn copies(&self, count: Diff) -> usize {
        if self.distinct { usize::from(count > 0) } else { count.max(0) as usize }
    }

    /// The entries that are told, from their end on.
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
            Shown::List { without_struct: None } => push_list(told.collect(), builder),
            Shown::List { without_struct: Some(null) } => {
                let item = |row| if let Datum::Struct(item) = value(row) { item } else { null };
                push_list(told.map(item).collect(), builder);
            }
            Shown::Text { between } => {
                let mut text = String::new();
                while let Some(Datum::Text(part)) = told.next().map(value) {
                    text.push_str(part);
                    if told.peek().is_some() {
                        text.push_str(between);
                    }
                }
                builder.push(Datum::Text(&text));
            }
            Shown::Furthest => {
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

/// Where rows only come.
struct Bounded {
    list: List,
    end: End,
}

#[derive(Default)]
struct Kept {
    values: Values,
    /// How often they count, together.
    count: usize,
}

impl Bounded {
    fn add_entry(&self, state: &mut Kept, entry: &[u8], diff: Diff) {
        let (before, now) = state.values.add(entry, diff);
        state.count += self.list.copies(now) - self.list.copies(before);
        while state.count > self.end.limit {
            let Some((entry, count)) = state.values.pop(!self.end.last) else { break };
            state.count -= self.list.copies(count);
            let missing = self.end.limit.saturating_sub(state.count);
            if missing > 0 {
                // Some copies of the value are in.
                state.values.add(&entry, missing as Diff);
                state.count += missing;
            }
        }
    }
}

impl Aggregate for Bounded {
    type State = Kept;

    fn add(&self, state: &mut Kept, layout: &Layout, row: &[u8], diff: Diff) {
        self.list.with_entry(layout, row, |entry| self.add_entry(state, entry, diff));
    }

    fn write(&self, state: &Kept, out: &mut Vec<u8>) {
        state.values.write(out);
    }

    fn merge(&self, state: &mut Kept, bytes: &mut &[u8]) {
        values::read(bytes, |entry, diff| self.add_entry(state, entry, diff));
    }

    fn finish(&self, state: &Kept, builder: &mut RowBuilder) -> Result<(), String> {
        self.list.push(&state.values, builder);
        Ok(())
    }
}

impl Holds for Kept {
    fn held_bytes(&self) -> usize {
        self.values.held_bytes()
    }
}

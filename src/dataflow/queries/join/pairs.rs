//! The pairs of rows of one key, and what the kinds of join make of rows without a partner.

use std::collections::HashMap;

use super::columns::push_columns;
use super::condition::{Condition, Holds};
use super::{Sides, each_key};
use crate::dataflow::errors::Key;
use crate::dataflow::held::arranged::Entry;
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::time::Moment;
use crate::plan::{Join, JoinKind};
use crate::value::{Datum, Diff, Layout, Row, RowBuilder};

pub(crate) type Give<'a> = &'a mut dyn FnMut(&[u8], Diff);
pub(crate) type Complain<'a> = &'a mut dyn FnMut(String, Diff);

pub(crate) struct Pairs {
    kind: JoinKind,
    null_equals_null: bool,
    condition: Option<Condition>,
    layouts: [Layout; 2],
    keys: [Vec<usize>; 2],
    names: [Key; 2],
    read: [Option<Read>; 2],
    made: Made,
}

/// Rows of the result.
pub(super) struct Made {
    shown: Vec<usize>,
    /// Whether a row of the result is a left one as it is.
    as_is: bool,
    builder: RowBuilder,
    built: Vec<u8>,
}

impl Made {
    pub(super) fn new(plan: &Join) -> Made {
        let width = plan.left.node.schema().len();
        let as_is = plan.kind.is_left_only() && plan.shown.len() == width && plan.shown.iter().enumerate().all(|(i, &s)| i == s);
        Made { shown: plan.shown.clone(), as_is, builder: RowBuilder::new(&Layout::new(&plan.schema)), built: Vec::new() }
    }

    /// Of a left row by itself.
    pub(super) fn left(&mut self, layouts: &[Layout; 2], row: &[u8], diff: Diff, give: Give) {
        match self.as_is {
            true if diff != 0 => give(row, diff),
            true => {}
            false => self.pair(layouts, Some(row), None, diff, give),
        }
    }

    fn pair(&mut self, layouts: &[Layout; 2], left: Option<&[u8]>, right: Option<&[u8]>, diff: Diff, give: Give) {
        if diff == 0 {
            return;
        }
        push_columns(&mut self.builder, layouts, &self.shown, left, right);
        self.give(diff, give);
    }

    /// A left row with whether it has a partner.
    fn marked(&mut self, layouts: &[Layout; 2], row: &[u8], mark: bool, diff: Diff, give: Give) {
        if diff == 0 {
            return;
        }
        let width = layouts[0].schema().len();
        for &column in &self.shown {
            self.builder.push(if column == width { Datum::Bool(mark) } else { layouts[0].get(row, column) });
        }
        self.give(diff, give);
    }

    fn give(&mut self, diff: Diff, give: Give) {
        self.built.clear();
        self.builder.finish_into(&mut self.built);
        give(&self.built, diff);
    }
}

impl Pairs {
    /// `names`: by what messages name rows of the sides.
    pub(crate) fn new(plan: &Join, names: [Key; 2]) -> Pairs {
        Pairs {
            kind: plan.kind,
            null_equals_null: plan.null_equals_null,
            condition: plan.condition.as_ref().map(Condition::new),
            layouts: [&plan.left, &plan.right].map(|side| Layout::new(side.node.schema())),
            keys: [&plan.left, &plan.right].map(|side| side.key.clone()),
            names,
            read: Read::of(plan),
            made: Made::new(plan),
        }
    }

    /// What the changes of a moment make of the result.
    pub(super) fn work(&mut self, changes: &[Updates; 2], sides: &mut Sides, give: Give, complain: Complain) {
        each_key(changes, |key, changed| {
            let net = self.net(changed);
            let changed = net.as_ref().unwrap_or(changed);
            if changed.iter().all(Vec::is_empty) {
                return;
            }
            let side = usize::from(changed[0].is_empty());
            if self.matches_nothing(side, changed[side][0].row) {
                self.without_partner(changed, give);
                return;
            }
            match self.kind {
                JoinKind::Inner => {
                    let right = if changed[0].is_empty() { Vec::new() } else { sides.right(key) };
                    let left = if changed[1].is_empty() { Vec::new() } else { sides.left(key) };
                    self.inner(changed, &left, &right, give, complain);
                }
                JoinKind::Semi | JoinKind::Anti | JoinKind::Mark if self.condition.is_none() => {
                    self.by_presence(changed, key, sides, give);
                }
                JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark if changed[1].is_empty() => {
                    self.left_only(&changed[0], &sides.right(key), give, complain);
                }
                JoinKind::Left | JoinKind::Full | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => {
                    self.both(&sides.left(key), &sides.right(key), give, complain);
                }
                JoinKind::NotIn => unreachable!("it has an operator of its own"),
            }
        });
    }

    /// What the rows of a key give.
    pub(crate) fn of_key(&mut self, key: &[u8], moment: Moment, left: &[Entry], right: &[Entry], give: Give, complain: Complain) {
        if self.kind != JoinKind::Inner {
            return self.both(left, right, give, complain);
        }
        let changed = [left, right].map(|entries| {
            let updates = entries.iter().map(|entry| Update { key, row: &entry.row, moment, diff: entry.after - entry.before });
            updates.filter(|update| update.diff != 0).collect::<Vec<_>>()
        });
        self.inner(&changed, left, right, give, complain);
    }

    /// The changes without those that change nothing that is read; `None` where that is all of them.
    fn net<'a>(&mut self, changed: &[Vec<Update<'a>>; 2]) -> Option<[Vec<Update<'a>>; 2]> {
        let may_cancel = |side: usize| self.read[side].is_some() && changed[side].len() > 1;
        if !may_cancel(0) && !may_cancel(1) {
            return None;
        }
        let (read, layouts) = (&mut self.read, &self.layouts);
        Some([0, 1].map(|side| match &mut read[side] {
            Some(read) if changed[side].len() > 1 => read.net(&changed[side], &layouts[side]),
            _ => changed[side].clone(),
        }))
    }

    /// Whether a row of a side has a NULL in its key, which equals nothing.
    pub(crate) fn matches_nothing(&self, side: usize, row: &[u8]) -> bool {
        !self.null_equals_null && self.keys[side].iter().any(|&c| self.layouts[side].is_null(row, c))
    }

    /// Rows whose key has a NULL.
    pub(crate) fn without_partner(&mut self, changed: &[Vec<Update>; 2], give: Give) {
        for update in &changed[0] {
            self.alone(update.row, false, update.diff, give);
        }
        if self.kind == JoinKind::Full {
            changed[1].iter().for_each(|update| self.pair(None, Some(update.row), update.diff, give));
        }
    }

    fn tell(&self, left: &[u8], right: &[u8], reason: &str) -> String {
        format!("a pair of rows{}{}: {reason}", self.names[0].text(left), self.names[1].text(right))
    }

    /// Changed left rows with all right ones as of the moment, and changed right ones with all left ones as of before.
    fn inner(&mut self, changed: &[Vec<Update>; 2], left: &[Entry], right: &[Entry], give: Give, complain: Complain) {
        let [left_changed, right_changed] = changed;
        let of_left = left_changed.iter().flat_map(|l| right.iter().map(|r| (l.row, &*r.row, l.diff * r.after)));
        let of_right = right_changed.iter().flat_map(|r| left.iter().map(|l| (&*l.row, r.row, r.diff * l.before)));
        let pairs: Vec<(&[u8], &[u8], Diff)> = of_left.chain(of_right).filter(|(_, _, diff)| *diff != 0).collect();
        let holds = self.holds(pairs.iter().map(|(l, r, _)| (*l, *r)));
        for (i, (left, right, diff)) in pairs.into_iter().enumerate() {
            match holds.of(i) {
                Ok(true) => self.pair(Some(left), Some(right), diff, give),
                Ok(false) => {}
                Err(reason) => complain(self.tell(left, right, &reason), diff),
            }
        }
    }

    /// Where any right row is a partner, left ones are read only if the first comes or the last goes.
    fn by_presence(&mut self, changed: &[Vec<Update>; 2], key: &[u8], sides: &mut Sides, give: Give) {
        let [before, after] = sides.right_presence(key);
        if before == after {
            changed[0].iter().for_each(|update| self.alone(update.row, after, update.diff, give));
            return;
        }
        for left in sides.left(key) {
            self.alone(&left.row, before, -left.before, give);
            self.alone(&left.row, after, left.after, give);
        }
    }

    /// Changed left rows where the right ones stay as they are.
    fn left_only(&mut self, changed: &[Update], right: &[Entry], give: Give, complain: Complain) {
        let holds = self.holds(changed.iter().flat_map(|l| right.iter().map(move |r| (l.row, &*r.row))));
        for (l, left) in changed.iter().enumerate() {
            let mut partner = false;
            for (r, entry) in right.iter().enumerate() {
                match holds.of(l * right.len() + r) {
                    Ok(true) => {
                        partner |= entry.after > 0;
                        if self.kind == JoinKind::Left {
                            self.pair(Some(left.row), Some(&entry.row), left.diff * entry.after, give);
                        }
                    }
                    Ok(false) => {}
                    Err(reason) if entry.after != 0 => complain(self.tell(left.row, &entry.row, &reason), left.diff * entry.after),
                    Err(_) => {}
                }
            }
            self.alone(left.row, partner, left.diff, give);
        }
    }

    /// Everything that a key gives, as of the moment and as of before.
    fn both(&mut self, left: &[Entry], right: &[Entry], give: Give, complain: Complain) {
        let holds = self.holds(left.iter().flat_map(|l| right.iter().map(move |r| (&*l.row, &*r.row))));
        let place = |l: usize, r: usize| l * right.len() + r;
        let mut right_partners = vec![[false; 2]; right.len()];
        for (l, left) in left.iter().enumerate() {
            let mut partners = [false; 2];
            for (r, right) in right.iter().enumerate() {
                let diff = left.after * right.after - left.before * right.before;
                match holds.of(place(l, r)) {
                    Ok(true) => {
                        partners = [partners[0] || right.before > 0, partners[1] || right.after > 0];
                        let [before, after] = &mut right_partners[r];
                        *before |= left.before > 0;
                        *after |= left.after > 0;
                        if matches!(self.kind, JoinKind::Left | JoinKind::Full) {
                            self.pair(Some(&left.row), Some(&right.row), diff, give);
                        }
                    }
                    Ok(false) => {}
                    Err(reason) if diff != 0 => complain(self.tell(&left.row, &right.row, &reason), diff),
                    Err(_) => {}
                }
            }
            match partners[0] == partners[1] {
                true => self.alone(&left.row, partners[0], left.after - left.before, give),
                false => {
                    self.alone(&left.row, partners[0], -left.before, give);
                    self.alone(&left.row, partners[1], left.after, give);
                }
            }
        }
        if self.kind == JoinKind::Full {
            for (right, [before, after]) in right.iter().zip(right_partners) {
                let count = |partner: bool, count: Diff| if partner { 0 } else { count };
                self.pair(None, Some(&right.row), count(after, right.after) - count(before, right.before), give);
            }
        }
    }

    /// What a left row is by itself, given whether it has a partner.
    fn alone(&mut self, row: &[u8], partner: bool, diff: Diff, give: Give) {
        match (self.kind, partner) {
            (JoinKind::Left | JoinKind::Full, false) => self.pair(Some(row), None, diff, give),
            (JoinKind::Semi, true) | (JoinKind::Anti, false) => self.made.left(&self.layouts, row, diff, give),
            (JoinKind::Mark, _) => self.made.marked(&self.layouts, row, partner, diff, give),
            (JoinKind::Inner | JoinKind::Left | JoinKind::Full | JoinKind::Semi | JoinKind::Anti | JoinKind::NotIn, _) => {}
        }
    }

    fn pair(&mut self, left: Option<&[u8]>, right: Option<&[u8]>, diff: Diff, give: Give) {
        self.made.pair(&self.layouts, left, right, diff, give);
    }

    fn holds<'a>(&mut self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Holds {
        match &mut self.condition {
            Some(condition) => condition.of(&self.layouts, pairs),
            None => Holds::All,
        }
    }
}

/// The columns that are read of a side that has others.
struct Read {
    columns: Vec<usize>,
    builder: RowBuilder,
}

impl Read {
    /// Of each side; `None` where all are read.
    fn of(plan: &Join) -> [Option<Read>; 2] {
        let width = plan.left.node.schema().len();
        // The mark stands behind the left columns.
        let shown = plan.shown.iter().filter(|column| !plan.kind.is_marked() || **column < width);
        let of_condition = plan.condition.iter().flat_map(|condition| &condition.columns);
        let (left, right): (Vec<usize>, Vec<usize>) = shown.chain(of_condition).partition(|column| **column < width);
        let read = [left, right.into_iter().map(|column| column - width).collect()];
        [0, 1].map(|side| {
            let of_side = [&plan.left, &plan.right][side];
            let mut columns = [&read[side][..], &of_side.key].concat();
            columns.sort_unstable();
            columns.dedup();
            let schema = of_side.node.schema();
            (columns.len() < schema.len()).then(|| Read { builder: RowBuilder::new(&Layout::new(&schema.project(&columns))), columns })
        })
    }

    /// Of the changes of a key those that change something that is read.
    fn net<'a>(&mut self, changed: &[Update<'a>], layout: &Layout) -> Vec<Update<'a>> {
        let mut narrow = |row: &[u8]| {
            self.columns.iter().for_each(|&column| self.builder.push(layout.get(row, column)));
            self.builder.finish()
        };
        let seen: Vec<Row> = changed.iter().map(|update| narrow(update.row)).collect();
        let mut sums: HashMap<&Row, Diff> = HashMap::new();
        for (row, update) in seen.iter().zip(changed) {
            *sums.entry(row).or_default() += update.diff;
        }
        changed.iter().zip(&seen).filter(|(_, row)| sums[*row] != 0).map(|(update, _)| *update).collect()
    }
}

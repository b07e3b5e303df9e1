//! Joins the rows of one key, and returns what the kind of join gives for rows without a partner.

use std::collections::HashMap;

use super::columns::push_columns;
use super::condition::{Condition, Holds};
use super::{Sides, each_key};
use crate::dataflow::errors::Key;
use crate::dataflow::held::arranged::RowCounts;
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::streams::EmitRow;
use crate::dataflow::time::Moment;
use crate::plan::{Join, JoinKind};
use crate::value::{Datum, Diff, Layout, Row, RowBuilder};

/// Receives the error of a pair and its diff.
pub(crate) type Complain<'a> = &'a mut dyn FnMut(String, Diff);

/// Computes the result of a join for the rows of a key.
pub(crate) struct Pairs {
    kind: JoinKind,
    null_equals_null: bool,
    condition: Option<Condition>,
    layouts: [Layout; 2],
    keys: [Vec<usize>; 2],
    names: [Key; 2],
    read: [Option<ReadColumns>; 2],
    made: RowMaker,
}

/// Builds rows of the result.
pub(super) struct RowMaker {
    shown: Vec<usize>,
    /// Whether a row of the result is a left row unchanged.
    as_is: bool,
    builder: RowBuilder,
    built: Vec<u8>,
}

impl RowMaker {
    pub(super) fn new(plan: &Join) -> RowMaker {
        let width = plan.left.node.schema().len();
        let as_is = plan.kind.is_left_only() && plan.shown.len() == width && plan.shown.iter().enumerate().all(|(i, &s)| i == s);
        RowMaker { shown: plan.shown.clone(), as_is, builder: RowBuilder::new(&Layout::new(&plan.schema)), built: Vec::new() }
    }

    /// Outputs a left row without a partner.
    pub(super) fn left(&mut self, layouts: &[Layout; 2], row: &[u8], diff: Diff, give: EmitRow) {
        match self.as_is {
            true if diff != 0 => give(row, diff),
            true => {}
            false => self.pair(layouts, Some(row), None, diff, give),
        }
    }

    fn pair(&mut self, layouts: &[Layout; 2], left: Option<&[u8]>, right: Option<&[u8]>, diff: Diff, give: EmitRow) {
        if diff == 0 {
            return;
        }
        push_columns(&mut self.builder, layouts, &self.shown, left, right);
        self.give(diff, give);
    }

    /// Outputs a left row with the mark that says whether it has a partner.
    fn marked(&mut self, layouts: &[Layout; 2], row: &[u8], mark: bool, diff: Diff, give: EmitRow) {
        if diff == 0 {
            return;
        }
        let width = layouts[0].schema().len();
        for &column in &self.shown {
            self.builder.push(if column == width { Datum::Bool(mark) } else { layouts[0].get(row, column) });
        }
        self.give(diff, give);
    }

    fn give(&mut self, diff: Diff, give: EmitRow) {
        self.built.clear();
        self.builder.finish_into(&mut self.built);
        give(&self.built, diff);
    }
}

impl Pairs {
    /// `names`: the columns by which messages identify rows of the sides.
    pub(crate) fn new(plan: &Join, names: [Key; 2]) -> Pairs {
        Pairs {
            kind: plan.kind,
            null_equals_null: plan.null_equals_null,
            condition: plan.condition.as_ref().map(Condition::new),
            layouts: [&plan.left, &plan.right].map(|side| Layout::new(side.node.schema())),
            keys: [&plan.left, &plan.right].map(|side| side.key.clone()),
            names,
            read: ReadColumns::of_sides(plan),
            made: RowMaker::new(plan),
        }
    }

    /// Outputs the changes that the changes of a moment cause in the result.
    pub(super) fn work(&mut self, changes: &[Updates; 2], sides: &mut Sides, give: EmitRow, complain: Complain) {
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

    /// Outputs the changes of one key, given its rows before the moment and as of it.
    pub(crate) fn of_key(
        &mut self,
        key: &[u8],
        moment: Moment,
        left: &[RowCounts],
        right: &[RowCounts],
        give: EmitRow,
        complain: Complain,
    ) {
        if self.kind != JoinKind::Inner {
            return self.both(left, right, give, complain);
        }
        let changed = [left, right].map(|entries| {
            let updates = entries.iter().map(|entry| Update { key, row: &entry.row, moment, diff: entry.after - entry.before });
            updates.filter(|update| update.diff != 0).collect::<Vec<_>>()
        });
        self.inner(&changed, left, right, give, complain);
    }

    /// The changes without those that affect only columns that are not read. `None` if there is nothing to remove.
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

    /// Outputs changed rows whose key has a NULL.
    pub(crate) fn without_partner(&mut self, changed: &[Vec<Update>; 2], give: EmitRow) {
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

    /// Pairs changed left rows with all right rows as of the moment, and changed right rows with all left rows before it.
    fn inner(&mut self, changed: &[Vec<Update>; 2], left: &[RowCounts], right: &[RowCounts], give: EmitRow, complain: Complain) {
        let [left_changed, right_changed] = changed;
        let of_left = left_changed.iter().flat_map(|l| right.iter().map(|r| (l.row, &*r.row, l.diff * r.after)));
        let of_right = right_changed.iter().flat_map(|r| left.iter().map(|l| (&*l.row, r.row, r.diff * l.before)));
        let pairs: Vec<(&[u8], &[u8], Diff)> = of_left.chain(of_right).filter(|(_, _, diff)| *diff != 0).collect();
        let holds = self.holds(pairs.iter().map(|(l, r, _)| (*l, *r)));
        for (i, (left, right, diff)) in pairs.into_iter().enumerate() {
            match holds.is_true(i) {
                Ok(true) => self.pair(Some(left), Some(right), diff, give),
                Ok(false) => {}
                Err(reason) => complain(self.tell(left, right, &reason), diff),
            }
        }
    }

    /// Without a condition every right row is a partner. All left rows are read only if the key's first right row is inserted or its last
    /// one deleted.
    fn by_presence(&mut self, changed: &[Vec<Update>; 2], key: &[u8], sides: &mut Sides, give: EmitRow) {
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

    /// Changed left rows, while the right rows are unchanged.
    fn left_only(&mut self, changed: &[Update], right: &[RowCounts], give: EmitRow, complain: Complain) {
        let holds = self.holds(changed.iter().flat_map(|l| right.iter().map(move |r| (l.row, &*r.row))));
        for (l, left) in changed.iter().enumerate() {
            let mut partner = false;
            for (r, entry) in right.iter().enumerate() {
                match holds.is_true(l * right.len() + r) {
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

    /// Outputs the difference between the key's results before the moment and as of it.
    fn both(&mut self, left: &[RowCounts], right: &[RowCounts], give: EmitRow, complain: Complain) {
        let holds = self.holds(left.iter().flat_map(|l| right.iter().map(move |r| (&*l.row, &*r.row))));
        let place = |l: usize, r: usize| l * right.len() + r;
        let mut right_partners = vec![[false; 2]; right.len()];
        for (l, left) in left.iter().enumerate() {
            let mut partners = [false; 2];
            for (r, right) in right.iter().enumerate() {
                let diff = left.after * right.after - left.before * right.before;
                match holds.is_true(place(l, r)) {
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

    /// Outputs what the kind of join gives for a left row by itself, depending on whether it has a partner.
    fn alone(&mut self, row: &[u8], partner: bool, diff: Diff, give: EmitRow) {
        match (self.kind, partner) {
            (JoinKind::Left | JoinKind::Full, false) => self.pair(Some(row), None, diff, give),
            (JoinKind::Semi, true) | (JoinKind::Anti, false) => self.made.left(&self.layouts, row, diff, give),
            (JoinKind::Mark, _) => self.made.marked(&self.layouts, row, partner, diff, give),
            (JoinKind::Inner | JoinKind::Left | JoinKind::Full | JoinKind::Semi | JoinKind::Anti | JoinKind::NotIn, _) => {}
        }
    }

    fn pair(&mut self, left: Option<&[u8]>, right: Option<&[u8]>, diff: Diff, give: EmitRow) {
        self.made.pair(&self.layouts, left, right, diff, give);
    }

    fn holds<'a>(&mut self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Holds {
        match &mut self.condition {
            Some(condition) => condition.evaluate(&self.layouts, pairs),
            None => Holds::All,
        }
    }
}

/// The columns that are read of a side, if it has others.
struct ReadColumns {
    columns: Vec<usize>,
    builder: RowBuilder,
}

impl ReadColumns {
    /// For each side; `None` if all its columns are read.
    fn of_sides(plan: &Join) -> [Option<ReadColumns>; 2] {
        let width = plan.left.node.schema().len();
        // The mark's number follows those of the left columns.
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
            (columns.len() < schema.len())
                .then(|| ReadColumns { builder: RowBuilder::new(&Layout::new(&schema.project(&columns))), columns })
        })
    }

    /// The changes of a key that affect columns that are read.
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

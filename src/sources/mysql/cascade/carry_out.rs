//! Adds to a transaction what foreign keys do, and the notes of the rows that they act on.
//!
//! Steps are worked on in their order, and what a parent's change does is done before the next step, child by child, each with what that does
//! to its own children. Memory: the keys of the rows on which the transaction has acted; the rows themselves go to disk if they are many.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::linked::LinkKey;
use super::matching::Asker;
use super::state::CascadeState;
use super::{Cascades, again, note};
use crate::sources::mysql::binlog::transaction::{LogTransaction, ParentChange, TransactionStep};
use crate::sources::mysql::foreign_keys::KeyAction;
use crate::sources::mysql::options::MysqlOptions;
use crate::sources::{HeldRows, Notes, SourceError};
use crate::value::{Delta, Row};

/// The transaction with everything that foreign keys do. `held` must be as of the transaction before, if a parent changes.
pub(in crate::sources::mysql) async fn carry_out(
    cascades: &Cascades,
    options: &MysqlOptions,
    held: &dyn HeldRows,
    mut changes: LogTransaction,
) -> Result<LogTransaction, SourceError> {
    let state = changes.has_parents().then(|| CascadeState::new(cascades, held));
    let mut out = LogTransaction::default();
    out.rejected = std::mem::take(&mut changes.rejected);
    let mut work = CarryingOut { cascades, state, out, notes: Notes::default(), asker: Asker::new(options), open: Vec::new() };
    let mut steps = changes.into_steps().map_err(on_disk)?;
    // A deleted row, of which the next step may be the row after an update.
    let mut before: Option<(usize, Row)> = None;
    while let Some(step) = steps.next_step().map_err(on_disk)? {
        match step {
            TransactionStep::Row(Delta { table, row, diff: ..0 }) => {
                work.delete(before.replace((table, row)))?;
            }
            TransactionStep::Row(Delta { table, row, .. }) => match before.take() {
                Some((of, deleted)) if of == table => work.change(table, Some(deleted), Some(row))?,
                other => {
                    work.delete(other)?;
                    work.change(table, None, Some(row))?;
                }
            },
            TransactionStep::Parent(change) => {
                work.delete(before.take())?;
                work.parent(change).await?;
            }
        }
    }
    work.delete(before)?;
    work.asker.close().await;
    Ok(work.out)
}

fn on_disk(error: io::Error) -> SourceError {
    SourceError::Transient { message: format!("a large transaction cannot be kept on disk: {error}") }
}

struct CarryingOut<'a> {
    cascades: &'a Cascades,
    /// Only if a parent changes.
    state: Option<CascadeState<'a>>,
    out: LogTransaction,
    notes: Notes,
    asker: Asker<'a>,
    /// The foreign keys that are acting, each on behalf of the one before.
    open: Vec<Acting>,
}

/// A foreign key that acts on the children of a row.
struct Acting {
    /// Its number.
    key: usize,
    link: LinkKey,
    parent: Arc<ParentChange>,
    /// The identities of the next children.
    children: VecDeque<Row>,
    last: Option<Row>,
}

impl CarryingOut<'_> {
    fn delete(&mut self, row: Option<(usize, Row)>) -> Result<(), SourceError> {
        match row {
            Some((table, row)) => self.change(table, Some(row), None),
            None => Ok(()),
        }
    }

    /// Adds a change of a row, and of its notes.
    fn change(&mut self, table: usize, before: Option<Row>, after: Option<Row>) -> Result<(), SourceError> {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for (row, notes) in [(&before, &mut gone), (&after, &mut new)] {
            if let Some(row) = row {
                self.cascades.notes_of(table, row, &mut self.notes, notes);
            }
        }
        let same: Vec<Row> = gone.iter().filter(|note| new.contains(note)).cloned().collect();
        gone.retain(|note| !same.contains(note));
        new.retain(|note| !same.contains(note));
        if let Some(state) = &mut self.state {
            state.change(table, before.as_ref(), after.as_ref(), (&gone, &new))?;
        }
        let rows = [(before, -1), (after, 1)].into_iter().filter(|_| self.cascades.is_captured(table));
        let rows = rows.filter_map(|(row, diff)| row.map(|row| (table, row, diff)));
        let notes_table = self.cascades.notes_table();
        let notes = gone.into_iter().map(|note| (note, -1)).chain(new.into_iter().map(|note| (note, 1)));
        for (table, row, diff) in rows.chain(notes.map(|(note, diff)| (notes_table, note, diff))) {
            self.out.push(table, row, diff).map_err(on_disk)?;
        }
        Ok(())
    }

    /// Does what the change of a parent does to its children, and theirs.
    async fn parent(&mut self, change: ParentChange) -> Result<(), SourceError> {
        self.begin(change).await?;
        while let Some(acting) = self.open.last_mut() {
            let state = self.state.as_ref().expect("a parent changes");
            let Some(child) = acting.children.pop_front() else {
                let more = state.children(acting.key, &acting.link, acting.last.as_deref())?;
                acting.last = more.last().cloned();
                acting.children.extend(more);
                if acting.children.is_empty() {
                    self.open.pop();
                }
                continue;
            };
            let (key, link, parent) = (acting.key, acting.link.clone(), acting.parent.clone());
            if let Some(change) = self.act(key, &link, &parent, &child)? {
                self.begin(change).await?;
            }
        }
        Ok(())
    }

    /// Finds the foreign keys that act because of a change. The first of them is then on top of those that are open: it acts with all that
    /// follows from it before the next one looks for children.
    async fn begin(&mut self, change: ParentChange) -> Result<(), SourceError> {
        let parent = Arc::new(change);
        let open = self.open.len();
        for &number in &self.cascades.keys_of_parent[parent.table] {
            let linked = &self.cascades.keys[number];
            let layout = &self.cascades.tables[parent.table].layout;
            let action = match &parent.after {
                None => linked.key.on_delete,
                Some(after) if linked.parent_columns.iter().all(|c| layout.get(&parent.before, *c) == layout.get(after, *c)) => continue,
                Some(_) => linked.key.on_update,
            };
            if action == KeyAction::Restrict {
                continue;
            }
            for link in self.links(number, &parent.before).await? {
                self.open.push(Acting { key: number, link, parent: parent.clone(), children: VecDeque::new(), last: None });
            }
        }
        self.open[open..].reverse();
        Ok(())
    }

    /// The keys of children that equal that of a parent's row.
    async fn links(&mut self, number: usize, parent: &Row) -> Result<Vec<LinkKey>, SourceError> {
        let linked = &self.cascades.keys[number];
        let state = self.state.as_ref().expect("a parent changes");
        let Some(link) = linked.parent_key(&self.cascades.tables[linked.parent], parent) else { return Ok(Vec::new()) };
        if !linked.may_ask() {
            return Ok(vec![link]);
        }
        let mut candidates = state.link_keys(number, note::AS_IS)?;
        if link.form == note::AS_IS {
            candidates.extend(state.link_keys(number, note::KNOWN)?);
        }
        candidates.retain(|candidate| *candidate != link);
        let mut links = linked.equal(&mut self.asker, &link.bytes, candidates).await?;
        links.push(link);
        Ok(links)
    }

    /// Lets a foreign key act on a child. Returns the change of the child, if there is one.
    fn act(&mut self, number: usize, link: &LinkKey, parent: &ParentChange, child: &Row) -> Result<Option<ParentChange>, SourceError> {
        let linked = &self.cascades.keys[number];
        let state = self.state.as_ref().expect("a parent changes");
        let described = &self.cascades.tables[linked.child];
        if state.is_deleted(linked.child, child) {
            return Ok(None);
        }
        let row = state.row(linked.child, child)?.ok_or_else(|| {
            let (database, table) = (&linked.key.child.database, &linked.key.child.name);
            again(&format!("a row of `{database}`.`{table}` that a foreign key acts on is not held"))
        })?;
        // What was done to another child may have changed it.
        if linked.child_key(described, &row).as_ref() != Some(link) {
            return Ok(None);
        }
        let action = if parent.after.is_none() { linked.key.on_delete } else { linked.key.on_update };
        let after = match (action, &parent.after) {
            (KeyAction::Cascade, None) => None,
            (KeyAction::Cascade, Some(after)) => {
                Some(linked.written(described, &row, Some((&self.cascades.tables[linked.parent], &after[..]))))
            }
            (KeyAction::SetNull | KeyAction::Restrict, _) => Some(linked.written(described, &row, None)),
        };
        if after.as_ref() == Some(&row) {
            return Ok(None);
        }
        let change = ParentChange { table: linked.child, before: row.clone(), after: after.clone() };
        self.change(linked.child, Some(row), after)?;
        Ok(Some(change))
    }
}

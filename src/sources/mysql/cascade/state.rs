//! The rows that foreign keys act on, as of a step of the transaction that is worked on.
//!
//! What the steps before have changed takes precedence over the engine's durable rows, which must be as of the transaction before.

use std::collections::{BTreeMap, HashMap};

use super::Cascades;
use super::linked::LinkKey;
use super::note;
use crate::sources::{HeldRows, Notes, SourceError};
use crate::value::{Row, row_of_key};

/// A note's key and value.
type Note = (Vec<u8>, Vec<u8>);

/// The number of notes that are read at once.
const NOTES_AT_ONCE: usize = 1000;
/// The memory that the changes of one transaction may take here.
const MOST_BYTES: usize = 1 << 30;
/// The memory of an entry beside its row, about.
const ENTRY_BYTES: usize = 64;

pub(super) struct CascadeState<'a> {
    cascades: &'a Cascades,
    held: &'a dyn HeldRows,
    notes: Notes,
    /// Rows that the transaction has changed, by table and identity; `None`: deleted.
    rows: HashMap<(usize, Row), Option<Row>>,
    /// Notes of children that the transaction has added, with their values, or removed.
    children: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The bytes of `rows` and `children`.
    bytes: usize,
}

impl<'a> CascadeState<'a> {
    pub(super) fn new(cascades: &'a Cascades, held: &'a dyn HeldRows) -> CascadeState<'a> {
        CascadeState { cascades, held, notes: Notes::default(), rows: HashMap::new(), children: BTreeMap::new(), bytes: 0 }
    }

    fn identity(&self, table: usize, row: &[u8]) -> Row {
        super::identity(&self.cascades.tables[table], row)
    }

    /// Records a change of a row and of its notes. Fails if there are too many for memory.
    pub(super) fn change(
        &mut self,
        table: usize,
        before: Option<&Row>,
        after: Option<&Row>,
        notes: (&[Row], &[Row]),
    ) -> Result<(), SourceError> {
        let rows = [before, after].into_iter().flatten();
        self.bytes += rows.chain(notes.0).chain(notes.1).map(|row| row.len() + ENTRY_BYTES).sum::<usize>();
        if self.bytes > MOST_BYTES {
            return Err(super::again("a transaction changes more rows on which foreign keys act than fit into memory"));
        }
        if let Some(before) = before {
            self.rows.insert((table, self.identity(table, before)), None);
        }
        if let Some(after) = after {
            self.rows.insert((table, self.identity(table, after)), Some(after.clone()));
        }
        for note in notes.0.iter().filter(|note| self.notes.key(note).first() == Some(&b'c')) {
            self.children.insert(self.notes.key(note).to_vec(), None);
        }
        for note in notes.1.iter().filter(|note| self.notes.key(note).first() == Some(&b'c')) {
            self.children.insert(self.notes.key(note).to_vec(), Some(self.notes.value(note).to_vec()));
        }
        Ok(())
    }

    /// Whether the transaction has deleted the row with this identity.
    pub(super) fn is_deleted(&self, table: usize, identity: &Row) -> bool {
        matches!(self.rows.get(&(table, identity.clone())), Some(None))
    }

    /// The row with this identity.
    pub(super) fn row(&self, table: usize, identity: &[u8]) -> Result<Option<Row>, SourceError> {
        if let Some(changed) = self.rows.get(&(table, Row::from_bytes(identity))) {
            return Ok(changed.clone());
        }
        let described = &self.cascades.tables[table];
        if self.cascades.is_captured(table) {
            return match described.table.key.is_empty() {
                true => Ok(row_of_key(&described.layout, identity)),
                false => self.held.row(table, identity),
            };
        }
        let note = note::stored(&note::row(table - self.cascades.captured, identity));
        let row = self.held.row(self.cascades.notes_table(), &note)?;
        Ok(row.map(|row| Row::from_bytes(self.notes.value(&row))))
    }

    /// The identities of the children with this key of a foreign key, after the identity `after`: some, or none at the end.
    pub(super) fn children(&self, number: usize, link: &LinkKey, after: Option<&[u8]>) -> Result<Vec<Row>, SourceError> {
        let beginning = [&note::children(number, link.form)[..], &link.bytes].concat();
        let from = after.map(|after| [&beginning[..], after].concat());
        let notes = self.notes_from(&beginning, from.as_deref())?;
        Ok(notes.into_iter().map(|(note, _)| Row::from_bytes(&note[beginning.len()..])).collect())
    }

    /// The distinct keys of a foreign key's children in one form.
    pub(super) fn link_keys(&self, number: usize, form: u8) -> Result<Vec<LinkKey>, SourceError> {
        let beginning = note::children(number, form);
        let mut keys: Vec<LinkKey> = Vec::new();
        let mut from: Option<Vec<u8>> = None;
        loop {
            let notes = self.notes_from(&beginning, from.as_deref())?;
            let Some((last, _)) = notes.last() else { return Ok(keys) };
            from = Some(last.clone());
            for (note, value) in &notes {
                let length = value.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length)) as usize;
                let bytes = note.get(beginning.len()..beginning.len() + length);
                let bytes = bytes.ok_or_else(|| super::again("a note on a foreign key cannot be read"))?;
                if keys.last().is_none_or(|key| key.bytes != bytes) {
                    keys.push(LinkKey { form, bytes: bytes.to_vec() });
                }
            }
        }
    }

    /// Some of the notes that begin so, after `from`, in order; none at the end.
    fn notes_from(&self, beginning: &[u8], from: Option<&[u8]>) -> Result<Vec<Note>, SourceError> {
        let (table, prefix) = (self.cascades.notes_table(), note::stored_prefix(beginning));
        let mut lower = from.map(<[u8]>::to_vec);
        loop {
            let after = lower.as_deref().map(note::stored);
            let durable = self.held.rows_from(table, &prefix, after.as_deref(), NOTES_AT_ONCE)?;
            let is_end = durable.len() < NOTES_AT_ONCE;
            let last = durable.last().map(|row| self.notes.key(row).to_vec());
            let mut found: BTreeMap<Vec<u8>, Vec<u8>> =
                durable.iter().map(|row| (self.notes.key(row).to_vec(), self.notes.value(row).to_vec())).collect();
            for (note, value) in self.children.range(beginning.to_vec()..).take_while(|(note, _)| note.starts_with(beginning)) {
                let is_after = lower.as_ref().is_none_or(|lower| note > lower);
                let is_before = is_end || last.as_ref().is_some_and(|last| note <= last);
                match value {
                    Some(value) if is_after && is_before => _ = found.insert(note.clone(), value.clone()),
                    None => _ = found.remove(note),
                    Some(_) => {}
                }
            }
            if is_end || !found.is_empty() {
                return Ok(found.into_iter().collect());
            }
            // All of them are removed by the transaction.
            lower = last;
        }
    }
}

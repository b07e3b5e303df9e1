//! The keys of the notes that foreign keys need (see [`crate::sources::notes_table`]).
//!
//! ```text
//! key                                     value
//! 'm'                                     the format of the notes: 1
//! 'd' number:u32                          JSON: a foreign key that is followed
//! 't' number:u32                          JSON: a table whose rows are kept for foreign keys only, with the columns that are kept
//! 'r' table:u32 identity                  a row of such a table
//! 'c' key:u32 form:u8 key identity        the length of the key:u32; a row of a child table with this key
//! ```
//! Numbers are big endian. The identity of a row is its primary key, or all of it if the table has none. A form is 0 if every value of the key is in the form that equal values share, or 1 if the values are as they are.

use crate::value::Datum;
use crate::value::{Type, key};

pub(super) const FORMAT: &[u8] = b"m";
pub(super) const FORMAT_VALUE: &[u8] = b"1";
pub(super) const KNOWN: u8 = 0;
pub(super) const AS_IS: u8 = 1;

pub(super) fn definition(number: usize) -> Vec<u8> {
    numbered(b'd', number)
}

pub(super) fn table(number: usize) -> Vec<u8> {
    numbered(b't', number)
}

pub(super) fn row(table: usize, identity: &[u8]) -> Vec<u8> {
    [&numbered(b'r', table)[..], identity].concat()
}

/// The beginning of the notes of the children of a foreign key, in one form.
pub(super) fn children(number: usize, form: u8) -> Vec<u8> {
    let mut note = numbered(b'c', number);
    note.push(form);
    note
}

fn numbered(sort: u8, number: usize) -> Vec<u8> {
    let mut note = vec![sort];
    note.extend_from_slice(&(number as u32).to_be_bytes());
    note
}

/// The key of a note in the table of notes, and its beginning for all notes that begin so.
pub(super) fn stored(note: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(note.len() + 3);
    key::push(&Type::Binary, Datum::Binary(note), &mut stored);
    stored
}

/// The beginning of the [`stored`] keys of all notes that begin with these bytes.
pub(super) fn stored_prefix(beginning: &[u8]) -> Vec<u8> {
    let mut stored = stored(beginning);
    stored.truncate(stored.len() - 2);
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_that_begin_alike_are_stored_together() {
        let notes =
            [children(1, 0), [&children(1, 0)[..], &[0, 5, 0xff]].concat(), children(1, 1), children(2, 0), definition(0), table(256)];
        for beginning in &notes {
            for note in &notes {
                assert_eq!(stored(note).starts_with(&stored_prefix(beginning)), note.starts_with(beginning), "{note:?} {beginning:?}");
            }
        }
    }
}

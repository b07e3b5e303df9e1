//! A second byte layout of packed rows, in which a change of one list item changes bytes only at the start of the row and near that item.
//!
//! In a packed list the end offsets of all items come first ([`super::layout`]), so a longer item changes the offset of every later item.
//! In this layout each item is preceded by its own length instead:
//! ```text
//! row     flags, nulls, fixed, ends as packed; then each variable column: a struct as `row`, a list as `list`, others as packed
//! list    count: u32, (length: u32, row)*
//! ```
//! Structs, lists and items shorter than [`SHORT`] stay packed. Guarantees: `roll(unroll(row)) == row`, and both forms have the same length
//! at every depth, so that [`roll`] can tell which parts are still packed.

use super::layout::Slot;
use super::{Layout, Row, Type};

/// Length in bytes below which a change of offsets does not matter.
const SHORT: usize = 256;

/// Converts a packed row into the layout of this module. `None` if the bytes are not a row of this layout.
pub fn unroll(layout: &Layout, row: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(row.len());
    unroll_row(layout, row, &mut out)?;
    Some(out)
}

/// Inverse of [`unroll`]. `None` if the bytes cannot be a result of [`unroll`].
pub fn roll(layout: &Layout, unrolled: &[u8]) -> Option<Row> {
    let mut out = Vec::with_capacity(unrolled.len());
    roll_row(layout, unrolled, &mut out)?;
    Some(out.into())
}

fn unroll_row(layout: &Layout, row: &[u8], out: &mut Vec<u8>) -> Option<()> {
    pieces_of_row(layout, row, out, unroll_list, unroll_row)
}

fn roll_row(layout: &Layout, row: &[u8], out: &mut Vec<u8>) -> Option<()> {
    pieces_of_row(layout, row, out, roll_list, roll_row)
}

type Convert = fn(&Layout, &[u8], &mut Vec<u8>) -> Option<()>;

/// Copies a row and converts its lists and structs. Their places are given by the end offsets, which are the same in both forms.
fn pieces_of_row(layout: &Layout, row: &[u8], out: &mut Vec<u8>, list: Convert, structure: Convert) -> Option<()> {
    let columns = layout.schema().columns();
    if row.len() < SHORT || !columns.iter().any(|column| matches!(column.ty, Type::List(_) | Type::Struct(_))) {
        out.extend_from_slice(row);
        return Some(());
    }
    let variable = (0..columns.len()).filter(|column| matches!(layout.slot(*column), Slot::Variable(_)));
    let ends = layout.ends(row)?;
    let (head, bytes) = row.split_at_checked(ends.bytes_at())?;
    out.extend_from_slice(head);
    let mut start = 0;
    for (ordinal, column) in variable.enumerate() {
        let end = ends.end(ordinal);
        let piece = bytes.get(start..end)?;
        start = end;
        match (&columns[column].ty, layout.nested(column)) {
            _ if piece.len() < SHORT => out.extend_from_slice(piece),
            (Type::List(_), Some(nested)) => list(nested, piece, out)?,
            (Type::Struct(_), Some(nested)) => structure(nested, piece, out)?,
            _ => out.extend_from_slice(piece),
        }
    }
    (start == bytes.len()).then_some(())
}

fn unroll_list(item: &Layout, list: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (count, rest) = list.split_first_chunk::<4>()?;
    let (ends, items) = rest.split_at_checked((u32::from_le_bytes(*count) as usize).checked_mul(4)?)?;
    out.extend_from_slice(count);
    let mut start = 0;
    for end in ends.as_chunks::<4>().0 {
        let end = u32::from_le_bytes(*end);
        let bytes = items.get(start as usize..end as usize)?;
        out.extend_from_slice(&(end - start).to_le_bytes());
        unroll_row(item, bytes, out)?;
        start = end;
    }
    (start as usize == items.len()).then_some(())
}

fn roll_list(item: &Layout, list: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (count, mut items) = list.split_first_chunk::<4>()?;
    let count_of_items = u32::from_le_bytes(*count) as usize;
    if count_of_items.checked_mul(4)? > items.len() {
        return None;
    }
    out.extend_from_slice(count);
    let ends_at = out.len();
    out.resize(ends_at + 4 * count_of_items, 0);
    let items_at = out.len();
    for i in 0..count_of_items {
        let (length, rest) = items.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        roll_row(item, bytes, out)?;
        let end = u32::try_from(out.len() - items_at).ok()?;
        out[ends_at + 4 * i..ends_at + 4 * i + 4].copy_from_slice(&end.to_le_bytes());
        items = rest;
    }
    items.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::{self, RowSource};
    use super::super::{Column, Datum, RowBuilder, Schema, pack_list};
    use super::*;

    proptest! {
        #[test]
        fn unrolled_and_rolled_again_a_row_is_the_same(schema in arbitrary::schema(), seed: u64, large: bool) {
            let layout = Layout::new(&schema);
            let mut source = RowSource::new(seed);
            source.longest = if large { 70_000 } else { 300 };
            let row = source.row(&layout);
            let unrolled = unroll(&layout, &row).unwrap();
            prop_assert_eq!(unrolled.len(), row.len());
            prop_assert!(roll(&layout, &unrolled).unwrap() == row);
        }

        #[test]
        fn any_bytes_are_refused_or_come_back(schema in arbitrary::schema(), bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let layout = Layout::new(&schema);
            if let Some(unrolled) = unroll(&layout, &bytes) {
                prop_assert!(*roll(&layout, &unrolled).unwrap() == bytes[..]);
            }
            let _ = roll(&layout, &bytes);
        }
    }

    fn order(names: &[String]) -> (Layout, Row) {
        let item = Type::Struct(Schema::new(vec![Column::new("n", Type::Int32, false), Column::new("name", Type::Text, false)]));
        let columns = vec![Column::new("id", Type::Int64, false), Column::new("items", Type::List(Box::new(item)), true)];
        let layout = Layout::new(&Schema::new(columns));
        let mut of_item = RowBuilder::new(layout.nested(1).unwrap());
        let items: Vec<Row> = names
            .iter()
            .enumerate()
            .map(|(n, name)| {
                of_item.push(Datum::Int(n as i64));
                of_item.push(Datum::Text(name));
                of_item.finish()
            })
            .collect();
        let mut list = Vec::new();
        pack_list(items.iter().map(|item| &**item), &mut list);
        let mut builder = RowBuilder::new(&layout);
        builder.push(Datum::Int(1));
        builder.push(Datum::List(&list));
        let row = builder.finish();
        (layout, row)
    }

    #[test]
    fn a_longer_item_changes_bytes_only_at_the_start_and_at_itself() {
        let mut names: Vec<String> = (0..10_000).map(|i| format!("child {i}")).collect();
        let (layout, row) = order(&names);
        let before = unroll(&layout, &row).unwrap();
        names[5000].push('!');
        let after = unroll(&layout, &order(&names).1).unwrap();
        // Head and ends.
        let start = 32;
        let same = before[start..].iter().zip(&after[start..]).take_while(|(a, b)| a == b).count();
        let back = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
        assert!(start + same + back + 32 > before.len(), "{same} and {back} of {}", before.len());
    }
}

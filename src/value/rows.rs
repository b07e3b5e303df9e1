//! Many packed rows in one piece of memory; [`Layout`](super::Layout) says what is in each.

use super::RowBuilder;

/// As much as is worth the way from one thread to another, and little enough to have some of on every way.
const FULL_BYTES: usize = 128 << 10;
const FULL_ROWS: usize = 4096;

/// Packed rows one behind the other, of less than 4 GiB in all.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Rows {
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.end_row();
    }

    /// Adds the row that was made.
    ///
    /// # Panics
    /// As [`RowBuilder::finish`] does.
    pub fn push_built(&mut self, builder: &mut RowBuilder) {
        builder.finish_into(&mut self.bytes);
        self.end_row();
    }

    fn end_row(&mut self) {
        self.ends.push(u32::try_from(self.bytes.len()).expect("rows are handed on long before they have 4 GiB"));
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether these are enough to be handed on.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.ends.len() >= FULL_ROWS
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Of all rows.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// In the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut start, end as usize)..end as usize])
    }
}

impl<R: AsRef<[u8]>> FromIterator<R> for Rows {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Rows {
        let mut all = Rows::default();
        rows.into_iter().for_each(|row| all.push(row.as_ref()));
        all
    }
}

/// Numbers only: row values are never printed.
impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({} rows, {} bytes)", self.len(), self.bytes_len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_their_order_also_empty_ones() {
        let given = [&b"one"[..], b"", b"three", b""];
        let rows: Rows = given.iter().collect();
        assert_eq!(rows.iter().collect::<Vec<_>>(), given);
        assert_eq!((rows.len(), rows.bytes_len(), rows.is_empty()), (4, 8, false));
        assert_eq!(Rows::default().iter().next(), None);
    }
}

//! Many packed rows in one allocation; a [`Layout`](super::Layout) describes each row.

use super::RowBuilder;

/// Size of a full batch: large enough to be worth sending to another thread, small enough to have several in flight on every channel.
const FULL_BYTES: usize = 128 << 10;
const FULL_ROWS: usize = 4096;

/// Concatenated packed rows, less than 4 GiB in total.
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

    /// Finishes the builder's row and appends it.
    ///
    /// # Panics
    /// If [`RowBuilder::finish`] would panic.
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

    /// Whether the batch is large enough to be sent.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.ends.len() >= FULL_ROWS
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Total bytes of all rows.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// The rows in the order in which they were added.
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

/// Prints only counts: row values are never printed.
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

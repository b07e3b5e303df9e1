//! Cuts tables into chunks of their primary key, each of about the same number of rows, and notes which of them have been read.
//!
//! A table is walked along its primary key. The end of a chunk is looked up when the chunk is given out, so its size does not depend on
//! estimates, on gaps or on how values are distributed. Chunks are half open and cover all values, so at every moment each row is in exactly one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::sources::mysql::column::{ColumnKind, MysqlColumn};
use crate::sources::mysql::quoting::{literal, quoted};
use crate::sources::mysql::ranges::literal_of;
use crate::sources::mysql::schema::MysqlTable;

/// A crash loses the chunks that are being read, so they are small.
const MOST_ROWS: u64 = 4096;
const FEWEST_ROWS: u64 = 16;
/// About how many bytes the rows of a chunk have, if the server's average is right.
const CHUNK_BYTES: u64 = 2 << 20;

/// A part of a table: the rows whose key is greater than `after` and not greater than `to`. Both are literals, one for each walked column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRange {
    after: Option<Vec<String>>,
    to: Option<Vec<String>>,
}

/// How far a table has been read; stored as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChunkProgress {
    /// The next chunk begins after this key.
    after: Option<Vec<String>>,
    /// All chunks were given out.
    ended: bool,
    /// Chunks that were given out and are not read yet.
    open: BTreeMap<u64, KeyRange>,
    /// The number of the next chunk.
    next: u64,
    /// The number of rows that were read.
    pub(super) rows: u64,
}

/// A chunk to read.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) table: usize,
    pub(super) number: u64,
    /// An SQL condition; `None` for the whole table.
    pub(super) condition: Option<String>,
}

/// Gives out the chunks of all tables to several readers.
#[derive(Debug)]
pub(super) struct TableChunks {
    tables: Arc<Vec<MysqlTable>>,
    /// Held while the end of a chunk is looked up.
    looking: tokio::sync::Mutex<()>,
    most_rows: u64,
    /// So many chunks of a table may be given out and not done.
    most_open: usize,
    /// Notified when a chunk is done.
    room: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    progress: Vec<ChunkProgress>,
    /// Chunks that an earlier run has begun.
    again: VecDeque<(usize, u64)>,
    /// The tables that are not given out completely, the largest last.
    left: Vec<usize>,
    /// The number of rows in a chunk, once it is known.
    rows_per_chunk: BTreeMap<usize, u64>,
}

impl TableChunks {
    /// `progress` and `expected` are those of each table, `readers` the number of readers, and `rows_per_second` how many rows each of them may
    /// read, if that is limited.
    pub(super) fn new(
        tables: Arc<Vec<MysqlTable>>,
        progress: Vec<ChunkProgress>,
        expected: &[Option<u64>],
        readers: usize,
        rows_per_second: Option<u64>,
    ) -> TableChunks {
        let again = progress.iter().enumerate().flat_map(|(table, of)| of.open.keys().map(move |number| (table, *number))).collect();
        let mut left: Vec<usize> = (0..tables.len()).filter(|table| !progress[*table].ended).collect();
        left.sort_by_key(|table| expected[*table]);
        let state = Mutex::new(State { progress, again, left, rows_per_chunk: BTreeMap::new() });
        // A slow reader is through with a chunk after about half a second, too.
        let most_rows = rows_per_second.map_or(MOST_ROWS, |rows| (rows / 2).clamp(FEWEST_ROWS, MOST_ROWS));
        TableChunks { tables, looking: tokio::sync::Mutex::new(()), most_rows, most_open: 4 * readers, room: Notify::new(), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How far a table is read.
    pub(super) fn progress(&self, table: usize) -> ChunkProgress {
        self.state().progress[table].clone()
    }

    /// The first chunk of a table that is given out and not read.
    pub(super) fn first_open(&self, table: usize) -> Option<u64> {
        self.state().progress[table].open.keys().next().copied()
    }

    /// This many rows of a table were sent.
    pub(super) fn sent(&self, table: usize, rows: u64) {
        self.state().progress[table].rows += rows;
    }

    /// All rows of a chunk were sent.
    pub(super) fn done(&self, table: usize, number: u64) {
        self.state().progress[table].open.remove(&number);
        self.room.notify_waiters();
    }

    /// The next chunk to read; `None` if all were given out.
    pub(super) async fn next(&self, conn: &mut Conn) -> Result<Option<Wanted>, Error> {
        let _looking = self.looking.lock().await;
        let (table, after, rows) = loop {
            let done = self.room.notified();
            let next = {
                let state = &mut *self.state();
                if let Some((table, number)) = state.again.pop_front() {
                    let condition = condition(&self.tables[table], &state.progress[table].open[&number]);
                    return Ok(Some(Wanted { table, number, condition }));
                }
                let Some(&table) = state.left.last() else { return Ok(None) };
                let progress = &state.progress[table];
                let has_room = progress.open.len() < self.most_open;
                has_room.then(|| (table, progress.after.clone(), state.rows_per_chunk.get(&table).copied()))
            };
            match next {
                Some(next) => break next,
                // The first open chunk is with a reader that does not wait here.
                None => done.await,
            }
        };
        let described = &self.tables[table];
        let rows = match rows {
            Some(rows) => rows,
            None => rows_per_chunk(conn, described).await?.min(self.most_rows),
        };
        let to = end_of_chunk(conn, described, after.clone(), rows).await?;
        let chunk = KeyRange { after, to: to.clone() };
        let condition = condition(described, &chunk);
        let state = &mut *self.state();
        state.rows_per_chunk.insert(table, rows);
        let progress = &mut state.progress[table];
        let number = progress.next;
        progress.next += 1;
        progress.open.insert(number, chunk);
        progress.ended = to.is_none();
        progress.after = to;
        if progress.ended {
            state.left.pop();
        }
        Ok(Some(Wanted { table, number, condition }))
    }
}

/// The number of rows of a chunk, by the size of the rows.
async fn rows_per_chunk(conn: &mut Conn, table: &MysqlTable) -> Result<u64, Error> {
    let query = format!("SELECT AVG_ROW_LENGTH FROM information_schema.TABLES WHERE {}", table.at().filter());
    let row: Option<Row> = conn.query_first(query).await?;
    let bytes = row.and_then(|row| row.get_opt::<Option<u64>, usize>(0)).and_then(Result::ok).flatten();
    Ok((CHUNK_BYTES / bytes.unwrap_or(0).max(1)).clamp(FEWEST_ROWS, MOST_ROWS))
}

/// The columns of the primary key along which the table is walked: those before the first one that cannot be compared with a literal.
fn walked(table: &MysqlTable) -> Vec<&MysqlColumn> {
    table.table.key.iter().map(|&column| &table.columns[column]).take_while(|column| Walked::of(column).is_some()).collect()
}

/// How the value of a key column becomes a literal.
enum Walked {
    /// Digits.
    Number,
    /// Between quotes.
    Quoted,
    /// From hexadecimal digits.
    Hex,
}

impl Walked {
    fn of(column: &MysqlColumn) -> Option<Walked> {
        match column.kind {
            ColumnKind::Int { .. } | ColumnKind::Bool | ColumnKind::Decimal { .. } => Some(Walked::Number),
            ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => Some(Walked::Quoted),
            ColumnKind::Text(_) | ColumnKind::Binary | ColumnKind::FixedBinary { .. } => {
                literal_of(column, "").is_some().then_some(Walked::Hex)
            }
            _ => None,
        }
    }
}

/// Finds the last key of the chunk that begins after `after`; `None` if the table ends before.
async fn end_of_chunk(conn: &mut Conn, table: &MysqlTable, after: Option<Vec<String>>, rows: u64) -> Result<Option<Vec<String>>, Error> {
    let columns = walked(table);
    if columns.is_empty() {
        return Ok(None);
    }
    let value = |column: &&MysqlColumn| match Walked::of(column) {
        Some(Walked::Hex) => format!("HEX({})", quoted(&column.name)),
        _ => format!("CAST({} AS CHAR)", quoted(&column.name)),
    };
    let values: Vec<String> = columns.iter().map(value).collect();
    let order: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let condition = condition(table, &KeyRange { after, to: None }).map_or(String::new(), |condition| format!(" WHERE {condition}"));
    let (values, from, order) = (values.join(", "), table.quoted(), order.join(", "));
    let query = format!("SELECT {values} FROM {from} FORCE INDEX (PRIMARY){condition} ORDER BY {order} LIMIT 1 OFFSET {}", rows - 1);
    let row: Option<Row> = conn.query_first(query).await?;
    let Some(row) = row else { return Ok(None) };
    let mut literals = Vec::with_capacity(columns.len());
    for (place, column) in columns.into_iter().enumerate() {
        let text = row.get_opt::<Option<String>, usize>(place).and_then(Result::ok).flatten();
        let text = text.ok_or_else(|| Error::Other("an unexpected key".into()))?;
        literals.push(match Walked::of(column) {
            Some(Walked::Hex) => literal_of(column, &text).ok_or_else(|| Error::Other("an unexpected key".into()))?,
            Some(Walked::Quoted) => literal(&text),
            _ => text,
        });
    }
    Ok(Some(literals))
}

/// The condition that selects the rows of a chunk. It is written so that the server reads a range of the primary key.
fn condition(table: &MysqlTable, chunk: &KeyRange) -> Option<String> {
    let names: Vec<String> = walked(table).into_iter().map(|column| quoted(&column.name)).collect();
    let mut conditions = Vec::new();
    if let Some(after) = &chunk.after {
        conditions.extend(bounds(&names, after, ">", ">", ">="));
    }
    if let Some(to) = &chunk.to {
        conditions.extend(bounds(&names, to, "<", "<=", "<="));
    }
    (!conditions.is_empty()).then(|| conditions.join(" AND "))
}

/// Compares the columns with the literals as one: by the first column in which they differ.
fn bounds(names: &[String], literals: &[String], before: &str, last: &str, first: &str) -> Vec<String> {
    let cases: Vec<String> = (0..names.len())
        .map(|place| {
            let equal = (0..place).map(|before| format!("{} = {}", names[before], literals[before]));
            let compared = if place + 1 == names.len() { last } else { before };
            equal.chain([format!("{} {compared} {}", names[place], literals[place])]).collect::<Vec<_>>().join(" AND ")
        })
        .collect();
    match &cases[..] {
        [only] => vec![only.clone()],
        _ => vec![format!("{} {first} {}", names[0], literals[0]), format!("({})", cases.join(" OR "))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_columns_are_compared_as_one() {
        let names = ["a", "b", "c"].map(String::from);
        let literals = ["1", "2", "3"].map(String::from);
        assert_eq!(bounds(&names, &literals, ">", ">", ">="), ["a >= 1", "(a > 1 OR a = 1 AND b > 2 OR a = 1 AND b = 2 AND c > 3)"]);
        assert_eq!(bounds(&names[..2], &literals, "<", "<=", "<="), ["a <= 1", "(a < 1 OR a = 1 AND b <= 2)"]);
        assert_eq!(bounds(&names[..1], &literals, "<", "<=", "<="), ["a <= 1"]);
    }
}

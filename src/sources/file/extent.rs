//! How large files are, from a few places of each: however large a file is, this takes a moment.
//!
//! Line ends are counted at every place, so a line that is larger than a place is not overlooked. A place in a CSV file may begin inside of
//! quotes; then most of its lines are bad, and its rows are not used.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use memchr::{memchr, memchr_iter, memrchr};

use super::chunks::Chunk;
use super::reader::FileReader;
use super::snapshot::Job;
use super::unreadable;
use crate::sources::{RowCount, SourceError, TableExtent};
use crate::value::Rows;

/// Files with fewer bytes are read whole.
const WHOLE_BYTES: u64 = 2 << 20;
/// The number of places of a larger file, and how much is read at each.
const PLACES: u64 = 8;
const PLACE_BYTES: u64 = 256 << 10;

/// The table of a job. `changes`: whether the source has a file of changes.
pub(super) fn extent(job: &Job, changes: bool) -> Result<TableExtent, String> {
    match job.options.rows.path() {
        None if changes => Err("has no file of rows, and changes are not counted".into()),
        None => Ok(TableExtent::whole(Rows::default(), Some(0))),
        Some(path) => of_file(job, path).map_err(|error| format!("cannot be measured: {error}")),
    }
}

fn of_file(job: &Job, path: &Path) -> Result<TableExtent, SourceError> {
    let length = path.metadata().map_err(|e| unreadable(path, e))?.len();
    let Some((reader, mut chunks)) = FileReader::open(&job.options.rows, &job.table)? else { return Ok(TableExtent::default()) };
    if length <= WHOLE_BYTES {
        let mut all = Rows::default();
        while let Some(chunk) = chunks.next()? {
            reader.parse(&chunk).rows.iter().for_each(|row| all.push(row));
        }
        return Ok(TableExtent::whole(all, Some(length)));
    }
    let mut seen = SeenPlaces::default();
    if let Some(chunk) = chunks.next()? {
        let (bytes, lines) = (chunk.bytes.len(), memchr_iter(b'\n', &chunk.bytes).count());
        seen.add(&reader, chunk, bytes, lines);
    }
    // A record with line ends inside of quotes has several lines.
    let records_a_line = if seen.lines == 0 { 1.0 } else { seen.records as f64 / seen.lines as f64 };
    for place in 1..PLACES {
        let bytes = read_at(path, length * place / PLACES).map_err(|e| unreadable(path, e))?;
        let lines = memchr_iter(b'\n', &bytes).count();
        let whole = memchr(b'\n', &bytes).zip(memrchr(b'\n', &bytes)).map_or(&[][..], |(first, last)| &bytes[first + 1..=last.max(first)]);
        seen.add(&reader, Chunk { bytes: whole.to_vec(), line: 1 }, bytes.len(), lines);
    }
    Ok(seen.extent(length, records_a_line))
}

fn read_at(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (File::open(path)?, Vec::new());
    file.seek(SeekFrom::Start(offset))?;
    file.take(PLACE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What was found at the places of a file.
#[derive(Default)]
struct SeenPlaces {
    places: Vec<Rows>,
    bytes: u64,
    lines: u64,
    /// Good and bad records.
    records: u64,
    /// The bytes in the file of the rows in `places`, and their bytes as packed rows.
    used_bytes: u64,
    packed_bytes: u64,
}

impl SeenPlaces {
    /// `chunk`: the whole records among the `bytes` that were read.
    fn add(&mut self, reader: &FileReader, chunk: Chunk, bytes: usize, lines: usize) {
        self.bytes += bytes as u64;
        self.lines += lines as u64;
        let parsed = reader.parse(&chunk);
        self.records += (parsed.rows.len() + parsed.bad.len()) as u64;
        if !parsed.rows.is_empty() && parsed.bad.len() <= parsed.rows.len() {
            self.used_bytes += chunk.bytes.len() as u64;
            self.packed_bytes += parsed.rows.bytes_len() as u64;
            self.places.push(parsed.rows);
        }
    }

    fn extent(self, length: u64, records_a_line: f64) -> TableExtent {
        let rows = (length as f64 * self.lines as f64 * records_a_line / self.bytes.max(1) as f64).max(1.0);
        let packed = length as f64 * self.packed_bytes as f64 / self.used_bytes.max(1) as f64;
        TableExtent {
            rows: Some(RowCount { rows: rows as u64, exact: false }),
            read_bytes: Some(length),
            row_bytes: (self.used_bytes > 0).then_some(packed / rows),
            places: self.places,
            whole: false,
        }
    }
}

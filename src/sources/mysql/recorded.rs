//! Reads log files of a MySQL or MariaDB server without the server. They must be recorded with `binlog_row_metadata = FULL`.
//!
//! In: the files of one log, in order. The tables are those of the files' table maps. Out: an empty snapshot, because the log is assumed to
//! begin with empty tables, then every transaction, decoded like those of a live server. A position is a file name and an offset. The log
//! lacks some types: MariaDB's JSON is read as text, its UUID, INET4 and INET6 as binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::binlog::assemble::{Assembler, Step};
use super::binlog::event::kind;
use super::binlog::file::{FileError, LogFile, Logged};
use super::binlog::stream::{Outlet, StreamEnd};
use super::binlog::table_map::{LogColumn, TableMap, ty};
use super::charset::Charset;
use super::column::{ColumnKind, MysqlColumn};
use super::position::{LogFilePosition, LogPosition};
use super::schema::MysqlTable;
use super::server::Flavour;
use super::values::ZeroDates;
use crate::sources::{Capture, Event, EventSender, SourceError, Table};

/// The number of events that are passed on together.
const EVENTS_PER_BATCH: usize = 256;

/// Every table that has rows in these files: `table`, or `database.table` if there are several databases.
pub(in crate::sources) fn discover(paths: &[PathBuf]) -> Result<Vec<Table>, SourceError> {
    Ok(tables(paths)?.into_iter().map(|t| t.table).collect())
}

/// Sends an empty snapshot (unless it resumes) and the transactions of the files, from `capture.from` on.
pub(in crate::sources) async fn run(paths: &[PathBuf], capture: Capture, out: EventSender) -> Result<(), SourceError> {
    let owned = paths.to_vec();
    let found = tokio::task::spawn_blocking(move || tables(&owned)).await.expect("reading files does not panic")?;
    let captured = Arc::new(choose(found, &capture.tables)?);
    let start = start(paths, &capture)?;
    if capture.from.is_none() && out.send(Event::SnapshotDone { position: start.to_position() }).await.is_err() {
        return Ok(());
    }
    let from_start = start.file.as_ref().is_none_or(|f| f.offset == 0) && is_first(paths, &start);
    let mut assembler = Assembler::of_recorded(captured, start.clone(), from_start);
    let mut outlet = Outlet::new(out, None, false, start.to_position());
    let mut batches = read_in_background(paths, &start);
    while let Some(batch) = batches.recv().await {
        for logged in batch? {
            assembler.at(logged.flavour, &logged.file, logged.offset);
            let mut step = assembler.next(&logged.event)?;
            if let Step::Asks(written) = step {
                // There is no server to ask.
                step = assembler.answer(written, Some("the effects of its triggers are unknown"))?;
            }
            match outlet.step(step, assembler.position()).await {
                Ok(()) => {}
                Err(StreamEnd::Failed(error)) => return Err(error),
                Err(StreamEnd::HungUp | StreamEnd::CaughtUp) => return Ok(()),
            }
        }
    }
    if assembler.is_inside_transaction() {
        let position = assembler.position();
        return Err(SourceError::Stopped {
            message: format!("the recorded log ends inside a transaction, after `{position}`"),
            help: Some("copy the file again when the server has closed it (FLUSH BINARY LOGS)".into()),
        });
    }
    if outlet.end_here(assembler.position()).await.is_ok() && !capture.until_caught_up {
        outlet.out.closed().await;
    }
    Ok(())
}

fn read_in_background(paths: &[PathBuf], start: &LogPosition) -> mpsc::Receiver<Result<Vec<Logged>, SourceError>> {
    let (batches_in, batches) = mpsc::channel(4);
    let place = start.file.clone();
    let from = place.as_ref().and_then(|place| paths.iter().position(|p| file_name(p) == place.file)).unwrap_or(0);
    let paths = paths[from..].to_vec();
    tokio::task::spawn_blocking(move || {
        let mut offset = place.map_or(0, |place| place.offset);
        for path in paths {
            let read = read_file(&path, std::mem::take(&mut offset), |batch| batches_in.blocking_send(Ok(batch)).is_ok());
            match read {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    let _ = batches_in.blocking_send(Err(unreadable(&path, &error)));
                    return;
                }
            }
        }
    });
    batches
}

/// Passes the events of a file to `each` in batches. Returns whether `each` accepted all of them.
fn read_file(path: &Path, offset: u64, mut each: impl FnMut(Vec<Logged>) -> bool) -> Result<bool, FileError> {
    let mut file = LogFile::open(path, offset)?;
    loop {
        let mut batch = Vec::with_capacity(EVENTS_PER_BATCH);
        while batch.len() < EVENTS_PER_BATCH {
            match file.next()? {
                Some(logged) => batch.push(logged),
                None => break,
            }
        }
        let is_end = batch.is_empty();
        if !is_end && !each(batch) {
            return Ok(false);
        }
        if is_end {
            return Ok(true);
        }
    }
}

fn unreadable(path: &Path, error: &FileError) -> SourceError {
    SourceError::Invalid { message: format!("{}: {error}", path.display()), table: None, help: None }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
}

/// The position to begin at. Its flavour is a guess until the first event is read.
fn start(paths: &[PathBuf], capture: &Capture) -> Result<LogPosition, SourceError> {
    let Some(from) = &capture.from else {
        let file = paths.first().map(|path| LogFilePosition { file: file_name(path), offset: 0 });
        return Ok(LogPosition {
            flavour: Flavour::Mysql,
            gtid: None,
            file,
            server: RECORDED.into(),
            event: None,
            last: None,
            database: None,
        });
    };
    let position = LogPosition::try_from(from)?;
    let is_known = position.file.as_ref().is_some_and(|place| paths.iter().any(|path| file_name(path) == place.file));
    if position.server != RECORDED || !is_known {
        return Err(SourceError::Stopped {
            message: format!("the position `{from}` is in none of the recorded files"),
            help: Some("name the file that it is in, or start with a new state folder".into()),
        });
    }
    Ok(position)
}

/// The server of a position in recorded files.
const RECORDED: &str = "recorded";

fn is_first(paths: &[PathBuf], position: &LogPosition) -> bool {
    match (&position.file, paths.first()) {
        (Some(place), Some(first)) => file_name(first) == place.file,
        _ => true,
    }
}

/// Picks the captured tables from those found, in the order of the capture.
fn choose(mut found: Vec<MysqlTable>, captured: &[Table]) -> Result<Vec<MysqlTable>, SourceError> {
    let mut chosen = Vec::with_capacity(captured.len());
    for table in captured {
        let at = found.iter().position(|f| f.table == *table).ok_or_else(|| SourceError::Stopped {
            message: format!("the table `{}` is missing or has changed in the recorded files", table.name),
            help: Some("start with a new state folder".into()),
        })?;
        chosen.push(found.swap_remove(at));
    }
    Ok(chosen)
}

/// Every table with rows, from the table maps of all files.
fn tables(paths: &[PathBuf]) -> Result<Vec<MysqlTable>, SourceError> {
    let mut maps: BTreeMap<(String, String), (TableMap, Flavour)> = BTreeMap::new();
    for path in paths {
        let invalid = |message: String, help: Option<String>| SourceError::Invalid {
            message: format!("{}: {message}", path.display()),
            table: None,
            help,
        };
        let mut file = LogFile::open(path, 0).map_err(|e| unreadable(path, &e))?;
        while let Some(logged) = file.next().map_err(|e| unreadable(path, &e))? {
            if logged.event.header().event_type_raw() != kind::TABLE_MAP {
                continue;
            }
            let map = TableMap::read(logged.event.data(), logged.flavour).map_err(|e| invalid(e.to_string(), None))?;
            let name = (map.database.clone(), map.name.clone());
            let before = maps.insert(name, (map.clone(), logged.flavour));
            if before.is_some_and(|(before, _)| before != map) {
                return Err(invalid(format!("the table `{}` changes its columns in the log", map.name), None));
            }
        }
    }
    let mut databases: Vec<&String> = maps.keys().map(|(database, _)| database).collect();
    databases.dedup();
    let one_database = databases.len() == 1;
    maps.values().map(|(map, flavour)| table(map, *flavour, one_database)).collect()
}

fn table(map: &TableMap, flavour: Flavour, one_database: bool) -> Result<MysqlTable, SourceError> {
    let invalid = |message: String, help: &str| SourceError::Invalid { message, table: Some(map.name.clone()), help: Some(help.into()) };
    let mut columns = Vec::with_capacity(map.columns.len());
    for (i, column) in map.columns.iter().enumerate() {
        let name = column.name.clone().ok_or_else(|| {
            invalid(
                format!("the log does not name the columns of `{}`", map.name),
                "record it with `SET GLOBAL binlog_row_metadata = 'FULL'`",
            )
        })?;
        let kind = kind_of(column, flavour).ok_or_else(|| {
            invalid(format!("the column `{name}` (number {}) of `{}` has a type that is not known", i + 1, map.name), "leave the table out")
        })?;
        columns.push(MysqlColumn { name, kind, nullable: column.nullable, collation: None, computed: None, is_padded: false });
    }
    let spec_name = if one_database { map.name.clone() } else { format!("{}.{}", map.database, map.name) };
    let key = map.key.clone().unwrap_or_default();
    Ok(MysqlTable::new(map.database.clone(), map.name.clone(), &spec_name, columns, key, ZeroDates::default()))
}

fn kind_of(column: &LogColumn, flavour: Flavour) -> Option<ColumnKind> {
    let LogColumn { ty, meta, .. } = *column;
    let int = |bytes| Some(ColumnKind::Int { bytes, unsigned: column.unsigned? });
    let fsp = u8::try_from(meta).ok();
    Some(match ty {
        ty::TINY => int(1)?,
        ty::SHORT => int(2)?,
        ty::INT24 => int(3)?,
        ty::LONG => int(4)?,
        ty::LONGLONG => int(8)?,
        ty::FLOAT => ColumnKind::Float,
        ty::DOUBLE => ColumnKind::Double,
        ty::NEWDECIMAL => ColumnKind::Decimal { precision: meta as u8, scale: (meta >> 8) as u8 },
        ty::YEAR => ColumnKind::Year,
        ty::BIT => ColumnKind::Bit,
        ty::DATE | ty::NEWDATE => ColumnKind::Date,
        ty::DATETIME2 => ColumnKind::DateTime { fsp: fsp? },
        ty::TIMESTAMP2 => ColumnKind::Timestamp { fsp: fsp? },
        ty::TIME2 => ColumnKind::Time { fsp: fsp? },
        ty::JSON => ColumnKind::Json,
        ty::GEOMETRY => ColumnKind::Geometry,
        ty::VECTOR if flavour == Flavour::Mysql => ColumnKind::Binary,
        ty::ENUM => ColumnKind::Enum { labels: labels(column)?, charset: charset(column)? },
        ty::SET => ColumnKind::Set { labels: labels(column)?, charset: charset(column)? },
        ty::STRING if column.collation? == BINARY => ColumnKind::FixedBinary { length: meta as usize },
        ty::VARCHAR | ty::VAR_STRING | ty::TINY_BLOB..=ty::BLOB if column.collation? == BINARY => ColumnKind::Binary,
        ty::STRING | ty::VARCHAR | ty::VAR_STRING | ty::TINY_BLOB..=ty::BLOB => ColumnKind::Text(charset(column)?),
        _ => return None,
    })
}

/// The collation of binary columns.
const BINARY: u32 = 63;

fn charset(column: &LogColumn) -> Option<Charset> {
    Charset::name_of_collation(column.collation?)?.parse().ok()
}

fn labels(column: &LogColumn) -> Option<Vec<String>> {
    let charset = charset(column)?;
    let mut scratch = String::new();
    Some(column.labels.as_ref()?.iter().map(|label| charset.decode(label, &mut scratch).to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::MemoryRows;
    use crate::value::{Datum, Layout};

    fn recorded(name: &str) -> Vec<PathBuf> {
        vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mysql_source/recorded").join(name)]
    }

    async fn events(paths: &[PathBuf], from: Option<crate::value::Position>) -> Vec<Event> {
        let tables = discover(paths).unwrap();
        let (out, mut received) = mpsc::channel(1000);
        run(paths, Capture { tables, from, until_caught_up: true, held: Arc::new(MemoryRows::default()) }, out).await.unwrap();
        let mut events = Vec::new();
        received.recv_many(&mut events, 1000).await;
        events
    }

    fn commits(events: &[Event]) -> Vec<crate::value::Position> {
        let position = |e: &Event| if let Event::Commit { position, .. } = e { Some(position.clone()) } else { None };
        events.iter().filter_map(position).collect()
    }

    #[tokio::test]
    async fn a_recorded_log_is_read_from_its_tables_to_its_end() {
        for name in ["mariadb.000001", "mysql.000001"] {
            let paths = recorded(name);
            let tables = discover(&paths).unwrap();
            let described: Vec<String> =
                tables.iter().map(|t| format!("{} {:?} {}", t.name, t.key, crate::value::Type::Struct(t.schema.clone()))).collect();
            assert_eq!(
                described,
                [
                    "items [0, 1] struct(order_id int32, line uint16, price decimal(8,2))",
                    "orders [0] struct(id int32, customer text, total decimal(10,2), at datetime(3), state text, note text, big uint64)",
                ]
            );
            let events = events(&paths, None).await;
            assert!(matches!(events[0], Event::SnapshotDone { .. }) && matches!(events.last(), Some(Event::CaughtUp)));
            let changes: Vec<Vec<(usize, i64)>> = events
                .iter()
                .filter_map(
                    |e| if let Event::Changes(deltas) = e { Some(deltas.iter().map(|d| (d.table, d.diff)).collect()) } else { None },
                )
                .collect();
            let expected: [&[(usize, i64)]; 4] = [&[(1, 1), (1, 1), (0, 1), (0, 1)], &[(1, -1), (1, 1)], &[(0, -1)], &[(1, 1)]];
            assert_eq!(changes, expected);
            let Some(Event::Changes(first)) = events.iter().find(|e| matches!(e, Event::Changes(_))) else { panic!("no changes") };
            let layout = Layout::new(&tables[1].schema);
            assert_eq!(layout.get(&first[0].row, 1), Datum::Text("Zoë"));
            assert_eq!(layout.get(&first[0].row, 4), Datum::Text("new"));
            assert_eq!(layout.get(&first[0].row, 6), Datum::UInt(u64::MAX));
        }
    }

    #[tokio::test]
    async fn a_recorded_log_is_resumed_after_any_commit() {
        let paths = recorded("mysql.000001");
        let positions = commits(&events(&paths, None).await);
        assert_eq!(positions.len(), 4);
        for (i, position) in positions.iter().enumerate() {
            assert!(position.as_str().starts_with("mysql:file=mysql.000001:"), "{position}");
            assert_eq!(commits(&events(&paths, Some(position.clone())).await), positions[i + 1..]);
        }
    }

    #[test]
    fn damaged_files_are_refused_where_they_are_damaged() {
        let whole = std::fs::read(&recorded("mysql.000001")[0]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.000001");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            discover(std::slice::from_ref(&path)).unwrap_err().to_string().replace(&format!("{}: ", path.display()), "")
        };
        assert_eq!(refused(b"id,name\n1,a\n"), "it is not a binary log of MySQL or MariaDB");
        assert_eq!(refused(b""), "it is not a binary log of MySQL or MariaDB");
        for cut in [6, 30, whole.len() - 1] {
            assert!(refused(&whole[..cut]).starts_with("it is cut off at byte "), "{cut}");
        }
        for at in (4..whole.len()).step_by(61) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let message = refused(&damaged);
            assert!(message.starts_with("the event at byte ") || message.starts_with("it is cut off at byte "), "{at}: {message}");
        }
        let missing = discover(&[folder.path().join("none")]).unwrap_err().to_string();
        assert!(missing.ends_with("none: it cannot be read: No such file or directory (os error 2)"), "{missing}");
    }
}

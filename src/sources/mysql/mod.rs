//! The kinds `mysql` and `mariadb`: tables of a MySQL or MariaDB server, read as a snapshot and then from its binary log.
//!
//! `schema` reads table definitions. `staged` reads the rows in chunks, `snapshot` reads them as of one position in the log (`snapshot_lock`), and
//! `binlog` follows the log from there. `values` decodes values, equally for both. `cascade` adds what foreign keys do and the log lacks. `history` checks that a log
//! is the one that a position was read from. `preflight` looks for problems before a run. `survey` and `sample` describe all tables for a
//! draft, `bounded` reads a few rows for a preview, and `extent` tells how large tables are. `recorded` reads log files without a server. Elsewhere: retries (`run`), which finds
//! the position to resume from stored with the data.

mod binlog;
mod bounded;
mod cascade;
mod charset;
mod charset_exceptions;
mod charset_multibyte;
mod charset_tables;
mod column;
mod connect;
mod described;
mod equal;
mod errors;
mod extent;
mod foreign_keys;
mod grants;
mod history;
mod jsonb;
mod log_end;
mod options;
mod pace;
mod position;
mod preflight;
mod quoting;
mod ranges;
#[allow(dead_code, reason = "for the source of files, which reads recorded logs through it")]
pub(in crate::sources) mod recorded;
mod replication;
mod sample;
mod schema;
mod select;
mod server;
mod server_id;
mod session;
mod settings;
mod side_effects;
mod snapshot;
mod snapshot_lock;
mod staged;
mod survey;
mod table_at;
mod time_limit;
mod unique_keys;
mod unreadable;
mod values;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use self::binlog::assemble::Assembler;
use self::binlog::stream::{self, ForeignKeys, Outlet, StreamEnd};
use self::bounded::MysqlBoundedReader;
use self::cascade::Cascades;
use self::connect::connect;
use self::options::MysqlOptions;
use self::position::LogPosition;
use self::schema::MysqlTable;
use self::server::Server;
use super::{
    BoundedReader, Capture, Companion, Event, EventSender, Finding, Source, SourceError, SourceExtent, StagedCapture, StagedSender, Survey,
    Table, ValueQuestion, ValueSample, notes_table,
};
use crate::fault;
use crate::options::OptionError;
use crate::value::Position;

pub(super) use self::options::{MARIADB, MYSQL};

/// Creates a source with these options.
pub(super) fn open(options: &serde_json::Value) -> Result<Box<dyn Source>, OptionError> {
    Ok(Box::new(MysqlSource { options: MysqlOptions::read(options)? }))
}

#[derive(Debug)]
struct MysqlSource {
    options: MysqlOptions,
}

#[async_trait]
impl Source for MysqlSource {
    async fn discover(&self, names: &[String]) -> Result<Vec<Table>, SourceError> {
        let mut conn = connect(&self.options).await?;
        let server = Server::identify(&mut conn).await?;
        let tables = schema::read_tables(&mut conn, &server, &self.options, names).await?;
        close(conn).await;
        Ok(tables.into_iter().map(|t| t.table).collect())
    }

    async fn table_names(&self) -> Result<Vec<String>, SourceError> {
        let mut conn = connect(&self.options).await?;
        let names = schema::table_names(&mut conn, &self.options).await?;
        close(conn).await;
        Ok(names)
    }

    async fn extents(&self, tables: &[Table], until: Instant) -> Result<SourceExtent, SourceError> {
        extent::extents(&self.options, tables, until).await
    }

    async fn preflight(&self, tables: &[Table]) -> Result<Vec<Finding>, SourceError> {
        let mut conn = connect(&self.options).await?;
        let server = Server::identify(&mut conn).await?;
        let names: Vec<String> = tables.iter().map(|t| t.name.clone()).collect();
        let tables = schema::read_tables(&mut conn, &server, &self.options, &names).await?;
        let findings = preflight::findings(&mut conn, &server, &self.options, &tables).await?;
        close(conn).await;
        Ok(findings)
    }

    async fn companions(&self, tables: &[Table]) -> Result<Vec<Companion>, SourceError> {
        let mut conn = connect(&self.options).await?;
        let server = Server::identify(&mut conn).await?;
        let names: Vec<String> = tables.iter().map(|t| t.name.clone()).collect();
        let tables = schema::read_tables(&mut conn, &server, &self.options, &names).await?;
        let cascades = Cascades::of_server(&mut conn, &server, &self.options, &tables).await?;
        close(conn).await;
        Ok(cascades.companions())
    }

    async fn bounded_reader(&self, tables: &[Table]) -> Result<Option<Box<dyn BoundedReader>>, SourceError> {
        Ok(Some(Box::new(MysqlBoundedReader::open(&self.options, tables).await?)))
    }

    fn keeps_notes(&self) -> bool {
        true
    }

    async fn survey(&self, root: Option<&str>) -> Result<Survey, SourceError> {
        let mut conn = connect(&self.options).await?;
        let server = Server::identify(&mut conn).await?;
        let survey = survey::survey(&mut conn, &server, &self.options, root).await?;
        close(conn).await;
        Ok(survey)
    }

    async fn sample(&self, questions: &[ValueQuestion]) -> Result<Vec<Option<ValueSample>>, SourceError> {
        let mut conn = connect(&self.options).await?;
        let mut samples = Vec::with_capacity(questions.len());
        for question in questions {
            samples.push(sample::sample(&mut conn, question).await);
        }
        close(conn).await;
        Ok(samples)
    }

    fn captures_the_present(&self) -> bool {
        true
    }

    async fn stages(&self, tables: &[Table]) -> Result<bool, SourceError> {
        staged::can_stage(&self.options, tables).await
    }

    async fn stage(&self, capture: StagedCapture, out: StagedSender) -> Result<(), SourceError> {
        staged::stage(&self.options, capture, out).await
    }

    fn reaches(&self, position: &Position, wanted: &Position) -> bool {
        match (position.as_str().parse::<LogPosition>(), wanted.as_str().parse::<LogPosition>()) {
            (Ok(position), Ok(wanted)) => position.reaches(&wanted),
            _ => false,
        }
    }

    async fn run(&self, capture: Capture, out: EventSender) -> Result<(), SourceError> {
        let mut conn = connect(&self.options).await?;
        let server = Server::identify(&mut conn).await?;
        let (captured, has_notes) = match capture.tables.strip_suffix(&[notes_table()]) {
            Some(captured) => (captured, true),
            None => (&capture.tables[..], false),
        };
        let names: Vec<String> = captured.iter().map(|t| t.name.clone()).collect();
        let tables = schema::read_tables(&mut conn, &server, &self.options, &names).await?;
        unchanged(captured, &tables)?;
        preflight::refuse_unsafe(&mut conn, &server, &self.options, &tables).await?;
        let end = server.end_of_log(&mut conn).await?;
        let database = self.options.database().filter(|_| tables.iter().any(MysqlTable::is_named_without_database));
        let (from, cascades) = match &capture.from {
            Some(position) => {
                let from = LogPosition::try_from(position)?;
                let from = history::place(&mut conn, &server, from, database).await?;
                let cascades = match has_notes {
                    true => Cascades::of_notes(&mut conn, &server, &self.options, &tables, &*capture.held).await?,
                    false => Cascades::of_server(&mut conn, &server, &self.options, &tables).await?.without_notes()?,
                };
                close(conn).await;
                (from, cascades)
            }
            None => match self.snapshot(conn, &server, &tables, database, has_notes, &out).await? {
                Some(snapshot) => snapshot,
                None => return Ok(()),
            },
        };
        let last = capture.from.unwrap_or_else(|| from.to_position());
        let assembler = Assembler::new(cascades.tables.clone(), server.name_case(), self.options.zero_dates, from);
        let mut assembler = assembler.with_roles(cascades.roles());
        let mut outlet = Outlet::new(out, Some(end), capture.until_caught_up, last);
        let foreign_keys = ForeignKeys { cascades: &cascades, held: &*capture.held };
        match stream::follow(&self.options, &server, &foreign_keys, &mut assembler, &mut outlet).await {
            StreamEnd::HungUp | StreamEnd::CaughtUp => Ok(()),
            StreamEnd::Failed(error) => Err(error),
        }
    }
}

impl MysqlSource {
    /// Sends a snapshot. Returns its position and the foreign keys that are followed from there, or `None` if the receiver is gone.
    async fn snapshot(
        &self,
        mut conn: mysql_async::Conn,
        server: &Server,
        tables: &[MysqlTable],
        database: Option<&str>,
        has_notes: bool,
        out: &EventSender,
    ) -> Result<Option<(LogPosition, Cascades)>, SourceError> {
        let rows = snapshot::estimate(&mut conn, tables).await?;
        if out.send(Event::SnapshotPlan { rows }).await.is_err() {
            return Ok(None);
        }
        let count = self.options.snapshot_connections;
        let cascades = Cascades::of_server(&mut conn, server, &self.options, tables).await?;
        let cascades = Arc::new(if has_notes { cascades } else { cascades.without_notes()? });
        let read: Vec<MysqlTable> = cascades.snapshot_tables().into_iter().map(|table| cascades.tables[table].clone()).collect();
        let opened = snapshot_lock::open(&mut conn, server, &self.options, &read, count, out).await?;
        fault::fallible("mysql.snapshot.locked").map_err(|e| SourceError::Transient { message: e.to_string() })?;
        // From here on the table definitions cannot change. They may have changed just before.
        let names: Vec<String> = tables.iter().map(|t| t.table.name.clone()).collect();
        let again = schema::read_tables(&mut conn, server, &self.options, &names).await?;
        let before: Vec<Table> = tables.iter().map(|t| t.table.clone()).collect();
        unchanged(&before, &again)?;
        if has_notes && !Cascades::of_server(&mut conn, server, &self.options, tables).await?.follows_as(&cascades) {
            return Err(SourceError::Transient { message: "foreign keys were changed while the snapshot was opened".into() });
        }
        let position = history::remember(server, &self.options, opened.position, database).await?;
        snapshot::read(opened.connections, &cascades, &self.options, out).await?;
        close(conn).await;
        match out.send(Event::SnapshotDone { position: position.to_position() }).await {
            Ok(()) => Ok(Some((position, Arc::into_inner(cascades).expect("the readers have ended")))),
            Err(_) => Ok(None),
        }
    }
}

/// Closes a connection now, because a user may be limited to a few.
async fn close(conn: mysql_async::Conn) {
    let _ = conn.disconnect().await;
}

/// The tables must still have the definitions that the dataflow was built for.
fn unchanged(expected: &[Table], found: &[MysqlTable]) -> Result<(), SourceError> {
    for (expected, found) in expected.iter().zip(found) {
        if *expected != found.table {
            return Err(SourceError::Redefined {
                message: format!("the columns or the key of the table `{}` have changed", expected.name),
            });
        }
    }
    Ok(())
}

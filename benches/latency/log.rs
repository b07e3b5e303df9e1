//! The plain reader of the log: decodes every changed row and does nothing with it.

use futures::StreamExt;
use mysql_async::binlog::events::{EventData, RowsEventData};
use mysql_async::binlog::value::BinlogValue;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStreamRequest, Conn, Value};

use crate::engine::Engine;
use crate::seen::Seen;

/// Reads from a position until row `last` came, or for ever; notes each `seq`. How many rows there were.
pub(crate) async fn read(engine: &Engine, (file, offset): (String, u64), last: Option<u64>, seen: Option<Seen>) -> u64 {
    let mut conn = Conn::from_url(engine.database.root_url()).await.expect("MariaDB answers");
    for statement in ["SET @master_binlog_checksum = @@global.binlog_checksum", "SET @mariadb_slave_capability = 4"] {
        conn.query_drop(statement).await.expect("MariaDB answers");
    }
    let request = BinlogStreamRequest::new(rand_id()).with_filename(file.as_bytes()).with_pos(offset);
    let mut stream = conn.get_binlog_stream(request).await.expect("MariaDB gives its log");
    let mut rows = 0;
    while let Some(event) = stream.next().await {
        let event = event.expect("MariaDB goes on");
        let Some(EventData::RowsEvent(data)) = event.read_data().expect("an event") else { continue };
        let (RowsEventData::UpdateRowsEvent(_) | RowsEventData::UpdateRowsEventV1(_)) = &data else { continue };
        let table = stream.get_tme(data.table_id()).expect("its table came before");
        if table.database_name() != engine.database.name {
            continue;
        }
        for row in data.rows(table) {
            let (_, after) = row.expect("a row");
            rows += 1;
            let Some(BinlogValue::Value(Value::Int(seq))) = after.as_ref().and_then(|row| row.as_ref(1)) else {
                panic!("`seq` is a number")
            };
            let seq = *seq as u64;
            if let Some(seen) = &seen {
                seen.note(seq);
            }
            if last == Some(seq) {
                return rows;
            }
        }
    }
    rows
}

/// A replica id that nobody else has.
fn rand_id() -> u32 {
    0x4000_0000 | std::process::id()
}

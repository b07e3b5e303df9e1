//! Remembers what distinguishes the log from another one: the event before a position, and the last transaction.
//!
//! Both are stored in every position, so that the next run can check whether it finds the same log (`history`).

use mysql_common::binlog::consts::BinlogChecksumAlg;
use mysql_common::binlog::events::{Event, GtidEvent};

use super::event::{self, RawEvent, kind};
use super::gtid::{GtidPosition, MariadbGtids, MysqlGtids};
use crate::sources::mysql::position::{LastTransaction, LogEvent, LogPosition};

/// Tracks the events of one connection.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// The last event that is in the file, and the offset at which it ends.
    passed: Option<(u64, LogEvent)>,
    /// The last event that a position was after, and its file.
    settled: Option<(String, LogEvent)>,
    /// The transaction that began last.
    begun: Option<LastTransaction>,
}

impl Trail {
    /// Continues from a position of an earlier run, if it has an event.
    pub(crate) fn new(position: &LogPosition) -> Trail {
        let settled = position.file.as_ref().zip(position.event).map(|(place, event)| (place.file.clone(), event));
        Trail { passed: None, settled, begun: None }
    }

    /// Records an event that ends at this offset.
    pub(crate) fn pass(&mut self, event: &Event, raw: &RawEvent, end: u64) {
        if let Some(start) = start(raw, end) {
            self.passed = Some((end, LogEvent { start, checksum: checksum(event) }));
        }
        if let Some(begun) = transaction(event, raw) {
            self.begun = Some(begun);
        }
    }

    /// Stores the trail in `position`, which is now after all recorded events.
    pub(crate) fn settle(&mut self, position: &mut LogPosition) {
        match (&position.gtid, self.begun.take()) {
            (None, _) => position.last = None,
            (Some(gtid), Some(begun)) if gtid.contains(&begun.gtid) => position.last = Some(begun),
            _ => {}
        }
        let Some(place) = &position.file else { return };
        if let Some((end, event)) = self.passed.take()
            && end == place.offset
        {
            match &mut self.settled {
                Some((file, settled)) if *file == place.file => *settled = event,
                settled => *settled = Some((place.file.clone(), event)),
            }
        }
        position.event = self.settled.as_ref().filter(|(file, _)| *file == place.file).map(|(_, event)| *event);
    }
}

/// The transaction that an event begins; `None` for other events and for a transaction without a GTID.
pub(crate) fn transaction(event: &Event, raw: &RawEvent) -> Option<LastTransaction> {
    match raw.kind {
        kind::GTID | kind::TAGGED_GTID => {
            let begun: GtidEvent = event.read_event().ok()?;
            let tag = begun.tag().map_or("", |tag| tag.as_str()).to_string();
            let gtid = GtidPosition::Mysql(MysqlGtids::one(begun.sid(), &tag, begun.gno()));
            Some(LastTransaction { gtid, committed: begun.original_commit_timestamp() })
        }
        kind::MARIADB_GTID => {
            let begun = event::mariadb_gtid(raw.body).ok()?;
            let mut gtid = MariadbGtids::default();
            gtid.set(begun.domain, raw.server_id, begun.sequence);
            Some(LastTransaction { gtid: GtidPosition::Mariadb(gtid), committed: raw.timestamp as u64 })
        }
        _ => None,
    }
}

/// The start of an event that ends at this offset; `None` if the event is not in the file, or is not sent as it is in the file.
pub(crate) fn start(raw: &RawEvent, end: u64) -> Option<u64> {
    let is_made_up = raw.next_offset == 0 || raw.is_artificial() || raw.is_inner;
    // The format description is sent in another form if it is not what was requested.
    let varies = matches!(raw.kind, kind::HEARTBEAT | kind::HEARTBEAT_2 | kind::FORMAT_DESCRIPTION | kind::ROTATE);
    if is_made_up || varies { None } else { end.checked_sub(raw.size as u64) }
}

/// The CRC-32 of an event's header and body, whether the log has checksums or not.
pub(crate) fn checksum(event: &Event) -> u32 {
    let footer = event.footer();
    match footer.get_checksum_alg() {
        Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)) if footer.get_checksum_enabled() => {
            event.checksum().map_or(0, u32::from_le_bytes)
        }
        _ => event.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32),
    }
}

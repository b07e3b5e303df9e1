//! Tracks the position in the log: the end of the last complete transaction, and the end of the last event.

use mysql_common::binlog::events::Event;
use mysql_common::proto::MySerialize;

use super::super::event::{self, RawEvent, kind};
use super::super::gtid::GtidPosition;
use super::{Assembler, Gtid, Step};
use crate::sources::SourceError;
use crate::sources::mysql::position::LogFilePosition;
use crate::sources::mysql::server::parse_version;

impl Assembler {
    /// Ends the current transaction.
    pub(super) fn commit(&mut self) -> Result<Step, SourceError> {
        Ok(self.end_transaction())
    }

    /// Ends the current transaction and moves the position to its end.
    pub(super) fn end_transaction(&mut self) -> Step {
        let open = self.open.take().unwrap_or_default();
        self.count_gtid(open.gtid);
        self.settle();
        let committed_ms = open.committed_ms;
        match open.changes.is_empty() {
            true => Step::Moved { committed_ms, rejected: open.changes.rejected },
            false => Step::Committed { changes: open.changes, committed_ms },
        }
    }

    fn count_gtid(&mut self, gtid: Option<Gtid>) {
        if self.filled.is_some() {
            return;
        }
        match (gtid, &mut self.position.gtid) {
            (Some(Gtid::Mysql(gtid)), Some(GtidPosition::Mysql(set))) if gtid.number > 0 => set.add(gtid.uuid, &gtid.tag, gtid.number),
            // After an anonymous transaction no set of GTIDs describes the position, nor does one that begins later.
            (Some(Gtid::Mysql(gtid)), here) if gtid.number == 0 => *here = None,
            (Some(Gtid::Mariadb { gtid, server }), Some(GtidPosition::Mariadb(set))) => set.set(gtid.domain, server, gtid.sequence),
            _ => {}
        }
    }

    /// Event headers have only the low 32 bits of an offset.
    pub(super) fn advance(&mut self, raw: &RawEvent) {
        if raw.next_offset == 0 || raw.is_artificial() || matches!(raw.kind, kind::HEARTBEAT | kind::HEARTBEAT_2 | kind::FORMAT_DESCRIPTION)
        {
            return;
        }
        self.offset = follow_offset(self.offset, raw.next_offset);
    }

    pub(super) fn rotate(&mut self, event: &Event, raw: &RawEvent) -> Result<Step, SourceError> {
        if self.filled.is_some() {
            return Ok(Step::Nothing);
        }
        let body = without_stray_checksum(event);
        let (file, offset) = event::rotate(body).map_err(|e| self.unreadable(&e))?;
        // A server that is asked by GTID names the file and its start before it jumps to the requested position.
        let goes_back = self.file.as_bytes() == file && offset < self.offset;
        if !goes_back {
            self.file = String::from_utf8_lossy(file).into_owned();
            self.offset = offset;
        }
        if !raw.is_artificial() {
            self.maps.clear();
        }
        Ok(self.idle_move())
    }

    /// A server begins a new file after a crash; a transaction that was open then was never committed.
    pub(super) fn format_description(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        self.version = event::server_version(raw.body).map(|text| {
            let (major, minor, patch) = parse_version(text);
            (major as u32 * 100 + minor as u32) * 100 + patch as u32
        });
        let created = raw.body.get(52..56).is_some_and(|created| created != [0; 4]);
        if created {
            self.open = None;
            self.maps.clear();
        }
        Ok(Step::Nothing)
    }

    pub(super) fn heartbeat(&mut self, raw: &RawEvent) -> Step {
        if self.open.is_none() && raw.next_offset > 0 {
            self.offset = follow_offset(self.offset, raw.next_offset);
        }
        self.idle_move()
    }

    /// Between transactions the position follows every event.
    pub(super) fn idle_move(&mut self) -> Step {
        if self.open.is_some() {
            return Step::Nothing;
        }
        self.settle();
        Step::Moved { committed_ms: None, rejected: Vec::new() }
    }

    /// The position never goes back within a file, although the start of the file is sent again after every request by GTID.
    fn settle(&mut self) {
        match &mut self.position.file {
            _ if self.file.is_empty() => {}
            Some(place) if place.file == self.file => place.offset = place.offset.max(self.offset),
            place => *place = Some(LogFilePosition { file: self.file.clone(), offset: self.offset }),
        }
    }

    /// The current place in the log, for messages.
    pub(super) fn place(&self) -> String {
        format!("before {}:{}", self.file, self.offset)
    }
}

/// Completes the low 32 bits of an offset to the offset that follows `last`.
fn follow_offset(last: u64, low: u32) -> u64 {
    let same = last & !0xffff_ffff | low as u64;
    if same + (1 << 31) < last { same + (1 << 32) } else { same }
}

/// The body of a ROTATE. Before MariaDB announces that events have checksums, it sends an artificial ROTATE that already has one.
fn without_stray_checksum(event: &Event) -> &[u8] {
    let body = event.data();
    let Some((name, stray)) = body.split_last_chunk::<4>() else { return body };
    let mut header = Vec::with_capacity(19);
    event.header().serialize(&mut header);
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    crc.update(name);
    if crc.sum() == u32::from_le_bytes(*stray) { name } else { body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_beyond_four_gib_are_followed() {
        assert_eq!(follow_offset(100, 500), 500);
        assert_eq!(follow_offset(0xffff_fff0, 0x10), 0x1_0000_0010);
        assert_eq!(follow_offset(0x1_0000_0010, 0x20), 0x1_0000_0020);
        assert_eq!(follow_offset(500, 400), 400);
    }
}

//! A position in a server's log, as text that is stored across restarts:
//!
//! ```text
//! mysql:gtid=3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5;file=ybin.000003:1547;server=3e11fa47-71ca-11e1-9e33-c80aa9429562
//! mariadb:gtid=0-1-178,7-1-1;file=mbin.000001:900;server=1;event=869:a3c1f00d;last=0-1-178@1732817701;db=shop
//! ```
//! `gtid` is the set of all transactions up to here (absent if the server has no GTIDs). `file` is the name of the log file and the offset
//! after the last event. `server` identifies the server of that file (its UUID at MySQL, its `server_id` at MariaDB). A run resumes by GTID
//! if there is one, on any server that has the following transactions; else by file and offset, only on the same server.
//!
//! The other parts are absent if unknown. They tell whether a log is the one that was read (`history`): `event` is the offset and the CRC-32
//! of an event in that file before this position; `last` is the GTID of the last transaction and its commit time at the server that made it
//! (in microseconds since 1970 at MySQL, seconds at MariaDB); `db` is the database of tables that are named without one.

use std::fmt;
use std::str::FromStr;

use super::binlog::gtid::{GtidPosition, MariadbGtids, MysqlGtids};
use super::server::{Flavour, Server};
use crate::sources::SourceError;
use crate::value::Position;

/// A parsed position; the module doc describes its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogPosition {
    pub(crate) flavour: Flavour,
    pub(crate) gtid: Option<GtidPosition>,
    pub(crate) file: Option<LogFilePosition>,
    pub(crate) server: String,
    pub(crate) event: Option<LogEvent>,
    pub(crate) last: Option<LastTransaction>,
    pub(crate) database: Option<String>,
}

/// An event before the offset of a position, in the file that the position names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEvent {
    pub(crate) start: u64,
    /// The CRC-32 of the event's header and body.
    pub(crate) checksum: u32,
}

/// The last transaction before a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastTransaction {
    /// A set with this one transaction.
    pub(crate) gtid: GtidPosition,
    pub(crate) committed: u64,
}

/// A log file and the offset after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFilePosition {
    pub(crate) file: String,
    pub(crate) offset: u64,
}

impl LogFilePosition {
    /// The number in the file's name. Files of one log are numbered: `name.000009`, `name.000010`, also beyond six digits.
    pub(crate) fn number(&self) -> u64 {
        self.file.rsplit_once('.').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0)
    }

    pub(super) fn reaches(&self, end: &LogFilePosition) -> bool {
        (self.number(), self.offset) >= (end.number(), end.offset)
    }
}

impl LogPosition {
    /// A position with only the GTIDs and the file known.
    pub(super) fn new(server: &Server, gtid: Option<GtidPosition>, file: Option<LogFilePosition>) -> LogPosition {
        let server_identity = server.identity.clone();
        LogPosition { flavour: server.flavour, gtid, file, server: server_identity, event: None, last: None, database: None }
    }

    /// Whether everything before `end` in the same server's log is also before this position.
    pub(crate) fn reaches(&self, end: &LogPosition) -> bool {
        match (&self.gtid, &end.gtid) {
            (Some(here), Some(there)) if here.contains(there) => return true,
            _ => {}
        }
        match (&self.file, &end.file) {
            (Some(here), Some(there)) => self.server == end.server && here.reaches(there),
            _ => false,
        }
    }

    /// The same position for a request to this server. Files of another server have other names and offsets, so only the GTIDs remain.
    pub(super) fn at_server(self, server: &Server) -> LogPosition {
        match self.gtid {
            Some(_) if self.server != server.identity => LogPosition { file: None, event: None, server: server.identity.clone(), ..self },
            _ => self,
        }
    }

    pub(crate) fn to_position(&self) -> Position {
        Position::new(self.to_string())
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.flavour {
            Flavour::Mysql => "mysql:",
            Flavour::Mariadb => "mariadb:",
        })?;
        if let Some(gtid) = &self.gtid {
            write!(f, "gtid={gtid};")?;
        }
        if let Some(LogFilePosition { file, offset }) = &self.file {
            write!(f, "file={file}:{offset};")?;
        }
        write!(f, "server={}", self.server)?;
        if let Some(LogEvent { start, checksum }) = &self.event {
            write!(f, ";event={start}:{checksum:08x}")?;
        }
        if let Some(LastTransaction { gtid, committed }) = &self.last {
            write!(f, ";last={gtid}@{committed}")?;
        }
        match &self.database {
            Some(name) => write!(f, ";db={}", escaped(name)),
            None => Ok(()),
        }
    }
}

/// The name with `;` escaped, so that it fits between two separators.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace(';', "%3B")
}

fn unescaped(text: &str) -> String {
    text.replace("%3B", ";").replace("%25", "%")
}

fn gtids(set: &str, flavour: Flavour) -> Result<GtidPosition, NotAPosition> {
    match flavour {
        Flavour::Mysql => set.parse::<MysqlGtids>().map(GtidPosition::Mysql).map_err(|_| NotAPosition),
        Flavour::Mariadb => set.parse::<MariadbGtids>().map(GtidPosition::Mariadb).map_err(|_| NotAPosition),
    }
}

/// The text is not a position of this kind of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAPosition;

impl FromStr for LogPosition {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<LogPosition, NotAPosition> {
        let (flavour, rest) = text.split_once(':').ok_or(NotAPosition)?;
        let flavour = match flavour {
            "mysql" => Flavour::Mysql,
            "mariadb" => Flavour::Mariadb,
            _ => return Err(NotAPosition),
        };
        let mut position = LogPosition { flavour, gtid: None, file: None, server: String::new(), event: None, last: None, database: None };
        for part in rest.split(';') {
            match part.split_once('=').ok_or(NotAPosition)? {
                ("gtid", set) => position.gtid = Some(gtids(set, flavour)?),
                ("file", place) => {
                    let (file, offset) = place.rsplit_once(':').ok_or(NotAPosition)?;
                    let offset = offset.parse().map_err(|_| NotAPosition)?;
                    position.file = Some(LogFilePosition { file: file.into(), offset });
                }
                ("server", server) => position.server = server.into(),
                ("event", event) => {
                    let (start, checksum) = event.split_once(':').ok_or(NotAPosition)?;
                    let start = start.parse().map_err(|_| NotAPosition)?;
                    position.event = Some(LogEvent { start, checksum: u32::from_str_radix(checksum, 16).map_err(|_| NotAPosition)? });
                }
                ("last", last) => {
                    let (gtid, committed) = last.rsplit_once('@').ok_or(NotAPosition)?;
                    let committed = committed.parse().map_err(|_| NotAPosition)?;
                    position.last = Some(LastTransaction { gtid: gtids(gtid, flavour)?, committed });
                }
                ("db", name) => position.database = Some(unescaped(name)),
                _ => return Err(NotAPosition),
            }
        }
        if position.gtid.is_none() && position.file.is_none() { Err(NotAPosition) } else { Ok(position) }
    }
}

impl TryFrom<&Position> for LogPosition {
    type Error = SourceError;

    fn try_from(position: &Position) -> Result<LogPosition, SourceError> {
        position.as_str().parse().map_err(|_| SourceError::Resync {
            message: format!("`{position}` is not a position in the log of a MySQL or MariaDB server"),
            table: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_from_text() {
        for text in [
            "mysql:gtid=3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,3e11fa47-71ca-11e1-9e33-c80aa9429563:tag:1-2;file=ybin.000003:1547;server=u",
            "mysql:file=ybin.000003:1547;server=3e11fa47-71ca-11e1-9e33-c80aa9429562",
            "mariadb:gtid=0-1-178,7-1-1;file=mbin.000001:900;server=1",
            "mariadb:gtid=;server=1",
            "mariadb:gtid=0-1-178;file=mbin.000001:900;server=1;event=869:00c1f00d;last=0-1-178@1732817701;db=a%3Bb%253B=c",
            "mysql:file=ybin.000003:1547;server=u;event=4:ffffffff;db=shop",
            "mysql:gtid=3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5;server=u;last=3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:2@1732817701000001",
        ] {
            assert_eq!(text.parse::<LogPosition>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "mysql:",
            "mysql:server=1",
            "postgres:lsn=0/1",
            "mysql:gtid=0-1-2;server=1",
            "mysql:file=a;server=1",
            "mysql:file=a:4;server=1;event=4",
        ] {
            assert_eq!(text.parse::<LogPosition>(), Err(NotAPosition), "{text}");
        }
    }

    #[test]
    fn a_file_of_another_server_is_forgotten_where_gtids_lead_on() {
        let server = |identity: &str| Server {
            flavour: Flavour::Mariadb,
            version: (10, 11, 0),
            identity: identity.into(),
            log_bin: true,
            has_gtids: true,
            lower_case_names: 0,
        };
        let at = |text: &str, identity| text.parse::<LogPosition>().unwrap().at_server(&server(identity)).to_string();
        let both = "mariadb:gtid=0-1-178;file=mbin.000001:900;server=1";
        assert_eq!(at(both, "1"), both);
        assert_eq!(at(both, "2"), "mariadb:gtid=0-1-178;server=2");
        let more = "mariadb:gtid=0-1-178;file=mbin.000001:900;server=1;event=869:0000000a;last=0-1-178@7;db=d";
        assert_eq!(at(more, "2"), "mariadb:gtid=0-1-178;server=2;last=0-1-178@7;db=d");
        let file = "mariadb:file=mbin.000001:900;server=1";
        assert_eq!(at(file, "2"), file, "which is refused there");
    }

    #[test]
    fn files_are_compared_by_number() {
        let at = |file: &str, offset| format!("mysql:file={file}:{offset};server=u").parse::<LogPosition>().unwrap();
        assert!(at("b.000010", 4).reaches(&at("b.000009", 900)));
        assert!(at("b.1000000", 4).reaches(&at("b.999999", 900)));
        assert!(at("b.000009", 900).reaches(&at("b.000009", 900)));
        assert!(!at("b.000009", 899).reaches(&at("b.000009", 900)));
    }
}

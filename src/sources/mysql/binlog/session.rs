//! The parts of the session of a logged statement that are needed to read its text.
//!
//! In: the status variables of a QUERY event. Out: the character set of the text, the parts of `sql_mode` that change where quotes begin and
//! end, and the databases that were written, if the server lists them. The codes are those of `libs/mysql/binlog/event/statement_events.h`
//! and MariaDB's `sql/log_event.h`. They are in ascending order; those after the ones needed here are not read.

use super::bytes::{Bytes, Truncated};
use crate::sources::mysql::charset::Charset;

/// What the status variables of a statement contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// `None` if absent or unknown.
    pub(crate) charset: Option<Charset>,
    pub(crate) sql_mode: SqlMode,
    /// The databases that were written to. `None` if not listed or too many to be listed.
    pub(crate) written_databases: Option<Vec<String>>,
}

/// The flags of `sql_mode` that change how a text is cut into tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SqlMode {
    /// Double quotes enclose names.
    pub(crate) ansi_quotes: bool,
    /// A backslash in a text is an ordinary character.
    pub(crate) no_backslash_escapes: bool,
    /// Square brackets enclose names (MSSQL of MariaDB).
    pub(crate) brackets: bool,
}

mod code {
    pub(super) const FLAGS: u8 = 0;
    pub(super) const SQL_MODE: u8 = 1;
    pub(super) const CATALOG: u8 = 2;
    pub(super) const AUTO_INCREMENT: u8 = 3;
    pub(super) const CHARSET: u8 = 4;
    pub(super) const TIME_ZONE: u8 = 5;
    pub(super) const CATALOG_NZ: u8 = 6;
    pub(super) const LC_TIME_NAMES: u8 = 7;
    pub(super) const CHARSET_DATABASE: u8 = 8;
    pub(super) const TABLE_MAP_FOR_UPDATE: u8 = 9;
    pub(super) const MASTER_DATA_WRITTEN: u8 = 10;
    pub(super) const INVOKER: u8 = 11;
    pub(super) const WRITTEN_DATABASES: u8 = 12;
}

const ANSI_QUOTES: u64 = 4;
const MSSQL: u64 = 1 << 10;
const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;
/// The count that means too many databases to list.
const TOO_MANY: u8 = 254;

impl Session {
    /// Reads the variables up to the first unknown one.
    pub(crate) fn read(status: &[u8]) -> Result<Session, Truncated> {
        let mut session = Session::default();
        let mut rest = Bytes(status);
        while !rest.is_empty() {
            match rest.u8()? {
                code::FLAGS | code::AUTO_INCREMENT | code::MASTER_DATA_WRITTEN => skip(&mut rest, 4)?,
                code::SQL_MODE => session.sql_mode = SqlMode::from_bits(rest.u64()?),
                code::CATALOG => {
                    let length = rest.u8()? as usize;
                    skip(&mut rest, length + 1)?;
                }
                code::CHARSET => {
                    let client = rest.u16()? as u32;
                    skip(&mut rest, 4)?;
                    session.charset = Charset::name_of_collation(client).and_then(|name| name.parse().ok());
                }
                code::TIME_ZONE | code::CATALOG_NZ => skip_sized(&mut rest)?,
                code::LC_TIME_NAMES | code::CHARSET_DATABASE => skip(&mut rest, 2)?,
                code::TABLE_MAP_FOR_UPDATE => skip(&mut rest, 8)?,
                code::INVOKER => {
                    skip_sized(&mut rest)?;
                    skip_sized(&mut rest)?;
                }
                code::WRITTEN_DATABASES => {
                    session.written_databases = databases(&mut rest)?;
                    break;
                }
                _ => break,
            }
        }
        Ok(session)
    }
}

impl SqlMode {
    fn from_bits(bits: u64) -> SqlMode {
        SqlMode {
            ansi_quotes: bits & ANSI_QUOTES != 0,
            no_backslash_escapes: bits & NO_BACKSLASH_ESCAPES != 0,
            brackets: bits & MSSQL != 0,
        }
    }
}

fn skip(rest: &mut Bytes, length: usize) -> Result<(), Truncated> {
    rest.take(length).map(|_| ())
}

fn skip_sized(rest: &mut Bytes) -> Result<(), Truncated> {
    let length = rest.u8()? as usize;
    skip(rest, length)
}

/// A count, then names that end in a zero byte.
fn databases(rest: &mut Bytes) -> Result<Option<Vec<String>>, Truncated> {
    let count = rest.u8()?;
    if count == TOO_MANY {
        return Ok(None);
    }
    let mut names = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let end = rest.0.iter().position(|b| *b == 0).ok_or(Truncated)?;
        names.push(String::from_utf8_lossy(rest.take(end)?).into_owned());
        skip(rest, 1)?;
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_a_session_are_read() {
        let status = [
            &[0, 0, 0, 0, 0, 1][..],
            &(ANSI_QUOTES | NO_BACKSLASH_ESCAPES).to_le_bytes(),
            &[6, 3, b's', b't', b'd', 3, 1, 0, 1, 0],
            &[4, 8, 0, 8, 0, 45, 0],
            &[5, 6, b'S', b'Y', b'S', b'T', b'E', b'M', 7, 0, 0, 8, 8, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0],
            &[11, 1, b'u', 1, b'h', 12, 2, b'a', 0, b'b', b'c', 0],
            &[13, 1, 2, 3, 128, 1, 2, 3],
        ]
        .concat();
        let session = Session::read(&status).unwrap();
        assert_eq!(session.charset, "latin1".parse().ok());
        assert_eq!(session.sql_mode, SqlMode { ansi_quotes: true, no_backslash_escapes: true, brackets: false });
        assert_eq!(session.written_databases, Some(vec!["a".to_string(), "bc".to_string()]));
        for cut in 1..status.len() - 8 {
            let _ = Session::read(&status[..cut]);
        }
    }

    #[test]
    fn too_many_databases_are_not_a_list() {
        assert_eq!(Session::read(&[12, 254]).unwrap().written_databases, None);
        assert_eq!(Session::read(&[12, 0]).unwrap().written_databases, Some(Vec::new()));
        assert!(Session::read(&[12, 1, b'a']).is_err());
    }
}

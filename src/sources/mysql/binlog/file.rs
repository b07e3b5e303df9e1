//! Reads the events of a log file.
//!
//! A file begins with `FE 62 69 6E`, followed by events. The first event is the format description, which says whether the others have
//! checksums. Every length and checksum is verified before an event is returned. The events of a compressed transaction follow the event
//! that contains them, as they do from a server.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use mysql_common::binlog::EventStreamReader;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::{Event, TransactionPayloadEvent};

use super::event::{is_intact, kind};
use crate::sources::mysql::server::Flavour;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not a binary log of MySQL or MariaDB")]
    NotALog,
    #[error("it is cut off at byte {0}, inside an event")]
    CutOff(u64),
    #[error("the event at byte {0} is damaged")]
    Damaged(u64),
}

/// An event and the offset in its file at which it ends.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) event: Event,
    pub(crate) file: std::sync::Arc<str>,
    pub(crate) offset: u64,
    pub(crate) flavour: Flavour,
}

/// Reads one log file.
#[derive(Debug)]
pub(crate) struct LogFile {
    bytes: BufReader<File>,
    name: std::sync::Arc<str>,
    offset: u64,
    reader: EventStreamReader,
    flavour: Flavour,
    /// Events of a compressed transaction that are not yet returned.
    inner: VecDeque<Event>,
}

const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
const HEADER: usize = 19;
/// The fixed parts of a format description, with the checksum algorithm and the checksum.
const SHORTEST_FORMAT: usize = HEADER + 57 + 5;
const CHECKSUM: usize = 4;
const LARGEST: usize = 1 << 31;

impl LogFile {
    /// Starts at `offset`, which must be the end of an event, or 0 for the start of the file.
    pub(crate) fn open(path: &Path, offset: u64) -> Result<LogFile, FileError> {
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        let mut file = LogFile {
            bytes: BufReader::with_capacity(1 << 18, File::open(path)?),
            name: name.into(),
            offset: 0,
            reader: EventStreamReader::new(BinlogVersion::Version4),
            flavour: Flavour::Mysql,
            inner: VecDeque::new(),
        };
        let mut magic = [0u8; 4];
        match file.bytes.read_exact(&mut magic) {
            Ok(()) if magic == MAGIC => file.offset = MAGIC.len() as u64,
            Ok(()) => return Err(FileError::NotALog),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(FileError::NotALog),
            Err(error) => return Err(error.into()),
        }
        if offset > file.offset {
            // The first event is needed to read the others.
            file.next()?;
            if offset > file.offset {
                file.bytes.seek(SeekFrom::Start(offset))?;
                file.offset = offset;
            }
        }
        Ok(file)
    }

    /// Returns the next event; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Logged>, FileError> {
        let event = match self.inner.pop_front() {
            Some(event) => event,
            None => match self.read()? {
                Some(event) => event,
                None => return Ok(None),
            },
        };
        Ok(Some(Logged { event, file: self.name.clone(), offset: self.offset, flavour: self.flavour }))
    }

    fn read(&mut self) -> Result<Option<Event>, FileError> {
        let at = self.offset;
        let Some(bytes) = self.read_bytes()? else { return Ok(None) };
        let event = self.reader.read(bytes.as_slice()).ok().flatten().ok_or(FileError::Damaged(at))?;
        if !is_intact(&event) {
            return Err(FileError::Damaged(at));
        }
        match event.header().event_type_raw() {
            kind::FORMAT_DESCRIPTION => {
                let version = self.reader.get_fde().server_version().to_lowercase();
                self.flavour = if version.contains("mariadb") { Flavour::Mariadb } else { Flavour::Mysql };
            }
            kind::TRANSACTION_PAYLOAD => self.unpack(&event, at)?,
            _ => {}
        }
        Ok(Some(event))
    }

    /// Reads the bytes of one event. They are at least as long as the reader assumes.
    fn read_bytes(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        let at = self.offset;
        let cut = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FileError::CutOff(at),
            _ => FileError::Io(error),
        };
        let mut bytes = Vec::with_capacity(1 << 13);
        (&mut self.bytes).take(HEADER as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() < HEADER {
            return Err(FileError::CutOff(at));
        }
        let size = u32::from_le_bytes([bytes[9], bytes[10], bytes[11], bytes[12]]) as usize;
        let is_format = bytes[4] == kind::FORMAT_DESCRIPTION;
        let shortest = if is_format { SHORTEST_FORMAT } else { HEADER + CHECKSUM };
        let is_first = at == MAGIC.len() as u64;
        if size > LARGEST || size < if self.has_checksums() || is_format { shortest } else { HEADER } || is_first && !is_format {
            return Err(FileError::Damaged(at));
        }
        bytes.resize(size, 0);
        self.bytes.read_exact(&mut bytes[HEADER..]).map_err(cut)?;
        self.offset += size as u64;
        Ok(Some(bytes))
    }

    fn has_checksums(&self) -> bool {
        use mysql_common::binlog::consts::BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32;
        matches!(self.reader.get_fde().footer().get_checksum_alg(), Ok(Some(BINLOG_CHECKSUM_ALG_CRC32)))
    }

    fn unpack(&mut self, event: &Event, at: u64) -> Result<(), FileError> {
        let damaged = || FileError::Damaged(at);
        let payload: TransactionPayloadEvent = event.read_event().map_err(|_| damaged())?;
        let size = payload.uncompressed_size();
        let mut unpacked = Vec::new();
        payload.decompressed().and_then(|plain| plain.take(size + 1).read_to_end(&mut unpacked)).map_err(|_| damaged())?;
        if unpacked.len() as u64 != size {
            return Err(damaged());
        }
        let mut rest = unpacked.as_slice();
        while !rest.is_empty() {
            let header = rest.get(..HEADER).ok_or_else(damaged)?;
            let size = u32::from_le_bytes([header[9], header[10], header[11], header[12]]) as usize;
            let (one, others) = rest.split_at_checked(size).filter(|_| size >= HEADER).ok_or_else(damaged)?;
            self.inner.push_back(self.reader.read_decompressed(one).ok().flatten().ok_or_else(damaged)?);
            rest = others;
        }
        Ok(())
    }
}

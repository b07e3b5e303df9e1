//! The binary log: from the bytes of events to whole transactions of captured tables.
//!
//! `stream` asks a server for its log, `file` reads a recorded one; `event` takes events apart; `table_map` and `decode` turn row
//! images into packed rows; `statement` judges the statements that a log holds as text; `assemble` puts transactions together and
//! keeps the position. What is not understood is an error: nothing is passed over in silence.

pub(crate) mod assemble;
pub(crate) mod bytes;
pub(crate) mod decode;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod gtid;
pub(crate) mod statement;
pub(crate) mod stream;
pub(crate) mod table_map;
pub(crate) mod transaction;

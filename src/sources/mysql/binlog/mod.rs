//! Reads the binary log: from the bytes of events to whole transactions of captured tables.
//!
//! `stream` follows a server's log (`open` requests it, `watch` notices when the server replaced it), `file` reads a recorded log. `event`
//! parses events. `table_map` and `decode` convert row images to packed rows. `statement` judges statements that the log has as text:
//! `lexer` cuts them into tokens according to their `session`, and `names` compares names. `assemble` builds transactions and keeps the
//! position; `trail` keeps what identifies the log. Anything that is not understood is an error: nothing is skipped silently.

pub(crate) mod assemble;
pub(crate) mod bytes;
pub(crate) mod decimal;
pub(crate) mod decode;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod gtid;
pub(crate) mod lexer;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod session;
pub(crate) mod span;
pub(crate) mod statement;
pub(crate) mod stream;
pub(crate) mod table_map;
pub(crate) mod trail;
pub(crate) mod transaction;
pub(crate) mod watch;

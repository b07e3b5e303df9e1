//! The binary log: from the bytes of events to whole transactions of captured tables.
//!
//! `stream` follows a server's log (`open` asks for it, `watch` sees whether it is still the server's), `file` reads a recorded one; `event` takes
//! events apart; `table_map` and `decode` turn row images into packed rows; `statement` judges the statements that a log holds as text, which
//! `lexer` cuts into tokens as their `session` says, and compares `names`; `assemble` puts transactions together and keeps the position, `trail`
//! what tells the log from another. What is not understood is an error: nothing is passed over in silence.

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
pub(crate) mod statement;
pub(crate) mod stream;
pub(crate) mod table_map;
pub(crate) mod trail;
pub(crate) mod transaction;
pub(crate) mod watch;

//! Documents: which root keys a tick touches, which children they have, and the documents built from both.

pub(crate) mod assemble;
pub(crate) mod climb;
pub(crate) mod document;
pub(crate) mod fetch;
pub(crate) mod touch;

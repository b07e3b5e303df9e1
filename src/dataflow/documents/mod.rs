//! Documents: which root keys a tick touches, the children of these, and what is built of them.

pub(crate) mod assemble;
pub(crate) mod climb;
pub(crate) mod document;
pub(crate) mod fetch;
pub(crate) mod touch;

//! What a kind of source or sink takes as `options:` in a spec.
//!
//! A kind declares its options once, as data. `spec` checks what was typed against the declaration, with lines and nearest names;
//! `tidemill schema` and `docs/spec.md` list it; the kind itself reads the checked values with serde into a struct of its own.

/// One option of a kind.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    pub name: &'static str,
    pub value: OptionType,
    pub required: bool,
    /// Never printed.
    pub secret: bool,
    /// One sentence for people: meaning, unit, default.
    pub help: &'static str,
}

/// What an option's value must be.
#[derive(Debug, Clone, Copy)]
pub enum OptionType {
    Text,
    /// A file or folder; a relative one is taken from the spec's folder, and reaches the kind absolute.
    Path,
    Bool,
    /// Not negative.
    Integer,
    OneOf(&'static [&'static str]),
    List(&'static OptionType),
    /// Any names, each with a value of this type.
    Map(&'static OptionType),
    Record(&'static [OptionSpec]),
}

/// A kind's name and what it takes.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub help: &'static str,
    pub options: &'static [OptionSpec],
}

/// What is wrong with an option that passed the check of its type: where (names from `options:` down), what, and the way out.
#[derive(Debug, Clone, thiserror::Error)]
#[error("option `{}`: {message}", .path.join("."))]
pub struct OptionError {
    pub path: Vec<String>,
    pub message: String,
    pub help: Option<String>,
}

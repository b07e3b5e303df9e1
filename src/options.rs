//! The options that a kind of source or sink accepts under `options:` in a spec.
//!
//! Each kind declares its options once, as data. `spec` checks the typed options against the declaration and reports lines and similar
//! names. `tidemill schema` and `docs/spec.md` list the declaration. The kind deserializes the checked values with serde into a struct of
//! its own.

/// One option of a kind.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    pub name: &'static str,
    pub value: OptionType,
    pub required: bool,
    /// The value is never printed.
    pub secret: bool,
    /// One sentence for users: meaning, unit, default.
    pub help: &'static str,
}

/// The type of an option's value.
#[derive(Debug, Clone, Copy)]
pub enum OptionType {
    Text,
    /// A file or folder. A relative path is resolved against the spec's folder; the kind receives an absolute path.
    Path,
    Bool,
    /// Not negative.
    Integer,
    OneOf(&'static [&'static str]),
    List(&'static OptionType),
    /// A map with any names as keys and values of this type.
    Map(&'static OptionType),
    Record(&'static [OptionSpec]),
}

/// A kind of source or sink, and its options.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub help: &'static str,
    pub options: &'static [OptionSpec],
}

/// A value that has the declared type but is still wrong: where (names from `options:` down), what, and how to fix it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("option `{}`: {message}", .path.join("."))]
pub struct OptionError {
    pub path: Vec<String>,
    pub message: String,
    pub help: Option<String>,
}

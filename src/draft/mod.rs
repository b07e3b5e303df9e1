//! Drafts a spec from what a source tells about its tables.
//!
//! In: a [`Survey`](crate::sources::Survey), and samples of data for references that were only guessed. Out: the text of a spec, which the
//! checker accepts and which runs as it is. Nothing here reads from a source. Elsewhere: the survey (`sources`), the command (`cli`).
//!
//! `references` finds how tables refer to each other (`reference`), `guesses` by their names; `outline` chooses the `tree` of a document, with `links` and
//! `fields`; `columns` and `write` make the text.

mod address;
mod candidates;
mod columns;
mod fields;
mod guesses;
mod links;
mod outline;
mod reference;
mod references;
mod tree;
mod words;
mod write;

#[cfg(test)]
mod tests;

pub use self::address::{ShownUrl, database, shown_url};
pub use self::candidates::candidates;
pub use self::outline::outline;
pub use self::reference::{Checked, Evidence, Reference};
pub use self::references::References;
pub use self::tree::Outline;
pub use self::write::{WrittenEnd, identifier, is_query, source_text, spec, view_name};

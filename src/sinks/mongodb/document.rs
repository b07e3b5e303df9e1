//! Converts rows of a view to MongoDB documents: `_id` from the view's key, then the view's columns in order.

use ::bson::{RawBson, RawDocumentBuf, raw::cstr};

use super::id::IdShape;
use super::target::Limits;
use crate::sinks::{SinkError, ViewShape};
use crate::value::{Layout, Row, Schema, Type, bson};

/// How a view's rows and keys become documents and `_id`s.
#[derive(Debug, Clone)]
pub(super) struct DocumentShape {
    pub(super) layout: Layout,
    pub(super) ids: IdShape,
    /// The number of leading columns that are the `_id` itself: 1 if the first column is named `_id`, else 0.
    pub(super) id_columns: usize,
    /// No column at any depth has a name that an update would misinterpret in a path.
    pub(super) patchable: bool,
    /// Equal for two shapes exactly if they make the same documents from the same rows.
    pub(super) fingerprint: String,
}

/// A document to write, with its `_id`.
pub(super) type KeyedDocument = (RawBson, RawDocumentBuf);

/// The version of the rules by which rows become documents. A change of the rules raises it, so that targets are copied again.
const RULES: u32 = 2;

/// Rows with more bytes are refused without encoding them: no server accepts documents of that size.
const LONGEST_ROW: usize = 512 << 20;

impl DocumentShape {
    /// Fails if MongoDB does not accept such documents.
    pub(super) fn new(view: &ViewShape) -> Result<DocumentShape, SinkError> {
        let stop = |message: String, help: Option<&str>| SinkError::Stopped { message, help: help.map(String::from) };
        let id = view.schema.index_of("_id");
        if id.is_some() && (id != Some(0) || view.key != [0]) {
            let message =
                format!("the view `{}` has a column `_id`, but MongoDB requires it to be the first column and the key", view.name);
            return Err(stop(message, Some("rename the column")));
        }
        if let Some(name) = first_name(&view.schema, &|name| name.contains('\0')) {
            let message =
                format!("the view `{}` has a column `{}`; MongoDB does not accept a zero byte in a name", view.name, name.escape_debug());
            return Err(stop(message, Some("rename the column")));
        }
        let key = view.schema.project(&view.key);
        let patchable = first_name(&view.schema, &|name| name.is_empty() || name.contains('.') || name.starts_with('$')).is_none();
        let described = format!("{RULES} {:?} {:?}", view.schema, view.key);
        Ok(DocumentShape {
            layout: Layout::new(&view.schema),
            ids: IdShape::new(Layout::new(&key)),
            id_columns: usize::from(id.is_some()),
            patchable,
            fingerprint: format!("{:032x}", xxhash_rust::xxh3::xxh3_128(described.as_bytes())),
        })
    }

    /// The document of a row: its `_id`, then its columns. Fails with the reason if the server would refuse it.
    pub(super) fn entry(&self, key: &Row, row: &Row, limits: Limits) -> Result<KeyedDocument, String> {
        if row.len() > LONGEST_ROW {
            return Err(format!("the row has {} bytes, which is more than a document can have", row.len()));
        }
        let id = self.ids.id(key);
        let document = self.with_id(&id, row);
        let (bytes, allowed) = (document.as_bytes().len(), limits.document_bytes);
        if bytes > allowed {
            return Err(format!(
                "the document has {bytes} bytes; MongoDB accepts at most {allowed}: embed fewer children (`limit`, `where`) or fewer of their \
                 columns"
            ));
        }
        Ok((id, document))
    }

    fn with_id(&self, id: &RawBson, row: &Row) -> RawDocumentBuf {
        let mut only_id = RawDocumentBuf::new();
        only_id.append(cstr!("_id"), id);
        let mut bytes = only_id.into_bytes();
        bytes.pop();
        // Append the columns' document, without its length, in place of the first document's end.
        let columns = bytes.len();
        bson::write_columns(&self.layout, row, self.id_columns, &mut bytes);
        bytes.drain(columns..columns + 4);
        let length = i32::try_from(bytes.len()).expect("a document is shorter than 2 GiB");
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        RawDocumentBuf::from_bytes(bytes).expect("the document has the length it says")
    }
}

/// The first column name at any depth for which `is` returns true.
pub(super) fn first_name<'a>(schema: &'a Schema, is: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    let mut columns = schema.columns().iter();
    columns.find_map(|column| if is(&column.name) { Some(column.name.as_str()) } else { first_name_within(&column.ty, is) })
}

fn first_name_within<'a>(ty: &'a Type, is: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    match ty {
        Type::Struct(schema) => first_name(schema, is),
        Type::List(item) => first_name_within(item, is),
        _ => None,
    }
}

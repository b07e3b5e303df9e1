//! Rows of a view as MongoDB documents: `_id` from the view's key, then the view's columns in order.

use mongodb::bson::{RawBson, RawDocumentBuf, raw::cstr};

use super::target::Limits;
use crate::sinks::{SinkError, ViewShape};
use crate::value::{Layout, Row, Schema, Type, bson, row_of_key};

/// How a view's rows and keys become documents and `_id`s.
#[derive(Debug, Clone)]
pub(super) struct DocumentShape {
    view: String,
    pub(super) layout: Layout,
    /// Of the key's columns alone.
    key: Layout,
    /// The first column is `_id` and is the key.
    has_id: bool,
    /// No column at any depth has a name that a path in an update would take for something else.
    pub(super) patchable: bool,
}

/// A document on its way, with its `_id`.
pub(super) type Entry = (RawBson, RawDocumentBuf);

impl DocumentShape {
    /// Fails if MongoDB could not hold such documents.
    pub(super) fn new(view: &ViewShape) -> Result<DocumentShape, SinkError> {
        let stop = |message: String, help: Option<&str>| SinkError::Stopped { message, help: help.map(String::from) };
        let id = view.schema.index_of("_id");
        if id.is_some() && (id != Some(0) || view.key != [0]) {
            let message = format!("the view `{}` has a column `_id` that is not its first one and its key, as MongoDB wants it", view.name);
            return Err(stop(message, Some("rename the column")));
        }
        if let Some(name) = first_name(&view.schema, &|name| name.contains('\0')) {
            let message = format!("the view `{}` has a column `{}`; MongoDB takes no zero byte in a name", view.name, name.escape_debug());
            return Err(stop(message, Some("rename the column")));
        }
        let key = view.schema.project(&view.key);
        if let [column] = key.columns()
            && matches!(column.ty, Type::List(_))
        {
            let message = format!("the key `{}` of the view `{}` is a list; MongoDB takes no list as an `_id`", column.name, view.name);
            return Err(stop(message, None));
        }
        let patchable = first_name(&view.schema, &|name| name.is_empty() || name.contains('.') || name.starts_with('$')).is_none();
        let layout = Layout::new(&view.schema);
        Ok(DocumentShape { view: view.name.clone(), layout, key: Layout::new(&key), has_id: id.is_some(), patchable })
    }

    /// The `_id` of a key: the value of its one column, or a document of all of them.
    pub(super) fn id(&self, key: &Row) -> RawBson {
        let row = row_of_key(&self.key, key).expect("a change has a key of its view");
        match self.key.schema().columns() {
            [column] => bson::to_bson(&column.ty, self.key.get(&row, 0)),
            _ => RawBson::Document(bson::write_row(&self.key, &row)),
        }
    }

    /// The document of a row: its `_id`, then its columns. Fails if it is longer than the server takes.
    pub(super) fn entry(&self, key: &Row, row: &Row, limits: Limits) -> Result<Entry, SinkError> {
        let id = self.id(key);
        let document = match self.has_id {
            true => bson::write_row(&self.layout, row),
            false => self.with_id(&id, row),
        };
        let (bytes, allowed) = (document.as_bytes().len(), limits.document_bytes);
        if bytes > allowed {
            let names: Vec<&str> = self.key.schema().columns().iter().map(|c| c.name.as_str()).collect();
            let (view, key) = (&self.view, names.join(", "));
            return Err(SinkError::Stopped {
                message: format!("a document of the view `{view}` (its key: {key}) has {bytes} bytes; MongoDB takes {allowed} at most"),
                help: Some("embed fewer children (`limit`, `where`) or fewer of their columns".into()),
            });
        }
        Ok((id, document))
    }

    fn with_id(&self, id: &RawBson, row: &Row) -> RawDocumentBuf {
        let mut only_id = RawDocumentBuf::new();
        only_id.append(cstr!("_id"), id);
        let mut bytes = only_id.into_bytes();
        bytes.pop();
        // The columns' document without its length goes on where the other one had its end.
        let columns = bytes.len();
        bson::write_document(&self.layout, row, &mut bytes);
        bytes.drain(columns..columns + 4);
        let length = i32::try_from(bytes.len()).expect("a document is shorter than 2 GiB");
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        RawDocumentBuf::from_bytes(bytes).expect("the document has the length it says")
    }
}

/// The first name at any depth of which `is` is true.
fn first_name<'a>(schema: &'a Schema, is: &dyn Fn(&str) -> bool) -> Option<&'a str> {
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
